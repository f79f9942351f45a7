//! `/usr/share/doc/*/copyright` in the machine-readable format of Debian ("Machine-readable
//! debian/copyright file", version 1.0, once DEP-5): the licences of a package.
//!
//! ```text
//! Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
//!
//! Files: *
//! Copyright: 2001 Someone
//! License: GPL-2+ or Artistic, and Expat
//!
//! License: GPL-2+
//!  the text
//!  .
//!  and another paragraph of it
//! ```
//!
//! The paragraphs are about files of the source, not about those of the package. So the licence of
//! a package is all that the paragraphs name, joined by `AND`.

use super::licence::spdx;
use crate::deb::{Paragraph, stanzas};
use std::collections::BTreeMap;

/// The licence of a package.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Licence {
    /// An expression of SPDX (specification 3.0.1, annex "SPDX license expressions").
    pub expression: String,
    /// The texts of the names in it that begin with `LicenseRef-`.
    pub texts: BTreeMap<String, String>,
    /// Whether the expression is of a machine-readable file; otherwise it names the text alone.
    pub machine_readable: bool,
}

/// What the names of licences that SPDX does not list begin with.
const REFERENCE: &str = "LicenseRef-goldsmith-";

/// The licence that the file `text` states, which is of the package or source `owner`.
#[must_use]
pub fn licence(text: &str, owner: &str) -> Licence {
    read(text, owner).unwrap_or_else(|| {
        let name = format!("{REFERENCE}{}-copyright", idstring(owner));
        Licence {
            expression: name.clone(),
            texts: [(name, text.to_owned())].into(),
            machine_readable: false,
        }
    })
}

/// `None` if the file is not machine-readable.
fn read(text: &str, owner: &str) -> Option<Licence> {
    let paragraphs = stanzas(text.as_bytes()).into_iter();
    let paragraphs: Vec<Paragraph> = paragraphs
        .map(|bytes| Paragraph::parse(bytes).ok())
        .collect::<Option<_>>()?;
    let header = paragraphs.first()?;
    let format = header
        .get("Format")
        .or(header.get("Format-Specification"))?;
    if !["copyright-format", "dep5", "DEP5", "dep-5"]
        .iter()
        .any(|known| format.contains(known))
    {
        return None;
    }
    let licences: Vec<(&str, String)> = paragraphs
        .iter()
        .filter_map(|paragraph| paragraph.get("License").map(split))
        .collect();
    let stated = paragraphs.iter().enumerate().filter(|(at, paragraph)| {
        *at == 0 || paragraph.get("Files").is_some() || paragraph.get("Copyright").is_some()
    });
    let mut names: Vec<&str> = Vec::new();
    for (_, paragraph) in stated {
        let name = paragraph.get("License").map(|value| split(value).0);
        names.extend(name.filter(|name| !name.is_empty() && !names.contains(name)));
    }
    let mut terms = Terms {
        owner,
        licences: &licences,
        texts: BTreeMap::new(),
    };
    let mut expressions: Vec<Term> = Vec::new();
    for name in names {
        for term in parse(name).into_iter().flat_map(|tree| terms.term(tree)) {
            if !expressions.contains(&term) {
                expressions.push(term);
            }
        }
    }
    let expression = match expressions.len() {
        0 => return None,
        1 => expressions.remove(0).text,
        _ => expressions
            .iter()
            .map(Term::factor)
            .collect::<Vec<_>>()
            .join(" AND "),
    };
    Some(Licence {
        expression,
        texts: terms.texts,
        machine_readable: true,
    })
}

/// The first line of a `License` field and its text, unfolded.
fn split(value: &str) -> (&str, String) {
    let (name, text) = value.split_once('\n').unwrap_or((value, ""));
    let lines = text
        .lines()
        .map(|line| match line.strip_prefix([' ', '\t']) {
            Some(".") => "",
            Some(line) => line,
            None => line,
        });
    (name.trim(), lines.collect::<Vec<_>>().join("\n"))
}

/// A licence as a file names it, with the precedence of its words: `, or` is the weakest, then
/// `, and`, then `or`, then `and`.
#[derive(Debug, PartialEq, Eq)]
enum Named<'t> {
    Name(&'t str),
    Any(Vec<Named<'t>>),
    All(Vec<Named<'t>>),
}

/// `None` for a text without a name.
fn parse(text: &str) -> Option<Named<'_>> {
    let text = text.trim();
    let levels: [(&[&str], bool); 4] = [
        (&[", or ", ", and/or "], true),
        (&[", and "], false),
        (&[" or ", " and/or "], true),
        (&[" and "], false),
    ];
    for (words, any) in levels {
        let parts = cut(text, words);
        if parts.len() > 1 {
            let parts = parts.into_iter().map(parse).collect::<Option<Vec<_>>>()?;
            return Some(if any {
                Named::Any(parts)
            } else {
                Named::All(parts)
            });
        }
    }
    (!text.is_empty()).then_some(Named::Name(text))
}

/// The parts of a text between any of these words, in any case.
fn cut<'t>(text: &'t str, words: &[&str]) -> Vec<&'t str> {
    let lower = text.to_ascii_lowercase();
    let (mut out, mut start) = (Vec::new(), 0);
    while let Some((at, len)) = lower
        .get(start..)
        .into_iter()
        .flat_map(|rest| {
            words
                .iter()
                .filter_map(|word| Some((rest.find(word)?, word.len())))
        })
        .min()
    {
        let end = start.saturating_add(at);
        out.extend(text.get(start..end));
        start = end.saturating_add(len);
    }
    out.extend(text.get(start..));
    out
}

/// A part of an expression.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Term {
    text: String,
    /// Whether it needs brackets as a part of another one.
    compound: bool,
}

impl Term {
    fn factor(&self) -> String {
        if self.compound {
            format!("({})", self.text)
        } else {
            self.text.clone()
        }
    }
}

/// Turns names into terms.
struct Terms<'t> {
    owner: &'t str,
    /// All names of the file with the texts that it has for them.
    licences: &'t [(&'t str, String)],
    texts: BTreeMap<String, String>,
}

impl Terms<'_> {
    /// The terms that must all hold.
    fn term(&mut self, named: Named<'_>) -> Vec<Term> {
        match named {
            Named::Name(name) => vec![Term {
                text: self.name(name),
                compound: false,
            }],
            Named::All(parts) => parts.into_iter().flat_map(|part| self.term(part)).collect(),
            Named::Any(parts) => {
                let mut choices: Vec<String> = Vec::new();
                for part in parts {
                    let all = self.term(part);
                    let text = match &all[..] {
                        [one] => one.factor(),
                        all => {
                            let all: Vec<String> = all.iter().map(Term::factor).collect();
                            format!("({})", all.join(" AND "))
                        }
                    };
                    if !choices.contains(&text) {
                        choices.push(text);
                    }
                }
                vec![Term {
                    compound: choices.len() > 1,
                    text: choices.join(" OR "),
                }]
            }
        }
    }

    /// The identifier of SPDX, or a name of our own with the text of the file.
    fn name(&mut self, name: &str) -> String {
        let same = |(known, text): &&(&str, String)| {
            known.eq_ignore_ascii_case(name) && !text.trim().is_empty()
        };
        let text = self
            .licences
            .iter()
            .find(same)
            .map(|(_, text)| text.as_str());
        if let Some(id) = spdx(name, text.unwrap_or_default()) {
            return id;
        }
        let text = match text {
            Some(text) => format!("{name}\n\n{text}"),
            None => format!(
                "{name} (the copyright file of {} has no text for it)",
                self.owner
            ),
        };
        let base = format!("{REFERENCE}{}-{}", idstring(self.owner), idstring(name));
        let mut reference = base.clone();
        for number in 2_u32.. {
            if self
                .texts
                .get(&reference)
                .is_none_or(|known| *known == text)
            {
                break;
            }
            reference = format!("{base}-{number}");
        }
        self.texts.insert(reference.clone(), text);
        reference
    }
}

/// A text of the letters that names of licences may have: ASCII letters, digits, `-` and `.`.
fn idstring(text: &str) -> String {
    let mut out = String::new();
    for c in text.chars() {
        match c {
            c if c.is_ascii_alphanumeric() || c == '.' => out.push(c),
            '+' => out.push_str("plus"),
            _ if out.ends_with('-') => {}
            _ => out.push('-'),
        }
    }
    out.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const FORMAT: &str =
        "Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n";

    /// The expression of a file with a paragraph for each of `licences`.
    fn expression(licences: &[&str]) -> String {
        let mut text = FORMAT.to_owned();
        for (at, name) in licences.iter().enumerate() {
            text.push_str(&format!("\nFiles: {at}/*\nCopyright: x\nLicense: {name}\n"));
        }
        licence(&text, "a-package").expression
    }

    #[test]
    fn words_between_names() {
        for (names, wanted) in [
            ("GPL-2+", "GPL-2.0-or-later"),
            ("GPL-1+ or Artistic", "GPL-1.0-or-later OR Artistic-1.0"),
            ("GPL-2 and/or Expat", "GPL-2.0-only OR MIT"),
            ("GPL-2+ and Expat", "GPL-2.0-or-later AND MIT"),
            ("Expat AND ISC", "MIT AND ISC"),
            ("GPL-2 or Expat and ISC", "GPL-2.0-only OR (MIT AND ISC)"),
            ("GPL-2 or Expat, and ISC", "(GPL-2.0-only OR MIT) AND ISC"),
            ("GPL-2, or Expat, and ISC", "GPL-2.0-only OR (MIT AND ISC)"),
            ("Expat or Expat", "MIT"),
            (
                "GPL-2+ with Font exception or Perl",
                "GPL-2.0-or-later WITH Font-exception-2.0 OR (GPL-1.0-or-later OR Artistic-1.0)",
            ),
            (
                "GPL-2+ with OpenSSL exception",
                "LicenseRef-goldsmith-a-package-GPL-2plus-with-OpenSSL-exception",
            ),
            ("GPL-2, Expat", "LicenseRef-goldsmith-a-package-GPL-2-Expat"),
        ] {
            assert_eq!(expression(&[names]), wanted, "{names}");
        }
    }

    #[test]
    fn paragraphs_are_joined() {
        let all = ["Expat", "GPL-2+ or ISC", "Expat", "GPL-2+ or ISC", "GPL-2+"];
        assert_eq!(
            expression(&all),
            "MIT AND (GPL-2.0-or-later OR ISC) AND GPL-2.0-or-later"
        );
    }

    #[test]
    fn texts_belong_to_names_that_spdx_does_not_have() {
        let text = format!(
            "{FORMAT}License: public-domain\n\nFiles: *\nCopyright: x\nLicense: BSD\n\
             \nFiles: a\nCopyright: x\nLicense: MIT\n one\n .\n  two\n\
             \nLicense: BSD\n the text\n of it\n\nLicense: unused\n text\n"
        );
        let read = licence(&text, "lib a+");
        assert!(read.machine_readable);
        let [bsd, mit, domain] = ["BSD", "MIT", "public-domain"]
            .map(|name| format!("LicenseRef-goldsmith-lib-aplus-{name}"));
        assert_eq!(read.expression, format!("{domain} AND {bsd} AND {mit}"));
        assert_eq!(read.texts[&bsd], "BSD\n\nthe text\nof it");
        assert_eq!(read.texts[&mit], "MIT\n\none\n\n two");
        assert_eq!(
            read.texts[&domain],
            "public-domain (the copyright file of lib a+ has no text for it)"
        );
        assert_eq!(read.texts.len(), 3);
    }

    #[test]
    fn names_that_look_the_same_stay_apart() {
        let text = format!(
            "{FORMAT}\nFiles: a\nCopyright: x\nLicense: my own\n one\n\
             \nFiles: b\nCopyright: x\nLicense: my-own\n two\n"
        );
        let read = licence(&text, "p");
        let name = "LicenseRef-goldsmith-p-my-own";
        assert_eq!(read.expression, format!("{name} AND {name}-2"));
        assert_eq!(read.texts[&format!("{name}-2")], "my-own\n\ntwo");
    }

    #[test]
    fn other_files_are_named_as_a_whole() {
        for text in [
            "This package was debianized by x.\n\nCopyright:\n\n GPL\n",
            "",
            "Format: 3.0 (quilt)\nLicense: Expat\n",
            &format!("{FORMAT}\nFiles: *\nCopyright: x\n"),
            &format!("{FORMAT}\nFiles: *\nFiles: *\nLicense: Expat\n"),
        ] {
            let read = licence(text, "p");
            assert_eq!(
                read.expression, "LicenseRef-goldsmith-p-copyright",
                "{text}"
            );
            assert_eq!(read.texts.values().collect::<Vec<_>>(), [text]);
            assert!(!read.machine_readable);
        }
    }
}
