//! Counts and faults over HTTP, for tests and benchmarks whose server is another process.
//!
//! | request | what it does |
//! |---|---|
//! | `GET /__kcl/calls` | `{"kinesis": {"GetRecords": 12}, "dynamodb": {"UpdateItem": 3}}` |
//! | `DELETE /__kcl/calls` | counts from zero again |
//! | `POST /__kcl/faults` | latencies, scripted faults and chaos are set as the body says, for example `{"kinesis_latency_ms": 10, "next": [{"operation": "PutItem", "fault": "lost_response"}, {"operation": "GetRecords", "fault": {"error": "KMSDisabledException"}}, {"operation": "SubscribeToShard", "fault": {"stream": {"after": 3, "fault": "bad_checksum"}}}], "chaos": {"seed": 7, "throttle": 0.01}}` |
//! | `DELETE /__kcl/faults` | forgets scripted faults and chaos |

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

/// More is a mistake, and looks like a server that hangs.
const LONGEST_LATENCY: Duration = Duration::from_secs(60 * 60);

/// What can be posted to `/__kcl/faults`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wanted {
    kinesis_latency_ms: Option<u64>,
    dynamodb_latency_ms: Option<u64>,
    #[serde(default)]
    next: Vec<Scripted>,
    chaos: Option<Chaos>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Scripted {
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
    let wanted: Wanted =
        serde_json::from_slice(&body).map_err(|error| (StatusCode::BAD_REQUEST, format!("{error}\n")))?;
    let longest = u64::try_from(LONGEST_LATENCY.as_millis()).unwrap_or(u64::MAX);
    if wanted.kinesis_latency_ms.max(wanted.dynamodb_latency_ms).is_some_and(|latency| latency > longest) {
        return Err((StatusCode::BAD_REQUEST, format!("a latency may be at most {longest} ms\n")));
    }
    let latencies = [(Service::Kinesis, wanted.kinesis_latency_ms), (Service::DynamoDb, wanted.dynamodb_latency_ms)];
    for (service, latency) in latencies {
        if let Some(latency) = latency {
            services.faults.latency(service, Duration::from_millis(latency));
        }
    }
    for Scripted { operation, fault } in wanted.next {
        services.faults.once(&operation, fault);
    }
    if let Some(chaos) = wanted.chaos {
        services.faults.seeded(chaos);
    }
    Ok(StatusCode::NO_CONTENT)
}

pub(super) async fn clear_faults(State(services): State<Arc<Services>>) -> StatusCode {
    services.faults.clear();
    StatusCode::NO_CONTENT
}
