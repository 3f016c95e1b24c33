//! Determines which records are done: handled, acknowledged one by one, applied to the database, or
//! sent to the dead letters.

use crate::world::history::Fact;
use std::collections::HashMap;

/// Follows a history and returns for each fact the records that it reports as done.
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
