//! Schedules shard sync for a table's only stream. A list that fails or is slow delays no
//! assignment, and does not cost the leader its term at once.

use super::stage::Stage;
use super::sync_pass::{Done, SyncEvent, SyncPass};
use super::term::{Term, TermEvent};
use crate::clock::Time;
use crate::coordination::backoff::RetryPolicy;
use crate::coordination::effects::Effects;
use crate::lease::row::{Lease, LeaseKey};
use crate::shard::ListHistory;
use std::collections::BTreeMap;

/// A leader whose lists fail for this many sync intervals resigns, because another worker may be
/// able to list (other permissions, another network). Soon if nothing can be read without a list;
/// late otherwise, because every change of the leader delays assignments.
const MOST_FAILED: u32 = 2;
const MOST_FAILED_WHEN_FILLED: u32 = 10;

impl Term {
    /// Starts a pass if one is due.
    pub(super) fn start_sync_if_due(&mut self, effects: &mut Effects) {
        let Some(stream) = &self.only_stream else { return };
        let first_assignment_published = !self.sent.is_empty();
        let due = effects.now >= self.sync_at && (!self.filled || first_assignment_published);
        if due && self.sync_pass.is_none() && !self.draining {
            let (keys, pinned) = (stream.keys.clone(), self.pinned.clone());
            self.sync_pass = Some(SyncPass::begin(keys, stream.start, self.filled, pinned, effects));
        }
    }

    /// Starts no further pass, and repeats no write of the current one.
    pub(super) fn stop_sync(&mut self) {
        if let Some(sync_pass) = &mut self.sync_pass {
            sync_pass.stop();
        }
        if self.sync_pass.as_ref().is_some_and(|sync_pass| !sync_pass.is_writing()) {
            self.sync_pass = None;
        }
    }

    pub(crate) fn on_sync_timer(&mut self, effects: &mut Effects) {
        if let Some(sync_pass) = &mut self.sync_pass {
            sync_pass.on_timer(effects);
        }
    }

    /// An answer to a call of the pass under way, which `answered` passes to it.
    pub(super) fn on_sync_answer(
        &mut self,
        effects: &mut Effects,
        answered: impl FnOnce(&mut SyncPass, &BTreeMap<LeaseKey, Lease>, &mut ListHistory, &mut Effects) -> SyncEvent,
    ) -> TermEvent {
        let Some(sync_pass) = &mut self.sync_pass else { return TermEvent::Nothing };
        match answered(sync_pass, &self.leases, &mut self.list_history, effects) {
            SyncEvent::Going => {}
            SyncEvent::Fleet(fleet) => {
                self.pinned = fleet.start.clone();
                return TermEvent::Fleet(fleet);
            }
            SyncEvent::Lease { key, lease, done } => {
                match lease {
                    Some(lease) => {
                        if let Stage::Table { .. } = self.stage {
                            self.confirmed.push((*lease).clone());
                        }
                        self.leases.insert(key, *lease);
                    }
                    None => drop(self.leases.remove(&key)),
                }
                if let Some(done) = done {
                    self.sync_finished(done, effects);
                }
            }
            SyncEvent::Done(done) => self.sync_finished(done, effects),
            SyncEvent::Failed => self.sync_failed(effects),
        }
        TermEvent::Nothing
    }

    fn sync_finished(&mut self, done: Done, effects: &mut Effects) {
        self.sync_pass = None;
        if self.draining {
            return;
        }
        self.filled = true;
        (self.lists_failed, self.lists_fail_since) = (0, None);
        let next = match done {
            Done::Settled => self.config.sync_interval,
            Done::Unsettled => RetryPolicy::LIST.pause(1).min(self.config.sync_interval),
        };
        self.sync_at = effects.now + effects.jittered(next);
        self.soon(effects);
    }

    fn sync_failed(&mut self, effects: &mut Effects) {
        self.sync_pass = None;
        self.lists_fail_since.get_or_insert(effects.now);
        let policy = if self.filled { RetryPolicy::LIST } else { RetryPolicy::FIRST_LIST };
        self.lists_failed = self.lists_failed.saturating_add(1);
        self.sync_at = effects.now + effects.jittered(policy.pause(self.lists_failed));
    }

    /// Whether another worker should take the term, because this one cannot list the shards.
    pub(super) fn cannot_list(&self, now: Time) -> bool {
        let most = if self.filled { MOST_FAILED_WHEN_FILLED } else { MOST_FAILED };
        self.lists_fail_since.is_some_and(|since| now.since(since) >= self.config.sync_interval * most)
    }
}
