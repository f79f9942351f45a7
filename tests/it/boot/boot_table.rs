//! `docs/boards.md` has a line for each test that boots and is not part of every run, with what
//! came of it.

use crate::support::{must, run, scratch};
use std::fs;
use std::path::Path;

const EMPTY: &str =
    "# Page\n\n<!-- boots: written by make test-boot -->\n<!-- end of boots -->\n\nmore\n";

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Writes the table of the tests in `dir` into `page`, with these results.
fn write(page: &Path, dir: &Path, results: &str) {
    let scratch = scratch();
    let said = scratch.path().join("results");
    fs::write(&said, results).unwrap();
    must(top().join("scripts/boot-table.sh"), &[&page, &dir, &said]);
}

/// The lines of the table without results.
fn rows(page: &str) -> Vec<String> {
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| `") && line.contains("::boot_"));
    rows.map(|line| line.split(" | ").take(2).collect::<Vec<_>>().join(" | "))
        .collect()
}

#[test]
fn the_page_names_every_test_that_boots_and_none_that_failed() {
    let dir = scratch();
    let page = dir.path().join("page.md");
    fs::write(&page, EMPTY).unwrap();
    let tests = top().join("tests/it");
    write(&page, &tests, "");
    let due = rows(&fs::read_to_string(page).unwrap());
    let page = top().join("docs/boards.md");
    if std::env::var_os("GOLDSMITH_BLESS").is_some() {
        write(&page, &tests, "");
    }
    let page = fs::read_to_string(page).unwrap();
    assert!(
        due.len() > 30
            && due.iter().all(|row| row
                .split(" | ")
                .nth(1)
                .is_some_and(|shows| shows.len() > 20)),
        "{due:#?}"
    );
    assert_eq!(
        rows(&page),
        due,
        "docs/boards.md is older than the tests; run them with GOLDSMITH_BLESS=1"
    );
    assert!(!page.contains("| failed |"));
}

#[test]
fn what_did_not_run_keeps_its_result() {
    let dir = scratch();
    let [page, tests] = ["page.md", "some.rs"].map(|name| dir.path().join(name));
    fs::write(&page, EMPTY).unwrap();
    let test = |name: &str, shows: &str, ignore: &str| {
        format!("/// {shows}\n#[test]\n{ignore}fn {name}() {{\n    body();\n}}\n\n")
    };
    let ignore = "#[ignore = \"boots\"]\n";
    let all = [
        test("boot_one", "Shows one.", ignore),
        test("boot_two", "Shows two,\n/// and more.", ignore),
        test("boot_always", "Runs always.", ""),
        test("other", "Other.", ignore),
    ];
    fs::write(&tests, all.concat()).unwrap();
    let table = |results: &str| {
        write(&page, dir.path(), results);
        let text = fs::read_to_string(&page).unwrap();
        let (front, rest) = text.split_once("| --- | --- | --- | --- |\n").unwrap();
        let (rows, back) = rest.split_once("<!-- end of boots -->\n").unwrap();
        assert!(
            front.starts_with("# Page\n\n<!-- boots: written by make test-boot -->\n| test |")
                && back == "\nmore\n",
            "{text}"
        );
        rows.to_owned()
    };
    let [one, two] = [
        "| `some::boot_one` | Shows one | ",
        "| `some::boot_two` | Shows two, and more | ",
    ];
    assert_eq!(table(""), format!("{one}not run |  |\n{two}not run |  |\n"));
    assert_eq!(
        table("some::boot_two ok 12\nsome::gone ok 1\n"),
        format!("{one}not run |  |\n{two}passed | 12 |\n")
    );
    assert_eq!(
        table("some::boot_one FAILED 7\n"),
        format!("{one}failed | 7 |\n{two}passed | 12 |\n")
    );
    // A page without a place for the table is left alone.
    fs::write(&page, "# Page\n").unwrap();
    let said = run(top().join("scripts/boot-table.sh"), &[&page, &dir.path()]);
    assert!(!said.status.success() && fs::read_to_string(&page).unwrap() == "# Page\n");
}
