//! Events of handling records: each is a value that writes its log line and moves its metrics.

pub(super) mod delivery;
pub(super) mod processing;
