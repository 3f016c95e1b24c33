//! What the coordination's times leave room for: how long a call may take, when a repeat goes out, how long one may be
//! blind. Pure, and the one place that settings are held against.

use std::time::Duration;

/// An owner counts so much of an interval, everyone else all of it: that bears 2.5 % of clock drift on each side.
const OWNER_SHARE: f64 = 0.95;
/// A call of one row acquires milliseconds; what acquires longer than this is lost.
const LONGEST_CALL: Duration = Duration::from_secs(2);
/// A heartbeat that came to nothing is sent again after this.
const HEARTBEAT_AGAIN: Duration = Duration::from_millis(300);
/// A take of a free lease goes to another worker after so long.
pub(crate) const FREE_TAKE: Duration = Duration::from_secs(4);
/// Of that, what the claim itself may take.
const CLAIMING: Duration = Duration::from_secs(1);

/// A call of one row without an answer after so long is given up.
pub(crate) fn call_timeout(failover_time: Duration) -> Duration {
    LONGEST_CALL.min(failover_time / 5)
}

/// A heartbeat that came to nothing is sent again after so long.
pub(crate) fn heartbeat_again(failover_time: Duration) -> Duration {
    HEARTBEAT_AGAIN.min(failover_time / 10)
}

/// Looking stopped for longer than this: what stood still meanwhile proves nothing. Three tenths of `failover_time`,
/// unless one look that fails, or one that acquires as long as a call may, comes to more.
pub(crate) fn longest_gap(failover_time: Duration, look_every: Duration) -> Duration {
    let (failed, slow) = (look_every.mul_f64(2.5), look_every.mul_f64(1.25) + call_timeout(failover_time));
    failover_time.mul_f64(0.3).max(failed).max(slow)
}

/// How long an owner may deliver on the strength of one confirmed heartbeat.
pub(crate) fn owned_for(failover_time: Duration) -> Duration {
    failover_time.mul_f64(OWNER_SHARE)
}

/// The leader looks at the sessions at least six times in a `failover_time`.
pub(crate) fn tick(assignment_interval: Duration, failover_time: Duration) -> Duration {
    assignment_interval.min(failover_time / 6)
}

/// The longest a look may wait for the next one: two of them, and a claim, fit into the time that a take has.
pub(crate) fn longest_look() -> Duration {
    (FREE_TAKE - CLAIMING) / 2
}

/// For how long a worker that lives may seem silent to one that was blind for the longest time that counts.
pub(crate) fn seems_silent(heartbeat: Duration, look_every: Duration, failover_time: Duration) -> Duration {
    heartbeat + longest_gap(failover_time, look_every) + call_timeout(failover_time) + heartbeat_again(failover_time)
}

/// The shortest time in which a planned move can be done: told at one look, done by the next, released in one call.
pub(crate) fn shortest_handoff(watch: Duration, failover_time: Duration) -> Duration {
    watch * 2 + call_timeout(failover_time)
}
