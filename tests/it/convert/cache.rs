//! The cache: the same bytes whatever it holds, and less to do; the one of the user, and the one
//! that `--cache` names.

use crate::support::images::{convert, small};
use crate::support::scratch;
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

fn command(small: &Path, out: &Path, cache: Option<&Path>, more: &[&str]) -> Command {
    let mut command = convert(small, out);
    command
        .args([
            "--set",
            "output.image=zst",
            "--set",
            "artifact.compression=gzip",
        ])
        .args(more);
    match cache {
        Some(cache) => command.arg("--cache").arg(cache),
        None => command.arg("--no-cache"),
    };
    command.stdout(Stdio::null());
    command
}

/// The results by name, and what was said.
fn converted(
    small: &Path,
    out: &Path,
    cache: Option<&Path>,
    more: &[&str],
) -> (BTreeMap<String, Vec<u8>>, String) {
    let output = command(small, out, cache, more).output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    (results(out), said)
}

fn results(out: &Path) -> BTreeMap<String, Vec<u8>> {
    let entries = fs::read_dir(out).unwrap().map(Result::unwrap);
    entries
        .map(|entry| {
            (
                entry.file_name().into_string().unwrap(),
                fs::read(entry.path()).unwrap(),
            )
        })
        .collect()
}

fn all_found(said: &str) -> bool {
    let (found, needed) = counts(said);
    found == needed
}

/// How many frames were there and how many were needed, by the line about it. Threads that meet the
/// first zeros at once ask twice.
fn counts(said: &str) -> (usize, usize) {
    let line = said
        .lines()
        .find_map(|line| line.strip_prefix("note: cache: "))
        .expect("a line about the cache");
    let number = |at: usize| line.split(' ').nth(at).unwrap().parse().unwrap();
    (number(0), number(2))
}

fn frames(cache: &Path) -> Vec<std::path::PathBuf> {
    let named = |path: &std::path::PathBuf| path.file_name().is_some_and(|name| name.len() == 64);
    fs::read_dir(cache)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(named)
        .collect()
}

#[test]
fn cold_warm_damaged_small_and_absent_caches_give_the_same_bytes() {
    let Some(small) = small() else { return };
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    let cache = at("cache");
    let (plain, _) = converted(small, &at("plain"), None, &[]);
    let (cold, said) = converted(small, &at("cold"), Some(&cache), &[]);
    assert!(cold == plain, "a cold cache");
    let (found, needed) = counts(&said);
    assert!(found * 2 < needed && needed > 8, "{said}");
    let (warm, said) = converted(small, &at("warm"), Some(&cache), &["--jobs", "3"]);
    assert!(warm == plain, "a warm cache");
    assert!(all_found(&said), "{said}");
    // Another level is another frame.
    let (_, said) = converted(
        small,
        &at("level"),
        Some(&cache),
        &["--set", "artifact.level=1", "--set", "output.level=1"],
    );
    assert!(counts(&said).0 * 2 < counts(&said).1, "{said}");
    for (number, path) in frames(&cache).iter().enumerate() {
        let mut bytes = fs::read(path).unwrap();
        match number % 4 {
            0 => bytes.truncate(bytes.len() / 2),
            1 => bytes.iter_mut().for_each(|byte| *byte ^= 0x55),
            2 => bytes.clear(),
            _ => continue,
        }
        fs::write(path, bytes).unwrap();
    }
    let (damaged, said) = converted(small, &at("damaged"), Some(&cache), &[]);
    assert!(damaged == plain, "a damaged cache");
    assert!(
        said.contains("were damaged and compressed again") && !all_found(&said),
        "{said}"
    );
    assert!(
        all_found(&converted(small, &at("repaired"), Some(&cache), &[]).1),
        "what was damaged was not repaired"
    );
    let (bounded, _) = converted(
        small,
        &at("bounded"),
        Some(&cache),
        &["--cache-size", "2 MiB"],
    );
    assert!(bounded == plain, "a cache that is too small");
    assert!(
        frames(&cache)
            .iter()
            .map(|path| path.metadata().unwrap().len())
            .sum::<u64>()
            <= 2 << 20
    );
    fs::write(at("file"), "").unwrap();
    let output = command(small, &at("none"), Some(&at("file")), &[])
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(
        said.contains("cannot be used: ")
            && said.contains("hint: choose another directory with --cache"),
        "{said}"
    );
}

#[test]
fn conversions_share_a_cache_at_once_and_survive_each_others_death() {
    let Some(small) = small() else { return };
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    let cache = at("cache");
    let (plain, _) = converted(small, &at("plain"), None, &[]);
    let start = |name: &str, more: &[&str]| {
        command(small, &at(name), Some(&cache), more)
            .stderr(Stdio::null())
            .spawn()
            .unwrap()
    };
    let mut killed = start("killed", &[]);
    let mut running = [
        start("one", &[]),
        start("two", &["--cache-size", "1 MiB"]),
        start("three", &[]),
    ];
    std::thread::sleep(std::time::Duration::from_millis(150));
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(
        running
            .iter_mut()
            .all(|child| child.wait().unwrap().success())
    );
    for name in ["one", "two", "three"] {
        assert!(results(&at(name)) == plain, "{name}");
    }
    assert!(converted(small, &at("after"), Some(&cache), &[]).0 == plain);
    let left = fs::read_dir(&cache).unwrap().filter(|entry| {
        entry
            .as_ref()
            .unwrap()
            .file_name()
            .to_str()
            .unwrap()
            .starts_with(".goldsmith-")
    });
    assert_eq!(left.count(), 0, "leftovers stay");
}

/// Converts without arguments about the cache, in an environment with these directories.
fn by_environment(
    small: &Path,
    out: &Path,
    home: Option<&Path>,
    caches: Option<&Path>,
    more: &[&str],
) -> (BTreeMap<String, Vec<u8>>, String, String) {
    let mut command = convert(small, out);
    command.args(["--set", "output.image=none"]).args(more);
    for (name, value) in [("HOME", home), ("XDG_CACHE_HOME", caches)] {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    let output = command.output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
    let printed = String::from_utf8(output.stdout).unwrap();
    (results(out), said, printed)
}

#[test]
fn without_arguments_the_cache_is_that_of_the_user() {
    let Some(small) = small() else { return };
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    let (home, caches) = (at("home"), at("caches"));
    fs::create_dir(&home).unwrap();
    let frames_of = |dir: &Path| frames(&dir.join("goldsmith/frames"));
    let without = |name: &str, more: &[&str]| {
        let (results, said, _) = by_environment(small, &at(name), Some(&home), None, more);
        assert!(!said.contains("cache"), "{said}");
        results
    };
    let plain = without("plain", &["--no-cache"]);
    assert!(without("disabled", &["-s", "cache.enabled=false"]) == plain);
    assert!(fs::read_dir(&home).unwrap().next().is_none());
    let cold = by_environment(small, &at("cold"), Some(&home), None, &[]);
    assert!(cold.0 == plain, "a cold cache");
    let (found, needed) = counts(&cold.1);
    assert!(found * 2 < needed, "{}", cold.1);
    assert!(!frames_of(&home.join(".cache")).is_empty());
    // The last line that is said, and a part of what `--json` prints, but no byte of a result.
    let warm = by_environment(small, &at("warm"), Some(&home), None, &["--json"]);
    assert!(warm.0 == plain, "a warm cache");
    assert!(all_found(&warm.1), "{}", warm.1);
    assert!(warm.1.lines().last().unwrap().starts_with("note: cache: "));
    let printed: serde_json::Value = serde_json::from_str(&warm.2).unwrap();
    let usage = &printed["cache"];
    assert_eq!(usage["compressed_frames"], 0, "{usage}");
    assert_eq!(
        usage["reused_frames"].as_u64().unwrap(),
        counts(&warm.1).0 as u64
    );
    assert!(usage["reused_bytes"].as_u64().unwrap() > 1 << 20);
    // Another directory of caches, then one that the configuration names.
    by_environment(small, &at("xdg"), Some(&home), Some(&caches), &[]);
    assert!(!frames_of(&caches).is_empty());
    let dir = format!("cache.dir={}", at("named").display());
    let size = ["-s", &dir, "-s", "cache.size=1 MiB"];
    by_environment(small, &at("by-key"), Some(&home), None, &size);
    let kept: u64 = frames(&at("named"))
        .iter()
        .map(|path| path.metadata().unwrap().len())
        .sum();
    assert!(kept > 0 && kept <= 1 << 20, "{kept}");
}

#[test]
fn a_run_goes_on_where_the_user_can_have_no_cache() {
    let Some(small) = small() else { return };
    let scratch = scratch();
    let at = |name: &str| scratch.path().join(name);
    fs::write(at("file"), "").unwrap();
    fs::create_dir(at("foreign")).unwrap();
    let mut cases = vec![
        (
            "none",
            None,
            "neither XDG_CACHE_HOME nor HOME names a directory",
        ),
        ("file", Some(at("file")), "cannot be used: "),
    ];
    if std::os::unix::fs::chown(at("foreign"), Some(1234), None).is_ok() {
        let text = "root would leave files in a directory of user 1234";
        cases.push(("foreign", Some(at("foreign")), text));
    }
    let mut all = Vec::new();
    for (name, home, text) in cases {
        let out = at(&format!("out-{name}"));
        let (results, said, _) = by_environment(small, &out, home.as_deref(), None, &[]);
        let note = said
            .lines()
            .find(|line| line.starts_with("note: nothing is kept for the next conversion: "));
        assert!(note.is_some_and(|note| note.contains(text)), "{said}");
        all.push(results);
    }
    assert!(all.windows(2).all(|pair| pair[0] == pair[1]));
    assert!(fs::read_dir(at("foreign")).unwrap().next().is_none());
    let mut both = convert(small, &at("both"));
    let output = both
        .args(["--no-cache", "--cache"])
        .arg(at("cache"))
        .output();
    assert_eq!(output.unwrap().status.code(), Some(2));
}
