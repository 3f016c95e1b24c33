//! Parses the protocol-buffers message of an aggregate without copying its payloads.

use std::ops::Range;

/// Why a record that begins like an aggregate is not a valid one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Corruption {
    /// The MD5 at its end does not match its message.
    #[error("its checksum is wrong")]
    Checksum,
    /// It ends within a field, or a field's length exceeds the message.
    #[error("it is cut off")]
    CutOff,
    /// A number has more than 64 bits, or a field has an unknown type or an invalid number.
    #[error("it is not a protocol-buffers message")]
    Malformed,
    /// A record refers to a partition key or an explicit hash key that is not in the table.
    #[error("a record refers to a key that is not in the table")]
    NoSuchKey,
    /// A record has no key or no payload.
    #[error("a record has no key or no payload")]
    Incomplete,
    /// A partition key is not UTF-8.
    #[error("a partition key is not UTF-8")]
    KeyText,
    /// An explicit hash key is not a number of 128 bits.
    #[error("an explicit hash key is not a number below 2^128")]
    HashKey,
}

/// One record of a message: the indices of its keys, and the place of its payload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Part {
    pub(super) key: usize,
    pub(super) hash_key: Option<usize>,
    pub(super) data: Range<usize>,
}

/// A place in a message: the offsets of its first byte and of the byte after its last. Half the
/// size of a slice reference, because a message of 10 MB may have millions of them.
type Place = (u32, u32);

/// The tables of a message that was validated to its end, and the number of its records.
#[derive(Debug, Default)]
pub(super) struct Layout {
    keys: Vec<Place>,
    hash_keys: Vec<Place>,
    pub(super) parts: u64,
}

impl Layout {
    pub(super) fn read(bytes: &[u8]) -> Result<Self, Corruption> {
        let mut layout = Layout::default();
        let (mut keys_used, mut hash_keys_used) = (0, 0);
        let mut fields = Fields::of(bytes, 0..bytes.len());
        while let Some((number, value)) = fields.next()? {
            match (number, value) {
                (1, Value::Bytes(at)) => {
                    std::str::from_utf8(bytes.get(at.clone()).ok_or(Corruption::CutOff)?)
                        .map_err(|_| Corruption::KeyText)?;
                    layout.keys.push(place(&at)?);
                }
                (2, Value::Bytes(at)) => {
                    hash_key(bytes.get(at.clone()).ok_or(Corruption::CutOff)?).ok_or(Corruption::HashKey)?;
                    layout.hash_keys.push(place(&at)?);
                }
                (3, Value::Bytes(at)) => {
                    let part = part(bytes, at)?;
                    keys_used = keys_used.max(part.key.saturating_add(1));
                    hash_keys_used = hash_keys_used.max(part.hash_key.map_or(0, |key| key.saturating_add(1)));
                    layout.parts += 1;
                }
                (1..=3, Value::Number(_) | Value::Fixed) => return Err(Corruption::Malformed),
                _ => {}
            }
        }
        // Tables may come after the records that use them.
        if keys_used > layout.keys.len() || hash_keys_used > layout.hash_keys.len() {
            return Err(Corruption::NoSuchKey);
        }
        Ok(layout)
    }

    /// The partition keys. `bytes` is the message that this was read from.
    pub(super) fn keys<'a>(&'a self, bytes: &'a [u8]) -> impl ExactSizeIterator<Item = &'a str> {
        self.keys.iter().map(|place| text(bytes, *place))
    }

    /// One of the partition keys.
    pub(super) fn key<'a>(&self, bytes: &'a [u8], index: usize) -> Option<&'a str> {
        self.keys.get(index).map(|place| text(bytes, *place))
    }

    /// The explicit hash keys. `bytes` is the message that this was read from.
    pub(super) fn hash_keys<'a>(&'a self, bytes: &'a [u8]) -> impl Iterator<Item = u128> {
        self.hash_keys.iter().map(|place| hash_key(text(bytes, *place).as_bytes()).unwrap_or_default())
    }

    /// The next record from the offset `at` on, and the offset after it.
    pub(super) fn next_part(bytes: &[u8], at: usize) -> Option<(Part, usize)> {
        let mut fields = Fields::of(bytes, at..bytes.len());
        while let Ok(Some((number, value))) = fields.next() {
            if let (3, Value::Bytes(within)) = (number, value) {
                return Some((part(bytes, within).ok()?, fields.at));
            }
        }
        None
    }
}

fn place(at: &Range<usize>) -> Result<Place, Corruption> {
    let short = |at: usize| u32::try_from(at).map_err(|_| Corruption::Malformed);
    Ok((short(at.start)?, short(at.end)?))
}

fn text(bytes: &[u8], (start, end): Place) -> &str {
    let text = bytes.get(start as usize..end as usize).unwrap_or_default();
    std::str::from_utf8(text).unwrap_or_default()
}

fn hash_key(digits: &[u8]) -> Option<u128> {
    std::str::from_utf8(digits).ok()?.parse().ok()
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
    /// A value of fixed length. The format has none; it occurs only in unknown fields.
    Fixed,
}

/// The fields of one message.
struct Fields<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> Fields<'a> {
    /// The fields in this range of the message.
    fn of(bytes: &'a [u8], within: Range<usize>) -> Self {
        Fields { bytes: bytes.get(..within.end).unwrap_or_default(), at: within.start }
    }

    #[inline]
    fn next(&mut self) -> Result<Option<(u32, Value)>, Corruption> {
        if self.at >= self.bytes.len() {
            return Ok(None);
        }
        // A tag is a field number of 29 bits, and three bits for the type.
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
            // A varint of 64 bits has one bit in its tenth byte.
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
