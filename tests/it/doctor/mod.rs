//! `goldsmith doctor`: each code of a finding, seen on an image that has what it is about and on no
//! other.

mod codes;
mod image;
mod page;
