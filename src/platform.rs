//! Kinds of machines: processor architectures, firmware, boot loaders and partition tables, one
//! enum each, with the names that configurations, records and messages use.

use serde::Serialize;
use std::fmt;

/// Processor architectures, by Debian's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum Architecture {
    /// 64-bit x86.
    Amd64,
    /// 32-bit x86.
    I386,
    /// 64-bit Arm.
    Arm64,
    /// Arm, 32 bit with hardware floating point.
    Armhf,
}

impl Architecture {
    /// Whether it is that of PCs: x86, of 32 or 64 bits.
    #[must_use]
    pub fn is_pc(self) -> bool {
        matches!(self, Self::Amd64 | Self::I386)
    }

    /// All architectures that can be converted.
    pub const ALL: [Self; 4] = [Self::Amd64, Self::I386, Self::Arm64, Self::Armhf];

    /// Debian's name, as `dpkg --print-architecture` prints it.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Amd64 => "amd64",
            Self::I386 => "i386",
            Self::Arm64 => "arm64",
            Self::Armhf => "armhf",
        }
    }

    /// The architecture of a program, from its first bytes: `e_machine` of the ELF header, at
    /// offset 18 (System V ABI). `None` if it is not ELF or of an unsupported machine.
    #[must_use]
    pub fn from_elf(head: &[u8]) -> Option<Self> {
        if head.get(..4)? != b"\x7fELF" {
            return None;
        }
        match u16::from_le_bytes([*head.get(18)?, *head.get(19)?]) {
            3 => Some(Self::I386),
            40 => Some(Self::Armhf),
            62 => Some(Self::Amd64),
            183 => Some(Self::Arm64),
            _ => None,
        }
    }
}

/// The two kinds of partition table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum TableKind {
    /// GUID partition table (UEFI 5.3).
    Gpt,
    /// Master boot record, with four primary partitions.
    Mbr,
}

impl TableKind {
    /// `gpt` or `mbr`, as in configurations and records.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Gpt => "gpt",
            Self::Mbr => "mbr",
        }
    }
}

impl fmt::Display for TableKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Gpt => "GPT",
            Self::Mbr => "MBR",
        })
    }
}

/// Models of the Raspberry Pi, by the names that the sections of `config.txt` have for them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "lowercase")]
pub enum PiModel {
    /// Models A and B, the first, and their successors with a plus.
    Pi1,
    /// Compute Module 1.
    Cm1,
    /// Zero.
    Pi0,
    /// Zero W.
    Pi0W,
    /// Zero 2 W.
    Pi02,
    /// Model 2 B.
    Pi2,
    /// Model 3 B.
    Pi3,
    /// Models 3 A+ and 3 B+.
    #[serde(rename = "pi3+")]
    Pi3Plus,
    /// Compute Module 3.
    Cm3,
    /// Compute Module 3+.
    #[serde(rename = "cm3+")]
    Cm3Plus,
    /// Model 4 B.
    Pi4,
    /// 400, in a keyboard.
    Pi400,
    /// Compute Module 4.
    Cm4,
    /// Compute Module 4S.
    Cm4S,
    /// Model 5.
    Pi5,
    /// 500, in a keyboard.
    Pi500,
    /// Compute Module 5.
    Cm5,
}

/// The processors of Raspberry Pis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PiChip {
    /// Armv6, 32 bit.
    Bcm2835,
    /// Armv7, 32 bit; later ones of model 2 have a BCM2837.
    Bcm2836,
    /// Armv8.
    Bcm2837,
    /// Armv8.
    Bcm2711,
    /// Armv8, 64 bit only.
    Bcm2712,
}

impl PiModel {
    /// All models.
    pub const ALL: [Self; 17] = [
        Self::Pi1,
        Self::Cm1,
        Self::Pi0,
        Self::Pi0W,
        Self::Pi02,
        Self::Pi2,
        Self::Pi3,
        Self::Pi3Plus,
        Self::Cm3,
        Self::Cm3Plus,
        Self::Pi4,
        Self::Pi400,
        Self::Cm4,
        Self::Cm4S,
        Self::Pi5,
        Self::Pi500,
        Self::Cm5,
    ];

    /// The name of its section in `config.txt`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Pi1 => "pi1",
            Self::Cm1 => "cm1",
            Self::Pi0 => "pi0",
            Self::Pi0W => "pi0w",
            Self::Pi02 => "pi02",
            Self::Pi2 => "pi2",
            Self::Pi3 => "pi3",
            Self::Pi3Plus => "pi3+",
            Self::Cm3 => "cm3",
            Self::Cm3Plus => "cm3+",
            Self::Pi4 => "pi4",
            Self::Pi400 => "pi400",
            Self::Cm4 => "cm4",
            Self::Cm4S => "cm4s",
            Self::Pi5 => "pi5",
            Self::Pi500 => "pi500",
            Self::Cm5 => "cm5",
        }
    }

    /// The name in a sentence.
    #[must_use]
    pub fn title(self) -> &'static str {
        match self {
            Self::Pi1 => "Raspberry Pi 1",
            Self::Cm1 => "Compute Module 1",
            Self::Pi0 => "Raspberry Pi Zero",
            Self::Pi0W => "Raspberry Pi Zero W",
            Self::Pi02 => "Raspberry Pi Zero 2 W",
            Self::Pi2 => "Raspberry Pi 2",
            Self::Pi3 => "Raspberry Pi 3",
            Self::Pi3Plus => "Raspberry Pi 3+",
            Self::Cm3 => "Compute Module 3",
            Self::Cm3Plus => "Compute Module 3+",
            Self::Pi4 => "Raspberry Pi 4",
            Self::Pi400 => "Raspberry Pi 400",
            Self::Cm4 => "Compute Module 4",
            Self::Cm4S => "Compute Module 4S",
            Self::Pi5 => "Raspberry Pi 5",
            Self::Pi500 => "Raspberry Pi 500",
            Self::Cm5 => "Compute Module 5",
        }
    }

    /// Its processor.
    #[must_use]
    pub fn chip(self) -> PiChip {
        match self {
            Self::Pi1 | Self::Cm1 | Self::Pi0 | Self::Pi0W => PiChip::Bcm2835,
            Self::Pi2 => PiChip::Bcm2836,
            Self::Pi02 | Self::Pi3 | Self::Pi3Plus | Self::Cm3 | Self::Cm3Plus => PiChip::Bcm2837,
            Self::Pi4 | Self::Pi400 | Self::Cm4 | Self::Cm4S => PiChip::Bcm2711,
            Self::Pi5 | Self::Pi500 | Self::Cm5 => PiChip::Bcm2712,
        }
    }
}

/// Firmware: the first program that a board's processor runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Firmware {
    /// UEFI firmware, which starts programs of the EFI system partition.
    Uefi,
    /// The BIOS of a PC.
    Bios,
    /// The firmware of the Raspberry Pi, which reads `config.txt`.
    #[serde(rename = "raspberrypi")]
    RaspberryPi,
    /// U-Boot, on the disk or in the board's own memory. It implements UEFI too.
    UBoot,
}

impl Firmware {
    /// The name in configurations.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Uefi => "uefi",
            Self::Bios => "bios",
            Self::RaspberryPi => "raspberrypi",
            Self::UBoot => "u-boot",
        }
    }

    /// The name in a sentence.
    #[must_use]
    pub fn description(self) -> &'static str {
        match self {
            Self::Uefi => "UEFI firmware",
            Self::Bios => "a BIOS",
            Self::RaspberryPi => "the Raspberry Pi's firmware",
            Self::UBoot => "U-Boot",
        }
    }
}

/// Boot loaders that can be integrated; U-Boot by the kind of board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
#[serde(rename_all = "kebab-case")]
pub enum Bootloader {
    /// GRUB, started by UEFI firmware.
    GrubEfi,
    /// U-Boot, as it comes with the board or in front of the first partition.
    UBoot,
    /// U-Boot, started by the firmware of a Raspberry Pi.
    UBootOnRaspberryPi,
    /// The firmware of a Raspberry Pi by itself.
    RpiTryboot,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn serialized_names_are_those_of_configurations() {
        for architecture in Architecture::ALL {
            let json = serde_json::to_value(architecture).unwrap();
            assert_eq!(json, architecture.name());
        }
        for kind in [TableKind::Gpt, TableKind::Mbr] {
            assert_eq!(serde_json::to_value(kind).unwrap(), kind.name());
        }
        for firmware in [
            Firmware::Uefi,
            Firmware::Bios,
            Firmware::RaspberryPi,
            Firmware::UBoot,
        ] {
            assert_eq!(serde_json::to_value(firmware).unwrap(), firmware.name());
        }
    }

    #[test]
    fn elf_headers_name_their_architecture() {
        let head = |machine: u8| {
            let mut head = [0; 20];
            head[..4].copy_from_slice(b"\x7fELF");
            head[18] = machine;
            head
        };
        assert_eq!(Architecture::from_elf(&head(62)), Some(Architecture::Amd64));
        assert_eq!(
            Architecture::from_elf(&head(183)),
            Some(Architecture::Arm64)
        );
        assert_eq!(Architecture::from_elf(&head(3)), Some(Architecture::I386));
        assert_eq!(Architecture::from_elf(&head(40)), Some(Architecture::Armhf));
        assert_eq!(Architecture::from_elf(&head(8)), None);
        assert_eq!(Architecture::from_elf(&head(62)[..19]), None);
        assert_eq!(
            Architecture::from_elf(b"#!/bin/sh\n and more than this"),
            None
        );
    }
}
