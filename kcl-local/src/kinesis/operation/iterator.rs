//! `GetShardIterator`.

use super::put::CLOCK_SLACK_SECONDS;
use crate::kinesis::account::{Account, Call, no_such_shard};
use crate::kinesis::address::StreamTarget;
use crate::kinesis::constraint::{Constraints, SEQUENCE_NUMBER, SHARD_ID};
use crate::kinesis::iterator::{Position, ShardIterator};
use crate::kinesis::model::{
    ApiError, ErrorCode, GetShardIteratorInput, GetShardIteratorOutput, Response, ShardIteratorType, StreamStatus,
    Timestamp,
};
use crate::kinesis::stream::Stream;
use crate::kinesis::stream::shard::Shard;
use crate::kinesis::{EngineTime, SequenceNumber, ShardId};

/// The starting position of a request.
pub(super) struct StartPosition<'a> {
    pub(super) operation: &'static str,
    pub(super) kind: ShardIteratorType,
    pub(super) sequence: Option<&'a str>,
    pub(super) time: Option<Timestamp>,
}

pub(super) fn get(
    account: &mut Account,
    call: &mut Call<'_>,
    input: &GetShardIteratorInput,
) -> Result<Response, ApiError> {
    let target = StreamTarget::new(&input.stream_name, &input.stream_arn);
    let mut constraints = Constraints::new();
    constraints.stream(target);
    let id = constraints.required_text("shardId", input.shard_id.as_ref(), &SHARD_ID);
    let kind =
        constraints.required_one_of("shardIteratorType", input.shard_iterator_type.as_ref(), ShardIteratorType::Latest);
    constraints.text("startingSequenceNumber", input.starting_sequence_number.as_deref(), &SEQUENCE_NUMBER);
    constraints.check()?;

    let now = call.now;
    let stream = account.stream(call, target)?;
    let horizon = readable_horizon(stream, call)?;
    let (name, incarnation) = (stream.name.clone(), stream.incarnation);
    let shard = ShardId::parse(id).and_then(|id| stream.shards.get_mut(id)).filter(|shard| !shard.is_expired(horizon));
    let shard = shard.ok_or_else(|| no_such_shard(call, id, &name))?;
    if call.config.read_throttling && !super::is_dry_run(input.dry_run) && !shard.reads.admit_iterator(now) {
        let message =
            format!("Rate exceeded for shard {} in stream {name} under account {}.", shard.id, call.scope.account);
        return Err(ApiError::new(ErrorCode::ProvisionedThroughputExceeded, message));
    }
    shard.log.trim_before(horizon);
    let sequence = input.starting_sequence_number.as_deref();
    let start = StartPosition { operation: "GetShardIterator", kind, sequence, time: input.timestamp };
    let position = position(shard, call, &name, &start)?;
    super::check_dry_run(input.dry_run)?;
    *call.serial += 1;
    let iterator = ShardIterator {
        incarnation,
        stream: name,
        shard: shard.id,
        position,
        empty_answers: 0,
        issued: now,
        serial: *call.serial,
    };
    Ok(Response::GetShardIterator(GetShardIteratorOutput { shard_iterator: iterator.encode() }))
}

/// The trim horizon of a stream, if the stream can be read.
pub(super) fn readable_horizon(stream: &Stream, call: &Call<'_>) -> Result<EngineTime, ApiError> {
    match stream.phase.status() {
        StreamStatus::Active | StreamStatus::Updating | StreamStatus::Deleting => Ok(stream.horizon(call.now)),
        StreamStatus::Creating => {
            Err(ApiError::not_found(format!("Stream {} under account {} not found.", stream.name, call.scope.account)))
        }
    }
}

/// The position in `shard` at which a request starts.
pub(super) fn position(
    shard: &Shard,
    call: &Call<'_>,
    stream: &str,
    start: &StartPosition<'_>,
) -> Result<Position, ApiError> {
    match (start.kind, start.sequence, start.time) {
        (ShardIteratorType::TrimHorizon, None, None) => Ok(shard.log.horizon()),
        (ShardIteratorType::Latest, None, None) => Ok(shard.log.tip()),
        (ShardIteratorType::AtSequenceNumber, Some(text), None) => {
            sequence_of(shard, call, stream, start, text).map(Position::At)
        }
        (ShardIteratorType::AfterSequenceNumber, Some(text), None) => {
            sequence_of(shard, call, stream, start, text).map(Position::After)
        }
        (ShardIteratorType::AtTimestamp, None, Some(time)) => {
            let (time, now) = (EngineTime::from(time), call.now);
            if time > now {
                return Err(ApiError::invalid_argument(format!(
                    "The timestampInMillis parameter cannot be greater than the currentTimestampInMillis. timestampInMillis: {}, \
                     currentTimestampInMillis: {}",
                    time.millis(),
                    now.millis()
                )));
            }
            Ok(shard.log.arrived_at(time))
        }
        (ShardIteratorType::AtTimestamp, _, None) => {
            Err(ApiError::invalid_argument("Must specify timestampInMillis for AT_TIMESTAMP iterator type."))
        }
        (
            ShardIteratorType::TrimHorizon
            | ShardIteratorType::Latest
            | ShardIteratorType::AtSequenceNumber
            | ShardIteratorType::AfterSequenceNumber
            | ShardIteratorType::AtTimestamp,
            sequence,
            _,
        ) => Err(ApiError::invalid_argument(format!(
            "Must either specify (1) AT_SEQUENCE_NUMBER or AFTER_SEQUENCE_NUMBER and StartingSequenceNumber or (2) TRIM_HORIZON or LATEST and \
             no StartingSequenceNumber. Request specified {} and {}.",
            start.kind.name(),
            sequence.map_or("no StartingSequenceNumber".to_owned(), |_| "also a StartingSequenceNumber".to_owned())
        ))),
    }
}

/// Parses a sequence number that is a valid position in `shard`. A record need not have it.
fn sequence_of(
    shard: &Shard,
    call: &Call<'_>,
    stream: &str,
    start: &StartPosition<'_>,
    text: &str,
) -> Result<SequenceNumber, ApiError> {
    let context = || {
        format!(
            "StartingSequenceNumber {text} used in {} on shard {} in stream {stream} under account {} is invalid",
            start.operation, shard.id, call.scope.account
        )
    };
    let number = SequenceNumber::parse(text).ok_or_else(|| ApiError::invalid_argument(format!("{}.", context())))?;
    if number.shard_id() != shard.id {
        return Err(ApiError::invalid_argument(format!(
            "Invalid StartingSequenceNumber. It encodes {}, while it was used in a call to a shard with {}",
            number.shard_id(),
            shard.id
        )));
    }
    if number.shard_created() != shard.created_seconds {
        return Err(ApiError::invalid_argument(format!("{} because it did not come from this stream.", context())));
    }
    let latest = call.now.seconds().max(shard.newest_seconds()) + CLOCK_SLACK_SECONDS;
    if number.seconds() > latest {
        return Err(ApiError::invalid_argument(format!("{}.", context())));
    }
    Ok(number)
}
