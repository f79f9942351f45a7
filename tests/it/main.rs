//! The tests that look at goldsmith from outside: one binary, a module for each concern.

mod ext4_read;
mod ext4_write;
mod support;
