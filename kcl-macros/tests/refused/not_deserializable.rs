use kcl_core::prelude::*;

struct Flight {
    carrier: String,
}

#[derive(RecordProcessor)]
#[processor(json, handler = "departed")]
struct Delays;

impl Delays {
    async fn departed(&mut self, _: Flight, _: &RecordMeta) -> Result<(), BoxError> {
        Ok(())
    }
}

fn main() {}
