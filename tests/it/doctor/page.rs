//! The page of findings, and the list of codes in the source, are the same.

use goldsmith::doctor::CODES;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

const START: &str = "<!-- codes -->\n";
const END: &str = "<!-- end of codes -->\n";

#[test]
fn the_page_lists_every_code() {
    let mut table =
        String::from("| code | severity | finding | remedy |\n| --- | --- | --- | --- |\n");
    for code in CODES {
        writeln!(
            table,
            "| `{}` | {} | {} | {} |",
            code.name, code.severity, code.meaning, code.remedy
        )
        .unwrap();
    }
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/doctor.md");
    let page = fs::read_to_string(&path).unwrap();
    let (before, rest) = page.split_once(START).expect("the start of the table");
    let (found, after) = rest.split_once(END).expect("the end of the table");
    if std::env::var_os("GOLDSMITH_BLESS").is_some() {
        fs::write(&path, format!("{before}{START}{table}{END}{after}")).unwrap();
        return;
    }
    assert_eq!(found, table, "run the tests with GOLDSMITH_BLESS=1");
}
