//! The environment tools of GRUB and U-Boot, run here as they ship against a model of a FAT and its
//! medium: all orders of events, with the power failing between any two writes, and the writes
//! arriving in any order that the medium may choose.

mod device;
mod loader;
mod recorded;
mod story;

use crate::boot::env_tools::SHELLS;
use crate::support::tool;
use device::Device;
use loader::Loader;
use story::{Limits, Seen, Stories};

/// What every run of the tests looks at; `ENVIRONMENT_DEPTH` is for more events in a row.
fn limits() -> Limits {
    let depth = std::env::var("ENVIRONMENT_DEPTH").ok();
    let depth = depth.and_then(|depth| depth.parse().ok());
    Limits {
        depth: depth.unwrap_or(3),
        distinct: if depth.is_some() { 12 } else { 3 },
        fsck: true,
        problems: 1,
    }
}

fn told(loader: Loader, text: &str, limits: Limits) -> Option<Seen> {
    let device = Device::new(SHELLS[0], loader, text)?;
    let mut stories = Stories::new(&device, limits);
    stories.tell();
    Some(stories.seen)
}

/// Each tool breaks no promise, with a check of the boot partition at each start and without. The
/// numbers are those of the page.
#[test]
fn all_orders_of_events_with_power_cuts_keep_an_environment() {
    let mut columns = Vec::new();
    for loader in [Loader::Grub, Loader::UBoot] {
        for fsck in [true, false] {
            let limits = Limits { fsck, ..limits() };
            let Some(seen) = told(loader, &loader.tool(), limits) else {
                return;
            };
            println!("{loader:?} {limits:?} {seen:#?}");
            assert_eq!(seen.problems(), 0, "{loader:?} {seen:#?}");
            assert!(seen.orders > 10 && seen.distinct > 40, "{seen:#?}");
            if fsck {
                columns.push(seen);
            }
        }
    }
    if tool("fsck.vfat").is_some() && std::env::var_os("ENVIRONMENT_DEPTH").is_none() {
        page::held(&table(&columns, limits().depth));
    }
}

/// The numbers of GRUB and of U-Boot, for the page.
fn table(columns: &[Seen], depth: usize) -> String {
    let mut out = format!(
        "| looked at, with {depth} events in a row | GRUB | U-Boot |\n| --- | --- | --- |\n"
    );
    type Number = fn(&Seen) -> usize;
    let rows: [(&str, Number); 8] = [
        ("orders of events", |seen| seen.orders),
        ("intervals between two flushes", |seen| seen.intervals),
        ("of which with all combinations", |seen| seen.exhaustive),
        ("states after a power cut", |seen| seen.cuts),
        ("of which differ in what can be seen", |seen| seen.distinct),
        ("**without a start, or without a good copy**", |seen| {
            seen.no_start.len()
        }),
        ("**uncommitted updates that survive**", |seen| {
            seen.uncommitted.len()
        }),
        ("**lost variables of the owner**", |seen| seen.lost.len()),
    ];
    for (what, number) in rows {
        let numbers: Vec<String> = columns
            .iter()
            .map(|seen| number(seen).to_string())
            .collect();
        out.push_str(&format!("| {what} | {} |\n", numbers.join(" | ")));
    }
    out
}

mod page {
    //! The place of the numbers in the documentation.

    use std::fs;
    use std::path::Path;

    const BEGIN: &str = "<!-- environments: generated, GOLDSMITH_BLESS=1 writes it anew -->\n";
    const END: &str = "<!-- end of environments -->";

    /// Holds the page against the table; blessed, it is written there.
    pub(super) fn held(table: &str) {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/reliability.md");
        let text = fs::read_to_string(&page).unwrap();
        let (head, rest) = text.split_once(BEGIN).unwrap();
        let (old, tail) = rest.split_once(END).unwrap();
        if std::env::var_os("GOLDSMITH_BLESS").is_some() {
            fs::write(page, format!("{head}{BEGIN}{table}{END}{tail}")).unwrap();
            return;
        }
        assert_eq!(old, table, "GOLDSMITH_BLESS=1 writes the numbers anew");
    }
}

/// A tool that is broken on purpose: what is done to it, as old and new text, and what is seen.
struct Broken {
    what: &'static str,
    loader: Loader,
    edits: &'static [(&'static str, &'static str)],
    seen: fn(&Seen) -> bool,
}

const BROKEN: [Broken; 11] = [
    Broken {
        what: "the cache of the medium is not emptied",
        loader: Loader::Grub,
        edits: &[("    sync \"$1\" 2>/dev/null\n", "")],
        seen: |seen| seen.problems() > seen.failed.len(),
    },
    Broken {
        what: "the cache of the medium is not emptied",
        loader: Loader::UBoot,
        edits: &[("    sync \"$1\" 2>/dev/null\n", "")],
        seen: |seen| seen.problems() > seen.failed.len(),
    },
    Broken {
        what: "a copy is written at once, without its lock",
        loader: Loader::Grub,
        edits: &[("put \"$copy/lock\" \"$lock_taken\" && put_env ", "put ")],
        seen: |seen| !seen.lost.is_empty(),
    },
    Broken {
        what: "a damaged copy is not mended",
        loader: Loader::Grub,
        edits: &[(
            "    write_copy \"$1\" \"$truth\" || printf",
            "    true || printf",
        )],
        seen: |seen| !seen.failed.is_empty(),
    },
    Broken {
        what: "both copies are written at once",
        loader: Loader::Grub,
        edits: &[("    flush \"$1\"\n}\n\n# put_env", "}\n\n# put_env")],
        seen: |seen| seen.problems() > seen.failed.len(),
    },
    Broken {
        what: "the second sector of a block is written while GRUB can mend the first",
        loader: Loader::Grub,
        edits: &[("&& put_env \"$copy/env\"", "&& put \"$copy/env\"")],
        seen: |seen| !seen.lost.is_empty(),
    },
    Broken {
        what: "an update counts as committed",
        loader: Loader::Grub,
        edits: &[(
            "        with \"${entry%%=*}\" \"${entry#*=}\" \"$all\"\n",
            "        case $entry in upgrade_available=1) entry=upgrade_available=0 ;; esac\n        with \"${entry%%=*}\" \"${entry#*=}\" \"$all\"\n",
        )],
        seen: |seen| !seen.uncommitted.is_empty(),
    },
    Broken {
        what: "variables that were not named are dropped",
        loader: Loader::Grub,
        edits: &[("    all=$truth\n", "    here 2 \"\"\n    all=$entries\n")],
        seen: |seen| seen.problems() > 0,
    },
    Broken {
        what: "the copy that is believed is written",
        loader: Loader::UBoot,
        edits: &[("    other=$((3 - newest))\n", "    other=$newest\n")],
        seen: |seen| seen.problems() > 0,
    },
    Broken {
        what: "the serial number stays",
        loader: Loader::UBoot,
        edits: &[("$(((number + 1) % 256))", "\"$number\"")],
        seen: |seen| seen.problems() > 0,
    },
    Broken {
        what: "variables that were not named are dropped",
        loader: Loader::UBoot,
        edits: &[("    all=$truth\n", "    here 2 \"\"\n    all=$entries\n")],
        seen: |seen| seen.problems() > 0,
    },
];

#[test]
fn environment_tools_that_are_broken_on_purpose_are_found() {
    for case in BROKEN {
        let text = case
            .edits
            .iter()
            .fold(case.loader.tool(), |text, (old, new)| {
                assert_eq!(text.matches(old).count(), 1, "{old}");
                text.replace(old, new)
            });
        let Some(seen) = told(case.loader, &text, limits()) else {
            return;
        };
        println!("{:?}, {}: {seen:#?}", case.loader, case.what);
        assert!((case.seen)(&seen), "{}: {seen:#?}", case.what);
    }
}
