//! Processes that save together and meet in a directory: killed again and again, all of them load
//! the same step, at least the last that any of them was told is saved.
//!
//! 60 kills;
//! `CHECKPOINTED_KILLS=4000 cargo test -p checkpointed-tests --release --test main groups:: -- --nocapture`
//! for a thousand.

#![cfg(unix)]

use std::fs::{self, File, OpenOptions};
use std::io::Write as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use crate::common::{inside, once_more, run as run_program};
use checkpointed::group::{Alone, GroupCheckpointer, Meeting, Threads};
use checkpointed::{Checkpointer, Error, checkpointed, inspect};

const RANK: &str = "GROUP_RANK";
const SIZE: usize = 3;

/// Longer than anything takes here, unless it waits for ever.
const LONG: Duration = Duration::from_secs(60);

/// The exit code of a member that learned that another one is lost.
const LOST: i32 = 3;

/// The state of a member. It is large: a mixture of two steps would show.
#[checkpointed]
#[derive(Clone, Debug, PartialEq)]
struct State {
    rank: u64,
    step: u64,
    large: Vec<u64>,
}

impl State {
    fn of(rank: usize, step: u64) -> State {
        let length = 500 + 3000 * rank;
        State { rank: rank as u64, step, large: vec![step; length] }
    }
}

/// Starts the members of a job, each as a process that runs the caller's test once more.
#[track_caller]
fn start(command: impl Fn() -> Command) -> Vec<Child> {
    let member = |rank: usize| {
        let mut command = command();
        command.env(RANK, rank.to_string()).stdout(Stdio::null()).stderr(Stdio::null());
        command.spawn().unwrap()
    };
    (0..SIZE).map(member).collect()
}

fn rank() -> usize {
    std::env::var(RANK).unwrap().parse().unwrap()
}

fn meet(directory: &Path) -> Meeting {
    // Where the others are killed before they come, the wait must end.
    match Meeting::at(directory.join("meeting"), rank(), SIZE, Duration::from_secs(5)) {
        Ok(meeting) => meeting,
        Err(error) => lost(directory, &error),
    }
}

/// Ends a member that has learned that another one is lost.
fn lost(directory: &Path, error: &impl std::fmt::Display) -> ! {
    fs::write(directory.join(format!("lost-{}", rank())), error.to_string()).unwrap();
    std::process::exit(LOST)
}

/// Ends the process where a member is lost. Any other error is a failure.
fn or_lost<R>(directory: &Path, outcome: Result<R, Error>) -> R {
    match outcome {
        Ok(result) => result,
        Err(error @ Error::GroupLost { .. }) => lost(directory, &error),
        Err(error) => panic!("{error}"),
    }
}

/// What the members were told is saved: the highest step of any.
fn acknowledged(directory: &Path) -> u64 {
    let told = |rank: usize| {
        let bytes = fs::read(directory.join(format!("told-{rank}"))).unwrap_or_default();
        bytes.chunks_exact(8).next_back().map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()))
    };
    (0..SIZE).map(told).max().unwrap()
}

/// The number of times that the members were told.
fn notes(directory: &Path) -> u64 {
    let path = |rank: usize| directory.join(format!("told-{rank}"));
    (0..SIZE).map(|rank| path(rank).metadata().map_or(0, |metadata| metadata.len() / 8)).sum()
}

/// The program: saves one step after the other, for ever.
fn save_for_ever(directory: &Path, background: bool) {
    let path = directory.join(format!("told-{}", rank()));
    let mut told = OpenOptions::new().create(true).append(true).open(path).unwrap();
    let note = |told: &mut File, step: u64| told.write_all(&step.to_le_bytes()).unwrap();
    let builder = Checkpointer::<State>::builder(directory.join("run.ckpt"));
    // Members of the job before may still be ending.
    let builder = builder.wait_for(Duration::from_secs(5));
    let mut group = or_lost(directory, builder.open_group(meet(directory)));
    let loaded = or_lost(directory, group.load());
    let mut step = loaded.map_or(0, |state| {
        assert_eq!(state, State::of(rank(), state.step));
        state.step
    });
    // What was loaded may be told to the world too.
    note(&mut told, step);
    loop {
        step += 1;
        let state = State::of(rank(), step);
        if background {
            or_lost(directory, group.save_in_background(&state));
            or_lost(directory, group.wait());
        } else {
            or_lost(directory, group.save(&state));
        }
        note(&mut told, step);
    }
}

/// Loads as a group of threads, and returns the step, which is the same for all.
fn loaded(directory: &Path) -> u64 {
    let load = |member| {
        let builder = Checkpointer::<State>::builder(directory.join("run.ckpt"));
        let mut group: GroupCheckpointer<_, Threads> = builder.open_group(member).unwrap();
        group.load().unwrap().map_or(0, |state| {
            assert_eq!(state, State::of(group.rank(), state.step));
            state.step
        })
    };
    let steps: Vec<u64> = thread::scope(|scope| {
        let threads: Vec<_> =
            Threads::new(SIZE).into_iter().map(|member| scope.spawn(move || load(member))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).collect()
    });
    assert!(steps.iter().all(|step| *step == steps[0]), "{steps:?}");
    steps[0]
}

/// Numbers that look like chance and are the same each time.
struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % end
    }
}

/// Each program is killed this often.
fn kills() -> u64 {
    std::env::var("CHECKPOINTED_KILLS").ok().map_or(240, |text| text.parse().unwrap()) / 8
}

/// Waits for a member, which must end.
fn ended(child: &mut Child) -> std::process::ExitStatus {
    let begun = Instant::now();
    while begun.elapsed() < LONG {
        if let Some(status) = child.try_wait().unwrap() {
            return status;
        }
        thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    panic!("a member waits for ever for one that was killed");
}

/// Lets the job run, kills some of its members, and loads.
fn kill(command: impl Fn(&Path) -> Command, seed: u64) {
    let directory = tempfile::tempdir().unwrap();
    let mut random = Random(seed);
    let (mut last, mut survivors) = (0, 0);
    for cycle in 0..kills() {
        let mut members = start(|| command(directory.path()));
        // A quarter is killed on the way to the first save, the others later.
        if random.below(4) > 0 {
            let begun = Instant::now();
            let before = notes(directory.path());
            while notes(directory.path()) < before + 2 * SIZE as u64 && begun.elapsed() < LONG {
                thread::sleep(Duration::from_millis(1));
            }
        }
        thread::sleep(Duration::from_millis(random.below(60)));
        // Some of them, but at least one.
        let killed = 1 + random.below((1 << SIZE) - 1);
        for (rank, child) in members.iter_mut().enumerate().filter(|(rank, _)| killed >> rank & 1 == 1) {
            let why = || fs::read_to_string(directory.path().join(format!("lost-{rank}")));
            assert_eq!(child.try_wait().unwrap(), None, "cycle {cycle}: rank {rank} ended: {:?}", why());
            child.kill().unwrap();
        }
        for (rank, child) in members.iter_mut().enumerate() {
            let status = ended(child);
            if killed >> rank & 1 == 1 {
                assert_eq!(status.signal(), Some(9), "cycle {cycle}: rank {rank} ended by itself: {status}");
            } else {
                assert_eq!(status.code(), Some(LOST), "cycle {cycle}: rank {rank}: {status}");
                survivors += 1;
            }
        }
        let told = acknowledged(directory.path());
        assert!(told >= last, "cycle {cycle}: {told} was noted after {last}");
        let step = loaded(directory.path());
        assert!(step == told || step == told + 1, "cycle {cycle}: {told} was acknowledged, {step} is there");
        last = told;
    }
    println!("{} kills, {last} steps, {survivors} survivors noticed", kills());
    assert!(last > 0, "it was never given the time to save");
}

#[test]
fn killed_ranks_all_load_the_same_step() {
    match inside() {
        Some(directory) => save_for_ever(&directory, false),
        None => kill(|directory| once_more("killed_ranks_all_load_the_same_step", &[], directory), 1),
    }
}

#[test]
fn killed_while_the_parts_are_saved_in_background() {
    match inside() {
        Some(directory) => save_for_ever(&directory, true),
        None => {
            kill(|directory| once_more("killed_while_the_parts_are_saved_in_background", &[], directory), 2)
        }
    }
}

#[test]
fn one_signal_to_one_rank_stops_all_at_the_same_step() {
    if let Some(directory) = inside() {
        let builder = Checkpointer::<State>::builder(directory.join("run.ckpt")).stop_on_signals();
        let mut group = builder.open_group(meet(&directory)).unwrap();
        let mut step = 0;
        while group.should_stop().unwrap().is_none() {
            step += 1;
            fs::write(directory.join(format!("at-{}", rank())), step.to_string()).unwrap();
            group.save_if_due(&State::of(rank(), step)).unwrap();
            thread::sleep(Duration::from_millis(2));
        }
        assert_eq!(group.stopped_by(), Some(1));
        let finished = group.finish(&State::of(rank(), step)).unwrap();
        assert!(finished.exit_code() == std::process::ExitCode::from(75));
        std::process::exit(75);
    }
    let directory = tempfile::tempdir().unwrap();
    let test = "one_signal_to_one_rank_stops_all_at_the_same_step";
    let mut members = start(|| once_more(test, &[], directory.path()));
    while !directory.path().join("at-1").exists() {
        assert_eq!(members[1].try_wait().unwrap(), None);
        thread::sleep(Duration::from_millis(1));
    }
    run_program("kill", &["-TERM", &members[1].id().to_string()]);
    let codes: Vec<_> = members.iter_mut().map(|child| ended(child).code()).collect();
    assert_eq!(codes, [Some(75); SIZE]);
    let at = |rank| fs::read_to_string(directory.path().join(format!("at-{rank}"))).unwrap();
    assert_eq!((at(1), at(2)), (at(0), at(0)));
    assert_eq!(loaded(directory.path()).to_string(), at(0));
}

#[test]
fn processes_that_agree_themselves_restart_from_one_step() {
    // Two processes with a directory each, as without groups.
    let parent = tempfile::tempdir().unwrap();
    let path = |rank: usize| parent.path().join(format!("{rank}.ckpt"));
    let open = |rank: usize| Checkpointer::<u64>::open(path(rank)).unwrap();
    for rank in 0..2 {
        let mut checkpoints = open(rank);
        // The second was killed one save earlier.
        for step in 1..=5 - rank as u64 {
            checkpoints.save(&step).unwrap();
        }
    }
    let common = (0..2).map(|rank| *open(rank).generations().unwrap().last().unwrap()).min().unwrap();
    for rank in 0..2 {
        let mut checkpoints = open(rank);
        assert_eq!(checkpoints.load_generation(common).unwrap(), 4);
        checkpoints.discard_newer(common).unwrap();
        assert_eq!(checkpoints.load().unwrap(), Some(4));
    }
    let history = checkpointed::history::read(path(0)).unwrap();
    let restarts = history
        .records
        .iter()
        .filter(|record| matches!(record.event, checkpointed::history::Event::Restart { generation: 4, .. }));
    assert_eq!(restarts.count(), 2, "a load of one generation is a restart");
    // What was discarded is not missing.
    let checkpoints = open(0);
    assert_eq!(checkpoints.missing_generation(), None);
}

#[test]
fn a_pinned_generation_is_not_discarded() {
    let parent = tempfile::tempdir().unwrap();
    let mut checkpoints =
        Checkpointer::<u64>::builder(parent.path().join("run.ckpt")).keep_last(9).open().unwrap();
    for step in 1..=4 {
        checkpoints.save(&step).unwrap();
    }
    checkpoints.pin(3).unwrap();
    let error = checkpoints.discard_newer(2).unwrap_err();
    assert!(matches!(error, Error::NotDiscarded { generation: 3, .. }), "{error}");
    let error = checkpoints.discard_newer(9).unwrap_err();
    assert!(matches!(error, Error::NoSuchGeneration { .. }), "{error}");
    checkpoints.unpin(3).unwrap();
    checkpoints.discard_newer(2).unwrap();
    assert_eq!(checkpoints.generations().unwrap(), [1, 2]);
    assert_eq!(checkpoints.save(&3).unwrap().generation, 5, "no number is used twice");
}

#[test]
fn nothing_is_discarded_for_a_generation_that_is_damaged() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let mut checkpoints = Checkpointer::<Vec<u64>>::open(&path).unwrap();
    for step in 1..=2 {
        checkpoints.save(&vec![step; 10_000]).unwrap();
    }
    // A bit in the data: the manifest is whole.
    let file = path.join(format!("{:020}.ckpt", 1));
    let mut bytes = fs::read(&file).unwrap();
    bytes[40_000] ^= 1;
    fs::write(&file, bytes).unwrap();
    let error = checkpoints.discard_newer(1).unwrap_err();
    assert!(matches!(error, Error::Damaged { .. }), "{error}");
    assert_eq!(checkpoints.generations().unwrap(), [1, 2]);
}

#[test]
fn a_single_program_discards_nothing_of_a_group() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let mut group = Checkpointer::<u64>::builder(&path).open_group(Alone).unwrap();
    for step in 1..=2 {
        group.save(&step).unwrap();
    }
    drop(group);
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    let error = checkpoints.discard_newer(1).unwrap_err();
    assert!(matches!(error, Error::OtherKind { of_group: true, .. }), "{error}");
    assert_eq!(checkpoints.generations().unwrap(), [1, 2]);
}

#[test]
fn a_group_can_be_copied_while_it_saves() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    let open = |path: &Path| Checkpointer::<u64>::builder(path).keep_last(1).open_group(Alone).unwrap();
    let mut run = open(&path);
    run.save(&1).unwrap();
    thread::scope(|scope| {
        let copying = scope.spawn(|| {
            for number in 0..20 {
                let copy = parent.path().join(format!("copy-{number}.ckpt"));
                inspect::copy(&path, &copy).unwrap();
                assert!(open(&copy).load().unwrap().is_some());
            }
        });
        let mut state = 1;
        while !copying.is_finished() {
            state += 1;
            run.save(&state).unwrap();
        }
        copying.join().unwrap();
    });
}
