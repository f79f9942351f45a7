//! Images that boot loaders start from partitions without a filesystem, by their magic numbers. A
//! loader that starts a kernel from there runs no script of a filesystem.

#![deny(
    clippy::arithmetic_side_effects,
    clippy::as_conversions,
    clippy::indexing_slicing
)]

use crate::bytes::{be32, le32};
use crate::image::table::PartitionType;
use crate::stream::{Compression, Source, decoder};
use crate::units::MIB;
use std::io::Read as _;

const ANDROID: &str = "an Android boot loader (fastboot, Little Kernel, ABL or cboot)";
const DEPTHCHARGE: &str = "the loader of Chromebooks (depthcharge)";
const RAW_KERNEL: &str = "a boot loader that starts a kernel from a partition without files";
const BAREBOX: &str = "barebox";

/// How much of a partition is searched for the banner of U-Boot (bytes).
const SEARCHED: u64 = 64 * MIB;
/// The longest U-Boot that is unpacked (bytes).
const UNPACKED: u64 = 16 * MIB;
/// The banner of every U-Boot, and of its first stage.
const BANNERS: [&[u8]; 2] = [b"U-Boot 20", b"U-Boot SPL 20"];
/// How many properties and nodes of a FIT image are read.
const FIT_TOKENS: usize = 4096;

/// What a partition without a filesystem holds, as far as its first bytes tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StartImage {
    /// The format, for people; empty if it is not known.
    pub format: &'static str,
    /// The loader that starts a kernel from it; `None` if U-Boot is in it, or no kernel.
    pub loader: Option<&'static str>,
}

/// Formats by offset and magic number, each with the loader that starts it: `bootimg.h` and
/// `avb_vbmeta_image.h` of Android, `vboot` of ChromeOS, `arch/arm/include/asm/barebox-arm-head.h`.
const FORMATS: [(usize, &[u8], &str, &str); 8] = [
    (0, b"ANDROID!", "an Android boot image", ANDROID),
    (0, b"VNDRBOOT", "an Android vendor boot image", ANDROID),
    (0, b"AVB0", "Android verified boot metadata", ANDROID),
    (
        0,
        b"\xd7\xb7\xab\x1e",
        "Android device tree overlays",
        ANDROID,
    ),
    (0, b"CHROMEOS", "a kernel for Chromebooks", DEPTHCHARGE),
    (0x20, b"barebox\0", "barebox", BAREBOX),
    (0x38, b"ARM\x64", "a Linux kernel", RAW_KERNEL),
    (0x24, b"\x18\x28\x6f\x01", "a Linux kernel", RAW_KERNEL),
];

/// Types of partitions whose kernels a loader starts, and of those that another loader than U-Boot
/// keeps: ChromeOS kernel, Android boot, barebox environment.
const KINDS: [(&str, &str); 3] = [
    ("fe3a2a5d-4f32-41a7-b725-accc3285a309", DEPTHCHARGE),
    ("49a4d17f-93a3-45c1-a0de-f50b2ebe2599", ANDROID),
    ("6c3737f2-07f8-45d1-ad45-15d260aab24d", BAREBOX),
];

/// Names of partitions in a GPT whose kernels a loader starts, whatever their format: without the
/// letter of a slot.
const NAMES: [&str; 11] = [
    "boot",
    "init_boot",
    "vendor_boot",
    "vbmeta",
    "vbmeta_system",
    "recovery",
    "dtbo",
    "kernel",
    "kernel-dtb",
    "kern",
    "recovery-dtb",
];

impl StartImage {
    /// What `source` holds.
    #[must_use]
    pub fn of(source: &Source) -> Self {
        let mut head = [0; 64];
        let len = usize::try_from(source.len()).map_or(head.len(), |len| len.min(head.len()));
        let part = head.get_mut(..len).unwrap_or_default();
        if source.read_exact_at(0, part).is_err() {
            return Self::default();
        }
        let is_at = |at: usize, magic: &[u8]| {
            head.get(at..)
                .is_some_and(|tail: &[u8]| tail.starts_with(magic))
        };
        let mut formats = FORMATS.iter();
        let known = formats.find(|(at, magic, _, _)| is_at(*at, magic));
        if let Some((_, _, format, loader)) = known {
            let has_u_boot = *loader != BAREBOX && has_u_boot(source, &head);
            return Self {
                format: if has_u_boot && *loader == ANDROID {
                    "an Android boot image with U-Boot in it"
                } else if has_u_boot {
                    "U-Boot"
                } else {
                    format
                },
                loader: (!has_u_boot).then_some(loader),
            };
        }
        // The operating system is Linux (5), the type a kernel (2) or several files (4).
        let is_kernel = matches!(head.get(28..31), Some([5, _, 2 | 4]));
        match be32(&head, 0) {
            Some(0x2705_1956) if is_kernel => Self {
                format: "a U-Boot image of a Linux kernel",
                loader: Some(RAW_KERNEL),
            },
            Some(0x2705_1956) => Self {
                format: "a U-Boot image",
                loader: None,
            },
            Some(0xd00d_feed) if fit_has_kernel(source) => Self {
                format: "a FIT image with a Linux kernel",
                loader: Some(RAW_KERNEL),
            },
            Some(0xd00d_feed) => Self {
                format: "a device tree or FIT image",
                loader: None,
            },
            _ => Self::default(),
        }
    }

    /// The same, by the type or the name of the partition where the format is not known and U-Boot
    /// is not in it.
    #[must_use]
    pub fn of_partition(source: &Source, kind: PartitionType, name: &str) -> Self {
        let image = Self::of(source);
        let by_name = || {
            let loader = Self::loader_by_name(kind, name)?;
            let len = source.len().min(SEARCHED);
            (!holds(source, 0, len, &BANNERS)).then_some(loader)
        };
        let loader = if image.format.is_empty() {
            by_name()
        } else {
            image.loader
        };
        Self { loader, ..image }
    }

    /// The loader that starts a kernel from a partition of this type or name.
    fn loader_by_name(kind: PartitionType, name: &str) -> Option<&'static str> {
        if let PartitionType::Gpt(id) = kind {
            let id = id.to_string();
            if let Some((_, loader)) = KINDS.iter().find(|(known, _)| *known == id) {
                return Some(loader);
            }
        }
        let name = name.to_ascii_lowercase();
        let mut bare = name.as_str();
        for slot in ["_a", "_b", "-a", "-b"] {
            bare = bare.strip_suffix(slot).unwrap_or(bare);
        }
        for slot in ["a_", "b_"] {
            bare = bare.strip_prefix(slot).unwrap_or(bare);
        }
        NAMES.contains(&bare).then_some(ANDROID)
    }
}

/// Whether a banner of U-Boot is in it, or in the kernel of an Android boot image, which may be
/// packed: boards whose first loader knows no other format start U-Boot so.
fn has_u_boot(source: &Source, head: &[u8]) -> bool {
    let len = source.len().min(SEARCHED);
    if holds(source, 0, len, &BANNERS) {
        return true;
    }
    // `bootimg.h`: the size of a page, which the kernel begins with, is 4096 from version 3 on.
    let page = match le32(head, 40) {
        Some(3..=9) => 4096,
        _ => le32(head, 36).map_or(0, u64::from),
    };
    let mut packed = vec![0; usize::try_from(source.len().min(UNPACKED)).unwrap_or(0)];
    if !head.starts_with(b"ANDROID!") || source.read_exact_at(0, &mut packed).is_err() {
        return false;
    }
    let from = usize::try_from(page).unwrap_or(usize::MAX);
    let Some(kernel) = packed
        .get(from..)
        .filter(|kernel| kernel.starts_with(b"\x1f\x8b"))
    else {
        return false;
    };
    // What follows the packed kernel does not belong to it: the error at its end does not count.
    let mut plain = Vec::new();
    if let Ok(reader) = decoder(Compression::Gzip, kernel) {
        let _ = reader.take(UNPACKED).read_to_end(&mut plain);
    }
    BANNERS.iter().any(|banner| contains(&plain, banner))
}

/// Whether the bytes from `start` to `end` have a barebox in them and no U-Boot.
#[must_use]
pub fn is_barebox(source: &Source, start: u64, end: u64) -> bool {
    let end = end.min(start.saturating_add(SEARCHED));
    holds(source, start, end, &[b"barebox"]) && !holds(source, start, end, &BANNERS)
}

/// Whether one of `words` is in these bytes of `source`. What cannot be read does not hold it.
fn holds(source: &Source, start: u64, end: u64, words: &[&[u8]]) -> bool {
    const PART: u64 = MIB;
    // The end of a part is read again with the next one.
    const OVERLAP: u64 = 64;
    let mut at = start;
    while at < end {
        let Ok(Some(data)) = source.next_data(at) else {
            return false;
        };
        at = at.max(data.start.saturating_sub(OVERLAP));
        let len = end.saturating_sub(at).min(PART.saturating_add(OVERLAP));
        let mut bytes = vec![0; usize::try_from(len).unwrap_or(0)];
        if source.read_exact_at(at, &mut bytes).is_err() {
            return false;
        }
        if words.iter().any(|word| contains(&bytes, word)) {
            return true;
        }
        at = at.saturating_add(PART);
    }
    false
}

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    let Some((first, rest)) = word.split_first() else {
        return true;
    };
    let mut left = bytes;
    while let Some(at) = left.iter().position(|byte| byte == first) {
        left = left.get(at.saturating_add(1)..).unwrap_or_default();
        if left.starts_with(rest) {
            return true;
        }
    }
    false
}

/// Whether a FIT image has a part of type `kernel` (`doc/usage/fit` of U-Boot): those of U-Boot
/// itself have the type `firmware` or `standalone`. Properties are walked, their values are not
/// read unless they are short (Devicetree Specification, section 5.4).
fn fit_has_kernel(source: &Source) -> bool {
    let word = |at: u64| {
        let mut bytes = [0; 4];
        source.read_exact_at(at, &mut bytes).ok()?;
        be32(&bytes, 0).map(u64::from)
    };
    let Some(mut at) = word(8) else {
        return false;
    };
    for _ in 0..FIT_TOKENS {
        let next = |len: u64| len.checked_next_multiple_of(4);
        let len = match word(at) {
            // The name of a node, up to a NUL.
            Some(1) => {
                let mut name = [0; 64];
                let Some(from) = at.checked_add(4) else {
                    return false;
                };
                let left = source.len().saturating_sub(from);
                let len = usize::try_from(left).map_or(name.len(), |left| left.min(name.len()));
                let part = name.get_mut(..len).unwrap_or_default();
                if source.read_exact_at(from, part).is_err() {
                    return false;
                }
                let len = name.iter().position(|byte| *byte == 0);
                len.and_then(|len| u64::try_from(len).ok()?.checked_add(5))
            }
            Some(3) => {
                let value = at.checked_add(4).and_then(word);
                let mut text = [0; 7];
                let from = at.saturating_add(12);
                if value == Some(7)
                    && source.read_exact_at(from, &mut text).is_ok()
                    && text == *b"kernel\0"
                {
                    return true;
                }
                value.and_then(|value| value.checked_add(12))
            }
            Some(2 | 4) => Some(4),
            _ => None,
        };
        let Some(end) = len.and_then(next).and_then(|len| at.checked_add(len)) else {
            return false;
        };
        at = end;
    }
    false
}

#[cfg(test)]
mod tests {
    #![allow(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::indexing_slicing
    )]

    use super::*;
    use crate::image::table::types;
    use crate::stream::{Codec, MemSource};
    use std::sync::Arc;

    fn of(parts: &[(usize, &[u8])]) -> StartImage {
        let mut bytes = vec![0; 1 << 16];
        for (at, part) in parts {
            bytes[*at..*at + part.len()].copy_from_slice(part);
        }
        let source: Source = Arc::new(MemSource(bytes.into()));
        StartImage::of(&source)
    }

    #[test]
    fn images_are_told_by_their_first_bytes() {
        for (at, magic, format, loader) in FORMATS {
            let image = of(&[(at, magic)]);
            assert_eq!((image.format, image.loader), (format, Some(loader)));
            assert_eq!(of(&[(at + 1, magic)]), StartImage::default(), "{format}");
        }
        let legacy = b"\x27\x05\x19\x56";
        assert!(of(&[(0, legacy), (28, &[5, 2, 2])]).loader.is_some());
        // A U-Boot for its first stage.
        assert_eq!(of(&[(0, legacy), (28, &[17, 2, 5])]).loader, None);
    }

    #[test]
    fn an_android_image_may_have_u_boot_in_it() {
        let head: [(usize, &[u8]); 2] = [(0, b"ANDROID!"), (36, &2048_u32.to_le_bytes())];
        let banner = b"U-Boot 2024.01 (Jan 01 2024)".as_slice();
        let plain = of(&[head[0], head[1], (9000, banner)]);
        assert_eq!(plain.loader, None);
        let codec = Codec::new(Compression::Gzip, None).unwrap();
        let packed = codec.compress(&vec![banner; 90].concat()).unwrap();
        let packed = of(&[head[0], head[1], (2048, &packed)]);
        assert_eq!(packed.format, "an Android boot image with U-Boot in it");
        assert_eq!(packed.loader, None);
    }

    #[test]
    fn a_fit_image_is_told_by_the_types_of_its_parts() {
        let fit = |kind: &[u8]| {
            let mut out = b"\xd0\x0d\xfe\xed".to_vec();
            out.extend([0, 0, 2, 0, 0, 0, 0, 40]);
            out.resize(40, 0);
            let mut put = |words: &[u32], text: &[u8]| {
                out.extend(words.iter().flat_map(|word| word.to_be_bytes()));
                out.extend(text);
                out.resize(out.len().next_multiple_of(4), 0);
            };
            put(&[1], b"\0");
            put(&[1], b"images\0");
            put(&[3, 21, 0], b"some data of 21 bytes");
            put(&[3, kind.len() as u32, 0], kind);
            put(&[2, 2, 9], b"");
            out
        };
        assert!(of(&[(0, &fit(b"kernel\0"))]).loader.is_some());
        for other in [b"standalone\0".as_slice(), b"firmware\0", b"kernel2\0"] {
            assert_eq!(of(&[(0, &fit(other))]).loader, None);
        }
    }

    #[test]
    fn partitions_have_names_with_and_without_slots() {
        let linux = types::GPT_LINUX;
        for name in ["boot", "boot_a", "A_kernel", "KERN-B", "vbmeta_b"] {
            assert!(StartImage::loader_by_name(linux, name).is_some(), "{name}");
        }
        for name in ["uboot", "loader1", "trust", "rootfs", "bootfs", "LNX", ""] {
            assert_eq!(StartImage::loader_by_name(linux, name), None, "{name}");
        }
        let chrome = PartitionType::Gpt("fe3a2a5d-4f32-41a7-b725-accc3285a309".parse().unwrap());
        assert_eq!(StartImage::loader_by_name(chrome, ""), Some(DEPTHCHARGE));
    }

    #[test]
    fn words_are_found_across_parts() {
        let mut bytes = vec![0; 3 << 20];
        let at = (1 << 20) - 3;
        bytes[at..at + 9].copy_from_slice(b"U-Boot 20");
        let source: Source = Arc::new(MemSource(bytes.into()));
        assert!(holds(&source, 0, 3 << 20, &BANNERS));
        assert!(!holds(&source, 1 << 20, 3 << 20, &BANNERS));
    }
}
