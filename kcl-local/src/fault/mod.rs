//! Fault injection between clients and services.
//!
//! [`Faults`] is the user's handle, [`plan`] decides about each request, [`executor`] executes the
//! decision, and [`stream`] has the faults of fan-out streams.

mod chaos;
pub(crate) mod executor;
mod faults;
mod plan;
pub(crate) mod stream;

pub use chaos::Chaos;
pub use faults::Faults;
pub(crate) use plan::Outcome;
pub use stream::StreamFault;

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use crate::service::Service;

/// A fault of one request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// The answer takes this much longer than the service's latency. In the HTTP form:
    /// milliseconds.
    #[serde(deserialize_with = "millis")]
    Delay(Duration),
    /// `ProvisionedThroughputExceededException`; the request has no effect.
    Throttle,
    /// An error of this name, such as `KMSDisabledException` or `InternalServerError`; the request
    /// has no effect.
    Error(String),
    /// A proxy answers instead of the service, such as with its sign-in page; the request has no
    /// effect. The answer has none of AWS's headers. In the HTTP form: `{"answer": {"status": 403,
    /// "body": "<html>"}}`.
    Answer {
        /// The HTTP status.
        status: u16,
        /// The body, sent as HTML.
        body: String,
    },
    /// The request is lost: no effect and no answer. The client waits until its own timeout.
    LostRequest,
    /// The request takes effect, but its answer is lost. The client waits until its own timeout.
    LostResponse,
    /// The connection is cut before the request takes effect.
    CutRequest,
    /// The connection is cut after the request took effect, before the answer.
    CutResponse,
    /// `SubscribeToShard` only: the subscription opens, but only the HTTP headers arrive, not even
    /// the initial response message.
    HeadersOnly,
    /// `SubscribeToShard` only: a fault in the stream of events. In the HTTP form: `{"stream":
    /// {"after": 3, "fault": "cut"}}`.
    Stream {
        /// Number of events before the fault. The initial response message does not count.
        after: usize,
        /// The fault.
        fault: StreamFault,
    },
}

impl Fault {
    /// A fault in the stream of events after `after` events: `Fault::stream(3, StreamFault::Cut)`.
    #[must_use]
    pub fn stream(after: usize, fault: StreamFault) -> Self {
        Self::Stream { after, fault }
    }
}

/// A request, as fault rules see it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Call<'a> {
    /// The service.
    pub service: Service,
    /// The operation, such as `UpdateItem`.
    pub operation: &'a str,
    /// The client's name from [`LocalAws::sdk_config_for`](crate::LocalAws::sdk_config_for); `None`
    /// for other clients and over HTTP.
    pub caller: Option<&'a str>,
}

fn millis<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

/// The message of injected errors.
pub(crate) const MESSAGE: &str = "injected fault";

/// The HTTP status of an error of this name.
pub(crate) fn status(name: &str) -> StatusCode {
    match name {
        "InternalFailure" | "InternalServerError" => StatusCode::INTERNAL_SERVER_ERROR,
        "ServiceUnavailable" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    }
}
