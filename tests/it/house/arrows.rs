//! The map of rooms, kept: which room may use which, which crates have one door, who reads the
//! configuration and who may print.

use super::source;
use super::uses::{Crate, holds};
use std::collections::{BTreeMap, BTreeSet};

/// Every room and the rooms that it may use, from the ground up. A name covers the file and the
/// directory of that path below `src/`, but for what a longer name covers; so `boot` is what is
/// left of it. Every edge is in use.
const MAP: &[(&str, &str)] = &[
    // Ground: the standard library and codecs.
    ("bytes", ""),
    ("units", ""),
    ("stamp", ""),
    ("report", ""),
    ("side_by_side", ""),
    ("problem", ""),
    ("pattern", ""),
    ("nearest", ""),
    ("text_diff", ""),
    ("platform", ""),
    // Files of the host, which goldsmith reads whole.
    ("input_file", "units"),
    ("stream", "input_file units"),
    ("digest", "stream"),
    // Model. A tree's times are those of `stamp`, which names the type.
    ("tree", "digest stamp stream"),
    // Formats: bytes to values and back.
    ("bundle", ""),
    ("artifact", "bundle bytes digest input_file stream units"),
    // The names of another converter, and the keys that replace them: data alone.
    ("mender_convert", ""),
    (
        "config",
        "input_file mender_convert nearest pattern platform problem stamp units",
    ),
    ("deb", "digest stream tree"),
    // Repositories of packages: the one room that reaches a network, through a trait.
    ("repository", "deb digest input_file problem report stream"),
    ("fs/ext4", "bytes stamp stream tree units"),
    ("fs/fat", "bytes stamp stream tree units"),
    // `image/mod.rs`: what its parts share.
    ("image", "stream"),
    ("image/table", "bytes image platform stamp stream units"),
    ("image/source", "bytes image problem report stream units"),
    ("image/output", "bytes digest stream units"),
    (
        "compress",
        "bytes digest input_file problem report stream units",
    ),
    // Keys and certificates: what a file holds.
    ("keyfile", "stream"),
    ("shell", ""),
    // Another converter's configurations, as one of ours.
    (
        "migrate",
        "bundle config input_file mender_convert nearest problem shell",
    ),
    // Facts and decisions: values to values.
    (
        "golden",
        "bundle bytes fs/ext4 fs/fat image image/source image/table platform problem report shell stamp \
         stream tree units",
    ),
    // Which packages to install, from facts alone.
    ("resolve", "deb nearest problem"),
    (
        "lock",
        "bundle deb digest golden input_file problem report repository resolve tree",
    ),
    (
        "plan",
        "artifact config digest fs/ext4 fs/fat golden image/source image/table input_file \
         keyfile lock pattern platform problem repository resolve stamp stream tree units",
    ),
    // What a system must have, and whether its files do.
    ("rules", "golden nearest problem tree units"),
    // A configuration from facts, as one of ours.
    ("init", "config problem units"),
    // Edits: a plan applied to trees.
    ("boot/state", ""),
    // No loader uses another: what they share is in `boot/common`.
    ("boot/common", "platform problem stream tree"),
    (
        "boot/grub",
        "boot/common digest platform problem stream tree units",
    ),
    (
        "boot/uboot",
        "boot/common golden pattern platform problem stream tree",
    ),
    (
        "boot/tryboot",
        "boot/common golden platform problem stream tree units",
    ),
    ("boot", "boot/grub boot/tryboot boot/uboot problem tree"),
    ("dpkg", "deb digest problem shell stamp stream tree"),
    (
        "edit",
        "boot boot/common bundle digest dpkg golden keyfile nearest pattern plan platform problem shell stamp \
         stream tree units",
    ),
    // Outputs: written, checked and published; verified; flashed.
    (
        "verify",
        "artifact boot/state boot/uboot bundle bytes digest fs/ext4 fs/fat golden image/source \
         image/table keyfile platform side_by_side stream tree units",
    ),
    (
        "doctor",
        "deb edit golden keyfile plan problem stamp stream tree units verify",
    ),
    ("sbom", "deb digest golden stamp stream tree"),
    // Any file that has filesystems, for people who look into it.
    (
        "volume",
        "artifact bytes fs/ext4 fs/fat golden image image/source problem stream tree units",
    ),
    ("compare", "deb stream text_diff tree units volume"),
    (
        "emulate",
        "boot/uboot fs/fat golden platform problem rules stamp stream tree units volume",
    ),
    (
        "convert",
        "artifact bytes compress digest doctor dpkg edit fs/ext4 fs/fat golden image/output image/source image/table input_file keyfile plan platform problem report sbom side_by_side stamp stream tree units verify",
    ),
    (
        "flash",
        "bytes image/output image/source image/table input_file problem report stream units",
    ),
    // Many conversions, each with a configuration of its own.
    (
        "fleet",
        "compress config convert digest golden image/source input_file lock plan problem \
         report repository stream tree units",
    ),
    (
        "cli",
        "artifact bundle compare compress config convert digest doctor edit emulate flash fleet fs/ext4 \
         fs/fat golden image image/output image/source image/table init input_file lock migrate nearest plan \
         platform problem report repository rules stamp stream tree units verify volume",
    ),
];

/// Edges that point upwards, each with the reason why it is meant.
const UPWARDS: &[(&str, &str, &str)] = &[];

/// Uses of one file by another of its room that would close a circle, each with the reason why it
/// is meant.
const CIRCLES: &[(&str, &str, &str)] = &[];

/// The rooms that read the configuration: everything else takes the values of the plan. `migrate`
/// and `init` write one; `fleet` reads one for each of its targets, as `cli` does for one
/// conversion.
const READS_CONFIG: &[&str] = &["config", "init", "migrate", "plan", "fleet", "cli"];

/// Every crate of `Cargo.toml` and the paths below `src/` that may name it: a change of mind about
/// a crate costs these places. A crate of the whole house has the door "".
const DOORS: &[(&str, &[&str])] = &[
    // Errors with a context: the rooms that act for the user. Formats have errors of their own.
    (
        "anyhow",
        &[
            "golden/", "plan/", "edit/", "doctor/", "volume/", "compare/", "emulate/", "convert/",
            "flash/", "fleet/", "cli/",
        ],
    ),
    ("ar", &["deb/archive.rs"]),
    (
        "base64",
        &["artifact/sign.rs", "keyfile/", "repository/http.rs"],
    ),
    ("blake3", &["compress/cache.rs"]),
    ("bzip2", &["image/source/decode.rs"]),
    ("clap", &["cli/"]),
    ("clap_complete", &["cli/install.rs"]),
    ("clap_mangen", &["cli/install.rs"]),
    ("console", &["cli/terminal.rs"]),
    ("crc32c", &["fs/ext4/format.rs"]),
    // A checksum of several formats; a function, which needs no wrapper of ours.
    (
        "crc32fast",
        &[
            "stream/stored.rs",
            "compress/chunker.rs",
            "image/source/xz.rs",
            "image/table/gpt.rs",
            "boot/uboot/environment.rs",
            "convert/judged.rs",
            "convert/write_log.rs",
            "verify/table.rs",
            "verify/relations/raspberry_pi.rs",
        ],
    ),
    // The codecs are met by the writer of streams (`stream/codec.rs`), by the readers of
    // compressed images, whose limits and errors differ, and by the reader of Debian packages.
    (
        "flate2",
        &["stream/codec.rs", "image/source/", "deb/archive.rs"],
    ),
    ("gpt", &["image/table/"]),
    ("hickory_resolver", &["repository/host_names.rs"]),
    ("indicatif", &["cli/progress.rs"]),
    ("libdeflater", &["stream/gzip.rs"]),
    (
        "liblzma",
        &["stream/codec.rs", "image/source/", "deb/archive.rs"],
    ),
    ("mbrman", &["image/table/"]),
    // Searches for words in all files of an image.
    ("memchr", &["keyfile/"]),
    ("mimalloc", &["main.rs"]),
    ("p256", &["artifact/sign.rs"]),
    ("pgp", &["repository/openpgp"]),
    ("resolvo", &["resolve/solver.rs"]),
    ("rsa", &["artifact/sign.rs"]),
    // System calls that the standard library lacks, where files of the host are met.
    (
        "rustix",
        &[
            "input_file.rs",
            "stream/read_at.rs",
            "compress/cache.rs",
            "image/output/",
            "volume/extract.rs",
            "convert/space.rs",
            "emulate/mod.rs",
            "flash/device.rs",
        ],
    ),
    // Derives and values of JSON, for all that is shown or read as JSON.
    ("serde", &[""]),
    (
        "serde_json",
        &[
            "artifact/",
            "config/",
            "plan/",
            "edit/",
            "verify/",
            "sbom/",
            "convert/",
            "fleet/",
            "cli/",
        ],
    ),
    // The type of a running hash; digests as values are those of `digest`.
    (
        "sha2",
        &[
            "digest.rs",
            "stamp.rs",
            "artifact/",
            "image/output/",
            "repository/",
            "plan/",
            "boot/",
            "verify/",
            "sbom/",
            "convert/",
            "flash/",
            "fleet/",
        ],
    ),
    ("sha_crypt", &["doctor/passwords.rs"]),
    ("signal_hook", &["cli/mod.rs"]),
    ("similar", &["text_diff.rs"]),
    ("tar", &["deb/"]),
    // Files without a name, and files that get theirs last.
    (
        "tempfile",
        &[
            "cli/boot.rs",
            "compress/cache.rs",
            "emulate/mod.rs",
            "image/",
            "lock/file.rs",
            "convert/",
        ],
    ),
    ("thiserror", &[""]),
    ("tokio", &["repository/host_names.rs"]),
    ("toml", &["bundle/", "config/", "lock/", "rules/read.rs"]),
    (
        "ureq",
        &[
            "repository/host_names.rs",
            "repository/http.rs",
            "repository/proxy.rs",
        ],
    ),
    ("walkdir", &["tree/host.rs"]),
    ("yescrypt", &["doctor/passwords.rs"]),
    // The structures of ext4, by its reader and writer and by the check that shares none of them.
    ("zerocopy", &["fs/ext4/", "verify/ext4/"]),
    ("zeroize", &["artifact/sign.rs"]),
    ("zeroizing_alloc", &["main.rs"]),
    ("zip", &["image/source/"]),
    (
        "zstd",
        &["stream/codec.rs", "image/source/", "deb/archive.rs"],
    ),
];

/// The files that name everything: the roots of the crate, and a directory that is not a room.
const ROOTS: &[&str] = &["lib.rs", "main.rs", "fs/mod.rs"];

/// The room of the map that the file at `path` (below `src/`) is in.
fn room(path: &str) -> Option<&'static str> {
    let path = path.trim_end_matches(".rs");
    let covers = |name: &&str| {
        path.strip_prefix(*name)
            .is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    };
    let rooms = MAP.iter().map(|(name, _)| *name).filter(covers);
    rooms.max_by_key(|name| name.len())
}

/// The edges between rooms, each with one use that makes it. The `mod.rs` of a room may be used by
/// the rooms inside it: it defines what they share.
fn edges(all: &Crate) -> BTreeMap<(&'static str, &'static str), String> {
    let mut out = BTreeMap::new();
    for file in all
        .code
        .keys()
        .filter(|file| !ROOTS.contains(&file.as_str()))
    {
        for (used, path) in all.used(file) {
            if let (Some(from), Some(to)) = (room(file), room(used))
                && from != to
                && !holds(used, file)
            {
                out.entry((from, to))
                    .or_insert_with(|| format!("{file}: {path}"));
            }
        }
    }
    out
}

/// Whether the code names the crate `name` in a path.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(&format!("{name}::")).any(|(at, _)| {
        let before = &code[..at];
        !before.ends_with(|c: char| source::in_word(c) || matches!(c, ':' | '.'))
    })
}

/// Violations of a file alone: one without a room, a crate behind its door, a print.
fn violations(path: &str, code: &str) -> Vec<String> {
    let mut out = Vec::new();
    let room = room(path);
    if room.is_none() && !ROOTS.contains(&path) {
        out.push(format!("{path}: the map has no room for it"));
    }
    for (name, doors) in DOORS {
        if names_crate(code, name) && !doors.iter().any(|door| path.starts_with(door)) {
            out.push(format!(
                "{path}: the crate {name} has its doors at {}",
                doors.join(", ")
            ));
        }
    }
    let prints = ["print!", "println!", "dbg!", "stdout()", "stderr()"];
    if room != Some("cli") && prints.iter().any(|print| code.contains(print)) {
        out.push(format!("{path}: only cli prints"));
    }
    out
}

/// The files that read the configuration and are in none of the rooms that may.
fn config_readers(all: &Crate) -> Vec<&str> {
    let outside = |file: &&String| room(file).is_some_and(|room| !READS_CONFIG.contains(&room));
    let reads = |file: &&String| {
        all.used(file)
            .keys()
            .any(|used| room(used) == Some("config"))
    };
    let files = all.code.keys().filter(outside).filter(reads);
    files.map(String::as_str).collect()
}

/// All sources below `src/`, by their path from there.
fn sources() -> Crate {
    let files = source::files("src", ".rs").into_iter();
    Crate::new(
        &files
            .map(|(path, text)| (path["src/".len()..].to_owned(), text))
            .collect(),
    )
}

fn assert_none(found: &[String]) {
    assert!(found.is_empty(), "\n{}\n", found.join("\n"));
}

#[test]
fn every_room_uses_only_what_the_map_allows() {
    let mut found = Vec::new();
    for ((from, to), example) in &edges(&sources()) {
        let named = MAP
            .iter()
            .any(|(name, uses)| name == from && uses.contains(to));
        let meant = UPWARDS.iter().any(|(a, b, _)| a == from && b == to);
        if !named && !meant {
            found.push(format!("{from} may not use {to} ({example})"));
        }
    }
    assert_none(&found);
}

#[test]
fn every_edge_of_the_map_is_in_use_and_points_downwards() {
    let all = sources();
    let edges = edges(&all);
    let mut found = Vec::new();
    for (at, (name, uses)) in MAP.iter().enumerate() {
        if !all.code.keys().any(|path| room(path) == Some(*name)) {
            found.push(format!("{name} is in the map and not in src"));
        }
        for used in uses.split_whitespace() {
            if !MAP[..at].iter().any(|(below, _)| *below == used) {
                found.push(format!("{name} uses {used}, which is not below it"));
            }
            if !edges.contains_key(&(*name, used)) {
                found.push(format!(
                    "{name} does not use {used} any more: take the edge out"
                ));
            }
        }
    }
    for (from, to, why) in UPWARDS {
        assert!(!why.is_empty());
        if !edges.keys().any(|edge| edge == &(*from, *to)) {
            found.push(format!(
                "{from} does not use {to} any more: take the exception out"
            ));
        }
    }
    assert_none(&found);
}

#[test]
fn files_of_a_room_use_each_other_in_no_circle() {
    let all = sources();
    let meant: Vec<(&str, &str)> = CIRCLES.iter().map(|(from, to, _)| (*from, *to)).collect();
    let circles = all.circles(&meant);
    let mut found: Vec<String> = circles.iter().map(|circle| all.describe(circle)).collect();
    for (at, (from, to, why)) in CIRCLES.iter().enumerate() {
        assert!(!why.is_empty());
        let mut others = meant.clone();
        others.remove(at);
        if all.circles(&others) == circles {
            found.push(format!(
                "{from} to {to} closes no circle any more: take it out"
            ));
        }
    }
    assert_none(&found);
}

#[test]
fn crates_are_met_at_their_doors_and_only_cli_prints() {
    let all = sources();
    let found: Vec<String> = all
        .code
        .iter()
        .flat_map(|(path, code)| violations(path, code))
        .collect();
    assert_none(&found);
}

#[test]
fn every_crate_has_doors_and_all_are_in_use() {
    let all = sources();
    let manifest = std::fs::read_to_string(source::top().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let dependencies = manifest["dependencies"].as_table().unwrap();
    let crates: BTreeSet<String> = dependencies
        .keys()
        .map(|name| name.replace('-', "_"))
        .collect();
    let doors: BTreeSet<String> = DOORS.iter().map(|(name, _)| (*name).to_owned()).collect();
    assert_eq!(crates, doors, "DOORS has each dependency of Cargo.toml");
    let mut found = Vec::new();
    for (name, doors) in DOORS {
        for door in *doors {
            let uses = |(path, code): (&String, &String)| {
                path.starts_with(door) && names_crate(code, name)
            };
            if !all.code.iter().any(uses) {
                found.push(format!(
                    "{name} is not met at {door} any more: take the door out"
                ));
            }
        }
    }
    assert_none(&found);
}

#[test]
fn only_plan_fleet_and_cli_read_the_configuration() {
    assert_eq!(config_readers(&sources()), [""; 0]);
}

/// A crate of these files.
fn example(files: &[(&str, &str)]) -> Crate {
    let sources = files
        .iter()
        .map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
    Crate::new(&sources.collect())
}

#[test]
fn the_checker_sees_edges_between_rooms() {
    let all = example(&[
        ("lib.rs", "pub mod tree;"),
        (
            "tree/mod.rs",
            "//! [`crate::cli`]\nuse crate::stream::Content;\n",
        ),
        (
            "tree/edit.rs",
            "use super::Tree;\nfn f() { crate::plan::facts(); \"crate::cli\" }\n",
        ),
        (
            "stream.rs",
            "#[cfg(test)]\nmod tests {\n    use crate::cli;\n}\n",
        ),
        ("plan.rs", "use crate::{tree::edit, fs::fat};"),
        ("fs/mod.rs", "pub mod fat;"),
        ("fs/fat.rs", "pub(in crate::plan) fn f() {}"),
        ("cli.rs", "use crate::config::Config;"),
        ("config.rs", ""),
        ("boot/mod.rs", "pub mod grub;"),
        ("boot/grub.rs", "use super::Bootloader; use crate::config;"),
    ]);
    let found: Vec<(&str, &str)> = edges(&all).into_keys().collect();
    let expected = [
        ("boot/grub", "config"),
        ("cli", "config"),
        ("plan", "fs/fat"),
        ("plan", "tree"),
        ("tree", "plan"),
        ("tree", "stream"),
    ];
    assert_eq!(found, expected);
    assert_eq!(config_readers(&all), ["boot/grub.rs"]);
}

#[test]
fn the_checker_sees_crates_and_prints() {
    let one = |path, text| violations(path, &source::code(text)).join("; ");
    assert_eq!(
        one("stamp.rs", "fn f() -> anyhow::Result<()> {}\n"),
        "stamp.rs: the crate anyhow has its doors at golden/, plan/, edit/, doctor/, volume/, compare/, emulate/, convert/, flash/, fleet/, cli/"
    );
    assert_eq!(
        one("deb/mod.rs", "fn f() { crate::stream::zstd::x() }\n"),
        ""
    );
    assert_eq!(
        one("plan/mod.rs", "fn f() { eprintln!(\"\") }\n"),
        "plan/mod.rs: only cli prints"
    );
    assert_eq!(one("cli/mod.rs", "fn f() { eprintln!(\"\") }\n"), "");
    assert_eq!(
        one("new/mod.rs", ""),
        "new/mod.rs: the map has no room for it"
    );
}
