//! Decisions: values in, values out.

pub mod board;
pub mod boot_mount;
pub mod bootloader;
pub mod conditions;
pub mod family;
pub mod file_layout;
pub mod layout;
pub mod raw;
pub mod sizes;
