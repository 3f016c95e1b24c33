//! Tests one worker's whole [`Coordinator`] against a table in memory, on a clock that the test moves.
//!
//! For rules that show only when several components interact, and that need no fleet: the test
//! writes the other workers' rows and plays the consumers.

mod leader;
mod owner;

use super::call::{Answer, Answered, Call, Op};
use super::coordinator::{Coordinator, Event, Identity, Step};
use super::streams::{Served, Streams};
use crate::clock::{Clock, Time};
use crate::config::{Settings, Start};
use crate::coordination::event::CoordinationEvent;
use crate::lease::row::{
    Lease, LeaseKey, Owner, Session, SessionNumber, SessionState, StreamKeys, WorkerId, WorkerProfile,
};
use crate::lease::{MemoryStore, Row, RowKey, Write};
use crate::process::ThisProcess;
use crate::processor::{Report, ReportKind, ShardDelivery};
use crate::record::{Checkpoint, ShardId, StreamIdentity};
use crate::shard::{Listing, Shard};
use std::collections::{BTreeSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::mpsc::{self, UnboundedReceiver};

const F: Duration = Duration::from_secs(10);
const RETENTION: Duration = Duration::from_secs(86_400);

fn secs(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn worker(id: &str) -> WorkerId {
    WorkerId::parse(id).unwrap()
}

fn shard_id(n: u32) -> ShardId {
    ShardId::from(format!("shardId-{n:012}").as_str())
}

fn key(n: u32) -> LeaseKey {
    LeaseKey::from(&shard_id(n))
}

/// A clock that a test moves.
#[derive(Debug, Default)]
struct ManualClock(AtomicU64);

impl Clock for ManualClock {
    fn now(&self) -> Time {
        Time::from_nanos(self.0.load(Ordering::Relaxed))
    }
}

/// A call on its way.
#[derive(Debug)]
struct Sent {
    call: Call,
    at: Time,
}

/// A write as it was sent.
#[derive(Debug)]
struct Written {
    at: Time,
    write: Write,
    /// The number of consumers that could receive records at that moment.
    open: usize,
}

/// A worker with the id `me`, its table, and its calls under way.
struct Machine {
    coordinator: Coordinator,
    table: MemoryStore,
    /// The shards that a list of the stream shows.
    shards: Vec<Shard>,
    clock: Arc<ManualClock>,
    /// Kept open, although the tests report for the consumers themselves.
    _reports: UnboundedReceiver<Report>,
    calls: VecDeque<Sent>,
    /// Calls that were sent and are not executed yet.
    held_back: VecDeque<Sent>,
    /// The calls that are held back.
    holds_back: fn(&Op) -> bool,
    written: Vec<Written>,
    /// Consumers that are not gone.
    consumers: Vec<Arc<ShardDelivery>>,
    /// Consumers whose handlers do not react.
    busy: BTreeSet<LeaseKey>,
    /// Other live workers: their heartbeats are written every second.
    alive: BTreeSet<WorkerId>,
    events: Vec<CoordinationEvent>,
    finished: bool,
}

impl Machine {
    /// A worker that starts on an empty table, of a stream with this many shards.
    fn start(shards: u32) -> Self {
        let identity =
            StreamIdentity { arn: "arn:aws:kinesis:us-east-1:000000000000:stream/s".to_owned(), created_at: 1 };
        let served = Served { keys: StreamKeys::alone(identity), start: Start::TrimHorizon, retention: RETENTION };
        let identity = Identity {
            me: worker("me"),
            process: ThisProcess::default(),
            table: "table".to_owned(),
            streams: Streams::One(Box::new(served)),
            elsewhere: false,
        };
        let clock = Arc::new(ManualClock::default());
        let (sender, reports) = mpsc::unbounded_channel();
        let rng = fastrand::Rng::with_seed(7);
        let mut coordinator = Coordinator::new(identity, Settings::default(), clock.clone(), sender, rng);
        let step = coordinator.begin(clock.now());
        let mut machine = Machine {
            coordinator,
            table: MemoryStore::default(),
            shards: (0..shards).map(|n| shard(n, &[])).collect(),
            clock,
            _reports: reports,
            calls: VecDeque::new(),
            held_back: VecDeque::new(),
            holds_back: |_| false,
            written: Vec::new(),
            consumers: Vec::new(),
            busy: BTreeSet::new(),
            alive: BTreeSet::new(),
            events: Vec::new(),
            finished: false,
        };
        machine.take(step);
        machine
    }

    /// A worker that leads a fleet of its own and reads all of this many shards.
    fn leading(shards: u32) -> Self {
        let mut machine = Machine::start(shards);
        machine.pass(secs(4));
        for n in 0..shards {
            assert!(machine.holds(n), "{:?}", machine.table.table());
        }
        machine
    }

    fn now(&self) -> Time {
        self.clock.now()
    }

    // --- time and calls

    fn take(&mut self, step: Step) {
        let at = self.now();
        self.calls.extend(step.calls.into_iter().map(|call| Sent { call, at }));
        self.consumers.extend(step.start);
        self.events.extend(step.events);
        self.finished |= step.outcome.is_some();
    }

    fn step(&mut self, event: Event) {
        let step = self.coordinator.step(event, self.now());
        self.take(step);
    }

    /// Executes a call and returns its answer.
    fn carry_out(&mut self, op: &Op) -> Answer {
        match op {
            Op::Write(write) => {
                let open = self.consumers.iter().filter(|delivery| delivery.is_open()).count();
                self.written.push(Written { at: self.now(), write: write.clone(), open });
                Answer::Written(Ok(self.table.apply(write)))
            }
            Op::Read(keys, _) | Op::ReadSome(keys, _) => {
                Answer::Rows(Ok(keys.iter().map(|key| self.table.get(key)).collect()))
            }
            Op::Page { after, rows, .. } => Answer::Page(Ok(self.table.page(after.as_ref(), *rows))),
            Op::List(..) => {
                Answer::Listing(Ok(Listing { shards: self.shards.clone(), answered_at_ms: Some(1_000_000) }))
            }
        }
    }

    fn answer(&mut self, sent: Sent, answer: Answer) {
        let Call { id, generation, .. } = sent.call;
        self.step(Event::Answered(Box::new(Answered { id, generation, sent: sent.at, answer })));
    }

    /// Executes every call that is not held back, and lets idle consumers react.
    fn settle(&mut self) {
        loop {
            if let Some(sent) = self.calls.pop_front() {
                if (self.holds_back)(&sent.call.op) {
                    self.held_back.push_back(sent);
                } else {
                    let answer = self.carry_out(&sent.call.op);
                    self.answer(sent, answer);
                }
            } else if !self.react() {
                return;
            }
        }
    }

    /// Lets one idle consumer react: it drains at once when asked to, and is gone when its delivery
    /// is closed. Returns false if none has anything to react to.
    fn react(&mut self) -> bool {
        let reacts = |delivery: &&Arc<ShardDelivery>| {
            (delivery.is_closed() || delivery.is_draining()) && !self.busy.contains(&delivery.claim.lease)
        };
        let Some(delivery) = self.consumers.iter().find(reacts).cloned() else { return false };
        if delivery.is_closed() {
            self.consumers.retain(|other| !Arc::ptr_eq(other, &delivery));
            self.report(&delivery, ReportKind::Gone);
            return true;
        }
        self.report(&delivery, ReportKind::Drained);
        delivery.is_closed()
    }

    fn report(&mut self, delivery: &ShardDelivery, kind: ReportKind) {
        let (lease, fencing_token) = (delivery.claim.lease.clone(), delivery.fencing_token());
        self.step(Event::Report(Report { lease, fencing_token, kind }));
    }

    /// The first call that is held back.
    fn take_held(&mut self) -> Sent {
        self.held_back.pop_front().expect("a call that is held back")
    }

    /// Moves the clock and executes everything that falls due on the way.
    fn pass(&mut self, time: Duration) {
        let end = self.now() + time;
        let mut next_heartbeat = self.now();
        self.settle();
        while self.now() < end && !self.finished {
            if self.now() >= next_heartbeat {
                next_heartbeat = self.now() + secs(1);
                self.alive.clone().iter().for_each(|worker| self.heartbeat(worker));
            }
            let due = self.coordinator.next_due().unwrap_or(end).min(end).min(next_heartbeat).max(self.now());
            self.clock.0.store(due.nanos(), Ordering::Relaxed);
            self.step(Event::Due);
            self.settle();
        }
    }

    /// Moves the clock at once, as after a suspension.
    fn jump(&mut self, time: Duration) {
        self.clock.0.store((self.now() + time).nanos(), Ordering::Relaxed);
        self.step(Event::Due);
        self.settle();
    }

    // --- writes of others

    fn put(&self, lease: Lease) {
        self.table.put(Row::Lease(lease));
    }

    /// Asks the leader to read the table.
    fn wake(&self) {
        self.table.apply(&Write::Wake);
    }

    fn session(&self, id: &WorkerId) -> Session {
        self.table.get(&RowKey::Session(id.clone())).and_then(|row| row.as_session().cloned()).expect("a session")
    }

    fn heartbeat(&self, id: &WorkerId) {
        let session = self.session(id);
        self.table.put(Row::Session(Session { heartbeat: session.heartbeat + 1, ..session }));
    }

    /// Another worker registers, and is alive from now on.
    fn join(&mut self, id: &str, profile: WorkerProfile) -> Owner {
        self.table.apply(&Write::NextSessionNumber);
        let number = self.table.table().fleet.expect("a fleet row").sessions;
        self.table.put(Row::Session(Session {
            worker: worker(id),
            number,
            tag: 3,
            heartbeat: 0,
            state: SessionState::Active,
            // No room: every lease that a test adds is assigned to `me`.
            capacity: Some(0),
            load: 0,
            weights: None,
            streams: None,
            profile,
        }));
        self.alive.insert(worker(id));
        self.wake();
        Owner { worker: worker(id), session: Some(number) }
    }

    /// That worker sends no more heartbeats.
    fn die(&mut self, id: &str) {
        self.alive.remove(&worker(id));
    }

    // --- what this worker did

    fn number(&self) -> SessionNumber {
        self.session(&worker("me")).number
    }

    fn lease(&self, n: u32) -> Option<Lease> {
        self.table.get(&RowKey::Lease(key(n)))?.as_lease().cloned()
    }

    /// True if the row names this worker's session, and a consumer reads the shard.
    fn holds(&self, n: u32) -> bool {
        let reads = self.consumers.iter().any(|delivery| delivery.claim.lease == key(n) && !delivery.is_closed());
        reads && self.lease(n).is_some_and(|lease| lease.is_held_by(&worker("me"), self.number()))
    }

    fn consumer(&self, n: u32) -> Arc<ShardDelivery> {
        self.consumers.iter().find(|delivery| delivery.claim.lease == key(n)).cloned().expect("a consumer")
    }

    /// The first write that `which` matches.
    fn first(&self, which: impl Fn(&Write) -> bool) -> Option<&Written> {
        self.written.iter().find(|written| which(&written.write))
    }
}

fn shard(n: u32, parents: &[u32]) -> Shard {
    let parents = parents.iter().copied().map(shard_id).collect();
    Shard { id: shard_id(n), parents, hash_range: None, starting_sequence_number: None, closed: false }
}

/// A lease that had no owner yet.
fn unowned(n: u32, parents: &[u32]) -> Lease {
    let parents = parents.iter().copied().map(shard_id).collect();
    Lease { parents, ..Lease::unowned(shard_id(n), Checkpoint::TrimHorizon) }
}

fn owned(n: u32, owner: Owner) -> Lease {
    Lease { owner: Some(owner), counter: 3, kcl_counter: Some(3), ..unowned(n, &[]) }
}

fn ended(n: u32) -> Lease {
    Lease { checkpoint: Checkpoint::ShardEnd, counter: 9, kcl_counter: Some(9), ..unowned(n, &[]) }
}
