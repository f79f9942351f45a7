//! Extracts the files of a package into the tree, as `dpkg --unpack` does.

use super::database::{Conffile, Database, PackageState, lines, text};
use super::incoming::{Incoming, replaces};
use super::md5::{md5_at, md5_of};
use super::request::Journal;
use super::users::AccountIds;
use crate::deb::{DataEntry, DataEntryKind, MultiArch};
use crate::problem::Problem;
use crate::stream::{Content, ReadAt};
use crate::tree::edit::EditError;
use crate::tree::editor::{Action, TreeEditor};
use crate::tree::{Leaf, LeafId, LeafKind, Node, Stat, Time, show};
use std::collections::{BTreeMap, BTreeSet};

/// Largest configuration file in bytes.
const CONFFILE_LIMIT: u64 = 64 << 20;

/// The files that were extracted, as the database records them.
#[derive(Debug, Default)]
pub(super) struct Extracted {
    /// The paths of the package in the order of its archive, for its list.
    pub(super) list: Vec<Vec<u8>>,
    pub(super) conffiles: Vec<Conffile>,
    /// `md5sums` as dpkg would write it for a package that ships none.
    pub(super) md5sums: Vec<u8>,
    /// Files that this package takes over from others, by the name of these in `info`.
    pub(super) displaced: BTreeMap<String, BTreeSet<Vec<u8>>>,
    /// Files of the older version that were removed.
    pub(super) removed: BTreeSet<Vec<u8>>,
}

/// The extraction of one package.
struct Extractor<'w, 't> {
    editor: &'w mut TreeEditor<'t>,
    database: &'w mut Database,
    incoming: &'w Incoming,
    names: AccountIds,
    journal: &'w mut Journal,
    reason: String,
    conffiles: BTreeSet<Vec<u8>>,
    out: Extracted,
    /// Files that were extracted so far, for hard links.
    files: BTreeMap<Vec<u8>, LeafId>,
    /// Symlinks that were extracted so far: nothing of the package may lie below them.
    symlinks: BTreeSet<Vec<u8>>,
}

/// Extracts the files of `incoming` and removes those of its older version that the new one lacks.
pub(super) fn extract(
    editor: &mut TreeEditor<'_>,
    database: &mut Database,
    incoming: &Incoming,
    journal: &mut Journal,
) -> Result<Extracted, EditError> {
    let names = AccountIds::read(editor.tree())?;
    let reason = format!("package {}", incoming.facts.name);
    let conffiles = incoming.conffiles();
    let mut extractor = Extractor {
        editor,
        database,
        incoming,
        names,
        journal,
        reason,
        conffiles: conffiles.kept,
        out: Extracted::default(),
        files: BTreeMap::new(),
        symlinks: BTreeSet::new(),
    };
    for entry in &incoming.package.entries {
        extractor.entry(entry)?;
    }
    extractor.removed_conffiles(&conffiles.removed);
    extractor.order_conffiles();
    extractor.drop_old(&conffiles.removed)?;
    Ok(extractor.out)
}

impl Extractor<'_, '_> {
    fn problem(&mut self, text: String) {
        let (name, version) = (&self.incoming.facts.name, &self.incoming.facts.version);
        self.journal
            .problem(Problem::new(format!("package {name} {version}: {text}")));
    }

    fn note(&mut self, text: String) {
        self.journal
            .note(format!("{}: {text}", self.incoming.facts.name));
    }

    fn entry(&mut self, entry: &DataEntry) -> Result<(), EditError> {
        let listed = if entry.path == b"/" {
            b"/.".to_vec()
        } else {
            entry.path.clone()
        };
        if self
            .symlinks
            .iter()
            .any(|link| entry.path.starts_with(link) && entry.path.get(link.len()) == Some(&b'/'))
        {
            self.problem(format!(
                "{} is below a symbolic link of the same package",
                show(&entry.path)
            ));
            return Ok(());
        }
        let path = match self
            .database
            .diverted(&entry.path, &self.incoming.facts.name)
        {
            Some(to) => to.to_vec(),
            None => entry.path.clone(),
        };
        match &entry.kind {
            DataEntryKind::Dir => self.directory(entry, &path)?,
            _ if self.claim(entry)? => self.leaf(entry, &path)?,
            _ => {}
        }
        let owners = self.database.owners.entry(listed.clone()).or_default();
        owners.insert(&self.incoming.facts.base().into());
        if !self.out.list.contains(&listed) || entry.path != b"/" {
            self.out.list.push(listed);
        }
        Ok(())
    }

    fn stat(&self, entry: &DataEntry) -> Stat {
        let mtime = Time {
            seconds: entry.mtime,
            nanos: 0,
        };
        let (uid, gid) = (
            self.names.user(&entry.user).unwrap_or(entry.uid),
            self.names.group(&entry.group).unwrap_or(entry.gid),
        );
        let mut stat = Stat {
            uid,
            gid,
            mtime,
            ..Stat::root(entry.mode, self.editor.time())
        };
        if let Some(set) = self
            .database
            .overrides
            .iter()
            .find(|set| set.path == entry.path)
        {
            stat.mode = set.mode;
            stat.uid = self.names.user(&set.user).unwrap_or(stat.uid);
            stat.gid = self.names.group(&set.group).unwrap_or(stat.gid);
        }
        stat
    }

    fn directory(&mut self, entry: &DataEntry, path: &[u8]) -> Result<(), EditError> {
        match self.editor.tree().find(path) {
            Some(Node::Dir(_)) => return Ok(()),
            Some(Node::Leaf(_)) => {
                self.problem(format!(
                    "{} is a directory of the package and a file of the image",
                    show(path)
                ));
                return Ok(());
            }
            None if self.editor.tree().find_nofollow(path).is_some() => {
                self.problem(format!(
                    "{} is a directory of the package and a dangling symbolic link of the image",
                    show(path)
                ));
                return Ok(());
            }
            None => {}
        }
        let stat = self.stat(entry);
        let reason = self.reason.clone();
        self.editor.dir(path, stat.mode, &reason)?;
        if let Some(made) = self.editor.tree_mut().stat_mut(path) {
            *made = stat;
        }
        Ok(())
    }

    /// Whether the package may have the path: no other has it, or it may replace the other's file.
    /// Reports it if not.
    fn claim(&mut self, entry: &DataEntry) -> Result<bool, EditError> {
        let own = self.incoming.facts.base();
        let others = self
            .database
            .owners
            .get(&entry.path)
            .cloned()
            .unwrap_or_default();
        for other in others.iter().filter(|other| *other != own) {
            let Some(stanza) = self
                .database
                .by_base(other)
                .map(|s| (s.facts.clone(), s.state))
            else {
                continue;
            };
            let (facts, state) = stanza;
            let diverted = self
                .database
                .diversions
                .iter()
                .any(|d| d.from == entry.path);
            if diverted || state == PackageState::ConfigFiles {
                continue;
            }
            if facts.name == self.incoming.facts.name {
                if facts.multi_arch == MultiArch::Same && !self.shared(entry)? {
                    self.problem(format!(
                        "{} differs from that of {other}",
                        show(&entry.path)
                    ));
                }
                continue;
            }
            if self.incoming.replaces(&facts) {
                self.out
                    .displaced
                    .entry(other.to_owned())
                    .or_default()
                    .insert(entry.path.clone());
                if let Some(owners) = self.database.owners.get_mut(&entry.path) {
                    owners.remove(other);
                }
                continue;
            }
            let own = &self.incoming.facts;
            if replaces(&facts, own) {
                self.note(format!(
                    "{} stays that of {other}, which replaces it",
                    show(&entry.path)
                ));
                return Ok(false);
            }
            self.problem(format!(
                "{} is also in package {other} {}, which it does not replace",
                show(&entry.path),
                facts.version
            ));
            return Ok(false);
        }
        Ok(true)
    }

    /// Whether the file of another architecture's instance is the same.
    fn shared(&self, entry: &DataEntry) -> Result<bool, EditError> {
        let io = |e| EditError::Io(show(&entry.path), e);
        match (&entry.kind, self.editor.tree().find_nofollow(&entry.path)) {
            (
                DataEntryKind::File(new),
                Some(Node::Leaf(Leaf {
                    kind: LeafKind::File(old),
                    ..
                })),
            ) => Ok(new.len() == old.len() && md5_of(new).map_err(io)? == md5_of(old).map_err(io)?),
            (
                DataEntryKind::Symlink(new),
                Some(Node::Leaf(Leaf {
                    kind: LeafKind::Symlink(old),
                    ..
                })),
            ) => Ok(new == old),
            _ => Ok(true),
        }
    }

    fn leaf(&mut self, entry: &DataEntry, path: &[u8]) -> Result<(), EditError> {
        if let Some(Node::Dir(_)) = self.editor.tree().find_nofollow(path) {
            if matches!(entry.kind, DataEntryKind::Symlink(_)) {
                self.note(format!(
                    "{} stays a directory where the package has a symbolic link",
                    show(path)
                ));
            } else {
                self.problem(format!(
                    "{} is a file of the package and a directory of the image",
                    show(path)
                ));
            }
            return Ok(());
        }
        let stat = self.stat(entry);
        let kind = match &entry.kind {
            DataEntryKind::File(content) if self.conffiles.contains(&entry.path) => {
                return self.conffile(&entry.path, path, content, stat);
            }
            DataEntryKind::File(content) => {
                self.checksum(&entry.path, content)?;
                LeafKind::File(content.clone())
            }
            DataEntryKind::Symlink(target) => {
                self.symlinks.insert(entry.path.clone());
                LeafKind::Symlink(target.clone())
            }
            DataEntryKind::CharDevice(major, minor) => LeafKind::CharDevice {
                major: *major,
                minor: *minor,
            },
            DataEntryKind::BlockDevice(major, minor) => LeafKind::BlockDevice {
                major: *major,
                minor: *minor,
            },
            DataEntryKind::Fifo => LeafKind::Fifo,
            DataEntryKind::Hardlink(target) => return self.hardlink(&entry.path, path, target),
            DataEntryKind::Dir => return Ok(()),
        };
        let stat = if matches!(kind, LeafKind::Symlink(_)) {
            Stat {
                mode: 0o777,
                ..stat
            }
        } else {
            stat
        };
        let reason = self.reason.clone();
        let id = self.editor.put(path, Leaf { stat, kind }, &reason)?;
        self.files.insert(entry.path.clone(), id);
        Ok(())
    }

    /// Adds a file to `md5sums` and returns its checksum.
    fn checksum(&mut self, path: &[u8], content: &Content) -> Result<String, EditError> {
        let md5 = md5_of(content).map_err(|e| EditError::Io(show(path), e))?;
        let name = path.strip_prefix(b"/").unwrap_or(path);
        self.out
            .md5sums
            .extend([md5.as_bytes(), b"  ", name, b"\n"].concat());
        Ok(md5)
    }

    fn hardlink(&mut self, name: &[u8], path: &[u8], target: &[u8]) -> Result<(), EditError> {
        let Some(id) = self.files.get(target).copied() else {
            self.problem(format!(
                "{} is a hard link to {}, which is not an earlier file of the package",
                show(path),
                show(target)
            ));
            return Ok(());
        };
        if let LeafKind::File(content) = &self.editor.tree().leaf(id).kind {
            let content = content.clone();
            self.checksum(name, &content)?;
        }
        let walk = self.editor.tree().walk(path, false)?;
        let parents = Stat::root(0o755, self.editor.time());
        self.editor.tree_mut().link(path, id, &parents)?;
        let action = if walk.exists {
            Action::Changed
        } else {
            Action::Added
        };
        let reason = self.reason.clone();
        self.editor.record(walk.path(), action, &reason);
        Ok(())
    }

    /// The MD5 checksum that the database has for a configuration file, be it of this package or of
    /// one that it takes the file over from.
    fn old_md5(&self, path: &str) -> Option<String> {
        let all = self
            .database
            .old(&self.incoming.facts)
            .into_iter()
            .chain(&self.database.stanzas);
        all.flat_map(|stanza| stanza.conffiles())
            .find(|conffile| conffile.path == path)
            .map(|conffile| conffile.md5)
    }

    /// A configuration file, decided as dpkg does with its default answers: what the administrator
    /// did not change is replaced; what was changed, removed or added by hand stays, and a new
    /// version that differs is put next to it as `.dpkg-dist`.
    fn conffile(
        &mut self,
        name: &[u8],
        path: &[u8],
        content: &Content,
        stat: Stat,
    ) -> Result<(), EditError> {
        let text = String::from_utf8_lossy(name).into_owned();
        let new = self.checksum(name, content)?;
        let old = self.old_md5(&text);
        let path = self.editor.tree().walk(path, true)?.path();
        let current = md5_at(self.editor.tree(), &path)?;
        let current_stat = match self.editor.tree().find_nofollow(&path) {
            Some(Node::Leaf(leaf)) => Some(leaf.stat.clone()),
            _ => None,
        };
        self.out.conffiles.push(Conffile {
            path: text.clone(),
            md5: new.clone(),
            obsolete: false,
            removed: false,
        });
        let target = match (&old, &current) {
            (None, None) => Some(path),
            (Some(old), None) => (*old != new).then(|| [&path[..], b".dpkg-dist"].concat()),
            (_, Some(current)) if *current == new => None,
            (Some(old), Some(current)) if current == old => Some(path),
            (Some(old), Some(_)) if *old == new => None,
            _ => Some([&path[..], b".dpkg-dist"].concat()),
        };
        let Some(target) = target else { return Ok(()) };
        if target.ends_with(b".dpkg-dist") {
            self.note(format!(
                "{text} of the image stays; the package's version is next to it as .dpkg-dist"
            ));
        }
        let stat = match current_stat {
            Some(old) => Stat {
                mode: old.mode,
                uid: old.uid,
                gid: old.gid,
                ..stat
            },
            None => stat,
        };
        if content.len() > CONFFILE_LIMIT {
            self.problem(format!(
                "configuration file {text} of {} bytes exceeds the limit of {CONFFILE_LIMIT}",
                content.len()
            ));
        }
        let reason = self.reason.clone();
        self.editor.put(
            &target,
            Leaf {
                stat,
                kind: LeafKind::File(content.clone()),
            },
            &reason,
        )?;
        Ok(())
    }

    /// Enters the conffiles that the package asks to remove: dpkg remembers them too.
    fn removed_conffiles(&mut self, removed: &BTreeSet<Vec<u8>>) {
        for path in removed {
            let path = String::from_utf8_lossy(path).into_owned();
            let md5 = self.old_md5(&path);
            self.out.conffiles.push(Conffile {
                md5: md5.unwrap_or_else(|| "newconffile".to_owned()),
                path,
                obsolete: false,
                removed: true,
            });
        }
    }

    /// Conffiles in the order in which the package declares them.
    fn order_conffiles(&mut self) {
        let declared = self.incoming.conffile_lines();
        let position = |path: &str| {
            declared
                .iter()
                .position(|line| *line == path)
                .unwrap_or(usize::MAX)
        };
        self.out
            .conffiles
            .sort_by_key(|conffile| position(&conffile.path));
    }

    /// Removes the files of the older version that the new one lacks; configuration files among
    /// them stay and become obsolete.
    fn drop_old(&mut self, removed: &BTreeSet<Vec<u8>>) -> Result<(), EditError> {
        let Some(old) = self.database.old(&self.incoming.facts).cloned() else {
            return Ok(());
        };
        let base = old.facts.base();
        let list = text(self.editor.tree(), &format!("info/{base}.list"))?.unwrap_or_default();
        let new: BTreeSet<Vec<u8>> = self.out.list.iter().cloned().collect();
        let mut new_real = BTreeSet::new();
        for path in &new {
            new_real.insert(self.editor.tree().walk(path, false)?.path());
        }
        let conffiles = old.conffiles();
        let mut gone: Vec<&[u8]> = lines(&list)
            .filter(|path| !new.contains(*path) && *path != b"/.")
            .collect();
        gone.sort_unstable();
        for path in gone.into_iter().rev() {
            let known = conffiles
                .iter()
                .find(|conffile| conffile.path.as_bytes() == path);
            if let Some(Conffile { path, md5, .. }) = known {
                self.drop_conffile(path, md5, removed)?;
                continue;
            }
            let owners = self.database.owners.get(path);
            let shared = owners.is_some_and(|owners| owners.iter().any(|owner| owner != base));
            if !shared && !new_real.contains(&self.editor.tree().walk(path, false)?.path()) {
                self.drop_path(path)?;
            }
            if let Some(owners) = self.database.owners.get_mut(path) {
                owners.remove(&base);
            }
        }
        Ok(())
    }

    fn drop_conffile(
        &mut self,
        name: &str,
        md5: &str,
        removed: &BTreeSet<Vec<u8>>,
    ) -> Result<(), EditError> {
        let Some(current) = md5_at(self.editor.tree(), name.as_bytes())? else {
            return Ok(());
        };
        if !removed.contains(name.as_bytes()) {
            self.out.conffiles.push(Conffile {
                path: name.to_owned(),
                md5: md5.to_owned(),
                obsolete: true,
                removed: false,
            });
            self.out.list.push(name.as_bytes().to_vec());
            return Ok(());
        }
        let reason = self.reason.clone();
        let gone = match self.editor.tree().find(name) {
            Some(Node::Leaf(leaf)) if current != md5 => Some(leaf.clone()),
            _ => None,
        };
        self.editor.remove(name, &reason)?;
        if let Some(leaf) = gone {
            self.editor.put(format!("{name}.dpkg-old"), leaf, &reason)?;
        }
        Ok(())
    }

    fn drop_path(&mut self, path: &[u8]) -> Result<(), EditError> {
        let path = match self.database.diverted(path, &self.incoming.facts.name) {
            Some(to) => to.to_vec(),
            None => path.to_vec(),
        };
        let leave = match self.editor.tree().find_nofollow(&path) {
            Some(Node::Dir(dir)) => !dir.entries.is_empty(),
            Some(Node::Leaf(_)) => false,
            None => true,
        };
        let reason = self.reason.clone();
        if !leave {
            self.editor.remove(&path, &reason)?;
            self.out.removed.insert(path);
        }
        Ok(())
    }
}
