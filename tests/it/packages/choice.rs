//! The choice of packages compared with apt's, for packages of the whole distribution: what apt
//! would install on the root of a small device, `goldsmith::resolve` chooses too.

use goldsmith::deb::{PackageFacts, Paragraph, Version, stanzas};
use goldsmith::resolve::{Candidate, Request, Source, Want, resolve};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// Packages that people install on devices, added to those that are drawn from the index.
const COMMON: &[&str] = &[
    "chrony",
    "nginx",
    "docker.io",
    "network-manager",
    "postfix",
    "python3-flask",
    "bluez",
    "mosquitto",
    "apache2",
    "mariadb-server",
    "postgresql",
    "nodejs",
    "default-mta",
    "openssh-server",
    "avahi-daemon",
    "modemmanager",
    "hostapd",
    "wireguard",
    "podman",
    "xserver-xorg",
    "chromium",
    "mender-client",
    "mender-connect",
    "ffmpeg",
    "build-essential",
    "gstreamer1.0-plugins-good",
];

/// A package of an index or of `status`; `None` without a version that can be read.
fn candidate(control: &Paragraph, source: usize) -> Option<Candidate> {
    control.text("Version").parse::<Version>().ok()?;
    Some(Candidate {
        facts: PackageFacts::read(control).expect("fields"),
        source,
        id: 0,
    })
}

fn packages(bytes: &[u8], source: usize, installed: bool) -> Vec<Candidate> {
    let all = stanzas(bytes)
        .into_iter()
        .map(|stanza| Paragraph::parse(stanza).expect("a paragraph"));
    all.filter(|control| !installed || control.text("Status").ends_with(" installed"))
        .filter_map(|control| candidate(&control, source))
        .collect()
}

fn output(program: &str, arguments: &[&str]) -> Vec<u8> {
    let output = Command::new(program)
        .args(arguments)
        .output()
        .expect(program);
    output.stdout
}

/// The indices of the machine's apt, one source each.
fn indices() -> (Vec<Source>, Vec<Candidate>) {
    let lists = fs::read_dir("/var/lib/apt/lists").expect("the lists of apt");
    let mut names: Vec<String> = lists
        .map(|entry| entry.unwrap().path().to_str().unwrap().to_owned())
        .filter(|name| name.contains("_Packages"))
        .collect();
    names.sort();
    let (mut sources, mut all) = (Vec::new(), Vec::new());
    for (at, name) in names.iter().enumerate() {
        let text = output("/usr/lib/apt/apt-helper", &["cat-file", name]);
        all.extend(packages(&text, at, false));
        sources.push(Source {
            name: name.clone(),
            priority: 500,
        });
    }
    (sources, all)
}

/// What apt would install on a root with the `status` in `dir`, where it also keeps its cache.
fn apt(dir: &Path, name: &str, recommends: bool) -> Option<BTreeSet<String>> {
    let path = |key: &str, name: &str| format!("{key}={}", dir.join(name).display());
    let run = Command::new("apt-get")
        .args(["-o", &path("Dir::State::status", "status")])
        .args(["-o", &path("Dir::State::extended_states", "extended")])
        .args(["-o", &path("Dir::Cache", "cache")])
        .args(["-o", &format!("APT::Install-Recommends={recommends}")])
        .args(["-s", "install", name])
        .output()
        .expect("apt-get");
    let text = String::from_utf8_lossy(&run.stdout).into_owned();
    let read = |line: &str| {
        let (name, rest) = line.strip_prefix("Inst ")?.split_once(' ')?;
        let version = rest.split_once('(')?.1.split_whitespace().next()?;
        Some(format!("{name} {version}"))
    };
    run.status
        .success()
        .then(|| text.lines().filter_map(read).collect())
}

fn ours(request: &Request) -> Result<BTreeSet<String>, String> {
    let solution = resolve(request).map_err(|e| e.to_string())?;
    let chosen = solution.packages.iter().map(|one| {
        let facts = &request.candidates[one.candidate].facts;
        format!("{} {}", facts.name, facts.version)
    });
    Ok(chosen.collect())
}

/// Names of the index at equal distances, and the common ones.
fn names(all: &[Candidate], count: usize) -> Vec<String> {
    let unique: BTreeSet<&str> = all.iter().map(|one| one.facts.name.as_str()).collect();
    let step = (unique.len() / count.max(1)).max(1);
    let drawn = unique.iter().skip(step / 2).step_by(step).copied();
    let common = COMMON.iter().filter(|name| unique.contains(*name)).copied();
    drawn.chain(common).map(str::to_owned).collect()
}

/// What differs between the two choices, if anything does.
fn difference(
    ours: &Result<BTreeSet<String>, String>,
    theirs: &Option<BTreeSet<String>>,
) -> Option<String> {
    match (ours, theirs) {
        (Ok(ours), Some(theirs)) if ours == theirs => None,
        (Err(_), None) => None,
        (Ok(ours), Some(theirs)) => Some(format!(
            "only here {:?}, only apt {:?}",
            ours.difference(theirs).collect::<Vec<_>>(),
            theirs.difference(ours).collect::<Vec<_>>()
        )),
        (Ok(ours), None) => Some(format!("apt refuses, here {} packages", ours.len())),
        (Err(why), Some(theirs)) => Some(format!(
            "apt installs {} packages, here {why}",
            theirs.len()
        )),
    }
}

#[test]
#[ignore = "asks apt about a hundred packages of the indices that the machine has"]
fn the_choice_is_that_of_apt() {
    let tar = Path::new(env!("CARGO_MANIFEST_DIR")).join("target/packages/bookworm/root.tar");
    let arguments = ["xOf", tar.to_str().unwrap(), "./var/lib/dpkg/status"];
    let status = output("tar", &arguments);
    assert!(
        !status.is_empty(),
        "make test-packages makes {}",
        tar.display()
    );
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("status"), &status).unwrap();
    fs::create_dir_all(dir.path().join("cache/archives/partial")).unwrap();
    let (sources, candidates) = indices();
    let count = std::env::var("GOLDSMITH_NAMES").map_or(100, |count| count.parse().unwrap());
    let with_apt = std::env::var_os("GOLDSMITH_NO_APT").is_none();
    let names = names(&candidates, count);
    let mut request = Request {
        architecture: "amd64".to_owned(),
        sources,
        installed: packages(&status, 0, true),
        candidates,
        ..Request::default()
    };
    println!(
        "{} packages of repositories, {} installed, {} names",
        request.candidates.len(),
        request.installed.len(),
        names.len()
    );
    for recommends in [false, true] {
        request.recommends = recommends;
        let mut times: Vec<(Duration, usize, &str)> = Vec::new();
        let mut equal = 0;
        for name in &names {
            request.wanted = vec![Want::parse(name).unwrap()];
            let start = Instant::now();
            let found = ours(&request);
            let size = found.as_ref().map_or(0, BTreeSet::len);
            times.push((start.elapsed(), size, name));
            if !with_apt {
                continue;
            }
            let theirs = apt(dir.path(), name, recommends);
            match difference(&found, &theirs) {
                None => equal += 1,
                Some(text) => println!("{name} (recommends {recommends}): {text}"),
            }
        }
        times.sort();
        let median = &times[times.len() / 2];
        println!("recommends {recommends}: {equal} equal; median {median:?}");
        println!("longest: {:?}", &times[times.len().saturating_sub(4)..]);
    }
}
