//! The kinds of value that keys take: how each is read, and what the manual says of it.

use super::keys::{Key, Reader, Section};
use super::nearest::nearest;
use super::node::{Node, Value};
use crate::pattern::Pattern;
use crate::problem::{Problem, Problems};
use crate::stamp::Uuid;
use crate::units;
use std::collections::BTreeMap;
use std::marker::PhantomData;
use std::path::PathBuf;

/// A kind of value. Its implementors are names for types, never values.
pub(super) trait Kind {
    /// What it is read into.
    type Output;

    /// What the manual says the key takes.
    fn shape() -> Shape;

    /// The value, or a problem for each thing that is wrong.
    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<Self::Output>;
}

/// What a key takes, for the manual.
pub(super) enum Shape {
    /// A value that this text describes.
    Plain(String),
    /// A string that is not shown to anybody.
    Secret,
    /// A table of known keys.
    Table(&'static str, Vec<Key>),
    /// Any number of tables of known keys.
    Tables(&'static str, Vec<Key>),
}

impl Shape {
    /// A few words for it.
    pub(super) fn text(&self) -> &str {
        match self {
            Self::Plain(text) => text,
            Self::Secret => "secret string",
            Self::Table(..) | Self::Tables(..) => "table",
        }
    }
}

/// Notes that the value at `node` is wrong.
fn wrong(node: &Node, at: &str, what: &str, hint: Option<String>, problems: &mut Problems) {
    let problem = Problem::new(format!("{}: {what}", node.location.with_key(at)));
    problems.push(Problem { hint, ..problem });
}

/// The string at `node`; what `--set` gave counts as one even where TOML sees a number.
fn string<'n>(
    node: &'n Node,
    at: &str,
    expected: &str,
    problems: &mut Problems,
) -> Option<&'n str> {
    match (&node.value, &node.typed) {
        (Value::String(text), _) => return Some(text),
        (Value::Integer(_) | Value::Boolean(_) | Value::Other(..), Some(typed)) => {
            return Some(typed);
        }
        _ => wrong(
            node,
            at,
            &format!("expected {expected}, found {}", node.what()),
            None,
            problems,
        ),
    }
    None
}

/// Reads a string through `parse`, whose error is the problem.
fn parsed<T>(
    node: &Node,
    at: &str,
    expected: &str,
    problems: &mut Problems,
    parse: impl FnOnce(&str) -> Result<T, String>,
) -> Option<T> {
    let text = string(node, at, expected, problems)?;
    parse(text)
        .map_err(|what| wrong(node, at, &what, None, problems))
        .ok()
}

/// Defines kinds that are strings of a certain form.
macro_rules! text_kinds {
    ($($(#[doc = $doc:literal])+ $name:ident -> $output:ty, $shape:literal, $parse:expr;)+) => {$(
        $(#[doc = $doc])+
        pub(super) struct $name;

        impl Kind for $name {
            type Output = $output;

            fn shape() -> Shape {
                Shape::Plain($shape.into())
            }

            fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<Self::Output> {
                parsed(node, at, concat!("a ", $shape), problems, $parse)
            }
        }
    )+};
}

text_kinds! {
    /// Free text on one line, not empty.
    Text -> String, "string", text;
    /// A name on one line without white space, of at most 256 bytes: what the server and the client
    /// accept.
    Name -> String, "name", name;
    /// The address of a server.
    Url -> String, "URL", url;
    /// A directory of the device.
    MountPoint -> String, "directory of the device", mount_point;
    /// `partuuid` or a disk.
    DiskName -> Device, "disk (`partuuid` or a device such as `/dev/mmcblk0`)", device;
    /// The identity of a disk.
    Disk -> DiskId, "disk id (8 hexadecimal digits for MBR, a GUID for GPT)", disk_id;
    /// A UUID.
    Id -> Uuid, "UUID", |value| value.to_ascii_lowercase().parse().and_then(not_nil);
    /// Comma-separated mount options.
    Options -> String, "list of mount options", mount_options;
    /// A path pattern below the root of the device.
    Glob -> Pattern, "path pattern", pattern;
    /// Permission bits in octal.
    Mode -> u16, "file mode in octal, as a string", mode;
}

/// A string that is kept out of every message, dump and report.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The text, for the file that has to contain it.
    #[must_use]
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Text that is not shown to anybody.
pub(super) struct Hidden;

impl Kind for Hidden {
    type Output = Secret;

    fn shape() -> Shape {
        Shape::Secret
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<Secret> {
        parsed(node, at, "a secret string", problems, |value| {
            text(value).map(Secret)
        })
    }
}

/// How the device names its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// By the identities of its partitions, whatever the kernel calls the disk.
    PartUuid,
    /// By the kernel's name, such as `/dev/sda`.
    Disk(String),
}

impl Device {
    /// The kernel's name of partition `number` of the disk, when it is named so: a `p` stands
    /// between a final digit and the number.
    #[must_use]
    pub fn partition(&self, number: u32) -> Option<String> {
        match self {
            Self::PartUuid => None,
            Self::Disk(disk) if disk.ends_with(|c: char| c.is_ascii_digit()) => {
                Some(format!("{disk}p{number}"))
            }
            Self::Disk(disk) => Some(format!("{disk}{number}")),
        }
    }
}

/// The identity of a disk, as its partition table holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskId {
    /// The signature of an MBR; never 0.
    Mbr(u32),
    /// The disk GUID of a GPT.
    Gpt(Uuid),
}

/// How much room a filesystem gets beyond what its files take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Headroom {
    /// So many hundredths of what the files take.
    Percent(u32),
    /// So many bytes.
    Bytes(u64),
}

impl Headroom {
    /// What `used` bytes grow to; saturates.
    #[must_use]
    pub fn above(self, used: u64) -> u64 {
        match self {
            Self::Bytes(bytes) => used.saturating_add(bytes),
            Self::Percent(percent) => {
                let more = u128::from(used) * u128::from(percent) / 100;
                used.saturating_add(u64::try_from(more).unwrap_or(u64::MAX))
            }
        }
    }
}

/// A size in bytes.
pub(super) struct Size;

impl Kind for Size {
    type Output = u64;

    fn shape() -> Shape {
        Shape::Plain("size".into())
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<u64> {
        match &node.value {
            Value::Integer(bytes) => {
                let size = u64::try_from(*bytes);
                size.map_err(|_| wrong(node, at, &format!("{bytes} is negative"), None, problems))
                    .ok()
            }
            _ => parsed(node, at, "a size", problems, units::parse_size),
        }
    }
}

/// A position on the disk in bytes.
pub(super) struct Offset;

impl Kind for Offset {
    type Output = u64;

    fn shape() -> Shape {
        Shape::Plain("size, or a number of sectors of 512 bytes such as `\"64 s\"`".into())
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<u64> {
        let sectors = match &node.value {
            Value::String(text) => text
                .trim()
                .strip_suffix('s')
                .map(str::trim)
                .filter(|n| n.bytes().all(|b| b.is_ascii_digit())),
            _ => None,
        };
        let Some(number) = sectors else {
            return Size::read(node, at, problems);
        };
        let offset = number
            .parse()
            .ok()
            .and_then(|number: u64| number.checked_mul(units::SECTOR));
        if offset.is_none() {
            wrong(
                node,
                at,
                &format!("`{number} s` is not a number of sectors"),
                None,
                problems,
            );
        }
        offset
    }
}

/// A percentage or a size.
pub(super) struct SizeOrPercent;

/// The largest percentage that makes sense: ten times what is there.
const MAX_PERCENT: u32 = 1000;

impl Kind for SizeOrPercent {
    type Output = Headroom;

    fn shape() -> Shape {
        Shape::Plain("size or percentage".into())
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<Headroom> {
        let percentage = match &node.value {
            Value::String(text) => text
                .trim()
                .strip_suffix('%')
                .map(|number| (text, number.trim())),
            _ => None,
        };
        let Some((text, number)) = percentage else {
            return Size::read(node, at, problems).map(Headroom::Bytes);
        };
        let percent = number
            .parse()
            .ok()
            .filter(|percent| *percent <= MAX_PERCENT);
        if percent.is_none() {
            wrong(
                node,
                at,
                &format!("`{text}` is not a percentage from 0 % to {MAX_PERCENT} %"),
                None,
                problems,
            );
        }
        percent.map(Headroom::Percent)
    }
}

/// `true` or `false`.
pub(super) struct Flag;

impl Kind for Flag {
    type Output = bool;

    fn shape() -> Shape {
        Shape::Plain("`true` or `false`".into())
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<bool> {
        let Value::Boolean(flag) = node.value else {
            wrong(
                node,
                at,
                &format!("expected true or false, found {}", node.what()),
                None,
                problems,
            );
            return None;
        };
        Some(flag)
    }
}

/// A whole number from `MIN` to `MAX`.
pub(super) struct Number<const MIN: u32, const MAX: u32>;

impl<const MIN: u32, const MAX: u32> Kind for Number<MIN, MAX> {
    type Output = u32;

    fn shape() -> Shape {
        Shape::Plain(format!("number from {MIN} to {MAX}"))
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<u32> {
        let Value::Integer(number) = node.value else {
            wrong(
                node,
                at,
                &format!(
                    "expected a number from {MIN} to {MAX}, found {}",
                    node.what()
                ),
                None,
                problems,
            );
            return None;
        };
        let inside = u32::try_from(number)
            .ok()
            .filter(|number| (MIN..=MAX).contains(number));
        if inside.is_none() {
            wrong(
                node,
                at,
                &format!("{number} is not between {MIN} and {MAX}"),
                None,
                problems,
            );
        }
        inside
    }
}

/// A file or directory of the host; a relative one stands under the file that names it.
pub(super) struct HostPath;

impl Kind for HostPath {
    type Output = PathBuf;

    fn shape() -> Shape {
        Shape::Plain("path".into())
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<PathBuf> {
        let path = parsed(node, at, "a path", problems, |value| {
            if value.is_empty() || value.contains('\0') {
                Err("an empty path".to_owned())
            } else {
                Ok(PathBuf::from(value))
            }
        })?;
        Some(node.location.origin.base.join(path))
    }
}

/// A file of the host or of the image, where another key says which.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FilePath {
    /// As it is written.
    pub given: String,
    /// The file of the host that is meant then.
    pub host: PathBuf,
}

/// The path of a file of the host or of the image.
pub(super) struct EitherPath;

impl Kind for EitherPath {
    type Output = FilePath;

    fn shape() -> Shape {
        HostPath::shape()
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<FilePath> {
        let host = HostPath::read(node, at, problems)?;
        string(node, at, "a path", problems).map(|given| FilePath {
            given: given.to_owned(),
            host,
        })
    }
}

/// A list; a list of one may be written without the brackets.
pub(super) struct List<K>(PhantomData<K>);

impl<K: Kind> Kind for List<K> {
    type Output = Vec<K::Output>;

    fn shape() -> Shape {
        Shape::Plain(format!("list of: {}", K::shape().text()))
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<Self::Output> {
        let Value::Array(items) = &node.value else {
            return K::read(node, at, problems).map(|item| vec![item]);
        };
        // All items are read, so that all problems are found.
        let read: Vec<Option<K::Output>> = items
            .iter()
            .map(|item| K::read(item, at, problems))
            .collect();
        read.into_iter().collect()
    }
}

/// A list that may not be empty.
pub(super) struct Some1<K>(PhantomData<K>);

impl<K: Kind> Kind for Some1<K> {
    type Output = Vec<K::Output>;

    fn shape() -> Shape {
        List::<K>::shape()
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<Self::Output> {
        let list = List::<K>::read(node, at, problems)?;
        if list.is_empty() {
            wrong(node, at, "an empty list", None, problems);
            return None;
        }
        Some(list)
    }
}

/// A table whose keys are the user's.
pub(super) struct Map<K>(PhantomData<K>);

impl<K: Kind> Kind for Map<K> {
    type Output = BTreeMap<String, K::Output>;

    fn shape() -> Shape {
        Shape::Plain(format!("table of: {}", K::shape().text()))
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<Self::Output> {
        let Value::Table(table) = &node.value else {
            wrong(
                node,
                at,
                &format!("expected a table, found {}", node.what()),
                None,
                problems,
            );
            return None;
        };
        let mut read: Vec<Option<(String, K::Output)>> = Vec::new();
        for (key, (location, child)) in table {
            let child_at = format!("{at}.{}", super::show::key_text(key));
            if let Err(what) = name(key) {
                problems.push(Problem::new(format!("{location}: {child_at}: {what}")));
            }
            read.push(K::read(child, &child_at, problems).map(|value| (key.clone(), value)));
        }
        read.into_iter().collect()
    }
}

/// One word of several.
pub(super) struct OneOf<C>(PhantomData<C>);

/// A closed set of words; see the macro `choices`.
pub(super) trait Choice: Copy + 'static {
    /// Every member with its meaning.
    const ALL: &'static [(Self, &'static str)];

    /// The word for a member.
    fn word(self) -> &'static str;
}

impl<C: Choice> Kind for OneOf<C> {
    type Output = C;

    fn shape() -> Shape {
        let words: Vec<String> = C::ALL
            .iter()
            .map(|(member, doc)| {
                format!("`\"{}\"` ({})", member.word(), super::doc::paragraph(doc))
            })
            .collect();
        Shape::Plain(words.join(", "))
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<C> {
        let words = || C::ALL.iter().map(|(member, _)| member.word());
        let quoted: Vec<String> = words().map(|word| format!("`{word}`")).collect();
        let expected = format!("one of {}", quoted.join(", "));
        let text = string(node, at, &expected, problems)?;
        let found = C::ALL
            .iter()
            .find(|(member, _)| member.word() == text)
            .map(|(choice, _)| *choice);
        if found.is_none() {
            let hint = nearest(text, words()).map(|word| format!("did you mean `{word}`?"));
            wrong(
                node,
                at,
                &format!("`{text}` is not {expected}"),
                hint,
                problems,
            );
        }
        found
    }
}

/// A table of known keys.
pub(super) struct Sub<S>(PhantomData<S>);

impl<S: Section> Kind for Sub<S> {
    type Output = S;

    fn shape() -> Shape {
        Shape::Table(S::DOC, S::keys())
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<S> {
        let Value::Table(table) = &node.value else {
            wrong(
                node,
                at,
                &format!("expected a table, found {}", node.what()),
                None,
                problems,
            );
            return None;
        };
        S::read(&mut Reader::new(&node.location, table, at, problems))
    }
}

/// Any number of tables of known keys, `[[…]]`.
pub(super) struct Subs<S>(PhantomData<S>);

impl<S: Section> Kind for Subs<S> {
    type Output = Vec<S>;

    fn shape() -> Shape {
        Shape::Tables(S::DOC, S::keys())
    }

    fn read(node: &Node, at: &str, problems: &mut Problems) -> Option<Vec<S>> {
        let Value::Array(items) = &node.value else {
            let what = format!("expected tables (`[[{at}]]`), found {}", node.what());
            wrong(node, at, &what, None, problems);
            return None;
        };
        let read: Vec<Option<S>> = items
            .iter()
            .map(|item| Sub::<S>::read(item, at, problems))
            .collect();
        read.into_iter().collect()
    }
}

fn text(value: &str) -> Result<String, String> {
    match value.chars().find(|c| c.is_control()) {
        Some(control) => Err(format!(
            "a control character ({})",
            control.escape_unicode()
        )),
        None if value.trim().is_empty() => Err("an empty string".to_owned()),
        None => Ok(value.to_owned()),
    }
}

/// The longest name in bytes that the Mender server and client take.
const MAX_NAME: usize = 256;

/// A name on one line without white space, of at most 256 bytes.
///
/// # Errors
/// What is wrong with it, as a fact.
pub fn name(value: &str) -> Result<String, String> {
    let value = text(value)?;
    if value.len() > MAX_NAME {
        return Err(format!(
            "{} bytes exceeds the limit of {MAX_NAME}",
            value.len()
        ));
    }
    match value
        .chars()
        .find(|c| c.is_whitespace() || is_invisible(*c))
    {
        Some(c) if c.is_whitespace() => Err(format!("`{value}` contains white space")),
        Some(c) => Err(format!("an invisible character ({})", c.escape_unicode())),
        None => Ok(value),
    }
}

/// Zero-width and direction marks, private use and the like: no control characters, yet nothing
/// that is printed.
fn is_invisible(c: char) -> bool {
    matches!(c, '\u{ad}' | '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{e000}'..='\u{f8ff}'
        | '\u{feff}' | '\u{fff0}'..='\u{fffb}' | '\u{e0000}'..='\u{10ffff}')
}

fn url(value: &str) -> Result<String, String> {
    let rest = value
        .strip_prefix("https://")
        .or_else(|| value.strip_prefix("http://"));
    let fine = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    if fine && !value.contains(|c: char| c.is_whitespace() || c.is_control()) {
        Ok(value.to_owned())
    } else {
        Err(format!(
            "`{value}` is not a URL such as `https://mender.example.com`"
        ))
    }
}

fn mount_point(value: &str) -> Result<String, String> {
    let mut names = value.split('/').skip(1);
    let fine = value.len() > 1
        && value.starts_with('/')
        && names.all(|name| {
            !matches!(name, "" | "." | "..")
                && !name.contains(|c: char| c.is_whitespace() || c.is_control())
        });
    if fine {
        Ok(value.to_owned())
    } else {
        Err(format!(
            "`{value}` is not an absolute path of a directory, such as `/boot/efi`"
        ))
    }
}

fn device(value: &str) -> Result<Device, String> {
    if value == "partuuid" {
        return Ok(Device::PartUuid);
    }
    let disk = value.strip_prefix("/dev/").unwrap_or_default();
    if disk.is_empty()
        || !disk
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    {
        return Err(format!(
            "`{value}` is neither `partuuid` nor a disk such as `/dev/mmcblk0`"
        ));
    }
    match whole_disk(disk) {
        Some(whole) => Err(format!(
            "`{value}` is a partition; the disk is `/dev/{whole}`"
        )),
        None => Ok(Device::Disk(value.to_owned())),
    }
}

/// The disk that the kernel's name `name` is a partition of, when it is one.
fn whole_disk(name: &str) -> Option<&str> {
    let stem = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let letters = ["sd", "vd", "hd", "xvd"].iter().any(|bus| {
        stem.strip_prefix(bus)
            .is_some_and(|rest| !rest.is_empty() && rest.chars().all(|c| c.is_ascii_lowercase()))
    });
    if letters {
        return (stem.len() < name.len()).then_some(stem);
    }
    let numbered = ["mmcblk", "nvme", "loop", "nbd"]
        .iter()
        .any(|bus| name.starts_with(bus));
    let disk = stem
        .strip_suffix('p')
        .filter(|disk| disk.ends_with(|c: char| c.is_ascii_digit()));
    disk.filter(|_| numbered)
}

fn disk_id(value: &str) -> Result<DiskId, String> {
    if value.len() == 8 {
        let digits = value.bytes().all(|b| b.is_ascii_hexdigit());
        let id = u32::from_str_radix(value, 16)
            .ok()
            .filter(|id| digits && *id != 0);
        return id.map(DiskId::Mbr).ok_or_else(|| {
            format!("`{value}` is not a disk ID (8 hexadecimal digits, not all 0)")
        });
    }
    let bad =
        |_| format!("`{value}` is not a disk ID (8 hexadecimal digits for MBR, a GUID for GPT)");
    let id: Uuid = value.to_ascii_lowercase().parse().map_err(bad)?;
    not_nil(id).map(DiskId::Gpt)
}

fn not_nil(id: Uuid) -> Result<Uuid, String> {
    if id == Uuid::default() {
        Err("the UUID is all zeros".to_owned())
    } else {
        Ok(id)
    }
}

fn mount_options(value: &str) -> Result<String, String> {
    let fine = value.split(',').all(|option| {
        !option.is_empty() && !option.contains(|c: char| c.is_whitespace() || c.is_control())
    });
    if fine {
        Ok(value.to_owned())
    } else {
        Err(format!(
            "`{value}` is not a list of mount options such as `defaults,noatime`"
        ))
    }
}

fn pattern(value: &str) -> Result<Pattern, String> {
    if !value.starts_with('/') {
        return Err(format!("`{value}` does not begin with `/`"));
    }
    value.parse()
}

fn mode(value: &str) -> Result<u16, String> {
    let fine = (3..=5).contains(&value.len()) && value.bytes().all(|b| b.is_ascii_digit());
    let mode = u16::from_str_radix(value, 8)
        .ok()
        .filter(|mode| fine && *mode <= 0o7777);
    mode.ok_or_else(|| format!("`{value}` is not a file mode such as `\"0644\"`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn devices_and_their_partitions() {
        assert_eq!(device("partuuid"), Ok(Device::PartUuid));
        for (disk, second) in [
            ("/dev/sda", "/dev/sda2"),
            ("/dev/mmcblk0", "/dev/mmcblk0p2"),
            ("/dev/nvme0n1", "/dev/nvme0n1p2"),
        ] {
            assert_eq!(device(disk).unwrap().partition(2).unwrap(), second);
        }
        for (part, disk) in [
            ("/dev/sda1", "sda"),
            ("/dev/mmcblk0p", "mmcblk0"),
            ("/dev/nvme0n1p12", "nvme0n1"),
            ("/dev/vdb3", "vdb"),
        ] {
            assert_eq!(
                device(part),
                Err(format!(
                    "`{part}` is a partition; the disk is `/dev/{disk}`"
                ))
            );
        }
        for bad in ["", "sda", "/dev/", "/dev/disk/by-uuid/x", "/dev/s da"] {
            assert!(device(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn names_that_the_server_takes() {
        for good in ["release-1", "Ünï_1.0+x:y", &"x".repeat(256)] {
            assert!(name(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            " ",
            "a b",
            "a\u{a0}b",
            "a\nb",
            "a\u{200b}b",
            "\u{e000}",
            &"x".repeat(257),
        ] {
            assert!(name(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn ids_modes_and_rooms() {
        assert_eq!(disk_id("DEADbeef"), Ok(DiskId::Mbr(0xdead_beef)));
        assert!(
            disk_id("00000000").is_err() && disk_id("+eadbeef").is_err() && disk_id("xyz").is_err()
        );
        assert!(disk_id("C12A7328-F81F-11D2-BA4B-00A0C93EC93B").is_ok());
        assert!(disk_id("00000000-0000-0000-0000-000000000000").is_err());
        assert_eq!((mode("0640"), mode("4755")), (Ok(0o640), Ok(0o4755)));
        for bad in ["", "+644", "0888", "rw-r--r--", "64", "100644"] {
            assert!(mode(bad).is_err(), "{bad}");
        }
        assert_eq!(
            (
                Headroom::Percent(50).above(100),
                Headroom::Bytes(7).above(u64::MAX)
            ),
            (150, u64::MAX)
        );
    }
}
