//! Runs the user's programs that take part in a conversion: `[hooks]`, see `docs/hooks.md`. The
//! only place that starts a program.

use super::outputs::Scratch;
use crate::edit::{self, StagedDir};
use crate::golden::Golden;
use crate::plan::Plan;
use crate::plan::family::Role;
use crate::plan::hooks::{Hook, Stage};
use crate::platform::Architecture;
use crate::problem::Problem;
use crate::report::Report;
use crate::stamp::Time;
use anyhow::Result;
use serde_json::Value;
use std::ffi::OsStr;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The staging directory that a hook filled; it goes away with the value.
#[derive(Debug)]
pub(super) struct Staged {
    dir: Scratch,
    hook: String,
}

impl Staged {
    /// The staged files, for the edits.
    pub(super) fn dir(&self) -> StagedDir {
        StagedDir {
            hook: self.hook.clone(),
            dir: self.dir.path().to_owned(),
        }
    }

    /// One of the directories in it.
    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Runs the hooks of one stage before the image is written; `edited` are the paths that changed so
/// far, each with its filesystem.
///
/// # Errors
/// As [`run`].
pub(super) fn run_stage(
    plan: &Plan,
    golden: &Golden,
    stage: Stage,
    edited: &[(&str, String)],
    report: &dyn Report,
) -> Result<Vec<Staged>> {
    let edited: Vec<Value> = edited
        .iter()
        .map(|(filesystem, path)| serde_json::json!({ "filesystem": filesystem, "path": path }))
        .collect();
    let hook_input = serde_json::json!({
        "format": 1,
        "input": plan.input_name,
        "system": golden.facts.os,
        "architecture": golden.facts.architecture.map(Architecture::name),
        "maker": golden.origin.maker,
        "model": golden.origin.model,
        "boards": plan.boards,
        "device_types": plan.device_types,
        "artifact_name": plan.artifact.name,
        "name": plan.name,
        "time": plan.stamp.time.seconds,
        "disk_id": plan.family.disk_id_text(),
        "slots": [plan.family.path(Role::RootA), plan.family.path(Role::RootB)],
        "boot_mount": plan.boot.mount,
        "edited": edited,
    });
    let mut hooks = plan
        .hooks
        .iter()
        .filter(|hook| hook.stage == stage)
        .peekable();
    let files = match hooks.peek() {
        Some(_) => golden_files(plan, golden, report)?,
        None => Vec::new(),
    };
    let run = |hook| run(hook, &hook_input, plan.stamp.time, &files, report);
    Ok(hooks.map(run).collect::<Result<Vec<_>, Problem>>()?)
}

/// The largest file of the golden image that hooks can read (bytes).
const FILE_MAX: u64 = 64 << 20;

/// A file of the golden image, by its path below the directory of a hook.
type GoldenFile = (PathBuf, Vec<u8>);

/// The files of the golden image that `hooks.golden-files` names.
fn golden_files(plan: &Plan, golden: &Golden, report: &dyn Report) -> Result<Vec<GoldenFile>> {
    let mut out = Vec::new();
    for pattern in &plan.hook_files {
        let on_boot = pattern
            .below(&plan.boot.mount)
            .filter(|parts| !parts.is_empty());
        let (tree, parts, top) = match (on_boot, &golden.boot) {
            (Some(parts), Some(boot)) => (&boot.tree, parts, "golden/boot"),
            _ => (&golden.root.tree, pattern.parts(), "golden/rootfs"),
        };
        let found = edit::matching(tree, parts, on_boot.is_some(), false);
        let before = out.len();
        for path in found {
            let Some(bytes) = tree.read(&path, FILE_MAX)? else {
                continue;
            };
            // A literal path is where it was asked for, whatever links are on the way.
            let names: Option<Vec<&str>> = parts.iter().map(|part| part.literal()).collect();
            let below = match names {
                Some(names) => names.join("/").into_bytes(),
                None => path.get(1..).unwrap_or_default().to_vec(),
            };
            out.push((Path::new(top).join(OsStr::from_bytes(&below)), bytes));
        }
        if out.len() == before {
            report.warn(&format!(
                "hooks.golden-files: the image has no file {pattern}"
            ));
        }
    }
    Ok(out)
}

/// Runs a hook in a staging directory with nothing but `files` of the golden image, with
/// `hook_input` on its standard input; what it
/// prints is passed on.
///
/// # Errors
/// A [`Problem`] with all that it said on its standard error, when it cannot be started or does not
/// end with 0.
pub(super) fn run(
    hook: &Hook,
    hook_input: &Value,
    time: Time,
    files: &[GoldenFile],
    report: &dyn Report,
) -> Result<Staged, Problem> {
    let Hook {
        stage,
        program,
        path,
    } = hook;
    let failed = |what: String| {
        let shown = path.display();
        Problem::new(format!("the {} hook {shown}: {what}", stage.name()))
    };
    report.step(
        &format!("running the {} hook {program}", stage.name()),
        None,
    );
    let dir = Scratch::new().map_err(|e| failed(format!("making its staging directory: {e}")))?;
    for name in stage.directories() {
        std::fs::create_dir(dir.path().join(name))
            .map_err(|e| failed(format!("making its staging directory: {e}")))?;
    }
    for (path, bytes) in files {
        let path = dir.path().join(path);
        let made = path.parent().map_or(Ok(()), std::fs::create_dir_all);
        made.and_then(|()| std::fs::write(&path, bytes))
            .map_err(|e| failed(format!("copying a file of the golden image: {e}")))?;
    }
    let mut hook_input = hook_input.clone();
    hook_input["stage"] = stage.name().into();
    let output =
        start(hook, &hook_input, time, dir.path()).map_err(|e| not_started(&failed, &e))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if !output.status.success() {
        let stderr = text(&output.stderr);
        let stderr = if stderr.is_empty() {
            "without a message".to_owned()
        } else {
            format!("with the message:\n{stderr}")
        };
        return Err(failed(format!("failed ({}) {stderr}", output.status)));
    }
    for line in text(&output.stderr).lines() {
        report.warn(&format!("{}: {line}", program));
    }
    for line in text(&output.stdout).lines() {
        report.note(&format!("{}: {line}", program));
    }
    Ok(Staged {
        dir,
        hook: program.clone(),
    })
}

fn not_started(failed: &dyn Fn(String) -> Problem, error: &io::Error) -> Problem {
    let problem = failed(format!("it cannot be started: {error}"));
    match error.kind() {
        io::ErrorKind::PermissionDenied => problem.hint("make it executable: chmod +x"),
        io::ErrorKind::NotFound => {
            problem.hint("relative paths are resolved against the config file's directory")
        }
        _ => problem,
    }
}

/// Starts the program in its directory with an environment of its own, passes `hook_input` to its
/// standard input, and waits for its end.
fn start(hook: &Hook, hook_input: &Value, time: Time, dir: &Path) -> io::Result<Output> {
    // A name without a directory would be looked for in PATH.
    let program = std::path::absolute(&hook.path)?;
    let mut child = Command::new(program)
        .current_dir(dir)
        .env_clear()
        .env(
            "PATH",
            std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()),
        )
        .env("LC_ALL", "C")
        .env("SOURCE_DATE_EPOCH", time.seconds.to_string())
        .env("GOLDSMITH_STAGE", hook.stage.name())
        .env("GOLDSMITH_STAGING", dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let text = serde_json::to_vec_pretty(hook_input)?;
    let stdin = child.stdin.take();
    // It may talk before it has read everything, or never read.
    let writer =
        std::thread::spawn(move || stdin.map_or(Ok(()), |mut stdin| stdin.write_all(&text)));
    let output = child.wait_with_output()?;
    match writer.join() {
        Ok(Err(e)) if e.kind() != io::ErrorKind::BrokenPipe => Err(e),
        _ => Ok(output),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Silent;
    use std::fs;
    use std::os::unix::fs::PermissionsExt;

    /// Runs a script as a hook.
    fn script(text: &str, mode: u32) -> Result<Staged, Problem> {
        let dir = tempfile::tempdir().unwrap();
        let program = dir.path().join("hook.sh");
        fs::write(&program, format!("#!/bin/sh\n{text}\n")).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(mode)).unwrap();
        let input = serde_json::json!({ "artifact_name": "r1", "long": "x".repeat(1 << 20) });
        let result = run(
            &Hook::new(Stage::BeforeEdits, &program),
            &input,
            Time {
                seconds: 7,
                nanos: 0,
            },
            &[("golden/rootfs/etc/x".into(), b"golden".to_vec())],
            &Silent,
        );
        result.map_err(|problem| Problem {
            message: problem
                .message
                .replace(&format!("{}/", dir.path().display()), ""),
            ..problem
        })
    }

    #[test]
    fn a_hook_reads_the_plan_and_stages_files() {
        let staged = script(
            "cat >rootfs/plan; cp golden/rootfs/etc/x boot/copy; env | cut -d= -f1 | sort | tr '\\n' ' ' >data/names; echo $SOURCE_DATE_EPOCH >boot/time",
            0o755,
        );
        let staged = staged.unwrap();
        let plan: Value =
            serde_json::from_slice(&fs::read(staged.path("rootfs").join("plan")).unwrap()).unwrap();
        assert_eq!(
            (plan["artifact_name"].as_str(), plan["stage"].as_str()),
            (Some("r1"), Some("before-edits"))
        );
        let copy = fs::read_to_string(staged.path("boot").join("copy")).unwrap();
        assert_eq!(copy, "golden");
        let names = fs::read_to_string(staged.path("data").join("names")).unwrap();
        let own = [
            "GOLDSMITH_STAGE",
            "GOLDSMITH_STAGING",
            "LC_ALL",
            "PATH",
            "SOURCE_DATE_EPOCH",
        ];
        // The shell adds some of its own.
        assert!(
            names
                .split_whitespace()
                .all(|name| own.contains(&name) || ["PWD", "OLDPWD", "SHLVL", "_"].contains(&name)),
            "{names}"
        );
        assert!(
            own.iter()
                .all(|name| names.split_whitespace().any(|found| found == *name)),
            "{names}"
        );
        assert_eq!(
            fs::read_to_string(staged.path("boot").join("time")).unwrap(),
            "7\n"
        );
        let dir = staged.path("rootfs");
        drop(staged);
        assert!(!dir.exists());
    }

    #[test]
    fn a_hook_that_fails_is_heard() {
        let text = |result: Result<Staged, Problem>| result.unwrap_err().to_string();
        assert_eq!(
            text(script("echo out; echo wrong here >&2; exit 3", 0o755)),
            "the before-edits hook hook.sh: failed (exit status: 3) with the message:\nwrong here"
        );
        assert!(
            text(script("exit 1", 0o755)).ends_with("failed (exit status: 1) without a message")
        );
        let closed = text(script("true", 0o644));
        assert!(
            closed.starts_with(
                "the before-edits hook hook.sh: it cannot be started: Permission denied"
            ),
            "{closed}"
        );
        assert!(
            closed.ends_with("hint: make it executable: chmod +x"),
            "{closed}"
        );
    }

    #[test]
    fn a_hook_that_does_not_read_is_fine() {
        assert!(script("exec true <&-", 0o755).is_ok());
    }
}
