//! Asks the user's checkpoint store for a shard's position: before it is read, after a failure, and
//! before its lease is released.

use super::ConsumerConfig;
use crate::processor::delivery::{ReportKind, ShardDelivery};
use crate::processor::event::delivery::{CheckpointStoreAnswered, CheckpointStoreFailed};
use crate::processor::failure::Backoff;
use crate::processor::store::ClaimedLease;
use crate::record::{Position, StartingPosition};
use tokio::time::sleep;

fn claimed(delivery: &ShardDelivery) -> ClaimedLease {
    let claim = &delivery.claim;
    ClaimedLease::new(claim.lease.as_str(), claim.shard.clone(), claim.fencing_token)
}

/// The position at which reading starts: the store's, or the lease row's if that is further. `None`
/// if the lease is lost or released before the store answers.
pub(in crate::processor) async fn starting_position(
    delivery: &ShardDelivery,
    config: &ConsumerConfig,
) -> Option<StartingPosition> {
    let claim = &delivery.claim;
    let Some(store) = &config.store else { return Some(claim.from.clone()) };
    let claimed = claimed(delivery);
    let (mut rng, mut attempt) = (config.rng.clone(), 0);
    loop {
        let asked = tokio::select! {
            biased;
            () = delivery.closed() => return None,
            () = delivery.drain_requested() => {
                delivery.report(ReportKind::Drained);
                return None;
            }
            asked = store.begin(&claimed) => asked,
        };
        if asked.is_ok() {
            CheckpointStoreAnswered { shard: &claim.shard }.emit();
        }
        match asked {
            Ok(Some(position)) => {
                let further = !matches!(&claim.from, StartingPosition::After(at) if *at >= position);
                if further {
                    delivery.done_up_to(position.clone());
                    return Some(StartingPosition::After(position));
                }
                return Some(claim.from.clone());
            }
            Ok(None) => return Some(claim.from.clone()),
            Err(error) => {
                attempt += 1;
                let next = "reading starts once the store answers";
                CheckpointStoreFailed { shard: &claim.shard, error: &error, attempt, next }.emit();
                let pause = Backoff::default().after(attempt).mul_f64(rng.f64());
                tokio::select! {
                    biased;
                    () = delivery.closed() => return None,
                    () = delivery.drain_requested() => {}
                    () = sleep(pause) => {}
                }
            }
        }
    }
}

/// The store's answer while a shard is being processed.
pub(super) enum Answer {
    /// Every record up to this position is done; `None` if nothing is stored.
    At(Option<Position>),
    /// The owner requested a drain before the store answered.
    DrainRequested,
    /// The lease was lost or released before the store answered.
    Closed,
}

/// Asks the store for its position until it answers.
pub(super) async fn position(delivery: &ShardDelivery, config: &ConsumerConfig) -> Answer {
    let Some(store) = &config.store else { return Answer::At(None) };
    let claimed = claimed(delivery);
    let (mut rng, mut attempt) = (config.rng.clone(), 0);
    loop {
        let error = tokio::select! {
            biased;
            () = delivery.closed() => return Answer::Closed,
            asked = store.begin(&claimed) => match asked {
                Ok(position) => {
                    CheckpointStoreAnswered { shard: &delivery.claim.shard }.emit();
                    return Answer::At(position);
                }
                Err(error) => error,
            },
        };
        attempt += 1;
        let next = "the shard continues once the store answers";
        CheckpointStoreFailed { shard: &delivery.claim.shard, error: &error, attempt, next }.emit();
        let pause = Backoff::default().after(attempt).mul_f64(rng.f64());
        tokio::select! {
            biased;
            () = delivery.closed() => return Answer::Closed,
            () = delivery.drain_requested() => return Answer::DrainRequested,
            () = sleep(pause) => {}
        }
    }
}

/// Acknowledges what is done according to the store, with one attempt. A handler's last batch may
/// have failed after its commit; the lease's row then has to show the store's position, for a
/// consumer that continues without the store.
pub(super) async fn catch_up(delivery: &ShardDelivery, config: &ConsumerConfig) {
    let Some(store) = &config.store else { return };
    let claimed = claimed(delivery);
    let asked = tokio::select! {
        biased;
        () = delivery.closed() => return,
        asked = store.begin(&claimed) => asked,
    };
    match asked {
        // A position that is out of range was stored by an earlier owner, and the row is already
        // past it.
        Ok(Some(position)) => drop(delivery.acknowledge_up_to(&position)),
        Ok(None) => {}
        Err(error) => {
            let next = "releasing the lease at the acknowledged position";
            CheckpointStoreFailed { shard: &delivery.claim.shard, error: &error, attempt: 1, next }.emit();
        }
    }
}
