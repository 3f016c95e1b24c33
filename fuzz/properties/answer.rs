//! Checks that no bytes that a service could answer with make a parser panic, and that the fast parser takes nothing that the
//! SDK's refuses and reads nothing otherwise.

use kcl_core::{Parser, fuzzing};

/// Panics if it does not hold.
pub(crate) fn holds(text: &[u8]) {
    same(text, fuzzing::answer);
    same(text, fuzzing::event);
}

/// The SDK may take more: what the fast parser refuses is left to it.
fn same<T: PartialEq + std::fmt::Debug>(text: &[u8], read: fn(&[u8], Parser) -> Option<T>) {
    if let Some(ours) = read(text, Parser::Fast) {
        assert_eq!(Some(ours), read(text, Parser::Sdk));
    }
}
