//! Internals that this project's benchmarks measure. Not part of the public interface.

use crate::checkpoint::{Positions, Watermark};
use crate::record::{Position, SequenceNumber};

/// Tracks the acknowledgements of one shard.
#[derive(Debug, Default)]
pub struct Acknowledgements(Watermark);

impl Acknowledgements {
    /// Adds `count` records that were delivered together.
    pub fn deliver(&mut self, count: u64) {
        let first = self.0.next();
        let position = |n: u64| {
            let digits = SequenceNumber::from_limbs([n + 1, 0, 1]);
            Position { sequence_number: digits, sub_sequence_number: 0 }
        };
        self.0.add(Positions::List((first..first + count).map(position).collect()));
    }

    /// Acknowledges one record.
    pub fn acknowledge(&mut self, number: u64) {
        self.0.acknowledge(number..number + 1);
    }

    /// True if every delivered record is acknowledged.
    #[must_use]
    pub fn is_complete(&self) -> bool {
        self.0.is_complete()
    }
}
