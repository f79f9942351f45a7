//! GRUB on UEFI machines.

pub mod binary;
pub mod environment;
pub mod menu;
