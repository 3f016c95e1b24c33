//! A suite that any [`LeaseStore`] can be held to: [`Write::apply`] is what each write means, and a store must agree.
//!
//! [`run`] makes every write of the protocol under conditions that hold and with each condition broken by itself, then
//! a long random sequence, and compares each answer and the whole table with a model in memory. [`run_damaged`] holds a
//! store to what is done about rows that cannot be read.

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

/// Random writes a run.
const RANDOM_WRITES: usize = 600;

/// A store that does not do what a write means, or fails.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Divergence {
    /// The table has rows: the suite needs it for itself.
    #[error("the table is not empty: it has {0} rows")]
    NotEmpty(usize),
    /// The store answered otherwise than the writes mean.
    #[error("{during}: the store says {store}, the writes mean {meant}")]
    Differs {
        /// What was done.
        during: String,
        /// What the store answered.
        store: String,
        /// What it should have answered.
        meant: String,
    },
    /// The store did not answer.
    #[error("{during}: {source}")]
    Failed {
        /// What was done.
        during: String,
        /// How it failed.
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

/// The store and what it should hold.
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
                    meant: format!("refused: {write:?}"),
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
                meant: format!("applied: {:?}", case.applied),
            }),
        }
    }

    /// Makes a write in both.
    async fn write(&mut self, during: &str, write: &Write) -> Result<Written, Divergence> {
        let key = write.key();
        let meant = write.apply(self.model.get(&key));
        let during = format!("{during}: {write:?}");
        let written =
            self.store.write(write).await.map_err(|source| Divergence::Failed { during: during.clone(), source })?;
        same(&during, &written, &meant)?;
        match &meant {
            Written::Applied(Some(row)) => drop(self.model.insert(key, row.clone())),
            Written::Applied(None) => drop(self.model.remove(&key)),
            Written::Refused(_) => {}
        }
        Ok(written)
    }

    /// Reads everything, in every way.
    async fn compare(&self, during: &str) -> Result<(), Divergence> {
        same(during, &self.scan(during).await?, &self.model)?;
        // In an order that is not the table's, with a row that is not there, and one key twice.
        let mut keys: Vec<RowKey> = self.model.keys().rev().take(98).cloned().collect();
        keys.insert(keys.len() / 2, RowKey::Session(WorkerId::from_row("nobody")));
        keys.extend(keys.first().cloned());
        let batches = [&keys[..], &keys[..1], &[]];
        for batch in batches {
            let meant: Vec<Option<Row>> = batch.iter().map(|key| self.model.get(key).cloned()).collect();
            let read = self
                .store
                .read(batch, Consistency::Strong)
                .await
                .map_err(|source| Divergence::Failed { during: format!("{during}: reading {batch:?}"), source })?;
            same(&format!("{during}: reading {batch:?}"), &read, &meant)?;
        }
        Ok(())
    }

    async fn scan(&self, during: &str) -> Result<BTreeMap<RowKey, Row>, Divergence> {
        let table = self
            .store
            .scan()
            .await
            .map_err(|source| Divergence::Failed { during: format!("{during}: reading the table"), source })?;
        let Table { leases, sessions, plans, streams, fleet, damaged } = table;
        let rows = leases.into_iter().map(Row::Lease);
        let rows = rows.chain(sessions.into_iter().map(Row::Session)).chain(plans.into_iter().map(Row::Assignment));
        let rows = rows.chain(streams.into_iter().map(Row::Stream));
        let rows = rows.chain(fleet.map(Row::Fleet)).chain(damaged.into_iter().map(Row::Damaged));
        Ok(rows.map(|row| (row.key(), row)).collect())
    }
}

fn same<T: PartialEq + Debug>(during: &str, store: &T, meant: &T) -> Result<(), Divergence> {
    if store == meant {
        return Ok(());
    }
    Err(Divergence::Differs { during: during.to_owned(), store: format!("{store:?}"), meant: format!("{meant:?}") })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::{MemoryStore, Page, PageToken};
    use async_trait::async_trait;

    #[tokio::test]
    async fn the_table_in_memory_is_a_lease_store() {
        for seed in 0..20 {
            run(&MemoryStore::default(), seed).await.unwrap();
        }
    }

    /// A store that passes over one kind of refusal.
    #[derive(Debug, Default)]
    struct Forgetful(MemoryStore);

    #[async_trait]
    impl LeaseStore for Forgetful {
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
    async fn a_store_that_does_not_look_at_the_session_is_found_out() {
        let error = run(&Forgetful::default(), 1).await.unwrap_err();
        assert!(error.to_string().contains("Checkpoint"), "{error}");
    }

    #[tokio::test]
    async fn a_table_in_use_is_left_alone() {
        let store = MemoryStore::of([Row::Fleet(crate::lease::Fleet::above(0, 0, false))]);
        assert!(matches!(run(&store, 1).await, Err(Divergence::NotEmpty(1))));
    }
}
