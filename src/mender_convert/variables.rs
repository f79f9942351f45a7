//! The variables of mender-convert by topic.

use super::image::{BOOT, FILESYSTEMS, IDENTITY, STORAGE};
use super::system::{ADDONS, CLIENT, DOWNLOADS, EARLIER, ENVIRONMENT, OTHER_BOARDS, RASPBERRY};
use super::variable::Variable;

/// Variables that belong together.
#[derive(Clone, Copy, Debug)]
pub struct Topic {
    /// The title of their table.
    pub title: &'static str,
    /// The variables.
    pub variables: &'static [Variable],
}

/// All variables by topic.
pub const TOPICS: &[Topic] = &[
    Topic {
        title: "Release, Artifact and results",
        variables: IDENTITY,
    },
    Topic {
        title: "Disk",
        variables: STORAGE,
    },
    Topic {
        title: "Boot partition and boot loader",
        variables: BOOT,
    },
    Topic {
        title: "Filesystems",
        variables: FILESYSTEMS,
    },
    Topic {
        title: "Update client",
        variables: CLIENT,
    },
    Topic {
        title: "Add-ons",
        variables: ADDONS,
    },
    Topic {
        title: "Downloads",
        variables: DOWNLOADS,
    },
    Topic {
        title: "Raspberry Pi",
        variables: RASPBERRY,
    },
    Topic {
        title: "Other boards",
        variables: OTHER_BOARDS,
    },
    Topic {
        title: "Earlier releases",
        variables: EARLIER,
    },
    Topic {
        title: "Environment and container",
        variables: ENVIRONMENT,
    },
];

/// The variable of this name.
#[must_use]
pub fn variable(name: &str) -> Option<&'static Variable> {
    let mut all = TOPICS.iter().flat_map(|topic| topic.variables);
    all.find(|variable| variable.name == name)
}
