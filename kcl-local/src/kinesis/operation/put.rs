//! `PutRecord` and `PutRecords`.

use crate::kinesis::account::{Account, Call};
use crate::kinesis::address::StreamTarget;
use crate::kinesis::constraint::{Constraints, HASH_KEY, PARTITION_KEY, SEQUENCE_NUMBER};
use crate::kinesis::model::{
    ApiError, Blob, ErrorCode, PutRecordInput, PutRecordOutput, PutRecordsInput, PutRecordsOutput,
    PutRecordsResultEntry, RecordDistributionStrategy, Response, StreamStatus,
};
use crate::kinesis::stream::Stream;
use crate::kinesis::stream::shard::IncomingRecord;
use crate::kinesis::{EngineTime, HashKey, SequenceNumber, ShardId};

/// Maximum bytes of a record's data, independent of the stream's limit.
const MAX_DATA_BYTES: usize = 10 * 1024 * 1024;
/// Maximum bytes of a request, with partition keys.
const MAX_TOTAL_BYTES: usize = 10 * 1024 * 1024;
const MAX_RECORDS: usize = 500;
/// The time in a sequence number may be this far ahead of the clock, because shards created within
/// one second have later times.
pub(super) const CLOCK_SLACK_SECONDS: i64 = 60;

/// The selection of a record's shard.
enum Placement {
    Key(HashKey),
    /// The service selects the shard (strategy `AUTO`).
    Any,
}

pub(super) fn put_record(
    account: &mut Account,
    call: &mut Call<'_>,
    input: PutRecordInput,
) -> Result<Response, ApiError> {
    let target = StreamTarget::new(&input.stream_name, &input.stream_arn);
    let keyed = needs_key(account, call, target);
    let mut constraints = Constraints::new();
    constraints.stream(target);
    check_entry(
        &mut constraints,
        |member| member.to_owned(),
        input.data.as_ref(),
        input.partition_key.as_ref(),
        input.explicit_hash_key.as_deref(),
        keyed,
    );
    constraints.text("sequenceNumberForOrdering", input.sequence_number_for_ordering.as_deref(), &SEQUENCE_NUMBER);
    constraints.check()?;

    let stream = writable(account, call, target)?;
    let placement = placement(stream, input.partition_key.as_deref(), input.explicit_hash_key.as_deref())?;
    let incoming = incoming(stream, input.data, input.partition_key);
    check_size(stream, &incoming)?;
    let floor =
        input.sequence_number_for_ordering.as_deref().map(|text| ordering_floor(stream, call, text)).transpose()?;
    super::check_dry_run(input.dry_run)?;
    let shard_id = route(stream, call, &placement)?;
    let arrival = arrival_time(call);
    let horizon = stream.horizon(call.now);
    let shard = stream.shards.get_mut(shard_id).ok_or_else(internal_failure)?;
    shard.log.trim_before(horizon);
    if let Some(floor) = floor
        && !shard.skip_past(floor)
    {
        return Err(invalid_floor(stream, call, &floor.to_string()));
    }
    if call.config.write_throttling && !shard.writes.admit(incoming.bytes(), call.now) {
        return Err(ApiError::new(ErrorCode::ProvisionedThroughputExceeded, rate_exceeded(stream, call, shard_id)));
    }
    let encryption_type = incoming.encryption;
    let sequence_number = shard.append(arrival, incoming);
    Ok(Response::PutRecord(PutRecordOutput { shard_id, sequence_number, encryption_type }))
}

pub(super) fn put_records(
    account: &mut Account,
    call: &mut Call<'_>,
    input: PutRecordsInput,
) -> Result<Response, ApiError> {
    let target = StreamTarget::new(&input.stream_name, &input.stream_arn);
    let keyed = needs_key(account, call, target);
    let mut constraints = Constraints::new();
    constraints.stream(target);
    constraints.required("records", input.records.as_ref());
    let entries = input.records.unwrap_or_default();
    constraints.length("records", entries.len(), 1, MAX_RECORDS);
    for (index, entry) in (1..).zip(&entries) {
        check_entry(
            &mut constraints,
            |member| format!("records.{index}.member.{member}"),
            entry.data.as_ref(),
            entry.partition_key.as_ref(),
            entry.explicit_hash_key.as_deref(),
            keyed,
        );
    }
    constraints.check()?;

    let stream = writable(account, call, target)?;
    let mut total = 0;
    let mut accepted = Vec::with_capacity(entries.len());
    for entry in entries {
        let placement = placement(stream, entry.partition_key.as_deref(), entry.explicit_hash_key.as_deref())?;
        let incoming = incoming(stream, entry.data, entry.partition_key);
        check_size(stream, &incoming)?;
        total += incoming.bytes();
        accepted.push((placement, incoming));
    }
    if total > MAX_TOTAL_BYTES {
        return Err(ApiError::invalid_argument(format!(
            "Records are {total} bytes in all, partition keys counted: more than {MAX_TOTAL_BYTES} bytes."
        )));
    }
    super::check_dry_run(input.dry_run)?;
    let encryption_type = stream.encryption;
    let records = accepted
        .into_iter()
        .map(|(placement, incoming)| store(stream, call, &placement, incoming))
        .collect::<Result<Vec<_>, _>>()?;
    let failed_record_count =
        records.iter().filter(|entry| matches!(entry, PutRecordsResultEntry::Failed { .. })).count();
    Ok(Response::PutRecords(PutRecordsOutput { failed_record_count, records, encryption_type }))
}

/// Stores one record of PutRecords, or returns its error. A failed record does not stop the others.
fn store(
    stream: &mut Stream,
    call: &mut Call<'_>,
    placement: &Placement,
    incoming: IncomingRecord,
) -> Result<PutRecordsResultEntry, ApiError> {
    let failed = |code: ErrorCode, error_message: String| PutRecordsResultEntry::Failed {
        error_code: code.name(),
        error_message,
    };
    let shard_id = route(stream, call, placement)?;
    let arrival = arrival_time(call);
    if call.config.failed_entries > 0.0 && call.rng.f64() < call.config.failed_entries {
        return Ok(failed(ErrorCode::InternalFailure, "Internal Service Failure".to_owned()));
    }
    let horizon = stream.horizon(call.now);
    let shard = stream.shards.get_mut(shard_id).ok_or_else(internal_failure)?;
    // Trim on writes too: a shard that is never read would keep all records.
    shard.log.trim_before(horizon);
    if call.config.write_throttling && !shard.writes.admit(incoming.bytes(), call.now) {
        return Ok(failed(ErrorCode::ProvisionedThroughputExceeded, rate_exceeded(stream, call, shard_id)));
    }
    Ok(PutRecordsResultEntry::Stored { sequence_number: shard.append(arrival, incoming), shard_id })
}

/// Whether a record must have a partition key. It is optional only with the strategy `AUTO`.
fn needs_key(account: &mut Account, call: &Call<'_>, target: StreamTarget<'_>) -> bool {
    match account.stream(call, target) {
        Ok(stream) => stream.distribution == RecordDistributionStrategy::UserPartitionKey,
        Err(_) => true,
    }
}

fn check_entry(
    constraints: &mut Constraints,
    path: impl Fn(&str) -> String,
    data: Option<&Blob>,
    partition_key: Option<&String>,
    explicit_hash_key: Option<&str>,
    keyed: bool,
) {
    match data {
        None => constraints.fail("null", &path("data"), "must not be null"),
        Some(data) if data.len() > MAX_DATA_BYTES => {
            let value = format!("'[{} bytes]'", data.len());
            constraints.fail(
                &value,
                &path("data"),
                &format!("must have length less than or equal to {MAX_DATA_BYTES}"),
            );
        }
        Some(_) => {}
    }
    match partition_key {
        None if keyed => constraints.fail("null", &path("partitionKey"), "must not be null"),
        None => {}
        Some(key) if PARTITION_KEY.is_satisfied_by(key) => {}
        Some(key) => constraints.text(&path("partitionKey"), Some(key), &PARTITION_KEY),
    }
    if let Some(key) = explicit_hash_key {
        constraints.text(&path("explicitHashKey"), Some(key), &HASH_KEY);
    }
}

fn writable<'a>(
    account: &'a mut Account,
    call: &Call<'_>,
    target: StreamTarget<'_>,
) -> Result<&'a mut Stream, ApiError> {
    let stream = account.stream(call, target)?;
    match stream.phase.status() {
        StreamStatus::Active | StreamStatus::Updating => Ok(stream),
        StreamStatus::Creating | StreamStatus::Deleting => {
            Err(ApiError::not_found(format!("Stream {} under account {} not found.", stream.name, call.scope.account)))
        }
    }
}

fn placement(
    stream: &Stream,
    partition_key: Option<&str>,
    explicit_hash_key: Option<&str>,
) -> Result<Placement, ApiError> {
    let key = match explicit_hash_key {
        Some(text) => Some(HashKey::parse(text).ok_or_else(|| {
            ApiError::invalid_argument(format!(
                "Invalid ExplicitHashKey. ExplicitHashKey must be in the range: [0, 2^128-1]. Specified value was {text}"
            ))
        })?),
        None => partition_key.map(HashKey::of),
    };
    Ok(match (stream.distribution, key) {
        (RecordDistributionStrategy::UserPartitionKey, Some(key)) => Placement::Key(key),
        (RecordDistributionStrategy::UserPartitionKey, None) | (RecordDistributionStrategy::Auto, _) => Placement::Any,
    })
}

fn route(stream: &Stream, call: &mut Call<'_>, placement: &Placement) -> Result<ShardId, ApiError> {
    let shard = match placement {
        Placement::Key(key) => stream.shards.route(*key),
        Placement::Any => stream.shards.open_at(call.rng.usize(..stream.shards.open_count().max(1))),
    };
    shard.ok_or_else(internal_failure)
}

fn incoming(stream: &Stream, data: Option<Blob>, partition_key: Option<String>) -> IncomingRecord {
    IncomingRecord { data: data.unwrap_or_default(), partition_key, encryption: stream.encryption }
}

fn check_size(stream: &Stream, incoming: &IncomingRecord) -> Result<(), ApiError> {
    let (bytes, max) = (incoming.bytes(), stream.max_record_bytes());
    if bytes <= max {
        return Ok(());
    }
    Err(ApiError::invalid_argument(format!(
        "A record of {bytes} bytes, partition key counted, is larger than the {max} bytes that stream {} accepts.",
        stream.name
    )))
}

/// The arrival time of a record: the engine's clock with the configured skew.
fn arrival_time(call: &mut Call<'_>) -> EngineTime {
    let skew = i64::try_from(call.config.arrival_skew.as_millis()).unwrap_or(i64::MAX);
    match skew {
        0 => call.now,
        skew => EngineTime::from_millis(call.now.millis() + call.rng.i64(-skew..=skew)),
    }
}

fn ordering_floor(stream: &Stream, call: &Call<'_>, text: &str) -> Result<SequenceNumber, ApiError> {
    let newest = stream.shards.iter().map(|shard| shard.newest_seconds()).max().unwrap_or(0);
    let latest = call.now.seconds().max(newest) + CLOCK_SLACK_SECONDS;
    SequenceNumber::parse(text)
        .filter(|number| number.seconds() <= latest)
        .ok_or_else(|| invalid_floor(stream, call, text))
}

fn invalid_floor(stream: &Stream, call: &Call<'_>, text: &str) -> ApiError {
    ApiError::invalid_argument(format!(
        "ExclusiveMinimumSequenceNumber {text} used in PutRecord on stream {} under account {} is invalid.",
        stream.name, call.scope.account
    ))
}

fn rate_exceeded(stream: &Stream, call: &Call<'_>, shard: ShardId) -> String {
    format!("Rate exceeded for shard {shard} in stream {} under account {}.", stream.name, call.scope.account)
}

fn internal_failure() -> ApiError {
    ApiError::new(ErrorCode::InternalFailure, "Internal Service Failure")
}
