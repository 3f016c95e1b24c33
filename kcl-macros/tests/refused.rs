//! Tests that each mistake is reported at the user's own token, and all mistakes at once.

#[test]
fn mistakes_are_reported_where_they_are_made() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
