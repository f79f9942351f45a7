//! `goldsmith ls`, `cat` and `extract`: the files in images, filesystems and Artifacts.

use super::input::ContentArgs;
use super::{message, print, progress};
use crate::golden::disk::Filesystem;
use crate::problem::{Problem, Problems};
use crate::stamp::rfc3339;
use crate::stream::ReadAt as _;
use crate::tree::{LeafKind, Node, Tree, show};
use crate::units::{counted, human};
use crate::volume::{self, Address, Opened, Row, Volume, kind_letter, mode_text};
use clap::Args;
use serde::Serialize;
use std::fmt::Write as _;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Length of one read (bytes).
const PIECE: u64 = 1 << 20;

/// List files in an image, a filesystem or an Artifact
///
/// The address of a file is IMAGE:PART:PATH. IMAGE is a disk image in any input format, a file with
/// a bare filesystem, or an Artifact. PART is the number or name of a partition, or `boot`, `root`
/// (slot A), `root-b` or `data`; without it, as in IMAGE:/etc, the root filesystem is meant.
/// IMAGE alone lists the partitions.
#[derive(Args, Debug)]
pub(super) struct LsArgs {
    /// Include everything below
    #[arg(short = 'R', long)]
    recursive: bool,
    /// Print a JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    input: ContentArgs,
    /// What to list
    #[arg(value_name = "IMAGE[:PART][:PATH]")]
    address: String,
}

/// Print a file in an image, a filesystem or an Artifact
///
/// Addresses are those of `goldsmith ls`.
#[derive(Args, Debug)]
pub(super) struct CatArgs {
    #[command(flatten)]
    input: ContentArgs,
    /// The file
    #[arg(value_name = "IMAGE[:PART]:PATH")]
    address: String,
}

/// Copy files out of an image, a filesystem or an Artifact
///
/// Addresses are those of `goldsmith ls`. Directories are copied with everything below them.
/// Content, hard links, permission bits and modification times are kept; owners, devices and
/// extended attributes are not, since that takes privileges, nor are set-user-ID and set-group-ID
/// bits.
#[derive(Args, Debug)]
pub(super) struct ExtractArgs {
    #[command(flatten)]
    input: ContentArgs,
    /// The file or directory
    #[arg(value_name = "IMAGE[:PART][:PATH]")]
    address: String,
    /// Where it is written: a new name, or a directory that exists [default: its own name, for all
    /// of a partition what that is for, in the current directory]
    #[arg(value_name = "TARGET")]
    target: Option<PathBuf>,
}

/// A file as an address names it.
struct Found {
    opened: Opened,
    address: Address,
}

impl Found {
    fn open(input: &ContentArgs, address: &str) -> anyhow::Result<Self> {
        let address = Address::parse(address, &|path| path.symlink_metadata().is_ok());
        let report = progress::report(true);
        let opened = input.open(&address.file, &*report);
        let opened = opened.map_err(|error| match with_colon(&address.file) {
            Some(meant) => {
                let found = message::problems(&error).into_iter();
                let hint = format!("did you mean {meant}?");
                Problems(found.map(|one| one.hint(&*hint)).collect()).into()
            }
            None => error,
        })?;
        Ok(Self { opened, address })
    }

    /// The volume that the address names, and its files.
    fn tree(&self) -> anyhow::Result<(&Volume, Tree)> {
        let volume = self.opened.volume(self.address.part.as_ref())?;
        let tree = volume.tree()?.ok_or_else(|| {
            Problem::new(format!(
                "{volume} contains {}, which has no files to read",
                volume.filesystem_name()
            ))
        })?;
        Ok((volume, tree))
    }

    /// The path in the filesystem: with FAT, in the case that its names have.
    fn path(&self, volume: &Volume, tree: &Tree) -> String {
        let path = self.address.path.as_deref().unwrap_or("/");
        if volume.filesystem != Filesystem::Fat {
            return path.to_owned();
        }
        let real = tree.path_ignore_case(path);
        match String::from_utf8(real) {
            Ok(real) if !real.is_empty() => real,
            _ => path.to_owned(),
        }
    }
}

/// The address with a colon after the file, if a path leads through a file, as in `IMAGE/etc`.
fn with_colon(path: &Path) -> Option<String> {
    let file = path.ancestors().skip(1).find(|one| one.is_file())?;
    let rest = path.strip_prefix(file).ok()?;
    Some(format!("{}:/{}", file.display(), rest.display()))
}

/// Nothing is at the path of an address.
fn missing(path: &str, volume: &Volume) -> anyhow::Error {
    let parent = path.trim_end_matches('/').rsplit_once('/');
    let parent = parent.map_or(
        "/",
        |(parent, _)| if parent.is_empty() { "/" } else { parent },
    );
    Problem::new(format!("{path}: no such file or directory in {volume}"))
        .hint(format!(
            "`goldsmith ls` lists what is there, as in IMAGE:PART:{parent}"
        ))
        .into()
}

/// Runs `ls`.
pub(super) fn ls(args: &LsArgs) -> anyhow::Result<ExitCode> {
    let found = Found::open(&args.input, &args.address)?;
    let lists_volumes = found.address.part.is_none() && found.address.path.is_none();
    if lists_volumes
        && !args.recursive
        && found.opened.volumes.iter().all(|one| one.number.is_some())
    {
        let volumes: Vec<VolumeRow> = found.opened.volumes.iter().map(VolumeRow::of).collect();
        print(&match args.json {
            true => format!("{}\n", serde_json::to_string_pretty(&volumes)?),
            false => volumes_text(&volumes),
        })?;
        return Ok(ExitCode::SUCCESS);
    }
    let (volume, tree) = found.tree()?;
    let path = found.path(volume, &tree);
    let rows = volume::list(&tree, &path, args.recursive);
    let rows = rows.ok_or_else(|| missing(&path, volume))?;
    if args.json {
        let rows: Vec<FileRow> = rows.iter().map(FileRow::of).collect();
        print(&format!("{}\n", serde_json::to_string_pretty(&rows)?))?;
    } else {
        print(&rows_text(&rows))?;
    }
    Ok(ExitCode::SUCCESS)
}

/// A partition in the output of `--json`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct VolumeRow {
    /// The number in the table, from 1; none if there is no table.
    number: Option<u32>,
    /// What goldsmith uses it for, such as `root-a`, if that is known.
    role: Option<&'static str>,
    /// The name in a GPT.
    name: String,
    /// The length (bytes).
    size: u64,
    /// The kind of its filesystem.
    holds: &'static str,
}

impl VolumeRow {
    fn of(volume: &Volume) -> Self {
        Self {
            number: volume.number,
            role: volume.role.map(volume::Role::name),
            name: volume.name.clone(),
            size: volume.len,
            holds: volume.filesystem_name(),
        }
    }
}

fn volumes_text(volumes: &[VolumeRow]) -> String {
    let mut out = String::new();
    for one in volumes {
        let number = one.number.unwrap_or_default();
        let role = one.role.unwrap_or("-");
        let _ = write!(
            out,
            "{number:<3} {role:<7} {:>9}  {}",
            human(one.size),
            one.holds
        );
        if !one.name.is_empty() && one.name != role {
            let _ = write!(out, "  {}", show(one.name.as_bytes()));
        }
        out.push('\n');
    }
    out
}

/// A file in the output of `--json`.
#[derive(Serialize)]
#[cfg_attr(test, derive(schemars::JsonSchema))]
pub(super) struct FileRow {
    /// The path from the root of its filesystem.
    path: String,
    /// The letter of `ls -l`: `-`, `d`, `l`, `c`, `b`, `p` or `s`.
    kind: char,
    /// The permissions in octal, such as `0644`.
    mode: String,
    /// The number of the owner.
    uid: u32,
    /// The number of the group.
    gid: u32,
    /// The length (bytes).
    size: u64,
    /// The time of the last change of the content (RFC 3339, UTC).
    modified: String,
    /// Where a symbolic link leads.
    #[serde(skip_serializing_if = "Option::is_none")]
    target: Option<String>,
    /// The names of the extended attributes.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    attributes: Vec<String>,
}

impl FileRow {
    fn of(row: &Row<'_>) -> Self {
        Self {
            path: show(&row.path),
            kind: kind_letter(row.leaf),
            mode: format!("{:04o}", row.stat.mode),
            uid: row.stat.uid,
            gid: row.stat.gid,
            size: row.size(),
            modified: rfc3339(row.stat.mtime.seconds),
            target: row.target().map(show),
            attributes: row.stat.xattrs.keys().map(|name| show(name)).collect(),
        }
    }
}

fn rows_text(rows: &[Row<'_>]) -> String {
    let owner = |row: &Row<'_>| format!("{}:{}", row.stat.uid, row.stat.gid);
    let size = |row: &Row<'_>| match row.leaf.map(|leaf| &leaf.kind) {
        Some(LeafKind::CharDevice { major, minor } | LeafKind::BlockDevice { major, minor }) => {
            format!("{major},{minor}")
        }
        _ => row.size().to_string(),
    };
    let owners = rows.iter().map(|row| owner(row).len()).max().unwrap_or(0);
    let sizes = rows.iter().map(|row| size(row).len()).max().unwrap_or(0);
    let mut out = String::new();
    for row in rows {
        // `2026-11-29T12:00:00Z` as `2026-11-29 12:00`, in UTC.
        let time = rfc3339(row.stat.mtime.seconds).replace('T', " ");
        let _ = write!(
            out,
            "{}{}{} {:owners$} {:>sizes$} {} {}",
            kind_letter(row.leaf),
            mode_text(row.stat.mode),
            if row.stat.xattrs.is_empty() { ' ' } else { '+' },
            owner(row),
            size(row),
            time.get(..16).unwrap_or(&time),
            show(&row.path),
        );
        if let Some(target) = row.target() {
            let _ = write!(out, " -> {}", show(target));
        }
        out.push('\n');
    }
    out
}

/// Runs `cat`.
pub(super) fn cat(args: &CatArgs) -> anyhow::Result<ExitCode> {
    let found = Found::open(&args.input, &args.address)?;
    let (volume, tree) = found.tree()?;
    let path = &*found.path(volume, &tree);
    let content = match tree.find(path) {
        None => return Err(missing(path, volume)),
        Some(Node::Leaf(leaf)) => match &leaf.kind {
            LeafKind::File(content) => content,
            _ => return Err(Problem::new(format!("{path} is not a regular file")).into()),
        },
        Some(Node::Dir(_)) => {
            let problem = Problem::new(format!("{path} is a directory"));
            let hint = format!(
                "name a file, as in {}:/etc/os-release; `goldsmith ls` lists directories",
                found.address.file.display()
            );
            return Err(problem.hint(hint).into());
        }
    };
    let mut out = io::stdout().lock();
    let mut at = 0;
    while at < content.len() {
        let len = PIECE.min(content.len() - at);
        let mut piece = vec![0; usize::try_from(len)?];
        content.read_exact_at(at, &mut piece)?;
        match out.write_all(&piece) {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => break,
            result => result.map_err(super::not_printed)?,
        }
        at += len;
    }
    match out.flush() {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => {
            Err(super::not_printed(error).into())
        }
        _ => Ok(ExitCode::SUCCESS),
    }
}

/// Runs `extract`.
pub(super) fn extract(args: &ExtractArgs) -> anyhow::Result<ExitCode> {
    let found = Found::open(&args.input, &args.address)?;
    let (volume, tree) = found.tree()?;
    let path = &*found.path(volume, &tree);
    if tree.find_nofollow(path).is_none() {
        return Err(missing(path, volume));
    }
    let target = target(args.target.as_deref(), &found, volume);
    let done = volume::extract(&tree, path, &target)?;
    // FAT has no owners.
    let owners = match volume.filesystem {
        Filesystem::Fat => 0,
        _ => done.owners,
    };
    let report = progress::report(false);
    for (count, one, many) in [
        (
            done.special,
            "device, pipe or socket was left out",
            "devices, pipes and sockets were left out",
        ),
        (
            owners,
            "file has another owner now",
            "files have another owner now",
        ),
        (
            done.attributes,
            "file lost its extended attributes",
            "files lost their extended attributes",
        ),
        (
            done.set_ids,
            "file lost its set-user-ID or set-group-ID bit",
            "files lost their set-user-ID or set-group-ID bits",
        ),
    ] {
        if count > 0 {
            report.note(&counted(count, one, many));
        }
    }
    print(&format!("{}\n", target.display()))?;
    Ok(ExitCode::SUCCESS)
}

/// The path to write to: in a directory that exists, a file keeps its name; a whole filesystem is
/// called after its partition.
fn target(given: Option<&Path>, found: &Found, volume: &Volume) -> PathBuf {
    let path = found.address.path.as_deref().unwrap_or("/");
    let name = path.trim_end_matches('/').rsplit('/').next();
    let name = match name.filter(|name| !["", ".", ".."].contains(name)) {
        Some(name) => name.to_owned(),
        None => match (volume.role, volume.number) {
            (Some(role), _) => role.name().to_owned(),
            (None, Some(number)) => format!("partition-{number}"),
            (None, None) => "files".to_owned(),
        },
    };
    match given {
        Some(dir) if dir.is_dir() => dir.join(name),
        Some(path) => path.to_owned(),
        None => PathBuf::from(name),
    }
}
