//! The tests that look at goldsmith from outside: one binary, a module for each concern.

mod convert;
mod convert_boot;
mod golden;
mod golden_boot;
mod manifest;
mod nobody;
mod qemu;
mod support;
