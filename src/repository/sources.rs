//! The repositories that an image's own apt is set up with: `sources.list(5)`, in both forms.
//!
//! Only texts are read: nothing of the host.

use super::fingerprint::Fingerprint;
use crate::deb::{Paragraph, ParagraphError};

/// A repository of an image's apt: one URI and one suite of an entry of type `deb`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AptSource {
    /// What is above `dists`.
    pub url: String,
    /// The suite.
    pub suite: String,
    /// The components; at least one.
    pub components: Vec<String>,
    /// The only architectures of the entry, by Debian's names; all of the image's when empty.
    pub architectures: Vec<String>,
    /// The keys that may sign it.
    pub signed_by: SignedBy,
    /// Path of the file in the image.
    pub file: String,
    /// Line of the entry, counted from 1.
    pub line: usize,
}

/// The keys of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SignedBy {
    /// Those that apt trusts for everything: `/etc/apt/trusted.gpg` and `/etc/apt/trusted.gpg.d`.
    Default,
    /// Those of these files in the image, and of the default ones with these fingerprints.
    Keys {
        /// Absolute paths.
        paths: Vec<String>,
        /// Fingerprints.
        fingerprints: Vec<Fingerprint>,
    },
    /// An armoured key in the entry itself.
    Embedded(String),
}

/// An entry that is not used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Complaint {
    /// Path of the file in the image.
    pub file: String,
    /// Line, counted from 1.
    pub line: usize,
    /// Why: a lower-case fact without a final period.
    pub message: String,
}

/// Reads apt's sources from files of an image (path and text), in their order: those in
/// `/etc/apt/sources.list.d` that end in `.sources` are in deb822 form, all others have one entry
/// per line. Entries of source packages and disabled ones are left out silently, those that
/// cannot be used with a complaint.
#[must_use]
pub fn apt_sources(files: &[(&str, &str)]) -> (Vec<AptSource>, Vec<Complaint>) {
    let mut out = (Vec::new(), Vec::new());
    for (path, text) in files {
        let mut file = Reader {
            path,
            out: &mut out,
        };
        if path.ends_with(".sources") {
            file.stanzas(text);
        } else {
            for (number, line) in (1..).zip(text.lines()) {
                file.line(number, line);
            }
        }
    }
    out
}

struct Reader<'a> {
    path: &'a str,
    out: &'a mut (Vec<AptSource>, Vec<Complaint>),
}

/// An entry of either form.
#[derive(Default)]
struct Entry {
    urls: Vec<String>,
    suites: Vec<String>,
    components: Vec<String>,
    architectures: Vec<String>,
    signed_by: String,
    trusted: bool,
}

impl Reader<'_> {
    fn complain(&mut self, line: usize, message: impl Into<String>) {
        self.out.1.push(Complaint {
            file: self.path.to_owned(),
            line,
            message: message.into(),
        });
    }

    /// `deb [ option=value ... ] URI SUITE COMPONENT...`
    fn line(&mut self, number: usize, line: &str) {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some((kind, rest)) = line.split_once(char::is_whitespace) else {
            if !line.is_empty() {
                self.complain(number, format!("`{line}` is not an entry of apt"));
            }
            return;
        };
        match kind {
            "deb" => {}
            "deb-src" => return,
            _ => return self.complain(number, format!("`{kind}` is not a type of entry")),
        }
        let mut entry = Entry::default();
        let mut rest = rest.trim_start();
        if let Some(inner) = rest.strip_prefix('[') {
            let Some((options, after)) = inner.split_once(']') else {
                return self.complain(number, "`[` without `]`");
            };
            for option in options.split_whitespace() {
                let Some((name, value)) = option.split_once('=') else {
                    return self.complain(number, format!("`{option}` is not an option"));
                };
                // `+=` and `-=` change the default, which is all architectures of the image.
                match name.to_ascii_lowercase().as_str() {
                    "arch" => entry.architectures = value.split(',').map(str::to_owned).collect(),
                    "signed-by" => value.replace(',', " ").clone_into(&mut entry.signed_by),
                    "trusted" => entry.trusted = value.eq_ignore_ascii_case("yes"),
                    _ => {}
                }
            }
            rest = after;
        }
        let mut words = rest.split_whitespace().map(str::to_owned);
        entry.urls.extend(words.next());
        entry.suites.extend(words.next());
        entry.components.extend(words);
        self.add(number, entry);
    }

    fn stanzas(&mut self, text: &str) {
        let mut start = 1_usize;
        let mut stanza = String::new();
        for (number, line) in (1..).zip(text.lines().chain([""])) {
            if line.trim().is_empty() {
                if !stanza.is_empty() {
                    self.stanza(start, &stanza);
                }
                stanza.clear();
                start = number;
                start = start.saturating_add(1);
            } else {
                stanza.push_str(line);
                stanza.push('\n');
            }
        }
    }

    fn stanza(&mut self, start: usize, text: &str) {
        let paragraph = match Paragraph::parse(text.as_bytes()) {
            Ok(paragraph) => paragraph,
            Err(error) => {
                let at = match error {
                    ParagraphError::Line(at) | ParagraphError::Twice(at, _) => at,
                    ParagraphError::Encoding => 1,
                };
                let line = start.saturating_add(at).saturating_sub(1);
                let message = match error {
                    ParagraphError::Twice(_, field) => format!("the field {field} occurs twice"),
                    _ => "neither `Field: value` nor a continuation".to_owned(),
                };
                return self.complain(line, message);
            }
        };
        if paragraph.fields().next().is_none() {
            // Only comments.
            return;
        }
        let words = |name: &str| -> Vec<String> {
            let value = paragraph.text(name).split_whitespace();
            value.map(str::to_owned).collect()
        };
        let is = |name: &str, values: &[&str]| {
            let value = paragraph.text(name).trim().to_ascii_lowercase();
            values.contains(&value.as_str())
        };
        if is(
            "Enabled",
            &["no", "false", "0", "off", "without", "disable"],
        ) {
            return;
        }
        let types = words("Types");
        if let Some(other) = types
            .iter()
            .find(|kind| *kind != "deb" && *kind != "deb-src")
        {
            return self.complain(start, format!("`{other}` is not a type of entry"));
        }
        if types.is_empty() {
            return self.complain(start, "the field Types is missing");
        }
        if !types.iter().any(|kind| kind == "deb") {
            return;
        }
        let entry = Entry {
            urls: words("URIs"),
            suites: words("Suites"),
            components: words("Components"),
            architectures: words("Architectures"),
            signed_by: paragraph.text("Signed-By").to_owned(),
            trusted: is("Trusted", &["yes", "true", "1", "on", "with", "enable"]),
        };
        self.add(start, entry);
    }

    fn add(&mut self, line: usize, entry: Entry) {
        if entry.urls.is_empty() || entry.suites.is_empty() {
            return self.complain(line, "the entry has no URI or no suite");
        }
        let signed_by = match signed_by(&entry.signed_by) {
            Ok(signed_by) => signed_by,
            Err(message) => return self.complain(line, message),
        };
        if entry.trusted && signed_by == SignedBy::Default {
            return self.complain(
                line,
                "`trusted=yes` asks for packages without a signature, and only signed ones are \
                 taken; name the key with `signed-by` instead",
            );
        }
        for url in &entry.urls {
            for suite in &entry.suites {
                match refused(url, suite, &entry.components) {
                    Some(message) => self.complain(line, message),
                    None => self.out.0.push(AptSource {
                        url: url.trim_end_matches('/').to_owned(),
                        suite: suite.clone(),
                        components: entry.components.clone(),
                        architectures: entry.architectures.clone(),
                        signed_by: signed_by.clone(),
                        file: self.path.to_owned(),
                        line,
                    }),
                }
            }
        }
    }
}

/// Why this URI and suite cannot be used.
fn refused(url: &str, suite: &str, components: &[String]) -> Option<String> {
    let known = ["http://", "https://", "file:"];
    if !known.iter().any(|scheme| url.starts_with(scheme)) {
        return Some(format!("`{url}` is not an http, https or file URL"));
    }
    if url.contains("$(") || suite.contains("$(") {
        return Some(format!(
            "`{url} {suite}` has a variable, which is not supported"
        ));
    }
    if suite.ends_with('/') {
        return Some(format!(
            "`{url} {suite}` is a flat repository, which is not supported"
        ));
    }
    if components.is_empty() {
        return Some("the entry has no components".to_owned());
    }
    None
}

fn signed_by(text: &str) -> Result<SignedBy, String> {
    if text.trim().is_empty() {
        return Ok(SignedBy::Default);
    }
    if text.contains("-----BEGIN PGP PUBLIC KEY BLOCK-----") {
        // Continuation lines begin with a blank; `.` alone stands for an empty line (deb822(5)).
        let lines = text.trim().lines().map(|line| match line.trim() {
            "." => "",
            line => line,
        });
        let mut key = lines.collect::<Vec<_>>().join("\n");
        key.push('\n');
        return Ok(SignedBy::Embedded(key));
    }
    let (mut paths, mut fingerprints) = (Vec::new(), Vec::new());
    for word in text
        .split([' ', '\t', '\n', ','])
        .filter(|word| !word.is_empty())
    {
        if word.starts_with('/') {
            paths.push(word.to_owned());
        } else {
            // A `!` at the end excludes the subkeys of this key.
            let fingerprint = word.trim_end_matches('!').parse();
            fingerprints.push(fingerprint.map_err(|_| {
                format!("`{word}` of signed-by is neither an absolute path nor a fingerprint")
            })?);
        }
    }
    Ok(SignedBy::Keys {
        paths,
        fingerprints,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_line_entries() {
        let text = "# remark\ndeb http://a/debian/ trixie main contrib # end\n\
            deb-src http://a/debian trixie main\n\
            deb [arch=amd64,arm64 signed-by=/k.gpg,0123456789abcdef0123456789ABCDEF01234567] https://b debian/trixie/stable main\n\
            deb [ trusted=yes ] http://c x main\n\
            deb cdrom:[x] y z\ndeb http://d ./\ndeb http://e\nrpm x y\ndeb [x http://f y\n";
        let (sources, complaints) = apt_sources(&[("/etc/apt/sources.list", text)]);
        let [first, second] = sources.as_slice() else {
            panic!("{sources:?}");
        };
        assert_eq!(
            (first.url.as_str(), first.suite.as_str()),
            ("http://a/debian", "trixie")
        );
        assert_eq!(first.components, ["main", "contrib"]);
        assert_eq!((first.line, &first.signed_by), (2, &SignedBy::Default));
        assert_eq!(second.architectures, ["amd64", "arm64"]);
        let SignedBy::Keys {
            paths,
            fingerprints,
        } = &second.signed_by
        else {
            panic!("{second:?}");
        };
        assert_eq!(
            (paths.as_slice(), fingerprints.len()),
            (&["/k.gpg".to_owned()][..], 1)
        );
        let found: Vec<(usize, &str)> = complaints
            .iter()
            .map(|c| (c.line, c.message.as_str()))
            .collect();
        let expected = [
            (
                5,
                "`trusted=yes` asks for packages without a signature, and only signed ones are taken; name the key with `signed-by` instead",
            ),
            (6, "`cdrom:[x]` is not an http, https or file URL"),
            (
                7,
                "`http://d ./` is a flat repository, which is not supported",
            ),
            (8, "the entry has no URI or no suite"),
            (9, "`rpm` is not a type of entry"),
            (10, "`[` without `]`"),
        ];
        assert_eq!(found, expected);
    }

    #[test]
    fn deb822_entries() {
        let text = "# first\n\nTypes: deb deb-src\nURIs: http://a http://b\nSuites: s t\n# in between\nComponents: main\nSigned-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc\n -----END PGP PUBLIC KEY BLOCK-----\n\n\
            Enabled: no\nTypes: deb\n\nTypes: deb-src\nURIs: http://c\n\nTypes: deb\nURIs: http://d\nSuites: s\nSuites: t\n\n\
            Types: deb\nURIs: http://e\nSuites: s\nComponents: main\nTrusted: yes\n\nURIs: x\n";
        let (sources, complaints) = apt_sources(&[("/etc/apt/sources.list.d/a.sources", text)]);
        let found: Vec<String> = sources
            .iter()
            .map(|s| format!("{} {}", s.url, s.suite))
            .collect();
        assert_eq!(
            found,
            ["http://a s", "http://a t", "http://b s", "http://b t"]
        );
        let key =
            "-----BEGIN PGP PUBLIC KEY BLOCK-----\n\nabc\n-----END PGP PUBLIC KEY BLOCK-----\n";
        let all = sources.iter().all(|source| {
            source.signed_by == SignedBy::Embedded(key.to_owned()) && source.line == 3
        });
        assert!(all, "{sources:?}");
        let lines: Vec<usize> = complaints.iter().map(|c| c.line).collect();
        assert_eq!(lines, [23, 25, 31], "{complaints:?}");
    }
}
