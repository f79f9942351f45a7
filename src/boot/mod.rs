//! What makes a device start one of two root filesystems, and go back when an update does not prove itself.

pub mod grub;
pub mod state;
