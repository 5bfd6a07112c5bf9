//! Tests that what a rewind sets aside can come back: the parts of groups, and the files that grow
//! with a run.

use std::fs;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use crate::common::{file_of, names_in};
use checkpointed::group::Threads;
use checkpointed::{
    Appended, Checkpointer, ConfigChanges, Error, Mirror, Protection, Schedule, Scopes, checkpointed,
    inspect, reports::OutputFault,
};

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    (parent, path)
}

fn rewind(path: &Path, generation: u64) -> Result<checkpointed::reports::Rewound, Error> {
    inspect::rewind(path, &Protection::new(), generation)
}

/// Opens as a group of this size, loads, and saves these states. Returns what each member loaded.
fn group(path: &Path, size: usize, keep: usize, states: &[u64]) -> Vec<Result<Option<u64>, String>> {
    let paths = vec![path.to_owned(); size];
    apart(&paths, keep, states)
}

/// The same with a path for each member.
fn apart(paths: &[PathBuf], keep: usize, states: &[u64]) -> Vec<Result<Option<u64>, String>> {
    std::thread::scope(|scope| {
        let members = Threads::new(paths.len()).into_iter().zip(paths).map(|(member, path)| {
            scope.spawn(move || {
                let builder = Checkpointer::<u64>::builder(path).keep_last(keep);
                let mut group = builder.open_group(member).map_err(|error| error.to_string())?;
                let loaded = group.load().map_err(|error| error.to_string());
                for state in states {
                    group.save(state).unwrap();
                }
                loaded
            })
        });
        members.collect::<Vec<_>>().into_iter().map(|member| member.join().unwrap()).collect()
    })
}

fn part(path: &Path, rank: usize, generation: u64) -> PathBuf {
    path.join(format!("ranks/{rank:06}/{generation:020}.ckpt"))
}

#[test]
fn parts_of_another_size_come_back_with_their_table() {
    let (_parent, path) = nowhere();
    group(&path, 2, 9, &[1, 2, 3]);
    group(&path, 3, 9, &[4, 5]);
    rewind(&path, 3).unwrap();
    assert_eq!(group(&path, 2, 1, &[6]), [Ok(Some(3)), Ok(Some(3))]);
    assert_eq!(rewind(&path, 5).unwrap().brought_back, [4, 5]);
    assert_eq!(group(&path, 3, 9, &[]), vec![Ok(Some(5)); 3]);
}

#[test]
fn members_with_a_directory_each_go_back_and_forth() {
    let (parent, path) = nowhere();
    let paths = [path.clone(), parent.path().join("second.ckpt"), parent.path().join("third.ckpt")];
    apart(&paths, 9, &[1, 2, 3]);
    rewind(&path, 1).unwrap();
    assert_eq!(apart(&paths, 1, &[4]), vec![Ok(Some(1)); 3]);
    assert_eq!(rewind(&path, 3).unwrap().brought_back, [2, 3]);
    assert_eq!(apart(&paths, 1, &[]), vec![Ok(Some(3)); 3]);
}

#[test]
fn a_group_without_a_part_is_not_brought_back() {
    let (parent, path) = nowhere();
    group(&path, 2, 9, &[1, 2, 3]);
    rewind(&path, 1).unwrap();
    group(&path, 2, 9, &[4]);
    fs::rename(part(&path, 1, 3), parent.path().join("away")).unwrap_or_else(|_| {
        let aside =
            names_in(&path.join("ranks/000001")).into_iter().find(|name| name.contains("03.ckpt.rew"));
        fs::rename(path.join("ranks/000001").join(aside.unwrap()), parent.path().join("away")).unwrap();
    });
    let before = names_in(&path);
    let error = rewind(&path, 3).unwrap_err().to_string();
    assert!(error.contains("000001"), "{error}");
    let to = parent.path().join("branch.ckpt");
    let error = inspect::branch(&path, &Protection::new(), 3, &to).unwrap_err().to_string();
    assert!(error.contains("000001") && !to.exists(), "{error}");
    assert_eq!(names_in(&path), before);
    // A part of another save is none.
    fs::copy(part(&path, 0, 4), part(&path, 1, 4)).unwrap();
    rewind(&path, 2).unwrap();
    assert!(matches!(rewind(&path, 4), Err(Error::Damaged { .. })));
    // Ranks that cannot be listed are none that have no parts.
    fs::rename(path.join("ranks"), parent.path().join("ranks")).unwrap();
    fs::write(path.join("ranks"), "").unwrap();
    rewind(&path, 1).unwrap_err();
}

#[test]
fn a_group_with_nothing_but_tables_aside_is_no_fresh_start() {
    let (_parent, path) = nowhere();
    group(&path, 2, 9, &[1, 2]);
    rewind(&path, 1).unwrap();
    fs::remove_file(file_of(&path, 1)).unwrap();
    for loaded in group(&path, 2, 9, &[]) {
        assert!(loaded.unwrap_err().contains("rewinds set aside"));
    }
    for rank in 0..2 {
        fs::remove_dir_all(path.join(format!("ranks/{rank:06}"))).unwrap();
    }
    for loaded in group(&path, 2, 9, &[]) {
        assert!(loaded.unwrap_err().contains("rewinds set aside"));
    }
}

#[test]
fn the_directory_of_one_rank_does_not_go_back_alone() {
    let (parent, path) = nowhere();
    group(&path, 2, 9, &[1, 2]);
    let rank = path.join("ranks/000001");
    for error in [
        rewind(&rank, 1).unwrap_err(),
        inspect::branch(&rank, &Protection::new(), 1, parent.path().join("b")).unwrap_err(),
    ] {
        assert!(error.to_string().contains("one process of a group"), "{error}");
    }
    assert_eq!(group(&path, 2, 9, &[]), vec![Ok(Some(2)); 2]);
}

#[test]
fn a_directory_below_one_called_progress_goes_back() {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("progress/run.ckpt");
    let mut checkpoints = Checkpointer::<u64>::builder(&path).open().unwrap();
    checkpoints.save(&1).unwrap();
    checkpoints.save(&2).unwrap();
    drop(checkpoints);
    assert_eq!(rewind(&path, 1).unwrap().set_aside, [2]);
}

#[test]
fn pins_keep_what_is_aside() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(9).open().unwrap();
    for state in 1..=3 {
        checkpoints.save(&state).unwrap();
    }
    checkpoints.pin(2).unwrap();
    checkpoints.rewind(1).unwrap();
    checkpoints.save(&4).unwrap();
    drop(checkpoints);
    let numbers = |removed: Vec<inspect::SetAside>| -> Vec<u64> {
        removed.into_iter().map(|aside| aside.generation).collect()
    };
    assert_eq!(numbers(inspect::remove_rewound(&path, true).unwrap()), [3]);
    assert_eq!(numbers(inspect::remove_rewound(&path, false).unwrap()), [3]);
    assert_eq!(rewind(&path, 2).unwrap().brought_back, [2]);
}

#[test]
fn a_branch_begins_with_a_generation_that_is_aside() {
    let (parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(9).open().unwrap();
    for state in 1..=3 {
        checkpoints.save(&state).unwrap();
    }
    checkpoints.rewind(1).unwrap();
    let to = parent.path().join("variant.ckpt");
    let branch = |at| Checkpointer::<u64>::builder(&to).branch_from(&path).at(at).open().unwrap();
    let mut variant = branch(3);
    assert_eq!(variant.generations().unwrap(), [3]);
    assert_eq!(variant.load().unwrap(), Some(3));
    drop(variant);
    let Error::NoSuchGeneration { available, .. } = branch(9).load().unwrap_err() else { panic!() };
    assert_eq!(available, [1, 2, 3]);
}

/// Numbers that look random.
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

#[test]
fn a_rewind_brings_back_ancestors_and_no_others() {
    let mut rewinds = 0;
    for seed in 0..6 {
        let (_parent, path) = nowhere();
        let mut numbers = Numbers(seed);
        let mut parents = std::collections::BTreeMap::new();
        let (mut newest, mut pinned) = (0, Vec::new());
        for _ in 0..120 {
            let keep = usize::try_from(1 + numbers.below(3)).unwrap();
            let builder = Checkpointer::<u64>::builder(&path).keep_last(keep).durable(false).history(false);
            let mut checkpoints = builder.warnings_to_stderr(false).open().unwrap();
            let aside: Vec<u64> = inspect::overview(&path, &Protection::new())
                .unwrap()
                .rewound
                .into_iter()
                .map(|aside| aside.generation)
                .collect();
            let there = checkpoints.generations().unwrap();
            match numbers.below(8) {
                0..4 => {
                    let saved = checkpoints.save(&0).unwrap().generation;
                    parents.insert(saved, newest);
                    newest = saved;
                    if numbers.below(6) == 0 {
                        checkpoints.pin(saved).unwrap();
                        pinned.push(saved);
                    }
                }
                4..7 => {
                    let all = [&there[..], &aside[..]].concat();
                    if all.is_empty() {
                        continue;
                    }
                    let to = all[usize::try_from(numbers.below(all.len() as u64)).unwrap()];
                    checkpoints.rewind(to).unwrap();
                    newest = to;
                    let ancestors: Vec<u64> =
                        std::iter::successors(Some(to), |next| parents.get(next).copied()).collect();
                    let mut expected: Vec<u64> =
                        all.iter().copied().filter(|generation| ancestors.contains(generation)).collect();
                    expected.sort_unstable();
                    assert_eq!(checkpoints.generations().unwrap(), expected, "seed {seed}, to {to}");
                    rewinds += 1;
                }
                _ => {
                    drop(checkpoints);
                    let removed = inspect::remove_rewound(&path, false).unwrap();
                    assert!(removed.iter().all(|aside| !pinned.contains(&aside.generation)));
                }
            }
        }
    }
    assert!(rewinds > 100, "{rewinds}");
}

#[checkpointed]
#[derive(Clone, Debug)]
struct Log {
    lines: Appended,
}

impl Log {
    fn new(path: &Path) -> Log {
        Log { lines: Appended::at(path) }
    }

    fn write(&mut self, text: &str) {
        self.lines.write_all(text.as_bytes()).unwrap();
    }
}

fn content(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

fn fault(error: &Error) -> OutputFault {
    match error {
        Error::Output { fault, .. } => *fault,
        other => panic!("{other:?}"),
    }
}

fn open(path: &Path) -> Checkpointer<Log> {
    Checkpointer::builder(path).keep_last(9).open().unwrap()
}

/// A log of which the generations 1 to 3 count two bytes more each.
fn logged(parent: &Path) -> (PathBuf, PathBuf) {
    let (path, file) = (parent.join("run.ckpt"), parent.join("a.log"));
    let mut checkpoints = open(&path);
    let mut log = checkpoints.load_or_else(|| Log::new(&file)).unwrap();
    for text in ["1,", "2,", "3,"] {
        log.write(text);
        checkpoints.save(&log).unwrap();
    }
    (path, file)
}

/// What was cut is the way back.
fn assert_cut_came_back(file: &Path) {
    assert_eq!(content(file), "1,");
    let cut = PathBuf::from(format!("{}.cut-at-2", file.display()));
    assert_eq!(content(&cut), "2,3,");
    fs::write(file, "1,2,3,").unwrap();
}

#[test]
fn a_rewind_keeps_the_cut_end_of_an_output() {
    let parent = tempfile::tempdir().unwrap();
    let (path, file) = logged(parent.path());
    rewind(&path, 1).unwrap();
    drop(open(&path).load().unwrap().unwrap());
    assert_cut_came_back(&file);
    rewind(&path, 3).unwrap();
    assert_eq!(open(&path).load().unwrap().unwrap().lines.len(), 6);
}

#[test]
fn a_rewound_group_keeps_the_cut_end_of_an_output() {
    let (parent, path) = nowhere();
    let file = parent.path().join("a.log");
    let group = || {
        let builder = Checkpointer::<Log>::builder(&path).keep_last(9);
        builder.open_group(Threads::new(1).remove(0)).unwrap()
    };
    let mut members = group();
    let mut log = members.load_or_else(|| Log::new(&file)).unwrap();
    for text in ["1,", "2,", "3,"] {
        log.write(text);
        members.save(&log).unwrap();
    }
    drop((members, log));
    rewind(&path, 1).unwrap();
    drop(group().load().unwrap().unwrap());
    assert_cut_came_back(&file);
    rewind(&path, 3).unwrap();
    assert_eq!(group().load().unwrap().unwrap().lines.len(), 6);
}

#[test]
fn rewound_scopes_keep_the_cut_end_of_an_output() {
    let (parent, path) = nowhere();
    let file = parent.path().join("a.log");
    let scopes = || Scopes::builder(&path).keep_last(9).open().unwrap();
    let mut first = scopes();
    let mut scope = first.enter::<Log>("scope").unwrap();
    let mut log = Log::new(&file);
    for text in ["1,", "2,", "3,"] {
        log.write(text);
        scope.save(&log).unwrap();
    }
    drop((log, scope));
    drop(first);
    rewind(&path, 1).unwrap();
    let mut again = scopes();
    assert!(again.restore().unwrap());
    drop(again.enter::<Log>("scope").unwrap().restored().unwrap());
    assert_cut_came_back(&file);
}

#[test]
fn a_rewind_to_what_an_output_lacks_is_refused() {
    let parent = tempfile::tempdir().unwrap();
    let (path, file) = logged(parent.path());
    let mut checkpoints = open(&path);
    checkpoints.rewind(1).unwrap();
    let mut log = checkpoints.load().unwrap().unwrap();
    log.write("4,");
    checkpoints.save(&log).unwrap();
    let before = names_in(&path);
    let error = checkpoints.rewind(3).unwrap_err();
    assert_eq!(fault(&error), OutputFault::Shorter { length: 4 });
    assert!(error.to_string().contains(".cut-at-"), "{error}");
    assert_eq!(names_in(&path), before);
    drop((checkpoints, log));
    let start = || Checkpointer::<Log>::builder(&path).rewind(3).open();
    assert_eq!(fault(&start().unwrap_err()), OutputFault::Shorter { length: 4 });
    assert_eq!(names_in(&path), before);
    fs::write(&file, "1,2,3,").unwrap();
    assert_eq!(start().unwrap().load().unwrap().unwrap().lines.len(), 6);
}

#[test]
fn going_back_to_a_clone_after_a_rewind_keeps_what_is_cut() {
    let parent = tempfile::tempdir().unwrap();
    let (path, file) = (parent.path().join("run.ckpt"), parent.path().join("a.log"));
    let mut checkpoints = open(&path);
    let mut log = Log::new(&file);
    let mut clone = None;
    for text in ["1,", "2,", "3,"] {
        log.write(text);
        checkpoints.save(&log).unwrap();
        clone.get_or_insert_with(|| log.clone());
    }
    drop(log);
    checkpoints.rewind(1).unwrap();
    checkpoints.save(&clone.unwrap()).unwrap();
    drop(checkpoints);
    assert_cut_came_back(&file);
}

#[test]
fn a_value_of_before_a_rewind_cuts_nothing_that_counts() {
    let parent = tempfile::tempdir().unwrap();
    let (path, file) = logged(parent.path());
    let mut checkpoints = open(&path);
    let mut first = checkpoints.load_generation(1).unwrap();
    checkpoints.rewind(1).unwrap();
    checkpoints.rewind(3).unwrap();
    let error = first.lines.write_all(b"x").unwrap_err();
    assert_eq!(fault(error.get_ref().unwrap().downcast_ref().unwrap()), OutputFault::NotNewest);
    assert_eq!(content(&file), "1,2,3,");
    checkpoints.rewind(1).unwrap();
    first.write("x");
    assert_eq!(first.lines.len(), 3);
}

type Warnings = Arc<Mutex<Vec<String>>>;

fn told(warnings: &Warnings, words: &str) -> bool {
    warnings.lock().unwrap().iter().any(|warning| warning.contains(words))
}

#[test]
fn a_copy_and_a_restored_directory_go_back_no_second_time() {
    let (parent, path) = nowhere();
    let warnings = Warnings::default();
    let start = |path: &Path| {
        let taken = Arc::clone(&warnings);
        let builder = Checkpointer::<u64>::builder(path).keep_last(9).rewind(2);
        builder.on_warning(move |warning| taken.lock().unwrap().push(warning.to_string()))
    };
    let mut checkpoints = Checkpointer::<u64>::builder(&path).keep_last(9).open().unwrap();
    for state in 1..=4 {
        checkpoints.save(&state).unwrap();
    }
    drop(checkpoints);
    let mut checkpoints = start(&path).open().unwrap();
    assert!(told(&warnings, "3, 4"), "{warnings:?}");
    checkpoints.load().unwrap();
    checkpoints.save(&5).unwrap();
    drop(checkpoints);
    let copy = parent.path().join("copy.ckpt");
    inspect::copy(&path, &copy).unwrap();
    assert_eq!(start(&copy).open().unwrap().load().unwrap(), Some(5));

    let mirror = || Mirror::to(parent.path().join("far.ckpt"));
    let mut checkpoints = start(&path).mirror(mirror()).open().unwrap();
    checkpoints.wait_for_mirror(Duration::from_secs(60)).unwrap();
    drop(checkpoints);
    fs::remove_dir_all(&path).unwrap();
    for _ in 0..2 {
        let mut checkpoints = start(&path).mirror(mirror()).open().unwrap();
        assert_eq!(checkpoints.load().unwrap(), Some(5));
        checkpoints.finish(&5).unwrap();
    }
}

#[test]
fn a_refused_load_leaves_the_warning_of_saves_without_one() {
    let (_parent, path) = nowhere();
    let open = |rate: f64, warnings: &Warnings| {
        let taken = Arc::clone(warnings);
        let builder =
            Checkpointer::<u64>::builder(&path).config(&rate).config_changes(ConfigChanges::refuse());
        builder.on_warning(move |warning| taken.lock().unwrap().push(warning.to_string())).open().unwrap()
    };
    let warnings = Warnings::default();
    open(0.1, &warnings).save(&7).unwrap();
    let mut checkpoints = open(0.2, &warnings);
    assert!(matches!(checkpoints.load(), Err(Error::ConfigChanged { .. })));
    checkpoints.save(&1).unwrap();
    assert!(told(&warnings, "without loading"), "{warnings:?}");
}

fn step_of(checkpoints: &Checkpointer<u64>, generation: u64) -> Option<u64> {
    let manifest = checkpoints.manifest(generation).unwrap();
    let step = manifest.metadata().get("step").cloned();
    step.map(|step| step.to_string().parse().unwrap())
}

#[test]
fn a_save_has_the_count_of_the_state_that_was_loaded() {
    let (_parent, path) = nowhere();
    let open = || {
        let schedule = Schedule::every_of("step", 1000);
        Checkpointer::<u64>::builder(&path).keep_last(9).schedule(schedule).open().unwrap()
    };
    let mut checkpoints = open();
    checkpoints.save(&0).unwrap();
    for step in [3000, 5000] {
        checkpoints.count("step", step);
        checkpoints.count("other", step + 1);
        checkpoints.save(&step).unwrap();
    }
    checkpoints.rewind(2).unwrap();
    let state = checkpoints.load().unwrap().unwrap();
    let saved = checkpoints.save(&state).unwrap().generation;
    assert_eq!(step_of(&checkpoints, saved), Some(3000));
    // A state that does not tell takes no number of another one.
    checkpoints.rewind(1).unwrap();
    checkpoints.load().unwrap();
    let saved = checkpoints.save(&0).unwrap().generation;
    assert_eq!(step_of(&checkpoints, saved), None);
    checkpoints.rewind(2).unwrap();
    drop(checkpoints);
    // Before the first count of a run, the state is the loaded one.
    let mut checkpoints = open();
    let state = checkpoints.load().unwrap().unwrap();
    let saved = checkpoints.save(&state).unwrap().generation;
    assert_eq!(step_of(&checkpoints, saved), Some(3000));
}

#[test]
fn a_fresh_run_saves_where_it_comes_past_its_first_multiple() {
    let (_parent, path) = nowhere();
    let builder = Checkpointer::<u64>::builder(&path).schedule(Schedule::every_of("samples", 100));
    let mut checkpoints = builder.open().unwrap();
    let mut samples = checkpoints.load_or_default().unwrap();
    let mut saved = Vec::new();
    for _ in 0..3 {
        samples += 250;
        checkpoints.count("samples", samples);
        if checkpoints.save_if_due(&samples).unwrap().is_saved() {
            saved.push(samples);
        }
    }
    assert_eq!(saved, [250, 500, 750]);
}
