//! Runs a consumer with a scripted reader and a scripted processor.

use crate::checkpoint::CompletedRanges;
use crate::clock::TokioClock;
use crate::config::{Concurrency, HandlingConfig, Settings};
use crate::error::Code;
use crate::lease::LeaseKey;
use crate::lease::row::QuarantinedKey;
use crate::processor::{
    Batch, BoxError, ClaimSnapshot, ConsumerDeps, ConsumerHost, DeadLetterSink, DeliveryGate, ErrorPolicy,
    HandlerConfig, OnError, RecordProcessor, Report, ReportKind, ShardContext, ShardDelivery, StartConsumer,
};
use crate::record::{Record, SequenceNumber, ShardId, StartingPosition, StreamRef};
use crate::retrieval::{Chunk, ReadError, Readers, ShardReader};
use crate::shard::{ApiError, ApiErrorKind, Shard};
use crate::stopwatch::Stopwatch;
use async_trait::async_trait;
use futures_util::future::{BoxFuture, FutureExt, pending, ready};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::mpsc;
use tokio::time::{Instant, sleep, timeout};

pub(super) type Fed = Result<Chunk, ReadError>;

/// Logs what happens, in order, with its time.
#[derive(Clone, Debug)]
pub(super) struct Log(Arc<Mutex<Vec<(Duration, String)>>>, Instant);

impl Log {
    pub(super) fn new() -> Self {
        Log(Arc::default(), Instant::now())
    }

    pub(super) fn say(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push((self.1.elapsed(), what.into()));
    }

    pub(super) fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(_, what)| what.clone()).collect()
    }

    pub(super) fn count(&self, what: &str) -> usize {
        self.lines().iter().filter(|line| *line == what).count()
    }

    pub(super) fn when(&self, what: &str) -> Duration {
        self.0.lock().unwrap().iter().find(|(_, line)| line == what).map(|(when, _)| *when).unwrap()
    }
}

/// Logs when it is dropped.
pub(super) struct Dropped(pub(super) Log, pub(super) &'static str);

impl Drop for Dropped {
    fn drop(&mut self) {
        self.0.say(self.1);
    }
}

struct FedReader {
    feed: mpsc::UnboundedReceiver<Fed>,
    log: Log,
    _dropped: Dropped,
}

#[async_trait]
impl ShardReader for FedReader {
    async fn next(&mut self) -> Fed {
        match self.feed.recv().await {
            Some(fed) => {
                self.log.say("fetched");
                fed
            }
            None => pending().await,
        }
    }
}

/// The records that can be read again, those that were quarantined at the start, and the number of
/// reads that are refused first.
struct FedReaders(Mutex<Option<mpsc::UnboundedReceiver<Fed>>>, Log, Vec<Record>, Vec<SequenceNumber>, Mutex<u32>);

/// A reader that returns one result, and then pends.
struct Kept(Option<Fed>);

#[async_trait]
impl ShardReader for Kept {
    async fn next(&mut self) -> Fed {
        match self.0.take() {
            Some(kept) => kept,
            None => pending().await,
        }
    }
}

impl Readers for FedReaders {
    fn open(&self, shard: &ShardId, from: StartingPosition, _: Arc<Stopwatch>) -> Box<dyn ShardReader> {
        let mut feed = self.0.lock().unwrap();
        if let StartingPosition::At(number) = &from
            && (feed.is_none() || self.3.contains(number))
        {
            self.1.say(format!("reread {number}"));
            let mut refusals = self.4.lock().unwrap();
            if *refusals > 0 {
                *refusals -= 1;
                let source = ApiError::new(ApiErrorKind::Refused, "no");
                return Box::new(Kept(Some(Err(ReadError { shard: shard.clone(), source }))));
            }
            let records = self.2.iter().filter(|record| record.sequence_number >= *number).cloned().collect();
            return Box::new(Kept(Some(Ok(Chunk { records, millis_behind_latest: Some(0), ..Chunk::default() }))));
        }
        let (feed, log) = (feed.take().expect("the shard is read once"), self.1.clone());
        Box::new(FedReader { feed, _dropped: Dropped(log.clone(), "reader dropped"), log })
    }
}

/// Answers a callback by its name in the log.
pub(super) type Script = Arc<dyn Fn(&str) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;

pub(super) struct Scripted {
    pub(super) script: Script,
    pub(super) log: Log,
    pub(super) _dropped: Dropped,
}

impl Scripted {
    async fn call(&self, what: String) -> Result<(), BoxError> {
        self.log.say(what.clone());
        (self.script)(&what).await
    }
}

impl RecordProcessor for Scripted {
    async fn initialize(&mut self, _: &ShardContext) -> Result<(), BoxError> {
        self.call("initialize".to_owned()).await
    }

    async fn process_records(&mut self, batch: &Batch, shard: &ShardContext) -> Result<(), BoxError> {
        let numbers: Vec<_> = batch.iter().map(|record| record.sequence_number.as_str()).collect();
        let what = format!("records {}", numbers.join(" "));
        if !shard.delivery().is_open() {
            // A line of its own, because the consumer treats a panic of a handler as a failure and goes
            // on: an assertion here would fail no test.
            self.log.say(format!("delivered after the gate was closed: {what}"));
        }
        self.call(what).await
    }

    async fn lease_lost(&mut self, _: &ShardContext) {
        let _ = self.call("lease_lost".to_owned()).await;
    }

    async fn shard_ended(&mut self, _: &ShardContext) -> Result<(), BoxError> {
        self.call("shard_ended".to_owned()).await
    }

    async fn shutdown_requested(&mut self, _: &ShardContext) -> Result<(), BoxError> {
        self.call("shutdown_requested".to_owned()).await
    }
}

pub(super) struct Fixture {
    pub(super) gate: Arc<DeliveryGate>,
    pub(super) delivery: Arc<ShardDelivery>,
    pub(super) reports: mpsc::UnboundedReceiver<Report>,
    pub(super) feed: mpsc::UnboundedSender<Fed>,
    pub(super) log: Log,
    pub(super) host: Box<dyn AllGone>,
}

/// A report in a form that can be compared.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said {
    Drained,
    Ended(Vec<Shard>),
    GaveUp { reason: String, stops_with: Option<Code> },
    Write,
    Gone,
}

impl From<ReportKind> for Said {
    fn from(kind: ReportKind) -> Self {
        match kind {
            ReportKind::Drained => Said::Drained,
            ReportKind::Ended(children) => Said::Ended(children),
            ReportKind::GaveUp { reason, stops_with } => Said::GaveUp { reason, stops_with },
            ReportKind::Write(_) => Said::Write,
            ReportKind::Gone => Said::Gone,
        }
    }
}

/// The host, without the type of its factory.
pub(super) trait AllGone: StartConsumer {
    fn all_gone(&self) -> BoxFuture<'_, ()>;
}

impl<F, P> AllGone for ConsumerHost<F>
where
    F: Fn(&ShardId) -> P + Send + Sync + 'static,
    P: RecordProcessor,
{
    fn all_gone(&self) -> BoxFuture<'_, ()> {
        ConsumerHost::all_gone(self).boxed()
    }
}

/// The configuration of a consumer.
pub(super) struct Stage {
    pub(super) settings: Settings,
    pub(super) handling: HandlerConfig,
    pub(super) parked: Vec<QuarantinedKey>,
    pub(super) done: CompletedRanges,
    /// The records that are read again from quarantine.
    pub(super) kept: Vec<Record>,
    /// The number of those reads that are refused first.
    pub(super) refusals: u32,
    /// The position of the lease's row.
    pub(super) from: StartingPosition,
}

impl Default for Stage {
    fn default() -> Self {
        let policy = Arc::new(OnError::retry());
        let concurrency = Concurrency::Auto;
        let handling = HandlerConfig { policy, sink: None, store: None, concurrency, keyed: true, manual: false };
        let (parked, kept) = (Vec::new(), Vec::new());
        let (done, from) = (CompletedRanges::default(), StartingPosition::TrimHorizon);
        Stage { settings: Settings::default(), handling, parked, done, kept, refusals: 0, from }
    }
}

impl Stage {
    pub(super) fn policy(policy: impl ErrorPolicy) -> Self {
        let mut stage = Stage::default();
        stage.handling.policy = Arc::new(policy);
        stage
    }

    pub(super) fn lanes(concurrency: Concurrency) -> Self {
        let mut stage = Stage::default();
        stage.handling.concurrency = concurrency;
        stage
    }

    pub(super) fn set(mut self, set: impl FnOnce(Settings) -> Settings) -> Self {
        self.settings = set(self.settings);
        self.handling.manual = self.settings.manual_checkpoints;
        self
    }

    pub(super) fn sink(mut self, sink: impl DeadLetterSink) -> Self {
        self.handling.sink = Some(Arc::new(sink));
        self
    }

    /// A configuration whose callbacks are answered by `script`.
    pub(super) fn run(
        self,
        script: impl Fn(&str) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync + 'static,
    ) -> Fixture {
        let (script, log) = (Arc::new(script) as Script, Log::new());
        let mine = log.clone();
        self.start(log, move |_| Scripted {
            script: Arc::clone(&script),
            log: mine.clone(),
            _dropped: Dropped(mine.clone(), "processor dropped"),
        })
    }

    pub(super) fn start<P: RecordProcessor>(
        self,
        log: Log,
        factory: impl Fn(&ShardId) -> P + Send + Sync + 'static,
    ) -> Fixture {
        let (feed, fed) = mpsc::unbounded_channel();
        let parked = self.parked.iter().flat_map(|key| &key.positions).map(|at| at.sequence_number.clone()).collect();
        let readers = Arc::new(FedReaders(
            Mutex::new(Some(fed)),
            log.clone(),
            self.kept.clone(),
            parked,
            Mutex::new(self.refusals),
        ));
        self.start_on(log, feed, readers, factory)
    }

    pub(super) fn start_on<P: RecordProcessor>(
        self,
        log: Log,
        feed: mpsc::UnboundedSender<Fed>,
        readers: Arc<dyn Readers>,
        factory: impl Fn(&ShardId) -> P + Send + Sync + 'static,
    ) -> Fixture {
        let clock = Arc::new(TokioClock::new());
        let gate = DeliveryGate::new(clock.clone());
        gate.open_until(crate::clock::Time::from_nanos(u64::MAX));
        let (sender, reports) = mpsc::unbounded_channel();
        let shard = ShardId::from("shardId-000000000000");
        let claim = ClaimSnapshot::of(LeaseKey::from(&shard), shard, 7, self.from);
        let max_quarantined = self.settings.max_quarantined;
        let claim = ClaimSnapshot { parked: self.parked, done: self.done, max_quarantined, ..claim };
        let delivery = ShardDelivery::new(claim, Arc::clone(&gate), sender);
        let (runtime, stream) = (tokio::runtime::Handle::current(), StreamRef::from("clicks"));
        let (config, rng) = (HandlingConfig::from(&self.settings), fastrand::Rng::with_seed(1));
        let deps = ConsumerDeps { tasks: Arc::new(runtime), readers, stream, config, clock, rng };
        let host = Box::new(ConsumerHost::new(deps, self.handling, factory));
        host.start(Arc::clone(&delivery));
        Fixture { gate, delivery, reports, feed, log, host }
    }
}

/// A consumer whose callbacks are answered by `script`.
pub(super) fn consumer(
    script: impl Fn(&str) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync + 'static,
) -> Fixture {
    Stage::default().run(script)
}

impl Fixture {
    pub(super) fn feed(&self, numbers: std::ops::RangeInclusive<u64>) {
        self.feed.send(Ok(chunk(numbers))).unwrap();
    }

    pub(super) fn feed_end(&self, numbers: std::ops::RangeInclusive<u64>) {
        self.feed.send(Ok(Chunk { end: Some(children()), ..chunk(numbers) })).unwrap();
    }

    /// All reports up to `Gone`, which must be the last one.
    pub(super) async fn reports(&mut self) -> Vec<Said> {
        let mut kinds = Vec::new();
        loop {
            let report = timeout(Duration::from_secs(3_600), self.reports.recv()).await.unwrap().unwrap();
            assert_eq!(report.fencing_token, 7);
            let said = Said::from(report.kind);
            if said == Said::Gone {
                break;
            }
            kinds.push(said);
        }
        self.host.all_gone().await;
        assert!(self.reports.try_recv().is_err(), "nothing is reported after `Gone`");
        kinds
    }

    pub(super) fn acknowledged(&self) -> Option<u64> {
        self.delivery.acknowledged().map(|position| position.sequence_number.as_str().parse().unwrap())
    }
}

pub(super) fn number(n: u64) -> SequenceNumber {
    SequenceNumber::parse(n.to_string()).unwrap()
}

pub(super) fn chunk(numbers: std::ops::RangeInclusive<u64>) -> Chunk {
    Chunk { records: numbers.map(record).collect(), ..Chunk::default() }
}

pub(super) fn record(n: u64) -> Record {
    Record::new(number(n), "x")
}

/// A record whose key is the last digit of its number.
pub(super) fn keyed(n: u64) -> Record {
    record(n).with_partition_key(format!("key-{}", n % 10)).with_arrival_ms(i64::try_from(n).unwrap())
}

pub(super) fn children() -> Vec<Shard> {
    let (id, parents) = (ShardId::from("shardId-000000000001"), vec![ShardId::from("shardId-000000000000")]);
    vec![Shard { id, parents, hash_range: None, starting_sequence_number: None, closed: false }]
}

pub(super) fn fine() -> BoxFuture<'static, Result<(), BoxError>> {
    ready(Ok(())).boxed()
}

pub(super) fn acquires(secs: u64) -> BoxFuture<'static, Result<(), BoxError>> {
    sleep(Duration::from_secs(secs)).map(Ok).boxed()
}

pub(super) fn fails() -> BoxFuture<'static, Result<(), BoxError>> {
    ready(Err("database is down".into())).boxed()
}

/// The first `n` calls of `what` get the answer `bad`, all others `fine`.
pub(super) fn first(
    n: usize,
    what: &'static str,
    bad: impl Fn() -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync + 'static,
) -> impl Fn(&str) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync + 'static {
    let left = Mutex::new(n);
    move |called| {
        let mut left = left.lock().unwrap();
        if called == what && *left > 0 {
            *left -= 1;
            drop(left);
            return bad();
        }
        fine()
    }
}

pub(super) fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}
