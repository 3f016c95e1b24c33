//! How many fetched bytes may be in memory, in the whole process, and whose turn it is to fetch more.
//!
//! Who fetches reserves the most that the call may need *before* it, then yields back what it did not need; what is left is
//! free again when the records are done. A shard that holds nothing comes first, in the order of asking; a shard that holds
//! something may fetch more only where enough is left for one that does not. So a shard whose handler stands cannot take
//! what others need, and whatever is fetched ahead is taken from what nobody else wants.
//!
//! Worst case: as many shards whose handlers stand as there are full answers in the budget (25 in 256 MiB) leave nothing for
//! the others until one of them goes on: memory is bounded before anything else.

use crate::record::{ShardId, StreamId};
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// See the module's documentation. Clones are the same budget.
#[derive(Clone, Debug)]
pub(crate) struct ByteBudget {
    inner: Arc<Inner>,
    /// Whose shards ask, of several streams.
    stream: Option<StreamId>,
}

/// A shard among those of all streams.
type Key = (Option<StreamId>, ShardId);

#[derive(Debug)]
struct Inner {
    total: u64,
    /// What a shard that holds something leaves for others.
    kept: u64,
    state: Mutex<State>,
}

/// Who holds and who waits. Pure.
#[derive(Debug)]
struct State {
    free: u64,
    held: HashMap<Key, u64>,
    waiting: VecDeque<Waiter>,
    /// What was granted and not taken yet.
    granted: BTreeMap<u64, (Key, u64)>,
    next: u64,
}

#[derive(Debug)]
struct Waiter {
    id: u64,
    shard: Key,
    bytes: u64,
    turn: Arc<Notify>,
}

impl State {
    fn holds(&self, shard: &Key) -> bool {
        self.held.contains_key(shard)
    }

    fn take(&mut self, shard: &Key, bytes: u64) {
        if bytes > 0 {
            self.free -= bytes;
            *self.held.entry(shard.clone()).or_default() += bytes;
        }
    }

    fn give_back(&mut self, shard: &Key, bytes: u64) {
        self.free += bytes;
        if let Some(held) = self.held.get_mut(shard) {
            *held = held.saturating_sub(bytes);
            if *held == 0 {
                self.held.remove(shard);
            }
        }
    }

    /// Grants whatever can be granted, in order.
    fn serve(&mut self, kept: u64) {
        // A shard that was granted something and did not take it yet holds it already.
        while let Some(index) = self.waiting.iter().position(|waiter| !self.holds(&waiter.shard)) {
            if !self.grant(index, 0) {
                return;
            }
        }
        while !self.waiting.is_empty() && self.grant(0, kept) {}
    }

    /// Whether there was room, with so much left over.
    fn grant(&mut self, index: usize, left_over: u64) -> bool {
        let fits = |waiter: &&Waiter| self.free >= waiter.bytes.saturating_add(left_over);
        if self.waiting.get(index).filter(fits).is_none() {
            return false;
        }
        if let Some(Waiter { id, shard, bytes, turn }) = self.waiting.remove(index) {
            self.take(&shard, bytes);
            self.granted.insert(id, (shard, bytes));
            turn.notify_one();
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
    /// A budget of so many bytes, of which shards that hold something leave `largest` for those that do not (or half of it
    /// all, if that is less).
    pub(crate) fn new(bytes: usize, largest: u64) -> Self {
        let total = (bytes as u64).max(1);
        let (waiting, granted) = (VecDeque::new(), BTreeMap::new());
        let state = State { free: total, held: HashMap::new(), waiting, granted, next: 0 };
        let inner = Inner { total, kept: largest.min(total / 2), state: Mutex::new(state) };
        ByteBudget { inner: Arc::new(inner), stream: None }
    }

    /// The same budget, for the shards of one of several streams.
    pub(crate) fn of_stream(&self, stream: Option<StreamId>) -> Self {
        ByteBudget { inner: Arc::clone(&self.inner), stream }
    }

    /// Waits for so many bytes. More than the whole budget counts as the whole: such an answer passes alone.
    ///
    /// # Cancellation
    /// Nothing stays reserved.
    pub(crate) async fn reserve(&self, shard: &ShardId, bytes: u64) -> Reservation {
        let (bytes, turn) = (bytes.min(self.inner.total), Arc::new(Notify::new()));
        let waiting = {
            let mut state = self.inner.lock();
            let id = state.next;
            state.next += 1;
            state.waiting.push_back(Waiter {
                id,
                shard: (self.stream.clone(), shard.clone()),
                bytes,
                turn: Arc::clone(&turn),
            });
            state.serve(self.inner.kept);
            Waiting { inner: Arc::clone(&self.inner), id }
        };
        loop {
            if let Some(reservation) = waiting.take() {
                return reservation;
            }
            turn.notified().await;
        }
    }

    /// Counts bytes that are in memory already, as far as there is room: waiting while holding memory is how everybody ends
    /// up waiting for everybody.
    pub(crate) fn take(&self, shard: &ShardId, bytes: u64) -> Reservation {
        Held::taken(&self.inner, (self.stream.clone(), shard.clone()), bytes)
    }

    #[cfg(test)]
    pub(crate) fn free_bytes(&self) -> u64 {
        self.inner.lock().free
    }
}

/// A place in the queue; given up when it is dropped.
struct Waiting {
    inner: Arc<Inner>,
    id: u64,
}

impl Waiting {
    fn take(&self) -> Option<Reservation> {
        let (shard, bytes) = self.inner.lock().granted.remove(&self.id)?;
        let held = Held { inner: Arc::clone(&self.inner), shard, bytes };
        Some(Reservation { held: Some(held), _others: Vec::new() })
    }
}

impl Drop for Waiting {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        state.waiting.retain(|waiter| waiter.id != self.id);
        if let Some((shard, bytes)) = state.granted.remove(&self.id) {
            state.give_back(&shard, bytes);
        }
        state.serve(self.inner.kept);
    }
}

/// Bytes of the budget in use; free again when this is dropped.
#[derive(Debug, Default)]
pub struct Reservation {
    held: Option<Held>,
    /// Others that are needed as long as this one.
    _others: Vec<Arc<Reservation>>,
}

#[derive(Debug)]
struct Held {
    inner: Arc<Inner>,
    shard: Key,
    bytes: u64,
}

impl Held {
    fn taken(inner: &Arc<Inner>, shard: Key, bytes: u64) -> Reservation {
        let mut state = inner.lock();
        let bytes = bytes.min(state.free);
        state.take(&shard, bytes);
        drop(state);
        Reservation { held: Some(Held { inner: Arc::clone(inner), shard, bytes }), _others: Vec::new() }
    }
}

impl Reservation {
    /// What these together hold.
    pub(crate) fn of_all(others: Vec<Arc<Reservation>>) -> Self {
        Reservation { held: None, _others: others }
    }

    /// What is needed beside it, as far as there is room.
    pub(crate) fn extra(&self, bytes: u64) -> Self {
        let Some(Held { inner, shard, .. }) = &self.held else { return Reservation::default() };
        Held::taken(inner, shard.clone(), bytes)
    }

    /// Corrects the reservation once the size of the answer is known. An answer that is larger than was reserved acquires
    /// what is free and does not wait: waiting while holding memory is how everybody ends up waiting for everybody.
    pub(crate) fn settle(&mut self, bytes: u64) {
        let Some(held) = &mut self.held else { return };
        let mut state = held.inner.lock();
        if bytes < held.bytes {
            state.give_back(&held.shard, held.bytes - bytes);
            held.bytes = bytes;
            state.serve(held.inner.kept);
        } else {
            let more = (bytes - held.bytes).min(state.free);
            state.take(&held.shard, more);
            held.bytes += more;
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        let mut state = self.inner.lock();
        state.give_back(&self.shard, self.bytes);
        state.serve(self.inner.kept);
    }
}

#[cfg(test)]
mod tests;
