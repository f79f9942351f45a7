//! `goldsmith doctor`: each code of a finding, seen on an image that has what it is about and on no
//! other; and `[sanitize]`, which takes away what it finds.

mod codes;
mod command;
mod image;
mod page;
mod sanitize;
