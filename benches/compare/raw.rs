//! The limits of the machine for a save and a load.

use std::cell::RefCell;
use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use memmap2::MmapMut;

use crate::rounds::{Case, Outcome, timed};

pub(crate) const COPY: &str = "warm memcpy";
/// The C library writes a very long copy past the processor's cache, and so avoids a read of the
/// old bytes. A copy as short as one of many arrays does not get this.
pub(crate) const COPY_PIECES: &str = "warm memcpy, in pieces of 1 MiB";
pub(crate) const OVERWRITE: &str = "raw: O_DIRECT overwrite + fdatasync";
/// The true limit. The system passes a huge page to the disk in one request, and as many small
/// pages in several.
pub(crate) const OVERWRITE_HUGE: &str = "raw: O_DIRECT overwrite from huge pages + fdatasync";
pub(crate) const NEW_FILE: &str = "raw: new file + write + fsync";
pub(crate) const READ_WARM: &str = "raw: read into warm memory";
pub(crate) const READ_FRESH: &str = "raw: std::fs::read";
pub(crate) const READ_COLD: &str = "raw: std::fs::read, not cached";
/// As `dd bs=1M`: through the system's cache, into one warm buffer.
pub(crate) const READ_PIECES_COLD: &str = "raw: read in pieces of 1 MiB, not cached";
/// Past the system's cache, into one huge page of each thread.
pub(crate) const READ_DIRECT_COLD: &str = "raw: O_DIRECT reads by two threads, not cached";

/// The length of a direct write. This disk is at its fastest with 1 to 8 MiB; one buffer stays
/// warm.
const CHUNK: usize = 2 << 20;
const ALIGNMENT: usize = 4096;

/// A buffer of zeros for direct writes.
struct Buffer {
    memory: MmapMut,
    start: usize,
}

impl Buffer {
    /// The buffer is one huge page, where the system has huge pages and they are wanted.
    fn new(is_huge: bool) -> Outcome<Buffer> {
        let memory = MmapMut::map_anon(2 * CHUNK)?;
        let start = memory.as_ptr().align_offset(CHUNK);
        #[cfg(target_os = "linux")]
        {
            use memmap2::Advice::{HugePage, NoHugePage};
            // A system without huge pages has one kind of pages.
            let _ = memory.advise(if is_huge { HugePage } else { NoHugePage });
        }
        #[cfg(not(target_os = "linux"))]
        let _ = is_huge;
        Ok(Buffer { memory, start })
    }

    fn bytes(&mut self) -> &mut [u8] {
        &mut self.memory[self.start..][..CHUNK]
    }
}

/// The files and buffers for the limits of saves.
pub(crate) struct Limits {
    bytes: usize,
    from: Vec<u8>,
    to: RefCell<Vec<u8>>,
    overwritten: PathBuf,
    /// The directory of this library's saves that recycle.
    recycled: PathBuf,
    created: PathBuf,
}

impl Limits {
    /// Prepares all limits.
    pub(crate) fn new(folder: &Path, bytes: usize) -> Outcome<Limits> {
        let mut limits = Limits::of_disk(folder, bytes)?;
        limits.from = (0..=250).cycle().take(bytes).collect();
        limits.to = RefCell::new(vec![1; bytes]);
        Ok(limits)
    }

    /// Prepares [`overwrite`](Limits::overwrite) alone, which takes hardly any memory.
    pub(crate) fn of_disk(folder: &Path, bytes: usize) -> Outcome<Limits> {
        let overwritten = folder.join("overwritten");
        let mut file = File::create(&overwritten)?;
        let chunk = vec![3; CHUNK];
        let mut left = bytes;
        while left > 0 {
            let now = left.min(CHUNK);
            file.write_all(&chunk[..now])?;
            left -= now;
        }
        file.sync_all()?;
        let created = folder.join("created");
        Ok(Limits {
            bytes,
            from: Vec::new(),
            to: RefCell::default(),
            overwritten,
            created,
            recycled: folder.join("recycled.ckpt"),
        })
    }

    pub(crate) fn saves(&self) -> Outcome<Vec<Case<'_>>> {
        let mut cases = vec![self.copy(COPY, usize::MAX), self.copy(COPY_PIECES, 1 << 20)];
        cases.extend(self.overwrite()?);
        cases.push(Case::new(NEW_FILE, || {
            remove(&self.created)?;
            let (duration, ()) = timed(|| {
                let mut file = File::create(&self.created)?;
                file.write_all(&self.from)?;
                Ok(file.sync_all()?)
            })?;
            Ok(duration)
        }));
        Ok(cases)
    }

    fn copy(&self, name: &str, piece: usize) -> Case<'_> {
        Case::new(name, move || {
            let mut to = self.to.borrow_mut();
            let (duration, ()) = timed(|| {
                for (to, from) in to.chunks_mut(piece).zip(self.from.chunks(piece)) {
                    to.copy_from_slice(from);
                    black_box(&*to);
                }
                Ok(())
            })?;
            Ok(duration)
        })
    }

    /// Empty without direct I/O.
    pub(crate) fn overwrite(&self) -> Outcome<Vec<Case<'_>>> {
        if open_direct(&self.overwritten).is_err() {
            println!("no direct I/O here: {OVERWRITE} is left out");
            return Ok(Vec::new());
        }
        let of = |name, is_huge| -> Outcome<Case<'_>> {
            let mut buffer = Buffer::new(is_huge)?;
            Ok(Case::new(name, move || self.overwrite_from(buffer.bytes())))
        };
        Ok(vec![of(OVERWRITE, false)?, of(OVERWRITE_HUGE, true)?])
    }

    fn overwrite_from(&self, buffer: &mut [u8]) -> Outcome<Duration> {
        // Some places of a disk are faster than others, so all measurements use the same place:
        // this is the very file that the next recycling save overwrites.
        let spare = spare_in(&self.recycled);
        let mut file = open_direct(spare.as_ref().unwrap_or(&self.overwritten))?;
        buffer.fill(2);
        let (duration, ()) = timed(|| {
            file.seek(SeekFrom::Start(0))?;
            let mut left = self.bytes - self.bytes % ALIGNMENT;
            while left > 0 {
                let now = left.min(buffer.len());
                file.write_all(&buffer[..now])?;
                left -= now;
            }
            Ok(file.sync_data()?)
        })?;
        Ok(duration)
    }
}

/// The limits of loads, on an existing file.
pub(crate) fn reads(path: &Path) -> Outcome<Vec<Case<'static>>> {
    let length = usize::try_from(fs::metadata(path)?.len())?;
    let mut warm = vec![1_u8; length];
    let path = path.to_owned();
    let [one, two, three, four, five] = std::array::from_fn(|_| path.clone());
    let mut buffers = [Buffer::new(true)?, Buffer::new(true)?];
    Ok(vec![
        Case::new(READ_WARM, move || {
            cache(&one)?;
            let (duration, ()) = timed(|| Ok(File::open(&one)?.read_exact(&mut warm)?))?;
            Ok(duration)
        }),
        Case::new(READ_FRESH, move || {
            cache(&two)?;
            Ok(timed(|| Ok(fs::read(&two)?))?.0)
        }),
        Case::new(READ_COLD, move || {
            forget(&three)?;
            Ok(timed(|| Ok(fs::read(&three)?))?.0)
        }),
        Case::new(READ_PIECES_COLD, move || {
            forget(&four)?;
            Ok(timed(|| cache(&four))?.0)
        }),
        Case::new(READ_DIRECT_COLD, move || {
            forget(&five)?;
            Ok(timed(|| read_direct(&five, length, &mut buffers))?.0)
        }),
    ])
}

/// Reads a file past the system's cache, with one thread for each buffer.
fn read_direct(path: &Path, length: usize, buffers: &mut [Buffer]) -> Outcome<()> {
    let next = AtomicUsize::new(0);
    let read = |buffer: &mut Buffer| -> Outcome<()> {
        let mut file = open_direct(path)?;
        loop {
            let offset = next.fetch_add(CHUNK, Ordering::Relaxed);
            if offset >= length {
                return Ok(());
            }
            // The last read is shorter than the buffer.
            file.seek(SeekFrom::Start(offset as u64))?;
            let _ = file.read(buffer.bytes())?;
        }
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = buffers.iter_mut().map(|buffer| scope.spawn(|| read(buffer))).collect();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })
}

/// Loads the file into the system's cache.
pub(crate) fn cache(path: &Path) -> Outcome<()> {
    let mut file = File::open(path)?;
    let mut buffer = vec![0; 1 << 20];
    while file.read(&mut buffer)? > 0 {}
    Ok(())
}

/// Drops the file from the system's cache, as after a restart of the machine.
pub(crate) fn forget(path: &Path) -> Outcome<()> {
    let file = File::open(path)?;
    file.sync_all()?;
    #[cfg(target_os = "linux")]
    rustix::fs::fadvise(&file, 0, None, rustix::fs::Advice::DontNeed)?;
    Ok(())
}

pub(crate) fn remove(path: &Path) -> Outcome<()> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error.into()),
        _ => Ok(()),
    }
}

fn open_direct(path: &Path) -> Outcome<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true);
    #[cfg(target_os = "linux")]
    {
        use std::os::unix::fs::OpenOptionsExt;
        options.custom_flags(rustix::fs::OFlags::DIRECT.bits().cast_signed());
        Ok(options.open(path)?)
    }
    #[cfg(not(target_os = "linux"))]
    Err(format!("{}: not on this system", path.display()).into())
}

/// A retired generation that waits in a checkpoint directory to be overwritten; its content is not
/// needed any more.
fn spare_in(directory: &Path) -> Option<PathBuf> {
    let entries = fs::read_dir(directory).ok()?;
    entries.flatten().map(|entry| entry.path()).find(|path| path.extension().is_some_and(|end| end == "tmp"))
}
