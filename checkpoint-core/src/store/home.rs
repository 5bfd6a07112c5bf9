//! The seam to the place of checkpoints: a directory of this machine, or another place that keeps
//! generations of bytes.
//!
//! [`Home`] → [`Claim`] → [`Draft`] → [`Sealed`] → a generation. Numbers and retention are above
//! it, in the writer: a home only knows generations one by one.

use std::collections::BTreeSet;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use super::guard::{Guard, WithinGuard};
use crate::container::Source;
use crate::error::Error;
use crate::outcome::Rewound;

/// A place for the generations of one program.
pub trait Home: fmt::Debug + Send + Sync {
    /// The path, or the name in messages.
    fn path(&self) -> &Path;

    /// False where nothing is at the path. A place that is there once it has a name need not look,
    /// which is the default.
    fn exists(&self) -> bool {
        true
    }

    /// The path that a generation has, or would have.
    fn location(&self, generation: u64) -> PathBuf;

    /// Checks that this is still the place that the program claimed, if it did.
    fn check(&self) -> Result<(), Error>;

    /// The existing generations, oldest first. An absent place has none.
    fn generations(&self) -> Result<Vec<u64>, Error>;

    /// Looks at the place anew, before a generation is read whose number a caller gave: another
    /// file may have it by now. A place that keeps no listing need not, which is the default.
    fn look(&self) -> Result<(), Error> {
        Ok(())
    }

    /// True where a program may have the place open, and a claim would end its right to save. A
    /// place with locks never has this: there, the claim is refused. That is the default.
    fn was_claimed(&self) -> Result<bool, Error> {
        Ok(false)
    }

    /// The numbers of generations that were moved out of the way, because they were damaged or by a
    /// rewind, lowest first. They are not used again.
    fn set_aside(&self) -> Result<Vec<u64>, Error>;

    /// The highest number of a generation that was sent to a mirror, as the place remembers; 0 for
    /// none, which is the default. It is not used again: the mirror may have it, though it is lost
    /// here.
    fn last_sent(&self) -> Result<u64, Error> {
        Ok(0)
    }

    /// The generations that rewinds set aside, lowest first; none by default. They are not used
    /// again, and can be brought back.
    fn rewound(&self) -> Result<Vec<u64>, Error> {
        Ok(Vec::new())
    }

    /// Opens a generation that a rewind set aside, and tells the path of its file.
    fn open_rewound(&self, _generation: u64) -> io::Result<(PathBuf, Box<dyn Source>)> {
        Err(io::ErrorKind::NotFound.into())
    }

    /// True if the program has rewound to this generation, and to no other since.
    fn has_rewound_to(&self, _generation: u64) -> bool {
        false
    }

    /// True if a generation exists.
    fn has(&self, generation: u64) -> bool;

    /// Opens a generation for reading.
    fn open(&self, generation: u64) -> io::Result<Box<dyn Source>>;

    /// Keeps a generation from now on, whatever retention says. Acknowledged only if the generation
    /// still exists then.
    fn pin(&self, generation: u64) -> Result<(), Error>;

    /// Leaves a generation to retention again.
    fn unpin(&self, generation: u64) -> Result<(), Error>;

    /// The generations of this list that a pin keeps.
    fn pinned(&self, generations: &[u64]) -> BTreeSet<u64>;

    /// The other files of the place, such as the history and the requests to stop; `None` where it
    /// has none, which is the default.
    fn files(&self) -> Option<&dyn Files> {
        None
    }

    /// The place of one member of a group, inside this one. By default a place has none.
    fn member(&self, _rank: usize) -> Result<Arc<dyn Home>, Error> {
        Err(Error::InvalidSetting {
            setting: format!("a group in {}", self.path().display()),
            why: "this kind of place has no places for the members of a group inside",
        })
    }

    /// The ranks that have places inside this one, lowest first; none by default.
    fn members(&self) -> Result<Vec<usize>, Error> {
        Ok(Vec::new())
    }

    /// In the place of a member: true if the group has accepted a part that was saved here.
    fn is_accepted(&self) -> io::Result<bool> {
        Ok(false)
    }

    /// In the place of a member: notes, durably if that is wanted, that the group has accepted a
    /// part, or takes the note away.
    fn note_accepted(&self, _is_accepted: bool, _durable: bool) -> io::Result<()> {
        Ok(())
    }

    /// In the place of a member: the highest number of a job that has claimed it, see
    /// [`Claiming::job`]; 0 for none, and where locks keep jobs apart, which is the default.
    fn last_job(&self) -> Result<u64, Error> {
        Ok(0)
    }

    /// Takes the right to save there. Creates the place where it is absent, and removes the
    /// leftovers of a crash.
    fn claim(&self, claiming: &Claiming) -> Result<Box<dyn Claim>, Error>;
}

/// The other files of a place of which they are files: they grow, and users can make them.
pub trait Files {
    /// Opens another file of the place for reading, such as the history.
    fn open_file(&self, name: &str) -> io::Result<Box<dyn Source>>;

    /// Opens a file that grows line by line. Creates it where it is absent.
    fn open_log(&self, name: &str) -> io::Result<Box<dyn Log>>;

    /// Gives such a file another name, in place of an existing file of that name.
    fn rename_log(&self, from: &str, to: &str) -> io::Result<()>;
}

/// Tells a start that waits for another program that it is to stop.
#[derive(Clone)]
pub struct Until(Arc<dyn Fn() -> Option<(String, u8)> + Send + Sync>);

impl Until {
    /// The function returns the reason to stop, and the exit code for it.
    pub(crate) fn new(stopped: impl Fn() -> Option<(String, u8)> + Send + Sync + 'static) -> Until {
        Until(Arc::new(stopped))
    }

    /// The reason to stop, and the exit code for it.
    pub(crate) fn stopped(&self) -> Option<(String, u8)> {
        (self.0)()
    }
}

impl fmt::Debug for Until {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Until").finish_non_exhaustive()
    }
}

/// The settings of a claim.
#[derive(Clone, Debug, Default)]
pub struct Claiming {
    /// True to wait until each change is on the disk.
    pub durable: bool,
    /// The time to wait for a program that has the claim.
    pub wait: std::time::Duration,
    /// True to wait for none, and not even for a tool, which ends soon.
    pub at_once: bool,
    /// What ends that wait early.
    pub until: Option<Until>,
    /// True for a tool, which has the claim for a short time: a program waits for it.
    pub is_tool: bool,
    /// True to accept a file system without locks.
    pub without_lock: bool,
    /// True if checkpoints of other users are no danger: a key authenticates their author.
    pub authenticated: bool,
    /// True if the group may write there, so that its files are no warning.
    pub with_group: bool,
    /// True if the bytes of equal states differ, as those of encrypted ones do.
    pub varies: bool,
    /// The claim on an outer place; dangling where there is none.
    pub within: WithinGuard,
    /// In the place of a member of a group without locks: the number of its job, which is that of
    /// the job's claim on the outer place ([`Claim::job`]). Of two jobs, the higher one has the
    /// places of all members, in whatever order they claim them.
    pub job: Option<u64>,
}

/// The right to save at a place, until dropped.
pub trait Claim: fmt::Debug + Send {
    /// The proof of the right, shared with those that check it.
    fn guard(&self) -> &Arc<Guard>;

    /// The place, for reading by its holder: another place at the same path is not read.
    fn home(&self) -> &Arc<dyn Home>;

    /// The number of this claim, in a place without locks: a later claim has a higher one. By
    /// default there is none, because a lock keeps others out.
    fn job(&self) -> Option<u64> {
        None
    }

    /// Gives the claim a number of at least this one, as long as it stands.
    fn raise_job(&mut self, _at_least: u64) -> Result<(), Error> {
        Ok(())
    }

    /// Ends the removals that have returned, where a place puts them off, and tells which
    /// generations are there: also those that could not be removed.
    fn settle(&mut self) -> Result<Vec<u64>, Error> {
        self.home().generations()
    }

    /// Starts a generation.
    fn begin(&mut self, generation: u64) -> Result<Box<dyn Draft>, Error>;

    /// Makes a generation of an earlier run, and its name, as durable as one of this run.
    fn keep_for_good(&self, generation: u64) -> Result<(), Error>;

    /// Moves a damaged generation out of the way of a whole one with its number. Does nothing where
    /// that one takes its place anyway.
    fn move_aside(&mut self, generation: u64) -> Result<(), Error>;

    /// Makes all removals durable that have returned.
    fn sync(&mut self) -> Result<(), Error>;

    /// Makes durable that no generation after this one is there, but for `but`: one that is there
    /// in spite of its removal is an error. By default, removals that returned are done.
    fn end_removals_after(&mut self, _generation: u64, _but: Option<u64>) -> Result<(), Error> {
        self.sync()
    }

    /// Like [`remove`](Claim::remove), and never keeps the file for a later save. An error means
    /// that its space may not be free.
    fn remove_at_once(&mut self, generation: u64) -> io::Result<bool>;

    /// Makes a generation the newest: sets the newer ones aside, durably, and brings it back where
    /// it was set aside itself. With `note`, the place remembers it, see [`Home::has_rewound_to`].
    /// By default the place cannot do that.
    fn rewind(&mut self, _generation: u64, _note: bool) -> Result<Rewound, Error> {
        Err(Error::InvalidSetting {
            setting: format!("rewinding {}", self.home().path().display()),
            why: "only a directory can be rewound: load the generation by `load_generation`, and remove the newer \
                  ones by `discard_newer`, or branch from a copy",
        })
    }

    /// Removes all generations and everything else of ours, durably, and the place itself if
    /// nothing else is in it; the claim ends with it. A pinned generation is an error, unless
    /// `with_pins`. By default the place cannot do that.
    fn clear(self: Box<Self>, _with_pins: bool) -> Result<(), Error> {
        Err(not_removable(self.home().path()))
    }

    /// Takes a rewind back that failed, and ends it where it can no longer be taken back. Until
    /// then nothing may be removed by the numbers that are there. True if generations came or went.
    /// By default, no rewind is ever half done.
    fn end_rewind(&mut self) -> Result<bool, Error> {
        Ok(false)
    }

    /// Takes a rewind to a generation for done, see [`Home::has_rewound_to`]. By default, the place
    /// has none.
    fn note_rewind(&mut self, _generation: u64) -> Result<(), Error> {
        Ok(())
    }

    /// Removes a generation. Returns false where it stays for now, because it is pinned, or another
    /// program reads it. An absent one is an error ([`io::ErrorKind::NotFound`]).
    fn remove(&mut self, generation: u64) -> io::Result<bool>;
}

/// A generation while it is written. If dropped before its end, it leaves nothing behind.
pub trait Draft: Write + fmt::Debug + Send {
    /// The path until it is published.
    fn path(&self) -> &Path;

    /// False where the bytes may be out of reach once they are [sealed](Draft::seal): then the
    /// manifest is parsed again before it is written.
    fn can_be_opened(&self) -> bool {
        true
    }

    /// Ends the writing and, where the claim is durable, waits until the data is on the disk.
    fn seal(self: Box<Self>) -> Result<Box<dyn Sealed>, Error>;
}

/// A generation whose bytes are complete, and that no reader finds yet. If dropped before it is
/// published, it leaves nothing behind.
pub trait Sealed: fmt::Debug + Send {
    /// The path until it is published.
    fn path(&self) -> &Path;

    /// The number of bytes that were written for it; `None`, the default, where that is all of
    /// them.
    fn written(&self) -> Option<u64> {
        None
    }

    /// Opens it as a reader will; `None` where no reader can before it is published.
    fn open(&self) -> io::Result<Option<Box<dyn Source>>>;

    /// Makes it a generation: when this returns, readers find it, and where the claim is durable,
    /// it survives a power cut.
    fn publish(self: Box<Self>) -> Published;
}

/// The outcome of the last step of a save.
#[derive(Debug)]
#[must_use = "a save may have failed"]
pub struct Published {
    /// True if the generation is known to be there, durable or not. After an error, false says
    /// nothing: it may still be there.
    pub is_there: bool,
    /// The outcome for the program.
    pub outcome: Result<(), Error>,
}

/// A file that grows line by line. It is not durable, and nothing depends on it.
pub trait Log: fmt::Debug + Send {
    /// Appends all of the bytes or, on a full disk, some of them.
    fn append(&mut self, bytes: &[u8]) -> io::Result<()>;

    /// The length in bytes.
    fn length(&self) -> io::Result<u64>;
}

/// The error of a place whose checkpoints the program cannot remove.
pub(crate) fn not_removable(path: &Path) -> Error {
    Error::InvalidSetting {
        setting: format!("removing the checkpoints of {}", path.display()),
        why: "only those of a directory can be removed by the program: remove them with the tools of the store",
    }
}
