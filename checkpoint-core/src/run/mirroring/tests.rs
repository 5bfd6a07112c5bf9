//! Two levels: each is lost, damaged, away, ahead, or of another run.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Duration;

use crate::stop::{StopReason, request_requeue};
use crate::store::faults::EIO;
use crate::store::scripted::{Request, Script, Scripted};
use crate::store::{Directory, Home as _, RealDisk};
use crate::{Builder, CheckpointReader, Checkpointer, Error, Metadata, Metric, Mirror};

const LONG: Duration = Duration::from_secs(600);

/// Two directories, and the warnings of the programs that use them.
struct Bench {
    parent: tempfile::TempDir,
    near: PathBuf,
    far: PathBuf,
    warnings: Arc<Mutex<Vec<String>>>,
}

fn bench() -> Bench {
    let parent = tempfile::tempdir().unwrap();
    let (near, far) = (parent.path().join("near.ckpt"), parent.path().join("far.ckpt"));
    Bench { parent, near, far, warnings: Arc::default() }
}

fn file(directory: &Path, generation: u64) -> PathBuf {
    directory.join(format!("{generation:020}.ckpt"))
}

/// Changes a byte in the middle of a file.
fn damage(directory: &Path, generation: u64) {
    let path = file(directory, generation);
    let mut bytes = fs::read(&path).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn loaded(path: &Path) -> Option<u64> {
    CheckpointReader::<u64>::open(path).unwrap().load().unwrap()
}

fn generations(path: &Path) -> Vec<u64> {
    CheckpointReader::<u64>::open(path).unwrap().generations().unwrap()
}

impl Bench {
    fn plain(&self, path: &Path) -> Builder<u64> {
        let warnings = Arc::clone(&self.warnings);
        Checkpointer::builder(path)
            .on_warning(move |warning| warnings.lock().unwrap().push(warning.to_string()))
    }

    fn builder(&self, mirror: Mirror) -> Builder<u64> {
        self.plain(&self.near).mirror(mirror.retry(Duration::from_millis(1)))
    }

    fn open(&self) -> Checkpointer<u64> {
        self.builder(Mirror::to(&self.far)).open().unwrap()
    }

    /// Saves these states, each of which arrives.
    fn run(&self, states: impl IntoIterator<Item = u64>) {
        let mut checkpoints = self.open();
        for state in states {
            checkpoints.save(&state).unwrap();
            checkpoints.wait_for_mirror(LONG).unwrap();
        }
    }

    /// Leaves the directory as it was before the mirror went on to state 9.
    fn older_than_its_mirror(&self) {
        self.run(1..=3);
        let old = self.parent.path().join("old.ckpt");
        fs::rename(&self.near, &old).unwrap();
        self.run(4..=9);
        fs::remove_dir_all(&self.near).unwrap();
        fs::rename(&old, &self.near).unwrap();
    }

    fn warned(&self, text: &str) -> usize {
        self.warnings.lock().unwrap().iter().filter(|warning| warning.contains(text)).count()
    }
}

/// A directory can be out of reach, as a file server or an object store.
#[derive(Default)]
struct Flaky {
    is_away: AtomicBool,
    is_read_only: AtomicBool,
    /// The number of the listing that fails, counted down; 0 for none.
    failing_listing: AtomicU64,
    claims: AtomicU64,
    removals: AtomicU64,
    /// A generation that is listed, and is not there; 0 for none.
    lost: AtomicU64,
    /// True while no request is answered.
    hangs: Mutex<bool>,
    is_answered: Condvar,
    /// True to answer none from the next name on that a generation is to get.
    hangs_at_publish: AtomicBool,
    /// The number of the opening from which on none is answered, counted down; 0 for none.
    hangs_at_opening: AtomicU64,
    /// A generation whose file the device does not give: after so many openings, and so often.
    unread: Mutex<(u64, usize, usize)>,
}

impl Flaky {
    fn at(path: &Path) -> Scripted<Flaky> {
        Scripted::new(path, Flaky::default())
    }

    fn set_away(&self, is_away: bool) {
        self.is_away.store(is_away, Ordering::SeqCst);
    }

    fn set_read_only(&self, is_read_only: bool) {
        self.is_read_only.store(is_read_only, Ordering::SeqCst);
    }

    fn set_failing_listing(&self, number: u64) {
        self.failing_listing.store(number, Ordering::SeqCst);
    }

    fn claims(&self) -> u64 {
        self.claims.load(Ordering::SeqCst)
    }

    /// Fails so many openings of a generation, after others that succeed.
    fn be_unread(&self, generation: u64, after: usize, times: usize) {
        *self.unread.lock().unwrap() = (generation, after, times);
    }

    /// True if an opening failed since [`be_unread`](Flaky::be_unread).
    fn was_unread(&self, times: usize) -> bool {
        self.unread.lock().unwrap().2 < times
    }

    fn set_hangs(&self, hangs: bool) {
        *self.hangs.lock().unwrap() = hangs;
        self.is_answered.notify_all();
    }
}

impl Script for Flaky {
    fn ask(&self, request: Request) -> io::Result<()> {
        if matches!(request, Request::Has(_)) {
            return Ok(());
        }
        if request == Request::Publish && self.hangs_at_publish.load(Ordering::SeqCst) {
            self.set_hangs(true);
        }
        let count = |number: u64| number.checked_sub(1);
        if matches!(request, Request::Open(_))
            && self.hangs_at_opening.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count) == Ok(1)
        {
            self.set_hangs(true);
        }
        drop(self.is_answered.wait_while(self.hangs.lock().unwrap(), |hangs| *hangs).unwrap());
        let fails = self.is_away.load(Ordering::SeqCst)
            || request == Request::List
                && self.failing_listing.fetch_update(Ordering::SeqCst, Ordering::SeqCst, count) == Ok(1);
        if fails {
            return Err(io::ErrorKind::NetworkDown.into());
        }
        let mut unread = self.unread.lock().unwrap();
        let (generation, after, times) = &mut *unread;
        if request == Request::Open(*generation) {
            match after.checked_sub(1) {
                Some(rest) => *after = rest,
                None if *times > 0 => {
                    *times -= 1;
                    return Err(io::Error::from_raw_os_error(EIO));
                }
                None => {}
            }
        }
        drop(unread);
        if request == Request::Open(self.lost.load(Ordering::SeqCst)) {
            return Err(io::ErrorKind::NotFound.into());
        }
        if request == Request::Remove {
            self.removals.fetch_add(1, Ordering::SeqCst);
        }
        if request == Request::Claim {
            if self.is_read_only.load(Ordering::SeqCst) {
                return Err(io::ErrorKind::ReadOnlyFilesystem.into());
            }
            self.claims.fetch_add(1, Ordering::SeqCst);
        }
        Ok(())
    }
}

#[test]
fn each_generation_arrives_byte_for_byte() {
    let bench = bench();
    bench.run(1..=3);
    for generation in [2, 3] {
        assert!(
            fs::read(file(&bench.near, generation)).unwrap()
                == fs::read(file(&bench.far, generation)).unwrap()
        );
    }
    assert_eq!((generations(&bench.near), generations(&bench.far)), (vec![2, 3], vec![2, 3]));
    assert_eq!(bench.warnings.lock().unwrap()[..], [] as [String; 0]);
}

#[test]
fn a_lost_directory_comes_back_from_the_mirror() {
    let bench = bench();
    bench.run(1..=3);
    fs::remove_dir_all(&bench.near).unwrap();
    let mut checkpoints = bench.open();
    assert_eq!(bench.warned("has no usable checkpoint: generation 3 was copied here"), 1);
    assert_eq!(checkpoints.load().unwrap(), Some(3));
    assert_eq!(checkpoints.save(&4).unwrap().generation, 4);
    checkpoints.wait_for_mirror(LONG).unwrap();
    assert_eq!(loaded(&bench.far), Some(4));
}

#[test]
fn a_purge_while_the_program_runs_is_made_good_by_the_mirror() {
    let bench = bench();
    let mut checkpoints = bench.open();
    checkpoints.save(&1).unwrap();
    checkpoints.wait_for_mirror(LONG).unwrap();
    fs::remove_file(file(&bench.near, 1)).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(1));
}

#[test]
fn a_damaged_generation_is_replaced_by_that_of_the_mirror() {
    let bench = bench();
    bench.run(1..=3);
    for older_too in [false, true] {
        damage(&bench.near, 3);
        if older_too {
            damage(&bench.near, 2);
        }
        let mut checkpoints = bench.open();
        assert_eq!(checkpoints.load().unwrap(), Some(3), "not the older one");
        assert_eq!(bench.warned("was copied back from"), 1 + usize::from(older_too));
        let mut state = 0;
        assert!(checkpoints.load_into(&mut state).unwrap());
        assert_eq!(state, 3);
    }
    assert!(fs::read(file(&bench.near, 3)).unwrap() == fs::read(file(&bench.far, 3)).unwrap());
    assert!(bench.near.join("00000000000000000003.ckpt.damaged").exists(), "the evidence stays");
}

#[test]
fn a_damaged_mirror_is_replaced_by_the_directory() {
    let bench = bench();
    bench.run(1..=3);
    // The end of the file differs, so that the comparison at the start shows it.
    let bytes = fs::read(file(&bench.far, 3)).unwrap();
    fs::write(file(&bench.far, 3), &bytes[..bytes.len() - 7]).unwrap();
    let mut checkpoints = bench.open();
    checkpoints.wait_for_mirror(LONG).unwrap();
    assert!(fs::read(file(&bench.far, 3)).unwrap() == bytes);
    assert_eq!(bench.warned("generation 3 of"), 1);
    drop(checkpoints);
    assert_eq!(loaded(&bench.far), Some(3));
}

#[test]
fn a_whole_generation_is_never_replaced() {
    let bench = bench();
    bench.run(1..=2);
    // The directory is one ahead of the mirror, and its newest is whole.
    bench.plain(&bench.near).open().unwrap().save(&3).unwrap();
    let before = fs::read(file(&bench.near, 3)).unwrap();
    damage(&bench.near, 2);
    let mut checkpoints = bench.open();
    assert_eq!(checkpoints.load().unwrap(), Some(3));
    assert!(fs::read(file(&bench.near, 3)).unwrap() == before);
    checkpoints.wait_for_mirror(LONG).unwrap();
    assert_eq!(loaded(&bench.far), Some(3));
}

#[test]
fn damage_is_not_mirrored() {
    let bench = bench();
    bench.run(1..=2);
    bench.plain(&bench.near).open().unwrap().save(&3).unwrap();
    damage(&bench.near, 3);
    let mut checkpoints = bench.open();
    let error = checkpoints.wait_for_mirror(LONG).unwrap_err();
    assert!(error.to_string().contains("does not have it whole"), "{error}");
    assert_eq!(generations(&bench.far), [1, 2]);
    assert_eq!(checkpoints.load().unwrap(), Some(2));
    assert_eq!(checkpoints.save(&4).unwrap().generation, 4);
    checkpoints.wait_for_mirror(LONG).unwrap();
    assert_eq!(loaded(&bench.far), Some(4));
}

#[test]
fn a_mirror_that_is_away_fails_no_save_and_is_told_once() {
    let bench = bench();
    let far = Flaky::at(&bench.far);
    let mut checkpoints = bench.builder(Mirror::in_home(far.clone())).open().unwrap();
    checkpoints.save(&1).unwrap();
    checkpoints.wait_for_mirror(LONG).unwrap();
    for _ in 0..2 {
        bench.warnings.lock().unwrap().clear();
        far.set_away(true);
        for state in 2..=5 {
            checkpoints.save(&state).unwrap();
            let error = checkpoints.wait_for_mirror(LONG).unwrap_err();
            assert!(matches!(error, Error::NotMirrored { .. }), "{error}");
        }
        far.set_away(false);
        checkpoints.save(&6).unwrap();
        checkpoints.wait_for_mirror(LONG).unwrap();
        assert_eq!(bench.warned("gets no copies for now"), 1);
        // The warning comes just after the mirror has it.
        while bench.warned("is back") == 0 {
            std::thread::yield_now();
        }
    }
    assert_eq!(checkpoints.mirrored(), Some(11));
    drop(checkpoints);
    assert_eq!(loaded(&bench.far), Some(6));
}

#[test]
fn a_mirror_that_is_away_at_the_start_gets_its_copies_later() {
    let bench = bench();
    bench.run(1..=2);
    let far = Flaky::at(&bench.far);
    far.set_away(true);
    let mut checkpoints = bench.builder(Mirror::in_home(far.clone())).open().unwrap();
    for state in 3..=9 {
        checkpoints.save(&state).unwrap();
    }
    assert_eq!(bench.warned("gets no copies for now"), 1);
    far.set_away(false);
    checkpoints.wait_for_mirror(LONG).unwrap();
    drop(checkpoints);
    // None of the generations was on both levels.
    assert_eq!(loaded(&bench.far), Some(9));
}

#[test]
fn an_empty_directory_with_its_mirror_away_is_no_first_start() {
    let bench = bench();
    bench.run(1..=2);
    fs::remove_dir_all(&bench.near).unwrap();
    let far = Flaky::at(&bench.far);
    far.set_away(true);
    let error = bench.builder(Mirror::in_home(far.clone())).open().unwrap_err();
    assert!(matches!(error, Error::MirrorUnreachable { .. }), "{error}");
    far.set_away(false);
    let mut checkpoints = bench.builder(Mirror::in_home(far)).open().unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(2));
}

#[test]
fn a_mirror_whose_disk_is_missing_is_not_made_anew() {
    let bench = bench();
    bench.run(1..=2);
    let unmounted = bench.parent.path().join("unmounted");
    fs::rename(&bench.far, &unmounted).unwrap();
    let mut checkpoints = bench.open();
    checkpoints.save(&3).unwrap();
    let error = checkpoints.wait_for_mirror(LONG).unwrap_err();
    assert!(error.to_string().contains("mount its disk"), "{error}");
    assert!(!bench.far.exists());
    fs::rename(&unmounted, &bench.far).unwrap();
    checkpoints.wait_for_mirror(LONG).unwrap();
    // It goes away and comes back while the program runs, too.
    fs::rename(&bench.far, &unmounted).unwrap();
    checkpoints.save(&4).unwrap();
    checkpoints.wait_for_mirror(LONG).unwrap_err();
    assert!(!bench.far.exists());
    fs::rename(&unmounted, &bench.far).unwrap();
    checkpoints.wait_for_mirror(LONG).unwrap();
    drop(checkpoints);
    assert_eq!(loaded(&bench.far), Some(4));
}

#[test]
fn an_empty_mirror_gets_all_again_with_a_warning() {
    let bench = bench();
    bench.run(1..=2);
    fs::remove_dir_all(&bench.far).unwrap();
    fs::create_dir(&bench.far).unwrap();
    bench.open().wait_for_mirror(LONG).unwrap();
    assert_eq!(bench.warned("has none any more"), 1);
    assert_eq!(loaded(&bench.far), Some(2));
}

#[test]
fn a_kill_before_the_first_copy_after_a_restore_is_no_other_run() {
    // The program restores the directory, or the user does.
    for by_hand in [false, true] {
        let bench = bench();
        bench.run([1, 2]);
        fs::remove_dir_all(&bench.near).unwrap();
        if by_hand {
            fs::create_dir(&bench.near).unwrap();
            fs::copy(file(&bench.far, 2), file(&bench.near, 2)).unwrap();
        }
        let far = Flaky::at(&bench.far);
        let mut checkpoints = bench.builder(Mirror::in_home(far.clone())).open().unwrap();
        assert_eq!(checkpoints.load().unwrap(), Some(2));
        far.set_away(true);
        // Retention removes what was restored.
        for state in 3..=6 {
            checkpoints.save(&state).unwrap();
        }
        drop(checkpoints);
        assert_eq!(generations(&bench.near), [5, 6]);
        let mut checkpoints = bench.open();
        assert_eq!(checkpoints.load().unwrap(), Some(6));
        assert_eq!(checkpoints.wait_for_mirror(LONG).unwrap(), Some(6));
    }
}

#[test]
fn an_older_directory_goes_on_from_the_newer_mirror() {
    let bench = bench();
    bench.run(1..=2);
    let old = bench.parent.path().join("old.ckpt");
    fs::rename(&bench.near, &old).unwrap();
    // Another machine goes on, until the two have nothing in common.
    bench.run(3..=9);
    fs::remove_dir_all(&bench.near).unwrap();
    fs::rename(&old, &bench.near).unwrap();
    let mut checkpoints = bench.open();
    assert_eq!(bench.warned("is newer than"), 1);
    assert_eq!(checkpoints.load().unwrap(), Some(9));
    assert_eq!(checkpoints.save(&10).unwrap().generation, 10);
}

#[test]
fn a_newer_mirror_whose_newest_is_damaged_gives_the_one_before() {
    let bench = bench();
    bench.run(1..=3);
    fs::remove_dir_all(&bench.near).unwrap();
    damage(&bench.far, 3);
    let mut checkpoints = bench.open();
    assert_eq!(checkpoints.load().unwrap(), Some(2));
    // The number of the damaged one is not used again.
    assert_eq!(checkpoints.save(&4).unwrap().generation, 4);
    drop(checkpoints);
    fs::remove_dir_all(&bench.near).unwrap();
    for generation in generations(&bench.far) {
        fs::write(file(&bench.far, generation), "damage").unwrap();
    }
    let error = bench.builder(Mirror::to(&bench.far)).open().unwrap_err();
    assert!(matches!(error, Error::NoneUsable { .. }), "{error}");
}

#[test]
fn levels_that_went_apart_are_an_error_and_left_alone() {
    let bench = bench();
    bench.run(1..=3);
    let copy = bench.parent.path().join("copy.ckpt");
    fs::create_dir(&copy).unwrap();
    for entry in fs::read_dir(&bench.near).unwrap() {
        let entry = entry.unwrap();
        fs::copy(entry.path(), copy.join(entry.file_name())).unwrap();
    }
    bench.run([4]);
    // The copy went on without the mirror: the same number, other bytes.
    bench.plain(&copy).open().unwrap().save(&40).unwrap();
    let before = [generations(&copy), generations(&bench.far)];
    let error = bench.plain(&copy).mirror(Mirror::to(&bench.far)).open().unwrap_err();
    assert!(matches!(error, Error::MirrorApart { newest: 4, newest_there: 4, .. }), "{error}");
    assert_eq!([generations(&copy), generations(&bench.far)], before);
    assert_eq!((loaded(&copy), loaded(&bench.far)), (Some(40), Some(4)));
}

#[cfg(feature = "inspect")]
#[test]
fn a_copy_that_is_put_back_goes_on_from_the_newer_mirror() {
    let bench = bench();
    bench.run(1..=5);
    let backup = bench.parent.path().join("backup.ckpt");
    crate::inspect::copy(&bench.near, &backup).unwrap();
    // Retention leaves nothing at the mirror that the backup has.
    bench.run(6..=9);
    fs::remove_dir_all(&bench.near).unwrap();
    fs::rename(&backup, &bench.near).unwrap();
    let mut checkpoints = bench.builder(Mirror::to(&bench.far)).open().unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(9));
}

#[test]
fn a_run_that_went_on_alone_does_not_overwrite_the_mirror() {
    let bench = bench();
    bench.run(1..=3);
    let old = bench.parent.path().join("old.ckpt");
    fs::rename(&bench.near, &old).unwrap();
    bench.run(4..=6);
    fs::remove_dir_all(&bench.near).unwrap();
    fs::rename(&old, &bench.near).unwrap();
    // The older directory goes on while the mirror is away.
    let far = Flaky::at(&bench.far);
    far.set_away(true);
    let mut checkpoints = bench.builder(Mirror::in_home(far.clone())).open().unwrap();
    checkpoints.save(&40).unwrap();
    far.set_away(false);
    let error = checkpoints.wait_for_mirror(LONG).unwrap_err();
    assert!(error.to_string().contains("each have checkpoints"), "{error}");
    assert_eq!(bench.warned("gets no more copies in this run"), 1);
    checkpoints.save(&41).unwrap();
    assert_eq!(checkpoints.finish(&42).unwrap().mirrored, None);
    assert_eq!((loaded(&bench.near), loaded(&bench.far)), (Some(42), Some(6)));
}

#[test]
fn a_run_that_began_behind_its_mirror_sends_nothing() {
    let bench = bench();
    bench.run(1..=3);
    let old = bench.parent.path().join("old.ckpt");
    fs::rename(&bench.near, &old).unwrap();
    bench.run(4..=6);
    fs::remove_dir_all(&bench.near).unwrap();
    fs::rename(&old, &bench.near).unwrap();
    let far = Flaky::at(&bench.far);
    far.set_away(true);
    let mut checkpoints = bench.builder(Mirror::in_home(far.clone())).open().unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(3));
    far.set_away(false);
    // It works on an older state than the mirror has, before its first save already.
    checkpoints.wait_for_mirror(LONG).unwrap_err();
    checkpoints.save(&40).unwrap();
    checkpoints.wait_for_mirror(LONG).unwrap_err();
    assert_eq!(bench.warned("gets no more copies in this run"), 1);
    drop(checkpoints);
    assert_eq!(loaded(&bench.far), Some(6));
}

#[test]
fn the_place_of_another_run_is_refused() {
    let bench = bench();
    let other = bench.parent.path().join("other.ckpt");
    bench.plain(&other).open().unwrap().save(&70).unwrap();
    bench.plain(&bench.near).open().unwrap().save(&1).unwrap();
    let error = bench.builder(Mirror::to(&other)).open().unwrap_err();
    assert!(matches!(error, Error::MirrorApart { .. }), "{error}");
    assert_eq!((loaded(&bench.near), loaded(&other)), (Some(1), Some(70)));
    for path in [bench.near.clone(), bench.near.join("../near.ckpt")] {
        let error = bench.builder(Mirror::to(path)).open().unwrap_err();
        assert!(error.to_string().contains("the directory itself"), "{error}");
    }
}

#[test]
fn two_mirrors_cannot_use_one_place_at_a_time() {
    let bench = bench();
    let checkpoints = bench.open();
    let second = bench.parent.path().join("second.ckpt");
    let error = bench.plain(&second).mirror(Mirror::to(&bench.far)).open().unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    drop(checkpoints);
    bench.plain(&second).mirror(Mirror::to(&bench.far)).open().unwrap();
}

#[test]
fn a_mirror_keeps_by_its_own_rules_and_what_is_pinned_or_best() {
    let bench = bench();
    let mirror = Mirror::to(&bench.far).keep_last(1).keep_every(4);
    let mut checkpoints =
        bench.builder(mirror).keep_last(3).keep_best(Metric::lowest("loss"), 1).open().unwrap();
    for (number, loss) in [0.9, 0.1, 0.5, 0.4, 0.6, 0.7, 0.8, 0.9, 0.9].into_iter().enumerate() {
        let saved = checkpoints.save_with(&(number as u64), Metadata::new().with("loss", loss)).unwrap();
        if saved.generation == 6 {
            checkpoints.pin(6).unwrap();
        }
        checkpoints.wait_for_mirror(LONG).unwrap();
    }
    assert_eq!(generations(&bench.near), [2, 6, 7, 8, 9]);
    // A later update sees the pin of a generation that has arrived already.
    assert_eq!(generations(&bench.far), [2, 4, 6, 8, 9]);
    // At once: a program restores its lock in a directory that is half removed.
    let moved = bench.parent.path().join("moved.ckpt");
    fs::rename(&bench.near, &moved).unwrap();
    fs::remove_dir_all(&moved).unwrap();
    drop(checkpoints);
    assert_eq!(
        CheckpointReader::<u64>::open(&bench.far).unwrap().best(&Metric::lowest("loss")).unwrap(),
        Some(2)
    );
}

#[test]
fn the_last_generation_of_a_run_arrives_whatever_the_rule() {
    let bench = bench();
    let mirror = Mirror::to(&bench.far).every(3).keep_last(9);
    let mut checkpoints = bench.builder(mirror).open().unwrap();
    checkpoints.save(&1).unwrap();
    checkpoints.wait_for_mirror(LONG).unwrap();
    for state in 2..=7 {
        checkpoints.save(&state).unwrap();
        // Each is looked at, and not all are copied.
        while checkpoints.mirrored().unwrap_or(0) + 3 <= state {
            std::thread::yield_now();
        }
    }
    assert_eq!(generations(&bench.far), [1, 4, 7]);
    let finished = checkpoints.finish(&8).unwrap();
    assert_eq!(finished.mirrored, Some(8));
    assert_eq!(generations(&bench.far), [1, 4, 7, 8]);
}

#[test]
fn a_run_ends_though_its_mirror_is_away_and_says_so() {
    let bench = bench();
    let far = Flaky::at(&bench.far);
    let mut checkpoints = bench.builder(Mirror::in_home(far.clone())).open().unwrap();
    checkpoints.save(&1).unwrap();
    checkpoints.wait_for_mirror(LONG).unwrap();
    far.set_away(true);
    let finished = checkpoints.finish(&2).unwrap();
    assert_eq!((finished.saved.unwrap().generation, finished.mirrored), (2, Some(1)));
    assert_eq!(bench.warned("has those up to generation 1"), 1);
    far.set_away(false);
    bench.builder(Mirror::in_home(far)).open().unwrap().wait_for_mirror(LONG).unwrap();
    assert_eq!(loaded(&bench.far), Some(2));
}

#[test]
fn the_end_of_a_run_gives_up_a_slow_copy() {
    let bench = bench();
    let mirror = Mirror::to(&bench.far).at_most_per_second(1).wait_at_finish(Duration::ZERO);
    let mut checkpoints = bench.builder(mirror.clone()).open().unwrap();
    checkpoints.save(&1).unwrap();
    drop(checkpoints);
    assert_eq!(generations(&bench.far), [] as [u64; 0]);
    let checkpoints = bench.builder(mirror).open().unwrap();
    assert_eq!(checkpoints.finish(&2).unwrap().mirrored, None);
    let names = fs::read_dir(&bench.far).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), [".lock"]);
}

#[test]
fn a_generation_that_was_discarded_does_not_come_back() {
    let bench = bench();
    bench.run(1..=2);
    let mut checkpoints = bench.open();
    checkpoints.save(&3).unwrap();
    checkpoints.wait_for_mirror(LONG).unwrap();
    checkpoints.discard_newer(2).unwrap();
    assert_eq!((generations(&bench.near), generations(&bench.far)), (vec![2], vec![2]));
    drop(checkpoints);
    let mut checkpoints = bench.open();
    assert_eq!(checkpoints.load().unwrap(), Some(2));
    assert!(checkpoints.save(&30).unwrap().generation >= 3);
    checkpoints.wait_for_mirror(LONG).unwrap();
    drop(checkpoints);
    assert_eq!(loaded(&bench.far), Some(30));
}

#[test]
fn a_discard_leaves_a_generation_at_the_mirror() {
    let bench = bench();
    let mut checkpoints = bench.builder(Mirror::to(&bench.far).keep_last(1)).open().unwrap();
    for state in [1, 2] {
        checkpoints.save(&state).unwrap();
        checkpoints.wait_for_mirror(LONG).unwrap();
    }
    assert_eq!(generations(&bench.far), [2]);
    checkpoints.discard_newer(1).unwrap();
    // The run is killed here, and its machine is lost.
    assert_eq!(generations(&bench.far), [1]);
    drop(checkpoints);
    fs::remove_dir_all(&bench.near).unwrap();
    let mut checkpoints = bench.builder(Mirror::to(&bench.far)).open().unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(1));
}

#[test]
fn nothing_is_discarded_while_the_mirror_is_away() {
    let bench = bench();
    bench.run(1..=2);
    let far = Flaky::at(&bench.far);
    let mut checkpoints = bench.builder(Mirror::in_home(far.clone())).open().unwrap();
    far.set_away(true);
    checkpoints.discard_newer(1).unwrap_err();
    assert_eq!(checkpoints.load().unwrap(), Some(2));
    far.set_away(false);
    checkpoints.discard_newer(1).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(1));
}

#[cfg(unix)]
#[test]
fn settings_that_make_no_sense_are_refused() {
    let bench = bench();
    let to = || Mirror::to(&bench.far);
    let link = bench.parent.path().join("link");
    std::os::unix::fs::symlink(bench.parent.path(), &link).unwrap();
    for (mirror, text) in [
        (to().every(0), "every(0)"),
        (to().keep_last(0), "keep_last(0)"),
        (to().keep_every(0), "keep_every(0)"),
        (to().at_most_per_second(0), "at_most_per_second(0)"),
        (Mirror::to(&bench.near), "it is the directory itself"),
        (Mirror::to(link.join("near.ckpt")), "it is the directory itself"),
        (Mirror::to(link.join("near.ckpt/far.ckpt")), "it lies in the directory"),
        (Mirror::to(bench.parent.path()), "the directory lies in it"),
    ] {
        let error = bench.builder(mirror).open().unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }) && error.to_string().contains(text), "{error}");
    }
    let error = Checkpointer::<u64>::builder_in(Flaky::at(&bench.near)).mirror(to()).open().unwrap_err();
    assert!(error.to_string().contains("only a directory of this machine"), "{error}");
}

#[test]
fn no_copy_is_torn_by_saves_that_write_over_files() {
    let bench = bench();
    let warnings = Arc::clone(&bench.warnings);
    let mirror = Mirror::to(&bench.far).keep_last(1000);
    let builder = Checkpointer::<Vec<u64>>::builder(&bench.near).keep_last(1).mirror(mirror);
    let builder = builder.on_warning(move |warning| warnings.lock().unwrap().push(warning.to_string()));
    let mut checkpoints = builder.open().unwrap();
    for number in 1..=200 {
        // Files of many lengths, each over a retired one.
        checkpoints.save(&vec![number; 10_000 + usize::try_from(number * 7919 % 20_000).unwrap()]).unwrap();
    }
    assert_eq!(checkpoints.finish(&vec![7]).unwrap().mirrored, Some(201));
    assert_eq!(bench.warnings.lock().unwrap()[..], [] as [String; 0]);
    let mut reader = CheckpointReader::<Vec<u64>>::open(&bench.far).unwrap();
    for generation in generations(&bench.far) {
        let state = reader.load_generation(generation).unwrap();
        assert!(generation == 201 || state.iter().all(|value| *value == generation), "{generation}");
    }
}

#[test]
fn background_saves_arrive_too() {
    let bench = bench();
    let mut checkpoints = bench.open();
    for state in 1..=3 {
        checkpoints.save_in_background(&state).unwrap();
    }
    assert_eq!(checkpoints.wait_for_mirror(LONG).unwrap(), Some(3));
    assert_eq!(loaded(&bench.far), Some(3));
}

#[test]
fn no_older_generation_is_loaded_while_the_mirror_is_away() {
    for is_away_at_start in [false, true] {
        let bench = bench();
        bench.run(1..=3);
        damage(&bench.near, 3);
        let far = Flaky::at(&bench.far);
        far.set_away(is_away_at_start);
        let mut checkpoints = bench.builder(Mirror::in_home(far.clone())).open().unwrap();
        far.set_away(true);
        let error = checkpoints.load().unwrap_err();
        assert!(matches!(error, Error::MirrorUnreachable { .. }), "{error}");
        assert_eq!(checkpoints.load_generation(2).unwrap(), 2);
        far.set_away(false);
        // It is asked at once, and not after a pause.
        assert_eq!(checkpoints.load().unwrap(), Some(3));
    }
}

#[test]
fn nothing_is_taken_from_a_mirror_of_another_run() {
    let bench = bench();
    bench.older_than_its_mirror();
    let far = Flaky::at(&bench.far);
    far.set_away(true);
    let mut checkpoints = bench.builder(Mirror::in_home(far.clone())).open().unwrap();
    checkpoints.save(&40).unwrap();
    far.set_away(false);
    checkpoints.wait_for_mirror(LONG).unwrap_err();
    let newest = checkpoints.save(&50).unwrap().generation;
    damage(&bench.near, newest);
    assert_eq!(checkpoints.load().unwrap(), Some(40));
    assert!(checkpoints.discard_newer(newest - 1).is_err(), "it gets nothing more");
    assert_eq!(loaded(&bench.far), Some(9));
}

#[test]
fn a_kill_between_the_two_steps_of_a_repair_loses_nothing() {
    let bench = bench();
    bench.run(1..=3);
    // The damaged one is out of the way, and the copy has no name yet.
    fs::rename(file(&bench.near, 3), bench.near.join("00000000000000000003.ckpt.damaged")).unwrap();
    assert_eq!(bench.open().load().unwrap(), Some(3));
    // Nor does the loss of the newest file alone.
    fs::remove_file(file(&bench.near, 3)).unwrap();
    assert_eq!(bench.open().load().unwrap(), Some(3));
}

#[test]
fn nothing_that_was_sent_is_discarded_without_the_mirror() {
    let bench = bench();
    bench.run(1..=3);
    let mut checkpoints = bench.plain(&bench.near).keep_last(9).open().unwrap();
    let error = checkpoints.discard_newer(2).unwrap_err();
    assert!(error.to_string().contains("without its mirror"), "{error}");
    checkpoints.save(&4).unwrap();
    checkpoints.discard_newer(3).unwrap();
    drop(checkpoints);
    bench.open().discard_newer(2).unwrap();
    assert_eq!((generations(&bench.near), generations(&bench.far)), (vec![2], vec![2]));
}

#[test]
fn a_discard_that_fails_is_not_told_as_mirrored() {
    let bench = bench();
    let mirror = || Mirror::to(&bench.far).keep_last(9);
    let mut checkpoints = bench.builder(mirror()).keep_last(9).open().unwrap();
    for state in 1..=4 {
        checkpoints.save(&state).unwrap();
        checkpoints.wait_for_mirror(LONG).unwrap();
    }
    checkpoints.pin(3).unwrap();
    let error = checkpoints.discard_newer(2).unwrap_err();
    assert!(matches!(error, Error::NotDiscarded { .. }), "{error}");
    assert_eq!((generations(&bench.near), generations(&bench.far)), (vec![1, 2, 3, 4], vec![1, 2, 3, 4]));
    checkpoints.unpin(3).unwrap();
    // A reader of the mirror holds its generation.
    let home = Directory::new(&bench.far, Arc::new(RealDisk::default()));
    let held = home.open(3).unwrap();
    checkpoints.discard_newer(2).unwrap_err();
    let there = generations(&bench.far).last().copied();
    assert!(checkpoints.mirrored() <= there.max(Some(4)));
    checkpoints.wait_for_mirror(LONG).unwrap();
    assert_eq!(loaded(&bench.far), Some(4), "what the directory kept is mirrored again");
    drop(held);
    // A reader of the directory holds the one there.
    let home = Directory::new(&bench.near, Arc::new(RealDisk::default()));
    let held = home.open(3).unwrap();
    checkpoints.discard_newer(2).unwrap_err();
    let newest = checkpoints.wait_for_mirror(LONG).unwrap();
    assert_eq!(generations(&bench.far).last().copied(), newest);
    drop(held);
}

#[test]
fn a_mirror_on_a_disk_that_is_not_mounted_is_no_first_start() {
    let bench = bench();
    let disk = bench.parent.path().join("disk");
    let far = disk.join("run.ckpt");
    let open = || bench.builder(Mirror::to(&far)).open();
    fs::create_dir(&disk).unwrap();
    let mut checkpoints = open().unwrap();
    checkpoints.save(&1).unwrap();
    checkpoints.wait_for_mirror(LONG).unwrap();
    drop(checkpoints);
    fs::remove_dir_all(&bench.near).unwrap();
    let unmounted = bench.parent.path().join("unmounted");
    fs::rename(&disk, &unmounted).unwrap();
    let error = open().unwrap_err();
    assert!(matches!(error, Error::MirrorUnreachable { .. }), "{error}");
    assert!(error.to_string().contains("mount its disk"), "{error}");
    assert!(!disk.exists());
    fs::rename(&unmounted, &disk).unwrap();
    assert_eq!(open().unwrap().load().unwrap(), Some(1));
}

#[test]
fn damage_found_by_a_restart_does_not_count_at_the_mirror() {
    let bench = bench();
    bench.run(1..=3);
    fs::remove_dir_all(&bench.near).unwrap();
    damage(&bench.far, 3);
    let mirror = Mirror::to(&bench.far).keep_last(1);
    let mut checkpoints = bench.builder(mirror).open().unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(2));
    assert_eq!(checkpoints.wait_for_mirror(LONG).unwrap(), Some(2));
    assert_eq!(checkpoints.mirrored(), Some(2));
    drop(checkpoints);
    assert_eq!(loaded(&bench.far), Some(2), "the only whole one stays");
}

#[test]
fn a_mirror_that_cannot_be_written_stops_no_program() {
    let bench = bench();
    bench.run(1..=2);
    let far = Flaky::at(&bench.far);
    far.set_read_only(true);
    let mut checkpoints = bench.builder(Mirror::in_home(far.clone())).open().unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(2));
    checkpoints.save(&3).unwrap();
    assert_eq!(bench.warned("gets no copies for now"), 1);
    far.set_read_only(false);
    checkpoints.wait_for_mirror(LONG).unwrap();
}

#[test]
fn a_mirror_that_can_only_be_read_gives_what_it_has_more() {
    let bench = bench();
    bench.older_than_its_mirror();
    let far = Flaky::at(&bench.far);
    far.set_read_only(true);
    let mut checkpoints = bench.builder(Mirror::in_home(far.clone())).open().unwrap();
    assert_eq!(bench.warned("goes on from it"), 1);
    assert_eq!(checkpoints.load().unwrap(), Some(9));
    assert_eq!(checkpoints.save(&10).unwrap().generation, 10);
    let error = checkpoints.wait_for_mirror(LONG).unwrap_err();
    assert!(error.to_string().contains("read-only"), "{error}");
    assert_eq!(bench.warned("gets no copies for now"), 1);
    assert_eq!(far.claims(), 0);
    far.set_read_only(false);
    assert_eq!(checkpoints.wait_for_mirror(LONG).unwrap(), Some(10));
}

#[test]
fn a_listing_that_fails_once_skips_no_comparison() {
    let mut failed = 0;
    for number in 1.. {
        let bench = bench();
        bench.older_than_its_mirror();
        let far = Flaky::at(&bench.far);
        far.set_failing_listing(number);
        let opened = bench.builder(Mirror::in_home(far.clone())).open();
        if bench.warned("gets no copies for now") == 0 {
            // It is known to be ahead, and the program does not go on from less.
            assert!(opened.is_err(), "{number}");
            break;
        }
        let mut checkpoints = opened.unwrap();
        failed += 1;
        checkpoints.save(&40).unwrap();
        let error = checkpoints.wait_for_mirror(LONG).unwrap_err();
        assert!(error.to_string().contains("each have checkpoints"), "{number}: {error}");
        assert_eq!(checkpoints.mirrored(), None, "{number}");
    }
    assert!(failed >= 3, "before the claim, after it, and for the numbers in use: {failed}");
}

#[test]
fn no_mirror_is_taken_from_the_run_that_has_it() {
    let bench = bench();
    bench.older_than_its_mirror();
    // It went on while the mirror was away, and finds it with more.
    let far = Flaky::at(&bench.far);
    far.set_away(true);
    let mut checkpoints = bench.builder(Mirror::in_home(far.clone())).open().unwrap();
    far.set_away(false);
    checkpoints.wait_for_mirror(LONG).unwrap_err();
    checkpoints.save(&40).unwrap();
    checkpoints.wait_for_mirror(LONG).unwrap_err();
    checkpoints.discard_newer(3).unwrap_err();
    drop(checkpoints);
    assert_eq!(far.claims(), 0);
    // A path that was mistyped leads to another run.
    let error = bench.builder(Mirror::in_home(far.clone())).open().unwrap_err();
    assert!(matches!(error, Error::MirrorApart { .. }), "{error}");
    assert_eq!(far.claims(), 0);
}

#[test]
fn a_mirror_that_never_answers_holds_no_program_for_good() {
    let bench = bench();
    let far = Flaky::at(&bench.far);
    let soon = Duration::from_millis(300);
    let builder = || bench.builder(Mirror::in_home(far.clone()).patience(soon));
    far.set_hangs(true);
    let error = builder().open().unwrap_err();
    assert!(matches!(error, Error::MirrorUnreachable { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("no answer within 300ms"), "{text}");
    assert_eq!(text.matches("could not open the mirror").count(), 1, "{text}");
    far.set_hangs(false);
    far.wait_until_left();

    bench.run([1, 2]);
    let mut checkpoints = builder().open().unwrap();
    checkpoints.wait_for_mirror(LONG).unwrap();
    far.set_hangs(true);
    let error = checkpoints.discard_newer(1).unwrap_err();
    assert!(error.to_string().contains("no answer within 300ms"), "{error}");
    assert_eq!(generations(&bench.near), [1, 2], "nothing is removed here");
    far.set_hangs(false);
    // What the mirror may have removed in the end is sent again, and a later discard is a new one.
    checkpoints.save(&3).unwrap();
    checkpoints.wait_for_mirror(LONG).unwrap();
    checkpoints.discard_newer(2).unwrap();
    // Only the newest was sent at once; the discard may have come before the others.
    checkpoints.wait_for_mirror(LONG).unwrap();
    assert_eq!((loaded(&bench.near), loaded(&bench.far)), (Some(2), Some(2)));
}

/// Asks the program to stop while it reads its mirror.
struct Asking {
    near: PathBuf,
}

impl Script for Asking {
    fn ask(&self, request: Request) -> io::Result<()> {
        if matches!(request, Request::Open(_)) {
            request_requeue(&self.near, "the instance is reclaimed").unwrap();
        }
        Ok(())
    }
}

#[test]
fn a_request_that_comes_while_a_mirror_is_read_is_heard() {
    let bench = bench();
    bench.run(1..=3);
    fs::remove_dir_all(&bench.near).unwrap();
    let far = Scripted::new(&bench.far, Asking { near: bench.near.clone() });
    let mut checkpoints = bench.builder(Mirror::in_home(far)).open().unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(3));
    let reason = checkpoints.should_stop().cloned();
    assert!(matches!(reason, Some(StopReason::Requeue { .. })), "{reason:?}");
}

#[test]
fn the_end_of_its_time_ends_a_wait_for_a_mirror() {
    for has_saved in [false, true] {
        let bench = bench();
        if has_saved {
            bench.run([1]);
        }
        let _held = Checkpointer::<u64>::open(&bench.far).unwrap();
        let mirror = Mirror::to(&bench.far).patience(Duration::from_secs(60));
        let builder = bench.builder(mirror).wait_for(LONG).time_limit(Duration::from_millis(1));
        let error = builder.open().unwrap_err();
        assert!(matches!(&error, Error::StoppedWaiting { path, .. } if *path == bench.far), "{error}");
    }
}

#[test]
fn a_generation_that_a_mirror_has_lost_is_told() {
    let bench = bench();
    bench.run([1, 2]);
    fs::remove_dir_all(&bench.near).unwrap();
    let far = Flaky::at(&bench.far);
    far.lost.store(2, Ordering::SeqCst);
    let mut checkpoints = bench.builder(Mirror::in_home(far.clone())).open().unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(1));
    assert_eq!(bench.warned("it was listed a moment ago, and is gone"), 1);
}

#[test]
fn a_discard_that_was_given_up_removes_nothing_later() {
    let bench = bench();
    bench.run([1, 2]);
    let far = Flaky::at(&bench.far);
    // A loaded machine answers sooner.
    let soon = Duration::from_secs(3);
    let mut checkpoints = bench.builder(Mirror::in_home(far.clone()).patience(soon)).open().unwrap();
    checkpoints.wait_for_mirror(LONG).unwrap();
    far.set_hangs(true);
    let error = checkpoints.discard_newer(1).unwrap_err();
    assert!(error.to_string().contains("no answer within 3s"), "{error}");
    far.set_hangs(false);
    // The thread comes to this once it has ended the other.
    checkpoints.wait_for_mirror(LONG).unwrap();
    assert_eq!(far.removals.load(Ordering::SeqCst), 0);
    assert_eq!((generations(&bench.near), generations(&bench.far)), (vec![1, 2], vec![1, 2]));
}

#[test]
fn a_mirror_that_hangs_while_it_is_read_holds_up_no_start() {
    let soon = Duration::from_millis(300);
    let mut hung = Vec::new();
    for opening in 1.. {
        let bench = bench();
        bench.run([1, 2]);
        fs::remove_dir_all(&bench.near).unwrap();
        let far = Flaky::at(&bench.far);
        far.hangs_at_opening.store(opening, Ordering::SeqCst);
        let opened = bench.builder(Mirror::in_home(far.clone()).patience(soon)).open();
        far.hangs_at_opening.store(0, Ordering::SeqCst);
        far.set_hangs(false);
        match opened {
            Err(error) => {
                assert!(matches!(error, Error::MirrorUnreachable { .. }), "{opening}: {error}");
                hung.push(error.to_string());
            }
            Ok(mut checkpoints) => {
                assert_eq!(checkpoints.load().unwrap(), Some(2));
                break;
            }
        }
        far.wait_until_left();
        // Nothing is taken for a fresh start.
        assert_eq!(bench.open().load().unwrap(), Some(2), "{opening}");
    }
    assert!(hung.iter().all(|text| text.contains("no answer within 300ms")), "{hung:?}");
    // The run itself reads, once the first contact was made.
    assert!(hung.iter().any(|text| !text.contains("could not open the mirror")), "{hung:?}");
}

#[test]
fn a_mirror_that_hangs_while_it_is_read_holds_up_no_load() {
    let soon = Duration::from_millis(300);
    let mut hung = 0;
    for opening in 1.. {
        let bench = bench();
        bench.run([1, 2]);
        let far = Flaky::at(&bench.far);
        let mut checkpoints = bench.builder(Mirror::in_home(far.clone()).patience(soon)).open().unwrap();
        checkpoints.wait_for_mirror(LONG).unwrap();
        damage(&bench.near, 2);
        far.hangs_at_opening.store(opening, Ordering::SeqCst);
        let loaded = checkpoints.load();
        far.hangs_at_opening.store(0, Ordering::SeqCst);
        far.set_hangs(false);
        match loaded {
            Err(error) => {
                assert!(matches!(error, Error::MirrorUnreachable { .. }), "{opening}: {error}");
                hung += 1;
            }
            Ok(state) => {
                assert_eq!(state, Some(2));
                break;
            }
        }
        // It answers again.
        assert_eq!(checkpoints.load().unwrap(), Some(2), "{opening}");
    }
    assert!(hung > 0);
}

#[test]
fn a_thread_that_is_left_behind_changes_no_directory_any_more() {
    let bench = bench();
    let far = Flaky::at(&bench.far);
    let soon = Duration::from_millis(50);
    let mirror = Mirror::in_home(far.clone()).wait_at_finish(Duration::ZERO).patience(soon);
    bench.run([1]);
    let mut checkpoints = bench.builder(mirror).open().unwrap();
    checkpoints.wait_for_mirror(LONG).unwrap();
    let records = || {
        let names = fs::read_dir(&bench.near).unwrap().map(|entry| entry.unwrap().file_name());
        let names = names.filter(|name| crate::store::name::is_of_mirror(name));
        names.collect::<BTreeSet<_>>()
    };
    let before = records();
    // It is sent as far as its name, where the mirror hangs.
    far.hangs_at_publish.store(true, Ordering::SeqCst);
    checkpoints.save(&2).unwrap();
    while !*far.hangs.lock().unwrap() {
        std::thread::yield_now();
    }
    drop(checkpoints);
    assert_eq!(bench.warned("is left behind"), 1);
    let left = records();
    assert_ne!(left, before);
    let mut another = bench.plain(&bench.near).open().unwrap();
    far.hangs_at_publish.store(false, Ordering::SeqCst);
    far.set_hangs(false);
    far.wait_until_left();
    assert_eq!(records(), left);
    another.save(&3).unwrap();
}

#[test]
fn no_name_at_a_mirror_ends_the_saves_of_a_program() {
    for is_away_at_start in [false, true] {
        let bench = bench();
        bench.run(1..=3);
        fs::write(file(&bench.far, u64::MAX), "no checkpoint").unwrap();
        let far = Flaky::at(&bench.far);
        far.set_away(is_away_at_start);
        let mut checkpoints = bench.builder(Mirror::in_home(far.clone())).open().unwrap();
        far.set_away(false);
        assert_eq!(checkpoints.load().unwrap(), Some(3));
        assert_eq!(checkpoints.save(&4).unwrap().generation, 4);
        checkpoints.wait_for_mirror(LONG).unwrap();
        assert_eq!(checkpoints.mirrored(), Some(4));
        assert!(file(&bench.far, 4).exists());
    }
}

#[test]
fn a_first_start_at_an_empty_mount_point_is_told() {
    let bench = bench();
    let disk = bench.parent.path().join("disk");
    fs::create_dir(&disk).unwrap();
    let open = |name: &str| {
        let near = bench.parent.path().join(name);
        let mirror = Mirror::to(disk.join("run.ckpt"));
        drop(bench.plain(&near).mirror(mirror).open().unwrap());
    };
    open("near.ckpt");
    assert_eq!(bench.warned("is created in an empty directory"), 1);
    assert_eq!(bench.warned(&format!("mount the disk of {}", disk.display())), 1);
    fs::remove_dir_all(disk.join("run.ckpt")).unwrap();
    fs::write(disk.join("another"), "").unwrap();
    open("second.ckpt");
    assert_eq!(bench.warned("is created in an empty directory"), 1, "a disk in use is mounted");
}

#[cfg(feature = "encryption")]
#[test]
fn a_discard_ends_a_slow_read_of_an_encrypted_file() {
    let bench = bench();
    let identity = age::x25519::Identity::generate();
    let protection = crate::Protection::new().encrypt_to(&identity.to_public().to_string()).unwrap();
    let protection =
        protection.decrypt_with(age::secrecy::ExposeSecret::expose_secret(&identity.to_string())).unwrap();
    let mirror = Mirror::to(&bench.far).at_most_per_second(1).wait_at_finish(Duration::ZERO);
    let mut checkpoints = bench.builder(mirror).protection(protection).open().unwrap();
    checkpoints.save(&1).unwrap();
    checkpoints.save(&2).unwrap();
    // The thread reads for many seconds, and ends that for the discard.
    std::thread::sleep(Duration::from_millis(50));
    checkpoints.discard_newer(1).unwrap();
    assert_eq!(generations(&bench.near), [1]);
}

mod lost;
mod recorded;
mod unread;
