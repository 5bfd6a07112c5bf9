//! What happens to a checkpoint directory while a program has it open: the program changes its working directory, old
//! files are purged, other programs wait, look, or belong to other users.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, SystemTime};

use checkpointed::{
    Access, CheckpointReader, Checkpointer, Error, Pipeline, Protection, Scopes, history, inspect,
};

mod common;
use common::{Run, again_as, names_in};

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    (parent, path)
}
