//! The command `goldsmith`.

fn main() {}
