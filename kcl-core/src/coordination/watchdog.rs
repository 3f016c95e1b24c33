//! Checks each second that every held lease has a live consumer and makes progress, and repairs what it can.
//!
//! Its parts: [`super::stall`] decides about stalled stages, [`super::unreadable`] about shards that cannot be read.

use super::consumers::Consumers;
use super::effects::Effects;
use super::held_lease::{HeldLease, Why};
use super::intervals;
use super::stall::{Deadlines, Stage, StallEvent, Step};
use super::unreadable::UnreadableLeases;
use crate::clock::Time;
use crate::config::Settings;
use crate::coordination::event::CoordinationEvent;
use crate::lease::row::LeaseKey;
use std::collections::BTreeMap;

/// What the watchdog remembers from one check to the next. It outlives a session, as consumers do.
#[derive(Debug)]
pub(super) struct Watchdog {
    deadlines: Deadlines,
    /// Leases that were released because their shards stalled here, and until when this worker does not claim them.
    stalled_here: BTreeMap<LeaseKey, Time>,
    unreadable: UnreadableLeases,
    /// Consumers whose delivery is closed and that are not gone, and since when, or when that was last logged.
    lingering: BTreeMap<LeaseKey, Time>,
}

impl Watchdog {
    pub(super) fn new(settings: &Settings) -> Self {
        Watchdog {
            deadlines: Deadlines::new(settings),
            stalled_here: BTreeMap::new(),
            unreadable: UnreadableLeases::default(),
            lingering: BTreeMap::new(),
        }
    }

    /// Whether this worker is not to claim the lease yet, because its shard stalled here.
    pub(super) fn refuses(&self, lease: &LeaseKey) -> bool {
        self.stalled_here.contains_key(lease)
    }

    /// Releases leases without a consumer, closes consumers without a lease, and logs consumers that do not end.
    pub(super) fn match_consumers(
        &mut self,
        held: &mut BTreeMap<LeaseKey, HeldLease>,
        consumers: &Consumers,
        effects: &mut Effects,
    ) {
        for (lease, held) in held.iter_mut() {
            if held.is_working() && !consumers.contains(lease) {
                let event = CoordinationEvent::Reconciled { lease: lease.clone(), what: "a lease without a consumer" };
                effects.emit(event);
                held.release_now(Why::ConsumerGaveUp, effects);
            }
        }
        let now = effects.now;
        for (lease, delivery) in consumers.iter() {
            let is_held = held.get(lease).is_some_and(|held| held.delivery.fencing_token() == delivery.fencing_token());
            if !is_held && !delivery.is_closed() {
                let event = CoordinationEvent::Reconciled { lease: lease.clone(), what: "a consumer without a lease" };
                effects.emit(event);
                delivery.close();
            }
            if !delivery.is_closed() {
                self.lingering.remove(lease);
                continue;
            }
            let since = self.lingering.entry(lease.clone()).or_insert(now);
            if now.since(*since) >= intervals::LINGERING {
                *since = now;
                effects.emit(CoordinationEvent::ConsumerLingers { lease: lease.clone() });
            }
        }
        self.lingering.retain(|lease, _| consumers.contains(lease));
    }

    /// Reports shards that cannot be read, and releases the leases that another worker may be able to read.
    pub(super) fn check_reads(
        &mut self,
        held: &mut BTreeMap<LeaseKey, HeldLease>,
        settings: &Settings,
        effects: &mut Effects,
    ) {
        self.unreadable.check(held, settings, effects);
    }

    /// Reports stalled shards, and restarts or releases them.
    pub(super) fn check_stalls(
        &mut self,
        held: &mut BTreeMap<LeaseKey, HeldLease>,
        settings: &Settings,
        effects: &mut Effects,
    ) {
        let now = effects.now;
        self.stalled_here.retain(|_, until| now < *until);
        let mut steps = Vec::new();
        for (lease, held) in held.iter_mut().filter(|(_, held)| held.is_working()) {
            for event in held.check_progress(now, &self.deadlines) {
                let lease = lease.clone();
                match event {
                    StallEvent::Stalled { stage, lasted, step } => {
                        steps.push((lease.clone(), stage, step));
                        effects.emit(CoordinationEvent::ShardStalled { lease, stage, stood: lasted, step });
                    }
                    StallEvent::Over { stage, lasted } => {
                        effects.emit(CoordinationEvent::StallOver { lease, stage, stood: lasted });
                    }
                }
            }
        }
        for (lease, stage, step) in steps {
            if let Some(held) = held.get_mut(&lease) {
                self.repair(&lease, held, (stage, step), settings, effects);
            }
        }
    }

    fn repair(
        &mut self,
        lease: &LeaseKey,
        held: &mut HeldLease,
        stall: (Stage, Step),
        settings: &Settings,
        effects: &mut Effects,
    ) {
        match stall {
            (_, Step::Alarm) => {}
            (_, Step::RestartFetch) => held.delivery.restart_fetch(),
            (_, Step::RestartConsumer) => held.restart(),
            (Stage::Fetch, Step::GiveUp) => {
                // If enough workers have tried, the lease stays here, and its reader may be the cause.
                if !self.unreadable.release(held, effects) {
                    held.delivery.restart_fetch();
                }
            }
            (Stage::Process | Stage::Acknowledge | Stage::Checkpoint, Step::GiveUp) => {
                held.release_now(Why::Stalled, effects);
                // Another worker gets time to claim it: here it would stall again.
                self.stalled_here.insert(lease.clone(), effects.now + settings.failover_time * 2);
            }
        }
    }
}
