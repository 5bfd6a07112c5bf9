//! Tests the commands that make a directory of another: what they refuse, and what they leave.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use checkpointed::{CheckpointReader, Checkpointer};

fn ckpt(arguments: &[&dyn AsRef<std::ffi::OsStr>]) -> (i32, String) {
    said(&Command::new(env!("CARGO_BIN_EXE_ckpt")).args(arguments).output().unwrap())
}

fn said(output: &Output) -> (i32, String) {
    let text = [&output.stdout[..], &output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8_lossy(&text).into_owned())
}

fn saved() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    Checkpointer::<u64>::open(&path).unwrap().save(&7).unwrap();
    (parent, path)
}

#[cfg(unix)]
#[test]
fn an_archive_that_may_not_be_written_is_copied() {
    use std::os::unix::fs::PermissionsExt;
    let (parent, path) = saved();
    let allow = |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    let archive = path.join("00000000000000000001.ckpt");
    allow(parent.path(), 0o777);
    for file in fs::read_dir(&path).unwrap() {
        allow(&file.unwrap().path(), 0o444);
    }
    allow(&archive, 0o444);
    allow(&path, 0o555);
    let (copy, branch) = (parent.path().join("copy.ckpt"), parent.path().join("branch.ckpt"));
    for (command, generation, to) in [("copy", None, &copy), ("branch", Some("1"), &branch)] {
        let mut made = Command::new("setpriv");
        made.args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_ckpt")]);
        made.arg(command).arg(&path).args(generation).arg(to);
        let Some(output) = made.output().ok().filter(|output| output.status.code() != Some(127)) else {
            eprintln!("skipped: this user cannot become another");
            return;
        };
        let (code, text) = said(&output);
        assert_eq!(code, 0, "{command}: {text}");
        assert_eq!(CheckpointReader::<u64>::open(to).unwrap().load().unwrap(), Some(7));
        let mode = fs::metadata(to).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o555, "{command}: the copy has the permissions of the archive");
    }
    allow(&path, 0o755);
}

#[test]
fn what_a_killed_copy_left_goes_with_the_next_one() {
    let (parent, path) = saved();
    // Only a process that has died left this one.
    let left = parent.path().join(".checkpoint-0123456789abcdef.tmp");
    fs::create_dir(&left).unwrap();
    fs::write(left.join("00000000000000000001.ckpt"), "half").unwrap();
    fs::write(left.join(".lock"), "locked").unwrap();
    let theirs = parent.path().join(".checkpoint-0123456789abcdeg.tmp.txt");
    fs::create_dir(&theirs).unwrap();
    let (code, text) = ckpt(&[&"copy", &path, &parent.path().join("copy.ckpt")]);
    assert_eq!(code, 0, "{text}");
    assert!(!left.exists() && theirs.exists());
}

#[test]
fn unpin_of_a_place_without_that_generation_is_an_error() {
    let (parent, path) = saved();
    let wrong = parent.path().join("wrong.ckpt");
    let (code, text) = ckpt(&[&"unpin", &wrong, &"5"]);
    assert!(code == 3 && text.contains("wrong.ckpt"), "{text}");
    assert!(!wrong.exists());
    fs::create_dir(&wrong).unwrap();
    let (code, text) = ckpt(&[&"unpin", &wrong, &"5"]);
    assert!(code == 3 && text.contains("no generation 5"), "{text}");
    // A pin of a generation that is gone can still be taken away.
    assert_eq!(ckpt(&[&"pin", &path, &"1"]).0, 0);
    fs::remove_file(path.join("00000000000000000001.ckpt")).unwrap();
    assert_eq!(ckpt(&[&"unpin", &path, &"1"]).0, 0);
}

#[cfg(target_os = "linux")]
#[test]
fn a_path_that_json_cannot_hold_is_refused_before_the_work() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let (parent, path) = saved();
    let to = parent.path().join(OsStr::from_bytes(b"copy-\xff.ckpt"));
    let values = parent.path().join("values.json");
    fs::write(&values, "{\"step\": 1}").unwrap();
    let commands: [&[&dyn AsRef<OsStr>]; 4] = [
        &[&"--json", &"copy", &path, &to],
        &[&"--json", &"branch", &path, &"1", &to],
        &[&"--json", &"import", &values, &to],
        &[&"--json", &"mirror", &path, &to],
    ];
    for command in commands {
        let (code, text) = ckpt(command);
        assert!(code == 3 && text.contains("UTF-8"), "{code} {text}");
        assert!(!to.exists(), "{text}");
    }
    let file = parent.path().join(OsStr::from_bytes(b"values-\xff.json"));
    let (code, text) = ckpt(&[&"--json", &"export", &path, &"--to", &"json", &"--output", &file]);
    assert!(code == 3 && text.contains("UTF-8") && !file.exists(), "{code} {text}");
    assert_eq!(ckpt(&[&"copy", &path, &to]).0, 0);
}
