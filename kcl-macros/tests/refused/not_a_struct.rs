use kcl_core::prelude::*;

#[derive(RecordProcessor)]
#[processor(json, handler = "departed")]
enum Delays {
    Departures,
    Arrivals,
}

#[derive(RecordProcessor)]
#[processor(json, handler = "departed")]
struct Borrowing<'a>(&'a str);

fn main() {}
