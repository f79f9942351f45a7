//! A conversion, in calls that read aloud: [`prepare`] reads, plans, edits and measures; [`write`]
//! writes.

mod check;
mod emit;
mod filesystems;
mod frame_stream;
pub mod hooks;
pub mod outputs;
pub(crate) mod prepare;
mod record;
pub(crate) mod write;
pub(crate) mod write_log;

pub use hooks::{Hook, Stage};
pub use prepare::{Prepared, Request, Trees, prepare, settled};
pub use record::Record;
pub use write::{How, Made, write};
