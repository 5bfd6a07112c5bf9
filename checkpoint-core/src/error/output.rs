//! The faults of files that grow with a run.

use std::fmt;

/// The reason that a file which grows with the run cannot be gone on with; see
/// [`Appended`](crate::Appended). No byte of it was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum OutputFault {
    /// There is no such file.
    Gone,
    /// It is shorter than the state counts: it has this number of bytes.
    Shorter {
        /// Its length in bytes.
        length: u64,
    },
    /// Its bytes, up to the length that the state counts, do not end as they did.
    Other,
    /// Another program wrote to it while this one did: it has this number of bytes.
    Longer {
        /// Its length in bytes.
        length: u64,
    },
    /// Another value, here or in another program, appends to it.
    InUse,
    /// The same, after a load by a group of another size: another member may have the same output
    /// in its state.
    InUseByMember,
    /// Another output of the same state leads to it by another path, such as a link.
    TwoPaths,
    /// The state was loaded from the directory of another run, or by a reader.
    OtherRun,
    /// It grows with the run of another checkpoint directory, in which this program saved it
    /// before: the next load there would cut what this one counts on.
    SavedElsewhere,
    /// A newer checkpoint counts on bytes that this value would cut off.
    NotNewest,
    /// Another value went back and wrote other bytes in the place of those that this one counts.
    Replaced,
    /// The run that loaded the value has ended, and another one may count on more bytes.
    RunEnded,
    /// A newer checkpoint could not be read, and may count on bytes that a load of an older one
    /// would cut off.
    NewerUnread {
        /// Its generation.
        generation: u64,
    },
    /// This process was forked from the one that has the file open.
    OtherProcess,
}

/// Shows a fault behind the path of the file.
pub(super) struct Shown(pub(super) OutputFault, pub(super) u64);

impl fmt::Display for Shown {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Shown(fault, counted) = self;
        match fault {
            OutputFault::Gone => write!(
                formatter,
                "is gone, and the state counts on its first {counted} bytes: put it back, or load an older generation \
                 with `load_generation`"
            ),
            OutputFault::Shorter { length } => write!(
                formatter,
                "has {length} bytes, and the state counts on its first {counted}: put the longer file back, or load an \
                 older generation with `load_generation`; a load after a rewind keeps what it cuts beside the file, in one \
                 with `.cut-at-N` behind its name: that belongs behind the first N bytes"
            ),
            OutputFault::Other => write!(
                formatter,
                "is another file than the one that the state counts on, or its first {counted} bytes do not end as \
                 they did; put the right file back, or load an older generation with `load_generation`"
            ),
            OutputFault::Longer { length } => write!(
                formatter,
                "has {length} bytes, of which this program wrote {counted}: another program writes to it; give each \
                 program a file of its own"
            ),
            OutputFault::InUse => formatter.write_str(
                "is in use: another value of this program appends to it, such as a clone, or has it open, such as a state \
                 that an earlier checkpointer loaded; or another program does: drop that value first, or give this one \
                 another file with `Appended::continue_in`",
            ),
            OutputFault::InUseByMember => formatter.write_str(
                "is open for another process of the group or another program: a group of another size gives each process the \
                 outputs of rank 0, so replace them in the function of `on_resize`, and let one process alone take over each \
                 output, with `old.load(rank)`",
            ),
            OutputFault::TwoPaths => formatter.write_str(
                "is also the file of another output of this state, by another path, such as a link; a load could open only \
                 one of them: give each a file of its own, with `Appended::continue_in`",
            ),
            OutputFault::OtherRun => formatter.write_str(
                "belongs to another run: the state was loaded from the directory of that run, or by a reader; to go on \
                 with a copy of the file, call `Appended::continue_in` with another path",
            ),
            OutputFault::SavedElsewhere => formatter.write_str(
                "grows with the run of another checkpoint directory, whose next load would cut what this one counts \
                 on: give this state a file of its own with `Appended::continue_in`; to save in two places, give the \
                 run a `mirror`",
            ),
            OutputFault::NotNewest => write!(
                formatter,
                "has bytes behind the first {counted} that a newer checkpoint counts on: save this state before you \
                 write, or remove the newer checkpoints with `discard_newer`"
            ),
            OutputFault::Replaced => write!(
                formatter,
                "has other bytes among the first {counted} now: another clone of this value went back and wrote, so what \
                 this one counts is gone; save the state that has the other clone, or load the newest checkpoint"
            ),
            OutputFault::RunEnded => formatter.write_str(
                "was loaded by a run that has ended, and another one may have saved since, with more bytes: load the state \
                 again, or save it in the present run before you write",
            ),
            OutputFault::NewerUnread { generation } => write!(
                formatter,
                "may have bytes behind the first {counted} that generation {generation} counts on, which could not be \
                 read: nothing is cut; try again, and if that generation is lost, go back with `ckpt rewind`"
            ),
            OutputFault::OtherProcess => formatter.write_str(
                "is appended to by the process that this one was forked from: give the forked process a file of its own",
            ),
        }
    }
}
