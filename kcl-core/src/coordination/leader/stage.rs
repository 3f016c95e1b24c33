//! Defines the stages of a leader's cycle.

use super::instructions::Instructions;
use crate::clock::Time;
use crate::lease::row::WorkerId;
use std::collections::BTreeSet;

/// The stage of a cycle.
#[derive(Debug)]
pub(crate) enum Stage {
    Idle,
    Sessions,
    Fencing(BTreeSet<WorkerId>),
    Table(Reading),
    Leases { asked: Time },
    Publishing { left: BTreeSet<WorkerId>, failed: bool, rows: Vec<(WorkerId, Instructions)> },
}

/// A full read in progress.
#[derive(Debug)]
pub(crate) struct Reading {
    /// `wake` as it was before the read.
    pub(crate) wake: u64,
    pub(crate) asked: Time,
    /// When the last page came, and whether a call for the next one has failed since.
    pub(crate) progress: Time,
    pub(crate) failed: bool,
    /// Up to when the time of the read is not counted against the leader.
    pub(crate) excused: Time,
    /// Whether it showed the end of a session that was not known.
    pub(crate) end_seen: bool,
}
