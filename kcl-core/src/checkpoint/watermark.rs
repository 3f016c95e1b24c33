//! Turns acknowledgements that arrive in any order into the one position that is safe to checkpoint.
//!
//! Pure: knows positions, nothing of shards, leases, tables or time.

use crate::record::Position;
use std::collections::VecDeque;

/// Names what was delivered at one time; acknowledge it with this.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Ticket(u64);

/// What of one shard was delivered, and how far all of it is acknowledged without a gap.
#[derive(Debug, Default)]
pub(crate) struct Watermark {
    /// The oldest delivery that is not passed yet.
    first: u64,
    /// From `first` on, in the order of delivery: each one's last position, and whether it is acknowledged.
    open: VecDeque<(Position, bool)>,
}

impl Watermark {
    /// Takes note of a delivery that ends there. Deliveries come in the order of the shard; one that is repeated
    /// keeps its ticket.
    pub(crate) fn delivered(&mut self, last: Position) -> Ticket {
        debug_assert!(self.open.back().is_none_or(|(before, _)| *before < last), "deliveries come in order");
        let ticket = Ticket(self.first + self.open.len() as u64);
        self.open.push_back((last, false));
        ticket
    }

    /// Takes note that all of a delivery was acknowledged. When that moves the position up to which everything is,
    /// tells where it is now. Acknowledging twice changes nothing.
    pub(crate) fn acknowledged(&mut self, ticket: Ticket) -> Option<Position> {
        let index = usize::try_from(ticket.0.checked_sub(self.first)?).ok()?;
        self.open.get_mut(index)?.1 = true;
        let mut safe = None;
        while let Some((last, _)) = self.open.pop_front_if(|(_, done)| *done) {
            self.first += 1;
            safe = Some(last);
        }
        safe
    }

    /// Whether every delivered record is acknowledged: only then may the end of the shard be written.
    #[must_use]
    pub(crate) fn is_complete(&self) -> bool {
        self.open.is_empty()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SequenceNumber;
    use proptest::prelude::*;

    fn at(n: usize) -> Position {
        Position { sequence_number: SequenceNumber::parse((n + 1).to_string()).unwrap(), sub_sequence_number: 0 }
    }

    #[test]
    fn a_gap_holds_the_position_back_until_it_is_filled() {
        let mut mark = Watermark::default();
        let tickets: Vec<_> = (0..3).map(|n| mark.delivered(at(n))).collect();
        assert_eq!(mark.acknowledged(tickets[2]), None);
        assert_eq!(mark.acknowledged(tickets[0]), Some(at(0)));
        assert!(!mark.is_complete());
        assert_eq!(mark.acknowledged(tickets[1]), Some(at(2)));
        assert!(mark.is_complete());
    }

    #[test]
    fn an_acknowledgement_that_comes_twice_changes_nothing() {
        let mut mark = Watermark::default();
        let first = mark.delivered(at(0));
        let second = mark.delivered(at(1));
        assert_eq!(mark.acknowledged(first), Some(at(0)));
        assert_eq!(mark.acknowledged(first), None);
        assert!(!mark.is_complete(), "the second is still open");
        assert_eq!(mark.acknowledged(second), Some(at(1)));
    }

    proptest! {
        /// Against the plain definition: the last delivery before the first one that is not acknowledged.
        #[test]
        fn the_position_is_the_end_of_the_contiguous_prefix(
            order in (1usize..60).prop_flat_map(|n| (Just(n), proptest::collection::vec(0..n, 0..120))),
            early in 0usize..60,
        ) {
            let (n, order) = order;
            let mut mark = Watermark::default();
            let mut tickets: Vec<_> = (0..early.min(n)).map(|k| mark.delivered(at(k))).collect();
            let mut done = vec![false; n];
            let mut safe = None;
            for k in order {
                // The rest is delivered while the first ones are being acknowledged.
                while tickets.len() <= k { tickets.push(mark.delivered(at(tickets.len()))); }
                let moved = mark.acknowledged(tickets[k]);
                done[k] = true;
                let prefix = done.iter().take_while(|done| **done).count();
                let expected = prefix.checked_sub(1).map(at);
                if expected == safe { prop_assert_eq!(moved, None) } else { prop_assert_eq!(&moved, &expected); safe = expected; }
                prop_assert_eq!(mark.is_complete(), prefix == tickets.len());
            }
        }
    }
}
