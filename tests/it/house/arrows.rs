//! The module map, kept: which module may use which, which crates have one door, and who may print.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// Every module and the modules that it may use, from the ground up. `fs/ext4` and `fs/fat` count
/// as modules of their own: formats do not know their siblings.
const MAP: &[(&str, &[&str])] = &[
    // Ground.
    ("bytes", &[]),
    ("units", &[]),
    ("stamp", &[]),
    ("report", &[]),
    ("problem", &[]),
    ("pattern", &[]),
    ("platform", &[]),
    ("stream", &["units"]),
    ("digest", &["stream"]),
    // Model. A tree's times are those of `stamp`, which names the type.
    ("tree", &["digest", "stamp", "stream", "units"]),
    // Formats: bytes to values and back.
    (
        "config",
        &["pattern", "platform", "problem", "stamp", "units"],
    ),
    (
        "image",
        &[
            "bytes", "digest", "platform", "problem", "report", "stamp", "stream", "units",
        ],
    ),
    ("fs/ext4", &["bytes", "stamp", "stream", "tree", "units"]),
    ("fs/fat", &["bytes", "stamp", "stream", "tree", "units"]),
    ("deb", &["bytes", "digest", "stream", "tree", "units"]),
    ("artifact", &["bytes", "digest", "stream", "units"]),
    ("shell", &["*"]),
    ("compress", &["*"]),
    // Facts and decisions.
    ("golden", &["*"]),
    ("plan", &["*"]),
    // Edits of trees.
    ("boot", &["*"]),
    ("dpkg", &["*"]),
    ("edit", &["*"]),
    ("verify", &["*"]),
    ("convert", &["*"]),
    ("flash", &["*"]),
    ("cli", &["*"]),
];

/// Crates that are met behind one door: a change of mind costs that place.
const DOORS: &[(&str, &[&str])] = &[
    (
        "anyhow",
        &[
            "golden/",
            "plan/",
            "edit/",
            "convert/",
            "flash/",
            "compress/",
            "image/output/",
            "cli/",
        ],
    ),
    ("base64", &["artifact/sign.rs"]),
    ("clap", &["cli/"]),
    ("crc32c", &["fs/ext4/format.rs"]),
    ("gpt", &["image/table/"]),
    ("indicatif", &["cli/progress.rs"]),
    ("mbrman", &["image/table/"]),
    ("p256", &["artifact/sign.rs"]),
    ("rsa", &["artifact/sign.rs"]),
    ("signal_hook", &["cli/mod.rs"]),
    ("tar", &["deb/"]),
    ("toml", &["config/"]),
    ("walkdir", &["tree/host.rs"]),
    ("zip", &["image/source/"]),
];

/// The module that the file at `path` (below `src/`) belongs to.
fn module(path: &str) -> &str {
    let end = if path.starts_with("fs/") {
        path.match_indices('/')
            .nth(1)
            .map_or(path.len(), |(at, _)| at)
    } else {
        path.find('/').unwrap_or(path.len())
    };
    path[..end].trim_end_matches(".rs")
}

/// The source without comments, and without the tests at its end: these may build what they need.
fn code(text: &str) -> String {
    let body = text
        .split("\n#[cfg(test)]\nmod tests {")
        .next()
        .unwrap_or(text);
    let lines = body
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines.collect::<Vec<_>>().join("\n")
}

/// The names behind each `crate::` of the code: `crate::a::b`, and each of `crate::{a, b::c}`.
fn used(code: &str) -> Vec<String> {
    let mut out = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        // `$crate::` and `goldsmith_crate::` are something else.
        if code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_' || c == '$') {
            continue;
        }
        let rest = &code[at + "crate::".len()..];
        match rest.strip_prefix('{') {
            Some(group) => out.extend(group_members(group)),
            None => out.push(path_head(rest)),
        }
    }
    out
}

/// The paths of a group up to its closing brace, each to its second part.
fn group_members(group: &str) -> Vec<String> {
    let (mut depth, mut start, mut out) = (0_u32, 0, Vec::new());
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth > 0 => depth -= 1,
            ',' | '}' if depth == 0 => {
                out.push(path_head(group[start..at].trim()));
                start = at + 1;
                if c == '}' {
                    break;
                }
            }
            _ => {}
        }
    }
    out.retain(|name| !name.is_empty());
    out
}

/// The module that a path begins with: its first part, of `fs` the first two.
fn path_head(path: &str) -> String {
    let mut parts = path.split("::").map(|part| {
        part.chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect::<String>()
    });
    let first = parts.next().unwrap_or_default();
    match (first.as_str(), parts.next()) {
        ("fs", Some(second)) if !second.is_empty() => format!("fs/{second}"),
        _ => first,
    }
}

/// Whether the code names the crate `name` in a path.
fn names_crate(code: &str, name: &str) -> bool {
    code.match_indices(&format!("{name}::")).any(|(at, _)| {
        let before = &code[..at];
        !before.ends_with(|c: char| c.is_alphanumeric() || matches!(c, '_' | ':' | '.'))
    })
}

/// What the file at `path` does that the map forbids.
fn violations(path: &str, text: &str) -> Vec<String> {
    let (module, code) = (module(path), code(text));
    let mut out = Vec::new();
    match MAP.iter().find(|(name, _)| *name == module) {
        None => out.push(format!("{path}: the map has no module `{module}`")),
        Some((_, allowed)) => {
            for name in used(&code) {
                let fine = name == module || allowed.contains(&name.as_str());
                let all = allowed.contains(&"*") && (name != "cli" || module == "cli");
                if !fine && !all {
                    out.push(format!("{path}: {module} may not use {name}"));
                }
            }
        }
    }
    for (name, doors) in DOORS {
        if names_crate(&code, name) && !doors.iter().any(|door| path.starts_with(door)) {
            out.push(format!(
                "{path}: the crate {name} is met in {} only",
                doors.join(" and ")
            ));
        }
    }
    let prints = [
        "println!", "print!", "eprint!", "dbg!", "stdout()", "stderr()",
    ];
    if module != "cli" && prints.iter().any(|print| code.contains(print)) {
        out.push(format!("{path}: only cli prints"));
    }
    out
}

/// All sources below `src/`, by their path from there.
fn sources() -> BTreeMap<String, String> {
    fn walk(dir: &Path, at: &str, out: &mut BTreeMap<String, String>) {
        for entry in fs::read_dir(dir).unwrap() {
            let entry = entry.unwrap();
            let name = format!("{at}{}", entry.file_name().to_str().unwrap());
            if entry.file_type().unwrap().is_dir() {
                walk(&entry.path(), &format!("{name}/"), out);
            } else if name.ends_with(".rs") {
                out.insert(name, fs::read_to_string(entry.path()).unwrap());
            }
        }
    }
    let mut out = BTreeMap::new();
    walk(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("src"),
        "",
        &mut out,
    );
    out
}

#[test]
fn every_module_uses_only_what_the_map_allows() {
    // The roots name everything; tests may build what they need.
    let exempt = |path: &str| {
        ["lib.rs", "main.rs", "fs/mod.rs"].contains(&path) || path.ends_with("/tests.rs")
    };
    let found: Vec<String> = sources()
        .iter()
        .filter(|(path, _)| !exempt(path))
        .flat_map(|(path, text)| violations(path, text))
        .collect();
    assert!(found.is_empty(), "{}", found.join("\n"));
}

#[test]
fn the_map_names_only_what_there_is_and_points_downwards() {
    let sources = sources();
    for (at, (name, allowed)) in MAP.iter().enumerate() {
        assert!(
            sources.keys().any(|path| module(path) == *name),
            "{name} is in the map and not in src"
        );
        let below: Vec<&str> = MAP[..at].iter().map(|(name, _)| *name).collect();
        for used in allowed.iter().filter(|used| **used != "*") {
            assert!(
                below.contains(used),
                "{name} uses {used}, which does not stand below it"
            );
        }
    }
}

#[test]
fn the_checker_sees_what_is_forbidden() {
    let one = |path, text| violations(path, text).join("; ");
    assert_eq!(
        one(
            "tree/edit.rs",
            "use crate::stream::Content;\nuse super::Tree;\n"
        ),
        ""
    );
    assert_eq!(
        one("tree/edit.rs", "use crate::plan::facts;\n"),
        "tree/edit.rs: tree may not use plan"
    );
    assert_eq!(
        one("deb/ar.rs", "fn f() { crate::artifact::hex(&[]) }\n"),
        "deb/ar.rs: deb may not use artifact"
    );
    assert_eq!(
        one("fs/fat/read.rs", "use crate::fs::ext4::read;\n"),
        "fs/fat/read.rs: fs/fat may not use fs/ext4"
    );
    let group = "use crate::{units::{KIB, MIB}, fs::ext4, problem::Problem};\n";
    assert_eq!(
        one("layout/mod.rs", group),
        "layout/mod.rs: layout may not use fs/ext4"
    );
    assert_eq!(
        one("convert/emit.rs", "use crate::cli::print;\n"),
        "convert/emit.rs: convert may not use cli"
    );
    assert_eq!(
        one("image/mod.rs", "fn f() -> anyhow::Result<()> {}\n"),
        "image/mod.rs: the crate anyhow is met in golden/ and plan/ and edit/ and convert/ and flash/ and compress/ and image/output/ and cli/ only"
    );
    assert_eq!(
        one("plan/mod.rs", "fn f() { eprintln!(\"\") }\n"),
        "plan/mod.rs: only cli prints"
    );
    assert_eq!(
        one("new/mod.rs", ""),
        "new/mod.rs: the map has no module `new`"
    );
    // Neither words in comments nor what tests use count.
    assert_eq!(
        one(
            "layout/mod.rs",
            "//! [`crate::cli`]\n\n#[cfg(test)]\nmod tests {\n    use crate::cli;\n}\n"
        ),
        ""
    );
}
