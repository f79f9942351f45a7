//! The update client: whether it is there, what it needs, and what it leaves out later.

use super::{Finding, System, codes};
use crate::deb;
use crate::golden::{Golden, facts};
use crate::units::human;
use crate::verify::missing_libraries;

/// Programs of the client in its two families.
const PROGRAMS: [&str; 3] = [
    "/usr/bin/mender",
    "/usr/bin/mender-update",
    "/usr/bin/mender-auth",
];
/// What the client takes with its libraries (bytes).
const SIZE: u64 = 7_000_000;
/// The directory of update modules.
const MODULES: &str = "/usr/share/mender/modules/v3";
/// The modules that clients from this version on no longer have.
const LEFT: ([&str; 4], &str) = (["deb", "docker", "rpm", "script"], "5.0.0");

/// Findings about the client.
pub(super) fn examine(system: &System<'_>) -> Vec<Finding> {
    let root = system.root;
    let installed: Vec<&str> = PROGRAMS
        .into_iter()
        .filter(|path| root.file(path).is_some())
        .collect();
    let mut out = Vec::new();
    if installed.is_empty() {
        out.push(Finding::new(
            &codes::CLIENT_MISSING,
            "the image has no update client",
        ));
    }
    let mut missing = Vec::new();
    for path in installed {
        let place = |value: String| (path.to_owned(), value);
        match missing_libraries(root, path) {
            Ok(names) => missing.extend(names.into_iter().map(place)),
            Err(why) => missing.push(place(why)),
        }
    }
    if !missing.is_empty() {
        let text = "the update client cannot start: libraries are missing";
        out.push(Finding::new(&codes::CLIENT_LIBRARIES, text).all(missing));
    }
    out.extend(modules(system));
    out
}

/// Update modules that a later client does not have.
fn modules(system: &System<'_>) -> Option<Finding> {
    let (names, left) = LEFT;
    let (package, version) = facts::client(system.root).ok()??;
    let parsed = |text: &str| text.parse::<deb::Version>().ok();
    if parsed(&version)? >= parsed(left)? {
        return None;
    }
    let paths = names.iter().map(|name| format!("{MODULES}/{name}"));
    let places: Vec<(String, String)> = paths
        .filter(|path| system.root.file(path).is_some())
        .map(|path| (path, format!("{package} {version}")))
        .collect();
    let text = "clients of 5.0 and later do not have these update modules";
    (!places.is_empty()).then(|| Finding::new(&codes::CLIENT_MODULES, text).all(places))
}

/// Takes away what is said of a golden image without a client: the conversion brings one.
pub fn client_comes(findings: &mut Vec<Finding>) {
    let codes = [&codes::CLIENT_MISSING, &codes::CLIENT_ROOM];
    findings.retain(|finding| codes.iter().all(|code| code.name != finding.code));
}

/// Whether a golden image without a client has room for one.
pub(super) fn room(golden: &Golden) -> Option<Finding> {
    let root = &golden.root.tree;
    let is_installed = PROGRAMS.iter().any(|path| root.file(path).is_some());
    let info = &golden.root.info;
    let free = info.free_blocks.saturating_mul(info.block_size);
    if is_installed || free >= SIZE {
        return None;
    }
    let text = format!(
        "the root filesystem of the golden image has no room for the update client, which takes about {}",
        human(SIZE)
    );
    Some(Finding::new(&codes::CLIENT_ROOM, text).at("/", format!("{} free", human(free))))
}
