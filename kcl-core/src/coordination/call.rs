//! Defines the calls that the coordinator makes, as values: which component asks, for what, and the typed answer.
//!
//! Pure data. [`super::run`] makes the calls; the coordinator routes each answer by its [`CallId`] to the component
//! that asked.

use crate::clock::Time;
use crate::error::Code;
use crate::lease::row::{LeaseKey, Row, RowKey, WorkerId};
use crate::lease::{Consistency, Page, PageToken, Table, Write, Written};
use crate::record::StreamId;
use crate::shard::{ListWhich, Listing};
use std::time::Duration;

/// Names a call: the component that makes it and, where a component makes several, which one. At most one call of each
/// id is under way. Every id belongs to one kind of call, so its answers have one type.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum CallId {
    Start(StartCall),
    FleetRow(FleetRowCall),
    /// The session draws a number, registers or heartbeats.
    Session,
    /// Asks the leader to read the table.
    Wake,
    /// Reads the fleet row.
    FleetPoll,
    /// Tries to become the leader of the next term.
    TakeTerm,
    /// Reads this worker's assignment row.
    AssignmentRow,
    Leader(LeaderCall),
    /// Reads the table before streams, of several, are listed.
    ShardSync,
    Stream(StreamId, StreamCall),
    /// Reads the table to learn who else serves a stream that this worker has removed.
    StreamRemoval,
    /// Reads the leases whose owners are to release them to this worker.
    AwaitedLeases,
    Lease(LeaseKey, LeaseCall),
    /// Compares the rows of held leases with what this worker knows of them.
    VerifyRows,
    /// Reads the table to learn whether a replay is complete.
    Replay,
    Departure(DepartureCall),
}

/// The calls of the examination that precedes all other writes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum StartCall {
    ReadTable,
    /// Takes a mistaken start back, in this row.
    Correct(RowKey),
    ListShards,
    /// Reads one row while the full read may be slow, to know that the table can be reached.
    Contact,
}

/// The calls that create the fleet row.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum FleetRowCall {
    ReadTable,
    /// Creates the row, or deletes one that cannot be read.
    Write,
}

/// The calls of a term.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum LeaderCall {
    /// The cycle reads sessions, or leases by their keys.
    Cycle,
    /// The cycle reads the whole table.
    ReadTable,
    /// Reads the sessions while the table is being read, which may take long.
    PollSessions,
    /// Lists the shards of the only stream.
    Shards,
    /// Pins the start of the only stream, or marks its first fill as complete.
    SyncPass,
    /// Creates or deletes a lease of the only stream.
    LeaseRow(LeaseKey),
    /// The leader's own heartbeat, in the fleet row.
    Heartbeat,
    /// Writes the settings that all workers use into the fleet row.
    Settings,
    /// Ends a stale session.
    Fence(WorkerId),
    /// Writes a worker's assignment row.
    Assignment(WorkerId),
    /// Deletes a row that an ended worker left, or one that cannot be read.
    Collect(RowKey),
}

/// The calls that keep the leases of one of several streams in step with its shards.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum StreamCall {
    /// Lists its shards.
    Shards,
    /// Pins its start, or marks its first fill as complete.
    SyncPass,
    /// Creates or deletes one of its leases.
    LeaseRow(LeaseKey),
}

/// The calls about one lease.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum LeaseCall {
    /// Claims the lease.
    Claim,
    /// Writes the row of the held lease: checkpoint, release, end of the shard.
    Write,
    /// Creates a child of the ended lease.
    CreateChild(LeaseKey),
    /// Reads the parents of a child that has two, before the child is created.
    ParentsOf(LeaseKey),
    /// Reads all parents of the ended lease's children, before the children are claimed.
    ChildrensParents,
    /// Asks the service's time, which LATEST means for this lease.
    StartTime,
}

/// The calls of an orderly shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum DepartureCall {
    ReadFleet,
    ReadTable,
    Write,
}

impl CallId {
    /// Whether the call belongs to a term.
    pub(super) fn is_leaders(&self) -> bool {
        matches!(self, CallId::Leader(_))
    }

    /// The timer whose retries end when this call succeeds. `None` where the component counts failures by itself, and for
    /// the fleet row and the session, whose calls succeed only together, when the session is registered.
    pub(super) fn retried_by(&self) -> Option<TimerId> {
        match self {
            CallId::Start(StartCall::ReadTable | StartCall::ListShards) => Some(TimerId::Start),
            CallId::Wake => Some(TimerId::Wake),
            CallId::TakeTerm => Some(TimerId::TakeTerm),
            CallId::Leader(LeaderCall::Heartbeat) => Some(TimerId::Leader(LeaderTimer::Heartbeat)),
            CallId::ShardSync => Some(TimerId::ShardSync),
            CallId::AwaitedLeases => Some(TimerId::AwaitedLeases),
            CallId::Lease(lease, call) => {
                let timer = match call {
                    LeaseCall::Claim => LeaseTimer::Claim,
                    LeaseCall::CreateChild(child) | LeaseCall::ParentsOf(child) => {
                        LeaseTimer::CreateChild(child.clone())
                    }
                    LeaseCall::ChildrensParents => LeaseTimer::ChildrensParents,
                    LeaseCall::StartTime => LeaseTimer::StartTime,
                    LeaseCall::Write => return None,
                };
                Some(TimerId::Lease(lease.clone(), timer))
            }
            CallId::Start(StartCall::Contact | StartCall::Correct(_))
            | CallId::FleetRow(_)
            | CallId::Session
            | CallId::FleetPoll
            | CallId::AssignmentRow
            | CallId::Leader(_)
            | CallId::Stream(..)
            | CallId::StreamRemoval
            | CallId::VerifyRows
            | CallId::Replay
            | CallId::Departure(_) => None,
        }
    }
}

/// Names a timer. Each is set by one component, which is told when the timer is due.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum TimerId {
    Start,
    /// For [`StartCall::Contact`].
    Contact,
    /// The next page of the full read by this call.
    NextPage(CallId),
    FleetRow,
    Session,
    Wake,
    FleetPoll,
    TakeTerm,
    Leader(LeaderTimer),
    ShardSync,
    /// The sync pass of one of several streams.
    Stream(StreamId),
    StreamRemoval,
    AwaitedLeases,
    Lease(LeaseKey, LeaseTimer),
    /// Compares leases with consumers and runs the watchdog.
    Reconcile,
    Departure,
}

/// The timers of a term.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum LeaderTimer {
    Cycle,
    PollSessions,
    SyncPass,
    Heartbeat,
}

/// The timers of one lease.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) enum LeaseTimer {
    Claim,
    Write,
    CreateChild(LeaseKey),
    ChildrensParents,
    StartTime,
}

impl TimerId {
    /// Whether the timer belongs to a term.
    pub(super) fn is_leaders(&self) -> bool {
        match self {
            TimerId::Leader(_) => true,
            TimerId::NextPage(call) => call.is_leaders(),
            TimerId::Start
            | TimerId::Contact
            | TimerId::FleetRow
            | TimerId::Session
            | TimerId::Wake
            | TimerId::FleetPoll
            | TimerId::TakeTerm
            | TimerId::ShardSync
            | TimerId::Stream(_)
            | TimerId::StreamRemoval
            | TimerId::AwaitedLeases
            | TimerId::Lease(..)
            | TimerId::Reconcile
            | TimerId::Departure => false,
        }
    }
}

/// A call's operation.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Op {
    /// One conditional write.
    Write(Write),
    /// Some rows.
    Read(Vec<RowKey>, Consistency),
    /// As many of the rows as can be read. The answer leaves out rows that do not exist and rows that could not be read.
    ReadSome(Vec<RowKey>, Consistency),
    /// One page of the whole table: at most `rows` rows, within that time. See [`super::table_read`].
    Page { after: Option<PageToken>, rows: u32, within: Duration },
    /// The shards of one of several streams, or of the only one.
    List(Option<StreamId>, ListWhich),
}

/// The success of a call, or why it failed.
pub(crate) type Reply<T> = Result<T, Failure>;

/// Rows in the order asked for.
pub(crate) type Rows = Vec<Option<Row>>;

/// The answer to a call, typed by the kind of call.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    Written(Reply<Written>),
    Rows(Reply<Rows>),
    Page(Reply<Page>),
    /// All pages of a full read. See [`super::table_read`].
    Table(Reply<Table>),
    Listing(Reply<Listing>),
}

impl Answer {
    /// Why the call failed, if it did.
    pub(crate) fn failure(&self) -> Option<&Failure> {
        match self {
            Answer::Written(reply) => reply.as_ref().err(),
            Answer::Rows(reply) => reply.as_ref().err(),
            Answer::Page(reply) => reply.as_ref().err(),
            Answer::Table(reply) => reply.as_ref().err(),
            Answer::Listing(reply) => reply.as_ref().err(),
        }
    }

    /// Whether the lease table answered, and not a stream, and not with a failure.
    pub(crate) fn is_from_table(&self) -> bool {
        match self {
            Answer::Written(_) | Answer::Rows(_) | Answer::Page(_) | Answer::Table(_) => self.failure().is_none(),
            Answer::Listing(_) => false,
        }
    }

    pub(crate) fn written(self) -> Reply<Written> {
        if let Answer::Written(reply) = self { reply } else { self.of_another_kind() }
    }

    pub(crate) fn rows(self) -> Reply<Rows> {
        if let Answer::Rows(reply) = self { reply } else { self.of_another_kind() }
    }

    pub(crate) fn table(self) -> Reply<Table> {
        if let Answer::Table(reply) = self { reply } else { self.of_another_kind() }
    }

    pub(crate) fn listing(self) -> Reply<Listing> {
        if let Answer::Listing(reply) = self { reply } else { self.of_another_kind() }
    }

    /// The one place for an answer whose kind is not that of its id. A component made a call of the wrong kind under
    /// the id: a defect, which a release build treats as a call without an answer.
    fn of_another_kind<T>(&self) -> Reply<T> {
        debug_assert!(self.failure().is_some(), "an answer of another kind than its id: {self:?}");
        Err(self.failure().cloned().unwrap_or(Failure::Unanswered))
    }
}

/// Why a call has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// The service throttled the call. A throttled write was not applied.
    Throttled,
    /// No answer came: a write may have been applied, or may be applied later.
    Unanswered,
    /// The service refused the call.
    Refused(Refusal),
}

/// Why a service refused a call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// The error page, where a person must act.
    pub(crate) code: Option<Code>,
    /// What was refused, and why.
    pub(crate) message: String,
    /// Whether the table or stream that was called does not exist.
    pub(crate) missing: bool,
}

/// A call to make.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Call {
    pub(crate) id: CallId,
    pub(crate) generation: Generation,
    pub(crate) op: Op,
}

/// The session and the term in which a call was made. Answers to calls of an earlier generation are dropped.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Generation {
    pub(super) session: u64,
    pub(super) term: u64,
}

/// A call that was answered.
#[derive(Clone, Debug)]
pub(crate) struct Answered {
    pub(crate) id: CallId,
    pub(crate) generation: Generation,
    /// When it was sent.
    pub(crate) sent: Time,
    pub(crate) answer: Answer,
}
