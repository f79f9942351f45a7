//! A configuration to begin with, from what a golden image shows.
//!
//! This room is a pure function from facts to TOML: it reads no image and decides nothing that
//! `plan` would not decide alike.

use crate::config::quoted;
use crate::problem::Problem;
use crate::units::human;
use std::fmt::Write as _;

/// The longest line of a comment (characters).
const WIDTH: usize = 100;

/// What a configuration to begin with is made of.
#[derive(Clone, Debug, Default)]
pub struct Beginning {
    /// The file name of the golden image.
    pub image: String,
    /// Its system and architecture, such as `Debian GNU/Linux 13 (trixie), amd64`.
    pub system: String,
    /// The board that the image selects: its name, and its device type.
    pub board: Option<(String, String)>,
    /// Sizes of a disk that everything fits on.
    pub sizes: Option<Sizes>,
    /// The update client.
    pub client: Client,
    /// What nobody but the owner can decide, each with a hint: a conversion is refused until then.
    pub decisions: Vec<Problem>,
}

/// Sizes of the new disk (bytes).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sizes {
    /// The smallest disk that everything fits on.
    pub least: u64,
    /// The root filesystem, with its room for changes.
    pub root: u64,
    /// The disk of the golden image.
    pub golden: u64,
}

/// Where the update client comes from.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Client {
    /// The golden image has it, in this version.
    Installed(String),
    /// From repositories: the newest bundle.
    Bundle(String),
    /// No bundle fits the image: the owner has to bring it.
    #[default]
    Unknown,
}

impl Sizes {
    /// The size to write: the least that fits, in steps of 256 MiB.
    #[must_use]
    pub fn proposed(&self) -> u64 {
        self.least.next_multiple_of(256 << 20)
    }
}

/// The configuration as TOML, with comments.
#[must_use]
pub fn text(beginning: &Beginning) -> String {
    let mut out = String::new();
    let Beginning { image, system, .. } = beginning;
    comment(
        &mut out,
        &format!(
            "Made by `goldsmith init` from {image} ({system}). docs/configuration.md describes every key. \
             What is marked \"Decide\" needs you."
        ),
    );
    out.push('\n');
    board(&mut out, beginning.board.as_ref());
    storage(&mut out, beginning.sizes);
    client(&mut out, &beginning.client);
    server(&mut out);
    if !beginning.decisions.is_empty() {
        out.push('\n');
        comment(
            &mut out,
            "Decide: a conversion of this image is refused until then.",
        );
    }
    for problem in &beginning.decisions {
        out.push_str("#\n");
        comment(&mut out, &problem.message);
        for line in problem.hint.iter().flat_map(|hint| hint.lines()) {
            comment(&mut out, line);
        }
    }
    out
}

fn board(out: &mut String, board: Option<&(String, String)>) {
    match board {
        Some((name, device_type)) => {
            comment(
                out,
                "The board that the image selects; `goldsmith boards` lists the others.",
            );
            let _ = writeln!(out, "extends = [{}]\n\n[board]", quoted(name));
            comment(
                out,
                "Decide, before the first device is flashed: a name for devices of this kind. The server offers \
                 them Artifacts of the same name alone, and the IDs of disk and partitions are derived from it.",
            );
            let _ = writeln!(out, "device-type = [{}]", quoted(device_type));
        }
        None => {
            comment(
                out,
                "Decide: the board. `goldsmith boards` lists those that are built in.",
            );
            out.push_str("#extends = [\"...\"]\n\n[board]\n");
            comment(out, "Decide: a name for devices of this kind.");
            out.push_str("#device-type = [\"...\"]\n");
        }
    }
}

fn storage(out: &mut String, sizes: Option<Sizes>) {
    out.push_str("\n[storage]\n");
    let Some(sizes) = sizes else {
        comment(out, "The size of the smallest disk that a device has.");
        out.push_str("#size = \"8 GiB\"\n");
        return;
    };
    let Sizes {
        least,
        root,
        golden,
    } = sizes;
    comment(
        out,
        &format!(
            "The image needs {} at least: two root partitions of {}, of which each release fills one. They cannot be \
             enlarged on the device, the data partition can: it grows at the first start. Decide: as large as the \
             smallest disk of your devices, if releases will grow. The golden image's disk has {}.",
            human(least),
            human(root),
            human(golden)
        ),
    );
    let _ = writeln!(out, "size = {}", quoted(&size(sizes.proposed())));
}

/// A multiple of 256 MiB as text that reads the same.
fn size(bytes: u64) -> String {
    match bytes % (1 << 30) {
        0 => format!("{} GiB", bytes >> 30),
        _ => format!("{} MiB", bytes >> 20),
    }
}

fn client(out: &mut String, client: &Client) {
    out.push_str("\n[client]\n");
    match client {
        Client::Installed(version) => comment(
            out,
            &format!("The golden image has the update client, in version {version}."),
        ),
        Client::Bundle(name) => {
            comment(
                out,
                "The update client, from its vendor's repository: `goldsmith lock` chooses the packages, `goldsmith \
                 fetch` downloads them (docs/client.md).",
            );
            let _ = writeln!(out, "bundle = {}", quoted(name));
        }
        Client::Unknown => {
            comment(
                out,
                "Decide: the packages of the update client (docs/client.md). An image without a client is refused, \
                 unless required is false.",
            );
            out.push_str("#packages = [\"client/*.deb\"]\n#required = false\n");
        }
    }
}

fn server(out: &mut String) {
    out.push_str("\n[server]\n");
    comment(
        out,
        "Decide: the server that devices ask for updates, here the hosted one, and the token of your organization. \
         Without a server, write managed = false into [client].",
    );
    out.push_str("#url = \"https://hosted.mender.io\"\n#tenant-token = \"...\"\n");
}

/// Writes a comment, broken at blanks.
fn comment(out: &mut String, text: &str) {
    let mut line = String::from("#");
    for word in text.split_whitespace() {
        // A message may have any character, a comment in TOML not.
        let word: String = word.chars().filter(|c| !c.is_control()).collect();
        if line.chars().count() + 1 + word.chars().count() > WIDTH && line.len() > 1 {
            let _ = writeln!(out, "{line}");
            line = String::from("#");
        }
        line.push(' ');
        line.push_str(&word);
    }
    let _ = writeln!(out, "{line}");
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    fn beginning() -> Beginning {
        Beginning {
            image: "a.img".into(),
            system: "Debian, amd64".into(),
            board: Some(("qemux86-64".into(), "qemux86-64".into())),
            sizes: Some(Sizes {
                least: (2 << 30) + 1,
                root: 900 << 20,
                golden: 4 << 30,
            }),
            client: Client::Bundle("6.0".into()),
            decisions: Vec::new(),
        }
    }

    #[test]
    fn the_text_is_a_configuration() {
        let config = Config::parse(&text(&beginning())).unwrap();
        assert_eq!(config.storage.size, Some((2 << 30) + (256 << 20)));
        assert_eq!(config.client.bundle.as_deref(), Some("6.0"));
        assert_eq!(
            config.board.device_type.as_deref(),
            Some(&["qemux86-64".to_owned()][..])
        );
    }

    #[test]
    fn what_is_unknown_is_a_comment() {
        let text = text(&Beginning::default());
        let set: Vec<&str> = text
            .lines()
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .collect();
        assert_eq!(set, ["[board]", "[storage]", "[client]", "[server]"]);
        assert!(Config::parse(&text).is_ok(), "{text}");
    }

    #[test]
    fn decisions_are_comments_whatever_they_say() {
        let mut beginning = beginning();
        let hint = "write\n[[partition]]\nnumber = 3\u{1b}[0m";
        beginning.decisions = vec![Problem::new("partition 3\nholds files").hint(hint)];
        let text = text(&beginning);
        assert!(Config::parse(&text).is_ok(), "{text}");
        for line in [
            "# partition 3 holds files",
            "# [[partition]]",
            "# number = 3[0m",
        ] {
            assert!(text.lines().any(|one| one == line), "{line}\n{text}");
        }
    }

    #[test]
    fn sizes_read_the_same() {
        for bytes in [256 << 20, 1 << 30, (3 << 30) + (512 << 20)] {
            assert_eq!(crate::units::parse_size(&size(bytes)), Ok(bytes));
        }
    }
}
