//! Runnable consumers, one per use case: see `flights/` and `ledger/`. The README's code is compiled here, as its readers would.

/// Only for its code blocks.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;

/// Whether log lines on standard error may have colors: not in files and pipes, and not where `NO_COLOR` is set
/// (<https://no-color.org>).
#[must_use]
pub fn has_colors() -> bool {
    use std::io::IsTerminal as _;
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
