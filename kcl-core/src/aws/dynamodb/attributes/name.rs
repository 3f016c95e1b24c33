//! Names the attributes. Those of leases are KCL's (3.5, class `DynamoDBLeaseSerializer`), except
//! for some of our own.

pub(in super::super) const KEY: &str = "leaseKey";
pub(in super::super) const ENTITY_TYPE: &str = "entityType";

// Values of `entityType`.
pub(in super::super) const LEASE: &str = "LEASE";
pub(in super::super) const SESSION: &str = "KCL_SESSION";
pub(in super::super) const FLEET: &str = "KCL_FLEET";
pub(in super::super) const ASSIGNMENT: &str = "KCL_ASSIGNMENT";
pub(in super::super) const STREAM: &str = "KCL_STREAM";

// Leases.
pub(in super::super) const OWNER: &str = "leaseOwner";
pub(in super::super) const COUNTER: &str = "leaseCounter";
pub(in super::super) const OWNER_SWITCHES: &str = "ownerSwitchesSinceCheckpoint";
pub(in super::super) const CHECKPOINT: &str = "checkpoint";
pub(in super::super) const CHECKPOINT_SUB: &str = "checkpointSubSequenceNumber";
pub(in super::super) const PENDING: &str = "pendingCheckpoint";
pub(in super::super) const PENDING_SUB: &str = "pendingCheckpointSubSequenceNumber";
pub(in super::super) const PENDING_STATE: &str = "pendingCheckpointState";
/// Singular for historical reasons in KCL; contains the set of parents.
pub(in super::super) const PARENTS: &str = "parentShardId";
pub(in super::super) const CHILDREN: &str = "childShardIds";
pub(in super::super) const HASH_START: &str = "startingHashKey";
pub(in super::super) const HASH_END: &str = "endingHashKey";
/// KCL 3's graceful handoff.
pub(in super::super) const CHECKPOINT_OWNER: &str = "checkpointOwner";
pub(in super::super) const STREAM_NAME: &str = "streamName";
pub(in super::super) const SHARD: &str = "shardId";

// Ours, on leases.
pub(in super::super) const KCL_SESSION: &str = "kclSession";
pub(in super::super) const KCL_COUNTER: &str = "kclCounter";
pub(in super::super) const KCL_STREAM: &str = "kclStream";
pub(in super::super) const KCL_START: &str = "kclStart";
pub(in super::super) const KCL_UNTIL: &str = "kclUntil";
pub(in super::super) const KCL_COMPLETED: &str = "kclCompleted";
pub(in super::super) const KCL_QUARANTINED: &str = "kclQuarantined";
pub(in super::super) const KCL_UNREADABLE_BY: &str = "kclUnreadableBy";

// Members of quarantined keys, which are maps.
pub(in super::super) const QUARANTINED_KEY: &str = "key";
pub(in super::super) const QUARANTINED_AT: &str = "at";
pub(in super::super) const QUARANTINED_ATTEMPTS: &str = "attempts";
pub(in super::super) const QUARANTINED_ERROR: &str = "error";
pub(in super::super) const QUARANTINED_ARRIVED: &str = "arrived";
pub(in super::super) const QUARANTINED_REQUEST: &str = "request";
pub(in super::super) const QUARANTINED_REFUSED: &str = "refused";

// Sessions.
pub(in super::super) const NUMBER: &str = "number";
pub(in super::super) const TAG: &str = "tag";
pub(in super::super) const HEARTBEAT: &str = "heartbeat";
pub(in super::super) const STATE: &str = "state";
pub(in super::super) const CAPACITY: &str = "capacity";
pub(in super::super) const LOAD: &str = "load";
pub(in super::super) const WEIGHTS: &str = "weights";
/// Ids separated by spaces.
pub(in super::super) const STREAMS: &str = "streams";

/// The process that registered the session.
pub(in super::super) const HOST: &str = "host";
pub(in super::super) const PROCESS: &str = "processId";
pub(in super::super) const STARTED_AT: &str = "startedAt";
pub(in super::super) const KERNEL: &str = "kernel";
pub(in super::super) const ADOPTED: &str = "adopted";

// Settings that all workers must agree on, in sessions and in the fleet row.
/// In milliseconds.
pub(in super::super) const FAILOVER_TIME: &str = "failoverTime";
pub(in super::super) const BALANCE_BY: &str = "balanceBy";
pub(in super::super) const UNTIL: &str = "until";
pub(in super::super) const SET_BY: &str = "settingsBy";

// The fleet row; `heartbeat` as above.
pub(in super::super) const LEADER_FAILOVER_TIME: &str = "leaderFailoverTime";
pub(in super::super) const TERM: &str = "term";
pub(in super::super) const LEADER: &str = "leader";
pub(in super::super) const LEADER_SESSION: &str = "leaderSession";
pub(in super::super) const LEADER_SESSION_HEARTBEAT: &str = "leaderSessionHeartbeat";
pub(in super::super) const ASSIGNMENT_VERSION: &str = "assignmentVersion";
pub(in super::super) const WAKE: &str = "wake";
pub(in super::super) const SESSIONS: &str = "sessions";
pub(in super::super) const FORMAT: &str = "format";
pub(in super::super) const WRITER: &str = "writer";
pub(in super::super) const START: &str = "start";
pub(in super::super) const START_AT: &str = "startAt";
pub(in super::super) const FILLED: &str = "filled";

// Assignments; `term` as above.
pub(in super::super) const VERSION: &str = "version";
pub(in super::super) const ACQUIRES: &str = "acquires";
pub(in super::super) const YIELDS: &str = "yields";
pub(in super::super) const LISTS: &str = "lists";

// Members of acquires and yields, which are maps.
pub(in super::super) const ENTRY_LEASE: &str = "lease";
pub(in super::super) const ENTRY_COUNTER: &str = "counter";
pub(in super::super) const ENTRY_OWNER: &str = "owner";
pub(in super::super) const ENTRY_SESSION: &str = "session";
pub(in super::super) const ENTRY_AFTER: &str = "after";
