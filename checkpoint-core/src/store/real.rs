//! The file system of the machine, behind the seam.

use std::ffi::OsString;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use super::disk::{Disk, Lock, Locking, Log, NewFile, Output};
use super::name;
use super::output::{self, Buffers, FileOutput, SetDirect};
use crate::container::Source;

/// The file system of the machine.
#[derive(Debug)]
pub(crate) struct RealDisk {
    buffers: Buffers,
    set_direct: SetDirect,
}

impl Default for RealDisk {
    fn default() -> RealDisk {
        RealDisk { buffers: Buffers::default(), set_direct: output::set_direct }
    }
}

#[cfg(test)]
impl RealDisk {
    /// One that has no direct I/O.
    pub(super) fn buffered() -> RealDisk {
        RealDisk { set_direct: output::no_direct, ..RealDisk::default() }
    }
}

impl Disk for RealDisk {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        #[cfg_attr(not(unix), allow(unused_mut))]
        let mut builder = fs::DirBuilder::new();
        // Others have no business in it, whatever the umask allows.
        #[cfg(unix)]
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o755);
        match builder.create(path) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists && path.is_dir() => Ok(()),
            result => result,
        }
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        if cfg!(not(unix)) {
            // Directories cannot be opened for this elsewhere; NTFS journals its names by itself.
            return Ok(());
        }
        match File::open(path)?.sync_all() {
            // What some network and FUSE file systems answer: they have no such operation, and nothing was lost.
            Err(error)
                if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) =>
            {
                tracing::warn!(path = %path.display(), "this file system cannot make directory entries durable");
                Ok(())
            }
            result => result,
        }
    }

    fn create_temporary(&self, directory: &Path) -> io::Result<NewFile> {
        let (file, path) = name::temporary().tempfile_in(directory)?.into_parts();
        Ok(NewFile {
            path: path.keep()?,
            output: Box::new(FileOutput::new(file, self.buffers.clone(), self.set_direct)?),
        })
    }

    fn create_empty(&self, path: &Path) -> io::Result<()> {
        OpenOptions::new().write(true).create_new(true).open(path).map(drop)
    }

    fn rename_to_temporary(&self, from: &Path, directory: &Path) -> io::Result<PathBuf> {
        if fs::symlink_metadata(from)?.is_dir() {
            // Not a file of ours, and it could be neither written over nor removed: it would stay under that name.
            return Err(io::ErrorKind::IsADirectory.into());
        }
        let renamed = name::temporary().make_in(directory, |to| self.rename(from, to))?;
        Ok(renamed.into_temp_path().keep()?)
    }

    fn recycle(&self, path: &Path) -> io::Result<Box<dyn Output>> {
        let mut options = OpenOptions::new();
        options.read(true).write(true);
        no_follow_no_wait(&mut options);
        let file = options.open(path)?;
        if !is_only_ours(&must_be_regular(&file)?) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "somebody else can reach it"));
        }
        // Readers hold a shared lock. Ours goes when the file is closed, before it is published.
        file.try_lock()?;
        Ok(Box::new(FileOutput::new(file, self.buffers.clone(), self.set_direct)?))
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
        // Not atomic, but nobody else publishes here: the lock is ours.
        if fs::symlink_metadata(to).is_ok() {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn lock(&self, path: &Path, holder: &str) -> io::Result<Locking> {
        loop {
            let mut options = OpenOptions::new();
            options.read(true).write(true).create(true).truncate(false);
            no_follow_no_wait(&mut options);
            let mut file = options.open(path)?;
            must_be_regular(&file)?;
            match file.try_lock() {
                Ok(()) => {}
                Err(TryLockError::WouldBlock) => {
                    let mut holder = String::new();
                    // Best effort: it is only told to the user.
                    let _ = file.take(200).read_to_string(&mut holder);
                    return Ok(Locking::Held(holder));
                }
                Err(TryLockError::Error(error)) => return Err(error),
            }
            let lock = FileLock(file.try_clone()?);
            // Between opening and locking, the file could have been removed, and another created and locked.
            if lock.is_at(path) {
                if !has_one_name(&file.metadata()?) {
                    // Somebody's own file, under our name: it is locked, but not written to.
                    return Ok(Locking::Taken(Box::new(lock)));
                }
                // Only told to the user; a full disk must not keep a program from loading.
                let _ = file.set_len(0);
                let _ = file.seek(SeekFrom::Start(0)).and_then(|_| file.write_all(holder.as_bytes()));
                return Ok(Locking::Taken(Box::new(lock)));
            }
        }
    }

    fn open_log(&self, path: &Path) -> io::Result<Box<dyn Log>> {
        let mut options = OpenOptions::new();
        options.append(true).create(true);
        no_follow_no_wait(&mut options);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(path)?;
        must_be_regular(&file)?;
        Ok(Box::new(FileLog(file)))
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
        let mut options = OpenOptions::new();
        options.read(true);
        // Opening a FIFO must not wait for a writer.
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::custom_flags(
            &mut options,
            rustix_flags(rustix::fs::OFlags::NONBLOCK),
        );
        let file = options.open(path)?;
        let length = must_be_regular(&file)?.len();
        // Keeps the file from being recycled while it is read. It may have been retired already: then it is no longer
        // the file of that name. A lock that somebody else has on a file which is still published does not matter.
        let _ = file.try_lock_shared();
        if !is_same_file(&file.metadata()?, &fs::metadata(path)?) {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Box::new(FileSource {
            file,
            length,
            #[cfg(not(unix))]
            position: std::sync::Mutex::new(()),
        }))
    }
}

#[cfg(unix)]
fn rustix_flags(flags: rustix::fs::OFlags) -> i32 {
    flags.bits().cast_signed()
}

/// The lock file is written to: it must be a file of this directory, not what a symbolic link leads to.
fn no_follow_no_wait(options: &mut OpenOptions) {
    #[cfg(unix)]
    {
        use rustix::fs::OFlags;
        use std::os::unix::fs::OpenOptionsExt;
        options.mode(0o600).custom_flags(rustix_flags(OFlags::NOFOLLOW | OFlags::NONBLOCK));
    }
    #[cfg(not(unix))]
    let _ = options;
}

fn must_be_regular(file: &File) -> io::Result<fs::Metadata> {
    let metadata = file.metadata()?;
    if metadata.is_file() {
        return Ok(metadata);
    }
    let kind = if metadata.is_dir() { "a directory" } else { "neither a file nor a directory" };
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {kind}, not a regular file")))
}

/// Whether both are of one file, under whatever names.
fn is_same_file(one: &fs::Metadata, other: &fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        one.dev() == other.dev() && one.ino() == other.ino()
    }
    #[cfg(not(unix))]
    {
        one.is_file() && other.is_file()
    }
}

/// Whether a file is as we create them: under one name, ours, and closed to everybody else. Where that cannot be told, it
/// is not.
fn is_only_ours(metadata: &fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        use std::os::unix::fs::MetadataExt;
        has_one_name(metadata)
            && metadata.mode() & 0o7777 == 0o600
            && metadata.uid() == rustix::process::geteuid().as_raw()
    }
    #[cfg(not(unix))]
    {
        let _ = metadata;
        false
    }
}

/// Whether a file is reachable by one name only.
fn has_one_name(metadata: &fs::Metadata) -> bool {
    #[cfg(unix)]
    {
        std::os::unix::fs::MetadataExt::nlink(metadata) == 1
    }
    #[cfg(not(unix))]
    {
        metadata.is_file()
    }
}

#[derive(Debug)]
struct FileLock(File);

impl Lock for FileLock {
    fn is_at(&self, path: &Path) -> bool {
        match (self.0.metadata(), fs::symlink_metadata(path)) {
            (Ok(held), Ok(found)) => is_same_file(&held, &found),
            _ => false,
        }
    }
}

struct FileSource {
    file: File,
    length: u64,
    #[cfg(not(unix))]
    position: std::sync::Mutex<()>,
}

/// A file that grows line by line.
#[derive(Debug)]
struct FileLog(File);

impl Log for FileLog {
    fn append(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.0.write_all(bytes)
    }

    fn length(&self) -> io::Result<u64> {
        self.0.metadata().map(|metadata| metadata.len())
    }

    fn modified(&self) -> io::Result<SystemTime> {
        self.0.metadata()?.modified()
    }

    fn set_modified(&mut self, time: SystemTime) -> io::Result<()> {
        self.0.set_modified(time)
    }
}

impl Source for FileSource {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        #[cfg(unix)]
        {
            std::os::unix::fs::FileExt::read_exact_at(&self.file, buffer, offset)
        }
        #[cfg(not(unix))]
        {
            // There is one position for all who read.
            let _alone = self.position.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
            let mut file = &self.file;
            file.seek(SeekFrom::Start(offset))?;
            file.read_exact(buffer)
        }
    }
}
