//! Where a leader's cycle stands.

use super::instructions::Instructions;
use crate::clock::Time;
use crate::lease::row::WorkerId;
use std::collections::BTreeSet;

/// Where a cycle stands.
#[derive(Debug)]
pub(crate) enum Stage {
    Idle,
    Sessions,
    Fencing(BTreeSet<WorkerId>),
    Table(Reading),
    Looking { asked: Time },
    Telling { left: BTreeSet<WorkerId>, failed: bool, rows: Vec<(WorkerId, Instructions)> },
}

/// A read of the whole table.
#[derive(Debug)]
pub(crate) struct Reading {
    /// `wake` as it was before the read.
    pub(crate) wake: u64,
    pub(crate) asked: Time,
    /// When the last page came, and whether a call for the next one failed since.
    pub(crate) progress: Time,
    pub(crate) failed: bool,
    /// Until when the time that the read acquires is not counted against the leader.
    pub(crate) excused: Time,
    /// Whether it showed somebody's end that was not known.
    pub(crate) end_seen: bool,
}
