//! Lines of `/etc/fstab` (`fstab(5)`).

/// A line of `/etc/fstab`; check order and dump frequency are left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FstabLine<'a> {
    /// The first field: what is mounted.
    pub spec: &'a str,
    /// The second field: where; `none` for swap space.
    pub dir: &'a str,
    /// The third field: filesystem types, separated by commas.
    pub kind: &'a str,
    /// The fourth field: options, separated by commas.
    pub options: &'a str,
}

impl<'a> FstabLine<'a> {
    /// Parses a line; `None` for comments, blank lines and lines with fewer than three fields.
    #[must_use]
    pub fn parse(line: &'a str) -> Option<Self> {
        let mut fields = line.split_whitespace();
        let spec = fields.next().filter(|spec| !spec.starts_with('#'))?;
        Some(Self {
            spec,
            dir: fields.next()?,
            kind: fields.next()?,
            options: fields.next().unwrap_or("defaults"),
        })
    }
}

/// Whether two paths name the same directory, with or without slashes at the end.
#[must_use]
pub fn same_dir(a: &str, b: &str) -> bool {
    let trim = |dir: &str| match dir.trim_end_matches('/') {
        "" => "/".to_owned(),
        dir => dir.to_owned(),
    };
    trim(a) == trim(b)
}

/// Whether a line of the text mounts something on `dir`.
#[must_use]
pub fn mounts(text: &str, dir: &str) -> bool {
    text.lines()
        .filter_map(FstabLine::parse)
        .any(|line| same_dir(dir, line.dir))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_a_line() {
        let line = FstabLine::parse("LABEL=x\t/srv/  ext4").unwrap();
        assert_eq!((line.spec, line.dir), ("LABEL=x", "/srv/"));
        assert_eq!((line.kind, line.options), ("ext4", "defaults"));
        for text in ["", "  ", "# LABEL=x / ext4", "LABEL=x /"] {
            assert_eq!(FstabLine::parse(text), None, "{text}");
        }
    }

    #[test]
    fn mount_points_are_compared_without_final_slashes() {
        let text = "LABEL=a / ext4 defaults 0 1\n#LABEL=b /efi vfat\nLABEL=c /data/ ext4\n";
        assert!(mounts(text, "/") && mounts(text, "/data"));
        assert!(!mounts(text, "/efi") && !mounts(text, "/dat"));
        assert!(same_dir("/", "//") && !same_dir("/", "/a"));
    }
}
