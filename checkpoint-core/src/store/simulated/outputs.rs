//! Power cuts of a program with a file that grows: no checkpoint is ever ahead of its file.

use std::collections::HashSet;
use std::io::Write;
use std::path::Path;
use std::sync::Arc;

use super::cut::{Cut, Limits, Random};
use super::disk::{Event, Fault, SimulatedDisk};
use super::image::Image;
use super::mutants::Mutant;
use super::scenarios::PATH;
use crate::store::Disk;
use crate::store::faults::EIO;
use crate::{Appended, Checkpointer, Error};

/// Beside the checkpoint directory.
const OUTPUT: &str = "/project/heat/heat.csv";

type State = (u64, Appended);

type Program = fn(&Arc<SimulatedDisk>, &mut Checkpointer<State>, &mut State);

const LIMITS: Limits = Limits {
    contents: if cfg!(debug_assertions) { 4 } else { 16 },
    singles: true,
    pairs: false,
    random: if cfg!(debug_assertions) { 1 } else { 8 },
};

/// The line of a step: a sector has more than one, and a line may be in two.
fn line(step: u64) -> String {
    format!("{step},{}\n", "x".repeat(usize::try_from(20 + step * 13 % 40).unwrap()))
}

fn advance(disk: &Arc<SimulatedDisk>, state: &mut State) {
    state.0 += 1;
    disk.note(Event::Began { state: state.0 });
    state.1.write_all(line(state.0).as_bytes()).unwrap();
}

fn acknowledge(disk: &Arc<SimulatedDisk>, step: u64) {
    disk.note(Event::Acknowledged { state: step, generation: None });
}

fn saves(disk: &Arc<SimulatedDisk>, checkpoints: &mut Checkpointer<State>, state: &mut State) {
    for number in 1..=8 {
        advance(disk, state);
        // Most lines wait in memory for the save, and some are in the file before.
        if number % 3 == 0 {
            state.1.flush().unwrap();
        }
        if number % 2 == 0 && checkpoints.save(state).is_ok() {
            acknowledge(disk, state.0);
        }
    }
}

fn background(disk: &Arc<SimulatedDisk>, checkpoints: &mut Checkpointer<State>, state: &mut State) {
    for _ in 1..=4 {
        advance(disk, state);
        let step = state.0;
        checkpoints.save_in_background(state).unwrap();
        checkpoints.wait().unwrap();
        acknowledge(disk, step);
        // What is appended now is not counted.
        advance(disk, state);
        state.1.flush().unwrap();
    }
}

fn failures(disk: &Arc<SimulatedDisk>, checkpoints: &mut Checkpointer<State>, state: &mut State) {
    advance(disk, state);
    checkpoints.save(state).unwrap();
    acknowledge(disk, state.0);
    for place in 0..8 {
        for fault in [Fault::LosingSync, Fault::Errno(EIO)] {
            advance(disk, state);
            disk.plan(Some((place, fault)));
            let saved = checkpoints.save(state).is_ok();
            disk.plan(None);
            if saved {
                acknowledge(disk, state.0);
            }
            checkpoints.save(state).unwrap();
            acknowledge(disk, state.0);
        }
    }
}

/// Begins a new file while the newest checkpoint counts on the one of that name, and gives it up.
fn trials(disk: &Arc<SimulatedDisk>, checkpoints: &mut Checkpointer<State>, state: &mut State) {
    for step in 1..=3 {
        advance(disk, state);
        checkpoints.save(state).unwrap();
        acknowledge(disk, state.0);
        let seam: Arc<dyn Disk> = Arc::new(Arc::clone(disk));
        *state = (0, Appended::on(seam, Path::new(OUTPUT)));
        (0..step).for_each(|_| state.1.write_all(b"a trial").unwrap());
        state.1.flush().unwrap();
        *state = (0, Appended::at("none"));
        *state = checkpoints.load().unwrap().unwrap();
    }
}

fn run(disk: &Arc<SimulatedDisk>, mutant: Option<Mutant>, program: Program) -> Result<(), Error> {
    let seam = Mutant::wrap(mutant, Arc::clone(disk));
    let mut checkpoints = open(&seam)?;
    let mut state = checkpoints.load_or_else(|| (0, Appended::on(Arc::clone(&seam), Path::new(OUTPUT))))?;
    if state.0 > 0 {
        // A program may publish what it has loaded.
        acknowledge(disk, state.0);
    }
    program(disk, &mut checkpoints, &mut state);
    Ok(())
}

fn open(seam: &Arc<dyn Disk>) -> Result<Checkpointer<State>, Error> {
    let builder = Checkpointer::builder(PATH).disk(Arc::clone(seam)).history(false);
    builder.warnings_to_stderr(false).open()
}

/// Loads in a state of the disk. The file must then have exactly the lines of the loaded step.
fn examine(image: &Image, began: u64, acknowledged: u64) -> Result<(), String> {
    let disk = SimulatedDisk::new(image.clone());
    let seam: Arc<dyn Disk> = Arc::new(Arc::clone(&disk));
    let loaded = open(&seam).and_then(|mut checkpoints| checkpoints.load());
    let state = loaded.map_err(|error| format!("{error}; {acknowledged} was acknowledged"))?;
    let step = state.as_ref().map_or(0, |state| state.0);
    if step < acknowledged || step > began {
        return Err(format!("{step} was loaded, {acknowledged} acknowledged, {began} begun"));
    }
    if step > 0 {
        let live = disk.live();
        let inode = live.find(Path::new(OUTPUT)).map_err(|error| format!("step {step}: {error}"))?;
        let expected: String = (1..=step).map(line).collect();
        if live.file(inode).unwrap().bytes != expected.as_bytes() {
            return Err(format!("the file is not that of step {step}"));
        }
    }
    Ok(())
}

/// Runs a program on a disk, and cuts its power at each moment. Returns the number of distinct
/// states, and some of them.
fn campaign(
    base: &Image,
    mutant: Option<Mutant>,
    program: Program,
    acknowledged: u64,
) -> Result<(usize, Vec<(Image, u64)>), String> {
    let disk = SimulatedDisk::new(base.clone());
    run(&disk, mutant, program).map_err(|error| error.to_string())?;
    let (base, events) = disk.record();
    let (mut cut, mut random) = (Cut::new(&base), Random(7));
    let (mut began, mut acknowledged) = (acknowledged, acknowledged);
    let (mut seen, mut starts) = (HashSet::new(), Vec::new());
    for event in &events {
        match event {
            Event::Began { state } => began = began.max(*state),
            Event::Acknowledged { state, .. } => acknowledged = *state,
            _ => {}
        }
        cut.advance(event);
        let mut broken = None;
        cut.states(LIMITS, &mut random, |image| {
            if broken.is_none() && seen.insert((image.hash(), acknowledged)) {
                broken = examine(&image, began, acknowledged).err();
                if seen.len() % 97 == 0 {
                    starts.push((image, acknowledged));
                }
            }
        });
        if let Some(why) = broken {
            return Err(format!("after {event}: {why}"));
        }
    }
    Ok((seen.len(), starts))
}

#[test]
fn no_checkpoint_is_ahead_of_its_file_after_a_power_cut() {
    let programs =
        [("saves", saves as Program), ("background", background), ("failures", failures), ("trials", trials)];
    for (name, program) in programs {
        let (states, starts) = campaign(&Image::new(), None, program, 0).unwrap();
        let mut restarts = 0;
        for (image, acknowledged) in starts.into_iter().take(6) {
            campaign(&image, None, saves, acknowledged)
                .unwrap_or_else(|why| panic!("{name}, and a restart: {why}"));
            restarts += 1;
        }
        println!("{name}: {states} distinct states, {restarts} restarts");
        assert!(states > 100 && restarts > 0, "{name}: {states} states");
    }
}

#[test]
fn a_save_that_leaves_the_sync_of_its_file_out_is_found() {
    for program in [saves as Program, background] {
        let why = campaign(&Image::new(), Some(Mutant::OutputNotSynced), program, 0).unwrap_err();
        println!("found {why}");
        assert!(why.contains(OUTPUT), "{why}");
    }
}

/// The bytes of a file after each power cut at the end of a program.
fn after_cuts(disk: &SimulatedDisk, path: &str) -> Vec<String> {
    let (base, events) = disk.record();
    let (mut cut, mut found) = (Cut::new(&base), Vec::new());
    for event in &events {
        cut.advance(event);
    }
    cut.states(LIMITS, &mut Random(7), |image| {
        let bytes = image.find(Path::new(path)).map(|inode| image.file(inode).unwrap().bytes.clone());
        found.push(
            bytes
                .map_or_else(|error| error.to_string(), |bytes| String::from_utf8_lossy(&bytes).into_owned()),
        );
    });
    assert!(!found.is_empty());
    found
}

#[track_caller]
fn assert_kept(disk: &SimulatedDisk, path: &str, expected: &str) {
    after_cuts(disk, path).iter().for_each(|found| assert_eq!(found, expected));
}

#[cfg(feature = "scopes")]
mod of_scopes {
    use super::*;
    use crate::Scopes;

    fn begun(disk: &Arc<SimulatedDisk>) -> (Scopes, Appended) {
        let seam: Arc<dyn Disk> = Arc::new(Arc::clone(disk));
        let builder = Scopes::builder(PATH).disk(Arc::clone(&seam)).history(false);
        let scopes = builder.warnings_to_stderr(false).open().unwrap();
        (scopes, Appended::on(seam, Path::new(OUTPUT)))
    }

    /// A function that writes more than it saves.
    fn work(scopes: &mut Scopes, log: &mut Appended) {
        let mut scope = scopes.enter::<Appended>("work").unwrap();
        log.write_all(b"saved").unwrap();
        scope.save(log).unwrap();
        log.write_all(b", done").unwrap();
    }

    #[test]
    fn the_end_of_a_run_has_all_that_its_functions_wrote() {
        for is_closed in [true, false] {
            let disk = SimulatedDisk::new(Image::new());
            let (mut scopes, mut log) = begun(&disk);
            work(&mut scopes, &mut log);
            let log = Some(log).filter(|_| !is_closed);
            scopes.finish().unwrap();
            assert_kept(&disk, OUTPUT, "saved, done");
            drop(log);
        }
    }

    #[test]
    fn a_save_has_all_that_functions_before_it_wrote() {
        for is_closed in [true, false] {
            let disk = SimulatedDisk::new(Image::new());
            let (mut scopes, mut log) = begun(&disk);
            let mut outer = scopes.enter::<u64>("outer").unwrap();
            outer.keep(&1).unwrap();
            work(&mut outer, &mut log);
            let log = Some(log).filter(|_| !is_closed);
            outer.save(&2).unwrap();
            assert_kept(&disk, OUTPUT, "saved, done");
            drop(log);
        }
    }

    #[test]
    fn a_run_does_not_end_well_if_an_output_lost_bytes() {
        for fails in [true, false] {
            let disk = SimulatedDisk::new(Image::new());
            let (mut scopes, mut log) = begun(&disk);
            work(&mut scopes, &mut log);
            disk.plan(fails.then_some((0, Fault::Errno(EIO))));
            drop(log);
            disk.plan(None);
            let ended = scopes.finish();
            assert_eq!(ended.is_err(), fails, "{ended:?}");
        }
    }
}

#[test]
fn a_state_without_an_output_keeps_all_its_bytes() {
    let disk = SimulatedDisk::new(Image::new());
    let seam: Arc<dyn Disk> = Arc::new(Arc::clone(&disk));
    let mut checkpoints = open(&seam).unwrap();
    let mut state = (1, Appended::on(Arc::clone(&seam), Path::new(OUTPUT)));
    state.1.write_all(b"saved").unwrap();
    checkpoints.save(&state).unwrap();
    state.1.write_all(b", done").unwrap();
    state = (2, Appended::on(Arc::clone(&seam), Path::new("/project/heat/next.csv")));
    checkpoints.save(&state).unwrap();
    assert_kept(&disk, OUTPUT, "saved, done");

    // The next save tells that bytes were lost, once.
    state.1.write_all(b"more").unwrap();
    disk.plan(Some((0, Fault::Errno(EIO))));
    state = (3, Appended::on(seam, Path::new("/project/heat/last.csv")));
    disk.plan(None);
    let error = checkpoints.finish(&state).unwrap_err();
    assert!(error.to_string().contains("next.csv"), "{error}");
}
