//! What the kernels were built with: `/boot/config-VERSION`, or the configuration inside the kernel
//! (`CONFIG_IKCONFIG`: between `IKCFG_ST` and `IKCFG_ED`, by gzip; `kernel/configs.c` of Linux).

use super::{Finding, System, codes};
use crate::golden::facts::is_started_by_units;
use crate::stream::{Compression, decoder};
use crate::tree::{Tree, show};
use std::io::Read;

/// The largest kernel that is read, packed or not (bytes).
const LIMIT: u64 = 128 << 20;
/// The largest configuration (bytes).
const CONFIG_LIMIT: u64 = 4 << 20;
const START: &[u8] = b"IKCFG_ST";
/// The number of places in a kernel that may begin a packed one.
const MAX_STARTS: usize = 64;

/// Findings about kernels that systemd would start on.
pub(super) fn examine(system: &System<'_>) -> Vec<Finding> {
    if !is_started_by_units(system.root) {
        return Vec::new();
    }
    let mut out = Vec::new();
    let mut unknown = Vec::new();
    for (path, version, tree, inner) in kernels(system) {
        let text = config(system.root, &version).or_else(|| embedded(tree, &inner));
        match text {
            Some((origin, text)) if !text.lines().any(|line| line == "CONFIG_FHANDLE=y") => {
                let origin = origin.unwrap_or_else(|| path.clone());
                let fact = format!(
                    "kernel {path} is built without CONFIG_FHANDLE, with which systemd finds its devices"
                );
                out.push(
                    Finding::new(&codes::KERNEL_FHANDLE, fact)
                        .at(origin, "CONFIG_FHANDLE is not set"),
                );
            }
            Some(_) => {}
            None => unknown.push((path, "no configuration".to_owned())),
        }
    }
    if !unknown.is_empty() {
        let text = "it is not known what the kernel was built with";
        out.push(Finding::new(&codes::KERNEL_CONFIG, text).all(unknown));
    }
    out
}

/// The kernels of a system: path on the device, version (empty if the name has none), and tree and
/// path of the file.
fn kernels<'a>(system: &System<'a>) -> Vec<(String, String, &'a Tree, String)> {
    let mut out = Vec::new();
    let mut add = |dir: &str, tree: &'a Tree, inner: &str| {
        let names = tree
            .dir(inner)
            .into_iter()
            .flat_map(|dir| dir.entries.keys());
        for name in names.map(|name| show(name)) {
            let version = ["vmlinuz-", "vmlinux-", "Image-", "zImage-"]
                .iter()
                .find_map(|start| name.strip_prefix(start));
            let pi = name.starts_with("kernel") && name.ends_with(".img");
            let path = format!("{}/{name}", inner.trim_end_matches('/'));
            let is_file = tree.file(&path).is_some();
            if is_file && (version.is_some() || pi) {
                let version = version.unwrap_or_default().to_owned();
                out.push((format!("{dir}{path}"), version, tree, path));
            }
        }
    };
    add("", system.root, "/boot");
    if let Some(boot) = system.boot {
        add(system.boot_mount.trim_end_matches('/'), boot, "/");
    }
    out
}

/// The configuration file of a kernel, and its path.
fn config(root: &Tree, version: &str) -> Option<(Option<String>, String)> {
    let paths = [
        format!("/boot/config-{version}"),
        format!("/lib/modules/{version}/config"),
        format!("/usr/lib/modules/{version}/config"),
    ];
    let found = |path: &String| {
        let bytes = root.read(path, CONFIG_LIMIT).ok()??;
        let text = String::from_utf8_lossy(&bytes).into_owned();
        Some((Some(path.clone()), text))
    };
    paths.iter().filter(|_| !version.is_empty()).find_map(found)
}

/// The configuration inside the kernel at `path`.
fn embedded(tree: &Tree, path: &str) -> Option<(Option<String>, String)> {
    let bytes = tree.read(path, LIMIT).ok()??;
    let text = marked(&bytes).or_else(|| {
        let starts = packed(&bytes).into_iter().take(MAX_STARTS);
        let mut unpacked = starts.filter_map(|(kind, at)| unpack(kind, bytes.get(at..)?));
        unpacked.find_map(|inner| marked(&inner))
    })?;
    Some((None, text))
}

/// The configuration after its mark in an unpacked kernel.
fn marked(kernel: &[u8]) -> Option<String> {
    let mut from = 0;
    while let Some(at) = find(kernel, START, from) {
        from = at + START.len();
        let bytes = kernel.get(from..)?;
        if bytes.starts_with(&[0x1F, 0x8B])
            && let Some(text) = unpack(Compression::Gzip, bytes)
        {
            return Some(String::from_utf8_lossy(&text).into_owned());
        }
    }
    None
}

/// The places where a packed kernel may begin: the marks of gzip, xz and zstd.
fn packed(kernel: &[u8]) -> Vec<(Compression, usize)> {
    let marks: [(Compression, &[u8]); 3] = [
        (Compression::Gzip, &[0x1F, 0x8B, 8]),
        (Compression::Xz, &[0xFD, b'7', b'z', b'X', b'Z', 0]),
        (Compression::Zstd, &[0x28, 0xB5, 0x2F, 0xFD]),
    ];
    let mut out = Vec::new();
    for (kind, mark) in marks {
        let mut from = 0;
        while let Some(at) = find(kernel, mark, from) {
            out.push((kind, at));
            from = at + 1;
        }
    }
    out.sort_by_key(|(_, at)| *at);
    out
}

/// The bytes that are packed at the start of `bytes`; what follows the packed data does not matter.
fn unpack(kind: Compression, bytes: &[u8]) -> Option<Vec<u8>> {
    let mut out = Vec::new();
    let mut decoder = decoder(kind, bytes).ok()?.take(LIMIT);
    let mut part = vec![0; 1 << 16];
    loop {
        match decoder.read(&mut part) {
            Ok(0) => break,
            Ok(count) => out.extend_from_slice(part.get(..count)?),
            // Other bytes follow the packed ones.
            Err(_) => break,
        }
    }
    (!out.is_empty()).then_some(out)
}

/// Where `word` is in `bytes`, from `from` on.
fn find(bytes: &[u8], word: &[u8], from: usize) -> Option<usize> {
    let rest = bytes.get(from..)?;
    let at = rest.windows(word.len()).position(|window| window == word)?;
    Some(from + at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::accepted::AcceptedFiles;
    use crate::stream::Codec;
    use crate::tree::{Stat, Time};

    /// A kernel with a configuration inside, as the linker lays it out.
    fn kernel(config: &str) -> Vec<u8> {
        let gzip = Codec::new(Compression::Gzip, None).unwrap();
        let packed = gzip.compress(config.as_bytes()).unwrap();
        [b"code IKCFG_ST".to_vec(), packed, b"IKCFG_ED code".to_vec()].concat()
    }

    /// The codes for a system with this kernel and no configuration file.
    fn codes(kernel: Vec<u8>) -> Vec<&'static str> {
        let stat = || Stat::root(0o644, Time::default());
        let mut root = Tree::new(Stat::root(0o755, Time::default()));
        root.put_file("/usr/lib/systemd/systemd", "x", stat())
            .unwrap();
        root.put_file("/boot/vmlinuz-6.1", kernel, stat()).unwrap();
        let accepted = AcceptedFiles::default();
        let system = System::new(&root, (None, "/boot"), None, &accepted);
        let found = examine(&system);
        found.into_iter().map(|finding| finding.code).collect()
    }

    #[test]
    fn the_configuration_inside_a_kernel_is_read() {
        let good = kernel("CONFIG_FHANDLE=y\n");
        let bad = kernel("# CONFIG_FHANDLE is not set\n");
        assert_eq!(codes(good.clone()), [""; 0]);
        assert_eq!(codes(bad.clone()), ["kernel-fhandle"]);
        for kind in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            let codec = Codec::new(kind, None).unwrap();
            let pack = |kernel: &[u8]| {
                let packed = codec.compress(kernel).unwrap();
                [b"MZ loader".to_vec(), packed, b"more".to_vec()].concat()
            };
            assert_eq!(codes(pack(&good)), [""; 0], "{kind:?}");
            assert_eq!(codes(pack(&bad)), ["kernel-fhandle"], "{kind:?}");
        }
        assert_eq!(codes(b"no configuration".to_vec()), ["kernel-config"]);
    }
}
