//! The memory through which the bytes of files go to the disk.
//!
//! A buffer is one huge page, where the system has huge pages: the disk takes it in one request,
//! and as many small pages in several. A short file has memory of its own, which is as small as the
//! file: the first byte in a huge page takes all of it.

#[cfg(test)]
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use memmap2::MmapMut;

use crate::base::limits::{BLOCK, BUFFER};

/// The number of buffers of a long file: one is filled while the others wait or are written.
pub(super) const BUFFERS: usize = 4;

/// The length of a file that needs no buffer, in bytes.
pub(super) const SHORT: usize = 256 << 10;

// Direct I/O needs memory, places and lengths that are multiples of the size of a sector, which is
// 4096 bytes at most. Both are true of this size at an address that is a multiple of it.
const _: () = assert!(BUFFER.is_power_of_two() && BUFFER >= 4096 && SHORT <= BUFFER);
// No block is in two buffers, and each begins where direct I/O can.
const _: () = assert!(BUFFER.is_multiple_of(BLOCK) && BLOCK.is_multiple_of(4096));

/// A piece of memory at an address that direct I/O accepts.
#[derive(Debug)]
pub(super) struct Buffer {
    memory: MmapMut,
    start: usize,
    filled: usize,
    /// The places of its bytes in the file, in their order.
    runs: Vec<Run>,
}

/// Bytes that follow each other in the file, as they do in the buffer.
#[derive(Clone, Copy, Debug)]
struct Run {
    offset: u64,
    length: usize,
}

impl Buffer {
    /// `None` where there is no memory for it.
    fn new() -> Option<Buffer> {
        // Memory of the system has the alignment of a small page. Only the touched part takes
        // space.
        let memory = MmapMut::map_anon(2 * BUFFER).ok()?;
        #[cfg(target_os = "linux")]
        // This is only advice: small pages do as well, more slowly.
        let _ = memory.advise(memmap2::Advice::HugePage);
        let start = memory.as_ptr().align_offset(BUFFER);
        Some(Buffer { memory, start, filled: 0, runs: Vec::new() })
    }

    /// A buffer that no disk writes from directly.
    #[cfg(test)]
    pub(super) fn at_an_odd_address() -> Option<Buffer> {
        Buffer::new().map(|buffer| Buffer { start: 1, ..buffer })
    }

    /// The bytes, each run with its offset in the file.
    pub(super) fn runs(&self) -> impl Iterator<Item = (u64, &[u8])> {
        let mut from = self.start;
        self.runs.iter().map(move |run| {
            let bytes = self.memory.get(from..from + run.length).unwrap_or_default();
            from += run.length;
            (run.offset, bytes)
        })
    }

    /// The last bytes, of this number.
    pub(super) fn last(&self, count: usize) -> &[u8] {
        let end = self.start + self.filled;
        self.memory.get(end - count.min(self.filled)..end).unwrap_or_default()
    }

    /// Gives up the last bytes, which are of one run.
    pub(super) fn give_up(&mut self, count: usize) {
        self.filled = self.filled.saturating_sub(count);
        if let Some(run) = self.runs.last_mut() {
            run.length = run.length.saturating_sub(count);
        }
        self.runs.pop_if(|run| run.length == 0);
    }

    /// Takes as many of `bytes` as fit, for this offset in the file, and returns their number.
    pub(super) fn take(&mut self, offset: u64, bytes: &[u8]) -> usize {
        let from = self.start + self.filled;
        let free = self.memory.get_mut(from..self.start + BUFFER).unwrap_or_default();
        let count = free.len().min(bytes.len());
        if let (Some(free), Some(bytes)) = (free.get_mut(..count), bytes.get(..count)) {
            free.copy_from_slice(bytes);
        }
        self.filled += count;
        match self.runs.last_mut() {
            Some(run) if run.offset + run.length as u64 == offset => run.length += count,
            _ if count == 0 => {}
            _ => self.runs.push(Run { offset, length: count }),
        }
        count
    }

    /// All of it, for bytes that are read.
    pub(super) fn whole(&mut self) -> &mut [u8] {
        self.memory.get_mut(self.start..self.start + BUFFER).unwrap_or_default()
    }

    pub(super) fn is_full(&self) -> bool {
        self.filled == BUFFER
    }

    pub(super) fn clear(&mut self) {
        self.filled = 0;
        self.runs.clear();
    }
}

/// The memory that waits for the next file. It is warm; that of a new allocation is not.
#[derive(Clone, Debug, Default)]
pub(super) struct Buffers {
    waiting: Arc<Mutex<Waiting>>,
    /// The most buffers at a time, for tests of a machine without memory.
    #[cfg(test)]
    left: Option<Arc<AtomicUsize>>,
}

#[derive(Debug, Default)]
struct Waiting {
    buffers: Vec<Buffer>,
    short: Vec<u8>,
}

impl Buffers {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// An empty buffer; `None` where there is no memory for it.
    pub(super) fn get(&self) -> Option<Buffer> {
        let waiting = self.waiting().buffers.pop();
        let mut buffer = waiting.or_else(|| self.allocate())?;
        buffer.clear();
        Some(buffer)
    }

    pub(super) fn put(&self, buffer: Buffer) {
        let mut waiting = self.waiting();
        if waiting.buffers.len() < BUFFERS {
            waiting.buffers.push(buffer);
        }
    }

    /// Memory for a short file, which is empty and may have to grow.
    pub(super) fn get_short(&self) -> Vec<u8> {
        std::mem::take(&mut self.waiting().short)
    }

    pub(super) fn put_short(&self, mut short: Vec<u8>) {
        short.clear();
        self.waiting().short = short;
    }

    /// Appends to the memory for a short file. Returns false where there is none for all of
    /// `bytes`.
    pub(super) fn append(&self, short: &mut Vec<u8>, bytes: &[u8]) -> bool {
        #[cfg(test)]
        if self.left.as_ref().is_some_and(|left| left.load(Relaxed) == 0) {
            return false;
        }
        let fits = short.len() + bytes.len() <= SHORT && short.try_reserve(bytes.len()).is_ok();
        if fits {
            short.extend_from_slice(bytes);
        }
        fits
    }

    fn allocate(&self) -> Option<Buffer> {
        #[cfg(test)]
        if let Some(left) = &self.left
            && left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err()
        {
            return None;
        }
        Buffer::new()
    }
}

#[cfg(test)]
impl Buffers {
    /// Memory for at most this number of buffers.
    pub(super) fn at_most(count: usize) -> Buffers {
        Buffers { left: Some(Arc::new(AtomicUsize::new(count))), ..Buffers::default() }
    }

    /// The number of buffers that wait.
    pub(super) fn count(&self) -> usize {
        self.waiting().buffers.len()
    }
}
