//! The rules of the house: who may use whom, lengths, words.

pub(crate) mod arrows;
mod lengths;
mod pages;
mod pictures;
mod source;
mod troubles;
mod uses;
mod words;
