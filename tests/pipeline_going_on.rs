//! Steps that go on from checkpoints of their own, and the files that they and the steps before
//! them have produced.

#![cfg(unix)]

use std::fs;
use std::io::{Seek as _, SeekFrom, Write as _};
use std::thread;
use std::time::Duration;

use crate::pipeline_files::{Project, told};
use checkpointed::pipeline::redo;
use checkpointed::{Checkpointer, Error, Mirror, Pipeline};

/// Runs a step of two halves for a scene. The first one writes `mesh` and saves. The second one
/// writes `image`, or fails if it is cut.
fn render(project: &Project, scene: u64, is_cut: bool) -> Result<String, Error> {
    let (mesh, image) = (project.file("mesh"), project.file("image"));
    let pipeline = project.open();
    let step = pipeline.step("render").param("scene", &scene).produces(&mesh).produces(&image);
    let rendered = step.run(|context| {
        let mut checkpoints: Checkpointer<u64> = context.checkpointer()?;
        if checkpoints.load()?.is_none() {
            fs::write(&mesh, format!("mesh of scene {scene}"))?;
            checkpoints.save(&1)?;
        }
        if is_cut {
            return Err("out of memory".into());
        }
        let text = format!("image of {}", fs::read_to_string(&mesh)?);
        fs::write(&image, &text)?;
        Ok::<String, Box<dyn std::error::Error + Send + Sync>>(text)
    })?;
    rendered.load().map(|text| text.to_string())
}

fn cut(project: &Project, scene: u64) {
    let error = render(project, scene, true).unwrap_err().to_string();
    assert!(error.contains("out of memory"), "{error}");
}

/// The step is not done with a file of another run, and begins anew after that.
fn assert_begins_anew(project: &Project) {
    let error = render(project, 1, false).unwrap_err();
    assert!(matches!(&error, Error::StepFailed { step, .. } if step == "render"), "{error}");
    let error = error.to_string();
    assert!(error.contains("did not write mesh"), "{error}");
    assert!(error.contains("is not the file of that checkpoint any more"), "{error}");
    assert_eq!(render(project, 1, false).unwrap(), "image of mesh of scene 1");
    assert_eq!(project.read("mesh"), "mesh of scene 1");
    assert_eq!(project.read("image"), "image of mesh of scene 1");
}

#[test]
fn a_step_goes_on_with_no_file_of_other_parameters() {
    let project = Project::new();
    cut(&project, 1);
    assert_eq!(render(&project, 2, false).unwrap(), "image of mesh of scene 2");
    assert_eq!(project.read("mesh"), "mesh of scene 2");
    assert_eq!(render(&project, 1, false).unwrap(), "image of mesh of scene 1");
    assert_eq!(project.read("mesh"), "mesh of scene 1");
}

#[test]
fn a_step_goes_on_with_no_file_that_was_changed_since() {
    // Emptied, as by a power cut, and changed by hand.
    for text in ["", "mesh of scene 3"] {
        let project = Project::new();
        cut(&project, 1);
        thread::sleep(Duration::from_millis(20));
        project.write("mesh", text);
        assert_begins_anew(&project);
    }
}

#[test]
fn a_step_that_goes_on_leaves_one_file_and_writes_the_other() {
    let project = Project::new();
    // The image of an earlier version is still there.
    render(&project, 2, false).unwrap();
    cut(&project, 1);
    cut(&project, 1);
    assert_eq!(render(&project, 1, false).unwrap(), "image of mesh of scene 1");
    assert_eq!(project.read("mesh"), "mesh of scene 1");
    assert_eq!(project.read("image"), "image of mesh of scene 1");
}

/// Runs a step that writes `mesh`, and one that reads it. The file is edited between the two, or
/// while the second one runs. Returns what was read, and what became of the steps.
fn taken(project: &Project, between: &dyn Fn(), meanwhile: &dyn Fn()) -> (String, Vec<String>) {
    let mesh = project.file("mesh");
    let builder = Pipeline::builder(project.file("steps.pipeline")).warnings_to_stderr(false);
    let pipeline = builder.open().unwrap();
    let make = pipeline.step("make").produces(&mesh);
    let made = make.run(|_| fs::write(&mesh, "good")).unwrap();
    between();
    let take = pipeline.step("take").input(&made);
    let read = take.run(|_| {
        meanwhile();
        fs::read_to_string(&mesh)
    });
    let read = read.unwrap().load().unwrap().to_string();
    (read, pipeline.finish().unwrap().iter().map(told).collect())
}

#[test]
fn a_produced_file_that_changes_while_it_is_taken_counts_once() {
    let nothing = || ();
    let edits: [fn(&Project); 3] = [
        |project| project.write("mesh", "bad"),
        // Of the same length.
        |project| {
            thread::sleep(Duration::from_millis(20));
            project.write("mesh", "evil");
        },
        // Put back before the step ends.
        |project| {
            project.write("mesh", "bad");
            thread::sleep(Duration::from_millis(20));
            project.write("mesh", "good");
        },
    ];
    for edit in edits {
        for is_between in [true, false] {
            let project = Project::new();
            let edit = || edit(&project);
            let (read, reports) = match is_between {
                true => taken(&project, &edit, &nothing),
                false => taken(&project, &nothing, &edit),
            };
            assert_eq!(read, project.read("mesh"));
            assert!(reports[1].ends_with("mesh was changed while the step ran"), "{reports:?}");
            let (read, reports) = taken(&project, &nothing, &nothing);
            assert_eq!(read, "good");
            assert_eq!(reports[1], "Ran: mesh was changed while the step ran");
            let (read, reports) = taken(&project, &nothing, &nothing);
            assert_eq!(read, "good");
            assert_eq!(reports, ["Reused: nothing has changed"; 2]);
        }
    }
}

#[test]
fn a_produced_file_of_a_reused_step_is_watched_too() {
    let project = Project::new();
    let nothing = || ();
    taken(&project, &nothing, &nothing);
    fs::remove_dir_all(project.file("steps.pipeline/steps/take")).unwrap();
    let (read, reports) = taken(&project, &nothing, &|| project.write("mesh", "bad"));
    assert_eq!((read.as_str(), &*reports[0]), ("bad", "Reused: nothing has changed"));
    assert!(reports[1].ends_with("mesh was changed while the step ran"), "{reports:?}");
    let (read, reports) = taken(&project, &nothing, &nothing);
    assert_eq!(read, "good");
    assert_eq!(reports[0], "Ran: mesh, which it produced, has changed");
    assert_eq!(reports[1], "Ran: mesh was changed while the step ran");
    assert_eq!(taken(&project, &nothing, &nothing).1, ["Reused: nothing has changed"; 2]);
}

/// Runs a step that appends six rows to a file, and saves after each; or fails before it appends a
/// row.
fn append(project: &Project, limit: u64, fails_at: Option<u64>) -> Result<u64, Error> {
    append_in(&project.open(), project, limit, fails_at)
}

fn append_in(
    pipeline: &Pipeline,
    project: &Project,
    limit: u64,
    fails_at: Option<u64>,
) -> Result<u64, Error> {
    let out = project.file("out.csv");
    let step = pipeline.step("append").param("limit", &limit).produces(&out).keep_produced(true);
    let appended = step.run(|context| {
        let mut checkpoints: Checkpointer<(u64, u64)> = context.checkpointer()?;
        let (begun, length) = checkpoints.load_or_default()?;
        if fails_at == Some(begun) {
            return Err("the licence server cannot be reached".into());
        }
        let mut file = fs::OpenOptions::new().create(true).truncate(false).write(true).open(&out)?;
        file.set_len(length)?;
        file.seek(SeekFrom::End(0))?;
        for row in begun..6 {
            writeln!(file, "row {row} of limit {limit}")?;
            if fails_at == Some(row) {
                return Err("out of memory".into());
            }
            checkpoints.save(&(row + 1, file.stream_position()?))?;
        }
        Ok::<u64, Box<dyn std::error::Error + Send + Sync>>(begun)
    })?;
    Ok(*appended.load()?)
}

fn rows(limit: u64) -> String {
    (0..6).map(|row| format!("row {row} of limit {limit}\n")).collect()
}

#[test]
fn a_step_appends_to_no_rows_of_other_parameters() {
    let project = Project::new();
    append(&project, 1, Some(3)).unwrap_err();
    assert_eq!(append(&project, 2, None).unwrap(), 0);
    assert_eq!(project.read("out.csv"), rows(2));
    assert_eq!(append(&project, 1, None).unwrap(), 0);
    assert_eq!(project.read("out.csv"), rows(1));
}

#[test]
fn a_step_appends_to_no_rows_that_were_put_back() {
    let project = Project::new();
    append(&project, 0, None).unwrap();
    append(&project, 1, Some(3)).unwrap_err();
    let chosen = project.open().use_version("append", 1);
    append_in(&chosen, &project, 1, None).unwrap();
    assert_eq!(project.read("out.csv"), rows(0));
    drop(chosen);
    assert_eq!(append(&project, 1, None).unwrap(), 0);
    assert_eq!(project.read("out.csv"), rows(1));
}

#[test]
fn an_error_that_passes_costs_no_progress() {
    let project = Project::new();
    append(&project, 1, Some(4)).unwrap_err();
    // It finds a file that is longer than the one of its checkpoint, and fails before it writes.
    for _ in 0..2 {
        let error = append(&project, 1, Some(4)).unwrap_err().to_string();
        assert!(error.contains("licence server"), "{error}");
    }
    assert_eq!(append(&project, 1, None).unwrap(), 4);
    assert_eq!(project.read("out.csv"), rows(1));
}

/// Runs a step that takes a word from outside at each of six turns, and saves after each; `cut_at`
/// is the turn at which it fails, after `meanwhile`.
fn listen(project: &Project, is_forced: bool, cut_at: usize, meanwhile: &dyn Fn()) -> String {
    let pipeline = match is_forced {
        true => project.open().force("listen"),
        false => project.open(),
    };
    let heard = pipeline.step("listen").run(|context| {
        let mut checkpoints: Checkpointer<String> = context.checkpointer()?;
        let mut heard = checkpoints.load_or_default()?;
        while heard.len() < 6 {
            if heard.len() == cut_at {
                meanwhile();
                return Err("cut".into());
            }
            heard += &project.read("word");
            checkpoints.save(&heard)?;
        }
        Ok::<String, Box<dyn std::error::Error + Send + Sync>>(heard)
    });
    heard.map_or_else(|error| error.to_string(), |heard| heard.load().unwrap().to_string())
}

#[test]
fn forced_work_begins_without_older_progress() {
    let nothing = || ();
    let project = Project::new();
    project.write("word", "a");
    listen(&project, false, 3, &nothing);
    project.write("word", "b");
    assert_eq!(listen(&project, true, 9, &nothing), "bbbbbb");

    // A request that comes during the work is another one.
    let directory = project.file("steps.pipeline");
    assert!(redo(&directory, "listen").unwrap());
    listen(&project, false, 3, &|| {
        project.write("word", "c");
        assert!(redo(&directory, "listen").unwrap());
    });
    assert_eq!(listen(&project, false, 9, &nothing), "cccccc");
    assert_eq!(listen(&project, false, 9, &nothing), "cccccc");
    project.write("word", "d");
    assert_eq!(listen(&project, true, 9, &nothing), "dddddd");
}

#[test]
fn forced_work_that_fails_goes_on_in_the_next_run() {
    let nothing = || ();
    let project = Project::new();
    project.write("word", "a");
    assert_eq!(listen(&project, false, 9, &nothing), "aaaaaa");
    project.write("word", "b");
    listen(&project, true, 2, &nothing);
    project.write("word", "c");
    // Whether the command is given again or not.
    listen(&project, true, 4, &nothing);
    assert_eq!(listen(&project, false, 9, &nothing), "bbcccc");
    assert_eq!(listen(&project, false, 9, &nothing), "bbcccc");
}

#[test]
fn checkpoints_inside_a_step_have_no_mirror() {
    let project = Project::new();
    let pipeline = project.open();
    let error = pipeline.step("train").run(|context| {
        let opened = context.builder::<u64>().mirror(Mirror::to(project.file("mirror"))).open();
        opened.map(|_| 0_u64)
    });
    let error = error.unwrap_err().to_string();
    assert!(error.contains("the mirror of checkpoints inside a step"), "{error}");
    assert!(!project.file("mirror").exists());
}
