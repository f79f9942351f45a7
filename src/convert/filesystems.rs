//! The filesystems of a conversion, and all that is outside the partitions, as contents.

use super::Prepared;
use crate::fs::{ext4, fat};
use crate::image::table;
use crate::platform::TableKind;
use crate::stream::{Content, ReadAt};
use crate::tree::editor::TreeEditor;
use crate::tree::{Stat, Tree};
use anyhow::{Context, Result};

impl Prepared {
    /// Offsets and bytes of all that is beside the partitions, by offset.
    ///
    /// # Errors
    /// When the partition table cannot be written.
    pub fn fixed(&self) -> Result<Vec<(u64, Vec<u8>)>> {
        let mut fixed = self
            .table
            .encode(self.layout.total)
            .context("making the partition table")?;
        fixed.extend(
            self.blobs
                .iter()
                .map(|blob| (blob.offset, blob.bytes.clone())),
        );
        fixed.extend(self.gap.iter().cloned());
        fixed.sort_by_key(|(offset, _)| *offset);
        // Where nobody has put boot code of another kind.
        let free = fixed
            .first()
            .is_none_or(|(offset, _)| *offset >= table::NO_BIOS.len() as u64);
        if self.table.kind() == TableKind::Mbr && free {
            fixed.insert(0, (0, table::NO_BIOS.to_vec()));
        }
        Ok(fixed)
    }

    /// The root filesystem as it goes into both slots and the Artifact. Its tree, the largest thing
    /// in memory, is gone then.
    ///
    /// # Errors
    /// When the tree holds something that ext4 cannot.
    pub fn root_image(&mut self) -> Result<Content> {
        let tree = std::mem::replace(
            &mut self.trees.root,
            Tree::new(Stat::root(0o755, self.stamp.time)),
        );
        let image = ext4::write::write(&tree, self.root_size, &self.root_options)
            .context("making the root filesystem")?;
        debug_assert_eq!(image.len(), self.root_size);
        Ok(image)
    }

    /// The boot filesystem, as long as its partition.
    ///
    /// # Errors
    /// When the tree holds something that FAT cannot.
    pub fn boot_image(&self) -> Result<Content> {
        fat::write(&self.trees.boot, self.layout.boot.len, &self.boot_options)
            .context("making the boot filesystem")
    }

    /// The data filesystem, as long as its partition, with the bootstrap Artifact that names
    /// `root_sha256`.
    ///
    /// # Errors
    /// When the tree holds something that ext4 cannot.
    pub fn data_image(&self, root_sha256: &[u8; 32]) -> Result<Content> {
        let mut data = self.trees.data.clone();
        let bootstrap = crate::artifact::bootstrap(&self.meta, root_sha256)
            .context("making the bootstrap Artifact")?;
        let mut editor = TreeEditor::new(&mut data, self.stamp.time);
        editor.file(
            "/mender/bootstrap.mender",
            bootstrap,
            0o600,
            "what a fresh device runs",
        )?;
        drop(editor);
        let image = ext4::write::write(&data, self.layout.data.len, &self.data_options)
            .context("making the data filesystem")?;
        Ok(image)
    }
}
