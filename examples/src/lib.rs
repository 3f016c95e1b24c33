//! Runnable consumers, one per use case: see `flights/` and `ledger/`. The code of the README and the guides is compiled here, as a reader's program would be.

/// Only for their code blocks.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[doc = include_str!("../../docs/guide/failures.md")]
#[doc = include_str!("../../docs/guide/several-streams.md")]
#[doc = include_str!("../../docs/guide/replay.md")]
pub struct Pages;

/// Whether log lines on standard error may have colors: not in files and pipes, and not where `NO_COLOR` is set
/// (<https://no-color.org>).
#[must_use]
pub fn has_colors() -> bool {
    use std::io::IsTerminal as _;
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
