//! The rules of the house: who may use whom, lengths, words.

pub(crate) mod arrows;
mod source;
mod uses;
