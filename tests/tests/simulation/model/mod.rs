//! The fast tier: an in-memory table and the Kinesis engine, called directly; each process has a
//! client of both.

mod convert;
mod fan_out;
mod refusal;
mod stream;
mod table;

pub(crate) use stream::StreamSeat;
pub(crate) use table::{Sabotage, Table, TableSeat};
