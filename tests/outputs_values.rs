//! Values of an output that outlive their run, or whose bytes another clone replaced: none of them
//! takes away what a checkpoint counts on.

use std::fs;
use std::io::{self, Write as _};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use checkpointed::{Appended, CheckpointReader, Checkpointer, Error, checkpointed, reports::OutputFault};

/// A state with an output, which can refuse to be saved.
#[checkpointed]
#[derive(Debug, Clone)]
struct State {
    out: Appended,
    step: u64,
    #[serde(with = "refusing")]
    refuses: bool,
    #[serde(with = "panicking")]
    panics: bool,
}

mod panicking {
    use serde::{Deserialize, Deserializer, Serialize, Serializer};

    pub(super) fn serialize<S: Serializer>(panics: &bool, serializer: S) -> Result<S::Ok, S::Error> {
        assert!(!panics, "not today either");
        panics.serialize(serializer)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
        bool::deserialize(deserializer)
    }
}

mod refusing {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, ser::Error};

    pub(super) fn serialize<S: Serializer>(refuses: &bool, serializer: S) -> Result<S::Ok, S::Error> {
        if *refuses { Err(S::Error::custom("not today")) } else { refuses.serialize(serializer) }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<bool, D::Error> {
        bool::deserialize(deserializer)
    }
}

struct Bench {
    parent: tempfile::TempDir,
}

impl Bench {
    fn new() -> Bench {
        Bench { parent: tempfile::tempdir().unwrap() }
    }

    fn at(&self, name: &str) -> PathBuf {
        self.parent.path().join(name)
    }

    fn open(&self) -> Checkpointer<State> {
        Checkpointer::builder(self.at("run.ckpt")).warnings_to_stderr(false).open().unwrap()
    }

    fn start(&self, name: &str) -> State {
        State { out: Appended::at(self.at(name)), step: 0, refuses: false, panics: false }
    }

    fn content(&self, name: &str) -> String {
        fs::read_to_string(self.at(name)).unwrap()
    }

    /// The state and the file after a restart.
    fn restarted(&self) -> (u64, String) {
        let state = self.open().load().unwrap().unwrap();
        (state.step, fs::read_to_string(state.out.path()).unwrap())
    }
}

fn step(state: &mut State, line: &str) {
    state.step += 1;
    writeln!(state.out, "{line}").unwrap();
}

fn fault_of(error: &Error) -> OutputFault {
    match error {
        Error::Output { fault, .. } => *fault,
        other => unreachable!("{other}"),
    }
}

fn fault_of_write(written: io::Result<()>) -> OutputFault {
    fault_of(written.unwrap_err().get_ref().unwrap().downcast_ref::<Error>().unwrap())
}

/// A value that was loaded while the former one was there, and so has not opened its file. Its run
/// has ended, and another one has saved more.
fn of_an_ended_run(bench: &Bench) -> State {
    let mut checkpoints = bench.open();
    let mut state = bench.start("out.csv");
    step(&mut state, "one");
    checkpoints.save(&state).unwrap();
    let loaded = checkpoints.load().unwrap().unwrap();
    drop((state, checkpoints));
    let mut checkpoints = bench.open();
    let mut state = checkpoints.load().unwrap().unwrap();
    for line in ["two", "three"] {
        step(&mut state, line);
    }
    checkpoints.save(&state).unwrap();
    loaded
}

#[test]
fn a_value_of_an_ended_run_cuts_nothing_by_a_write() {
    let bench = Bench::new();
    let mut old = of_an_ended_run(&bench);
    let mut copy = old.clone();
    for out in [&mut old.out, &mut copy.out] {
        assert_eq!(fault_of_write(writeln!(out, "x")), OutputFault::RunEnded);
    }
    assert_eq!(bench.content("out.csv"), "one\ntwo\nthree\n");
    assert_eq!(bench.restarted(), (3, "one\ntwo\nthree\n".to_owned()));
}

#[test]
fn a_failed_save_of_an_old_value_cuts_nothing() {
    let bench = Bench::new();
    let mut old = of_an_ended_run(&bench);
    old.refuses = true;
    let mut checkpoints = bench.open();
    checkpoints.save(&old).unwrap_err();
    assert_eq!(fault_of_write(writeln!(old.out, "x")), OutputFault::RunEnded);
    drop(checkpoints);
    assert_eq!(bench.restarted(), (3, "one\ntwo\nthree\n".to_owned()));
}

#[test]
fn a_saved_value_of_an_ended_run_goes_on_in_the_present_one() {
    let bench = Bench::new();
    let mut old = of_an_ended_run(&bench);
    let mut checkpoints = bench.open();
    // The newest checkpoint has this one from now on.
    checkpoints.save(&old).unwrap();
    step(&mut old, "other");
    checkpoints.save(&old).unwrap();
    drop((old, checkpoints));
    assert_eq!(bench.restarted(), (2, "one\nother\n".to_owned()));
    assert_eq!(bench.content("out.csv.cut-at-4"), "two\nthree\n");
}

#[test]
fn a_clone_whose_bytes_were_replaced_is_refused() {
    // The second pair ends in the same bytes, and more of them than are compared.
    let (long, same) = ("converged\n".repeat(1000), "other way\n");
    for (late_line, early_line) in
        [("two", "TWO"), (&*format!("this way\n{long}"), &*format!("{same}{long}"))]
    {
        for background in [false, true] {
            let bench = Bench::new();
            let mut checkpoints = bench.open();
            let mut state = bench.start("out.csv");
            step(&mut state, "one");
            checkpoints.save(&state).unwrap();
            let early = state.clone();
            step(&mut state, late_line);
            let late = state.clone();
            state = early;
            step(&mut state, early_line);
            step(&mut state, "three");
            let error = match background {
                false => checkpoints.save(&late).map(drop).unwrap_err(),
                true => {
                    checkpoints.save_in_background(&late).unwrap();
                    checkpoints.wait().map(drop).unwrap_err()
                }
            };
            assert_eq!(fault_of(&error), OutputFault::Replaced, "{error}");
            checkpoints.save(&state).unwrap();
            drop((state, late, checkpoints));
            assert_eq!(bench.restarted(), (3, format!("one\n{early_line}\nthree\n")));
        }
    }
}

#[test]
fn clones_that_count_what_is_still_there_are_saved() {
    let bench = Bench::new();
    let mut checkpoints = bench.open();
    let mut state = bench.start("out.csv");
    step(&mut state, "one");
    let first = state.clone();
    step(&mut state, "two");
    let second = state.clone();
    step(&mut state, "three");
    state = second.clone();
    step(&mut state, "THREE");
    // Nothing was cut below what these count.
    for (clone, text) in [(&first, "one\n"), (&second, "one\ntwo\n"), (&state, "one\ntwo\nTHREE\n")] {
        checkpoints.save(clone).unwrap();
        let counted = CheckpointReader::<State>::open(bench.at("run.ckpt")).unwrap().load().unwrap();
        assert_eq!(counted.unwrap().out.len(), text.len() as u64);
    }
    drop((state, first, second, checkpoints));
    assert_eq!(bench.restarted(), (3, "one\ntwo\nTHREE\n".to_owned()));
}

#[test]
fn a_second_branch_leaves_the_file_of_the_first() {
    let bench = Bench::new();
    let mut checkpoints = bench.open();
    let mut state = bench.start("out.csv");
    step(&mut state, "one");
    checkpoints.save(&state).unwrap();
    drop((state, checkpoints));
    let branch = |name: &str| -> Checkpointer<State> {
        let builder = Checkpointer::builder(bench.at(name)).warnings_to_stderr(false);
        builder.branch_from(bench.at("run.ckpt")).open().unwrap()
    };
    let mut first = branch("first.ckpt");
    let mut state = first.load().unwrap().unwrap();
    state.out.continue_in(bench.at("branch.csv")).unwrap();
    step(&mut state, "first");
    first.save(&state).unwrap();
    drop((state, first));
    let mut second = branch("second.ckpt");
    let mut state = second.load().unwrap().unwrap();
    let error = state.out.continue_in(bench.at("branch.csv")).unwrap_err();
    if marks_are_kept(&bench) {
        assert_eq!(fault_of(&error), OutputFault::OtherRun);
        assert_eq!(bench.content("branch.csv"), "one\nfirst\n");
    }
    state.out.continue_in(bench.at("second.csv")).unwrap();
}

/// True if the file system keeps the marks of runs at files.
fn marks_are_kept(bench: &Bench) -> bool {
    let path = bench.at("marked");
    fs::write(&path, "").unwrap();
    let set = std::process::Command::new("python3")
        .args(["-c", "import os, sys; os.setxattr(sys.argv[1], 'user.test', b'1')"])
        .arg(&path)
        .stderr(std::process::Stdio::null())
        .status();
    set.is_ok_and(|status| status.success())
}

#[test]
fn a_value_of_a_reader_cuts_the_file_of_no_run() {
    let bench = Bench::new();
    if !marks_are_kept(&bench) {
        return crate::common::skipping("no extended attributes here");
    }
    let mut checkpoints = bench.open();
    let mut state = bench.start("out.csv");
    step(&mut state, "one");
    checkpoints.save(&state).unwrap();
    drop((state, checkpoints));
    // Another run, whose file begins with the same bytes.
    let path = bench.at("other.ckpt");
    let mut other = Checkpointer::<State>::open(&path).unwrap();
    let mut state = bench.start("other.csv");
    step(&mut state, "one");
    step(&mut state, "two");
    other.save(&state).unwrap();
    drop((state, other));
    let mut read = load(&bench.at("run.ckpt"));
    let error = read.out.continue_in(bench.at("other.csv")).unwrap_err();
    assert_eq!(fault_of(&error), OutputFault::OtherRun);
    assert_eq!(load(&path).step, 2);
    assert_eq!(bench.content("other.csv"), "one\ntwo\n");
}

fn load(path: &Path) -> State {
    CheckpointReader::open(path).unwrap().load().unwrap().unwrap()
}

#[test]
fn an_older_state_does_not_continue_in_the_file_of_the_newest() {
    let bench = Bench::new();
    let mut checkpoints = bench.open();
    let mut state = bench.start("day1.csv");
    step(&mut state, "one");
    checkpoints.save(&state).unwrap();
    state.out.continue_in(bench.at("day2.csv")).unwrap();
    step(&mut state, "two");
    checkpoints.save(&state).unwrap();
    drop((state, checkpoints));
    let mut checkpoints = bench.open();
    let mut old = checkpoints.load_generation(1).unwrap();
    if marks_are_kept(&bench) {
        let error = old.out.continue_in(bench.at("day2.csv")).unwrap_err();
        assert_eq!(fault_of(&error), OutputFault::NotNewest);
    }
    drop((old, checkpoints));
    assert_eq!(bench.restarted(), (2, "one\ntwo\n".to_owned()));
}

#[test]
fn nothing_newer_is_discarded_for_a_state_without_its_file() {
    let bench = Bench::new();
    let builder = Checkpointer::<State>::builder(bench.at("run.ckpt")).warnings_to_stderr(false);
    let mut checkpoints = builder.keep_last(3).open().unwrap();
    let mut state = bench.start("out.csv");
    step(&mut state, "one");
    let early = state.clone();
    step(&mut state, "two");
    checkpoints.save(&state).unwrap();
    // The run goes back: the file has no longer what the first generation counts on.
    drop(state);
    checkpoints.save(&early).unwrap();
    let mut state = early;
    step(&mut state, "x");
    checkpoints.save(&state).unwrap();
    drop(state);
    assert!(matches!(checkpoints.discard_newer(1), Err(Error::Output { .. })));
    assert_eq!(checkpoints.generations().unwrap(), [1, 2, 3]);
    drop(checkpoints);
    assert_eq!(bench.restarted(), (2, "one\nx\n".to_owned()));
}

#[test]
fn a_background_save_that_was_not_begun_keeps_no_file_open() {
    let bench = Bench::new();
    let mut checkpoints = bench.open();
    let mut state = bench.start("out.csv");
    step(&mut state, "one");
    checkpoints.save(&state).unwrap();
    step(&mut state, "not counted");
    state.refuses = true;
    checkpoints.save_in_background(&state).unwrap_err();
    drop(state);
    let loaded = checkpoints.load().unwrap().unwrap();
    assert_eq!(bench.content("out.csv"), "one\n");
    drop(loaded);
}

#[test]
fn a_save_that_panicked_leaves_the_outputs_as_an_error_does() {
    type Save = fn(&mut Checkpointer<State>, &State);
    let saves: [Save; 3] = [
        |checkpoints, state| drop(checkpoints.save(state)),
        |checkpoints, state| drop(checkpoints.save_in_background(state)),
        |checkpoints, state| drop(checkpoints.save_while(state, || ())),
    ];
    for save in saves {
        let bench = Bench::new();
        let mut checkpoints = bench.open();
        let mut state = bench.start("out.csv");
        step(&mut state, "one");
        checkpoints.save(&state).unwrap();
        step(&mut state, "not counted");
        state.panics = true;
        let saving = AssertUnwindSafe(|| save(&mut checkpoints, &state));
        catch_unwind(saving).unwrap_err();
        drop(state);
        let mut loaded = checkpoints.load().unwrap().unwrap();
        assert_eq!(bench.content("out.csv"), "one\n");
        step(&mut loaded, "two");
        checkpoints.save(&loaded).unwrap();
        drop((checkpoints, loaded));
        assert_eq!(bench.restarted(), (2, "one\ntwo\n".to_owned()));
    }
}

#[test]
fn a_branch_that_ended_before_its_first_save_begins_again() {
    let parent = tempfile::tempdir().unwrap();
    let at = |name: &str| parent.path().join(name);
    let mut run = Checkpointer::<Appended>::open(at("run.ckpt")).unwrap();
    let mut log = Appended::at(at("run.log"));
    writeln!(log, "one").unwrap();
    run.save(&log).unwrap();
    drop((run, log));
    for is_saved in [false, false, true] {
        let builder = Checkpointer::<Appended>::builder(at("branch.ckpt")).branch_from(at("run.ckpt"));
        let mut branch = builder.open().unwrap();
        let mut log = branch.load_generation(1).unwrap();
        log.continue_in(at("branch.log")).unwrap();
        writeln!(log, "more").unwrap();
        // A directory in its place keeps the checkpoint from its name.
        let places = [1, 2, 3].map(|number| at("branch.ckpt").join(format!("{number:020}.ckpt")));
        if !is_saved {
            places.iter().for_each(|place| fs::create_dir(place).unwrap());
        }
        assert_eq!(branch.save(&log).is_ok(), is_saved);
        drop(branch);
        if !is_saved {
            places.iter().for_each(|place| fs::remove_dir(place).unwrap());
        }
    }
    assert_eq!(fs::read_to_string(at("branch.log")).unwrap(), "one\nmore\n");
}

#[test]
fn a_file_of_what_was_given_up_can_be_continued_in() {
    for is_rewound in [true, false] {
        let parent = tempfile::tempdir().unwrap();
        let at = |name: &str| parent.path().join(name);
        let mut run = Checkpointer::<Appended>::builder(at("run.ckpt")).keep_last(9).open().unwrap();
        let mut log = Appended::at(at("a.csv"));
        writeln!(log, "one").unwrap();
        run.save(&log).unwrap();
        log.continue_in(at("b.csv")).unwrap();
        writeln!(log, "two").unwrap();
        run.save(&log).unwrap();
        drop(log);
        match is_rewound {
            true => drop(run.rewind(1).unwrap()),
            false => run.discard_newer(1).unwrap(),
        }
        let mut log = run.load().unwrap().unwrap();
        log.continue_in(at("b.csv")).unwrap();
        writeln!(log, "other").unwrap();
        run.save(&log).unwrap();
        assert_eq!(fs::read_to_string(at("b.csv")).unwrap(), "one\nother\n");
    }
}
