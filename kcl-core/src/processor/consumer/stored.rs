//! Asking the store of checkpoints how far a shard has come: before it is read, and before its lease is given up.

use super::Rules;
use crate::processor::delivery::{ReportKind, ShardDelivery};
use crate::processor::failure::Backoff;
use crate::processor::store::ClaimedLease;
use crate::record::{Position, StartingPosition};
use crate::telemetry::event::delivery::{CheckpointStoreAnswered, CheckpointStoreFailed};
use tokio::time::sleep;

fn claimed(delivery: &ShardDelivery) -> ClaimedLease {
    let hold = &delivery.hold;
    ClaimedLease::new(hold.lease.as_str(), hold.shard.clone(), hold.fencing_token)
}

/// Where reading starts: after what the store says, if there is one; nowhere, where the lease is given up before it answers.
pub(in crate::processor) async fn starting_position(
    delivery: &ShardDelivery,
    rules: &Rules,
) -> Option<StartingPosition> {
    let hold = &delivery.hold;
    let Some(store) = &rules.store else { return Some(hold.from.clone()) };
    let claimed = claimed(delivery);
    let (mut rng, mut attempt) = (rules.rng.clone(), 0);
    loop {
        let asked = tokio::select! {
            biased;
            () = delivery.closed() => return None,
            () = delivery.drain_asked() => {
                delivery.report(ReportKind::Drained);
                return None;
            }
            asked = store.begin(&claimed) => asked,
        };
        if asked.is_ok() {
            CheckpointStoreAnswered { shard: &hold.shard }.emit();
        }
        match asked {
            Ok(Some(position)) => {
                let further = !matches!(&hold.from, StartingPosition::After(at) if *at >= position);
                if further {
                    delivery.done_up_to(position.clone());
                    return Some(StartingPosition::After(position));
                }
                return Some(hold.from.clone());
            }
            Ok(None) => return Some(hold.from.clone()),
            Err(error) => {
                attempt += 1;
                let next = "the shard is read once it answers";
                CheckpointStoreFailed { shard: &hold.shard, error: &error, attempt, next }.emit();
                let pause = Backoff::default().after(attempt).mul_f64(rng.f64());
                tokio::select! {
                    biased;
                    () = delivery.closed() => return None,
                    () = delivery.drain_asked() => {}
                    () = sleep(pause) => {}
                }
            }
        }
    }
}

/// The store's answer while a shard is worked on.
pub(super) enum Answer {
    /// Everything up to there is done; nothing yet if absent.
    At(Option<Position>),
    /// The owner asked for a drain before the store answered.
    DrainAsked,
    /// The lease was lost or given up before the store answered.
    Closed,
}

/// How far the shard is done by the store's word, however long it acquires to say so.
pub(super) async fn position(delivery: &ShardDelivery, rules: &Rules) -> Answer {
    let Some(store) = &rules.store else { return Answer::At(None) };
    let claimed = claimed(delivery);
    let (mut rng, mut attempt) = (rules.rng.clone(), 0);
    loop {
        let error = tokio::select! {
            biased;
            () = delivery.closed() => return Answer::Closed,
            asked = store.begin(&claimed) => match asked {
                Ok(position) => {
                    CheckpointStoreAnswered { shard: &delivery.hold.shard }.emit();
                    return Answer::At(position);
                }
                Err(error) => error,
            },
        };
        attempt += 1;
        let next = "the shard goes on once it answers";
        CheckpointStoreFailed { shard: &delivery.hold.shard, error: &error, attempt, next }.emit();
        let pause = Backoff::default().after(attempt).mul_f64(rng.f64());
        tokio::select! {
            biased;
            () = delivery.closed() => return Answer::Closed,
            () = delivery.drain_asked() => return Answer::DrainAsked,
            () = sleep(pause) => {}
        }
    }
}

/// Acknowledges what the store says is done. A handler's last batch may have failed after its commit: the lease's row must
/// say of it what the store does, for whoever goes on without the store.
pub(super) async fn catch_up(delivery: &ShardDelivery, rules: &Rules) {
    let Some(store) = &rules.store else { return };
    let claimed = claimed(delivery);
    let asked = tokio::select! {
        biased;
        () = delivery.closed() => return,
        asked = store.begin(&claimed) => asked,
    };
    match asked {
        // Out of range is what an earlier owner has done: that is behind the row.
        Ok(Some(position)) => drop(delivery.acknowledge_up_to(&position)),
        Ok(None) => {}
        Err(error) => {
            let next = "the lease is released with what is acknowledged";
            CheckpointStoreFailed { shard: &delivery.hold.shard, error: &error, attempt: 1, next }.emit();
        }
    }
}
