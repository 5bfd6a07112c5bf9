//! Tests the files that `ckpt export` writes: their permissions, and a reader that goes away.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use checkpointed::Checkpointer;

fn saved() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    // More than a pipe holds.
    Checkpointer::<Vec<f64>>::open(&path).unwrap().save(&vec![0.5; 1 << 18]).unwrap();
    (parent, path)
}

#[cfg(unix)]
#[test]
fn an_exported_file_has_the_permissions_of_any_new_file() {
    use std::os::unix::fs::PermissionsExt;
    let (parent, path) = saved();
    let mode = |file: &Path| fs::metadata(file).unwrap().permissions().mode() & 0o777;
    let export = |file: &Path, umask: &str| {
        let command = format!("umask {umask} && exec \"$0\" export \"$1\" --to json --force --output \"$2\"");
        let mut shell = Command::new("sh");
        shell.args(["-c", &command, env!("CARGO_BIN_EXE_ckpt")]).arg(&path).arg(file);
        let output = shell.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    for (umask, expected) in [("022", 0o644), ("027", 0o640), ("077", 0o600)] {
        let file = parent.path().join(umask);
        export(&file, umask);
        assert_eq!(mode(&file), expected, "{umask}");
    }
    // One that is replaced keeps its own.
    let file = parent.path().join("022");
    fs::set_permissions(&file, PermissionsExt::from_mode(0o604)).unwrap();
    export(&file, "077");
    assert_eq!(mode(&file), 0o604);
}

#[test]
fn a_reader_of_an_export_that_has_seen_enough_is_no_failure() {
    let (_parent, path) = saved();
    for form in ["json", "npy", "npz", "safetensors"] {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt"));
        command.arg("export").arg(&path).args(["--to", form]);
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && err.is_empty(), "{form}: {} {err}", output.status);
    }
}
