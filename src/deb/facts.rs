//! The facts of a control paragraph that relations are about (`deb-control(5)`).

use super::{Paragraph, Relations, Version};

/// The value of the field `Multi-Arch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum MultiArch {
    /// `no`, or no field: it satisfies relations of its own architecture only.
    #[default]
    No,
    /// `same`: it can be installed for several architectures at once, in one version.
    Same,
    /// `foreign`: it satisfies relations of any architecture.
    Foreign,
    /// `allowed`: it satisfies relations of any architecture that are written `name:any`.
    Allowed,
}

impl MultiArch {
    /// The meaning of the field's text; any other word counts as `no`.
    #[must_use]
    pub fn from_text(text: &str) -> Self {
        match text {
            "same" => Self::Same,
            "foreign" => Self::Foreign,
            "allowed" => Self::Allowed,
            _ => Self::No,
        }
    }
}

/// A package's name, architecture and version, and its relations to others.
#[derive(Clone, Debug)]
pub struct PackageFacts {
    /// The field `Package`: letters, digits and `+-.`.
    pub name: String,
    /// The field `Architecture`; `all` suits every one.
    pub architecture: String,
    /// The field `Version`.
    pub version: Version,
    /// The field `Multi-Arch`.
    pub multi_arch: MultiArch,
    /// The field `Essential`.
    pub essential: bool,
    /// The field `Depends`.
    pub depends: Relations,
    /// The field `Pre-Depends`.
    pub pre_depends: Relations,
    /// The field `Recommends`.
    pub recommends: Relations,
    /// The field `Conflicts`.
    pub conflicts: Relations,
    /// The field `Breaks`.
    pub breaks: Relations,
    /// The field `Replaces`.
    pub replaces: Relations,
    /// The field `Provides`.
    pub provides: Relations,
}

impl PackageFacts {
    /// Reads the fields of a control paragraph.
    ///
    /// # Errors
    /// The field and why its value cannot be read.
    pub fn read(control: &Paragraph) -> Result<Self, String> {
        let architecture = control.text("Architecture");
        let relations = |field: &str| {
            Relations::parse(control.text(field), architecture).map_err(|e| format!("{field}: {e}"))
        };
        let name = control.text("Package");
        let fine = |b: u8| b.is_ascii_alphanumeric() || b"+-.".contains(&b);
        if !name.bytes().all(fine) || !name.starts_with(|c: char| c.is_ascii_alphanumeric()) {
            return Err(format!("Package: `{name}` is not a package name"));
        }
        let fine = |b: u8| b.is_ascii_alphanumeric() || b == b'-';
        if architecture.is_empty() || !architecture.bytes().all(fine) {
            return Err(format!(
                "Architecture: `{architecture}` is not an architecture"
            ));
        }
        Ok(Self {
            name: name.to_owned(),
            architecture: architecture.to_owned(),
            version: control
                .text("Version")
                .parse()
                .map_err(|e| format!("Version: {e}"))?,
            multi_arch: MultiArch::from_text(control.text("Multi-Arch")),
            essential: control.text("Essential") == "yes",
            depends: relations("Depends")?,
            pre_depends: relations("Pre-Depends")?,
            recommends: relations("Recommends")?,
            conflicts: relations("Conflicts")?,
            breaks: relations("Breaks")?,
            replaces: relations("Replaces")?,
            provides: relations("Provides")?,
        })
    }

    /// The name of the package's files in `info` of dpkg's database: with the architecture where
    /// several can be installed at once.
    #[must_use]
    pub fn base(&self) -> String {
        if self.multi_arch == MultiArch::Same {
            format!("{}:{}", self.name, self.architecture)
        } else {
            self.name.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<PackageFacts, String> {
        PackageFacts::read(&Paragraph::parse(text.as_bytes()).unwrap())
    }

    #[test]
    fn the_fields_of_a_paragraph() {
        let facts = read(
            "Package: a\nVersion: 1:2-3\nArchitecture: arm64\nMulti-Arch: same\nEssential: yes\n\
             Depends: b (>= 1) | c\nRecommends: d\n",
        )
        .unwrap();
        assert_eq!(facts.base(), "a:arm64");
        assert_eq!(facts.version.to_string(), "1:2-3");
        assert!(facts.essential);
        assert_eq!(facts.depends.to_string(), "b (>= 1) | c");
        assert_eq!(facts.recommends.to_string(), "d");
        assert_eq!(MultiArch::from_text("Foreign"), MultiArch::No);
    }

    #[test]
    fn fields_that_cannot_be_read_are_named() {
        for (text, field) in [
            ("Version: 1\nArchitecture: all\n", "Package: "),
            ("Package: +a\nVersion: 1\nArchitecture: all\n", "Package: "),
            ("Package: a\nVersion: 1\n", "Architecture: "),
            ("Package: a\nArchitecture: all\n", "Version: "),
            (
                "Package: a\nVersion: 1\nArchitecture: all\nBreaks: ???\n",
                "Breaks: ",
            ),
        ] {
            let error = read(text).unwrap_err();
            assert!(error.starts_with(field), "{text}: {error}");
        }
    }
}
