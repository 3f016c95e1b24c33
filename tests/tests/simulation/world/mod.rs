//! A world: one stream or two, one table, and processes that read the stream and coordinate through
//! the table, in one thread on virtual time. Everything in it is drawn from one seed and recorded
//! in one history.

pub(crate) mod clock;
pub(crate) mod database;
pub(crate) mod exchange;
pub(crate) mod handler;
pub(crate) mod history;
pub(crate) mod host;
pub(crate) mod manner;
pub(crate) mod memory;
pub(crate) mod process;
pub(crate) mod refusal;
pub(crate) mod serving;
pub(crate) mod stream;
pub(crate) mod transcript;
pub(crate) mod weather;

use crate::model;
use crate::wire::{self, Wire};
use clock::ProcessClock;
use database::Database;
use handler::{Handler, Mood, Moods, Seat};
use history::{Fact, History, Name};
use host::Host;
use kcl_core::lease::{Lease, LeaseKey, Row, RowKey, Table as Rows};
use kcl_core::{Retrieval, Settings, StreamConfig, Worker};
use manner::Manner;
use memory::Memory;
use process::Process;
use serving::{Configs, Serving};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use stream::{STREAM, Stream};
use tokio::time::{Instant, sleep};
use weather::{Cut, Weather};

pub(crate) const APPLICATION: &str = "delays";

/// The tier: how processes reach the services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Tier {
    /// An in-memory table and the Kinesis engine, called directly.
    #[default]
    Model,
    /// AWS's clients over the in-process servers.
    Wire,
}

/// The table, with what each tier needs to reach it.
#[derive(Clone, Debug)]
enum Place {
    Model(model::Table),
    Wire(Wire),
}

/// The configuration of a world.
#[derive(Clone, Debug)]
pub(crate) struct Making {
    pub(crate) seed: u64,
    pub(crate) tier: Tier,
    /// The origins of the processes' clocks depend on this seed alone.
    pub(crate) clock_seed: u64,
    pub(crate) shards: u32,
    pub(crate) settings: Settings,
    /// The processing mode.
    pub(crate) manner: Manner,
    /// Packs some records into aggregates.
    pub(crate) packs: bool,
    /// A second stream, of the same name in another account.
    pub(crate) second: Option<SecondStream>,
    /// Breaks the table, to show that a check notices.
    pub(crate) sabotage: Option<model::Sabotage>,
}

impl Making {
    pub(crate) fn new(seed: u64, shards: u32) -> Self {
        let (tier, manner, settings) = (Tier::Model, Manner::Plain, Settings::default());
        Making { seed, tier, clock_seed: seed, shards, settings, manner, packs: false, second: None, sabotage: None }
    }
}

/// The second of two streams.
#[derive(Clone, Copy, Debug)]
pub(crate) struct SecondStream {
    pub(crate) shards: u32,
    /// The retrieval of the first stream and of this one.
    pub(crate) retrieval: [Retrieval; 2],
}

/// Settings of one process.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setup {
    pub(crate) settings: Option<Settings>,
    pub(crate) moods: Option<Moods>,
    /// The streams it serves; all if absent.
    pub(crate) serves: Option<BTreeSet<usize>>,
    /// How much faster its clock is, in parts per million; slower if negative.
    pub(crate) drift: i32,
}

/// Creates workers for one process.
type Build = Box<dyn Fn() -> futures_util::future::BoxFuture<'static, Result<Worker, kcl_core::Error>> + Send>;

/// See the module's documentation.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) history: History,
    pub(crate) weather: Weather,
    pub(crate) stream: Stream,
    /// The second of two streams.
    pub(crate) second: Option<Stream>,
    pub(crate) moods: Moods,
    pub(crate) rng: fastrand::Rng,
    making: Making,
    place: Place,
    clock_rng: fastrand::Rng,
    batches: Arc<AtomicU64>,
    pub(crate) database: Database,
    /// Payload bytes that were read and are not dropped yet, in the model tier.
    pub(crate) memory: Memory,
    processes: BTreeMap<Name, Process>,
}

impl World {
    pub(crate) fn new(making: Making) -> Self {
        let mut rng = fastrand::Rng::with_seed(making.seed);
        let history = History::begin();
        let weather = Weather::new(rng.fork(), history.clone());
        let (seed, shards) = (rng.u64(..), making.shards);
        let (place, stream) = match making.tier {
            Tier::Model => (
                Place::Model(model::Table::new(history.clone(), making.sabotage)),
                match making.second {
                    None => Stream::here(seed, shards, history.clone()),
                    Some(_) => Stream::here_among_several(seed, shards, history.clone()),
                },
            ),
            Tier::Wire => {
                let wire = Wire::new(seed, history.clone(), weather.clone());
                let stream = Stream::served(wire.aws.clone(), shards, history.clone());
                (Place::Wire(wire), stream)
            }
        };
        let second = making.second.map(|second| stream.of_another_account(second.shards));
        World {
            weather,
            stream,
            second,
            place,
            moods: Arc::default(),
            clock_rng: fastrand::Rng::with_seed(making.clock_seed),
            batches: Arc::default(),
            database: Database::new(history.clone()),
            memory: Memory::default(),
            processes: BTreeMap::new(),
            history,
            rng,
            making,
        }
    }

    // --- processes

    /// Starts a process under this worker id and returns its name.
    pub(crate) fn start(&mut self, worker: &str) -> Name {
        self.start_with(worker, Setup::default())
    }

    pub(crate) fn start_with(&mut self, worker: &str, setup: Setup) -> Name {
        let nth = self.processes.values().filter(|process| process.worker == worker).count() + 1;
        let name: Name = if nth == 1 { worker.into() } else { format!("{worker}#{nth}").into() };
        let host = Host::default();
        let origin = Duration::from_millis(self.clock_rng.u64(1_000_000..1_000_000_000_000));
        let rate = 1.0 + f64::from(setup.drift) / 1e6;
        let clock = Arc::new(ProcessClock::new(self.history.began(), origin, rate));
        self.weather.knows(name.clone(), host.clone());
        let (build, serving) = self.builder(name.clone(), worker.to_owned(), host.clone(), clock.clone(), setup);
        let history = self.history.clone();
        let mut process = Process::start(name.clone(), worker.to_owned(), host, clock, history, build);
        for n in serving.iter().flat_map(Serving::wanted) {
            let stream = self.streams()[n].account_and_name();
            self.history.add(Fact::Serves { process: name.clone(), stream });
        }
        process.serving = serving;
        self.processes.insert(name.clone(), process);
        name
    }

    /// The only stream, or both.
    pub(crate) fn streams(&self) -> Vec<&Stream> {
        [&self.stream].into_iter().chain(&self.second).collect()
    }

    /// What a process needs for each of several streams.
    fn configs(&self, seat: &Seat, rng: &Arc<Mutex<fastrand::Rng>>, second: SecondStream) -> Configs {
        let streams: Vec<Stream> = self.streams().into_iter().cloned().collect();
        let (weather, memory) = (self.weather.clone(), self.memory.clone());
        let (seat, rng) = (seat.clone(), rng.clone());
        Arc::new(move |n| {
            let (stream, arn): (&Stream, Arc<str>) = (&streams[n], streams[n].arn().into());
            let api = model::StreamSeat::new(stream.clone(), weather.clone(), seat.process.clone(), memory.clone());
            let (seat, rng, of) = (seat.clone(), rng.clone(), arn.clone());
            let handler = move |_: &_| Handler::of_stream(seat.clone(), of.clone(), rng.lock().unwrap().fork());
            StreamConfig::new(&*arn, handler).retrieval(second.retrieval[n]).with_api(Arc::new(api))
        })
    }

    /// Creates workers for one process.
    fn builder(
        &mut self,
        process: Name,
        worker: String,
        host: Host,
        clock: Arc<ProcessClock>,
        setup: Setup,
    ) -> (Build, Option<Serving>) {
        let settings = setup.settings.unwrap_or_else(|| self.making.settings.clone());
        let manner = self.making.manner;
        let settings = manner.settings(settings);
        let seat = Seat {
            process: process.clone(),
            worker: worker.clone(),
            history: self.history.clone(),
            moods: setup.moods.unwrap_or_else(|| self.moods.clone()),
            batches: self.batches.clone(),
            manner,
            host: host.clone(),
            database: self.database.clone(),
        };
        let seed = self.rng.u64(..);
        let handler_rng = Arc::new(Mutex::new(self.rng.fork()));
        let (place, stream, weather) = (self.place.clone(), self.stream.clone(), self.weather.clone());
        let memory = self.memory.clone();
        let serving = self.making.second.map(|second| {
            let names = self.streams().iter().map(|stream| (stream.account_and_name(), stream.arn())).collect();
            let all = || (0..self.streams().len()).collect();
            let wanted = setup.serves.unwrap_or_else(all);
            Serving::new(self.configs(&seat, &handler_rng, second), names, wanted)
        });
        let served = serving.clone();
        let build: Build = Box::new(move || {
            let (seat, rng) = (seat.clone(), handler_rng.clone());
            if let (Some(serving), Place::Model(table)) = (&serving, &place) {
                let store = model::TableSeat::new(table, weather.clone(), process.clone());
                let builder = Worker::of_streams(APPLICATION).with_store(Arc::new(store));
                let builder = serving.all().into_iter().fold(builder, |builder, stream| builder.stream(stream));
                let build = manner
                    .build(builder, process.clone(), seat.history.clone(), &seat.database)
                    .settings(settings.clone())
                    .worker_id(&worker)
                    .with_seed(seed)
                    .with_tasks(Arc::new(host.clone()))
                    .with_clock(clock.clone())
                    .build();
                return Box::pin(build);
            }
            let builder = Worker::builder(APPLICATION, STREAM);
            let builder = match &place {
                Place::Model(table) => {
                    let store = model::TableSeat::new(table, weather.clone(), process.clone());
                    let api = model::StreamSeat::new(stream.clone(), weather.clone(), process.clone(), memory.clone());
                    builder.with_store_and_stream(Arc::new(store), Arc::new(api))
                }
                Place::Wire(wire) => builder.sdk_config(&wire::without_credentials(wire.aws.sdk_config_for(&process))),
            };
            let build = manner
                .build(builder, process.clone(), seat.history.clone(), &seat.database)
                .settings(settings.clone())
                .worker_id(&worker)
                .with_seed(seed)
                .with_tasks(Arc::new(host.clone()))
                .with_clock(clock.clone())
                .processor(move |shard| Handler::new(seat.clone(), shard, rng.lock().unwrap().fork()))
                .build();
            Box::pin(build)
        });
        (build, served)
    }

    pub(crate) fn process(&self, name: &str) -> &Process {
        self.processes.get(name).unwrap_or_else(|| panic!("there is no process {name}"))
    }

    /// Processes that have not ended and were not asked to.
    pub(crate) fn alive(&self) -> Vec<Name> {
        let alive = self.processes.values().filter(|process| !process.has_ended());
        alive.map(|process| process.name.clone()).collect()
    }

    pub(crate) fn kill(&self, name: &str) {
        self.process(name).kill();
    }

    pub(crate) fn stop(&self, name: &str, within: Duration) {
        self.process(name).stop(within);
    }

    pub(crate) fn freeze(&self, name: &str) {
        self.process(name).freeze();
    }

    pub(crate) fn thaw(&self, name: &str) {
        self.process(name).thaw();
    }

    pub(crate) fn cut(&self, name: &str, from: Cut) {
        self.weather.cut(&self.process(name).name, from);
    }

    pub(crate) fn mend(&self, name: &str) {
        self.weather.mend(&self.process(name).name);
    }

    pub(crate) fn jump_clock(&self, name: &str, ahead: Duration) {
        let process = self.process(name);
        process.clock.jump(ahead);
        self.history.add(Fact::ClockJumped { process: process.name.clone(), ahead });
    }

    /// The clocks of all processes so far.
    pub(crate) fn clocks(&self) -> BTreeMap<Name, Arc<ProcessClock>> {
        self.processes.values().map(|process| (process.name.clone(), process.clock.clone())).collect()
    }

    pub(crate) fn manner(&self) -> Manner {
        self.making.manner
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.making.settings
    }

    // --- the table

    /// Every current row.
    pub(crate) fn rows(&self) -> Rows {
        match &self.place {
            Place::Model(table) => table.rows(),
            Place::Wire(wire) => wire.rows(),
        }
    }

    pub(crate) fn row(&self, key: &RowKey) -> Option<Row> {
        match &self.place {
            Place::Model(table) => table.get(key),
            Place::Wire(wire) => wire.get(key),
        }
    }

    pub(crate) fn lease(&self, shard: &str) -> Option<Lease> {
        self.row(&RowKey::Lease(LeaseKey::new(shard)))?.as_lease().cloned()
    }

    /// A client of the table's service, for features that only the wire tier has.
    ///
    /// # Panics
    /// In the model tier.
    pub(crate) fn dynamodb(&self) -> aws_sdk_dynamodb::Client {
        match &self.place {
            Place::Model(_) => panic!("the model tier has no DynamoDB"),
            Place::Wire(wire) => wire.aws.dynamodb(),
        }
    }

    /// Changes a row, like a person with a text editor.
    pub(crate) fn tamper(&self, key: RowKey, row: Option<Row>) {
        match &self.place {
            Place::Model(table) => table.tamper(key, row),
            Place::Wire(wire) => wire.tamper(&key, row.as_ref()),
        }
    }

    /// The number of unfinished leases of each worker.
    pub(crate) fn shares(&self) -> BTreeMap<String, usize> {
        let mut shares = BTreeMap::new();
        for lease in self.rows().leases.iter().filter(|lease| !lease.checkpoint.is_shard_end()) {
            if let Some(owner) = &lease.owner {
                *shares.entry(owner.worker.to_string()).or_default() += 1;
            }
        }
        shares
    }

    /// The leader, according to the table.
    pub(crate) fn leader(&self) -> Option<String> {
        self.rows().fleet?.leader.map(|(worker, _)| worker.to_string())
    }

    // --- time

    pub(crate) async fn pass(&self, time: Duration) {
        sleep(time).await;
    }

    pub(crate) async fn seconds(&self, seconds: u64) {
        self.pass(Duration::from_secs(seconds)).await;
    }

    /// Waits until a condition holds, and returns how long that took.
    ///
    /// # Panics
    /// If it does not hold within `within`; the message contains the table.
    pub(crate) async fn until(&self, what: &str, within: Duration, is_so: impl Fn(&World) -> bool) -> Duration {
        let began = Instant::now();
        while !is_so(self) {
            assert!(began.elapsed() < within, "not {what} within {within:?}: {:#?}", self.shares());
            sleep(Duration::from_millis(20)).await;
        }
        began.elapsed()
    }

    /// Waits until the unfinished leases are distributed like this.
    pub(crate) async fn until_shared(&self, shares: &[(&str, usize)], within: Duration) -> Duration {
        let wanted: BTreeMap<String, usize> = shares.iter().map(|(w, n)| ((*w).to_owned(), *n)).collect();
        self.until(&format!("shared {wanted:?}"), within, |world| world.shares() == wanted).await
    }

    /// Waits until every record that was put is handled.
    pub(crate) async fn until_handled(&self, within: Duration) -> Duration {
        self.until("all handled", within, |world| world.unhandled().is_empty()).await
    }

    /// Records that were put and that no handler has handled yet.
    pub(crate) fn unhandled(&self) -> std::collections::BTreeSet<u32> {
        self.history.unhandled()
    }

    /// Adds a sentence to the transcript.
    pub(crate) fn note(&self, text: impl Into<String>) {
        self.history.add(Fact::Note(text.into()));
    }

    /// Starts these workers one after the other and waits until they have equal shares.
    pub(crate) async fn fleet(&mut self, workers: &[&str]) {
        let leases = self.stream.open().len();
        for (n, worker) in workers.iter().enumerate() {
            self.start(worker);
            let share = leases / (n + 1);
            let shared = |world: &World| {
                let shares = world.shares();
                shares.len() == n + 1
                    && shares.values().all(|held| *held >= share)
                    && shares.values().sum::<usize>() == leases
            };
            self.until("shared", Duration::from_secs(10), shared).await;
        }
    }

    /// Expects the process to end with an error.
    pub(crate) fn may_fail(&self, name: &str) {
        self.history.add(Fact::MayFail { process: self.process(name).name.clone() });
    }

    /// The error with which a process ended or could not be built.
    pub(crate) fn error_of(&self, name: &str) -> Option<String> {
        self.history.with(|events| {
            events.iter().rev().find_map(|event| match &event.fact {
                Fact::Ended { process, error } if **process == *name => error.clone(),
                Fact::BuildFailed { process, error } if **process == *name => Some(error.clone()),
                _ => None,
            })
        })
    }

    /// The number of facts that match.
    pub(crate) fn count(&self, is_like: impl Fn(&Fact) -> bool) -> usize {
        self.history.with(|events| events.iter().filter(|event| is_like(&event.fact)).count())
    }

    /// The number of ownership changes.
    pub(crate) fn moves(&self) -> usize {
        let owner = |row: &Option<Row>| row.as_ref().and_then(Row::as_lease).and_then(|lease| lease.owner.clone());
        self.count(|fact| matches!(fact, Fact::Changed { key: RowKey::Lease(_), before, after, .. } if owner(before) != owner(after)))
    }

    /// Sets the handlers' behaviour from now on.
    pub(crate) fn mood(&self, mood: Mood) {
        *self.moods.lock().unwrap() = mood;
    }
}

/// Runs a play in a runtime of its own, on virtual time.
pub(crate) fn run<T>(play: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().start_paused(true).build().unwrap();
    let outcome = runtime.block_on(play);
    runtime.shutdown_background();
    outcome
}
