//! The files that steps of a pipeline read: by name, in directories, and by patterns.

#![cfg(unix)]

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::Path;

use crate::pipeline_files::{Project, told};
use checkpointed::{
    Error, Pipeline,
    pipeline::{self, Outcome, Reason, Step},
};

/// Runs a step with these inputs, and tells what came of it.
fn loaded(project: &Project, inputs: impl FnOnce(Step<'_>) -> Step<'_>) -> String {
    let pipeline = project.open();
    inputs(pipeline.step("load")).run(|_| Ok::<u64, Error>(1)).unwrap();
    told(&pipeline.reports()[0])
}

#[test]
fn files_in_a_directory_count_by_name_and_content() {
    let project = Project::new();
    project.write("data/a.csv", "1");
    project.write("data/deep/b.csv", "2");
    let run = || loaded(&project, |step| step.directory(project.file("data")));
    run();
    assert_eq!(run(), "Reused: nothing has changed");
    project.write("data/deep/b.csv", "3");
    assert_eq!(run(), "Ran: data/deep/b.csv has changed");
    project.write("data/new/c.csv", "3");
    assert_eq!(run(), "Ran: data/new/c.csv is new");
    fs::rename(project.file("data/a.csv"), project.file("data/z.csv")).unwrap();
    assert_eq!(run(), "Ran: data/a.csv is not used any more; data/z.csv is new");
    fs::remove_dir_all(project.file("data")).unwrap();
    fs::create_dir(project.file("data")).unwrap();
    assert!(run().starts_with("Ran: data is new"));
    assert_eq!(run(), "Reused: nothing has changed");
}

#[test]
fn inputs_that_go_during_the_work_cost_none_of_it() {
    let project = Project::new();
    let (data, file) = (project.file("data"), project.file("file"));
    let prepare = || {
        project.write("data/a.csv", "1");
        project.write("file", "1");
    };
    prepare();
    let run = |removes: bool| {
        let pipeline = project.open();
        let step = pipeline.step("load").directory(&data).file(&file).produces(project.file("made"));
        let loaded = step.run(|_| {
            project.write("made", "1");
            if removes {
                fs::remove_dir_all(&data)?;
                fs::remove_file(&file)?;
                fs::create_dir(&file)?;
            }
            Ok::<u64, std::io::Error>(7)
        });
        assert_eq!(*loaded.unwrap().load().unwrap(), 7);
        told(&pipeline.reports()[0])
    };
    let ran = run(true);
    assert!(ran.contains("data was changed") && ran.contains("file was changed"), "{ran}");
    fs::remove_dir(&file).unwrap();
    prepare();
    assert!(run(false).starts_with("Ran: "), "it is not known what it has read");
    assert_eq!(run(false), "Reused: nothing has changed");
}

#[test]
fn more_than_a_thousand_files_are_one_entry() {
    let project = Project::new();
    for number in 0..1001 {
        project.write(&format!("data/{number}"), "x");
    }
    let run = || loaded(&project, |step| step.directory(project.file("data")));
    run();
    assert_eq!(run(), "Reused: nothing has changed");
    project.write("data/7", "y");
    assert_eq!(run(), "Ran: data has changed");
}

#[test]
fn a_pattern_counts_the_files_that_match_it() {
    let project = Project::new();
    project.write("data/a.csv", "1");
    project.write("data/notes.txt", "x");
    project.write("data/.hidden.csv", "x");
    let pattern = format!("{}/*.csv", project.file("data").display());
    let run = || loaded(&project, |step| step.files(&pattern));
    run();
    project.write("data/notes.txt", "y");
    project.write("data/.hidden.csv", "y");
    assert_eq!(run(), "Reused: nothing has changed");
    project.write("data/b.csv", "1");
    assert_eq!(run(), "Ran: data/b.csv is new");

    let pipeline = project.open();
    for (name, pattern, word) in
        [("none", "no/such/*.csv", "no file matches"), ("wrong", "a***b", "wildcards"), ("dir", "data", "")]
    {
        let error = pipeline.step(name).files(pattern).run(|_| Ok::<u64, Error>(1)).unwrap_err().to_string();
        assert!(error.contains(pattern) && error.contains(word), "{error}");
    }
    let error = pipeline.step("file").file(project.file("data")).run(|_| Ok::<u64, Error>(1)).unwrap_err();
    assert!(error.to_string().contains("by `directory`"), "{error}");
    let error = pipeline.step("a").directory(project.file("data/a.csv")).run(|_| Ok::<u64, Error>(1));
    assert!(error.unwrap_err().to_string().contains("by `file`"));
}

#[test]
fn a_file_that_comes_while_the_step_runs_is_a_change() {
    let project = Project::new();
    project.write("data/a.csv", "1");
    let run = |meanwhile: &dyn Fn()| {
        let pipeline = project.open();
        let step = pipeline.step("load").directory(project.file("data"));
        step.run(|context| {
            meanwhile();
            let mut checkpoints = context.checkpointer::<u64>()?;
            assert_eq!(checkpoints.load()?, None);
            checkpoints.save(&1)?;
            Ok::<u64, Error>(1)
        })
        .unwrap();
        told(&pipeline.reports()[0])
    };
    let reason = run(&|| project.write("data/b.csv", "2"));
    assert!(reason.ends_with("data was changed while the step ran"), "{reason}");
    fs::remove_file(project.file("data/b.csv")).unwrap();
    assert_eq!(run(&|| ()), "Ran: data was changed while the step ran");
    assert_eq!(run(&|| ()), "Reused: nothing has changed");
}

#[test]
fn the_directory_of_the_pipeline_is_no_part_of_its_input() {
    let project = Project::new();
    project.write("a.csv", "1");
    let run = || {
        let pipeline = project.open();
        pipeline.step("load").directory(&project.path).run(|_| Ok::<u64, Error>(1)).unwrap();
        pipeline.reports().remove(0).outcome
    };
    assert_eq!(run(), Outcome::Ran);
    assert_eq!(run(), Outcome::Reused);
}

#[test]
fn a_reason_of_a_file_has_its_path_in_the_project() {
    let project = Project::new();
    project.write("a.csv", "1");
    let run = || {
        let pipeline = project.open();
        pipeline.step("a").file(project.file("a.csv")).run(|_| Ok::<u64, Error>(1)).unwrap();
        pipeline.finish().unwrap().remove(0).reasons.remove(0)
    };
    run();
    project.write("a.csv", "2");
    assert!(matches!(run(), Reason::File { path, .. } if path == Path::new("a.csv")));
}

/// Runs a step that reads the files that match a pattern in the project.
fn matching(project: &Project, pattern: &str) -> Result<String, Error> {
    let pipeline = project.open();
    let pattern = format!("{}/{pattern}", project.path.display());
    pipeline.step("load").files(&pattern).run(|_| Ok::<u64, Error>(1))?;
    Ok(told(&pipeline.reports()[0]))
}

#[test]
fn a_name_that_is_no_text_matches_like_any_other() {
    let project = Project::new();
    project.write("data/a.csv", "1");
    matching(&project, "data/*.csv").unwrap();
    let strange = |name: &[u8]| project.path.join("data").join(OsStr::from_bytes(name));
    fs::write(strange(b"\xff"), "x").unwrap();
    assert_eq!(matching(&project, "data/*.csv").unwrap(), "Reused: nothing has changed");
    fs::write(strange(b"\xff.csv"), "x").unwrap();
    assert!(matching(&project, "data/*.csv").unwrap().ends_with("is new"));
    fs::create_dir(strange(b"\xfe")).unwrap();
    fs::write(strange(b"\xfe/b.csv"), "x").unwrap();
    assert!(matching(&project, "**/*.csv").unwrap().ends_with("is new"));
    fs::write(strange(b"\xfe/b.csv"), "y").unwrap();
    assert!(matching(&project, "**/b.csv").unwrap().contains("is new"));
}

#[test]
fn a_pattern_matches_what_it_matches_in_a_shell() {
    let project = Project::new();
    let files =
        [".h/.a.csv", ".h/a.csv", "a.csv", "d/.a.csv", "d/a.csv", "d/e/a.csv", "d/e/b[1].txt", "f.csv/x"];
    for file in files {
        project.write(file, file);
    }
    symlink("e", project.file("d/link")).unwrap();
    symlink("nothing", project.file("dangling.csv")).unwrap();
    let matched = |pattern: &str| {
        let _ = fs::remove_dir_all(project.file("steps.pipeline"));
        matching(&project, pattern).unwrap();
        let steps =
            pipeline::steps(project.file("steps.pipeline"), &checkpointed::Protection::new()).unwrap();
        steps[0].versions[0].files.join(" ")
    };
    for (pattern, expected) in [
        ("*.csv", "a.csv"),
        ("*/*.csv", "d/a.csv"),
        ("d/.*.csv", "d/.a.csv"),
        (".h/*", ".h/a.csv"),
        ("**/*.csv", "a.csv d/a.csv d/e/a.csv"),
        ("d/**", "d/a.csv d/e/a.csv d/e/b[1].txt"),
        ("**/e/a.csv", "d/e/a.csv"),
        ("d/link/*.csv", "d/link/a.csv"),
        ("d/l*/?.csv", "d/link/a.csv"),
        ("d/e/b[[]1].txt", "d/e/b[1].txt"),
        ("d/e/[a-b].csv", "d/e/a.csv"),
        ("./d/../a.csv", "d/../a.csv"),
    ] {
        assert_eq!(matched(pattern), expected, "{pattern}");
    }
}

#[test]
fn a_file_that_cannot_be_looked_at_is_left_out_of_no_pattern() {
    let project = Project::new();
    project.write("data/a.csv", "1");
    // A link to itself cannot be looked at, whoever asks.
    symlink("b.csv", project.file("data/b.csv")).unwrap();
    let error = matching(&project, "data/*.csv").unwrap_err().to_string();
    assert!(error.contains("data/b.csv"), "{error}");
    assert!(matching(&project, "data/a*.csv").is_ok());
}

#[test]
fn the_pipeline_is_no_input_however_a_path_leads_there() {
    let project = Project::new();
    project.write("src/a.csv", "1");
    let path = project.file("src/../steps.pipeline");
    let run = |directory: &Path| {
        let pipeline = Pipeline::open(&path).unwrap();
        let pattern = format!("{}/**/*", directory.display());
        let step = pipeline.step("load").directory(directory).files(&pattern);
        step.run(|_| Ok::<u64, Error>(1)).unwrap();
        told(&pipeline.reports()[0])
    };
    run(&project.path);
    assert_eq!(run(&project.path), "Reused: nothing has changed", "by dots");
    let around = project.path.with_file_name("around");
    symlink(&project.path, &around).unwrap();
    run(&around);
    assert_eq!(run(&around), "Reused: nothing has changed", "by a link around it");
    project.write("data/b.csv", "1");
    symlink("../steps.pipeline/steps", project.file("data/link")).unwrap();
    run(&project.file("data"));
    assert_eq!(run(&project.file("data")), "Reused: nothing has changed", "by a link into it");
    let pipeline = Pipeline::open(&path).unwrap();
    let inside = pipeline.step("inside").directory(project.file("steps.pipeline/steps"));
    let error = inside.run(|_| Ok::<u64, Error>(1)).unwrap_err().to_string();
    assert!(error.contains("directory of the pipeline"), "{error}");
}

#[test]
fn a_file_is_the_same_however_a_path_leads_there() {
    let project = Project::new();
    project.write("real/in.csv", "1");
    symlink("real", project.file("link")).unwrap();
    symlink("real/in.csv", project.file("in.csv")).unwrap();
    let pipeline = project.open();
    let work = |_: &_| Ok::<u64, Error>(1);
    let refused = |outcome: Result<pipeline::Output<u64>, Error>, word: &str| {
        let error = outcome.unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
        assert!(error.to_string().contains(word), "{error}");
    };
    let (real, link) = (project.file("real/in.csv"), project.file("link/in.csv"));
    refused(pipeline.step("a").file(&link).produces(&real).run(work), "reads it too");
    refused(pipeline.step("b").file(project.file("in.csv")).produces(&link).run(work), "reads it too");
    let new = project.file("link/new.csv");
    refused(pipeline.step("c").directory(project.file("real")).produces(&new).run(work), "reads it too");
    let pattern = format!("{}/real/*.csv", project.path.display());
    refused(pipeline.step("d").files(&pattern).produces(&new).run(work), "reads it too");
    symlink("steps.pipeline", project.file("inside")).unwrap();
    refused(pipeline.step("e").produces(project.file("inside/x")).run(work), "directory of the pipeline");
    let make = |_: &_| fs::write(project.file("real/out"), "1").map(|()| 1_u64);
    pipeline.step("f").produces(project.file("real/out")).run(make).unwrap();
    refused(pipeline.step("g").produces(project.file("link/out")).run(work), "another step produces it");
}

#[test]
fn a_link_to_an_input_is_refused_in_each_run() {
    let project = Project::new();
    project.write("in.csv", "1");
    project.write("data/in.csv", "1");
    fs::create_dir(project.file("out")).unwrap();
    symlink("../out", project.file("data/more")).unwrap();
    // The first run makes the links, and the second one finds them.
    for run in 1..=2 {
        let pipeline = project.open();
        let refused = |step: Step<'_>, file: &str, to: &str, word: &str| {
            let file = project.file(file);
            let step = step.produces(&file);
            let outcome = step.run(|_| {
                let _ = fs::remove_file(&file);
                symlink(to, &file)
            });
            let error = outcome.map(drop).unwrap_err();
            assert!(matches!(error, Error::InvalidSetting { .. }), "run {run}: {error}");
            assert!(error.to_string().contains(word), "run {run}: {error}");
        };
        let read = "a link to a file that the step reads";
        refused(pipeline.step("a").file(project.file("in.csv")), "latest.csv", "in.csv", read);
        refused(pipeline.step("b").directory(project.file("data")), "last.csv", "data/in.csv", read);
        let made = project.file("made.csv");
        pipeline.step("c").produces(&made).run(|_| fs::write(&made, "1")).unwrap();
        let produced = "a link to a file that another step produces";
        refused(pipeline.step("d"), "current.csv", "made.csv", produced);
        let inside = "in the directory of the pipeline, or is a link to there";
        refused(pipeline.step("e"), "lock.csv", "steps.pipeline/.lock", inside);
        // It comes into a directory that the step reads by a link in there.
        let (new, data) = (project.file("out/new.csv"), project.file("data"));
        let outcome = pipeline.step("f").directory(data).produces(&new).run(|_| fs::write(&new, "1"));
        let error = outcome.map(drop).unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "run {run}: {error}");
        assert!(error.to_string().contains("reads it too"), "run {run}: {error}");
    }
}
