//! Resource policies: stored and returned, but not enforced.

use crate::kinesis::account::{Account, Call};
use crate::kinesis::address::Resource;
use crate::kinesis::constraint::{ANY_TEXT, Constraints, RESOURCE_ARN};
use crate::kinesis::model::{
    ApiError, DeleteResourcePolicyInput, GetResourcePolicyInput, GetResourcePolicyOutput, PutResourcePolicyInput,
    Response,
};

/// The policy of the stream or consumer with this ARN.
fn policy_of<'a>(account: &'a mut Account, call: &Call<'_>, arn: &str) -> Result<&'a mut Option<String>, ApiError> {
    let resource = Resource::parse(call.scope, arn)?;
    let stream = account.named(call, resource.stream)?;
    match resource.consumer {
        None => Ok(&mut stream.policy),
        Some(consumer) => {
            let found = stream.consumers.by_arn_mut(consumer).map(|consumer| &mut consumer.policy);
            found.ok_or_else(|| ApiError::not_found(format!("{arn} does not exist.")))
        }
    }
}

fn missing(arn: &str) -> ApiError {
    ApiError::not_found(format!("{arn} has no resource policy."))
}

pub(super) fn put(account: &mut Account, call: &Call<'_>, input: PutResourcePolicyInput) -> Result<Response, ApiError> {
    let mut constraints = Constraints::new();
    let arn = constraints.required_text("resourceARN", input.resource_arn.as_ref(), &RESOURCE_ARN);
    let policy = constraints.required_text("policy", input.policy.as_ref(), &ANY_TEXT);
    constraints.check()?;
    if let Err(error) = serde_json::from_str::<serde::de::IgnoredAny>(policy) {
        return Err(ApiError::invalid_argument(format!("Policy is not JSON: {error}")));
    }
    *policy_of(account, call, arn)? = Some(policy.to_owned());
    Ok(Response::Empty)
}

pub(super) fn get(
    account: &mut Account,
    call: &Call<'_>,
    input: &GetResourcePolicyInput,
) -> Result<Response, ApiError> {
    let mut constraints = Constraints::new();
    let arn = constraints.required_text("resourceARN", input.resource_arn.as_ref(), &RESOURCE_ARN);
    constraints.check()?;
    let policy = policy_of(account, call, arn)?.clone().ok_or_else(|| missing(arn))?;
    Ok(Response::GetResourcePolicy(GetResourcePolicyOutput { policy }))
}

pub(super) fn delete(
    account: &mut Account,
    call: &Call<'_>,
    input: &DeleteResourcePolicyInput,
) -> Result<Response, ApiError> {
    let mut constraints = Constraints::new();
    let arn = constraints.required_text("resourceARN", input.resource_arn.as_ref(), &RESOURCE_ARN);
    constraints.check()?;
    policy_of(account, call, arn)?.take().ok_or_else(|| missing(arn))?;
    Ok(Response::Empty)
}
