//! The environment, and the ways in which loader, system and update client use it.

use super::power::{Power, PowerCut};
use super::table::Row;
use super::values::{Slot, Values};

/// A writer of the environment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The boot loader: it cannot write to a missing block.
    Loader,
    /// The environment tools of the running system.
    System,
}

/// The redundant environment of a loader.
pub trait Environment {
    /// The values that the next reader believes; `None` when no copy is good.
    fn believed(&self) -> Option<Values>;

    /// Whether any copy has values in range, good or not.
    fn has_values(&self) -> bool;

    /// Whether both copies are as a writer leaves them.
    fn is_intact(&self) -> bool;

    /// Rows 1 and 2: finds the values to believe, else those of `default`, and repairs the copies
    /// where `writer` can and should.
    ///
    /// # Errors
    /// [`PowerCut`] when the power failed.
    fn repair(&mut self, writer: Writer, default: Slot) -> Result<Values, PowerCut>;

    /// Writes; true when the next reader will see `values`. Leaves the only good copy alone.
    ///
    /// # Errors
    /// [`PowerCut`] when the power failed.
    fn store(&mut self, writer: Writer, values: Values) -> Result<bool, PowerCut>;

    /// The power supply and the write protection of the medium.
    fn power(&mut self) -> &mut Power;

    /// The loader's part of a start: rows 1 to 8. `loads` says whether a slot's kernel can be
    /// loaded. Returns the slot that was started; `None` when neither loads.
    ///
    /// # Errors
    /// [`PowerCut`] when the power failed.
    fn boot(&mut self, loads: impl Fn(Slot) -> bool) -> Result<Option<Slot>, PowerCut> {
        let values = self.repair(Writer::Loader, Slot::A)?;
        let back = Values::committed(values.part.other());
        let first = match Row::of_values(values) {
            Row::FirstTrial => {
                let trial = Values {
                    count: true,
                    ..values
                };
                if self.store(Writer::Loader, trial)? {
                    values.part
                } else {
                    back.part
                }
            }
            Row::FailedTrial => {
                self.store(Writer::Loader, back)?;
                back.part
            }
            _ => values.part,
        };
        let second = first.other();
        if loads(first) {
            return Ok(Some(first));
        }
        if !loads(second) {
            return Ok(None);
        }
        self.store(Writer::Loader, Values::committed(second))?;
        Ok(Some(second))
    }

    /// The running system's part of a start, before the update client runs: repairs the copies, and
    /// writes what the loader could not. The loader tells the system which slot it started.
    ///
    /// # Errors
    /// [`PowerCut`] when the power failed.
    fn finish(&mut self, running: Slot) -> Result<(), PowerCut> {
        let values = self.repair(Writer::System, running)?;
        if values.part != running {
            self.store(Writer::System, Values::committed(running))?;
        }
        Ok(())
    }

    /// The update client's `set`: true when the next reader will see `values`.
    ///
    /// # Errors
    /// [`PowerCut`] when the power failed.
    fn set(&mut self, values: Values) -> Result<bool, PowerCut> {
        if !self.has_values() {
            return Ok(false);
        }
        self.repair(Writer::System, Slot::A)?;
        self.store(Writer::System, values)
    }
}
