//! A server's refusal as the client sees it.

use aws_sdk_kinesis::config::http::HttpResponse;
use aws_sdk_kinesis::error::{ProvideErrorMetadata, SdkError};

/// A failed call.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Failure {
    pub(crate) code: String,
    pub(crate) message: String,
    pub(crate) status: u16,
}

impl<E: ProvideErrorMetadata + std::fmt::Debug> From<SdkError<E, HttpResponse>> for Failure {
    fn from(error: SdkError<E, HttpResponse>) -> Self {
        let code = error.code().unwrap_or_else(|| panic!("no answer of the server: {error:?}")).to_owned();
        let message = error.message().unwrap_or_default().to_owned();
        let status = error.raw_response().map_or(0, |response| response.status().as_u16());
        Self { code, message, status }
    }
}

/// Asserts that a call was refused with this error.
#[track_caller]
pub(crate) fn assert_refused<T: std::fmt::Debug>(result: Result<T, impl Into<Failure>>, code: &str) -> Failure {
    let failure = result.err().unwrap_or_else(|| panic!("expected {code}, but the call succeeded")).into();
    assert_eq!(failure.code, code, "{}", failure.message);
    assert_eq!(failure.status, 400, "{}", failure.message);
    failure
}

pub(crate) const ARGUMENT: &str = "InvalidArgumentException";
pub(crate) const IN_USE: &str = "ResourceInUseException";
pub(crate) const LIMIT: &str = "LimitExceededException";
pub(crate) const NOT_FOUND: &str = "ResourceNotFoundException";
pub(crate) const THROUGHPUT: &str = "ProvisionedThroughputExceededException";
pub(crate) const VALIDATION: &str = "ValidationException";
