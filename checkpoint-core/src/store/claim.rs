//! The right to write a directory: its lock, which this process has, and no other.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use super::disk::{Disk, Lock, Locking};
use super::name;
use super::process::Process;
use crate::base::host;
use crate::base::warnings::warn;
use crate::error::Error;

/// How often a lock is asked for that another program has, and how long between: it may only be looking.
const ATTEMPTS: u32 = 4;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(5);

/// The longest time between two attempts, where the caller is willing to wait.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// How often the lock file gets the present time.
const TOUCH_EVERY: Duration = Duration::from_secs(60);

/// How a directory is claimed.
#[derive(Clone, Debug, Default)]
pub(crate) struct Claiming {
    /// Whether the names of new directories are made durable.
    pub(crate) durable: bool,
    /// How long to wait for a program that has the lock.
    pub(crate) wait: Duration,
    /// Whether a file system without locks will do.
    pub(crate) without_lock: bool,
    /// The claim on a directory around this one; of nothing where there is none.
    pub(crate) within: Weak<Claim>,
}

/// A directory that is this process's to write, until dropped.
#[derive(Debug)]
pub(crate) struct Claim {
    path: PathBuf,
    lock: Box<dyn Lock>,
    process: Process,
    within: Weak<Claim>,
    touched: Mutex<Instant>,
}

impl Claim {
    /// Creates a directory where it is absent, and takes its lock.
    pub(crate) fn take(disk: &dyn Disk, path: &Path, claiming: &Claiming) -> Result<Arc<Claim>, Error> {
        let Claiming { durable, wait, without_lock, within } = claiming;
        if let Some(within) = within.upgrade() {
            within.check()?;
        }
        create(disk, path, *durable)?;
        let lock = lock(disk, path, *wait, *without_lock)?;
        Ok(Arc::new(Claim {
            path: path.to_owned(),
            lock,
            process: Process::current(),
            within: Weak::clone(within),
            touched: Mutex::new(Instant::now()),
        }))
    }

    /// Makes sure that the path still leads to the directory that was claimed, and not to another one in its place.
    pub(crate) fn check_place(&self) -> Result<(), Error> {
        if let Some(within) = self.within.upgrade() {
            within.check_place()?;
        }
        // In a forked process a thread of the parent may hold the lock's own mutex for ever.
        let stands = if self.has_process_number() { self.lock.stands() } else { self.lock.is_in_place() };
        if stands {
            return Ok(());
        }
        Err(Error::DirectoryReplaced { path: self.path.clone() })
    }

    /// Makes sure of that, and that this is the process that claimed it, before anything is written.
    pub(crate) fn check(&self) -> Result<(), Error> {
        self.check_process()?;
        self.check_place()
    }

    /// Makes sure that this is the process that claimed it, and not one that was forked from it.
    pub(crate) fn check_process(&self) -> Result<(), Error> {
        if self.is_of_this_process() {
            return Ok(());
        }
        Err(Error::OtherProcess { path: self.path.clone(), process: self.process.id() })
    }

    /// Whether this is the process that claimed it, and not one that was forked from it.
    pub(crate) fn is_of_this_process(&self) -> bool {
        self.process.is_current()
    }

    /// The process that claimed it.
    pub(super) fn process(&self) -> Process {
        self.process
    }

    /// The same as far as the number of the process tells.
    pub(crate) fn has_process_number(&self) -> bool {
        self.process.id() == std::process::id()
    }

    /// A sign of life: now and then the lock file gets the present time, and is made again where it is gone.
    pub(crate) fn touch(&self) {
        if !self.has_process_number() {
            return;
        }
        let mut touched = self.touched.lock().unwrap_or_else(PoisonError::into_inner);
        if touched.elapsed() < TOUCH_EVERY || !self.is_of_this_process() {
            return;
        }
        *touched = Instant::now();
        drop(touched);
        if self.lock.stands() {
            self.lock.touch();
        }
        if let Some(within) = self.within.upgrade() {
            within.touch();
        }
    }
}

/// Takes the lock of a directory, and waits for it so long.
fn lock(disk: &dyn Disk, path: &Path, wait: Duration, without_lock: bool) -> Result<Box<dyn Lock>, Error> {
    let us = Holder::current().text();
    let begun = Instant::now();
    let mut pause = BETWEEN_ATTEMPTS;
    for attempt in 1_u32.. {
        let holder = match disk.lock(path, &us) {
            Ok(Locking::Taken(lock)) => return Ok(lock),
            Ok(Locking::Held(holder)) => holder,
            Ok(Locking::Unsupported(_, lock)) if without_lock => {
                warn(format!(
                    "{} is not locked: its file system has no locks, and the program goes on without; see to it that no \
                     other program saves there",
                    path.display()
                ));
                return Ok(lock);
            }
            Ok(Locking::Unsupported(source, _)) => {
                return Err(Error::NoLocks { path: path.to_owned(), source });
            }
            Err(source) => return Err(Error::writing("lock", &path.join(name::LOCK), source)),
        };
        if attempt >= ATTEMPTS {
            let waited = begun.elapsed();
            if waited >= wait {
                return Err(Error::InUse { path: path.to_owned(), holder: told(&holder, path) });
            }
            if attempt == ATTEMPTS {
                let (holder, path) = (told(&holder, path), path.display());
                warn(format!("waiting, at most {wait:?}, for {holder}, which has {path} open"));
            }
            pause = (2 * pause).min(LONGEST_PAUSE).min(wait - waited);
        }
        std::thread::sleep(pause);
    }
    Err(Error::InUse { path: path.to_owned(), holder: String::new() })
}

/// What a program leaves in the lock file.
#[derive(Debug, Serialize, Deserialize)]
struct Holder {
    process: u32,
    host: String,
}

impl Holder {
    /// This process.
    fn current() -> Holder {
        Holder { process: std::process::id(), host: host::name() }
    }

    /// As it is in the lock file.
    fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }

    /// Whether it is a process of this machine that has ended.
    fn has_ended(&self) -> bool {
        #[cfg(unix)]
        {
            use rustix::process::{Pid, test_kill_process};
            if self.host != host::name() {
                return false;
            }
            let process = self.process.try_into().ok().and_then(Pid::from_raw);
            process.is_some_and(|process| test_kill_process(process) == Err(rustix::io::Errno::SRCH))
        }
        #[cfg(not(unix))]
        false
    }
}

/// What a user is told of the program that has a lock: what that program left in the lock file and, where it has ended,
/// who must have the lock now. What is not understood is told as it is.
pub(super) fn told(holder: &str, directory: &Path) -> String {
    let Ok(holder) = serde_json::from_str::<Holder>(holder) else { return holder.trim().to_owned() };
    let name = format!("process {} on {}", holder.process, holder.host);
    match holder.has_ended() {
        true => format!(
            "{name}, which has ended: a process that it forked still runs and has the lock (`fuser {}` names it)",
            directory.join(name::LOCK).display()
        ),
        false => name,
    }
}

/// Creates a directory and those above it.
///
/// Before a name is created in a directory, that directory's own name is made durable. So whenever this is cut
/// short, at most the deepest directory that exists may be unknown to the disk, and that one is synced at the next
/// start, which is why this does so even where nothing is to be created.
fn create(disk: &dyn Disk, path: &Path, durable: bool) -> Result<(), Error> {
    let mut missing = Vec::new();
    let mut deepest = path;
    while !deepest.as_os_str().is_empty() && disk.is_directory(deepest).is_none() {
        if let Some(error) = dangling(deepest) {
            return Err(error);
        }
        missing.push(deepest);
        match deepest.parent() {
            Some(parent) => deepest = parent,
            None => break,
        }
    }
    if !deepest.as_os_str().is_empty() && disk.is_directory(deepest) != Some(true) {
        return Err(Error::NotADirectory { path: deepest.to_owned() });
    }
    let mut unsynced = deepest;
    for directory in missing.into_iter().rev() {
        sync_name_of(disk, unsynced, durable)?;
        disk.create_directory(directory).map_err(|source| Error::writing("create", directory, source))?;
        unsynced = directory;
    }
    sync_name_of(disk, unsynced, durable)
}

/// The error where a path is a symbolic link that leads to nothing.
pub(super) fn dangling(path: &Path) -> Option<Error> {
    let target = std::fs::read_link(path).ok()?;
    std::fs::metadata(path).is_err().then(|| Error::DanglingLink { path: path.to_owned(), target })
}

/// Makes the name of a directory durable, by a sync of the one that it is in.
fn sync_name_of(disk: &dyn Disk, directory: &Path, durable: bool) -> Result<(), Error> {
    let Some(parent) = directory.parent().filter(|_| durable) else { return Ok(()) };
    match disk.sync_directory(parent) {
        // A directory that we may not even open is not one that we created a name in.
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Ok(()),
        result => result.map_err(|source| Error::writing("sync", parent, source)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_holder_that_has_ended_is_told_from_one_that_runs() {
        let told = |holder: &str| told(holder, Path::new("/run.ckpt"));
        let here = |process: u32| Holder { process, ..Holder::current() }.text();
        let this = std::process::id();
        assert_eq!(told(&here(this)), format!("process {this} on {}", host::name()));
        // No process has the greatest number that there can be.
        let gone = told(&here(u32::MAX / 2));
        assert_eq!(gone.contains("has ended"), cfg!(unix), "{gone}");
        let elsewhere = Holder { process: u32::MAX / 2, host: "another machine".to_owned() };
        assert_eq!(told(&elsewhere.text()), format!("process {} on another machine", u32::MAX / 2));
        for other in ["", "process 1", "{\"process\":-1}", "a program that has locked the directory itself"] {
            assert_eq!(told(other), other);
        }
    }

    #[cfg(unix)]
    #[test]
    fn a_file_system_without_locks_is_refused_and_used_where_the_caller_says_so() {
        use crate::Checkpointer;
        use crate::store::RealDisk;

        let directory = tempfile::tempdir().unwrap();
        let builder =
            || Checkpointer::<u64>::builder(directory.path()).disk(Arc::new(RealDisk::without_locks()));
        let error = builder().open().unwrap_err();
        assert!(matches!(error, Error::NoLocks { .. }), "{error:?}");
        assert!(error.to_string().contains("require_lock(false)"), "{error}");
        let mut checkpoints = builder().require_lock(false).open().unwrap();
        checkpoints.save(&7).unwrap();
        checkpoints.pin(1).unwrap();
        for state in 8..=10 {
            checkpoints.save(&state).unwrap();
        }
        assert_eq!(checkpoints.generations().unwrap(), [1, 3, 4]);
        assert_eq!(checkpoints.load().unwrap(), Some(10));
    }

    #[test]
    fn a_machine_without_memory_for_a_buffer_gets_an_error_and_goes_on_later() {
        use crate::Checkpointer;
        use crate::store::RealDisk;

        let directory = tempfile::tempdir().unwrap();
        let disk = Arc::new(RealDisk::with_buffers(0));
        let mut checkpoints = Checkpointer::<u64>::builder(directory.path()).disk(disk).open().unwrap();
        let error = checkpoints.save(&7).unwrap_err();
        assert!(matches!(error, Error::NoMemory { .. }), "{error:?}");
        drop(checkpoints);
        Checkpointer::<u64>::open(directory.path()).unwrap().save(&7).unwrap();
    }

    #[cfg(unix)]
    #[test]
    fn a_sign_of_life_gives_the_lock_file_the_present_time() {
        use std::fs::{File, FileTimes};
        use std::time::SystemTime;

        use crate::store::RealDisk;

        let directory = tempfile::tempdir().unwrap();
        let outer = Claim::take(&RealDisk::default(), directory.path(), &Claiming::default()).unwrap();
        let claiming = Claiming { within: Arc::downgrade(&outer), ..Claiming::default() };
        let inner = Claim::take(&RealDisk::default(), &directory.path().join("inner"), &claiming).unwrap();
        let long_ago = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let files = [".lock", "inner/.lock"].map(|name| directory.path().join(name));
        for path in &files {
            let times = FileTimes::new().set_accessed(long_ago).set_modified(long_ago);
            File::options().write(true).open(path).unwrap().set_times(times).unwrap();
        }
        let modified = || files.clone().map(|path| path.metadata().unwrap().modified().unwrap());
        inner.touch();
        assert_eq!(modified(), [long_ago; 2], "it is not so often that it costs anything");
        for claim in [&outer, &inner] {
            *claim.touched.lock().unwrap() = Instant::now().checked_sub(2 * TOUCH_EVERY).unwrap();
        }
        inner.touch();
        assert!(modified().iter().all(|time| *time > long_ago), "{:?}", modified());
    }
}
