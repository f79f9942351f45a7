//! How many kernel arguments a kernel takes.

use crate::platform::Architecture;

/// The bytes of the kernel's command line: `COMMAND_LINE_SIZE` of the kernel, which counts the
/// terminating zero. What is longer is cut off without a message.
pub(in crate::boot) fn command_line_limit(arch: Architecture) -> usize {
    match arch {
        Architecture::Armhf => 1023,
        Architecture::Amd64 | Architecture::I386 | Architecture::Arm64 => 2047,
    }
}
