//! The manual of the configuration and an example, both from the definitions of the keys.

/// placeholder
#[must_use]
pub fn manual() -> String {
    String::new()
}
/// placeholder
#[must_use]
pub fn example() -> String {
    String::new()
}
