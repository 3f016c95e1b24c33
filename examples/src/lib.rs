//! Runnable consumers, one per use case: see `flights/` and `ledger/`. The README's code is compiled here, as its readers would.

/// Only for its code blocks.
#[cfg(doctest)]
#[doc = include_str!("../../README.md")]
pub struct Readme;
