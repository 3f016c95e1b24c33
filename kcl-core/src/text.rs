//! Texts in log lines and errors that somebody else wrote: cut at a length that a log can bear.

use std::fmt;
use std::time::{Duration, UNIX_EPOCH};

/// The most characters that are shown of a text of a service, a row or a handler.
const LONGEST: usize = 500;

/// A text, cut after [`LONGEST`] characters.
pub(crate) fn cut(text: &str) -> String {
    match text.char_indices().nth(LONGEST) {
        None => text.to_owned(),
        Some((end, _)) => {
            let (shown, bytes) = (text.get(..end).unwrap_or_default(), text.len());
            format!("{shown}... ({bytes} bytes in all)")
        }
    }
}

/// A time in ms since the Unix epoch, as logs write it.
pub(crate) fn time_text(ms: i64) -> String {
    let since_epoch = Duration::from_millis(u64::try_from(ms).unwrap_or(0));
    // Years beyond 9999 have no such form.
    UNIX_EPOCH
        .checked_add(since_epoch.min(LATEST))
        .map_or_else(|| ms.to_string(), |time| humantime::format_rfc3339_millis(time).to_string())
}

/// The end of the year 9999.
const LATEST: Duration = Duration::from_secs(253_402_300_799);

/// Shows something cut.
pub(crate) struct Cut<T>(pub(crate) T);

impl<T: fmt::Display> fmt::Display for Cut<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&cut(&self.0.to_string()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_at_a_character_and_says_how_long_it_was() {
        assert_eq!(cut("short"), "short");
        assert_eq!(cut(&"x".repeat(LONGEST)), "x".repeat(LONGEST));
        let long = cut(&"é".repeat(10_000));
        assert_eq!(long, format!("{}... (20000 bytes in all)", "é".repeat(LONGEST)));
        assert_eq!(Cut(1234).to_string(), "1234");
    }

    #[test]
    fn a_time_is_written_for_people_whatever_the_number_is() {
        assert_eq!(time_text(1_700_000_000_123), "2023-11-14T22:13:20.123Z");
        assert_eq!(time_text(-5), "1970-01-01T00:00:00.000Z");
        assert_eq!(time_text(i64::MAX), "9999-12-31T23:59:59.000Z");
    }
}
