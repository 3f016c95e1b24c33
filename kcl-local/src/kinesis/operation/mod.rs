//! The operations, one function each: check a request, change the account, and build the response.

mod consumer;
mod description;
mod encryption;
mod iterator;
mod lifecycle;
mod monitoring;
mod policy;
mod put;
mod quota;
pub(crate) mod read;
mod reshard;
mod setting;
mod shard_list;
mod subscribe;
mod tag;

use super::account::{Account, Call};
use super::model::{ApiError, ErrorCode, Request, Response};

/// Answers a request.
pub(crate) fn answer(account: &mut Account, call: &mut Call<'_>, request: Request) -> Result<Response, ApiError> {
    account.check_rate(call, &request)?;
    match request {
        Request::AddTagsToStream(input) => tag::add_to_stream(account, call, input),
        Request::CreateStream(input) => lifecycle::create(account, call, input),
        Request::DecreaseStreamRetentionPeriod(input) => setting::decrease_retention(account, call, &input),
        Request::DeleteResourcePolicy(input) => policy::delete(account, call, &input),
        Request::DeleteStream(input) => lifecycle::delete(account, call, &input),
        Request::DeregisterStreamConsumer(input) => consumer::deregister(account, call, &input),
        Request::DescribeAccountSettings(_) => Ok(quota::describe_settings(account)),
        Request::DescribeLimits(_) => Ok(quota::describe_limits(account, call)),
        Request::DescribeStream(input) => description::describe(account, call, &input),
        Request::DescribeStreamConsumer(input) => consumer::describe(account, call, &input),
        Request::DescribeStreamSummary(input) => description::summary(account, call, &input),
        Request::DisableEnhancedMonitoring(input) => monitoring::disable(account, call, &input),
        Request::EnableEnhancedMonitoring(input) => monitoring::enable(account, call, &input),
        Request::GetRecords(input) => read::get_records(account, call, &input),
        Request::GetResourcePolicy(input) => policy::get(account, call, &input),
        Request::GetShardIterator(input) => iterator::get(account, call, &input),
        Request::IncreaseStreamRetentionPeriod(input) => setting::increase_retention(account, call, &input),
        Request::ListShards(input) => shard_list::shards(account, call, &input),
        Request::ListStreamConsumers(input) => consumer::list(account, call, &input),
        Request::ListStreams(input) => description::list(account, call, &input),
        Request::ListTagsForResource(input) => tag::list_for_resource(account, call, &input),
        Request::ListTagsForStream(input) => tag::list_for_stream(account, call, &input),
        Request::MergeShards(input) => reshard::merge(account, call, &input),
        Request::PutRecord(input) => put::put_record(account, call, input),
        Request::PutRecords(input) => put::put_records(account, call, input),
        Request::PutResourcePolicy(input) => policy::put(account, call, input),
        Request::RegisterStreamConsumer(input) => consumer::register(account, call, input),
        Request::RemoveTagsFromStream(input) => tag::remove_from_stream(account, call, &input),
        Request::SplitShard(input) => reshard::split(account, call, &input),
        Request::StartStreamEncryption(input) => encryption::start(account, call, input),
        Request::StopStreamEncryption(input) => encryption::stop(account, call, input),
        Request::SubscribeToShard(input) => subscribe::subscribe(account, call, &input),
        Request::TagResource(input) => tag::tag(account, call, input),
        Request::UntagResource(input) => tag::untag(account, call, &input),
        Request::UpdateAccountSettings(input) => quota::update_settings(account, call, input),
        Request::UpdateMaxRecordSize(input) => setting::update_max_record_size(account, call, &input),
        Request::UpdateShardCount(input) => reshard::update_count(account, call, &input),
        Request::UpdateStreamMode(input) => setting::update_mode(account, call, &input),
        Request::UpdateStreamRecordDistributionStrategy(input) => setting::update_distribution(account, call, &input),
        Request::UpdateStreamWarmThroughput(input) => setting::update_warm_throughput(account, call, &input),
    }
}

/// AWS: dry runs do not count against a shard's throughput.
fn is_dry_run(dry_run: Option<bool>) -> bool {
    dry_run == Some(true)
}

/// Returns the error of a dry run that would have succeeded.
fn check_dry_run(dry_run: Option<bool>) -> Result<(), ApiError> {
    if is_dry_run(dry_run) {
        return Err(ApiError::new(ErrorCode::DryRunOperation, "Request would have succeeded, but DryRun flag is set."));
    }
    Ok(())
}
