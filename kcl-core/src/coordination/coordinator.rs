//! The whole of one worker's coordination as a machine: events in, calls and consumers to start out. No I/O.

use super::claims::Claims;
use super::departure::Departure;
use super::effects::{Answer, Answered, Call, CallId, Effects, Failure, Op, Refusal};
use super::fleet_poll::{self, FleetPoll};
use super::fleet_row::{self, FleetRow};
use super::held_lease::HeldLease;
use super::leader::{self, StaleOwnerTracker, Term};
use super::replay_poll::ReplayPoll;
use super::session::{self, Session};
use super::shard_sync::ShardSync;
use super::signals::Signals;
use super::staleness::Contact;
use super::start::{self, Start};
use super::stream_removal::{Elsewhere, StreamRemoval};
use super::streams::{Change, Streams};
use super::table_read::TableReads;
use super::throughput::ThroughputMeter;
use super::unreadable::UnreadableLeases;
use super::watchdog::{self, Deadlines};
use crate::clock::{Clock, Time};
use crate::config::{BalanceBy, Settings, timing};
use crate::coordination::event::{CoordinationEvent, SESSION_OVER};
use crate::error::{Code, Error};
use crate::lease::row::{Fleet, FleetSettings, Lease, LeaseKey, ProcessId, RowKey, SessionNumber, WorkerId};
use crate::lease::{Consistency, Row, Table, Write, Written};
use crate::process::ThisProcess;
use crate::processor::{DeliveryGate, Report, Reports, ShardDelivery};
use crate::record::StreamId;
use crate::shard::Shard;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// Who coordinates what.
#[derive(Debug, Clone)]
pub(crate) struct Identity {
    pub(crate) me: WorkerId,
    /// The process that the worker runs in, as its session row names it.
    pub(crate) process: ThisProcess,
    pub(crate) table: String,
    pub(crate) streams: Streams,
    /// Whether checkpoints go to another store as they come.
    pub(crate) elsewhere: bool,
}

/// What comes from outside.
#[derive(Debug)]
pub(crate) enum Event {
    /// A call came back.
    Answered(Box<Answered>),
    /// A consumer tells how it goes.
    Report(Report),
    /// The worker is to stop; a second one means at once.
    Shutdown { within: Duration },
    /// Something happened to one of several streams.
    Change(Change),
    /// A stream was described, one of several or the only one: it keeps records that long.
    Retention { stream: Option<StreamId>, retention: Duration },
    /// A timer may be due.
    Due,
}

/// What is to be done outside.
#[derive(Debug, Default)]
pub(crate) struct Step {
    pub(crate) calls: Vec<Call>,
    pub(crate) start: Vec<Arc<ShardDelivery>>,
    pub(crate) happened: Vec<CoordinationEvent>,
    /// A stream that is to be described, one of several or the only one.
    pub(crate) describe: Option<Option<StreamId>>,
    /// Streams that were to be stopped, and of which nothing is left; who else serves them, if that was asked.
    pub(crate) stopped: Vec<(StreamId, Elsewhere)>,
    /// The worker is done.
    pub(crate) finished: Option<Result<(), Error>>,
}

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct Coordinator {
    pub(super) identity: Identity,
    pub(super) settings: Settings,
    pub(super) effects: Effects,
    /// Full reads of the table under way.
    pub(super) reads: TableReads,
    pub(super) gate: Arc<DeliveryGate>,
    pub(super) reports: Reports,
    pub(super) starting: Option<Start>,
    pub(super) resting: StaleOwnerTracker,
    pub(super) fleet_row: FleetRow,
    pub(super) session: Session,
    pub(super) watch: FleetPoll,
    pub(super) term: Option<Term>,
    /// The (term, version) of the plan that was read last.
    pub(super) plan_seen: (u64, u64),
    /// The (term, version) for which the plan is being read: a later one may be shown before the answer comes.
    pub(super) reading_plan: Option<(u64, u64)>,
    pub(super) claims: Claims,
    pub(super) shard_sync: ShardSync,
    /// Streams that are to be stopped.
    pub(super) leaving: StreamRemoval,
    pub(super) held: BTreeMap<LeaseKey, HeldLease>,
    /// What consumers were started with that are not gone.
    pub(super) consumers: BTreeMap<LeaseKey, Arc<ShardDelivery>>,
    pub(super) deadlines: Deadlines,
    /// Leases that were given up because nothing moved here, and until when others are to try.
    pub(super) refusals: BTreeMap<LeaseKey, Time>,
    /// HeldLease leases whose shards cannot be read, as they were reported.
    pub(super) unreadable: UnreadableLeases,
    /// Consumers whose delivery is closed, since when that was seen or told.
    pub(super) lingering: BTreeMap<LeaseKey, Time>,
    pub(super) throughput: ThroughputMeter,
    /// When this worker's own plan row could not be read.
    pub(super) damaged_assignment_reported: Option<Time>,
    /// When the rows of held leases were last compared with what is held, and which are being read.
    pub(super) verified_at: Time,
    pub(super) verifying: Vec<LeaseKey>,
    pub(super) replay_poll: ReplayPoll,
    pub(super) signals: Signals,
    /// Leases whose row does not say what LATEST means.
    pub(super) pins: BTreeMap<LeaseKey, Lease>,
    /// Children with two parents, of leases that are finished.
    pub(super) orphaned: BTreeMap<LeaseKey, Vec<Shard>>,
    pub(super) wake: Wake,
    pub(super) departure: Option<Departure>,
    pub(super) start: Vec<Arc<ShardDelivery>>,
    pub(super) finished: Option<Result<(), Error>>,
    /// Whether a session was registered, this one or an earlier one.
    pub(super) has_registered: bool,
    /// The error that the worker ends with once it has said departure.
    pub(super) ending_with: Option<Error>,
}

/// Asking the leader to read the table.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) enum Wake {
    #[default]
    Idle,
    Asking,
    /// Asked again while the last one was under way.
    AskAgain,
}

impl Coordinator {
    pub(crate) fn new(
        identity: Identity,
        settings: Settings,
        clock: Arc<dyn Clock>,
        reports: Reports,
        rng: fastrand::Rng,
    ) -> Self {
        let me = identity.me.clone();
        let fleet_settings =
            FleetSettings { shared: start::shared(&settings), until_ms: settings.until_ms(), set_by: me.to_string() };
        let mut effects = Effects::new(rng);
        effects.contact = Contact::new(timing::longest_gap(settings.failover_time, settings.fleet_poll_interval));
        Coordinator {
            effects,
            reads: TableReads::default(),
            gate: DeliveryGate::new(clock),
            reports,
            starting: Some(Start::new(identity.table.clone(), me.clone(), &settings)),
            resting: StaleOwnerTracker::default(),
            fleet_row: FleetRow::new(fleet_settings),
            session: Session::new(me.clone(), identity.streams.ids(), &settings, identity.process.clone()),
            watch: FleetPoll::new(me.clone(), &settings),
            term: None,
            plan_seen: (0, 0),
            reading_plan: None,
            claims: Claims::new(me, settings.max_claims_in_flight),
            shard_sync: ShardSync::new(settings.shard_sync_interval),
            leaving: StreamRemoval::default(),
            held: BTreeMap::new(),
            throughput: ThroughputMeter::default(),
            consumers: BTreeMap::new(),
            deadlines: Deadlines::new(&settings),
            refusals: BTreeMap::new(),
            unreadable: UnreadableLeases::default(),
            lingering: BTreeMap::new(),
            damaged_assignment_reported: None,
            verified_at: Time::ZERO,
            verifying: Vec::new(),
            replay_poll: ReplayPoll::default(),
            signals: Signals::default(),
            pins: BTreeMap::new(),
            orphaned: BTreeMap::new(),
            wake: Wake::Idle,
            departure: None,
            start: Vec::new(),
            finished: None,
            has_registered: false,
            ending_with: None,
            identity,
            settings,
        }
    }

    /// The first step.
    pub(crate) fn begin(&mut self, now: Time) -> Step {
        self.effects.now = now;
        if let Some(start) = &mut self.starting {
            start.look(&mut self.effects);
        }
        // At once: a role that may scan the table but not read its rows is refused before the worker registers.
        self.effects.call(CallId::Contact, Op::Read(vec![RowKey::Fleet], Consistency::Eventual));
        self.out()
    }

    /// When the next timer is due.
    pub(crate) fn next_due(&self) -> Option<Time> {
        self.effects.next_due()
    }

    /// One step: an event, and whatever is due by now.
    pub(crate) fn step(&mut self, event: Event, now: Time) -> Step {
        self.effects.now = now;
        match event {
            Event::Answered(answered) => {
                match answered.answer {
                    Answer::Written(_) | Answer::Rows(_) | Answer::Page(_) | Answer::Table(_) => {
                        self.effects.contact.answered(now);
                    }
                    // Of the stream, or of nobody.
                    Answer::Listing(_) | Answer::Failed(_) => {}
                }
                if self.effects.awaits(&answered)
                    && let Some(answered) = self.turn_page(*answered)
                {
                    self.on_answer(answered);
                }
            }
            Event::Due => {}
            Event::Report(report) => self.on_report(report),
            Event::Shutdown { within } => self.on_shutdown(within),
            Event::Change(change) => self.on_change(change),
            Event::Retention { stream, retention } => {
                self.identity.streams.set_retention(stream.as_ref(), retention);
            }
        }
        self.finish_if_overdue();
        while let Some(part) = self.effects.take_due() {
            self.on_timer(&part);
        }
        if let Some(number) = self.session.number() {
            let (consumers, effects) = (&self.consumers, &mut self.effects);
            let overlap = mutated!(ConsumersOverlap);
            self.claims.send(number, |lease| consumers.contains_key(lease) && !overlap, effects);
        }
        self.out()
    }

    fn out(&mut self) -> Step {
        let stopped = self.take_stopped();
        let mut calls = self.effects.take_calls();
        for call in calls.iter_mut().filter(|call| call.op == Op::Scan) {
            call.op = self.reads.begin(call.part.clone(), call.life, self.effects.now);
        }
        Step {
            calls,
            start: std::mem::take(&mut self.start),
            stopped,
            happened: self.effects.take_happenings(),
            describe: self.signals.take_question(),
            finished: self.finished.take(),
        }
    }

    fn on_timer(&mut self, part: &CallId) {
        let load = self.load();
        let effects = &mut self.effects;
        match part {
            CallId::Start => {
                if let Some(start) = &mut self.starting {
                    start.on_timer(effects);
                }
            }
            CallId::Contact => effects.call(CallId::Contact, Op::Read(vec![RowKey::Fleet], Consistency::Eventual)),
            CallId::Page(part) => {
                if let Some(op) = self.reads.ask(part) {
                    effects.call((**part).clone(), op);
                }
            }
            CallId::FleetRow => self.fleet_row.on_timer(effects),
            CallId::Session => {
                let weights = (self.settings.balance_by == BalanceBy::Bytes).then(|| {
                    let held = self.held.iter().map(|(lease, held)| held.counted(lease));
                    self.throughput.look(held, effects.now)
                });
                self.session.on_timer(load, weights, effects);
            }
            CallId::Wake => effects.write(CallId::Wake, Write::Wake),
            CallId::FleetPoll => self.watch.on_timer(effects),
            CallId::TakeTerm => self.watch.on_term_timer(effects),
            CallId::Cycle => {
                if let Some(term) = &mut self.term {
                    term.on_timer(self.watch.fleet(), effects);
                }
            }
            CallId::Sessions => {
                if let Some(term) = &self.term {
                    term.on_sessions_timer(effects);
                }
            }
            CallId::SyncPass => {
                if let Some(term) = &mut self.term {
                    term.on_sync_timer(effects);
                }
            }
            CallId::Stream(stream) => self.shard_sync.on_fill_timer(stream, effects),
            CallId::FleetHeartbeat => {
                if let Some(term) = &mut self.term {
                    term.on_heartbeat_timer(effects);
                }
            }
            CallId::Awaited => self.claims.on_look_timer(effects),
            CallId::Claim(lease) => self.claims.on_timer(lease),
            CallId::Held(lease) => {
                if let Some(held) = self.held.get_mut(lease) {
                    held.on_timer(effects);
                }
            }
            CallId::Child(parent, child) => self.create_child(parent, child),
            CallId::Parents(lease) => self.look_at_parents(lease),
            CallId::Pin(lease) => self.ask_for_pin(lease),
            CallId::ShardSync => self.on_listings_timer(),
            CallId::StreamRemoval => self.leaving.on_timer(),
            CallId::Reconcile => self.on_reconcile_timer(),
            CallId::Departure => self.on_goodbye_timer(),
            // These have no timers: the cycle repeats them.
            CallId::AssignmentRow
            | CallId::Correct(_)
            | CallId::Fence(_)
            | CallId::PlanOf(_)
            | CallId::Collect(_)
            | CallId::Sync(_)
            | CallId::FleetSettings
            | CallId::Shards
            | CallId::Listed(_)
            | CallId::Replayed => {}
        }
    }

    fn on_answer(&mut self, answered: Answered) {
        let Answered { part, sent, answer, .. } = answered;
        if let Answer::Failed(Failure::Refused(refusal)) = &answer {
            self.on_refusal(&part, refusal);
        } else if !matches!(answer, Answer::Failed(_)) && !matches!(part, CallId::Session | CallId::FleetRow) {
            // Those two succeed when the session is registered, not with each call.
            self.effects.succeeded(&part);
        }
        match &part {
            CallId::Start => self.on_start_answer(answer),
            CallId::Correct(row) => {
                if let Some(start) = &mut self.starting {
                    start.on_corrected(row, &answer, &mut self.effects);
                }
            }
            CallId::Contact => self.remind_of_contact(),
            // Its calls are those of the part that reads.
            CallId::Page(_) => {}
            CallId::FleetRow => {
                let news = self.fleet_row.on_answer(answer, &mut self.effects);
                self.on_fleet_row(news);
            }
            CallId::Session => self.on_session_answer(sent, answer),
            CallId::Wake => self.on_wake_answer(&answer),
            CallId::FleetPoll => self.on_watch_answer(answer),
            CallId::TakeTerm => self.on_term_answer(answer),
            CallId::AssignmentRow => self.on_assignment_row(answer),
            CallId::Cycle
            | CallId::Shards
            | CallId::SyncPass
            | CallId::Fence(_)
            | CallId::PlanOf(_)
            | CallId::Sync(_) => {
                self.on_cycle_answer(&part, answer);
            }
            CallId::Sessions => {
                let heartbeat = self.session.heartbeat();
                if let Some(term) = &mut self.term {
                    term.on_sessions_seen(answer, heartbeat, &mut self.effects);
                }
            }
            CallId::FleetHeartbeat => self.on_fleet_heartbeat_answer(answer),
            CallId::FleetSettings => self.on_fleet_settings_answer(answer),
            // What was not cleared away is looked at again with the next full read.
            CallId::Collect(_) => {}
            CallId::ShardSync => self.on_listings_table(answer),
            CallId::StreamRemoval => self.leaving.on_answer(&answer, &self.identity.me, &mut self.effects),
            CallId::Stream(stream) => self.on_listing_answer(stream, &part, answer),
            CallId::Listed(lease) => {
                if let Some(stream) = lease.stream() {
                    self.on_listing_answer(&stream, &part, answer);
                }
            }
            CallId::Reconcile => self.on_verified(answer),
            CallId::Replayed => self.on_replay_seen(answer),
            CallId::Awaited => self.claims.on_look(answer, &mut self.effects),
            CallId::Claim(lease) => self.on_claim_answer(lease, answer),
            CallId::Held(lease) => self.on_held_answer(lease, answer),
            CallId::Child(parent, child) => self.on_child_answer(parent, child, &answer),
            CallId::Parents(lease) => self.on_parents_answer(lease, answer),
            CallId::Pin(lease) => self.on_pin_answer(lease, answer),
            CallId::Departure => {
                if let Some(departure) = &mut self.departure {
                    departure.on_answer(answer, &mut self.effects);
                }
                self.finish_if_gone();
            }
        }
    }

    /// A worker that starts ends with a refusal that a person must mend: its operator is watching. One that has registered
    /// repeats the call with growing pauses until the refusal ends, with leases or without: a fleet must not shrink because a key,
    /// a role or a table was out of reach for a while.
    pub(super) fn on_refusal(&mut self, part: &CallId, refusal: &Refusal) {
        let is_gone = refusal.missing && matches!(part, CallId::Stream(_));
        if !is_gone {
            self.effects.tell(CoordinationEvent::Refused { message: refusal.message.clone() });
        }
        // One of several streams: the others go on.
        let of_a_stream = matches!(part, CallId::Stream(_) | CallId::Pin(_)) && self.identity.streams.are_several();
        if self.has_registered || of_a_stream {
            return;
        }
        if let Some(code) = refusal.code {
            self.finish(Err(Error::new(code, refusal.message.clone())));
        }
    }

    fn on_fleet_row(&mut self, news: fleet_row::FleetRowEvent) {
        match news {
            fleet_row::FleetRowEvent::Nothing => {}
            fleet_row::FleetRowEvent::Made(fleet) => {
                // Whatever was seen of an earlier row is over.
                self.watch.forget();
                self.plan_seen = (0, 0);
                let agrees = self.agrees(&fleet);
                self.see_fleet(fleet);
                if self.session.number().is_some() || self.departure.is_some() {
                    return;
                }
                if agrees {
                    self.begin_session();
                } else {
                    // Another worker made the row at the same moment, with other settings.
                    self.examine_table();
                }
            }
            fleet_row::FleetRowEvent::Obstructed { why } => self.fail_obstructed("fleet", &why),
        }
    }

    fn fail_obstructed(&mut self, key: &str, why: &str) {
        let table = &self.identity.table;
        let message = format!(
            "row `{key}` of table `{table}` is of another kind ({why}): remove it, or use another application name"
        );
        self.fail(Error::new(Code::TableUnusable, message));
    }

    // --- start and session

    fn on_start_answer(&mut self, answer: Answer) {
        let Some(start) = &mut self.starting else { return };
        match start.on_answer(answer, &self.identity.streams, &mut self.effects) {
            start::StartEvent::Nothing => {}
            start::StartEvent::Refused(error) => self.finish(Err(error)),
            start::StartEvent::Clear(table) => self.on_table_clear(&table),
            start::StartEvent::Adopted(table, settings) => match self.adopt(settings) {
                Ok(()) => self.on_table_clear(&table),
                Err(error) => self.finish(Err(error)),
            },
        }
    }

    fn on_table_clear(&mut self, table: &Table) {
        if let Some(start) = self.starting.take() {
            self.resting = start.into_resting();
        }
        match table.fleet.clone() {
            Some(fleet) => {
                self.see_fleet(fleet);
                self.begin_session();
            }
            None => self.fleet_row.make_from(table, &mut self.effects),
        }
    }

    pub(super) fn begin_session(&mut self) {
        self.session.begin(&mut self.effects);
    }

    fn on_session_answer(&mut self, sent: Time, answer: Answer) {
        let load = self.load();
        match self.session.on_answer(sent, answer, load, &mut self.effects) {
            session::SessionEvent::Nothing if self.departure.is_some() && self.session.waits_for_another() => {
                self.finish_with_pending_error();
            }
            session::SessionEvent::Nothing => {}
            session::SessionEvent::NoFleet => self.fleet_row.make(&mut self.effects),
            session::SessionEvent::Registered { number, until } => {
                self.has_registered = true;
                self.effects.succeeded(&CallId::Session);
                self.effects.succeeded(&CallId::FleetRow);
                self.gate.open_until(until);
                self.fleet_row.note(0, number);
                self.effects.tell(CoordinationEvent::SessionRegistered { session: number });
                self.watch.begin(&mut self.effects);
                self.effects.remind(CallId::Reconcile, self.effects.now + watchdog::EVERY);
                self.wake_leader();
                if self.departure.is_some() {
                    self.begin_goodbye(number);
                }
            }
            session::SessionEvent::Confirmed { until } => {
                self.effects.succeeded(&CallId::Session);
                self.effects.succeeded(&CallId::FleetRow);
                self.gate.open_until(until);
                self.effects.tell(CoordinationEvent::HeartbeatConfirmed);
                let heartbeat = self.session.heartbeat();
                if let Some(term) = &mut self.term {
                    term.on_session_heartbeat(heartbeat, &mut self.effects);
                }
            }
            session::SessionEvent::Lost { why } => {
                self.effects.tell(CoordinationEvent::SessionLost { why });
                self.lose_everything();
                if self.departure.is_some() {
                    self.finish_with_pending_error();
                } else if self.consumers.is_empty() || mutated!(ConsumersOverlap) {
                    self.begin_session();
                }
            }
            session::SessionEvent::Obstructed { why } => {
                let key = crate::lease::row::RowKey::Session(self.identity.me.clone()).to_string();
                self.fail_obstructed(&key, &why);
            }
            session::SessionEvent::Replaced { by, process } => self.on_twin("was replaced by", by, process.as_ref()),
            session::SessionEvent::HeldByAnother { session, process } => {
                self.on_twin("cannot start: its id is in use by", session, process.as_ref());
            }
        }
    }

    /// Another process has the worker's id.
    fn on_twin(&mut self, what: &str, session: SessionNumber, process: Option<&ProcessId>) {
        self.lose_everything();
        let (me, table) = (&self.identity.me, &self.identity.table);
        let process = process.map_or_else(|| "another process".to_owned(), ToString::to_string);
        let message = format!(
            "worker `{me}` of table `{table}` {what} {process} (session {session}). Yield every process a worker id of its own, \
             or leave the id out to get a random one"
        );
        self.finish(Err(Error::new(Code::Replaced, message)));
    }

    /// The session is over: nothing more is delivered, and the fleet disposes of the leases.
    pub(super) fn lose_everything(&mut self) {
        self.gate.shut();
        for (lease, held) in std::mem::take(&mut self.held) {
            held.delivery.close();
            self.effects.tell(CoordinationEvent::LeaseLost { lease, why: SESSION_OVER });
        }
        self.claims.clear();
        self.verifying.clear();
        self.replay_poll = ReplayPoll::default();
        self.pins.clear();
        self.shard_sync.clear();
        self.leaving.begin_life();
        self.orphaned.clear();
        self.term = None;
        self.wake = Wake::Idle;
        self.reading_plan = None;
        self.plan_seen = (0, 0);
        self.fleet_row.give_up();
        self.effects.begin_life();
    }

    pub(super) fn load(&self) -> u32 {
        u32::try_from(self.held.len()).unwrap_or(u32::MAX)
    }

    // --- the fleet row and the plan

    pub(super) fn see_fleet(&mut self, fleet: Fleet) {
        self.fleet_row.note(fleet.term, fleet.sessions);
        self.watch.see(fleet, self.effects.now);
    }

    fn on_watch_answer(&mut self, answer: Answer) {
        match self.watch.on_answer(answer, &mut self.effects) {
            fleet_poll::FleetPollEvent::Nothing => {}
            fleet_poll::FleetPollEvent::NoFleet => {
                self.watch.forget();
                if self.departure.is_none() {
                    self.fleet_row.make(&mut self.effects);
                }
            }
            fleet_poll::FleetPollEvent::Seen => self.on_fleet_seen(),
            fleet_poll::FleetPollEvent::MadeAgain => {
                if self.term.is_some() {
                    self.depose();
                }
                self.plan_seen = (0, 0);
                self.on_fleet_seen();
            }
        }
    }

    fn on_fleet_seen(&mut self) {
        let Some(fleet) = self.watch.fleet().cloned() else { return };
        self.fleet_row.note(fleet.term, fleet.sessions);
        if let Some(why) = fleet.is_too_new() {
            return self.fail(Error::new(Code::TableFormat, format!("table `{}` {why}", self.identity.table)));
        }
        if let Some(term) = &mut self.term {
            if fleet.term > term.number() {
                self.depose();
            } else {
                term.woken(fleet.wake, &mut self.effects);
            }
        } else if let (Some(number), None) = (self.session.number(), &self.departure) {
            self.watch.consider_term(number, &mut self.effects);
        }
        let shown = (fleet.term, fleet.assignment_version);
        if shown > self.plan_seen
            && fleet.assignment_version > 0
            && self.reading_plan.is_none()
            && self.session.number().is_some()
        {
            self.read_plan(shown);
        }
    }

    fn on_term_answer(&mut self, answer: Answer) {
        let Some(won) = self.watch.on_term_answer(answer, &mut self.effects) else { return };
        let Some(number) = self.session.number() else { return };
        self.effects.tell(CoordinationEvent::TermTaken { term: won.fleet.term });
        let me = self.identity.me.clone();
        let alone = match &self.identity.streams {
            Streams::One(served) => Some((**served).clone()),
            Streams::Several(_) => None,
        };
        let resting = std::mem::take(&mut self.resting);
        self.effects.turn_term();
        let mut term = Term::new(won, number, me, alone, &self.settings, resting, &mut self.effects);
        if self.departure.is_some() {
            term.drain(&mut self.effects);
        }
        self.term = Some(term);
    }

    pub(super) fn depose(&mut self) {
        self.term = None;
        self.effects.turn_term();
        self.effects.tell(CoordinationEvent::TermLost);
    }

    fn on_cycle_answer(&mut self, part: &CallId, answer: Answer) {
        let heartbeat = self.session.heartbeat();
        let Some(term) = &mut self.term else { return };
        let news = term.on_answer(part, answer, self.watch.fleet(), heartbeat, &mut self.effects);
        self.on_leader_news(news);
    }

    fn on_fleet_heartbeat_answer(&mut self, answer: Answer) {
        let heartbeat = self.session.heartbeat();
        let Some(term) = &mut self.term else { return };
        let news = term.on_heartbeat_answer(answer, heartbeat, &mut self.effects);
        self.on_leader_news(news);
    }

    fn on_leader_news(&mut self, news: leader::TermEvent) {
        match news {
            leader::TermEvent::Nothing => {}
            leader::TermEvent::Deposed => self.depose(),
            leader::TermEvent::Fleet(fleet) | leader::TermEvent::Published(fleet) => {
                self.see_fleet(fleet);
                self.on_fleet_seen();
            }
        }
    }

    // --- asking the leader to look

    pub(super) fn wake_leader(&mut self) {
        self.wake = match self.wake {
            Wake::Idle => {
                self.effects.write(CallId::Wake, Write::Wake);
                Wake::Asking
            }
            Wake::Asking | Wake::AskAgain => Wake::AskAgain,
        };
    }

    fn on_wake_answer(&mut self, answer: &Answer) {
        if let Answer::Failed(_) = answer {
            return self.effects.repeat(CallId::Wake);
        }
        if let Answer::Written(Written::Applied(Some(Row::Fleet(fleet)))) = answer {
            self.see_fleet(fleet.clone());
        }
        let again = self.wake == Wake::AskAgain;
        self.wake = Wake::Idle;
        if again {
            self.wake_leader();
        }
    }

    /// Ends: nothing more is delivered or asked for.
    pub(super) fn finish(&mut self, outcome: Result<(), Error>) {
        self.gate.shut();
        for held in self.held.values() {
            held.delivery.close();
        }
        self.effects.begin_life();
        self.finished.get_or_insert(outcome);
    }
}
