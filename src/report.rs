//! What a long conversion tells its user while it runs: a small trait handed down, with a silent
//! twin.

/// Receives progress. Nothing outside `cli` prints; all else speaks through this.
pub trait Report: Send + Sync {
    /// A new step begins; `total` is its length in bytes when it is known.
    fn step(&self, what: &str, total: Option<u64>);
    /// `bytes` more of the current step are done.
    fn advance(&self, bytes: u64);
    /// Something the user should read that is no error.
    fn warn(&self, message: &str);
    /// A fact worth a line.
    fn note(&self, message: &str);
}

/// Says nothing: for tests and `--quiet`.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Report for Silent {
    fn step(&self, _what: &str, _total: Option<u64>) {}
    fn advance(&self, _bytes: u64) {}
    fn warn(&self, _message: &str) {}
    fn note(&self, _message: &str) {}
}
