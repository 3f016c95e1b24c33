//! The plan as an abstract problem: items, holders, a few numbers. See the README beside this file for what it keeps.

mod by_bytes;
mod by_leases;
mod loads;

use crate::config::BalanceBy;
use loads::Loads;
use std::collections::BTreeSet;

/// A worker, by its place in the list.
pub(crate) type WorkerNo = usize;

/// A stream, by its place among those that leases are of.
pub(crate) type StreamNo = usize;

/// A worker that may be given leases.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Member {
    /// The most leases it acquires.
    pub(crate) capacity: usize,
    /// It did not take what it was given last: only if there is no other.
    pub(crate) unfit: bool,
    /// The streams whose leases it can take; `None`: any.
    pub(crate) serves: Option<BTreeSet<StreamNo>>,
}

impl Member {
    /// Whether it can take a lease of that stream.
    pub(crate) fn serves(&self, stream: StreamNo) -> bool {
        self.serves.as_ref().is_none_or(|streams| streams.contains(&stream))
    }
}

/// Where a lease stands that needs a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nobody reads it.
    Free,
    /// A member reads it.
    Held(WorkerNo),
    /// A worker that leaves reads it.
    Leaving,
}

/// A lease that needs a reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Item {
    pub(crate) standing: Standing,
    /// Whom an earlier plan promised it to, if that pending_move stands; or who is to have it, whatever balance says.
    pub(crate) promised: Option<WorkerNo>,
    /// Bytes a second; without meaning where leases are counted.
    pub(crate) weight: u64,
    /// Of which stream it is.
    pub(crate) stream: StreamNo,
}

impl Item {
    /// Whether it is promised to the member that reads it: balance does not move it.
    fn stays(&self) -> bool {
        matches!(self.standing, Standing::Held(holder) if self.promised == Some(holder))
    }
}

/// By what rules items are assigned.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Rules {
    /// At most so many leases are taken from members at a time.
    pub(crate) moves_in_flight: usize,
    /// What is balanced.
    pub(crate) balance_by: BalanceBy,
    /// Leases were on the move a moment ago: what was begun is balanced to its end. (By bytes only.)
    pub(crate) moving: bool,
}

/// For each item, who is to take it; `None`: it stays where it is.
pub(crate) type Placement = Vec<Option<WorkerNo>>;

/// Assigns what needs a reader, keeps pending_moves, and moves as little as balance asks for.
pub(crate) fn assign(members: &[Member], items: &[Item], rules: Rules) -> Placement {
    let mut assignment: Placement = vec![None; items.len()];
    if members.is_empty() {
        return assignment;
    }
    let costs = costs(items, rules.balance_by);
    let mut loads = Loads::new(members, items.len(), rules.balance_by);
    let mut moving = 0;
    let mut unread = Vec::new();
    for (n, item) in items.iter().enumerate() {
        match (item.standing, item.promised) {
            (Standing::Held(holder), Some(to)) if to != holder => {
                moving += 1;
                assignment[n] = Some(to);
                loads.add(to, costs[n]);
            }
            (Standing::Held(holder), _) => loads.add(holder, costs[n]),
            (Standing::Free | Standing::Leaving, Some(to)) => {
                assignment[n] = Some(to);
                loads.add(to, costs[n]);
            }
            (Standing::Free | Standing::Leaving, None) => unread.push(n),
        }
    }
    // The heaviest first: the lighter ones even out what those leave. (Stable: equal ones stay in order.)
    unread.sort_by_key(|n| std::cmp::Reverse(costs[*n]));
    for n in unread {
        let Some(to) = loads.lightest_for(items[n].stream) else { continue };
        assignment[n] = Some(to);
        loads.add(to, costs[n]);
    }
    let moves = rules.moves_in_flight.saturating_sub(moving);
    match rules.balance_by {
        BalanceBy::Leases => by_leases::balance(items, &mut assignment, &mut loads, moves),
        BalanceBy::Bytes => {
            let to_the_end = rules.moving || moving > 0;
            by_bytes::balance(items, &costs, &mut assignment, &mut loads, moves, to_the_end);
        }
    }
    assignment
}

/// What each item costs its reader.
fn costs(items: &[Item], by: BalanceBy) -> Vec<u64> {
    match by {
        BalanceBy::Leases => vec![1; items.len()],
        BalanceBy::Bytes => by_bytes::costs(items),
    }
}

#[cfg(test)]
mod tests;
