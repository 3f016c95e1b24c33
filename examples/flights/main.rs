//! Flights example.
fn main() {}
