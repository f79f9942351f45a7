//! Every key of the configuration.

use super::Merged;
use super::edits::{OwnerRule, Rootfs, System, Systemd};
use super::keys::{Fallback, Key, Reader, Section, ValueType, kebab, keys};
use super::sizes::{
    DiskSize, Headroom, Offset, REST, RootFilesystemSize, Size, SizeOr, SizeOrMax, SizeOrPercent,
};
use super::text::{
    Contact, Device, Disk, DiskId, DiskName, Glob, Hidden, Id, MountPoint, Name, Options,
    RepositoryUrl, Secret, Text, Url,
};
use super::types::{
    EitherPath, FilePath, Flag, HostPath, List, Map, Number, OneOf, Some1, Sub, Subs,
};
use super::words::{
    BootloaderChoice, Compression, EnvironmentLocation, ImageFormat, MaintainerScript,
    OverlayTarget, PartitionAction, Proof, RawSource, RepositoryPreset, SbomFormat, SlotB,
    TableChoice, TrybootLevel,
};
use crate::pattern::Pattern;
use crate::platform::{Architecture, Firmware, PiModel};
use crate::stamp::Uuid;
use crate::units::{MIB, SECTOR};
use std::collections::BTreeMap;
use std::path::PathBuf;

/// Numbers without a unit below these are not meant in bytes, whatever the disk.
const DISK: u64 = 64 * MIB;
const PARTITION: u64 = MIB;

/// Seconds in a year, the longest poll interval.
const YEAR: u32 = 31_536_000;

keys! {
    /// The configuration as the user wrote it. The plan decides keys that are `None`.
    pub struct Config {
        /// The files that this one builds on: built-in boards by name, other files by path (ending
        /// in `.toml` or containing a `/`), relative to this file. They are applied in this order,
        /// then this file. A file that is named more than once is applied once, at its first place.
        extends: Vec<String> => List<Text> { default "[]" }
        /// The devices that the image is for.
        board: Board => Sub<Board> { default "{}" }
        /// The disk of the device.
        storage: Storage => Sub<Storage> { default "{}" }
        /// The boot partition: the EFI system partition, or the partition that holds the firmware
        /// and U-Boot.
        boot: Boot => Sub<Boot> { default "{}" }
        /// The two root partitions. One is running; the other receives the next update.
        root: Root => Sub<Root> { default "{}" }
        /// The data partition, which updates do not touch.
        data: Data => Sub<Data> { default "{}" }
        /// Changes to the root filesystem.
        rootfs: Rootfs => Sub<Rootfs> { default "{}" }
        /// Units of systemd to enable, disable and mask.
        systemd: Systemd => Sub<Systemd> { default "{}" }
        /// Host name, time zone, locale and users.
        system: System => Sub<System> { default "{}" }
        /// Directories to copy over a filesystem if their conditions match.
        overlay: Vec<Overlay> => Subs<Overlay> { default "[]" }
        /// Data to write outside the partitions, such as a boot loader at the offset where the
        /// processor expects it.
        raw: Vec<Raw> => Subs<Raw> { default "[]" }
        /// What becomes of the golden image's other partitions.
        partition: Vec<Partition> => Subs<Partition> { default "[]" }
        /// Files that act by themselves and are known to be harmless, and private keys that devices
        /// are meant to share.
        accept: Vec<AcceptFile> => Subs<AcceptFile> { default "[]" }
        /// What the golden machine left behind and devices should not have. What each key finds is
        /// in [doctor.md](doctor.md); what is done is in the record.
        sanitize: Sanitize => Sub<Sanitize> { default "{}" }
        /// Your own programs that take part in a conversion.
        hooks: Hooks => Sub<Hooks> { default "{}" }
        /// The update client.
        client: Client => Sub<Client> { default "{}" }
        /// Repositories of Debian packages for `client.bundle` and `client.install`. Without any,
        /// they are those of the golden image (`preset = "image"`) and, for a bundle that Debian
        /// does not have, the one of the client's vendor (`preset = "mender"`).
        repository: Vec<Repository> => Subs<Repository> { default "[]" }
        /// The server that the update client connects to.
        server: Server => Sub<Server> { default "{}" }
        /// The update Artifact.
        artifact: Artifact => Sub<Artifact> { default "{}" }
        /// The files that are written.
        output: Output => Sub<Output> { default "{}" }
        /// Compressed data that is kept for the next conversion. It never affects the results.
        cache: Cache => Sub<Cache> { default "{}" }
        plus source: Option<Merged>;
    }

    /// The devices that the image is for.
    pub struct Board {
        /// The device types that the Artifact may be installed on. A device that was flashed with
        /// the image has the first one; disk and partition IDs are derived from it too.
        device_type: Option<Vec<String>> => Some1<Name> {
            unset "that of the built-in board that matches the golden image", like "[\"qemux86-64\"]"
        }
        /// A short description, for the list of boards.
        title: Option<String> => Text { unset "none", like "\"a gateway with two radios\"" }
        /// The architectures that the golden image may have; empty for any.
        architecture: Vec<Architecture> => List<OneOf<Architecture>> { default "[]" }
        /// The firmware that must be able to boot the golden image.
        firmware: Option<Firmware> => OneOf<Firmware> { unset "not checked", like "\"uefi\"" }
        /// The systems that the golden image may have, by `os-release`: `debian`, `bookworm`, `12`
        /// or `debian-12`; empty for any.
        release: Vec<String> => List<Name> { default "[]" }
        /// The names that image builders use for the board, such as `BOARD` in Armbian's
        /// `/etc/armbian-release`.
        models: Vec<String> => List<Name> { default "[]" }
        /// The models of the Raspberry Pi that the image is for, by the names of their sections in
        /// `config.txt`: they decide which sections count, which kernels suit, and what U-Boot must
        /// know. Empty for other boards, or if every model counts.
        pi_models: Vec<PiModel> => List<OneOf<PiModel>> { default "[]" }
        /// Whether this built-in board is selected for every image that matches it if no board is
        /// named.
        automatic: bool => Flag { default "false" }
        /// How well converted images are known to work.
        proof: Proof => OneOf<Proof> { default "\"untested\"" }
    }

    /// The disk of the device.
    pub struct Storage {
        /// The size of the disk image. The two root partitions share the space that the other
        /// partitions leave.
        size: Option<u64> => DiskSize<DISK> { default "\"8 GiB\"" }
        /// The alignment of every partition: a power of two from 1 MiB to 1 GiB.
        alignment: u64 => Size<PARTITION> { default "\"8 MiB\"" }
        /// The type of partition table.
        table: TableChoice => OneOf<TableChoice> { default "\"keep\"" }
        /// How the device refers to its partitions in `fstab`, on the kernel command line and in
        /// the configuration of the update client: by partition ID, or by kernel device name.
        device: Device => DiskName { default "\"partuuid\"" }
        /// The ID of the disk. It must never change between releases for the same devices.
        disk_id: Option<DiskId> => Disk { unset "derived from the device type", like "\"8f2c11d0\"" }
        /// The unique partition GUIDs of a GPT. Ignored for an MBR.
        ids: Ids => Sub<Ids> { default "{}" }
    }

    /// The unique partition GUIDs of a GPT. They must never change between releases for the same
    /// devices. Ignored for an MBR.
    pub struct Ids {
        /// The GUID of the boot partition.
        boot: Option<Uuid> => Id { unset "derived from the device type", like "\"0c5ac1a6-33d4-4f2e-9e0b-6a3f7a1d5b01\"" }
        /// The GUID of the first root partition.
        root_a: Option<Uuid> => Id { unset "derived from the device type", like "\"0c5ac1a6-33d4-4f2e-9e0b-6a3f7a1d5b02\"" }
        /// The GUID of the second root partition.
        root_b: Option<Uuid> => Id { unset "derived from the device type", like "\"0c5ac1a6-33d4-4f2e-9e0b-6a3f7a1d5b03\"" }
        /// The GUID of the data partition.
        data: Option<Uuid> => Id { unset "derived from the device type", like "\"0c5ac1a6-33d4-4f2e-9e0b-6a3f7a1d5b04\"" }
    }

    /// The boot partition: the EFI system partition, or the partition that holds the firmware and
    /// U-Boot.
    pub struct Boot {
        /// The size of the partition.
        size: Option<u64> => Size<PARTITION> { unset "40 MiB, or the size of the golden image's boot partition if that is larger", like "\"64 MiB\"" }
        /// The number of the golden image's boot partition.
        partition: Option<u32> => Number<1, 128> { unset "detected by type and content", like "1" }
        /// The mount point on the device.
        mount: Option<String> => MountPoint { unset "the mount point in the golden image; if it has none, `/boot/efi` with GRUB, `/boot/firmware` on a Raspberry Pi, `/uboot` with U-Boot on other boards", like "\"/boot/efi\"" }
        /// The boot loader that starts the kernel.
        bootloader: BootloaderChoice => OneOf<BootloaderChoice> { default "\"auto\"" }
        /// With `rpi-tryboot`, what the firmware chooses between. Devices keep the choice for good:
        /// an Artifact that was made with the other one is refused by them.
        tryboot: TrybootLevel => OneOf<TrybootLevel> { default "\"files\"" }
        /// A U-Boot binary for boards on which the Raspberry Pi firmware starts U-Boot.
        u_boot: Option<PathBuf> => HostPath { unset "that of the golden image", like "\"u-boot.bin\"" }
        /// The suffix of the kernel versions that U-Boot starts, for images with kernels for
        /// several machines.
        kernel_flavor: Option<String> => Name { unset "that of the board, otherwise that of the newest kernel", like "\"rpi-v8\"" }
        /// Where the U-Boot environment is stored.
        environment: EnvironmentLocation => OneOf<EnvironmentLocation> { default "\"files\"" }
        /// The size of each copy of a raw environment, as compiled into U-Boot. The first copy
        /// begins at the first multiple of `storage.alignment`, the second copy at the next. Both
        /// are empty in the image; U-Boot fills them on its first start.
        environment_size: u64 => Size<SECTOR> { default "\"16 KiB\"" }
        /// Whether to copy the data before the golden image's first partition: the boot loader of
        /// boards that load it from there.
        copy_gap: Option<bool> => Flag { unset "only with U-Boot, and not on a Raspberry Pi", like "true" }
        /// The mount options in `fstab`. `sync` is added because the boot loader's environment is
        /// on this partition.
        options: Option<String> => Options { unset "those of the golden image", like "\"defaults,sync\"" }
    }

    /// The two root partitions. One is running; the other receives the next update.
    pub struct Root {
        /// The size of the root filesystem, which may be smaller than its partition. Overrides
        /// `headroom`. It cannot grow on the device.
        size: Option<RootFilesystemSize> => SizeOrMax<PARTITION> { unset "determined by `headroom`", like "\"2 GiB\"" }
        /// How much larger the root filesystem is than its files require, as room for changes on
        /// the device.
        headroom: Headroom => SizeOrPercent { default "\"50 %\"" }
        /// The size of each of the two partitions. The data partition then takes what is left of
        /// the disk, at least `data.size`.
        slot_size: Option<u64> => Size<PARTITION> { unset "half of what the boot and data partitions leave", like "\"4 GiB\"" }
        /// The number of the golden image's root partition.
        partition: Option<u32> => Number<1, 128> { unset "detected by type and content", like "2" }
        /// The content of the second root partition on a new device.
        slot_b: SlotB => OneOf<SlotB> { default "\"copy\"" }
        /// Arguments to add to the kernel command line.
        kernel_args: Vec<String> => List<Text> { default "[]" }
        /// The mount options in `fstab`.
        options: Option<String> => Options { unset "those of the golden image", like "\"defaults,noatime\"" }
        /// The `fsck` pass number in `fstab`; 0 for no check at boot.
        fsck_pass: u32 => Number<0, 2> { default "1" }
        /// The UUID of the root filesystem, the same in both partitions.
        uuid: Option<Uuid> => Id { unset "the same for all boards and releases", like "\"3a9e1d52-8c44-4b5e-b5a7-2f1d6f3c7e10\"" }
    }

    /// The data partition, which updates do not touch.
    pub struct Data {
        /// The size of the partition in the image. With `"rest"`, and without `root.slot-size`, the
        /// root partitions are as large as the root filesystem.
        size: Option<u64> => SizeOr<REST, PARTITION> { default "\"128 MiB\"" }
        /// Directories to copy to the data partition, in this order. The top of each directory
        /// becomes `/data`.
        overlay: Vec<PathBuf> => List<HostPath> { default "[]" }
        /// The owners of files from these directories, if not root. If several rules match a path,
        /// the last one applies.
        owner: Vec<OwnerRule> => Subs<OwnerRule> { default "[]" }
        /// Whether the partition grows to the end of the device's disk on the first boot.
        grow: bool => Flag { default "true" }
        /// The mount options in `fstab`.
        options: Option<String> => Options { unset "`defaults`", like "\"defaults,noatime\"" }
        /// The `fsck` pass number in `fstab`; 0 for no check at boot.
        fsck_pass: u32 => Number<0, 2> { default "2" }
        /// The UUID of the data filesystem.
        uuid: Option<Uuid> => Id { unset "derived from the device type", like "\"3a9e1d52-8c44-4b5e-b5a7-2f1d6f3c7e11\"" }
    }

    /// Directories to copy over a filesystem, in this order, after those of `rootfs.overlays` and
    /// `data.overlay` and by the same rules. Applied only if all conditions that are set match.
    pub struct Overlay {
        /// The directory.
        dir: PathBuf => HostPath { required like "\"overlay\"" }
        /// The filesystem. On the boot partition, names must not differ only in case.
        target: OverlayTarget => OneOf<OverlayTarget> { default "\"rootfs\"" }
        /// Condition: one of these is a device type of the image, or a built-in board that the
        /// configuration builds on.
        board: Vec<String> => List<Name> { default "[]" }
        /// Condition: the image has one of these architectures.
        arch: Vec<Architecture> => List<OneOf<Architecture>> { default "[]" }
        /// Condition: the image has one of these systems, written as in `board.release`.
        release: Vec<String> => List<Name> { default "[]" }
    }

    /// Data to write outside the partitions, such as a boot loader at the offset where the
    /// processor expects it. The conditions are those of `[[overlay]]`. Anything that overlaps a
    /// partition, the partition table, an environment of the boot loader or another `[[raw]]` is
    /// refused.
    pub struct Raw {
        /// The file.
        file: FilePath => EitherPath { required like "\"u-boot-sunxi-with-spl.bin\"" }
        /// Where the file is. Paths in the image must be absolute.
        from: RawSource => OneOf<RawSource> { default "\"host\"" }
        /// The offset on the disk.
        offset: u64 => Offset { required like "\"8 KiB\"" }
        /// Condition: one of these is a device type of the image, or a built-in board that the
        /// configuration builds on.
        board: Vec<String> => List<Name> { default "[]" }
        /// Condition: the image has one of these architectures.
        arch: Vec<Architecture> => List<OneOf<Architecture>> { default "[]" }
        /// Condition: the image has one of these systems, written as in `board.release`.
        release: Vec<String> => List<Name> { default "[]" }
    }

    /// What becomes of a partition of the golden image that is neither its boot nor its root
    /// partition. It is named by `number`, by `label`, or by both.
    /// [partitions.md](partitions.md) describes what becomes of partitions without an entry.
    pub struct Partition {
        /// The number of the partition in the golden image.
        number: Option<u32> => Number<1, 128> { unset "any", like "3" }
        /// The label of its filesystem, or the name of the partition in a GPT. If none is exactly
        /// the same, case does not matter.
        label: Option<String> => Text { unset "any", like "\"home\"" }
        /// What becomes of it.
        r#do: PartitionAction => OneOf<PartitionAction> { required like "\"merge\"" }
        /// With `merge`, the directory that its files go into; with `data`, the directory that they
        /// are mounted on. On the data partition they are below the same path: `/home` is
        /// `/data/home`.
        path: Option<String> => MountPoint { unset "where the golden image mounts it", like "\"/home\"" }
    }

    /// A file of the golden image that acts by itself, such as a script that runs at every start,
    /// or a boot script that cannot be followed; or an added file with a private key, which all
    /// devices will share. Without an entry here it is refused; you have found it to be harmless on
    /// devices with two root filesystems, or meant the key for every device.
    pub struct AcceptFile {
        /// The path of the file on the device, absolute.
        file: String => Text { required like "\"/etc/rc.local\"" }
        /// Why it is harmless; kept in the record.
        reason: String => Text { required like "\"it restarts only if a key is held\"" }
    }

    /// What the golden machine left behind and devices should not have. What each key finds is in
    /// [doctor.md](doctor.md); what is done is in the record.
    pub struct Sanitize {
        /// Whether everything below is done that is not set itself.
        all: bool => Flag { default "false" }
        /// Whether `/etc/machine-id` becomes empty, so that each device makes an ID at its first
        /// start (`machine-id(5)`).
        machine_id: Option<bool> => Flag { unset "`sanitize.all`", like "true" }
        /// Whether SSH host keys are removed. Each device then makes its own at its first start, on
        /// the data partition, so that it keeps them over updates. Needs systemd.
        ssh_host_keys: Option<bool> => Flag { unset "`sanitize.all`", like "true" }
        /// Whether seeds of the random number generator are removed.
        random_seed: Option<bool> => Flag { unset "`sanitize.all`", like "true" }
        /// Whether the key and the state of the update client are removed.
        client_keys: Option<bool> => Flag { unset "`sanitize.all`", like "true" }
        /// Whether IDs and keys that other services made for the golden machine are removed: those
        /// of systemd's credentials, NetworkManager, dhcpcd, iSCSI, Tailscale and ZeroTier. The
        /// services make new ones.
        service_ids: Option<bool> => Flag { unset "`sanitize.all`", like "true" }
        /// Whether DHCP leases are removed.
        dhcp_leases: Option<bool> => Flag { unset "`sanitize.all`", like "true" }
        /// Whether wireless networks with passwords are taken out of the settings of
        /// NetworkManager, wpa_supplicant, netplan, iwd, ConnMan and `interfaces(5)`, and paired
        /// Bluetooth devices are removed.
        wireless_keys: Option<bool> => Flag { unset "`sanitize.all`", like "true" }
        /// Whether histories of shells, editors and other programs are removed.
        histories: Option<bool> => Flag { unset "`sanitize.all`", like "true" }
        /// Whether logs become empty, and old ones and journals are removed.
        logs: Option<bool> => Flag { unset "`sanitize.all`", like "true" }
        /// Whether package files and indexes that APT downloaded are removed; `apt update` on the
        /// device fetches them again.
        apt_cache: Option<bool> => Flag { unset "`sanitize.all`", like "true" }
        /// Whether core dumps are removed.
        core_dumps: Option<bool> => Flag { unset "`sanitize.all`", like "true" }
        /// Whether the state of cloud-init is removed, as by `cloud-init clean`, so that each
        /// device is a new instance. Seeds and scripts stay.
        cloud_init: Option<bool> => Flag { unset "`sanitize.all`", like "true" }
    }

    /// Your own programs that take part in a conversion. They run as the user who converts;
    /// [hooks.md](hooks.md) describes their input and what they may do. `plan` lists them but does
    /// not run them.
    pub struct Hooks {
        /// Programs to run before the edits. The files that they stage are copied over the golden
        /// image like an overlay.
        before_edits: Vec<PathBuf> => List<HostPath> { default "[]" }
        /// Programs to run after the edits. The files that they stage are copied over the result,
        /// but may not replace files that goldsmith has written.
        after_edits: Vec<PathBuf> => List<HostPath> { default "[]" }
        /// Programs to run once the image and the Artifact have been written and checked, before
        /// they get their names. The files that they stage are published with them.
        after_image: Vec<PathBuf> => List<HostPath> { default "[]" }
        /// Files of the golden image that hooks of the first two stages can read, below `golden` in
        /// their directory: paths on the device, or patterns of paths as in `rootfs.owner.path`.
        golden_files: Option<Vec<Pattern>> => List<Glob> { unset "none", like "[\"/etc/os-release\"]" }
    }

    /// The update client.
    pub struct Client {
        /// The Debian packages of the client, and those of its dependencies that the golden image
        /// lacks. Paths may contain `*` and `?`.
        packages: Vec<PathBuf> => List<HostPath> { default "[]" }
        /// The bundle of the update client to install from a repository: `3.4`, `4.0`, `5.0` or
        /// `6.0`. `goldsmith lock` chooses its packages and those that they need, and writes them
        /// into the lock file; `goldsmith fetch` downloads them.
        bundle: Option<String> => Name { unset "no client from a repository", like "\"6.0\"" }
        /// More packages from the repositories, each with a version if need be:
        /// `"mender-connect=3.*"`, `"chrony"`, `"mender-flash >= 1.1"`.
        install: Vec<String> => List<Text> { default "[]" }
        /// Whether recommended packages are installed where they fit.
        recommends: bool => Flag { default "true" }
        /// Packages of the golden image that may be upgraded or downgraded for the sake of those to
        /// install. All others stay as they are; none is ever removed.
        may_change: Vec<String> => List<Name> { default "[]" }
        /// The lock file: the packages that `goldsmith lock` chose. Keep it with the configuration.
        lock_file: Option<PathBuf> => HostPath {
            unset "`goldsmith.lock` next to the last file of the configuration", like "\"gateway.lock\""
        }
        /// Whether the client polls a server for updates. If not, updates are installed by commands
        /// on the device.
        managed: bool => Flag { default "true" }
        /// Whether the result must have an update client. If not, an image without one is converted
        /// all the same: nothing can be updated on its devices until they have one.
        required: Option<bool> => Flag {
            unset "true with a configuration file; false with built-in boards alone, for a first try", like "false"
        }
        /// Maintainer scripts to leave out: their effects are not known to goldsmith, and you have
        /// found them to be unnecessary.
        accept: Vec<Accept> => Subs<Accept> { default "[]" }
    }

    /// Repositories of Debian packages for `client.bundle` and `client.install`.
    pub struct Repository {
        /// A repository that is known by name, instead of a `url`.
        preset: Option<RepositoryPreset> => OneOf<RepositoryPreset> { unset "that of `url`", like "\"mender\"" }
        /// The URL of a repository: the part before `dists`. `file:///DIRECTORY` names one of the host.
        url: Option<String> => RepositoryUrl { unset "that of the preset", like "\"https://packages.example.com/debian\"" }
        /// The suite: the directory below `dists`. `{codename}` stands for the code name in the
        /// golden image's `os-release`, such as `bookworm`.
        suite: Option<String> => Text { unset "that of the preset", like "\"{codename}\"" }
        /// The components.
        components: Vec<String> => List<Text> { default "\"main\"" }
        /// The file or URL of the public OpenPGP keys, in either of their two forms.
        key: Option<FilePath> => EitherPath {
            unset "the keys of the golden image's apt, or that of the preset", like "\"vendor.asc\""
        }
        /// The fingerprints of the keys that may sign the repository. Other keys do not count,
        /// wherever they come from.
        fingerprint: Vec<String> => List<Text> { default "[]" }
    }

    /// Maintainer scripts to leave out: their effects are not known to goldsmith, and you have
    /// found them to be unnecessary.
    pub struct Accept {
        /// The name of the package.
        package: String => Name { required like "\"mender-client\"" }
        /// The script.
        script: MaintainerScript => OneOf<MaintainerScript> { required like "\"postinst\"" }
        /// The one statement to leave out, as the message shows it: it counts as successful and
        /// prints nothing. If it calls a program that is a script, or reads a file of statements,
        /// all of that is left out. Other statements of the script stay errors, and so does one
        /// whose output the script reads.
        statement: Option<String> => Text { unset "all statements whose effect is unknown", like "\"date +%Y > /var/lib/x/year\"" }
        /// Why the script is unnecessary; kept in the record.
        reason: String => Text { required like "\"the service is enabled by our overlay\"" }
    }

    /// The server that the update client connects to.
    pub struct Server {
        /// The URL of the server.
        url: Option<String> => Url { unset "as in the golden image, the packages or an overlay", like "\"https://hosted.mender.io\"" }
        /// The token that assigns new devices to your organization. `env:NAME` takes it from an
        /// environment variable. It appears nowhere but in the image.
        tenant_token: Option<Secret> => Hidden { unset "none", like "\"…\"" }
        /// The file with this token, instead of `tenant-token`. The end of its last line does not
        /// count.
        tenant_token_file: Option<PathBuf> => HostPath { unset "none", like "\"tenant-token\"" }
        /// The server's certificate file (PEM), if it is not signed by a known authority.
        certificate: Option<PathBuf> => HostPath { unset "none", like "\"server.crt\"" }
        /// Public key files (PEM; RSA, or EC on the curve P-256). Every Artifact must be signed
        /// with one of these keys.
        verify_key: Vec<PathBuf> => List<HostPath> { default "[]" }
        /// Seconds between polls for an update.
        update_poll_interval: Option<u32> => Number<1, YEAR> { unset "the client's default", like "1800" }
        /// Seconds between inventory reports.
        inventory_poll_interval: Option<u32> => Number<1, YEAR> { unset "the client's default", like "28800" }
        /// Seconds before a failed request is retried.
        retry_poll_interval: Option<u32> => Number<1, YEAR> { unset "the client's default", like "300" }
    }

    /// The update Artifact.
    pub struct Artifact {
        /// The name of the release.
        name: Option<String> => Name { unset "an error: set it here or with `--artifact-name`", like "\"release-1\"" }
        /// The compression of the payload.
        compression: Compression => OneOf<Compression> { default "\"gzip\"" }
        /// The compression level: 1 to 9 for gzip, 0 to 9 for xz, 1 to 22 for zstd. Ignored without
        /// compression.
        level: Option<u32> => Number<0, 22> { unset "the compressor's default", like "6" }
        /// The private key file that the Artifact is signed with (PEM; RSA, or EC on the curve
        /// P-256).
        key: Option<PathBuf> => HostPath { unset "not signed", like "\"artifact.key\"" }
        /// State scripts, or directories that contain them.
        scripts: Vec<PathBuf> => List<HostPath> { default "[]" }
        /// Extra `provides` (key-value pairs) of the Artifact.
        provides: BTreeMap<String, String> => Map<Text> { default "{}" }
        /// Extra `depends`: key-value pairs that the device must provide for the Artifact to be
        /// installed.
        depends: BTreeMap<String, String> => Map<Text> { default "{}" }
        /// Extra `clears_provides`: patterns of the keys that the device no longer provides once
        /// the Artifact is installed; `*` matches any characters.
        clears: Vec<String> => List<Name> { default "[]" }
        /// The `artifact_group` that the device belongs to once the Artifact is installed.
        group: Option<String> => Name { unset "none", like "\"stable\"" }
        /// The names of Artifacts, one of which must be installed on the device.
        depends_names: Vec<String> => List<Name> { default "[]" }
        /// The Artifact groups, one of which the device must belong to.
        depends_groups: Vec<String> => List<Name> { default "[]" }
        /// The first part of the key under which the version of the root filesystem is provided.
        software_filesystem: String => Name { default "\"rootfs-image\"" }
        /// The second part of that key.
        software_name: Option<String> => Name { unset "left out", like "\"os\"" }
        /// The version that is provided.
        software_version: Option<String> => Name { unset "the name of the Artifact", like "\"1.0\"" }
        /// Whether the version of the root filesystem is provided at all.
        default_software_version: bool => Flag { default "true" }
        /// Whether the Artifact clears the `provides` of earlier root filesystem Artifacts.
        default_clears: bool => Flag { default "true" }
        /// The name of the payload file in the Artifact.
        payload_name: String => Name { default "\"rootfs.ext4\"" }
    }

    /// The files that are written.
    pub struct Output {
        /// The file name of the results, without the extension.
        name: Option<String> => Name { unset "`<input>-<device type>-<artifact name>`", like "\"gateway\"" }
        /// The format of the disk image. Without an image, everything else is the same: the
        /// Artifact fits devices that were flashed with an image of the same configuration.
        image: ImageFormat => OneOf<ImageFormat> { default "\"raw\"" }
        /// The compression level: 1 to 9 for gz, 0 to 9 for xz, 1 to 22 for zst. Ignored for other
        /// formats.
        level: Option<u32> => Number<0, 22> { unset "the compressor's default", like "6" }
        /// Whether to write a block map next to a raw or compressed image, so that flashing skips
        /// empty blocks.
        bmap: bool => Flag { default "true" }
        /// Whether to write an archive for Raspberry Pi's provisioner: `image.json`, which
        /// describes the image, and its partitions. See
        /// [raspberry-pi.md](raspberry-pi.md#provisioning).
        idp: Option<bool> => Flag { unset "`false`", like "true" }
        /// Whether to write a manifest for Raspberry Pi Imager: an entry of its list of systems, by
        /// which it offers the image together with settings for users and networks.
        imager: Option<bool> => Flag { unset "`false`", like "true" }
        /// With `output.imager`, the address of the directory from which the imager takes the
        /// image.
        imager_url: Option<String> => Name { unset "none", like "\"https://example.com/images\"" }
        /// Whether the record contains the SHA-256 of the golden image as it is stored. It has none
        /// if the image is read from a pipe. A raw image has to be read once more for it.
        input_digest: Option<bool> => Flag { unset "`true` for a compressed image", like "true" }
        /// Whether to write the root filesystem as a separate file too.
        rootfs: bool => Flag { default "false" }
        /// Whether to write a list of the blocks of every file in the root filesystem, so that a
        /// later release can reuse this layout (`--preserve-layout`).
        file_layout: bool => Flag { default "false" } formerly "places"
        /// Which bills of materials to write, and whether to write where the results came from; see
        /// [sbom.md](sbom.md).
        sbom: Vec<SbomFormat> => List<OneOf<SbomFormat>> { default "[]" }
        /// Who makes the device, as the creator of the bills of materials: an e-mail address, or an
        /// `https` address if there is none.
        sbom_creator: Option<String> => Contact { unset "not stated", like "\"security@example.com\"" }
    }

    /// Compressed data that is kept for the next conversion. It never affects the results.
    pub struct Cache {
        /// Whether data is kept and used. `--cache` and `--no-cache` override this key.
        enabled: bool => Flag { default "true" }
        /// The directory of the cache, as with `--cache`.
        dir: Option<PathBuf> => HostPath {
            unset "`goldsmith/frames` in the user's cache directory", like "\"/var/cache/goldsmith\""
        }
        /// The largest size of the cache; the least recently used data is removed. The cache of the
        /// user has at most a quarter of the free space, whatever this key is. `--cache-size`
        /// overrides this key.
        size: u64 => Size<MIB> { default "\"4 GiB\"" }
    }
}
