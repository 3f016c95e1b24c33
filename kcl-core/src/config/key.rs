//! Reads and writes settings by name: string keys, and environment variables.

use super::settings::{Settings, TEXTS, Text};
use crate::error::{Code, Error};

/// The prefix of environment variables; the rest is the key in capitals.
const PREFIX: &str = "KCL_";

impl Settings {
    /// Lists the keys of all settings with their meanings, in the order of the fields.
    pub fn keys() -> impl Iterator<Item = (&'static str, &'static str)> {
        TEXTS.iter().map(|text| (text.key, text.meaning.trim()))
    }

    /// Sets one setting from text: `settings.set("failover_time", "3s")`. A key is the name of a
    /// field.
    ///
    /// Durations have a unit (`3s`, `500ms`), sizes may have one (`256MiB`), start positions are
    /// `TRIM_HORIZON`, `LATEST`, `AT_TIMESTAMP(2026-01-01T00:00:00Z)` or
    /// `AT_TIMESTAMP(<milliseconds since 1970>)`, tags are `key=value,key=value`. An empty text
    /// unsets an optional setting. Only [`Settings::validate`] checks values against each other.
    ///
    /// # Errors
    /// [`Code::UnknownSetting`] for an unknown key, with the most similar one; [`Code::Setting`]
    /// for a value of another form.
    pub fn set(&mut self, key: &str, value: &str) -> Result<(), Error> {
        self.set_named(&Named { shown: key, key: key.to_owned(), written: str::to_owned }, value)
    }

    /// Returns a setting's value as text, as [`Settings::set`] reads it; `None` for an unknown key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<String> {
        find(key).map(|text| (text.write)(self))
    }

    /// Returns the defaults, changed by environment variables such as `KCL_FAILOVER_TIME=3s`.
    /// Variables without the prefix `KCL_` are ignored. Pass `std::env::vars()`, or the variables
    /// that a test needs.
    ///
    /// # Errors
    /// As [`Settings::set`]; the message names the variable.
    pub fn from_env_iter<K, V>(variables: impl IntoIterator<Item = (K, V)>) -> Result<Settings, Error>
    where
        K: AsRef<str>,
        V: AsRef<str>,
    {
        let mut settings = Settings::default();
        for (name, value) in variables {
            let name = name.as_ref();
            if let Some(key) = name.strip_prefix(PREFIX) {
                let named = Named { shown: name, key: key.to_ascii_lowercase(), written: variable };
                settings.set_named(&named, value.as_ref())?;
            }
        }
        Ok(settings)
    }

    fn set_named(&mut self, named: &Named<'_>, value: &str) -> Result<(), Error> {
        let Some(text) = find(&named.key) else { return Err(unknown(named)) };
        (text.read)(self, value.trim()).ok_or_else(|| {
            Error::new(Code::Setting, format!("setting `{}` cannot be `{value}`: write {}", named.shown, text.expected))
        })
    }
}

/// A key, and the name that messages use for it: the key itself, or the environment variable.
struct Named<'a> {
    shown: &'a str,
    key: String,
    written: fn(&str) -> String,
}

fn variable(key: &str) -> String {
    format!("{PREFIX}{}", key.to_ascii_uppercase())
}

fn find(key: &str) -> Option<&'static Text> {
    TEXTS.iter().find(|text| text.key == key)
}

fn unknown(named: &Named<'_>) -> Error {
    let advice = match nearest(&named.key) {
        Some(key) => format!("did you mean `{}`?", (named.written)(key)),
        None => {
            let all: Vec<_> = TEXTS.iter().map(|text| (named.written)(text.key)).collect();
            format!("the settings are {}", all.join(", "))
        }
    };
    Error::new(Code::UnknownSetting, format!("there is no setting `{}`: {advice}", named.shown))
}

/// Returns the key that is most similar to `wrong`, if one is similar enough for a suggestion.
fn nearest(wrong: &str) -> Option<&'static str> {
    let similarity = |key: &str| strsim::jaro_winkler(key, &wrong.to_ascii_lowercase().replace('-', "_"));
    let best = TEXTS.iter().map(|text| text.key).max_by(|a, b| similarity(a).total_cmp(&similarity(b)))?;
    // Below this, the suggestion shares some letters with the unknown key and nothing else.
    (similarity(best) > 0.8).then_some(best)
}

#[cfg(test)]
mod tests {
    use super::super::Start;
    use super::*;
    use std::time::Duration;

    const NO_VARIABLES: [(&str, &str); 0] = [];

    #[test]
    fn an_environment_without_our_variables_gives_the_defaults() {
        assert_eq!(Settings::from_env_iter(NO_VARIABLES).unwrap(), Settings::default());
        assert_eq!(
            Settings::from_env_iter([("PATH", "/bin"), ("kcl_heartbeat_interval", "x")]).unwrap(),
            Settings::default()
        );
    }

    #[test]
    fn each_kind_of_setting_is_read_from_the_environment() {
        let settings = Settings::from_env_iter([
            ("KCL_FAILOVER_TIME", "3s"),
            ("KCL_HEARTBEAT_INTERVAL", "700ms"),
            ("KCL_MAX_RECORDS", "500"),
            ("KCL_BYTE_BUDGET", "64MiB"),
            ("KCL_START", "AT_TIMESTAMP(2026-01-01T00:00:00Z)"),
            ("KCL_MAX_LEASES", "12"),
            ("KCL_TABLE_NAME", "leases"),
            ("KCL_DELETION_PROTECTION", "true"),
            ("KCL_TABLE_TAGS", "team=data"),
        ]);
        let expected = Settings::default()
            .failover_time(Duration::from_secs(3))
            .heartbeat_interval(Duration::from_millis(700))
            .max_records(500)
            .byte_budget(64 << 20)
            .start(Start::of_millis(1_767_225_600_000))
            .max_leases(12)
            .table_name("leases")
            .deletion_protection(true)
            .table_tags(vec![("team".to_owned(), "data".to_owned())]);
        assert_eq!(settings.unwrap(), expected);
    }

    #[test]
    fn an_unknown_key_is_an_error_that_suggests_the_nearest() {
        let error = Settings::default().set("failovertime", "3s").unwrap_err();
        assert_eq!(error.code(), Code::UnknownSetting);
        assert_eq!(error.to_string(), "there is no setting `failovertime`: did you mean `failover_time`? [KCL-0002]");
        let error = Settings::from_env_iter([("KCL_CHECKPOINT_INTERVALL", "3s")]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no setting `KCL_CHECKPOINT_INTERVALL`: did you mean `KCL_CHECKPOINT_INTERVAL`? [KCL-0002]"
        );
        assert!(Settings::default().set("Byte-Budget", "1").unwrap_err().to_string().contains("`byte_budget`"));
    }

    #[test]
    fn an_unknown_key_without_a_similar_one_gets_the_whole_list() {
        let message = Settings::from_env_iter([("KCL_ZZZ", "1")]).unwrap_err().to_string();
        assert!(message.contains("the settings are KCL_FAILOVER_TIME, KCL_HEARTBEAT_INTERVAL,"), "{message}");
    }

    #[test]
    fn a_value_of_another_form_is_an_error_that_names_the_expected_form() {
        let error = Settings::from_env_iter([("KCL_FAILOVER_TIME", "3")]).unwrap_err();
        assert_eq!(error.code(), Code::Setting);
        assert_eq!(
            error.to_string(),
            "setting `KCL_FAILOVER_TIME` cannot be `3`: write a time with its unit, such as `10s`, `500ms` or `1m 30s` [KCL-0001]"
        );
    }

    #[test]
    fn every_setting_has_a_meaning_and_reads_back_what_it_writes() {
        for (key, meaning) in Settings::keys() {
            assert!(meaning.ends_with('.'), "{key}: {meaning}");
            let mut settings = Settings::default();
            let written = settings.get(key).unwrap();
            settings.set(key, &written).unwrap();
            assert_eq!(settings, Settings::default(), "{key}");
        }
        assert_eq!(Settings::default().get("nothing"), None);
    }
}
