//! Reads a generation by ranges, in few requests.

use std::collections::VecDeque;
use std::io;
use std::ops::Range;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use checkpointed::home::Source;
use object_store::path::Path;

use crate::place::Place;

/// The last bytes of an object, which are read first and kept: the manifest and the list of entries
/// are there. A small checkpoint is all of it.
const TAIL: u64 = 256 << 10;

/// The bytes that the manifest has for a checksum of 1 MiB, rounded up.
const TAIL_PER_MIB: u64 = 16;

/// The number of bytes that one request reads. A header and the data behind it are in one block.
const BLOCK: u64 = 8 << 20;

/// A generation in a store.
#[derive(Debug)]
pub(crate) struct ObjectSource {
    place: Arc<Place>,
    key: Path,
    length: u64,
    tail: Bytes,
    /// The bytes that will be read, and none around them, as far as that is known.
    wanted: Mutex<Range<u64>>,
    /// The blocks that were used last.
    blocks: Mutex<VecDeque<Arc<Block>>>,
}

#[derive(Debug)]
struct Block {
    place: Range<u64>,
    /// `None` until it is read.
    bytes: Mutex<Option<Bytes>>,
}

impl ObjectSource {
    /// Opens an object of this length.
    pub(crate) fn open(place: &Arc<Place>, key: Path, length: u64) -> io::Result<ObjectSource> {
        let tail = TAIL + (length >> 20) * TAIL_PER_MIB;
        let tail = place.read(&key, length.saturating_sub(tail), length, length)?;
        let (wanted, blocks) = (Mutex::new(0..0), Mutex::default());
        Ok(ObjectSource { place: Arc::clone(place), key, length, tail, wanted, blocks })
    }

    /// The beginning of the last bytes, which are kept.
    fn tail(&self) -> u64 {
        self.length - self.tail.len() as u64
    }

    /// The place of the block that has this byte.
    fn around(&self, offset: u64) -> Range<u64> {
        let wanted = self.wanted.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let within = if wanted.contains(&offset) { wanted } else { 0..self.length };
        let from = offset - (offset - within.start) % BLOCK;
        from..from.saturating_add(BLOCK).min(within.end).min(self.tail())
    }

    /// The bytes of a block.
    fn block(&self, of: Range<u64>) -> io::Result<Bytes> {
        let block = {
            let mut blocks = self.blocks.lock().unwrap_or_else(PoisonError::into_inner);
            let place = blocks.iter().position(|block| block.place == of);
            let block = place.and_then(|place| blocks.remove(place));
            let block = block.unwrap_or_else(|| Arc::new(Block { place: of, bytes: Mutex::default() }));
            blocks.truncate(self.place.settings.parallel.saturating_sub(1));
            blocks.push_front(Arc::clone(&block));
            block
        };
        // Other threads that want the same block wait for this one.
        let mut bytes = block.bytes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(bytes) = &*bytes {
            return Ok(bytes.clone());
        }
        let Range { start, end } = block.place;
        let read = self.place.read(&self.key, start, end, self.length)?;
        Ok(bytes.insert(read).clone())
    }
}

impl Source for ObjectSource {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, mut buffer: &mut [u8], mut offset: u64) -> io::Result<()> {
        let end = offset.checked_add(buffer.len() as u64).filter(|end| *end <= self.length);
        end.ok_or(io::ErrorKind::UnexpectedEof)?;
        let tail = self.tail();
        while !buffer.is_empty() {
            let (bytes, from) = if offset >= tail {
                (self.tail.clone(), tail)
            } else {
                let block = self.around(offset);
                let from = block.start;
                (self.block(block)?, from)
            };
            let start = usize::try_from(offset - from).map_err(io::Error::other)?;
            let there = bytes.get(start..).ok_or(io::ErrorKind::UnexpectedEof)?;
            let length = there.len().min(buffer.len());
            let (now, later) = buffer.split_at_mut(length);
            now.copy_from_slice(&there[..length]);
            (buffer, offset) = (later, offset + length as u64);
        }
        Ok(())
    }

    fn will_read_only(&self, offset: u64, length: u64) {
        *self.wanted.lock().unwrap_or_else(PoisonError::into_inner) = offset..offset.saturating_add(length);
    }
}
