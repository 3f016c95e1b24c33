//! What must hold of any bytes that a service could answer with: nothing panics, and ours reads nothing otherwise than the SDK.

use kcl_core::{Parser, fuzzing};

/// Panics if it does not hold.
pub(crate) fn holds(text: &[u8]) {
    same(text, fuzzing::answer);
    same(text, fuzzing::event);
}

/// What only one of them reads is told, and the SDK asked; what both read must be the same.
fn same<T: PartialEq + std::fmt::Debug>(text: &[u8], read: fn(&[u8], Parser) -> Option<T>) {
    let (ours, theirs) = (read(text, Parser::Fast), read(text, Parser::Sdk));
    if let (Some(ours), Some(theirs)) = (ours, theirs) {
        assert_eq!(ours, theirs);
    }
}
