//! A GRUB for the boot partition, made of the one that `grub-install` left in `/boot/grub`.
//!
//! Where no package brings a GRUB that is whole (Debian has none for 32-bit Arm), `grub-install`
//! makes a `core.efi`: GRUB's kernel with the few modules that find the rest in the root
//! filesystem. The kernel is kept; its section `mods` gives way to one with all modules that our
//! script needs, and with a prefix on the boot partition. The old section stays where it is under
//! another name, since what follows it cannot move.
//!
//! ```text
//! moddep.lst        NAME: NAME...                                  one line for each module, those it needs after the colon
//! PE + 6            u16 number of sections
//! PE + 24           optional header: +8 u32 size of initialised data, +32 u32 alignment in memory, +36 u32 alignment in the file,
//!                   +56 u32 size in memory, +60 u32 size of headers, +64 u32 checksum, 0: none          (PE Format, "Optional Header")
//! section           +8 u32 size in memory, +12 u32 address, +16 u32 size in the file, +20 u32 place in the file, +36 u32 kind
//! object            u32 type (0: module, 3: prefix), u32 size with these 8 bytes, data to a multiple of a pointer's size
//! ```

use super::binary::{BinaryError, u16_at, u32_at};
use crate::units::align_up;

/// The modules that the boot script `configs/device/grub/stage1.cfg` needs.
pub(super) const NEEDED: [&str; 15] = [
    "normal",
    "configfile",
    "echo",
    "test",
    "true",
    "sleep",
    "reboot",
    "loadenv",
    "regexp",
    "linux",
    "boot",
    "fat",
    "ext2",
    "part_gpt",
    "part_msdos",
];

/// Modules that menus of root filesystems and people at the console use; missing ones are left out.
const OPTIONAL: [&str; 16] = [
    "search",
    "probe",
    "gzio",
    "zstd",
    "ls",
    "cat",
    "help",
    "halt",
    "minicmd",
    "fdt",
    "serial",
    "terminal",
    "all_video",
    "gfxterm",
    "chain",
    "efifwsetup",
];

/// The largest alignment in the file that the format allows (bytes; PE Format, "FileAlignment").
const MAX_FILE_ALIGNMENT: u64 = 64 << 10;

/// Reasons why no GRUB can be assembled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum AssembleError {
    /// The program cannot be read.
    #[error("{0}")]
    Binary(#[from] BinaryError),
    /// A module is missing.
    #[error("the module {0} is missing")]
    Module(String),
    /// Its headers have no room for one more section, or no section is called `mods`.
    #[error(
        "its headers of {0} bytes with {1} sections have no section called mods, or no room for another"
    )]
    Headers(usize, u16),
    /// Its sections are aligned to more than the format allows (bytes).
    #[error("its sections are aligned to {0} bytes in the file, which exceeds the limit of {1}")]
    Alignment(u64, u64),
    /// It is larger than the fields of its headers can hold.
    #[error("the assembled program exceeds the limit of 4 GiB")]
    Size,
}

/// Assembles a GRUB from the kernel in `core` and modules that `module` finds by name, with
/// `prefix`. `dependencies` is the text of `moddep.lst`.
///
/// # Errors
/// [`AssembleError`].
pub fn assemble(
    core: &[u8],
    dependencies: &str,
    module: impl Fn(&str) -> Option<Vec<u8>>,
    prefix: &str,
) -> Result<Vec<u8>, AssembleError> {
    let optional = OPTIONAL.into_iter().filter(|name| module(name).is_some());
    let mut order = Vec::new();
    for name in NEEDED.into_iter().chain(optional) {
        push_with_dependencies(name, dependencies, &mut order);
    }
    let mut modules = Vec::new();
    for name in order {
        modules.push(module(name).ok_or_else(|| AssembleError::Module(name.to_owned()))?);
    }
    replace_modules(core, &modules, prefix)
}

/// Appends `name` to `order` after all modules that it needs: GRUB links them in their order in the
/// program.
fn push_with_dependencies<'t>(name: &'t str, dependencies: &'t str, order: &mut Vec<&'t str>) {
    // A stack of names, each with the dependencies that are still to come: ends for a circular
    // list, too.
    let needs = |name: &str| {
        let line = dependencies
            .lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(':'));
        line.unwrap_or_default().split_whitespace()
    };
    let mut open = vec![(name, needs(name))];
    while let Some((name, waits)) = open.last_mut() {
        let name = *name;
        match waits.next() {
            Some(next) if order.contains(&next) || open.iter().any(|(name, _)| *name == next) => {}
            Some(next) => open.push((next, needs(next))),
            None => {
                open.pop();
                if !order.contains(&name) {
                    order.push(name);
                }
            }
        }
    }
}

/// `core` with these modules and this prefix instead of its own.
fn replace_modules(
    core: &[u8],
    modules: &[Vec<u8>],
    prefix: &str,
) -> Result<Vec<u8>, AssembleError> {
    let pe = u32_at(core, 0x3c)? as usize;
    let (count, optional) = (u16_at(core, pe + 6)?, pe + 24);
    let wide = u16_at(core, optional)? == 0x20b;
    let sections = optional + usize::from(u16_at(core, pe + 20)?);
    let end = sections + usize::from(count) * 40;
    let headers = u32_at(core, optional + 60)? as usize;
    let old = (sections..end).step_by(40).find(|at| {
        core.get(*at..)
            .is_some_and(|rest| rest.starts_with(b"mods\0"))
    });
    let room = headers <= core.len()
        && end + 40 <= headers
        && core[end..end + 40].iter().all(|byte| *byte == 0);
    let (Some(old), true) = (old, room) else {
        return Err(AssembleError::Headers(headers, count));
    };
    let word = |value: u64| {
        u32::try_from(value)
            .map(u32::to_le_bytes)
            .map_err(|_| AssembleError::Size)
    };
    let [size, in_memory, in_file, whole] = [8, 32, 36, 56]
        .map(|at| u32_at(core, optional + at).map(u64::from))
        .map(|word| word.unwrap_or(0));
    let [in_memory, in_file] = [in_memory, in_file].map(|align| align.next_power_of_two().max(1));
    if in_file > MAX_FILE_ALIGNMENT {
        return Err(AssembleError::Alignment(in_file, MAX_FILE_ALIGNMENT));
    }

    let address = align_up(whole, in_memory);
    let place = align_up(core.len() as u64, in_file);
    let mut section = encode_objects(modules, prefix, wide)?;
    section.resize(
        usize::try_from(align_up(section.len() as u64, in_file.max(4))).unwrap_or(usize::MAX),
        0,
    );
    let len = section.len() as u64;

    let mut out = core.to_vec();
    let kind = out[old + 36..old + 40].to_vec();
    let mut put = |at: usize, bytes: &[u8]| out[at..at + bytes.len()].copy_from_slice(bytes);
    put(old, b"mods.old");
    put(end, b"mods");
    for (at, value) in [(8, len), (12, address), (16, len), (20, place)] {
        put(end + at, &word(value)?);
    }
    put(end + 36, &kind);
    put(pe + 6, &(count + 1).to_le_bytes());
    put(optional + 8, &word(size + len)?);
    put(optional + 56, &word(align_up(address + len, in_memory))?);
    put(optional + 64, &[0; 4]);
    out.resize(usize::try_from(place).unwrap_or(usize::MAX), 0);
    out.extend(section);
    Ok(out)
}

/// The content of the section `mods`: all modules, then the prefix.
fn encode_objects(modules: &[Vec<u8>], prefix: &str, wide: bool) -> Result<Vec<u8>, AssembleError> {
    let pointer = if wide { 8 } else { 4 };
    let mut all = Vec::new();
    let prefix = [prefix.as_bytes(), b"\0"].concat();
    for (kind, data) in modules
        .iter()
        .map(|module| (0_u32, module))
        .chain([(3, &prefix)])
    {
        let len = data.len().next_multiple_of(pointer);
        all.extend(kind.to_le_bytes());
        all.extend(
            u32::try_from(len + 8)
                .map_err(|_| AssembleError::Size)?
                .to_le_bytes(),
        );
        all.extend(data);
        all.resize(all.len() + len - data.len(), 0);
    }
    let mut out = b"mimg".to_vec();
    if wide {
        out.extend([0; 4]);
        out.extend(24_u64.to_le_bytes());
        out.extend((24 + all.len() as u64).to_le_bytes());
    } else {
        out.extend(12_u32.to_le_bytes());
        out.extend(
            u32::try_from(12 + all.len())
                .map_err(|_| AssembleError::Size)?
                .to_le_bytes(),
        );
    }
    out.extend(all);
    Ok(out)
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::binary::Binary;
    use super::super::binary::tests::program;
    use super::*;

    /// A core with room for sections, as grub-mkimage aligns it.
    pub(in super::super) fn core(machine: u16) -> Vec<u8> {
        let mut bytes = program(machine, false, Some("(,gpt2)/boot/grub"));
        let mods = bytes.split_off(0x200);
        for (at, value) in [(32, 0x1000_u32), (36, 0x200), (56, 0x2000), (60, 0x400)] {
            bytes[0x58 + at..][..4].copy_from_slice(&value.to_le_bytes());
        }
        bytes.resize(0x400, 0);
        bytes[0x58 + 240 + 20..][..4].copy_from_slice(&0x400_u32.to_le_bytes());
        bytes.extend(mods);
        bytes
    }

    #[test]
    fn modules_and_prefix_take_the_place_of_the_old() {
        for machine in [0x8664, 0xaa64, 0x14c, 0x1c2] {
            let old = core(machine);
            assert_eq!(
                Binary::parse(&old).unwrap().prefix.as_deref(),
                Some("(,gpt2)/boot/grub")
            );
            let module = |name: &str| (name != "zstd").then(|| format!("<{name}>").into_bytes());
            let new = assemble(&old, "normal: boot\nboot:\n", module, "/EFI/BOOT").unwrap();
            assert_eq!(
                Binary::parse(&new).unwrap().directory(),
                Some("BOOT"),
                "{machine:#x}"
            );
            assert_eq!(new[0x46], 2);
            let section = &new[0x58 + 240 + 40..][..40];
            let [size, address, len, place] =
                [8, 12, 16, 20].map(|at| u32_at(section, at).unwrap() as usize);
            assert_eq!(
                (size, address, place % 0x200, place + len),
                (len, 0x2000, 0, new.len())
            );
            assert_eq!(
                u32_at(&new, 0x58 + 56).unwrap() as usize,
                (0x2000 + len).next_multiple_of(0x1000)
            );
            let text = String::from_utf8_lossy(&new[place..]).into_owned();
            assert!(
                text.find("<boot>") < text.find("<normal>")
                    && text.contains("<search>")
                    && !text.contains("<zstd>"),
                "{text}"
            );
            assert!(
                NEEDED
                    .iter()
                    .all(|name| text.matches(&format!("<{name}>")).count() == 1),
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_needed_comes_first_and_circles_end() {
        let mut order = Vec::new();
        for name in ["a", "d", "x"] {
            push_with_dependencies(name, "a: b c\nb: c\nc: a\nd: b\nab: x\n", &mut order);
        }
        assert_eq!(order, ["c", "b", "a", "d", "x"]);
    }

    #[test]
    fn what_cannot_be_one_is_refused() {
        let old = core(0x1c2);
        let all = |_: &str| Some(Vec::new());
        let without = |name: &str| (name != "loadenv").then(Vec::new);
        assert_eq!(
            assemble(&old, "", without, "/EFI/BOOT"),
            Err(AssembleError::Module("loadenv".into()))
        );
        assert_eq!(
            assemble(
                &old,
                "fat: fshelp\n",
                |name| (name != "fshelp").then(Vec::new),
                ""
            ),
            Err(AssembleError::Module("fshelp".into()))
        );
        let mut full = old.clone();
        full[0x58 + 60..][..4].copy_from_slice(&0x170_u32.to_le_bytes());
        assert_eq!(
            assemble(&full, "", all, ""),
            Err(AssembleError::Headers(0x170, 1))
        );
        let mut wide = old.clone();
        wide[0x58 + 36..][..4].copy_from_slice(&0x8000_0000_u32.to_le_bytes());
        assert_eq!(
            assemble(&wide, "", all, ""),
            Err(AssembleError::Alignment(1 << 31, 64 << 10))
        );
        let plain = program(0x1c2, false, None);
        assert!(matches!(
            assemble(&plain, "", all, ""),
            Err(AssembleError::Headers(..))
        ));
        for len in 0..old.len() {
            let _ = assemble(&old[..len], "", all, "");
        }
        for at in 0..old.len() {
            let mut old = old.clone();
            old[at] = 0xff;
            let _ = assemble(&old, "", all, "");
        }
    }
}
