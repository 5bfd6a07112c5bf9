//! The content of input files as hashes. A hash is computed again only if the file has changed.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use serde::{Deserialize, Serialize};

use super::builder::Workshop;
use crate::base::warnings::warn;
use crate::error::Error;
use crate::run::checkpointer::Checkpointer;
use crate::state::Plain;
use crate::store::name::FILES;

/// A file that was changed this recently may be changed once more without a new time of its last
/// change, so its hash is not remembered.
const TOO_FRESH: Duration = Duration::from_secs(3);

/// The facts remembered about a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Seen {
    length: u64,
    modified: SystemTime,
    /// The identity of the file, whatever its name, and the last change of it or its name.
    inode: u64,
    changed: (i64, i64),
    hash: String,
}

type Memory = Plain<BTreeMap<String, Seen>>;

/// An input file as a step found it.
#[derive(Debug)]
pub(super) struct Input {
    /// The name in the key.
    pub(super) name: String,
    /// Absolute: the program may change its directory.
    path: PathBuf,
    seen: Seen,
    /// True if any later change shows in the facts seen.
    shows_changes: bool,
}

impl Input {
    pub(super) fn hash(&self) -> &str {
        &self.seen.hash
    }

    /// True if the file was not changed since, not even to be put back.
    fn is_unchanged(&self) -> Result<bool, Error> {
        let file = match open(&self.path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(false),
            file => file.map_err(|source| self.failed(source))?,
        };
        let mut found = look(&file).map_err(|source| self.failed(source))?;
        found.hash.clone_from(&self.seen.hash);
        if found != self.seen || self.shows_changes {
            return Ok(found == self.seen);
        }
        Ok(hash(&file).map_err(|source| self.failed(source))? == self.seen.hash)
    }

    /// True if the file has the content that the step found. `known` has the facts of the last look
    /// that found it: while they are the same, the content is not read.
    fn has_same_content(&self, known: &mut Known, now: SystemTime) -> io::Result<bool> {
        let file = open(&self.path)?;
        let found = look(&file)?;
        if known.as_ref().is_some_and(|known| found == *known) {
            return Ok(true);
        }
        let (found, shows_changes) = look_for_good(&file, now)?;
        if hash(&file)? != self.seen.hash {
            return Ok(false);
        }
        *known = shows_changes.then_some(found);
        Ok(true)
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::io("read", &self.path, source)
    }
}

/// The facts of a file at the last look, without its hash. `None` if a later change may not show in
/// them.
type Known = Option<Seen>;

/// The input files of a step as they were before its work, and the names of those that changed
/// since.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    files: Vec<Input>,
    looks: Mutex<Looks>,
}

/// The results of the looks at the files during the work.
#[derive(Debug, Default)]
struct Looks {
    /// The facts of each file, in the order of the files.
    known: Vec<Known>,
    /// The names of the files that were found with another content. A name stays here if its file
    /// is put back.
    changed: BTreeSet<String>,
    /// The number of files that the last look could not read.
    unreadable: usize,
    /// True once the user was warned of a changed file.
    has_warned: bool,
}

impl Inputs {
    pub(super) fn add(&mut self, input: Input) {
        let known = Seen { hash: String::new(), ..input.seen.clone() };
        let looks = self.looks.get_mut().unwrap_or_else(PoisonError::into_inner);
        looks.known.push(input.shows_changes.then_some(known));
        self.files.push(input);
    }

    /// Looks at the files before a save of the step's own, and returns the names of those whose
    /// content is not known to be the one that the step found. Another content counts until the step
    /// ends. A file that cannot be read counts at this look only. Warns of the first of both.
    pub(super) fn doubtful(&self, step: &str) -> Vec<String> {
        self.doubtful_at(step, SystemTime::now())
    }

    fn doubtful_at(&self, step: &str, now: SystemTime) -> Vec<String> {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let Looks { known, changed, unreadable, has_warned } = &mut *looks;
        let mut failed: Vec<(&Input, io::Error)> = Vec::new();
        for (input, known) in self.files.iter().zip(known) {
            if changed.contains(&input.name) {
                continue;
            }
            match input.has_same_content(known, now) {
                Ok(true) => {}
                Ok(false) => drop(changed.insert(input.name.clone())),
                Err(error) => failed.push((input, error)),
            }
        }
        let mut warnings = Vec::new();
        if let Some(first) = changed.first().filter(|_| !*has_warned) {
            *has_warned = true;
            warnings.push(format!(
                "step `{step}`: {first} was changed while it runs, so no checkpoint that it saves from now on is \
                 loaded after a restart: the step then continues from one before the change"
            ));
        }
        if let Some((input, error)) = failed.first().filter(|_| *unreadable == 0) {
            warnings.push(format!(
                "step `{step}`: {} cannot be looked at before a save, so this checkpoint is not loaded after a \
                 restart; the next save looks again: {error}",
                input.path.display()
            ));
        }
        *unreadable = failed.len();
        let names = failed.into_iter().map(|(input, _)| input.name.clone());
        let names = changed.iter().cloned().chain(names).collect();
        drop(looks);
        // The user's own code may take them.
        warnings.into_iter().for_each(warn);
        names
    }

    /// Looks at the files after the work, and returns the names of all that were changed since it
    /// began, also of those that were put back.
    ///
    /// # Errors
    /// The last error of reading a file.
    pub(super) fn changed(&self) -> Result<Vec<String>, Error> {
        let mut changed = self.looks.lock().unwrap_or_else(PoisonError::into_inner).changed.clone();
        for input in &self.files {
            if !input.is_unchanged()? {
                changed.insert(input.name.clone());
            }
        }
        Ok(changed.into_iter().collect())
    }
}

/// The hashes of files. They are themselves kept in a checkpoint directory.
#[derive(Debug)]
pub(super) struct Files {
    checkpoints: Checkpointer<Memory>,
    seen: BTreeMap<String, Seen>,
}

impl Files {
    pub(super) fn open(workshop: &Workshop) -> Result<Files, Error> {
        // Not synced: a file that a power cut leaves half-written is found damaged, and lost hashes
        // can be computed again.
        let builder = workshop.builder::<Memory>(FILES).durable(false).history(false).of_library();
        let mut checkpoints = builder.open()?;
        let seen = checkpoints.load().unwrap_or_else(|error| {
            warn(format!(
                "the hashes of input files are worked out again, those that are kept cannot be used: {error}"
            ));
            None
        });
        Ok(Files { checkpoints, seen: seen.map(|Plain(seen)| seen).unwrap_or_default() })
    }

    /// Looks at a file, and computes the hash of its content if that is not known.
    pub(super) fn input(&mut self, given: &Path) -> Result<Input, Error> {
        let failed = |source| Error::io("read", given, source);
        let path = std::path::absolute(given).map_err(failed)?;
        let name = name(given);
        let now = SystemTime::now();
        let file = open(&path).map_err(failed)?;
        let (mut seen, shows_changes) = look_for_good(&file, now).map_err(failed)?;
        let place = self::name(&path);
        if let Some(known) = self.seen.get(&place).filter(|_| shows_changes) {
            seen.hash.clone_from(&known.hash);
            if seen == *known {
                return Ok(Input { name, path, seen, shows_changes });
            }
        }
        seen.hash = hash(&file).map_err(failed)?;
        if shows_changes {
            self.seen.insert(place, seen.clone());
            // A step must not fail for this: a hash that is not remembered only costs time.
            if let Err(error) = self.checkpoints.save(&Plain(self.seen.clone())) {
                warn(format!(
                    "the hashes of input files are not remembered, and worked out again next time: {error}"
                ));
            }
        }
        Ok(Input { name, path, seen, shows_changes })
    }
}

/// Everything but the hash, and true if any change after `now` shows in it.
fn look_for_good(file: &File, now: SystemTime) -> io::Result<(Seen, bool)> {
    // If a page is dirty already, a second store to it through a memory map does not change the
    // time. After the sync no page is dirty.
    let shows_stores = file.sync_data().is_ok() && has_times_of_stores(file);
    let seen = look(file)?;
    let shows_changes = shows_stores && seen.is_settled(now);
    Ok((seen, shows_changes))
}

/// Opens a file. Opening a pipe would wait for a program that writes to it.
fn open(path: &Path) -> io::Result<File> {
    must_be_regular(&std::fs::metadata(path)?)?;
    File::open(path)
}

fn must_be_regular(metadata: &std::fs::Metadata) -> io::Result<()> {
    if metadata.is_file() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a file"))
}

/// The hash of the rest of a file.
fn hash(file: &File) -> io::Result<String> {
    let mut hasher = blake3::Hasher::new();
    hasher.update_reader(file)?;
    Ok(hasher.finalize().to_hex().to_string())
}

/// True if a store through a memory map changes the time of the last change. In a memory file
/// system it does not, and an overlay file system may lie over such a one.
#[cfg(any(target_os = "linux", target_os = "android"))]
fn has_times_of_stores(file: &File) -> bool {
    const TMPFS: u64 = 0x0102_1994;
    const RAMFS: u64 = 0x8584_58f6;
    const HUGETLBFS: u64 = 0x9584_58f6;
    const OVERLAY: u64 = 0x794c_7630;
    rustix::fs::fstatfs(file).is_ok_and(|system| {
        // The type of this field has another sign and width on each machine.
        let kind = u64::try_from(system.f_type & 0xffff_ffff).unwrap_or_default();
        ![TMPFS, RAMFS, HUGETLBFS, OVERLAY].contains(&kind)
    })
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn has_times_of_stores(_: &File) -> bool {
    true
}

impl Seen {
    /// True if its last change is so long ago that the next one gets another time. Both times
    /// count: the one of the content can be set to any value, as by copies that preserve it.
    fn is_settled(&self, now: SystemTime) -> bool {
        let is_old = |time: SystemTime| now.duration_since(time).is_ok_and(|age| age > TOO_FRESH);
        let (seconds, nanoseconds) = self.changed;
        let since = u64::try_from(seconds).ok().zip(u32::try_from(nanoseconds).ok());
        let changed = since
            .and_then(|(seconds, nanoseconds)| {
                SystemTime::UNIX_EPOCH.checked_add(Duration::new(seconds, nanoseconds))
            })
            .unwrap_or(SystemTime::UNIX_EPOCH);
        is_old(self.modified) && is_old(changed)
    }
}

/// Everything but the hash.
fn look(file: &File) -> io::Result<Seen> {
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
    Ok(Seen { length: metadata.len(), modified, inode, changed, hash: String::new() })
}

/// A path as text for the key: different for each path, also if it is no text; but `./a` is `a`.
pub(super) fn name(path: &Path) -> String {
    let path: PathBuf = path.components().filter(|part| *part != Component::CurDir).collect();
    match path.to_str() {
        // A text that begins with a quotation mark could be taken for such a path.
        Some(text) if !text.starts_with('"') => text.to_owned(),
        _ => format!("{path:?}"),
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    use super::*;
    use crate::base::warnings::{Taker, Warnings};

    /// An input file of a step, and the time at which it is settled.
    fn input(path: &Path, content: &str) -> (Inputs, SystemTime) {
        std::fs::write(path, content).unwrap();
        let file = open(path).unwrap();
        let mut seen = look(&file).unwrap();
        seen.hash = hash(&file).unwrap();
        let mut inputs = Inputs::default();
        let (name, path) = ("input".to_owned(), path.to_owned());
        inputs.add(Input { name, path, seen, shows_changes: false });
        (inputs, SystemTime::now() + 2 * TOO_FRESH)
    }

    fn known(inputs: &Inputs) -> Known {
        inputs.looks.lock().unwrap().known[0].clone()
    }

    #[test]
    fn a_touched_file_with_the_same_content_is_no_change() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("input");
        let (inputs, later) = input(&path, "1");
        let shows_stores = has_times_of_stores(&open(&path).unwrap());
        // A fresh file is hashed at each look. Once it is settled, its facts are enough.
        assert!(inputs.doubtful("s").is_empty());
        assert_eq!(known(&inputs), None);
        assert!(inputs.doubtful_at("s", later).is_empty());
        assert_eq!(known(&inputs).is_some(), shows_stores);
        // Touched, linked and replaced by its copy.
        std::fs::write(&path, "1").unwrap();
        std::fs::hard_link(&path, directory.path().join("link")).unwrap();
        std::fs::copy(&path, directory.path().join("copy")).unwrap();
        std::fs::rename(directory.path().join("copy"), &path).unwrap();
        assert!(inputs.doubtful_at("s", later).is_empty());
        assert_eq!(known(&inputs), shows_stores.then(|| look(&open(&path).unwrap()).unwrap()));
        // The whole step did see a change.
        assert_eq!(inputs.changed().unwrap(), ["input"]);
    }

    #[test]
    fn another_content_counts_until_the_step_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("input");
        let (inputs, later) = input(&path, "1");
        let (warnings, taken) = taken();
        let _entered = warnings.enter();
        std::fs::write(&path, "2").unwrap();
        assert_eq!(inputs.doubtful_at("s", later), ["input"]);
        std::fs::write(&path, "1").unwrap();
        assert_eq!(inputs.doubtful_at("s", later), ["input"]);
        let taken = taken.lock().unwrap();
        assert!(taken.len() == 1 && taken[0].contains("input was changed"), "{taken:?}");
    }

    #[test]
    fn a_passing_error_of_an_input_marks_one_save_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("input");
        let (inputs, later) = input(&path, "1");
        let (warnings, taken) = taken();
        let _entered = warnings.enter();
        let away = directory.path().join("away");
        std::fs::rename(&path, &away).unwrap();
        std::fs::create_dir(&path).unwrap();
        assert_eq!(inputs.doubtful_at("s", later), ["input"]);
        assert_eq!(inputs.doubtful_at("s", later), ["input"]);
        std::fs::remove_dir(&path).unwrap();
        std::fs::rename(&away, &path).unwrap();
        assert!(inputs.doubtful_at("s", later).is_empty());
        let taken = taken.lock().unwrap();
        assert!(taken.len() == 1 && taken[0].contains("cannot be looked at"), "{taken:?}");
    }

    /// A destination of warnings, and what came there.
    fn taken() -> (Warnings, std::sync::Arc<Mutex<Vec<String>>>) {
        let taken = std::sync::Arc::new(Mutex::new(Vec::new()));
        let told = std::sync::Arc::clone(&taken);
        let taker = Taker(std::sync::Arc::new(move |warning| told.lock().unwrap().push(warning.to_string())));
        (Warnings { taker: Some(taker), ..Warnings::default() }, taken)
    }

    #[test]
    fn each_path_has_a_name_of_its_own() {
        let paths: [&[u8]; 5] = [b"a", b"\xff", b"\xfe", b"\"\\xFF\"", b"\\xFF"];
        let mut names: Vec<String> =
            paths.iter().map(|path| name(Path::new(OsStr::from_bytes(path)))).collect();
        assert_eq!(names[0], "a");
        names.sort();
        names.dedup();
        assert_eq!(names.len(), paths.len(), "{names:?}");
    }

    #[test]
    fn a_path_has_the_same_name_however_it_is_written() {
        for path in ["a/b", "./a/b", "a/./b", "a//b", "././a/b/"] {
            assert_eq!(name(Path::new(path)), "a/b", "{path}");
        }
        // If one of the folders is a link, these are two files.
        assert_ne!(name(Path::new("a/../b")), name(Path::new("b")));
    }

    #[test]
    fn a_file_that_was_just_changed_is_never_settled() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1000);
        let seen = |modified: u64, changed: i64| Seen {
            length: 1,
            modified: SystemTime::UNIX_EPOCH + Duration::from_secs(modified),
            inode: 1,
            changed: (changed, 0),
            hash: String::new(),
        };
        assert!(seen(990, 990).is_settled(now));
        for (modified, changed) in [(990, 999), (999, 990), (2000, 990), (990, 2000)] {
            assert!(!seen(modified, changed).is_settled(now), "{modified} {changed}");
        }
    }
}
