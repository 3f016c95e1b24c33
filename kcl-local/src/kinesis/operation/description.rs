//! `DescribeStream`, `DescribeStreamSummary` and `ListStreams`.

use crate::kinesis::ShardId;
use crate::kinesis::account::{Account, Call};
use crate::kinesis::address::StreamTarget;
use crate::kinesis::constraint::{Constraints, NEXT_TOKEN, SHARD_ID, STREAM_NAME};
use crate::kinesis::model::{
    ApiError, DescribeStreamInput, DescribeStreamOutput, DescribeStreamSummaryInput, DescribeStreamSummaryOutput,
    ListStreamsInput, ListStreamsOutput, Response, StreamDescription,
};
use crate::kinesis::page_token::{self, List};

/// Maximum number of entries of a page.
const MAX_PAGE: i64 = 100;

fn page_size(limit: Option<i64>) -> usize {
    usize::try_from(limit.unwrap_or(MAX_PAGE).min(MAX_PAGE)).unwrap_or(0)
}

/// Returns the first `size` of `all`, and whether more follow.
pub(super) fn page<T>(all: impl Iterator<Item = T>, size: usize) -> (Vec<T>, bool) {
    let mut page: Vec<T> = all.take(size + 1).collect();
    let more = page.len() > size;
    page.truncate(size);
    (page, more)
}

pub(super) fn describe(
    account: &mut Account,
    call: &Call<'_>,
    input: &DescribeStreamInput,
) -> Result<Response, ApiError> {
    let target = StreamTarget::new(&input.stream_name, &input.stream_arn);
    let mut constraints = Constraints::new();
    constraints.stream(target);
    constraints.number("limit", input.limit, 1, 10_000);
    constraints.text("exclusiveStartShardId", input.exclusive_start_shard_id.as_deref(), &SHARD_ID);
    constraints.check()?;
    let after = input.exclusive_start_shard_id.as_deref().map(shard_id).transpose()?;
    let now = call.now;
    let stream = account.stream(call, target)?;
    stream.shards.expire(stream.retention.horizon(now));
    let (shards, has_more_shards) =
        page(stream.shards.after(after).map(|shard| shard.describe()), page_size(input.limit));
    let stream_description = StreamDescription {
        stream_name: stream.name.clone(),
        stream_arn: stream.arn.clone(),
        stream_status: stream.phase.status(),
        stream_mode_details: stream.mode_details(),
        shards,
        has_more_shards,
        retention_period_hours: stream.retention.hours(),
        stream_creation_timestamp: stream.created.into(),
        enhanced_monitoring: stream.enhanced_monitoring(),
        encryption_type: stream.encryption,
        key_id: stream.key_id.clone(),
    };
    Ok(Response::DescribeStream(DescribeStreamOutput { stream_description }))
}

/// Parses the shard id after which a list starts.
pub(super) fn shard_id(text: &str) -> Result<ShardId, ApiError> {
    ShardId::parse(text).ok_or_else(|| ApiError::invalid_argument(format!("{text} is not the id of a shard.")))
}

pub(super) fn summary(
    account: &mut Account,
    call: &Call<'_>,
    input: &DescribeStreamSummaryInput,
) -> Result<Response, ApiError> {
    let target = StreamTarget::new(&input.stream_name, &input.stream_arn);
    let mut constraints = Constraints::new();
    constraints.stream(target);
    constraints.check()?;
    let stream = account.stream(call, target)?;
    let stream_description_summary = stream.description_summary();
    Ok(Response::DescribeStreamSummary(DescribeStreamSummaryOutput { stream_description_summary }))
}

pub(super) fn list(account: &mut Account, call: &Call<'_>, input: &ListStreamsInput) -> Result<Response, ApiError> {
    let mut constraints = Constraints::new();
    constraints.number("limit", input.limit, 1, 10_000);
    constraints.text("exclusiveStartStreamName", input.exclusive_start_stream_name.as_deref(), &STREAM_NAME);
    constraints.text("nextToken", input.next_token.as_deref(), &NEXT_TOKEN);
    constraints.check()?;
    let after = match &input.next_token {
        Some(token) => {
            let reader = page_token::open(List::Streams, token, call.now, call.config)?;
            Some(reader.rest().ok_or_else(page_token::invalid)?)
        }
        None => input.exclusive_start_stream_name.clone(),
    };
    account.advance(call.now);
    let rest = account.streams.values().filter(|stream| after.as_ref().is_none_or(|after| stream.name > *after));
    let (stream_summaries, has_more_streams) = page(rest.map(|stream| stream.summary()), page_size(input.limit));
    let stream_names: Vec<_> = stream_summaries.iter().map(|summary| summary.stream_name.clone()).collect();
    let next_token = match stream_names.last() {
        Some(last) if has_more_streams => Some(page_token::issue(List::Streams, call.now).finish(last)),
        Some(_) | None => None,
    };
    Ok(Response::ListStreams(ListStreamsOutput { stream_names, has_more_streams, next_token, stream_summaries }))
}
