//! A disk in memory that records every operation, and can be made to fail.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;
use std::fmt;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::image::{Data, Image, Inode, Node};
use crate::container::Source;
use crate::store::local::blocks::{Comparison, Known, Rewriting};
use crate::store::local::disk::{Disk, Growing, Hold, Identity, Locking, NewFile, Opening, Output, Stamp};
use crate::store::{Lock, Log, name};

/// The number of bytes of one write: a cut can come between two of these, as between two calls of
/// the system.
const PIECE: usize = 256;

/// The size of a block that is left out where the file has it. It is as short as the data of a
/// `u64`, which no other part of the file is in.
const BLOCK: usize = 8;

/// One event, in the order of time.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Event {
    /// A name was given to a new file or directory, or to a file once more.
    Link {
        directory: Inode,
        name: Arc<str>,
        inode: Inode,
        is_directory: bool,
    },
    Rename {
        directory: Inode,
        from: Arc<str>,
        to: Arc<str>,
        inode: Inode,
    },
    Remove {
        directory: Inode,
        name: Arc<str>,
        inode: Inode,
    },
    SyncDirectory {
        directory: Inode,
    },
    Write {
        inode: Inode,
        offset: usize,
        bytes: Arc<[u8]>,
    },
    SetLength {
        inode: Inode,
        length: usize,
    },
    SyncFile {
        inode: Inode,
    },
    /// A sync failed: bytes that were not durable before are gone from the disk, though the system
    /// still shows them.
    Lose {
        inode: Inode,
    },
    /// The program started to save this state.
    Began {
        state: u64,
    },
    /// The program learned that the state is safe, and has this generation; or a load returned the
    /// state.
    Acknowledged {
        state: u64,
        generation: Option<u64>,
    },
    /// From now on these generations must exist.
    Keeps(Vec<Kept>),
    /// The program goes back, or has gone back: from now on a load gives this state or a later one,
    /// of these.
    Rewinds {
        state: u64,
        loadable: Vec<u64>,
    },
}

/// A generation that must exist, with its state.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Kept {
    pub(super) path: PathBuf,
    pub(super) generation: u64,
    pub(super) state: u64,
    /// Until this number of newer ones exist; without a number, forever.
    pub(super) until: Option<usize>,
}

/// A fault of the disk.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Fault {
    /// The operation fails with this error, and does nothing.
    Errno(i32),
    /// All operations from this one on do.
    Lasting(i32),
    /// The first sync of an open file from this operation on fails and loses the data; a later one
    /// of the same file reports success. The number of writes before it makes no difference.
    LosingSync,
    /// It panics, in the thread that saves in the background.
    #[cfg(shuttle)]
    Panic,
}

/// A disk in memory.
#[derive(Debug)]
pub(super) struct SimulatedDisk(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    /// The durable content of the disk before the first event.
    base: Image,
    /// The content that programs see.
    live: Image,
    events: Vec<Event>,
    locked: BTreeSet<Inode>,
    /// The number of times that each file is open for reading, under a shared lock.
    read: BTreeMap<Inode, usize>,
    /// The number of changes of the bytes of each file, and of other changes too: its times.
    times: BTreeMap<Inode, (i64, i64)>,
    names: u64,
    asked: usize,
    fault: Option<(usize, Fault)>,
}

impl SimulatedDisk {
    pub(super) fn new(base: Image) -> Arc<SimulatedDisk> {
        SimulatedDisk::after(base, Vec::new())
    }

    /// The disk as the next process finds it, after a kill of the one before at the end of these
    /// events.
    pub(super) fn after(base: Image, events: Vec<Event>) -> Arc<SimulatedDisk> {
        let mut live = base.clone();
        for event in &events {
            apply(&mut live, event);
        }
        let names = u64::try_from(events.len()).unwrap();
        Arc::new(SimulatedDisk(Mutex::new(Inner {
            base,
            live,
            events,
            locked: BTreeSet::new(),
            read: BTreeMap::new(),
            times: BTreeMap::new(),
            names,
            asked: 0,
            fault: None,
        })))
    }

    /// The first content, and the events since.
    pub(super) fn record(&self) -> (Image, Vec<Event>) {
        let inner = self.inner();
        (inner.base.clone(), inner.events.clone())
    }

    /// The number of events so far.
    #[cfg(feature = "group")]
    pub(super) fn moment(&self) -> usize {
        self.inner().events.len()
    }

    /// Replaces the present image by another, for a reader.
    pub(super) fn show(&self, image: Image) {
        self.inner().live = image;
    }

    /// The image that programs see.
    pub(super) fn live(&self) -> Image {
        self.inner().live.clone()
    }

    /// Opens a file to overwrite it, like [`Disk::recycle`], even if it has another name.
    pub(super) fn recycle_linked(
        self: &Arc<Self>,
        path: &Path,
        rewriting: Rewriting,
    ) -> io::Result<Box<dyn Output>> {
        let inner = self.ask()?;
        let inode = inner.live.find(path)?;
        Ok(Box::new(SimulatedOutput::over(self, &inner, inode, rewriting)?))
    }

    pub(super) fn note(&self, event: Event) {
        self.inner().events.push(event);
    }

    /// Makes the operation with this number fail, counted from 0 from now on.
    pub(super) fn plan(&self, fault: Option<(usize, Fault)>) {
        let mut inner = self.inner();
        inner.asked = 0;
        inner.fault = fault;
    }

    /// Gives a file a second name, as another program does.
    pub(super) fn hard_link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let mut inner = self.inner();
        let inode = inner.live.find(from)?;
        let (directory, name) = inner.live.place(to)?;
        inner.happen(Event::Link { directory, name, inode, is_directory: false });
        inner.happen(Event::SyncDirectory { directory });
        Ok(())
    }

    /// Syncs a file that is open, unless that is planned to fail and to lose its data.
    fn sync_open(&self, inode: Inode) -> io::Result<()> {
        let mut inner = self.ask()?;
        if matches!(inner.fault, Some((place, Fault::LosingSync)) if place < inner.asked) {
            inner.fault = None;
            inner.happen(Event::Lose { inode });
            return Err(io::Error::from_raw_os_error(5));
        }
        inner.happen(Event::SyncFile { inode });
        Ok(())
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        crate::base::threads::step();
        crate::base::threads::step();
        self.0.lock().unwrap()
    }

    /// A step of the program that changes something, unless it is planned to fail.
    fn ask(&self) -> io::Result<MutexGuard<'_, Inner>> {
        let mut inner = self.inner();
        inner.asked += 1;
        match inner.fault {
            Some((place, Fault::Errno(errno))) if place + 1 == inner.asked => {
                Err(io::Error::from_raw_os_error(errno))
            }
            Some((place, Fault::Lasting(errno))) if place < inner.asked => {
                Err(io::Error::from_raw_os_error(errno))
            }
            #[cfg(shuttle)]
            Some((place, Fault::Panic))
                if place + 1 == inner.asked
                    && shuttle::thread::current().name() == Some("checkpoint-saver") =>
            {
                drop(inner);
                // The panic has no message: shuttle would take it for the failure of a test.
                std::panic::resume_unwind(Box::new("planned"))
            }
            _ => Ok(inner),
        }
    }
}

impl Inner {
    /// Keeps a file from being overwritten, unless another program is about to.
    fn lock_shared(&mut self, inode: Inode) -> bool {
        let free = !self.locked.contains(&inode);
        if free {
            *self.read.entry(inode).or_default() += 1;
        }
        free
    }

    fn release_shared(&mut self, inode: Inode) {
        if let Some(readers) = self.read.get_mut(&inode) {
            *readers -= 1;
            if *readers == 0 {
                self.read.remove(&inode);
            }
        }
    }

    fn happen(&mut self, event: Event) {
        apply(&mut self.live, &event);
        match &event {
            Event::Write { inode, .. } | Event::SetLength { inode, .. } => {
                let (modified, changed) = self.times.entry(*inode).or_default();
                (*modified, *changed) = (*modified + 1, *changed + 1);
            }
            Event::Link { inode, .. } | Event::Rename { inode, .. } | Event::Remove { inode, .. } => {
                self.times.entry(*inode).or_default().1 += 1;
            }
            _ => {}
        }
        self.events.push(event);
    }

    fn stamp(&self, inode: Inode) -> io::Result<Stamp> {
        let length = self.live.file(inode)?.bytes.len() as u64;
        let (modified, changed) = self.times.get(&inode).copied().unwrap_or_default();
        let identity = Identity(0, inode as u64);
        Ok(Stamp { identity, length, modified: (modified, 0), changed: (changed, 0) })
    }

    fn create(&mut self, path: &Path, is_directory: bool) -> io::Result<Inode> {
        let (directory, name) = self.live.place(path)?;
        if self.live.names(directory)?.contains_key(&name) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        let inode = self.live.nodes.len();
        self.happen(Event::Link { directory, name, inode, is_directory });
        Ok(inode)
    }

    fn temporary(&mut self, directory: &Path) -> PathBuf {
        self.names += 1;
        directory.join(format!(".checkpoint-{:016}.tmp", self.names))
    }

    fn rename(&mut self, from: &Path, to: &Path) -> io::Result<()> {
        let inode = self.live.find(from)?;
        let ((directory, from), (other, to)) = (self.live.place(from)?, self.live.place(to)?);
        assert_eq!(directory, other, "a rename stays in its directory");
        if self.live.names(directory)?.contains_key(&to) {
            return Err(io::ErrorKind::AlreadyExists.into());
        }
        self.happen(Event::Rename { directory, from, to, inode });
        Ok(())
    }
}

/// Applies an event to the image that programs see.
fn apply(image: &mut Image, event: &Event) {
    match event {
        Event::Link { directory, name, inode, is_directory } => {
            if *inode == image.nodes.len() {
                let new =
                    if *is_directory { Node::Directory(Arc::default()) } else { Node::File(Arc::default()) };
                image.add(new);
            }
            image.names_mut(*directory).unwrap().insert(Arc::clone(name), *inode);
        }
        Event::Rename { directory, from, to, inode } => {
            let names = image.names_mut(*directory).unwrap();
            names.remove(from);
            names.insert(Arc::clone(to), *inode);
        }
        Event::Remove { directory, name, .. } => {
            image.names_mut(*directory).unwrap().remove(name);
        }
        Event::Write { inode, offset, bytes } => {
            let mut all = image.file(*inode).unwrap().bytes.clone();
            write_at(&mut all, *offset, bytes);
            image.nodes[*inode] = Node::File(Data::new(all));
        }
        Event::SetLength { inode, length } => {
            let mut all = image.file(*inode).unwrap().bytes.clone();
            all.resize(*length, 0);
            image.nodes[*inode] = Node::File(Data::new(all));
        }
        _ => {}
    }
}

pub(super) fn write_at(all: &mut Vec<u8>, offset: usize, bytes: &[u8]) {
    let end = offset + bytes.len();
    if all.len() < end {
        all.resize(end, 0);
    }
    all[offset..end].copy_from_slice(bytes);
}

/// The disk as the store sees it.
impl Disk for Arc<SimulatedDisk> {
    fn create_directory(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.ask()?;
        match inner.create(path, true) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
            result => result.map(drop),
        }
    }

    fn sync_directory(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.ask()?;
        let directory = inner.live.find(path)?;
        inner.live.names(directory)?;
        inner.happen(Event::SyncDirectory { directory });
        Ok(())
    }

    fn sync_file(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.ask()?;
        let inode = inner.live.find(path)?;
        inner.happen(Event::SyncFile { inode });
        Ok(())
    }

    fn create_temporary(&self, directory: &Path) -> io::Result<NewFile> {
        let mut inner = self.ask()?;
        let path = inner.temporary(directory);
        let inode = inner.create(&path, false)?;
        Ok(NewFile { path, output: Box::new(SimulatedOutput::new(self, inode)) })
    }

    fn create_small(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        let inode = self.ask()?.create(path, false)?;
        self.ask()?.happen(Event::Write { inode, offset: 0, bytes: bytes.into() });
        self.ask()?.happen(Event::SyncFile { inode });
        Ok(())
    }

    fn hold(&self, path: &Path, shared: bool) -> io::Result<Box<dyn Hold>> {
        let inode = self.inner().live.find(path)?;
        let is_free = {
            let mut inner = self.inner();
            if shared {
                inner.lock_shared(inode)
            } else {
                !inner.read.contains_key(&inode) && inner.locked.insert(inode)
            }
        };
        if !is_free {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        let held = SimulatedHold { disk: Arc::clone(self), inode, shared };
        if self.inner().live.find(path)? != inode {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Box::new(held))
    }

    fn identity(&self, path: &Path) -> io::Result<Option<Identity>> {
        Ok(Some(Identity(0, self.inner().live.find(path)? as u64)))
    }

    fn stamp(&self, path: &Path) -> io::Result<Option<Stamp>> {
        let inner = self.inner();
        inner.stamp(inner.live.find(path)?).map(Some)
    }

    fn rename_to_temporary(&self, from: &Path, directory: &Path) -> io::Result<PathBuf> {
        let mut inner = self.ask()?;
        let to = inner.temporary(directory);
        inner.rename(from, &to)?;
        Ok(to)
    }

    fn recycle(&self, path: &Path, rewriting: Rewriting) -> io::Result<Box<dyn Output>> {
        let mut inner = self.ask()?;
        let inode = inner.live.find(path)?;
        if inner.live.links(inode) != 1 {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        if inner.read.contains_key(&inode) || !inner.locked.insert(inode) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimulatedOutput::over(self, &inner, inode, rewriting)?))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.ask()?.rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        let mut inner = self.ask()?;
        let inode = inner.live.find(path)?;
        inner.live.file(inode)?;
        let (directory, name) = inner.live.place(path)?;
        inner.happen(Event::Remove { directory, name, inode });
        Ok(())
    }

    /// Leaves no holder in the file: it is only for messages, and would multiply the states.
    fn lock(&self, directory: &Path, _holder: &str) -> io::Result<Locking> {
        let mut inner = self.ask()?;
        let path = directory.join(name::LOCK);
        let inode = match inner.live.find(&path) {
            Ok(inode) => inode,
            Err(_) => inner.create(&path, false)?,
        };
        if !inner.locked.insert(inode) {
            return Ok(Locking::Held(String::new()));
        }
        Ok(Locking::Taken(Box::new(SimulatedLock { disk: Arc::clone(self), inode, path })))
    }

    fn exists(&self, path: &Path) -> bool {
        self.inner().live.find(path).is_ok()
    }

    /// There is no log: nothing depends on it.
    fn open_log(&self, _: &Path) -> io::Result<Box<dyn Log>> {
        Err(io::ErrorKind::Unsupported.into())
    }

    fn open_growing(&self, path: &Path, opening: Opening) -> io::Result<Box<dyn Growing>> {
        let is_looked_at = opening == Opening::Look;
        let mut inner = if is_looked_at { self.inner() } else { self.ask()? };
        let inode = match opening {
            Opening::Create => inner.create(path, false)?,
            Opening::Look | Opening::Write => inner.live.find(path)?,
        };
        inner.live.file(inode)?;
        if !is_looked_at && !inner.locked.insert(inode) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        Ok(Box::new(SimulatedGrowing { disk: Arc::clone(self), inode, is_locked: !is_looked_at }))
    }

    fn take_place(&self, from: &Path, of: &Path) -> io::Result<()> {
        let mut inner = self.ask()?;
        let inode = inner.live.find(from)?;
        let ((directory, from), (_, to)) = (inner.live.place(from)?, inner.live.place(of)?);
        inner.happen(Event::Rename { directory, from, to, inode });
        Ok(())
    }

    fn is_directory(&self, path: &Path) -> Option<bool> {
        let inner = self.inner();
        let inode = inner.live.find(path).ok()?;
        Some(inner.live.names(inode).is_ok())
    }

    fn list(&self, directory: &Path) -> io::Result<Vec<OsString>> {
        self.inner().live.list(directory)
    }

    /// Has the steps of a real one, between which other threads may run.
    fn open(&self, path: &Path) -> io::Result<Box<dyn Source>> {
        let (inode, length) = {
            let inner = self.inner();
            let inode = inner.live.find(path)?;
            (inode, inner.live.file(inode)?.bytes.len() as u64)
        };
        let locked = self.inner().lock_shared(inode);
        let source = SimulatedSource { disk: Arc::clone(self), inode, length, locked };
        if self.inner().live.find(path)? != inode {
            return Err(io::ErrorKind::NotFound.into());
        }
        Ok(Box::new(source))
    }

    fn open_unpublished(&self, path: &Path, identity: Option<Identity>) -> io::Result<Box<dyn Source>> {
        if identity.is_some() && self.identity(path)? != identity {
            return Err(io::ErrorKind::NotFound.into());
        }
        self.open(path)
    }
}

#[derive(Debug)]
struct SimulatedOutput {
    disk: Arc<SimulatedDisk>,
    inode: Inode,
    /// The former length of a file that is overwritten, and locked meanwhile.
    former: Option<usize>,
    comparison: Option<Comparison>,
    written: usize,
    gathered: Vec<u8>,
}

impl SimulatedOutput {
    fn new(disk: &Arc<SimulatedDisk>, inode: Inode) -> SimulatedOutput {
        let (disk, former, comparison) = (Arc::clone(disk), None, None);
        SimulatedOutput { disk, inode, former, comparison, written: 0, gathered: Vec::new() }
    }

    /// Writes over a file.
    fn over(
        disk: &Arc<SimulatedDisk>,
        inner: &Inner,
        inode: Inode,
        rewriting: Rewriting,
    ) -> io::Result<SimulatedOutput> {
        let former = Some(inner.live.file(inode)?.bytes.len());
        let comparison = Comparison::new(rewriting, Some(inner.stamp(inode)?));
        let mut output = SimulatedOutput::new(disk, inode);
        (output.former, output.comparison) = (former, comparison);
        Ok(output)
    }

    /// The pieces to write: the bytes without the blocks that the file has.
    fn pieces(&mut self) -> Vec<(usize, Vec<u8>)> {
        let gathered = std::mem::take(&mut self.gathered);
        let mut pieces: Vec<(usize, Vec<u8>)> = Vec::new();
        for (number, block) in gathered.chunks(BLOCK).enumerate() {
            let offset = number * BLOCK;
            let is_whole = block.len() == BLOCK;
            if is_whole && self.comparison.as_mut().is_some_and(|comparison| comparison.has(block)) {
                continue;
            }
            match pieces.last_mut() {
                Some((from, piece)) if *from + piece.len() == offset && piece.len() < PIECE => {
                    piece.extend_from_slice(block);
                }
                _ => pieces.push((offset, block.to_vec())),
            }
        }
        pieces
    }
}

impl Write for SimulatedOutput {
    /// Gathers the bytes, as the real disk does with a short file.
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.gathered.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Output for SimulatedOutput {
    fn finish(&mut self) -> io::Result<()> {
        let length = self.gathered.len();
        for (offset, piece) in self.pieces() {
            self.written += piece.len();
            self.disk.ask()?.happen(Event::Write { inode: self.inode, offset, bytes: piece.into() });
        }
        if self.former.is_some_and(|former| former > length) {
            self.disk.ask()?.happen(Event::SetLength { inode: self.inode, length });
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.disk.sync_open(self.inode)
    }

    fn identity(&self) -> Option<Identity> {
        Some(Identity(0, self.inode as u64))
    }

    fn written(&self) -> u64 {
        self.written as u64
    }

    /// Does not look whether it was synced: a mutant asks after a failed sync.
    fn known(&mut self) -> Option<Known> {
        let stamp = self.disk.inner().stamp(self.inode).ok()?;
        Some(self.comparison.take()?.into_known(stamp))
    }
}

impl Drop for SimulatedOutput {
    fn drop(&mut self) {
        if self.former.is_some() {
            self.disk.inner().locked.remove(&self.inode);
        }
    }
}

/// A file of the program that grows.
#[derive(Debug)]
struct SimulatedGrowing {
    disk: Arc<SimulatedDisk>,
    inode: Inode,
    is_locked: bool,
}

impl Growing for SimulatedGrowing {
    fn length(&self) -> io::Result<u64> {
        Ok(self.disk.inner().live.file(self.inode)?.bytes.len() as u64)
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let inner = self.disk.inner();
        let from = usize::try_from(offset).unwrap();
        let all = &inner.live.file(self.inode)?.bytes;
        buffer.copy_from_slice(all.get(from..from + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn write_all_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        let mut offset = usize::try_from(offset).unwrap();
        for piece in bytes.chunks(PIECE) {
            self.disk.ask()?.happen(Event::Write { inode: self.inode, offset, bytes: piece.into() });
            offset += piece.len();
        }
        Ok(())
    }

    fn set_length(&self, length: u64) -> io::Result<()> {
        let length = usize::try_from(length).unwrap();
        self.disk.ask()?.happen(Event::SetLength { inode: self.inode, length });
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.sync_open(self.inode)
    }

    fn give_back(&self, offset: u64, length: u64) -> io::Result<()> {
        let end = self.length()?.min(offset + length);
        self.write_all_at(&vec![0; usize::try_from(end.saturating_sub(offset)).unwrap()], offset)
    }

    fn identity(&self) -> io::Result<Option<Identity>> {
        Ok(Some(Identity(0, self.inode as u64)))
    }

    fn has_other_names(&self) -> io::Result<bool> {
        Ok(self.disk.inner().live.links(self.inode) > 1)
    }
}

impl Drop for SimulatedGrowing {
    fn drop(&mut self) {
        if self.is_locked {
            self.disk.inner().locked.remove(&self.inode);
        }
    }
}

#[derive(Debug)]
struct SimulatedLock {
    disk: Arc<SimulatedDisk>,
    inode: Inode,
    path: PathBuf,
}

impl Lock for SimulatedLock {
    fn stands(&self) -> io::Result<bool> {
        Ok(self.disk.inner().live.find(&self.path).is_ok_and(|found| found == self.inode))
    }

    fn is_in_place(&self) -> io::Result<bool> {
        self.stands()
    }

    /// There is no time here.
    fn touch(&self) {}
}

#[derive(Debug)]
struct SimulatedHold {
    disk: Arc<SimulatedDisk>,
    inode: Inode,
    shared: bool,
}

impl Hold for SimulatedHold {}

impl Drop for SimulatedHold {
    fn drop(&mut self) {
        let mut inner = self.disk.inner();
        if self.shared {
            inner.release_shared(self.inode);
        } else {
            inner.locked.remove(&self.inode);
        }
    }
}

impl Drop for SimulatedLock {
    fn drop(&mut self) {
        self.disk.inner().locked.remove(&self.inode);
    }
}

/// A read returns the content of the file at that moment.
struct SimulatedSource {
    disk: Arc<SimulatedDisk>,
    inode: Inode,
    length: u64,
    locked: bool,
}

impl Source for SimulatedSource {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        let inner = self.disk.inner();
        let from = usize::try_from(offset).unwrap();
        let all = &inner.live.file(self.inode)?.bytes;
        let bytes = all.get(from..from + buffer.len()).ok_or(io::ErrorKind::UnexpectedEof)?;
        buffer.copy_from_slice(bytes);
        Ok(())
    }
}

impl Drop for SimulatedSource {
    fn drop(&mut self) {
        let mut inner = self.disk.inner();
        if self.locked {
            inner.release_shared(self.inode);
        }
    }
}

impl fmt::Display for Event {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Event::Link { name, .. } => write!(formatter, "create {name}"),
            Event::Rename { from, to, .. } => write!(formatter, "rename {from} to {to}"),
            Event::Remove { name, .. } => write!(formatter, "remove {name}"),
            Event::SyncDirectory { directory } => write!(formatter, "sync directory {directory}"),
            Event::Write { inode, offset, bytes } => {
                write!(formatter, "write {} bytes at {offset} of file {inode}", bytes.len())
            }
            Event::SetLength { inode, length } => write!(formatter, "cut file {inode} to {length} bytes"),
            Event::SyncFile { inode } => write!(formatter, "sync file {inode}"),
            Event::Lose { inode } => write!(formatter, "failed sync of file {inode}"),
            Event::Began { state } => write!(formatter, "began to save {state}"),
            Event::Acknowledged { state, .. } => write!(formatter, "acknowledged {state}"),
            Event::Rewinds { state, .. } => write!(formatter, "went back, to {state} or later"),
            Event::Keeps(kept) => write!(formatter, "promised to keep {} generations", kept.len()),
        }
    }
}
