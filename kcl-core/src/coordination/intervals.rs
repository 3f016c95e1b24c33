//! Names the pauses between two rounds of the coordinator's periodic work, and the margins of its waits.
//!
//! Pauses after a failed call are in [`super::backoff`], times that follow from the settings in
//! [`crate::config::timing`], and the pace of full reads in [`super::table_read`].

use std::time::Duration;

/// LATEST means "records that arrive from now on". The service's clock may be ahead of its own answer by this much.
pub(super) const LATEST_MARGIN_MS: i64 = 2_000;

/// Between two reads of the table at a start, while an external writer may be at work. Java KCL renews its leases every
/// third of its failover time, every 3.3 s by default: reads this close together see a lease renewed in time.
pub(super) const START_READ: Duration = Duration::from_secs(2);
/// Between two reads of the leases whose owners are to release them. A planned move ends this soon after the release.
pub(super) const AWAITED_LEASES: Duration = Duration::from_millis(200);

/// Between two rounds of the watchdog. Its deadlines are at least seconds.
pub(super) const RECONCILE: Duration = Duration::from_secs(1);
/// Between two comparisons of held leases with their rows, which cost a read of every idle lease.
pub(super) const VERIFY_ROWS: Duration = Duration::from_secs(60);
/// The watchdog does not count time in which it did not run for longer than this: the machine was suspended or
/// overloaded, and so was the work that it watches.
pub(super) const WATCHDOG_GAP: Duration = Duration::from_secs(5);
/// A consumer whose delivery is closed should be gone after this time; one that is not is logged as often.
pub(super) const LINGERING: Duration = Duration::from_secs(30);
/// Between two exports of gauges: lag, quarantine.
pub(super) const EXPORT: Duration = Duration::from_secs(5);
/// Between two log lines about the same lasting problem.
pub(super) const ALARM_REPEAT: Duration = Duration::from_secs(60);
/// Between two descriptions of a stream, whose retention may be changed at any time. DescribeStreamSummary allows 20
/// calls a second to an account, however many workers and streams it has.
pub(super) const RETENTION: Duration = Duration::from_secs(600);

/// A position that is refused here is mostly refused everywhere, so another worker tries it soon, and only once.
pub(super) const POSITION_REFUSED: Duration = Duration::from_secs(60);
/// A worker that could read none of its leases releases the next one that it gets after this time.
pub(super) const READS_NOTHING: Duration = Duration::from_secs(10);

/// Between two reads of the table by a worker of a replay that has nothing to do while others have.
pub(super) const REPLAY_READ: Duration = Duration::from_secs(5);

/// Between two looks at how far a departure is.
pub(super) const DEPARTURE: Duration = Duration::from_millis(100);
/// Between two looks whether the last write of a term or a sync pass is answered, before the session ends.
pub(super) const LAST_ANSWERS: Duration = Duration::from_millis(10);
/// A draining worker waits this long for the leader to move its leases, and then releases them.
pub(super) const LEADER_MOVES: Duration = Duration::from_secs(2);
/// After the deadline, the time to release what was acknowledged.
pub(super) const LAST_RELEASES: Duration = Duration::from_secs(2);
/// A table that does not answer delays the end of a worker by no more than this after the deadline. The fleet then
/// finds out by the missing heartbeat.
pub(super) const LAST_CALLS: Duration = Duration::from_secs(5);
