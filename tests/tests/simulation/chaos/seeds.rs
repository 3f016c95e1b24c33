//! Plays many seeds on every core and prints the command that repeats a failed one.

use super::play::play;
use super::script::{Kinds, Script};
use crate::invariant::{self, Facts, Violation};
use crate::world::manner::Manner;
use crate::world::transcript::transcript;
use crate::world::{Making, SecondStream, Tier, run};
use kcl_core::{Retrieval, Settings};
use std::fmt::Write;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

#[test]
fn no_schedule_of_the_model_breaks_a_rule() {
    every_seed("no_schedule_of_the_model", 100, |seed| play_one(Tier::Model, seed, Script::drawn(seed)));
}

#[test]
fn no_schedule_over_the_wire_breaks_a_rule() {
    every_seed("no_schedule_over_the_wire", 5, |seed| play_one(Tier::Wire, seed, Script::drawn_for_the_wire(seed)));
}

/// The same seed gives the same history, whatever the processes' clocks show.
#[test]
fn no_clock_that_differs_changes_what_happens() {
    let history = |seed: u64, clock_seed: u64| {
        let drawn = Script::drawn(seed);
        let kinds = Kinds { drift: false, clocks: false, ..drawn.kinds };
        run(play(Making { clock_seed, ..Making::new(seed, 3) }, Script { kinds, ..drawn })).events
    };
    for seed in 1..=3 {
        assert_eq!(invariant::i9::check(&history(seed, 1), &history(seed, 2)), [""; 0], "seed {seed}");
    }
}

#[test]
fn no_schedule_on_a_table_that_is_slow_to_read_breaks_a_rule() {
    every_seed("no_schedule_on_a_table", 40, |seed| play_one(Tier::Model, seed, Script::drawn_for_a_slow_table(seed)));
}

/// The processing mode of a seed.
fn manner(seed: u64) -> Manner {
    let rest = seed / 8;
    match seed % 8 {
        0 => Manner::PerKey,
        1 => Manner::Unordered,
        2 => Manner::Handles,
        3 => Manner::DeadLetters { names: rest.is_multiple_of(2), lanes: 1 },
        4 => Manner::DeadLetters { names: rest.is_multiple_of(2), lanes: 3 },
        5 => Manner::Quarantine { lanes: 1 },
        6 => Manner::Quarantine { lanes: 3 },
        _ => Manner::Database { sound: true },
    }
}

#[test]
fn no_manner_of_handling_breaks_a_rule() {
    every_seed("no_manner_of_handling", 80, |seed| {
        let (manner, shards) = (manner(seed), 2 + u32::try_from(seed % 3).unwrap());
        let making = Making { manner, ..Making::new(seed, shards) };
        run(play(making, Script::drawn_for(manner, seed)))
    });
}

#[test]
fn no_aggregate_breaks_a_rule() {
    every_seed("no_aggregate", 40, |seed| {
        let (manner, shards) = (manner(seed), 2 + u32::try_from(seed % 3).unwrap());
        let retrieval = if seed % 3 == 0 { Retrieval::Auto } else { Retrieval::Polling };
        let settings = Settings::default().retrieval(retrieval);
        let making = Making { manner, settings, packs: true, ..Making::new(seed, shards) };
        run(play(making, Script::drawn_for(manner, seed)))
    });
}

#[test]
fn no_way_of_reading_breaks_a_rule() {
    every_seed("no_way_of_reading", 60, |seed| {
        let retrieval = if seed % 2 == 0 { Retrieval::Auto } else { Retrieval::FanOut };
        let (tier, shards) =
            (if seed % 10 == 4 { Tier::Wire } else { Tier::Model }, 2 + u32::try_from(seed % 3).unwrap());
        let settings = Settings::default().retrieval(retrieval);
        let making = Making { tier, settings, ..Making::new(seed, shards) };
        run(play(making, Script::drawn_for_the_wire(seed)))
    });
}

/// A world of two streams of one name in two accounts, each with its own retrieval.
pub(crate) fn two_streams(seed: u64) -> Making {
    const WAYS: [Retrieval; 3] = [Retrieval::Polling, Retrieval::Auto, Retrieval::FanOut];
    let n = |seed: u64| usize::try_from(seed % 3).unwrap();
    let shards = |seed: u64| 1 + u32::try_from(seed % 4).unwrap();
    let second = Some(SecondStream { shards: shards(seed / 4), retrieval: [WAYS[n(seed)], WAYS[n(seed / 3)]] });
    let settings = Settings::default().shard_sync_interval(Duration::from_secs(5));
    Making { second, settings, ..Making::new(seed, shards(seed)) }
}

#[test]
fn no_schedule_of_two_streams_breaks_a_rule() {
    every_seed("no_schedule_of_two_streams", 60, |seed| run(play(two_streams(seed), Script::drawn_for_streams(seed))));
}

#[test]
fn planned_moves_without_faults_repeat_nothing() {
    every_seed("planned_moves", 10, |seed| {
        let tier = if seed % 5 == 0 { Tier::Wire } else { Tier::Model };
        play_one(tier, seed, Script::planned(seed))
    });
}

#[test]
fn planned_moves_by_fan_out_repeat_nothing() {
    every_seed("planned_moves_by_fan_out", 10, |seed| {
        let retrieval = if seed % 2 == 0 { Retrieval::Auto } else { Retrieval::FanOut };
        let tier = if seed % 5 == 0 { Tier::Wire } else { Tier::Model };
        let making = Making { tier, settings: Settings::default().retrieval(retrieval), ..Making::new(seed, 3) };
        run(play(making, Script::planned(seed)))
    });
}

#[test]
fn planned_moves_of_two_streams_repeat_nothing() {
    every_seed("planned_moves_of_two_streams", 10, |seed| {
        let planned = Script::planned(seed);
        let script = Script { kinds: Kinds { streams: true, ..planned.kinds }, ..planned };
        run(play(two_streams(seed), script))
    });
}

#[test]
fn the_same_seed_twice_gives_the_same_history() {
    for (tier, seed) in [(Tier::Model, 1), (Tier::Model, 2), (Tier::Model, 3), (Tier::Wire, 1), (Tier::Wire, 2)] {
        let [once, twice] = [(); 2].map(|()| play_one(tier, seed, Script::drawn_for_the_wire(seed)));
        assert_eq!(once.events.len(), twice.events.len(), "seed {seed}");
        let differ = once.events.iter().zip(&twice.events).find(|(a, b)| a != b);
        assert_eq!(differ, None, "seed {seed}");
    }
}

#[test]
fn the_same_seed_of_two_streams_gives_the_same_history() {
    for seed in 1..=6 {
        let [once, twice] = [(); 2].map(|()| run(play(two_streams(seed), Script::drawn_for_streams(seed))).events);
        assert_eq!(once.len(), twice.len(), "seed {seed}");
        let differ = once.iter().zip(&twice).find(|(a, b)| a != b);
        assert_eq!(differ, None, "seed {seed}");
    }
}

fn play_one(tier: Tier, seed: u64, script: Script) -> Facts {
    let shards = 2 + u32::try_from(seed % 3).unwrap();
    run(play(Making { tier, ..Making::new(seed, shards) }, script))
}

/// Plays `usual` seeds, unless the environment gives a number and a first seed. Prints the whole
/// transcript of a single seed that fails.
fn every_seed(test: &str, usual: u64, play: impl Fn(u64) -> Facts + Sync) {
    let number = |name: &str, otherwise| std::env::var(name).map_or(otherwise, |text| text.parse().unwrap());
    let (seeds, from) = (number("SIM_SEEDS", usual), number("SIM_FROM", 1));
    let (next, failed) = (AtomicU64::new(from), Mutex::new(Vec::<(u64, Vec<Violation>)>::new()));
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            threads.spawn(|| {
                loop {
                    let seed = next.fetch_add(1, Ordering::Relaxed);
                    if seed >= from + seeds {
                        return;
                    }
                    let facts = play(seed);
                    let broken = invariant::check(&facts);
                    if !broken.is_empty() {
                        if seeds == 1 {
                            println!("{}", transcript(&facts.events));
                            if std::env::var_os("SIM_RAW").is_some() {
                                facts.events.iter().for_each(|event| println!("{event:?}"));
                            }
                        }
                        failed.lock().unwrap().push((seed, broken));
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
