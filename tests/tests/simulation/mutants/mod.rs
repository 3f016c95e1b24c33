//! Every rule, broken on purpose: the check that is named after it must notice within a few plays.

use crate::chaos::play::play;
use crate::chaos::script::{Kinds, Script};
use crate::chaos::seeds::two_streams;
use crate::invariant::{self, Facts, Violation};
use crate::model::Sabotage;
use crate::world::handler::Mood;
use crate::world::history::Fact;
use crate::world::manner::Manner;
use crate::world::weather::{Fate, Odds};
use crate::world::{Making, World, run};
use kcl_core::lease::row::CheckpointExtras;
use kcl_core::lease::{Lease, Row, RowKey, Write};
use kcl_core::mutant::Mutant;
use kcl_core::record::Checkpoint;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::time::Duration;

/// Plays at most `most` seeds until a check notices. Returns the number of plays, and which checks
/// noticed.
fn noticed(id: &str, most: u64, script: impl Fn(u64) -> Script, sabotage: Option<Sabotage>) {
    noticed_in(Manner::Plain, id, most, script, sabotage);
}

fn noticed_in(manner: Manner, id: &str, most: u64, script: impl Fn(u64) -> Script, sabotage: Option<Sabotage>) {
    let making = |seed| Making { manner, ..Making::new(seed, 2 + u32::try_from(seed % 3).unwrap()) };
    noticed_made(making, id, most, script, sabotage);
}

/// In worlds of two streams that are removed and added.
fn noticed_between_streams(id: &str, most: u64, sabotage: Option<Sabotage>) {
    let script = |seed| Script { kinds: Kinds { streams: true, vanishing: true, ..rough(seed).kinds }, ..rough(seed) };
    noticed_made(two_streams, id, most, script, sabotage);
}

fn broken_between_streams(mutant: Mutant, id: &str, most: u64) {
    let _broken = mutant.begin();
    noticed_between_streams(id, most, None);
}

fn noticed_made(
    making: impl Fn(u64) -> Making,
    id: &str,
    most: u64,
    script: impl Fn(u64) -> Script,
    sabotage: Option<Sabotage>,
) {
    let mut others: Vec<Violation> = Vec::new();
    for seed in 1..=most {
        let broken = invariant::check(&run(play(Making { sabotage, ..making(seed) }, script(seed))));
        if broken.iter().any(|violation| violation.id == id) {
            return;
        }
        others.extend(broken);
    }
    let others: Vec<String> = others.iter().take(5).map(ToString::to_string).collect();
    panic!("{id} was not noticed in {most} plays; what was: {others:#?}");
}

fn broken(mutant: Mutant, id: &str, most: u64, script: impl Fn(u64) -> Script) {
    let _broken = mutant.begin();
    noticed(id, most, script, None);
}

/// A broken rule of record processing, with failing handlers and poison records.
fn mishandled(mutant: Mutant, manner: Manner, id: &str, most: u64) {
    let _broken = mutant.begin();
    let rough = |seed| Script {
        kinds: Kinds { kills: true, stops: true, ..Script::drawn(seed).kinds },
        ..Script::drawn_for(manner, seed)
    };
    noticed_in(manner, id, most, rough, None);
}

/// All kinds of faults at once.
fn rough(seed: u64) -> Script {
    let drawn = Script::drawn(seed);
    let kinds =
        Kinds { kills: true, freezes: true, cuts: true, stops: true, reshards: true, faults: true, ..drawn.kinds };
    let odds = Odds { lost: 15, throttled: 5, late: 15, slow: 10, stale: 50, broken: 5, refused: 0, wrong: 0 };
    Script { kinds, odds, ..drawn }
}

/// Like `rough`, with handlers and shutdowns that take seconds.
fn slow(seed: u64) -> Script {
    let mood = Mood { longest: Duration::from_secs(3), farewell: Duration::from_secs(8), ..Mood::default() };
    Script { mood, ..rough(seed) }
}

#[test]
fn i1_a_gate_that_never_shuts_is_noticed() {
    broken(Mutant::GateNeverShuts, "I1", 40, rough);
}

#[test]
fn i1_an_owner_that_counts_longer_than_everyone_else_is_noticed() {
    broken(Mutant::OwnerCountsTooLong, "I1", 40, rough);
}

#[test]
fn i1_a_gate_that_is_asked_too_late_is_noticed() {
    broken(Mutant::DeliversOnceMore, "I1", 40, rough);
}

#[test]
fn i1_a_heartbeat_that_counts_from_its_answer_is_noticed() {
    broken(Mutant::TrustsFromReceipt, "I1", 60, rough);
}

#[test]
fn i2_a_plan_that_takes_from_the_living_is_noticed() {
    broken(Mutant::TakesFromTheLiving, "I2", 10, rough);
}

#[test]
fn i3_a_fence_after_a_third_of_the_time_is_noticed() {
    broken(Mutant::FencesTooEarly, "I3", 40, rough);
}

#[test]
fn i5_an_end_before_the_children_is_noticed() {
    broken(Mutant::EndsBeforeChildren, "I5", 20, rough);
}

#[test]
fn i5_children_that_do_not_wait_are_noticed() {
    broken(Mutant::ChildrenDoNotWait, "I5", 40, rough);
}

#[test]
fn i5_a_merge_without_the_other_parent_is_noticed() {
    broken(Mutant::MergesAlone, "I5", 20, rough);
}

#[test]
fn i6_an_end_before_all_is_acknowledged_is_noticed() {
    broken(Mutant::EndsUnacknowledged, "I6", 20, rough);
}

#[test]
fn i7_obeying_any_plan_is_noticed() {
    broken(Mutant::ObeysAnyPlan, "I7", 40, |seed| {
        let script = rough(seed);
        Script { kinds: Kinds { plans: true, ..script.kinds }, ..script }
    });
}

#[test]
fn i2_orphaned_leases_that_are_claimed_at_once_are_noticed() {
    broken(Mutant::FreesOrphansEarly, "I2", 40, |seed| {
        let script = rough(seed);
        Script { kinds: Kinds { tampering: true, ..script.kinds }, ..script }
    });
}

#[test]
fn i8_consumers_that_overlap_are_noticed() {
    broken(Mutant::ConsumersOverlap, "I8", 200, slow);
}

#[test]
fn l1_claims_that_are_forgotten_are_noticed() {
    broken(Mutant::ForgetsClaims, "L1", 60, rough);
}

#[test]
fn l1_orphans_that_stay_are_noticed() {
    broken(Mutant::OrphansStay, "L1", 60, |seed| {
        let script = rough(seed);
        Script { kinds: Kinds { tampering: true, ..script.kinds }, ..script }
    });
}

#[test]
fn promise1_acknowledging_early_is_noticed() {
    broken(Mutant::AcknowledgesEarly, "promise 1", 20, slow);
}

#[test]
fn i6_one_list_that_is_trusted_is_noticed() {
    broken(Mutant::TrustsOneList, "I6", 40, |seed| {
        let script = rough(seed);
        Script { odds: Odds { wrong: 20, ..script.odds }, ..script }
    });
}

#[test]
fn promise2_a_release_without_a_checkpoint_is_noticed() {
    broken(Mutant::ReleasesWithoutCheckpoint, "promise 2", 20, Script::planned);
}

#[test]
fn promise3_children_that_do_not_wait_are_noticed() {
    broken(Mutant::ChildrenDoNotWait, "promise 3", 60, rough);
}

#[test]
fn promise1_gaps_that_are_ignored_are_noticed() {
    for manner in [Manner::PerKey, Manner::Unordered, Manner::Handles] {
        mishandled(Mutant::IgnoresGaps, manner, "promise 1", 20);
    }
}

#[test]
fn promise1_parked_records_that_no_row_names_are_noticed() {
    mishandled(Mutant::ForgetsParked, Manner::Quarantine { lanes: 3 }, "promise 1", 20);
}

#[test]
fn promise3_keys_that_change_lanes_are_noticed() {
    mishandled(Mutant::KeysWander, Manner::PerKey, "promise 3", 20);
}

#[test]
fn quarantine_that_forgets_before_it_is_done_is_noticed() {
    mishandled(Mutant::UnparksEarly, Manner::Quarantine { lanes: 1 }, "quarantine", 40);
}

#[test]
fn effects_without_positions_in_one_transaction_are_noticed() {
    let manner = Manner::Database { sound: false };
    noticed_in(manner, "exactly once", 20, |seed| Script::drawn_for(manner, seed), None);
}

#[test]
fn serving_is_noticed_to_be_disregarded_by_a_plan() {
    broken_between_streams(Mutant::PlansForAnyone, "serves", 20);
}

#[test]
fn streams_that_are_mixed_up_are_noticed() {
    broken_between_streams(Mutant::ReadsTheFirstStream, "belongs", 20);
}

#[test]
fn a_stream_that_is_taken_for_the_one_before_it_is_noticed() {
    broken_between_streams(Mutant::TrustsNames, "belongs", 80);
}

#[test]
fn i9_clocks_that_are_compared_are_noticed() {
    let history = |clock_seed: u64| {
        let making = Making { clock_seed, ..Making::new(3, 3) };
        run(play(making, Script { kinds: Kinds { drift: false, clocks: false, ..rough(3).kinds }, ..rough(3) })).events
    };
    assert_eq!(invariant::i9::check(&history(1), &history(2)), [""; 0], "whatever the clocks show, the same happens");
    let _broken = Mutant::ComparesClocks.begin();
    assert_eq!(invariant::i9::check(&history(1), &history(2)).len(), 1);
}

// --- the table's own conditions

#[test]
fn i2_a_claim_that_ignores_the_counter_is_noticed() {
    noticed("I2", 60, rough, Some(claim_at_any_counter));
}

/// Executes a claim at any counter, over any owner.
fn claim_at_any_counter(write: Write, row: Option<&Row>) -> Write {
    match (write, row.and_then(Row::as_lease)) {
        (Write::Claim { lease, me, stream, start_ms, .. }, Some(row)) => {
            let (counter, from) = (row.counter, row.owner.clone().into());
            Write::Claim { lease, counter, from, me, stream, start_ms }
        }
        (write, _) => write,
    }
}

#[test]
fn promise1_a_checkpoint_of_the_other_streams_shard_is_noticed() {
    noticed_between_streams("promise 1", 20, Some(checkpoint_of_the_other));
}

/// A checkpoint stores the last one of the other stream's shard of the same name.
fn checkpoint_of_the_other(write: Write, row: Option<&Row>) -> Write {
    thread_local! {
        static LAST: RefCell<BTreeMap<(String, String), (Checkpoint, CheckpointExtras)>> = RefCell::default();
    }
    match (write, row.and_then(Row::as_lease)) {
        (Write::Checkpoint { lease, me, counter, checkpoint, extras }, Some(row)) => LAST.with_borrow_mut(|last| {
            let (own, shard) = (row.stream_name.clone().unwrap().to_string(), row.shard.to_string());
            last.insert((own.clone(), shard.clone()), (checkpoint.clone(), extras.clone()));
            let other = last.iter().find(|((stream, of), _)| *of == shard && stream[..12] != own[..12]);
            let (checkpoint, extras) = other.map_or((checkpoint, extras), |(_, other)| other.clone());
            Write::Checkpoint { lease, me, counter, checkpoint, extras }
        }),
        (write, _) => write,
    }
}

/// Plays a small world of its own, and returns whether the check notices.
fn staged<F: Future<Output = World>>(id: &str, sabotage: Sabotage, play: impl Fn(World) -> F) {
    for (sabotage, found) in [(None, false), (Some(sabotage), true)] {
        let world = World::new(Making { sabotage, ..Making::new(1, 4) });
        let broken = run(async { invariant::check(&Facts::of(&play(world).await)) });
        assert_eq!(broken.iter().any(|violation| violation.id == id), found, "{broken:?}");
    }
}

/// The same, with a rule of the library broken.
fn staged_broken<F: Future<Output = World>>(mutant: Mutant, id: &str, shards: u32, play: impl Fn(World) -> F) {
    for is_broken in [false, true] {
        let _broken = is_broken.then(|| mutant.begin());
        let world = World::new(Making::new(1, shards));
        let broken = run(async { invariant::check(&Facts::of(&play(world).await)) });
        assert_eq!(broken.iter().any(|violation| violation.id == id), is_broken, "{broken:?}");
    }
}

/// From now on every open shard is to be read within the bound of L1.
async fn calm(world: &World) {
    world.history.add(Fact::Calm { tampered: false, read: Duration::ZERO });
    world.stream.put(20);
    world.seconds(100).await;
}

#[test]
fn l1_a_session_whose_end_is_no_reason_to_read_the_table_is_noticed() {
    staged_broken(Mutant::SkipsReadAtEnd, "L1", 2, async |mut world| {
        world.fleet(&["ann", "ben"]).await;
        world.seconds(5).await;
        // It dies between the end of its shard and the wake: nobody hears of the children.
        world.weather.rule(|call| {
            let dies = &**call.process == "ben" && call.operation == "Wake";
            dies.then_some(Fate::Crash { effect: false })
        });
        let rows = world.rows().leases;
        let is_bens = |lease: &Lease| lease.owner.as_ref().is_some_and(|owner| owner.worker.as_str() == "ben");
        let place = rows.iter().position(is_bens).expect("a lease of ben's");
        world.stream.split(place);
        world.until("dead", Duration::from_secs(5), |world| world.alive().len() == 1).await;
        calm(&world).await;
        world
    });
}

#[test]
fn l1_an_owner_that_is_not_reminded_of_its_lease_is_noticed() {
    staged_broken(Mutant::NeverReminds, "L1", 2, async |mut world| {
        world.start("ann");
        world.until_shared(&[("ann", 2)], Duration::from_secs(5)).await;
        let former = world.rows().leases;
        world.start("ben");
        world.until_shared(&[("ann", 1), ("ben", 1)], Duration::from_secs(5)).await;
        world.seconds(5).await;
        for lease in former {
            world.tamper(RowKey::Lease(lease.key.clone()), Some(Row::Lease(lease)));
        }
        // Until ben has found out that its lease is not its own any more.
        world.seconds(90).await;
        calm(&world).await;
        world
    });
}

#[test]
fn numbers_a_registration_that_replaces_a_later_one_is_noticed() {
    staged_broken(Mutant::RegistersOverLater, "numbers", 4, async |mut world| {
        world.fleet(&["ann"]).await;
        world.weather.rule(|call| {
            let is_late = &**call.process == "ben" && call.operation == "Register";
            is_late.then_some(Fate::Late(Duration::from_secs(15)))
        });
        world.start("ben");
        world.seconds(1).await;
        world.kill("ben");
        let again = world.start("ben");
        world.until_shared(&[("ann", 2), ("ben", 2)], Duration::from_secs(5)).await;
        world.stop(&again, Duration::from_secs(5));
        world.seconds(20).await;
        world
    });
}

/// Delays every write of this kind by this time.
fn delay(world: &World, operation: &'static str, by: Duration) {
    world.weather.rule(move |call| (call.operation == operation).then_some(Fate::Late(by)));
}

#[test]
fn i3_a_fence_that_ignores_the_heartbeat_is_noticed() {
    staged("I3", fence_at_any_heartbeat, async |mut world| {
        world.start("ann");
        world.until_shared(&[("ann", 4)], Duration::from_secs(5)).await;
        world.start("ben");
        world.until_shared(&[("ann", 2), ("ben", 2)], Duration::from_secs(5)).await;
        delay(&world, "Fence", Duration::from_secs(3));
        world.freeze("ben");
        // It resumes and sends a heartbeat while the fence is on its way.
        world.pass(Duration::from_millis(12_000)).await;
        world.thaw("ben");
        world.seconds(10).await;
        world
    });
}

fn fence_at_any_heartbeat(write: Write, row: Option<&Row>) -> Write {
    match (write, row.and_then(Row::as_session)) {
        (Write::Fence { worker, .. }, Some(row)) => {
            Write::Fence { worker, number: row.number, heartbeat: row.heartbeat }
        }
        (write, _) => write,
    }
}

#[test]
fn i4_a_checkpoint_that_ignores_the_counter_is_noticed() {
    noticed("I4", 60, rough, Some(checkpoint_at_any_counter));
}

fn checkpoint_at_any_counter(write: Write, row: Option<&Row>) -> Write {
    match (write, row.and_then(Row::as_lease)) {
        (Write::Checkpoint { lease, me, checkpoint, extras, .. }, Some(row)) => {
            Write::Checkpoint { lease, me, counter: row.counter, checkpoint, extras }
        }
        (write, _) => write,
    }
}

#[test]
fn i4_a_release_by_anyone_is_noticed() {
    staged("I4", release_by_anyone, async |mut world| {
        world.start("ann");
        world.until_shared(&[("ann", 4)], Duration::from_secs(5)).await;
        world.start("ben");
        world.until_shared(&[("ann", 2), ("ben", 2)], Duration::from_secs(5)).await;
        // A stopped process is gone before its releases arrive, and the other one has acquired its
        // leases.
        delay(&world, "Release", Duration::from_secs(12));
        world.stop("ben", Duration::from_secs(1));
        world.seconds(20).await;
        world
    });
}

fn release_by_anyone(write: Write, row: Option<&Row>) -> Write {
    match (write, row.and_then(Row::as_lease)) {
        (Write::Release { lease, checkpoint, me, counter, extras }, Some(row)) => {
            let owner = row.owner.as_ref().and_then(|owner| Some((owner.worker.clone(), owner.session?)));
            Write::Release { lease, checkpoint, me: owner.unwrap_or(me), counter: counter.max(row.counter), extras }
        }
        (write, _) => write,
    }
}
