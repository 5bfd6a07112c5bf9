//! Looks at the files that a step reads and produces, before anything is decided.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::{Path, PathBuf};

use super::{Reads, Step};
use crate::error::Error;
use crate::pipeline::copies::Copies;
use crate::pipeline::decide::{Kept, Version};
use crate::pipeline::inputs::{Input, Inputs, Places};
use crate::pipeline::project::{is_linked, real};
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
        self.key.declared.push(format!("file {name}"));
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
        self.key.declared.push(format!("files {}", set.name));
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
            self.key.declared.push(format!("produces {name}"));
            self.produced.insert(name, path);
        }
        if self.keeps_produced && self.protection().encrypts() {
            let setting = format!("`keep_produced` of step {:?}", self.name);
            let why = "the copies would not be encrypted: leave it out";
            return Err(Error::InvalidSetting { setting, why });
        }
        if self.produced.is_empty() { Ok(()) } else { self.check_places(&self.inputs.places()) }
    }

    /// Checks the files after the work as before it: the step may have made links to others. The
    /// next run finds those links, and has to come to the same answer.
    pub(super) fn check_made(&self, inputs: &Inputs) -> Result<(), Error> {
        if self.produced.is_empty() {
            return Ok(());
        }
        self.check_places(&inputs.places_now())?;
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
            if reads.has_linked(&target) {
                let why = "it is a hard link to a file that the step reads, so a write to it would change what the \
                           step depends on: remove the link, and write a copy of the file";
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
            let others = produced.iter().filter(|(_, step)| **step != self.name).map(|(path, _)| path);
            if is_linked(path, others) {
                let why = "it is a hard link to a file that another step produces: remove the link, and write a copy \
                           of the file";
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

#[cfg(all(test, unix))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::fs;

    use super::*;
    use crate::pipeline::{Outcome, Pipeline};

    #[test]
    fn a_product_that_is_a_hard_link_to_an_input_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::create_dir(path("data")).unwrap();
        fs::write(path("data/in"), "1").unwrap();
        let refused = |made: &dyn Fn()| {
            let pipeline = Pipeline::open(path("p")).unwrap();
            let step = pipeline.step("a").directory(path("data")).produces(path("out"));
            let error = step
                .run(|_| {
                    made();
                    Ok::<u64, Error>(1)
                })
                .unwrap_err();
            let words = "out, which step \"a\" produces";
            assert!(error.to_string().contains(words), "{error}");
            assert!(error.to_string().contains("it is a hard link to a file that the step reads"), "{error}");
            assert!(error.to_string().contains("write a copy"), "{error}");
        };
        refused(&|| fs::hard_link(path("data/in"), path("out")).unwrap());
        refused(&|| unreachable!("it is refused before the work"));
        // Links to other files are no matter.
        fs::remove_file(path("out")).unwrap();
        fs::hard_link(path("data/in"), path("backup")).unwrap();
        for outcome in [Outcome::Ran, Outcome::Reused] {
            let pipeline = Pipeline::open(path("p")).unwrap();
            let step = pipeline.step("a").directory(path("data")).produces(path("out"));
            step.run(|_| {
                fs::write(path("out"), "2")?;
                fs::hard_link(path("out"), path("out of today"))
            })
            .unwrap();
            assert_eq!(pipeline.reports()[0].outcome, outcome);
        }
    }

    #[test]
    fn a_product_that_is_a_hard_link_to_another_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        let pipeline = Pipeline::open(path("p")).unwrap();
        pipeline.step("a").produces(path("one")).run(|_| fs::write(path("one"), "1")).unwrap();
        let step = pipeline.step("b").produces(path("two"));
        let error = step.run(|_| fs::hard_link(path("one"), path("two"))).unwrap_err();
        assert!(error.to_string().contains("hard link to a file that another step produces"), "{error}");
    }

    #[test]
    fn a_link_to_a_file_that_was_not_written_is_called_a_link() {
        let directory = tempfile::tempdir().unwrap();
        let path = |name: &str| directory.path().join(name);
        fs::write(path("elsewhere"), "1").unwrap();
        let link = || std::os::unix::fs::symlink(path("elsewhere"), path("out"));
        link().unwrap();
        let pipeline = Pipeline::open(path("p")).unwrap();
        let step = pipeline.step("a").produces(path("out"));
        let error = step.run(|_| fs::remove_file(path("out")).and_then(|()| link())).unwrap_err();
        assert!(error.to_string().contains("out is a link to a file that it did not write"), "{error}");
    }
}
