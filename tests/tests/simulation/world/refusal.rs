//! The errors with which AWS, or something on the way to it, answers a call.

/// An unsuccessful answer. Each refuses its call without an effect.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum AwsError {
    AccessDenied,
    ExpiredToken,
    InvalidSignature,
    UnrecognizedClient,
    /// The client finds no credentials: nothing is sent.
    CredentialsNotLoaded,
    KmsAccessDenied,
    KmsDisabled,
    KmsInvalidState,
    KmsNotFound,
    KmsOptInRequired,
    KmsThrottling,
    ResourceNotFound,
    ResourceInUse,
    Validation,
    /// The service's own failure, HTTP 500.
    InternalError,
    /// HTTP 503.
    ServiceUnavailable,
    /// A proxy's HTML page, with status 200.
    HtmlOk,
    /// A proxy's HTML page, with status 403.
    HtmlForbidden,
    /// An empty object with status 200, without the members that the service always sends.
    Empty,
}

impl AwsError {
    pub(crate) const ALL: [AwsError; 19] = [
        AwsError::AccessDenied,
        AwsError::ExpiredToken,
        AwsError::InvalidSignature,
        AwsError::UnrecognizedClient,
        AwsError::CredentialsNotLoaded,
        AwsError::KmsAccessDenied,
        AwsError::KmsDisabled,
        AwsError::KmsInvalidState,
        AwsError::KmsNotFound,
        AwsError::KmsOptInRequired,
        AwsError::KmsThrottling,
        AwsError::ResourceNotFound,
        AwsError::ResourceInUse,
        AwsError::Validation,
        AwsError::InternalError,
        AwsError::ServiceUnavailable,
        AwsError::HtmlOk,
        AwsError::HtmlForbidden,
        AwsError::Empty,
    ];

    /// The error's code, or its name in plain words.
    pub(crate) fn name(self) -> &'static str {
        match self {
            AwsError::AccessDenied => "AccessDeniedException",
            AwsError::ExpiredToken => "ExpiredTokenException",
            AwsError::InvalidSignature => "InvalidSignatureException",
            AwsError::UnrecognizedClient => "UnrecognizedClientException",
            AwsError::CredentialsNotLoaded => "no credentials",
            AwsError::KmsAccessDenied => "KMSAccessDeniedException",
            AwsError::KmsDisabled => "KMSDisabledException",
            AwsError::KmsInvalidState => "KMSInvalidStateException",
            AwsError::KmsNotFound => "KMSNotFoundException",
            AwsError::KmsOptInRequired => "KMSOptInRequired",
            AwsError::KmsThrottling => "KMSThrottlingException",
            AwsError::ResourceNotFound => "ResourceNotFoundException",
            AwsError::ResourceInUse => "ResourceInUseException",
            AwsError::Validation => "ValidationException",
            AwsError::InternalError => "InternalFailure",
            AwsError::ServiceUnavailable => "ServiceUnavailable",
            AwsError::HtmlOk => "HTML with status 200",
            AwsError::HtmlForbidden => "HTML with status 403",
            AwsError::Empty => "an empty answer",
        }
    }

    /// True if this answer to the operation differs from the answer to a call that was carried out.
    /// DynamoDB answers a put, a deletion, and a read of a missing row with an empty object.
    pub(crate) fn is_visible_in(self, operation: &str) -> bool {
        self != AwsError::Empty || !matches!(operation, "PutItem" | "DeleteItem" | "GetItem")
    }

    /// True if an open subscription can end with it.
    pub(crate) fn breaks_a_subscription(self) -> bool {
        match self {
            AwsError::KmsAccessDenied
            | AwsError::KmsDisabled
            | AwsError::KmsInvalidState
            | AwsError::KmsNotFound
            | AwsError::KmsOptInRequired
            | AwsError::KmsThrottling
            | AwsError::ResourceNotFound
            | AwsError::ResourceInUse
            | AwsError::InternalError => true,
            AwsError::AccessDenied
            | AwsError::ExpiredToken
            | AwsError::InvalidSignature
            | AwsError::UnrecognizedClient
            | AwsError::CredentialsNotLoaded
            | AwsError::Validation
            | AwsError::ServiceUnavailable
            | AwsError::HtmlOk
            | AwsError::HtmlForbidden
            | AwsError::Empty => false,
        }
    }
}
