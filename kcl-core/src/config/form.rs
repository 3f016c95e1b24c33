//! Converts values of settings to text and back.

use super::{BalanceBy, Concurrency, CorruptAggregates, OnFleetSettings, Parser, Retrieval, Start};
use crate::record::aggregate::{Checksum, ForeignRecords};
use crate::record::{system_time, unix_millis};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// A text form of `T`. `read` of a written text returns the same value.
pub(super) trait Form<T> {
    /// The expected form with an example, for error messages.
    const EXPECTED: &'static str;

    /// Parses the text; `None` if it does not have this form.
    fn read(text: &str) -> Option<T>;

    /// Writes the value.
    fn write(value: &T) -> String;
}

/// A duration.
pub(super) enum DurationForm {}

impl Form<Duration> for DurationForm {
    const EXPECTED: &'static str = "a time with its unit, such as `10s`, `500ms` or `1m 30s`";

    fn read(text: &str) -> Option<Duration> {
        humantime::parse_duration(text).ok()
    }

    fn write(value: &Duration) -> String {
        humantime::format_duration(*value).to_string()
    }
}

/// A duration; an empty text is `None`.
pub(super) enum OptionalDuration {}

impl Form<Option<Duration>> for OptionalDuration {
    const EXPECTED: &'static str = DurationForm::EXPECTED;

    fn read(text: &str) -> Option<Option<Duration>> {
        if text.is_empty() { Some(None) } else { DurationForm::read(text).map(Some) }
    }

    fn write(value: &Option<Duration>) -> String {
        value.as_ref().map(DurationForm::write).unwrap_or_default()
    }
}

/// The concurrency of a shard's handlers.
pub(super) enum ConcurrencyForm {}

impl Form<Concurrency> for ConcurrencyForm {
    const EXPECTED: &'static str = "`auto`, `serial`, `per-key:32` or `unordered:8`";

    fn read(text: &str) -> Option<Concurrency> {
        let text = text.to_lowercase();
        match text.split_once(':') {
            None if text == "auto" => Some(Concurrency::Auto),
            None if text == "serial" => Some(Concurrency::Serial),
            Some(("per-key", lanes)) => lanes.parse().ok().map(Concurrency::PerKey),
            Some(("unordered", lanes)) => lanes.parse().ok().map(Concurrency::Unordered),
            None | Some(_) => None,
        }
    }

    fn write(value: &Concurrency) -> String {
        match value {
            Concurrency::Auto => "auto".to_owned(),
            Concurrency::Serial => "serial".to_owned(),
            Concurrency::PerKey(lanes) => format!("per-key:{lanes}"),
            Concurrency::Unordered(lanes) => format!("unordered:{lanes}"),
        }
    }
}

/// Forms of enums that have a keyword for each variant.
macro_rules! keywords {
    ($($(#[doc = $meaning:literal])* $form:ident: $type:ident, $expected:literal, { $($word:literal = $value:ident),* };)*) => {
        $($(#[doc = $meaning])*
        pub(super) enum $form {}

        impl Form<$type> for $form {
            const EXPECTED: &'static str = $expected;

            fn read(text: &str) -> Option<$type> {
                match text.to_lowercase().as_str() {
                    $($word => Some($type::$value),)*
                    _ => None,
                }
            }

            fn write(value: &$type) -> String {
                match value { $($type::$value => $word.to_owned(),)* }
            }
        })*
    };
}

keywords! {
    /// The reaction to other settings of the fleet.
    OnFleetSettingsForm: OnFleetSettings, "`match`, `adopt` or `change`", { "match" = Match, "adopt" = Adopt, "change" = Change };
    /// The way to read shards.
    RetrievalForm: Retrieval, "`auto`, `fan-out` or `polling`", { "auto" = Auto, "fan-out" = FanOut, "polling" = Polling };
    /// Whether checksums are verified.
    ChecksumForm: Checksum, "`verify` or `skip`", { "verify" = Verify, "skip" = Skip };
    /// The treatment of records that belong to other shards.
    ForeignRecordsForm: ForeignRecords, "`deliver` or `drop`", { "deliver" = Deliver, "drop" = Drop };
    /// The treatment of invalid aggregates.
    CorruptAggregatesForm: CorruptAggregates, "`deliver` or `fail`", { "deliver" = Deliver, "fail" = Fail };
    /// The parser.
    ParserForm: Parser, "`fast` or `sdk`", { "fast" = Fast, "sdk" = Sdk };
    /// The balanced quantity.
    BalanceByForm: BalanceBy, "`leases` or `bytes`", { "leases" = Leases, "bytes" = Bytes };
}

/// A whole number.
pub(super) enum Count {}

impl<T: std::str::FromStr + ToString> Form<T> for Count {
    const EXPECTED: &'static str = "a whole number, such as `100`";

    fn read(text: &str) -> Option<T> {
        text.parse().ok()
    }

    fn write(value: &T) -> String {
        value.to_string()
    }
}

/// A whole number; an empty text is `None`.
pub(super) enum OptionalCount {}

impl Form<Option<u32>> for OptionalCount {
    const EXPECTED: &'static str = <Count as Form<u32>>::EXPECTED;

    fn read(text: &str) -> Option<Option<u32>> {
        if text.is_empty() { Some(None) } else { Count::read(text).map(Some) }
    }

    fn write(value: &Option<u32>) -> String {
        value.as_ref().map(Count::write).unwrap_or_default()
    }
}

/// A number of bytes.
pub(super) enum Bytes {}

const UNITS: [(&str, usize); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];

impl Form<usize> for Bytes {
    const EXPECTED: &'static str = "a size, such as `256MiB`, `512KiB`, `1GiB` or a number of bytes";

    fn read(text: &str) -> Option<usize> {
        let (digits, unit) =
            UNITS.iter().find_map(|(name, unit)| Some((text.strip_suffix(name)?, *unit))).unwrap_or((text, 1));
        digits.trim_end().parse::<usize>().ok()?.checked_mul(unit)
    }

    fn write(value: &usize) -> String {
        match UNITS.iter().find(|(_, unit)| *value > 0 && value.is_multiple_of(*unit)) {
            Some((name, unit)) => format!("{}{name}", value / unit),
            None => value.to_string(),
        }
    }
}

/// A start position.
pub(super) enum StartForm {}

impl Form<Start> for StartForm {
    const EXPECTED: &'static str =
        "`TRIM_HORIZON`, `LATEST` or `AT_TIMESTAMP(2026-01-01T00:00:00Z)` (UTC, or milliseconds since 1970)";

    fn read(text: &str) -> Option<Start> {
        match text {
            "TRIM_HORIZON" => Some(Start::TrimHorizon),
            "LATEST" => Some(Start::Latest),
            other => {
                let instant = other.strip_prefix("AT_TIMESTAMP(")?.strip_suffix(')')?;
                time_of(instant).map(Start::AtTimestamp)
            }
        }
    }

    fn write(value: &Start) -> String {
        match value {
            Start::TrimHorizon => "TRIM_HORIZON".to_owned(),
            Start::Latest => "LATEST".to_owned(),
            Start::AtTimestamp(time) => format!("AT_TIMESTAMP({})", text_of(*time)),
        }
    }
}

/// Parses milliseconds since 1970, or an RFC 3339 time in UTC.
fn time_of(text: &str) -> Option<SystemTime> {
    text.parse().ok().map(system_time).or_else(|| humantime::parse_rfc3339(text).ok())
}

/// Writes a time that `time_of` parses.
fn text_of(time: SystemTime) -> String {
    let millis = unix_millis(time);
    calendar(millis).unwrap_or_else(|| millis.to_string())
}

/// Writes a time as people read it; as a number before 1970 or after the year 9999.
pub(crate) fn timestamp(millis: i64) -> String {
    calendar(millis).unwrap_or_else(|| format!("{millis} ms since 1970"))
}

/// The RFC 3339 form, with milliseconds where there are any.
fn calendar(millis: i64) -> Option<String> {
    // humantime panics after the year 9999.
    const LAST: u64 = 253_402_300_799_999;
    let since_epoch = u64::try_from(millis).ok().filter(|millis| *millis <= LAST)?;
    let time = UNIX_EPOCH + Duration::from_millis(since_epoch);
    Some(match since_epoch % 1_000 {
        0 => humantime::format_rfc3339_seconds(time).to_string(),
        _ => humantime::format_rfc3339_millis(time).to_string(),
    })
}

/// A time; an empty text is `None`.
pub(super) enum OptionalTimestamp {}

impl Form<Option<SystemTime>> for OptionalTimestamp {
    const EXPECTED: &'static str = "a time such as `2026-01-01T00:00:00Z` (UTC, or milliseconds since 1970)";

    fn read(text: &str) -> Option<Option<SystemTime>> {
        if text.is_empty() { Some(None) } else { time_of(text).map(Some) }
    }

    fn write(value: &Option<SystemTime>) -> String {
        value.map(text_of).unwrap_or_default()
    }
}

/// A text; an empty one is `None`.
pub(super) enum OptionalText {}

impl Form<Option<String>> for OptionalText {
    const EXPECTED: &'static str = "a text";

    fn read(text: &str) -> Option<Option<String>> {
        Some((!text.is_empty()).then(|| text.to_owned()))
    }

    fn write(value: &Option<String>) -> String {
        value.clone().unwrap_or_default()
    }
}

/// A flag.
pub(super) enum Flag {}

impl Form<bool> for Flag {
    const EXPECTED: &'static str = "`true` or `false`";

    fn read(text: &str) -> Option<bool> {
        text.parse().ok()
    }

    fn write(value: &bool) -> String {
        value.to_string()
    }
}

/// Names and values of tags. Tags that contain a comma need the typed setter.
pub(super) enum Tags {}

impl Form<Vec<(String, String)>> for Tags {
    const EXPECTED: &'static str = "tags, such as `team=data,stage=prod`";

    fn read(text: &str) -> Option<Vec<(String, String)>> {
        let tags = text.split(',').map(str::trim).filter(|tag| !tag.is_empty());
        tags.map(|tag| tag.split_once('=').map(|(key, value)| (key.trim().to_owned(), value.trim().to_owned())))
            .collect()
    }

    fn write(value: &Vec<(String, String)>) -> String {
        value.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn a_duration_needs_a_unit() {
        assert_eq!(DurationForm::read("3s"), Some(Duration::from_secs(3)));
        assert_eq!(DurationForm::read("1m 30s"), Some(Duration::from_secs(90)));
        assert_eq!(DurationForm::read("500ms"), Some(Duration::from_millis(500)));
        for unclear in ["3", "", "-1s", "3 apples", "0x3s"] {
            assert_eq!(DurationForm::read(unclear), None, "{unclear}");
        }
    }

    #[test]
    fn a_size_may_have_a_unit() {
        assert_eq!(Bytes::read("256MiB"), Some(256 << 20));
        assert_eq!(Bytes::read("1 GiB"), Some(1 << 30));
        assert_eq!(Bytes::read("1024"), Some(1024));
        for unclear in ["256MB", "MiB", "", "-1KiB", "99999999999999GiB", "1.5GiB"] {
            assert_eq!(Bytes::read(unclear), None, "{unclear}");
        }
    }

    #[test]
    fn start_positions_have_the_names_of_kinesis_and_times_are_in_utc() {
        assert_eq!(StartForm::read("TRIM_HORIZON"), Some(Start::TrimHorizon));
        assert_eq!(StartForm::read("LATEST"), Some(Start::Latest));
        assert_eq!(StartForm::read("AT_TIMESTAMP(1767225600000)"), Some(Start::of_millis(1_767_225_600_000)));
        assert_eq!(StartForm::read("AT_TIMESTAMP(2026-01-01T00:00:00Z)"), Some(Start::of_millis(1_767_225_600_000)));
        assert_eq!(
            StartForm::read("AT_TIMESTAMP(2026-01-01T00:00:00.250Z)"),
            Some(Start::of_millis(1_767_225_600_250))
        );
        for unclear in ["latest", "AT_TIMESTAMP", "AT_TIMESTAMP()", "AT_TIMESTAMP(yesterday)", "2026-01-01T00:00:00Z"] {
            assert_eq!(StartForm::read(unclear), None, "{unclear}");
        }
    }

    #[test]
    fn every_balanced_quantity_has_a_keyword() {
        for by in [BalanceBy::Leases, BalanceBy::Bytes] {
            assert_eq!(BalanceByForm::read(&BalanceByForm::write(&by)), Some(by));
        }
        assert_eq!(BalanceByForm::read("shards"), None);
    }

    #[test]
    fn tags_are_pairs_of_name_and_value() {
        let tags = vec![("team".to_owned(), "data".to_owned()), ("stage".to_owned(), String::new())];
        assert_eq!(Tags::read("team=data, stage="), Some(tags));
        assert_eq!(Tags::read(""), Some(Vec::new()));
        assert_eq!(Tags::read("team"), None);
    }

    proptest! {
        #[test]
        fn a_written_value_reads_back(nanos: u64, bytes: usize, millis: i64, count: u32, flag: bool) {
            let time = Duration::from_nanos(nanos);
            prop_assert_eq!(DurationForm::read(&DurationForm::write(&time)), Some(time));
            prop_assert_eq!(OptionalDuration::read(&OptionalDuration::write(&Some(time))), Some(Some(time)));
            prop_assert_eq!(Bytes::read(&Bytes::write(&bytes)), Some(bytes));
            prop_assert_eq!(Bytes::read(&Bytes::write(&(bytes & !0xF_FFFF))), Some(bytes & !0xF_FFFF));
            prop_assert_eq!(StartForm::read(&StartForm::write(&Start::of_millis(millis))), Some(Start::of_millis(millis)));
            let until = Some(system_time(millis));
            prop_assert_eq!(OptionalTimestamp::read(&OptionalTimestamp::write(&until)), Some(until));
            prop_assert_eq!(OptionalCount::read(&OptionalCount::write(&Some(count))), Some(Some(count)));
            prop_assert_eq!(Flag::read(&Flag::write(&flag)), Some(flag));
        }
    }
}
