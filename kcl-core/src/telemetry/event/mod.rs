//! The events, by the part that tells them.

pub(crate) mod processing;
pub(crate) mod table;
