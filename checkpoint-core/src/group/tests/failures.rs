//! One member fails: at each operation of its disk, by a panic, or by its end.

use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use serde::{Deserialize, Serialize};

use super::{loaded, run, state, step_of};
use crate::error::OutputFault;
use crate::group::{Group as _, GroupCheckpointer, Sharded, Threads};
use crate::schema::Type;
use crate::state::{self, Types};
use crate::store::faults::{Fault, FaultyDisk};
use crate::{Appended, Checkpoint, Checkpointer, Error, Metadata, OnFailedSave, Schedule};

const ENOENT: i32 = 2;
const EIO: i32 = 5;
const ENOSPC: i32 = 28;
const EROFS: i32 = 30;

/// A disk that is broken, full, read-only, or gone, and a file server that loses its answer.
const FAULTS: [Fault; 5] = [
    Fault::Error(EIO),
    Fault::Error(ENOSPC),
    Fault::Error(EROFS),
    Fault::Error(ENOENT),
    Fault::AnswerLost(EIO),
];

/// The operations on the disk of a member in a save.
fn operations(rank: usize) -> usize {
    let parent = tempfile::tempdir().unwrap();
    let path = &parent.path().join("run.ckpt");
    let counts = run(2, |member| {
        let disk = FaultyDisk::default();
        let builder = Checkpointer::<Vec<u64>>::builder(path).disk(Arc::new(disk.clone()));
        let mut group = builder.open_group(member).unwrap();
        for step in 1..=3 {
            group.save(&state(group.rank(), step)).unwrap();
        }
        disk.plan(None);
        group.save(&state(group.rank(), 4)).unwrap();
        disk.asked().len()
    });
    counts[rank]
}

#[test]
fn a_disk_that_fails_at_any_operation_fails_all_or_none() {
    for rank in 0..2 {
        let operations = operations(rank);
        assert!(operations > 5, "{operations}");
        let mut failures = 0;
        for place in 0..operations {
            for fault in FAULTS {
                failures += usize::from(fails_together(rank, place, fault));
            }
        }
        assert!(failures > operations, "{failures} of {operations}");
    }
}

/// Saves with a fault on one member. Returns true if the save failed.
fn fails_together(failing: usize, place: usize, fault: Fault) -> bool {
    let parent = tempfile::tempdir().unwrap();
    let path = &parent.path().join("run.ckpt");
    let what = format!("rank {failing}, operation {place}, {fault:?}");
    let outcomes = run(2, |member| {
        let disk = FaultyDisk::default();
        let builder = Checkpointer::<Vec<u64>>::builder(path).disk(Arc::new(disk.clone()));
        let mut group = builder.open_group(member).unwrap();
        let rank = group.rank();
        for step in 1..=3 {
            group.save(&state(rank, step)).unwrap();
        }
        disk.plan((rank == failing).then_some((place, fault)));
        let outcome = group.save(&state(rank, 4));
        disk.plan(None);
        if let Err(error) = &outcome {
            assert_eq!(
                rank != failing,
                matches!(error, Error::Member { rank, .. } if *rank == failing),
                "{what}: {error}"
            );
        }
        let failed = outcome.is_err();
        // All members load the same: the acknowledged save, or the failed one that was made after
        // all.
        let found = group.load().unwrap().unwrap();
        assert!(found == state(rank, 4) || failed && found == state(rank, 3), "{what}: {found:?}");
        let saved = group.save(&state(rank, 5)).unwrap();
        assert_eq!(group.generations().unwrap().last(), Some(&saved.generation), "{what}");
        failed
    });
    assert_eq!(outcomes[0], outcomes[1], "{what}");
    assert_eq!(step_of(loaded(path, 2)), 5, "{what}");
    outcomes[0]
}

#[test]
fn a_disk_that_fails_while_opening_fails_all_or_none() {
    for (rank, is_new) in [(0, false), (1, false), (0, true), (1, true)] {
        let parent = tempfile::tempdir().unwrap();
        let (mut place, mut failures) = (0, 0);
        // Until the fault comes after the opening.
        loop {
            let what = format!("rank {rank}, operation {place}, new: {is_new}");
            let path = &parent.path().join(format!("{place}.ckpt"));
            if !is_new {
                super::saved(path, 2, 1);
            }
            let opened = run(2, |member| {
                let disk = FaultyDisk::default();
                disk.plan((member.rank() == rank).then_some((place, Fault::Error(EIO))));
                let builder = Checkpointer::<Vec<u64>>::builder(path).disk(Arc::new(disk.clone()));
                let outcome = builder.open_group(member);
                (outcome.is_ok(), disk.asked().len() > place)
            });
            assert_eq!(opened[0].0, opened[1].0, "{what}");
            failures += usize::from(!opened[0].0);
            match is_new {
                true => super::saved(path, 2, 1),
                false => assert_eq!(step_of(loaded(path, 2)), 1, "{what}"),
            }
            if opened[rank].0 && !opened[rank].1 {
                break;
            }
            place += 1;
        }
        assert!(failures >= 2, "{failures} of {place}");
    }
}

#[test]
fn a_passing_failure_of_one_member_takes_none_back() {
    let parent = tempfile::tempdir().unwrap();
    let path = &parent.path().join("run.ckpt");
    super::saved(path, 2, 2);
    run(2, |member| {
        let disk = FaultyDisk::default();
        let rank = member.rank();
        let builder = Checkpointer::<Vec<u64>>::builder(path).disk(Arc::new(disk.clone()));
        let mut group = builder.open_group(member).unwrap();
        disk.be_stale(usize::from(rank == 1));
        let error = group.load().unwrap_err();
        assert_eq!(rank == 0, matches!(error, Error::Member { rank: 1, .. }), "{error}");
        assert_eq!(group.load().unwrap(), Some(state(rank, 2)));
    });
}

#[cfg(unix)]
#[test]
fn an_output_that_one_member_cannot_open_fails_all_loads() {
    let parent = tempfile::tempdir().unwrap();
    let (path, output) = (&parent.path().join("run.ckpt"), |rank| parent.path().join(format!("{rank}.csv")));
    let open = |member: Threads| Checkpointer::<Vec<Appended>>::builder(path).open_group(member).unwrap();
    let load = || run(2, |member| open(member).load());
    run(2, |member| {
        let rank = member.rank();
        let mut outputs = vec![Appended::at(output(rank))];
        outputs[0].write_all(b"counted").unwrap();
        let mut group = open(member);
        group.save(&outputs).unwrap();
        outputs[0].write_all(b", and not").unwrap();
    });
    // Another program has the file of rank 1 open.
    let file = std::fs::File::open(output(1)).unwrap();
    file.try_lock().unwrap();
    let [first, second] = load().try_into().unwrap();
    let error = second.unwrap_err();
    assert!(matches!(error, Error::Output { fault: OutputFault::InUse, .. }), "{error}");
    let error = first.unwrap_err();
    assert!(matches!(error, Error::Member { rank: 1, .. }), "{error}");
    assert!(error.to_string().contains("1.csv"), "{error}");
    file.unlock().unwrap();
    assert!(load().into_iter().all(|loaded| loaded.unwrap().is_some()));
    // A member without an output waits for those that have one, and hears of them.
    run(2, |member| {
        let outputs = if member.rank() == 0 { Vec::new() } else { vec![Appended::at(output(7))] };
        open(member).save(&outputs).unwrap();
    });
    let file = std::fs::File::open(output(7)).unwrap();
    file.try_lock().unwrap();
    assert!(load().into_iter().all(|loaded| loaded.is_err()));
    drop(file);
    assert!(load().into_iter().all(|loaded| loaded.unwrap().is_some()));
}

#[cfg(unix)]
#[test]
fn outputs_of_a_larger_group_go_on_in_a_smaller_one() {
    type Gas = (Sharded<f64>, Vec<Appended>);
    fn new(member: &Threads) -> Gas {
        (Sharded::rows([8], member).unwrap(), Vec::new())
    }
    fn open<'m>(path: &Path, member: &'m Threads) -> GroupCheckpointer<Gas, &'m Threads> {
        Checkpointer::builder(path).open_group(member).unwrap()
    }
    let parent = tempfile::tempdir().unwrap();
    let (path, log) = (&parent.path().join("run.ckpt"), |rank| parent.path().join(format!("{rank}.csv")));
    run(4, |member| {
        let mut gas = new(&member);
        gas.1.push(Appended::at(log(member.rank())));
        gas.1[0].write_all(b"counted").unwrap();
        open(path, &member).save(&gas).unwrap();
        gas.1[0].write_all(b", and not").unwrap();
    });
    // All have those of rank 0, where the function leaves them.
    let errors = run(2, |member| {
        let mut group = open(path, &member);
        group.on_resize(|_, _| Ok(()));
        group.load_into(&mut new(&member)).unwrap_err().to_string()
    });
    assert!(
        errors.iter().all(|error| error.contains("replace them in the function of `on_resize`")),
        "{errors:?}"
    );
    run(2, |member| {
        let (mut group, rank) = (open(path, &member), member.rank());
        group.on_resize(move |old, gas| {
            gas.1.clear();
            for from in (0..old.size()).filter(|from| from % 2 == rank) {
                gas.1.extend(old.load(from)?.1);
            }
            Ok(())
        });
        let mut gas = new(&member);
        assert!(group.load_into(&mut gas).unwrap());
        for from in [rank, rank + 2] {
            assert_eq!(std::fs::read(log(from)).unwrap(), b"counted", "what no checkpoint counts is cut");
        }
        gas.1.iter_mut().for_each(|log| log.write_all(b", more").unwrap());
        group.save(&gas).unwrap();
    });
    for from in 0..4 {
        assert_eq!(std::fs::read(log(from)).unwrap(), b"counted, more");
    }
}

#[test]
fn a_generation_that_a_member_could_not_read_is_not_removed() {
    let parent = tempfile::tempdir().unwrap();
    let path = &parent.path().join("run.ckpt");
    super::saved(path, 2, 5);
    run(2, |member| {
        let disk = FaultyDisk::default();
        let rank = member.rank();
        let builder = Checkpointer::<Vec<u64>>::builder(path).disk(Arc::new(disk.clone()));
        let mut group = builder.open_group(member).unwrap();
        // Once, it is read again.
        disk.be_unread("00000000000000000005.ckpt", usize::from(rank == 1));
        assert_eq!(group.load().unwrap(), Some(state(rank, 5)));
        disk.be_unread("00000000000000000005.ckpt", if rank == 1 { usize::MAX } else { 0 });
        assert_eq!(group.load().unwrap(), Some(state(rank, 4)));
        disk.be_unread("", 0);
        for step in 6..12 {
            group.save(&state(rank, step)).unwrap();
        }
        assert_eq!(group.load_generation(5).unwrap(), state(rank, 5));
    });
}

#[test]
fn a_refused_save_leaves_no_parts() {
    let parent = tempfile::tempdir().unwrap();
    let path = &parent.path().join("run.ckpt");
    run(2, |member| {
        let disk = FaultyDisk::default();
        let builder = Checkpointer::<Vec<u64>>::builder(path).disk(Arc::new(disk.clone()));
        let mut group = builder.open_group(member).unwrap();
        group.save(&state(group.rank(), 1)).unwrap();
        for step in 2..10 {
            disk.plan((group.rank() == 1).then_some((0, Fault::Error(ENOSPC))));
            group.save(&state(group.rank(), step)).unwrap_err();
        }
    });
    // A disk that is full must not be filled by those that are not.
    assert_eq!(super::parts(path, 0), [1]);
    assert_eq!(super::parts(path, 1), [1]);
}

#[test]
fn a_failed_save_that_was_due_is_tolerated_on_all() {
    for background in [false, true] {
        let parent = tempfile::tempdir().unwrap();
        let path = &parent.path().join("run.ckpt");
        run(2, |member| {
            let disk = FaultyDisk::default();
            let rank = member.rank();
            let builder = Checkpointer::<Vec<u64>>::builder(path).disk(Arc::new(disk.clone()));
            let builder = builder.schedule(Schedule::every_steps(1)).background(background);
            let mut group = builder.on_failed_save(OnFailedSave::go_on()).open_group(member).unwrap();
            group.save(&state(rank, 1)).unwrap();
            disk.plan((rank == 1).then_some((0, Fault::Error(ENOSPC))));
            let mut failed = false;
            while !failed {
                let decision = group.save_if_due(&state(rank, 2)).unwrap();
                failed = matches!(decision, crate::reports::Decision::Failed { times: 1, .. });
            }
            disk.plan(None);
            group.save(&state(rank, 3)).unwrap();
        });
        assert_eq!(step_of(loaded(path, 2)), 3);
    }
}

/// A state that panics while it is saved.
#[derive(Clone, Debug, PartialEq, Deserialize)]
struct Bomb(bool);

impl Serialize for Bomb {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(!self.0, "boom");
        serializer.serialize_newtype_struct("Bomb", &self.0)
    }
}

impl Checkpoint for Bomb {
    const NAME: &'static str = "Bomb";

    fn schema(types: &mut Types) -> Type {
        state::derived::<Bomb>(types)
    }
}

#[test]
fn a_state_that_panics_fails_the_save_of_all() {
    for background in [false, true] {
        let parent = tempfile::tempdir().unwrap();
        let path = &parent.path().join("run.ckpt");
        run(2, |member| {
            let mut group = Checkpointer::<Bomb>::builder(path).open_group(member).unwrap();
            group.abort_on_panic(false);
            group.save(&Bomb(false)).unwrap();
            let bomb = Bomb(group.rank() == 1);
            let save = std::panic::AssertUnwindSafe(|| match background {
                true => group.save_in_background(&bomb).map(drop),
                false => group.save(&bomb).map(drop),
            });
            match std::panic::catch_unwind(save) {
                Ok(outcome) => {
                    let error = outcome.unwrap_err();
                    assert!(matches!(error, Error::Member { rank: 1, .. }), "{error}");
                    assert!(error.to_string().contains("boom"), "{error}");
                }
                Err(_) => assert_eq!(group.rank(), 1),
            }
            // The group goes on.
            assert_eq!(group.save(&Bomb(false)).unwrap().generation, 3);
        });
    }
}

/// A group of one that notes if it is ended, and panics at a call of this number.
#[derive(Default)]
struct Noted {
    calls: AtomicUsize,
    panics_at: Option<usize>,
    is_ended: AtomicBool,
}

impl crate::group::Group for &Noted {
    fn rank(&self) -> usize {
        0
    }

    fn size(&self) -> usize {
        1
    }

    fn all_gather(&self, mine: &[u8]) -> std::io::Result<Vec<Vec<u8>>> {
        assert_ne!(Some(self.calls.fetch_add(1, Ordering::SeqCst)), self.panics_at, "boom");
        Ok(vec![mine.to_vec()])
    }

    fn abort(&self) {
        self.is_ended.store(true, Ordering::SeqCst);
    }
}

/// A state that panics while its form is asked for.
#[derive(Debug, Serialize, Deserialize)]
struct Formless;

impl Checkpoint for Formless {
    const NAME: &'static str = "Formless";

    fn schema(_: &mut Types) -> Type {
        panic!("boom")
    }
}

/// Does something that panics, and returns true if that ended the group.
fn ends(group: &Noted, work: impl FnOnce(&Path, &Noted)) -> bool {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let work = std::panic::AssertUnwindSafe(|| work(&path, group));
    std::panic::catch_unwind(work).unwrap_err();
    group.is_ended.load(Ordering::SeqCst)
}

#[test]
fn a_panic_while_a_group_opens_ends_it() {
    let of_state = ends(&Noted::default(), |path, group| {
        let _ = Checkpointer::<Formless>::builder(path).open_group(group);
    });
    assert!(of_state, "a panic of the state");
    for call in 0..2 {
        let of_group = ends(&Noted { panics_at: Some(call), ..Noted::default() }, |path, group| {
            let _ = Checkpointer::<u64>::builder(path).open_group(group);
        });
        assert!(of_group, "a panic of the group in its call {call}");
    }
}

#[test]
fn a_panic_in_any_call_of_a_group_ends_it_if_it_aborts() {
    type Call = fn(GroupCheckpointer<Bomb, &Noted>);
    let calls: [Call; 9] = [
        |mut group| drop(group.load_or_else(|| panic!("boom"))),
        |mut group| drop(group.save(&Bomb(true))),
        |mut group| drop(group.save_with(&Bomb(false), || -> Metadata { panic!("boom") })),
        |mut group| drop(group.save_if_due_with(&Bomb(false), || -> Metadata { panic!("boom") })),
        |mut group| drop(group.save_in_background(&Bomb(true))),
        |mut group| drop(group.save_in_background_with(&Bomb(false), || -> Metadata { panic!("boom") })),
        |group| drop(group.finish(&Bomb(true))),
        |group| drop(group.finish_with(&Bomb(false), || -> Metadata { panic!("boom") })),
        |mut group| {
            group.save(&Bomb(false)).unwrap();
            let _ = group.load_into(&mut Bomb(true)).map(|_| panic!("boom"));
        },
    ];
    for (number, call) in calls.into_iter().enumerate() {
        for aborts in [true, false] {
            let is_ended = ends(&Noted::default(), |path, group| {
                let builder = Checkpointer::<Bomb>::builder(path).schedule(Schedule::every_steps(1));
                let mut group = builder.open_group(group).unwrap();
                group.abort_on_panic(aborts);
                call(group);
            });
            assert_eq!(is_ended, aborts, "call {number}");
        }
    }
}

#[test]
fn a_member_that_panics_ends_the_group() {
    let parent = tempfile::tempdir().unwrap();
    let path = &parent.path().join("run.ckpt");
    let members = Threads::new(2);
    let work = |member: Threads| {
        let mut group = Checkpointer::<Vec<u64>>::builder(path).open_group(member).unwrap();
        group.save(&state(group.rank(), 1)).unwrap();
        assert_eq!(group.rank(), 0, "this member panics");
        group.save(&state(0, 2)).map(drop)
    };
    let [first, second] = std::thread::scope(|scope| {
        let work = &work;
        let threads: Vec<_> = members.into_iter().map(|member| scope.spawn(move || work(member))).collect();
        let ends: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
        ends.try_into().unwrap()
    });
    assert!(second.is_err());
    let error = first.unwrap().unwrap_err();
    assert!(matches!(error, Error::GroupLost { .. }), "{error}");
    assert!(error.to_string().contains("rank 1"), "{error}");
    assert_eq!(step_of(loaded(path, 2)), 1);
}
