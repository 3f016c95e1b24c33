//! Converts the service's responses. Payloads are moved, never copied.

use crate::aws::failure::{Cause, Failure};
use crate::lease::row::HashKeyRange;
use crate::record::{Record, SequenceNumber, ShardId, StreamIdentity};
use crate::shard::{Fetched, Shard, StreamDescription};
use aws_sdk_kinesis::operation::describe_stream_summary::DescribeStreamSummaryOutput;
use aws_sdk_kinesis::operation::get_records::GetRecordsOutput;
use aws_sdk_kinesis::types::{self, RecordDistributionStrategy, StreamStatus};

pub(super) const DESCRIBE: &str = "DescribeStreamSummary";
pub(super) const LIST: &str = "ListShards";
pub(super) const ITERATOR: &str = "GetShardIterator";
pub(super) const RECORDS: &str = "GetRecords";

pub(super) fn description(response: DescribeStreamSummaryOutput) -> Result<StreamDescription, Failure> {
    let summary = response
        .stream_description_summary
        .ok_or_else(|| Failure::new(Cause::Unanswered, DESCRIBE, "the response describes no stream"))?;
    let unusable = matches!(summary.stream_status, StreamStatus::Creating | StreamStatus::Deleting);
    if unusable {
        return Err(Failure::new(Cause::Busy, DESCRIBE, format!("the stream is {}", summary.stream_status)));
    }
    Ok(StreamDescription {
        identity: StreamIdentity {
            arn: summary.stream_arn,
            // Fractions of a second are dropped, as KCL does.
            created_at: summary.stream_creation_timestamp.secs(),
        },
        retention_hours: u32::try_from(summary.retention_period_hours).unwrap_or(24),
        keyed: summary.record_distribution_strategy != Some(RecordDistributionStrategy::Auto),
        open_shards: u32::try_from(summary.open_shard_count).unwrap_or(0),
    })
}

pub(super) fn shard(shard: types::Shard) -> Result<Shard, Failure> {
    let parents = shard.parent_shard_id.into_iter().chain(shard.adjacent_parent_shard_id);
    let range = shard.sequence_number_range;
    let id = ShardId::new(shard.shard_id);
    if !crate::shard::is_valid_shard_id(&id) {
        // The lease's key would contain it.
        return Err(Failure::new(Cause::Unanswered, LIST, "the list contains an invalid shard id"));
    }
    Ok(Shard {
        id,
        parents: parents.map(ShardId::new).collect(),
        hash_range: shard.hash_key_range.map(|range| hash_range(LIST, &range)).transpose()?,
        closed: range.as_ref().is_some_and(|range| range.ending_sequence_number.is_some()),
        starting_sequence_number: range.and_then(|range| SequenceNumber::parse(range.starting_sequence_number).ok()),
    })
}

/// # Errors
/// A response with both a next iterator and children contradicts itself: the call is retried with
/// the same iterator, as in KCL's `DataRetrievalUtil`, because following it would end a shard too
/// early, or never. A response with neither, or with invalid children, does not show how the shard
/// ended: the reader lists the shards.
pub(super) fn fetched(response: GetRecordsOutput) -> Result<Fetched, Failure> {
    let children = response.child_shards.unwrap_or_default();
    if response.next_shard_iterator.is_some() && !children.is_empty() {
        let message = "the response contradicts itself: it has an iterator and children";
        return Err(Failure::new(Cause::Unanswered, RECORDS, message));
    }
    last_number(&response.records, RECORDS)?;
    Ok(Fetched {
        records: response.records.into_iter().map(record).collect(),
        millis_behind_latest: response.millis_behind_latest.and_then(|ms| u64::try_from(ms).ok()),
        next_iterator: response.next_shard_iterator,
        children: children.into_iter().map(child).collect::<Result<_, _>>()?,
    })
}

/// Checks the sequence number that becomes a position. The others are trusted.
pub(super) fn last_number(records: &[types::Record], operation: &'static str) -> Result<(), Failure> {
    let Some(last) = records.last() else { return Ok(()) };
    SequenceNumber::parse(last.sequence_number.as_str())
        .map(drop)
        .map_err(|error| Failure::new(Cause::Request, operation, error.to_string()))
}

pub(super) fn record(record: types::Record) -> Record {
    Record {
        sequence_number: SequenceNumber::trusted(record.sequence_number),
        sub_sequence_number: 0,
        partition_key: record.partition_key.map(Into::into),
        arrived_at_ms: record.approximate_arrival_timestamp.and_then(|at| at.to_millis().ok()).unwrap_or(0),
        data: record.data.into_bytes(),
    }
}

pub(super) fn child(child: types::ChildShard) -> Result<Shard, Failure> {
    Ok(Shard {
        id: ShardId::new(child.shard_id),
        parents: child.parent_shards.into_iter().map(ShardId::new).collect(),
        hash_range: child.hash_key_range.map(|range| hash_range(RECORDS, &range)).transpose()?,
        starting_sequence_number: None,
        closed: false,
    })
}

fn hash_range(operation: &'static str, range: &types::HashKeyRange) -> Result<HashKeyRange, Failure> {
    let key = |digits: &str| {
        digits
            .parse()
            .map_err(|why| Failure::new(Cause::Request, operation, format!("`{digits}` is not a hash key: {why}")))
    };
    Ok(HashKeyRange { start: key(&range.starting_hash_key)?, end: key(&range.ending_hash_key)? })
}

#[cfg(test)]
mod tests {
    use super::*;
    use aws_sdk_kinesis::primitives::{Blob, DateTime};
    use bytes::Bytes;

    fn child(parents: &[&str]) -> types::ChildShard {
        let child = types::ChildShard::builder().shard_id("shardId-000000000001");
        child.set_parent_shards(Some(parents.iter().map(|&parent| parent.to_owned()).collect())).build().unwrap()
    }

    fn response(next: Option<&str>, children: Option<Vec<types::ChildShard>>) -> GetRecordsOutput {
        GetRecordsOutput::builder()
            .set_records(Some(vec![]))
            .set_next_shard_iterator(next.map(str::to_owned))
            .set_child_shards(children)
            .build()
            .unwrap()
    }

    #[test]
    fn a_contradictory_response_is_retried() {
        let parent = &["shardId-000000000000"];
        let failure = fetched(response(Some("next"), Some(vec![child(parent)]))).unwrap_err();
        assert_eq!(failure.cause, Cause::Unanswered);
        assert!(fetched(response(Some("next"), None)).is_ok());
        assert_eq!(fetched(response(None, Some(vec![child(parent)]))).unwrap().children.len(), 1);
    }

    #[test]
    fn an_end_without_children_is_left_to_the_list_of_shards() {
        for end in [response(None, None), response(None, Some(vec![]))] {
            let fetched = fetched(end).unwrap();
            assert_eq!((fetched.next_iterator, fetched.children.len()), (None, 0));
        }
        let children = fetched(response(None, Some(vec![child(&[])]))).unwrap().children;
        assert!(!crate::shard::are_valid_children(&ShardId::from("shardId-000000000000"), &children));
    }

    #[test]
    fn a_list_with_an_invalid_shard_id_is_refused() {
        let listed = |name: &str| shard(types::Shard::builder().shard_id(name).build().unwrap());
        assert!(listed("shardId-000000000001").is_ok());
        assert_eq!(listed("session/w0").unwrap_err().cause, Cause::Unanswered);
    }

    #[test]
    fn a_response_with_an_invalid_last_sequence_number_is_refused() {
        let last = types::Record::builder().sequence_number("nonsense").data(Blob::new([1])).partition_key("k").build();
        let response = GetRecordsOutput::builder().records(last.unwrap()).next_shard_iterator("next").build().unwrap();
        assert_eq!(fetched(response).unwrap_err().cause, Cause::Request);
    }

    #[test]
    fn a_payload_is_not_copied() {
        let payload = Bytes::from(vec![7; 1_000]);
        let sent = types::Record::builder()
            .sequence_number("49590338271490256608559692538361571095921575989136588898")
            .data(Blob::from_maybe_shared(payload.clone()))
            .approximate_arrival_timestamp(DateTime::from_millis(1_700_000_000_123))
            .build()
            .unwrap();
        let got = record(sent);
        assert_eq!(got.data.as_ptr(), payload.as_ptr());
        assert_eq!((got.arrived_at_ms, got.partition_key), (1_700_000_000_123, None));
    }
}
