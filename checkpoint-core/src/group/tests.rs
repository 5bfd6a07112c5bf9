//! The promises of a group, with threads as its members.

mod failures;
mod lost;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::{GroupCheckpointer, Sharded, Threads};
use crate::stop::StopReason;
use crate::{Checkpointer, Error, Metadata, Schedule};

/// Runs the work of each member in a thread of its own.
pub(super) fn run<R: Send>(size: usize, work: impl Fn(Threads) -> R + Sync) -> Vec<R> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads: Vec<_> =
            Threads::new(size).into_iter().map(|member| scope.spawn(move || work(member))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

type Group = GroupCheckpointer<Vec<u64>, Threads>;

fn open(path: &Path, member: Threads) -> Group {
    Checkpointer::<Vec<u64>>::builder(path).open_group(member).unwrap()
}

/// The state of a member at a step.
fn state(rank: usize, step: u64) -> Vec<u64> {
    vec![rank as u64, step]
}

fn part(path: &Path, rank: usize, generation: u64) -> PathBuf {
    path.join(format!("ranks/{rank:06}/{generation:020}.ckpt"))
}

fn parts(path: &Path, rank: usize) -> Vec<u64> {
    Checkpointer::<Vec<u64>>::open(path.join(format!("ranks/{rank:06}"))).unwrap().generations().unwrap()
}

/// Saves this number of steps as a group, and ends without `finish`.
fn saved(path: &Path, size: usize, steps: u64) {
    run(size, |member| {
        let mut group = open(path, member);
        let _ = group.load();
        for step in 1..=steps {
            group.save(&state(group.rank(), step)).unwrap();
        }
    });
}

fn loaded(path: &Path, size: usize) -> Vec<Result<Option<Vec<u64>>, Error>> {
    run(size, |member| open(path, member).load())
}

/// All members loaded the same step.
fn step_of(loaded: Vec<Result<Option<Vec<u64>>, Error>>) -> u64 {
    let states: Vec<Vec<u64>> = loaded.into_iter().map(|loaded| loaded.unwrap().unwrap()).collect();
    let step = states[0][1];
    for (rank, found) in states.iter().enumerate() {
        assert_eq!(*found, state(rank, step));
    }
    step
}

#[test]
fn all_members_load_what_they_saved_together() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    assert!(loaded(&path, 3).into_iter().all(|loaded| loaded.unwrap().is_none()));
    let saves = run(3, |member| {
        let mut group = open(&path, member);
        let mut saves = Vec::new();
        for step in 1..=4 {
            let metadata = Metadata::new().with("step", step);
            saves.push(group.save_with(&state(group.rank(), step), metadata).unwrap().generation);
        }
        assert_eq!(group.generations().unwrap(), [3, 4]);
        assert_eq!(group.manifest(4).unwrap().metadata().get("step"), Some(&4.into()));
        assert_eq!(group.load_generation(3).unwrap(), state(group.rank(), 3));
        assert!(matches!(
            group.load_generation(2),
            Err(Error::NoSuchGeneration { .. } | Error::Member { .. })
        ));
        saves
    });
    assert_eq!(saves, vec![vec![1, 2, 3, 4]; 3]);
    assert_eq!(step_of(loaded(&path, 3)), 4);
    for rank in 0..3 {
        assert_eq!(parts(&path, rank), [3, 4], "the parts go with their table");
    }
}

#[test]
fn pinned_generations_keep_all_their_parts() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    run(2, |member| {
        let mut group = open(&path, member);
        for step in 1..=5 {
            group.save(&state(group.rank(), step)).unwrap();
            if step == 2 {
                group.pin(2).unwrap();
            }
        }
        assert_eq!(group.generations().unwrap(), [2, 4, 5]);
        assert_eq!(group.best(&crate::Metric::lowest("loss")).unwrap(), None);
        assert_eq!(group.load_generation(2).unwrap(), state(group.rank(), 2));
        group.unpin(2).unwrap();
        group.save(&state(group.rank(), 6)).unwrap();
    });
    assert_eq!(parts(&path, 1), [5, 6]);
}

#[test]
fn a_damaged_part_takes_all_members_one_back() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    saved(&path, 3, 3);
    fs::write(part(&path, 1, 3), "damage").unwrap();
    run(3, |member| {
        let mut group = open(&path, member);
        assert_eq!(group.load().unwrap(), Some(state(group.rank(), 2)));
        let report = group.last_load().unwrap();
        assert_eq!((report.generation(), report.skipped.len()), (2, 1));
        assert_eq!(report.skipped[0].generation, 3);
        // The damaged one does not count as kept.
        assert_eq!(group.save(&state(group.rank(), 4)).unwrap().generation, 4);
        assert_eq!(group.generations().unwrap(), [2, 3, 4]);
    });
    fs::remove_file(part(&path, 0, 4)).unwrap();
    assert_eq!(step_of(loaded(&path, 3)), 2);
}

#[test]
fn where_no_generation_is_whole_none_is_loaded() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    saved(&path, 2, 2);
    for generation in 1..=2 {
        fs::write(part(&path, 1, generation), "damage").unwrap();
    }
    let [first, second] = loaded(&path, 2).try_into().unwrap();
    assert!(matches!(first, Err(Error::NoneUsable { .. })), "{first:?}");
    assert!(matches!(second, Err(Error::Member { rank: 0, .. })), "{second:?}");
}

#[test]
fn a_rank_directory_of_another_run_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let (path, other) = (parent.path().join("run.ckpt"), parent.path().join("other.ckpt"));
    saved(&path, 2, 3);
    saved(&other, 2, 3);
    // The same number, the same form, the same rank: only the attempt differs.
    fs::copy(part(&other, 1, 3), part(&path, 1, 3)).unwrap();
    assert_eq!(step_of(loaded(&path, 2)), 2);
    // Two ranks are swapped.
    fs::rename(part(&path, 0, 2), parent.path().join("kept")).unwrap();
    fs::rename(part(&path, 1, 2), part(&path, 0, 2)).unwrap();
    fs::rename(parent.path().join("kept"), part(&path, 1, 2)).unwrap();
    assert!(loaded(&path, 2).into_iter().all(|loaded| loaded.is_err()));
}

#[test]
fn a_part_without_its_table_does_not_count() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    saved(&path, 2, 3);
    // The job was killed between the parts and the table.
    fs::remove_file(path.join(format!("{:020}.ckpt", 3))).unwrap();
    fs::remove_file(part(&path, 0, 3)).unwrap();
    run(2, |member| {
        let mut group = open(&path, member);
        assert_eq!(group.load().unwrap(), Some(state(group.rank(), 2)));
        // No number is used twice, and what does not count goes with the next save.
        assert_eq!(group.save(&state(group.rank(), 3)).unwrap().generation, 4);
    });
    assert_eq!(parts(&path, 1), [2, 4]);
}

#[test]
fn a_second_job_is_refused_on_all_its_members() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    run(1, |member| {
        let _held = open(&path, member);
        let errors =
            run(2, |member| Checkpointer::<Vec<u64>>::builder(&path).open_group(member).unwrap_err());
        assert!(matches!(errors[0], Error::InUse { .. }), "{}", errors[0]);
        assert!(matches!(errors[1], Error::Member { rank: 0, .. }), "{}", errors[1]);
        assert!(!path.join("ranks/000001").exists(), "it left nothing");
    });
}

#[test]
fn a_rank_that_still_runs_keeps_the_next_job_out() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    saved(&path, 2, 1);
    let _zombie = Checkpointer::<Vec<u64>>::open(path.join("ranks/000001")).unwrap();
    let errors = run(2, |member| Checkpointer::<Vec<u64>>::builder(&path).open_group(member).unwrap_err());
    assert!(matches!(errors[1], Error::InUse { .. }), "{}", errors[1]);
    assert!(matches!(errors[0], Error::Member { rank: 1, .. }), "{}", errors[0]);
}

#[test]
fn places_of_ranks_that_are_no_more_are_not_kept_open() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    saved(&path, 2, 2);
    let part = path.join("ranks/000001");
    run(1, |member| {
        let mut group = Checkpointer::<Vec<u64>>::builder(&path).keep_last(2).open_group(member).unwrap();
        drop(Checkpointer::<Vec<u64>>::open(&part).unwrap());
        group.save(&vec![1]).unwrap();
        drop(Checkpointer::<Vec<u64>>::open(&part).unwrap());
        group.save(&vec![2]).unwrap();
    });
    let left = fs::read_dir(&part)
        .unwrap()
        .flatten()
        .filter(|entry| entry.file_name().to_str().is_some_and(|name| name.ends_with(".ckpt")));
    assert_eq!(left.count(), 0);
}

#[test]
fn members_with_other_states_are_refused() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let errors = run(2, |member| match super::Group::rank(&member) {
        0 => Checkpointer::<Vec<u64>>::builder(&path).open_group(member).unwrap_err(),
        _ => Checkpointer::<Vec<f32>>::builder(&path).open_group(member).unwrap_err(),
    });
    for error in errors {
        assert!(matches!(error, Error::CallsDiffer { .. }), "{error}");
    }
}

#[test]
fn a_group_and_a_single_program_refuse_each_other() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    saved(&path, 1, 1);
    let error = Checkpointer::<Vec<u64>>::open(&path).unwrap().load().unwrap_err();
    assert!(error.to_string().contains("open_group"), "{error}");
    let single = parent.path().join("single.ckpt");
    Checkpointer::<Vec<u64>>::open(&single).unwrap().save(&vec![1]).unwrap();
    let error = loaded(&single, 1).remove(0).unwrap_err();
    assert!(matches!(error, Error::OtherKind { of_group: false, .. }), "{error}");
}

#[test]
fn a_skipped_call_is_an_error_on_all_that_names_both() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let errors = run(2, |member| {
        let mut group = open(&path, member);
        group.save(&state(group.rank(), 1)).unwrap();
        match group.rank() {
            0 => group.save(&state(0, 2)).unwrap_err(),
            _ => group.finish(&state(1, 1)).unwrap_err(),
        }
    });
    for error in errors {
        let text = error.to_string();
        assert!(text.contains("`save`") && text.contains("`finish`"), "{text}");
    }
    assert_eq!(step_of(loaded(&path, 2)), 1);
}

#[test]
fn a_save_in_the_background_counts_when_all_parts_are_there() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    run(2, |member| {
        let mut group = open(&path, member);
        assert_eq!(group.save_in_background(&state(group.rank(), 1)).unwrap().generation, 1);
        assert_eq!(group.save_in_background(&state(group.rank(), 2)).unwrap().generation, 2);
        assert_eq!(group.generations().unwrap(), [1], "the second waits for the first");
        assert_eq!(group.wait().unwrap().unwrap().generation, 2);
        assert_eq!(group.wait().unwrap(), None);
        group.save_in_background(&state(group.rank(), 3)).unwrap();
        while group.is_saving().unwrap() {}
        assert_eq!(group.generations().unwrap(), [2, 3]);
        group.save_in_background(&state(group.rank(), 4)).unwrap();
    });
    // The last was never accepted.
    assert_eq!(step_of(loaded(&path, 2)), 3);
}

#[test]
fn the_schedule_of_rank_0_is_that_of_all() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    for background in [false, true] {
        let due = run(3, |member| {
            let rank = super::Group::rank(&member) as u64;
            // Those of the others do not count.
            let schedule = Schedule::every_steps(10 + 7 * rank);
            let builder = Checkpointer::<Vec<u64>>::builder(&path);
            let builder = builder.schedule(schedule).background(background && rank == 0);
            let mut group = builder.open_group(member).unwrap();
            let mut due = Vec::new();
            for step in 1..=35 {
                let decision = group.save_if_due(&vec![rank, step]).unwrap();
                assert!(!(background && decision.is_saved() || !background && decision.is_started()));
                if decision.is_saved() || decision.is_started() {
                    due.push(step);
                    group.wait().unwrap();
                }
                assert_eq!(group.should_stop().unwrap(), None);
            }
            due
        });
        assert_eq!(due, vec![vec![10, 20, 30]; 3]);
    }
}

#[test]
fn a_reason_of_one_member_stops_all_at_the_same_step() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let ends = run(3, |member| {
        let mut group = open(&path, member);
        let mut step = 0;
        while group.should_stop().unwrap().is_none() {
            step += 1;
            group.save_if_due(&state(group.rank(), step)).unwrap();
            std::thread::sleep(Duration::from_millis(1));
            if step == 5 && group.rank() == 2 {
                fs::write(path.join("ranks/000002/halt"), "enough").unwrap();
            }
        }
        assert_eq!(group.stopped_by(), Some(2));
        let finished =
            group.finish(&state(2, step)).map(|finished| (finished.stopped.clone(), finished.exit_code()));
        (step, finished.unwrap())
    });
    let (step, (stopped, code)) = &ends[0];
    assert!(*step >= 5);
    assert!(matches!(stopped, Some(StopReason::Halt { .. })), "{stopped:?}");
    for end in &ends {
        assert_eq!((&end.0, &end.1.0), (step, stopped));
        assert_eq!(format!("{:?}", end.1.1), format!("{code:?}"));
    }
    assert!(!path.join("ranks/000002/halt").exists(), "the next start goes on");
}

#[test]
fn the_last_state_is_not_saved_twice() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let saves = run(2, |member| {
        let mut group = open(&path, member);
        group.save(&state(group.rank(), 7)).unwrap();
        let rank = group.rank();
        group.finish_with(&state(rank, 7), Metadata::new()).unwrap().saved.is_some()
    });
    assert_eq!(saves, [false, false]);
    // The state of one member differs.
    let saves = run(2, |member| {
        let mut group = open(&path, member);
        group.load().unwrap();
        let rank = group.rank();
        group.finish(&state(rank, 7 + rank as u64)).unwrap().saved.is_some()
    });
    assert_eq!(saves, [true, true]);
    let history = crate::history::read(&path).unwrap();
    assert_eq!((history.runs(), history.failures()), (2, 0));
}

#[test]
fn the_parts_of_a_larger_group_go_with_their_tables() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    saved(&path, 3, 2);
    // Rank 2 was one save ahead when the job was killed.
    fs::copy(part(&path, 2, 2), part(&path, 2, 9)).unwrap();
    run(2, |member| {
        let mut group = open(&path, member);
        assert_eq!(group.save(&state(group.rank(), 3)).unwrap().generation, 10);
    });
    assert_eq!(parts(&path, 2), [2]);
    saved(&path, 2, 2);
    assert_eq!(parts(&path, 2), [0_u64; 0]);
}

#[cfg(feature = "inspect")]
#[test]
fn a_whole_without_an_array_of_another_member_is_refused() {
    use crate::inspect::{File, GroupFile};

    type Patches = BTreeMap<String, Sharded<f64>>;
    let parent = tempfile::tempdir().unwrap();
    let path = &parent.path().join("run.ckpt");
    let patch = |key: &str| (key.to_owned(), Sharded::new(&[1], &[0], &[1], vec![0.5]).unwrap());
    let saved = |keys: [&[&str]; 2]| {
        run(2, |member| {
            let patches: Patches = keys[super::Group::rank(&member)].iter().map(|key| patch(key)).collect();
            let mut group = Checkpointer::<Patches>::builder(path).open_group(member).unwrap();
            group.save(&patches).unwrap().generation
        })[0]
    };
    let whole = |generation: u64| {
        let protection = crate::Protection::new();
        let file = File::open(path.join(format!("{generation:020}.ckpt")), &protection).unwrap();
        GroupFile::of(&file, &protection).unwrap().unwrap().assemble()
    };
    let error = whole(saved([&["a"], &["b", "c"]])).unwrap_err();
    assert!(matches!(error, Error::Sharding { .. }), "{error}");
    assert!(error.to_string().contains("no place for these arrays, which other processes have"), "{error}");
    assert!(error.to_string().contains("without them: b, c;"), "{error}");
}

#[test]
fn settings_that_a_group_does_not_have_are_refused() {
    let parent = tempfile::tempdir().unwrap();
    let builder = || Checkpointer::<u64>::builder(parent.path().join("run.ckpt"));
    let room = crate::OnFailedSave::go_on().make_room();
    for builder in
        [builder().branch_from("other.ckpt"), builder().on_failed_save(room), builder().keep_last(0)]
    {
        let error = builder.open_group(super::Alone).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
    }
    assert!(!parent.path().join("run.ckpt").exists());
}
