//! Encodes and decodes opaque tokens that clients return: base64 of a kind, some fields and a
//! checksum.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{EngineTime, SequenceNumber, ShardId};

const CHECKSUM_BYTES: usize = 4;

/// Writes fields one after another.
#[derive(Debug)]
pub(crate) struct Writer(Vec<u8>);

impl Writer {
    /// A token of this kind; a reader of another kind does not accept it.
    pub(crate) fn new(kind: u8) -> Self {
        Self(vec![kind])
    }

    pub(crate) fn byte(mut self, value: u8) -> Self {
        self.0.push(value);
        self
    }

    pub(crate) fn number(mut self, value: u64) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    pub(crate) fn time(self, value: EngineTime) -> Self {
        self.number(value.millis().cast_unsigned())
    }

    pub(crate) fn shard(mut self, value: ShardId) -> Self {
        self.0.extend(value.number().to_be_bytes());
        self
    }

    pub(crate) fn sequence(mut self, value: SequenceNumber) -> Self {
        self.0.extend(value.to_be_bytes());
        self
    }

    /// Adds the last field, which has no length, and encodes the token.
    pub(crate) fn finish(mut self, text: &str) -> String {
        self.0.extend(text.as_bytes());
        let checksum = crc32fast::hash(&self.0);
        self.0.extend(checksum.to_be_bytes());
        STANDARD.encode(self.0)
    }
}

/// Reads the fields in the same order. Each method returns `None` if the token is too short.
#[derive(Debug)]
pub(crate) struct Reader {
    bytes: Vec<u8>,
    at: usize,
}

impl Reader {
    pub(crate) fn new(kind: u8, token: &str) -> Option<Self> {
        let mut bytes = STANDARD.decode(token).ok()?;
        let fields = bytes.len().checked_sub(CHECKSUM_BYTES)?;
        let checksum = crc32fast::hash(bytes.get(..fields)?).to_be_bytes();
        if bytes.get(fields..) != Some(&checksum[..]) || bytes.first() != Some(&kind) {
            return None;
        }
        bytes.truncate(fields);
        Some(Self { bytes, at: 1 })
    }

    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let field = self.bytes.get(self.at..self.at + N)?.try_into().ok()?;
        self.at += N;
        Some(field)
    }

    pub(crate) fn byte(&mut self) -> Option<u8> {
        self.take::<1>().map(|[byte]| byte)
    }

    pub(crate) fn number(&mut self) -> Option<u64> {
        self.take().map(u64::from_be_bytes)
    }

    pub(crate) fn time(&mut self) -> Option<EngineTime> {
        self.number().map(|millis| EngineTime::from_millis(millis.cast_signed()))
    }

    pub(crate) fn shard(&mut self) -> Option<ShardId> {
        self.take().map(u32::from_be_bytes).map(ShardId::new)
    }

    pub(crate) fn sequence(&mut self) -> Option<SequenceNumber> {
        self.take().map(SequenceNumber::from_be_bytes)
    }

    pub(crate) fn rest(self) -> Option<String> {
        self.bytes.get(self.at..).and_then(|rest| String::from_utf8(rest.to_vec()).ok())
    }
}
