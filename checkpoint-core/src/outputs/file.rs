//! One file that grows with a run, while it is open. All values that count its bytes share it; one
//! of them appends.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::end::{COVERED, End};
use super::value::Owner;
use crate::base::warnings::warn;
use crate::error::{Error, OutputFault};
use crate::store::{Disk, Growing, Opening, Process};

/// The number of bytes that wait in memory.
const BUFFER: usize = 64 << 10;

/// The most numbers that are tried for the name of a file that is put aside.
const MOST_NAMES: u32 = 10_000;

/// An open file.
pub(super) struct OpenFile {
    /// The path that the user gave, made absolute.
    path: PathBuf,
    /// The path behind symbolic links.
    real: PathBuf,
    disk: Arc<dyn Disk>,
    process: Process,
    file: Box<dyn Growing>,
    state: Mutex<Written>,
    /// Held during a sync: its outcome must not be mixed up with that of another.
    syncing: Mutex<()>,
}

/// The bytes of a file, in the file and in memory.
struct Written {
    /// Bytes behind `length`, in memory.
    waiting: Vec<u8>,
    /// The number of bytes in the file that count.
    length: u64,
    /// The greatest length that the file can have without another program: a write that failed may
    /// have left some bytes.
    reach: u64,
    /// The number of bytes that are durable.
    synced: u64,
    /// The checksum of the bytes from `synced` up to `length`.
    since: crc32fast::Hasher,
    /// True after a failed sync: the system may have dropped bytes, and marked them clean.
    is_doubtful: bool,
    has_durable_name: bool,
    /// The number of bytes that the newest checkpoint counts on.
    promised: u64,
    /// The number of times that the file was cut.
    cuts: u64,
    /// The one that appends.
    owner: Owner,
}

impl OpenFile {
    /// Creates a file. One of that name with content is put aside under another name.
    pub(super) fn create(disk: Arc<dyn Disk>, path: &Path, owner: &Owner) -> Result<Arc<OpenFile>, Error> {
        let real = behind_links(path);
        for _ in 0..MOST_NAMES {
            let file = match disk.open_growing(&real, Opening::Create) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let file = open_to_write(&*disk, path, &real)?;
                    let length = file.length().map_err(|source| Error::io("look at", path, source))?;
                    if length > 0 {
                        let aside = put_aside(&*disk, &real)?;
                        warn(format!(
                            "{} had {length} bytes, and no checkpoint counts on them: that file is now {}, and a new one \
                             begins",
                            path.display(),
                            aside.display()
                        ));
                        continue;
                    }
                    file
                }
                Err(source) => return Err(Error::writing("create", path, source)),
            };
            return Ok(OpenFile::new(disk, path, real, file, 0, owner));
        }
        Err(Error::NameTaken { operation: "create", path: path.to_owned() })
    }

    /// Opens an existing file to go on behind the first `counted` bytes, which have this end. The
    /// bytes behind them are cut off; before that, they are kept beside the file if `keeps_cut`.
    pub(super) fn go_on(
        disk: Arc<dyn Disk>,
        path: &Path,
        counted: &Counts,
        keeps_cut: bool,
        owner: &Owner,
    ) -> Result<(Arc<OpenFile>, End), Error> {
        let real = behind_links(path);
        let file = match open_to_write(&*disk, path, &real) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                // Without any byte, nothing is missing.
                if counted.length == 0 {
                    return Ok((OpenFile::create(disk, path, owner)?, End::default()));
                }
                return Err(not_opened(path, counted, source));
            }
            file => file?,
        };
        let end = verify(&*file, path, counted)?;
        let open = OpenFile::new(disk, path, real, file, counted.length, owner);
        let found = open.file.length().map_err(|source| Error::io("look at", path, source))?;
        open.cut(&mut open.state(), counted.length, found, keeps_cut)?;
        Ok((open, end))
    }

    fn new(
        disk: Arc<dyn Disk>,
        path: &Path,
        real: PathBuf,
        file: Box<dyn Growing>,
        length: u64,
        owner: &Owner,
    ) -> Arc<OpenFile> {
        let state = Written {
            waiting: Vec::new(),
            length,
            reach: length,
            // An earlier run may not have synced them. Their checksum is unknown, and not needed:
            // no sync of this process has failed.
            synced: length,
            since: crc32fast::Hasher::new(),
            is_doubtful: false,
            has_durable_name: false,
            promised: length,
            cuts: 0,
            owner: Weak::clone(owner),
        };
        let (process, path, state) = (Process::current(), path.to_owned(), Mutex::new(state));
        Arc::new(OpenFile { path, real, disk, process, file, state, syncing: Mutex::default() })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// The bytes in the file.
    pub(super) fn content(&self) -> &dyn Growing {
        &*self.file
    }

    fn state(&self) -> MutexGuard<'_, Written> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn fault(&self, counted: u64, fault: OutputFault) -> Error {
        Error::Output { path: self.path.clone(), counted, fault }
    }

    /// A forked process must not write, and a thread of its parent may hold the locks for ever.
    fn check_process(&self, counted: u64) -> Result<(), Error> {
        if self.process.is_current() { Ok(()) } else { Err(self.fault(counted, OutputFault::OtherProcess)) }
    }

    /// Appends bytes for a value that counts this many. If it fails, none of them count.
    pub(super) fn append(
        &self,
        value: &Owner,
        counts: (u64, &End),
        bytes: &[u8],
        keeps_cut: bool,
    ) -> Result<(), Error> {
        let mut state = self.state();
        self.own(&mut state, value, counts, keeps_cut)?;
        if state.waiting.len() + bytes.len() > BUFFER {
            self.write_waiting(&mut state)?;
        }
        if bytes.len() < BUFFER {
            state.waiting.extend_from_slice(bytes);
            return Ok(());
        }
        self.write(&mut state, bytes)
    }

    /// Goes back to the bytes that a value counts, if the value that appended is gone, and the newest
    /// checkpoint counts on no more.
    pub(super) fn go_back(&self, value: &Owner, counts: (u64, &End), keeps_cut: bool) -> Result<(), Error> {
        self.check_process(counts.0)?;
        let mut state = self.state();
        if state.owner.strong_count() > 0 || value.strong_count() == 0 || counts.0 < state.promised {
            return Ok(());
        }
        self.own(&mut state, value, counts, keeps_cut)
    }

    /// Makes a value the one that appends. If another was that and is gone, the file goes back to
    /// the bytes that this one counts.
    fn own(
        &self,
        state: &mut Written,
        value: &Owner,
        (counted, end): (u64, &End),
        keeps_cut: bool,
    ) -> Result<(), Error> {
        if state.owner.ptr_eq(value) {
            return Ok(());
        }
        if state.owner.strong_count() > 0 {
            return Err(self.fault(counted, OutputFault::InUse));
        }
        if counted < state.promised {
            return Err(self.fault(counted, OutputFault::NotNewest));
        }
        self.write_waiting(state)?;
        verify(&*self.file, &self.path, &Counts { length: counted, end: end.hash() })?;
        let found = state.length;
        self.cut(state, counted, found, keeps_cut)?;
        state.owner = Weak::clone(value);
        Ok(())
    }

    /// Cuts the file, which has `found` bytes, and keeps what is cut if that is wanted.
    fn cut(&self, state: &mut Written, length: u64, found: u64, keeps_cut: bool) -> Result<(), Error> {
        if found > length {
            if keeps_cut {
                self.keep(length, found)?;
            }
            self.file.set_length(length).map_err(|source| Error::writing("cut", &self.path, source))?;
        }
        state.cuts += 1;
        (state.length, state.reach) = (length, length);
        state.synced = state.synced.min(length);
        state.since = self.checksum(state.synced, length)?;
        Ok(())
    }

    /// Writes the bytes from `length` on to a file beside this one.
    fn keep(&self, length: u64, found: u64) -> Result<(), Error> {
        let (path, kept) = (0..MOST_NAMES)
            .map(|number| {
                let end = if number == 0 { String::new() } else { format!("-{number}") };
                let path = with_end(&self.real, &format!(".cut-at-{length}{end}"));
                let file = self.disk.open_growing(&path, Opening::Create);
                (path, file)
            })
            .find(|(_, file)| !matches!(file, Err(error) if error.kind() == io::ErrorKind::AlreadyExists))
            .ok_or_else(|| Error::NameTaken { operation: "create", path: self.real.clone() })?;
        let failed = |source| Error::writing("write", &path, source);
        let kept = kept.map_err(failed)?;
        self.pieces(length, found, |offset, bytes| {
            kept.write_all_at(bytes, offset - length).map_err(failed)
        })?;
        kept.sync().map_err(failed)
    }

    /// Reads a part of the file piece by piece.
    fn pieces(
        &self,
        from: u64,
        to: u64,
        mut visit: impl FnMut(u64, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut piece = vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or(BUFFER).min(BUFFER)];
        let mut offset = from;
        while offset < to {
            let length = usize::try_from(to - offset).unwrap_or(BUFFER).min(BUFFER);
            let Some(piece) = piece.get_mut(..length) else { break };
            let read = self.file.read_exact_at(piece, offset);
            read.map_err(|source| Error::io("read", &self.path, source))?;
            visit(offset, piece)?;
            offset += length as u64;
        }
        Ok(())
    }

    fn checksum(&self, from: u64, to: u64) -> Result<crc32fast::Hasher, Error> {
        let mut sum = crc32fast::Hasher::new();
        self.pieces(from, to, |_, bytes| {
            sum.update(bytes);
            Ok(())
        })?;
        Ok(sum)
    }

    /// Copies the first bytes of a file to a new one.
    pub(super) fn copy_from(&self, source: &dyn Growing, path: &Path, length: u64) -> Result<(), Error> {
        let mut state = self.state();
        let mut piece = vec![0; BUFFER];
        while state.length < length {
            let wanted = usize::try_from(length - state.length).unwrap_or(BUFFER).min(BUFFER);
            let Some(piece) = piece.get_mut(..wanted) else { break };
            let read = source.read_exact_at(piece, state.length);
            read.map_err(|source| Error::io("read", path, source))?;
            self.write(&mut state, piece)?;
        }
        Ok(())
    }

    /// Writes the bytes that wait in memory.
    pub(super) fn flush(&self, counted: u64) -> Result<(), Error> {
        self.check_process(counted)?;
        self.write_waiting(&mut self.state())
    }

    fn write_waiting(&self, state: &mut Written) -> Result<(), Error> {
        let waiting = std::mem::take(&mut state.waiting);
        if waiting.is_empty() {
            return Ok(());
        }
        let written = self.write(state, &waiting);
        state.waiting = waiting;
        if written.is_ok() {
            state.waiting.clear();
        }
        written
    }

    /// Writes bytes behind those that count. After an error none of them count, and a later call
    /// writes over them.
    fn write(&self, state: &mut Written, bytes: &[u8]) -> Result<(), Error> {
        self.check_process(state.length)?;
        self.check_length(state)?;
        let end = state.length + bytes.len() as u64;
        state.reach = state.reach.max(end);
        let written = self.file.write_all_at(bytes, state.length);
        written.map_err(|source| Error::writing("append to", &self.path, source))?;
        state.since.update(bytes);
        state.length = end;
        Ok(())
    }

    /// Checks that no other program cut the file, which would leave a hole, or wrote to it.
    fn check_length(&self, state: &Written) -> Result<(), Error> {
        let length = self.file.length().map_err(|source| Error::io("look at", &self.path, source))?;
        if length < state.length {
            return Err(self.fault(state.length, OutputFault::Shorter { length }));
        }
        if length > state.reach {
            return Err(self.fault(state.length, OutputFault::Longer { length }));
        }
        Ok(())
    }

    /// A checkpoint is about to count on this many bytes: they are not cut off any more.
    pub(super) fn promise(&self, counted: u64) {
        if self.process.is_current() {
            let mut state = self.state();
            state.promised = state.promised.max(counted);
        }
    }

    /// The newest checkpoint counts on this many bytes.
    pub(super) fn acknowledge(&self, counted: u64) {
        self.state().promised = counted;
    }

    /// Makes sure that the file has the bytes that a checkpoint counts on, and that they are durable
    /// if that is wanted. The program may append meanwhile.
    pub(super) fn sync(&self, counted: u64, durable: bool) -> Result<(), Error> {
        self.check_process(counted)?;
        let _one_at_a_time = self.syncing.lock().unwrap_or_else(PoisonError::into_inner);
        let (length, before, cuts) = {
            let mut state = self.state();
            self.write_waiting(&mut state)?;
            self.check_length(&state)?;
            if state.length < counted {
                return Err(self.fault(counted, OutputFault::Shorter { length: state.length }));
            }
            self.check_name(counted)?;
            if !durable {
                return Ok(());
            }
            if state.is_doubtful {
                self.write_again(&mut state)?;
            }
            (state.length, std::mem::take(&mut state.since), state.cuts)
        };
        let synced = self
            .sync_name()
            .and_then(|()| self.file.sync().map_err(|source| Error::writing("sync", &self.path, source)));
        let mut state = self.state();
        match synced {
            Ok(()) if state.cuts == cuts => {
                state.synced = length;
                state.is_doubtful = false;
                Ok(())
            }
            Ok(()) => Ok(()),
            Err(error) => {
                state.is_doubtful = true;
                if state.cuts == cuts {
                    let mut all = before;
                    all.combine(&state.since);
                    state.since = all;
                }
                Err(error)
            }
        }
    }

    /// After a failed sync, the system may show bytes that the disk does not have. Writes all that
    /// may be so once more, if they are still what was written.
    fn write_again(&self, state: &mut Written) -> Result<(), Error> {
        let (from, to) = (state.synced, state.length);
        if self.checksum(from, to)?.finalize() != state.since.clone().finalize() {
            return Err(self.fault(to, OutputFault::Other));
        }
        self.pieces(from, to, |offset, bytes| {
            let written = self.file.write_all_at(bytes, offset);
            written.map_err(|source| Error::writing("write", &self.path, source))
        })
    }

    /// Checks that the path still leads to this file.
    fn check_name(&self, counted: u64) -> Result<(), Error> {
        let ours = self.file.identity().map_err(|source| Error::io("look at", &self.path, source))?;
        let found = match self.disk.open_growing(&self.path, Opening::Look) {
            Ok(found) => found.identity(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                return Err(self.fault(counted, OutputFault::Gone));
            }
            Err(error) => Err(error),
        };
        let found = found.map_err(|source| Error::io("look at", &self.path, source))?;
        if found == ours { Ok(()) } else { Err(self.fault(counted, OutputFault::Other)) }
    }

    /// Makes the name durable, once, with those of the directories above as far as this user may
    /// open them: the program may have made them just now.
    fn sync_name(&self) -> Result<(), Error> {
        if self.state().has_durable_name {
            return Ok(());
        }
        let mut directories = self.real.ancestors().skip(1);
        if let Some(parent) = directories.next() {
            match self.disk.sync_directory(parent) {
                Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {}
                result => result.map_err(|source| Error::writing("sync", parent, source))?,
            }
        }
        let _ = directories.try_for_each(|directory| self.disk.sync_directory(directory));
        self.state().has_durable_name = true;
        Ok(())
    }
}

impl fmt::Debug for OpenFile {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("OpenFile").field("path", &self.path).finish_non_exhaustive()
    }
}

impl Drop for OpenFile {
    fn drop(&mut self) {
        if !self.process.is_current() {
            return;
        }
        let mut state = self.state();
        if let Err(error) = self.write_waiting(&mut state) {
            warn(format!("the last bytes of an output are lost, which no checkpoint counts on: {error}"));
        }
    }
}

/// The bytes of a file that a state counts.
#[derive(Clone, Debug)]
pub(super) struct Counts {
    pub(super) length: u64,
    /// The hash of their end.
    pub(super) end: String,
}

/// Checks that a file begins with the bytes that a state counts, as far as their length and their
/// end show. Returns the end.
pub(super) fn verify(file: &dyn Growing, path: &Path, counts: &Counts) -> Result<End, Error> {
    let fault = |fault| Error::Output { path: path.to_owned(), counted: counts.length, fault };
    let length = file.length().map_err(|source| Error::io("look at", path, source))?;
    if length < counts.length {
        return Err(fault(OutputFault::Shorter { length }));
    }
    let covered = usize::try_from(counts.length).unwrap_or(COVERED).min(COVERED);
    let mut last = vec![0; covered];
    let read = file.read_exact_at(&mut last, counts.length - covered as u64);
    read.map_err(|source| Error::io("read", path, source))?;
    let end = End::of(last);
    if end.hash() == counts.end { Ok(end) } else { Err(fault(OutputFault::Other)) }
}

/// Opens a file to look at it, and checks that it begins with the bytes that a state counts.
pub(super) fn look(disk: &dyn Disk, path: &Path, counts: &Counts) -> Result<Box<dyn Growing>, Error> {
    let file = disk.open_growing(path, Opening::Look).map_err(|source| not_opened(path, counts, source))?;
    verify(&*file, path, counts)?;
    Ok(file)
}

fn not_opened(path: &Path, counts: &Counts, source: io::Error) -> Error {
    if source.kind() == io::ErrorKind::NotFound {
        return Error::Output { path: path.to_owned(), counted: counts.length, fault: OutputFault::Gone };
    }
    Error::io("open", path, source)
}

fn open_to_write(disk: &dyn Disk, path: &Path, real: &Path) -> Result<Box<dyn Growing>, Error> {
    disk.open_growing(real, Opening::Write).map_err(|source| match source.kind() {
        io::ErrorKind::WouldBlock => {
            Error::Output { path: path.to_owned(), counted: 0, fault: OutputFault::InUse }
        }
        _ => Error::writing("open", path, source),
    })
}

/// Gives a file another name beside its own.
fn put_aside(disk: &dyn Disk, path: &Path) -> Result<PathBuf, Error> {
    for number in 1..MOST_NAMES {
        let aside = with_end(path, &format!(".{number}"));
        if disk.exists(&aside) {
            continue;
        }
        match disk.rename(path, &aside) {
            Ok(()) => return Ok(aside),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            Err(source) => return Err(Error::writing("rename", path, source)),
        }
    }
    Err(Error::NameTaken { operation: "rename", path: path.to_owned() })
}

/// A path with more at the end of its name.
fn with_end(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// The path behind a symbolic link: a file that is put aside must stay on the disk that the user
/// chose.
fn behind_links(path: &Path) -> PathBuf {
    let is_link = std::fs::symlink_metadata(path).is_ok_and(|metadata| metadata.is_symlink());
    let real = if is_link { std::fs::canonicalize(path).ok() } else { None };
    real.unwrap_or_else(|| path.to_owned())
}
