//! Defines the error of `build` and `run`: a kind for programs, a code and a message for operators.

mod code;

pub use code::Code;

use std::fmt;

/// Why a worker could not be built, or why it stopped.
///
/// ```
/// use kcl_core::{Error, ErrorKind};
///
/// /// Whether a supervisor should restart the process.
/// fn restarts(outcome: Result<(), Error>) -> bool {
///     match outcome {
///         Ok(()) => false, // graceful shutdown
///         Err(error) => {
///             eprintln!("{error}"); // message and code; `{error:?}` adds causes and advice
///             matches!(error.kind(), ErrorKind::Transient)
///         }
///     }
/// }
/// # let _ = restarts;
/// ```
pub struct Error {
    code: Code,
    message: String,
    source: Option<Box<dyn std::error::Error + Send + Sync>>,
}

/// The kind of an [`Error`], which tells a program how to react.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// A setting, a name or the lease table is wrong: a person must change something.
    Configuration,
    /// Credentials or permissions are missing: a person must grant something.
    Authorization,
    /// A service is unreachable or does not answer: retry later.
    Transient,
    /// The worker was stopped: another process took its id, the error policy stopped it, or it has
    /// ended or is ending.
    Stopped,
    /// The library violated one of its own invariants: please report it.
    Bug,
}

impl Error {
    /// An error with its code and its message: what happened, to which resource, and what to do.
    pub fn new(code: Code, message: impl Into<String>) -> Self {
        Error { code, message: message.into(), source: None }
    }

    /// Sets the cause, which `std::error::Error::source` returns.
    #[must_use]
    pub fn with_source(mut self, source: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// The kind, which tells a program how to react.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        self.code.kind()
    }

    /// The code, whose [page](Code::page) has the details.
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

/// Printed by `fn main() -> Result<(), Error>`, `unwrap` and `expect`: message, causes and advice.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut shown = self.to_string();
        for cause in std::iter::successors(std::error::Error::source(self), |&cause| cause.source()) {
            let cause = cause.to_string();
            // Most messages quote their cause, which is not repeated then.
            if !shown.contains(&cause) {
                write!(f, "\n  caused by: {cause}")?;
                shown.push_str(&cause);
            }
        }
        let (title, _) = self.code.page().split_once('\n').unwrap_or_default();
        write!(f, "\n\n{}", title.trim_start_matches("# "))?;
        let advice = self.code.page().split_once("\n## What to do\n").map(|(_, advice)| advice.trim());
        advice.iter().try_for_each(|advice| write!(f, "\n\nWhat to do: {advice}"))
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.as_deref().map(|source| source as _)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_debug_form_has_message_code_causes_and_advice() {
        let cause = std::io::Error::other("no route to host");
        let error = Error::new(Code::Unreachable, "`kinesis:ListShards` was not answered").with_source(cause);
        let printed = format!("{error:?}");
        assert!(
            printed.starts_with(
                "`kinesis:ListShards` was not answered [KCL-0007]\n  caused by: no route to host\n\nKCL-0007: "
            ),
            "{printed}"
        );
        assert!(printed.contains("\n\nWhat to do: "), "{printed}");
        assert!(!printed.contains("source: "), "{printed}");
    }

    #[test]
    fn a_cause_that_the_message_quotes_is_not_printed_twice() {
        let cause = std::io::Error::other("no route to host");
        let error = Error::new(Code::Unreachable, "not answered: no route to host").with_source(cause);
        assert_eq!(format!("{error:?}").matches("no route to host").count(), 1);
    }
}
