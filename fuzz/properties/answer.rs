//! Checks that no answer makes a parser panic, and that the fast parser reads the same as the
//! SDK's.

use kcl_core::fuzzing;
use kcl_core::settings::Parser;

/// Panics if the property does not hold.
pub(crate) fn holds(text: &[u8]) {
    parsers_agree(text, fuzzing::parse_response);
    parsers_agree(text, fuzzing::parse_event);
}

/// The fast parser may refuse an answer, which then goes to the SDK's parser. It must not accept
/// more than that parser.
fn parsers_agree<T: PartialEq + std::fmt::Debug>(text: &[u8], read: fn(&[u8], Parser) -> Option<T>) {
    if let Some(fast) = read(text, Parser::Fast) {
        assert_eq!(Some(fast), read(text, Parser::Sdk));
    }
}
