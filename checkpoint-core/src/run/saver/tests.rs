#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::fs;
use std::io::Write as _;
use std::path::PathBuf;
use std::sync::Arc;

use crate::stop::request_halt;
use crate::store::faults::{EIO, ENOSPC, Fault, FaultyDisk};
use crate::{Appended, CheckpointReader, Checkpointer, Error, Plain};

type State = (u64, Vec<f64>);

struct Run {
    _parent: tempfile::TempDir,
    path: PathBuf,
    disk: FaultyDisk,
    checkpoints: Checkpointer<State>,
}

fn run() -> Run {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let disk = FaultyDisk::default();
    let builder = Checkpointer::builder(&path).disk(Arc::new(disk.clone()));
    Run { _parent: parent, checkpoints: builder.open().unwrap(), path, disk }
}

fn state(number: u64) -> State {
    #[allow(clippy::cast_precision_loss, reason = "small numbers")]
    (number, vec![number as f64; 10_000])
}

#[test]
fn later_changes_of_the_state_do_not_reach_the_checkpoint() {
    let Run { disk, mut checkpoints, _parent, .. } = run();
    let mut present = state(1);
    let held = disk.hold();
    checkpoints.save_in_background(&present).unwrap();
    present.0 = 2;
    present.1.fill(2.0);
    drop(held);
    checkpoints.wait().unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(state(1)));
}

#[cfg(feature = "group")]
#[test]
fn a_part_that_is_held_is_written_once_it_is_released() {
    use std::time::Duration;

    use crate::Metadata;
    use crate::outcome::SaveReason;

    let begin = |run: &mut Run, number| {
        let before = run.disk.asked().len();
        run.checkpoints.begin_part(&SaveReason::Asked, &state(number), Metadata::new()).unwrap();
        // The thread has time to make the mistake.
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(run.disk.asked().len(), before, "it writes before its release");
        assert!(run.checkpoints.is_saving());
    };
    let mut run = run();
    begin(&mut run, 1);
    run.checkpoints.halves().1.release();
    assert_eq!(run.checkpoints.wait().unwrap().unwrap().generation, 1);
    // The wait for it releases it, and so does the end of the run.
    begin(&mut run, 2);
    assert_eq!(run.checkpoints.wait().unwrap().unwrap().generation, 2);
    begin(&mut run, 3);
    let Run { path, checkpoints, _parent, .. } = run;
    drop(checkpoints);
    assert_eq!(CheckpointReader::open(&path).unwrap().load().unwrap(), Some(state(3)));
}

#[test]
fn a_background_save_writes_what_a_save_writes() {
    let Run { path, mut checkpoints, _parent, .. } = run();
    checkpoints.save(&state(7)).unwrap();
    checkpoints.save_in_background(&state(7)).unwrap();
    checkpoints.wait().unwrap();
    let parts = |generation| {
        let reader = CheckpointReader::<State>::open(&path).unwrap();
        format!("{:?}", reader.manifest(generation).unwrap().parts)
    };
    assert_eq!(parts(1), parts(2));
    assert!(parts(1).contains("1.npy"), "{}", parts(1));
}

#[test]
fn one_save_after_the_other_each_is_acknowledged_by_the_next() {
    let Run { mut checkpoints, _parent, .. } = run();
    for number in 1..=20 {
        let begun = checkpoints.save_in_background(&state(number)).unwrap();
        assert_eq!(begun.generation, number);
    }
    let saved = checkpoints.wait().unwrap().unwrap();
    assert_eq!(saved.generation, 20);
    assert_eq!(checkpoints.wait().unwrap(), None, "it is returned once");
    assert_eq!(checkpoints.load().unwrap(), Some(state(20)));
}

#[test]
fn a_program_can_skip_a_save_while_another_runs() {
    let Run { disk, mut checkpoints, _parent, .. } = run();
    let held = disk.hold();
    assert!(!checkpoints.is_saving());
    checkpoints.save_in_background(&state(1)).unwrap();
    assert!(checkpoints.is_saving());
    drop(held);
    checkpoints.wait().unwrap();
    assert!(!checkpoints.is_saving());
    checkpoints.save_in_background(&state(3)).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(state(3)), "a load sees the save that goes on");
}

#[test]
fn the_next_call_returns_the_error_of_a_failed_save_once() {
    type Call = fn(&mut Checkpointer<State>) -> Result<(), Error>;
    let calls: [Call; 3] = [
        |checkpoints| checkpoints.save(&state(3)).map(drop),
        |checkpoints| checkpoints.save_in_background(&state(3)).map(drop),
        |checkpoints| checkpoints.wait().map(drop),
    ];
    for call in calls {
        let Run { disk, mut checkpoints, path, _parent } = run();
        checkpoints.save(&state(1)).unwrap();
        disk.plan(Some((3, Fault::Error(EIO))));
        checkpoints.save_in_background(&state(2)).unwrap();
        let error = call(&mut checkpoints).unwrap_err();
        assert!(matches!(error, Error::Io { .. }), "{error}");
        let loaded = CheckpointReader::<State>::open(&path).unwrap().load().unwrap();
        assert_eq!(loaded, Some(state(1)), "nothing that was acknowledged is touched");
        disk.plan(None);
        call(&mut checkpoints).unwrap();
        checkpoints.save(&state(4)).unwrap();
        assert_eq!(checkpoints.load().unwrap(), Some(state(4)));
    }
}

#[test]
fn finish_saves_and_returns_the_error_of_an_earlier_save() {
    let Run { path, disk, mut checkpoints, _parent } = run();
    disk.plan(Some((0, Fault::Error(EIO))));
    checkpoints.save_in_background(&state(1)).unwrap();
    assert!(matches!(checkpoints.finish(&state(2)), Err(Error::Io { .. })));
    assert_eq!(CheckpointReader::<State>::open(&path).unwrap().load().unwrap(), Some(state(2)));
}

#[test]
fn a_halt_stands_where_finish_returns_an_error() {
    let Run { path, disk, mut checkpoints, _parent } = run();
    disk.plan(Some((0, Fault::Error(EIO))));
    checkpoints.save_in_background(&state(1)).unwrap();
    request_halt(&path, "enough").unwrap();
    while checkpoints.should_stop().is_none() {
        std::thread::sleep(std::time::Duration::from_millis(50));
    }
    // What starts it again after an error starts a run that stops.
    checkpoints.finish(&state(2)).unwrap_err();
    assert!(path.join("halt").exists());
    let mut checkpoints = Checkpointer::<State>::open(&path).unwrap();
    assert!(checkpoints.should_stop().is_some());
    checkpoints.finish(&state(2)).unwrap();
    assert!(!path.join("halt").exists());
}

#[test]
fn dropping_the_checkpointer_completes_the_save() {
    let Run { path, disk, mut checkpoints, _parent } = run();
    let held = disk.hold();
    checkpoints.save_in_background(&state(1)).unwrap();
    drop(held);
    drop(checkpoints);
    assert_eq!(CheckpointReader::<State>::open(&path).unwrap().load().unwrap(), Some(state(1)));
    Checkpointer::<State>::open(&path).unwrap();
}

#[test]
fn a_panic_of_the_thread_is_an_error_and_the_next_save_succeeds() {
    for place in 0..6 {
        let Run { disk, mut checkpoints, _parent, .. } = run();
        checkpoints.save(&state(1)).unwrap();
        disk.plan(Some((place, Fault::Panic)));
        checkpoints.save_in_background(&state(2)).unwrap();
        let error = checkpoints.wait().unwrap_err();
        assert!(error.to_string().contains("panicked: planned"), "{error}");
        disk.plan(None);
        checkpoints.save_in_background(&state(3)).unwrap();
        checkpoints.wait().unwrap();
        assert_eq!(checkpoints.load().unwrap(), Some(state(3)));
    }
}

#[test]
fn a_save_that_failed_before_its_outputs_promises_nothing() {
    let parent = tempfile::tempdir().unwrap();
    let csv = parent.path().join("out.csv");
    let open = |name: &str| {
        let disk = FaultyDisk::default();
        let builder = Checkpointer::builder(parent.path().join(name)).disk(Arc::new(disk.clone()));
        (disk, builder.open().unwrap())
    };
    // An array that does not fit into the buffer, so that it is written before the rest.
    let field = || state(0).1;
    let (disk, mut checkpoints) = open("first.ckpt");
    disk.plan(None);
    checkpoints.save_in_background(&(field(), Appended::at(&csv))).unwrap();
    checkpoints.wait().unwrap();
    let write = disk.asked().iter().position(|asked| asked.starts_with("write")).unwrap();
    for (number, place) in [0, write].into_iter().enumerate() {
        for fault in [Fault::Error(ENOSPC), Fault::Panic] {
            let name = format!("{number} {fault:?}");
            let csv = parent.path().join(&name).with_extension("csv");
            let (disk, mut checkpoints) = open(&format!("{name}.ckpt"));
            let mut state = (field(), Appended::at(&csv));
            state.1.write_all(b"one\n").unwrap();
            checkpoints.save(&state).unwrap();
            state.1.write_all(b"two\n").unwrap();
            disk.plan(Some((place, fault)));
            checkpoints.save_in_background(&state).unwrap();
            checkpoints.wait().unwrap_err();
            disk.plan(None);
            drop(state);
            let mut state = checkpoints.load().unwrap().unwrap();
            state.1.write_all(b"three\n").unwrap();
            checkpoints.save(&state).unwrap();
            assert_eq!(fs::read_to_string(&csv).unwrap(), "one\nthree\n", "{name}");
        }
    }
}

#[test]
fn a_state_that_cannot_be_encoded_begins_no_save() {
    #[derive(serde::Deserialize)]
    struct Broken;

    impl serde::Serialize for Broken {
        fn serialize<S: serde::Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("not today"))
        }
    }

    let parent = tempfile::tempdir().unwrap();
    let disk = FaultyDisk::default();
    let mut checkpoints = Checkpointer::builder(parent.path()).disk(Arc::new(disk.clone())).open().unwrap();
    disk.plan(None);
    let error = checkpoints.save_in_background(&Plain(Broken)).unwrap_err();
    assert!(matches!(error, Error::Encode { .. }), "{error}");
    assert!(error.to_string().contains("not today"));
    assert_eq!(disk.asked(), [""; 0]);
}
