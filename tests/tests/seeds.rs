//! Checks the inputs that fuzzing kept (`fuzz/seeds`) against the same properties in every test
//! run, on any toolchain.

#![cfg(test)]

#[path = "../../fuzz/properties/aggregate.rs"]
mod aggregate;
#[path = "../../fuzz/properties/answer.rs"]
mod answer;

use std::path::Path;

fn replay(target: &str, holds: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/seeds").join(target);
    let seeds: Vec<_> = std::fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert!(seeds.len() > 20, "{} seeds in {}", seeds.len(), folder.display());
    for seed in seeds {
        let bytes = std::fs::read(&seed).unwrap();
        if std::panic::catch_unwind(|| holds(&bytes)).is_err() {
            panic!("the property does not hold of {}", seed.display());
        }
    }
}

#[test]
fn every_kept_aggregate_is_taken_apart_as_protocol_buffers_say_or_comes_whole() {
    replay("aggregate", aggregate::holds);
}

#[test]
fn every_kept_answer_is_read_as_the_sdk_reads_it_or_refused() {
    replay("answer", answer::holds);
}
