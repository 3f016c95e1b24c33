//! `ack`: measures the rate of acknowledgements on one core, in random order over a window.

use std::hint::black_box;

use kcl_core::bench::Acknowledgements;
use tokio::time::Instant;

use crate::figure::{Figure, median};
use crate::{Error, Options};

/// Number of unacknowledged records at a time.
const WINDOW: u64 = 100_000;
/// Number of records in a batch.
const BATCH: u64 = 1_000;
const ROUNDS: u64 = 100;

pub(crate) fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let millions: Vec<f64> = (0..options.runs.max(1)).map(|_| measure()).collect::<Result<_, _>>()?;
    Ok(vec![Figure::new("ack.million_per_s", median(millions), "M/s").at_least(10.0)])
}

#[allow(clippy::cast_precision_loss, reason = "a count of millions")]
fn measure() -> Result<f64, Error> {
    let mut order: Vec<u64> = (0..WINDOW).collect();
    fastrand::Rng::with_seed(1).shuffle(&mut order);
    let mut acknowledgements = Acknowledgements::default();
    let mut seconds = 0.0;
    for round in 0..ROUNDS {
        for _ in 0..WINDOW / BATCH {
            acknowledgements.deliver(BATCH);
        }
        let began = Instant::now();
        for number in &order {
            acknowledgements.acknowledge(black_box(round * WINDOW + number));
        }
        seconds += began.elapsed().as_secs_f64();
        if !acknowledgements.is_complete() {
            return Err("an acknowledgement was lost".into());
        }
    }
    Ok((WINDOW * ROUNDS) as f64 / seconds / 1e6)
}
