//! Steps that go on from checkpoints of their own, and the files that they and the steps before
//! them have produced.

#![cfg(unix)]

use std::fs;
use std::thread;
use std::time::Duration;

use crate::pipeline_files::{Project, told};
use checkpointed::{Checkpointer, Error, Pipeline};

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
    assert_begins_anew(&project);
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
