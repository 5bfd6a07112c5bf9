//! Rewinds of a group that are cut short. Only the tables move, and they are on the disk of the
//! first member. So whatever a power cut leaves of a rewind there, the group goes on, and nothing
//! that it acknowledged is out of reach: not what is there, and not what is aside.

use std::path::Path;
use std::sync::Arc;

use super::cut::{Cut, Limits, Random};
use super::disk::SimulatedDisk;
use super::groups::on_disks;
use super::image::Image;
use super::scenarios::PATH;
use crate::Protection;
use crate::inspect::rewind_on;
use crate::store::{Disk, name};

const LIMITS: Limits = Limits { contents: 2, singles: true, pairs: false, random: 1 };

type Disks = [Arc<SimulatedDisk>; 2];

fn restarted(images: &[Image; 2]) -> Disks {
    [0, 1].map(|rank| SimulatedDisk::new(images[rank].clone()))
}

fn images(disks: &Disks) -> [Image; 2] {
    [0, 1].map(|rank| disks[rank].live())
}

/// Starts the group, which loads, and saves these states. Returns what it loaded.
fn job(disks: &Disks, keep: usize, states: &[u64]) -> Option<u64> {
    let loaded = on_disks(disks, None, keep, |_, group| {
        let mut group = group.unwrap();
        let loaded = group.load().unwrap();
        states.iter().for_each(|state| _ = group.save(state).unwrap());
        loaded
    });
    let loaded: Vec<_> = loaded.into_iter().map(|(loaded, _)| loaded).collect();
    assert_eq!(loaded[0], loaded[1]);
    loaded[0]
}

fn rewind(disks: &Disks, to: u64) {
    let disk: Arc<dyn Disk> = Arc::new(Arc::clone(&disks[0]));
    rewind_on(&disk, Path::new(PATH), &Protection::new(), to).unwrap();
}

/// Cuts a rewind short at each moment. In each state that is left, the group can go to each of
/// these generations, whose states have their numbers; and after saves to those that are aside.
fn cut_short(before: &[Image; 2], to: u64, all: &[u64]) {
    let disks = restarted(before);
    rewind(&disks, to);
    let (base, events) = disks[0].record();
    let (mut cut, mut random) = (Cut::new(&base), Random(7));
    let mut states = Vec::new();
    for event in &events {
        if cut.advance(event) {
            cut.states(LIMITS, &mut random, |image| states.push(image));
        }
    }
    assert!(states.len() > 5, "{}", states.len());
    let aside = |image: &Image| -> Vec<u64> {
        let names = image.list(Path::new(PATH)).unwrap();
        names.iter().filter_map(|name| Some(name::rewound(name)?.generation)).collect()
    };
    for image in states {
        let then_aside = aside(&image);
        let left = [image, before[1].clone()];
        can_go_to(&left, all);
        let disks = restarted(&left);
        let loaded = job(&disks, 1, &[90, 91]).unwrap();
        assert!(all.contains(&loaded), "{loaded}");
        // Otherwise it was taken back: what it had set aside is again what retention removes.
        let stays = if loaded == to { then_aside } else { aside(&before[0]) };
        can_go_to(&images(&disks), &stays);
    }
}

fn can_go_to(left: &[Image; 2], all: &[u64]) {
    for to in all {
        let disks = restarted(left);
        rewind(&disks, *to);
        assert_eq!(job(&disks, 1, &[]), Some(*to));
    }
}

#[test]
fn a_power_cut_in_the_rewind_of_a_group_loses_no_part() {
    let disks = restarted(&[Image::new(), Image::new()]);
    job(&disks, 9, &[1, 2, 3]);
    let saved = images(&disks);
    cut_short(&saved, 1, &[1, 2, 3]);
    rewind(&disks, 1);
    assert_eq!(job(&disks, 1, &[4, 5]), Some(1));
    cut_short(&images(&disks), 3, &[2, 3, 5]);
}
