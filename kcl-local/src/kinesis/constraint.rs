//! Checks the constraints of the API's member types, and builds AWS's validation messages.

use super::address::StreamTarget;
use super::model::{ApiError, TextEnum};

/// Maximum number of errors in one message.
const MAX_LISTED: usize = 10;

/// A constraint on text.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Text {
    min: usize,
    max: usize,
    pattern: Option<Pattern>,
}

#[derive(Clone, Copy, Debug)]
struct Pattern {
    regex: &'static str,
    matches: fn(&str) -> bool,
}

impl Text {
    /// Whether `value` satisfies the constraint.
    pub(crate) fn is_satisfied_by(&self, value: &str) -> bool {
        let short_enough = value.len() <= self.max || value.chars().count() <= self.max;
        short_enough && value.len() >= self.min && self.pattern.is_none_or(|pattern| (pattern.matches)(value))
    }
}

const fn text(min: usize, max: usize, pattern: Option<Pattern>) -> Text {
    Text { min, max, pattern }
}

const NAME: Pattern = Pattern { regex: "[a-zA-Z0-9_.-]+", matches: is_name };

pub(crate) const STREAM_NAME: Text = text(1, 128, Some(NAME));
pub(crate) const CONSUMER_NAME: Text = text(1, 128, Some(NAME));
pub(crate) const SHARD_ID: Text = text(1, 128, Some(NAME));
pub(crate) const STREAM_ARN: Text =
    text(1, 2048, Some(Pattern { regex: r"arn:aws.*:kinesis:.*:\d{12}:stream/\S+", matches: is_arn }));
pub(crate) const CONSUMER_ARN: Text = text(
    1,
    2048,
    Some(Pattern {
        regex: r"^(arn):aws.*:kinesis:.*:\d{12}:.*stream\/[a-zA-Z0-9_.-]+\/consumer\/[a-zA-Z0-9_.-]+:[0-9]+",
        matches: is_arn,
    }),
);
pub(crate) const RESOURCE_ARN: Text =
    text(1, 2048, Some(Pattern { regex: r"arn:aws.*:kinesis:.*:\d{12}:.*stream/\S+", matches: is_arn }));
pub(crate) const HASH_KEY: Text =
    text(0, usize::MAX, Some(Pattern { regex: r"0|([1-9]\d{0,38})", matches: |text| is_decimal(text, 39) }));
pub(crate) const SEQUENCE_NUMBER: Text =
    text(0, usize::MAX, Some(Pattern { regex: r"0|([1-9]\d{0,128})", matches: |text| is_decimal(text, 129) }));
pub(crate) const PARTITION_KEY: Text = text(1, 256, None);
pub(crate) const SHARD_ITERATOR: Text = text(1, 512, None);
pub(crate) const NEXT_TOKEN: Text = text(1, 1_048_576, None);
pub(crate) const KEY_ID: Text = text(1, 2048, None);
pub(crate) const TAG_KEY: Text = text(1, 128, None);
pub(crate) const TAG_VALUE: Text = text(0, 256, None);
pub(crate) const ANY_TEXT: Text = text(0, usize::MAX, None);

fn is_name(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte))
}

fn is_decimal(text: &str, digits: usize) -> bool {
    text == "0"
        || (text.len() <= digits
            && !text.starts_with('0')
            && !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_digit()))
}

/// The common shape of all ARN patterns. The named resource is checked later, when the ARN is
/// resolved.
fn is_arn(text: &str) -> bool {
    let mut parts = text.splitn(6, ':');
    parts.next() == Some("arn")
        && parts.next().is_some_and(|partition| partition.starts_with("aws"))
        && parts.next() == Some("kinesis")
        && parts.next().is_some()
        && parts.next().is_some_and(|account| account.len() == 12 && account.bytes().all(|byte| byte.is_ascii_digit()))
        && parts.next().is_some_and(|resource| {
            resource
                .split_once("stream/")
                .is_some_and(|(_, name)| !name.is_empty() && !name.contains(char::is_whitespace))
        })
}

/// Collects all violated constraints of a request. Members have their names in AWS's messages:
/// `streamName`, `records.1.member.data`.
#[derive(Debug, Default)]
pub(crate) struct Constraints {
    violations: Vec<String>,
}

impl Constraints {
    pub(crate) fn new() -> Self {
        Self::default()
    }

    /// Returns the error if a constraint is violated.
    pub(crate) fn check(self) -> Result<(), ApiError> {
        let count = self.violations.len();
        if count == 0 {
            return Ok(());
        }
        let plural = if count == 1 { "" } else { "s" };
        let listed = self.violations.into_iter().take(MAX_LISTED).collect::<Vec<_>>().join("; ");
        Err(ApiError::validation(format!("{count} validation error{plural} detected: {listed}")))
    }

    /// Adds a violation with AWS's message: `Value '...' at '...' failed to satisfy constraint:
    /// ...`.
    pub(crate) fn fail(&mut self, value: &str, member: &str, constraint: &str) {
        self.violations.push(format!("Value {value} at '{member}' failed to satisfy constraint: Member {constraint}"));
    }

    /// Returns the value; adds a violation if it is missing.
    pub(crate) fn required<'a, T>(&mut self, member: &str, value: Option<&'a T>) -> Option<&'a T> {
        if value.is_none() {
            self.fail("null", member, "must not be null");
        }
        value
    }

    /// Checks an optional text.
    pub(crate) fn text(&mut self, member: &str, value: Option<&str>, constraint: &Text) {
        let Some(value) = value else { return };
        let quoted = || format!("'{value}'");
        // Characters are counted only if there are more bytes than allowed characters.
        if value.len() > constraint.max && value.chars().count() > constraint.max {
            self.fail(&quoted(), member, &format!("must have length less than or equal to {}", constraint.max));
        }
        if value.len() < constraint.min {
            self.fail(&quoted(), member, &format!("must have length greater than or equal to {}", constraint.min));
        }
        if let Some(pattern) = constraint.pattern
            && !(pattern.matches)(value)
        {
            self.fail(&quoted(), member, &format!("must satisfy regular expression pattern: {}", pattern.regex));
        }
    }

    /// Checks a required text. Returns an empty text if it is missing; [`check`](Self::check) then
    /// fails.
    pub(crate) fn required_text<'a>(&mut self, member: &str, value: Option<&'a String>, constraint: &Text) -> &'a str {
        let value = self.required(member, value).map_or("", String::as_str);
        if self.violations.is_empty() || !value.is_empty() {
            self.text(member, Some(value), constraint);
        }
        value
    }

    /// Checks an optional number.
    pub(crate) fn number(&mut self, member: &str, value: Option<i64>, min: i64, max: i64) {
        let Some(value) = value else { return };
        if value < min {
            self.fail(&format!("'{value}'"), member, &format!("must have value greater than or equal to {min}"));
        }
        if value > max {
            self.fail(&format!("'{value}'"), member, &format!("must have value less than or equal to {max}"));
        }
    }

    /// Checks a required number. Returns `min` if it is missing; [`check`](Self::check) then fails.
    pub(crate) fn required_number(&mut self, member: &str, value: Option<i64>, min: i64, max: i64) -> i64 {
        self.required(member, value.as_ref());
        self.number(member, value, min, max);
        value.unwrap_or(min)
    }

    /// Checks the number of elements of a list or map.
    pub(crate) fn length(&mut self, member: &str, length: usize, min: usize, max: usize) {
        if length < min {
            self.fail("'[]'", member, &format!("must have length greater than or equal to {min}"));
        }
        if length > max {
            let value = format!("'[{length} members]'");
            self.fail(&value, member, &format!("must have length less than or equal to {max}"));
        }
    }

    /// Parses an optional enumeration value.
    pub(crate) fn one_of<T: TextEnum>(&mut self, member: &str, value: Option<&str>) -> Option<T> {
        let value = value?;
        let found = T::ALL.iter().copied().find(|one| one.text() == value);
        if found.is_none() {
            let set = T::ALL.iter().map(|one| one.text()).collect::<Vec<_>>().join(", ");
            self.fail(&format!("'{value}'"), member, &format!("must satisfy enum value set: [{set}]"));
        }
        found
    }

    /// Parses a required enumeration value. Returns `fallback` if it is missing;
    /// [`check`](Self::check) then fails.
    pub(crate) fn required_one_of<T: TextEnum>(&mut self, member: &str, value: Option<&String>, fallback: T) -> T {
        let value = self.required(member, value).map(String::as_str);
        self.one_of(member, value).unwrap_or(fallback)
    }

    /// Checks the name and the ARN of a stream.
    pub(crate) fn stream(&mut self, target: StreamTarget<'_>) {
        self.text("streamName", target.name.map(String::as_str), &STREAM_NAME);
        self.text("streamARN", target.arn.map(String::as_str), &STREAM_ARN);
    }

    /// Checks tags.
    pub(crate) fn tags<'a>(&mut self, tags: impl Iterator<Item = (&'a String, &'a String)>) {
        let mut count = 0;
        for (key, value) in tags {
            count += 1;
            self.text("tags", Some(key), &TAG_KEY);
            self.text(&format!("tags.{key}.member"), Some(value), &TAG_VALUE);
        }
        self.length("tags", count, 0, 200);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kinesis::model::{ErrorCode, StreamMode};

    fn message(fill: impl FnOnce(&mut Constraints)) -> String {
        let mut constraints = Constraints::new();
        fill(&mut constraints);
        let error = constraints.check().unwrap_err();
        assert_eq!(error.code, ErrorCode::Validation);
        error.message
    }

    #[test]
    fn all_violations_are_listed_with_aws_messages() {
        let text = message(|c| {
            c.required::<String>("shardId", None);
            c.text("streamName", Some(""), &STREAM_NAME);
            c.number("limit", Some(0), 1, 10_000);
            c.one_of::<StreamMode>("streamModeDetails.streamMode", Some("FREE"));
        });
        assert_eq!(
            text,
            "5 validation errors detected: \
             Value null at 'shardId' failed to satisfy constraint: Member must not be null; \
             Value '' at 'streamName' failed to satisfy constraint: Member must have length greater than or equal to 1; \
             Value '' at 'streamName' failed to satisfy constraint: Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+; \
             Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1; \
             Value 'FREE' at 'streamModeDetails.streamMode' failed to satisfy constraint: Member must satisfy enum value set: [PROVISIONED, ON_DEMAND]"
        );
    }

    #[test]
    fn a_missing_member_is_reported_once() {
        let text = message(|c| assert_eq!(c.required_text("shardId", None, &SHARD_ID), ""));
        assert!(text.starts_with("1 validation error detected: Value null at 'shardId'"), "{text}");
    }

    #[test]
    fn at_most_ten_violations_are_listed() {
        let text = message(|c| (0..12).for_each(|_| c.number("limit", Some(0), 1, 2)));
        assert!(text.starts_with("12 validation errors detected"));
        assert_eq!(text.matches("'limit'").count(), 10);
    }

    #[test]
    fn patterns_are_those_of_the_service_model() {
        for (text, is_valid) in [("0", true), ("10", true), ("01", false), ("", false), ("-1", false)] {
            assert_eq!(is_decimal(text, 39), is_valid, "{text}");
        }
        assert!(is_decimal(&"9".repeat(39), 39) && !is_decimal(&"9".repeat(40), 39));
        for (text, is_valid) in [
            ("arn:aws:kinesis:eu-west-1:123456789012:stream/a", true),
            ("arn:aws-cn:kinesis:cn-north-1:123456789012:stream/a/consumer/b:1", true),
            ("arn:aws:kinesis:eu-west-1:12345678901:stream/a", false),
            ("arn:aws:kinesis:eu-west-1:123456789012:stream/", false),
            ("arn:aws:sqs:eu-west-1:123456789012:stream/a", false),
        ] {
            assert_eq!(is_arn(text), is_valid, "{text}");
        }
        assert!(is_name("a.B-9_") && !is_name("a b") && !is_name(""));
    }

    #[test]
    fn length_counts_characters_not_bytes() {
        let mut constraints = Constraints::new();
        constraints.text("partitionKey", Some(&"ä".repeat(256)), &PARTITION_KEY);
        constraints.check().unwrap();
        assert!(
            message(|c| c.text("partitionKey", Some(&"ä".repeat(257)), &PARTITION_KEY))
                .contains("less than or equal to 256")
        );
    }
}
