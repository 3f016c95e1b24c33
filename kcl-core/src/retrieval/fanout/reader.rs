//! The loop that obeys the machine; and while nothing is pushed, polling.

use super::machine::{Event, Lost, Machine, Next, State};
use super::registrar::Registrar;
use super::subscribe_rate::SubscribeRateLimiter;
use crate::clock::Time;
use crate::record::{ShardId, StartingPosition};
use crate::retrieval::call::{CALL_DEADLINE, PROBE_DEADLINE, UNANSWERED, in_time_of};
use crate::retrieval::polling::{OVERHEAD_PER_PART, PollingReaders, Quiet};
use crate::retrieval::progress::Progress;
use crate::retrieval::{ByteBudget, Chunk, ReadError, Readers, Reservation, ShardReader};
use crate::shard::{ApiError, ApiErrorKind, FanOutApi, ListWhich, StreamApi, Subscription, pages};
use crate::stopwatch::Stopwatch;
use crate::telemetry::event::fanout::{FanOutRefused, FanOutReturned, SubscribeFailing, Subscribed, SubscriptionLost};
use crate::telemetry::event::reading::EndInDoubt;
use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// So long a shard may be without a subscription before it is polled: most subscribe calls are answered by then.
const BRIDGE_AFTER: Duration = Duration::from_millis(150);

/// Makes fan-out readers for one stream.
pub(crate) struct FanOutReaders {
    api: Arc<dyn FanOutApi>,
    stream: Arc<dyn StreamApi>,
    registrar: Arc<Registrar>,
    turns: Arc<Mutex<SubscribeRateLimiter>>,
    budget: ByteBudget,
    /// What is read by where nothing is pushed; nothing where that is forbidden.
    polling: Option<Arc<PollingReaders>>,
    rng: Mutex<fastrand::Rng>,
    origin: Instant,
    /// One refusal is one for all shards: it is told once.
    quiet: Arc<Mutex<Quiet>>,
}

impl FanOutReaders {
    /// Readers that share a consumer and this budget.
    pub(crate) fn new(
        api: Arc<dyn FanOutApi>,
        stream: Arc<dyn StreamApi>,
        registrar: Arc<Registrar>,
        budget: ByteBudget,
        polling: Option<Arc<PollingReaders>>,
        rng: fastrand::Rng,
    ) -> Self {
        FanOutReaders {
            api,
            stream,
            registrar,
            turns: Arc::default(),
            budget,
            polling,
            rng: Mutex::new(rng),
            origin: Instant::now(),
            quiet: Arc::default(),
        }
    }
}

impl Readers for FanOutReaders {
    fn open(&self, shard: &ShardId, from: StartingPosition, fetching: Arc<Stopwatch>) -> Box<dyn ShardReader> {
        let rng = self.rng.lock().unwrap_or_else(PoisonError::into_inner).fork();
        let now = Time::from_origin(self.origin.elapsed());
        Box::new(FanOutReader {
            calls: Calls {
                api: Arc::clone(&self.api),
                stream: Arc::clone(&self.stream),
                registrar: Arc::clone(&self.registrar),
                turns: Arc::clone(&self.turns),
                shard: shard.clone(),
                origin: self.origin,
                fetching: Arc::clone(&fetching),
            },
            budget: self.budget.clone(),
            last_event: 0,
            progress: Progress::from(&from),
            machine: Machine::new(shard.clone(), from, self.polling.is_some(), now, rng),
            consumer: None,
            asked: None,
            subscription: None,
            polling: self.polling.clone(),
            bridge: None,
            alone_since: now,
            failed_with: None,
            fetching,
            quiet: Arc::clone(&self.quiet),
        })
    }
}

/// What was asked for, answered.
enum Answer {
    Consumer(Arc<str>),
    Subscription(Box<dyn Subscription>),
    Listing(crate::shard::Listing),
}

/// What is needed to ask.
#[derive(Clone)]
struct Calls {
    api: Arc<dyn FanOutApi>,
    stream: Arc<dyn StreamApi>,
    registrar: Arc<Registrar>,
    turns: Arc<Mutex<SubscribeRateLimiter>>,
    shard: ShardId,
    origin: Instant,
    fetching: Arc<Stopwatch>,
}

impl Calls {
    fn now(&self) -> Time {
        Time::from_origin(self.origin.elapsed())
    }

    fn instant(&self, time: Time) -> Instant {
        self.origin + time.since(Time::ZERO)
    }

    async fn consumer(self, not_before: Time, doubted: Option<Arc<str>>) -> Result<Answer, ApiError> {
        sleep_until(self.instant(not_before)).await;
        self.registrar.arn(doubted.as_deref()).await.map(Answer::Consumer)
    }

    async fn subscription(
        self,
        not_before: Time,
        consumer: Arc<str>,
        from: StartingPosition,
    ) -> Result<Answer, ApiError> {
        sleep_until(self.instant(not_before)).await;
        let turn = self.turns.lock().unwrap_or_else(PoisonError::into_inner).take(&self.shard, self.now());
        sleep_until(self.instant(turn)).await;
        let call = self.api.subscribe(&consumer, &self.shard, &from);
        self.timed("SubscribeToShard", call).await.map(Answer::Subscription)
    }

    async fn listing(self, not_before: Time) -> Result<Answer, ApiError> {
        sleep_until(self.instant(not_before)).await;
        self.fetching.begin();
        // Each page has a deadline of its own, and all but the first are progress: what the list says decides on that one.
        let mut came = 0_u32;
        let on_page = || {
            came += 1;
            if came > 1 {
                self.fetching.end();
                self.fetching.begin();
            }
        };
        let listing = pages::list(self.stream.as_ref(), ListWhich::All, on_page).await.map(Answer::Listing);
        if listing.as_ref().is_err_and(|error| error.kind != ApiErrorKind::Unavailable) {
            self.fetching.end();
        }
        listing
    }

    /// The stopwatch runs while calls of the shard are not answered; waiting for one's turn, or for the consumer, is not
    /// that. That a subscription is open is no progress: it has to say something.
    async fn timed<T>(&self, operation: &str, call: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        // One that is lost in an outage must not hold the shard for long after its end.
        let deadline = if self.fetching.elapsed() >= CALL_DEADLINE { PROBE_DEADLINE } else { CALL_DEADLINE };
        self.fetching.begin();
        let answer = in_time_of(deadline, || format!("{operation} for shard `{}`", self.shard), call).await;
        if answer.as_ref().is_err_and(|error| error.kind != ApiErrorKind::Unavailable) {
            self.fetching.end();
        }
        answer
    }
}

struct FanOutReader {
    calls: Calls,
    budget: ByteBudget,
    /// How large the last event was.
    last_event: u64,
    machine: Machine,
    progress: Progress,
    /// The consumer that subscribes; kept when it is doubted, to say which one is.
    consumer: Option<Arc<str>>,
    /// The call that the state asks for, under way.
    asked: Option<BoxFuture<'static, Result<Answer, ApiError>>>,
    subscription: Option<Box<dyn Subscription>>,
    polling: Option<Arc<PollingReaders>>,
    /// Polls while nothing is pushed.
    bridge: Option<Box<dyn ShardReader>>,
    /// Since when nothing is pushed.
    alone_since: Time,
    /// What the last call failed with.
    failed_with: Option<ApiError>,
    /// Runs while what is asked is not answered.
    fetching: Arc<Stopwatch>,
    quiet: Arc<Mutex<Quiet>>,
}

#[async_trait]
impl ShardReader for FanOutReader {
    async fn next(&mut self) -> Result<Chunk, ReadError> {
        loop {
            let event = match self.machine.state {
                State::Streaming { rotate_at } => self.receive(rotate_at).await,
                State::Registering { .. } | State::Subscribing { .. } | State::Doubting { .. } => {
                    match self.ask_or_poll().await {
                        Ok(event) => event,
                        Err(Polled(polled)) => {
                            if let Ok(chunk) = &polled {
                                self.machine.polled(chunk);
                            }
                            return polled;
                        }
                    }
                }
                // Told again, whatever the event.
                State::Closed { .. } => Event::Ended,
            };
            // No await from here on: what was pushed is accepted and handed on, or, where this future is dropped, neither.
            let reservation = self.count_bytes(&event);
            let is_list = matches!(event, Event::Listed(_));
            let next = self.machine.step(event, self.calls.now());
            // A list that has the shard subscribed to again, as it is open, is no progress.
            if is_list && !matches!(self.machine.state, State::Subscribing { .. }) {
                self.fetching.end();
            }
            match next {
                Next::Deliver(chunk) => {
                    // Only what was accepted is an answer, and only what is new: a subscription that pushes nothing but
                    // contradictions, or what was pushed before, is no progress.
                    let is_end = matches!(self.machine.state, State::Doubting { .. });
                    let ended = chunk.end.is_some();
                    let is_new = self.progress.is_shown_by(&chunk.records, chunk.millis_behind_latest, ended);
                    if is_new && (!is_end || !chunk.records.is_empty()) {
                        self.fetching.end();
                    }
                    if is_end && self.subscription.is_some() {
                        self.lose(Lost::Contradiction);
                    }
                    return Ok(Chunk { reservation, ..chunk });
                }
                Next::GoOn => {}
                Next::Resubscribe(lost) => {
                    self.lose(lost);
                    self.failed_with = None;
                }
                Next::BackOff => {
                    self.tell_of_failure();
                    let unanswered =
                        self.failed_with.as_ref().is_some_and(|error| error.kind == ApiErrorKind::Unavailable);
                    // Tried again by whoever gets it. From here on it is an outage that somebody should know of.
                    if unanswered && self.polling.is_none() && self.fetching.elapsed() >= UNANSWERED {
                        return Err(self.refusal());
                    }
                    self.failed_with = None;
                }
                Next::Report(doubt, lasted) => EndInDoubt { shard: &self.calls.shard, doubt, lasted }.emit(),
                Next::Refused(lost) => {
                    if let Some(lost) = lost {
                        self.lose(lost);
                    }
                    self.tell_of_refusal();
                    if self.polling.is_none() {
                        return Err(self.refusal());
                    }
                }
                Next::GiveUp => return Err(self.refusal()),
            }
        }
    }
}

/// What polling said.
struct Polled(Result<Chunk, ReadError>);

impl FanOutReader {
    /// The next event of the subscription.
    async fn receive(&mut self, rotate_at: Time) -> Event {
        // Nothing can be reserved for an event that may come in an hour: there must be room for another like the last before
        // one is taken. The worst case is one event a shard beside the budget, and what connections buffer.
        drop(self.budget.reserve(&self.calls.shard, self.last_event).await);
        let Some(subscription) = &mut self.subscription else { return Event::Ended };
        self.fetching.begin();
        let patience = self.machine.patience();
        let silent_at = Instant::now() + patience;
        let rotate_at = self.calls.instant(rotate_at);
        match timeout_at(silent_at.min(rotate_at), subscription.next()).await {
            Ok(Ok(Some(pushed))) => Event::Pushed(pushed),
            Ok(Ok(None)) => Event::Ended,
            Ok(Err(error)) => {
                let kind = error.kind;
                self.failed_with = Some(error);
                Event::Failed(kind)
            }
            Err(_) if rotate_at <= silent_at => Event::RotationDue,
            Err(_) => {
                let message = format!("the subscription of shard `{}` said nothing for {patience:?}", self.calls.shard);
                self.failed_with = Some(ApiError { kind: ApiErrorKind::Unavailable, message, source: None });
                Event::Silent
            }
        }
    }

    /// What the state asks for, and meanwhile, after a moment, what polling reads.
    async fn ask_or_poll(&mut self) -> Result<Event, Polled> {
        let refused = self.machine.is_refused();
        if self.asked.is_none() {
            self.asked = Some(self.call());
        }
        let Some(asked) = &mut self.asked else { return Ok(Event::Ended) };
        let answer = match &self.polling {
            Some(polling) => {
                let (shard, from) = (&self.calls.shard, self.machine.read_from());
                let after = if refused { Duration::ZERO } else { BRIDGE_AFTER };
                let (bridge, fetching) = (&mut self.bridge, &self.fetching);
                let poll_at = self.calls.instant(self.alone_since + after);
                let poll = async {
                    sleep_until(poll_at).await;
                    let reader = bridge.get_or_insert_with(|| polling.open(shard, from, Arc::clone(fetching)));
                    reader.next().await
                };
                tokio::select! {
                    biased;
                    answer = asked => answer,
                    polled = poll => return Err(Polled(polled)),
                }
            }
            None => asked.await,
        };
        self.asked = None;
        Ok(match answer {
            Ok(Answer::Consumer(arn)) => {
                self.consumer = Some(arn);
                Event::Registered
            }
            Ok(Answer::Subscription(subscription)) => {
                self.subscription = Some(subscription);
                self.bridge = None;
                let returned = self.machine.has_returned();
                if returned {
                    FanOutReturned { shard: &self.calls.shard }.emit();
                }
                Subscribed { shard: &self.calls.shard }.emit();
                Event::Subscribed
            }
            Ok(Answer::Listing(listing)) => Event::Listed(listing),
            Err(error) => {
                let kind = error.kind;
                self.failed_with = Some(error);
                Event::Failed(kind)
            }
        })
    }

    fn call(&self) -> BoxFuture<'static, Result<Answer, ApiError>> {
        let calls = self.calls.clone();
        match (&self.machine.state, &self.consumer) {
            (State::Subscribing { not_before }, Some(consumer)) => {
                calls.subscription(*not_before, Arc::clone(consumer), self.machine.subscribe_from()).boxed()
            }
            (State::Doubting { not_before, .. }, _) => calls.listing(*not_before).boxed(),
            (State::Registering { not_before } | State::Subscribing { not_before }, doubted) => {
                calls.consumer(*not_before, doubted.clone()).boxed()
            }
            (State::Streaming { .. } | State::Closed { .. }, doubted) => {
                calls.consumer(Time::ZERO, doubted.clone()).boxed()
            }
        }
    }

    /// What was pushed is in memory already, and is counted as far as there is room.
    fn count_bytes(&mut self, event: &Event) -> Reservation {
        let Event::Pushed(pushed) = event else { return Reservation::default() };
        let payload: u64 = pushed.records.iter().map(|record| record.data.len() as u64).sum();
        self.last_event = payload + pushed.records.len() as u64 * OVERHEAD_PER_PART;
        self.budget.take(&self.calls.shard, self.last_event)
    }

    fn lose(&mut self, lost: Lost) {
        self.subscription = None;
        self.alone_since = self.calls.now();
        SubscriptionLost { shard: &self.calls.shard, why: lost, error: self.failed_with.as_ref() }.emit();
    }

    fn tell_of_failure(&self) {
        let Some(error) = &self.failed_with else { return };
        SubscribeFailing { shard: &self.calls.shard, error, failures: self.machine.failures() }.emit();
    }

    fn tell_of_refusal(&self) {
        let Some(error) = &self.failed_with else { return };
        let warn = self.quiet.lock().unwrap_or_else(PoisonError::into_inner).may_warn(self.calls.now());
        FanOutRefused { shard: &self.calls.shard, error, polls: self.polling.is_some(), warn }.emit();
    }

    fn refusal(&mut self) -> ReadError {
        let source = self.failed_with.take().unwrap_or_else(|| {
            let message = "fan-out is refused".to_owned();
            ApiError { kind: ApiErrorKind::Refused, message, source: None }
        });
        ReadError { shard: self.calls.shard.clone(), source }
    }
}
