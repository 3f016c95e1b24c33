//! Encodes the completed ranges of a shard (records beyond its checkpoint that are done) for the
//! lease's row, so that a crash does not repeat them.
//!
//! - Positions are encoded as differences from the previous one, because neighbouring sequence
//!   numbers differ in few digits.
//! - The bytes name the checkpoint that they belong to, and are ignored under another one: an
//!   external writer that moved the checkpoint did not know of them.
//! - The bytes end with a checksum. A record that they contain is never delivered, so damaged
//!   bytes, and bytes that this library did not write, are ignored as a whole.

use crate::record::{Checkpoint, Position, SequenceNumber};
use std::ops::RangeInclusive;

/// The most bytes that are stored: every checkpoint writes them, and DynamoDB bills writes per KB.
const MAX_BYTES: usize = 2_048;
/// The version of the encoding. Version 1 had no checksum; its bytes are ignored, so an update
/// repeats their records once.
const VERSION: u8 = 2;
/// The length of the checksum.
const CHECKSUM: usize = 8;

/// A sequence number as 64-bit limbs, the lowest first.
type Limbs = [u64; 3];

/// Ranges of records beyond a checkpoint that are done.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct CompletedRanges {
    /// In order, without overlaps.
    ranges: Vec<RangeInclusive<Position>>,
}

impl CompletedRanges {
    /// Decodes the ranges that belong to this checkpoint. Empty if the bytes belong to another one,
    /// or are damaged.
    pub(crate) fn read(bytes: &[u8], under: &Checkpoint) -> Self {
        let body = || {
            let (body, checksum) = bytes.split_at_checked(bytes.len().checked_sub(CHECKSUM)?)?;
            (bytes.len() <= MAX_BYTES && checksum == checksum_of(body)).then_some(body)
        };
        body().and_then(|body| Reader(body).done(under)).unwrap_or_default()
    }

    /// The ranges of these runs.
    pub(crate) fn of(runs: Vec<(RangeInclusive<Position>, u64)>) -> Self {
        CompletedRanges { ranges: runs.into_iter().map(|(range, _)| range).collect() }
    }

    /// The runs that are done beyond a checkpoint: `runs`, which were acknowledged among the
    /// records read so far, up to `read`, and of these ranges, which were known before, the part
    /// that has not been read yet.
    pub(crate) fn with(
        &self,
        mut runs: Vec<(RangeInclusive<Position>, u64)>,
        read: Option<&Position>,
    ) -> Vec<(RangeInclusive<Position>, u64)> {
        for range in &self.ranges {
            match (read, runs.last_mut()) {
                (Some(read), _) if range.end() <= read => {}
                // A part of the range was read. That part is in the last run, or before the
                // checkpoint.
                (Some(read), Some((run, _))) if range.start() <= read && run.end() == read => {
                    *run = run.start().clone()..=range.end().clone();
                }
                (Some(read), _) if range.start() <= read => runs.push((read.clone()..=range.end().clone(), 1)),
                (_, _) => runs.push((range.clone(), 1)),
            }
        }
        runs
    }

    /// Whether the record at this position is done.
    #[must_use]
    pub(crate) fn covers(&self, position: &Position) -> bool {
        let after = self.ranges.partition_point(|range| range.start() <= position);
        after.checked_sub(1).and_then(|index| self.ranges.get(index)).is_some_and(|range| range.contains(position))
    }

    /// Whether there are no ranges.
    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }

    /// Encodes runs, in order, each with its number of records. If they do not all fit, those with
    /// the fewest records are left out; a crash repeats them.
    pub(crate) fn write(under: &Checkpoint, runs: &[(RangeInclusive<Position>, u64)]) -> Option<Vec<u8>> {
        if runs.is_empty() {
            return None;
        }
        let mut largest: Vec<usize> = (0..runs.len()).collect();
        largest.sort_by_key(|index| std::cmp::Reverse(runs.get(*index).map(|(_, count)| *count)));
        loop {
            let mut kept = largest.clone();
            kept.sort_unstable();
            let ranges = kept.iter().filter_map(|index| runs.get(*index)).map(|(range, _)| range);
            let bytes = bytes(under, ranges)?;
            if bytes.len() <= MAX_BYTES {
                return (!largest.is_empty()).then_some(bytes);
            }
            // Encoded ranges have about the same length, so estimate how many fit; then remove one
            // at a time.
            largest.truncate((largest.len() * MAX_BYTES / bytes.len()).min(largest.len() - 1));
        }
    }
}

fn bytes<'a>(under: &Checkpoint, ranges: impl Iterator<Item = &'a RangeInclusive<Position>>) -> Option<Vec<u8>> {
    let mut out = vec![VERSION];
    let mut before = [0; 3];
    match under {
        Checkpoint::TrimHorizon => out.push(0),
        Checkpoint::Latest => out.push(1),
        Checkpoint::AtTimestamp => out.push(2),
        Checkpoint::At(position) => {
            out.push(3);
            before = put_position(&mut out, before, position)?;
        }
        Checkpoint::ShardEnd => return None,
    }
    for range in ranges {
        before = put_position(&mut out, before, range.start())?;
        before = put_position(&mut out, before, range.end())?;
    }
    let checksum = checksum_of(&out);
    out.extend(checksum);
    Some(out)
}

/// FNV-1a. It detects damage and mistakes. It need not resist attacks: anyone who may write the
/// table could compute any checksum.
fn checksum_of(bytes: &[u8]) -> [u8; CHECKSUM] {
    let step = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, step).to_be_bytes()
}

/// Appends the number's difference from the previous one, without its trailing zero bits, and the
/// sub-sequence number. `None` if the number is too large, or lower than the previous one.
fn put_position(out: &mut Vec<u8>, before: Limbs, position: &Position) -> Option<Limbs> {
    let number = position.sequence_number.limbs()?;
    let mut distance = subtract(number, before)?;
    let zeros = if distance == [0; 3] { 0 } else { trailing_zeros(distance) };
    distance = shift_right(distance, zeros);
    out.push(u8::try_from(zeros).ok()?);
    put_limbs(out, distance);
    put_limbs(out, [position.sub_sequence_number, 0, 0]);
    Some(number)
}

/// Appends a varint: 7 bits per byte, the lowest first.
fn put_limbs(out: &mut Vec<u8>, mut number: Limbs) {
    loop {
        let low = (number[0] & 0x7f) as u8;
        number = shift_right(number, 7);
        if number == [0; 3] {
            return out.push(low);
        }
        out.push(low | 0x80);
    }
}

struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn byte(&mut self) -> Option<u8> {
        let (first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*first)
    }

    fn limbs(&mut self) -> Option<Limbs> {
        let mut number = [0; 3];
        for shift in (0..192).step_by(7) {
            let byte = self.byte()?;
            number = add(number, shift_left([u64::from(byte & 0x7f), 0, 0], shift)?)?;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn position(&mut self, before: &mut Limbs) -> Option<Position> {
        let zeros = u32::from(self.byte()?);
        *before = add(*before, shift_left(self.limbs()?, zeros)?)?;
        let [sub_sequence_number, 0, 0] = self.limbs()? else { return None };
        Some(Position { sequence_number: SequenceNumber::from_limbs(*before), sub_sequence_number })
    }

    fn done(mut self, under: &Checkpoint) -> Option<CompletedRanges> {
        let mut before = [0; 3];
        if self.byte()? != VERSION {
            return None;
        }
        let belongs = match (self.byte()?, under) {
            (0, Checkpoint::TrimHorizon) | (1, Checkpoint::Latest) | (2, Checkpoint::AtTimestamp) => true,
            (3, Checkpoint::At(at)) => self.position(&mut before)? == *at,
            _ => false,
        };
        if !belongs {
            return None;
        }
        let mut ranges: Vec<RangeInclusive<Position>> = Vec::new();
        while !self.0.is_empty() {
            let (from, to) = (self.position(&mut before)?, self.position(&mut before)?);
            let in_order = from <= to && ranges.last().is_none_or(|last| *last.end() < from);
            if !in_order {
                return None;
            }
            ranges.push(from..=to);
        }
        Some(CompletedRanges { ranges })
    }
}

fn subtract(a: Limbs, b: Limbs) -> Option<Limbs> {
    let (mut out, mut borrow) = ([0; 3], false);
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        let (once, first) = a.overflowing_sub(b);
        let (twice, second) = once.overflowing_sub(u64::from(borrow));
        (*out, borrow) = (twice, first || second);
    }
    (!borrow).then_some(out)
}

fn add(a: Limbs, b: Limbs) -> Option<Limbs> {
    let (mut out, mut carry) = ([0; 3], false);
    for ((out, a), b) in out.iter_mut().zip(a).zip(b) {
        let (once, first) = a.overflowing_add(b);
        let (twice, second) = once.overflowing_add(u64::from(carry));
        (*out, carry) = (twice, first || second);
    }
    (!carry).then_some(out)
}

fn trailing_zeros(number: Limbs) -> u32 {
    let mut zeros = 0;
    for limb in number {
        zeros += limb.trailing_zeros();
        if limb != 0 {
            break;
        }
    }
    zeros
}

fn shift_right(mut number: Limbs, mut by: u32) -> Limbs {
    while by >= 64 {
        number = [number[1], number[2], 0];
        by -= 64;
    }
    if by == 0 {
        return number;
    }
    let [low, middle, high] = number;
    [low >> by | middle << (64 - by), middle >> by | high << (64 - by), high >> by]
}

/// `None` if a bit would be lost.
fn shift_left(number: Limbs, by: u32) -> Option<Limbs> {
    let mut out = number;
    let (whole, bits) = (by / 64, by % 64);
    for _ in 0..whole {
        out = [0, out[0], out[1]];
    }
    if bits > 0 {
        let [low, middle, high] = out;
        out = [low << bits, middle << bits | low >> (64 - bits), high << bits | middle >> (64 - bits)];
    }
    (by < 192 && shift_right(out, by) == number).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn position(digits: impl Into<String>, sub_sequence_number: u64) -> Position {
        Position { sequence_number: SequenceNumber::parse(digits).unwrap(), sub_sequence_number }
    }

    /// A number in the layout of Kinesis, with a given counter and second.
    fn kinesis(counter: u64, second: u64) -> Position {
        let number = shift_left([counter, 0, 0], 80).unwrap();
        let number = add(number, shift_left([second, 0, 0], 36).unwrap()).unwrap();
        let fixed = shift_left([2, 0, 0], 184).unwrap();
        let number = add(add(number, fixed).unwrap(), [0x62, 0, 0]).unwrap();
        Position { sequence_number: SequenceNumber::from_limbs(number), sub_sequence_number: 0 }
    }

    fn runs(from: u64, count: u64) -> Vec<(RangeInclusive<Position>, u64)> {
        (0..count)
            .map(|k| (kinesis(from + 10 * k, 9_000 + k)..=kinesis(from + 10 * k + 5, 9_000 + k), 1 + k % 7))
            .collect()
    }

    #[test]
    fn written_ranges_are_read_back_only_under_the_same_checkpoint() {
        let (at, other) = (Checkpoint::At(kinesis(7, 8_000)), Checkpoint::At(kinesis(8, 8_000)));
        let bytes = CompletedRanges::write(&at, &runs(100, 20)).unwrap();
        let done = CompletedRanges::read(&bytes, &at);
        assert_eq!(done.ranges, runs(100, 20).into_iter().map(|(range, _)| range).collect::<Vec<_>>());
        assert!(done.covers(&kinesis(103, 9_000)) && !done.covers(&kinesis(106, 9_000)));
        for another in [other, Checkpoint::TrimHorizon, Checkpoint::Latest, Checkpoint::ShardEnd] {
            assert!(CompletedRanges::read(&bytes, &another).is_empty(), "{another:?}");
        }
    }

    #[test]
    fn damaged_or_foreign_bytes_are_ignored_as_a_whole() {
        let at = Checkpoint::At(kinesis(7, 8_000));
        let bytes = CompletedRanges::write(&at, &runs(100, 20)).unwrap();
        for index in 0..bytes.len() {
            let mut damaged = bytes.clone();
            damaged[index] ^= 1;
            assert!(CompletedRanges::read(&damaged, &at).is_empty(), "byte {index}");
        }
        // Bytes without a checksum that claim everything after the beginning.
        let all = [VERSION, 0, 0, 1, 0, 186, 1, 0];
        assert!(CompletedRanges::read(&all, &Checkpoint::TrimHorizon).is_empty());
        // Bytes that are longer than the limit.
        let long = runs(100, 1_000);
        let long = super::bytes(&at, long.iter().map(|(range, _)| range)).unwrap();
        assert!(long.len() > MAX_BYTES && CompletedRanges::read(&long, &at).is_empty());
    }

    #[test]
    fn known_ranges_count_as_far_as_they_were_not_read_again() {
        let run = |from: u64, to: u64| position(from.to_string(), 0)..=position(to.to_string(), 0);
        let known = CompletedRanges { ranges: vec![run(3, 5), run(8, 9)] };
        let with = |runs: &[RangeInclusive<Position>], read: Option<u64>| {
            let runs = runs.iter().map(|run| (run.clone(), 1)).collect();
            let read = read.map(|read| position(read.to_string(), 0));
            known.with(runs, read.as_ref()).into_iter().map(|(run, _)| run).collect::<Vec<_>>()
        };
        assert_eq!(with(&[], None), [run(3, 5), run(8, 9)]);
        assert_eq!(with(&[run(2, 2)], Some(2)), [run(2, 2), run(3, 5), run(8, 9)]);
        assert_eq!(with(&[run(3, 4)], Some(4)), [run(3, 5), run(8, 9)]);
        assert_eq!(with(&[], Some(4)), [run(4, 5), run(8, 9)], "up to 4 is the checkpoint");
        assert_eq!(with(&[run(3, 5)], Some(6)), [run(3, 5), run(8, 9)]);
        assert_eq!(with(&[run(3, 5), run(8, 9)], Some(9)), [run(3, 5), run(8, 9)]);
    }

    #[test]
    fn a_range_takes_at_most_twenty_bytes() {
        let at = Checkpoint::At(kinesis(7, 8_000));
        let (few, more) = (
            CompletedRanges::write(&at, &runs(100, 1)).unwrap().len(),
            CompletedRanges::write(&at, &runs(100, 101)).unwrap().len(),
        );
        assert!((more - few) / 100 <= 20, "{few} {more}");
    }

    #[test]
    fn the_smallest_ranges_are_left_out_if_not_all_fit() {
        let at = Checkpoint::At(kinesis(7, 8_000));
        let all = runs(100, 1_000);
        let bytes = CompletedRanges::write(&at, &all).unwrap();
        assert!((MAX_BYTES / 2..=MAX_BYTES).contains(&bytes.len()), "{}", bytes.len());
        let kept = CompletedRanges::read(&bytes, &at).ranges;
        let (all, kept) = (&all, &kept);
        let sizes = |is_kept: bool| {
            all.iter().filter(move |(range, _)| kept.contains(range) == is_kept).map(|(_, count)| *count)
        };
        assert!(sizes(true).min() >= sizes(false).max());
    }

    #[test]
    fn numbers_that_are_too_large_are_not_stored() {
        assert_eq!(
            CompletedRanges::write(
                &Checkpoint::Latest,
                &[(position("9".repeat(129), 0)..=position("9".repeat(129), 1), 2)]
            ),
            None
        );
        assert_eq!(CompletedRanges::write(&Checkpoint::Latest, &[]), None);
    }

    proptest! {
        #[test]
        fn any_ranges_are_read_back(
            sentinel in 0usize..4, numbers in proptest::collection::btree_set(("[1-9][0-9]{0,55}", 0u64..3), 1..30),
        ) {
            let mut at: Vec<Position> = numbers.into_iter().map(|(digits, sub)| position(digits, sub)).collect();
            at.sort();
            let under = [Checkpoint::TrimHorizon, Checkpoint::Latest, Checkpoint::AtTimestamp, Checkpoint::At(at.remove(0))];
            let runs: Vec<_> = at.chunks_exact(2).map(|pair| (pair[0].clone()..=pair[1].clone(), 2)).collect();
            match CompletedRanges::write(&under[sentinel], &runs) {
                None => prop_assert!(runs.is_empty()),
                Some(bytes) => {
                    let read = CompletedRanges::read(&bytes, &under[sentinel]).ranges;
                    prop_assert_eq!(read, runs.into_iter().map(|(range, _)| range).collect::<Vec<_>>());
                }
            }
        }

        #[test]
        fn any_bytes_are_decoded_or_ignored(bytes in proptest::collection::vec(any::<u8>(), 0..80)) {
            let body = [&[VERSION, 0][..], &bytes].concat();
            let done = CompletedRanges::read(&[&body[..], &checksum_of(&body)].concat(), &Checkpoint::TrimHorizon);
            prop_assert!(done.ranges.iter().all(|range| range.start() <= range.end()));
        }
    }
}
