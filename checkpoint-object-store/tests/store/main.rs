//! The promises of checkpoints in an object store, against a server with faults.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    missing_docs,
    unreachable_pub,
    reason = "a test fails by panicking"
)]

#[cfg(feature = "cli")]
mod ckpt;
mod foreign;
mod groups;
mod kills;
mod mirror;
mod reading;
mod removals;
mod server;

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use checkpointed::home::{Claiming, Home as _};
use checkpointed::{CheckpointReader, Checkpointer, Error};
use checkpointed_object_store::{ObjectHome, Options};
use object_store::aws::AmazonS3Builder;
use object_store::memory::InMemory;
use object_store::{BackoffConfig, ObjectStore, RetryConfig};

use server::{Fault, Of, Server};

const PART: usize = 64 << 10;

fn store(server: &Server, retries: usize) -> Arc<dyn ObjectStore> {
    let backoff = BackoffConfig {
        init_backoff: Duration::from_millis(1),
        max_backoff: Duration::from_millis(10),
        ..BackoffConfig::default()
    };
    let retry = RetryConfig { backoff, max_retries: retries, ..RetryConfig::default() };
    let builder = AmazonS3Builder::new().with_bucket_name("bucket").with_endpoint(server.url());
    let builder = builder.with_region("us-east-1").with_access_key_id("a").with_secret_access_key("b");
    Arc::new(builder.with_allow_http(true).with_retry(retry).build().unwrap())
}

fn home(server: &Server) -> ObjectHome {
    Options::default().part_size(PART).parallel(3).home(store(server, 5), "run.ckpt").unwrap()
}

fn open<T: checkpointed::Checkpoint>(server: &Server) -> Result<Checkpointer<T>, Error> {
    Checkpointer::builder_in(home(server)).open()
}

fn load<T: checkpointed::Checkpoint>(server: &Server) -> Option<T> {
    CheckpointReader::open_in(home(server)).unwrap().load().unwrap()
}

/// Numbers that look random.
fn random(seed: &mut u64) -> u64 {
    *seed = seed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *seed >> 33
}

#[test]
fn a_saved_state_is_loaded_by_the_next_run() {
    let server = Server::start();
    let mut checkpoints = open::<u64>(&server).unwrap();
    assert_eq!(checkpoints.load().unwrap(), None);
    for number in 1..=5 {
        checkpoints.save(&number).unwrap();
    }
    drop(checkpoints);
    let keys = server.keys();
    let names: Vec<&str> = keys.iter().map(|key| key.strip_prefix("run.ckpt/").unwrap()).collect();
    assert_eq!(
        names,
        [".claims/000001", "00000000000000000004-000001.ckpt", "00000000000000000005-000001.ckpt"]
    );
    let mut checkpoints = open::<u64>(&server).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(5));
    checkpoints.save(&6).unwrap();
    drop(checkpoints);
    assert_eq!(load(&server), Some(6_u64));
    assert!(server.keys().contains(&"run.ckpt/00000000000000000006-000002.ckpt".to_owned()));
    // The claim of the first run is gone, that of the last stays.
    assert!(!server.keys().contains(&"run.ckpt/.claims/000001".to_owned()));
    assert!(server.keys().contains(&"run.ckpt/.claims/000002".to_owned()));
}

#[test]
fn a_claim_whose_answer_is_lost_or_wrong_is_still_one() {
    for fault in [Fault::LostAnswer, Fault::DoneAnd500, Fault::Conflict, Fault::SlowDown] {
        let server = Server::start();
        server.fault(Of::Create, fault);
        let mut checkpoints = open::<u64>(&server).unwrap_or_else(|error| panic!("{fault:?}: {error}"));
        checkpoints.save(&1).unwrap();
        drop(checkpoints);
        assert_eq!((server.faults_left(), load(&server)), (0, Some(1_u64)), "{fault:?}");
    }
}

#[test]
fn a_server_that_ignores_conditions_is_refused() {
    let server = Server::start();
    server.ignore_conditions();
    let error = open::<u64>(&server).unwrap_err();
    assert!(error.to_string().contains("ignores `If-None-Match`"), "{error}");
    assert!(matches!(error, Error::InvalidSetting { .. }));
}

#[test]
fn a_server_that_looks_first_and_writes_then_is_refused() {
    let server = Server::start();
    // It keeps what comes later.
    server.look_first();
    let error = open::<u64>(&server).unwrap_err();
    assert!(error.to_string().contains("one after another"), "{error}");
    assert!(matches!(error, Error::InvalidSetting { .. }));
}

#[test]
fn a_server_is_not_blamed_for_a_claim_that_a_later_run_removed() {
    // During the requests for the first claim, and before that which creates it once more.
    for creations in [1, 4, 8] {
        let server = Server::start();
        server.take_over_after(creations, "run.ckpt/.claims/000001", "run.ckpt/.claims/000002");
        let error = open::<u64>(&server).unwrap_err();
        assert!(matches!(error, Error::TakenOver { .. }), "after {creations}: {error}");
    }
}

#[test]
fn the_last_that_opens_has_the_place_and_the_other_is_told() {
    let server = Server::start();
    let mut first = open::<Vec<u64>>(&server).unwrap();
    first.save(&vec![1]).unwrap();
    let mut second = open::<Vec<u64>>(&server).unwrap();
    assert_eq!(second.load().unwrap(), Some(vec![1]));
    let error = first.save(&vec![1, 2]).unwrap_err();
    assert!(matches!(error, Error::TakenOver { .. }), "{error}");
    assert!(error.to_string().contains(&format!("process {}", std::process::id())), "{error}");
    second.save(&vec![1, 3]).unwrap();
    assert!(matches!(first.save(&vec![1, 2, 4]).unwrap_err(), Error::TakenOver { .. }));
    drop((first, second));
    assert_eq!(load(&server), Some(vec![1_u64, 3]));
}

fn remove_claims(server: &Server) {
    let keys = server.keys();
    keys.iter().filter(|key| key.contains(".claims/")).for_each(|claim| server.remove(claim));
}

#[test]
fn a_run_whose_claim_was_removed_is_told_of_a_later_one() {
    let server = Server::start();
    for number in 1..=6 {
        open::<u64>(&server).unwrap().save(&number).unwrap();
    }
    let mut first = open::<u64>(&server).unwrap();
    first.save(&7).unwrap();
    remove_claims(&server);
    let mut second = open::<u64>(&server).unwrap();
    assert_eq!(second.load().unwrap(), Some(7));
    let error = first.save(&70).unwrap_err();
    assert!(matches!(error, Error::TakenOver { .. }), "{error}");
    second.save(&8).unwrap();
    drop((first, second));
    assert_eq!(load(&server), Some(8_u64));
}

#[test]
fn two_runs_whose_claims_were_removed_never_share_a_name() {
    let server = Server::start();
    let mut first = open::<u64>(&server).unwrap();
    first.save(&1).unwrap();
    let mut second = open::<u64>(&server).unwrap();
    assert_eq!(second.load().unwrap(), Some(1));
    remove_claims(&server);
    first.save(&2).unwrap();
    let saved: BTreeSet<String> = server.keys().into_iter().collect();
    let error = second.save(&20).unwrap_err();
    assert!(matches!(error, Error::TakenOver { .. }), "{error}");
    drop((first, second));
    let is_generation = |key: &&String| key.ends_with(".ckpt");
    let after: BTreeSet<String> = server.keys().into_iter().collect();
    assert!(saved.iter().filter(is_generation).all(|key| after.contains(key)), "{saved:?} {after:?}");
}

#[test]
fn a_run_without_its_claim_saves_nothing_over_a_later_one() {
    let server = Server::start();
    let mut first = open::<u64>(&server).unwrap();
    first.save(&1).unwrap();
    let mut second = open::<u64>(&server).unwrap();
    assert_eq!(second.load().unwrap(), Some(1));
    second.save(&2).unwrap();
    second.save(&3).unwrap();
    remove_claims(&server);
    for _ in 0..2 {
        let error = first.save(&20).unwrap_err();
        assert!(matches!(error, Error::TakenOver { .. }), "{error}");
    }
    drop(first);
    assert_eq!(load(&server), Some(3_u64));
    second.save(&4).unwrap();
    drop(second);
    assert_eq!(load(&server), Some(4_u64));
}

#[test]
fn a_run_without_its_claim_removes_nothing_of_a_later_one() {
    let server = Server::start();
    let mut first = Checkpointer::<u64>::builder_in(home(&server)).keep_last(9).open().unwrap();
    for number in 1..=3 {
        first.save(&number).unwrap();
    }
    let mut second = Checkpointer::<u64>::builder_in(home(&server)).keep_last(9).open().unwrap();
    assert_eq!(second.load().unwrap(), Some(3));
    second.save(&4).unwrap();
    remove_claims(&server);
    first.discard_newer(1).unwrap_err();
    drop(first);
    let there = CheckpointReader::<u64>::open_in(home(&server)).unwrap().generations().unwrap();
    assert_eq!(there, [1, 2, 3, 4]);
    second.save(&5).unwrap();
}

#[test]
fn an_upload_that_failed_does_not_count_by_an_older_object() {
    let server = Server::start();
    let mut claim = home(&server).claim(&Claiming::default()).unwrap();
    let mut publish = |byte: u8| {
        let mut draft = claim.begin(1).unwrap();
        draft.write_all(&[byte; 3 * PART]).unwrap();
        draft.seal().unwrap().publish().outcome
    };
    publish(1).unwrap();
    // As a mirror does that finds the object damaged.
    server.fault(Of::Complete, Fault::Conflict);
    publish(2).unwrap_err();
    assert_eq!(server.faults_left(), 0);
    publish(2).unwrap();
    assert_eq!(server.object(&generation(1, 1)).unwrap(), [2; 3 * PART]);
}

#[test]
fn a_claim_that_was_removed_is_made_anew_by_the_next_save() {
    let server = Server::start();
    for number in 1..=6 {
        open::<u64>(&server).unwrap().save(&number).unwrap();
    }
    let mut first = open::<u64>(&server).unwrap();
    remove_claims(&server);
    first.save(&7).unwrap();
    let mut second = open::<u64>(&server).unwrap();
    assert_eq!(second.load().unwrap(), Some(7));
    assert!(matches!(first.save(&70).unwrap_err(), Error::TakenOver { .. }));
    // A later run is told by its own claim, however low its epoch is.
    let mut third = open::<u64>(&server).unwrap();
    remove_claims(&server);
    server.insert("run.ckpt/.claims/000001", Vec::new());
    assert!(matches!(third.save(&70).unwrap_err(), Error::TakenOver { .. }));
    assert!(matches!(second.save(&70).unwrap_err(), Error::TakenOver { .. }));
}

#[test]
fn a_stalled_run_never_takes_the_number_of_a_later_one() {
    let server = Server::start();
    let mut stalled = open::<Vec<u64>>(&server).unwrap();
    stalled.save(&vec![1]).unwrap();
    let mut later = open::<Vec<u64>>(&server).unwrap();
    assert_eq!(later.load().unwrap(), Some(vec![1]));
    // Retention removes the numbers that the stalled run would use next.
    for number in 2..=9 {
        later.save(&vec![1, number]).unwrap();
    }
    assert!(matches!(stalled.save(&vec![1, 99]).unwrap_err(), Error::TakenOver { .. }));
    drop((stalled, later));
    assert_eq!(load(&server), Some(vec![1_u64, 9]));
}

#[test]
fn a_save_that_lands_late_never_wins_over_a_later_run() {
    let server = Server::start();
    let once = || Options::default().home(store(&server, 0), "run.ckpt").unwrap();
    let mut first = Checkpointer::<Vec<u64>>::builder_in(once()).open().unwrap();
    first.save(&vec![1]).unwrap();
    for _ in 0..3 {
        server.fault(Of::Put, Fault::SlowDown);
        first.save(&vec![1, 2]).unwrap_err();
    }
    // The next run lists none of these saves, which may still land.
    let mut second = open::<Vec<u64>>(&server).unwrap();
    assert_eq!(second.load().unwrap(), Some(vec![1]));
    second.save(&vec![1, 3]).unwrap();
    let newest = server.keys().into_iter().rfind(|key| key.ends_with(".ckpt")).unwrap();
    let of_first = format!("run.ckpt/{:020}-{:06}.ckpt", 4, 3);
    assert!(newest > of_first, "{newest} {of_first}");
    server.insert(&of_first, server.object(&newest).unwrap());
    drop((first, second));
    assert_eq!(load(&server), Some(vec![1_u64, 3]));
}

#[test]
fn an_own_claim_that_cannot_be_read_once_is_no_takeover() {
    let server = Server::start();
    let once = Options::default().home(store(&server, 0), "run.ckpt").unwrap();
    let mut checkpoints = Checkpointer::<u64>::builder_in(once).keep_last(1).open().unwrap();
    for number in 1..=2 {
        checkpoints.save(&number).unwrap();
    }
    server.fault(Of::Put, Fault::SlowDown);
    checkpoints.save(&3).unwrap_err();
    // The next save claims again, and does not learn that it did: it lists, reads the claim before,
    // and creates one.
    server.fault(Of::Create, Fault::LostAnswer);
    server.fault_after(3, Fault::SlowDown);
    checkpoints.save(&4).unwrap_err();
    assert!(!server.forget_fault());
    assert!(server.object("run.ckpt/.claims/000002").is_some());
    server.fault(Of::Get, Fault::SlowDown);
    let error = checkpoints.save(&5).unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
    assert_eq!(server.faults_left(), 0);
    checkpoints.save(&6).unwrap();
    drop(checkpoints);
    assert_eq!(load(&server), Some(6_u64));
    let reader = CheckpointReader::<u64>::open_in(home(&server)).unwrap();
    assert_eq!(reader.generations().unwrap().len(), 1);
}

#[test]
fn a_long_state_is_sent_in_equal_parts_and_few_at_a_time() {
    let server = Server::start();
    let state: Vec<u8> = (0..=250).cycle().take(PART * 10).collect();
    let mut checkpoints = open::<Vec<u8>>(&server).unwrap();
    checkpoints.save(&state).unwrap();
    let parts = server.parts().remove(0);
    let (last, equal) = parts.split_last().unwrap();
    assert!(equal.iter().all(|part| *part == PART) && *last <= PART && equal.len() >= 10, "{parts:?}");
    assert!(server.most_parts_at_once() <= 3);
    let length = server.object("run.ckpt/00000000000000000001-000001.ckpt").unwrap().len();
    assert_eq!(length, parts.iter().sum::<usize>());
    assert_eq!(checkpoints.load().unwrap(), Some(state));
}

#[test]
fn faults_of_a_save_pass_or_are_told_and_no_state_is_lost() {
    let state: Vec<u8> = (0..=252).cycle().take(PART * 3).collect();
    for of in [Of::Put, Of::Part, Of::Complete, Of::List] {
        for fault in
            [Fault::LostAnswer, Fault::DoneAnd500, Fault::SlowDown, Fault::ErrorInBody, Fault::Conflict]
        {
            let server = Server::start();
            let mut checkpoints = open::<Vec<u8>>(&server).unwrap();
            checkpoints.save(&vec![1]).unwrap();
            server.fault(of, fault);
            let is_long = !matches!(of, Of::Put);
            let new = if is_long { state.clone() } else { vec![2] };
            let outcome = checkpoints.save(&new);
            assert_eq!(server.faults_left(), 0, "{of:?} {fault:?}");
            let loaded: Vec<u8> = load(&server).unwrap();
            match outcome {
                Ok(_) => assert!(loaded == new, "{of:?} {fault:?}"),
                Err(error) => {
                    assert!(loaded == new || loaded == [1], "{of:?} {fault:?} {error}");
                    // A 409 and an error in a 200 of these requests do not pass by themselves.
                    assert!(
                        matches!(fault, Fault::Conflict | Fault::ErrorInBody),
                        "{of:?} {fault:?} {error}"
                    );
                }
            }
            // The next save works, whatever this one was.
            checkpoints.save(&vec![3]).unwrap();
            assert_eq!(load(&server), Some(vec![3_u8]));
            assert_eq!(server.unfinished(), 0, "{of:?} {fault:?}");
        }
    }
}

#[test]
fn a_read_that_breaks_off_is_no_damage() {
    let server = Server::start();
    let mut checkpoints = open::<Vec<u64>>(&server).unwrap();
    checkpoints.save(&vec![1]).unwrap();
    checkpoints.save(&vec![2]).unwrap();
    for fault in [Fault::Truncated, Fault::LostAnswer, Fault::SlowDown] {
        server.fault(Of::Get, fault);
        assert_eq!(load(&server), Some(vec![2_u64]), "{fault:?}");
        assert_eq!(server.faults_left(), 0);
    }
    // A server that never answers is an error: no older generation is loaded.
    let once = Options::default().home(store(&server, 0), "run.ckpt").unwrap();
    for _ in 0..4 {
        server.fault(Of::Get, Fault::SlowDown);
    }
    let error = CheckpointReader::<Vec<u64>>::open_in(once).unwrap().load().unwrap_err();
    assert!(matches!(error, Error::Io { .. }), "{error}");
}

#[test]
fn a_damaged_generation_is_skipped_for_the_one_before_it() {
    let server = Server::start();
    let mut checkpoints = open::<u64>(&server).unwrap();
    checkpoints.save(&1).unwrap();
    checkpoints.save(&2).unwrap();
    let key = "run.ckpt/00000000000000000002-000001.ckpt";
    let mut bytes = server.object(key).unwrap();
    let middle = bytes.len() / 2;
    bytes[middle] ^= 1;
    server.insert(key, bytes);
    assert_eq!(load(&server), Some(1_u64));
}

#[test]
fn a_save_takes_few_requests() {
    let server = Server::start();
    let mut checkpoints = open::<Vec<u8>>(&server).unwrap();
    checkpoints.save(&vec![1]).unwrap();
    server.requests();
    for number in 0..60 {
        checkpoints.save(&vec![number]).unwrap();
    }
    assert_eq!(server.requests().len(), 2 * 60);
    let state = vec![7; PART * 20];
    checkpoints.save(&state).unwrap();
    let requests = server.requests().len();
    let parts = server.parts()[0].len();
    assert!(requests <= parts + 3, "{requests} for {parts} parts");
    // A load lists, and reads the state in one request more than the last bytes of it.
    let loaded: Vec<u8> = load(&server).unwrap();
    assert!(loaded == state);
    assert!(server.requests().len() <= 3);
}

#[test]
fn retention_and_pins_hold_in_a_store() {
    let server = Server::start();
    let mut checkpoints =
        Checkpointer::<u64>::builder_in(home(&server)).keep_last(3).keep_every(10).open().unwrap();
    checkpoints.save(&1).unwrap();
    checkpoints.pin(1).unwrap();
    for number in 2..=25 {
        checkpoints.save(&number).unwrap();
    }
    drop(checkpoints);
    let generations = CheckpointReader::<u64>::open_in(home(&server)).unwrap().generations().unwrap();
    assert_eq!(generations, [1, 10, 20, 23, 24, 25]);
}

fn generation(number: u64, epoch: u64) -> String {
    format!("run.ckpt/{number:020}-{epoch:06}.ckpt")
}

#[test]
fn generations_that_retention_gave_up_are_gone_for_their_run() {
    let server = Server::start();
    let mut checkpoints = open::<u64>(&server).unwrap();
    for number in 1..=3 {
        checkpoints.save(&number).unwrap();
    }
    // The object is removed later, together with others.
    assert!(server.object(&generation(1, 1)).is_some());
    assert_eq!(checkpoints.generations().unwrap(), [2, 3]);
    assert!(matches!(checkpoints.pin(1).unwrap_err(), Error::NoSuchGeneration { .. }));
    assert!(matches!(checkpoints.discard_newer(1).unwrap_err(), Error::NoSuchGeneration { .. }));
    assert_eq!(checkpoints.load().unwrap(), Some(3));
    checkpoints.discard_newer(2).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(2));
    drop(checkpoints);
    assert_eq!(load(&server), Some(2_u64));
}

#[test]
fn a_pin_that_came_before_a_removal_holds() {
    let server = Server::start();
    let mut checkpoints = open::<u64>(&server).unwrap();
    for number in 1..=3 {
        checkpoints.save(&number).unwrap();
    }
    server.insert(&format!("run.ckpt/{:020}.pin", 1), Vec::new());
    drop(checkpoints);
    let generations = CheckpointReader::<u64>::open_in(home(&server)).unwrap().generations().unwrap();
    assert_eq!(generations, [1, 2, 3]);
}

#[test]
fn a_run_that_was_taken_over_removes_nothing() {
    let server = Server::start();
    let mut first = open::<u64>(&server).unwrap();
    for number in 1..=3 {
        first.save(&number).unwrap();
    }
    let mut second = open::<u64>(&server).unwrap();
    second.discard_newer(1).unwrap();
    drop(first);
    assert_eq!(second.load().unwrap(), Some(1));
    drop(second);
    assert_eq!(load(&server), Some(1_u64));
}

#[test]
fn a_discarded_number_is_in_a_claim_before_the_next_save() {
    let server = Server::start();
    let mut checkpoints = Checkpointer::<u64>::builder_in(home(&server)).keep_last(9).open().unwrap();
    for number in 1..=5 {
        checkpoints.save(&number).unwrap();
    }
    checkpoints.discard_newer(2).unwrap();
    assert_eq!(checkpoints.save(&6).unwrap().generation, 6);
    let claim = String::from_utf8(server.object("run.ckpt/.claims/000002").unwrap()).unwrap();
    assert!(claim.contains("\"last\":5"), "{claim}");
    assert!(server.object(&generation(6, 2)).is_some());
}

#[test]
fn a_second_claim_whose_name_was_free_again_is_no_claim() {
    let server = Server::start();
    let mut first = Checkpointer::<u64>::builder_in(home(&server)).keep_last(9).open().unwrap();
    first.save(&1).unwrap();
    first.save(&2).unwrap();
    first.discard_newer(1).unwrap();
    // Two later runs, the second of which removed the claim of the first.
    let at = generation(3, 2);
    server.insert_meanwhile("run.ckpt/.claims/000003", b"{}".to_vec());
    server.insert_meanwhile(&at, b"of another run".to_vec());
    assert!(matches!(first.save(&3).unwrap_err(), Error::TakenOver { .. }));
    assert_eq!(server.object(&generation(3, 2)).unwrap(), b"of another run");
}

#[test]
fn it_works_inside_a_runtime_and_leaves_no_thread() {
    let server = Server::start();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    runtime.block_on(async {
        let mut checkpoints = open::<u64>(&server).unwrap();
        checkpoints.save(&1).unwrap();
        assert_eq!(checkpoints.load().unwrap(), Some(1));
    });
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let home = ObjectHome::new(Arc::clone(&store), "x").unwrap();
    let mut checkpoints = Checkpointer::<u64>::builder_in(home).open().unwrap();
    checkpoints.save(&1).unwrap();
    drop(checkpoints);
    // Requests hold the store while their thread runs.
    assert_eq!(Arc::strong_count(&store), 1);
}

#[test]
fn copies_between_directory_and_store_go_on() {
    let server = Server::start();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("run.ckpt");
    let save = |number: u64| {
        let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
        assert_eq!(checkpoints.load().unwrap().unwrap_or_default(), number - 1);
        checkpoints.save(&number).unwrap();
    };
    save(1);
    save(2);
    up(&path, &server);
    let mut checkpoints = open::<u64>(&server).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(2));
    checkpoints.save(&3).unwrap();
    checkpoints.save(&4).unwrap();
    drop(checkpoints);
    down(&server, &path);
    // Retention removes names of both kinds.
    save(5);
    save(6);
    save(7);
    let names = std::fs::read_dir(&path).unwrap().map(|entry| entry.unwrap().file_name());
    let names: BTreeSet<String> = names.filter_map(|name| name.into_string().ok()).collect();
    let names: Vec<&String> = names.iter().filter(|name| name.ends_with(".ckpt")).collect();
    assert_eq!(names, [&format!("{:020}.ckpt", 6), &format!("{:020}.ckpt", 7)]);
    up(&path, &server);
    let mut checkpoints = open::<u64>(&server).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(7));
    checkpoints.save(&8).unwrap();
    drop(checkpoints);
    assert_eq!(load(&server), Some(8_u64));
    // Of one number, the highest epoch counts in a directory too.
    let (first, second) = (format!("{:020}-000001.ckpt", 9), format!("{:020}-000002.ckpt", 9));
    let saved = |number: u64| {
        let other = tempfile::tempdir().unwrap();
        let mut checkpoints = Checkpointer::<u64>::open(other.path()).unwrap();
        for generation in 1..=9 {
            checkpoints.save(&(number + generation)).unwrap();
        }
        std::fs::read(other.path().join(format!("{:020}.ckpt", 9))).unwrap()
    };
    std::fs::write(path.join(&first), saved(100)).unwrap();
    std::fs::write(path.join(&second), saved(200)).unwrap();
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(209));
    for number in 0..3 {
        checkpoints.save(&number).unwrap();
    }
    assert!(!path.join(&first).exists() && !path.join(&second).exists());
}

/// Copies the files of a directory to the store, as `aws s3 sync` does.
fn up(path: &Path, server: &Server) {
    for folder in ["", ".claims/"] {
        for entry in std::fs::read_dir(path.join(folder)).into_iter().flatten() {
            let entry = entry.unwrap();
            let key = format!("run.ckpt/{folder}{}", entry.file_name().to_str().unwrap());
            if entry.path().is_file() {
                server.insert(&key, std::fs::read(entry.path()).unwrap());
            }
        }
    }
}

/// Copies the objects of the store to a directory.
fn down(server: &Server, path: &Path) {
    for key in server.keys() {
        let file = path.join(key.strip_prefix("run.ckpt/").unwrap());
        std::fs::create_dir_all(file.parent().unwrap()).unwrap();
        std::fs::write(file, server.object(&key).unwrap()).unwrap();
    }
}

/// A writer, and its state.
type Writer = (Checkpointer<Vec<u64>>, Vec<u64>);

#[test]
fn two_writers_that_stop_at_random_lose_nothing() {
    let store: Arc<dyn ObjectStore> = Arc::new(InMemory::new());
    let home = || ObjectHome::new(Arc::clone(&store), "run.ckpt").unwrap();
    let mut writers: [Option<Writer>; 2] = [None, None];
    let (mut acknowledged, mut taken, mut stops, mut seed) = (Vec::new(), 0, 0, 7);
    for token in 0..1500 {
        let writer = &mut writers[usize::from(random(&mut seed).is_multiple_of(2))];
        match writer {
            None => {
                let mut checkpoints = Checkpointer::builder_in(home()).open().unwrap();
                let state = checkpoints.load_or_default().unwrap();
                *writer = Some((checkpoints, state));
            }
            Some(_) if random(&mut seed).is_multiple_of(4) => {
                stops += 1;
                *writer = None;
            }
            Some((checkpoints, state)) => {
                state.push(token);
                match checkpoints.save(state) {
                    Ok(_) => acknowledged.push(token),
                    Err(Error::TakenOver { .. }) => {
                        taken += 1;
                        *writer = None;
                    }
                    Err(error) => panic!("{error}"),
                }
            }
        }
    }
    drop(writers);
    let loaded = CheckpointReader::<Vec<u64>>::open_in(home()).unwrap().load().unwrap().unwrap();
    let lost: Vec<_> = acknowledged.iter().filter(|token| !loaded.contains(token)).collect();
    assert!(lost.is_empty(), "{lost:?}");
    assert!(taken > 50 && stops > 100 && acknowledged.len() > 100, "{taken} {stops}");
}

#[test]
fn urls_that_lead_nowhere_are_refused_with_the_form() {
    for url in
        ["s3://", "s3://bucket", "s3://bucket/", "bucket/run.ckpt", "ftp://host/run.ckpt", "s3://b/a?x=1"]
    {
        let error = ObjectHome::from_url(url).unwrap_err();
        assert!(error.to_string().contains(url) && error.to_string().contains("s3"), "{error}");
    }
}

/// A child process that ends with the test.
struct Ended(std::process::Child);

impl Drop for Ended {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Figures for people: `cargo test --release --test store figures -- --ignored --nocapture`.
#[test]
#[ignore = "it measures"]
fn figures_of_a_save_of_256_mib() {
    const LENGTH: usize = 256 << 20;
    let server = Server::start();
    let store = store(&server, 5);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let state = vec![0x5a_u8; LENGTH];
    let home = ObjectHome::new(Arc::clone(&store), "run.ckpt").unwrap();
    let mut checkpoints = Checkpointer::<Vec<u8>>::builder_in(home).open().unwrap();
    for _ in 0..5 {
        server.requests();
        let begun = std::time::Instant::now();
        checkpoints.save(&state).unwrap();
        let save = begun.elapsed();
        let requests = server.requests().len();
        let body = state.clone();
        let begun = std::time::Instant::now();
        let path = object_store::path::Path::from("raw");
        runtime.block_on(object_store::ObjectStoreExt::put(&*store, &path, body.into())).unwrap();
        let put = begun.elapsed();
        let ratio = save.as_secs_f64() / put.as_secs_f64();
        println!("save {save:?} in {requests} requests, one PUT {put:?}: {ratio:.2}");
    }
}
