//! One value of [`Appended`](super::Appended): the file, and the number of its bytes that count.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, TryLockError, Weak};

use super::counts::{Counts, find, is_one_file, look, verify, without_detours};
use super::end::{COVERED, End};
use super::file::OpenFile;
use super::mark::{self, Marked};
use super::of_run::OfRun;
use super::stored::Stored;
use crate::base::warnings::{HeldGuard, warn};
use crate::error::{Error, OutputFault};
use crate::store::{Disk, Place, Process, RealDisk};

/// The content of an `Appended`. Saves and loads share it with the program.
#[derive(Debug)]
pub(crate) struct Value {
    inner: Mutex<Inner>,
    /// The path and the length, for a forked process that cannot have the rest.
    shown: Mutex<(PathBuf, u64)>,
    owner: Owner,
    /// The process that made the value.
    process: Process,
}

/// Lives as long as the `Appended` itself, and not as long as a save of it.
pub(super) type Owner = Weak<()>;

/// A value, and the proof that the program has it.
pub(super) type Owned = (Arc<Value>, Arc<()>);

#[derive(Clone, Debug)]
struct Inner {
    file: Whereabouts,
    length: u64,
    end: Ending,
    /// The run that may go on with the file; `None` for a value that a reader loaded, or that is of
    /// another run.
    run: Option<Arc<OfRun>>,
    /// The run that loaded a value whose file is left to another one.
    loaded_by: Option<Arc<OfRun>>,
    /// The number of cuts of the open file at which it had the bytes that count.
    since: u64,
    /// True if the value was loaded from a generation with newer ones behind it.
    is_behind: bool,
    /// True to keep what is cut off.
    keeps_cut: bool,
}

#[derive(Clone, Debug)]
enum Whereabouts {
    /// It was never opened; the program named it. Its clones share the file that one of them opens.
    Named(Place, Arc<dyn Disk>, Arc<Mutex<Weak<OpenFile>>>),
    /// It was loaded, and has this path.
    Loaded(Stored, PathBuf),
    Open(Arc<OpenFile>),
}

/// The age of the generation that a value was loaded from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Age {
    /// It is the newest that this run, or an earlier one, tried to save.
    Newest,
    /// There were newer ones, which are gone or damaged.
    Older,
    /// There are newer ones, which a load takes.
    Behind,
}

/// The end of the bytes that count.
#[derive(Clone, Debug)]
enum Ending {
    Known(End),
    Hashed(String),
}

impl Ending {
    fn hash(&self) -> String {
        match self {
            Ending::Known(end) => end.hash(),
            Ending::Hashed(hash) => hash.clone(),
        }
    }
}

/// A file that may be another one than a checkpoint counts on, with more bytes than that counts.
#[derive(Debug)]
pub(super) struct Doubt {
    pub(super) path: PathBuf,
    pub(super) counted: u64,
    length: u64,
    why: String,
}

impl Doubt {
    /// Warns that the rest of the file is cut off and kept.
    pub(super) fn tell(&self) {
        let Doubt { path, counted, length, why } = self;
        let path = path.display();
        warn(format!(
            "{path} has {length} bytes, of which the checkpoint counts on the first {counted}, and {why}: what is cut off is \
             kept in {path}.cut-at-{counted}"
        ));
    }
}

impl Value {
    pub(super) fn named(path: &Path, disk: Arc<dyn Disk>) -> Owned {
        Value::new(
            Whereabouts::Named(Place::of(path), disk, Arc::default()),
            0,
            Ending::Known(End::default()),
        )
    }

    pub(super) fn loaded(stored: Stored) -> Owned {
        let path = PathBuf::from(&stored.path);
        let (length, end) = (stored.length, Ending::Hashed(stored.end.clone()));
        Value::new(Whereabouts::Loaded(stored, path), length, end)
    }

    fn new(file: Whereabouts, length: u64, end: Ending) -> Owned {
        let (run, loaded_by, since, is_behind, keeps_cut) = (None, None, 0, false, false);
        let inner = Inner { file, length, end, run, loaded_by, since, is_behind, keeps_cut };
        Value::of(inner, Process::current())
    }

    fn of(inner: Inner, process: Process) -> Owned {
        let proof = Arc::new(());
        let shown = Mutex::new((inner.path(), inner.length));
        let (inner, owner) = (Mutex::new(inner), Arc::downgrade(&proof));
        (Arc::new(Value { inner, shown, owner, process }), proof)
    }

    /// Another value that counts the same bytes. It belongs to the same process.
    pub(super) fn copy(&self) -> Owned {
        let Some(inner) = self.inner_at_fork().map(|inner| inner.clone()) else {
            let ((path, length), end) = (self.shown(), Ending::Hashed(String::new()));
            let file = Whereabouts::Named(Place::of(&path), Arc::new(RealDisk::default()), Arc::default());
            let (run, loaded_by, since, is_behind, keeps_cut) = (None, None, 0, false, false);
            let inner = Inner { file, length, end, run, loaded_by, since, is_behind, keeps_cut };
            return Value::of(inner, self.process);
        };
        let behind = inner.run.clone().filter(|_| inner.is_behind && self.check_process().is_ok());
        let copied = Value::of(inner, self.process);
        if let Some(run) = behind {
            run.copy_behind(self, &copied.0);
        }
        copied
    }

    /// In a forked process, a thread of the parent may hold the lock for ever: this comes before
    /// it. Each write asks this, so the number of the process must do.
    fn check_process(&self) -> Result<(), Error> {
        if self.process.id() == std::process::id() {
            return Ok(());
        }
        let (path, counted) = self.shown();
        Err(Error::Output { path, counted, fault: OutputFault::OtherProcess })
    }

    /// What the program's own code may look at while it takes a warning is free by then.
    fn inner(&self) -> HeldGuard<'_, Inner> {
        HeldGuard::new(self.inner.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// The same, where a forked process can have it.
    fn inner_at_fork(&self) -> Option<HeldGuard<'_, Inner>> {
        self.process.lock(&self.inner).map(HeldGuard::new)
    }

    /// The last known path and length.
    fn shown(&self) -> (PathBuf, u64) {
        match self.shown.try_lock() {
            Ok(shown) => shown.clone(),
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner().clone(),
            Err(TryLockError::WouldBlock) => (PathBuf::from("the output"), 0),
        }
    }

    fn show(&self, inner: &Inner) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if shown.0 != inner.shown_path() {
            shown.0 = inner.path();
        }
        shown.1 = inner.length;
    }

    pub(super) fn path(&self) -> PathBuf {
        self.inner_at_fork().map_or_else(|| self.shown().0, |inner| inner.path())
    }

    pub(super) fn length(&self) -> u64 {
        self.inner_at_fork().map_or_else(|| self.shown().1, |inner| inner.length)
    }

    /// Creates the file of a value that was only named, so that a save knows it again. An error is
    /// one of the save, which looks once more.
    pub(super) fn create(&self) {
        if self.check_process().is_ok() {
            let mut inner = self.inner();
            if matches!(inner.file, Whereabouts::Named(..)) {
                let _ = inner.open();
            }
        }
    }

    /// The form in a checkpoint. `run` is the run that saves.
    pub(super) fn stored(&self, run: Option<&OfRun>) -> Result<Stored, String> {
        let Some(inner) = self.inner_at_fork() else {
            return Err("this process was forked while its parent used the output".to_owned());
        };
        let path = match &inner.file {
            Whereabouts::Named(place, ..) => place.absolute().map_err(|error| error.to_string())?,
            Whereabouts::Open(file) => file.path().to_owned(),
            Whereabouts::Loaded(stored, _) if run.is_none() => return Ok(stored.clone()),
            Whereabouts::Loaded(_, path) => path.clone(),
        };
        let (path, run) = match run {
            Some(run) => (run.stored(&path), run.stored_directory()),
            None => (path.as_path(), String::new()),
        };
        let path = path.to_str().ok_or_else(|| {
            format!("the path {} is not UTF-8, so no checkpoint can have it: rename the file", path.display())
        })?;
        let Counts { length, end, inode } = inner.counts();
        Ok(Stored { path: path.to_owned(), run, length, end, inode })
    }

    /// The open file, if there is one, and the number of its cuts at which it had the bytes that
    /// count.
    pub(super) fn open_file(&self) -> Option<(Arc<OpenFile>, u64)> {
        let inner = self.inner_at_fork()?;
        match &inner.file {
            Whereabouts::Open(file) => Some((Arc::clone(file), inner.since)),
            _ => None,
        }
    }

    /// Notes the run that has saved the value, where that of a value without an open file has
    /// ended.
    pub(super) fn goes_on_in(&self, run: &Arc<OfRun>) {
        let Some(mut inner) = self.inner_at_fork() else { return };
        let is_over = inner.run.as_ref().is_some_and(|of| of.is_over() && of.is_same(run));
        if is_over && matches!(inner.file, Whereabouts::Loaded(..)) {
            // An earlier checkpoint may count on more.
            (inner.run, inner.keeps_cut) = (Some(Arc::clone(run)), true);
        }
    }

    /// Notes the run that loaded the value from another directory, where its file stays.
    pub(super) fn is_left_by(&self, run: &Arc<OfRun>) {
        self.inner().loaded_by = Some(Arc::clone(run));
    }

    /// Notes the run that saves the value. Returns false if it grows with that of another
    /// directory, whose next load would cut what this one counts on.
    pub(super) fn belongs_to(&self, run: &Arc<OfRun>) -> bool {
        let Some(mut inner) = self.inner_at_fork() else { return true };
        inner.keeps_cut |= run.keeps_cut();
        match &inner.run {
            Some(of) => !of.is_apart_from(run),
            None => {
                if !matches!(inner.file, Whereabouts::Loaded(..)) {
                    inner.run = Some(Arc::clone(run));
                }
                true
            }
        }
    }

    /// Finds the file of a value that was loaded: `directory` holds the checkpoint directory.
    pub(super) fn resolve(&self, directory: Option<&Path>) {
        let mut inner = self.inner();
        if let Whereabouts::Loaded(stored, path) = &mut inner.file
            && let Some(directory) = directory
        {
            *path = directory.join(&stored.path);
        }
        self.show(&inner);
    }

    /// Checks the file of a value that was loaded by its run, which may go on with it from now on.
    /// A file that grows with the run of another directory is left to that one. Returns the doubt
    /// about what may be cut off, which the user is to hear of unless another value counts on more.
    pub(super) fn give_to(&self, run: &Arc<OfRun>, age: Age) -> Result<Option<Doubt>, Error> {
        self.resolve(run.directory());
        let mut inner = self.inner();
        let counts = inner.counts();
        let Whereabouts::Loaded(stored, path) = &mut inner.file else { return Ok(None) };
        if let Some(theirs) = run.of_original(stored, path) {
            *path = theirs;
            inner.loaded_by = Some(Arc::clone(run));
            self.show(&inner);
            return Ok(None);
        }
        let is_elsewhere = run.is_elsewhere(&stored.run);
        let is_behind = age == Age::Behind;
        let (mut marked, mut doubt) = (Marked::Not, None);
        if counts.length > 0 || run.disk().exists(path) {
            match find(&**run.disk(), path, &counts) {
                Ok(file) => {
                    marked = run.marked(&*file);
                    // Many tables begin with the same line, and every file begins with no byte at
                    // all.
                    let is_doubtful = matches!(marked, Marked::Gone(_))
                        || (!counts.is_known(&*file) && counts.length < COVERED as u64);
                    if is_doubtful {
                        doubt = file.length().ok().filter(|length| *length > counts.length);
                    }
                }
                Err(_) if is_behind => {}
                Err(error) => return Err(error),
            }
        }
        if let Marked::Other(other) = &marked
            && run.is_of(other, stored, path)
        {
            inner.loaded_by = Some(Arc::clone(run));
            return Ok(None);
        }
        // A directory that moved may be a copy, whose original counts on more.
        let is_copy = is_elsewhere && marked != Marked::Ours;
        let (path, counted) = (path.clone(), counts.length);
        inner.keeps_cut = run.keeps_cut() || age != Age::Newest || is_copy || doubt.is_some();
        (inner.run, inner.is_behind) = (Some(Arc::clone(run)), is_behind);
        drop(inner);
        let doubt = doubt.filter(|_| !is_behind);
        Ok(doubt.map(|length| {
            let why = match marked {
                Marked::Gone(other) => format!(
                    "it last grew with the run in {}, which this directory may be a copy of",
                    other.display()
                ),
                _ => "it may be another file than the one that was saved".to_owned(),
            };
            Doubt { path, counted, length, why }
        }))
    }

    /// The path and the count of a value that its run loaded.
    pub(super) fn of_run(&self) -> Option<(PathBuf, u64)> {
        let inner = self.inner();
        match (&inner.file, &inner.run) {
            (Whereabouts::Loaded(_, path), Some(_)) => Some((path.clone(), inner.length)),
            _ => None,
        }
    }

    /// Opens the file of a value that its run loaded, and cuts it, unless a value of this program
    /// has it open: that one may still append. Another value of the state may count more bytes of
    /// the file: then it is left to that one.
    pub(super) fn open_after_load(&self) -> Result<(), Error> {
        let mut inner = self.inner();
        let (Whereabouts::Loaded(_, path), Some(run), false) = (&inner.file, &inner.run, inner.is_behind)
        else {
            return Ok(());
        };
        if run.open_at(path).is_some() || inner.is_below_promise() {
            return Ok(());
        }
        inner.open().map(drop)
    }

    /// Notes if there are newer generations than that of the value: then it is not written to.
    pub(super) fn is_behind(&self, is_behind: bool) {
        self.inner().is_behind = is_behind;
    }

    /// The newest checkpoint has this value now: the file goes back to it, unless another value
    /// appends.
    pub(super) fn was_saved(&self) -> Result<(), Error> {
        let mut inner = self.inner();
        inner.is_behind = false;
        if self.owner.strong_count() == 0 || inner.is_below_promise() || inner.may_not_open() {
            return Ok(());
        }
        let file = match &inner.file {
            Whereabouts::Loaded(_, path)
                if inner.run.as_ref().is_some_and(|run| run.open_at(path).is_some()) =>
            {
                return Ok(());
            }
            // It has no file yet.
            Whereabouts::Named(..) => return Ok(()),
            _ => inner.open()?,
        };
        match &inner.end {
            Ending::Known(end) => file.go_back(&self.owner, (inner.length, end), inner.keeps_cut),
            Ending::Hashed(_) => Ok(()),
        }
    }

    pub(super) fn append(&self, bytes: &[u8]) -> Result<(), Error> {
        self.check_process()?;
        let mut inner = self.inner();
        if inner.is_behind {
            return Err(inner.fault(OutputFault::NotNewest));
        }
        let file = inner.open()?;
        let Inner { length, end, since, keeps_cut, .. } = &mut *inner;
        if let Ending::Known(end) = end {
            *since = file.append(&self.owner, (*length, end), bytes, *keeps_cut)?;
            end.push(bytes);
            *length += bytes.len() as u64;
        }
        self.show(&inner);
        Ok(())
    }

    pub(super) fn flush(&self) -> Result<(), Error> {
        self.check_process()?;
        let inner = self.inner();
        if let Whereabouts::Open(file) = &inner.file { file.flush(inner.length) } else { Ok(()) }
    }

    /// Makes the file fit for a checkpoint that counts this many bytes of it: the file that the
    /// value has open, with the number of cuts at which it had them. Cuts no file: the checkpoint
    /// may not come to be.
    pub(super) fn sync(
        &self,
        file: Option<(&Arc<OpenFile>, u64)>,
        counted: u64,
        durable: bool,
    ) -> Result<Option<Arc<OpenFile>>, Error> {
        let (file, since) = match file {
            Some((file, since)) => (Arc::clone(file), since),
            None => {
                let mut inner = self.inner();
                if matches!(inner.file, Whereabouts::Loaded(..)) {
                    let run = inner.run.clone().ok_or_else(|| inner.fault(OutputFault::OtherRun))?;
                    let path = inner.path();
                    // A value that counts no byte counts on no file.
                    if inner.length > 0 {
                        let found = find(&**run.disk(), &path, &inner.counts())?;
                        // An earlier run may not have synced it.
                        if durable {
                            found.sync().map_err(|source| Error::writing("sync", &path, source))?;
                        }
                    }
                    return Ok(None);
                }
                match inner.open() {
                    // A copy that was made before the first write, for example: it counts no byte.
                    Err(Error::Output { fault: OutputFault::InUse, .. }) if counted == 0 => return Ok(None),
                    file => (file?, inner.since),
                }
            }
        };
        file.sync(counted, since, durable)?;
        Ok(Some(file))
    }

    /// Goes on in another file.
    pub(super) fn continue_in(&self, path: &Path) -> Result<(), Error> {
        self.check_process()?;
        let path = without_detours(&Place::of(path).absolute()?);
        let mut inner = self.inner();
        let is_ours = inner.run.is_some() || !matches!(inner.file, Whereabouts::Loaded(..));
        if inner.path() == path && is_ours {
            return Ok(());
        }
        let disk: Arc<dyn Disk> = inner
            .run
            .as_ref()
            .map_or_else(|| Arc::new(RealDisk::default()) as _, |run| Arc::clone(run.disk()));
        let is_named = matches!(inner.file, Whereabouts::Named(..));
        if !is_named && is_one_file(&*disk, &inner.path(), &path) {
            // Another run counts on the file, or it is the present file by another path.
            return if is_ours { Ok(()) } else { Err(inner.fault(OutputFault::OtherRun)) };
        }
        if let Whereabouts::Named(place, _, opened) = &mut inner.file {
            (*place, *opened) = (Place::of(&path), Arc::default());
            self.show(&inner);
            return Ok(());
        }
        if let Whereabouts::Open(file) = &inner.file {
            file.flush_to_read(inner.length)?;
        }
        let counts = inner.counts();
        let found = if inner.length > 0 { look(&*disk, &path, &counts).ok() } else { None };
        let (file, end) = if let Some(found) = found {
            let ours = inner.run.as_ref().or(inner.loaded_by.as_ref());
            let marked = ours.map_or_else(|| mark::of_any(&*disk, &*found), |run| run.marked(&*found));
            let fault = match marked {
                Marked::Other(_) => Some(OutputFault::OtherRun),
                // Its newest checkpoint counts on more.
                Marked::Ours if inner.is_behind => Some(OutputFault::NotNewest),
                Marked::Ours if ours.is_some_and(|run| run.is_over()) => Some(OutputFault::RunEnded),
                _ if ours.is_some_and(|run| inner.length < run.promised(&path)) => {
                    Some(OutputFault::NotNewest)
                }
                _ => None,
            };
            if let Some(fault) = fault {
                return Err(Error::Output { path, counted: inner.length, fault });
            }
            // It may be the file of another run all the same, so what is cut is kept.
            OpenFile::go_on(disk, &path, &counts, true)?
        } else {
            let source = find(&*disk, &inner.path(), &counts)?;
            let file = OpenFile::create(disk, &path)?;
            file.copy_from(&*source, &inner.path(), counts.length)?;
            let end = verify(&*source, &path, &counts)?;
            (file, end)
        };
        inner.since = file.cuts();
        (inner.file, inner.end, inner.is_behind) = (Whereabouts::Open(file), Ending::Known(end), false);
        self.show(&inner);
        Ok(())
    }
}

impl Inner {
    fn path(&self) -> PathBuf {
        self.shown_path().to_owned()
    }

    fn shown_path(&self) -> &Path {
        match &self.file {
            Whereabouts::Named(place, ..) => place.shown(),
            Whereabouts::Loaded(_, path) => path,
            Whereabouts::Open(file) => file.path(),
        }
    }

    fn counts(&self) -> Counts {
        let inode = match &self.file {
            Whereabouts::Named(..) => 0,
            Whereabouts::Open(file) => file.inode(),
            Whereabouts::Loaded(stored, _) => stored.inode,
        };
        Counts { length: self.length, end: self.end.hash(), inode }
    }

    fn fault(&self, fault: OutputFault) -> Error {
        Error::Output { path: self.path(), counted: self.length, fault }
    }

    /// True if the file is not open for this value, and a checkpoint counts on more of its bytes.
    fn is_below_promise(&self) -> bool {
        match (&self.file, &self.run) {
            (Whereabouts::Loaded(_, path), Some(run)) => self.length < run.promised(path),
            _ => false,
        }
    }

    /// True if the file is not open, and the run that may open it has ended.
    fn may_not_open(&self) -> bool {
        matches!(self.file, Whereabouts::Loaded(..)) && self.run.as_ref().is_some_and(|run| run.is_over())
    }

    /// Opens the file, where it is not open. The value does not append by that.
    fn open(&mut self) -> Result<Arc<OpenFile>, Error> {
        let (file, since, end) = match (&self.file, &self.run) {
            (Whereabouts::Open(file), _) => return Ok(Arc::clone(file)),
            (Whereabouts::Named(place, disk, opened), _) => {
                // Of two clones in two threads, one creates the file.
                let mut opened = opened.lock().unwrap_or_else(PoisonError::into_inner);
                let file = match opened.upgrade() {
                    Some(file) => file,
                    None => {
                        let path = without_detours(&place.absolute()?);
                        let file = OpenFile::create(Arc::clone(disk), &path)?;
                        *opened = Arc::downgrade(&file);
                        file
                    }
                };
                drop(opened);
                let since = file.cuts();
                (file, since, End::default())
            }
            (Whereabouts::Loaded(..), None) => return Err(self.fault(OutputFault::OtherRun)),
            (Whereabouts::Loaded(_, path), Some(run)) => {
                if let Some(file) = run.open_at(path) {
                    // A cut that comes meanwhile counts as a later one.
                    let since = file.cuts();
                    let end = verify(&*file.content(), path, &self.counts())?;
                    (file, since, end)
                } else if run.is_over() {
                    return Err(self.fault(OutputFault::RunEnded));
                } else if self.is_below_promise() {
                    return Err(self.fault(OutputFault::NotNewest));
                } else {
                    let counts = self.counts();
                    let disk = Arc::clone(run.disk());
                    let (file, end) = OpenFile::go_on(disk, path, &counts, self.keeps_cut)?;
                    let since = file.cuts();
                    (file, since, end)
                }
            }
        };
        if let Some(run) = &self.run {
            run.note(&file);
        }
        (self.file, self.end) = (Whereabouts::Open(Arc::clone(&file)), Ending::Known(end));
        self.since = since;
        Ok(file)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::store::faults::FaultyDisk;

    #[test]
    fn of_clones_in_two_threads_one_creates_the_file() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.csv");
        let disk = FaultyDisk::default();
        let (value, _owner) = Value::named(&path, Arc::new(disk.clone()));
        let (copy, _of_copy) = value.copy();
        let create = |value: &Value| {
            value.create();
            value.open_file().map(|(file, _)| file)
        };
        std::thread::scope(|scope| {
            let held = disk.hold();
            let one = scope.spawn(|| create(&value));
            while !path.exists() {
                std::thread::yield_now();
            }
            let other = scope.spawn(|| create(&copy));
            // The thread has time to make the mistake.
            std::thread::sleep(Duration::from_millis(50));
            drop(held);
            let [one, other] = [one, other].map(|thread| thread.join().unwrap());
            assert!(Arc::ptr_eq(&one.unwrap(), &other.unwrap()));
        });
    }

    #[test]
    fn a_new_file_that_another_program_has_at_once_is_in_use() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.csv");
        let disk = FaultyDisk::default();
        disk.take_new_files(true);
        let (value, _owner) = Value::named(&path, Arc::new(disk.clone()));
        let error = value.append(b"one").unwrap_err();
        assert!(matches!(error, Error::Output { fault: OutputFault::InUse, .. }), "{error}");
        disk.take_new_files(false);
        value.append(b"one").unwrap();
        assert_eq!(value.length(), 3);
    }

    #[test]
    fn a_forked_process_waits_for_no_thread_of_its_parent() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("a.csv");
        let (mut value, _owner) = Value::named(&path, Arc::new(RealDisk::default()));
        value.append(b"four").unwrap();
        Arc::get_mut(&mut value).unwrap().process = Process::another();
        // A thread of the parent has the content, for ever.
        let held = value.inner();
        assert_eq!((value.path(), value.length()), (path.clone(), 4));
        let (copy, _owner) = value.copy();
        assert_eq!((copy.path(), copy.length()), (path.clone(), 4));
        assert!(value.stored(None).is_err());
        assert!(value.open_file().is_none());
        for value in [&value, &copy] {
            let Error::Output { path: found, counted, fault } = value.append(b"x").unwrap_err() else {
                panic!("another error");
            };
            assert_eq!((found, counted, fault), (path.clone(), 4, OutputFault::OtherProcess));
            value.flush().unwrap_err();
            value.continue_in(Path::new("/other")).unwrap_err();
        }
        drop(held);
        assert_eq!(value.stored(None).unwrap().length, 4);
    }
}
