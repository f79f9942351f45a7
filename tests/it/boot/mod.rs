//! Boot loaders: their scripts and tools, and devices that are started.

pub(crate) mod boot_table;
pub(crate) mod command;
pub(crate) mod convert_boot;
pub(crate) mod decision_table;
pub(crate) mod env_tools;
pub(crate) mod environments;
pub(crate) mod fw_env;
pub(crate) mod golden_boot;
pub(crate) mod grub_boot;
pub(crate) mod grubenv;
pub(crate) mod medium;
pub(crate) mod own_identity;
pub(crate) mod tryboot;
pub(crate) mod uboot_boot;
