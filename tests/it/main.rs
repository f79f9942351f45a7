//! The tests that look at goldsmith from outside: one binary, a module for each concern.

mod golden;
mod golden_boot;
mod grub_boot;
mod grubenv;
mod qemu;
mod support;
