//! Headers of UEFI programs: the machine, whether there is a signature, and where a GRUB looks for
//! its configuration.
//!
//! ```text
//! 0x3c              u32 offset of "PE\0\0"                                  (PE Format, "MS-DOS Stub")
//! PE + 4            u16 machine, u16 sections, ..., u16 size of the optional header at PE + 20
//! PE + 24           optional header: u16 magic (0x10b PE32, 0x20b PE32+); data directory 4 = certificate table
//! after it          sections of 40 bytes: name[8], u32 virtual size, u32 address, u32 raw size, u32 raw offset, ...
//! section "mods"    u32 "mimg", then 32-bit: u32 offset, u32 size; 64-bit: u32 0, u64 offset, u64 size
//!   at offset       objects: u32 type (3: prefix), u32 size with these 8 bytes, data   (GRUB, include/grub/kernel.h)
//! ```

/// Bytes at the start of a program that its headers are read from; real ones take about 1 KiB.
pub const HEAD: u64 = 4096;

/// Reasons why a file cannot be read as a UEFI program.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BinaryError {
    /// It does not begin as one: the missing signature and its offset (bytes).
    #[error("not a PE program: `{0}` expected at offset {1}")]
    NotPe(&'static str, usize),
    /// It ends within its headers: its length and the offset of the missing field (bytes).
    #[error("truncated: {0} bytes, headers continue at offset {1}")]
    Short(usize, usize),
    /// The optional header has a magic number that UEFI does not know.
    #[error("optional header magic {0:#06x} is neither PE32 nor PE32+")]
    Magic(u16),
}

/// A UEFI program's headers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    /// `IMAGE_FILE_MACHINE_*` of the PE header.
    pub machine: u16,
    /// Has a certificate table. Whose signature it holds is not checked.
    pub signed: bool,
    /// The prefix in a GRUB: the directory of its configuration, such as `/EFI/debian`.
    pub prefix: Option<String>,
}

impl Binary {
    /// Reads the headers; `bytes` is the whole file, or its first [`HEAD`] bytes when the prefix
    /// does not matter.
    ///
    /// # Errors
    /// [`BinaryError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, BinaryError> {
        if bytes.get(..2) != Some(b"MZ") {
            return Err(BinaryError::NotPe("MZ", 0));
        }
        let pe = usize::try_from(u32_at(bytes, 0x3c)?).unwrap_or(usize::MAX);
        if bytes
            .get(pe..)
            .is_none_or(|rest| !rest.starts_with(b"PE\0\0"))
        {
            return Err(BinaryError::NotPe("PE", pe));
        }
        let optional = usize::from(u16_at(bytes, pe + 20)?);
        let directories = match u16_at(bytes, pe + 24)? {
            0x10b => 96,
            0x20b => 112,
            other => return Err(BinaryError::Magic(other)),
        };
        let signed =
            directories + 40 <= optional && u32_at(bytes, pe + 24 + directories + 4 * 8 + 4)? > 0;
        let sections = bytes
            .get(pe + 24 + optional..)
            .unwrap_or_default()
            .chunks_exact(40);
        let mods = sections
            .take(usize::from(u16_at(bytes, pe + 6)?))
            .find(|section| section.starts_with(b"mods\0"));
        let prefix = mods.and_then(|section| prefix(contents(bytes, section)?));
        Ok(Self {
            machine: u16_at(bytes, pe + 4)?,
            signed,
            prefix,
        })
    }

    /// The directory below `EFI` that a GRUB's prefix names, when it lies there.
    #[must_use]
    pub fn directory(&self) -> Option<&str> {
        self.prefix
            .as_deref()?
            .strip_prefix("/EFI/")
            .filter(|name| !name.is_empty() && !name.contains('/'))
    }
}

/// The bytes of a section, as far as the file has them.
fn contents<'b>(bytes: &'b [u8], section: &[u8]) -> Option<&'b [u8]> {
    let size = usize::try_from(u32_at(section, 16).ok()?).ok()?;
    let start = usize::try_from(u32_at(section, 20).ok()?).ok()?;
    bytes.get(start..start.checked_add(size)?)
}

/// The prefix among GRUB's embedded objects. The 64-bit header has 4 bytes of padding after the
/// magic, where the 32-bit one has the offset, which is never 0.
fn prefix(mods: &[u8]) -> Option<String> {
    mods.strip_prefix(b"mimg")?;
    let at = if u32_at(mods, 4).ok()? == 0 { 8 } else { 4 };
    let mut rest = mods.get(usize::try_from(u32_at(mods, at).ok()?).ok()?..)?;
    loop {
        let size = usize::try_from(u32_at(rest, 4).ok()?).ok()?;
        let data = rest.get(8..size)?;
        if u32_at(rest, 0).ok()? == 3 {
            let text = data.split(|byte| *byte == 0).next()?;
            return String::from_utf8(text.to_vec()).ok();
        }
        rest = rest.get(size..)?;
    }
}

pub(super) fn u16_at(bytes: &[u8], at: usize) -> Result<u16, BinaryError> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found
        .map(|b| u16::from_le_bytes(*b))
        .ok_or(BinaryError::Short(bytes.len(), at))
}

pub(super) fn u32_at(bytes: &[u8], at: usize) -> Result<u32, BinaryError> {
    let found = bytes.get(at..).and_then(|rest| rest.first_chunk());
    found
        .map(|b| u32::from_le_bytes(*b))
        .ok_or(BinaryError::Short(bytes.len(), at))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A program with headers only, and a GRUB's prefix where one is given.
    pub(crate) fn program(machine: u16, signed: bool, prefix: Option<&str>) -> Vec<u8> {
        let mut out = vec![0; 0x200];
        out[..2].copy_from_slice(b"MZ");
        out[0x3c] = 0x40;
        out[0x40..0x44].copy_from_slice(b"PE\0\0");
        out[0x44..0x46].copy_from_slice(&machine.to_le_bytes());
        out[0x46] = 1;
        out[0x54] = 240;
        let wide = machine == 0x8664 || machine == 0xaa64;
        let (magic, directories): (u16, usize) = if wide { (0x20b, 112) } else { (0x10b, 96) };
        out[0x58..0x5a].copy_from_slice(&magic.to_le_bytes());
        out[0x58 + directories + 36] = u8::from(signed);
        let Some(prefix) = prefix else { return out };
        let mut mods = b"mimg".to_vec();
        let words: &[u32] = if wide {
            &[0, 24, 0, 999, 0]
        } else {
            &[12, 999]
        };
        for word in words {
            mods.extend(word.to_le_bytes());
        }
        for (kind, data) in [(0u32, &b"\x7fELF"[..]), (3, prefix.as_bytes())] {
            mods.extend(kind.to_le_bytes());
            mods.extend((data.len() as u32 + 9).to_le_bytes());
            mods.extend(data);
            mods.push(0);
        }
        let section = 0x58 + 240;
        out[section..section + 4].copy_from_slice(b"mods");
        out[section + 16..section + 20].copy_from_slice(&(mods.len() as u32).to_le_bytes());
        out[section + 20..section + 24].copy_from_slice(&0x200u32.to_le_bytes());
        out.extend(mods);
        out
    }

    #[test]
    fn headers_reveal_machine_signature_and_prefix() {
        for machine in [0x8664, 0xaa64, 0x14c, 0x1c2] {
            for signed in [false, true] {
                let bytes = program(machine, signed, Some("/EFI/debian"));
                let binary = Binary::parse(&bytes).unwrap();
                assert_eq!(
                    binary,
                    Binary {
                        machine,
                        signed,
                        prefix: Some("/EFI/debian".into())
                    }
                );
                assert_eq!(binary.directory(), Some("debian"));
            }
        }
        let plain = Binary::parse(&program(0x8664, true, None)).unwrap();
        assert_eq!((plain.prefix.as_deref(), plain.directory()), (None, None));
        let core = Binary::parse(&program(0x8664, false, Some("(hd0,gpt2)/boot/grub"))).unwrap();
        assert_eq!(core.directory(), None);
    }

    #[test]
    fn damage_is_an_error_or_goes_unnoticed_but_never_more() {
        let bytes = program(0x8664, true, Some("/EFI/debian"));
        for len in 0..bytes.len() {
            let _ = Binary::parse(&bytes[..len]);
        }
        for at in 0..bytes.len() {
            for value in [0, 0x7f, 0xff] {
                let mut bytes = bytes.clone();
                bytes[at] = value;
                let _ = Binary::parse(&bytes);
            }
        }
        assert_eq!(Binary::parse(b"ELF"), Err(BinaryError::NotPe("MZ", 0)));
        assert_eq!(
            Binary::parse(&bytes[..0x50]),
            Err(BinaryError::Short(0x50, 0x54))
        );
    }
}
