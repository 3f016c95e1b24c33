//! Classifies failed calls to AWS by who can fix them.

use super::error_table;
use crate::error::Code;
use crate::text::cut;
use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use aws_smithy_types::event_stream::RawMessage;
use std::error::Error as StdError;
use std::fmt::Write as _;

/// The cause of a failed call, by who can fix it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Cause {
    /// Transient: the service throttles the call.
    Throttled,
    /// Transient: no response, or a failure of the service.
    Unanswered,
    /// Usually transient: credentials could not be fetched.
    CredentialsUnavailable,
    /// Operator: there are no credentials, or they are rejected.
    Credentials,
    /// Operator: a permission is missing.
    Permission,
    /// Operator: the KMS key of the stream or table is disabled, deleted or inaccessible.
    EncryptionKey,
    /// Operator: the target does not exist.
    NotFound,
    /// Transient: the target is being created, changed or deleted.
    Busy,
    /// Caller: the iterator is expired or invalid.
    Iterator,
    /// Operator or programmer: the service rejects this request.
    Request,
}

/// The HTTP status of a call whose response is an event stream: errors within the stream have no
/// status of their own.
const STREAMING: u16 = 200;

/// The message for a response without data that DynamoDB always sends.
pub(super) const EMPTY: &str = "the response is empty: it may come from a proxy between this process and DynamoDB";

/// A failed call.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {message}")]
pub(crate) struct Failure {
    pub(crate) cause: Cause,
    /// The operation's name, which is the IAM action's as well.
    pub(crate) operation: &'static str,
    /// The message of the service or the SDK, cut to a length suitable for logs.
    pub(crate) message: String,
    source: Option<Box<dyn StdError + Send + Sync>>,
}

impl Failure {
    pub(crate) fn new(cause: Cause, operation: &'static str, message: impl Into<String>) -> Self {
        Failure { cause, operation, message: message.into(), source: None }
    }

    /// Classifies the failure of an open event stream.
    pub(crate) fn of_event<E>(operation: &'static str, error: SdkError<E, RawMessage>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let (cause, message) = match &error {
            SdkError::ServiceError(context) => {
                (cause_of(context.err().code(), STREAMING), service_message(context.err(), STREAMING))
            }
            // Broken off, reset, closed or unreadable: usually a network failure.
            SdkError::ConstructionFailure(_)
            | SdkError::TimeoutError(_)
            | SdkError::DispatchFailure(_)
            | SdkError::ResponseError(_)
            | _ => (Cause::Unanswered, chain(&error)),
        };
        Failure { cause, operation, message: cut(&message), source: Some(Box::new(error)) }
    }

    pub(crate) fn of<E>(operation: &'static str, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + StdError + Send + Sync + 'static,
    {
        let (cause, message) = match &error {
            SdkError::ServiceError(context) => {
                let status = context.raw().status().as_u16();
                let (code, message) = (context.err().code(), context.err().message());
                let cause = if is_skewed(code, message) { Cause::Unanswered } else { cause_of(code, status) };
                (cause, service_message(context.err(), status))
            }
            SdkError::TimeoutError(_) => (Cause::Unanswered, "the call timed out".to_owned()),
            SdkError::DispatchFailure(failure) => {
                let message = failure.as_connector_error().map_or_else(String::new, |cause| chain(cause));
                let unfetched = credentials_cause(&error);
                (unfetched.unwrap_or(if failure.is_user() { Cause::Request } else { Cause::Unanswered }), message)
            }
            // A response that cannot be parsed may come from a proxy.
            SdkError::ResponseError(_) => (Cause::Unanswered, chain(&error)),
            SdkError::ConstructionFailure(_) => (credentials_cause(&error).unwrap_or(Cause::Request), chain(&error)),
            _ => (Cause::Unanswered, chain(&error)),
        };
        Failure { cause, operation, message: cut(&message), source: Some(Box::new(error)) }
    }

    /// Returns the code of the error page for the operator.
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

    /// True if the call went to DynamoDB. Kinesis has no operations of these names.
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

    /// Describes the failure in one sentence: the IAM action, its target, the service's message,
    /// and what an operator can do. Log lines of a running worker and errors of a start share it.
    pub(crate) fn sentence(&self, target: &str) -> String {
        let Failure { message, .. } = self;
        let action = self.action();
        match self.cause {
            Cause::Throttled => format!("`{action}` on {target} was throttled: {message}"),
            Cause::Unanswered => format!(
                "`{action}` on {target} was not answered: {message}; check Region and endpoint, and the network path to \
                 it (proxy, VPC endpoint, security group)"
            ),
            Cause::CredentialsUnavailable => {
                format!("no credentials could be fetched for `{action}` on {target}: {message}")
            }
            Cause::Credentials => format!(
                "the credentials were not accepted for `{action}` on {target}: {message}; check which credentials the \
                 process finds, and whether they have expired"
            ),
            Cause::Permission => format!(
                "the worker's credentials may not do `{action}` on {target}: {message}; allow it in the role's policy"
            ),
            Cause::EncryptionKey => format!(
                "the encryption key cannot be used for `{action}` on {target}: {message}; enable the key, and allow the \
                 role to decrypt with it"
            ),
            Cause::NotFound => {
                format!(
                    "`{action}` on {target} was refused, because the target does not exist: {message}; check name, account and \
                 Region, or create it"
                )
            }
            Cause::Busy => format!(
                "`{action}` on {target} was refused, because the target is being created, changed or deleted: {message}; \
                 wait until it is ACTIVE"
            ),
            Cause::Iterator | Cause::Request => format!("`{action}` on {target} was refused: {message}"),
        }
    }

    /// Returns the IAM action that the call needs.
    fn action(&self) -> String {
        let service = if self.is_of_table() { "dynamodb" } else { "kinesis" };
        format!("{service}:{}", self.operation)
    }
}

/// Classifies an error by its code, as [`error_table`] lists it, and otherwise by its HTTP status.
///
/// AWS returns a code with every error. An error without one comes from something between us and
/// the service, for example the sign-in page of a proxy, whatever its status.
fn cause_of(code: Option<&str>, status: u16) -> Cause {
    let Some(code) = code else { return if status == 429 { Cause::Throttled } else { Cause::Unanswered } };
    match error_table::cause_of_code(code) {
        Some(cause) => cause,
        None if status == 429 => Cause::Throttled,
        None if status >= 500 => Cause::Unanswered,
        None => Cause::Request,
    }
}

/// True if the request was signed with a wrong clock. The SDK learns the clock difference from
/// every response, so the next request is right.
fn is_skewed(code: Option<&str>, message: Option<&str>) -> bool {
    match code.unwrap_or_default() {
        "RequestTimeTooSkewed" => true,
        "InvalidSignatureException" | "SignatureDoesNotMatch" | "RequestExpired" => message.is_some_and(|message| {
            message.contains("Signature expired") || message.contains("Signature not yet current")
        }),
        _ => false,
    }
}

fn service_message<E: ProvideErrorMetadata + StdError + 'static>(error: &E, status: u16) -> String {
    match (error.code(), error.message()) {
        (Some(code), Some(message)) => format!("{code}: {message}"),
        (Some(code), None) => format!("{code} (HTTP {status})"),
        (None, Some(message)) => format!("{message} (HTTP {status})"),
        (None, None) => format!("{} (HTTP {status})", chain(error)),
    }
}

/// Returns the cause if credentials caused the error.
fn credentials_cause(error: &(dyn StdError + 'static)) -> Option<Cause> {
    std::iter::successors(Some(error), |&error| error.source())
        .find_map(|error| error.downcast_ref::<CredentialsError>())
        .map(credentials)
}

/// Classifies a provider's error: no credentials configured, or a transient failure.
pub(super) fn credentials(error: &CredentialsError) -> Cause {
    let nothing =
        matches!(error, CredentialsError::CredentialsNotLoaded(_) | CredentialsError::InvalidConfiguration(_));
    if nothing { Cause::Credentials } else { Cause::CredentialsUnavailable }
}

/// Returns an error's message and those of its sources.
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

    #[test]
    fn an_unknown_code_is_classified_by_the_status() {
        assert_eq!(cause_of(Some("Brandnew"), 400), Cause::Request);
        assert_eq!(cause_of(Some("Brandnew"), 503), Cause::Unanswered);
        assert_eq!(cause_of(None, 429), Cause::Throttled);
        for status in [200, 302, 403, 404, 407, 503] {
            assert_eq!(cause_of(None, status), Cause::Unanswered, "a page of a proxy, with status {status}");
        }
        assert_eq!(cause_of(Some("ThrottlingException"), 400), Cause::Throttled);
    }

    #[test]
    fn the_operation_decides_which_resource_is_missing() {
        let code = |operation| Failure::new(Cause::NotFound, operation, "ResourceNotFoundException").code();
        assert_eq!(code("Scan"), Code::TableMissing);
        assert_eq!(code("UpdateItem"), Code::TableMissing);
        assert_eq!(code("ListShards"), Code::StreamMissing);
    }

    #[test]
    fn clock_skew_is_not_a_wrong_secret() {
        let code = Some("InvalidSignatureException");
        assert!(is_skewed(code, Some("Signature expired: 20260101T000000Z is now earlier than 20260101T001000Z")));
        assert!(is_skewed(code, Some("Signature not yet current: 20260101T001000Z is still later than now")));
        assert!(!is_skewed(
            code,
            Some("The request signature we calculated does not match the signature you provided")
        ));
        assert!(!is_skewed(code, None));
    }
}
