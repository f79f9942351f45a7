//! What the superblock tells a driver about mounting, which `tune2fs(8)` sets.

/// Settings that a driver takes from the superblock when it mounts the filesystem.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountSettings {
    /// `s_default_mount_opts`: default mount options as bits (`tune2fs -o`).
    pub default_options: u32,
    /// `s_mount_opts`: further mount options as text, at most 63 bytes (`tune2fs -E mount_opts=`).
    pub options: Vec<u8>,
    /// `s_errors`: what a driver does after an error (`tune2fs -e`).
    pub errors: u16,
    /// The user and the group that may use the reserved blocks (`tune2fs -u`, `-g`).
    pub reserved_for: (u16, u16),
}

impl MountSettings {
    /// `user_xattr` and `acl`, as `mke2fs` sets them.
    const USUAL: u32 = 0xC;
    /// The bits of the mode in which data are journaled.
    const DATA_MODE: u32 = 0x60;
    /// The modes by their bits and the word after `data=`.
    const DATA_MODES: [(u32, &str); 3] =
        [(0x20, "journal"), (0x40, "ordered"), (0x60, "writeback")];

    /// The mode of `data=` that is the default; `None` leaves it to the driver.
    #[must_use]
    pub fn data_mode(&self) -> Option<&'static str> {
        let bits = self.default_options & Self::DATA_MODE;
        let mode = Self::DATA_MODES.into_iter().find(|mode| mode.0 == bits)?;
        Some(mode.1)
    }

    /// Sets the mode of `data=`; false if there is none of this name.
    pub fn set_data_mode(&mut self, name: &str) -> bool {
        let mode = Self::DATA_MODES.into_iter().find(|mode| mode.1 == name);
        if let Some((bits, _)) = mode {
            self.default_options = self.default_options & !Self::DATA_MODE | bits;
        }
        mode.is_some()
    }
}

impl Default for MountSettings {
    fn default() -> Self {
        Self {
            default_options: Self::USUAL,
            options: Vec::new(),
            errors: 1,
            reserved_for: (0, 0),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_modes_by_name() {
        let mut settings = MountSettings::default();
        assert_eq!(settings.data_mode(), None);
        for name in ["writeback", "ordered", "journal"] {
            assert!(settings.set_data_mode(name));
            assert_eq!(settings.data_mode(), Some(name));
        }
        assert!(!settings.set_data_mode("other"));
        assert_eq!(settings.default_options, 0x2C);
    }
}
