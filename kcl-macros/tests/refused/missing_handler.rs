use kcl_core::prelude::*;

#[derive(RecordProcessor)]
#[processor(json)]
struct NoHandler;

#[derive(RecordProcessor)]
#[processor(handler = "departed")]
struct NoFormat;

#[derive(RecordProcessor)]
struct NoAttribute;

fn main() {}
