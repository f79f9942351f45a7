//! The names of licences in Debian's copyright files, as expressions of SPDX.
//!
//! The short names are those of the "Machine-readable debian/copyright file" format, version 1.0
//! (section "License short name"); `spdx-licences.txt` holds the identifiers of the SPDX License
//! List 3.28.0 without deprecated ones. A name that has no certain meaning there is not guessed.

use std::collections::BTreeMap;
use std::sync::LazyLock;

/// The identifiers of SPDX by their lower-case form.
static LISTED: LazyLock<BTreeMap<String, &'static str>> = LazyLock::new(|| {
    let ids = include_str!("spdx-licences.txt").lines();
    ids.map(|id| (id.to_ascii_lowercase(), id)).collect()
});

/// Debian's short names that SPDX calls otherwise.
const OTHERS: [(&str, &str); 7] = [
    ("artistic", "Artistic-1.0"),
    ("cc0", "CC0-1.0"),
    ("expat", "MIT"),
    ("freebsd", "BSD-2-Clause-Views"),
    ("perl", "(GPL-1.0-or-later OR Artistic-1.0)"),
    ("psf-2", "PSF-2.0"),
    ("w3c-software", "W3C"),
];

/// Exceptions by the word before `exception`, where SPDX has one of that name only.
const EXCEPTIONS: [(&str, &str); 6] = [
    ("classpath", "Classpath-exception-2.0"),
    ("font", "Font-exception-2.0"),
    ("libtool", "Libtool-exception"),
    ("llvm", "LLVM-exception"),
    ("texinfo", "Texinfo-exception"),
    ("universal-foss", "Universal-FOSS-exception-1.0"),
];

/// Names under which files have licences that differ; the words of the one that SPDX means, and
/// words that only the others have.
const AMBIGUOUS: [(&str, &str, &str); 2] = [
    (
        "mit",
        "permission is hereby granted, free of charge, to any person obtaining a copy of this \
         software and associated documentation files",
        "except as contained in this notice",
    ),
    (
        "x11",
        "except as contained in this notice, the name of the x consortium shall not be used",
        "x.org foundation",
    ),
];

/// The SPDX expression for one short name, whose text is `text` where the file has it; `None` if
/// none is certain.
pub(super) fn spdx(name: &str, text: &str) -> Option<String> {
    let lower = name.trim().to_ascii_lowercase();
    let Some((base, exception)) = lower.split_once(" with ") else {
        return alone(&lower, text);
    };
    let word = exception.trim().strip_suffix("exception")?.trim();
    let word = word.trim_end_matches('-');
    let (_, exception) = EXCEPTIONS.iter().find(|(known, _)| *known == word)?;
    Some(format!("{} WITH {exception}", alone(base.trim(), text)?))
}

/// As [`spdx`], of a lower-case name without exception.
fn alone(name: &str, text: &str) -> Option<String> {
    if let Some((_, words, others)) = AMBIGUOUS.iter().find(|(known, ..)| *known == name) {
        let text = plain(text);
        let certain = text.contains(words) && !text.contains(others);
        return certain.then(|| listed(name)).flatten();
    }
    if let Some((_, id)) = OTHERS.iter().find(|(known, _)| *known == name) {
        return Some((*id).to_owned());
    }
    let (base, later) = match name.strip_suffix('+') {
        Some(base) => (base, true),
        None => (name, false),
    };
    if let Some(id) = gnu(base, later) {
        return Some(id);
    }
    let id = versions(base).into_iter().find_map(|name| listed(&name))?;
    Some(if later { id + "+" } else { id })
}

/// A licence of the GNU project, whose identifiers say whether later versions are meant.
fn gnu(base: &str, later: bool) -> Option<String> {
    let (family, kind) = match base.strip_prefix("gfdl-niv-") {
        Some(version) => (format!("gfdl-{version}"), "-no-invariants"),
        None => (base.to_owned(), ""),
    };
    let end = if later { "or-later" } else { "only" };
    let mut names = versions(&family).into_iter();
    names.find_map(|name| listed(&format!("{name}{kind}-{end}")))
}

/// A name, and the same with and without a `.0` at the end, which counts as equal.
fn versions(name: &str) -> Vec<String> {
    let mut out = vec![name.to_owned()];
    out.extend(name.strip_suffix(".0").map(str::to_owned));
    if name.ends_with(|c: char| c.is_ascii_digit()) {
        out.push(format!("{name}.0"));
    }
    out
}

fn listed(lower: &str) -> Option<String> {
    LISTED.get(lower).map(|id| (*id).to_owned())
}

/// A text in lower case with single blanks.
fn plain(text: &str) -> String {
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").to_ascii_lowercase()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The text that Debian calls Expat.
    const EXPAT: &str = "Permission is hereby granted, free of charge, to any person\n obtaining \
                         a copy of this software and associated documentation files (the ...";

    #[test]
    fn debian_names_and_those_of_spdx() {
        for (name, id) in [
            ("GPL-2+", "GPL-2.0-or-later"),
            ("GPL-2", "GPL-2.0-only"),
            ("GPL-2.0+", "GPL-2.0-or-later"),
            ("gpl-3", "GPL-3.0-only"),
            ("GPL-1+", "GPL-1.0-or-later"),
            ("LGPL-2.1+", "LGPL-2.1-or-later"),
            ("LGPL-2", "LGPL-2.0-only"),
            ("AGPL-3+", "AGPL-3.0-or-later"),
            ("GFDL-1.3+", "GFDL-1.3-or-later"),
            ("GFDL-NIV-1.3+", "GFDL-1.3-no-invariants-or-later"),
            ("Apache-2", "Apache-2.0"),
            ("Apache-2.0+", "Apache-2.0+"),
            ("MPL-1.1", "MPL-1.1"),
            ("Expat", "MIT"),
            ("BSD-3-clause", "BSD-3-Clause"),
            ("bsd-2-clause", "BSD-2-Clause"),
            ("CC-BY-SA-3", "CC-BY-SA-3.0"),
            ("CC0", "CC0-1.0"),
            ("Zlib", "Zlib"),
            ("ISC", "ISC"),
            ("GPL-2.0-or-later", "GPL-2.0-or-later"),
            (
                "GPL-2+ with Font exception",
                "GPL-2.0-or-later WITH Font-exception-2.0",
            ),
            (
                "Apache-2.0 with LLVM-exception",
                "Apache-2.0 WITH LLVM-exception",
            ),
        ] {
            assert_eq!(spdx(name, "").as_deref(), Some(id), "{name}");
        }
    }

    #[test]
    fn names_without_a_certain_meaning_are_not_guessed() {
        for name in [
            "",
            "GPL",
            "LGPL+",
            "GPL-4",
            "BSD",
            "BSD-like",
            "public-domain",
            "other",
            "MIT",
            "X11",
            "GPL-2+ with OpenSSL exception",
            "GPL-3+ with Autoconf exception",
            "GPL-2+ with something",
            "nonsense with Font exception",
            "LLVM-exception",
            "Linux-syscall-note",
        ] {
            assert_eq!(spdx(name, ""), None, "{name}");
        }
        assert_eq!(spdx("MIT", EXPAT).as_deref(), Some("MIT"));
        let other = format!("{EXPAT}\n .\n Except as contained in this notice, the name of ...");
        assert_eq!(spdx("MIT", &other), None);
    }
}
