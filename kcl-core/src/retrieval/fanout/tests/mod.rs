//! Tests complete readers on a stream with faults, under virtual time.

mod polling_fallback;
mod recovery;
mod registration;
mod service;
