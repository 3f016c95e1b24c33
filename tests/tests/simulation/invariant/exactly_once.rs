//! **Exactly once.** If effects and positions change together in a database, each record's effect
//! is there once.

use super::{Facts, seconds};
use crate::world::history::{Fact, Name};
use crate::world::manner::Manner;
use std::collections::HashMap;

pub(crate) fn check(facts: &Facts) -> Vec<String> {
    let mut applied: HashMap<u32, &Name> = HashMap::new();
    let mut broken = Vec::new();
    let mut handled = super::done::Done::default();
    for event in &facts.events {
        if let Fact::Applied { process, number } = &event.fact
            && let Some(before) = applied.insert(*number, process)
        {
            broken.push(format!("at {} {process} applied {number}, as {before} had", seconds(event.at)));
        }
        for number in handled.by(&event.fact) {
            if matches!(facts.manner, Manner::Database { .. }) && !applied.contains_key(&number) {
                broken.push(format!("at {} {number} was handled, and is not in the database", seconds(event.at)));
            }
        }
    }
    broken
}
