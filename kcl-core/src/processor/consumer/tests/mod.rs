//! Tests whole consumers under virtual time.

mod exactly_once;
mod failing;
mod handles;
mod lanes;
mod manual;
mod quarantine;
mod serial;
mod stage;
mod stored;
