//! **I9** No wall clock is compared between machines: whatever the clocks show, the history is the
//! same.

use super::seconds;
use crate::world::history::Event;

/// Compares two worlds of one seed that differ only in their clocks.
pub(crate) fn check(one: &[Event], other: &[Event]) -> Vec<String> {
    let differ = one.iter().zip(other).find(|(a, b)| a != b);
    match differ {
        Some((a, b)) => vec![format!("at {} clocks make a difference: {:?} or {:?}", seconds(a.at), a.fact, b.fact)],
        None if one.len() != other.len() => vec![format!("{} events or {}", one.len(), other.len())],
        None => Vec::new(),
    }
}
