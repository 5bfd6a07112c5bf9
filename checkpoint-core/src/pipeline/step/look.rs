//! Looks at the files that a step reads and produces, before anything is decided.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::{Reads, Step};
use crate::error::Error;
use crate::pipeline::copies::Copies;
use crate::pipeline::decide::{Kept, Version};
use crate::pipeline::inputs::{Input, Inputs, Places};
use crate::pipeline::project::real;
use crate::pipeline::report::Reason;
use crate::pipeline::sets::{MOST_NAMED, Set, together};
use crate::store::Home as _;

impl Step<'_> {
    /// Puts the files that the step reads into its key.
    pub(super) fn look_at_inputs(&mut self) -> Result<(), Error> {
        let reads = std::mem::take(&mut self.reads);
        let looked = reads.iter().try_for_each(|reads| {
            let (given, looked) = match reads {
                Reads::File(path) => (&**path, self.look_at_file(path)),
                Reads::Directory(path) => (&**path, self.look_at_directory(path)),
                Reads::Matching(pattern) => (Path::new(pattern), self.look_at_matching(pattern)),
            };
            looked.map_err(|source| self.failed(Error::io("read", given, source)))
        });
        self.pipeline.files().remember_now_and_then();
        looked
    }

    fn look_at_file(&mut self, given: &Path) -> io::Result<()> {
        let (name, path) = self.pipeline.project.name(given)?;
        if path.is_dir() {
            let why = "it is a directory: give it by `directory`";
            return Err(io::Error::new(io::ErrorKind::InvalidInput, why));
        }
        let look = self.pipeline.files().look(&path)?;
        self.key.files.insert(name.clone(), look.seen.hash.clone());
        self.inputs.add(Input::new(name, path, look));
        Ok(())
    }

    fn look_at_directory(&mut self, given: &Path) -> io::Result<()> {
        let (name, path) = self.pipeline.project.name(given)?;
        self.look_at_set(Set::directory(name, path, self.pipeline.path()), given.is_relative())
    }

    fn look_at_matching(&mut self, pattern: &str) -> io::Result<()> {
        let (name, _) = self.pipeline.project.name(Path::new(pattern))?;
        let set = Set::matching(name, pattern, self.pipeline.path())?;
        self.look_at_set(set, Path::new(pattern).is_relative())
    }

    fn look_at_set(&mut self, set: Set, is_relative: bool) -> io::Result<()> {
        let files = set.files()?;
        set.check(&files)?;
        let directory = if is_relative { Some(std::env::current_dir()?) } else { None };
        let mut hashes = BTreeMap::new();
        for path in &files {
            // Named as the set is given.
            let given = directory.as_ref().and_then(|directory| path.strip_prefix(directory).ok());
            let (name, _) = self.pipeline.project.name(given.unwrap_or(path))?;
            let look = self.pipeline.files().look(path);
            let look =
                look.map_err(|error| io::Error::new(error.kind(), format!("{}: {error}", path.display())))?;
            hashes.insert(name.clone(), look.seen.hash.clone());
            self.inputs.add(Input::new(name, path.clone(), look));
        }
        if hashes.is_empty() || hashes.len() > MOST_NAMED {
            let pairs = hashes.iter().map(|(name, hash)| (name.as_str(), hash.as_str()));
            let entry = format!("{} files, {}", hashes.len(), together(pairs));
            self.key.files.insert(set.name.clone(), entry);
        } else {
            self.key.files.extend(hashes);
        }
        self.inputs.add_set(set, files);
        Ok(())
    }

    /// Puts the files that the step produces into its key.
    pub(super) fn look_at_produced(&mut self) -> Result<(), Error> {
        for given in std::mem::take(&mut self.produces) {
            let named = self.pipeline.project.name(&given);
            let (name, path) = named.map_err(|source| self.failed(Error::io("name", &given, source)))?;
            self.key.produces.insert(name.clone());
            self.produced.insert(name, path);
        }
        if self.keeps_produced && self.protection().encrypts() {
            let setting = format!("`keep_produced` of step {:?}", self.name);
            let why = "the copies would not be encrypted: leave it out";
            return Err(Error::InvalidSetting { setting, why });
        }
        if self.produced.is_empty() { Ok(()) } else { self.check_places(&self.inputs.places()) }
    }

    /// Checks the files after the work as before it: the step may have made links to others. The next
    /// run finds those links, and has to come to the same answer.
    pub(super) fn check_made(&self, inputs: &Inputs) -> Result<(), Error> {
        if self.produced.is_empty() {
            return Ok(());
        }
        self.check_places(&inputs.places_now().map_err(|error| self.failed(error))?)?;
        self.claim_produced()
    }

    /// Checks that the files lead neither to what the step reads nor into the pipeline.
    fn check_places(&self, reads: &Places<'_>) -> Result<(), Error> {
        let pipeline = real(self.pipeline.path());
        for path in self.produced.values() {
            let target = real(path);
            if reads.has(path, &target) {
                let why = match path.is_symlink() {
                    true => {
                        "it is a link to a file that the step reads, so a write to it would change what the step \
                         depends on: remove the link, and write a copy of the file"
                    }
                    false => {
                        "the step reads it too, so its output would change what it depends on: write another file"
                    }
                };
                return Err(self.wrong_file(path, why));
            }
            if target.starts_with(&pipeline) {
                let why = "it lies in the directory of the pipeline, or is a link to there, where only the library \
                           writes: choose another place";
                return Err(self.wrong_file(path, why));
            }
        }
        Ok(())
    }

    /// Checks that no other step of this run produces the same files.
    pub(super) fn claim_produced(&self) -> Result<(), Error> {
        let produced = &mut self.pipeline.book().produced;
        for path in self.produced.values() {
            let step = produced.entry(real(path)).or_insert_with(|| self.name.clone());
            if *step != self.name {
                let why = match path.is_symlink() {
                    true => {
                        "it is a link to a file that another step produces: remove the link, and write a copy of \
                         the file"
                    }
                    false => "another step produces it: each has files of its own",
                };
                return Err(self.wrong_file(path, why));
            }
        }
        Ok(())
    }

    fn wrong_file(&self, path: &Path, why: &'static str) -> Error {
        let setting = format!("{}, which step {:?} produces", path.display(), self.name);
        Error::InvalidSetting { setting, why }
    }

    /// The copies of the files that the step produced.
    pub(super) fn copies(&self) -> Copies {
        let workshop = &self.pipeline.workshop;
        Copies::new(&workshop.path, &self.name, &workshop.disk, workshop.options.durable)
    }

    /// Puts kept copies in the places of files that are not as a version produced them. Returns the
    /// reasons why the version cannot be taken after all.
    pub(super) fn restore(&self, version: &Version, kept: &Kept) -> Result<Vec<Reason>, Error> {
        let _warnings = self.pipeline.workshop.options.warnings.enter();
        let known: BTreeSet<String> = kept.hashes.values().flatten().cloned().collect();
        let (copies, mut lost) = (self.copies(), Vec::new());
        for (name, path) in &version.restore {
            let Some(file) = version.record.produced.get(name) else { continue };
            if !copies.restore(file, path, &known)? {
                lost.push(Reason::ProducedChanged { path: PathBuf::from(name) });
            }
        }
        Ok(lost)
    }

    /// Removes the copies of files that only versions had that are not kept any more.
    pub(super) fn remove_copies<'a>(&self, kept: &'a Kept, newest: impl Iterator<Item = &'a str>) {
        let Ok(numbers) = self.outputs().generations() else { return };
        if kept.has_unreadable() {
            return;
        }
        let of_kept = kept.hashes.iter().filter(|(number, _)| numbers.contains(number));
        let hashes = of_kept.flat_map(|(_, hashes)| hashes.iter().map(String::as_str));
        self.copies().keep_only(&hashes.chain(newest).collect());
    }
}
