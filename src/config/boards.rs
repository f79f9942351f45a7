//! The boards that are compiled in.

/// Name and text of each, sorted by name.
const BOARDS: &[(&str, &str)] = &[
    ("generic-x86-64", include_str!("../../configs/boards/generic-x86-64.toml")),
    ("qemux86-64", include_str!("../../configs/boards/qemux86-64.toml")),
];

/// The names of all built-in boards, sorted.
pub fn boards() -> impl Iterator<Item = &'static str> {
    BOARDS.iter().map(|(name, _)| *name)
}

/// The configuration of the built-in board `name`, as TOML.
#[must_use]
pub fn board(name: &str) -> Option<&'static str> {
    BOARDS.iter().find(|(known, _)| *known == name).map(|(_, text)| *text)
}
