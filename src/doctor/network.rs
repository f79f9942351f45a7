//! Settings of the network that are for one machine alone, by its MAC address, or that need a
//! program which the image does not have.

use super::{Finding, System, codes};
use crate::golden::facts;
use crate::golden::references::entries;

/// Files, or directories of files, and the words in front of a MAC address.
const PLACES: [(&str, &[&str]); 8] = [
    (
        "/etc/udev/rules.d/70-persistent-net.rules",
        &["attr{address}=="],
    ),
    ("/etc/udev/rules.d", &["attr{address}=="]),
    (
        "/etc/systemd/network",
        &["macaddress=", "permanentmacaddress="],
    ),
    ("/etc/netplan", &["macaddress:"]),
    ("/etc/NetworkManager/system-connections", &["mac-address="]),
    ("/etc/network/interfaces", &["hwaddress"]),
    ("/etc/network/interfaces.d", &["hwaddress"]),
    ("/etc/cloud/cloud.cfg.d", &["mac_address:", "macaddress:"]),
];

/// The clients that `ifup` runs for `inet dhcp` and `inet6 dhcp` (`interfaces(5)`).
const DHCP_CLIENTS: [&str; 4] = ["dhclient", "udhcpc", "dhcpcd", "pump"];

/// Findings about the network.
pub(super) fn examine(system: &System<'_>) -> Vec<Finding> {
    let found = [for_one_machine(system), without_dhcp(system)];
    found.into_iter().flatten().collect()
}

/// Interfaces of `ifup` that ask for an address, where nothing can.
fn without_dhcp(system: &System<'_>) -> Option<Finding> {
    let has = |name: &str| facts::program(system.root, name);
    if !has("ifup") || DHCP_CLIENTS.into_iter().any(has) {
        return None;
    }
    let mut files = vec!["/etc/network/interfaces".to_owned()];
    files.extend(entries(system.root, "/etc/network/interfaces.d"));
    let mut places = Vec::new();
    for file in files {
        for (at, line) in (1..).zip(system.text(&file).lines()) {
            let words: Vec<&str> = line.split_whitespace().collect();
            if let ["iface", name, "inet" | "inet6", "dhcp", ..] = words[..] {
                places.push((format!("{file}:{at}"), (*name).to_owned()));
            }
        }
    }
    let text = "an interface asks for its address by DHCP, and no DHCP client is installed";
    (!places.is_empty()).then(|| Finding::new(&codes::NETWORK_DHCP, text).all(places))
}

fn for_one_machine(system: &System<'_>) -> Option<Finding> {
    let mut places = Vec::new();
    for (place, words) in PLACES {
        let mut files = entries(system.root, place);
        if files.is_empty() {
            files.push(place.to_owned());
        }
        for file in files {
            let text = system.text(&file);
            for (at, line) in text.lines().enumerate() {
                let is_comment = line.trim_start().starts_with(['#', ';']);
                if !is_comment && words.iter().any(|word| follows(line, word)) {
                    let place = (format!("{file}:{}", at + 1), line.trim().to_owned());
                    if !places.contains(&place) {
                        places.push(place);
                    }
                }
            }
        }
    }
    let text = "a network setting is for the MAC address of one machine";
    (!places.is_empty()).then(|| Finding::new(&codes::NETWORK_MAC, text).all(places))
}

/// Whether a MAC address follows the word in the line.
fn follows(line: &str, word: &str) -> bool {
    let line = line.to_ascii_lowercase();
    let Some((_, rest)) = line.split_once(word) else {
        return false;
    };
    let rest = rest.trim_start_matches([' ', '\t', '"', '\'', '=', ':']);
    let rest = rest.strip_prefix("ether ").unwrap_or(rest);
    let address: Vec<&str> = rest.split(':').take(6).collect();
    let byte = |text: &&str| {
        let hex = text.get(..2);
        hex.is_some_and(|hex| hex.bytes().all(|byte| byte.is_ascii_hexdigit()))
    };
    address.len() == 6 && address.iter().all(byte)
}
