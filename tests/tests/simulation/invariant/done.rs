//! Which records are done: handled, acknowledged one by one, applied to the database, or given up to the dead letters.

use crate::world::history::Fact;
use std::collections::HashMap;

/// Follows a history, and tells at each fact which records it says are done.
#[derive(Debug, Default)]
pub(super) struct Done {
    batches: HashMap<u64, Vec<u32>>,
}

impl Done {
    pub(super) fn by(&mut self, fact: &Fact) -> Vec<u32> {
        match fact {
            Fact::Handed { batch, records, .. } => {
                self.batches.insert(*batch, records.iter().map(|record| record.number).collect());
                Vec::new()
            }
            Fact::Handled { batch, .. } => self.batches.remove(batch).unwrap_or_default(),
            Fact::Acknowledged { number, .. } | Fact::GivenUp { number, .. } | Fact::Applied { number, .. } => {
                vec![*number]
            }
            _ => Vec::new(),
        }
    }
}
