//! Traces by content: settings in files that devices may need otherwise.

use super::rules::Found;
use super::{Removal, TEXT_LIMIT, TraceKind};
use crate::stream::{Content, ReadAt as _};
use crate::tree::{DirEntry, LeafKind, Tree, show};
use std::collections::BTreeSet;

/// Words in a profile of NetworkManager after which a secret stands.
const PROFILE: [&str; 5] = ["psk=", "wep-key", "password=", "leap-password=", "pin="];
/// Words in a network of `wpa_supplicant.conf(5)` after which a secret stands.
const SUPPLICANT: [&str; 5] = ["psk=", "wep_key", "password=", "sae_password=", "pin="];
/// Words in a netplan after which a secret stands.
const NETPLAN: [&str; 2] = ["password:", "psk:"];
/// Options of `interfaces(5)` with the secret of a wireless network.
const INTERFACES: [&str; 4] = ["wpa-psk", "wpa-passphrase", "wireless-key", "wpa-password"];

/// The trace in a file, by its path and its content.
pub(super) fn file(path: &str, content: &Content) -> Option<Found> {
    let name = path.rsplit('/').next().unwrap_or_default();
    let on_top = path.rfind('/') == Some(0);
    let text = || -> Option<String> {
        let bytes = content.read_all(TEXT_LIMIT).ok()?;
        Some(String::from_utf8_lossy(&bytes).into_owned())
    };
    let wireless = |text: Option<String>| Some((TraceKind::WirelessKeys, Removal::Rewrite(text?)));
    if path == "/etc/machine-id" {
        let id = text()?;
        return is_id(id.trim()).then_some((TraceKind::MachineId, Removal::Empty));
    }
    if path.starts_with("/etc/NetworkManager/system-connections/") {
        let text = text()?;
        let is_wireless = text.contains("type=wifi") || text.contains("[wifi");
        let secret = has_setting(&text, &PROFILE);
        return (is_wireless && secret).then_some((TraceKind::WirelessKeys, Removal::Remove));
    }
    let supplicant = name.starts_with("wpa_supplicant") && name.ends_with(".conf");
    if supplicant && (path.starts_with("/etc/") || on_top) {
        return wireless(without_networks(&text()?));
    }
    let netplan = path.starts_with("/etc/netplan/") && name.ends_with(".yaml");
    if netplan || path == "/network-config" {
        return wireless(without_wifis(&text()?));
    }
    if path == "/etc/network/interfaces" || path.starts_with("/etc/network/interfaces.d/") {
        return wireless(without_lines(&text()?, &INTERFACES));
    }
    if path == "/etc/iscsi/initiatorname.iscsi" {
        // open-iscsi makes a name when it starts.
        let has_name = text()?
            .lines()
            .any(|line| line.trim_start().starts_with("InitiatorName="));
        let made = Removal::Rewrite("GenerateName=yes\n".to_owned());
        return has_name.then_some((TraceKind::ServiceIds, made));
    }
    let core = name == "core" || name.starts_with("core.");
    (core && is_core(content)).then_some((TraceKind::CoreDumps, Removal::Remove))
}

/// The files of a tree that would be searched for settings, were they not so large, each with its
/// length (bytes).
#[must_use]
pub fn unsearched(tree: &Tree) -> Vec<(String, u64)> {
    let mut out = Vec::new();
    tree.visit(&mut |path, entry| {
        if let DirEntry::Leaf(id) = entry
            && let LeafKind::File(content) = &tree.leaf(*id).kind
            && content.len() > TEXT_LIMIT
            && is_searched(&show(path))
        {
            out.push((show(path), content.len()));
        }
    });
    out
}

/// Whether a file is searched for settings, by its path.
fn is_searched(path: &str) -> bool {
    const FILES: [&str; 4] = [
        "/etc/machine-id",
        "/network-config",
        "/etc/network/interfaces",
        "/etc/iscsi/initiatorname.iscsi",
    ];
    const DIRS: [&str; 4] = [
        "/etc/NetworkManager/system-connections/",
        "/etc/network/interfaces.d/",
        "/etc/netplan/",
        "/etc/ssh/sshd_config",
    ];
    let name = path.rsplit('/').next().unwrap_or_default();
    let supplicant = name.starts_with("wpa_supplicant") && name.ends_with(".conf");
    FILES.contains(&path)
        || DIRS.iter().any(|dir| path.starts_with(dir))
        || supplicant && (path.starts_with("/etc/") || path.rfind('/') == Some(0))
}

/// Whether a text is a machine ID (`machine-id(5)`).
fn is_id(text: &str) -> bool {
    text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// Whether a file is the memory of a program: an ELF file of type `ET_CORE` (System V ABI).
fn is_core(content: &Content) -> bool {
    let mut head = [0; 18];
    let read = content.len() >= 18 && content.read_exact_at(0, &mut head).is_ok();
    let [b'\x7f', b'E', b'L', b'F', _, order, .., low, high] = head else {
        return false;
    };
    let kind = match order {
        2 => u16::from_be_bytes([low, high]),
        _ => u16::from_le_bytes([low, high]),
    };
    read && kind == 4
}

/// Whether a line of the text begins with one of the words.
fn has_setting(text: &str, words: &[&str]) -> bool {
    let mut lines = text.lines().map(str::trim_start);
    lines.any(|line| words.iter().any(|word| line.starts_with(word)))
}

/// The text without blocks `network={...}` that hold a secret; `None` if there is none.
fn without_networks(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut block: Option<String> = None;
    let mut cut = false;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        let opens = ["network={", "cred={"]
            .iter()
            .any(|word| trimmed.replace(' ', "").starts_with(word));
        match &mut block {
            None if opens => block = Some(line.to_owned()),
            None => out.push_str(line),
            Some(open) => open.push_str(line),
        }
        if trimmed.ends_with('}')
            && let Some(whole) = block.take()
        {
            // The block may be on one line.
            let lines = whole.replace(['{', '}', ';'], "\n");
            if has_setting(&lines, &SUPPLICANT) {
                cut = true;
            } else {
                out.push_str(&whole);
            }
        }
    }
    out.push_str(&block.unwrap_or_default());
    cut.then_some(out)
}

/// The text of a netplan without its `wifis`, if they hold a secret.
fn without_wifis(text: &str) -> Option<String> {
    let mut out = String::new();
    let mut block = String::new();
    let mut indent: Option<usize> = None;
    for line in text.split_inclusive('\n') {
        let depth = line.len() - line.trim_start_matches(' ').len();
        let blank = line.trim().is_empty();
        if let Some(start) = indent
            && (blank || depth > start)
        {
            block.push_str(line);
            continue;
        }
        indent = None;
        if line.trim_start().starts_with("wifis:") {
            indent = Some(depth);
            block.push_str(line);
        } else {
            out.push_str(line);
        }
    }
    let inline = block.replace(['{', '}', ','], "\n");
    has_setting(&inline, &NETPLAN).then_some(out)
}

/// The text without the lines that begin with one of the words; `None` if there is none.
fn without_lines(text: &str, words: &[&str]) -> Option<String> {
    let is_setting = |line: &&str| {
        let word = line.split_whitespace().next().unwrap_or_default();
        words.contains(&word)
    };
    let lines = text.split_inclusive('\n');
    let kept: String = lines.filter(|line| !is_setting(line)).collect();
    (kept.len() < text.len()).then_some(kept)
}

/// The real paths of the files that `HostKey` and `HostCertificate` of `sshd_config(5)` name, with
/// public halves.
#[must_use]
pub fn host_keys(tree: &Tree) -> BTreeSet<String> {
    let mut files = vec!["/etc/ssh/sshd_config".to_owned()];
    files.extend(crate::golden::references::entries(
        tree,
        "/etc/ssh/sshd_config.d",
    ));
    let mut out = BTreeSet::new();
    for file in files {
        let bytes = tree.read(&file, TEXT_LIMIT).ok().flatten();
        let text = String::from_utf8_lossy(&bytes.unwrap_or_default()).into_owned();
        for line in text.lines() {
            let mut words = line.split(|c: char| c.is_whitespace() || c == '=');
            let key = words.next().unwrap_or_default().to_ascii_lowercase();
            let path = words.find(|word| !word.is_empty()).unwrap_or_default();
            if !matches!(key.as_str(), "hostkey" | "hostcertificate") || !path.starts_with('/') {
                continue;
            }
            for path in [path.to_owned(), format!("{path}.pub")] {
                // A link that leads to itself is a place like one that is empty.
                let real = tree.walk(path.as_bytes(), true);
                let real = real.or_else(|_| tree.walk(path.as_bytes(), false));
                out.extend(real.ok().map(|walk| show(&walk.path())));
            }
        }
    }
    out
}
