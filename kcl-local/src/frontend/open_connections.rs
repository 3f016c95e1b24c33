//! Limits the number of open connections.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::connection::Connection;

/// The open connections of all ports of a server.
#[derive(Clone, Debug)]
pub(crate) struct OpenConnections {
    max: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    connections: BTreeMap<u64, Connection>,
}

/// Counts a connection as open until it is dropped.
#[derive(Debug)]
pub(super) struct ConnectionPermit {
    pub(super) connection: Connection,
    number: u64,
    open: Arc<Mutex<Open>>,
}

impl OpenConnections {
    pub(crate) fn at_most(max: usize) -> Self {
        Self { max: max.max(1), open: Arc::default() }
    }

    /// Admits a new connection. At the limit, cuts the connection that is idle for longest, so that
    /// silent clients cannot lock others out. Returns `None` if no connection is idle.
    pub(super) fn admit(&self) -> Option<ConnectionPermit> {
        let mut open = lock(&self.open);
        if open.connections.len() >= self.max {
            let idle = open.connections.iter().filter_map(|(number, it)| Some((it.idle_since()?, *number)));
            let (_, longest) = idle.min()?;
            if let Some(connection) = open.connections.remove(&longest) {
                connection.cut();
            }
        }
        let (connection, number) = (Connection::new(), open.next);
        open.next += 1;
        open.connections.insert(number, connection.clone());
        Some(ConnectionPermit { connection, number, open: Arc::clone(&self.open) })
    }
}

impl Drop for ConnectionPermit {
    fn drop(&mut self) {
        lock(&self.open).connections.remove(&self.number);
    }
}

fn lock(open: &Mutex<Open>) -> MutexGuard<'_, Open> {
    open.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt as _;
    use std::time::Duration;

    fn is_cut(permit: &ConnectionPermit) -> bool {
        permit.connection.cut_requested().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_is_idle_for_longest_is_cut_for_a_new_one() {
        let open = OpenConnections::at_most(3);
        let mut permits = Vec::new();
        for _ in 0..3 {
            permits.push(open.admit().unwrap());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let busy = permits[0].connection.begin();
        let fourth = open.admit().unwrap();
        assert_eq!(permits.iter().map(is_cut).collect::<Vec<_>>(), [false, true, false]);
        let others = [permits[2].connection.begin(), fourth.connection.begin()];
        assert!(open.admit().is_none(), "all connections are busy");
        drop(others);
        drop(busy);
        drop(permits.remove(0));
        assert!(open.admit().is_some() && !is_cut(&permits[1]), "a connection has closed");
    }
}
