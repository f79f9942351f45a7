//! The update client as its vendor releases it: bundles of packages that fit together. What one of
//! them needs, reads and writes is data, in `configs/clients`.

mod version;

pub use version::ClientVersion;

use serde::Deserialize;
use std::sync::LazyLock;

/// The text of each bundle, by version.
const TEXTS: [(&str, &str); 4] = [
    ("3.4", include_str!("../../configs/clients/3.4.toml")),
    ("4.0", include_str!("../../configs/clients/4.0.toml")),
    ("5.0", include_str!("../../configs/clients/5.0.toml")),
    ("6.0", include_str!("../../configs/clients/6.0.toml")),
];

/// A release of the update client with all that belongs to it.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Bundle {
    /// The version of the bundle, such as `6.0`, which is not always that of the client.
    pub name: String,
    /// The preset of the repository that has it; `None` for that of Debian.
    #[serde(default)]
    pub repository: Option<String>,
    /// The client itself.
    pub client: Client,
    /// Which Artifacts it reads.
    pub artifact: Reads,
    /// The packages whose versions fit together.
    #[serde(rename = "member")]
    pub members: Vec<Member>,
}

/// The client of a bundle.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Client {
    /// The Debian package that installs Artifacts; its version tells the bundle.
    pub package: String,
    /// The first version of the package that belongs to the bundle.
    pub from: ClientVersion,
    /// The first version that no longer does.
    pub below: ClientVersion,
    /// The absolute paths of its programs; the first one installs Artifacts.
    pub programs: Vec<String>,
    /// Its services, without `.service`. They need the data partition.
    pub services: Vec<String>,
    /// The program that installs root filesystems; `None` if the client does it itself.
    #[serde(default)]
    pub rootfs_module: Option<String>,
    /// The program that prints the identity of the device.
    pub identity: String,
    /// The directory of the programs that print the inventory.
    pub inventory: String,
    /// The directories below `/var/lib` that outlive updates.
    pub state: Vec<String>,
    /// A sound `RetryPollIntervalSeconds` where the client's own default is not.
    #[serde(default)]
    pub retry_seconds: Option<u32>,
    /// The update modules of earlier clients that are no longer a part of it.
    #[serde(default)]
    pub without_modules: Vec<String>,
    /// The values of `DeviceTier`; empty if it has no such setting.
    #[serde(default)]
    pub device_tiers: Vec<String>,
    /// The value of `DeviceTier` with which devices do not install root filesystems.
    #[serde(default)]
    pub tier_without_rootfs: Option<String>,
}

/// The Artifacts that a client reads.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Reads {
    /// The compressions, as `artifact.compression` names them.
    pub compression: Vec<String>,
    /// The first size of a payload (bytes) that it cannot handle as a 32-bit program.
    #[serde(default)]
    pub size_limit_32_bit: Option<u64>,
}

/// A package of a bundle.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
pub struct Member {
    /// Its name.
    pub package: String,
    /// Major and minor version, such as `5.1`.
    pub version: String,
    /// Whether every device needs it.
    #[serde(default)]
    pub required: bool,
}

/// All bundles, by version.
///
/// # Panics
/// Never: the built-in data is read by a test.
#[must_use]
pub fn bundles() -> &'static [Bundle] {
    static BUNDLES: LazyLock<Vec<Bundle>> = LazyLock::new(|| {
        let read = |(name, text): &(&str, &str)| {
            toml::from_str(text).unwrap_or_else(|e| panic!("configs/clients/{name}.toml: {e}"))
        };
        TEXTS.iter().map(read).collect()
    });
    &BUNDLES
}

/// The bundle to which `version` of the client belongs; `None` if it is none of those.
#[must_use]
pub fn of_client(version: ClientVersion) -> Option<&'static Bundle> {
    bundles().iter().find(|bundle| {
        let client = &bundle.client;
        client.from <= version && version < client.below
    })
}

/// The items that the bundles have, each once, those of the newest bundle first.
fn each<'b, T: PartialEq>(items: impl Fn(&'static Bundle) -> Vec<&'b T>) -> Vec<&'b T> {
    let mut all = Vec::new();
    for item in bundles().iter().rev().flat_map(items) {
        if !all.contains(&item) {
            all.push(item);
        }
    }
    all
}

/// The packages that install Artifacts, of all bundles.
#[must_use]
pub fn packages() -> Vec<&'static String> {
    each(|bundle| vec![&bundle.client.package])
}

/// The programs of all bundles.
#[must_use]
pub fn programs() -> Vec<&'static String> {
    each(|bundle| bundle.client.programs.iter().collect())
}

/// The services of all bundles.
#[must_use]
pub fn services() -> Vec<&'static String> {
    each(|bundle| bundle.client.services.iter().collect())
}

/// The directories below `/var/lib` that outlive updates, of all bundles.
#[must_use]
pub fn state_dirs() -> Vec<&'static String> {
    each(|bundle| bundle.client.state.iter().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_files_are_named_and_in_order() {
        let names: Vec<&str> = TEXTS.iter().map(|(name, _)| *name).collect();
        let read: Vec<&str> = bundles()
            .iter()
            .map(|bundle| bundle.name.as_str())
            .collect();
        assert_eq!(read, names);
        for pair in bundles().windows(2) {
            assert!(pair[0].client.below <= pair[1].client.from, "{pair:?}");
        }
    }

    #[test]
    fn a_bundle_holds_together() {
        for bundle in bundles() {
            let client = &bundle.client;
            assert!(client.from < client.below, "{}", bundle.name);
            let own = bundle
                .members
                .iter()
                .find(|member| member.package == client.package)
                .unwrap();
            let version: ClientVersion = own.version.parse().unwrap();
            assert!(own.required && client.from <= version && version < client.below);
            let absolute = client.programs.iter().chain(&client.rootfs_module);
            for path in absolute.chain([&client.identity, &client.inventory]) {
                assert!(path.starts_with('/'), "{path}");
            }
            if let Some(tier) = &client.tier_without_rootfs {
                assert!(client.device_tiers.contains(tier));
            }
        }
    }

    #[test]
    fn the_bundle_of_a_client() {
        let name = |version: &str| {
            let bundle = of_client(version.parse().unwrap())?;
            Some(bundle.name.as_str())
        };
        assert_eq!(name("3.4.0+ds1-4+b5"), Some("3.4"));
        assert_eq!(name("4.0.2"), Some("4.0"));
        assert_eq!(name("5.0.4-1+debian+bookworm"), Some("5.0"));
        assert_eq!(name("5.1.0~git20260101.abc-1"), Some("6.0"));
        assert_eq!(name("3.5.3"), None);
        assert_eq!(name("9.0"), None);
    }

    #[test]
    fn what_all_of_them_have_is_named_once() {
        assert_eq!(packages(), ["mender-update", "mender-client"]);
        assert_eq!(services().len(), 3);
    }
}
