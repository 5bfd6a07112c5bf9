//! Files that grow with a run: after any number of crashes they are those of a run without one.

use std::fs;
use std::io::Write as _;
use std::path::Path;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::common::{inside, names_in, once_more};
use checkpointed::{
    Appended, CheckpointReader, Checkpointer, Error, OutputFault, ReadBack, Schedule, checkpointed,
};

#[checkpointed]
#[derive(Clone, Debug)]
struct Chain {
    step: u64,
    value: u64,
    samples: Appended,
    log: Appended,
}

impl Chain {
    fn new(directory: &Path) -> Chain {
        let at = |name: &str| Appended::at(directory.join(name));
        Chain { step: 0, value: 1, samples: at("chain.csv"), log: at("chain.log") }
    }

    fn advance(&mut self) {
        self.step += 1;
        self.value = self.value.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        writeln!(self.samples, "{},{}", self.step, self.value).unwrap();
        if self.step.is_multiple_of(7) {
            // Longer than the buffer now and then.
            let length = if self.step.is_multiple_of(70) { 70_000 } else { 70 };
            writeln!(self.log, "{}", "=".repeat(length)).unwrap();
        }
    }
}

fn open(directory: &Path) -> Checkpointer<Chain> {
    Checkpointer::open(directory.join("run.ckpt")).unwrap()
}

fn content(directory: &Path, name: &str) -> Vec<u8> {
    fs::read(directory.join(name)).unwrap()
}

/// The files after this number of steps without an interruption.
fn expected(steps: u64) -> (Vec<u8>, Vec<u8>) {
    let directory = tempfile::tempdir().unwrap();
    let mut chain = Chain::new(directory.path());
    (0..steps).for_each(|_| chain.advance());
    open(directory.path()).finish(&chain).unwrap();
    (content(directory.path(), "chain.csv"), content(directory.path(), "chain.log"))
}

fn assert_files(directory: &Path, steps: u64) {
    let (samples, log) = expected(steps);
    assert!(content(directory, "chain.csv") == samples, "the samples after {steps} steps");
    assert!(content(directory, "chain.log") == log, "the log after {steps} steps");
}

fn fault(error: &Error) -> OutputFault {
    match error {
        Error::Output { fault, .. } => *fault,
        other => panic!("{other:?}"),
    }
}

fn fault_of(error: &std::io::Error) -> OutputFault {
    fault(error.get_ref().unwrap().downcast_ref().unwrap())
}

const STEPS: u64 = 3000;

#[cfg(unix)]
#[test]
fn killed_at_any_moment_the_files_end_as_if_never() {
    let test = "killed_at_any_moment_the_files_end_as_if_never";
    if let Some(directory) = inside() {
        let builder = Checkpointer::<Chain>::builder(directory.join("run.ckpt"));
        let mut checkpoints = builder.schedule(Schedule::every_steps(20)).background(true).open().unwrap();
        let mut chain = checkpoints.load_or_else(|| Chain::new(&directory)).unwrap();
        while chain.step < STEPS {
            chain.advance();
            checkpoints.save_if_due(&chain).unwrap();
            if chain.step.is_multiple_of(90) {
                checkpoints.save(&chain).unwrap();
            }
        }
        checkpoints.finish(&chain).unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let most = std::env::var("CHECKPOINT_KILLS").ok().map_or(60, |text| text.parse::<u64>().unwrap());
    // The wait changes with each run: one that comes to its end in time is no kill.
    let (mut kills, mut runs) = (0, 0_u64);
    while kills < most {
        runs += 1;
        let mut program = once_more(test, &[], directory.path());
        let mut child = program.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_micros(7919 * (runs * runs % 29)));
        child.kill().unwrap();
        if child.wait().unwrap().success() {
            // It came to its end: the next one begins again.
            assert_files(directory.path(), STEPS);
            fs::remove_dir_all(directory.path()).unwrap();
            fs::create_dir(directory.path()).unwrap();
        } else {
            kills += 1;
        }
    }
    let last = once_more(test, &[], directory.path()).output().unwrap();
    assert!(last.status.success(), "{last:?}");
    assert_files(directory.path(), STEPS);
    println!("{kills} kills in {runs} runs");
}

#[test]
fn a_load_cuts_what_came_after_the_checkpoint() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut chain = Chain::new(path);
    let mut checkpoints = open(path);
    (0..50).for_each(|_| chain.advance());
    checkpoints.save(&chain).unwrap();
    (0..50).for_each(|_| chain.advance());
    drop((chain, checkpoints));
    assert!(content(path, "chain.csv").len() > expected(50).0.len(), "the rest was written, too");

    // A reader changes nothing, and its value cannot be written to.
    let mut reader = CheckpointReader::<Chain>::open(path.join("run.ckpt")).unwrap();
    let mut seen = reader.load().unwrap().unwrap();
    assert_eq!(seen.samples.path(), path.join("chain.csv"));
    assert_eq!(fault_of(&seen.samples.write_all(b"x").unwrap_err()), OutputFault::OtherRun);
    assert!(content(path, "chain.csv").len() > expected(50).0.len());

    let chain = open(path).load().unwrap().unwrap();
    assert_eq!(chain.samples.len(), expected(50).0.len() as u64);
    assert_files(path, 50);
    assert_eq!(names_in(path), ["chain.csv", "chain.log", "run.ckpt"]);
}

#[test]
fn what_a_load_cuts_is_kept_on_request() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut chain = Chain::new(path);
    let mut checkpoints = open(path);
    chain.advance();
    checkpoints.save(&chain).unwrap();
    let counted = chain.samples.len();
    chain.advance();
    drop((chain, checkpoints));
    let rest = content(path, "chain.csv").split_off(usize::try_from(counted).unwrap());
    let mut checkpoints =
        Checkpointer::<Chain>::builder(path.join("run.ckpt")).keep_cut_outputs(true).open().unwrap();
    checkpoints.load().unwrap().unwrap();
    assert_eq!(content(path, &format!("chain.csv.cut-at-{counted}")), rest);
}

#[test]
fn a_file_that_is_not_the_counted_one_is_an_error() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut chain = Chain::new(path);
    (0..50).for_each(|_| chain.advance());
    open(path).save(&chain).unwrap();
    drop(chain);
    let (samples, log) = expected(50);
    let csv = path.join("chain.csv");
    let longer = [&samples[..], b"more"].concat();
    let mut other = samples.clone();
    *other.last_mut().unwrap() = b'?';
    // A hole of NULs, as after a power cut without syncs.
    let nuls = [&samples[..100], &vec![0; samples.len() - 100]].concat();
    let cases: [(Option<&[u8]>, OutputFault); 4] = [
        (None, OutputFault::Gone),
        (Some(&samples[..100]), OutputFault::Shorter { length: 100 }),
        (Some(&other), OutputFault::Other),
        (Some(&nuls), OutputFault::Other),
    ];
    // The other file is cut only together with this one.
    fs::write(path.join("chain.log"), [&log[..], b"more"].concat()).unwrap();
    for (present, expected) in cases {
        match present {
            Some(bytes) => fs::write(&csv, bytes).unwrap(),
            None => fs::remove_file(&csv).unwrap(),
        }
        let error = open(path).load().unwrap_err();
        assert_eq!(fault(&error), expected);
        let message = error.to_string();
        assert!(message.contains(&csv.display().to_string()), "{message}");
        assert!(message.contains(&samples.len().to_string()), "{message}");
        assert_eq!(fs::read(&csv).ok().as_deref(), present, "nothing was changed");
        assert_eq!(content(path, "chain.log").len(), log.len() + 4);
    }
    fs::write(&csv, longer).unwrap();
    open(path).load().unwrap().unwrap();
    assert_files(path, 50);
}

#[test]
fn an_earlier_generation_takes_the_files_back_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut chain = Chain::new(path);
    let mut checkpoints = open(path);
    for _ in 0..2 {
        (0..20).for_each(|_| chain.advance());
        checkpoints.save(&chain).unwrap();
    }
    drop((chain, checkpoints));

    // To look at an older one changes nothing, and so does a write to it.
    let mut checkpoints = open(path);
    let mut older = checkpoints.load_generation(1).unwrap();
    assert_eq!(fault_of(&older.samples.write_all(b"x").unwrap_err()), OutputFault::NotNewest);
    assert_files(path, 40);
    // Once it was saved after the newer one, it goes on.
    checkpoints.save(&older).unwrap();
    assert_files(path, 20);
    (0..5).for_each(|_| older.advance());
    checkpoints.finish(&older).unwrap();
    drop(older);
    assert_files(path, 25);

    // The same after the newer ones were removed.
    let mut checkpoints = open(path);
    let mut older = checkpoints.load_generation(3).unwrap();
    checkpoints.discard_newer(3).unwrap();
    older.advance();
    checkpoints.finish(&older).unwrap();
    drop(older);
    assert_files(path, 21);

    // A damaged newest one is passed over; what it counted is kept.
    let newest = open(path).generations().unwrap().pop().unwrap();
    fs::write(path.join(format!("run.ckpt/{newest:020}.ckpt")), "damage").unwrap();
    let chain = open(path).load().unwrap().unwrap();
    assert_eq!(chain.step, 20);
    assert_files(path, 20);
    // It is the third that was cut there.
    let cut = format!("chain.csv.cut-at-{}-2", expected(20).0.len());
    assert_eq!(content(path, &cut), expected(21).0.split_off(expected(20).0.len()));
}

#[test]
fn a_program_goes_back_in_memory_and_by_a_load() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut chain = Chain::new(path);
    let mut checkpoints = open(path);
    (0..20).for_each(|_| chain.advance());
    checkpoints.save(&chain).unwrap();
    (0..20).for_each(|_| chain.advance());
    // A load beside the running state does not disturb it.
    let seen = checkpoints.load().unwrap().unwrap();
    assert_eq!(seen.step, 20);
    chain.advance();
    // And the loaded state takes the file over once the other one is gone.
    let mut chain = {
        drop(chain);
        seen
    };
    (0..5).for_each(|_| chain.advance());
    let backup = chain.clone();
    (0..9).for_each(|_| chain.advance());
    // Two values that append would mix their lines.
    let mut both = backup.clone();
    assert_eq!(fault_of(&both.samples.write_all(b"x").unwrap_err()), OutputFault::InUse);
    drop((chain, both));
    let mut chain = backup;
    chain.advance();
    checkpoints.save(&chain).unwrap();
    assert_files(path, 26);
    assert!(checkpoints.load_into(&mut chain).unwrap());
    chain.advance();
    checkpoints.save(&chain).unwrap();
    assert_files(path, 27);
    // A clone from before a checkpoint cannot cut off what that counts on.
    let mut older = chain.clone();
    chain.advance();
    checkpoints.save(&chain).unwrap();
    drop(chain);
    assert_eq!(fault_of(&older.samples.write_all(b"x").unwrap_err()), OutputFault::NotNewest);
    checkpoints.save(&older).unwrap();
    older.advance();
    older.advance();
    checkpoints.finish(&older).unwrap();
    assert_files(path, 29);
}

#[test]
fn a_background_save_counts_the_bytes_at_its_copy() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut chain = Chain::new(path);
    let mut checkpoints = open(path);
    (0..30).for_each(|_| chain.advance());
    checkpoints.save_in_background(&chain).unwrap();
    (0..30).for_each(|_| chain.advance());
    checkpoints.wait().unwrap();
    drop((chain, checkpoints));
    let mut chain = open(path).load().unwrap().unwrap();
    assert_eq!(chain.step, 30);
    assert_files(path, 30);

    let mut checkpoints = open(path);
    let (saved, ()) = checkpoints.save_while(&chain, || ()).unwrap();
    assert_eq!(saved.generation, 2);
    chain.advance();
    checkpoints.finish(&chain).unwrap();
    assert_files(path, 31);
}

#[test]
fn a_branch_and_a_copy_leave_the_files_of_the_run() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut chain = Chain::new(path);
    (0..30).for_each(|_| chain.advance());
    open(path).save(&chain).unwrap();
    drop(chain);

    let branch =
        || Checkpointer::<Chain>::builder(path.join("branch.ckpt")).branch_from(path.join("run.ckpt"));
    let mut checkpoints = branch().open().unwrap();
    let mut chain = checkpoints.load().unwrap().unwrap();
    assert_eq!(fault_of(&chain.samples.write_all(b"x").unwrap_err()), OutputFault::OtherRun);
    assert_eq!(fault(&checkpoints.save(&chain).unwrap_err()), OutputFault::OtherRun);
    for _ in 0..2 {
        chain.samples.continue_in(path.join("branch.csv")).unwrap();
        chain.log.continue_in(path.join("branch.log")).unwrap();
    }
    chain.advance();
    checkpoints.finish(&chain).unwrap();
    drop(chain);
    assert_eq!((content(path, "branch.csv"), content(path, "branch.log")), expected(31));
    assert_files(path, 30);
    // A restart of the branch goes on in its own files.
    let mut checkpoints = branch().open().unwrap();
    let mut chain = checkpoints.load().unwrap().unwrap();
    chain.samples.continue_in(path.join("branch.csv")).unwrap();
    chain.advance();
    checkpoints.finish(&chain).unwrap();
    drop(chain);
    assert_eq!(content(path, "branch.csv"), expected(32).0);

    // A copy beside the original is a branch, too.
    checkpointed::inspect::copy(path.join("run.ckpt"), path.join("copy.ckpt")).unwrap();
    let mut chain = Checkpointer::<Chain>::open(path.join("copy.ckpt")).unwrap().load().unwrap().unwrap();
    assert_eq!(fault_of(&chain.samples.write_all(b"x").unwrap_err()), OutputFault::OtherRun);
    // Under a new name, without the original, it is the run itself.
    fs::remove_dir_all(path.join("run.ckpt")).unwrap();
    let mut checkpoints = Checkpointer::<Chain>::open(path.join("copy.ckpt")).unwrap();
    let mut chain = checkpoints.load().unwrap().unwrap();
    chain.advance();
    checkpoints.finish(&chain).unwrap();
    assert_files(path, 31);
}

#[test]
fn a_project_that_moves_takes_its_files_along() {
    let parent = tempfile::tempdir().unwrap();
    let (from, to) = (parent.path().join("from"), parent.path().join("to"));
    fs::create_dir_all(from.join("out")).unwrap();
    let mut chain = Chain::new(&from);
    chain.log = Appended::at(from.join("out/chain.log"));
    (0..30).for_each(|_| chain.advance());
    open(&from).save(&chain).unwrap();
    drop(chain);
    fs::rename(&from, &to).unwrap();
    let mut checkpoints = open(&to);
    let mut chain = checkpoints.load().unwrap().unwrap();
    chain.advance();
    checkpoints.finish(&chain).unwrap();
    assert_eq!((content(&to, "chain.csv"), content(&to, "out/chain.log")), expected(31));
    assert!(!from.exists());
}

#[test]
fn a_file_that_is_there_at_the_first_start_is_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    for number in 1..=2 {
        fs::write(path.join("chain.csv"), format!("of an earlier run {number}")).unwrap();
        let mut chain = Chain::new(path);
        chain.advance();
        drop(chain);
    }
    let mut chain = Chain::new(path);
    chain.advance();
    open(path).save(&chain).unwrap();
    assert_files(path, 1);
    assert_eq!(content(path, "chain.csv.1"), b"of an earlier run 1");
    assert_eq!(content(path, "chain.csv.2"), b"of an earlier run 2");
    assert_eq!(content(path, "chain.csv.3"), expected(1).0, "no checkpoint counted on it");
}

#[test]
fn a_change_from_outside_is_noticed_before_a_save() {
    for (change, expected) in [
        ("cut", OutputFault::Shorter { length: 1 }),
        ("append", OutputFault::Longer { length: 0 }),
        ("remove", OutputFault::Gone),
        ("replace", OutputFault::Other),
    ] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let csv = path.join("chain.csv");
        let mut chain = Chain::new(path);
        let mut checkpoints = open(path);
        (0..30).for_each(|_| chain.advance());
        checkpoints.save(&chain).unwrap();
        match change {
            "cut" => fs::File::options().write(true).open(&csv).unwrap().set_len(1).unwrap(),
            "append" => fs::File::options().append(true).open(&csv).unwrap().write_all(b"foreign").unwrap(),
            "remove" => fs::remove_file(&csv).unwrap(),
            _ => {
                fs::copy(&csv, path.join("new")).unwrap();
                fs::rename(path.join("new"), &csv).unwrap();
            }
        }
        chain.advance();
        let found = fault(&checkpoints.save(&chain).unwrap_err());
        assert!(
            found == expected || change == "append" && matches!(found, OutputFault::Longer { .. }),
            "{change}: {found:?}"
        );
        assert_eq!(checkpoints.generations().unwrap(), [1], "nothing is published");
    }
}

#[test]
fn no_two_programs_and_no_two_values_share_a_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut one = Appended::at(path.join("same.csv"));
    let mut other = Appended::at(path.join("same.csv"));
    one.write_all(b"one").unwrap();
    if cfg!(unix) {
        assert_eq!(fault_of(&other.write_all(b"other").unwrap_err()), OutputFault::InUse);
    }
    one.flush().unwrap();
    assert_eq!(content(path, "same.csv"), b"one");
    for (path, why) in [(path.to_owned(), "a directory"), (path.join("none/there.csv"), "No such file")] {
        let error = Appended::at(path).write_all(b"x").unwrap_err();
        assert!(error.to_string().contains(why), "{error}");
    }
}

#[test]
fn a_copy_that_was_made_before_the_first_write_is_saved_too() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let open = || Checkpointer::<Vec<Appended>>::open(path.join("run.ckpt")).unwrap();
    let fresh = Appended::at(path.join("log.csv"));
    let mut state = vec![fresh.clone(), fresh];
    state[1].write_all(b"line").unwrap();
    open().save(&state).unwrap();
    drop(state);
    let mut state = open().load().unwrap().unwrap();
    assert_eq!((state[0].len(), state[1].len()), (0, 4));
    state[1].write_all(b", more").unwrap();
    open().save(&state).unwrap();
    assert_eq!(content(path, "log.csv"), b"line, more");
}

#[checkpointed]
struct Wrapped {
    #[serde(with = "checkpointed::self_describing")]
    described: Appended,
    #[serde(with = "checkpointed::json")]
    json: Option<Appended>,
    listed: Vec<Appended>,
}

#[test]
fn an_output_is_found_wherever_it_is_in_the_state() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| Appended::at(directory.path().join(name));
    let open = || {
        Checkpointer::<Wrapped>::builder(directory.path().join("run.ckpt"))
            .read_back(ReadBack::Always)
            .open()
            .unwrap()
    };
    let mut state = Wrapped { described: at("a"), json: Some(at("b")), listed: vec![at("c"), at("d")] };
    fn write(state: &mut Wrapped, bytes: &[u8]) {
        state.described.write_all(bytes).unwrap();
        state.json.as_mut().unwrap().write_all(bytes).unwrap();
        state.listed.iter_mut().for_each(|output| output.write_all(bytes).unwrap());
    }
    write(&mut state, b"counted");
    open().save(&state).unwrap();
    write(&mut state, b", and not");
    drop(state);
    open().load().unwrap().unwrap();
    for name in ["a", "b", "c", "d"] {
        assert_eq!(content(directory.path(), name), b"counted", "{name}");
    }
}

/// An output whose fields an attacker chose, in a state of the same name and schema.
mod forged {
    use checkpointed::{Appended, checkpointed};

    #[checkpointed(name = "Appended")]
    #[serde(rename = "Appended")]
    #[derive(Clone)]
    pub(super) struct Forged {
        pub(super) path: String,
        pub(super) run: String,
        pub(super) length: u64,
        pub(super) end: String,
        pub(super) inode: u64,
    }

    #[checkpointed(name = "State")]
    pub(super) struct Written {
        pub(super) output: Forged,
    }

    #[checkpointed(name = "State")]
    pub(super) struct Read {
        pub(super) output: Appended,
    }
}

#[test]
fn a_forged_output_is_refused_without_a_change() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let precious = b"precious";
    fs::write(path.join("precious"), precious).unwrap();
    // The ends of its first bytes, as the attacker can compute them.
    let end_of = |length: usize| {
        let mut output = Appended::at(path.join("scratch"));
        output.write_all(&precious[..length]).unwrap();
        let text = serde_json::to_string(&output).unwrap();
        drop(output);
        // Without a byte, it was not made.
        let _ = fs::remove_file(path.join("scratch"));
        text.split("\"end\":\"").nth(1).unwrap()[..16].to_owned()
    };
    let wrong = "0".repeat(16);
    for (name, length, end) in [
        ("precious", 8, wrong.clone()),
        ("precious", 3, wrong.clone()),
        ("precious", 9, end_of(8)),
        ("precious", u64::MAX, end_of(8)),
        ("precious", 3, end_of(8)),
        ("", 3, wrong.clone()),
        ("\0", 1, wrong.clone()),
        ("../..", 0, end_of(0)),
        ("run.ckpt", 0, end_of(0)),
    ] {
        let run = path.join("run.ckpt");
        let output = forged::Forged { path: name.to_owned(), run: String::new(), length, end, inode: 0 };
        let text = serde_json::to_string(&output).unwrap();
        Checkpointer::open(&run).unwrap().save(&forged::Written { output }).unwrap();
        Checkpointer::<forged::Read>::open(&run).unwrap().load().err().unwrap();
        fs::remove_dir_all(run).unwrap();

        let mut output: Appended = serde_json::from_str(&text).unwrap();
        assert_eq!(serde_json::to_string(&output).unwrap(), text, "it comes back as it was");
        assert_eq!(fault_of(&output.write_all(b"x").unwrap_err()), OutputFault::OtherRun);
        assert!(output.continue_in(path.join("other")).is_err());
        assert_eq!(content(path, "precious"), precious);
        assert_eq!(names_in(path), ["precious"], "{text}");
    }
    // What fits is the file of the run, as far as anyone can tell: what is cut is kept.
    for length in [0, 3] {
        let run = path.join("run.ckpt");
        let (path_of, end) = ("precious".to_owned(), end_of(length));
        let length = length as u64;
        let output = forged::Forged { path: path_of, run: String::new(), length, end, inode: 0 };
        Checkpointer::open(&run).unwrap().save(&forged::Written { output }).unwrap();
        let read = Checkpointer::<forged::Read>::open(&run).unwrap().load().unwrap().unwrap();
        assert_eq!(read.output.len(), length);
        let kept = content(path, &format!("precious.cut-at-{length}"));
        assert_eq!([content(path, "precious"), kept].concat(), precious);
        drop(read);
        fs::write(path.join("precious"), precious).unwrap();
        fs::remove_dir_all(run).unwrap();
    }
}

/// The checkpoint and the output of a run that counts these bytes and wrote more.
fn early(directory: &Path, counted: &[u8]) -> Checkpointer<Several> {
    let mut checkpoints = several(directory);
    let mut state = Several { values: vec![Appended::at(directory.join("chain.csv"))] };
    state.values[0].write_all(counted).unwrap();
    checkpoints.save(&state).unwrap();
    state.values[0].write_all(b"more").unwrap();
    checkpoints
}

#[test]
fn a_short_count_is_no_proof_of_the_same_file() {
    for counted in [&b""[..], b"step,value\n"] {
        let parent = tempfile::tempdir().unwrap();
        let (ours, other) = (parent.path().join("ours"), parent.path().join("other"));
        fs::create_dir(&ours).unwrap();
        fs::create_dir(&other).unwrap();
        drop(early(&ours, counted));
        let theirs = [counted, b"1,2\n3,4\n"].concat();
        fs::write(other.join("chain.csv"), &theirs).unwrap();
        fs::rename(ours.join("several.ckpt"), other.join("several.ckpt")).unwrap();
        let heard = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
        let listener = std::sync::Arc::clone(&heard);
        let builder = Checkpointer::<Several>::builder(other.join("several.ckpt"));
        let builder = builder.on_warning(move |text| listener.lock().unwrap().push(text.to_string()));
        let state = builder.open().unwrap().load().unwrap().unwrap();
        assert_eq!(content(&other, "chain.csv"), counted);
        let kept = content(&other, &format!("chain.csv.cut-at-{}", counted.len()));
        assert_eq!([counted, &kept].concat(), theirs);
        let heard = heard.lock().unwrap();
        assert!(heard.iter().any(|text| text.contains("may be another file")), "{heard:?}");
        drop(state);
        // From then on it is the file of this run, and so is one that never moved.
        drop(early(&ours, counted));
        for directory in [&ours, &other] {
            let mut checkpoints = several(directory);
            let mut state = checkpoints.load().unwrap().unwrap();
            assert_eq!(content(directory, "chain.csv"), counted);
            checkpoints.save(&state).unwrap();
            state.values[0].write_all(b"more").unwrap();
            drop((state, checkpoints));
            let state = several(directory).load().unwrap().unwrap();
            assert_eq!(content(directory, "chain.csv"), counted);
            drop(state);
        }
        let kept = [&ours, &other].map(|directory| {
            let names = names_in(directory);
            names.iter().filter(|name| name.contains("cut-at")).count()
        });
        assert_eq!(kept, [0, 1], "that of the other run alone");
    }
}

#[test]
fn a_save_that_left_nothing_keeps_no_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let csv = path.join("chain.csv");
    let mut checkpoints = several(path);
    let mut state = Several { values: vec![Appended::at(&csv)] };
    state.values[0].write_all(b"one").unwrap();
    checkpoints.save(&state).unwrap();
    for saves_in_background in [false, true] {
        let backup = state.clone();
        state.values[0].write_all(b",two").unwrap();
        fs::rename(&csv, path.join("away")).unwrap();
        match saves_in_background {
            false => drop(checkpoints.save(&state).unwrap_err()),
            true => {
                checkpoints.save_in_background(&state).unwrap();
                checkpoints.wait().unwrap_err();
            }
        }
        fs::rename(path.join("away"), &csv).unwrap();
        drop(std::mem::replace(&mut state, backup));
        state.values[0].write_all(b"!").unwrap();
        checkpoints.save(&state).unwrap();
    }
    assert_eq!(content(path, "chain.csv"), b"one!!");

    // Nor does a checkpoint that was removed.
    let backup = state.clone();
    state.values[0].write_all(b",three").unwrap();
    let kept = checkpoints.generations().unwrap().pop().unwrap();
    checkpoints.save(&state).unwrap();
    drop(state);
    checkpoints.discard_newer(kept).unwrap();
    let mut state = backup;
    state.values[0].write_all(b"?").unwrap();
    drop(state);
    assert_eq!(content(path, "chain.csv"), b"one!!?");
}

#[test]
fn a_line_is_written_as_a_whole_or_not_at_all() {
    struct Broken;

    impl std::fmt::Display for Broken {
        fn fmt(&self, _: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
            Err(std::fmt::Error)
        }
    }

    let directory = tempfile::tempdir().unwrap();
    let mut output = Appended::at(directory.path().join("a.csv"));
    writeln!(output, "{},{}", 1, 2).unwrap();
    let error = writeln!(output, "{},{}", 3, Broken).unwrap_err();
    assert!(error.to_string().contains("could not be formatted"), "{error}");
    writeln!(output, "{},{}", 3, 4).unwrap();
    writeln!(output, "end").unwrap();
    drop(output);
    assert_eq!(content(directory.path(), "a.csv"), b"1,2\n3,4\nend\n");
}

#[cfg(unix)]
#[test]
fn a_link_to_a_file_that_is_not_there_yet_is_followed() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    fs::create_dir(path.join("scratch")).unwrap();
    for (link, target) in [("chain.csv", "middle"), ("middle", "scratch/real.csv")] {
        std::os::unix::fs::symlink(target, path.join(link)).unwrap();
    }
    let mut state = Several { values: vec![Appended::at(path.join("chain.csv"))] };
    state.values[0].write_all(b"one").unwrap();
    several(path).save(&state).unwrap();
    drop(state);
    assert_eq!(content(path, "scratch/real.csv"), b"one");
    assert_eq!(several(path).load().unwrap().unwrap().values[0].len(), 3);
}

#[test]
fn a_path_with_dots_leads_to_the_same_file_after_a_move() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    ["run", "out", "new"].iter().for_each(|name| fs::create_dir(at(name)).unwrap());
    let mut state = Several { values: vec![Appended::at(at("run/../out/chain.csv"))] };
    state.values[0].write_all(b"one").unwrap();
    several(&at("run")).save(&state).unwrap();
    drop(state);
    fs::rename(at("run/several.ckpt"), at("new/several.ckpt")).unwrap();
    fs::remove_dir(at("run")).unwrap();
    let mut state = several(&at("new")).load().unwrap().unwrap();
    state.values[0].write_all(b",two").unwrap();
    drop(state);
    assert_eq!(fs::read(at("out/chain.csv")).unwrap(), b"one,two");
}

#[test]
fn a_file_that_an_earlier_state_has_open_is_told_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut state = Several { values: vec![Appended::at(path.join("chain.csv"))] };
    state.values[0].write_all(b"one").unwrap();
    several(path).save(&state).unwrap();
    let error = several(path).load().err().unwrap();
    assert_eq!(fault(&error), OutputFault::InUse);
    let text = error.to_string();
    assert!(text.contains("a state that an earlier checkpointer loaded"), "{text}");
    assert!(text.contains("drop that value first"), "{text}");
    drop(state);
    several(path).load().unwrap().unwrap();
}

#[test]
fn an_unsynced_output_is_cut_after_a_kill_as_well() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let open = || Checkpointer::<Chain>::builder(path.join("run.ckpt")).durable(false).open().unwrap();
    let mut chain = Chain::new(path);
    (0..30).for_each(|_| chain.advance());
    open().save(&chain).unwrap();
    (0..30).for_each(|_| chain.advance());
    drop(chain);
    let chain = open().load().unwrap().unwrap();
    assert_eq!(chain.step, 30);
    assert_files(path, 30);
}

#[test]
fn an_output_path_is_absolute_at_once() {
    let output = Appended::at("relative.csv");
    assert_eq!(output.path(), std::env::current_dir().unwrap().join("relative.csv"));
    assert!(output.is_empty() && !output.path().exists());
}

#[test]
fn scopes_keep_outputs_too() {
    fn run(directory: &Path, until: u64, is_last: bool) {
        let mut scopes = checkpointed::Scopes::open(directory.join("run.ckpt")).unwrap();
        scopes.restore().unwrap();
        let mut outer = scopes.enter::<Chain>("outer").unwrap();
        let mut chain = outer.restored().unwrap_or_else(|| Chain::new(directory));
        while chain.step < until {
            chain.advance();
            outer.keep(&chain).unwrap();
            // The scope inside saves, and so counts on the output of the one around it.
            let mut inner = outer.enter::<u64>("inner").unwrap();
            inner.save(&chain.step).unwrap();
        }
        if is_last {
            drop(outer);
            scopes.finish().unwrap();
        } else {
            (0..9).for_each(|_| chain.advance());
        }
    }
    let directory = tempfile::tempdir().unwrap();
    run(directory.path(), 15, false);
    run(directory.path(), 30, true);
    assert_files(directory.path(), 30);
}

#[test]
fn each_member_of_a_group_has_an_output() {
    let directory = tempfile::tempdir().unwrap();
    let project = directory.path().join("project");
    fs::create_dir(&project).unwrap();
    let moved = directory.path().join("moved");
    let run = |path: &Path, steps: u64| {
        thread::scope(|scope| {
            let members = checkpointed::group::Threads::new(2).into_iter().enumerate();
            let members = members.map(|(rank, member)| {
                scope.spawn(move || {
                    let builder = Checkpointer::<Chain>::builder(path.join("run.ckpt"));
                    let mut group = builder.open_group(member).unwrap();
                    let own = path.join(format!("{rank}"));
                    let mut chain = group
                        .load_or_else(|| {
                            fs::create_dir_all(&own).unwrap();
                            Chain::new(&own)
                        })
                        .unwrap();
                    (0..steps).for_each(|_| chain.advance());
                    group.save(&chain).unwrap();
                    (0..steps).for_each(|_| chain.advance());
                })
            });
            members.collect::<Vec<_>>().into_iter().for_each(|member| member.join().unwrap());
        });
    };
    run(&project, 20);
    fs::rename(&project, &moved).unwrap();
    run(&moved, 20);
    run(&moved, 0);
    for rank in ["0", "1"] {
        assert_files(&moved.join(rank), 40);
    }
    // A member whose file is gone is an error of all, and no file is cut.
    fs::OpenOptions::new().append(true).open(moved.join("0/chain.csv")).unwrap().write_all(b"more").unwrap();
    fs::remove_file(moved.join("1/chain.csv")).unwrap();
    thread::scope(|scope| {
        let path = &moved;
        let members = checkpointed::group::Threads::new(2).into_iter().map(|member| {
            scope.spawn(move || {
                let builder = Checkpointer::<Chain>::builder(path.join("run.ckpt"));
                builder.open_group(member).unwrap().load().unwrap_err();
            })
        });
        members.collect::<Vec<_>>().into_iter().for_each(|member| member.join().unwrap());
    });
    assert!(content(&moved, "0/chain.csv").ends_with(b"more"));
}

#[test]
fn a_save_of_a_clone_in_another_thread_counts_its_bytes() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut chain = Chain::new(path);
    thread::scope(|scope| {
        let (sender, states) = std::sync::mpsc::sync_channel::<Chain>(1);
        let saver = scope.spawn(move || {
            let mut checkpoints = open(path);
            for state in states {
                checkpoints.save(&state).unwrap();
            }
        });
        for step in 1..=60 {
            chain.advance();
            if step % 10 == 0 {
                sender.send(chain.clone()).unwrap();
            }
        }
        drop(sender);
        saver.join().unwrap();
    });
    (0..5).for_each(|_| chain.advance());
    drop(chain);
    assert_eq!(open(path).load().unwrap().unwrap().step, 60);
    assert_files(path, 60);
}

#[cfg(unix)]
#[test]
fn a_full_disk_loses_no_line_of_an_output() {
    let test = "a_full_disk_loses_no_line_of_an_output";
    if let Some(directory) = inside() {
        crate::common::run("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs", directory.to_str().unwrap()]);
        let hog = directory.join("hog");
        fs::write(&hog, vec![1; 700 << 10]).unwrap();
        let mut checkpoints = open(&directory);
        let mut chain = Chain::new(&directory);
        chain.advance();
        checkpoints.save(&chain).unwrap();
        // One write that does not fit, and that is tried again when there is room.
        let long = vec![b'='; 500 << 10];
        let error = chain.log.write_all(&long).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::StorageFull, "{error}");
        // If the program gives it up, nothing of it stays, also where it goes back to a clone.
        assert_eq!(content(&directory, "chain.log"), b"");
        let backup = chain.clone();
        drop(std::mem::replace(&mut chain, backup));
        chain.advance();
        checkpoints.save(&chain).unwrap();
        fs::remove_file(&hog).unwrap();
        chain.log.write_all(&long).unwrap();
        checkpoints.save(&chain).unwrap();
        assert_eq!(content(&directory, "chain.log"), long);
        // Short lines wait in memory, so a full disk shows at the save.
        fs::write(&hog, vec![1; 400 << 10]).unwrap();
        let mut rest = fs::File::create(directory.join("rest")).unwrap();
        while rest.write_all(&[1; 4096]).is_ok() {}
        chain.log.write_all(&[b'-'; 10_000]).unwrap();
        let error = checkpoints.save(&chain).unwrap_err();
        assert!(matches!(error, Error::NoSpace { .. }), "{error:?}");
        fs::remove_file(&hog).unwrap();
        checkpoints.save(&chain).unwrap();
        assert_eq!(content(&directory, "chain.log"), [&long[..], &[b'-'; 10_000]].concat());
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    crate::common::once_more_with_own_mounts(test, directory.path());
}

#[cfg(unix)]
#[test]
fn a_full_disk_of_an_output_costs_no_checkpoint() {
    let test = "a_full_disk_of_an_output_costs_no_checkpoint";
    if let Some(directory) = inside() {
        let (run, full) = (directory.join("run"), directory.join("full"));
        for path in [&run, &full] {
            fs::create_dir(path).unwrap();
            crate::common::run("mount", &["-t", "tmpfs", "-o", "size=1m", "tmpfs", path.to_str().unwrap()]);
        }
        let builder = Checkpointer::<Several>::builder(run.join("several.ckpt"));
        let builder = builder.on_failed_save(checkpointed::OnFailedSave::stop().make_room());
        let mut checkpoints = builder.open().unwrap();
        let mut state = Several { values: vec![Appended::at(full.join("chain.csv"))] };
        for _ in 1..=2 {
            state.values[0].write_all(b"line").unwrap();
            checkpoints.save(&state).unwrap();
        }
        let mut rest = fs::File::create(full.join("rest")).unwrap();
        while rest.write_all(&[1; 4096]).is_ok() {}
        state.values[0].write_all(&[b'-'; 10_000]).unwrap();
        let error = checkpoints.save(&state).unwrap_err();
        assert!(matches!(error, Error::NoSpace { .. }), "{error:?}");
        assert_eq!(checkpoints.generations().unwrap(), [1, 2]);
        drop(rest);
        fs::remove_file(full.join("rest")).unwrap();
        checkpoints.save(&state).unwrap();
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    crate::common::once_more_with_own_mounts(test, directory.path());
}

#[cfg(unix)]
#[test]
fn a_forked_process_leaves_the_output_of_its_parent() {
    let test = "a_forked_process_leaves_the_output_of_its_parent";
    if let Some(path) = inside() {
        let mut chain = Chain::new(&path);
        let mut checkpoints = open(&path);
        chain.advance();
        checkpoints.save(&chain).unwrap();
        // These bytes wait in memory, and are in that of the child, too.
        chain.advance();
        let told = crate::common::fork::forked(|| {
            let error = chain.samples.write_all(b"child").unwrap_err();
            assert_eq!(fault_of(&error), OutputFault::OtherProcess);
            chain.samples.flush().unwrap_err();
            drop(chain.clone());
            "as it should".to_owned()
        });
        assert_eq!(told, "as it should");
        checkpoints.finish(&chain).unwrap();
        assert_files(&path, 2);
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    crate::common::assert_passed(&once_more(test, &[], directory.path()).output().unwrap());
}

/// Values that may count bytes of one file.
#[checkpointed]
#[derive(Clone)]
struct Several {
    values: Vec<Appended>,
}

fn several(directory: &Path) -> Checkpointer<Several> {
    Checkpointer::open(directory.join("several.ckpt")).unwrap()
}

/// An output with `now`, and a clone of it from when it had `best`.
fn best_and_now(path: &Path) -> (Appended, Appended) {
    let mut now = Appended::at(path.join("chain.csv"));
    now.write_all(b"best").unwrap();
    let best = now.clone();
    now.write_all(b",now").unwrap();
    (best, now)
}

#[test]
fn of_two_counts_of_a_file_the_greater_one_is_kept() {
    for is_reversed in [false, true] {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let (best, mut now) = best_and_now(path);
        let mut values = vec![best, now.clone()];
        if is_reversed {
            values.reverse();
        }
        several(path).save(&Several { values: values.clone() }).unwrap();
        now.write_all(b", later").unwrap();
        drop((values, now));
        for _ in 0..2 {
            let mut loaded = several(path).load().unwrap().unwrap();
            assert_eq!(content(path, "chain.csv"), b"best,now");
            let (now, best) = if is_reversed { (0, 1) } else { (1, 0) };
            loaded.values[now].write_all(b"+").unwrap();
            loaded.values[now].flush().unwrap();
            assert_eq!(fault_of(&loaded.values[best].write_all(b"x").unwrap_err()), OutputFault::InUse);
            // Without the greater one, the newest checkpoint still counts on its bytes.
            let mut best = loaded.values.swap_remove(best);
            drop(loaded);
            assert_eq!(fault_of(&best.write_all(b"x").unwrap_err()), OutputFault::NotNewest);
        }
    }
}

#[test]
fn going_back_to_a_clone_cuts_nothing_that_counts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let (best, now) = best_and_now(path);
    let mut checkpoints = several(path);
    // The clones are saved after the one that appends was dropped, as by a thread that saves.
    let both = Several { values: vec![best.clone(), now.clone()] };
    drop(now);
    checkpoints.save(&both).unwrap();
    assert_eq!(content(path, "chain.csv"), b"best,now");
    drop(both);
    // Another checkpointer that saves the older one does not count for this one.
    let mut other = Checkpointer::<Several>::open(path.join("other.ckpt")).unwrap();
    let mut state = Several { values: vec![best] };
    other.save(&state).unwrap();
    assert_eq!(fault_of(&state.values[0].write_all(b"x").unwrap_err()), OutputFault::NotNewest);
    checkpoints.save(&state).unwrap();
    state.values[0].write_all(b"!").unwrap();
    drop(state);
    assert_eq!(content(path, "chain.csv"), b"best!");
}

#[test]
fn a_stale_value_cuts_nothing_that_a_checkpoint_counts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut chain = Chain::new(path);
    (0..10).for_each(|_| chain.advance());
    open(path).save(&chain).unwrap();
    drop(chain);
    let mut checkpoints = open(path);
    let mut chain = checkpoints.load().unwrap().unwrap();
    let mut stale = checkpoints.load().unwrap().unwrap();
    (0..10).for_each(|_| chain.advance());
    checkpoints.save(&chain).unwrap();
    drop(chain);
    assert_eq!(fault_of(&stale.samples.write_all(b"x").unwrap_err()), OutputFault::NotNewest);
    assert_files(path, 20);
    // The file goes back only when a checkpoint has the stale value.
    checkpoints.save(&stale).unwrap();
    assert_files(path, 10);
    stale.advance();
    checkpoints.finish(&stale).unwrap();
    drop(stale);
    assert_files(path, 11);
}

#[test]
fn scopes_cut_nothing_that_a_scope_inside_counts() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let run = |until: u64| {
        let mut scopes = checkpointed::Scopes::open(path.join("run.ckpt")).unwrap();
        scopes.restore().unwrap();
        let mut program = scopes.enter::<()>("program").unwrap();
        let warm = program.once("warm-up", |_| {
            let mut chain = Chain::new(path);
            (0..5).for_each(|_| chain.advance());
            Ok::<_, Error>(chain)
        });
        let warm = warm.unwrap();
        if until > 10 {
            let mut warm = warm.clone();
            assert_eq!(fault_of(&warm.samples.write_all(b"x").unwrap_err()), OutputFault::NotNewest);
        }
        let mut inner = program.enter::<Chain>("inner").unwrap();
        let mut chain = inner.restored().unwrap_or(warm);
        while chain.step < until {
            chain.advance();
            inner.save(&chain).unwrap();
        }
        (0..3).for_each(|_| chain.advance());
    };
    run(10);
    run(15);
    run(20);
    run(20);
    let mut loaded = checkpointed::Scopes::open(path.join("run.ckpt")).unwrap();
    assert!(loaded.restore().unwrap());
    assert_eq!(content(path, "chain.csv")[..expected(20).0.len()], expected(20).0);
}

/// The function is called twice, and each call has its own file of one name. The program is killed
/// in the second call, before that saved: the newest checkpoint is of the first call.
#[test]
fn a_load_finds_the_file_of_a_call_before_the_last() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let run = |stop_in: u64| {
        let mut scopes = checkpointed::Scopes::open(path.join("run.ckpt")).unwrap();
        scopes.restore().unwrap();
        let mut outer = scopes.enter::<u64>("outer").unwrap();
        let first = outer.restored().unwrap_or(1);
        for call in first..=3 {
            outer.keep(&call).unwrap();
            let mut inner = outer.enter::<(u64, Appended)>("inner").unwrap();
            let at_start = || (0, Appended::at(path.join("inner.log")));
            let (mut step, mut log) = inner.restored().unwrap_or_else(at_start);
            while step < 3 {
                step += 1;
                writeln!(log, "call {call}, step {step}").unwrap();
                if step == 2 && call == stop_in {
                    return;
                }
                if step > 1 {
                    inner.save(&(step, log.clone())).unwrap();
                }
            }
        }
        drop(outer);
        scopes.finish().unwrap();
    };
    let expected = |call: u64| {
        (1..=3).map(|step| format!("call {call}, step {step}\n")).collect::<String>().into_bytes()
    };
    run(2);
    assert_eq!(content(path, "inner.log.1"), expected(1));
    run(3);
    run(3);
    run(9);
    assert_eq!(content(path, "inner.log"), expected(3));
    let aside = fs::read_dir(path).unwrap().map(|entry| fs::read(entry.unwrap().path()).unwrap_or_default());
    let aside: Vec<Vec<u8>> = aside.collect();
    assert!((1..=3).all(|call| aside.contains(&expected(call))), "{aside:?}");
}

/// All of the files begin with the line that the checkpoint counts.
#[test]
fn a_load_takes_the_counted_file_back_and_no_other_one() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let csv = path.join("chain.csv");
    let header = b"step,value\n";
    let of = |text: &[u8]| {
        let mut output = Appended::at(&csv);
        output.write_all(text).unwrap();
        output
    };
    let done = [header, &b"1,2\n"[..]].concat();
    drop(of(&done));
    let state = Several { values: vec![of(header)] };
    several(path).save(&state).unwrap();
    drop(state);
    drop(of(b"st"));
    assert_eq!(content(path, "chain.csv.2"), header);
    let state = several(path).load().unwrap().unwrap();
    assert_eq!(content(path, "chain.csv"), header);
    assert_eq!(content(path, "chain.csv.1"), done, "the file of an earlier function");
    assert_eq!(content(path, "chain.csv.3"), b"st");
    drop(state);
}

#[test]
fn a_load_takes_a_file_back_from_a_state_that_was_not_saved() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut chain = Chain::new(path);
    (0..10).for_each(|_| chain.advance());
    open(path).save(&chain).unwrap();
    drop(chain);
    let mut checkpoints = open(path);
    let mut afresh = Chain::new(path);
    afresh.advance();
    // While a value appends to the new file, that keeps its name.
    let mut loaded = checkpoints.load().unwrap_err();
    assert_eq!(fault(&loaded), OutputFault::InUse, "{loaded}");
    drop(afresh);
    assert_eq!(content(path, "chain.csv.1"), expected(10).0);
    // A look changes nothing.
    let of_reader = CheckpointReader::<Chain>::open(path.join("run.ckpt")).unwrap().load();
    assert_eq!(of_reader.unwrap().unwrap().step, 10);
    assert_eq!(content(path, "chain.csv.1"), expected(10).0);
    let chain = checkpoints.load().unwrap().unwrap();
    assert_files(path, 10);
    assert_eq!(content(path, "chain.csv.2").len(), expected(1).0.len());
    drop(chain);

    // A file that was counted and is nowhere is an error, as ever.
    fs::rename(path.join("chain.csv"), path.join("chain.csv.01")).unwrap();
    loaded = checkpoints.load().unwrap_err();
    assert_eq!(fault(&loaded), OutputFault::Gone, "{loaded}");
}

#[test]
fn to_continue_in_the_own_file_leaves_it_to_its_run() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut chain = Chain::new(path);
    let mut checkpoints = open(path);
    for _ in 0..2 {
        (0..10).for_each(|_| chain.advance());
        checkpoints.save(&chain).unwrap();
    }
    drop((chain, checkpoints));
    fs::hard_link(path.join("chain.csv"), path.join("link.csv")).unwrap();
    let mut reader = CheckpointReader::<Chain>::open(path.join("run.ckpt")).unwrap();
    let mut seen = reader.load_generation(1).unwrap();
    for name in ["chain.csv", "link.csv"] {
        let error = seen.samples.continue_in(path.join(name)).unwrap_err();
        assert_eq!(fault(&error), OutputFault::OtherRun, "{name}");
    }
    assert_files(path, 20);
    // A file that begins with the same bytes may be that of another run: what is cut is kept.
    fs::copy(path.join("chain.csv"), path.join("moved.csv")).unwrap();
    seen.samples.continue_in(path.join("moved.csv")).unwrap();
    let start = expected(10).0;
    assert_eq!(content(path, "moved.csv"), start);
    let cut = content(path, &format!("moved.csv.cut-at-{}", start.len()));
    assert_eq!([start, cut].concat(), expected(20).0);
}

#[test]
fn a_group_that_refuses_a_save_leaves_the_files() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let run = |goes_back: bool| {
        thread::scope(|scope| {
            let members = checkpointed::group::Threads::new(2).into_iter().enumerate();
            let members = members.map(|(rank, member)| {
                scope.spawn(move || {
                    let builder = Checkpointer::<Several>::builder(path.join("run.ckpt"));
                    let mut group = builder.open_group(member).unwrap();
                    let own = path.join(format!("{rank}.csv"));
                    let mut state =
                        group.load_or_else(|| Several { values: vec![Appended::at(&own)] }).unwrap();
                    if !goes_back {
                        state.values[0].write_all(b"one").unwrap();
                        group.save(&state).unwrap();
                        let older = state.clone();
                        state.values[0].write_all(b",two").unwrap();
                        group.save(&state).unwrap();
                        drop(state);
                        if rank == 0 {
                            fs::rename(&own, own.with_extension("away")).unwrap();
                        }
                        group.save(&older).unwrap_err();
                        if rank == 0 {
                            fs::rename(own.with_extension("away"), &own).unwrap();
                        }
                    }
                })
            });
            members.collect::<Vec<_>>().into_iter().for_each(|member| member.join().unwrap());
        });
    };
    run(false);
    for rank in 0..2 {
        assert_eq!(content(path, &format!("{rank}.csv")), b"one,two");
    }
    run(true);
}

#[test]
fn finish_takes_a_file_back_to_the_state_that_stands() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let mut chain = Chain::new(path);
    let mut checkpoints = open(path);
    (0..10).for_each(|_| chain.advance());
    checkpoints.save(&chain).unwrap();
    let backup = chain.clone();
    (0..5).for_each(|_| chain.advance());
    drop(chain);
    assert!(checkpoints.finish(&backup).unwrap().saved.is_none());
    drop(backup);
    assert_files(path, 10);
}

#[test]
fn a_copy_elsewhere_leaves_a_far_output_to_its_run() {
    let directory = tempfile::tempdir().unwrap();
    let at = |name: &str| directory.path().join(name);
    ["home", "scratch", "elsewhere"].iter().for_each(|name| fs::create_dir(at(name)).unwrap());
    let open = |name: &str| Checkpointer::<Chain>::open(at(name).join("run.ckpt")).unwrap();
    let mut chain = Chain::new(&at("scratch"));
    (0..10).for_each(|_| chain.advance());
    open("home").save(&chain).unwrap();
    checkpointed::inspect::copy(at("home/run.ckpt"), at("elsewhere/run.ckpt")).unwrap();
    (0..10).for_each(|_| chain.advance());
    open("home").save(&chain).unwrap();
    drop(chain);
    let mut copy = open("elsewhere").load().unwrap().unwrap();
    assert_eq!(fault_of(&copy.samples.write_all(b"x").unwrap_err()), OutputFault::OtherRun);
    assert_files(&at("scratch"), 20);
    // By another path, it is the run itself.
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink(at("home"), at("linked")).unwrap();
        open("linked").load().unwrap().unwrap().advance();
    }
    // Without the original, the copy goes on. It counts less than the original did, so the rest is kept.
    fs::remove_dir_all(at("home")).unwrap();
    let mut chain = open("elsewhere").load().unwrap().unwrap();
    assert_files(&at("scratch"), 10);
    let start = expected(10).0.len();
    let cut = content(&at("scratch"), &format!("chain.csv.cut-at-{start}"));
    assert!(cut.starts_with(&expected(20).0[start..]));
    chain.advance();
}

#[test]
fn a_group_and_scopes_keep_what_a_damaged_one_counted() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let damage = |path: &Path| fs::write(path.join("00000000000000000002.ckpt"), "damage").unwrap();
    let group = || {
        let member = checkpointed::group::Threads::new(1).remove(0);
        Checkpointer::<Several>::builder(path.join("group.ckpt")).open_group(member).unwrap()
    };
    let mut state = Several { values: vec![Appended::at(path.join("group.csv"))] };
    let mut members = group();
    for text in ["one", ",two"] {
        state.values[0].write_all(text.as_bytes()).unwrap();
        members.save(&state).unwrap();
    }
    drop((state, members));
    damage(&path.join("group.ckpt"));
    drop(group().load().unwrap().unwrap());
    assert_eq!(content(path, "group.csv"), b"one");
    assert_eq!(content(path, "group.csv.cut-at-3"), b",two");

    let scopes = || checkpointed::Scopes::open(path.join("scopes.ckpt")).unwrap();
    let mut first = scopes();
    let mut scope = first.enter::<Several>("scope").unwrap();
    let mut state = Several { values: vec![Appended::at(path.join("scopes.csv"))] };
    for text in ["one", ",two"] {
        state.values[0].write_all(text.as_bytes()).unwrap();
        scope.save(&state).unwrap();
    }
    drop((state, scope));
    drop(first);
    damage(&path.join("scopes.ckpt"));
    let mut again = scopes();
    assert!(again.restore().unwrap());
    drop(again.enter::<Several>("scope").unwrap().restored().unwrap());
    assert_eq!(content(path, "scopes.csv"), b"one");
    assert_eq!(content(path, "scopes.csv.cut-at-3"), b",two");
}

#[test]
fn clones_of_a_loaded_value_belong_to_the_run() {
    /// Decodes a state as a program with a migration of its own may: the first value is dropped.
    #[derive(serde::Serialize)]
    struct Cloned(Appended);

    impl<'de> serde::Deserialize<'de> for Cloned {
        fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Cloned, D::Error> {
            #[derive(serde::Deserialize)]
            #[serde(rename = "Cloned")]
            struct First(Appended);
            let First(first) = First::deserialize(deserializer)?;
            Ok(Cloned(first.clone()))
        }
    }

    #[checkpointed]
    struct State {
        #[serde(with = "checkpointed::json")]
        output: Cloned,
    }

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    let open = || Checkpointer::<State>::open(path.join("run.ckpt")).unwrap();
    let mut state = State { output: Cloned(Appended::at(path.join("a.csv"))) };
    let mut checkpoints = open();
    for text in ["one", ",two"] {
        state.output.0.write_all(text.as_bytes()).unwrap();
        checkpoints.save(&state).unwrap();
    }
    drop((state, checkpoints));
    let mut checkpoints = open();
    let older = checkpoints.load_generation(1).unwrap();
    let mut clone = older.output.0.clone();
    drop(older);
    checkpoints.discard_newer(1).unwrap();
    clone.write_all(b"!").unwrap();
    drop(clone);
    assert_eq!(content(path, "a.csv"), b"one!");
    checkpoints.load().unwrap().unwrap().output.0.write_all(b"?").unwrap();
    assert_eq!(content(path, "a.csv"), b"one?");
}
