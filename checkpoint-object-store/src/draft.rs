//! One save: up to one part, a plain PUT; more, a multipart upload of equal parts.

use std::fmt;
use std::io::{self, Write};
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use checkpointed::Error;
use checkpointed::home::{Draft, Memory, Published, Sealed, Source, not_written};
use object_store::path::Path;
use object_store::{MultipartUpload, ObjectStoreExt, Result};
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

use crate::place::failed;
use crate::session::Session;

/// The greatest number of parts of one object, of all stores.
const MOST_PARTS: usize = 10_000;

/// A generation while it is written, or until it is published.
pub(crate) struct ObjectDraft {
    session: Arc<Session>,
    generation: u64,
    epoch: u64,
    key: Path,
    location: PathBuf,
    /// The bytes of the part that is being filled.
    part: Vec<u8>,
    length: u64,
    upload: Option<Upload>,
    /// True if an object may have the key already: its length tells nothing.
    replaces: bool,
}

/// A multipart upload that was begun.
struct Upload {
    upload: Box<dyn MultipartUpload>,
    parts: Vec<JoinHandle<Result<()>>>,
    slots: Arc<Semaphore>,
}

impl ObjectDraft {
    pub(crate) fn new(session: &Arc<Session>, generation: u64) -> ObjectDraft {
        let epoch = session.epoch();
        let key = session.place.key(generation, epoch);
        let location = session.place.location(&key);
        let replaces = session.place.may_have((generation, epoch));
        ObjectDraft {
            session: Arc::clone(session),
            generation,
            epoch,
            key,
            location,
            part: Vec::new(),
            length: 0,
            upload: None,
            replaces,
        }
    }

    /// Sends the part, once fewer than `parallel` are on their way.
    fn send(&mut self) -> io::Result<()> {
        let place = &self.session.place;
        if self.upload.is_none() {
            let (store, key) = (Arc::clone(&place.store), self.key.clone());
            let upload =
                place.runtime.run(async move { store.put_multipart(&key).await })?.map_err(failed)?;
            let slots = Arc::new(Semaphore::new(place.settings.parallel));
            self.upload = Some(Upload { upload, parts: Vec::new(), slots });
        }
        let Some(upload) = &mut self.upload else { return Ok(()) };
        if upload.parts.len() == MOST_PARTS {
            return Err(io::Error::new(
                io::ErrorKind::InvalidInput,
                format!(
                    "it is longer than {MOST_PARTS} parts of {} bytes: raise `part_size`",
                    place.settings.part_size
                ),
            ));
        }
        let slots = Arc::clone(&upload.slots);
        let slot = place.runtime.run(slots.acquire_owned())?.map_err(io::Error::other)?;
        let part = upload.upload.put_part(Bytes::from(std::mem::take(&mut self.part)).into());
        upload.parts.push(place.runtime.handle().spawn(async move {
            let outcome = part.await;
            drop(slot);
            outcome
        }));
        Ok(())
    }

    /// Waits until all parts are there.
    fn wait(&mut self) -> io::Result<()> {
        let Some(upload) = &mut self.upload else { return Ok(()) };
        let parts = std::mem::take(&mut upload.parts);
        self.session.place.runtime.run(async move {
            for part in parts {
                part.await.map_err(io::Error::other)?.map_err(failed)?;
            }
            Ok(())
        })?
    }

    /// Makes the object.
    fn commit(&mut self) -> io::Result<()> {
        let place = &self.session.place;
        let Some(Upload { mut upload, parts, slots }) = self.upload.take() else {
            return place.put(&self.key, Bytes::from(std::mem::take(&mut self.part)));
        };
        let (completed, upload) = place.runtime.run(async move { (upload.complete().await, upload) })?;
        match completed {
            Ok(_) => Ok(()),
            // The answer of an earlier attempt may be lost.
            Err(error) => match place.length(&self.key) {
                Ok(length) if length == self.length && !self.replaces => Ok(()),
                _ => {
                    self.upload = Some(Upload { upload, parts, slots });
                    Err(failed(error))
                }
            },
        }
    }
}

impl Write for ObjectDraft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if bytes.is_empty() {
            return Ok(0);
        }
        let size = self.session.place.settings.part_size;
        if self.part.len() == size {
            self.send()?;
        }
        if self.part.capacity() < size && (self.upload.is_some() || self.part.len() + bytes.len() > size / 4)
        {
            let more = size - self.part.len();
            self.part.try_reserve_exact(more).map_err(|_| io::ErrorKind::OutOfMemory)?;
        }
        let length = bytes.len().min(size - self.part.len());
        self.part.extend_from_slice(&bytes[..length]);
        self.length += length as u64;
        Ok(length)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Draft for ObjectDraft {
    fn path(&self) -> &FilePath {
        &self.location
    }

    fn can_be_opened(&self) -> bool {
        false
    }

    fn seal(mut self: Box<Self>) -> Result<Box<dyn Sealed>, Error> {
        if self.upload.is_some() {
            let outcome = self.send().and_then(|()| self.wait());
            outcome.map_err(|source| not_written("write", &self.location, source))?;
        }
        Ok(self)
    }
}

impl Sealed for ObjectDraft {
    fn path(&self) -> &FilePath {
        &self.location
    }

    fn open(&self) -> io::Result<Option<Box<dyn Source>>> {
        if self.upload.is_some() {
            return Ok(None);
        }
        Ok(Some(Box::new(Memory(self.part.clone()))))
    }

    fn publish(mut self: Box<Self>) -> Published {
        let outcome = self.commit().map_err(|source| not_written("publish", &self.location, source));
        let is_there = outcome.is_ok();
        let outcome = outcome.and_then(|()| self.session.written((self.generation, self.epoch), self.length));
        Published { is_there, outcome }
    }
}

impl Drop for ObjectDraft {
    fn drop(&mut self) {
        let Some(Upload { mut upload, parts, .. }) = self.upload.take() else { return };
        let runtime = &self.session.place.runtime;
        if runtime.is_here() {
            for part in parts {
                part.abort();
            }
            // What this leaves, a lifecycle rule of the bucket removes.
            let _ = runtime.run(async move { upload.abort().await });
        }
    }
}

impl fmt::Debug for ObjectDraft {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("ObjectDraft").field("location", &self.location).finish_non_exhaustive()
    }
}
