use kcl_core::prelude::*;

#[derive(serde::Deserialize)]
struct Flight {
    carrier: String,
}

#[derive(RecordProcessor)]
#[processor(json, handler = "departd", shard_ended = "finished")]
struct Delays;

impl Delays {
    async fn departed(&mut self, _: Flight, _: &RecordMeta) -> Result<(), BoxError> {
        Ok(())
    }
}

fn main() {}
