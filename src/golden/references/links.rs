//! Symlinks to devices, and links and directories of systemd whose names are those of devices.

use super::device::Device;
use super::units::UNIT_DIRS;
use super::{Reference, Removal, entries, symlink_target, unit_names};
use crate::tree::{Tree, show};

/// Directories that are filled at run time.
const VOLATILE: [&[u8]; 4] = [b"/dev/", b"/proc/", b"/run/", b"/sys/"];

pub(super) fn gather(root: &Tree) -> Vec<Reference> {
    let mut out = Vec::new();
    root.visit(&mut |path, entry| {
        if let Some(target) = symlink_target(root, entry)
            && target.starts_with(b"/dev/")
            && !VOLATILE.iter().any(|dir| path.starts_with(dir))
        {
            let text = show(target);
            let device = Device::parse(&text);
            if !matches!(device, Device::Other | Device::Path(_)) {
                out.push(link(show(path), "symlink", text, device));
            }
        }
    });
    for dir in UNIT_DIRS {
        units(root, dir, &mut out);
    }
    out
}

/// Units of one directory that are bound to a device by their name: instances of templates that a
/// target wants, whatever a device wants, and drop-ins of device units.
fn units(root: &Tree, dir: &str, out: &mut Vec<Reference>) {
    for path in entries(root, dir) {
        let name = path.rsplit('/').next().unwrap_or_default();
        let Some((unit, kind)) = name.rsplit_once('.') else {
            continue;
        };
        if !matches!(kind, "wants" | "requires" | "upholds" | "d") {
            continue;
        }
        let of_device = unit_names::device(unit).filter(|_| unit.ends_with(".device"));
        for member in entries(root, &path) {
            let link_name = member.rsplit('/').next().unwrap_or_default();
            let instance = unit_names::device(link_name)
                .filter(|_| kind != "d" && !link_name.ends_with(".swap"));
            if let Some(text) = of_device.clone().or(instance) {
                let device = Device::parse(&text);
                out.push(link(member, "unit of a device", text, device));
            }
        }
    }
}

fn link(file: String, kind: &'static str, text: String, device: Device) -> Reference {
    Reference {
        file,
        on_boot: false,
        line: 0,
        last: 0,
        kind,
        text,
        device,
        needed: false,
        removal: Removal::File,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::example_tests::{add, empty};
    use crate::tree::Time;

    #[test]
    fn links_that_name_devices() {
        let mut root = empty();
        let mut symlink = |path: &str, target: &str| {
            root.put_symlink(path, target, Time::default()).unwrap();
        };
        symlink("/srv/disk", "/dev/sda3");
        symlink("/srv/null", "/dev/null");
        symlink("/dev/cdrom", "/dev/sda3");
        let wants = "/etc/systemd/system/multi-user.target.wants";
        symlink(
            &format!("{wants}/check@dev-sda4.service"),
            "/lib/x@.service",
        );
        symlink(&format!("{wants}/getty@tty1.service"), "/lib/x@.service");
        symlink(&format!("{wants}/dev-sda3.swap"), "../dev-sda3.swap");
        symlink(
            "/etc/systemd/system/dev-sda5.device.wants/x.service",
            "../x.service",
        );
        add(
            &mut root,
            "/etc/systemd/system/dev-sda6.device.d/timeout.conf",
            b"[Unit]\n",
        );
        let found: Vec<(String, String)> = gather(&root)
            .into_iter()
            .map(|one| (one.text, one.file.rsplit('/').next().unwrap().to_owned()))
            .collect();
        let expected = [
            ("/dev/sda3", "disk"),
            ("/dev/sda5", "x.service"),
            ("/dev/sda6", "timeout.conf"),
            ("/dev/sda4", "check@dev-sda4.service"),
        ];
        let expected = expected.map(|(text, file)| (text.to_owned(), file.to_owned()));
        assert_eq!(found, expected);
    }
}
