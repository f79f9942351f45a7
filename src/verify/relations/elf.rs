//! The libraries that a program needs, and where the dynamic loader finds them (System V ABI,
//! "Program Loading and Dynamic Linking"; search order of `ld.so(8)` without `RPATH`).

use crate::stream::ReadAt as _;
use crate::tree::Tree;
use crate::units::MIB;
use std::collections::BTreeSet;

/// The largest program or library that is read (bytes).
const LIMIT: u64 = 256 * MIB;
/// The number of libraries that are followed for one program.
const MAX_LIBRARIES: usize = 512;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const PT_INTERP: u32 = 3;
const DT_NEEDED: u64 = 1;
const DT_STRTAB: u64 = 5;

/// The fields of a program that matter here.
#[derive(Debug, Default, PartialEq, Eq)]
struct Program {
    machine: u16,
    interpreter: Option<String>,
    needed: Vec<String>,
}

/// A little-endian ELF file of either width.
struct Elf<'b> {
    bytes: &'b [u8],
    wide: bool,
}

/// Whether a program is one of 32 bits; `None` if it is not an ELF file.
pub(super) fn is_32_bit(root: &Tree, path: &str) -> Option<bool> {
    let mut head = [0; 5];
    root.file(path)?.read_exact_at(0, &mut head).ok()?;
    match head {
        [0x7F, b'E', b'L', b'F', class] => Some(class == 1),
        _ => None,
    }
}

impl Elf<'_> {
    fn number(&self, at: usize, len: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(len)?)?;
        Some(
            bytes
                .iter()
                .rev()
                .fold(0, |number, byte| number << 8 | u64::from(*byte)),
        )
    }

    /// An address or offset, at `wide` or `narrow` by the width.
    fn word(&self, base: usize, narrow: usize, wide: usize) -> Option<u64> {
        if self.wide {
            self.number(base.checked_add(wide)?, 8)
        } else {
            self.number(base.checked_add(narrow)?, 4)
        }
    }

    fn text(&self, at: u64) -> Option<String> {
        let rest = self.bytes.get(usize::try_from(at).ok()?..)?;
        let end = rest.iter().take(4096).position(|byte| *byte == 0)?;
        Some(String::from_utf8_lossy(rest.get(..end)?).into_owned())
    }

    /// Kind, offset, address and length in the file of each program header.
    fn headers(&self) -> Option<Vec<(u32, u64, u64, u64)>> {
        let start = usize::try_from(self.word(0, 28, 32)?).ok()?;
        let size = usize::try_from(self.number(if self.wide { 54 } else { 42 }, 2)?).ok()?;
        let count = usize::try_from(self.number(if self.wide { 56 } else { 44 }, 2)?).ok()?;
        let mut out = Vec::new();
        for index in 0..count {
            let at = start.checked_add(index.checked_mul(size)?)?;
            let kind = u32::try_from(self.number(at, 4)?).ok()?;
            out.push((
                kind,
                self.word(at, 4, 8)?,
                self.word(at, 8, 16)?,
                self.word(at, 16, 32)?,
            ));
        }
        Some(out)
    }

    fn program(&self) -> Option<Program> {
        let headers = self.headers()?;
        let of = |kind: u32| headers.iter().find(|header| header.0 == kind);
        let interpreter = of(PT_INTERP).and_then(|header| self.text(header.1));
        let machine = u16::try_from(self.number(18, 2)?).ok()?;
        let Some((_, start, _, len)) = of(PT_DYNAMIC) else {
            return Some(Program {
                machine,
                interpreter,
                needed: Vec::new(),
            });
        };
        let step = if self.wide { 16 } else { 8 };
        let mut entries = Vec::new();
        for index in 0..len.checked_div(step)? {
            let at = usize::try_from(start.checked_add(index.checked_mul(step)?)?).ok()?;
            entries.push((self.word(at, 0, 0)?, self.word(at, 4, 8)?));
        }
        let strings = entries.iter().find(|(tag, _)| *tag == DT_STRTAB)?.1;
        let load = headers.iter().find(|(kind, _, address, len)| {
            *kind == PT_LOAD && (*address..address.saturating_add(*len)).contains(&strings)
        })?;
        let base = strings.checked_sub(load.2)?.checked_add(load.1)?;
        let names = entries
            .iter()
            .filter(|(tag, _)| *tag == DT_NEEDED)
            .map(|(_, at)| base.checked_add(*at).and_then(|at| self.text(at)));
        Some(Program {
            machine,
            interpreter,
            needed: names.collect::<Option<_>>()?,
        })
    }
}

fn parse(bytes: &[u8]) -> Option<Program> {
    let elf = bytes.starts_with(b"\x7fELF") && bytes.get(5) == Some(&1);
    let wide = *bytes.get(4)? == 2;
    if elf {
        Elf { bytes, wide }.program()
    } else {
        None
    }
}

/// The directories that the loader searches, by `e_machine`.
fn dirs(machine: u16) -> Vec<String> {
    let triplet = match machine {
        3 => "i386-linux-gnu",
        40 => "arm-linux-gnueabihf",
        62 => "x86_64-linux-gnu",
        183 => "aarch64-linux-gnu",
        _ => "",
    };
    let mut out = Vec::new();
    for base in ["/lib", "/usr/lib", "/usr/local/lib"] {
        out.extend([format!("{base}/{triplet}"), base.to_owned()]);
    }
    out.extend(["/lib64".to_owned(), "/usr/lib64".to_owned()]);
    out
}

/// The libraries that the program at `path` needs, itself or through others, and that the image
/// does not have. A script needs none.
///
/// # Errors
/// A sentence when the program cannot be read or is damaged.
pub fn missing(root: &Tree, path: &str) -> Result<Vec<String>, String> {
    let bytes = root
        .read(path, LIMIT)
        .map_err(|e| e.to_string())?
        .ok_or("it is not a file")?;
    if bytes.starts_with(b"#!") {
        return Ok(Vec::new());
    }
    let program = parse(&bytes).ok_or("it is not a known kind of program, or is damaged")?;
    let dirs = dirs(program.machine);
    let mut absent: Vec<String> = program
        .interpreter
        .iter()
        .filter(|path| root.file(path.as_bytes()).is_none())
        .cloned()
        .collect();
    let mut seen: BTreeSet<String> = program.needed.iter().cloned().collect();
    let mut todo = program.needed;
    while let Some(name) = todo.pop() {
        let found = if name.contains('/') {
            Some(name.clone()).filter(|path| root.file(path).is_some())
        } else {
            dirs.iter()
                .map(|dir| format!("{dir}/{name}"))
                .find(|path| root.file(path).is_some())
        };
        let Some(found) = found else {
            absent.push(name);
            continue;
        };
        let library = root
            .read(&found, LIMIT)
            .map_err(|e| e.to_string())?
            .unwrap_or_default();
        let library = parse(&library).filter(|library| library.machine == program.machine);
        let library = library
            .ok_or_else(|| format!("its library {found} is for another processor or damaged"))?;
        for next in library.needed {
            if seen.len() < MAX_LIBRARIES && seen.insert(next.clone()) {
                todo.push(next);
            }
        }
    }
    absent.sort();
    Ok(absent)
}
