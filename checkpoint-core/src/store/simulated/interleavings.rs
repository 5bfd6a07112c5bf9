//! The orders in which a program, the thread that saves for it, and a reader can run: shuttle
//! chooses the next at each use of the disk, of a channel and of a thread. Run with
//!
//! ```text
//! RUSTFLAGS="--cfg shuttle" cargo test --release -p checkpointed-core --lib interleavings -- --nocapture
//! ```
//!
//! Where a program saves once in the background, all orders are tried; where it saves more often,
//! or a reader runs too, a number of random ones, half of them uniformly and half by probabilistic
//! concurrency testing (Burckhardt et al. 2010, <https://doi.org/10.1145/1736020.1736040>), with
//! the same seed each time. `SHUTTLE_RANDOM_SEED` sets another.

#[cfg(feature = "group")]
mod members;

use std::collections::HashSet;
use std::num::{NonZeroU64, NonZeroUsize};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use shuttle::rand::Rng;
use shuttle::scheduler::{DfsScheduler, PctScheduler, RandomScheduler, Scheduler};
use shuttle::{Config, FailurePersistence, MaxSteps, Runner};

use super::campaign::{Campaign, Effort};
use super::check::Promises;
use super::cut::Limits;
use super::disk::{Event, Fault, SimulatedDisk};
use super::image::{Image, hash_of};
use super::mutants::Mutant;
use super::scenarios::{Bench, FAR, PATH, Scenario};
use crate::store::faults::EIO;
use crate::store::mirror::{Far, Near, Standing, Timing, Wanted};
use crate::store::{Claiming, Directory, Disk, Home as _, Retention};
use crate::{CheckpointReader, Checkpointer, Error, Protection, reports::Progress};

/// The number of random orders where all are too many; fewer without optimisation.
const DRAWN: usize = if cfg!(debug_assertions) { 500 } else { 4000 };

/// The upper bound of the numbers of operations of a save.
const OPERATIONS: usize = 12;

/// The power is cut in few of the possible ways, but in each order of the events.
const CUTS: Effort = Effort {
    first: Limits { contents: 4, singles: false, pairs: false, random: 1 },
    nested: Limits { contents: 1, singles: false, pairs: false, random: 0 },
    restarts: 0,
    kills: false,
};

/// One program that runs in many orders. Afterwards, power cuts are simulated in its record.
struct Trial {
    scenario: Scenario,
    mutant: Option<Mutant>,
    /// The records that were checked already: few orders differ for the disk.
    known: std::sync::Mutex<HashSet<u64>>,
    orders: AtomicUsize,
}

impl Trial {
    fn new(name: &'static str, run: fn(&Bench) -> Result<(), Error>) -> Arc<Trial> {
        Trial::with(name, run, None)
    }

    fn with(name: &'static str, run: fn(&Bench) -> Result<(), Error>, mutant: Option<Mutant>) -> Arc<Trial> {
        Trial::keeping(2, name, run, mutant)
    }

    fn keeping(
        keep: usize,
        name: &'static str,
        run: fn(&Bench) -> Result<(), Error>,
        mutant: Option<Mutant>,
    ) -> Arc<Trial> {
        let scenario = Scenario::new(name, keep, run);
        Arc::new(Trial { scenario, mutant, known: std::sync::Mutex::default(), orders: AtomicUsize::new(0) })
    }

    fn once(&self) {
        self.orders.fetch_add(1, Ordering::Relaxed);
        let disk = SimulatedDisk::new(Image::new());
        let seam = Mutant::wrap(self.mutant, Arc::clone(&disk));
        let bench = Bench::new(Arc::clone(&disk), seam, &self.scenario, 1);
        (self.scenario.run)(&bench).unwrap();
        let (base, events) = disk.record();
        let record = hash_of(&listed(&events));
        if self.known.lock().unwrap().insert(record) {
            let mut campaign = Campaign::new(&self.scenario, self.mutant, CUTS);
            campaign
                .cut(&base, &events, 0, Promises::default(), CUTS.first, None)
                .unwrap_or_else(|broken| panic!("{broken:#?}\n{}", listed(&events)));
        }
    }

    fn run(self: &Arc<Self>, scheduler: impl Scheduler + 'static) {
        let trial = Arc::clone(self);
        Runner::new(scheduler, config()).run(move || trial.once());
    }

    fn in_every_order(self: &Arc<Self>) {
        self.run(DfsScheduler::new(None, false));
        self.tell("all");
    }

    fn in_many_orders(self: &Arc<Self>) {
        self.run(RandomScheduler::new_from_seed(7, DRAWN / 2));
        self.run(PctScheduler::new_from_seed(7, 3, DRAWN / 2));
        self.tell("drawn");
    }

    fn tell(&self, which: &str) {
        let orders = self.orders.load(Ordering::Relaxed);
        let records = self.known.lock().unwrap().len();
        println!("{orders:>7} orders ({which}), {records:>5} for the disk: {}", self.scenario.name);
    }
}

fn config() -> Config {
    let mut config = Config::new();
    config.stack_size = 1 << 20;
    config.max_steps = MaxSteps::None;
    // A panic that is caught is no failure; and the seed is known.
    config.failure_persistence = FailurePersistence::None;
    config
}

fn listed(events: &[Event]) -> String {
    events.iter().map(|event| format!("  {event}\n")).collect()
}

/// Starts to save the next state, and returns its number and that of the generation.
fn begin(bench: &Bench, checkpoints: &mut Checkpointer<u64>) -> Result<(u64, u64), Error> {
    let (state, metadata) = bench.begin();
    let begun = checkpoints.save_in_background_with(&state, metadata)?;
    Ok((state, begun.generation))
}

/// Waits, and records that the last state is safe.
fn wait(bench: &Bench, checkpoints: &mut Checkpointer<u64>, begun: Option<(u64, u64)>) -> Result<(), Error> {
    if let (Some((state, generation)), Some(saved)) = (begun, checkpoints.wait()?) {
        assert_eq!(saved.generation, generation);
        bench.acknowledge(state, generation);
    }
    Ok(())
}

#[test]
fn in_every_order_only_a_durable_save_is_acknowledged() {
    let program = |bench: &Bench| {
        let mut checkpoints = bench.builder().open()?;
        bench.save(&mut checkpoints)?;
        let begun = begin(bench, &mut checkpoints)?;
        wait(bench, &mut checkpoints, Some(begun))
    };
    Trial::new("a save in the background, and a wait", program).in_every_order();
}

#[test]
fn the_next_save_acknowledges_the_one_before_in_many_orders() {
    Trial::new("saves in the background one after the other", saves).in_many_orders();
}

fn saves(bench: &Bench) -> Result<(), Error> {
    let mut checkpoints = bench.builder().open()?;
    let mut former = None;
    for _ in 0..5 {
        let begun = begin(bench, &mut checkpoints)?;
        if let Some((state, generation)) = former.replace(begun) {
            bench.acknowledge(state, generation);
        }
    }
    wait(bench, &mut checkpoints, former)
}

#[test]
#[should_panic(expected = "was acknowledged")]
fn a_save_that_is_acknowledged_before_it_is_published_is_found() {
    Trial::with("acknowledged too early", saves, Some(Mutant::AcknowledgedBeforePublishing)).in_many_orders();
}

#[test]
fn in_many_orders_an_optional_save_is_skipped_or_complete() {
    let program = |bench: &Bench| {
        let mut checkpoints = bench.builder().open()?;
        let mut newest = None;
        for _ in 0..5 {
            if !checkpoints.is_saving() {
                newest = Some(begin(bench, &mut checkpoints)?);
            }
        }
        wait(bench, &mut checkpoints, newest)?;
        assert_eq!(checkpoints.load()?, newest.map(|(state, _)| state));
        Ok(())
    };
    Trial::new("saves that may be left out", program).in_many_orders();
}

#[test]
fn in_every_order_drop_ends_the_save_and_frees_the_directory() {
    let program = |bench: &Bench| {
        let mut checkpoints = bench.builder().open()?;
        let begun = begin(bench, &mut checkpoints)?;
        drop(checkpoints);
        bench.acknowledge(begun.0, begun.1);
        let mut checkpoints = bench.builder().open()?;
        assert_eq!(checkpoints.load()?, Some(begun.0));
        Ok(())
    };
    Trial::new("a drop while a save goes on", program).in_every_order();
}

/// The way in which a program learns of a failed save.
type Way = fn(&Bench, &mut Checkpointer<u64>) -> Result<(), Error>;

const WAYS: [Way; 3] = [
    |_, checkpoints| checkpoints.wait().map(drop),
    |bench, checkpoints| bench.save(checkpoints).map(drop),
    |bench, checkpoints| begin(bench, checkpoints).map(drop),
];

/// Saves in the background while an operation fails at random, and then continues in this way.
fn with_a_fault(
    bench: &Bench,
    fault: Fault,
    then: impl FnOnce(Checkpointer<u64>, u64) -> Result<(), Error>,
) -> Result<(), Error> {
    let mut checkpoints = bench.builder().open()?;
    bench.save(&mut checkpoints)?;
    bench.save(&mut checkpoints)?;
    bench.plan(Some((shuttle::rand::thread_rng().gen_range(0..OPERATIONS), fault)));
    let (state, _) = begin(bench, &mut checkpoints)?;
    then(checkpoints, state)?;
    bench.plan(None);
    bench.saves(2)
}

/// The next call returns the error, whichever it is, or the one after it does, and only once.
fn is_returned_once(bench: &Bench, fault: Fault, is_it: fn(&Error) -> bool) -> Result<(), Error> {
    with_a_fault(bench, fault, |mut checkpoints, state| {
        let way = WAYS[shuttle::rand::thread_rng().gen_range(0..WAYS.len())];
        let results = [way(bench, &mut checkpoints), checkpoints.wait().map(drop)];
        let errors: Vec<_> = results.into_iter().filter_map(Result::err).collect();
        assert!(errors.iter().all(is_it) && errors.len() < 2, "{errors:?}");
        // The fault may also have hit the call itself.
        bench.plan(None);
        let states: Result<Vec<u64>, Error> = checkpoints
            .generations()?
            .into_iter()
            .map(|number| checkpoints.load_generation(number))
            .collect();
        assert!(
            states?.contains(&state) || errors.len() == 1,
            "{state} is missing, and no call returned an error"
        );
        assert_eq!(checkpoints.wait()?, None);
        bench.save(&mut checkpoints).map(drop)
    })
}

#[test]
fn in_many_orders_an_error_of_the_thread_is_returned_once() {
    let program =
        |bench: &Bench| is_returned_once(bench, Fault::Errno(EIO), |error| matches!(error, Error::Io { .. }));
    Trial::new("a save in the background that fails", program).in_many_orders();
}

#[test]
fn in_many_orders_a_panic_of_the_thread_is_returned_once() {
    let program = |bench: &Bench| {
        is_returned_once(bench, Fault::Panic, |error| matches!(error, Error::Panicked { .. }))
    };
    Trial::new("a save in the background that panics", program).in_many_orders();
}

fn drop_it(checkpoints: Checkpointer<u64>, _: u64) -> Result<(), Error> {
    drop(checkpoints);
    Ok(())
}

#[test]
fn a_drop_while_a_save_fails_or_panics_hangs_in_no_order() {
    let fails = |bench: &Bench| with_a_fault(bench, Fault::Errno(EIO), drop_it);
    Trial::new("a drop while a save fails", fails).in_many_orders();
    let panics = |bench: &Bench| with_a_fault(bench, Fault::Panic, drop_it);
    Trial::new("a drop while a save panics", panics).in_many_orders();
}

/// A program whose callback panics at the beginning of a save, or when it learns of its outcome.
fn with_a_callback(bench: &Bench, fault: bool) -> Result<(), Error> {
    let at = shuttle::rand::thread_rng().gen_range(0..2);
    let panics = move |progress: &Progress| {
        if at == usize::from(!matches!(progress, Progress::Started { .. })) {
            // The hook prints nothing, in each of many orders.
            std::panic::resume_unwind(Box::new("the pipe is closed"));
        }
    };
    let mut checkpoints = bench.builder().on_progress(panics).open()?;
    let begun = begin(bench, &mut checkpoints)?;
    if fault {
        bench.plan(Some((shuttle::rand::thread_rng().gen_range(0..OPERATIONS), Fault::Errno(EIO))));
        let way = WAYS[shuttle::rand::thread_rng().gen_range(0..WAYS.len())];
        let _ = way(bench, &mut checkpoints);
        bench.plan(None);
        let _ = checkpoints.wait();
    } else {
        wait(bench, &mut checkpoints, Some(begun))?;
    }
    bench.save(&mut checkpoints)?;
    let (state, generation) = begin(bench, &mut checkpoints)?;
    drop(checkpoints);
    bench.acknowledge(state, generation);
    bench.saves(1)
}

#[test]
fn a_callback_that_panics_hangs_or_fails_no_save_in_many_orders() {
    Trial::new("callbacks that panic", |bench| with_a_callback(bench, false)).in_many_orders();
    Trial::new("callbacks that panic where saves fail", |bench| with_a_callback(bench, true))
        .in_many_orders();
}

#[test]
fn in_many_orders_a_reader_gets_the_last_acknowledged_or_newer() {
    let program = |bench: &Bench| {
        let acknowledged = Arc::new(AtomicU64::new(0));
        let readers = [(); 2].map(|()| {
            let (acknowledged, disk) = (Arc::clone(&acknowledged), bench.seam());
            shuttle::thread::spawn(move || {
                let directory = Directory::new(Path::new(PATH), disk);
                let mut reader =
                    CheckpointReader::<u64>::new(Arc::new(directory), Protection::new()).unwrap();
                for _ in 0..8 {
                    let least = acknowledged.load(Ordering::Relaxed);
                    let loaded = reader.load().unwrap().unwrap_or(0);
                    assert!(loaded >= least, "{loaded} was loaded, {least} was acknowledged");
                }
            })
        });
        let mut checkpoints = bench.builder().open()?;
        for _ in 0..8 {
            let (state, generation) = begin(bench, &mut checkpoints)?;
            checkpoints.wait()?;
            bench.acknowledge(state, generation);
            acknowledged.store(state, Ordering::Relaxed);
        }
        for reader in readers {
            reader.join().unwrap();
        }
        Ok(())
    };
    Trial::new("two that load while a program saves and recycles", program).in_many_orders();
}

/// The time of a mirror that never waits.
#[derive(Debug)]
struct NoTime;

impl Timing for NoTime {
    fn now(&self) -> Duration {
        Duration::ZERO
    }

    fn wait(&self, _: Duration) {}

    fn is_to_end(&self) -> bool {
        false
    }
}

/// Brings the mirror of the program up to date, again and again.
fn mirrors(disk: &Arc<dyn Disk>, acknowledged: &AtomicU64) {
    let directory = |path| Arc::new(Directory::new(Path::new(path), Arc::clone(disk)));
    let near = Near { home: directory(PATH), disk: Arc::clone(disk), guard: None };
    let far = Far {
        home: directory(FAR),
        is_directory: true,
        claiming: Claiming { durable: true, ..Claiming::default() },
        wanted: Wanted::Newest(NonZeroU64::MIN, Retention::newest(NonZeroUsize::MIN)),
        per_second: None,
        protection: Protection::new(),
    };
    let timing: Arc<dyn Timing> = Arc::new(NoTime);
    let (mut mirror, standing) = far.reach(&near, true).unwrap();
    assert_eq!(standing, Standing::Behind);
    for _ in 0..6 {
        let up_to = acknowledged.load(Ordering::Relaxed);
        let updated = mirror.update(up_to, true, &timing).unwrap();
        assert_eq!(updated.damaged, [] as [u64; 0], "a file was written over while it was copied");
        if let Some(newest) = updated.newest {
            let mut reader = CheckpointReader::<u64>::new(directory(FAR), Protection::new()).unwrap();
            assert_eq!(reader.load_generation(newest).unwrap(), newest);
        }
    }
}

#[test]
fn in_many_orders_a_mirror_copies_only_whole_generations() {
    let program = |bench: &Bench| {
        let acknowledged = Arc::new(AtomicU64::new(0));
        let (newest, disk) = (Arc::clone(&acknowledged), bench.seam());
        let mirror = shuttle::thread::spawn(move || mirrors(&disk, &newest));
        let mut checkpoints = bench.builder().open()?;
        for _ in 0..6 {
            let generation = bench.save(&mut checkpoints)?;
            acknowledged.store(generation, Ordering::Relaxed);
        }
        mirror.join().unwrap();
        Ok(())
    };
    Trial::keeping(1, "a mirror beside a program that saves and recycles", program, None).in_many_orders();
}

/// Pins a generation while saves run, and checks that it exists after the next one.
fn pins(bench: &Bench) -> Result<(), Error> {
    let mut checkpoints = bench.builder().open()?;
    let mut former = None;
    for _ in 0..4 {
        let pinned = bench.save(&mut checkpoints)?;
        let directory = Directory::new(Path::new(PATH), bench.seam());
        let pinner = shuttle::thread::spawn(move || directory.pin(pinned));
        let begun = begin(bench, &mut checkpoints)?;
        wait(bench, &mut checkpoints, Some(begun))?;
        bench.save(&mut checkpoints)?;
        match pinner.join().unwrap() {
            Ok(()) => {
                bench.keep(PATH, pinned);
                former = Some(pinned);
            }
            Err(Error::NoSuchGeneration { .. }) => {}
            Err(error) => return Err(error),
        }
        bench.save(&mut checkpoints)?;
        if let Some(former) = former {
            assert!(checkpoints.generations()?.contains(&former), "{former} was pinned, and is gone");
        }
    }
    Ok(())
}

#[test]
fn in_many_orders_an_acknowledged_pin_outlives_the_next_save() {
    Trial::keeping(1, "pins beside saves", pins, None).in_many_orders();
}

#[test]
#[should_panic(expected = "was pinned, and is gone")]
fn a_pin_that_retention_does_not_meet_is_found() {
    Trial::keeping(1, "pins that are not held", pins, Some(Mutant::PinsNotHeldNorLookedForAgain))
        .in_many_orders();
}
