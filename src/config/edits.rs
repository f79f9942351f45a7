//! The keys of edits: what is done to the files of the golden image.

use super::keys::{Fallback, Key, Reader, Section, ValueType, kebab, keys};
use super::text::{
    Glob, Hidden, HostName, Lines, LocaleName, Mode, Name, Secret, Text, UnitName, ZoneName,
};
use super::types::{Flag, HostPath, List, Number, OneOf, Subs};
use super::words::AssignmentStyle;
use crate::pattern::Pattern;
use crate::platform::Architecture;
use std::path::PathBuf;

keys! {
    /// Changes to the root filesystem.
    pub struct Rootfs {
        /// Directories to copy over the root filesystem, in this order. Files keep the permission
        /// bits that they have in the directory, belong to root and get the time of the conversion.
        /// Directories that exist in the golden image keep their owner and mode, and symbolic links
        /// to directories in the golden image are followed. Nothing is deleted: see
        /// `[[rootfs.remove]]`.
        overlays: Vec<PathBuf> => List<HostPath> { default "[]" }
        /// The owners of files from overlays, if not root. If several rules match a path, the last
        /// one applies.
        owner: Vec<OwnerRule> => Subs<OwnerRule> { default "[]" }
        /// Files and directories to remove.
        remove: Option<Vec<Removal>> => Subs<Removal> { unset "none", like "[]" }
        /// Text files to edit.
        edit: Option<Vec<TextEdit>> => Subs<TextEdit> { unset "none", like "[]" }
    }

    /// Files and directories to remove, after the overlays; [edits.md](edits.md) has examples. A
    /// directory goes with everything in it, a symbolic link without what it points to. What the
    /// device needs to start and to be updated is refused. The conditions are those of
    /// `[[overlay]]`.
    pub struct Removal {
        /// The path on the device, or a pattern of paths as in `rootfs.owner.path`. Below the mount
        /// point of the boot partition, it is one of that partition.
        path: Pattern => Glob { required like "\"/usr/share/doc/*\"" }
        /// The number of paths that must match. Any other number is an error.
        count: Option<u32> => Number<1, 1_000_000> { unset "at least one", like "1" }
        /// Whether nothing has to match.
        optional: bool => Flag { default "false" }
        /// Condition: one of these is a device type of the image, or a built-in board that the
        /// configuration builds on.
        board: Vec<String> => List<Name> { default "[]" }
        /// Condition: the image has one of these architectures.
        arch: Vec<Architecture> => List<OneOf<Architecture>> { default "[]" }
        /// Condition: the image has one of these systems, written as in `board.release`.
        release: Vec<String> => List<Name> { default "[]" }
    }

    /// Text files to edit, after `[[rootfs.remove]]` and in this order; [edits.md](edits.md) has
    /// examples. Each entry has one of `replace`, `append` and `set`. Owner, mode and extended
    /// attributes stay, and symbolic links are followed inside the image. The conditions are those
    /// of `[[overlay]]`.
    pub struct TextEdit {
        /// The path on the device, or a pattern of paths as in `rootfs.owner.path`. Below the mount
        /// point of the boot partition, it is one of that partition.
        path: Pattern => Glob { required like "\"/etc/ssh/sshd_config\"" }
        /// The number of files that must match. Any other number is an error.
        count: Option<u32> => Number<1, 1_000_000> { unset "at least one", like "1" }
        /// The text to replace, exactly as it is in the file. It may have several lines.
        replace: Option<String> => Lines { unset "nothing is replaced", like "\"#Port 22\"" }
        /// The text instead of it; empty to delete it.
        with: Option<String> => Lines { unset "must be set with `replace`", like "\"Port 2222\"" }
        /// The number of places, in all files together, that must have the text of `replace`. Any
        /// other number is an error.
        places: Option<u32> => Number<1, 1_000_000> { unset "at least one in each file", like "1" }
        /// The line to append. A file that has it already stays as it is.
        append: Option<String> => Lines { unset "nothing is appended", like "\"net.ipv4.ip_forward = 1\"" }
        /// The key to set. Its line is edited if the file has one, and added otherwise, after a
        /// commented line of this key if there is one.
        set: Option<String> => Text { unset "no key is set", like "\"SystemMaxUse\"" }
        /// The value of the key.
        value: Option<String> => Lines { unset "must be set with `set`", like "\"64M\"" }
        /// The section of the key, without brackets. It is added to a file that lacks it.
        section: Option<String> => Text { unset "the lines before the first section", like "\"Journal\"" }
        /// How the file assigns values to keys.
        style: AssignmentStyle => OneOf<AssignmentStyle> { default "\"ini\"" }
        /// A text that stands for `{secret}` in `with`, `append` and `value`, such as the password
        /// of a wireless network. `env:NAME` takes it from an environment variable. It appears
        /// nowhere but in the image.
        secret: Option<Secret> => Hidden { unset "none", like "\"env:WIFI_PASSWORD\"" }
        /// The file with this text, instead of `secret`. The end of its last line does not count.
        secret_file: Option<PathBuf> => HostPath { unset "none", like "\"wifi.txt\"" }
        /// Whether a file that is missing is made, with mode 0644. Only with `append` or `set`, and
        /// a path without `*` and `?`.
        create: bool => Flag { default "false" }
        /// Condition: one of these is a device type of the image, or a built-in board that the
        /// configuration builds on.
        board: Vec<String> => List<Name> { default "[]" }
        /// Condition: the image has one of these architectures.
        arch: Vec<Architecture> => List<OneOf<Architecture>> { default "[]" }
        /// Condition: the image has one of these systems, written as in `board.release`.
        release: Vec<String> => List<Name> { default "[]" }
    }

    /// Units of systemd, of the system and not of users. What is enabled by default is kept. The
    /// lists of later files add to those of earlier ones: of several entries for a unit, the last
    /// one counts.
    /// [edits.md](edits.md) has examples.
    pub struct Systemd {
        /// Units to enable, by the links of their `[Install]` section, as `systemctl enable` does.
        /// A unit that is masked is no longer masked. `.service` may be left out.
        enable: Option<Vec<String>> => List<UnitName> { unset "none", like "[\"chrony.service\"]" }
        /// Units to disable, as `systemctl disable` does: they start if something else asks for
        /// them.
        disable: Option<Vec<String>> => List<UnitName> { unset "none", like "[\"apt-daily.timer\"]" }
        /// Units to mask, as `systemctl mask` does: nothing can start them.
        mask: Option<Vec<String>> => List<UnitName> { unset "none", like "[\"ctrl-alt-del.target\"]" }
    }

    /// Settings of the system that every device has. [edits.md](edits.md) has examples.
    pub struct System {
        /// The host name, in `/etc/hostname` and `/etc/hosts`.
        hostname: Option<String> => HostName { unset "that of the golden image", like "\"gateway\"" }
        /// The time zone, by its name in `/usr/share/zoneinfo` of the image.
        timezone: Option<String> => ZoneName { unset "that of the golden image", like "\"Europe/Berlin\"" }
        /// The locale of the system (`LANG`), which the image must have.
        locale: Option<String> => LocaleName { unset "that of the golden image", like "\"C.UTF-8\"" }
        /// Users of the image, and what they get.
        user: Option<Vec<User>> => Subs<User> { unset "none", like "[]" }
    }

    /// Users of the image, and what they get.
    pub struct User {
        /// The name in `/etc/passwd`.
        name: String => Name { required like "\"admin\"" }
        /// Public SSH keys that the user can log in with, each as in `authorized_keys`. They are
        /// added to those of the golden image.
        authorized_keys: Vec<String> => List<Text> { default "[]" }
        /// Files with such keys.
        authorized_keys_file: Vec<PathBuf> => List<HostPath> { default "[]" }
    }

    /// The owners of files from overlays, if not root. If several rules match a path, the last one
    /// applies.
    pub struct OwnerRule {
        /// A pattern for paths in the overlay, from its top: `*` matches any characters within a
        /// name, `?` matches one, and `**` as a whole name matches any number of directories,
        /// including none (`/home/user/**` matches `/home/user` too).
        path: Pattern => Glob { required like "\"/home/user/**\"" }
        /// The user ID.
        uid: u32 => Number<0, 4_294_967_294> { default "0" }
        /// The group ID.
        gid: u32 => Number<0, 4_294_967_294> { default "0" }
        /// The permission bits, in octal. Directories also get execute permission wherever this
        /// grants read permission. Symbolic links have no permission bits.
        mode: Option<u16> => Mode { unset "as in the overlay", like "\"0640\"" }
    }
}
