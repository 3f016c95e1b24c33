//! Calls the user's code, which may fail, panic, take too long, or be cancelled when the lease is
//! lost.

use crate::processor::BoxError;
use crate::processor::delivery::ShardDelivery;
use crate::processor::failure::Cause;
use futures_util::FutureExt;
use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::time::timeout;

/// How a call of the user's code ended.
pub(super) enum CallOutcome {
    Done,
    GateClosed,
    Closed,
    Failed(Cause),
}

/// Runs a callback. Drops it when it takes longer than `within`, or when the delivery is closed.
pub(super) async fn call_until_closed(
    delivery: &ShardDelivery,
    within: Option<Duration>,
    callback: impl Future<Output = Result<(), BoxError>>,
) -> CallOutcome {
    tokio::select! {
        biased;
        () = delivery.closed() => CallOutcome::Closed,
        called = call_within(within, callback) => called,
    }
}

/// Runs a callback. Drops it when it takes longer than `within`.
pub(super) async fn call_within(
    within: Option<Duration>,
    callback: impl Future<Output = Result<(), BoxError>>,
) -> CallOutcome {
    let Some(within) = within else { return catch_panic(callback).await };
    timeout(within, catch_panic(callback)).await.unwrap_or(CallOutcome::Failed(Cause::TimedOut(within)))
}

/// Runs a callback and converts a panic to a failure. Callers create the user's future inside
/// `callback`, because creating it may panic, too. The processor is used again afterwards, as after
/// an error: `RecordProcessor` says so.
async fn catch_panic(callback: impl Future<Output = Result<(), BoxError>>) -> CallOutcome {
    match AssertUnwindSafe(callback).catch_unwind().await {
        Ok(Ok(())) => CallOutcome::Done,
        Ok(Err(error)) => CallOutcome::Failed(Cause::Error(error)),
        Err(panic) => CallOutcome::Failed(Cause::Panic(panic_message(panic.as_ref()))),
    }
}

/// The message of a panic.
pub(in crate::processor) fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
