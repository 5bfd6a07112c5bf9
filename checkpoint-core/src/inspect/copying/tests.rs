use std::cell::Cell;
use std::os::unix::fs::PermissionsExt as _;

use super::*;
use crate::base::heard::warnings;
use crate::pipeline::Pipeline;
use crate::{Checkpointer, inspect};

#[test]
fn a_copy_of_a_pipeline_has_the_copies_of_produced_files() {
    let parent = tempfile::tempdir().unwrap();
    let (path, plot) = (parent.path().join("p"), parent.path().join("plot"));
    let run = |path: &Path| {
        let pipeline = Pipeline::open(path).unwrap();
        let step = pipeline.step("a").produces(&plot).keep_produced(true);
        step.run(|_| fs::write(&plot, "1")).unwrap();
        pipeline.finish().unwrap()[0].outcome
    };
    run(&path);
    fs::write(path.join("produced/a/.checkpoint-0123456789abcdef.tmp"), "").unwrap();
    copy(&path, parent.path().join("copy")).unwrap();
    assert_eq!(fs::read_dir(parent.path().join("copy/produced/a")).unwrap().count(), 1);
    fs::remove_file(&plot).unwrap();
    assert_eq!(run(&parent.path().join("copy")), crate::pipeline::Outcome::Reused);
}

/// Copies, and does something after that many paths were copied. The error is `None` where the
/// copy has fewer.
fn copy_while(from: &Path, to: &Path, place: usize, work: impl FnOnce()) -> Option<Result<Copied, Error>> {
    let (paths, work) = (Cell::new(0), Cell::new(Some(work)));
    let copied = copy_and(from, to, &|_| {
        if paths.replace(paths.get() + 1) == place
            && let Some(work) = work.take()
        {
            work();
        }
    });
    work.take().is_none().then_some(copied)
}

/// The generations in a directory, by their names.
fn there(path: &Path) -> Vec<u64> {
    Directory::new(path, Arc::new(RealDisk::default())).generations().unwrap_or_default()
}

#[test]
fn a_step_that_is_done_meanwhile_has_its_work_in_the_copy() {
    let mut places = 0;
    for place in 0..100 {
        let parent = tempfile::tempdir().unwrap();
        let (path, to) = (parent.path().join("p"), parent.path().join("copy"));
        let run = |fails: bool| {
            let step = Pipeline::open(&path).unwrap();
            let step = step.step("a").run(|context| {
                let mut checkpoints = context.checkpointer::<u64>()?;
                let done = checkpoints.load()?.unwrap_or(0);
                checkpoints.save(&(done + 1))?;
                if fails { Err(context.not_done()) } else { Ok(done) }
            });
            assert_eq!(step.is_err(), fails);
        };
        run(true);
        let progress = |path: &Path| -> Vec<u64> {
            let steps = fs::read_dir(path.join("progress")).into_iter().flatten();
            steps.flat_map(|step| there(&step.unwrap().path())).collect()
        };
        assert_eq!(progress(&path), [1]);
        let Some(copied) = copy_while(&path, &to, place, || run(false)) else { break };
        copied.unwrap_or_else(|error| panic!("{place}: {error}"));
        assert!(progress(&path).is_empty(), "{place}: the step is done");
        let has_work = !progress(&to).is_empty() || !there(&to.join("steps/a")).is_empty();
        assert!(has_work, "{place}: neither the output nor what was done is in the copy");
        places += 1;
    }
    assert!((4..50).contains(&places), "{places}");
}

#[test]
fn a_step_that_is_done_while_it_is_copied_is_passed_over() {
    let parent = tempfile::tempdir().unwrap();
    let (path, to) = (parent.path().join("p"), parent.path().join("copy"));
    for folder in ["steps", "files", "progress/a", "progress/b"] {
        fs::create_dir_all(path.join(folder)).unwrap();
    }
    for step in ["a", "b"] {
        let mut checkpoints = Checkpointer::<u64>::open(path.join("progress").join(step)).unwrap();
        checkpoints.save(&1).unwrap();
    }
    copy_and(&path, &to, &|copied| {
        let _ =
            copied.starts_with(path.join("progress/a")).then(|| fs::remove_dir_all(path.join("progress/a")));
    })
    .unwrap();
    assert!(!to.join("progress/a").exists());
    assert_eq!(there(&to.join("progress/b")), [1]);
}

#[test]
fn the_history_of_a_copy_names_no_save_that_it_lacks() {
    let parent = tempfile::tempdir().unwrap();
    let (path, to) = (parent.path().join("run.ckpt"), parent.path().join("copy"));
    let mut running = Checkpointer::<u64>::open(&path).unwrap();
    (1..=3).for_each(|state| running.save(&state).map(drop).unwrap());
    copy_while(&path, &to, 1, || running.save(&4).map(drop).unwrap()).unwrap().unwrap();
    let newest = there(&to).last().copied();
    assert!(
        newest.is_some()
            && History::last_saved(&Directory::new(&to, Arc::new(RealDisk::default()))) <= newest
    );
    let told = warnings(|| assert!(Checkpointer::<u64>::open(&to).unwrap().load().unwrap().is_some()));
    assert!(told.is_empty(), "{told:?}");
}

#[test]
fn a_copy_has_nothing_that_a_rewind_set_aside_meanwhile() {
    for place in 0..7 {
        let parent = tempfile::tempdir().unwrap();
        let (path, to) = (parent.path().join("run.ckpt"), parent.path().join("copy"));
        let mut running = Checkpointer::<u64>::builder(&path).keep_last(9).open().unwrap();
        (1..=8).for_each(|state| running.save(&state).map(drop).unwrap());
        drop(running);
        let rewind = || drop(inspect::rewind(&path, &Protection::new(), 2).unwrap());
        let copied = copy_while(&path, &to, place, rewind).unwrap().unwrap();
        assert_eq!(there(&to), [1, 2], "{place}");
        assert_eq!((copied.generations, copied.files), (vec![1, 2], 2), "{place}");
        let told = warnings(|| assert_eq!(Checkpointer::<u64>::open(&to).unwrap().load().unwrap(), Some(2)));
        assert!(told.is_empty(), "{place}: {told:?}");
    }
}

/// The generations with the note of a rewind.
fn noted(path: &Path) -> Vec<u64> {
    let names = fs::read_dir(path).unwrap().map(|entry| entry.unwrap().file_name());
    names.filter_map(|note| name::rewind(&note)).collect()
}

#[test]
fn a_copy_has_the_note_of_the_last_rewind_alone() {
    // The last place is behind the note itself.
    for place in 0..8 {
        let parent = tempfile::tempdir().unwrap();
        let (path, to) = (parent.path().join("run.ckpt"), parent.path().join("copy"));
        let builder = || Checkpointer::<u64>::builder(&path).keep_last(9);
        let mut running = builder().open().unwrap();
        (1..=8).for_each(|state| running.save(&state).map(drop).unwrap());
        drop(running);
        drop(builder().rewind(7).open().unwrap());
        assert_eq!(noted(&path), [7]);
        let rewind = || drop(builder().rewind(2).open().unwrap());
        let copied = copy_while(&path, &to, place, rewind).unwrap().unwrap();
        assert_eq!((there(&to), copied.files, noted(&to)), (vec![1, 2], 2, vec![2]), "{place}");
    }
}

/// Saves these states in a group of two, and returns what each member loads at the start.
#[cfg(feature = "group")]
fn run_group(path: &Path, states: std::ops::RangeInclusive<u64>) -> Vec<Option<u64>> {
    run_group_and_keep(path, 9, states)
}

/// Does that, and keeps so many of the newest.
#[cfg(feature = "group")]
fn run_group_and_keep(path: &Path, keep: usize, states: std::ops::RangeInclusive<u64>) -> Vec<Option<u64>> {
    run_group_of(2, path, keep, states)
}

/// Does that in a group of this size.
#[cfg(feature = "group")]
fn run_group_of(
    size: usize,
    path: &Path,
    keep: usize,
    states: std::ops::RangeInclusive<u64>,
) -> Vec<Option<u64>> {
    std::thread::scope(|scope| {
        let members = crate::group::Threads::new(size).into_iter().map(|member| {
            let states = states.clone();
            scope.spawn(move || {
                let builder = Checkpointer::<u64>::builder(path).keep_last(keep);
                let mut group = builder.open_group(member).unwrap();
                group.on_resize(|_, _| Ok(()));
                let loaded = group.load().unwrap();
                states.for_each(|state| group.save(&state).map(drop).unwrap());
                loaded
            })
        });
        let members: Vec<_> = members.collect();
        members.into_iter().map(|member| member.join().unwrap()).collect()
    })
}

#[cfg(feature = "group")]
#[test]
fn a_copy_of_a_group_goes_on_where_a_rewind_comes() {
    for place in 0..7 {
        let parent = tempfile::tempdir().unwrap();
        let (path, to) = (parent.path().join("run.ckpt"), parent.path().join("copy"));
        run_group(&path, 1..=4);
        let rewind = || drop(inspect::rewind(&path, &Protection::new(), 2).unwrap());
        let copied = copy_while(&path, &to, place, rewind).unwrap();
        let copied = copied.unwrap_or_else(|error| panic!("{place}: {error}"));
        assert_eq!((copied.generations, there(&to)), (vec![1, 2], vec![1, 2]), "{place}");
        #[allow(clippy::reversed_empty_ranges, reason = "nothing is saved")]
        let loaded = run_group(&to, 1..=0);
        assert_eq!(loaded, [Some(2), Some(2)], "{place}");
    }
}

#[cfg(feature = "group")]
#[test]
fn all_generations_in_the_copy_of_a_group_have_their_parts() {
    let mut places = 0;
    for place in 0..40 {
        let parent = tempfile::tempdir().unwrap();
        let (path, to) = (parent.path().join("run.ckpt"), parent.path().join("copy"));
        run_group_and_keep(&path, 4, 1..=4);
        let more = || drop(run_group_and_keep(&path, 4, 5..=6));
        let Some(copied) = copy_while(&path, &to, place, more) else { break };
        let copied = copied.unwrap_or_else(|error| panic!("{place}: {error}"));
        let tables = there(&to);
        assert!(tables.last() >= Some(&4), "{place}: {tables:?}");
        for rank in ["000000", "000001"] {
            let parts = there(&to.join(RANKS).join(rank));
            assert!(tables.iter().all(|table| parts.contains(table)), "{place}: {tables:?} {parts:?}");
        }
        assert_eq!(copied.generations, tables, "{place}");
        places += 1;
    }
    assert!((8..40).contains(&places), "{places}");
}

#[cfg(feature = "group")]
#[test]
fn a_copy_of_a_group_that_changed_its_size_has_all_generations() {
    for (before, after) in [(3, 2), (2, 4), (1, 3)] {
        let parent = tempfile::tempdir().unwrap();
        let (path, to) = (parent.path().join("run.ckpt"), parent.path().join("copy"));
        run_group_of(before, &path, 9, 1..=1);
        run_group_of(after, &path, 9, 2..=2);
        fs::create_dir(path.join(RANKS).join("000007")).unwrap();
        assert_eq!(copy(&path, &to).unwrap().generations, [1, 2], "{before} {after}");
        inspect::rewind(&to, &Protection::new(), 1).unwrap();
        #[allow(clippy::reversed_empty_ranges, reason = "nothing is saved")]
        let loaded = run_group_of(before, &to, 9, 1..=0);
        assert_eq!(loaded, vec![Some(1); before], "{before} {after}");
    }
}

#[cfg(feature = "group")]
#[test]
fn a_branch_that_has_all_parts_needs_no_original() {
    for (place, is_whole) in [(0, false), (1, false), (2, true)] {
        let parent = tempfile::tempdir().unwrap();
        let (path, to) = (parent.path().join("run.ckpt"), parent.path().join("branch"));
        run_group_and_keep(&path, 2, 1..=2);
        let copies = Cell::new(0);
        let branched = branch_and(&path, &Protection::new(), 1, &to, &|_| {
            if copies.replace(copies.get() + 1) == place {
                // The retention of another machine does not see that the table is read.
                for place in ["", "ranks/000000", "ranks/000001"] {
                    let place = Directory::new(&path.join(place), Arc::new(RealDisk::default()));
                    fs::remove_file(place.location(1)).unwrap();
                }
            }
        });
        match branched {
            Ok(branched) => assert_eq!((branched.generations, branched.files), (vec![1], 3)),
            Err(error) => assert!(matches!(error, Error::NoSuchGeneration { .. }), "{place}: {error}"),
        }
        #[allow(clippy::reversed_empty_ranges, reason = "nothing is saved")]
        let loaded = is_whole.then(|| run_group(&to, 1..=0));
        assert_eq!(loaded.is_some(), to.exists(), "{place}");
        assert!(loaded.is_none_or(|loaded| loaded == [Some(1), Some(1)]), "{place}");
    }
}

#[test]
fn a_copy_beside_the_removal_of_a_run_is_not_empty() {
    let parent = tempfile::tempdir().unwrap();
    let (path, to) = (parent.path().join("run.ckpt"), parent.path().join("copy"));
    let mut running = Checkpointer::<u64>::open(&path).unwrap();
    (1..=2).for_each(|state| running.save(&state).map(drop).unwrap());
    fs::write(path.join("plot.png"), "").unwrap();
    let remove = || running.finish(&2).unwrap().remove().map(drop).unwrap();
    let copied = copy_while(&path, &to, 0, remove).unwrap().unwrap();
    assert!(there(&path).is_empty() && path.is_dir());
    assert_eq!((copied.generations, copied.files), (vec![2], 1));
    assert_eq!(Checkpointer::<u64>::open(&to).unwrap().load().unwrap(), Some(2));
}

#[test]
fn what_retention_removes_meanwhile_may_stay_in_a_copy() {
    let parent = tempfile::tempdir().unwrap();
    let (path, to) = (parent.path().join("run.ckpt"), parent.path().join("copy"));
    let mut running = Checkpointer::<u64>::open(&path).unwrap();
    (1..=2).for_each(|state| running.save(&state).map(drop).unwrap());
    let more = || (3..=5).for_each(|state| running.save(&state).map(drop).unwrap());
    copy_while(&path, &to, 0, more).unwrap().unwrap();
    assert_eq!(there(&to), [2, 4, 5]);
}

#[test]
fn requests_are_copied_before_the_work_that_fulfils_them() {
    assert_eq!(FOLDERS[0], name::REDO);
    assert!(FOLDERS[1..].contains(&name::STEPS) && FOLDERS[1..].contains(&name::PROGRESS));
}

#[test]
fn a_copy_of_a_pipeline_has_the_permissions_of_its_folders() {
    let parent = tempfile::tempdir().unwrap();
    let (path, to) = (parent.path().join("p"), parent.path().join("copy"));
    let pipeline = Pipeline::open(&path).unwrap();
    pipeline.step("a").run(|_| Ok::<u64, Error>(1)).unwrap();
    fs::create_dir(path.join("redo")).unwrap();
    for folder in ["steps", "redo"] {
        fs::set_permissions(path.join(folder), fs::Permissions::from_mode(0o710)).unwrap();
    }
    copy(&path, &to).unwrap();
    for folder in ["steps", "redo"] {
        let mode = fs::metadata(to.join(folder)).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o710, "{folder}");
    }
}
