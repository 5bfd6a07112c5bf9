//! The real file system, behind the seam.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use super::blocks::{Comparison, Rewriting};
use super::buffers::Buffers;
use super::disk::{Disk, Growing, Hold, Identity, Locking, NewFile, Opening, Output, Stamp};
use super::growing;
use super::lock::{self, TryLock};
use super::log::FileLog;
use super::output::{self, FileOutput, SetDirect, check_limit};
use super::source::FileSource;
use crate::base::warnings::warn;
use crate::container::Source;
use crate::store::{Log, name};

/// The number of attempts to lock a file against retention, and the pause between them.
pub(super) const ATTEMPTS: u32 = 50;
pub(super) const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(2);

/// The real file system.
#[derive(Debug)]
pub(crate) struct RealDisk {
    buffers: Buffers,
    set_direct: SetDirect,
    try_lock: TryLock,
    try_lock_shared: TryLock,
    access: Access,
}

impl Default for RealDisk {
    fn default() -> RealDisk {
        RealDisk::with(Access::default())
    }
}

impl RealDisk {
    /// A disk whose new files have these permissions.
    pub(crate) fn with(access: Access) -> RealDisk {
        let (buffers, set_direct) = (Buffers::default(), output::set_direct);
        let (try_lock, try_lock_shared) = (File::try_lock as TryLock, File::try_lock_shared as TryLock);
        RealDisk { buffers, set_direct, try_lock, try_lock_shared, access }
    }

    /// The same disk, whose locks keep out only programs that do not share them.
    pub(super) fn sharing(access: Access) -> RealDisk {
        RealDisk { try_lock: File::try_lock_shared, ..RealDisk::with(access) }
    }
}

#[cfg(test)]
impl RealDisk {
    /// A disk without direct I/O.
    pub(in crate::store) fn buffered() -> RealDisk {
        RealDisk { set_direct: output::no_direct, ..RealDisk::default() }
    }

    /// A disk whose file system has no locks.
    pub(super) fn without_locks() -> RealDisk {
        // The error of Lustre, if it was mounted without locks.
        let refuse = |_: &File| Err(TryLockError::Error(io::Error::from_raw_os_error(38)));
        RealDisk { try_lock: refuse, ..RealDisk::default() }
    }

    /// A disk without memory for more than this number of buffers.
    pub(super) fn with_buffers(most: usize) -> RealDisk {
        RealDisk { buffers: Buffers::at_most(most), ..RealDisk::default() }
    }
}

/// Gives other users access to the files of a directory, see
/// [`Builder::access`](crate::Builder::access).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum Access {
    /// Only the user of the program has access.
    #[default]
    Owner,
    /// The group of the directory may also read.
    GroupReads,
    /// The group of the directory may also read and save, one program at a time.
    GroupWrites,
}

impl Access {
    /// The mode of a file.
    #[cfg(unix)]
    fn mode(self) -> u32 {
        match self {
            Access::Owner => 0o600,
            Access::GroupReads => 0o640,
            Access::GroupWrites => 0o660,
        }
    }

    /// Gives a file of this user the mode, whatever the umask.
    pub(super) fn grant(self, file: &File) {
        #[cfg(unix)]
        if self != Access::Owner {
            self.grant_bits(file, self.mode());
        }
        #[cfg(not(unix))]
        let _ = file;
    }

    /// Gives the group its permissions in a new directory.
    fn grant_directory(self, path: &Path) -> io::Result<()> {
        #[cfg(unix)]
        if self != Access::Owner {
            let bits = if self == Access::GroupWrites { 0o770 } else { 0o750 };
            self.grant_bits(&File::open(path)?, bits);
        }
        #[cfg(not(unix))]
        let _ = path;
        Ok(())
    }

    /// True if a file is as we create them: with one name, ours, and with these permissions. False
    /// where that is unknown.
    fn is_as_created(self, metadata: &fs::Metadata) -> bool {
        #[cfg(unix)]
        {
            use std::os::unix::fs::MetadataExt;
            has_one_name(metadata)
                && metadata.mode() & 0o7777 == self.mode()
                && metadata.uid() == rustix::process::geteuid().as_raw()
        }
        #[cfg(not(unix))]
        {
            let _ = metadata;
            false
        }
    }

    /// Adds bits to the mode of a file. Another user's file is no error: that user chose its mode.
    #[cfg(unix)]
    fn grant_bits(self, file: &File, bits: u32) {
        use std::os::unix::fs::{MetadataExt, PermissionsExt};
        let Ok(metadata) = file.metadata() else { return };
        let is_ours = metadata.uid() == rustix::process::geteuid().as_raw()
            && (metadata.is_dir() || has_one_name(&metadata));
        if is_ours && metadata.mode() & bits != bits {
            let mode = metadata.mode() & 0o7777 | bits;
            if let Err(error) = file.set_permissions(fs::Permissions::from_mode(mode)) {
                warn(format!("the group could not be given its rights to a file: {error}"));
            }
        }
    }
}

impl Disk for RealDisk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        #[cfg_attr(not(unix), allow(unused_mut))]
        let mut builder = fs::DirBuilder::new();
        // Other users get no access, whatever the umask allows.
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o755);
        match builder.create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            result => result.and_then(|()| self.access.grant_directory(path)),
        }
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        if cfg!(not(unix)) {
            // Only Unix can open directories for this; NTFS journals its names by itself.
            return Ok(());
        }
        match File::open(path)?.sync_all() {
            // Some network and FUSE file systems answer so: they have no such operation, and
            // nothing was lost.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
            {
                warn(format!(
                    "the file system of {} cannot make names durable: a power cut may take the newest checkpoints",
                    path.display()
                ));
                Ok(())
            }
            result => result,
        }
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        // Outside of Unix, only a file that is open for writing can be synced.
        OpenOptions::new().read(true).write(cfg!(not(unix))).open(path)?.sync_all()
    }

    fn create_temporary(&self, directory: &Path) -> io::Result<NewFile> {
        let (file, path) = name::temporary().tempfile_in(directory)?.into_parts();
        self.access.grant(&file);
        Ok(NewFile {
            path: path.keep()?,
            output: Box::new(FileOutput::new(file, 0, self.buffers.clone(), self.set_direct, None)),
        })
    }

    fn create_small(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        check_limit(bytes.len() as u64)?;
        let mut options = OpenOptions::new();
        options.write(true).create_new(true);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, self.access.mode());
        let mut file = options.open(path)?;
        self.access.grant(&file);
        fill(&mut file, path, bytes)
    }

    fn hold(&self, path: &Path, shared: bool) -> io::Result<Box<dyn Hold>> {
        let mut options = OpenOptions::new();
        // NFS gives an exclusive lock only to a file that is open for writing.
        options.read(true).write(!shared);
        no_follow_no_wait(&mut options);
        let file = match options.open(path) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(error),
            Err(_) => return Ok(Box::new(NotHeld)),
        };
        if must_be_regular(&file).is_err() {
            return Ok(Box::new(NotHeld));
        }
        let locked = if shared { file.try_lock_shared() } else { file.try_lock() };
        if let Err(TryLockError::WouldBlock) = locked {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        if !is_same_file(&file.metadata()?, &fs::symlink_metadata(path)?) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Box::new(Held(file)))
    }

    fn rename_to_temporary(&self, from: &Path, directory: &Path) -> io::Result<PathBuf> {
        if fs::symlink_metadata(from)?.is_dir() {
            // A directory is not ours, and could be neither overwritten nor removed: it would keep
            // that name.
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let renamed = name::temporary().make_in(directory, |to| self.rename(from, to))?;
        Ok(renamed.into_temp_path().keep()?)
    }

    fn recycle(&self, path: &Path, rewriting: Rewriting) -> io::Result<Box<dyn Output>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        no_follow_no_wait(&mut options);
        let file = options.open(path)?;
        if !self.access.is_as_created(&must_be_regular(&file)?) {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                "it can be reached under another name, or by another user",
            ));
        }
        // Readers hold a shared lock. Ours goes when the file is closed, before it is published.
        file.try_lock()?;
        // Another program may have written to it until now.
        let metadata = file.metadata()?;
        let comparison = Comparison::new(rewriting, Stamp::of(&metadata));
        let (buffers, former) = (self.buffers.clone(), metadata.len());
        Ok(Box::new(FileOutput::new(file, former, buffers, self.set_direct, comparison)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
        {
            use rustix::fs::{CWD, RenameFlags, renameat_with};
            use rustix::io::Errno;
            match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
                // The file system, or the kernel, does not know the flag.
                Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => {}
                result => return result.map_err(io::Error::from),
            }
        }
        // This is not atomic, but no other program publishes here: the lock is ours.
        must_be_absent(fs::symlink_metadata(to))?;
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn remove_directory(&self, path: &Path) -> io::Result<()> {
        fs::remove_dir(path)
    }

    fn lock(&self, directory: &Path, holder: &str) -> io::Result<Locking> {
        lock::lock(directory, holder, self.access, self.try_lock)
    }

    fn identity(&self, path: &Path) -> io::Result<Option<Identity>> {
        Ok(Identity::of(&fs::symlink_metadata(path)?))
    }

    fn stamp(&self, path: &Path) -> io::Result<Option<Stamp>> {
        Ok(Stamp::of(&fs::symlink_metadata(path)?))
    }

    fn created(&self, path: &Path) -> Option<SystemTime> {
        fs::symlink_metadata(path).ok()?.created().ok()
    }

    fn open_log(&self, path: &Path) -> io::Result<Box<dyn Log>> {
        Ok(Box::new(FileLog::open(path, self.access)?))
    }

    fn open_growing(&self, path: &Path, opening: Opening) -> io::Result<Box<dyn Growing>> {
        growing::open(path, opening)
    }

    fn take_place(&self, from: &Path, of: &Path) -> io::Result<()> {
        growing::take_place(from, of)
    }

    fn is_directory(&self, path: &Path) -> Option<bool> {
        fs::metadata(path).ok().map(|metadata| metadata.is_dir())
    }

    fn exists(&self, path: &Path) -> bool {
        !matches!(fs::symlink_metadata(path), Err(error) if error.kind() == io::ErrorKind::NotFound)
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name())).collect()
    }

    fn open(&self, path: &Path) -> io::Result<Box<dyn Source>> {
        let (file, metadata) = open_regular(path)?;
        // This keeps the file from being recycled while it is read. It may have been retired
        // already: then it is no longer the file of that name. Retention has its own lock for a
        // moment, and then the name is gone. If another program has a lock on the file for long,
        // that does not matter.
        for _ in 0..ATTEMPTS {
            let locked = (self.try_lock_shared)(&file);
            if !is_same_file(&file.metadata()?, &fs::metadata(path)?) {
                return Err(io::ErrorKind::NotFound.into());
            }
            if !matches!(locked, Err(TryLockError::WouldBlock)) {
                break;
            }
            std::thread::sleep(BETWEEN_ATTEMPTS);
        }
        Ok(Box::new(FileSource::new(file, metadata.len())))
    }

    fn open_unpublished(&self, path: &Path, expected: Option<Identity>) -> io::Result<Box<dyn Source>> {
        let (file, metadata) = open_regular(path)?;
        if expected.is_some() && Identity::of(&metadata) != expected {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Box::new(FileSource::new(file, metadata.len())))
    }
}

/// Writes a small file that was just created. If that fails, the file is removed: an empty one may
/// mean something else.
fn fill(file: &mut File, path: &Path, bytes: &[u8]) -> io::Result<()> {
    let written = file.write_all(bytes).and_then(|()| file.sync_all());
    if written.is_err() {
        fs::remove_file(path)?;
    }
    written
}

/// Refuses a name that is taken, and one that cannot be looked at: a rename may still replace it.
fn must_be_absent(looked: io::Result<fs::Metadata>) -> io::Result<()> {
    match looked {
        Ok(_) => Err(io::ErrorKind::AlreadyExists.into()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
    }
}

/// Opens a regular file for reading.
pub(crate) fn open_regular(path: &Path) -> io::Result<(File, fs::Metadata)> {
    let mut options = OpenOptions::new();
    options.read(true);
    no_wait(&mut options);
    let file = options.open(path).map_err(|error| of_no_file(error, path))?;
    let metadata = must_be_regular(&file)?;
    Ok((file, metadata))
}

/// The error of a path that could not be opened. A socket and a device without a driver answer as a
/// disk that is away.
fn of_no_file(error: io::Error, path: &Path) -> io::Error {
    #[cfg(unix)]
    if rustix::io::Errno::from_io_error(&error) == Some(rustix::io::Errno::NXIO)
        && fs::metadata(path).is_ok_and(|metadata| !metadata.is_file())
    {
        return no_file("neither a file nor a directory");
    }
    #[cfg(not(unix))]
    let _ = path;
    error
}

fn no_file(kind: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidInput, format!("it is {kind}, not a regular file"))
}

#[cfg(unix)]
fn rustix_flags(flags: rustix::fs::OFlags) -> i32 {
    flags.bits().cast_signed()
}

/// Does not wait for the other end of a pipe.
pub(crate) fn no_wait(options: &mut OpenOptions) {
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::custom_flags(options, rustix_flags(rustix::fs::OFlags::NONBLOCK));
    #[cfg(not(unix))]
    let _ = options;
}

/// Opens the file of that name, not the target of a symbolic link, and does not wait for the other
/// end of a pipe. A new file is its owner's.
pub(crate) fn no_follow_no_wait(options: &mut OpenOptions) {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600).custom_flags(rustix_flags(OFlags::NOFOLLOW | OFlags::NONBLOCK));
    }
    #[cfg(not(unix))]
    let _ = options;
}

pub(crate) fn must_be_regular(file: &File) -> io::Result<fs::Metadata> {
    let metadata = file.metadata()?;
    if metadata.is_file() {
        return Ok(metadata);
    }
    let kind = if metadata.is_dir() { "a directory" } else { "neither a file nor a directory" };
    Err(no_file(kind))
}

/// True if both belong to one file, whatever its names; where that is unknown, if both are of one
/// kind.
pub(in crate::store) fn is_same_file(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    Identity::of(one) == Identity::of(other) && one.file_type() == other.file_type()
}

/// True if a file has only one name.
pub(super) fn has_one_name(metadata: &fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        std::os::unix::fs::MetadataExt::nlink(metadata) == 1
    }
    #[cfg(not(unix))]
    {
        metadata.is_file()
    }
}

/// True if a file has more than one name (hard links). False where the system does not tell.
pub(super) fn has_other_names(metadata: &fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        std::os::unix::fs::MetadataExt::nlink(metadata) > 1
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        false
    }
}

/// A file that is locked until it is closed.
#[derive(Debug)]
struct Held(#[expect(dead_code, reason = "it is held by being open")] File);

impl Hold for Held {}

/// A file that cannot have a lock.
#[derive(Debug)]
struct NotHeld;

impl Hold for NotHeld {}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn a_file_that_retention_has_just_taken_is_not_read() {
        use std::os::fd::AsRawFd;

        // This acts like retention: at the first attempt it has the lock, and then the name is
        // gone.
        let retire = |file: &File| {
            let link = format!("/proc/self/fd/{}", file.as_raw_fd());
            let path = fs::read_link(link).map_err(TryLockError::Error)?;
            let first = path.with_extension("first");
            if first.exists() {
                fs::rename(&path, path.with_extension("retired")).map_err(TryLockError::Error)?;
                return Ok(());
            }
            File::create(first).map_err(TryLockError::Error)?;
            Err(TryLockError::WouldBlock)
        };
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("generation");
        fs::write(&path, "content").unwrap();
        let disk = RealDisk { try_lock_shared: retire, ..RealDisk::default() };
        let error = disk.open(&path).map(drop).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }

    #[test]
    fn a_file_that_another_program_has_locked_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("generation");
        fs::write(&path, "content").unwrap();
        let disk = RealDisk::default();
        let _held = disk.hold(&path, false).unwrap();
        assert_eq!(disk.open(&path).unwrap().length(), 7);
    }

    #[cfg(unix)]
    #[test]
    fn a_name_that_cannot_be_looked_at_is_not_replaced() {
        let directory = tempfile::tempdir().unwrap();
        let looked = || fs::symlink_metadata(directory.path().join("absent"));
        must_be_absent(looked()).unwrap();
        let error = must_be_absent(Err(rustix::io::Errno::IO.into())).unwrap_err();
        assert_eq!(rustix::io::Errno::from_io_error(&error), Some(rustix::io::Errno::IO));
        let error = must_be_absent(fs::symlink_metadata(directory.path())).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::AlreadyExists);
    }

    #[cfg(unix)]
    #[test]
    fn a_socket_in_place_of_a_file_is_no_disk_that_is_away() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("generation");
        let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
        let error = RealDisk::default().open(&path).map(drop).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidInput, "{error}");
    }

    #[test]
    fn a_small_file_that_cannot_be_written_leaves_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("small");
        File::create(&path).unwrap();
        fill(&mut File::open(&path).unwrap(), &path, b"content").unwrap_err();
        assert!(!path.exists());
    }

    #[cfg(unix)]
    #[test]
    fn a_small_file_is_closed_to_other_users() {
        use std::os::unix::fs::PermissionsExt;

        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("small");
        for access in [Access::Owner, Access::GroupReads, Access::GroupWrites] {
            RealDisk::with(access).create_small(&path, b"content").unwrap();
            assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, access.mode());
            fs::remove_file(&path).unwrap();
        }
    }

    #[cfg(unix)]
    #[test]
    fn another_file_under_the_name_of_ours_is_not_read_back() {
        let directory = tempfile::tempdir().unwrap();
        let (path, other) = (directory.path().join("ours"), directory.path().join("other"));
        fs::write(&path, "ours").unwrap();
        fs::write(&other, "other").unwrap();
        let disk = RealDisk::default();
        let ours = disk.identity(&path).unwrap();
        assert_eq!(disk.open_unpublished(&path, ours).unwrap().length(), 4);
        fs::rename(&other, &path).unwrap();
        let error = disk.open_unpublished(&path, ours).map(drop).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
