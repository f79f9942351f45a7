//! A comparison as one HTML page that needs nothing else.

use super::{Comparison, FileChange, FilesystemChange, PackageChange, Sort};
use crate::units::{counted, human};
use std::fmt::Write as _;

/// The look of the page, for light and dark screens; signs tell what colours tell.
const STYLE: &str = "\
:root{color-scheme:light dark;--add:#116329;--del:#a40e26;--line:#8886;--soft:#8881}\
@media(prefers-color-scheme:dark){:root{--add:#7ee787;--del:#ff9492}}\
body{font:15px/1.5 system-ui,sans-serif;max-width:70em;margin:2em auto;padding:0 1em}\
h1{font-size:1.5em}h2{font-size:1.2em;margin-top:2em;border-bottom:1px solid var(--line)}\
table{border-collapse:collapse;width:100%}td,th{text-align:left;vertical-align:top;padding:.15em .8em .15em 0}\
th{font-weight:600}code,pre{font:13px/1.45 ui-monospace,monospace}code{overflow-wrap:anywhere}\
pre{background:var(--soft);padding:.6em;overflow-x:auto;margin:.3em 0 1em}\
summary{cursor:pointer;padding:.15em 0}.add{color:var(--add)}.del{color:var(--del)}\
.sign{width:1.2em;font:13px ui-monospace,monospace}.what{opacity:.8}";

/// The page for a comparison of the files called `old` and `new`.
#[must_use]
pub fn page(old: &str, new: &str, comparison: &Comparison) -> String {
    let mut out = String::from("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">");
    out.push_str("<meta name=\"viewport\" content=\"width=device-width\">");
    let title = format!("{} and {}", escape(old), escape(new));
    let _ = writeln!(
        out,
        "<title>{title}</title><style>{STYLE}</style></head><body>"
    );
    let _ = writeln!(out, "<h1>{title}</h1><table>");
    for (sign, name, side) in [("-", old, &comparison.old), ("+", new, &comparison.new)] {
        let release = side.release.as_deref().unwrap_or_default();
        let cells = [name, &side.form, &human(side.size), release];
        row(&mut out, sign, &cells);
    }
    out.push_str("</table>\n");
    if !comparison.partitions.is_empty() {
        out.push_str("<h2>Partitions</h2><table>\n");
        for one in &comparison.partitions {
            let number = one.number.to_string();
            for (sign, text) in [("-", &one.old), ("+", &one.new)] {
                if let Some(text) = text {
                    row(&mut out, sign, &[&number, text]);
                }
            }
        }
        out.push_str("</table>\n");
    }
    for one in &comparison.filesystems {
        filesystem(&mut out, one);
    }
    if !comparison.not_compared.is_empty() {
        out.push_str("<h2>Not compared</h2><ul>\n");
        for one in &comparison.not_compared {
            let _ = writeln!(out, "<li>{}</li>", escape(one));
        }
        out.push_str("</ul>\n");
    }
    out.push_str("</body></html>\n");
    out
}

/// A row of a table: a sign, and the cells.
fn row(out: &mut String, sign: &str, cells: &[&str]) {
    let class = class(sign);
    let _ = write!(out, "<tr class=\"{class}\"><td class=\"sign\">{sign}</td>");
    for cell in cells {
        let _ = write!(out, "<td>{}</td>", escape(cell));
    }
    out.push_str("</tr>\n");
}

fn class(sign: &str) -> &'static str {
    match sign.chars().next() {
        Some('+') => "add",
        Some('-') => "del",
        _ => "",
    }
}

fn filesystem(out: &mut String, one: &FilesystemChange) {
    let _ = writeln!(out, "<h2>{}</h2>", escape(&one.name));
    let _ = writeln!(out, "<p>{}</p>", escape(&summary(one)));
    if one.same_as.is_some() {
        return;
    }
    if !one.packages.is_empty() {
        let title = counted(one.packages.len(), "package", "packages");
        let _ = writeln!(out, "<details open><summary>{title}</summary><table>");
        for package in &one.packages {
            let (sign, versions) = versions(package);
            row(out, sign, &[&package.name, &versions]);
        }
        out.push_str("</table></details>\n");
    }
    let (owned, own): (Vec<&FileChange>, Vec<&FileChange>) = one
        .files
        .changes
        .iter()
        .partition(|change| change.is_of_package());
    let others = if one.packages.is_empty() {
        "files"
    } else {
        "other files"
    };
    files(out, others, &own, true);
    files(out, "files of these packages", &owned, false);
}

/// The sign and the versions of a package that differs.
pub(super) fn versions(package: &PackageChange) -> (&'static str, String) {
    match (&package.old, &package.new) {
        (None, new) => ("+", new.clone().unwrap_or_default()),
        (Some(old), None) => ("-", old.clone()),
        (Some(old), Some(new)) => {
            let back = if package.downgrade { " (lower)" } else { "" };
            ("~", format!("{old} -> {new}{back}"))
        }
    }
}

fn files(out: &mut String, title: &str, changes: &[&FileChange], open: bool) {
    if changes.is_empty() {
        return;
    }
    let open = if open { " open" } else { "" };
    let _ = writeln!(
        out,
        "<details{open}><summary>{} {title}</summary>",
        changes.len()
    );
    for change in changes {
        let sign = change.sort.sign();
        let line = format!(
            "<span class=\"{}\"><code>{sign} {}</code></span> <span class=\"what\">{}</span>",
            class(sign),
            escape(&change.path),
            escape(&change.described())
        );
        match &change.patch {
            None => {
                let _ = writeln!(out, "<div>{line}</div>");
            }
            Some(patch) => {
                let _ = write!(out, "<details open><summary>{line}</summary><pre>");
                for text in patch.lines() {
                    let _ = writeln!(
                        out,
                        "<span class=\"{}\">{}</span>",
                        class(text),
                        escape(text)
                    );
                }
                out.push_str("</pre></details>\n");
            }
        }
    }
    out.push_str("</details>\n");
}

/// A sentence about a filesystem.
pub(super) fn summary(one: &FilesystemChange) -> String {
    if let Some(other) = &one.same_as {
        return format!("differs as {other} does");
    }
    let count = |sort| {
        one.files
            .changes
            .iter()
            .filter(|change| change.sort == sort)
            .count()
    };
    let mut parts = Vec::new();
    for (sort, what) in [
        (Sort::Added, "added"),
        (Sort::Removed, "removed"),
        (Sort::Changed, "changed"),
    ] {
        match count(sort) {
            0 => {}
            number => parts.push(format!("{number} {what}")),
        }
    }
    let mut text = match parts.is_empty() {
        true => format!("no file differs, of {}", one.files.same),
        false => format!(
            "files: {}; {} are the same",
            parts.join(", "),
            one.files.same
        ),
    };
    if one.files.times > 0 {
        let _ = write!(text, " ({} in all but their time)", one.files.times);
    }
    if let Some(blocks) = one.blocks {
        let _ = write!(
            text,
            "; {} of {} blocks differ",
            blocks.different, blocks.all
        );
    }
    text
}

/// Text for HTML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
