//! The conditions of `[[overlay]]` and `[[raw]]`: boards, architectures and systems.

use crate::config::Config;
use crate::golden::Golden;
use crate::golden::facts::Facts;
use crate::golden::facts::OsRelease;
use crate::golden::origin::Origin;
use crate::platform::Architecture;

/// The facts about an image that boards and conditions depend on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ImageFacts<'g> {
    pub(crate) facts: &'g Facts,
    /// Maker, model and what starts it.
    pub(crate) origin: &'g Origin,
}

impl<'g> ImageFacts<'g> {
    /// The facts about `golden`.
    pub(crate) fn of(golden: &'g Golden) -> Self {
        Self {
            facts: &golden.facts,
            origin: &golden.origin,
        }
    }
}

/// The conditions of an entry; an empty list is always met.
pub(crate) struct Conditions<'c> {
    /// Built-in boards or device types.
    pub(crate) board: &'c [String],
    /// Architectures, of which the image has one.
    pub(crate) arch: &'c [Architecture],
    /// Systems by their names.
    pub(crate) release: &'c [String],
}

impl Conditions<'_> {
    /// A description of the condition that is not met; `None` if all of them are.
    pub(crate) fn unmet(&self, config: &Config, image: ImageFacts<'_>) -> Option<String> {
        let types = config.board.device_type.iter().flatten();
        let is_board = types
            .chain(config.built_upon())
            .any(|name| self.board.contains(name));
        if !self.board.is_empty() && !is_board {
            return Some(format!("for board {}", self.board.join(" or ")));
        }
        if !is_architecture(image.facts.architecture, self.arch) {
            let names: Vec<&str> = self.arch.iter().map(|one| one.name()).collect();
            return Some(format!("for architecture {}", names.join(" or ")));
        }
        let is_one = self
            .release
            .iter()
            .any(|name| is_release(&image.facts.os, name));
        (!self.release.is_empty() && !is_one)
            .then(|| format!("for release {}", self.release.join(" or ")))
    }
}

/// Whether `name` is one of the names of a system: `debian`, `12`, `bookworm` or `debian-12`.
pub(crate) fn is_release(os: &OsRelease, name: &str) -> bool {
    let both = format!("{}-{}", os.id, os.version_id);
    [&os.id, &os.version_id, &os.codename, &both]
        .into_iter()
        .any(|known| !known.is_empty() && known.eq_ignore_ascii_case(name))
}

/// Whether the condition `wanted` is empty or contains `architecture`.
pub(crate) fn is_architecture(architecture: Option<Architecture>, wanted: &[Architecture]) -> bool {
    wanted.is_empty() || architecture.is_some_and(|found| wanted.contains(&found))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::config;
    use crate::golden::origin::Start;
    use crate::platform::Firmware;

    #[test]
    fn systems_have_several_names() {
        let os = facts(Architecture::Amd64).os;
        for name in ["debian", "12", "bookworm", "Debian-12"] {
            assert!(is_release(&os, name), "{name}");
        }
        for name in ["trixie", "debian-1", "ubuntu-12", ""] {
            assert!(!is_release(&os, name), "{name}");
        }
        assert!(!is_release(&OsRelease::default(), ""));
    }

    #[test]
    fn all_conditions_must_hold() {
        let config =
            config::load(&["qemux86-64".into()], &["board.device-type=mine".into()]).unwrap();
        let (facts, origin) = (facts(Architecture::Amd64), origin(&[]));
        let image = ImageFacts {
            facts: &facts,
            origin: &origin,
        };
        let strings =
            |names: &[&str]| -> Vec<String> { names.iter().map(|&name| name.to_owned()).collect() };
        let unmet = |board: &[&str], arch: &[Architecture], release: &[&str]| {
            let (board, release) = (strings(board), strings(release));
            Conditions {
                board: &board,
                arch,
                release: &release,
            }
            .unmet(&config, image)
        };
        for board in [
            &[][..],
            &["mine"],
            &["qemux86-64"],
            &["generic-x86-64"],
            &["other", "mine"],
        ] {
            assert_eq!(
                unmet(board, &[Architecture::Amd64], &["bookworm", "trixie"]),
                None,
                "{board:?}"
            );
        }
        assert_eq!(
            unmet(&["other", "another"], &[], &[]).unwrap(),
            "for board other or another"
        );
        assert_eq!(
            unmet(&["mine"], &[Architecture::Arm64], &[]).unwrap(),
            "for architecture arm64"
        );
        assert_eq!(
            unmet(&["mine"], &[], &["trixie"]).unwrap(),
            "for release trixie"
        );
    }

    pub(crate) fn facts(architecture: Architecture) -> Facts {
        let os = OsRelease {
            id: "debian".into(),
            version_id: "12".into(),
            codename: "bookworm".into(),
            pretty: "Debian 12".into(),
        };
        Facts {
            architecture: Some(architecture),
            os,
            kernels: Vec::new(),
            hostname: None,
            systemd: true,
            dpkg: true,
            partition_tools: Vec::new(),
            remarks: Vec::new(),
        }
    }

    pub(crate) fn origin(firmware: &[Firmware]) -> Origin {
        let starts = firmware
            .iter()
            .map(|firmware| Start {
                firmware: *firmware,
                evidence: "a file".into(),
                known: true,
            })
            .collect();
        Origin {
            starts,
            ..Origin::default()
        }
    }
}
