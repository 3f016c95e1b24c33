//! After a worker's end: who of its fleet still reads what, for tidying up behind those who do not.

use crate::coordination::served_by_others;
use crate::lease::row::WorkerId;
use crate::lease::{Consistency, LeaseStore, RowKey};
use crate::record::StreamId;
use std::collections::BTreeSet;
use std::time::Duration;

/// Attempts at a read, and what is between two of them: its table acquires no retries of its own.
const ATTEMPTS: u32 = 3;
const AGAIN: Duration = Duration::from_millis(300);

/// What is to be found out.
#[derive(Clone, Debug)]
pub(super) enum Asks {
    /// Whether the worker was the last of its fleet, of one stream.
    WhetherAlone,
    /// Which streams others than this worker serve, of several.
    WhoServes(WorkerId),
}

/// The others, as far as somebody asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) enum FleetMembership {
    #[default]
    NotAsked,
    /// They are there, and read what this worker read.
    Stay,
    /// They serve these streams, or there are none.
    Serve(BTreeSet<StreamId>),
    /// The table did not tell.
    Unknown(String),
}

impl Asks {
    /// Looks at the table, which the worker's session has left.
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
            // The last one has removed the fleet's row.
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
    /// Whether nobody reads the stream (one of several, or the only one) any more; an error where that is not known.
    pub(super) fn have_left(&self, stream: Option<&StreamId>) -> Result<bool, String> {
        match self {
            FleetMembership::NotAsked | FleetMembership::Stay => Ok(false),
            FleetMembership::Serve(served) => Ok(stream.is_none_or(|stream| !served.contains(stream))),
            FleetMembership::Unknown(why) => Err(why.clone()),
        }
    }
}
