//! Checkpoints in an object store: Amazon S3, Google Cloud Storage, Azure, and servers that speak
//! the protocol of S3.
//!
//! ```no_run
//! use checkpointed::Checkpointer;
//! use checkpointed_object_store::ObjectHome;
//!
//! # fn main() -> Result<(), checkpointed::Error> {
//! let home = ObjectHome::from_url("s3://bucket/run.ckpt")?;
//! let mut checkpoints = Checkpointer::<u64>::builder_in(home).open()?;
//! let mut sum = checkpoints.load_or_default()?;
//! sum += 1;
//! checkpoints.save(&sum)?;
//! # Ok(())
//! # }
//! ```
//!
//! A save that returned is in the store, and no later save or program loses it. A store has no
//! locks: of two programs that open one place, the last has it, and the next save of the other is
//! [`Error::TakenOver`]. Each save costs one request for each part of it and at most three more; a
//! small one costs two.
//!
//! A group of processes saves one checkpoint there, with a part for each of them. Every member
//! opens the same place:
//!
//! ```
//! use checkpointed::Checkpointer;
//! use checkpointed::group::{Group, Threads};
//! use checkpointed_object_store::ObjectHome;
//! use object_store::memory::InMemory;
//! use std::sync::Arc;
//!
//! let store = Arc::new(InMemory::new());
//! // One thread for each part; usually these are processes, with the URL of one place.
//! let part = |group: Threads| -> Result<u64, checkpointed::Error> {
//!     let (rank, home) = (group.rank() as u64, ObjectHome::new(store.clone(), "run.ckpt")?);
//!     let mut checkpoints = Checkpointer::<u64>::builder_in(home).open_group(group)?;
//!     let sum = checkpoints.load_or_else(|| rank)? + 10;
//!     checkpoints.finish(&sum)?;
//!     Ok(sum)
//! };
//! let part = &part;
//! for job in [[10, 11], [20, 21]] {
//!     std::thread::scope(|scope| {
//!         for (member, sum) in Threads::new(2).into_iter().zip(job) {
//!             scope.spawn(move || assert_eq!(part(member).unwrap(), sum));
//!         }
//!     });
//! }
//! ```
//!
//! The history of runs and the halt file need a directory: a store has neither.

mod claim;
mod draft;
mod place;
mod runtime;
mod session;
mod source;

use std::collections::BTreeSet;
use std::io;
use std::path::{Path as FilePath, PathBuf};
use std::sync::Arc;

use bytes::Bytes;
use checkpointed::Error;
use checkpointed::home::{
    Claim, Claiming, Home, Source, invalid_setting, no_such_generation, not_read, not_written,
};
use object_store::ObjectStore;
use object_store::path::Path;

use crate::claim::ObjectClaim;
use crate::place::{Listing, Place, Settings};
use crate::session::Session;
use crate::source::ObjectSource;

mod options;
pub use options::Options;

/// A place for checkpoints in an object store; for
/// [`Checkpointer::builder_in`](checkpointed::Checkpointer::builder_in) and
/// [`CheckpointReader::open_in`](checkpointed::CheckpointReader::open_in).
///
/// ```
/// use checkpointed::{CheckpointReader, Checkpointer};
/// use checkpointed_object_store::ObjectHome;
/// use object_store::memory::InMemory;
/// use std::sync::Arc;
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// let store = Arc::new(InMemory::new());
/// let home = ObjectHome::new(store, "run.ckpt")?;
/// let mut checkpoints = Checkpointer::<u64>::builder_in(home.clone()).open()?;
/// checkpoints.save(&7)?;
/// assert_eq!(CheckpointReader::<u64>::open_in(home)?.load()?, Some(7));
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Debug)]
pub struct ObjectHome {
    place: Arc<Place>,
    /// The run that has the place, for reading by it.
    session: Option<Arc<Session>>,
}

impl ObjectHome {
    /// The place at a URL, such as `s3://bucket/run.ckpt`, `gs://bucket/run.ckpt` or
    /// `az://container/run.ckpt`, with the default [`Options`].
    ///
    /// Credentials, region and endpoint come from the environment, by the names of `object_store`:
    /// `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_REGION`, `AWS_ENDPOINT_URL`,
    /// `GOOGLE_SERVICE_ACCOUNT`, `AZURE_STORAGE_ACCOUNT_NAME` and others, or from the instance on
    /// which the program runs. Nothing is requested yet.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] where the URL, or a setting of the environment, is invalid, or
    /// this package was built without the feature of the store.
    pub fn from_url(url: &str) -> Result<ObjectHome, Error> {
        Options::default().from_url(url)
    }

    /// The place under a prefix of a store that the program made, with the default [`Options`].
    ///
    /// The time limit and the retries of the store are the program's own. Those of [`Options`] are
    /// longer than those of `object_store`, which suit small objects.
    ///
    /// # Errors
    /// [`Error::InvalidSetting`] where the prefix is empty or invalid; [`Error::Io`] where a thread
    /// cannot be started.
    pub fn new(store: Arc<dyn ObjectStore>, prefix: &str) -> Result<ObjectHome, Error> {
        Options::default().home(store, prefix)
    }

    fn at(
        store: Arc<dyn ObjectStore>,
        prefix: Path,
        path: PathBuf,
        settings: Settings,
    ) -> Result<ObjectHome, Error> {
        let place = Place::new(store, prefix, path.clone(), settings);
        let place = place.map_err(|source| not_read("start a thread for", &path, source))?;
        Ok(ObjectHome { place: Arc::new(place), session: None })
    }

    pub(crate) fn claimed(place: &Arc<Place>, session: &Arc<Session>) -> ObjectHome {
        ObjectHome { place: Arc::clone(place), session: Some(Arc::clone(session)) }
    }

    fn list(&self) -> Result<Listing, Error> {
        self.listed().map_err(|source| not_read("list", &self.place.path, source))
    }

    fn listed(&self) -> io::Result<Listing> {
        self.place.list().map(|listing| self.seen(listing))
    }

    /// The last listing, or a first one.
    fn known(&self) -> io::Result<Listing> {
        self.place.known().map(|listing| self.seen(listing))
    }

    /// What the run that has the place gave up is gone for it, though it is removed later.
    fn seen(&self, listing: Listing) -> Listing {
        match &self.session {
            Some(session) => session.without_gone(listing),
            None => listing,
        }
    }
}

impl Home for ObjectHome {
    fn path(&self) -> &FilePath {
        &self.place.path
    }

    fn location(&self, generation: u64) -> PathBuf {
        let listed = self.known().ok().and_then(|listing| listing.find(generation));
        let epoch = listed.map(|(epoch, _)| epoch);
        let epoch = epoch.or_else(|| self.session.as_ref().map(|session| session.epoch()));
        self.place.location(&self.place.key(generation, epoch.unwrap_or(0)))
    }

    /// The claim is checked after each save.
    fn check(&self) -> Result<(), Error> {
        Ok(())
    }

    fn generations(&self) -> Result<Vec<u64>, Error> {
        let listing = self.place.list().map_err(|source| not_read("list", &self.place.path, source))?;
        if let Some(session) = &self.session {
            session.remove_late(&listing);
        }
        Ok(self.seen(listing).numbers())
    }

    /// The numbers that an earlier run may have used without success.
    fn set_aside(&self) -> Result<Vec<u64>, Error> {
        Ok(self.session.iter().map(|session| session.known()).filter(|used| *used > 0).collect())
    }

    /// The claim of the last run stays.
    fn was_claimed(&self) -> Result<bool, Error> {
        Ok(self.list()?.last_claim() > 0)
    }

    fn look(&self) -> Result<(), Error> {
        self.list().map(drop)
    }

    /// A save of the holder of the claim ends with a listing, which serves its retention.
    fn has(&self, generation: u64) -> bool {
        let listing = match &self.session {
            Some(session) if session.has_just_listed() => self.known(),
            _ => self.listed(),
        };
        if let (Some(session), Ok(_)) = (&self.session, &listing) {
            session.lists(true);
        }
        listing.is_ok_and(|listing| listing.find(generation).is_some())
    }

    fn open(&self, generation: u64) -> io::Result<Box<dyn Source>> {
        if let Some(session) = &self.session {
            session.lists(false);
        }
        let mut found = self.known()?.find(generation);
        if found.is_none() {
            found = self.listed()?.find(generation);
        }
        let (epoch, length) = found.ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(ObjectSource::open(&self.place, self.place.key(generation, epoch), length)?))
    }

    fn pin(&self, generation: u64) -> Result<(), Error> {
        let key = self.place.pin_key(generation);
        let failed = |source| not_written("create", &self.place.location(&key), source);
        let missing = |listing: &Listing| no_such_generation(&self.place.path, generation, listing.numbers());
        let listing = self.list()?;
        if listing.find(generation).is_none() {
            return Err(missing(&listing));
        }
        self.place.put(&key, Bytes::new()).map_err(failed)?;
        let listing = self.list()?;
        if listing.find(generation).is_none() {
            self.unpin(generation)?;
            return Err(missing(&listing));
        }
        Ok(())
    }

    fn unpin(&self, generation: u64) -> Result<(), Error> {
        let key = self.place.pin_key(generation);
        let removed = self.place.remove_one(key.clone());
        removed.map_err(|source| not_written("remove", &self.place.location(&key), source))?;
        self.list().map(drop)
    }

    fn pinned(&self, generations: &[u64]) -> BTreeSet<u64> {
        let pins = self.known().unwrap_or_default().pins;
        generations.iter().copied().filter(|generation| pins.contains(generation)).collect()
    }

    fn member(&self, rank: usize) -> Result<Arc<dyn Home>, Error> {
        Ok(Arc::new(ObjectHome { place: Arc::new(self.place.member(rank)), session: None }))
    }

    fn members(&self) -> Result<Vec<usize>, Error> {
        self.place.members().map_err(|source| not_read("list", &self.place.path, source))
    }

    fn is_accepted(&self) -> io::Result<bool> {
        Ok(self.place.known()?.is_accepted)
    }

    fn note_accepted(&self, is_accepted: bool, _durable: bool) -> io::Result<()> {
        self.place.note_accepted(is_accepted)
    }

    fn last_job(&self) -> Result<u64, Error> {
        Ok(self.list()?.last_claim())
    }

    fn claim(&self, claiming: &Claiming) -> Result<Box<dyn Claim>, Error> {
        Ok(Box::new(ObjectClaim::take(&self.place, claiming)?))
    }
}

/// The error of an invalid URL or prefix.
fn invalid(what: &str, why: &'static str) -> Error {
    invalid_setting(what.to_owned(), why)
}
