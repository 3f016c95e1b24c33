//! Tracks acknowledgements that arrive in any order and computes the highest position that is safe
//! to checkpoint.
//!
//! Pure: no I/O, no clock. Records are numbered in the order in which they are added, and an
//! acknowledgement is a range of these numbers. The tracker stores one bit per record, and two
//! positions for records that were added together once all of them are acknowledged.

use crate::record::{Position, Record};
use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

/// The records of one shard that were read, and how far they are acknowledged without a gap.
#[derive(Debug, Default)]
pub(crate) struct Watermark {
    /// Records that were added together, from the first span on that is not fully acknowledged.
    spans: VecDeque<Span>,
    /// The number of the first unacknowledged record.
    first_open: u64,
    /// The number of the next record.
    next: u64,
    /// The last position before the spans.
    passed: Option<Position>,
}

/// The positions of records that are added together. Not empty.
#[derive(Clone, Debug)]
pub(crate) enum Positions {
    /// The records themselves, which saves copying their positions.
    Records(Arc<Vec<Record>>),
    /// Only their positions.
    List(Box<[Position]>),
}

impl Positions {
    fn count(&self) -> usize {
        match self {
            Positions::Records(records) => records.len(),
            Positions::List(positions) => positions.len(),
        }
    }

    /// The last position.
    pub(crate) fn last(&self) -> Option<Position> {
        self.get(self.count().checked_sub(1)?)
    }

    fn get(&self, index: usize) -> Option<Position> {
        match self {
            Positions::Records(records) => records.get(index).map(Record::position),
            Positions::List(positions) => positions.get(index).cloned(),
        }
    }
}

/// Records that were added together.
#[derive(Debug)]
struct Span {
    first: u64,
    count: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// No record is acknowledged.
    Open(Positions),
    /// Some records are acknowledged: one bit per record in `done`; `left` are not.
    Partly { positions: Positions, done: Vec<u64>, left: u64 },
    /// All records are acknowledged. Only the first and the last position are needed.
    Done { first: Position, last: Position },
}

const BITS: u64 = u64::BITS as u64;

impl Span {
    fn end(&self) -> u64 {
        self.first + self.count
    }

    fn is_done(&self) -> bool {
        matches!(self.state, State::Done { .. })
    }

    /// Acknowledges records by their index in the span.
    fn acknowledge(&mut self, range: Range<u64>) {
        if let State::Open(positions) = &self.state {
            if range == (0..self.count)
                && let Some((first, last)) = ends(positions)
            {
                self.state = State::Done { first, last };
                return;
            }
            let (positions, done) = (positions.clone(), vec![0; words(self.count)]);
            self.state = State::Partly { positions, done, left: self.count };
        }
        let State::Partly { done, left, .. } = &mut self.state else { return };
        // Fast path: most partial acknowledgements are of one record.
        if range.end - range.start == 1 {
            let (word, bit) = (range.start / BITS, 1 << (range.start % BITS));
            if let Some(bits) = usize::try_from(word).ok().and_then(|word| done.get_mut(word)) {
                *left -= u64::from(*bits & bit == 0);
                *bits |= bit;
            }
            if *left == 0 {
                self.close();
            }
            return;
        }
        for_each_word(range, |word, mask| {
            if let Some(bits) = done.get_mut(word) {
                *left -= u64::from((mask & !*bits).count_ones());
                *bits |= mask;
            }
        });
        if *left == 0 {
            self.close();
        }
    }

    /// Keeps only the ends, because all records are acknowledged.
    fn close(&mut self) {
        if let State::Partly { positions, .. } = &self.state
            && let Some((first, last)) = ends(positions)
        {
            self.state = State::Done { first, last };
        }
    }

    /// The number of leading records that are acknowledged. The first `known` are known to be.
    fn prefix(&self, known: u64) -> u64 {
        match &self.state {
            State::Open(_) => 0,
            State::Partly { done, .. } => known + run(done, known, self.count, true),
            State::Done { .. } => self.count,
        }
    }

    fn position(&self, index: u64) -> Option<Position> {
        match &self.state {
            State::Open(positions) | State::Partly { positions, .. } => positions.get(usize::try_from(index).ok()?),
            State::Done { first, .. } if index == 0 => Some(first.clone()),
            State::Done { last, .. } if index + 1 == self.count => Some(last.clone()),
            State::Done { .. } => None,
        }
    }
}

fn ends(positions: &Positions) -> Option<(Position, Position)> {
    Some((positions.get(0)?, positions.last()?))
}

fn words(bits: u64) -> usize {
    usize::try_from(bits.div_ceil(BITS)).unwrap_or(usize::MAX)
}

/// Calls `call` for each word that the range touches, with a mask of the bits.
fn for_each_word(range: Range<u64>, mut call: impl FnMut(usize, u64)) {
    let mut at = range.start;
    while at < range.end {
        let (word, bit) = (at / BITS, at % BITS);
        let end = range.end.min((word + 1) * BITS);
        let count = end - at;
        let mask = if count == BITS { u64::MAX } else { ((1 << count) - 1) << bit };
        call(usize::try_from(word).unwrap_or(usize::MAX), mask);
        at = end;
    }
}

/// The length of the run of bits that start at `from` and equal `set`, up to `count`.
fn run(bits: &[u64], from: u64, count: u64, set: bool) -> u64 {
    let mut at = from;
    while at < count {
        let (word, bit) = (at / BITS, at % BITS);
        let here = usize::try_from(word).ok().and_then(|word| bits.get(word)).copied().unwrap_or(0);
        let here = if set { !here } else { here } >> bit;
        let same = u64::from(here.trailing_zeros()).min(BITS - bit);
        at += same;
        if same < BITS - bit {
            break;
        }
    }
    at.min(count) - from
}

impl Watermark {
    /// Adds records, in the order of the shard. Returns the number of the first one; the others
    /// follow.
    pub(crate) fn add(&mut self, positions: Positions) -> u64 {
        let (first, count) = (self.next, positions.count() as u64);
        if count > 0 {
            self.next += count;
            self.spans.push_back(Span { first, count, state: State::Open(positions) });
        }
        first
    }

    /// Acknowledges records. Returns whether the safe position moved. Repeated acknowledgements,
    /// and numbers that were never added, have no effect.
    pub(crate) fn acknowledge(&mut self, numbers: Range<u64>) -> bool {
        let from = self.index_of(numbers.start);
        for span in self.spans.iter_mut().skip(from).take_while(|span| span.first < numbers.end) {
            let begin = numbers.start.max(span.first) - span.first;
            let end = numbers.end.min(span.end()) - span.first;
            span.acknowledge(begin..end);
        }
        let moves = numbers.contains(&self.first_open) && self.first_open < self.next;
        if moves {
            while let Some(Span { first, count, state: State::Done { last, .. } }) =
                self.spans.pop_front_if(|span| span.is_done())
            {
                (self.passed, self.first_open) = (Some(last), first + count);
            }
            if let Some(span) = self.spans.front() {
                self.first_open = span.first + span.prefix(self.first_open - span.first);
            }
        }
        moves
    }

    /// The index of the first span that ends after this number. Guesses by the size of the first
    /// span, because spans often have the same size, and falls back to a binary search.
    fn index_of(&self, number: u64) -> usize {
        let guess =
            self.spans.front().and_then(|first| usize::try_from(number.checked_sub(first.first)? / first.count).ok());
        match guess.and_then(|guess| Some((guess, self.spans.get(guess)?))) {
            Some((guess, span)) if (span.first..span.end()).contains(&number) => guess,
            _ => self.spans.partition_point(|span| span.end() <= number),
        }
    }

    /// The last position of the acknowledged prefix. `None` if the first record is not
    /// acknowledged.
    #[must_use]
    pub(crate) fn safe(&self) -> Option<Position> {
        let here = self.spans.front().and_then(|span| span.position((self.first_open - span.first).checked_sub(1)?));
        here.or_else(|| self.passed.clone())
    }

    /// The number of the first unacknowledged record.
    #[must_use]
    pub(crate) fn first_open(&self) -> u64 {
        self.first_open
    }

    /// The number of the next record to be added.
    #[must_use]
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// The number of records from the first unacknowledged one on.
    #[must_use]
    pub(crate) fn window(&self) -> u64 {
        self.next - self.first_open
    }

    /// Whether every record is acknowledged. SHARD_END may be written only then
    /// (docs/protocol/resharding.md).
    #[must_use]
    pub(crate) fn is_complete(&self) -> bool {
        self.spans.is_empty()
    }

    /// The number of the record at this position, if it was added and its span is not passed. (For
    /// a span that is fully acknowledged: the number of its last record.)
    #[must_use]
    pub(crate) fn number_of(&self, position: &Position) -> Option<u64> {
        let starts_before = |span: &Span| span.position(0).is_some_and(|first| first <= *position);
        let span = self.spans.get(self.spans.partition_point(starts_before).checked_sub(1)?)?;
        if span.is_done() {
            return Some(span.end() - 1);
        }
        let (mut low, mut high) = (0, span.count);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            let is_before = span.position(middle).is_some_and(|at| at <= *position);
            if is_before { low = middle } else { high = middle }
        }
        (span.position(low)? == *position).then_some(span.first + low)
    }

    /// The acknowledged runs beyond the first gap, in order: their first and last position, and
    /// their number of records.
    #[must_use]
    pub(crate) fn beyond(&self) -> Vec<(RangeInclusive<Position>, u64)> {
        let mut runs: Vec<(RangeInclusive<Position>, u64)> = Vec::new();
        // Whether the previous record is in the last run.
        let mut continues = false;
        for (index, span) in self.spans.iter().enumerate() {
            let mut at = if index == 0 { self.first_open - span.first } else { 0 };
            while at < span.count {
                let (set, length) = span.run(at);
                if set {
                    match (span.position(at), span.position(at + length - 1)) {
                        (Some(_), Some(to)) if continues && at == 0 => {
                            if let Some((run, count)) = runs.last_mut() {
                                *run = run.start().clone()..=to;
                                *count += length;
                            }
                        }
                        (Some(from), Some(to)) => runs.push((from..=to, length)),
                        _ => {}
                    }
                }
                continues = set;
                at += length;
            }
        }
        runs
    }
}

impl Span {
    /// Whether the record at `from` is acknowledged, and the length of the run of records with the
    /// same state.
    fn run(&self, from: u64) -> (bool, u64) {
        match &self.state {
            State::Open(_) => (false, self.count - from),
            State::Done { .. } => (true, self.count - from),
            State::Partly { done, .. } => {
                let set = run(done, from, self.count, true);
                if set > 0 { (true, set) } else { (false, run(done, from, self.count, false)) }
            }
        }
    }
}

#[cfg(test)]
mod tests;
