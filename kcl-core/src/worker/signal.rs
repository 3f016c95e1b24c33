//! Waits until the operating system asks the process to stop.

#[cfg(feature = "signal")]
use std::sync::atomic::{AtomicBool, Ordering};

/// True once [`shutdown_signal`] has completed in this process. From then on the system's default, which is to end the process, does
/// not apply any more, so somebody must listen.
#[cfg(feature = "signal")]
static RECEIVED: AtomicBool = AtomicBool::new(false);

/// Completes at Ctrl-C (SIGINT) or, on Unix, SIGTERM, which is what Kubernetes and ECS send first.
///
/// [`Worker::run_until`](crate::Worker::run_until) with this stops in an orderly way at the first signal, and at the second ends
/// delivery at once.
///
/// Where a handler cannot be installed that signal never completes it.
#[cfg(feature = "signal")]
pub async fn shutdown_signal() {
    next().await;
    RECEIVED.store(true, Ordering::Relaxed);
}

/// Completes at another signal after that which completed [`shutdown_signal`]; never, where something else stopped the worker.
pub(super) async fn second_signal() {
    #[cfg(feature = "signal")]
    if is_received() {
        return next().await;
    }
    std::future::pending().await
}

/// True if the process was asked to stop.
pub(super) fn is_received() -> bool {
    #[cfg(feature = "signal")]
    return RECEIVED.load(Ordering::Relaxed);
    #[cfg(not(feature = "signal"))]
    false
}

#[cfg(feature = "signal")]
async fn next() {
    let interrupted = async {
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        let terminated = async {
            match signal(SignalKind::terminate()) {
                Ok(mut signal) => {
                    signal.recv().await;
                }
                Err(_) => std::future::pending().await,
            }
        };
        tokio::select! {
            () = interrupted => {}
            () = terminated => {}
        }
    }
    #[cfg(not(unix))]
    interrupted.await;
}
