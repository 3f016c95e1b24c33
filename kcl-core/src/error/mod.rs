//! What `build` and `run` fail with: a kind for programs, a code and a sentence for people.

mod code;

pub use code::Code;

use std::fmt;

/// Why a worker could not be built, or stopped.
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
    /// Another process took this worker's place, the error policy stopped the worker, or the worker has ended or is ending.
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

/// What `fn main() -> Result<(), Error>`, `unwrap` and `expect` print: the sentence, its causes and what to do.
impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")?;
        let mut shown = self.to_string();
        for cause in std::iter::successors(std::error::Error::source(self), |&cause| cause.source()) {
            let cause = cause.to_string();
            // Most sentences quote their cause.
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
    fn what_main_prints_is_the_sentence_with_its_code_its_causes_and_what_to_do() {
        let cause = std::io::Error::other("no route to host");
        let error = Error::new(Code::Unreachable, "`kinesis:ListShards` was not answered").because(cause);
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
    fn a_cause_that_the_sentence_quotes_is_not_printed_twice() {
        let cause = std::io::Error::other("no route to host");
        let error = Error::new(Code::Unreachable, "not answered: no route to host").because(cause);
        assert_eq!(format!("{error:?}").matches("no route to host").count(), 1);
    }
}
