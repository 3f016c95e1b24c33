//! **I7** The assignment is advice: lost, late, repeated, reordered or deleted assignment rows
//! never break I1-I6.

use super::{Facts, i1, i2, i3, i4, i5, i6};
use crate::world::history::{Event, Fact};
use kcl_core::lease::RowKey;

/// Violations of I1 to I6 in a world in which an external writer restored or removed assignment
/// rows.
pub(crate) fn check(facts: &Facts) -> Vec<String> {
    let by_hand = |event: &Event| matches!(event.fact, Fact::Changed { by: None, key: RowKey::Assignment(_), .. });
    if !facts.events.iter().any(by_hand) {
        return Vec::new();
    }
    [i1::check, i2::check, i3::check, i4::check, i5::check, i6::check].iter().flat_map(|check| check(facts)).collect()
}
