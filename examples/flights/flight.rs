//! A flight, as the file has it and as the stream carries it.

use serde::{Deserialize, Deserializer, Serialize};

/// One departure. Of the file's columns those that a consumer may want; the others are passed over.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Flight {
    /// The hour it was scheduled for, in UTC.
    pub(crate) time_hour: String,
    /// The airline, by its two-letter code.
    pub(crate) carrier: String,
    /// The flight's number.
    pub(crate) flight: u32,
    /// The aeroplane; absent where a flight was cancelled before one was assigned.
    #[serde(deserialize_with = "known")]
    pub(crate) tailnum: Option<String>,
    pub(crate) origin: String,
    pub(crate) dest: String,
    /// Minutes late at departure; absent where the flight was cancelled.
    #[serde(deserialize_with = "known")]
    pub(crate) dep_delay: Option<f64>,
    /// Minutes late at arrival; absent where the flight was cancelled or diverted.
    #[serde(deserialize_with = "known")]
    pub(crate) arr_delay: Option<f64>,
}

impl Flight {
    /// An aeroplane's flights stay in order. Those without one would all meet in a single shard if they shared a key.
    pub(crate) fn partition_key(&self) -> String {
        self.tailnum.clone().unwrap_or_else(|| format!("{}{}", self.carrier, self.flight))
    }
}

/// A value of the file (text, where `NA` and nothing mean that it is not known) or of a record (JSON, where `null` does).
fn known<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
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
