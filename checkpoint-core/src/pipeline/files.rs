//! The content of files as hashes. A hash is computed again only if the file has changed.

use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::path::Path;
use std::time::{Duration, Instant, SystemTime};

use serde::{Deserialize, Serialize};

use super::boot;
use super::builder::Workshop;
use super::pattern::is_not_there;
use super::project::as_text;
use crate::base::file_system::{has_times_of_stores, is_on_server};
use crate::base::warnings::warn;
use crate::error::Error;
use crate::run::checkpointer::Checkpointer;
use crate::state::Plain;
use crate::store::name::FILES;
use crate::store::open_regular;

/// A file that was changed this recently may be changed once more without a new time of its last
/// change, so its hash is not remembered.
pub(super) const TOO_FRESH: Duration = Duration::from_secs(3);

/// More than the time between two ticks of the clock of a file system, which are 1 to 10 ms.
const TICK: Duration = Duration::from_millis(50);

/// The same for a file system that counts whole seconds, or two.
const COARSE_TICK: Duration = Duration::from_millis(2050);

/// Before the path of an output, where its facts are not those of an input: it is durable.
const DURABLE: &str = "durable ";

/// The time between two saves of the hashes. A kill costs those of this time, which are computed
/// again.
const SAVE_EVERY: Duration = Duration::from_secs(5);

/// The number of files that are remembered without a look if they are still there.
const MOST: usize = 10_000;

/// The facts remembered about a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(super) struct Seen {
    pub(super) length: u64,
    modified: SystemTime,
    /// The identity of the file, whatever its name, and the last change of it or its name.
    inode: u64,
    changed: (i64, i64),
    pub(super) hash: String,
    /// The boot of the machine in which it was remembered, where the system tells that.
    #[serde(default)]
    boot: Option<String>,
}

type Memory = Plain<BTreeMap<String, Seen>>;

/// The hashes of files. They are themselves kept in a checkpoint directory.
#[derive(Debug)]
pub(super) struct Files {
    /// `None` if the pipeline is shared: then they are opened for a moment only.
    checkpoints: Option<Checkpointer<Memory>>,
    workshop: Workshop,
    seen: BTreeMap<String, Seen>,
    boot: Option<String>,
    /// True if it knows more than the last save.
    knows_more: bool,
    saved: Instant,
    /// With more files than these, those that are gone are left out.
    most: usize,
}

impl Files {
    pub(super) fn open(workshop: &Workshop) -> Result<Files, Error> {
        let workshop = workshop.clone();
        let mut files = Files {
            checkpoints: None,
            workshop,
            seen: BTreeMap::new(),
            boot: boot::current(),
            knows_more: false,
            saved: Instant::now(),
            most: MOST,
        };
        match files.kept() {
            Ok(mut checkpoints) => {
                files.seen = load(&mut checkpoints);
                files.checkpoints = Some(checkpoints).filter(|_| !files.workshop.shared);
            }
            // Another process saves there. What is not known is worked out.
            Err(Error::InUse { .. }) if files.workshop.shared => {}
            Err(error) => return Err(error),
        }
        Ok(files)
    }

    fn kept(&self) -> Result<Checkpointer<Memory>, Error> {
        // Not synced: a file that a power cut leaves half-written is found damaged, and lost hashes
        // can be computed again.
        let builder = self.workshop.builder::<Memory>(FILES).durable(false).history(false).of_library();
        builder.open()
    }

    /// Looks at a file, and computes the hash of its content if that is not known. `path` is
    /// absolute.
    pub(super) fn look(&mut self, path: &Path) -> io::Result<Look> {
        let now = SystemTime::now();
        let file = open(path)?;
        let place = as_text(path);
        if let Some(known) = self.seen.get(&place) {
            // No sync is needed: the facts were taken after one, so a store since then shows in
            // them.
            let mut seen = look(&file)?;
            seen.hash.clone_from(&known.hash);
            if seen.is_as(known) && has_times_of_stores(&file) && self.is_of_present(known, &file) {
                return Ok(Look { seen, shows_changes: true });
            }
        }
        let (mut seen, shows_changes) = look_for_good(&file, now)?;
        seen.hash = hash(&file)?;
        if shows_changes {
            self.note(place, seen.clone());
        }
        Ok(Look { seen, shows_changes })
    }

    /// True if no power cut can have taken a change of the facts since they were taken, and left
    /// that of the content. Such a cut ends the boot of the machine that has the file.
    fn is_of_present(&self, known: &Seen, file: &File) -> bool {
        known.boot == self.boot || is_on_server(file)
    }

    /// Adds to what is remembered.
    fn note(&mut self, place: String, mut seen: Seen) {
        // Such a time has no form in a checkpoint: one file would keep all from being remembered.
        if seen.modified < SystemTime::UNIX_EPOCH {
            return;
        }
        seen.boot.clone_from(&self.boot);
        self.seen.insert(place, seen);
        self.knows_more = true;
    }

    /// True if the file of an output was made durable with its name before. Otherwise `sync` does
    /// it.
    ///
    /// # Errors
    /// That of `sync`.
    pub(super) fn sync_once<E>(
        &mut self,
        path: &Path,
        sync: impl FnOnce() -> Result<(), E>,
    ) -> Result<(), E> {
        let now = SystemTime::now();
        // Another file, or another name of it, has other facts.
        let found = open(path).and_then(|file| look(&file)).ok().filter(|seen| seen.is_settled(now));
        let place = format!("{DURABLE}{}", as_text(path));
        if let (Some(known), Some(found)) = (self.seen.get(&place), &found)
            && found.is_as(known)
        {
            return Ok(());
        }
        sync()?;
        if let Some(found) = found {
            self.note(place, found);
        }
        Ok(())
    }

    /// Saves the hashes that it learned, if the last save was a while ago: a pipeline of many steps
    /// learns some in each.
    pub(super) fn remember_now_and_then(&mut self) {
        if self.saved.elapsed() >= SAVE_EVERY {
            self.remember();
        }
    }

    /// Saves the hashes that it learned.
    pub(super) fn remember(&mut self) {
        if !std::mem::take(&mut self.knows_more) {
            return;
        }
        self.saved = Instant::now();
        if self.seen.len() > self.most {
            self.seen.retain(|place, _| !is_gone(place));
            // A look at each file for each one that is new would be too much.
            self.most = MOST.max(2 * self.seen.len());
        }
        let saved = match &mut self.checkpoints {
            Some(checkpoints) => checkpoints.save(&Plain(self.seen.clone())).map(drop),
            None => self.kept().and_then(|mut checkpoints| {
                // With those of other processes.
                let mut seen = load(&mut checkpoints);
                for (place, ours) in &self.seen {
                    let is_older = |theirs: &Seen| theirs.boot == self.boot && ours.boot != self.boot;
                    if !seen.get(place).is_some_and(is_older) {
                        seen.insert(place.clone(), ours.clone());
                    }
                }
                if seen.len() > self.most {
                    seen.retain(|place, _| !is_gone(place));
                }
                checkpoints.save(&Plain(seen)).map(drop)
            }),
        };
        match saved {
            // Another process saves there.
            Err(Error::InUse { .. }) if self.workshop.shared => self.knows_more = true,
            // A step must not fail for this: a hash that is not remembered only costs time.
            Err(error) => warn(format!(
                "the hashes of input files are not remembered, and worked out again next time: {error}"
            )),
            Ok(()) => {}
        }
    }
}

/// True if the file of a name in the memory is not there any more. A file whose path is no text is
/// taken for such a one, and costs a hash.
fn is_gone(place: &str) -> bool {
    let path = Path::new(place.strip_prefix(DURABLE).unwrap_or(place));
    path.symlink_metadata().is_err_and(|error| is_not_there(&error))
}

/// The hashes that are kept.
fn load(checkpoints: &mut Checkpointer<Memory>) -> BTreeMap<String, Seen> {
    let seen = checkpoints.load().unwrap_or_else(|error| {
        warn(format!(
            "the hashes of input files are worked out again, those that are kept cannot be used: {error}"
        ));
        None
    });
    seen.map(|Plain(seen)| seen).unwrap_or_default()
}

/// A file at one look, with its hash.
#[derive(Clone, Debug)]
pub(super) struct Look {
    pub(super) seen: Seen,
    /// True if any later change shows in the facts seen.
    pub(super) shows_changes: bool,
}

/// Everything but the hash, and true if any change after `now` shows in it.
pub(super) fn look_for_good(file: &File, now: SystemTime) -> io::Result<(Seen, bool)> {
    // If a page is dirty already, a second store to it through a memory map does not change the
    // time. After the sync no page is dirty. It includes the times: a power cut must not leave this
    // content with those of an older one.
    let shows_stores = file.sync_all().is_ok() && has_times_of_stores(file);
    let seen = look(file)?;
    let shows_changes = shows_stores && seen.is_settled(now);
    Ok((seen, shows_changes))
}

/// Opens a file. Anything else is not even opened: that can have effects, or wait for a program.
pub(super) fn open(path: &Path) -> io::Result<File> {
    must_be_regular(&std::fs::metadata(path)?)?;
    open_regular(path).map(|(file, _)| file)
}

fn must_be_regular(metadata: &std::fs::Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"))
}

/// The hash of the rest of a file.
pub(super) fn hash(file: &File) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(hasher.finalize().to_hex().to_string())
}

impl Seen {
    /// True if all is as it was remembered.
    fn is_as(&self, known: &Seen) -> bool {
        let facts = |seen: &Seen| (seen.length, seen.modified, seen.inode, seen.changed);
        facts(self) == facts(known) && self.hash == known.hash
    }

    /// The facts of the content as text: those that a change of the permissions or of a name keeps.
    pub(super) fn facts(&self) -> String {
        let (sign, since) = match self.modified.duration_since(SystemTime::UNIX_EPOCH) {
            Ok(since) => ("", since),
            Err(early) => ("-", early.duration()),
        };
        format!(
            "inode {}, {} bytes, of {sign}{}.{:09}",
            self.inode,
            self.length,
            since.as_secs(),
            since.subsec_nanos()
        )
    }

    /// The time until any further change gets another time than its last one.
    pub(super) fn time_to_next_tick(&self, now: SystemTime) -> Duration {
        let changed = self.time_of_change();
        let of_second = |time: SystemTime| {
            time.duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.subsec_nanos())
        };
        // FAT counts in two seconds.
        let is_coarse = of_second(self.modified) == 0 && of_second(changed) == 0;
        let tick = if is_coarse { COARSE_TICK } else { TICK };
        // Where the clock of a server is ahead, the time of the last change is still to come.
        let age = now.duration_since(self.modified.max(changed)).unwrap_or_default();
        tick.saturating_sub(age)
    }

    /// The time of the last change of the file or its name, where the system has one.
    fn time_of_change(&self) -> SystemTime {
        let (seconds, nanoseconds) = self.changed;
        let since = u64::try_from(seconds).ok().zip(u32::try_from(nanoseconds).ok());
        since
            .and_then(|(seconds, nanoseconds)| {
                SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
            })
            .unwrap_or(SystemTime::UNIX_EPOCH)
    }

    /// True if its last change is so long ago that the next one gets another time. Both times
    /// count: the one of the content can be set to any value, as by copies that preserve it.
    fn is_settled(&self, now: SystemTime) -> bool {
        let is_old = |time: SystemTime| now.duration_since(time).is_ok_and(|age| age > TOO_FRESH);
        is_old(self.modified) && is_old(self.time_of_change())
    }
}

/// Everything but the hash.
pub(super) fn look(file: &File) -> io::Result<Seen> {
    let metadata = file.metadata()?;
    must_be_regular(&metadata)?;
    #[cfg(unix)]
    let (inode, changed) = {
        use std::os::unix::fs::MetadataExt;
        (metadata.ino(), (metadata.ctime(), metadata.ctime_nsec()))
    };
    #[cfg(not(unix))]
    let (inode, changed) = (0, (0, 0));
    let modified = metadata.modified()?;
    Ok(Seen { length: metadata.len(), modified, inode, changed, hash: String::new(), boot: None })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_was_just_changed_is_never_settled() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let seen = |modified: u64, changed: i64| Seen {
            length: 1,
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs(modified),
            inode: 1,
            changed: (changed, 0),
            hash: String::new(),
            boot: None,
        };
        assert!(seen(990, 990).is_settled(now));
        for (modified, changed) in [(990, 999), (999, 990), (2000, 990), (990, 2000)] {
            assert!(!seen(modified, changed).is_settled(now), "{modified} {changed}");
        }
    }

    #[test]
    fn files_that_are_gone_are_forgotten_once_there_are_many() {
        for shared in [false, true] {
            let directory = tempfile::tempdir().unwrap();
            let open = || {
                let builder = crate::pipeline::Pipeline::builder(directory.path().join("p"));
                builder.shared(shared).open().unwrap()
            };
            let there = directory.path().join("there");
            let day = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
            let seen = look(&file_of(directory.path(), "there", day)).unwrap();
            let names = [as_text(&there), format!("{DURABLE}{}", as_text(&there))];
            let pipeline = open();
            for place in 0..MOST {
                let gone = directory.path().join(format!("gone {place}"));
                pipeline.files().note(as_text(&gone), seen.clone());
            }
            names.iter().for_each(|name| pipeline.files().note(name.clone(), seen.clone()));
            pipeline.files().remember();
            drop(pipeline);
            let kept: Vec<String> = open().files().seen.keys().cloned().collect();
            assert!(kept == names, "shared: {shared}: {} are kept", kept.len());
        }
    }

    /// An empty file in this directory with this time of its last change.
    fn file_of(directory: &Path, name: &str, modified: SystemTime) -> File {
        let file = File::create(directory.join(name)).unwrap();
        file.set_times(std::fs::FileTimes::new().set_modified(modified)).unwrap();
        file
    }

    #[test]
    fn a_file_from_before_1970_costs_no_hash_of_others() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        let (epoch, day) = (SystemTime::UNIX_EPOCH, Duration::from_secs(86_400));
        let old = look(&file_of(directory.path(), "old", epoch - day)).unwrap();
        let new = look(&file_of(directory.path(), "new", epoch + day)).unwrap();
        let pipeline = crate::pipeline::Pipeline::open(&path).unwrap();
        let mut files = pipeline.files();
        files.note("old".to_owned(), old);
        files.note("new".to_owned(), new.clone());
        files.remember();
        drop(files);
        drop(pipeline);
        let pipeline = crate::pipeline::Pipeline::open(&path).unwrap();
        let files = pipeline.files();
        assert!(files.seen.len() == 1 && new.is_as(&files.seen["new"]), "{:?}", files.seen);
    }

    /// A power cut may leave new content with the old times.
    #[cfg(target_os = "linux")]
    #[test]
    fn a_hash_of_another_boot_is_computed_again_once() {
        let directory = tempfile::tempdir().unwrap();
        let (path, place) = (directory.path().join("p"), directory.path().join("data"));
        let day = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
        let file = file_of(directory.path(), "data", day);
        let other = Seen { hash: "of other content".to_owned(), ..look(&file).unwrap() };
        let open = || crate::pipeline::Pipeline::open(&path).unwrap();
        for is_of_another in [true, false] {
            let pipeline = open();
            let mut files = pipeline.files();
            if is_of_another {
                files.boot = Some("another boot".to_owned());
            }
            files.note(as_text(&place), other.clone());
            files.remember();
            drop(files);
            drop(pipeline);
            let pipeline = open();
            let known = pipeline.files().look(&place).unwrap().seen.hash == other.hash;
            let is_known = !is_of_another && has_times_of_stores(&file);
            assert_eq!(known, is_known || is_on_server(&file), "{is_of_another}");
        }
    }

    #[test]
    fn a_hash_of_this_boot_is_not_replaced_by_an_older_one() {
        let directory = tempfile::tempdir().unwrap();
        let open = || {
            let builder = crate::pipeline::Pipeline::builder(directory.path().join("p"));
            builder.shared(true).open().unwrap()
        };
        let day = SystemTime::UNIX_EPOCH + Duration::from_secs(86_400);
        let seen = look(&file_of(directory.path(), "data", day)).unwrap();
        let boot = |name: &str| Some(name.to_owned());
        let note = |pipeline: &crate::pipeline::Pipeline, place: &str, name: &str| {
            let mut files = pipeline.files();
            files.boot = boot(name);
            files.note(place.to_owned(), seen.clone());
            files.boot = boot("present");
            files.remember();
        };
        note(&open(), "data", "former");
        let (first, second) = (open(), open());
        note(&first, "data", "present");
        note(&second, "other", "present");
        let pipeline = open();
        assert_eq!(pipeline.files().seen["data"].boot, boot("present"));
        assert_eq!(pipeline.files().seen["other"].boot, boot("present"));
    }

    #[test]
    fn facts_tell_times_before_1970_apart() {
        let directory = tempfile::tempdir().unwrap();
        let file = |seconds: u64| {
            let modified = SystemTime::UNIX_EPOCH - Duration::from_millis(1000 * seconds + 500);
            look(&file_of(directory.path(), "old", modified)).unwrap()
        };
        assert!(file(7).facts().ends_with(" of -7.500000000"), "{}", file(7).facts());
        assert_ne!(file(7).facts(), file(8).facts());
    }
}
