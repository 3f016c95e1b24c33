//! `SplitShard`, `MergeShards` and `UpdateShardCount`.

use crate::kinesis::account::{Account, Call};
use crate::kinesis::address::StreamTarget;
use crate::kinesis::constraint::{Constraints, HASH_KEY, SHARD_ID};
use crate::kinesis::model::{
    ApiError, MergeShardsInput, Response, ScalingType, SplitShardInput, StreamMode, UpdateShardCountInput,
    UpdateShardCountOutput,
};
use crate::kinesis::stream::Stream;
use crate::kinesis::stream::phase::Change;
use crate::kinesis::stream::shard::Shard;
use crate::kinesis::{EngineTime, HashKey, HashKeyRange, ShardId};

/// AWS: maximum number of `UpdateShardCount` calls in 24 hours.
const RESCALES_PER_DAY: usize = 10;
/// AWS: maximum target of `UpdateShardCount`.
const MAX_SHARDS: i64 = 10_000;
const DAY_MILLIS: i64 = 86_400_000;

/// Removes times more than a day ago, and returns the number of the others.
pub(super) fn count_within_a_day(times: &mut Vec<EngineTime>, now: EngineTime) -> usize {
    times.retain(|time| now.since(*time) < DAY_MILLIS);
    times.len()
}

fn check_provisioned(stream: &Stream, operation: &str) -> Result<(), ApiError> {
    match stream.mode {
        StreamMode::Provisioned => Ok(()),
        StreamMode::OnDemand => Err(ApiError::validation(format!(
            "{operation} is not supported for stream {} in ON_DEMAND mode: its shards are managed by the service.",
            stream.name
        ))),
    }
}

/// The open shard with the id in a request.
fn open_shard<'a>(stream: &'a Stream, call: &Call<'_>, id: &str) -> Result<&'a Shard, ApiError> {
    let account = &call.scope.account;
    let found = ShardId::parse(id)
        .and_then(|id| stream.shards.get(id))
        .filter(|shard| !shard.is_expired(stream.horizon(call.now)));
    let shard = found.ok_or_else(|| {
        ApiError::not_found(format!("Could not find shard {id} in stream {} under account {account}.", stream.name))
    })?;
    if shard.is_open() {
        return Ok(shard);
    }
    Err(ApiError::invalid_argument(format!(
        "Shard {} in stream {} under account {account} is closed.",
        shard.id, stream.name
    )))
}

pub(super) fn split(account: &mut Account, call: &Call<'_>, input: &SplitShardInput) -> Result<Response, ApiError> {
    let target = StreamTarget::new(&input.stream_name, &input.stream_arn);
    let mut constraints = Constraints::new();
    constraints.stream(target);
    let id = constraints.required_text("shardToSplit", input.shard_to_split.as_ref(), &SHARD_ID);
    let at = constraints.required_text("newStartingHashKey", input.new_starting_hash_key.as_ref(), &HASH_KEY);
    constraints.check()?;
    let until = call.now.plus(call.config.transitions.update);
    let stream = account.active_stream(call, target)?;
    check_provisioned(stream, "SplitShard")?;
    let shard = open_shard(stream, call, id)?;
    let HashKeyRange { starting_hash_key: start, ending_hash_key: end } = shard.range;
    let at = HashKey::parse(at).filter(|at| start.0 + 1 < at.0 && *at < end).ok_or_else(|| {
        ApiError::invalid_argument(format!(
            "NewStartingHashKey {at} used in SplitShard() on shard {} in stream {} under account {} is not both greater than one plus the \
             shard's StartingHashKey {start} and less than the shard's EndingHashKey {end}.",
            shard.id, stream.name, call.scope.account
        ))
    })?;
    let (name, shard) = (stream.name.clone(), shard.id);
    account.check_shard_limit(call, 1)?;
    account.named(call, &name)?.update(Change::Split { shard, at }, call.now, until);
    Ok(Response::Empty)
}

pub(super) fn merge(account: &mut Account, call: &Call<'_>, input: &MergeShardsInput) -> Result<Response, ApiError> {
    let target = StreamTarget::new(&input.stream_name, &input.stream_arn);
    let mut constraints = Constraints::new();
    constraints.stream(target);
    let lower = constraints.required_text("shardToMerge", input.shard_to_merge.as_ref(), &SHARD_ID);
    let upper = constraints.required_text("adjacentShardToMerge", input.adjacent_shard_to_merge.as_ref(), &SHARD_ID);
    constraints.check()?;
    let until = call.now.plus(call.config.transitions.update);
    let stream = account.active_stream(call, target)?;
    check_provisioned(stream, "MergeShards")?;
    let (lower, upper) = (open_shard(stream, call, lower)?, open_shard(stream, call, upper)?);
    if !lower.range.is_followed_by(upper.range) {
        return Err(ApiError::invalid_argument(format!(
            "Shards {} and {} in stream {} under account {} are not an adjacent pair of shards eligible for merging",
            lower.id, upper.id, stream.name, call.scope.account
        )));
    }
    let change = Change::Merge { lower: lower.id, upper: upper.id };
    stream.update(change, call.now, until);
    Ok(Response::Empty)
}

pub(super) fn update_count(
    account: &mut Account,
    call: &Call<'_>,
    input: &UpdateShardCountInput,
) -> Result<Response, ApiError> {
    let target = StreamTarget::new(&input.stream_name, &input.stream_arn);
    let mut constraints = Constraints::new();
    constraints.stream(target);
    let target_count = constraints.required_number("targetShardCount", input.target_shard_count, 1, i64::MAX);
    constraints.required_one_of("scalingType", input.scaling_type.as_ref(), ScalingType::UniformScaling);
    constraints.check()?;
    let (now, until) = (call.now, call.now.plus(call.config.transitions.update));
    let stream = account.active_stream(call, target)?;
    check_provisioned(stream, "UpdateShardCount")?;
    let current = i64::try_from(stream.shards.open_count()).unwrap_or(i64::MAX);
    if target_count > MAX_SHARDS || target_count > current * 2 || target_count * 2 < current {
        return Err(ApiError::invalid_argument(format!(
            "UpdateShardCount cannot bring stream {} under account {} from {current} to {target_count} open shards: at most double, at least half, \
             and at most {MAX_SHARDS}.",
            stream.name, call.scope.account
        )));
    }
    if count_within_a_day(&mut stream.rescales, now) >= RESCALES_PER_DAY {
        return Err(ApiError::limit_exceeded(format!(
            "UpdateShardCount was called {RESCALES_PER_DAY} times in 24 hours for stream {} under account {}.",
            stream.name, call.scope.account
        )));
    }
    let name = stream.name.clone();
    account.check_shard_limit(call, usize::try_from(target_count - current).unwrap_or(0))?;
    let stream = account.named(call, &name)?;
    if target_count != current {
        stream.rescales.push(now);
        stream.update(Change::ShardCount(u32::try_from(target_count).unwrap_or(u32::MAX)), now, until);
    }
    Ok(Response::UpdateShardCount(UpdateShardCountOutput {
        stream_name: name,
        current_shard_count: current,
        target_shard_count: target_count,
        stream_arn: stream.arn.clone(),
    }))
}
