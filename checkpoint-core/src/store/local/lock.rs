//! The lock of a directory on the real file system.
//!
//! Two things are locked: the lock file, whose text names the holder, and the directory itself. A
//! lock file does not change while a program computes, so a purge of old files takes it first; then
//! the directory's own lock still keeps other programs out, and the file is restored. A purge that
//! respects locks (`systemd-tmpfiles`) leaves such a directory alone. Where a file system cannot
//! lock directories, as NFS, the lock file is the only lock.

use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::disk::Locking;
use super::output::check_limit;
use super::real::{Access, has_one_name, has_other_names, is_same_file, must_be_regular, no_follow_no_wait};
use super::take::{describe_holder, is_holder, shares};
use crate::error::Error;
use crate::store::process::Process;
use crate::store::{Lock, name};

/// The number of attempts, where each time the lock file was removed before it was locked.
const ATTEMPTS: u32 = 1000;

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
}

impl LockFile {
    fn new(file: File) -> io::Result<LockFile> {
        let metadata = file.metadata()?;
        Ok(LockFile { file, metadata, is_ours: false })
    }

    /// Writes the holder to it. It is only for messages, and for the look of a holder that lost its
    /// lock: a full disk must not keep a program from loading.
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
        }
    }

    /// The text of a program that has locked it in our place, since we had. It is read by the open
    /// file, because to close another one could end a lock that its file system only emulates.
    fn taken_by(&self, holder: &str) -> Option<String> {
        let mut file = &self.file;
        let mut text = Vec::new();
        let read = file.seek(SeekFrom::Start(0)).and_then(|_| file.take(LONGEST).read_to_end(&mut text));
        // One that cannot be read tells of nobody.
        let text = read.ok().and_then(|_| String::from_utf8(text).ok()).filter(|_| self.is_ours)?;
        let is_other = text != holder && is_holder(&text) && !(shares(&text) && shares(holder));
        is_other.then_some(text)
    }

    /// True if a path leads to it.
    fn is_at(&self, path: &Path) -> io::Result<bool> {
        Ok(found(fs::symlink_metadata(path))?.is_some_and(|found| is_same_file(&self.metadata, &found)))
    }
}

/// What a look at a path found; `None` where nothing is there.
fn found(looked: io::Result<fs::Metadata>) -> io::Result<Option<fs::Metadata>> {
    use io::ErrorKind::{NotADirectory, NotFound, StaleNetworkFileHandle};
    match looked {
        Ok(metadata) => Ok(Some(metadata)),
        Err(error) if matches!(error.kind(), NotFound | NotADirectory | StaleNetworkFileHandle) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Takes the lock of a directory, and writes `holder` to its lock file.
pub(super) fn lock(path: &Path, holder: &str, access: Access, try_lock: TryLock) -> io::Result<Locking> {
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
        let (path, holder) = (path.to_owned(), holder.to_owned());
        let (file, is_lockable) = (Mutex::new(LockFile::new(file)?), unsupported.is_none());
        let process = Process::current();
        let lock = DirectoryLock {
            path,
            directory,
            is_locked,
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

    /// Restores the lock file. Returns true if the directory is still ours. While the directory
    /// itself is locked, it is, whatever happens to the file; otherwise, only if no other program
    /// made one, or only such that share it.
    fn make_again(&self, current: &mut LockFile) -> bool {
        let mut options = OpenOptions::new();
        if self.is_locked || shares(&self.holder) {
            // Others may share a new one. A program that has it alone keeps it from being locked.
            options.create(true);
        } else if self.directory.is_some() {
            options.create_new(true);
        } else {
            return false;
        }
        let opened = open(&self.path.join(name::LOCK), &mut options).and_then(LockFile::new);
        let Ok(mut file) = opened else { return self.is_locked };
        if (self.try_lock)(&file.file).is_err() || !matches!(self.is_there(&file), Ok(true)) {
            return self.is_locked;
        }
        // A program that does not share may have had it meanwhile, and ended.
        let found = file.file.try_clone().map(text).unwrap_or_default();
        if !self.is_locked && !found.is_empty() && !shares(&found) {
            return false;
        }
        self.access.grant(&file.file);
        file.leave(&self.holder);
        tracing::debug!(path = %self.path.display(), "the lock file was gone, and is made again");
        *current = file;
        true
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
        if !self.is_there(&file)? {
            return Ok(self.make_again(&mut file));
        }
        Ok(file.taken_by(&self.holder).is_none())
    }

    fn lost(&self, path: &Path) -> Error {
        // In a forked process, a thread of the parent may hold the mutex.
        if self.process.is_current() {
            let file = self.file.lock().unwrap_or_else(PoisonError::into_inner);
            if let Some(other) = file.taken_by(&self.holder) {
                let other = describe_holder(&other, path);
                let holder =
                    format!("{other}, which got the lock that the file system had taken from this program");
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
}
