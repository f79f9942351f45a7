//! The command line: parses, prints, exits; decides nothing.

pub mod artifact;
