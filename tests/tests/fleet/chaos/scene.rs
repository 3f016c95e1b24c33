//! One play: from a seed, a stream, a fleet and what happens to them.

use super::checks::{self, LeaseSeen, Look, Put};
use super::fleet::Fleet;
use super::handler::{Calls, Mood};
use super::weather::{Reach, Weather};
use crate::stage::{APPLICATION, STREAM, text};
use aws_sdk_kinesis::primitives::Blob;
use kcl_local::LocalAws;
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// What happens to the fleet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Everything.
    Chaos,
    /// What an operator does: starts, stops, reshards.
    Planned,
}

/// The default `failover_time`.
const FAILOVER_TIME: Duration = Duration::from_secs(10);
/// What faults delayed has landed after this.
const LANDED: Duration = Duration::from_secs(12);
/// How often the table is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(500);
const MOST_SHARDS: usize = 6;
const MOST_WORKERS: usize = 4;
const IDS: [&str; 5] = ["ann", "ben", "cat", "dan", "eve"];

/// Plays the seed and tells what was broken.
pub(super) fn play(seed: u64, kind: Kind) -> Vec<String> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let outcome = runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(1_200), async { Scene::set(seed, kind).await.play().await }).await
    });
    runtime.shutdown_background();
    outcome.unwrap_or_else(|_| vec!["the play does not end".to_owned()])
}

struct Scene {
    kind: Kind,
    rng: fastrand::Rng,
    aws: Arc<LocalAws>,
    weather: Weather,
    fleet: Fleet,
    put: Vec<Put>,
    number: u32,
    broken: Arc<Mutex<Vec<String>>>,
    reconnects: Vec<(Instant, String)>,
    restarts: Vec<(Instant, String)>,
}

impl Scene {
    async fn set(seed: u64, kind: Kind) -> Scene {
        let mut rng = fastrand::Rng::with_seed(seed);
        let aws = Arc::new(LocalAws::builder().in_process());
        let shards = rng.i32(2..=4);
        aws.kinesis().create_stream().stream_name(STREAM).shard_count(shards).send().await.unwrap();
        let weather = Weather::new(rng.fork());
        let sky = weather.clone();
        match kind {
            Kind::Chaos => aws.faults().rule(move |call| sky.fate(call)),
            Kind::Planned => weather.calm(),
        }
        let chaos = kind == Kind::Chaos;
        let mood = Arc::new(Mutex::new(Mood { fails: chaos && rng.bool(), slow: rng.bool() }));
        let fleet = Fleet {
            aws: aws.clone(),
            weather: weather.clone(),
            calls: Calls::default(),
            mood,
            rng: rng.fork(),
            running: Vec::new(),
            started: 0,
            stopping: Vec::new(),
        };
        let (put, broken) = (Vec::new(), Arc::default());
        Scene { kind, rng, aws, weather, fleet, put, number: 0, broken, reconnects: vec![], restarts: vec![] }
    }

    async fn play(mut self) -> Vec<String> {
        let looking = tokio::spawn(watch(self.aws.clone(), self.broken.clone()));
        for id in IDS.iter().take(self.rng.usize(2..=MOST_WORKERS)) {
            self.fleet.start(id);
        }
        let end = Instant::now() + Duration::from_secs(self.rng.u64(60..=120));
        while Instant::now() < end {
            sleep(Duration::from_millis(self.rng.u64(50..1_500))).await;
            let records = self.rng.u32(0..12);
            self.put(records).await;
            self.happen().await;
        }
        self.calm_down().await;
        looking.abort_handle().abort();
        self.broken.lock().unwrap().clone()
    }

    /// Something, or nothing.
    async fn happen(&mut self) {
        let now = Instant::now();
        for (_, name) in self.reconnects.extract_if(.., |(at, _)| *at <= now) {
            self.weather.reconnect(&name);
        }
        let due: Vec<_> = self.restarts.extract_if(.., |(at, _)| *at <= now).collect();
        for (_, id) in due {
            self.fleet.start(&id);
        }
        let ended = self.fleet.ended().await;
        self.broken.lock().unwrap().extend(ended);
        let workers = self.fleet.running.len();
        let chaos = self.kind == Kind::Chaos;
        match self.rng.u32(0..100) {
            0..6 if chaos && workers > 0 => {
                let name = self.fleet.running[self.rng.usize(0..workers)].name.clone();
                let reach = [Reach::Nothing, Reach::OnlyKinesis, Reach::OnlyDynamoDb][self.rng.usize(0..3)];
                self.weather.cut_off(&name, reach);
                self.reconnects.push((now + Duration::from_millis(self.rng.u64(1_000..30_000)), name));
            }
            6..10 if chaos && workers > 0 => {
                let n = self.rng.usize(0..workers);
                let id = self.fleet.kill(n);
                let id = if self.rng.bool() { id } else { self.new_id() };
                self.restarts.push((now + Duration::from_millis(self.rng.u64(0..20_000)), id));
            }
            10..13 if workers > 1 => {
                let n = self.rng.usize(0..workers);
                let within = if chaos { self.rng.u64(1..25) } else { 25 };
                let id = self.fleet.stop(n, Duration::from_secs(within));
                let id = if self.rng.bool() { id } else { self.new_id() };
                // Two processes never have one id at a time: that is the user's word, and without it nothing holds.
                let after = self.rng.u64(0..10_000) + 1_000 * (within + 20);
                self.restarts.push((now + Duration::from_millis(after), id));
            }
            13..16 if workers + self.restarts.len() < MOST_WORKERS => {
                let id = self.new_id();
                self.fleet.start(&id);
            }
            16..21 => self.reshard().await,
            _ => {}
        }
    }

    fn new_id(&self) -> String {
        format!("new-{}", self.number + self.fleet.started)
    }

    async fn put(&mut self, records: u32) {
        for _ in 0..records {
            let answer = self.aws.kinesis().put_record().stream_name(STREAM);
            let answer =
                answer.partition_key(format!("key-{}", self.rng.u32(0..9))).data(Blob::new(self.number.to_string()));
            let answer = answer.send().await.unwrap();
            self.put.push(Put { shard: answer.shard_id, sequence: answer.sequence_number, number: self.number });
            self.number += 1;
        }
    }

    async fn reshard(&mut self) {
        let kinesis = self.aws.kinesis();
        let shards = kinesis.list_shards().stream_name(STREAM).send().await.unwrap().shards.unwrap_or_default();
        let range = |shard: &aws_sdk_kinesis::types::Shard| {
            let range = shard.hash_key_range().unwrap();
            (range.starting_hash_key().parse::<u128>().unwrap(), range.ending_hash_key().parse::<u128>().unwrap())
        };
        let closed = |s: &aws_sdk_kinesis::types::Shard| {
            s.sequence_number_range().is_some_and(|range| range.ending_sequence_number().is_some())
        };
        let mut open: Vec<_> = shards.iter().filter(|shard| !closed(shard)).collect();
        open.sort_by_key(|shard| range(shard));
        let n = self.rng.usize(0..open.len());
        // Refused while an earlier one is under way.
        if self.rng.bool() && open.len() < MOST_SHARDS {
            let (from, to) = range(open[n]);
            let middle = from + (to - from) / 2;
            let split = kinesis.split_shard().stream_name(STREAM).shard_to_split(open[n].shard_id());
            let _ = split.new_starting_hash_key(middle.to_string()).send().await;
        } else if n + 1 < open.len() {
            let merge = kinesis.merge_shards().stream_name(STREAM).shard_to_merge(open[n].shard_id());
            let _ = merge.adjacent_shard_to_merge(open[n + 1].shard_id()).send().await;
        }
    }

    /// Faults end; then everything that was promised must come true.
    async fn calm_down(&mut self) {
        self.weather.calm();
        *self.fleet.mood.lock().unwrap() = Mood::default();
        for (_, name) in std::mem::take(&mut self.reconnects) {
            self.weather.reconnect(&name);
        }
        let ended = self.fleet.ended().await;
        self.broken.lock().unwrap().extend(ended);
        if self.fleet.running.is_empty() {
            self.fleet.start("last");
        }
        self.put(20).await;
        if self.kind == Kind::Chaos {
            sleep(LANDED).await;
        }
        // A slow handler's last call, and what had piled up behind it.
        let bound = 2 * FAILOVER_TIME + Duration::from_secs(5) + Duration::from_secs(5);
        let (began, calls) = (Instant::now(), self.fleet.calls.clone());
        let mut missing = checks::missing(&self.put, &calls.all());
        while !missing.is_empty() && began.elapsed() < 10 * bound {
            sleep(Duration::from_millis(250)).await;
            missing = checks::missing(&self.put, &calls.all());
        }
        let took = began.elapsed();
        let mut broken = missing;
        if broken.is_empty() && took > bound {
            broken.push(format!("L1: everything was read only after {took:?} of calm"));
        }
        for stop in std::mem::take(&mut self.fleet.stopping) {
            broken.extend(stop.await.unwrap().err());
        }
        broken.extend(self.fleet.ended().await);
        // The dead are known to be dead by now, and the last one out clears the table.
        sleep(2 * FAILOVER_TIME).await;
        while !self.fleet.running.is_empty() {
            self.fleet.stop(0, Duration::from_secs(25));
            for stop in std::mem::take(&mut self.fleet.stopping) {
                broken.extend(stop.await.unwrap().err());
            }
        }
        broken.extend(self.left_behind().await);
        let calls = calls.all();
        broken.extend(checks::order(&calls));
        broken.extend(checks::one_owner(&calls));
        broken.extend(checks::parents_first(&calls, &self.put, &self.parents().await));
        if self.kind == Kind::Planned {
            broken.extend(checks::repeated(&calls));
        }
        self.broken.lock().unwrap().extend(broken);
    }

    async fn parents(&self) -> BTreeMap<String, Vec<String>> {
        let shards =
            self.aws.kinesis().list_shards().stream_name(STREAM).send().await.unwrap().shards.unwrap_or_default();
        let of = |shard: aws_sdk_kinesis::types::Shard| {
            (shard.shard_id, shard.parent_shard_id.into_iter().chain(shard.adjacent_parent_shard_id).collect())
        };
        shards.into_iter().map(of).collect()
    }

    /// Promise 6: a table that any KCL reads.
    async fn left_behind(&self) -> Vec<String> {
        let rows = self.aws.dynamodb().scan().table_name(APPLICATION).send().await.unwrap().items.unwrap_or_default();
        let key = |row| text(row, "leaseKey").unwrap_or_default();
        let foreign = rows.iter().filter(|row| text(row, "entityType").as_deref() != Some("LEASE"));
        let owned = rows.iter().filter(|row| row.contains_key("leaseOwner"));
        let foreign = foreign.map(|row| format!("left behind: {}", key(row)));
        foreign.chain(owned.map(|row| format!("left behind: {} is owned", key(row)))).collect()
    }
}

/// Looks at the table over and over.
async fn watch(aws: Arc<LocalAws>, broken: Arc<Mutex<Vec<String>>>) {
    let mut before = Look::default();
    loop {
        sleep(LOOK_EVERY).await;
        let Ok(rows) = aws.dynamodb().scan().table_name(APPLICATION).send().await else { continue };
        let mut now = Look::default();
        for row in rows.items() {
            let number = |name: &str| row.get(name).and_then(|v| v.as_n().ok()).and_then(|n| n.parse::<u64>().ok());
            let Some(key) = text(row, "leaseKey") else { continue };
            match text(row, "entityType").as_deref() {
                Some("LEASE") => {
                    let owner = text(row, "leaseOwner").map(|owner| (owner, number("kclSession").unwrap_or(0)));
                    let checkpoint = text(row, "checkpoint").unwrap_or_default();
                    let counter = number("leaseCounter").unwrap_or(0);
                    now.leases.insert(key, LeaseSeen { counter, checkpoint, owner });
                }
                Some("KCL_SESSION") => {
                    let state = text(row, "state").unwrap_or_default();
                    let ended = state == "left" || state == "fenced";
                    let worker = key.trim_start_matches("session/").to_owned();
                    now.sessions.insert(worker, (number("number").unwrap_or(0), ended));
                }
                _ => {}
            }
        }
        broken.lock().unwrap().extend(checks::went_on(&before, &now));
        before = now;
    }
}
