//! The rules of the house: who may use whom, lengths, words.

pub(crate) mod arrows;
mod lengths;
mod source;
mod uses;
mod words;
