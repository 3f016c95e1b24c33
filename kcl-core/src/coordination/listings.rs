//! The streams, of several, whose leases this worker keeps in step with their shards, because the plan says so.
//!
//! A table of one stream is kept so by its planner, within its cycle. Of several, some may be unknown to the planner, and
//! one that cannot be listed must not hold up the plan for the others: so the plan says who lists what, and that is done
//! beside everything else. Done twice it is done once: every write of it has its own condition.

use super::effects::{Answer, Effects, Op, Part};
use super::planner::fill::{self, Fill};
use super::streams::Streams;
use crate::clock::Time;
use crate::lease::Table;
use crate::lease::row::{Lease, LeaseKey, StreamRow};
use crate::record::StreamId;
use std::collections::BTreeMap;
use std::time::Duration;

/// A list that failed is asked for again after this; one without which a stream has no leases yet, sooner.
const AGAIN: Duration = Duration::from_secs(10);
const FIRST_AGAIN: Duration = Duration::from_secs(1);

/// Leases and streams' rows, as a full read of the table showed them.
#[derive(Debug, Default, Clone)]
pub(crate) struct Known {
    pub(crate) leases: BTreeMap<LeaseKey, Lease>,
    pub(crate) streams: BTreeMap<StreamId, StreamRow>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Listings {
    every: Duration,
    of: BTreeMap<StreamId, Listing>,
    reading: bool,
    known: Known,
}

/// One stream's.
#[derive(Debug)]
struct Listing {
    due: Time,
    fill: Option<Fill>,
    /// Whether rows were created or deleted.
    changed: bool,
}

impl Known {
    pub(crate) fn of(table: Table) -> Self {
        Known {
            leases: table.leases.into_iter().map(|lease| (lease.key.clone(), lease)).collect(),
            streams: table.streams.into_iter().map(|row| (row.id.clone(), row)).collect(),
        }
    }

    fn has_leases_of(&self, stream: &StreamId) -> bool {
        self.leases.values().any(|lease| lease.stream_name.as_ref() == Some(stream))
    }
}

impl Listings {
    pub(crate) fn new(every: Duration) -> Self {
        Listings { every, of: BTreeMap::new(), reading: false, known: Known::default() }
    }

    /// The plan, as it is now.
    pub(crate) fn follow(&mut self, lists: &[StreamId], effects: &mut Effects) {
        self.of.retain(|stream, _| lists.contains(stream));
        for stream in lists {
            let new = Listing { due: effects.now, fill: None, changed: false };
            self.of.entry(stream.clone()).or_insert(new);
        }
        self.rest(effects);
    }

    /// The stream is not served any more.
    pub(crate) fn forget(&mut self, stream: &StreamId, effects: &mut Effects) {
        self.of.remove(stream);
        self.rest(effects);
    }

    /// Lists nothing more.
    pub(crate) fn clear(&mut self) {
        self.of.clear();
        self.reading = false;
    }

    fn rest(&self, effects: &mut Effects) {
        if self.reading {
            return;
        }
        match self.of.values().filter(|listing| listing.fill.is_none()).map(|listing| listing.due).min() {
            Some(due) => effects.remind(Part::Listings, due),
            None => effects.forget(&Part::Listings),
        }
    }

    /// Lists what is due. `known`: what a planner has read, who needs not read the table for it.
    pub(crate) fn on_timer(&mut self, known: Option<Known>, streams: &Streams, effects: &mut Effects) {
        if self.reading || !self.of.values().any(|listing| listing.is_due(effects.now)) {
            return self.rest(effects);
        }
        match known {
            Some(known) => self.begin(known, streams, effects),
            None => {
                self.reading = true;
                effects.call(Part::Listings, Op::Scan);
            }
        }
    }

    pub(crate) fn on_table(&mut self, answer: Answer, streams: &Streams, effects: &mut Effects) {
        self.reading = false;
        match answer {
            Answer::Table(table) => self.begin(Known::of(table), streams, effects),
            Answer::Written(_) | Answer::Rows(_) | Answer::Listing(_) | Answer::Failed(_) => {
                effects.remind(Part::Listings, effects.now + FIRST_AGAIN);
            }
        }
    }

    fn begin(&mut self, known: Known, streams: &Streams, effects: &mut Effects) {
        self.known = known;
        let now = effects.now;
        for (id, listing) in self.of.iter_mut().filter(|(_, listing)| listing.is_due(now)) {
            listing.due = effects.now + effects.jittered(self.every);
            // One that is not served any more is told to another by the next plan.
            let Some(served) = streams.get(Some(id)) else { continue };
            let row = self.known.streams.get(id);
            let has_leases = self.known.has_leases_of(id);
            listing.changed = false;
            listing.fill = Some(Fill::of_several(served.keys.clone(), served.start, row, has_leases, effects));
        }
        self.rest(effects);
    }

    /// An answer to a stream's list, or to a row of it. Tells whether the planner should read the table.
    pub(crate) fn on_answer(&mut self, stream: &StreamId, part: &Part, answer: Answer, effects: &mut Effects) -> bool {
        let Some(listing) = self.of.get_mut(stream) else { return false };
        let Some(fill) = &mut listing.fill else { return false };
        let done = match fill.on_answer(part, answer, &self.known.leases, effects) {
            fill::News::Going | fill::News::Fleet(_) => false,
            fill::News::Lease { key, lease, done } => {
                listing.changed = true;
                match lease {
                    Some(lease) => self.known.leases.insert(key, *lease),
                    None => self.known.leases.remove(&key),
                };
                done
            }
            fill::News::Done => true,
            fill::News::Failed => {
                let again = if fill.is_first() { FIRST_AGAIN } else { AGAIN };
                listing.due = effects.now + effects.jittered(again);
                true
            }
        };
        if !done {
            return false;
        }
        listing.fill = None;
        let changed = listing.changed;
        self.rest(effects);
        changed
    }
}

impl Listing {
    fn is_due(&self, now: Time) -> bool {
        self.fill.is_none() && self.due <= now
    }
}
