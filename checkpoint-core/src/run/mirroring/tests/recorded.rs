//! What a directory remembers of its mirrors, where one of them is away, was another one, or lost files.

use super::*;

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
