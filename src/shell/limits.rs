//! What a script may make and do: commands, memory, work.

use super::error::Flow;
use super::eval::Shell;

/// Commands that one script may run; every real one stays far below.
const MAX_STEPS: usize = 100_000;
/// Bytes that one script may make: values and output, all together.
const MAX_BYTES: usize = 128 << 20;
/// Work that one script may cause: bytes of files, steps of patterns.
const MAX_WORK: u64 = 256 << 20;

impl Shell<'_> {
    /// Counts bytes that the script makes.
    pub(super) fn count_bytes(&mut self, bytes: usize) -> Result<(), Flow> {
        self.made = self.made.saturating_add(bytes);
        if self.made > MAX_BYTES {
            return self.error(format!("more than {MAX_BYTES} bytes"));
        }
        Ok(())
    }

    /// Counts the bytes of a text that is kept; the next command sees whether it is too much.
    pub(super) fn count_text(&mut self, bytes: usize) {
        self.made = self.made.saturating_add(bytes);
    }

    /// Runs `f` while a copy of what the shell has set is kept for later.
    pub(super) fn holding<T>(
        &mut self,
        f: impl FnOnce(&mut Self) -> Result<T, Flow>,
    ) -> Result<T, Flow> {
        let texts = self.parameters.iter().chain(self.functions.keys());
        let texts = texts.chain(&self.exported);
        let texts = texts.chain(
            self.variables
                .iter()
                .flat_map(|(name, value)| [name, value]),
        );
        let bytes = texts.fold(0_usize, |sum, text| sum.saturating_add(text.len() + 64));
        self.count_work(bytes as u64)?;
        self.held = self.held.saturating_add(bytes);
        if self.held > MAX_BYTES {
            return self.error(format!("more than {MAX_BYTES} bytes"));
        }
        let result = f(self);
        self.held = self.held.saturating_sub(bytes);
        result
    }

    /// Counts work that is about to be done.
    pub(super) fn count_work(&mut self, units: u64) -> Result<(), Flow> {
        self.work = self.work.saturating_add(units);
        if self.work.saturating_add(self.host.work()) > MAX_WORK {
            return self.error("more than any script has to do");
        }
        Ok(())
    }

    /// Counts a command or a round of a loop.
    pub(super) fn count_step(&mut self) -> Result<(), Flow> {
        self.steps += 1;
        if self.steps > MAX_STEPS {
            return self.error(format!("more than {MAX_STEPS} commands"));
        }
        self.count_bytes(0)
    }
}
