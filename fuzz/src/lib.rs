//! The work of the fuzz targets. Their input selects the checkpoint to damage or forge, and the way
//! to do it. `tests/hostile` does the same with random bytes.

#![allow(clippy::unwrap_used, clippy::panic, reason = "as in the tests that this is shared with")]

#[path = "../../tests/hostile/cases.rs"]
mod cases;
#[allow(dead_code, reason = "tests use the rest")]
#[path = "../../tests/common/forge.rs"]
mod forge;
#[path = "../../tests/hostile/mutation.rs"]
mod mutation;
#[path = "../../tests/hostile/structure.rs"]
mod structure;
#[path = "../../tests/hostile/subjects.rs"]
mod subjects;

#[cfg(feature = "guided")]
use std::ffi::OsString;
#[cfg(feature = "guided")]
use std::fs;
#[cfg(feature = "guided")]
use std::path::Path;
use std::sync::LazyLock;

#[cfg(feature = "guided")]
use cases::NAME;
use cases::{Case, Outcome};
use mutation::{Choices, Target};

static CASES: LazyLock<Vec<Case>> = LazyLock::new(cases::cases);

fn tried(
    data: &[u8],
    make: impl FnOnce(&mut Vec<u8>, &mut Choices<'_>),
) -> (&'static Case, Vec<u8>, Outcome) {
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

/// Fuzzes the reader of files: it must load nothing damaged.
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

/// Fuzzes the manifest, with the right checksum.
pub fn manifest(data: &[u8]) {
    forged(data, Target::Manifest);
}

/// Fuzzes the schema in the manifest, which the state is resolved by.
pub fn schema(data: &[u8]) {
    forged(data, Target::Schema);
}

/// Fuzzes the headers of the arrays.
pub fn npy(data: &[u8]) {
    forged(data, Target::Headers);
}

/// Fuzzes the whole file, and the state.
pub fn load(data: &[u8]) {
    forged(data, Target::Everything);
}

/// Changes states with the schemas of many types, and reads them as these types.
pub fn structure(data: &[u8]) {
    structure::tried(data);
}

/// Returns eight times this number of random bytes, always the same for one seed.
#[must_use]
pub fn random(seed: u64, count: u32) -> Vec<u8> {
    mutation::random(seed, count)
}

/// Fuzzes the command-line tool, on a directory with a forged checkpoint and with these bytes as
/// its history.
#[cfg(feature = "guided")]
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

/// Fuzzes a history of valid lines with any numbers. A starting program and the tool read it.
#[cfg(feature = "guided")]
pub fn history(data: &[u8]) {
    let mut choices = Choices::new(data);
    let mut text = String::new();
    for _ in 0..=choices.byte() % 32 {
        text.push_str(&line(&mut choices));
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fs::write(path.join("history.jsonl"), &text).unwrap();
    assert_eq!(checkpointed::history::read(path).unwrap().unknown_lines, 0, "{text}");
    let mut checkpoints = checkpointed::Checkpointer::<u64>::builder(path).durable(false).open().unwrap();
    assert_eq!(checkpoints.load().unwrap(), None);
    checkpoints.save(&1).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(1));
    drop(checkpoints);
    for command in ["list", "report"] {
        checkpointed_cli::run(["ckpt".into(), command.into(), path.into()]);
    }
}

/// One line of a history.
#[cfg(feature = "guided")]
fn line(choices: &mut Choices<'_>) -> String {
    const EVENTS: [&str; 9] = [
        r#""event":"summary","runs":N,"failures":N,"observed":S,"lost":S"#,
        r#""event":"start","host":"h","process":1,"schedule":"adaptive","retention":{"last":N,"every":N}"#,
        r#""event":"start","host":"h","process":1,"schedule":"adaptive","retention":"the last N""#,
        r#""event":"alive""#,
        r#""event":"died","ran":S"#,
        r#""event":"restart","generation":N,"lost":S"#,
        r#""event":"save","generation":N,"bytes":N,"stall":S,"total":S,"interval":S,"why":"due""#,
        r#""event":"failure","generation":N,"error":"e""#,
        r#""event":"end","end":"completed""#,
    ];
    const NUMBERS: [u64; 6] = [0, 1, 2, 1000, u64::MAX - 1, u64::MAX];
    const SECONDS: [&str; 7] = ["0", "1.5", "86400", "-1e300", "1e-320", "1e300", "18446744073709551615.5"];
    const TIMES: [&str; 4] = [
        "1970-01-01T00:00:00Z",
        "2026-01-01T00:00:00Z",
        "2026-01-02T00:00:00Z",
        "9999-12-31T23:59:59.999999999Z",
    ];
    let mut event = EVENTS[choices.below(EVENTS.len())].to_owned();
    while event.contains('N') {
        event = event.replacen('N', &NUMBERS[choices.below(NUMBERS.len())].to_string(), 1);
    }
    while event.contains('S') {
        event = event.replacen('S', SECONDS[choices.below(SECONDS.len())], 1);
    }
    let (time, at) = (TIMES[choices.below(TIMES.len())], SECONDS[choices.below(SECONDS.len())]);
    format!("{{\"time\":\"{time}\",\"at\":{at},{event}}}\n")
}
