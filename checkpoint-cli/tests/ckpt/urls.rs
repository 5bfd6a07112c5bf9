//! A `ckpt` without object stores refuses their URLs, and says how to get one that has them.

use std::process::Command;

#[test]
fn a_url_is_refused_with_the_way_to_a_ckpt_that_takes_it() {
    let commands: [&[&str]; 8] = [
        &["list", "s3://bucket/run.ckpt"],
        &["show", "gs://bucket/run.ckpt@42"],
        &["verify", "az://container/run.ckpt"],
        &["diff", "s3://bucket/run.ckpt"],
        &["export", "s3://bucket/run.ckpt", "--to", "json"],
        &["pin", "s3://bucket/run.ckpt", "1"],
        &["prune", "s3://bucket/run.ckpt", "--keep-last", "1"],
        &["copy", "s3://bucket/run.ckpt", "copy.ckpt"],
    ];
    let directory = tempfile::tempdir().unwrap();
    for command in commands {
        let ckpt = Command::new(env!("CARGO_BIN_EXE_ckpt")).args(command).current_dir(&directory).output();
        let output = ckpt.unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{command:?}: {message}");
        assert!(message.contains("cargo install --path checkpoint-object-store --features cli"), "{message}");
    }
    // These make a directory, or write in one: none of them has another place.
    std::fs::write(directory.path().join("values.json"), "{\"step\": 1}").unwrap();
    let commands: [&[&str]; 8] = [
        &["import", "values.json", "s3://bucket/run.ckpt"],
        &["branch", "s3://bucket/run.ckpt", "1", "branch.ckpt"],
        &["branch", "run.ckpt", "1", "s3://bucket/run.ckpt"],
        &["mirror", "s3://bucket/run.ckpt", "mirror.ckpt"],
        &["mirror", "run.ckpt", "s3://bucket/run.ckpt"],
        &["rewind", "s3://bucket/run.ckpt", "1"],
        &["export", "run.ckpt", "--to", "json", "--output", "s3://bucket/run.json"],
        &["report", "run.ckpt", "--output", "s3://bucket/run.html"],
    ];
    for command in commands {
        let ckpt = Command::new(env!("CARGO_BIN_EXE_ckpt")).args(command).current_dir(&directory).output();
        let output = ckpt.unwrap();
        let message = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(3), "{command:?}: {message}");
        assert!(message.contains("is in an object store"), "{command:?}: {message}");
    }
    std::fs::remove_file(directory.path().join("values.json")).unwrap();
    assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 0, "no directory of that name is made");
}
