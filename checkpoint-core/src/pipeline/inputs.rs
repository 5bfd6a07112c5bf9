//! The input files of a step: the content that it found, and whether that changed while it ran.

use std::collections::BTreeSet;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::SystemTime;

use super::files::{Look, Seen, hash, look, look_for_good, open};
use super::pattern::is_not_there;
use super::project::{is_linked, real};
use super::sets::Set;
use crate::base::text::plain;
use crate::base::warnings::warn;
use crate::error::Error;
use crate::run::stamp::Notes;

/// An input file as a step found it.
#[derive(Clone, Debug)]
pub(super) struct Input {
    /// The name in the key.
    pub(super) name: String,
    /// Absolute: the program may change its directory.
    path: PathBuf,
    look: Look,
}

impl Input {
    pub(super) fn new(name: String, path: PathBuf, look: Look) -> Input {
        Input { name, path, look }
    }

    /// True if the file was not changed since, not even to be put back.
    fn is_unchanged(&self) -> Result<bool, Error> {
        let file = match open(&self.path) {
            // Gone, or another thing has its place.
            Err(error) if is_not_there(&error) || error.kind() == io::ErrorKind::InvalidInput => {
                return Ok(false);
            }
            file => file.map_err(|source| self.failed(source))?,
        };
        let mut found = look(&file).map_err(|source| self.failed(source))?;
        found.hash.clone_from(&self.look.seen.hash);
        if found != self.look.seen || self.look.shows_changes {
            return Ok(found == self.look.seen);
        }
        Ok(hash(&file).map_err(|source| self.failed(source))? == self.look.seen.hash)
    }

    /// Compares the file with what the step found. `known` has the facts of the last look that
    /// found the same content: while they are the same, the content is not read.
    fn compare(&self, known: &mut Known, now: SystemTime) -> io::Result<Content> {
        let file = open(&self.path)?;
        let found = look(&file)?;
        if known.as_ref().is_some_and(|known| found == *known) {
            return Ok(self.same_content(found));
        }
        let (found, shows_changes) = look_for_good(&file, now)?;
        if hash(&file)? != self.look.seen.hash {
            return Ok(Content::Other);
        }
        *known = shows_changes.then(|| found.clone());
        Ok(self.same_content(found))
    }

    /// The same content, with these facts.
    fn same_content(&self, mut found: Seen) -> Content {
        found.hash.clone_from(&self.look.seen.hash);
        if found == self.look.seen { Content::AsFound } else { Content::Written }
    }

    fn failed(&self, source: io::Error) -> Error {
        Error::io("read", &self.path, source)
    }
}

/// The content of a file, compared with what the step found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Content {
    AsFound,
    /// The same, but the file was written to, renamed or linked since. It may have had another
    /// content in between.
    Written,
    Other,
}

/// The facts of a file at the last look, without its hash. `None` if a later change may not show in
/// them.
type Known = Option<Seen>;

/// The input files of a step as they were before its work, and the names of those that changed
/// since.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    files: Vec<Input>,
    /// The directories and patterns, with the files that each had.
    sets: Vec<(Set, BTreeSet<PathBuf>)>,
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
    /// The names of the files that were written to, and were found with the same content.
    written: BTreeSet<String>,
    /// The number of files that the last look could not read.
    unreadable: usize,
    /// True once the user was warned of a changed file.
    has_warned: bool,
}

/// The places that a step reads from. They are worked out once for all files that it produces.
pub(super) struct Places<'a> {
    /// The paths of the files without links.
    targets: BTreeSet<PathBuf>,
    sets: &'a [(Set, BTreeSet<PathBuf>)],
}

impl Places<'_> {
    /// True if the step reads the file, or would read it if the file existed. `path` is absolute,
    /// and `target` is the same path without links.
    pub(super) fn has(&self, path: &Path, target: &Path) -> bool {
        self.targets.contains(target) || self.sets.iter().any(|(set, _)| set.has(path, target))
    }

    /// True if a file that the step reads is the same file by another name: a hard link.
    pub(super) fn has_linked(&self, path: &Path) -> bool {
        is_linked(path, self.targets.iter())
    }
}

impl Inputs {
    pub(super) fn add(&mut self, input: Input) {
        let mut known = input.look.seen.clone();
        known.hash.clear();
        let looks = self.looks.get_mut().unwrap_or_else(PoisonError::into_inner);
        looks.known.push(input.look.shows_changes.then_some(known));
        self.files.push(input);
    }

    pub(super) fn add_set(&mut self, set: Set, files: BTreeSet<PathBuf>) {
        self.sets.push((set, files));
    }

    /// The places of the files that the step found.
    pub(super) fn places(&self) -> Places<'_> {
        let targets = self.files.iter().map(|input| real(&input.path)).collect();
        Places { targets, sets: &self.sets }
    }

    /// The places of the files after the work, with those that came to the sets since.
    pub(super) fn places_now(&self) -> Places<'_> {
        let mut places = self.places();
        for (set, found) in &self.sets {
            // One that cannot be listed counts as changed.
            let files = set.files().unwrap_or_default();
            places.targets.extend(files.difference(found).map(|path| real(path)));
        }
        places
    }

    /// For each directory and pattern, whether its files are others than the step found.
    fn look_at_sets(&self) -> impl Iterator<Item = (&str, io::Result<bool>)> {
        self.sets.iter().map(|(set, files)| (&*set.name, set.files().map(|found| found != *files)))
    }

    /// Looks at the files before a save of the step's own, and notes those whose content is not
    /// known to be the one that the step found, and those that were written to. Another content
    /// counts until the step ends. A file that cannot be read counts at this look only. Warns of
    /// the first of both.
    pub(super) fn doubtful(&self, step: &str) -> Notes {
        self.doubtful_at(step, SystemTime::now())
    }

    fn doubtful_at(&self, step: &str, now: SystemTime) -> Notes {
        let mut looks = self.looks.lock().unwrap_or_else(PoisonError::into_inner);
        let Looks { known, changed, written, unreadable, has_warned } = &mut *looks;
        let mut failed: Vec<(String, io::Error)> = Vec::new();
        for (name, is_changed) in self.look_at_sets() {
            match is_changed {
                Ok(true) => drop(changed.insert(name.to_owned())),
                Ok(false) => {}
                Err(error) => failed.push((name.to_owned(), error)),
            }
        }
        for (input, known) in self.files.iter().zip(known) {
            if changed.contains(&input.name) {
                continue;
            }
            match input.compare(known, now) {
                Ok(Content::AsFound) => {}
                Ok(Content::Written) => drop(written.insert(input.name.clone())),
                Ok(Content::Other) => drop(changed.insert(input.name.clone())),
                Err(error) => failed.push((input.name.clone(), error)),
            }
        }
        let mut warnings = Vec::new();
        if let Some(first) = changed.first().filter(|_| !*has_warned) {
            *has_warned = true;
            let first = plain(first);
            warnings.push(format!(
                "step `{step}`: {first} was changed while it runs, so no checkpoint that it saves from now on is \
                 loaded after a restart: the step then continues from one before the change"
            ));
        }
        if let Some((input, error)) = failed.first().filter(|_| *unreadable == 0) {
            let input = plain(input);
            warnings.push(format!(
                "step `{step}`: {input} cannot be looked at before a save, so this checkpoint is not loaded after a \
                 restart; the next save looks again: {error}"
            ));
        }
        *unreadable = failed.len();
        let failed = failed.into_iter().map(|(input, _)| input);
        let changed = changed.iter().cloned().chain(failed).collect();
        let notes = Notes { changed, written: written.clone(), produced: String::new() };
        drop(looks);
        // The user's own code may take them.
        warnings.into_iter().for_each(warn);
        notes
    }

    /// Looks at the files after the work, and returns the names of all that were changed since it
    /// began, also of those that were put back. Those that cannot be looked at count too, with a
    /// warning: the work is done, and its output is good for this run.
    pub(super) fn changed(&self) -> BTreeSet<String> {
        let mut changed = self.looks.lock().unwrap_or_else(PoisonError::into_inner).changed.clone();
        let sets = self.look_at_sets();
        let sets =
            sets.map(|(name, found)| (name, found.map_err(|why| Error::io("list", name.as_ref(), why))));
        let files = self.files.iter().map(|input| (&*input.name, input.is_unchanged().map(|is| !is)));
        for (name, is_changed) in sets.chain(files) {
            if is_changed.unwrap_or_else(|error| {
                warn(format!("after the work of a step: {error}"));
                true
            }) {
                changed.insert(name.to_owned());
            }
        }
        changed
    }
}

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::base::file_system::has_times_of_stores;
    use crate::base::warnings::{Taker, Warnings};
    use crate::pipeline::files::TOO_FRESH;

    /// An input file of a step, and the time at which it is settled.
    fn input(path: &Path, content: &str) -> (Inputs, SystemTime) {
        std::fs::write(path, content).unwrap();
        let file = open(path).unwrap();
        let mut seen = look(&file).unwrap();
        seen.hash = hash(&file).unwrap();
        let mut inputs = Inputs::default();
        let (name, path) = ("input".to_owned(), path.to_owned());
        inputs.add(Input::new(name, path, Look { seen, shows_changes: false }));
        (inputs, SystemTime::now() + 2 * TOO_FRESH)
    }

    fn known(inputs: &Inputs) -> Known {
        inputs.looks.lock().unwrap().known[0].clone()
    }

    fn changed_at(inputs: &Inputs, now: SystemTime) -> Vec<String> {
        inputs.doubtful_at("s", now).changed.into_iter().collect()
    }

    #[test]
    fn a_touched_file_with_the_same_content_is_noted() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("input");
        let (inputs, later) = input(&path, "1");
        let shows_stores = has_times_of_stores(&open(&path).unwrap());
        // A fresh file is hashed at each look. Once it is settled, its facts are enough.
        assert!(changed_at(&inputs, SystemTime::now()).is_empty());
        assert_eq!(known(&inputs), None);
        assert!(changed_at(&inputs, later).is_empty());
        assert_eq!(known(&inputs).is_some(), shows_stores);
        assert!(inputs.doubtful_at("s", later).written.is_empty());
        // Touched, linked and replaced by its copy.
        std::fs::write(&path, "1").unwrap();
        std::fs::hard_link(&path, directory.path().join("link")).unwrap();
        std::fs::copy(&path, directory.path().join("copy")).unwrap();
        std::fs::rename(directory.path().join("copy"), &path).unwrap();
        assert!(changed_at(&inputs, later).is_empty());
        // It may have had another content in between.
        assert_eq!(Vec::from_iter(inputs.doubtful_at("s", later).written), ["input"]);
        assert_eq!(known(&inputs), shows_stores.then(|| look(&open(&path).unwrap()).unwrap()));
        // The whole step did see a change.
        assert_eq!(Vec::from_iter(inputs.changed()), ["input"]);
    }

    #[test]
    fn another_content_counts_until_the_step_ends() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("input");
        let (inputs, later) = input(&path, "1");
        let (warnings, taken) = taken();
        let _entered = warnings.enter();
        std::fs::write(&path, "2").unwrap();
        assert_eq!(changed_at(&inputs, later), ["input"]);
        std::fs::write(&path, "1").unwrap();
        assert_eq!(changed_at(&inputs, later), ["input"]);
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
        assert_eq!(changed_at(&inputs, later), ["input"]);
        assert_eq!(changed_at(&inputs, later), ["input"]);
        std::fs::remove_dir(&path).unwrap();
        std::fs::rename(&away, &path).unwrap();
        assert!(changed_at(&inputs, later).is_empty());
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
}
