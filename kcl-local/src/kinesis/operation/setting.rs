//! Changes of a stream's settings: retention, mode, record size, throughput, distribution strategy.

use super::reshard::count_within_a_day;
use crate::kinesis::account::{Account, Call};
use crate::kinesis::address::StreamTarget;
use crate::kinesis::constraint::{Constraints, STREAM_ARN};
use crate::kinesis::model::{
    ApiError, DecreaseStreamRetentionPeriodInput, IncreaseStreamRetentionPeriodInput, RecordDistributionStrategy,
    Response, StreamMode, UpdateMaxRecordSizeInput, UpdateStreamModeInput, UpdateStreamRecordDistributionStrategyInput,
    UpdateStreamWarmThroughputInput, UpdateStreamWarmThroughputOutput, WarmThroughput,
};
use crate::kinesis::stream::Stream;
use crate::kinesis::stream::phase::Change;
use crate::kinesis::stream::retention::Retention;

/// AWS: maximum number of mode switches in 24 hours.
const MODE_SWITCHES_PER_DAY: usize = 2;

pub(super) fn increase_retention(
    account: &mut Account,
    call: &Call<'_>,
    input: &IncreaseStreamRetentionPeriodInput,
) -> Result<Response, ApiError> {
    let target = StreamTarget::new(&input.stream_name, &input.stream_arn);
    let hours = retention_hours(target, input.retention_period_hours)?;
    let stream = account.active_stream(call, target)?;
    if hours < stream.retention.hours() {
        return Err(wrong_direction(stream, hours, "shorter"));
    }
    change_retention(stream, call, hours)
}

pub(super) fn decrease_retention(
    account: &mut Account,
    call: &Call<'_>,
    input: &DecreaseStreamRetentionPeriodInput,
) -> Result<Response, ApiError> {
    let target = StreamTarget::new(&input.stream_name, &input.stream_arn);
    let hours = retention_hours(target, input.retention_period_hours)?;
    let stream = account.active_stream(call, target)?;
    if hours > stream.retention.hours() {
        return Err(wrong_direction(stream, hours, "longer"));
    }
    change_retention(stream, call, hours)
}

fn retention_hours(target: StreamTarget<'_>, hours: Option<i64>) -> Result<i64, ApiError> {
    let mut constraints = Constraints::new();
    constraints.stream(target);
    let hours = *constraints.required("retentionPeriodHours", hours.as_ref()).unwrap_or(&0);
    constraints.check()?;
    if !(Retention::DEFAULT_HOURS..=Retention::MAX_HOURS).contains(&hours) {
        return Err(ApiError::invalid_argument(format!(
            "RetentionPeriodHours must be from {} to {}, not {hours}.",
            Retention::DEFAULT_HOURS,
            Retention::MAX_HOURS
        )));
    }
    Ok(hours)
}

fn wrong_direction(stream: &Stream, hours: i64, than: &str) -> ApiError {
    let current = stream.retention.hours();
    ApiError::invalid_argument(format!(
        "Requested retention period ({hours} hours) for stream {} is {than} than the current one ({current} hours).",
        stream.name
    ))
}

/// Trims with the old period first, so that a longer period does not restore old records.
fn change_retention(stream: &mut Stream, call: &Call<'_>, hours: i64) -> Result<Response, ApiError> {
    stream.retention.change(hours, call.now);
    let horizon = stream.horizon(call.now);
    stream.shards.expire(horizon);
    for shard in stream.shards.iter_mut() {
        shard.log.trim_before(horizon);
    }
    Ok(Response::Empty)
}

pub(super) fn update_mode(
    account: &mut Account,
    call: &Call<'_>,
    input: &UpdateStreamModeInput,
) -> Result<Response, ApiError> {
    let mut constraints = Constraints::new();
    constraints.required_text("streamARN", input.stream_arn.as_ref(), &STREAM_ARN);
    let details = constraints.required("streamModeDetails", input.stream_mode_details.as_ref());
    let mode = details.map_or(StreamMode::Provisioned, |details| {
        constraints.required_one_of(
            "streamModeDetails.streamMode",
            details.stream_mode.as_ref(),
            StreamMode::Provisioned,
        )
    });
    constraints.number("warmThroughputMiBps", input.warm_throughput_mibps, 0, i64::MAX);
    constraints.check()?;
    let (now, until) = (call.now, call.now.plus(call.config.transitions.update));
    let stream = account.active_stream(call, StreamTarget::arn(&input.stream_arn))?;
    if mode != stream.mode {
        if count_within_a_day(&mut stream.mode_switches, now) >= MODE_SWITCHES_PER_DAY {
            return Err(ApiError::limit_exceeded(format!(
                "The mode of stream {} under account {} was switched {MODE_SWITCHES_PER_DAY} times in 24 hours.",
                stream.name, call.scope.account
            )));
        }
        stream.mode_switches.push(now);
    }
    stream.update(Change::Mode { mode, warm_throughput: input.warm_throughput_mibps }, now, until);
    Ok(Response::Empty)
}

pub(super) fn update_max_record_size(
    account: &mut Account,
    call: &Call<'_>,
    input: &UpdateMaxRecordSizeInput,
) -> Result<Response, ApiError> {
    let mut constraints = Constraints::new();
    constraints.text("streamARN", input.stream_arn.as_deref(), &STREAM_ARN);
    let kib = constraints.required_number("maxRecordSizeInKiB", input.max_record_size_in_kib, 1024, 10_240);
    constraints.check()?;
    let until = call.now.plus(call.config.transitions.update);
    let stream = account.active_stream(call, StreamTarget::arn(&input.stream_arn))?;
    stream.update(Change::MaxRecordSize(kib), call.now, until);
    Ok(Response::Empty)
}

pub(super) fn update_warm_throughput(
    account: &mut Account,
    call: &Call<'_>,
    input: &UpdateStreamWarmThroughputInput,
) -> Result<Response, ApiError> {
    let target = StreamTarget::new(&input.stream_name, &input.stream_arn);
    let mut constraints = Constraints::new();
    constraints.stream(target);
    let target_mibps = constraints.required_number("warmThroughputMiBps", input.warm_throughput_mibps, 0, i64::MAX);
    constraints.check()?;
    let until = call.now.plus(call.config.transitions.update);
    let stream = account.active_stream(call, target)?;
    let current = stream.warm_throughput.unwrap_or(0);
    stream.update(Change::WarmThroughput(target_mibps), call.now, until);
    Ok(Response::UpdateStreamWarmThroughput(UpdateStreamWarmThroughputOutput {
        stream_arn: stream.arn.clone(),
        stream_name: stream.name.clone(),
        warm_throughput: WarmThroughput { target_mibps, current_mibps: current },
    }))
}

pub(super) fn update_distribution(
    account: &mut Account,
    call: &Call<'_>,
    input: &UpdateStreamRecordDistributionStrategyInput,
) -> Result<Response, ApiError> {
    let mut constraints = Constraints::new();
    constraints.required_text("streamARN", input.stream_arn.as_ref(), &STREAM_ARN);
    let strategy = constraints.required_one_of(
        "recordDistributionStrategy",
        input.record_distribution_strategy.as_ref(),
        RecordDistributionStrategy::UserPartitionKey,
    );
    constraints.check()?;
    let stream = account.active_stream(call, StreamTarget::arn(&input.stream_arn))?;
    if stream.mode == StreamMode::Provisioned {
        return Err(ApiError::validation(format!(
            "The record distribution strategy of stream {} needs ON_DEMAND mode.",
            stream.name
        )));
    }
    stream.distribution = strategy;
    Ok(Response::Empty)
}
