//! `goldsmith boards`: the built-in boards, as a table and for the documentation.

use super::{print, terminal};
use crate::config::{self, Board, Config, Proof};
use clap::Args;
use serde::Serialize;
use std::fmt::Write;
use std::process::ExitCode;

/// List the built-in boards
///
/// PROOF shows how well converted images are known to work on a board: booted by the project's
/// tests (on the board or an emulated one), modelled (the same boot scripts are tested elsewhere),
/// or untested.
#[derive(Args, Debug)]
pub(super) struct BoardsArgs {
    /// Print a JSON array
    #[arg(long)]
    json: bool,
}

/// One board in the output of `--json`.
#[derive(Debug, Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct Row {
    /// The name, for `extends` and `-c`.
    name: &'static str,
    /// What it is called by its maker.
    title: String,
    /// The architectures of its systems, by Debian's names.
    architectures: Vec<&'static str>,
    /// What starts its boot loader.
    firmware: Option<&'static str>,
    /// The boot loader that chooses the slot.
    boot_loader: &'static str,
    /// How far it was tried.
    proof: &'static str,
    /// Whether it is recognized in a golden image.
    automatic: bool,
    /// The device types of its Artifacts; identities derive from the first.
    device_types: Vec<String>,
}

/// Runs the command.
pub(super) fn run(args: &BoardsArgs) -> anyhow::Result<ExitCode> {
    let rows = rows()?;
    if args.json {
        print(&format!("{}\n", serde_json::to_string_pretty(&rows)?))?;
    } else {
        print(&terminal::listed(&text(&rows)))?;
    }
    Ok(ExitCode::SUCCESS)
}

fn rows() -> anyhow::Result<Vec<Row>> {
    Ok(config::built_in()?
        .into_iter()
        .map(|(name, config)| row(name, config))
        .collect())
}

fn row(name: &'static str, config: Config) -> Row {
    let Board {
        device_type,
        title,
        architecture,
        firmware,
        proof,
        automatic,
        ..
    } = config.board;
    Row {
        name,
        title: title.unwrap_or_default(),
        architectures: architecture
            .into_iter()
            .map(crate::platform::Architecture::name)
            .collect(),
        firmware: firmware.map(crate::platform::Firmware::name),
        boot_loader: config.boot.bootloader.word(),
        proof: proof.word(),
        automatic,
        device_types: device_type.unwrap_or_default(),
    }
}

impl Row {
    fn architectures(&self) -> String {
        if self.architectures.is_empty() {
            "any".to_owned()
        } else {
            self.architectures.join(", ")
        }
    }

    /// The firmware and boot loader, in the order in which they run.
    fn chain(&self) -> String {
        match self.firmware {
            Some(firmware) if firmware != self.boot_loader => {
                format!("{firmware} > {}", self.boot_loader)
            }
            _ => self.boot_loader.to_owned(),
        }
    }
}

fn text(rows: &[Row]) -> String {
    let mut out = format!(
        "{:<22} {:<7} {:<22} {:<9} {}\n",
        "BOARD", "ARCH", "BOOT CHAIN", "PROOF", "DESCRIPTION"
    );
    for row in rows {
        let _ = writeln!(
            out,
            "{:<22} {:<7} {:<22} {:<9} {}",
            row.name,
            row.architectures(),
            row.chain(),
            row.proof,
            row.title
        );
    }
    out
}

/// The table of all boards in Markdown, for the documentation.
///
/// # Errors
/// Problems in a built-in board. The tests read every board, so there are none.
pub fn table() -> anyhow::Result<String> {
    let mut out = String::from(
        "| board | description | architecture | boot chain | proof |\n| --- | --- | --- | --- | --- |\n",
    );
    for row in rows()? {
        let _ = writeln!(
            out,
            "| `{}` | {}{} | {} | {} | {} |",
            row.name,
            row.title,
            if row.automatic {
                " (selected for every matching image if no board is named)"
            } else {
                ""
            },
            row.architectures(),
            row.chain().replace('>', "\u{2192}"),
            row.proof
        );
    }
    Ok(out)
}

/// The levels of proof and what each means, in Markdown.
#[must_use]
pub fn proofs() -> String {
    Proof::meanings()
        .map(|(word, meaning)| format!("- **{word}**: {meaning}\n"))
        .collect()
}
