//! Serves counts and fault injection over HTTP, for tests and benchmarks with a server in another
//! process.
//!
//! - `GET /__kcl/calls`: returns the counts, such as
//!   `{"kinesis": {"GetRecords": 12}, "dynamodb": {"UpdateItem": 3}}`.
//! - `DELETE /__kcl/calls`: resets the counts to zero.
//! - `POST /__kcl/faults`: sets latencies, scripted faults and chaos, for example
//!   `{"kinesis_latency_ms": 10, "next": [{"operation": "PutItem", "fault": "lost_response"}],
//!   "chaos": {"seed": 7, "throttle": 0.01}}`. A fault may have parameters: `{"error":
//!   "KMSDisabledException"}`, or `{"stream": {"after": 3, "fault": "bad_checksum"}}` for
//!   `SubscribeToShard`.
//! - `DELETE /__kcl/faults`: removes scripted faults and chaos.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use axum::extract::State;
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Response, StatusCode};
use serde::Deserialize;

use crate::fault::{Chaos, Fault};
use crate::service::Service;
use crate::services::Services;

/// A longer latency is a mistake: the server would seem to hang.
const MAX_LATENCY: Duration = Duration::from_secs(60 * 60);

/// The body of `POST /__kcl/faults`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultsBody {
    kinesis_latency_ms: Option<u64>,
    dynamodb_latency_ms: Option<u64>,
    #[serde(default)]
    next: Vec<ScriptedFault>,
    chaos: Option<Chaos>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptedFault {
    operation: String,
    fault: Fault,
}

pub(super) async fn calls(State(services): State<Arc<Services>>) -> Response<String> {
    let mut answer = Response::new(services.calls.snapshot().to_json().to_string());
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

pub(super) async fn reset_calls(State(services): State<Arc<Services>>) -> StatusCode {
    services.calls.reset();
    StatusCode::NO_CONTENT
}

pub(super) async fn add_faults(
    State(services): State<Arc<Services>>,
    body: Bytes,
) -> Result<StatusCode, (StatusCode, String)> {
    let faults: FaultsBody =
        serde_json::from_slice(&body).map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")))?;
    let max_ms = u64::try_from(MAX_LATENCY.as_millis()).unwrap_or(u64::MAX);
    if faults.kinesis_latency_ms.max(faults.dynamodb_latency_ms).is_some_and(|latency| latency > max_ms) {
        return Err((StatusCode::BAD_REQUEST, format!("a latency may be at most {max_ms} ms\n")));
    }
    let latencies = [(Service::Kinesis, faults.kinesis_latency_ms), (Service::DynamoDb, faults.dynamodb_latency_ms)];
    for (service, latency) in latencies {
        if let Some(latency) = latency {
            services.faults.latency(service, Duration::from_millis(latency));
        }
    }
    for ScriptedFault { operation, fault } in faults.next {
        services.faults.once(&operation, fault);
    }
    if let Some(chaos) = faults.chaos {
        services.faults.chaos(chaos);
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn clear_faults(State(services): State<Arc<Services>>) -> StatusCode {
    services.faults.clear();
    StatusCode::NO_CONTENT
}
