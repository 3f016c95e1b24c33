//! Keeps the quarantined keys of one shard. Pure.
//!
//! A key is quarantined with the record that failed. Every later record of the key joins it, until
//! the key is resumed or dead-lettered and none of its records is left. So the order within the key
//! holds, and other keys go on.

use crate::lease::row::{QuarantineRequest, QuarantinedKey};
use crate::record::Position;

/// The longest error text, and the longest reason for a refused request, that is stored, in bytes.
const LONGEST_TEXT: usize = 300;

/// The most bytes of a lease's row that the quarantine may take: half of the 400 KB that DynamoDB
/// allows for an item. The same row has to hold the state of a prepared checkpoint.
const MOST_BYTES: usize = 200_000;

/// Attribute names, and the overhead of a key's map and list, in bytes. DynamoDB counts 3 bytes for
/// a map or a list, and 1 for each of their entries (AWS: "DynamoDB item sizes and formats").
const BYTES_A_KEY: usize = 100;
/// The overhead of one position, in bytes, without its digits.
const BYTES_A_POSITION: usize = 24;

/// The quarantined keys of one shard, in the order in which they were quarantined.
#[derive(Clone, Debug, Default)]
pub(crate) struct Quarantine {
    keys: Vec<QuarantinedKey>,
    /// The most records of all keys together.
    max_records: usize,
}

/// The quarantine has no room for another record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

/// The failure for which a key is quarantined.
#[derive(Clone, Debug)]
pub(crate) struct Failed {
    /// How often the handler was called with the record.
    pub(crate) attempts: u32,
    /// The last error.
    pub(crate) error: String,
    /// When the record arrived, in ms since the Unix epoch.
    pub(crate) arrived_at_ms: i64,
}

impl Quarantine {
    /// The quarantine as a row contains it, with room for `max_records` records.
    pub(crate) fn of(keys: Vec<QuarantinedKey>, max_records: usize) -> Self {
        // A key without records can only come from an external writer, and would stay forever.
        let keys = keys.into_iter().filter(|key| !key.positions.is_empty()).collect();
        Quarantine { keys, max_records }
    }

    /// The keys as the row is to contain them.
    pub(crate) fn keys(&self) -> &[QuarantinedKey] {
        &self.keys
    }

    /// Whether no key is in quarantine.
    pub(crate) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// Whether records of this key are in quarantine. (Each record without a key has an entry of
    /// its own.)
    pub(crate) fn holds(&self, key: &str) -> bool {
        self.keys.iter().any(|parked| parked.key.as_deref() == Some(key))
    }

    /// The positions of all records in quarantine.
    pub(crate) fn positions(&self) -> impl Iterator<Item = &Position> {
        self.keys.iter().flat_map(|key| &key.positions)
    }

    fn has_room(&self, key: Option<&str>, position: &Position) -> bool {
        let is_new = key.is_none_or(|key| !self.holds(key));
        let more = if is_new { bytes_of_key(key) } else { 0 } + bytes_of_position(position);
        self.positions().count() < self.max_records && self.bytes().saturating_add(more) <= MOST_BYTES
    }

    /// The most bytes that this can take in a row. Texts count with their longest length, because
    /// they may still grow.
    fn bytes(&self) -> usize {
        let of_key = |key: &QuarantinedKey| {
            let positions: usize = key.positions.iter().map(bytes_of_position).sum();
            bytes_of_key(key.key.as_deref()) + positions
        };
        self.keys.iter().map(of_key).sum()
    }

    /// Quarantines a key with the record that failed. A record that failed again after it was
    /// resumed stays in its place.
    pub(crate) fn quarantine(&mut self, key: Option<&str>, position: Position, why: Failed) -> Result<(), Full> {
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

    /// Adds a record to its key, which is in quarantine.
    pub(crate) fn join(&mut self, key: &str, position: Position) -> Result<(), Full> {
        if !self.has_room(Some(key), &position) {
            return Err(Full);
        }
        if let Some(parked) = self.keys.iter_mut().find(|parked| parked.key.as_deref() == Some(key)) {
            // A record that is delivered again after a crash is there already.
            if parked.positions.last().is_none_or(|last| *last < position) {
                parked.positions.push(position);
            }
        }
        Ok(())
    }

    /// Removes a record that was handled or dead-lettered.
    pub(crate) fn done(&mut self, position: &Position) {
        for parked in &mut self.keys {
            parked.positions.retain(|parked| parked != position);
        }
        self.keys.retain(|parked| !parked.positions.is_empty());
    }

    /// Takes over the requests that an operator wrote into the row. Returns whether there are new
    /// ones.
    pub(crate) fn take_requests(&mut self, row: &[QuarantinedKey]) -> bool {
        let mut new = false;
        for requested in row.iter().filter(|requested| requested.wish.is_some()) {
            let first = requested.positions.first();
            for parked in self.keys.iter_mut().filter(|parked| parked.key == requested.key) {
                if (parked.key.is_some() || parked.positions.first() == first) && parked.wish != requested.wish {
                    (parked.wish, parked.refused) = (requested.wish, None);
                    new = true;
                }
            }
        }
        new
    }

    /// Requests that every key is resumed, unless something else is requested of it.
    pub(crate) fn resume_all(&mut self) {
        for parked in &mut self.keys {
            parked.wish.get_or_insert(QuarantineRequest::Resume);
        }
    }

    /// The next record for which a request exists, among the keys for which `is_mine` holds.
    /// Records in `handed_over` are with the handler already.
    pub(crate) fn next_requested(
        &self,
        is_mine: impl Fn(Option<&str>) -> bool,
        handed_over: &[Position],
    ) -> Option<(&QuarantinedKey, QuarantineRequest, &Position)> {
        self.keys.iter().filter(|parked| is_mine(parked.key.as_deref())).find_map(|parked| {
            let next = parked.positions.iter().find(|position| !handed_over.contains(position));
            Some((parked, parked.wish?, next?))
        })
    }

    /// Refuses the request for the key with this record. The key stays, with the reason.
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

/// A text, cut at a character boundary to the longest length that is stored.
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
        quarantine.quarantine(Some("a"), at(1), failed()).unwrap();
        assert!(quarantine.holds("a") && !quarantine.holds("b"));
        quarantine.join("a", at(3)).unwrap();
        quarantine.join("a", at(3)).unwrap();
        quarantine.quarantine(Some("b"), at(4), failed()).unwrap();
        assert_eq!(parked(&quarantine), [(Some("a"), vec![at(1), at(3)]), (Some("b"), vec![at(4)])]);
        quarantine.done(&at(1));
        quarantine.done(&at(4));
        assert_eq!(parked(&quarantine), [(Some("a"), vec![at(3)])]);
        quarantine.done(&at(3));
        assert!(quarantine.is_empty());
    }

    #[test]
    fn nothing_joins_a_full_quarantine() {
        let mut quarantine = Quarantine::of(vec![], 2);
        quarantine.quarantine(Some("a"), at(1), failed()).unwrap();
        quarantine.join("a", at(2)).unwrap();
        assert_eq!(quarantine.join("a", at(3)), Err(Full));
        assert_eq!(quarantine.quarantine(Some("b"), at(4), failed()), Err(Full));
        assert_eq!(quarantine.quarantine(Some("a"), at(1), failed()), Ok(()), "the record is there already");
        quarantine.done(&at(1));
        assert_eq!(quarantine.join("a", at(3)), Ok(()));
    }

    #[test]
    fn a_request_is_for_one_key_and_ends_with_the_next_failure() {
        let mut quarantine = Quarantine::of(vec![], 10);
        quarantine.quarantine(Some("a"), at(1), failed()).unwrap();
        quarantine.quarantine(Some("b"), at(2), failed()).unwrap();
        let mut row = quarantine.keys().to_vec();
        row[1].wish = Some(QuarantineRequest::Resume);
        assert!(quarantine.take_requests(&row));
        assert!(!quarantine.take_requests(&row), "the request is known");
        assert_eq!(
            quarantine.next_requested(|_| true, &[]).map(|(_, wish, position)| (wish, position.clone())),
            Some((QuarantineRequest::Resume, at(2)))
        );
        assert_eq!(quarantine.next_requested(|key| key == Some("a"), &[]), None);
        quarantine.quarantine(Some("b"), at(2), failed()).unwrap();
        assert_eq!(quarantine.next_requested(|_| true, &[]), None);
        assert_eq!(quarantine.keys()[1].attempts, 6);
        quarantine.resume_all();
        assert_eq!(quarantine.next_requested(|_| true, &[]).map(|(_, _, position)| position.clone()), Some(at(1)));
    }

    #[test]
    fn records_without_a_key_are_quarantined_each_alone() {
        let mut quarantine = Quarantine::of(vec![], 10);
        quarantine.quarantine(None, at(1), failed()).unwrap();
        quarantine.quarantine(None, at(2), failed()).unwrap();
        assert_eq!(parked(&quarantine), [(None, vec![at(1)]), (None, vec![at(2)])]);
    }

    #[test]
    fn a_long_error_is_cut_at_a_character_boundary() {
        let mut quarantine = Quarantine::of(vec![], 10);
        quarantine.quarantine(None, at(1), Failed { error: "é".repeat(200), ..failed() }).unwrap();
        assert_eq!(quarantine.keys()[0].error.chars().count(), 150);
    }
}
