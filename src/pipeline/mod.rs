//! The story of a conversion, in calls that one can read aloud: [`prepare`] reads, plans, edits and measures; [`write`] writes.

mod additions;
pub mod cache;
mod check;
mod convert;
mod cut;
mod disk;
pub mod edits;
mod emit;
pub mod flash;
mod frame_stream;
mod frames;
pub mod like;
mod measure;
pub mod outputs;
mod prepare;
mod readback;
mod record;
pub mod survey;
mod wrapped;

pub use convert::{How, Made, write};
pub use prepare::{Prepared, Request, Trees, prepare};
pub use record::Record;
