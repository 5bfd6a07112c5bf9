//! Tests that `ckpt verify` looks at all that it calls whole.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use checkpointed::{Checkpointer, Error, Key, Pipeline, Protection};
use serde_json::Value;

fn ckpt(arguments: &[&str], directory: &Path) -> (i32, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ckpt")).args(arguments).arg(directory).output().unwrap();
    let text = [output.stdout, output.stderr].concat();
    (output.status.code().unwrap(), String::from_utf8(text).unwrap())
}

/// A pipeline of two steps, of which one keeps a copy of the file that it produced.
fn pipeline(protection: &Protection) -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let (path, plot) = (parent.path().join("test.pipeline"), parent.path().join("plot.svg"));
    let pipeline = Pipeline::builder(&path).protection(protection.clone()).open().unwrap();
    let load = pipeline.step("load").run(|_| Ok::<_, Error>(vec![1_u64, 2])).unwrap();
    let plotted = pipeline.step("plot it").input(&load).produces(&plot).keep_produced(true);
    plotted.run(|_| fs::write(&plot, "1")).unwrap();
    pipeline.finish().unwrap();
    (parent, path)
}

/// Changes a byte in the middle of each file of a folder, and returns how many there are.
fn damage(folder: &Path, ends: &str) -> usize {
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let files: Vec<PathBuf> = files.filter(|file| file.to_str().unwrap().ends_with(ends)).collect();
    for file in &files {
        let mut bytes = fs::read(file).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
        fs::write(file, bytes).unwrap();
    }
    files.len()
}

#[test]
fn verify_reads_the_outputs_of_all_steps_of_a_pipeline() {
    let (_parent, path) = pipeline(&Protection::new());
    let (code, said) = ckpt(&["verify"], &path);
    assert!(code == 0 && said.contains("steps/load/") && said.contains("steps/plot%20it/"), "{said}");
    assert!(!said.contains("begins anew"), "{said}");
    for (folder, ends) in [("steps/plot%20it", ".ckpt"), ("files", ".ckpt"), ("produced/plot%20it", "")] {
        let (_parent, path) = pipeline(&Protection::new());
        // The hashes of files are kept once these are old enough.
        Checkpointer::<u64>::open(path.join("files")).unwrap().save(&1).unwrap();
        assert!(damage(&path.join(folder), ends) > 0, "{folder}");
        let (code, said) = ckpt(&["verify"], &path);
        assert!(code == 1 && said.contains(folder) && said.contains("damaged"), "{folder}: {said}");
        let (_, said) = ckpt(&["--json", "verify"], &path);
        let answer: Value = serde_json::from_str(&said).unwrap();
        assert_eq!(answer["whole"], false, "{folder}");
    }
}

fn allow_only_the_owner(file: &Path) {
    #[cfg(unix)]
    fs::set_permissions(file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    #[cfg(not(unix))]
    let _ = file;
}

#[test]
fn verify_opens_each_step_with_its_own_tags() {
    let key = Key::from_bytes([7; 32]);
    let (parent, path) = pipeline(&Protection::new().authenticate(key));
    let file = parent.path().join("key");
    fs::write(&file, "07".repeat(32)).unwrap();
    allow_only_the_owner(&file);
    let (code, said) = ckpt(&["verify", "--key-file", file.to_str().unwrap()], &path);
    assert_eq!(code, 0, "{said}");
    let (code, said) = ckpt(&["verify", "--key-file", file.to_str().unwrap()], &path.join("steps/load"));
    assert_eq!(code, 0, "{said}");
}

#[test]
fn a_directory_with_nothing_but_what_was_set_aside_is_told() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    checkpoints.save(&1).unwrap();
    drop(checkpoints);
    let name = "00000000000000000001.ckpt";
    fs::rename(path.join(name), path.join(format!("{name}.rewound-0"))).unwrap();
    let (code, said) = ckpt(&["verify"], &path);
    assert!(code == 3 && said.contains("rewind"), "{said}");
}

#[test]
fn a_group_whose_tables_are_lost_is_told() {
    use checkpointed::group::Threads;

    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    std::thread::scope(|scope| {
        for group in Threads::new(2) {
            let path = &path;
            scope.spawn(move || {
                let mut checkpoints = Checkpointer::<u64>::builder(path).open_group(&group).unwrap();
                checkpoints.save(&1).unwrap();
            });
        }
    });
    fs::remove_file(path.join("00000000000000000001.ckpt")).unwrap();
    let (code, said) = ckpt(&["verify"], &path);
    assert!(code == 3 && said.contains("no checkpoint of the group"), "{said}");
}
