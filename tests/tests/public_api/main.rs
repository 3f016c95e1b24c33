//! Compares the public interface of each published crate with the list in its `public-api.txt`, so that a change of it is seen
//! in review.
//!
//! After an intended change: `API_BLESS=1 cargo test -p kcl-tests --test public_api`, then read the difference.
//!
//! The list is made from the sources with `syn`, as rustdoc's JSON needs a nightly compiler. It has what a user's build with
//! the given features can name. Items made by macros are listed by the rows of the macro.
#![allow(clippy::wildcard_enum_match_arm, reason = "the enums of `syn` are foreign and non-exhaustive")]
#![allow(clippy::unwrap_used, reason = "a source that cannot be read fails the test")]

mod krate;
mod listing;
mod text;

use krate::Krate;
use std::path::Path;

/// The published crates with the features that users build.
const CRATES: [(&str, &[&str]); 4] = [
    ("kcl-core", &["aws", "default-https-client", "json", "macros", "metrics", "signal"]),
    ("kcl-local", &["tls"]),
    ("kcl-macros", &[]),
    ("kcl-sql", &["sqlite", "postgres"]),
];

#[test]
fn the_public_interface_of_each_crate_is_the_listed_one() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (name, features) in CRATES {
        let folder = root.join(name);
        let listed = listing::of(&Krate::read(&folder.join("src/lib.rs"), features));
        let file = folder.join("public-api.txt");
        if std::env::var_os("API_BLESS").is_some() {
            std::fs::write(&file, &listed).unwrap();
        }
        let expected = std::fs::read_to_string(&file).unwrap_or_default();
        let only = |these: &str, those: &str| -> String {
            let those: Vec<&str> = those.lines().collect();
            these.lines().filter(|line| !those.contains(line)).map(|line| format!("  {line}\n")).collect()
        };
        assert!(
            expected == listed,
            "the public interface of {name} changed; bless it with API_BLESS=1 if that is intended.\nremoved:\n{}added:\n{}",
            only(&expected, &listed),
            only(&listed, &expected)
        );
    }
}
