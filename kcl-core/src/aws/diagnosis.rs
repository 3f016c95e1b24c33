//! Turns a failed call of a start into the error that the operator reads.

use super::failure::{Cause, Failure};
use crate::error::{Code, Error};
use crate::record::StreamRef;
use std::fmt;

/// The target of a call.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    Stream(&'a StreamRef),
    Table(&'a str),
}

impl Subject<'_> {
    /// The error code if the target does not exist.
    fn missing(self) -> Code {
        match self {
            Subject::Stream(_) => Code::StreamMissing,
            Subject::Table(_) => Code::TableMissing,
        }
    }

    /// The error code if the target exists but cannot be used.
    fn unusable(self) -> Code {
        match self {
            Subject::Stream(_) => Code::StreamMissing,
            Subject::Table(_) => Code::TableUnusable,
        }
    }
}

impl fmt::Display for Subject<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Subject::Stream(stream) => write!(f, "stream `{stream}`"),
            Subject::Table(table) => write!(f, "table `{table}`"),
        }
    }
}

/// Where calls are sent.
#[derive(Clone, Debug, Default)]
pub(super) struct Place {
    pub(super) region: Option<String>,
    pub(super) endpoint: Option<String>,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "in Region {}", self.region.as_deref().unwrap_or("(none)"))?;
        self.endpoint.iter().try_for_each(|endpoint| write!(f, " at {endpoint}"))
    }
}

/// Returns the error of a call that failed before the worker started.
pub(super) fn diagnose(failure: Failure, subject: Subject<'_>, place: &Place) -> Error {
    let code = match failure.cause {
        Cause::Permission => Code::Permission,
        Cause::Credentials | Cause::CredentialsUnavailable => Code::Credentials,
        Cause::EncryptionKey => Code::EncryptionKey,
        Cause::NotFound => subject.missing(),
        Cause::Busy | Cause::Request | Cause::Iterator => subject.unusable(),
        Cause::Unanswered | Cause::Throttled => Code::Unreachable,
    };
    Error::new(code, failure.sentence(&format!("{subject} {place}"))).with_source(failure)
}
