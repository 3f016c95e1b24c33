//! The errors of the API.

use std::fmt;

/// The error of a call, with AWS's name and message.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The name of the error.
    pub code: ErrorCode,
    /// The message, AWS's own as far as it is known.
    pub message: String,
}

impl ApiError {
    /// An error with a message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    pub(crate) fn invalid_argument(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::InvalidArgument, message)
    }

    pub(crate) fn not_found(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ResourceNotFound, message)
    }

    pub(crate) fn in_use(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::ResourceInUse, message)
    }

    pub(crate) fn limit_exceeded(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::LimitExceeded, message)
    }

    pub(crate) fn validation(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Validation, message)
    }
}

/// The error of a body that is not a request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The operation is not supported.
    #[error("unknown operation {0}")]
    UnknownOperation(String),
    /// The body does not parse, or a member has the wrong type.
    #[error("{0}")]
    Serialization(String),
}

impl From<DecodeError> for ApiError {
    fn from(error: DecodeError) -> Self {
        match error {
            DecodeError::UnknownOperation(_) => Self::new(ErrorCode::UnknownOperation, error.to_string()),
            DecodeError::Serialization(message) => Self::new(ErrorCode::Serialization, message),
        }
    }
}

macro_rules! error_codes {
    ($($(#[$doc:meta])* $variant:ident = $name:literal $status:literal),+ $(,)?) => {
        /// The errors of the API and of the protocol around it.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        #[non_exhaustive]
        pub enum ErrorCode { $($(#[$doc])* $variant),+ }

        impl ErrorCode {
            /// Every code.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The name on the wire, as in `__type`.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $name),+ }
            }

            /// The HTTP status of the error.
            #[must_use]
            pub fn http_status(self) -> u16 {
                match self { $(Self::$variant => $status),+ }
            }
        }
    };
}

impl ErrorCode {
    /// The name in an event of a subscription; AWS spells one of them differently.
    #[must_use]
    pub fn event_name(self) -> &'static str {
        if self == Self::InternalFailure { "InternalFailureException" } else { self.name() }
    }
}

error_codes! {
    /// The caller's policy does not allow it.
    AccessDenied = "AccessDeniedException" 400,
    /// A dry run that would have succeeded.
    DryRunOperation = "DryRunOperationException" 400,
    /// The shard iterator has expired.
    ExpiredIterator = "ExpiredIteratorException" 400,
    /// The pagination token has expired.
    ExpiredNextToken = "ExpiredNextTokenException" 400,
    /// The request has no complete signature.
    IncompleteSignature = "IncompleteSignatureException" 400,
    /// The service failed.
    InternalFailure = "InternalFailure" 500,
    /// A member satisfies its constraints but is not valid in this call.
    InvalidArgument = "InvalidArgumentException" 400,
    /// The signature does not match.
    InvalidSignature = "InvalidSignatureException" 400,
    /// Encrypted stream: no permission for the key.
    KmsAccessDenied = "KMSAccessDeniedException" 400,
    /// Encrypted stream: the key is disabled.
    KmsDisabled = "KMSDisabledException" 400,
    /// Encrypted stream: the key is in the wrong state.
    KmsInvalidState = "KMSInvalidStateException" 400,
    /// Encrypted stream: no such key.
    KmsNotFound = "KMSNotFoundException" 400,
    /// Encrypted stream: the account has no key service.
    KmsOptInRequired = "KMSOptInRequired" 400,
    /// Encrypted stream: too many calls to the key service.
    KmsThrottling = "KMSThrottlingException" 400,
    /// A quota or the rate limit of an operation is exceeded.
    LimitExceeded = "LimitExceededException" 400,
    /// The request is not signed.
    MissingAuthenticationToken = "MissingAuthenticationTokenException" 400,
    /// The throughput of a shard is exceeded.
    ProvisionedThroughputExceeded = "ProvisionedThroughputExceededException" 400,
    /// The resource exists already, or is in a state that does not allow the call.
    ResourceInUse = "ResourceInUseException" 400,
    /// The resource does not exist.
    ResourceNotFound = "ResourceNotFoundException" 400,
    /// The body does not parse.
    Serialization = "SerializationException" 400,
    /// The service is not available at the moment.
    ServiceUnavailable = "ServiceUnavailable" 503,
    /// The target is not an operation.
    UnknownOperation = "UnknownOperationException" 400,
    /// A member violates a constraint of its type.
    Validation = "ValidationException" 400,
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
