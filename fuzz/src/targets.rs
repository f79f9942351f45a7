//! One function for each format. None may panic, run long or take memory out of proportion,
//! whatever it is given; those that can say more about a good result do so. `tests/it/replay.rs`
//! calls the same functions without a fuzzer.

use super::sparse::Sparse;
use goldsmith::artifact;
use goldsmith::config::{Config, Layer, Origin, OriginKind};
use goldsmith::convert;
use goldsmith::deb::{DebLimits, Package, Relations, Version, stanzas};
use goldsmith::dpkg;
use goldsmith::fs::{ext4, fat};
use goldsmith::image::output::BlockMap;
use goldsmith::image::source::{self, InputImage, OpenOptions};
use goldsmith::image::table::PartitionTable;
use goldsmith::plan::PlanRequest;
use goldsmith::plan::host::HostFiles;
use goldsmith::report::Silent;
use goldsmith::shell::{
    self, ExitStatus, Host, HostError, Invocation, Io, UnknownStatement, Variables,
};
use goldsmith::stamp::{Time, Uuid};
use goldsmith::stream::{MemSource, ReadAt, Source};
use goldsmith::tree::editor::TreeEditor;
use goldsmith::tree::{DirEntry, LeafKind, Stat, Tree};
use goldsmith::verify::{self, Log};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

const MIB: u64 = 1 << 20;
const TIME: Time = Time {
    seconds: 1_700_000_000,
    nanos: 0,
};

fn memory(data: &[u8]) -> Source {
    Arc::new(MemSource(data.into()))
}

/// The disk of an input whose first byte says whether the sums of its GPTs are made right, which
/// chance never would.
fn disk(data: &[u8]) -> Option<Source> {
    let (how, rest) = data.split_first()?;
    let mut disk = Sparse::decode(rest)?;
    if how & 1 == 1 {
        for header in [Some(512), disk.len().checked_sub(512)]
            .into_iter()
            .flatten()
        {
            reseal(&mut disk, header);
        }
    }
    Some(disk.source())
}

/// Makes both sums of the GPT whose header is at `at` right (UEFI 2.10, section 5.3.2).
fn reseal(disk: &mut Sparse, at: u64) -> Option<()> {
    let mut header = disk.get(at, 92)?;
    if !header.starts_with(b"EFI PART") {
        return None;
    }
    let entries = u64::from_le_bytes(header[72..80].try_into().ok()?).checked_mul(512)?;
    let word = |at: usize| {
        u64::from(u32::from_le_bytes(std::array::from_fn(|byte| {
            header[at + byte]
        })))
    };
    let len = word(80).checked_mul(word(84)).filter(|len| *len <= MIB)?;
    let sum = crc32fast::hash(&disk.get(entries, usize::try_from(len).ok()?)?);
    header[88..92].copy_from_slice(&sum.to_le_bytes());
    header[16..20].fill(0);
    let sum = crc32fast::hash(&header);
    header[16..20].copy_from_slice(&sum.to_le_bytes());
    disk.put(at, &header);
    Some(())
}

/// Partition tables: what can be read can be written, and reads the same again.
pub fn table(data: &[u8]) {
    let Some(disk) = disk(data) else { return };
    let Ok(table) = PartitionTable::read(&*disk) else {
        return;
    };
    if table.partitions.is_empty() {
        // An extended partition with nothing in it is read as a table of nothing, which is not
        // written.
        return;
    }
    let Ok(parts) = table.encode(disk.len()) else {
        return;
    };
    let mut copy = Sparse::blank(disk.len());
    for (at, bytes) in parts {
        copy.put(at, &bytes);
    }
    let again = PartitionTable::read(&copy).expect("a table of ours");
    assert_eq!(again.disk_id, table.disk_id);
    assert_eq!(again.partitions.len(), table.partitions.len());
}

/// Reads some of every file.
fn walk(tree: &Tree) {
    let mut left = 4 * MIB;
    let mut buf = vec![0; 1 << 16];
    tree.visit(&mut |_, entry| {
        let DirEntry::Leaf(id) = entry else { return };
        let LeafKind::File(content) = &tree.leaf(*id).kind else {
            return;
        };
        let mut at = 0;
        while let Ok(Some(range)) = content.next_data(at) {
            let part = (range.end - range.start).min(left).min(buf.len() as u64);
            if part == 0 {
                return;
            }
            let read = content.read_exact_at(range.start, &mut buf[..part as usize]);
            left -= part;
            if read.is_err() {
                return;
            }
            at = range.start + part;
        }
    });
}

/// ext2, ext3 and ext4: the reader, and the check that knows nothing of it. What the check finds
/// good can be read.
pub fn ext4(data: &[u8]) {
    let Some(disk) = Sparse::decode(data) else {
        return;
    };
    let source = disk.source();
    let mut log = Log::default();
    verify::ext4::check(&*source, None, &mut log);
    let _ = log.finish();
    if let Ok(tree) = ext4::read::Filesystem::open(source).and_then(|fs| fs.tree()) {
        walk(&tree);
    }
}

/// Whatever the reader of ext4 takes, the writer writes without a fault, or refuses.
pub fn carry(data: &[u8]) {
    let Some(disk) = Sparse::decode(data) else {
        return;
    };
    let Ok(tree) = ext4::read::Filesystem::open(disk.source()).and_then(|fs| fs.tree()) else {
        return;
    };
    let options = ext4::write::Options::new(Uuid([1; 16]), Uuid([2; 16]), TIME);
    let Ok(size) = ext4::write::minimum_size(&tree, &options) else {
        return;
    };
    if size > 64 * MIB {
        return;
    }
    let Ok(image) = ext4::write::write(&tree, size, &options) else {
        return;
    };
    let mut log = Log::default();
    verify::ext4::check(&image, None, &mut log);
    let outcome = log.finish();
    assert!(outcome.is_good(), "{:?}", outcome.findings);
    let source: Source = Arc::new(image);
    let again = ext4::read::Filesystem::open(source)
        .and_then(|fs| fs.tree())
        .expect("a filesystem of ours");
    let count = |tree: &Tree| {
        let mut count = 0;
        tree.visit(&mut |_, _| count += 1);
        count
    };
    let missing = usize::from(!tree.root.entries.contains_key(&b"lost+found"[..]));
    assert_eq!(count(&again), count(&tree) + missing);
}

/// FAT: the reader, and the writer with what it read.
pub fn fat(data: &[u8]) {
    let Some(disk) = Sparse::decode(data) else {
        return;
    };
    let Ok((tree, _)) = fat::read(disk.source()) else {
        return;
    };
    walk(&tree);
    let options = fat::Options {
        volume_id: 1,
        label: None,
        time: TIME,
        kind: fat::RequestedKind::Auto,
        hidden_sectors: 0,
    };
    let Ok(size) = fat::minimum_size(&tree, &options) else {
        return;
    };
    if size > 64 * MIB {
        return;
    }
    let Ok(image) = fat::write(&tree, size, &options) else {
        return;
    };
    fat::read(Arc::new(image)).expect("a filesystem of ours");
}

fn limits() -> DebLimits {
    DebLimits {
        control: MIB,
        data: 16 * MIB,
        entries: 10_000,
    }
}

/// Debian packages, with everything that is a language of its own in them.
pub fn deb(data: &[u8]) {
    let Ok(package) = Package::read(&memory(data), limits()) else {
        return;
    };
    let fields: Vec<(String, String)> = package
        .control
        .fields()
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    for (name, value) in fields {
        let _ = Relations::parse(&value, "amd64");
        if name == "Version" {
            let _ = value.parse::<Version>();
        }
    }
    for member in package.members.values() {
        let _ = stanzas(&member.bytes);
    }
}

/// The ar archive of a package with these archives.
fn package(control: &[u8], data: &[u8]) -> Vec<u8> {
    let mut out = b"!<arch>\n".to_vec();
    for (name, bytes) in [
        ("debian-binary", b"2.0\n".as_slice()),
        ("control.tar", control),
        ("data.tar", data),
    ] {
        out.extend(
            format!(
                "{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n",
                0,
                0,
                0,
                "100644",
                bytes.len()
            )
            .bytes(),
        );
        out.extend(bytes);
        out.resize(out.len().next_multiple_of(2), b'\n');
    }
    out
}

/// A member of a tar archive.
fn member(name: &str, bytes: &[u8]) -> Vec<u8> {
    claimed(name, bytes.len() as u64, bytes)
}

/// A member of a tar archive (POSIX.1-1988, ustar) that says it has `size` bytes, and those that it
/// has.
pub fn claimed(name: &str, size: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 512];
    let mut put = |at: usize, text: &str| out[at..at + text.len()].copy_from_slice(text.as_bytes());
    put(0, name);
    put(100, "0000755");
    put(108, "0000000");
    put(116, "0000000");
    put(124, &format!("{size:011o}"));
    put(136, "00000000000");
    put(148, "        ");
    put(156, "0");
    put(257, "ustar\x0000");
    let sum: u32 = out.iter().map(|byte| u32::from(*byte)).sum();
    out[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    out.extend(bytes);
    out.resize(out.len().next_multiple_of(512), 0);
    out
}

const CONTROL: &[u8] =
    b"Package: a\nVersion: 1\nArchitecture: amd64\nMaintainer: M <m@example.org>\nDescription: a\n";

/// A system that packages are installed into.
fn system() -> Tree {
    let mut tree = Tree::new(Stat::root(0o755, TIME));
    let files: [(&str, &str); 8] = [
        (
            "/var/lib/dpkg/status",
            "Package: dpkg\nStatus: install ok installed\nArchitecture: amd64\nVersion: 1.21\n\n",
        ),
        ("/var/lib/dpkg/arch", "amd64\n"),
        ("/var/lib/dpkg/info/format", "1\n"),
        ("/etc/passwd", "root:x:0:0:root:/root:/bin/bash\n"),
        ("/etc/group", "root:x:0:\nadm:x:4:\nusers:x:100:\n"),
        ("/etc/shadow", "root:*:1::::::\n"),
        ("/etc/gshadow", "root:*::\n"),
        ("/usr/bin/adduser", ""),
    ];
    for (path, text) in files {
        tree.put_file(path, text, Stat::root(0o755, TIME))
            .expect("a file");
    }
    tree.put_symlink("/lib", "usr/lib", TIME).expect("a link");
    tree.put_symlink("/out", "/../../../etc", TIME)
        .expect("a link");
    tree
}

/// Installs a package into a small system; that is what it was before unless all went well.
fn install(deb: &[u8]) {
    let mut tree = system();
    let before = goldsmith::tree::dump::dump(&tree).expect("a dump");
    let mut editor = TreeEditor::new(&mut tree, TIME);
    let request = dpkg::InstallRequest {
        debs: vec![("a.deb".into(), memory(deb))],
        ..Default::default()
    };
    let done = dpkg::install(&mut editor, &request);
    drop(editor);
    if done.is_err() {
        assert_eq!(
            goldsmith::tree::dump::dump(&tree).expect("a dump"),
            before,
            "refused and half done"
        );
    }
}

/// The files of a package: an archive that names them, installed.
pub fn tar(data: &[u8]) {
    install(&package(&member("./control", CONTROL), data));
}

/// A maintainer script, run by the interpreter.
pub fn script(data: &[u8]) {
    let control = [member("./control", CONTROL), member("./postinst", data)].concat();
    install(&package(&control, &member("./usr/share/a", b"a")));
}

/// A host in memory: files by path, and commands that echo their arguments or their input.
#[derive(Default)]
struct MemoryHost {
    files: BTreeMap<String, String>,
    work: std::cell::Cell<u64>,
}

impl MemoryHost {
    fn count(&self, bytes: usize) {
        self.work.set(self.work.get() + bytes as u64);
    }
}

impl Host for MemoryHost {
    fn run(
        &mut self,
        name: &str,
        arguments: &[String],
        variables: &mut Variables,
        io: &mut Io,
    ) -> Result<Option<ExitStatus>, HostError> {
        Ok(match name {
            "echo" | "printf" => {
                io.print_line(&arguments.join(" "));
                Some(0)
            }
            "cat" => {
                let rest = io.rest();
                self.count(rest.len());
                io.output.push_str(&rest);
                Some(0)
            }
            ":" | "true" => Some(0),
            "test" | "[" | "false" => Some(1),
            "db_get" => {
                variables.insert("RET".into(), arguments.join(" "));
                Some(0)
            }
            "sync" => return Err("no such device".into()),
            _ => None,
        })
    }

    fn unknown(&mut self, statement: UnknownStatement) {
        assert!(statement.line > 0, "lines are counted from 1");
    }

    fn read(&self, path: &str) -> Result<Option<String>, HostError> {
        let text = self.files.get(path);
        self.count(text.map_or(0, String::len));
        Ok(text.cloned())
    }

    fn write(&mut self, path: &str, text: &str, append: bool) -> Result<(), HostError> {
        let file = self.files.entry(path.to_owned()).or_default();
        if !append {
            file.clear();
        }
        file.push_str(text);
        self.work.set(self.work.get() + file.len() as u64);
        Ok(())
    }

    fn is_file(&self, path: &str) -> bool {
        self.files.contains_key(path)
    }

    fn size(&self, path: &str) -> u64 {
        self.files.get(path).map_or(0, |text| text.len() as u64)
    }

    fn has_entry(&self, path: &str) -> bool {
        self.files.contains_key(path) || self.names(path).is_some()
    }

    fn names(&self, dir: &str) -> Option<Vec<String>> {
        let dir = format!("{}/", dir.trim_end_matches('/'));
        let below = self.files.range(dir.clone()..);
        let rests = below.map_while(|(file, _)| file.strip_prefix(&dir));
        let mut names: Vec<String> = rests
            .filter_map(|rest| Some(rest.split('/').next()?.to_owned()))
            .collect();
        names.dedup();
        (!names.is_empty()).then_some(names)
    }

    fn work(&self) -> u64 {
        self.work.get()
    }
}

/// The interpreter alone. A script does the same every time.
pub fn shell(data: &[u8]) {
    let script = String::from_utf8_lossy(data);
    let run = || {
        let mut host = MemoryHost::default();
        for path in ["/etc/a.conf", "/etc/b.conf", "/usr/bin/a"] {
            host.files.insert(path.into(), "key=value\nother\n".into());
        }
        let call = Invocation {
            name: "/postinst".into(),
            arguments: vec!["configure".into(), "1.0-1".into()],
            variables: Variables::from([("PATH".into(), "/usr/bin".into())]),
            ..Invocation::default()
        };
        let result = shell::run(&script, call, &mut host);
        if let Err(error) = &result {
            assert!(error.line > 0 || error.reason.is_empty(), "{error}");
        }
        (result, host.files)
    };
    assert!(run() == run(), "the same script, another result");
}

/// Artifacts, each reading of them.
pub fn artifact(data: &[u8]) {
    let shown = artifact::show(&mut &*data).expect("bytes in memory");
    let examined = artifact::validate(&mut &*data, None).expect("bytes in memory");
    assert!(examined.findings.len() <= 101 && shown.findings.len() <= 101);
}

/// Configuration: as a file, and as arguments.
pub fn config(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    if let Ok(config) = Config::parse(text) {
        // What is shown is itself a configuration.
        let shown = config.show();
        if let Err(error) = Config::parse(&shown) {
            panic!("{error:?}\n{shown}");
        }
    }
    let origin = Origin {
        kind: OriginKind::File,
        name: "device.toml".into(),
        base: PathBuf::new(),
    };
    let layers = [Layer::parse(text, origin), Layer::set(text, PathBuf::new())];
    let _ = Config::from_layers(layers.into_iter().flatten().collect());
}

/// Block maps: what can be read is written in a form that reads the same.
pub fn bmap(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else {
        return;
    };
    let Ok(map) = BlockMap::parse(text) else {
        return;
    };
    let _ = map.mapped_len();
}

/// Reads the start of each range of an image, as far as patience goes.
fn skim(image: &dyn ReadAt) {
    let mut buf = vec![0; 4096];
    let mut at = 0;
    for _ in 0..2000 {
        let Ok(Some(range)) = image.next_data(at) else {
            return;
        };
        let part = (range.end - range.start).min(buf.len() as u64) as usize;
        if image.read_exact_at(range.start, &mut buf[..part]).is_err() || part == 0 {
            return;
        }
        at = range.start + part as u64;
    }
}

/// The first bytes of `data` made those of a form.
fn with_magic(magic: &[u8], data: &[u8]) -> Vec<u8> {
    let mut bytes = data.to_vec();
    if bytes.len() >= magic.len() {
        bytes[..magic.len()].copy_from_slice(magic);
    }
    bytes
}

/// qcow2 images.
pub fn qcow2(data: &[u8]) {
    if let Ok(image) = source::in_place(memory(&with_magic(b"QFI\xfb", data))) {
        skim(&*image);
    }
}

/// Android sparse images.
pub fn simg(data: &[u8]) {
    if let Ok(image) = source::in_place(memory(&with_magic(&[0x3a, 0xff, 0x26, 0xed], data))) {
        skim(&*image);
    }
}

/// Images in any compressed form, decoded into a file of at most 16 MiB.
pub fn packed(data: &[u8]) {
    let options = OpenOptions {
        spool_dir: Path::new("/tmp"),
        max_size: 16 * MIB,
        threads: 1,
        report: &Silent,
    };
    if let Ok(input) = source::from_stream(data, &options) {
        skim(&*input.source);
    }
}

/// A whole golden image up to the first byte that would be written.
pub fn plan(data: &[u8]) {
    let Some(disk) = disk(data) else { return };
    let text = "[board]\ndevice-type = [\"a\"]\n[storage]\nsize = \"64 MiB\"\n[boot]\nsize = \"4 MiB\"\n[data]\nsize = \"8 MiB\"\n\
                [artifact]\nname = \"r1\"\n[client]\nrequired = false\n";
    let config = Config::parse(text).unwrap_or_else(|error| panic!("{error:?}"));
    let request = convert::Request {
        plan: PlanRequest {
            config: &config,
            host: HostFiles {
                disk: Path::new("a.img"),
                overlays: &[],
                preserve_layout: None,
                modes: Default::default(),
                package_cache: Path::new(""),
                epoch: Some(1),
            },
        },
        run_hooks: false,
        upgrade_from: None,
        shared: None,
        strict: false,
        report: &Silent,
    };
    let _ = convert::prepare(&request, InputImage::of(disk));
}

/// A finished image.
pub fn verify(data: &[u8]) {
    let Some(disk) = disk(data) else { return };
    let _ = verify::image(&disk, &verify::Request::default());
}
