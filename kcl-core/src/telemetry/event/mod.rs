//! The events, by the part that emits them.

pub(crate) mod aggregate;
pub(crate) mod coordination;
pub(crate) mod delivery;
pub(crate) mod fanout;
#[cfg(feature = "aws")]
pub(crate) mod parser;
pub(crate) mod processing;
pub(crate) mod reading;
pub(crate) mod shutdown;
pub(crate) mod table;
pub(crate) mod worker;
