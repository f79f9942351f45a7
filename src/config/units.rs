//! The lists of `[systemd]` in several files: they add up, and the last word about a unit counts.

use super::node::{Node, Value};
use std::collections::BTreeSet;

const LISTS: [&str; 3] = ["enable", "disable", "mask"];

/// Puts the entries of `below` before those of `above`, except for units that `above` names in any
/// of its lists. An empty list discards the one below it.
pub(super) fn join(below: &Node, above: &mut Node) {
    let Some(below) = below.get("systemd") else {
        return;
    };
    let Value::Table(whole) = &mut above.value else {
        return;
    };
    let Some((_, above)) = whole.get_mut("systemd") else {
        return;
    };
    let named: BTreeSet<String> = LISTS
        .iter()
        .flat_map(|list| above.get(list).map(items).unwrap_or_default())
        .filter_map(|item| name(&item))
        .collect();
    let location = above.location.clone();
    let Value::Table(table) = &mut above.value else {
        return;
    };
    for list in LISTS {
        let Some(earlier) = below.get(list) else {
            continue;
        };
        let here = table.get(list).map(|(_, node)| items(node));
        if here.as_ref().is_some_and(Vec::is_empty) {
            continue;
        }
        let is_kept = |item: &Node| name(item).is_none_or(|name| !named.contains(&name));
        let mut all: Vec<Node> = items(earlier).into_iter().filter(is_kept).collect();
        all.extend(here.unwrap_or_default());
        let key = table
            .get(list)
            .map_or_else(|| location.clone(), |(key, _)| key.clone());
        let node = Node::new(earlier.location.clone(), Value::Array(all));
        table.insert(list.to_owned(), (key, node));
    }
}

/// The entries of a list, which may be one without brackets.
fn items(node: &Node) -> Vec<Node> {
    match &node.value {
        Value::Array(items) => items.clone(),
        _ => vec![node.clone()],
    }
}

/// The unit that an entry names.
fn name(node: &Node) -> Option<String> {
    match &node.value {
        Value::String(name) => Some(super::text::unit_name(name).unwrap_or_else(|_| name.clone())),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use crate::config::{Config, Layer, Origin, OriginKind};

    #[test]
    fn the_last_word_about_a_unit_counts() {
        let layer = |name: &str, text: &str| {
            let origin = Origin {
                kind: OriginKind::File,
                name: name.to_owned(),
                base: Default::default(),
            };
            Layer::parse(&format!("[systemd]\n{text}"), origin).unwrap()
        };
        let config = Config::from_layers(vec![
            layer(
                "dir/a.toml",
                "enable = [\"a\", \"b\"]\nmask = \"m\"\ndisable = \"d\"\n",
            ),
            layer("b.toml", "mask = [\"b.service\"]\ndisable = []\n"),
            layer("c.toml", "enable = \"c\"\n"),
        ])
        .unwrap();
        let lists = |list: &Option<Vec<String>>| list.clone().unwrap_or_default().join(" ");
        assert_eq!(lists(&config.systemd.enable), "a.service c.service");
        assert_eq!(lists(&config.systemd.mask), "m.service b.service");
        assert_eq!(lists(&config.systemd.disable), "");
        let place = |key: &str| config.location(key).unwrap().short();
        assert_eq!(place("systemd.enable[0]"), "a.toml:2");
        assert_eq!(place("systemd.mask[1]"), "b.toml:2");
        assert_eq!(place("systemd.enable[1]"), "c.toml:2");
    }
}
