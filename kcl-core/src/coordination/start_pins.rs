//! Determines the instant that LATEST or AT_TIMESTAMP means on a lease that an external writer created.
//!
//! Our own leases have the instant in `kclStart`. Without it, each new owner of a lease at LATEST would start at another
//! instant, and records in between would be skipped.

use super::backoff::RetryPolicy;
use super::call::{CallId, LeaseCall, LeaseTimer, Op, Reply, TimerId};
use super::effects::Effects;
use super::intervals::LATEST_MARGIN_MS;
use super::streams::Served;
use crate::config::Start;
use crate::lease::row::{Lease, LeaseKey};
use crate::record::{Checkpoint, StreamId, unix_millis};
use crate::shard::{ListWhich, Listing};
use std::collections::BTreeMap;

/// The leases for which the service's time was asked.
#[derive(Debug, Default)]
pub(super) struct StartPins {
    waiting: BTreeMap<LeaseKey, Lease>,
}

impl StartPins {
    /// Whether this lease has no instant and needs one.
    pub(super) fn needs_pin(lease: &Lease) -> bool {
        lease.start_ms.is_none() && matches!(lease.checkpoint, Checkpoint::Latest | Checkpoint::AtTimestamp)
    }

    /// The instant to pin, in ms. `None`: the service's time is asked for, and [`on_listing`](Self::on_listing) returns
    /// the instant.
    pub(super) fn instant_of(&mut self, lease: Lease, served: &Served, effects: &mut Effects) -> Option<i64> {
        match (&lease.checkpoint, served.start) {
            (Checkpoint::AtTimestamp, Start::AtTimestamp(time)) => Some(unix_millis(time)),
            // Java KCL has the instant in its configuration only. It is unknown here, so no record is skipped.
            (Checkpoint::AtTimestamp, Start::TrimHorizon | Start::Latest) => Some(0),
            (Checkpoint::Latest | Checkpoint::At(_) | Checkpoint::TrimHorizon | Checkpoint::ShardEnd, _) => {
                let key = lease.key.clone();
                self.waiting.insert(key.clone(), lease);
                Self::ask(key, served, effects);
                None
            }
        }
    }

    /// Asks the service for its time: the answer to a list of shards has it.
    pub(super) fn ask(lease: LeaseKey, served: &Served, effects: &mut Effects) {
        let list = Op::List(served.keys.id.clone(), ListWhich::AtLatest);
        effects.call(CallId::Lease(lease, LeaseCall::StartTime), list);
    }

    /// Returns a lease and the instant to pin.
    pub(super) fn on_listing(
        &mut self,
        lease: &LeaseKey,
        answer: Reply<Listing>,
        effects: &mut Effects,
    ) -> Option<(Lease, i64)> {
        match answer.ok().and_then(|listing| listing.answered_at_ms) {
            Some(now_ms) => Some((self.waiting.remove(lease)?, now_ms - LATEST_MARGIN_MS)),
            None => {
                effects.retry(TimerId::Lease(lease.clone(), LeaseTimer::StartTime), RetryPolicy::CALL);
                None
            }
        }
    }

    /// The worker no longer serves this stream.
    pub(super) fn forget_stream(&mut self, stream: &StreamId) {
        self.waiting.retain(|lease, _| lease.stream().as_ref() != Some(stream));
    }
}
