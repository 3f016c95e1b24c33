//! Derives the coordination's times from the settings: call timeouts, retry pauses, the longest gap
//! without observations.
//!
//! Pure. `validate` compares the settings with these times (docs/protocol/sessions.md).

use std::time::Duration;

/// The deadline of one call that reads a shard. The SDK has no timeout of its own, so a silently broken connection
/// would block its shard forever.
pub(crate) const READ_CALL_DEADLINE: Duration = Duration::from_secs(10);
/// The longest `failover_time`. A larger number in a row is treated as damage.
pub(crate) const LONGEST_FAILOVER_TIME: Duration = Duration::from_secs(24 * 60 * 60);

/// The share of `failover_time` for which an owner relies on a heartbeat. All others wait for the
/// whole `failover_time`, so the protocol tolerates 2.5 % of clock drift on each side.
const OWNER_SHARE: f64 = 0.95;
/// A call for one row takes milliseconds; one that takes longer than this is lost.
const LONGEST_CALL: Duration = Duration::from_secs(2);
/// The pause before a failed heartbeat is retried.
const HEARTBEAT_RETRY: Duration = Duration::from_millis(300);
/// The leader assigns a free lease to another worker if it is not claimed within this time.
pub(crate) const FREE_LEASE_CLAIM: Duration = Duration::from_secs(4);
/// The part of it that the claim's write may take.
const CLAIM_WRITE: Duration = Duration::from_secs(1);

/// A call for one row without an answer is abandoned after this time.
pub(crate) fn call_timeout(failover_time: Duration) -> Duration {
    LONGEST_CALL.min(failover_time / 5)
}

/// The pause before a failed heartbeat is retried.
pub(crate) fn heartbeat_retry(failover_time: Duration) -> Duration {
    HEARTBEAT_RETRY.min(failover_time / 10)
}

/// The longest time between two observations of a counter that still proves it unchanged. After a
/// longer gap, staleness is measured anew.
///
/// Three tenths of `failover_time`; more if one failed poll, or one poll that takes the whole call
/// timeout, is longer.
pub(crate) fn longest_gap(failover_time: Duration, poll_interval: Duration) -> Duration {
    let (failed, slow) = (poll_interval.mul_f64(2.5), poll_interval.mul_f64(1.25) + call_timeout(failover_time));
    failover_time.mul_f64(0.3).max(failed).max(slow)
}

/// How long an owner may deliver records after the sending of a confirmed heartbeat.
pub(crate) fn owned_for(failover_time: Duration) -> Duration {
    failover_time.mul_f64(OWNER_SHARE)
}

/// The time between two assignment cycles: the leader reads the sessions at least six times per
/// `failover_time`.
pub(crate) fn tick(assignment_interval: Duration, failover_time: Duration) -> Duration {
    assignment_interval.min(failover_time / 6)
}

/// The longest poll interval: two polls and a claim must fit into the time that a worker has to
/// claim a free lease.
pub(crate) fn longest_poll_interval() -> Duration {
    (FREE_LEASE_CLAIM - CLAIM_WRITE) / 2
}

/// How long the heartbeat of a live worker may look unchanged to an observer with the longest
/// tolerated gap.
pub(crate) fn longest_unchanged(heartbeat: Duration, poll_interval: Duration, failover_time: Duration) -> Duration {
    heartbeat + longest_gap(failover_time, poll_interval) + call_timeout(failover_time) + heartbeat_retry(failover_time)
}

/// The shortest time for a planned move: the owner learns of it with one poll, drains until the
/// next, and releases the lease with one call.
pub(crate) fn shortest_handoff(fleet_poll_interval: Duration, failover_time: Duration) -> Duration {
    fleet_poll_interval * 2 + call_timeout(failover_time)
}
