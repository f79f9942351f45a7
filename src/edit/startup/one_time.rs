//! Files on the boot partition that a system takes up once. The boot partition is shared, so what
//! one root filesystem took up is not there for the next one.

use super::note::StartupNote;
use crate::golden::facts;
use crate::tree::Tree;

/// The files: name, what becomes of it, and what to do.
const FILES: [(&str, &str, &str); 11] = [
    (
        "firstrun.sh",
        "it never runs: the kernel argument that runs it is taken out",
        "do what it does in the golden image",
    ),
    (
        "custom.toml",
        "it is never read: the program of the first start that reads it does not run",
        "make its settings in the golden image",
    ),
    (
        "userconf.txt",
        "the first root filesystem that starts makes the user and removes the file; after an update the user is gone",
        "make the user in the golden image",
    ),
    (
        "userconf",
        "the first root filesystem that starts makes the user and removes the file; after an update the user is gone",
        "make the user in the golden image",
    ),
    (
        "ssh",
        "the first root filesystem that starts enables ssh and removes the file; after an update ssh is off",
        "enable ssh.service in the golden image",
    ),
    (
        "ssh.txt",
        "the first root filesystem that starts enables ssh and removes the file; after an update ssh is off",
        "enable ssh.service in the golden image",
    ),
    (
        "wpa_supplicant.conf",
        "the first root filesystem that starts moves it into its own /etc; after an update the network is unknown",
        "configure the network in the golden image, or keep the file on the data partition",
    ),
    (
        "sysconf.txt",
        "the first root filesystem that starts applies it and empties it; an update knows nothing of it",
        "make its settings in the golden image",
    ),
    (
        "armbian_first_run.txt",
        "the first root filesystem that starts applies it and renames it; an update knows nothing of it",
        "make its settings in the golden image",
    ),
    (
        "dietpi-automation_custom_script.sh",
        "it runs on the first start of each root filesystem that is not set up",
        "set the system up in the golden image",
    ),
    (
        "unattended.sh",
        "the first root filesystem that starts runs it",
        "do what it does in the golden image",
    ),
];
/// Files of `cloud-init`.
const CLOUD_INIT: [&str; 3] = ["user-data", "meta-data", "network-config"];

/// A note for each file that is there.
pub(super) fn notes(root: &Tree, boot: &Tree, boot_mount: &str, is_pi: bool) -> Vec<StartupNote> {
    let there = |name: &str| boot.find_ignore_case(format!("/{name}")).is_some();
    let is_applied = is_pi && facts::takes_imager_script(root).unwrap_or_default();
    let mut out = Vec::new();
    for (name, what, advice) in FILES {
        if there(name) && (is_pi || name.contains('.')) {
            let (what, advice) = match name {
                "firstrun.sh" if is_applied => (
                    "each root filesystem runs it once, from a copy on the data partition",
                    "all devices with this image have its settings",
                ),
                _ => (what, advice),
            };
            let text = format!("{what}; {advice}");
            out.push(StartupNote::at(&format!("{boot_mount}/{name}"), 0, &text));
        }
    }
    let files: Vec<String> = CLOUD_INIT
        .into_iter()
        .filter(|name| there(name))
        .map(|name| format!("{boot_mount}/{name}"))
        .collect();
    if let Some(first) = files.first()
        && root.file("/etc/cloud/cloud.cfg").is_some()
    {
        let note = format!(
            "{}: cloud-init applies them on the first start of each root filesystem, so after each update anew; both slots share the files",
            files.join(", ")
        );
        out.push(StartupNote::of(first, 0, note));
    }
    for path in ["/root/.not_logged_in_yet", "/root/.first_login"] {
        if root.find(path).is_some() {
            let text = "the first login to each root filesystem starts the wizard that makes users; remove the file from the golden image once it was done";
            out.push(StartupNote::at(path, 0, text));
        }
    }
    out
}
