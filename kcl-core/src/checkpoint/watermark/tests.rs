use super::*;
use crate::record::SequenceNumber;
use proptest::prelude::*;

fn at(n: u64) -> Position {
    // Two records per sequence number, as in an aggregate.
    Position { sequence_number: SequenceNumber::parse((n / 2 + 1).to_string()).unwrap(), sub_sequence_number: n % 2 }
}

fn positions(range: Range<u64>) -> Positions {
    Positions::List(range.map(at).collect())
}

#[test]
fn a_gap_holds_the_position_back_until_it_is_acknowledged() {
    let mut mark = Watermark::default();
    assert_eq!(mark.add(positions(0..3)), 0);
    assert!(!mark.acknowledge(2..3));
    assert_eq!(mark.safe(), None);
    assert!(mark.acknowledge(0..1));
    assert_eq!(mark.safe(), Some(at(0)));
    assert!(!mark.is_complete());
    assert!(mark.acknowledge(1..2));
    assert_eq!(mark.safe(), Some(at(2)));
    assert!(mark.is_complete());
}

#[test]
fn repeated_and_unknown_acknowledgements_have_no_effect() {
    let mut mark = Watermark::default();
    mark.add(positions(0..2));
    assert!(mark.acknowledge(0..1));
    assert!(!mark.acknowledge(0..1));
    assert!(!mark.acknowledge(2..1_000));
    assert_eq!((mark.safe(), mark.is_complete()), (Some(at(0)), false));
    assert!(mark.acknowledge(0..9));
    assert!(!mark.acknowledge(0..9));
    assert_eq!(mark.safe(), Some(at(1)));
}

#[test]
fn a_fully_acknowledged_span_keeps_only_its_ends() {
    let mut mark = Watermark::default();
    mark.add(positions(0..4));
    mark.add(positions(4..8));
    mark.add(positions(8..12));
    mark.acknowledge(4..8);
    assert!(mark.spans[1].is_done());
    assert_eq!(mark.beyond(), [(at(4)..=at(7), 4)]);
    mark.acknowledge(8..10);
    mark.acknowledge(2..3);
    assert_eq!(mark.beyond(), [(at(2)..=at(2), 1), (at(4)..=at(9), 6)]);
    assert_eq!(mark.window(), 12);
    mark.acknowledge(0..4);
    assert_eq!((mark.safe(), mark.window(), mark.beyond()), (Some(at(9)), 2, vec![]));
}

#[test]
fn a_record_is_found_by_its_position() {
    let mut mark = Watermark::default();
    mark.add(positions(0..4));
    mark.add(positions(4..8));
    for n in 0..8 {
        assert_eq!(mark.number_of(&at(n)), Some(n));
    }
    assert_eq!(mark.number_of(&at(100)), None, "never added");
    mark.acknowledge(0..4);
    assert_eq!(mark.number_of(&at(3)), None, "passed");
}

proptest! {
    /// Compares with the plain definition, for spans of any size and acknowledgements of any range.
    #[test]
    fn it_is_the_contiguous_prefix_and_the_runs_beyond_it(
        steps in proptest::collection::vec((1u64..140, 0u64..400, 1u64..90, 0usize..4), 1..40),
    ) {
        let mut mark = Watermark::default();
        let mut done: Vec<bool> = Vec::new();
        for (count, start, length, acknowledgements) in steps {
            let first = done.len() as u64;
            prop_assert_eq!(mark.add(positions(first..first + count)), first);
            done.resize(done.len() + usize::try_from(count).unwrap(), false);
            for k in 0..acknowledgements as u64 {
                let range = (start * (k + 1)) % 500..(start * (k + 1)) % 500 + length;
                let before = done.iter().take_while(|done| **done).count();
                for n in range.clone() {
                    if let Some(done) = done.get_mut(usize::try_from(n).unwrap()) { *done = true; }
                }
                let moves = done.iter().take_while(|done| **done).count() > before;
                prop_assert_eq!(mark.acknowledge(range), moves);
            }
            let prefix = done.iter().take_while(|done| **done).count();
            prop_assert_eq!(mark.safe(), (prefix as u64).checked_sub(1).map(at));
            prop_assert_eq!(mark.is_complete(), prefix == done.len());
            prop_assert_eq!((mark.first_open(), mark.window()), (prefix as u64, (done.len() - prefix) as u64));
            let mut expected: Vec<(RangeInclusive<Position>, u64)> = Vec::new();
            let mut begin = None;
            for n in prefix..=done.len() {
                match (done.get(n).copied().unwrap_or(false), begin) {
                    (true, None) => begin = Some(n),
                    (false, Some(from)) => {
                        expected.push((at(from as u64)..=at(n as u64 - 1), (n - from) as u64));
                        begin = None;
                    }
                    _ => {}
                }
            }
            prop_assert_eq!(mark.beyond(), expected);
        }
    }
}
