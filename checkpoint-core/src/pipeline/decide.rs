//! Whether a step is run, or which version of its output is taken instead.

use std::path::Path;

use super::commands::Commands;
use super::key::{Key, Record};
use super::report::Reason;
use super::{Book, Pipeline};
use crate::error::Error;
use crate::reader::CheckpointReader;
use crate::state::Checkpoint;

/// The name of a version's entry in the metadata of its generation.
pub(super) const RECORD: &str = "step";

/// A version of a step's output that is kept.
#[derive(Clone, Debug)]
pub(super) struct Version {
    pub(super) number: u64,
    pub(super) record: Record,
    pub(super) bytes: u64,
    /// Whether its type is that of the program.
    fits: bool,
}

/// What is to be done.
#[derive(Debug)]
pub(super) enum Choice {
    Run(Vec<Reason>),
    Reuse(Version, Vec<Reason>),
    /// As `Reuse`, and from now on it counts as made from the present key.
    Accept(Version),
}

/// The versions that are kept, newest first. What is damaged is passed over.
pub(super) fn versions<T: Checkpoint>(directory: &Path) -> Result<Vec<Version>, Error> {
    let reader = CheckpointReader::<T>::open(directory)?;
    let mut versions = Vec::new();
    for number in reader.generations()?.into_iter().rev() {
        let manifest = match reader.manifest(number) {
            Ok(manifest) => manifest,
            Err(error) if error.is_damage() => {
                tracing::warn!(%error, "a version of a step's output cannot be used");
                continue;
            }
            Err(error) => return Err(error),
        };
        let record = manifest.metadata().get(RECORD).and_then(|value| value.as_str());
        let Some(record) = record.and_then(|text| serde_json::from_str(text).ok()) else { continue };
        let fits = reader.fits(&manifest);
        let bytes = reader.length(number).unwrap_or_default();
        versions.push(Version { number, record, bytes, fits });
    }
    Ok(versions)
}

/// Decides about a step. `versions` are newest first.
pub(super) fn decide(
    pipeline: &Pipeline,
    step: &str,
    key: &Key,
    versions: &[Version],
) -> Result<Choice, Error> {
    let Commands { force, force_only, only, from, accept, versions: chosen, .. } = &pipeline.commands;
    let mut book = pipeline.book();
    if let Some(after) = &book.stopped_after {
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
        book.forced_alone.insert(step.to_owned());
        return Ok(Choice::Run(vec![Reason::Forced]));
    }
    if force.contains(step) || from.as_deref() == Some(step) {
        book.from_reached |= from.as_deref() == Some(step);
        book.forced.insert(step.to_owned());
        return Ok(Choice::Run(vec![Reason::Forced]));
    }
    if let Some(by) = key.inputs.keys().find(|input| book.forced.contains(*input)).cloned() {
        book.forced.insert(step.to_owned());
        return Ok(Choice::Run(vec![Reason::ForcedBy(by)]));
    }
    if from.is_some()
        && !book.from_reached
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
    let alone = || key.inputs.keys().filter(|input| book.forced_alone.contains(*input));
    let valid = usable().find(|version| version.record.key.without(alone()) == key.without(alone()));
    if let Some(version) = valid.filter(|_| alone().next().is_some()) {
        return Ok(Choice::Reuse(version.clone(), vec![Reason::LeftAlone]));
    }
    Ok(Choice::Run(reasons(key, versions)))
}

/// The version from which the least has changed; of several, the newest.
fn nearest<'v>(key: &Key, versions: impl Iterator<Item = &'v Version>) -> Option<&'v Version> {
    versions.min_by_key(|version| key.changes(&version.record.key).len())
}

/// Why no version will do.
fn reasons(key: &Key, versions: &[Version]) -> Vec<Reason> {
    if !versions.is_empty() && !versions.iter().any(|version| version.fits) {
        return vec![Reason::Type];
    }
    let nearest = nearest(key, versions.iter().filter(|version| version.fits));
    nearest.map_or(vec![Reason::NothingKept], |version| key.changes(&version.record.key))
}

impl Book {
    /// A step was run, or reused.
    pub(super) fn done(&mut self, step: &str, commands: &Commands) {
        if commands.to.as_deref() == Some(step) {
            self.stopped_after = Some(step.to_owned());
        }
    }
}
