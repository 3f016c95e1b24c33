//! Defines the events of reading. Each is a value that writes its log line and updates its metrics.

pub(crate) mod aggregate;
pub(crate) mod fan_out;
pub(crate) mod reading;
