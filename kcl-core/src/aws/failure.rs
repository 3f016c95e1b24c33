//! Why a call to AWS failed, in terms of who can do something about it.

use super::error_table;
use crate::error::Code;
use crate::telemetry::cut;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::event_stream::RawMessage;
use std::error::Error as StdError;
use std::fmt::Write as _;

/// Who can do something about a failed call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Cause {
    /// Time: the service has no room for the call now.
    Throttled,
    /// Time: there was no answer, or the service's own failure for one.
    Unanswered,
    /// Time, mostly: credentials could not be fetched.
    CredentialsUnavailable,
    /// A person: there are no credentials, or they are not accepted.
    Credentials,
    /// A person: a permission is missing.
    Permission,
    /// A person: the KMS key of the stream or table is disabled, gone or out of reach.
    EncryptionKey,
    /// A person: what the call names does not exist.
    NotFound,
    /// Time: what the call names is being created, changed or deleted.
    Busy,
    /// The caller: the iterator is too old or not understood.
    Iterator,
    /// A person or a programmer: the service does not take this request.
    Request,
}

/// The status of a call whose answer is a stream of events: an error among them has none of its own.
const STREAMING: u16 = 200;

/// What is said of an answer that lacks what DynamoDB always sends.
pub(super) const EMPTY: &str = "the answer is empty: it may come from something between this process and DynamoDB";

/// A failed call.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {said}")]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    /// The operation's name, which is the IAM action's as well.
    pub(crate) operation: &'static str,
    /// The service's or the client's own words, cut at a length that a log can bear.
    pub(crate) said: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    pub(crate) fn new(cause: Cause, operation: &'static str, said: impl Into<String>) -> Self {
        Failure { cause, operation, said: said.into(), source: None }
    }

    /// Of an event stream that had begun.
    pub(crate) fn of_event<E>(operation: &'static str, error: SdkError<E, RawMessage>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let (cause, said) = match &error {
            SdkError::ServiceError(context) => {
                (cause_of(context.err().code(), STREAMING), said(context.err(), STREAMING))
            }
            // Cut, reset, closed, or not to be read: what was between the service and us, mostly.
            SdkError::ConstructionFailure(_)
            | SdkError::TimeoutError(_)
            | SdkError::DispatchFailure(_)
            | SdkError::ResponseError(_)
            | _ => (Cause::Unanswered, chain(&error)),
        };
        Failure { cause, operation, said: cut(&said), source: Some(Box::new(error)) }
    }

    pub(crate) fn of<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let (cause, said) = match &error {
            SdkError::ServiceError(context) => {
                let status = context.raw().status().as_u16();
                let (code, message) = (context.err().code(), context.err().message());
                let cause = if is_skewed(code, message) { Cause::Unanswered } else { cause_of(code, status) };
                (cause, said(context.err(), status))
            }
            SdkError::TimeoutError(_) => (Cause::Unanswered, "no answer in time".to_owned()),
            SdkError::DispatchFailure(failure) => {
                let said = failure.as_connector_error().map_or_else(String::new, |cause| chain(cause));
                let unfetched = credentials_cause(&error);
                (unfetched.unwrap_or(if failure.is_user() { Cause::Request } else { Cause::Unanswered }), said)
            }
            // An answer that cannot be read may come from something between the service and us.
            SdkError::ResponseError(_) => (Cause::Unanswered, chain(&error)),
            SdkError::ConstructionFailure(_) => (credentials_cause(&error).unwrap_or(Cause::Request), chain(&error)),
            _ => (Cause::Unanswered, chain(&error)),
        };
        Failure { cause, operation, said: cut(&said), source: Some(Box::new(error)) }
    }

    /// The page that tells an operator more.
    #[allow(dead_code, reason = "see `code_of`")]
    pub(crate) fn code(&self) -> Code {
        match self.cause {
            Cause::Throttled | Cause::Unanswered | Cause::Busy | Cause::Iterator => Code::Unreachable,
            Cause::Credentials | Cause::CredentialsUnavailable => Code::Credentials,
            Cause::Permission => Code::Permission,
            Cause::EncryptionKey => Code::EncryptionKey,
            Cause::NotFound if self.is_of_table() => Code::TableMissing,
            Cause::NotFound => Code::StreamMissing,
            Cause::Request if self.is_of_table() => Code::TableUnusable,
            Cause::Request => Code::Setting,
        }
    }

    /// Whether the call went to DynamoDB: no operation of Kinesis shares its name with one of these.
    fn is_of_table(&self) -> bool {
        matches!(
            self.operation,
            "BatchGetItem"
                | "CreateTable"
                | "DeleteItem"
                | "DescribeTable"
                | "GetItem"
                | "PutItem"
                | "Scan"
                | "UpdateItem"
        )
    }

    /// What happened, to what.
    pub(crate) fn sentence(&self, subject: &str) -> String {
        let Failure { operation, said, .. } = self;
        match self.cause {
            Cause::Throttled => format!("{operation} of {subject} was throttled: {said}"),
            Cause::Unanswered => format!("{operation} of {subject} was not answered: {said}"),
            Cause::CredentialsUnavailable => {
                format!("{operation} of {subject} was not sent, as no credentials could be fetched: {said}")
            }
            Cause::EncryptionKey => format!(
                "{operation} of {subject} was refused, as its encryption key cannot be used: {said}; enable the key, and \
                 allow the worker's role to decrypt with it"
            ),
            Cause::NotFound => format!(
                "{operation} of {subject} was refused, as it does not exist: {said}; check name, account and Region"
            ),
            Cause::Permission => {
                let service = if self.is_of_table() { "dynamodb" } else { "kinesis" };
                format!(
                    "the worker's credentials may not do `{service}:{operation}` on {subject}: {said}; allow it in the role's policy"
                )
            }
            Cause::Credentials | Cause::Busy | Cause::Iterator | Cause::Request => {
                format!("{operation} of {subject} was refused: {said}")
            }
        }
    }
}

/// The code of the page for an error that came, somewhere down its sources, from a failed call.
#[allow(dead_code, reason = "for whoever ends a worker because of a store's or a stream's error")]
pub(crate) fn code_of(error: &(dyn StdError + 'static)) -> Option<Code> {
    let mut sources = std::iter::successors(Some(error), |&error| error.source());
    sources.find_map(|error| error.downcast_ref::<Failure>()).map(Failure::code)
}

/// By the error's code, as [`error_table`] has it; else by the HTTP status.
///
/// AWS names every error that it answers with. An error without a name comes from something between us and the service,
/// for example the sign-in page of a proxy, whatever its status.
fn cause_of(code: Option<&str>, status: u16) -> Cause {
    let Some(code) = code else { return if status == 429 { Cause::Throttled } else { Cause::Unanswered } };
    match error_table::cause_of_code(code) {
        Some(cause) => cause,
        None if status == 429 => Cause::Throttled,
        None if status >= 500 => Cause::Unanswered,
        None => Cause::Request,
    }
}

/// Whether the request was signed by a clock that is off. Every answer tells the SDK by how much, so the next request is
/// right; it would repeat by itself, were its retries on.
fn is_skewed(code: Option<&str>, message: Option<&str>) -> bool {
    match code.unwrap_or_default() {
        "RequestTimeTooSkewed" => true,
        "InvalidSignatureException" | "SignatureDoesNotMatch" | "RequestExpired" => message.is_some_and(|message| {
            message.contains("Signature expired") || message.contains("Signature not yet current")
        }),
        _ => false,
    }
}

fn said<E: ProvideErrorMetadata + StdError + 'static>(error: &E, status: u16) -> String {
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => format!("{code} (HTTP {status})"),
        (None, Some(message)) => format!("{message} (HTTP {status})"),
        (None, None) => format!("{} (HTTP {status})", chain(error)),
    }
}

/// Whether credentials are to blame, and who can do something about them.
fn credentials_cause(error: &(dyn StdError + 'static)) -> Option<Cause> {
    std::iter::successors(Some(error), |&error| error.source())
        .find_map(|error| error.downcast_ref::<CredentialsError>())
        .map(credentials)
}

/// What stands behind a provider's error: nothing to be found, or something that may pass.
pub(super) fn credentials(error: &CredentialsError) -> Cause {
    let nothing =
        matches!(error, CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_));
    if nothing { Cause::Credentials } else { Cause::CredentialsUnavailable }
}

/// An error's own words and those of its sources.
pub(super) fn chain(error: &(dyn StdError + 'static)) -> String {
    let mut text = error.to_string();
    for source in std::iter::successors(error.source(), |&error| error.source()) {
        // Writing to a String cannot fail.
        let _ = write!(text, ": {source}");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Error;

    #[test]
    fn a_code_that_is_not_known_is_judged_by_its_status() {
        assert_eq!(cause_of(Some("Brandnew"), 400), Cause::Request);
        assert_eq!(cause_of(Some("Brandnew"), 503), Cause::Unanswered);
        assert_eq!(cause_of(None, 429), Cause::Throttled);
        for status in [200, 302, 403, 404, 407, 503] {
            assert_eq!(cause_of(None, status), Cause::Unanswered, "a page of a proxy, with status {status}");
        }
        assert_eq!(cause_of(Some("ThrottlingException"), 400), Cause::Throttled);
    }

    #[test]
    fn what_is_missing_is_named_by_what_was_asked() {
        let code = |operation| Failure::new(Cause::NotFound, operation, "ResourceNotFoundException").code();
        assert_eq!(code("Scan"), Code::TableMissing);
        assert_eq!(code("UpdateItem"), Code::TableMissing);
        assert_eq!(code("ListShards"), Code::StreamMissing);
    }

    #[test]
    fn a_clock_that_is_off_is_no_wrong_secret() {
        let code = Some("InvalidSignatureException");
        assert!(is_skewed(code, Some("Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z")));
        assert!(is_skewed(code, Some("Signature not yet current: 20260101T001000Z is still later than now")));
        assert!(!is_skewed(
            code,
            Some("The request signature we calculated does not match the signature you provided")
        ));
        assert!(!is_skewed(code, None));
    }

    #[test]
    fn the_page_is_found_below_the_errors_around_it() {
        let failure = Failure::new(Cause::Permission, "Scan", "AccessDeniedException");
        let error = Error::new(Code::Bug, "the worker stopped").because(failure);
        assert_eq!(code_of(&error), Some(Code::Permission));
        assert_eq!(code_of(&Error::new(Code::Bug, "alone")), None);
    }
}
