//! Implements [`LeaseStore`] with a DynamoDB client.

use crate::aws::error_table::table_kind;
use crate::aws::event::TableCall;
use crate::aws::failure::Failure;
use crate::lease::{Consistency, LeaseStore, Page, PageToken, Row, RowKey, StoreError, StoreErrorKind, Write, Written};
use async_trait::async_trait;
use aws_sdk_dynamodb::Client;

/// A lease table in DynamoDB, in KCL's format.
///
/// The client should have no retries and short timeouts, as [`Clients`](crate::aws::Clients)
/// configures it: the coordination retries, because only it knows whether a repetition is safe.
#[derive(Clone, Debug)]
pub struct DynamoDbStore {
    pub(super) client: Client,
    pub(super) table: String,
}

impl DynamoDbStore {
    /// Uses the table of this name, which must exist: see
    /// [`prepare_table`](crate::aws::prepare_table).
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        DynamoDbStore { client, table: table.into() }
    }

    /// Emits the outcome of a call, and converts a failure for the caller.
    fn finish_call<T>(&self, operation: &'static str, result: Result<T, Failure>) -> Result<T, StoreError> {
        let failure = match result {
            Ok(response) => {
                TableCall { operation, table: &self.table, outcome: "answered", error: None }.emit();
                return Ok(response);
            }
            Err(failure) => failure,
        };
        let (kind, table) = (table_kind(failure.cause), self.table.as_str());
        let outcome = match kind {
            StoreErrorKind::Throttled => "throttled",
            StoreErrorKind::Unanswered => "unanswered",
            StoreErrorKind::Refused => "refused",
        };
        TableCall { operation, table, outcome, error: Some(&failure.message) }.emit();
        Err(StoreError {
            kind,
            message: failure.sentence(&format!("table `{table}`")),
            code: Some(failure.code()),
            source: Some(Box::new(failure)),
        })
    }
}

#[async_trait]
impl LeaseStore for DynamoDbStore {
    async fn read(&self, keys: &[RowKey], consistency: Consistency) -> Result<Vec<Option<Row>>, StoreError> {
        match keys {
            [] => Ok(Vec::new()),
            [key] => self.finish_call("GetItem", self.get(key, consistency).await).map(|row| vec![row]),
            keys => self.finish_call("BatchGetItem", self.get_batch(keys, consistency).await),
        }
    }

    async fn scan_page(&self, after: Option<&PageToken>, rows: u32) -> Result<Page, StoreError> {
        self.finish_call("Scan", self.get_page(after, rows).await)
    }

    async fn write(&self, write: &Write) -> Result<Written, StoreError> {
        let request = super::expression::request(write);
        self.finish_call(request.action.operation(), self.send_write(&write.key(), request).await)
    }
}
