//! The golden image: all that is known of the input, as one value.

pub mod bootloader;
pub mod disk;
pub mod facts;
pub mod origin;
