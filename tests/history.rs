//! The history of a directory: tests its content, and that nothing depends on it.

#![cfg(unix)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::{Duration, SystemTime};

use crate::common::{inside, names_in, once_more};
use checkpointed::history::{self, End, Event, History};
use checkpointed::{Checkpointer, Metric, Schedule};

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    (parent, path)
}

fn open(path: &Path) -> Checkpointer<u64> {
    Checkpointer::open(path).unwrap()
}

fn read(path: &Path) -> History {
    history::read(path).unwrap()
}

#[test]
fn a_run_is_written_down_from_its_start_to_its_end() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::builder(&path)
        .schedule(Schedule::every_steps(2))
        .keep_best(Metric::lowest("loss"), 3)
        .open()
        .unwrap();
    for step in 1..=3 {
        checkpoints.save_if_due(&step).unwrap();
    }
    let _ = checkpoints.finish(&4).unwrap();
    let events: Vec<Event> = read(&path).records.into_iter().map(|record| record.event).collect();
    assert!(matches!(
        &events[0],
        Event::Start { process, schedule, retention, .. } if *process == std::process::id()
            && schedule == "every 2 steps"
            && retention.as_ref().unwrap().to_string() == "the last 2, 3 with the lowest loss"
    ));
    let Event::Save { generation: 1, bytes, stall, total, why, .. } = &events[1] else {
        panic!("{events:?}")
    };
    assert!(*bytes > 0 && stall <= total && !total.is_zero());
    assert_eq!(why, "2 steps since the last save");
    assert!(matches!(&events[2], Event::Save { generation: 2, why, .. } if why == "finishing"));
    assert_eq!(events[3], Event::End(End::Completed));
    assert_eq!(events.len(), 4);

    let mut checkpoints = open(&path);
    checkpoints.load().unwrap();
    drop(checkpoints);
    let history = read(&path);
    assert_eq!((history.runs(), history.failures()), (2, 0));
    let last: Vec<&Event> = history.records[4..].iter().map(|record| &record.event).collect();
    assert!(matches!(last[1], Event::Restart { generation: 2, lost: None, .. }), "{last:?}");
    assert_eq!(last[2], &Event::End(End::Closed));
}

#[test]
fn a_program_that_is_killed_or_panics() {
    let Some(directory) = inside() else { return };
    let mut checkpoints = open(&directory.join("run.ckpt"));
    checkpoints.load().unwrap();
    checkpoints.save(&1).unwrap();
    if std::env::var_os("PANIC").is_some() {
        let _checkpoints = checkpoints;
        panic!("as planned");
    }
    fs::write(directory.join("ready"), "").unwrap();
    // Gives signs of life, and saves nothing.
    loop {
        let _ = checkpoints.should_stop();
        std::thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn a_run_without_an_end_has_failed_and_the_loss_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut child = once_more("a_program_that_is_killed_or_panics", &[], directory.path())
        .stdout(Stdio::null())
        .spawn()
        .unwrap();
    // Waits for two signs of life.
    let signs = || {
        let text = fs::read_to_string(path.join("history.jsonl")).unwrap_or_default();
        text.matches("\"alive\"").count()
    };
    while signs() < 2 {
        std::thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let last = read(&path).records.pop().unwrap();
    assert_eq!(last.event, Event::Alive);
    // A copy or a backup leaves it like this: the time of the file means nothing.
    let later = SystemTime::now() + Duration::from_secs(3600);
    fs::File::options().append(true).open(path.join("history.jsonl")).unwrap().set_modified(later).unwrap();

    let mut checkpoints = open(&path);
    checkpoints.load().unwrap();
    drop(checkpoints);
    let mut command = once_more("a_program_that_is_killed_or_panics", &[], directory.path());
    assert!(!command.env("PANIC", "").output().unwrap().status.success());
    drop(open(&path));

    let history = read(&path);
    assert_eq!((history.runs(), history.failures()), (4, 2));
    assert!(history.lost() > Duration::from_millis(900) && history.lost() <= last.at, "{history:?}");
    assert!(history.observed() >= last.at, "{history:?}");
    assert!(history.observed() < Duration::from_secs(60), "{history:?}");
}

#[test]
fn lines_that_are_torn_or_of_a_later_version_are_passed_over() {
    let (_parent, path) = nowhere();
    open(&path).save(&1).unwrap();
    let before = read(&path).records;
    let mut file = fs::File::options().append(true).open(path.join("history.jsonl")).unwrap();
    writeln!(file, r#"{{"time":"2030-01-01T00:00:00Z","at":1.5,"event":"teleported","to":"Mars"}}"#).unwrap();
    writeln!(file, r#"{{"time":"2030-01-01T00:00:00Z","at":1.5,"event":"end","end":"closed","later":[1]}}"#)
        .unwrap();
    file.write_all(b"\xff\xfe\0garbage\n{\"time\":\"2030-01-01T00:0").unwrap();
    drop(file);
    let history = read(&path);
    assert_eq!(history.records.len(), before.len() + 1, "a field more is no trouble");
    assert_eq!(history.unknown_lines, 3);

    let mut checkpoints = open(&path);
    assert_eq!(checkpoints.load().unwrap(), Some(1));
    drop(checkpoints);
    // The torn line did not damage the others.
    assert_eq!(read(&path).runs(), 2);
}

#[test]
fn a_history_that_cannot_be_written_stops_no_program() {
    let (_parent, path) = nowhere();
    fs::create_dir_all(path.join("history.jsonl/in the way")).unwrap();
    let mut checkpoints = open(&path);
    checkpoints.save(&1).unwrap();
    let _ = checkpoints.finish(&2).unwrap();
    assert_eq!(open(&path).load().unwrap(), Some(2));
}

#[test]
fn a_link_in_the_place_of_the_history_is_not_followed() {
    let (parent, path) = nowhere();
    fs::create_dir(&path).unwrap();
    let victim = parent.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    std::os::unix::fs::symlink(&victim, path.join("history.jsonl")).unwrap();
    open(&path).save(&1).unwrap();
    assert_eq!(fs::read(&victim).unwrap(), b"precious");
}

#[test]
fn a_long_history_is_put_aside_and_its_failures_are_remembered() {
    let (_parent, path) = nowhere();
    fs::create_dir(&path).unwrap();
    let mut text = String::new();
    for _ in 0..4000 {
        for event in [
            r#""event":"start","host":"here","process":1,"schedule":"","retention":"""#,
            r#""event":"save","generation":1,"bytes":1,"stall":1,"total":2,"reason":"asked","why":"asked for""#,
            r#""event":"died","ran":10"#,
        ] {
            text += &format!("{{\"time\":\"2026-01-01T00:00:00Z\",\"at\":5,{event}}}\n");
        }
    }
    assert!(text.len() > 1 << 20);
    fs::write(path.join("history.jsonl"), text).unwrap();
    drop(open(&path));
    let in_full = read(&path);
    assert_eq!((in_full.runs(), in_full.failures()), (4001, 4000));
    // With the short time of the run here.
    assert!((40_000..41_000).contains(&in_full.observed().as_secs()));
    assert!(fs::metadata(path.join("history.jsonl")).unwrap().len() < 1000);
    // It never has more than two files; the summary stands for older ones.
    fs::remove_file(path.join("history.1.jsonl")).unwrap();
    let in_short = read(&path);
    assert_eq!((in_short.runs(), in_short.failures()), (4001, 4000));
    assert!((40_000..41_000).contains(&in_short.observed().as_secs()));
}

#[test]
fn who_wants_no_history_has_none() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::builder(&path).history(false).open().unwrap();
    checkpoints.save(&1).unwrap();
    assert_eq!(names_in(&path), [".lock", "00000000000000000001.ckpt"]);
    assert_eq!(read(&path), History::default());
}

#[test]
fn a_slow_save_of_an_earlier_run_does_not_stop_each_later_one() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    Checkpointer::<u64>::open(&path).unwrap().save(&1).unwrap();
    // It took an hour, because the file server was away.
    let file = path.join("history.jsonl");
    let slow = |line: &str| {
        let mut record: serde_json::Value = serde_json::from_str(line).unwrap();
        if let Some(total) = record.get_mut("total") {
            (*total, record["stall"]) = (3600.into(), 3600.into());
        }
        format!("{record}\n")
    };
    let text = fs::read_to_string(&file).unwrap();
    assert!(text.contains("\"total\""), "{text}");
    fs::write(&file, text.lines().map(slow).collect::<String>()).unwrap();
    let builder = Checkpointer::<u64>::builder(&path).schedule(Schedule::every(Duration::from_millis(1)));
    let mut checkpoints = builder.time_limit(Duration::from_secs(600)).open().unwrap();
    let state = checkpoints.load().unwrap().unwrap();
    assert_eq!(checkpoints.should_stop(), None);
    std::thread::sleep(Duration::from_millis(2));
    assert!(checkpoints.save_if_due(&state).unwrap().is_saved());
    assert_eq!(checkpoints.should_stop(), None);
}
