//! Calling the user's code: it may fail, panic, take too long, or be given up with the lease.

use crate::processor::BoxError;
use crate::processor::delivery::ShardDelivery;
use crate::processor::failure::Cause;
use futures_util::FutureExt;
use std::any::Any;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::time::timeout;

/// How a callback came back.
pub(super) enum Called {
    Done,
    GateShut,
    Closed,
    Failed(Cause),
}

/// Runs a callback until it is done, or acquires too long, or the delivery is closed, which drops it.
pub(super) async fn attend(
    delivery: &ShardDelivery,
    within: Option<Duration>,
    callback: impl Future<Output = Result<(), BoxError>>,
) -> Called {
    tokio::select! {
        biased;
        () = delivery.closed() => Called::Closed,
        called = bounded(within, callback) => called,
    }
}

/// Runs a callback for so long at most.
pub(super) async fn bounded(within: Option<Duration>, callback: impl Future<Output = Result<(), BoxError>>) -> Called {
    let Some(within) = within else { return caught(callback).await };
    timeout(within, caught(callback)).await.unwrap_or(Called::Failed(Cause::TimedOut(within)))
}

/// Runs a callback; a panic is an error like any other. (Callers make the user's future inside of `callback`, as that may
/// panic too.) The processor is used again afterwards: what it left half done is its own to mend, as after an error.
async fn caught(callback: impl Future<Output = Result<(), BoxError>>) -> Called {
    match AssertUnwindSafe(callback).catch_unwind().await {
        Ok(Ok(())) => Called::Done,
        Ok(Err(error)) => Called::Failed(Cause::Error(error)),
        Err(panic) => Called::Failed(Cause::Panic(panic_message(panic.as_ref()))),
    }
}

/// What a panic said.
pub(in crate::processor) fn panic_message(panic: &(dyn Any + Send)) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}
