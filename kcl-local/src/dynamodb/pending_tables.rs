//! Tracks tables in CREATING, and the answers to requests for them.

use std::collections::HashMap;
use std::time::Duration;

use dynoxide::DynoxideError;
use serde::Deserialize;
use tokio::time::Instant;

/// The tables of one account and Region that are in CREATING.
#[derive(Debug, Default)]
pub(super) struct PendingTables {
    ready_at: HashMap<String, Instant>,
}

/// The member of a request that names its table, by name or by ARN.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct TableRequest {
    table_name: String,
}

impl PendingTables {
    /// Adds the table of a CreateTable request, which is active after `delay`.
    pub(super) fn add(&mut self, create: &[u8], now: Instant, delay: Duration) {
        if let Some(table) = table_of(create)
            && !delay.is_zero()
        {
            self.ready_at.insert(table, now + delay);
        }
    }

    /// Whether the table of the request is in CREATING.
    pub(super) fn contains_table_of(&mut self, body: &[u8], now: Instant) -> bool {
        self.ready_at.retain(|_, ready_at| *ready_at > now);
        !self.ready_at.is_empty() && table_of(body).is_some_and(|table| self.ready_at.contains_key(&table))
    }
}

/// The error of a request to a table in CREATING, or `None` if the operation is allowed.
pub(super) fn refusal(operation: &str, body: &[u8]) -> Option<DynoxideError> {
    let table = table_of(body).unwrap_or_default();
    match operation {
        "DeleteTable" | "UpdateTable" => Some(DynoxideError::ResourceInUseException(format!(
            "Attempt to change a resource which is still in use: Table is being created: {table}"
        ))),
        "DeleteItem" | "GetItem" | "PutItem" | "Query" | "Scan" | "UpdateItem" | "UpdateTimeToLive" => {
            Some(DynoxideError::ResourceNotFoundException("Requested resource not found".to_owned()))
        }
        _ => None,
    }
}

/// Changes the status in an answer of DescribeTable to CREATING.
pub(super) fn with_status_creating(answer: &[u8]) -> Option<Vec<u8>> {
    let mut json: serde_json::Value = serde_json::from_slice(answer).ok()?;
    *json.pointer_mut("/Table/TableStatus")? = "CREATING".into();
    serde_json::to_vec(&json).ok()
}

fn table_of(body: &[u8]) -> Option<String> {
    let request: TableRequest = serde_json::from_slice(body).ok()?;
    Some(request.table_name.rsplit('/').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_table_is_pending_until_its_delay_has_passed() {
        let mut pending = PendingTables::default();
        let now = Instant::now();
        let delay = Duration::from_millis(500);
        pending.add(br#"{"TableName":"leases"}"#, now, delay);
        assert!(pending.contains_table_of(br#"{"TableName":"leases"}"#, now));
        assert!(pending.contains_table_of(br#"{"TableName":"arn:aws:dynamodb:us-east-1:0:table/leases"}"#, now));
        assert!(!pending.contains_table_of(br#"{"TableName":"others"}"#, now));
        assert!(!pending.contains_table_of(br#"{"TableName":"leases"}"#, now + delay));
    }

    #[test]
    fn a_pending_table_can_be_described_but_not_used() {
        let body = br#"{"TableName":"leases"}"#;
        assert!(matches!(refusal("PutItem", body), Some(DynoxideError::ResourceNotFoundException(_))));
        assert!(matches!(refusal("DeleteTable", body), Some(DynoxideError::ResourceInUseException(_))));
        assert!(refusal("DescribeTable", body).is_none());
        let described = with_status_creating(br#"{"Table":{"TableStatus":"ACTIVE"}}"#).unwrap();
        assert_eq!(described, br#"{"Table":{"TableStatus":"CREATING"}}"#);
    }
}
