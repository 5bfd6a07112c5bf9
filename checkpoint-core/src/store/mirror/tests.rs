//! Copies without a thread: their bandwidth, and files that only their owner can read.

use std::io;
use std::num::NonZeroUsize;
use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use super::pace::tests::FakeClock;
use super::*;
use crate::container::{Compression, Source};
use crate::store::faults::{EIO, ENOSPC, Fault, FaultyDisk};
use crate::store::scripted::{Request, Script, Scripted};
use crate::store::{Directory, RealDisk, Settings, Writer};
use crate::{CheckpointReader, Checkpointer};

fn far(near: &Path, far: &Path, wanted: Wanted, per_second: Option<u64>, protection: &Protection) -> Mirror {
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::default());
    far_of(far, wanted, per_second, protection).reach(&near_on(near, disk), true).unwrap().0
}

fn far_of(far: &Path, wanted: Wanted, per_second: Option<u64>, protection: &Protection) -> Far {
    let home = Arc::new(Directory::new(far, Arc::new(RealDisk::default())));
    let claiming = Claiming { durable: true, ..Claiming::default() };
    Far { home, is_directory: true, claiming, wanted, per_second, protection: protection.clone() }
}

/// The near level, whose records are on this disk.
fn near_on(near: &Path, disk: Arc<dyn Disk>) -> Near {
    Near { home: Arc::new(Directory::new(near, Arc::new(RealDisk::default()))), disk, guard: None }
}

/// A mirror that gets all, and how it stands.
fn reached(near: &Path, far: &Path, disk: Arc<dyn Disk>) -> (Mirror, Standing) {
    far_of(far, Wanted::All, None, &Protection::new()).reach(&near_on(near, disk), true).unwrap()
}

fn clock() -> Arc<dyn Timing> {
    Arc::new(FakeClock::default())
}

#[test]
fn a_copy_takes_at_least_the_time_of_its_bandwidth() {
    let directory = tempfile::tempdir().unwrap();
    let (path, to) = (directory.path().join("near.ckpt"), directory.path().join("far.ckpt"));
    let mut checkpoints = Checkpointer::<Vec<u64>>::builder(&path).open().unwrap();
    let bytes: u64 = (0..2).map(|_| checkpoints.save(&vec![7; 100_000]).unwrap().bytes).sum();
    let (clock, rate) = (clock(), 64 << 10);
    let mut mirror = far(&path, &to, Wanted::All, Some(rate), &Protection::new());
    let updated = mirror.update(u64::MAX, true, &clock).unwrap();
    assert_eq!(updated.copied, [2, 1]);
    let took = clock.now().as_secs_f64();
    let least = (bytes - rate / 8) as f64 / rate as f64;
    // The file and the copy are read, each at eight times the speed.
    assert!((least..least * 1.3 + 1.0).contains(&took), "{bytes} bytes took {took} s");
}

#[test]
fn an_update_that_is_done_again_copies_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let (path, to) = (directory.path().join("near.ckpt"), directory.path().join("far.ckpt"));
    let mut checkpoints = Checkpointer::<u64>::builder(&path).open().unwrap();
    let update = || {
        let mut mirror = far(&path, &to, Wanted::All, None, &Protection::new());
        mirror.update(u64::MAX, true, &clock()).unwrap().copied
    };
    checkpoints.save(&1).unwrap();
    checkpoints.save(&2).unwrap();
    assert_eq!((update(), update()), (vec![2, 1], vec![]));
    checkpoints.save(&3).unwrap();
    assert_eq!((update(), update()), (vec![3], vec![]));
}

#[cfg(feature = "encryption")]
#[test]
fn what_only_others_can_read_is_copied_as_it_is() {
    let directory = tempfile::tempdir().unwrap();
    let (path, to) = (directory.path().join("near.ckpt"), directory.path().join("far.ckpt"));
    let identity = age::x25519::Identity::generate();
    let sealed = Protection::new().encrypt_to(&identity.to_public().to_string()).unwrap();
    let mut checkpoints = Checkpointer::<u64>::builder(&path).protection(sealed.clone()).open().unwrap();
    checkpoints.save(&7).unwrap();
    for protection in [Protection::new(), sealed] {
        let mut mirror = far(&path, &to, Wanted::All, None, &protection);
        assert_eq!(mirror.update(u64::MAX, true, &clock()).unwrap().copied, [1]);
        drop(mirror);
        let name = "00000000000000000001.ckpt";
        assert!(std::fs::read(path.join(name)).unwrap() == std::fs::read(to.join(name)).unwrap());
        std::fs::remove_dir_all(&to).unwrap();
        for entry in std::fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            if path.to_str().unwrap().contains(".mirrored-") {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
}

#[test]
fn a_mirror_replaces_no_whole_generation_even_when_asked() {
    let directory = tempfile::tempdir().unwrap();
    let (path, to) = (directory.path().join("near.ckpt"), directory.path().join("far.ckpt"));
    for (path, states) in [(&path, [1, 2]), (&to, [10, 20])] {
        let mut checkpoints = Checkpointer::<u64>::open(path).unwrap();
        for state in states {
            checkpoints.save(&state).unwrap();
        }
    }
    let disk: Arc<dyn Disk> = Arc::new(RealDisk::default());
    let settings = Settings {
        retention: Retention::newest(NonZeroUsize::MIN),
        compression: Compression::None,
        protection: Protection::new(),
        is_part: false,
    };
    let home = Directory::new(&path, Arc::clone(&disk));
    let mut writer = Writer::open(&home, settings, &Claiming::default()).unwrap();
    let records = Records::new(Arc::clone(&disk), &path, &to);
    let far = Directory::new(&to, disk);
    let file = |generation: u64| path.join(format!("{generation:020}.ckpt"));
    let before = [1, 2].map(|generation| std::fs::read(file(generation)).unwrap());
    assert_eq!(restore(&far, (&mut writer, &records), None, &clock()).unwrap().0, None);
    assert!([1, 2].map(|generation| std::fs::read(file(generation)).unwrap()) == before);
    std::fs::write(file(2), "damage").unwrap();
    assert_eq!(restore(&far, (&mut writer, &records), None, &clock()).unwrap().0, Some(2));
    assert!(std::fs::read(file(1)).unwrap() == before[0]);
}

#[test]
fn a_damaged_mirror_is_healed_and_what_cannot_be_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let (path, to) = (directory.path().join("near.ckpt"), directory.path().join("far.ckpt"));
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(3).open().unwrap();
    for state in 1..=3 {
        checkpoints.save(&state).unwrap();
    }
    let clock = clock();
    far(&path, &to, Wanted::All, None, &Protection::new()).update(u64::MAX, true, &clock).unwrap();
    let file = |path: &Path, generation: u64| path.join(format!("{generation:020}.ckpt"));
    let before = std::fs::read(file(&to, 3)).unwrap();
    for generation in [1, 3] {
        std::fs::write(file(&to, generation), "damage").unwrap();
    }
    std::fs::remove_file(file(&path, 1)).unwrap();
    let mut updated = Updated::default();
    let mut mirror = far(&path, &to, Wanted::All, None, &Protection::new());
    let lost = mirror.heal(&clock, &mut updated).unwrap();
    assert_eq!((lost, updated.healed), (vec![1], vec![3]));
    assert!(std::fs::read(file(&to, 3)).unwrap() == before);
    assert_eq!(CheckpointReader::<u64>::open(&to).unwrap().load().unwrap(), Some(3));
}

/// The mirror of a directory, on a disk that fails as planned, after generation 1 arrived.
fn after_the_first(path: &Path, to: &Path) -> (FaultyDisk, Mirror) {
    let real: Arc<dyn Disk> = Arc::new(RealDisk::default());
    let faulty = FaultyDisk::default();
    let near = Near { home: Arc::new(Directory::new(path, Arc::clone(&real))), disk: real, guard: None };
    let far = Far {
        home: Arc::new(Directory::new(to, Arc::new(faulty.clone()))),
        is_directory: true,
        claiming: Claiming { durable: true, ..Claiming::default() },
        wanted: Wanted::Newest(NonZeroU64::MIN, Retention::newest(NonZeroUsize::MIN)),
        per_second: None,
        protection: Protection::new(),
    };
    let (mut mirror, _) = far.reach(&near, true).unwrap();
    assert_eq!(mirror.update(1, true, &clock()).unwrap().copied, [1]);
    (faulty, mirror)
}

#[test]
fn a_name_at_the_mirror_that_is_not_durable_does_not_count() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("near.ckpt");
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(3).open().unwrap();
    checkpoints.save(&1).unwrap();
    checkpoints.save(&2).unwrap();
    let file = |to: &Path, generation: u64| to.join(format!("{generation:020}.ckpt"));
    let mut with_name = 0;
    for place in 0.. {
        let to = directory.path().join(format!("far-{place}.ckpt"));
        let (faulty, mut mirror) = after_the_first(&path, &to);
        faulty.plan(Some((place, Fault::Error(EIO))));
        let outcome = mirror.update(2, true, &clock());
        let is_over = faulty.asked().len() <= place;
        faulty.plan(None);
        if outcome.is_err() && mirror.not_lasting.contains(&2) {
            with_name += 1;
            assert!(file(&to, 1).exists() && file(&to, 2).exists());
            assert_eq!(mirror.newest().unwrap(), Some(1));
        }
        if outcome.is_err() && mirror.counted() == Some(1) {
            assert_eq!(mirror.update(2, true, &clock()).unwrap().copied, [2], "{place}");
        }
        assert_eq!(mirror.newest().unwrap(), Some(2), "{place}");
        if is_over {
            break;
        }
    }
    assert!(with_name > 0, "no sync of the directory failed");
}

#[test]
fn a_repair_that_failed_is_tried_again() {
    let directory = tempfile::tempdir().unwrap();
    let (path, to) = (directory.path().join("near.ckpt"), directory.path().join("far.ckpt"));
    Checkpointer::<u64>::open(&path).unwrap().save(&1).unwrap();
    let (_, mut mirror) = after_the_first(&path, &to);
    // The damaged one was moved out of the way, and the copy did not get its name.
    mirror.note_damaged([1]);
    std::fs::remove_file(to.join("00000000000000000001.ckpt")).unwrap();
    assert_eq!(mirror.update(1, true, &clock()).unwrap().copied, [1]);
}

#[test]
fn older_ones_stay_while_the_newest_of_a_mirror_is_damaged() {
    let directory = tempfile::tempdir().unwrap();
    let (path, to) = (directory.path().join("near.ckpt"), directory.path().join("far.ckpt"));
    let mut checkpoints = Checkpointer::<Vec<u64>>::builder(&path).keep_last(3).open().unwrap();
    for state in 1..=2 {
        checkpoints.save(&vec![state; 10_000]).unwrap();
    }
    far(&path, &to, Wanted::All, None, &Protection::new()).update(2, true, &clock()).unwrap();
    let file = |path: &Path, generation: u64| path.join(format!("{generation:020}.ckpt"));
    // A byte that the comparison of the two levels does not read.
    let mut bytes = std::fs::read(file(&to, 2)).unwrap();
    let middle = bytes.len() / 3;
    bytes[middle] ^= 1;
    std::fs::write(file(&to, 2), bytes).unwrap();
    let newest = Wanted::Newest(NonZeroU64::MIN, Retention::newest(NonZeroUsize::MIN));
    let mut mirror = far(&path, &to, newest, None, &Protection::new());
    assert_eq!(mirror.update(2, true, &clock()).unwrap().newest, Some(1));
    assert!(file(&to, 1).exists());
    assert_eq!(mirror.update(2, true, &clock()).unwrap().healed, [2]);
    assert!(!file(&to, 1).exists());
}

#[test]
fn what_is_pinned_on_one_level_keeps_both_from_a_discard() {
    let directory = tempfile::tempdir().unwrap();
    let (path, to) = (directory.path().join("near.ckpt"), directory.path().join("far.ckpt"));
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(9).open().unwrap();
    for state in 1..=3 {
        checkpoints.save(&state).unwrap();
    }
    let mut mirror = far(&path, &to, Wanted::All, None, &Protection::new());
    mirror.update(2, true, &clock()).unwrap();
    // The mirror does not have it.
    checkpoints.pin(3).unwrap();
    let error = mirror.discard_newer(1, &clock()).unwrap_err();
    assert!(matches!(error, Error::NotDiscarded { generation: 3, .. }), "{error}");
    assert_eq!(mirror.home().generations().unwrap(), [1, 2]);
    checkpoints.unpin(3).unwrap();
    mirror.discard_newer(1, &clock()).unwrap();
    assert_eq!(mirror.home().generations().unwrap(), [1]);
}

#[test]
fn a_discard_that_is_cut_short_sets_no_levels_apart() {
    for error in [EIO, ENOSPC] {
        for place in 0.. {
            let directory = tempfile::tempdir().unwrap();
            let (path, to) = (directory.path().join("near.ckpt"), directory.path().join("far.ckpt"));
            let file = |path: &Path, generation: u64| path.join(format!("{generation:020}.ckpt"));
            let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(99).open().unwrap();
            for state in 1..=7 {
                checkpoints.save(&state).unwrap();
                let mut mirror = far(&path, &to, Wanted::All, None, &Protection::new());
                mirror.update(state, true, &clock()).unwrap();
            }
            checkpoints.save(&8).unwrap();
            // The mirror does not keep the target, and no record tells of what it keeps before
            // that.
            let gone_here = [1, 3, 4, 5, 6, 7].map(|gone| file(&path, gone));
            gone_here.iter().chain([&file(&to, 2)]).for_each(|gone| std::fs::remove_file(gone).unwrap());
            let faulty = FaultyDisk::default();
            let (mut mirror, _) = reached(&path, &to, Arc::new(faulty.clone()));
            faulty.plan(Some((place, Fault::Error(error))));
            let outcome = mirror.discard_newer(2, &clock());
            let is_over = faulty.asked().len() <= place;
            faulty.plan(None);
            drop(mirror);
            let disk: Arc<dyn Disk> = Arc::new(RealDisk::default());
            assert_eq!(reached(&path, &to, disk).1, Standing::Behind, "{error} {place}");
            if is_over {
                outcome.unwrap();
                break;
            }
        }
    }
}

/// One read of a directory gives a wrong byte once, or its drafts get one.
#[derive(Default)]
struct Wrong {
    /// The number of the opening with a wrong read, counted down; 0 for none.
    opening: AtomicU64,
    /// True to write a wrong byte.
    writes: bool,
    /// True if drafts cannot be read, as those of a store.
    is_closed: bool,
}

/// The place of the wrong byte: in the middle, where no likeness looks.
const PLACE: u64 = 40_000;

struct WrongSource(Box<dyn Source>, AtomicU64);

impl Source for WrongSource {
    fn length(&self) -> u64 {
        self.0.length()
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        self.0.read_exact_at(buffer, offset)?;
        let place = PLACE.checked_sub(offset).and_then(|place| usize::try_from(place).ok());
        if let Some(byte) = place.and_then(|place| buffer.get_mut(place))
            && self.1.fetch_add(1, SeqCst) == 0
        {
            *byte ^= 1;
        }
        Ok(())
    }
}

impl Script for Wrong {
    fn opened(&self, source: Box<dyn Source>) -> Box<dyn Source> {
        let counted = self.opening.fetch_update(SeqCst, SeqCst, |number| number.checked_sub(1));
        if counted == Ok(1) { Box::new(WrongSource(source, AtomicU64::new(0))) } else { source }
    }

    fn write(&self, offset: u64, bytes: &mut [u8]) {
        let place = PLACE.checked_sub(offset).and_then(|place| usize::try_from(place).ok());
        if let Some(byte) = place.and_then(|place| bytes.get_mut(place)).filter(|_| self.writes) {
            *byte ^= 1;
        }
    }

    fn is_closed(&self) -> bool {
        self.is_closed
    }
}

#[test]
fn nothing_is_published_at_a_mirror_but_what_was_verified() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("near.ckpt");
    let mut checkpoints = Checkpointer::<Vec<u64>>::builder(&path).keep_last(3).open().unwrap();
    checkpoints.save(&vec![1; 10_000]).unwrap();
    checkpoints.save(&vec![2; 10_000]).unwrap();
    // The first opening is for the bytes to send, the second for their checksums.
    for (opening, writes, is_closed) in [(1, false, false), (1, false, true), (0, true, false)] {
        let case = format!("{opening} {writes} {is_closed}");
        let to = directory.path().join(&case);
        let near = Scripted::new(&path, Wrong::default());
        let right = || Scripted::new(&to, Wrong::default());
        let reach = |home: Scripted<Wrong>| {
            let far = Far {
                home: Arc::new(home),
                is_directory: true,
                claiming: Claiming { durable: true, ..Claiming::default() },
                wanted: Wanted::Newest(NonZeroU64::MIN, Retention::newest(NonZeroUsize::MIN)),
                per_second: None,
                protection: Protection::new(),
            };
            let disk: Arc<dyn Disk> = Arc::new(RealDisk::default());
            let near = Near { home: Arc::new(near.clone()), disk, guard: None };
            far.reach(&near, true).unwrap().0
        };
        assert_eq!(reach(right()).update(1, true, &clock()).unwrap().copied, [1], "{case}");
        let mut mirror = reach(Scripted::new(&to, Wrong { writes, is_closed, ..Wrong::default() }));
        near.opening.store(opening, SeqCst);
        let error = mirror.update(2, true, &clock()).unwrap_err();
        assert!(matches!(error, Error::Damaged { .. }), "{case}: {error}");
        assert_eq!(mirror.home().generations().unwrap(), [1], "{case}");
        drop(mirror);
        // It was no damage of the original.
        assert_eq!(reach(right()).update(2, true, &clock()).unwrap().copied, [2], "{case}");
        for entry in std::fs::read_dir(&path).unwrap() {
            let path = entry.unwrap().path();
            if crate::store::name::is_of_mirror(path.file_name().unwrap()) {
                std::fs::remove_file(path).unwrap();
            }
        }
    }
}

#[test]
fn a_file_that_is_not_given_keeps_no_other_from_the_mirror() {
    let directory = tempfile::tempdir().unwrap();
    let (path, to) = (directory.path().join("near.ckpt"), directory.path().join("far.ckpt"));
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(4).open().unwrap();
    for state in 1..=4 {
        checkpoints.save(&state).unwrap();
    }
    let faulty = FaultyDisk::default();
    let disk: Arc<dyn Disk> = Arc::new(faulty.clone());
    let near = Near { home: Arc::new(Directory::new(&path, Arc::clone(&disk))), disk, guard: None };
    let mut mirror = far_of(&to, Wanted::All, None, &Protection::new()).reach(&near, true).unwrap().0;
    for (unread, there) in [(4, vec![1, 2, 3]), (2, vec![1, 3, 4])] {
        let name = format!("{unread:020}.ckpt");
        faulty.be_unread(&name, usize::MAX);
        let error = mirror.update(4, true, &clock()).unwrap_err();
        assert!(error.is_unread() && error.to_string().contains(&name), "{error}");
        assert_eq!(mirror.home().generations().unwrap(), there);
        faulty.be_unread("", 0);
        assert_eq!(mirror.update(4, true, &clock()).unwrap().copied, [unread]);
        for generation in 1..=4 {
            mirror.claim.remove_at_once(generation).unwrap();
        }
    }
}

/// A directory whose file 1 is not given, or has a bad place in the middle.
#[derive(Default)]
struct BadPlace {
    /// 0 for none, 1 for all of the file, 2 for a place.
    bad: AtomicU64,
    /// The generation that was opened last.
    opened: AtomicU64,
}

struct BadSource(Box<dyn Source>);

impl Source for BadSource {
    fn length(&self) -> u64 {
        self.0.length()
    }
    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        if (offset..offset + buffer.len() as u64).contains(&PLACE) {
            return Err(io::Error::from_raw_os_error(EIO));
        }
        self.0.read_exact_at(buffer, offset)
    }
}

impl Script for BadPlace {
    fn ask(&self, request: Request) -> io::Result<()> {
        let Request::Open(generation) = request else { return Ok(()) };
        self.opened.store(generation, SeqCst);
        let is_bad = generation == 1 && self.bad.load(SeqCst) == 1;
        if is_bad { Err(io::Error::from_raw_os_error(EIO)) } else { Ok(()) }
    }

    fn opened(&self, source: Box<dyn Source>) -> Box<dyn Source> {
        let is_bad = self.opened.load(SeqCst) == 1 && self.bad.load(SeqCst) == 2;
        if is_bad { Box::new(BadSource(source)) } else { source }
    }
}

#[test]
fn a_file_that_a_mirror_does_not_give_is_healed_or_left() {
    let directory = tempfile::tempdir().unwrap();
    let (path, to) = (directory.path().join("near.ckpt"), directory.path().join("far.ckpt"));
    let mut checkpoints = Checkpointer::<Vec<u64>>::builder(&path).keep_last(3).open().unwrap();
    checkpoints.save(&vec![1; 10_000]).unwrap();
    checkpoints.save(&vec![2; 10_000]).unwrap();
    far(&path, &to, Wanted::All, None, &Protection::new()).update(2, true, &clock()).unwrap();
    let home = Scripted::new(&to, BadPlace::default());
    let mut far = far_of(&to, Wanted::All, None, &Protection::new());
    far.home = Arc::new(home.clone());
    let mut mirror = far.reach(&near_on(&path, Arc::new(RealDisk::default())), true).unwrap().0;
    let file = to.join("00000000000000000001.ckpt");
    let aside = to.join("00000000000000000001.ckpt.damaged");
    for (bad, healed, lost) in [(1, vec![], vec![1]), (2, vec![1], vec![])] {
        home.bad.store(bad, SeqCst);
        let mut updated = Updated::default();
        assert_eq!(mirror.heal(&clock(), &mut updated).unwrap(), lost, "{bad}");
        assert_eq!(updated.healed, healed, "{bad}");
        assert!(file.exists() && aside.exists() == (bad == 2));
        assert!(mirror.damaged_far.is_empty());
    }
}
