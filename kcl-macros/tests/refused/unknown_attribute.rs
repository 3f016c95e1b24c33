use kcl_core::prelude::*;

#[derive(RecordProcessor)]
#[processor(json, handlr = "departed", retries = 3)]
struct Delays;

fn main() {}
