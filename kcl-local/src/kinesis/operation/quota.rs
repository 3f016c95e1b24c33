//! `DescribeLimits`, `DescribeAccountSettings` and `UpdateAccountSettings`.

use std::time::Duration;

use crate::kinesis::account::{Account, Call, Commitment};
use crate::kinesis::constraint::Constraints;
use crate::kinesis::model::{
    AccountSettingsOutput, ApiError, BillingCommitment, BillingCommitmentStatus, DescribeLimitsOutput, Response,
    UpdateAccountSettingsInput,
};

/// AWS: the minimum duration of a commitment.
const MIN_COMMITMENT: Duration = Duration::from_secs(86_400);

pub(super) fn describe_limits(account: &mut Account, call: &Call<'_>) -> Response {
    account.advance(call.now);
    let limits = call.config.account_limits.unwrap_or_default();
    Response::DescribeLimits(DescribeLimitsOutput {
        shard_limit: limits.shards,
        open_shard_count: account.open_shards(),
        on_demand_stream_count: account.on_demand_streams(),
        on_demand_stream_count_limit: limits.on_demand_streams,
        channel_count: 0,
        channel_count_limit: 0,
    })
}

pub(super) fn describe_settings(account: &Account) -> Response {
    Response::DescribeAccountSettings(settings(account.commitment))
}

fn settings(commitment: Commitment) -> AccountSettingsOutput {
    let status = if commitment.enabled { BillingCommitmentStatus::Enabled } else { BillingCommitmentStatus::Disabled };
    AccountSettingsOutput {
        minimum_throughput_billing_commitment: BillingCommitment {
            status,
            started_at: commitment.started.map(Into::into),
            ended_at: commitment.ended.map(Into::into),
            earliest_allowed_end_at: commitment.started.map(|start| start.plus(MIN_COMMITMENT).into()),
        },
    }
}

pub(super) fn update_settings(
    account: &mut Account,
    call: &Call<'_>,
    input: UpdateAccountSettingsInput,
) -> Result<Response, ApiError> {
    let mut constraints = Constraints::new();
    let commitment = constraints
        .required("minimumThroughputBillingCommitment", input.minimum_throughput_billing_commitment.as_ref());
    let status = commitment.map(|commitment| {
        let member = "minimumThroughputBillingCommitment.status";
        constraints.required_one_of(member, commitment.status.as_ref(), BillingCommitmentStatus::Disabled)
    });
    constraints.check()?;
    let now = call.now;
    account.commitment = match status {
        Some(BillingCommitmentStatus::Enabled) if account.commitment.enabled => account.commitment,
        Some(BillingCommitmentStatus::Enabled) => Commitment { enabled: true, started: Some(now), ended: None },
        Some(BillingCommitmentStatus::Disabled | BillingCommitmentStatus::EnabledUntilEarliestAllowedEnd) | None => {
            Commitment { enabled: false, started: None, ended: account.commitment.enabled.then_some(now) }
        }
    };
    Ok(Response::UpdateAccountSettings(settings(account.commitment)))
}
