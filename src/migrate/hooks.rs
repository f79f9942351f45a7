//! Functions of configurations: kept as comments that say what takes their place.

use super::convert::Conversion;
use super::read::{Function, Place, hook_functions};
use crate::mender_convert::{BOARD_FILES, HOOKS, Hook, SPECIAL_FUNCTIONS};
use std::collections::BTreeSet;

/// Words in a function, and what to do about them.
const ADVICE: &[(&[&str], &str)] = &[
    (
        &["work/boot"],
        "files below work/boot: a directory of [[overlay]] with target = \"boot\"",
    ),
    (
        &["work/rootfs"],
        "new or whole files below work/rootfs: a directory of rootfs.overlays",
    ),
    (
        &[
            "sed -i", "rm -", "rm work", "unlink ", ">> work/", "tee -a", "mv work", "patch ",
        ],
        "changed, moved or removed files of the golden image: change the golden image itself, or put the \
         whole new file into an overlay",
    ),
    (
        &["chroot", "apt ", "apt-get ", "dpkg "],
        "programs of the image: nothing of it is run; install packages by client.packages, do the rest in the \
         golden image",
    ),
    (
        &[
            "systemctl enable",
            "systemctl disable",
            "systemctl mask",
            ".wants",
        ],
        "services: the symlink that systemctl makes, in an overlay",
    ),
    (
        &["chown ", "chmod "],
        "owners and modes of overlay files: [[rootfs.owner]]",
    ),
    (
        &["wget ", "curl "],
        "downloads: a program of [hooks] may download; compare checksums there",
    ),
    (
        &["img_path", "of=deploy", "of=${img"],
        "data outside the partitions: [[raw]] with file and offset",
    ),
    (
        &["cmdline.txt", "boot.cmd", "boot.scr", "grub.cfg"],
        "the boot script is goldsmith's: kernel arguments are root.kernel-args",
    ),
];

/// Words in `mender_create_artifact`, and the keys of these options.
const ARTIFACT_OPTIONS: &[(&[&str], &str)] = &[
    (
        &["--key", " -k "],
        "--key: artifact.key = \"PRIVATE KEY FILE\"",
    ),
    (
        &["--script", " -s "],
        "--script: artifact.scripts = [\"STATE SCRIPT OR DIRECTORY\"]",
    ),
    (&["--provides", " -p "], "--provides: artifact.provides"),
    (&["--depends ", " -d "], "--depends: artifact.depends"),
    (&["--clears-provides"], "--clears-provides: artifact.clears"),
    (
        &["--provides-group", " -g "],
        "--provides-group: artifact.group",
    ),
    (
        &["--depends-groups", " -G "],
        "--depends-groups: artifact.depends-groups",
    ),
    (
        &["--artifact-name-depends", " -N "],
        "--artifact-name-depends: artifact.depends-names",
    ),
    (
        &["--software-name"],
        "--software-name: artifact.software-name",
    ),
    (
        &["--software-filesystem"],
        "--software-filesystem: artifact.software-filesystem",
    ),
    (
        &["--software-version"],
        "--software-version: artifact.software-version",
    ),
    (
        &["--no-default-software-version"],
        "--no-default-software-version: artifact.default-software-version = false",
    ),
    (
        &["--no-default-clears-provides"],
        "--no-default-clears-provides: artifact.default-clears = false",
    ),
    (
        &["--compression"],
        "--compression: artifact.compression, and artifact.level",
    ),
];

/// All functions.
pub(super) fn all(conversion: &mut Conversion<'_>) {
    let reading = conversion.reading;
    let mut done = BTreeSet::new();
    for hook in HOOKS {
        for (name, place) in hook_functions(reading, hook.array) {
            done.insert(name.clone());
            one_hook(conversion, hook, &name, &place);
        }
    }
    for special in SPECIAL_FUNCTIONS {
        done.insert(special.name.to_owned());
        let own = reading
            .functions
            .get(special.name)
            .filter(|function| !is_replaced(special.name, function));
        if let Some(function) = own {
            let mut lines = advice(&function.text, ARTIFACT_OPTIONS);
            lines.extend(indented(&function.text));
            let title = format!(
                "The function {} ({}): {}",
                special.name,
                function.place,
                plain(special.note)
            );
            conversion.draft.remark(title, lines);
            conversion.warnings.push(format!(
                "{}: the function {} must be replaced by hand: see its comment",
                function.place, special.name
            ));
        }
    }
    let others = reading
        .functions
        .iter()
        .filter(|(name, function)| !done.contains(*name) && !is_replaced(name, function));
    let lines: Vec<String> = others
        .flat_map(|(_, function)| {
            let place = [format!("{}:", function.place)];
            place.into_iter().chain(indented(&function.text))
        })
        .collect();
    if !lines.is_empty() {
        conversion
            .draft
            .remark("Functions that others call:", lines);
    }
}

/// A function that a hook calls.
fn one_hook(conversion: &mut Conversion<'_>, hook: &Hook, name: &str, place: &Place) {
    let function = conversion.reading.functions.get(name);
    let Some(function) = function else {
        // A board of ours that takes its place, whose file is missing.
        if !BOARD_FILES
            .iter()
            .any(|file| file.functions.contains(&name))
        {
            let what = format!(
                "{place}: {} calls {name}, which no file defines",
                hook.array
            );
            conversion.draft.remark(format!("{what}."), Vec::new());
            conversion.warnings.push(what);
        }
        return;
    };
    if is_replaced(name, function) {
        return;
    }
    let title = match hook.stage {
        Some(stage) => {
            let key = stage.trim_start_matches("hooks.");
            format!(
                "The hook {name} ({}), of {}: {}. Where an overlay cannot do it, make it a program: [hooks] \
                 {key} = [\"hooks/{name}\"]. It finds no mounted image: it stages files below rootfs/, boot/ and data/ \
                 of its directory, see docs/hooks.md.",
                function.place,
                hook.array,
                plain(hook.note)
            )
        }
        None => format!(
            "The hook {name} ({}), of {}: {}.",
            function.place,
            hook.array,
            plain(hook.note)
        ),
    };
    let mut lines = advice(&function.text, ADVICE);
    lines.extend(indented(&function.text));
    conversion.draft.remark(title, lines);
    let instead = hook.instead().replace('`', "");
    conversion.warnings.push(format!(
        "{}: the hook {name} must be replaced by hand, by {instead}: see its comment",
        function.place
    ));
}

/// Whether a function is one of mender-convert that a board of ours, or goldsmith itself, replaces.
fn is_replaced(name: &str, function: &Function) -> bool {
    function.place.board.is_some()
        && BOARD_FILES
            .iter()
            .any(|file| file.functions.contains(&name))
}

/// What to do about the words of a function.
fn advice(text: &str, table: &[(&[&str], &str)]) -> Vec<String> {
    let matching = table
        .iter()
        .filter(|(words, _)| words.iter().any(|word| text.contains(word)));
    matching.map(|(_, advice)| format!("- {advice}")).collect()
}

fn indented(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(|line| format!("  {line}"))
}

/// Markdown as plain text.
fn plain(text: &str) -> String {
    text.replace('`', "")
}
