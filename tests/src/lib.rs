//! End to end tests.

pub mod said;
