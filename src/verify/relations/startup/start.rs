//! Something that a start runs, with what it does.

use super::trace::{Files, Trace};

/// Something that a start runs.
pub(super) struct Start {
    /// For people: a unit, or a file.
    pub(super) name: String,
    pub(super) trace: Trace,
    /// Whose it is: the owner's, so that a condition does not excuse it.
    pub(super) own: bool,
    /// It runs only if a device or something else comes.
    pub(super) event: bool,
}

impl Files<'_> {
    /// What only runs then.
    pub(super) fn started(&self, name: &str, trace: Trace) -> Start {
        Start {
            name: name.to_owned(),
            trace,
            own: false,
            event: false,
        }
    }

    /// What is the owner's.
    pub(super) fn own(&self, name: &str, trace: Trace) -> Start {
        Start {
            own: true,
            ..self.started(name, trace)
        }
    }

    /// A script that runs then.
    pub(super) fn of_script(&self, path: &str, arguments: &[&str]) -> Start {
        self.started(path, self.script(path, arguments))
    }
}
