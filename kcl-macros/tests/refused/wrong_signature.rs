use kcl_core::prelude::*;

#[derive(serde::Deserialize)]
struct Flight {
    carrier: String,
}

#[derive(RecordProcessor)]
#[processor(json, handler = "departed")]
struct NotAsync;

impl NotAsync {
    fn departed(&mut self, _: Flight, _: &RecordMeta) -> Result<(), BoxError> {
        Ok(())
    }
}

#[derive(RecordProcessor)]
#[processor(json, handler = "departed")]
struct NoMeta;

impl NoMeta {
    async fn departed(&mut self, _: Flight) -> Result<(), BoxError> {
        Ok(())
    }
}

#[derive(RecordProcessor)]
#[processor(json, handler = "departed")]
struct NoResult;

impl NoResult {
    async fn departed(&mut self, _: Flight, _: &RecordMeta) {}
}

#[derive(RecordProcessor)]
#[processor(json, handler = "departed", shard_ended = "ended")]
struct NoShard;

impl NoShard {
    async fn departed(&mut self, _: Flight, _: &RecordMeta) -> Result<(), BoxError> {
        Ok(())
    }

    async fn ended(&mut self) -> Result<(), BoxError> {
        Ok(())
    }
}

fn main() {}
