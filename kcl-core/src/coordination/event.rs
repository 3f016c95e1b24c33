//! Events of the coordination: each writes its log line and updates its metrics.

mod call;

pub(super) use call::CallEnded;

use super::call::Failure;
use super::leader::Reason;
use super::stall::{Stage, Step as WatchdogStep};
use crate::config::timestamp;
use crate::lease::row::{Damaged, FleetSettings, HashKeyRange, LeaseKey, Owner, ProcessId, SessionNumber, WorkerId};
use crate::processor::Expired;
use crate::record::{ShardId, StreamId};
use crate::shard::UnusableList;
use crate::telemetry::{Line, Metric, Scope, Subject, Trouble, count, gauge};
use crate::text::{cut, time_text};
use std::time::Duration;
use tracing::{debug, error, info, warn};

/// A log line about a fleet's settings.
macro_rules! settings_logged {
    ($level:ident, $settings:expr, $message:literal) => {{
        let FleetSettings { shared, until_ms, set_by } = $settings;
        let (failover_seconds, balance_by) = (shared.failover_time.as_secs_f64(), shared.balance_by.as_str());
        $level!(target: "kcl::session", failover_seconds, balance_by, until_ms, set_by, $message)
    }};
}

/// One event.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum CoordinationEvent {
    /// The stream's retention will soon delete quarantined records.
    ParkedAging {
        lease: LeaseKey,
        keys: usize,
        left: Duration,
    },
    /// A lease is released while some of its keys are quarantined.
    ParkedAtRelease {
        lease: LeaseKey,
        keys: usize,
        records: usize,
    },
    SessionRegistered {
        session: SessionNumber,
    },
    HeartbeatConfirmed,
    HeartbeatMissed {
        session: SessionNumber,
        failure: Failure,
    },
    SessionLost {
        why: &'static str,
    },
    /// Another process's session has this worker's id. It is watched for up to `at_most`.
    WorkerIdInUse {
        worker: WorkerId,
        session: SessionNumber,
        process: Option<ProcessId>,
        at_most: Duration,
    },
    /// The fleet row has other settings than this worker. The worker waits to see whether a worker
    /// that uses them is alive.
    FleetSettingsDiffer {
        theirs: FleetSettings,
    },
    FleetSettingsAdopted {
        settings: FleetSettings,
    },
    FleetSettingsChanged {
        settings: FleetSettings,
    },
    SessionFenced {
        worker: WorkerId,
        session: SessionNumber,
    },
    /// More sessions ended in one cycle than are reported one by one.
    SessionsFenced {
        count: u32,
    },
    TermTaken {
        term: u64,
    },
    TermLost,
    PlanCycle,
    /// The leader's cycles fail repeatedly.
    CyclesFailing {
        cycles: u32,
        lasted: Duration,
    },
    /// A read of the whole table has received no page for a long time.
    TableReadStalled {
        pages: u32,
        stalled: Duration,
        failure: Failure,
    },
    TableReadResumed {
        stalled: Duration,
    },
    PromiseLapsed {
        lease: LeaseKey,
        worker: WorkerId,
    },
    CapacityAlarm {
        leases: usize,
        workers: usize,
    },
    Explained {
        lease: LeaseKey,
        reason: Reason,
    },
    /// The lag of a shard, set on a timer, so that it also rises while nothing is read or handled.
    ShardBehind {
        lease: LeaseKey,
        lag: Duration,
        unacknowledged: Duration,
    },
    /// The stream's retention will delete the next records of a shard before they are handled.
    RetentionNear {
        lease: LeaseKey,
        lag: Duration,
        left: Duration,
    },
    /// The stream's retention deleted records before they were read.
    RecordsExpired {
        lease: LeaseKey,
        expired: Expired,
    },
    /// The quarantined records of a stream, in shards that this worker holds.
    QuarantineHolds {
        stream: Option<StreamId>,
        records: usize,
        oldest: Duration,
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
        /// The stream, in a fleet of several streams.
        stream: Option<StreamId>,
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
    /// Shards of held leases cannot be read: the service refuses reads, or does not answer.
    /// Reported once a minute.
    ReadsFailing {
        leases: usize,
        /// The number of held leases.
        of: usize,
        /// The shard that has failed longest, and its error.
        lease: LeaseKey,
        error: String,
        lasted: Duration,
    },
    /// Kinesis refuses the position in a lease's row. Reported once a minute.
    PositionRefused {
        lease: LeaseKey,
        checkpoint: String,
        error: String,
        lasted: Duration,
    },
    /// An operator has corrected it.
    PositionEdited {
        lease: LeaseKey,
        checkpoint: String,
    },
    /// The number of shards that cannot be read now.
    UnreadableLeases {
        count: usize,
    },
    /// This many leases are released because their shards cannot be read here.
    UnreadableReleased {
        leases: usize,
        /// One of them.
        example: LeaseKey,
    },
    /// Every shard is read again.
    ReadsRecovered {
        lasted: Duration,
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
        /// The stream, in a fleet of several streams.
        stream: Option<StreamId>,
        hole: HashKeyRange,
    },
    /// A list of shards is rejected; another one is requested.
    ListUnusable {
        /// The stream, in a fleet of several streams.
        stream: Option<StreamId>,
        why: UnusableList,
    },
    /// Lists keep showing shards that are their own ancestors. Their leases are created without
    /// those parents.
    ParentsInCircle {
        /// The stream, in a fleet of several streams.
        stream: Option<StreamId>,
        shards: usize,
        example: ShardId,
    },
    /// The number of leases that wait for their parents.
    LeasesWaiting {
        leases: usize,
    },
    /// Leases wait for parents that wait for them.
    LeasesWaitInCircle {
        leases: usize,
        example: LeaseKey,
        lasted: Duration,
    },
    /// A shard is listed as open, but its lease is at SHARD_END.
    EndedShardOpen {
        lease: LeaseKey,
    },
    /// A lease is created for a shard whose child already has a lease.
    LeaseMadeAgain {
        lease: LeaseKey,
    },
    /// The worker now serves this stream, one of several.
    StreamServed {
        stream: StreamId,
    },
    /// The worker no longer serves this stream: its leases are released and keep their checkpoints.
    StreamStopped {
        stream: StreamId,
        leases: usize,
    },
    /// The stream no longer exists.
    StreamMissing {
        stream: StreamId,
        leases: usize,
    },
    RowDamaged {
        key: String,
        why: String,
        /// True if the fleet replaces the row itself; otherwise an operator must repair it.
        rebuilt: bool,
    },
    /// The setting `start` has no effect, because an earlier start is pinned.
    StartIgnored {
        stream: Option<StreamId>,
        setting: String,
        /// The pinned start, if known; otherwise the leases' checkpoints count.
        pinned: Option<String>,
    },
    /// The table contains another `start`, from which no record was read. A worker that began with
    /// it may be alive.
    StartDiffers {
        stream: Option<StreamId>,
        setting: String,
        pinned: String,
    },
    /// The table contained another `start`, from which no record was read: the application begins
    /// anew.
    StartCorrected {
        stream: Option<StreamId>,
        setting: String,
        pinned: String,
    },
    /// The `start` lies ahead of the service's clock: nothing is read before that time.
    StartAhead {
        stream: Option<StreamId>,
        start_ms: i64,
        ahead: Duration,
    },
    /// A component returned to its first step repeatedly, although its calls were answered.
    StartsOver {
        part: String,
        pause: std::time::Duration,
    },
    Refused {
        message: String,
    },
    ShutdownAsked {
        within: Duration,
    },
}

impl CoordinationEvent {
    /// A row cannot be read.
    pub(crate) fn damaged(row: &Damaged) -> CoordinationEvent {
        CoordinationEvent::RowDamaged { key: row.key.to_string(), why: row.why.clone(), rebuilt: row.is_ours() }
    }

    /// Writes the log line and updates the metrics.
    #[allow(clippy::cognitive_complexity, reason = "one arm a happening")]
    pub(crate) fn emit(&self) {
        match self {
            CoordinationEvent::SessionRegistered { session } => {
                info!(target: "kcl::session", session, "session registered")
            }
            CoordinationEvent::WorkerIdInUse { worker, session, process, at_most } => {
                let process = process.as_ref().map(ToString::to_string);
                warn!(target: "kcl::session", %worker, session, process, at_most_seconds = at_most.as_secs_f64(), "worker id in use: waiting to see whether \
                       that session's heartbeat moves");
            }
            CoordinationEvent::FleetSettingsDiffer { theirs } => settings_logged!(
                warn,
                theirs,
                "fleet settings differ: waiting to see whether a worker that uses them is alive"
            ),
            CoordinationEvent::FleetSettingsAdopted { settings } => {
                settings_logged!(info, settings, "fleet settings adopted")
            }
            CoordinationEvent::FleetSettingsChanged { settings } => {
                settings_logged!(info, settings, "fleet settings changed")
            }
            CoordinationEvent::HeartbeatConfirmed => count(Metric::Heartbeats, 1, &[]),
            CoordinationEvent::HeartbeatMissed { session, failure } => {
                let failure = cut(failure_text(failure));
                debug!(target: "kcl::session", session, failure, "heartbeat failed; retrying");
                count(Metric::HeartbeatsMissed, 1, &[]);
            }
            CoordinationEvent::SessionLost { why } => {
                gauge(Metric::LeasesUnassignable, 0.0, &[]);
                gauge(Metric::LeasesWaiting, 0.0, &[]);
                error!(target: "kcl::session", why, "session lost: all leases are dropped; registering a new session");
                count(Metric::SessionsLost, 1, &[]);
            }
            CoordinationEvent::SessionFenced { worker, session } => {
                let fenced = cut(worker.as_str());
                warn!(target: "kcl::leader", fenced, session, "session without heartbeats ended; its leases are free");
                count(Metric::SessionsFenced, 1, &[]);
            }
            CoordinationEvent::SessionsFenced { count: fenced } => {
                warn!(count = fenced, "silent sessions ended, not reported one by one");
                count(Metric::SessionsFenced, u64::from(*fenced), &[]);
            }
            // The log lines of the table's outage already report it.
            CoordinationEvent::CyclesFailing { cycles, lasted } if Scope::current().is_in_trouble(Subject::Table) => {
                debug!(target: "kcl::leader", cycles, ?lasted, "leader cannot complete a cycle");
                count(Metric::PlanCyclesFailed, 1, &[]);
            }
            CoordinationEvent::CyclesFailing { cycles, lasted } => {
                error!(
                    cycles,
                    ?lasted,
                    "leader cannot complete a cycle: no lease is assigned until one succeeds (is the lease table throttled?)"
                );
                count(Metric::PlanCyclesFailed, 1, &[]);
            }
            CoordinationEvent::TableReadStalled { pages, stalled, failure } => {
                warn!(
                    pages,
                    ?stalled,
                    ?failure,
                    "read of the lease table stalled: its next page is asked for until it comes (has the table enough \
                     read capacity?)"
                );
                count(Metric::TableReadsStalled, 1, &[]);
            }
            CoordinationEvent::TableReadResumed { stalled } => info!(?stalled, "read of the lease table resumed"),
            CoordinationEvent::TermTaken { term } => {
                info!(target: "kcl::leader", term, "this worker is the leader");
                count(Metric::TermsTaken, 1, &[]);
            }
            CoordinationEvent::TermLost => {
                info!(target: "kcl::leader", "this worker is not the leader any more");
                gauge(Metric::LeasesUnassignable, 0.0, &[]);
                gauge(Metric::LeasesWaiting, 0.0, &[]);
            }
            CoordinationEvent::PlanCycle => count(Metric::PlanCycles, 1, &[]),
            CoordinationEvent::PromiseLapsed { lease, worker } => {
                let to = cut(worker.as_str());
                warn!(target: "kcl::leader", %lease, to, "pending move expired: the worker did not claim the lease in time");
            }
            CoordinationEvent::CapacityAlarm { leases: 0, .. } => {
                info!(target: "kcl::leader", "all leases are assignable again");
                gauge(Metric::LeasesUnassignable, 0.0, &[]);
            }
            CoordinationEvent::CapacityAlarm { leases, workers } => {
                error!(
                    target: "kcl::leader",
                    leases,
                    workers,
                    "no worker has capacity for these leases, and nobody reads their shards: start more workers, or raise \
                     `max_leases`"
                );
                gauge(Metric::LeasesUnassignable, *leases as f64, &[]);
            }
            CoordinationEvent::Explained { lease, reason } => debug!(target: EXPLAIN, %lease, %reason),
            CoordinationEvent::LeaseAcquired { .. }
            | CoordinationEvent::LeaseReleased { .. }
            | CoordinationEvent::LeaseLost { .. }
            | CoordinationEvent::LeasesHeld { .. }
            | CoordinationEvent::Checkpointed { .. }
            | CoordinationEvent::ShardEnded { .. }
            | CoordinationEvent::ConsumerGaveUp { .. }
            | CoordinationEvent::ShardStalled { .. }
            | CoordinationEvent::StallOver { .. }
            | CoordinationEvent::Reconciled { .. }
            | CoordinationEvent::ConsumerLingers { .. }
            | CoordinationEvent::ParkedAging { .. }
            | CoordinationEvent::ShardBehind { .. }
            | CoordinationEvent::RetentionNear { .. }
            | CoordinationEvent::RecordsExpired { .. }
            | CoordinationEvent::ParkedAtRelease { .. } => self.emit_of_lease(),
            // The log lines of the reads' outage already report it.
            CoordinationEvent::ReadsFailing { leases, of, lease, error, lasted } => {
                let (error, lasted_seconds) = (cut(error), lasted.as_secs_f64());
                debug!(target: "kcl::lease", leases, of, %lease, error, lasted_seconds, "reads failing");
                gauge(Metric::LeasesUnreadable, *leases as f64, &[]);
            }
            CoordinationEvent::PositionRefused { lease, checkpoint, error, lasted } => {
                let (checkpoint, error, lasted_seconds) = (cut(checkpoint), cut(error), lasted.as_secs_f64());
                error!(
                    target: "kcl::lease", %lease, checkpoint, error, lasted_seconds,
                    "checkpoint refused: it is not a position of this shard, which is not read; set `checkpoint` in this \
                     lease's row to a sequence number of the shard, or to TRIM_HORIZON; other leases are not affected"
                );
            }
            CoordinationEvent::PositionEdited { lease, checkpoint } => {
                info!(target: "kcl::lease", %lease, checkpoint = cut(checkpoint), "checkpoint corrected: reading starts there");
            }
            CoordinationEvent::UnreadableLeases { count } => gauge(Metric::LeasesUnreadable, *count as f64, &[]),
            CoordinationEvent::UnreadableReleased { leases, example } => {
                warn!(
                    target: "kcl::lease", leases, %example,
                    "leases released: their shards cannot be read here; another worker is to try"
                );
            }
            CoordinationEvent::ReadsRecovered { lasted } => {
                debug!(target: "kcl::lease", lasted_seconds = lasted.as_secs_f64(), "reads recovered");
                gauge(Metric::LeasesUnreadable, 0.0, &[]);
            }
            CoordinationEvent::QuarantineHolds { stream, records, oldest } => {
                let scope = of_stream(stream.as_ref());
                scope.gauge(Metric::QuarantineRecords, *records as f64, &[]);
                scope.gauge(Metric::QuarantineOldest, oldest.as_secs_f64(), &[]);
            }
            CoordinationEvent::Replayed { shards } => {
                info!(target: "kcl::worker", shards, "every shard of the range is done")
            }
            CoordinationEvent::ForeignHand { lease, owner } => {
                let owner = owner.as_ref().map_or("nobody", WorkerId::as_str);
                error!(
                    target: "kcl::leader", %lease, owner = cut(owner),
                    "another kind of consumer (Java KCL?) writes this table: stop it, or this fleet"
                );
            }
            CoordinationEvent::WaitingForForeignHand { for_long } => {
                info!(
                    target: "kcl::worker",
                    wait_seconds = for_long.as_secs_f64(),
                    "leases of another kind of consumer (Java KCL?): waiting to see that nobody renews them"
                );
            }
            CoordinationEvent::ShardsIncomplete { stream, hole } => {
                let stream = stream.as_ref().map(StreamId::as_str);
                let (from, to) = (hole.start.to_string(), hole.end.to_string());
                error!(
                    target: "kcl::leader", stream, from, to,
                    "no unfinished shard covers these hash keys: nobody reads their records, unless the list of shards is incomplete"
                );
                count(Metric::ShardsUncovered, 1, &[]);
            }
            CoordinationEvent::ListUnusable { stream, why } => {
                let (stream, why) = (stream.as_ref().map(StreamId::as_str), why.as_str());
                warn!(target: "kcl::leader", stream, why, "list of shards not usable; asking again");
                count(Metric::ListsUnusable, 1, &[]);
            }
            CoordinationEvent::ParentsInCircle { stream, shards, example } => {
                let stream = stream.as_ref().map(StreamId::as_str);
                error!(
                    target: "kcl::leader", stream, shards, %example,
                    "shards are listed as their own ancestors: their leases do not wait for those parents, so keys may be handled \
                     out of order across the reshard"
                );
                count(Metric::ListsUnusable, 1, &[]);
            }
            CoordinationEvent::LeasesWaiting { leases } => gauge(Metric::LeasesWaiting, *leases as f64, &[]),
            CoordinationEvent::LeasesWaitInCircle { leases, example, lasted } => {
                error!(
                    target: "kcl::leader", leases, %example, lasted_seconds = lasted.as_secs_f64(),
                    "leases wait for parents that wait for them, and are never read: correct `parentShardId` in their rows"
                );
                count(Metric::LeasesInCircle, 1, &[]);
            }
            CoordinationEvent::EndedShardOpen { lease } => {
                error!(
                    target: "kcl::leader", %lease,
                    "shard is open but its lease is at SHARD_END, so nobody reads its new records: set the lease's checkpoint to \
                     where reading is to go on, or to TRIM_HORIZON"
                );
                count(Metric::EndedShardsOpen, 1, &[]);
            }
            CoordinationEvent::LeaseMadeAgain { lease } => {
                warn!(
                    target: "kcl::leader", %lease,
                    "lease created although a child of its shard has one: the shard is read from its oldest record"
                );
            }
            CoordinationEvent::StreamServed { stream } => info!(target: "kcl::stream", %stream, "stream served"),
            CoordinationEvent::StreamStopped { stream, leases } => {
                info!(target: "kcl::stream", %stream, leases, "stream not served any more; its leases are released");
                Scope::current().of_stream(stream.as_str()).gauge(Metric::LeasesHeld, 0.0, &[]);
            }
            CoordinationEvent::StreamMissing { stream, leases } => {
                let scope = Scope::current().of_stream(stream.as_str());
                warn!(
                    target: "kcl::stream", %stream, leases,
                    "the stream does not exist any more: its leases are released; looking for it every `shard_sync_interval`"
                );
                scope.count(Metric::StreamsMissing, 1, &[]);
                scope.gauge(Metric::LeasesHeld, 0.0, &[]);
            }
            CoordinationEvent::RowDamaged { key, why, rebuilt } => {
                let (key, why) = (cut(key), cut(why));
                if *rebuilt {
                    warn!(target: "kcl::table", key, why, "row of the lease table cannot be read; the fleet replaces it");
                } else {
                    warn!(
                        target: "kcl::table", key, why,
                        "row of the lease table cannot be read and is left alone: mend or delete it by hand"
                    );
                }
                count(Metric::RowsDamaged, 1, &[]);
            }
            CoordinationEvent::StartIgnored { stream, setting, pinned } => {
                let stream = stream.as_ref().map(StreamId::as_str);
                match pinned {
                    Some(pinned) => warn!(
                        target: "kcl::worker", stream, setting, pinned,
                        "`start` is ignored: the application began with another one; use another application name, or \
                         delete the table, to begin anew"
                    ),
                    None => info!(
                        target: "kcl::worker", stream, setting,
                        "`start` is ignored where the table has leases: reading goes on from their checkpoints"
                    ),
                }
            }
            CoordinationEvent::StartDiffers { stream, setting, pinned } => info!(
                target: "kcl::worker", stream = stream.as_ref().map(StreamId::as_str), setting, pinned,
                "the application began with another `start`, and no record was read from it; waiting to see whether a worker \
                 that uses it is alive"
            ),
            CoordinationEvent::StartCorrected { stream, setting, pinned } => warn!(
                target: "kcl::worker", stream = stream.as_ref().map(StreamId::as_str), setting, pinned,
                "`start` was corrected before any record was read: the application begins anew"
            ),
            CoordinationEvent::StartAhead { stream, start_ms, ahead } => {
                let (stream, start) = (stream.as_ref().map(StreamId::as_str), timestamp(*start_ms));
                warn!(
                    target: "kcl::worker", stream, start, ahead_seconds = ahead.as_secs_f64(),
                    "`start` lies ahead of the service's clock; waiting for that time"
                );
            }
            // The log lines of the outage of the table or the streams already report it.
            CoordinationEvent::StartsOver { part, pause } => warn!(
                target: "kcl::table", part, pause_seconds = pause.as_secs_f64(),
                "the table does not show what was written to it; starting over with growing pauses"
            ),
            CoordinationEvent::Refused { message } => {
                debug!(target: "kcl::table", message = cut(message), "call refused")
            }
            CoordinationEvent::ShutdownAsked { within } => {
                info!(target: "kcl::worker", within_seconds = within.as_secs_f64(), "shutting down");
            }
        }
    }

    /// Events of one lease are emitted in the scope of its stream.
    #[allow(clippy::wildcard_enum_match_arm, reason = "`emit` lists them all")]
    fn emit_of_lease(&self) {
        let scope = |lease: &LeaseKey| Scope::current().of_lease(lease);
        match self {
            CoordinationEvent::LeaseAcquired { lease, from, fencing_token, waited } => {
                let previous = from.as_ref().map_or("nobody".to_owned(), |owner| cut(owner.worker.as_str()));
                let waited_seconds = waited.as_secs_f64();
                // During an outage of the stream all leases move, and its log lines report the
                // number of unread shards.
                if scope(lease).is_in_trouble(Subject::Reads) {
                    debug!(target: "kcl::lease", %lease, from = previous, fencing_token, waited_seconds, "lease acquired");
                } else {
                    info!(target: "kcl::lease", %lease, from = previous, fencing_token, waited_seconds, "lease acquired");
                }
                let kind = match from {
                    None => "unowned",
                    Some(Owner { session: Some(_), .. }) => "ended",
                    Some(Owner { session: None, .. }) => "foreign",
                };
                scope(lease).count(Metric::LeasesAcquired, 1, &[("from", kind)]);
            }
            CoordinationEvent::LeaseReleased { lease, why, lasted } => {
                let lasted_seconds = lasted.as_secs_f64();
                // A move is reported by the worker that acquires the lease. A shutdown, and leases
                // that cannot be read, have log lines of their own.
                if matches!(*why, "planned" | "shutdown" | "unreadable") {
                    debug!(target: "kcl::lease", %lease, why, lasted_seconds, "lease released");
                } else {
                    info!(target: "kcl::lease", %lease, why, lasted_seconds, "lease released");
                }
                scope(lease).count(Metric::LeasesReleased, 1, &[("why", why)]);
                scope(lease).end_gauges_of(lease);
            }
            CoordinationEvent::LeaseLost { lease, why } => {
                // One log line of the session reports all its leases.
                if *why == SESSION_OVER {
                    debug!(target: "kcl::lease", %lease, why, "lease lost");
                } else {
                    warn!(target: "kcl::lease", %lease, why, "lease lost");
                }
                scope(lease).count(Metric::LeasesLost, 1, &[]);
                scope(lease).end_gauges_of(lease);
            }
            CoordinationEvent::LeasesHeld { stream, count } => {
                of_stream(stream.as_ref()).gauge(Metric::LeasesHeld, *count as f64, &[]);
            }
            CoordinationEvent::Checkpointed { lease } => {
                debug!(target: "kcl::checkpoint", %lease, "checkpoint written");
                scope(lease).count(Metric::Checkpoints, 1, &[]);
            }
            CoordinationEvent::ShardEnded { lease, children } => {
                info!(target: "kcl::lease", %lease, children, "shard read to its end");
                scope(lease).count(Metric::ShardsEnded, 1, &[]);
                scope(lease).end_gauges_of(lease);
            }
            CoordinationEvent::ConsumerGaveUp { lease, reason } => {
                let reason = cut(reason);
                error!(target: "kcl::lease", %lease, reason, "consumer gave up; releasing its lease");
            }
            CoordinationEvent::ShardStalled { lease, stage, stood, step } => {
                stalled(&scope(lease), lease, *stage, *stood, *step)
            }
            CoordinationEvent::StallOver { lease, stage, stood } => {
                let (stage, lasted_seconds) = (stage.as_str(), stood.as_secs_f64());
                let scope = scope(lease);
                debug!(target: "kcl::lease", %lease, stage, lasted_seconds, "shard goes on");
                scope.observe(Metric::StallSeconds, lasted_seconds, &[("stage", stage)]);
                if let Some(Line::Ended(_)) = scope.recovered(Subject::Stage(stage), lease.as_str()) {
                    info!(target: "kcl::lease", stage, lasted_seconds, "stalled shards go on");
                }
            }
            CoordinationEvent::Reconciled { lease, what } => {
                error!(
                    target: "kcl::lease", %lease, what,
                    "leases and consumers did not match, which is a bug; it was put right"
                );
                scope(lease).count(Metric::Reconciled, 1, &[]);
            }
            CoordinationEvent::ConsumerLingers { lease } => {
                warn!(
                    target: "kcl::handler", %lease,
                    "a handler does not end although its lease is gone (does it block its thread?): until it does, this \
                     worker cannot take that lease again"
                );
                scope(lease).count(Metric::Lingering, 1, &[]);
            }
            CoordinationEvent::ParkedAging { lease, keys, left } => {
                error!(
                    target: "kcl::quarantine", %lease, keys, left_seconds = left.as_secs_f64(),
                    "the stream's retention will end the first records of quarantined keys: resume them or have them \
                     dead-lettered before"
                );
                scope(lease).count(Metric::ParkedAging, 1, &[]);
            }
            CoordinationEvent::ShardBehind { lease, lag, unacknowledged } => {
                let (scope, shard) = (scope(lease), [("shard", lease.as_str())]);
                scope.gauge(Metric::Behind, lag.as_secs_f64(), &shard);
                scope.gauge(Metric::Unacknowledged, unacknowledged.as_secs_f64(), &shard);
            }
            CoordinationEvent::RetentionNear { lease, lag, left } => {
                let scope = scope(lease);
                scope.count(Metric::RetentionNear, 1, &[]);
                let (behind_seconds, left_seconds) = (lag.as_secs_f64(), left.as_secs_f64());
                if let Some(
                    Line::Began(Trouble { members: shards, .. }) | Line::Continues(Trouble { members: shards, .. }),
                ) = scope.failed(Subject::Retention, lease.as_str())
                {
                    error!(
                        target: "kcl::read", %lease, shards, behind_seconds, left_seconds,
                        "the stream's retention will end records before they are handled: speed their handling up, or raise \
                         the retention"
                    );
                }
            }
            CoordinationEvent::RecordsExpired { lease, expired } => {
                let scope = scope(lease);
                let (from, to) = (time_text(expired.from_ms), time_text(expired.to_ms));
                let lasted_seconds = expired.to_ms.saturating_sub(expired.from_ms) as f64 / 1_000.0;
                error!(
                    target: "kcl::read", %lease, from, to, lasted_seconds,
                    "records lost: the stream's retention ended those that arrived in this time before they were read"
                );
                scope.count(Metric::RecordsExpired, 1, &[("evidence", "position")]);
                scope.observe(Metric::ExpiredSeconds, lasted_seconds, &[]);
            }
            CoordinationEvent::ParkedAtRelease { lease, keys, records } => {
                warn!(target: "kcl::quarantine", %lease, keys, records, "lease released with keys in quarantine");
            }
            _ => {}
        }
    }
}

/// The scope of one of several streams, or of the only one.
fn of_stream(stream: Option<&StreamId>) -> Scope {
    let scope = Scope::current();
    stream.map_or(scope.clone(), |stream| scope.of_stream(stream.as_str()))
}

/// A stage of a shard's work passed a deadline.
fn stalled(scope: &Scope, lease: &LeaseKey, stage: Stage, stood: Duration, step: WatchdogStep) {
    let (name, step, stalled_seconds) = (stage.as_str(), step.as_str(), stood.as_secs_f64());
    scope.count(Metric::Stalls, 1, &[("stage", name), ("step", step)]);
    let line = scope.failed(Subject::Stage(name), lease.as_str());
    let cause = match stage {
        Stage::Fetch => Some(Subject::Reads),
        Stage::Checkpoint => Some(Subject::Table),
        Stage::Process | Stage::Acknowledge => None,
    };
    // A failure has its own line each minute.
    let is_explained = cause.is_some_and(|cause| scope.is_in_trouble(cause));
    match line {
        Some(Line::Began(Trouble { members: shards, .. }) | Line::Continues(Trouble { members: shards, .. }))
            if !is_explained =>
        {
            warn!(target: "kcl::lease", %lease, shards, stage = name, stalled_seconds, step, "shard stalled");
        }
        Some(_) | None => debug!(target: "kcl::lease", %lease, stage = name, stalled_seconds, step, "shard stalled"),
    }
}

/// The reason for leases that are lost with their session.
pub(crate) const SESSION_OVER: &str = "the session is over";

fn failure_text(failure: &Failure) -> &str {
    match failure {
        Failure::Throttled => "throttled",
        Failure::Unanswered => "not answered",
        Failure::Refused(refusal) => &refusal.message,
    }
}

/// A span around the leader's computation of assignments, which makes no calls and does not wait;
/// its duration is of interest.
pub(crate) fn planning() -> tracing::Span {
    tracing::debug_span!(target: "kcl::leader", "planning")
}

/// The target under which the leader logs why each lease is where it is.
const EXPLAIN: &str = "kcl::explain";

/// True if a subscriber is interested in that target.
pub(crate) fn explanations_are_wanted() -> bool {
    tracing::enabled!(target: EXPLAIN, tracing::Level::DEBUG)
}
