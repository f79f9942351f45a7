//! Commands that apt (`apt.conf(5)`) and dpkg (`dpkg.cfg(5)`) run before and after they install
//! something.

use super::apt_conf::{AptConf, Setting, text};
use super::units::names_in;
use crate::tree::Tree;

/// The settings of apt that are lists of commands.
const OF_APT: [&str; 6] = [
    "DPkg::Pre-Invoke",
    "DPkg::Post-Invoke",
    "DPkg::Pre-Install-Pkgs",
    "APT::Update::Pre-Invoke",
    "APT::Update::Post-Invoke",
    "APT::Update::Post-Invoke-Success",
];

/// Whether a program of this name runs the commands.
pub(super) fn are_run_by(name: &str) -> bool {
    let names = [
        "apt",
        "apt-get",
        "aptitude",
        "unattended-upgrade",
        "unattended-upgrades",
    ];
    names.contains(&name)
}

/// All commands.
pub(super) fn all(root: &Tree) -> Vec<Setting> {
    let conf = AptConf::read(root);
    let of_apt = OF_APT.iter().flat_map(|name| conf.all(name)).cloned();
    let mut out: Vec<Setting> = of_apt.collect();
    const DIR: &str = "/etc/dpkg/dpkg.cfg.d";
    let mut paths = vec!["/etc/dpkg/dpkg.cfg".to_owned()];
    paths.extend(names_in(root, DIR).map(|name| format!("{DIR}/{name}")));
    for path in paths {
        for (at, line) in text(root, &path).lines().enumerate() {
            let pair = line.trim().split_once(['=', ' ']);
            let Some((key, value)) = pair else { continue };
            if ["pre-invoke", "post-invoke"].contains(&key.trim_start_matches('-')) {
                out.push(Setting {
                    value: value.trim().trim_matches(['"', '\'']).to_owned(),
                    file: path.clone(),
                    line: at + 1,
                });
            }
        }
    }
    out
}
