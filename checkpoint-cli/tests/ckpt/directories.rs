//! Tests the view that `ckpt` gives of directories, and its changes to them.

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use checkpointed::{CheckpointReader, Checkpointer, Error, Metadata, Metric, Pipeline, Scopes, inspect};
use serde_json::Value;

/// The output of the tool, and its exit code.
struct Said {
    code: i32,
    out: String,
    err: String,
}

fn ckpt(arguments: &[&str], directory: &Path) -> Said {
    let output = Command::new(env!("CARGO_BIN_EXE_ckpt")).args(arguments).arg(directory).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn ckpt_with(command: &str, directory: &Path, more: &[&str]) -> Said {
    let output =
        Command::new(env!("CARGO_BIN_EXE_ckpt")).arg(command).arg(directory).args(more).output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Said { code: output.status.code().unwrap(), out: text(output.stdout), err: text(output.stderr) }
}

fn json(command: &str, directory: &Path) -> Value {
    let Said { code, out, err } = ckpt(&["--json", command], directory);
    assert_eq!(code, 0, "{err}");
    serde_json::from_str(&out).unwrap()
}

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    (parent, path)
}

fn open(path: &Path) -> Checkpointer<u64> {
    Checkpointer::builder(path).keep_best(Metric::lowest("loss"), 1).open().unwrap()
}

/// Four generations: the first is the best, and the second is removed.
fn saved(path: &Path) {
    let mut checkpoints = open(path);
    for (state, loss) in [(1, 0.1), (2, 0.9), (3, 0.8), (4, 0.7)] {
        checkpoints.save_with(&state, Metadata::new().with("loss", loss)).unwrap();
    }
}

#[test]
fn list_says_what_there_is_and_why_it_is_kept() {
    let (_parent, path) = nowhere();
    saved(&path);
    let listing = json("list", &path);
    let generations = listing["generations"].as_array().unwrap();
    let kept: Vec<(u64, String)> = generations
        .iter()
        .map(|generation| (generation["generation"].as_u64().unwrap(), generation["kept"].to_string()))
        .collect();
    let expected = [(1, "[\"lowest loss\"]"), (3, "[\"newest\"]"), (4, "[\"newest\"]")];
    assert_eq!(kept, expected.map(|(number, why)| (number, why.to_owned())));
    assert_eq!(generations[0]["metadata"]["loss"], 0.1);
    assert!(generations[0]["stall"].as_f64().unwrap() > 0.0);
    assert_eq!(
        generations[0]["bytes"].as_u64().unwrap(),
        fs::metadata(path.join("00000000000000000001.ckpt")).unwrap().len()
    );
    assert_eq!(listing["running"], Value::Null);
    assert_eq!(listing["keeps"], "the last 2, 1 with the lowest loss");

    let Said { code, out, .. } = ckpt(&["list"], &path);
    assert_eq!(code, 0);
    assert!(out.contains("lowest loss") && out.contains("loss 0.1"), "{out}");
    assert!(!out.contains('\u{1b}'), "no colour where there is no terminal: {out:?}");
}

#[test]
fn list_says_who_saves_there_and_lets_them() {
    let (_parent, path) = nowhere();
    let mut checkpoints = open(&path);
    checkpoints.save(&1).unwrap();
    let running = json("list", &path)["running"].to_string();
    assert!(running.contains(&format!("process {}", std::process::id())), "{running}");
    checkpoints.save(&2).unwrap();
}

#[test]
fn to_look_who_saves_never_keeps_a_program_from_starting() {
    let (_parent, path) = nowhere();
    saved(&path);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| (0..300).for_each(|_| drop(inspect::holder(&path).unwrap())));
        }
        for _ in 0..100 {
            drop(open(&path));
        }
    });
}

#[test]
fn list_shows_damage_and_what_a_killed_program_left() {
    let (_parent, path) = nowhere();
    saved(&path);
    let newest = path.join("00000000000000000004.ckpt");
    let file = fs::read(&newest).unwrap();
    fs::write(&newest, &file[..file.len() - 1]).unwrap();
    fs::write(path.join(".checkpoint-0123456789abcdef.tmp"), "half").unwrap();
    fs::write(path.join("00000000000000000009.ckpt"), "not \u{1b}[31mours").unwrap();
    let listing = json("list", &path);
    let problems: Vec<bool> =
        listing["generations"].as_array().unwrap().iter().map(|row| row["problem"].is_string()).collect();
    assert_eq!(problems, [false, false, true, true]);
    assert_eq!((&listing["temporaries"], &listing["temporary_bytes"]), (&1.into(), &4.into()));
    assert!(ckpt(&["list"], &path).out.contains("to be removed by the next start"));
}

#[test]
fn a_directory_that_is_not_there_is_told_and_code_3() {
    let (_parent, path) = nowhere();
    for command in ["list", "steps"] {
        let Said { code, err, .. } = ckpt(&[command], &path);
        assert_eq!(code, 3);
        assert!(err.contains("run.ckpt"), "{err}");
    }
    assert!(!path.exists(), "nothing was made");
    let Said { code, .. } = ckpt(&["no-such-command"], &path);
    assert_eq!(code, 2);
}

#[test]
fn a_pinned_generation_stays_until_it_is_unpinned() {
    let (_parent, path) = nowhere();
    saved(&path);
    assert_eq!(ckpt_with("pin", &path, &["3"]).code, 0);
    let mut checkpoints = open(&path);
    for state in 5..9 {
        checkpoints.save(&state).unwrap();
    }
    assert_eq!(checkpoints.generations().unwrap(), [1, 3, 7, 8]);
    assert_eq!(ckpt_with("unpin", &path, &["3"]).code, 0);
    checkpoints.save(&9).unwrap();
    assert_eq!(checkpoints.generations().unwrap(), [1, 8, 9]);
    let Said { code, err, .. } = ckpt_with("pin", &path, &["3"]);
    assert_eq!(code, 3);
    assert!(err.contains("no generation 3"), "{err}");
}

#[test]
fn scopes_and_pipelines_are_known_as_such() {
    let (_parent, path) = nowhere();
    let mut scopes = Scopes::open(&path).unwrap();
    scopes.enter::<u64>("outer").unwrap().save(&1).unwrap();
    assert_eq!(json("list", &path)["kind"], "scopes");
    let (_parent, path) = nowhere();
    pipeline(&path, 1);
    let Said { out, .. } = ckpt(&["list"], &path);
    assert!(out.contains("ckpt steps"), "{out}");
}

fn pipeline(path: &Path, factor: u64) -> Vec<String> {
    let pipeline = Pipeline::open(path).unwrap();
    let load = pipeline.step("load").run(|_| Ok::<_, Error>(vec![1_u64, 2])).unwrap();
    let scale = pipeline.step("scale it").param("factor", &factor).input(&load);
    scale
        .run(|_| Ok::<_, Error>(load.load()?.iter().map(|number| number * factor).collect::<Vec<u64>>()))
        .unwrap();
    let reports = pipeline.finish().unwrap();
    reports
        .iter()
        .filter(|report| report.to_string().contains("ran"))
        .map(|report| report.step.clone())
        .collect()
}

#[test]
fn steps_are_shown_and_one_is_done_again_once_when_asked_for() {
    let (_parent, path) = nowhere();
    assert_eq!(pipeline(&path, 3), ["load", "scale it"]);
    let steps = json("steps", &path);
    assert_eq!(steps["steps"][1]["step"], "scale it");
    assert_eq!(steps["steps"][1]["state"], "done");
    assert_eq!(steps["steps"][1]["versions"][0]["parameters"]["factor"], "3");

    assert_eq!(ckpt_with("redo", &path, &["scale it"]).code, 0);
    assert_eq!(json("steps", &path)["steps"][1]["state"], "to be run again");
    assert_eq!(pipeline(&path, 3), ["scale it"]);
    assert_eq!(json("steps", &path)["steps"][1]["state"], "done");
    assert!(pipeline(&path, 3).is_empty(), "it was asked for once");

    ckpt_with("redo", &path, &["load"]);
    assert_eq!(ckpt_with("redo", &path, &["load", "--undo"]).code, 0);
    assert!(pipeline(&path, 3).is_empty());
    ckpt_with("redo", &path, &["load"]);
    assert_eq!(pipeline(&path, 3), ["load", "scale it"], "and all that depend on it");

    let Said { code, err, .. } = ckpt_with("redo", &path, &["fit"]);
    assert_eq!(code, 3);
    assert!(err.contains("load, scale it"), "{err}");
}

#[test]
fn a_step_whose_input_became_another_is_known_to_be_run_again() {
    let (_parent, path) = nowhere();
    pipeline(&path, 1);
    let pipeline = Pipeline::open(&path).unwrap();
    pipeline.step("load").version(2).run(|_| Ok::<_, Error>(vec![5_u64])).unwrap();
    drop(pipeline);
    let steps = json("steps", &path);
    let scale = steps["steps"].as_array().unwrap().iter().find(|step| step["step"] == "scale it").unwrap();
    assert_eq!(scale["state"], "to be run again");
    assert_eq!(scale["why"][0], "the output of load is another one now");
}

#[test]
fn halt_asks_and_waits_until_the_program_has_ended() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::builder(&path).open().unwrap();
    let asked = std::thread::scope(|scope| {
        let asked = scope.spawn(|| ckpt_with("halt", &path, &["for the weekend", "--wait"]));
        let mut step = 0;
        while checkpoints.should_stop().is_none() {
            step += 1;
            checkpoints.save_if_due(&step).unwrap();
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        let finished = checkpoints.finish(&step).unwrap();
        assert!(finished.stopped.unwrap().to_string().contains("for the weekend"));
        asked.join().unwrap()
    });
    assert_eq!(asked.code, 0, "{}", asked.err);
    assert!(asked.out.contains("saved and stopped"), "{}", asked.out);
}

#[test]
fn steps_shows_what_is_read_and_produced() {
    let (parent, path) = nowhere();
    let plot = parent.path().join("plot.svg");
    let pipeline = Pipeline::open(&path).unwrap();
    pipeline.step("plot").produces(&plot).run(|_| fs::write(&plot, "1")).unwrap();
    drop(pipeline);
    let said = ckpt_with("steps", &path, &["--all"]);
    assert!(said.out.contains("  produces plot.svg\n"), "{}", said.out);
    fs::remove_file(&plot).unwrap();
    let said = ckpt_with("steps", &path, &[]);
    assert!(said.out.contains("plot.svg, which it produced, is not there"), "{}", said.out);
}

#[test]
fn halt_stops_a_pipeline_and_tells_one_that_did_not_stop_for_it() {
    for stops in [true, false] {
        let (_parent, path) = nowhere();
        let pipeline = Pipeline::open(&path).unwrap();
        pipeline.step("load").run(|_| Ok::<u64, Error>(1)).unwrap();
        let asked = std::thread::scope(|scope| {
            let asked = scope.spawn(|| ckpt_with("halt", &path, &["enough", "--wait"]));
            while !path.join("halt").exists() {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            if stops {
                let error = pipeline.step("fit").run(|context| {
                    while context.should_stop().is_none() {
                        std::thread::sleep(std::time::Duration::from_millis(10));
                    }
                    Ok::<u64, Error>(1)
                });
                assert!(matches!(error, Err(Error::StepStopped { .. })));
            }
            drop(pipeline);
            asked.join().unwrap()
        });
        let said = if stops { "it has saved and stopped" } else { "without saying that it saved" };
        assert!(asked.code == i32::from(!stops) && asked.out.contains(said), "{} {}", asked.out, asked.err);
    }
}

#[test]
fn a_program_that_ends_without_a_save_is_not_said_to_have_saved() {
    for command in ["halt", "requeue"] {
        let (_parent, path) = nowhere();
        let checkpoints = Checkpointer::<u64>::builder(&path).open().unwrap();
        let asked = std::thread::scope(|scope| {
            let asked = scope.spawn(|| ckpt_with(command, &path, &["--wait"]));
            while !path.join(command).exists() {
                std::thread::sleep(std::time::Duration::from_millis(10));
            }
            drop(checkpoints);
            asked.join().unwrap()
        });
        assert_eq!(asked.code, 1, "{}", asked.err);
        assert!(asked.out.contains("without saying that it saved"), "{}", asked.out);
    }
}

#[cfg(unix)]
#[test]
fn a_copy_beyond_the_limit_of_a_file_is_an_error() {
    let (parent, path) = nowhere();
    open(&path).save(&1).unwrap();
    fs::write(path.join("history.jsonl"), "\n".repeat(300_000)).unwrap();
    let output = Command::new("sh")
        .args(["-c", "ulimit -f 100 && exec \"$0\" copy \"$1\" \"$2\"", env!("CARGO_BIN_EXE_ckpt")])
        .arg(&path)
        .arg(parent.path().join("copy"))
        .output()
        .unwrap();
    assert_eq!(output.status.code(), Some(3), "{}", output.status);
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 1, "nothing is left of the copy");
}

#[test]
fn requeue_asks_a_program_to_be_started_again() {
    let (_parent, path) = nowhere();
    let mut checkpoints = open(&path);
    let Said { code, out, .. } = ckpt_with("requeue", &path, &["the instance is reclaimed"]);
    assert!(code == 0 && out.contains("to be started again"), "{out}");
    assert!(ckpt_with("list", &path, &[]).out.contains("asked to save, stop and be started again"));
    let reason = checkpoints.should_stop().unwrap().to_string();
    assert_eq!(reason, "the requeue file: the instance is reclaimed");
    checkpoints.finish(&1).unwrap();
    let Said { out, .. } = ckpt_with("requeue", &path, &[]);
    assert!(out.contains("no program is seen"), "{out}");
    // The next start of the program is the requested restart, so no request is left.
    assert!(open(&path).should_stop().is_none());
}

#[test]
fn halt_does_not_wait_for_ever() {
    let (_parent, path) = nowhere();
    let _checkpoints = open(&path);
    let Said { code, out, .. } = ckpt_with("halt", &path, &["--wait", "--timeout", "0.2"]);
    assert_eq!(code, 1);
    assert!(out.contains("has not stopped yet"), "{out}");
}

#[test]
fn watch_tells_each_save_and_what_was_said_of_it() {
    let (_parent, path) = nowhere();
    let mut child = Command::new(env!("CARGO_BIN_EXE_ckpt"))
        .args(["--json", "watch", "--count", "2", "--timeout", "60"])
        .arg(&path)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut checkpoints = open(&path);
    // It does not show saves from before its first look.
    while child.try_wait().unwrap().is_none() {
        checkpoints.save_with(&1, Metadata::new().with("loss", 0.5)).unwrap();
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    assert!(child.wait().unwrap().success());
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let events: Vec<Value> = lines.map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
    let saves: Vec<&Value> = events.iter().filter(|event| event["event"] == "save").collect();
    assert_eq!(saves[0]["generation"].as_u64().unwrap() + 1, saves[1]["generation"].as_u64().unwrap());
    assert!(saves[0]["bytes"].as_u64().unwrap() > 0);
    assert_eq!(saves.len(), 2);
    assert!(
        saves.iter().all(|save| save["metadata"].get("loss").is_none_or(|loss| loss == 0.5)),
        "{events:?}"
    );
}

#[test]
fn watch_warns_when_no_save_comes_in_twice_the_time() {
    let (_parent, path) = nowhere();
    let mut checkpoints = open(&path);
    checkpoints.save(&1).unwrap();
    let Said { code, err, .. } = ckpt_with("watch", &path, &["--every", "0.2", "--timeout", "1.5"]);
    assert_eq!(code, 1);
    assert_eq!(err.matches("no save for").count(), 1, "{err}");
    // A run that has ended needs no warning.
    checkpoints.finish(&2).unwrap();
    let Said { code, err, .. } = ckpt_with("watch", &path, &["--every", "0.1", "--timeout", "0.7"]);
    assert_eq!((code, &err[..]), (0, ""));
}

#[test]
fn the_shell_and_man_are_told_of_every_command() {
    let parent = tempfile::tempdir().unwrap();
    for shell in ["bash", "zsh", "fish"] {
        let output = Command::new(env!("CARGO_BIN_EXE_ckpt")).args(["completions", shell]).output().unwrap();
        let script = String::from_utf8(output.stdout).unwrap();
        assert!(script.contains("watch") && script.contains("redo"), "{shell}");
    }
    let Said { code, .. } = ckpt(&["man", "--dir"], parent.path());
    assert_eq!(code, 0);
    assert!(parent.path().join("ckpt.1").exists() && parent.path().join("ckpt-watch.1").exists());
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let (_parent, path) = nowhere();
    saved(&path);
    let mut child = Command::new(env!("CARGO_BIN_EXE_ckpt"))
        .arg("list")
        .arg(&path)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!((output.status.code(), &output.stderr[..]), (Some(0), &b""[..]));
}

#[test]
fn prune_removes_what_no_rule_keeps_and_says_why_the_rest_stays() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(20).open().unwrap();
    for (state, loss) in [0.5, 0.1, 0.9, 0.8, 0.7, 0.6].into_iter().enumerate() {
        checkpoints.save_with(&(state as u64), Metadata::new().with("loss", loss)).unwrap();
    }
    checkpoints.pin(3).unwrap();
    let rules = ["--keep-last", "1", "--keep-best", "loss:lowest:1", "--yes"];
    let Said { code, err, .. } = ckpt_with("prune", &path, &rules);
    assert_eq!(code, 3, "a program has it open");
    assert!(err.contains("in use by"), "{err}");
    drop(checkpoints);

    let listed = || CheckpointReader::<u64>::open(&path).unwrap().generations().unwrap();
    let Said { code, out, .. } = ckpt_with("prune", &path, &[&rules[..4], &["--dry-run"]].concat());
    assert_eq!(code, 0);
    assert!(out.contains("3 would go") && out.contains("lowest loss") && out.contains("pinned"), "{out}");
    assert_eq!(listed().len(), 6, "nothing was changed");
    let Said { code, err, .. } = ckpt_with("prune", &path, &rules[..4]);
    assert_eq!(code, 3);
    assert!(err.contains("--yes"), "{err}");
    assert_eq!(listed().len(), 6, "nobody said yes");
    assert_eq!(ckpt_with("prune", &path, &rules).code, 0);
    assert_eq!(listed(), [2, 3, 6]);
}

#[test]
fn prune_never_removes_the_last_that_is_whole() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(20).open().unwrap();
    (0..4).for_each(|state| assert!(checkpoints.save(&state).is_ok()));
    drop(checkpoints);
    for newest in ["00000000000000000003.ckpt", "00000000000000000004.ckpt"] {
        let mut bytes = fs::read(path.join(newest)).unwrap();
        // The damage is in the data, so only a reader of all the data finds it.
        let data = bytes.windows(13).position(|window| window == b"state.bincode").unwrap() + 64;
        bytes[data..data + 40].fill(0xff);
        fs::write(path.join(newest), bytes).unwrap();
    }
    assert_eq!(ckpt_with("prune", &path, &["--keep-last", "1", "--yes"]).code, 0);
    assert_eq!(CheckpointReader::<u64>::open(&path).unwrap().load().unwrap(), Some(1));
    fs::write(path.join("00000000000000000002.ckpt"), "").unwrap();
    let Said { code, .. } = ckpt_with("prune", &path, &["--keep-last", "1", "--yes"]);
    assert_eq!(code, 0);
    assert_eq!(
        CheckpointReader::<u64>::open(&path).unwrap().generations().unwrap(),
        [2, 3, 4],
        "none is whole: none goes"
    );
}

#[test]
fn copy_makes_a_directory_that_loads_while_the_program_runs() {
    let (parent, path) = nowhere();
    let mut checkpoints = open(&path);
    checkpoints.save(&7).unwrap();
    let to = parent.path().join("backup.ckpt");
    let Said { code, out, err } = ckpt_with("copy", &path, &[to.to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains(" 1 checkpoint of ") && out.contains("backup.ckpt"), "{out}");
    assert_eq!(CheckpointReader::<u64>::open(&to).unwrap().load().unwrap(), Some(7));
    let Said { code, err, .. } = ckpt_with("copy", &path, &[to.to_str().unwrap()]);
    assert_eq!(code, 3);
    assert!(err.contains("exists"), "{err}");
    assert_eq!(ckpt_with("copy", &parent.path().join("absent"), &["elsewhere"]).code, 3);
    assert_eq!(fs::read_dir(parent.path()).unwrap().count(), 2, "nothing is left of what failed");
}

#[test]
fn list_says_that_a_directory_lost_its_generations() {
    let (_parent, path) = nowhere();
    saved(&path);
    for entry in fs::read_dir(&path).unwrap().flatten() {
        if entry.path().extension().is_some_and(|extension| extension == "ckpt") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    let out = ckpt(&["list"], &path).out;
    assert!(out.contains("names generation 4") && out.contains("ckpt copy"), "{out}");
    assert_eq!(json("list", &path)["missing"], 4);
}

/// Runs the tool as a user without permission to read any of it, also if the test itself runs as
/// root.
fn as_other_user(arguments: &[&str]) -> Option<Said> {
    let mut command = Command::new("setpriv");
    command.args(["--reuid=65534", "--regid=65534", "--clear-groups", env!("CARGO_BIN_EXE_ckpt")]);
    let output = command.args(arguments).output().ok()?;
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Some(Said { code: output.status.code()?, out: text(output.stdout), err: text(output.stderr) })
}

#[cfg(unix)]
#[test]
fn verify_tells_what_is_damaged_from_what_it_may_not_read() {
    use std::os::unix::fs::PermissionsExt;
    let (parent, path) = nowhere();
    open(&path).save(&1).unwrap();
    open(&path).save(&2).unwrap();
    let file = |generation: u32| path.join(format!("{generation:020}.ckpt"));
    let allow = |path: &Path, mode| fs::set_permissions(path, PermissionsExt::from_mode(mode)).unwrap();
    allow(parent.path(), 0o755);
    allow(&path, 0o755);
    allow(&file(1), 0o644);
    let directory = path.to_str().unwrap();
    let Some(Said { code, out, .. }) = as_other_user(&["verify", directory]).filter(|said| said.code != 127)
    else {
        eprintln!("skipped: this user cannot become another");
        return;
    };
    assert_eq!(code, 4, "{out}");
    assert!(out.contains("whole") && out.contains("out of reach") && !out.contains("damaged"), "{out}");
    assert!(out.contains("a restart is refused"), "{out}");
    // Damage counts more than a part that is out of reach.
    let mut bytes = fs::read(file(1)).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(file(1), bytes).unwrap();
    let said = as_other_user(&["verify", directory]).unwrap();
    assert!(said.code == 1 && said.out.contains("damaged"), "{}", said.out);
}

#[cfg(unix)]
#[test]
fn what_is_not_there_is_not_damaged() {
    let (parent, path) = nowhere();
    let Said { code, out, err } = ckpt(&["verify"], &path);
    assert!(code == 3 && out.is_empty() && err.contains("cannot look at"), "{out}{err}");
    let link = parent.path().join("link.ckpt");
    std::os::unix::fs::symlink(&path, &link).unwrap();
    let Said { code, err, .. } = ckpt(&["verify"], &link);
    assert!(code == 3 && err.contains(&format!("a link to {}", path.display())), "{err}");
}

#[test]
fn a_table_fits_into_a_narrow_terminal() {
    let (_parent, path) = nowhere();
    let mut checkpoints =
        Checkpointer::<u64>::builder(&path).keep_best(Metric::lowest("loss"), 1).open().unwrap();
    let metadata = Metadata::new().with("loss", 0.303_501_826_447_560_4).with("epoch", 3);
    checkpoints.save_with(&1, metadata).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt"));
    let output = command.arg("list").arg(&path).env("COLUMNS", "60").output().unwrap();
    let out = String::from_utf8(output.stdout).unwrap();
    let table: Vec<&str> = out.lines().take(2).collect();
    assert!(table.iter().all(|line| line.chars().count() <= 60), "{out}");
    assert!(table[1].contains('…') && table[1].contains("newest"), "{out}");
    // A program that reads the output gets all of it.
    assert!(ckpt(&["list"], &path).out.contains("lowest loss"));
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let (_parent, path) = nowhere();
    open(&path).save(&1).unwrap();
    for arguments in
        [&["list"][..], &["--json", "list"], &["verify"], &["show"], &["--json", "show"], &["report"]]
    {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt"));
        command.args(arguments).arg(&path).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        drop(child.stdout.take());
        let output = child.wait_with_output().unwrap();
        let err = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success() && err.is_empty(), "{arguments:?}: {} {err}", output.status);
    }
    // A failure of every write does not cause a panic.
    let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt"));
    let mut child = command.arg("list").arg(path.join("none")).stderr(Stdio::piped()).spawn().unwrap();
    drop(child.stderr.take());
    assert_eq!(child.wait().unwrap().code(), Some(3));
}

#[test]
fn steps_stand_behind_those_that_they_depend_on() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("test.pipeline");
    let run = |pipeline: Pipeline| {
        let load = pipeline.step("load").file("Cargo.toml").run(|_| Ok::<u64, Error>(1)).unwrap();
        let clean = pipeline.step("clean").input(&load).run(|_| Ok::<u64, Error>(2)).unwrap();
        pipeline.step("fit").input(&clean).run(|_| Ok::<u64, Error>(3)).unwrap();
        pipeline.step("other").run(|_| Ok::<u64, Error>(4)).unwrap();
        pipeline.finish().unwrap();
    };
    run(Pipeline::open(&path).unwrap());
    // Now `load` is the newest step, and must still be listed first.
    run(Pipeline::open(&path).unwrap().force_only("load"));
    let listed = |directory: &Path| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_ckpt"));
        let output = command.args(["--json", "steps"]).arg(&path).current_dir(directory).output().unwrap();
        serde_json::from_slice::<Value>(&output.stdout).unwrap()
    };
    let names = |steps: &Value| -> Vec<String> {
        let steps = steps["steps"].as_array().unwrap();
        steps.iter().map(|step| step["step"].as_str().unwrap().to_owned()).collect()
    };
    let state = |steps: &Value, place: usize| steps["steps"][place]["state"].as_str().unwrap().to_owned();
    // Run it from another directory, without the file of the program.
    let steps = listed(parent.path());
    let order = names(&steps);
    let place = |step: &str| order.iter().position(|name| name == step).unwrap();
    assert!(place("load") < place("clean") && place("clean") < place("fit"), "{order:?}");
    assert!((0..4).all(|place| state(&steps, place) == "done"), "{steps}");
    // A request reaches all steps that depend on it, and no others.
    assert_eq!(ckpt_with("redo", &path, &["load"]).code, 0);
    let steps = listed(parent.path());
    for (step, expected) in [
        ("load", "to be run again"),
        ("clean", "to be run again"),
        ("fit", "to be run again"),
        ("other", "done"),
    ] {
        assert_eq!(state(&steps, place(step)), expected, "{step}: {steps}");
    }
}

#[test]
fn rewind_goes_back_and_forth_and_branch_makes_a_run_of_its_own() {
    let (parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(9).open().unwrap();
    for state in 1..=4 {
        checkpoints.save(&state).unwrap();
    }
    let Said { code, err, .. } = ckpt_with("rewind", &path, &["2"]);
    assert_eq!(code, 3);
    assert!(err.contains(&std::process::id().to_string()), "it says which program has it: {err}");
    drop(checkpoints);

    let Said { code, out, err } = ckpt_with("rewind", &path, &["2"]);
    assert_eq!(code, 0, "{err}");
    assert!(out.contains("set aside: 3, 4"), "{out}");
    assert_eq!(CheckpointReader::<u64>::open(&path).unwrap().load().unwrap(), Some(2));
    let listing = json("list", &path);
    assert_eq!((listing["rewound"].to_string(), &listing["missing"]), ("[3,4]".to_owned(), &Value::Null));
    assert!(ckpt(&["list"], &path).out.contains("ckpt rewind DIR 4"));

    let branch = parent.path().join("branch.ckpt");
    let Said { code, err, .. } = ckpt_with("branch", &path, &["3", branch.to_str().unwrap()]);
    assert_eq!(code, 0, "{err}");
    assert_eq!(CheckpointReader::<u64>::open(&branch).unwrap().load().unwrap(), Some(3));

    let Said { out, .. } = ckpt_with("rewind", &path, &["4", "--json"]);
    let answer: Value = serde_json::from_str(&out).unwrap();
    assert_eq!(answer["brought_back"].to_string(), "[3,4]");
    assert_eq!(ckpt_with("rewind", &path, &["1"]).code, 0);
    assert_eq!(Checkpointer::<u64>::open(&path).unwrap().save(&5).unwrap().generation, 5);
    let Said { code, out, .. } = ckpt_with("prune", &path, &["--rewound", "--yes"]);
    assert_eq!(code, 0);
    assert!(out.contains("3 went"), "{out}");
    assert_eq!(ckpt_with("rewind", &path, &["4"]).code, 3);
}

#[test]
fn an_interval_beyond_all_is_refused_and_no_panic() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    saved(&path);
    for interval in ["18446744073709551615s 1000ms:2h", "1h:18446744073709551615s 1000ms", "0s:2h", "1h"] {
        let Said { code, err, .. } =
            ckpt_with("prune", &path, &["--keep-last", "1", "--keep-one-in", interval]);
        assert_eq!(code, 2, "{err}");
        assert!(err.contains("the form is INTERVAL:AGE") && !err.contains("panicked"), "{err}");
    }
}

#[test]
fn prune_takes_the_rules_by_count_and_by_age() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(9).open().unwrap();
    for step in [5, 10, 15, 25, 26] {
        checkpoints.save_with(&step, Metadata::new().with("step", step)).unwrap();
    }
    drop(checkpoints);
    for wrong in [["--keep-every-of", "step:0"], ["--keep-one-in", "0s:1h"], ["--keep-one-in", "1h"]] {
        assert_eq!(ckpt_with("prune", &path, &[&["--keep-last", "1"][..], &wrong].concat()).code, 2);
    }
    let rules = ["--keep-last", "1", "--keep-every-of", "step:10", "--yes"];
    assert_eq!(ckpt_with("prune", &path, &rules).code, 0);
    assert_eq!(Checkpointer::<u64>::open(&path).unwrap().generations().unwrap(), [2, 4, 5]);
}

#[cfg(target_os = "linux")]
#[test]
fn of_an_answer_that_json_cannot_hold_nothing_is_written() {
    use std::ffi::OsStr;
    use std::os::unix::ffi::OsStrExt;

    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join(OsStr::from_bytes(b"run-\xff.ckpt"));
    saved(&path);
    let Said { code, out, err } = ckpt(&["--json", "list"], &path);
    assert_eq!((code, out.as_str()), (3, ""));
    assert!(err.contains("UTF-8"), "{err}");
    assert_eq!(ckpt(&["list"], &path).code, 0);
}
