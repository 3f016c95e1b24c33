//! What does not compile is refused at the user's own token, with all of it told at once.

#[test]
fn mistakes_are_told_where_they_are_made() {
    trybuild::TestCases::new().compile_fail("tests/refused/*.rs");
}
