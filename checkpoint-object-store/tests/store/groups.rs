//! Groups over a store: many members, one checkpoint.

use std::collections::{BTreeMap, BTreeSet};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use checkpointed::group::{Group, GroupCheckpointer, Meeting, Sharded, Shared, Threads};
use checkpointed::home::{Claim, Claiming, Home};
use checkpointed::inspect::{self, Condition, Retention};
use checkpointed::{Checkpointer, Error, Metadata, Protection, Schedule, checkpointed, reports::Decision};
use checkpointed_object_store::{ObjectHome, Options};
use object_store::ObjectStore;
use object_store::memory::InMemory;

use crate::server::{Fault, Of, Server};
use crate::{PART, home, random, store};

pub const RANKS: usize = 4;

/// Runs the work of each member in a thread of its own.
pub fn run<R: Send>(size: usize, work: impl Fn(Threads) -> R + Sync) -> Vec<R> {
    let work = &work;
    std::thread::scope(|scope| {
        let threads = Threads::new(size).into_iter();
        let threads: Vec<_> = threads.map(|member| scope.spawn(move || work(member))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    })
}

type State = Vec<u64>;

/// The state of a member at a step.
fn state(rank: usize, step: u64) -> State {
    vec![rank as u64, step]
}

fn group_in<G: Group>(home: ObjectHome, member: G) -> Result<GroupCheckpointer<State, G>, Error> {
    Checkpointer::<State>::builder_in(home).warnings_to_stderr(false).open_group(member)
}

fn group<G: Group>(server: &Server, member: G) -> Result<GroupCheckpointer<State, G>, Error> {
    group_in(home(server), member)
}

/// One home for all members, as threads of one process have it; its requests are tried so many
/// times more.
fn homes(server: &Server, retries: usize) -> impl Fn() -> ObjectHome + Sync {
    let options = Options::default().part_size(PART).parallel(3);
    let home = options.home(store(server, retries), "run.ckpt").unwrap();
    move || home.clone()
}

/// A job that loads, saves these steps, and ends.
pub fn job(server: &Server, size: usize, steps: std::ops::RangeInclusive<u64>) {
    let home = homes(server, 5);
    run(size, |member| {
        let mut group = group_in(home(), member).unwrap();
        group.load().unwrap();
        for step in steps.clone() {
            group.save(&state(group.rank(), step)).unwrap();
        }
    });
}

/// The step that all members of a new job load.
fn loaded(server: &Server, size: usize) -> Option<u64> {
    let home = homes(server, 5);
    let states = run(size, |member| {
        let mut group = group_in(home(), member).unwrap();
        group.load().unwrap().map(|state| (group.rank() as u64, state))
    });
    let steps: BTreeSet<Option<u64>> = states
        .into_iter()
        .map(|found| {
            let (rank, state) = found?;
            assert_eq!((state.len(), state[0]), (2, rank));
            Some(state[1])
        })
        .collect();
    assert_eq!(steps.len(), 1, "{steps:?}");
    steps.into_iter().next().unwrap()
}

fn table(generation: u64, epoch: u64) -> String {
    crate::generation(generation, epoch)
}

fn part(rank: usize, generation: u64, epoch: u64) -> String {
    format!("run.ckpt/ranks/{rank:06}/{generation:020}-{epoch:06}.ckpt")
}

/// The objects with checkpoints, by their names under the prefix.
fn checkpoints(server: &Server) -> Vec<String> {
    server.keys().into_iter().filter(|key| key.ends_with(".ckpt")).collect()
}

#[test]
fn a_group_goes_on_and_keeps_what_retention_says() {
    let server = Server::start();
    assert_eq!(loaded(&server, RANKS), None);
    job(&server, RANKS, 1..=5);
    assert_eq!(loaded(&server, RANKS), Some(5));
    job(&server, RANKS, 6..=9);
    assert_eq!(loaded(&server, RANKS), Some(9));
    // The table and the part of each rank, of the two newest; the claims of the last job.
    let mut expected: Vec<String> = (8..=9).map(|generation| table(generation, 4)).collect();
    for rank in 0..RANKS {
        expected.extend((8..=9).map(|generation| part(rank, generation, 4)));
    }
    assert_eq!(checkpoints(&server), expected);
    let mut others: Vec<String> = server.keys().into_iter().filter(|key| !key.ends_with(".ckpt")).collect();
    others.retain(|key| !key.ends_with("/accepted"));
    let claims = (0..RANKS).map(|rank| format!("run.ckpt/ranks/{rank:06}/.claims/000005"));
    let claims: Vec<String> = std::iter::once("run.ckpt/.claims/000005".to_owned()).chain(claims).collect();
    assert_eq!(others, claims);
}

#[test]
fn a_job_saves_when_due_in_the_background_and_at_its_end() {
    let server = Server::start();
    run(RANKS, |member| {
        let builder = Checkpointer::<State>::builder_in(home(&server)).keep_last(9);
        let builder = builder.schedule(Schedule::every_steps(3)).background(true);
        let mut group = builder.open_group(member).unwrap();
        let rank = group.rank();
        let mut started = 0;
        for step in 1..=9 {
            let decision = group.save_if_due(&state(rank, step)).unwrap();
            started += u64::from(matches!(decision, Decision::Started { .. }));
        }
        assert!(started > 0);
        group.wait().unwrap();
        group.save_in_background(&state(rank, 10)).unwrap();
        let saved = group.wait().unwrap().unwrap();
        assert_eq!(group.load_generation(saved.generation).unwrap(), state(rank, 10));
        let saved = group.save_with(&state(rank, 11), Metadata::new().with("loss", 0.5)).unwrap();
        let manifest = group.manifest(saved.generation).unwrap();
        assert_eq!(manifest.metadata().get("loss").and_then(|loss| loss.as_f64()), Some(0.5));
        let finished = group.finish(&state(rank, 12)).unwrap();
        assert!(finished.saved.is_some() && finished.remove().is_err());
    });
    assert_eq!(loaded(&server, RANKS), Some(12));
    run(RANKS, |member| {
        let mut group = group(&server, member).unwrap();
        let mut into = state(0, 0);
        assert!(group.load_into(&mut into).unwrap());
        // Nothing is saved that is there already.
        assert!(group.finish(&into).unwrap().saved.is_none());
    });
}

#[test]
fn a_pinned_generation_keeps_its_parts() {
    let server = Server::start();
    run(2, |member| {
        let mut group = group(&server, member).unwrap();
        let rank = group.rank();
        for step in 1..=6 {
            group.save(&state(rank, step)).unwrap();
            if step == 2 {
                group.pin(2).unwrap();
            }
        }
        assert_eq!(group.generations().unwrap(), [2, 5, 6]);
        assert_eq!(group.load_generation(2).unwrap(), state(rank, 2));
        group.unpin(2).unwrap();
        group.save(&state(rank, 7)).unwrap();
    });
    let expected = [table(6, 1), table(7, 1), part(0, 6, 1), part(0, 7, 1), part(1, 6, 1), part(1, 7, 1)];
    assert_eq!(checkpoints(&server), expected);
}

/// A state with an array that the processes have together.
#[checkpointed]
struct Plate {
    step: Shared<u64>,
    field: Sharded<f64>,
    /// The sum of the rows of this process: its own.
    sum: f64,
}

const ROWS: u64 = 24;
const COLUMNS: u64 = 4096;

fn number(row: u64, column: u64) -> f64 {
    1.0 / (1.0 + (row * COLUMNS + column) as f64)
}

fn plate(group: &impl Group) -> Plate {
    Plate { step: Shared(0), field: Sharded::rows([ROWS, COLUMNS], group).unwrap(), sum: 0.0 }
}

fn fill(plate: &mut Plate) {
    let first = plate.field.offset()[0];
    for (place, value) in plate.field.data_mut().iter_mut().enumerate() {
        *value = number(first + place as u64 / COLUMNS, place as u64 % COLUMNS);
    }
    plate.sum = plate.field.data().iter().sum();
    plate.step = Shared(7);
}

fn plates<G: Group>(server: &Server, member: G) -> GroupCheckpointer<Plate, G> {
    let mut group = Checkpointer::<Plate>::builder_in(home(server)).open_group(member).unwrap();
    group.on_resize(|_, plate| {
        plate.sum = plate.field.data().iter().sum();
        Ok(())
    });
    group
}

#[test]
fn another_number_of_ranks_gets_the_bits_and_old_parts_go() {
    for to in [2, 6, 1] {
        let server = Server::start();
        run(RANKS, |member| {
            let mut group = plates(&server, member);
            let mut state = plate(group.group());
            fill(&mut state);
            group.save(&state).unwrap();
        });
        run(to, |member| {
            let mut group = plates(&server, member);
            let mut state = plate(group.group());
            assert!(group.load_into(&mut state).unwrap());
            let mut expected = plate(group.group());
            fill(&mut expected);
            let bits =
                |plate: &Plate| -> Vec<u64> { plate.field.data().iter().map(|x| x.to_bits()).collect() };
            assert_eq!(bits(&state), bits(&expected));
            assert_eq!((state.step.0, state.sum.to_bits()), (7, expected.sum.to_bits()));
            for _ in 0..3 {
                group.save(&state).unwrap();
            }
        });
        // Two generations of each rank, and nothing of the ranks that are no more.
        let mut expected: Vec<String> = (3..=4).map(|generation| table(generation, 2)).collect();
        for rank in 0..to {
            expected.extend((3..=4).map(|generation| part(rank, generation, 2)));
        }
        let found: Vec<String> = checkpoints(&server).into_iter().collect();
        assert_eq!(found, expected, "{to}");
    }
}

#[test]
fn a_smaller_group_reads_only_what_overlaps() {
    /// Two blocks of a few MiB for each rank.
    const LONG: u64 = 4 << 20;
    #[checkpointed]
    struct Two {
        one: Sharded<u8>,
        other: Sharded<u8>,
    }
    let server = Server::start();
    let open = |member| {
        let home = Options::default().part_size(1 << 20).home(store(&server, 5), "run.ckpt").unwrap();
        Checkpointer::<Two>::builder_in(home).open_group(member).unwrap()
    };
    let two = |group: &Threads| Two {
        one: Sharded::rows([LONG], group).unwrap(),
        other: Sharded::rows([LONG], group).unwrap(),
    };
    run(4, |member| {
        let mut group = open(member);
        let state = two(group.group());
        group.save(&state).unwrap();
    });
    server.requests();
    run(8, |member| {
        let mut group = open(member);
        let mut state = two(group.group());
        group.load_into(&mut state).unwrap();
    });
    let requests = server.requests();
    // The new ranks 2k and 2k + 1 want halves of rank k; all read the rest from rank 0.
    for rank in 1..4 {
        let of_rank = format!("/ranks/{rank:06}/{:020}", 1);
        let reads =
            requests.iter().filter(|request| request.starts_with("GET") && request.contains(&of_rank));
        // The end and one block around the data, for each of the two; its block is less than 8 MiB.
        let reads = reads.count();
        assert!((2..=2 * 3).contains(&reads), "rank {rank}: {reads} {requests:#?}");
    }
}

/// The requests of a step, by the rank whose place they are for; `None` for the root.
fn by_rank(requests: Vec<String>) -> BTreeMap<Option<usize>, Vec<String>> {
    let mut found: BTreeMap<Option<usize>, Vec<String>> = BTreeMap::new();
    for request in requests {
        let path = request.replace("%2F", "/");
        let rank = path.split_once("/ranks/").and_then(|(_, rest)| rest.get(..6)?.parse().ok());
        found.entry(rank).or_default().push(request);
    }
    found
}

#[test]
fn a_save_of_a_group_takes_few_requests() {
    let server = Server::start();
    let barrier = std::sync::Barrier::new(RANKS);
    let counted = run(RANKS, |member| {
        let builder = Checkpointer::<Vec<u8>>::builder_in(home(&server)).keep_last(2);
        let mut group = builder.open_group(member).unwrap();
        let mut counted = Vec::new();
        for length in [1, 1, 1, 1, PART * 10, PART * 10] {
            if barrier.wait().is_leader() {
                server.requests();
            }
            barrier.wait();
            group.save(&vec![7; length]).unwrap();
            if barrier.wait().is_leader() {
                counted.push(by_rank(server.requests()));
            }
            // A member that ends sends what it has left to remove.
            barrier.wait();
        }
        counted
    });
    let counted: Vec<_> = counted.into_iter().flatten().collect();
    // All of the leaders', in any order: told apart by their lengths.
    let mut long = 0;
    for requests in counted {
        let parts = |rank: usize| {
            requests[&Some(rank)].iter().filter(|request| request.contains("partNumber")).count()
        };
        for rank in 0..RANKS {
            let of_rank = &requests[&Some(rank)];
            let removals =
                of_rank.iter().filter(|request| request.contains("list-type") || request.contains("delete"));
            let (removals, parts) = (removals.count(), parts(rank));
            long += parts;
            // A small part is written, and its end is read; a longer one of n parts takes n + 3.
            let most = if parts == 0 { 2 } else { parts + 3 };
            let marks = of_rank.iter().filter(|request| request.contains("/accepted")).count();
            assert!(of_rank.len() - removals - marks <= most, "{of_rank:#?}");
            assert!(removals == 0 || parts > 0, "{of_rank:#?}");
        }
        // The table: it is written, the tables and the claims are listed, an old one is removed.
        let root = &requests[&None];
        let removals = root.iter().filter(|request| request.contains("?delete")).count();
        assert!(root.len() - removals <= 3 && removals <= 1, "{root:#?}");
        let listings = root.iter().filter(|request| request.contains("list-type"));
        for listing in listings {
            assert!(listing.contains("delimiter") || listing.contains(".claims"), "{listing}");
        }
    }
    assert!(long > 2 * RANKS * 9);
    // A load reads the table, and each member its own part.
    let home = homes(&server, 5);
    let open = |member| Checkpointer::<Vec<u8>>::builder_in(home()).open_group(member).unwrap();
    server.requests();
    let barrier = std::sync::Barrier::new(RANKS);
    run(RANKS, |member| {
        let mut group = open(member);
        if barrier.wait().is_leader() {
            let opened = by_rank(server.requests());
            assert!(opened[&None].len() <= 17, "{:#?}", opened[&None]);
            for rank in 0..RANKS {
                assert!(opened[&Some(rank)].len() <= 6, "{:#?}", opened[&Some(rank)]);
            }
        }
        barrier.wait();
        group.load().unwrap();
        if barrier.wait().is_leader() {
            let loaded = by_rank(server.requests());
            assert!(loaded[&None].len() <= 3, "{:#?}", loaded[&None]);
            for rank in 0..RANKS {
                assert!(loaded[&Some(rank)].len() <= 2, "{:#?}", loaded[&Some(rank)]);
            }
        }
    });
}

#[test]
fn a_fault_of_any_request_of_a_save_fails_all_or_none() {
    for fault in [Fault::SlowDown, Fault::LostAnswer, Fault::DoneAnd500] {
        let (mut place, mut failures) = (0, 0);
        loop {
            let server = Server::start();
            let once = homes(&server, 0);
            let happened = AtomicBool::new(false);
            let barrier = std::sync::Barrier::new(2);
            let outcomes = run(2, |member| {
                let mut group = group_in(once(), member).unwrap();
                let rank = group.rank();
                for step in 1..=3 {
                    group.save(&state(rank, step)).unwrap();
                }
                if barrier.wait().is_leader() {
                    server.fault_after(place, fault);
                }
                barrier.wait();
                let outcome = group.save(&state(rank, 4));
                if barrier.wait().is_leader() {
                    happened.store(!server.forget_fault(), Ordering::SeqCst);
                }
                barrier.wait();
                let what = format!("{fault:?} {place} {:?}", outcome.as_ref().err().map(ToString::to_string));
                let found = group.load().unwrap().unwrap();
                assert!(
                    found == state(rank, 4) || outcome.is_err() && found == state(rank, 3),
                    "{what}: {found:?}"
                );
                group.save(&state(rank, 5)).unwrap();
                outcome.is_err()
            });
            assert_eq!(outcomes[0], outcomes[1], "{fault:?} {place}");
            failures += usize::from(outcomes[0]);
            assert_eq!(loaded(&server, 2), Some(5), "{fault:?} {place}");
            if !happened.load(Ordering::SeqCst) {
                break;
            }
            place += 1;
        }
        assert!(place >= 8 && failures >= 4, "{fault:?}: {failures} of {place}");
    }
}

#[test]
fn a_fault_of_any_request_while_opening_fails_all_or_none() {
    for fault in [Fault::SlowDown, Fault::LostAnswer] {
        let (mut place, mut failures) = (0, 0);
        loop {
            let server = Server::start();
            let once = homes(&server, 0);
            job(&server, 3, 1..=3);
            server.fault_after(place, fault);
            let opened = run(2, |member| group_in(once(), member).is_ok());
            let happened = !server.forget_fault();
            assert_eq!(opened[0], opened[1], "{fault:?} {place}");
            failures += usize::from(!opened[0]);
            assert_eq!(loaded(&server, 3), Some(3), "{fault:?} {place}");
            if !happened {
                break;
            }
            place += 1;
        }
        assert!(place >= 10 && failures >= 5, "{fault:?}: {failures} of {place}");
    }
}

#[test]
fn a_long_part_that_fails_leaves_no_upload_and_no_part() {
    for (of, fault) in
        [(Of::Part, Fault::ErrorInBody), (Of::Complete, Fault::ErrorInBody), (Of::Complete, Fault::Conflict)]
    {
        let server = Server::start();
        let home = homes(&server, 0);
        let long = |rank: usize, step: u64| vec![rank as u64 + step; PART];
        let failed = run(2, |member| {
            let mut group = group_in(home(), member).unwrap();
            let rank = group.rank();
            group.save(&long(rank, 1)).unwrap();
            if rank == 0 {
                server.fault(of, fault);
            }
            let failed = group.save(&long(rank, 2)).is_err();
            assert!(group.load().unwrap() == Some(long(rank, if failed { 1 } else { 2 })), "{of:?}");
            group.save(&long(rank, 3)).unwrap();
            failed
        });
        assert_eq!((failed[0], server.unfinished(), server.faults_left()), (failed[1], 0, 0), "{of:?}");
        assert!(failed[0] || of == Of::Part, "{of:?} {fault:?}");
        let parts = |rank: usize| {
            let of_rank = format!("/ranks/{rank:06}/");
            checkpoints(&server).iter().filter(|key| key.contains(&of_rank)).count()
        };
        assert_eq!((parts(0), parts(1)), (2, 2), "{of:?} {:#?}", checkpoints(&server));
    }
}

#[test]
fn a_job_killed_between_its_parts_and_its_table_saved_nothing() {
    let server = Server::start();
    job(&server, 3, 1..=3);
    let once =
        || Options::default().timeout(Duration::from_secs(1)).home(store(&server, 0), "run.ckpt").unwrap();
    run(3, |member| {
        let mut group = group_in(once(), member).unwrap();
        let rank = group.rank();
        assert_eq!(group.load().unwrap(), Some(state(rank, 3)));
        if rank == 0 {
            server.be_away_from(&format!("PUT /bucket/run.ckpt/{:020}", 4));
        }
        let error = group.save(&state(rank, 4)).unwrap_err();
        assert_eq!(rank == 0, !matches!(error, Error::Member { rank: 0, .. }), "{error}");
    });
    server.set_away(false);
    for rank in 0..3 {
        assert!(server.object(&part(rank, 4, 2)).is_some(), "the part came before the table");
    }
    assert_eq!(loaded(&server, 3), Some(3));
    job(&server, 3, 5..=6);
    // What was left of the killed job is gone.
    let left = checkpoints(&server);
    let numbers: BTreeSet<&str> = left.iter().map(|key| &key[key.len() - 32..key.len() - 12]).collect();
    assert_eq!((numbers.len(), left.len()), (2, 8), "{left:#?}");
    assert_eq!(loaded(&server, 3), Some(6));
}

#[test]
fn damage_of_one_part_takes_all_one_back() {
    for damage in ["bytes", "gone", "of another save"] {
        let server = Server::start();
        job(&server, 3, 1..=3);
        let key = part(1, 3, 1);
        match damage {
            "bytes" => {
                let mut bytes = server.object(&key).unwrap();
                let middle = bytes.len() / 2;
                bytes[middle] ^= 1;
                server.insert(&key, bytes);
            }
            "gone" => server.remove(&key),
            _ => {
                let other = Server::start();
                job(&other, 3, 1..=3);
                server.insert(&key, other.object(&key).unwrap());
            }
        }
        // A part that is not there may be elsewhere, and is passed over in the same way.
        assert_eq!(loaded(&server, 3), Some(2), "{damage}");
        job(&server, 3, 7..=8);
        assert_eq!(loaded(&server, 3), Some(8), "{damage}");
    }
}

#[test]
fn a_part_that_cannot_be_read_is_an_error_of_all() {
    let server = Server::start();
    job(&server, 2, 1..=3);
    let once = || Options::default().home(store(&server, 0), "run.ckpt").unwrap();
    let barrier = std::sync::Barrier::new(2);
    run(2, |member| {
        let mut group = group_in(once(), member).unwrap();
        let rank = group.rank();
        if barrier.wait().is_leader() {
            server.be_away_from(&format!("GET /bucket/run.ckpt/ranks/000001/{:020}", 3));
        }
        barrier.wait();
        let error = group.load().unwrap_err();
        assert!(!matches!(error, Error::NoneUsable { .. }), "{rank}: {error}");
        barrier.wait();
        server.set_away(false);
        barrier.wait();
        assert_eq!(group.load().unwrap(), Some(state(rank, 3)));
    });
}

/// A job whose members, each in a thread of its own, save when they are told. Their states have the
/// tokens of all saves.
struct Job {
    /// The state that all members loaded.
    loaded: State,
    orders: Vec<Sender<u64>>,
    outcomes: Vec<Receiver<Result<u64, Error>>>,
    threads: Vec<JoinHandle<()>>,
}

impl Job {
    fn start(size: usize, home: impl Fn() -> ObjectHome) -> Result<Job, Error> {
        let (mut orders, mut outcomes, mut threads, mut opened) = (vec![], vec![], vec![], vec![]);
        for member in Threads::new(size) {
            let (order, ordered) = channel::<u64>();
            let (told, outcome) = channel();
            let (open, is_open) = channel();
            let home = home();
            threads.push(std::thread::spawn(move || {
                let loaded = group_in(home, member).and_then(|mut group| {
                    group.on_resize(|_, _| Ok(()));
                    let state = group.load_or_default()?;
                    Ok((group, state))
                });
                let (mut group, mut state) = match loaded {
                    Ok((group, state)) => {
                        open.send(Ok(state.clone())).unwrap();
                        (group, state)
                    }
                    Err(error) => return open.send(Err(error)).unwrap(),
                };
                for token in ordered {
                    state.push(token);
                    told.send(group.save(&state).map(|saved| saved.generation)).unwrap();
                }
            }));
            orders.push(order);
            outcomes.push(outcome);
            opened.push(is_open);
        }
        let loaded: Result<Vec<State>, Error> = opened.iter().map(|open| open.recv().unwrap()).collect();
        let loaded = loaded?;
        assert!(loaded.windows(2).all(|two| two[0] == two[1]), "the members have loaded different states");
        Ok(Job { loaded: loaded.into_iter().next().unwrap(), orders, outcomes, threads })
    }

    /// Lets all members save. All of them succeed, or none.
    fn save(&self, token: u64) -> Vec<Result<u64, Error>> {
        self.orders.iter().for_each(|order| order.send(token).unwrap());
        let outcomes: Vec<_> = self.outcomes.iter().map(|outcome| outcome.recv().unwrap()).collect();
        assert!(outcomes.windows(2).all(|two| two[0].is_ok() == two[1].is_ok()), "{outcomes:?}");
        outcomes
    }

    fn saves(&self, token: u64) -> bool {
        self.save(token)[0].is_ok()
    }
}

impl Drop for Job {
    fn drop(&mut self) {
        self.orders.clear();
        self.threads.drain(..).for_each(|thread| thread.join().unwrap());
    }
}

#[test]
fn the_last_job_has_the_place_and_the_other_is_told() {
    let server = Server::start();
    let start = |size| Job::start(size, || home(&server)).unwrap();
    let first = start(RANKS);
    assert!(first.saves(1));
    // A smaller job, which has the places of some of the ranks only.
    let second = start(2);
    assert_eq!(second.loaded, [1]);
    let errors: Vec<Error> = first.save(2).into_iter().map(Result::unwrap_err).collect();
    assert!(matches!(errors[0], Error::TakenOver { .. }), "{}", errors[0]);
    for error in &errors[1..] {
        assert!(error.to_string().contains("taken"), "{error}");
    }
    assert!(second.saves(3) && !first.saves(4));
    drop(first);
    assert!(second.saves(5));
    // A larger one finds claims of the first job on two of its places.
    let third = start(RANKS);
    assert!(!second.saves(6));
    drop(second);
    assert!(third.saves(7));
    drop(third);
    assert_eq!(start(RANKS).loaded, [1, 3, 5, 7]);
}

#[test]
fn a_claim_that_comes_late_takes_no_place_from_a_later_job() {
    let server = Server::start();
    let start = || Job::start(2, || home(&server)).unwrap();
    assert!(start().saves(1));
    // An older job is suspended between its claim of the root and those of its members.
    let older = home(&server).claim(&Claiming::default()).unwrap();
    let later = start();
    let claiming = Claiming { job: older.job(), ..Claiming::default() };
    let error = home(&server).member(1).unwrap().claim(&claiming).unwrap_err();
    assert!(matches!(error, Error::TakenOver { .. }), "{error}");
    assert!(later.saves(2));
    drop(later);
    // Also where it comes before: the number of the job decides, and not the time.
    let older = home(&server).claim(&Claiming::default()).unwrap();
    let root = home(&server).claim(&Claiming::default()).unwrap();
    let claim = |root: &dyn Claim| {
        let claiming = Claiming { job: root.job(), ..Claiming::default() };
        home(&server).member(1).unwrap().claim(&claiming)
    };
    claim(&*older).unwrap();
    claim(&*root).unwrap();
    assert_eq!(start().loaded, [1, 2]);
}

#[test]
fn a_job_goes_on_where_the_claims_of_the_root_are_gone() {
    let server = Server::start();
    for step in 1..=4 {
        job(&server, 3, step..=step);
    }
    for key in server.keys() {
        if key.starts_with("run.ckpt/.claims/") {
            server.remove(&key);
        }
    }
    assert_eq!(loaded(&server, 3), Some(4));
    // A smaller job too, which claims the places of ranks that are no more.
    for key in server.keys() {
        if key.starts_with("run.ckpt/.claims/") {
            server.remove(&key);
        }
    }
    let smaller = Job::start(2, || home(&server)).unwrap();
    assert!((5..=7).all(|token| smaller.saves(token)));
    drop(smaller);
    assert!(checkpoints(&server).iter().all(|key| !key.contains("ranks/000002")));
}

#[test]
fn a_lost_rank_is_damage_for_tools_too() {
    let server = Server::start();
    job(&server, 1, 1..=2);
    // The state of a member cannot be loaded in a group of another size.
    let home_of_two = homes(&server, 5);
    run(2, |member| {
        let mut group = group_in(home_of_two(), member).unwrap();
        group.save(&state(group.rank(), 3)).unwrap();
    });
    for key in server.keys().iter().filter(|key| key.starts_with("run.ckpt/ranks/000001/")) {
        server.remove(key);
    }
    let (place, protection): (Arc<dyn Home>, _) = (Arc::new(home(&server)), Protection::new());
    let verdicts = inspect::verify_in(&place, &protection).unwrap();
    let conditions: Vec<_> = verdicts.iter().map(|verdict| (verdict.generation, verdict.condition)).collect();
    assert_eq!(conditions, [(Some(2), Condition::Whole), (Some(3), Condition::Damaged)]);
    assert_eq!(inspect::restart(&verdicts), Some(2));
    let retention = Retention::newest(NonZeroUsize::MIN);
    inspect::prune_in(&place, &protection, Some(retention), false).unwrap();
    assert_eq!(place.generations().unwrap(), [2, 3]);
    // A part that is lost alone is damage as well.
    server.remove(&part(0, 3, 2));
    assert_eq!(inspect::verify_in(&place, &protection).unwrap()[1].condition, Condition::Damaged);
    assert_eq!(loaded(&server, 1), Some(2));
}

#[test]
fn a_lost_root_is_no_first_start() {
    let server = Server::start();
    job(&server, 3, 1..=3);
    let root: Vec<String> = server.keys().into_iter().filter(|key| !key.contains("/ranks/")).collect();
    let saved: Vec<_> = root.iter().map(|key| (key, server.object(key).unwrap())).collect();
    root.iter().for_each(|key| server.remove(key));
    for size in [3, 2, 4] {
        for error in run(size, |member| group(&server, member).map(drop).unwrap_err()) {
            assert!(matches!(&error, Error::TablesLost { generation: 3, .. }), "{size}: {error}");
        }
    }
    saved.into_iter().for_each(|(key, bytes)| server.insert(key, bytes));
    assert_eq!(loaded(&server, 3), Some(3));
    // A job that was killed before its first table starts afresh by itself.
    let server = Server::start();
    job(&server, 2, 1..=2);
    for key in server.keys() {
        if !key.contains("/ranks/") || key.ends_with("/accepted") {
            server.remove(&key);
        }
    }
    assert_eq!(loaded(&server, 2), None);
    job(&server, 2, 9..=9);
    assert_eq!(loaded(&server, 2), Some(9));
    assert_eq!(checkpoints(&server).len(), 3, "{:#?}", checkpoints(&server));
}

#[test]
fn members_with_other_rules_of_removal_lose_no_part_of_a_table() {
    let server = Server::start();
    // A table that cannot be removed keeps its parts.
    server.keep(&table(1, 1));
    job(&server, 2, 1..=5);
    assert!(server.denied() > 0);
    run(2, |member| {
        let mut group = group(&server, member).unwrap();
        assert_eq!(group.load_generation(1).unwrap(), state(group.rank(), 1));
    });
}

#[test]
fn two_jobs_that_stop_at_random_lose_no_save_of_a_group() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let home = || ObjectHome::new(Arc::clone(&store), "run.ckpt").unwrap();
    let mut jobs: [Option<Job>; 2] = [None, None];
    let (mut acknowledged, mut taken, mut stops, mut seed) = (Vec::new(), 0, 0, 5);
    for token in 0..250 {
        let job = &mut jobs[usize::from(random(&mut seed).is_multiple_of(2))];
        match job {
            None => *job = Job::start(3, home).ok(),
            Some(_) if random(&mut seed).is_multiple_of(5) => {
                stops += 1;
                *job = None;
            }
            Some(running) => match running.saves(token) {
                true => acknowledged.push(token),
                false => {
                    taken += 1;
                    *job = None;
                }
            },
        }
    }
    drop(jobs);
    let last = Job::start(3, home).unwrap();
    let lost: Vec<_> = acknowledged.iter().filter(|token| !last.loaded.contains(token)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(taken > 10 && stops > 10 && acknowledged.len() > 30, "{taken} {stops} {}", acknowledged.len());
}

#[test]
fn a_job_that_opens_in_the_middle_of_saves_loses_none() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let home = &|| ObjectHome::new(Arc::clone(&store), "run.ckpt").unwrap();
    let acknowledged = std::sync::Mutex::new(Vec::new());
    let next = std::sync::atomic::AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..12 {
                    let Ok(job) = Job::start(2, home) else { continue };
                    for _ in 0..6 {
                        let token = next.fetch_add(1, Ordering::SeqCst);
                        if !job.saves(token) {
                            break;
                        }
                        acknowledged.lock().unwrap().push(token);
                    }
                }
            });
        }
    });
    let last = Job::start(2, home).unwrap();
    let acknowledged = acknowledged.into_inner().unwrap();
    let lost: Vec<_> = acknowledged.iter().filter(|token| !last.loaded.contains(token)).collect();
    assert!(lost.is_empty() && acknowledged.len() > 10, "{lost:?} of {}", acknowledged.len());
}

#[test]
fn members_that_meet_in_a_directory_save_to_a_store() {
    let server = Server::start();
    let directory = tempfile::tempdir().unwrap();
    for step in 1..=2 {
        std::thread::scope(|scope| {
            let threads = (0..3).map(|rank| {
                let (server, path) = (&server, directory.path().join("meeting"));
                scope.spawn(move || {
                    let member = Meeting::at(path, rank, 3, Duration::from_secs(60)).unwrap();
                    let mut group = group(server, member).unwrap();
                    let before = group.load().unwrap();
                    assert_eq!(before, (step > 1).then(|| state(rank, step - 1)));
                    group.finish(&state(rank, step)).unwrap();
                })
            });
            let threads: Vec<_> = threads.collect();
            threads.into_iter().for_each(|thread| thread.join().unwrap());
        });
    }
    assert_eq!(loaded(&server, 3), Some(2));
}

/// A group at places of a server that others wrote. What is left under `group.ckpt` are the
/// generations 3 and 4, of the jobs 1 and 2.
pub fn keep_their_promises(home: impl Fn(&str) -> ObjectHome) {
    // That of one member is longer than one part.
    let state = |rank: usize, step: u64| -> State {
        vec![rank as u64 + 10 * step; if rank == 0 { (5 << 17) + 1000 } else { 10 }]
    };
    for (job, first, last) in [(0, 1, 3), (1, 4, 4), (2, 5, 4)] {
        let home = home("group.ckpt");
        run(RANKS, |member| {
            let mut group = group_in(home.clone(), member).unwrap();
            let (rank, before) = (group.rank(), first - 1);
            assert!(group.load().unwrap() == (job > 0).then(|| state(rank, before)));
            for step in first..=last {
                group.save(&state(rank, step)).unwrap();
            }
            assert_eq!(group.generations().unwrap(), [last - 1, last]);
        });
    }
    let start = || {
        let home = home("taken.ckpt");
        Job::start(2, || home.clone()).unwrap()
    };
    let first = start();
    assert!(first.saves(1));
    let second = start();
    let outcomes = first.save(2);
    assert!(matches!(outcomes[0], Err(Error::TakenOver { .. })), "{outcomes:?}");
    assert!(second.saves(3));
    drop((first, second));
    assert_eq!(start().loaded, [1, 3]);
}
