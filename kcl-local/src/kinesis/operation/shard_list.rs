//! `ListShards`, with filters and pagination.

use super::description::{page, shard_id};
use crate::kinesis::account::{Account, Call, check_creation, not_active};
use crate::kinesis::address::{self, StreamTarget};
use crate::kinesis::constraint::{Constraints, NEXT_TOKEN, SHARD_ID};
use crate::kinesis::model::{
    ApiError, ListShardsInput, ListShardsOutput, Response, Shard as ShardDescription, ShardFilterInput,
    ShardFilterType, StreamStatus,
};
use crate::kinesis::page_token::{self, List};
use crate::kinesis::stream::shard::Shard;
use crate::kinesis::stream::shard_set::ShardFilter;
use crate::kinesis::token::{Reader, Writer};
use crate::kinesis::{EngineTime, ShardId};

/// Maximum number of shards of a page.
const MAX_PAGE: i64 = 1000;

/// The position of a list of shards.
struct Cursor {
    stream: String,
    /// Identifies the stream among streams of the same name; `None` for the first page.
    incarnation: Option<u64>,
    filter: ShardFilter,
    after: Option<ShardId>,
}

pub(super) fn shards(
    account: &mut Account,
    call: &mut Call<'_>,
    input: &ListShardsInput,
) -> Result<Response, ApiError> {
    let filter_type = check_shape(input)?;
    let cursor = match &input.next_token {
        Some(token) => resume(call, input, token)?,
        None => begin(call, input, filter_type)?,
    };
    let now = call.now;
    let stream = account.named(call, &cursor.stream)?;
    if cursor.incarnation.is_some_and(|incarnation| incarnation != stream.incarnation) {
        return Err(page_token::invalid());
    }
    check_creation(stream, call, input.stream_creation_timestamp)?;
    match stream.phase.status() {
        StreamStatus::Active | StreamStatus::Updating => {}
        StreamStatus::Creating | StreamStatus::Deleting => return Err(not_active(call, stream)),
    }
    let horizon = stream.horizon(now);
    stream.shards.expire(horizon);
    let size = usize::try_from(input.max_results.unwrap_or(MAX_PAGE).min(MAX_PAGE)).unwrap_or(0);
    let shards = stream.shards.after(cursor.after).filter(|shard| cursor.filter.admits(shard, horizon));
    let (shards, more) = page(shards.map(|shard| describe(shard, call)), size);
    let next_token = match shards.last() {
        Some(last) if more => Some(issue(call.now, stream.incarnation, cursor.filter, last.shard_id, &stream.name)),
        Some(_) | None => None,
    };
    Ok(Response::ListShards(ListShardsOutput { shards, next_token }))
}

/// Describes a shard. With `closing_lag` a shard that has just closed may still look open.
fn describe(shard: &Shard, call: &mut Call<'_>) -> ShardDescription {
    let mut description = shard.describe();
    // The first condition is needed because several reshards at the same time close shards ahead of
    // the clock.
    if !call.config.closing_lag.is_zero()
        && let Some(end) = &shard.end
        && call.now < end.at.plus(call.config.closing_lag)
        && call.rng.bool()
    {
        description.sequence_number_range.ending_sequence_number = None;
    }
    description
}

fn check_shape(input: &ListShardsInput) -> Result<Option<ShardFilterType>, ApiError> {
    let mut constraints = Constraints::new();
    constraints.stream(StreamTarget::new(&input.stream_name, &input.stream_arn));
    constraints.text("nextToken", input.next_token.as_deref(), &NEXT_TOKEN);
    constraints.text("exclusiveStartShardId", input.exclusive_start_shard_id.as_deref(), &SHARD_ID);
    constraints.number("maxResults", input.max_results, 1, 10_000);
    let filter_type = input.shard_filter.as_ref().map(|filter| {
        constraints.text("shardFilter.shardId", filter.shard_id.as_deref(), &SHARD_ID);
        constraints.required_one_of("shardFilter.type", filter.r#type.as_ref(), ShardFilterType::FromTrimHorizon)
    });
    constraints.check()?;
    Ok(filter_type)
}

fn begin(call: &Call<'_>, input: &ListShardsInput, filter_type: Option<ShardFilterType>) -> Result<Cursor, ApiError> {
    let target = StreamTarget::new(&input.stream_name, &input.stream_arn);
    let stream = target.resolve(call.scope)?.to_owned();
    let filter = match (filter_type, &input.shard_filter) {
        (Some(kind), Some(filter)) => read_filter(call, kind, filter)?,
        (Some(_) | None, _) => ShardFilter::FromTrimHorizon,
    };
    let after = input.exclusive_start_shard_id.as_deref().map(shard_id).transpose()?;
    Ok(Cursor { stream, incarnation: None, filter, after })
}

fn read_filter(call: &Call<'_>, kind: ShardFilterType, input: &ShardFilterInput) -> Result<ShardFilter, ApiError> {
    let refuse =
        |message: &str| Err(ApiError::invalid_argument(format!("ShardFilter of type {}: {message}", kind.name())));
    let (takes_shard, takes_time) = match kind {
        ShardFilterType::AfterShardId => (true, false),
        ShardFilterType::AtTimestamp | ShardFilterType::FromTimestamp => (false, true),
        ShardFilterType::AtTrimHorizon | ShardFilterType::FromTrimHorizon | ShardFilterType::AtLatest => (false, false),
    };
    let shard = match &input.shard_id {
        Some(id) if takes_shard => Some(shard_id(id)?),
        Some(_) => return refuse("ShardId must not be given."),
        None if takes_shard => return refuse("ShardId must be given."),
        None => None,
    };
    let time = match input.timestamp.map(EngineTime::from) {
        Some(time) if takes_time && time > call.now => return refuse("Timestamp must not be in the future."),
        Some(_) if !takes_time => return refuse("Timestamp must not be given."),
        None if takes_time => return refuse("Timestamp must be given."),
        time => time,
    };
    Ok(match (kind, shard, time) {
        (ShardFilterType::AfterShardId, Some(id), _) => ShardFilter::AfterShardId(id),
        (ShardFilterType::AtTimestamp, _, Some(time)) => ShardFilter::AtTimestamp(time),
        (ShardFilterType::FromTimestamp, _, Some(time)) => ShardFilter::FromTimestamp(time),
        (ShardFilterType::AtTrimHorizon, ..) => ShardFilter::AtTrimHorizon,
        (ShardFilterType::AtLatest, ..) => ShardFilter::AtLatest,
        (
            ShardFilterType::FromTrimHorizon
            | ShardFilterType::AfterShardId
            | ShardFilterType::AtTimestamp
            | ShardFilterType::FromTimestamp,
            ..,
        ) => ShardFilter::FromTrimHorizon,
    })
}

/// Resumes a list from a token, which contains everything but the size of the page. The ARN may be
/// repeated, as the Java KCL does.
fn resume(call: &Call<'_>, input: &ListShardsInput, token: &str) -> Result<Cursor, ApiError> {
    let superfluous = [
        ("StreamName", input.stream_name.is_some()),
        ("ShardFilter", input.shard_filter.is_some()),
        ("ExclusiveStartShardId", input.exclusive_start_shard_id.is_some()),
        ("StreamCreationTimestamp", input.stream_creation_timestamp.is_some()),
    ];
    if let Some((member, _)) = superfluous.iter().find(|(_, given)| *given) {
        return Err(ApiError::invalid_argument(format!("NextToken and {member} cannot be provided together.")));
    }
    let mut reader = page_token::open(List::Shards, token, call.now, call.config)?;
    let cursor = read_cursor(&mut reader).zip(reader.rest()).ok_or_else(page_token::invalid)?;
    let ((incarnation, filter, after), stream) = cursor;
    if let Some(arn) = &input.stream_arn
        && address::Resource::parse(call.scope, arn)?.stream != stream
    {
        return Err(ApiError::invalid_argument("NextToken and StreamARN belong to different streams."));
    }
    Ok(Cursor { stream, incarnation: Some(incarnation), filter, after: Some(after) })
}

fn issue(now: EngineTime, incarnation: u64, filter: ShardFilter, after: ShardId, stream: &str) -> String {
    let writer = page_token::issue(List::Shards, now).number(incarnation).shard(after);
    let filtered: Writer = match filter {
        ShardFilter::FromTrimHorizon => writer.byte(0),
        ShardFilter::AtTrimHorizon => writer.byte(1),
        ShardFilter::AtLatest => writer.byte(2),
        ShardFilter::AfterShardId(id) => writer.byte(3).shard(id),
        ShardFilter::AtTimestamp(time) => writer.byte(4).time(time),
        ShardFilter::FromTimestamp(time) => writer.byte(5).time(time),
    };
    filtered.finish(stream)
}

fn read_cursor(reader: &mut Reader) -> Option<(u64, ShardFilter, ShardId)> {
    let (incarnation, after) = (reader.number()?, reader.shard()?);
    let filter = match reader.byte()? {
        0 => ShardFilter::FromTrimHorizon,
        1 => ShardFilter::AtTrimHorizon,
        2 => ShardFilter::AtLatest,
        3 => ShardFilter::AfterShardId(reader.shard()?),
        4 => ShardFilter::AtTimestamp(reader.time()?),
        5 => ShardFilter::FromTimestamp(reader.time()?),
        _ => return None,
    };
    Some((incarnation, filter, after))
}
