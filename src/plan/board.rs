//! The board: the one that the configuration names, or the one that the image selects; and whether
//! the image fits it.

use crate::config::{self, Config};
use crate::golden::origin::Start;
use crate::plan::conditions::{ImageFacts, is_architecture, is_release};
use crate::platform::{Architecture, Firmware};
use crate::problem::{Problem, Problems};

/// The configuration on top of the board that the image selects, and a note about the choice. A
/// configuration with a device type is returned unchanged.
///
/// # Errors
/// A [`Problem`] with the facts about the image and the nearest boards, if they select no board or
/// more than one.
pub(crate) fn with_board(
    config: &Config,
    image: ImageFacts<'_>,
) -> Result<(Config, Option<String>), Problem> {
    if config.board.device_type.is_some() {
        return Ok((config.clone(), None));
    }
    let boards = built_in()?;
    let fitting: Vec<&(&str, Config)> = boards
        .iter()
        .filter(|(_, board)| misfits(board, image).is_empty())
        .collect();
    let names = |wanted: &dyn Fn(&Config) -> bool| -> Vec<&str> {
        let found = fitting.iter().filter(|(_, board)| wanted(board));
        found.map(|(name, _)| *name).collect()
    };
    let model = image.origin.model.as_ref();
    let by_model = names(&|board| model.is_some_and(|model| board.board.models.contains(model)));
    let automatic = names(&|board| board.board.automatic && is_shown(board, image));
    let [name] = (if by_model.is_empty() {
        &automatic
    } else {
        &by_model
    })
    .as_slice() else {
        return Err(undecided(image, &names(&|_| true), &boards));
    };
    let config =
        config::beneath(name, config).map_err(|config::ConfigError(problems)| first(problems))?;
    let device_type = config
        .board
        .device_type
        .as_ref()
        .and_then(|types| types.first())
        .cloned()
        .unwrap_or_default();
    let note = format!(
        "using the board {name}, since the image is {}; its device type is {device_type}; set board.device-type for a fleet of your own",
        describe(image)
    );
    Ok((config, Some(note)))
}

/// Whether the image shows that the firmware of `board` starts it, by a boot loader that goldsmith
/// knows. Without a sign no board is selected automatically.
fn is_shown(board: &Config, image: ImageFacts<'_>) -> bool {
    let mut starts = image.origin.starts.iter();
    starts.any(|start| start.known && board.board.firmware == Some(start.firmware))
}

/// A note about other firmware that starts the golden image, but not the converted one.
pub(crate) fn lost_start(config: &Config, image: ImageFacts<'_>) -> Option<String> {
    let wanted = config.board.firmware.unwrap_or(Firmware::Uefi);
    let bios = image
        .origin
        .starts
        .iter()
        .find(|start| start.firmware == Firmware::Bios && wanted != Firmware::Bios)?;
    Some(format!(
        "a BIOS can start the golden image ({}), but not the converted one: devices need {}",
        bios.evidence,
        wanted.description()
    ))
}

fn built_in() -> Result<Vec<(&'static str, Config)>, Problem> {
    config::built_in().map_err(|config::ConfigError(problems)| first(problems))
}

/// The first of several problems.
pub(super) fn first(problems: Problems) -> Problem {
    problems
        .0
        .into_iter()
        .next()
        .unwrap_or_else(|| Problem::new("the configuration cannot be read"))
}

/// The problem of an image that selects no board or several: the facts, and the nearest boards.
fn undecided(
    image: ImageFacts<'_>,
    fitting: &[&str],
    boards: &[(&'static str, Config)],
) -> Problem {
    let problem = Problem::new(format!(
        "no device type is set, and the image selects no board: it is {}",
        describe(image)
    ));
    if is_bios_only(image) {
        return problem.hint(BIOS);
    }
    if let Some(start) = foreign_program(image) {
        return problem.hint(format!(
            "{} is not GRUB: install grub-efi-{}-signed and shim-signed in the golden image",
            start.evidence,
            image.facts.architecture.map_or("ARCH", Architecture::name)
        ));
    }
    if !fitting.is_empty() {
        return problem.hint(format!(
            "select a board with --config, or set board.device-type; matching boards: {}",
            fitting.join(", ")
        ));
    }
    let similar = boards
        .iter()
        .filter(|(_, b)| is_architecture(image.facts.architecture, &b.board.architecture));
    let reasons: Vec<String> = similar
        .filter_map(|(name, board)| {
            let misfits = misfits(board, image);
            let (_, why) = misfits.first()?;
            Some(format!("{name} ({why})"))
        })
        .take(3)
        .collect();
    let own = "write a configuration of your own, with board.device-type and boot.bootloader";
    problem.hint(if reasons.is_empty() {
        format!("{own}; no built-in board is similar")
    } else {
        format!(
            "{own}; built-in boards do not match: {}",
            reasons.join(", ")
        )
    })
}

/// The hint for images that only a BIOS can start.
const BIOS: &str = "converted images are started by UEFI firmware, not by a BIOS; if the device has UEFI \
                    too, install grub-efi-amd64-signed and shim-signed (i386: grub-efi-ia32-signed) in \
                    the golden image";

/// The UEFI program of an image that nothing else starts, if it is not a boot loader that goldsmith
/// knows.
fn foreign_program<'o>(image: ImageFacts<'o>) -> Option<&'o Start> {
    match image.origin.starts.as_slice() {
        [only] if only.firmware == Firmware::Uefi && !only.known => Some(only),
        _ => None,
    }
}

/// Whether only a BIOS can start the image.
fn is_bios_only(image: ImageFacts<'_>) -> bool {
    image.origin.firmware() == [Firmware::Bios]
}

/// A description of the image for messages.
fn describe(image: ImageFacts<'_>) -> String {
    let ImageFacts { facts, origin } = image;
    let os = if facts.os.pretty.is_empty() {
        "an unknown system"
    } else {
        &facts.os.pretty
    };
    let architecture = facts
        .architecture
        .map_or("an unknown architecture", Architecture::name);
    let maker = origin
        .maker
        .as_ref()
        .map(|maker| format!(" of {maker}"))
        .unwrap_or_default();
    let model = origin
        .model
        .as_ref()
        .map(|model| format!(" ({model})"))
        .unwrap_or_default();
    let starts: Vec<String> = origin
        .starts
        .iter()
        .map(|start| format!("{} ({})", start.firmware.description(), start.evidence))
        .collect();
    let starts = if starts.is_empty() {
        "unknown firmware".to_owned()
    } else {
        starts.join(" or ")
    };
    format!("{os}{maker}{model} for {architecture}, started by {starts}")
}

/// Whether the firmware `wanted` starts what `found` starts: U-Boot implements UEFI too.
fn starts(wanted: Firmware, found: Firmware) -> bool {
    found == wanted || (wanted == Firmware::UBoot && found == Firmware::Uefi)
}

/// The properties of the image that contradict the board of `config`, each with its key.
fn misfits(config: &Config, image: ImageFacts<'_>) -> Vec<(&'static str, String)> {
    let ImageFacts { facts, origin } = image;
    let board = &config.board;
    let mut out = Vec::new();
    if facts.architecture.is_some() && !is_architecture(facts.architecture, &board.architecture) {
        let wanted: Vec<&str> = board.architecture.iter().map(|one| one.name()).collect();
        let found = facts.architecture.map_or("", Architecture::name);
        out.push((
            "board.architecture",
            format!(
                "the board is for {}, the image for {found}",
                wanted.join(" or ")
            ),
        ));
    }
    if !board.release.is_empty() && !board.release.iter().any(|name| is_release(&facts.os, name)) {
        let found = format!(
            "{} {} ({})",
            facts.os.id, facts.os.version_id, facts.os.codename
        );
        out.push((
            "board.release",
            format!(
                "the board is for {}, the image is {found}",
                board.release.join(" or ")
            ),
        ));
    }
    if let Some(model) = &origin.model
        && !board.models.is_empty()
        && !board.models.contains(model)
    {
        out.push((
            "board.models",
            format!(
                "the board is {}, the image is made for {model}",
                board.models.join(" or ")
            ),
        ));
    }
    if let Some(wanted) = board.firmware
        && !origin.starts.is_empty()
        && !origin.firmware().iter().any(|found| starts(wanted, *found))
    {
        let found: Vec<String> = origin
            .starts
            .iter()
            .map(|start| format!("{} ({})", start.firmware.description(), start.evidence))
            .collect();
        out.push((
            "board.firmware",
            format!(
                "the board has {}, the image is started by {}",
                wanted.description(),
                found.join(" or ")
            ),
        ));
    }
    out
}

/// Checks that the image fits the board of `config`, and does not use another A/B update scheme.
///
/// # Errors
/// Every contradiction.
pub(crate) fn check(config: &Config, image: ImageFacts<'_>) -> Result<(), Problems> {
    let mut problems = Problems::default();
    if let Some(scheme) = &image.origin.own_scheme {
        let problem = Problem::new(format!(
            "the image already uses another A/B update scheme: {scheme}"
        ));
        problems.push(if image.origin.has_boot_partitions() {
            problem.hint(
                "convert the image that this one was made of; or keep one system of it: remove \
                 tryboot_a_b and the section [tryboot] from autoboot.txt, and set boot.partition \
                 and root.partition to those that boot_partition starts; with boot.tryboot = \
                 \"partitions\" the result has two boot partitions again",
            )
        } else {
            problem.hint("convert an image without it: each scheme would undo what the other does")
        });
    }
    let misfits = misfits(config, image);
    let near = if misfits.is_empty() {
        Vec::new()
    } else {
        nearest(image)?
    };
    for (key, what) in misfits {
        let location = config
            .location(key)
            .map_or_else(|| key.to_owned(), |location| location.with_key(key));
        let problem = Problem::new(format!("{location}: {what}"));
        problems.push(match near.as_slice() {
            [] if is_bios_only(image) => problem.hint(BIOS),
            [] => problem.hint("no built-in board fits the image"),
            names => problem.hint(format!("boards that fit the image: {}", names.join(", "))),
        });
    }
    problems.check()
}

/// The built-in boards that the image fits.
fn nearest(image: ImageFacts<'_>) -> Result<Vec<&'static str>, Problem> {
    let boards = built_in()?;
    Ok(boards
        .into_iter()
        .filter(|(_, board)| misfits(board, image).is_empty())
        .map(|(name, _)| name)
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::golden::origin::Origin;
    use crate::plan::conditions::tests::{facts, origin};

    #[test]
    fn facts_choose_a_board() {
        let config =
            Config::parse("[artifact]\nname = \"r1\"\n[boot]\nmount = \"/efi\"\n").unwrap();
        for (architecture, expected) in [
            (Architecture::Amd64, "generic-x86-64"),
            (Architecture::Arm64, "generic-arm64"),
        ] {
            let (facts, origin) = (
                facts(architecture),
                origin(&[Firmware::Uefi, Firmware::Bios]),
            );
            let (chosen, note) = with_board(
                &config,
                ImageFacts {
                    facts: &facts,
                    origin: &origin,
                },
            )
            .unwrap();
            assert_eq!(
                chosen.board.device_type.as_deref(),
                Some(&[expected.to_owned()][..])
            );
            assert_eq!(chosen.built_upon(), [expected]);
            assert_eq!(
                (
                    chosen.boot.mount.as_deref(),
                    chosen.artifact.name.as_deref()
                ),
                (Some("/efi"), Some("r1"))
            );
            assert!(
                note.unwrap()
                    .starts_with(&format!("using the board {expected}, since"))
            );
        }
        // A configuration with a device type is not changed.
        let named = Config::parse("[board]\ndevice-type = \"mine\"\n").unwrap();
        let (facts, origin) = (facts(Architecture::Arm64), origin(&[Firmware::Uefi]));
        assert_eq!(
            with_board(
                &named,
                ImageFacts {
                    facts: &facts,
                    origin: &origin
                }
            )
            .unwrap(),
            (named, None)
        );
    }

    #[test]
    fn facts_that_choose_none_are_told() {
        let config = Config::parse("").unwrap();
        let facts = facts(Architecture::Amd64);
        let none = with_board(
            &config,
            ImageFacts {
                facts: &facts,
                origin: &origin(&[Firmware::Bios]),
            },
        )
        .unwrap_err();
        assert_eq!(
            none.to_string(),
            "no device type is set, and the image selects no board: it is Debian 12 for amd64, started by a BIOS (a file)\nhint: converted images are \
             started by UEFI firmware, not by a BIOS; if the device has UEFI too, install grub-efi-amd64-signed and shim-signed (i386: \
             grub-efi-ia32-signed) in the golden image"
        );
    }

    #[test]
    fn contradictions_are_refused_with_their_place() {
        let facts = facts(Architecture::Arm64);
        let origin = origin(&[Firmware::UBoot]);
        let config =
            config::load(&["qemux86-64".into()], &["board.release=trixie".into()]).unwrap();
        let text = check(
            &config,
            ImageFacts {
                facts: &facts,
                origin: &origin,
            },
        )
        .unwrap_err()
        .to_string();
        for line in [
            "board generic-x86-64:6:16: board.architecture: the board is for amd64, the image for arm64",
            "--set board.release: the board is for trixie, the image is debian 12 (bookworm)",
            "board generic-x86-64:7:12: board.firmware: the board has UEFI firmware, the image is started by U-Boot (a file)",
        ] {
            assert!(text.contains(line), "{line}\n{text}");
        }
        // U-Boot starts what UEFI firmware starts, not the other way round.
        let config = config::load(&["generic-u-boot-arm64".into()], &[]).unwrap();
        assert_eq!(
            check(
                &config,
                ImageFacts {
                    facts: &facts,
                    origin: &self::origin(&[Firmware::Uefi])
                }
            ),
            Ok(())
        );
        let text = check(
            &config,
            ImageFacts {
                facts: &facts,
                origin: &self::origin(&[Firmware::Bios]),
            },
        )
        .unwrap_err()
        .to_string();
        assert!(
            text.contains("the board has U-Boot, the image is started by a BIOS (a file)"),
            "{text}"
        );
        let own = Origin {
            own_scheme: Some("another".into()),
            ..Origin::default()
        };
        let config = Config::parse("").unwrap();
        let text = check(
            &config,
            ImageFacts {
                facts: &facts,
                origin: &own,
            },
        )
        .unwrap_err()
        .to_string();
        assert!(
            text.starts_with("the image already uses another A/B update scheme: another\nhint: "),
            "{text}"
        );
        assert_eq!(
            check(
                &config,
                ImageFacts {
                    facts: &facts,
                    origin: &Origin::default()
                }
            ),
            Ok(())
        );
    }
}
