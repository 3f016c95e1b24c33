//! Whether a range can be read, by the service's own time.

use crate::config::{Settings, Start};
use crate::error::{Code, Error};
use crate::shard::{ApiError, ListWhich, StreamApi};
use crate::worker::connection::Connection;
use std::time::Duration;

/// The service answers within this, or not at all.
const PATIENCE: Duration = Duration::from_secs(10);
/// The service's dates come in whole seconds, and its clocks differ by a little.
const MARGIN_MS: i64 = 2_000;

/// Refuses a replay of what is gone, or has not begun. Nothing is asked where there is no end.
pub(in crate::worker) async fn check_range(
    settings: &Settings,
    connection: &Connection,
    api: &dyn StreamApi,
) -> Result<(), Error> {
    let Some(until_ms) = settings.until else { return Ok(()) };
    let listed = tokio::time::timeout(PATIENCE, api.list_shards(ListWhich::AtLatest)).await;
    let told = |why: &str| format!("stream `{}` could not be listed: {why}", connection.description.identity.arn);
    let listing = listed
        .map_err(|_| Error::new(Code::Unreachable, told(&format!("no answer within {PATIENCE:?}"))))?
        .map_err(|error| Error::new(code_of(&error), told(&error.message)).because(error))?;
    let retention_ms = i64::from(connection.description.retention_hours) * 3_600_000;
    match listing.answered_at_ms {
        Some(now_ms) => check(settings.start, until_ms, now_ms, retention_ms),
        // A stream of the caller's own that tells no time.
        None => Ok(()),
    }
}

fn check(start: Start, until_ms: i64, now_ms: i64, retention_ms: i64) -> Result<(), Error> {
    let kept_since = now_ms.saturating_sub(retention_ms);
    let message = match start {
        Start::AtTimestamp(from_ms) if from_ms > now_ms.saturating_add(MARGIN_MS) => format!(
            "`start` is {from_ms}, which is in the future: the service's own time is {now_ms} (milliseconds since 1970). A \
             replay begins in the past; only its end may be to come"
        ),
        _ if until_ms <= kept_since => format!(
            "`until` is {until_ms}, and the stream keeps nothing from before {kept_since} (milliseconds since 1970, by the \
             service's own time): nothing is left to replay"
        ),
        Start::AtTimestamp(_) | Start::TrimHorizon | Start::Latest => return Ok(()),
    };
    Err(Error::new(Code::Setting, message))
}

#[cfg(feature = "aws")]
fn code_of(error: &ApiError) -> Code {
    crate::aws::code_of(error).unwrap_or(Code::Unreachable)
}

#[cfg(not(feature = "aws"))]
fn code_of(_: &ApiError) -> Code {
    Code::Unreachable
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_000_000_000;
    const KEPT: i64 = 86_400_000;

    #[test]
    fn a_range_that_the_stream_keeps_may_be_read_and_its_end_may_be_to_come() {
        for (from, until) in [(NOW - KEPT * 2, NOW - KEPT + 1), (NOW - 10, NOW - 5), (NOW, NOW + KEPT)] {
            assert!(check(Start::AtTimestamp(from), until, NOW, KEPT).is_ok(), "{from} {until}");
        }
        assert!(check(Start::TrimHorizon, NOW, NOW, KEPT).is_ok());
    }

    #[test]
    fn a_range_that_is_gone_or_to_come_is_refused() {
        let gone = check(Start::TrimHorizon, NOW - KEPT, NOW, KEPT).unwrap_err();
        assert!(gone.to_string().contains("nothing is left to replay"), "{gone}");
        let to_come = check(Start::AtTimestamp(NOW + 60_000), NOW + 90_000, NOW, KEPT).unwrap_err();
        assert!(to_come.to_string().contains("in the future"), "{to_come}");
    }
}
