//! The hooks of mender-convert: shell functions that its scripts call at fixed points.

/// A list of functions that mender-convert calls at one point of a conversion.
#[derive(Clone, Copy, Debug)]
pub struct Hook {
    /// The array variable that lists the functions.
    pub array: &'static str,
    /// The function that the array contains from the start, for configurations to define.
    pub function: &'static str,
    /// The key of the hooks of ours that run at the corresponding point; `None` where a hook cannot
    /// do it.
    pub stage: Option<&'static str>,
    /// When it is called, and what is different: in lower case, without a final period; Markdown.
    pub note: &'static str,
}

impl Hook {
    /// What takes its place, for the end of a sentence.
    #[must_use]
    pub fn instead(&self) -> String {
        match self.stage {
            Some(stage) => format!("`{stage}`, a list of programs, or an overlay"),
            None => "`[[raw]]`, for data outside the partitions".to_owned(),
        }
    }
}

/// All hooks, in the order in which they are called.
pub const HOOKS: &[Hook] = &[
    Hook {
        array: "PLATFORM_PRE_MODIFY_HOOKS",
        function: "platform_pre_modify",
        stage: Some("hooks.before-edits"),
        note: "called first, when the golden image is mounted",
    },
    Hook {
        array: "PLATFORM_MODIFY_HOOKS",
        function: "platform_modify",
        stage: Some("hooks.after-edits"),
        note: "called after the client and the boot loader are installed, before overlays",
    },
    Hook {
        array: "USER_LOCAL_MODIFY_HOOKS",
        function: "user_local_modify",
        stage: Some("hooks.after-edits"),
        note: "called after those of the platform, before overlays",
    },
    Hook {
        array: "OVERLAY_MODIFY_HOOKS",
        function: "overlay_modify",
        stage: Some("hooks.after-edits"),
        note: "called after overlays are copied; owners and modes of overlay files are `[[rootfs.owner]]`",
    },
    Hook {
        array: "PLATFORM_PACKAGE_HOOKS",
        function: "platform_package",
        stage: None,
        note: "called when the disk image is written, to add data outside the partitions; \
               `hooks.after-image` may add files to the results, but not change the image",
    },
];

/// A function that configurations may define anew.
#[derive(Clone, Copy, Debug)]
pub struct SpecialFunction {
    /// Its name.
    pub name: &'static str,
    /// What takes its place: in lower case, without a final period; Markdown.
    pub note: &'static str,
}

/// Functions of mender-convert that are not hooks and that configurations define anew.
pub const SPECIAL_FUNCTIONS: &[SpecialFunction] = &[
    SpecialFunction {
        name: "mender_create_artifact",
        note: "the private key is `artifact.key`, state scripts are `artifact.scripts`, and \
               `artifact.provides`, `artifact.depends`, `artifact.clears` and the other keys of \
               `[artifact]` are the further options of `mender-artifact`",
    },
    SpecialFunction {
        name: "grow_data_partition",
        note: "`data.grow` enlarges partition and filesystem on the first boot",
    },
];
