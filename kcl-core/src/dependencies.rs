//! Holds the modules of this crate to their order: each imports only from modules before it in [`ORDER`], so none depends on
//! itself through others.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each module may import from those before it.
const ORDER: [&str; 26] = [
    "error",
    "text",
    "clock",
    "spawn",
    "mutant",
    "stopwatch",
    "record",
    "config",
    "checkpoint",
    "lease",
    "process",
    "shard",
    "telemetry",
    "retrieval",
    "processor",
    "coordination",
    "aws",
    "worker",
    // What users see of the ones above.
    "docs",
    "operator",
    "policy",
    "replay",
    "settings",
    "testing",
    "bench",
    "fuzzing",
];

/// Neither imports the other: the coordination does not know which services answer it.
const APART: (&str, &str) = ("aws", "coordination");

/// A source without comments and without items that are only built for tests.
fn production(source: &str) -> String {
    let (mut kept, mut lines) = (String::new(), source.lines());
    let indent = |line: &str| line.len() - line.trim_start().len();
    while let Some(line) = lines.next() {
        if line.trim_start().starts_with("#[cfg(test)]") {
            let mut item = lines.next().unwrap_or_default();
            while item.trim_start().starts_with("#[") {
                item = lines.next().unwrap_or_default();
            }
            // rustfmt puts the end of an item that is longer than a line at its indentation.
            if !item.ends_with([';', ',', '}']) {
                lines.by_ref().find(|line| indent(line) == indent(item) && line.trim_start().starts_with('}'));
            }
            continue;
        }
        kept.push_str(line.split_once("//").map_or(line, |(code, _)| code));
        kept.push('\n');
    }
    kept
}

/// The names that a source imports from the root of the crate.
fn imports(source: &str) -> BTreeSet<String> {
    let name = |text: &str| text.trim_start().chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    let rest = source.split("crate::").skip(1);
    rest.flat_map(|rest| match rest.strip_prefix('{') {
        Some(list) => list.split(';').next().unwrap_or_default().split(',').map(name).collect::<Vec<String>>(),
        None => vec![name(rest)],
    })
    .collect()
}

/// The names that the root of the crate re-exports, each with its module.
fn re_exports(root: &str) -> BTreeMap<String, String> {
    let uses = root.split("pub use ").skip(1).filter_map(|rest| rest.split(';').next()?.split_once("::"));
    let uses = uses.filter(|(module, _)| ORDER.contains(module));
    let names = |(module, names): (&str, &str)| {
        let names = names.split([',', '{', '}']).map(|name| name.trim().to_owned());
        names.map(|name| (name, module.to_owned())).collect::<Vec<_>>()
    };
    uses.flat_map(names).collect()
}

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let of = |path: PathBuf| if path.is_dir() { sources(&path) } else { vec![path] };
    entries.flat_map(of).filter(|path| path.extension().is_some_and(|extension| extension == "rs")).collect()
}

#[test]
fn each_module_imports_only_from_those_before_it() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let re_exports = re_exports(&fs::read_to_string(root.join("lib.rs")).unwrap());
    let place = |module: &str| ORDER.iter().position(|name| *name == module);
    let (mut wrong, mut edges) = (Vec::new(), BTreeSet::new());
    for path in sources(&root) {
        let file = path.strip_prefix(&root).unwrap().display().to_string();
        if file.ends_with("tests.rs")
            || file.contains("/tests/")
            || ["lib.rs", "dependencies.rs"].contains(&file.as_str())
        {
            continue;
        }
        let from = file.split(['/', '.']).next().unwrap_or_default().to_owned();
        for name in imports(&production(&fs::read_to_string(&path).unwrap())) {
            let to = re_exports.get(&name).unwrap_or(&name).clone();
            let in_order = to == from || place(&to).is_some_and(|to| Some(to) < place(&from));
            if !in_order || (from.as_str(), to.as_str()) == APART {
                wrong.push(format!("{file} imports `crate::{name}`"));
            }
            edges.insert((from.clone(), to));
        }
    }
    assert!(edges.len() > 80, "the sources were not read: {edges:?}");
    assert!(wrong.is_empty(), "against the order of modules:\n{}", wrong.join("\n"));
}

#[test]
fn items_for_tests_and_comments_are_no_imports() {
    let source =
        "use crate::a;\n// use crate::b;\n#[cfg(test)]\nmod tests {\n    use crate::c;\n}\nuse crate::{d, e::F};\n";
    assert_eq!(imports(&production(source)), ["a", "d", "e"].map(str::to_owned).into());
    let root = "pub use error::{Code, Error};\npub use clock::Time;\npub use crate::{Error, Time};\n";
    assert_eq!(re_exports(root).get("Time").map(String::as_str), Some("clock"));
}
