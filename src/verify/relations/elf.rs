//! The libraries that a program needs, and where the dynamic loader finds them (System V ABI,
//! "Program Loading and Dynamic Linking"; search order of `ld.so(8)` without `RPATH`).

use crate::stream::{Content, ReadAt as _};
use crate::tree::Tree;
use crate::tree::edit::EditError;
use crate::units::MIB;
use std::collections::BTreeSet;
use std::io;

/// The longest table of a program that is read (bytes).
const LIMIT: u64 = MIB;
/// The length of the fields at the start of a program (bytes), with 64 bits.
const HEAD: u64 = 64;
/// The longest name that is read (bytes).
const NAME: u64 = 4096;
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

/// Why a program is not known.
enum Unknown {
    /// It cannot be read.
    Io(io::Error),
    /// It is not an ELF file, or is damaged.
    Damaged,
}

/// A little-endian ELF file of either width, of which no more is read than is needed: some programs
/// have tens of mebibytes.
struct Elf<'c> {
    file: &'c Content,
    wide: bool,
}

/// A range of the file.
struct Part {
    bytes: Vec<u8>,
    wide: bool,
}

/// Kind, offset, address and length in the file of a program header.
type Header = (u32, u64, u64, u64);

/// Whether a program is one of 32 bits; `None` if it is not an ELF file.
pub(super) fn is_32_bit(root: &Tree, path: &str) -> Option<bool> {
    let mut head = [0; 5];
    root.file(path)?.read_exact_at(0, &mut head).ok()?;
    match head {
        [0x7F, b'E', b'L', b'F', class] => Some(class == 1),
        _ => None,
    }
}

impl Part {
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

    /// The program header at `at`.
    fn header(&self, at: usize) -> Option<Header> {
        Some((
            u32::try_from(self.number(at, 4)?).ok()?,
            self.word(at, 4, 8)?,
            self.word(at, 8, 16)?,
            self.word(at, 16, 32)?,
        ))
    }
}

/// The value, or that the file is damaged.
fn sound<T>(value: Option<T>) -> Result<T, Unknown> {
    value.ok_or(Unknown::Damaged)
}

impl Elf<'_> {
    /// The bytes of a range, which must be in the file.
    fn part(&self, at: u64, len: u64) -> Result<Part, Unknown> {
        let end = at.checked_add(len).filter(|end| *end <= self.file.len());
        sound(end.filter(|_| len <= LIMIT))?;
        let mut bytes = vec![0; usize::try_from(len).unwrap_or_default()];
        self.file
            .read_exact_at(at, &mut bytes)
            .map_err(Unknown::Io)?;
        let wide = self.wide;
        Ok(Part { bytes, wide })
    }

    fn text(&self, at: u64) -> Result<String, Unknown> {
        let left = sound(self.file.len().checked_sub(at))?;
        let Part { bytes, .. } = self.part(at, left.min(NAME))?;
        let end = bytes.iter().position(|byte| *byte == 0);
        let text = end.and_then(|end| bytes.get(..end));
        Ok(String::from_utf8_lossy(sound(text)?).into_owned())
    }

    /// The program headers.
    fn headers(&self, head: &Part) -> Result<Vec<Header>, Unknown> {
        let start = sound(head.word(0, 28, 32))?;
        let size = sound(head.number(if self.wide { 54 } else { 42 }, 2))?;
        let count = sound(head.number(if self.wide { 56 } else { 44 }, 2))?;
        let table = self.part(start, sound(size.checked_mul(count))?)?;
        let size = usize::try_from(size).unwrap_or_default();
        let count = usize::try_from(count).unwrap_or_default();
        let places = (0..count).map(|index| index.checked_mul(size));
        sound(places.map(|at| table.header(at?)).collect())
    }

    fn program(&self) -> Result<Program, Unknown> {
        let head = self.part(0, self.file.len().min(HEAD))?;
        let headers = self.headers(&head)?;
        let of = |kind: u32| headers.iter().find(|header| header.0 == kind);
        // One that cannot be found is not looked for.
        let interpreter = match of(PT_INTERP).map(|header| self.text(header.1)) {
            Some(Err(Unknown::Damaged)) | None => None,
            Some(text) => Some(text?),
        };
        let machine = u16::try_from(sound(head.number(18, 2))?).unwrap_or_default();
        let Some((_, start, _, len)) = of(PT_DYNAMIC) else {
            return Ok(Program {
                machine,
                interpreter,
                needed: Vec::new(),
            });
        };
        let step = if self.wide { 16 } else { 8 };
        let dynamic = self.part(*start, *len)?;
        let count = dynamic.bytes.len().checked_div(step).unwrap_or_default();
        let places = (0..count).map(|index| index.checked_mul(step));
        let entry = |at: Option<usize>| Some((dynamic.word(at?, 0, 0)?, dynamic.word(at?, 4, 8)?));
        let entries: Vec<(u64, u64)> = sound(places.map(entry).collect())?;
        let strings = sound(entries.iter().find(|(tag, _)| *tag == DT_STRTAB))?.1;
        let load = sound(headers.iter().find(|(kind, _, address, len)| {
            *kind == PT_LOAD && (*address..address.saturating_add(*len)).contains(&strings)
        }))?;
        let base = strings.checked_sub(load.2);
        let base = sound(base.and_then(|at| at.checked_add(load.1)))?;
        let needed = entries.iter().filter(|(tag, _)| *tag == DT_NEEDED);
        let names = needed.map(|(_, at)| self.text(sound(base.checked_add(*at))?));
        Ok(Program {
            machine,
            interpreter,
            needed: names.collect::<Result<_, _>>()?,
        })
    }
}

fn parse(file: &Content) -> Result<Program, Unknown> {
    let mut head = [0; 6];
    sound((file.len() >= 6).then_some(()))?;
    file.read_exact_at(0, &mut head).map_err(Unknown::Io)?;
    match head {
        [0x7F, b'E', b'L', b'F', class, 1] => Elf {
            file,
            wide: class == 2,
        }
        .program(),
        _ => Err(Unknown::Damaged),
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
    let file = root.file(path).ok_or("it is not a file")?;
    let unread = |path: &str, error| EditError::Io(path.to_owned(), error).to_string();
    if is_script(file).map_err(|error| unread(path, error))? {
        return Ok(Vec::new());
    }
    let program = parse(file).map_err(|unknown| match unknown {
        Unknown::Io(error) => unread(path, error),
        Unknown::Damaged => "it is not a known kind of program, or is damaged".to_owned(),
    })?;
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
        let library = match root.file(&found).map_or(Err(Unknown::Damaged), parse) {
            Err(Unknown::Io(error)) => return Err(unread(&found, error)),
            library => library.ok(),
        };
        let library = library.filter(|library| library.machine == program.machine);
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

/// Whether a program is a script: it begins with `#!`.
fn is_script(file: &Content) -> io::Result<bool> {
    let mut head = [0; 2];
    if file.len() < 2 {
        return Ok(false);
    }
    file.read_exact_at(0, &mut head)?;
    Ok(head == *b"#!")
}
