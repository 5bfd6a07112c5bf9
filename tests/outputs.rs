//! Files that grow with a run: after any number of crashes they are those of a run without one.

use std::fs;
use std::io::Write as _;
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::common::chain::{
    Chain, Several, assert_files, content, expected, fault, fault_of, open, saved_twice, several,
};
use crate::common::{inside, names_in, once_more};
use checkpointed::{Appended, CheckpointReader, Checkpointer, Error, Schedule, reports::OutputFault};

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
    let most = std::env::var("CHECKPOINTED_KILLS").ok().map_or(60, |text| text.parse::<u64>().unwrap());
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
fn an_earlier_generation_takes_the_files_back_to_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path();
    saved_twice(path, 20);

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
