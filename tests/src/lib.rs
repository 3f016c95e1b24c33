//! End to end tests.

pub mod metered;
pub mod said;
