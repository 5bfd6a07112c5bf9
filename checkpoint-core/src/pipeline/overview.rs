//! An overview of a pipeline directory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::copies::Copies;
use super::decide::record_of;
use super::folder;
use super::key::Record;
use super::project::Project;
use super::requests::{self, Requests};
use crate::error::Error;
use crate::run::reader::Reader;
use crate::seal::Protection;
use crate::store::{Disk, RealDisk, absolute};

/// One step of a pipeline, as far as its directory tells.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StepOverview {
    /// Its name.
    pub step: String,
    /// The kept versions of its output, oldest first.
    pub versions: Vec<StepVersion>,
    /// True if it was begun and not finished, and has checkpoints of its own to go on from.
    pub in_progress: bool,
    /// True if its next run was requested.
    pub redo: bool,
    /// The reasons why the next run of the same program will run it again, as far as the directory
    /// tells: it took another output than the present one, or a file is gone. Only the program can
    /// tell if parameters or files changed.
    pub stale: Vec<String>,
}

/// A version of a step's output.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct StepVersion {
    /// Its number, the same as that of its generation.
    pub version: u64,
    /// The time when it was saved.
    pub created: SystemTime,
    /// The time that it took to make.
    pub took: Duration,
    /// The length of its file, in bytes.
    pub bytes: u64,
    /// The version of the step itself, as the program gives it.
    pub step_version: u32,
    /// The parameters, as text.
    pub parameters: BTreeMap<String, String>,
    /// The steps that it took outputs of.
    pub inputs: Vec<String>,
    /// The files that it read.
    pub files: Vec<String>,
    /// The files that it produced.
    pub produced: Vec<String>,
}

/// The steps of a pipeline directory. Each comes after the steps that it takes outputs of;
/// otherwise they are in the order in which their newest versions were made.
///
/// ```
/// use checkpointed::{Error, Protection};
/// use checkpointed::pipeline::{self, Pipeline};
///
/// # fn main() -> Result<(), Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("analysis.pipeline");
/// let pipeline = Pipeline::open(&path)?;
/// pipeline.step("load").param("size", &3).run(|_| Ok::<_, Error>(vec![1.0; 3]))?;
/// pipeline.finish()?;
///
/// let steps = pipeline::steps(&path, &Protection::new())?;
/// assert_eq!(steps[0].step, "load");
/// assert_eq!(steps[0].versions[0].parameters["size"], "3");
///
/// pipeline::redo(&path, "load")?; // by the next run
/// assert!(pipeline::steps(&path, &Protection::new())?[0].redo);
/// # Ok(())
/// # }
/// ```
///
/// `protection` is that of the pipeline. A damaged version is left out.
///
/// # Errors
/// An error if it is no pipeline directory, if it cannot be read, or if the protection refuses an
/// output.
pub fn steps(path: impl AsRef<Path>, protection: &Protection) -> Result<Vec<StepOverview>, Error> {
    let path = &absolute(path)?;
    let asked = requests::asked(path)?;
    let in_progress = folder::in_progress(path)?;
    let mut found = Vec::new();
    for (step, directory) in folder::steps(path)? {
        let reader = Reader::at::<()>(&directory, protection.of_step(&step))?;
        let mut records = Vec::new();
        for version in reader.generations()? {
            let manifest = match reader.manifest(version) {
                Ok(manifest) => manifest,
                // The version was removed since the directory was listed, or is damaged.
                Err(Error::NoSuchGeneration { .. }) => continue,
                Err(error) if error.is_damage() => continue,
                Err(error) => return Err(error),
            };
            if let Some(record) = record_of(&manifest) {
                let bytes = reader.length(version).unwrap_or_default();
                records.push((version, manifest.created(), bytes, record));
            }
        }
        found.push((step, records));
    }
    let newest = |records: &[(u64, SystemTime, u64, Record)]| records.last().map(|(_, created, ..)| *created);
    found.sort_by_key(|(_, records)| newest(records).unwrap_or(SystemTime::UNIX_EPOCH));
    let found = in_order_of_dependence(found);
    // The steps that a request forces too, each with the input that forces it.
    let mut forced: BTreeMap<String, String> = BTreeMap::new();
    for (step, records) in &found {
        let inputs = records.last().map(|(.., record)| record.key.inputs.keys());
        let by =
            inputs.into_iter().flatten().find(|input| asked.contains(*input) || forced.contains_key(*input));
        if let Some(by) = by {
            forced.insert(step.clone(), by.clone());
        }
    }
    let identities: BTreeMap<String, String> = found
        .iter()
        .filter_map(|(step, records)| Some((step.clone(), records.last()?.3.identity.clone())))
        .collect();
    let overview = |(step, records): (String, Vec<(u64, SystemTime, u64, Record)>)| StepOverview {
        in_progress: in_progress.contains(&step),
        redo: asked.contains(&step),
        stale: {
            let by =
                forced.get(&step).map(|by| format!("it takes the output of {by}, which is to be run again"));
            let record = records.last().map(|(.., record)| stale(path, &step, record, &identities));
            by.into_iter().chain(record.unwrap_or_default()).collect()
        },
        versions: records.into_iter().map(version).collect(),
        step,
    };
    Ok(found.into_iter().map(overview).collect())
}

fn version((version, created, bytes, record): (u64, SystemTime, u64, Record)) -> StepVersion {
    let Record { key, seconds, produced, .. } = record;
    StepVersion {
        version,
        created,
        took: Duration::try_from_secs_f64(seconds).unwrap_or_default(),
        bytes,
        step_version: key.version,
        parameters: key.parameters.into_iter().map(|(name, value)| (name, value.text)).collect(),
        inputs: key.inputs.into_keys().collect(),
        files: key.files.into_keys().collect(),
        produced: produced.into_keys().collect(),
    }
}

fn stale(pipeline: &Path, step: &str, record: &Record, identities: &BTreeMap<String, String>) -> Vec<String> {
    let mut reasons = Vec::new();
    for (input, identity) in &record.key.inputs {
        match identities.get(input) {
            Some(now) if now == identity => {}
            Some(_) => reasons.push(format!("the output of {input} is another one now")),
            None => reasons.push(format!("nothing is kept of {input}")),
        }
    }
    let project = record.project.as_deref().map(|project| Project::seen(pipeline, project));
    let directory = record.directory.as_deref().map(Path::new);
    let is_missing = |name: &str| project.as_ref().is_some_and(|project| project.is_missing(name, directory));
    // An entry with spaces stands for many files.
    let files = record.key.files.iter().filter(|(_, hash)| !hash.contains(' '));
    let missing = files.filter(|(name, _)| is_missing(name));
    reasons.extend(missing.map(|(name, _)| format!("{name} is not there")));
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::default());
    let copies = Copies::new(pipeline, step, &disk, false);
    let missing = record.produced.iter().filter(|(name, file)| is_missing(name) && !copies.has(&file.hash));
    reasons.extend(missing.map(|(name, _)| format!("{name}, which it produced, is not there")));
    reasons
}

type Found = (String, Vec<(u64, SystemTime, u64, Record)>);

/// Moves each step behind the steps that it takes outputs of. Otherwise the order stays.
fn in_order_of_dependence(mut left: Vec<Found>) -> Vec<Found> {
    let mut ordered: Vec<Found> = Vec::new();
    while !left.is_empty() {
        let takes_from_left = |(step, records): &Found| {
            let inputs = records.last().into_iter().flat_map(|(.., record)| record.key.inputs.keys());
            inputs.into_iter().any(|input| input != step && left.iter().any(|(other, _)| other == input))
        };
        // Forged or mixed versions may take outputs from each other in a circle. Then the first
        // goes first.
        let next = left.iter().position(|found| !takes_from_left(found)).unwrap_or(0);
        ordered.push(left.remove(next));
    }
    ordered
}

/// Requests that the next run of the program runs a step of a pipeline again, with all steps that
/// depend on it. Returns `false` if there is such a request already. The step is run again once;
/// until then [`undo_redo`] takes the request back. Once it is done, each step that depends on it
/// has a request of its own, until that step is done too: a run that fails or is killed loses none.
///
/// # Errors
/// [`Error::UnknownStep`] if the directory has no such step; another error if it cannot be written.
pub fn redo(path: impl AsRef<Path>, step: &str) -> Result<bool, Error> {
    of_user(&absolute(path)?, |requests| requests.ask(step))
}

/// Takes back the request of [`redo`]. Returns `false` if there is none.
///
/// # Errors
/// An error if the directory cannot be written.
pub fn undo_redo(path: impl AsRef<Path>, step: &str) -> Result<bool, Error> {
    of_user(&absolute(path)?, |requests| requests.withdraw(step))
}

/// Changes the requests for a user, from outside of the program.
fn of_user<R>(pipeline: &Path, change: impl FnOnce(Requests<'_>) -> R) -> R {
    change(Requests { pipeline, disk: &RealDisk::default(), durable: true })
}
