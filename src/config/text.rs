//! Types of value that are strings of a certain form.

use super::keys::{Shape, ValueType, parsed};
use super::node::Node;
use crate::pattern::Pattern;
use crate::problem::Problems;
use crate::stamp::Uuid;

/// Defines types that are strings of a certain form.
macro_rules! text_kinds {
    ($($(#[doc = $doc:literal])+ $name:ident -> $output:ty, $shape:literal, $parse:expr;)+) => {$(
        $(#[doc = $doc])+
        pub(super) struct $name;

        impl ValueType for $name {
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
    /// A unit of systemd; `.service` may be left out.
    UnitName -> String, "unit of systemd", unit_name;
    /// A host name, perhaps with a domain.
    HostName -> String, "host name", host_name;
    /// A time zone by its name in `/usr/share/zoneinfo`.
    ZoneName -> String, "time zone", zone_name;
    /// A locale.
    LocaleName -> String, "locale", locale_name;
    /// Text of any number of lines, perhaps empty.
    Lines -> String, "text", lines;
    /// A name on one line without white space, of at most 256 bytes: what the server and the client
    /// accept.
    Name -> String, "name", name;
    /// The URL of a server.
    Url -> String, "URL", url;
    /// The URL of a repository, which may be a directory of the host.
    RepositoryUrl -> String, "URL", repository_url;
    /// An e-mail address or a URL.
    Contact -> String, "e-mail address or URL", contact;
    /// A mount point on the device.
    MountPoint -> String, "directory of the device", mount_point;
    /// `partuuid` or a disk.
    DiskName -> Device, "disk (`partuuid` or a device such as `/dev/mmcblk0`)", device;
    /// A disk ID, of an MBR or a GPT.
    Disk -> DiskId, "disk ID (8 hexadecimal digits for an MBR, a GUID for GPT)", disk_id;
    /// A UUID in either case, but not the nil one.
    Id -> Uuid, "UUID", |value| value.to_ascii_lowercase().parse().and_then(not_nil);
    /// Mount options as in `/etc/fstab`, separated by commas.
    Options -> String, "list of mount options", mount_options;
    /// A pattern for absolute paths.
    Glob -> Pattern, "path pattern", pattern;
    /// Permission bits in octal.
    Mode -> u16, "file mode in octal, as a string", mode;
}

/// A string that appears in no message, dump or record.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(String);

impl Secret {
    /// The environment variable that has the text.
    #[must_use]
    pub fn variable(&self) -> Option<&str> {
        self.0.strip_prefix("env:")
    }

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

/// A string that is never shown.
pub(super) struct Hidden;

impl ValueType for Hidden {
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

/// How the device refers to the partitions of its disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Device {
    /// By PARTUUID, independent of the kernel's name of the disk.
    PartUuid,
    /// By the kernel's name of the disk, such as `/dev/sda`.
    Disk(String),
}

impl Device {
    /// The kernel's name of partition `number`, or `None` for PARTUUIDs. If the disk's name ends in
    /// a digit, a `p` precedes the number.
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

/// The ID of a disk in its partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DiskId {
    /// The disk signature of an MBR; never 0.
    Mbr(u32),
    /// The disk GUID of a GPT.
    Gpt(Uuid),
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

/// The kinds of units that can be enabled or masked (`systemd.unit(5)`).
const UNIT_KINDS: [&str; 10] = [
    "service",
    "socket",
    "timer",
    "path",
    "target",
    "mount",
    "automount",
    "swap",
    "slice",
    "device",
];

pub(super) fn unit_name(value: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || ":-_.\\@".contains(c);
    if value.is_empty() || value.len() > 255 || !value.chars().all(fine) {
        return Err(format!(
            "`{value}` is not the name of a unit such as `ssh.service`"
        ));
    }
    let kind = value.rsplit_once('.').map(|(_, kind)| kind);
    Ok(match kind {
        Some(kind) if UNIT_KINDS.contains(&kind) => value.to_owned(),
        _ => format!("{value}.service"),
    })
}

fn host_name(value: &str) -> Result<String, String> {
    let label = |label: &str| {
        let fine = |c: char| c.is_ascii_alphanumeric() || c == '-';
        (1..=63).contains(&label.len())
            && label.chars().all(fine)
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    // The kernel's limit is 64 bytes.
    if value.len() <= 64 && value.split('.').all(label) {
        return Ok(value.to_owned());
    }
    Err(format!(
        "`{value}` is not a host name: letters, digits and `-`, at most 64 bytes"
    ))
}

fn zone_name(value: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_+".contains(c);
    let parts = || value.split('/');
    if parts().all(|part| !part.is_empty() && part.chars().all(fine)) {
        return Ok(value.to_owned());
    }
    Err(format!(
        "`{value}` is not a time zone such as `Europe/Berlin`"
    ))
}

fn locale_name(value: &str) -> Result<String, String> {
    let fine = |c: char| c.is_ascii_alphanumeric() || "-_.@".contains(c);
    if !value.is_empty() && value.chars().all(fine) && value != "." && value != ".." {
        return Ok(value.to_owned());
    }
    Err(format!("`{value}` is not a locale such as `de_DE.UTF-8`"))
}

fn lines(value: &str) -> Result<String, String> {
    let odd = |c: &char| c.is_control() && !matches!(c, '\n' | '\t');
    match value.chars().find(odd) {
        Some(control) => Err(format!(
            "a control character ({})",
            control.escape_unicode()
        )),
        None => Ok(value.to_owned()),
    }
}

/// The longest name that the Mender server and client accept (bytes).
const MAX_NAME: usize = 256;

/// A name on one line without white space, of at most 256 bytes.
///
/// # Errors
/// The reason why it is invalid.
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

/// Whether `c` is invisible although it is not a control character: zero-width and direction marks,
/// private use and so on.
fn is_invisible(c: char) -> bool {
    matches!(
        c,
        '\u{ad}'
            | '\u{200b}'..='\u{200f}'
            | '\u{202a}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}'
            | '\u{e000}'..='\u{f8ff}'
            | '\u{feff}'
            | '\u{fff0}'..='\u{fffb}'
            | '\u{e0000}'..='\u{10ffff}'
    )
}

fn url(value: &str) -> Result<String, String> {
    let rest = value
        .strip_prefix("https://")
        .or_else(|| value.strip_prefix("http://"));
    let fine = rest.is_some_and(|rest| !rest.is_empty() && !rest.starts_with('/'));
    if fine && !value.contains(|c: char| c.is_whitespace() || c.is_control()) {
        Ok(value.to_owned())
    } else {
        let host = value.split('/').next().unwrap_or_default();
        let is_host = host.contains('.') && !value.contains(char::is_whitespace);
        Err(match is_host && !value.contains("://") {
            true => format!("`{value}` is not a URL: did you mean `https://{value}`?"),
            false => format!("`{value}` is not a URL such as `https://mender.example.com`"),
        })
    }
}

fn repository_url(value: &str) -> Result<String, String> {
    let local = value.strip_prefix("file://");
    if local.is_some_and(|path| path.starts_with('/') && !path.contains(char::is_control)) {
        return Ok(value.to_owned());
    }
    url(value).map_err(|_| {
        format!("`{value}` is not a URL such as `https://packages.example.com/debian` or `file:///srv/mirror`")
    })
}

fn contact(value: &str) -> Result<String, String> {
    let address = value.split_once('@').is_some_and(|(user, host)| {
        let fine = |c: char| c.is_alphanumeric() || ".-_+".contains(c);
        let dots = !host.starts_with('.') && !host.ends_with('.') && !host.contains("..");
        !user.is_empty() && !host.is_empty() && dots && user.chars().chain(host.chars()).all(fine)
    });
    if address || url(value).is_ok() {
        Ok(value.to_owned())
    } else {
        Err(format!(
            "`{value}` is neither an e-mail address nor a URL such as `https://example.com`"
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

/// The disk of the partition with the kernel's name `name`, if it is one.
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
    fn contacts_are_addresses() {
        for good in [
            "security@example.com",
            "a.b+c@x-y.example",
            "https://example.com/contact",
        ] {
            assert!(contact(good).is_ok(), "{good}");
        }
        for bad in [
            "",
            "Example GmbH",
            "@x",
            "x@",
            "a b@c",
            "a@b@c",
            "a@.b",
            "a@b..c",
            "ftp://x",
        ] {
            assert!(contact(bad).is_err(), "{bad}");
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
    fn ids_and_modes() {
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
    }
}
