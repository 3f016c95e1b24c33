//! A timestamp member: decimal epoch seconds in JSON, tagged integer epoch milliseconds in CBOR.

use std::fmt;

use ciborium::tag::{Captured, Required};
use serde::de::{self, Deserialize, Deserializer, Visitor};
use serde::ser::{Serialize, Serializer};

use crate::kinesis::EngineTime;

/// CBOR's tag for an epoch-based time. AWS uses milliseconds; the CBOR standard has seconds.
const EPOCH_TIME: u64 = 1;

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Timestamp(pub i64);

impl From<EngineTime> for Timestamp {
    fn from(time: EngineTime) -> Self {
        Self(time.millis())
    }
}

impl From<Timestamp> for EngineTime {
    fn from(timestamp: Timestamp) -> Self {
        Self::from_millis(timestamp.0)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            // A double has three decimals for any date (2^53 ms are 285,000 years), and prints
            // without an exponent.
            serializer.serialize_f64(self.0 as f64 / 1000.0)
        } else {
            Required::<i64, EPOCH_TIME>(self.0).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        if deserializer.is_human_readable() {
            deserializer.deserialize_any(Number { millis_per_unit: 1000 }).map(Self)
        } else {
            // Any tag or none is accepted; only the number counts.
            let Captured(_tag, Millis(millis)) = Captured::deserialize(deserializer)?;
            Ok(Self(millis))
        }
    }
}

struct Millis(i64);

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Number { millis_per_unit: 1 }).map(Self)
    }
}

struct Number {
    millis_per_unit: i32,
}

impl Visitor<'_> for Number {
    type Value = i64;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a time as a number")
    }

    fn visit_i64<E: de::Error>(self, units: i64) -> Result<i64, E> {
        Ok(units.saturating_mul(i64::from(self.millis_per_unit)))
    }

    fn visit_u64<E: de::Error>(self, units: u64) -> Result<i64, E> {
        self.visit_i64(i64::try_from(units).unwrap_or(i64::MAX))
    }

    fn visit_f64<E: de::Error>(self, units: f64) -> Result<i64, E> {
        if !units.is_finite() {
            return Err(E::custom("a time must be finite"));
        }
        Ok((units * f64::from(self.millis_per_unit)).round() as i64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ciborium::Value;

    fn cbor(value: &Value) -> Vec<u8> {
        let mut bytes = Vec::new();
        ciborium::into_writer(value, &mut bytes).unwrap();
        bytes
    }

    fn from_cbor(value: &Value) -> i64 {
        ciborium::from_reader::<Timestamp, _>(&cbor(value)[..]).unwrap().0
    }

    #[test]
    fn json_is_plain_decimal_seconds() {
        for (millis, text) in [
            (1_506_440_188_749, "1506440188.749"),
            (1_506_440_188_000, "1506440188.0"),
            (1, "0.001"),
            (0, "0.0"),
            (253_402_300_799_999, "253402300799.999"),
        ] {
            assert_eq!(serde_json::to_string(&Timestamp(millis)).unwrap(), text);
            assert_eq!(serde_json::from_str::<Timestamp>(text).unwrap(), Timestamp(millis));
        }
        assert_eq!(serde_json::from_str::<Timestamp>("1506440188").unwrap(), Timestamp(1_506_440_188_000));
        assert_eq!(serde_json::from_str::<Timestamp>("1.506440188749E9").unwrap(), Timestamp(1_506_440_188_749));
        assert!(serde_json::from_str::<Timestamp>("\"yesterday\"").is_err());
    }

    #[test]
    fn cbor_is_tag_one_and_integer_milliseconds() {
        let mut bytes = Vec::new();
        ciborium::into_writer(&Timestamp(1_506_440_188_749), &mut bytes).unwrap();
        assert_eq!(bytes, cbor(&Value::Tag(1, Box::new(Value::from(1_506_440_188_749_i64)))));
        assert_eq!(ciborium::from_reader::<Timestamp, _>(&bytes[..]).unwrap(), Timestamp(1_506_440_188_749));
    }

    #[test]
    fn cbor_is_read_with_and_without_the_tag_as_integer_or_float() {
        assert_eq!(from_cbor(&Value::from(1_506_440_188_749_i64)), 1_506_440_188_749);
        assert_eq!(from_cbor(&Value::from(1_506_440_188_749.4)), 1_506_440_188_749);
        assert_eq!(from_cbor(&Value::Tag(1, Box::new(Value::from(1_506_440_188_749.0)))), 1_506_440_188_749);
        assert_eq!(from_cbor(&Value::from(-5)), -5);
    }
}
