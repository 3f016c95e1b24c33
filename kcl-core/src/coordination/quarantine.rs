//! Lists quarantined keys for operators, and writes requests about them into the leases' rows.

use super::retry::{read_table, until_answered};
use crate::error::{Code, Error};
use crate::lease::row::{QuarantineRequest, QuarantinedKey};
use crate::lease::{Consistency, Lease, LeaseKey, LeaseStore, Row, RowKey, Table, Write, Written};

/// Attempts to write a request while the owner writes the same row.
const ATTEMPTS: u32 = 20;

/// The quarantined keys of one lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct QuarantinedLease {
    /// The lease.
    pub(crate) lease: String,
    /// Its owner, if any, which carries out requests.
    pub(crate) owner: Option<String>,
    /// The keys, with the positions of their records.
    pub(crate) keys: Vec<QuarantinedKey>,
}

/// Selects quarantined keys.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum KeySelector {
    /// All keys.
    All,
    /// This partition key, in any lease; or the position of one of its records, as log lines show
    /// it.
    Key(String),
}

/// Lists the quarantined keys of an application.
///
/// # Errors
/// The table does not answer.
pub(crate) async fn parked(store: &dyn LeaseStore) -> Result<Vec<QuarantinedLease>, Error> {
    Ok(of_table(&read_table(store).await?))
}

pub(super) fn of_table(table: &Table) -> Vec<QuarantinedLease> {
    let parked = table.leases.iter().filter(|lease| !lease.extras.parked.is_empty());
    parked
        .map(|lease| QuarantinedLease {
            lease: lease.key.to_string(),
            owner: lease.owner.as_ref().map(|owner| owner.worker.to_string()),
            keys: lease.extras.parked.clone(),
        })
        .collect()
}

/// Writes a request about quarantined keys. The owner of each lease carries it out at its next
/// checkpoint, or within a minute if the lease is idle; without an owner, the next one does.
/// Returns the leases that were written.
///
/// # Errors
/// The table does not answer, or a lease's row changes all the time.
///
/// # Cancellation
/// Requests that were written stay.
pub(crate) async fn request_quarantined(
    store: &dyn LeaseStore,
    which: &KeySelector,
    wish: QuarantineRequest,
) -> Result<Vec<String>, Error> {
    let mut said = Vec::new();
    for QuarantinedLease { lease, .. } in parked(store).await? {
        if say(store, &LeaseKey::new(lease.as_str()), which, wish).await? {
            said.push(lease);
        }
    }
    Ok(said)
}

async fn say(
    store: &dyn LeaseStore,
    key: &LeaseKey,
    which: &KeySelector,
    wish: QuarantineRequest,
) -> Result<bool, Error> {
    for _ in 0..ATTEMPTS {
        let keys = [RowKey::Lease(key.clone())];
        let rows = until_answered(|| store.read(&keys, Consistency::Strong)).await?;
        let Some(Row::Lease(row)) = rows.into_iter().next().flatten() else { return Ok(false) };
        let Some(write) = wished(&row, which, wish) else { return Ok(false) };
        if let Written::Applied(_) = until_answered(|| store.write(&write)).await? {
            return Ok(true);
        }
    }
    let message =
        format!("lease `{key}` changes all the time: its owner writes it more often than this can; try again");
    Err(Error::new(Code::TableUnusable, message))
}

/// The write of the request; `None` if there is nothing to write.
fn wished(row: &Lease, which: &KeySelector, wish: QuarantineRequest) -> Option<Write> {
    let is_meant = |parked: &QuarantinedKey| match which {
        KeySelector::All => true,
        KeySelector::Key(key) => {
            parked.key.as_ref() == Some(key) || parked.positions.iter().any(|position| position.to_string() == *key)
        }
    };
    let say = |parked: &QuarantinedKey| QuarantinedKey {
        wish: if is_meant(parked) { Some(wish) } else { parked.wish },
        refused: parked.refused.clone().filter(|_| !is_meant(parked)),
        ..parked.clone()
    };
    let parked: Vec<QuarantinedKey> = row.extras.parked.iter().map(say).collect();
    let is_new = row.extras.parked.iter().any(is_meant);
    is_new.then(|| Write::QuarantineRequest { lease: row.key.clone(), counter: row.counter, parked })
}

/// The error for a table with quarantined keys that is about to be handed over: Java KCL does not
/// know them and would skip their records.
pub(super) fn refusal(parked: &[QuarantinedLease]) -> Error {
    let one = |lease: &QuarantinedLease| {
        let records: usize = lease.keys.iter().map(|key| key.positions.len()).sum();
        let keys: Vec<&str> = lease.keys.iter().map(|key| key.key.as_deref().unwrap_or("(no key)")).collect();
        format!("`{}` ({records} records of {})", lease.lease, keys.join(", "))
    };
    let leases: Vec<String> = parked.iter().map(one).collect();
    let message = format!(
        "keys are in quarantine, and another kind of consumer would skip their records: {}. Nothing was cleared away",
        leases.join("; ")
    );
    Error::new(Code::Quarantined, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lease::MemoryStore;
    use crate::lease::row::CheckpointExtras;
    use crate::record::{Checkpoint, Position, SequenceNumber, ShardId};

    fn key(name: &str) -> QuarantinedKey {
        let sequence_number = SequenceNumber::parse("7").unwrap();
        QuarantinedKey {
            key: Some(name.to_owned()),
            positions: vec![Position { sequence_number, sub_sequence_number: 0 }],
            attempts: 3,
            error: "down".to_owned(),
            arrived_at_ms: 1,
            wish: None,
            refused: None,
        }
    }

    fn lease(shard: &str, keys: Vec<QuarantinedKey>) -> Row {
        let unowned = Lease::unowned(ShardId::from(shard), Checkpoint::TrimHorizon);
        Row::Lease(Lease {
            extras: CheckpointExtras { parked: keys, ..CheckpointExtras::default() },
            counter: 4,
            ..unowned
        })
    }

    #[tokio::test]
    async fn what_is_wished_is_said_for_the_keys_that_are_meant_and_moves_the_counter() {
        let rows =
            [lease("shard-1", vec![key("UA"), key("B6")]), lease("shard-2", vec![key("DL")]), lease("shard-3", vec![])];
        let store = MemoryStore::of(rows);
        let ua = KeySelector::Key("UA".to_owned());
        assert_eq!(request_quarantined(&store, &ua, QuarantineRequest::Resume).await.unwrap(), ["shard-1"]);
        let wishes = |store: &MemoryStore| -> Vec<Option<QuarantineRequest>> {
            store.table().leases.iter().flat_map(|lease| &lease.extras.parked).map(|key| key.wish).collect()
        };
        assert_eq!(wishes(&store), [Some(QuarantineRequest::Resume), None, None]);
        let counters: Vec<u64> = store.table().leases.iter().map(|lease| lease.counter).collect();
        assert_eq!(counters, [5, 4, 4]);
        assert!(!store.table().leases[0].was_written_externally(), "it is no other hand's");
        request_quarantined(&store, &KeySelector::All, QuarantineRequest::DeadLetter).await.unwrap();
        assert_eq!(wishes(&store), [Some(QuarantineRequest::DeadLetter); 3]);
        let by_position = KeySelector::Key("7".to_owned());
        assert_eq!(
            request_quarantined(&store, &by_position, QuarantineRequest::Resume).await.unwrap(),
            ["shard-1", "shard-2"]
        );
        // A request that an owner refused is written again, without the refusal.
        let row = |store: &MemoryStore| store.table().leases[0].clone();
        let mut refused = row(&store);
        (refused.extras.parked[0].wish, refused.extras.parked[0].refused) = (None, Some("no sink".to_owned()));
        store.put(Row::Lease(refused));
        request_quarantined(&store, &ua, QuarantineRequest::Resume).await.unwrap();
        let key = row(&store).extras.parked[0].clone();
        assert_eq!((key.wish, key.refused), (Some(QuarantineRequest::Resume), None));
        let nobody = KeySelector::Key("WN".to_owned());
        assert_eq!(request_quarantined(&store, &nobody, QuarantineRequest::Resume).await.unwrap(), [""; 0]);
    }
}
