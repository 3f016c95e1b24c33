//! Runnable consumers.
