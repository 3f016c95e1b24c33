//! Converts the engine's answers to the library's types.

use kcl_core::lease::row::HashKeyRange;
use kcl_core::record::{Record, SequenceNumber, ShardId};
use kcl_core::shard::{ApiError, ApiErrorKind, Fetched, Pushed, Shard};
use kcl_local::kinesis::model;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

pub(super) fn shard(listed: &model::Shard) -> Shard {
    let parents = listed.parent_shard_id.iter().chain(&listed.adjacent_parent_shard_id);
    let numbers = &listed.sequence_number_range;
    Shard {
        id: ShardId::new(listed.shard_id.to_string()),
        parents: parents.map(|id| ShardId::new(id.to_string())).collect(),
        hash_range: Some(range(listed.hash_key_range)),
        starting_sequence_number: SequenceNumber::parse(numbers.starting_sequence_number.to_string()).ok(),
        closed: numbers.ending_sequence_number.is_some(),
    }
}

pub(super) fn fetched(answer: model::GetRecordsOutput) -> Fetched {
    Fetched {
        records: answer.records.0.iter().map(|stored| record(stored)).collect(),
        millis_behind_latest: u64::try_from(answer.millis_behind_latest).ok(),
        next_iterator: answer.next_shard_iterator,
        children: answer.child_shards.iter().flatten().map(child).collect(),
    }
}

pub(super) fn pushed(event: model::SubscribeToShardEvent) -> Pushed {
    let number = |number: kcl_local::kinesis::SequenceNumber| SequenceNumber::parse(number.to_string()).unwrap();
    Pushed {
        records: event.records.0.iter().map(|stored| record(stored)).collect(),
        continuation: event.continuation_sequence_number.map(number),
        millis_behind_latest: u64::try_from(event.millis_behind_latest).ok(),
        children: event.child_shards.iter().flatten().map(child).collect(),
    }
}

/// No time of the model is before 1970.
pub(super) fn time(timestamp: model::Timestamp) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(timestamp.0.unsigned_abs())
}

fn record(stored: &model::Record) -> Record {
    let number = SequenceNumber::parse(stored.sequence_number.to_string()).unwrap();
    let record = Record::new(number, stored.data.0.clone()).with_arrival(time(stored.approximate_arrival_timestamp));
    match &stored.partition_key {
        Some(key) => record.with_partition_key(key.to_string()),
        None => record,
    }
}

fn child(child: &model::ChildShard) -> Shard {
    Shard {
        id: ShardId::new(child.shard_id.to_string()),
        parents: child.parent_shards.iter().map(|id| ShardId::new(id.to_string())).collect(),
        hash_range: Some(range(child.hash_key_range)),
        starting_sequence_number: None,
        closed: false,
    }
}

fn range(range: kcl_local::kinesis::HashKeyRange) -> HashKeyRange {
    HashKeyRange { start: range.starting_hash_key.0, end: range.ending_hash_key.0 }
}

pub(super) fn error(error: &model::ApiError) -> ApiError {
    let kind = match error.code {
        model::ErrorCode::ExpiredIterator => ApiErrorKind::IteratorExpired,
        model::ErrorCode::ProvisionedThroughputExceeded | model::ErrorCode::LimitExceeded => ApiErrorKind::Throttled,
        model::ErrorCode::ResourceNotFound => ApiErrorKind::NotFound,
        model::ErrorCode::ResourceInUse => ApiErrorKind::NotReady,
        _ => ApiErrorKind::Refused,
    };
    ApiError::new(kind, format!("{}: {}", error.code.name(), error.message))
}
