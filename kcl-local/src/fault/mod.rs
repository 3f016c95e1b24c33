//! Things that go wrong between a client and a service, on demand.
//!
//! [`Faults`] is the handle users hold, [`plan`] decides what happens to a request, [`layer`] makes it happen; [`stream`] is about answers that
//! go on for minutes.

mod chaos;
mod handle;
pub(crate) mod layer;
mod plan;
pub(crate) mod stream;

pub use chaos::Chaos;
pub use handle::Faults;
pub(crate) use plan::Ending;
pub use stream::StreamFault;

use std::time::Duration;

use http::StatusCode;
use serde::Deserialize;

use crate::service::Service;

/// What goes wrong with one request.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fault {
    /// It acquires that much longer than the service's latency, and then works. In the HTTP form: milliseconds.
    #[serde(deserialize_with = "millis")]
    Delay(Duration),
    /// `ProvisionedThroughputExceededException`, without an effect.
    Throttle,
    /// An error of that name, such as `KMSDisabledException` or `InternalServerError`, without an effect.
    Error(String),
    /// Something between the client and the service answers in its place, without an effect: the sign-in page of a proxy, for
    /// example. It bears none of the headers of AWS's answers. In the HTTP form: `{"answer": {"status": 403, "body": "<html>"}}`.
    Answer {
        /// The HTTP status.
        status: u16,
        /// What it says, sent as HTML.
        body: String,
    },
    /// The request gets lost: no effect, and never an answer. The client waits until its own timeout.
    LostRequest,
    /// The request has its effect, the answer gets lost: the client waits until its own timeout.
    LostResponse,
    /// The connection is cut before the request has an effect.
    CutRequest,
    /// The connection is cut after the request had its effect, in place of the answer.
    CutResponse,
    /// `SubscribeToShard` only: the subscription is open and the HTTP headers come, and then nothing, not even the message that precedes all events.
    HeadersOnly,
    /// `SubscribeToShard` only: the events break off in some way. In the HTTP form: `{"stream": {"after": 3, "fault": "cut"}}`.
    Stream {
        /// So many events come before it happens. The message that precedes all events is not counted.
        after: usize,
        /// What happens then.
        fault: StreamFault,
    },
}

impl Fault {
    /// A subscription yields `after` events, and then this happens: `Fault::stream(3, StreamFault::Cut)`.
    #[must_use]
    pub fn stream(after: usize, fault: StreamFault) -> Self {
        Self::Stream { after, fault }
    }
}

/// A request, as rules see it.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Call<'a> {
    /// The service it goes to.
    pub service: Service,
    /// The operation, such as `UpdateItem`.
    pub operation: &'a str,
    /// The name given to [`LocalAws::sdk_config_for`](crate::LocalAws::sdk_config_for); `None` over HTTP and for unnamed clients.
    pub caller: Option<&'a str>,
}

fn millis<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Duration, D::Error> {
    u64::deserialize(deserializer).map(Duration::from_millis)
}

/// The text of errors that were asked for.
pub(crate) const MESSAGE: &str = "injected fault";

/// The HTTP status that an error of this name comes with.
pub(crate) fn status(name: &str) -> StatusCode {
    match name {
        "InternalFailure" | "InternalServerError" => StatusCode::INTERNAL_SERVER_ERROR,
        "ServiceUnavailable" => StatusCode::SERVICE_UNAVAILABLE,
        _ => StatusCode::BAD_REQUEST,
    }
}
