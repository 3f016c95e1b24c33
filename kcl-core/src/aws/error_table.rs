//! The one table of AWS's errors: which error has which cause, and what is done about a cause at each step.
//!
//! Pure. [`super::failure`] names the cause of every failed call by it, [`super::patience`] decides by it what refuses a start, and
//! `docs/aws-errors.md` is written from it.

use super::failure::Cause;
use crate::lease::StoreErrorKind;
use crate::shard::ApiErrorKind;

/// What the worker is at when a call fails. A worker that runs decides by [`table_kind`] and [`stream_kind`], which a test holds
/// to this.
#[cfg_attr(not(test), allow(dead_code, reason = "the steps of a worker that runs are on the page"))]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Before its session is registered: `build`, and the first read of the table.
    Start,
    /// Any call of the lease table by a worker that runs.
    Table,
    /// GetShardIterator, GetRecords and SubscribeToShard.
    Read,
    /// ListShards and calls that concern consumers of fan-out.
    List,
}

/// What is done about it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Reaction {
    /// The call is repeated, with growing pauses; nothing else stops for it.
    Retry,
    /// The call is repeated, with growing pauses; this shard rests meanwhile.
    PauseShard,
    /// The calls are repeated, with growing pauses; once the worker's heartbeats have been missing for the failover time, it
    /// hands out no records until one comes through.
    PauseWorker,
    /// The worker ends before it has registered, and says why.
    RefuseStart,
}

/// A class of errors.
pub(super) struct Class {
    pub(super) cause: Cause,
    #[cfg_attr(not(test), allow(dead_code, reason = "for the page that is written from this table"))]
    pub(super) title: &'static str,
    /// The errors' codes, as the services' API references and "Common Error Types" list them.
    pub(super) codes: &'static [&'static str],
    /// What the operator does about it.
    #[cfg_attr(not(test), allow(dead_code, reason = "for the page that is written from this table"))]
    pub(super) remedy: &'static str,
}

/// Every class of errors.
pub(super) const CLASSES: &[Class] = &[
    Class {
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
        remedy: "Nothing, if it passes. Else give the table on-demand capacity, or the stream more shards or fan-out.",
    },
    Class {
        cause: Cause::Unanswered,
        title: "no answer, the service's own failure (HTTP 5xx), or an answer without an error code, such as a page of a proxy",
        codes: &["InternalFailure", "InternalServerError", "ServiceUnavailable", "ExpiredNextTokenException"],
        remedy: "Look at the AWS Health Dashboard and at the network's way to the endpoint: proxy, DNS, VPC endpoint, security group.",
    },
    Class {
        cause: Cause::CredentialsUnavailable,
        title: "a credentials provider failed or timed out",
        codes: &[],
        remedy: "Look at the container's or instance's metadata service, or at STS.",
    },
    Class {
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
        remedy: "Yield the process credentials that are valid and renewed. See KCL-0005.",
    },
    Class {
        cause: Cause::Permission,
        title: "a permission is missing",
        codes: &["AccessDeniedException", "AccessDenied", "NotAuthorized", "OptInRequired"],
        remedy: "Allow the action in the role's policy. See KCL-0006.",
    },
    Class {
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
    Class {
        cause: Cause::NotFound,
        title: "the stream, consumer or table does not exist",
        codes: &["ResourceNotFoundException", "TableNotFoundException"],
        remedy: "Restore it under its name, or correct the setting. See KCL-0008 (stream) and KCL-0023 (table).",
    },
    Class {
        cause: Cause::Busy,
        title: "the stream, consumer or table is being created, changed or deleted, or is in use",
        codes: &["ResourceInUseException"],
        remedy: "Wait.",
    },
    Class {
        cause: Cause::Iterator,
        title: "the iterator is too old",
        codes: &["ExpiredIteratorException"],
        remedy: "Nothing: a new one is taken after the last record.",
    },
    Class {
        cause: Cause::Request,
        title: "the request itself is refused: any other code",
        codes: &[],
        remedy: "Of one shard's read: look at that lease's checkpoint. Else report it, with the log line.",
    },
];

/// The cause that an error's code names.
pub(super) fn cause_of_code(code: &str) -> Option<Cause> {
    CLASSES.iter().find(|class| class.codes.contains(&code)).map(|class| class.cause)
}

/// What is done about a call that failed for that cause, at that step.
pub(super) fn reaction(step: Step, cause: Cause) -> Reaction {
    match (step, cause) {
        (
            Step::Start,
            Cause::Credentials
            | Cause::Permission
            | Cause::EncryptionKey
            | Cause::NotFound
            | Cause::Iterator
            | Cause::Request,
        ) => Reaction::RefuseStart,
        // For `start_deadline`, or seconds where something is being created; then they refuse the start as well.
        (Step::Start, Cause::Throttled | Cause::Unanswered | Cause::CredentialsUnavailable | Cause::Busy)
        | (Step::List, _)
        | (Step::Table, Cause::Throttled)
        | (Step::Read, Cause::Throttled | Cause::Iterator | Cause::Busy) => Reaction::Retry,
        (
            Step::Table,
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
            Step::Read,
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

/// What the coordination is told of a failed call of the table.
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

/// What readers and lists are told of a failed call of the stream.
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
