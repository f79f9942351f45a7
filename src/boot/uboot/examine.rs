//! What a U-Boot program tells about itself: its version, its processor, the environment that is
//! built in.

use crate::platform::Architecture;

/// The start of the banner of every U-Boot.
const BANNER: &[u8] = b"U-Boot 20";
/// The longest environment that is taken for one (bytes).
const ENVIRONMENT_LIMIT: usize = 64 << 10;
/// The names of variables that may precede `bootdelay` (`include/env_default.h` of U-Boot).
const LEADING: [&str; 4] = [".callbacks", ".flags", "bootargs", "bootcmd"];

/// A U-Boot, as far as its bytes show.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct UBoot {
    /// Such as `2023.01+dfsg-2+deb12u1`.
    pub(super) version: String,
    /// By its first instruction, or the header of a kernel.
    pub(super) arch: Option<Architecture>,
    /// The variables that are built in, in their order; none if they are not found.
    pub(super) environment: Vec<(String, String)>,
    /// Whether it keeps its environment in a file `uboot.env` of a FAT.
    pub(super) stores_file: bool,
    /// The model whose device tree is built in: it takes no other's.
    pub(super) model: Option<String>,
    /// Whether it drives the card of a Raspberry Pi 4.
    pub(super) knows_bcm2711: bool,
    /// Whether it drives the bus of a Raspberry Pi 4 that its USB is on.
    pub(super) drives_pcie: bool,
    /// Whether it drives the card of a Raspberry Pi 5.
    pub(super) knows_bcm2712: bool,
}

impl UBoot {
    /// A variable that is built in.
    pub(super) fn variable(&self, name: &str) -> Option<&str> {
        let mut all = self.environment.iter();
        all.find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }
}

/// What the bytes of a U-Boot tell; `None` if they are not one.
pub(super) fn examine(bytes: &[u8]) -> Option<UBoot> {
    let banner = find(bytes, BANNER)?;
    let version: String = bytes[banner + b"U-Boot ".len()..]
        .iter()
        .take(64)
        .take_while(|byte| byte.is_ascii_graphic())
        .map(|byte| char::from(*byte))
        .collect();
    let entry = |text: &[u8]| find(bytes, &[text, b"\0"].concat()).is_some();
    let models: [&str; 8] = [
        "raspberrypi,2-model-b",
        "raspberrypi,3-model-b",
        "raspberrypi,3-model-b-plus",
        "raspberrypi,4-model-b",
        "raspberrypi,5-model-b",
        "raspberrypi,model-b",
        "raspberrypi,model-zero-w",
        "raspberrypi,model-zero-2-w",
    ];
    Some(UBoot {
        version,
        arch: architecture(bytes),
        environment: environment(bytes).unwrap_or_default(),
        stores_file: entry(b"\0uboot.env"),
        model: models
            .into_iter()
            .find(|name| entry(name.as_bytes()))
            .map(str::to_owned),
        knows_bcm2711: entry(b"brcm,bcm2711-emmc2"),
        drives_pcie: entry(b"brcm,bcm2711-pcie"),
        knows_bcm2712: entry(b"brcm,bcm2712-sdhci"),
    })
}

/// The architecture, by the branch that a program begins with, or the mark of a kernel.
fn architecture(bytes: &[u8]) -> Option<Architecture> {
    let word = u32::from_le_bytes(bytes.get(..4)?.try_into().ok()?);
    if bytes.get(0x38..0x3c) == Some(b"ARM\x64") || word >> 26 == 0b00_0101 {
        Some(Architecture::Arm64)
    } else if word >> 24 == 0xea {
        Some(Architecture::Armhf)
    } else {
        None
    }
}

/// The variables that are built in: entries that end with a zero, `bootcmd` and `bootdelay` among
/// the first, and an empty one at the end.
fn environment(bytes: &[u8]) -> Option<Vec<(String, String)>> {
    let mut from = 0;
    while let Some(at) = find(bytes.get(from..)?, b"\0bootdelay=") {
        let delay = from + at + 1;
        if let Some(found) = environment_around(bytes, delay) {
            return Some(found);
        }
        from = delay;
    }
    None
}

/// The environment with the entry `bootdelay` at `delay`.
fn environment_around(bytes: &[u8], delay: usize) -> Option<Vec<(String, String)>> {
    let mut start = delay;
    loop {
        let before = bytes.get(..start.checked_sub(1)?)?;
        let entry = before.iter().rposition(|byte| *byte == 0)? + 1;
        let is_leading = LEADING
            .iter()
            .any(|name| before[entry..].starts_with(format!("{name}=").as_bytes()));
        if !is_leading {
            break;
        }
        start = entry;
    }
    let data = bytes.get(start..)?;
    let len = find(&data[..data.len().min(ENVIRONMENT_LIMIT)], b"\0\0")?;
    let entries = data[..len].split(|byte| *byte == 0).map(|entry| {
        let (name, value) = std::str::from_utf8(entry).ok()?.split_once('=')?;
        let known = |c: char| c.is_ascii_alphanumeric() || "._-#".contains(c);
        let fine = !name.is_empty() && name.chars().all(known);
        fine.then(|| (name.to_owned(), value.to_owned()))
    });
    let entries: Vec<(String, String)> = entries.collect::<Option<_>>()?;
    let has = |wanted: &str| entries.iter().any(|(name, _)| name == wanted);
    (has("bootcmd") && has("baudrate")).then_some(entries)
}

fn find(bytes: &[u8], wanted: &[u8]) -> Option<usize> {
    bytes
        .windows(wanted.len())
        .position(|window| window == wanted)
}
