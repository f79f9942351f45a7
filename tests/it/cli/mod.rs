//! The command line, its configuration and the pages that are generated from both.

use crate::support::goldsmith;
use std::path::Path;
use std::process::{Command, Output, Stdio};

pub(crate) mod bare_root;
mod bash;
mod boot;
mod boot_check;
mod commands;
pub(crate) mod config;
mod config_messages;
mod cookbook;
mod documentation;
mod edits;
mod exit_codes;
mod files;
mod init;
mod inspect;
mod install;
mod json;
mod log;
mod messages;
mod migrate;
mod mistakes;
mod pipelines;
mod readers;
mod slips;
mod terminal;

/// Runs goldsmith in `dir`; `line` is split at blanks.
fn run(dir: &Path, line: &str) -> Output {
    let mut command = Command::new(goldsmith());
    command
        .args(line.split_whitespace())
        .current_dir(dir)
        .stdin(Stdio::null());
    command
        .env_remove("SOURCE_DATE_EPOCH")
        .output()
        .expect("starting goldsmith")
}

fn stderr(output: &Output) -> String {
    String::from_utf8(output.stderr.clone()).expect("text")
}

fn stdout(output: &Output) -> String {
    String::from_utf8(output.stdout.clone()).expect("text")
}

/// What all conversions here begin with.
const PLAN: &str = "plan -q -c qemux86-64 -s client.required=false -n r1 -s storage.alignment=1MiB";
