//! The orders in which the members of a group of threads can run. Shuttle fails where they wait for
//! each other for ever.

use std::sync::Arc;

use shuttle::rand::Rng;
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Runner, thread};

use super::super::disk::{Fault, SimulatedDisk};
use super::super::image::Image;
use super::super::scenarios::PATH;
use super::{DRAWN, OPERATIONS, config};
use crate::group::{Group, GroupCheckpointer, Threads};
use crate::store::faults::EIO;
use crate::{Checkpointer, Error};

fn run(scheduler: impl Scheduler + 'static, program: fn()) {
    Runner::new(scheduler, config()).run(program);
}

fn in_many_orders(program: fn()) {
    run(RandomScheduler::new_from_seed(7, DRAWN / 10), program);
    run(PctScheduler::new_from_seed(7, 3, DRAWN / 10), program);
}

/// Runs the work of each member in a thread of its own.
fn members<R: Send + 'static>(
    size: usize,
    work: impl Fn(Threads) -> R + Send + Sync + Clone + 'static,
) -> Vec<R> {
    let threads: Vec<_> = Threads::new(size)
        .into_iter()
        .map(|member| {
            let work = work.clone();
            thread::spawn(move || work(member))
        })
        .collect();
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

/// The bytes that all give in one round.
fn given(size: usize, round: u8) -> Vec<Vec<u8>> {
    (0_u8..).take(size).map(|rank| vec![round, rank]).collect()
}

fn gather(member: &Threads, round: u8) -> std::io::Result<Vec<Vec<u8>>> {
    member.all_gather(&[round, u8::try_from(member.rank()).unwrap()])
}

#[test]
fn in_every_order_a_gather_has_what_all_gave() {
    run(DfsScheduler::new(None, false), || {
        members(2, |member| assert_eq!(gather(&member, 0).unwrap(), given(2, 0)));
    });
}

#[test]
fn in_many_orders_a_round_is_whole_or_an_error_for_good() {
    in_many_orders(|| {
        let rounds = members(3, |member| {
            // One of them leaves before the others have ended.
            let stays = if member.rank() == 1 { shuttle::rand::thread_rng().gen_range(0..4) } else { 5 };
            let mut complete = 0;
            for round in 0..stays {
                match gather(&member, round) {
                    Ok(bytes) => {
                        assert_eq!(complete, round, "it goes on after an error");
                        assert_eq!(bytes, given(3, round));
                        complete += 1;
                    }
                    Err(error) => assert!(error.to_string().contains("rank"), "{error}"),
                }
            }
            complete
        });
        // The rounds that the member took part in are complete for all.
        assert!(rounds.iter().all(|complete| *complete == rounds[1]), "{rounds:?}");
    });
}

/// Opens the group on disks of its own, and returns what it loads, with the group.
fn open(disk: Arc<SimulatedDisk>, member: Threads) -> (Option<u64>, GroupCheckpointer<u64, Threads>) {
    let builder = Checkpointer::<u64>::builder(PATH).disk(Arc::new(disk)).history(false).keep_last(1);
    let mut group = builder.warnings_to_stderr(false).open_group(member).unwrap();
    (group.load().unwrap(), group)
}

fn disks() -> [Arc<SimulatedDisk>; 2] {
    [(); 2].map(|()| SimulatedDisk::new(Image::new()))
}

/// The members load, and all have the same state.
fn loaded(disks: &[Arc<SimulatedDisk>; 2]) -> Option<u64> {
    let disks = disks.clone();
    let states = members(2, move |member| open(Arc::clone(&disks[member.rank()]), member).0);
    assert_eq!(states[0], states[1]);
    states[0]
}

#[test]
fn in_many_orders_a_group_saves_in_the_background_as_one() {
    in_many_orders(|| {
        let disks = disks();
        let of_members = disks.clone();
        members(2, move |member| {
            let (none, mut group) = open(Arc::clone(&of_members[member.rank()]), member);
            assert_eq!(none, None);
            for state in 1..=3 {
                group.save_in_background(&state).unwrap();
            }
            group.wait().unwrap();
        });
        assert_eq!(loaded(&disks), Some(3));
    });
}

#[test]
fn in_many_orders_a_fault_of_one_member_is_an_error_of_all() {
    in_many_orders(|| {
        let disks = disks();
        let of_members = disks.clone();
        let [faulty, place] = [2, OPERATIONS].map(|below| shuttle::rand::thread_rng().gen_range(0..below));
        let outcomes = members(2, move |member| {
            let rank = member.rank();
            let disk = &of_members[rank];
            let (_, mut group) = open(Arc::clone(disk), member);
            group.save(&1).unwrap();
            disk.plan((rank == faulty).then_some((place, Fault::Errno(EIO))));
            let begun = group.save_in_background(&2).map(drop);
            let saved: Result<(), Error> = begun.and_then(|()| group.wait().map(drop));
            disk.plan(None);
            group.save(&3).unwrap();
            saved.is_ok()
        });
        assert_eq!(outcomes[0], outcomes[1]);
        assert_eq!(loaded(&disks), Some(3));
    });
}
