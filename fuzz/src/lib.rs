//! What the fuzz targets do with the bytes that they are given: the bytes tell which checkpoint is damaged or forged,
//! and how. The same is done in `tests/hostile` with random bytes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "as in the tests that this is shared with")]

#[path = "../../tests/hostile/cases.rs"]
mod cases;
#[allow(dead_code, reason = "tests use the rest")]
#[path = "../../tests/common/forge.rs"]
mod forge;
#[path = "../../tests/hostile/mutation.rs"]
mod mutation;

use std::ffi::OsString;
use std::fs;
use std::path::Path;
use std::sync::LazyLock;

use cases::{Case, NAME, Outcome};
use mutation::{Choices, Target};

static CASES: LazyLock<Vec<Case>> = LazyLock::new(cases::cases);

fn tried(data: &[u8], make: impl FnOnce(&mut Vec<u8>, &mut Choices<'_>)) -> (&'static Case, Vec<u8>, Outcome) {
    let mut choices = Choices::new(data);
    let case = &CASES[choices.below(CASES.len())];
    let mut file = case.file.clone();
    make(&mut file, &mut choices);
    let directory = tempfile::tempdir().unwrap();
    let outcome = cases::tried(case, &file, directory.path());
    (case, file, outcome)
}

fn forged(data: &[u8], target: Target) {
    let (case, _, outcome) = tried(data, |file, choices| {
        for _ in 0..=choices.byte() % 4 {
            mutation::forge(file, target, choices);
        }
    });
    assert!(outcome.is_whole || !outcome.loads, "{}: what loads is whole", case.name);
}

/// The reader of files: nothing that was damaged is loaded.
pub fn container(data: &[u8]) {
    let (case, file, outcome) = tried(data, |file, choices| {
        for _ in 0..=choices.byte() % 4 {
            if !file.is_empty() {
                mutation::damage(file, choices);
            }
        }
    });
    let is_noticed = !outcome.loads && !outcome.is_whole;
    assert!(file == case.file || is_noticed, "{}: the damage was not noticed", case.name);
}

/// The manifest, whose checksum fits.
pub fn manifest(data: &[u8]) {
    forged(data, Target::Manifest);
}

/// The schema in the manifest, by which the state is resolved.
pub fn schema(data: &[u8]) {
    forged(data, Target::Schema);
}

/// The headers of the arrays.
pub fn npy(data: &[u8]) {
    forged(data, Target::Headers);
}

/// All of it, and the state.
pub fn load(data: &[u8]) {
    forged(data, Target::Everything);
}

/// The command line tool, on a directory with a forged checkpoint and with these bytes as its history.
pub fn ckpt(data: &[u8]) {
    let mut choices = Choices::new(data);
    let case = &CASES[choices.below(CASES.len())];
    let command = choices.byte();
    let mut file = case.file.clone();
    mutation::forge(&mut file, Target::Everything, &mut choices);
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(NAME), &file).unwrap();
    fs::write(directory.path().join("original"), &case.file).unwrap();
    fs::write(directory.path().join("history.jsonl"), data).unwrap();
    let path = |name: &str| -> OsString { directory.path().join(name).into() };
    let arguments: Vec<OsString> = match command % 8 {
        0 => vec!["list".into(), path("")],
        1 => vec!["show".into(), path(NAME)],
        2 => vec!["--json".into(), "show".into(), path(NAME), "--elements".into(), "1000".into()],
        3 => vec!["verify".into(), path("")],
        4 => vec!["diff".into(), path("original"), path(NAME)],
        5 => vec!["export".into(), path(NAME), "--to".into(), "json".into(), "-o".into(), path("out")],
        6 => vec!["report".into(), path(""), "-o".into(), path("report.html")],
        _ => vec!["prune".into(), path(""), "--yes".into(), "--keep-last".into(), "1".into()],
    };
    checkpointed_cli::run([OsString::from("ckpt")].into_iter().chain(arguments));
    assert!(Path::new(&path(NAME)).exists(), "nothing removes the only checkpoint");
}
