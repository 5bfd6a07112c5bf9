//! Readers with a fault in them, for the tests: the simulation of power cuts must find each.

use std::cell::Cell;

/// What the reader of a thread does not look at.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Ignored {
    /// Whether the checksums of the parts are right.
    Checksums,
    /// Whether a generation has the name of its own number.
    Generations,
}

thread_local! {
    static IGNORED: Cell<Option<Ignored>> = const { Cell::new(None) };
}

/// Has the reader of this thread ignore something from now on.
pub(crate) fn ignore(what: Option<Ignored>) {
    IGNORED.set(what);
}

/// Whether the reader of this thread ignores that.
pub(crate) fn is_ignored(what: Ignored) -> bool {
    IGNORED.get() == Some(what)
}
