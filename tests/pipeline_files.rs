//! Pipelines and their files: what steps produce, directories and patterns that they read, projects
//! that move; with real files and real kills.

#![cfg(unix)]

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::thread;
use std::time::Duration;

use crate::common::{inside, once_more};
use checkpointed::{
    Checkpointer, Error, Pipeline, Protection,
    pipeline::{self, Outcome, StepReport},
};

/// A project: a directory with a pipeline directory in it.
pub(crate) struct Project {
    _parent: tempfile::TempDir,
    pub(crate) path: PathBuf,
}

impl Project {
    pub(crate) fn new() -> Project {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("project");
        fs::create_dir(&path).unwrap();
        Project { _parent: parent, path }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    pub(crate) fn write(&self, name: &str, text: &str) {
        fs::create_dir_all(self.file(name).parent().unwrap()).unwrap();
        fs::write(self.file(name), text).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap()
    }

    pub(crate) fn open(&self) -> Pipeline {
        Pipeline::open(self.file("steps.pipeline")).unwrap()
    }

    /// Runs a step that writes its parameter to a file, and one that takes its output.
    pub(crate) fn plot(&self, text: &str, keeps: bool) -> Vec<StepReport> {
        self.try_plot(self.open(), text, keeps).unwrap()
    }

    pub(crate) fn try_plot(
        &self,
        pipeline: Pipeline,
        text: &str,
        keeps: bool,
    ) -> Result<Vec<StepReport>, Error> {
        let file = self.file("plots/plot.svg");
        let plot = pipeline.step("plot").param("text", text).produces(&file).keep_produced(keeps);
        let plot = plot.run(|_| {
            fs::create_dir_all(file.parent().unwrap())?;
            fs::write(&file, text)
        })?;
        let report = pipeline.step("report").input(&plot);
        report.run(|_| fs::read_to_string(&file))?;
        pipeline.finish()
    }
}

pub(crate) fn told(report: &StepReport) -> String {
    let reasons: Vec<String> = report.reasons.iter().map(ToString::to_string).collect();
    format!("{:?}: {}", report.outcome, reasons.join("; "))
}

#[test]
fn a_produced_file_that_is_gone_or_changed_is_made_again() {
    let project = Project::new();
    let reports = project.plot("a", false);
    assert_eq!(told(&reports[0]), "Ran: nothing is kept of it");
    assert_eq!(told(&project.plot("a", false)[0]), "Reused: nothing has changed");
    fs::remove_file(project.file("plots/plot.svg")).unwrap();
    let reports = project.plot("a", false);
    assert_eq!(told(&reports[0]), "Ran: plots/plot.svg, which it produced, is gone");
    assert_eq!(told(&reports[1]), "Reused: nothing has changed", "its content is what it was");
    // Of the same length.
    project.write("plots/plot.svg", "b");
    let reports = project.plot("a", false);
    assert_eq!(told(&reports[0]), "Ran: plots/plot.svg, which it produced, has changed");
    assert_eq!(project.read("plots/plot.svg"), "a");
    fs::remove_dir_all(project.file("plots")).unwrap();
    fs::create_dir_all(project.file("plots/plot.svg")).unwrap();
    let error = project.try_plot(project.open(), "a", false).unwrap_err().to_string();
    assert!(error.contains("step `plot` failed"), "{error}");
    // A file in the place of its directory.
    fs::remove_dir_all(project.file("plots")).unwrap();
    project.write("plots", "");
    let error = project.try_plot(project.open(), "a", false).unwrap_err().to_string();
    assert!(error.contains("step `plot` failed"), "{error}");
    fs::remove_file(project.file("plots")).unwrap();
    assert_eq!(project.plot("a", false)[0].outcome, Outcome::Ran);
}

#[test]
fn explain_tells_of_produced_files_and_leaves_them_alone() {
    let project = Project::new();
    let explained = |keeps: bool| {
        let pipeline = project.open();
        let step = pipeline.step("plot").param("text", "a").produces(project.file("plots/plot.svg"));
        let (outcome, reasons) = step.keep_produced(keeps).explain::<()>().unwrap();
        (outcome, reasons[reasons.len() - 1].to_string())
    };
    project.plot("a", false);
    assert_eq!(explained(false).0, Outcome::Reused);
    fs::remove_file(project.file("plots/plot.svg")).unwrap();
    assert_eq!(explained(false), (Outcome::Ran, "plots/plot.svg, which it produced, is gone".to_owned()));
    project.plot("a", true);
    fs::remove_file(project.file("plots/plot.svg")).unwrap();
    assert_eq!(explained(true), (Outcome::Reused, "plots/plot.svg was put back".to_owned()));
    assert!(!project.file("plots/plot.svg").exists());
}

#[test]
fn a_produced_files_content_counts_for_steps_that_take_it() {
    let project = Project::new();
    project.plot("a", false);
    // The output of the step is `()` each time; only the file differs.
    let reports = project.plot("b", false);
    assert_eq!(told(&reports[1]), "Ran: the output of plot has changed");
}

#[test]
fn an_older_version_is_not_taken_without_its_files() {
    let project = Project::new();
    project.plot("a", false);
    project.plot("b", false);
    let reports = project.plot("a", false);
    assert_eq!(told(&reports[0]), "Ran: plots/plot.svg, which it produced, has changed");
    assert_eq!(project.read("plots/plot.svg"), "a");
    let commands: [fn(Pipeline) -> Pipeline; 2] =
        [|pipeline| pipeline.only("report"), |pipeline| pipeline.use_version("plot", 2)];
    for command in commands {
        let error = project.try_plot(command(project.open()), "b", false).unwrap_err().to_string();
        assert!(error.contains("plots/plot.svg, which it produced, has changed"), "{error}");
        assert!(error.contains("version 2") && error.contains("no copy is kept"), "{error}");
    }
    let reports = project.try_plot(project.open().from("report"), "b", false).unwrap();
    assert_eq!(reports[0].outcome, Outcome::Ran);
}

#[test]
fn a_step_that_does_not_write_its_file_fails() {
    let project = Project::new();
    let file = project.file("data.bin");
    let run = |writes: bool| {
        let pipeline = project.open();
        let step = pipeline.step("download").produces(&file);
        step.run(|_| if writes { fs::write(&file, "all") } else { Ok(()) }).map(drop)
    };
    let error = run(false).unwrap_err().to_string();
    assert!(error.contains("did not produce data.bin"), "{error}");
    // The half of a run that was just killed.
    fs::write(&file, "half").unwrap();
    let error = run(false).unwrap_err().to_string();
    assert!(error.contains("did not write data.bin") && error.contains("earlier run"), "{error}");
    // What is written again counts, however soon, and with the same content.
    for _ in 0..10 {
        let _ = fs::remove_dir_all(project.file("steps.pipeline"));
        fs::write(&file, "all").unwrap();
        run(true).unwrap();
    }
    assert_eq!(project.open().versions("download").unwrap(), [1]);
}

#[test]
fn a_step_that_goes_on_keeps_the_files_of_its_first_half() {
    let project = Project::new();
    let file = project.file("first.csv");
    let run = |is_first: bool| {
        let pipeline = project.open();
        let step = pipeline.step("two parts").produces(&file);
        step.run(|context| {
            let mut checkpoints: Checkpointer<u64> = context.checkpointer()?;
            if checkpoints.load()?.is_none() {
                fs::write(&file, "1,2,3")?;
                checkpoints.save(&1)?;
            }
            match is_first {
                true => Err(context.not_done().into()),
                false => Ok::<u64, Box<dyn std::error::Error + Send + Sync>>(2),
            }
        })
        .map(drop)
    };
    assert!(matches!(run(true), Err(Error::StepStopped { .. })));
    run(false).unwrap();
}

#[test]
fn a_step_that_lost_its_progress_writes_its_files_again() {
    let project = Project::new();
    let (file, input) = (project.file("first.csv"), project.file("in.csv"));
    let run = |is_first: bool| {
        fs::write(&input, "1").unwrap();
        let pipeline = project.open();
        let step = pipeline.step("two parts").file(&input).produces(&file);
        step.run(|context| {
            let mut checkpoints: Checkpointer<u64> = context.checkpointer()?;
            assert_eq!(checkpoints.load()?, None, "nothing that was made of another input");
            if is_first {
                fs::write(&input, "2")?;
                fs::write(&file, "2,2,2")?;
            }
            let saved = checkpoints.save(&1)?;
            if !is_first {
                // A state of this run is no progress of an earlier one.
                assert_eq!(checkpoints.load_generation(saved.generation)?, 1);
            }
            match is_first {
                true => Err(context.not_done().into()),
                false => Ok::<u64, Box<dyn std::error::Error + Send + Sync>>(2),
            }
        })
        .map(drop)
    };
    assert!(matches!(run(true), Err(Error::StepStopped { .. })));
    let error = run(false).unwrap_err().to_string();
    assert!(error.contains("did not write first.csv"), "{error}");
}

/// The ways in which a step goes on from checkpoints of its own.
#[derive(Clone, Copy)]
enum From {
    Field,
    Generation,
}

#[test]
fn a_step_that_goes_on_keeps_the_files_that_it_has_written() {
    for from in [From::Field, From::Generation] {
        let project = Project::new();
        let file = project.file("first.csv");
        let run = |is_first: bool| {
            let pipeline = project.open();
            let step = pipeline.step("two parts").produces(&file).run(|context| {
                if is_first {
                    fs::write(&file, "1")?;
                }
                let mut checkpoints: Checkpointer<(u64, u64)> = context.checkpointer()?;
                let done = match (from, is_first) {
                    (From::Generation, false) => Some(checkpoints.load_generation(1)?.0),
                    _ => checkpoints.load_field("0")?,
                };
                if is_first {
                    checkpoints.save(&(1, 2))?;
                }
                assert_eq!(done, (!is_first).then_some(1));
                if is_first {
                    return Err(context.not_done().into());
                }
                Ok::<u64, Box<dyn std::error::Error + Send + Sync>>(2)
            });
            step.map(drop)
        };
        assert!(matches!(run(true), Err(Error::StepStopped { .. })));
        run(false).unwrap();
    }
}

#[test]
fn a_changed_declaration_of_what_is_produced_runs_the_step() {
    let project = Project::new();
    let run = |names: &[&str]| {
        let pipeline = project.open();
        let step = names.iter().fold(pipeline.step("a"), |step, name| step.produces(project.file(name)));
        step.run(|_| names.iter().try_for_each(|name| fs::write(project.file(name), "1"))).unwrap();
        told(&pipeline.reports()[0])
    };
    run(&["one"]);
    assert_eq!(run(&["one", "two"]), "Ran: it produces two now");
    // A version that never made the file is not left alone.
    let only = project.open().only("b");
    let step = only.step("a").produces(project.file("one")).produces(project.file("three"));
    let error = step.run(|_| Ok::<(), Error>(())).unwrap_err().to_string();
    assert!(error.contains("it produces three now"), "{error}");
    drop(only);
    fs::remove_dir_all(project.file("steps.pipeline/steps/a")).unwrap();
    run(&["one", "two"]);
    assert_eq!(run(&["two"]), "Ran: it does not produce one any more");
}

#[test]
fn what_cannot_be_produced_is_refused() {
    let project = Project::new();
    project.write("data/in.csv", "1");
    let (input, data) = (project.file("data/in.csv"), project.file("data"));
    let pipeline = project.open();
    let pattern = format!("{}/*.csv", data.display());
    let refused = |outcome: Result<pipeline::Output<u64>, Error>, word: &str| {
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    };
    let work = |_: &_| Ok::<u64, Error>(1);
    refused(pipeline.step("a").file(&input).produces(&input).run(work), "reads it too");
    refused(pipeline.step("b").directory(&data).produces(data.join("x/y")).run(work), "reads it too");
    refused(pipeline.step("c").files(&pattern).produces(data.join("out.csv")).run(work), "reads it too");
    refused(pipeline.step("d").produces(pipeline.path().join("x")).run(work), "directory of the pipeline");
    let out = project.file("out");
    let work = |_: &_| fs::write(&out, "1").map(|()| 1_u64);
    pipeline.step("e").produces(&out).run(work).unwrap();
    refused(pipeline.step("f").produces(&out).run(work), "another step produces it");
}

#[test]
fn ckpt_steps_can_tell_what_is_produced_and_what_is_gone() {
    let project = Project::new();
    project.plot("a", false);
    let steps = || pipeline::steps(project.file("steps.pipeline"), &Protection::new()).unwrap();
    assert_eq!(steps()[0].versions[0].produced, ["plots/plot.svg"]);
    assert!(steps()[0].stale.is_empty());
    fs::remove_file(project.file("plots/plot.svg")).unwrap();
    assert_eq!(steps()[0].stale, ["plots/plot.svg, which it produced, is not there"]);
}

#[test]
fn python_tells_the_paths_of_what_is_produced() {
    let project = Project::new();
    project.plot("a", false);
    let program = "print(json.dumps(checkpointed.produced(sys.argv[1])))";
    let Some(printed) = crate::common::python::reader(program, &project.file("steps.pipeline")) else {
        return;
    };
    let printed: serde_json::Value = serde_json::from_str(&printed).unwrap();
    let file = project.file("plots/plot.svg");
    assert_eq!(printed, serde_json::json!({ "plot": { "plots/plot.svg": file } }));
}

#[test]
fn a_project_that_is_moved_reuses_everything() {
    let project = Project::new();
    project.write("data/a.csv", "1");
    project.write("deep/b.csv", "1");
    let run = |root: &Path| {
        let pipeline = Pipeline::builder(root.join("kept/steps.pipeline")).project(root).open().unwrap();
        let plot = root.join("plot.svg");
        let step = pipeline.step("plot").file(root.join("data/a.csv")).directory(root.join("deep"));
        let step = step.files(&format!("{}/data/*.csv", root.display())).produces(&plot);
        step.run(|_| fs::write(&plot, "1")).unwrap();
        let steps = pipeline::steps(pipeline.path(), &Protection::new()).unwrap();
        assert!(steps[0].stale.is_empty(), "{:?}", steps[0].stale);
        told(&pipeline.reports()[0])
    };
    run(&project.path);
    let moved = project.path.with_file_name("moved");
    fs::rename(&project.path, &moved).unwrap();
    assert_eq!(run(&moved), "Reused: nothing has changed");
    let link = moved.with_file_name("link");
    std::os::unix::fs::symlink(&moved, &link).unwrap();
    assert_eq!(run(&link), "Reused: nothing has changed");
    fs::remove_file(moved.join("data/a.csv")).unwrap();
    let steps = pipeline::steps(moved.join("kept/steps.pipeline"), &Protection::new()).unwrap();
    assert_eq!(steps[0].stale, ["data/a.csv is not there"]);
}

/// The text of a produced file, long enough to be killed in its middle.
fn text(round: u64) -> String {
    format!("{round}\n").repeat(40_000)
}

#[test]
fn a_program_that_produces() {
    let Some(directory) = inside() else { return };
    let round: u64 = fs::read_to_string(directory.join("round")).unwrap().parse().unwrap();
    let files = ["one.txt", "two.txt"].map(|name| directory.join(name));
    let pipeline = Pipeline::open(directory.join("steps.pipeline")).unwrap();
    let step = pipeline.step("write").param("round", &(round % 3)).keep_produced(round.is_multiple_of(2));
    let step = files.iter().fold(step, |step, file| step.produces(file));
    let written = step.run(|_| {
        for file in &files {
            let mut file = fs::File::create(file)?;
            for part in text(round % 3).as_bytes().chunks(8192) {
                file.write_all(part)?;
            }
        }
        Ok::<u64, std::io::Error>(round % 3)
    });
    let written = *written.unwrap().load().unwrap();
    // What it was given is what the files have, whatever was killed before.
    for file in &files {
        assert!(fs::read_to_string(file).unwrap() == text(written), "{}", file.display());
    }
    assert_eq!(written, round % 3);
    fs::write(directory.join("done"), round.to_string()).unwrap();
}

#[test]
fn two_hundred_kills_leave_no_output_without_its_files() {
    let directory = tempfile::tempdir().unwrap();
    let directory = directory.path();
    let (mut kills, mut round, mut longest) = (0, 0_u64, 40_u64);
    while kills < 200 {
        round += 1;
        fs::write(directory.join("round"), (round / 2).to_string()).unwrap();
        let mut command = once_more("a_program_that_produces", &[], directory);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
        thread::sleep(Duration::from_millis(round * 7919 % longest));
        child.kill().unwrap();
        let ended = child.wait().unwrap();
        assert!(ended.success() || ended.code().is_none(), "round {round}: {ended}");
        // Half of the programs are to come to their end.
        longest = if ended.success() { longest.saturating_sub(5).max(10) } else { (longest + 5).min(500) };
        kills += u64::from(!ended.success());
        if round.is_multiple_of(10) {
            let output = once_more("a_program_that_produces", &[], directory).output().unwrap();
            crate::common::assert_passed(&output);
        }
    }
}
