//! Packs records as they come, for other languages' deaggregators to read (`tests/clients/run`).
//!
//! Reads lines of JSON from its standard input: a record, `[partition key, explicit hash key or null, payload in hexadecimal
//! digits]`, or `null`, which ends an aggregate as a full one does. Writes one line for each aggregate: `{"data", "partition_key",
//! "explicit_hash_key", "records"}`.

use kcl_core::record::aggregate::Aggregator;
use std::error::Error;
use std::io::{BufRead, Write};

type Packed = (String, Option<String>, String);

fn bytes(hex: &str) -> Result<Vec<u8>, Box<dyn Error>> {
    let pair = |pair: &[u8]| Ok(u8::from_str_radix(std::str::from_utf8(pair)?, 16)?);
    hex.as_bytes().chunks(2).map(pair).collect()
}

fn put(aggregator: &mut Aggregator) -> Result<(), Box<dyn Error>> {
    let Some(packed) = aggregator.finish() else { return Ok(()) };
    let line = serde_json::json!({
        "data": packed.data.iter().map(|byte| format!("{byte:02x}")).collect::<String>(),
        "partition_key": packed.partition_key,
        "explicit_hash_key": packed.explicit_hash_key.map(|key| key.to_string()),
        "records": packed.records,
    });
    Ok(writeln!(std::io::stdout(), "{line}")?)
}

fn main() -> Result<(), Box<dyn Error>> {
    let mut aggregator = Aggregator::default();
    for line in std::io::stdin().lock().lines() {
        let Some((key, hash_key, data)) = serde_json::from_str::<Option<Packed>>(&line?)? else {
            put(&mut aggregator)?;
            continue;
        };
        let (hash_key, data) = (hash_key.map(|key| key.parse()).transpose()?, bytes(&data)?);
        if aggregator.add(&key, hash_key, &data).is_err() {
            put(&mut aggregator)?;
            aggregator.add(&key, hash_key, &data)?;
        }
    }
    put(&mut aggregator)
}
