//! `ldconfig(8)`: the cache of the dynamic loader, and the links by which libraries are found under
//! the names that they give themselves.
//!
//! The cache is that of glibc 2.33 and later for machines of which every kind of library is known.
//! Elsewhere it stays: what is in the loader's own directories it finds without the cache, what is
//! only in a directory of `/etc/ld.so.conf` by the cache alone.

mod elf;
mod format;

use super::super::script_host::ScriptHost;
use super::arguments::CommandResult;
use crate::shell::{Host as _, glob};
use crate::stream::ReadAt as _;
use crate::tree::edit::EditError;
use elf::Library;
use format::Entry;
use std::cmp::Ordering;
use std::collections::{BTreeMap, BTreeSet};

const CACHE: &str = "/etc/ld.so.cache";

/// Files that include each other; real systems have a few.
const MAX_FILES: usize = 1000;

/// The largest program that is searched for what it calls itself; ldconfig has 1 MiB.
const MAX_PROGRAM: u64 = 16 << 20;

/// Directories for processors, which ldconfig of glibc before 2.37 enters.
const LEGACY: [&str; 16] = [
    "atomics", "avx512_1", "haswell", "i586", "i686", "idiva", "neon", "sse2", "thumb", "tls",
    "v6l", "v7l", "v8l", "vfp", "x86_64", "xeon_phi",
];

/// A machine whose libraries are known.
struct Machine {
    triplet: &'static str,
    machine: u16,
    wide: bool,
    /// What all of `e_flags` has.
    needs: u32,
    /// The kind of library in the cache.
    flags: u32,
}

const MACHINES: [(&str, Machine); 3] = [
    (
        "amd64",
        Machine {
            triplet: "x86_64-linux-gnu",
            machine: 62,
            wide: true,
            needs: 0,
            flags: 0x0303,
        },
    ),
    (
        "arm64",
        Machine {
            triplet: "aarch64-linux-gnu",
            machine: 183,
            wide: true,
            needs: 0,
            flags: 0x0A03,
        },
    ),
    (
        "armhf",
        Machine {
            triplet: "arm-linux-gnueabihf",
            machine: 40,
            wide: false,
            // Version 5 of the ABI, floating-point numbers in their own registers.
            needs: 0x0500_0400,
            flags: 0x0903,
        },
    ),
];

/// What the model cannot reproduce.
struct Beyond;

type Result<T> = std::result::Result<std::result::Result<T, Beyond>, EditError>;

/// `Ok(Ok(x))` or out of the function.
macro_rules! within {
    ($result:expr) => {
        match $result {
            Ok(value) => value,
            Err(Beyond) => return Ok(Err(Beyond)),
        }
    };
}

pub(super) fn ldconfig(host: &mut ScriptHost<'_, '_>, args: &[&str]) -> CommandResult {
    let mut links = true;
    let mut rest = args.iter();
    while let Some(arg) = rest.next() {
        match *arg {
            "-v" | "--verbose" => {}
            "-X" => links = false,
            // The model works in the root in any case.
            "-r" if rest.next() == Some(&"/") => {}
            _ => return Ok(None),
        }
    }
    if rebuild(host, links)?.is_ok() {
        return Ok(Some(0));
    }
    let unreachable = unreachable(host)?;
    if unreachable.is_empty() {
        let package = host.package.name.clone();
        host.note(format!(
            "package {package}: the loader's cache stays that of the golden image: it finds new \
             libraries in the directories of the system without it"
        ));
    }
    for library in unreachable {
        host.refused.push(format!(
            "calls ldconfig, and {library} is found by the loader's cache alone, which cannot be \
             rebuilt for this system"
        ));
    }
    Ok(Some(0))
}

/// Makes the links and the cache anew.
fn rebuild(host: &mut ScriptHost<'_, '_>, links: bool) -> Result<()> {
    let native = host.database.real("all").to_owned();
    let machine = MACHINES.iter().find(|(name, _)| *name == native);
    let (Some((_, machine)), Some(generator)) = (machine, generator(host)?) else {
        return Ok(Err(Beyond));
    };
    let listed = within!(directories(host)?);
    let own = ["/lib", "/usr/lib"];
    let with_triplet = own.map(|dir| format!("{dir}/{}", machine.triplet));
    let own = own.map(str::to_owned);
    let mut seen = BTreeSet::new();
    let (mut entries, mut todo) = (Vec::new(), Vec::new());
    for dir in listed.into_iter().chain(with_triplet).chain(own) {
        // Of paths that are one directory, the first counts.
        let real = host.editor.tree().walk(dir.as_bytes(), true)?.path();
        if host.is_dir(&dir) && seen.insert(real) {
            todo.push(dir);
        }
    }
    for dir in todo {
        entries.extend(within!(library_entries(host, &dir, machine, links)?));
    }
    let Some(bytes) = format::build(entries, &generator) else {
        return Ok(Err(Beyond));
    };
    let reason = host.reason();
    host.editor.rewrite(CACHE, bytes, 0o644, &reason)?;
    Ok(Ok(()))
}

/// What the image's ldconfig calls itself in the cache; `None` for one that writes another form.
fn generator(host: &ScriptHost<'_, '_>) -> std::result::Result<Option<String>, EditError> {
    for path in [
        "/usr/sbin/ldconfig",
        "/sbin/ldconfig",
        "/sbin/ldconfig.real",
    ] {
        let bytes = host
            .editor
            .tree()
            .read(path, MAX_PROGRAM)?
            .unwrap_or_default();
        let named = bytes
            .split(|byte| *byte == 0)
            .filter_map(|text| std::str::from_utf8(text).ok())
            .find(|text| text.starts_with("ldconfig ") && text.contains(" release version "));
        if let Some(text) = named {
            return Ok(Some(text.to_owned()));
        }
    }
    Ok(None)
}

/// A file of a directory, by the name of its library.
struct Candidate {
    file: String,
    link: bool,
}

/// The entries of the libraries in a directory, whose links are made.
fn library_entries(
    host: &mut ScriptHost<'_, '_>,
    dir: &str,
    machine: &Machine,
    links: bool,
) -> Result<Vec<Entry>> {
    let has_library = |dir: String| !glob(host, &format!("{dir}/*.so*")).is_empty();
    if has_library(format!("{dir}/glibc-hwcaps/*"))
        || LEGACY
            .iter()
            .any(|name| has_library(format!("{dir}/{name}")))
    {
        return Ok(Err(Beyond));
    }
    let mut found: BTreeMap<String, Candidate> = BTreeMap::new();
    for file in host.names(dir).unwrap_or_default() {
        if !is_library_name(&file) {
            continue;
        }
        let path = format!("{dir}/{file}");
        let mut link = host.link_target(&path).is_some();
        let Some(content) = host.content(&path) else {
            // ldconfig removes links that lead nowhere.
            if links && link && !host.exists(&path) && file.contains(".so.") {
                host.remove(&path)?;
            }
            continue;
        };
        if content.len() < if machine.wide { 64 } else { 52 } {
            continue;
        }
        let mut magic = [0; 4];
        let elf = content.read_exact_at(0, &mut magic).is_ok() && magic == *b"\x7fELF";
        let Some(library) = Library::read(content).filter(|_| elf) else {
            continue;
        };
        if !machine.has(&library) {
            return Ok(Err(Beyond));
        }
        let soname = library.soname.unwrap_or_else(|| file.clone());
        // A link is one only under the library's name, or under the name for the linker.
        let for_linker = file.ends_with(".so") && soname.starts_with(&file);
        link &= file == soname || for_linker;
        let name = if link { file.clone() } else { soname };
        let better = found.get(&name).is_none_or(|other| {
            !link && other.link
                || link == other.link && format::compare(&other.file, &file) == Ordering::Less
        });
        if better {
            found.insert(name, Candidate { file, link });
        }
    }
    let mut out = Vec::new();
    for (name, candidate) in found {
        let path = format!("{dir}/{name}");
        if links && !candidate.link {
            make_link(host, dir, &candidate.file, &path)?;
        }
        out.push(Entry {
            flags: machine.flags,
            name,
            path,
        });
    }
    Ok(Ok(out))
}

/// Links the name of a library to its file, unless it leads there or is not a link.
fn make_link(
    host: &mut ScriptHost<'_, '_>,
    dir: &str,
    file: &str,
    path: &str,
) -> std::result::Result<(), EditError> {
    let real = |path: &str| host.editor.tree().walk(path.as_bytes(), true);
    let there = host.find_nofollow(path).is_some();
    if there && host.link_target(path).is_none() {
        return Ok(());
    }
    if !there || real(path)?.path() != real(&format!("{dir}/{file}"))?.path() {
        host.symlink(path, file)?;
    }
    Ok(())
}

impl Machine {
    fn has(&self, library: &Library) -> bool {
        library.machine == self.machine
            && library.wide == self.wide
            && library.flags & self.needs == self.needs
    }
}

/// Whether a name is that of a library, and not of a file that another program has in the making.
fn is_library_name(name: &str) -> bool {
    let starts = ["lib", "ld-", "ld.so", "ld64.so"];
    starts.iter().any(|start| name.starts_with(start))
        && name.contains(".so")
        && !name.ends_with(".#prelink#")
        && !name.contains(".#prelink#.")
        && !name.contains(';')
        && !name.ends_with(".tmp")
}

/// Libraries that the loader would find by a new cache alone.
fn unreachable(host: &ScriptHost<'_, '_>) -> std::result::Result<Vec<String>, EditError> {
    let cache = host.editor.read(CACHE, 64 << 20)?.unwrap_or_default();
    let mut out = Vec::new();
    for dir in directories(host)?.unwrap_or_default() {
        if own(&dir) {
            continue;
        }
        for path in glob(host, &format!("{dir}/lib*.so*")) {
            let stem = path.split(".so").next().unwrap_or(&path);
            let entry = format!("{stem}.so");
            let cached = cache
                .windows(entry.len())
                .any(|window| window == entry.as_bytes());
            if host.is_file(&path) && !cached {
                out.push(path);
            }
        }
    }
    Ok(out)
}

/// Whether the loader looks into a directory without the cache.
fn own(dir: &str) -> bool {
    let below = dir.strip_prefix("/usr").unwrap_or(dir);
    match below
        .strip_prefix("/lib")
        .map(|rest| rest.trim_start_matches('/'))
    {
        Some("") => true,
        Some(triplet) => triplet.contains("-linux-") && !triplet.contains('/'),
        None => below == "/lib64",
    }
}

/// The directories of `/etc/ld.so.conf` and the files that it includes, in their order.
fn directories(host: &ScriptHost<'_, '_>) -> Result<Vec<String>> {
    let (mut out, mut files) = (Vec::new(), 0);
    // What is left to be read, the next at the end: a file, or a directory.
    let mut todo = vec![(true, "/etc/ld.so.conf".to_owned())];
    while let Some((include, what)) = todo.pop() {
        if !include {
            out.push(what);
            continue;
        }
        files += 1;
        if files > MAX_FILES {
            return Ok(Err(Beyond));
        }
        let text = host.text(&what)?.unwrap_or_default();
        let base = what.rsplit_once('/').map_or("", |(dir, _)| dir);
        let mut found = Vec::new();
        for line in text.lines() {
            let line = line.split('#').next().unwrap_or_default().trim();
            if let Some(patterns) = line.strip_prefix("include") {
                if !patterns.starts_with([' ', '\t']) {
                    return Ok(Err(Beyond));
                }
                for pattern in patterns.split_whitespace() {
                    let pattern = if pattern.starts_with('/') {
                        pattern.to_owned()
                    } else {
                        format!("{base}/{pattern}")
                    };
                    let files = glob(host, &pattern);
                    found.extend(files.into_iter().map(|file| (true, file)));
                }
            } else if line.starts_with("hwcap ") {
                // An older setting, which is left alone.
            } else if line.contains('=') || !line.is_empty() && !line.starts_with('/') {
                return Ok(Err(Beyond));
            } else if !line.trim_end_matches('/').is_empty() {
                found.push((false, line.trim_end_matches('/').to_owned()));
            }
        }
        todo.extend(found.into_iter().rev());
    }
    Ok(Ok(out))
}
