//! GRUB on UEFI machines.

pub mod environment;
