//! Compares the table in `docs/settings.md` with the list of settings.

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
fn the_page_lists_every_setting_with_its_default_and_meaning() {
    let page = include_str!("../../../docs/settings.md");
    let (_, rest) = page.split_once("<!-- settings:begin -->\n").unwrap();
    let (written, _) = rest.split_once("<!-- settings:end -->").unwrap();
    assert_eq!(written, table(), "put this between the marks in docs/settings.md:\n{}", table());
}
