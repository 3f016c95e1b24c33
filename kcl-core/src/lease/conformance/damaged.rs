//! Rows that another hand has made unreadable: told by their key, and discarded only as they were seen.

use super::{Divergence, Pair};
use crate::lease::row::{Assignment, Damaged, Fleet, FleetStart, Mark, RowKey, Shows, StreamRow, WorkerId};
use crate::lease::store::LeaseStore;
use crate::lease::write::{Write, Written};
use crate::record::{Checkpoint, StreamId};
use async_trait::async_trait;
use std::collections::BTreeMap;

/// What another hand does to a row of ours.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Harm {
    /// Its kind is gone: `entityType` is removed.
    NoKind,
    /// Its order is text: `term`, `number` or `sessions`, whatever the row has.
    Order,
    /// Its order is no whole number.
    Fraction,
    /// Its order is a number above [`LARGEST_COUNTER`](crate::lease::row::LARGEST_COUNTER), to which nobody has counted.
    TooLarge,
    /// What it says is of another type: `acquires`, `state` or `assignmentVersion`.
    Content,
    /// It is another kind of row: that is nobody's to discard.
    OtherKind,
}

impl Harm {
    const ALL: [Harm; 6] = [Harm::NoKind, Harm::Order, Harm::Fraction, Harm::TooLarge, Harm::Content, Harm::OtherKind];
}

/// Whoever can write the store's rows as they should never be.
#[async_trait]
pub trait ExternalWriter: Send + Sync {
    /// Harms the row, which is there. What it shows from then on differs with each call.
    async fn harm(&self, key: &RowKey, harm: Harm);
    /// Removes the row.
    async fn remove(&self, key: &RowKey);
}

/// Holds a store to what is done about rows that cannot be read. The table must be empty, and nobody else may use it.
///
/// # Errors
/// The first [`Divergence`].
pub async fn run_damaged(store: &dyn LeaseStore, hand: &dyn ExternalWriter) -> Result<(), Divergence> {
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
            one(store, hand, &make, harm).await?;
        }
    }
    Ok(())
}

async fn one(store: &dyn LeaseStore, hand: &dyn ExternalWriter, make: &Write, harm: Harm) -> Result<(), Divergence> {
    let key = make.key();
    let during = format!("{key}, harmed: {harm:?}");
    Pair { store, model: BTreeMap::new() }.write(&during, make).await?;
    hand.harm(&key, harm).await;
    let seen = read(store, &key, &during).await?;
    expect(&during, "whether it is ours to discard", seen.is_ours(), harm != Harm::OtherKind)?;

    hand.harm(&key, harm).await;
    let now = read(store, &key, &during).await?;
    if seen.marks != now.marks {
        let written = write(store, &Write::Discard(seen), &during).await?;
        expect(&during, "discarding what has changed", applied(&written), false)?;
    }
    let written = write(store, &Write::Discard(now.clone()), &during).await?;
    expect(&during, "discarding it as it is", applied(&written), now.is_ours())?;
    if !now.is_ours() {
        hand.remove(&key).await;
    }
    Pair { store, model: BTreeMap::new() }.write(&format!("{during}, then made again"), make).await?;
    let written = write(store, &Write::Discard(now.clone()), &during).await?;
    expect(&during, "discarding a row that is whole", applied(&written), false)?;
    hand.remove(&key).await;
    let nothing = marked_as_nothing(&now);
    let written = write(store, &Write::Discard(nothing), &during).await?;
    expect(&during, "discarding what is not there", written, Written::Refused(None))
}

/// The row as it would show itself were nothing there.
fn marked_as_nothing(damaged: &Damaged) -> Damaged {
    let marks = damaged.marks.iter().map(|mark| Mark { shows: Shows::Nothing, ..mark.clone() }).collect();
    Damaged { marks, ..damaged.clone() }
}

async fn read(store: &dyn LeaseStore, key: &RowKey, during: &str) -> Result<Damaged, Divergence> {
    let failed = |source| Divergence::Failed { during: during.to_owned(), source };
    let row = store.read(std::slice::from_ref(key), crate::lease::Consistency::Strong).await.map_err(failed)?;
    match row.into_iter().next().flatten() {
        Some(crate::lease::Row::Damaged(damaged)) if damaged.key == *key => Ok(damaged),
        other => Err(Divergence::Differs {
            during: during.to_owned(),
            store: format!("{other:?}"),
            meant: "a row that cannot be read".to_owned(),
        }),
    }
}

async fn write(store: &dyn LeaseStore, write: &Write, during: &str) -> Result<Written, Divergence> {
    store.write(write).await.map_err(|source| Divergence::Failed { during: format!("{during}: {write:?}"), source })
}

fn applied(written: &Written) -> bool {
    matches!(written, Written::Applied(_))
}

fn expect<T: PartialEq + std::fmt::Debug>(during: &str, what: &str, store: T, meant: T) -> Result<(), Divergence> {
    super::same(&format!("{during}: {what}"), &store, &meant)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::{MemoryStore, Row};
    use std::sync::atomic::{AtomicU64, Ordering};

    #[derive(Default)]
    struct Hand {
        store: MemoryStore,
        calls: AtomicU64,
    }

    #[async_trait]
    impl ExternalWriter for Hand {
        async fn harm(&self, key: &RowKey, harm: Harm) {
            let shows = Shows::Text(self.calls.fetch_add(1, Ordering::Relaxed).to_string());
            let marks = if harm == Harm::OtherKind { vec![] } else { vec![Mark { attribute: "term", shows }] };
            self.store.put(Row::Damaged(Damaged { key: key.clone(), why: format!("{harm:?}"), marks }));
        }

        async fn remove(&self, key: &RowKey) {
            self.store.remove(key);
        }
    }

    #[tokio::test]
    async fn the_table_in_memory_discards_what_cannot_be_read() {
        let hand = Hand::default();
        run_damaged(&hand.store, &hand).await.unwrap();
    }
}
