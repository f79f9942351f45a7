//! Disks drawn to scale: with characters for a terminal, and as SVG.

use crate::convert::{Prepared, Record};
use crate::tree::show;
use crate::units::human;
use std::fmt::Write as _;

/// Columns of a disk in a terminal.
const COLUMNS: usize = 76;
/// The smallest partition in a terminal, with its brackets (columns).
const LEAST: usize = 3;
/// Width of a disk in a picture, and of everything (SVG user units).
const WIDTH: f64 = 880.0;
const MARGIN: f64 = 10.0;
/// Height of a disk, and from one disk to the next (SVG user units).
const BAR: f64 = 44.0;
const ROW: f64 = 122.0;

/// A partition to scale; all sizes in bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Part {
    name: String,
    start: u64,
    len: u64,
    /// Bytes in use; `None` if nobody knows.
    used: Option<u64>,
    /// The part of it that its filesystem has.
    filesystem: u64,
    /// Whether it has no filesystem, such as swap space.
    other: bool,
}

/// A disk to scale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Disk {
    title: String,
    len: u64,
    parts: Vec<Part>,
}

/// The golden disk and the one that it becomes.
pub(super) fn disks(prepared: &Prepared, record: &Record) -> [Disk; 2] {
    let golden = record.input.partitions.iter().map(|part| Part {
        name: match (part.label.trim(), part.name.trim()) {
            ("", "") => part.content.clone(),
            ("", name) | (name, _) => show(name.as_bytes()),
        },
        start: part.start,
        len: part.size,
        used: part.used,
        filesystem: part.size,
        other: part.used.is_none() && part.content != "only zeros",
    });
    let used = prepared.used();
    let parts = record.disk.partitions.iter().map(|part| Part {
        name: part.role.to_owned(),
        start: part.start,
        len: part.size,
        used: match part.role {
            "boot" => Some(used.boot),
            "root-a" => Some(used.root),
            "root-b" => prepared.plan.root.copy_to_b.then_some(used.root),
            _ => None,
        },
        filesystem: match part.role {
            "root-a" | "root-b" => record.root.size,
            _ => part.size,
        },
        other: false,
    });
    [
        Disk {
            title: format!("Before: {}", human(record.input.size)),
            len: record.input.size,
            parts: golden.collect(),
        },
        Disk {
            title: format!("After: {}", human(record.disk.size)),
            len: record.disk.size,
            parts: parts.collect(),
        },
    ]
}

/// The disks as text: `#` files, `-` the rest of a filesystem, `.` what no filesystem can use.
pub(super) fn text(out: &mut String, disks: &[Disk]) {
    for disk in disks {
        let _ = writeln!(out, "\n{}", disk.title);
        let (mut bars, mut names) = (String::from("  "), String::from("  "));
        for (part, columns) in disk.parts.iter().zip(columns(disk)) {
            let inner = columns - 2;
            let share = |bytes: u64| share(bytes, part.len, inner);
            let (used, filesystem) = (share(part.used.unwrap_or(0)), share(part.filesystem));
            let used = used.max(usize::from(part.used.is_some_and(|used| used > 0)));
            let filesystem = filesystem.max(used);
            bars.push('[');
            match part.other {
                true => bars.push_str(&"=".repeat(inner)),
                false => {
                    bars.push_str(&"#".repeat(used));
                    bars.push_str(&"-".repeat(filesystem - used));
                    bars.push_str(&".".repeat(inner - filesystem));
                }
            }
            bars.push(']');
            let shown: String = part.name.chars().take(columns - 1).collect();
            let _ = write!(names, "{shown:<columns$}");
        }
        let _ = writeln!(out, "{bars}\n{}", names.trim_end());
    }
    let mut others = disks.iter().flat_map(|disk| &disk.parts);
    let legend = match others.any(|part| part.other) {
        true => "  = no files, such as swap",
        false => "",
    };
    let _ = writeln!(
        out,
        "  # files  - free in the filesystem  . never used{legend}"
    );
}

/// The part of `columns` for `bytes` of `all`.
fn share(bytes: u64, all: u64, columns: usize) -> usize {
    let found = u128::from(bytes.min(all)) * columns as u128 / u128::from(all.max(1));
    usize::try_from(found).unwrap_or(columns)
}

/// The columns of each partition.
fn columns(disk: &Disk) -> Vec<usize> {
    let one = |part: &Part| share(part.len, disk.len, COLUMNS).max(LEAST);
    disk.parts.iter().map(one).collect()
}

/// The disks as a picture (SVG 1.1), for light and dark pages.
pub(super) fn svg(disks: &[Disk]) -> String {
    let (width, height) = (WIDTH + 2.0 * MARGIN, ROW * disks.len() as f64 + MARGIN);
    let mut out = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" font-family=\"sans-serif\" \
         font-size=\"13\">\n<style>text{{fill:#222}}.disk,.part{{fill:none;stroke:#888}}.fs{{fill:#9cc3e6}}\
         .used{{fill:#2f6fab}}.other{{fill:#bbb;stroke:#777;stroke-dasharray:3}}@media(prefers-color-scheme:dark){{text{{fill:#ddd}}.fs{{fill:#35546f}}\
         .used{{fill:#7db7e8}}.other{{fill:#555}}}}</style>\n"
    );
    for (number, disk) in disks.iter().enumerate() {
        let top = ROW * number as f64 + MARGIN;
        let _ = writeln!(
            out,
            "<text x=\"{MARGIN}\" y=\"{}\" font-weight=\"bold\">{}</text>",
            top + 14.0,
            escape(&disk.title)
        );
        let bar = top + 24.0;
        rectangle(&mut out, "disk", MARGIN, bar, WIDTH);
        let scale = |bytes: u64| bytes as f64 / disk.len.max(1) as f64 * WIDTH;
        for (at, part) in disk.parts.iter().enumerate() {
            let x = MARGIN + scale(part.start);
            let class = if part.other { "other" } else { "fs" };
            rectangle(
                &mut out,
                class,
                x,
                bar,
                scale(part.filesystem.min(part.len)),
            );
            rectangle(&mut out, "used", x, bar, scale(part.used.unwrap_or(0)));
            rectangle(&mut out, "part", x, bar, scale(part.len));
            // Names of small partitions next to each other do not cover each other.
            let line = bar + BAR + 15.0 + 15.0 * (at % 2) as f64;
            // A name at the right end has its room to the left.
            let (x, anchor) = match x > MARGIN + 0.85 * WIDTH {
                true => (
                    MARGIN + scale(part.start + part.len),
                    " text-anchor=\"end\"",
                ),
                false => (x, ""),
            };
            let _ = writeln!(
                out,
                "<text x=\"{x:.1}\" y=\"{line}\"{anchor}>{} {}</text>",
                escape(&part.name),
                human(part.len)
            );
        }
    }
    let _ = writeln!(
        out,
        "<text x=\"{MARGIN}\" y=\"{}\" font-size=\"11\">dark: files; light: free in the filesystem; grey: no files, such as swap; empty: never used</text>\n</svg>",
        height - 4.0
    );
    out
}

fn rectangle(out: &mut String, class: &str, x: f64, y: f64, width: f64) {
    let _ = writeln!(
        out,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y}\" width=\"{width:.1}\" height=\"{BAR}\"/>"
    );
}

/// Text for XML.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn disk() -> Disk {
        let part = |name: &str, start, len, used, filesystem| Part {
            name: name.to_owned(),
            start,
            len,
            used,
            filesystem,
            other: name == "swap",
        };
        Disk {
            title: "After: 100 B".to_owned(),
            len: 100,
            parts: vec![
                part("boot", 0, 1, Some(1), 1),
                part("root-a", 1, 49, Some(10), 25),
                part("<data>", 50, 50, None, 50),
            ],
        }
    }

    #[test]
    fn shares_of_a_disk() {
        let mut out = String::new();
        text(&mut out, &[disk()]);
        let lines: Vec<&str> = out.lines().collect();
        assert_eq!(lines[1], "After: 100 B");
        assert_eq!(
            lines[2],
            "  [#][#######----------..................][------------------------------------]"
        );
        assert_eq!(lines[3], "  bo root-a                               <data>");
        assert_eq!(lines.len(), 5);
    }

    #[test]
    fn a_picture_has_all_partitions_to_scale() {
        let out = svg(&[disk()]);
        assert!(
            out.contains("<rect class=\"fs\" x=\"18.8\" y=\"34\" width=\"220.0\""),
            "{out}"
        );
        assert!(
            out.contains(">&lt;data> 50 B</text>") && out.ends_with("</svg>\n"),
            "{out}"
        );
        assert_eq!(out.matches("class=\"part\"").count(), 3);
    }
}
