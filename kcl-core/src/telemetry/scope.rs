//! Whose signals are emitted: the application, the worker, the stream.
//!
//! A task of a worker runs in its scope ([`Scope::around`]); events find it there, so that nothing has to be handed down
//! to each place that emits one. What a scope's events must remember (trouble that goes on, gauges that are set) is shared
//! by all scopes of a worker.

#[cfg(feature = "metrics")]
use super::metric::Metric;
use super::outage::{Line, OutageLog};
use crate::clock::Time;
use crate::lease::LeaseKey;
use crate::record::ShardId;
use crate::spawn::Spawn;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::collections::BTreeMap;
#[cfg(feature = "metrics")]
use std::collections::BTreeSet;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::time::Instant;
use tracing::{Instrument, Span, info_span};

tokio::task_local! {
    static CURRENT: Scope;
}

/// See the module's documentation. Cheap to clone.
#[derive(Clone, Debug)]
pub(crate) struct Scope {
    application: Arc<str>,
    worker: Arc<str>,
    /// The only stream of the worker, or one of several.
    stream: Option<Arc<str>>,
    shared: Arc<Shared>,
}

/// What a worker's events remember.
#[derive(Debug)]
struct Shared {
    origin: Instant,
    troubles: Mutex<BTreeMap<Key, OutageLog>>,
    #[cfg(feature = "metrics")]
    series: Mutex<BTreeSet<Series>>,
}

/// What is in trouble.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Subject {
    /// Calls to the lease table, heartbeats among them.
    Table,
    /// Calls of the coordination to a stream, such as lists of shards.
    StreamCalls,
    /// Reads of a stream's shards.
    Reads,
    /// Reads of a stream's shards that are throttled.
    Throttles,
    /// Fan-out subscriptions.
    Subscriptions,
    /// ShardDelivery that waits for the session.
    ShardDelivery,
    /// One stage of the shards' work that is stalled.
    Stage(&'static str),
    /// The handler of one shard.
    Handler,
    /// Records that the error policy yields up.
    DeadLetters,
    /// The dead-letter sink.
    DeadLetterSink,
    /// A shard whose quarantine is full.
    Quarantine,
    /// The checkpoint store.
    CheckpointStore,
    /// Records that the stream's retention will end soon.
    Retention,
    /// Positions whose record the stream's retention has ended.
    Expired,
}

/// A subject, and the stream and shard where it has one of each.
type Key = (Subject, Option<Arc<str>>, Option<Box<str>>);

/// A gauge that is exported, of whichever stream.
#[cfg(feature = "metrics")]
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Series {
    pub(super) metric: Metric,
    pub(super) labels: Vec<(&'static str, Box<str>)>,
    stream: Option<Arc<str>>,
}

impl Scope {
    /// The scope of a worker.
    pub(crate) fn of_worker(application: &str, worker: &str) -> Self {
        let shared = Shared {
            origin: Instant::now(),
            troubles: Mutex::default(),
            #[cfg(feature = "metrics")]
            series: Mutex::default(),
        };
        Scope { application: application.into(), worker: worker.into(), stream: None, shared: Arc::new(shared) }
    }

    /// The application's name.
    pub(crate) fn application(&self) -> &str {
        &self.application
    }

    /// The scope of one of the worker's streams.
    pub(crate) fn of_stream(&self, stream: &str) -> Self {
        Scope { stream: Some(stream.into()), ..self.clone() }
    }

    /// The scope of a lease: that of its stream, where the worker reads several.
    pub(crate) fn of_lease(&self, lease: &LeaseKey) -> Self {
        match (&self.stream, lease.stream()) {
            (None, Some(stream)) => self.of_stream(stream.as_str()),
            (Some(_), _) | (None, None) => self.clone(),
        }
    }

    /// The scope of the task that runs; outside of a worker's tasks one of nobody, which remembers nothing.
    pub(crate) fn current() -> Self {
        CURRENT.try_with(Scope::clone).unwrap_or_else(|_| Scope::of_worker("", ""))
    }

    /// Runs a future in this scope, with a span that says whose log lines they are.
    pub(crate) fn around<F: Future>(self, future: F) -> impl Future<Output = F::Output> {
        let span = self.span();
        CURRENT.scope(self, future).instrument(span)
    }

    /// Calls `emit` in this scope, where no task of the worker runs.
    pub(crate) fn enter<T>(&self, emit: impl FnOnce() -> T) -> T {
        let span = self.span();
        CURRENT.sync_scope(self.clone(), || span.in_scope(emit))
    }

    // Spans have no parents: each names all that a reader of one log line, or of one trace, needs.

    /// Around all work of a worker, or of a worker for one stream.
    fn span(&self) -> Span {
        let Scope { application, worker, stream, .. } = self;
        info_span!(target: "kcl::worker", parent: None, "worker", %application, %worker, stream = stream.as_deref())
    }

    /// Around the work for one shard.
    pub(crate) fn span_of_shard(&self, shard: &ShardId) -> Span {
        let Scope { application, worker, stream, .. } = self;
        info_span!(target: "kcl::worker", parent: None, "shard", %application, %worker, stream = stream.as_deref(), %shard)
    }

    /// Around one call of the user's code for a shard.
    pub(crate) fn span_of_callback(&self, callback: &'static str, shard: &ShardId) -> Span {
        let Scope { application, worker, stream, .. } = self;
        macro_rules! span {
            ($($name:literal),*) => {
                match callback {
                    $($name => info_span!(
                        target: "kcl::handler", parent: None, $name, %application, %worker, stream = stream.as_deref(), %shard
                    ),)*
                    callback => info_span!(
                        target: "kcl::handler", parent: None, "callback", %application, %worker,
                        stream = stream.as_deref(), %shard, callback
                    ),
                }
            };
        }
        span!("initialize", "process_records", "shard_ended", "shutdown_requested", "lease_lost", "dead_letter")
    }

    /// The labels that all metrics have, and those of streams' metrics.
    #[cfg(any(test, feature = "metrics"))]
    pub(super) fn labels(&self) -> [(&'static str, Arc<str>); 3] {
        let stream = self.stream.clone().unwrap_or_default();
        [("application", Arc::clone(&self.application)), ("worker", Arc::clone(&self.worker)), ("stream", stream)]
    }

    // --- trouble

    fn now(&self) -> Time {
        Time::from_origin(self.shared.origin.elapsed())
    }

    fn troubles(&self) -> MutexGuard<'_, BTreeMap<Key, OutageLog>> {
        self.shared.troubles.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn key(&self, subject: Subject, shard: Option<&str>) -> Key {
        let stream = if subject == Subject::Table { None } else { self.stream.clone() };
        (subject, stream, shard.map(Into::into))
    }

    /// One of many that share a subject failed.
    pub(crate) fn failed(&self, subject: Subject, member: &str) -> Option<Line> {
        let now = self.now();
        let mut troubles = self.troubles();
        troubles.retain(|_, log| !log.is_idle(now));
        troubles.entry(self.key(subject, None)).or_default().failed(member, now)
    }

    /// One of many that share a subject succeeded.
    pub(crate) fn recovered(&self, subject: Subject, member: &str) -> Option<Line> {
        let mut troubles = self.troubles();
        // The usual case, with each call and each batch.
        if troubles.is_empty() {
            return None;
        }
        troubles.get_mut(&self.key(subject, None))?.recovered(member, self.now())
    }

    /// Something of one shard failed.
    pub(crate) fn failed_at(&self, subject: Subject, shard: &ShardId) -> Option<Line> {
        let now = self.now();
        let mut troubles = self.troubles();
        troubles.retain(|_, log| !log.is_idle(now));
        troubles.entry(self.key(subject, Some(shard.as_str()))).or_default().failed("", now)
    }

    /// Something of one shard succeeded.
    pub(crate) fn recovered_at(&self, subject: Subject, shard: &ShardId) -> Option<Line> {
        let mut troubles = self.troubles();
        if troubles.is_empty() {
            return None;
        }
        troubles.get_mut(&self.key(subject, Some(shard.as_str())))?.recovered("", self.now())
    }

    /// This worker does not read the shard any more.
    pub(crate) fn left(&self, shard: &ShardId) {
        let mut troubles = self.troubles();
        troubles.retain(|(_, stream, of), _| *stream != self.stream || of.as_deref() != Some(shard.as_str()));
        for log in troubles.iter_mut().filter(|((_, stream, _), _)| *stream == self.stream).map(|(_, log)| log) {
            log.left(shard.as_str());
        }
    }

    /// Whether the log says that a subject is in trouble. What follows from it needs no lines of its own.
    pub(crate) fn is_in_trouble(&self, subject: Subject) -> bool {
        let troubles = self.troubles();
        !troubles.is_empty() && troubles.get(&self.key(subject, None)).is_some_and(OutageLog::is_open)
    }

    // --- gauges

    /// Remembers a gauge that is exported.
    #[cfg(feature = "metrics")]
    pub(super) fn remember(&self, metric: Metric, labels: &[(&'static str, &str)]) {
        let labels = labels.iter().map(|(name, value)| (*name, (*value).into())).collect();
        let series = Series { metric, labels, stream: self.stream.clone() };
        self.series().insert(series);
    }

    /// Forgets the gauges that the closure names, and returns each with its scope.
    #[cfg(feature = "metrics")]
    pub(super) fn forget(&self, ends: impl Fn(&Series) -> bool) -> Vec<(Scope, Series)> {
        let mut series = self.series();
        let ended: Vec<Series> = series.iter().filter(|series| ends(series)).cloned().collect();
        series.retain(|series| !ends(series));
        drop(series);
        ended.into_iter().map(|series| (Scope { stream: series.stream.clone(), ..self.clone() }, series)).collect()
    }

    #[cfg(feature = "metrics")]
    fn series(&self) -> MutexGuard<'_, BTreeSet<Series>> {
        self.shared.series.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts tasks in a scope.
#[derive(Debug)]
pub(crate) struct ScopedTasks {
    tasks: Arc<dyn Spawn>,
    scope: Scope,
}

impl ScopedTasks {
    pub(crate) fn of(tasks: Arc<dyn Spawn>, scope: Scope) -> Arc<dyn Spawn> {
        Arc::new(ScopedTasks { tasks, scope })
    }
}

impl Spawn for ScopedTasks {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.tasks.spawn(self.scope.clone().around(task).boxed());
    }
}

/// Starts tasks in a span.
#[derive(Debug)]
pub(crate) struct TasksInSpan {
    tasks: Arc<dyn Spawn>,
    span: Span,
}

impl TasksInSpan {
    pub(crate) fn new(tasks: Arc<dyn Spawn>, span: Span) -> Self {
        TasksInSpan { tasks, span }
    }
}

impl Spawn for TasksInSpan {
    fn spawn(&self, task: BoxFuture<'static, ()>) {
        self.tasks.spawn(task.instrument(self.span.clone()).boxed());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn the_streams_of_a_worker_share_what_is_remembered_and_not_their_troubles() {
        let worker = Scope::of_worker("delays", "w");
        let (a, b) = (worker.of_stream("a"), worker.of_stream("b"));
        assert!(matches!(a.failed(Subject::Reads, "1"), Some(Line::Began(_))));
        assert!(a.failed(Subject::Reads, "2").is_none());
        assert!(matches!(b.failed(Subject::Reads, "1"), Some(Line::Began(_))), "another stream");
        assert!(a.failed(Subject::Table, "").is_some() && b.failed(Subject::Table, "").is_none(), "one table");
        assert!(worker.of_stream("a").is_in_trouble(Subject::Reads));
        tokio::time::advance(Duration::from_secs(6)).await;
        assert!(a.recovered(Subject::Reads, "1").is_none());
        assert!(matches!(a.recovered(Subject::Reads, "2"), Some(Line::Ended(_))));
        assert!(!a.is_in_trouble(Subject::Reads) && b.is_in_trouble(Subject::Reads));
    }

    #[tokio::test(start_paused = true)]
    async fn two_hours_without_an_answer_from_any_of_64_shards_are_a_line_a_minute() {
        let stream = Scope::of_worker("delays", "w").of_stream("flights");
        let shards: Vec<String> = (0..64).map(|shard| shard.to_string()).collect();
        let (mut lines, second) = (0, Duration::from_secs(1));
        for _ in 0..7_200 {
            lines += shards.iter().filter_map(|shard| stream.failed(Subject::Reads, shard)).count();
            tokio::time::advance(second).await;
        }
        for _ in 0..60 {
            lines += shards.iter().filter_map(|shard| stream.recovered(Subject::Reads, shard)).count();
            tokio::time::advance(second).await;
        }
        assert_eq!(lines, 121, "one when it begins, 119 while it lasts, one when it is over");
    }

    #[tokio::test]
    async fn a_task_finds_the_scope_that_it_was_started_in() {
        let scope = Scope::of_worker("delays", "w").of_stream("flights");
        let (sender, receiver) = tokio::sync::oneshot::channel();
        let tasks = ScopedTasks::of(Arc::new(tokio::runtime::Handle::current()), scope);
        tasks.spawn(async move { drop(sender.send(Scope::current().labels())) }.boxed());
        let labels = receiver.await.unwrap().map(|(name, value)| (name, value.to_string()));
        let label = |name, value: &str| (name, value.to_owned());
        assert_eq!(labels, [label("application", "delays"), label("worker", "w"), label("stream", "flights")]);
        assert!(Scope::current().labels().iter().all(|(_, value)| value.is_empty()));
    }

    #[test]
    fn a_lease_is_of_the_only_stream_or_of_the_one_that_its_key_names() {
        let worker = Scope::of_worker("delays", "w");
        let stream = |scope: Scope| scope.stream.map(|stream| stream.to_string());
        let key = LeaseKey::new("123456789012:orders:1700000000:shardId-000000000000");
        assert_eq!(stream(worker.of_lease(&key)).as_deref(), Some("123456789012:orders:1700000000"));
        let alone = worker.of_stream("orders").of_lease(&LeaseKey::new("shardId-000000000000"));
        assert_eq!(stream(alone).as_deref(), Some("orders"));
    }
}
