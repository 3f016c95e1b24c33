//! Where a planner's cycle stands.

use super::orders::Orders;
use crate::clock::Time;
use crate::lease::row::WorkerId;
use std::collections::BTreeSet;

/// Where a cycle stands.
#[derive(Debug)]
pub(crate) enum Stage {
    Idle,
    Sessions,
    Fencing(BTreeSet<WorkerId>),
    Table { wake: u64, asked: Time },
    Promised,
    Telling { left: BTreeSet<WorkerId>, failed: bool, rows: Vec<(WorkerId, Orders)> },
}
