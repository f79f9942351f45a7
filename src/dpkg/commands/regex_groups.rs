//! Which parts of a match the groups of a regular expression have.
//!
//! Each repetition takes as much as it can, from left to right. Where alternatives could share a
//! match in several ways, implementations differ, and the answer is that it is not certain.

use super::regex::{Node, Regex, edge};

/// Steps of the search for one match.
const MAX_STEPS: usize = 200_000;
/// Rounds of a repeated group; each takes some of the stack.
const MAX_ROUNDS: usize = 100;

type Places = Vec<Option<(usize, usize)>>;

/// What follows a part of an expression: whether the rest matches from a place on.
type Rest<'r> = &'r mut dyn FnMut(&mut Search, usize) -> bool;

/// The line and the end of the match.
pub(super) struct Groups<'a> {
    regex: &'a Regex,
    line: &'a [char],
    end: usize,
}

struct Search {
    places: Places,
    steps: usize,
    gave_up: bool,
    /// The last alternative is tried first.
    backwards: bool,
}

impl<'a> Groups<'a> {
    /// The parts of a match that its groups have; `None` where that is not certain.
    pub(super) fn of(
        regex: &'a Regex,
        line: &'a [char],
        start: usize,
        end: usize,
    ) -> Option<Places> {
        Self { regex, line, end }.places(start)
    }

    fn places(&self, start: usize) -> Option<Places> {
        let (node, groups) = self.regex.written();
        let found = |backwards| {
            let mut search = Search {
                places: vec![None; groups],
                steps: 0,
                gave_up: false,
                backwards,
            };
            let end = self.end;
            let hit = self.walk(node, &mut search, start, &mut |_, at| at == end);
            (hit && !search.gave_up).then_some(search.places)
        };
        let (first, last) = (found(false)?, found(true)?);
        (first == last).then_some(first)
    }

    /// Whether a part matches from a place on, and the rest after it.
    fn walk(&self, node: &Node, search: &mut Search, at: usize, rest: Rest<'_>) -> bool {
        search.steps += 1;
        if search.steps > MAX_STEPS {
            search.gave_up = true;
        }
        if search.gave_up {
            return false;
        }
        match node {
            Node::Char(_) | Node::Any | Node::Of(_) => self.takes(node, at) && rest(search, at + 1),
            Node::Start => at == 0 && rest(search, at),
            Node::End => at == self.line.len() && rest(search, at),
            Node::Edge { begins, ends } => edge(self.line, at, *begins, *ends) && rest(search, at),
            Node::Sequence(nodes) => self.sequence(nodes, search, at, rest),
            Node::OneOf(nodes) => {
                let mut order: Vec<&Node> = nodes.iter().collect();
                if search.backwards {
                    order.reverse();
                }
                order
                    .into_iter()
                    .any(|node| self.walk(node, search, at, rest))
            }
            Node::Group(inner, number) => {
                let before = search.places.get(*number).copied().flatten();
                let hit = self.walk(inner, search, at, &mut |search, end| {
                    let old = search.places.get(*number).copied().flatten();
                    if let Some(place) = search.places.get_mut(*number) {
                        *place = Some((at, end));
                    }
                    let hit = rest(search, end);
                    if !hit && let Some(place) = search.places.get_mut(*number) {
                        *place = old;
                    }
                    hit
                });
                if !hit && let Some(place) = search.places.get_mut(*number) {
                    *place = before;
                }
                hit
            }
            Node::Repeat(inner, least, most) => {
                if matches!(**inner, Node::Char(_) | Node::Any | Node::Of(_)) {
                    return self.characters(inner, (*least, *most), search, at, rest);
                }
                self.rounds(inner, (*least, *most), 0, search, at, rest)
            }
        }
    }

    fn takes(&self, node: &Node, at: usize) -> bool {
        let Some(c) = self.line.get(at) else {
            return false;
        };
        match node {
            Node::Char(wanted) => self.regex.same(*wanted, *c),
            Node::Any => true,
            Node::Of(set) => self.regex.among(set, *c),
            _ => false,
        }
    }

    fn sequence(&self, nodes: &[Node], search: &mut Search, at: usize, rest: Rest<'_>) -> bool {
        match nodes.split_first() {
            None => rest(search, at),
            Some((first, others)) => self.walk(first, search, at, &mut |search, at| {
                self.sequence(others, search, at, rest)
            }),
        }
    }

    /// A repetition of one character.
    fn characters(
        &self,
        node: &Node,
        (least, most): (usize, Option<usize>),
        search: &mut Search,
        at: usize,
        rest: Rest<'_>,
    ) -> bool {
        let most = most.unwrap_or(usize::MAX);
        let mut count = 0;
        while count < most && self.takes(node, at + count) {
            count += 1;
        }
        loop {
            if count < least {
                return false;
            }
            if rest(search, at + count) {
                return true;
            }
            search.steps += 1;
            match count.checked_sub(1) {
                Some(fewer) if !search.gave_up => count = fewer,
                _ => return false,
            }
        }
    }

    /// A repetition of a group, after some rounds.
    fn rounds(
        &self,
        node: &Node,
        bounds: (usize, Option<usize>),
        done: usize,
        search: &mut Search,
        at: usize,
        rest: Rest<'_>,
    ) -> bool {
        if done > MAX_ROUNDS {
            search.gave_up = true;
            return false;
        }
        let (least, most) = bounds;
        let more = most.is_none_or(|most| done < most)
            && self.walk(node, search, at, &mut |search, end| {
                (end > at || done < least) && self.rounds(node, bounds, done + 1, search, end, rest)
            });
        more || done >= least && rest(search, at)
    }
}
