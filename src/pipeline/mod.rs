//! The story of a conversion, in calls that one can read aloud: [`prepare`] reads, plans, edits and measures; [`write`] writes.

mod additions;
mod check;
mod convert;
mod disk;
pub mod edits;
mod emit;
pub mod flash;
mod frames;
mod measure;
pub mod outputs;
mod prepare;
mod record;
mod streamed;
pub mod survey;
mod wrapped;

pub use convert::{How, Made, write};
pub use prepare::{Prepared, Request, Trees, prepare};
pub use record::Record;
