//! Determines from a table's rows which application they belong to. Pure.

use crate::coordination::streams::Streams;
use crate::error::{Code, Error};
use crate::lease::Table;
use crate::lease::row::{Fleet, Lease};
use crate::record::{Checkpoint, SequenceNumber, ShardId, StreamIdentity};
use crate::shard::Shard;
use std::collections::BTreeMap;

/// Checks the marks that our workers write into rows.
pub(super) fn marks(name: &str, streams: &Streams, table: &Table) -> Result<(), Error> {
    if let Some(why) = table.fleet.as_ref().and_then(Fleet::is_too_new) {
        return Err(Error::new(Code::TableFormat, format!("table `{name}` {why}")));
    }
    if streams.are_several() {
        of_one(name, table)?;
    } else {
        of_several(name, table)?;
    }
    for lease in &table.leases {
        let Some(served) = streams.get(lease.stream_name.as_ref()) else { continue };
        if let Some(marked) = lease.stream.as_ref().filter(|marked| **marked != served.keys.identity) {
            return Err(of_another(name, &served.keys.identity, marked));
        }
        of_range(name, lease, served.keys.until_ms)?;
    }
    Ok(())
}

/// Refuses a lease of another replay than this worker's; of a replay, for a worker without a range;
/// and of a live application, for a replay.
pub(in crate::coordination) fn of_range(name: &str, lease: &Lease, until_ms: Option<i64>) -> Result<(), Error> {
    if lease.until_ms == until_ms {
        return Ok(());
    }
    let key = &lease.key;
    let message = match (lease.until_ms, until_ms) {
        (None, _) => format!(
            "table `{name}` is a live application's: its lease `{key}` is of no replay, and this worker has `until`. Yield the \
             replay an application name of its own, or use `Replay`, which keeps its progress in memory"
        ),
        (Some(theirs), None) => format!(
            "table `{name}` is that of a replay: its lease `{key}` ends before {theirs} (milliseconds since 1970), and this \
             worker has no `until`. Use another application name, or delete the table if that replay is over"
        ),
        (Some(theirs), Some(ours)) => format!(
            "table `{name}` is that of another replay: its lease `{key}` ends before {theirs} (milliseconds since 1970), and \
             this worker's `until` is {ours}. Use another application name, or delete the table if that replay is over"
        ),
    };
    Err(Error::new(Code::OtherRange, message))
}

/// Refuses a table of several streams.
fn of_several(name: &str, table: &Table) -> Result<(), Error> {
    let lease = table.leases.iter().find(|lease| lease.stream_name.is_some()).map(|lease| lease.key.to_string());
    let serving = table.sessions.iter().filter_map(|session| session.streams.as_ref()?.first()).next();
    let shows = lease.or_else(|| table.streams.first().map(|row| row.id.to_string()));
    let Some(shows) = shows.or_else(|| serving.map(ToString::to_string)) else { return Ok(()) };
    let message = format!(
        "table `{name}` holds leases of several streams (`{shows}`), and this worker reads one: use another application \
         name, or name its stream with `Worker::of_streams`"
    );
    Err(Error::new(Code::LeaseKeys, message))
}

/// Refuses a table of one stream.
fn of_one(name: &str, table: &Table) -> Result<(), Error> {
    let lease = table.leases.iter().find(|lease| lease.stream_name.is_none()).map(|lease| lease.key.to_string());
    let pinned = table.fleet.as_ref().is_some_and(|fleet| fleet.start.is_some());
    let Some(shows) = lease.or_else(|| pinned.then(|| "fleet".to_owned())) else { return Ok(()) };
    let message = format!(
        "table `{name}` holds leases of one stream (`{shows}`), and this worker reads several: use another application \
         name, or read that stream with `Worker::builder`"
    );
    Err(Error::new(Code::LeaseKeys, message))
}

fn of_another(name: &str, stream: &StreamIdentity, other: &StreamIdentity) -> Error {
    let recreated = if other.arn == stream.arn {
        "the stream was deleted and made again, so its checkpoints mean nothing here. "
    } else {
        ""
    };
    Error::new(
        Code::OtherStream,
        format!(
            "table `{name}` belongs to stream `{}` created at {} (Unix time), and this worker reads `{}` created at {}: \
             {recreated}use another application name, or delete the table",
            other.arn, other.created_at, stream.arn, stream.created_at
        ),
    )
}

/// Leases that do not name their stream, because an external writer created them, and that are at a
/// record.
pub(super) fn unmarked(table: &Table) -> impl Iterator<Item = (&Lease, &SequenceNumber)> {
    table.leases.iter().filter(|lease| lease.stream.is_none()).filter_map(|lease| match &lease.checkpoint {
        Checkpoint::At(position) => Some((lease, &position.sequence_number)),
        Checkpoint::TrimHorizon | Checkpoint::Latest | Checkpoint::AtTimestamp | Checkpoint::ShardEnd => None,
    })
}

/// Compares the checkpoints of unmarked leases with the shards. A stream that was created again has
/// shards with the same names, created at another time. Shards that are no longer listed, and
/// sequence numbers of an unknown form, are accepted.
pub(super) fn incarnation(name: &str, stream: &StreamIdentity, table: &Table, shards: &[Shard]) -> Result<(), Error> {
    let created: BTreeMap<&ShardId, u64> = shards
        .iter()
        .filter_map(|shard| Some((&shard.id, shard.starting_sequence_number.as_ref()?.shard_created_second()?)))
        .collect();
    for (lease, checkpoint) in unmarked(table) {
        if let (Some(was), Some(is)) = (checkpoint.shard_created_second(), created.get(&lease.shard))
            && was != *is
        {
            return Err(Error::new(
                Code::OtherStream,
                format!(
                    "table `{name}` belongs to another stream, or to a former one of this name: the checkpoint of lease \
                     `{}` lies in a shard created at {was} (Unix time), and that shard of `{}` was created at {is}. Its \
                     checkpoints mean nothing here: use another application name, or delete the table",
                    lease.key, stream.arn
                ),
            ));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::coordination::streams::Served;
    use crate::lease::row::StreamKeys;
    use crate::record::Position;

    /// A record's number in shard 6 of a stream, and the start of that shard there; then those of
    /// another stream.
    const RECORD: &str = "49590338271490256608559692538361571095921575989136588898";
    const START: &str = "49590338271490256608557595484619406898078762622479499362";
    const OTHER_START: &str = "49590338271847068531734085454883978390441136475294662754";

    fn number(digits: &str) -> SequenceNumber {
        SequenceNumber::parse(digits).unwrap()
    }

    fn stream() -> StreamIdentity {
        StreamIdentity { arn: "arn:aws:kinesis:us-east-1:000000000000:stream/s".into(), created_at: 1 }
    }

    fn table(checkpoint: Checkpoint) -> Table {
        Table { leases: vec![Lease::unowned(ShardId::from("shardId-000000000006"), checkpoint)], ..Table::default() }
    }

    fn at(digits: &str) -> Checkpoint {
        Checkpoint::At(Position { sequence_number: number(digits), sub_sequence_number: 0 })
    }

    fn listed(id: &str, start: Option<&str>) -> Vec<Shard> {
        let starting_sequence_number = start.map(number);
        let id = ShardId::from(id);
        vec![Shard { id, parents: Vec::new(), hash_range: None, starting_sequence_number, closed: false }]
    }

    #[test]
    fn a_table_is_a_live_applications_or_that_of_one_replay() {
        let of = |until_ms| Lease { until_ms, ..Lease::unowned(ShardId::from("s"), Checkpoint::TrimHorizon) };
        assert!(of_range("t", &of(None), None).is_ok());
        assert!(of_range("t", &of(Some(5)), Some(5)).is_ok());
        for (lease, ours, says) in [
            (None, Some(5), "a live application's"),
            (Some(5), None, "that of a replay"),
            (Some(5), Some(6), "that of another replay"),
        ] {
            let error = of_range("t", &of(lease), ours).unwrap_err();
            assert_eq!(error.code(), Code::OtherRange);
            assert!(error.to_string().contains(says), "{error}");
        }
    }

    fn verdict(checkpoint: Checkpoint, shards: &[Shard]) -> Result<(), Error> {
        incarnation("delays", &stream(), &table(checkpoint), shards)
    }

    #[test]
    fn a_checkpoint_of_a_shards_former_life_is_refused_with_both_times() {
        let error = verdict(at(RECORD), &listed("shardId-000000000006", Some(OTHER_START))).unwrap_err();
        assert_eq!(error.code(), Code::OtherStream);
        for part in ["`delays`", "`shardId-000000000006`", "1542776258", "1542776259", "delete the table"] {
            assert!(error.to_string().contains(part), "{part}: {error}");
        }
    }

    #[test]
    fn a_checkpoint_of_this_life_passes() {
        verdict(at(RECORD), &listed("shardId-000000000006", Some(START))).unwrap();
    }

    #[test]
    fn what_cannot_be_compared_passes() {
        verdict(at("7"), &listed("shardId-000000000006", Some(OTHER_START))).unwrap();
        verdict(at(RECORD), &listed("shardId-000000000006", Some("7"))).unwrap();
        verdict(at(RECORD), &listed("shardId-000000000006", None)).unwrap();
        verdict(at(RECORD), &listed("shardId-000000000007", Some(OTHER_START))).unwrap();
        verdict(Checkpoint::ShardEnd, &listed("shardId-000000000006", Some(OTHER_START))).unwrap();
    }

    #[test]
    fn a_lease_that_names_its_stream_is_not_asked_for_its_numbers() {
        let mut table = table(at(RECORD));
        assert_eq!(unmarked(&table).count(), 1);
        table.leases[0].stream = Some(stream());
        assert_eq!(unmarked(&table).count(), 0);
    }

    fn identity(name: &str) -> StreamIdentity {
        StreamIdentity { arn: format!("arn:aws:kinesis:us-east-1:000000000000:stream/{name}"), created_at: 1 }
    }

    fn served(identity: StreamIdentity, id: Option<crate::record::StreamId>) -> Served {
        let keys = StreamKeys { identity, id, until_ms: None };
        Served { keys, start: crate::Start::TrimHorizon, retention: std::time::Duration::from_secs(86_400) }
    }

    fn one(name: &str) -> Streams {
        Streams::One(Box::new(served(identity(name), None)))
    }

    fn several(names: &[&str]) -> Streams {
        let of = |name: &&str| {
            let id = identity(name).id().unwrap();
            (id.clone(), served(identity(name), Some(id)))
        };
        Streams::Several(names.iter().map(of).collect())
    }

    fn lease(streams: &Streams, stream: &str) -> Lease {
        let id = if streams.are_several() { identity(stream).id() } else { None };
        let keys = StreamKeys { identity: identity(stream), id, until_ms: None };
        keys.lease(ShardId::from("shardId-000000000000"), Checkpoint::TrimHorizon)
    }

    fn code(streams: &Streams, table: &Table) -> Option<Code> {
        marks("ledger", streams, table).err().map(|error| error.code())
    }

    #[test]
    fn each_kind_of_worker_refuses_the_other_kinds_keys() {
        let (one, several) = (one("instructions"), several(&["instructions"]));
        let of = |streams: &Streams| Table { leases: vec![lease(streams, "instructions")], ..Table::default() };
        assert_eq!([code(&one, &of(&one)), code(&several, &of(&several))], [None, None]);
        assert_eq!(code(&one, &of(&several)), Some(Code::LeaseKeys));
        assert_eq!(code(&several, &of(&one)), Some(Code::LeaseKeys));
    }

    #[test]
    fn a_fleet_of_the_other_kind_is_refused_before_it_has_leases() {
        let start = crate::lease::FleetStart { checkpoint: Checkpoint::TrimHorizon, at_ms: None };
        let row =
            crate::lease::StreamRow { id: identity("instructions").id().unwrap(), start: start.clone(), filled: false };
        let of_several = Table { streams: vec![row], ..Table::default() };
        assert_eq!(code(&one("instructions"), &of_several), Some(Code::LeaseKeys));
        assert_eq!(code(&several(&["instructions"]), &of_several), None);
        let fleet = Fleet { start: Some(start), ..Fleet::above(0, 0, false) };
        let of_one = Table { fleet: Some(fleet), ..Table::default() };
        assert_eq!(code(&several(&["instructions"]), &of_one), Some(Code::LeaseKeys));
        assert_eq!(code(&one("instructions"), &of_one), None);
    }

    #[test]
    fn of_several_streams_only_one_with_the_same_keys_is_another() {
        let streams = several(&["instructions"]);
        let table = |stream: StreamIdentity| {
            let lease = Lease { stream: Some(stream), ..lease(&streams, "instructions") };
            Table { leases: vec![lease, self::lease(&streams, "payments")], ..Table::default() }
        };
        assert_eq!(code(&streams, &table(identity("instructions"))), None, "nobody serves the other one");
        let there =
            StreamIdentity { arn: identity("instructions").arn.replace("us-east-1", "eu-west-1"), created_at: 1 };
        assert_eq!(code(&streams, &table(there)), Some(Code::OtherStream));
    }
}
