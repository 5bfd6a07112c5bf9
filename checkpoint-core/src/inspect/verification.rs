//! Verifies checkpoints part by part, and names the one that a restart would take.

use std::ffi::OsString;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::Serialize;

use super::subject::Subject;
#[cfg(feature = "group")]
use crate::base::text;
use crate::error::{Error, once_more_if};
#[cfg(feature = "group")]
use crate::group::GroupFile;
use crate::seal::Protection;
use crate::store::{Disk as _, Home, RealDisk, absolute, name};
use crate::tree::{self, File};

/// The number of bytes that are read at a time.
const PIECE: usize = 1 << 20;

/// The result of verifying one part.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct PartVerdict {
    /// The name of its entry.
    pub name: String,
    /// The number of its bytes in the file.
    pub stored_bytes: u64,
    /// The damage, if any.
    pub problem: Option<String>,
}

/// The condition of a checkpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Condition {
    /// The checkpoint is intact.
    Whole,
    /// The checkpoint is broken for good: a restart skips it for an older one.
    Damaged,
    /// The checkpoint cannot be read here and now, and may be whole: a permission, a key or a newer
    /// version is missing, or the parts of a group are on other machines. A restart does not skip
    /// it.
    OutOfReach,
}

/// The result of verifying one checkpoint.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Verdict {
    /// The file.
    pub path: PathBuf,
    /// Its generation, taken from its name; only in a directory.
    pub generation: Option<u64>,
    /// The fault of the file as a whole: it is no checkpoint, it cannot be opened, its parts do not
    /// fit each other.
    pub problem: Option<String>,
    /// Its parts; empty if it cannot be opened.
    pub parts: Vec<PartVerdict>,
    /// The ranks of a group whose directories are not here: their parts were not verified.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub elsewhere: Vec<usize>,
    /// The condition that follows from these.
    pub condition: Condition,
}

impl Verdict {
    /// Returns true if the checkpoint is intact.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.condition == Condition::Whole
    }
}

/// Reads all of a checkpoint file and compares every checksum, as a load does with this protection.
/// Of a checkpoint that a group saved, the parts of all processes are read too. Where the directory
/// of a process is elsewhere, the verdict says so.
///
/// ```
/// use checkpointed::{Checkpointer, Protection, inspect};
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("run.ckpt");
/// Checkpointer::<Vec<f64>>::open(&path)?.save(&vec![0.5; 100])?;
/// let verdicts = inspect::verify_directory(&path, &Protection::new())?;
/// assert!(verdicts[0].is_whole());
/// # Ok(())
/// # }
/// ```
pub fn verify(path: impl AsRef<Path>, protection: &Protection) -> Verdict {
    let given = path.as_ref();
    let open = || absolute(given).and_then(|path| File::open(&path, protection));
    let path = absolute(given).unwrap_or_else(|_| given.to_owned());
    verified(&path, open, protection)
}

/// Verifies a checkpoint. Reads it once more if the device did not give all of it, as a load does.
pub(super) fn verified(
    path: &Path,
    open: impl Fn() -> Result<File, Error>,
    protection: &Protection,
) -> Verdict {
    let read = || verdict(path, open(), protection);
    once_more_if(read, |(_, errors)| errors.iter().any(Error::is_unread)).0
}

/// Verifies a checkpoint that was opened. Returns the verdict, and all that is wrong. Parts that
/// are elsewhere are out of reach, and no error.
#[cfg_attr(not(feature = "group"), allow(unused_variables, reason = "it opens the parts of a group"))]
pub(super) fn verdict(
    path: &Path,
    opened: Result<File, Error>,
    protection: &Protection,
) -> (Verdict, Vec<Error>) {
    let path = path.to_owned();
    let file = match opened {
        Ok(file) => file,
        Err(error) => {
            let (condition, problem) = (condition([&error]), Some(error.to_string()));
            let verdict = Verdict {
                path,
                generation: None,
                problem,
                parts: Vec::new(),
                elsewhere: Vec::new(),
                condition,
            };
            return (verdict, vec![error]);
        }
    };
    let found = Found::in_file(&file, "");
    #[cfg(feature = "group")]
    let found = found.with_group(&file, protection);
    let condition = match condition(found.errors.iter()) {
        Condition::Whole if !found.elsewhere.is_empty() => Condition::OutOfReach,
        condition => condition,
    };
    let (generation, problem) = (Some(file.manifest().generation()), found.problem.clone());
    let Found { parts, elsewhere, errors, .. } = found;
    (Verdict { path, generation, problem, parts, elsewhere, condition }, errors)
}

/// What is wrong in a checkpoint.
struct Found {
    /// What is wrong with it as a whole.
    problem: Option<String>,
    parts: Vec<PartVerdict>,
    /// All that is wrong.
    errors: Vec<Error>,
    /// The ranks of a group whose parts are not here, and may be whole elsewhere.
    elsewhere: Vec<usize>,
}

impl Found {
    /// Reads all of a file, whose parts get names with `prefix`.
    fn in_file(file: &File, prefix: &str) -> Found {
        let problems = file.arrays().map(|array| array.and_then(|array| array.read(|_| Ok(()))).err());
        let mut problems: Vec<Option<Error>> = problems.collect();
        let state = file.root().value().map(drop);
        // Only the program knows the form of some types; their bytes are verified like all others.
        let is_known = |error: &Error| !matches!(error, Error::FormUnknown { .. });
        problems.push(state.err().filter(is_known));
        let are_whole = problems.iter().all(Option::is_none);
        let problem = if are_whole { tree::check(file).err().filter(is_known) } else { None };
        let told = |error: &Option<Error>| error.as_ref().map(ToString::to_string);
        let parts = file.parts().zip(&problems).map(|(part, problem)| PartVerdict {
            name: format!("{prefix}{}", part.name),
            stored_bytes: part.stored_bytes,
            problem: told(problem),
        });
        let (parts, whole) = (parts.collect(), told(&problem));
        let errors = problems.into_iter().chain([problem]).flatten().collect();
        Found { problem: whole, parts, errors, elsewhere: Vec::new() }
    }

    /// Reads the parts of all processes, where the file is the table of a group's checkpoint.
    #[cfg(feature = "group")]
    fn with_group(mut self, file: &File, protection: &Protection) -> Found {
        let group = match GroupFile::of(file, protection) {
            Ok(Some(group)) => group,
            Ok(None) => return self,
            Err(error) => {
                self.problem.get_or_insert_with(|| error.to_string());
                self.errors.push(error);
                return self;
            }
        };
        match group.elsewhere() {
            Ok(elsewhere) => self.elsewhere = elsewhere,
            Err(error) => {
                self.problem.get_or_insert_with(|| error.to_string());
                self.errors.push(error);
            }
        }
        if !self.elsewhere.is_empty() {
            let ranks: Vec<String> = self.elsewhere.iter().map(ToString::to_string).collect();
            let ranks = text::listed(&ranks.iter().map(String::as_str).collect::<Vec<_>>());
            self.problem.get_or_insert_with(|| {
                format!(
                    "the parts of these ranks are not here, and were not verified: {ranks}; verify it where they all \
                     are, or bring their directories to this one"
                )
            });
        }
        for rank in (0..group.size()).filter(|rank| !self.elsewhere.contains(rank)).collect::<Vec<_>>() {
            let name = format!("rank {rank}");
            match group.part(rank) {
                Ok(part) => {
                    let Found { problem, parts, errors, .. } = Found::in_file(&part, &format!("{name}: "));
                    self.parts.extend(parts);
                    self.errors.extend(errors);
                    if let Some(problem) = problem {
                        self.parts.push(PartVerdict { name, stored_bytes: 0, problem: Some(problem) });
                    }
                }
                Err(error) => {
                    let problem = Some(error.to_string());
                    self.parts.push(PartVerdict { name, stored_bytes: 0, problem });
                    self.errors.push(error);
                }
            }
        }
        self
    }
}

/// The condition that follows from these problems. A part that is out of reach hides its own
/// condition.
fn condition<'e>(problems: impl IntoIterator<Item = &'e Error>) -> Condition {
    problems.into_iter().fold(Condition::Whole, |condition, problem| match (condition, problem.is_damage()) {
        (Condition::OutOfReach, _) | (_, false) => Condition::OutOfReach,
        (_, true) => Condition::Damaged,
    })
}

/// The generation that a restart takes, given verdicts from the oldest to the newest. It is the
/// newest whole one. A newer one that is out of reach makes the load an error. `None` if a restart
/// is refused, or if there is no generation.
#[must_use]
pub fn restart(verdicts: &[Verdict]) -> Option<u64> {
    let newest = verdicts.iter().rev().find(|verdict| verdict.condition != Condition::Damaged);
    newest.filter(|verdict| verdict.is_whole()).and_then(|verdict| verdict.generation)
}

/// Verifies every generation of a directory, oldest first. A restart takes the last one that is
/// whole, if it holds a state of the program's type.
///
/// In the directory of a pipeline it verifies all outputs of all steps, the checkpoints of those
/// that are not done, the hashes of files, and the kept copies of files that steps produced. The
/// next run compares the files in their places.
///
/// # Errors
/// If the directory cannot be listed; [`Error::OnlyRewound`] and [`Error::TablesLost`], where it
/// has no generation and a program refuses to begin anew. The error of one generation is in its
/// verdict.
pub fn verify_directory(path: impl AsRef<Path>, protection: &Protection) -> Result<Vec<Verdict>, Error> {
    let path = absolute(path)?;
    let mut verdicts = verify_all(&Subject::of_directory(&path, protection))?;
    if !path.join(name::STEPS).is_dir() {
        return Ok(verdicts);
    }
    let mut inner = folders(&path.join(name::STEPS))?;
    inner.extend(folders(&path.join(name::PROGRESS))?);
    inner.extend(Some(path.join(name::FILES)).filter(|files| files.is_dir()));
    for directory in inner {
        verdicts.extend(verify_all(&Subject::of_directory(&directory, protection))?);
    }
    for folder in folders(&path.join(name::PRODUCED))? {
        for name in listed(&folder)? {
            let copy = name.to_str().filter(|name| name.len() == 64).map(|hash| verify_copy(&folder, hash));
            verdicts.extend(copy.transpose()?.flatten());
        }
    }
    Ok(verdicts)
}

/// The names in a directory, sorted; none where it is absent.
fn listed(path: &Path) -> Result<Vec<OsString>, Error> {
    match RealDisk::default().list(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        names => {
            let mut names = names.map_err(|source| Error::io("list", path, source))?;
            names.sort_unstable();
            Ok(names)
        }
    }
}

/// The directories in a directory, sorted; none where it is absent.
fn folders(path: &Path) -> Result<Vec<PathBuf>, Error> {
    let paths = listed(path)?.into_iter().map(|name| path.join(name));
    Ok(paths.filter(|path| path.is_dir()).collect())
}

/// Compares the kept copy of a file with the BLAKE3 that is its name. `None` if it is gone.
fn verify_copy(folder: &Path, hash: &str) -> Result<Option<Verdict>, Error> {
    let path = folder.join(hash);
    let (condition, problem) = match hash_of(&path) {
        Ok(found) if found == hash => (Condition::Whole, None),
        Ok(_) => (Condition::Damaged, Some("its content is not that of its name".to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => (Condition::OutOfReach, Some(format!("it cannot be read: {error}"))),
    };
    Ok(Some(Verdict { path, generation: None, problem, parts: Vec::new(), elsewhere: Vec::new(), condition }))
}

fn hash_of(path: &Path) -> io::Result<String> {
    let source = RealDisk::default().open_unpublished(path, None)?;
    let (mut hasher, mut piece, mut place) = (blake3::Hasher::new(), vec![0; PIECE], 0);
    while place < source.length() {
        let length = usize::try_from(source.length() - place).unwrap_or(PIECE).min(PIECE);
        let piece = &mut piece[..length];
        source.read_exact_at(piece, place)?;
        hasher.update(piece);
        place += length as u64;
    }
    Ok(hasher.finalize().to_hex().to_string())
}

/// Verifies every generation of another place than a directory, oldest first, such as an
/// `ObjectHome` of the package `checkpointed-object-store`. It reads all of them.
///
/// # Errors
/// If the place cannot be listed. The error of one generation is in its verdict.
pub fn verify_in(home: &Arc<dyn Home>, protection: &Protection) -> Result<Vec<Verdict>, Error> {
    verify_all(&Subject::of_home(home, protection))
}

/// Verifies one generation of another place than a directory.
pub fn verify_one_in(home: &Arc<dyn Home>, generation: u64, protection: &Protection) -> Verdict {
    Subject::of_home(home, protection).verify(generation)
}

fn verify_all(subject: &Subject<'_>) -> Result<Vec<Verdict>, Error> {
    let generations = subject.home.generations()?.into_iter();
    let mut verdicts: Vec<Verdict> = generations.map(|generation| subject.verify(generation)).collect();
    if verdicts.is_empty() {
        check_may_begin(subject)?;
    }
    if !verdicts.iter().all(Verdict::is_whole) {
        // A program that saves at the same time removes some. Only a listing can tell.
        let there = subject.home.generations()?;
        let is_there =
            |verdict: &Verdict| verdict.generation.is_some_and(|generation| there.contains(&generation));
        verdicts.retain(|verdict| verdict.is_whole() || is_there(verdict));
    }
    Ok(verdicts)
}

/// Refuses to take a place for empty where a program refuses to begin anew.
fn check_may_begin(subject: &Subject<'_>) -> Result<(), Error> {
    subject.reader()?.check_rewound()?;
    let (home, mut lost) = (&subject.home, Vec::new());
    for rank in home.members()? {
        let member = home.member(rank)?;
        let newest = member.generations()?.last().copied();
        let is_accepted = || member.is_accepted().map_err(|source| Error::io("read", member.path(), source));
        if let Some(newest) = newest
            && is_accepted()?
        {
            lost.push((rank, newest));
        }
    }
    match lost.iter().map(|(_, newest)| *newest).max() {
        // The group may have saved its first generation after the listing.
        Some(generation) if home.generations()?.is_empty() => {
            let ranks = lost.into_iter().map(|(rank, _)| rank).collect();
            Err(Error::TablesLost { path: home.path().to_owned(), ranks, generation, moved: Vec::new() })
        }
        _ => Ok(()),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::Checkpointer;
    use crate::store::Directory;
    use crate::store::faults::FaultyDisk;

    #[test]
    fn a_file_that_the_device_does_not_give_once_is_whole() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("run.ckpt");
        Checkpointer::<u64>::open(&path).unwrap().save(&7).unwrap();
        let disk = FaultyDisk::default();
        let home: Arc<dyn Home> = Arc::new(Directory::new(&path, Arc::new(disk.clone())));
        for (times, condition) in [(1, Condition::Whole), (usize::MAX, Condition::Damaged)] {
            disk.be_unread("00000000000000000001.ckpt", times);
            assert_eq!(verify_in(&home, &Protection::new()).unwrap()[0].condition, condition);
        }
    }
}
