//! `ckpt`, as a user runs it, with URLs in the place of directories.

use std::path::Path;
use std::process::Command;

use checkpointed::{CheckpointReader, Checkpointer, Error, Metadata};
use serde_json::Value;

use crate::server::Server;
use crate::{generation, groups, home, load, store};

const URL: &str = "s3://bucket/run.ckpt";

type State = (u64, Vec<f64>);

fn state(number: u32) -> State {
    (number.into(), vec![f64::from(number); 1000])
}

/// Runs `ckpt`, and returns its exit code and what it wrote.
fn ckpt(server: &Server, arguments: &[&str]) -> (i32, String, String) {
    let output = Command::new(env!("CARGO_BIN_EXE_ckpt"))
        .args(arguments)
        .env("AWS_ENDPOINT_URL", server.url())
        .env("AWS_ALLOW_HTTP", "true")
        .envs([("AWS_ACCESS_KEY_ID", "a"), ("AWS_SECRET_ACCESS_KEY", "b"), ("AWS_REGION", "us-east-1")])
        .output()
        .unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    (output.status.code().unwrap(), text(output.stdout), text(output.stderr))
}

/// The answer of a command that succeeds.
#[track_caller]
fn answer(server: &Server, arguments: &[&str]) -> Value {
    let (code, out, err) = ckpt(server, &[&["--json"], arguments].concat());
    assert_eq!(code, 0, "{arguments:?}: {out}{err}");
    serde_json::from_str(&out).unwrap_or_else(|error| panic!("{arguments:?}: {error}: {out}"))
}

/// A place with the generations 1 to 3, and the program that saved them.
fn saved(server: &Server) -> Checkpointer<State> {
    let mut checkpoints = Checkpointer::builder_in(home(server)).keep_last(9).open().unwrap();
    for number in 1..=3 {
        let metadata = Metadata::new().with("loss", f64::from(number));
        checkpoints.save_with(&state(number), metadata).unwrap();
    }
    checkpoints
}

#[test]
fn a_url_stands_for_a_directory_wherever_one_is_read() {
    let server = Server::start();
    let _running = saved(&server);
    let listed = answer(&server, &["list", URL]);
    let numbers: Vec<&Value> =
        listed["generations"].as_array().unwrap().iter().map(|one| &one["generation"]).collect();
    assert_eq!(numbers, [1, 2, 3]);
    assert_eq!(listed["generations"][2]["metadata"]["loss"], 3.0);
    let path = listed["generations"][1]["path"].as_str().unwrap();
    assert_eq!(path, format!("s3://bucket/{}", generation(2, 1)));

    for (checkpoint, number) in [(URL, 3), ("s3://bucket/run.ckpt@1", 1), (path, 2)] {
        let shown = answer(&server, &["show", checkpoint, "0"]);
        assert_eq!(shown["generation"], number, "{checkpoint}");
        let exported = ckpt(&server, &["export", checkpoint, "0", "--to", "json"]);
        assert_eq!((exported.0, exported.1.trim()), (0, number.to_string().as_str()));
        assert_eq!(answer(&server, &["verify", checkpoint])["whole"], true);
    }
    let verified = answer(&server, &["verify", URL]);
    assert_eq!((&verified["restart"], verified["checkpoints"].as_array().unwrap().len()), (&3.into(), 3));

    let (code, out, _) = ckpt(&server, &["--json", "diff", URL, "--path", "0"]);
    let differences: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &differences["total"]), (1, &1.into()));
    assert_eq!(ckpt(&server, &["diff", URL, "s3://bucket/run.ckpt@3"]).0, 0);

    let (code, _, err) = ckpt(&server, &["show", "s3://bucket/run.ckpt@7"]);
    assert!(code == 3 && err.contains('7') && err.contains("from 1 to 3"), "{err}");
    let (code, _, err) = ckpt(&server, &["show", "s3://bucket/none.ckpt"]);
    assert!(code == 3 && err.contains("no checkpoint"), "{err}");
}

#[test]
fn damage_in_a_store_is_found() {
    let server = Server::start();
    drop(saved(&server));
    let mut bytes = server.object(&generation(3, 1)).unwrap();
    bytes[4000] ^= 1;
    server.insert(&generation(3, 1), bytes);
    let (code, out, _) = ckpt(&server, &["--json", "verify", URL]);
    let verified: Value = serde_json::from_str(&out).unwrap();
    assert_eq!((code, &verified["restart"]), (1, &2.into()), "{out}");
    assert_eq!(ckpt(&server, &["verify", "s3://bucket/run.ckpt@3"]).0, 1);
    assert_eq!(ckpt(&server, &["verify", "s3://bucket/run.ckpt@2"]).0, 0);
}

#[test]
fn pins_are_set_and_taken_away() {
    let server = Server::start();
    let mut running = saved(&server);
    let pin = format!("run.ckpt/{:020}.pin", 2);
    assert_eq!(answer(&server, &["pin", URL, "2"])["pinned"], true);
    assert!(server.object(&pin).is_some());
    let listed = answer(&server, &["list", URL]);
    assert_eq!(listed["generations"][1]["kept"][0], "pinned");
    assert_eq!(answer(&server, &["unpin", URL, "2"])["pinned"], false);
    assert!(server.object(&pin).is_none());
    assert_eq!(ckpt(&server, &["pin", URL, "9"]).0, 3);
    running.save(&state(4)).unwrap();
}

#[test]
fn removing_from_a_store_takes_the_place_over() {
    let server = Server::start();
    let mut running = saved(&server);
    let (code, _, err) = ckpt(&server, &["prune", URL, "--yes", "--keep-last", "1"]);
    assert!(code == 3 && err.contains("--take-over"), "{err}");
    let trial = answer(&server, &["prune", URL, "--keep-last", "1", "--dry-run"]);
    assert_eq!(trial["removed"].as_array().unwrap().len(), 2);
    running.save(&state(4)).unwrap();
    let (code, _, err) = ckpt(&server, &["prune", URL, "--yes", "--take-over"]);
    assert!(code == 3 && err.contains("must be given"), "{err}");
    running.save(&state(5)).unwrap();

    let pruned = answer(&server, &["prune", URL, "--yes", "--take-over", "--keep-last", "1"]);
    assert_eq!(pruned["removed"].as_array().unwrap().len(), 4);
    assert!(matches!(running.save(&state(6)).unwrap_err(), Error::TakenOver { .. }));
    // An error of a save says nothing about its outcome.
    assert!([Some(state(5)), Some(state(6))].contains(&load(&server)));
}

#[test]
fn a_copy_goes_to_a_store_and_back_and_on() {
    let server = Server::start();
    let running = saved(&server);
    running.pin(1).unwrap();
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("copy.ckpt");
    let path = directory.to_str().unwrap();
    let copied = answer(&server, &["copy", URL, path]);
    assert_eq!(copied["generations"], serde_json::json!([1, 2, 3]));
    let mut local = Checkpointer::<State>::builder(&directory).keep_last(2).open().unwrap();
    assert_eq!(local.load().unwrap(), Some(state(3)));
    local.save(&state(4)).unwrap();
    local.save(&state(5)).unwrap();
    drop(local);
    assert_eq!(generations(&directory), [1, 4, 5], "the pin was copied");

    for (from, to) in
        [(path, "s3://bucket/second.ckpt"), ("s3://bucket/second.ckpt", "s3://bucket/third.ckpt")]
    {
        assert_eq!(answer(&server, &["copy", from, to])["files"], 3, "{to}");
        let (code, _, err) = ckpt(&server, &["copy", from, to]);
        assert!(code == 3 && err.contains(to), "{err}");
    }
    let home = checkpointed_object_store::ObjectHome::new(store(&server, 5), "third.ckpt").unwrap();
    let mut checkpoints = Checkpointer::<State>::builder_in(home).open().unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(state(5)));
    assert_eq!(checkpoints.save(&state(6)).unwrap().generation, 6);
    checkpoints.save(&state(7)).unwrap();
    assert_eq!(checkpoints.generations().unwrap(), [1, 6, 7]);
    let (code, _, err) = ckpt(&server, &["copy", URL, path]);
    assert!(code == 3 && err.contains("copy.ckpt"), "{err}");
    let names: Vec<_> = std::fs::read_dir(parent.path()).unwrap().collect();
    assert_eq!(names.len(), 1, "nothing is left of a copy that failed");
}

#[test]
fn a_copy_takes_no_place_over_without_being_told() {
    let server = Server::start();
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("run.ckpt");
    let path = directory.to_str().unwrap();
    let mut local = Checkpointer::<State>::open(&directory).unwrap();
    // A place that was never opened stays so where there is nothing to copy.
    assert_eq!(answer(&server, &["copy", path, URL])["files"], 0);
    assert!(server.keys().is_empty());
    local.save(&state(1)).unwrap();

    let mut running = Checkpointer::<State>::builder_in(home(&server)).open().unwrap();
    let (code, _, err) = ckpt(&server, &["copy", path, URL]);
    assert!(code == 3 && err.contains("--take-over"), "{err}");
    running.save(&state(7)).unwrap();
    drop(running);

    let other = checkpointed_object_store::ObjectHome::new(store(&server, 5), "other.ckpt").unwrap();
    let mut running = Checkpointer::<State>::builder_in(other).open().unwrap();
    let url = "s3://bucket/other.ckpt";
    assert_eq!(answer(&server, &["copy", "--take-over", URL, url])["files"], 1);
    assert!(matches!(running.save(&state(8)).unwrap_err(), Error::TakenOver { .. }));
}

#[test]
fn the_checkpoints_of_a_group_are_shown_verified_and_pruned() {
    let server = Server::start();
    groups::job(&server, 3, 1..=2);
    let listed = answer(&server, &["list", URL]);
    let newest = &listed["generations"][1];
    let lengths = server.keys().into_iter().filter(|key| key.contains(&format!("{:020}-", 2)));
    let lengths: usize = lengths.map(|key| server.object(&key).unwrap().len()).sum();
    assert_eq!((&newest["generation"], &newest["bytes"]), (&2.into(), &lengths.into()));
    assert_eq!(answer(&server, &["show", URL])["processes"], 3);
    let path = answer(&server, &["show", URL, "--rank", "2"])["path"].as_str().unwrap().to_owned();
    assert_eq!(path, format!("s3://bucket/run.ckpt/ranks/000002/{:020}-000001.ckpt", 2));
    assert_eq!(ckpt(&server, &["show", URL, "--rank", "3"]).0, 3);
    let exported = ckpt(&server, &["export", "s3://bucket/run.ckpt@1", "--to", "json"]);
    let numbers: Value = serde_json::from_str(&exported.1).unwrap();
    assert_eq!((exported.0, numbers), (0, serde_json::json!([0, 1])), "{}", exported.2);
    assert!(exported.2.contains("ranks/000001"), "{}", exported.2);
    assert_eq!(answer(&server, &["verify", URL])["restart"], 2);

    let pruned = answer(&server, &["prune", URL, "--yes", "--take-over", "--keep-last", "1"]);
    assert_eq!(pruned["removed"].as_array().unwrap().len(), 1);
    let left: Vec<String> = server.keys().into_iter().filter(|key| key.ends_with(".ckpt")).collect();
    assert!(left.len() == 4 && left.iter().all(|key| key.contains(&format!("{:020}-", 2))), "{left:#?}");
    groups::job(&server, 3, 3..=3);

    let part = format!("run.ckpt/ranks/000001/{:020}-000001.ckpt", 2);
    let mut bytes = server.object(&part).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    server.insert(&part, bytes);
    let (code, out, _) = ckpt(&server, &["verify", "s3://bucket/run.ckpt@2"]);
    assert!(code == 1 && out.contains("rank 1"), "{out}");
}

#[test]
fn a_group_is_copied_with_its_parts() {
    let server = Server::start();
    groups::job(&server, 3, 1..=2);
    let parent = tempfile::tempdir().unwrap();
    let (directory, second) = (parent.path().join("copy.ckpt"), "s3://bucket/second.ckpt");
    let path = directory.to_str().unwrap();
    for (from, to) in [(URL, path), (path, second), (second, "s3://bucket/third.ckpt")] {
        let copied = answer(&server, &["copy", from, to]);
        assert_eq!(
            (&copied["generations"], &copied["files"]),
            (&serde_json::json!([1, 2]), &8.into()),
            "{to}"
        );
        assert_eq!(answer(&server, &["verify", to])["restart"], 2, "{to}");
    }
    let third = || checkpointed_object_store::ObjectHome::new(store(&server, 5), "third.ckpt").unwrap();
    groups::run(3, |member| {
        let mut group = Checkpointer::<Vec<u64>>::builder_in(third()).open_group(member).unwrap();
        let rank = group.rank() as u64;
        assert_eq!(group.load().unwrap(), Some(vec![rank, 2]));
        assert_eq!(group.save(&vec![rank, 3]).unwrap().generation, 3);
        assert_eq!(group.load_generation(2).unwrap(), [rank, 2]);
    });
    groups::run(3, |member| {
        let mut group = Checkpointer::<Vec<u64>>::builder(&directory).open_group(member).unwrap();
        let rank = group.rank() as u64;
        assert_eq!(group.load().unwrap(), Some(vec![rank, 2]));
    });
    // The marks of the parts came along: lost tables are no first start.
    for key in server.keys() {
        if key.starts_with("third.ckpt/") && !key.contains("/ranks/") {
            server.remove(&key);
        }
    }
    for error in groups::run(3, |member| {
        Checkpointer::<Vec<u64>>::builder_in(third()).open_group(member).map(drop).unwrap_err()
    }) {
        assert!(matches!(error, Error::TablesLost { .. }), "{error}");
    }
}

fn generations(directory: &Path) -> Vec<u64> {
    CheckpointReader::<State>::open(directory).unwrap().generations().unwrap()
}

#[test]
fn a_command_that_needs_a_directory_says_so() {
    let server = Server::start();
    let commands: [&[&str]; 6] = [
        &["halt", URL],
        &["requeue", URL],
        &["report", URL],
        &["watch", URL],
        &["steps", URL],
        &["redo", URL, "fit"],
    ];
    for command in commands {
        let (code, _, err) = ckpt(&server, command);
        assert!(code == 3 && err.contains("needs a directory") && err.contains(URL), "{command:?}: {err}");
    }
    assert!(server.requests().is_empty());
    let (code, _, err) = ckpt(&server, &["list", "ftp://host/run.ckpt"]);
    assert!(code == 3 && err.contains("scheme"), "{err}");
}

#[test]
fn a_tool_without_a_format_says_how_to_get_it() {
    let server = Server::start();
    let parent = tempfile::tempdir().unwrap();
    for name in ["a.npz", "a.safetensors"] {
        let (file, path) = (parent.path().join(name), parent.path().join("run.ckpt"));
        std::fs::write(&file, b"PK").unwrap();
        let (code, _, err) = ckpt(&server, &["import", file.to_str().unwrap(), path.to_str().unwrap()]);
        assert!(code == 3 && err.contains("--features import") && !path.exists(), "{code}: {err}");
    }
}
