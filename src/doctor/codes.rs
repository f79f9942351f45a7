//! The codes of findings: severity, meaning and remedy of each, as `docs/doctor.md` lists them.

use crate::verify::Severity::{self, Error, Note, Warning};

/// A kind of finding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Code {
    /// The code, which stays the same from version to version.
    pub name: &'static str,
    /// The severity; a single finding may be less severe.
    pub severity: Severity,
    /// What is found, for the documentation.
    pub meaning: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

const fn code(
    name: &'static str,
    severity: Severity,
    meaning: &'static str,
    remedy: &'static str,
) -> Code {
    Code {
        name,
        severity,
        meaning,
        remedy,
    }
}

pub(super) const REFUSED: Code = code(
    "refused",
    Error,
    "`plan` and `convert` refuse the image with this configuration",
    "follow the hint",
);
pub(super) const STARTUP_ACTS: Code = code(
    "startup-acts",
    Error,
    "something restarts the device, repartitions or resizes its disk, or writes firmware or boot files by itself; `convert` refuses it",
    "take it out of the golden image, or accept it with [[accept]] if it is harmless",
);
pub(super) const STARTUP_UNDONE: Code = code(
    "startup-undone",
    Note,
    "a known service does so; `convert` disables it",
    "nothing needs to be done",
);
pub(super) const DEVICE_GONE: Code = code(
    "device-gone",
    Warning,
    "a line of `fstab`, `crypttab`, a unit or another file names a device that the converted disk does not have",
    "take the line out of the golden image, or say with [[partition]] what becomes of the partition",
);
pub(super) const INIT_MISSING: Code = code(
    "init-missing",
    Warning,
    "the root filesystem has no init program (`/sbin/init`, `/etc/init`, `/bin/init`), so nothing starts the system unless the kernel's arguments name one",
    "install systemd-sysv or another init system in the golden image, or name the root partition with root.partition if this is not it",
);
pub(super) const UNREAD: Code = code(
    "unread",
    Warning,
    "a file could not be examined, since it is larger than any such file or cannot be read",
    "look at the file yourself, and repair or shorten it",
);
pub(super) const KERNEL_FHANDLE: Code = code(
    "kernel-fhandle",
    Error,
    "the kernel is built without `CONFIG_FHANDLE`, without which systemd does not find devices",
    "install a kernel that is built with CONFIG_FHANDLE=y",
);
pub(super) const KERNEL_CONFIG: Code = code(
    "kernel-config",
    Note,
    "the configuration of a kernel is neither in `/boot/config-*` nor in the kernel (`CONFIG_IKCONFIG`), so it is not known",
    "check that it is built with CONFIG_FHANDLE=y",
);
pub(super) const CLOCK_MISSING: Code = code(
    "clock-missing",
    Warning,
    "nothing sets the clock over the network: TLS to an update server fails while the clock is wrong",
    "install systemd-timesyncd, chrony, ntpsec or openntpd in the golden image",
);
pub(super) const CLOCK_DISABLED: Code = code(
    "clock-disabled",
    Warning,
    "a service that sets the clock is installed, but nothing starts it",
    "enable it in the golden image, with systemctl enable",
);
pub(super) const CLOCK_LOST: Code = code(
    "clock-lost",
    Note,
    "the board has no clock that runs without power, and nothing keeps the time over a restart",
    "install fake-hwclock or systemd-timesyncd",
);
pub(super) const CLIENT_MISSING: Code = code(
    "client-missing",
    Note,
    "the image has no update client",
    "set client.bundle or client.packages, or install it in the golden image: an image without one is refused, unless client.required is false",
);
pub(super) const CLIENT_ROOM: Code = code(
    "client-room",
    Warning,
    "the root filesystem has no room for the update client, which takes about 7 MB",
    "make room before you install it in the golden image; packages of client.packages need none, since the root filesystem is made anew",
);
pub(super) const CLIENT_LIBRARIES: Code = code(
    "client-libraries",
    Error,
    "the update client needs shared libraries that the image does not have",
    "install the packages that contain them",
);
pub(super) const CLIENT_MODULES: Code = code(
    "client-modules",
    Note,
    "the client has update modules that clients of 5.0 and later no longer have (`deb`, `docker`, `rpm`, `script`): Artifacts that need them fail once the client is upgraded",
    "install the modules as files of your own before you upgrade the client, or do without such Artifacts",
);
pub(super) const PASSWORD_EMPTY: Code = code(
    "password-empty",
    Error,
    "an account has an empty password: anyone can log in",
    "set a password, or lock the account with passwd -l",
);
pub(super) const PASSWORD_DEFAULT: Code = code(
    "password-default",
    Error,
    "an account has a password that is the default of a distribution, or its own name",
    "set another password, or lock the account with passwd -l",
);
pub(super) const PASSWORD_SHARED: Code = code(
    "password-shared",
    Note,
    "accounts have passwords, which are the same on all devices",
    "lock them with passwd -l if nobody needs to log in with a password",
);
pub(super) const AUTHORIZED_KEYS: Code = code(
    "authorized-keys",
    Note,
    "the owners of these SSH keys can log in to every device",
    "remove the keys of those who should not",
);
pub(super) const PRIVATE_KEY: Code = code(
    "private-key",
    Warning,
    "a file that no package brought holds a private key, which every device will have",
    "remove it, and have each device make or get a key of its own",
);
pub(super) const SECRET: Code = code(
    "secret",
    Warning,
    "a file holds a password or an access token",
    "remove it, or replace it by one that may be known to whoever has a device",
);
pub(super) const MACHINE_ID: Code = code(
    "machine-id",
    Warning,
    "`/etc/machine-id` is set, so all devices will have the same machine ID",
    "set sanitize.machine-id = true, or make the file empty in the golden image",
);
pub(super) const MACHINE_ID_MISSING: Code = code(
    "machine-id-missing",
    Note,
    "`/etc/machine-id` is missing or says `uninitialized`, so each root filesystem that an update brings would take its start for the first of a system; `convert` makes the file empty",
    "nothing needs to be done",
);
pub(super) const SSH_HOST_KEYS: Code = code(
    "ssh-host-keys",
    Warning,
    "the image has SSH host keys, which all devices will share",
    "set sanitize.ssh-host-keys = true: each device then makes its own, and keeps them over updates",
);
pub(super) const RANDOM_SEED: Code = code(
    "random-seed",
    Note,
    "the image has a seed of the random number generator, which all devices will start with",
    "set sanitize.random-seed = true",
);
pub(super) const CLIENT_KEYS: Code = code(
    "client-keys",
    Error,
    "an update client ran in the image: all devices would have its key and its state, so `convert` refuses it",
    "set sanitize.client-keys = true",
);
pub(super) const SERVICE_IDS: Code = code(
    "service-ids",
    Warning,
    "services made IDs or keys for the golden machine, which all devices will share",
    "set sanitize.service-ids = true",
);
pub(super) const DHCP_LEASES: Code = code(
    "dhcp-leases",
    Note,
    "the image has DHCP leases of the golden machine",
    "set sanitize.dhcp-leases = true",
);
pub(super) const WIRELESS_KEYS: Code = code(
    "wireless-keys",
    Note,
    "the image has passwords of wireless networks or paired Bluetooth devices",
    "set sanitize.wireless-keys = true, unless devices need them",
);
pub(super) const HISTORIES: Code = code(
    "histories",
    Note,
    "the image has histories of shells, editors or other programs",
    "set sanitize.histories = true",
);
pub(super) const LOGS: Code = code(
    "logs",
    Note,
    "the image has logs of the golden machine",
    "set sanitize.logs = true",
);
pub(super) const APT_CACHE: Code = code(
    "apt-cache",
    Note,
    "the image has package files or indexes that APT downloaded",
    "set sanitize.apt-cache = true",
);
pub(super) const CORE_DUMPS: Code = code(
    "core-dumps",
    Note,
    "the image has core dumps, which can hold anything that a program knew",
    "set sanitize.core-dumps = true",
);
pub(super) const CLOUD_INIT: Code = code(
    "cloud-init",
    Note,
    "cloud-init has state of the golden machine: what it did there it does not do on devices",
    "set sanitize.cloud-init = true if each device is an instance of its own",
);
pub(super) const NETWORK_MAC: Code = code(
    "network-mac",
    Warning,
    "a network setting is for the MAC address of the golden machine, so it applies to no device",
    "name the interface in another way",
);
pub(super) const SYSV_SERVICE: Code = code(
    "sysv-service",
    Warning,
    "a service has a script of SysV init and no unit: systemd 260 and later do not start it",
    "write a unit for it",
);
pub(super) const TRIM_READ_ONLY: Code = code(
    "trim-read-only",
    Warning,
    "`fstrim` or `e2scrub` runs on a root filesystem that is mounted read-only, whose bytes should not change",
    "disable fstrim.timer and e2scrub_all.timer in the golden image, or take ro out of root.options",
);

pub(super) const BARRIERS_OFF: Code = code(
    "barriers-off",
    Warning,
    "a line of `fstab` mounts a filesystem with `barrier=0` or `nobarrier`, so that a power cut can damage what was written before",
    "take the option out of the line, in the golden image or with [[rootfs.edit]]",
);

pub(super) const NETWORK_DHCP: Code = code(
    "network-dhcp",
    Warning,
    "an interface asks for its address by DHCP, and the image has no client for it: the device reaches no update server",
    "install dhcpcd-base, isc-dhcp-client or udhcpc in the golden image",
);

/// All codes, in the order in which findings of the same severity are shown.
pub const CODES: [Code; 39] = [
    REFUSED,
    STARTUP_ACTS,
    STARTUP_UNDONE,
    DEVICE_GONE,
    UNREAD,
    INIT_MISSING,
    KERNEL_FHANDLE,
    KERNEL_CONFIG,
    CLOCK_MISSING,
    CLOCK_DISABLED,
    CLOCK_LOST,
    CLIENT_MISSING,
    CLIENT_ROOM,
    CLIENT_LIBRARIES,
    CLIENT_MODULES,
    PASSWORD_EMPTY,
    PASSWORD_DEFAULT,
    PASSWORD_SHARED,
    AUTHORIZED_KEYS,
    PRIVATE_KEY,
    SECRET,
    MACHINE_ID,
    MACHINE_ID_MISSING,
    SSH_HOST_KEYS,
    RANDOM_SEED,
    CLIENT_KEYS,
    SERVICE_IDS,
    DHCP_LEASES,
    WIRELESS_KEYS,
    HISTORIES,
    LOGS,
    APT_CACHE,
    CORE_DUMPS,
    CLOUD_INIT,
    NETWORK_MAC,
    SYSV_SERVICE,
    TRIM_READ_ONLY,
    BARRIERS_OFF,
    NETWORK_DHCP,
];
