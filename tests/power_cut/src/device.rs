//! A disk in memory that records its requests, in order.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

/// The unit of storage; an unwritten block is zero and takes no memory.
const BLOCK: u64 = 4096;

/// The content of a disk. A clone shares all equal blocks.
#[derive(Clone)]
pub struct Image {
    blocks: BTreeMap<u64, Arc<[u8; BLOCK as usize]>>,
    pub length: u64,
}

impl Image {
    pub fn new(length: u64) -> Image {
        Image { blocks: BTreeMap::new(), length }
    }

    pub fn read(&self, offset: u64, buffer: &mut [u8]) {
        for (place, byte) in Pieces::of(offset, buffer.len()) {
            let target = &mut buffer[byte.clone()];
            match self.blocks.get(&(place / BLOCK)) {
                Some(block) => {
                    let from = (place % BLOCK) as usize;
                    target.copy_from_slice(&block[from..from + target.len()]);
                }
                None => target.fill(0),
            }
        }
    }

    pub fn write(&mut self, offset: u64, bytes: &[u8]) {
        for (place, byte) in Pieces::of(offset, bytes.len()) {
            let block = self.blocks.entry(place / BLOCK).or_insert_with(|| Arc::new([0; BLOCK as usize]));
            let from = (place % BLOCK) as usize;
            Arc::make_mut(block)[from..from + byte.len()].copy_from_slice(&bytes[byte]);
        }
    }
}

/// A range of bytes, cut at the ends of blocks.
struct Pieces {
    place: u64,
    done: usize,
    length: usize,
}

impl Pieces {
    fn of(place: u64, length: usize) -> Pieces {
        Pieces { place, done: 0, length }
    }
}

impl Iterator for Pieces {
    type Item = (u64, std::ops::Range<usize>);

    fn next(&mut self) -> Option<Self::Item> {
        let left = self.length - self.done;
        if left == 0 {
            return None;
        }
        let count = left.min((BLOCK - self.place % BLOCK) as usize);
        let piece = (self.place, self.done..self.done + count);
        self.place += count as u64;
        self.done += count;
        Some(piece)
    }
}

/// A request to the disk, or an acknowledgement to the program in between.
#[derive(Clone, Debug)]
pub enum Event {
    Write { offset: u64, bytes: Arc<[u8]> },
    /// A flush: everything before it is on the disk.
    Flush,
    /// The program began to save the state with this number, or to make a step with it.
    Begun(Promise),
    /// The program was told that this is saved.
    Told(Promise),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Promise {
    State(u64),
    Step(u64),
}

pub struct Device {
    inner: Mutex<Inner>,
}

struct Inner {
    image: Image,
    log: Option<Vec<Event>>,
}

impl Device {
    pub fn new(image: Image) -> Arc<Device> {
        Arc::new(Device { inner: Mutex::new(Inner { image, log: None }) })
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no thread panics with it")
    }

    pub fn length(&self) -> u64 {
        self.inner().image.length
    }

    pub fn read(&self, offset: u64, buffer: &mut [u8]) {
        self.inner().image.read(offset, buffer);
    }

    pub fn write(&self, offset: u64, bytes: &[u8]) {
        let mut inner = self.inner();
        inner.image.write(offset, bytes);
        if let Some(log) = &mut inner.log {
            log.push(Event::Write { offset, bytes: bytes.into() });
        }
    }

    pub fn note(&self, event: Event) {
        if let Some(log) = &mut self.inner().log {
            log.push(event);
        }
    }

    /// Begins to record, and returns the present content.
    pub fn record(&self) -> Image {
        let mut inner = self.inner();
        inner.log = Some(Vec::new());
        inner.image.clone()
    }

    /// Returns the recorded events.
    pub fn recorded(&self) -> Vec<Event> {
        self.inner().log.take().unwrap_or_default()
    }
}
