//! Tests of generations that the system does not give, and of a directory that is older than its
//! run.

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

#[cfg(feature = "pipeline")]
use std::collections::BTreeSet;
use std::fs;
use std::io::Write as _;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tempfile::TempDir;

use crate::error::OutputFault;
use crate::outputs::Appended;
#[cfg(feature = "pipeline")]
use crate::run::stamp::{Notes, Stamp};
use crate::store::Directory;
use crate::store::faults::{EIO, Fault, FaultyDisk};
use crate::{CheckpointReader, Checkpointer, Error, Metadata, Metric};

/// More attempts than a load makes.
const ALWAYS: usize = usize::MAX;

fn nowhere() -> (TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    (parent, path)
}

fn open<T: crate::Checkpoint>(path: &Path, disk: &FaultyDisk) -> Checkpointer<T> {
    Checkpointer::builder(path).disk(Arc::new(disk.clone())).open().unwrap()
}

fn save_all(checkpoints: &mut Checkpointer<u64>, states: RangeInclusive<u64>) {
    for state in states {
        checkpoints.save(&state).unwrap();
    }
}

fn name(generation: u64) -> String {
    format!("{generation:020}.ckpt")
}

#[test]
fn a_file_that_cannot_be_read_once_is_read_again() {
    let (_parent, path) = nowhere();
    let disk = FaultyDisk::default();
    let mut checkpoints = open::<u64>(&path, &disk);
    save_all(&mut checkpoints, 1..=3);
    disk.be_unread(&name(3), 1);
    assert_eq!(checkpoints.load().unwrap(), Some(3));
    assert!(checkpoints.last_load().unwrap().skipped.is_empty());
}

#[test]
fn the_best_is_kept_although_the_start_could_not_read_it() {
    let (_parent, path) = nowhere();
    let disk = FaultyDisk::default();
    let builder = Checkpointer::<u64>::builder(&path).disk(Arc::new(disk.clone())).keep_last(1);
    let builder = builder.keep_best(Metric::lowest("loss"), 1);
    let save = |checkpoints: &mut Checkpointer<u64>, loss: f64| {
        checkpoints.save_with(&7, Metadata::new().with("loss", loss)).unwrap().generation
    };
    let mut checkpoints = builder.clone().open().unwrap();
    let saved: Vec<u64> = [3.0, 1.0, 2.0].map(|loss| save(&mut checkpoints, loss)).into();
    assert_eq!(checkpoints.generations().unwrap(), [saved[1], saved[2]]);
    drop(checkpoints);

    disk.be_unread(&name(saved[1]), ALWAYS);
    let mut checkpoints = builder.open().unwrap();
    checkpoints.load().unwrap();
    disk.be_unread(&name(saved[1]), 0);
    for loss in [4.0, 5.0, 6.0, 7.0] {
        save(&mut checkpoints, loss);
    }
    assert!(checkpoints.generations().unwrap().contains(&saved[1]));
}

#[test]
fn the_best_is_no_other_while_a_generation_is_unread() {
    let (_parent, path) = nowhere();
    let disk = FaultyDisk::default();
    let mut checkpoints = open::<u64>(&path, &disk);
    for loss in [3.0, 1.0, 2.0] {
        checkpoints.save_with(&7, Metadata::new().with("loss", loss)).unwrap();
    }
    let reader = CheckpointReader::<u64>::open_in(Directory::new(&path, Arc::new(disk.clone()))).unwrap();
    let best = || reader.best(&Metric::lowest("loss"));
    disk.be_unread(&name(2), 1);
    assert_eq!(best().unwrap(), Some(2));
    disk.be_unread(&name(2), ALWAYS);
    assert!(matches!(best(), Err(Error::Io { .. })));
}

#[test]
fn a_generation_that_could_not_be_read_is_not_removed() {
    let (_parent, path) = nowhere();
    let disk = FaultyDisk::default();
    let mut checkpoints = open::<u64>(&path, &disk);
    save_all(&mut checkpoints, 1..=5);
    disk.be_unread(&name(5), ALWAYS);
    assert_eq!(checkpoints.load().unwrap(), Some(4));
    disk.be_unread(&name(5), 0);
    save_all(&mut checkpoints, 40..=49);
    assert_eq!(checkpoints.load_generation(5).unwrap(), 5);
    // Once its pin is gone, it goes as any other does.
    checkpoints.unpin(5).unwrap();
    checkpoints.save(&50).unwrap();
    assert!(!checkpoints.generations().unwrap().contains(&5));
}

#[test]
fn an_unread_generation_that_cannot_be_pinned_stays() {
    let (_parent, path) = nowhere();
    let disk = FaultyDisk::default();
    let mut checkpoints = open::<u64>(&path, &disk);
    save_all(&mut checkpoints, 1..=5);
    // Another load finds out when its pin is made.
    disk.plan(None);
    disk.be_unread(&name(5), ALWAYS);
    assert_eq!(checkpoints.load().unwrap(), Some(4));
    let pinned = |asked: &String| asked.starts_with("create ") && asked.ends_with(".pin");
    let place = disk.asked().iter().position(pinned).unwrap();
    checkpoints.unpin(5).unwrap();
    disk.plan(Some((place, Fault::Error(EIO))));
    disk.be_unread(&name(5), ALWAYS);
    assert_eq!(checkpoints.load().unwrap(), Some(4));
    assert!(!path.join(format!("{:020}.pin", 5)).exists());
    disk.plan(None);
    save_all(&mut checkpoints, 40..=49);
    assert_eq!(checkpoints.load_generation(5).unwrap(), 5);
}

#[test]
fn no_output_is_cut_while_a_newer_state_could_not_be_read() {
    let (parent, path) = nowhere();
    let csv = parent.path().join("out.csv");
    let disk = FaultyDisk::default();
    let mut checkpoints = open::<Appended>(&path, &disk);
    let mut out = checkpoints.load_or_else(|| Appended::at(&csv)).unwrap();
    for line in ["l1", "l2"] {
        writeln!(out, "{line}").unwrap();
        checkpoints.save(&out).unwrap();
    }
    drop((out, checkpoints));

    let mut checkpoints = open::<Appended>(&path, &disk);
    disk.be_unread(&name(2), ALWAYS);
    let error = checkpoints.load().unwrap_err();
    let fault = OutputFault::NewerUnread { generation: 2 };
    assert!(matches!(&error, Error::Output { counted: 3, fault: found, .. } if *found == fault), "{error}");
    drop(checkpoints);
    assert_eq!(fs::read_to_string(&csv).unwrap(), "l1\nl2\n");

    disk.be_unread(&name(2), 0);
    let mut checkpoints = open::<Appended>(&path, &disk);
    let mut out = checkpoints.load().unwrap().unwrap();
    writeln!(out, "l3").unwrap();
    checkpoints.save(&out).unwrap();
    assert_eq!(fs::read_to_string(&csv).unwrap(), "l1\nl2\nl3\n");
}

#[test]
fn a_refused_load_lets_no_clone_cut_what_is_unread() {
    let (parent, path) = nowhere();
    let csv = parent.path().join("out.csv");
    let disk = FaultyDisk::default();
    let mut checkpoints = open::<Appended>(&path, &disk);
    let mut out = Appended::at(&csv);
    writeln!(out, "l1").unwrap();
    checkpoints.save(&out).unwrap();
    let mut former = out.clone();
    writeln!(out, "l2").unwrap();
    checkpoints.save(&out).unwrap();
    drop(out);

    disk.be_unread(&name(2), ALWAYS);
    checkpoints.load().unwrap_err();
    disk.be_unread(&name(2), 0);
    let error = former.write_all(b"x").unwrap_err();
    let error = error.get_ref().unwrap().downcast_ref::<Error>().unwrap();
    assert!(matches!(error, Error::Output { fault: OutputFault::NotNewest, .. }), "{error}");
    drop(former);
    assert_eq!(fs::read_to_string(&csv).unwrap(), "l1\nl2\n");
    assert_eq!(checkpoints.load().unwrap().unwrap().len(), 6);
}

#[cfg(feature = "pipeline")]
#[test]
fn an_unread_state_stays_where_a_step_begins_anew() {
    let (_parent, path) = nowhere();
    let disk = FaultyDisk::default();
    let look = || Notes { changed: BTreeSet::from(["input".to_owned()]), ..Notes::default() };
    let builder = || Checkpointer::<u64>::builder(&path).disk(Arc::new(disk.clone()));
    builder().open().unwrap().save(&1).unwrap();
    builder().stamped(Stamp::new(look, &Arc::default())).open().unwrap().save(&2).unwrap();

    let mut checkpoints = builder().open().unwrap();
    disk.be_unread(&name(1), ALWAYS);
    assert_eq!(checkpoints.load().unwrap(), None);
    disk.be_unread(&name(1), 0);
    save_all(&mut checkpoints, 40..=49);
    assert_eq!(checkpoints.load_generation(1).unwrap(), 1);
}

#[test]
fn an_older_copy_in_the_place_of_a_running_directory_is_told() {
    let (parent, path) = nowhere();
    let copy = parent.path().join("copy");
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    let files = |from: &Path, to: &Path| {
        for entry in fs::read_dir(from).unwrap() {
            let entry = entry.unwrap();
            if entry.file_name() != ".lock" {
                fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
            }
        }
    };
    save_all(&mut checkpoints, 1..=5);
    fs::create_dir(&copy).unwrap();
    files(&path, &copy);
    save_all(&mut checkpoints, 6..=9);
    (8..=9).for_each(|generation| fs::remove_file(path.join(name(generation))).unwrap());
    files(&copy, &path);
    assert_eq!(checkpoints.load().unwrap(), Some(5));
    assert_eq!(checkpoints.missing_generation(), Some(9));
    // What the program removes by itself is not missing.
    checkpoints.save(&10).unwrap();
    checkpoints.discard_newer(5).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(5));
    assert_eq!(checkpoints.missing_generation(), None);
}
