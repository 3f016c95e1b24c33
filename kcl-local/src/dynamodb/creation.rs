//! Tables that take time to be created: which are not ready yet, and what that means for requests.

use std::collections::HashMap;
use std::time::Duration;

use dynoxide::DynoxideError;
use serde::Deserialize;
use tokio::time::Instant;

/// The tables of one account and Region that are still being created.
#[derive(Debug, Default)]
pub(super) struct Creation {
    ready: HashMap<String, Instant>,
}

/// The part of any request that names its table, by name or by ARN.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Named {
    table_name: String,
}

impl Creation {
    /// Notes that the table of this CreateTable request needs `delay` to become ready.
    pub(super) fn begin(&mut self, create: &[u8], now: Instant, delay: Duration) {
        if let Some(table) = table_of(create)
            && !delay.is_zero()
        {
            self.ready.insert(table, now + delay);
        }
    }

    /// Whether the table that the request names is still being created.
    pub(super) fn concerns(&mut self, body: &[u8], now: Instant) -> bool {
        self.ready.retain(|_, ready| *ready > now);
        !self.ready.is_empty() && table_of(body).is_some_and(|table| self.ready.contains_key(&table))
    }
}

/// The error for a request to a table that is still being created; `None` if it may go on.
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

/// The answer to DescribeTable, as long as the table is being created.
pub(super) fn describe(answer: &[u8]) -> Option<Vec<u8>> {
    let mut json: serde_json::Value = serde_json::from_slice(answer).ok()?;
    *json.pointer_mut("/Table/TableStatus")? = "CREATING".into();
    serde_json::to_vec(&json).ok()
}

fn table_of(body: &[u8]) -> Option<String> {
    let named: Named = serde_json::from_slice(body).ok()?;
    Some(named.table_name.rsplit('/').next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_table_is_not_ready_until_its_time_has_passed() {
        let mut creation = Creation::default();
        let now = Instant::now();
        let delay = Duration::from_millis(500);
        creation.begin(br#"{"TableName":"leases"}"#, now, delay);
        assert!(creation.concerns(br#"{"TableName":"leases"}"#, now));
        assert!(creation.concerns(br#"{"TableName":"arn:aws:dynamodb:us-east-1:0:table/leases"}"#, now));
        assert!(!creation.concerns(br#"{"TableName":"others"}"#, now));
        assert!(!creation.concerns(br#"{"TableName":"leases"}"#, now + delay));
    }

    #[test]
    fn a_table_in_creation_can_be_described_but_not_used() {
        let body = br#"{"TableName":"leases"}"#;
        assert!(matches!(refusal("PutItem", body), Some(DynoxideError::ResourceNotFoundException(_))));
        assert!(matches!(refusal("DeleteTable", body), Some(DynoxideError::ResourceInUseException(_))));
        assert!(refusal("DescribeTable", body).is_none());
        let described = describe(br#"{"Table":{"TableStatus":"ACTIVE"}}"#).unwrap();
        assert_eq!(described, br#"{"Table":{"TableStatus":"CREATING"}}"#);
    }
}
