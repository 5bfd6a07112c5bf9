//! One file that grows with a run, while it is open. All values that count its bytes share it; one
//! of them appends.

mod separate;
mod sync;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use super::counts::{
    Counts, MOST_NAMES, aside, behind_links, check_name, in_use, inode, not_opened, open_to_write, put_aside,
    sync_names, take_back, verify, with_end,
};
use super::end::End;
use super::of_run::OfRun;
use super::value::Owner;
use crate::base::warnings::{HeldGuard, warn};
use crate::error::{Error, OutputFault};
use crate::store::{Disk, Growing, Opening, Process};

/// The number of bytes that wait in memory.
const BUFFER: usize = 64 << 10;

/// An open file.
pub(super) struct OpenFile {
    /// The path that the user gave, made absolute.
    path: PathBuf,
    /// The path behind symbolic links.
    real: PathBuf,
    disk: Arc<dyn Disk>,
    process: Process,
    /// Another one once the file is [separated](OpenFile::separate) from its other names.
    file: Mutex<Arc<dyn Growing>>,
    /// By itself, because a thread of the parent may hold the lock above for ever.
    inode: AtomicU64,
    state: Mutex<Written>,
    /// The runs that count on its bytes.
    runs: Mutex<Vec<Arc<OfRun>>>,
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
    /// During a sync, the checksum of the bytes that came after it began.
    during: Option<crc32fast::Hasher>,
    /// True after a failed sync: the system may have dropped bytes, and marked them clean.
    is_doubtful: bool,
    /// Bytes whose blocks were given back, and that are not in the file again, with their offset.
    held: Option<(u64, Vec<u8>)>,
    has_durable_name: bool,
    /// The number of times that the file was cut.
    cuts: u64,
    /// The cuts that no later one reached below: the number and the length of each. Both grow.
    lowest: Vec<(u64, u64)>,
    /// The one that appends. A file that was opened has none until the first of its values is
    /// written to: a value that was only loaded or saved must not keep the others out.
    owner: Owner,
}

impl Written {
    /// The number of bytes in the file and in memory.
    fn all(&self) -> u64 {
        self.length + self.waiting.len() as u64
    }
}

impl OpenFile {
    /// Creates a file. One of that name with content is put aside under another name.
    pub(super) fn create(disk: Arc<dyn Disk>, path: &Path) -> Result<Arc<OpenFile>, Error> {
        let real = behind_links(path);
        check_name(path, &real)?;
        for _ in 0..MOST_NAMES {
            let file = match disk.open_growing(&real, Opening::Create) {
                Ok(file) => file,
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                    let file = open_to_write(&*disk, path, &real)?;
                    let length = file.length().map_err(|source| Error::io("look at", path, source))?;
                    if length > 0 {
                        let aside = put_aside(&*disk, &real)?;
                        warn(format!(
                            "{} is there already, with {length} bytes: that file is now {}, and a new one begins",
                            path.display(),
                            aside.display()
                        ));
                        continue;
                    }
                    file
                }
                // Another one locked it as soon as it had its name.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Err(in_use(path, 0)),
                Err(source) => return Err(Error::writing("create", path, source)),
            };
            let open = OpenFile::new(disk, path, real, file, 0);
            open.separate(&mut open.state(), 0)?;
            return Ok(open);
        }
        Err(Error::NameTaken { operation: "create", path: path.to_owned() })
    }

    /// Opens an existing file to go on behind the first `counted` bytes, which have this end. The
    /// bytes behind them are cut off; before that, they are kept beside the file if `keeps_cut`. A
    /// file that was put aside gets its name back.
    pub(super) fn go_on(
        disk: Arc<dyn Disk>,
        path: &Path,
        counted: &Counts,
        keeps_cut: bool,
    ) -> Result<(Arc<OpenFile>, End), Error> {
        let real = behind_links(path);
        let open = || {
            let file = open_to_write(&*disk, path, &real).map_err(|error| match error {
                Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound => {
                    not_opened(path, counted, source)
                }
                error => error,
            })?;
            verify(&*file, path, counted).map(|end| (file, end))
        };
        let (file, end) = match open() {
            // Without any byte, nothing is missing.
            Err(Error::Output { fault: OutputFault::Gone, .. }) if counted.length == 0 => {
                return Ok((OpenFile::create(disk, path)?, End::default()));
            }
            Err(error) => {
                let Some((aside, _)) = aside(&*disk, &real, counted, &error) else { return Err(error) };
                take_back(&*disk, &real, &aside)?;
                open()?
            }
            Ok(opened) => opened,
        };
        let open = OpenFile::new(disk, path, real, file, counted.length);
        let found = open.content().length().map_err(|source| Error::io("look at", path, source))?;
        open.cut(&mut open.state(), counted.length, found, keeps_cut)?;
        // What is appended must not come into a backup either.
        open.separate(&mut open.state(), counted.length)?;
        Ok((open, end))
    }

    fn new(
        disk: Arc<dyn Disk>,
        path: &Path,
        real: PathBuf,
        file: Box<dyn Growing>,
        length: u64,
    ) -> Arc<OpenFile> {
        let state = Written {
            waiting: Vec::new(),
            length,
            reach: length,
            // An earlier run may not have synced them. Their checksum is unknown, and not needed:
            // no sync of this process has failed.
            synced: length,
            since: crc32fast::Hasher::new(),
            during: None,
            is_doubtful: false,
            held: None,
            has_durable_name: false,
            cuts: 0,
            lowest: Vec::new(),
            owner: Owner::new(),
        };
        let (process, path, state) = (Process::current(), path.to_owned(), Mutex::new(state));
        let (runs, syncing) = (Mutex::default(), Mutex::default());
        let inode = AtomicU64::new(inode(&*file));
        let file = Mutex::new(Arc::from(file));
        Arc::new(OpenFile { path, real, disk, process, file, inode, state, runs, syncing })
    }

    /// Adds a run that counts on its bytes. It stands for an earlier one of the same directory.
    pub(super) fn add_run(&self, run: &Arc<OfRun>) {
        let mut runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        match runs.iter_mut().find(|known| known.is_same(run)) {
            Some(known) if Arc::ptr_eq(known, run) => {}
            Some(earlier) => {
                run.inherit(earlier, &self.path);
                *earlier = Arc::clone(run);
            }
            None => runs.push(Arc::clone(run)),
        }
    }

    /// True if it grows with the run of another directory.
    pub(super) fn is_of_other(&self, run: &OfRun) -> bool {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.iter().any(|known| known.is_apart_from(run))
    }

    /// The number of bytes that must not be cut: a checkpoint of some run counts on them.
    fn promised(&self) -> u64 {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.iter().map(|run| run.promised(&self.path)).max().unwrap_or(0)
    }

    /// True if a run keeps what is cut.
    fn is_kept(&self) -> bool {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        runs.iter().any(|run| run.keeps_cut())
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    pub(super) fn inode(&self) -> u64 {
        self.inode.load(Ordering::Acquire)
    }

    /// The bytes in the file.
    pub(super) fn content(&self) -> Arc<dyn Growing> {
        Arc::clone(&self.file.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn state(&self) -> HeldGuard<'_, Written> {
        HeldGuard::new(self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }

    fn fault(&self, counted: u64, fault: OutputFault) -> Error {
        Error::Output { path: self.path.clone(), counted, fault }
    }

    /// A forked process must not write, and a thread of its parent may hold the locks for ever.
    fn check_process(&self, counted: u64) -> Result<(), Error> {
        if self.process.is_current() { Ok(()) } else { Err(self.fault(counted, OutputFault::OtherProcess)) }
    }

    /// Appends bytes for a value that counts this many, which is the one that appends from now on.
    /// If it fails, none of the bytes count. Returns the number of times that the file was cut.
    pub(super) fn append(
        &self,
        value: &Owner,
        counts: (u64, &End),
        bytes: &[u8],
        keeps_cut: bool,
    ) -> Result<u64, Error> {
        let mut state = self.state();
        if !state.owner.ptr_eq(value) {
            if state.owner.strong_count() > 0 {
                return Err(self.fault(counts.0, OutputFault::InUse));
            }
            self.end_at(&mut state, counts, keeps_cut)?;
            state.owner = Weak::clone(value);
        }
        if state.waiting.len() + bytes.len() > BUFFER {
            self.write_waiting(&mut state)?;
        }
        if bytes.len() < BUFFER {
            state.waiting.extend_from_slice(bytes);
        } else {
            self.write(&mut state, bytes)?;
        }
        Ok(state.cuts)
    }

    /// The number of times that the file was cut.
    pub(super) fn cuts(&self) -> u64 {
        self.state().cuts
    }

    /// Goes back to the bytes that a value counts, if the value that appended is gone, and the
    /// newest checkpoint counts on no more. The value does not append by that.
    pub(super) fn go_back(&self, value: &Owner, counts: (u64, &End), keeps_cut: bool) -> Result<(), Error> {
        self.check_process(counts.0)?;
        let mut state = self.state();
        let is_there = state.all() == counts.0;
        if state.owner.strong_count() > 0
            || value.strong_count() == 0
            || is_there
            || counts.0 < self.promised()
        {
            return Ok(());
        }
        self.end_at(&mut state, counts, keeps_cut)
    }

    /// Makes the file end with the bytes that a value counts, where no other value appends. One
    /// that did and is gone may have written more.
    fn end_at(&self, state: &mut Written, (counted, end): (u64, &End), keeps_cut: bool) -> Result<(), Error> {
        // A file that has no more bytes is a new one: that with the promised bytes was put aside.
        let is_new = state.all() == counted;
        if counted < self.promised() && !is_new {
            return Err(self.fault(counted, OutputFault::NotNewest));
        }
        self.put_back(state)?;
        self.write_waiting(state)?;
        self.check_length(state)?;
        self.cut_rest(state)?;
        let counts = Counts { length: counted, end: end.hash(), inode: self.inode() };
        verify(&*self.content(), &self.path, &counts)?;
        let found = state.length;
        if found > counted { self.cut(state, counted, found, keeps_cut || self.is_kept()) } else { Ok(()) }
    }

    /// Cuts the file, which has `found` bytes, and keeps what is cut if that is wanted.
    fn cut(&self, state: &mut Written, length: u64, found: u64, keeps_cut: bool) -> Result<(), Error> {
        if length > state.synced {
            self.check_kept(state)?;
        }
        if found > length {
            if keeps_cut {
                self.keep(length, found).map_err(for_what_is_cut)?;
            }
            if !self.separate(state, length)? {
                self.set_length(length)?;
            }
        }
        state.cuts += 1;
        state.lowest.retain(|(_, lowest)| *lowest < length);
        state.lowest.push((state.cuts, length));
        (state.length, state.reach) = (length, length);
        state.synced = state.synced.min(length);
        (state.since, state.during) = (self.checksum(state.synced, length)?, None);
        Ok(())
    }

    fn set_length(&self, length: u64) -> Result<(), Error> {
        self.content().set_length(length).map_err(|source| Error::writing("cut", &self.path, source))
    }

    /// Writes the bytes from `length` on to a file beside this one.
    fn keep(&self, length: u64, found: u64) -> Result<(), Error> {
        let (copy, path) = self.begin_copy(length)?;
        let failed = |source| Error::writing("write", &path, source);
        let written = self
            .pieces(length, found, |offset, bytes| copy.write_all_at(bytes, offset - length).map_err(failed))
            .and_then(|()| copy.sync().map_err(failed));
        // It has the name once it is whole.
        match written.and_then(|()| self.name_kept(&path, length)) {
            // The name is durable before the bytes are cut.
            Ok(kept) => sync_names(&*self.disk, &kept),
            Err(error) => {
                // A part of it would stay at each restart, on a disk that is full already.
                let _ = self.disk.remove(&path);
                Err(error)
            }
        }
    }

    /// Gives a copy of what is cut the first free name for that.
    fn name_kept(&self, copy: &Path, length: u64) -> Result<PathBuf, Error> {
        for number in 0..MOST_NAMES {
            let end = if number == 0 { String::new() } else { format!("-{number}") };
            let path = with_end(&self.real, &format!(".cut-at-{length}{end}"));
            match self.disk.rename(copy, &path) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                renamed => {
                    return renamed
                        .map(|()| path.clone())
                        .map_err(|source| Error::writing("create", &path, source));
                }
            }
        }
        Err(Error::NameTaken { operation: "create", path: self.real.clone() })
    }

    /// Reads a part of the file piece by piece.
    fn pieces(
        &self,
        from: u64,
        to: u64,
        mut visit: impl FnMut(u64, &[u8]) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut piece = vec![0; usize::try_from(to.saturating_sub(from)).unwrap_or(BUFFER).min(BUFFER)];
        let (file, mut offset) = (self.content(), from);
        while offset < to {
            let length = usize::try_from(to - offset).unwrap_or(BUFFER).min(BUFFER);
            let Some(piece) = piece.get_mut(..length) else { break };
            let read = file.read_exact_at(piece, offset);
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

    /// The same for a caller that reads the file then, which may have lost bytes.
    pub(super) fn flush_to_read(&self, counted: u64) -> Result<(), Error> {
        self.check_process(counted)?;
        let mut state = self.state();
        self.put_back(&mut state)?;
        self.write_waiting(&mut state)?;
        self.check_kept(&state)
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

    /// Writes bytes behind those that count. After an error none of them count, and they are cut.
    fn write(&self, state: &mut Written, bytes: &[u8]) -> Result<(), Error> {
        self.check_process(state.length)?;
        self.check_length(state)?;
        self.cut_rest(state)?;
        let end = state.length + bytes.len() as u64;
        state.reach = end;
        if let Err(source) = self.content().write_all_at(bytes, state.length) {
            // If this fails, too, the next sync does it.
            let _ = self.cut_rest(state);
            return Err(Error::writing("append to", &self.path, source));
        }
        state.since.update(bytes);
        if let Some(during) = &mut state.during {
            during.update(bytes);
        }
        state.length = end;
        Ok(())
    }

    /// Cuts off what a failed write left behind the bytes that count.
    fn cut_rest(&self, state: &mut Written) -> Result<(), Error> {
        if state.reach > state.length {
            self.set_length(state.length)?;
            state.reach = state.length;
        }
        Ok(())
    }

    /// Checks that no other program cut the file, which would leave a hole, or wrote to it.
    fn check_length(&self, state: &Written) -> Result<(), Error> {
        let length = self.content().length().map_err(|source| Error::io("look at", &self.path, source))?;
        if length < state.length {
            return Err(self.fault(state.length, OutputFault::Shorter { length }));
        }
        if length > state.reach {
            return Err(self.fault(state.length, OutputFault::Longer { length }));
        }
        Ok(())
    }
}

/// The error of what a load keeps: a full disk is no failure of a save here.
fn for_what_is_cut(error: Error) -> Error {
    match error {
        Error::NoSpace { path, source, .. } => {
            Error::NoSpace { operation: "keep the bytes that the load cuts off, in", path, source }
        }
        error => error,
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
        let runs = std::mem::take(&mut *self.runs.lock().unwrap_or_else(PoisonError::into_inner));
        // A program that gives the file up may go on to a state without it, and a checkpoint of
        // that state says that the bytes were written.
        if let Err(error) = self.sync_rest(runs.iter().any(|run| run.is_durable())) {
            warn(format!("the last bytes of an output are lost, which no checkpoint counts on: {error}"));
            runs.iter().for_each(|run| run.lost(&self.path, &error));
        }
    }
}
