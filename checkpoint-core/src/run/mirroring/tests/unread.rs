//! A device that does not give a file, once or for long: the file counts as whole meanwhile.

use super::*;
use crate::store::faults::FaultyDisk;

/// More attempts than a run makes.
const ALWAYS: usize = usize::MAX;

fn name(generation: u64) -> String {
    format!("{generation:020}.ckpt")
}

#[test]
fn a_file_of_a_mirror_that_was_not_given_once_is_restored() {
    for after in 0.. {
        let bench = bench();
        bench.run(1..=3);
        fs::remove_dir_all(&bench.near).unwrap();
        let far = Flaky::at(&bench.far);
        far.be_unread(3, after, 1);
        let mut checkpoints = bench.builder(Mirror::in_home(far.clone())).open().unwrap();
        assert_eq!(checkpoints.load().unwrap(), Some(3), "{after}");
        if !far.was_unread(1) {
            assert!(after > 1);
            break;
        }
        checkpoints.save(&4).unwrap();
        checkpoints.wait_for_mirror(LONG).unwrap();
        assert_eq!(generations(&bench.far), [3, 4], "{after}");
    }
}

#[test]
fn no_older_one_is_restored_while_a_mirror_gives_no_newest() {
    for after in 0.. {
        let bench = bench();
        bench.run(1..=3);
        fs::remove_dir_all(&bench.near).unwrap();
        let far = Flaky::at(&bench.far);
        far.be_unread(3, after, ALWAYS);
        let opened = bench.builder(Mirror::in_home(far.clone())).open();
        if !far.was_unread(ALWAYS) {
            assert!(after > 1);
            break;
        }
        // What is read after the copy is for the record alone.
        if let Ok(mut checkpoints) = opened {
            assert_eq!(checkpoints.load().unwrap(), Some(3), "{after}");
            continue;
        }
        let error = opened.unwrap_err();
        assert!(matches!(error, Error::MirrorUnreachable { .. }), "{after}: {error}");
        assert_eq!(generations(&bench.far), [2, 3]);
        far.be_unread(3, 0, 0);
        let mut checkpoints = bench.builder(Mirror::in_home(far.clone())).open().unwrap();
        assert_eq!(checkpoints.load().unwrap(), Some(3));
        assert_eq!(checkpoints.save(&4).unwrap().generation, 4);
    }
}

#[test]
fn a_load_takes_no_older_one_while_its_mirror_gives_no_file() {
    for after in 0..9 {
        let bench = bench();
        bench.run(1..=3);
        let far = Flaky::at(&bench.far);
        let mut checkpoints = bench.builder(Mirror::in_home(far.clone())).open().unwrap();
        checkpoints.wait_for_mirror(LONG).unwrap();
        damage(&bench.near, 3);
        far.be_unread(3, after, ALWAYS);
        let loaded = checkpoints.load();
        if !far.was_unread(ALWAYS) {
            assert_eq!(loaded.unwrap(), Some(3), "{after}");
            assert!(after > 0);
            break;
        }
        let error = loaded.unwrap_err();
        assert!(matches!(error, Error::MirrorUnreachable { .. }), "{after}: {error}");
        far.be_unread(3, 0, 0);
        assert_eq!(checkpoints.load().unwrap(), Some(3), "{after}");
        assert!(fs::read(file(&bench.near, 3)).unwrap() == fs::read(file(&bench.far, 3)).unwrap());
    }
}

#[test]
fn a_file_that_is_not_given_hides_no_other_run_of_a_mirror() {
    for times in [1, ALWAYS] {
        for after in 0.. {
            let bench = bench();
            bench.run(1..=5);
            let old = bench.parent.path().join("old.ckpt");
            fs::rename(&bench.near, &old).unwrap();
            // Another machine goes on: the mirror gets every second one.
            let mut other = bench.builder(Mirror::to(&bench.far).every(2)).open().unwrap();
            other.load().unwrap();
            for state in 6..=7 {
                other.save(&state).unwrap();
            }
            other.wait_for_mirror(LONG).unwrap();
            drop(other);
            fs::rename(file(&bench.far, 6), bench.parent.path().join("6")).unwrap_or_default();
            assert_eq!(generations(&bench.far), [5, 7]);
            let before = fs::read(file(&bench.far, 7)).unwrap();
            fs::remove_dir_all(&bench.near).unwrap();
            fs::rename(&old, &bench.near).unwrap();

            let far = Flaky::at(&bench.far);
            far.set_away(true);
            let mut checkpoints = bench.builder(Mirror::in_home(far.clone())).open().unwrap();
            checkpoints.save(&60).unwrap();
            far.set_away(false);
            far.be_unread(7, after, times);
            checkpoints.wait_for_mirror(LONG).unwrap_err();
            checkpoints.save(&70).unwrap();
            checkpoints.wait_for_mirror(LONG).unwrap_err();
            assert!(fs::read(file(&bench.far, 7)).unwrap() == before, "{after}");
            let was_unread = far.was_unread(times);
            far.be_unread(7, 0, 0);
            let error = checkpoints.wait_for_mirror(LONG).unwrap_err();
            assert!(error.to_string().contains("each have checkpoints"), "{after}: {error}");
            assert_eq!(checkpoints.finish(&80).unwrap().mirrored, None);
            assert!(fs::read(file(&bench.far, 7)).unwrap() == before, "{after}");
            if !was_unread {
                assert!(after > 1);
                break;
            }
        }
    }
}

#[test]
fn a_file_of_the_directory_that_was_not_given_is_sent_later() {
    for times in [1, ALWAYS] {
        let bench = bench();
        let disk = FaultyDisk::default();
        let mirror = Mirror::to(&bench.far);
        let mut checkpoints = bench.builder(mirror).disk(Arc::new(disk.clone())).open().unwrap();
        checkpoints.save(&1).unwrap();
        checkpoints.wait_for_mirror(LONG).unwrap();
        disk.be_unread(&name(2), times);
        checkpoints.save(&2).unwrap();
        let waited = checkpoints.wait_for_mirror(LONG);
        if times == ALWAYS {
            let error = waited.unwrap_err().to_string();
            assert!(error.contains(&name(2)) && !error.contains("does not have it whole"), "{error}");
            disk.be_unread("", 0);
        }
        assert_eq!(checkpoints.wait_for_mirror(LONG).unwrap(), Some(2));
        assert_eq!(bench.warned("is not mirrored"), 0);
    }
}

#[test]
fn a_file_that_the_disk_does_not_give_comes_from_the_mirror() {
    for is_running in [false, true] {
        let bench = bench();
        bench.run(1..=3);
        let disk = FaultyDisk::default();
        let open = || bench.builder(Mirror::to(&bench.far)).disk(Arc::new(disk.clone())).open().unwrap();
        let running = is_running.then(open);
        disk.break_file(&file(&bench.near, 3));
        let mut checkpoints = running.unwrap_or_else(open);
        assert_eq!(checkpoints.load().unwrap(), Some(3), "{is_running}");
        assert!(bench.near.join("00000000000000000003.ckpt.damaged").exists(), "the evidence stays");
        checkpoints.save(&4).unwrap();
        assert_eq!(checkpoints.wait_for_mirror(LONG).unwrap(), Some(4));
    }
}
