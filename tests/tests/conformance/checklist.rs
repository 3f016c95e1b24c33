//! Whether every point of the checklist has a check, or is listed as left for later.

use std::collections::BTreeSet;
use std::path::Path;

/// Points without any check yet, and what they wait for.
const LEFT: &[(u32, &str)] = &[
    (46, "fan-out subscriptions: they do not use up the polling budget"),
    (81, "fan-out subscriptions"),
    (82, "fan-out subscriptions"),
    (83, "fan-out subscriptions"),
    (84, "fan-out subscriptions"),
    (85, "fan-out subscriptions"),
    (86, "fan-out subscriptions"),
    (87, "fan-out subscriptions"),
    (88, "fan-out subscriptions"),
    (89, "fan-out subscriptions"),
    (90, "fan-out subscriptions"),
    (96, "the Java KCL and the waiters of the AWS CLI as clients"),
];

/// Points with a check of which a part is left.
const LEFT_IN_PART: &[(u32, &str)] = &[
    (24, "a large record through a fan-out subscription"),
    (30, "a continuation number that a subscription gave; here one is made up"),
    (74, "a subscription to an expired shard"),
];

const POINTS: u32 = 96;

/// The points named at the start of the checks' names: `fn k28_k29_...` has two.
fn checked() -> BTreeSet<u32> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance");
    let mut points = BTreeSet::new();
    for file in std::fs::read_dir(folder).unwrap() {
        let path = file.unwrap().path();
        if path.extension().is_none_or(|extension| extension != "rs") {
            continue;
        }
        for line in std::fs::read_to_string(path).unwrap().lines() {
            let name = line.trim_start().trim_start_matches("async ").strip_prefix("fn ").unwrap_or("");
            let ids = name.split('_').map_while(|part| part.strip_prefix('k').and_then(|id| id.parse::<u32>().ok()));
            points.extend(ids);
        }
    }
    points
}

#[test]
fn every_point_has_a_check_or_is_listed_as_left() {
    let checked = checked();
    let left: BTreeSet<_> = LEFT.iter().map(|(point, _)| *point).collect();
    let missing: Vec<_> = (1..=POINTS).filter(|point| !checked.contains(point) && !left.contains(point)).collect();
    assert!(missing.is_empty(), "no check for K{missing:?}");
    let stale: Vec<_> = left.intersection(&checked).collect();
    assert!(stale.is_empty(), "listed as left, but checked: K{stale:?}");
    assert!(LEFT_IN_PART.iter().all(|(point, _)| checked.contains(point)));
    assert!(checked.iter().all(|point| (1..=POINTS).contains(point)));
}
