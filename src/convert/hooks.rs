//! Programs of the user's that take part in a conversion: `[hooks]`, see `docs/hooks.md`. The only
//! place that starts a program.

use crate::convert::outputs::Scratch;
use crate::problem::Problem;
use crate::report::Report;
use crate::stamp::Time;
use serde::Serialize;
use serde_json::Value;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// When a hook runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stage {
    /// Before the edits.
    BeforeEdits,
    /// After them.
    AfterEdits,
    /// After the image was written.
    AfterImage,
}

impl Stage {
    /// The key of the configuration, and what the hook is told.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::BeforeEdits => "before-edits",
            Self::AfterEdits => "after-edits",
            Self::AfterImage => "after-image",
        }
    }

    /// The directories that the hook finds in its staging directory.
    fn directories(self) -> &'static [&'static str] {
        match self {
            Self::BeforeEdits | Self::AfterEdits => &["rootfs", "boot", "data"],
            Self::AfterImage => &["output"],
        }
    }
}

/// A hook of this conversion.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hook {
    /// When it runs.
    pub stage: Stage,
    /// The program's name without its directory.
    pub program: String,
}

impl Hook {
    /// The hook `program` of `stage`.
    pub(crate) fn new(stage: Stage, program: &Path) -> Self {
        Self {
            stage,
            program: program
                .file_name()
                .map(|name| name.to_string_lossy().into_owned())
                .unwrap_or_default(),
        }
    }
}

/// What a hook put into its staging directory, which goes away with the value.
#[derive(Debug)]
pub(crate) struct Staged {
    dir: Scratch,
    /// Which hook it was.
    pub(crate) hook: Hook,
}

impl Staged {
    /// One of the directories of its stage.
    pub(crate) fn dir(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }
}

/// Runs `program` in an empty staging directory. It reads `told` and nothing else of ours; what it
/// says is passed on.
///
/// # Errors
/// A [`Problem`] with all that it said on its standard error, when it cannot be started or does not
/// end with 0.
pub(crate) fn run(
    stage: Stage,
    program: &Path,
    told: &Value,
    time: Time,
    report: &dyn Report,
) -> Result<Staged, Problem> {
    let hook = Hook::new(stage, program);
    let failed = |what: String| {
        Problem::new(format!(
            "the {} hook {}: {what}",
            stage.name(),
            program.display()
        ))
    };
    report.step(
        &format!("running the {} hook {}", stage.name(), hook.program),
        None,
    );
    let dir = Scratch::new().map_err(|e| failed(format!("making its staging directory: {e}")))?;
    for name in stage.directories() {
        std::fs::create_dir(dir.path().join(name))
            .map_err(|e| failed(format!("making its staging directory: {e}")))?;
    }
    let mut told = told.clone();
    told["stage"] = stage.name().into();
    let output =
        start(stage, program, &told, time, dir.path()).map_err(|e| not_started(&failed, &e))?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim_end().to_owned();
    if !output.status.success() {
        let said = text(&output.stderr);
        let said = if said.is_empty() {
            "it said nothing on its standard error".to_owned()
        } else {
            said
        };
        return Err(failed(format!("{}; it said:\n{said}", output.status)));
    }
    for line in text(&output.stderr).lines() {
        report.warn(&format!("{}: {line}", hook.program));
    }
    for line in text(&output.stdout).lines() {
        report.note(&format!("{}: {line}", hook.program));
    }
    Ok(Staged { dir, hook })
}

fn not_started(failed: &dyn Fn(String) -> Problem, error: &io::Error) -> Problem {
    let problem = failed(format!("it cannot be started: {error}"));
    match error.kind() {
        io::ErrorKind::PermissionDenied => problem.hint("make it executable: chmod +x"),
        io::ErrorKind::NotFound => {
            problem.hint("a relative path stands under the directory of the file that names it")
        }
        _ => problem,
    }
}

/// Starts the program in its directory with an environment of its own, tells it what it is told,
/// and waits for its end.
fn start(stage: Stage, program: &Path, told: &Value, time: Time, dir: &Path) -> io::Result<Output> {
    // A name without a directory would be looked for in PATH.
    let program = std::path::absolute(program)?;
    let mut child = Command::new(program)
        .current_dir(dir)
        .env_clear()
        .env(
            "PATH",
            std::env::var_os("PATH").unwrap_or_else(|| "/usr/bin:/bin".into()),
        )
        .env("LC_ALL", "C")
        .env("SOURCE_DATE_EPOCH", time.seconds.to_string())
        .env("GOLDSMITH_STAGE", stage.name())
        .env("GOLDSMITH_STAGING", dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let text = serde_json::to_vec_pretty(told)?;
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
        let told = serde_json::json!({ "artifact_name": "r1", "long": "x".repeat(1 << 20) });
        let result = run(
            Stage::BeforeEdits,
            &program,
            &told,
            Time {
                seconds: 7,
                nanos: 0,
            },
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
            "cat >rootfs/plan; env | cut -d= -f1 | sort | tr '\\n' ' ' >data/names; echo $SOURCE_DATE_EPOCH >boot/time",
            0o755,
        );
        let staged = staged.unwrap();
        let plan: Value =
            serde_json::from_slice(&fs::read(staged.dir("rootfs").join("plan")).unwrap()).unwrap();
        assert_eq!(
            (plan["artifact_name"].as_str(), plan["stage"].as_str()),
            (Some("r1"), Some("before-edits"))
        );
        let names = fs::read_to_string(staged.dir("data").join("names")).unwrap();
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
            fs::read_to_string(staged.dir("boot").join("time")).unwrap(),
            "7\n"
        );
        let dir = staged.dir("rootfs");
        drop(staged);
        assert!(!dir.exists());
    }

    #[test]
    fn a_hook_that_fails_is_heard() {
        let text = |result: Result<Staged, Problem>| result.unwrap_err().to_string();
        assert_eq!(
            text(script("echo out; echo wrong here >&2; exit 3", 0o755)),
            "the before-edits hook hook.sh: exit status: 3; it said:\nwrong here"
        );
        assert!(
            text(script("exit 1", 0o755))
                .ends_with("it said:\nit said nothing on its standard error")
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
