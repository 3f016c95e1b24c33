//! The invariants, a file each. A check reads the whole history of a world and returns violations.

pub(crate) mod belongs;
pub(crate) mod done;
pub(crate) mod ends;
pub(crate) mod exactly_once;
pub(crate) mod i1;
pub(crate) mod i2;
pub(crate) mod i3;
pub(crate) mod i4;
pub(crate) mod i5;
pub(crate) mod i6;
pub(crate) mod i7;
pub(crate) mod i8;
pub(crate) mod i9;
pub(crate) mod l1;
pub(crate) mod numbers;
pub(crate) mod plain;
pub(crate) mod promise1;
pub(crate) mod promise2;
pub(crate) mod promise3;
pub(crate) mod quarantine;
pub(crate) mod serves;
mod state;

use crate::world::World;
use crate::world::clock::ProcessClock;
use crate::world::history::{Event, Name};
use crate::world::manner::Manner;
use kcl_core::record::Position;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

/// A history, and the facts needed to check it.
#[derive(Debug)]
pub(crate) struct Facts {
    pub(crate) events: Vec<Event>,
    pub(crate) clocks: BTreeMap<Name, Arc<ProcessClock>>,
    pub(crate) failover_time: Duration,
    pub(crate) java_failover_time: Duration,
    pub(crate) manner: Manner,
    /// No faults in this world: every move was planned.
    pub(crate) planned: bool,
    /// Every process was stopped in an orderly way in the end.
    pub(crate) stopped: bool,
}

impl Facts {
    pub(crate) fn of(world: &World) -> Self {
        Facts {
            events: world.history.all(),
            clocks: world.clocks(),
            failover_time: world.settings().failover_time,
            java_failover_time: world.settings().java_failover_time,
            manner: world.manner(),
            planned: false,
            stopped: false,
        }
    }

    /// The process's clock at that true time.
    fn clock(&self, process: &Name, at: Duration) -> Duration {
        self.clocks.get(process).map_or(at, |clock| clock.at(at))
    }
}

/// One rule: its id and its check.
pub(crate) type Check = fn(&Facts) -> Vec<String>;

/// Every rule that can be checked against one history. (I9 needs two.)
pub(crate) const ALL: [(&str, Check); 19] = [
    ("I1", i1::check),
    ("I2", i2::check),
    ("I3", i3::check),
    ("I4", i4::check),
    ("I5", i5::check),
    ("I6", i6::check),
    ("I7", i7::check),
    ("I8", i8::check),
    ("L1", l1::check),
    ("promise 1", promise1::check),
    ("promise 2", promise2::check),
    ("promise 3", promise3::check),
    ("quarantine", quarantine::check),
    ("exactly once", exactly_once::check),
    ("belongs", belongs::check),
    ("serves", serves::check),
    ("numbers", numbers::check),
    ("plain", plain::check),
    ("ends", ends::check),
];

/// A violation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Violation {
    pub(crate) id: &'static str,
    pub(crate) what: String,
}

impl std::fmt::Display for Violation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", self.id, self.what)
    }
}

/// All violations.
pub(crate) fn check(facts: &Facts) -> Vec<Violation> {
    let of = |(id, check): &(&'static str, Check)| -> Vec<Violation> {
        check(facts).into_iter().map(|what| Violation { id, what }).collect()
    };
    ALL.iter().flat_map(of).collect()
}

/// A record's position: its sequence number, and its index in an aggregate.
fn place(position: &Position) -> (&str, u64) {
    (position.sequence_number.as_str(), position.sub_sequence_number)
}

fn seconds(at: Duration) -> String {
    format!("{:.3}s", at.as_secs_f64())
}
