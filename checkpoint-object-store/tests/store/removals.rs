//! Objects that cannot be removed: tried again ever more rarely, and told once.

use std::sync::{Arc, Mutex};

use checkpointed::home::{Claiming, Home as _};
use checkpointed::{CheckpointReader, Checkpointer, Error};

use crate::server::Server;
use crate::{PART, generation, home};

#[test]
fn an_object_that_cannot_be_removed_is_tried_ever_more_rarely() {
    let server = Server::start();
    server.keep(&generation(2, 1));
    let heard = Arc::new(Mutex::new(Vec::new()));
    let listener = Arc::clone(&heard);
    let builder = Checkpointer::<Vec<u8>>::builder_in(home(&server)).keep_last(1);
    let builder = builder.on_warning(move |warning| listener.lock().unwrap().push(warning.to_string()));
    let mut checkpoints = builder.open().unwrap();
    // Each generation is longer than a part, so that it is removed with the next save.
    let mut requests = Vec::new();
    server.requests();
    for number in 0..60 {
        checkpoints.save(&vec![number; PART * 2]).unwrap();
        requests.push(server.requests().len());
    }
    assert!((3..=6).contains(&server.denied()), "{}", server.denied());
    let told: Vec<_> =
        heard.lock().unwrap().iter().filter(|text| text.contains("removed")).cloned().collect();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("kept") || told[0].contains("AccessDenied"), "{told:?}");
    // It costs no request of its own.
    assert_eq!(requests.iter().max(), requests.get(1), "{requests:?}");
    // For this run it is gone; the next one finds it, and it is older than what that loads.
    assert_eq!(checkpoints.generations().unwrap(), [60]);
    drop(checkpoints);
    let left = CheckpointReader::<Vec<u8>>::open_in(home(&server)).unwrap().generations().unwrap();
    assert_eq!(left, [2, 60]);
}

#[test]
fn a_generation_that_cannot_be_discarded_is_an_error() {
    let server = Server::start();
    let mut checkpoints = Checkpointer::<u64>::builder_in(home(&server)).keep_last(9).open().unwrap();
    for number in 1..=3 {
        checkpoints.save(&number).unwrap();
    }
    server.keep(&generation(3, 1));
    checkpoints.discard_newer(1).unwrap_err();
    // A restart loads it.
    let loaded = CheckpointReader::<u64>::open_in(home(&server)).unwrap().load().unwrap();
    assert_eq!(loaded, Some(3));
}

#[test]
fn an_older_generation_that_cannot_be_discarded_is_an_error() {
    let server = Server::start();
    let builder = |keep| Checkpointer::<u64>::builder_in(home(&server)).keep_last(keep);
    let mut checkpoints = builder(9).open().unwrap();
    for number in 1..=7 {
        checkpoints.save(&number).unwrap();
    }
    server.keep(&generation(4, 1));
    let error = checkpoints.discard_newer(3).unwrap_err();
    assert!(error.to_string().contains("00000000000000000004"), "{error}");
    drop(checkpoints);
    // The newest stays, so no generation in between is loaded.
    let loaded = CheckpointReader::<u64>::open_in(home(&server)).unwrap().load().unwrap();
    assert_eq!(loaded, Some(7));

    // Retention could not remove 4, and does not see it any more.
    let mut checkpoints = builder(1).open().unwrap();
    checkpoints.load().unwrap();
    checkpoints.pin(3).unwrap();
    checkpoints.save(&8).unwrap();
    checkpoints.save(&9).unwrap();
    assert!(!checkpoints.generations().unwrap().contains(&4));
    checkpoints.discard_newer(3).unwrap_err();
}

#[test]
fn a_removal_that_did_not_happen_is_not_told_as_one() {
    let server = Server::start();
    let mut checkpoints = Checkpointer::<u64>::builder_in(home(&server)).keep_last(9).open().unwrap();
    for number in 1..=4 {
        checkpoints.save(&number).unwrap();
    }
    drop(checkpoints);
    let mut claim = home(&server).claim(&Claiming::default()).unwrap();
    assert!(claim.remove_at_once(4).unwrap());
    assert!(server.object(&generation(4, 1)).is_none());
    // Another program pins one, and the claim has an older listing.
    server.insert(&format!("run.ckpt/{:020}.pin", 1), Vec::new());
    assert!(!claim.remove_at_once(1).unwrap());
    assert!(server.object(&generation(1, 1)).is_some());
    // Another program takes the place over.
    let _other = Checkpointer::<u64>::builder_in(home(&server)).keep_last(9).open().unwrap();
    claim.remove_at_once(2).unwrap_err();
    assert!(server.object(&generation(2, 1)).is_some());
    assert!(matches!(claim.sync(), Err(Error::TakenOver { .. })));
}

#[test]
fn a_run_that_was_taken_over_is_told_when_it_discards() {
    let server = Server::start();
    let mut first = Checkpointer::<u64>::builder_in(home(&server)).keep_last(9).open().unwrap();
    for number in 1..=3 {
        first.save(&number).unwrap();
    }
    let _second = Checkpointer::<u64>::builder_in(home(&server)).keep_last(9).open().unwrap();
    let error = first.discard_newer(1).unwrap_err();
    assert!(matches!(error, Error::TakenOver { .. }), "{error}");
    assert_eq!(CheckpointReader::<u64>::open_in(home(&server)).unwrap().load().unwrap(), Some(3));
}
