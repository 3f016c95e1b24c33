//! A `start` that was corrected before any record was read from the old one. Pure.
//!
//! The table keeps the start of an application, so that a restart does not change it. A mistaken start must not stay there
//! either: while nothing was read from it, a worker that starts with another one takes it back and begins anew.
//!
//! "Nothing was read" is what rows say: each lease is as the first sync pass, or one after it, created it. In doubt the
//! old start stays. And no worker that began with it may be alive: sessions that serve the stream have ended, or were silent for
//! their `failover_time`, and are fenced first.
//!
//! Each step leaves rows from which the next worker decides the same again, so a crash between two steps does no harm: leases
//! are deleted before the row that says how they began, and children before their parents.

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

/// Writes under way at once.
const MOST_IN_FLIGHT: usize = 64;

/// A start that is taken back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Corrected {
    /// Of which stream, where there are several.
    pub(super) stream: Option<StreamId>,
    /// The start that the application begins with now.
    pub(super) setting: String,
    /// The one that it had begun with.
    pub(super) pinned: String,
}

/// What one read of the table asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Verdict {
    /// No start is to be corrected now.
    Nothing,
    /// A worker that began with the other start may be alive. To be read again after this.
    Look { after: Duration, of: Vec<Corrected> },
    /// The next step. To be read again after these writes.
    Write { writes: Vec<Write>, of: Vec<Corrected> },
}

/// Watches the sessions that stand against a correction, over as many reads of the table as that takes.
#[derive(Debug)]
pub(super) struct Correction {
    /// For sessions that do not say theirs.
    failover_time: Duration,
    seen: BTreeMap<WorkerId, Liveness>,
}

impl Correction {
    pub(super) fn new(failover_time: Duration) -> Self {
        Correction { failover_time, seen: BTreeMap::new() }
    }

    /// A full read, which was asked for at `asked` and came at `now`, showed the table.
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
                // It reads what it began with.
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

/// A session of a table of one stream names none.
fn serves(session: &Session, served: &Served) -> bool {
    match (&session.streams, &served.keys.id) {
        (Some(streams), Some(id)) => streams.contains(id),
        (None, _) | (_, None) => true,
    }
}

fn leases_of<'a>(served: &'a Served, table: &'a Table) -> impl Iterator<Item = &'a Lease> {
    table.leases.iter().filter(|lease| served.keys.has(lease))
}

/// The leases without a child's lease. Each step deletes these only: a lease whose parent's row is gone would count as read.
fn youngest_leases<'a>(served: &'a Served, table: &'a Table) -> Vec<&'a Lease> {
    let leases: Vec<&Lease> = leases_of(served, table).collect();
    let parents: BTreeSet<LeaseKey> =
        leases.iter().flat_map(|lease| lease.parents.iter().map(|parent| lease.sibling(parent))).collect();
    leases.into_iter().filter(|lease| !parents.contains(&lease.key)).collect()
}

/// The start that rows say, if the setting is another one and no record was read from it.
fn unread_start(served: &Served, table: &Table) -> Option<PinnedStart> {
    let pinned = pinned_start(served, table)?;
    if is_start(served.start, &pinned.start) {
        return None;
    }
    let from_oldest = pinned.start.checkpoint == Checkpoint::TrimHorizon;
    if from_oldest && pinned.filled && served.keys.id.is_some() {
        // A stream's row also says so where another kind of consumer left the leases.
        return None;
    }
    let leases: Vec<&Lease> = leases_of(served, table).collect();
    let keys: BTreeSet<&LeaseKey> = leases.iter().map(|lease| &lease.key).collect();
    let has_parent = |lease: &Lease| lease.parents.iter().any(|parent| keys.contains(&lease.sibling(parent)));
    // A finished parent's row may be gone. Its child's row then looks like one of the first leases, if those start with the
    // oldest record as well.
    let may_have_had_parent = |lease: &Lease| from_oldest && pinned.filled && !lease.parents.is_empty();
    let is_first = |lease: &Lease| {
        lease.checkpoint == pinned.start.checkpoint
            && (from_oldest || lease.start_ms == pinned.start.at_ms)
            && !may_have_had_parent(lease)
    };
    let is_of_sync = |lease: &Lease| lease.checkpoint == Checkpoint::TrimHorizon && has_parent(lease);
    let is_unread = |lease: &&Lease| {
        // Who could not read it says nothing against it.
        let beside = CheckpointExtras { unreadable_by: Vec::new(), ..lease.extras.clone() };
        let is_bare = beside == CheckpointExtras::default() && !lease.was_written_externally();
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

/// Deletes the row that says the start. The fleet row is made again by whoever registers next.
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

/// The writes of one step, of which a few are under way at once. One that fails is sent again, alone; one that is refused is
/// left to the next read of the table.
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

    /// One came back.
    pub(super) fn on_answer(&mut self, row: &RowKey, has_failed: bool) {
        if let Some(write) = self.in_flight.remove(row).filter(|_| has_failed) {
            self.failed.push(write);
        }
    }

    /// Those that failed are due again.
    pub(super) fn retry(&mut self) {
        self.left.append(&mut self.failed);
    }

    /// Whether all that is left has failed, and waits for its retry.
    pub(super) fn is_waiting(&self) -> bool {
        self.left.is_empty() && self.in_flight.is_empty() && !self.failed.is_empty()
    }

    pub(super) fn is_done(&self) -> bool {
        self.left.is_empty() && self.in_flight.is_empty() && self.failed.is_empty()
    }
}

#[cfg(test)]
mod tests;
