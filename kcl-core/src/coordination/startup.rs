//! Runs the examination of the table until the worker may use it, and keeps what it learned for the first term.

use super::call::{CallId, Op, Reply, StartCall, TimerId};
use super::effects::Effects;
use super::leader::StaleOwnerTracker;
use super::start::{Start, StartEvent};
use super::streams::Streams;
use crate::clock::Time;
use crate::lease::row::RowKey;
use crate::lease::{Consistency, Page, Table, Written};
use crate::shard::Listing;
use std::time::Duration;

/// The examination, while it is under way.
#[derive(Debug, Default)]
pub(super) struct Startup {
    examination: Option<Start>,
    /// Since when the leases of external writers have not changed.
    stale_owners: StaleOwnerTracker,
}

impl Startup {
    /// Begins to examine the table.
    pub(super) fn begin(&mut self, mut examination: Start, effects: &mut Effects) {
        examination.read_table(effects);
        self.examination = Some(examination);
    }

    pub(super) fn is_under_way(&self) -> bool {
        self.examination.is_some()
    }

    pub(super) fn on_timer(&mut self, effects: &mut Effects) {
        if let Some(examination) = &mut self.examination {
            examination.on_timer(effects);
        }
    }

    pub(super) fn on_corrected(&mut self, row: &RowKey, answer: &Reply<Written>, effects: &mut Effects) {
        if let Some(examination) = &mut self.examination {
            examination.on_corrected(row, answer, effects);
        }
    }

    pub(super) fn on_page(&mut self, page: &Page, sent: Time, effects: &Effects) {
        if let Some(examination) = &mut self.examination {
            examination.on_page(page, sent, effects);
        }
    }

    pub(super) fn on_shards(&mut self, answer: Reply<Listing>, effects: &mut Effects) {
        if let Some(examination) = &mut self.examination {
            examination.on_shards(answer, effects);
        }
    }

    pub(super) fn on_table(&mut self, answer: Reply<Table>, streams: &Streams, effects: &mut Effects) -> StartEvent {
        match &mut self.examination {
            Some(examination) => examination.on_table(answer, streams, effects),
            None => StartEvent::Nothing,
        }
    }

    /// The worker may use the table.
    pub(super) fn end(&mut self) {
        if let Some(examination) = self.examination.take() {
            self.stale_owners = examination.into_stale_owners();
        }
    }

    /// Since when the leases of external writers have not changed, for the first term of this worker.
    pub(super) fn take_stale_owners(&mut self) -> StaleOwnerTracker {
        std::mem::take(&mut self.stale_owners)
    }

    /// Reads one row, to know that the table can be reached.
    pub(super) fn read_contact(effects: &mut Effects) {
        let read = Op::Read(vec![RowKey::Fleet], Consistency::Eventual);
        effects.call(CallId::Start(StartCall::Contact), read);
    }

    /// The row was read. It is read again until there is a session, whose heartbeats and polls show the same.
    /// `longest_gap`: a longer time without an answer voids the evidence of staleness.
    pub(super) fn on_contact(&self, longest_gap: Duration, effects: &mut Effects) {
        if self.is_under_way() {
            effects.set_timer(TimerId::Contact, effects.now + longest_gap / 4);
        }
    }
}
