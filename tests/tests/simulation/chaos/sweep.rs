//! One fault at a time, at every call that touches the table or the stream: a fixed story is played once without a fault to
//! count its calls, and then once for each call and each thing that can befall it.

use crate::invariant::{self, Facts};
use crate::world::history::Fact;
use crate::world::weather::Fate;
use crate::world::{Making, World, run};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Every fault of a call.
const FATES: [Fate; 9] = [
    Fate::LostRequest,
    Fate::LostResponse,
    Fate::Throttled,
    Fate::Late(Duration::from_secs(11)),
    Fate::SlowAnswer(Duration::from_secs(3)),
    Fate::Stale(Duration::from_secs(2)),
    Fate::Crash { effect: false },
    Fate::Crash { effect: true },
    Fate::Freeze(Duration::from_secs(14)),
];

#[test]
fn no_single_fault_at_any_call_breaks_a_rule() {
    let calls = run(async { play(None).await.1 });
    assert!(calls > 300, "{calls} calls: the story has shrunk");
    // One fault for every third call, in turn; with `SIM_SWEEP=all` every fault for every call.
    let all = std::env::var_os("SIM_SWEEP").is_some_and(|what| what == "all");
    let count = u64::try_from(FATES.len()).unwrap();
    let total = if all { calls * count } else { calls / 3 };
    let (next, failed) = (AtomicU64::new(0), Mutex::new(Vec::new()));
    std::thread::scope(|threads| {
        for _ in 0..std::thread::available_parallelism().map_or(1, usize::from) {
            threads.spawn(|| {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= total {
                        return;
                    }
                    let (call, fate) = if all { (n / count + 1, n % count) } else { (3 * n + 1, n % count) };
                    let fate = FATES[usize::try_from(fate).unwrap()];
                    let broken = invariant::check(&run(async { play(Some((call, fate))).await.0 }));
                    if let Some(first) = broken.first() {
                        failed.lock().unwrap().push(format!("{fate:?} at call {call}: {first}"));
                    }
                }
            });
        }
    });
    let failed = failed.into_inner().unwrap();
    assert!(failed.is_empty(), "{} of {total}:\n{}", failed.len(), failed.join("\n"));
}

/// The story: a fleet of two that a third worker joins, records, a split, a merge, a worker that
/// stops, and the end. Returns the history and the number of calls before the end.
async fn play(fault: Option<(u64, Fate)>) -> (Facts, u64) {
    let mut world = World::new(Making::new(7, 3));
    if let Some((number, fate)) = fault {
        world.weather.rule(move |call| (call.number == number).then_some(fate));
    }
    world.start("ann");
    world.pass(Duration::from_millis(700)).await;
    world.start("ben");
    world.stream.put(30);
    world.seconds(3).await;
    world.stream.split(1);
    world.stream.put(30);
    world.seconds(2).await;
    world.start("cat");
    world.seconds(3).await;
    world.stream.merge(0);
    world.stream.put(30);
    world.seconds(4).await;
    world.stop("ben", Duration::from_secs(10));
    world.stream.put(30);
    world.seconds(3).await;
    let calls = world.weather.calls();
    // By now every frozen process has resumed and every delayed call has arrived.
    world.seconds(if fault.is_some() { 14 } else { 0 }).await;
    if world.alive().is_empty() {
        world.start("dan");
    }
    world.history.add(Fact::Calm { tampered: false, read: Duration::ZERO });
    world.stream.put(30);
    for _ in 0..400 {
        if world.unhandled().is_empty() {
            break;
        }
        world.pass(Duration::from_millis(100)).await;
    }
    world.seconds(22).await;
    for name in world.alive() {
        world.stop(&name, Duration::from_secs(25));
        for _ in 0..400 {
            if world.process(&name).has_ended() {
                break;
            }
            world.pass(Duration::from_millis(100)).await;
        }
    }
    (Facts { stopped: true, planned: fault.is_none(), ..Facts::of(&world) }, calls)
}
