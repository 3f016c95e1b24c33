//! Executes the decisions of the machine, and polls while no subscription is open.

use super::machine::{Event, Lost, Machine, Next, State};
use super::registrar::Registrar;
use super::subscribe_rate::SubscribeRateLimiter;
use crate::clock::Time;
use crate::config::timing::READ_CALL_DEADLINE;
use crate::record::{ShardId, StartingPosition};
use crate::retrieval::call_deadline::{PROBE_DEADLINE, UNANSWERED, with_deadline};
use crate::retrieval::event::fan_out::{FanOutRefused, FanOutReturned, SubscribeFailing, Subscribed, SubscriptionLost};
use crate::retrieval::event::reading::EndInDoubt;
use crate::retrieval::polling::{OVERHEAD_PER_PART, PollingReaders};
use crate::retrieval::progress::Progress;
use crate::retrieval::warn_limiter::WarnLimiter;
use crate::retrieval::{ByteBudget, Chunk, ReadError, Readers, Reservation, ShardReader};
use crate::shard::{ApiError, ApiErrorKind, FanOutApi, ListWhich, StreamApi, SubscribeRequest, Subscription, pages};
use crate::stopwatch::Stopwatch;
use async_trait::async_trait;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use tokio::time::{Instant, sleep_until, timeout_at};

/// How long a shard may be without a subscription before it is polled. Most subscribe calls are
/// answered sooner.
const BRIDGE_AFTER: Duration = Duration::from_millis(150);

/// Makes fan-out readers for one stream.
pub(crate) struct FanOutReaders {
    api: Arc<dyn FanOutApi>,
    stream: Arc<dyn StreamApi>,
    registrar: Arc<Registrar>,
    rate_limiter: Arc<Mutex<SubscribeRateLimiter>>,
    budget: ByteBudget,
    /// Polls while no subscription is open; `None` if polling is forbidden.
    polling: Option<Arc<PollingReaders>>,
    rng: Mutex<fastrand::Rng>,
    origin: Instant,
    /// Shared by all shards, because a refusal of the consumer affects them all: it is logged once.
    warn_limiter: Arc<Mutex<WarnLimiter>>,
}

impl FanOutReaders {
    /// Creates readers that share a consumer and this budget.
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
            rate_limiter: Arc::default(),
            budget,
            polling,
            rng: Mutex::new(rng),
            origin: Instant::now(),
            warn_limiter: Arc::default(),
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
                rate_limiter: Arc::clone(&self.rate_limiter),
                shard: shard.clone(),
                origin: self.origin,
                fetching: Arc::clone(&fetching),
            },
            budget: self.budget.clone(),
            last_event: 0,
            progress: Progress::from(&from),
            machine: Machine::new(shard.clone(), from, self.polling.is_some(), now, rng),
            consumer: None,
            call: None,
            subscription: None,
            polling: self.polling.clone(),
            bridge: None,
            unsubscribed_since: now,
            failed_with: None,
            fetching,
            warn_limiter: Arc::clone(&self.warn_limiter),
        })
    }
}

/// The response of a call.
enum Response {
    Consumer(Arc<str>),
    Subscription(Box<dyn Subscription>),
    Listing(crate::shard::Listing),
}

/// The collaborators of a call.
#[derive(Clone)]
struct Calls {
    api: Arc<dyn FanOutApi>,
    stream: Arc<dyn StreamApi>,
    registrar: Arc<Registrar>,
    rate_limiter: Arc<Mutex<SubscribeRateLimiter>>,
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

    async fn consumer(self, not_before: Time, doubted: Option<Arc<str>>) -> Result<Response, ApiError> {
        sleep_until(self.instant(not_before)).await;
        self.registrar.arn(doubted.as_deref()).await.map(Response::Consumer)
    }

    async fn subscription(
        self,
        not_before: Time,
        consumer: Arc<str>,
        from: StartingPosition,
    ) -> Result<Response, ApiError> {
        sleep_until(self.instant(not_before)).await;
        let slot = self.rate_limiter.lock().unwrap_or_else(PoisonError::into_inner).take(&self.shard, self.now());
        sleep_until(self.instant(slot)).await;
        let request = SubscribeRequest { consumer_arn: &consumer, shard: &self.shard, from: &from };
        let call = self.api.subscribe(request);
        self.timed("SubscribeToShard", call).await.map(Response::Subscription)
    }

    async fn listing(self, not_before: Time) -> Result<Response, ApiError> {
        sleep_until(self.instant(not_before)).await;
        self.fetching.begin();
        // Each page has its own deadline. Pages after the first are progress at once; the verdict
        // on the whole list decides whether the first one is.
        let mut pages = 0_u32;
        let on_page = || {
            pages += 1;
            if pages > 1 {
                self.fetching.end();
                self.fetching.begin();
            }
        };
        let listing = pages::list(self.stream.as_ref(), ListWhich::All, on_page).await.map(Response::Listing);
        if listing.as_ref().is_err_and(|error| error.kind != ApiErrorKind::Unavailable) {
            self.fetching.end();
        }
        listing
    }

    /// Makes a call with a deadline. The stopwatch runs while a call for the shard is unanswered,
    /// but not while it waits for the rate limiter or the consumer. An open subscription alone is
    /// no progress: it must send an event.
    async fn timed<T>(&self, operation: &str, call: impl Future<Output = Result<T, ApiError>>) -> Result<T, ApiError> {
        // A call that is lost in an outage must not block the shard long after its end.
        let deadline = if self.fetching.elapsed() >= READ_CALL_DEADLINE { PROBE_DEADLINE } else { READ_CALL_DEADLINE };
        self.fetching.begin();
        let response = with_deadline(deadline, || format!("{operation} for shard `{}`", self.shard), call).await;
        if response.as_ref().is_err_and(|error| error.kind != ApiErrorKind::Unavailable) {
            self.fetching.end();
        }
        response
    }
}

struct FanOutReader {
    calls: Calls,
    budget: ByteBudget,
    /// The size of the last event.
    last_event: u64,
    machine: Machine,
    progress: Progress,
    /// The consumer's ARN. Kept when it is in doubt, so that the registrar knows which one.
    consumer: Option<Arc<str>>,
    /// The call that the state requires, in progress.
    call: Option<BoxFuture<'static, Result<Response, ApiError>>>,
    subscription: Option<Box<dyn Subscription>>,
    polling: Option<Arc<PollingReaders>>,
    /// The polling reader while no subscription is open.
    bridge: Option<Box<dyn ShardReader>>,
    /// Since when no subscription is open.
    unsubscribed_since: Time,
    /// The error of the last call.
    failed_with: Option<ApiError>,
    /// Runs while a call is unanswered.
    fetching: Arc<Stopwatch>,
    warn_limiter: Arc<Mutex<WarnLimiter>>,
}

#[async_trait]
impl ShardReader for FanOutReader {
    async fn next(&mut self) -> Result<Chunk, ReadError> {
        loop {
            let event = match self.machine.state {
                State::Streaming { rotate_at } => self.receive(rotate_at).await,
                State::Registering { .. } | State::Subscribing { .. } | State::EndInDoubt { .. } => {
                    match self.call_or_poll().await {
                        Ok(event) => event,
                        Err(Polled(polled)) => {
                            if let Ok(chunk) = &polled {
                                self.machine.polled(chunk);
                            }
                            return polled;
                        }
                    }
                }
                // The machine returns the end again for every event.
                State::Closed { .. } => Event::Ended,
            };
            // No await after this point: if this future is dropped, the event is either accepted
            // and returned, or neither.
            let reservation = self.count_bytes(&event);
            let is_list = matches!(event, Event::Listed(_));
            let next = self.machine.step(event, self.calls.now());
            // A list that leads to another subscription, because it shows the shard open, is no
            // progress.
            if is_list && !matches!(self.machine.state, State::Subscribing { .. }) {
                self.fetching.end();
            }
            match next {
                Next::Deliver(chunk) => {
                    // Only new accepted records are progress. A subscription that pushes only
                    // contradictions, or only earlier records, makes none.
                    let is_end = matches!(self.machine.state, State::EndInDoubt { .. });
                    let ended = chunk.end.is_some();
                    let is_new = self.progress.is_new(&chunk.records, chunk.millis_behind_latest, ended);
                    if is_new && (!is_end || !chunk.records.is_empty()) {
                        self.fetching.end();
                    }
                    if is_end && self.subscription.is_some() {
                        self.drop_subscription(Lost::Contradiction);
                    }
                    return Ok(Chunk { reservation, ..chunk });
                }
                Next::Continue => {}
                Next::Resubscribe(lost) => {
                    self.drop_subscription(lost);
                    self.failed_with = None;
                }
                Next::BackOff => {
                    self.report_failure();
                    let unanswered =
                        self.failed_with.as_ref().is_some_and(|error| error.kind == ApiErrorKind::Unavailable);
                    // The caller retries. After this time it is an outage that the owner must know
                    // of.
                    if unanswered && self.polling.is_none() && self.fetching.elapsed() >= UNANSWERED {
                        return Err(self.refusal());
                    }
                    self.failed_with = None;
                }
                Next::Report(doubt, lasted) => EndInDoubt { shard: &self.calls.shard, doubt, lasted }.emit(),
                Next::Refused(lost) => {
                    if let Some(lost) = lost {
                        self.drop_subscription(lost);
                    }
                    self.report_refusal();
                    if self.polling.is_none() {
                        return Err(self.refusal());
                    }
                }
                Next::Fail => return Err(self.refusal()),
            }
        }
    }
}

/// The result of the polling reader.
struct Polled(Result<Chunk, ReadError>);

impl FanOutReader {
    /// Returns the next event of the subscription.
    async fn receive(&mut self, rotate_at: Time) -> Event {
        // An event may be hours away, so no bytes are reserved for it. There must be free budget
        // for an event of the last size before one is received. In the worst case, each shard
        // exceeds the budget by one event and the buffers of its connection.
        drop(self.budget.reserve(&self.calls.shard, self.last_event).await);
        let Some(subscription) = &mut self.subscription else { return Event::Ended };
        self.fetching.begin();
        let silence_timeout = self.machine.silence_timeout();
        let silent_at = Instant::now() + silence_timeout;
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
                let message =
                    format!("the subscription of shard `{}` sent nothing for {silence_timeout:?}", self.calls.shard);
                self.failed_with =
                    Some(ApiError { kind: ApiErrorKind::Unavailable, message, code: None, source: None });
                Event::Silent
            }
        }
    }

    /// Waits for the call that the state requires and, after a delay, polls meanwhile.
    async fn call_or_poll(&mut self) -> Result<Event, Polled> {
        let refused = self.machine.is_refused();
        if self.call.is_none() {
            self.call = Some(self.next_call());
        }
        let Some(call) = &mut self.call else { return Ok(Event::Ended) };
        let response = match &self.polling {
            Some(polling) => {
                let (shard, from) = (&self.calls.shard, self.machine.read_from());
                let after = if refused { Duration::ZERO } else { BRIDGE_AFTER };
                let (bridge, fetching) = (&mut self.bridge, &self.fetching);
                let poll_at = self.calls.instant(self.unsubscribed_since + after);
                let poll = async {
                    sleep_until(poll_at).await;
                    let reader = bridge.get_or_insert_with(|| polling.open(shard, from, Arc::clone(fetching)));
                    reader.next().await
                };
                tokio::select! {
                    biased;
                    response = call => response,
                    polled = poll => return Err(Polled(polled)),
                }
            }
            None => call.await,
        };
        self.call = None;
        Ok(match response {
            Ok(Response::Consumer(arn)) => {
                self.consumer = Some(arn);
                Event::Registered
            }
            Ok(Response::Subscription(subscription)) => {
                self.subscription = Some(subscription);
                self.bridge = None;
                let returned = self.machine.take_recovered();
                if returned {
                    FanOutReturned { shard: &self.calls.shard }.emit();
                }
                Subscribed { shard: &self.calls.shard }.emit();
                Event::Subscribed
            }
            Ok(Response::Listing(listing)) => Event::Listed(listing),
            Err(error) => {
                let kind = error.kind;
                self.failed_with = Some(error);
                Event::Failed(kind)
            }
        })
    }

    fn next_call(&self) -> BoxFuture<'static, Result<Response, ApiError>> {
        let calls = self.calls.clone();
        match (&self.machine.state, &self.consumer) {
            (State::Subscribing { not_before }, Some(consumer)) => {
                calls.subscription(*not_before, Arc::clone(consumer), self.machine.subscribe_from()).boxed()
            }
            (State::EndInDoubt { not_before, .. }, _) => calls.listing(*not_before).boxed(),
            (State::Registering { not_before } | State::Subscribing { not_before }, doubted) => {
                calls.consumer(*not_before, doubted.clone()).boxed()
            }
            (State::Streaming { .. } | State::Closed { .. }, doubted) => {
                calls.consumer(Time::ZERO, doubted.clone()).boxed()
            }
        }
    }

    /// Counts a pushed event against the budget, as far as there is room: it is in memory already.
    fn count_bytes(&mut self, event: &Event) -> Reservation {
        let Event::Pushed(pushed) = event else { return Reservation::default() };
        let payload: u64 = pushed.records.iter().map(|record| record.data.len() as u64).sum();
        self.last_event = payload + pushed.records.len() as u64 * OVERHEAD_PER_PART;
        self.budget.charge(&self.calls.shard, self.last_event)
    }

    fn drop_subscription(&mut self, lost: Lost) {
        self.subscription = None;
        self.unsubscribed_since = self.calls.now();
        SubscriptionLost { shard: &self.calls.shard, why: lost, error: self.failed_with.as_ref() }.emit();
    }

    fn report_failure(&self) {
        let Some(error) = &self.failed_with else { return };
        SubscribeFailing { shard: &self.calls.shard, error, failures: self.machine.failures() }.emit();
    }

    fn report_refusal(&self) {
        let Some(error) = &self.failed_with else { return };
        let warn = self.warn_limiter.lock().unwrap_or_else(PoisonError::into_inner).may_warn(self.calls.now());
        FanOutRefused { shard: &self.calls.shard, error, polls: self.polling.is_some(), warn }.emit();
    }

    fn refusal(&mut self) -> ReadError {
        let source = self.failed_with.take().unwrap_or_else(|| {
            let message = "fan-out was refused".to_owned();
            ApiError { kind: ApiErrorKind::Refused, message, code: None, source: None }
        });
        ReadError { shard: self.calls.shard.clone(), source }
    }
}
