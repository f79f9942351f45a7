//! Notes in records: their text does not change with the wording of messages.

/// A note that was reworded since this format of the record was first written. Records are outputs,
/// which do not change with the wording of messages.
struct Reworded {
    /// How the note begins and ends now; the part between, which names paths and numbers, stays.
    now: (&'static str, &'static str),
    /// How it begins and ends in records.
    then: (&'static str, &'static str),
}

/// All of them. A note that is the same for all conversions has no end.
const REWORDED: &[Reworded] = &[
    Reworded {
        now: (
            "/usr/share/mender/identity/mender-device-identity: device identity: MAC address of the \
             first network interface",
            "",
        ),
        then: (
            "/usr/share/mender/identity/mender-device-identity: the device is told apart by the \
             hardware address of its first network interface",
            "",
        ),
    },
    Reworded {
        now: (
            "",
            " of the image stays; the package's version is next to it as .dpkg-dist",
        ),
        then: (
            "",
            " of the image stays; the package's version is beside it as .dpkg-dist",
        ),
    },
    Reworded {
        now: (
            "using the board ",
            "; set board.device-type for a fleet of your own",
        ),
        then: (
            "the board is taken to be ",
            ": a fleet of its own sets board.device-type",
        ),
    },
    Reworded {
        now: ("storage.ids has no effect: an MBR has no partition IDs", ""),
        then: (
            "storage.ids has no effect: an MBR keeps no ids of partitions",
            "",
        ),
    },
    Reworded {
        now: ("the key ", "; restrict it with chmod 600"),
        then: ("the key ", ": chmod 600 keeps it yours"),
    },
    Reworded {
        now: (
            "/etc/fstab: the data of ",
            " on /data is not carried over: the data partition is new",
        ),
        then: (
            "/etc/fstab: what ",
            " held on /data does not come along, the data partition is new",
        ),
    },
    Reworded {
        now: (
            "the update client is managed but has no server: set server.url, or client.managed = \
             false to install updates by commands",
            "",
        ),
        then: (
            "the update client is managed but knows no server: set server.url, or client.managed = \
             false for one that waits for commands",
            "",
        ),
    },
    Reworded {
        now: (
            "the image contains no update client: install one in the golden image, or set \
             client.bundle or client.packages",
            "",
        ),
        then: (
            "there is no update client in the image: install one there, or name its packages under \
             client.packages",
            "",
        ),
    },
    Reworded {
        now: (
            "this image was converted before; the content of its data partition is not carried over",
            "",
        ),
        then: (
            "this image was converted before; what its data partition held does not come along",
            "",
        ),
    },
    Reworded {
        now: (
            "partition table: the GPT at the start of the disk is damaged (",
            "); using the backup at its end",
        ),
        then: (
            "partition table: the GPT at the disk's start is damaged (",
            "); used the one at its end",
        ),
    },
    Reworded {
        now: (
            "partition table: the backup GPT at the end of the disk is damaged (",
            "); using the one at its start",
        ),
        then: (
            "partition table: the GPT at the disk's end is damaged (",
            "); used the one at its start",
        ),
    },
    Reworded {
        now: (
            "partition table: the hybrid MBR has partitions of its own; using the GPT",
            "",
        ),
        then: (
            "partition table: a hybrid MBR names partitions of its own; used the GPT",
            "",
        ),
    },
    Reworded {
        now: (
            "partition table: the MBR is followed by an old GPT; using the MBR",
            "",
        ),
        then: (
            "partition table: an old GPT lies behind the MBR; used the MBR",
            "",
        ),
    },
];

/// The text of a note in records.
pub(super) fn recorded(note: &str) -> String {
    let reworded = |Reworded { now, then }: &Reworded| {
        let middle = note.strip_prefix(now.0)?.strip_suffix(now.1)?;
        let whole = now.1.is_empty() && !middle.is_empty();
        (!whole).then(|| format!("{}{middle}{}", then.0, then.1))
    };
    REWORDED
        .iter()
        .find_map(reworded)
        .or_else(|| accepted_script(note))
        .unwrap_or_else(|| note.to_owned())
}

/// The text of a note about an accepted maintainer script in another language than that of the
/// shell: `PACKAGE: SCRIPT is not ...`.
fn accepted_script(note: &str) -> Option<String> {
    let (package, rest) = note.split_once(": ")?;
    let (script, rest) = rest.split_once(' ')?;
    let scripts = ["preinst", "postinst", "prerm", "postrm"];
    let rest = rest.strip_prefix("is not a shell script (`")?;
    let known = scripts.contains(&script) && !package.contains(' ');
    known.then(|| format!("{package}: {script} is no shell script (`{rest}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reworded_notes_are_recorded_as_before() {
        for Reworded { now, then } in REWORDED {
            let middle = if now.1.is_empty() { "" } else { "x" };
            let note = format!("{}{middle}{}", now.0, now.1);
            let expected = format!("{}{middle}{}", then.0, then.1);
            assert_eq!(recorded(&note), expected);
        }
        assert_eq!(
            recorded(
                "/etc/fstab: the data of /dev/sda5 on /data is not carried over: the data \
                 partition is new"
            ),
            "/etc/fstab: what /dev/sda5 held on /data does not come along, the data partition is new"
        );
        assert_eq!(
            recorded("a-package: postinst is not a shell script (`#!/bin/perl`); accepted: why"),
            "a-package: postinst is no shell script (`#!/bin/perl`); accepted: why"
        );
    }

    #[test]
    fn texts_of_users_are_recorded_as_they_are() {
        for note in [
            "a note",
            "overlay /a/using the board x is left out: for board zz",
            "overlay using the board x is left out: for board zz",
            "/etc/fstab: the data of x on /mnt is commented out: no such device",
            "raw: /a: postinst is not a shell script (`x is left out: for release y",
            "client.accept: no package using the board is installed",
        ] {
            assert_eq!(recorded(note), note);
        }
    }
}
