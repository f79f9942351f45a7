//! Settings of the system that the configuration has: `[system]`.

use super::Workspace;
use super::files::text;
use crate::golden::facts;
use crate::nearest::nearest;
use crate::plan::Plan;
use crate::plan::edits::Style;
use crate::plan::settings::{Setting, UserKeys};
use crate::problem::Problem;
use crate::stream::{Content, ReadAt as _};
use crate::tree::edit::EditError;
use crate::tree::{Dir, DirEntry, Leaf, LeafKind, Node, Stat, Tree, show};

/// The size limit of the texts that are read (bytes).
const LIMIT: u64 = 4 << 20;

/// Makes the changes of the plan.
pub(super) fn edit(work: &mut Workspace<'_>, plan: &Plan) -> Result<(), EditError> {
    let settings = &plan.settings;
    if let Some(name) = &settings.hostname {
        hostname(work, name)?;
    }
    if let Some(zone) = &settings.timezone {
        timezone(work, zone)?;
    }
    if let Some(wanted) = &settings.locale {
        locale(work, wanted)?;
    }
    for user in &settings.users {
        keys(work, user)?;
    }
    Ok(())
}

/// `/etc/hostname`, and the lines of `/etc/hosts` that have the old name: `127.0.1.1` stands for
/// the name of the machine in Debian.
fn hostname(work: &mut Workspace<'_>, setting: &Setting) -> Result<(), EditError> {
    let Setting { from, value: name } = setting;
    let old = work.root.text("/etc/hostname", LIMIT)?.unwrap_or_default();
    let old = old.trim().to_owned();
    work.root
        .rewrite("/etc/hostname", format!("{name}\n"), 0o644, from)?;
    let hosts = work.root.text("/etc/hosts", LIMIT)?;
    let hosts = hosts.unwrap_or_else(|| "127.0.0.1\tlocalhost\n".to_owned());
    work.root
        .rewrite("/etc/hosts", hosts_with(&hosts, &old, name), 0o644, from)?;
    if facts::program(work.root.tree(), "cloud-init") {
        work.notes.push(format!(
            "{from}: cloud-init may set another name at its first start: preserve_hostname: true \
             in /etc/cloud/cloud.cfg.d keeps this one"
        ));
    }
    Ok(())
}

/// `/etc/hosts` with another name of the machine.
fn hosts_with(text: &str, old: &str, name: &str) -> String {
    let short = name.split('.').next().unwrap_or(name);
    let names = match short == name {
        true => name.to_owned(),
        false => format!("{name} {short}"),
    };
    let old_short = old.split('.').next().unwrap_or(old);
    let is_old = |word: &str| !old.is_empty() && (word == old || word == old_short);
    let mut out = String::new();
    let mut has_own = false;
    let mut last_local = None;
    for line in text.lines() {
        let body = line.split('#').next().unwrap_or_default();
        let mut words = body.split_whitespace();
        let address = words.next().unwrap_or_default();
        if address == "127.0.1.1" {
            if !has_own {
                out.push_str(&format!("127.0.1.1\t{names}\n"));
            }
            has_own = true;
            continue;
        }
        let is_local = address.starts_with("127.") || address == "::1";
        if is_local && words.clone().any(is_old) {
            let kept: Vec<&str> = words.filter(|word| !is_old(word)).collect();
            out.push_str(&format!("{address}\t{}", kept.join(" ")));
            let space = if kept.is_empty() { "" } else { " " };
            out.push_str(&format!("{space}{names}\n"));
            has_own |= address.starts_with("127.");
        } else {
            out.push_str(line);
            out.push('\n');
        }
        if address.starts_with("127.") {
            last_local = Some(out.len());
        }
    }
    if !has_own {
        let at = last_local.unwrap_or(0);
        out.insert_str(at, &format!("127.0.1.1\t{names}\n"));
    }
    out
}

const ZONES: &str = "/usr/share/zoneinfo";

/// `/etc/localtime`, and `/etc/timezone` where the image has it (`localtime(5)`).
fn timezone(work: &mut Workspace<'_>, setting: &Setting) -> Result<(), EditError> {
    let Setting { from, value: zone } = setting;
    let tree = work.root.tree();
    let path = format!("{ZONES}/{zone}");
    if !tree.file(&path).is_some_and(is_zone) {
        let zones = zones(tree);
        let hint = match nearest(zone, zones.iter().map(String::as_str)) {
            Some(near) => format!("did you mean `{near}`?"),
            None if zones.is_empty() => {
                format!("install tzdata in the golden image: {ZONES} has no time zones")
            }
            None => format!("write one of the names below {ZONES}, such as `Europe/Berlin`"),
        };
        let message = format!("{from}: the image has no time zone {zone}");
        work.problems.push(Problem::new(message).hint(hint));
        return Ok(());
    }
    work.root.symlink("/etc/localtime", path.as_str(), from)?;
    if work.root.tree().file("/etc/timezone").is_some() {
        work.root
            .rewrite("/etc/timezone", format!("{zone}\n"), 0o644, from)?;
    }
    Ok(())
}

/// Whether a file is a time zone (`tzfile(5)`).
fn is_zone(file: &Content) -> bool {
    let mut magic = [0; 4];
    file.len() >= 4 && file.read_exact_at(0, &mut magic).is_ok() && magic == *b"TZif"
}

/// The names of all time zones.
fn zones(tree: &Tree) -> Vec<String> {
    let mut out = Vec::new();
    let Some(dir) = tree.dir(ZONES) else {
        return out;
    };
    files_below(dir, "", &mut out);
    out.retain(|name| {
        let is_copy = name.starts_with("posix/") || name.starts_with("right/");
        !is_copy && tree.file(format!("{ZONES}/{name}")).is_some_and(is_zone)
    });
    out
}

/// The paths of all leaves below a directory, from its top.
fn files_below(dir: &Dir, at: &str, out: &mut Vec<String>) {
    for (name, entry) in &dir.entries {
        let path = format!("{at}{}", show(name));
        match entry {
            DirEntry::Dir(dir) => files_below(dir, &format!("{path}/"), out),
            DirEntry::Leaf(_) => out.push(path),
        }
    }
}

/// `LANG` in `/etc/default/locale` and `/etc/locale.conf`, where the image has them.
fn locale(work: &mut Workspace<'_>, setting: &Setting) -> Result<(), EditError> {
    let Setting { from, value } = setting;
    let known = locales(work.root.tree())?;
    let builtin = ["C", "POSIX", "C.UTF-8"];
    let wanted = normalized(value);
    let has = |name: &String| normalized(name) == wanted;
    if !known.iter().any(has) && !builtin.iter().any(|name| normalized(name) == wanted) {
        let names = known.iter().map(String::as_str).chain(builtin);
        let hint = match nearest(value, names) {
            Some(near) => format!("did you mean `{near}`?"),
            None => format!(
                "generate it in the golden image (locale-gen); the image has {}",
                known
                    .iter()
                    .map(String::as_str)
                    .chain(builtin)
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        };
        let message = format!("{from}: the image does not have the locale {value}");
        work.problems.push(Problem::new(message).hint(hint));
        return Ok(());
    }
    let files = ["/etc/default/locale", "/etc/locale.conf"];
    let there = files
        .into_iter()
        .filter(|path| work.root.tree().file(path).is_some());
    let mut there: Vec<&str> = there.collect();
    if there.is_empty() {
        there.push(files[0]);
    }
    for path in there {
        let old = work.root.text(path, LIMIT)?.unwrap_or_default();
        match text::set(&old, &Style::Shell, "LANG", value) {
            Ok(new) => work.root.rewrite(path, new, 0o644, from)?,
            Err(what) => {
                let message = format!("{from}: {path}: {what}");
                work.problems.push(Problem::new(message));
            }
        }
        let is_all = |line: &str| line.trim_start().starts_with("LC_ALL=");
        if old.lines().any(is_all) {
            work.warnings
                .push(format!("{from}: LC_ALL in {path} overrides LANG"));
        }
    }
    Ok(())
}

/// The name of a locale as glibc compares it: the letters and digits of its codeset in lower case.
fn normalized(name: &str) -> String {
    let (base, modifier) = name.split_once('@').unwrap_or((name, ""));
    let (language, codeset) = base.split_once('.').unwrap_or((base, ""));
    let codeset: String = codeset
        .chars()
        .filter(char::is_ascii_alphanumeric)
        .map(|c| c.to_ascii_lowercase())
        .collect();
    format!("{language}.{codeset}@{modifier}")
}

/// The locales of the image: directories below `/usr/lib/locale`, and those of its archive.
fn locales(tree: &Tree) -> Result<Vec<String>, EditError> {
    const DIR: &str = "/usr/lib/locale";
    let mut out = Vec::new();
    for (name, entry) in tree.dir(DIR).into_iter().flat_map(|dir| &dir.entries) {
        if entry.as_dir().is_some() {
            out.push(show(name));
        }
    }
    let path = format!("{DIR}/locale-archive");
    if let Some(archive) = tree.file(&path) {
        let names = archived(archive).map_err(|e| EditError::Io(path, e))?;
        out.extend(names);
    }
    out.sort();
    out.dedup();
    Ok(out)
}

/// The most locales of an archive that are looked at; glibc has some five hundred.
const MAX_LOCALES: u64 = 8192;

/// The names of the locales in an archive (`locarchive.h` of glibc, little endian): a header of
/// 32-bit numbers, of which the third and fifth are the offset and length of a hash table, whose
/// entries are a hash, the offset of a name and the offset of the locale, 0 where it is free.
fn archived(archive: &Content) -> std::io::Result<Vec<String>> {
    const MAGIC: u32 = 0xde02_0109;
    let number = |at: u64| -> std::io::Result<u64> {
        let mut bytes = [0; 4];
        archive.read_exact_at(at, &mut bytes)?;
        Ok(u32::from_le_bytes(bytes).into())
    };
    let mut out = Vec::new();
    if archive.len() < 56 || number(0)? != u64::from(MAGIC) {
        return Ok(out);
    }
    let (table, entries) = (number(8)?, number(16)?.min(MAX_LOCALES));
    for entry in 0..entries {
        let at = table + entry * 12;
        if at + 12 > archive.len() {
            break;
        }
        let (name, locale) = (number(at + 4)?, number(at + 8)?);
        if name == 0 || locale == 0 || name >= archive.len() {
            continue;
        }
        let len = usize::try_from((archive.len() - name).min(64)).unwrap_or(64);
        let mut bytes = vec![0; len];
        archive.read_exact_at(name, &mut bytes)?;
        let end = bytes.iter().position(|byte| *byte == 0).unwrap_or(0);
        bytes.truncate(end);
        if !bytes.is_empty() {
            out.push(show(&bytes));
        }
    }
    Ok(out)
}

/// A line of `/etc/passwd`: name, user, group and home.
struct Account {
    name: String,
    uid: u32,
    gid: u32,
    home: String,
}

fn accounts(tree: &Tree) -> Result<Vec<Account>, EditError> {
    let text = tree.read("/etc/passwd", LIMIT)?.unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let account = |line: &str| {
        let fields: Vec<&str> = line.split(':').collect();
        Some(Account {
            name: (*fields.first()?).to_owned(),
            uid: fields.get(2)?.parse().ok()?,
            gid: fields.get(3)?.parse().ok()?,
            home: (*fields.get(5)?).to_owned(),
        })
    };
    Ok(text.lines().filter_map(account).collect())
}

/// Adds public keys to `~/.ssh/authorized_keys`, with the owner and the modes that sshd demands.
fn keys(work: &mut Workspace<'_>, user: &UserKeys) -> Result<(), EditError> {
    let UserKeys { from, user, keys } = user;
    let accounts = accounts(work.root.tree())?;
    let Some(account) = accounts.iter().find(|account| account.name == *user) else {
        let names = accounts.iter().map(|account| account.name.as_str());
        let problem = Problem::new(format!("{from}: the image has no user {user}"));
        work.problems.push(match nearest(user, names) {
            Some(near) => problem.hint(format!("did you mean `{near}`?")),
            None => problem.hint("make the user in the golden image"),
        });
        return Ok(());
    };
    let home = account.home.trim_end_matches('/');
    let lacks_home = !home.starts_with('/') || work.root.tree().dir(home).is_none();
    if lacks_home && !keys.is_empty() {
        let message = format!(
            "{from}: the image has no directory {}, the home of {user}",
            account.home
        );
        work.problems
            .push(Problem::new(message).hint("make it in the golden image"));
        return Ok(());
    }
    let dir = format!("{home}/.ssh");
    let file = format!("{dir}/authorized_keys");
    let own = |stat: Stat, mode: u16| Stat {
        mode,
        uid: account.uid,
        gid: account.gid,
        ..stat
    };
    let old = work.root.text(&file, LIMIT)?.unwrap_or_default();
    let mut text = old.clone();
    for key in keys {
        if text.lines().any(|line| line == key) {
            continue;
        }
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        text.push_str(&format!("{key}\n"));
    }
    if text == old {
        return Ok(());
    }
    let is_new = work.root.tree().find(&dir).is_none();
    work.root.dir(&dir, 0o700, from)?;
    let real = work.root.tree().walk(dir.as_bytes(), true)?.path();
    if is_new && let Some(stat) = work.root.tree_mut().stat_mut(&real) {
        *stat = own(stat.clone(), 0o700);
    }
    let time = work.root.time();
    let stat = match work.root.tree().find(&file) {
        Some(Node::Leaf(leaf)) => Stat {
            mtime: time,
            ctime: time,
            ..leaf.stat.clone()
        },
        _ => own(Stat::root(0o600, time), 0o600),
    };
    let leaf = Leaf {
        stat,
        kind: LeafKind::File(Content::bytes(text.into_bytes())),
    };
    let path = work.root.tree().walk(file.as_bytes(), true)?.path();
    work.root.place(&path, leaf, from)?;
    if !facts::program(work.root.tree(), "sshd") {
        work.warnings.push(format!(
            "{from}: the image has no sshd that would accept the keys of {user}"
        ));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::edit::tests::{content, edited, is_link};
    use crate::golden::Golden;
    use crate::golden::example_tests::{self, Example, add, empty, esp, ext};
    use crate::image::table::types;

    const KEY: &str =
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFJ8gXvSW1kJXfFhbRmVn0iVkPl3nQq3m7XKZlJvHnq2 me";

    /// An archive with the locales `de_DE.utf8` and, removed, `fr_FR.utf8`.
    fn archive() -> Vec<u8> {
        let mut out = vec![0; 200];
        let mut put = |at: usize, number: u32| {
            out[at..at + 4].copy_from_slice(&number.to_le_bytes());
        };
        for (at, number) in [
            (0, 0xde02_0109),
            (8, 60),
            (16, 3),
            (76, 120),
            (80, 190),
            (88, 140),
        ] {
            put(at, number);
        }
        out[120..130].copy_from_slice(b"de_DE.utf8");
        out[140..150].copy_from_slice(b"fr_FR.utf8");
        out
    }

    fn golden() -> Golden {
        let mut root = example_tests::root();
        for (path, bytes) in [
            ("/etc/hostname", b"golden\n".as_slice()),
            (
                "/etc/hosts",
                b"127.0.0.1 localhost\n127.0.1.1 golden.lan golden # me\n",
            ),
            (
                "/etc/passwd",
                b"root:x:0:0::/root:/bin/sh\npi:x:1000:1001::/home/pi:/bin/sh\n",
            ),
            ("/etc/timezone", b"Etc/UTC\n"),
            ("/usr/share/zoneinfo/Europe/Berlin", b"TZif2"),
            ("/usr/share/zoneinfo/zone1970", b"text"),
            ("/usr/lib/locale/C.utf8/LC_TIME", b"x"),
            ("/usr/lib/locale/locale-archive", &archive()),
            ("/home/pi/.ssh/authorized_keys", b"ssh-rsa old"),
            ("/root/x", b""),
        ] {
            add(&mut root, path, bytes);
        }
        let mut boot = empty();
        add(&mut boot, "/EFI/BOOT/BOOTX64.EFI", b"");
        let partitions = vec![(types::GPT_ESP, esp(&boot)), (types::GPT_LINUX, ext(&root))];
        Example { partitions }.golden()
    }

    #[test]
    fn the_system_gets_its_settings() {
        let text = format!(
            "client.managed = false\n[system]\nhostname = \"gw.example.com\"\ntimezone = \"Europe/Berlin\"\n\
             locale = \"de_DE.UTF-8\"\n[[system.user]]\nname = \"pi\"\nauthorized-keys = {KEY:?}\n\
             [[system.user]]\nname = \"root\"\nauthorized-keys = [{KEY:?}, {KEY:?}]\n"
        );
        let edited = edited(&golden(), &text).unwrap();
        let mut root = edited.trees.root;
        let is = |path: &str, text: &str| assert_eq!(content(&root, path).as_deref(), Some(text));
        is("/etc/hostname", "gw.example.com\n");
        is(
            "/etc/hosts",
            "127.0.0.1 localhost\n127.0.1.1\tgw.example.com gw\n",
        );
        is("/etc/timezone", "Europe/Berlin\n");
        is("/etc/default/locale", "LANG=de_DE.UTF-8\n");
        is(
            "/home/pi/.ssh/authorized_keys",
            &format!("ssh-rsa old\n{KEY}\n"),
        );
        is("/root/.ssh/authorized_keys", &format!("{KEY}\n"));
        assert!(is_link(
            &root,
            "/etc/localtime",
            "/usr/share/zoneinfo/Europe/Berlin"
        ));
        for (path, expected) in [
            ("/root/.ssh", (0o700, 0, 0)),
            ("/root/.ssh/authorized_keys", (0o600, 0, 0)),
        ] {
            let stat = root.stat_mut(path).unwrap();
            assert_eq!((stat.mode, stat.uid, stat.gid), expected, "{path}");
        }
    }

    #[test]
    fn what_the_image_lacks_is_told_of() {
        let golden = golden();
        let user =
            |name: &str| format!("[[system.user]]\nname = {name:?}\nauthorized-keys = {KEY:?}");
        for (text, expected) in [
            (
                "system.timezone = \"Europe/Berln\"".to_owned(),
                "no time zone Europe/Berln\nhint: did you mean `Europe/Berlin`?",
            ),
            (
                "system.timezone = \"zone1970\"".to_owned(),
                "no time zone zone1970\nhint: write one of",
            ),
            (
                "system.locale = \"fr_FR.UTF-8\"".to_owned(),
                "the image does not have the locale fr_FR.UTF-8",
            ),
            (
                user("po"),
                "the image has no user po\nhint: did you mean `pi`?",
            ),
        ] {
            let text = format!("{text}\n");
            let error = edited(&golden, &text).map(|_| ()).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }

    #[test]
    fn hosts_keep_all_but_the_name() {
        let old = "127.0.0.1\tlocalhost golden\n::1 localhost\n\n10.0.0.1 golden\n";
        assert_eq!(
            hosts_with(old, "golden", "gw"),
            "127.0.0.1\tlocalhost gw\n::1 localhost\n\n10.0.0.1 golden\n"
        );
        assert_eq!(hosts_with("", "", "gw"), "127.0.1.1\tgw\n");
        let local = "# x\n127.0.0.1 localhost\n::1 ip6-localhost\n";
        let expected = "# x\n127.0.0.1 localhost\n127.0.1.1\tgw\n::1 ip6-localhost\n";
        assert_eq!(hosts_with(local, "", "gw"), expected);
    }
}
