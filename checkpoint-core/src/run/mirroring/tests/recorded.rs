//! What a directory remembers of its mirrors, where one of them is away, was another one, or lost
//! files.

use super::*;

/// The files by which the directory remembers a mirror.
fn records_of(near: &Path, far: &Path) -> Vec<PathBuf> {
    let key = crate::store::name::mirror_key(far);
    let names = fs::read_dir(near).unwrap().map(|entry| entry.unwrap().path());
    names.filter(|path| path.to_str().unwrap().contains(&key)).collect()
}

#[test]
fn the_number_of_a_lost_generation_that_was_sent_stays_used() {
    let bench = bench();
    let far = Flaky::at(&bench.far);
    let open = || bench.builder(Mirror::in_home(far.clone())).keep_last(9).open().unwrap();
    let mut checkpoints = open();
    for state in 1..=3 {
        checkpoints.save(&state).unwrap();
        checkpoints.wait_for_mirror(LONG).unwrap();
    }
    drop(checkpoints);
    for generation in [2, 3] {
        fs::remove_file(file(&bench.near, generation)).unwrap();
    }
    far.set_away(true);
    let mut checkpoints = open();
    assert_eq!(checkpoints.load().unwrap(), Some(1));
    assert_eq!(checkpoints.save(&40).unwrap().generation, 4);
    drop(checkpoints);
    far.set_away(false);
    let mut checkpoints = open();
    assert_eq!(checkpoints.load().unwrap(), Some(40));
    checkpoints.wait_for_mirror(LONG).unwrap();
    assert_eq!(loaded(&bench.far), Some(40));
}

#[test]
fn a_mirror_that_lost_its_newest_gets_the_next() {
    let bench = bench();
    let far = Flaky::at(&bench.far);
    let open = || bench.builder(Mirror::in_home(far.clone()).keep_last(9)).keep_last(3).open().unwrap();
    let mut checkpoints = open();
    for state in 1..=6 {
        checkpoints.save(&state).unwrap();
        checkpoints.wait_for_mirror(LONG).unwrap();
    }
    far.set_away(true);
    checkpoints.save(&7).unwrap();
    drop(checkpoints);
    far.set_away(false);
    for generation in 2..=6 {
        fs::remove_file(file(&bench.far, generation)).unwrap();
    }
    let mut checkpoints = open();
    assert_eq!(checkpoints.load().unwrap(), Some(7));
    assert_eq!(checkpoints.wait_for_mirror(LONG).unwrap(), Some(7));
    assert_eq!(loaded(&bench.far), Some(7));
}

#[test]
fn nothing_that_a_former_mirror_has_is_discarded() {
    let bench = bench();
    bench.run(1..=3);
    let other = bench.parent.path().join("other.ckpt");
    let mut checkpoints = bench.builder(Mirror::to(&other)).keep_last(9).open().unwrap();
    checkpoints.wait_for_mirror(LONG).unwrap();
    let before = [generations(&bench.near), generations(&other)];
    let error = checkpoints.discard_newer(2).unwrap_err().to_string();
    assert!(error.contains("another mirror") && error.contains(".mirrored-"), "{error}");
    assert_eq!([generations(&bench.near), generations(&other)], before);
    // What only the present one has goes.
    checkpoints.save(&4).unwrap();
    checkpoints.wait_for_mirror(LONG).unwrap();
    checkpoints.discard_newer(3).unwrap();
    // The user gives the former one up.
    records_of(&bench.near, &bench.far).iter().for_each(|record| fs::remove_file(record).unwrap());
    checkpoints.discard_newer(2).unwrap();
    assert_eq!(generations(&bench.near), [2]);
    drop(checkpoints);
    let mut checkpoints = bench.builder(Mirror::to(&other)).open().unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(2));
}
