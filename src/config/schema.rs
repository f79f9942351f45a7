//! Every key that there is.

use super::Merged;
use super::keys::{Fallback, Key, Reader, Section, kebab, keys};
use super::kind::{
    Device, Disk, DiskId, DiskName, EitherPath, FilePath, Flag, Glob, Headroom, Hidden, HostPath,
    Id, Kind, List, Map, Mode, MountPoint, Name, Number, Offset, OneOf, Options, Room, Secret,
    Size, Some1, Sub, Subs, Text, Url,
};
use super::words::{
    BootloaderChoice, Compression, EnvironmentPlace, ImageFormat, MaintainerScript, Proof, SlotB,
    Source, TableChoice, Target,
};
use crate::pattern::Pattern;
use crate::platform::{Architecture, Firmware};
use crate::stamp::Uuid;
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Seconds in a year: no poll interval is longer.
const YEAR: u32 = 31_536_000;

keys! {
    /// What the user wants, as the user wrote it: `None` is left to the plan.
    pub struct Config {
        /// What this file builds upon: built-in boards by name, other files by path (ending in
        /// `.toml` or with a `/`), relative to this file. They are laid down in this order, then
        /// this file on top. A file that is named twice counts once, where it comes first.
        extends: Vec<String> => List<Text> { default "[]" }
        /// The devices that the image is for.
        board: Board => Sub<Board> { default "{}" }
        /// The disk of the device.
        storage: Storage => Sub<Storage> { default "{}" }
        /// The boot partition: the EFI system partition, or where the firmware and U-Boot are.
        boot: Boot => Sub<Boot> { default "{}" }
        /// The two root partitions, of which one runs and the other takes the next update.
        root: Root => Sub<Root> { default "{}" }
        /// The data partition, which updates leave alone.
        data: Data => Sub<Data> { default "{}" }
        /// Changes of the root filesystem.
        rootfs: Rootfs => Sub<Rootfs> { default "{}" }
        /// Directories that are laid over a filesystem where their conditions hold.
        overlay: Vec<Overlay> => Subs<Overlay> { default "[]" }
        /// Bytes that are written beside the partitions, such as a boot loader where the processor
        /// looks for it.
        raw: Vec<Raw> => Subs<Raw> { default "[]" }
        /// Programs of yours that take part in a conversion.
        hooks: Hooks => Sub<Hooks> { default "{}" }
        /// The update client.
        client: Client => Sub<Client> { default "{}" }
        /// The server that the update client asks.
        server: Server => Sub<Server> { default "{}" }
        /// The update Artifact.
        artifact: Artifact => Sub<Artifact> { default "{}" }
        /// What is written.
        output: Output => Sub<Output> { default "{}" }
        plus source: Option<Merged>;
    }

    /// The devices that the image is for.
    pub struct Board {
        /// The device types that the Artifact may be installed on. The first is the one that the
        /// image gives its device, and the one that disk and partition ids are derived from.
        device_type: Option<Vec<String>> => Some1<Name> {
            unset "that of the built-in board that is recognised in the golden image", like "[\"qemux86-64\"]"
        }
        /// What it is, for the list of boards.
        title: Option<String> => Text { unset "none", like "\"a gateway with two radios\"" }
        /// The architectures of which the golden image must be one; none for any.
        architecture: Vec<Architecture> => List<OneOf<Architecture>> { default "[]" }
        /// What must be able to start the golden image.
        firmware: Option<Firmware> => OneOf<Firmware> { unset "not compared with the image", like "\"uefi\"" }
        /// The systems of which the golden image must be one, by `os-release`: `debian`,
        /// `bookworm`, `12` or `debian-12`; none for any.
        release: Vec<String> => List<Name> { default "[]" }
        /// What makers of images call the board, such as `BOARD` in Armbian's
        /// `/etc/armbian-release`.
        models: Vec<String> => List<Name> { default "[]" }
        /// Whether a built-in board is chosen for every image that fits, where none is named.
        automatic: bool => Flag { default "false" }
        /// How well it is known that converted images work.
        proof: Proof => OneOf<Proof> { default "\"untested\"" }
    }

    /// The disk of the device.
    pub struct Storage {
        /// The size of the disk image. The two root partitions share what the other partitions
        /// leave.
        size: u64 => Size { default "\"8 GiB\"" }
        /// Every partition begins at a multiple of this: a power of two from 1 MiB to 1 GiB.
        alignment: u64 => Size { default "\"8 MiB\"" }
        /// The kind of partition table.
        table: TableChoice => OneOf<TableChoice> { default "\"keep\"" }
        /// How the device names the disk, in `fstab`, on the kernel's command line and for the
        /// update client: by the ids of its partitions, or as the kernel does.
        device: Device => DiskName { default "\"partuuid\"" }
        /// The identity of the disk. It must never change between releases for the same devices.
        disk_id: Option<DiskId> => Disk { unset "derived from the device type", like "\"8f2c11d0\"" }
        /// The unique GUIDs of partitions in a GPT. With an MBR they have no effect.
        ids: Ids => Sub<Ids> { default "{}" }
    }

    /// The unique GUIDs of partitions in a GPT. They must never change between releases for the
    /// same devices. With an MBR they have no effect.
    pub struct Ids {
        /// Of the boot partition.
        boot: Option<Uuid> => Id { unset "derived from the device type", like "\"0c5ac1a6-33d4-4f2e-9e0b-6a3f7a1d5b01\"" }
        /// Of the first root partition.
        root_a: Option<Uuid> => Id { unset "derived from the device type", like "\"0c5ac1a6-33d4-4f2e-9e0b-6a3f7a1d5b02\"" }
        /// Of the second root partition.
        root_b: Option<Uuid> => Id { unset "derived from the device type", like "\"0c5ac1a6-33d4-4f2e-9e0b-6a3f7a1d5b03\"" }
        /// Of the data partition.
        data: Option<Uuid> => Id { unset "derived from the device type", like "\"0c5ac1a6-33d4-4f2e-9e0b-6a3f7a1d5b04\"" }
    }

    /// The boot partition: the EFI system partition, or where the firmware and U-Boot are.
    pub struct Boot {
        /// The size of the partition.
        size: Option<u64> => Size { unset "40 MiB, or that of the golden image's boot partition where it is larger", like "\"64 MiB\"" }
        /// The number of the golden image's boot partition.
        partition: Option<u32> => Number<1, 128> { unset "found by type and content", like "1" }
        /// Where it is mounted on the device.
        mount: Option<String> => MountPoint { unset "where the golden image mounts it; where that does not say, `/boot/efi` with GRUB, `/boot/firmware` on a Raspberry Pi, `/uboot` with another U-Boot", like "\"/boot/efi\"" }
        /// What starts the kernel.
        bootloader: BootloaderChoice => OneOf<BootloaderChoice> { default "\"auto\"" }
        /// A U-Boot for the board, where the firmware of a Raspberry Pi starts it.
        u_boot: Option<PathBuf> => HostPath { unset "that of the golden image", like "\"u-boot.bin\"" }
        /// The end of the names of the kernels that U-Boot starts, where the image has kernels for
        /// several machines.
        kernel_flavor: Option<String> => Name { unset "what suits the board, else that of the newest kernel", like "\"rpi-v8\"" }
        /// Where U-Boot's environment is kept.
        environment: EnvironmentPlace => OneOf<EnvironmentPlace> { default "\"files\"" }
        /// The size of each copy of a raw environment, as U-Boot was built for it. The first begins
        /// at the first multiple of `storage.alignment`, the second at the next; both are empty in
        /// the image, and U-Boot fills them on its first start.
        environment_size: u64 => Size { default "\"16 KiB\"" }
        /// Whether what lies in front of the golden image's first partition is copied: the boot
        /// loader of boards that look for it there.
        copy_gap: Option<bool> => Flag { unset "only with U-Boot, and not for a Raspberry Pi", like "true" }
        /// Its mount options in `fstab`; `sync` is added, since the environment of the boot loader
        /// is there.
        options: Option<String> => Options { unset "those of the golden image", like "\"defaults,sync\"" }
    }

    /// The two root partitions, of which one runs and the other takes the next update.
    pub struct Root {
        /// The size of the root filesystem, which may be smaller than its partition; `headroom`
        /// then has no effect.
        size: Option<u64> => Size { unset "from `headroom`", like "\"2 GiB\"" }
        /// How much larger the root filesystem is than what its files need: room for what changes
        /// on the device.
        headroom: Room => Headroom { default "\"50 %\"" }
        /// The number of the golden image's root partition.
        partition: Option<u32> => Number<1, 128> { unset "found by type and content", like "2" }
        /// What the second partition holds on a fresh device.
        slot_b: SlotB => OneOf<SlotB> { default "\"copy\"" }
        /// Arguments that are added to the kernel's command line.
        kernel_args: Vec<String> => List<Text> { default "[]" }
        /// The mount options in `fstab`.
        options: Option<String> => Options { unset "those of the golden image", like "\"defaults,noatime\"" }
        /// The pass in which `fsck` looks at the filesystem at boot; 0 for never.
        fsck_pass: u32 => Number<0, 2> { default "1" }
        /// The UUID of the root filesystem, the same in both partitions.
        uuid: Option<Uuid> => Id { unset "derived from the device type", like "\"3a9e1d52-8c44-4b5e-b5a7-2f1d6f3c7e10\"" }
    }

    /// The data partition, which updates leave alone.
    pub struct Data {
        /// The size of the partition in the image.
        size: u64 => Size { default "\"128 MiB\"" }
        /// Directories whose files go onto the data partition, in this order; the top of each is
        /// `/data`.
        overlay: Vec<PathBuf> => List<HostPath> { default "[]" }
        /// Who owns what these bring, where it is not root. Of several rules for a path the last
        /// one counts.
        owner: Vec<OwnerRule> => Subs<OwnerRule> { default "[]" }
        /// Whether the partition grows to the end of the device's disk on the first boot.
        grow: bool => Flag { default "true" }
        /// Its mount options in `fstab`.
        options: Option<String> => Options { unset "`defaults`", like "\"defaults,noatime\"" }
        /// The pass in which `fsck` looks at the filesystem at boot; 0 for never.
        fsck_pass: u32 => Number<0, 2> { default "2" }
        /// The UUID of the data filesystem.
        uuid: Option<Uuid> => Id { unset "derived from the device type", like "\"3a9e1d52-8c44-4b5e-b5a7-2f1d6f3c7e11\"" }
    }

    /// Changes of the root filesystem.
    pub struct Rootfs {
        /// Directories whose files are laid over the root filesystem, in this order. Files carry
        /// the permission bits that they have in the directory, belong to root and carry the time
        /// of the conversion; directories of the golden image keep their owner and mode; symbolic
        /// links of the golden image to directories are followed. Nothing is ever deleted.
        overlays: Vec<PathBuf> => List<HostPath> { default "[]" }
        /// Who owns what overlays bring, where it is not root. Of several rules for a path the last
        /// one counts.
        owner: Vec<OwnerRule> => Subs<OwnerRule> { default "[]" }
    }

    /// Directories that are laid over a filesystem, in this order and after those of
    /// `rootfs.overlays` and `data.overlay`, by the same rules. One is left out where a condition
    /// does not hold; conditions that are not set always hold.
    pub struct Overlay {
        /// The directory.
        dir: PathBuf => HostPath { required like "\"overlay\"" }
        /// The filesystem. On the boot partition names differ in more than case.
        target: Target => OneOf<Target> { default "\"rootfs\"" }
        /// The boards: one of them is a device type of the image or a built-in board that the
        /// configuration builds upon.
        board: Vec<String> => List<Name> { default "[]" }
        /// The architectures of which the image has one.
        arch: Vec<Architecture> => List<OneOf<Architecture>> { default "[]" }
        /// The systems of which the image is one, as in `board.release`.
        release: Vec<String> => List<Name> { default "[]" }
    }

    /// Bytes that are written beside the partitions, such as a boot loader where the processor
    /// looks for it. Conditions are those of `[[overlay]]`. What would meet a partition, the
    /// partition table, an environment of the boot loader or another of these is refused.
    pub struct Raw {
        /// The file.
        file: FilePath => EitherPath { required like "\"u-boot-sunxi-with-spl.bin\"" }
        /// Where it is read from; in the image its path is absolute.
        from: Source => OneOf<Source> { default "\"host\"" }
        /// Where it begins on the disk.
        offset: u64 => Offset { required like "\"8 KiB\"" }
        /// The boards: one of them is a device type of the image or a built-in board that the
        /// configuration builds upon.
        board: Vec<String> => List<Name> { default "[]" }
        /// The architectures of which the image has one.
        arch: Vec<Architecture> => List<OneOf<Architecture>> { default "[]" }
        /// The systems of which the image is one, as in `board.release`.
        release: Vec<String> => List<Name> { default "[]" }
    }

    /// Programs of yours that take part in a conversion, as the user who converts;
    /// [hooks.md](hooks.md) says what they are told and what they may do. `plan` names them and
    /// runs none.
    pub struct Hooks {
        /// Before the edits: what they stage is laid over the golden image like an overlay.
        before_edits: Vec<PathBuf> => List<HostPath> { default "[]" }
        /// After the edits: what they stage is laid over the result, where it may not replace what
        /// the integration wrote.
        after_edits: Vec<PathBuf> => List<HostPath> { default "[]" }
        /// After the image and the Artifact were written and checked, before they get their names:
        /// what they stage is put beside them.
        after_image: Vec<PathBuf> => List<HostPath> { default "[]" }
    }

    /// Who owns what overlays bring, where it is not root. Of several rules for a path the last one
    /// counts.
    pub struct OwnerRule {
        /// The paths in the overlay, from its top: `*` stands for any characters within a name, `?`
        /// for one, a name `**` for any number of directories, none included (`/home/user/**` names
        /// `/home/user` too).
        path: Pattern => Glob { required like "\"/home/user/**\"" }
        /// The number of the user.
        uid: u32 => Number<0, 4_294_967_294> { default "0" }
        /// The number of the group.
        gid: u32 => Number<0, 4_294_967_294> { default "0" }
        /// The permission bits, in octal. Directories get the right to pass wherever this grants
        /// the right to read; symbolic links have none.
        mode: Option<u16> => Mode { unset "as in the overlay", like "\"0640\"" }
    }

    /// The update client.
    pub struct Client {
        /// The Debian packages of the client and of all that it needs beyond the golden image.
        /// Their paths may hold `*` and `?`.
        packages: Vec<PathBuf> => List<HostPath> { default "[]" }
        /// Whether the client asks a server for updates; otherwise it waits for commands on the
        /// device.
        managed: bool => Flag { default "true" }
        /// Maintainer scripts of packages that do what cannot be foreseen, and that you have found
        /// to be unnecessary.
        accept: Vec<Accept> => Subs<Accept> { default "[]" }
    }

    /// Maintainer scripts of packages that do what cannot be foreseen, and that you have found to
    /// be unnecessary.
    pub struct Accept {
        /// The name of the package.
        package: String => Name { required like "\"mender-client\"" }
        /// Which of its scripts is left out.
        script: MaintainerScript => OneOf<MaintainerScript> { required like "\"postinst\"" }
        /// Why it is not needed; kept in the report.
        reason: String => Text { required like "\"the service is enabled by our overlay\"" }
    }

    /// The server that the update client asks.
    pub struct Server {
        /// Its address.
        url: Option<String> => Url { unset "as in the golden image, the packages or an overlay", like "\"https://hosted.mender.io\"" }
        /// The token that assigns new devices to your organisation. It is shown nowhere but in the
        /// image.
        tenant_token: Option<Secret> => Hidden { unset "none", like "\"…\"" }
        /// A file with the certificate of the server, where it is not signed by a known authority.
        certificate: Option<PathBuf> => HostPath { unset "none", like "\"server.crt\"" }
        /// Files with public keys, one of which must have signed an Artifact.
        verify_key: Vec<PathBuf> => List<HostPath> { default "[]" }
        /// Seconds between two questions for an update.
        update_poll_interval: Option<u32> => Number<1, YEAR> { unset "the client's own", like "1800" }
        /// Seconds between two reports of the inventory.
        inventory_poll_interval: Option<u32> => Number<1, YEAR> { unset "the client's own", like "28800" }
        /// Seconds until a failed question is asked again.
        retry_poll_interval: Option<u32> => Number<1, YEAR> { unset "the client's own", like "300" }
    }

    /// The update Artifact.
    pub struct Artifact {
        /// The name of the release.
        name: Option<String> => Name { unset "an error: name it here or with `--artifact-name`", like "\"release-1\"" }
        /// How the payload is compressed.
        compression: Compression => OneOf<Compression> { default "\"gzip\"" }
        /// How hard the compressor tries: 1 to 9 for gzip, 0 to 9 for xz, 1 to 22 for zstd. Without
        /// compression it has no effect.
        level: Option<u32> => Number<0, 22> { unset "the compressor's own", like "6" }
        /// A file with the private key that the Artifact is signed with (PEM; RSA or EC on the
        /// curve P-256).
        key: Option<PathBuf> => HostPath { unset "not signed", like "\"artifact.key\"" }
        /// State scripts, and directories of them.
        scripts: Vec<PathBuf> => List<HostPath> { default "[]" }
        /// What the device can be asked for once the Artifact is installed, beyond what every
        /// Artifact provides.
        provides: BTreeMap<String, String> => Map<Text> { default "{}" }
        /// What the device must provide so that the Artifact may be installed.
        depends: BTreeMap<String, String> => Map<Text> { default "{}" }
        /// What the device no longer provides once the Artifact is installed; `*` stands for any
        /// characters.
        clears: Vec<String> => List<Name> { default "[]" }
        /// The group of releases that the device belongs to once the Artifact is installed.
        group: Option<String> => Name { unset "none", like "\"stable\"" }
        /// The releases of which one must be on the device.
        depends_names: Vec<String> => List<Name> { default "[]" }
        /// The groups of which the device must belong to one.
        depends_groups: Vec<String> => List<Name> { default "[]" }
        /// The first part of the key under which the version of the root filesystem is provided.
        software_filesystem: String => Name { default "\"rootfs-image\"" }
        /// The second part of that key.
        software_name: Option<String> => Name { unset "left out", like "\"os\"" }
        /// The version that is provided.
        software_version: Option<String> => Name { unset "the name of the Artifact", like "\"1.0\"" }
        /// Whether the version of the root filesystem is provided at all.
        default_software_version: bool => Flag { default "true" }
        /// Whether what earlier Artifacts provided is cleared.
        default_clears: bool => Flag { default "true" }
        /// The name of the payload's file in the Artifact.
        payload_name: String => Name { default "\"rootfs.ext4\"" }
    }

    /// What is written.
    pub struct Output {
        /// The name of the files that are written, without the ending.
        name: Option<String> => Name { unset "`<input>-<device type>-<artifact name>`", like "\"gateway\"" }
        /// The form of the disk image.
        image: ImageFormat => OneOf<ImageFormat> { default "\"raw\"" }
        /// How hard the compressor tries: 1 to 9 for gz, 0 to 9 for xz, 1 to 22 for zst. For other
        /// forms it has no effect.
        level: Option<u32> => Number<0, 22> { unset "the compressor's own", like "6" }
        /// Whether a block map is written beside a raw or compressed image, so that flashing skips
        /// what is empty.
        bmap: bool => Flag { default "true" }
        /// Whether the record has the SHA-256 of the golden image as it is stored; what comes
        /// through a pipe has none. A raw image must be read once more for it.
        input_digest: Option<bool> => Flag { unset "`true` for a compressed image", like "true" }
        /// Whether the root filesystem is also written as a file of its own.
        rootfs: bool => Flag { default "false" }
        /// Whether to write a list of the blocks of every file in the root filesystem, so that a
        /// later release can reuse this layout (`--preserve-layout`).
        file_layout: bool => Flag { default "false" } formerly "places"
    }
}
