//! Rewinds that are cut short: at each operation by an error, and at each moment by a power cut.
//! The next call ends as if none had been before it, and the tree of generations stays what it was.

use std::path::Path;
use std::sync::Arc;

use super::cut::{Cut, Limits, Random};
use super::disk::{Fault, SimulatedDisk};
use super::image::Image;
use super::scenarios::PATH;
use crate::store::faults::EIO;
use crate::store::name;
use crate::{Builder, Checkpointer, Error};

const LIMITS: Limits = Limits { contents: 2, singles: true, pairs: true, random: 4 };

fn builder(disk: &Arc<SimulatedDisk>) -> Builder<u64> {
    let builder = Checkpointer::<u64>::builder(PATH).disk(Arc::new(Arc::clone(disk))).history(false);
    builder.warnings_to_stderr(false)
}

/// The generations that are there, and those aside with their parents.
type Tree = (Vec<u64>, Vec<(u64, u64)>);

fn tree(image: &Image) -> Tree {
    let names = image.list(Path::new(PATH)).unwrap();
    let mut there: Vec<u64> = names.iter().filter_map(|name| name::generation(name)).collect();
    let aside = names.iter().filter_map(|name| name::rewound(name));
    let mut aside: Vec<_> = aside.map(|file| (file.generation, file.parent)).collect();
    there.sort_unstable();
    aside.sort_unstable();
    (there, aside)
}

fn rewound(image: Image, to: u64) -> (Image, Result<(), Error>) {
    let disk = SimulatedDisk::new(image);
    let rewound = builder(&disk).open().and_then(|mut checkpoints| checkpoints.rewind(to).map(drop));
    (disk.live(), rewound)
}

/// Generation 5 is there, and 2 and 3 are aside. Their parent was removed by retention.
fn nothing_older_stays() -> Image {
    let disk = SimulatedDisk::new(Image::new());
    let mut checkpoints = builder(&disk).keep_last(9).open().unwrap();
    (1..=3).for_each(|state| _ = checkpoints.save(&state).unwrap());
    checkpoints.rewind(1).unwrap();
    drop(checkpoints);
    let mut checkpoints = builder(&disk).keep_last(1).open().unwrap();
    checkpoints.load().unwrap();
    (4..=5).for_each(|state| _ = checkpoints.save(&state).unwrap());
    drop(checkpoints);
    assert_eq!(tree(&disk.live()), (vec![5], vec![(2, 0), (3, 2)]));
    disk.live()
}

/// Of 1 to 4, the last two are aside, and 5 and 6 went on from 2.
fn two_stay() -> Image {
    let disk = SimulatedDisk::new(Image::new());
    let mut checkpoints = builder(&disk).keep_last(9).open().unwrap();
    (1..=4).for_each(|state| _ = checkpoints.save(&state).unwrap());
    checkpoints.rewind(2).unwrap();
    (5..=6).for_each(|state| _ = checkpoints.save(&state).unwrap());
    drop(checkpoints);
    disk.live()
}

/// A directory, the generation to go back to, and the newest.
type Case = (fn() -> Image, u64, u64);

const CASES: [Case; 3] = [(nothing_older_stays, 3, 5), (nothing_older_stays, 2, 5), (two_stay, 4, 6)];

/// Goes on from a rewind to `to` that was cut short, and back to `from`.
fn goes_on(image: Image, (to, from): (u64, u64), expected: &Tree, before: &Tree) {
    let loaded = builder(&SimulatedDisk::new(image.clone())).open().unwrap().load().unwrap();
    assert!([Some(to), Some(from)].contains(&loaded), "{loaded:?}");
    let (image, again) = rewound(image, to);
    again.unwrap();
    assert_eq!(tree(&image), *expected);
    let (image, back) = rewound(image, from);
    back.unwrap();
    assert_eq!(tree(&image), *before);
}

/// One operation fails, or all from it on.
const FAULTS: [Fault; 2] = [Fault::Errno(EIO), Fault::Lasting(EIO)];

#[test]
fn a_rewind_that_failed_goes_on_with_a_second_call() {
    for ((base, to, from), fault) in CASES.into_iter().flat_map(|case| FAULTS.map(|fault| (case, fault))) {
        let base = base();
        let (whole, rewinds) = rewound(base.clone(), to);
        rewinds.unwrap();
        let (before, expected) = (tree(&base), tree(&whole));
        let mut failures = 0;
        for place in 0.. {
            let disk = SimulatedDisk::new(base.clone());
            let mut checkpoints = builder(&disk).open().unwrap();
            disk.plan(Some((place, fault)));
            let failed = checkpoints.rewind(to).is_err();
            disk.plan(None);
            drop(checkpoints);
            goes_on(disk.live(), (to, from), &expected, &before);
            if !failed {
                break;
            }
            failures += 1;
        }
        assert!(failures > 5, "{failures}");
    }
}

#[test]
fn saves_after_a_failed_rewind_remove_nothing_that_is_aside() {
    let numbers = |aside: &[(u64, u64)]| aside.iter().map(|(number, _)| *number).collect::<Vec<_>>();
    // What a lasting fault leaves is taken back by a load, or late, by a save.
    let ways = [(Fault::Errno(EIO), false), (Fault::Lasting(EIO), false), (Fault::Lasting(EIO), true)];
    for ((base, to, from), (fault, is_late)) in CASES.into_iter().flat_map(|case| ways.map(|way| (case, way)))
    {
        let base = base();
        let aside = numbers(&tree(&base).1);
        let mut failures = 0;
        for place in 0.. {
            let disk = SimulatedDisk::new(base.clone());
            let mut checkpoints = builder(&disk).keep_last(1).open().unwrap();
            disk.plan(Some((place, fault)));
            let failed = checkpoints.rewind(to).is_err();
            disk.plan(None);
            if !failed {
                break;
            }
            failures += 1;
            let was_done = tree(&disk.live()).0.last() == Some(&to);
            if is_late && !was_done {
                // It fails once more before the save, and is taken back by retention.
                disk.plan(Some((0, Fault::Errno(EIO))));
            } else {
                assert_eq!(checkpoints.load().unwrap(), Some(from), "{to} {fault:?} {place}");
            }
            for state in [60, 61] {
                checkpoints.save(&state).unwrap();
            }
            drop(checkpoints);
            let (there, after) = tree(&disk.live());
            assert_eq!((there.len(), numbers(&after)), (1, aside.clone()), "{to} {fault:?} {place}");
            let (image, again) = rewound(disk.live(), to);
            again.unwrap();
            assert_eq!(tree(&image).0.last(), Some(&to));
        }
        assert!(failures > 5, "{failures}");
    }
}

#[test]
fn a_power_cut_in_a_rewind_changes_nothing_in_the_tree() {
    for (base, to, from) in CASES {
        let base = base();
        let disk = SimulatedDisk::new(base.clone());
        builder(&disk).open().unwrap().rewind(to).unwrap();
        let (before, expected) = (tree(&base), tree(&disk.live()));
        let (base, events) = disk.record();
        let (mut cut, mut random) = (Cut::new(&base), Random(7));
        for event in &events {
            if cut.advance(event) {
                cut.states(LIMITS, &mut random, |image| {
                    goes_on(image, (to, from), &expected, &before);
                });
            }
        }
    }
}

#[test]
fn a_power_cut_in_retention_leaves_each_generation_its_parent() {
    let disk = SimulatedDisk::new(Image::new());
    let mut checkpoints = builder(&disk).keep_last(9).open().unwrap();
    (1..=4).for_each(|state| _ = checkpoints.save(&state).unwrap());
    checkpoints.rewind(3).unwrap();
    (5..=6).for_each(|state| _ = checkpoints.save(&state).unwrap());
    drop(checkpoints);

    // The generation 3, by which 4 goes, is retired, and 2 is kept.
    let disk = SimulatedDisk::new(disk.live());
    let mut checkpoints = builder(&disk).keep_last(1).keep_every(2).open().unwrap();
    checkpoints.load().unwrap();
    checkpoints.save(&7).unwrap();
    drop(checkpoints);
    assert_eq!(tree(&disk.live()), (vec![2, 6, 7], vec![(4, 2)]));
    let (base, events) = disk.record();
    let (mut cut, mut random) = (Cut::new(&base), Random(7));
    for event in &events {
        if cut.advance(event) {
            cut.states(LIMITS, &mut random, |image| {
                let (image, back) = rewound(image, 4);
                back.unwrap();
                let (there, _) = tree(&image);
                assert!(there.contains(&2) && there.ends_with(&[4]), "{there:?}");
            });
        }
    }
}

#[test]
fn a_power_cut_in_a_discard_leaves_the_newest_or_the_target() {
    let disk = SimulatedDisk::new(Image::new());
    let mut checkpoints = builder(&disk).keep_last(9).open().unwrap();
    (1..=5).for_each(|state| _ = checkpoints.save(&state).unwrap());
    drop(checkpoints);
    let disk = SimulatedDisk::new(disk.live());
    builder(&disk).keep_last(9).open().unwrap().discard_newer(1).unwrap();
    assert_eq!(tree(&disk.live()).0, [1]);
    let (base, events) = disk.record();
    let (mut cut, mut random) = (Cut::new(&base), Random(7));
    for event in &events {
        if cut.advance(event) {
            cut.states(LIMITS, &mut random, |image| {
                let loaded = builder(&SimulatedDisk::new(image)).open().unwrap().load().unwrap();
                assert!(matches!(loaded, Some(1 | 5)), "{loaded:?}");
            });
        }
    }
}
