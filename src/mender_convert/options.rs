//! Options of the commands of mender-convert.

/// An option or a command, and what takes its place.
#[derive(Clone, Copy, Debug)]
pub struct ReplacedOption {
    /// As it is typed.
    pub name: &'static str,
    /// What takes its place; Markdown.
    pub instead: &'static str,
}

/// Commands and options of mender-convert.
pub const OPTIONS: &[ReplacedOption] = &[
    ReplacedOption {
        name: "mender-convert, docker-mender-convert",
        instead: "`goldsmith convert`, without root and without a container",
    },
    ReplacedOption {
        name: "-d, --disk-image FILE",
        instead: "the argument `IMAGE`: raw, gzip, xz, Zstandard, bzip2, zip, qcow2, Android sparse",
    },
    ReplacedOption {
        name: "-c, --config FILE",
        instead: "`-c FILE` with the TOML that `goldsmith migrate` prints, or the name of a board",
    },
    ReplacedOption {
        name: "-o, --overlay DIR",
        instead: "`--overlay DIR`, or `rootfs.overlays`; files belong to root, whoever owns them on the \
                  host, unless `[[rootfs.owner]]` says otherwise; files for the boot and data \
                  partitions are an `[[overlay]]` with `target`",
    },
    ReplacedOption {
        name: "MENDER_ARTIFACT_NAME=NAME in front of the command",
        instead: "`-n NAME`, or `artifact.name`",
    },
    ReplacedOption {
        name: "bootstrap-rootfs-overlay-hosted-server.sh",
        instead: "`server.url` (`https://hosted.mender.io` or `https://eu.hosted.mender.io`) and \
                  `server.tenant-token`",
    },
    ReplacedOption {
        name: "bootstrap-rootfs-overlay-production-server.sh",
        instead: "`server.url`, and `server.certificate` for `--server-cert`",
    },
    ReplacedOption {
        name: "bootstrap-rootfs-overlay-demo-server.sh",
        instead: "`server.url` and `server.certificate`; the entries of `/etc/hosts` are an overlay",
    },
    ReplacedOption {
        name: "configs/mender_convert_demo_config",
        instead: "`server.update-poll-interval = 5`, `server.inventory-poll-interval = 5`, \
                  `server.retry-poll-interval = 30`, and the packages of the add-ons in \
                  `client.packages`",
    },
];
