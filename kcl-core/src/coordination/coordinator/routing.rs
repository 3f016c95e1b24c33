//! Routes each answer and each due timer to the component that asked for it.

use super::Coordinator;
use crate::coordination::call::Failure;
use crate::coordination::call::{
    Answer, Answered, CallId, DepartureCall, FleetRowCall, LeaderCall, LeaseCall, LeaseTimer, Refusal, StartCall,
    StreamCall, TimerId,
};
use crate::coordination::event::CoordinationEvent;
use crate::coordination::leader_wake::LeaderWake;
use crate::coordination::startup::Startup;
use crate::error::Error;
use crate::lease::row::LeaseKey;
use crate::record::StreamId;

impl Coordinator {
    pub(super) fn on_answered(&mut self, answered: Answered) {
        if answered.answer.is_from_table() {
            self.effects.contact.answered(self.effects.now);
        }
        if self.effects.awaits(&answered)
            && let Some(answered) = self.take_page(answered)
        {
            self.on_answer(answered);
        }
    }

    fn on_answer(&mut self, answered: Answered) {
        let Answered { id, sent, answer, .. } = answered;
        if let Some(Failure::Refused(refusal)) = answer.failure() {
            self.on_refusal(&id, refusal);
        } else if answer.failure().is_none()
            && let Some(timer) = id.retried_by()
        {
            self.effects.succeeded(&timer);
        }
        match id {
            CallId::Start(call) => self.on_start_answer(call, answer),
            CallId::FleetRow(call) => {
                let event = match call {
                    FleetRowCall::ReadTable => self.fleet_row.on_table(answer.table(), &mut self.effects),
                    FleetRowCall::Write => self.fleet_row.on_written(answer.written(), &mut self.effects),
                };
                self.on_fleet_row_event(event);
            }
            CallId::Session => self.on_session_answer(sent, answer.written()),
            CallId::Wake => {
                if let Some(fleet) = self.per_session.wake.on_answer(answer.written(), &mut self.effects) {
                    self.see_fleet(fleet);
                }
            }
            CallId::FleetPoll => self.on_fleet_poll(answer.rows()),
            CallId::TakeTerm => self.on_term_answer(answer.written()),
            CallId::AssignmentRow => self.on_assignment_row(answer.rows()),
            CallId::Leader(LeaderCall::Settings) => self.on_fleet_settings_answer(answer.written()),
            CallId::Leader(call) => self.on_leader_answer(&call, answer),
            CallId::ShardSync => {
                let (sync, streams) = (&mut self.per_session.shard_sync, &self.identity.streams);
                sync.on_table(answer.table(), streams, &mut self.effects);
            }
            CallId::Stream(stream, call) => self.on_stream_answer(&stream, call, answer),
            CallId::StreamRemoval => {
                self.stream_removal.on_table(&answer.table(), &self.identity.me, &mut self.effects);
            }
            CallId::AwaitedLeases => self.per_session.claims.on_read(answer.rows(), &mut self.effects),
            CallId::Lease(lease, call) => self.on_lease_answer(&lease, call, answer),
            CallId::VerifyRows => self.on_verified_rows(answer.rows()),
            CallId::Replay => self.on_replay_table(answer.table()),
            CallId::Departure(call) => {
                if let Some(departure) = self.shutdown.departure_mut() {
                    match call {
                        DepartureCall::ReadFleet => departure.on_fleet(answer.rows(), &mut self.effects),
                        DepartureCall::ReadTable => departure.on_table(answer.table(), &mut self.effects),
                        DepartureCall::Write => departure.on_written(answer.written(), &mut self.effects),
                    }
                }
                self.end_if_departed();
            }
        }
    }

    fn on_start_answer(&mut self, call: StartCall, answer: Answer) {
        match call {
            StartCall::ReadTable => {
                let event = self.startup.on_table(answer.table(), &self.identity.streams, &mut self.effects);
                self.on_start_event(event);
            }
            StartCall::ListShards => self.startup.on_shards(answer.listing(), &mut self.effects),
            StartCall::Correct(row) => self.startup.on_corrected(&row, &answer.written(), &mut self.effects),
            StartCall::Contact => self.startup.on_contact(self.longest_gap(), &mut self.effects),
        }
    }

    fn on_stream_answer(&mut self, stream: &StreamId, call: StreamCall, answer: Answer) {
        if matches!(answer.failure(), Some(Failure::Refused(refusal)) if refusal.missing) {
            self.on_missing_stream(stream);
        }
        let (sync, effects) = (&mut self.per_session.shard_sync, &mut self.effects);
        let has_changed_leases = match call {
            StreamCall::Shards => sync.on_listing(stream, answer.listing(), effects),
            StreamCall::SyncPass => sync.on_written(stream, answer.written(), effects),
            StreamCall::LeaseRow(lease) => sync.on_lease_written(stream, &lease, answer.written(), effects),
        };
        if has_changed_leases {
            self.wake_leader();
        }
    }

    fn on_lease_answer(&mut self, lease: &LeaseKey, call: LeaseCall, answer: Answer) {
        match call {
            LeaseCall::Claim => self.on_claim_answer(lease, answer.written()),
            LeaseCall::Write => self.on_held_answer(lease, answer.written()),
            LeaseCall::CreateChild(child) => self.on_child_created(lease, child, answer.written()),
            LeaseCall::ParentsOf(child) => self.on_parents_of(lease, child, answer.rows()),
            LeaseCall::ChildrensParents => self.on_childrens_parents(lease, answer.rows()),
            LeaseCall::StartTime => self.on_start_time(lease, answer.listing()),
        }
    }

    pub(super) fn on_timer(&mut self, timer: TimerId) {
        let effects = &mut self.effects;
        match timer {
            TimerId::Start => self.startup.on_timer(effects),
            TimerId::Contact => Startup::read_contact(effects),
            TimerId::NextPage(id) => {
                if let Some(page) = effects.table_reads.next_page(&id) {
                    effects.call(id, page);
                }
            }
            TimerId::FleetRow => self.fleet_row.on_timer(effects),
            TimerId::Session => self.on_session_timer(),
            TimerId::Wake => LeaderWake::on_timer(effects),
            TimerId::FleetPoll => self.fleet_poll.on_timer(effects),
            TimerId::TakeTerm => self.fleet_poll.on_term_timer(effects),
            TimerId::Leader(timer) => self.on_leader_timer(timer),
            TimerId::ShardSync => {
                let known = self.per_session.term.as_ref().and_then(|term| term.known());
                self.per_session.shard_sync.on_timer(known, &self.identity.streams, effects);
            }
            TimerId::Stream(stream) => self.per_session.shard_sync.on_pass_timer(&stream, effects),
            TimerId::StreamRemoval => self.stream_removal.on_timer(),
            TimerId::AwaitedLeases => self.per_session.claims.on_read_timer(effects),
            TimerId::Lease(lease, timer) => self.on_lease_timer(lease, timer),
            TimerId::Reconcile => self.on_reconcile_timer(),
            TimerId::Departure => self.on_departure_timer(),
        }
    }

    fn on_lease_timer(&mut self, lease: LeaseKey, timer: LeaseTimer) {
        let effects = &mut self.effects;
        match timer {
            LeaseTimer::Claim => self.per_session.claims.on_timer(&lease),
            LeaseTimer::Write => {
                if let Some(held) = self.per_session.held.get_mut(&lease) {
                    held.on_timer(effects);
                }
            }
            LeaseTimer::CreateChild(child) => self.create_child(&lease, child),
            LeaseTimer::ChildrensParents => {
                self.per_session.reshards.read_parents(&lease, &self.identity.streams, effects);
            }
            LeaseTimer::StartTime => self.ask_start_time(lease),
        }
    }

    /// A refusal ends a worker that is starting, if a person must act: its operator is watching. A worker that has
    /// registered repeats the call with growing pauses until the refusal ends, with or without leases: a fleet must not
    /// shrink because a key, a role or a table was unavailable for a while.
    pub(super) fn on_refusal(&mut self, id: &CallId, refusal: &Refusal) {
        let is_stream = matches!(id, CallId::Stream(_, StreamCall::Shards | StreamCall::SyncPass));
        // The stream is reported as missing.
        if !(refusal.missing && is_stream) {
            self.effects.emit(CoordinationEvent::Refused { message: refusal.message.clone() });
        }
        // The other streams of several go on.
        let is_start_time = matches!(id, CallId::Lease(_, LeaseCall::StartTime));
        let of_one_stream = (is_stream || is_start_time) && self.identity.streams.are_several();
        if self.session.has_registered() || of_one_stream {
            return;
        }
        if let Some(code) = refusal.code {
            self.end(Err(Error::new(code, refusal.message.clone())));
        }
    }
}
