//! Requests to run a step again: files under `redo/` that are named after the step. The user leaves
//! one, the program takes it.

use std::collections::BTreeSet;
use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};

use super::folder::{self, folder, name_of};
use crate::error::Error;
use crate::store::name::REDO as FOLDER;

fn place(pipeline: &Path, step: &str) -> PathBuf {
    pipeline.join(FOLDER).join(folder(step))
}

/// The steps with a request.
pub(super) fn asked(pipeline: &Path) -> Result<BTreeSet<String>, Error> {
    let path = pipeline.join(FOLDER);
    match fs::read_dir(&path) {
        Ok(entries) => Ok(entries.flatten().filter_map(|entry| name_of(&entry.file_name())).collect()),
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
    fs::create_dir_all(pipeline.join(FOLDER)).map_err(|source| Error::writing("create", &path, source))?;
    match File::create_new(&path) {
        Ok(_) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(false),
        Err(source) => Err(Error::writing("create", &path, source)),
    }
}

/// Takes a request back. `false` if there is none.
pub(super) fn withdraw(pipeline: &Path, step: &str) -> Result<bool, Error> {
    let path = place(pipeline, step);
    match fs::remove_file(&path) {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(source) => Err(Error::writing("remove", &path, source)),
    }
}
