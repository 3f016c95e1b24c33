//! The events, by the part that tells them.

pub(crate) mod coordination;
pub(crate) mod processing;
pub(crate) mod table;
