//! Artifacts held against `mender-artifact` and `openssl`.

use crate::support::{must, scratch, tool};
use goldsmith::artifact::{Meta, Signer, write};
use goldsmith::stream::{Codec, Compression, MemSource};
use std::fs::File;
use std::path::{Path, PathBuf};

/// Five megabytes, so that the image is cut into two frames: a pattern that compresses, then zeros.
fn image() -> Vec<u8> {
    let mut image: Vec<u8> = (0..3_000_000_u32)
        .map(|at| (at.wrapping_mul(2_654_435_761) >> 27).to_le_bytes()[0])
        .collect();
    image.resize(5 << 20, 0);
    image
}

fn meta(kind: Compression) -> Meta {
    Meta {
        name: "release-1".into(),
        device_types: vec!["dev-a".into(), "dev-b".into()],
        payload_name: "rootfs.ext4".into(),
        codec: Codec::from(kind),
        ..Meta::default()
    }
}

fn made(path: &Path, meta: &Meta, image: &[u8], signer: Option<&Signer>) -> PathBuf {
    let mut file = File::create(path).unwrap();
    write(&mut file, meta, &MemSource(image.into()), signer).unwrap();
    path.to_owned()
}

#[test]
fn the_reference_accepts_every_codec_that_it_knows() {
    let Some(reference) = tool("mender-artifact") else {
        return;
    };
    let dir = scratch();
    for kind in [Compression::None, Compression::Gzip, Compression::Xz] {
        let path = made(
            &dir.path().join(format!("{kind}.mender")),
            &meta(kind),
            &image(),
            None,
        );
        must(&reference, &[&"validate", &path]);
        let text = must(&reference, &[&"read", &"--no-progress", &path]);
        eprintln!("{text}");
        for expected in [
            "Name: release-1",
            "[dev-a dev-b]",
            "rootfs-image.checksum",
            "rootfs.ext4",
            "5242880",
            "rootfs-image.*",
        ] {
            assert!(text.contains(expected), "{kind}: no {expected} in\n{text}");
        }
    }
}
