//! Checks whether the stream keeps records of a range, by the time of Kinesis.

use crate::config::{Settings, Start, timestamp};
use crate::error::{Code, Error};
use crate::record::unix_millis;
use crate::shard::{ListWhich, StreamApi};
use crate::worker::connection::Connection;
use std::time::Duration;

/// How long to wait for the list of shards.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// Kinesis' `Date` header has whole seconds, and the clocks of its servers differ by a little.
const MARGIN_MS: i64 = 2_000;

/// Refuses a replay of a range that the stream no longer keeps, or that has not begun. Does nothing
/// for a worker without an end.
pub(in crate::worker) async fn check_range(
    settings: &Settings,
    connection: &Connection,
    api: &dyn StreamApi,
) -> Result<(), Error> {
    let Some(until_ms) = settings.until_ms() else { return Ok(()) };
    let listed = tokio::time::timeout(ANSWER_TIMEOUT, api.list_shards(ListWhich::AtLatest)).await;
    let failed = |why: &str| format!("stream `{}` could not be listed: {why}", connection.description.identity.arn);
    let listing = listed
        .map_err(|_| Error::new(Code::Unreachable, failed(&format!("no answer within {ANSWER_TIMEOUT:?}"))))?
        .map_err(|error| {
            Error::new(error.code.unwrap_or(Code::Unreachable), failed(&error.message)).with_source(error)
        })?;
    let retention_ms = i64::from(connection.description.retention_hours) * 3_600_000;
    match listing.answered_at_ms {
        Some(now_ms) => check(settings.start, until_ms, now_ms, retention_ms),
        // A caller's own stream need not report a time.
        None => Ok(()),
    }
}

fn check(start: Start, until_ms: i64, now_ms: i64, retention_ms: i64) -> Result<(), Error> {
    let kept_since = now_ms.saturating_sub(retention_ms);
    let message = match start {
        Start::AtTimestamp(from) if unix_millis(from) > now_ms.saturating_add(MARGIN_MS) => format!(
            "`start` is {}, which is in the future: Kinesis says that it is {} now. A replay starts in the past; only its end \
             may be in the future",
            timestamp(unix_millis(from)),
            timestamp(now_ms)
        ),
        _ if until_ms <= kept_since => format!(
            "`until` is {}, and the stream keeps no records from before {}: nothing is left to replay",
            timestamp(until_ms),
            timestamp(kept_since)
        ),
        Start::AtTimestamp(_) | Start::TrimHorizon | Start::Latest => return Ok(()),
    };
    Err(Error::new(Code::Setting, message))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000_000;
    const KEPT: i64 = 86_400_000;

    #[test]
    fn a_range_that_the_stream_keeps_is_accepted_also_with_an_end_in_the_future() {
        for (from, until) in [(NOW - KEPT * 2, NOW - KEPT + 1), (NOW - 10, NOW - 5), (NOW, NOW + KEPT)] {
            assert!(check(Start::of_millis(from), until, NOW, KEPT).is_ok(), "{from} {until}");
        }
        assert!(check(Start::TrimHorizon, NOW, NOW, KEPT).is_ok());
    }

    #[test]
    fn a_range_that_expired_or_has_not_begun_is_refused() {
        let gone = check(Start::TrimHorizon, NOW - KEPT, NOW, KEPT).unwrap_err();
        assert!(gone.to_string().contains("nothing is left to replay"), "{gone}");
        let to_come = check(Start::of_millis(NOW + 60_000), NOW + 90_000, NOW, KEPT).unwrap_err();
        assert!(to_come.to_string().contains("in the future"), "{to_come}");
    }
}
