//! The outputs of one run: the values that its states have, and the bytes that its checkpoints
//! count on. A save syncs the files of its state before it publishes the checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::counts::{is_one_name, sync_names, without_links};
use super::file::OpenFile;
use super::mark::{self, Marked};
use super::stored::Stored;
use super::value::{Age, Doubt, Value};
use crate::base::warnings::warn;
use crate::error::{Error, OutputFault};
use crate::store::{Disk, Growing};

/// Lives as long as a run has the right to its directory.
#[derive(Debug)]
pub(crate) struct Running(Arc<OfRun>);

impl Running {
    pub(crate) fn new(run: &Arc<OfRun>) -> Running {
        Running(Arc::clone(run))
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.0.is_over.store(true, Ordering::Release);
    }
}

/// The outputs of one checkpointer.
#[derive(Debug)]
pub(crate) struct OfRun {
    disk: Arc<dyn Disk>,
    /// The checkpoint directory of the run; `None` for another place.
    path: Option<PathBuf>,
    durable: bool,
    /// True to keep what is cut: by the settings, or because of a rewind.
    keeps_cut: AtomicBool,
    /// The files that states of this run had open.
    files: Mutex<Vec<Weak<OpenFile>>>,
    /// Outputs in parts of a state that were encoded earlier, as by `Scopes`.
    parts: Mutex<Vec<Counted>>,
    /// Values that were loaded with newer generations behind theirs, each with its generation.
    behind: Mutex<Vec<(u64, Weak<Value>)>>,
    /// The bytes that no file is cut below, whether it is open or not.
    promised: Mutex<Promised>,
    /// An output that was closed, and that lost bytes: the next save or the end of the run tells.
    lost: Mutex<Option<Lost>>,
    /// The bytes that generations count on which this run loaded or saved.
    known: Mutex<BTreeMap<u64, Lengths>>,
    /// True for the part of a member: its group accepts a save later, or refuses it.
    is_part: AtomicBool,
    /// True once the run has ended, and with it the right to cut files.
    is_over: AtomicBool,
    /// The outputs of a part that was saved, and that the group has not accepted yet, with its
    /// generation.
    unaccepted: Mutex<Option<(u64, Vec<Counted>)>>,
}

/// The bytes that checkpoints count on.
#[derive(Debug, Default)]
struct Promised {
    /// Of the newest checkpoint.
    newest: Lengths,
    /// Of a save that has begun.
    saving: Lengths,
    /// Of parts of the state that were encoded for the next save.
    kept: Lengths,
    /// Of saves that failed, and whose checkpoint may be there all the same.
    unknown: Lengths,
}

/// The most generations whose counts are known.
const MOST_KNOWN: usize = 256;

/// The path of an output, and the reason that bytes of it are lost.
type Lost = (PathBuf, String);

/// The greatest count of each file, over all values that have it.
pub(crate) type Lengths = BTreeMap<PathBuf, u64>;

/// Adds a count of a file.
fn add(lengths: &mut Lengths, path: PathBuf, length: u64) {
    let greatest = lengths.entry(path).or_default();
    *greatest = length.max(*greatest);
}

/// The outputs of a loaded state.
pub(crate) type Found = Vec<Weak<Value>>;

/// An output in a state that is being saved.
#[derive(Clone)]
pub(crate) struct Counted {
    path: PathBuf,
    length: u64,
    /// `None` for one in a part of the state that was encoded by an earlier run.
    value: Option<(Arc<Value>, Option<Arc<OpenFile>>)>,
    /// The number of cuts of the open file at which it had the bytes.
    since: u64,
    durable: bool,
    run: Weak<OfRun>,
    /// True for an output that grows with the run of another directory.
    is_of_other: bool,
}

impl fmt::Debug for Counted {
    /// Leaves out the run, which may have this very value.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Counted").field("length", &self.length).finish_non_exhaustive()
    }
}

impl Counted {
    /// The path of the file, and the number of its bytes that count.
    #[cfg(feature = "scopes")]
    pub(crate) fn of_file(&self) -> (&Path, u64) {
        (&self.path, self.length)
    }
}

/// Makes sure, before a checkpoint is published, that all files have the bytes that it counts on.
pub(crate) fn sync_all(counted: &mut [Counted]) -> Result<(), Error> {
    give_all(counted, true)
}

/// Hands the bytes that a checkpoint counts on to the operating system, ahead of their sync.
pub(crate) fn flush_all(counted: &mut [Counted]) -> Result<(), Error> {
    give_all(counted, false)
}

fn give_all(counted: &mut [Counted], syncs: bool) -> Result<(), Error> {
    check_paths(counted)?;
    for Counted { path, value, length, since, durable, run, is_of_other } in counted {
        let run = run.upgrade();
        run.as_ref().map_or(Ok(()), |run| run.check_closed())?;
        if *is_of_other {
            let (path, counted, fault) = (path.clone(), *length, OutputFault::SavedElsewhere);
            return Err(Error::Output { path, counted, fault });
        }
        let Some((value, file)) = value else { continue };
        *file = value.sync(file.as_ref().map(|file| (file, *since)), *length, syncs && *durable)?;
        if let (Some(file), Some(run)) = (file, run) {
            run.note(file);
        }
    }
    Ok(())
}

/// Refuses two outputs that lead to one file by different paths, also where there is no file yet: a
/// load could open only one of them.
fn check_paths(counted: &[Counted]) -> Result<(), Error> {
    let values = counted.iter().filter(|counted| counted.value.is_some());
    let lengths: BTreeMap<&Path, u64> = values.map(|counted| (&*counted.path, counted.length)).collect();
    let mut seen = BTreeSet::new();
    if lengths.len() < 2 {
        return Ok(());
    }
    for (path, counted) in lengths {
        if !seen.insert(without_links(path)) {
            let (path, fault) = (path.to_owned(), OutputFault::TwoPaths);
            return Err(Error::Output { path, counted, fault });
        }
    }
    Ok(())
}

fn run_of(counted: &[Counted]) -> Option<Arc<OfRun>> {
    counted.iter().find_map(|counted| counted.run.upgrade())
}

/// Notes that the save of these ended without a checkpoint: nothing counts on their bytes.
pub(crate) fn abandon(counted: &[Counted]) {
    if let Some(run) = run_of(counted) {
        run.abandon();
    }
}

/// Notes that it is unknown if the save of these left a checkpoint.
pub(crate) fn leave_open(counted: &[Counted]) {
    if let Some(run) = run_of(counted) {
        let mut promised = lock(&run.promised);
        for Counted { path, length, .. } in counted {
            add(&mut promised.unknown, path.clone(), *length);
        }
        promised.saving.clear();
    }
}

/// Notes that the checkpoint is the newest from now on; that of a part, once its group accepts it.
pub(crate) fn acknowledge(counted: &[Counted], generation: u64) {
    match run_of(counted) {
        Some(run) if run.is_part.load(Ordering::Acquire) => {
            *lock(&run.unaccepted) = Some((generation, counted.to_vec()));
        }
        _ => accept(counted, generation),
    }
}

/// Notes that the checkpoint is the newest from now on.
pub(crate) fn accept(counted: &[Counted], generation: u64) {
    // All counts come first: two values may count bytes of one file.
    if let Some(run) = run_of(counted) {
        let mut lengths = Lengths::new();
        for Counted { path, length, .. } in counted {
            add(&mut lengths, path.clone(), *length);
        }
        run.know(generation, lengths.clone());
        let mut promised = lock(&run.promised);
        promised.newest.extend(lengths);
        (promised.saving, promised.unknown) = Default::default();
    }
    for Counted { value, run, .. } in counted {
        let Some((value, _)) = value else { continue };
        if let Some(run) = run.upgrade() {
            run.forget_behind(value);
            value.goes_on_in(&run);
        }
        if let Err(error) = value.was_saved() {
            warn(format!("an output keeps what the checkpoint does not count, until the next load: {error}"));
        }
    }
}

/// Resolves the paths of outputs that a reader loaded from a checkpoint directory.
pub(crate) fn resolve(found: &Found, path: &Path) {
    found.iter().filter_map(Weak::upgrade).for_each(|value| value.resolve(path.parent()));
}

/// Refuses a state with outputs, given by their paths and counts, if a newer generation could not
/// be read: it may count on more bytes of their files, and a load of it, once it can be read, must
/// find them.
fn refuse_to_cut(mut counts: impl Iterator<Item = (PathBuf, u64)>, unread: Option<u64>) -> Result<(), Error> {
    match (unread, counts.next()) {
        (Some(generation), Some((path, counted))) => {
            Err(Error::Output { path, counted, fault: OutputFault::NewerUnread { generation } })
        }
        _ => Ok(()),
    }
}

/// The paths and the counts of the outputs of a state that their run has checked.
fn counts(found: &Found) -> impl Iterator<Item = (PathBuf, u64)> {
    found.iter().filter_map(Weak::upgrade).filter_map(|value| value.of_run())
}

fn lock<S>(mutex: &Mutex<S>) -> MutexGuard<'_, S> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl OfRun {
    pub(crate) fn new(
        disk: Arc<dyn Disk>,
        path: Option<PathBuf>,
        durable: bool,
        keeps_cut: bool,
    ) -> Arc<OfRun> {
        Arc::new(OfRun {
            disk,
            path,
            durable,
            keeps_cut: AtomicBool::new(keeps_cut),
            files: Mutex::default(),
            parts: Mutex::default(),
            behind: Mutex::default(),
            promised: Mutex::default(),
            lost: Mutex::default(),
            known: Mutex::default(),
            is_part: AtomicBool::new(false),
            is_over: AtomicBool::new(false),
            unaccepted: Mutex::default(),
        })
    }

    /// Counts a value that a save encodes, or a part for the next save, with the number of bytes
    /// that is encoded for it.
    pub(super) fn count(self: &Arc<Self>, value: &Arc<Value>, length: u64, is_part: bool) -> Counted {
        let (file, since) = value.open_file().unzip();
        let path = value.path();
        self.promise_more(path.clone(), length, is_part);
        let is_of_other = file.as_ref().is_some_and(|file| file.is_of_other(self)) || !value.belongs_to(self);
        if let Some(file) = &file
            && !is_of_other
        {
            self.note(file);
        }
        let (value, since) = (Some((Arc::clone(value), file)), since.unwrap_or_default());
        Counted { value, since, is_of_other, ..self.without_value(path, length) }
    }

    fn promise_more(&self, path: PathBuf, length: u64, is_part: bool) {
        let mut promised = lock(&self.promised);
        let lengths = if is_part { &mut promised.kept } else { &mut promised.saving };
        add(lengths, path, length);
    }

    /// The outputs of a state beside those that its encoding meets: of parts that were encoded
    /// earlier, and one that lost bytes, of which the sync before the checkpoint tells.
    pub(super) fn counted_before(self: &Arc<Self>) -> Vec<Counted> {
        let mut counted = lock(&self.parts).clone();
        // The next parts that are kept may count on less while this save goes on.
        for Counted { path, length, .. } in &counted {
            self.promise_more(path.clone(), *length, false);
        }
        if let Some((path, _)) = &*lock(&self.lost) {
            counted.push(self.without_value(path.clone(), self.promised(path)));
        }
        counted
    }

    pub(super) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    /// True once the run has ended: another one may have the directory.
    pub(super) fn is_over(&self) -> bool {
        self.is_over.load(Ordering::Acquire)
    }

    /// Leaves the outputs of a state from another directory to the run there. This one loaded them.
    pub(crate) fn leave(self: &Arc<Self>, found: &Found) {
        found.iter().filter_map(Weak::upgrade).for_each(|value| value.is_left_by(self));
    }

    pub(super) fn keeps_cut(&self) -> bool {
        self.keeps_cut.load(Ordering::Acquire)
    }

    /// The directory that holds the checkpoint directory.
    pub(super) fn directory(&self) -> Option<&Path> {
        self.path.as_deref().and_then(Path::parent)
    }

    /// The checkpoint directory, as a checkpoint has it beside an output: its whole path. A copy of
    /// the directory elsewhere may lead to the same output, by a link for example.
    pub(super) fn stored_directory(&self) -> String {
        self.path.as_deref().and_then(Path::to_str).unwrap_or_default().to_owned()
    }

    /// True if a checkpoint directory with this stored path is, or was, another one than this. A
    /// path that is not absolute is relative to the directory that holds this one.
    pub(super) fn is_elsewhere(&self, stored: &str) -> bool {
        let whole = self.directory().map(|directory| directory.join(stored));
        !stored.is_empty() && whole.is_some_and(|whole| self.path.as_deref() != Some(&whole))
    }

    /// The path of an output in a checkpoint: relative if it is near the checkpoint directory, so
    /// that the two can be moved together.
    pub(crate) fn stored<'p>(&self, path: &'p Path) -> &'p Path {
        let near = self.directory().and_then(|directory| path.strip_prefix(directory).ok());
        near.unwrap_or(path)
    }

    /// The file of an output that must be left to the directory which a checkpoint has beside it:
    /// that one exists, this one is a copy of it, and `path` leads to the same file or to none.
    /// `None` for an output of this run.
    pub(super) fn of_original(&self, stored: &Stored, path: &Path) -> Option<PathBuf> {
        let other = &*self.directory()?.join(&stored.run);
        if !self.is_elsewhere(&stored.run)
            || self.disk.is_directory(other) != Some(true)
            || self.leads_here(other)
        {
            return None;
        }
        let theirs = other.parent()?.join(&stored.path);
        let is_theirs =
            is_one_name(&*self.disk, &theirs, path) || (!self.disk.exists(path) && self.disk.exists(&theirs));
        is_theirs.then_some(theirs)
    }

    /// True if the output at `path`, whose file has the mark of another directory, must be left to
    /// that one: its own path leads there too. If that leads to another file by now, or if the two
    /// are names by hard links, this file is a copy.
    pub(super) fn is_of(&self, other: &Path, stored: &Stored, path: &Path) -> bool {
        let theirs = other.parent().map(|parent| parent.join(&stored.path));
        theirs.is_none_or(|theirs| !self.disk.exists(&theirs) || is_one_name(&*self.disk, &theirs, path))
    }

    /// The run that a file last grew with.
    pub(super) fn marked(&self, file: &dyn Growing) -> Marked {
        self.path.as_deref().map_or(Marked::Not, |path| mark::of(&*self.disk, path, file))
    }

    /// Marks a file: it grows with this run.
    pub(super) fn mark(&self, file: &dyn Growing) {
        if let Some(path) = &self.path {
            mark::set(&*self.disk, path, file);
        }
    }

    /// True if another path leads to the checkpoint directory.
    fn leads_here(&self, other: &Path) -> bool {
        let identity = |path: &Path| {
            let path = std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
            self.disk.identity(&path).ok().flatten().ok_or(path)
        };
        self.path.as_deref().is_some_and(|path| identity(path) == identity(other))
    }

    /// The file at this path, if a value of this process has it open.
    pub(super) fn open_at(&self, path: &Path) -> Option<Arc<OpenFile>> {
        lock(&self.files).iter().filter_map(Weak::upgrade).find(|file| file.path() == path)
    }

    /// Notes a file that a value of this run has open.
    pub(super) fn note(self: &Arc<Self>, file: &Arc<OpenFile>) {
        file.add_run(self);
        let mut files = lock(&self.files);
        if !files.iter().any(|known| std::ptr::eq(known.as_ptr(), Arc::as_ptr(file))) {
            files.retain(|known| known.strong_count() > 0);
            files.push(Arc::downgrade(file));
            self.mark(&*file.content());
        }
    }

    /// The number of bytes of a file that a checkpoint of this run counts on.
    pub(super) fn promised(&self, path: &Path) -> u64 {
        let Promised { newest, saving, kept, unknown } = &*lock(&self.promised);
        let of = |lengths: &&Lengths| lengths.get(path).copied();
        [newest, saving, kept, unknown].iter().filter_map(of).max().unwrap_or(0)
    }

    /// True if the other run has the same checkpoint directory.
    pub(super) fn is_same(&self, other: &OfRun) -> bool {
        std::ptr::eq(self, other) || (self.path.is_some() && self.path == other.path)
    }

    /// True if the other run has another checkpoint directory. A place that is none tells nothing.
    pub(super) fn is_apart_from(&self, other: &OfRun) -> bool {
        self.path.is_some() && other.path.is_some() && self.path != other.path
    }

    /// Takes over what an earlier run of this directory has promised about a file.
    pub(super) fn inherit(&self, earlier: &OfRun, path: &Path) {
        let length = earlier.promised(path);
        lock(&self.promised).newest.entry(path.to_owned()).or_insert(length);
    }

    /// Notes that this is the run of a member of a group.
    #[cfg(feature = "group")]
    pub(crate) fn is_part(&self) {
        self.is_part.store(true, Ordering::Release);
    }

    /// The outputs of the part that was saved last. Only a group that accepts it lets files go
    /// back.
    #[cfg(feature = "group")]
    pub(crate) fn take_unaccepted(&self) -> Option<(u64, Vec<Counted>)> {
        lock(&self.unaccepted).take()
    }

    /// Notes that the save that was begun ended without a checkpoint.
    pub(crate) fn abandon(&self) {
        lock(&self.promised).saving.clear();
    }

    /// Notes what a generation counts on.
    fn know(&self, generation: u64, lengths: Lengths) {
        let mut known = lock(&self.known);
        known.insert(generation, lengths);
        if known.len() > MOST_KNOWN
            && let Some(oldest) = known.keys().copied().find(|oldest| *oldest != generation)
        {
            known.remove(&oldest);
        }
    }

    /// Sets the outputs in parts of the state that were encoded earlier.
    #[cfg(feature = "scopes")]
    pub(crate) fn set_parts(&self, parts: Vec<Counted>) {
        *lock(&self.parts) = parts;
    }

    /// The stored counts of parts of the state that were encoded earlier, maybe by another run.
    #[cfg(feature = "scopes")]
    pub(crate) fn in_parts<'p>(
        self: &Arc<Self>,
        counts: impl Iterator<Item = (&'p String, &'p u64)>,
    ) -> Vec<Counted> {
        let directory = self.directory().unwrap_or(Path::new(""));
        counts.map(|(path, length)| self.without_value(directory.join(path), *length)).collect()
    }

    /// Notes that the newest checkpoint counts on these, also before they are decoded. Refuses them
    /// if a newer generation could not be read, as [`refuse_to_cut`] does.
    #[cfg(feature = "scopes")]
    pub(crate) fn promise(&self, counted: Vec<Counted>, unread: Option<u64>) -> Result<(), Error> {
        refuse_to_cut(counted.iter().map(|counted| (counted.path.clone(), counted.length)), unread)?;
        // A run that made nothing durable may have written them, and the next save, of another
        // part, syncs none that it has not open.
        for Counted { path, .. } in counted.iter().filter(|_| self.durable) {
            self.sync_at(path)?;
        }
        let newest = &mut lock(&self.promised).newest;
        counted.into_iter().for_each(|Counted { path, length, .. }| add(newest, path, length));
        Ok(())
    }

    /// True if the parts for the next save count fewer bytes of a file than the newest checkpoint.
    #[cfg(feature = "scopes")]
    pub(crate) fn has_gone_back(&self) -> bool {
        let promised = lock(&self.promised);
        let is_behind = |(path, length)| promised.newest.get(path).is_some_and(|newest| newest > length);
        promised.kept.iter().any(is_behind)
    }

    /// Makes a file durable, and its name, if it is there.
    #[cfg(feature = "scopes")]
    fn sync_at(&self, path: &Path) -> Result<(), Error> {
        match std::fs::metadata(path) {
            Ok(found) if !found.is_file() => return Ok(()),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(()),
            _ => {}
        }
        self.disk.sync_file(path).map_err(|source| Error::writing("sync", path, source))?;
        sync_names(&*self.disk, path)
    }

    /// Notes what the parts that were encoded for the next save count on, in the place of earlier
    /// ones.
    #[cfg(feature = "scopes")]
    pub(crate) fn promise_kept<'p>(&self, counts: impl Iterator<Item = (&'p String, &'p u64)>) {
        let (directory, mut kept) = (self.directory().unwrap_or(Path::new("")), Lengths::new());
        counts.for_each(|(path, length)| add(&mut kept, directory.join(path), *length));
        lock(&self.promised).kept = kept;
    }

    fn without_value(self: &Arc<Self>, path: PathBuf, length: u64) -> Counted {
        let run = Arc::downgrade(self);
        Counted { path, length, value: None, since: 0, durable: self.durable, run, is_of_other: false }
    }

    pub(super) fn is_durable(&self) -> bool {
        self.durable
    }

    /// Notes that an output was closed, and lost bytes.
    pub(super) fn lost(&self, path: &Path, why: &Error) {
        *lock(&self.lost) = Some((path.to_owned(), why.to_string()));
    }

    /// Returns the error of an output that was closed, once.
    fn check_closed(&self) -> Result<(), Error> {
        let Some((path, why)) = lock(&self.lost).take() else { return Ok(()) };
        Err(Error::Io { operation: "close", path, source: std::io::Error::other(why) })
    }

    /// True if an output was closed, and lost bytes.
    pub(crate) fn has_lost(&self) -> bool {
        lock(&self.lost).is_some()
    }

    /// Makes what the program has written durable, also what no checkpoint counts: a checkpoint may
    /// say that the part of the program that wrote it is done. Leaves the files that a save syncs.
    #[cfg(feature = "scopes")]
    pub(crate) fn sync_rest(&self) -> Result<(), Error> {
        self.check_closed()?;
        let open: Vec<Arc<OpenFile>> = lock(&self.files).iter().filter_map(Weak::upgrade).collect();
        let parts = lock(&self.parts).clone();
        let saved = |file: &Arc<OpenFile>| {
            let mut files = parts.iter().filter_map(|part| part.value.as_ref()?.1.as_ref());
            files.any(|saved| Arc::ptr_eq(saved, file))
        };
        open.iter().filter(|file| !saved(file)).try_for_each(|file| file.sync_rest(self.durable))
    }

    /// Checks the outputs of a part of a state, and changes none. Another part may count more bytes
    /// of a file.
    #[cfg(feature = "scopes")]
    pub(crate) fn check_part(self: &Arc<Self>, found: &Found, age: Age) -> Result<(), Error> {
        for value in found.iter().filter_map(Weak::upgrade) {
            self.tell(value.give_to(self, age)?);
        }
        Ok(())
    }

    /// Warns of what may be cut off, unless a value counts on more of the file: then it is not.
    fn tell(&self, doubts: impl IntoIterator<Item = Doubt>) {
        let doubts = doubts.into_iter().filter(|doubt| doubt.counted >= self.promised(&doubt.path));
        doubts.for_each(|doubt| doubt.tell());
    }

    /// Checks the outputs of a state that this run loaded from a generation, and changes none.
    /// Refuses them if a newer generation could not be read, as [`refuse_to_cut`] does: then what
    /// that one counts on stays promised.
    pub(crate) fn check(
        self: &Arc<Self>,
        found: &Found,
        generation: u64,
        age: Age,
        unread: Option<u64>,
    ) -> Result<(), Error> {
        let (mut lengths, mut doubts) = (Lengths::new(), Vec::new());
        for value in found.iter().filter_map(Weak::upgrade) {
            doubts.extend(value.give_to(self, age)?);
            if age == Age::Behind {
                lock(&self.behind).push((generation, Arc::downgrade(&value)));
            }
            if let Some((path, length)) = value.of_run() {
                add(&mut lengths, path, length);
            }
        }
        refuse_to_cut(counts(found), unread)?;
        if age != Age::Behind {
            lock(&self.promised).newest.extend(lengths.clone());
        }
        self.know(generation, lengths);
        lock(&self.behind).retain(|(_, value)| value.strong_count() > 0);
        self.tell(doubts);
        Ok(())
    }

    /// Opens the outputs of a state that was loaded as a whole, and cuts them.
    pub(crate) fn open(&self, found: &Found) -> Result<(), Error> {
        found.iter().filter_map(Weak::upgrade).try_for_each(|value| value.open_after_load())
    }

    /// Notes a copy of a value with newer generations behind it.
    pub(super) fn copy_behind(&self, value: &Value, copy: &Arc<Value>) {
        let mut behind = lock(&self.behind);
        let original = behind.iter().find(|(_, known)| std::ptr::eq(known.as_ptr(), value));
        if let Some((generation, _)) = original {
            let copy = (*generation, Arc::downgrade(copy));
            behind.push(copy);
        }
    }

    /// True if a state may have outputs, as far as this run has met any.
    pub(crate) fn has_any(&self) -> bool {
        !lock(&self.files).is_empty() || lock(&self.known).values().any(|lengths| !lengths.is_empty())
    }

    /// Checks that the files have what the outputs of a state count on, and changes none: a load of
    /// it is to succeed. Returns the counts.
    pub(crate) fn counts_of(self: &Arc<Self>, found: &Found) -> Result<Lengths, Error> {
        let mut lengths = Lengths::new();
        for value in found.iter().filter_map(Weak::upgrade) {
            value.give_to(self, Age::Newest)?;
            if let Some((path, length)) = value.of_run() {
                add(&mut lengths, path, length);
            }
        }
        Ok(lengths)
    }

    /// Notes a rewind to a generation that counts on these bytes. From now on, what is cut is kept:
    /// a generation that is aside may count on it.
    pub(crate) fn went_back(&self, generation: u64, lengths: Option<Lengths>) {
        self.keeps_cut.store(true, Ordering::Release);
        self.now_ends_at(generation, lengths);
    }

    /// Notes that a generation is the newest now, and what it counts on.
    pub(crate) fn now_ends_at(&self, generation: u64, lengths: Option<Lengths>) {
        if let Some(lengths) = lengths {
            self.know(generation, lengths);
        }
        self.is_newest(generation);
    }

    /// Notes that a generation is the newest now. Only values of that one may be written to, of
    /// those that were loaded with newer ones behind them.
    pub(crate) fn is_newest(&self, generation: u64) {
        let mut known = lock(&self.known);
        let given_up = known.split_off(&generation.saturating_add(1));
        if let Some(lengths) = known.get(&generation).cloned() {
            let mut promised = lock(&self.promised);
            // Of a file of the generations that are gone, only what older ones count on is
            // promised.
            for path in given_up.into_values().flat_map(Lengths::into_keys) {
                match known.values().filter_map(|lengths| lengths.get(&path)).max() {
                    Some(length) => drop(promised.newest.insert(path, *length)),
                    None => drop(promised.newest.remove(&path)),
                }
            }
            promised.newest.extend(lengths);
            (promised.saving, promised.unknown) = Default::default();
        }
        drop(known);
        lock(&self.behind).retain(|(of, value)| {
            let Some(value) = value.upgrade() else { return false };
            value.is_behind(*of != generation);
            true
        });
    }

    /// Forgets the generation of a value that was saved anew.
    fn forget_behind(&self, value: &Arc<Value>) {
        lock(&self.behind).retain(|(_, known)| !std::ptr::eq(known.as_ptr(), Arc::as_ptr(value)));
    }
}
