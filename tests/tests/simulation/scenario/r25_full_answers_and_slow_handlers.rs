//! R25. *Given* many shards that start at the oldest record, with answers of megabytes, some of
//! them aggregates, and slow handlers; *then* the payload in memory never exceeds the budget, every
//! shard is read, and no lease is lost because of it.

use super::play;
use crate::world::Making;
use crate::world::handler::Mood;
use kcl_core::Settings;
use std::time::Duration;

const MIB: usize = 1024 * 1024;

#[test]
fn r25_full_answers_and_slow_handlers_stay_within_the_budget() {
    let budget = 32 * MIB;
    let settings = Settings::default().byte_budget(budget);
    play("r25_full_answers_and_slow_handlers", Making { settings, ..Making::new(25, 16) }, async |mut world| {
        world.mood(Mood { longest: Duration::from_secs(4), ..Mood::default() });
        // 160 MiB, five times the budget.
        for _ in 0..8 {
            world.stream.put_large(14, MIB - 1_000);
            for _ in 0..6 {
                world.stream.put_packed(30, MIB / 31);
            }
            world.seconds(2).await;
        }
        world.start("ann");
        world.until_handled(Duration::from_secs(300)).await;
        let peak = world.memory.peak();
        assert!((budget / 4..=budget).contains(&peak), "{peak}");
        assert_eq!(world.shares()["ann"], 16);
        world
    });
}
