//! Serves DynamoDB with the embedded database dynoxide, one database per account and Region.

mod decode;
mod dispatch;
mod pending_tables;
mod watcher;

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use dynoxide::auth_material::{self, AuthMaterial};
use dynoxide::{Database, DynoxideError};
use http::header::{AUTHORIZATION, CONTENT_TYPE, DATE, HeaderValue};
use http::request::Parts;
use http::{Response, StatusCode};
use tokio::time::Instant;

use crate::clock::Clock;
use crate::kinesis::model::Scope;
use crate::wire::encoding::Encoding;
use pending_tables::PendingTables;
pub use watcher::ItemChange;
pub(crate) use watcher::Watcher;

/// The tables of all accounts and Regions.
pub(crate) struct Tables {
    clock: Clock,
    creation_delay: Duration,
    accounts: Mutex<HashMap<Scope, Arc<Account>>>,
    watchers: Mutex<Vec<Watcher>>,
}

/// The tables of one account in one Region.
struct Account {
    database: Database,
    pending: Mutex<PendingTables>,
}

impl Tables {
    /// Starts without tables. A new table is in CREATING for `creation_delay`.
    pub(crate) fn new(clock: Clock, creation_delay: Duration) -> Self {
        Self { clock, creation_delay, accounts: Mutex::default(), watchers: Mutex::default() }
    }

    /// Adds a watcher, which is notified of the changes of later writes.
    pub(crate) fn watch(&self, watcher: Watcher) {
        self.watchers.lock().unwrap_or_else(PoisonError::into_inner).push(watcher);
    }

    /// Answers one request. `operation` is the part of its target after the dot, or `None` for the
    /// target of another service.
    pub(crate) fn answer(
        &self,
        scope: &Scope,
        caller: Option<&str>,
        operation: Option<&str>,
        parts: &Parts,
        body: &[u8],
    ) -> Response<Bytes> {
        let Some(encoding) = Encoding::of(&parts.headers).filter(|encoding| *encoding != Encoding::Cbor) else {
            let mut not_found = Response::new(Bytes::from_static(b"<UnknownOperationException/>\n"));
            *not_found.status_mut() = StatusCode::NOT_FOUND;
            return not_found;
        };
        let result = self.checked(scope, caller, operation, parts, body, encoding);
        let (status, body) = result.map_or_else(|refusal| refusal, |json| (StatusCode::OK, json));
        let mut response = Response::new(Bytes::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(encoding.content_type()));
        response
    }

    /// Checks in AWS's order: is the body JSON, is the operation known, is the request signed, and
    /// only then its content.
    fn checked(
        &self,
        scope: &Scope,
        caller: Option<&str>,
        operation: Option<&str>,
        parts: &Parts,
        body: &[u8],
        encoding: Encoding,
    ) -> Result<Vec<u8>, (StatusCode, Vec<u8>)> {
        let unless_malformed = |refusal: String| {
            let bare = || r#"{"__type":"com.amazon.coral.service#SerializationException"}"#.to_owned();
            // An empty body is not malformed: errors of the target or the signature come first.
            let body = if body.is_empty() || encoding.parses(body) { refusal } else { bare() };
            (StatusCode::BAD_REQUEST, body.into_bytes())
        };
        let Some(operation) = operation.filter(|operation| dispatch::is_known(operation)) else {
            return Err(unless_malformed(
                r#"{"__type":"com.amazon.coral.service#UnknownOperationException"}"#.to_owned(),
            ));
        };
        if let Some(refusal) = signature_error(parts) {
            return Err(unless_malformed(refusal));
        }
        self.run(scope, caller, operation, body).map_err(|error| {
            let refusal = error.to_json();
            let malformed = matches!(error, DynoxideError::SerializationException(_)) && !encoding.parses(body);
            let bare = r#"{"__type":"com.amazon.coral.service#SerializationException"}"#.to_owned();
            let status = StatusCode::from_u16(error.status_code()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
            (status, if malformed { bare } else { refusal }.into_bytes())
        })
    }

    fn run(&self, scope: &Scope, caller: Option<&str>, operation: &str, body: &[u8]) -> Result<Vec<u8>, DynoxideError> {
        let account = self.account(scope)?;
        let now = Instant::now();
        let creating = account.pending().contains_table_of(body, now);
        if creating && let Some(refusal) = pending_tables::refusal(operation, body) {
            return Err(refusal);
        }
        let answer = dispatch::run(&account.database, operation, body)?;
        for watcher in self.watchers.lock().unwrap_or_else(PoisonError::into_inner).iter_mut() {
            watcher.notify(&account.database, operation, body, caller);
        }
        match operation {
            "CreateTable" => account.pending().add(body, now, self.creation_delay),
            "DescribeTable" if creating => return Ok(pending_tables::with_status_creating(&answer).unwrap_or(answer)),
            _ => {}
        }
        Ok(answer)
    }

    fn account(&self, scope: &Scope) -> Result<Arc<Account>, DynoxideError> {
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(account) = accounts.get(scope) {
            return Ok(account.clone());
        }
        let database = Database::memory_with_clock(Arc::new(self.clock))?;
        let account = Arc::new(Account { database, pending: Mutex::default() });
        accounts.insert(scope.clone(), account.clone());
        Ok(account)
    }
}

impl Account {
    fn pending(&self) -> std::sync::MutexGuard<'_, PendingTables> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn signature_error(parts: &Parts) -> Option<String> {
    auth_material::validate(AuthMaterial {
        authorization: parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()),
        query: parts.uri.query().unwrap_or_default(),
        has_date_header: parts.headers.contains_key("x-amz-date") || parts.headers.contains_key(DATE),
    })
}

/// The answer with an error of this name, in DynamoDB's form.
pub(crate) fn refuse(name: &str) -> Response<Bytes> {
    let error = serde_json::json!({
        "__type": format!("com.amazonaws.dynamodb.v20120810#{name}"),
        "message": crate::fault::MESSAGE,
    });
    let mut response = Response::new(Bytes::from(error.to_string()));
    *response.status_mut() = crate::fault::status(name);
    let content_type = HeaderValue::from_static(Encoding::Json10.content_type());
    response.headers_mut().insert(CONTENT_TYPE, content_type);
    response
}

impl fmt::Debug for Tables {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tables").field("clock", &self.clock).finish_non_exhaustive()
    }
}
