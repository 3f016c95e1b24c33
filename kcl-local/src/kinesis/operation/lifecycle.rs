//! `CreateStream` and `DeleteStream`.

use std::collections::{BTreeMap, BTreeSet};

use crate::kinesis::account::{Account, Call, not_active};
use crate::kinesis::address::{self, StreamTarget};
use crate::kinesis::constraint::{Constraints, STREAM_NAME};
use crate::kinesis::model::{
    ApiError, CreateStreamInput, DeleteStreamInput, EncryptionType, RecordDistributionStrategy, Response, StreamMode,
    StreamStatus,
};
use crate::kinesis::stream::consumer::Consumers;
use crate::kinesis::stream::phase::Phase;
use crate::kinesis::stream::retention::Retention;
use crate::kinesis::stream::shard_set::ShardSet;
use crate::kinesis::stream::{DEFAULT_RECORD_KIB, Stream};

/// AWS: a new on-demand stream accepts 4 MB a second, which takes four shards.
const ON_DEMAND_SHARDS: i64 = 4;
const MAX_SHARDS: i64 = 1_000_000;

pub(super) fn create(
    account: &mut Account,
    call: &mut Call<'_>,
    input: CreateStreamInput,
) -> Result<Response, ApiError> {
    let mut constraints = Constraints::new();
    let name = constraints.required_text("streamName", input.stream_name.as_ref(), &STREAM_NAME);
    constraints.number("shardCount", input.shard_count, 1, MAX_SHARDS);
    let mode = match &input.stream_mode_details {
        None => StreamMode::Provisioned,
        Some(details) => constraints.required_one_of(
            "streamModeDetails.streamMode",
            details.stream_mode.as_ref(),
            StreamMode::Provisioned,
        ),
    };
    constraints.number("maxRecordSizeInKiB", input.max_record_size_in_kib, 1024, 10_240);
    constraints.number("warmThroughputMiBps", input.warm_throughput_mibps, 0, i64::MAX);
    let distribution = constraints.one_of("recordDistributionStrategy", input.record_distribution_strategy.as_deref());
    constraints.tags(input.tags.iter().flatten());
    constraints.check()?;

    account.advance(call.now);
    if account.streams.contains_key(name) {
        return Err(ApiError::in_use(format!("Stream {name} under account {} already exists.", call.scope.account)));
    }
    let shards = match (mode, input.shard_count) {
        (StreamMode::Provisioned, Some(count)) => count,
        (StreamMode::Provisioned, None) => {
            return Err(ApiError::validation("ShardCount is required for a stream in PROVISIONED mode."));
        }
        (StreamMode::OnDemand, None) => ON_DEMAND_SHARDS,
        (StreamMode::OnDemand, Some(_)) => {
            return Err(ApiError::validation("ShardCount cannot be given for a stream in ON_DEMAND mode."));
        }
    };
    if mode == StreamMode::Provisioned && distribution == Some(RecordDistributionStrategy::Auto) {
        return Err(ApiError::validation("RecordDistributionStrategy AUTO needs a stream in ON_DEMAND mode."));
    }
    account.check_shard_limit(call, usize::try_from(shards).unwrap_or(usize::MAX))?;
    check_limits(account, call, mode)?;

    let stream = Stream {
        name: name.to_owned(),
        arn: address::stream_arn(call.scope, name),
        incarnation: call.rng.u64(..),
        created: account.creation_time(name, call.now),
        created_on_clock: call.now,
        phase: Phase::Creating {
            until: call.now.plus(call.config.transitions.create),
            shards: u32::try_from(shards).unwrap_or(u32::MAX),
        },
        mode,
        mode_switches: Vec::new(),
        rescales: Vec::new(),
        retention: Retention::new(call.config.retention_hour, call.now),
        shards: ShardSet::default(),
        consumers: Consumers::default(),
        tags: input.tags.unwrap_or_default(),
        policy: None,
        encryption: EncryptionType::None,
        key_id: None,
        metrics: BTreeSet::new(),
        max_record_kib: input.max_record_size_in_kib.unwrap_or(DEFAULT_RECORD_KIB),
        warm_throughput: input.warm_throughput_mibps,
        distribution: distribution.unwrap_or(RecordDistributionStrategy::UserPartitionKey),
    };
    account.streams.insert(stream.name.clone(), stream);
    Ok(Response::Empty)
}

fn check_limits(account: &Account, call: &Call<'_>, mode: StreamMode) -> Result<(), ApiError> {
    let Some(limits) = call.config.account_limits else { return Ok(()) };
    let creating = account.streams.values().filter(|stream| stream.phase.status() == StreamStatus::Creating).count();
    if creating >= limits.creating_streams {
        return Err(ApiError::limit_exceeded(format!(
            "At most {} streams of account {} may be in CREATING at a time.",
            limits.creating_streams, call.scope.account
        )));
    }
    if mode == StreamMode::OnDemand && account.on_demand_streams() >= limits.on_demand_streams {
        return Err(ApiError::limit_exceeded(format!(
            "Account {} may have at most {} on-demand streams.",
            call.scope.account, limits.on_demand_streams
        )));
    }
    Ok(())
}

pub(super) fn delete(account: &mut Account, call: &Call<'_>, input: &DeleteStreamInput) -> Result<Response, ApiError> {
    let target = StreamTarget::new(&input.stream_name, &input.stream_arn);
    let mut constraints = Constraints::new();
    constraints.stream(target);
    constraints.check()?;
    let until = call.now.plus(call.config.transitions.delete);
    let stream = account.stream(call, target)?;
    match stream.phase.status() {
        StreamStatus::Active => {}
        StreamStatus::Creating | StreamStatus::Updating | StreamStatus::Deleting => {
            return Err(not_active(call, stream));
        }
    }
    if stream.consumers.len() > 0 && input.enforce_consumer_deletion != Some(true) {
        return Err(ApiError::in_use(format!(
            "DeleteStream can't delete {}:{} because there are consumers associated with it. Deregister them, or set \
             EnforceConsumerDeletion to true.",
            call.scope.account, stream.name
        )));
    }
    stream.consumers = Consumers::default();
    stream.phase = Phase::Deleting { until };
    stream.tags = BTreeMap::new();
    Ok(Response::Empty)
}
