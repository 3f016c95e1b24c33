//! `kpl`: measures the de-aggregation of KPL records on one core.

use kcl_core::record::aggregate::{Aggregator, Checksum, Deaggregator, Outcome};
use kcl_core::record::{Record, SequenceNumber};
use tokio::time::Instant;

use crate::figure::{Figure, median};
use crate::{Error, Options};

const KEYS: usize = 1_000;
const PAYLOAD: [u8; 100] = [7; 100];
/// Number of aggregates per run.
const AGGREGATES: usize = 1_000;
const MILLION: f64 = 1e6;

pub(crate) fn run(options: &Options) -> Result<Vec<Figure>, Error> {
    let record = aggregate()?;
    let skip = measure(options, &record, Checksum::Skip)?;
    let verify = measure(options, &record, Checksum::Verify)?;
    Ok(vec![
        Figure::new("kpl.skip.million_per_s", skip, "M/s").at_least(10.0),
        Figure::new("kpl.verify.million_per_s", verify, "M/s").at_least(2.0),
    ])
}

/// Packs as many records as an aggregate of 1 MiB holds, of all keys in turn.
fn aggregate() -> Result<Record, Error> {
    let mut aggregator = Aggregator::default();
    let mut records = 0;
    while aggregator.add(&format!("key-{}", records % KEYS), None, &PAYLOAD).is_ok() {
        records += 1;
    }
    let packed = aggregator.finish().ok_or("the aggregate is empty")?;
    Ok(Record::new(SequenceNumber::parse("49590338271490256608559692538361571095921575989136588898")?, packed.data))
}

/// Returns millions of records per second, median of the runs.
fn measure(options: &Options, record: &Record, checksum: Checksum) -> Result<f64, Error> {
    // The hash range of one of two shards, so that the key of each record is hashed, once per
    // aggregate.
    let deaggregator = Deaggregator::default().checksum(checksum).hash_range(0..=u128::MAX / 2);
    let mut rates = Vec::new();
    for _ in 0..options.runs {
        let (mut records, mut parts) = (0_u32, Vec::new());
        let began = Instant::now();
        for _ in 0..AGGREGATES {
            parts.clear();
            let outcome = deaggregator.deaggregate(record.clone(), &mut parts);
            let Outcome::Aggregate { parts: count, .. } = outcome else {
                return Err("the record is not an aggregate".into());
            };
            records += u32::try_from(count)?;
        }
        rates.push(f64::from(records) / began.elapsed().as_secs_f64() / MILLION);
    }
    Ok(median(rates))
}
