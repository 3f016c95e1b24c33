//! Checks that a store identifies damaged rows by their key, and deletes them only if they are
//! unchanged.

use super::{Divergence, Pair};
use crate::lease::row::{
    Assignment, Damaged, Fleet, FleetStart, RowKey, SeenAttribute, SeenValue, StreamRow, WorkerId,
};
use crate::lease::store::LeaseStore;
use crate::lease::write::{Write, Written};
use crate::record::{Checkpoint, StreamId};
use async_trait::async_trait;
use std::collections::BTreeMap;

/// A kind of damage that an external writer does to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// `entityType` is removed.
    NoKind,
    /// The ordering attribute is a string: `term`, `number` or `sessions`, depending on the kind.
    Order,
    /// The ordering attribute is not a whole number.
    Fraction,
    /// The ordering attribute is above [`LARGEST_COUNTER`](crate::lease::row::LARGEST_COUNTER),
    /// which no counter reaches.
    TooLarge,
    /// Another attribute has the wrong type: `acquires`, `state` or `assignmentVersion`.
    Content,
    /// The row is of another kind: nobody may delete it.
    OtherKind,
}

impl Harm {
    const ALL: [Harm; 6] = [Harm::NoKind, Harm::Order, Harm::Fraction, Harm::TooLarge, Harm::Content, Harm::OtherKind];
}

/// Writes invalid rows directly into the store's table.
#[async_trait]
pub trait ExternalWriter: Send + Sync {
    /// Damages an existing row. The damaged attributes differ after each call.
    async fn harm(&self, key: &RowKey, harm: Harm);
    /// Removes the row.
    async fn remove(&self, key: &RowKey);
}

/// Checks how a store handles damaged rows. The table must be empty, and nobody else may use it.
///
/// # Errors
/// The first [`Divergence`].
pub async fn run_damaged(store: &dyn LeaseStore, external: &dyn ExternalWriter) -> Result<(), Divergence> {
    let worker = WorkerId::from_row("w");
    let plan = Assignment {
        worker: worker.clone(),
        term: 3,
        version: 4,
        acquires: Vec::new(),
        yields: Vec::new(),
        lists: Vec::new(),
    };
    let start = FleetStart { checkpoint: Checkpoint::Latest, at_ms: Some(7) };
    let made = [
        Write::CreateFleet(Fleet::above(3, 7, true)),
        Write::Register {
            worker,
            number: 7,
            tag: 1,
            capacity: None,
            streams: None,
            profile: crate::lease::WorkerProfile::default(),
            over: None,
        },
        Write::Assignment(plan),
        Write::PinStream(StreamRow { id: StreamId::new("1:orders:2"), start, filled: true }),
    ];
    for make in made {
        for harm in Harm::ALL {
            one(store, external, &make, harm).await?;
        }
    }
    Ok(())
}

async fn one(
    store: &dyn LeaseStore,
    external: &dyn ExternalWriter,
    make: &Write,
    harm: Harm,
) -> Result<(), Divergence> {
    let key = make.key();
    let during = format!("{key}, damaged: {harm:?}");
    Pair { store, model: BTreeMap::new() }.write(&during, make).await?;
    external.harm(&key, harm).await;
    let seen = read(store, &key, &during).await?;
    expect(&during, "`is_ours`", seen.is_ours(), harm != Harm::OtherKind)?;

    external.harm(&key, harm).await;
    let now = read(store, &key, &during).await?;
    if seen.fingerprint != now.fingerprint {
        let written = write(store, &Write::Discard(seen), &during).await?;
        expect(&during, "discarding a row that has changed", applied(&written), false)?;
    }
    let written = write(store, &Write::Discard(now.clone()), &during).await?;
    expect(&during, "discarding an unchanged row", applied(&written), now.is_ours())?;
    if !now.is_ours() {
        external.remove(&key).await;
    }
    Pair { store, model: BTreeMap::new() }.write(&format!("{during}, then created again"), make).await?;
    let written = write(store, &Write::Discard(now.clone()), &during).await?;
    expect(&during, "discarding a valid row", applied(&written), false)?;
    external.remove(&key).await;
    let nothing = with_missing_attributes(&now);
    let written = write(store, &Write::Discard(nothing), &during).await?;
    expect(&during, "discarding a missing row", written, Written::Refused(None))
}

/// The damaged row with a fingerprint that only a missing row would match.
fn with_missing_attributes(damaged: &Damaged) -> Damaged {
    let fingerprint =
        damaged.fingerprint.iter().map(|mark| SeenAttribute { value: SeenValue::Nothing, ..mark.clone() }).collect();
    Damaged { fingerprint, ..damaged.clone() }
}

async fn read(store: &dyn LeaseStore, key: &RowKey, during: &str) -> Result<Damaged, Divergence> {
    let failed = |source| Divergence::Failed { during: during.to_owned(), source };
    let row = store.read(std::slice::from_ref(key), crate::lease::Consistency::Strong).await.map_err(failed)?;
    match row.into_iter().next().flatten() {
        Some(crate::lease::Row::Damaged(damaged)) if damaged.key == *key => Ok(damaged),
        other => Err(Divergence::Differs {
            during: during.to_owned(),
            store: format!("{other:?}"),
            expected: "a damaged row".to_owned(),
        }),
    }
}

async fn write(store: &dyn LeaseStore, write: &Write, during: &str) -> Result<Written, Divergence> {
    store.write(write).await.map_err(|source| Divergence::Failed { during: format!("{during}: {write:?}"), source })
}

fn applied(written: &Written) -> bool {
    matches!(written, Written::Applied(_))
}

fn expect<T: PartialEq + std::fmt::Debug>(during: &str, what: &str, store: T, expected: T) -> Result<(), Divergence> {
    super::same(&format!("{during}: {what}"), &store, &expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::{MemoryStore, Row};
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Default)]
    struct MemoryWriter {
        store: MemoryStore,
        calls: AtomicU64,
    }

    #[async_trait]
    impl ExternalWriter for MemoryWriter {
        async fn harm(&self, key: &RowKey, harm: Harm) {
            let value = SeenValue::Text(self.calls.fetch_add(1, Ordering::Relaxed).to_string());
            let fingerprint =
                if harm == Harm::OtherKind { vec![] } else { vec![SeenAttribute { attribute: "term", value }] };
            self.store.put(Row::Damaged(Damaged { key: key.clone(), why: format!("{harm:?}"), fingerprint }));
        }

        async fn remove(&self, key: &RowKey) {
            self.store.remove(key);
        }
    }

    #[tokio::test]
    async fn the_in_memory_table_discards_damaged_rows() {
        let external = MemoryWriter::default();
        run_damaged(&external.store, &external).await.unwrap();
    }
}
