//! Conversions between lengths in memory and numbers of a format. They saturate: no slice has
//! `usize::MAX` bytes, so an index beyond it is outside of every slice.

/// A length or index in memory as a number of a format.
pub(super) fn widen(len: usize) -> u64 {
    u64::try_from(len).unwrap_or(u64::MAX)
}

/// A number of a format as an index.
pub(super) fn index(number: impl TryInto<usize>) -> usize {
    number.try_into().unwrap_or(usize::MAX)
}
