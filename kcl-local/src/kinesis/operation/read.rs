//! `GetRecords`.

use super::iterator::readable_horizon;
use crate::kinesis::account::{Account, Call, no_such_shard};
use crate::kinesis::address;
use crate::kinesis::constraint::{Constraints, SHARD_ITERATOR, STREAM_ARN};
use crate::kinesis::iterator::{Position, ShardIterator};
use crate::kinesis::model::{ApiError, ErrorCode, GetRecordsInput, GetRecordsOutput, Records, Response};
use crate::kinesis::stream::Stream;
use crate::kinesis::stream::record_log::Page;
use crate::kinesis::stream::shard::{Shard, ShardEnd};
use crate::kinesis::{EngineTime, ShardId};

/// Maximum number of records in a response.
const MAX_RECORDS: i64 = 10_000;
/// Maximum bytes in a response, with partition keys.
const MAX_BYTES: usize = 10 * 1024 * 1024;

pub(super) fn get_records(
    account: &mut Account,
    call: &mut Call<'_>,
    input: &GetRecordsInput,
) -> Result<Response, ApiError> {
    let mut constraints = Constraints::new();
    let token = constraints.required_text("shardIterator", input.shard_iterator.as_ref(), &SHARD_ITERATOR);
    constraints.number("limit", input.limit, 1, MAX_RECORDS);
    constraints.text("streamARN", input.stream_arn.as_deref(), &STREAM_ARN);
    constraints.check()?;
    let iterator = ShardIterator::open(token, call.now, call.config)?;
    if let Some(arn) = &input.stream_arn
        && address::Resource::parse(call.scope, arn)?.stream != iterator.stream
    {
        return Err(ApiError::invalid_argument("ShardIterator and StreamARN belong to different streams."));
    }
    let (stream, horizon) = stream_of(account, call, &iterator)?;
    let period = stream.retention.period();
    let shard = stream.shards.get_mut(iterator.shard).filter(|shard| !shard.is_expired(horizon));
    let shard = shard.ok_or_else(|| no_such_shard(call, &iterator.shard.to_string(), &iterator.stream))?;
    if call.config.read_throttling && !super::is_dry_run(input.dry_run) && !shard.reads.admit_read(call.now) {
        let message = format!(
            "Rate exceeded for shard {} in stream {} under account {}.",
            shard.id, iterator.stream, call.scope.account
        );
        return Err(ApiError::new(ErrorCode::ProvisionedThroughputExceeded, message));
    }
    super::check_dry_run(input.dry_run)?;

    shard.log.trim_before(horizon);
    if let Some(behind) = empty_answer(shard, call, &iterator, i64::try_from(period.as_millis()).unwrap_or(i64::MAX)) {
        let next = iterator.empty_answers.saturating_add(1);
        return Ok(Response::GetRecords(GetRecordsOutput {
            records: Records::default(),
            next_shard_iterator: Some(reissue(call, iterator.position, next, &iterator)),
            millis_behind_latest: behind,
            child_shards: None,
        }));
    }
    let limit = usize::try_from(input.limit.unwrap_or(MAX_RECORDS)).unwrap_or(0);
    let page = shard.log.read(iterator.position, limit, MAX_BYTES);
    shard.reads.charge(page.bytes, call.now);
    let end = shard.end.clone().filter(|_| page.at_tip && (page.records.is_empty() || !call.separate_end));
    let millis_behind_latest = behind(&page, call.now);
    let (next_shard_iterator, child_shards) = match end {
        Some(end) => (None, Some(children(stream, &end))),
        None => {
            let position = page.last.map_or(iterator.position, |(last, _)| Position::After(last));
            (Some(reissue(call, position, 0, &iterator)), None)
        }
    };
    let records = Records(page.records);
    Ok(Response::GetRecords(GetRecordsOutput { records, next_shard_iterator, millis_behind_latest, child_shards }))
}

/// The stream that the iterator was issued for, and its horizon.
fn stream_of<'a>(
    account: &'a mut Account,
    call: &Call<'_>,
    iterator: &ShardIterator,
) -> Result<(&'a mut Stream, EngineTime), ApiError> {
    let gone = || no_such_shard(call, &iterator.shard.to_string(), &iterator.stream);
    let stream = account.named(call, &iterator.stream).map_err(|_| gone())?;
    if stream.incarnation != iterator.incarnation {
        return Err(ApiError::invalid_argument(
            "Invalid ShardIterator. It was issued for an earlier stream of the same name.",
        ));
    }
    let horizon = readable_horizon(stream, call)?;
    Ok((stream, horizon))
}

/// Returns `MillisBehindLatest` of an empty response although records are available, or `None` if
/// the response has records.
///
/// AWS reads a bounded part of a shard in one call, so gaps cause empty responses. It also returns
/// empty responses for a time if the position is before the trim horizon.
fn empty_answer(shard: &Shard, call: &mut Call<'_>, iterator: &ShardIterator, period: i64) -> Option<i64> {
    let next = shard.log.next_arrival(iterator.position)?;
    if shard.log.is_before_horizon(iterator.position)
        && iterator.empty_answers < call.config.empty_answers_before_horizon
    {
        return Some(period);
    }
    let may = iterator.empty_answers < call.config.empty_answers;
    (may && call.rng.bool()).then(|| call.now.since(next).max(1))
}

/// Computes `MillisBehindLatest`. AWS: 0 at the tip, else the age of the last record of the
/// response.
pub(crate) fn behind(page: &Page, now: EngineTime) -> i64 {
    match page.last {
        Some((_, arrival)) if !page.at_tip => now.since(arrival).max(1),
        Some(_) | None => 0,
    }
}

pub(crate) fn children(stream: &Stream, end: &ShardEnd) -> Vec<crate::kinesis::model::ChildShard> {
    let child = |id: &ShardId| stream.shards.get(*id).map(Shard::describe_as_child);
    end.children.iter().filter_map(child).collect()
}

fn reissue(call: &mut Call<'_>, position: Position, empty_answers: u8, iterator: &ShardIterator) -> String {
    *call.serial += 1;
    ShardIterator { position, empty_answers, issued: call.now, serial: *call.serial, ..iterator.clone() }.encode()
}
