//! Decides to run a step, or to take a version of its output instead.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::commands::Commands;
use super::key::{Key, Record};
use super::report::Reason;
use crate::container::Manifest;
use crate::error::Error;
use crate::run::reader::CheckpointReader;
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
    /// True if its type is that of the program.
    fits: bool,
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
    /// The number and the error of each damaged version.
    damaged: Vec<(u64, Error)>,
}

impl Kept {
    /// The number and the error of each damaged version.
    pub(super) fn damaged(&self) -> &[(u64, Error)] {
        &self.damaged
    }

    /// Takes out a version that turned out to be damaged.
    pub(super) fn lose(&mut self, number: u64, why: Error) {
        self.versions.retain(|version| version.number != number);
        self.damaged.push((number, why));
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
    /// Notes that a step was run or reused.
    pub(super) fn done(&mut self, step: &str, commands: &Commands) {
        if commands.to.as_deref() == Some(step) {
            self.stopped_after = Some(step.to_owned());
        }
    }
}

/// The versions that are kept.
pub(super) fn kept<T: Checkpoint>(directory: Directory, protection: Protection) -> Result<Kept, Error> {
    let reader = CheckpointReader::<T>::new(Arc::new(directory), protection)?;
    let mut kept = Kept::default();
    for number in reader.generations()?.into_iter().rev() {
        let manifest = match reader.manifest(number) {
            Ok(manifest) => manifest,
            Err(error) if error.is_damage() => {
                kept.damaged.push((number, error));
                continue;
            }
            Err(error) => return Err(error),
        };
        let Some(record) = record_of(&manifest) else { continue };
        let fits = reader.fits(&manifest);
        let bytes = reader.length(number).unwrap_or_default();
        kept.versions.push(Version { number, record, bytes, fits });
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
    let fitting = usable().find(|version| version.record.key == *key);
    let as_it_is = || {
        let reason = if fitting.is_some() { Reason::Unchanged } else { Reason::LeftAlone };
        let version = fitting.or(nearest)?.clone();
        Some(Choice::Reuse(version, vec![reason]))
    };

    if let Some(number) = chosen.get(step) {
        let version = usable().find(|version| version.number == *number);
        let Some(version) = version else {
            let kept: Vec<String> = usable().map(|version| version.number.to_string()).collect();
            let why = format!("version {number} of it is not kept, only: {}", kept.join(", "));
            return Err(Error::StepNotRun { step: step.to_owned(), why });
        };
        return Ok(Choice::Reuse(version.clone(), vec![Reason::Chosen]));
    }
    if !only.is_empty() && !only.contains(step) {
        let why = "only other steps are to be run, and no version of its output is kept";
        return as_it_is().ok_or_else(|| Error::StepNotRun { step: step.to_owned(), why: why.to_owned() });
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
        && let Some(version) = nearest
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
fn reasons(key: &Key, Kept { versions, damaged }: &Kept) -> Vec<Reason> {
    let nearest = nearest(key, versions.iter().filter(|version| version.fits));
    let mut reasons = match nearest {
        Some(version) => key.changes(&version.record.key),
        None if !versions.is_empty() => vec![Reason::Type],
        None => Vec::new(),
    };
    reasons.extend(
        damaged.iter().map(|(version, why)| Reason::Damaged { version: *version, why: why.to_string() }),
    );
    if reasons.is_empty() {
        reasons.push(Reason::NothingKept);
    }
    reasons
}
