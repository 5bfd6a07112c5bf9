//! Room on the stack for values inside each other, whatever stack the program calls from.
//!
//! Both directions recurse, through code that serde generates, as deep as the value is. A stack that overflows ends
//! the process. So the codec looks at what is left of the stack, and goes on in a new piece of it where that is little.
//! How much one level takes depends on the size of the types: each of serde's functions has the value that it reads
//! on its own part of the stack, once or several times.

use crate::base::limits::LEVELS_BETWEEN_LOOKS;

/// What a few levels of small values take, in a debug build, with much to spare.
const LEAST: usize = 160 << 10;

/// How often a value may be on the stack at once on one level: more than was ever measured in a debug build.
const COPIES: usize = 32;

/// … and one level of values that are larger than this, in bytes.
const LARGE: usize = 1 << 10;

/// Values that are larger than this, in bytes, are behind pointers: the stack of no usual thread has room for one.
const LARGEST: usize = 8 << 20;

/// How much there is beyond what is asked for, so that the next levels need no new piece.
const MORE: usize = 1 << 20;

/// How much of the stack must be left before the next levels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    bytes: usize,
    /// A look is due where the depth has none of these bits.
    mask: u32,
}

impl Room {
    /// The room for types, boxed ones too, of which the largest has so many bytes.
    pub(crate) fn for_types_up_to(bytes: usize) -> Room {
        let mask = if bytes > LARGE { 0 } else { LEVELS_BETWEEN_LOOKS - 1 };
        Room { bytes: needed(bytes), mask }
    }

    /// Whether it is time for a look at the stack, and at the depth, before a value of so many bytes is entered. At a depth
    /// of [`VALUE_DEPTH`](crate::base::limits::VALUE_DEPTH) it is.
    #[inline]
    pub(crate) fn is_due(self, depth: u32, bytes: usize) -> bool {
        depth & self.mask == 0 || bytes > LARGE
    }

    /// Runs `work`, which enters a value of so many bytes, with enough of the stack for the next levels.
    #[inline]
    pub(crate) fn before<R>(self, bytes: usize, work: impl FnOnce() -> R) -> R {
        let needed = self.bytes.max(needed(bytes));
        stacker::maybe_grow(needed, needed + MORE, || apart(work))
    }

    /// Runs `work` with so much of the stack that values of usual depth need no more.
    pub(crate) fn at_start<R>(self, work: impl FnOnce() -> R) -> R {
        let needed = 2 * self.bytes;
        stacker::maybe_grow(needed, needed + MORE, || apart(work))
    }
}

/// Keeps what `work` needs of the stack out of the caller's own part of it, which is still on the old one.
#[inline(never)]
fn apart<R>(work: impl FnOnce() -> R) -> R {
    work()
}

fn needed(bytes: usize) -> usize {
    LEAST + bytes.min(LARGEST) * COPIES
}
