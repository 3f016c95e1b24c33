//! Calls that readers make: each has a deadline.

use crate::shard::{ApiError, ApiErrorKind};
use std::time::Duration;
use tokio::time::timeout;

/// The SDK has none of its own, and a connection that died silently would stall its shard for ever.
pub(crate) const CALL_DEADLINE: Duration = Duration::from_secs(10);

/// The answer to a call, or that there was none in time. `what` names the call, for people.
pub(crate) async fn in_time<T>(
    what: impl FnOnce() -> String,
    call: impl Future<Output = Result<T, ApiError>>,
) -> Result<T, ApiError> {
    timeout(CALL_DEADLINE, call).await.unwrap_or_else(|_| {
        let message = format!("{} was not answered within {CALL_DEADLINE:?}", what());
        Err(ApiError { kind: ApiErrorKind::Unavailable, message, source: None })
    })
}
