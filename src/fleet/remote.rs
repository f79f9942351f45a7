//! Runs the actions of a fleet on a server of the Remote Execution API, through the client `bgd` of
//! BuildGrid.
//!
//! An action that the server could not run, because a worker or the connection was lost, is sent
//! again. What comes back is not believed: each file must have the digest that the server names for
//! it and that the record names, and the record must be that of the target.

use super::actions::Action;
use super::inputs::Entry;
use super::response::{ExecuteResponse, OutputDigest};
use crate::convert::outputs::Scratch;
use crate::convert::read_record;
use crate::digest::{hex, sha256};
use crate::problem::Problem;
use crate::report::Report;
use crate::stream::FileSource;
use anyhow::{Context, Result, anyhow};
use serde_json::Value;
use std::collections::{BTreeMap, VecDeque};
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The server, and how it is reached.
pub struct Remote<'a> {
    /// The program `bgd`.
    pub client: &'a Path,
    /// The URL of the server, such as `grpc://build.example:50051`.
    pub url: &'a str,
    /// The instance of the server; empty for the default.
    pub instance: &'a str,
    /// Actions at once, at least 1.
    pub jobs: usize,
    /// How often an action is sent before it has failed, at least 1.
    pub attempts: u32,
    /// Whether the secrets of configurations may be stored there.
    pub send_secrets: bool,
    /// The report of the target with this name.
    pub report: &'a (dyn Fn(&str) -> Box<dyn Report> + Sync),
}

/// The results of an action.
#[derive(Debug)]
pub struct RemoteResult {
    /// The files under their final names.
    pub files: Vec<PathBuf>,
    /// Whether the server had the result already.
    pub cached: bool,
}

/// Why an attempt did not succeed.
enum Failure {
    /// The server, a worker or the connection: the next attempt may succeed.
    Lost(anyhow::Error),
    /// Anything else.
    Final(anyhow::Error),
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        Self::Final(error.into())
    }
}

/// Runs all actions; the outcomes are in their order.
#[must_use]
pub fn run(actions: &[Action], remote: &Remote<'_>) -> Vec<Result<RemoteResult>> {
    let waiting = Mutex::new((0..actions.len()).collect::<VecDeque<_>>());
    let outcomes = Mutex::new(BTreeMap::new());
    let next = || {
        let mut waiting = waiting.lock().unwrap_or_else(PoisonError::into_inner);
        let number = waiting.pop_front()?;
        Some((number, actions.get(number)?))
    };
    std::thread::scope(|scope| {
        for _ in 0..remote.jobs.clamp(1, actions.len().max(1)) {
            scope.spawn(|| {
                while let Some((number, action)) = next() {
                    let outcome = remote.run_action(action);
                    let mut outcomes = outcomes.lock().unwrap_or_else(PoisonError::into_inner);
                    outcomes.insert(number, outcome);
                }
            });
        }
    });
    let outcomes = outcomes
        .into_inner()
        .unwrap_or_else(PoisonError::into_inner);
    outcomes.into_values().collect()
}

impl Remote<'_> {
    fn run_action(&self, action: &Action) -> Result<RemoteResult> {
        let report = (self.report)(&action.target);
        if let Some(problem) = &action.local {
            return Err(problem.clone().into());
        }
        if let [first, more @ ..] = &action.secrets[..]
            && !self.send_secrets
        {
            let more = match more.len() {
                0 => String::new(),
                number => format!(", and {number} more"),
            };
            return Err(Problem::new(format!(
                "{first}{more}: a secret, which the remote machine would store with the files of the action"
            ))
            .hint("if it may, say so with `--send-secrets`; the results have the secret too")
            .into());
        }
        if !action.environment.is_empty() {
            let problem = Problem::new("the client cannot pass SOURCE_DATE_EPOCH to an action");
            return Err(problem
                .hint("unset it: without it, the time is that of the golden image")
                .into());
        }
        let mut attempt = 1;
        loop {
            report.step("running on the remote machine", None);
            match self.attempt(action) {
                Ok(result) => {
                    let from = match result.cached {
                        true => "the server had the result already",
                        false => "converted on the remote machine",
                    };
                    report.note(from);
                    return Ok(result);
                }
                Err(Failure::Final(error)) => return Err(error),
                Err(Failure::Lost(error)) if attempt >= self.attempts => {
                    return Err(error.context(format!("attempt {attempt} of {}", self.attempts)));
                }
                Err(Failure::Lost(error)) => {
                    report.warn(&format!(
                        "attempt {attempt} of {}: {error:#}; it is sent again",
                        self.attempts
                    ));
                    std::thread::sleep(Duration::from_secs(1 << attempt.min(5)));
                    attempt += 1;
                }
            }
        }
    }

    fn attempt(&self, action: &Action) -> Result<RemoteResult, Failure> {
        let parent = action.directory.parent().unwrap_or(Path::new("."));
        let creating = || format!("creating a directory in {}", parent.display());
        let scratch = Scratch::below(parent).with_context(creating)?;
        let (input, output) = (scratch.path().join("input"), scratch.path().join("output"));
        stage(action, &input).context("collecting the files of the action")?;
        fs::create_dir(&output)?;
        let answer = self.send(action, &input, &output)?;
        if answer.exit_code != 0 {
            return Err(self.refused(&answer, scratch.path()).into());
        }
        check(action, &answer, &output)?;
        let files = publish(action, &output)?;
        let cached = answer.cached;
        Ok(RemoteResult { files, cached })
    }

    /// Starts the client, which uploads, executes and downloads.
    fn send(
        &self,
        action: &Action,
        input: &Path,
        output: &Path,
    ) -> Result<ExecuteResponse, Failure> {
        let mut command = self.bgd("execute");
        command.args(["command", "--enable-action-cache", "--disable-cancellation"]);
        for (name, value) in &action.platform {
            command.args(["--platform-property", name, value]);
        }
        for path in &action.outputs {
            command.args(["--output-file", path]);
        }
        command
            .arg("--output-directory")
            .arg(output)
            .arg("--")
            .arg(input);
        command.args(&action.arguments);
        let Output {
            status,
            stdout,
            stderr,
        } = self.started(&mut command)?;
        let answer = ExecuteResponse::printed(&String::from_utf8_lossy(&stdout));
        match answer {
            Some(answer) if answer.status == 0 && status.success() => Ok(answer),
            Some(answer) if answer.status != 0 => Err(Failure::Lost(anyhow!(
                "the server could not run the action: {} (code {})",
                answer.message,
                answer.status
            ))),
            _ => {
                let text = String::from_utf8_lossy(&stderr);
                let text = text.lines().rev().find(|line| !line.trim().is_empty());
                let text = text.unwrap_or("no message").trim().to_owned();
                let client = self.client.display();
                Err(Failure::Lost(anyhow!("{client} failed ({status}): {text}")))
            }
        }
    }

    /// The client with the options of all its commands.
    fn bgd(&self, group: &str) -> Command {
        let mut command = Command::new(self.client);
        // The client knows this protocol as plain HTTP.
        let url = match self.url.strip_prefix("grpc://") {
            Some(rest) => format!("http://{rest}"),
            None => self.url.replacen("grpcs://", "https://", 1),
        };
        command.args([group, "--remote", &url]);
        if !self.instance.is_empty() {
            command.args(["--instance-name", self.instance]);
        }
        command
    }

    fn started(&self, command: &mut Command) -> Result<Output, Problem> {
        let started = command.stdin(Stdio::null()).output();
        started.map_err(|e| {
            let client = self.client.display();
            let hint =
                "install BuildGrid (`pip install buildgrid`), or name its program with --client";
            Problem::new(format!("starting {client}: {e}")).hint(hint)
        })
    }

    /// The error of a conversion that failed there, with what it said.
    fn refused(&self, answer: &ExecuteResponse, scratch: &Path) -> anyhow::Error {
        let mut said = answer.stderr.clone();
        if let (true, Some(OutputDigest { sha256, size })) =
            (said.is_empty(), &answer.stderr_digest)
        {
            let path = scratch.join("stderr");
            let mut command = self.bgd("cas");
            command
                .args(["download-file", &format!("{sha256}/{size}")])
                .arg(&path);
            let done = self.started(&mut command).is_ok();
            said = done
                .then(|| fs::read_to_string(&path).ok())
                .flatten()
                .unwrap_or_default();
        }
        let code = answer.exit_code;
        let errors: Vec<&str> = said
            .lines()
            .skip_while(|line| !line.starts_with("error: "))
            .map(|line| line.trim_start_matches("error: "))
            .collect();
        match errors.is_empty() {
            true => anyhow!("the conversion ended with exit code {code} there"),
            false => anyhow!("{} (exit code {code})", errors.join("\n")),
        }
    }
}

/// Makes the directory of an action: files are hard links where that is possible.
fn stage(action: &Action, dir: &Path) -> io::Result<()> {
    for (path, entry) in &action.files {
        let at = dir.join(path);
        fs::create_dir_all(at.parent().unwrap_or(dir))?;
        match entry {
            Entry::File { source, .. } => {
                if fs::hard_link(source, &at).is_err() {
                    fs::copy(source, &at)?;
                }
            }
            Entry::Text(text) => fs::write(&at, text)?,
            Entry::Link(target) => std::os::unix::fs::symlink(target, &at)?,
            Entry::Empty => fs::create_dir_all(&at)?,
        }
    }
    Ok(())
}

/// Compares what came back with the digests of the server and of the record, and the record with
/// the target.
fn check(action: &Action, answer: &ExecuteResponse, output: &Path) -> Result<()> {
    let mut digests = BTreeMap::new();
    for path in &action.outputs {
        let named = answer.outputs.iter().find(|(name, _)| name == path);
        let Some((_, wanted)) = named else {
            return Err(Problem::new(format!("the server has no result {path}")).into());
        };
        let file = output.join(path);
        let reading = || format!("reading {path}");
        let source = FileSource::open(&file).with_context(reading)?;
        let found = hex(&sha256(&source).with_context(reading)?);
        if found != wanted.sha256 {
            let wanted = &wanted.sha256;
            return Err(lie(format!(
                "{path} has the digest {found}, and the server names {wanted}"
            )));
        }
        digests.insert(file_name(path), found);
    }
    let record = action
        .outputs
        .iter()
        .find(|path| path.ends_with(".json") && is_record(path));
    let record = record.ok_or_else(|| anyhow!("the action has no record"))?;
    is_of(&read_record(&output.join(record))?, action, &digests)
}

/// Whether a result is the record and not a bill of materials.
fn is_record(path: &str) -> bool {
    use crate::plan::output::{CYCLONEDX, PROVENANCE, SPDX};
    ![CYCLONEDX, PROVENANCE, SPDX]
        .iter()
        .any(|end| path.ends_with(end))
}

/// Fails unless `record` is about the golden image of `action` and about files with these digests.
fn is_of(record: &Value, action: &Action, digests: &BTreeMap<&str, String>) -> Result<()> {
    let target = &action.target;
    for (name, found) in digests {
        let outputs = record["outputs"].as_array();
        let mut outputs = outputs.into_iter().flatten();
        let listed = outputs.find(|output| output["file"] == **name);
        // The record is not listed in itself.
        let Some(listed) = listed else { continue };
        if let Some(wanted) = listed["sha256"].as_str()
            && wanted != found
        {
            return Err(lie(format!(
                "{name} of target {target} has the digest {found}, and its record names {wanted}"
            )));
        }
    }
    let golden = action
        .arguments
        .last()
        .map(String::as_str)
        .unwrap_or_default();
    let golden_digest = match action.files.get(golden) {
        Some(Entry::File { sha256, .. }) => hex(sha256),
        _ => String::new(),
    };
    let of = |field: &str, found: Option<&str>, wanted: &str| match found {
        Some(found) if found != wanted => Err(lie(format!(
            "the record of target {target} has the {field} {found}, not {wanted}"
        ))),
        _ => Ok(()),
    };
    let input = &record["input"];
    of("golden image", input["file"].as_str(), file_name(golden))?;
    of(
        "digest of the golden image",
        input["sha256"].as_str(),
        &golden_digest,
    )
}

fn file_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

fn lie(message: String) -> anyhow::Error {
    let hint = "the server or its cache returns wrong results: clear its cache; `fleet convert --target` \
                makes the target here";
    Problem::new(message).hint(hint).into()
}

/// Moves the results into the directory of the target.
fn publish(action: &Action, output: &Path) -> Result<Vec<PathBuf>> {
    let directory = &action.directory;
    let writing = || format!("writing into {}", directory.display());
    fs::create_dir_all(directory).with_context(writing)?;
    let mut files = Vec::new();
    for path in &action.outputs {
        let to = directory.join(file_name(path));
        fs::rename(output.join(path), &to).with_context(writing)?;
        files.push(to);
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DIGEST: [u8; 32] = [7; 32];

    fn action() -> Action {
        let entry = Entry::File {
            source: PathBuf::new(),
            sha256: DIGEST,
            size: 1,
            executable: false,
        };
        Action {
            target: "atlas".into(),
            axes: BTreeMap::new(),
            arguments: vec!["goldsmith".into(), "images/golden.img.zst".into()],
            environment: BTreeMap::new(),
            inputs: Vec::new(),
            outputs: ["a.mender", "a.json"]
                .map(|name| format!("deploy/atlas/{name}"))
                .into(),
            platform: BTreeMap::new(),
            directory: PathBuf::new(),
            files: BTreeMap::from([("images/golden.img.zst".to_owned(), entry)]),
            local: None,
            secrets: Vec::new(),
        }
    }

    /// What is said of these files, by a server that names the digests `named`.
    fn checked(files: &[(&str, &str)], named: &[(&str, &str)]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let top = dir.path().join("deploy/atlas");
        fs::create_dir_all(&top).unwrap();
        for (name, text) in files {
            fs::write(top.join(name), text).unwrap();
        }
        let sum = |text: &str| hex(<sha2::Sha256 as sha2::Digest>::digest(text).as_slice());
        let outputs = named.iter().map(|(name, text)| {
            let sha256 = sum(text);
            (
                format!("deploy/atlas/{name}"),
                OutputDigest { sha256, size: 0 },
            )
        });
        let answer = ExecuteResponse {
            outputs: outputs.collect(),
            ..ExecuteResponse::default()
        };
        check(&action(), &answer, dir.path()).map_or_else(|e| format!("{e:#}"), |()| String::new())
    }

    fn record(input: &str, golden: [u8; 32], artifact: &str) -> String {
        let sum = hex(<sha2::Sha256 as sha2::Digest>::digest(artifact).as_slice());
        let outputs = json!([{"file": "a.mender", "sha256": sum}]);
        json!({"input": {"file": input, "sha256": hex(&golden)}, "outputs": outputs}).to_string()
    }

    #[test]
    fn secrets_stay_here_unless_the_user_says_otherwise() {
        let said = |send_secrets, secrets: &[&str]| {
            let remote = Remote {
                client: Path::new("/nonexistent/client"),
                url: "grpc://127.0.0.1:1",
                instance: "",
                jobs: 1,
                attempts: 1,
                send_secrets,
                report: &|_| Box::new(crate::report::Silent),
            };
            let secrets = secrets.iter().map(|one| (*one).to_owned()).collect();
            let outcomes = run(
                &[Action {
                    secrets,
                    ..action()
                }],
                &remote,
            );
            format!("{:#}", outcomes[0].as_ref().unwrap_err())
        };
        let refused = said(false, &["a.toml:1:2: server.tenant-token", "b"]);
        assert!(
            refused.starts_with("a.toml:1:2: server.tenant-token, and 1 more: a secret, which"),
            "{refused}"
        );
        for (send, secrets) in [(true, &["x"][..]), (false, &[])] {
            let other = said(send, secrets);
            assert!(other.starts_with("collecting the files"), "{other}");
        }
    }

    #[test]
    fn results_must_be_those_of_the_target() {
        let of = |record: &str, artifact: &str, named: &str| {
            checked(
                &[("a.json", record), ("a.mender", artifact)],
                &[("a.json", record), ("a.mender", named)],
            )
        };
        let good = record("golden.img.zst", DIGEST, "bytes");
        assert_eq!(of(&good, "bytes", "bytes"), "");
        let said = of(&good, "bytez", "bytes");
        assert!(
            said.starts_with("deploy/atlas/a.mender has the digest "),
            "{said}"
        );
        let said = of(&good, "bytez", "bytez");
        assert!(
            said.contains("a.mender of target atlas has the digest "),
            "{said}"
        );
        let said = of(&record("other.img", DIGEST, "bytes"), "bytes", "bytes");
        assert!(
            said.contains("golden image other.img, not golden.img.zst"),
            "{said}"
        );
        let said = of(
            &record("golden.img.zst", [8; 32], "bytes"),
            "bytes",
            "bytes",
        );
        assert!(
            said.contains("the digest of the golden image 0808"),
            "{said}"
        );
        let said = checked(&[("a.json", &good)], &[("a.json", &good)]);
        assert!(
            said.starts_with("the server has no result deploy/atlas/a.mender"),
            "{said}"
        );
    }

    #[test]
    fn what_cannot_be_done_elsewhere_is_not_sent() {
        let remote = Remote {
            client: Path::new("/nonexistent/bgd"),
            url: "grpc://127.0.0.1:1",
            instance: "",
            jobs: 2,
            attempts: 1,
            send_secrets: false,
            report: &|_| Box::new(crate::report::Silent),
        };
        let mut hooked = action();
        hooked.local = Some(Problem::new("a hook"));
        let mut timed = action();
        timed.environment.insert("SOURCE_DATE_EPOCH", "1".into());
        let outcomes = run(&[hooked, timed], &remote);
        let said: Vec<String> = outcomes
            .into_iter()
            .map(|one| one.unwrap_err().to_string())
            .collect();
        assert_eq!(said[0], "a hook");
        assert!(
            said[1].starts_with("the client cannot pass SOURCE_DATE_EPOCH"),
            "{said:?}"
        );
    }
}
