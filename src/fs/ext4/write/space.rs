//! Blocks that are free, handed out in ascending order.

/// `len` blocks from `start` on: of the filesystem, or of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    pub(super) start: u32,
    pub(super) len: u32,
}

impl Span {
    /// The first block after the span.
    pub(super) fn end(self) -> u32 {
        self.start + self.len
    }
}

/// The free blocks of a filesystem as ascending spans, none of them empty, no two of them adjacent.
#[derive(Clone, Debug, Default)]
pub(super) struct Free {
    spans: Vec<Span>,
    /// Spans before this index are used up.
    first: usize,
}

impl Free {
    /// Adds blocks after all others.
    pub(super) fn push(&mut self, start: u32, end: u32) {
        if start < end {
            self.spans.push(Span {
                start,
                len: end - start,
            });
        }
    }

    /// What is free, in ascending order.
    pub(super) fn spans(&self) -> &[Span] {
        &self.spans[self.first..]
    }

    /// How many blocks are free.
    pub(super) fn blocks(&self) -> u32 {
        self.spans().iter().map(|span| span.len).sum()
    }

    /// Takes the first `blocks` blocks, or none when there are fewer.
    pub(super) fn take(&mut self, blocks: u32) -> Option<Vec<Span>> {
        let (mut out, mut left) = (Vec::new(), blocks);
        let mut index = self.first;
        while left > 0 {
            let span = self.spans.get(index)?;
            let part = span.len.min(left);
            out.push(Span {
                start: span.start,
                len: part,
            });
            left -= part;
            index += 1;
        }
        if let Some(last) = out.last() {
            let rest = &mut self.spans[index - 1];
            rest.start += last.len;
            rest.len -= last.len;
            self.first = if rest.len == 0 { index } else { index - 1 };
        }
        Some(out)
    }

    /// Takes exactly these blocks, which do not overlap; none and false when they are not all free.
    pub(super) fn take_exact(&mut self, wanted: &[Span]) -> bool {
        let holder = |free: &Self, span: &Span| {
            let index = free.first
                + free
                    .spans()
                    .partition_point(|free| free.end() <= span.start);
            let holds = free
                .spans
                .get(index)
                .is_some_and(|free| free.start <= span.start && span.end() <= free.end());
            holds.then_some(index)
        };
        let mut sorted = wanted.to_vec();
        sorted.sort_unstable_by_key(|span| span.start);
        let apart = sorted.windows(2).all(|pair| pair[0].end() <= pair[1].start);
        if !apart
            || wanted.iter().any(|span| {
                span.start.checked_add(span.len).is_none() || holder(self, span).is_none()
            })
        {
            return false;
        }
        for span in wanted {
            if let Some(index) = holder(self, span) {
                self.cut(index, span.start, span.end());
            }
        }
        true
    }

    /// Takes the blocks from `start` to `end` out of the span at `index`.
    fn cut(&mut self, index: usize, start: u32, end: u32) {
        let span = self.spans[index];
        let rest = [(span.start, start), (end, span.end())]
            .into_iter()
            .filter(|(start, end)| start < end);
        self.spans.splice(
            index..=index,
            rest.map(|(start, end)| Span {
                start,
                len: end - start,
            }),
        );
    }

    /// Takes the first `blocks` blocks at or after `from` that are contiguous.
    pub(super) fn take_whole(&mut self, blocks: u32, from: u32) -> Option<u32> {
        let fits = |span: &Span| span.end() >= from && span.end() - span.start.max(from) >= blocks;
        let index = self.first + self.spans().iter().position(fits)?;
        let span = self.spans[index];
        let start = span.start.max(from);
        self.cut(index, start, start + blocks);
        Some(start)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(start: u32, len: u32) -> Span {
        Span { start, len }
    }

    #[test]
    fn blocks_come_in_ascending_order() {
        let mut free = Free::default();
        free.push(10, 20);
        free.push(20, 20);
        free.push(30, 60);
        assert_eq!(free.take(4), Some(vec![span(10, 4)]));
        assert_eq!(free.take_whole(7, 0), Some(30));
        assert_eq!(free.take_whole(2, 40), Some(40));
        assert_eq!(free.spans(), [span(14, 6), span(37, 3), span(42, 18)]);
        assert_eq!(free.take(28), None);
        assert_eq!(free.take(9), Some(vec![span(14, 6), span(37, 3)]));
        assert_eq!((free.blocks(), free.take(0)), (18, Some(Vec::new())));
        assert_eq!(free.take(18), Some(vec![span(42, 18)]));
        assert_eq!(
            (free.blocks(), free.take(1), free.take_whole(1, 0)),
            (0, None, None)
        );
    }

    #[test]
    fn exactly_these_blocks_or_none() {
        let mut free = Free::default();
        free.push(10, 20);
        free.push(30, 60);
        assert!(free.take(2).is_some());
        for bad in [
            &[span(11, 2)][..],
            &[span(18, 3)],
            &[span(25, 1)],
            &[span(40, 5), span(44, 2)],
            &[span(70, 1)],
            &[span(12, u32::MAX)],
        ] {
            assert!(!free.take_exact(bad), "{bad:?}");
        }
        assert_eq!(free.spans(), [span(12, 8), span(30, 30)]);
        assert!(free.take_exact(&[span(40, 5), span(12, 3), span(55, 5)]));
        assert_eq!(free.spans(), [span(15, 5), span(30, 10), span(45, 10)]);
        assert!(free.take_exact(&[span(30, 10)]) && free.take_exact(&[]));
        assert_eq!(free.take(7), Some(vec![span(15, 5), span(45, 2)]));
    }
}
