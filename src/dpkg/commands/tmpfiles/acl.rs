//! Access control lists (`acl(5)`), as texts and as the extended attributes that hold them
//! (version 2 of `linux/posix_acl_xattr.h`).

use super::super::super::users::AccountIds;
use crate::tree::Stat;
use std::collections::BTreeMap;

const VERSION: u32 = 2;
const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;
/// The number of an entry that names nobody.
const NOBODY: u32 = u32::MAX;

/// The attributes of the two lists of a file.
const ACCESS: &[u8] = b"system.posix_acl_access";
const DEFAULT: &[u8] = b"system.posix_acl_default";

/// Permissions by tag and number, in the order in which the attribute has them.
type Entries = BTreeMap<(u16, u32), u16>;

/// What a text asks for: entries of the list of access and of the default one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Acl {
    access: Entries,
    default: Entries,
}

impl Acl {
    /// Reads `user:name:rwx,default:group::r-x`; `None` for what is not understood.
    pub(super) fn read(text: &str, ids: &AccountIds) -> Option<Self> {
        let mut out = Self::default();
        for entry in text.split(',').map(str::trim) {
            let rest = entry
                .strip_prefix("default:")
                .or_else(|| entry.strip_prefix("d:"));
            let list = match rest {
                Some(_) => &mut out.default,
                None => &mut out.access,
            };
            let (kind, rest) = rest.unwrap_or(entry).split_once(':')?;
            let (name, permissions) = rest.split_once(':').unwrap_or(("", rest));
            let key = match (kind, name) {
                ("user" | "u", "") => (USER_OBJ, NOBODY),
                ("user" | "u", name) => (USER, ids.user(name)?),
                ("group" | "g", "") => (GROUP_OBJ, NOBODY),
                ("group" | "g", name) => (GROUP, ids.group(name)?),
                ("mask" | "m", "") => (MASK, NOBODY),
                ("other" | "o", "") => (OTHER, NOBODY),
                _ => return None,
            };
            list.insert(key, bits(permissions)?);
        }
        Some(out)
    }

    /// Changes the lists of a file: anew, or on top of what it has. `None` where these are not
    /// understood.
    pub(super) fn apply(&self, stat: &mut Stat, dir: bool, add: bool) -> Option<()> {
        if !self.access.is_empty() {
            let list = list(stat, ACCESS, &self.access, add)?;
            let class = list
                .get(&(MASK, NOBODY))
                .or_else(|| list.get(&(GROUP_OBJ, NOBODY)));
            let of = |tag| list.get(&(tag, NOBODY)).copied().unwrap_or(0);
            let mode = of(USER_OBJ) << 6 | class.copied().unwrap_or(0) << 3 | of(OTHER);
            stat.mode = stat.mode & 0o7000 | mode;
            // A list with nothing but the mode is the mode.
            if list.len() > 3 {
                stat.xattrs.insert(ACCESS.to_vec(), bytes(&list));
            } else {
                stat.xattrs.remove(ACCESS);
            }
        }
        if !self.default.is_empty() && dir {
            let list = list(stat, DEFAULT, &self.default, add)?;
            stat.xattrs.insert(DEFAULT.to_vec(), bytes(&list));
        }
        Some(())
    }
}

fn bits(text: &str) -> Option<u16> {
    text.chars().try_fold(0, |bits, c| {
        Some(
            bits | match c {
                'r' => 4,
                'w' => 2,
                'x' => 1,
                '-' => 0,
                _ => return None,
            },
        )
    })
}

/// The list of a file with new entries, those that every list has, and a mask where one is needed.
fn list(stat: &Stat, name: &[u8], new: &Entries, add: bool) -> Option<Entries> {
    let mut out = match stat.xattrs.get(name).filter(|_| add) {
        Some(value) => entries(value)?,
        None => Entries::new(),
    };
    // A list that is new and a default one have the mask of the entries that are said; a list of
    // access that grows keeps its mask.
    let mut new = new.clone();
    if !add || name == DEFAULT {
        add_mask(&mut new);
    }
    out.extend(new);
    for (tag, shift) in [(USER_OBJ, 6), (GROUP_OBJ, 3), (OTHER, 0)] {
        out.entry((tag, NOBODY)).or_insert(stat.mode >> shift & 7);
    }
    add_mask(&mut out);
    Some(out)
}

/// Adds a mask of all that the class of groups has, unless there is one or none is needed.
fn add_mask(list: &mut Entries) {
    let class = list
        .iter()
        .filter(|((tag, _), _)| matches!(*tag, USER | GROUP | GROUP_OBJ));
    let mask = class.fold(0, |mask, (_, bits)| mask | bits);
    if list.keys().any(|(tag, _)| matches!(*tag, USER | GROUP)) {
        list.entry((MASK, NOBODY)).or_insert(mask);
    }
}

fn entries(value: &[u8]) -> Option<Entries> {
    let (version, rest) = value.split_first_chunk()?;
    if u32::from_le_bytes(*version) != VERSION {
        return None;
    }
    let (entries, []) = rest.as_chunks::<8>() else {
        return None;
    };
    let read = |[a, b, c, d, e, f, g, h]: &[u8; 8]| {
        let key = (
            u16::from_le_bytes([*a, *b]),
            u32::from_le_bytes([*e, *f, *g, *h]),
        );
        (key, u16::from_le_bytes([*c, *d]))
    };
    Some(entries.iter().map(read).collect())
}

fn bytes(list: &Entries) -> Vec<u8> {
    let mut out = VERSION.to_le_bytes().to_vec();
    for ((tag, id), bits) in list {
        out.extend_from_slice(&tag.to_le_bytes());
        out.extend_from_slice(&bits.to_le_bytes());
        out.extend_from_slice(&id.to_le_bytes());
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Time;

    fn hex(stat: &Stat, name: &[u8]) -> String {
        let value = stat.xattrs.get(name).cloned().unwrap_or_default();
        value.iter().map(|byte| format!("{byte:02x}")).collect()
    }

    #[test]
    fn a_default_list_takes_the_rest_from_the_mode() {
        let mut stat = Stat::root(0o2775, Time::default());
        let acl = Acl::read("default:group:106:rwx", &AccountIds::default()).unwrap();
        acl.apply(&mut stat, true, true).unwrap();
        assert_eq!(
            hex(&stat, DEFAULT),
            "0200000001000700ffffffff04000700ffffffff080007006a000000\
             10000700ffffffff20000500ffffffff"
        );
        let mut file = Stat::root(0o644, Time::default());
        acl.apply(&mut file, false, true).unwrap();
        assert!(file.xattrs.is_empty());
    }

    #[test]
    fn a_list_of_access_changes_the_mode_and_grows() {
        let ids = AccountIds::default();
        let mut stat = Stat::root(0o1640, Time::default());
        let apply = |stat: &mut Stat, text: &str, add| {
            Acl::read(text, &ids)
                .unwrap()
                .apply(stat, true, add)
                .unwrap();
        };
        apply(&mut stat, "u:7:rwx", false);
        assert_eq!(stat.mode, 0o1670);
        apply(&mut stat, "g:8:r--,m::r-x", true);
        assert_eq!(stat.mode, 0o1650);
        assert_eq!(
            hex(&stat, ACCESS),
            "0200000001000600ffffffff0200070007000000\
             04000400ffffffff080004000800000010000500ffffffff20000000ffffffff"
        );
        apply(&mut stat, "u::rwx,o::r", false);
        assert_eq!((stat.mode, stat.xattrs.len()), (0o1754, 0));
        for text in ["user:none:rwx", "x::r", "u:7:q", "user"] {
            assert_eq!(Acl::read(text, &ids), None, "{text}");
        }
    }
}
