//! Whole consumers, with a scripted reader and a scripted processor, under virtual time.

use crate::clock::TokioClock;
use crate::lease::LeaseKey;
use crate::processor::{
    Batch, BoxError, ConsumerHost, Delivery, Gate, RecordProcessor, Report, ReportKind, RetryForEver, ShardContext,
    StartConsumer,
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

type Fed = Result<Chunk, ReadError>;

/// What happened, in order, and when.
#[derive(Clone, Debug)]
struct Log(Arc<Mutex<Vec<(Duration, String)>>>, Instant);

impl Log {
    fn say(&self, what: impl Into<String>) {
        self.0.lock().unwrap().push((self.1.elapsed(), what.into()));
    }

    fn lines(&self) -> Vec<String> {
        self.0.lock().unwrap().iter().map(|(_, what)| what.clone()).collect()
    }

    fn count(&self, what: &str) -> usize {
        self.lines().iter().filter(|line| *line == what).count()
    }

    fn when(&self, what: &str) -> Duration {
        self.0.lock().unwrap().iter().find(|(_, line)| line == what).map(|(when, _)| *when).unwrap()
    }
}

/// Says so when it is dropped.
struct Dropped(Log, &'static str);

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

struct FedReaders(Mutex<Option<mpsc::UnboundedReceiver<Fed>>>, Log);

impl Readers for FedReaders {
    fn open(&self, _: &ShardId, _: StartingPosition, _: Arc<Stopwatch>) -> Box<dyn ShardReader> {
        let (feed, log) = (self.0.lock().unwrap().take().unwrap(), self.1.clone());
        Box::new(FedReader { feed, _dropped: Dropped(log.clone(), "reader dropped"), log })
    }
}

/// Answers a callback, which is named as the log names it.
type Script = Arc<dyn Fn(&str) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync>;

struct Scripted {
    script: Script,
    log: Log,
    _dropped: Dropped,
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
        assert!(shard.delivery().is_open(), "I1");
        let numbers: Vec<_> = batch.iter().map(|record| record.sequence_number.as_str()).collect();
        self.call(format!("records {}", numbers.join(" "))).await
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

struct Fixture {
    gate: Arc<Gate>,
    delivery: Arc<Delivery>,
    reports: mpsc::UnboundedReceiver<Report>,
    feed: mpsc::UnboundedSender<Fed>,
    log: Log,
    host: Box<dyn AllGone>,
}

/// The host without its type.
trait AllGone: StartConsumer {
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

/// A consumer whose callbacks answer what `script` says.
fn consumer(script: impl Fn(&str) -> BoxFuture<'static, Result<(), BoxError>> + Send + Sync + 'static) -> Fixture {
    let (script, log) = (Arc::new(script) as Script, Log(Arc::default(), Instant::now()));
    let mine = log.clone();
    start(log, move |_| Scripted {
        script: Arc::clone(&script),
        log: mine.clone(),
        _dropped: Dropped(mine.clone(), "processor dropped"),
    })
}

fn start(log: Log, factory: impl Fn(&ShardId) -> Scripted + Send + Sync + 'static) -> Fixture {
    let clock = Arc::new(TokioClock::new());
    let gate = Gate::new(clock.clone());
    gate.open_until(crate::Time::from_nanos(u64::MAX));
    let (sender, reports) = mpsc::unbounded_channel();
    let shard = ShardId::from("shardId-000000000000");
    let from = StartingPosition::TrimHorizon;
    let delivery = Delivery::new(LeaseKey::from(&shard), shard, 7, from, Arc::clone(&gate), sender);
    let (feed, fed) = mpsc::unbounded_channel();
    let readers = Arc::new(FedReaders(Mutex::new(Some(fed)), log.clone()));
    let (runtime, stream) = (tokio::runtime::Handle::current(), StreamRef::from("clicks"));
    let (policy, rng) = (Arc::new(RetryForEver::default()), fastrand::Rng::with_seed(1));
    let host = Box::new(ConsumerHost::new(Arc::new(runtime), readers, factory, stream, policy, clock, rng));
    host.start(Arc::clone(&delivery));
    Fixture { gate, delivery, reports, feed, log, host }
}

impl Fixture {
    fn feed(&self, numbers: std::ops::RangeInclusive<u64>) {
        self.feed.send(Ok(chunk(numbers))).unwrap();
    }

    fn feed_end(&self, numbers: std::ops::RangeInclusive<u64>) {
        self.feed.send(Ok(Chunk { end: Some(children()), ..chunk(numbers) })).unwrap();
    }

    /// All reports up to `Gone`, which must be the last thing that happens.
    async fn reports(&mut self) -> Vec<ReportKind> {
        let mut kinds = Vec::new();
        loop {
            let report = timeout(Duration::from_secs(3_600), self.reports.recv()).await.unwrap().unwrap();
            assert_eq!(report.fencing_token, 7);
            if report.kind == ReportKind::Gone {
                break;
            }
            kinds.push(report.kind);
        }
        self.host.all_gone().await;
        assert!(self.reports.try_recv().is_err(), "nothing is reported after `Gone`");
        kinds
    }

    fn acknowledged(&self) -> Option<u64> {
        self.delivery.acknowledged().map(|position| position.sequence_number.as_str().parse().unwrap())
    }
}

fn number(n: u64) -> SequenceNumber {
    SequenceNumber::parse(n.to_string()).unwrap()
}

fn chunk(numbers: std::ops::RangeInclusive<u64>) -> Chunk {
    Chunk { records: numbers.map(|n| Record::new(number(n), "x")).collect(), ..Chunk::default() }
}

fn children() -> Vec<Shard> {
    let (id, parents) = (ShardId::from("shardId-000000000001"), vec![ShardId::from("shardId-000000000000")]);
    vec![Shard { id, parents, hash_range: None, starting_sequence_number: None, closed: false }]
}

fn fine() -> BoxFuture<'static, Result<(), BoxError>> {
    ready(Ok(())).boxed()
}

fn takes(secs: u64) -> BoxFuture<'static, Result<(), BoxError>> {
    sleep(Duration::from_secs(secs)).map(Ok).boxed()
}

fn fails() -> BoxFuture<'static, Result<(), BoxError>> {
    ready(Err("database is down".into())).boxed()
}

/// The first `n` calls of `what` get `bad`, everything else is fine.
fn first(
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

fn secs(n: u64) -> Duration {
    Duration::from_secs(n)
}

#[tokio::test(start_paused = true)]
async fn batches_come_in_order_and_move_the_acknowledged_position() {
    let mut it = consumer(|_| fine());
    it.feed(1..=3);
    it.feed.send(Ok(Chunk::default())).unwrap();
    it.feed(4..=5);
    sleep(secs(1)).await;
    let calls = ["initialize", "records 1 2 3", "records 4 5"];
    assert_eq!(it.log.lines().iter().filter(|line| *line != "fetched").collect::<Vec<_>>(), calls);
    assert_eq!(it.acknowledged(), Some(5));
    it.delivery.drain();
    assert_eq!(it.reports().await, [ReportKind::Drained]);
}

#[tokio::test(start_paused = true)]
async fn a_drain_finishes_the_batch_and_leaves_the_next_one() {
    let mut it = consumer(|call| if call == "records 1 2" { takes(3) } else { fine() });
    it.feed(1..=2);
    it.feed(3..=4);
    sleep(secs(1)).await;
    it.delivery.drain();
    assert_eq!(it.reports().await, [ReportKind::Drained]);
    assert_eq!(it.acknowledged(), Some(2));
    assert_eq!(it.log.when("shutdown_requested"), secs(3));
    assert_eq!(it.log.count("records 3 4") + it.log.count("lease_lost"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_drain_does_not_wait_for_a_batch_that_keeps_failing() {
    let mut it = consumer(|call| if call == "records 1" { fails() } else { fine() });
    it.feed(1..=1);
    sleep(secs(60)).await;
    it.delivery.drain();
    let asked = Instant::now();
    assert_eq!(it.reports().await, [ReportKind::Drained]);
    assert_eq!((it.acknowledged(), asked.elapsed()), (None, Duration::ZERO));
}

#[tokio::test(start_paused = true)]
async fn a_lost_lease_drops_the_running_handler_and_takes_no_acknowledgement() {
    let dropped = Log(Arc::default(), Instant::now());
    let guard = dropped.clone();
    let mut it = consumer(move |call| {
        if !call.starts_with("records") {
            return fine();
        }
        let guard = Dropped(guard.clone(), "handler dropped");
        async move {
            let _guard = guard;
            pending().await
        }
        .boxed()
    });
    it.feed(1..=2);
    sleep(secs(1)).await;
    it.delivery.close();
    assert_eq!(it.reports().await, []);
    assert_eq!(dropped.lines(), ["handler dropped"]);
    assert_eq!((it.acknowledged(), it.log.count("lease_lost"), it.log.count("shutdown_requested")), (None, 1, 0));
}

#[tokio::test(start_paused = true)]
async fn gone_is_said_after_processor_and_reader_are_dropped() {
    let mut it = consumer(|call| if call == "lease_lost" { takes(2) } else { fine() });
    it.feed(1..=2);
    sleep(secs(1)).await;
    it.delivery.close();
    // The test's own task reads the report as soon as it is there.
    while it.reports.recv().await.unwrap().kind != ReportKind::Gone {}
    assert_eq!((it.log.count("processor dropped"), it.log.count("reader dropped")), (1, 1));
    assert_eq!(it.log.when("processor dropped"), secs(3));
}

#[tokio::test(start_paused = true)]
async fn a_lease_lost_callback_that_hangs_is_dropped() {
    let mut it = consumer(|call| if call == "lease_lost" { pending().boxed() } else { fine() });
    sleep(secs(1)).await;
    it.delivery.close();
    assert_eq!(it.reports().await, []);
    assert_eq!(it.log.when("processor dropped"), secs(11));
}

#[tokio::test(start_paused = true)]
async fn a_late_session_holds_the_batch_and_a_confirmed_one_delivers_it() {
    let it = consumer(|_| fine());
    it.gate.shut();
    it.feed(1..=2);
    sleep(secs(30)).await;
    assert_eq!((it.log.count("fetched"), it.log.count("records 1 2")), (1, 0));
    it.gate.open_until(crate::Time::from_nanos(u64::MAX));
    sleep(secs(1)).await;
    assert_eq!(it.log.count("records 1 2"), 1);
    assert!(it.log.when("records 1 2") - secs(30) <= Duration::from_millis(50));
    assert_eq!(it.acknowledged(), Some(2));
}

#[tokio::test(start_paused = true)]
async fn a_batch_that_is_held_is_left_to_the_next_owner_when_the_lease_goes() {
    let mut it = consumer(|_| fine());
    it.gate.shut();
    it.feed(1..=2);
    sleep(secs(1)).await;
    it.delivery.drain();
    assert_eq!(it.reports().await, [ReportKind::Drained]);
    assert_eq!((it.log.count("records 1 2"), it.acknowledged()), (0, None));
}

#[tokio::test(start_paused = true)]
async fn a_panicking_or_failing_handler_gets_the_same_records_again() {
    for bad in [(|| async { panic!("index out of bounds") }.boxed()) as fn() -> _, fails] {
        let it = consumer(first(3, "records 1 2", bad));
        it.feed(1..=2);
        it.feed(3..=3);
        sleep(secs(10)).await;
        assert_eq!((it.log.count("records 1 2"), it.log.count("records 3")), (4, 1));
        assert_eq!(it.acknowledged(), Some(3));
    }
}

#[tokio::test(start_paused = true)]
async fn no_records_come_before_initialize_succeeded() {
    let it = consumer(first(3, "initialize", || async { panic!("no database") }.boxed()));
    it.feed(1..=1);
    sleep(secs(10)).await;
    let lines = it.log.lines();
    assert_eq!(it.log.count("initialize"), 4);
    assert_eq!(lines.last().unwrap(), "records 1");
}

#[tokio::test(start_paused = true)]
async fn a_shards_end_waits_until_its_last_batch_is_acknowledged_and_shard_ended_succeeded() {
    let failing = first(2, "records 1 2", fails);
    let refusing = first(2, "shard_ended", fails);
    let mut it = consumer(move |call| if call == "shard_ended" { refusing(call) } else { failing(call) });
    it.feed_end(1..=2);
    assert_eq!(it.reports().await, [ReportKind::Ended(children())]);
    assert_eq!(it.acknowledged(), Some(2));
    let calls: Vec<_> =
        it.log.lines().into_iter().filter(|line| line.contains(' ') && !line.contains("drop")).collect();
    assert_eq!(calls, vec!["records 1 2"; 3]);
    assert_eq!(
        (it.log.count("shard_ended"), it.log.count("lease_lost"), it.log.count("shutdown_requested")),
        (3, 0, 0)
    );
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_panics_gives_the_lease_up() {
    struct Panics;
    #[async_trait]
    impl ShardReader for Panics {
        async fn next(&mut self) -> Fed {
            panic!("a bug")
        }
    }
    impl Readers for Panics {
        fn open(&self, _: &ShardId, _: StartingPosition, _: Arc<Stopwatch>) -> Box<dyn ShardReader> {
            Box::new(Panics)
        }
    }
    let mut it = consumer(|_| fine());
    it.delivery.drain();
    it.reports().await;
    let log = it.log.clone();
    let clock = Arc::new(TokioClock::new());
    let (sender, mut reports) = mpsc::unbounded_channel();
    let shard = ShardId::from("shardId-000000000000");
    let gate = Gate::new(clock.clone());
    let delivery = Delivery::new(LeaseKey::from(&shard), shard, 7, StartingPosition::TrimHorizon, gate, sender);
    let factory = move |_: &ShardId| Scripted {
        script: Arc::new(|_| fine()),
        log: log.clone(),
        _dropped: Dropped(log.clone(), "processor dropped"),
    };
    let (runtime, policy) = (tokio::runtime::Handle::current(), Arc::new(RetryForEver::default()));
    let rng = fastrand::Rng::with_seed(1);
    let host =
        ConsumerHost::new(Arc::new(runtime), Arc::new(Panics), factory, StreamRef::from("clicks"), policy, clock, rng);
    host.start(delivery);
    assert!(matches!(reports.recv().await.unwrap().kind, ReportKind::GaveUp { stop_worker: false, .. }));
    assert_eq!(reports.recv().await.unwrap().kind, ReportKind::Gone);
    host.all_gone().await;
}

#[tokio::test(start_paused = true)]
async fn a_factory_that_panics_stops_the_worker_and_gone_is_still_last() {
    let mut it = start(Log(Arc::default(), Instant::now()), |_| panic!("no configuration"));
    let reports = it.reports().await;
    let [ReportKind::GaveUp { reason, stop_worker: true }] = &reports[..] else { panic!("{reports:?}") };
    assert!(reason.contains("shardId-000000000000") && reason.contains("no configuration"), "{reason}");
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_is_gone_stops_the_worker() {
    let mut it = consumer(|_| fine());
    let source = ApiError { kind: ApiErrorKind::NotFound, message: "stream `clicks` is gone".to_owned(), source: None };
    it.feed.send(Err(ReadError { shard: it.delivery.shard.clone(), source })).unwrap();
    let reports = it.reports().await;
    let [ReportKind::GaveUp { reason, stop_worker: true }] = &reports[..] else { panic!("{reports:?}") };
    assert!(reason.contains("stream `clicks` is gone"), "{reason}");
    assert_eq!(it.log.count("lease_lost"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_refused_read_that_is_granted_in_time_goes_on() {
    let it = consumer(|_| fine());
    for _ in 0..3 {
        let source = ApiError { kind: ApiErrorKind::Refused, message: "no".to_owned(), source: None };
        it.feed.send(Err(ReadError { shard: it.delivery.shard.clone(), source })).unwrap();
    }
    it.feed(1..=1);
    sleep(secs(10)).await;
    assert_eq!(it.acknowledged(), Some(1));
}

#[tokio::test(start_paused = true)]
async fn two_chunks_are_fetched_ahead_of_a_busy_handler_and_no_more() {
    let it = consumer(|call| if call == "records 1" { takes(60) } else { fine() });
    for n in 1..=9 {
        it.feed(n..=n);
    }
    sleep(secs(30)).await;
    assert_eq!(it.log.count("fetched"), 3);
    sleep(secs(60)).await;
    assert_eq!((it.log.count("fetched"), it.acknowledged()), (9, Some(9)));
}

#[tokio::test(start_paused = true)]
async fn whatever_gate_handler_and_owner_do_records_come_in_order_and_none_is_passed_over() {
    for seed in 0..200 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let handler = Mutex::new(rng.fork());
        let mut it = consumer(move |_| {
            let mut rng = handler.lock().unwrap();
            match rng.u8(0..6) {
                0 => fails(),
                1 => async { panic!("no") }.boxed(),
                2 => takes(rng.u64(1..5)),
                _ => fine(),
            }
        });
        for n in 0..20 {
            it.feed(n * 2 + 1..=n * 2 + 2);
        }
        for _ in 0..rng.u32(1..40) {
            if rng.bool() {
                it.gate.shut()
            } else {
                it.gate.open_until(crate::Time::from_nanos(u64::MAX))
            }
            sleep(Duration::from_millis(rng.u64(0..2_000))).await;
        }
        if rng.bool() {
            it.delivery.drain()
        } else {
            drop(it.delivery.close())
        }
        it.reports().await;
        let mut next = 1;
        for line in it.log.lines().iter().filter_map(|line| line.strip_prefix("records ")) {
            let first: u64 = line.split(' ').next().unwrap().parse().unwrap();
            assert!(first == next || first + 2 == next, "seed {seed}: {line} after {next}");
            next = first + 2;
        }
        let acknowledged = it.acknowledged().unwrap_or(0);
        // At most the batch at hand is not acknowledged.
        assert!(acknowledged + 1 == next || acknowledged + 3 == next, "seed {seed}: {acknowledged} of {next}");
    }
}
