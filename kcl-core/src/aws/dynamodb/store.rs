//! [`LeaseStore`] over a DynamoDB client.

use crate::aws::error_table::table_kind;
use crate::aws::failure::Failure;
use crate::lease::{Consistency, LeaseStore, Page, PageToken, Row, RowKey, StoreError, StoreErrorKind, Write, Written};
use crate::telemetry::event::table::TableCall;
use async_trait::async_trait;
use aws_sdk_dynamodb::Client;

/// A lease table in DynamoDB, in KCL's format.
///
/// The client's own retries should be off and its timeouts short, as [`Clients`](crate::aws::Clients) makes them: the
/// coordination repeats by itself, because only it knows what a repetition means.
#[derive(Clone, Debug)]
pub struct DynamoDbStore {
    pub(super) client: Client,
    pub(super) table: String,
}

impl DynamoDbStore {
    /// The table of that name, which must exist: see [`prepare_table`](crate::aws::prepare_table).
    pub fn new(client: Client, table: impl Into<String>) -> Self {
        DynamoDbStore { client, table: table.into() }
    }

    /// Tells how a call ended, and says a failure in the caller's terms.
    fn told<T>(&self, operation: &'static str, result: Result<T, Failure>) -> Result<T, StoreError> {
        let failure = match result {
            Ok(answer) => {
                TableCall { operation, table: &self.table, outcome: "answered", error: None }.emit();
                return Ok(answer);
            }
            Err(failure) => failure,
        };
        let (kind, table) = (table_kind(failure.cause), self.table.as_str());
        let outcome = match kind {
            StoreErrorKind::Throttled => "throttled",
            StoreErrorKind::Unanswered => "unanswered",
            StoreErrorKind::Refused => "refused",
        };
        TableCall { operation, table, outcome, error: Some(&failure.said) }.emit();
        Err(StoreError {
            kind,
            message: failure.sentence(&format!("table `{table}`")),
            source: Some(Box::new(failure)),
        })
    }
}

#[async_trait]
impl LeaseStore for DynamoDbStore {
    async fn read(&self, keys: &[RowKey], consistency: Consistency) -> Result<Vec<Option<Row>>, StoreError> {
        match keys {
            [] => Ok(Vec::new()),
            [key] => self.told("GetItem", self.get(key, consistency).await).map(|row| vec![row]),
            keys => self.told("BatchGetItem", self.get_batch(keys, consistency).await),
        }
    }

    async fn scan_page(&self, after: Option<&PageToken>, rows: u32) -> Result<Page, StoreError> {
        self.told("Scan", self.get_page(after, rows).await)
    }

    async fn write(&self, write: &Write) -> Result<Written, StoreError> {
        let request = super::expression::request(write);
        self.told(request.action.operation(), self.make(&write.key(), request).await)
    }
}
