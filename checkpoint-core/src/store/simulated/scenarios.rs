//! Programs whose saves are interrupted.

use std::cell::{Cell, RefCell};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use super::disk::{Event, Fault, Kept, SimulatedDisk};
use crate::store::faults::EIO;
use crate::store::{Directory, Disk};
use crate::{Builder, CheckpointReader, Checkpointer, Error, Metadata, Metric, Mirror, Pipeline, Protection};

/// The directory of most of them. None of its parents exists at first.
pub(super) const PATH: &str = "/project/heat/run.ckpt";

/// A pipeline, with its checkpoint directories.
const PIPELINE: &str = "/project/heat.pipeline";
const SIMULATE: &str = "/project/heat.pipeline/steps/simulate";
const REPORT: &str = "/project/heat.pipeline/steps/report";

/// The mirror of [`PATH`].
pub(super) const FAR: &str = "/far.ckpt";

/// The directory of a machine that has nothing but the mirror.
const OTHER_MACHINE: &str = "/other/run.ckpt";

/// The longest time that a scenario waits for the mirror.
const LONG: Duration = Duration::from_secs(600);

/// The directory of a user who links generations.
const BACKUP: &str = "/backup";

pub(super) struct Scenario {
    pub(super) name: &'static str,
    /// The number of newest generations that it keeps.
    pub(super) keep: usize,
    pub(super) run: fn(&Bench) -> Result<(), Error>,
    /// The path of its checkpoint directory.
    pub(super) path: &'static str,
    /// The program after a restart. It may acknowledge the state that it loads.
    pub(super) recover: fn(&Bench) -> Result<(), Error>,
    /// True if its files have many blocks: a state takes long to make and to load.
    pub(super) is_large: bool,
}

impl Scenario {
    pub(super) const fn new(
        name: &'static str,
        keep: usize,
        run: fn(&Bench) -> Result<(), Error>,
    ) -> Scenario {
        Scenario { name, keep, run, path: PATH, recover: Bench::recover, is_large: false }
    }
}

pub(super) const ALL: [Scenario; 22] = [
    Scenario::new("the first save into a new tree of directories", 2, |bench| bench.saves(1)),
    Scenario::new("the second save", 2, |bench| bench.saves(2)),
    Scenario::new("recycled saves", 2, |bench| bench.saves(6)),
    Scenario::new("recycled saves of which one is kept", 1, |bench| bench.saves(5)),
    Scenario::new("three generations are kept", 3, |bench| bench.saves(6)),
    Scenario {
        is_large: true,
        ..Scenario::new("recycled saves of which a little changes", 1, |bench| bench.little_saves(12))
    },
    Scenario {
        is_large: true,
        ..Scenario::new("failed saves of which a little changes", 1, little_failures)
    },
    Scenario::new("retention that removes several", 1, retention),
    Scenario::new("saves in the background", 2, background),
    Scenario::new("failed saves, each followed by another", 2, failures),
    Scenario::new("syncs that fail and lose the data", 1, lost),
    Scenario::new("start-up cleaning", 2, cleaning),
    Scenario::new("a pinned generation", 1, pinned),
    Scenario::new("the best is kept", 1, best),
    Scenario::new("two runs", 2, two_runs),
    Scenario::new("a linked generation", 1, linked),
    Scenario::new("rewinds to older generations, and to one that is aside", 9, rewinds),
    Scenario::new("a rewind after which nothing older is there", 1, rewind_to_the_only),
    Scenario {
        path: SIMULATE,
        recover: recover_steps,
        ..Scenario::new("steps of a pipeline", 2, |bench| (0..3).try_for_each(|_| steps(bench)))
    },
    Scenario {
        recover: |bench| mirrored(bench, PATH, 1, 2),
        ..Scenario::new("a directory with a mirror", 1, |bench| mirrored(bench, PATH, 1, 3))
    },
    Scenario {
        recover: |bench| mirrored(bench, PATH, 2, 2),
        ..Scenario::new("a mirror that gets every second save", 1, |bench| mirrored(bench, PATH, 2, 4))
    },
    Scenario {
        path: FAR,
        recover: |bench| mirror_alone(bench, OTHER_MACHINE, 2),
        ..Scenario::new("a mirror without its directory", 1, |bench| mirror_alone(bench, PATH, 3))
    },
];

/// A program's disk, and the acknowledgements that it got.
pub(super) struct Bench {
    disk: Arc<SimulatedDisk>,
    seam: Arc<dyn Disk>,
    keep: usize,
    path: &'static str,
    next: Cell<u64>,
    acknowledged: RefCell<Vec<(u64, u64)>>,
    /// Generations that a rewind set aside, with their states.
    aside: RefCell<Vec<(u64, u64)>>,
    /// Generations that are kept for another reason than that they are new.
    kept: RefCell<Vec<Kept>>,
}

impl Bench {
    pub(super) fn new(
        disk: Arc<SimulatedDisk>,
        seam: Arc<dyn Disk>,
        scenario: &Scenario,
        next: u64,
    ) -> Bench {
        let (acknowledged, aside, kept) = Default::default();
        let Scenario { keep, path, .. } = *scenario;
        Bench { disk, seam, keep, path, next: Cell::new(next), acknowledged, aside, kept }
    }

    pub(super) fn builder(&self) -> Builder<u64> {
        let builder =
            Checkpointer::builder(PATH).disk(Arc::clone(&self.seam)).history(false).keep_last(self.keep);
        // Many of these fail by design.
        let builder = builder.warnings_to_stderr(false);
        // In most scenarios, no generation has that number.
        builder.keep_best(Metric::lowest("loss"), 1)
    }

    /// Makes a later operation fail.
    #[cfg(shuttle)]
    pub(super) fn plan(&self, fault: Option<(usize, Fault)>) {
        self.disk.plan(fault);
    }

    /// The directory of the program.
    #[cfg(shuttle)]
    pub(super) fn seam(&self) -> Arc<dyn Disk> {
        Arc::clone(&self.seam)
    }

    pub(super) fn begin(&self) -> (u64, Metadata) {
        let state = self.began();
        // Files of different lengths, so that a recycled one grows or shrinks.
        let note = "=".repeat([40, 400, 0, 220, 130][usize::try_from(state % 5).unwrap()]);
        (state, Metadata::new().with("note", note))
    }

    fn began(&self) -> u64 {
        let state = self.next.replace(self.next.get() + 1);
        self.disk.note(Event::Began { state });
        state
    }

    /// Saves a state whose file has most blocks of the one before. At each third one a part of the
    /// others changes too. The file has an end of one of these lengths.
    fn little_save(&self, checkpoints: &mut Checkpointer<u64>, ends: [usize; 6]) -> Result<(), Error> {
        let state = self.began();
        let letter = if (state / 3).is_multiple_of(2) { "a" } else { "b" };
        let end = ends[usize::try_from(state % 6).unwrap()];
        let note = "=".repeat(600) + &letter.repeat(end);
        let generation = checkpoints.save_with(&state, Metadata::new().with("note", note))?.generation;
        self.acknowledge(state, generation);
        Ok(())
    }

    fn little_saves(&self, count: usize) -> Result<(), Error> {
        let mut checkpoints = self.builder().open()?;
        (0..count).try_for_each(|_| self.little_save(&mut checkpoints, [300, 300, 300, 300, 20, 20]))
    }

    pub(super) fn acknowledge(&self, state: u64, generation: u64) {
        self.disk.note(Event::Acknowledged { state, generation: Some(generation) });
        self.acknowledged.borrow_mut().push((generation, state));
        self.keeps();
    }

    fn keeps(&self) {
        let acknowledged = self.acknowledged.borrow();
        let newest = acknowledged.last().map_or(0, |(generation, _)| *generation);
        // A number whose outcome is unknown counts among the last.
        let is_new = |generation: u64| generation + u64::try_from(self.keep).unwrap() > newest;
        let new = acknowledged.iter().filter(|(generation, _)| is_new(*generation));
        let new = new.map(|(generation, state)| Kept {
            path: PathBuf::from(self.path),
            generation: *generation,
            state: *state,
            until: Some(self.keep),
        });
        self.disk.note(Event::Keeps(new.chain(self.kept.borrow().iter().cloned()).collect()));
    }

    pub(super) fn save(&self, checkpoints: &mut Checkpointer<u64>) -> Result<u64, Error> {
        self.save_with(checkpoints, |metadata| metadata)
    }

    fn save_with(
        &self,
        checkpoints: &mut Checkpointer<u64>,
        describe: impl Fn(Metadata) -> Metadata,
    ) -> Result<u64, Error> {
        let (state, metadata) = self.begin();
        let generation = checkpoints.save_with(&state, describe(metadata))?.generation;
        self.acknowledge(state, generation);
        Ok(generation)
    }

    pub(super) fn saves(&self, count: usize) -> Result<(), Error> {
        let mut checkpoints = self.builder().open()?;
        (0..count).try_for_each(|_| self.save(&mut checkpoints).map(drop))
    }

    fn state_of(&self, generation: u64) -> u64 {
        let acknowledged = self.acknowledged.borrow();
        acknowledged.iter().find(|(number, _)| *number == generation).map(|(_, state)| *state).unwrap()
    }

    pub(super) fn keep(&self, path: &str, generation: u64) {
        let state = self.state_of(generation);
        self.kept.borrow_mut().push(Kept { path: path.into(), generation, state, until: None });
        self.keeps();
    }

    fn recover(&self) -> Result<(), Error> {
        let mut checkpoints = self.builder().open()?;
        if let Some(state) = checkpoints.load()? {
            let generation = checkpoints.last_load().map(|report| report.generation());
            self.disk.note(Event::Acknowledged { state, generation });
            self.acknowledged.borrow_mut().extend(generation.map(|generation| (generation, state)));
        }
        self.save(&mut checkpoints)?;
        self.save(&mut checkpoints).map(drop)
    }
}

fn retention(bench: &Bench) -> Result<(), Error> {
    let mut checkpoints = bench.builder().keep_last(9).open()?;
    for _ in 0..4 {
        bench.save(&mut checkpoints)?;
    }
    drop(checkpoints);
    bench.saves(2)
}

fn background(bench: &Bench) -> Result<(), Error> {
    let mut checkpoints = bench.builder().open()?;
    for _ in 0..5 {
        let (state, metadata) = bench.begin();
        checkpoints.save_in_background_with(&state, metadata)?;
        // The program waits immediately, so that the record is the same each time.
        if let Some(saved) = checkpoints.wait()? {
            bench.acknowledge(state, saved.generation);
        }
    }
    drop(checkpoints);
    Ok(())
}

fn failures(bench: &Bench) -> Result<(), Error> {
    let mut checkpoints = bench.builder().open()?;
    for _ in 0..3 {
        bench.save(&mut checkpoints)?;
    }
    // The upper bound of the numbers of operations of a save, for any number of pieces.
    for place in 0..12 {
        bench.disk.plan(Some((place, Fault::Errno(EIO))));
        let _ = bench.save(&mut checkpoints);
        bench.disk.plan(None);
        bench.save(&mut checkpoints)?;
    }
    Ok(())
}

fn lost(bench: &Bench) -> Result<(), Error> {
    let mut checkpoints = bench.builder().open()?;
    bench.save(&mut checkpoints)?;
    for place in 0..10 {
        bench.disk.plan(Some((place, Fault::LosingSync)));
        let _ = bench.save(&mut checkpoints);
        bench.disk.plan(None);
    }
    Ok(())
}

/// Each save that fails changes blocks that the next one does not: those must not be taken for
/// written.
fn little_failures(bench: &Bench) -> Result<(), Error> {
    let mut checkpoints = bench.builder().open()?;
    let mut save = || bench.little_save(&mut checkpoints, [300; 6]);
    // The file of a save that fails was new two saves before, or blocks were left out in it. A
    // multiple of three saves makes the one that fails the first with another letter.
    let writes = (1..9).map(|place| (2, place, Fault::Errno(EIO)));
    let syncs = [2, 5, 2, 5].map(|before| (before, 0, Fault::LosingSync));
    for (before, place, fault) in writes.chain(syncs) {
        (0..before).try_for_each(|_| save())?;
        bench.disk.plan(Some((place, fault)));
        let _ = save();
        bench.disk.plan(None);
    }
    save()
}

fn cleaning(bench: &Bench) -> Result<(), Error> {
    bench.saves(3)?;
    // Three killed processes left these files.
    for length in [0, 100, 700] {
        let mut file = bench.disk.create_temporary(Path::new(PATH)).unwrap();
        file.output.write_all(&vec![b'x'; length]).unwrap();
        file.output.finish().unwrap();
    }
    bench.saves(2)
}

fn pinned(bench: &Bench) -> Result<(), Error> {
    let mut checkpoints = bench.builder().open()?;
    let generation = bench.save(&mut checkpoints)?;
    checkpoints.pin(generation)?;
    bench.keep(PATH, generation);
    for _ in 0..3 {
        bench.save(&mut checkpoints)?;
    }
    bench.kept.borrow_mut().clear();
    bench.keeps();
    checkpoints.unpin(generation)?;
    bench.save(&mut checkpoints)?;
    bench.save(&mut checkpoints).map(drop)
}

fn best(bench: &Bench) -> Result<(), Error> {
    for losses in [&[0.5, 0.1, 0.9, 0.8][..], &[0.7, 0.6]] {
        let mut checkpoints = bench.builder().open()?;
        for loss in losses {
            let generation = bench.save_with(&mut checkpoints, |metadata| metadata.with("loss", *loss))?;
            if *loss == 0.1 {
                bench.keep(PATH, generation);
            }
        }
    }
    Ok(())
}

fn two_runs(bench: &Bench) -> Result<(), Error> {
    bench.saves(3)?;
    bench.recover()
}

fn linked(bench: &Bench) -> Result<(), Error> {
    let mut checkpoints = bench.builder().open()?;
    let generation = bench.save(&mut checkpoints)?;
    let name = crate::store::name::of_generation(generation);
    bench.disk.create_directory(Path::new(BACKUP)).unwrap();
    bench.disk.sync_directory(Path::new("/")).unwrap();
    bench.disk.hard_link(&Path::new(PATH).join(&name), &Path::new(BACKUP).join(&name)).unwrap();
    bench.keep(BACKUP, generation);
    for _ in 0..3 {
        bench.save(&mut checkpoints)?;
    }
    Ok(())
}

/// The number of generations that the mirrors keep.
const KEPT_FAR: usize = 1;

fn open_mirrored(bench: &Bench, path: &str, every: u64) -> Result<Checkpointer<u64>, Error> {
    let mirror = Mirror::to(FAR).disk(Arc::clone(&bench.seam)).keep_last(KEPT_FAR).every(every);
    let mut checkpoints = Checkpointer::builder(path)
        .disk(Arc::clone(&bench.seam))
        .history(false)
        .keep_last(bench.keep)
        .warnings_to_stderr(false)
        .mirror(mirror)
        .open()?;
    // The record is the same each time if one thread works at a time.
    checkpoints.wait_for_mirror(LONG)?;
    Ok(checkpoints)
}

/// A program with a mirror: what it acknowledges is in its directory, and what the mirror got stays
/// there until newer ones come.
fn mirrored(bench: &Bench, path: &str, every: u64, saves: u64) -> Result<(), Error> {
    let mut checkpoints = open_mirrored(bench, path, every)?;
    if let Some(state) = checkpoints.load()? {
        let generation = checkpoints.last_load().map(|report| report.generation());
        bench.disk.note(Event::Acknowledged { state, generation });
        bench.acknowledged.borrow_mut().extend(generation.map(|generation| (generation, state)));
    }
    for number in 1..=saves {
        let generation = bench.save(&mut checkpoints)?;
        if number.is_multiple_of(every) {
            checkpoints.wait_for_mirror(LONG)?;
            let (path, state) = (FAR.into(), bench.state_of(generation));
            bench.kept.borrow_mut().push(Kept { path, generation, state, until: Some(KEPT_FAR) });
            bench.keeps();
        }
    }
    Ok(())
}

/// A program that takes only what the mirror has for saved: its machine may be lost.
fn mirror_alone(bench: &Bench, path: &str, saves: usize) -> Result<(), Error> {
    let mut checkpoints = open_mirrored(bench, path, 1)?;
    if let Some(state) = checkpoints.load()? {
        let generation = checkpoints.last_load().map(|report| report.generation());
        bench.disk.note(Event::Acknowledged { state, generation });
        bench.acknowledged.borrow_mut().extend(generation.map(|generation| (generation, state)));
    }
    for _ in 0..saves {
        let (state, metadata) = bench.begin();
        let generation = checkpoints.save_with(&state, metadata)?.generation;
        checkpoints.wait_for_mirror(LONG)?;
        bench.acknowledge(state, generation);
    }
    Ok(())
}

impl Bench {
    /// Goes to a generation; `stays` is the newest one that is there all the time.
    fn rewind(&self, checkpoints: &mut Checkpointer<u64>, to: u64, stays: u64) -> Result<(), Error> {
        self.rewind_by(to, stays, || {
            checkpoints.rewind(to)?;
            checkpoints.generations()
        })
    }

    fn rewind_by(
        &self,
        to: u64,
        stays: u64,
        rewind: impl FnOnce() -> Result<Vec<u64>, Error>,
    ) -> Result<(), Error> {
        let all = self.acknowledged.borrow().clone();
        let states = |chosen: &[u64]| -> Vec<u64> {
            all.iter().filter(|(number, _)| chosen.contains(number)).map(|(_, state)| *state).collect()
        };
        let everything: Vec<u64> = all.iter().map(|(number, _)| *number).collect();
        let before: Vec<u64> = everything.iter().copied().filter(|number| *number <= stays).collect();
        self.acknowledged.borrow_mut().retain(|(number, _)| before.contains(number));
        let least = states(&before).pop().unwrap_or_else(|| states(&everything).into_iter().min().unwrap());
        self.disk.note(Event::Rewinds { state: least, loadable: states(&everything) });
        self.keeps();
        let there = rewind()?;
        *self.acknowledged.borrow_mut() =
            all.iter().filter(|(number, _)| there.contains(number)).copied().collect();
        self.disk.note(Event::Rewinds { state: states(&[to])[0], loadable: states(&there) });
        self.keeps();
        // What is aside can come back.
        self.aside.borrow_mut().extend(all.iter().filter(|(number, _)| !there.contains(number)));
        Ok(())
    }

    /// Goes to a generation that is aside.
    fn bring_back(&self, checkpoints: &mut Checkpointer<u64>, to: u64, stays: u64) -> Result<(), Error> {
        self.acknowledged.borrow_mut().extend(self.aside.take());
        self.acknowledged.borrow_mut().sort_unstable();
        self.rewind(checkpoints, to, stays)
    }
}

fn rewinds(bench: &Bench) -> Result<(), Error> {
    let mut checkpoints = bench.builder().open()?;
    for _ in 0..4 {
        bench.save(&mut checkpoints)?;
    }
    bench.rewind(&mut checkpoints, 2, 2)?;
    for expected in [5, 6] {
        assert_eq!(bench.save(&mut checkpoints)?, expected);
    }
    bench.bring_back(&mut checkpoints, 4, 2)?;
    assert_eq!(checkpoints.generations()?, [1, 2, 3, 4]);
    assert_eq!(bench.save(&mut checkpoints)?, 7);
    drop(checkpoints);
    for expected in [3, 8] {
        bench.rewind_by(expected, 3, || bench.builder().rewind(3).open()?.generations())?;
        let mut checkpoints = bench.builder().rewind(3).open()?;
        assert_eq!(checkpoints.load()?, Some(bench.state_of(expected)));
        bench.save(&mut checkpoints)?;
    }
    Ok(())
}

/// The generation before the one that is aside was removed.
fn rewind_to_the_only(bench: &Bench) -> Result<(), Error> {
    let mut checkpoints = bench.builder().keep_last(2).open()?;
    bench.save(&mut checkpoints)?;
    bench.save(&mut checkpoints)?;
    bench.rewind(&mut checkpoints, 1, 1)?;
    drop(checkpoints);
    let mut checkpoints = bench.builder().open()?;
    checkpoints.load()?;
    bench.save(&mut checkpoints)?;
    bench.save(&mut checkpoints)?;
    bench.bring_back(&mut checkpoints, 2, 0)?;
    bench.save(&mut checkpoints).map(drop)
}

/// Two steps, the second of which takes the output of the first.
fn steps(bench: &Bench) -> Result<(), Error> {
    let (state, _) = bench.begin();
    run_steps(bench, state, || Ok(state))
}

fn run_steps(bench: &Bench, state: u64, simulate: impl FnOnce() -> Result<u64, Error>) -> Result<(), Error> {
    let pipeline = Pipeline::on(Arc::clone(&bench.seam), Path::new(PIPELINE))?;
    let step = |name| pipeline.step(name).keep(bench.keep).param("state", &state);
    let simulated = step("simulate").run(|context| {
        let mut checkpoints = context.checkpointer::<u64>()?;
        checkpoints.load()?;
        checkpoints.save(&state)?;
        simulate()
    })?;
    bench.acknowledge(state, simulated.version());
    let report = step("report").input(&simulated).run(|_| simulated.load().map(|state| *state))?;
    bench.kept.borrow_mut().push(Kept {
        path: REPORT.into(),
        generation: report.version(),
        state,
        until: Some(bench.keep),
    });
    bench.keeps();
    pipeline.finish().map(drop)
}

/// Existing outputs are not made again.
fn recover_steps(bench: &Bench) -> Result<(), Error> {
    let directory = Directory::new(Path::new(SIMULATE), Arc::clone(&bench.seam));
    if let Some(state) = CheckpointReader::<u64>::new(Arc::new(directory), Protection::new())?.load()? {
        run_steps(bench, state, || panic!("a step that was finished is run again"))?;
    }
    steps(bench)
}
