//! Several outputs, and several values of one: clones, scopes, groups, threads and processes.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::thread;

use crate::common::chain::{
    Chain, Several, assert_files, best_and_now, content, expected, fault, fault_of, open, several,
};
use crate::common::{inside, once_more};
use checkpointed::{Appended, Checkpointer, Error, ReadBack, checkpointed, reports::OutputFault};

#[test]
fn a_copy_that_was_made_before_the_first_write_is_saved_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (warn, warned) = std::sync::mpsc::channel();
    let open = || {
        let warn = warn.clone();
        let builder = Checkpointer::<Vec<Appended>>::builder(path.join("run.ckpt"));
        builder.on_warning(move |warning| warn.send(warning.to_string()).unwrap()).open().unwrap()
    };
    let fresh = Appended::at(path.join("log.csv"));
    let mut state = vec![fresh.clone(), fresh];
    state[1].write_all(b"line").unwrap();
    open().save(&state).unwrap();
    drop(state);
    let mut state = open().load().unwrap().unwrap();
    assert_eq!((state[0].len(), state[1].len()), (0, 4));
    state[1].write_all(b", more").unwrap();
    open().save(&state).unwrap();
    assert_eq!(content(path, "log.csv"), b"line, more");
    // Nothing of the file is cut off: the other one counts on it.
    let told = warned.try_iter().filter(|warning| warning.contains("is cut off"));
    assert_eq!(told.collect::<Vec<_>>(), [""; 0]);
}

#[checkpointed]
struct Wrapped {
    #[serde(with = "checkpointed::self_describing")]
    described: Appended,
    #[serde(with = "checkpointed::json")]
    json: Option<Appended>,
    listed: Vec<Appended>,
}

#[test]
fn an_output_is_found_wherever_it_is_in_the_state() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| Appended::at(directory.path().join(name));
    let open = || {
        Checkpointer::<Wrapped>::builder(directory.path().join("run.ckpt"))
            .read_back(ReadBack::Always)
            .open()
            .unwrap()
    };
    let mut state = Wrapped { described: at("a"), json: Some(at("b")), listed: vec![at("c"), at("d")] };
    fn write(state: &mut Wrapped, bytes: &[u8]) {
        state.described.write_all(bytes).unwrap();
        state.json.as_mut().unwrap().write_all(bytes).unwrap();
        state.listed.iter_mut().for_each(|output| output.write_all(bytes).unwrap());
    }
    write(&mut state, b"counted");
    open().save(&state).unwrap();
    write(&mut state, b", and not");
    drop(state);
    open().load().unwrap().unwrap();
    for name in ["a", "b", "c", "d"] {
        assert_eq!(content(directory.path(), name), b"counted", "{name}");
    }
}

#[test]
fn scopes_keep_outputs_too() {
    fn run(directory: &Path, until: u64, is_last: bool) {
        let mut scopes = checkpointed::Scopes::open(directory.join("run.ckpt")).unwrap();
        scopes.restore().unwrap();
        let mut outer = scopes.enter::<Chain>("outer").unwrap();
        let mut chain = outer.restored().unwrap_or_else(|| Chain::new(directory));
        while chain.step < until {
            outer.keep(&chain).unwrap();
            // The scope inside saves, and so counts on the output of the one around it.
            outer.enter::<u64>("inner").unwrap().save(&chain.step).unwrap();
            chain.advance();
        }
        if is_last {
            drop(outer);
            scopes.finish().unwrap();
        } else {
            (0..9).for_each(|_| chain.advance());
        }
    }
    let directory = tempfile::tempdir().unwrap();
    run(directory.path(), 15, false);
    run(directory.path(), 30, true);
    assert_files(directory.path(), 30);
}

#[test]
fn each_member_of_a_group_has_an_output() {
    let directory = tempfile::tempdir().unwrap();
    let project = directory.path().join("project");
    fs::create_dir(&project).unwrap();
    let moved = directory.path().join("moved");
    let run = |path: &Path, steps: u64| {
        thread::scope(|scope| {
            let members = checkpointed::group::Threads::new(2).into_iter().enumerate();
            let members = members.map(|(rank, member)| {
                scope.spawn(move || {
                    let builder = Checkpointer::<Chain>::builder(path.join("run.ckpt"));
                    let mut group = builder.open_group(member).unwrap();
                    let own = path.join(format!("{rank}"));
                    let mut chain = group
                        .load_or_else(|| {
                            fs::create_dir_all(&own).unwrap();
                            Chain::new(&own)
                        })
                        .unwrap();
                    (0..steps).for_each(|_| chain.advance());
                    group.save(&chain).unwrap();
                    (0..steps).for_each(|_| chain.advance());
                })
            });
            members.collect::<Vec<_>>().into_iter().for_each(|member| member.join().unwrap());
        });
    };
    run(&project, 20);
    fs::rename(&project, &moved).unwrap();
    run(&moved, 20);
    run(&moved, 0);
    for rank in ["0", "1"] {
        assert_files(&moved.join(rank), 40);
    }
    // A member whose file is gone is an error of all, and no file is cut.
    fs::OpenOptions::new().append(true).open(moved.join("0/chain.csv")).unwrap().write_all(b"more").unwrap();
    fs::remove_file(moved.join("1/chain.csv")).unwrap();
    thread::scope(|scope| {
        let path = &moved;
        let members = checkpointed::group::Threads::new(2).into_iter().map(|member| {
            scope.spawn(move || {
                let builder = Checkpointer::<Chain>::builder(path.join("run.ckpt"));
                builder.open_group(member).unwrap().load().unwrap_err();
            })
        });
        members.collect::<Vec<_>>().into_iter().for_each(|member| member.join().unwrap());
    });
    assert!(content(&moved, "0/chain.csv").ends_with(b"more"));
}

#[test]
fn a_save_of_a_clone_in_another_thread_counts_its_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut chain = Chain::new(path);
    thread::scope(|scope| {
        let (sender, states) = std::sync::mpsc::sync_channel::<Chain>(1);
        let saver = scope.spawn(move || {
            let mut checkpoints = open(path);
            for state in states {
                checkpoints.save(&state).unwrap();
            }
        });
        for step in 1..=60 {
            chain.advance();
            if step % 10 == 0 {
                sender.send(chain.clone()).unwrap();
            }
        }
        drop(sender);
        saver.join().unwrap();
    });
    (0..5).for_each(|_| chain.advance());
    drop(chain);
    assert_eq!(open(path).load().unwrap().unwrap().step, 60);
    assert_files(path, 60);
}

#[cfg(unix)]
#[test]
fn a_forked_process_leaves_the_output_of_its_parent() {
    let test = "a_forked_process_leaves_the_output_of_its_parent";
    if let Some(path) = inside() {
        let mut chain = Chain::new(&path);
        let mut checkpoints = open(&path);
        chain.advance();
        checkpoints.save(&chain).unwrap();
        // These bytes wait in memory, and are in that of the child, too.
        chain.advance();
        let told = crate::common::fork::forked(|| {
            let error = chain.samples.write_all(b"child").unwrap_err();
            assert_eq!(fault_of(&error), OutputFault::OtherProcess);
            chain.samples.flush().unwrap_err();
            drop(chain.clone());
            "as it should".to_owned()
        });
        assert_eq!(told, "as it should");
        checkpoints.finish(&chain).unwrap();
        assert_files(&path, 2);
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    crate::common::assert_passed(&once_more(test, &[], directory.path()).output().unwrap());
}

#[test]
fn of_two_counts_of_a_file_the_greater_one_is_kept() {
    for is_reversed in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let (best, mut now) = best_and_now(path);
        let mut values = vec![best, now.clone()];
        if is_reversed {
            values.reverse();
        }
        several(path).save(&Several { values: values.clone() }).unwrap();
        now.write_all(b", later").unwrap();
        drop((values, now));
        for _ in 0..2 {
            let mut run = several(path);
            let mut loaded = run.load().unwrap().unwrap();
            assert_eq!(content(path, "chain.csv"), b"best,now");
            let (now, best) = if is_reversed { (0, 1) } else { (1, 0) };
            loaded.values[now].write_all(b"+").unwrap();
            loaded.values[now].flush().unwrap();
            assert_eq!(fault_of(&loaded.values[best].write_all(b"x").unwrap_err()), OutputFault::InUse);
            // Without the greater one, the newest checkpoint still counts on its bytes.
            let mut best = loaded.values.swap_remove(best);
            drop(loaded);
            assert_eq!(fault_of(&best.write_all(b"x").unwrap_err()), OutputFault::NotNewest);
        }
    }
}

#[test]
fn going_back_to_a_clone_cuts_nothing_that_counts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (best, now) = best_and_now(path);
    let mut checkpoints = several(path);
    // The clones are saved after the one that appends was dropped, as by a thread that saves.
    let both = Several { values: vec![best.clone(), now.clone()] };
    drop(now);
    checkpoints.save(&both).unwrap();
    assert_eq!(content(path, "chain.csv"), b"best,now");
    drop(both);
    // Another checkpointer does not save the older one.
    let mut other = Checkpointer::<Several>::open(path.join("other.ckpt")).unwrap();
    let mut state = Several { values: vec![best] };
    assert_eq!(fault(&other.save(&state).unwrap_err()), OutputFault::SavedElsewhere);
    assert_eq!(fault_of(&state.values[0].write_all(b"x").unwrap_err()), OutputFault::NotNewest);
    checkpoints.save(&state).unwrap();
    state.values[0].write_all(b"!").unwrap();
    drop(state);
    assert_eq!(content(path, "chain.csv"), b"best!");
}

#[test]
fn a_stale_value_cuts_nothing_that_a_checkpoint_counts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut chain = Chain::new(path);
    (0..10).for_each(|_| chain.advance());
    open(path).save(&chain).unwrap();
    drop(chain);
    let mut checkpoints = open(path);
    let mut chain = checkpoints.load().unwrap().unwrap();
    let mut stale = checkpoints.load().unwrap().unwrap();
    (0..10).for_each(|_| chain.advance());
    checkpoints.save(&chain).unwrap();
    drop(chain);
    assert_eq!(fault_of(&stale.samples.write_all(b"x").unwrap_err()), OutputFault::NotNewest);
    assert_files(path, 20);
    // The file goes back only when a checkpoint has the stale value.
    checkpoints.save(&stale).unwrap();
    assert_files(path, 10);
    stale.advance();
    checkpoints.finish(&stale).unwrap();
    drop(stale);
    assert_files(path, 11);
}

#[test]
fn scopes_cut_nothing_that_a_scope_inside_counts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let run = |until: u64| {
        let mut scopes = checkpointed::Scopes::open(path.join("run.ckpt")).unwrap();
        scopes.restore().unwrap();
        let mut program = scopes.enter::<()>("program").unwrap();
        let warm = program.once("warm-up", |_| {
            let mut chain = Chain::new(path);
            (0..5).for_each(|_| chain.advance());
            Ok::<_, Error>(chain)
        });
        let warm = warm.unwrap();
        if until > 10 {
            let mut warm = warm.clone();
            assert_eq!(fault_of(&warm.samples.write_all(b"x").unwrap_err()), OutputFault::NotNewest);
        }
        let mut inner = program.enter::<Chain>("inner").unwrap();
        let mut chain = inner.restored().unwrap_or(warm);
        while chain.step < until {
            chain.advance();
            inner.save(&chain).unwrap();
        }
        (0..3).for_each(|_| chain.advance());
    };
    run(10);
    run(15);
    run(20);
    run(20);
    let mut loaded = checkpointed::Scopes::open(path.join("run.ckpt")).unwrap();
    assert!(loaded.restore().unwrap());
    assert_eq!(content(path, "chain.csv")[..expected(20).0.len()], expected(20).0);
}

#[test]
fn a_group_that_refuses_a_save_leaves_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let run = |goes_back: bool| {
        thread::scope(|scope| {
            let members = checkpointed::group::Threads::new(2).into_iter().enumerate();
            let members = members.map(|(rank, member)| {
                scope.spawn(move || {
                    let builder = Checkpointer::<Several>::builder(path.join("run.ckpt"));
                    let mut group = builder.open_group(member).unwrap();
                    let own = path.join(format!("{rank}.csv"));
                    let mut state =
                        group.load_or_else(|| Several { values: vec![Appended::at(&own)] }).unwrap();
                    if !goes_back {
                        state.values[0].write_all(b"one").unwrap();
                        group.save(&state).unwrap();
                        let older = state.clone();
                        state.values[0].write_all(b",two").unwrap();
                        group.save(&state).unwrap();
                        drop(state);
                        if rank == 0 {
                            fs::rename(&own, own.with_extension("away")).unwrap();
                        }
                        group.save(&older).unwrap_err();
                        if rank == 0 {
                            fs::rename(own.with_extension("away"), &own).unwrap();
                        }
                    }
                })
            });
            members.collect::<Vec<_>>().into_iter().for_each(|member| member.join().unwrap());
        });
    };
    run(false);
    for rank in 0..2 {
        assert_eq!(content(path, &format!("{rank}.csv")), b"one,two");
    }
    run(true);
}

#[test]
fn a_group_and_scopes_keep_what_a_damaged_one_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let damage = |path: &Path| fs::write(path.join("00000000000000000002.ckpt"), "damage").unwrap();
    let group = || {
        let member = checkpointed::group::Threads::new(1).remove(0);
        Checkpointer::<Several>::builder(path.join("group.ckpt")).open_group(member).unwrap()
    };
    let mut state = Several { values: vec![Appended::at(path.join("group.csv"))] };
    let mut members = group();
    for text in ["one", ",two"] {
        state.values[0].write_all(text.as_bytes()).unwrap();
        members.save(&state).unwrap();
    }
    drop((state, members));
    damage(&path.join("group.ckpt"));
    drop(group().load().unwrap().unwrap());
    assert_eq!(content(path, "group.csv"), b"one");
    assert_eq!(content(path, "group.csv.cut-at-3"), b",two");

    let scopes = || checkpointed::Scopes::open(path.join("scopes.ckpt")).unwrap();
    let mut first = scopes();
    let mut scope = first.enter::<Several>("scope").unwrap();
    let mut state = Several { values: vec![Appended::at(path.join("scopes.csv"))] };
    for text in ["one", ",two"] {
        state.values[0].write_all(text.as_bytes()).unwrap();
        scope.save(&state).unwrap();
    }
    drop((state, scope));
    drop(first);
    damage(&path.join("scopes.ckpt"));
    let mut again = scopes();
    assert!(again.restore().unwrap());
    drop(again.enter::<Several>("scope").unwrap().restored().unwrap());
    assert_eq!(content(path, "scopes.csv"), b"one");
    assert_eq!(content(path, "scopes.csv.cut-at-3"), b",two");
}

#[test]
fn clones_of_a_loaded_value_belong_to_the_run() {
    /// Decodes a state as a program with a migration of its own may: the first value is dropped.
    #[derive(serde::Serialize)]
    struct Cloned(Appended);

    impl<'de> serde::Deserialize<'de> for Cloned {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Cloned, D::Error> {
            #[derive(serde::Deserialize)]
            #[serde(rename = "Cloned")]
            struct First(Appended);
            let First(first) = First::deserialize(deserializer)?;
            Ok(Cloned(first.clone()))
        }
    }

    #[checkpointed]
    struct State {
        #[serde(with = "checkpointed::json")]
        output: Cloned,
    }

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let open = || Checkpointer::<State>::open(path.join("run.ckpt")).unwrap();
    let mut state = State { output: Cloned(Appended::at(path.join("a.csv"))) };
    let mut checkpoints = open();
    for text in ["one", ",two"] {
        state.output.0.write_all(text.as_bytes()).unwrap();
        checkpoints.save(&state).unwrap();
    }
    drop((state, checkpoints));
    let mut checkpoints = open();
    let older = checkpoints.load_generation(1).unwrap();
    let mut clone = older.output.0.clone();
    drop(older);
    checkpoints.discard_newer(1).unwrap();
    clone.write_all(b"!").unwrap();
    drop(clone);
    assert_eq!(content(path, "a.csv"), b"one!");
    checkpoints.load().unwrap().unwrap().output.0.write_all(b"?").unwrap();
    assert_eq!(content(path, "a.csv"), b"one?");
}

/// Two values that count the same bytes. Writes to one of them, and the other is refused then.
fn write_to_one_of(values: &mut [Appended], written: usize, bytes: &[u8]) {
    values[written].write_all(bytes).unwrap();
    values[written].flush().unwrap();
    assert_eq!(fault_of(&values[1 - written].write_all(b"x").unwrap_err()), OutputFault::InUse);
}

#[test]
fn a_value_that_a_load_opened_keeps_no_other_out() {
    for written in [0, 1] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let (_, now) = best_and_now(path);
        several(path).save(&Several { values: vec![now.clone(), now.clone()] }).unwrap();
        drop(now);
        // Each restart goes on, and a load beside the first state as well.
        for _ in 0..2 {
            let mut run = several(path);
            let mut state = run.load().unwrap().unwrap();
            let mut beside = run.load().unwrap().unwrap();
            write_to_one_of(&mut state.values, written, b"+");
            assert_eq!(fault_of(&beside.values[written].write_all(b"x").unwrap_err()), OutputFault::InUse);
            assert_eq!(content(path, "chain.csv"), b"best,now+");
        }
        let mut run = several(path);
        let mut state = run.load().unwrap().unwrap();
        write_to_one_of(&mut state.values, written, b"!");
        run.save(&state).unwrap();
        drop((state, run));
        let lengths =
            several(path).load().unwrap().unwrap().values.iter().map(Appended::len).collect::<Vec<_>>();
        assert_eq!((lengths[written], lengths[1 - written]), (9, 8));
        assert_eq!(content(path, "chain.csv"), b"best,now!");
    }
}

#[test]
fn a_save_before_the_first_write_keeps_no_value_out() {
    type Save = fn(&mut Checkpointer<Several>, &Several);
    let saves: [Save; 3] = [
        |run, state| {
            run.save(state).unwrap();
        },
        |run, state| {
            run.save_in_background(state).unwrap();
            run.wait().unwrap();
        },
        |run, state| {
            run.save(&state.clone()).unwrap();
        },
    ];
    for (save, written) in saves.into_iter().flat_map(|save| [(save, 0), (save, 1)]) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut run = several(path);
        let log = Appended::at(path.join("chain.csv"));
        let mut state = Several { values: vec![log.clone(), log] };
        for _ in 0..2 {
            save(&mut run, &state);
        }
        write_to_one_of(&mut state.values, written, b"line");
        save(&mut run, &state);
        drop((state, run));
        let state = several(path).load().unwrap().unwrap();
        assert_eq!((state.values[written].len(), state.values[1 - written].len()), (4, 0));
        assert_eq!(content(path, "chain.csv"), b"line");
    }
}

#[test]
fn a_file_that_went_back_is_free_for_each_of_its_values() {
    for written in [0, 1] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let mut run = several(path);
        let (best, now) = best_and_now(path);
        run.save(&Several { values: vec![best.clone(), now.clone()] }).unwrap();
        drop(now);
        let mut state = Several { values: vec![best.clone(), best] };
        run.save(&state).unwrap();
        assert_eq!(content(path, "chain.csv"), b"best");
        write_to_one_of(&mut state.values, written, b"!");
        run.save(&state).unwrap();
        assert_eq!(content(path, "chain.csv"), b"best!");
    }
}

#[test]
fn a_file_that_a_value_continues_in_is_free_for_its_clone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (_, mut now) = best_and_now(path);
    now.continue_in(path.join("other.csv")).unwrap();
    let mut values = [now.clone(), now];
    write_to_one_of(&mut values, 0, b"!");
    assert_eq!(content(path, "other.csv"), b"best,now!");
    assert_eq!(content(path, "chain.csv"), b"best,now");
}
