//! Readers with a fault, for tests: the simulation of power cuts must find each fault.

use std::cell::Cell;

/// The checks that the reader of a thread can leave out.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ignored {
    /// The checksums of the parts.
    Checksums,
    /// The name of a file, which must be that of its generation.
    Generations,
}

thread_local! {
    static IGNORED: Cell<Option<Ignored>> = const { Cell::new(None) };
}

/// Makes the reader of this thread leave out a check from now on.
pub(crate) fn ignore(what: Option<Ignored>) {
    IGNORED.set(what);
}

/// True if the reader of this thread leaves out this check.
pub(crate) fn is_ignored(what: Ignored) -> bool {
    IGNORED.get() == Some(what)
}
