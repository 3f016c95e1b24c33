//! `RegisterStreamConsumer`, `DescribeStreamConsumer`, `ListStreamConsumers` and
//! `DeregisterStreamConsumer`.

use super::description::page;
use crate::kinesis::account::{Account, Call, check_creation, not_active};
use crate::kinesis::address::{Resource, StreamTarget};
use crate::kinesis::constraint::{CONSUMER_ARN, CONSUMER_NAME, Constraints, NEXT_TOKEN, STREAM_ARN};
use crate::kinesis::model::{
    ApiError, ConsumerStatus, DeregisterStreamConsumerInput, DescribeStreamConsumerInput, DescribeStreamConsumerOutput,
    ListStreamConsumersInput, ListStreamConsumersOutput, RegisterStreamConsumerInput, RegisterStreamConsumerOutput,
    Response, StreamStatus,
};
use crate::kinesis::page_token::{self, List};
use crate::kinesis::stream::Stream;
use crate::kinesis::stream::consumer::Consumer;

/// AWS: maximum number of consumers of a stream, without and with a commitment to a minimum
/// throughput.
const MAX_CONSUMERS: usize = 20;
const MAX_CONSUMERS_WITH_COMMITMENT: usize = 50;
/// Maximum number of consumers of a page.
const PAGE: i64 = 100;

pub(super) fn register(
    account: &mut Account,
    call: &Call<'_>,
    input: RegisterStreamConsumerInput,
) -> Result<Response, ApiError> {
    let mut constraints = Constraints::new();
    constraints.required_text("streamARN", input.stream_arn.as_ref(), &STREAM_ARN);
    let name = constraints.required_text("consumerName", input.consumer_name.as_ref(), &CONSUMER_NAME).to_owned();
    constraints.tags(input.tags.iter().flatten());
    constraints.check()?;
    let max = if account.commitment.enabled { MAX_CONSUMERS_WITH_COMMITMENT } else { MAX_CONSUMERS };
    let (now, active) = (call.now, call.now.plus(call.config.transitions.register));
    let stream = account.stream(call, StreamTarget::arn(&input.stream_arn))?;
    match stream.phase.status() {
        StreamStatus::Active | StreamStatus::Updating => {}
        StreamStatus::Creating | StreamStatus::Deleting => return Err(not_active(call, stream)),
    }
    let account_id = &call.scope.account;
    if stream.consumers.get(&name).is_some() {
        return Err(ApiError::in_use(format!(
            "Consumer {name} under stream {}, account {account_id} already exists.",
            stream.name
        )));
    }
    let creating = call.config.account_limits.map_or(usize::MAX, |limits| limits.creating_consumers);
    if stream.consumers.len() >= max || stream.consumers.creating() >= creating {
        return Err(ApiError::limit_exceeded(format!(
            "Stream {} under account {account_id} may have at most {max} consumers, and a few of them in CREATING at a time.",
            stream.name
        )));
    }
    stream.consumers.register(&stream.arn, &name, input.tags.unwrap_or_default(), now, active);
    // The response has the state before the end of the registration, even if the registration takes
    // no time.
    let consumer = stream.consumers.get(&name).map(Consumer::describe).ok_or_else(|| unknown(call, &name))?;
    Ok(Response::RegisterStreamConsumer(RegisterStreamConsumerOutput { consumer }))
}

pub(super) fn unknown(call: &Call<'_>, consumer: &str) -> ApiError {
    ApiError::not_found(format!("Consumer {consumer} under account {} not found.", call.scope.account))
}

/// The members by which Describe and Deregister name a consumer.
struct ConsumerNames<'a> {
    stream_arn: Option<&'a String>,
    name: Option<&'a String>,
    arn: Option<&'a String>,
}

impl ConsumerNames<'_> {
    fn check(&self) -> Result<(), ApiError> {
        let mut constraints = Constraints::new();
        constraints.text("streamARN", self.stream_arn.map(String::as_str), &STREAM_ARN);
        constraints.text("consumerName", self.name.map(String::as_str), &CONSUMER_NAME);
        constraints.text("consumerARN", self.arn.map(String::as_str), &CONSUMER_ARN);
        constraints.check()
    }

    /// Finds the consumer by its ARN, or by its name and the stream's ARN. All given members must
    /// agree.
    fn find<'s>(&self, account: &'s mut Account, call: &Call<'_>) -> Result<(&'s mut Stream, String), ApiError> {
        self.check()?;
        let disagree =
            || ApiError::invalid_argument("StreamARN, ConsumerName and ConsumerARN name different consumers.");
        match (self.arn, self.stream_arn, self.name) {
            (Some(arn), stream_arn, name) => {
                let resource = Resource::parse(call.scope, arn)?;
                let by_arn = resource.consumer.ok_or_else(|| unknown(call, arn))?;
                if let Some(stream_arn) = stream_arn
                    && Resource::parse(call.scope, stream_arn)?.stream != resource.stream
                {
                    return Err(disagree());
                }
                let stream = account.named(call, resource.stream)?;
                let found = stream.consumers.by_arn_mut(by_arn).map(|consumer| consumer.name.clone());
                let found = found.ok_or_else(|| unknown(call, arn))?;
                if name.is_some_and(|name| *name != found) {
                    return Err(disagree());
                }
                Ok((stream, found))
            }
            (None, Some(stream_arn), Some(name)) => {
                let stream = account.stream(call, StreamTarget { name: None, arn: Some(stream_arn) })?;
                match stream.consumers.get(name) {
                    Some(_) => Ok((stream, name.clone())),
                    None => Err(unknown(call, name)),
                }
            }
            (None, _, _) => {
                Err(ApiError::invalid_argument("Either ConsumerARN, or StreamARN and ConsumerName must be provided."))
            }
        }
    }
}

pub(super) fn describe(
    account: &mut Account,
    call: &Call<'_>,
    input: &DescribeStreamConsumerInput,
) -> Result<Response, ApiError> {
    let names = ConsumerNames {
        stream_arn: input.stream_arn.as_ref(),
        name: input.consumer_name.as_ref(),
        arn: input.consumer_arn.as_ref(),
    };
    let (stream, name) = names.find(account, call)?;
    let consumer = stream.consumers.get(&name).ok_or_else(|| unknown(call, &name))?;
    let consumer_description = consumer.describe_with_stream(stream.arn.clone());
    Ok(Response::DescribeStreamConsumer(DescribeStreamConsumerOutput { consumer_description }))
}

pub(super) fn deregister(
    account: &mut Account,
    call: &Call<'_>,
    input: &DeregisterStreamConsumerInput,
) -> Result<Response, ApiError> {
    let names = ConsumerNames {
        stream_arn: input.stream_arn.as_ref(),
        name: input.consumer_name.as_ref(),
        arn: input.consumer_arn.as_ref(),
    };
    let until = call.now.plus(call.config.transitions.deregister);
    let (stream, name) = names.find(account, call)?;
    let consumer = stream.consumers.get_mut(&name).ok_or_else(|| unknown(call, &name))?;
    match consumer.status() {
        ConsumerStatus::Creating | ConsumerStatus::Active => consumer.delete(until),
        ConsumerStatus::Deleting => {}
    }
    Ok(Response::Empty)
}

pub(super) fn list(
    account: &mut Account,
    call: &Call<'_>,
    input: &ListStreamConsumersInput,
) -> Result<Response, ApiError> {
    let mut constraints = Constraints::new();
    constraints.required_text("streamARN", input.stream_arn.as_ref(), &STREAM_ARN);
    constraints.text("nextToken", input.next_token.as_deref(), &NEXT_TOKEN);
    constraints.number("maxResults", input.max_results, 1, 10_000);
    constraints.check()?;
    if input.next_token.is_some() && input.stream_creation_timestamp.is_some() {
        return Err(ApiError::invalid_argument("NextToken and StreamCreationTimestamp cannot be provided together."));
    }
    let token = match &input.next_token {
        Some(token) => {
            let mut reader = page_token::open(List::Consumers, token, call.now, call.config)?;
            Some(reader.number().zip(reader.rest()).ok_or_else(page_token::invalid)?)
        }
        None => None,
    };
    let stream = account.stream(call, StreamTarget::arn(&input.stream_arn))?;
    check_creation(stream, call, input.stream_creation_timestamp)?;
    if token.as_ref().is_some_and(|(incarnation, _)| *incarnation != stream.incarnation) {
        return Err(page_token::invalid());
    }
    let after = token.as_ref().map(|(_, name)| name.as_str());
    let size = usize::try_from(input.max_results.unwrap_or(PAGE).min(PAGE)).unwrap_or(0);
    let (consumers, more) = page(stream.consumers.after(after).map(Consumer::describe), size);
    let next_token = match consumers.last() {
        Some(last) if more => {
            Some(page_token::issue(List::Consumers, call.now).number(stream.incarnation).finish(&last.consumer_name))
        }
        Some(_) | None => None,
    };
    Ok(Response::ListStreamConsumers(ListStreamConsumersOutput { consumers, next_token }))
}
