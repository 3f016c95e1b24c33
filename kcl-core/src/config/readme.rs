//! Holds the README's table of settings against the list.

use super::Settings;

fn table() -> String {
    let row = |(key, meaning): (&str, &str)| {
        let default = Settings::default().get(key).filter(|text| !text.is_empty());
        let default = default.map_or_else(|| "none".to_owned(), |text| format!("`{text}`"));
        format!("| `{key}` | {default} | {meaning} |\n")
    };
    format!("| key | default | meaning |\n|---|---|---|\n{}", Settings::keys().map(row).collect::<String>())
}

#[test]
fn the_readme_lists_every_setting_with_its_default_and_meaning() {
    let readme = include_str!("../../../README.md");
    let (_, rest) = readme.split_once("<!-- settings:begin -->\n").unwrap();
    let (written, _) = rest.split_once("<!-- settings:end -->").unwrap();
    assert_eq!(written, table(), "put this between the marks in README.md:\n{}", table());
}
