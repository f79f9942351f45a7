//! Forms of input: what each tool makes of an image must read as the image.

mod qcow2;
mod zip;

use crate::support::{must, noise, scratch, tool};
use goldsmith::image::source::{self, InputFormat, OpenOptions, SourceError};
use goldsmith::report::{Report, Silent};
use goldsmith::stream::ReadAt;
use goldsmith::units::{KIB, MIB};
use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::Path;
use std::sync::Mutex;

const SIZE: u64 = 8 * MIB;

fn options(dir: &Path) -> OpenOptions<'_> {
    OpenOptions {
        spool_dir: dir,
        max_size: 64 * MIB,
        threads: 2,
        report: &Silent,
    }
}

/// A sparse image of noise, text, four bytes over and over, and holes. Its length is no multiple of
/// qcow2's clusters.
fn image(path: &Path) -> Vec<u8> {
    let file = File::create(path).unwrap();
    file.set_len(SIZE + 4096).unwrap();
    file.write_all_at(&noise(300 << 10, 1), 0).unwrap();
    file.write_all_at("text over and over\n".repeat(40_000).as_bytes(), MIB)
        .unwrap();
    file.write_all_at(&[0xde, 0xad, 0xbe, 0xef].repeat(64 << 10), 4 * MIB)
        .unwrap();
    file.write_all_at(&noise(4096, 2), SIZE).unwrap();
    fs::read(path).unwrap()
}

fn content(source: &dyn ReadAt) -> Vec<u8> {
    let mut out = vec![0; usize::try_from(source.len()).unwrap()];
    source.read_exact_at(0, &mut out).unwrap();
    // Holes are zeros, and reading piecemeal and backwards says the same.
    let mut sparse = vec![0; out.len()];
    let mut at = 0;
    while let Some(range) = source.next_data(at).unwrap() {
        let part = usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap();
        source
            .read_exact_at(range.start, &mut sparse[part])
            .unwrap();
        at = range.end;
    }
    assert!(sparse == out, "holes lie");
    for start in (0..out.len()).step_by(333_333).rev() {
        let mut piece = vec![0; 70_001.min(out.len() - start)];
        source.read_exact_at(start as u64, &mut piece).unwrap();
        assert!(piece == out[start..start + piece.len()]);
    }
    out
}

/// Opens a file, checks its form and content, and says how much of the result may be data.
fn opens(path: &Path, form: &InputFormat, expected: &[u8]) -> u64 {
    let dir = path.parent().unwrap();
    let input =
        source::open(path, &options(dir)).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    assert_eq!(&input.form, form);
    assert_eq!(input.stored_len, fs::metadata(path).unwrap().len());
    assert!(content(&*input.source) == expected, "{form}");
    input.check_unchanged().unwrap();
    let streamed = source::from_stream(File::open(path).unwrap(), &options(dir)).unwrap();
    assert_eq!(
        (&streamed.form, streamed.stored_len),
        (form, input.stored_len)
    );
    assert!(
        content(&*streamed.source) == expected,
        "{form} from a stream"
    );
    let (mut data, mut at) = (0, 0);
    while let Some(range) = input.source.next_data(at).unwrap() {
        data += range.end - range.start;
        at = range.end;
    }
    data
}

fn names(dir: &Path) -> Vec<String> {
    let mut names: Vec<_> = fs::read_dir(dir)
        .unwrap()
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn refused(path: &Path) -> String {
    match source::open(path, &options(path.parent().unwrap())) {
        Err(e) => e.to_string(),
        Ok(input) => panic!("{}: opened as {}", path.display(), input.form),
    }
}

#[test]
fn raw_images_keep_their_holes() {
    let dir = scratch();
    let path = dir.path().join("x.gz"); // the name says nothing
    let expected = image(&path);
    assert!(opens(&path, &InputFormat::Raw, &expected) < 3 * MIB);
    let input = source::open(&path, &options(dir.path())).unwrap();
    File::options()
        .write(true)
        .open(&path)
        .unwrap()
        .write_all_at(b"x", 9)
        .unwrap();
    assert!(matches!(
        input.check_unchanged(),
        Err(SourceError::Changed { .. })
    ));
    assert!(refused(dir.path()).contains("is a directory"));
    assert!(refused(&dir.path().join("missing")).contains("missing: No such file"));
}

#[test]
fn compressed_images_are_spooled_without_their_zeros() {
    let dir = scratch();
    let path = dir.path().join("x");
    let expected = image(&path);
    let (first, second) = (dir.path().join("first"), dir.path().join("second"));
    fs::write(&first, &expected[..5_000_001]).unwrap();
    fs::write(&second, &expected[5_000_001..]).unwrap();
    let cases = [
        ("gzip", InputFormat::Gzip, "-nc"),
        ("xz", InputFormat::Xz, "-c --block-size=1MiB -T2 -1"),
        ("zstd", InputFormat::Zstd, "-c -q"),
        ("bzip2", InputFormat::Bzip2, "-c"),
    ];
    for (name, form, arguments) in cases {
        let Some(program) = tool(name) else { continue };
        let packed = dir.path().join(format!("x.{name}"));
        let shell = |script: String| must("sh", &[&"-c", &script]);
        let (tool, out) = (program.display(), packed.display());
        shell(format!("{tool} {arguments} < {} > {out}", path.display()));
        assert!(opens(&packed, &form, &expected) < 3 * MIB, "{name}");
        // Several streams in one file.
        shell(format!(
            "for f in {} {}; do {tool} {arguments} < $f; done > {out}",
            first.display(),
            second.display()
        ));
        opens(&packed, &form, &expected);
        if form != InputFormat::Zstd {
            shell(format!("head -c 512 /dev/zero >> {out}"));
            opens(&packed, &form, &expected);
        }
        // Cut short, turned over.
        let bytes = fs::read(&packed).unwrap();
        fs::write(&packed, &bytes[..bytes.len() * 2 / 3]).unwrap();
        assert!(
            refused(&packed).starts_with(&format!("damaged {form}: ")),
            "{}",
            refused(&packed)
        );
        let mut turned = bytes.clone();
        turned[bytes.len() / 2] ^= 0x10;
        fs::write(&packed, turned).unwrap();
        assert!(
            refused(&packed).starts_with(&format!("damaged {form}: ")),
            "{}",
            refused(&packed)
        );
        fs::remove_file(&packed).unwrap();
    }
    assert_eq!(names(dir.path()), ["first", "second", "x"]);
}

#[test]
fn a_bomb_stops_at_the_limit() {
    let dir = scratch();
    for name in ["gzip", "xz", "zstd", "bzip2"] {
        let Some(program) = tool(name) else { continue };
        let path = dir.path().join(name);
        must(
            "sh",
            &[
                &"-c",
                &format!(
                    "head -c 70M /dev/zero | {} -c > {}",
                    program.display(),
                    path.display()
                ),
            ],
        );
        assert!(matches!(
            source::open(&path, &options(dir.path())),
            Err(SourceError::TooLarge(max)) if max == 64 * MIB
        ));
    }
}

#[test]
fn a_format_that_is_not_read_comes_with_its_command() {
    let dir = scratch();
    let problem = |name: &str, bytes: &[u8]| {
        let path = dir.path().join(name);
        fs::write(&path, [bytes, &[0; 600]].concat()).unwrap();
        let error = source::open(&path, &options(dir.path())).unwrap_err();
        let problem = error.problem();
        let hint = problem.hint.unwrap_or_default();
        (
            problem.message,
            hint.replace(&path.display().to_string(), name),
        )
    };
    let tar = |name: &[u8]| {
        let mut head = vec![0; 257];
        head[..name.len()].copy_from_slice(name);
        head.extend(b"ustar\0");
        head
    };
    for (name, bytes, message, command) in [
        (
            "a.vmdk",
            b"KDMV".to_vec(),
            "a VMDK image",
            "qemu-img convert -O raw a.vmdk disk.img",
        ),
        (
            "a.7z",
            b"7z\xbc\xaf\x27\x1c".to_vec(),
            "a 7-Zip archive",
            "7z x a.7z",
        ),
        ("a.tar", tar(b"disk.img"), "a tar archive", "tar -xf a.tar"),
        (
            "a.mender",
            tar(b"version"),
            "a Mender Artifact, which the update client of a device installs (mender-update install),",
            "give the disk image that was made with it (NAME.img); `goldsmith ls a.mender` shows its files",
        ),
        (
            "a.ova",
            tar(b"box.ovf"),
            "an OVA archive (an exported virtual machine)",
            "tar -xf a.ova, then qemu-img convert -O raw DISK.vmdk disk.img for its disk",
        ),
    ] {
        let expected = (format!("{message} is not supported"), command.to_owned());
        assert_eq!(problem(name, &bytes), expected);
    }
}

#[test]
fn zstd_windows_of_2_gib_are_read() {
    let Some(zstd) = tool("zstd") else { return };
    let dir = scratch();
    let path = dir.path().join("disk.img");
    let expected = image(&path);
    let out = dir.path().join("long.zst");
    // From a pipe, so that the frame does not say how little it contains.
    let command = format!(
        "{} -q -1 --long=31 <{} >{}",
        zstd.display(),
        path.display(),
        out.display()
    );
    must("sh", &[&"-c", &command]);
    opens(&out, &InputFormat::Zstd, &expected);
}

#[test]
fn qcow2_is_read_in_place() {
    let Some(qemu) = tool("qemu-img") else { return };
    let dir = scratch();
    let path = dir.path().join("raw");
    let expected = image(&path);
    let out = dir.path().join("q");
    for arguments in [
        "-o compat=0.10",
        "-o compat=1.1",
        "-o compat=1.1,cluster_size=512",
        "-o compat=1.1,cluster_size=2M",
        "-c -o compat=0.10",
        "-c -o compat=1.1",
        "-c -o compat=1.1,cluster_size=4k",
        "-c -o compat=1.1,compression_type=zstd",
        "-S 0 -o preallocation=metadata",
    ] {
        let script = format!(
            "{} convert -f raw -O qcow2 {arguments} {} {}",
            qemu.display(),
            path.display(),
            out.display()
        );
        must("sh", &[&"-c", &script]);
        let data = opens(&out, &InputFormat::Qcow2, &expected);
        assert!(
            data < 5 * MIB || arguments.contains("-S 0"),
            "{arguments}: {data}"
        );
    }
    // One more wrapping.
    if let Some(xz) = tool("xz") {
        must(
            "sh",
            &[
                &"-c",
                &format!(
                    "{} -0 -c {} > {}.xz",
                    xz.display(),
                    out.display(),
                    out.display()
                ),
            ],
        );
        opens(&dir.path().join("q.xz"), &InputFormat::Xz, &expected);
    }
}

#[test]
fn qcow2_that_cannot_be_read_is_refused() {
    let Some(qemu) = tool("qemu-img") else { return };
    let dir = scratch();
    let path = dir.path().join("raw");
    image(&path);
    let out = dir.path().join("q");
    let make = |arguments: &str| {
        must(
            "sh",
            &[
                &"-c",
                &format!("{} create -q -f qcow2 {arguments}", qemu.display()),
            ],
        );
        refused(&out)
    };
    let shown = out.display();
    assert!(make(&format!("-F raw -b {} {shown}", path.display())).contains("backing file"));
    assert!(make(&format!("-o extended_l2=on {shown} 1M")).contains("subclusters"));
    assert!(
        make(&format!(
            "-o data_file={} {shown} 1M",
            dir.path().join("data").display()
        ))
        .contains("another file")
    );
    // What is read in place costs nothing, so it may have any size.
    must(&qemu, &[&"create", &"-q", &"-f", &"qcow2", &out, &"1T"]);
    assert_eq!(
        source::open(&out, &options(dir.path()))
            .unwrap()
            .source
            .len(),
        1 << 40
    );
    must(&qemu, &[&"create", &"-q", &"-f", &"qcow2", &out, &"1M"]);
    let file = File::options().write(true).open(&out).unwrap();
    for (bit, says) in [
        (1u64, "dirty"),
        (2, "corrupt"),
        (1 << 40, "unknown incompatible feature 40"),
    ] {
        file.write_all_at(&bit.to_be_bytes(), 72).unwrap();
        assert!(refused(&out).contains(says), "{}", refused(&out));
    }
}

#[test]
fn android_sparse_is_read_in_place() {
    let Some(img2simg) = tool("img2simg") else {
        return;
    };
    let dir = scratch();
    let (path, out) = (dir.path().join("raw"), dir.path().join("sparse"));
    let expected = image(&path);
    must(img2simg, &[&path, &out]);
    assert!(opens(&out, &InputFormat::AndroidSparse, &expected) < 3 * MIB);
    let mut bytes = fs::read(&out).unwrap();
    fs::write(&out, &bytes[..bytes.len() / 2]).unwrap();
    assert!(refused(&out).starts_with("damaged Android sparse"));
    bytes[16] ^= 1;
    fs::write(&out, bytes).unwrap();
    assert!(refused(&out).starts_with("damaged Android sparse"));
}

#[test]
fn what_is_not_read_has_a_name() {
    let dir = scratch();
    let path = dir.path().join("x");
    for (bytes, says) in [
        (&b"KDMV"[..], "VMDK"),
        (b"7z\xbc\xaf\x27\x1c", "7-Zip"),
        (b"!<arch>\ndebian", "Debian package"),
    ] {
        fs::write(&path, bytes).unwrap();
        assert!(refused(&path).contains(says));
    }
    fs::write(&path, "").unwrap();
    assert_eq!(
        source::open(&path, &options(dir.path()))
            .unwrap()
            .source
            .len(),
        0
    );
}

#[test]
fn a_spool_is_told_and_its_want_of_room_too() {
    #[derive(Default)]
    struct Notes(Mutex<String>);
    impl Report for Notes {
        fn step(&self, _: &str, _: Option<u64>) {}
        fn advance(&self, _: u64) {}
        fn warn(&self, _: &str) {}
        fn note(&self, message: &str) {
            self.0.lock().unwrap().push_str(message);
        }
    }
    let dir = scratch();
    let packed = zstd::encode_all(&vec![0; 1 << 20][..], 1).unwrap();
    let path = dir.path().join("x");
    fs::write(&path, packed).unwrap();
    let notes = Notes::default();
    source::open(
        &path,
        &OpenOptions {
            report: &notes,
            ..options(dir.path())
        },
    )
    .unwrap();
    let said = notes.0.into_inner().unwrap();
    assert!(
        said.contains("decompressed 1 MiB into") && said.contains("0 B of it data"),
        "{said}"
    );
    let nowhere = dir.path().join("nowhere");
    assert!(matches!(
        source::open(&path, &options(&nowhere)),
        Err(SourceError::Spool(..))
    ));
    if let Some(losetup) =
        tool("losetup").filter(|_| fs::metadata("/proc/self").unwrap().uid() == 0)
    {
        let expected = image(&dir.path().join("disk"));
        let made = crate::support::run(
            &losetup,
            &[
                &"--find",
                &"--show",
                &"--read-only",
                &dir.path().join("disk"),
            ],
        );
        if !made.status.success() {
            eprintln!("SKIPPED: no loop devices here");
            return;
        }
        let device = String::from_utf8(made.stdout).unwrap().trim().to_owned();
        let opened = source::open(Path::new(&device), &options(dir.path()));
        let read = opened.map(|input| (input.form, content(&*input.source)));
        must(losetup, &[&"-d", &device]);
        let (form, bytes) = read.unwrap();
        assert!(form == InputFormat::BlockDevice && bytes == expected);
    }
}

#[test]
fn flips_never_panic() {
    let dir = scratch();
    let raw = dir.path().join("raw");
    let small = File::create(&raw).unwrap();
    small.set_len(256 * KIB).unwrap();
    small
        .write_all_at(&"some text\n".repeat(5000).into_bytes(), 64 * KIB)
        .unwrap();
    let path = dir.path().join("x");
    let mut inputs: Vec<Vec<u8>> = vec![];
    if let Some(qemu) = tool("qemu-img") {
        for extra in ["", "-c", "-c -o compression_type=zstd"] {
            let script = format!(
                "{} convert -f raw -O qcow2 {extra} {} {}",
                qemu.display(),
                raw.display(),
                path.display()
            );
            must("sh", &[&"-c", &script]);
            inputs.push(fs::read(&path).unwrap());
        }
    }
    if let Some(img2simg) = tool("img2simg") {
        must(img2simg, &[&raw, &path]);
        inputs.push(fs::read(&path).unwrap());
    }
    let text = fs::read(&raw).unwrap();
    inputs.push(zstd::encode_all(&text[..], 1).unwrap());
    let mut gz = flate2::write::GzEncoder::new(vec![], flate2::Compression::fast());
    gz.write_all(&text).unwrap();
    inputs.push(gz.finish().unwrap());
    let mut xz = liblzma::write::XzEncoder::new(vec![], 0);
    xz.write_all(&text).unwrap();
    inputs.push(xz.finish().unwrap());
    let mut state = 7u64;
    for bytes in inputs {
        // The bytes that say something: not the zeros of unused clusters.
        let places: Vec<usize> = (0..bytes.len())
            .filter(|at| bytes[*at] != 0 || *at < 112)
            .collect();
        for round in 0..250 {
            let mut copy = bytes.clone();
            for _ in 0..1 + round % 3 {
                state = state
                    .wrapping_mul(6_364_136_223_846_793_005)
                    .wrapping_add(1_442_695_040_888_963_407);
                let most = if round % 2 == 0 {
                    places.len()
                } else {
                    places.len().min(130)
                };
                copy[places[(state >> 33) as usize % most]] ^= 1 << (state >> 60 & 7);
            }
            fs::write(&path, copy).unwrap();
            if let Ok(input) = source::open(&path, &options(dir.path())) {
                let mut buf = vec![0; 1 << 16];
                let mut at = 0;
                while at < input.source.len() {
                    let part = usize::try_from((input.source.len() - at).min(1 << 16)).unwrap();
                    // What can be opened can be read.
                    input.source.read_exact_at(at, &mut buf[..part]).unwrap();
                    at += part as u64;
                }
            }
        }
    }
    assert_eq!(names(dir.path()), ["raw", "x"]);
}
