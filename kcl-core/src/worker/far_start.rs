//! Refuses a `start` that lies far ahead of the service's clock.
//!
//! A start that lies a little ahead is waited for (`coordination::leader::sync_pass`): clocks differ, and a deployment may be
//! meant to begin reading at the full hour. One that lies further ahead is a mistake most likely, and a worker that waits for it
//! looks like one that has nothing to do.

use crate::config::{Start, timestamp};
use crate::error::{Code, Error};
use crate::record::StreamRef;
use crate::shard::{StreamApi, pages};
use std::time::Duration;

/// The service answers within this, or the worker starts without an answer and waits for its start.
const PATIENCE: Duration = Duration::from_secs(10);
/// A start may lie so far ahead.
const FURTHEST_MS: i64 = 3_600_000;
/// The service's dates come in whole seconds, and its clocks differ by a little.
const MARGIN_MS: i64 = 2_000;
/// No time zone is further ahead of UTC.
const FURTHEST_ZONE_MS: i64 = 14 * 3_600_000;

/// Compares a start with the service's clock, not with this machine's, which may be wrong.
///
/// # Errors
/// [`Code::Setting`].
pub(super) async fn check_start(stream: &StreamRef, start: Start, api: &dyn StreamApi) -> Result<(), Error> {
    let Some(start_ms) = start.at_ms() else { return Ok(()) };
    let answer = tokio::time::timeout(PATIENCE, pages::service_time(api)).await;
    let Ok(Ok(Some(now_ms))) = answer else { return Ok(()) };
    check(stream, start_ms, now_ms)
}

fn check(stream: &StreamRef, start_ms: i64, now_ms: i64) -> Result<(), Error> {
    let ahead_ms = start_ms.saturating_sub(now_ms);
    if ahead_ms <= FURTHEST_MS + MARGIN_MS {
        return Ok(());
    }
    let likely = if ahead_ms <= FURTHEST_ZONE_MS + MARGIN_MS {
        "Times are UTC: it is most likely a local time that was written as UTC"
    } else {
        "It is most likely another date that was meant (times are UTC, numbers are milliseconds since 1970)"
    };
    let ahead = Duration::from_secs((ahead_ms / 1_000).unsigned_abs());
    Err(Error::new(
        Code::Setting,
        format!(
            "`start` of stream `{stream}` is {start_ms} ms since 1970 ({}), which is {} ahead of the service's clock ({}): no record \
             is there yet. {likely}. A worker waits for a start that is up to one hour ahead; to begin with what arrives from now \
             on, set `start` to `LATEST`",
            timestamp(start_ms),
            humantime::format_duration(ahead),
            timestamp(now_ms)
        ),
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW: i64 = 1_767_225_600_000;
    const HOUR: i64 = 3_600_000;

    fn refusal(ahead_ms: i64) -> Option<String> {
        let refused = check(&StreamRef::from("orders"), NOW + ahead_ms, NOW).err()?;
        assert_eq!(refused.code(), Code::Setting);
        Some(refused.to_string())
    }

    #[test]
    fn a_start_may_lie_an_hour_ahead_of_the_services_clock() {
        for ahead in [-90 * 24 * HOUR, 0, 30_000, HOUR, HOUR + MARGIN_MS] {
            assert_eq!(refusal(ahead), None, "{ahead}");
        }
    }

    #[test]
    fn a_start_further_ahead_is_refused_with_the_setting_both_times_and_the_likely_meaning() {
        let zone = refusal(2 * HOUR).unwrap();
        for part in [
            "`start` of stream `orders` is 1767232800000 ms",
            "2026-01-01T02:00:00Z",
            "2h ahead of the service's clock (2026-01-01T00:00:00Z)",
            "a local time that was written as UTC",
            "`LATEST`",
        ] {
            assert!(zone.contains(part), "{part}: {zone}");
        }
        assert!(refusal(365 * 24 * HOUR).unwrap().contains("another date that was meant"));
        assert!(refusal(i64::MAX - NOW).is_some());
    }
}
