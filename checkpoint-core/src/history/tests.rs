//! Checks that a history neither loses nor invents events: with a run that outlasts its file, a
//! full disk, clocks that are set, later versions.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use super::record::{End, Event};
use super::{FILE, FORMER, History, Journal, read};
use crate::outcome::{SaveReason, Saved, StopReason};
use crate::schedule::Past;
use crate::store::faults::FaultyDisk;
use crate::store::{Directory, Retention};

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn retention() -> Retention {
    Retention::newest(NonZeroUsize::MIN)
}

/// Begins a run in a directory, on a disk that can refuse writes. A run that is dropped without an
/// end has crashed.
fn begin(disk: &FaultyDisk, directory: &Path) -> (Journal, Past) {
    let home = Directory::new(directory, Arc::new(disk.clone()));
    Journal::open(Arc::new(home), true, "adaptive".into(), retention())
}

fn save(journal: &mut Journal, at: u64, generation: u64, reason: &SaveReason) {
    let (stall, duration) = (seconds(1), seconds(2));
    let saved = Saved { generation, bytes: 8, written: 8, duration, stall };
    journal.saved(seconds(at), &saved, Some(seconds(60)), reason);
}

/// Saves until the file was put aside this number of times.
fn save_until_put_aside(journal: &mut Journal, directory: &Path, times: usize) -> u64 {
    let (mut at, mut left, mut length) = (0, times, 0);
    while left > 0 {
        at += 10;
        let reason = SaveReason::Stopping(StopReason::Halt { message: "x".repeat(20_000) });
        save(journal, at, at / 10, &reason);
        let now = fs::metadata(directory.join(FILE)).unwrap().len();
        left -= usize::from(now < length);
        length = now;
    }
    at
}

fn lines(directory: &Path) -> Vec<String> {
    fs::read_to_string(directory.join(FILE)).unwrap().lines().map(str::to_owned).collect()
}

/// A history that another program, or another version, left.
fn written(text: &str) -> (tempfile::TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join(FILE);
    fs::write(&file, text).unwrap();
    (directory, file)
}

#[test]
fn a_run_that_outlasts_its_files_is_counted_once_with_its_crash() {
    for times in 1..=3 {
        let directory = tempfile::tempdir().unwrap();
        let (mut journal, _) = begin(&FaultyDisk::default(), directory.path());
        let at = save_until_put_aside(&mut journal, directory.path(), times);
        let history = read(directory.path()).unwrap();
        assert_eq!((history.runs(), history.failures()), (1, 0), "{times}");
        assert_eq!(history.observed(), seconds(at), "{times}");
        drop(journal);

        let (mut journal, past) = begin(&FaultyDisk::default(), directory.path());
        assert_eq!(past.failures, 1, "{times}");
        assert!(past.observed >= seconds(at) && past.observed < seconds(at + 60), "{times}: {past:?}");
        journal.ended(Duration::ZERO, End::Completed);
        drop(journal);
        fs::remove_file(directory.path().join(FORMER)).unwrap();
        let (runs, failures) =
            (read(directory.path()).unwrap().runs(), read(directory.path()).unwrap().failures());
        assert_eq!((runs, failures), (2, 1), "{times}: what is left says the same");
    }
}

#[test]
fn what_was_lost_is_remembered_when_the_file_is_put_aside() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let (mut journal, _) = begin(&disk, directory.path());
    save(&mut journal, 100, 1, &SaveReason::Asked);
    journal.alive(seconds(160));
    drop(journal);
    let (mut journal, _) = begin(&disk, directory.path());
    journal.restarted(Duration::ZERO, 1);
    let lost = read(directory.path()).unwrap().lost();
    assert_eq!(lost, seconds(62));
    journal.ended(seconds(1), End::Completed);
    drop(journal);
    let (mut journal, _) = begin(&disk, directory.path());
    save_until_put_aside(&mut journal, directory.path(), 3);
    assert_eq!(read(directory.path()).unwrap().lost(), lost);
}

#[test]
fn a_program_that_loads_twice_has_lost_its_work_once() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, _) = begin(&FaultyDisk::default(), directory.path());
    save(&mut journal, 100, 1, &SaveReason::Asked);
    drop(journal);
    let (mut journal, _) = begin(&FaultyDisk::default(), directory.path());
    journal.restarted(Duration::ZERO, 1);
    let once = read(directory.path()).unwrap().lost();
    journal.restarted(seconds(1), 1);
    assert_eq!(read(directory.path()).unwrap().lost(), once);
    assert!(!once.is_zero());
}

#[test]
fn a_run_records_its_end_after_its_disk_was_full_for_a_moment() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let (mut journal, _) = begin(&disk, directory.path());
    save(&mut journal, 100, 1, &SaveReason::Asked);
    disk.tear_log_lines(true);
    save(&mut journal, 200, 2, &SaveReason::Asked);
    disk.tear_log_lines(false);
    save(&mut journal, 300, 3, &SaveReason::Asked);
    journal.ended(seconds(400), End::Completed);
    drop(journal);
    let (_, past) = begin(&disk, directory.path());
    assert_eq!(past.failures, 0);
    let history = read(directory.path()).unwrap();
    let saves = history.records.iter().filter(|record| matches!(record.event, Event::Save { .. })).count();
    assert_eq!((saves, history.unknown_lines), (2, 1), "the torn line took no other with it");
}

#[test]
fn only_the_clock_of_the_run_says_how_long_it_went_on() {
    // The clock was set from 1970 to 2026 while the program ran.
    let text = r#"{"time":"1970-01-01T00:00:09Z","at":0.0,"event":"start","host":"","process":1,"schedule":"","retention":""}
{"time":"2026-01-01T00:00:00Z","at":100.0,"event":"save","generation":1,"bytes":1,"stall":1.0,"total":1.0,"reason":"asked","why":""}
{"time":"1999-01-01T00:00:00Z","at":130.0,"event":"alive"}
"#;
    let (directory, _) = written(text);
    let history = History::of(&Directory::new(directory.path(), Arc::new(FaultyDisk::default()))).unwrap();
    assert_eq!(history.unfinished().map(|lived| lived.ran), Some(seconds(130)));
}

#[test]
fn a_copy_of_the_history_made_later_says_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let (mut journal, _) = begin(&disk, directory.path());
    save(&mut journal, 100, 1, &SaveReason::Asked);
    drop(journal);
    // `cp` does the same: its copy is newer than the run, by a time between the two.
    let file = fs::File::options().append(true).open(directory.path().join(FILE)).unwrap();
    file.set_modified(SystemTime::now() + seconds(86_400 * 30)).unwrap();
    let (_, past) = begin(&disk, directory.path());
    assert_eq!((past.failures, past.observed), (1, seconds(100)));
}

/// The time that the history lacks when a run of that length is killed, with one call in each
/// `step`.
fn unknown(ran: Duration, step: Duration) -> Duration {
    let directory = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let (mut journal, _) = begin(&disk, directory.path());
    let mut now = Duration::ZERO;
    while now + step <= ran {
        now += step;
        journal.alive(now);
    }
    drop(journal);
    let (_, past) = begin(&disk, directory.path());
    assert!(past.observed <= ran, "at least, and never more");
    ran - past.observed
}

#[test]
fn signs_of_life_say_how_long_a_killed_run_went_on() {
    let millisecond = Duration::from_millis(1);
    for (ran, step, most) in [
        (seconds(5), millisecond, Duration::from_millis(501)),
        (seconds(7), seconds(1), Duration::from_millis(1500)),
        (seconds(60), millisecond * 10, seconds(4)),
        (seconds(3600), seconds(1), seconds(3600 / 16 + 1)),
        (seconds(86_400), seconds(10), seconds(310)),
    ] {
        let unknown = unknown(ran, step);
        assert!(unknown <= most, "{ran:?}: {unknown:?}");
    }
}

#[test]
fn signs_of_life_take_little_room() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, _) = begin(&FaultyDisk::default(), directory.path());
    for second in 0..86_400 {
        journal.alive(seconds(second));
    }
    let length = fs::metadata(directory.path().join(FILE)).unwrap().len();
    assert!(length < 40_000, "{length}");
}

#[test]
fn lost_work_counts_once_however_often_a_run_is_killed() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let lost = || read(directory.path()).unwrap().lost();
    let (mut journal, _) = begin(&disk, directory.path());
    save(&mut journal, 100, 1, &SaveReason::Asked);
    journal.alive(seconds(150));
    drop(journal);
    // The save was begun at 98 s.
    let (mut journal, _) = begin(&disk, directory.path());
    journal.restarted(Duration::ZERO, 1);
    assert_eq!(lost(), seconds(52));
    journal.alive(seconds(20));
    drop(journal);
    // The second kill came before any save: only its own time is lost, not the time between the
    // runs.
    let (mut journal, _) = begin(&disk, directory.path());
    journal.restarted(Duration::ZERO, 1);
    assert_eq!(lost(), seconds(72));
    journal.ended(seconds(1), End::Completed);
    drop(journal);
    let (mut journal, _) = begin(&disk, directory.path());
    journal.restarted(Duration::ZERO, 1);
    assert_eq!(lost(), seconds(72), "a run that ended has lost nothing");
}

#[test]
fn runs_that_fail_before_a_save_are_counted_until_one_saves() {
    let directory = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    for fruitless in 0..4 {
        let (mut journal, past) = begin(&disk, directory.path());
        assert_eq!(past.fruitless, fruitless);
        journal.restarted(Duration::ZERO, 1);
    }
    let (mut journal, past) = begin(&disk, directory.path());
    assert_eq!(past.fruitless, 4);
    save(&mut journal, 10, 2, &SaveReason::Asked);
    drop(journal);
    assert_eq!(begin(&disk, directory.path()).1.fruitless, 0);
}

#[test]
fn an_end_that_only_a_later_version_knows_is_no_failure() {
    let text = r#"{"time":"2026-01-01T00:00:00Z","at":0.0,"event":"start","host":"","process":1,"schedule":"","retention":""}
{"time":"2026-01-01T00:01:00Z","at":60.0,"event":"end","end":"migrated","by":{"to":"Mars"}}
"#;
    let (directory, _) = written(text);
    let (_, past) = begin(&FaultyDisk::default(), directory.path());
    assert_eq!((past.failures, past.observed), (0, seconds(60)));
    assert_eq!(read(directory.path()).unwrap().unknown_lines, 1);
}

#[test]
fn a_save_with_an_endless_interval_can_be_read_back() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, _) = begin(&FaultyDisk::default(), directory.path());
    let saved = Saved { generation: 1, bytes: 8, written: 8, duration: Duration::MAX, stall: seconds(1) };
    journal.saved(seconds(1), &saved, Some(Duration::MAX), &SaveReason::Asked);
    let history = read(directory.path()).unwrap();
    assert_eq!(history.unknown_lines, 0);
    let Some(Event::Save { interval, total, .. }) = history.records.last().map(|record| &record.event) else {
        panic!("{history:?}")
    };
    assert_eq!((*interval, *total), (Some(Duration::MAX), Duration::MAX));
}

#[test]
fn every_line_is_json_after_several_runs() {
    let directory = tempfile::tempdir().unwrap();
    for _ in 0..3 {
        let (mut journal, _) = begin(&FaultyDisk::default(), directory.path());
        save(&mut journal, 1, 1, &SaveReason::Asked);
        journal.ended(seconds(2), End::Completed);
    }
    let lines = lines(directory.path());
    assert_eq!(lines.len(), 9);
    for line in lines {
        serde_json::from_str::<serde_json::Value>(&line).unwrap();
    }
}

/// The warnings about unreadable lines, of a program that opens a directory with this history.
fn warnings_about(history: &[u8]) -> Vec<String> {
    use std::sync::Mutex;

    use crate::Checkpointer;

    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(FILE), history).unwrap();
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&warnings);
    let builder = Checkpointer::<u64>::builder(directory.path());
    drop(
        builder
            .on_warning(move |warning| taken.lock().unwrap().push(warning.message.clone()))
            .open()
            .unwrap(),
    );
    warnings.lock().unwrap().iter().filter(|warning| warning.contains("cannot be read")).cloned().collect()
}

#[test]
fn a_line_that_a_kill_cut_short_is_passed_over_in_silence() {
    let directory = tempfile::tempdir().unwrap();
    let (mut journal, _) = begin(&FaultyDisk::default(), directory.path());
    journal.restarted(seconds(1), 1);
    save(&mut journal, 2, 2, &SaveReason::Stopping(StopReason::Halt { message: "\"\u{e9}\u{1f600}".into() }));
    journal.failed(seconds(3), 3, "disk \\ full\n".into());
    journal.ended(seconds(4), End::Stopped("SIGTERM".into()));
    for line in lines(directory.path()) {
        for length in 0..line.len() {
            // With and without another line after it.
            let cut = line.as_bytes().get(..length).unwrap();
            let followed = [cut, b"\n", line.as_bytes(), b"\n"].concat();
            for history in [cut, &followed] {
                assert_eq!(warnings_about(history), [""; 0], "{}", String::from_utf8_lossy(history));
            }
        }
        let damaged = [b"?", line.as_bytes(), b"\n{\"time\":\"20"].concat();
        let warnings = warnings_about(&damaged);
        assert!(
            matches!(&warnings[..], [one] if one.contains(" has 1 line that cannot be read")),
            "{warnings:?}"
        );
    }
}

/// Lines that are records, with the greatest and the least value of every number.
fn extreme_lines() -> Vec<String> {
    let events = [
        r#""event":"summary","runs":N,"failures":N,"observed":S,"lost":S"#,
        r#""event":"start","host":"h","process":1,"schedule":"adaptive","retention":"the last N, every Nth""#,
        r#""event":"died","ran":S"#,
        r#""event":"restart","generation":N,"lost":S"#,
        r#""event":"save","generation":N,"bytes":N,"stall":S,"total":S,"interval":S,"reason":"due","why":"due""#,
        r#""event":"failure","generation":N,"error":"e""#,
        r#""event":"end","end":"completed""#,
    ];
    let mut lines = Vec::new();
    for event in events {
        for number in [u64::MAX, u64::MAX - 1, 0] {
            for seconds in ["0", "-1e300", "1e-320", "1e300", "18446744073709551615.5"] {
                for time in ["1970-01-01T00:00:00Z", "2026-01-01T00:00:00Z", "9999-12-31T23:59:59.999999999Z"]
                {
                    let event = event.replace('N', &number.to_string()).replace('S', seconds);
                    lines.push(format!("{{\"time\":\"{time}\",\"at\":{seconds},{event}}}\n"));
                }
            }
        }
    }
    lines.dedup();
    lines
}

#[test]
fn a_line_with_extreme_numbers_stops_neither_program_nor_tool() {
    use crate::{Checkpointer, Protection, Schedule, inspect};

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut checkpoints = Checkpointer::<u64>::open(path).unwrap();
    checkpoints.save(&1).unwrap();
    drop(checkpoints);
    let lines = extreme_lines();
    for text in
        lines.iter().cloned().chain([lines.concat(), lines.iter().rev().map(String::as_str).collect()])
    {
        // Before a valid line, after one, and twice.
        let ours = r#"{"time":"2026-01-01T00:00:01Z","at":1.0,"event":"start","host":"h","process":1,"schedule":"s","retention":"the last 2"}"#;
        for history in [text.clone(), format!("{text}{ours}\n"), format!("{ours}\n{text}{text}")] {
            fs::write(path.join(FILE), &history).unwrap();
            assert_eq!(read(path).unwrap().unknown_lines, 0, "{history}");
            inspect::overview(path, &Protection::new()).unwrap();
            let builder = Checkpointer::<u64>::builder(path).schedule(Schedule::adaptive());
            let mut checkpoints = builder.durable(false).open().unwrap();
            assert_eq!(checkpoints.load().unwrap(), Some(1), "{history}");
            checkpoints.save_if_due(&1).unwrap();
        }
    }
}

#[test]
fn the_number_of_a_lost_generation_is_not_used_again() {
    let directory = tempfile::tempdir().unwrap();
    let open = || crate::Checkpointer::<u64>::builder(directory.path()).keep_last(9).open().unwrap();
    let mut checkpoints = open();
    for state in 1..=5 {
        checkpoints.save(&state).unwrap();
    }
    drop(checkpoints);
    for lost in [4, 5] {
        fs::remove_file(directory.path().join(format!("{lost:020}.ckpt"))).unwrap();
    }
    let mut checkpoints = open();
    assert_eq!(checkpoints.load().unwrap(), Some(3));
    assert_eq!(checkpoints.save(&40).unwrap().generation, 6);
    // What was given up is not lost, and a number that no save reaches is none.
    checkpoints.discard_newer(3).unwrap();
    drop(checkpoints);
    assert_eq!(open().save(&41).unwrap().generation, 4);
    let line = r#"{"time":"2026-01-01T00:00:00Z","at":100.0,"event":"save","generation":N,"bytes":1,"stall":1.0,"total":1.0,"reason":"asked","why":""}"#;
    let line = line.replace('N', &u64::MAX.to_string()) + "\n";
    fs::write(directory.path().join(FILE), line).unwrap();
    assert_eq!(open().save(&42).unwrap().generation, 5);
}
