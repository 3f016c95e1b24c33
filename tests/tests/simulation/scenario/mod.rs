//! Named scenarios: given, when, then, a file each, with the transcript of what happened beside it (`golden/`).
//!
//! A transcript is compared to the letter. After a change that is meant: `SIM_BLESS=1 cargo test -p kcl-tests --test
//! simulation scenario`, then read the difference as a story.

mod r17_all_shards_of_a_stopped_worker;

use crate::invariant::{self, Facts};
use crate::world::transcript::transcript;
use crate::world::{Making, World, run};
use std::path::PathBuf;

/// Plays a scenario: no rule is broken in it, and it goes as its transcript says.
pub(crate) fn play<F: Future<Output = World>>(name: &str, making: Making, scenario: impl FnOnce(World) -> F) {
    let facts = run(async move {
        let world = scenario(World::new(making)).await;
        Facts::of(&world)
    });
    let broken = invariant::check(&facts);
    let story = transcript(&facts.events);
    assert!(broken.is_empty(), "{broken:#?}\n{story}");
    golden(name, &story);
}

fn golden(name: &str, story: &str) {
    let path: PathBuf =
        [env!("CARGO_MANIFEST_DIR"), "tests", "simulation", "scenario", "golden", &format!("{name}.txt")]
            .iter()
            .collect();
    if std::env::var_os("SIM_BLESS").is_some() {
        std::fs::write(&path, story).unwrap();
        return;
    }
    let known = std::fs::read_to_string(&path).unwrap_or_default();
    if known != story {
        let at = known.lines().zip(story.lines()).take_while(|(a, b)| a == b).count();
        let (was, is) = (known.lines().nth(at), story.lines().nth(at));
        panic!("{name} goes another way in line {}:\nknown: {was:?}\nnow:   {is:?}\n\n{story}", at + 1);
    }
}
