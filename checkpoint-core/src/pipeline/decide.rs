//! Decides to run a step, or to take a version of its output instead.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use super::commands::Commands;
use super::key::{Key, Record};
use super::output::is_broken;
use super::report::Reason;
use crate::container::Manifest;
use crate::error::Error;
use crate::run::reader::Reader;
use crate::seal::Protection;
use crate::state::Checkpoint;
use crate::store::Directory;

/// The name of a version's entry in the metadata of its generation.
pub(super) const RECORD: &str = "step";

/// A kept version of a step's output.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) number: u64,
    pub(super) record: Record,
    pub(super) bytes: u64,
    /// The names and paths of the files that a kept copy has to take the place of.
    pub(super) restore: Vec<(String, PathBuf)>,
    /// True if its type is that of the program.
    pub(super) fits: bool,
}

/// The decision about a step.
#[derive(Debug)]
pub(super) enum Choice {
    Run(Vec<Reason>),
    Reuse(Version, Vec<Reason>),
    /// Like `Reuse`, and from now on it counts as made from the present key.
    Accept(Version),
}

/// The kept versions of a step.
#[derive(Debug, Default)]
pub(super) struct Kept {
    /// Newest first.
    pub(super) versions: Vec<Version>,
    /// The versions that cannot be used.
    lost: Vec<Lost>,
    /// The hashes of the files that each version produced, by its number.
    pub(super) hashes: BTreeMap<u64, Vec<String>>,
}

/// A version that cannot be used.
#[derive(Debug)]
struct Lost {
    number: u64,
    /// Its key, if its manifest could be read.
    key: Option<Key>,
    why: Loss,
}

#[derive(Debug)]
enum Loss {
    /// Its file is damaged.
    Damaged(Error),
    /// Its file cannot be read, and may be whole.
    Unreadable(Error),
    /// It was damaged, and an earlier run moved its file there.
    SetAside(PathBuf),
    /// Its files are not those that the step declares, or are not there any more as they were
    /// produced.
    Files(Vec<Reason>),
}

impl Kept {
    /// The number and the error of each damaged version whose file is in its place, oldest first.
    pub(super) fn damaged(&self) -> Vec<(u64, &Error)> {
        let damaged = self.lost.iter().filter_map(|lost| match &lost.why {
            Loss::Damaged(error) => Some((lost.number, error)),
            Loss::Unreadable(_) | Loss::SetAside(_) | Loss::Files(_) => None,
        });
        let mut damaged: Vec<_> = damaged.collect();
        damaged.sort_by_key(|(number, _)| *number);
        damaged
    }

    /// Takes out a version that turned out to be damaged, or that cannot be read.
    pub(super) fn lose(&mut self, number: u64, why: Error) {
        let key = self.versions.iter().find(|version| version.number == number);
        let key = key.map(|version| version.record.key.clone());
        self.versions.retain(|version| version.number != number);
        self.lost.push(Lost::new(number, key, why));
    }

    /// Takes out a version whose files are not there any more.
    pub(super) fn lose_files(&mut self, number: u64, reasons: Vec<Reason>) {
        let Some(place) = self.versions.iter().position(|version| version.number == number) else { return };
        let version = self.versions.remove(place);
        self.lost.push(Lost { number, key: Some(version.record.key), why: Loss::Files(reasons) });
    }

    /// True if a version cannot be read whose record is not known: it may be whole.
    pub(super) fn has_unreadable(&self) -> bool {
        self.lost.iter().any(|lost| lost.key.is_none() && matches!(lost.why, Loss::Unreadable(_)))
    }

    /// Takes out the number and the error of a version that cannot be read, and that may have this
    /// key.
    pub(super) fn take_unreadable(&mut self, key: &Key) -> Option<(u64, Error)> {
        let is_unreadable = |lost: &Lost| matches!(lost.why, Loss::Unreadable(_)) && lost.may_have(key);
        let place = self.lost.iter().position(is_unreadable)?;
        let Lost { number, why, .. } = self.lost.swap_remove(place);
        match why {
            Loss::Unreadable(error) => Some((number, error)),
            Loss::Damaged(_) | Loss::SetAside(_) | Loss::Files(_) => None,
        }
    }

    /// The highest number of a version with this key, also of a lost one; 0 if there is none.
    pub(super) fn last_with(&self, key: &Key) -> u64 {
        let kept = self.versions.iter().map(|version| (version.number, &version.record.key));
        let lost = self.lost.iter().filter_map(|lost| Some((lost.number, lost.key.as_ref()?)));
        let same = kept.chain(lost).filter(|(_, found)| *found == key);
        same.map(|(number, _)| number).max().unwrap_or(0)
    }

    /// The lost version in whose place a version with another key would be taken.
    fn in_place_of(&self, key: &Key, taken: &Version) -> Option<&Lost> {
        self.lost.iter().find(|lost| match &lost.key {
            Some(lost) => lost == key,
            None => lost.number > taken.number,
        })
    }
}

impl Lost {
    fn new(number: u64, key: Option<Key>, why: Error) -> Lost {
        let why = if is_broken(&why) { Loss::Damaged(why) } else { Loss::Unreadable(why) };
        Lost { number, key, why }
    }

    /// True if its key is this one, or is not known.
    fn may_have(&self, key: &Key) -> bool {
        self.key.as_ref().is_none_or(|found| found == key)
    }
}

impl fmt::Display for Lost {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let number = self.number;
        match &self.why {
            Loss::Damaged(error) => write!(formatter, "version {number} of its output is damaged: {error}"),
            Loss::Unreadable(error) => {
                write!(formatter, "version {number} of its output cannot be read: {error}")
            }
            Loss::SetAside(path) => write!(
                formatter,
                "version {number} of its output was damaged, and was moved to {}",
                path.display()
            ),
            Loss::Files(reasons) => {
                let is_declared = !reasons.iter().any(|reason| matches!(reason, Reason::Produces { .. }));
                let end = if is_declared { ", and no copy is kept" } else { "" };
                let reasons: Vec<String> = reasons.iter().map(Reason::to_string).collect();
                let reasons = reasons.join("; ");
                write!(formatter, "version {number} of its output is not whole: {reasons}{end}")
            }
        }
    }
}

/// The effects of the commands so far on the steps that follow.
#[derive(Clone, Debug, Default)]
pub(super) struct Marks {
    /// Steps run because of a command. The steps that depend on them are run too.
    forced: BTreeSet<String>,
    /// Steps run because of a command that leaves the steps that depend on them alone.
    forced_alone: BTreeSet<String>,
    /// True if the step of `from` was met.
    from_reached: bool,
    /// The step after which no other is run.
    stopped_after: Option<String>,
}

impl Marks {
    /// True if a step is run because of a command, as are the steps that depend on it.
    pub(super) fn is_forced(&self, step: &str) -> bool {
        self.forced.contains(step)
    }

    /// Notes that a step was run or reused.
    pub(super) fn done(&mut self, step: &str, commands: &Commands) {
        if commands.to.as_deref() == Some(step) {
            self.stopped_after = Some(step.to_owned());
        }
    }
}

/// The versions that are kept.
pub(super) fn kept<T: Checkpoint>(directory: Directory, protection: Protection) -> Result<Kept, Error> {
    let mut kept = Kept::default();
    let aside = directory.files_set_aside()?;
    let reader = Reader::of::<T>(Arc::new(directory), protection)?;
    for (number, path) in aside {
        let manifest = path.file_name().and_then(|name| reader.manifest_of_file(name));
        let key = manifest.and_then(|manifest| record_of(&manifest)).map(|record| record.key);
        kept.lost.push(Lost { number, key, why: Loss::SetAside(path) });
    }
    for number in reader.generations()?.into_iter().rev() {
        let manifest = match reader.manifest(number) {
            Ok(manifest) => manifest,
            Err(error) if is_broken(&error) || matches!(error, Error::Io { .. }) => {
                kept.lost.push(Lost::new(number, None, error));
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some(record) = record_of(&manifest) else { continue };
        let fits = reader.fits(&manifest);
        let bytes = reader.length(number).unwrap_or_default();
        if !record.produced.is_empty() {
            let hashes = record.produced.values().map(|file| file.hash.clone());
            kept.hashes.insert(number, hashes.collect());
        }
        kept.versions.push(Version { number, record, bytes, fits, restore: Vec::new() });
    }
    Ok(kept)
}

/// The record of how a version was made.
pub(crate) fn record_of(manifest: &Manifest) -> Option<Record> {
    let record = manifest.metadata().get(RECORD).and_then(|value| value.as_str());
    record.and_then(|text| serde_json::from_str(text).ok())
}

/// Decides about a step.
pub(super) fn decide(
    commands: &Commands,
    marks: &mut Marks,
    step: &str,
    key: &Key,
    kept: &Kept,
) -> Result<Choice, Error> {
    let Commands { force, redo, force_only, only, from, accept, versions: chosen, .. } = commands;
    let versions = &kept.versions;
    if let Some(after) = &marks.stopped_after {
        let why = format!("the pipeline was to stop after `{after}`");
        return Err(Error::StepNotRun { step: step.to_owned(), why });
    }
    let usable = || versions.iter().filter(|version| version.fits);
    let nearest = nearest(key, usable());
    let lost = nearest.and_then(|nearest| kept.in_place_of(key, nearest));
    let nearest = nearest.filter(|_| lost.is_none());
    let fitting = usable().find(|version| version.record.key == *key);
    let as_it_is = || {
        let reason = if fitting.is_some() { Reason::Unchanged } else { Reason::LeftAlone };
        let version = fitting.or(nearest)?.clone();
        Some(Choice::Reuse(version, vec![reason]))
    };

    if let Some(number) = chosen.get(step) {
        let version = usable().find(|version| version.number == *number);
        let Some(version) = version else {
            let numbers: Vec<String> = usable().map(|version| version.number.to_string()).collect();
            let numbers = numbers.join(", ");
            let why = match kept.lost.iter().find(|lost| lost.number == *number) {
                Some(lost) => format!("{lost}; versions that can be used: {numbers}"),
                None => format!("version {number} of it is not kept, only: {numbers}"),
            };
            return Err(Error::StepNotRun { step: step.to_owned(), why });
        };
        return Ok(Choice::Reuse(version.clone(), vec![Reason::Chosen]));
    }
    if !only.is_empty() && !only.contains(step) {
        return as_it_is().ok_or_else(|| {
            let lost = lost.or_else(|| kept.lost.iter().max_by_key(|lost| lost.number));
            let why = match lost {
                Some(lost) => format!("only other steps are to be run, and {lost}"),
                None => "only other steps are to be run, and no version of its output is kept".to_owned(),
            };
            Error::StepNotRun { step: step.to_owned(), why }
        });
    }
    if only.contains(step) || force_only.contains(step) {
        marks.forced_alone.insert(step.to_owned());
        return Ok(Choice::Run(vec![Reason::Forced]));
    }
    if force.contains(step) || redo.contains(step) || from.as_deref() == Some(step) {
        marks.from_reached |= from.as_deref() == Some(step);
        marks.forced.insert(step.to_owned());
        return Ok(Choice::Run(vec![Reason::Forced]));
    }
    if let Some(by) = key.inputs.keys().find(|input| marks.forced.contains(*input)).cloned() {
        marks.forced.insert(step.to_owned());
        return Ok(Choice::Run(vec![Reason::ForcedBy(by)]));
    }
    if from.is_some()
        && !marks.from_reached
        && let Some(choice) = as_it_is()
    {
        return Ok(choice);
    }
    if let Some(version) = fitting {
        return Ok(Choice::Reuse(version.clone(), vec![Reason::Unchanged]));
    }
    if accept.contains(step)
        && let Some(version) = nearest.filter(|version| version.record.key.produces == key.produces)
    {
        return Ok(Choice::Accept(version.clone()));
    }
    let alone = || key.inputs.keys().filter(|input| marks.forced_alone.contains(*input));
    let valid = usable().find(|version| version.record.key.without(alone()) == key.without(alone()));
    if let Some(version) = valid.filter(|_| alone().next().is_some()) {
        return Ok(Choice::Reuse(version.clone(), vec![Reason::LeftAlone]));
    }
    Ok(Choice::Run(reasons(key, kept)))
}

/// The version with the fewest changes; of several, the newest.
fn nearest<'v>(key: &Key, versions: impl Iterator<Item = &'v Version>) -> Option<&'v Version> {
    versions.min_by_key(|version| key.changes(&version.record.key).len())
}

/// The reasons why no version can be reused.
fn reasons(key: &Key, kept: &Kept) -> Vec<Reason> {
    let versions = &kept.versions;
    let nearest = nearest(key, versions.iter().filter(|version| version.fits));
    // A version without its files has the fewest changes of all, if its key is the same.
    let without_files = kept.lost.iter().filter_map(|lost| match (&lost.why, &lost.key) {
        (Loss::Files(reasons), Some(key)) => Some((lost.number, key, reasons)),
        _ => None,
    });
    let without_files: Vec<_> = without_files.collect();
    let same = without_files.iter().filter(|(_, found, _)| *found == key).max_by_key(|(number, ..)| *number);
    let other = without_files.iter().min_by_key(|(_, found, _)| key.changes(found).len());
    let mut reasons = match (same, nearest, other) {
        (Some((_, _, reasons)), ..) => reasons.to_vec(),
        (None, Some(version), _) => key.changes(&version.record.key),
        (None, None, Some((_, found, _))) => key.changes(found),
        (None, None, None) if !versions.is_empty() => vec![Reason::Type],
        (None, None, None) => Vec::new(),
    };
    let damaged = kept.damaged().into_iter().rev();
    reasons.extend(damaged.map(|(version, why)| Reason::Damaged { version, why: why.to_string() }));
    if reasons.is_empty() {
        reasons.push(Reason::NothingKept);
    }
    reasons
}
