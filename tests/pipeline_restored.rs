//! Kept copies of the files that steps produced: what is put back, and what is never written to.

#![cfg(unix)]

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
use std::path::Path;
use std::process::Command;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::pipeline_files::{Project, told};
use checkpointed::{
    Checkpointer, Metadata, Pipeline,
    pipeline::{Outcome, StepEvent, redo},
};

#[test]
fn kept_copies_of_produced_files_are_put_back() {
    let project = Project::new();
    for text in ["a", "b"] {
        project.plot(text, true);
    }
    let reports = project.plot("a", true);
    assert_eq!(told(&reports[0]), "Reused: nothing has changed; plots/plot.svg was put back");
    assert_eq!(project.read("plots/plot.svg"), "a");
    let mode = |name: &str| fs::metadata(project.file(name)).unwrap().permissions().mode();
    project.write("as written", "");
    assert_eq!(mode("plots/plot.svg"), mode("as written"), "others may read it as before");
    // Gone with its directory.
    fs::remove_dir_all(project.file("plots")).unwrap();
    assert_eq!(project.plot("a", true)[0].outcome, Outcome::Reused);
    // A file that a user changed is moved aside.
    project.write("plots/plot.svg", "by hand");
    assert_eq!(project.plot("b", true)[0].outcome, Outcome::Reused);
    assert_eq!(project.read("plots/plot.svg"), "b");
    assert_eq!(project.read("plots/plot.svg.changed"), "by hand");
    project.write("plots/plot.svg", "by hand again");
    project.plot("b", true);
    assert_eq!(project.read("plots/plot.svg.changed-2"), "by hand again");
    // A version by its number, too.
    let reports = project.try_plot(project.open().use_version("plot", 1), "b", true).unwrap();
    assert_eq!(told(&reports[0]), "Reused: chosen; plots/plot.svg was put back");
    assert_eq!(project.read("plots/plot.svg"), "a");
    // A branch has them as well.
    project.open().branch(project.file("other.pipeline")).unwrap();
    fs::remove_dir_all(project.file("steps.pipeline")).unwrap();
    fs::rename(project.file("other.pipeline"), project.file("steps.pipeline")).unwrap();
    assert_eq!(project.plot("b", true)[0].outcome, Outcome::Reused);
}

#[test]
fn a_damaged_copy_is_not_put_back() {
    let project = Project::new();
    project.plot("a", true);
    fs::remove_file(project.file("plots/plot.svg")).unwrap();
    let copies = project.file("steps.pipeline/produced/plot");
    let copy = fs::read_dir(&copies).unwrap().next().unwrap().unwrap().path();
    fs::write(&copy, "damage").unwrap();
    let reports = project.plot("a", true);
    assert_eq!(reports[0].outcome, Outcome::Ran);
    assert_eq!(project.read("plots/plot.svg"), "a");
    assert_eq!(fs::read(&copy).unwrap(), b"a", "the new version has a whole copy");
}

#[test]
fn a_copy_that_a_power_cut_shortened_is_made_again() {
    let project = Project::new();
    project.plot("all of it", true);
    let copies = project.file("steps.pipeline/produced/plot");
    let copy = fs::read_dir(&copies).unwrap().next().unwrap().unwrap().path();
    fs::write(&copy, "all").unwrap();
    project.try_plot(project.open().force("plot"), "all of it", true).unwrap();
    assert_eq!(fs::read(&copy).unwrap(), b"all of it");
}

#[test]
fn copies_go_with_the_versions_that_have_them() {
    let project = Project::new();
    let copies = || fs::read_dir(project.file("steps.pipeline/produced/plot")).unwrap().count();
    for text in ["a", "b", "c", "d", "e"] {
        project.plot(text, true);
    }
    assert_eq!(copies(), 3, "of the last three versions");
    project.plot("f", false);
    assert_eq!(copies(), 2);
}

#[test]
fn a_program_that_was_produced_can_be_run_when_it_is_put_back() {
    let project = Project::new();
    let tool = project.file("tool");
    let run = || {
        let pipeline = project.open();
        let step = pipeline.step("compile").produces(&tool).keep_produced(true);
        let made = step.run(|_| {
            fs::write(&tool, "#!/bin/sh\n")?;
            fs::set_permissions(&tool, fs::Permissions::from_mode(0o755))
        });
        made.unwrap();
        pipeline.reports().remove(0).outcome
    };
    assert_eq!(run(), Outcome::Ran);
    fs::remove_file(&tool).unwrap();
    assert_eq!(run(), Outcome::Reused);
    assert_eq!(fs::metadata(&tool).unwrap().permissions().mode() & 0o100, 0o100);
}

#[test]
fn a_record_of_another_hand_leads_to_no_file_outside() {
    let project = Project::new();
    project.plot("a", true);
    let victims = [project.path.with_file_name("victim"), project.file("other.csv")];
    for victim in &victims {
        fs::write(victim, "mine").unwrap();
    }
    // The attacker has a copy with the right hash, and a version that names other places too.
    let mut outputs = Checkpointer::<()>::open(project.file("steps.pipeline/steps/plot")).unwrap();
    outputs.load().unwrap();
    let manifest = outputs.manifest(1).unwrap();
    let record = manifest.metadata().get("step").unwrap().as_str().unwrap();
    let mut record: serde_json::Value = serde_json::from_str(record).unwrap();
    let file = record["produced"]["plots/plot.svg"].clone();
    for name in [victims[0].to_str().unwrap(), "../victim", "./victim", "other.csv"] {
        record["produced"][name] = file.clone();
    }
    record["directory"] = project.path.parent().unwrap().to_str().unwrap().into();
    outputs.save_with(&(), Metadata::new().with("step", record.to_string())).unwrap();
    drop(outputs);
    let reports = project.plot("a", true);
    assert_eq!(told(&reports[0]), "Reused: nothing has changed", "the whole version before");
    for victim in &victims {
        assert_eq!(fs::read_to_string(victim).unwrap(), "mine", "{}", victim.display());
    }
}

#[test]
fn no_copy_is_put_back_while_another_process_runs_the_step() {
    let project = Project::new();
    let (plot, path) = (project.file("plot.svg"), project.file("steps.pipeline"));
    let open = || Pipeline::builder(&path).shared(true).open().unwrap();
    let make = |pipeline: &Pipeline, work: &dyn Fn() -> std::io::Result<()>| {
        let step = pipeline.step("plot").produces(&plot).keep_produced(true);
        step.run(|_| work()).unwrap();
        pipeline.reports().remove(0).outcome
    };
    make(&open(), &|| fs::write(&plot, "old"));
    let (go, goes) = mpsc::channel();
    let waited = go.clone();
    let second = open().on_step(move |event| {
        if matches!(event, StepEvent::Waiting { .. }) {
            waited.send(()).unwrap();
        }
    });
    redo(&path, "plot").unwrap();
    let first = open();
    let (begun, begins) = mpsc::channel();
    thread::scope(|scope| {
        let ran = scope.spawn(|| {
            let goes = goes;
            make(&first, &|| {
                fs::write(&plot, "new, half")?;
                begun.send(()).unwrap();
                goes.recv_timeout(Duration::from_secs(60)).unwrap();
                fs::write(&plot, "new")
            })
        });
        begins.recv().unwrap();
        assert_eq!(make(&second, &|| panic!("it ran twice")), Outcome::Reused);
        let _ = go.send(());
        assert_eq!(ran.join().unwrap(), Outcome::Ran);
    });
    assert_eq!(project.read("plot.svg"), "new");
    assert!(!project.file("plot.svg.changed").exists(), "the half of the other process was moved");
}

#[test]
fn a_copy_takes_the_place_of_no_pipe_directory_or_target() {
    let project = Project::new();
    let (plot, aside) = (project.file("plots/plot.svg"), project.file("plots/plot.svg.changed"));
    let pipe = |path: &Path| assert!(Command::new("mkfifo").arg(path).status().unwrap().success());
    let kind = |path: &Path| fs::symlink_metadata(path).unwrap().file_type();
    let target = project.file("target");
    // Anything there is moved aside under its own name. Only the target of a link to a file is
    // written.
    let clear = || {
        for path in [&plot, &aside, &target] {
            let _ = fs::remove_dir_all(path).or_else(|_| fs::remove_file(path));
        }
    };
    project.plot("a", true);
    let put_back = |what: &str| {
        assert_eq!(project.plot("a", true)[0].outcome, Outcome::Reused, "{what}");
        assert_eq!(project.read("plots/plot.svg"), "a", "{what}");
    };
    clear();
    fs::create_dir_all(plot.join("inside")).unwrap();
    put_back("a directory");
    assert!(aside.join("inside").is_dir());
    clear();
    symlink(&target, &plot).unwrap();
    put_back("a link to nothing");
    assert!(kind(&aside).is_symlink() && !target.exists());
    clear();
    fs::write(&target, "another").unwrap();
    symlink(&target, &plot).unwrap();
    put_back("a link to a file");
    assert!(kind(&plot).is_symlink());
    assert_eq!(fs::read_to_string(project.file("target.changed")).unwrap(), "another");
    clear();
    pipe(&target);
    symlink(&target, &plot).unwrap();
    put_back("a link to a pipe, as one to /dev/null");
    assert!(kind(&aside).is_symlink() && kind(&target).is_fifo());
    clear();
    pipe(&plot);
    put_back("a pipe");
    assert!(kind(&aside).is_fifo());
}

#[test]
fn a_file_that_is_put_back_has_its_permissions() {
    let project = Project::new();
    let key = project.file("key");
    // The umask cuts none of them.
    for mode in [0o600, 0o640, 0o666, 0o777] {
        let run = || {
            let pipeline = project.open();
            let step = pipeline.step("key").param("mode", &mode).produces(&key).keep_produced(true);
            let made = step.run(|_| {
                fs::write(&key, "secret")?;
                fs::set_permissions(&key, fs::Permissions::from_mode(mode))
            });
            made.unwrap();
            pipeline.reports().remove(0).outcome
        };
        assert_eq!(run(), Outcome::Ran);
        fs::remove_file(&key).unwrap();
        assert_eq!(run(), Outcome::Reused);
        assert_eq!(fs::metadata(&key).unwrap().permissions().mode() & 0o777, mode, "{mode:o}");
    }
}
