//! A failed call as the operator reads it: what was asked, of what and where, what was said, what to do.

use super::failure::{Cause, Failure};
use crate::error::{Code, Error};
use crate::record::StreamRef;
use std::fmt;

/// What a call was about.
#[derive(Clone, Copy, Debug)]
pub(super) enum Subject<'a> {
    Stream(&'a StreamRef),
    Table(&'a str),
}

impl Subject<'_> {
    fn service(self) -> &'static str {
        match self {
            Subject::Stream(_) => "kinesis",
            Subject::Table(_) => "dynamodb",
        }
    }

    /// The page of a subject that does not exist.
    fn missing(self) -> Code {
        match self {
            Subject::Stream(_) => Code::StreamMissing,
            Subject::Table(_) => Code::TableMissing,
        }
    }

    /// What is wrong when it is the subject itself that cannot be used.
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

/// Where calls go.
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

pub(super) fn explain(failure: Failure, subject: Subject<'_>, place: &Place) -> Error {
    let Failure { cause, operation, said, .. } = &failure;
    let action = format!("{}:{operation}", subject.service());
    let (code, message) = match cause {
        Cause::Permission => (
            Code::Permission,
            format!(
                "the worker's credentials may not do `{action}` on {subject} {place}: {said}; allow it in the role's \
                 policy"
            ),
        ),
        Cause::Credentials => (
            Code::Credentials,
            format!(
                "the credentials were not accepted for `{action}` on {subject} {place}: {said}; check which credentials \
                 the process finds, and whether they have expired"
            ),
        ),
        Cause::CredentialsUnavailable => {
            (Code::Credentials, format!("no credentials could be fetched for `{action}` on {subject} {place}: {said}"))
        }
        Cause::EncryptionKey => (
            Code::EncryptionKey,
            format!(
                "the encryption key of {subject} {place} cannot be used for `{action}`: {said}; enable the key, and allow \
                 the role to decrypt with it"
            ),
        ),
        Cause::NotFound => (
            subject.missing(),
            format!("there is no {subject} {place}: {said}; check name, account and Region, or create it"),
        ),
        Cause::Busy => (
            subject.unusable(),
            format!("{subject} {place} cannot be used yet or any more: {said}; start again when it is ACTIVE"),
        ),
        Cause::Unanswered => (
            Code::Unreachable,
            format!(
                "`{action}` on {subject} {place} was not answered: {said}; check Region and endpoint, and the network's way \
                 there (proxy, VPC endpoint, security group)"
            ),
        ),
        Cause::Throttled => (
            Code::Unreachable,
            format!(
                "`{action}` on {subject} {place} stayed throttled: {said}; start fewer workers at once, or again later"
            ),
        ),
        Cause::Request | Cause::Iterator => {
            (subject.unusable(), format!("`{action}` on {subject} {place} was refused: {said}"))
        }
    };
    Error::new(code, message).because(failure)
}
