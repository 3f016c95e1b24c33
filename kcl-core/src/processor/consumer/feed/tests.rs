use super::*;
use crate::clock::TokioClock;
use crate::lease::LeaseKey;
use crate::processor::{ClaimSnapshot, DeliveryGate};
use crate::record::{SequenceNumber, ShardId, StartingPosition};
use proptest::prelude::*;
use std::time::Duration;

fn delivery() -> Arc<ShardDelivery> {
    let (reports, _) = tokio::sync::mpsc::unbounded_channel();
    let claim = ClaimSnapshot::of(LeaseKey::new("s"), ShardId::new("s"), 1, StartingPosition::TrimHorizon);
    ShardDelivery::new(claim, DeliveryGate::new(Arc::new(TokioClock::new())), reports)
}

fn record(n: u64) -> Record {
    Record::new(SequenceNumber::parse(n.to_string()).unwrap(), vec![0; 3]).with_partition_key(format!("key-{}", n % 7))
}

fn chunk(numbers: std::ops::Range<u64>) -> Chunk {
    Chunk { records: numbers.map(record).collect(), ..Chunk::default() }
}

fn batching(records: usize) -> BatchingConfig {
    BatchingConfig { records, bytes: 1_000_000, window: Duration::ZERO }
}

fn numbers(slice: &RecordSlice) -> Vec<u64> {
    slice.records().iter().map(|record| record.sequence_number.as_str().parse().unwrap()).collect()
}

#[tokio::test]
async fn a_chunk_for_one_lane_is_passed_on_without_a_copy() {
    let (mut feed, delivery) = (Feed::new(Lanes::One, batching(10_000), CompletedRanges::default()), delivery());
    let chunk = chunk(1..5);
    let records = chunk.records.as_ptr();
    feed.add(chunk, &delivery, Time::ZERO);
    let FeedPoll::Batch(slice) = feed.take(0, Time::ZERO) else { panic!("a batch") };
    assert_eq!((slice.records().as_ptr(), numbers(&slice)), (records, vec![1, 2, 3, 4]));
    assert!(matches!(feed.take(0, Time::ZERO), FeedPoll::Nothing));
}

#[tokio::test]
async fn lanes_that_share_a_queue_get_even_shares() {
    let (mut feed, delivery) = (Feed::new(Lanes::Any(4), batching(10_000), CompletedRanges::default()), delivery());
    feed.add(chunk(1..9), &delivery, Time::ZERO);
    let parts: Vec<Vec<u64>> = (0..8)
        .map_while(|lane| {
            if let FeedPoll::Batch(slice) = feed.take(lane % 4, Time::ZERO) { Some(numbers(&slice)) } else { None }
        })
        .collect();
    assert_eq!(parts[0], [1, 2]);
    assert_eq!(parts.concat(), (1..9).collect::<Vec<_>>());
}

proptest! {
    #[test]
    fn every_record_is_delivered_once_in_order_with_its_own_number(
        sizes in proptest::collection::vec(0u64..30, 1..8), lanes in 1usize..5, mode in 0u8..3, most in 1usize..12,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let lanes = [Lanes::One, Lanes::ByKey(lanes), Lanes::Any(lanes)][usize::from(mode)];
            let (mut feed, delivery) = (Feed::new(lanes, batching(most), CompletedRanges::default()), delivery());
            let (mut next, mut seen) = (1, Vec::new());
            for size in sizes {
                feed.add(chunk(next..next + size), &delivery, Time::ZERO);
                next += size;
                for lane in 0..lanes.count() {
                    let mut last = 0;
                    while let FeedPoll::Batch(slice) = feed.take(lane, Time::ZERO) {
                        assert!((1..=most).contains(&slice.len()));
                        for (index, number) in slice.range.clone().zip(numbers(&slice)) {
                            assert_eq!(slice.ack_id(index), Some(number - 1), "numbers count from 0");
                            assert!(number > last);
                            last = number;
                            seen.push(number);
                        }
                        slice.settle_all(&delivery);
                    }
                }
            }
            seen.sort_unstable();
            assert_eq!(seen, (1..next).collect::<Vec<_>>());
            assert!(delivery.is_complete());
        });
    }
}
