//! The type of a flight, as a row of the file and as a record of the stream.

use serde::{Deserialize, Deserializer, Serialize};

/// A flight. The file has more columns; the others are ignored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Flight {
    /// The scheduled hour of departure, in UTC.
    pub(crate) time_hour: String,
    /// The two-letter code of the airline.
    pub(crate) carrier: String,
    /// The flight number.
    pub(crate) flight: u32,
    /// The tail number of the aircraft. `None` if the flight was cancelled before it had one.
    #[serde(deserialize_with = "optional")]
    pub(crate) tailnum: Option<String>,
    pub(crate) origin: String,
    pub(crate) dest: String,
    /// Departure delay in minutes. `None` if the flight was cancelled.
    #[serde(deserialize_with = "optional")]
    pub(crate) dep_delay: Option<f64>,
    /// Arrival delay in minutes. `None` if the flight was cancelled or diverted.
    #[serde(deserialize_with = "optional")]
    pub(crate) arr_delay: Option<f64>,
}

impl Flight {
    /// The tail number, so that the flights of an aircraft stay in order.
    ///
    /// Flights without a tail number use the flight number: with one common key they would all be
    /// in one shard.
    pub(crate) fn partition_key(&self) -> String {
        self.tailnum.clone().unwrap_or_else(|| format!("{}{}", self.carrier, self.flight))
    }
}

/// Reads an optional value from the file (text; empty or `NA` means none) or from a record (JSON;
/// `null` means none).
fn optional<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
where
    T: Deserialize<'de> + std::str::FromStr<Err: std::fmt::Display>,
    D: Deserializer<'de>,
{
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Value<T> {
        Text(String),
        Typed(Option<T>),
    }
    match Value::<T>::deserialize(deserializer)? {
        Value::Typed(value) => Ok(value),
        Value::Text(text) if text.is_empty() || text == "NA" => Ok(None),
        Value::Text(text) => text.parse().map(Some).map_err(serde::de::Error::custom),
    }
}
