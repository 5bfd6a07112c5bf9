//! One value of [`Appended`](super::Appended): the file, and the number of its bytes that count.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};

use super::counts::{Counts, is_one_file, look, verify};
use super::end::End;
use super::file::OpenFile;
use super::of_run::OfRun;
use super::stored::Stored;
use crate::error::{Error, OutputFault};
use crate::store::{Disk, Place, Process, RealDisk};

/// The content of an `Appended`. Saves and loads share it with the program.
#[derive(Debug)]
pub(crate) struct Value {
    inner: Mutex<Inner>,
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
    /// True if the value was loaded from a generation with newer ones behind it.
    is_behind: bool,
    /// True to keep what is cut off.
    keeps_cut: bool,
}

#[derive(Clone, Debug)]
enum Whereabouts {
    /// It was never opened; the program named it.
    Named(Place, Arc<dyn Disk>),
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

impl Value {
    pub(super) fn named(path: &Path, disk: Arc<dyn Disk>) -> Owned {
        Value::new(Whereabouts::Named(Place::of(path), disk), 0, Ending::Known(End::default()))
    }

    pub(super) fn loaded(stored: Stored) -> Owned {
        let path = PathBuf::from(&stored.path);
        let (length, end) = (stored.length, Ending::Hashed(stored.end.clone()));
        Value::new(Whereabouts::Loaded(stored, path), length, end)
    }

    fn new(file: Whereabouts, length: u64, end: Ending) -> Owned {
        let (run, is_behind, keeps_cut) = (None, false, false);
        Value::of(Inner { file, length, end, run, is_behind, keeps_cut })
    }

    fn of(inner: Inner) -> Owned {
        let proof = Arc::new(());
        let (inner, owner, process) = (Mutex::new(inner), Arc::downgrade(&proof), Process::current());
        (Arc::new(Value { inner, owner, process }), proof)
    }

    /// Another value that counts the same bytes.
    pub(super) fn copy(&self) -> Owned {
        let inner = self.inner().clone();
        let behind = inner.run.clone().filter(|_| inner.is_behind);
        let copied = Value::of(inner);
        if let Some(run) = behind {
            run.copy_behind(self, &copied.0);
        }
        copied
    }

    /// In a forked process, a thread of the parent may hold the lock for ever: this comes before it.
    /// Each write asks this, so the number of the process must do.
    fn check_process(&self) -> Result<(), Error> {
        if self.process.id() == std::process::id() {
            return Ok(());
        }
        let (path, counted) = (PathBuf::from("the output"), 0);
        Err(Error::Output { path, counted, fault: OutputFault::OtherProcess })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn path(&self) -> PathBuf {
        self.inner().path()
    }

    pub(super) fn length(&self) -> u64 {
        self.inner().length
    }

    /// The form in a checkpoint. `run` is the run that saves.
    pub(super) fn stored(&self, run: Option<&OfRun>) -> Result<Stored, String> {
        let inner = self.inner();
        let path = match &inner.file {
            Whereabouts::Named(place, _) => place.absolute().map_err(|error| error.to_string())?,
            Whereabouts::Open(file) => file.path().to_owned(),
            Whereabouts::Loaded(stored, _) if run.is_none() => return Ok(stored.clone()),
            Whereabouts::Loaded(_, path) => path.clone(),
        };
        let (path, run) = match run {
            Some(run) => (run.stored(&path), run.stored_name(&path)),
            None => (path.as_path(), String::new()),
        };
        let path = path.to_str().ok_or_else(|| {
            format!("the path {} is not UTF-8, so no checkpoint can have it: rename the file", path.display())
        })?;
        Ok(Stored { path: path.to_owned(), run, length: inner.length, end: inner.end.hash() })
    }

    /// The open file, if there is one.
    pub(super) fn open_file(&self) -> Option<Arc<OpenFile>> {
        match &self.inner().file {
            Whereabouts::Open(file) => Some(Arc::clone(file)),
            _ => None,
        }
    }

    /// Notes the run that saves the value.
    pub(super) fn belongs_to(&self, run: &Arc<OfRun>) {
        let mut inner = self.inner();
        if inner.run.is_none() && !matches!(inner.file, Whereabouts::Loaded(..)) {
            inner.run = Some(Arc::clone(run));
        }
        inner.keeps_cut |= run.keeps_cut();
    }

    /// Finds the file of a value that was loaded: `directory` holds the checkpoint directory.
    pub(super) fn resolve(&self, directory: Option<&Path>) {
        if let Whereabouts::Loaded(stored, path) = &mut self.inner().file
            && let Some(directory) = directory
        {
            *path = directory.join(&stored.path);
        }
    }

    /// Checks the file of a value that was loaded by its run, which may go on with it from now on.
    pub(super) fn give_to(&self, run: &Arc<OfRun>, age: Age) -> Result<(), Error> {
        self.resolve(run.directory());
        let mut inner = self.inner();
        let Whereabouts::Loaded(stored, path) = &inner.file else { return Ok(()) };
        if run.is_other(&stored.run) {
            return Ok(());
        }
        let is_behind = age == Age::Behind;
        if !is_behind && (inner.length > 0 || run.disk().exists(path)) {
            look(&**run.disk(), path, &inner.counts())?;
        }
        // A directory that moved may be a copy, whose original counts on more.
        inner.keeps_cut = run.keeps_cut() || age != Age::Newest || run.is_elsewhere(&stored.run);
        (inner.run, inner.is_behind) = (Some(Arc::clone(run)), is_behind);
        Ok(())
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
        inner.open(&self.owner).map(drop)
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
        if self.owner.strong_count() == 0 || inner.is_below_promise() {
            return Ok(());
        }
        let file = match &inner.file {
            Whereabouts::Loaded(_, path)
                if inner.run.as_ref().is_some_and(|run| run.open_at(path).is_some()) =>
            {
                return Ok(());
            }
            _ => inner.open(&self.owner)?,
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
        let file = inner.open(&self.owner)?;
        let Inner { length, end, keeps_cut, .. } = &mut *inner;
        if let Ending::Known(end) = end {
            file.append(&self.owner, (*length, end), bytes, *keeps_cut)?;
            end.push(bytes);
            *length += bytes.len() as u64;
        }
        Ok(())
    }

    pub(super) fn flush(&self) -> Result<(), Error> {
        self.check_process()?;
        let inner = self.inner();
        if let Whereabouts::Open(file) = &inner.file { file.flush(inner.length) } else { Ok(()) }
    }

    /// Makes the file fit for a checkpoint that counts this many bytes of it.
    pub(super) fn sync(
        &self,
        file: Option<&Arc<OpenFile>>,
        counted: u64,
        durable: bool,
    ) -> Result<Option<Arc<OpenFile>>, Error> {
        let file = match file {
            Some(file) => Arc::clone(file),
            None => {
                let mut inner = self.inner();
                if inner.is_behind || inner.is_below_promise() {
                    let run = inner.run.clone().ok_or_else(|| inner.fault(OutputFault::OtherRun))?;
                    look(&**run.disk(), &inner.path(), &inner.counts())?;
                    return Ok(None);
                }
                inner.open(&self.owner)?
            }
        };
        file.sync(counted, durable)?;
        Ok(Some(file))
    }

    /// Goes on in another file.
    pub(super) fn continue_in(&self, path: &Path) -> Result<(), Error> {
        self.check_process()?;
        let path = Place::of(path).absolute()?;
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
        if let Whereabouts::Named(place, _) = &mut inner.file {
            *place = Place::of(&path);
            return Ok(());
        }
        if let Whereabouts::Open(file) = &inner.file {
            file.flush(inner.length)?;
        }
        let counts = inner.counts();
        let (file, end) = if inner.length > 0 && look(&*disk, &path, &counts).is_ok() {
            // It may be the file of another run, so what is cut is kept.
            OpenFile::go_on(disk, &path, &counts, true, &self.owner)?
        } else {
            let source = look(&*disk, &inner.path(), &counts)?;
            let file = OpenFile::create(disk, &path, &self.owner)?;
            file.copy_from(&*source, &inner.path(), counts.length)?;
            let end = verify(&*source, &path, &counts)?;
            (file, end)
        };
        (inner.file, inner.end, inner.is_behind) = (Whereabouts::Open(file), Ending::Known(end), false);
        Ok(())
    }
}

impl Inner {
    fn path(&self) -> PathBuf {
        match &self.file {
            Whereabouts::Named(place, _) => place.shown().to_owned(),
            Whereabouts::Loaded(_, path) => path.clone(),
            Whereabouts::Open(file) => file.path().to_owned(),
        }
    }

    fn counts(&self) -> Counts {
        Counts { length: self.length, end: self.end.hash() }
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

    /// Opens the file, where it is not open.
    fn open(&mut self, value: &Owner) -> Result<Arc<OpenFile>, Error> {
        let (file, end) = match (&self.file, &self.run) {
            (Whereabouts::Open(file), _) => return Ok(Arc::clone(file)),
            (Whereabouts::Named(place, disk), _) => {
                (OpenFile::create(Arc::clone(disk), &place.absolute()?, value)?, End::default())
            }
            (Whereabouts::Loaded(..), None) => return Err(self.fault(OutputFault::OtherRun)),
            (Whereabouts::Loaded(_, path), Some(run)) => {
                if let Some(file) = run.open_at(path) {
                    let file_end = verify(file.content(), path, &self.counts())?;
                    (file, file_end)
                } else if self.is_below_promise() {
                    return Err(self.fault(OutputFault::NotNewest));
                } else {
                    let counts = self.counts();
                    OpenFile::go_on(Arc::clone(run.disk()), path, &counts, self.keeps_cut, value)?
                }
            }
        };
        if let Some(run) = &self.run {
            run.note(&file);
        }
        (self.file, self.end) = (Whereabouts::Open(Arc::clone(&file)), Ending::Known(end));
        Ok(file)
    }
}
