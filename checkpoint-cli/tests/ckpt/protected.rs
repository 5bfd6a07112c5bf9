//! Checkpoints with tags, and encrypted ones.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use checkpointed::{Checkpointer, Error, Key, Pipeline, Protection};
use serde_json::Value;

fn ckpt(arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ckpt")).args(arguments).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// A directory of two generations.
fn saved(parent: &Path, protection: Protection) -> PathBuf {
    let path = parent.join("run.ckpt");
    let mut checkpoints = Checkpointer::<Vec<u64>>::builder(&path).protection(protection).open().unwrap();
    checkpoints.save(&vec![1; 9]).unwrap();
    checkpoints.save(&vec![2; 9]).unwrap();
    path
}

fn key_file(parent: &Path, byte: u8) -> PathBuf {
    let path = parent.join(format!("key{byte}"));
    fs::write(&path, format!("{byte:02x}").repeat(32)).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    path
}

#[test]
fn with_a_key_only_checkpoints_with_its_tags_are_whole() {
    let parent = tempfile::tempdir().unwrap();
    let path = saved(parent.path(), Protection::new().authenticate(Key::from_bytes([7; 32])));
    // An attacker adds one.
    Checkpointer::<Vec<u64>>::open(&path).unwrap().save(&vec![3; 9]).unwrap();
    let (right, wrong) = (key_file(parent.path(), 7), key_file(parent.path(), 8));
    assert_eq!(ckpt(&["verify", text(&path)]).0, 0, "without a key, tags do not count");
    let (code, out, err) = ckpt(&["--json", "verify", text(&path), "--key-file", text(&right)]);
    assert_eq!(code, 4, "{err}");
    let verified: Value = serde_json::from_str(&out).unwrap();
    let problem = |number: usize| &verified["checkpoints"][number]["problem"];
    assert_eq!(problem(0), &Value::Null);
    assert!(problem(1).as_str().unwrap().contains("tag"), "{out}");
    assert_eq!(verified["restart"], Value::Null, "as a load with this key, which is refused");
    let older = format!("{}@2", text(&path));
    assert_eq!(ckpt(&["show", &older, "--key-file", text(&right)]).0, 0);
    let (code, _, err) = ckpt(&["show", &older, "--key-file", text(&wrong)]);
    assert_eq!(code, 3);
    assert!(err.contains("tag"), "{err}");
    assert_eq!(ckpt(&["show", &older, "--key-file", text(&wrong), "--key-file", text(&right)]).0, 0);
}

#[test]
fn the_steps_of_a_tagged_pipeline_are_seen_with_its_key() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("test.pipeline");
    let protection = Protection::new().authenticate(Key::from_bytes([7; 32]));
    let pipeline = Pipeline::builder(&path).protection(protection).open().unwrap();
    for step in ["one", "two"] {
        pipeline.step(step).run(|_| Ok::<u64, Error>(1)).unwrap();
    }
    drop(pipeline);
    let (right, wrong) = (key_file(parent.path(), 7), key_file(parent.path(), 8));
    let one = path.join("steps/one");
    for arguments in [["steps", text(&path)], ["verify", text(&one)], ["show", text(&one)]] {
        let with = |key| ckpt(&[&arguments[..], &["--key-file", text(key)]].concat());
        assert_eq!(with(&right).0, 0, "{arguments:?}: {}", with(&right).2);
        assert_ne!(with(&wrong).0, 0, "{arguments:?}");
    }
    let name = "00000000000000000001.ckpt";
    fs::copy(path.join("steps/two").join(name), one.join(name)).unwrap();
    for arguments in [["steps", text(&path)], ["verify", text(&one)]] {
        let (code, _, err) = ckpt(&[&arguments[..], &["--key-file", text(&right)]].concat());
        assert_ne!(code, 0, "{arguments:?}: {err}");
    }
    assert_eq!(ckpt(&["redo", text(&path), "one"]).0, 0, "to ask for a step takes no key");
}

#[test]
fn an_encrypted_checkpoint_says_what_it_needs() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    fs::create_dir(&path).unwrap();
    fs::write(path.join("00000000000000000001.ckpt"), "age-encryption.org/v1\nmore").unwrap();
    let (code, out, _) = ckpt(&["list", text(&path)]);
    assert_eq!(code, 0);
    assert!(out.contains("encrypted"), "{out}");
    let (code, out, _) = ckpt(&["verify", text(&path)]);
    assert!(code == 4 && out.contains("encrypted") && out.contains("a restart is refused"), "{out}");
}

#[test]
fn an_encrypted_checkpoint_is_read_with_its_identity() {
    // Made by age-keygen for this test.
    const IDENTITY: &str = "AGE-SECRET-KEY-132ZXSM8PAALMCUTTPJ36A5VXPA2QGTT28H5W2M5DZQW2D75LMLXS699JHD";
    let parent = tempfile::tempdir().unwrap();
    let identity = parent.path().join("identity.txt");
    fs::write(&identity, format!("# a comment, as age-keygen writes it\n{IDENTITY}\n")).unwrap();
    #[cfg(unix)]
    fs::set_permissions(&identity, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let protection = Protection::new().decrypt_with(IDENTITY).unwrap();
    let path = saved(parent.path(), protection);
    let with = |arguments: &[&str]| {
        let (code, out, err) = ckpt(&[arguments, &["--identity", text(&identity)]].concat());
        assert!(code <= 1, "{err}");
        out
    };
    assert!(with(&["show", text(&path)]).contains("[2, 2, 2"));
    assert!(with(&["diff", text(&path)]).contains("9 of 9 elements differ"));
    assert!(with(&["verify", text(&path)]).contains("a restart takes generation 2"));
    assert!(!with(&["list", text(&path)]).contains("encrypted"));
    assert!(with(&["export", text(&path), "--to", "json"]).contains("[2,2,2"));
    assert!(with(&["report", text(&path), "--json"]).contains("\"created\""));
    assert!(with(&["prune", text(&path), "--dry-run", "--keep-last", "1"]).contains("1 would go"));
}
