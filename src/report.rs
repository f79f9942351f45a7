//! Progress and messages of a running command, as a trait that `cli` implements.

/// Receives progress and messages. Only `cli` prints; all other modules use this trait.
pub trait Report: Send + Sync {
    /// A step named `what` begins; `total` is its length in bytes, if known.
    fn step(&self, what: &str, total: Option<u64>);
    /// Another `bytes` bytes of the current step are done.
    fn advance(&self, bytes: u64);
    /// A warning: the result is usable, but the user should know.
    fn warn(&self, message: &str);
    /// A line of information.
    fn note(&self, message: &str);
    /// A line for those who look for the reason of something, which is shown on request. It never
    /// has a secret.
    fn detail(&self, _message: &str) {}
}

/// Discards everything.
#[derive(Clone, Copy, Debug, Default)]
pub struct Silent;

impl Report for Silent {
    fn step(&self, _what: &str, _total: Option<u64>) {}
    fn advance(&self, _bytes: u64) {}
    fn warn(&self, _message: &str) {}
    fn note(&self, _message: &str) {}
}

/// Passes everything on but warnings that are said in another way.
pub struct WithoutSaid<'a> {
    /// Receives the rest.
    pub inner: &'a dyn Report,
    /// The warnings.
    pub said: &'a [String],
}

impl Report for WithoutSaid<'_> {
    fn step(&self, what: &str, total: Option<u64>) {
        self.inner.step(what, total);
    }

    fn advance(&self, bytes: u64) {
        self.inner.advance(bytes);
    }

    fn warn(&self, message: &str) {
        if !self.said.iter().any(|one| one == message) {
            self.inner.warn(message);
        }
    }

    fn note(&self, message: &str) {
        self.inner.note(message);
    }

    fn detail(&self, message: &str) {
        self.inner.detail(message);
    }
}
