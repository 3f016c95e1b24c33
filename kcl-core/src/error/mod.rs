//! What `build` and `run` fail with: a kind for programs, a code and a sentence for people.

mod code;

pub use code::Code;

use std::fmt;

/// Why a worker could not be built, or stopped.
#[derive(Debug)]
pub struct Error {
    code: Code,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// What a caller should do about an [`Error`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting, a name or the table itself is wrong: a person must change something.
    Configuration,
    /// Credentials or permissions are missing: a person must grant something.
    Authorization,
    /// A service cannot be reached or does not answer: later.
    Transient,
    /// Another process took this worker's place, or the error policy stopped the worker.
    Stopped,
    /// The library broke one of its own rules: please report it.
    Bug,
}

impl Error {
    /// An error with its sentence: what happened, to what, and what to do.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error { code, message: message.into(), source: None }
    }

    /// Names the cause.
    #[must_use]
    pub fn because(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.code.kind()
    }

    /// Which page tells more.
    #[must_use]
    pub fn code(&self) -> Code {
        self.code
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} [{}]", self.message, self.code)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}
