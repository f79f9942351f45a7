//! The story of a conversion, in calls that one can read aloud.

mod disk;
mod frames;
pub mod outputs;
