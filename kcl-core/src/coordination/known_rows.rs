//! Holds the rows of leases and streams that a full read of the table showed. Pure.

use crate::lease::Table;
use crate::lease::row::{Lease, LeaseKey, StreamRow};
use crate::record::StreamId;
use std::collections::BTreeMap;

/// The rows by their keys.
#[derive(Debug, Default, Clone)]
pub(crate) struct KnownRows {
    pub(crate) leases: BTreeMap<LeaseKey, Lease>,
    pub(crate) streams: BTreeMap<StreamId, StreamRow>,
}

impl KnownRows {
    pub(crate) fn of(table: Table) -> Self {
        KnownRows {
            leases: table.leases.into_iter().map(|lease| (lease.key.clone(), lease)).collect(),
            streams: table.streams.into_iter().map(|row| (row.id.clone(), row)).collect(),
        }
    }

    pub(crate) fn has_leases_of(&self, stream: &StreamId) -> bool {
        self.leases.values().any(|lease| lease.stream_name.as_ref() == Some(stream))
    }
}
