//! The fast tier: the table in memory and the Kinesis engine called directly, as seats that each process has.

mod convert;
mod fan_out;
mod refusal;
mod stream;
mod table;

pub(crate) use stream::StreamSeat;
pub(crate) use table::{Sabotage, Table, TableSeat};
