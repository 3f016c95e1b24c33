//! Keeping the table's leases in step with the stream's shards: the first fill, and the list of every minute.

use crate::config::Start;
use crate::coordination::LATEST_MARGIN_MS;
use crate::coordination::effects::{Answer, Effects, Op, Part};
use crate::lease::row::{Fleet, FleetStart, Lease, LeaseKey, StreamKeys, StreamRow};
use crate::lease::{Row, Write, Written};
use crate::record::{Checkpoint, StreamId};
use crate::shard::{self, ListWhich, Listing};
use crate::telemetry::event::coordination::Happening;
use std::collections::{BTreeMap, BTreeSet};

/// One pass. It is begun again from its start when a call of it fails: every step may be repeated.
#[derive(Debug)]
pub(crate) struct Fill {
    stream: StreamKeys,
    start: Start,
    state: State,
    /// Whether it is, or may be, the first one.
    first: bool,
}

#[derive(Debug)]
enum State {
    /// First fill: to learn the service's own time.
    AskingTime,
    /// First fill: to pin what the start means.
    Pinning,
    /// First fill: to list the shards open at the start.
    ListingStart { start: FleetStart, fallback: bool },
    /// Later: to list all shards.
    ListingAll,
    /// To create and delete rows.
    Writing {
        first: bool,
        left: BTreeSet<LeaseKey>,
        /// Rows whose parents' rows are not answered yet.
        later: Vec<Lease>,
    },
    /// First fill: to say that it is complete.
    Marking,
}

/// What a step told.
#[derive(Debug)]
pub(crate) enum News {
    Going,
    /// A lease's row, as it is now; `None` after it was deleted. `done`: it was the last one.
    Lease {
        key: LeaseKey,
        lease: Option<Box<Lease>>,
        done: bool,
    },
    /// The fleet row, as it is now.
    Fleet(Fleet),
    Done,
    Failed,
}

impl Fill {
    /// For a stream that has the table for itself.
    pub(crate) fn begin(
        stream: StreamKeys,
        start: Start,
        filled: bool,
        pinned: Option<FleetStart>,
        effects: &mut Effects,
    ) -> Self {
        let mut fill = Fill { stream, start, state: State::ListingAll, first: !filled };
        match (filled, pinned) {
            (true, _) => fill.list(ListWhich::All, effects),
            (false, Some(pinned)) => fill.list_start(pinned, false, effects),
            (false, None) => fill.begin_first(effects),
        }
        fill
    }

    /// For one of several, given its row, and whether the table shows leases of it. One that has leases and no row was read
    /// by a fleet that ended.
    pub(crate) fn of_several(
        stream: StreamKeys,
        start: Start,
        row: Option<&StreamRow>,
        has_leases: bool,
        effects: &mut Effects,
    ) -> Self {
        match row {
            Some(row) => Fill::begin(stream, start, row.filled, Some(row.start.clone()), effects),
            None if has_leases => {
                let mut fill = Fill { stream, start, state: State::ListingAll, first: false };
                fill.pin(Checkpoint::TrimHorizon, None, effects);
                fill
            }
            None => Fill::begin(stream, start, false, None, effects),
        }
    }

    fn begin_first(&mut self, effects: &mut Effects) {
        match self.start {
            Start::Latest => {
                self.state = State::AskingTime;
                self.list(ListWhich::AtLatest, effects);
            }
            Start::TrimHorizon => self.pin(Checkpoint::TrimHorizon, None, effects),
            Start::AtTimestamp(ms) => self.pin(Checkpoint::AtTimestamp, Some(ms), effects),
        }
    }

    /// Whether the stream may have no leases before it is done.
    pub(crate) fn is_first(&self) -> bool {
        self.first
    }

    fn list(&self, which: ListWhich, effects: &mut Effects) {
        let part = self.stream.id.clone().map_or(Part::Shards, Part::Stream);
        effects.call(part, Op::List(self.stream.id.clone(), which));
    }

    fn row_part(&self, lease: &LeaseKey) -> Part {
        if self.stream.id.is_some() { Part::Listed(lease.clone()) } else { Part::Sync(lease.clone()) }
    }

    fn write_start(
        &self,
        of_table: impl FnOnce() -> Write,
        of_stream: impl FnOnce(StreamId) -> Write,
        effects: &mut Effects,
    ) {
        match &self.stream.id {
            None => effects.write(Part::Cycle, of_table()),
            Some(id) => effects.write(Part::Stream(id.clone()), of_stream(id.clone())),
        }
    }

    fn pin(&mut self, checkpoint: Checkpoint, at_ms: Option<i64>, effects: &mut Effects) {
        let start = FleetStart { checkpoint, at_ms };
        let filled = !self.first;
        let of_stream = |id| Write::PinStream(StreamRow { id, start: start.clone(), filled });
        self.write_start(|| Write::PinStart(start.clone()), of_stream, effects);
        self.state = State::Pinning;
    }

    fn list_start(&mut self, start: FleetStart, fallback: bool, effects: &mut Effects) {
        let which = match start.at_ms {
            Some(ms) if !fallback && start.checkpoint != Checkpoint::TrimHorizon => ListWhich::AtTimestamp(ms),
            _ => ListWhich::AtTrimHorizon,
        };
        self.list(which, effects);
        self.state = State::ListingStart { start, fallback };
    }

    pub(crate) fn on_answer(
        &mut self,
        part: &Part,
        answer: Answer,
        leases: &BTreeMap<LeaseKey, Lease>,
        effects: &mut Effects,
    ) -> News {
        if let Part::Sync(key) | Part::Listed(key) = part {
            return self.on_row(key, answer, effects);
        }
        match (answer, &self.state) {
            (Answer::Failed(_), _) => News::Failed,
            (Answer::Listing(listing), State::AskingTime) => {
                let Some(now_ms) = listing.answered_at_ms else { return News::Failed };
                self.pin(self.start.sentinel(), Some(now_ms - LATEST_MARGIN_MS), effects);
                News::Going
            }
            (Answer::Listing(listing), State::ListingStart { start, fallback }) => {
                let (start, fallback) = (start.clone(), *fallback);
                self.on_start_listed(&listing, start, fallback, effects)
            }
            (Answer::Listing(listing), State::ListingAll) => self.on_all_listed(&listing, leases, effects),
            (Answer::Written(Written::Applied(row) | Written::Refused(row)), State::Pinning) => match row {
                Some(Row::Fleet(fleet)) => match fleet.start.clone() {
                    Some(pinned) => {
                        self.list_start(pinned, false, effects);
                        News::Fleet(fleet)
                    }
                    None => News::Failed,
                },
                Some(Row::Stream(row)) => {
                    self.first = !row.filled;
                    if row.filled {
                        self.state = State::ListingAll;
                        self.list(ListWhich::All, effects);
                    } else {
                        self.list_start(row.start, false, effects);
                    }
                    News::Going
                }
                _ => News::Failed,
            },
            (Answer::Written(Written::Applied(Some(Row::Fleet(_) | Row::Stream(_)))), State::Marking) => News::Done,
            _ => News::Failed,
        }
    }

    fn on_start_listed(&mut self, listing: &Listing, start: FleetStart, fallback: bool, effects: &mut Effects) -> News {
        let hole = shard::hole_in(&listing.shards);
        match hole {
            // A stream younger than the instant meant has no shards open at it: read its oldest, from that instant on.
            Some(_) if !fallback => {
                self.list_start(start, true, effects);
                News::Going
            }
            Some(hole) => {
                effects.tell(Happening::ShardsIncomplete { stream: self.stream.id.clone(), hole });
                News::Failed
            }
            None => {
                let rows = shard::first_fill(&listing.shards, &start, &self.stream);
                self.write(true, rows, Vec::new(), effects)
            }
        }
    }

    fn on_all_listed(&mut self, listing: &Listing, leases: &BTreeMap<LeaseKey, Lease>, effects: &mut Effects) -> News {
        let leases: Vec<Lease> = leases.values().filter(|lease| self.stream.has(lease)).cloned().collect();
        if self.stream.until_ms.is_some() {
            // Shards that ended with the range leave holes, and what is done must be seen to be done: nothing is forgotten.
            let rows = shard::missing_of_range(&leases, &listing.shards, &self.stream);
            return self.write(false, rows, Vec::new(), effects);
        }
        let rows = shard::missing(&leases, &listing.shards, &self.stream);
        let gone = shard::forgotten(&leases, &listing.shards);
        let after: Vec<Lease> = leases.iter().chain(&rows).cloned().collect();
        if let Some(hole) = shard::hole(&after) {
            effects.tell(Happening::ShardsIncomplete { stream: self.stream.id.clone(), hole });
        }
        self.write(false, rows, gone, effects)
    }

    fn write(&mut self, first: bool, rows: Vec<Lease>, gone: Vec<(LeaseKey, u64)>, effects: &mut Effects) -> News {
        let left = rows.iter().map(|row| row.key.clone()).chain(gone.iter().map(|(key, _)| key.clone())).collect();
        for (lease, counter) in gone {
            effects.write(self.row_part(&lease), Write::DeleteLease { lease, counter });
        }
        self.state = State::Writing { first, left, later: rows };
        self.write_next(effects);
        self.after_row(effects)
    }

    /// Creates the rows whose parents exist: a child that is seen without its parent would pass for one whose parent
    /// is finished and forgotten.
    fn write_next(&mut self, effects: &mut Effects) {
        let State::Writing { left, later, .. } = &mut self.state else { return };
        let waits = |row: &mut Lease| row.parents.iter().any(|parent| left.contains(&row.sibling(parent)));
        let ready: Vec<Lease> = later.extract_if(.., |row| !waits(row)).collect();
        for row in ready {
            effects.write(self.row_part(&row.key), Write::CreateLease(Box::new(row)));
        }
    }

    fn on_row(&mut self, key: &LeaseKey, answer: Answer, effects: &mut Effects) -> News {
        let State::Writing { left, .. } = &mut self.state else { return News::Going };
        let Answer::Written(Written::Applied(row) | Written::Refused(row)) = answer else { return News::Failed };
        left.remove(key);
        self.write_next(effects);
        let lease = if let Some(Row::Lease(lease)) = row { Some(Box::new(lease)) } else { None };
        let done = matches!(self.after_row(effects), News::Done);
        News::Lease { key: key.clone(), lease, done }
    }

    fn after_row(&mut self, effects: &mut Effects) -> News {
        let State::Writing { first, left, .. } = &self.state else { return News::Going };
        match (left.is_empty(), first) {
            (false, _) => News::Going,
            (true, true) => {
                self.state = State::Marking;
                self.write_start(|| Write::Filled, Write::StreamFilled, effects);
                News::Going
            }
            (true, false) => News::Done,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::row::HashKeyRange;
    use crate::record::ShardId;
    use crate::shard::Shard;

    fn shard(n: u32, parents: &[u32]) -> Shard {
        let id = |n: u32| ShardId::from(format!("shardId-{n:012}").as_str());
        let hash_range = Some(HashKeyRange { start: 0, end: u128::MAX });
        let parents = parents.iter().copied().map(id).collect();
        Shard { id: id(n), parents, hash_range, starting_sequence_number: None, closed: false }
    }

    fn created(effects: &mut Effects) -> Vec<Lease> {
        let rows = effects
            .take_calls()
            .into_iter()
            .filter_map(|call| if let Op::Write(Write::CreateLease(row)) = call.op { Some(*row) } else { None });
        rows.collect()
    }

    /// Of a table that is filled, or that is to start where this says.
    fn begin(pinned: Option<FleetStart>, effects: &mut Effects) -> Fill {
        let arn = "arn:aws:kinesis:us-east-1:000000000000:stream/s".to_owned();
        let stream = StreamKeys::alone(crate::record::StreamIdentity { arn, created_at: 1 });
        let fill = Fill::begin(stream, Start::TrimHorizon, pinned.is_none(), pinned, effects);
        effects.take_calls();
        fill
    }

    #[test]
    fn shards_whose_ranges_are_not_said_are_a_list_as_well() {
        let mut effects = Effects::new(fastrand::Rng::with_seed(1));
        let start = FleetStart { checkpoint: Checkpoint::TrimHorizon, at_ms: None };
        let mut fill = begin(Some(start), &mut effects);
        let shards = vec![Shard { hash_range: None, ..shard(0, &[]) }];
        let listing = Answer::Listing(Listing { shards, answered_at_ms: None });
        fill.on_answer(&Part::Shards, listing, &BTreeMap::new(), &mut effects);
        assert_eq!(created(&mut effects).len(), 1);
    }

    #[test]
    fn a_childs_row_is_created_after_its_parents_answered() {
        let mut effects = Effects::new(fastrand::Rng::with_seed(1));
        let mut fill = begin(None, &mut effects);
        let listing = Listing { shards: vec![shard(1, &[0]), shard(0, &[])], answered_at_ms: None };
        fill.on_answer(&Part::Shards, Answer::Listing(listing), &BTreeMap::new(), &mut effects);
        let parents = created(&mut effects);
        assert_eq!(parents.iter().map(|row| row.shard.clone()).collect::<Vec<_>>(), [shard(0, &[]).id]);
        let answer = Answer::Written(Written::Applied(Some(Row::Lease(parents[0].clone()))));
        fill.on_answer(&Part::Sync(parents[0].key.clone()), answer, &BTreeMap::new(), &mut effects);
        assert_eq!(created(&mut effects)[0].shard, shard(1, &[0]).id);
    }
}
