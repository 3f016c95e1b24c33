//! Turns acknowledgements that arrive in any order into the one position that is safe to checkpoint.
//!
//! Pure: knows positions, nothing of shards, leases, tables or time. Records are numbered in the order of their delivery;
//! an acknowledgement is a range of those numbers. What is remembered of a record is one bit, and of records that came
//! together and are all acknowledged one position.

use crate::record::{Position, Record};
use std::collections::VecDeque;
use std::ops::{Range, RangeInclusive};
use std::sync::Arc;

/// What of one shard was delivered, and how far all of it is acknowledged without a gap.
#[derive(Debug, Default)]
pub(crate) struct Watermark {
    /// What was delivered together, from the first that is not all acknowledged on.
    spans: VecDeque<Span>,
    /// The first record that is not acknowledged.
    first_open: u64,
    /// The number of the next record.
    next: u64,
    /// The end of what lies before the spans.
    passed: Option<Position>,
}

/// Where records stand that are delivered together; never none.
#[derive(Clone, Debug)]
pub(crate) enum Positions {
    /// The records themselves, as long as their positions may be asked for.
    Records(Arc<Vec<Record>>),
    /// Their positions alone.
    List(Box<[Position]>),
}

impl Positions {
    fn count(&self) -> usize {
        match self {
            Positions::Records(records) => records.len(),
            Positions::List(positions) => positions.len(),
        }
    }

    /// The last of them.
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

/// Records that were delivered together.
#[derive(Debug)]
struct Span {
    first: u64,
    count: u64,
    state: State,
}

#[derive(Debug)]
enum State {
    /// None is acknowledged.
    Open(Positions),
    /// Some are.
    Partly { positions: Positions, done: Vec<u64>, left: u64 },
    /// All are: only the ends are needed.
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

    /// Acknowledges these of its records, counted from its first.
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
        // Most come one by one.
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

    /// All are acknowledged: only the ends are kept.
    fn close(&mut self) {
        if let State::Partly { positions, .. } = &self.state
            && let Some((first, last)) = ends(positions)
        {
            self.state = State::Done { first, last };
        }
    }

    /// How many of its first records are all acknowledged, if those before `known` are.
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

/// Calls with each word that the range touches, and which of its bits.
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

/// How many bits from `from` on are all `set`, up to `count`.
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
    /// Takes note of a delivery, and tells the number of its first record; the others follow. Deliveries come in the order
    /// of the shard.
    pub(crate) fn delivered(&mut self, positions: Positions) -> u64 {
        let (first, count) = (self.next, positions.count() as u64);
        if count > 0 {
            self.next += count;
            self.spans.push_back(Span { first, count, state: State::Open(positions) });
        }
        first
    }

    /// Takes note of acknowledgements, and tells whether they moved the safe position. Those that come twice, and numbers
    /// that were never delivered, change nothing.
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

    /// Where the first span is that ends after this number. Spans are often of one size: then it is where it should be.
    fn index_of(&self, number: u64) -> usize {
        let guess =
            self.spans.front().and_then(|first| usize::try_from(number.checked_sub(first.first)? / first.count).ok());
        match guess.and_then(|guess| Some((guess, self.spans.get(guess)?))) {
            Some((guess, span)) if (span.first..span.end()).contains(&number) => guess,
            _ => self.spans.partition_point(|span| span.end() <= number),
        }
    }

    /// Up to where everything is acknowledged; nothing before the first.
    #[must_use]
    pub(crate) fn safe(&self) -> Option<Position> {
        let here = self.spans.front().and_then(|span| span.position((self.first_open - span.first).checked_sub(1)?));
        here.or_else(|| self.passed.clone())
    }

    /// The number of the first record that is not acknowledged.
    #[must_use]
    pub(crate) fn first_open(&self) -> u64 {
        self.first_open
    }

    /// The number that the next record will have.
    #[must_use]
    pub(crate) fn next(&self) -> u64 {
        self.next
    }

    /// Records from the first that is not acknowledged on.
    #[must_use]
    pub(crate) fn window(&self) -> u64 {
        self.next - self.first_open
    }

    /// Whether every delivered record is acknowledged: only then may the end of the shard be written.
    #[must_use]
    pub(crate) fn is_complete(&self) -> bool {
        self.spans.is_empty()
    }

    /// The number of the record at that position, if it is not passed yet and was delivered. (Where records that came
    /// together are all acknowledged, that of the last of them.)
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

    /// What is acknowledged beyond the first gap: from where to where, and how many records, in order.
    #[must_use]
    pub(crate) fn beyond(&self) -> Vec<(RangeInclusive<Position>, u64)> {
        let mut runs: Vec<(RangeInclusive<Position>, u64)> = Vec::new();
        // Whether the record before is in the last run.
        let mut goes_on = false;
        for (index, span) in self.spans.iter().enumerate() {
            let mut at = if index == 0 { self.first_open - span.first } else { 0 };
            while at < span.count {
                let (set, length) = span.run(at);
                if set {
                    match (span.position(at), span.position(at + length - 1)) {
                        (Some(_), Some(to)) if goes_on && at == 0 => {
                            if let Some((run, count)) = runs.last_mut() {
                                *run = run.start().clone()..=to;
                                *count += length;
                            }
                        }
                        (Some(from), Some(to)) => runs.push((from..=to, length)),
                        _ => {}
                    }
                }
                goes_on = set;
                at += length;
            }
        }
        runs
    }
}

impl Span {
    /// Whether the record at `from` is acknowledged, and how many from there on are like it.
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
