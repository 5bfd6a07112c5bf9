//! Room on the stack for values inside each other, whatever stack the program calls from.
//!
//! The writer and the reader recurse as deep as the value, through code that serde generates. A
//! stack that overflows ends the process. So the codec looks at the rest of the stack, and
//! continues on a new piece of it if little is left. The need of one level depends on the size of
//! the types: each of serde's functions has the value that it reads on its own part of the stack,
//! once or several times.

use crate::base::limits::LEVELS_BETWEEN_LOOKS;

/// The bytes for a few levels of small values, in a debug build, with much to spare.
const LEAST: usize = 160 << 10;

/// The number of copies of a value on the stack on one level: more than any that was measured in a
/// debug build.
const COPIES: usize = 32;

/// The size in bytes from which a value is large: the stack is looked at on each level of such
/// values.
const LARGE: usize = 1 << 10;

/// The size in bytes of the largest value on a stack. Larger values are behind pointers: no usual
/// thread has room for one.
const LARGEST: usize = 8 << 20;

/// The size in bytes that a value is taken to have where its type is not known.
const UNKNOWN: usize = 8 << 10;

/// The most bytes of stack for several levels at once. Only what is used takes memory.
const MOST: usize = 64 << 20;

/// The bytes beyond the need, so that the next levels need no new piece.
const MORE: usize = 1 << 20;

/// The part of the stack that must be left before the next levels.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Room {
    bytes: usize,
    /// A look is due at a depth with none of these bits.
    mask: u32,
}

impl Room {
    /// The room for types of up to this number of bytes, boxed ones too.
    pub(crate) fn for_types_up_to(bytes: usize) -> Room {
        let mask = if bytes > LARGE { 0 } else { LEVELS_BETWEEN_LOOKS - 1 };
        Room { bytes: needed(bytes), mask }
    }

    /// True if a look at the stack and at the depth is due before a value of this number of bytes.
    /// It is due at a depth of [`VALUE_DEPTH`](crate::base::limits::VALUE_DEPTH).
    #[inline]
    pub(crate) fn is_due(self, depth: u32, bytes: usize) -> bool {
        depth & self.mask == 0 || Room::is_large(bytes)
    }

    /// True if a look at the stack is due before each value of this number of bytes.
    #[inline]
    pub(crate) const fn is_large(bytes: usize) -> bool {
        bytes > LARGE
    }

    /// Runs `work` on a value of this number of bytes, with enough of the stack for the next
    /// levels.
    #[inline]
    pub(crate) fn before<R>(self, bytes: usize, work: impl FnOnce() -> R) -> R {
        with(self.bytes.max(needed(bytes)), work)
    }

    /// Runs `work` with enough of the stack for so many levels of values at once, where no look at
    /// the stack is possible between them. `bytes` is the size of the largest value.
    pub(crate) fn for_levels<R>(levels: usize, bytes: usize, work: impl FnOnce() -> R) -> R {
        with(needed(bytes.max(UNKNOWN)).saturating_mul(levels.max(1)).min(MOST), work)
    }

    /// Runs `work` with enough of the stack to write so many levels of values, where no look at the
    /// stack is possible between them. `bytes` is the size of the whole value: what is written
    /// stays where it is.
    pub(crate) fn to_write<R>(levels: u32, bytes: usize, work: impl FnOnce() -> R) -> R {
        let looks = levels / LEVELS_BETWEEN_LOOKS + 1;
        with(needed(bytes).saturating_mul(looks as usize).min(MOST), work)
    }

    /// Runs `work`, which writes a value of this number of bytes on this level, with enough of the
    /// stack for the next ones. No step goes down more than two levels.
    #[inline]
    pub(crate) fn at_level<R>(level: u32, bytes: usize, work: impl FnOnce() -> R) -> R {
        // The first levels have the room of the start.
        let is_due = level % LEVELS_BETWEEN_LOOKS >= LEVELS_BETWEEN_LOOKS - 2;
        if is_due || Room::is_large(bytes) { with(needed(bytes), work) } else { work() }
    }

    /// Runs `work` with enough of the stack for values of usual depth.
    pub(crate) fn at_start<R>(self, work: impl FnOnce() -> R) -> R {
        with(2 * self.bytes, work)
    }
}

/// Runs `work` with at least this number of bytes of stack.
fn with<R>(needed: usize, work: impl FnOnce() -> R) -> R {
    if is_left(needed) { apart(work) } else { stacker::grow(needed + MORE, work) }
}

/// True if the rest of the stack has this number of bytes. A system that does not tell has not.
fn is_left(needed: usize) -> bool {
    stacker::remaining_stack().is_some_and(|left| left >= needed)
}

/// Keeps the variables of `work` out of the frame of its caller, which is also there when `work`
/// runs on a new stack.
#[inline(never)]
fn apart<R>(work: impl FnOnce() -> R) -> R {
    work()
}

fn needed(bytes: usize) -> usize {
    LEAST + bytes.min(LARGEST) * COPIES
}
