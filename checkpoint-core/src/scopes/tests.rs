mod programs;

use std::fs;
use std::io::Write;
use std::time::Duration;

use super::*;
use crate::outcome::Signal;
use crate::schedule::Schedule;
use crate::store::faults::{EIO, Fault, FaultyDisk};
use crate::{Appended, reports::OutputFault};

const SELDOM: Duration = Duration::from_secs(3600);

fn open(path: &Path) -> Scopes {
    let mut scopes = Scopes::builder(path).schedule(Schedule::every(SELDOM)).open().unwrap();
    scopes.restore().unwrap();
    scopes
}

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

/// Whether a stop, a save or a kill comes between: a call that is done again counts once.
#[test]
fn the_number_of_a_call_is_that_of_a_run_without_a_restart() {
    let told = |scopes: &mut Scopes| {
        scopes.checkpoints.stop(StopReason::Signal(Signal::TERM));
        while scopes.should_stop().is_none() {}
        Ok::<u64, Error>(0)
    };
    let call = |scopes: &mut Scopes, name: &str| scopes.enter::<()>(name).unwrap().call();
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);

    // The call comes before work that is told to stop.
    let mut scopes = open(&at("work"));
    let mut main = scopes.enter::<u64>("main").unwrap();
    main.keep(&1).unwrap();
    assert_eq!(call(&mut main, "sample"), 1);
    main.once("refine", told).unwrap();
    assert!(main.save_if_due(&2).unwrap().is_saved());
    drop(main);
    drop(scopes);
    let mut scopes = open(&at("work"));
    let mut main = scopes.enter::<u64>("main").unwrap();
    assert_eq!(main.restored(), Some(1));
    assert_eq!(call(&mut main, "sample"), 1);
    main.keep(&2).unwrap();
    assert_eq!(call(&mut main, "sample"), 2);

    // The function around them is not saved either.
    let mut scopes = open(&at("between"));
    let mut main = scopes.enter::<u64>("main").unwrap();
    main.keep(&1).unwrap();
    let mut middle = main.enter::<u64>("middle").unwrap();
    middle.keep(&1).unwrap();
    assert_eq!(call(&mut middle, "sample"), 1);
    middle.once("refine", told).unwrap();
    drop(middle);
    main.save_if_due(&2).unwrap();
    drop(main);
    drop(scopes);
    let mut scopes = open(&at("between"));
    let mut main = scopes.enter::<u64>("main").unwrap();
    assert_eq!(main.restored(), Some(1));
    let mut middle = main.enter::<u64>("middle").unwrap();
    assert_eq!((middle.call(), middle.restored()), (1, None));
    middle.keep(&1).unwrap();
    assert_eq!(call(&mut middle, "sample"), 1);

    // The scope has no variables that could count it.
    let mut scopes = open(&at("none"));
    let mut main = scopes.enter::<()>("main").unwrap();
    main.once("a", |scopes| Ok::<u64, Error>(call(scopes, "sample"))).unwrap();
    assert_eq!(call(&mut main, "sample"), 2);
    main.save(&()).unwrap();
    drop(main);
    drop(scopes);
    let mut scopes = open(&at("none"));
    let mut main = scopes.enter::<()>("main").unwrap();
    main.once("a", |scopes| Ok::<u64, Error>(call(scopes, "sample"))).unwrap();
    assert_eq!(call(&mut main, "sample"), 2);

    // It is told, and calls another before it saves once more.
    let mut scopes = open(&at("late"));
    let mut main = scopes.enter::<u64>("main").unwrap();
    main.keep(&0).unwrap();
    told(&mut main).unwrap();
    assert_eq!(call(&mut main, "evaluation"), 1);
    main.save(&1).unwrap();
    drop(main);
    drop(scopes);
    let mut scopes = open(&at("late"));
    let mut main = scopes.enter::<u64>("main").unwrap();
    assert_eq!(main.restored(), Some(1));
    main.keep(&1).unwrap();
    assert_eq!(call(&mut main, "evaluation"), 1);
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

/// The scope that the work saves would be in the way of the direct call, in each restart.
#[test]
fn work_enters_no_scope_behind_a_direct_call() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut scopes = open(&path);
    let mut program = scopes.enter::<()>("main").unwrap();
    let second = |scopes: &mut Scopes| scopes.enter::<u64>("second")?.save(&2);
    program.enter::<u64>("first").unwrap().save(&1).unwrap();
    let error = program.once("second", |scopes| second(scopes).map(drop)).unwrap_err();
    assert!(
        matches!(&error, Error::ScopeNotKept { outer, entered } if outer == "main" && entered == "second"),
        "{error}"
    );
    // Work without a scope is in nobody's way.
    assert_eq!(program.once("sum", |_| Ok::<u64, Error>(3)).unwrap(), 3);
    drop(program);
    drop(scopes);
    let mut scopes = open(&path);
    let mut program = scopes.enter::<()>("main").unwrap();
    assert_eq!(program.enter::<u64>("first").unwrap().restored(), Some(1));
    // Without variables, the two calls would be one to a restart.
    program.keep(&()).unwrap();
    let error = program.enter::<u64>("first").unwrap_err();
    assert!(matches!(error, Error::ScopeNotKept { .. }), "{error}");
}

#[test]
fn a_forgotten_scope_takes_no_variables_of_others() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut scopes = open(&path);
    let mut outer = scopes.enter::<u64>("outer").unwrap();
    outer.keep(&1).unwrap();
    let mut inner = outer.enter::<u64>("inner").unwrap();
    inner.save(&7).unwrap();
    std::mem::forget(inner);
    assert_eq!(outer.call(), 1);
    outer.save(&2).unwrap();
    std::mem::forget(outer.enter::<u64>("inner").unwrap());
    let error = outer.enter::<u64>("inner").unwrap_err();
    assert!(matches!(&error, Error::ScopeNotKept { outer, .. } if outer == "outer"), "{error}");
    outer.keep(&2).unwrap();
    std::mem::forget(outer.enter::<u64>("inner").unwrap());
    outer.once("a", |_| Ok::<u64, Error>(1)).unwrap();
    outer.keep(&2).unwrap();
    let forgets = |scopes: &mut Scopes| {
        std::mem::forget(scopes.enter::<u64>("inner")?);
        Ok::<u64, Error>(2)
    };
    outer.once("b", forgets).unwrap();
    let error = outer.once("b", |_| Ok::<u64, Error>(3)).unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
    outer.keep(&2).unwrap();
    outer.checkpoints.stop(StopReason::Signal(Signal::TERM));
    std::mem::forget(outer.enter::<u64>("inner").unwrap());
    assert!(outer.save_if_due(&3).unwrap().is_saved());
    assert!(outer.should_stop().is_some());
    std::mem::forget(outer.enter::<u64>("late").unwrap());
    assert!(outer.save_if_due(&3).unwrap().is_saved());
    assert_eq!(outer.call(), 1);
    drop(outer);
    drop(scopes);
    let mut scopes = open(&path);
    let mut outer = scopes.enter::<u64>("outer").unwrap();
    assert_eq!(outer.restored(), Some(3));
    assert_eq!(outer.enter::<u64>("inner").unwrap().restored(), None);
}

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
fn a_program_may_restore_its_scopes_after_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let (path, csv) = (directory.path().join("run.ckpt"), directory.path().join("log.csv"));
    let mut scopes = Scopes::open(&path).unwrap();
    let mut failures = 2;
    let mut run = |scopes: &mut Scopes| -> Option<()> {
        let mut main = scopes.enter::<(u64, Appended)>("main").unwrap();
        let mut own = main.restored().unwrap_or_else(|| (0, Appended::at(&csv)));
        while own.0 < 4 {
            writeln!(own.1, "{}", own.0).unwrap();
            main.keep(&own).unwrap();
            let mut inner = main.enter::<()>("inner").unwrap();
            if failures > 0 && own.0 == 2 - failures {
                failures -= 1;
                return None;
            }
            inner.save(&()).unwrap();
            drop(inner);
            own.0 += 1;
            main.save(&own).unwrap();
        }
        Some(())
    };
    // The first error comes before any save.
    while {
        scopes.restore().unwrap();
        run(&mut scopes).is_none()
    } {}
    scopes.finish().unwrap();
    assert_eq!(fs::read_to_string(&csv).unwrap(), "0\n1\n2\n3\n");
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
fn work_before_the_variables_were_kept_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut scopes = open(&path);
    let mut main = scopes.enter::<u64>("main").unwrap();
    let error = main.once("sample", |_| Ok::<u64, Error>(1)).unwrap_err();
    assert!(
        matches!(&error, Error::ScopeNotKept { outer, entered } if outer == "main" && entered == "sample"),
        "{error}"
    );
    main.keep(&7).unwrap();
    main.once("sample", |_| Ok::<u64, Error>(1)).unwrap();
}

/// A restart comes back to the inner scope, whether the outer one keeps or saves before the call.
#[test]
fn a_save_before_each_call_is_no_error_in_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    for started in 0..3 {
        let mut scopes = open(&path);
        let mut outer = scopes.enter::<u64>("outer").unwrap();
        let i = outer.restored().unwrap_or(5);
        outer.save(&i).unwrap();
        for _ in 0..3 {
            outer.save_if_due(&i).unwrap();
        }
        let mut inner = outer.enter::<u64>("inner").unwrap();
        let j = inner.restored().unwrap_or(0);
        assert_eq!(j, started);
        inner.save(&(j + 1)).unwrap();
    }
    // Other variables would not be saved.
    let mut scopes = open(&path);
    let mut outer = scopes.enter::<u64>("outer").unwrap();
    outer.save(&5).unwrap();
    let error = outer.save(&6).unwrap_err();
    assert!(matches!(error, Error::OtherVariables { .. }), "{error}");
}

/// Two functions of one name, and each calls the other.
#[test]
fn a_function_that_failed_on_the_way_back_is_called_again() {
    fn solve(scopes: &mut Scopes, depth: u64, fails: &mut bool) -> Result<u64, Error> {
        let mut scope = scopes.enter::<u64>("solve")?;
        let seen = scope.restored();
        assert!(seen.is_none_or(|seen| seen == depth), "{seen:?} at {depth}");
        if std::mem::take(fails) {
            return Err(Error::ScopeActive { name: "for a moment".to_owned() });
        }
        scope.save(&depth)?;
        if depth < 3 { solve(&mut scope, depth + 1, fails) } else { Ok(depth) }
    }
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    solve(&mut open(&path), 0, &mut false).unwrap();
    for _ in 0..3 {
        let mut scopes = open(&path);
        let mut fails = true;
        let mut main = scopes.enter::<u64>("solve").unwrap();
        assert_eq!(main.restored(), Some(0));
        main.save(&0).unwrap();
        solve(&mut main, 1, &mut fails).unwrap_err();
        main.save(&0).unwrap();
        assert_eq!(solve(&mut main, 1, &mut fails).unwrap(), 3);
    }
}

#[test]
fn a_program_that_left_its_way_back_is_told_when_it_saves() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut scopes = open(&path);
    let mut main = scopes.enter::<u64>("main").unwrap();
    main.keep(&100).unwrap();
    main.enter::<u64>("evaluation").unwrap().save(&1).unwrap();
    drop(main);
    drop(scopes);

    let builder = Scopes::builder(&path).schedule(Schedule::every_steps(1));
    let mut scopes = builder.open().unwrap();
    scopes.restore().unwrap();
    let mut main = scopes.enter::<u64>("main").unwrap();
    // It does not evaluate any more.
    main.keep(&100).unwrap();
    assert_eq!(main.save_if_due(&100).unwrap(), Decision::NotDue);
    let errors =
        [main.save_if_due(&101).unwrap_err(), main.keep(&101).unwrap_err(), main.save(&101).unwrap_err()];
    for error in errors {
        assert!(matches!(error, Error::OtherVariables { .. }), "{error}");
        assert!(error.to_string().contains("100") && error.to_string().contains("101"), "{error}");
    }
    // A program that passes over the error gets no scope of another turn.
    let error = main.enter::<u64>("evaluation").unwrap_err();
    assert!(matches!(error, Error::ScopeNotKept { .. }), "{error}");
    main.keep(&100).unwrap();
    let error = main.enter::<u64>("other").unwrap_err();
    assert!(matches!(error, Error::OtherScope { .. }), "{error}");
    assert_eq!(main.enter::<u64>("evaluation").unwrap().restored(), Some(1));
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

/// Each result is of its turn, also where the variables are kept between the work and the call.
#[test]
fn work_that_is_done_again_on_the_way_back_is_of_its_turn() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let run = |until: u64| -> Option<u64> {
        let mut scopes = open(&path);
        let mut scope = scopes.enter::<(u64, u64)>("outer").unwrap();
        let (mut i, mut sum) = scope.restored().unwrap_or((0, 0));
        while i < 4 {
            scope.keep(&(i, sum)).unwrap();
            let x = scope.once("read", |_| Ok::<u64, Error>(10 * i)).unwrap();
            scope.keep(&(i, sum)).unwrap();
            let mut inner = scope.enter::<u64>("inner").unwrap();
            let x = inner.restored().unwrap_or(x);
            inner.save(&x).unwrap();
            if i == until {
                return None;
            }
            drop(inner);
            sum += x;
            i += 1;
        }
        Some(sum)
    };
    assert_eq!((run(1), run(2), run(9)), (None, None, Some(60)));
}

/// The caller passes over an error on the way back, and goes on to its next turn. It may give its
/// variables first, or not, and the error may come before the scope, or in it.
#[test]
fn a_call_takes_no_scope_of_the_turn_before() {
    for (gives_first, enters) in [(true, true), (false, true), (false, false)] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.ckpt");
        let mut scopes = open(&path);
        let mut outer = scopes.enter::<u64>("outer").unwrap();
        outer.keep(&3).unwrap();
        let mut inner = outer.enter::<u64>("inner").unwrap();
        inner.keep(&30).unwrap();
        inner.enter::<u64>("deep").unwrap().save(&300).unwrap();
        drop(inner);
        drop(outer);
        drop(scopes);

        let mut scopes = open(&path);
        let mut outer = scopes.enter::<u64>("outer").unwrap();
        if gives_first {
            outer.keep(&3).unwrap();
        }
        if enters {
            // It fails before it comes to the inner scope of its own.
            drop(outer.enter::<u64>("inner").unwrap());
        }
        let error = outer.keep(&4).unwrap_err();
        assert!(matches!(error, Error::OtherVariables { .. }), "{error}");
        // The call of the same turn is the one.
        outer.keep(&3).unwrap();
        let mut inner = outer.enter::<u64>("inner").unwrap();
        assert_eq!(inner.restored(), Some(30));
        inner.keep(&30).unwrap();
        assert_eq!(inner.enter::<u64>("deep").unwrap().restored(), Some(300));
    }
}

/// The caller tries a call again that failed before the program had come back.
#[test]
fn work_before_a_call_that_is_tried_again_is_of_its_turn() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let run = |fails: bool, asks_again: bool, ends: bool| -> Option<u64> {
        let (mut scopes, mut fails) = (open(&path), fails);
        let mut outer = scopes.enter::<(u64, u64)>("outer").unwrap();
        let (mut i, mut sum) = outer.restored().unwrap_or((0, 0));
        while i < 2 {
            outer.keep(&(i, sum)).unwrap();
            let x = outer.once("a", |_| Ok::<u64, Error>(10 * i)).unwrap();
            loop {
                let mut middle = outer.enter::<u64>("middle").unwrap();
                if std::mem::take(&mut fails) {
                    drop(middle);
                    outer.keep(&(i, sum)).unwrap();
                    if asks_again {
                        let again = outer.once("a", |_| Ok::<u64, Error>(99));
                        assert_eq!(again.unwrap(), x);
                    }
                    continue;
                }
                middle.keep(&x).unwrap();
                middle.enter::<u64>("leaf").unwrap().save(&x).unwrap();
                break;
            }
            if ends {
                return None;
            }
            sum += x;
            i += 1;
        }
        Some(sum)
    };
    for asks_again in [true, false] {
        assert_eq!(run(false, asks_again, true), None);
        assert_eq!(run(true, asks_again, false), Some(10));
        fs::remove_dir_all(&path).unwrap();
    }
}

#[test]
fn a_map_that_is_made_anew_is_the_same_on_the_way_back() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let map = || (0..50).map(|key| (key, key)).collect::<HashMap<u64, u64>>();
    for _ in 0..3 {
        let mut scopes = open(&path);
        let mut outer = scopes.enter::<HashMap<u64, u64>>("outer").unwrap();
        outer.restored();
        outer.save(&map()).unwrap();
        outer.keep(&map()).unwrap();
        outer.enter::<u64>("inner").unwrap().save(&1).unwrap();
    }
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

/// The program does not ask for a result in the turn that was interrupted.
#[test]
fn a_result_that_nobody_asked_for_is_none_of_the_next_turn() {
    let directory = tempfile::tempdir().unwrap();
    for calls in [true, false] {
        let path = directory.path().join(format!("{calls}.ckpt"));
        let mut scopes = open(&path);
        let mut outer = scopes.enter::<u64>("outer").unwrap();
        outer.keep(&1).unwrap();
        assert_eq!(outer.once("a", |_| Ok::<u64, Error>(1)).unwrap(), 1);
        if calls {
            outer.enter::<u64>("inner").unwrap().save(&10).unwrap();
        } else {
            outer.checkpoints.stop(StopReason::Signal(Signal::TERM));
            let half = outer.once("b", |scopes| {
                while scopes.should_stop().is_none() {}
                Ok::<u64, Error>(0)
            });
            half.unwrap();
            assert!(outer.save_if_due(&2).unwrap().is_saved());
        }
        drop(outer);
        drop(scopes);
        for next in [1, 2] {
            let mut scopes = open(&path);
            let mut outer = scopes.enter::<u64>("outer").unwrap();
            assert_eq!(outer.restored(), Some(1));
            outer.keep(&1).unwrap();
            if calls {
                drop(outer.enter::<u64>("inner").unwrap());
            }
            outer.keep(&next).unwrap();
            let is_of_turn = next == 1 && !calls;
            let result = outer.once("a", |_| Ok::<u64, Error>(7)).unwrap();
            assert_eq!(result, if is_of_turn { 1 } else { 7 }, "{next}");
        }
    }
}

/// Its result was forgotten when the loop kept its first variables.
#[test]
fn work_that_is_done_again_on_the_way_back_enters_no_scope() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let run = |has_scope: bool| -> Result<u64, Error> {
        let mut scopes = open(&path);
        let mut main = scopes.enter::<u64>("main")?;
        main.keep(&0)?;
        let data = main.once("data", |scopes| match has_scope {
            true => scopes.enter::<u64>("data").map(|_| 7),
            false => Ok::<u64, Error>(7),
        })?;
        main.keep(&0)?;
        main.enter::<u64>("inner")?.save(&1)?;
        Ok(data)
    };
    assert_eq!(run(true).unwrap(), 7);
    let error = run(true).unwrap_err();
    assert!(matches!(&error, Error::OtherScope { work, .. } if work == "data"), "{error}");
    assert!(error.to_string().contains("do such work in a scope without variables around"), "{error}");
    assert_eq!(run(false).unwrap(), 7);
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
fn calls_that_a_restart_cannot_tell_apart_are_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let heard = |names: [&str; 3], counts: bool| {
        crate::base::heard::warnings(|| {
            let path = directory.path().join(format!("{}{counts}", names.concat()));
            let mut scopes = open(&path);
            let mut main = scopes.enter::<u64>("main").unwrap();
            for (number, name) in names.iter().enumerate() {
                main.keep(&if counts { number as u64 } else { 7 }).unwrap();
                main.enter::<()>(name).unwrap();
            }
        })
    };
    let told = heard(["train", "test", "test"], false);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("before a call of `train` and one of `test`"), "{told:?}");
    assert_eq!(heard(["fold"; 3], false).len(), 1);
    assert_eq!(heard(["fold"; 3], true), [""; 0]);
}

/// The order of a list tells one turn from another.
#[test]
fn the_same_values_in_another_order_are_those_of_another_turn() {
    fn check<T: Checkpoint>(now: &T, next: &T) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.ckpt");
        let mut scopes = open(&path);
        let mut outer = scopes.enter::<T>("outer").unwrap();
        outer.keep(now).unwrap();
        outer.enter::<u64>("inner").unwrap().save(&1).unwrap();
        drop(outer);
        drop(scopes);

        let mut scopes = open(&path);
        let mut outer = scopes.enter::<T>("outer").unwrap();
        outer.keep(now).unwrap();
        outer.save(now).unwrap();
        for error in [outer.keep(next).unwrap_err(), outer.save(next).unwrap_err()] {
            assert!(matches!(error, Error::OtherVariables { .. }), "{error}");
        }
    }
    let text = |letters: &str| letters.chars().map(String::from).collect::<Vec<String>>();
    check(&text("12"), &text("21"));
    check(&vec![text("1"), text("2")], &vec![text("12"), text("")]);
    let rows = vec![vec![0.5_f64; 4]; 300];
    check(&(3_u64, 4_u64, rows.clone()), &(4, 3, rows));
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
    let builder = builder.on_failed_save(crate::run::failures::OnFailedSave::go_on());
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

#[test]
fn a_scope_that_gets_variables_does_not_begin_afresh() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut scopes = open(&path);
    scopes.enter::<()>("main").unwrap().save(&()).unwrap();
    drop(scopes);
    let mut scopes = open(&path);
    scopes.enter::<(u64, u64)>("main").unwrap_err();
    assert_eq!(scopes.enter::<()>("main").unwrap().restored(), Some(()));
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
