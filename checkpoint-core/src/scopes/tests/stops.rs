//! What is saved, and what a program is told, where a function is to stop.

use super::*;

#[test]
fn a_loop_that_is_told_to_stop_has_saved_all_its_work() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut scopes = open(&path);
    let mut scope = scopes.enter::<u64>("loop").unwrap();
    let mut done = 0;
    scope.save(&done).unwrap();
    while scope.should_stop().is_none() {
        done += 1;
        scope.save_if_due(&done).unwrap();
        if done == 3 {
            // The reason comes between the two calls.
            scope.checkpoints.stop(StopReason::Signal(Signal::TERM));
        }
    }
    drop(scope);
    assert!(scopes.finish().unwrap().stopped.is_some());
    assert_eq!(open(&path).enter::<u64>("loop").unwrap().restored(), Some(done));
}

/// Each call does the same amount of work, then the outer function asks.
#[test]
fn nested_loops_that_ask_are_told_after_a_save() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut scopes = open(&path);
    let mut done = (0, 0);
    let mut outer = scopes.enter::<u64>("outer").unwrap();
    fs::write(path.join("halt"), "").unwrap();
    while outer.should_stop().is_none() {
        outer.keep(&done.0).unwrap();
        let mut inner = outer.enter::<u64>("inner").unwrap();
        done.1 = 0;
        while done.1 < 2 && inner.should_stop().is_none() {
            done.1 += 1;
            inner.save_if_due(&done.1).unwrap();
        }
        drop(inner);
        done.0 += 1;
    }
    drop(outer);
    assert!(scopes.finish().unwrap().stopped.is_some());
    let mut scopes = open(&path);
    let mut outer = scopes.enter::<u64>("outer").unwrap();
    assert_eq!(outer.restored(), Some(done.0 - 1));
    assert_eq!(outer.enter::<u64>("inner").unwrap().restored(), Some(done.1));
}

/// Adds 1 three times for each turn of the outer loop. The request to stop comes after `until` of
/// these additions.
fn add_nested(path: &Path, until: u64, saves_always: bool) -> Result<(u64, Finished), Error> {
    fn inner(scopes: &mut Scopes, left: &mut u64) -> Result<u64, Error> {
        let mut scope = scopes.enter::<u64>("inner")?;
        let mut sum = scope.restored().unwrap_or(0);
        while sum < 3 && scope.should_stop().is_none() {
            sum += 1;
            *left = left.wrapping_sub(1);
            if *left == 0 {
                scope.checkpoints.stop(StopReason::Signal(Signal::TERM));
            }
            scope.save_if_due(&sum)?;
        }
        Ok(sum)
    }
    let (mut scopes, mut left) = (open(path), until);
    let mut outer = scopes.enter::<(u64, u64)>("outer")?;
    let (mut i, mut sum) = outer.restored().unwrap_or((0, 0));
    while i < 3 && outer.should_stop().is_none() {
        outer.keep(&(i, sum))?;
        sum += inner(&mut outer, &mut left)?;
        i += 1;
        if saves_always {
            outer.save(&(i, sum))?;
        } else {
            outer.save_if_due(&(i, sum))?;
        }
    }
    drop(outer);
    Ok((sum, scopes.finish()?))
}

#[test]
fn an_outer_save_does_not_count_stopped_work_as_done() {
    for until in 1..=9 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.ckpt");
        let (_, stopped) = add_nested(&path, until, false).unwrap();
        assert!(stopped.stopped.is_some(), "{until}");
        let (sum, finished) = add_nested(&path, u64::MAX, false).unwrap();
        assert_eq!((sum, finished.stopped), (9, None), "{until}");
    }
}

#[test]
fn a_save_around_stopped_work_is_an_error_and_costs_none() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let error = add_nested(&path, 5, true).unwrap_err();
    assert!(matches!(&error, Error::ScopeStopped { name, exit_code: 75 } if name == "outer"), "{error}");
    let mut scopes = open(&path);
    let mut outer = scopes.enter::<(u64, u64)>("outer").unwrap();
    assert_eq!(outer.restored(), Some((1, 3)));
    assert_eq!(outer.enter::<u64>("inner").unwrap().restored(), Some(2));
    drop(outer);
    drop(scopes);
    assert_eq!(add_nested(&path, u64::MAX, true).unwrap().0, 9);
}

/// As `main` ends where the error is passed on, and where it is handled.
#[test]
fn a_halt_that_ends_in_an_error_of_a_save_is_met() {
    for finishes in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.ckpt");
        let mut scopes = open(&path);
        let mut outer = scopes.enter::<u64>("outer").unwrap();
        outer.keep(&0).unwrap();
        let mut inner = outer.enter::<u64>("inner").unwrap();
        inner.save(&1).unwrap();
        crate::stop::request_halt(&path, "").unwrap();
        while inner.should_stop().is_none() {}
        drop(inner);
        let error = outer.save(&1).unwrap_err();
        assert!(matches!(error, Error::ScopeStopped { exit_code: 76, .. }), "{error}");
        drop(outer);
        if finishes {
            assert!(scopes.finish().unwrap().stopped.is_some());
        } else {
            drop(scopes);
        }
        assert!(!path.join("halt").exists());
        let mut scopes = open(&path);
        assert!(scopes.should_stop().is_none());
        let mut outer = scopes.enter::<u64>("outer").unwrap();
        assert_eq!(outer.enter::<u64>("inner").unwrap().restored(), Some(1));
    }
}

/// With a scope of its own, or with a loop in the work itself.
#[test]
fn stopped_work_is_not_remembered_as_done_once() {
    let count = |scopes: &mut Scopes, stops: bool| -> Result<u64, Error> {
        let mut scope = scopes.enter::<u64>("count")?;
        let mut count = scope.restored().unwrap_or(0);
        while count < 4 {
            count += 1;
            if stops && count == 2 {
                scope.checkpoints.stop(StopReason::Signal(Signal::TERM));
            }
            scope.save_if_due(&count)?;
            if scope.should_stop().is_some() {
                break;
            }
        }
        Ok(count)
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let run = |stops: bool| {
        let mut scopes = open(&path);
        let mut program = scopes.enter::<()>("main").unwrap();
        let a = program.once("a", |scopes| count(scopes, stops)).unwrap();
        let b = program.once("b", |scopes| count(scopes, false)).unwrap();
        drop(program);
        (a, b, scopes.finish().unwrap().stopped.is_some())
    };
    assert_eq!(run(true), (2, 1, true));
    assert_eq!(run(false), (4, 4, false));

    let mut scopes = open(&path);
    let mut program = scopes.enter::<()>("main").unwrap();
    program.save(&()).unwrap();
    program.checkpoints.stop(StopReason::Signal(Signal::TERM));
    let half = program.once("half", |scopes| {
        while scopes.should_stop().is_none() {}
        Ok::<u64, Error>(1)
    });
    assert_eq!(half.unwrap(), 1);
    let mut after = program.enter::<u64>("after").unwrap();
    assert_eq!(after.save_if_due(&1).unwrap(), Decision::NotDue);
    assert!(matches!(after.save(&1).unwrap_err(), Error::ScopeStopped { .. }));
    drop(after);
    drop(program);
    drop(scopes);
    let mut scopes = open(&path);
    let mut program = scopes.enter::<()>("main").unwrap();
    assert_eq!(program.once("half", |_| Ok::<u64, Error>(2)).unwrap(), 2);
}

/// The work that was stopped has no scope in which it could save.
#[test]
fn what_was_done_before_stopped_work_is_saved() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    for saves in [false, true] {
        let mut scopes = open(&path);
        let mut program = scopes.enter::<u64>("main").unwrap();
        program.keep(&5).unwrap();
        assert_eq!(program.once("a", |_| Ok::<u64, Error>(1)).unwrap(), 1);
        program.checkpoints.stop(StopReason::Signal(Signal::TERM));
        let half = program.once("b", |scopes| {
            while scopes.should_stop().is_none() {}
            Err::<u64, Error>(Error::StoppedUnsaved { path: path.clone() })
        });
        half.unwrap_err();
        // Those behind it are not saved, and of the others what they kept before.
        let mut late = program.enter::<u64>("late").unwrap();
        assert_eq!(late.save_if_due(&1).unwrap(), Decision::NotDue);
        drop(late);
        program.keep(&8).unwrap();
        if saves {
            let error = program.save(&6).unwrap_err();
            assert!(matches!(error, Error::ScopeStopped { exit_code: 75, .. }), "{error}");
        } else {
            assert!(program.save_if_due(&6).unwrap().is_saved());
        }
        assert_eq!(program.save_if_due(&7).unwrap(), Decision::NotDue);
        drop(program);
        assert!(scopes.finish().unwrap().stopped.is_some());
        let mut scopes = open(&path);
        let mut program = scopes.enter::<u64>("main").unwrap();
        assert_eq!(program.restored(), Some(5));
        assert_eq!(program.once("a", |_| Ok::<u64, Error>(2)).unwrap(), 1);
        assert_eq!(program.once("b", |_| Ok::<u64, Error>(3)).unwrap(), 3);
        // The calls that did not count do not.
        assert_eq!(program.enter::<u64>("late").unwrap().call(), 1);
    }
}

/// It would go back to before the save inside.
#[test]
fn a_save_inside_of_work_that_was_stopped_later_stands() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut scopes = open(&path);
    let mut program = scopes.enter::<()>("main").unwrap();
    let half = program.once("b", |scopes| {
        let mut train = scopes.enter::<u64>("train")?;
        train.save(&9)?;
        drop(train);
        scopes.checkpoints.stop(StopReason::Signal(Signal::TERM));
        while scopes.should_stop().is_none() {}
        Ok::<u64, Error>(1)
    });
    assert_eq!(half.unwrap(), 1);
    assert_eq!(program.save_if_due(&()).unwrap(), Decision::NotDue);
    drop(program);
    drop(scopes);
    let mut scopes = open(&path);
    let mut program = scopes.enter::<()>("main").unwrap();
    let went_on = program.once("b", |scopes| Ok::<_, Error>(scopes.enter::<u64>("train")?.restored()));
    assert_eq!(went_on.unwrap(), Some(9));
}

/// As above, where the save is of an earlier run, or of a direct call before the work.
#[test]
fn what_an_earlier_save_has_is_not_given_up_for_a_stop() {
    let asks = |scopes: &mut Scopes| {
        scopes.checkpoints.stop(StopReason::Signal(Signal::TERM));
        while scopes.should_stop().is_none() {}
        Ok::<u64, Error>(1)
    };
    let train = |scopes: &mut Scopes| -> Result<Option<u64>, Error> {
        let mut train = scopes.enter::<u64>("train")?;
        let restored = train.restored();
        if restored.is_none() {
            train.save(&9)?;
        }
        Ok(restored)
    };
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    for run in 0..3 {
        let mut scopes = open(&path);
        let mut program = scopes.enter::<()>("main").unwrap();
        let worked = program.once("b", |scopes| {
            let restored = train(scopes)?;
            if run == 1 {
                asks(scopes)?;
            }
            Ok::<_, Error>(restored)
        });
        assert_eq!(worked.unwrap(), (run > 0).then_some(9), "{run}");
        if run == 1 {
            assert_eq!(program.save_if_due(&()).unwrap(), Decision::NotDue);
        }
    }
    let path = directory.path().join("direct.ckpt");
    for run in 0..2 {
        let mut scopes = open(&path);
        let mut program = scopes.enter::<u64>("main").unwrap();
        program.keep(&1).unwrap();
        assert_eq!(train(&mut program).unwrap(), (run > 0).then_some(9), "{run}");
        if run == 0 {
            program.once("a", |_| Ok::<u64, Error>(1)).unwrap();
            program.once("b", asks).unwrap();
            assert_eq!(program.save_if_due(&2).unwrap(), Decision::NotDue);
        }
    }
}

#[test]
fn a_scope_behind_a_stop_in_the_same_work_saves_no_half() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let run = |stops: bool| {
        let mut scopes = open(&path);
        let mut program = scopes.enter::<()>("main").unwrap();
        let worked = program.once("b", |scopes| {
            // The half, where it is stopped.
            let mut loaded = 0;
            if stops {
                scopes.checkpoints.stop(StopReason::Signal(Signal::TERM));
            }
            while loaded < 4 && (!stops || scopes.should_stop().is_none()) {
                loaded += 1;
            }
            let mut train = scopes.enter::<u64>("train")?;
            let sum = train.restored().unwrap_or(loaded);
            assert!(!stops || train.save_if_due(&sum)? == Decision::NotDue);
            Ok::<u64, Error>(sum)
        });
        let saved = program.save_if_due(&()).unwrap();
        drop(program);
        (worked.unwrap(), saved.is_saved(), scopes.finish().unwrap().stopped.is_some())
    };
    let (half, saved, stopped) = run(true);
    assert!(half < 4 && saved && stopped, "{half}");
    assert_eq!(run(false).0, 4);
}

/// The first function only asks, and the second is called all the same.
#[test]
fn variables_kept_behind_stopped_work_are_not_saved() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let part = |scopes: &mut Scopes, stops: bool| -> Result<u64, Error> {
        let mut scope = scopes.enter::<u64>("part")?;
        if stops {
            scope.checkpoints.stop(StopReason::Signal(Signal::TERM));
        }
        let mut sum = 0;
        while sum < 4 && (!stops || scope.should_stop().is_none()) {
            sum += 1;
        }
        Ok(sum)
    };
    let mut scopes = open(&path);
    let mut main = scopes.enter::<(u64, u64)>("main").unwrap();
    main.keep(&(1, 0)).unwrap();
    main.once("x", |_| Ok::<u64, Error>(1)).unwrap();
    let mut sum = part(&mut main, true).unwrap();
    assert!(sum < 4);
    assert!(main.should_stop().is_some());
    main.keep(&(2, sum)).unwrap();
    // It may be of a new turn.
    assert_eq!(main.once("x", |_| Ok::<u64, Error>(2)).unwrap(), 2);
    sum += part(&mut main, true).unwrap();
    assert!(main.save_if_due(&(3, sum)).unwrap().is_saved());
    drop(main);
    assert!(scopes.finish().unwrap().stopped.is_some());
    let mut scopes = open(&path);
    let mut main = scopes.enter::<(u64, u64)>("main").unwrap();
    assert_eq!(main.restored(), Some((1, 0)));
    assert_eq!(part(&mut main, false).unwrap(), 4);
}

#[test]
fn a_function_may_save_after_it_was_told_to_stop() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut scopes = open(&path);
    let mut outer = scopes.enter::<u64>("outer").unwrap();
    outer.keep(&7).unwrap();
    let mut inner = outer.enter::<u64>("inner").unwrap();
    inner.checkpoints.stop(StopReason::Signal(Signal::TERM));
    let mut count = 0;
    while inner.should_stop().is_none() {
        count += 1;
    }
    inner.save(&count).unwrap();
    drop(inner);
    drop(outer);
    assert!(scopes.finish().unwrap().stopped.is_some());
    let mut scopes = open(&path);
    let mut outer = scopes.enter::<u64>("outer").unwrap();
    assert_eq!(outer.restored(), Some(7));
    assert_eq!(outer.enter::<u64>("inner").unwrap().restored(), Some(count));
}

#[test]
fn a_loop_that_saves_always_and_one_that_never_does_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut scopes = open(&path);
    let mut scope = scopes.enter::<u64>("loop").unwrap();
    fs::write(path.join("halt"), "").unwrap();
    let mut done = 0;
    while scope.should_stop().is_none() {
        done += 1;
        scope.save(&done).unwrap();
    }
    drop(scope);
    assert!(scopes.finish().unwrap().stopped.is_some());

    let mut scopes = open(&path);
    let mut scope = scopes.enter::<u64>("loop").unwrap();
    assert_eq!(scope.restored(), Some(done));
    fs::write(path.join("halt"), "").unwrap();
    while scope.should_stop().is_none() {}
    drop(scope);
    let error = scopes.finish().unwrap_err();
    assert!(matches!(error, Error::StoppedUnsaved { .. }), "{error}");
}

/// A loop that trains, and an evaluation behind it. `stop` is an epoch.
fn train(path: &Path, stop: Option<u64>) -> Result<(u64, Finished), Error> {
    let mut scopes = open(path);
    let mut main = scopes.enter::<u64>("main")?;
    let mut epoch = main.restored().unwrap_or(0);
    while epoch < 6 && main.should_stop().is_none() {
        epoch += 1;
        if stop == Some(epoch) {
            main.checkpoints.stop(StopReason::Signal(Signal::TERM));
        }
        main.save_if_due(&epoch)?;
    }
    main.keep(&epoch)?;
    let doubled = main.once("doubled", |_| Ok::<u64, Error>(2 * epoch))?;
    let score = {
        let mut evaluation = main.enter::<(u64, u64)>("evaluation")?;
        let (mut k, mut score) = evaluation.restored().unwrap_or((0, 0));
        while k < 3 {
            k += 1;
            score += doubled;
            evaluation.save_if_due(&(k, score))?;
        }
        score
    };
    drop(main);
    Ok((score, scopes.finish()?))
}

#[test]
fn what_a_stopped_function_calls_is_not_saved() {
    for stop in 1..=5 {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.ckpt");
        assert!(train(&path, Some(stop)).unwrap().1.stopped.is_some(), "{stop}");
        // On the way back, too.
        assert!(train(&path, Some(stop + 1)).unwrap().1.stopped.is_some(), "{stop}");
        let (score, finished) = train(&path, None).unwrap();
        assert_eq!((score, finished.stopped), (36, None), "{stop}");
    }
}

/// The inner function is told in the middle of a turn, between two saves.
#[test]
fn a_stop_with_a_save_of_the_inner_function_ends_well() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut scopes = open(&path);
    let mut outer = scopes.enter::<u64>("outer").unwrap();
    outer.keep(&0).unwrap();
    let mut inner = outer.enter::<u64>("inner").unwrap();
    inner.save(&7).unwrap();
    inner.checkpoints.stop(StopReason::Signal(Signal::TERM));
    while inner.should_stop().is_none() {}
    drop(inner);
    // The next run does not make the first call again.
    outer.keep(&0).unwrap();
    assert_eq!(outer.enter::<u64>("inner").unwrap().call(), 2);
    assert_eq!(outer.save_if_due(&1).unwrap(), Decision::NotDue);
    drop(outer);
    assert!(scopes.finish().unwrap().stopped.is_some());
    let mut scopes = open(&path);
    let mut outer = scopes.enter::<u64>("outer").unwrap();
    assert_eq!(outer.restored(), Some(0));
    assert_eq!(outer.enter::<u64>("inner").unwrap().restored(), Some(7));
}

#[test]
fn a_stop_on_the_way_back_lets_the_program_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let part = |scopes: &mut Scopes, name: &str| -> Result<u64, Error> {
        let mut part = scopes.enter::<u64>(name)?;
        let mut n = part.restored().unwrap_or(0);
        while n < 4 {
            part.save_if_due(&n)?;
            if part.should_stop().is_some() {
                break;
            }
            part.keep(&n)?;
            part.enter::<u64>("leaf")?.save(&n)?;
            n += 1;
        }
        Ok(n)
    };
    let mut scopes = open(&path);
    let mut main = scopes.enter::<()>("main").unwrap();
    main.once("a", |scopes| part(scopes, "a")).unwrap();
    // Its last save is in the leaf.
    drop(main);
    drop(scopes);

    let mut scopes = open(&path);
    scopes.checkpoints.stop(StopReason::Signal(Signal::TERM));
    let mut main = scopes.enter::<()>("main").unwrap();
    main.once("a", |scopes| part(scopes, "a")).unwrap();
    main.once("b", |scopes| part(scopes, "b")).unwrap();
    drop(main);
    assert!(scopes.finish().unwrap().stopped.is_some());

    let mut scopes = open(&path);
    let mut main = scopes.enter::<()>("main").unwrap();
    assert_eq!(main.once("a", |scopes| part(scopes, "a")).unwrap(), 4);
    assert_eq!(main.once("b", |scopes| part(scopes, "b")).unwrap(), 4);
    drop(main);
    assert_eq!(scopes.finish().unwrap().stopped, None);
}

#[test]
fn a_loop_that_passes_over_failed_saves_is_told_to_stop() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let disk = FaultyDisk::default();
    let builder = Scopes::builder(&path).schedule(Schedule::every_steps(1));
    let mut scopes = builder.disk(Arc::new(disk.clone())).open().unwrap();
    let mut scope = scopes.enter::<u64>("loop").unwrap();
    scope.save(&0).unwrap();
    scope.checkpoints.stop(StopReason::Signal(Signal::TERM));
    let mut turns = 0;
    while scope.should_stop().is_none() {
        turns += 1;
        assert!(turns < 9);
        disk.plan(Some((0, Fault::Error(EIO))));
        scope.save_if_due(&turns).unwrap_err();
    }
    disk.plan(None);
    // It may save once more.
    scope.save(&turns).unwrap();
    drop(scope);
    assert!(scopes.finish().unwrap().stopped.is_some());
}

#[test]
fn a_stop_on_the_way_back_takes_any_variables() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut scopes = open(&path);
    let mut outer = scopes.enter::<u64>("outer").unwrap();
    outer.keep(&1).unwrap();
    outer.enter::<u64>("inner").unwrap().save(&2).unwrap();
    drop(outer);
    drop(scopes);

    let mut scopes = open(&path);
    scopes.checkpoints.stop(StopReason::Signal(Signal::TERM));
    let mut outer = scopes.enter::<u64>("outer").unwrap();
    outer.keep(&1).unwrap();
    outer.save_if_due(&1).unwrap();
    assert!(outer.should_stop().is_some());
    outer.keep(&7).unwrap();
    (0..3).for_each(|k| assert_eq!(outer.save_if_due(&k).unwrap(), Decision::NotDue));
    let error = outer.save(&1).unwrap_err();
    assert!(matches!(error, Error::ScopeStopped { exit_code: 75, .. }), "{error}");
    let mut summary = outer.enter::<u64>("summary").unwrap();
    (0..3).for_each(|k| summary.keep(&k).unwrap());
    drop(summary);
    drop(outer);
    assert!(scopes.finish().unwrap().stopped.is_some());
}

/// The job fails before it saves, again and again.
#[test]
fn a_job_that_fails_at_each_restore_is_told_to_stop() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut scopes = open(&path);
    scopes.enter::<u64>("job").unwrap().save(&1).unwrap();
    scopes.checkpoints.stop(StopReason::Signal(Signal::TERM));
    let mut passes = 0;
    while scopes.should_stop().is_none() {
        scopes.restore().unwrap();
        drop(scopes.enter::<u64>("job").unwrap());
        passes += 1;
        assert!(passes < 9);
    }
}

/// The call fails before it comes to the scope that saved, again and again.
#[test]
fn a_loop_that_never_comes_back_is_told_to_stop() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut scopes = open(&path);
    let mut outer = scopes.enter::<u64>("outer").unwrap();
    outer.keep(&0).unwrap();
    let mut job = outer.enter::<u64>("job").unwrap();
    job.keep(&0).unwrap();
    job.enter::<u64>("part").unwrap().save(&1).unwrap();
    drop(job);
    drop(outer);
    drop(scopes);
    let mut scopes = open(&path);
    scopes.checkpoints.stop(StopReason::Signal(Signal::TERM));
    let mut outer = scopes.enter::<u64>("outer").unwrap();
    let mut turns = 0;
    while outer.should_stop().is_none() {
        outer.keep(&0).unwrap();
        drop(outer.enter::<u64>("job").unwrap());
        turns += 1;
        assert!(turns < 9);
    }
    drop(outer);
    assert!(scopes.finish().unwrap().stopped.is_some());
}

#[test]
fn a_stop_at_the_start_ends_a_restart_well() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let run = |ends: bool| {
        let mut scopes = open(&path);
        let mut outer = scopes.enter::<u64>("outer").unwrap();
        let mut i = outer.restored().unwrap_or(0);
        while i < 3 && outer.should_stop().is_none() {
            outer.keep(&i).unwrap();
            let mut inner = outer.enter::<u64>("inner").unwrap();
            let mut j = inner.restored().unwrap_or(0);
            while j < 2 && inner.should_stop().is_none() {
                j += 1;
                inner.save_if_due(&j).unwrap();
            }
            if ends {
                // All of its work is saved.
                inner.save(&j).unwrap();
                return None;
            }
            if j < 2 {
                break;
            }
            i += 1;
        }
        drop(outer);
        Some(scopes.finish().unwrap().stopped.is_some())
    };
    assert_eq!(run(true), None);
    crate::stop::request_halt(&path, "").unwrap();
    assert_eq!(run(false), Some(true));
    assert_eq!(run(false), Some(false));
}

#[test]
fn a_program_that_restores_its_scopes_after_a_stop_saves() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut scopes = open(&path);
    for number in 0..2 {
        let mut main = scopes.enter::<u64>("main").unwrap();
        assert_eq!(main.restored(), (number > 0).then_some(0));
        main.save(&number).unwrap();
        main.checkpoints.stop(StopReason::Signal(Signal::TERM));
        let half = main.once("half", |scopes| {
            while scopes.should_stop().is_none() {}
            Err::<u64, Error>(Error::ScopeActive { name: "for a moment".to_owned() })
        });
        half.unwrap_err();
        drop(main);
        scopes.restore().unwrap();
    }
}

#[test]
fn a_save_is_a_turn_in_which_no_function_asks_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut scopes = open(&path);
    let mut scope = scopes.enter::<u64>("loop").unwrap();
    assert!(scope.should_stop().is_none());
    scope.save(&1).unwrap();
    scope.checkpoints.stop(StopReason::Signal(Signal::TERM));
    assert!(scope.should_stop().is_none());
    assert!(scope.save_if_due(&2).unwrap().is_saved());
    assert!(scope.should_stop().is_some());
}

/// A function behind a stop calls the save that it does not make no save.
#[test]
fn a_stop_without_a_save_does_not_end_well() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut scopes = open(&path);
    scopes.checkpoints.stop(StopReason::Signal(Signal::TERM));
    while scopes.should_stop().is_none() {}
    let mut late = scopes.enter::<u64>("late").unwrap();
    late.keep(&1).unwrap();
    assert_eq!(late.save_if_due(&1).unwrap(), Decision::NotDue);
    drop(late);
    let error = scopes.finish().unwrap_err();
    assert!(matches!(error, Error::StoppedUnsaved { .. }), "{error}");

    // A save of the function that was told, or of an earlier run, is one.
    for number in 0..2 {
        let mut scopes = open(&path);
        if number == 0 {
            let mut main = scopes.enter::<u64>("main").unwrap();
            main.save(&7).unwrap();
            main.checkpoints.stop(StopReason::Signal(Signal::TERM));
            while main.should_stop().is_none() {}
            main.enter::<u64>("late").unwrap().save_if_due(&1).unwrap();
        } else {
            scopes.checkpoints.stop(StopReason::Signal(Signal::TERM));
            while scopes.should_stop().is_none() {}
            scopes.enter::<u64>("late").unwrap().save_if_due(&1).unwrap();
        }
        assert!(scopes.finish().unwrap().stopped.is_some());
    }
    assert_eq!(open(&path).enter::<u64>("main").unwrap().restored(), Some(7));
}

#[test]
fn a_failed_save_that_is_passed_over_is_none_for_a_stop() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let disk = FaultyDisk::default();
    let builder = Scopes::builder(&path).schedule(Schedule::every_steps(1));
    let builder = builder.on_failed_save(OnFailedSave::go_on());
    let mut scopes = builder.disk(Arc::new(disk.clone())).open().unwrap();
    let mut main = scopes.enter::<u64>("main").unwrap();
    main.keep(&1).unwrap();
    disk.plan(Some((0, Fault::Error(EIO))));
    let decision = main.save_if_due(&1).unwrap();
    assert!(matches!(decision, Decision::Failed { .. }), "{decision}");
    disk.plan(None);
    main.checkpoints.stop(StopReason::Signal(Signal::TERM));
    let half = main.once("half", |scopes| {
        while scopes.should_stop().is_none() {}
        Ok::<u64, Error>(1)
    });
    half.unwrap();
    assert!(main.save_if_due(&2).unwrap().is_saved());
    drop(main);
    assert!(scopes.finish().unwrap().stopped.is_some());
    assert_eq!(open(&path).enter::<u64>("main").unwrap().restored(), Some(1));
}

/// The program asks for the second one on its way to a stop.
#[test]
fn results_that_are_there_are_given_behind_a_stop() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut scopes = open(&path);
    let mut main = scopes.enter::<u64>("main").unwrap();
    main.keep(&1).unwrap();
    main.once("a", |_| Ok::<u64, Error>(1)).unwrap();
    main.once("b", |scopes| scopes.enter::<u64>("inner")?.save(&1).map(drop)).unwrap();
    drop(main);
    drop(scopes);
    for gets_it_before in [false, true] {
        let mut scopes = open(&path);
        let mut main = scopes.enter::<u64>("main").unwrap();
        main.keep(&1).unwrap();
        if gets_it_before {
            assert_eq!(main.once("a", |_| Ok::<u64, Error>(2)).unwrap(), 1);
            main.keep(&1).unwrap();
        }
        main.checkpoints.stop(StopReason::Signal(Signal::TERM));
        while main.should_stop().is_none() {}
        if !gets_it_before {
            assert_eq!(main.once("a", |_| Ok::<u64, Error>(2)).unwrap(), 1);
        }
        // This may be the next turn.
        main.keep(&2).unwrap();
        assert_eq!(main.once("a", |_| Ok::<u64, Error>(2)).unwrap(), 2);
    }
}

/// The work is stopped in a scope without variables that has no result yet, or in the function
/// around it.
#[test]
fn a_stop_before_a_first_result_saves_what_was_kept() {
    for is_inner in [true, false] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.ckpt");
        let mut scopes = open(&path);
        let mut outer = scopes.enter::<u64>("outer").unwrap();
        outer.save(&1).unwrap();
        outer.keep(&2).unwrap();
        outer.checkpoints.stop(StopReason::Signal(Signal::TERM));
        let half = |scopes: &mut Scopes| {
            while scopes.should_stop().is_none() {}
            Ok::<u64, Error>(1)
        };
        if is_inner {
            let mut inner = outer.enter::<()>("inner").unwrap();
            inner.once("half", half).unwrap();
            assert!(inner.save_if_due(&()).unwrap().is_saved());
        } else {
            outer.once("half", half).unwrap();
            assert!(outer.save_if_due(&3).unwrap().is_saved());
        }
        drop(outer);
        assert!(scopes.finish().unwrap().stopped.is_some());
        assert_eq!(open(&path).enter::<u64>("outer").unwrap().restored(), Some(2));
    }
}

/// The last save is of the work itself, in a scope inside of it.
#[test]
fn a_result_behind_the_last_save_is_saved_for_a_stop() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut scopes = open(&path);
    let mut main = scopes.enter::<()>("main").unwrap();
    main.once("a", |scopes| scopes.enter::<u64>("inner")?.save(&1).map(drop)).unwrap();
    main.checkpoints.stop(StopReason::Signal(Signal::TERM));
    let half = main.once("half", |scopes| {
        while scopes.should_stop().is_none() {}
        Ok::<u64, Error>(1)
    });
    half.unwrap();
    assert!(main.save_if_due(&()).unwrap().is_saved());
    drop(main);
    drop(scopes);
    let mut scopes = open(&path);
    let mut main = scopes.enter::<()>("main").unwrap();
    main.once("a", |_| Err::<(), Error>(Error::ScopeActive { name: "again".to_owned() })).unwrap();
}
