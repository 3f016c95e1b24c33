//! Determines the start that an application began with, from its rows, and settings that differ
//! from it. Pure.

use crate::config::Start;
use crate::coordination::streams::{Served, Streams};
use crate::lease::Table;
use crate::lease::row::FleetStart;
use crate::record::{Checkpoint, StreamId};

/// The start that a stream's application began with, and whether its first leases are complete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct PinnedStart {
    pub(super) start: FleetStart,
    /// True if a row of our own contains it, and not only leases.
    pub(super) has_row: bool,
    pub(super) filled: bool,
}

/// The start in the rows. While a fleet runs, and after a crash, the fleet row or the stream's row
/// contains it. An orderly shutdown deletes those rows, but a lease from which nothing was read
/// still contains it, unless it is TRIM_HORIZON, which any new lease may have.
pub(super) fn pinned_start(served: &Served, table: &Table) -> Option<PinnedStart> {
    let row = match &served.keys.id {
        None => table.fleet.as_ref().and_then(|fleet| Some((fleet.start.clone()?, fleet.filled))),
        Some(id) => table.streams.iter().find(|row| row.id == *id).map(|row| (row.start.clone(), row.filled)),
    };
    if let Some((start, filled)) = row {
        return Some(PinnedStart { start, has_row: true, filled });
    }
    table.leases.iter().filter(|lease| served.keys.has(lease)).find_map(|lease| match lease.checkpoint {
        Checkpoint::Latest | Checkpoint::AtTimestamp => {
            let start = FleetStart { checkpoint: lease.checkpoint.clone(), at_ms: Some(lease.start_ms?) };
            Some(PinnedStart { start, has_row: false, filled: true })
        }
        Checkpoint::TrimHorizon | Checkpoint::At(_) | Checkpoint::ShardEnd => None,
    })
}

/// True if the setting is the start that the application began with.
pub(super) fn is_start(setting: Start, pinned: &FleetStart) -> bool {
    match setting {
        Start::TrimHorizon | Start::Latest => setting.sentinel() == pinned.checkpoint,
        Start::AtTimestamp(_) => setting.sentinel() == pinned.checkpoint && pinned.at_ms == setting.at_ms(),
    }
}

/// A setting `start` without effect, because the application has begun already.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct IgnoredStart {
    /// The stream, in a fleet of several streams.
    pub(super) stream: Option<StreamId>,
    pub(super) setting: String,
    /// How the application began, if the table shows it.
    pub(super) pinned: Option<String>,
}

/// The streams whose `start` is ignored.
pub(super) fn ignored_starts(streams: &Streams, table: &Table) -> Vec<IgnoredStart> {
    let ignored = |served: &Served| {
        let pinned = pinned_start(served, table).map(|pinned| pinned.start);
        let has_leases = table.leases.iter().any(|lease| served.keys.has(lease));
        let is_ignored = match &pinned {
            Some(pinned) => !is_start(served.start, pinned),
            // The default is not worth a log line.
            None => has_leases && served.start != Start::TrimHorizon,
        };
        let (stream, setting) = (served.keys.id.clone(), setting_text(served.start));
        is_ignored.then(|| IgnoredStart { stream, setting, pinned: pinned.as_ref().map(pinned_text) })
    };
    streams.all().filter_map(ignored).collect()
}

/// The setting, as users write it.
pub(super) fn setting_text(start: Start) -> String {
    text(&start.sentinel(), start.at_ms())
}

/// A pinned start, in the same form.
pub(super) fn pinned_text(pinned: &FleetStart) -> String {
    text(&pinned.checkpoint, pinned.at_ms)
}

fn text(sentinel: &Checkpoint, at_ms: Option<i64>) -> String {
    let sentinel = sentinel.as_str();
    at_ms.map_or_else(|| sentinel.to_owned(), |ms| format!("{sentinel}({ms})"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::row::{Fleet, Lease, StreamKeys};
    use crate::record::{Position, SequenceNumber, ShardId, StreamIdentity};

    fn streams(start: Start) -> Streams {
        let identity = StreamIdentity { arn: "arn:aws:kinesis:us-east-1:000000000000:stream/s".into(), created_at: 1 };
        let keys = StreamKeys::alone(identity);
        Streams::One(Box::new(Served { keys, start, retention: std::time::Duration::from_secs(86_400) }))
    }

    fn table(checkpoint: Checkpoint, start_ms: Option<i64>) -> Table {
        let lease = Lease::unowned(ShardId::from("shardId-000000000006"), checkpoint);
        Table { leases: vec![Lease { start_ms, ..lease }], ..Table::default() }
    }

    fn read() -> Table {
        let sequence_number = SequenceNumber::parse("7").unwrap();
        table(Checkpoint::At(Position { sequence_number, sub_sequence_number: 0 }), Some(3))
    }

    fn begun(checkpoint: Checkpoint, at_ms: Option<i64>) -> Table {
        let mut fleet = Fleet::above(0, 0, true);
        fleet.start = Some(FleetStart { checkpoint, at_ms });
        Table { fleet: Some(fleet), ..read() }
    }

    fn ignored(start: Start, table: &Table) -> Option<(String, Option<String>)> {
        ignored_starts(&streams(start), table).pop().map(|ignored| (ignored.setting, ignored.pinned))
    }

    #[test]
    fn a_start_is_ignored_where_the_application_began_with_another_one() {
        let own = |setting: &str, pinned: Option<&str>| Some((setting.to_owned(), pinned.map(str::to_owned)));
        let latest = begun(Checkpoint::Latest, Some(5));
        assert_eq!(ignored(Start::Latest, &latest), None);
        assert_eq!(ignored(Start::TrimHorizon, &latest), own("TRIM_HORIZON", Some("LATEST(5)")));
        let timed = begun(Checkpoint::AtTimestamp, Some(7));
        assert_eq!(ignored(Start::of_millis(7), &timed), None);
        assert_eq!(ignored(Start::of_millis(8), &timed), own("AT_TIMESTAMP(8)", Some("AT_TIMESTAMP(7)")));
        // The last worker that stopped left the leases alone.
        assert_eq!(ignored(Start::Latest, &read()), own("LATEST", None));
        assert_eq!(ignored(Start::TrimHorizon, &read()), None);
        assert_eq!(ignored(Start::Latest, &Table::default()), None, "the first start");
    }

    #[test]
    fn a_lease_of_which_nothing_was_read_says_the_start_after_an_orderly_stop() {
        let unread = table(Checkpoint::Latest, Some(5));
        assert_eq!(ignored(Start::Latest, &unread), None);
        assert_eq!(ignored(Start::of_millis(8), &unread).unwrap().1.as_deref(), Some("LATEST(5)"));
        // A lease that Java created, and one that any reshard may have created, prove nothing.
        for unknown in [table(Checkpoint::Latest, None), table(Checkpoint::TrimHorizon, None)] {
            assert_eq!(ignored(Start::of_millis(8), &unknown).unwrap().1, None);
        }
    }
}
