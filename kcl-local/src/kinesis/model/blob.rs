//! A binary member: base64 text in JSON, a byte string in CBOR.

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

/// Bytes of a record. Cheap to clone.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Blob(pub Bytes);

impl Blob {
    /// Number of bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there are no bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl<T: Into<Bytes>> From<T> for Blob {
    fn from(bytes: T) -> Self {
        Self(bytes.into())
    }
}

/// Shows only the length, so that payloads do not get into logs.
impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Blob({} bytes)", self.len())
    }
}

impl Serialize for Blob {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.serialize_str(&STANDARD.encode(&self.0))
        } else {
            serializer.serialize_bytes(&self.0)
        }
    }
}

impl<'de> Deserialize<'de> for Blob {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_str(Base64)
        } else {
            deserializer.deserialize_byte_buf(Raw)
        }
    }
}

struct Base64;

impl Visitor<'_> for Base64 {
    type Value = Blob;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("base64 text")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Blob, E> {
        STANDARD.decode(text).map(Blob::from).map_err(|error| E::custom(format_args!("not base64: {error}")))
    }
}

struct Raw;

impl Visitor<'_> for Raw {
    type Value = Blob;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a byte string")
    }

    fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<Blob, E> {
        Ok(Blob(Bytes::copy_from_slice(bytes)))
    }

    fn visit_byte_buf<E: de::Error>(self, bytes: Vec<u8>) -> Result<Blob, E> {
        Ok(Blob::from(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_base64() {
        let blob = Blob::from(&b"\x00\xffhi"[..]);
        let json = serde_json::to_string(&blob).unwrap();
        assert_eq!(json, "\"AP9oaQ==\"");
        assert_eq!(serde_json::from_str::<Blob>(&json).unwrap(), blob);
        assert!(serde_json::from_str::<Blob>("\"*\"").is_err());
        assert!(serde_json::from_str::<Blob>("7").is_err());
    }

    #[test]
    fn cbor_is_a_byte_string_also_in_chunks() {
        let blob = Blob::from(&b"\x00\xff"[..]);
        let mut cbor = Vec::new();
        ciborium::into_writer(&blob, &mut cbor).unwrap();
        assert_eq!(cbor, [0x42, 0x00, 0xff]);
        assert_eq!(ciborium::from_reader::<Blob, _>(&cbor[..]).unwrap(), blob);
        let chunks = [0x5f, 0x41, 0x00, 0x41, 0xff, 0xff];
        assert_eq!(ciborium::from_reader::<Blob, _>(&chunks[..]).unwrap(), blob);
        let long = Blob::from(vec![7; 100_000]);
        let mut cbor = Vec::new();
        ciborium::into_writer(&long, &mut cbor).unwrap();
        assert_eq!(ciborium::from_reader::<Blob, _>(&cbor[..]).unwrap(), long);
    }

    #[test]
    fn debug_shows_no_payload() {
        assert_eq!(format!("{:?}", Blob::from("secret")), "Blob(6 bytes)");
    }
}
