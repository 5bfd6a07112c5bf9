//! Tests `ckpt mirror`: it copies what is missing, goes on, verifies, and removes nothing unasked.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use checkpointed::{CheckpointReader, Checkpointer, Mirror};
use serde_json::Value;

/// The exit code, the output, and the messages.
fn mirror(from: &Path, to: &Path, more: &[&str]) -> (i32, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt"));
    let output = command.arg("mirror").args([from, to]).args(more).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn json(from: &Path, to: &Path, more: &[&str]) -> Value {
    let (code, out, err) = mirror(from, to, &[&["--json"], more].concat());
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

fn places() -> (tempfile::TempDir, PathBuf, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let (near, far) = (parent.path().join("near.ckpt"), parent.path().join("far.ckpt"));
    (parent, near, far)
}

fn generations(path: &Path) -> Vec<u64> {
    CheckpointReader::<u64>::open(path).unwrap().generations().unwrap()
}

#[test]
fn a_mirror_by_hand_goes_on_beside_a_running_program() {
    let (_parent, near, far) = places();
    let mut running = Checkpointer::<u64>::open(&near).unwrap();
    running.save(&1).unwrap();
    running.save(&2).unwrap();
    assert_eq!(json(&near, &far, &[])["copied"], serde_json::json!([2, 1]));
    assert_eq!(json(&near, &far, &[])["copied"], serde_json::json!([]));
    // By now the two have nothing in common, and it is known nevertheless.
    for state in 3..=9 {
        running.save(&state).unwrap();
    }
    let (code, out, _) = mirror(&near, &far, &["--at-most", "100"]);
    assert_eq!(code, 0);
    for line in ["copied to", "9, 8", "verified 4 checkpoints", "takes generation 9"] {
        assert!(out.contains(line), "{line} in {out}");
    }
    assert_eq!(generations(&far), [1, 2, 8, 9]);
    mirror(&near, &far, &["--keep-last", "1"]);
    assert_eq!(generations(&far), [9]);
    // The program itself goes on with it.
    drop(running);
    let mirror = Mirror::to(&far);
    let mut running = Checkpointer::<u64>::builder(&near).mirror(mirror).open().unwrap();
    assert_eq!(running.load().unwrap(), Some(9));
    assert_eq!(running.finish(&10).unwrap().mirrored, Some(10));
}

#[test]
fn a_damaged_mirror_is_healed_or_code_1_is_returned() {
    let (_parent, near, far) = places();
    let mut running = Checkpointer::<u64>::open(&near).unwrap();
    for state in 1..=2 {
        running.save(&state).unwrap();
    }
    json(&near, &far, &[]);
    let file = |path: &Path, generation: u64| path.join(format!("{generation:020}.ckpt"));
    fs::write(file(&far, 1), "damage").unwrap();
    assert_eq!(json(&near, &far, &["--no-verify"])["verified"], 0);
    let answer = json(&near, &far, &[]);
    assert_eq!((&answer["healed"], &answer["verified"]), (&serde_json::json!([1]), &2.into()));
    assert!(fs::read(file(&near, 1)).unwrap() == fs::read(file(&far, 1)).unwrap());
    fs::write(file(&far, 1), "damage").unwrap();
    fs::write(file(&near, 1), "damage").unwrap();
    let (code, out, _) = mirror(&near, &far, &[]);
    assert_eq!(code, 1);
    assert!(out.contains("with no whole copy: 1"), "{out}");
}

#[test]
fn the_place_of_another_run_or_a_group_is_refused() {
    let (parent, near, far) = places();
    Checkpointer::<u64>::open(&near).unwrap().save(&1).unwrap();
    Checkpointer::<u64>::open(&far).unwrap().save(&2).unwrap();
    let (code, _, err) = mirror(&near, &far, &[]);
    assert!(code == 3 && err.contains("each have checkpoints"), "{code} {err}");
    assert_eq!(CheckpointReader::<u64>::open(&far).unwrap().load().unwrap(), Some(2));
    fs::create_dir(near.join("ranks")).unwrap();
    let (code, _, err) = mirror(&near, &parent.path().join("new.ckpt"), &[]);
    assert!(code == 3 && err.contains("a group or a pipeline"), "{code} {err}");
    let (code, _, _) = mirror(&parent.path().join("no.ckpt"), &parent.path().join("new.ckpt"), &[]);
    assert_eq!(code, 3);
    assert!(!parent.path().join("new.ckpt").exists());
}
