//! Counts requests by operation.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use crate::service::{Service, Target};

/// Number of requests of each operation since the start or the last reset.
///
/// Counts every request that a client sent: also those that were throttled or failed, and those
/// that a fault lost before or after they took effect.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calls(BTreeMap<(Service, String), u64>);

impl Calls {
    /// Number of requests for `operation` of `service`, such as `GetRecords`.
    #[must_use]
    pub fn of(&self, service: Service, operation: &str) -> u64 {
        self.iter().find(|(s, o, _)| *s == service && *o == operation).map_or(0, |(_, _, count)| count)
    }

    /// Number of all requests for `service`.
    #[must_use]
    pub fn total(&self, service: Service) -> u64 {
        self.iter().filter(|(s, _, _)| *s == service).map(|(_, _, count)| count).sum()
    }

    /// Iterates over (service, operation, count).
    pub fn iter(&self) -> impl Iterator<Item = (Service, &str, u64)> {
        self.0.iter().map(|((service, operation), count)| (*service, operation.as_str(), *count))
    }

    /// `{"kinesis": {"GetRecords": 3}, "dynamodb": {...}}`
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let counts = |wanted| -> BTreeMap<&str, u64> {
            self.iter().filter(|(service, _, _)| *service == wanted).map(|(_, name, count)| (name, count)).collect()
        };
        Service::ALL
            .map(|service| (service.name().to_owned(), serde_json::json!(counts(service))))
            .into_iter()
            .collect()
    }
}

/// The counters behind [`Calls`].
#[derive(Debug, Default)]
pub(crate) struct CallLog(Mutex<Calls>);

/// No operation has a longer name. Without a bound a client could make the map grow without limit.
const MAX_OPERATION_BYTES: usize = 64;

impl CallLog {
    pub(crate) fn count(&self, target: Target<'_>) {
        if target.operation.len() > MAX_OPERATION_BYTES {
            return;
        }
        let mut calls = self.lock();
        *calls.0.entry((target.service, target.operation.to_owned())).or_default() += 1;
    }

    pub(crate) fn snapshot(&self) -> Calls {
        self.lock().clone()
    }

    pub(crate) fn reset(&self) {
        self.lock().0.clear();
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Calls> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_counted_by_service_and_operation_until_a_reset() {
        let log = CallLog::default();
        for header in ["Kinesis_20131202.GetRecords", "Kinesis_20131202.GetRecords", "DynamoDB_20120810.GetItem"] {
            log.count(Target::parse(header).unwrap());
        }
        let calls = log.snapshot();
        assert_eq!(calls.of(Service::Kinesis, "GetRecords"), 2);
        assert_eq!(calls.of(Service::DynamoDb, "GetRecords"), 0);
        assert_eq!(calls.total(Service::DynamoDb), 1);
        let json = serde_json::json!({"kinesis": {"GetRecords": 2}, "dynamodb": {"GetItem": 1}});
        assert_eq!(calls.to_json(), json);
        log.reset();
        assert_eq!(log.snapshot(), Calls::default());
    }
}
