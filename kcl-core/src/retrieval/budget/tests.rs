use super::*;
use futures_util::FutureExt;
use proptest::prelude::*;

const MIB: u64 = 1024 * 1024;

fn budget(mib: u64, largest: u64) -> ByteBudget {
    ByteBudget::new(usize::try_from(mib * MIB).unwrap(), largest * MIB)
}

fn shard(n: usize) -> ShardId {
    ShardId::new(format!("shardId-{n:012}"))
}

#[tokio::test]
async fn a_request_that_does_not_fit_waits_until_bytes_are_freed() {
    let budget = budget(10, 0);
    let first = budget.reserve(&shard(1), 6 * MIB).await;
    assert!(budget.reserve(&shard(2), 6 * MIB).now_or_never().is_none());
    drop(first);
    assert!(budget.reserve(&shard(2), 6 * MIB).now_or_never().is_some());
}

#[tokio::test]
async fn unused_bytes_are_returned() {
    let budget = budget(10, 0);
    let mut first = budget.reserve(&shard(1), 10 * MIB).await;
    first.settle(MIB);
    assert_eq!(budget.free_bytes(), 9 * MIB);
    drop(first);
    assert_eq!(budget.free_bytes(), 10 * MIB);
}

#[tokio::test]
async fn a_response_larger_than_the_budget_is_fetched_alone() {
    let budget = budget(1, 0);
    let mut first = budget.reserve(&shard(1), 10 * MIB).await;
    first.settle(10 * MIB);
    assert_eq!(budget.free_bytes(), 0);
    assert!(budget.reserve(&shard(2), 1).now_or_never().is_none());
    drop(first);
    assert_eq!(budget.free_bytes(), MIB);
}

#[tokio::test]
async fn a_response_larger_than_reserved_charges_free_bytes_and_returns_them() {
    let budget = budget(10, 0);
    let mut first = budget.reserve(&shard(1), MIB).await;
    first.settle(4 * MIB);
    assert_eq!(budget.free_bytes(), 6 * MIB);
    let other = budget.reserve(&shard(2), 5 * MIB).await;
    first.settle(20 * MIB);
    assert_eq!(budget.free_bytes(), 0);
    drop((first, other));
    assert_eq!(budget.free_bytes(), 10 * MIB);
}

#[tokio::test]
async fn a_large_reservation_is_not_overtaken_by_small_ones() {
    let budget = budget(10, 0);
    let held = budget.reserve(&shard(1), 5 * MIB).await;
    let (two, three) = (shard(2), shard(3));
    let mut large = Box::pin(budget.reserve(&two, 10 * MIB));
    assert!(large.as_mut().now_or_never().is_none());
    let mut small = Box::pin(budget.reserve(&three, MIB));
    assert!(small.as_mut().now_or_never().is_none(), "it would fit, but the large one came first");
    drop(held);
    let large = large.await;
    assert!(small.as_mut().now_or_never().is_none());
    drop(large);
    small.await;
}

#[tokio::test]
async fn shards_with_stalled_handlers_leave_bytes_for_one_that_holds_nothing() {
    let budget = budget(100, 20);
    let mut held = Vec::new();
    // Nine shards reserve as much as they get, repeatedly.
    for n in (0..9).cycle().take(90) {
        held.extend(budget.reserve(&shard(n), 10 * MIB).now_or_never());
    }
    assert_eq!(budget.free_bytes(), 10 * MIB, "nine first requests; a second one must leave twenty free");
    assert!(budget.reserve(&shard(9), 10 * MIB).now_or_never().is_some());
}

#[tokio::test]
async fn a_shard_that_holds_nothing_comes_first() {
    let budget = budget(40, 10);
    let (one, two) = (shard(1), shard(2));
    let first = budget.reserve(&one, 20 * MIB).await;
    let mut more = Box::pin(budget.reserve(&one, 20 * MIB));
    assert!(more.as_mut().now_or_never().is_none());
    let other = budget.reserve(&two, 20 * MIB).now_or_never();
    assert!(other.is_some());
    drop(first);
    assert!(more.as_mut().now_or_never().is_some(), "it holds nothing any more");
}

#[tokio::test]
async fn a_dropped_request_leaves_the_queue() {
    let budget = budget(10, 0);
    let held = budget.reserve(&shard(1), 10 * MIB).await;
    let two = shard(2);
    let mut waiting = Box::pin(budget.reserve(&two, 10 * MIB));
    assert!(waiting.as_mut().now_or_never().is_none());
    drop(held);
    // Granted, and dropped before it was picked up.
    drop(waiting);
    assert_eq!(budget.free_bytes(), 10 * MIB);
}

proptest! {
    /// For any sequence of requests: the budget is never exceeded, and every shard that holds
    /// nothing is served.
    #[test]
    fn the_budget_is_never_exceeded_and_no_shard_starves(
        steps in proptest::collection::vec((0usize..6, 1u64..30, 0u8..4), 1..120), total in 25u64..80,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let budget = budget(total, 25);
            let mut held: Vec<(usize, Reservation, u64)> = Vec::new();
            for (n, mib, what) in steps {
                match what {
                    0 | 1 => {
                        if let Some(mut reservation) = budget.reserve(&shard(n), mib * MIB).now_or_never() {
                            reservation.settle(mib * MIB / 2);
                            held.push((n, reservation, mib * MIB / 2));
                        }
                    }
                    2 => drop(held.pop()),
                    _ => if !held.is_empty() { drop(held.remove(0)) },
                }
                let used: u64 = held.iter().map(|(_, _, bytes)| bytes).sum();
                assert_eq!(budget.free_bytes(), total * MIB - used);
            }
            // All shards at once, each requesting a full response, several times.
            let done = Arc::new(std::sync::atomic::AtomicUsize::new(0));
            drop(held);
            let each = |n: usize| {
                let (budget, done) = (budget.clone(), Arc::clone(&done));
                async move {
                    for _ in 0..5 {
                        drop(budget.reserve(&shard(n), 25 * MIB).await);
                        tokio::task::yield_now().await;
                    }
                    done.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                }
            };
            futures_util::future::join_all((0..6).map(each)).await;
            assert_eq!(done.load(std::sync::atomic::Ordering::Relaxed), 6);
            assert_eq!(budget.free_bytes(), total * MIB);
        });
    }
}

#[tokio::test]
async fn shards_of_the_same_name_in_two_streams_are_two_shards() {
    let budget = budget(10, 5);
    let of = |stream: &str| budget.of_stream(Some(crate::record::StreamId::new(stream)));
    let (orders, payments) = (of("1:orders:2"), of("1:payments:2"));
    let held = orders.reserve(&shard(0), 5 * MIB).await;
    assert!(
        orders.reserve(&shard(0), 5 * MIB).now_or_never().is_none(),
        "a shard that holds bytes leaves some for others"
    );
    let other = payments.reserve(&shard(0), 5 * MIB).now_or_never().expect("a shard of another stream");
    drop(held);
    assert_eq!(budget.free_bytes(), 5 * MIB);
    drop(other);
    assert_eq!(budget.free_bytes(), 10 * MIB);
}
