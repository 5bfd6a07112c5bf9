//! Cuts the power of real file systems, thousands of times, and loads the remains.
//!
//! A program saves on a disk that records every write and every flush. The record gives disks that
//! a power cut could have left: with all flushed writes, and with any part of the others, in any
//! order, the last write torn between sectors. The real kernel mounts each of them, and the
//! checkpoint that was acknowledged to the program must load.

mod device;
mod disks;
mod kernel;
mod workload;

use std::collections::HashSet;
use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;

use device::{Device, Event, Image};
use disks::Disks;
use kernel::{Kind, Mounted};
use workload::Promised;

const USAGE: &str = "\
usage: power-cut [--states N] [--file-system NAME] [--mutant]
  --states N            how many distinct states, over all file systems (5000)
  --file-system NAME    ext4, xfs or btrfs alone
  --mutant              save without syncs, which must lose something
";

struct Options {
    states: usize,
    only: Option<String>,
    mutant: bool,
}

fn options() -> Result<Options, String> {
    let mut options = Options { states: 5000, only: None, mutant: false };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let mut value = || arguments.next().ok_or(USAGE.to_owned());
        match argument.as_str() {
            "--states" => options.states = value()?.parse().map_err(|_| USAGE.to_owned())?,
            "--file-system" => options.only = Some(value()?),
            "--mutant" => options.mutant = true,
            _ => return Err(USAGE.to_owned()),
        }
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(usage) => {
            eprint!("{usage}");
            return ExitCode::from(2);
        }
    };
    let kinds: Vec<&Kind> =
        kernel::ALL.iter().filter(|kind| options.only.as_ref().is_none_or(|only| only == kind.name)).collect();
    let folder = tempfile::tempdir().expect("a temporary folder");
    let (files, mount) = (folder.path().join("disks"), folder.path().join("mounted"));
    std::fs::create_dir(&files).expect("a folder");
    std::fs::create_dir(&mount).expect("a folder");
    let disks = Disks::default();
    let session = disks.mount(&files).expect("FUSE: run this as root");
    let mut lost = 0;
    for kind in &kinds {
        let states = options.states.div_ceil(kinds.len());
        lost += Campaign { kind, disks: &disks, files: &files, mount: &mount }.run(states, !options.mutant);
    }
    drop(session);
    match (options.mutant, lost) {
        (false, 0) => ExitCode::SUCCESS,
        (true, 0) => {
            println!("nothing was lost without syncs either: this test finds nothing");
            ExitCode::FAILURE
        }
        (true, _) => ExitCode::SUCCESS,
        (false, _) => ExitCode::FAILURE,
    }
}

struct Campaign<'a> {
    kind: &'a Kind,
    disks: &'a Disks,
    files: &'a Path,
    mount: &'a Path,
}

/// The number of the recording disk; the disks made from the record have higher numbers.
const RECORDER: u64 = 0;

impl Campaign<'_> {
    /// Returns the number of states that broke a promise.
    fn run(&self, states: usize, durable: bool) -> usize {
        let recorder = Device::new(self.kind.make());
        self.disks.insert(RECORDER, Arc::clone(&recorder));
        let mounted = Mounted::new(&self.files.join(RECORDER.to_string()), self.mount).expect("it is mounted");
        let base = recorder.record();
        workload::run(&mounted.folder, &recorder, durable).expect("the program runs");
        let events = recorder.recorded();
        mounted.unmount().expect("it is unmounted");
        self.disks.remove(RECORDER);

        let flushes = events.iter().filter(|event| matches!(event, Event::Flush)).count();
        let writes = events.iter().filter(|event| matches!(event, Event::Write { .. })).count();
        println!("{}: {writes} writes, {flushes} flushes", self.kind.name);
        let mut cuts = Cuts::new(base, &events, self.kind.sector);
        let (mut seen, mut lost, mut number) = (HashSet::new(), 0, RECORDER);
        // The number of attempts is limited, because the different states may run out.
        for _ in 0..states * 200 {
            if seen.len() == states {
                break;
            }
            let (image, promised, hash) = cuts.next();
            if !seen.insert(hash) {
                continue;
            }
            number += 1;
            if let Err(why) = self.examine(number, image, &promised, number % 8 == 0) {
                lost += 1;
                if lost <= 5 {
                    println!("  {why}");
                }
            }
        }
        println!("{}: {} distinct states, {lost} broke a promise", self.kind.name, seen.len());
        lost
    }

    fn examine(&self, number: u64, image: Image, promised: &Promised, saves_again: bool) -> Result<(), String> {
        self.disks.insert(number, Device::new(image));
        let mounted = Mounted::new(&self.files.join(number.to_string()), self.mount)?;
        let checked = workload::check(&mounted.folder, promised, saves_again);
        mounted.unmount()?;
        self.disks.remove(number);
        checked
    }
}

/// Disks after power cuts, chosen with a fixed seed.
struct Cuts<'a> {
    base: Image,
    events: &'a [Event],
    /// The disk at regular numbers of events, so that not all is computed again each time.
    stages: Vec<Image>,
    sector: usize,
    random: u64,
}

const STAGE: usize = 200;

impl Cuts<'_> {
    fn new(base: Image, events: &[Event], sector: usize) -> Cuts<'_> {
        let mut stages = vec![base.clone()];
        let mut image = base.clone();
        for stage in events.chunks(STAGE) {
            stage.iter().for_each(|event| apply(&mut image, event));
            stages.push(image.clone());
        }
        Cuts { base, events, stages, sector, random: 0x9e37_79b9_7f4a_7c15 }
    }

    fn below(&mut self, end: usize) -> usize {
        self.random ^= self.random << 13;
        self.random ^= self.random >> 7;
        self.random ^= self.random << 17;
        (self.random % end as u64) as usize
    }

    /// The disk after this number of events.
    fn at(&self, events: usize) -> Image {
        let stage = events / STAGE;
        let mut image = self.stages.get(stage).unwrap_or(&self.base).clone();
        self.events[stage * STAGE..events].iter().for_each(|event| apply(&mut image, event));
        image
    }

    /// A disk, the promises to the program until then, and a hash that identifies the disk.
    fn next(&mut self) -> (Image, Promised, u64) {
        let end = self.below(self.events.len()) + 1;
        let flushed = self.events[..end].iter().rposition(|event| matches!(event, Event::Flush)).map_or(0, |at| at + 1);
        let mut promised = Promised::default();
        self.events[..end].iter().for_each(|event| promised.advance(event));
        let mut image = self.at(flushed);
        let pending: Vec<(u64, Arc<[u8]>)> = self.events[flushed..end]
            .iter()
            .filter_map(|event| match event {
                Event::Write { offset, bytes } => Some((*offset, Arc::clone(bytes))),
                _ => None,
            })
            .collect();
        let mut hash = DefaultHasher::new();
        flushed.hash(&mut hash);
        // None, all, or some of the writes that were not flushed.
        let way = self.below(6);
        let cut = self.below(pending.len() + 1);
        for (place, (offset, bytes)) in pending.iter().enumerate() {
            let is_there = match way {
                0 => false,
                1 => true,
                2 => place < cut,
                3 => place >= cut,
                _ => self.below(2) == 0,
            };
            if !is_there {
                continue;
            }
            // Sectors are whole; a write of several may be torn.
            let sectors = bytes.len() / self.sector;
            let torn = way >= 2 && sectors > 1 && self.below(8) == 0;
            let length = if torn { self.sector * self.below(sectors) } else { bytes.len() };
            image.write(*offset, &bytes[..length]);
            (place, length).hash(&mut hash);
        }
        (image, promised, hash.finish())
    }
}

fn apply(image: &mut Image, event: &Event) {
    if let Event::Write { offset, bytes } = event {
        image.write(*offset, bytes);
    }
}
