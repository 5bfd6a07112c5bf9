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

/// The program makes it, beside the checkpoint directory.
pub(super) const DIRECTORY: &str = "/project/heat/out";

const OUTPUT: &str = "/project/heat/out/heat.csv";

/// The step, the output, and other values that count bytes of the same file.
type State = (u64, Appended, Vec<Appended>);

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
        *state = (0, Appended::on(seam, Path::new(OUTPUT)), Vec::new());
        (0..step).for_each(|_| state.1.write_all(b"a trial").unwrap());
        state.1.flush().unwrap();
        *state = (0, Appended::at("none"), Vec::new());
        *state = checkpoints.load().unwrap().unwrap();
    }
}

/// Saves a state that is older than the newest checkpoint. Until that is there, the file must not
/// go back.
fn save_older(disk: &Arc<SimulatedDisk>, checkpoints: &mut Checkpointer<State>, state: &State) {
    acknowledge(disk, state.0);
    checkpoints.save(state).unwrap();
}

fn goes_back(disk: &Arc<SimulatedDisk>, checkpoints: &mut Checkpointer<State>, state: &mut State) {
    advance(disk, state);
    checkpoints.save(state).unwrap();
    acknowledge(disk, state.0);
    for _ in 0..2 {
        let backup = state.clone();
        advance(disk, state);
        advance(disk, state);
        checkpoints.save(state).unwrap();
        acknowledge(disk, state.0);
        advance(disk, state);
        state.1.flush().unwrap();
        drop(std::mem::replace(state, backup));
        save_older(disk, checkpoints, state);
        advance(disk, state);
        checkpoints.save(state).unwrap();
        acknowledge(disk, state.0);
    }
}

fn older(disk: &Arc<SimulatedDisk>, checkpoints: &mut Checkpointer<State>, state: &mut State) {
    let mut generations = Vec::new();
    for _ in 0..3 {
        advance(disk, state);
        generations.push(checkpoints.save(state).unwrap().generation);
        acknowledge(disk, state.0);
    }
    let earlier = checkpoints.load_generation(generations[1]).unwrap();
    drop(std::mem::replace(state, earlier));
    save_older(disk, checkpoints, state);
    advance(disk, state);
    checkpoints.save(state).unwrap();
    acknowledge(disk, state.0);
}

fn two_values(disk: &Arc<SimulatedDisk>, checkpoints: &mut Checkpointer<State>, state: &mut State) {
    for _ in 0..3 {
        let best = state.1.clone();
        state.2 = vec![best];
        advance(disk, state);
        checkpoints.save(state).unwrap();
        acknowledge(disk, state.0);
        // The file is open for none, and the values that count less come first at the load.
        let former = checkpoints.load().unwrap().unwrap();
        drop(std::mem::replace(state, former));
        advance(disk, state);
        state.2.reverse();
        checkpoints.save(state).unwrap();
        acknowledge(disk, state.0);
    }
}

/// Another program gives the file second names, as for backups, before loads and at a program that
/// goes back.
fn linked(disk: &Arc<SimulatedDisk>, checkpoints: &mut Checkpointer<State>, state: &mut State) {
    for number in 0..3 {
        advance(disk, state);
        checkpoints.save(state).unwrap();
        acknowledge(disk, state.0);
        let former = state.clone();
        let backup = format!("{OUTPUT}-backup-{number}-{}", disk.record().1.len());
        disk.hard_link(Path::new(OUTPUT), Path::new(&backup)).unwrap();
        let counted = content(&disk.live(), OUTPUT).unwrap();
        advance(disk, state);
        state.1.flush().unwrap();
        if number == 1 {
            drop(std::mem::replace(state, former));
        } else {
            drop(former);
            *state = (0, Appended::at("none"), Vec::new());
            *state = checkpoints.load().unwrap().unwrap();
        }
        for _ in 0..2 {
            advance(disk, state);
            checkpoints.save(state).unwrap();
            acknowledge(disk, state.0);
        }
        assert!(content(&disk.live(), &backup).unwrap().starts_with(&counted), "the backup was written over");
        assert_ne!(content(&disk.live(), &backup), content(&disk.live(), OUTPUT));
    }
}

fn run(disk: &Arc<SimulatedDisk>, mutant: Option<Mutant>, program: Program) -> Result<(), Error> {
    let seam = Mutant::wrap(mutant, Arc::clone(disk));
    let mut checkpoints = open(&seam, false)?;
    let mut state = checkpoints.load_or_else(|| {
        disk.create_directory(Path::new(DIRECTORY)).unwrap();
        (0, Appended::on(Arc::clone(&seam), Path::new(OUTPUT)), Vec::new())
    })?;
    if state.0 > 0 {
        // A program may publish what it has loaded.
        acknowledge(disk, state.0);
    }
    program(disk, &mut checkpoints, &mut state);
    Ok(())
}

fn open(seam: &Arc<dyn Disk>, keeps_cut: bool) -> Result<Checkpointer<State>, Error> {
    let builder = Checkpointer::builder(PATH).disk(Arc::clone(seam)).history(false).keep_last(3);
    builder.warnings_to_stderr(false).keep_cut_outputs(keeps_cut).open()
}

/// The content of a file; `None` where there is none.
fn content(image: &Image, path: &str) -> Option<Vec<u8>> {
    let inode = image.find(Path::new(path)).ok()?;
    Some(image.file(inode).ok()?.bytes.clone())
}

/// Loads in a state of the disk. The file must then have exactly the lines of the loaded step.
fn examine(image: &Image, began: u64, acknowledged: u64) -> Result<(), String> {
    let disk = SimulatedDisk::new(image.clone());
    let seam: Arc<dyn Disk> = Arc::new(Arc::clone(&disk));
    let loaded = open(&seam, false).and_then(|mut checkpoints| checkpoints.load());
    let state = loaded.map_err(|error| format!("{error}; {acknowledged} was acknowledged"))?;
    let step = state.as_ref().map_or(0, |state| state.0);
    if step < acknowledged || step > began {
        return Err(format!("{step} was loaded, {acknowledged} acknowledged, {began} begun"));
    }
    if step > 0 {
        let found = content(&disk.live(), OUTPUT).ok_or_else(|| format!("step {step}: no {OUTPUT}"))?;
        let expected: String = (1..=step).map(line).collect();
        if found != expected.as_bytes() {
            return Err(format!("the file is not that of step {step}"));
        }
    }
    Ok(())
}

/// A state of the disk, the last step that was begun, and the one that was acknowledged.
type Start = (Image, u64, u64);

/// Runs a program on a disk, and cuts its power at each moment. Returns the number of distinct
/// states, and some of them.
fn campaign(
    (base, mut began, mut acknowledged): Start,
    mutant: Option<Mutant>,
    program: Program,
) -> Result<(usize, Vec<Start>), String> {
    let disk = SimulatedDisk::new(base.clone());
    run(&disk, mutant, program).map_err(|error| error.to_string())?;
    let (base, events) = disk.record();
    let (mut cut, mut random) = (Cut::new(&base), Random(7));
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
                    starts.push((image, began, acknowledged));
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
    for (name, program) in [
        ("saves", saves as Program),
        ("background", background),
        ("failures", failures),
        ("going back", goes_back),
        ("an older generation", older),
        ("two values", two_values),
        ("trials", trials),
        ("linked", linked),
    ] {
        let (states, starts) = campaign((Image::new(), 0, 0), None, program).unwrap();
        let mut restarts = 0;
        for start in starts.into_iter().take(if cfg!(debug_assertions) { 2 } else { 6 }) {
            campaign(start, None, saves).unwrap_or_else(|why| panic!("{name}, and a restart: {why}"));
            restarts += 1;
        }
        println!("{name}: {states} distinct states, {restarts} restarts");
        assert!(states > 100 && restarts > 0, "{name}: {states} states");
    }
}

#[test]
fn a_save_that_leaves_a_sync_of_its_file_out_is_found() {
    for mutant in [Mutant::OutputNotSynced, Mutant::OutputNameNotSynced] {
        for program in [saves as Program, background] {
            let why = campaign((Image::new(), 0, 0), Some(mutant), program).unwrap_err();
            println!("found {why}");
            assert!(why.contains(OUTPUT), "{why}");
        }
    }
    let why = campaign((Image::new(), 0, 0), Some(Mutant::OutputCopyNotSynced), linked).unwrap_err();
    println!("found {why}");
    assert!(why.contains(OUTPUT), "{why}");
}

/// Cuts the power at each moment of a load that keeps what it cuts.
fn keeps(mutant: Option<Mutant>) -> Result<usize, String> {
    let disk = SimulatedDisk::new(Image::new());
    run(&disk, None, |disk, checkpoints, state| {
        saves(disk, checkpoints, state);
        advance(disk, state);
        advance(disk, state);
        state.1.flush().unwrap();
    })
    .unwrap();
    // All of this is durable.
    let before = disk.live();
    let whole = content(&before, OUTPUT).unwrap();
    let disk = SimulatedDisk::new(before);
    let mut checkpoints = open(&Mutant::wrap(mutant, Arc::clone(&disk)), true).unwrap();
    let state = checkpoints.load().unwrap().unwrap();
    let length = usize::try_from(state.1.len()).unwrap();
    let kept = format!("{OUTPUT}.cut-at-{length}");
    let (base, events) = disk.record();
    let (mut cut, mut random) = (Cut::new(&base), Random(7));
    let (mut broken, mut states) = (None, 0);
    for event in &events {
        cut.advance(event);
        cut.states(LIMITS, &mut random, |image| {
            states += 1;
            let found = content(&image, OUTPUT).unwrap_or_default();
            let cut_off = content(&image, &kept).unwrap_or_default();
            // A cut that is not durable may leave any bytes behind those that count.
            let counted = &found[..found.len().min(length)];
            if found != whole && [counted, &cut_off].concat() != whole {
                broken = Some(format!("after {event}: {} and {} bytes are left", found.len(), cut_off.len()));
            }
        });
    }
    broken.map_or(Ok(states), Err)
}

#[test]
fn what_is_cut_is_kept_before_it_is_cut_also_by_a_power_cut() {
    let states = keeps(None).unwrap();
    assert!(states > 10, "{states}");
    for mutant in [Mutant::OutputNotKept, Mutant::OutputNameNotSynced] {
        println!("found {}", keeps(Some(mutant)).unwrap_err());
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
        let bytes = content(&image, path).unwrap_or_else(|| b"no file".to_vec());
        found.push(String::from_utf8_lossy(&bytes).into_owned());
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
        disk.create_directory(Path::new(DIRECTORY)).unwrap();
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
    let mut checkpoints = open(&seam, false).unwrap();
    disk.create_directory(Path::new(DIRECTORY)).unwrap();
    let mut state = (1, Appended::on(Arc::clone(&seam), Path::new(OUTPUT)), Vec::new());
    state.1.write_all(b"saved").unwrap();
    checkpoints.save(&state).unwrap();
    state.1.write_all(b", done").unwrap();
    state = (2, Appended::on(Arc::clone(&seam), Path::new("/project/heat/out/next.csv")), Vec::new());
    checkpoints.save(&state).unwrap();
    assert_kept(&disk, OUTPUT, "saved, done");

    // The next save tells that bytes were lost, once.
    state.1.write_all(b"more").unwrap();
    disk.plan(Some((0, Fault::Errno(EIO))));
    state = (3, Appended::on(seam, Path::new("/project/heat/out/last.csv")), Vec::new());
    disk.plan(None);
    let error = checkpoints.finish(&state).unwrap_err();
    assert!(error.to_string().contains("next.csv"), "{error}");
}
