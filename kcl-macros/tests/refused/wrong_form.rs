use kcl_core::prelude::*;

#[derive(RecordProcessor)]
#[processor(json, handler = departed)]
struct Bare;

#[derive(RecordProcessor)]
#[processor(json, handler(departed))]
struct Call;

#[derive(RecordProcessor)]
#[processor(json, handler)]
struct Alone;

#[derive(RecordProcessor)]
#[processor(json, handler = "self.departed", initialize = 5, crate = "no path")]
struct NoName;

#[derive(RecordProcessor)]
#[processor(json = true, handler = "departed", handler = "arrived")]
struct Twice;

#[derive(RecordProcessor)]
#[processor(json; handler = "departed")]
struct Unreadable;

fn main() {}
