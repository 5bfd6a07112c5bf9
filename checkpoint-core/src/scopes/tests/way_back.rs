//! A restart comes back to the very call that was interrupted, and takes no other one for it.

use super::*;

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
    main.save(&()).unwrap();
    assert_eq!(call(&mut main, "sample"), 2);
    drop(main);
    drop(scopes);
    let mut scopes = open(&at("none"));
    let mut main = scopes.enter::<()>("main").unwrap();
    main.once("a", |scopes| Ok::<u64, Error>(call(scopes, "sample"))).unwrap();
    assert_eq!(call(&mut main, "sample"), 2);

    // Two restarts come back to the call: no save of the scope around it says that it has ended.
    for number in 0..3 {
        let mut scopes = open(&at("again"));
        let mut main = scopes.enter::<()>("main").unwrap();
        assert_eq!(main.restored().is_some(), number > 0);
        let mut sample = main.enter::<u64>("sample").unwrap();
        assert_eq!((sample.call(), sample.restored()), (1, (number > 0).then_some(1)));
        sample.save(&1).unwrap();
        drop(sample);
        assert!(matches!(main.save(&()), Err(Error::InvalidSetting { .. })));
    }

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
    outer.keep(&4).unwrap();
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
    assert!(outer.save_if_due(&5).unwrap().is_saved());
    assert_eq!(outer.call(), 1);
    drop(outer);
    drop(scopes);
    let mut scopes = open(&path);
    let mut outer = scopes.enter::<u64>("outer").unwrap();
    assert_eq!(outer.restored(), Some(5));
    assert_eq!(outer.enter::<u64>("inner").unwrap().restored(), None);
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

/// A program that counts a turn before its call must learn it, and not now and then.
#[test]
fn a_restart_gives_its_variables_first_due_or_not() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut scopes = open(&path);
    let mut outer = scopes.enter::<u64>("outer").unwrap();
    outer.save(&5).unwrap();
    outer.enter::<u64>("inner").unwrap().save(&1).unwrap();
    drop(outer);
    drop(scopes);

    let mut scopes = Scopes::builder(&path).schedule(Schedule::every_steps(100)).open().unwrap();
    scopes.restore().unwrap();
    let mut outer = scopes.enter::<u64>("outer").unwrap();
    let counted_early = outer.save_if_due(&6).unwrap_err();
    assert!(matches!(counted_early, Error::OtherVariables { .. }), "{counted_early}");
    assert!(matches!(outer.enter::<u64>("inner"), Err(Error::ScopeNotKept { .. })));
    for variables in [5, 6] {
        assert_eq!(outer.save_if_due(&variables).unwrap(), Decision::NotDue);
    }
    assert_eq!(outer.enter::<u64>("inner").unwrap().restored(), Some(1));
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

    let mut scopes = open_eager(&path);
    let mut main = scopes.enter::<u64>("main").unwrap();
    // It does not evaluate any more.
    main.keep(&100).unwrap();
    assert_eq!(main.save_if_due(&100).unwrap(), Decision::NotDue);
    let heard = crate::base::heard::warnings(|| {
        for _ in 0..2 {
            assert_eq!(main.save_if_due(&101).unwrap(), Decision::NotDue);
        }
    });
    assert!(heard.len() == 1 && heard[0].contains("come back to scope `evaluation`"), "{heard:?}");
    let errors = [main.keep(&101).unwrap_err(), main.save(&101).unwrap_err()];
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
    assert!(told[0].contains("before a call of `train` and a call of `test`"), "{told:?}");
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

/// A restart makes the call again, and it may have another end.
#[test]
fn a_result_behind_a_direct_call_is_not_mixed_with_another_call() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let run = |drawn: u64, saves: bool| {
        let mut scopes = open_eager(&path);
        let mut main = scopes.enter::<()>("main").unwrap();
        main.once("first", |_| Ok::<u64, Error>(0)).unwrap();
        let drawn = {
            let mut draw = main.enter::<u64>("draw").unwrap();
            let drawn = draw.restored().unwrap_or(drawn);
            if saves {
                draw.save(&drawn).unwrap();
            }
            drawn
        };
        let score = main.once("score", |_| Ok::<u64, Error>(10 * drawn)).unwrap();
        // Behind the save of the call, there is nothing to save.
        assert_eq!(main.save_if_due(&()).unwrap().is_saved(), !saves);
        (drawn, score)
    };
    assert_eq!(run(1, false), (1, 10));
    assert_eq!(run(2, true), (2, 20));
    assert_eq!(run(3, true), (2, 20));
}

/// The program goes on with the failure of a job as its result.
fn job(scopes: &mut Scopes, fails: bool, name: &str) -> Result<u64, String> {
    if fails {
        return Err("no input".to_owned());
    }
    let mut scope = scopes.enter::<u64>(name).map_err(|error| error.to_string())?;
    let count = scope.restored().unwrap_or(0) + 1;
    scope.save(&count).map_err(|error| error.to_string())?;
    Ok(count)
}

#[test]
fn work_that_ends_without_the_scope_inside_of_it_is_done() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let with = |fails: bool| {
        let mut scopes = open(&path);
        let mut main = scopes.enter::<()>("main").unwrap();
        let first = main.once("first", |scopes| Ok::<_, Error>(job(scopes, fails, "job"))).unwrap();
        main.save(&()).unwrap();
        let second = main.once("second", |scopes| Ok::<_, Error>(job(scopes, false, "job"))).unwrap();
        (first, second)
    };
    let mut scopes = open(&path);
    let mut main = scopes.enter::<()>("main").unwrap();
    let killed = main.once("first", |scopes| {
        job(scopes, false, "job").unwrap();
        Err::<u64, _>(killed())
    });
    killed.unwrap_err();
    drop(main);
    drop(scopes);
    let failed = Err("no input".to_owned());
    assert_eq!(with(true), (failed.clone(), Ok(1)));
    assert_eq!(with(false), (failed, Ok(2)));
}

/// What the library refused is no end of the work: the progress inside stays.
#[test]
fn a_refusal_that_work_passes_over_ends_no_scope() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let run = |name: &str| {
        let mut scopes = open(&path);
        let mut main = scopes.enter::<()>("main").unwrap();
        let result = main.once("first", |scopes| Ok::<_, Error>(job(scopes, false, name))).unwrap();
        if result.is_ok() {
            return result;
        }
        main.save(&()).unwrap();
        main.once("second", |scopes| Ok::<_, Error>(job(scopes, false, "job"))).unwrap().unwrap_err();
        drop(main);
        assert!(matches!(scopes.finish(), Err(Error::OtherScope { .. })));
        result
    };
    assert_eq!(run("job"), Ok(1));
    let mut scopes = open(&path);
    let mut main = scopes.enter::<()>("main").unwrap();
    let killed = main.once("first", |scopes| {
        job(scopes, false, "job").unwrap();
        Err::<u64, _>(killed())
    });
    killed.unwrap_err();
    drop(main);
    drop(scopes);
    let error = run("another").unwrap_err();
    assert!(error.contains("saved inside scope `job`") && error.contains("`another`"), "{error}");
    assert_eq!(run("job"), Ok(3));
}

#[test]
fn work_of_one_name_and_the_same_variables_is_warned_of() {
    let directory = tempfile::tempdir().unwrap();
    let heard = |counts: bool| {
        crate::base::heard::warnings(|| {
            let mut scopes = open(&directory.path().join(counts.to_string()));
            let mut main = scopes.enter::<u64>("main").unwrap();
            for number in 0..3 {
                main.keep(&if counts { number } else { 7 }).unwrap();
                main.once("part", |_| Ok::<u64, Error>(number)).unwrap();
                main.once("rest", |_| Ok::<u64, Error>(number)).unwrap();
            }
        })
    };
    let told = heard(false);
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("before the work `part` and the work `part`"), "{told:?}");
    assert_eq!(heard(true), [""; 0]);
}

#[test]
fn a_second_call_outside_of_all_scopes_is_told_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let mut scopes = open(&directory.path().join("run.ckpt"));
    scopes.enter::<u64>("main").unwrap().save(&1).unwrap();
    let error = scopes.enter::<u64>("main").unwrap_err();
    assert!(error.to_string().contains("call `restore` before"), "{error}");
    scopes.restore().unwrap();
    assert_eq!(scopes.enter::<u64>("main").unwrap().restored(), Some(1));
}

/// The function counts work done once, and whether a save is due behind it depends on the time.
#[test]
fn later_variables_on_the_way_back_may_be_newer() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let run = |steps: u64, stops: bool| {
        let mut scopes = Scopes::builder(&path).schedule(Schedule::every_steps(steps)).open().unwrap();
        scopes.restore().unwrap();
        let mut main = scopes.enter::<(u64, u64)>("main").unwrap();
        let (phase, x) = main.restored().unwrap_or((0, 1));
        assert_eq!(phase, 0);
        main.keep(&(phase, x)).unwrap();
        let x = main.once("a", |_| Ok::<u64, Error>(x + 1)).unwrap();
        if stops {
            main.checkpoints.stop(StopReason::Signal(Signal::TERM));
        }
        assert_eq!(main.save_if_due(&(1, x)).unwrap(), Decision::NotDue);
        let result = main.once("b", |scopes| {
            let mut leaf = scopes.enter::<u64>("leaf")?;
            let count = leaf.restored().unwrap_or(0);
            leaf.save(&(count + 1))?;
            if count < 2 { Err(killed()) } else { Ok(x + count) }
        });
        let is_stopped = main.should_stop().is_some();
        (result.ok(), is_stopped)
    };
    assert_eq!(run(100, false), (None, false));
    assert_eq!(run(1, true), (None, true));
    assert_eq!(run(1, false), (Some(4), false));
}

/// The device does not give the file of an output at once, and the work has an error as its result.
#[test]
fn a_result_that_cannot_be_loaded_ends_no_scope() {
    let directory = tempfile::tempdir().unwrap();
    let (path, csv) = (directory.path().join("run.ckpt"), directory.path().join("log.csv"));
    let job = |scopes: &mut Scopes| -> Result<u64, Error> {
        let mut job = scopes.enter::<()>("job")?;
        let log = job.once("open", |_| {
            let mut log = Appended::at(&csv);
            writeln!(log, "header").unwrap();
            Ok::<_, Error>(log)
        })?;
        let counted = job.once("count", |scopes| {
            let mut scope = scopes.enter::<u64>("count")?;
            let count = scope.restored().unwrap_or(0) + 1;
            scope.save(&count)?;
            if count < 2 { Err(killed()) } else { Ok(count) }
        });
        drop(log);
        counted
    };
    let mut scopes = open(&path);
    let mut main = scopes.enter::<()>("main").unwrap();
    main.once("first", job).unwrap_err();
    drop(main);
    drop(scopes);
    let away = directory.path().join("away.csv");
    fs::rename(&csv, &away).unwrap();
    let mut scopes = open(&path);
    let mut main = scopes.enter::<()>("main").unwrap();
    let failed = main.once("first", |scopes| Ok::<_, Error>(job(scopes).map_err(|error| error.to_string())));
    assert!(failed.unwrap().unwrap_err().contains("log.csv"));
    main.save(&()).unwrap();
    drop(main);
    drop(scopes);
    fs::rename(&away, &csv).unwrap();
    let mut scopes = open(&path);
    let mut main = scopes.enter::<()>("main").unwrap();
    assert_eq!(main.once("first", job).unwrap(), 2);
}

/// The last save of the call was begun in the background, and has failed since.
#[test]
fn a_save_in_the_background_that_failed_counts_for_nothing() {
    for stops in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("run.ckpt");
        let disk = FaultyDisk::default();
        let builder = Scopes::builder(&path).disk(Arc::new(disk.clone())).background(true);
        let builder = builder.schedule(Schedule::every_steps(1)).on_failed_save(OnFailedSave::go_on());
        let mut scopes = builder.open().unwrap();
        scopes.restore().unwrap();
        let mut main = scopes.enter::<()>("main").unwrap();
        main.once("a", |_| Ok::<u64, Error>(7)).unwrap();
        let mut call = main.enter::<u64>("call").unwrap();
        disk.plan(Some((2, Fault::Error(EIO))));
        assert!(matches!(call.save_if_due(&1).unwrap(), Decision::Started { .. }));
        drop(call);
        if stops {
            main.checkpoints.stop(StopReason::Signal(Signal::TERM));
            while main.should_stop().is_none() {
                main.save_if_due(&()).unwrap();
            }
        } else {
            let _ = main.checkpoints.wait();
            while !matches!(main.save_if_due(&()).unwrap(), Decision::Started { .. }) {}
        }
        main.checkpoints.wait().unwrap();
        drop(main);
        drop(scopes);
        let mut scopes = open(&path);
        let mut main = scopes.enter::<()>("main").unwrap();
        assert_eq!(main.once("a", |_| Ok::<u64, Error>(8)).unwrap(), 7, "{stops}");
    }
}

/// The variables do not tell that the call has ended: a restart makes it again.
#[test]
fn what_follows_a_call_and_the_same_variables_is_done_again() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let run = |drawn: u64, saves: bool, stops: bool| {
        let mut scopes = open_eager(&path);
        let mut main = scopes.enter::<u64>("main").unwrap();
        let i = main.restored().unwrap_or(0);
        main.keep(&i).unwrap();
        let drawn = {
            let mut draw = main.enter::<u64>("draw").unwrap();
            let drawn = draw.restored().unwrap_or(drawn);
            draw.save(&drawn).unwrap();
            drawn
        };
        if saves {
            assert_eq!(main.save_if_due(&i).unwrap(), Decision::NotDue);
        } else {
            main.keep(&i).unwrap();
        }
        let score = main.once("score", |_| Ok::<u64, Error>(10 * drawn)).unwrap();
        let entered = main.once("inside", |scopes| scopes.enter::<u64>("inside").map(|_| 1_u64));
        assert!(matches!(entered, Err(Error::ScopeNotKept { .. })));
        if stops {
            let told = main.once("told", |scopes| {
                scopes.checkpoints.stop(StopReason::Signal(Signal::TERM));
                while scopes.should_stop().is_none() {}
                Ok::<u64, Error>(0)
            });
            told.unwrap();
            main.save_if_due(&(i + 1)).unwrap();
        }
        (drawn, score)
    };
    for (number, saves) in [true, false, true, false].into_iter().enumerate() {
        assert_eq!(run(1 + number as u64, saves, number % 2 == 0), (1, 10));
    }
}

/// Work before the call is done once, also if the call is tried again.
#[test]
fn work_before_a_call_that_is_tried_again_may_have_a_scope() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    for number in 0..2 {
        let mut scopes = open(&path);
        let mut main = scopes.enter::<u64>("main").unwrap();
        for _ in 0..3 {
            main.keep(&7).unwrap();
            let first = main.once("first", |scopes| {
                let mut scope = scopes.enter::<u64>("first")?;
                let count = scope.restored().unwrap_or(0) + 1;
                scope.save(&count)?;
                Ok::<u64, Error>(count)
            });
            assert_eq!(first.unwrap(), 1);
            drop(main.enter::<u64>("call").unwrap());
        }
        main.keep(&7).unwrap();
        main.once("first", |_| Ok::<u64, Error>(1)).unwrap();
        main.enter::<u64>("call").unwrap().save(&number).unwrap();
    }
}

/// The checkpoint had all of it, and the work has the failure as its result.
#[test]
fn a_failed_save_on_the_way_back_ends_no_scope() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let disk = FaultyDisk::default();
    let fold = |scopes: &mut Scopes| -> Result<u64, Error> {
        let mut fold = scopes.enter::<u64>("fold")?;
        let count = fold.restored().unwrap_or(5);
        fold.save(&count)?;
        let mut train = fold.enter::<u64>("train")?;
        let seen = train.restored().unwrap_or(0);
        train.save(&(seen + 1))?;
        if seen == 0 { Err(killed()) } else { Ok(count + seen) }
    };
    let mut scopes = open(&path);
    let mut main = scopes.enter::<()>("main").unwrap();
    main.once("first", fold).unwrap_err();
    drop(main);
    drop(scopes);
    let mut scopes = Scopes::builder(&path).disk(Arc::new(disk.clone())).open().unwrap();
    scopes.restore().unwrap();
    let mut main = scopes.enter::<()>("main").unwrap();
    disk.plan(Some((2, Fault::Error(EIO))));
    let failed = main.once("first", |scopes| Ok::<_, Error>(fold(scopes).map_err(|error| error.to_string())));
    failed.unwrap().unwrap_err();
    disk.plan(None);
    main.save(&()).unwrap();
    drop(main);
    drop(scopes);
    let mut scopes = open(&path);
    let mut main = scopes.enter::<()>("main").unwrap();
    assert_eq!(main.once("first", fold).unwrap(), 6);
}

/// The call wrote to a clone, saved inside, and failed.
#[test]
fn a_due_save_lets_a_call_that_failed_write_again() {
    let directory = tempfile::tempdir().unwrap();
    let (path, csv) = (directory.path().join("run.ckpt"), directory.path().join("log.csv"));
    let mut scopes = open_eager(&path);
    let mut main = scopes.enter::<(u64, Appended)>("main").unwrap();
    let log = Appended::at(&csv);
    for attempt in 0..3 {
        assert!(main.save_if_due(&(7, log.clone())).unwrap().is_saved());
        let mut part = main.enter::<Appended>("part").unwrap();
        let mut log = log.clone();
        writeln!(log, "{attempt}").unwrap();
        part.save(&log).unwrap();
    }
    assert_eq!(fs::read_to_string(&csv).unwrap(), "2\n");
}

/// A call that is tried again makes no work known that was refused behind it.
#[test]
fn work_behind_a_call_enters_no_scope_in_any_attempt() {
    let directory = tempfile::tempdir().unwrap();
    let mut scopes = open(&directory.path().join("run.ckpt"));
    let mut main = scopes.enter::<u64>("main").unwrap();
    for attempt in 0..3 {
        main.keep(&7).unwrap();
        if attempt > 0 {
            let repaired = main.once("repair", |scopes| Ok::<_, Error>(job(scopes, false, "repair")));
            assert!(repaired.unwrap().unwrap_err().contains("`repair` was called from scope `main`"));
        }
        drop(main.enter::<u64>("call").unwrap());
    }
}

/// The refusal was before the work, which then has its result without the scope inside of it.
#[test]
fn a_failed_save_before_work_does_not_keep_it_from_its_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let mut scopes = open(&path);
    let mut main = scopes.enter::<()>("main").unwrap();
    let killed = main.once("first", |scopes| {
        job(scopes, false, "job").unwrap();
        Err::<u64, _>(killed())
    });
    killed.unwrap_err();
    drop(main);
    drop(scopes);
    let disk = FaultyDisk::default();
    let mut scopes = Scopes::builder(&path).disk(Arc::new(disk.clone())).open().unwrap();
    scopes.restore().unwrap();
    let mut main = scopes.enter::<()>("main").unwrap();
    disk.plan(Some((2, Fault::Error(EIO))));
    main.save(&()).unwrap_err();
    disk.plan(None);
    assert_eq!(main.once("first", |_| Ok::<u64, Error>(5)).unwrap(), 5);
    assert_eq!(main.once("second", |scopes| Ok::<_, Error>(job(scopes, false, "job"))).unwrap(), Ok(1));
    main.save(&()).unwrap();
    drop(main);
    scopes.finish().unwrap();
}

/// The log is of the function around it.
#[test]
fn a_due_save_in_the_middle_lets_a_call_write_again() {
    let directory = tempfile::tempdir().unwrap();
    let (path, csv) = (directory.path().join("run.ckpt"), directory.path().join("log.csv"));
    let mut scopes = open_eager(&path);
    let mut main = scopes.enter::<Appended>("main").unwrap();
    let log = Appended::at(&csv);
    main.keep(&log).unwrap();
    let mut middle = main.enter::<u64>("middle").unwrap();
    for attempt in 0..3 {
        assert!(middle.save_if_due(&7).unwrap().is_saved());
        let mut part = middle.enter::<Appended>("part").unwrap();
        let mut log = log.clone();
        writeln!(log, "{attempt}").unwrap();
        part.save(&log).unwrap();
    }
    assert_eq!(fs::read_to_string(&csv).unwrap(), "2\n");
}

/// The directory moves, and so the output has another path in the variables.
#[test]
fn a_call_that_was_saved_inside_is_not_saved_away() {
    let directory = tempfile::tempdir().unwrap();
    let run = |place: &str| {
        let at = directory.path().join(place);
        let builder = Scopes::builder(at.join("run.ckpt")).schedule(Schedule::every_steps(1));
        let mut scopes = builder.open().unwrap();
        scopes.restore().unwrap();
        let mut main = scopes.enter::<(u64, Appended)>("main").unwrap();
        let variables = main.restored().unwrap_or_else(|| {
            let mut log = Appended::at(at.join("log.csv"));
            writeln!(log, "header").unwrap();
            (7, log)
        });
        main.keep(&variables).unwrap();
        let mut call = main.enter::<u64>("call").unwrap();
        let count = call.restored().unwrap_or(0) + 1;
        call.save(&count).unwrap();
        drop(call);
        assert_eq!(main.save_if_due(&variables).unwrap(), Decision::NotDue);
        count
    };
    fs::create_dir(directory.path().join("first")).unwrap();
    assert_eq!(run("first"), 1);
    fs::rename(directory.path().join("first"), directory.path().join("a longer name")).unwrap();
    assert_eq!(run("a longer name"), 2);
    assert_eq!(run("a longer name"), 3);
}
