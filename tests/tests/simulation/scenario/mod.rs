//! Named scenarios: given, when, then, a file each, with a transcript of the events (`golden/`).
//!
//! Transcripts are compared literally. After an intended change: `SIM_BLESS=1 cargo test -p
//! kcl-tests --test simulation scenario`, then read the difference as a story.

mod lists_that_fail_or_are_wrong;
mod r01_a_record_that_always_fails;
mod r02_a_policy_that_stops;
mod r03_a_read_that_is_never_answered;
mod r05_the_leader_is_killed;
mod r06_a_leader_that_cannot_plan;
mod r07_the_end_of_a_shard_nobody_mentions;
mod r08_an_end_with_records_in_flight;
mod r09_a_handler_that_never_returns;
mod r11_a_checkpoint_without_an_answer;
mod r12_two_reshards_during_an_old_list;
mod r13_a_crash_between_parent_and_children;
mod r14_a_list_that_fails_midway;
mod r16_clocks_that_differ_and_jump;
mod r17_all_shards_of_a_stopped_worker;
mod r19_a_checkpoint_after_the_end;
mod r20_a_stop_in_every_phase;
mod r22_a_redeploy_while_the_old_subscription_lives;
mod r24_subscriptions_that_break_in_every_way;
mod r25_full_answers_and_slow_handlers;
mod r27_latest_means_one_instant;
mod r29_a_failure_at_every_step_of_a_start;
mod r30_a_permission_that_is_missing;
mod r32_a_balanced_fleet_rests;
mod r33_rows_and_attributes_of_others;
mod r35_a_lineage_with_a_trimmed_ancestor;
mod r37_the_table_of_another_stream;
mod review;
mod rows_changed_by_hand;
mod settings_of_a_fleet;
mod slow_tables;
mod two_streams;

use crate::invariant::{self, Facts};
use crate::world::transcript::transcript;
use crate::world::{Making, World, run};
use std::path::PathBuf;

/// Plays a scenario, checks every invariant, and compares the transcript.
pub(crate) fn play<F: Future<Output = World>>(name: &str, making: Making, scenario: impl FnOnce(World) -> F) {
    let world = run(async move { scenario(World::new(making)).await });
    golden(name, &checked(name, world));
}

/// Checks every invariant in this world and returns its transcript.
fn checked(name: &str, world: World) -> String {
    let facts = Facts::of(&world);
    let (broken, story) = (invariant::check(&facts), transcript(&facts.events));
    assert!(broken.is_empty(), "{name}: {broken:#?}\n{story}");
    story
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
