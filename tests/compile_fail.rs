//! The orders of a ceremony that must not be possible do not compile: each file below `tests/compile_fail/` tries one, and
//! the file beside it has the compiler's answer. `TRYBUILD=overwrite` writes the answers anew after a change of compiler.

#[test]
fn what_must_not_happen_does_not_compile() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
