//! The connections that are open, of which there may be only so many.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::connection::Connection;

/// Shared by all ports of a server.
#[derive(Clone, Debug)]
pub(crate) struct OpenConnections {
    most: usize,
    open: Arc<Mutex<Open>>,
}

#[derive(Debug, Default)]
struct Open {
    next: u64,
    connections: BTreeMap<u64, Connection>,
}

/// A connection's place, until it is dropped.
#[derive(Debug)]
pub(super) struct Place {
    pub(super) connection: Connection,
    number: u64,
    open: Arc<Mutex<Open>>,
}

impl OpenConnections {
    pub(crate) fn at_most(most: usize) -> Self {
        Self { most: most.max(1), open: Arc::default() }
    }

    /// Takes one more in. Where there are too many, the one that was idle for the longest time is cut, so that silent clients lock
    /// nobody out; where none is idle, the new one is refused.
    pub(super) fn admit(&self) -> Option<Place> {
        let mut open = lock(&self.open);
        if open.connections.len() >= self.most {
            let idle = open.connections.iter().filter_map(|(number, it)| Some((it.idle_since()?, *number)));
            let (_, longest) = idle.min()?;
            if let Some(connection) = open.connections.remove(&longest) {
                connection.cut();
            }
        }
        let (connection, number) = (Connection::new(), open.next);
        open.next += 1;
        open.connections.insert(number, connection.clone());
        Some(Place { connection, number, open: Arc::clone(&self.open) })
    }
}

impl Drop for Place {
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

    fn is_cut(place: &Place) -> bool {
        place.connection.told_to_end().now_or_never().is_some()
    }

    #[tokio::test(start_paused = true)]
    async fn the_connection_that_was_idle_for_longest_makes_room() {
        let open = OpenConnections::at_most(3);
        let mut places = Vec::new();
        for _ in 0..3 {
            places.push(open.admit().unwrap());
            tokio::time::sleep(Duration::from_secs(1)).await;
        }
        let busy = places[0].connection.begin();
        let fourth = open.admit().unwrap();
        assert_eq!(places.iter().map(is_cut).collect::<Vec<_>>(), [false, true, false]);
        let others = [places[2].connection.begin(), fourth.connection.begin()];
        assert!(open.admit().is_none(), "all are busy");
        drop(others);
        drop(busy);
        drop(places.remove(0));
        assert!(open.admit().is_some() && !is_cut(&places[1]), "there is room again");
    }
}
