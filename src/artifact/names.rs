//! Rules for names. Each is the strictest among the update clients and the tools that read
//! Artifacts, so that a valid name is accepted by all of them.

/// The longest text of the header that tools accept (bytes).
const TEXT_MAX: usize = 256;
/// The longest name in a manifest that the client accepts, and the longest that fits a ustar header
/// (bytes).
pub(super) const MEMBER_MAX: usize = 100;
/// The directory of payload files in a manifest.
pub(super) const DATA: &str = "data/0000/";
/// The directory of state scripts in the header.
pub(super) const SCRIPTS: &str = "scripts/";

/// The states of an update for which an Artifact may contain scripts; scripts of other states
/// belong to the root filesystem.
const STATES: [&str; 6] = [
    "ArtifactInstall",
    "ArtifactReboot",
    "ArtifactCommit",
    "ArtifactRollback",
    "ArtifactRollbackReboot",
    "ArtifactFailure",
];
/// The events of a state at which a script can run.
const ACTIONS: [&str; 3] = ["Enter", "Leave", "Error"];

/// A name that a client or a tool would refuse.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{what} `{}` {rule}", short(value))]
pub struct InvalidName {
    /// The kind of name, such as `artifact name` or `device type`.
    pub what: &'static str,
    /// The name as it was given.
    pub value: String,
    /// The rule that it breaks, as the end of a sentence.
    pub rule: String,
}

/// `text` on one line of at most about 80 characters, whatever it holds.
pub(super) fn short(text: &str) -> String {
    let mut shown: String = text.chars().take(80).flat_map(char::escape_debug).collect();
    if text.chars().nth(80).is_some() {
        shown.push_str("...");
    }
    shown
}

/// `text` with everything escaped that a terminal would not show as it is.
#[must_use]
pub fn visible(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        if printable(c) {
            out.push(c)
        } else {
            out.extend(c.escape_default())
        }
    }
    out
}

fn invalid_name(what: &'static str, value: &str, rule: impl Into<String>) -> InvalidName {
    InvalidName {
        what,
        value: value.to_owned(),
        rule: rule.into(),
    }
}

/// True for letters, marks, numbers, punctuation, symbols and the space. `str::escape_debug` writes
/// exactly the rest as code points, apart from a few controls; the letter before it keeps combining
/// marks from being escaped.
fn printable(c: char) -> bool {
    !c.is_control() && !format!("a{c}").escape_debug().to_string().contains("\\u{")
}

/// Any text of the header: not empty, at most 256 bytes, printable.
pub(super) fn text(what: &'static str, value: &str) -> Result<(), InvalidName> {
    if value.is_empty() {
        return Err(invalid_name(what, value, "is empty"));
    }
    if value.len() > TEXT_MAX {
        return Err(invalid_name(
            what,
            value,
            format!("has {} bytes, more than {TEXT_MAX}", value.len()),
        ));
    }
    match value.chars().find(|c| !printable(*c)) {
        Some(c) => Err(invalid_name(
            what,
            value,
            format!("contains U+{:04X}, which is not printable", u32::from(c)),
        )),
        None => Ok(()),
    }
}

/// The name of an Artifact: a text without white space.
pub(super) fn artifact(value: &str) -> Result<(), InvalidName> {
    text("artifact name", value)?;
    if value.chars().any(char::is_whitespace) {
        Err(invalid_name("artifact name", value, "contains white space"))
    } else {
        Ok(())
    }
}

/// The name of a payload file: letters and digits of ASCII and `_ - . ,`, at most 90 bytes (100
/// including `data/0000/`).
pub(super) fn payload(value: &str) -> Result<(), InvalidName> {
    let what = "payload name";
    let max = const { MEMBER_MAX - DATA.len() };
    if matches!(value, "" | "." | "..") {
        return Err(invalid_name(what, value, "is not a file name"));
    }
    if value.len() > max {
        return Err(invalid_name(
            what,
            value,
            format!("has {} bytes, more than {max}", value.len()),
        ));
    }
    match value
        .chars()
        .find(|c| !(c.is_ascii_alphanumeric() || "_-.,".contains(*c)))
    {
        Some(c) => Err(invalid_name(
            what,
            value,
            format!(
                "contains `{}`; allowed are letters, digits and _ - . ,",
                c.escape_debug()
            ),
        )),
        None => Ok(()),
    }
}

/// The name of a state script: `<State>_<Action>_<NN>` and, after another `_`, any text.
pub(super) fn script(value: &str) -> Result<(), InvalidName> {
    let what = "state script";
    let max = const { MEMBER_MAX - SCRIPTS.len() };
    if value.len() > max {
        return Err(invalid_name(
            what,
            value,
            format!("has {} bytes, more than {max}", value.len()),
        ));
    }
    let mut parts = value.splitn(4, '_');
    let state = parts.next().unwrap_or_default();
    if !STATES.contains(&state) {
        return Err(invalid_name(
            what,
            value,
            format!("does not begin with one of {}", STATES.join(", ")),
        ));
    }
    if !parts.next().is_some_and(|action| ACTIONS.contains(&action)) {
        return Err(invalid_name(
            what,
            value,
            format!("has none of {} after the state", ACTIONS.join(", ")),
        ));
    }
    if !parts
        .next()
        .is_some_and(|order| order.len() == 2 && order.bytes().all(|b| b.is_ascii_digit()))
    {
        return Err(invalid_name(
            what,
            value,
            "does not have two digits after the action",
        ));
    }
    match parts.next() {
        Some("") => Err(invalid_name(what, value, "ends in `_`")),
        Some(text) if !text.bytes().all(|b| b.is_ascii_graphic() && b != b'/') => {
            Err(invalid_name(
                what,
                value,
                "contains white space, `/` or characters that are not ASCII",
            ))
        }
        _ => Ok(()),
    }
}

/// The key of a provide or depend of the payload: a text that is not reserved for the Artifact
/// itself.
pub(super) fn key(what: &'static str, value: &str) -> Result<(), InvalidName> {
    text(what, value)?;
    match value {
        "artifact_name" | "artifact_group" | "device_type" => Err(invalid_name(
            what,
            value,
            "is reserved for the Artifact itself",
        )),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts() {
        for good in [
            "release-1",
            "Ünïcode 🦀",
            "e\u{301}",
            "\"quoted\" \\",
            &"x".repeat(256),
        ] {
            assert_eq!(text("x", good), Ok(()), "{good}");
        }
        for bad in [
            "",
            "a\tb",
            "a\u{200b}",
            "a\u{a0}b",
            "a\nb",
            &"x".repeat(257),
        ] {
            assert!(text("x", bad).is_err(), "{bad:?}");
        }
        assert_eq!(
            artifact("a b").unwrap_err().to_string(),
            "artifact name `a b` contains white space"
        );
    }

    #[test]
    fn terminals_are_safe() {
        assert_eq!(
            visible("ok é \u{1b}[31m\n\u{202e}"),
            "ok é \\u{1b}[31m\\n\\u{202e}"
        );
        assert_eq!(
            short(&"\u{1b}".repeat(90)),
            format!("{}...", "\\u{1b}".repeat(80))
        );
    }

    #[test]
    fn payloads() {
        for good in ["rootfs.ext4", "a,b_c-D.9", &"x".repeat(90)] {
            assert_eq!(payload(good), Ok(()), "{good}");
        }
        for bad in ["", ".", "..", "a+b", "a b", "a/b", "ä", &"x".repeat(91)] {
            assert!(payload(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn scripts() {
        for good in [
            "ArtifactInstall_Enter_00",
            "ArtifactRollbackReboot_Error_99_a_b-c.sh",
        ] {
            assert_eq!(script(good), Ok(()), "{good}");
        }
        let bad = [
            "",
            "Idle_Enter_00",
            "ArtifactInstall",
            "ArtifactInstall_enter_00",
            "ArtifactInstall_Enter_1",
            "ArtifactInstall_Enter_001",
        ];
        for bad in bad.into_iter().chain([
            "ArtifactInstall_Enter_01_",
            "ArtifactInstall_Enter_01_a b",
            "ArtifactInstall_Enter_01_a/b",
        ]) {
            assert!(script(bad).is_err(), "{bad:?}");
        }
        assert!(script(&format!("ArtifactInstall_Enter_01_{}", "x".repeat(68))).is_err());
    }
}
