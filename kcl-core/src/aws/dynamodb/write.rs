//! Sends one conditional request and returns its outcome.

use super::DynamoDbStore;
use super::attributes::{Item, decode_as};
use super::expression::{Action, Request};
use crate::aws::failure::{Cause, EMPTY, Failure};
use crate::lease::{Consistency, RowKey, Written};
use aws_sdk_dynamodb::error::SdkError;
use aws_sdk_dynamodb::operation::{delete_item::DeleteItemError, put_item::PutItemError, update_item::UpdateItemError};
use aws_sdk_dynamodb::types::error::ConditionalCheckFailedException;
use aws_sdk_dynamodb::types::{ReturnValue, ReturnValuesOnConditionCheckFailure::AllOld};
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;

/// The outcome of a request.
enum Outcome {
    /// It was applied; this is the new item.
    Done(Option<Item>),
    /// Its condition did not hold; this is the current item, if the service returned it.
    Refused(Option<Item>),
}

impl DynamoDbStore {
    pub(super) async fn send_write(&self, key: &RowKey, request: Request) -> Result<Written, Failure> {
        match self.send(request).await? {
            Outcome::Done(item) => Ok(Written::Applied(item.map(|item| decode_as(key, &item)))),
            Outcome::Refused(Some(item)) => Ok(Written::Refused(Some(decode_as(key, &item)))),
            // There is no item, or the server did not return it (DynamoDB Local does not always). A
            // read decides.
            Outcome::Refused(None) => Ok(Written::Refused(self.get(key, Consistency::Strong).await?)),
        }
    }

    async fn send(&self, request: Request) -> Result<Outcome, Failure> {
        let Request { action, condition, names, values } = request;
        let operation = action.operation();
        match action {
            Action::Put(item) => {
                let sent = self
                    .client
                    .put_item()
                    .table_name(&self.table)
                    .set_item(Some(item.clone()))
                    .condition_expression(condition)
                    .set_expression_attribute_names(Some(names))
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(AllOld);
                outcome(operation, sent.send().await, |_| Some(item))
            }
            Action::Update { key, update } => {
                let sent = self
                    .client
                    .update_item()
                    .table_name(&self.table)
                    .set_key(Some(key))
                    .update_expression(update)
                    .condition_expression(condition)
                    .set_expression_attribute_names(Some(names))
                    .set_expression_attribute_values(values)
                    .return_values(ReturnValue::AllNew)
                    .return_values_on_condition_check_failure(AllOld);
                let updated = outcome(operation, sent.send().await, |response| response.attributes)?;
                // With ALL_NEW, DynamoDB always returns the item. A response without it comes from
                // a proxy.
                match updated {
                    Outcome::Done(None) => Err(Failure::new(Cause::Unanswered, operation, EMPTY)),
                    updated @ (Outcome::Done(_) | Outcome::Refused(_)) => Ok(updated),
                }
            }
            Action::Delete { key } => {
                let sent = self
                    .client
                    .delete_item()
                    .table_name(&self.table)
                    .set_key(Some(key))
                    .condition_expression(condition)
                    .set_expression_attribute_names(Some(names))
                    .set_expression_attribute_values(values)
                    .return_values_on_condition_check_failure(AllOld);
                outcome(operation, sent.send().await, |_| None)
            }
        }
    }
}

/// The errors of the three operations, of which one is the outcome of the condition.
trait Conditional: ProvideErrorMetadata + std::error::Error + Send + Sync + 'static {
    fn refused(&self) -> Option<&ConditionalCheckFailedException>;
}

macro_rules! conditional {
    ($($error:ident),*) => {$(
        impl Conditional for $error {
            fn refused(&self) -> Option<&ConditionalCheckFailedException> {
                if let $error::ConditionalCheckFailedException(refused) = self { Some(refused) } else { None }
            }
        }
    )*};
}
conditional!(PutItemError, UpdateItemError, DeleteItemError);

fn outcome<A, E: Conditional>(
    operation: &'static str,
    response: Result<A, SdkError<E, HttpResponse>>,
    item: impl FnOnce(A) -> Option<Item>,
) -> Result<Outcome, Failure> {
    let error = match response {
        Ok(response) => return Ok(Outcome::Done(item(response))),
        Err(error) => error,
    };
    match error.as_service_error().and_then(E::refused) {
        Some(refused) => Ok(Outcome::Refused(refused.item.clone())),
        None => Err(Failure::of(operation, error)),
    }
}
