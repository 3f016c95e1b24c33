//! How a setting's value is written as text, and read back.

use super::{BalanceBy, OnFleetSettings, Parser, Start};
use crate::aggregate::{Checksum, ForeignRecords};
use crate::processor::Concurrency;
use crate::retrieval::{CorruptAggregates, Retrieval};
use std::time::{Duration, UNIX_EPOCH};

/// A text form of `T`. What is written reads back as the same value.
pub(super) trait Form<T> {
    /// What a reader of an error is told to write, with an example.
    const EXPECTED: &'static str;

    /// The value, or `None` for what is not of this form.
    fn read(text: &str) -> Option<T>;

    /// The text.
    fn write(value: &T) -> String;
}

/// A span of time.
pub(super) enum Span {}

impl Form<Duration> for Span {
    const EXPECTED: &'static str = "a time with its unit, such as `10s`, `500ms` or `1m 30s`";

    fn read(text: &str) -> Option<Duration> {
        humantime::parse_duration(text).ok()
    }

    fn write(value: &Duration) -> String {
        humantime::format_duration(*value).to_string()
    }
}

/// A span of time; an empty text is none.
pub(super) enum OptionalTime {}

impl Form<Option<Duration>> for OptionalTime {
    const EXPECTED: &'static str = Span::EXPECTED;

    fn read(text: &str) -> Option<Option<Duration>> {
        if text.is_empty() { Some(None) } else { Span::read(text).map(Some) }
    }

    fn write(value: &Option<Duration>) -> String {
        value.as_ref().map(Span::write).unwrap_or_default()
    }
}

/// How many handlers work on a shard, and in what order.
pub(super) enum Order {}

impl Form<Concurrency> for Order {
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

/// Forms of values that have a word each.
macro_rules! words {
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

words! {
    /// What is done about a fleet's other settings.
    Consent: OnFleetSettings, "`match`, `adopt` or `change`", { "match" = Match, "adopt" = Adopt, "change" = Change };
    /// How shards are read.
    Way: Retrieval, "`auto`, `fan-out` or `polling`", { "auto" = Auto, "fan-out" = FanOut, "polling" = Polling };
    /// Whether a checksum is looked at.
    Look: Checksum, "`verify` or `skip`", { "verify" = Verify, "skip" = Skip };
    /// What becomes of records that belong to other shards.
    Strangers: ForeignRecords, "`deliver` or `drop`", { "deliver" = Deliver, "drop" = Drop };
    /// What becomes of what is no whole aggregate.
    Damage: CorruptAggregates, "`deliver` or `fail`", { "deliver" = Deliver, "fail" = Fail };
    /// Whose code parses.
    Whose: Parser, "`fast` or `sdk`", { "fast" = Fast, "sdk" = Sdk };
    /// What is balanced.
    Measure: BalanceBy, "`leases` or `bytes`", { "leases" = Leases, "bytes" = Bytes };
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

/// A whole number; an empty text is none.
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
pub(super) enum Moment {}

impl Form<Start> for Moment {
    const EXPECTED: &'static str =
        "`TRIM_HORIZON`, `LATEST` or `AT_TIMESTAMP(2026-01-01T00:00:00Z)` (UTC, or milliseconds since 1970)";

    fn read(text: &str) -> Option<Start> {
        match text {
            "TRIM_HORIZON" => Some(Start::TrimHorizon),
            "LATEST" => Some(Start::Latest),
            other => {
                let instant = other.strip_prefix("AT_TIMESTAMP(")?.strip_suffix(')')?;
                instant.parse().ok().or_else(|| rfc3339_millis(instant)).map(Start::AtTimestamp)
            }
        }
    }

    fn write(value: &Start) -> String {
        match value {
            Start::TrimHorizon => "TRIM_HORIZON".to_owned(),
            Start::Latest => "LATEST".to_owned(),
            Start::AtTimestamp(millis) => format!("AT_TIMESTAMP({millis})"),
        }
    }
}

fn rfc3339_millis(text: &str) -> Option<i64> {
    let since_epoch = humantime::parse_rfc3339(text).ok()?.duration_since(UNIX_EPOCH).ok()?;
    i64::try_from(since_epoch.as_millis()).ok()
}

/// An instant as people read it; as a number where it is before 1970 or beyond the calendar.
pub(crate) fn timestamp(millis: i64) -> String {
    // humantime panics beyond the year 9999.
    const LAST: u64 = 253_402_300_799_999;
    match u64::try_from(millis) {
        Ok(since_epoch) if since_epoch <= LAST => {
            humantime::format_rfc3339_seconds(UNIX_EPOCH + Duration::from_millis(since_epoch)).to_string()
        }
        Ok(_) | Err(_) => format!("{millis} ms since 1970"),
    }
}

/// An instant; an empty text is none.
pub(super) enum OptionalMoment {}

impl Form<Option<i64>> for OptionalMoment {
    const EXPECTED: &'static str = "an instant such as `2026-01-01T00:00:00Z` (UTC, or milliseconds since 1970)";

    fn read(text: &str) -> Option<Option<i64>> {
        if text.is_empty() { Some(None) } else { text.parse().ok().or_else(|| rfc3339_millis(text)).map(Some) }
    }

    fn write(value: &Option<i64>) -> String {
        value.map(|millis| millis.to_string()).unwrap_or_default()
    }
}

/// A text; an empty one is none.
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

/// Yes or no.
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

/// Names and values. (Neither can hold a comma: such tags need the typed setter.)
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
    fn times_are_read_with_their_unit_only() {
        assert_eq!(Span::read("3s"), Some(Duration::from_secs(3)));
        assert_eq!(Span::read("1m 30s"), Some(Duration::from_secs(90)));
        assert_eq!(Span::read("500ms"), Some(Duration::from_millis(500)));
        for unclear in ["3", "", "-1s", "3 apples", "0x3s"] {
            assert_eq!(Span::read(unclear), None, "{unclear}");
        }
    }

    #[test]
    fn sizes_are_read_with_or_without_a_unit() {
        assert_eq!(Bytes::read("256MiB"), Some(256 << 20));
        assert_eq!(Bytes::read("1 GiB"), Some(1 << 30));
        assert_eq!(Bytes::read("1024"), Some(1024));
        for unclear in ["256MB", "MiB", "", "-1KiB", "99999999999999GiB", "1.5GiB"] {
            assert_eq!(Bytes::read(unclear), None, "{unclear}");
        }
    }

    #[test]
    fn start_positions_are_kinesis_words_and_instants_are_utc() {
        assert_eq!(Moment::read("TRIM_HORIZON"), Some(Start::TrimHorizon));
        assert_eq!(Moment::read("LATEST"), Some(Start::Latest));
        assert_eq!(Moment::read("AT_TIMESTAMP(1767225600000)"), Some(Start::AtTimestamp(1_767_225_600_000)));
        assert_eq!(Moment::read("AT_TIMESTAMP(2026-01-01T00:00:00Z)"), Some(Start::AtTimestamp(1_767_225_600_000)));
        assert_eq!(Moment::read("AT_TIMESTAMP(2026-01-01T00:00:00.250Z)"), Some(Start::AtTimestamp(1_767_225_600_250)));
        for unclear in ["latest", "AT_TIMESTAMP", "AT_TIMESTAMP()", "AT_TIMESTAMP(yesterday)", "2026-01-01T00:00:00Z"] {
            assert_eq!(Moment::read(unclear), None, "{unclear}");
        }
    }

    #[test]
    fn what_is_balanced_is_said_in_one_word() {
        for by in [BalanceBy::Leases, BalanceBy::Bytes] {
            assert_eq!(Measure::read(&Measure::write(&by)), Some(by));
        }
        assert_eq!(Measure::read("shards"), None);
    }

    #[test]
    fn tags_are_pairs() {
        let tags = vec![("team".to_owned(), "data".to_owned()), ("stage".to_owned(), String::new())];
        assert_eq!(Tags::read("team=data, stage="), Some(tags));
        assert_eq!(Tags::read(""), Some(Vec::new()));
        assert_eq!(Tags::read("team"), None);
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(nanos: u64, bytes: usize, millis: i64, count: u32, flag: bool) {
            let time = Duration::from_nanos(nanos);
            prop_assert_eq!(Span::read(&Span::write(&time)), Some(time));
            prop_assert_eq!(OptionalTime::read(&OptionalTime::write(&Some(time))), Some(Some(time)));
            prop_assert_eq!(Bytes::read(&Bytes::write(&bytes)), Some(bytes));
            prop_assert_eq!(Bytes::read(&Bytes::write(&(bytes & !0xF_FFFF))), Some(bytes & !0xF_FFFF));
            prop_assert_eq!(Moment::read(&Moment::write(&Start::AtTimestamp(millis))), Some(Start::AtTimestamp(millis)));
            prop_assert_eq!(OptionalMoment::read(&OptionalMoment::write(&Some(millis))), Some(Some(millis)));
            prop_assert_eq!(OptionalCount::read(&OptionalCount::write(&Some(count))), Some(Some(count)));
            prop_assert_eq!(Flag::read(&Flag::write(&flag)), Some(flag));
        }
    }
}
