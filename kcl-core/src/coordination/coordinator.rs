//! The whole of one worker's coordination as a machine: events in, calls and consumers to start out. No I/O.

use super::claims::Claims;
use super::effects::{Answer, Answered, Call, Effects, Failure, Op, Part, Refusal};
use super::fleet_row::{self, FleetRow};
use super::goodbye::Goodbye;
use super::held::Held;
use super::leaving::{Elsewhere, Leaving};
use super::listings::Listings;
use super::planner::{self, Resting, Term};
use super::reconcile;
use super::replay::Looking;
use super::session::{self, Session};
use super::signals::Signals;
use super::silence::Contact;
use super::start::{self, Start};
use super::streams::{Change, Streams};
use super::table_read::TableReads;
use super::unreadable::UnreadableLeases;
use super::watch::{self, Watch};
use super::watchdog::Deadlines;
use super::weigh::Weighing;
use crate::clock::{Clock, Time};
use crate::config::{BalanceBy, Settings, timing};
use crate::error::{Code, Error};
use crate::lease::row::{Fleet, FleetSettings, Lease, LeaseKey, ProcessId, RowKey, SessionNumber, WorkerId};
use crate::lease::{Consistency, Row, Table, Write, Written};
use crate::process::ThisProcess;
use crate::processor::{Delivery, Gate, Report, Reports};
use crate::record::StreamId;
use crate::shard::Shard;
use crate::telemetry::event::coordination::{Happening, SESSION_OVER};
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
    pub(crate) start: Vec<Arc<Delivery>>,
    pub(crate) happened: Vec<Happening>,
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
    pub(super) gate: Arc<Gate>,
    pub(super) reports: Reports,
    pub(super) starting: Option<Start>,
    pub(super) resting: Resting,
    pub(super) fleet_row: FleetRow,
    pub(super) session: Session,
    pub(super) watch: Watch,
    pub(super) term: Option<Term>,
    /// The (term, version) of the plan that was read last.
    pub(super) plan_seen: (u64, u64),
    /// The (term, version) for which the plan is being read: a later one may be shown before the answer comes.
    pub(super) reading_plan: Option<(u64, u64)>,
    pub(super) claims: Claims,
    pub(super) listings: Listings,
    /// Streams that are to be stopped.
    pub(super) leaving: Leaving,
    pub(super) held: BTreeMap<LeaseKey, Held>,
    /// What consumers were started with that are not gone.
    pub(super) consumers: BTreeMap<LeaseKey, Arc<Delivery>>,
    pub(super) deadlines: Deadlines,
    /// Leases that were given up because nothing moved here, and until when others are to try.
    pub(super) refusals: BTreeMap<LeaseKey, Time>,
    /// Held leases whose shards cannot be read, as they were reported.
    pub(super) unreadable: UnreadableLeases,
    /// Consumers whose delivery is closed, since when that was seen or told.
    pub(super) lingering: BTreeMap<LeaseKey, Time>,
    pub(super) weighing: Weighing,
    /// When this worker's own plan row could not be read.
    pub(super) damaged_plan_told: Option<Time>,
    /// When the rows of held leases were last compared with what is held, and which are being read.
    pub(super) verified_at: Time,
    pub(super) verifying: Vec<LeaseKey>,
    pub(super) looking: Looking,
    pub(super) signals: Signals,
    /// Leases whose row does not say what LATEST means.
    pub(super) pins: BTreeMap<LeaseKey, Lease>,
    /// Children with two parents, of leases that are finished.
    pub(super) orphaned: BTreeMap<LeaseKey, Vec<Shard>>,
    pub(super) wake: Wake,
    pub(super) goodbye: Option<Goodbye>,
    pub(super) start: Vec<Arc<Delivery>>,
    pub(super) finished: Option<Result<(), Error>>,
    /// Whether a session was registered, this one or an earlier one.
    pub(super) has_registered: bool,
    /// The error that the worker ends with once it has said goodbye.
    pub(super) ending_with: Option<Error>,
}

/// Asking the planner to read the table.
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
            FleetSettings { shared: start::shared(&settings), until_ms: settings.until, set_by: me.to_string() };
        let mut effects = Effects::new(rng);
        effects.contact = Contact::new(timing::longest_gap(settings.failover_time, settings.watch));
        Coordinator {
            effects,
            reads: TableReads::default(),
            gate: Gate::new(clock),
            reports,
            starting: Some(Start::new(identity.table.clone(), me.clone(), &settings)),
            resting: Resting::default(),
            fleet_row: FleetRow::new(fleet_settings),
            session: Session::new(me.clone(), identity.streams.ids(), &settings, identity.process.clone()),
            watch: Watch::new(me.clone(), &settings),
            term: None,
            plan_seen: (0, 0),
            reading_plan: None,
            claims: Claims::new(me, settings.max_claims_in_flight),
            listings: Listings::new(settings.shard_sync_interval),
            leaving: Leaving::default(),
            held: BTreeMap::new(),
            weighing: Weighing::default(),
            consumers: BTreeMap::new(),
            deadlines: Deadlines::new(&settings),
            refusals: BTreeMap::new(),
            unreadable: UnreadableLeases::default(),
            lingering: BTreeMap::new(),
            damaged_plan_told: None,
            verified_at: Time::ZERO,
            verifying: Vec::new(),
            looking: Looking::default(),
            signals: Signals::default(),
            pins: BTreeMap::new(),
            orphaned: BTreeMap::new(),
            wake: Wake::Idle,
            goodbye: None,
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
        self.effects.call(Part::Contact, Op::Read(vec![RowKey::Fleet], Consistency::Eventual));
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

    fn on_timer(&mut self, part: &Part) {
        let load = self.load();
        let effects = &mut self.effects;
        match part {
            Part::Start => {
                if let Some(start) = &mut self.starting {
                    start.look(effects);
                }
            }
            Part::Contact => effects.call(Part::Contact, Op::Read(vec![RowKey::Fleet], Consistency::Eventual)),
            Part::Page(part) => {
                if let Some(op) = self.reads.ask(part) {
                    effects.call((**part).clone(), op);
                }
            }
            Part::FleetRow => self.fleet_row.on_timer(effects),
            Part::Session => {
                let weights = (self.settings.balance_by == BalanceBy::Bytes).then(|| {
                    let held = self.held.iter().map(|(lease, held)| held.counted(lease));
                    self.weighing.look(held, effects.now)
                });
                self.session.on_timer(load, weights, effects);
            }
            Part::Wake => effects.write(Part::Wake, Write::Wake),
            Part::Watch => self.watch.on_timer(effects),
            Part::TakeTerm => self.watch.on_term_timer(effects),
            Part::Cycle => {
                if let Some(term) = &mut self.term {
                    term.on_timer(self.watch.fleet(), effects);
                }
            }
            Part::Sessions => {
                if let Some(term) = &self.term {
                    term.on_sessions_timer(effects);
                }
            }
            Part::Fill => {
                if let Some(term) = &mut self.term {
                    term.on_fill_timer(effects);
                }
            }
            Part::Stream(stream) => self.listings.on_fill_timer(stream, effects),
            Part::FleetBeat => {
                if let Some(term) = &mut self.term {
                    term.on_beat_timer(effects);
                }
            }
            Part::Awaited => self.claims.on_look_timer(effects),
            Part::Claim(lease) => self.claims.on_timer(lease),
            Part::Held(lease) => {
                if let Some(held) = self.held.get_mut(lease) {
                    held.on_timer(effects);
                }
            }
            Part::Child(parent, child) => self.create_child(parent, child),
            Part::Parents(lease) => self.look_at_parents(lease),
            Part::Pin(lease) => self.ask_for_pin(lease),
            Part::Listings => self.on_listings_timer(),
            Part::Leaving => self.leaving.on_timer(),
            Part::Reconcile => self.on_reconcile_timer(),
            Part::Goodbye => self.on_goodbye_timer(),
            // These have no timers: the cycle repeats them.
            Part::PlanRow
            | Part::Fence(_)
            | Part::PlanOf(_)
            | Part::Collect(_)
            | Part::Sync(_)
            | Part::FleetSettings
            | Part::Shards
            | Part::Listed(_)
            | Part::Replayed => {}
        }
    }

    fn on_answer(&mut self, answered: Answered) {
        let Answered { part, sent, answer, .. } = answered;
        if let Answer::Failed(Failure::Refused(refusal)) = &answer {
            self.on_refusal(&part, refusal);
        } else if !matches!(answer, Answer::Failed(_)) && !matches!(part, Part::Session | Part::FleetRow) {
            // Those two succeed when the session is registered, not with each call.
            self.effects.succeeded(&part);
        }
        match &part {
            Part::Start => self.on_start_answer(answer),
            Part::Contact => self.remind_of_contact(),
            // Its calls are those of the part that reads.
            Part::Page(_) => {}
            Part::FleetRow => {
                let news = self.fleet_row.on_answer(answer, &mut self.effects);
                self.on_fleet_row(news);
            }
            Part::Session => self.on_session_answer(sent, answer),
            Part::Wake => self.on_wake_answer(&answer),
            Part::Watch => self.on_watch_answer(answer),
            Part::TakeTerm => self.on_term_answer(answer),
            Part::PlanRow => self.on_plan_row(answer),
            Part::Cycle | Part::Shards | Part::Fill | Part::Fence(_) | Part::PlanOf(_) | Part::Sync(_) => {
                self.on_cycle_answer(&part, answer);
            }
            Part::Sessions => {
                let beat = self.session.beat();
                if let Some(term) = &mut self.term {
                    term.on_sessions_seen(answer, beat, &mut self.effects);
                }
            }
            Part::FleetBeat => self.on_fleet_beat_answer(answer),
            Part::FleetSettings => self.on_fleet_settings_answer(answer),
            // What was not cleared away is looked at again with the next full read.
            Part::Collect(_) => {}
            Part::Listings => self.on_listings_table(answer),
            Part::Leaving => self.leaving.on_answer(&answer, &self.identity.me, &mut self.effects),
            Part::Stream(stream) => self.on_listing_answer(stream, &part, answer),
            Part::Listed(lease) => {
                if let Some(stream) = lease.stream() {
                    self.on_listing_answer(&stream, &part, answer);
                }
            }
            Part::Reconcile => self.on_verified(answer),
            Part::Replayed => self.on_replay_seen(answer),
            Part::Awaited => self.claims.on_look(answer, &mut self.effects),
            Part::Claim(lease) => self.on_claim_answer(lease, answer),
            Part::Held(lease) => self.on_held_answer(lease, answer),
            Part::Child(parent, child) => self.on_child_answer(parent, child, &answer),
            Part::Parents(lease) => self.on_parents_answer(lease, answer),
            Part::Pin(lease) => self.on_pin_answer(lease, answer),
            Part::Goodbye => {
                if let Some(goodbye) = &mut self.goodbye {
                    goodbye.on_answer(answer, &mut self.effects);
                }
                self.finish_if_gone();
            }
        }
    }

    /// A worker that starts ends with a refusal that a person must mend: its operator is watching. One that has registered
    /// repeats the call with growing pauses until the refusal ends, with leases or without: a fleet must not shrink because a key,
    /// a role or a table was out of reach for a while.
    pub(super) fn on_refusal(&mut self, part: &Part, refusal: &Refusal) {
        let is_gone = refusal.missing && matches!(part, Part::Stream(_));
        if !is_gone {
            self.effects.tell(Happening::Refused { message: refusal.message.clone() });
        }
        // One of several streams: the others go on.
        let of_a_stream = matches!(part, Part::Stream(_) | Part::Pin(_)) && self.identity.streams.are_several();
        if self.has_registered || of_a_stream {
            return;
        }
        if let Some(code) = refusal.code {
            self.finish(Err(Error::new(code, refusal.message.clone())));
        }
    }

    fn on_fleet_row(&mut self, news: fleet_row::News) {
        match news {
            fleet_row::News::Nothing => {}
            fleet_row::News::Made(fleet) => {
                // Whatever was seen of an earlier row is over.
                self.watch.forget();
                self.plan_seen = (0, 0);
                let agrees = self.agrees(&fleet);
                self.see_fleet(fleet);
                if self.session.number().is_some() || self.goodbye.is_some() {
                    return;
                }
                if agrees {
                    self.begin_session();
                } else {
                    // Another worker made the row at the same moment, with other settings.
                    self.examine_table();
                }
            }
            fleet_row::News::Obstructed { why } => self.fail_obstructed("fleet", &why),
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
            start::News::Nothing => {}
            start::News::Refused(error) => self.finish(Err(error)),
            start::News::Clear(table) => self.on_table_clear(&table),
            start::News::Adopted(table, settings) => match self.adopt(settings) {
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
            session::News::Nothing if self.goodbye.is_some() && self.session.waits_for_another() => {
                self.finish_with_pending_error();
            }
            session::News::Nothing => {}
            session::News::NoFleet => self.fleet_row.make(&mut self.effects),
            session::News::Registered { number, until } => {
                self.has_registered = true;
                self.effects.succeeded(&Part::Session);
                self.effects.succeeded(&Part::FleetRow);
                self.gate.open_until(until);
                self.fleet_row.note(0, number);
                self.effects.tell(Happening::SessionRegistered { session: number });
                self.watch.begin(&mut self.effects);
                self.effects.remind(Part::Reconcile, self.effects.now + reconcile::EVERY);
                self.wake_planner();
                if self.goodbye.is_some() {
                    self.begin_goodbye(number);
                }
            }
            session::News::Confirmed { until } => {
                self.effects.succeeded(&Part::Session);
                self.effects.succeeded(&Part::FleetRow);
                self.gate.open_until(until);
                self.effects.tell(Happening::BeatConfirmed);
                let beat = self.session.beat();
                if let Some(term) = &mut self.term {
                    term.on_session_beat(beat, &mut self.effects);
                }
            }
            session::News::Lost { why } => {
                self.effects.tell(Happening::SessionLost { why });
                self.lose_everything();
                if self.goodbye.is_some() {
                    self.finish_with_pending_error();
                } else if self.consumers.is_empty() || mutated!(ConsumersOverlap) {
                    self.begin_session();
                }
            }
            session::News::Obstructed { why } => {
                let key = crate::lease::row::RowKey::Session(self.identity.me.clone()).to_string();
                self.fail_obstructed(&key, &why);
            }
            session::News::Replaced { by, process } => self.on_twin("was replaced by", by, process.as_ref()),
            session::News::HeldByAnother { session, process } => {
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
            "worker `{me}` of table `{table}` {what} {process} (session {session}). Give every process a worker id of its own, \
             or leave the id out to get a random one"
        );
        self.finish(Err(Error::new(Code::Replaced, message)));
    }

    /// The session is over: nothing more is delivered, and the fleet disposes of the leases.
    pub(super) fn lose_everything(&mut self) {
        self.gate.shut();
        for (lease, held) in std::mem::take(&mut self.held) {
            held.delivery.close();
            self.effects.tell(Happening::LeaseLost { lease, why: SESSION_OVER });
        }
        self.claims.clear();
        self.verifying.clear();
        self.looking = Looking::default();
        self.pins.clear();
        self.listings.clear();
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
            watch::News::Nothing => {}
            watch::News::NoFleet => {
                self.watch.forget();
                if self.goodbye.is_none() {
                    self.fleet_row.make(&mut self.effects);
                }
            }
            watch::News::Seen => self.on_fleet_seen(),
            watch::News::MadeAgain => {
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
        } else if let (Some(number), None) = (self.session.number(), &self.goodbye) {
            self.watch.consider_term(number, &mut self.effects);
        }
        let shown = (fleet.term, fleet.plan_version);
        if shown > self.plan_seen
            && fleet.plan_version > 0
            && self.reading_plan.is_none()
            && self.session.number().is_some()
        {
            self.read_plan(shown);
        }
    }

    fn on_term_answer(&mut self, answer: Answer) {
        let Some(won) = self.watch.on_term_answer(answer, &mut self.effects) else { return };
        let Some(number) = self.session.number() else { return };
        self.effects.tell(Happening::TermTaken { term: won.fleet.term });
        let me = self.identity.me.clone();
        let alone = match &self.identity.streams {
            Streams::One(served) => Some((**served).clone()),
            Streams::Several(_) => None,
        };
        let resting = std::mem::take(&mut self.resting);
        self.effects.turn_term();
        let mut term = Term::new(won, number, me, alone, &self.settings, resting, &mut self.effects);
        if self.goodbye.is_some() {
            term.drain(&mut self.effects);
        }
        self.term = Some(term);
    }

    pub(super) fn depose(&mut self) {
        self.term = None;
        self.effects.turn_term();
        self.effects.tell(Happening::TermLost);
    }

    fn on_cycle_answer(&mut self, part: &Part, answer: Answer) {
        let beat = self.session.beat();
        let Some(term) = &mut self.term else { return };
        let news = term.on_answer(part, answer, self.watch.fleet(), beat, &mut self.effects);
        self.on_planner_news(news);
    }

    fn on_fleet_beat_answer(&mut self, answer: Answer) {
        let beat = self.session.beat();
        let Some(term) = &mut self.term else { return };
        let news = term.on_beat_answer(answer, beat, &mut self.effects);
        self.on_planner_news(news);
    }

    fn on_planner_news(&mut self, news: planner::News) {
        match news {
            planner::News::Nothing => {}
            planner::News::Deposed => self.depose(),
            planner::News::Fleet(fleet) | planner::News::Published(fleet) => {
                self.see_fleet(fleet);
                self.on_fleet_seen();
            }
        }
    }

    // --- asking the planner to look

    pub(super) fn wake_planner(&mut self) {
        self.wake = match self.wake {
            Wake::Idle => {
                self.effects.write(Part::Wake, Write::Wake);
                Wake::Asking
            }
            Wake::Asking | Wake::AskAgain => Wake::AskAgain,
        };
    }

    fn on_wake_answer(&mut self, answer: &Answer) {
        if let Answer::Failed(_) = answer {
            return self.effects.repeat(Part::Wake);
        }
        if let Answer::Written(Written::Applied(Some(Row::Fleet(fleet)))) = answer {
            self.see_fleet(fleet.clone());
        }
        let again = self.wake == Wake::AskAgain;
        self.wake = Wake::Idle;
        if again {
            self.wake_planner();
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
