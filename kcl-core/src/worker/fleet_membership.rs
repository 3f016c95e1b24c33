//! Reads which workers of the fleet remain, and which streams they serve, after this worker has
//! left.

use crate::coordination::served_by_others;
use crate::lease::row::WorkerId;
use crate::lease::{Consistency, LeaseStore, RowKey};
use crate::record::StreamId;
use std::collections::BTreeSet;
use std::time::Duration;

/// Attempts at a read, and the pause between them. The store does not retry.
const ATTEMPTS: u32 = 3;
const AGAIN: Duration = Duration::from_millis(300);

/// A question about the rest of the fleet.
#[derive(Clone, Debug)]
pub(super) enum Asks {
    /// Whether this worker was the last one of its fleet; for a worker of one stream.
    WhetherAlone,
    /// Which streams the other workers serve; for a worker of several streams.
    WhoServes(WorkerId),
}

/// The answer, if the question was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum FleetMembership {
    #[default]
    NotAsked,
    /// Other workers remain, and read the stream.
    Stay,
    /// The streams that other workers serve; none if there are no others.
    Serve(BTreeSet<StreamId>),
    /// The table did not answer.
    Unknown(String),
}

impl Asks {
    /// Reads the table, after this worker's session has ended.
    pub(super) async fn look(self, store: &dyn LeaseStore) -> FleetMembership {
        let mut others = self.ask(store).await;
        for _ in 1..ATTEMPTS {
            let FleetMembership::Unknown(_) = others else { break };
            tokio::time::sleep(AGAIN).await;
            others = self.ask(store).await;
        }
        others
    }

    async fn ask(&self, store: &dyn LeaseStore) -> FleetMembership {
        match self {
            // The last worker of a fleet deletes the fleet row.
            Asks::WhetherAlone => match store.read(&[RowKey::Fleet], Consistency::Strong).await.as_deref() {
                Ok([None]) => FleetMembership::Serve(BTreeSet::new()),
                Ok(_) => FleetMembership::Stay,
                Err(error) => FleetMembership::Unknown(error.to_string()),
            },
            Asks::WhoServes(me) => match store.scan().await {
                Ok(table) => FleetMembership::Serve(served_by_others(&table, me)),
                Err(error) => FleetMembership::Unknown(error.to_string()),
            },
        }
    }
}

impl FleetMembership {
    /// True if no other worker reads the stream (one of several, or the only one); an error if that
    /// is unknown.
    pub(super) fn have_left(&self, stream: Option<&StreamId>) -> Result<bool, String> {
        match self {
            FleetMembership::NotAsked | FleetMembership::Stay => Ok(false),
            FleetMembership::Serve(served) => Ok(stream.is_none_or(|stream| !served.contains(stream))),
            FleetMembership::Unknown(why) => Err(why.clone()),
        }
    }
}
