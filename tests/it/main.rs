//! The tests that look at goldsmith from outside: one binary, a module for each concern.

mod arrows;
mod artifact;
mod boards;
mod boot_table;
mod cache;
mod cli;
mod config;
mod convert;
mod convert_boot;
mod deb;
mod determinism;
mod ext4_like;
mod ext4_read;
mod ext4_write;
mod fat;
mod faults;
mod fw_env;
mod golden;
mod golden_boot;
mod grow_data;
mod grub_boot;
mod grubenv;
mod hostile;
mod kinds;
mod like;
mod manifest;
mod nobody;
mod outputs;
mod pinned;
mod qemu;
mod record;
mod replay;
mod secrets;
mod small;
mod source;
mod support;
mod table;
mod target;
mod tiny;
mod u_boot;
mod uboot_boot;
mod verify;

/// That of the command, which wipes what is freed.
#[global_allocator]
static ALLOCATOR: zeroizing_alloc::ZeroAlloc<mimalloc::MiMalloc> =
    zeroizing_alloc::ZeroAlloc(mimalloc::MiMalloc);
