//! Holds everything that one session owns. When the session ends, the value is replaced by a new one.

use super::assignment_reader::AssignmentReader;
use super::claims::Claims;
use super::held_lease::HeldLease;
use super::leader::Term;
use super::leader_wake::LeaderWake;
use super::replay::ReplayCheck;
use super::reshards::Reshards;
use super::row_verifier::RowVerifier;
use super::shard_sync::ShardSync;
use super::start_pins::StartPins;
use super::throughput::ThroughputMeter;
use crate::config::Settings;
use crate::lease::row::{LeaseKey, WorkerId};
use std::collections::BTreeMap;

/// The components whose state is void when the session ends. A field that is added here cannot leak into the next
/// session.
#[derive(Debug)]
pub(super) struct PerSession {
    pub(super) assignment: AssignmentReader,
    pub(super) claims: Claims,
    pub(super) start_pins: StartPins,
    pub(super) held: BTreeMap<LeaseKey, HeldLease>,
    pub(super) reshards: Reshards,
    pub(super) verifier: RowVerifier,
    pub(super) throughput: ThroughputMeter,
    pub(super) shard_sync: ShardSync,
    pub(super) replay: ReplayCheck,
    pub(super) wake: LeaderWake,
    /// The term that this worker leads, if any.
    pub(super) term: Option<Term>,
}

impl PerSession {
    pub(super) fn new(me: WorkerId, settings: &Settings) -> Self {
        PerSession {
            assignment: AssignmentReader::default(),
            claims: Claims::new(me, settings.max_claims_in_flight),
            start_pins: StartPins::default(),
            held: BTreeMap::new(),
            reshards: Reshards::default(),
            verifier: RowVerifier::default(),
            throughput: ThroughputMeter::default(),
            shard_sync: ShardSync::new(settings.shard_sync_interval),
            replay: ReplayCheck::default(),
            wake: LeaderWake::default(),
            term: None,
        }
    }

    /// The number of leases held.
    pub(super) fn load(&self) -> u32 {
        u32::try_from(self.held.len()).unwrap_or(u32::MAX)
    }

    /// Whether leases are held or claimed.
    pub(super) fn has_leases(&self) -> bool {
        !self.held.is_empty() || !self.claims.is_empty()
    }
}
