//! Limits the bytes of fetched records in the whole process, and decides which shard may fetch
//! next.
//!
//! A reader reserves the largest possible size of a response *before* the call, and returns the
//! unused part after it. The rest is freed when the records are processed. A shard that holds
//! nothing comes first, in order of request. A shard that already holds bytes may fetch more only
//! if enough is left for one that does not. So a shard with a stalled handler cannot starve other
//! shards, and prefetching uses only bytes that no other shard needs.
//!
//! Worst case: if as many shards have stalled handlers as full responses fit into the budget (25 in
//! 256 MiB), the other shards wait until one of them continues. The memory limit takes precedence
//! over progress.

use crate::record::{ShardId, StreamId};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// See the module's documentation. Clones are the same budget.
#[derive(Clone, Debug)]
pub(crate) struct ByteBudget {
    inner: Arc<Inner>,
    /// The stream of the shards, in a fleet that reads several.
    stream: Option<StreamId>,
}

/// Identifies a shard among those of all streams.
type Key = (Option<StreamId>, ShardId);

#[derive(Debug)]
struct Inner {
    total: u64,
    /// The bytes that a shard which already holds some must leave free for others.
    headroom: u64,
    state: Mutex<State>,
}

/// The bytes that shards hold, and the queue of those that wait. Pure.
#[derive(Debug)]
struct State {
    free: u64,
    held: HashMap<Key, u64>,
    waiting: VecDeque<Waiter>,
    /// Grants that their waiters have not picked up yet.
    granted: BTreeMap<u64, (Key, u64)>,
    next: u64,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    shard: Key,
    bytes: u64,
    granted: Arc<Notify>,
}

impl State {
    fn holds(&self, shard: &Key) -> bool {
        self.held.contains_key(shard)
    }

    fn charge(&mut self, shard: &Key, bytes: u64) {
        if bytes > 0 {
            self.free -= bytes;
            *self.held.entry(shard.clone()).or_default() += bytes;
        }
    }

    fn refund(&mut self, shard: &Key, bytes: u64) {
        self.free += bytes;
        if let Some(held) = self.held.get_mut(shard) {
            *held = held.saturating_sub(bytes);
            if *held == 0 {
                self.held.remove(shard);
            }
        }
    }

    /// Grants every request that can be granted, in order.
    fn grant_waiting(&mut self, headroom: u64) {
        // `charge` has already counted a granted shard as holding bytes.
        while let Some(index) = self.waiting.iter().position(|waiter| !self.holds(&waiter.shard)) {
            if !self.grant(index, 0) {
                return;
            }
        }
        while !self.waiting.is_empty() && self.grant(0, headroom) {}
    }

    /// Grants one request if `left_over` bytes remain free after it. Returns true if it did.
    fn grant(&mut self, index: usize, left_over: u64) -> bool {
        let fits = |waiter: &&Waiter| self.free >= waiter.bytes.saturating_add(left_over);
        if self.waiting.get(index).filter(fits).is_none() {
            return false;
        }
        if let Some(Waiter { id, shard, bytes, granted }) = self.waiting.remove(index) {
            self.charge(&shard, bytes);
            self.granted.insert(id, (shard, bytes));
            granted.notify_one();
        }
        true
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ByteBudget {
    /// Creates a budget of `bytes`. Shards that hold bytes leave `largest` free for those that hold
    /// none (or half of the budget, if that is less).
    pub(crate) fn new(bytes: usize, largest: u64) -> Self {
        let total = (bytes as u64).max(1);
        let (waiting, granted) = (VecDeque::new(), BTreeMap::new());
        let state = State { free: total, held: HashMap::new(), waiting, granted, next: 0 };
        let inner = Inner { total, headroom: largest.min(total / 2), state: Mutex::new(state) };
        ByteBudget { inner: Arc::new(inner), stream: None }
    }

    /// Returns the same budget, for the shards of one stream.
    pub(crate) fn of_stream(&self, stream: Option<StreamId>) -> Self {
        ByteBudget { inner: Arc::clone(&self.inner), stream }
    }

    /// Waits for `bytes`. A request for more than the whole budget is reduced to the whole budget,
    /// so such a response is fetched alone.
    ///
    /// # Cancellation
    /// Nothing remains reserved.
    pub(crate) async fn reserve(&self, shard: &ShardId, bytes: u64) -> Reservation {
        let (bytes, granted) = (bytes.min(self.inner.total), Arc::new(Notify::new()));
        let waiting = {
            let mut state = self.inner.lock();
            let id = state.next;
            state.next += 1;
            state.waiting.push_back(Waiter {
                id,
                shard: (self.stream.clone(), shard.clone()),
                bytes,
                granted: Arc::clone(&granted),
            });
            state.grant_waiting(self.inner.headroom);
            Waiting { inner: Arc::clone(&self.inner), id }
        };
        loop {
            if let Some(reservation) = waiting.take() {
                return reservation;
            }
            granted.notified().await;
        }
    }

    /// Counts bytes that are already in memory, up to the free part of the budget. It does not
    /// wait: a reader that waits while it holds memory could deadlock with others that do the same.
    pub(crate) fn charge(&self, shard: &ShardId, bytes: u64) -> Reservation {
        Charge::up_to(&self.inner, (self.stream.clone(), shard.clone()), bytes)
    }

    #[cfg(test)]
    pub(crate) fn free_bytes(&self) -> u64 {
        self.inner.lock().free
    }
}

/// A place in the queue, given up when it is dropped.
struct Waiting {
    inner: Arc<Inner>,
    id: u64,
}

impl Waiting {
    fn take(&self) -> Option<Reservation> {
        let (shard, bytes) = self.inner.lock().granted.remove(&self.id)?;
        let held = Charge { inner: Arc::clone(&self.inner), shard, bytes };
        Some(Reservation { held: Some(held), _also_held: Vec::new() })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        state.waiting.retain(|waiter| waiter.id != self.id);
        if let Some((shard, bytes)) = state.granted.remove(&self.id) {
            state.refund(&shard, bytes);
        }
        state.grant_waiting(self.inner.headroom);
    }
}

/// Bytes of the budget in use. Dropping it frees them.
#[derive(Debug, Default)]
pub(crate) struct Reservation {
    held: Option<Charge>,
    /// Further reservations that are held as long as this one.
    _also_held: Vec<Arc<Reservation>>,
}

#[derive(Debug)]
struct Charge {
    inner: Arc<Inner>,
    shard: Key,
    bytes: u64,
}

impl Charge {
    fn up_to(inner: &Arc<Inner>, shard: Key, bytes: u64) -> Reservation {
        let mut state = inner.lock();
        let bytes = bytes.min(state.free);
        state.charge(&shard, bytes);
        drop(state);
        Reservation { held: Some(Charge { inner: Arc::clone(inner), shard, bytes }), _also_held: Vec::new() }
    }
}

impl Reservation {
    /// Combines several reservations into one.
    pub(crate) fn combined(reservations: Vec<Arc<Reservation>>) -> Self {
        Reservation { held: None, _also_held: reservations }
    }

    /// Reserves additional bytes for the same shard, up to the free part of the budget.
    pub(crate) fn extra(&self, bytes: u64) -> Self {
        let Some(Charge { inner, shard, .. }) = &self.held else { return Reservation::default() };
        Charge::up_to(inner, shard.clone(), bytes)
    }

    /// Adjusts the reservation to the actual size of the response. A response larger than reserved
    /// charges what is free and does not wait, for the reason given at [`ByteBudget::charge`].
    pub(crate) fn settle(&mut self, bytes: u64) {
        let Some(held) = &mut self.held else { return };
        let mut state = held.inner.lock();
        if bytes < held.bytes {
            state.refund(&held.shard, held.bytes - bytes);
            held.bytes = bytes;
            state.grant_waiting(held.inner.headroom);
        } else {
            let more = (bytes - held.bytes).min(state.free);
            state.charge(&held.shard, more);
            held.bytes += more;
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        state.refund(&self.shard, self.bytes);
        state.grant_waiting(self.inner.headroom);
    }
}

#[cfg(test)]
mod tests;
