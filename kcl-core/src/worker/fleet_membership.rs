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
const RETRY_PAUSE: Duration = Duration::from_millis(300);

/// A question about the rest of the fleet.
#[derive(Clone, Debug)]
pub(super) enum MembershipQuery {
    /// Whether this worker was the last one of its fleet; for a worker of one stream.
    IsLast,
    /// Which streams the other workers serve; for a worker of several streams.
    StreamsOfOthers(WorkerId),
}

/// The answer, if the question was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum FleetMembership {
    #[default]
    NotAsked,
    /// Other workers remain, and read the stream.
    Remain,
    /// The streams that other workers serve; none if there are no others.
    Serving(BTreeSet<StreamId>),
    /// The table did not answer.
    Unknown(String),
}

impl MembershipQuery {
    /// Reads the table, after this worker's session has ended.
    pub(super) async fn look(self, store: &dyn LeaseStore) -> FleetMembership {
        let mut others = self.ask(store).await;
        for _ in 1..ATTEMPTS {
            let FleetMembership::Unknown(_) = others else { break };
            tokio::time::sleep(RETRY_PAUSE).await;
            others = self.ask(store).await;
        }
        others
    }

    async fn ask(&self, store: &dyn LeaseStore) -> FleetMembership {
        match self {
            // The last worker of a fleet deletes the fleet row.
            MembershipQuery::IsLast => match store.read(&[RowKey::Fleet], Consistency::Strong).await.as_deref() {
                Ok([None]) => FleetMembership::Serving(BTreeSet::new()),
                Ok(_) => FleetMembership::Remain,
                Err(error) => FleetMembership::Unknown(error.to_string()),
            },
            MembershipQuery::StreamsOfOthers(me) => match store.scan().await {
                Ok(table) => FleetMembership::Serving(served_by_others(&table, me)),
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
            FleetMembership::NotAsked | FleetMembership::Remain => Ok(false),
            FleetMembership::Serving(served) => Ok(stream.is_none_or(|stream| !served.contains(stream))),
            FleetMembership::Unknown(why) => Err(why.clone()),
        }
    }
}
