//! The tests that look at goldsmith from outside: one binary, a module for each concern.

mod fat;
mod source;
mod support;
mod table;
mod target;
