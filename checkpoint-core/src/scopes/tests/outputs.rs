//! The files that a stack of scopes counts are never cut below what a restart may need.

use super::*;

/// An inner function saves a trial of 20 bytes, and a restart rejects it: the outer function has 5.
#[test]
fn no_failed_save_after_a_restart_cuts_an_output() {
    let mut failed = 0;
    for place in 0.. {
        let directory = tempfile::tempdir().unwrap();
        let (path, csv) = (directory.path().join("run.ckpt"), directory.path().join("log.csv"));
        let mut scopes = open(&path);
        let mut outer = scopes.enter::<(u64, Appended)>("outer").unwrap();
        let mut log = Appended::at(&csv);
        log.write_all(b"5555.").unwrap();
        outer.keep(&(0, log.clone())).unwrap();
        let mut inner = outer.enter::<Appended>("inner").unwrap();
        log.write_all(b"20202020202020.").unwrap();
        inner.save(&log).unwrap();
        drop((inner, log));
        drop(outer);
        drop(scopes);

        let disk = FaultyDisk::default();
        let mut scopes = Scopes::builder(&path).disk(Arc::new(disk.clone())).open().unwrap();
        assert!(scopes.restore().unwrap());
        let mut outer = scopes.enter::<(u64, Appended)>("outer").unwrap();
        let (_, mut log) = outer.restored().unwrap();
        let trial = outer.enter::<Appended>("inner").unwrap().restored().unwrap();
        assert_eq!((log.len(), trial.len()), (5, 20));
        drop(trial);
        disk.plan(Some((place, Fault::Error(EIO))));
        let saved = outer.save(&(1, log.clone()));
        let is_last = place >= disk.asked().len();
        disk.plan(None);
        if saved.is_ok() {
            assert_eq!(fs::read_to_string(&csv).unwrap(), "5555.", "{place}");
            log.write_all(b"again").unwrap();
        } else {
            failed += 1;
            let _ = log.write_all(b"again");
        }
        drop(log);
        drop(outer);
        drop(scopes);

        let mut scopes = open(&path);
        let mut outer = scopes.enter::<(u64, Appended)>("outer").unwrap();
        let (step, log) = outer.restored().unwrap();
        assert_eq!(log.len(), 5, "{place}");
        if step == 0 {
            let trial = outer.enter::<Appended>("inner").unwrap().restored().unwrap();
            assert_eq!(trial.len(), 20, "{place}");
            assert_eq!(fs::read_to_string(&csv).unwrap(), "5555.20202020202020.", "{place}");
        }
        if is_last {
            assert!(saved.is_ok(), "{place}");
            break;
        }
    }
    assert!(failed > 2, "{failed}");
}

/// An outer function keeps 20 bytes, and drops the value: only the promise to the next save holds
/// them.
#[test]
fn a_failed_save_leaves_the_outputs_that_are_kept() {
    let mut failed = 0;
    for place in 0.. {
        let directory = tempfile::tempdir().unwrap();
        let (path, csv) = (directory.path().join("run.ckpt"), directory.path().join("log.csv"));
        let disk = FaultyDisk::default();
        let mut scopes = Scopes::builder(&path).disk(Arc::new(disk.clone())).open().unwrap();
        let mut outer = scopes.enter::<Appended>("outer").unwrap();
        let mut log = Appended::at(&csv);
        log.write_all(b"5555.").unwrap();
        let mut early = log.clone();
        log.write_all(b"20202020202020.").unwrap();
        outer.keep(&log).unwrap();
        drop(log);
        let mut inner = outer.enter::<u64>("inner").unwrap();
        disk.plan(Some((place, Fault::Error(EIO))));
        let saved = inner.save(&1);
        let is_last = place >= disk.asked().len();
        disk.plan(None);
        failed += u64::from(saved.is_err());
        // With other bytes the file would be long enough for the next save, and no load would take
        // it.
        early.write_all(&[b'-'; 50]).unwrap_err();
        inner.save(&2).unwrap();
        drop((early, inner));
        drop(outer);
        drop(scopes);

        let mut scopes = open(&path);
        let log = scopes.enter::<Appended>("outer").unwrap().restored().unwrap();
        assert_eq!(log.len(), 20, "{place}");
        assert_eq!(fs::read_to_string(&csv).unwrap(), "5555.20202020202020.", "{place}");
        if is_last {
            assert!(saved.is_ok(), "{place}");
            break;
        }
    }
    assert!(failed > 2, "{failed}");
}

#[test]
fn no_output_of_a_scope_is_cut_while_a_newer_state_is_unread() {
    let directory = tempfile::tempdir().unwrap();
    let (path, csv) = (directory.path().join("run.ckpt"), directory.path().join("log.csv"));
    let mut scopes = open(&path);
    let mut outer = scopes.enter::<Appended>("outer").unwrap();
    let mut log = Appended::at(&csv);
    for line in ["one\n", "two\n"] {
        log.write_all(line.as_bytes()).unwrap();
        outer.save(&log).unwrap();
    }
    drop((outer, log));
    drop(scopes);

    let disk = FaultyDisk::default();
    let mut scopes = Scopes::builder(&path).disk(Arc::new(disk.clone())).open().unwrap();
    disk.be_unread("00000000000000000002.ckpt", usize::MAX);
    let error = scopes.restore().unwrap_err();
    assert!(
        matches!(error, Error::Output { fault: OutputFault::NewerUnread { generation: 2 }, .. }),
        "{error}"
    );
    disk.be_unread("", 0);
    assert!(scopes.restore().unwrap());
    let log = scopes.enter::<Appended>("outer").unwrap().restored().unwrap();
    assert_eq!((log.len(), fs::read_to_string(&csv).unwrap().as_str()), (8, "one\ntwo\n"));
}

#[test]
fn a_clone_that_was_kept_before_the_first_write_blocks_none() {
    let directory = tempfile::tempdir().unwrap();
    let (path, csv) = (directory.path().join("run.ckpt"), directory.path().join("log.csv"));
    let mut scopes = open(&path);
    let mut outer = scopes.enter::<(u64, Appended)>("outer").unwrap();
    let mut log = Appended::at(&csv);
    outer.keep(&(0, log.clone())).unwrap();
    log.write_all(b"one\n").unwrap();
    outer.save(&(1, log.clone())).unwrap();
    log.write_all(b"two\n").unwrap();
    outer.save(&(2, log.clone())).unwrap();
    drop(outer);
    drop((scopes, log));
    let mut scopes = open(&path);
    let (turn, log) = scopes.enter::<(u64, Appended)>("outer").unwrap().restored().unwrap();
    assert_eq!((turn, log.len(), fs::read_to_string(&csv).unwrap().as_str()), (2, 8, "one\ntwo\n"));
}

#[test]
fn an_output_in_the_result_of_work_before_a_stop_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let (path, csv) = (directory.path().join("run.ckpt"), directory.path().join("log.csv"));
    let run = |stops: bool| {
        let mut scopes = open(&path);
        let mut main = scopes.enter::<(u64, Appended)>("main").unwrap();
        let mut own = main.restored().unwrap_or_else(|| (0, Appended::at(&csv)));
        while own.0 < 3 && main.should_stop().is_none() {
            main.keep(&own).unwrap();
            let mut log = own.1;
            log = main
                .once("a", |_| {
                    writeln!(log, "a{}", own.0).unwrap();
                    Ok::<_, Error>(log)
                })
                .unwrap();
            log = main
                .once("b", |scopes| {
                    if stops && own.0 == 1 {
                        scopes.checkpoints.stop(StopReason::Signal(Signal::TERM));
                        while scopes.should_stop().is_none() {}
                    }
                    writeln!(log, "b{}", own.0).unwrap();
                    Ok::<_, Error>(log)
                })
                .unwrap();
            own = (own.0 + 1, log);
            main.save_if_due(&own).unwrap();
        }
        drop((main, own));
        scopes.finish().unwrap().stopped.is_some()
    };
    assert!(run(true));
    assert!(!run(false));
    assert_eq!(fs::read_to_string(&csv).unwrap(), "a0\nb0\na1\nb1\na2\nb2\n");
}

/// The bytes are promised until the save has ended, whether it has by then or not.
#[test]
fn an_output_is_not_cut_below_a_save_in_the_background() {
    let directory = tempfile::tempdir().unwrap();
    let (path, csv) = (directory.path().join("run.ckpt"), directory.path().join("log.csv"));
    let builder = Scopes::builder(&path).schedule(Schedule::every_steps(1)).background(true);
    let mut scopes = builder.open().unwrap();
    let mut outer = scopes.enter::<(Appended, Vec<u64>)>("outer").unwrap();
    let mut log = Appended::at(&csv);
    log.write_all(b"five.").unwrap();
    // The thread that saves has something to do.
    outer.keep(&(log.clone(), vec![7; 4 << 20])).unwrap();
    let mut before = log.clone();
    let mut inner = outer.enter::<Appended>("inner").unwrap();
    log.write_all(b"and fifteen....").unwrap();
    assert!(matches!(inner.save_if_due(&log).unwrap(), Decision::Started { .. }));
    drop((inner, log));
    before.write_all(b"others").unwrap_err();
    drop((outer, before));
    drop(scopes);
    let mut scopes = open(&path);
    let mut outer = scopes.enter::<(Appended, Vec<u64>)>("outer").unwrap();
    assert_eq!(outer.enter::<Appended>("inner").unwrap().restored().unwrap().len(), 20);
}

/// A function keeps fewer bytes of an output than before, or one that kept more was left.
#[test]
fn variables_that_were_never_saved_hold_no_output() {
    for is_inner in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let (path, csv) = (directory.path().join("run.ckpt"), directory.path().join("log.csv"));
        let mut scopes = open(&path);
        let mut outer = scopes.enter::<Appended>("outer").unwrap();
        let mut log = Appended::at(&csv);
        log.write_all(b"5555.").unwrap();
        let mut early = log.clone();
        outer.keep(&early).unwrap();
        log.write_all(b"20202020202020.").unwrap();
        if is_inner {
            outer.enter::<Appended>("inner").unwrap().keep(&log).unwrap();
        } else {
            outer.keep(&log).unwrap();
            outer.keep(&early).unwrap();
        }
        drop(log);
        early.write_all(b"other").unwrap();
        outer.save(&early).unwrap();
        assert_eq!(fs::read_to_string(&csv).unwrap(), "5555.other", "{is_inner}");
    }
}

#[test]
fn what_a_stack_before_a_damaged_one_cuts_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let (path, csv) = (directory.path().join("run.ckpt"), directory.path().join("log.csv"));
    let mut scopes = open(&path);
    let mut outer = scopes.enter::<Appended>("outer").unwrap();
    let mut log = Appended::at(&csv);
    for line in ["one\n", "two\n"] {
        log.write_all(line.as_bytes()).unwrap();
        outer.save(&log).unwrap();
    }
    drop((outer, log));
    drop(scopes);
    fs::write(path.join("00000000000000000002.ckpt"), "damaged").unwrap();
    let log = open(&path).enter::<Appended>("outer").unwrap().restored().unwrap();
    assert_eq!((log.len(), fs::read_to_string(&csv).unwrap().as_str()), (4, "one\n"));
    let cut = directory.path().join("log.csv.cut-at-4");
    assert_eq!(fs::read_to_string(cut).unwrap(), "two\n");
}

/// The run that was stopped saved the results of the outer function alone, and the next one was
/// killed in the inner function. The outer function has fewer bytes.
#[test]
fn an_output_in_a_result_that_was_found_is_not_cut() {
    let directory = tempfile::tempdir().unwrap();
    let (path, csv) = (directory.path().join("run.ckpt"), directory.path().join("log.csv"));
    for number in 0..3 {
        let mut scopes = open(&path);
        let mut main = scopes.enter::<Appended>("main").unwrap();
        let log = main.restored().unwrap_or_else(|| {
            let mut log = Appended::at(&csv);
            log.write_all(b"5555.").unwrap();
            log
        });
        main.keep(&log).unwrap();
        let early = log.clone();
        let write = |mut log: Appended| {
            log.write_all(b"20202020202020.").unwrap();
            Ok::<_, Error>(log)
        };
        let mut log = main.once("a", |_| write(log)).unwrap();
        main.once("b", |_| Ok::<_, Error>(early)).unwrap();
        log.flush().unwrap();
        assert_eq!(log.len(), 20, "{number}");
        assert_eq!(fs::read_to_string(&csv).unwrap(), "5555.20202020202020.", "{number}");
        if number == 0 {
            main.checkpoints.stop(StopReason::Signal(Signal::TERM));
            let half = main.once("c", |scopes| {
                while scopes.should_stop().is_none() {}
                Ok::<u64, Error>(1)
            });
            half.unwrap();
            assert!(main.save_if_due(&log).unwrap().is_saved());
        } else {
            main.enter::<u64>("inner").unwrap().save(&1).unwrap();
        }
    }
}

/// The function in the middle has more of the output than the one around it, and a result.
#[test]
fn a_scope_that_was_left_on_the_way_back_keeps_all_it_has() {
    let directory = tempfile::tempdir().unwrap();
    let (path, csv) = (directory.path().join("run.ckpt"), directory.path().join("log.csv"));
    let mut scopes = open(&path);
    let mut outer = scopes.enter::<Appended>("outer").unwrap();
    let mut log = Appended::at(&csv);
    log.write_all(b"5555.").unwrap();
    outer.keep(&log).unwrap();
    let mut middle = outer.enter::<Appended>("middle").unwrap();
    log.write_all(b"20202020202020.").unwrap();
    middle.keep(&log).unwrap();
    middle.once("a", |_| Ok::<u64, Error>(7)).unwrap();
    middle.enter::<u64>("leaf").unwrap().save(&1).unwrap();
    drop((middle, log));
    drop(outer);
    drop(scopes);
    for number in 0..2 {
        let mut scopes = open(&path);
        let mut outer = scopes.enter::<Appended>("outer").unwrap();
        let log = outer.restored().unwrap();
        outer.keep(&log).unwrap();
        // It fails.
        drop(outer.enter::<Appended>("middle").unwrap());
        outer.save(&log).unwrap();
        drop(log);
        let mut middle = outer.enter::<Appended>("middle").unwrap();
        let log = middle.restored().unwrap();
        assert_eq!(log.len(), 20, "{number}");
        assert_eq!(fs::read_to_string(&csv).unwrap(), "5555.20202020202020.", "{number}");
        middle.keep(&log).unwrap();
        assert_eq!(middle.once("a", |_| Ok::<u64, Error>(99)).unwrap(), 7, "{number}");
        assert_eq!(middle.enter::<u64>("leaf").unwrap().restored(), Some(1));
    }
}

/// The work begins a file, and the scope inside has it. Its result was forgotten before the save.
#[test]
fn work_that_is_done_again_on_the_way_back_holds_no_file() {
    let directory = tempfile::tempdir().unwrap();
    let (path, csv) = (directory.path().join("run.ckpt"), directory.path().join("log.csv"));
    for until in 1..4 {
        let mut scopes = open(&path);
        let mut outer = scopes.enter::<u64>("outer").unwrap();
        outer.keep(&7).unwrap();
        let log = outer.once("open", |_| {
            let mut log = Appended::at(&csv);
            writeln!(log, "header").unwrap();
            Ok::<_, Error>(log)
        });
        outer.keep(&7).unwrap();
        let mut inner = outer.enter::<(u64, Appended)>("inner").unwrap();
        let (mut count, mut log) = inner.restored().unwrap_or((0, log.unwrap()));
        while count < until {
            writeln!(log, "{count}").unwrap();
            count += 1;
            inner.save(&(count, log.clone())).unwrap();
        }
    }
    assert_eq!(fs::read_to_string(&csv).unwrap(), "header\n0\n1\n2\n");
}

/// A restart makes the direct call again, which writes to the file of the result behind it.
#[test]
fn a_result_behind_a_direct_call_holds_no_bytes_of_the_call() {
    let directory = tempfile::tempdir().unwrap();
    let (path, csv) = (directory.path().join("run.ckpt"), directory.path().join("log.csv"));
    for stops in [true, false] {
        let mut scopes = open(&path);
        let mut main = scopes.enter::<(u64, Appended)>("main").unwrap();
        let (mut i, mut log) = main.restored().unwrap_or_else(|| (0, Appended::at(&csv)));
        main.keep(&(i, log.clone())).unwrap();
        log = {
            let mut inner = main.enter::<(u64, Appended)>("inner").unwrap();
            let (mut count, mut log) = inner.restored().unwrap_or((0, log));
            while count < 3 {
                writeln!(log, "{count}").unwrap();
                count += 1;
                inner.save_if_due(&(count, log.clone())).unwrap();
            }
            log
        };
        let summary = main.once("summary", |_| {
            writeln!(log, "end").unwrap();
            Ok::<_, Error>(log)
        });
        log = summary.unwrap();
        let stopped = main.once("check", |scopes| {
            if stops {
                scopes.checkpoints.stop(StopReason::Signal(Signal::TERM));
                while scopes.should_stop().is_none() {}
            }
            Ok::<u64, Error>(1)
        });
        stopped.unwrap();
        i += 1;
        assert_eq!(main.save_if_due(&(i, log)).unwrap().is_saved(), stops);
    }
    assert_eq!(fs::read_to_string(&csv).unwrap(), "0\n1\n2\nend\n");
}

/// Other work, whose result is forgotten each time, comes before it in each turn.
#[test]
fn a_result_that_a_stop_saved_waits_for_the_program() {
    let directory = tempfile::tempdir().unwrap();
    let (path, csv) = (directory.path().join("run.ckpt"), directory.path().join("log.csv"));
    for stops in [true, false] {
        let mut scopes = open(&path);
        let mut main = scopes.enter::<(u64, Appended)>("main").unwrap();
        let (mut i, mut log) = main.restored().unwrap_or_else(|| (0, Appended::at(&csv)));
        main.keep(&(i, log.clone())).unwrap();
        main.once("load", |_| Ok::<u64, Error>(5)).unwrap();
        while i < 3 && main.should_stop().is_none() {
            main.keep(&(i, log.clone())).unwrap();
            let written = main.once("write", |_| {
                writeln!(log, "{i}").unwrap();
                Ok::<_, Error>(log)
            });
            log = written.unwrap();
            let checked = main.once("check", |scopes| {
                if stops && i == 1 {
                    scopes.checkpoints.stop(StopReason::Signal(Signal::TERM));
                    while scopes.should_stop().is_none() {}
                }
                Ok::<u64, Error>(1)
            });
            checked.unwrap();
            i += 1;
            main.save_if_due(&(i, log.clone())).unwrap();
        }
    }
    assert_eq!(fs::read_to_string(&csv).unwrap(), "0\n1\n2\n");
}

/// The scope inside saves, and has not opened the output of the one around it.
#[test]
fn an_output_that_an_earlier_run_did_not_sync_is_durable() {
    for durable in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let (path, csv) = (directory.path().join("run.ckpt"), directory.path().join("log.csv"));
        let mut scopes = Scopes::builder(&path).durable(false).open().unwrap();
        let mut outer = scopes.enter::<Appended>("outer").unwrap();
        let mut log = Appended::at(&csv);
        log.write_all(b"5555.").unwrap();
        outer.keep(&log).unwrap();
        outer.enter::<u64>("inner").unwrap().save(&1).unwrap();
        drop((outer, log));
        drop(scopes);
        let disk = FaultyDisk::default();
        let builder = Scopes::builder(&path).durable(durable).disk(Arc::new(disk.clone()));
        let mut scopes = builder.open().unwrap();
        disk.plan(None);
        scopes.restore().unwrap();
        assert_eq!(disk.asked().iter().any(|asked| asked == "sync file log.csv"), durable);
    }
}
