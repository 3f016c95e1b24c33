//! Plays many seeds, on every core, and tells of those that failed how to play them again.

use super::play::play;
use super::script::Script;
use crate::invariant::{self, Violation};
use crate::world::{Making, run};
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

#[test]
fn no_schedule_of_the_model_breaks_a_rule() {
    every_seed("no_schedule_of_the_model", 100, |seed| play_one(seed, Script::drawn(seed)));
}

#[test]
fn planned_moves_without_faults_repeat_nothing() {
    every_seed("planned_moves", 10, |seed| play_one(seed, Script::planned(seed)));
}

fn play_one(seed: u64, script: Script) -> Vec<Violation> {
    let shards = 2 + u32::try_from(seed % 3).unwrap();
    run(async move { invariant::check(&play(Making::new(seed, shards), script).await) })
}

/// Plays these seeds: `usual` many of them, unless the environment says how many, and from which on.
fn every_seed(test: &str, usual: u64, play: impl Fn(u64) -> Vec<Violation> + Sync) {
    let number = |name: &str, otherwise| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let (seeds, from) = (number("SIM_SEEDS", usual), number("SIM_FROM", 1));
    let (next, failed) = (AtomicU64::new(from), Mutex::new(Vec::new()));
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            threads.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        return;
                    }
                    let broken = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| play(seed)));
                    match broken {
                        Ok(broken) if broken.is_empty() => {}
                        Ok(broken) => failed.lock().unwrap().push((seed, broken)),
                        Err(_) => failed.lock().unwrap().push((seed, vec![])),
                    }
                }
            });
        }
    });
    let mut failed = failed.into_inner().unwrap();
    failed.sort_by_key(|(seed, _)| *seed);
    let mut report = String::new();
    for (seed, broken) in &failed {
        let _ =
            writeln!(report, "SIM_SEEDS=1 SIM_FROM={seed} cargo test --release -p kcl-tests --test simulation {test}");
        for violation in broken.iter().take(6) {
            let _ = writeln!(report, "  {violation}");
        }
    }
    assert!(failed.is_empty(), "{} of {seeds} seeds failed:\n{report}", failed.len());
}
