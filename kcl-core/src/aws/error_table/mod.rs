//! Defines the table of AWS errors: the cause of each error, and the reaction to a cause in each
//! phase.
//!
//! Pure. [`super::failure`] uses it to classify every failed call, [`super::startup_retry`] to
//! decide which errors refuse a start, and `docs/aws-errors.md` is generated from it.

use super::failure::Cause;
use crate::lease::StoreErrorKind;
use crate::shard::ApiErrorKind;

/// What the worker does when a call fails. A running worker decides by [`table_kind`] and
/// [`stream_kind`]; a test keeps them consistent with this table.
#[cfg_attr(not(test), allow(dead_code, reason = "the steps of a worker that runs are on the page"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Before its session is registered: `build`, and the first read of the table.
    Start,
    /// Any call of a running worker to the lease table.
    Table,
    /// GetShardIterator, GetRecords and SubscribeToShard.
    Read,
    /// ListShards, and calls about fan-out consumers.
    List,
}

/// The worker's reaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// The call is retried with growing pauses; nothing else stops.
    Retry,
    /// The call is retried with growing pauses; this shard pauses meanwhile.
    PauseShard,
    /// The calls are retried with growing pauses. Once the worker's heartbeats have failed for the
    /// failover time, it delivers no records until one succeeds.
    PauseWorker,
    /// The worker ends before it registers, with this error.
    RefuseStart,
}

/// A class of errors.
pub(super) struct ErrorClass {
    pub(super) cause: Cause,
    #[cfg_attr(not(test), allow(dead_code, reason = "for the page that is written from this table"))]
    pub(super) title: &'static str,
    /// The error codes, as listed in the services' API references and in "Common Error Types".
    pub(super) codes: &'static [&'static str],
    /// What the operator can do.
    #[cfg_attr(not(test), allow(dead_code, reason = "for the page that is written from this table"))]
    pub(super) remedy: &'static str,
}

/// Every class of errors.
pub(super) const CLASSES: &[ErrorClass] = &[
    ErrorClass {
        cause: Cause::Throttled,
        title: "throttled",
        codes: &[
            "ProvisionedThroughputExceededException",
            "RequestLimitExceeded",
            "ThrottlingException",
            "Throttling",
            "ThrottledException",
            "TooManyRequestsException",
            "LimitExceededException",
            "KMSThrottlingException",
            "ReplicatedWriteConflictException",
            "TransactionConflictException",
        ],
        remedy: "Nothing, if it is transient. Otherwise use on-demand capacity for the table, or more shards or fan-out for the stream.",
    },
    ErrorClass {
        cause: Cause::Unanswered,
        title: "no response, a failure of the service (HTTP 5xx), or a response without an error code, such as a proxy's page",
        codes: &["InternalFailure", "InternalServerError", "ServiceUnavailable", "ExpiredNextTokenException"],
        remedy: "Check the AWS Health Dashboard and the network path to the endpoint: proxy, DNS, VPC endpoint, security group.",
    },
    ErrorClass {
        cause: Cause::CredentialsUnavailable,
        title: "a credentials provider failed or timed out",
        codes: &[],
        remedy: "Check the container's or instance's metadata service, or STS.",
    },
    ErrorClass {
        cause: Cause::Credentials,
        title: "no credentials, or credentials that are not accepted",
        codes: &[
            "UnrecognizedClientException",
            "InvalidClientTokenId",
            "InvalidSignatureException",
            "SignatureDoesNotMatch",
            "IncompleteSignature",
            "IncompleteSignatureException",
            "MissingAuthenticationToken",
            "MissingAuthenticationTokenException",
            "ExpiredToken",
            "ExpiredTokenException",
            "RequestExpired",
        ],
        remedy: "Provide valid credentials that are renewed. See KCL-0005.",
    },
    ErrorClass {
        cause: Cause::Permission,
        title: "a permission is missing",
        codes: &["AccessDeniedException", "AccessDenied", "NotAuthorized", "OptInRequired"],
        remedy: "Allow the action in the role's policy. See KCL-0006.",
    },
    ErrorClass {
        cause: Cause::EncryptionKey,
        title: "the encryption key cannot be used",
        codes: &[
            "KMSAccessDeniedException",
            "KMSDisabledException",
            "KMSInvalidStateException",
            "KMSNotFoundException",
            "KMSOptInRequired",
        ],
        remedy: "Enable the key, and allow the role to decrypt with it. See KCL-0022.",
    },
    ErrorClass {
        cause: Cause::NotFound,
        title: "the stream, consumer or table does not exist",
        codes: &["ResourceNotFoundException", "TableNotFoundException"],
        remedy: "Restore it under its name, or correct the setting. See KCL-0008 (stream) and KCL-0023 (table).",
    },
    ErrorClass {
        cause: Cause::Busy,
        title: "the stream, consumer or table is being created, changed or deleted, or is in use",
        codes: &["ResourceInUseException"],
        remedy: "Wait.",
    },
    ErrorClass {
        cause: Cause::Iterator,
        title: "the iterator is too old",
        codes: &["ExpiredIteratorException"],
        remedy: "Nothing: the reader gets a new one after the last record.",
    },
    ErrorClass {
        cause: Cause::Request,
        title: "the request itself is invalid: any other code",
        codes: &[],
        remedy: "If reading one shard fails: check that lease's checkpoint. Otherwise report it, with the log line.",
    },
];

/// Returns the cause of an error code.
pub(super) fn cause_of_code(code: &str) -> Option<Cause> {
    CLASSES.iter().find(|class| class.codes.contains(&code)).map(|class| class.cause)
}

/// Returns the reaction to a call that failed for this cause in this phase.
pub(super) fn reaction(phase: Phase, cause: Cause) -> Reaction {
    match (phase, cause) {
        (
            Phase::Start,
            Cause::Credentials
            | Cause::Permission
            | Cause::EncryptionKey
            | Cause::NotFound
            | Cause::Iterator
            | Cause::Request,
        ) => Reaction::RefuseStart,
        // A start retries for `start_deadline`, or for seconds if a resource is being created; then
        // it fails.
        (Phase::Start, Cause::Throttled | Cause::Unanswered | Cause::CredentialsUnavailable | Cause::Busy)
        | (Phase::List, _)
        | (Phase::Table, Cause::Throttled)
        | (Phase::Read, Cause::Throttled | Cause::Iterator | Cause::Busy) => Reaction::Retry,
        (
            Phase::Table,
            Cause::Unanswered
            | Cause::CredentialsUnavailable
            | Cause::Credentials
            | Cause::Permission
            | Cause::EncryptionKey
            | Cause::NotFound
            | Cause::Busy
            | Cause::Iterator
            | Cause::Request,
        ) => Reaction::PauseWorker,
        (
            Phase::Read,
            Cause::Unanswered
            | Cause::CredentialsUnavailable
            | Cause::Credentials
            | Cause::Permission
            | Cause::EncryptionKey
            | Cause::NotFound
            | Cause::Request,
        ) => Reaction::PauseShard,
    }
}

/// Returns how the coordination reacts to a failed call of the table.
pub(super) fn table_kind(cause: Cause) -> StoreErrorKind {
    match cause {
        Cause::Throttled => StoreErrorKind::Throttled,
        Cause::Unanswered | Cause::CredentialsUnavailable => StoreErrorKind::Unanswered,
        Cause::Credentials
        | Cause::Permission
        | Cause::EncryptionKey
        | Cause::NotFound
        | Cause::Busy
        | Cause::Iterator
        | Cause::Request => StoreErrorKind::Refused,
    }
}

/// Returns how readers and shard lists react to a failed call of the stream.
pub(super) fn stream_kind(cause: Cause) -> ApiErrorKind {
    match cause {
        Cause::Throttled => ApiErrorKind::Throttled,
        Cause::Unanswered | Cause::CredentialsUnavailable => ApiErrorKind::Unavailable,
        Cause::Iterator => ApiErrorKind::IteratorExpired,
        Cause::NotFound => ApiErrorKind::NotFound,
        Cause::Busy => ApiErrorKind::NotReady,
        Cause::Credentials | Cause::Permission | Cause::EncryptionKey => ApiErrorKind::Denied,
        Cause::Request => ApiErrorKind::Refused,
    }
}

#[cfg(test)]
mod tests;
