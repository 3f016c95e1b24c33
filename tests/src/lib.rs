//! Helpers for end-to-end tests.

pub mod metered;
pub mod said;
