//! Boards that contradict each other: of two that are given together, and of which neither extends
//! the other, only the last would count.

use super::Layer;
use super::node::{Location, OriginKind, Value};
use crate::problem::{Problem, Problems};
use std::collections::BTreeSet;

/// The keys of `[board]` that make a board another one.
const KEYS: [&str; 4] = ["device-type", "pi-models", "architecture", "firmware"];
/// Those of which one image can have several.
const LISTS: [&str; 2] = ["device-type", "pi-models"];

/// Two values of a key.
struct Conflict<'l> {
    key: &'static str,
    first: (&'l Location, Vec<&'l str>),
    last: (&'l Location, Vec<&'l str>),
}

/// The value of a key of `[board]`, with its location.
fn value<'l>(layer: &'l Layer, key: &str) -> Option<(&'l Location, Vec<&'l str>)> {
    let node = layer.0.get("board")?.get(key)?;
    let text = |value: &'l Value| match value {
        Value::String(text) => Some(text.as_str()),
        _ => None,
    };
    let texts = match &node.value {
        Value::Array(items) => items.iter().filter_map(|item| text(&item.value)).collect(),
        value => text(value).into_iter().collect(),
    };
    Some((&node.location, texts))
}

/// Whether a layer describes a board as a whole: a built-in one, or a file that says as much.
fn is_board(layer: &Layer) -> bool {
    let has = |key: &&str| value(layer, key).is_some();
    match layer.0.location.origin.kind {
        OriginKind::Board => true,
        OriginKind::File => ["device-type", "architecture", "firmware"].iter().all(has),
        OriginKind::Default | OriginKind::Set => false,
    }
}

/// The first conflict about a key. `extends` tells whether a layer builds on an earlier one.
fn conflict<'l>(
    layers: &'l [Layer],
    key: &'static str,
    extends: &dyn Fn(usize, usize) -> bool,
) -> Option<Conflict<'l>> {
    let set = layers.iter().enumerate();
    let set: Vec<_> = set
        .filter_map(|(at, layer)| Some((at, layer, value(layer, key)?)))
        .collect();
    let ((last_at, last_layer, last), earlier) = set.split_last()?;
    let is_models = key == "pi-models";
    let says = |layer: &Layer| {
        let is_file = layer.0.location.origin.kind == OriginKind::File;
        is_board(layer) || (is_models && is_file)
    };
    let differs = |values: &[&str]| {
        let (old, new): (BTreeSet<_>, BTreeSet<_>) =
            (values.iter().collect(), last.1.iter().collect());
        // Fewer or more models of the same board are a decision.
        old != new && !(is_models && (old.is_subset(&new) || old.is_superset(&new)))
    };
    if !says(last_layer) {
        return None;
    }
    let mut earlier = earlier.iter();
    let (_, _, first) = earlier.find(|(at, layer, (_, values))| {
        says(layer) && differs(values) && !extends(*last_at, *at)
    })?;
    Some(Conflict {
        key,
        first: first.clone(),
        last: last.clone(),
    })
}

/// Adds a problem if boards contradict each other.
pub(super) fn check(
    layers: &[Layer],
    extends: &dyn Fn(usize, usize) -> bool,
    problems: &mut Problems,
) {
    let found: Vec<Conflict<'_>> = KEYS
        .iter()
        .filter_map(|key| conflict(layers, key, extends))
        .collect();
    // The key that separates the boards most.
    let Some(main) = found
        .iter()
        .find(|one| !LISTS.contains(&one.key))
        .or(found.iter().find(|one| one.key == "pi-models"))
        .or(found.first())
    else {
        return;
    };
    let text = format!(
        "{} and {} set board.{}, and neither builds on the other: only the last would count ({}), \
         not the first ({})",
        main.first.0,
        main.last.0,
        main.key,
        main.last.1.join(", "),
        main.first.1.join(", ")
    );
    let hint = if LISTS.contains(&main.key) {
        let sets = found.iter().map(|one| {
            let mut all = one.first.1.clone();
            all.extend(one.last.1.iter().filter(|name| !one.first.1.contains(name)));
            format!("--set 'board.{}=[\"{}\"]'", one.key, all.join("\", \""))
        });
        let sets: Vec<String> = sets.collect();
        format!(
            "give one of them, for an image for its devices; for one image that serves both, say \
             so: {} (or the same in a file that extends both)",
            sets.join(" ")
        )
    } else {
        format!(
            "give one of them: boards with different {} cannot share an image",
            main.key
        )
    };
    problems.push(Problem::new(text).hint(hint));
}
