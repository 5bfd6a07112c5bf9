//! The place of the mirror is lost, replaced or refused, and the run or its start says so.

use super::*;
use crate::store::faults::{ENOSPC, Fault, FaultyDisk};

/// Loses the far directory, which has two generations, in one of these ways.
const WAYS: [&str; 3] = ["emptied", "another, empty one", "another one with generation 1"];

impl Bench {
    fn lose_far(&self, way: &str) {
        if way == "emptied" {
            for generation in [1, 2] {
                fs::remove_file(file(&self.far, generation)).unwrap();
            }
            return;
        }
        let another = self.parent.path().join("another.ckpt");
        fs::create_dir(&another).unwrap();
        if way.contains("generation 1") {
            fs::copy(file(&self.far, 1), file(&another, 1)).unwrap();
        }
        self.remove_far();
        fs::rename(&another, &self.far).unwrap();
    }

    /// Removes the far directory at once: a program restores its lock in one that is half removed.
    fn remove_far(&self) {
        let moved = self.parent.path().join("moved.ckpt");
        fs::rename(&self.far, &moved).unwrap();
        fs::remove_dir_all(&moved).unwrap();
    }

    /// Saves these two states, and waits until the mirror has them.
    fn mirrored_twice(&self) -> Checkpointer<u64> {
        let mut checkpoints = self.open();
        for state in [1, 2] {
            checkpoints.save(&state).unwrap();
            checkpoints.wait_for_mirror(LONG).unwrap();
        }
        checkpoints
    }
}

#[test]
fn a_mirror_that_was_removed_is_not_told_as_mirrored() {
    let bench = bench();
    let mut checkpoints = bench.mirrored_twice();
    bench.remove_far();
    let error = checkpoints.wait_for_mirror(LONG).unwrap_err();
    assert!(error.to_string().contains("it was there before"), "{error}");
    assert_eq!(checkpoints.mirrored(), None);
    let finished = checkpoints.finish(&2).unwrap();
    assert_eq!((finished.saved, finished.mirrored), (None, None));
    assert_eq!(bench.warned("is not known to have any"), 1);
    assert!(!bench.far.exists());

    // The end finds it by itself.
    bench.warnings.lock().unwrap().clear();
    fs::create_dir(&bench.far).unwrap();
    let mut checkpoints = bench.open();
    checkpoints.wait_for_mirror(LONG).unwrap();
    bench.remove_far();
    assert_eq!(checkpoints.finish(&2).unwrap().mirrored, None);
    assert_eq!(bench.warned("is not known to have any"), 1);
}

#[test]
fn what_a_mirror_lost_is_copied_anew_before_the_end() {
    for way in WAYS {
        let bench = bench();
        let checkpoints = bench.mirrored_twice();
        bench.lose_far(way);
        assert_eq!(checkpoints.finish(&2).unwrap().mirrored, Some(2), "{way}");
        assert!(file(&bench.far, 2).exists(), "{way}");
        assert_eq!(loaded(&bench.far), Some(2), "{way}");
        assert_eq!(bench.warned("does not have generation 2 any more"), 1, "{way}");
    }
}

#[test]
fn what_a_mirror_lost_is_copied_anew_before_a_wait_ends() {
    for way in WAYS {
        let bench = bench();
        let mut checkpoints = bench.mirrored_twice();
        bench.lose_far(way);
        assert_eq!(checkpoints.wait_for_mirror(LONG).unwrap(), Some(2), "{way}");
        assert!(file(&bench.far, 2).exists(), "{way}");
        assert_eq!(bench.warned("does not have generation 2 any more"), 1, "{way}");
    }
}

#[test]
fn what_a_mirror_lost_and_cannot_get_is_not_told() {
    let bench = bench();
    let mut checkpoints = bench.mirrored_twice();
    fs::remove_file(file(&bench.near, 2)).unwrap();
    fs::remove_file(file(&bench.far, 2)).unwrap();
    checkpoints.wait_for_mirror(LONG).unwrap_err();
    assert_eq!(checkpoints.mirrored(), Some(1));
    fs::remove_file(file(&bench.near, 1)).unwrap();
    fs::remove_file(file(&bench.far, 1)).unwrap();
    checkpoints.wait_for_mirror(LONG).unwrap_err();
    assert_eq!(checkpoints.mirrored(), None);
}

#[test]
fn no_end_waits_long_for_a_mirror_that_has_all_and_is_silent() {
    for wait_at_finish in [LONG, Duration::ZERO] {
        let bench = bench();
        let far = Flaky::at(&bench.far);
        let mirror = Mirror::in_home(far.clone()).wait_at_finish(wait_at_finish);
        let mut checkpoints = bench.builder(mirror.patience(Duration::from_millis(300))).open().unwrap();
        checkpoints.save(&1).unwrap();
        checkpoints.wait_for_mirror(LONG).unwrap();
        far.set_hangs(true);
        assert_eq!(checkpoints.finish(&1).unwrap().mirrored, Some(1));
        let told = usize::from(!wait_at_finish.is_zero());
        assert_eq!(bench.warned("gave no answer within 300ms"), told, "{:?}", bench.warnings);
        far.set_hangs(false);
        far.wait_until_left();
    }
}

#[test]
fn a_start_that_its_mirror_refuses_names_it_and_leaves_nothing() {
    let bench = bench();
    bench.run(1..=2);
    fs::remove_dir_all(&bench.near).unwrap();
    let far = Flaky::at(&bench.far);
    let deep = bench.parent.path().join("a/b/near.ckpt");
    let open = |near: &Path| bench.plain(near).mirror(Mirror::in_home(far.clone())).open().unwrap_err();
    far.set_read_only(true);
    for near in [&bench.near, &deep] {
        let error = open(near).to_string();
        let copy = format!("`ckpt copy {} {}`", bench.far.display(), near.display());
        let mirror = format!("the mirror {}", bench.far.display());
        assert!(error.contains(&mirror) && error.contains(&copy), "{error}");
        assert!(!error.contains("CheckpointReader"), "{error}");
    }
    far.set_away(true);
    let error = open(&bench.near);
    assert!(matches!(error, Error::MirrorUnreachable { .. }), "{error}");
    let names = fs::read_dir(bench.parent.path()).unwrap().map(|entry| entry.unwrap().file_name());
    assert_eq!(names.collect::<Vec<_>>(), ["far.ckpt"]);
    // What the user made stays.
    fs::create_dir(&bench.near).unwrap();
    fs::write(bench.near.join("notes.txt"), "").unwrap();
    open(&bench.near);
    assert!(bench.near.join("notes.txt").exists());
}

#[test]
fn a_full_disk_at_a_first_start_is_told_as_that_of_the_mirror() {
    let bench = bench();
    let disk = FaultyDisk::default();
    let mirror = Mirror::to(&bench.far).disk(Arc::new(disk.clone()));
    bench.builder(mirror.clone()).open().unwrap();
    let asked = disk.asked();
    let create = asked.iter().position(|asked| asked == "create directory far.ckpt").unwrap();
    // Its name fails to be synced, too.
    for place in [create, create + 1] {
        fs::remove_dir_all(&bench.near).unwrap();
        fs::remove_dir_all(&bench.far).unwrap();
        disk.plan(Some((place, Fault::Error(ENOSPC))));
        let error = bench.builder(mirror.clone()).open().unwrap_err().to_string();
        assert!(error.contains(&format!("the mirror {}", bench.far.display())), "{error}");
        assert!(error.contains("free some space there"), "{error}");
        assert!(!bench.near.exists() && !bench.far.exists(), "{place} of {asked:?}");
        disk.plan(None);
        bench.builder(mirror.clone()).open().unwrap();
    }
}

#[test]
fn levels_apart_are_told_with_what_each_reason_asks_for() {
    let bench = bench();
    let other = bench.parent.path().join("other.ckpt");
    bench.plain(&other).open().unwrap().save(&70).unwrap();
    bench.plain(&bench.near).open().unwrap().save(&1).unwrap();
    let error = bench.builder(Mirror::to(&other)).open().unwrap_err().to_string();
    for text in ["two runs", "one checkpoint", "an older copy", "lost some of its files"] {
        assert!(error.contains(text), "{text}: {error}");
    }
}

#[test]
fn a_restored_directory_knows_all_that_its_mirror_has() {
    // The program restores the directory, or the user does.
    for by_hand in [false, true] {
        let bench = bench();
        bench.run(1..=3);
        fs::remove_dir_all(&bench.near).unwrap();
        if by_hand {
            fs::create_dir(&bench.near).unwrap();
            fs::copy(file(&bench.far, 3), file(&bench.near, 3)).unwrap();
        }
        let far = Flaky::at(&bench.far);
        let mut checkpoints = bench.builder(Mirror::in_home(far.clone())).open().unwrap();
        assert_eq!(checkpoints.load().unwrap(), Some(3));
        far.set_away(true);
        for state in 4..=6 {
            checkpoints.save(&state).unwrap();
        }
        drop(checkpoints);
        // The mirror loses its newest one.
        fs::remove_file(file(&bench.far, 3)).unwrap();
        assert_eq!((generations(&bench.near), generations(&bench.far)), (vec![5, 6], vec![2]));
        let mut checkpoints = bench.open();
        assert_eq!(checkpoints.load().unwrap(), Some(6));
        assert_eq!(checkpoints.wait_for_mirror(LONG).unwrap(), Some(6));
    }
}
