//! Names of systemd's units and what they stand for (`systemd-escape(1)`).

/// The path that the name of a unit stands for: `/srv/media` for `srv-media`, `/` for `-`.
#[must_use]
pub fn path(escaped: &str) -> String {
    if escaped == "-" {
        return "/".to_owned();
    }
    let slashes = escaped.replace('-', "/");
    format!("/{}", super::device::unescape(&slashes))
}

/// The name that stands for a path.
#[must_use]
pub fn escape(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return "-".to_owned();
    }
    let mut out = String::new();
    for (at, byte) in parts.join("/").bytes().enumerate() {
        match byte {
            b'/' => out.push('-'),
            b'.' if at == 0 => out.push_str("\\x2e"),
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'.' | b':' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("\\x{byte:02x}")),
        }
    }
    out
}

/// The path of the device in the name of a unit: of a device or swap unit, or of an instance of a
/// template (`systemd-fsck@dev-sda3.service`).
#[must_use]
pub fn device(unit: &str) -> Option<String> {
    let (stem, kind) = unit.rsplit_once('.')?;
    let escaped = match stem.split_once('@') {
        Some((_, instance)) => instance,
        None if matches!(kind, "device" | "swap") => stem,
        None => return None,
    };
    let known = escaped.starts_with("dev-") && !escaped.contains('%');
    known.then(|| path(escaped))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_paths() {
        for (name, expected) in [
            ("-", "/"),
            ("data", "/data"),
            ("boot-efi", "/boot/efi"),
            ("srv-my\\x2dmedia", "/srv/my-media"),
            ("dev-disk-by\\x2duuid-11\\x2d22", "/dev/disk/by-uuid/11-22"),
        ] {
            assert_eq!(path(name), expected);
            assert_eq!(escape(expected), name);
        }
        assert_eq!(escape("/srv//media/"), "srv-media");
        assert_eq!(device("dev-sda3.swap").as_deref(), Some("/dev/sda3"));
        assert_eq!(
            device("systemd-fsck@dev-disk-by\\x2dlabel-x.service").as_deref(),
            Some("/dev/disk/by-label/x")
        );
        assert_eq!(device("dev-sda3.mount"), None);
        assert_eq!(device("dev-%i.device"), None);
        assert_eq!(device("getty@tty1.service"), None);
    }
}
