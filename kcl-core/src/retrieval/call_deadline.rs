//! Gives each call of a reader a deadline.

use crate::config::timing::READ_CALL_DEADLINE;
use crate::shard::{ApiError, ApiErrorKind};
use std::time::Duration;
use tokio::time::timeout;

/// The deadline of small calls, and of calls to a service that has not answered recently. A call
/// that is in flight when an outage ends may be lost, and reading must resume within 5 s of the
/// end.
pub(crate) const PROBE_DEADLINE: Duration = Duration::from_secs(4);

/// If the service has not answered for this long, the shard's consumer and the owner of its lease
/// are notified.
pub(crate) const UNANSWERED: Duration = Duration::from_secs(30);

/// Returns the response, or an error if it does not arrive within [`READ_CALL_DEADLINE`]. `what`
/// names the call in the error message.
pub(crate) async fn with_call_deadline<T>(
    what: impl FnOnce() -> String,
    call: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    with_deadline(READ_CALL_DEADLINE, what, call).await
}

/// Like [`with_call_deadline`], with another deadline.
pub(crate) async fn with_deadline<T>(
    deadline: Duration,
    what: impl FnOnce() -> String,
    call: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    timeout(deadline, call).await.unwrap_or_else(|_| {
        let message = format!("{} was not answered within {deadline:?}", what());
        Err(ApiError { kind: ApiErrorKind::Unavailable, message, code: None, source: None })
    })
}
