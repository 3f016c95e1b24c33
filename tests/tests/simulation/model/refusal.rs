//! The errors that the library receives for a refused call in this tier, which has no AWS client. A
//! test compares them with those of the wire tier's clients.

use crate::world::refusal::AwsError;
use kcl_core::Code;
use kcl_core::lease::{StoreError, StoreErrorKind};
use kcl_core::shard::{ApiError, ApiErrorKind};

/// The error of a refused call to the table.
pub(super) fn of_table(operation: &str, error: AwsError) -> StoreError {
    let message = format!("{operation} of the table was refused: {}", error.name());
    StoreError { kind: table_kind(error), message, code: Some(code(error, Code::TableMissing)), source: None }
}

/// The error of a refused call to the stream.
pub(super) fn of_stream(operation: &str, error: AwsError) -> ApiError {
    let message = format!("{operation} of the stream was refused: {}", error.name());
    let mut refused = ApiError::new(stream_kind(error), message);
    refused.code = Some(code(error, Code::StreamMissing));
    refused
}

fn table_kind(error: AwsError) -> StoreErrorKind {
    match error {
        AwsError::KmsThrottling => StoreErrorKind::Throttled,
        AwsError::InternalError
        | AwsError::ServiceUnavailable
        | AwsError::HtmlOk
        | AwsError::HtmlForbidden
        | AwsError::Empty => StoreErrorKind::Unanswered,
        AwsError::AccessDenied
        | AwsError::ExpiredToken
        | AwsError::InvalidSignature
        | AwsError::UnrecognizedClient
        | AwsError::CredentialsNotLoaded
        | AwsError::KmsAccessDenied
        | AwsError::KmsDisabled
        | AwsError::KmsInvalidState
        | AwsError::KmsNotFound
        | AwsError::KmsOptInRequired
        | AwsError::ResourceNotFound
        | AwsError::ResourceInUse
        | AwsError::Validation => StoreErrorKind::Refused,
    }
}

fn stream_kind(error: AwsError) -> ApiErrorKind {
    match error {
        AwsError::KmsThrottling => ApiErrorKind::Throttled,
        AwsError::InternalError
        | AwsError::ServiceUnavailable
        | AwsError::HtmlOk
        | AwsError::HtmlForbidden
        | AwsError::Empty => ApiErrorKind::Unavailable,
        AwsError::ResourceNotFound => ApiErrorKind::NotFound,
        AwsError::ResourceInUse => ApiErrorKind::NotReady,
        AwsError::Validation => ApiErrorKind::Refused,
        AwsError::AccessDenied
        | AwsError::ExpiredToken
        | AwsError::InvalidSignature
        | AwsError::UnrecognizedClient
        | AwsError::CredentialsNotLoaded
        | AwsError::KmsAccessDenied
        | AwsError::KmsDisabled
        | AwsError::KmsInvalidState
        | AwsError::KmsNotFound
        | AwsError::KmsOptInRequired => ApiErrorKind::Denied,
    }
}

/// The documentation page that the error names.
fn code(error: AwsError, missing: Code) -> Code {
    match error {
        AwsError::AccessDenied => Code::Permission,
        AwsError::ExpiredToken
        | AwsError::InvalidSignature
        | AwsError::UnrecognizedClient
        | AwsError::CredentialsNotLoaded => Code::Credentials,
        AwsError::KmsAccessDenied
        | AwsError::KmsDisabled
        | AwsError::KmsInvalidState
        | AwsError::KmsNotFound
        | AwsError::KmsOptInRequired => Code::EncryptionKey,
        AwsError::ResourceNotFound => missing,
        AwsError::Validation if missing == Code::TableMissing => Code::TableUnusable,
        AwsError::Validation => Code::Setting,
        AwsError::KmsThrottling
        | AwsError::ResourceInUse
        | AwsError::InternalError
        | AwsError::ServiceUnavailable
        | AwsError::HtmlOk
        | AwsError::HtmlForbidden
        | AwsError::Empty => Code::Unreachable,
    }
}

/// Both tiers report the same for every error.
#[cfg(test)]
mod tests {
    use super::*;
    use crate::wire::{fault, without_credentials};
    use crate::world::weather::{Fate, Service};
    use kcl_core::aws::{Clients, DynamoDbStore, KinesisStream};
    use kcl_core::lease::LeaseStore;
    use kcl_core::record::StreamRef;
    use kcl_core::shard::StreamApi;
    use kcl_local::LocalAws;

    fn clients(aws: &LocalAws) -> Clients {
        Clients::from_config(&without_credentials(aws.sdk_config())).unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn the_model_reports_a_refused_table_call_like_an_aws_client() {
        for error in AwsError::ALL {
            let aws = LocalAws::in_process();
            let fault = fault(Fate::Refused(error), Service::Table, "Scan").unwrap();
            aws.faults().rule(move |_| Some(fault.clone()));
            let store = DynamoDbStore::new(clients(&aws).dynamodb, "delays");
            let said = store.scan().await.unwrap_err();
            assert_eq!(said.kind, table_kind(error), "{error:?}: {said}");
            assert_eq!(said.code, Some(code(error, Code::TableMissing)), "{error:?}: {said}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn the_model_reports_a_refused_read_like_an_aws_client() {
        // An empty GetRecords answer is the end of a shard without children, which a list of shards
        // must confirm.
        for error in AwsError::ALL.into_iter().filter(|error| *error != AwsError::Empty) {
            let aws = LocalAws::in_process();
            let fault = fault(Fate::Refused(error), Service::Stream, "GetRecords").unwrap();
            aws.faults().rule(move |_| Some(fault.clone()));
            let stream = KinesisStream::new(&clients(&aws).coordination_kinesis, StreamRef::from("flights"));
            let said = stream.get_records("an iterator", 10).await.unwrap_err();
            assert_eq!(said.kind, stream_kind(error), "{error:?}: {said}");
            assert_eq!(said.code, Some(code(error, Code::StreamMissing)), "{error:?}: {said}");
        }
    }
}
