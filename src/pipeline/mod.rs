//! The story of a conversion, in calls that one can read aloud: [`prepare`] reads, plans, edits and
//! measures; [`write`] writes.

mod additions;
mod board;
mod boot_mount;
pub mod cache;
mod check;
mod conditions;
mod convert;
mod cut;
mod disk;
mod edited;
pub mod edits;
mod emit;
pub mod flash;
mod frame_stream;
mod frames;
mod hooks;
mod ledger;
pub mod like;
mod loader;
mod measure;
pub mod outputs;
mod pool;
mod prepare;
mod raw;
mod record;
pub mod survey;
mod wrapped;

pub use convert::{How, Made, write};
pub use hooks::{Hook, Stage};
pub use prepare::{Prepared, Request, Trees, prepare, settled};
pub use raw::Blob;
pub use record::Record;
