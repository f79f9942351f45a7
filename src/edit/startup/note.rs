//! Notes about what a start runs, with their places.

use serde::Serialize;

/// A note or a warning about what a start runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct StartupNote {
    /// The path of the file on the device, absolute.
    pub file: String,
    /// The line, from 1; 0 for the file as a whole.
    pub line: usize,
    /// The sentence, as among all notes.
    pub note: String,
}

impl StartupNote {
    /// A sentence about a line of a file, or the file as a whole (0), which does not name it.
    pub(super) fn at(file: &str, line: usize, text: &str) -> Self {
        let note = match line {
            0 => format!("{file}: {text}"),
            _ => format!("{file}:{line}: {text}"),
        };
        Self::of(file, line, note)
    }

    /// A sentence that says which file it is about.
    pub(super) fn of(file: &str, line: usize, note: String) -> Self {
        Self {
            file: file.to_owned(),
            line,
            note,
        }
    }
}
