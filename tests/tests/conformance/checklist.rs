//! Checks that every point of the checklist has a check.

use std::collections::BTreeSet;
use std::path::Path;

/// Points that are checked by programs in other languages: `tests/clients/run`.
const ELSEWHERE: &[(u32, &str)] =
    &[(96, "java/Kcl.java by fan-out and by polling, boto3_kinesis.py and cli_kinesis.py through splits and merges")];

const POINTS: u32 = 97;

/// The points named at the start of the checks' names: `fn k28_k29_...` has two.
fn checked() -> BTreeSet<u32> {
    sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance"))
        .iter()
        .flat_map(|text| points(text))
        .collect()
}

fn sources(folder: &Path) -> Vec<String> {
    let mut texts = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            texts.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            texts.push(std::fs::read_to_string(path).unwrap());
        }
    }
    texts
}

fn points(text: &str) -> BTreeSet<u32> {
    let name = |line: &str| line.trim_start_matches("async ").strip_prefix("fn ").unwrap_or("").to_owned();
    let of_name = |name: String| -> Vec<u32> {
        name.split('_').map_while(|part| part.strip_prefix('k').and_then(|point| point.parse().ok())).collect()
    };
    text.lines().map(name).flat_map(of_name).collect()
}

#[test]
fn every_point_has_a_check() {
    let checked = checked();
    let elsewhere: BTreeSet<_> = ELSEWHERE.iter().map(|(point, _)| *point).collect();
    let missing: Vec<_> = (1..=POINTS).filter(|point| !checked.contains(point) && !elsewhere.contains(point)).collect();
    assert!(missing.is_empty(), "no check for K{missing:?}");
    let stale: Vec<_> = elsewhere.intersection(&checked).collect();
    assert!(stale.is_empty(), "listed as checked elsewhere, but checked here: K{stale:?}");
    assert!(checked.iter().all(|point| (1..=POINTS).contains(point)));
}
