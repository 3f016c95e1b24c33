//! What may happen in a play, drawn from its seed: some fleets see crashes only, some lost answers only, some everything.

use crate::world::handler::Mood;
use crate::world::manner::Manner;
use crate::world::weather::Odds;
use std::time::Duration;

/// Which kinds of things happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Kinds {
    pub(crate) kills: bool,
    pub(crate) freezes: bool,
    pub(crate) cuts: bool,
    pub(crate) stops: bool,
    pub(crate) reshards: bool,
    /// Session rows, plan rows and the fleet row are removed by hand, or made unreadable.
    pub(crate) tampering: bool,
    /// With them, leases are: put back to what they once were, or made nobody's.
    pub(crate) lease_rows: bool,
    /// Assignment rows are put back to older ones, or removed.
    pub(crate) plans: bool,
    /// Clocks jump ahead.
    pub(crate) clocks: bool,
    /// Clocks are up to 2 % fast or slow.
    pub(crate) drift: bool,
    /// The whole table has no room for a while.
    pub(crate) full_table: bool,
    /// Calls get lost, late, throttled, stale; handlers fail.
    pub(crate) faults: bool,
    /// Of two streams, workers are told to serve one, or not to.
    pub(crate) streams: bool,
    /// The second is deleted, and made again.
    pub(crate) vanishing: bool,
}

impl Kinds {
    /// What an operator does on a good day: starts, stops, reshards.
    pub(crate) fn planned() -> Self {
        Kinds { stops: true, reshards: true, ..Kinds::default() }
    }

    pub(crate) fn are_planned(self) -> bool {
        Kinds { streams: false, ..self } == Kinds::planned()
    }

    fn drawn(rng: &mut fastrand::Rng) -> Self {
        // Two in three each, so that plays with few kinds and with nearly all of them come up.
        let mut is = || rng.u32(0..3) > 0;
        Kinds {
            kills: is(),
            freezes: is(),
            cuts: is(),
            stops: is(),
            reshards: is(),
            tampering: is() && is(),
            plans: is(),
            clocks: is() && is(),
            drift: is(),
            full_table: is() && is(),
            faults: is(),
            lease_rows: is() && is(),
            streams: false,
            vanishing: false,
        }
    }
}

/// What a play is made of, second the world.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Script {
    pub(crate) kinds: Kinds,
    pub(crate) odds: Odds,
    /// Rows a page of a read of the whole table.
    pub(crate) page: usize,
    /// How many milliseconds such a page takes, at least and at most, where the table is slow all the time.
    pub(crate) page_time: Option<(u64, u64)>,
    pub(crate) mood: Mood,
}

impl Script {
    pub(crate) fn drawn(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let kinds = Kinds::drawn(&mut rng);
        let mut chance = || if kinds.faults { [0, 5, 15, 40][rng.usize(0..4)] } else { 0 };
        let (lost, throttled, late, slow, stale, broken) =
            (chance(), chance(), chance(), chance(), chance() * 5, chance());
        // Drawn by itself, so that everything else of a seed is as it would be without.
        let mut apart = fastrand::Rng::with_seed(seed ^ 0x0011_e57a);
        let wrong = if kinds.faults { [0, 3, 10][apart.usize(0..3)] } else { 0 };
        let mut refusals = fastrand::Rng::with_seed(seed ^ 0x4ef0_5a15);
        let refused = if kinds.faults { [0, 0, 5, 20][refusals.usize(0..4)] } else { 0 };
        let odds = Odds { lost, throttled, late, slow, stale, broken, refused, wrong };
        let page = if kinds.faults && rng.bool() { rng.usize(1..6) } else { usize::MAX };
        let fails = kinds.faults && rng.bool();
        let mood = Mood {
            longest: Duration::from_millis([20, 200, 3_000][rng.usize(0..3)]),
            fails: if fails { 8 } else { 0 },
            panics: if fails { 1 } else { 0 },
            farewell: Duration::from_millis([0, 500, 4_000][rng.usize(0..3)]),
            stuck: false,
            poison: 0,
        };
        Script { kinds, odds, page, page_time: None, mood }
    }

    /// The table is slow to read, before the faults end and after: a page takes up to two seconds.
    pub(crate) fn drawn_for_a_slow_table(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x0510_3ead);
        let (page, longest) = (rng.usize(3..8), [400, 1_000, 2_000][rng.usize(0..3)]);
        Script { page, page_time: Some((longest / 4, longest)), ..Script::drawn(seed) }
    }

    /// Only the model's table takes leases from another hand.
    pub(crate) fn drawn_for_the_wire(seed: u64) -> Self {
        let drawn = Script::drawn(seed);
        Script { kinds: Kinds { lease_rows: false, ..drawn.kinds }, ..drawn }
    }

    /// Handlers fail, and some records are poison where the manner bears it.
    pub(crate) fn drawn_for(manner: Manner, seed: u64) -> Self {
        let drawn = Script::drawn(seed);
        let poison = if manner.bears_poison() { 11 } else { 0 };
        let mood = Mood { fails: 8, panics: 1, poison, ..drawn.mood };
        // Who gives up a lease by hand, or puts it back, says what becomes of the keys that are parked in it.
        Script { kinds: Kinds { lease_rows: false, ..drawn.kinds }, mood, ..drawn }
    }

    /// In a world of two streams.
    pub(crate) fn drawn_for_streams(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x0005_7eea);
        let drawn = Script::drawn(seed);
        let (streams, vanishing) = (rng.u32(0..3) > 0, rng.u32(0..3) > 0);
        Script { kinds: Kinds { streams, vanishing, ..drawn.kinds }, ..drawn }
    }

    pub(crate) fn planned(seed: u64) -> Self {
        let mut rng = fastrand::Rng::with_seed(seed ^ 0x5eed);
        let mood = Mood { longest: Duration::from_millis([20, 200][rng.usize(0..2)]), ..Mood::default() };
        Script { kinds: Kinds::planned(), odds: Odds::default(), page: usize::MAX, page_time: None, mood }
    }
}
