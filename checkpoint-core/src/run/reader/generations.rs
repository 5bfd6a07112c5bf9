//! [`Reader`]: finds the generations of a place, and opens them for a program, whatever the type of
//! its states.

use std::ffi::OsStr;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Instant;

use super::decoding::{Decoded, check_state, decode, program_of};
use crate::arrays::ArrayPool;
use crate::base::warnings::{Warnings, warn};
use crate::codec::Forms;
use crate::container::{Config, Container, Manifest, Metadata, Refusal, Source};
use crate::error::{Error, Skipped, once_more};
use crate::evolution::{Difference, Program};
use crate::outcome::LoadReport;
use crate::outputs::{self, Found, Lengths, OfRun};
use crate::run::stamp;
use crate::seal::Protection;
use crate::state::Checkpoint;
use crate::store::{Directory, Home, Metric, RealDisk};

/// The reader of a place. Only what makes a value knows the type of the states, so that a program
/// is not built with a copy of the rest for each type.
pub(crate) struct Reader {
    pub(super) home: Arc<dyn Home>,
    pub(super) program: Arc<Program>,
    functions: Functions,
    pub(super) protection: Protection,
    pub(super) warnings: Warnings,
    report: Option<LoadReport>,
    /// The generations that the last load skipped, each with its error, if it found no other.
    passed_over: Option<Vec<Skipped>>,
    pub(super) missing: Option<u64>,
    /// The newest generation that this program saved there.
    pub(super) saved: Option<u64>,
    /// The newest generation at the last look at the history.
    pub(super) seen: Option<u64>,
    /// The outputs of the state that was loaded last.
    outputs: Found,
    /// The configuration that new checkpoints get.
    configuration: Option<Config>,
    /// The only generation to load, if the program chose one.
    pub(super) at: Option<u64>,
}

/// The functions that know the type of the states.
#[derive(Clone, Copy)]
pub(crate) struct Functions {
    program: fn() -> Result<Program, Error>,
    lengths: fn(&Path, &Program, &Container, &Arc<OfRun>) -> Result<Lengths, Error>,
}

impl Functions {
    pub(crate) fn of<T: Checkpoint>() -> Functions {
        Functions { program: program_of::<T>, lengths: lengths_of::<T> }
    }
}

/// The lengths that the outputs in a state count on.
fn lengths_of<T: Checkpoint>(
    path: &Path,
    program: &Program,
    container: &Container,
    of_run: &Arc<OfRun>,
) -> Result<Lengths, Error> {
    let decoded = decode::<T>(path, program, container, &mut ArrayPool::default)?;
    of_run.counts_of(&decoded.outputs)
}

impl Reader {
    /// Opens a directory of the real disk.
    pub(crate) fn at<T: Checkpoint>(path: &Path, protection: Protection) -> Result<Reader, Error> {
        Reader::of::<T>(Arc::new(Directory::new(path, Arc::new(RealDisk::default()))), protection)
    }

    /// Opens a place that has states of this type.
    pub(crate) fn of<T: Checkpoint>(home: Arc<dyn Home>, protection: Protection) -> Result<Reader, Error> {
        Reader::new(home, protection, Functions::of::<T>())
    }

    /// Opens a place. Checks the protection before the type.
    pub(crate) fn new(
        home: Arc<dyn Home>,
        protection: Protection,
        functions: Functions,
    ) -> Result<Reader, Error> {
        protection.check(home.path())?;
        Ok(Reader {
            home,
            program: Arc::new((functions.program)()?),
            functions,
            protection,
            warnings: Warnings::default(),
            report: None,
            passed_over: None,
            missing: None,
            saved: None,
            seen: None,
            outputs: Found::new(),
            configuration: None,
            at: None,
        })
    }

    /// Loads this generation only: no other in its place, and none that comes later.
    pub(crate) fn only_at(self, at: Option<u64>) -> Reader {
        Reader { at, ..self }
    }

    /// Sends its warnings to these destinations.
    pub(crate) fn warning(self, warnings: Warnings) -> Reader {
        Reader { warnings, ..self }
    }

    /// Loads the newest undamaged generation; `None` where there is none at all. `pool` lends the
    /// arrays to overwrite.
    ///
    /// The state stays in its box: a large one would be on the stack once for each function on its
    /// way.
    pub(crate) fn load<T: Checkpoint>(
        &mut self,
        pool: &mut dyn FnMut() -> ArrayPool,
    ) -> Result<Option<Box<T>>, Error> {
        let mut state = None;
        self.load_by(&mut |reader, generation| {
            let (Decoded { state: decoded, differences, outputs }, container) =
                reader.read(generation, pool)?;
            state = Some(decoded);
            Ok(Read { container, differences, outputs })
        })?;
        Ok(state)
    }

    /// Loads the newest undamaged generation into the arrays of `state`, which are taken out of it.
    pub(crate) fn load_over<T: Checkpoint>(&mut self, state: &mut T) -> Result<Option<Box<T>>, Error> {
        self.load(&mut || {
            let mut pool = ArrayPool::default();
            state.lend_arrays(&mut pool);
            pool
        })
    }

    /// Finds the files of the outputs that were loaded. They stay as they are.
    pub(crate) fn resolve_outputs(&mut self) {
        outputs::resolve(&std::mem::take(&mut self.outputs), self.home.path());
    }

    /// The outputs of the state that was loaded last.
    pub(crate) fn take_outputs(&mut self) -> Found {
        std::mem::take(&mut self.outputs)
    }

    /// Finds the newest undamaged generation, and reads it by `read`. Returns false where there is
    /// none at all.
    fn load_by(&mut self, read: &mut dyn FnMut(&Reader, u64) -> Result<Read, Error>) -> Result<bool, Error> {
        let _warnings = self.warnings.enter();
        let begun = Instant::now();
        self.passed_over = None;
        if let Some(generation) = self.at {
            let read = read(self, generation).map_err(|error| self.explain(generation, error))?;
            self.loaded(read, begun, Vec::new());
            return Ok(true);
        }
        let mut found = None;
        let Sought { generation, newest, skipped } = self.seek(&mut |reader, generation| {
            found = Some(read(reader, generation)?);
            Ok(())
        })?;
        if let Some(read) = found {
            self.check_age(generation)?;
            self.look_for_missing(newest);
            self.loaded(read, begun, skipped);
            return Ok(true);
        }
        self.look_for_missing(newest);
        self.check_age(None)?;
        if !skipped.is_empty() {
            warn(format!(
                "no checkpoint in {} can be used, and those of changed inputs can be computed anew: the step starts \
                 from its beginning",
                self.path().display()
            ));
        }
        self.passed_over = Some(skipped);
        Ok(false)
    }

    /// Reads by `read` the newest generation that can be used. Skips those that are damaged, and
    /// those that were computed from changed inputs.
    pub(super) fn seek(
        &self,
        read: &mut dyn FnMut(&Reader, u64) -> Result<(), Error>,
    ) -> Result<Sought, Error> {
        let mut skipped: Vec<Skipped> = Vec::new();
        let mut generations = self.home.generations()?;
        let mut newest = generations.last().copied();
        let mut listings = 1;
        while let Some(generation) = generations.pop() {
            let error = match once_more(|| read(self, generation)) {
                Ok(()) => return Ok(Sought { generation: Some(generation), newest, skipped }),
                Err(error) => error,
            };
            // Where a lock was not to be had, a save may have written over the file meanwhile.
            let may_be_gone = is_vanished(&error) || error.is_damage();
            let is_gone = is_stale(&error) || may_be_gone && !self.home.has(generation);
            if is_gone && listings < MOST_LISTINGS {
                // Retention removed it after the directory was listed, so there is a newer one.
                listings += 1;
                generations = self.home.generations()?;
                newest = generations.last().copied();
                skipped.clear();
                continue;
            }
            if !error.is_damage() && !matches!(error, Error::InputsChanged { .. }) {
                return Err(error);
            }
            let next = if generations.is_empty() {
                "and there is none before it"
            } else {
                "and the one before it is tried"
            };
            warn(format!("generation {generation} cannot be used, {next}: {error}"));
            skipped.push(Skipped { generation, error });
        }
        // What was computed from inputs that are gone can be computed anew. So can the older states
        // of the same step that are damaged.
        if skipped.is_empty() {
            self.check_rewound()?;
        }
        let is_changed = |skipped: &Skipped| matches!(skipped.error, Error::InputsChanged { .. });
        if skipped.is_empty() || skipped.iter().any(is_changed) {
            return Ok(Sought { generation: None, newest, skipped });
        }
        Err(Error::NoneUsable { path: self.path().to_owned(), tried: skipped })
    }

    /// After a load: the generation that a better one must be newer than, where the load had to do
    /// without a newer one, or found none. `None` where all is well.
    pub(crate) fn lacks(&self, loaded: &Result<bool, Error>) -> Option<Option<u64>> {
        match loaded {
            Ok(false) | Err(Error::NoneUsable { .. }) => Some(None),
            Ok(true) => {
                let report = self.report.as_ref()?;
                has_damaged(&report.skipped).then(|| Some(report.generation()))
            }
            Err(_) => None,
        }
    }

    /// Refuses to take a directory for empty whose generations were all set aside.
    pub(crate) fn check_rewound(&self) -> Result<(), Error> {
        let rewound = self.home.rewound()?;
        // They may have been brought back after the directory was listed.
        match rewound.last() {
            Some(newest) if self.home.generations()?.is_empty() => {
                Err(Error::OnlyRewound { path: self.path().to_owned(), newest: *newest, rewound })
            }
            _ => Ok(()),
        }
    }

    /// Refuses to load an older generation than the program allows.
    pub(crate) fn check_age(&self, newest: Option<u64>) -> Result<(), Error> {
        let expected = self.protection.least();
        if newest.unwrap_or(0) >= expected {
            return Ok(());
        }
        Err(Error::TooOld { path: self.path().to_owned(), found: newest, expected })
    }

    /// Loads one generation. The caller takes the outputs.
    pub(crate) fn load_one<T: Checkpoint>(&mut self, generation: u64) -> Result<T, Error> {
        let _warnings = self.warnings.enter();
        let begun = Instant::now();
        self.home.look()?;
        let (decoded, container) = self
            .read(generation, &mut ArrayPool::default)
            .map_err(|error| self.explain(generation, error))?;
        let Decoded { state, differences, outputs } = decoded;
        self.loaded(Read { container, differences, outputs }, begun, Vec::new());
        Ok(*state)
    }

    /// Returns the report of the last load that found a generation.
    pub(crate) fn last_load(&self) -> Option<&LoadReport> {
        self.report.as_ref()
    }

    /// The generations that the last load skipped, each with its error.
    pub(crate) fn skipped(&self) -> &[Skipped] {
        let of_report = || self.report.as_ref().map(|report| &report.skipped);
        self.passed_over.as_ref().or_else(of_report).map_or(&[], Vec::as_slice)
    }

    /// Those of them that the system did not give, newest first: they may be whole.
    pub(crate) fn unread(&self) -> Vec<u64> {
        let unread = self.skipped().iter().filter(|skipped| skipped.error.is_unread());
        unread.map(|skipped| skipped.generation).collect()
    }

    /// Returns the existing generations, oldest first.
    ///
    /// # Errors
    /// Fails if the directory cannot be listed.
    pub(crate) fn generations(&self) -> Result<Vec<u64>, Error> {
        let _warnings = self.warnings.enter();
        let mut generations = self.home.generations()?;
        if let Some(at) = self.at {
            generations.extend(self.home.rewound()?);
            generations.sort_unstable();
            generations.dedup();
            generations.retain(|generation| *generation == at);
        }
        Ok(generations)
    }

    /// Returns the manifest of a generation: its time and author, its metadata, its schema.
    ///
    /// # Errors
    /// [`Error::NoSuchGeneration`], or the error of that generation.
    pub(crate) fn manifest(&self, generation: u64) -> Result<Manifest, Error> {
        let _warnings = self.warnings.enter();
        self.home.look()?;
        self.manifest_as_listed(generation)
    }

    /// Returns the manifest of a generation of the last listing.
    pub(crate) fn manifest_as_listed(&self, generation: u64) -> Result<Manifest, Error> {
        Ok(self.container_as_listed(generation)?.manifest().clone())
    }

    /// Opens a generation of the last listing, for its manifest.
    pub(crate) fn container_as_listed(&self, generation: u64) -> Result<Container, Error> {
        once_more(|| self.container_in_few_reads(generation)).map_err(|error| self.explain(generation, error))
    }

    /// Opens a generation; elsewhere than in a directory, without the headers of its parts.
    pub(crate) fn container_in_few_reads(&self, generation: u64) -> Result<Container, Error> {
        // Elsewhere than in a directory, the headers of the parts are far away.
        match self.home.files() {
            Some(_) => self.container(generation),
            None => self.container_without_headers(generation),
        }
    }

    /// Returns the best generation by a number in its metadata; `None` where none has that number.
    /// Skips damaged ones.
    ///
    /// # Errors
    /// Fails if the directory cannot be listed, or a generation cannot be read for a passing
    /// reason.
    pub(crate) fn best(&self, metric: &Metric) -> Result<Option<u64>, Error> {
        let _warnings = self.warnings.enter();
        let mut values = Vec::new();
        for generation in self.generations()? {
            match self.manifest_as_listed(generation) {
                Ok(manifest) => {
                    let value = manifest.metadata().get(metric.name()).cloned();
                    values.extend(value.map(|value| (generation, value)));
                }
                // The generation was removed after the directory was listed, or is damaged.
                Err(Error::NoSuchGeneration { .. }) => {}
                Err(error) if error.is_lasting_damage() => {}
                Err(error) => return Err(error),
            }
        }
        Ok(metric.ranked(values.iter().map(|(generation, value)| (*generation, value))).first().copied())
    }

    /// Returns the absolute path of the checkpoint directory.
    pub(crate) fn path(&self) -> &Path {
        self.home.path()
    }

    /// True if a generation with that manifest was saved as a `T` with the present schema.
    pub(crate) fn fits(&self, manifest: &Manifest) -> bool {
        check_state(self.path(), &self.program, manifest).is_ok_and(|compared| compared.is_same_form())
    }

    /// The length of a generation's file, in bytes.
    pub(crate) fn length(&self, generation: u64) -> io::Result<u64> {
        Ok(self.home.open(generation)?.length())
    }

    /// Reads as the holder of the claim on the same place.
    pub(crate) fn read_from(&mut self, home: Arc<dyn Home>) {
        self.home = home;
    }

    /// The place, for the time after the run.
    pub(crate) fn shared_home(&self) -> Arc<dyn Home> {
        Arc::clone(&self.home)
    }

    pub(crate) fn home(&self) -> &dyn Home {
        &*self.home
    }

    pub(crate) fn program(&self) -> Arc<Program> {
        Arc::clone(&self.program)
    }

    /// The lengths that the outputs in a state of this type count on.
    pub(crate) fn lengths_in(
        &self,
        path: &Path,
        container: &Container,
        of_run: &Arc<OfRun>,
    ) -> Result<Lengths, Error> {
        (self.functions.lengths)(path, &self.program, container, of_run)
    }

    /// The manifest of a new checkpoint, without its parts.
    pub(crate) fn new_manifest(&self, generation: u64, metadata: Metadata) -> Manifest {
        let manifest = Manifest::of(&self.program, generation, metadata);
        Manifest { configuration: self.configuration.clone(), ..manifest }
    }

    /// Sets the configuration that new checkpoints get.
    pub(crate) fn configured(self, configuration: Option<Config>) -> Reader {
        Reader { configuration, ..self }
    }

    /// The configuration that new checkpoints get.
    pub(crate) fn configuration(&self) -> Option<&Config> {
        self.configuration.as_ref()
    }

    /// The report of the last load, to be completed.
    pub(crate) fn report_mut(&mut self) -> Option<&mut LoadReport> {
        self.report.as_mut()
    }

    /// The forms in which a state is written.
    pub(crate) fn forms(&self) -> &Forms {
        self.program.forms()
    }

    /// The name of the state in messages.
    pub(crate) fn name(&self) -> String {
        self.program.shown_name()
    }

    /// Keeps the report and the outputs of a load.
    fn loaded(&mut self, read: Read, begun: Instant, skipped: Vec<Skipped>) {
        let Read { container, differences, outputs } = read;
        self.outputs = outputs;
        self.report = Some(LoadReport {
            path: self.path().to_owned(),
            manifest: container.manifest().clone(),
            bytes: container.length(),
            duration: begun.elapsed(),
            skipped,
            missing: self.missing,
            differences,
            config_differences: Vec::new(),
        });
    }

    /// The error of a generation that is not there.
    pub(crate) fn none(&self, generation: u64) -> Error {
        let available = self.home.generations().unwrap_or_default();
        Error::NoSuchGeneration { path: self.path().to_owned(), generation, available }
    }

    /// Lists the existing generations in the error of a missing one.
    pub(super) fn explain(&self, generation: u64, error: Error) -> Error {
        match self.home.generations() {
            Ok(available)
                if (is_vanished(&error) || error.is_damage()) && !available.contains(&generation) =>
            {
                Error::NoSuchGeneration { path: self.path().to_owned(), generation, available }
            }
            _ => error,
        }
    }

    /// Opens a generation, and verifies everything but its parts.
    pub(crate) fn container(&self, generation: u64) -> Result<Container, Error> {
        let (path, source) = self.source(generation)?;
        self.container_in(generation, &path, source)
    }

    /// Opens the file of a generation. Returns its path too.
    pub(super) fn source(&self, generation: u64) -> Result<(PathBuf, Box<dyn Source>), Error> {
        // A branch may begin with one that is aside.
        if self.at == Some(generation) {
            return self.source_there_or_aside(generation);
        }
        self.home.check()?;
        let path = self.home.location(generation);
        let source = self.home.open(generation).map_err(|source| Error::io("open", &path, source))?;
        Ok((path, source))
    }

    /// The same of a generation that is there or that a rewind set aside.
    ///
    /// # Errors
    /// [`Error::NoSuchGeneration`], which also names those that are aside.
    fn source_there_or_aside(&self, generation: u64) -> Result<(PathBuf, Box<dyn Source>), Error> {
        self.home.check()?;
        let failed = |path: &Path, source: io::Error| Error::io("open", path, source);
        match self.home.open(generation) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.home.open_rewound(generation).map_err(|error| {
                    let rewound = self.home.rewound().unwrap_or_default();
                    let mut available = self.home.generations().unwrap_or_default();
                    available.extend(&rewound);
                    available.sort_unstable();
                    match error.kind() {
                        io::ErrorKind::NotFound => {
                            Error::NoSuchGeneration { path: self.path().to_owned(), generation, available }
                        }
                        _ => failed(self.path(), error),
                    }
                })
            }
            opened => {
                let path = self.home.location(generation);
                let source = opened.map_err(|source| failed(&path, source))?;
                Ok((path, source))
            }
        }
    }

    /// Opens a generation that is there or that a rewind set aside, and reads all of it: nothing
    /// newer will be there. Returns its path too.
    ///
    /// # Errors
    /// [`Error::NoSuchGeneration`], which also names those that are aside; the error of the
    /// generation.
    pub(crate) fn whole(&self, generation: u64) -> Result<(PathBuf, Container), Error> {
        let (path, source) = self.source_there_or_aside(generation)?;
        let container = self.container_in(generation, &path, source)?;
        container.verify().map_err(|refusal| Error::refused(&path, refusal))?;
        Ok((path, container))
    }

    fn container_in(
        &self,
        generation: u64,
        path: &Path,
        source: Box<dyn Source>,
    ) -> Result<Container, Error> {
        let source = self.protection.open(source);
        let container = source.and_then(|source| Container::open(source, &self.protection.tag_keys()));
        named(path, generation, container)
    }

    /// The manifest in another file of the place, if it can be read.
    pub(crate) fn manifest_of_file(&self, name: &OsStr) -> Option<Manifest> {
        let source = self.protection.open(self.home.files()?.open_file(name.to_str()?).ok()?).ok()?;
        let container = Container::open(source, &self.protection.tag_keys()).ok()?;
        Some(container.manifest().clone())
    }

    /// Opens a generation that was not computed while its inputs changed.
    fn readable(&self, generation: u64) -> Result<Container, Error> {
        let container = self.container(generation)?;
        check_inputs(&self.home.location(generation), container.manifest())?;
        Ok(container)
    }

    /// Reads a generation. Calls `pool` last.
    pub(crate) fn read<T: Checkpoint>(
        &self,
        generation: u64,
        pool: &mut dyn FnMut() -> ArrayPool,
    ) -> Result<(Decoded<T>, Container), Error> {
        let container = self.readable(generation)?;
        let decoded = decode(&self.home.location(generation), &self.program, &container, pool)?;
        Ok((decoded, container))
    }
}

/// Returns a container that was opened under the name of a generation, if it is that one.
pub(super) fn named(
    path: &Path,
    generation: u64,
    opened: Result<Container, Refusal>,
) -> Result<Container, Error> {
    let container = opened.map_err(|refusal| Error::refused(path, refusal))?;
    let found = container.manifest().generation();
    if found != generation {
        let why = format!("it is generation {found} under the name of generation {generation}");
        return Err(Error::Damaged { path: path.to_owned(), part: "name".to_owned(), why });
    }
    Ok(container)
}

/// Refuses a state that was computed while its inputs changed.
pub(super) fn check_inputs(path: &Path, manifest: &Manifest) -> Result<(), Error> {
    match stamp::mark_of(manifest) {
        Some(changed) => Err(Error::InputsChanged { path: path.to_owned(), inputs: changed.to_string() }),
        None => Ok(()),
    }
}

/// A generation that was read, besides its state.
struct Read {
    container: Container,
    /// The differences from the state that was saved.
    differences: Vec<Difference>,
    /// The outputs in the state.
    outputs: Found,
}

/// The newest generation that can be used.
pub(super) struct Sought {
    /// Its number; `None` if there is none.
    pub(super) generation: Option<u64>,
    /// The newest generation that exists.
    newest: Option<u64>,
    /// The newer ones that cannot be used.
    pub(super) skipped: Vec<Skipped>,
}

/// True if one of these was skipped because it is damaged.
pub(super) fn has_damaged(skipped: &[Skipped]) -> bool {
    skipped.iter().any(|skipped| skipped.error.is_damage())
}

/// The number of times that a directory is listed again because its newest file is gone: a program
/// may save faster than another reads, and a file server may continue to list removed files.
const MOST_LISTINGS: u32 = 100;

/// True if a file server reports that it removed the file while it was open, or in a cached
/// listing.
fn is_stale(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::StaleNetworkFileHandle)
}

fn is_vanished(error: &Error) -> bool {
    matches!(error, Error::Io { source, .. } if source.kind() == io::ErrorKind::NotFound)
}

impl fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Reader").field("home", &self.home).finish_non_exhaustive()
    }
}
