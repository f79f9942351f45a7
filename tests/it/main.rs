//! The tests that look at goldsmith from outside: one binary, a module for each concern.

mod arrows;
mod artifact;
mod cli;
mod config;
mod convert;
mod convert_boot;
mod deb;
mod determinism;
mod ext4_read;
mod ext4_write;
mod fat;
mod golden;
mod golden_boot;
mod grub_boot;
mod grubenv;
mod manifest;
mod nobody;
mod qemu;
mod source;
mod support;
mod table;
mod target;
mod tiny;
mod verify;
