//! Where a polling reader stands in its shard, and what an answer makes of that.
//!
//! Pure. The iterator is no more than a cache of the position: lost or expired, it is made again from the last record
//! that was accepted. It moves only when an answer is accepted.

use crate::record::{Position, Record, ShardId, StartingPosition};
use crate::shard::{ApiErrorKind, Fetched, Listing, Shard};

/// Where the reader stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The next call asks for an iterator that starts there.
    NeedIterator {
        /// After the last accepted record, or where reading started.
        from: StartingPosition,
    },
    /// The next call asks for records.
    Ready {
        /// As above.
        from: StartingPosition,
        /// The iterator.
        iterator: String,
    },
    /// Kinesis said something that may mean the end of the shard, without naming its children. The next call asks for
    /// the list of shards: only a stream that still exists can have a shard that ended.
    Doubting {
        /// As above.
        from: StartingPosition,
        /// What it said.
        doubt: Doubt,
    },
    /// The shard ended in these.
    Ended {
        /// Its children.
        children: Vec<Shard>,
    },
}

impl State {
    /// Where a new iterator would start. (At the end there is no record left to start from.)
    fn from(self) -> StartingPosition {
        match self {
            State::NeedIterator { from } | State::Ready { from, .. } | State::Doubting { from, .. } => from,
            State::Ended { .. } => StartingPosition::TrimHorizon,
        }
    }
}

/// What may or may not mean the end of a shard.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The shard, or the stream, was not found.
    NotFound,
    /// No next iterator, but no children either.
    NoChildren,
}

/// What came back.
#[derive(Debug)]
pub(super) enum Event {
    /// An iterator.
    Iterator(String),
    /// Records, maybe the end.
    Fetched(Fetched),
    /// The stream's shards.
    Listed(Listing),
    /// A failure.
    Failed(ApiErrorKind),
}

/// What the reader does about it.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Go on with the next call.
    GoOn,
    /// Hand this on.
    Deliver {
        /// The records that are new.
        records: Vec<Record>,
        /// How far behind they end.
        millis_behind_latest: Option<u64>,
        /// At the end, the children.
        end: Option<Vec<Shard>>,
    },
    /// Try again, later.
    BackOff,
    /// Make a new iterator.
    Renew,
    /// Say that it cannot go on by itself.
    GiveUp,
}

/// One step.
pub(super) fn step(shard: &ShardId, state: State, event: Event) -> (State, Next) {
    match (state, event) {
        (State::Ended { children }, _) => end(children),
        (State::Doubting { from, doubt }, Event::Listed(listing)) => judge(shard, from, doubt, &listing),
        (state, Event::Listed(_)) => (state, Next::GoOn),
        (state, Event::Failed(kind)) => fail(state, kind),
        (state, Event::Iterator(iterator)) => (State::Ready { from: state.from(), iterator }, Next::GoOn),
        (state, Event::Fetched(fetched)) => accept(state.from(), fetched),
    }
}

fn accept(from: StartingPosition, fetched: Fetched) -> (State, Next) {
    let Fetched { mut records, millis_behind_latest, next_iterator, children } = fetched;
    if let StartingPosition::After(done) = &from {
        drop_done(&mut records, done);
    }
    let from = records.last().map_or(from, |last| StartingPosition::After(last.position()));
    let (state, end) = match next_iterator {
        Some(iterator) => (State::Ready { from, iterator }, None),
        None if children.is_empty() => (State::Doubting { from, doubt: Doubt::NoChildren }, None),
        None => (State::Ended { children: children.clone() }, Some(children)),
    };
    (state, Next::Deliver { records, millis_behind_latest, end })
}

/// Leaves out what was accepted before. Where a position lies within an aggregated record, the record is read again
/// and its first parts are done. But if it has not come apart that far, nobody took it apart this time, and leaving it
/// out would lose its later parts: it is delivered again.
fn drop_done(records: &mut Vec<Record>, done: &Position) {
    let same = records.iter().take_while(|record| record.sequence_number <= done.sequence_number).count();
    if same == 0 {
        return;
    }
    let order = |record: &Record| {
        record
            .sequence_number
            .cmp(&done.sequence_number)
            .then(record.sub_sequence_number.cmp(&done.sub_sequence_number))
    };
    let apart = records[..same].iter().any(|record| order(record).is_ge());
    let keep_from = if apart {
        records[..same].iter().take_while(|record| order(record).is_le()).count()
    } else {
        records[..same].iter().take_while(|record| record.sequence_number < done.sequence_number).count()
    };
    records.drain(..keep_from);
}

fn judge(shard: &ShardId, from: StartingPosition, doubt: Doubt, listing: &Listing) -> (State, Next) {
    let over = match (listing.shards.iter().find(|listed| listed.id == *shard), doubt) {
        // Whether or not all of it was read: Kinesis has nothing more of it.
        (None, _) => true,
        (Some(listed), Doubt::NoChildren) => listed.closed,
        // A passing condition: Kinesis has it and may have records of it.
        (Some(_), Doubt::NotFound) => false,
    };
    if over {
        end(listing.shards.iter().filter(|listed| listed.parents.contains(shard)).cloned().collect())
    } else {
        (State::NeedIterator { from }, Next::BackOff)
    }
}

fn end(children: Vec<Shard>) -> (State, Next) {
    let end = Some(children.clone());
    (State::Ended { children }, Next::Deliver { records: Vec::new(), millis_behind_latest: None, end })
}

fn fail(state: State, kind: ApiErrorKind) -> (State, Next) {
    match (kind, state) {
        (ApiErrorKind::IteratorExpired, State::Ready { from, .. }) => (State::NeedIterator { from }, Next::Renew),
        // Of any other call: then it is the position itself that Kinesis does not take.
        (ApiErrorKind::IteratorExpired | ApiErrorKind::Refused, state) => (state, Next::GiveUp),
        // The stream itself is gone. Should it come back, its shards are asked for first.
        (ApiErrorKind::NotFound, state @ State::Doubting { .. }) => (state, Next::GiveUp),
        (ApiErrorKind::NotFound, state) => (State::Doubting { from: state.from(), doubt: Doubt::NotFound }, Next::GoOn),
        (ApiErrorKind::Throttled | ApiErrorKind::NotReady | ApiErrorKind::Unavailable, state) => (state, Next::BackOff),
    }
}
