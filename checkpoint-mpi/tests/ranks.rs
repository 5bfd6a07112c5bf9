//! What members over MPI give arrives at all of them. The program starts itself under `mpirun`.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::process::Command;

use checkpointed::group::Group as _;
use checkpointed_mpi::Mpi;
use mpi::traits::Communicator as _;

/// Marks the processes that `mpirun` started.
const RANK: &str = "CHECKPOINTED_TEST_RANK";

const TESTS: [(&str, fn()); 4] = [
    ("messages_of_any_length_arrive_by_rank", any_length),
    ("long_messages_arrive_in_pieces", pieces),
    ("the_group_does_not_meet_messages_of_the_program", own_messages),
    ("each_part_of_a_communicator_is_a_group", parts),
];

/// Takes minutes and 12 GB of memory: `cargo test --release -- --long`.
const LONG: (&str, fn()) = ("a_message_longer_than_2_gib_arrives", longer_than_a_count);

fn main() {
    if let Ok(test) = std::env::var(RANK) {
        let (_, run) = TESTS.iter().chain([&LONG]).find(|(name, _)| *name == test).unwrap();
        return run();
    }
    if !Command::new("mpirun").arg("--version").output().is_ok_and(|output| output.status.success()) {
        println!("SKIPPED: there is no mpirun");
        return;
    }
    let long = std::env::args().any(|argument| argument == "--long");
    let tests: Vec<_> = if long { vec![(LONG.0, 2)] } else { TESTS.iter().map(|test| (test.0, 4)).collect() };
    for (test, ranks) in &tests {
        let output = mpirun(*ranks).env(RANK, test).output().unwrap();
        assert!(output.status.success(), "{test} failed: {output:?}");
        println!("test {test} ... ok");
    }
    println!("\ntest result: ok. {} passed; 0 failed", tests.len());
}

/// This program with that many ranks, whatever the number of cores, also as root.
fn mpirun(ranks: usize) -> Command {
    let mut command = Command::new("mpirun");
    command.args(["-n", &ranks.to_string()]).arg(std::env::current_exe().unwrap());
    command.env("OMPI_ALLOW_RUN_AS_ROOT", "1").env("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1");
    // Of Open MPI 4 and 5.
    command.env("OMPI_MCA_rmaps_base_oversubscribe", "1");
    command.env("PRTE_MCA_rmaps_default_mapping_policy", ":oversubscribe");
    command
}

/// A message of that length, different from rank to rank.
fn message(rank: usize, length: usize) -> Vec<u8> {
    (0..length).map(|place| u8::try_from((place * 31 + rank * 97) % 251).unwrap()).collect()
}

/// Each rank gives a message of the length for it, and gets those of all.
fn check(group: &Mpi, length: impl Fn(usize) -> usize) {
    let (rank, size) = (group.rank(), group.size());
    let all = group.all_gather(&message(rank, length(rank))).unwrap();
    assert_eq!(all.len(), size);
    for (rank, given) in all.iter().enumerate() {
        assert!(*given == message(rank, length(rank)), "that of rank {rank}");
    }
}

fn any_length() {
    let universe = mpi::initialize().unwrap();
    let group = Mpi::new(&universe.world());
    assert_eq!(group.size(), 4);
    // That of nothing at all is an error of MPI_Allgatherv.
    check(&group, |_| 0);
    check(&group, |rank| rank);
    check(&group, |rank| if rank == 2 { 1 } else { 0 });
    check(&group, |rank| 1000 * rank + 7);
    check(&group, |rank| if rank == 3 { 3_000_000 } else { 5 });
}

fn pieces() {
    let universe = mpi::initialize().unwrap();
    for at_once in [1, 3, 4, 5, 64, 1000] {
        let group = Mpi::new(&universe.world()).at_once(at_once);
        check(&group, |_| 0);
        for length in [1, 2, 15, 16, 17, 250] {
            check(&group, |rank| length * rank);
            check(&group, |rank| length * (3 - rank));
        }
    }
}

fn own_messages() {
    use mpi::traits::{Destination as _, Source as _};
    let universe = mpi::initialize().unwrap();
    let world = universe.world();
    let group = Mpi::new(&world);
    let (rank, size) = (world.rank(), world.size());
    let sent = [rank; 100];
    mpi::request::scope(|scope| {
        let sending = world.process_at_rank((rank + 1) % size).immediate_send(scope, &sent[..]);
        check(&group, |rank| rank * 10);
        let (received, _) = world.process_at_rank((rank + size - 1) % size).receive_vec::<i32>();
        assert_eq!(received, vec![(rank + size - 1) % size; 100]);
        sending.wait();
    });
    check(&group, |rank| rank);
}

fn parts() {
    let universe = mpi::initialize().unwrap();
    let world = universe.world();
    let color = mpi::topology::Color::with_value(world.rank() % 2);
    let part = world.split_by_color(color).unwrap();
    let group = Mpi::new(&part);
    assert_eq!((group.size(), group.rank()), (2, usize::try_from(world.rank()).unwrap() / 2));
    check(&group, |rank| rank + 1);
}

fn longer_than_a_count() {
    let universe = mpi::initialize().unwrap();
    let group = Mpi::new(&universe.world());
    let length = (2 << 30) + 12_345;
    let mine = if group.rank() == 1 { vec![7; length] } else { vec![1, 2, 3] };
    let all = group.all_gather(&mine).unwrap();
    assert_eq!(all[0], [1, 2, 3]);
    assert!(all[1].len() == length && all[1].iter().all(|byte| *byte == 7));
}
