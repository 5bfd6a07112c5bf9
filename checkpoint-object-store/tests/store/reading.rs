//! Reading: one field in few requests, and listings that are never older than they need to be.

use checkpointed::home::{Claiming, Home};
use checkpointed::{CheckpointReader, Checkpointer};

use crate::server::Server;
use crate::{PART, generation, home, load, open};

/// The number of bytes that a request for a range asks for.
fn asked(request: &str) -> u64 {
    let Some((_, range)) = request.split_once(" bytes=") else { return 0 };
    let (from, to) = range.split_once('-').unwrap();
    to.parse::<u64>().unwrap() + 1 - from.parse::<u64>().unwrap()
}

#[test]
fn one_field_takes_three_requests_with_the_listing() {
    let server = Server::start();
    let state: (u64, Vec<Vec<u8>>) = (7, (0..24_u8).map(|array| vec![array; 1 << 20]).collect());
    let part = checkpointed_object_store::Options::default().part_size(8 << 20);
    let place = part.home(crate::store(&server, 5), "run.ckpt").unwrap();
    Checkpointer::builder_in(place).open().unwrap().save(&state).unwrap();
    let mut reader = CheckpointReader::<(u64, Vec<Vec<u8>>)>::open_in(home(&server)).unwrap();
    // Arrays at the beginning, in the middle, across a multiple of 8 MiB, and at the end.
    for array in [0_u8, 3, 7, 15, 23] {
        server.requests();
        let field = reader.load_field::<Vec<u8>>(&format!("1/{array}")).unwrap();
        assert!(field == Some(vec![array; 1 << 20]));
        let requests = server.requests();
        assert!(requests.len() <= 3, "{requests:?}");
        let bytes: u64 = requests.iter().map(|request| asked(request)).sum();
        assert!(bytes < (1 << 20) + (300 << 10), "{bytes} {requests:?}");
    }
    assert_eq!(reader.load_field::<u64>("0").unwrap(), Some(7));
    assert_eq!(server.requests().len(), 2);
    // A manifest needs no part.
    reader.manifest(1).unwrap();
    assert_eq!(server.requests().len(), 2);
    let arrays = reader.load_field::<Vec<Vec<u8>>>("1").unwrap().unwrap();
    assert!(arrays == state.1);
}

#[test]
fn a_reader_that_stays_open_sees_which_run_won_a_number() {
    let server = Server::start();
    open::<(u64, u64)>(&server).unwrap().save(&(1, 1)).unwrap();
    let mut reader = CheckpointReader::<(u64, u64)>::open_in(home(&server)).unwrap();
    assert_eq!(reader.load().unwrap(), Some((1, 1)));
    let other = Server::start();
    open::<(u64, u64)>(&other).unwrap().save(&(2, 2)).unwrap();
    server.insert(&generation(1, 2), other.object(&generation(1, 1)).unwrap());
    assert_eq!(reader.load_generation(1).unwrap(), (2, 2));

    let metadata = |number: u64| checkpointed::Metadata::new().with("number", number);
    let mut third = open::<(u64, u64)>(&other).unwrap();
    third.save_with(&(3, 3), metadata(3)).unwrap();
    server.insert(&generation(2, 1), other.object(&generation(2, 2)).unwrap());
    assert_eq!(reader.load_generation_field::<u64>(2, "1").unwrap(), 3);
    let newer = Server::start();
    let mut fourth = open::<(u64, u64)>(&newer).unwrap();
    fourth.save(&(0, 0)).unwrap();
    fourth.save_with(&(4, 4), metadata(4)).unwrap();
    server.insert(&generation(2, 5), newer.object(&generation(2, 1)).unwrap());
    let manifest = reader.manifest(2).unwrap();
    assert_eq!(manifest.metadata().get("number"), Some(&4_u64.into()));
    server.insert(&generation(2, 6), other.object(&generation(2, 2)).unwrap());
    assert_eq!(reader.load_generation_field::<u64>(2, "1").unwrap(), 3);
}

#[test]
fn a_listing_that_was_made_before_another_does_not_replace_it() {
    let server = Server::start();
    let mut checkpoints = open::<u64>(&server).unwrap();
    checkpoints.save(&1).unwrap();
    let place = home(&server);
    let (made, go) = server.hold_next_listing();
    let slow = std::thread::spawn({
        let place = place.clone();
        move || place.generations().unwrap()
    });
    made.recv().unwrap();
    checkpoints.save(&2).unwrap();
    assert_eq!(place.generations().unwrap(), [1, 2]);
    go.send(()).unwrap();
    assert_eq!(slow.join().unwrap(), [1]);
    // The name of an object comes from the last listing.
    let name = place.location(2);
    assert!(name.to_str().unwrap().ends_with("-000001.ckpt"), "{name:?}");
}

#[test]
fn the_holder_knows_that_a_generation_is_gone() {
    let server = Server::start();
    let claim = home(&server).claim(&Claiming::default()).unwrap();
    let of_holder = claim.home();
    server.insert(&generation(1, 1), vec![1]);
    assert_eq!(of_holder.generations().unwrap(), [1]);
    server.remove(&generation(1, 1));
    assert!(!of_holder.has(1));
    server.insert(&generation(1, 1), vec![1]);
    assert!(of_holder.open(1).is_ok());
    server.remove(&generation(1, 1));
    assert!(!of_holder.has(1));
}

#[test]
fn a_look_of_retention_costs_no_request() {
    let server = Server::start();
    let mut checkpoints = Checkpointer::<Vec<u8>>::builder_in(home(&server)).keep_last(5).open().unwrap();
    checkpoints.save(&vec![0]).unwrap();
    server.requests();
    for number in 1..=40 {
        checkpoints.save(&vec![number]).unwrap();
    }
    assert_eq!(server.requests().len(), 2 * 40);
    assert_eq!(load(&server), Some(vec![40_u8]));
    let long = vec![1; PART * 2];
    checkpoints.save(&long).unwrap();
    assert!(checkpoints.load().unwrap() == Some(long));
}
