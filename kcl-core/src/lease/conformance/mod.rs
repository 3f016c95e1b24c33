//! A conformance suite for [`LeaseStore`]s: a store must do what [`Write::apply`] defines for each
//! write.
//!
//! [`run`] makes every write of the protocol under conditions that hold, then with each condition
//! broken separately, then a long random sequence. It compares each result and the whole table with
//! a model in memory. [`run_damaged`] checks how a store handles damaged rows.

mod case;
mod damaged;
mod random;

pub use damaged::{ExternalWriter, Harm, run_damaged};

#[cfg(all(test, feature = "aws"))]
pub(crate) use random::write as random_write;

use super::row::{Row, RowKey, WorkerId};
use super::store::{Consistency, LeaseStore, StoreError, Table};
use super::write::{Write, Written};
use std::collections::BTreeMap;
use std::fmt::Debug;

/// The number of random writes per run.
const RANDOM_WRITES: usize = 600;

/// A store's result that differs from the model, or a failed call.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Divergence {
    /// The table has rows: the suite needs an empty table.
    #[error("the table is not empty: it has {0} rows")]
    NotEmpty(usize),
    /// The store's result differs from the model's.
    #[error("{during}: the store returned {store}, expected {expected}")]
    Differs {
        /// The step.
        during: String,
        /// The store's result.
        store: String,
        /// The model's result.
        expected: String,
    },
    /// A call of the store failed.
    #[error("{during}: {source}")]
    Failed {
        /// The step.
        during: String,
        /// The error.
        source: StoreError,
    },
}

/// Runs the suite on an empty table that nobody else uses. The same seed makes the same writes.
///
/// # Errors
/// The first [`Divergence`].
pub async fn run(store: &dyn LeaseStore, seed: u64) -> Result<(), Divergence> {
    let mut pair = Pair { store, model: BTreeMap::new() };
    let found = pair.scan("at the start").await?;
    if !found.is_empty() {
        return Err(Divergence::NotEmpty(found.len()));
    }
    for case in case::all() {
        pair.case(case).await?;
    }
    pair.compare("after the cases").await?;
    let mut rng = fastrand::Rng::with_seed(seed);
    for step in 0..RANDOM_WRITES {
        let write = random::write(&mut rng, &pair.model);
        pair.write(&format!("random write {step} of seed {seed}"), &write).await?;
        if step % 100 == 99 {
            pair.compare(&format!("after random write {step} of seed {seed}")).await?;
        }
    }
    Ok(())
}

/// The store and the rows that it should contain.
struct Pair<'a> {
    store: &'a dyn LeaseStore,
    model: BTreeMap<RowKey, Row>,
}

impl Pair<'_> {
    async fn case(&mut self, case: case::Case) -> Result<(), Divergence> {
        for write in &case.before {
            self.write(&format!("before `{}`", case.name), write).await?;
        }
        for write in &case.refused {
            let during = format!("`{}`, refused", case.name);
            let written = self.write(&during, write).await?;
            if matches!(written, Written::Applied(_)) {
                return Err(Divergence::Differs {
                    during,
                    store: "applied".to_owned(),
                    expected: format!("refused: {write:?}"),
                });
            }
        }
        let during = format!("`{}`, applied", case.name);
        let written = self.write(&during, &case.applied).await?;
        match written {
            Written::Applied(_) => Ok(()),
            Written::Refused(_) => Err(Divergence::Differs {
                during,
                store: "refused".to_owned(),
                expected: format!("applied: {:?}", case.applied),
            }),
        }
    }

    /// Applies a write to both and compares the results.
    async fn write(&mut self, during: &str, write: &Write) -> Result<Written, Divergence> {
        let key = write.key();
        let expected = write.apply(self.model.get(&key));
        let during = format!("{during}: {write:?}");
        let written =
            self.store.write(write).await.map_err(|source| Divergence::Failed { during: during.clone(), source })?;
        same(&during, &written, &expected)?;
        match &expected {
            Written::Applied(Some(row)) => drop(self.model.insert(key, row.clone())),
            Written::Applied(None) => drop(self.model.remove(&key)),
            Written::Refused(_) => {}
        }
        Ok(written)
    }

    /// Reads the whole table in every way and compares it.
    async fn compare(&self, during: &str) -> Result<(), Divergence> {
        same(during, &self.scan(during).await?, &self.model)?;
        // The keys are in another order than the table's and contain a missing row and one key
        // twice: the result must be in the order of the request.
        let mut keys: Vec<RowKey> = self.model.keys().rev().take(98).cloned().collect();
        keys.insert(keys.len() / 2, RowKey::Session(WorkerId::from_row("nobody")));
        keys.extend(keys.first().cloned());
        let batches = [&keys[..], &keys[..1], &[]];
        for batch in batches {
            let expected: Vec<Option<Row>> = batch.iter().map(|key| self.model.get(key).cloned()).collect();
            let read = self
                .store
                .read(batch, Consistency::Strong)
                .await
                .map_err(|source| Divergence::Failed { during: format!("{during}: reading {batch:?}"), source })?;
            same(&format!("{during}: reading {batch:?}"), &read, &expected)?;
        }
        Ok(())
    }

    async fn scan(&self, during: &str) -> Result<BTreeMap<RowKey, Row>, Divergence> {
        let table = self
            .store
            .scan()
            .await
            .map_err(|source| Divergence::Failed { during: format!("{during}: reading the table"), source })?;
        let Table { leases, sessions, assignments, streams, fleet, damaged } = table;
        let rows = leases.into_iter().map(Row::Lease);
        let rows =
            rows.chain(sessions.into_iter().map(Row::Session)).chain(assignments.into_iter().map(Row::Assignment));
        let rows = rows.chain(streams.into_iter().map(Row::Stream));
        let rows = rows.chain(fleet.map(Row::Fleet)).chain(damaged.into_iter().map(Row::Damaged));
        Ok(rows.map(|row| (row.key(), row)).collect())
    }
}

fn same<T: PartialEq + Debug>(during: &str, store: &T, expected: &T) -> Result<(), Divergence> {
    if store == expected {
        return Ok(());
    }
    Err(Divergence::Differs {
        during: during.to_owned(),
        store: format!("{store:?}"),
        expected: format!("{expected:?}"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::{MemoryStore, Page, PageToken};
    use async_trait::async_trait;

    #[tokio::test]
    async fn the_in_memory_table_conforms() {
        for seed in 0..20 {
            run(&MemoryStore::default(), seed).await.unwrap();
        }
    }

    /// A store that ignores one condition.
    #[derive(Debug, Default)]
    struct IgnoresSessions(MemoryStore);

    #[async_trait]
    impl LeaseStore for IgnoresSessions {
        async fn read(&self, keys: &[RowKey], consistency: Consistency) -> Result<Vec<Option<Row>>, StoreError> {
            self.0.read(keys, consistency).await
        }
        async fn scan_page(&self, after: Option<&PageToken>, rows: u32) -> Result<Page, StoreError> {
            self.0.scan_page(after, rows).await
        }
        async fn write(&self, write: &Write) -> Result<Written, StoreError> {
            let row = self.0.get(&write.key());
            let mut write = write.clone();
            if let (Write::Checkpoint { me, .. }, Some(Row::Lease(lease))) = (&mut write, row) {
                me.1 = lease.owner.and_then(|owner| owner.session).unwrap_or(me.1);
            }
            self.0.write(&write).await
        }
    }

    #[tokio::test]
    async fn a_store_that_ignores_the_session_is_detected() {
        let error = run(&IgnoresSessions::default(), 1).await.unwrap_err();
        assert!(error.to_string().contains("Checkpoint"), "{error}");
    }

    #[tokio::test]
    async fn a_table_with_rows_is_refused() {
        let store = MemoryStore::of([Row::Fleet(crate::lease::Fleet::above(0, 0, false))]);
        assert!(matches!(run(&store, 1).await, Err(Divergence::NotEmpty(1))));
    }
}
