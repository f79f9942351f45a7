//! The story of a conversion, in calls that one can read aloud.

mod disk;
pub mod edits;
mod emit;
mod frames;
pub mod outputs;
