//! The lock of a directory on the real file system.
//!
//! Two things are locked: the lock file, whose text names the holder, and the directory itself. A
//! lock file does not change while a program computes, so a purge of old files takes it first; then
//! the directory's own lock still keeps other programs out, and the file is restored. A purge that
//! respects locks (`systemd-tmpfiles`) leaves such a directory alone.
//!
//! The directory's own lock decides only where the file system is known to lock directories for all
//! machines. NFS locks a directory on one machine: there, it keeps out the programs of that
//! machine, and the lock file decides.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use super::disk::Locking;
use super::output::check_limit;
use super::real::{Access, has_one_name, has_other_names, is_same_file, must_be_regular, no_follow_no_wait};
use super::take::{describe_holder, is_holder, shares};
use crate::base::file_system::{is_on_server, locks_directories};
use crate::error::Error;
use crate::store::process::Process;
use crate::store::{Lock, name};

/// The number of attempts, where each time the lock file was removed before it was locked.
const ATTEMPTS: u32 = 1000;

/// The number of attempts to lock a lock file that was made anew, and the pause between them: a
/// program that starts has it for a moment, until it finds the directory locked.
const ATTEMPTS_AGAIN: u32 = 50;
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(4);

/// The most bytes of a lock file that are read.
pub(super) const LONGEST: u64 = 1024;

/// A way to lock a file; tests have other ways than [`File::try_lock`].
pub(super) type TryLock = fn(&File) -> Result<(), TryLockError>;

#[derive(Debug)]
pub(super) struct DirectoryLock {
    path: PathBuf,
    /// The directory, with its identity; `None` where the system cannot open one.
    directory: Option<(File, fs::Metadata)>,
    /// True if the directory is locked too.
    is_locked: bool,
    /// True if that lock keeps out the programs of all machines.
    is_decisive: bool,
    /// True if the file system has locks.
    is_lockable: bool,
    file: Mutex<LockFile>,
    holder: String,
    access: Access,
    try_lock: TryLock,
    /// The process that has the locks: one that is forked from it shares them.
    process: Process,
}

/// The lock file, with its identity.
#[derive(Debug)]
struct LockFile {
    file: File,
    metadata: fs::Metadata,
    /// True if it got our text.
    is_ours: bool,
    right: Right,
}

/// What is known of the lock of a lock file.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Right {
    Held,
    /// Its file system took it away, and it could not be taken again yet.
    ToBeTaken,
    /// Another program got it.
    Lost,
}

impl LockFile {
    fn new(file: File) -> io::Result<LockFile> {
        let metadata = file.metadata()?;
        Ok(LockFile { file, metadata, is_ours: false, right: Right::Held })
    }

    /// Writes the holder to it. It is only for messages, and for the look of a holder that lost its
    /// lock: a full disk must not keep a program from loading.
    ///
    /// A machine that lost its lock asks the server, so the text must be there.
    fn leave(&mut self, holder: &str) {
        // A file with another name is a user's own, linked under our name: it is locked, but not
        // written to.
        if self.file.metadata().is_ok_and(|metadata| has_one_name(&metadata))
            && check_limit(holder.len() as u64).is_ok()
        {
            let _ = self.file.set_len(0);
            let written =
                self.file.seek(SeekFrom::Start(0)).and_then(|_| self.file.write_all(holder.as_bytes()));
            self.is_ours = written.is_ok();
            if is_on_server(&self.file) {
                let _ = self.file.sync_data();
            }
        }
    }

    /// The text of a program that has locked it in our place, since we had. It is read by the open
    /// file, because to close another one could end a lock that its file system only emulates.
    ///
    /// # Errors
    /// It cannot be read. So NFS and CephFS answer on a machine that has lost its lock.
    fn taken_by(&self, holder: &str) -> io::Result<Option<String>> {
        let mut file = &self.file;
        let mut text = Vec::new();
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(LONGEST).read_to_end(&mut text));
        read.map_err(|error| {
            let why =
                format!("its lock file cannot be read, as where its server took the lock away: {error}");
            io::Error::new(error.kind(), why)
        })?;
        Ok(String::from_utf8(text).ok().filter(|text| self.is_ours && is_of_other(text, holder)))
    }

    /// True if a path leads to it.
    fn is_at(&self, path: &Path) -> io::Result<bool> {
        match fs::symlink_metadata(path) {
            // Another machine has removed it.
            Err(error) if error.kind() == io::ErrorKind::StaleNetworkFileHandle => Ok(false),
            looked => Ok(found(looked)?.is_some_and(|found| is_same_file(&self.metadata, &found))),
        }
    }
}

/// True for the text of a program that does not share the lock with the one of `holder`.
fn is_of_other(text: &str, holder: &str) -> bool {
    text != holder && is_holder(text) && !(shares(text) && shares(holder))
}

/// What a look at a path found; `None` where nothing is there. A stale handle tells nothing: a
/// server that was started again answers so for a while.
fn found(looked: io::Result<fs::Metadata>) -> io::Result<Option<fs::Metadata>> {
    use io::ErrorKind::{NotADirectory, NotFound};
    match looked {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes the lock of a directory, and writes `holder` to its lock file.
pub(super) fn lock(path: &Path, holder: &str, access: Access, try_lock: TryLock) -> io::Result<Locking> {
    lock_where(path, holder, access, try_lock, locks_directories)
}

/// The same, where `decides` tells of a directory if its own lock keeps out the programs of all
/// machines.
fn lock_where(
    path: &Path,
    holder: &str,
    access: Access,
    try_lock: TryLock,
    decides: fn(&File) -> bool,
) -> io::Result<Locking> {
    for _ in 0..ATTEMPTS {
        let directory = if cfg!(unix) {
            let directory = File::open(path)?;
            let metadata = directory.metadata()?;
            Some((directory, metadata))
        } else {
            None
        };
        let file = open(&path.join(name::LOCK), OpenOptions::new().create(true))?;
        access.grant(&file);
        let unsupported = match try_lock(&file) {
            Ok(()) => None,
            Err(TryLockError::WouldBlock) => {
                let holder = behind_link(&file, path).unwrap_or_else(|| text(file));
                return Ok(Locking::Held(holder));
            }
            Err(TryLockError::Error(error)) if has_no_locks(&error) => Some(error),
            Err(TryLockError::Error(error)) => return Err(error),
        };
        let is_locked = match directory.as_ref().map(|(directory, _)| try_lock(directory)) {
            Some(Ok(())) => true,
            Some(Err(TryLockError::WouldBlock)) => {
                return Ok(Locking::Held("a program that has locked the directory itself".to_owned()));
            }
            Some(Err(TryLockError::Error(_))) | None => false,
        };
        let is_decisive = is_locked && directory.as_ref().is_some_and(|(directory, _)| decides(directory));
        let (path, holder) = (path.to_owned(), holder.to_owned());
        let (file, is_lockable) = (Mutex::new(LockFile::new(file)?), unsupported.is_none());
        let process = Process::current();
        let lock = DirectoryLock {
            path,
            directory,
            is_locked,
            is_decisive,
            is_lockable,
            file,
            holder,
            access,
            try_lock,
            process,
        };
        // Between opening and locking, either could have been removed, and another created and
        // locked.
        let mut file = lock.file.lock().unwrap_or_else(PoisonError::into_inner);
        if lock.is_same_directory()? && lock.is_there(&file)? {
            // Without a lock, the text could belong to a program that has one.
            if lock.is_lockable {
                file.leave(&lock.holder);
            }
            drop(file);
            let lock = Box::new(lock);
            return Ok(match unsupported {
                Some(error) => Locking::Unsupported(error, lock),
                None => Locking::Taken(lock),
            });
        }
    }
    Err(io::Error::other(
        "its file is another one each time: its file system has no lasting numbers of files, or a program removes it \
         again and again",
    ))
}

/// True if a file system refused a lock because it has none.
fn has_no_locks(error: &io::Error) -> bool {
    #[cfg(unix)]
    if rustix::io::Errno::from_io_error(error) == Some(rustix::io::Errno::NOLCK) {
        return true;
    }
    error.kind() == io::ErrorKind::Unsupported
}

fn open(path: &Path, options: &mut OpenOptions) -> io::Result<File> {
    options.read(true).write(true).truncate(false);
    no_follow_no_wait(options);
    let file = options.open(path)?;
    must_be_regular(&file)?;
    Ok(file)
}

/// Describes the program that has a lock file with a second name, as in a copy of the directory by
/// hard links: no text is written to such a file, and its lock does not tell the directories apart.
/// `None` for a file with one name.
///
/// The file is not replaced, although the directory is locked too: file systems of a cluster may
/// lock a directory only against the programs of one machine, and then two could save.
pub(super) fn behind_link(file: &File, directory: &Path) -> Option<String> {
    if !file.metadata().is_ok_and(|metadata| has_other_names(&metadata)) {
        return None;
    }
    Some(format!(
        "a program that has it open, or a copy of it: the lock file {} has a second name (a hard link), as after \
         `cp -al`, so that the two directories exclude each other; remove the lock file of the copy, while no program \
         has the copy open",
        directory.join(name::LOCK).display()
    ))
}

/// The text that the holder left in the lock file. It is only for messages, so an unreadable file
/// is no error.
fn text(file: File) -> String {
    let mut text = Vec::new();
    let _ = file.take(LONGEST).read_to_end(&mut text);
    String::from_utf8_lossy(&text).into_owned()
}

impl DirectoryLock {
    fn is_same_directory(&self) -> io::Result<bool> {
        let Some((_, held)) = &self.directory else { return Ok(true) };
        Ok(found(fs::metadata(&self.path))?.is_some_and(|found| is_same_file(held, &found)))
    }

    fn is_there(&self, file: &LockFile) -> io::Result<bool> {
        file.is_at(&self.path.join(name::LOCK))
    }

    /// Restores the lock file. Returns true if the directory is still ours. Where the lock of the
    /// directory itself decides, it is, whatever happens to the file; otherwise, only if no other
    /// program had the new one, or only such that share it.
    ///
    /// # Errors
    /// It could not be found out.
    fn make_again(&self, current: &mut LockFile) -> io::Result<bool> {
        match self.made_again(current) {
            Err(error) if self.is_decisive => {
                tracing::debug!(path = %self.path.display(), %error, "the lock file is not made again");
                Ok(true)
            }
            made => Ok(made? || self.is_decisive),
        }
    }

    /// The same, by the lock file alone.
    fn made_again(&self, current: &mut LockFile) -> io::Result<bool> {
        let mut options = OpenOptions::new();
        if self.is_locked || shares(&self.holder) {
            // Others may share a new one. A program that has it alone keeps it from being locked.
            // One of this machine that found the directory locked has left no text in it.
            options.create(true);
        } else if self.directory.is_some() {
            options.create_new(true);
        } else {
            return Ok(false);
        }
        let path = self.path.join(name::LOCK);
        let opened = match open(&path, &mut options) {
            // Another program just made it, or its server was away.
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                open(&path, &mut OpenOptions::new())
            }
            opened => opened,
        };
        let mut file = match opened.and_then(LockFile::new) {
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => {
                return self.stands_unopened(current);
            }
            opened => opened?,
        };
        if is_same_file(&current.metadata, &file.metadata) {
            // It was not gone: its server was away.
            drop(file);
            return match current.right {
                Right::Held => Ok(current.taken_by(&self.holder)?.is_none() || self.lose(current)),
                _ => self.taken_again(current),
            };
        }
        // Without the lock, another program may have had the former file.
        if current.right != Right::Held || !self.lock_again(&file.file)? {
            return Ok(self.lose(current));
        }
        if !self.is_there(&file)? {
            return Ok(false);
        }
        // A program that does not share may have had it meanwhile, and ended.
        let found = file.file.try_clone().map(text)?;
        if !self.is_decisive && is_of_other(&found, &self.holder) {
            return Ok(self.lose(current));
        }
        self.access.grant(&file.file);
        file.leave(&self.holder);
        tracing::debug!(path = %self.path.display(), "the lock file was gone, and is made again");
        *current = file;
        Ok(true)
    }

    /// Notes that another program got the lock, unless the lock of the directory decides. It may
    /// end, and its traces may go: the lock stays lost. Returns false: it does not stand.
    fn lose(&self, file: &mut LockFile) -> bool {
        if !self.is_decisive {
            file.right = Right::Lost;
        }
        false
    }

    /// Takes the lock of the lock file again, where its server may have taken it away. Returns true
    /// if no other program had it meanwhile.
    fn taken_again(&self, current: &mut LockFile) -> io::Result<bool> {
        let found = LockFile::new(open(&self.path.join(name::LOCK), &mut OpenOptions::new())?)?;
        if !is_same_file(&current.metadata, &found.metadata) {
            return Ok(false);
        }
        // The former one is closed before: that could end the new lock.
        *current = LockFile { is_ours: current.is_ours, right: Right::ToBeTaken, ..found };
        let is_locked = self.lock_again(&current.file)?;
        if !is_locked || current.taken_by(&self.holder)?.is_some() {
            return Ok(self.lose(current));
        }
        current.right = Right::Held;
        Ok(true)
    }

    /// True where the lock file may not be opened, and no program can have it: there is none, or it
    /// is of a start of another user, which found the directory locked and left no text.
    ///
    /// # Errors
    /// It cannot be looked at.
    fn stands_unopened(&self, file: &mut LockFile) -> io::Result<bool> {
        match fs::symlink_metadata(self.path.join(name::LOCK)) {
            Ok(found) if self.is_locked && found.is_file() && found.len() == 0 => Ok(true),
            Ok(_) => Ok(self.lose(file)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(self.is_locked),
            Err(error) => Err(error),
        }
    }

    /// Locks a lock file that was made anew. False where another program has it, and where that
    /// does not decide, has it for long.
    fn lock_again(&self, file: &File) -> io::Result<bool> {
        let attempts = if self.is_decisive { 1 } else { ATTEMPTS_AGAIN };
        for attempt in 1..=attempts {
            match (self.try_lock)(file) {
                Ok(()) => return Ok(true),
                Err(TryLockError::WouldBlock) if attempt < attempts => std::thread::sleep(BETWEEN_ATTEMPTS),
                Err(TryLockError::WouldBlock) => {}
                Err(TryLockError::Error(error)) => return Err(error),
            }
        }
        Ok(false)
    }

    /// The text of a program that has made the lock file anew.
    fn replaced_by(&self, file: &LockFile) -> Option<String> {
        if !matches!(self.is_same_directory(), Ok(true)) || !matches!(self.is_there(file), Ok(false)) {
            return None;
        }
        let mut options = OpenOptions::new();
        no_follow_no_wait(options.read(true));
        let found = options.open(self.path.join(name::LOCK)).ok()?;
        must_be_regular(&found).ok()?;
        Some(text(found)).filter(|text| is_of_other(text, &self.holder))
    }
}

impl Lock for DirectoryLock {
    fn is_in_place(&self) -> io::Result<bool> {
        self.is_same_directory()
    }

    fn stands(&self) -> io::Result<bool> {
        if !self.is_same_directory()? {
            return Ok(false);
        }
        let mut file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_lockable {
            return Ok(true);
        }
        if file.right == Right::Lost {
            return Ok(false);
        }
        if !self.is_there(&file)? {
            return self.make_again(&mut file);
        }
        match (file.right, file.taken_by(&self.holder)) {
            (Right::Held, Ok(None)) => Ok(true),
            (Right::Held, Ok(Some(_))) => Ok(self.lose(&mut file)),
            (_, Err(_)) if self.is_decisive => Ok(true),
            (_, Err(error)) => self.taken_again(&mut file).map_err(|_| error),
            // Before a text tells anything, the lock must be there.
            (_, Ok(_)) => self.taken_again(&mut file),
        }
    }

    fn lost(&self, path: &Path) -> Error {
        // In a forked process, a thread of the parent may hold the mutex.
        if self.process.is_current() {
            let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            let taken =
                file.taken_by(&self.holder).ok().flatten().map(|other| {
                    (other, "which got the lock that the file system had taken from this program")
                });
            let other = taken.or_else(|| {
                let other = self.replaced_by(&file)?;
                Some((other, "which made the lock file anew after another program had removed it"))
            });
            if let Some((other, how)) = other {
                let holder = format!("{}, {how}", describe_holder(&other, path));
                return Error::InUse { path: path.to_owned(), holder };
            }
            if file.right == Right::Lost {
                let holder =
                    "another program, which got the lock that the file system had taken from this program"
                        .to_owned();
                return Error::InUse { path: path.to_owned(), holder };
            }
        }
        Error::DirectoryReplaced { path: path.to_owned() }
    }

    fn touch(&self) {
        #[cfg(unix)]
        {
            use rustix::fs::{Timespec, Timestamps, UTIME_NOW, futimens};
            let file = &self.file.lock().unwrap_or_else(PoisonError::into_inner).file;
            let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
            let is_ours = file.metadata().is_ok_and(|metadata| has_one_name(&metadata));
            if is_ours
                && let Err(error) = futimens(file, &Timestamps { last_access: now, last_modification: now })
            {
                tracing::debug!(path = %self.path.display(), %error, "the lock file keeps its time");
            }
        }
    }
}

impl Drop for DirectoryLock {
    /// Gives the locks back at once. They last until the last copy of their files is closed, and a
    /// process that another thread starts has copies from its fork to its exec.
    fn drop(&mut self) {
        if !self.process.is_current() {
            return;
        }
        // Without locks there is nothing to give back, and an error says so.
        let _ = self.file.get_mut().unwrap_or_else(PoisonError::into_inner).file.unlock();
        if let Some((directory, _)) = &self.directory {
            let _ = directory.unlock();
        }
    }
}

#[cfg(all(test, target_os = "linux"))]
#[allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
mod tests {
    use std::os::fd::AsRawFd;

    use super::*;

    #[test]
    fn a_lock_file_that_never_stays_is_an_error_and_no_hang() {
        // This acts like a purge between the opening and the locking, each time.
        let purge = |file: &File| {
            let path =
                fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).map_err(TryLockError::Error)?;
            if path.is_file() { fs::remove_file(path).map_err(TryLockError::Error) } else { Ok(()) }
        };
        let directory = tempfile::tempdir().unwrap();
        let error = lock(directory.path(), "us", Access::default(), purge).unwrap_err();
        assert!(error.to_string().contains("removes it again and again"), "{error}");
    }

    #[test]
    fn a_lock_file_with_a_second_name_is_told_as_the_reason() {
        let parent = tempfile::tempdir().unwrap();
        let [original, copy] = ["original", "copy"].map(|name| parent.path().join(name));
        [&original, &copy].iter().for_each(|path| fs::create_dir(path).unwrap());
        let _held = taken(&original, false);
        fs::hard_link(original.join(name::LOCK), copy.join(name::LOCK)).unwrap();
        let alone = |path: &Path| lock(path, "us", Access::default(), File::try_lock).unwrap();
        for path in [&original, &copy] {
            let Locking::Held(holder) = alone(path) else { panic!("two have the lock") };
            assert!(holder.contains("second name"), "{holder}");
            assert_eq!(crate::store::holder(path).unwrap(), Some(holder));
        }
        // What it advises helps.
        fs::remove_file(copy.join(name::LOCK)).unwrap();
        assert!(matches!(alone(&copy), Locking::Taken(_)));
        let Locking::Held(holder) = alone(&original) else { panic!("two have the lock") };
        assert!(holder.contains("\"process\""), "{holder}");
    }

    /// As on a file system that cannot lock directories.
    fn only_files(file: &File, lock: TryLock) -> Result<(), TryLockError> {
        if file.metadata().is_ok_and(|metadata| metadata.is_dir()) {
            return Err(TryLockError::Error(io::ErrorKind::Unsupported.into()));
        }
        lock(file)
    }

    fn taken(path: &Path, shared: bool) -> Box<dyn Lock> {
        let (holder, way): (_, TryLock) = match shared {
            true => ("{\"process\":1,\"host\":\"a\",\"shares\":true}", |file| {
                only_files(file, File::try_lock_shared)
            }),
            false => ("{\"process\":1,\"host\":\"a\"}", |file| only_files(file, File::try_lock)),
        };
        match lock(path, holder, Access::default(), way).unwrap() {
            Locking::Taken(lock) => lock,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn all_that_share_a_lock_have_it_after_a_purge() {
        let directory = tempfile::tempdir().unwrap();
        let locks = [(); 3].map(|()| taken(directory.path(), true));
        fs::remove_file(directory.path().join(name::LOCK)).unwrap();
        assert!(locks.iter().all(|lock| lock.stands().unwrap()));
        drop(locks);
        // One that has it alone meanwhile keeps it.
        let [shared, other] = [(); 2].map(|()| taken(directory.path(), true));
        fs::remove_file(directory.path().join(name::LOCK)).unwrap();
        let alone = taken(directory.path(), false);
        assert!(!shared.stands().unwrap() && !other.stands().unwrap() && alone.stands().unwrap());
        // So does one that has ended meanwhile.
        drop(alone);
        assert!(!shared.stands().unwrap() && !other.stands().unwrap());
    }

    /// As on a machine that its file system has lost for a while: nothing is locked.
    fn lost_locks(_: &File) -> Result<(), TryLockError> {
        Ok(())
    }

    #[test]
    fn a_lock_that_was_given_to_another_program_is_noticed() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let ours = "{\"process\":1,\"host\":\"a\"}";
        let lock = |holder: &str| match lock(path, holder, Access::default(), lost_locks).unwrap() {
            Locking::Taken(lock) => lock,
            other => panic!("{other:?}"),
        };
        let first = lock(ours);
        assert!(first.stands().unwrap() && first.stands().unwrap());
        let second = lock("{\"process\":2,\"host\":\"b\"}");
        assert!(!first.stands().unwrap() && second.stands().unwrap());
        let error = first.lost(path);
        assert!(matches!(error, Error::InUse { .. }), "{error:?}");
        assert!(error.to_string().contains("process 2 on b, which got the lock"), "{error}");
        // It may have saved, and ended.
        drop(second);
        assert!(!first.stands().unwrap());
        // Others that share it are no strangers to each other.
        let sharing =
            ["a", "b"].map(|host| lock(&format!("{{\"process\":1,\"host\":\"{host}\",\"shares\":true}}")));
        assert!(sharing.iter().all(|lock| lock.stands().unwrap()));
        // A text of the user is nobody's, and neither is one that was there before.
        let third = lock(ours);
        fs::write(path.join(name::LOCK), "do not touch").unwrap();
        assert!(third.stands().unwrap());
        fs::hard_link(path.join(name::LOCK), path.join("second name")).unwrap();
        fs::write(path.join(name::LOCK), "{\"process\":2,\"host\":\"b\"}").unwrap();
        assert!(lock(ours).stands().unwrap());
    }

    /// As over NFS: files are locked on all machines, and directories only on one.
    fn of_one_machine(path: &Path, holder: &str) -> Locking {
        let lock: TryLock = |file| match file.metadata() {
            Ok(metadata) if metadata.is_dir() => Ok(()),
            _ => file.try_lock(),
        };
        lock_where(path, holder, Access::default(), lock, |_| false).unwrap()
    }

    #[test]
    fn a_lock_of_a_directory_on_one_machine_does_not_decide() {
        let (ours, theirs) = ("{\"process\":1,\"host\":\"a\"}", "{\"process\":2,\"host\":\"b\"}");
        for has_ended in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let taken = |holder: &str| match of_one_machine(directory.path(), holder) {
                Locking::Taken(lock) => lock,
                other => panic!("{other:?}"),
            };
            let first = taken(ours);
            fs::remove_file(directory.path().join(name::LOCK)).unwrap();
            let mut second = Some(taken(theirs));
            if has_ended {
                second = None;
            }
            assert!(!first.stands().unwrap(), "{has_ended}");
            assert!(second.is_none_or(|second| second.stands().unwrap()));
            let error = first.lost(directory.path());
            assert!(error.to_string().contains("process 2 on b, which made the lock file anew"), "{error}");
            // It may have saved, and its file may go, too.
            fs::remove_file(directory.path().join(name::LOCK)).unwrap();
            assert!(!first.stands().unwrap(), "{has_ended}");
            let error = first.lost(directory.path());
            assert!(error.to_string().contains("another program, which got the lock"), "{error}");
        }
    }

    #[test]
    fn a_start_that_was_refused_takes_no_lock_from_a_run() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name::LOCK);
        let Locking::Taken(first) = of_one_machine(directory.path(), "{\"process\":1,\"host\":\"a\"}") else {
            panic!("it is held");
        };
        fs::remove_file(&path).unwrap();
        // A second start of this machine finds the directory locked: it leaves its new file empty.
        File::create(&path).unwrap();
        assert!(first.stands().unwrap());
        assert_eq!(fs::read(&path).unwrap(), b"{\"process\":1,\"host\":\"a\"}");
    }

    #[test]
    fn a_lock_that_cannot_be_looked_at_fails_the_save() {
        use crate::store::Guard;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name::LOCK);
        fs::write(&path, "us").unwrap();
        // It cannot be read, as where its server has taken the lock away.
        let file = LockFile::new(File::options().write(true).open(&path).unwrap()).unwrap();
        let mut lock = DirectoryLock {
            path: directory.path().to_owned(),
            directory: None,
            is_locked: false,
            is_decisive: false,
            is_lockable: true,
            file: Mutex::new(LockFile { is_ours: true, ..file }),
            holder: "us".to_owned(),
            access: Access::default(),
            try_lock: File::try_lock,
            process: Process::current(),
        };
        // Nobody has it: it is taken again.
        assert!(lock.stands().unwrap());
        let file = LockFile::new(File::options().write(true).open(&path).unwrap()).unwrap();
        *lock.file.lock().unwrap() = LockFile { is_ours: true, ..file };
        lock.try_lock = |_| Err(TryLockError::Error(rustix::io::Errno::IO.into()));
        let guard = Guard::new(directory.path(), Box::new(lock), &std::sync::Weak::new());
        let error = guard.check().unwrap_err();
        assert!(matches!(error, Error::Io { .. }) && error.may_pass(), "{error}");
        assert!(!error.is_damage() && error.to_string().contains("lock file cannot be read"), "{error}");
        // The file can be read by now, and has no lock yet.
        let error = guard.check().unwrap_err();
        assert!(matches!(error, Error::Io { .. }) && error.may_pass(), "{error}");
    }

    #[test]
    fn a_lock_that_another_program_got_stays_lost() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join(name::LOCK);
        fs::write(&path, "us").unwrap();
        let unread = || LockFile {
            is_ours: true,
            ..LockFile::new(File::options().write(true).open(&path).unwrap()).unwrap()
        };
        let lock = |directory| DirectoryLock {
            path: path.parent().unwrap().to_owned(),
            is_locked: false,
            is_decisive: directory,
            directory: None,
            is_lockable: true,
            file: Mutex::new(unread()),
            holder: "us".to_owned(),
            access: Access::default(),
            try_lock: File::try_lock,
            process: Process::current(),
        };
        // It has no room for a text.
        let other = File::open(&path).unwrap();
        other.try_lock().unwrap();
        let ours = lock(false);
        assert!(!ours.stands().unwrap() && !ours.stands().unwrap());
        let error = ours.lost(directory.path());
        assert!(
            matches!(error, Error::InUse { .. }) && error.to_string().contains("got the lock"),
            "{error}"
        );
        // It may have saved, and ended, and a purge may have taken the file.
        drop(other);
        assert!(!ours.stands().unwrap());
        fs::remove_file(&path).unwrap();
        assert!(!ours.stands().unwrap());
        fs::write(&path, "us").unwrap();
        // Where the lock of the directory decides, it matters nothing.
        assert!(lock(true).stands().unwrap());
    }

    #[test]
    fn a_server_that_was_started_again_replaces_no_directory() {
        let stale = || Err(io::Error::from(rustix::io::Errno::STALE));
        assert_eq!(found(stale()).unwrap_err().kind(), io::ErrorKind::StaleNetworkFileHandle);
        let error = Error::io("look at", "run.ckpt".as_ref(), found(stale()).unwrap_err());
        assert!(error.may_pass(), "{error}");
    }
}
