//! Open subscriptions: computes the next event of each, and its time.

use serde::ser::{Serialize, SerializeStruct as _, Serializer};

use super::account::{Account, Call, no_such_shard};
use super::model::{ApiError, ConsumerStatus, Records, Scope, StreamStatus, SubscribeToShardEvent};
use super::operation::read::{behind, children};
use super::stream::Stream;
use super::{Engine, EngineTime, SequenceNumber, ShardId};

/// Maximum number of records of an event; AWS does not document it.
const MAX_RECORDS: usize = 10_000;
/// Maximum bytes of an event, with partition keys, unless a single record is larger; AWS does not
/// document it.
const MAX_BYTES: usize = 1024 * 1024;

/// Identifies an open subscription of an [`Engine`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SubscriptionId {
    number: u64,
    shard: ShardId,
}

impl SubscriptionId {
    pub(crate) const fn new(number: u64, shard: ShardId) -> Self {
        Self { number, shard }
    }

    /// The shard of the subscription.
    #[must_use]
    pub fn shard(self) -> ShardId {
        self.shard
    }
}

/// The response of `SubscribeToShard` has no members; events follow it.
impl Serialize for SubscriptionId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_struct("SubscribeToShardOutput", 0)?.end()
    }
}

/// The next step of a subscription.
#[derive(Clone, Debug)]
pub enum Step {
    /// The next event.
    Event(SubscribeToShardEvent),
    /// No event before this time, unless the stream, the consumer or the shard changes.
    Wait(EngineTime),
    /// The subscription ended with this error.
    Failed(ApiError),
    /// The subscription has ended: its lifetime is over, or its shard has ended.
    Ended,
}

/// The state of an open subscription.
#[derive(Clone, Debug)]
pub(crate) struct Subscription {
    pub(crate) scope: Scope,
    pub(crate) stream: String,
    pub(crate) incarnation: u64,
    pub(crate) consumer: String,
    pub(crate) consumer_arn: String,
    pub(crate) shard: ShardId,
    /// Records after this number are not yet delivered.
    pub(crate) after: SequenceNumber,
    pub(crate) opened: EngineTime,
    pub(crate) last_event: Option<EngineTime>,
    /// Number of empty events, although records were available, since the last event with records.
    pub(crate) empty_events: u8,
    /// Whether the last event of the shard was delivered.
    pub(crate) ended: bool,
}

impl Engine {
    /// Returns the next step of `subscription` at `now`. Call it again at once after an event;
    /// after [`Step::Wait`] at the time that it has, or when a record was put into the shard or the
    /// stream has changed.
    pub fn next_event(&mut self, subscription: SubscriptionId, now: EngineTime) -> Step {
        // Removed during the step, because `with` borrows the engine.
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

    /// Ends `subscription`, because its client is gone. Does nothing if it has ended.
    pub fn unsubscribe(&mut self, subscription: SubscriptionId, now: EngineTime) {
        let Some(state) = self.subscriptions.remove(&subscription) else { return };
        self.with(&state.scope, now, |account, call| {
            let consumer =
                account.named(call, &state.stream).ok().and_then(|stream| stream.consumers.get_mut(&state.consumer));
            if let Some(slot) = consumer.and_then(|consumer| consumer.slots.get_mut(&state.shard)) {
                slot.release(subscription);
            }
        });
    }
}

impl Subscription {
    fn step(&mut self, id: SubscriptionId, account: &mut Account, call: &mut Call<'_>) -> Result<Step, ApiError> {
        if self.ended {
            return Ok(Step::Ended);
        }
        let ends = self.opened.plus(call.config.subscription_life);
        let stream = self.stream_of(account, call)?;
        self.check_slot(id, stream, call)?;
        if call.now >= ends {
            return Ok(Step::Ended);
        }
        let horizon = stream.horizon(call.now);
        let state_changes = stream.changes_at();
        let Stream { shards, consumers, .. } = stream;
        let shard = shards.get_mut(self.shard).filter(|shard| !shard.is_expired(horizon));
        let shard = shard.ok_or_else(|| no_such_shard(call, &self.shard.to_string(), &self.stream))?;
        let Some(consumer) = consumers.get_mut(&self.consumer) else { return Err(self.consumer_deregistered()) };
        let wakes = [Some(ends), state_changes, consumer.changes_at()].into_iter().flatten().min().unwrap_or(ends);
        let slot = consumer.slots.entry(self.shard).or_default();

        shard.log.trim_before(horizon);
        let page = shard.log.read(super::iterator::Position::After(self.after), MAX_RECORDS, MAX_BYTES);
        let due = self.last_event.map_or(call.now, |last| last.plus(call.config.idle_event_interval));
        let end = shard.end.clone().filter(|_| page.at_tip && (page.records.is_empty() || !call.separate_end));
        if page.records.is_empty() && end.is_none() {
            if call.now < due {
                return Ok(Step::Wait(wakes.min(due)));
            }
            return Ok(Step::Event(self.event(Records::default(), 0, call)));
        }
        if call.config.read_throttling && call.now < slot.budget.next_event() {
            return Ok(Step::Wait(wakes.min(slot.budget.next_event())));
        }
        if self.empty_events < call.config.empty_answers && !page.records.is_empty() && call.rng.bool() {
            self.empty_events += 1;
            let behind =
                page.records.first().map_or(0, |record| call.now.since(record.approximate_arrival_timestamp.into()));
            return Ok(Step::Event(self.event(Records::default(), behind.max(1), call)));
        }
        self.empty_events = 0;
        slot.budget.charge(page.bytes, call.now);
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

    /// The stream of the subscription, if it still exists.
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

    /// Checks that the subscription still has the slot of its consumer and shard.
    fn check_slot(&self, id: SubscriptionId, stream: &Stream, call: &Call<'_>) -> Result<(), ApiError> {
        let consumer = stream.consumers.get(&self.consumer).filter(|consumer| consumer.arn == self.consumer_arn);
        let consumer = consumer.ok_or_else(|| self.consumer_deregistered())?;
        match consumer.status() {
            ConsumerStatus::Deleting => return Err(self.consumer_deregistered()),
            ConsumerStatus::Creating | ConsumerStatus::Active => {}
        }
        if consumer.slots.get(&self.shard).is_some_and(|slot| slot.is_held_by(id)) {
            return Ok(());
        }
        Err(ApiError::in_use(format!(
            "Another active subscription exists for this consumer: {}:{}:{}:{}",
            call.scope.account, self.stream, self.shard, self.consumer
        )))
    }

    fn consumer_deregistered(&self) -> ApiError {
        ApiError::not_found(format!("Consumer {} was deregistered.", self.consumer_arn))
    }
}
