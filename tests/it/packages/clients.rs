//! The packages of the update client in the vendor's shape (`clients.txt`), built by dpkg-deb.

use super::probes;
use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

/// A version of a package for one release of Debian and one architecture.
#[derive(Clone, Debug)]
pub(crate) struct ClientPackage {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) architecture: String,
    /// More fields of its control file, each with its line feed.
    pub(crate) fields: String,
    /// Its members in the form of `probes.txt`.
    members: String,
}

/// All packages of `clients.txt` in all versions, for Debian `codename` and `architecture`.
pub(crate) fn packages(codename: &str, architecture: &str) -> Vec<ClientPackage> {
    let (libarchive, libssl) = match codename {
        "bookworm" => ("libarchive13", "libssl3"),
        _ => ("libarchive13t64", "libssl3t64"),
    };
    let text = include_str!("clients.txt");
    let text = text
        .replace("{libarchive}", libarchive)
        .replace("{libssl}", libssl)
        .replace("{arch}", architecture);
    let mut out = Vec::new();
    for package in text.split("\n=== ").skip(1) {
        let (head, members) = package.split_once('\n').expect("a name");
        let mut words = head.split(' ');
        let name = words.next().expect("a name");
        let architecture = match words.next().expect("an architecture") {
            "any" => architecture,
            other => other,
        };
        for release in words {
            let (release, version) = release.split_once('=').expect("a version");
            let version = format!("{version}-1+debian+{codename}");
            let members = members.replace("{version}", &version);
            out.push(package_of(name, &version, architecture, release, &members));
        }
    }
    out
}

impl ClientPackage {
    /// The package as a file in `dir`.
    pub(crate) fn build(&self, dir: &Path) -> PathBuf {
        let Self {
            name,
            version,
            architecture,
            members,
            ..
        } = self;
        probes::package_of(dir, [name, version, architecture], members)
    }
}

/// What a package is made of, gathered from its members.
#[derive(Default)]
struct Draft {
    fields: String,
    members: String,
    /// Scripts by name, without what the units add.
    scripts: BTreeMap<&'static str, String>,
    /// What the units add to scripts.
    snippets: BTreeMap<&'static str, String>,
    conffiles: Vec<String>,
    checks_machine: bool,
}

/// One version of a package, from members that have a condition or not.
fn package_of(
    name: &str,
    version: &str,
    architecture: &str,
    release: &str,
    members: &str,
) -> ClientPackage {
    let mut draft = Draft::default();
    let said = format!("{name} {version}");
    for member in format!("\n{members}").split("\n--- ").skip(1) {
        let (head, body) = member.split_once('\n').unwrap_or((member, ""));
        let (head, condition) = head.split_once(" @").unwrap_or((head, ""));
        let holds = |one: &str| release.trim_end_matches('+') == one;
        if condition.is_empty() || condition.split(',').any(holds) {
            let body = body.trim_end_matches('\n');
            draft.add(&head.split(' ').collect::<Vec<_>>(), body, &said);
        }
    }
    ClientPackage {
        name: name.to_owned(),
        version: version.to_owned(),
        architecture: architecture.to_owned(),
        members: draft.finish(architecture),
        fields: draft.fields,
    }
}

impl Draft {
    fn add(&mut self, head: &[&str], body: &str, said: &str) {
        match head {
            ["control"] => self.fields.push_str(&format!("{body}\n")),
            ["programs"] => {
                for path in body.lines() {
                    self.file(path, "0755", &format!("#!/bin/sh\necho {path} of {said}"));
                }
            }
            ["files"] => {
                for path in body.lines() {
                    self.file(path, "0644", &format!("{path} of {said}"));
                }
            }
            ["file", path, mode] => self.file(path, mode, body),
            ["linked", directory] => {
                for name in body.lines() {
                    let path = format!("/etc/mender/{directory}/{name}");
                    self.file(&path, "0755", &format!("#!/bin/sh\necho {name} of {said}"));
                    let link = format!("/usr/share/mender/{directory}/{name} {path}");
                    self.member(&format!("link {link}"), "");
                }
            }
            ["service", unit] => self.unit(unit, body, &SERVICE),
            ["unit", unit] => self.unit(unit, body, &UNIT),
            ["diverted"] => self.diverted(body),
            ["restored", package] => {
                let script = self.scripts.entry("postinst").or_default();
                for path in body.lines() {
                    let _ = writeln!(
                        script,
                        "dpkg-divert --package {package} --quiet --remove --rename {path}"
                    );
                }
            }
            ["checks-machine"] => self.checks_machine = true,
            [name @ ("preinst" | "postinst" | "prerm" | "postrm")] => {
                let name = ["preinst", "postinst", "prerm", "postrm"]
                    .into_iter()
                    .find(|known| known == name)
                    .expect("a script");
                self.scripts.insert(name, format!("{body}\n"));
            }
            other => self.member(&other.join(" "), body),
        }
    }

    fn member(&mut self, head: &str, body: &str) {
        let _ = writeln!(self.members, "--- {head}\n{body}");
    }

    /// A file; below `/etc` it is a configuration file.
    fn file(&mut self, path: &str, mode: &str, text: &str) {
        if path.starts_with("/etc/") {
            self.conffiles.push(path.to_owned());
        }
        self.member(&format!("file {path} {mode}"), text);
    }

    fn unit(&mut self, unit: &str, text: &str, snippets: &[(&'static str, &str); 3]) {
        self.member(&format!("file /lib/systemd/system/{unit} 0644"), text);
        for (script, snippet) in snippets {
            let all = self.snippets.entry(script).or_default();
            all.push_str(&snippet.replace("UNIT", &format!("'{unit}'")));
        }
    }

    /// Diversions of files of the older client, which goes only later.
    fn diverted(&mut self, paths: &str) {
        let calls = |action: &str| -> String {
            let call = |path: &str| format!("        dpkg-divert --{action} --no-rename {path}\n");
            paths.lines().map(call).collect()
        };
        let script = |when: &str, calls: &str| {
            format!("case \"$1\" in\n    {when})\n{calls}        ;;\n    *) ;;\nesac\n")
        };
        self.scripts
            .insert("preinst", script("install", &calls("add")));
        self.scripts
            .insert("postrm", script("abort-install", &calls("remove")));
    }

    /// The members, with scripts and configuration files.
    fn finish(&mut self, architecture: &str) -> String {
        if !self.fields.is_empty() {
            let fields = self.fields.trim_end().to_owned();
            self.member("control", &fields);
        }
        let checks = self.checks_machine && architecture == "armhf";
        if let Some(preinst) = self.scripts.get_mut("preinst") {
            let check = if checks { MACHINE } else { "" };
            preinst.push_str(&format!("{check}exit 0\n"));
        } else if checks {
            // Without a first line that names a shell: the kernel refuses it, dpkg does not.
            self.member("bare preinst", &format!("{MACHINE}exit 0"));
        }
        for (name, snippet) in std::mem::take(&mut self.snippets) {
            self.scripts.entry(name).or_default().push_str(&snippet);
        }
        for (name, text) in std::mem::take(&mut self.scripts) {
            self.member(name, text.trim_end());
        }
        let conffiles = std::mem::take(&mut self.conffiles);
        if !conffiles.is_empty() {
            self.member("conffiles", &conffiles.join("\n"));
        }
        self.member("md5sums", "");
        std::mem::take(&mut self.members)
    }
}

/// The check of 32-bit Arm packages.
const MACHINE: &str = "if ! uname -m | grep -Eq \"(armv7|aarch64)\"; then
    echo \"this package is for ARMv7, which $(uname -m) is not\"
    exit 1
fi
";

/// What scripts do about a unit that is enabled and started, as debhelper has them do it at
/// compatibility level 10 (dh_systemd_enable(1), dh_systemd_start(1)).
const SERVICE: [(&str, &str); 3] = [
    (
        "postinst",
        "case \"$1\" in configure | abort-upgrade | abort-deconfigure | abort-remove)
    deb-systemd-helper unmask UNIT >/dev/null || true
    if deb-systemd-helper --quiet was-enabled UNIT; then
        deb-systemd-helper enable UNIT >/dev/null || true
    else
        deb-systemd-helper update-state UNIT >/dev/null || true
    fi
    if [ -d /run/systemd/system ]; then
        systemctl --system daemon-reload >/dev/null || true
        if [ -n \"$2\" ]; then how=restart; else how=start; fi
        deb-systemd-invoke $how UNIT >/dev/null || true
    fi
    ;;
esac
",
    ),
    (
        "prerm",
        "if [ -d /run/systemd/system ] && [ \"$1\" = remove ]; then
    deb-systemd-invoke stop UNIT >/dev/null || true
fi
",
    ),
    (
        "postrm",
        "if [ -d /run/systemd/system ]; then
    systemctl --system daemon-reload >/dev/null || true
fi
if [ \"$1\" = remove ] && [ -x /usr/bin/deb-systemd-helper ]; then
    deb-systemd-helper mask UNIT >/dev/null || true
fi
if [ \"$1\" = purge ] && [ -x /usr/bin/deb-systemd-helper ]; then
    deb-systemd-helper purge UNIT >/dev/null || true
    deb-systemd-helper unmask UNIT >/dev/null || true
fi
",
    ),
];

/// The same for one that is only shipped.
const UNIT: [(&str, &str); 3] = [
    (
        "postinst",
        "case \"$1\" in configure | abort-upgrade | abort-deconfigure | abort-remove)
    if deb-systemd-helper debian-installed UNIT; then
        deb-systemd-helper unmask UNIT >/dev/null || true
        if deb-systemd-helper --quiet was-enabled UNIT; then
            deb-systemd-helper enable UNIT >/dev/null || true
        fi
    fi
    deb-systemd-helper update-state UNIT >/dev/null || true
    ;;
esac
",
    ),
    ("prerm", SERVICE[1].1),
    ("postrm", SERVICE[2].1),
];

#[test]
fn packages_are_as_they_are_written() {
    let all = packages("bookworm", "armhf");
    let one = |name: &str, version: &str| {
        let mut all = all.iter();
        all.find(|one| one.name == name && one.version.starts_with(version))
            .unwrap_or_else(|| panic!("{name} {version}"))
    };
    let auth = one("mender-auth", "5.1.0");
    assert_eq!(auth.version, "5.1.0-1+debian+bookworm");
    assert_eq!(auth.architecture, "armhf");
    assert!(auth.fields.contains("libssl3 (>= 3.0.0)"));
    let has = |one: &ClientPackage, text: &str| one.members.contains(text);
    assert!(has(auth, "Type=dbus") && !has(auth, "Type=idle"));
    assert!(has(auth, "uname -m") && has(auth, "--add --no-rename /etc/mender/identity/"));
    assert!(has(one("mender-auth", "5.0.4"), "Type=idle"));
    assert!(has(
        one("mender-setup", "1.1.0"),
        "--- bare preinst\nif ! uname"
    ));
    let client = one("mender-client4", "5.1.1");
    assert!(!has(client, "preinst"));
    assert_eq!(client.members.matches("dpkg-divert --package").count(), 25);
    assert!(
        client
            .fields
            .contains("mender-auth (= 5.1.1-1+debian+bookworm)")
    );
    assert!(has(one("mender-update", "4.0.7"), "modules/v3/docker 0755"));
    assert!(!has(
        one("mender-update", "5.1.0"),
        "modules/v3/docker 0755"
    ));
    let configure = one("mender-configure", "1.1.4");
    assert_eq!(configure.architecture, "all");
}
