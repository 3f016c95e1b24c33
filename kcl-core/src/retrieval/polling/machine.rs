//! Where a polling reader stands in its shard, and what an answer makes of that.
//!
//! Pure. The iterator is no more than a cache of the position: lost or expired, it is made again from the last record
//! that was accepted. It moves only when an answer is accepted.

use crate::clock::Time;
use crate::record::{Position, Record, ShardId, StartingPosition};
use crate::shard::{ApiErrorKind, Doubt, EndEvidence, Fetched, Listing, Shard, Verdict, are_children};
use std::time::Duration;

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

/// What came back.
#[derive(Debug)]
pub(super) enum Event {
    /// An iterator.
    Iterator(String),
    /// Records, maybe the end.
    Fetched(Fetched),
    /// The stream's shards, and when they were answered.
    Listed(Listing, Time),
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
    /// Go on after a pause: it is in doubt whether the shard has ended.
    Pause {
        /// How long.
        pause: Duration,
        /// For how long the end has been in doubt, where that is to be reported.
        report: Option<(Doubt, Duration)>,
    },
    /// Make a new iterator.
    Renew,
    /// Say that it cannot go on by itself.
    GiveUp,
}

/// One step. `evidence` is what earlier lists said about the end of the shard.
pub(super) fn step(shard: &ShardId, state: State, event: Event, evidence: &mut EndEvidence) -> (State, Next) {
    match (state, event) {
        (State::Ended { children }, _) => end(children),
        (State::Doubting { from, doubt }, Event::Listed(listing, now)) => {
            decide(shard, from, doubt, &listing, evidence, now)
        }
        (state, Event::Listed(..)) => (state, Next::GoOn),
        (state, Event::Failed(kind)) => fail(state, kind),
        (state, Event::Iterator(iterator)) => (State::Ready { from: state.from(), iterator }, Next::GoOn),
        (state, Event::Fetched(fetched)) => accept(shard, state.from(), fetched, evidence),
    }
}

fn accept(shard: &ShardId, from: StartingPosition, fetched: Fetched, evidence: &mut EndEvidence) -> (State, Next) {
    let Fetched { mut records, millis_behind_latest, next_iterator, children } = fetched;
    if let StartingPosition::After(done) = &from {
        drop_done(&mut records, done);
    }
    let from = records.last().map_or(from, |last| StartingPosition::After(last.position()));
    let (state, end) = match next_iterator {
        Some(iterator) => {
            evidence.clear();
            (State::Ready { from, iterator }, None)
        }
        None if !are_children(shard, &children) => (State::Doubting { from, doubt: Doubt::NoChildren }, None),
        None => (State::Ended { children: children.clone() }, Some(children)),
    };
    (state, Next::Deliver { records, millis_behind_latest, end })
}

/// Leaves out what was accepted before. Where a position lies within an aggregated record, the record is read again
/// and its first parts are done. But if it has not come apart that far, nobody took it apart this time, and leaving it
/// out would lose its later parts: it is delivered again.
pub(in crate::retrieval) fn drop_done(records: &mut Vec<Record>, done: &Position) {
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

fn decide(
    shard: &ShardId,
    from: StartingPosition,
    doubt: Doubt,
    listing: &Listing,
    evidence: &mut EndEvidence,
    now: Time,
) -> (State, Next) {
    let verdict = evidence.consider(shard, doubt, listing, now);
    let report = evidence.report_due(now).map(|lasted| (doubt, lasted));
    match (verdict, doubt) {
        (Verdict::Ended(children), _) => end(children),
        // What was not found may be found again before the lists agree.
        (Verdict::ReadOn { pause }, _) | (Verdict::AskAgain { pause }, Doubt::NotFound) => {
            (State::NeedIterator { from }, Next::Pause { pause, report })
        }
        (Verdict::AskAgain { pause }, Doubt::NoChildren) => {
            (State::Doubting { from, doubt }, Next::Pause { pause, report })
        }
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
        (
            ApiErrorKind::IteratorExpired
            | ApiErrorKind::Denied
            | ApiErrorKind::Refused
            | ApiErrorKind::PositionRefused,
            state,
        ) => (state, Next::GiveUp),
        // The stream itself is gone. Should it come back, its shards are asked for first.
        (ApiErrorKind::NotFound, state @ State::Doubting { .. }) => (state, Next::GiveUp),
        (ApiErrorKind::NotFound, state) => (State::Doubting { from: state.from(), doubt: Doubt::NotFound }, Next::GoOn),
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

    /// The same list, for a minute.
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
    fn an_accepted_answer_moves_the_iterator_and_the_position() {
        let state = ready(StartingPosition::TrimHorizon, "a");
        let records = vec![record(1, 0), record(2, 0)];
        let expected = (ready(after(2), "b"), deliver(records.clone(), None));
        assert_eq!(run(state, fetched(records, Some("b"), vec![])), expected);
    }

    #[test]
    fn an_empty_answer_moves_the_iterator_and_means_nothing_else() {
        let expected = (ready(after(7), "b"), deliver(vec![], None));
        assert_eq!(run(ready(after(7), "a"), fetched(vec![], Some("b"), vec![])), expected);
    }

    #[test]
    fn an_expired_iterator_is_made_again_from_the_last_accepted_record() {
        let expired = Event::Failed(ApiErrorKind::IteratorExpired);
        assert_eq!(run(ready(after(7), "a"), expired), (State::NeedIterator { from: after(7) }, Next::Renew));
    }

    #[test]
    fn where_nothing_was_accepted_yet_an_expired_iterator_starts_at_the_pinned_instant_again() {
        let from = StartingPosition::AtTimestamp(1_000);
        let (state, _) = run(ready(from.clone(), "a"), fetched(vec![], Some("b"), vec![]));
        let (state, _) = run(state, Event::Failed(ApiErrorKind::IteratorExpired));
        assert_eq!(state, State::NeedIterator { from });
    }

    #[test]
    fn a_position_that_kinesis_does_not_take_is_told() {
        let state = State::NeedIterator { from: after(7) };
        assert_eq!(run(state.clone(), Event::Failed(ApiErrorKind::IteratorExpired)), (state, Next::GiveUp));
    }

    #[test]
    fn what_may_pass_is_tried_again_with_the_same_iterator() {
        for kind in [ApiErrorKind::Throttled, ApiErrorKind::NotReady, ApiErrorKind::Unavailable] {
            let state = ready(after(7), "a");
            assert_eq!(run(state.clone(), Event::Failed(kind)), (state, Next::BackOff));
        }
    }

    #[test]
    fn the_last_records_and_the_end_may_come_in_one_answer_or_in_two() {
        let children = vec![shard(1, &[0], false), shard(2, &[0], false)];
        let (state, next) = run(ready(after(7), "a"), fetched(vec![record(8, 0)], None, children.clone()));
        assert_eq!(state, State::Ended { children: children.clone() });
        assert_eq!(next, deliver(vec![record(8, 0)], Some(children.clone())));
        let (_, next) = run(ready(after(8), "b"), fetched(vec![], None, children.clone()));
        assert_eq!(next, deliver(vec![], Some(children)));
    }

    #[test]
    fn no_iterator_without_children_is_an_end_only_if_the_list_says_that_the_shard_is_closed() {
        let (state, next) = run(ready(after(7), "a"), fetched(vec![record(8, 0)], None, vec![]));
        assert_eq!(state, State::Doubting { from: after(8), doubt: Doubt::NoChildren });
        assert_eq!(next, deliver(vec![record(8, 0)], None));
        let (open, next) = run(state.clone(), listed(vec![shard(0, &[], false)]));
        assert_eq!(open, State::NeedIterator { from: after(8) });
        assert!(matches!(next, Next::Pause { report: None, .. }));
        let children = vec![shard(1, &[0], false), shard(2, &[0], true)];
        let all = [vec![shard(0, &[], true)], children.clone(), vec![shard(3, &[2], false)]].concat();
        assert_eq!(run(state.clone(), listed(all.clone())).0, state, "one list is not enough");
        assert_eq!(run_lists(state.clone(), &all), State::Ended { children });
        assert_eq!(run_lists(state.clone(), &all[..1]), state, "its children are not known");
    }

    #[test]
    fn children_that_make_no_sense_are_asked_of_the_list() {
        for nonsense in [vec![shard(1, &[], false)], vec![shard(1, &[0], false); 3_000]] {
            let (state, _) = run(ready(after(7), "a"), fetched(vec![], None, nonsense));
            assert_eq!(state, State::Doubting { from: after(7), doubt: Doubt::NoChildren });
        }
    }

    #[test]
    fn a_shard_that_is_not_found_has_ended_only_if_lists_of_its_stream_agree_on_it() {
        let (state, next) = run(ready(after(7), "a"), Event::Failed(ApiErrorKind::NotFound));
        assert_eq!((&state, next), (&State::Doubting { from: after(7), doubt: Doubt::NotFound }, Next::GoOn));
        let child = shard(1, &[0], false);
        let (once, next) = run(state.clone(), listed(vec![child.clone()]));
        assert_eq!(once, State::NeedIterator { from: after(7) }, "one list is not enough");
        assert!(matches!(next, Next::Pause { .. }));
        assert_eq!(run_lists(state.clone(), std::slice::from_ref(&child)), State::Ended { children: vec![child] });
        for wrong in [vec![], vec![shard(0, &[], true)]] {
            assert!(!matches!(run_lists(state.clone(), &wrong), State::Ended { .. }), "{wrong:?}");
        }
        let stream_gone = run(state.clone(), Event::Failed(ApiErrorKind::NotFound));
        assert_eq!(stream_gone, (state, Next::GiveUp));
    }

    #[test]
    fn the_end_is_told_again_to_whoever_asks_again() {
        let ended = State::Ended { children: vec![shard(1, &[0], false)] };
        let (state, next) = run(ended.clone(), fetched(vec![], None, vec![]));
        assert_eq!(state, ended);
        assert!(matches!(next, Next::Deliver { end: Some(_), .. }));
    }

    #[test]
    fn the_parts_of_an_aggregate_that_are_done_are_left_out() {
        let from = StartingPosition::After(at(5, 1));
        let records = vec![record(5, 0), record(5, 1), record(5, 2), record(6, 0)];
        let (_, next) = run(ready(from, "a"), fetched(records, Some("b"), vec![]));
        assert_eq!(next, deliver(vec![record(5, 2), record(6, 0)], None));
    }

    #[test]
    fn an_aggregate_that_nobody_takes_apart_is_delivered_again_as_its_later_parts_are_not_done() {
        let from = StartingPosition::After(at(5, 3));
        let records = vec![record(5, 0), record(6, 0)];
        let (_, next) = run(ready(from, "a"), fetched(records.clone(), Some("b"), vec![]));
        assert_eq!(next, deliver(records, None));
    }

    proptest! {
        /// Whatever comes back, in any order: each record exactly once, in order.
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
                    // An iterator names the index of its next record. A position within an aggregate reads it again.
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
                        // Whole records only, as Kinesis answers.
                        let mut end = (start + usize::from(n)).min(stream.len());
                        while end < stream.len() && stream[end].sub_sequence_number > 0 { end += 1; }
                        let over = end == stream.len() && n % 2 == 0;
                        let children = if over { vec![shard(1, &[0], false)] } else { vec![] };
                        fetched(stream[start..end].to_vec(), (!over).then(|| end.to_string()).as_deref(), children)
                    }
                    (State::Doubting { .. }, _) => listed(vec![shard(0, &[], false)]),
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
