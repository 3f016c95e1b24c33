//! Reading the message of an aggregate: just as much of protocol buffers as it needs, over the bytes as they are.

use std::ops::Range;

/// Why a record that begins as an aggregate is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Corruption {
    /// The MD5 at its end is not that of its message.
    #[error("its checksum is wrong")]
    Checksum,
    /// It ends within a field, or has a field that says it is longer than what there is.
    #[error("it is cut off")]
    CutOff,
    /// A number has more than 64 bits, or a field has a type or a number that there is none of.
    #[error("it is no protocol-buffers message")]
    Malformed,
    /// A record names a partition key or an explicit hash key that is not in the table.
    #[error("a record names a key that its table does not have")]
    NoSuchKey,
    /// A record has no key or no payload.
    #[error("a record has no key or no payload")]
    Incomplete,
    /// A partition key is no UTF-8.
    #[error("a partition key is not UTF-8")]
    KeyText,
    /// An explicit hash key is no number of 128 bits.
    #[error("an explicit hash key is no number below 2^128")]
    HashKey,
}

/// One record of a message, by where its parts are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) key: usize,
    pub(super) hash_key: Option<usize>,
    pub(super) data: Range<usize>,
}

/// A message, read once; places are counted from its begin.
#[derive(Debug, Default)]
pub(super) struct Message<'a> {
    pub(super) keys: Vec<&'a str>,
    pub(super) hash_keys: Vec<u128>,
    pub(super) parts: Vec<Part>,
}

impl<'a> Message<'a> {
    pub(super) fn read(bytes: &'a [u8]) -> Result<Self, Corruption> {
        let mut message = Message::default();
        let mut fields = Fields::of(bytes, 0..bytes.len());
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Bytes(at)) => {
                    let key = bytes.get(at).ok_or(Corruption::CutOff)?;
                    message.keys.push(std::str::from_utf8(key).map_err(|_| Corruption::KeyText)?);
                }
                (2, Value::Bytes(at)) => {
                    let digits = bytes.get(at).and_then(|digits| std::str::from_utf8(digits).ok());
                    let key = digits.and_then(|digits| digits.parse().ok());
                    message.hash_keys.push(key.ok_or(Corruption::HashKey)?);
                }
                (3, Value::Bytes(at)) => message.parts.push(part(bytes, at)?),
                (1..=3, Value::Number(_) | Value::Fixed) => return Err(Corruption::Malformed),
                _ => {}
            }
        }
        // Tables may come after the records that use them.
        let (keys, hash_keys) = (message.keys.len(), message.hash_keys.len());
        let known = |part: &Part| part.key < keys && part.hash_key.is_none_or(|key| key < hash_keys);
        if message.parts.iter().all(known) { Ok(message) } else { Err(Corruption::NoSuchKey) }
    }
}

fn part(bytes: &[u8], at: Range<usize>) -> Result<Part, Corruption> {
    let (mut key, mut hash_key, mut data) = (None, None, None);
    let mut fields = Fields::of(bytes, at);
    while let Some((number, value)) = fields.next()? {
        match (number, value) {
            (1, Value::Number(index)) => key = Some(usize::try_from(index).map_err(|_| Corruption::NoSuchKey)?),
            (2, Value::Number(index)) => hash_key = Some(usize::try_from(index).map_err(|_| Corruption::NoSuchKey)?),
            (3, Value::Bytes(at)) => data = Some(at),
            (1..=3, _) => return Err(Corruption::Malformed),
            _ => {}
        }
    }
    match (key, data) {
        (Some(key), Some(data)) => Ok(Part { key, hash_key, data }),
        (None, _) | (_, None) => Err(Corruption::Incomplete),
    }
}

/// The value of one field.
enum Value {
    Number(u64),
    Bytes(Range<usize>),
    /// Of fixed length, which none of ours is.
    Fixed,
}

/// The fields of one message.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// Those in this part of it, which is one that there is.
    fn of(bytes: &'a [u8], within: Range<usize>) -> Self {
        Fields { bytes: bytes.get(..within.end).unwrap_or_default(), at: within.start }
    }

    #[inline]
    fn next(&mut self) -> Result<Option<(u32, Value)>, Corruption> {
        if self.at >= self.bytes.len() {
            return Ok(None);
        }
        // Field numbers have 29 bits, the lowest three are the type.
        let tag = u32::try_from(self.varint()?).map_err(|_| Corruption::Malformed)?;
        let value = match tag & 7 {
            0 => Value::Number(self.varint()?),
            1 => self.skip(8)?,
            2 => {
                let length = usize::try_from(self.varint()?).map_err(|_| Corruption::CutOff)?;
                let end = self.at.checked_add(length).filter(|end| *end <= self.bytes.len());
                let at = self.at..end.ok_or(Corruption::CutOff)?;
                self.at = at.end;
                Value::Bytes(at)
            }
            5 => self.skip(4)?,
            _ => return Err(Corruption::Malformed),
        };
        if tag >> 3 == 0 { Err(Corruption::Malformed) } else { Ok(Some((tag >> 3, value))) }
    }

    fn skip(&mut self, bytes: usize) -> Result<Value, Corruption> {
        self.at += bytes;
        if self.at <= self.bytes.len() { Ok(Value::Fixed) } else { Err(Corruption::CutOff) }
    }

    #[inline]
    fn varint(&mut self) -> Result<u64, Corruption> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = *self.bytes.get(self.at).ok_or(Corruption::CutOff)?;
            self.at += 1;
            let bits = u64::from(byte & 0x7f);
            // The tenth byte has room for one bit.
            if shift == 63 && bits > 1 {
                return Err(Corruption::Malformed);
            }
            value |= bits << shift;
            if byte < 0x80 {
                return Ok(value);
            }
        }
        Err(Corruption::Malformed)
    }
}
