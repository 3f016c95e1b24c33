//! How many fetched bytes may wait to be processed, in the whole process.
//!
//! Who fetches reserves the most that the answer may hold *before* the call, then gives back what it did not need; what
//! is left is freed when the batch is done. Waiting is first come, first served, so no shard starves.

use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The semaphore counts in these, so that any budget fits its 32 bits.
const UNIT: u64 = 1024;

/// See the module's documentation.
#[derive(Clone, Debug)]
pub(crate) struct ByteBudget {
    units: u32,
    free: Arc<Semaphore>,
}

impl ByteBudget {
    /// A budget of so many bytes (rounded up to whole KiB).
    pub(crate) fn new(bytes: usize) -> Self {
        let units = units(bytes as u64).max(1);
        ByteBudget { units, free: Arc::new(Semaphore::new(units as usize)) }
    }

    /// Waits for so many bytes. More than the whole budget counts as the whole: such an answer passes alone.
    pub(crate) async fn reserve(&self, bytes: u64) -> Reservation {
        let wanted = units(bytes).min(self.units);
        // The semaphore is never closed, so that an error cannot be; without a permit nothing would be counted.
        let permit = Arc::clone(&self.free).acquire_many_owned(wanted).await.ok();
        Reservation { permit, _others: Vec::new() }
    }

    #[cfg(test)]
    pub(crate) fn free_bytes(&self) -> u64 {
        self.free.available_permits() as u64 * UNIT
    }
}

fn units(bytes: u64) -> u32 {
    u32::try_from(bytes.div_ceil(UNIT))
        .unwrap_or(u32::MAX)
        .min(u32::try_from(Semaphore::MAX_PERMITS).unwrap_or(u32::MAX))
}

/// Bytes of the budget in use; free again when this is dropped.
#[derive(Debug, Default)]
pub struct Reservation {
    permit: Option<OwnedSemaphorePermit>,
    /// Others that are needed as long as this one.
    _others: Vec<Arc<Reservation>>,
}

impl Reservation {
    /// What these together hold.
    pub(crate) fn of_all(others: Vec<Arc<Reservation>>) -> Self {
        Reservation { permit: None, _others: others }
    }

    /// Corrects the reservation once the size of the answer is known. An answer that is larger than was reserved takes
    /// what is free and does not wait: waiting while holding memory is how everybody ends up waiting for everybody.
    pub(crate) fn settle(&mut self, bytes: u64) {
        let Some(permit) = self.permit.as_mut() else { return };
        let (held, needed) = (permit.num_permits(), units(bytes) as usize);
        if needed < held {
            drop(permit.split(held - needed));
        } else if needed > held {
            let semaphore = Arc::clone(permit.semaphore());
            let more = u32::try_from((needed - held).min(semaphore.available_permits())).unwrap_or(0);
            if let Ok(more) = semaphore.try_acquire_many_owned(more) {
                permit.merge(more);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures_util::FutureExt;

    const MIB: u64 = 1024 * 1024;

    #[tokio::test]
    async fn what_does_not_fit_waits_until_something_is_done() {
        let budget = ByteBudget::new(10 * MIB as usize);
        let first = budget.reserve(6 * MIB).await;
        assert!(budget.reserve(6 * MIB).now_or_never().is_none());
        drop(first);
        assert!(budget.reserve(6 * MIB).now_or_never().is_some());
    }

    #[tokio::test]
    async fn what_was_not_needed_is_given_back() {
        let budget = ByteBudget::new(10 * MIB as usize);
        let mut first = budget.reserve(10 * MIB).await;
        first.settle(MIB);
        assert_eq!(budget.free_bytes(), 9 * MIB);
        drop(first);
        assert_eq!(budget.free_bytes(), 10 * MIB);
    }

    #[tokio::test]
    async fn an_answer_larger_than_the_whole_budget_passes_alone() {
        let budget = ByteBudget::new(MIB as usize);
        let mut first = budget.reserve(10 * MIB).await;
        first.settle(10 * MIB);
        assert_eq!(budget.free_bytes(), 0);
        assert!(budget.reserve(1).now_or_never().is_none());
        drop(first);
        assert_eq!(budget.free_bytes(), MIB);
    }

    #[tokio::test]
    async fn an_answer_larger_than_reserved_takes_what_is_free_and_gives_it_back() {
        let budget = ByteBudget::new(10 * MIB as usize);
        let mut first = budget.reserve(MIB).await;
        first.settle(4 * MIB);
        assert_eq!(budget.free_bytes(), 6 * MIB);
        let other = budget.reserve(5 * MIB).await;
        first.settle(20 * MIB);
        assert_eq!(budget.free_bytes(), 0);
        drop((first, other));
        assert_eq!(budget.free_bytes(), 10 * MIB);
    }

    #[tokio::test]
    async fn a_large_reservation_is_not_overtaken_by_small_ones() {
        let budget = ByteBudget::new(10 * MIB as usize);
        let held = budget.reserve(5 * MIB).await;
        let mut large = Box::pin(budget.reserve(10 * MIB));
        assert!(large.as_mut().now_or_never().is_none());
        let mut small = Box::pin(budget.reserve(MIB));
        assert!(small.as_mut().now_or_never().is_none(), "room for it, but the large one came first");
        drop(held);
        let large = large.await;
        assert!(small.as_mut().now_or_never().is_none());
        drop(large);
        small.await;
    }
}
