//! Example consumers. The programs are `flights/` and `ledger/`.
//!
//! - `cargo run --example flights`: a month of flights, a fleet of two workers, a shard split, a
//!   rolling deploy.
//! - `cargo run --example flights -- trouble`: retries, dead letters and quarantine.
//! - `cargo run --example ledger`: one fleet that reads streams of two AWS accounts.
//!
//! The doctests of this crate compile the code of the README and of the guides, as a program of a
//! reader would.

/// Pages whose code blocks are doctests.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
#[doc = include_str!("../../docs/guide/failures.md")]
#[doc = include_str!("../../docs/guide/several-streams.md")]
#[doc = include_str!("../../docs/guide/replay.md")]
pub struct Pages;

/// Whether log lines on standard error may have colors. False in files and pipes, and if `NO_COLOR`
/// is set (<https://no-color.org>).
#[must_use]
pub fn has_colors() -> bool {
    use std::io::IsTerminal as _;
    std::io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none_or(|value| value.is_empty())
}
