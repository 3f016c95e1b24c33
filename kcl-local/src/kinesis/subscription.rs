//! Open subscriptions: what a consumer is told of a shard, event by event, and when.

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::account::{Account, Call, no_such_shard};
use super::model::{ApiError, ConsumerStatus, Records, Scope, StreamStatus, SubscribeToShardEvent};
use super::operation::read::{behind, children};
use super::stream::Stream;
use super::{Engine, EngineTime, SequenceNumber, ShardId};

/// Records of an event; their number is not documented.
const MOST_RECORDS: usize = 10_000;
/// Bytes of an event, partition keys counted, unless its one record is larger; not documented either.
const MOST_BYTES: usize = 1024 * 1024;

/// Names an open subscription of an [`Engine`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubscriptionId {
    number: u64,
    shard: ShardId,
}

impl SubscriptionId {
    pub(crate) const fn new(number: u64, shard: ShardId) -> Self {
        Self { number, shard }
    }

    /// The shard that it is about.
    #[must_use]
    pub fn shard(self) -> ShardId {
        self.shard
    }
}

/// The answer to `SubscribeToShard` has no members: events are not among them.
impl Serialize for SubscriptionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_struct("SubscribeToShardOutput", 0)?.end()
    }
}

/// What a subscription has to say.
#[derive(Clone, Debug)]
pub enum Step {
    /// This.
    Event(SubscribeToShardEvent),
    /// Nothing before this time, unless something happens to the stream, the consumer or the shard.
    Wait(EngineTime),
    /// This error, and then nothing: the subscription is over.
    Failed(ApiError),
    /// Nothing any more: its life or its shard has ended.
    Ended,
}

/// What the engine knows of one.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) scope: Scope,
    pub(crate) stream: String,
    pub(crate) incarnation: u64,
    pub(crate) consumer: String,
    pub(crate) consumer_arn: String,
    pub(crate) shard: ShardId,
    /// Records behind this number are still to be told.
    pub(crate) after: SequenceNumber,
    pub(crate) opened: EngineTime,
    pub(crate) last_event: Option<EngineTime>,
    /// Events without records since the last one with some, given though there were records.
    pub(crate) empty_events: u8,
    /// Its shard's last event was told.
    pub(crate) ended: bool,
}

impl Engine {
    /// What `subscription` has to say at `now`. To be asked again after an event at once; after [`Step::Wait`] at the time it names, or
    /// when a record was put into the shard or anything else of the stream has changed.
    pub fn next_event(&mut self, subscription: SubscriptionId, now: EngineTime) -> Step {
        // Taken out while it moves; there is one of its id.
        let Some(mut state) = self.subscriptions.remove(&subscription) else { return Step::Ended };
        let scope = state.scope.clone();
        let step = self
            .with(&scope, now, |account, call| state.step(subscription, account, call).unwrap_or_else(Step::Failed));
        self.subscriptions.insert(subscription, state);
        match step {
            Step::Event(_) | Step::Wait(_) => {}
            Step::Failed(_) | Step::Ended => self.unsubscribe(subscription, now),
        }
        step
    }

    /// Ends `subscription`: whoever it was for has gone. Nothing happens if it is over.
    pub fn unsubscribe(&mut self, subscription: SubscriptionId, now: EngineTime) {
        let Some(state) = self.subscriptions.remove(&subscription) else { return };
        self.with(&state.scope, now, |account, call| {
            let consumer =
                account.named(call, &state.stream).ok().and_then(|stream| stream.consumers.get_mut(&state.consumer));
            if let Some(seat) = consumer.and_then(|consumer| consumer.seats.get_mut(&state.shard)) {
                seat.leave(subscription);
            }
        });
    }
}

impl Subscription {
    fn step(&mut self, id: SubscriptionId, account: &mut Account, call: &mut Call<'_>) -> Result<Step, ApiError> {
        if self.ended {
            return Ok(Step::Ended);
        }
        let dies = self.opened.plus(call.config.subscription_life);
        let stream = self.stream_of(account, call)?;
        self.check_seat(id, stream, call)?;
        if call.now >= dies {
            return Ok(Step::Ended);
        }
        let horizon = stream.horizon(call.now);
        let state_changes = stream.changes_at();
        let Stream { shards, consumers, .. } = stream;
        let shard = shards.get_mut(self.shard).filter(|shard| !shard.is_expired(horizon));
        let shard = shard.ok_or_else(|| no_such_shard(call, &self.shard.to_string(), &self.stream))?;
        let Some(consumer) = consumers.get_mut(&self.consumer) else { return Err(self.consumer_is_gone()) };
        let wakes = [Some(dies), state_changes, consumer.changes_at()].into_iter().flatten().min().unwrap_or(dies);
        let seat = consumer.seats.entry(self.shard).or_default();

        shard.log.trim_before(horizon);
        let page = shard.log.read(super::iterator::Position::After(self.after), MOST_RECORDS, MOST_BYTES);
        let due = self.last_event.map_or(call.now, |last| last.plus(call.config.idle_event_interval));
        let end = shard.end.clone().filter(|_| page.at_tip && (page.records.is_empty() || !call.separate_end));
        if page.records.is_empty() && end.is_none() {
            if call.now < due {
                return Ok(Step::Wait(wakes.min(due)));
            }
            return Ok(Step::Event(self.event(Records::default(), 0, call)));
        }
        if call.config.read_throttling && call.now < seat.budget.next_event() {
            return Ok(Step::Wait(wakes.min(seat.budget.next_event())));
        }
        if self.empty_events < call.config.empty_answers && !page.records.is_empty() && call.rng.bool() {
            self.empty_events += 1;
            let behind =
                page.records.first().map_or(0, |record| call.now.since(record.approximate_arrival_timestamp.into()));
            return Ok(Step::Event(self.event(Records::default(), behind.max(1), call)));
        }
        self.empty_events = 0;
        seat.budget.charge(page.bytes, call.now);
        self.after = page.last.map_or(self.after, |(last, _)| last);
        let behind = behind(&page, call.now);
        let event = self.event(Records(page.records), behind, call);
        let Some(end) = end else { return Ok(Step::Event(event)) };
        self.ended = true;
        let child_shards = Some(children(stream, &end));
        Ok(Step::Event(SubscribeToShardEvent { continuation_sequence_number: None, child_shards, ..event }))
    }

    fn event(&mut self, records: Records, millis_behind_latest: i64, call: &Call<'_>) -> SubscribeToShardEvent {
        self.last_event = Some(call.now);
        SubscribeToShardEvent {
            records,
            continuation_sequence_number: Some(self.after.continuation(call.now.seconds())),
            millis_behind_latest,
            child_shards: None,
        }
    }

    /// The stream it was opened on, if that is still there.
    fn stream_of<'a>(&self, account: &'a mut Account, call: &Call<'_>) -> Result<&'a mut Stream, ApiError> {
        let stream = account.named(call, &self.stream)?;
        let same = stream.incarnation == self.incarnation;
        match stream.phase.status() {
            StreamStatus::Active | StreamStatus::Updating if same => Ok(stream),
            StreamStatus::Active | StreamStatus::Updating | StreamStatus::Creating | StreamStatus::Deleting => {
                Err(ApiError::not_found(format!(
                    "Stream {} under account {} was deleted.",
                    self.stream, call.scope.account
                )))
            }
        }
    }

    /// Whether it may still speak for its consumer.
    fn check_seat(&self, id: SubscriptionId, stream: &Stream, call: &Call<'_>) -> Result<(), ApiError> {
        let consumer = stream.consumers.get(&self.consumer).filter(|consumer| consumer.arn == self.consumer_arn);
        let consumer = consumer.ok_or_else(|| self.consumer_is_gone())?;
        match consumer.status() {
            ConsumerStatus::Deleting => return Err(self.consumer_is_gone()),
            ConsumerStatus::Creating | ConsumerStatus::Active => {}
        }
        if consumer.seats.get(&self.shard).is_some_and(|seat| seat.is_held_by(id)) {
            return Ok(());
        }
        Err(ApiError::in_use(format!(
            "Another active subscription exists for this consumer: {}:{}:{}:{}",
            call.scope.account, self.stream, self.shard, self.consumer
        )))
    }

    fn consumer_is_gone(&self) -> ApiError {
        ApiError::not_found(format!("Consumer {} was deregistered.", self.consumer_arn))
    }
}
