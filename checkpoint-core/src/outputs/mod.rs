//! Files that grow with a run: logs, tables, trajectories. A checkpoint counts their bytes, so that
//! a restart goes on behind them.

mod counts;
mod end;
mod file;
mod kept;
mod mark;
mod met;
mod of_run;
mod stored;
mod value;

use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::Deserializer;
use serde::ser::{Error as _, Serializer};
use serde::{Deserialize, Serialize};

pub(crate) use self::kept::{OF_RUN, keep};
#[cfg(feature = "scopes")]
pub(crate) use self::met::saving_part;
pub(crate) use self::met::{loading, saving};
#[cfg(feature = "group")]
pub(crate) use self::of_run::accept;
pub(crate) use self::of_run::{
    Counted, Found, Lengths, OfRun, Running, abandon, acknowledge, flush_all, leave_open, resolve, sync_all,
};
use self::stored::Stored;
pub(crate) use self::value::Age;
use self::value::Value;
use crate::error::{Error, OutputFault};
use crate::schema::{Body, Field, Fields, Type};
use crate::state::{Checkpoint, Types};
use crate::store::RealDisk;

/// The name of the type in a schema.
pub(crate) const NAME: &str = "Appended";

/// A file that grows with the run, as a field of the state: a log, a table, a trajectory.
///
/// Write to it as to any file ([`std::io::Write`]). Each checkpoint counts its bytes. A restart
/// cuts off what was written after the checkpoint, and goes on there: after any number of crashes,
/// the file is byte for byte that of a run without one.
///
/// ```
/// use std::io::Write;
/// use checkpointed::{Appended, Checkpointer, checkpointed};
///
/// #[checkpointed]
/// struct Chain { step: u64, samples: Appended }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let (path, csv) = (directory.path().join("chain.ckpt"), directory.path().join("chain.csv"));
/// let mut checkpoints = Checkpointer::<Chain>::open(&path)?;
/// let mut chain = checkpoints.load_or_else(|| Chain { step: 0, samples: Appended::at(&csv) })?;
/// while chain.step < 100 {
///     chain.step += 1;
///     writeln!(chain.samples, "{},{}", chain.step, chain.step * chain.step)?;
///     checkpoints.save_if_due(&chain)?;
/// }
/// checkpoints.finish(&chain)?;
/// assert_eq!(std::fs::read_to_string(&csv)?.lines().count(), 100);
/// # Ok(())
/// # }
/// ```
///
/// - **The file is named once.** [`at`](Appended::at) opens nothing. The first write or save
///   creates the file; one with content that is there already gets another name, such as
///   `chain.csv.1`, with a warning. If a load needs that one, it gets its name back.
/// - **A save syncs the file** before the checkpoint that counts on it exists: also a save in the
///   background, which counts the bytes at the time of the copy. Bytes that no save counted are
///   not durable: of a value that is dropped once its run has saved it, they are synced as well,
///   and the next save is an error if that fails. With
///   [`durable(false)`](crate::Builder::durable) nothing is synced: after a power cut the file may
///   be shorter than its checkpoint counts, or end in NULs. Then the load is an error, unless only
///   bytes before the last 4096 were lost.
/// - **A line is written as a whole or not at all**: after an error of a `write!`, a `writeln!` or
///   a `write_all`, none of its bytes count, and the call can be made again.
/// - **A load cuts the file**: [`Checkpointer::load`](crate::Checkpointer::load) and its like, once
///   the whole state is loaded. A file that is shorter than the checkpoint counts, that is gone, or
///   that is another one is [`Error::Output`], and no file is changed. The last 4096 bytes that
///   count show if it is the same file. If fewer count, its number on the disk (the inode) must be
///   the same, too: else what is cut is kept beside the file, with a warning.
///   [`keep_cut_outputs`](crate::Builder::keep_cut_outputs) always keeps it, and so does a load
///   after a rewind, or of an older generation in the place of a damaged one:
///   `chain.csv.cut-at-300` has what came behind the first 300 bytes.
/// - **A second name keeps its bytes.** Where the file has a second name (a hard link), as in a
///   backup by `cp -al`, a copy of the bytes that count takes its place before a run cuts it or
///   goes on with it, with a warning. So a load in either directory leaves the file of the other as
///   it is. The copy needs room beside the file, where it is `chain.csv.checkpoint-copy` until it
///   is whole.
/// - **Looking changes nothing.** A value from a [`CheckpointReader`](crate::CheckpointReader), or
///   from a generation that is not the newest, refuses to be written to. That of an older
///   generation can be written to once it was saved, or once
///   [`discard_newer`](crate::Checkpointer::discard_newer) removed the newer ones.
/// - **One value appends**: of all that count bytes of the file, such as clones, the one that is
///   written to first. The others can be saved. One of them can be written to once the first was
///   dropped: then the file goes back to the bytes of that one. So a program may load again, or go
///   back to a clone, without a restart.
/// - **Paths** are absolute at once. A checkpoint has the path relative to the directory that holds
///   the checkpoint directory, if the file is in there: the two can be moved together.
/// - **A file grows with the run of one checkpoint directory.** A save into a second one is an
///   error. A copied directory, or a branch, does not touch the file of the original, whatever path
///   or symbolic link leads there: see [`continue_in`](Appended::continue_in). For this, the file
///   has a mark of its run, the extended attribute `user.checkpointed.run`. If that run is not
///   where it was, the file may be that of a copy: what is cut is kept beside it, with a warning.
///   On a file system without such attributes, an original that was moved away is not known.
/// - On Unix the file is locked while it is open: another program that appends to it is an error.
///   The file is a regular file, and its path is UTF-8. Its name leaves room for 34 bytes more, for
///   the names of the files beside it. Members of a group need a file each.
pub struct Appended {
    value: Arc<Value>,
    /// Ends the right of the value to append when it is dropped.
    _owner: Arc<()>,
}

impl Appended {
    /// Names the file, which is created by the first write or save. Its directory must exist then.
    #[must_use]
    pub fn at(path: impl AsRef<Path>) -> Appended {
        Appended::of(Value::named(path.as_ref(), Arc::new(RealDisk::default())))
    }

    /// Names a file of another disk.
    #[cfg(test)]
    pub(crate) fn on(disk: Arc<dyn crate::store::Disk>, path: &Path) -> Appended {
        Appended::of(Value::named(path, disk))
    }

    fn of((value, owner): (Arc<Value>, Arc<()>)) -> Appended {
        Appended { value, _owner: owner }
    }

    /// Returns the absolute path of the file.
    #[must_use]
    pub fn path(&self) -> PathBuf {
        self.value.path()
    }

    /// Returns the number of bytes that were written, over all runs. Some may still be in memory.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.value.length()
    }

    /// Returns true if nothing was written yet.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Goes on in another file, which gets a copy of the bytes that count. Does nothing if that is
    /// the file already, so that a program can call it after each load.
    ///
    /// If the other file begins with these bytes, as one that was moved, it is cut behind them and
    /// used; what is cut is kept beside it. Any other file of that name is put aside, as by
    /// [`at`](Appended::at).
    ///
    /// ```
    /// use std::io::Write;
    /// use checkpointed::{Appended, Checkpointer};
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let at = |name: &str| directory.path().join(name);
    /// let mut run = Checkpointer::<Appended>::open(at("run.ckpt"))?;
    /// let mut log = run.load_or_else(|| Appended::at(at("run.log")))?;
    /// writeln!(log, "one")?;
    /// run.save(&log)?;
    ///
    /// let mut branch = Checkpointer::builder(at("branch.ckpt")).branch_from(at("run.ckpt")).open()?;
    /// let mut log = branch.load()?.unwrap_or_else(|| Appended::at(at("branch.log")));
    /// log.continue_in(at("branch.log"))?;
    /// writeln!(log, "two")?;
    /// branch.save(&log)?;
    /// assert_eq!(std::fs::read_to_string(at("branch.log"))?, "one\ntwo\n");
    /// assert_eq!(std::fs::read_to_string(at("run.log"))?, "one\n");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// # Errors
    /// [`Error::Output`] where the present file is not the one that the state counts on, or where
    /// the other is known to grow with another run; an error of reading it or of writing the other.
    pub fn continue_in(&mut self, path: impl AsRef<Path>) -> Result<(), Error> {
        self.value.continue_in(path.as_ref())
    }
}

/// The error for the program, as of any file.
fn as_io(error: Error) -> io::Error {
    let kind = match &error {
        Error::Io { source, .. } | Error::NoSpace { source, .. } | Error::NotWritable { source, .. } => {
            source.kind()
        }
        Error::Output { fault: OutputFault::Gone, .. } => io::ErrorKind::NotFound,
        _ => io::ErrorKind::Other,
    };
    io::Error::new(kind, error)
}

impl Write for Appended {
    /// Appends all of the bytes. Short writes wait in memory. After an error none of these bytes
    /// count, and the call can be made again.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.value.append(bytes).map_err(as_io)?;
        Ok(bytes.len())
    }

    /// Appends a formatted text as a whole, so that the same is true of `write!` and `writeln!`.
    fn write_fmt(&mut self, text: fmt::Arguments<'_>) -> io::Result<()> {
        if let Some(text) = text.as_str() {
            return self.write_all(text.as_bytes());
        }
        let mut whole = String::new();
        let formatted = fmt::Write::write_fmt(&mut whole, text);
        formatted.map_err(|_| io::Error::other("a value could not be formatted: its `Display` failed"))?;
        self.write_all(whole.as_bytes())
    }

    /// Hands the bytes that wait in memory to the operating system, so that other programs see
    /// them. A save does it by itself.
    fn flush(&mut self) -> io::Result<()> {
        self.value.flush().map_err(as_io)
    }
}

impl Clone for Appended {
    /// Counts the same bytes of the same file. See the type for which of the two can be written to.
    fn clone(&self) -> Appended {
        let copy = self.value.copy();
        // A state that is being decoded may have clones instead of the first values.
        met::add_loaded(&copy.0);
        Appended::of(copy)
    }
}

impl fmt::Debug for Appended {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (path, length) = (self.path(), self.len());
        formatter.debug_struct("Appended").field("path", &path).field("len", &length).finish()
    }
}

impl Serialize for Appended {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if let Some(kept) = kept::stored(self) {
            return kept.serialize(serializer);
        }
        let run = met::run_that_saves();
        if run.is_some() {
            self.value.create();
        }
        let stored = self.value.stored(run.as_deref()).map_err(S::Error::custom)?;
        met::add_saved(&self.value, stored.length);
        stored.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Appended {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Appended, D::Error> {
        let stored = Stored::deserialize(deserializer)?;
        if let Some(kept) = kept::output(&stored) {
            return Ok(Appended::of(kept));
        }
        let loaded = Value::loaded(stored);
        met::add_loaded(&loaded.0);
        Ok(Appended::of(loaded))
    }
}

impl Checkpoint for Appended {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        types.define_derived::<Self>(NAME, 1, |_| {
            let field = |name: &str, ty| Field { name: name.to_owned(), ty };
            Body::Struct(Fields::Named(vec![
                field("path", Type::String),
                field("run", Type::String),
                field("length", Type::U64),
                field("end", Type::String),
                field("inode", Type::U64),
            ]))
        })
    }
}
