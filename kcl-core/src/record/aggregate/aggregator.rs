//! Packs records into aggregates, for producers and tests.

use super::{DIGEST, MAGIC};
use bytes::Bytes;
use md5::{Digest, Md5};
use std::collections::HashMap;

/// The largest record, payload and partition key together, that every stream accepts (AWS:
/// `PutRecord`).
const LARGEST: usize = 1024 * 1024;

/// A finished aggregate, to be put into a stream.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Packed {
    /// The payload to put.
    pub data: Bytes,
    /// The partition key for the put: that of the first record.
    pub partition_key: String,
    /// The explicit hash key for the put, if the first record has one.
    pub explicit_hash_key: Option<u128>,
    /// The number of records in it.
    pub records: usize,
}

/// The record does not fit: [finish](Aggregator::finish) this aggregate, and add the record to the
/// next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the aggregate is full: put it, and add this record to the next")]
pub struct Full;

/// Packs records into aggregates of up to 1 MiB.
///
/// All records of an aggregate go to one shard, whatever their own keys are. To keep the order of a
/// key across a reshard, and to allow consumers to drop foreign records, pack only records of one
/// shard together, as the KPL does.
#[derive(Clone, Debug)]
pub struct Aggregator {
    largest: usize,
    most: usize,
    keys: Table<String>,
    hash_keys: Table<u128>,
    tables: Vec<u8>,
    parts: Vec<u8>,
    records: usize,
}

#[derive(Clone, Debug)]
struct Table<K>(HashMap<K, usize>, Option<K>);

impl<K> Default for Table<K> {
    fn default() -> Self {
        Table(HashMap::new(), None)
    }
}

impl Default for Aggregator {
    fn default() -> Self {
        Aggregator {
            largest: LARGEST,
            most: usize::MAX,
            keys: Table::default(),
            hash_keys: Table::default(),
            tables: Vec::new(),
            parts: Vec::new(),
            records: 0,
        }
    }
}

impl Aggregator {
    /// Limits the records of an aggregate. No limit by default.
    #[must_use]
    pub fn max_records(mut self, most: usize) -> Self {
        self.most = most;
        self
    }

    /// Limits the bytes of an aggregate, partition key included. 1 MiB by default.
    #[must_use]
    pub fn max_bytes(mut self, bytes: usize) -> Self {
        self.largest = bytes;
        self
    }

    /// Whether no record was added since the last [finish](Self::finish).
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Adds a record.
    ///
    /// # Errors
    /// The record does not fit. (A record that does not fit into an empty aggregate has to be put
    /// alone.)
    pub fn add(&mut self, key: &str, explicit_hash_key: Option<u128>, data: &[u8]) -> Result<(), Full> {
        let hash_text = explicit_hash_key.map(|key| key.to_string());
        let index = |known: Option<&usize>, next: usize| known.copied().unwrap_or(next);
        let key_index = index(self.keys.0.get(key), self.keys.0.len());
        let hash_index = explicit_hash_key.map(|key| index(self.hash_keys.0.get(&key), self.hash_keys.0.len()));
        let new_key = key_index == self.keys.0.len();
        let new_hash = hash_index.is_some_and(|index| index == self.hash_keys.0.len());

        let mut tables = Vec::new();
        if new_key {
            bytes_field(1, key.as_bytes(), &mut tables);
        }
        if let Some(text) = hash_text.as_ref().filter(|_| new_hash) {
            bytes_field(2, text.as_bytes(), &mut tables);
        }
        let mut part = Vec::with_capacity(data.len() + 16);
        number_field(1, key_index as u64, &mut part);
        if let Some(index) = hash_index {
            number_field(2, index as u64, &mut part);
        }
        bytes_field(3, data, &mut part);
        let mut framed = Vec::with_capacity(part.len() + 8);
        bytes_field(3, &part, &mut framed);

        let first_key = self.keys.1.as_ref().map_or(key.len(), String::len);
        let size =
            MAGIC.len() + self.tables.len() + tables.len() + self.parts.len() + framed.len() + DIGEST + first_key;
        if size > self.largest || self.records >= self.most {
            return Err(Full);
        }
        self.tables.extend(tables);
        self.parts.extend(framed);
        if new_key {
            self.keys.0.insert(key.to_owned(), key_index);
        }
        if let (Some(key), Some(index)) = (explicit_hash_key, hash_index) {
            self.hash_keys.0.insert(key, index);
        }
        if self.records == 0 {
            (self.keys.1, self.hash_keys.1) = (Some(key.to_owned()), explicit_hash_key);
        }
        self.records += 1;
        Ok(())
    }

    /// Returns the aggregate, and starts a new one. `None` if no record was added.
    pub fn finish(&mut self) -> Option<Packed> {
        let empty = Aggregator { largest: self.largest, most: self.most, ..Aggregator::default() };
        let done = std::mem::replace(self, empty);
        let partition_key = done.keys.1?;
        let mut data = Vec::with_capacity(MAGIC.len() + done.tables.len() + done.parts.len() + DIGEST);
        data.extend(MAGIC);
        data.extend(done.tables);
        data.extend(done.parts);
        let digest = Md5::digest(&data[MAGIC.len()..]);
        data.extend(digest);
        Some(Packed { data: data.into(), partition_key, explicit_hash_key: done.hash_keys.1, records: done.records })
    }
}

fn number_field(number: u64, value: u64, into: &mut Vec<u8>) {
    varint(number << 3, into);
    varint(value, into);
}

fn bytes_field(number: u64, value: &[u8], into: &mut Vec<u8>) {
    varint(number << 3 | 2, into);
    varint(value.len() as u64, into);
    into.extend(value);
}

fn varint(mut value: u64, into: &mut Vec<u8>) {
    while value >= 0x80 {
        into.push(value as u8 | 0x80);
        value >>= 7;
    }
    into.push(value as u8);
}
