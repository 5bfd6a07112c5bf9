//! Runs the simulation as a user does: killed at any moment and restarted, it has the same result.

use std::collections::hash_map::RandomState;
use std::fs;
use std::hash::BuildHasher;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::OnceLock;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{file_of, must_end, names_in, python::numpy};

/// The grid is small enough to be quick without optimization. The steps are more than all killed
/// runs can make, but too few for the temperature to come to rest, because any history would end in
/// the same rest.
const SIZE: &str = "48";
const STEPS: &str = "4000";

fn heat(directory: &Path, options: &[&str]) -> Command {
    let mut command = crate::common::example("heat");
    command.arg("--dir").arg(directory).args(options);
    command
}

/// The output of a run without errors.
#[track_caller]
fn sum(directory: &Path, options: &[&str]) -> String {
    let output = heat(directory, options).output().unwrap();
    let (stdout, stderr) = texts(&output);
    assert!(output.status.success() && stderr.is_empty(), "{}: {stderr}", output.status);
    let digits = stdout.strip_prefix("sum=").and_then(|rest| rest.strip_suffix('\n')).unwrap();
    assert!(digits.len() == 16 && u64::from_str_radix(digits, 16).is_ok(), "{stdout}");
    digits.to_owned()
}

fn texts(output: &Output) -> (String, String) {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    (text(&output.stdout), text(&output.stderr))
}

/// The highest number of a checkpoint in a directory; 0 if there is none.
fn newest(directory: &Path) -> u64 {
    if !directory.exists() {
        return 0;
    }
    let names = names_in(directory);
    names.iter().filter_map(|name| name.strip_suffix(".ckpt")?.parse().ok()).max().unwrap_or(0)
}

/// A path where nothing exists yet.
fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("heat.ckpt");
    (parent, path)
}

/// The result of a run that was never killed, and only saved at the end.
fn undisturbed() -> &'static str {
    static SUM: OnceLock<String> = OnceLock::new();
    SUM.get_or_init(|| {
        let (_parent, path) = nowhere();
        sum(&path, &["--size", SIZE, "--steps", STEPS, "--every", "1000000"])
    })
}

fn killed_and_started_again(background: &[&str]) {
    let (_parent, path) = nowhere();
    let mut seed = RandomState::new().hash_one(0);
    println!("seed {seed:#x}");
    let mut random = move |below: u64| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed % below
    };
    for number in 0..15 {
        // The number of steps between two saves may differ from run to run.
        let every = (1 + random(3)).to_string();
        let options = ["--size", SIZE, "--steps", STEPS, "--every", &every];
        let before = newest(&path);
        let mut child = heat(&path, &options).args(background).stdout(Stdio::null()).spawn().unwrap();
        // One run in three is killed at any moment, the others after they have saved something.
        let deadline = Instant::now() + Duration::from_secs(30);
        while number % 3 != 0 && newest(&path) == before {
            assert!(Instant::now() < deadline, "nothing is saved");
            thread::yield_now();
        }
        thread::sleep(Duration::from_micros(random(15_000)));
        child.kill().unwrap();
        let status = child.wait().unwrap();
        assert_eq!(status.signal(), Some(9), "it ended by itself, {status}, after {number} kills");
    }
    let saved = newest(&path);
    println!("{saved} generations before the last run");
    assert!(saved >= 10, "ten of the runs have saved something");
    let options = ["--size", SIZE, "--steps", STEPS, "--every", "1000"];
    let mut last = heat(&path, &options);
    let output = last.args(background).output().unwrap();
    assert_eq!(texts(&output), (format!("sum={}\n", undisturbed()), String::new()));
    assert!(newest(&path) > saved);
}

#[test]
fn killed_fifteen_times_it_prints_the_sum_of_an_undisturbed_run() {
    killed_and_started_again(&[]);
}

#[test]
fn killed_during_background_saves_it_prints_the_same_sum() {
    killed_and_started_again(&["--background"]);
}

#[test]
fn an_ended_run_goes_on_when_more_steps_are_asked_for() {
    let (_parent, path) = nowhere();
    let first = sum(&path, &["--size", "9", "--steps", "30"]);
    assert_eq!(newest(&path), 1);
    assert_eq!(sum(&path, &["--size", "9", "--steps", "30"]), first);
    assert_eq!(newest(&path), 1, "there was nothing to save");
    let further = sum(&path, &["--steps", "50", "--every", "7"]);
    assert_ne!(further, first);

    let (_parent, other) = nowhere();
    assert_eq!(sum(&other, &["--size", "9", "--steps", "50"]), further);
}

#[test]
fn numpy_reads_the_temperature_as_a_square_with_the_same_sum() {
    let (_parent, path) = nowhere();
    let printed = sum(&path, &["--size", "21", "--steps", "40", "--every", "30", "--background"]);
    let program = r#"
import json, struct, sys
import numpy as np
entries = np.load(sys.argv[1])
temperature = entries["temperature"]
assert (temperature.shape, temperature.dtype) == ((21, 21), np.dtype("<f8")), temperature
assert not temperature[0].any() and not temperature[:, -1].any(), "the rim"
assert temperature.min() == -40 and temperature.max() == 100, "the sources"
assert json.loads(entries["checkpoint.json"])["metadata"] == {"step": 40}
total = 0.0
for value in temperature.ravel().tolist():
    total += value
print(struct.pack(">d", total).hex())
"#;
    if let Some(summed) = numpy(program, &file_of(&path, 2)) {
        assert_eq!(summed.trim(), printed);
    }
}

#[test]
fn options_that_contradict_the_run_are_refused_with_what_to_do() {
    let (_parent, path) = nowhere();
    sum(&path, &["--size", "9", "--steps", "30"]);
    for (options, why) in
        [(["--size", "10"], "has --size 9, not 10"), (["--steps", "29"], "at step 30 already")]
    {
        let output = heat(&path, &options).output().unwrap();
        let (stdout, stderr) = texts(&output);
        assert_eq!((output.status.code(), stdout.as_str()), (Some(1), ""));
        assert!(stderr.starts_with("heat: the run in ") && stderr.contains(why), "{stderr}");
        assert!(stderr.contains("another --dir") && !stderr.contains("panicked"), "{stderr}");
    }
    assert_eq!(newest(&path), 1);
}

#[test]
fn a_wrong_option_is_refused_and_nothing_is_created() {
    let wrong: [&[&str]; 9] = [
        &["--sizes", "9"],
        &["9"],
        &["--size"],
        &["--size", "2"],
        &["--size", "9999999999"],
        &["--steps", "-1"],
        &["--every", "0"],
        &["--background", "yes"],
        &["--dir"],
    ];
    for options in wrong {
        let (_parent, path) = nowhere();
        let output = heat(&path, options).output().unwrap();
        let (stdout, stderr) = texts(&output);
        assert_eq!((output.status.code(), stdout.as_str()), (Some(2), ""), "{options:?}");
        assert!(stderr.contains("--help") && !stderr.contains("panicked"), "{stderr}");
        assert!(!path.exists());
    }
    let help = heat(Path::new("none"), &["--help"]).output().unwrap();
    assert!(help.status.success() && help.stderr.is_empty());
    for option in ["--size", "--steps", "--dir", "--every", "--background"] {
        assert!(texts(&help).0.contains(option));
    }
}

#[test]
fn damaged_checkpoints_end_it_and_it_does_not_start_afresh() {
    let (_parent, path) = nowhere();
    sum(&path, &["--size", "9", "--steps", "20", "--every", "10"]);
    for generation in 1..=2 {
        fs::write(file_of(&path, generation), "PK").unwrap();
    }
    let output = heat(&path, &[]).output().unwrap();
    let (stdout, stderr) = texts(&output);
    assert_eq!((output.status.code(), stdout.as_str()), (Some(1), ""));
    assert!(stderr.contains("none of the generations"), "{stderr}");
}

#[test]
fn output_that_nobody_reads_ends_it_without_a_panic() {
    for options in [&["--size", "9", "--steps", "5"][..], &["--help"]] {
        let (_parent, path) = nowhere();
        let mut command = heat(&path, options);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = must_end(move || child.wait_with_output().unwrap());
        let stderr = texts(&output).1;
        assert!(!stderr.contains("panicked") && output.status.code() != Some(101), "{stderr}");
    }
}
