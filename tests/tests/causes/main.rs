//! Checks that the tests named on the page beside this file exist.

#![cfg(test)]

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

const PAGE: &str = include_str!("causes.md");
/// The folders with tests.
const FOLDERS: [&str; 3] = ["kcl-core/src", "kcl-local/src", "tests/tests"];

/// The names of all functions in the Rust files below this folder.
fn functions(folder: &Path, names: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            functions(&path, names);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).unwrap();
            let named = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            names.extend(named.map(str::to_owned));
        }
    }
}

/// The cells of each row of the page's tables.
fn rows() -> Vec<Vec<&'static str>> {
    let rows = PAGE.lines().filter(|line| line.starts_with('|'));
    let cells = |line: &'static str| line.trim_matches('|').split('|').map(str::trim).collect::<Vec<_>>();
    rows.map(cells).filter(|cells| !cells[0].starts_with("---") && cells[0] != "what went wrong").collect()
}

/// The texts in backticks.
fn quoted(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_cause_names_existing_tests_or_the_reason_for_none() {
    let root: PathBuf = [env!("CARGO_MANIFEST_DIR"), ".."].iter().collect();
    let mut known = BTreeSet::new();
    FOLDERS.iter().for_each(|folder| functions(&root.join(folder), &mut known));
    let rows = rows();
    assert!(rows.len() >= 50, "the page has tables: {}", rows.len());
    for cells in rows {
        let [what, _, here, shown] = cells[..] else { panic!("four cells: {cells:?}") };
        let tests: Vec<&str> = quoted(shown).collect();
        let missing: Vec<&&str> = tests.iter().filter(|test| !known.contains(**test)).collect();
        assert!(missing.is_empty(), "{what}: there is no {missing:?}");
        assert!(!tests.is_empty() || (shown == "no test" && here.len() > 40), "{what}: a test, or a reason");
    }
}
