//! What `ldconfig(8)` looks for in a shared library (System V ABI, "Dynamic Linking").

use crate::stream::{Content, ReadAt as _};

const ET_DYN: u16 = 3;
const PT_LOAD: u32 = 1;
const PT_DYNAMIC: u32 = 2;
const DT_NULL: u64 = 0;
const DT_STRTAB: u64 = 5;
const DT_SONAME: u64 = 14;

/// Program headers and dynamic entries of real libraries are a few dozen.
const MAX_ENTRIES: u64 = 4096;

/// The longest name of a library.
const MAX_NAME: usize = 1024;

/// A file that is to be taken for a library.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Library {
    pub(super) wide: bool,
    pub(super) machine: u16,
    /// `e_flags`.
    pub(super) flags: u32,
    pub(super) soname: Option<String>,
}

struct Elf<'c> {
    content: &'c Content,
    wide: bool,
}

impl Library {
    /// `None` for what is not a shared library of little-endian ELF.
    pub(super) fn read(content: &Content) -> Option<Self> {
        let mut ident = [0; 6];
        content.read_exact_at(0, &mut ident).ok()?;
        let wide = match ident {
            [0x7F, b'E', b'L', b'F', class @ (1 | 2), 1] => class == 2,
            _ => return None,
        };
        let elf = Elf { content, wide };
        if elf.half(16)? != ET_DYN {
            return None;
        }
        Some(Self {
            wide,
            machine: elf.half(18)?,
            flags: elf.word(if wide { 48 } else { 36 })?,
            soname: elf.soname()?,
        })
    }
}

impl Elf<'_> {
    fn half(&self, at: u64) -> Option<u16> {
        let mut bytes = [0; 2];
        self.content.read_exact_at(at, &mut bytes).ok()?;
        Some(u16::from_le_bytes(bytes))
    }

    fn word(&self, at: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        self.content.read_exact_at(at, &mut bytes).ok()?;
        Some(u32::from_le_bytes(bytes))
    }

    /// An address, an offset or a length at one of two places by the width.
    fn long(&self, base: u64, narrow: u64, wide: u64) -> Option<u64> {
        if self.wide {
            let mut bytes = [0; 8];
            self.content
                .read_exact_at(base.checked_add(wide)?, &mut bytes)
                .ok()?;
            Some(u64::from_le_bytes(bytes))
        } else {
            self.word(base.checked_add(narrow)?).map(u64::from)
        }
    }

    fn text(&self, at: u64) -> Option<String> {
        let left = usize::try_from(self.content.len().checked_sub(at)?).ok()?;
        let mut bytes = vec![0; left.min(MAX_NAME)];
        self.content.read_exact_at(at, &mut bytes).ok()?;
        let end = bytes.iter().position(|byte| *byte == 0)?;
        String::from_utf8(bytes.get(..end)?.to_vec()).ok()
    }

    /// The name of the library; `None` without a dynamic section, or with one that is damaged.
    #[expect(clippy::option_option, reason = "a library without a name is one")]
    fn soname(&self) -> Option<Option<String>> {
        let (mut dynamic, mut loads) = (None, Vec::new());
        let start = self.long(0, 28, 32)?;
        let size = u64::from(self.half(if self.wide { 54 } else { 42 })?);
        for number in 0..u64::from(self.half(if self.wide { 56 } else { 44 })?) {
            let at = start.checked_add(number.checked_mul(size)?)?;
            let (offset, len) = (self.long(at, 4, 8)?, self.long(at, 16, 32)?);
            match self.word(at)? {
                PT_LOAD => loads.push((self.long(at, 8, 16)?, len, offset)),
                PT_DYNAMIC => dynamic = Some((offset, len)),
                _ => {}
            }
        }
        let (offset, len) = dynamic?;
        let step = if self.wide { 16 } else { 8 };
        let (mut strings, mut name) = (None, None);
        for number in 0..len.checked_div(step)?.min(MAX_ENTRIES) {
            let at = offset.checked_add(number.checked_mul(step)?)?;
            let value = self.long(at, 4, 8)?;
            match self.long(at, 0, 0)? {
                DT_NULL => break,
                DT_STRTAB => strings = Some(value),
                DT_SONAME => name = Some(value),
                _ => {}
            }
        }
        let strings = strings?;
        let (address, _, base) = loads.into_iter().find(|(address, len, _)| {
            strings
                .checked_sub(*address)
                .is_some_and(|inside| inside < *len)
        })?;
        let base = strings.checked_sub(address)?.checked_add(base)?;
        match name {
            Some(at) => self.text(base.checked_add(at)?).map(Some),
            None => Some(None),
        }
    }
}
