//! Requests to run a step again: files under `redo/` that are named after the step. The user leaves
//! one. The program renames it to `STEP@taken` when it begins the work, and removes it at the end:
//! so a request during the work is another one, and a failed or killed run has not lost its own.

use std::collections::BTreeSet;
use std::ffi::OsStr;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io;
use std::path::{Path, PathBuf};

use super::folder::{self, folder, name_of};
use crate::error::Error;
use crate::store::name::REDO as FOLDER;

fn place(pipeline: &Path, step: &str) -> PathBuf {
    pipeline.join(FOLDER).join(folder(step))
}

/// The request that a run works on. A step's folder has no `@`, so no step is named so.
fn taken(pipeline: &Path, step: &str) -> PathBuf {
    pipeline.join(FOLDER).join(format!("{}{TAKEN}", folder(step)))
}

const TAKEN: &str = "@taken";

/// The step of a request, taken or not.
fn step_of(file: &OsStr) -> Option<String> {
    let file = file.to_str()?;
    name_of(OsStr::new(file.strip_suffix(TAKEN).unwrap_or(file)))
}

/// The steps with a request, also one that a run took and did not fulfil.
pub(super) fn asked(pipeline: &Path) -> Result<BTreeSet<String>, Error> {
    let path = pipeline.join(FOLDER);
    match fs::read_dir(&path) {
        Ok(entries) => Ok(entries.flatten().filter_map(|entry| step_of(&entry.file_name())).collect()),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(BTreeSet::new()),
        Err(source) => Err(Error::io("list", &path, source)),
    }
}

/// Leaves a request for the next run. `false` if there is one already.
pub(super) fn ask(pipeline: &Path, step: &str) -> Result<bool, Error> {
    let known: Vec<String> = folder::steps(pipeline)?.into_keys().collect();
    if !known.iter().any(|known| known == step) {
        return Err(Error::UnknownStep { step: step.to_owned(), known });
    }
    let path = place(pipeline, step);
    create_folder(pipeline).map_err(|source| Error::writing("create", &path, source))?;
    let mut options = OpenOptions::new();
    options.write(true).create_new(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(&path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(Error::writing("create", &path, source)),
    }
}

/// Makes the folder of the requests. No one may write there who may not write to the pipeline.
fn create_folder(pipeline: &Path) -> io::Result<()> {
    #[cfg_attr(not(unix), allow(unused_mut))]
    let mut builder = DirBuilder::new();
    #[cfg(unix)]
    {
        let mode = std::os::unix::fs::PermissionsExt::mode(&fs::metadata(pipeline)?.permissions());
        std::os::unix::fs::DirBuilderExt::mode(&mut builder, mode & 0o775);
    }
    match builder.create(pipeline.join(FOLDER)) {
        Err(error) if error.kind() != io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// Takes a request for the work that begins. Later requests are others.
pub(super) fn take(pipeline: &Path, step: &str) -> Result<(), Error> {
    let path = place(pipeline, step);
    match fs::rename(&path, taken(pipeline, step)) {
        // A run that was killed took it.
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        outcome => outcome.map_err(|source| Error::writing("rename", &path, source)),
    }
}

/// Removes the request that the work fulfilled.
pub(super) fn done(pipeline: &Path, step: &str) -> Result<(), Error> {
    remove(&taken(pipeline, step)).map(drop)
}

/// Takes a request back. `false` if there is none.
pub(super) fn withdraw(pipeline: &Path, step: &str) -> Result<bool, Error> {
    let (was_asked, was_taken) = (remove(&place(pipeline, step))?, remove(&taken(pipeline, step))?);
    Ok(was_asked || was_taken)
}

fn remove(path: &Path) -> Result<bool, Error> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::writing("remove", path, source)),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;
    use crate::pipeline::Pipeline;

    fn run(path: &Path, work: impl FnOnce() -> Result<u64, Error>) -> bool {
        let mut is_run = false;
        let pipeline = Pipeline::open(path).unwrap();
        let outcome = pipeline.step("a").run(|_| {
            is_run = true;
            work()
        });
        drop(outcome);
        is_run
    }

    #[test]
    fn a_request_during_the_work_is_for_the_next_run() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        assert!(run(&path, || Ok(1)));
        assert!(ask(&path, "a").unwrap());
        assert!(run(&path, || {
            assert!(ask(&path, "a").unwrap());
            Ok(1)
        }));
        assert!(run(&path, || Ok(1)));
        assert!(!run(&path, || Ok(1)));
    }

    #[test]
    fn a_request_whose_work_failed_stands_and_can_be_withdrawn() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        assert!(run(&path, || Ok(1)));
        ask(&path, "a").unwrap();
        let failure = || Err(Error::InvalidSetting { setting: String::new(), why: "it fails" });
        assert!(run(&path, failure) && run(&path, failure));
        assert!(withdraw(&path, "a").unwrap() && !withdraw(&path, "a").unwrap());
        assert!(!run(&path, || Ok(1)));
    }

    #[cfg(unix)]
    #[test]
    fn only_their_owner_writes_requests_and_their_folder() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p");
        run(&path, || Ok(1));
        // A user may have opened the pipeline to all.
        fs::set_permissions(&path, fs::Permissions::from_mode(0o777)).unwrap();
        ask(&path, "a").unwrap();
        let mode = |path: PathBuf| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(mode(place(&path, "a")), 0o600);
        assert_eq!(mode(path.join(FOLDER)) & 0o002, 0);
    }
}
