//! The part of the shell's language that maintainer scripts are written in (POSIX.1-2024, Shell
//! Command Language, and `local`).
//!
//! [`parse`] makes a script a value, `eval` walks it. Everything that a script can do to the world
//! goes through a [`crate::dpkg::world::World`], whose commands are models; the
//! language itself touches nothing.

mod ast;
mod eval;
mod expand;
pub(super) mod parse;
pub(super) mod pattern;
mod words;

pub(super) use eval::{Io, Shell};
pub(super) use expand::glob;
