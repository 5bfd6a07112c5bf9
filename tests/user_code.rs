//! Code of the program that runs inside the library may panic: callbacks, `Serialize`,
//! `Deserialize`, `Drop`, closures. Then nothing hangs, no acknowledged state is lost, and the next
//! save and load succeed.

use std::cell::{Cell, RefCell};
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use crate::common::{assert_passed, file_of, inside, must_end, once_more};
use checkpointed::{
    Builder, CheckpointReader, Checkpointer, Error, Metadata, Pipeline, Plain, Schedule, Scopes,
    checkpointed,
    reports::{Decision, Progress},
};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    (parent, path)
}

fn panics<R>(work: impl FnOnce() -> R) -> bool {
    catch_unwind(AssertUnwindSafe(work)).is_err()
}

/// The kinds of progress. A callback may panic at each.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Kind {
    Begun,
    Writing,
    Saved,
    Failed,
}

impl Kind {
    fn of(progress: &Progress) -> Kind {
        match progress {
            Progress::Started { .. } => Kind::Begun,
            Progress::Writing { .. } => Kind::Writing,
            Progress::Saved(_) => Kind::Saved,
            Progress::Failed { .. } => Kind::Failed,
            _ => unreachable!(),
        }
    }
}

/// Long enough for progress reports during the write.
type State = Vec<u8>;

fn state(number: u8) -> State {
    vec![number; 9 << 20]
}

/// A program with a callback that panics at one kind of progress, and the kinds that it was told.
fn with_a_callback_that_panics(at: Kind, path: &Path) -> (Checkpointer<State>, Arc<Mutex<Vec<Kind>>>) {
    let told = Arc::new(Mutex::new(Vec::new()));
    let ours = Arc::clone(&told);
    let builder = Checkpointer::builder(path).durable(false).warnings_to_stderr(false);
    let builder = builder.on_progress(move |progress| {
        ours.lock().unwrap().push(Kind::of(progress));
        assert_ne!(Kind::of(progress), at, "as if the pipe were closed");
    });
    (builder.open().unwrap(), told)
}

/// Runs `work` while every save fails.
fn where_saves_fail<R>(path: &Path, work: impl FnOnce() -> R) -> R {
    let away = path.with_extension("away");
    fs::rename(path, &away).unwrap();
    let result = work();
    fs::rename(&away, path).unwrap();
    result
}

type Way = fn(Checkpointer<State>) -> Option<Checkpointer<State>>;

/// The ways that a program can continue after it has begun to save.
const WAYS: [(&str, Way); 5] = [
    ("wait", |mut checkpoints| {
        let _ = checkpoints.wait();
        Some(checkpoints)
    }),
    ("save", |mut checkpoints| {
        let _ = checkpoints.save(&state(3));
        Some(checkpoints)
    }),
    ("save in the background", |mut checkpoints| {
        let _ = checkpoints.save_in_background(&state(3));
        Some(checkpoints)
    }),
    ("drop", |checkpoints| {
        drop(checkpoints);
        None
    }),
    ("finish", |checkpoints| {
        let _ = checkpoints.finish(&state(3));
        None
    }),
];

#[test]
fn a_callback_that_panics_neither_hangs_a_save_nor_fails_it() {
    for at in [Kind::Begun, Kind::Writing, Kind::Saved, Kind::Failed] {
        for in_background in [false, true] {
            for (name, way) in WAYS {
                println!("{at:?} {in_background} {name}");
                must_end(move || panics_at(at, in_background, way));
            }
        }
    }
}

fn panics_at(at: Kind, in_background: bool, way: Way) {
    let (_parent, path) = nowhere();
    let (mut checkpoints, told) = with_a_callback_that_panics(at, &path);
    let save = |checkpoints: &mut Checkpointer<State>| match in_background {
        true => checkpoints.save_in_background(&state(2)).map(drop),
        false => checkpoints.save(&state(2)).map(drop),
    };
    let left = if at == Kind::Failed {
        where_saves_fail(&path, || {
            let _ = save(&mut checkpoints);
            way(checkpoints)
        })
    } else {
        save(&mut checkpoints).unwrap();
        way(checkpoints)
    };
    assert!(told.lock().unwrap().contains(&at));
    drop(left);
    let mut again = Checkpointer::<State>::open(&path).unwrap();
    if at != Kind::Failed {
        let loaded = again.load().unwrap().unwrap();
        assert!(loaded == state(2) || loaded == state(3));
    }
    again.save(&state(4)).unwrap();
    assert!(again.load().unwrap() == Some(state(4)));
}

#[test]
fn a_callback_that_panicked_is_called_no_more_and_it_is_said() {
    let (_parent, path) = nowhere();
    let (calls, warnings) = (Arc::new(AtomicUsize::new(0)), Arc::new(Mutex::new(Vec::new())));
    let (counted, heard) = (Arc::clone(&calls), Arc::clone(&warnings));
    let mut checkpoints = Checkpointer::<u64>::builder(&path)
        .on_progress(move |_| {
            counted.fetch_add(1, Ordering::Relaxed);
            panic!("the pipe is closed");
        })
        .on_warning(move |warning| heard.lock().unwrap().push(warning.to_string()))
        .open()
        .unwrap();
    for number in 0..3 {
        checkpoints.save(&number).unwrap();
    }
    let warnings = warnings.lock().unwrap();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    assert!(
        warnings[0].contains("on_progress") && warnings[0].contains("the pipe is closed"),
        "{warnings:?}"
    );
    assert_eq!(calls.load(Ordering::Relaxed), 1);
}

#[test]
fn a_pipeline_whose_watcher_panics_goes_on() {
    let (_parent, path) = nowhere();
    let pipeline = Pipeline::open(&path).unwrap().on_step(|_| panic!("the pipe is closed"));
    let made = pipeline.step("one").run(|_| Ok::<u64, Error>(1)).unwrap();
    assert_eq!(*made.load().unwrap(), 1);
    assert_eq!(pipeline.finish().unwrap().len(), 1);
}

thread_local! {
    /// The present behaviour of the state below.
    static DOES: Cell<Does> = const { Cell::new(Does::Nothing) };
}

#[derive(Clone, Copy, PartialEq)]
enum Does {
    Nothing,
    PanicWhenWritten,
    PanicWhenRead,
    PanicWhenDropped,
}

/// A state of another crate that may panic.
#[derive(Debug, PartialEq)]
struct Moody(u64);

impl Serialize for Moody {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(DOES.get() != Does::PanicWhenWritten, "not today");
        self.0.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Moody {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Moody, D::Error> {
        assert!(DOES.get() != Does::PanicWhenRead, "not today");
        u64::deserialize(deserializer).map(Moody)
    }
}

impl Drop for Moody {
    fn drop(&mut self) {
        assert!(DOES.get() != Does::PanicWhenDropped || std::thread::panicking(), "not today");
    }
}

type Mood = Plain<(Vec<f64>, Moody)>;

fn mood(number: u64) -> Mood {
    Plain((vec![0.5; 10_000], Moody(number)))
}

fn moody(path: &Path) -> Builder<Mood> {
    Checkpointer::<Mood>::builder(path).schedule(Schedule::every_steps(1))
}

#[test]
fn after_a_state_that_panics_in_a_save_the_program_can_save() {
    type Save = fn(&mut Checkpointer<Mood>) -> Result<(), Error>;
    let saves: [(&str, bool, Save); 5] = [
        ("save", false, |checkpoints| checkpoints.save(&mood(2)).map(drop)),
        ("background", false, |checkpoints| checkpoints.save_in_background(&mood(2)).map(drop)),
        ("due", false, |checkpoints| checkpoints.save_if_due(&mood(2)).map(drop)),
        ("due, in the background", true, |checkpoints| checkpoints.save_if_due(&mood(2)).map(drop)),
        ("metadata", false, |checkpoints| {
            checkpoints.save_if_due_with(&mood(2), || panic!("none")).map(drop)
        }),
    ];
    for (name, background, save) in saves {
        let (_parent, path) = nowhere();
        let told = Arc::new(Mutex::new(Vec::new()));
        let ours = Arc::clone(&told);
        let builder = moody(&path).background(background);
        let builder = builder.on_progress(move |progress| ours.lock().unwrap().push(Kind::of(progress)));
        let mut checkpoints = builder.open().unwrap();
        checkpoints.save(&mood(1)).unwrap();
        told.lock().unwrap().clear();
        DOES.set(Does::PanicWhenWritten);
        assert!(panics(|| save(&mut checkpoints)), "{name}");
        DOES.set(Does::Nothing);
        // A save that began is reported as failed.
        let expected: &[Kind] = if name == "metadata" { &[] } else { &[Kind::Begun, Kind::Failed] };
        assert_eq!(*told.lock().unwrap(), expected, "{name}");
        assert_eq!(checkpoints.wait().unwrap(), None, "{name}");
        assert_eq!(checkpoints.load().unwrap(), Some(mood(1)), "{name}");
        for number in [3, 4] {
            checkpoints.save(&mood(number)).unwrap();
            checkpoints.save_in_background(&mood(number)).unwrap();
        }
        checkpoints.wait().unwrap();
        assert_eq!(checkpoints.load().unwrap(), Some(mood(4)), "{name}");
    }
}

#[test]
fn a_state_that_panics_at_the_end_leaves_what_was_saved() {
    let (_parent, path) = nowhere();
    let mut checkpoints = moody(&path).open().unwrap();
    checkpoints.save(&mood(1)).unwrap();
    DOES.set(Does::PanicWhenWritten);
    assert!(panics(|| checkpoints.finish(&mood(2))));
    DOES.set(Does::Nothing);
    assert_eq!(moody(&path).open().unwrap().load().unwrap(), Some(mood(1)));
}

#[test]
fn a_state_that_panics_when_it_is_loaded_can_be_loaded_later() {
    let (_parent, path) = nowhere();
    let mut checkpoints = moody(&path).open().unwrap();
    checkpoints.save(&mood(1)).unwrap();
    checkpoints.save_in_background(&mood(2)).unwrap();
    DOES.set(Does::PanicWhenRead);
    assert!(panics(|| checkpoints.load()));
    assert!(panics(|| checkpoints.load_into(&mut mood(0))));
    DOES.set(Does::Nothing);
    assert_eq!(checkpoints.load().unwrap(), Some(mood(2)));
    checkpoints.save(&mood(3)).unwrap();
    assert_eq!(CheckpointReader::<Mood>::open(&path).unwrap().load().unwrap(), Some(mood(3)));
}

#[test]
fn what_a_load_found_damaged_counts_though_the_old_state_panics() {
    let (_parent, path) = nowhere();
    let mut checkpoints = moody(&path).warnings_to_stderr(false).open().unwrap();
    checkpoints.save(&mood(1)).unwrap();
    checkpoints.save(&mood(2)).unwrap();
    fs::write(file_of(&path, 2), "damage").unwrap();
    let mut present = mood(0);
    DOES.set(Does::PanicWhenDropped);
    assert!(panics(|| checkpoints.load_into(&mut present)));
    DOES.set(Does::Nothing);
    assert_eq!(present, mood(1), "it is there all the same");
    // A damaged generation does not count among the last two.
    checkpoints.save(&mood(3)).unwrap();
    assert!(file_of(&path, 1).exists());
}

#[checkpointed]
#[derive(Debug, PartialEq)]
struct Variables {
    moody: Moody,
}

#[test]
fn variables_that_panic_when_they_are_kept_are_not_kept() {
    let (_parent, path) = nowhere();
    let variables = |number| Variables { moody: Moody(number) };
    let mut scopes = Scopes::open(&path).unwrap();
    let mut outer = scopes.enter::<Variables>("outer").unwrap();
    outer.keep(&variables(1)).unwrap();
    DOES.set(Does::PanicWhenWritten);
    assert!(panics(|| outer.keep(&variables(2))));
    DOES.set(Does::Nothing);
    // Otherwise an inner save would forget the outer variables.
    assert!(matches!(outer.enter::<u64>("inner").unwrap_err(), Error::ScopeNotKept { .. }));
    outer.keep(&variables(3)).unwrap();
    let mut inner = outer.enter::<u64>("inner").unwrap();
    inner.save(&7).unwrap();
    drop(inner);
    drop(outer);
    drop(scopes);
    let mut scopes = Scopes::open(&path).unwrap();
    assert!(scopes.restore().unwrap());
    assert_eq!(scopes.enter::<Variables>("outer").unwrap().restored(), Some(variables(3)));
}

#[test]
fn work_that_panics_inside_once_is_done_again() {
    let (_parent, path) = nowhere();
    let mut scopes = Scopes::open(&path).unwrap();
    let mut outer = scopes.enter::<u64>("outer").unwrap();
    outer.keep(&0).unwrap();
    assert!(panics(|| outer.once("first", |scopes| -> Result<u64, Error> {
        let _inner = scopes.enter::<()>("inner")?;
        panic!("not today")
    })));
    assert_eq!(outer.once("first", |_| Ok::<u64, Error>(1)).unwrap(), 1);
}

#[test]
fn a_decision_about_words_that_panicked_can_be_made_again() {
    let (_parent, path) = nowhere();
    let mut checkpoints = moody(&path).open().unwrap();
    assert!(panics(|| checkpoints.save_if_due_with(&mood(1), || panic!("none"))));
    let decision = checkpoints.save_if_due_with(&mood(1), Metadata::new).unwrap();
    assert!(matches!(decision, Decision::Saved { .. }), "{decision}");
}

thread_local! {
    static OF_THREAD: RefCell<Option<Checkpointer<u64>>> = const { RefCell::new(None) };
}

/// A panic while a variable of a thread is dropped would end the process.
#[test]
fn a_checkpointer_may_live_in_a_variable_of_a_thread() {
    let Some(directory) = inside() else {
        let directory = tempfile::tempdir().unwrap();
        let test = "a_checkpointer_may_live_in_a_variable_of_a_thread";
        return assert_passed(&once_more(test, &[], directory.path()).output().unwrap());
    };
    let path = directory.join("run.ckpt");
    for number in 1..=3_u64 {
        let path = path.clone();
        let work = move || {
            // It is there before any value of the library, and so is dropped after them.
            OF_THREAD.with_borrow_mut(|of_thread| {
                let mut checkpoints = Checkpointer::<u64>::builder(path).background(true).open().unwrap();
                assert_eq!(checkpoints.load().unwrap(), Some(number - 1).filter(|number| *number > 0));
                checkpoints.save_in_background(&number).unwrap();
                *of_thread = Some(checkpoints);
            });
        };
        std::thread::spawn(work).join().unwrap();
    }
    assert_eq!(CheckpointReader::<u64>::open(&path).unwrap().load().unwrap(), Some(3));
}

/// A state in a form of its own, which is saved when its thread ends.
struct SavedAtTheEnd(Checkpointer<Plain<InText>>, u64);

#[derive(Serialize, Deserialize)]
struct InText(#[serde(with = "checkpointed::self_describing")] u64);

impl Drop for SavedAtTheEnd {
    fn drop(&mut self) {
        self.0.save(&Plain(InText(self.1))).unwrap();
    }
}

thread_local! {
    static AT_THE_END: RefCell<Option<SavedAtTheEnd>> = const { RefCell::new(None) };
}

#[test]
fn a_state_may_be_saved_while_its_thread_ends() {
    let Some(directory) = inside() else {
        let directory = tempfile::tempdir().unwrap();
        let test = "a_state_may_be_saved_while_its_thread_ends";
        return assert_passed(&once_more(test, &[], directory.path()).output().unwrap());
    };
    let path = directory.join("run.ckpt");
    let at = path.clone();
    let work = move || {
        // It is there before any value of the library, and so is dropped after them.
        AT_THE_END.with_borrow_mut(|at_the_end| {
            let mut checkpoints = Checkpointer::open(at).unwrap();
            checkpoints.save(&Plain(InText(1))).unwrap();
            *at_the_end = Some(SavedAtTheEnd(checkpoints, 2));
        });
    };
    std::thread::spawn(work).join().unwrap();
    let state = CheckpointReader::<Plain<InText>>::open(&path).unwrap().load().unwrap().unwrap();
    assert_eq!(state.0.0, 2);
}
