//! Damaged qcow2 images.

use super::{image, refused};
use crate::support::{must, scratch, tool};
use std::fs;

/// A table entry of a qcow2 image.
fn entry(bytes: &[u8], at: u64) -> u64 {
    let at = usize::try_from(at).unwrap();
    u64::from_be_bytes(bytes[at..at + 8].try_into().unwrap())
}

#[test]
fn damaged_qcow2_tables_and_clusters_are_refused() {
    const OFFSET: u64 = 0x00ff_ffff_ffff_fe00;
    let Some(qemu) = tool("qemu-img") else { return };
    let dir = scratch();
    let [path, out] = ["raw", "q"].map(|name| dir.path().join(name));
    image(&path);
    let make = |arguments: &str| {
        let command = format!("{} convert -f raw -O qcow2 {arguments}", qemu.display());
        must(
            "sh",
            &[
                &"-c",
                &format!("{command} {} {}", path.display(), out.display()),
            ],
        );
        fs::read(&out).unwrap()
    };
    let damaged = |bytes: &[u8], at: u64, with: &[u8]| {
        let mut bytes = bytes.to_vec();
        let at = usize::try_from(at).unwrap();
        bytes[at..at + with.len()].copy_from_slice(with);
        fs::write(&out, bytes).unwrap();
        refused(&out)
    };
    let plain = make("");
    let l1 = entry(&plain, 40);
    let l2 = entry(&plain, l1) & OFFSET;
    let first = entry(&plain, l2);
    for (at, value, says) in [
        (l1, 1 << 40, "exceeds the file"),
        (l1, entry(&plain, l1) | 2, "bits that have no meaning"),
        (l2, first | 2, "the L2 entry of cluster 0 is"),
        (l2, 1 << 40, "cluster 0 is at offset"),
        (l2 + 8, first, "cluster 0 and cluster 1 overlap"),
        (l2, l1, "the L1 table and cluster 0 overlap"),
        (l2 + 8, l2, "an L2 table and cluster 1 overlap"),
    ] {
        let text = damaged(&plain, at, &value.to_be_bytes());
        assert!(text.contains(says), "{says}: {text}");
    }
    for arguments in ["-c", "-c -o compression_type=zstd"] {
        let packed = make(arguments);
        let l2 = entry(&packed, entry(&packed, 40)) & OFFSET;
        // A cluster of text, which is compressed: the second MiB begins with 16 of 64 KiB.
        let first = entry(&packed, l2 + 16 * 8);
        let at = first & ((1 << 54) - 1);
        let text = damaged(&packed, at, &[0xff; 16]);
        assert!(
            text.contains("compressed cluster 16 of the image"),
            "{text}"
        );
        let text = damaged(&packed, l2 + 17 * 8, &first.to_be_bytes());
        assert!(
            text.contains("compressed cluster 16 and compressed cluster 17 overlap"),
            "{text}"
        );
        let text = damaged(&packed, l2 + 16 * 8, &(first + 3).to_be_bytes());
        assert!(text.contains("compressed cluster 16"), "{text}");
    }
}
