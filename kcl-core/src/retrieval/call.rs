//! Calls that readers make: each has a deadline.

use crate::shard::{ApiError, ApiErrorKind};
use std::time::Duration;
use tokio::time::timeout;

/// The SDK has none of its own, and a connection that died silently would stall its shard for ever.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// For small calls, and for a service that did not answer lately: a call that is on its way when an outage ends may have been
/// lost in it, and reading is to resume within 5 s all the same.
pub(crate) const PROBE_DEADLINE: Duration = Duration::from_secs(4);

/// A service that has not answered for so long is reported to the shard's consumer, and to the owner of its lease.
pub(crate) const UNANSWERED: Duration = Duration::from_secs(30);

/// The answer to a call, or that there was none in time. `what` names the call, for people.
pub(crate) async fn in_time<T>(
    what: impl FnOnce() -> String,
    call: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    in_time_of(CALL_DEADLINE, what, call).await
}

/// The same with another deadline.
pub(crate) async fn in_time_of<T>(
    deadline: Duration,
    what: impl FnOnce() -> String,
    call: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    timeout(deadline, call).await.unwrap_or_else(|_| {
        let message = format!("{} was not answered within {deadline:?}", what());
        Err(ApiError { kind: ApiErrorKind::Unavailable, message, source: None })
    })
}
