//! A directory with a mirror in an object store, against the server with faults.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use checkpointed::{CheckpointReader, Checkpointer, Error, Mirror};
use checkpointed_object_store::{ObjectHome, Options};

use super::server::{Fault, Of, Server};
use super::{PART, generation, load, store};

const LONG: Duration = Duration::from_secs(600);

/// A place whose requests are sent once: the mirror itself tries again.
fn once(server: &Server) -> ObjectHome {
    Options::default().part_size(PART).parallel(3).home(store(server, 0), "run.ckpt").unwrap()
}

fn open(near: &Path, server: &Server, warnings: &Arc<Mutex<Vec<String>>>) -> Checkpointer<Vec<u8>> {
    let warnings = Arc::clone(warnings);
    Checkpointer::builder(near)
        .on_warning(move |warning| warnings.lock().unwrap().push(warning.to_string()))
        .mirror(Mirror::in_home(once(server)))
        .open()
        .unwrap()
}

/// Waits until the mirror has the newest, however often it fails.
fn arrive(checkpoints: &mut Checkpointer<Vec<u8>>) {
    for _ in 0..20 {
        if checkpoints.wait_for_mirror(LONG).is_ok() {
            return;
        }
    }
    checkpoints.wait_for_mirror(LONG).unwrap();
}

fn long(number: u8) -> Vec<u8> {
    (0..=250).cycle().take(3 * PART).chain([number]).collect()
}

fn near(directory: &Path, name: &str) -> PathBuf {
    directory.join(format!("{name}.ckpt"))
}

#[test]
fn a_lost_machine_goes_on_from_the_store() {
    let (server, directory, warnings) = (Server::start(), tempfile::tempdir().unwrap(), Arc::default());
    let path = near(directory.path(), "near");
    for number in 1..=3 {
        let mut checkpoints = open(&path, &server, &warnings);
        assert_eq!(checkpoints.load().unwrap(), (number > 1).then(|| long(number - 1)));
        checkpoints.save(&long(number)).unwrap();
        arrive(&mut checkpoints);
        let key = generation(u64::from(number), u64::from(number));
        let file = path.join(format!("{number:020}.ckpt"));
        assert!(fs::read(file).unwrap() == server.object(&key).unwrap());
        assert_eq!(checkpoints.finish(&long(number)).unwrap().mirrored, Some(u64::from(number)));
        fs::remove_dir_all(&path).unwrap();
    }
    assert_eq!(load(&server), Some(long(3)));
}

#[test]
fn no_fault_of_the_store_fails_a_save_or_loses_one() {
    for of in [Of::Put, Of::Part, Of::Complete, Of::List, Of::Get] {
        for fault in
            [Fault::LostAnswer, Fault::DoneAnd500, Fault::SlowDown, Fault::ErrorInBody, Fault::Conflict]
        {
            let (server, directory, warnings) =
                (Server::start(), tempfile::tempdir().unwrap(), Arc::default());
            let path = near(directory.path(), "near");
            let mut checkpoints = open(&path, &server, &warnings);
            checkpoints.save(&vec![1]).unwrap();
            arrive(&mut checkpoints);
            let state = if matches!(of, Of::Put) { vec![2] } else { long(2) };
            server.fault(of, fault);
            checkpoints.save(&state).unwrap();
            arrive(&mut checkpoints);
            assert_eq!(load(&server), Some(state), "{of:?} {fault:?}");
            checkpoints.save(&vec![3]).unwrap();
            arrive(&mut checkpoints);
            drop(checkpoints);
            assert_eq!(load(&server), Some(vec![3_u8]), "{of:?} {fault:?}");
            assert_eq!(server.unfinished(), 0, "{of:?} {fault:?}");
            let again = open(&path, &server, &warnings);
            drop(again);
        }
    }
}

#[test]
fn a_store_that_is_away_for_a_while_gets_the_newest_later() {
    let (server, directory, warnings) = (Server::start(), tempfile::tempdir().unwrap(), Arc::default());
    let path = near(directory.path(), "near");
    let mut checkpoints = open(&path, &server, &warnings);
    checkpoints.save(&vec![1]).unwrap();
    arrive(&mut checkpoints);
    server.set_away(true);
    for number in 2..=9 {
        checkpoints.save(&vec![number]).unwrap();
        let error = checkpoints.wait_for_mirror(LONG).unwrap_err();
        assert!(matches!(error, Error::NotMirrored { .. }), "{error}");
    }
    drop(checkpoints);
    // The program starts again while the store is away, and has nothing in common with it by now.
    let mut checkpoints = open(&path, &server, &warnings);
    assert_eq!(checkpoints.load().unwrap(), Some(vec![9]));
    checkpoints.save(&vec![10]).unwrap();
    let told = warnings.lock().unwrap().iter().filter(|text| text.contains("gets no copies for now")).count();
    assert_eq!(told, 2, "once for each run");
    server.set_away(false);
    arrive(&mut checkpoints);
    drop(checkpoints);
    assert_eq!(load(&server), Some(vec![10_u8]));
    // Without its own checkpoints, a program cannot know that there are none.
    server.set_away(true);
    let empty = near(directory.path(), "empty");
    let mirror = Mirror::in_home(once(&server));
    let error = Checkpointer::<Vec<u8>>::builder(&empty).mirror(mirror).open().unwrap_err();
    assert!(matches!(error, Error::MirrorUnreachable { .. }), "{error}");
}

#[test]
fn a_mirror_that_another_machine_took_over_is_left_to_it() {
    let (server, directory, warnings) = (Server::start(), tempfile::tempdir().unwrap(), Arc::default());
    let (first, second) = (near(directory.path(), "first"), near(directory.path(), "second"));
    let mut stalled = open(&first, &server, &warnings);
    stalled.save(&vec![1]).unwrap();
    arrive(&mut stalled);
    let mut later = open(&second, &server, &warnings);
    assert_eq!(later.load().unwrap(), Some(vec![1]));
    later.save(&vec![2]).unwrap();
    arrive(&mut later);
    stalled.save(&vec![20]).unwrap();
    stalled.wait_for_mirror(LONG).unwrap_err();
    stalled.save(&vec![21]).unwrap();
    stalled.wait_for_mirror(LONG).unwrap_err();
    let told = warnings.lock().unwrap().iter().filter(|text| text.contains("gets no more copies")).count();
    assert_eq!(told, 1);
    later.save(&vec![3]).unwrap();
    arrive(&mut later);
    assert_eq!(load(&server), Some(vec![3_u8]));
    // Each has what the other never had.
    drop((stalled, later));
    let mirror = Mirror::in_home(once(&server));
    let error = Checkpointer::<Vec<u8>>::builder(&first).mirror(mirror).open().unwrap_err();
    assert!(matches!(error, Error::MirrorApart { .. }), "{error}");
    assert_eq!(load(&server), Some(vec![3_u8]));
}

#[test]
fn a_late_upload_of_the_former_machine_ends_no_mirror() {
    let (server, directory, warnings) = (Server::start(), tempfile::tempdir().unwrap(), Arc::default());
    let (first, second) = (near(directory.path(), "first"), near(directory.path(), "second"));
    let mut former = open(&first, &server, &warnings);
    former.save(&vec![1]).unwrap();
    arrive(&mut former);
    drop(former);
    let mut later = open(&second, &server, &warnings);
    assert_eq!(later.load().unwrap(), Some(vec![1]));
    server.set_away(true);
    later.save(&vec![20]).unwrap();
    later.wait_for_mirror(LONG).unwrap_err();
    // The former one was sending its second generation, which is another file.
    let late = generation(2, 1);
    server.insert(&late, server.object(&generation(1, 1)).unwrap());
    server.set_away(false);
    arrive(&mut later);
    assert_eq!(load(&server), Some(vec![20_u8]));
    assert_eq!(server.object(&late), None);
    later.save(&vec![21]).unwrap();
    arrive(&mut later);
    drop(later);
    assert_eq!(open(&second, &server, &warnings).load().unwrap(), Some(vec![21]));
    let told = warnings.lock().unwrap();
    assert!(!told.iter().any(|text| text.contains("gets no more copies")), "{told:?}");
}

#[test]
fn a_mistyped_url_takes_no_store_from_the_run_that_saves_there() {
    let (server, directory) = (Server::start(), tempfile::tempdir().unwrap());
    let mut running = crate::open::<Vec<u8>>(&server).unwrap();
    running.save(&vec![1]).unwrap();
    let path = near(directory.path(), "near");
    Checkpointer::open(&path).unwrap().save(&vec![7_u8]).unwrap();
    let mirror = Mirror::in_home(once(&server));
    let error = Checkpointer::<Vec<u8>>::builder(&path).mirror(mirror).open().unwrap_err();
    assert!(matches!(error, Error::MirrorApart { .. }), "{error}");
    running.save(&vec![2]).unwrap();
    drop(running);
    assert_eq!(load(&server), Some(vec![2_u8]));
}

#[test]
fn a_mirror_that_leaves_numbers_out_leaves_few_claims() {
    let (server, directory) = (Server::start(), tempfile::tempdir().unwrap());
    let path = near(directory.path(), "near");
    let mirror = Mirror::in_home(once(&server)).every(3).keep_last(1);
    let mut checkpoints = Checkpointer::builder(&path).mirror(mirror).open().unwrap();
    let claims = || server.keys().iter().filter(|key| key.contains(".claims/")).count();
    let mut most = 0;
    for number in 1..=120_u64 {
        for _ in 0..3 {
            checkpoints.save(&number).unwrap();
        }
        checkpoints.wait_for_mirror(LONG).unwrap();
        most = most.max(claims());
    }
    assert!((2..=40).contains(&most), "{most}");
    drop(checkpoints);
    assert_eq!(claims(), 1);
    assert_eq!(load(&server), Some(120_u64));
}

#[test]
fn a_damaged_object_is_replaced_by_the_file() {
    let (server, directory, warnings) = (Server::start(), tempfile::tempdir().unwrap(), Arc::default());
    let path = near(directory.path(), "near");
    let mut checkpoints = open(&path, &server, &warnings);
    checkpoints.save(&long(1)).unwrap();
    arrive(&mut checkpoints);
    drop(checkpoints);
    let key = generation(1, 1);
    let mut bytes = server.object(&key).unwrap();
    let length = bytes.len();
    bytes[length - 100] ^= 1;
    server.insert(&key, bytes);
    let mut checkpoints = open(&path, &server, &warnings);
    arrive(&mut checkpoints);
    drop(checkpoints);
    assert_eq!(load(&server), Some(long(1)));
    // The other way around, and on a machine that lost all.
    let file = path.join(format!("{:020}.ckpt", 1));
    fs::write(&file, "damage").unwrap();
    assert_eq!(open(&path, &server, &warnings).load().unwrap(), Some(long(1)));
}

#[test]
fn a_generation_that_is_pinned_late_stays_in_the_store() {
    let (server, directory) = (Server::start(), tempfile::tempdir().unwrap());
    let path = near(directory.path(), "near");
    let mirror = Mirror::in_home(once(&server)).keep_last(1);
    let mut checkpoints = Checkpointer::builder(&path).keep_last(9).mirror(mirror).open().unwrap();
    for number in 1..=3_u64 {
        checkpoints.save(&number).unwrap();
        checkpoints.wait_for_mirror(LONG).unwrap();
    }
    // The mirror has given up 1 and 2. They are removed later, together with others.
    checkpoints.pin(1).unwrap();
    checkpoints.save(&4).unwrap();
    checkpoints.wait_for_mirror(LONG).unwrap();
    drop(checkpoints);
    let keys = server.keys();
    let of_first = |end: &str| {
        let begin = format!("run.ckpt/{:020}", 1);
        keys.iter().any(|key| key.starts_with(&begin) && key.ends_with(end))
    };
    assert!(of_first(".ckpt") && of_first(".pin"), "{keys:?}");
    let mut reader = CheckpointReader::<u64>::open_in(once(&server)).unwrap();
    assert_eq!(reader.generations().unwrap(), [1, 4]);
    assert_eq!(reader.load_generation(1).unwrap(), 1);
}
