//! The worker: builder, run, shutdown.
