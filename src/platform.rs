//! Kinds of machines: processor architectures, firmware, boot loaders and partition tables, one
//! enum each, with the names that configurations, records and messages use.

use serde::Serialize;
use std::fmt;

/// Processor architectures, by Debian's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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

/// Firmware: the first program that a board's processor runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
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
#[serde(rename_all = "kebab-case")]
pub enum Bootloader {
    /// GRUB, started by UEFI firmware.
    GrubEfi,
    /// U-Boot, as it comes with the board or in front of the first partition.
    UBoot,
    /// U-Boot, started by the firmware of a Raspberry Pi.
    UBootOnRaspberryPi,
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
