//! `EnableEnhancedMonitoring` and `DisableEnhancedMonitoring`: store the enabled metrics; no
//! metrics are recorded.

use std::collections::BTreeSet;

use crate::kinesis::account::{Account, Call};
use crate::kinesis::address::StreamTarget;
use crate::kinesis::constraint::Constraints;
use crate::kinesis::model::{
    ApiError, DisableEnhancedMonitoringInput, EnableEnhancedMonitoringInput, EnhancedMonitoringOutput, MetricsName,
    Response, TextEnum as _,
};

fn read(names: Option<&Vec<String>>, constraints: &mut Constraints) -> BTreeSet<MetricsName> {
    let names = constraints.required("shardLevelMetrics", names).map_or(&[][..], Vec::as_slice);
    constraints.length("shardLevelMetrics", names.len(), 1, 7);
    let metrics: BTreeSet<_> =
        names.iter().filter_map(|name| constraints.one_of("shardLevelMetrics", Some(name.as_str()))).collect();
    if metrics.contains(&MetricsName::All) {
        return MetricsName::ALL.iter().copied().filter(|metric| *metric != MetricsName::All).collect();
    }
    metrics
}

pub(super) fn enable(
    account: &mut Account,
    call: &Call<'_>,
    input: &EnableEnhancedMonitoringInput,
) -> Result<Response, ApiError> {
    let target = StreamTarget::new(&input.stream_name, &input.stream_arn);
    let mut constraints = Constraints::new();
    constraints.stream(target);
    let metrics = read(input.shard_level_metrics.as_ref(), &mut constraints);
    constraints.check()?;
    change(account, call, target, |on| on.union(&metrics).copied().collect()).map(Response::EnableEnhancedMonitoring)
}

pub(super) fn disable(
    account: &mut Account,
    call: &Call<'_>,
    input: &DisableEnhancedMonitoringInput,
) -> Result<Response, ApiError> {
    let target = StreamTarget::new(&input.stream_name, &input.stream_arn);
    let mut constraints = Constraints::new();
    constraints.stream(target);
    let metrics = read(input.shard_level_metrics.as_ref(), &mut constraints);
    constraints.check()?;
    change(account, call, target, |on| on.difference(&metrics).copied().collect())
        .map(Response::DisableEnhancedMonitoring)
}

fn change(
    account: &mut Account,
    call: &Call<'_>,
    target: StreamTarget<'_>,
    desired: impl FnOnce(&BTreeSet<MetricsName>) -> BTreeSet<MetricsName>,
) -> Result<EnhancedMonitoringOutput, ApiError> {
    let stream = account.active_stream(call, target)?;
    let desired = desired(&stream.metrics);
    let current = std::mem::replace(&mut stream.metrics, desired.clone());
    Ok(EnhancedMonitoringOutput {
        stream_name: stream.name.clone(),
        stream_arn: stream.arn.clone(),
        current_shard_level_metrics: current.into_iter().collect(),
        desired_shard_level_metrics: desired.into_iter().collect(),
    })
}
