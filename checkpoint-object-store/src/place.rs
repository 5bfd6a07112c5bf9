//! The objects under one prefix: their names, and the requests for them.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsStr;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use checkpointed::home::{
    ACCEPTED, RANKS, generation_and_epoch, of_generation_in, of_pin, of_rank, pinned, rank_of,
};
use futures_util::{StreamExt, TryStreamExt, future, stream};
use object_store::path::Path;
use object_store::{Error, GetOptions, GetRange, ObjectMeta, ObjectStore, ObjectStoreExt, PutMode};

use crate::runtime::Runtime;

/// The folder of the claims, under the prefix.
const CLAIMS: &str = ".claims";

/// The attempts to read bytes whose transfer breaks off.
const READS: u32 = 4;

/// A greater epoch of a generation is of no run: a file of any name can be put there, and after the
/// greatest epoch no claim would be possible.
const GREATEST_EPOCH: u64 = u64::MAX / 2;

/// The settings of a home.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    pub(crate) part_size: usize,
    pub(crate) parallel: usize,
    /// The time limit of a request without data, with all its repetitions.
    pub(crate) timeout: Duration,
}

/// The objects under one prefix of a store.
#[derive(Debug)]
pub(crate) struct Place {
    pub(crate) store: Arc<dyn ObjectStore>,
    pub(crate) prefix: Path,
    /// The URL, for messages.
    pub(crate) path: PathBuf,
    pub(crate) settings: Settings,
    pub(crate) runtime: Arc<Runtime>,
    listed: Mutex<Listed>,
    /// True once it is known that the members of a group have their places inside.
    has_members: AtomicBool,
}

/// The last listing, as far as is known.
#[derive(Debug, Default)]
struct Listed {
    /// The number of listings that were begun, and of objects that were forgotten.
    begun: u64,
    /// The number of the one that is kept. A listing that began before it does not replace it.
    kept: u64,
    listing: Option<Listing>,
}

/// The objects at one moment.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Listing {
    /// The length of each generation by its number and its epoch.
    pub(crate) generations: BTreeMap<(u64, u64), u64>,
    pub(crate) pins: BTreeSet<u64>,
    pub(crate) claims: BTreeSet<u64>,
    /// True if a group has accepted a part that was saved here.
    pub(crate) is_accepted: bool,
}

impl Listing {
    pub(crate) fn numbers(&self) -> Vec<u64> {
        let numbers: BTreeSet<u64> = self.generations.keys().map(|(number, _)| *number).collect();
        numbers.into_iter().collect()
    }

    /// The epoch and the length of a generation. The highest epoch counts.
    pub(crate) fn find(&self, generation: u64) -> Option<(u64, u64)> {
        let mut found = self.generations.range((generation, 0)..=(generation, u64::MAX));
        found.next_back().map(|((_, epoch), length)| (*epoch, *length))
    }

    /// The highest number; 0 for none.
    pub(crate) fn last(&self) -> u64 {
        self.generations.last_key_value().map_or(0, |((number, _), _)| *number)
    }

    /// The highest epoch of a generation, as far as runs draw them one after another; 0 for none.
    pub(crate) fn last_epoch(&self) -> u64 {
        let epochs = self.generations.keys().map(|(_, epoch)| *epoch);
        epochs.filter(|epoch| *epoch <= GREATEST_EPOCH).max().unwrap_or(0)
    }

    /// The highest claim; 0 for none.
    pub(crate) fn last_claim(&self) -> u64 {
        self.claims.last().copied().unwrap_or(0)
    }
}

impl Place {
    pub(crate) fn new(
        store: Arc<dyn ObjectStore>,
        prefix: Path,
        path: PathBuf,
        settings: Settings,
    ) -> io::Result<Place> {
        let runtime = Arc::new(Runtime::start()?);
        Ok(Place {
            store,
            prefix,
            path,
            settings,
            runtime,
            listed: Mutex::default(),
            has_members: false.into(),
        })
    }

    /// The place of a member of a group, inside this one.
    pub(crate) fn member(&self, rank: usize) -> Place {
        self.has_members.store(true, Ordering::Relaxed);
        let name = of_rank(rank);
        Place {
            store: Arc::clone(&self.store),
            prefix: self.prefix.clone().join(RANKS).join(name.as_str()),
            path: self.path.join(RANKS).join(name),
            settings: self.settings.clone(),
            runtime: Arc::clone(&self.runtime),
            listed: Mutex::default(),
            has_members: false.into(),
        }
    }

    /// The ranks that have places inside this one, lowest first.
    pub(crate) fn members(&self) -> io::Result<Vec<usize>> {
        let (store, ranks) = (Arc::clone(&self.store), self.prefix.clone().join(RANKS));
        let found =
            self.short(async move { store.list_with_delimiter(Some(&ranks)).await })?.map_err(failed)?;
        let names = found.common_prefixes.iter().filter_map(|prefix| prefix.filename());
        let ranks: BTreeSet<usize> = names.filter_map(|name| rank_of(OsStr::new(name))).collect();
        Ok(ranks.into_iter().collect())
    }

    pub(crate) fn key(&self, generation: u64, epoch: u64) -> Path {
        self.prefix.clone().join(of_generation_in(generation, epoch))
    }

    pub(crate) fn claim_key(&self, epoch: u64) -> Path {
        self.prefix.clone().join(CLAIMS).join(format!("{epoch:06}"))
    }

    pub(crate) fn is_claim(&self, key: &Path) -> bool {
        key.prefix_matches(&self.prefix.clone().join(CLAIMS))
    }

    pub(crate) fn pin_key(&self, generation: u64) -> Path {
        self.prefix.clone().join(of_pin(generation))
    }

    /// The path of an object in messages.
    pub(crate) fn location(&self, key: &Path) -> PathBuf {
        let name = key.as_ref().strip_prefix(self.prefix.as_ref()).unwrap_or(key.as_ref());
        self.path.join(name.trim_start_matches('/'))
    }

    fn listed(&self) -> MutexGuard<'_, Listed> {
        self.listed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a request without data. A connection that is dead must not hold it for as long as data
    /// may take.
    fn short<R: Send + 'static>(&self, request: impl Future<Output = R> + Send + 'static) -> io::Result<R> {
        let limit = self.settings.timeout;
        self.runtime.run(async move { tokio::time::timeout(limit, request).await })?.map_err(|_| {
            let why = format!("the store has not answered within {} s", limit.as_secs());
            io::Error::new(io::ErrorKind::NetworkDown, why)
        })
    }

    /// The objects under the prefix; `None` where the members of a group have theirs there too.
    fn list_all(&self) -> io::Result<Option<Vec<ObjectMeta>>> {
        let (store, prefix) = (Arc::clone(&self.store), self.prefix.clone());
        let ranks = prefix.clone().join(RANKS);
        let objects = self.short(async move {
            let (mut listed, mut objects) = (store.list(Some(&prefix)), Vec::new());
            while let Some(object) = listed.try_next().await? {
                if object.location.prefix_matches(&ranks) {
                    return Ok(None);
                }
                objects.push(object);
            }
            Ok(Some(objects))
        });
        objects?.map_err(failed)
    }

    /// The objects under the prefix without those of members: the generations, and then the claims.
    /// So no claim is missing that was there when the generations were listed.
    fn list_own(&self) -> io::Result<Vec<ObjectMeta>> {
        let (store, prefix) = (Arc::clone(&self.store), self.prefix.clone());
        let claims = prefix.clone().join(CLAIMS);
        let objects = self.short(async move {
            let mut objects = store.list_with_delimiter(Some(&prefix)).await?.objects;
            objects.extend(store.list(Some(&claims)).try_collect::<Vec<_>>().await?);
            Ok(objects)
        });
        objects?.map_err(failed)
    }

    /// Lists the objects: one request for each thousand, and one more for the claims where the
    /// members of a group have places inside.
    pub(crate) fn list(&self) -> io::Result<Listing> {
        let begun = {
            let mut listed = self.listed();
            listed.begun += 1;
            listed.begun
        };
        let all = if self.has_members.load(Ordering::Relaxed) { None } else { self.list_all()? };
        let objects = match all {
            Some(objects) => objects,
            None => {
                self.has_members.store(true, Ordering::Relaxed);
                self.list_own()?
            }
        };
        let mut listing = Listing::default();
        for object in objects {
            let Some(parts) = object.location.prefix_match(&self.prefix) else { continue };
            let parts: Vec<_> = parts.collect();
            match &parts[..] {
                [name] => {
                    let name = OsStr::new(name.as_ref());
                    if let Some(found) = generation_and_epoch(name) {
                        listing.generations.insert(found, object.size);
                    }
                    listing.pins.extend(pinned(name));
                    listing.is_accepted |= name == OsStr::new(ACCEPTED);
                }
                [folder, claim] if folder.as_ref() == CLAIMS => {
                    let epoch = claim.as_ref().parse().ok();
                    let is_claim = |epoch: &u64| format!("{epoch:06}") == claim.as_ref();
                    listing.claims.extend(epoch.filter(is_claim));
                }
                _ => {}
            }
        }
        let mut listed = self.listed();
        if begun > listed.kept {
            (listed.kept, listed.listing) = (begun, Some(listing.clone()));
        }
        Ok(listing)
    }

    /// The last listing, or a first one.
    pub(crate) fn known(&self) -> io::Result<Listing> {
        let known = self.listed().listing.clone();
        known.map_or_else(|| self.list(), Ok)
    }

    /// True if an object was in the last listing, and where that is unknown.
    pub(crate) fn may_have(&self, generation: (u64, u64)) -> bool {
        let listed = self.listed();
        listed.listing.as_ref().is_none_or(|listing| listing.generations.contains_key(&generation))
    }

    /// Changes the last listing, as the objects have changed since.
    fn correct(&self, change: impl FnOnce(&mut Listing)) {
        let mut listed = self.listed();
        listed.begun += 1;
        listed.kept = listed.begun;
        if let Some(listing) = &mut listed.listing {
            change(listing);
        }
    }

    /// Forgets an object that was removed.
    pub(crate) fn forget(&self, generation: (u64, u64)) {
        self.correct(|listing| {
            listing.generations.remove(&generation);
        });
    }

    /// Notes an object that was written, and its length.
    pub(crate) fn note(&self, generation: (u64, u64), length: u64) {
        self.correct(|listing| {
            listing.generations.insert(generation, length);
        });
    }

    /// Notes that the group has accepted a part, or takes the note away.
    pub(crate) fn note_accepted(&self, is_accepted: bool) -> io::Result<()> {
        let key = self.prefix.clone().join(ACCEPTED);
        match is_accepted {
            true if self.known()?.is_accepted => return Ok(()),
            true => self.put(&key, Bytes::new())?,
            false => self.remove_one(key)?,
        }
        self.correct(|listing| listing.is_accepted = is_accepted);
        Ok(())
    }

    /// Writes an object. An existing one is replaced.
    pub(crate) fn put(&self, key: &Path, bytes: Bytes) -> io::Result<()> {
        let (store, key) = (Arc::clone(&self.store), key.clone());
        self.runtime.run(async move { store.put(&key, bytes.into()).await })?.map(drop).map_err(failed)
    }

    /// Writes an object where there is none, by this number of requests at the same time.
    pub(crate) fn create(
        &self,
        key: &Path,
        bytes: &Bytes,
        requests: usize,
    ) -> io::Result<Vec<Result<(), Error>>> {
        let request = || (Arc::clone(&self.store), key.clone(), bytes.clone());
        if requests > 1 {
            // Each has its connection then. Otherwise the first is over before the others begin.
            let looks = (0..requests).map(|_| request());
            let looks = looks.map(|(store, key, _)| async move { store.head(&key).await });
            self.short(future::join_all(looks.collect::<Vec<_>>()))?;
        }
        let puts = (0..requests).map(|_| request()).map(|(store, key, bytes)| async move {
            store.put_opts(&key, bytes.into(), PutMode::Create.into()).await.map(drop)
        });
        self.short(future::join_all(puts.collect::<Vec<_>>()))
    }

    /// Reads a small object.
    pub(crate) fn get(&self, key: &Path) -> io::Result<Bytes> {
        let (store, key) = (Arc::clone(&self.store), key.clone());
        self.short(async move { store.get(&key).await?.bytes().await })?.map_err(failed)
    }

    /// The length of an object.
    pub(crate) fn length(&self, key: &Path) -> io::Result<u64> {
        let (store, key) = (Arc::clone(&self.store), key.clone());
        Ok(self.short(async move { store.head(&key).await })?.map_err(failed)?.size)
    }

    /// Reads the bytes `from..to` of an object that is `length` bytes long.
    pub(crate) fn read(&self, key: &Path, from: u64, to: u64, length: u64) -> io::Result<Bytes> {
        let (store, key) = (Arc::clone(&self.store), key.clone());
        self.runtime.run(async move {
            let mut outcome = Ok(Bytes::new());
            for attempt in 0..READS {
                if attempt > 0 {
                    tokio::time::sleep(Duration::from_millis(100) * 4_u32.pow(attempt - 1)).await;
                }
                outcome = read_once(&*store, &key, from, to, length).await;
                match &outcome {
                    Err(error) if error.kind() == io::ErrorKind::NetworkDown => {}
                    _ => break,
                }
            }
            outcome
        })?
    }

    /// Removes objects: one request for each thousand, where the store can. Returns those that may
    /// still be there, each with the reason. An absent one is no error.
    pub(crate) fn remove(&self, keys: Vec<Path>) -> Vec<(Path, io::Error)> {
        let (store, all) = (Arc::clone(&self.store), keys.clone());
        let removed = self.short(async move {
            let keys = stream::iter(keys.into_iter().map(Ok)).boxed();
            store.delete_stream(keys).collect::<Vec<_>>().await
        });
        let outcomes = match removed {
            Ok(outcomes) => outcomes,
            Err(error) => return all.into_iter().map(|key| (key, again(&error))).collect(),
        };
        if outcomes.len() == all.len() {
            let left = all.into_iter().zip(outcomes).filter_map(|(key, outcome)| match outcome {
                Ok(_) | Err(Error::NotFound { .. }) => None,
                Err(error) => Some((key, failed(error))),
            });
            return left.collect();
        }
        // A request for many objects failed as a whole.
        let (mut gone, mut why) = (BTreeSet::new(), io::Error::other("the store did not answer for it"));
        for outcome in outcomes {
            match outcome {
                Ok(key) => drop(gone.insert(key)),
                Err(error) => why = failed(error),
            }
        }
        let left = all.into_iter().filter(|key| !gone.contains(key));
        left.map(|key| (key, again(&why))).collect()
    }

    /// Removes one object. An absent one is no error.
    pub(crate) fn remove_one(&self, key: Path) -> io::Result<()> {
        self.remove(vec![key]).pop().map_or(Ok(()), |(_, why)| Err(why))
    }
}

async fn read_once(
    store: &dyn ObjectStore,
    key: &Path,
    from: u64,
    to: u64,
    length: u64,
) -> io::Result<Bytes> {
    if from == to {
        return Ok(Bytes::new());
    }
    let options = GetOptions { range: Some(GetRange::Bounded(from..to)), ..GetOptions::default() };
    let found = store.get_opts(key, options).await.map_err(failed)?;
    let network = |why: String| io::Error::new(io::ErrorKind::NetworkDown, why);
    if found.meta.size != length {
        return Err(network(format!(
            "it is {} bytes long, and the listing says {length}: it was replaced by other means",
            found.meta.size
        )));
    }
    let bytes = found.bytes().await.map_err(failed)?;
    if bytes.len() as u64 != to - from {
        return Err(network(format!("the server sent {} of {} bytes", bytes.len(), to - from)));
    }
    Ok(bytes)
}

/// The same error for another object.
fn again(error: &io::Error) -> io::Error {
    io::Error::new(error.kind(), error.to_string())
}

/// An error of the store as one of the system. What is not known to be for good may pass: an older
/// generation is not loaded because of it.
#[expect(clippy::needless_pass_by_value, reason = "it is the argument of `map_err`")]
pub(crate) fn failed(error: Error) -> io::Error {
    let kind = match &error {
        Error::NotFound { .. } => io::ErrorKind::NotFound,
        Error::PermissionDenied { .. } | Error::Unauthenticated { .. } => io::ErrorKind::PermissionDenied,
        _ => io::ErrorKind::NetworkDown,
    };
    let mut text = error.to_string();
    let mut cause = std::error::Error::source(&error);
    while let Some(source) = cause {
        let more = source.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        cause = source.source();
    }
    io::Error::new(kind, text)
}
