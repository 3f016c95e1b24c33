//! Errors as the API names them.

use std::fmt;

/// A failed call: what AWS would name it and the text for its user.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{code}: {message}")]
pub struct ApiError {
    /// The error's name.
    pub code: ErrorCode,
    /// The text, as close to AWS's as is known.
    pub message: String,
}

impl ApiError {
    /// An error with a text.
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

/// A body that is no request.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The target names no operation that is served here.
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

            /// The HTTP status it comes with.
            #[must_use]
            pub fn http_status(self) -> u16 {
                match self { $(Self::$variant => $status),+ }
            }
        }
    };
}

impl ErrorCode {
    /// The name in an event of a subscription, where AWS spells one otherwise.
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
    /// The shard iterator is older than its life.
    ExpiredIterator = "ExpiredIteratorException" 400,
    /// The paging token is older than its life.
    ExpiredNextToken = "ExpiredNextTokenException" 400,
    /// The request has no complete signature.
    IncompleteSignature = "IncompleteSignatureException" 400,
    /// The service failed.
    InternalFailure = "InternalFailure" 500,
    /// A member that parses and is within its constraint, but makes no sense.
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
    /// A limit or a rate of control operations is used up.
    LimitExceeded = "LimitExceededException" 400,
    /// The request is not signed.
    MissingAuthenticationToken = "MissingAuthenticationTokenException" 400,
    /// A shard's throughput is used up.
    ProvisionedThroughputExceeded = "ProvisionedThroughputExceededException" 400,
    /// It exists already, or is in another state than needed.
    ResourceInUse = "ResourceInUseException" 400,
    /// It does not exist.
    ResourceNotFound = "ResourceNotFoundException" 400,
    /// The body does not parse.
    Serialization = "SerializationException" 400,
    /// The service is not there at the moment.
    ServiceUnavailable = "ServiceUnavailable" 503,
    /// The target is no operation.
    UnknownOperation = "UnknownOperationException" 400,
    /// A member breaks a constraint of its type.
    Validation = "ValidationException" 400,
}

impl fmt::Display for ErrorCode {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
