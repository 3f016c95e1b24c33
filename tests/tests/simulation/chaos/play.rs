//! One play: creates a world from a seed and executes the events of its script.

use super::script::{Kinds, Script};
use crate::invariant::Facts;
use crate::world::handler::Mood;
use crate::world::history::{Fact, Name};
use crate::world::process::Process;
use crate::world::stream::Stream;
use crate::world::weather::Cut;
use crate::world::{Making, Setup, World};
use kcl_core::lease::row::{Damaged, SeenAttribute, SeenValue};
use kcl_core::lease::{Lease, Row, RowKey};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// After this time every delayed call has arrived.
const LANDED: Duration = Duration::from_secs(13);
/// A process that dies within this time of its start may have reported nothing about itself.
const UNKNOWN: Duration = Duration::from_secs(30);
/// The interval of the leader's full reads, which find changes that nobody reported.
const FULL_READ: Duration = Duration::from_secs(60);
const MOST_SHARDS: usize = 6;
const MOST_WORKERS: usize = 4;
const IDS: [&str; 5] = ["ann", "ben", "cat", "dan", "eve"];

/// Actions that are due later.
#[derive(Clone, Debug)]
enum Later {
    Start(String),
    Thaw(Name),
    Mend(Name),
    /// Creates the second stream again, with this number of shards.
    Make(u32),
}

struct Play {
    world: World,
    script: Script,
    rng: fastrand::Rng,
    later: Vec<(Duration, Later)>,
    /// Processes that were asked to stop and whose restart is scheduled.
    stopping: BTreeSet<Name>,
    /// Earlier versions of assignment rows.
    old_plans: Vec<Row>,
    /// Earlier versions of leases.
    old_leases: Vec<Lease>,
    tampered: bool,
    started: BTreeMap<Name, Duration>,
    /// A process died that may be unknown to the fleet.
    died_unknown: bool,
}

/// Plays the script in a world made from this configuration.
pub(crate) async fn play(making: Making, script: Script) -> Facts {
    let packs = making.packs;
    let mut world = World::new(making);
    let rng = world.rng.fork();
    let mut play = Play {
        world,
        script,
        rng,
        later: Vec::new(),
        stopping: BTreeSet::new(),
        old_plans: Vec::new(),
        old_leases: Vec::new(),
        tampered: false,
        started: BTreeMap::new(),
        died_unknown: false,
    };
    play.begin();
    let end = Duration::from_secs(play.rng.u64(40..=90));
    while play.world.history.now() < end {
        let step = Duration::from_millis(play.rng.u64(50..1_500));
        play.world.pass(step).await;
        let records = play.rng.u32(0..8);
        play.world.stream.put(records);
        if let Some(second) = play.world.second.clone().filter(Stream::is_there) {
            second.put(play.rng.u32(0..8));
        }
        if packs {
            play.world.stream.put_packed(play.rng.u32(0..6), 0);
        }
        play.come_due();
        play.happen();
    }
    play.calm_down().await;
    let mut facts = Facts::of(&play.world);
    let Mood { fails, poison, .. } = play.script.mood;
    facts.planned = play.script.kinds.are_planned() && (fails, poison) == (0, 0);
    facts.stopped = true;
    facts
}

impl Play {
    fn begin(&mut self) {
        let Script { odds, page, page_time, mood, .. } = self.script;
        self.world.weather.odds(odds);
        self.world.weather.uneven();
        self.world.weather.pages(page);
        if let Some((least, most)) = page_time {
            self.world.weather.slow_pages(least, most);
        }
        self.world.mood(mood);
        for id in IDS.iter().take(self.rng.usize(2..=MOST_WORKERS)) {
            self.start(id);
        }
    }

    fn start(&mut self, id: &str) {
        let drift = if self.script.kinds.drift { self.rng.i32(-20_000..=20_000) } else { 0 };
        let serves = self.script.kinds.streams.then(|| (0..2).filter(|_| self.rng.u32(0..4) > 0).collect());
        self.start_serving(id, Setup { drift, serves, ..Setup::default() });
    }

    fn start_serving(&mut self, id: &str, setup: Setup) {
        let name = self.world.start_with(id, setup);
        self.started.insert(name, self.now());
    }

    fn now(&self) -> Duration {
        self.world.history.now()
    }

    fn after(&mut self, ms: std::ops::Range<u64>, later: Later) {
        let at = self.now() + Duration::from_millis(self.rng.u64(ms));
        self.later.push((at, later));
    }

    fn come_due(&mut self) {
        let now = self.now();
        let due: Vec<_> = self.later.extract_if(.., |(at, _)| *at <= now).collect();
        due.into_iter().for_each(|(_, later)| self.come_true(later));
    }

    fn come_true(&mut self, later: Later) {
        match later {
            Later::Start(id) => {
                // The user makes sure that no other process uses the id before starting it again.
                let mut before = self.world.alive();
                before.retain(|name| self.world.process(name).worker == id);
                before.iter().for_each(|name| self.end(name));
                self.start(&id);
            }
            Later::Make(shards) => self.world.second.iter().for_each(|second| second.make(shards)),
            Later::Thaw(name) => self.world.thaw(&name),
            Later::Mend(name) => self.world.mend(&name),
        }
    }

    /// Running processes for which nothing else is scheduled.
    fn anyone(&mut self) -> Option<Name> {
        let mut alive = self.world.alive();
        alive.retain(|name| !self.stopping.contains(name));
        let n = self.rng.usize(0..alive.len().max(1));
        alive.get(n).cloned()
    }

    fn leader(&self) -> Option<Name> {
        let leader = self.world.leader()?;
        let mut alive = self.world.alive().into_iter().filter(|name| !self.stopping.contains(name));
        alive.find(|name| self.world.process(name).worker == leader)
    }

    fn new_id(&mut self) -> String {
        format!("new-{}", self.rng.u32(..))
    }

    /// Executes one random event, or none.
    fn happen(&mut self) {
        let Kinds {
            kills,
            freezes,
            cuts,
            stops,
            reshards,
            tampering,
            plans,
            clocks,
            full_table,
            streams,
            vanishing,
            ..
        } = self.script.kinds;
        match self.rng.u32(0..100) {
            0..4 if kills => {
                let victim = self.anyone();
                self.kill(victim);
            }
            4..6 if kills => {
                let leader = self.leader();
                self.kill(leader);
            }
            6..7 if kills => self.kill_all(),
            7..11 if cuts => {
                if let Some(name) = self.anyone() {
                    let from = [Cut::Everything, Cut::Table, Cut::Stream][self.rng.usize(0..3)];
                    self.world.cut(&name, from);
                    self.after(1_000..40_000, Later::Mend(name));
                }
            }
            11..14 if freezes => {
                if let Some(name) = self.anyone() {
                    self.world.freeze(&name);
                    // At most ten failover times.
                    let longest = [3_000, 15_000, 100_000][self.rng.usize(0..3)];
                    self.after(200..longest, Later::Thaw(name));
                }
            }
            14..18 if stops && self.world.alive().len() > 1 => self.stop(),
            18..21 if self.world.alive().len() + self.later.len() < MOST_WORKERS => {
                let id = self.new_id();
                self.start(&id);
            }
            21..27 if reshards => self.reshard(),
            27..30 if tampering => self.tamper(),
            30..36 if plans => self.tamper_with_plans(),
            36..38 if clocks => {
                if let Some(name) = self.anyone() {
                    // Like the resume of a suspended machine; a short suspension is a freeze. A
                    // clock that gains seconds without a suspension is broken, which is not
                    // simulated.
                    let ahead = Duration::from_millis(self.rng.u64(4_000..60_000));
                    self.world.jump_clock(&name, ahead);
                }
            }
            38..40 if full_table => {
                let how_long = Duration::from_millis(self.rng.u64(1..15_000));
                self.world.weather.throttle_table(how_long);
            }
            40..48 if streams => {
                if let Some(name) = self.anyone() {
                    self.world.process(&name).toggle(self.rng.usize(0..2));
                }
            }
            48..51 if vanishing => {
                if let Some(second) = self.world.second.clone().filter(Stream::is_there) {
                    second.delete();
                    let longest = [3_000, 20_000, 60_000][self.rng.usize(0..3)];
                    let shards = self.rng.u32(1..4);
                    self.after(1_000..longest, Later::Make(shards));
                }
            }
            _ => {}
        }
    }

    fn kill(&mut self, victim: Option<Name>) {
        let Some(name) = victim else { return };
        self.end(&name);
        let id = if self.rng.bool() { self.world.process(&name).worker.clone() } else { self.new_id() };
        self.after(0..20_000, Later::Start(id));
    }

    fn end(&mut self, name: &Name) {
        self.world.kill(name);
        self.died_unknown |= self.started.get(name).is_none_or(|started| self.now() < *started + UNKNOWN);
    }

    fn kill_all(&mut self) {
        for name in self.world.alive() {
            self.end(&name);
            if self.stopping.contains(&name) {
                continue;
            }
            let id = if self.rng.bool() { self.world.process(&name).worker.clone() } else { self.new_id() };
            self.after(0..3_000, Later::Start(id));
        }
    }

    fn stop(&mut self) {
        let Some(name) = self.anyone() else { return };
        let within = if self.script.kinds.are_planned() { 25 } else { self.rng.u64(0..25) };
        self.world.stop(&name, Duration::from_secs(within));
        self.stopping.insert(name.clone());
        // No two processes have one id at a time: the user guarantees this, and no promise holds
        // without it.
        let same = self.rng.bool();
        let id = if same { self.world.process(&name).worker.clone() } else { self.new_id() };
        let from = if same { 1_000 * (within + 20) } else { 0 };
        self.after(from..from + 10_000, Later::Start(id));
    }

    fn reshard(&mut self) {
        let second = self.world.second.clone().filter(Stream::is_there);
        let stream = second.filter(|_| self.rng.bool()).unwrap_or_else(|| self.world.stream.clone());
        let open = stream.open().len();
        let n = self.rng.usize(0..open);
        if self.rng.bool() && open < MOST_SHARDS {
            stream.split(n);
        } else if n + 1 < open {
            stream.merge(n);
        }
    }

    /// Edits the table like a person with a text editor, or a script that cleans up too much.
    fn tamper(&mut self) {
        let rows = self.world.rows();
        if self.script.kinds.lease_rows && self.rng.bool() {
            return self.tamper_with_a_lease(rows.leases);
        }
        let sessions = rows.sessions.iter().map(|session| RowKey::Session(session.worker.clone()));
        let plans = rows.assignments.iter().map(|plan| RowKey::Assignment(plan.worker.clone()));
        let streams = rows.streams.iter().map(|stream| RowKey::Stream(stream.id.clone()));
        let all = sessions.chain(plans).chain(rows.fleet.as_ref().map(|_| RowKey::Fleet)).chain(streams);
        let all: Vec<RowKey> = all.collect();
        let n = self.rng.usize(0..all.len().max(1));
        if let Some(key) = all.get(n) {
            self.tampered = true;
            let row = self.rng.bool().then(|| unreadable(key, self.rng.u32(..)));
            self.world.tamper(key.clone(), row);
        }
    }

    /// Restores an unfinished lease to an earlier version, or removes its owner. (Deleting a lease
    /// whose children have begun gives up its unread records, so that is not played.)
    fn tamper_with_a_lease(&mut self, leases: Vec<Lease>) {
        self.old_leases.extend(leases.iter().cloned());
        let open = |lease: &&Lease| !lease.checkpoint.is_shard_end();
        let now: Vec<&Lease> = leases.iter().filter(open).collect();
        let n = self.rng.usize(0..now.len().max(1));
        let Some(lease) = now.get(n) else { return };
        let old: Vec<&Lease> = self.old_leases.iter().filter(|old| old.key == lease.key).collect();
        let row = if self.rng.bool() {
            old[self.rng.usize(0..old.len())].clone()
        } else {
            Lease { owner: None, ..(*lease).clone() }
        };
        self.tampered = true;
        self.world.tamper(RowKey::Lease(lease.key.clone()), Some(Row::Lease(row)));
    }

    /// Restores assignment rows to earlier versions, or deletes them.
    fn tamper_with_plans(&mut self) {
        let plans = self.world.rows().assignments;
        self.old_plans.extend(plans.iter().cloned().map(Row::Assignment));
        let row = if self.rng.bool() {
            let n = self.rng.usize(0..self.old_plans.len().max(1));
            self.old_plans.get(n).cloned()
        } else {
            None
        };
        let n = self.rng.usize(0..plans.len().max(1));
        match (row, plans.get(n)) {
            (Some(row), _) => self.world.tamper(row.key(), Some(row)),
            (None, Some(plan)) => self.world.tamper(RowKey::Assignment(plan.worker.clone()), None),
            (None, None) => {}
        }
    }

    /// True if there is a stream that no running process reads.
    fn is_anything_unserved(&self) -> bool {
        let alive: Vec<Name> = self.world.alive();
        let stay = || alive.iter().filter(|name| !self.stopping.contains(*name)).map(|name| self.world.process(name));
        let serves =
            |process: &Process, n| process.serving.as_ref().is_none_or(|serving| serving.wanted().contains(&n));
        (0..self.world.streams().len()).any(|n| !stay().any(|process| serves(process, n)))
    }

    fn rows(&self) -> usize {
        let rows = self.world.rows();
        rows.leases.len() + rows.sessions.len() + rows.assignments.len() + rows.streams.len() + rows.damaged.len() + 1
    }

    /// Ends all faults and checks that every promise comes true.
    async fn calm_down(&mut self) {
        self.world.weather.calm();
        self.world.mood(Mood::default());
        for (_, later) in std::mem::take(&mut self.later) {
            match later {
                Later::Start(_) => {}
                other @ (Later::Thaw(_) | Later::Mend(_) | Later::Make(_)) => self.come_true(other),
            }
        }
        if !self.script.kinds.are_planned() {
            self.world.pass(LANDED).await;
        }
        if self.is_anything_unserved() {
            let drift = if self.script.kinds.drift { self.rng.i32(-20_000..=20_000) } else { 0 };
            self.start_serving("last", Setup { drift, ..Setup::default() });
        }
        // Workers that start meanwhile add rows.
        let read = self.world.weather.read_time(self.rows() + 8);
        self.world.history.add(Fact::Calm { tampered: self.tampered, read });
        self.world.streams().into_iter().for_each(|stream| stream.put(20));
        let began = self.now();
        while !self.world.unhandled().is_empty() && self.now() < began + Duration::from_secs(240) {
            self.world.pass(Duration::from_millis(250)).await;
        }
        // By then the dead workers are detected, and the last worker cleans up the table.
        let f = self.world.settings().failover_time;
        let unseen = self.tampered || self.died_unknown;
        self.world.pass(f * 2 + read * 4 + if unseen { FULL_READ.max(read * 10) } else { Duration::ZERO }).await;
        for name in self.world.alive() {
            self.world.stop(&name, Duration::from_secs(25));
            let began = self.now();
            while !self.world.process(&name).has_ended() && self.now() < began + Duration::from_secs(60) {
                self.world.pass(Duration::from_millis(100)).await;
            }
        }
    }
}

/// The row with a string in place of its order number.
fn unreadable(key: &RowKey, text: u32) -> Row {
    let (kind, order) = match key {
        RowKey::Session(_) => ("KCL_SESSION", "number"),
        RowKey::Assignment(_) => ("KCL_ASSIGNMENT", "version"),
        RowKey::Stream(_) => ("KCL_STREAM", "start"),
        RowKey::Fleet | RowKey::Lease(_) => ("KCL_FLEET", "term"),
    };
    let mark = |attribute, text| SeenAttribute { attribute, value: SeenValue::Text(text) };
    let fingerprint = vec![mark("entityType", kind.to_owned()), mark(order, format!("x{text}"))];
    Row::Damaged(Damaged { key: key.clone(), why: format!("`{order}` is a string, not a number"), fingerprint })
}
