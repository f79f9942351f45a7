//! The user's programs that take part in a conversion: `[hooks]`.

use super::host::file_name;
use crate::config::Config;
use serde::Serialize;
use std::path::{Path, PathBuf};

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Before the edits: what it stages is integrated.
    BeforeEdits,
    /// After the edits: it must not replace what the integration wrote.
    AfterEdits,
    /// After the image was written and checked.
    AfterImage,
}

impl Stage {
    /// The key in the configuration, which the hook gets as `GOLDSMITH_STAGE`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeEdits => "before-edits",
            Self::AfterEdits => "after-edits",
            Self::AfterImage => "after-image",
        }
    }

    /// The directories in its staging directory.
    #[must_use]
    pub fn directories(self) -> &'static [&'static str] {
        match self {
            Self::BeforeEdits | Self::AfterEdits => &["rootfs", "boot", "data"],
            Self::AfterImage => &["output"],
        }
    }
}

/// A hook of the conversion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub struct Hook {
    /// The point of the conversion at which it runs.
    pub stage: Stage,
    /// The program's file name, without directories.
    pub program: String,
    /// The program on the host; not part of any output.
    #[serde(skip)]
    pub path: PathBuf,
}

impl Hook {
    /// The hook at `path`.
    #[must_use]
    pub fn new(stage: Stage, path: &Path) -> Self {
        Self {
            stage,
            program: file_name(path),
            path: path.to_owned(),
        }
    }
}

/// All hooks of the configuration, in the order in which they run.
pub(super) fn hooks(config: &Config) -> Vec<Hook> {
    let hooks = &config.hooks;
    let stages = [
        (Stage::BeforeEdits, &hooks.before_edits),
        (Stage::AfterEdits, &hooks.after_edits),
        (Stage::AfterImage, &hooks.after_image),
    ];
    let of_stage = |(stage, paths): (Stage, &Vec<PathBuf>)| {
        paths
            .iter()
            .map(|path| Hook::new(stage, path))
            .collect::<Vec<_>>()
    };
    stages.into_iter().flat_map(of_stage).collect()
}
