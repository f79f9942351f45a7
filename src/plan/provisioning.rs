//! What tools of the Raspberry Pi need to know of an image: the provisioner and the imager.

use super::boot::partition_set;
use super::family::PartitionSet;
use crate::config::{self, Config};
use crate::golden::{Golden, facts};
use crate::platform::{Architecture, PiChip, PiModel};
use crate::problem::{Problem, Problems};
use crate::tree::Tree;

/// The extension of the archive for the provisioner.
pub const IDP: &str = "idp.tar.zst";
/// The extension of the manifest for the imager.
pub const OS_LIST: &str = "os-list.json";

/// The archive for Raspberry Pi's provisioner.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IdpPlan {
    /// The family of devices, as the provisioner calls it.
    pub device_class: &'static str,
    /// The medium: `sd`, `emmc` or `nvme`.
    pub storage: &'static str,
}

/// The manifest for Raspberry Pi Imager.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImagerPlan {
    /// The address of the directory where the image will be, with a slash at the end.
    pub url: String,
    /// The name of the board.
    pub title: String,
    /// The tags of the devices that the image is for.
    pub devices: Vec<&'static str>,
    /// The architecture, as the imager calls it.
    pub architecture: &'static str,
    /// How the system takes the settings that the imager asks for; `none` if it does not.
    pub init_format: &'static str,
}

impl IdpPlan {
    /// # Errors
    /// A board of another kind than the Raspberry Pi, or one that the provisioner does not know;
    /// bytes outside the partitions, which the description has no place for.
    pub(super) fn new(config: &Config) -> Result<Option<Self>, Problems> {
        if config.output.idp != Some(true) {
            return Ok(None);
        }
        let mut problems = Problems::default();
        let models = &config.board.pi_models;
        let class = models.iter().find_map(|model| device_class(*model));
        if class.is_none() {
            problems.push(no_model("output.idp", "a Zero 2 W, 3, 4, 5, CM4 or CM5"));
        }
        let raw = config.boot.environment == config::EnvironmentLocation::Raw;
        if raw || !config.raw.is_empty() {
            let what = if raw { "boot.environment" } else { "[[raw]]" };
            let text = format!(
                "output.idp is set, and {what} puts bytes outside the partitions: the description \
                 of an image for the provisioner has no place for them"
            );
            let hint = "remove one of them, or provision the image itself (output.image)";
            problems.push(Problem::new(text).hint(hint));
        }
        problems.check()?;
        let device_class = class.unwrap_or_default();
        let disk = match &config.storage.device {
            config::Device::Disk(disk) => disk.as_str(),
            config::Device::PartUuid => "",
        };
        let storage = if disk.contains("nvme") {
            "nvme"
        } else if device_class.starts_with("cm") {
            "emmc"
        } else {
            "sd"
        };
        Ok(Some(Self {
            device_class,
            storage,
        }))
    }
}

/// The family of a model in the provisioner's words.
fn device_class(model: PiModel) -> Option<&'static str> {
    Some(match model {
        PiModel::Pi02 => "zero2w",
        PiModel::Pi3 | PiModel::Pi3Plus => "pi3",
        PiModel::Pi4 | PiModel::Pi400 => "pi4",
        PiModel::Cm4 => "cm4",
        PiModel::Pi5 | PiModel::Pi500 => "pi5",
        PiModel::Cm5 => "cm5",
        _ => return None,
    })
}

impl ImagerPlan {
    /// # Errors
    /// A board of another kind than the Raspberry Pi; an image in a form that the imager does not
    /// read, or none; no address.
    pub(super) fn new(config: &Config) -> Result<Option<Self>, Problems> {
        if config.output.imager != Some(true) {
            return Ok(None);
        }
        let mut problems = Problems::default();
        let models = &config.board.pi_models;
        if models.is_empty() {
            problems.push(no_model("output.imager", "a Raspberry Pi"));
        }
        let image = config.output.image;
        let is_read = matches!(
            image,
            config::ImageFormat::Raw
                | config::ImageFormat::Gz
                | config::ImageFormat::Xz
                | config::ImageFormat::Zst
        );
        if !is_read {
            let text = "output.imager is set, but the imager reads raw images and those compressed \
                        by gzip, xz or Zstandard";
            let hint = "set output.image to \"xz\"";
            problems.push(Problem::new(text).hint(hint));
        }
        let url = config.output.imager_url.clone().unwrap_or_default();
        let is_address = ["https://", "http://", "file:///"]
            .iter()
            .any(|start| url.starts_with(start));
        if !is_address {
            let text = "output.imager is set, but output.imager-url is not the address of the \
                        directory from which the imager takes the image";
            let hint = "set output.imager-url to where the image will be, such as \
                        \"https://example.com/images\" or \"file:///srv/images\"";
            problems.push(Problem::new(text).hint(hint));
        }
        problems.check()?;
        let wide = config.board.architecture.contains(&Architecture::Arm64);
        let mut devices: Vec<&'static str> = models.iter().map(|model| tag(*model, wide)).collect();
        devices.dedup();
        let title = config.board.title.clone();
        Ok(Some(Self {
            url: format!("{}/", url.trim_end_matches('/')),
            title: title.unwrap_or_else(|| "Raspberry Pi".to_owned()),
            devices,
            architecture: if wide { "armv8" } else { "armhf" },
            init_format: "none",
        }))
    }

    /// The same with what the golden image shows, and a note where the imager's settings have no
    /// effect.
    pub(super) fn with_golden(
        mut self,
        golden: &Golden,
        config: &Config,
    ) -> (Self, Option<String>) {
        // The imager writes its settings to the first FAT, which has autoboot.txt and nothing else.
        if partition_set(config, golden) == PartitionSet::BootPerSlot {
            let note = "the manifest for the imager says that the image takes no settings (init_format \
                        none): the imager writes them to the first partition, and those of the slots \
                        come after it; put users and networks into the golden image";
            return (self, Some(note.to_owned()));
        }
        let root = &golden.root.tree;
        let has = |package: &str| is_installed(root, package);
        self.init_format = if has("rpi-cloud-init-mods") {
            "cloudinit-rpi"
        } else if has("cloud-init") {
            "cloudinit"
        } else if facts::takes_imager_script(root).unwrap_or_default() {
            "systemd"
        } else {
            "none"
        };
        let note = (self.init_format == "none").then(|| {
            "the manifest for the imager says that the image takes no settings (init_format none): it has \
             neither cloud-init nor the imager_custom of raspberrypi-sys-mods, so firstrun.sh of the imager would not \
             run; install cloud-init and rpi-cloud-init-mods, or put users and networks into the golden image"
                .to_owned()
        });
        (self, note)
    }
}

fn is_installed(root: &Tree, package: &str) -> bool {
    facts::installed_version(root, package).is_ok_and(|version| version.is_some())
}

/// The tag of a model in the imager's list of devices: those with the same processor have the same.
fn tag(model: PiModel, wide: bool) -> &'static str {
    match (model.chip(), wide) {
        (PiChip::Bcm2712, true) => "pi5-64bit",
        (PiChip::Bcm2712, false) => "pi5-32bit",
        (PiChip::Bcm2711, true) => "pi4-64bit",
        (PiChip::Bcm2711, false) => "pi4-32bit",
        (PiChip::Bcm2837, true) => "pi3-64bit",
        (PiChip::Bcm2837, false) => "pi3-32bit",
        (PiChip::Bcm2836, _) => "pi2-32bit",
        (PiChip::Bcm2835, _) => "pi1-32bit",
    }
}

fn no_model(key: &str, wanted: &str) -> Problem {
    let text = format!("{key} is set, but board.pi-models names no model that it is for");
    Problem::new(text).hint(format!(
        "extend a board of the Raspberry Pi, or set board.pi-models to {wanted}; or remove {key}"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(text: &str) -> Config {
        Config::parse(text).unwrap()
    }

    #[test]
    fn the_medium_and_the_family_are_those_of_the_board() {
        for (models, device, class, storage) in [
            ("[\"pi5\", \"pi500\"]", "", "pi5", "sd"),
            ("[\"cm4\"]", "", "cm4", "emmc"),
            ("[\"cm5\"]", "/dev/nvme0n1", "cm5", "nvme"),
            ("[\"cm3\", \"pi02\"]", "", "zero2w", "sd"),
        ] {
            let mut text = format!("[board]\npi-models = {models}\n[output]\nidp = true\n");
            if !device.is_empty() {
                text.push_str(&format!("[storage]\ndevice = \"{device}\"\n"));
            }
            let plan = IdpPlan::new(&config(&text)).unwrap().unwrap();
            assert_eq!((plan.device_class, plan.storage), (class, storage));
        }
        let text = "[board]\npi-models = [\"pi1\"]\n[output]\nidp = true\n";
        assert!(IdpPlan::new(&config(text)).is_err());
        assert_eq!(IdpPlan::new(&config("")), Ok(None));
    }

    #[test]
    fn what_the_imager_cannot_take_is_refused() {
        let board =
            "[board]\npi-models = [\"pi4\", \"pi400\", \"pi3\"]\narchitecture = [\"arm64\"]\n";
        let with = |output: &str| {
            let text = format!("{board}[output]\nimager = true\n{output}");
            ImagerPlan::new(&config(&text))
        };
        let plan = with("imager-url = \"https://example.com/images/\"\n");
        let plan = plan.unwrap().unwrap();
        assert_eq!(plan.devices, ["pi4-64bit", "pi3-64bit"]);
        assert_eq!(plan.url, "https://example.com/images/");
        for (output, part) in [
            ("", "output.imager-url"),
            ("imager-url = \"images\"\n", "output.imager-url"),
            (
                "image = \"qcow2\"\nimager-url = \"file:///srv\"\n",
                "raw images",
            ),
        ] {
            let problems = with(output).unwrap_err();
            assert!(problems.to_string().contains(part), "{problems}");
        }
    }
}
