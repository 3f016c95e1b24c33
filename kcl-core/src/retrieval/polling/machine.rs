//! Decides what a polling reader does next, from its state and the last response.
//!
//! Pure: no I/O, no clock. An iterator is only a cache of the position: a lost or expired one is
//! replaced by a new one after the last accepted record. The position advances only when a response
//! is accepted.

use crate::clock::Time;
use crate::record::{Position, Record, ShardId, StartingPosition};
use crate::shard::{ApiErrorKind, EndDoubt, EndEvidence, Fetched, Listing, Shard, Verdict, are_valid_children};
use std::time::Duration;

/// The state of a reader.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum State {
    /// The next call is GetShardIterator.
    NeedIterator {
        /// After the last accepted record, or where reading started.
        from: StartingPosition,
    },
    /// The next call is GetRecords.
    Ready {
        /// As above.
        from: StartingPosition,
        /// The iterator.
        iterator: String,
    },
    /// Kinesis returned something that may mean the end of the shard, without naming its children.
    /// The next call lists the shards: only a stream that still exists can have a shard that ended.
    EndInDoubt {
        /// As above.
        from: StartingPosition,
        /// The reason for the doubt.
        doubt: EndDoubt,
    },
    /// The shard has ended.
    Ended {
        /// Its children.
        children: Vec<Shard>,
    },
}

impl State {
    /// Returns where a new iterator would start. (At the end there is no such position.)
    fn from(self) -> StartingPosition {
        match self {
            State::NeedIterator { from } | State::Ready { from, .. } | State::EndInDoubt { from, .. } => from,
            State::Ended { .. } => StartingPosition::TrimHorizon,
        }
    }
}

/// The result of a call.
#[derive(Debug)]
pub(super) enum Event {
    /// An iterator.
    Iterator(String),
    /// Records, and possibly the end of the shard.
    Fetched(Fetched),
    /// The stream's shards, and the time of the response.
    Listed(Listing, Time),
    /// A failure.
    Failed(ApiErrorKind),
}

/// What the reader does next.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// Makes the next call.
    Continue,
    /// Returns a chunk.
    Deliver {
        /// The new records.
        records: Vec<Record>,
        /// The time by which they are behind the tip, in milliseconds.
        millis_behind_latest: Option<u64>,
        /// At the end of the shard, its children.
        end: Option<Vec<Shard>>,
    },
    /// Retries after a pause.
    BackOff,
    /// Continues after a pause, because the end of the shard is in doubt.
    Pause {
        /// The length of the pause.
        pause: Duration,
        /// The doubt and how long it has lasted, if it is to be reported.
        report: Option<(EndDoubt, Duration)>,
    },
    /// Gets a new iterator.
    RenewIterator,
    /// Returns an error.
    Fail,
}

/// Returns the next state and action. `evidence` collects what lists have shown about the end of
/// the shard.
pub(super) fn step(shard: &ShardId, state: State, event: Event, evidence: &mut EndEvidence) -> (State, Next) {
    match (state, event) {
        (State::Ended { children }, _) => end(children),
        (State::EndInDoubt { from, doubt }, Event::Listed(listing, now)) => {
            decide(shard, from, doubt, &listing, evidence, now)
        }
        (state, Event::Listed(..)) => (state, Next::Continue),
        (state, Event::Failed(kind)) => fail(state, kind),
        (state, Event::Iterator(iterator)) => (State::Ready { from: state.from(), iterator }, Next::Continue),
        (state, Event::Fetched(fetched)) => accept(shard, state.from(), fetched, evidence),
    }
}

fn accept(shard: &ShardId, from: StartingPosition, fetched: Fetched, evidence: &mut EndEvidence) -> (State, Next) {
    let Fetched { mut records, millis_behind_latest, next_iterator, children } = fetched;
    if let StartingPosition::After(done) = &from {
        drop_completed(&mut records, done);
    }
    let from = records.last().map_or(from, |last| StartingPosition::After(last.position()));
    let (state, end) = match next_iterator {
        Some(iterator) => {
            evidence.clear();
            (State::Ready { from, iterator }, None)
        }
        None if !are_valid_children(shard, &children) => {
            (State::EndInDoubt { from, doubt: EndDoubt::NoChildren }, None)
        }
        None => (State::Ended { children: children.clone() }, Some(children)),
    };
    (state, Next::Deliver { records, millis_behind_latest, end })
}

/// Removes records that were accepted before. If a position lies within an aggregate, the whole
/// aggregate is read again and its first records are completed. But if the records are not
/// de-aggregated as far as the position, this reader does not de-aggregate, and dropping the
/// aggregate would lose its later records: it is delivered again.
pub(in crate::retrieval) fn drop_completed(records: &mut Vec<Record>, done: &Position) {
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
    let deaggregated = records[..same].iter().any(|record| order(record).is_ge());
    let keep_from = if deaggregated {
        records[..same].iter().take_while(|record| order(record).is_le()).count()
    } else {
        records[..same].iter().take_while(|record| record.sequence_number < done.sequence_number).count()
    };
    records.drain(..keep_from);
}

fn decide(
    shard: &ShardId,
    from: StartingPosition,
    doubt: EndDoubt,
    listing: &Listing,
    evidence: &mut EndEvidence,
    now: Time,
) -> (State, Next) {
    let verdict = evidence.consider(shard, doubt, listing, now);
    let report = evidence.report_due(now).map(|lasted| (doubt, lasted));
    match (verdict, doubt) {
        (Verdict::Ended(children), _) => end(children),
        // A shard that was not found may be found again before the lists agree, so the reader also
        // tries to read.
        (Verdict::ReadOn { pause }, _) | (Verdict::ListAgain { pause }, EndDoubt::NotFound) => {
            (State::NeedIterator { from }, Next::Pause { pause, report })
        }
        (Verdict::ListAgain { pause }, EndDoubt::NoChildren) => {
            (State::EndInDoubt { from, doubt }, Next::Pause { pause, report })
        }
    }
}

fn end(children: Vec<Shard>) -> (State, Next) {
    let end = Some(children.clone());
    (State::Ended { children }, Next::Deliver { records: Vec::new(), millis_behind_latest: None, end })
}

fn fail(state: State, kind: ApiErrorKind) -> (State, Next) {
    match (kind, state) {
        (ApiErrorKind::IteratorExpired, State::Ready { from, .. }) => {
            (State::NeedIterator { from }, Next::RenewIterator)
        }
        // For any other call than GetRecords, this error means that Kinesis rejects the position
        // itself.
        (
            ApiErrorKind::IteratorExpired
            | ApiErrorKind::Denied
            | ApiErrorKind::Refused
            | ApiErrorKind::PositionRefused
            | ApiErrorKind::StartAhead,
            state,
        ) => (state, Next::Fail),
        // The stream does not exist. If it returns, its shards are listed first.
        (ApiErrorKind::NotFound, state @ State::EndInDoubt { .. }) => (state, Next::Fail),
        (ApiErrorKind::NotFound, state) => {
            (State::EndInDoubt { from: state.from(), doubt: EndDoubt::NotFound }, Next::Continue)
        }
        (ApiErrorKind::Throttled | ApiErrorKind::NotReady | ApiErrorKind::Unavailable, state) => (state, Next::BackOff),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SequenceNumber;
    use proptest::prelude::*;

    fn shard_id(n: u32) -> ShardId {
        ShardId::new(format!("shardId-{n:012}"))
    }

    fn shard(n: u32, parents: &[u32], closed: bool) -> Shard {
        let parents = parents.iter().copied().map(shard_id).collect();
        Shard { id: shard_id(n), parents, hash_range: None, starting_sequence_number: None, closed }
    }

    fn at(seq: u64, sub: u64) -> Position {
        Position { sequence_number: SequenceNumber::parse(seq.to_string()).unwrap(), sub_sequence_number: sub }
    }

    fn record(seq: u64, sub: u64) -> Record {
        let mut record = Record::new(at(seq, 0).sequence_number, "x");
        record.sub_sequence_number = sub;
        record
    }

    fn after(seq: u64) -> StartingPosition {
        StartingPosition::After(at(seq, 0))
    }

    fn ready(from: StartingPosition, iterator: &str) -> State {
        State::Ready { from, iterator: iterator.to_owned() }
    }

    fn fetched(records: Vec<Record>, next: Option<&str>, children: Vec<Shard>) -> Event {
        let next_iterator = next.map(str::to_owned);
        Event::Fetched(Fetched { records, millis_behind_latest: Some(5), next_iterator, children })
    }

    fn deliver(records: Vec<Record>, end: Option<Vec<Shard>>) -> Next {
        Next::Deliver { records, millis_behind_latest: Some(5), end }
    }

    fn listed(shards: Vec<Shard>) -> Event {
        Event::Listed(Listing { shards, answered_at_ms: None }, Time::ZERO)
    }

    fn run(state: State, event: Event) -> (State, Next) {
        step(&shard_id(0), state, event, &mut EndEvidence::default())
    }

    /// Lists the same shards for a minute.
    fn run_lists(mut state: State, shards: &[Shard]) -> State {
        let mut evidence = EndEvidence::default();
        for second in 0..60 {
            let now = Time::from_origin(Duration::from_secs(second));
            let listing = Listing { shards: shards.to_vec(), answered_at_ms: None };
            state = step(&shard_id(0), state, Event::Listed(listing, now), &mut evidence).0;
            if let State::NeedIterator { from } = state {
                let not_found = Event::Failed(ApiErrorKind::NotFound);
                state = step(&shard_id(0), State::NeedIterator { from }, not_found, &mut evidence).0;
            }
        }
        state
    }

    #[test]
    fn an_accepted_response_advances_the_iterator_and_the_position() {
        let state = ready(StartingPosition::TrimHorizon, "a");
        let records = vec![record(1, 0), record(2, 0)];
        let expected = (ready(after(2), "b"), deliver(records.clone(), None));
        assert_eq!(run(state, fetched(records, Some("b"), vec![])), expected);
    }

    #[test]
    fn an_empty_response_only_advances_the_iterator() {
        let expected = (ready(after(7), "b"), deliver(vec![], None));
        assert_eq!(run(ready(after(7), "a"), fetched(vec![], Some("b"), vec![])), expected);
    }

    #[test]
    fn an_expired_iterator_is_replaced_after_the_last_accepted_record() {
        let expired = Event::Failed(ApiErrorKind::IteratorExpired);
        assert_eq!(run(ready(after(7), "a"), expired), (State::NeedIterator { from: after(7) }, Next::RenewIterator));
    }

    #[test]
    fn before_the_first_record_an_expired_iterator_is_replaced_at_the_pinned_instant() {
        let from = StartingPosition::AtTimestamp(1_000);
        let (state, _) = run(ready(from.clone(), "a"), fetched(vec![], Some("b"), vec![]));
        let (state, _) = run(state, Event::Failed(ApiErrorKind::IteratorExpired));
        assert_eq!(state, State::NeedIterator { from });
    }

    #[test]
    fn a_position_that_kinesis_rejects_is_an_error() {
        let state = State::NeedIterator { from: after(7) };
        assert_eq!(run(state.clone(), Event::Failed(ApiErrorKind::IteratorExpired)), (state, Next::Fail));
    }

    #[test]
    fn transient_errors_are_retried_with_the_same_iterator() {
        for kind in [ApiErrorKind::Throttled, ApiErrorKind::NotReady, ApiErrorKind::Unavailable] {
            let state = ready(after(7), "a");
            assert_eq!(run(state.clone(), Event::Failed(kind)), (state, Next::BackOff));
        }
    }

    #[test]
    fn the_last_records_and_the_end_may_come_in_one_response_or_in_two() {
        let children = vec![shard(1, &[0], false), shard(2, &[0], false)];
        let (state, next) = run(ready(after(7), "a"), fetched(vec![record(8, 0)], None, children.clone()));
        assert_eq!(state, State::Ended { children: children.clone() });
        assert_eq!(next, deliver(vec![record(8, 0)], Some(children.clone())));
        let (_, next) = run(ready(after(8), "b"), fetched(vec![], None, children.clone()));
        assert_eq!(next, deliver(vec![], Some(children)));
    }

    #[test]
    fn an_end_without_children_counts_only_if_lists_show_the_shard_closed() {
        let (state, next) = run(ready(after(7), "a"), fetched(vec![record(8, 0)], None, vec![]));
        assert_eq!(state, State::EndInDoubt { from: after(8), doubt: EndDoubt::NoChildren });
        assert_eq!(next, deliver(vec![record(8, 0)], None));
        let (open, next) = run(state.clone(), listed(vec![shard(0, &[], false)]));
        assert_eq!(open, State::NeedIterator { from: after(8) });
        assert!(matches!(next, Next::Pause { report: None, .. }));
        let children = vec![shard(1, &[0], false), shard(2, &[0], true)];
        let all = [vec![shard(0, &[], true)], children.clone(), vec![shard(3, &[2], false)]].concat();
        assert_eq!(run(state.clone(), listed(all.clone())).0, state, "one list is not enough");
        assert_eq!(run_lists(state.clone(), &all), State::Ended { children });
        assert_eq!(run_lists(state.clone(), &all[..1]), state, "its children are unknown");
    }

    #[test]
    fn invalid_children_are_replaced_by_those_of_the_list() {
        for invalid in [vec![shard(1, &[], false)], vec![shard(1, &[0], false); 3_000]] {
            let (state, _) = run(ready(after(7), "a"), fetched(vec![], None, invalid));
            assert_eq!(state, State::EndInDoubt { from: after(7), doubt: EndDoubt::NoChildren });
        }
    }

    #[test]
    fn a_shard_that_is_not_found_has_ended_only_if_lists_agree() {
        let (state, next) = run(ready(after(7), "a"), Event::Failed(ApiErrorKind::NotFound));
        assert_eq!((&state, next), (&State::EndInDoubt { from: after(7), doubt: EndDoubt::NotFound }, Next::Continue));
        let child = shard(1, &[0], false);
        let (once, next) = run(state.clone(), listed(vec![child.clone()]));
        assert_eq!(once, State::NeedIterator { from: after(7) }, "one list is not enough");
        assert!(matches!(next, Next::Pause { .. }));
        assert_eq!(run_lists(state.clone(), std::slice::from_ref(&child)), State::Ended { children: vec![child] });
        for wrong in [vec![], vec![shard(0, &[], true)]] {
            assert!(!matches!(run_lists(state.clone(), &wrong), State::Ended { .. }), "{wrong:?}");
        }
        let stream_gone = run(state.clone(), Event::Failed(ApiErrorKind::NotFound));
        assert_eq!(stream_gone, (state, Next::Fail));
    }

    #[test]
    fn the_end_is_returned_again() {
        let ended = State::Ended { children: vec![shard(1, &[0], false)] };
        let (state, next) = run(ended.clone(), fetched(vec![], None, vec![]));
        assert_eq!(state, ended);
        assert!(matches!(next, Next::Deliver { end: Some(_), .. }));
    }

    #[test]
    fn completed_records_of_an_aggregate_are_dropped() {
        let from = StartingPosition::After(at(5, 1));
        let records = vec![record(5, 0), record(5, 1), record(5, 2), record(6, 0)];
        let (_, next) = run(ready(from, "a"), fetched(records, Some("b"), vec![]));
        assert_eq!(next, deliver(vec![record(5, 2), record(6, 0)], None));
    }

    #[test]
    fn without_deaggregation_a_partly_completed_aggregate_is_delivered_again() {
        let from = StartingPosition::After(at(5, 3));
        let records = vec![record(5, 0), record(6, 0)];
        let (_, next) = run(ready(from, "a"), fetched(records.clone(), Some("b"), vec![]));
        assert_eq!(next, deliver(records, None));
    }

    proptest! {
        /// For any sequence of faults: every record exactly once, in order.
        #[test]
        fn every_record_is_delivered_once_and_in_order(faults in proptest::collection::vec(0u8..7, 0..80)) {
            let parts = |n: u64| if n.is_multiple_of(3) { 3 } else { 1 };
            let stream: Vec<Record> = (1..=12).flat_map(|n| (0..parts(n)).map(move |sub| record(n, sub))).collect();
            let (mut state, mut delivered, mut faults) =
                (State::NeedIterator { from: StartingPosition::TrimHorizon }, Vec::new(), faults.into_iter());
            for _ in 0..400 {
                let fault = faults.next().unwrap_or(6);
                let event = match (&state, fault) {
                    (_, 0) => Event::Failed(ApiErrorKind::Throttled),
                    (State::Ready { .. }, 1) => Event::Failed(ApiErrorKind::IteratorExpired),
                    (State::NeedIterator { .. } | State::Ready { .. }, 2) => Event::Failed(ApiErrorKind::NotFound),
                    // An iterator is the index of its next record. A position within an aggregate
                    // reads the aggregate again.
                    (State::NeedIterator { from }, _) => {
                        let index = match from {
                            StartingPosition::After(p) if p.sub_sequence_number > 0 =>
                                stream.iter().position(|r| r.sequence_number == p.sequence_number),
                            StartingPosition::After(p) =>
                                stream.iter().position(|r| r.sequence_number > p.sequence_number),
                            StartingPosition::TrimHorizon | StartingPosition::AtTimestamp(_) | StartingPosition::At(_) => Some(0),
                        };
                        Event::Iterator(index.unwrap_or(stream.len()).to_string())
                    }
                    (State::Ready { iterator, .. }, n) => {
                        let start: usize = iterator.parse().unwrap();
                        // Whole aggregates only, as Kinesis returns them.
                        let mut end = (start + usize::from(n)).min(stream.len());
                        while end < stream.len() && stream[end].sub_sequence_number > 0 { end += 1; }
                        let over = end == stream.len() && n % 2 == 0;
                        let children = if over { vec![shard(1, &[0], false)] } else { vec![] };
                        fetched(stream[start..end].to_vec(), (!over).then(|| end.to_string()).as_deref(), children)
                    }
                    (State::EndInDoubt { .. }, _) => listed(vec![shard(0, &[], false)]),
                    (State::Ended { .. }, _) => break,
                };
                let (next_state, next) = run(state, event);
                state = next_state;
                if let Next::Deliver { records, .. } = next { delivered.extend(records); }
            }
            prop_assert_eq!(delivered, stream);
        }
    }
}
