//! The targets of a fleet as jobs of continuous integration, each of which converts one of them.

use crate::config::Fleet;
use crate::problem::Problem;
use serde_json::{Map, Value, json};

/// The most jobs of a matrix of GitHub Actions
/// (`docs.github.com/actions`, "Running variations of jobs in a workflow").
const GITHUB_MAX: usize = 256;
/// The most jobs of `parallel:matrix` (`docs.gitlab.com/ci/yaml`).
const GITLAB_MAX: usize = 200;

/// The value of `strategy.matrix` of a workflow: an entry for each target, with its board, release
/// and variant.
///
/// # Errors
/// More targets than a matrix may have.
pub fn github(fleet: &Fleet) -> Result<Value, Problem> {
    check(fleet, GITHUB_MAX, "a matrix of GitHub Actions")?;
    let entries = fleet.targets.iter().map(|target| {
        let axes = target.axes.iter();
        let axes = axes.map(|(axis, name)| ((*axis).to_owned(), json!(name)));
        let mut entry: Map<String, Value> = axes.collect();
        entry.insert("target".to_owned(), json!(target.name));
        Value::Object(entry)
    });
    Ok(json!({ "include": entries.collect::<Vec<_>>() }))
}

/// A pipeline with one job for each target, as JSON, which is YAML too; `file` is the file of the
/// fleet.
///
/// # Errors
/// More targets than `parallel:matrix` may have.
pub fn gitlab(fleet: &Fleet, file: &str) -> Result<Value, Problem> {
    check(fleet, GITLAB_MAX, "`parallel:matrix` of GitLab")?;
    let names: Vec<&str> = fleet
        .targets
        .iter()
        .map(|target| target.name.as_str())
        .collect();
    let file = quoted(file);
    Ok(json!({
        "convert": {
            "parallel": { "matrix": [{ "TARGET": names }] },
            "script": [format!("goldsmith fleet convert --target \"$TARGET\" {file}")],
        },
    }))
}

/// A word for a shell.
#[must_use]
pub fn quoted(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./=:,+@%".contains(c);
    if !word.is_empty() && word.chars().all(plain) {
        return word.to_owned();
    }
    format!("'{}'", word.replace('\'', "'\\''"))
}

fn check(fleet: &Fleet, limit: usize, what: &str) -> Result<(), Problem> {
    let count = fleet.targets.len();
    if count <= limit {
        return Ok(());
    }
    let problem = Problem::new(format!(
        "{count} targets exceed the limit of {limit} of {what}"
    ));
    Err(problem.hint("divide them with --target, or convert them in one job with `fleet convert`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fleet(boards: usize) -> Fleet {
        let mut text = "[all]\ngolden-image = \"g\"\n".to_owned();
        for board in 0..boards {
            text += &format!("[[board]]\nname = \"b{board}\"\n");
        }
        text += "[[release]]\nname = \"r\"\n";
        Fleet::parse(&text, "fleet.toml".into(), "".into()).unwrap()
    }

    #[test]
    fn each_target_is_a_job() {
        let entry = json!({"board": "b0", "release": "r", "target": "b0-r"});
        assert_eq!(github(&fleet(1)).unwrap(), json!({ "include": [entry] }));
        let pipeline = gitlab(&fleet(2), "my fleet.toml").unwrap();
        assert_eq!(
            pipeline["convert"]["parallel"]["matrix"],
            json!([{"TARGET": ["b0-r", "b1-r"]}])
        );
        assert_eq!(
            pipeline["convert"]["script"],
            json!(["goldsmith fleet convert --target \"$TARGET\" 'my fleet.toml'"])
        );
    }

    #[test]
    fn too_many_jobs_are_refused() {
        assert!(github(&fleet(256)).is_ok() && gitlab(&fleet(200), "f").is_ok());
        assert_eq!(
            github(&fleet(257)).unwrap_err().message,
            "257 targets exceed the limit of 256 of a matrix of GitHub Actions"
        );
        assert!(gitlab(&fleet(201), "f").is_err());
    }
}
