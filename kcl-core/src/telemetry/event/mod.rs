//! The events, by the part that tells them.

pub(crate) mod aggregate;
pub(crate) mod coordination;
pub(crate) mod delivery;
pub(crate) mod fanout;
#[cfg(feature = "aws")]
pub(crate) mod parser;
pub(crate) mod processing;
pub(crate) mod shutdown;
#[cfg(feature = "aws")]
pub(crate) mod table;
