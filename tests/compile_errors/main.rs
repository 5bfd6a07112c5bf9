//! Tests the refusals of the macros, and their words: each file in `cases/` is named after the
//! promise that it keeps.
//!
//! After a change of wording, `TRYBUILD=overwrite cargo test -p checkpointed-compile-errors` writes
//! the new `.stderr` files. Read them as a user would before you commit them.

#[test]
fn what_cannot_be_stored_is_refused_in_these_words() {
    trybuild::TestCases::new().compile_fail("cases/*.rs");
}
