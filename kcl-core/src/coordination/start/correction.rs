//! A `start` that was corrected before any record was read from the old one. Pure.
//!
//! The table keeps the start of an application, so that a restart does not change it. A mistaken
//! start must not stay: as long as nothing was read from it, a worker that starts with another one
//! takes it back and begins anew.
//!
//! "Nothing was read" means that each lease is as the first sync pass, or a later one, created it.
//! In doubt the old start stays. No worker that began with it may be alive: sessions that serve the
//! stream have ended, or sent no heartbeat for their `failover_time` and are fenced first.
//!
//! Each step leaves rows from which the next worker draws the same conclusion, so a crash between
//! two steps does no harm: leases are deleted before the row that contains the start, and children
//! before their parents.

use super::pinned::{PinnedStart, is_start, pinned_start, pinned_text, setting_text};
use crate::clock::Time;
use crate::coordination::liveness::{Liveness, Pulse};
use crate::coordination::staleness::Contact;
use crate::coordination::streams::{Served, Streams};
use crate::lease::row::{CheckpointExtras, Lease, LeaseKey, RowKey, Session, WorkerId};
use crate::lease::{Table, Write};
use crate::record::{Checkpoint, StreamId};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// The most writes under way at once.
const MOST_IN_FLIGHT: usize = 64;

/// A start that is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Corrected {
    /// The stream, in a fleet of several streams.
    pub(super) stream: Option<StreamId>,
    /// The start that the application begins with now.
    pub(super) setting: String,
    /// The start that it had begun with.
    pub(super) pinned: String,
}

/// The decision after one read of the table.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// There is no start to correct now.
    Nothing,
    /// A worker that began with the other start may be alive. Read the table again after this time.
    Look { after: Duration, of: Vec<Corrected> },
    /// The next step. Read the table again after these writes.
    Write { writes: Vec<Write>, of: Vec<Corrected> },
}

/// Watches the sessions that prevent a correction, over as many reads of the table as necessary.
#[derive(Debug)]
pub(super) struct Correction {
    /// For sessions that do not name theirs.
    failover_time: Duration,
    seen: BTreeMap<WorkerId, Liveness>,
}

impl Correction {
    pub(super) fn new(failover_time: Duration) -> Self {
        Correction { failover_time, seen: BTreeMap::new() }
    }

    /// Evaluates a full read, which was sent at `asked` and arrived at `now`.
    pub(super) fn look(
        &mut self,
        streams: &Streams,
        table: &Table,
        asked: Time,
        now: Time,
        contact: &Contact,
    ) -> Verdict {
        let mut unread: Vec<(&Served, PinnedStart)> =
            streams.all().filter_map(|served| Some((served, unread_start(served, table)?))).collect();
        if unread.is_empty() {
            return Verdict::Nothing;
        }
        let (mut silent, mut unknown) = (Vec::new(), Vec::new());
        for session in table.sessions.iter().filter(|session| !session.state.has_ended()) {
            let failover_time = session.failover_time(self.failover_time);
            let seen = self.seen.entry(session.worker.clone()).or_insert_with(|| Liveness::new(session, now));
            match seen.prove(session, asked, now, contact.since(), failover_time) {
                // The worker reads from the start that it began with.
                Pulse::Alive => unread.retain(|(served, _)| !serves(session, served)),
                Pulse::Silent => silent.push(session),
                Pulse::Unknown => unknown.push((session, seen.next_look(now, failover_time).since(now))),
            }
        }
        let concerns = |session: &Session| unread.iter().any(|(served, _)| serves(session, served));
        let of = unread.iter().map(|(served, pinned)| corrected(served, pinned)).collect();
        if let Some(after) = unknown.iter().filter(|(session, _)| concerns(session)).map(|(_, after)| *after).min() {
            return Verdict::Look { after: after.clamp(Duration::from_millis(50), Duration::from_secs(2)), of };
        }
        let fence = |session: &&Session| {
            let Session { worker, number, heartbeat, .. } = session;
            Write::Fence { worker: worker.clone(), number: *number, heartbeat: *heartbeat }
        };
        let mut writes: Vec<Write> = silent.iter().filter(|session| concerns(session)).map(fence).collect();
        if writes.is_empty() {
            writes = unread.iter().flat_map(|(served, _)| youngest_leases(served, table)).map(delete).collect();
        }
        if writes.is_empty() {
            writes = unread.iter().flat_map(|(served, _)| delete_row(served, table)).collect();
        }
        if writes.is_empty() { Verdict::Nothing } else { Verdict::Write { writes, of } }
    }
}

fn corrected(served: &Served, pinned: &PinnedStart) -> Corrected {
    let (stream, setting) = (served.keys.id.clone(), setting_text(served.start));
    Corrected { stream, setting, pinned: pinned_text(&pinned.start) }
}

/// A session in a table of one stream names no stream.
fn serves(session: &Session, served: &Served) -> bool {
    match (&session.streams, &served.keys.id) {
        (Some(streams), Some(id)) => streams.contains(id),
        (None, _) | (_, None) => true,
    }
}

fn leases_of<'a>(served: &'a Served, table: &'a Table) -> impl Iterator<Item = &'a Lease> {
    table.leases.iter().filter(|lease| served.keys.has(lease))
}

/// The leases without a child's lease. Each step deletes only these, because a lease whose parent's
/// row is gone would count as read.
fn youngest_leases<'a>(served: &'a Served, table: &'a Table) -> Vec<&'a Lease> {
    let leases: Vec<&Lease> = leases_of(served, table).collect();
    let parents: BTreeSet<LeaseKey> =
        leases.iter().flat_map(|lease| lease.parents.iter().map(|parent| lease.sibling(parent))).collect();
    leases.into_iter().filter(|lease| !parents.contains(&lease.key)).collect()
}

/// The start in the rows, if the setting is another one and no record was read from it.
fn unread_start(served: &Served, table: &Table) -> Option<PinnedStart> {
    let pinned = pinned_start(served, table)?;
    if is_start(served.start, &pinned.start) {
        return None;
    }
    let from_oldest = pinned.start.checkpoint == Checkpoint::TrimHorizon;
    if from_oldest && pinned.filled && served.keys.id.is_some() {
        // A stream's row also names a start if another kind of consumer left the leases.
        return None;
    }
    let leases: Vec<&Lease> = leases_of(served, table).collect();
    let keys: BTreeSet<&LeaseKey> = leases.iter().map(|lease| &lease.key).collect();
    let has_parent = |lease: &Lease| lease.parents.iter().any(|parent| keys.contains(&lease.sibling(parent)));
    // A finished parent's row may be gone. Its child's row then looks like one of the first leases,
    // if those start at the oldest record, too.
    let may_have_had_parent = |lease: &Lease| from_oldest && pinned.filled && !lease.parents.is_empty();
    let is_first = |lease: &Lease| {
        lease.checkpoint == pinned.start.checkpoint
            && (from_oldest || lease.start_ms == pinned.start.at_ms)
            && !may_have_had_parent(lease)
    };
    let is_of_sync = |lease: &Lease| lease.checkpoint == Checkpoint::TrimHorizon && has_parent(lease);
    let is_unread = |lease: &&Lease| {
        // The names of workers that could not read it prove nothing.
        let extras = CheckpointExtras { unreadable_by: Vec::new(), ..lease.extras.clone() };
        let is_bare = extras == CheckpointExtras::default() && !lease.was_written_externally();
        is_bare && (is_first(lease) || is_of_sync(lease))
    };
    leases.iter().all(is_unread).then_some(pinned)
}

fn delete(lease: &Lease) -> Write {
    Write::DeleteUnread {
        lease: lease.key.clone(),
        counter: lease.counter,
        checkpoint: lease.checkpoint.clone(),
        start_ms: lease.start_ms,
    }
}

/// Deletes the row that contains the start. The next worker that registers creates the fleet row
/// again.
fn delete_row(served: &Served, table: &Table) -> Option<Write> {
    match &served.keys.id {
        None => table.fleet.as_ref().map(|fleet| Write::DeleteFleet {
            term: fleet.term,
            heartbeat: fleet.heartbeat,
            wake: fleet.wake,
            sessions: fleet.sessions,
        }),
        Some(id) => table.streams.iter().find(|row| row.id == *id).cloned().map(Write::DeleteStream),
    }
}

/// The writes of one step, a few at a time. One that fails is sent again, alone; one that is
/// refused is left to the next read of the table.
#[derive(Debug)]
pub(super) struct Step {
    left: Vec<Write>,
    in_flight: BTreeMap<RowKey, Write>,
    failed: Vec<Write>,
}

impl Step {
    pub(super) fn new(writes: Vec<Write>) -> Self {
        Step { left: writes, in_flight: BTreeMap::new(), failed: Vec::new() }
    }

    /// The writes to send now.
    pub(super) fn send(&mut self) -> Vec<Write> {
        let room = MOST_IN_FLIGHT.saturating_sub(self.in_flight.len());
        let sent: Vec<Write> = self.left.drain(..room.min(self.left.len())).collect();
        self.in_flight.extend(sent.iter().map(|write| (write.key(), write.clone())));
        sent
    }

    /// A write returned.
    pub(super) fn on_answer(&mut self, row: &RowKey, has_failed: bool) {
        if let Some(write) = self.in_flight.remove(row).filter(|_| has_failed) {
            self.failed.push(write);
        }
    }

    /// Makes the failed writes due again.
    pub(super) fn retry(&mut self) {
        self.left.append(&mut self.failed);
    }

    /// True if every remaining write has failed and waits for its retry.
    pub(super) fn is_waiting(&self) -> bool {
        self.left.is_empty() && self.in_flight.is_empty() && !self.failed.is_empty()
    }

    pub(super) fn is_done(&self) -> bool {
        self.left.is_empty() && self.in_flight.is_empty() && self.failed.is_empty()
    }
}

#[cfg(test)]
mod tests;
