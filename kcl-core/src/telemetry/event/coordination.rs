//! What the coordination tells: each happening writes its log line and moves its metrics.

use crate::coordination::{Failure, Reason, Stage, WatchdogStep};
use crate::lease::row::{HashKeyRange, LeaseKey, Owner, SessionNumber, WorkerId};
use crate::record::StreamId;
use crate::telemetry::metric::{Metric, count, gauge, observe};
use std::time::Duration;
use tracing::{debug, error, info, warn};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Happening {
    /// What is parked will not be in the stream much longer.
    ParkedAging {
        lease: LeaseKey,
        keys: usize,
        left: Duration,
    },
    /// A lease is given up, and some of its keys are parked.
    ParkedAtRelease {
        lease: LeaseKey,
        keys: usize,
        records: usize,
    },
    SessionRegistered {
        session: SessionNumber,
    },
    BeatConfirmed,
    BeatMissed {
        session: SessionNumber,
        failure: Failure,
    },
    SessionLost {
        why: &'static str,
    },
    SessionFenced {
        worker: WorkerId,
        session: SessionNumber,
    },
    TermTaken {
        term: u64,
    },
    TermLost,
    PlanCycle,
    PromiseLapsed {
        lease: LeaseKey,
        worker: WorkerId,
    },
    WithoutRoom {
        leases: usize,
        workers: usize,
    },
    Explained {
        lease: LeaseKey,
        reason: Reason,
    },
    LeaseAcquired {
        lease: LeaseKey,
        from: Option<Owner>,
        fencing_token: u64,
        waited: Duration,
    },
    LeaseReleased {
        lease: LeaseKey,
        why: &'static str,
        lasted: Duration,
    },
    LeaseLost {
        lease: LeaseKey,
        why: &'static str,
    },
    LeasesHeld {
        count: usize,
    },
    Checkpointed {
        lease: LeaseKey,
    },
    ShardEnded {
        lease: LeaseKey,
        children: usize,
    },
    Replayed {
        shards: usize,
    },
    ConsumerGaveUp {
        lease: LeaseKey,
        reason: String,
    },
    ShardStalled {
        lease: LeaseKey,
        stage: Stage,
        stood: Duration,
        step: WatchdogStep,
    },
    StallOver {
        lease: LeaseKey,
        stage: Stage,
        stood: Duration,
    },
    Reconciled {
        lease: LeaseKey,
        what: &'static str,
    },
    ConsumerLingers {
        lease: LeaseKey,
    },
    ForeignHand {
        lease: LeaseKey,
        owner: Option<WorkerId>,
    },
    WaitingForForeignHand {
        for_long: Duration,
    },
    ShardsIncomplete {
        /// Of which stream, where there are several.
        stream: Option<StreamId>,
        hole: HashKeyRange,
    },
    /// One of several streams is served from now on.
    StreamServed {
        stream: StreamId,
    },
    /// It is not served any more: its leases are released, and stay as they are.
    StreamStopped {
        stream: StreamId,
        leases: usize,
    },
    /// The service does not know it any more.
    StreamMissing {
        stream: StreamId,
        leases: usize,
    },
    RowDamaged {
        key: String,
        why: String,
    },
    Refused {
        message: String,
    },
    ShutdownAsked {
        within: Duration,
    },
}

impl Happening {
    /// Tells it.
    #[allow(clippy::cognitive_complexity, reason = "one arm a happening")]
    pub(crate) fn emit(&self) {
        match self {
            Happening::SessionRegistered { session } => info!(session, "session registered"),
            Happening::BeatConfirmed => count(Metric::Beats, 1, &[]),
            Happening::BeatMissed { session, failure } => {
                warn!(session, ?failure, "a beat came to nothing; it is sent again");
                count(Metric::BeatsMissed, 1, &[]);
            }
            Happening::SessionLost { why } => {
                gauge(Metric::LeasesWithoutRoom, 0.0, &[]);
                error!(why, "session lost: every lease is dropped, and a new session begins");
                count(Metric::SessionsLost, 1, &[]);
            }
            Happening::SessionFenced { worker, session } => {
                warn!(%worker, session, "a silent worker's session was ended; its leases are free");
                count(Metric::SessionsFenced, 1, &[]);
            }
            Happening::TermTaken { term } => {
                info!(term, "this worker plans now");
                count(Metric::TermsTaken, 1, &[]);
            }
            Happening::TermLost => {
                info!("another worker plans now");
                gauge(Metric::LeasesWithoutRoom, 0.0, &[]);
            }
            Happening::PlanCycle => count(Metric::PlanCycles, 1, &[]),
            Happening::PromiseLapsed { lease, worker } => {
                warn!(%lease, %worker, "a worker did not take a lease in time; it goes to another");
            }
            Happening::WithoutRoom { leases: 0, .. } => {
                info!("every lease that needs a reader has one again, or is promised to one");
                gauge(Metric::LeasesWithoutRoom, 0.0, &[]);
            }
            Happening::WithoutRoom { leases, workers } => {
                error!(
                    leases,
                    workers,
                    "no worker has room for these leases, and nobody reads their shards: start more workers, or raise \
                     `max_leases`"
                );
                gauge(Metric::LeasesWithoutRoom, *leases as f64, &[]);
            }
            Happening::Explained { lease, reason } => debug!(target: EXPLAIN, %lease, %reason),
            Happening::LeaseAcquired { lease, from, fencing_token, waited } => {
                let previous = from.as_ref().map_or("nobody", |owner| owner.worker.as_str());
                info!(%lease, from = previous, fencing_token, ?waited, "lease acquired");
                let kind = match from {
                    None => "unowned",
                    Some(Owner { session: Some(_), .. }) => "ended",
                    Some(Owner { session: None, .. }) => "foreign",
                };
                count(Metric::LeasesAcquired, 1, &[("from", kind)]);
            }
            Happening::LeaseReleased { lease, why, lasted } => {
                info!(%lease, why, ?lasted, "lease released");
                count(Metric::LeasesReleased, 1, &[("why", why)]);
            }
            Happening::LeaseLost { lease, why } => {
                warn!(%lease, why, "lease lost");
                count(Metric::LeasesLost, 1, &[]);
            }
            Happening::LeasesHeld { count: held } => gauge(Metric::LeasesHeld, *held as f64, &[]),
            Happening::Checkpointed { lease } => {
                debug!(%lease, "checkpoint written");
                count(Metric::Checkpoints, 1, &[]);
            }
            Happening::ShardEnded { lease, children } => {
                info!(%lease, children, "shard read to its end");
                count(Metric::ShardsEnded, 1, &[]);
            }
            Happening::Replayed { shards } => info!(shards, "every shard of the range is done"),
            Happening::ConsumerGaveUp { lease, reason } => {
                error!(%lease, reason, "a consumer cannot go on; its lease is given up");
            }
            Happening::ShardStalled { lease, stage, stood, step } => {
                let (stage, step) = (stage.as_str(), step.as_str());
                warn!(%lease, stage, ?stood, step, "a shard does not move");
                count(Metric::Stalls, 1, &[("stage", stage), ("step", step)]);
            }
            Happening::StallOver { lease, stage, stood } => {
                let stage = stage.as_str();
                info!(%lease, stage, ?stood, "a shard moves again");
                observe(Metric::StallSeconds, stood.as_secs_f64(), &[("stage", stage)]);
            }
            Happening::Reconciled { lease, what } => {
                error!(%lease, what, "leases and consumers did not match, which is a bug; it was put right");
                count(Metric::Reconciled, 1, &[]);
            }
            Happening::ConsumerLingers { lease } => {
                warn!(%lease, "a handler does not end although its lease is gone (does it block its thread?): until it does, this \
                       worker cannot take that lease again");
                count(Metric::Lingering, 1, &[]);
            }
            Happening::ForeignHand { lease, owner } => {
                let owner = owner.as_ref().map_or("nobody", WorkerId::as_str);
                error!(%lease, owner, "another kind of consumer (Java KCL?) writes this table: stop it, or this fleet");
            }
            Happening::WaitingForForeignHand { for_long } => {
                info!(
                    ?for_long,
                    "leases of another kind of consumer (Java KCL?): waiting to see that they stand still"
                );
            }
            Happening::ShardsIncomplete { stream, hole } => {
                let stream = stream.as_ref().map(StreamId::as_str);
                warn!(stream, from = hole.start, to = hole.end, "no unfinished shard covers these hash keys");
            }
            Happening::StreamServed { stream } => info!(%stream, "stream served"),
            Happening::StreamStopped { stream, leases } => {
                info!(%stream, leases, "stream not served any more; its leases are released, and stay where they are");
            }
            Happening::StreamMissing { stream, leases } => {
                warn!(%stream, leases, "the stream does not exist any more: its leases are released, and stay where they \
                       are; it is looked for every `shard_sync_interval`");
                count(Metric::StreamsMissing, 1, &[]);
            }
            Happening::RowDamaged { key, why } => {
                warn!(key, why, "a row of the lease table cannot be read and is left alone: mend or delete it by hand");
                count(Metric::RowsDamaged, 1, &[]);
            }
            Happening::ParkedAging { lease, keys, left } => {
                error!(%lease, keys, ?left, "keys in quarantine: the stream's retention will end their first record in `left`; \
                       resume them or have them dead-lettered");
                count(Metric::ParkedAging, 1, &[]);
            }
            Happening::ParkedAtRelease { lease, keys, records } => {
                warn!(%lease, keys, records, "a lease is given up with keys in quarantine");
            }
            Happening::Refused { message } => error!(message, "a call was refused"),
            Happening::ShutdownAsked { within } => info!(?within, "shutting down"),
        }
    }
}

/// Around the planner's thinking, which calls nothing and waits for nothing: for those who want to know how long it takes.
pub(crate) fn planning() -> tracing::Span {
    tracing::debug_span!(target: "kcl_core::planner", "planning")
}

/// Where the planner says why leases are where they are.
const EXPLAIN: &str = "kcl_core::explain";

/// Whether anybody listens there.
pub(crate) fn explanations_are_wanted() -> bool {
    tracing::enabled!(target: EXPLAIN, tracing::Level::DEBUG)
}
