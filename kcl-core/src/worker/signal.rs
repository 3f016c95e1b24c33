//! Waits for the signals that ask the process to stop.

#[cfg(feature = "signal")]
use std::sync::atomic::{AtomicBool, Ordering};

/// True once [`shutdown_signal`] has completed in this process. From then on the system no longer
/// ends the process on such a signal, so the worker listens for a second one.
#[cfg(feature = "signal")]
static RECEIVED: AtomicBool = AtomicBool::new(false);

/// Completes at Ctrl-C (SIGINT) or, on Unix, SIGTERM, which Kubernetes and ECS send first.
///
/// With this, [`Worker::run_until`](crate::Worker::run_until) shuts down gracefully at the first
/// signal, and aborts at the second.
///
/// Never completes for a signal whose handler cannot be installed.
#[cfg(feature = "signal")]
pub async fn shutdown_signal() {
    next().await;
    RECEIVED.store(true, Ordering::Relaxed);
}

/// Completes at the next signal after [`shutdown_signal`] has completed; never if something else
/// stopped the worker.
pub(super) async fn second_signal() {
    #[cfg(feature = "signal")]
    if is_received() {
        return next().await;
    }
    std::future::pending().await
}

/// True if a signal asked the process to stop.
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
