//! The keys of one shard that are parked. Pure.
//!
//! A key is parked with the record that failed; every later record of the key joins it, until the key is resumed or given
//! up and none of its records is left. So a key's order holds, and the others go on.

use crate::lease::row::{QuarantineRequest, QuarantinedKey};
use crate::record::Position;

/// The longest error text, and the longest reason why a wish was refused, that is kept, in bytes.
const LONGEST_TEXT: usize = 300;

/// The most bytes of a row that quarantine acquires: half of the 400 KB that DynamoDB allows a row. Every checkpoint writes
/// the whole row, and has to find room beside it for an application's prepared checkpoint.
const MOST_BYTES: usize = 200_000;

/// Names of attributes and the overhead of a key's map and list, in bytes (DynamoDB counts 3 for each of both, 1 for each
/// of their entries).
const BYTES_A_KEY: usize = 100;
/// The same for one position: its digits come on top.
const BYTES_A_POSITION: usize = 24;

/// See the module's documentation.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quarantine {
    keys: Vec<QuarantinedKey>,
    /// The most records, of all keys.
    most: usize,
}

/// There is no room for one more record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// Why a record is parked.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    /// How often it was tried.
    pub(crate) attempts: u32,
    /// Why it failed.
    pub(crate) error: String,
    /// When it arrived.
    pub(crate) arrived_at_ms: i64,
}

impl Quarantine {
    /// What a row says, with room for so many records.
    pub(crate) fn of(keys: Vec<QuarantinedKey>, most: usize) -> Self {
        // A key without records, which only a person can have written, would be parked for ever.
        let keys = keys.into_iter().filter(|key| !key.positions.is_empty()).collect();
        Quarantine { keys, most }
    }

    /// What a row is to say.
    pub(crate) fn keys(&self) -> &[QuarantinedKey] {
        &self.keys
    }

    /// Whether nothing is parked.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether records of that key are parked. (One without a key is parked alone.)
    pub(crate) fn holds(&self, key: &str) -> bool {
        self.keys.iter().any(|parked| parked.key.as_deref() == Some(key))
    }

    /// Every record that is parked.
    pub(crate) fn positions(&self) -> impl Iterator<Item = &Position> {
        self.keys.iter().flat_map(|key| &key.positions)
    }

    fn has_room(&self, key: Option<&str>, position: &Position) -> bool {
        let is_new = key.is_none_or(|key| !self.holds(key));
        let more = if is_new { bytes_of_key(key) } else { 0 } + bytes_of_position(position);
        self.positions().count() < self.most && self.bytes().saturating_add(more) <= MOST_BYTES
    }

    /// What a row needs for this at most, in bytes: texts may still grow to their longest.
    fn bytes(&self) -> usize {
        let of_key = |key: &QuarantinedKey| {
            let positions: usize = key.positions.iter().map(bytes_of_position).sum();
            bytes_of_key(key.key.as_deref()) + positions
        };
        self.keys.iter().map(of_key).sum()
    }

    /// Parks a key, beginning with the record that failed. One that failed again after it was resumed stays where it is.
    pub(crate) fn park(&mut self, key: Option<&str>, position: Position, why: Failed) -> Result<(), Full> {
        let Failed { attempts, error, arrived_at_ms } = why;
        let error = shortened(error);
        if let Some(parked) = self.keys.iter_mut().find(|parked| parked.positions.contains(&position)) {
            (parked.attempts, parked.error) = (parked.attempts.saturating_add(attempts), error);
            (parked.wish, parked.refused) = (None, None);
            return Ok(());
        }
        if !self.has_room(key, &position) {
            return Err(Full);
        }
        if let Some(parked) = self.keys.iter_mut().find(|parked| key.is_some() && parked.key.as_deref() == key) {
            parked.positions.push(position);
            return Ok(());
        }
        let (key, positions) = (key.map(str::to_owned), vec![position]);
        self.keys.push(QuarantinedKey { key, positions, attempts, error, arrived_at_ms, wish: None, refused: None });
        Ok(())
    }

    /// Lets a record join its key, which is parked.
    pub(crate) fn join(&mut self, key: &str, position: Position) -> Result<(), Full> {
        if !self.has_room(Some(key), &position) {
            return Err(Full);
        }
        if let Some(parked) = self.keys.iter_mut().find(|parked| parked.key.as_deref() == Some(key)) {
            // One that comes again after a crash is there already.
            if parked.positions.last().is_none_or(|last| *last < position) {
                parked.positions.push(position);
            }
        }
        Ok(())
    }

    /// A parked record is done: handled, or given up.
    pub(crate) fn done(&mut self, position: &Position) {
        for parked in &mut self.keys {
            parked.positions.retain(|parked| parked != position);
        }
        self.keys.retain(|parked| !parked.positions.is_empty());
    }

    /// What a person wants, as a row says it now. Tells whether that is new.
    pub(crate) fn wish(&mut self, row: &[QuarantinedKey]) -> bool {
        let mut new = false;
        for wanted in row.iter().filter(|wanted| wanted.wish.is_some()) {
            let first = wanted.positions.first();
            for parked in self.keys.iter_mut().filter(|parked| parked.key == wanted.key) {
                if (parked.key.is_some() || parked.positions.first() == first) && parked.wish != wanted.wish {
                    (parked.wish, parked.refused) = (wanted.wish, None);
                    new = true;
                }
            }
        }
        new
    }

    /// Wishes for all that every key is resumed.
    pub(crate) fn resume_all(&mut self) {
        for parked in &mut self.keys {
            parked.wish.get_or_insert(QuarantineRequest::Resume);
        }
    }

    /// The next record of which something is wished, among those keys; `handed` are with the handler already.
    pub(crate) fn wished(
        &self,
        is_mine: impl Fn(Option<&str>) -> bool,
        handed: &[Position],
    ) -> Option<(&QuarantinedKey, QuarantineRequest, &Position)> {
        self.keys.iter().filter(|parked| is_mine(parked.key.as_deref())).find_map(|parked| {
            let next = parked.positions.iter().find(|position| !handed.contains(position));
            Some((parked, parked.wish?, next?))
        })
    }

    /// What is wished of the key with that record cannot be done: it stays, and says why.
    pub(crate) fn refuse(&mut self, position: &Position, reason: String) {
        let reason = shortened(reason);
        for parked in self.keys.iter_mut().filter(|parked| parked.positions.contains(position)) {
            (parked.wish, parked.refused) = (None, Some(reason.clone()));
        }
    }
}

fn bytes_of_key(key: Option<&str>) -> usize {
    BYTES_A_KEY + key.map_or(0, str::len) + 2 * LONGEST_TEXT
}

fn bytes_of_position(position: &Position) -> usize {
    BYTES_A_POSITION + position.sequence_number.as_str().len()
}

/// As much of a text as is kept, cut at a character.
fn shortened(mut text: String) -> String {
    let end = (0..=LONGEST_TEXT.min(text.len())).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::SequenceNumber;

    fn at(n: u64) -> Position {
        Position { sequence_number: SequenceNumber::parse(n.to_string()).unwrap(), sub_sequence_number: 0 }
    }

    fn failed() -> Failed {
        Failed { attempts: 3, error: "down".to_owned(), arrived_at_ms: 5 }
    }

    fn parked(quarantine: &Quarantine) -> Vec<(Option<&str>, Vec<Position>)> {
        quarantine.keys().iter().map(|parked| (parked.key.as_deref(), parked.positions.clone())).collect()
    }

    #[test]
    fn later_records_of_a_key_join_it_in_order_and_others_do_not() {
        let mut quarantine = Quarantine::of(vec![], 10);
        quarantine.park(Some("a"), at(1), failed()).unwrap();
        assert!(quarantine.holds("a") && !quarantine.holds("b"));
        quarantine.join("a", at(3)).unwrap();
        quarantine.join("a", at(3)).unwrap();
        quarantine.park(Some("b"), at(4), failed()).unwrap();
        assert_eq!(parked(&quarantine), [(Some("a"), vec![at(1), at(3)]), (Some("b"), vec![at(4)])]);
        quarantine.done(&at(1));
        quarantine.done(&at(4));
        assert_eq!(parked(&quarantine), [(Some("a"), vec![at(3)])]);
        quarantine.done(&at(3));
        assert!(quarantine.is_empty());
    }

    #[test]
    fn when_it_is_full_nothing_joins() {
        let mut quarantine = Quarantine::of(vec![], 2);
        quarantine.park(Some("a"), at(1), failed()).unwrap();
        quarantine.join("a", at(2)).unwrap();
        assert_eq!(quarantine.join("a", at(3)), Err(Full));
        assert_eq!(quarantine.park(Some("b"), at(4), failed()), Err(Full));
        assert_eq!(quarantine.park(Some("a"), at(1), failed()), Ok(()), "it is there already");
        quarantine.done(&at(1));
        assert_eq!(quarantine.join("a", at(3)), Ok(()));
    }

    #[test]
    fn a_wish_is_for_one_key_and_ends_with_the_next_failure() {
        let mut quarantine = Quarantine::of(vec![], 10);
        quarantine.park(Some("a"), at(1), failed()).unwrap();
        quarantine.park(Some("b"), at(2), failed()).unwrap();
        let mut row = quarantine.keys().to_vec();
        row[1].wish = Some(QuarantineRequest::Resume);
        assert!(quarantine.wish(&row));
        assert!(!quarantine.wish(&row), "known");
        assert_eq!(
            quarantine.wished(|_| true, &[]).map(|(_, wish, position)| (wish, position.clone())),
            Some((QuarantineRequest::Resume, at(2)))
        );
        assert_eq!(quarantine.wished(|key| key == Some("a"), &[]), None);
        quarantine.park(Some("b"), at(2), failed()).unwrap();
        assert_eq!(quarantine.wished(|_| true, &[]), None);
        assert_eq!(quarantine.keys()[1].attempts, 6);
        quarantine.resume_all();
        assert_eq!(quarantine.wished(|_| true, &[]).map(|(_, _, position)| position.clone()), Some(at(1)));
    }

    #[test]
    fn records_without_a_key_are_parked_each_by_itself() {
        let mut quarantine = Quarantine::of(vec![], 10);
        quarantine.park(None, at(1), failed()).unwrap();
        quarantine.park(None, at(2), failed()).unwrap();
        assert_eq!(parked(&quarantine), [(None, vec![at(1)]), (None, vec![at(2)])]);
    }

    #[test]
    fn a_long_error_is_cut_at_a_character() {
        let mut quarantine = Quarantine::of(vec![], 10);
        quarantine.park(None, at(1), Failed { error: "é".repeat(200), ..failed() }).unwrap();
        assert_eq!(quarantine.keys()[0].error.chars().count(), 150);
    }
}
