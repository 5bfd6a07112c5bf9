//! Long states on file systems of all kinds, with and without direct I/O, and on disks that fill up
//! in the middle of a save.

#![cfg(target_os = "linux")]

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::common::{file_of, inside, once_more_with_own_mounts, run, skipping, temporaries_in};
use checkpointed::{Appended, CheckpointReader, Checkpointer, Error, Metadata, checkpointed};

/// A kind of file system, with this size in MiB.
#[derive(Clone, Copy, Debug)]
enum Kind {
    Tmpfs,
    /// In a file; only root may mount it.
    Image(&'static str),
}

const MIB: usize = 1 << 20;

/// Runs a command. `false`, with a message, if it cannot be run here.
fn can_run(program: &str, arguments: &[&str]) -> bool {
    match Command::new(program).args(arguments).output() {
        Ok(output) if output.status.success() => true,
        Ok(output) => {
            skipping(&format!("{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr)));
            false
        }
        Err(error) => {
            skipping(&format!("{program}: {error}"));
            false
        }
    }
}

/// Mounts a file system at `place`. `None` if that is not possible here.
fn mounted(kind: Kind, mib: usize, place: &Path) -> Option<PathBuf> {
    let top = place.join("mounted");
    fs::create_dir_all(&top).unwrap();
    let at = top.to_str().unwrap();
    let made = match kind {
        Kind::Tmpfs => can_run("mount", &["-t", "tmpfs", "-o", &format!("size={mib}m"), "tmpfs", at]),
        Kind::Image(name) => {
            let image = place.join("image");
            fs::File::create(&image).unwrap().set_len((mib * MIB) as u64).unwrap();
            let image = image.to_str().unwrap();
            can_run(&format!("mkfs.{name}"), &["-q", image])
                && can_run("mount", &["-t", name, "-o", "loop", image, at])
        }
    };
    made.then_some(top)
}

/// Runs `work` in a file system that no other process sees.
fn on(test: &str, kind: Kind, mib: usize, work: impl FnOnce(PathBuf)) {
    let Some(place) = inside() else {
        let parent = tempfile::tempdir().unwrap();
        once_more_with_own_mounts(test, parent.path());
        return;
    };
    let Some(top) = mounted(kind, mib, &place) else { return };
    work(top.join("run.ckpt"));
    // The image is removed with its directory.
    assert!(can_run("umount", &[top.to_str().unwrap()]));
}

/// A state of this number of MiB, identified by its number.
fn state(number: u64, mib: usize) -> Vec<u64> {
    (0..).map(|place| place ^ number << 40).take(mib * MIB / 8).collect()
}

fn long_states_are_saved_recycled_and_loaded(path: &Path) {
    let mut checkpoints = Checkpointer::open(path).unwrap();
    for number in 1..=6 {
        checkpoints.save(&state(number, 5)).unwrap();
        assert!(checkpoints.load().unwrap().unwrap() == state(number, 5), "{number}");
        checkpoints.save_in_background(&state(number + 10, 3)).unwrap();
        checkpoints.wait().unwrap();
        let mut into = vec![0; 3 * MIB / 8];
        assert!(checkpoints.load_into(&mut into).unwrap());
        assert!(into == state(number + 10, 3), "{number}");
    }
}

#[test]
fn long_states_are_kept_in_memory_of_the_system() {
    let test = "long_states_are_kept_in_memory_of_the_system";
    on(test, Kind::Tmpfs, 64, |path| long_states_are_saved_recycled_and_loaded(&path));
}

#[test]
fn long_states_are_kept_on_a_disk_with_a_journal() {
    let test = "long_states_are_kept_on_a_disk_with_a_journal";
    on(test, Kind::Image("ext4"), 64, |path| long_states_are_saved_recycled_and_loaded(&path));
}

/// Checks that a save without enough space fails and returns the space that it took. The earlier
/// state remains, and a state that fits is saved afterwards.
fn a_disk_that_fills_up_in_mid_save_costs_nothing_but_that_save(path: &Path) {
    let number = |loaded: Option<Vec<u64>>| loaded.map(|state| state[0] >> 40);
    let mut checkpoints = Checkpointer::open(path).unwrap();
    let fails = |checkpoints: &mut Checkpointer<Vec<u64>>, in_background: bool, left: Option<u64>| {
        let large = state(99, 64);
        let error = if in_background {
            checkpoints.save_in_background(&large).unwrap();
            checkpoints.wait().unwrap_err()
        } else {
            checkpoints.save(&large).unwrap_err()
        };
        assert!(matches!(error, Error::NoSpace { .. }), "{error:?}");
        assert!(error.to_string().contains("free some space"), "{error}");
        assert_eq!(temporaries_in(path), [""; 0], "the space is given back");
        let mut reader = CheckpointReader::<Vec<u64>>::open(path).unwrap();
        assert_eq!(number(reader.load().unwrap()), left);
        assert!(reader.last_load().is_none_or(|report| report.skipped.is_empty()));
    };
    fails(&mut checkpoints, false, None);
    for round in 1..=4 {
        checkpoints.save(&state(round, 4)).unwrap();
        fails(&mut checkpoints, round % 2 == 0, Some(round));
        fails(&mut checkpoints, round % 2 == 1, Some(round));
    }
}

#[test]
fn memory_that_fills_up_in_mid_save_costs_nothing_but_that_save() {
    let test = "memory_that_fills_up_in_mid_save_costs_nothing_but_that_save";
    on(test, Kind::Tmpfs, 32, |path| a_disk_that_fills_up_in_mid_save_costs_nothing_but_that_save(&path));
}

#[test]
fn a_journaled_disk_that_fills_in_mid_save_costs_that_save_only() {
    let test = "a_journaled_disk_that_fills_in_mid_save_costs_that_save_only";
    on(test, Kind::Image("ext4"), 32, |path| {
        a_disk_that_fills_up_in_mid_save_costs_nothing_but_that_save(&path);
    });
}

#[test]
fn states_of_one_shape_have_files_of_one_length() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let builder = Checkpointer::<(u64, Vec<f64>)>::builder(&path).durable(false);
    let mut checkpoints = builder.open().unwrap();
    let mut lengths = std::collections::BTreeSet::new();
    for step in 0..120_u32 {
        let state = (u64::from(step).pow(5), vec![f64::from(step) / 7.0; 1000]);
        let metadata =
            Metadata::new().with("loss", 1.0 / f64::from(step)).with("epoch", step).with("ok", step > 50);
        let saved = checkpoints.save_with(&state, metadata).unwrap();
        assert_eq!(fs::metadata(file_of(&path, saved.generation)).unwrap().len(), saved.bytes);
        lengths.insert(saved.bytes);
    }
    assert_eq!(lengths.len(), 1, "{lengths:?}");
}

/// It takes 5 GiB of the disk and 10 GiB of memory: `cargo test -p checkpointed-tests --release
/// --test main file_systems:: -- --ignored`.
#[test]
#[ignore = "it takes 5 GiB of the disk and 10 GiB of memory"]
fn an_array_of_more_than_four_gigabytes_comes_back() {
    const LENGTH: usize = (4 << 30) / 8 + 1000;
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let mut checkpoints = Checkpointer::open(&path).unwrap();
    let state: (Vec<u64>, Vec<u8>) =
        ((0..LENGTH as u64).map(|place| place.wrapping_mul(place)).collect(), vec![7; 100]);
    let saved = checkpoints.save(&state).unwrap();
    assert!(saved.bytes > 4 << 30);
    assert!(checkpoints.load().unwrap().unwrap() == state);
    let program = "
import sys, zipfile
with zipfile.ZipFile(sys.argv[1]) as archive:
    assert archive.testzip() is None
    print([info.file_size for info in archive.infolist()][:2], archive.getinfo('0.npy').header_offset)
";
    if let Some(printed) = crate::common::python::python(program, &file_of(&path, 1)) {
        assert!(printed.starts_with(&format!("[{}, ", LENGTH * 8 + 4096)), "{printed}");
    }
}

#[checkpointed]
struct Log {
    step: u64,
    lines: Appended,
}

impl Log {
    /// Writes 20 kB.
    fn advance(&mut self) -> std::io::Result<()> {
        self.step += 1;
        self.lines.write_all(&line(self.step))
    }
}

fn line(step: u64) -> Vec<u8> {
    format!("{step:019}\n").repeat(1000).into_bytes()
}

/// What a command prints.
fn printed(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap().lines().last().unwrap_or_default().trim().to_owned()
}

/// The device has no more room for a while. The system drops what it could not write, and shows it
/// as written.
#[test]
fn bytes_of_a_failed_sync_are_on_the_disk_after_the_next() {
    let Some(place) = inside() else {
        let parent = tempfile::tempdir().unwrap();
        let test = "bytes_of_a_failed_sync_are_on_the_disk_after_the_next";
        once_more_with_own_mounts(test, parent.path());
        return;
    };
    let Some(device) = mounted(Kind::Tmpfs, 200, &place) else { return };
    let Some(top) = mounted(Kind::Image("ext4"), 160, &device) else { return };
    let (device, top, image) = (device.to_str().unwrap(), top.to_str().unwrap(), device.join("image"));
    // The driver of the device would take a part of a longer request for all of it.
    let source = printed("findmnt", &["-no", "SOURCE", top]);
    let longest = format!("/sys/block/{}/queue/max_sectors_kb", source.trim_start_matches("/dev/"));
    if let Err(error) = fs::write(&longest, "4") {
        return skipping(&format!("{longest}: {error}"));
    }

    let (path, file) = (place.join("run.ckpt"), Path::new(top).join("log"));
    let mut checkpoints = Checkpointer::<Log>::open(&path).unwrap();
    let mut log = Log { step: 0, lines: Appended::at(&file) };
    (0..50).for_each(|_| log.advance().unwrap());
    checkpoints.save(&log).unwrap();
    let used: u64 = printed("df", &["-k", "--output=used", device]).parse().unwrap();
    let is_full = (used..used + 400).step_by(4).any(|size| {
        let size = format!("remount,size={size}k");
        Command::new("mount").args(["-o", &size, device]).output().unwrap().status.success()
    });
    assert!(is_full);
    let mut failed = 0;
    for _ in 0..3 {
        (0..50).for_each(|_| log.advance().unwrap());
        failed += u32::from(checkpoints.save(&log).is_err());
    }
    run("mount", &["-o", "remount,size=200m", device]);
    assert!(failed > 0, "the device was full");
    log.advance().unwrap();
    checkpoints.save(&log).unwrap();
    let steps = log.step;
    drop((checkpoints, log));

    run("umount", &[top]);
    run("mount", &["-o", "loop", image.to_str().unwrap(), top]);
    let expected: Vec<u8> = (1..=steps).flat_map(line).collect();
    assert!(fs::read(&file).unwrap() == expected, "the disk lacks bytes that a checkpoint counts on");
    let log = Checkpointer::<Log>::open(&path).unwrap().load().unwrap().unwrap();
    assert_eq!(log.step, steps);
    drop(log);
    run("umount", &[top]);
    run("umount", &[device]);
}
