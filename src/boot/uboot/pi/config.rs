//! `config.txt`: lines `name=value` that apply to the machines that the last line `[filter]` above
//! them names.

use super::firmware::name;
use crate::platform::Architecture;

/// The name of U-Boot on the boot partition: not that of a kernel, which hooks of kernel packages
/// would put there.
pub(super) const PROGRAM: &str = "u-boot.bin";
/// The prefix of a line that was disabled.
const DISABLED: &str = "#mender# ";
/// Settings that would start something else than U-Boot, in any section.
const KERNELS: [&str; 9] = [
    "kernel",
    "kernel_address",
    "kernel_old",
    "initramfs",
    "auto_initramfs",
    "ramfsfile",
    "ramfsaddr",
    "arm_64bit",
    "disable_commandline_tags",
];
/// The comment above our lines.
const HEAD: &str = "# U-Boot chooses the root filesystem and starts its kernel. Arguments are those of the file for them, here.\n";

/// The text with each line that starts a kernel commented out, and without the lines that an
/// earlier conversion added. All other lines are unchanged. The second value has the lines that are
/// commented out now, with their numbers.
pub(super) fn without_kernels(text: &str) -> (String, Vec<(usize, String)>) {
    let text = [Architecture::Arm64, Architecture::Armhf]
        .iter()
        .fold(text.to_owned(), |text, arch| text.replace(&ours(*arch), ""));
    let mut gone = Vec::new();
    let mut out = String::new();
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        if KERNELS.contains(&name(line)) {
            out.push_str(DISABLED);
            gone.push((number, line.trim().to_owned()));
        }
        out.push_str(line);
    }
    (out, gone)
}

/// Whether a line that is commented out says no more than ours.
pub(super) fn is_usual(line: &str, arch: Architecture) -> bool {
    let words: String = line.split_whitespace().collect();
    let wide = format!("arm_64bit={}", u8::from(arch == Architecture::Arm64));
    [
        "auto_initramfs=1",
        "auto_initramfs=0",
        &wide,
        "kernel=u-boot.bin",
    ]
    .contains(&words.as_str())
}

/// The text and, for all machines, the lines that start U-Boot.
pub(super) fn with_program(text: &str, arch: Architecture) -> String {
    let mut out = text.to_owned();
    if !out.is_empty() && !out.ends_with('\n') {
        out.push('\n');
    }
    out + &ours(arch)
}

/// Our lines. Without `enable_uart` the clock of the serial line follows that of the processor.
fn ours(arch: Architecture) -> String {
    let wide = u8::from(arch == Architecture::Arm64);
    format!("\n[all]\n{HEAD}kernel={PROGRAM}\narm_64bit={wide}\nauto_initramfs=0\nenable_uart=1\n")
}

/// The files that the text includes.
pub(super) fn includes(text: &str) -> Vec<String> {
    let lines = text.lines().filter(|line| name(line) == "include");
    lines
        .filter_map(|line| line.split_whitespace().nth(1))
        .map(str::to_owned)
        .collect()
}

/// The text of `autoboot.txt` with 1 as the number of the boot partition.
pub(super) fn with_first_partition(text: &str) -> String {
    let edit = |line: &str| {
        if name(line) == "boot_partition" {
            let end = line.trim_end_matches(['\r', '\n']).len();
            format!("boot_partition=1{}", line.get(end..).unwrap_or_default())
        } else {
            line.to_owned()
        }
    };
    text.split_inclusive('\n').map(edit).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_edited_within_their_sections() {
        let old = "# kernel=comment\r\ndtparam=audio=on\n[pi4]\nkernel=mine.img\narm_boost=1\ninitramfs initrd8 followkernel\n[all]\nauto_initramfs=1\ncamera_auto_detect=1";
        let text = with_program(&without_kernels(old).0, Architecture::Arm64);
        let expected = "# kernel=comment\r\ndtparam=audio=on\n[pi4]\n#mender# kernel=mine.img\narm_boost=1\n#mender# initramfs initrd8 followkernel\n[all]\n#mender# auto_initramfs=1\ncamera_auto_detect=1\n";
        let (kept, ours) = text.split_at(expected.len());
        assert_eq!(kept, expected);
        assert_eq!(
            ours,
            format!(
                "\n[all]\n{HEAD}kernel=u-boot.bin\narm_64bit=1\nauto_initramfs=0\nenable_uart=1\n"
            )
        );
        assert_eq!(
            with_program(&without_kernels(&text).0, Architecture::Arm64),
            text,
            "once is enough"
        );
        assert_eq!(
            without_kernels("kernelish=1\ndtoverlay=kernel\n").0,
            "kernelish=1\ndtoverlay=kernel\n"
        );
    }

    #[test]
    fn lines_that_say_more_than_ours_are_told_from_others() {
        let text = "arm_64bit=1\nkernel=mine.img\n[pi4]\n  initramfs initrd8 followkernel\r\n";
        let (_, gone) = without_kernels(text);
        let gone: Vec<_> = gone
            .iter()
            .filter(|(_, line)| !is_usual(line, Architecture::Arm64))
            .map(|(number, line)| (*number, line.as_str()))
            .collect();
        assert_eq!(
            gone,
            [
                (2, "kernel=mine.img"),
                (4, "initramfs initrd8 followkernel")
            ]
        );
        assert!(!is_usual("arm_64bit=1", Architecture::Armhf));
    }

    #[test]
    fn other_files_are_found() {
        let text = "cmdline=old.txt\n[pi3]\ninclude more.txt\n#include no.txt\n";
        assert_eq!(includes(text), ["more.txt"]);
    }
}
