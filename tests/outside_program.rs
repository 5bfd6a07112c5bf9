//! A program outside of this workspace, with this library as its only dependency.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::common::root;

const PROGRAM: &str = r##"
use std::collections::{BTreeMap, HashMap};
use std::ops::Range;
use std::time::Duration;

use checkpointed::{Checkpointer, checkpointed};

#[checkpointed]
#[derive(Debug, Default, PartialEq)]
struct Simulation {
    step: u64,
    title: String,
    particles: Vec<Particle>,
    phase: Phase,
    best: Option<Box<Particle>>,
    by_name: BTreeMap<String, Vec<Option<i32>>>,
    counts: HashMap<u8, (char, bool)>,
    elapsed: Duration,
    window: Range<u32>,
    #[serde(rename = "old_name")]
    renamed: Wrapper<f32>,
    #[serde(skip)]
    scratch: Vec<f64>,
}

#[checkpointed]
#[derive(Debug, Default, PartialEq)]
struct Particle {
    position: [f64; 3],
    mass: f64,
}

#[checkpointed]
#[derive(Debug, Default, PartialEq)]
enum Phase {
    #[default]
    Start,
    Warm(u8, String),
    Cold { since: Option<u64>, nested: Vec<Phase> },
}

#[checkpointed]
#[derive(Debug, Default, PartialEq)]
struct Wrapper<T>(T);

fn state() -> Simulation {
    Simulation {
        step: 42,
        title: "größer".to_owned(),
        particles: vec![Particle { position: [1.0, -0.5, 1e300], mass: 0.1 }, Particle::default()],
        phase: Phase::Cold { since: Some(7), nested: vec![Phase::Start, Phase::Warm(3, "x".to_owned())] },
        best: Some(Box::new(Particle { position: [0.0; 3], mass: 2.0 })),
        by_name: BTreeMap::from([("a".to_owned(), vec![Some(-1), None]), (String::new(), vec![])]),
        counts: HashMap::from([(1, ('ß', true))]),
        elapsed: Duration::new(3, 5),
        window: 3..7,
        renamed: Wrapper(0.25),
        scratch: Vec::new(),
    }
}

fn main() -> Result<(), checkpointed::Error> {
    let mut checkpoints = Checkpointer::<Simulation>::open("run.ckpt")?;
    match checkpoints.load()? {
        None => {
            let saved = checkpoints.save(&state())?;
            println!("saved generation {}: {:?}", saved.generation, state());
        }
        Some(loaded) => {
            assert_eq!(loaded, state());
            println!("loaded generation {}: {loaded:?}", checkpoints.last_load().unwrap().generation());
        }
    }
    Ok(())
}
"##;

const PROGRAM_WITH_ANOTHER_CRATE: &str = r##"
use checkpointed::{Checkpointer, Plain, checkpointed};
use foreign::{Interval, Setting};

#[checkpointed]
#[derive(Debug, PartialEq)]
struct State {
    interval: Interval,
    settings: Vec<Setting>,
}

fn main() -> Result<(), checkpointed::Error> {
    let state = State {
        interval: Interval { from: -1.0, to: None },
        settings: vec![Setting::Off, Setting::Level(3), Setting::Named { name: "x".to_owned() }],
    };
    let mut checkpoints = Checkpointer::<State>::open("run.ckpt")?;
    checkpoints.save(&state)?;
    assert_eq!(checkpoints.load()?.as_ref(), Some(&state));

    let mut checkpoints = Checkpointer::<Plain<Setting>>::open("setting.ckpt")?;
    checkpoints.save(&Plain(Setting::Level(9)))?;
    assert_eq!(checkpoints.load()?, Some(Plain(Setting::Level(9))));
    println!("the same");
    Ok(())
}
"##;

const FOREIGN: &str = r##"
use serde::{Deserialize, Serialize};

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    pub from: f64,
    pub to: Option<f64>,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
pub enum Setting {
    Off,
    Level(u8),
    Named { name: String },
}
"##;

/// Writes a package with these dependencies, in a workspace of its own.
fn package(directory: &Path, name: &str, dependencies: &str, file: &str, source: &str) {
    fs::create_dir_all(directory.join("src")).unwrap();
    let manifest = format!(
        "[package]\nname = \"{name}\"\nversion = \"0.1.0\"\nedition = \"2024\"\n\n\
         [workspace]\n\n[dependencies]\n{dependencies}\n"
    );
    fs::write(directory.join("Cargo.toml"), manifest).unwrap();
    fs::write(directory.join("src").join(file), source).unwrap();
    let lock = root().join("Cargo.lock");
    if lock.exists() {
        // With the versions of this workspace, nothing must be downloaded.
        fs::copy(lock, directory.join("Cargo.lock")).unwrap();
    }
}

/// Builds and runs a package as its author would, and returns its output.
fn cargo_run(directory: &Path) -> String {
    // It is kept from one test run to the next, apart from the workspace's own, which cargo may be
    // using.
    let target = concat!(env!("CARGO_TARGET_TMPDIR"), "/outside_program");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let run = |network: &[&str]| {
        let mut command = Command::new(&cargo);
        command.args(["run", "--quiet", "--target-dir", target]).args(network).current_dir(directory);
        command.output().unwrap()
    };
    let mut output = run(&["--offline"]);
    if !output.status.success() {
        output = run(&[]);
    }
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    assert!(!stderr.contains("warning"), "the macro's code warns in somebody else's program: {stderr}");
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn a_program_with_this_library_alone_saves_and_loads() {
    let directory = tempfile::tempdir().unwrap();
    let library = format!("checkpointed = {{ path = {:?} }}", root());
    package(directory.path(), "outside", &library, "main.rs", PROGRAM);
    let first = cargo_run(directory.path());
    let state = first.strip_prefix("saved generation 1: ").unwrap();
    assert!(state.starts_with("Simulation { step: 42, title: \"größer\""), "{state}");
    let second = cargo_run(directory.path());
    assert_eq!(second.strip_prefix("loaded generation 1: "), Some(state));
}

#[test]
fn a_type_that_knows_only_serde_is_a_field_and_a_state() {
    let directory = tempfile::tempdir().unwrap();
    let foreign = directory.path().join("foreign");
    package(&foreign, "foreign", "serde = { version = \"1\", features = [\"derive\"] }", "lib.rs", FOREIGN);
    let dependencies =
        format!("checkpointed = {{ path = {:?} }}\nforeign = {{ path = {foreign:?} }}", root());
    let program = directory.path().join("program");
    package(&program, "program", &dependencies, "main.rs", PROGRAM_WITH_ANOTHER_CRATE);
    assert_eq!(cargo_run(&program), "the same\n");
}
