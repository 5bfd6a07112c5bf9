//! Writes the bytes of one file to the disk.
//!
//! A short file is gathered in memory and written with one call. A long one goes through a few
//! [`buffers`](super::buffers), which are filled in turn while a second thread writes the full
//! ones. That thread asks the file system to bypass its page cache (direct I/O): nothing is copied
//! once more, no page is evicted, and the sync at the end has little left to do. Where a file
//! system refuses, the same calls go through the cache.
//!
//! Of a long file that is written over, only the [`blocks`](super::blocks) that changed go that
//! way.

use std::fs::File;
use std::io::{self, Write};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;

use super::blocks::{Comparison, Known};
use super::buffers::{BUFFERS, Buffer, Buffers};
use super::disk::{Identity, Output, Stamp};
#[cfg(unix)]
use crate::base::host::file_size_limit;
use crate::base::limits::BLOCK;
use crate::store::process::Process;

/// Checks that the process may write a file of that length. Otherwise, a signal (SIGXFSZ) would end
/// the process, and programs do not expect it.
pub(crate) fn check_limit(length: u64) -> io::Result<()> {
    #[cfg(unix)]
    if file_size_limit().is_some_and(|limit| length > limit) {
        return Err(rustix::io::Errno::FBIG.into());
    }
    #[cfg(not(unix))]
    let _ = length;
    Ok(())
}

/// Turns direct I/O for a file on or off; an error where the system has none. Tests have other ways
/// than [`set_direct`].
pub(super) type SetDirect = fn(&File, bool) -> io::Result<()>;

/// A file that is written from its start.
#[derive(Debug)]
pub(super) struct FileOutput {
    file: Arc<File>,
    set_direct: SetDirect,
    /// The former length of the file; it may have been another generation.
    former: u64,
    /// All bytes, while the file is short.
    short: Option<Vec<u8>>,
    /// The number of bytes so far, whether they were written or left out.
    position: u64,
    left_out: u64,
    /// Finds the blocks that are left out.
    comparison: Option<Comparison>,
    is_synced: bool,
    buffer: Option<Buffer>,
    buffers: Buffers,
    thread: Option<WriterThread>,
}

impl FileOutput {
    /// A file with this former length.
    pub(super) fn new(
        file: File,
        former: u64,
        buffers: Buffers,
        set_direct: SetDirect,
        comparison: Option<Comparison>,
    ) -> FileOutput {
        FileOutput {
            file: Arc::new(file),
            set_direct,
            former,
            short: Some(buffers.get_short()),
            position: 0,
            left_out: 0,
            comparison,
            is_synced: false,
            buffer: None,
            buffers,
            thread: None,
        }
    }

    /// Moves the bytes of a file that becomes long to its first buffer.
    fn become_long(&mut self) -> io::Result<()> {
        let Some(short) = self.short.take() else { return Ok(()) };
        let mut rest = &short[..];
        while !rest.is_empty() {
            let count = self.put(rest)?;
            rest = rest.get(count..).unwrap_or_default();
        }
        self.buffers.put_short(short);
        Ok(())
    }

    /// Takes some of the next bytes of a long file, and returns their number.
    fn put(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let Some(comparison) = &mut self.comparison else { return self.take(bytes) };
        let begun = usize::try_from(self.position % BLOCK as u64).unwrap_or_default();
        let bytes = bytes.get(..BLOCK - begun).unwrap_or(bytes);
        if bytes.len() == BLOCK && comparison.has(bytes) {
            self.position += BLOCK as u64;
            self.left_out += BLOCK as u64;
            return Ok(BLOCK);
        }
        let is_whole = bytes.len() < BLOCK && begun + bytes.len() == BLOCK;
        let count = self.gather(bytes)?;
        if is_whole
            && let (Some(buffer), Some(comparison)) = (&mut self.buffer, &mut self.comparison)
            && comparison.has(buffer.last(BLOCK))
        {
            buffer.give_up(BLOCK);
            self.left_out += BLOCK as u64;
        }
        self.pass_on_full_buffer()?;
        Ok(count)
    }

    fn take(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.gather(bytes)?;
        self.pass_on_full_buffer()?;
        Ok(count)
    }

    /// Copies some of the next bytes to the buffer, which is not full.
    fn gather(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let buffer = match &mut self.buffer {
            Some(buffer) => buffer,
            none => none.insert(self.buffers.get().ok_or(io::ErrorKind::OutOfMemory)?),
        };
        let count = buffer.take(self.position, bytes);
        self.position += count as u64;
        Ok(count)
    }

    fn pass_on_full_buffer(&mut self) -> io::Result<()> {
        let Some(mut full) = self.buffer.take_if(|buffer| buffer.is_full()) else { return Ok(()) };
        let thread = match &mut self.thread {
            Some(thread) => thread,
            none => match WriterThread::start(Arc::clone(&self.file), &self.buffers, self.set_direct) {
                Ok(thread) => none.insert(thread),
                // The system refuses a thread (`ulimit -u`): this one writes by itself.
                Err(_) => {
                    write_runs(&self.file, &full)?;
                    full.clear();
                    self.buffer = Some(full);
                    return Ok(());
                }
            },
        };
        self.buffer = thread.exchange(full);
        // The thread ends early only when it could not write; its result has the error.
        if self.buffer.is_none() { self.end_thread() } else { Ok(()) }
    }

    /// Waits until all full buffers are written.
    fn end_thread(&mut self) -> io::Result<()> {
        let Some(thread) = self.thread.take() else { return Ok(()) };
        drop(thread.full);
        let outcome = thread.handle.join();
        thread.empty.try_iter().for_each(|buffer| self.buffers.put(buffer));
        outcome.unwrap_or_else(|_| Err(io::Error::other("the thread that writes has panicked")))
    }
}

impl Write for FileOutput {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(short) = &mut self.short {
            if self.buffers.append(short, bytes) {
                return Ok(bytes.len());
            }
            self.become_long()?;
        }
        self.put(bytes)
    }

    /// Does nothing: [`finish`](Output::finish) writes the bytes in memory.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for FileOutput {
    fn finish(&mut self) -> io::Result<()> {
        if self.thread.is_some() {
            self.end_thread()?;
            // The end of a file is not aligned.
            (self.set_direct)(&self.file, false)?;
        }
        if let Some(short) = self.short.take() {
            write_all_at(&self.file, &short, 0)?;
            self.position = short.len() as u64;
            self.buffers.put_short(short);
            self.comparison = None;
        }
        if let Some(last) = self.buffer.take() {
            write_runs(&self.file, &last)?;
            self.buffers.put(last);
        }
        if self.former > self.position {
            self.file.set_len(self.position)?;
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.file.sync_data()?;
        self.is_synced = true;
        Ok(())
    }

    fn identity(&self) -> Option<Identity> {
        self.file.metadata().ok().and_then(|metadata| Identity::of(&metadata))
    }

    fn written(&self) -> u64 {
        self.position - self.left_out
    }

    fn known(&mut self) -> Option<Known> {
        let comparison = self.comparison.take_if(|_| self.is_synced)?;
        let stamp = Stamp::of(&self.file.metadata().ok()?)?;
        (stamp.length == self.position).then(|| comparison.into_known(stamp))
    }
}

impl Drop for FileOutput {
    fn drop(&mut self) {
        if self.thread.as_ref().is_none_or(|thread| thread.process.is_current()) {
            // The file is given up: whatever happens to the writes, the thread must not outlive
            // them.
            let _ = self.end_thread();
        } else {
            // A forked process does not have the thread, and would wait for it forever.
            std::mem::forget(self.thread.take());
        }
    }
}

/// The thread that writes full buffers, and the channels to it and back.
#[derive(Debug)]
struct WriterThread {
    full: Sender<Buffer>,
    empty: Receiver<Buffer>,
    handle: JoinHandle<io::Result<()>>,
    /// The process of the thread.
    process: Process,
}

impl WriterThread {
    fn start(file: Arc<File>, buffers: &Buffers, set_direct: SetDirect) -> io::Result<WriterThread> {
        let (full, to_write) = channel::<Buffer>();
        let (written, empty) = channel();
        let given = written.clone();
        let handle = std::thread::Builder::new().name("checkpoint-writer".to_owned()).spawn(move || {
            let mut direct = set_direct(&file, true).is_ok();
            for mut buffer in to_write {
                let mut result = write_runs(&file, &buffer);
                if direct && matches!(&result, Err(error) if error.kind() == io::ErrorKind::InvalidInput) {
                    // Some file systems accept the flag and then refuse the write.
                    direct = false;
                    set_direct(&file, false)?;
                    result = write_runs(&file, &buffer);
                }
                result?;
                buffer.clear();
                if written.send(buffer).is_err() {
                    break;
                }
            }
            Ok(())
        })?;
        // One buffer is being filled already. Without memory for more, it is the only one, and the
        // thread gives it back.
        for buffer in (1..BUFFERS).map_while(|_| buffers.get()) {
            let _ = given.send(buffer);
        }
        Ok(WriterThread { full, empty, handle, process: Process::current() })
    }

    /// Hands over a full buffer, and waits for one to fill. `None` where the thread has ended.
    fn exchange(&self, full: Buffer) -> Option<Buffer> {
        self.full.send(full).ok()?;
        self.empty.recv().ok()
    }
}

fn write_runs(file: &File, buffer: &Buffer) -> io::Result<()> {
    buffer.runs().try_for_each(|(offset, bytes)| write_all_at(file, bytes, offset))
}

#[cfg(unix)]
pub(super) fn write_all_at(file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    check_limit(offset.saturating_add(bytes.len() as u64))?;
    std::os::unix::fs::FileExt::write_all_at(file, bytes, offset)
}

#[cfg(not(unix))]
pub(super) fn write_all_at(mut file: &File, bytes: &[u8], offset: u64) -> io::Result<()> {
    use std::io::{Seek, SeekFrom};
    file.seek(SeekFrom::Start(offset))?;
    file.write_all(bytes)
}

/// Asks the operating system for direct I/O.
pub(super) fn set_direct(file: &File, on: bool) -> io::Result<()> {
    #[cfg(any(target_os = "linux", target_os = "android"))]
    {
        use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
        let mut flags = fcntl_getfl(file)?;
        flags.set(OFlags::DIRECT, on);
        Ok(fcntl_setfl(file, flags)?)
    }
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    {
        let _ = file;
        if on { Err(io::ErrorKind::Unsupported.into()) } else { Ok(()) }
    }
}

/// Acts like a file system without direct I/O.
#[cfg(test)]
pub(super) fn no_direct(_: &File, on: bool) -> io::Result<()> {
    if on { Err(io::ErrorKind::InvalidInput.into()) } else { Ok(()) }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::base::limits::BUFFER;
    use crate::store::local::buffers::SHORT;

    const WAYS: [SetDirect; 2] = [set_direct, no_direct];

    fn bytes(length: usize) -> Vec<u8> {
        (0..=250).cycle().take(length).collect()
    }

    /// Overwrites a file that holds something else.
    fn written(bytes: &[u8], piece: usize, buffers: &Buffers, way: SetDirect) -> Vec<u8> {
        let mut file = tempfile::NamedTempFile::new().unwrap();
        file.write_all(&vec![0xff; 3 * BUFFER + 5]).unwrap();
        let former = 3 * BUFFER as u64 + 5;
        let mut output = FileOutput::new(file.reopen().unwrap(), former, buffers.clone(), way, None);
        bytes.chunks(piece).for_each(|piece| output.write_all(piece).unwrap());
        output.finish().unwrap();
        output.sync().unwrap();
        std::fs::read(file.path()).unwrap()
    }

    #[test]
    fn a_file_has_exactly_the_written_bytes_direct_or_cached() {
        let buffers = Buffers::default();
        for way in WAYS {
            let about_short = [0, 1, SHORT - 1, SHORT, SHORT + 1];
            let about_long = [BUFFER - 1, BUFFER, BUFFER + 1, 2 * BUFFER, 6 * BUFFER + 4095];
            for length in about_short.into_iter().chain(about_long) {
                let bytes = bytes(length);
                for piece in [SHORT / 2, 100_003, 5 * BUFFER] {
                    let written = written(&bytes, piece, &buffers, way);
                    assert!(written == bytes, "{length} bytes by {piece} became {}", written.len());
                }
            }
        }
        assert_eq!(buffers.count(), BUFFERS, "all came back, and no more are kept");
    }

    #[test]
    fn a_short_file_takes_no_buffer() {
        let buffers = Buffers::default();
        for length in [8, SHORT, 8] {
            let bytes = bytes(length);
            assert!(written(&bytes, 1 << 16, &buffers, set_direct) == bytes);
            assert_eq!(buffers.count(), 0, "{length}");
        }
    }

    #[test]
    fn refused_direct_writes_go_through_the_cache() {
        // No disk writes from memory at an odd address, but a cache does.
        let buffers = Buffers::default();
        for _ in 0..BUFFERS {
            buffers.put(Buffer::at_an_odd_address().unwrap());
        }
        let bytes = bytes(5 * BUFFER + 7);
        assert!(written(&bytes, BUFFER, &buffers, set_direct) == bytes);
    }

    #[test]
    fn a_failed_write_of_the_second_thread_is_an_error_and_no_hang() {
        for way in WAYS {
            for length in [BUFFER, 20 * BUFFER] {
                let file = tempfile::NamedTempFile::new().unwrap();
                let not_for_writing = File::open(file.path()).unwrap();
                let mut output = FileOutput::new(not_for_writing, 0, Buffers::default(), way, None);
                let outcome = output.write_all(&bytes(length)).and_then(|()| output.finish());
                assert_eq!(outcome.unwrap_err().raw_os_error(), Some(9), "it is not open for writing");
                assert_eq!(std::fs::read(file.path()).unwrap(), b"");
            }
        }
    }

    #[test]
    fn without_memory_for_more_one_buffer_writes_a_long_file() {
        for most in 1..=BUFFERS {
            let bytes = bytes(5 * BUFFER + 7);
            assert!(written(&bytes, BUFFER, &Buffers::at_most(most), set_direct) == bytes, "{most}");
        }
        let file = tempfile::tempfile().unwrap();
        let mut output = FileOutput::new(file, 0, Buffers::at_most(0), set_direct, None);
        let error = output.write_all(b"anything").unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::OutOfMemory);
    }
}
