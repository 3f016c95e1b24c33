//! `SubscribeToShard`: opens a subscription.

use super::consumer::unknown;
use super::iterator::{StartPosition, position, readable_horizon};
use crate::kinesis::account::{Account, Call, no_such_shard};
use crate::kinesis::address::Resource;
use crate::kinesis::constraint::{CONSUMER_ARN, Constraints, SEQUENCE_NUMBER, SHARD_ID};
use crate::kinesis::model::{
    ApiError, ConsumerStatus, Response, ShardIteratorType, StartingPositionInput, SubscribeToShardInput,
};
use crate::kinesis::stream::Stream;
use crate::kinesis::subscription::{Subscription, SubscriptionId};
use crate::kinesis::{SequenceNumber, ShardId};

pub(super) fn subscribe(
    account: &mut Account,
    call: &mut Call<'_>,
    input: &SubscribeToShardInput,
) -> Result<Response, ApiError> {
    let mut constraints = Constraints::new();
    let arn = constraints.required_text("consumerARN", input.consumer_arn.as_ref(), &CONSUMER_ARN);
    let shard_id = constraints.required_text("shardId", input.shard_id.as_ref(), &SHARD_ID);
    let start = constraints.required("startingPosition", input.starting_position.as_ref());
    let start = start.map(|start| start_position(&mut constraints, start));
    constraints.check()?;

    let resource = Resource::parse(call.scope, arn)?;
    let name_and_epoch = resource.consumer.ok_or_else(|| unknown(call, arn))?;
    let stream = account.named(call, resource.stream)?;
    check_active(stream, call, name_and_epoch, arn)?;
    let (shard, after) = shard_and_start(stream, call, shard_id, start)?;
    let incarnation = stream.incarnation;
    let consumer = stream.consumers.by_arn_mut(name_and_epoch).ok_or_else(|| unknown(call, arn))?;
    let name = consumer.name.clone();
    let slot = consumer.slots.entry(shard).or_default();
    if !slot.is_available(call.now, call.config.strict_resubscription) {
        return Err(ApiError::in_use(format!(
            "Another active subscription exists for this consumer: {}:{}:{shard}:{name}",
            call.scope.account, resource.stream
        )));
    }
    if call.config.read_throttling && !super::is_dry_run(input.dry_run) && !slot.budget.admit_call(call.now) {
        return Err(ApiError::limit_exceeded(format!(
            "Rate exceeded for consumer {name} and shard {shard} in stream {} under account {}.",
            resource.stream, call.scope.account
        )));
    }
    super::check_dry_run(input.dry_run)?;
    *call.serial += 1;
    let id = SubscriptionId::new(*call.serial, shard);
    slot.occupy(id, call.now);
    let subscription = Subscription {
        scope: call.scope.clone(),
        stream: resource.stream.to_owned(),
        incarnation,
        consumer: name,
        consumer_arn: arn.to_owned(),
        shard,
        after,
        opened: call.now,
        last_event: None,
        empty_events: 0,
        ended: false,
    };
    call.subscriptions.insert(id, subscription);
    Ok(Response::SubscribeToShard(id))
}

fn start_position<'a>(constraints: &mut Constraints, start: &'a StartingPositionInput) -> StartPosition<'a> {
    let kind = constraints.required_one_of("startingPosition.type", start.r#type.as_ref(), ShardIteratorType::Latest);
    constraints.text("startingPosition.sequenceNumber", start.sequence_number.as_deref(), &SEQUENCE_NUMBER);
    let sequence = start.sequence_number.as_deref();
    StartPosition { operation: "SubscribeToShard", kind, sequence, time: start.timestamp }
}

/// AWS: a consumer in `CREATING` or `DELETING` is in use; a deleted consumer is not found.
fn check_active(stream: &mut Stream, call: &Call<'_>, name_and_epoch: &str, arn: &str) -> Result<(), ApiError> {
    let consumer = stream.consumers.by_arn_mut(name_and_epoch).ok_or_else(|| unknown(call, arn))?;
    match consumer.status() {
        ConsumerStatus::Active => Ok(()),
        ConsumerStatus::Creating | ConsumerStatus::Deleting => Err(ApiError::in_use(format!(
            "Consumer {} with creation timestamp {} under stream: {}, account {} is not in ACTIVE status.",
            consumer.name,
            consumer.created.seconds(),
            stream.name,
            call.scope.account
        ))),
    }
}

/// Returns the shard, and the number after which the subscription reads.
fn shard_and_start(
    stream: &mut Stream,
    call: &Call<'_>,
    id: &str,
    start: Option<StartPosition<'_>>,
) -> Result<(ShardId, SequenceNumber), ApiError> {
    let horizon = readable_horizon(stream, call)?;
    let Stream { name, shards, .. } = stream;
    let shard = ShardId::parse(id).and_then(|id| shards.get_mut(id)).filter(|shard| !shard.is_expired(horizon));
    let (Some(shard), Some(start)) = (shard, start) else { return Err(no_such_shard(call, id, name)) };
    shard.log.trim_before(horizon);
    Ok((shard.id, position(shard, call, name, &start)?.floor()))
}
