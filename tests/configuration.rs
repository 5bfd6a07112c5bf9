//! The configuration of a run: kept with each checkpoint, and compared at a load.

use std::path::Path;
use std::sync::{Arc, Mutex};

use checkpointed::group::Threads;
use checkpointed::{Builder, Checkpointer, ConfigChanges, Error};

#[derive(Clone, serde::Serialize)]
struct Arguments {
    learning_rate: f64,
    epochs: u32,
    optimizer: Optimizer,
}

#[derive(Clone, serde::Serialize)]
struct Optimizer {
    name: &'static str,
    decay: Option<f32>,
}

fn arguments() -> Arguments {
    Arguments { learning_rate: 0.1, epochs: 10, optimizer: Optimizer { name: "adam", decay: None } }
}

fn builder(directory: &Path) -> Builder<u64> {
    Checkpointer::<u64>::builder(directory.join("run.ckpt"))
}

fn lines(checkpoints: &Checkpointer<u64>) -> Vec<String> {
    checkpoints.last_load().unwrap().config_differences.iter().map(ToString::to_string).collect()
}

fn changed() -> Arguments {
    let optimizer = Optimizer { name: "sgd", decay: Some(f32::NAN) };
    Arguments { learning_rate: 0.01, optimizer, ..arguments() }
}

const CHANGES: [&str; 3] = [
    "learning_rate: 0.1 in the checkpoint, 0.01 now",
    "optimizer/decay: None in the checkpoint, NaN now",
    "optimizer/name: \"adam\" in the checkpoint, \"sgd\" now",
];

#[test]
fn differences_are_told_one_by_one_at_a_load() {
    let directory = tempfile::tempdir().unwrap();
    builder(directory.path()).config(&arguments()).open().unwrap().save(&7).unwrap();
    let warnings = Arc::new(Mutex::new(Vec::new()));
    let taken = Arc::clone(&warnings);
    let mut checkpoints = builder(directory.path())
        .config(&changed())
        .on_warning(move |warning| taken.lock().unwrap().push(warning.to_string()))
        .open()
        .unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(7));
    assert_eq!(lines(&checkpoints), CHANGES);
    {
        let warnings = warnings.lock().unwrap();
        assert_eq!(warnings.len(), 3);
        assert!(CHANGES.iter().zip(&*warnings).all(|(change, warning)| warning.ends_with(change)));
    }
    // It was loaded: the next checkpoint has the present configuration, and nothing is told again.
    assert!(checkpoints.finish(&7).unwrap().saved.is_some(), "the same state, with another configuration");
    let mut checkpoints = builder(directory.path()).config(&changed()).open().unwrap();
    assert_eq!(checkpoints.load_generation(2).unwrap(), 7);
    assert!(lines(&checkpoints).is_empty());
    assert_eq!(checkpoints.load_generation(1).unwrap(), 7);
    assert_eq!(lines(&checkpoints), CHANGES);
    let stored = checkpoints.manifest(2).unwrap();
    let stored: Vec<(&str, &str)> = stored.configuration().collect();
    assert_eq!(stored[2], ("optimizer/decay", "NaN"));
    assert!(checkpoints.finish(&7).unwrap().saved.is_none());
}

#[test]
fn differences_are_refused_or_allowed_by_name() {
    let directory = tempfile::tempdir().unwrap();
    builder(directory.path()).config(&arguments()).open().unwrap().save(&7).unwrap();
    let open = |changes: ConfigChanges| {
        builder(directory.path()).config(&changed()).config_changes(changes).open().unwrap()
    };
    let error = open(ConfigChanges::refuse().allow("optimizer")).load().unwrap_err();
    let message = error.to_string();
    assert!(message.contains(CHANGES[0]) && !message.contains("optimizer"), "{message}");
    assert!(message.contains("ConfigChanges::allow"), "{message}");
    let Error::ConfigChanged { differences, .. } = error else { panic!("{error:?}") };
    assert_eq!(differences.len(), 1);
    let mut checkpoints = open(ConfigChanges::refuse().allow("optimizer").allow("learning_rate"));
    assert_eq!(checkpoints.load().unwrap(), Some(7));
    assert_eq!(lines(&checkpoints), CHANGES, "the report has those that are allowed, too");
    drop(checkpoints);
    // The name of a setting is no beginning of another's.
    open(ConfigChanges::refuse().allow("opt").allow("learning_rate")).load().unwrap_err();
}

#[test]
fn a_renamed_setting_is_compared_under_its_new_name() {
    #[derive(serde::Serialize)]
    struct Before {
        lr: f64,
        opt: Optimizer,
    }
    let directory = tempfile::tempdir().unwrap();
    let Arguments { learning_rate: lr, optimizer: opt, .. } = arguments();
    builder(directory.path()).config(&Before { lr, opt }).open().unwrap().save(&7).unwrap();
    let changes = || ConfigChanges::refuse().allow("epochs").renamed("lr", "learning_rate");
    let load = |arguments: &Arguments, changes: ConfigChanges| {
        let builder = builder(directory.path()).config(arguments).config_changes(changes);
        builder.open().unwrap().load()
    };
    load(&arguments(), changes()).unwrap_err();
    assert_eq!(load(&arguments(), changes().renamed("opt", "optimizer")).unwrap(), Some(7));
    load(&changed(), changes().renamed("opt", "optimizer")).unwrap_err();
}

#[test]
fn without_a_configuration_on_one_side_nothing_is_told() {
    let directory = tempfile::tempdir().unwrap();
    let refused = || builder(directory.path()).config_changes(ConfigChanges::refuse());
    builder(directory.path()).open().unwrap().save(&7).unwrap();
    let mut checkpoints = refused().config(&arguments()).open().unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(7));
    checkpoints.save(&8).unwrap();
    drop(checkpoints);
    assert_eq!(refused().open().unwrap().load().unwrap(), Some(8));
}

#[test]
fn what_is_no_configuration_is_an_error_of_opening() {
    let directory = tempfile::tempdir().unwrap();
    let error = builder(directory.path()).config(&vec![1.0; 50_000]).open().unwrap_err();
    assert!(error.to_string().contains("more than 10000 settings"), "{error}");
    assert!(!directory.path().join("run.ckpt").exists());
}

#[test]
fn a_branch_is_compared_with_the_run_that_it_comes_from() {
    let directory = tempfile::tempdir().unwrap();
    builder(directory.path()).config(&arguments()).open().unwrap().save(&7).unwrap();
    let branch = |changes: ConfigChanges| {
        Checkpointer::<u64>::builder(directory.path().join("branch.ckpt"))
            .branch_from(directory.path().join("run.ckpt"))
            .config(&changed())
            .config_changes(changes)
            .warnings_to_stderr(false)
            .open()
            .unwrap()
    };
    branch(ConfigChanges::refuse()).load().unwrap_err();
    let mut checkpoints = branch(ConfigChanges::warn());
    checkpoints.load().unwrap();
    assert_eq!(lines(&checkpoints), CHANGES);
}

#[test]
fn a_group_refuses_a_changed_configuration_on_all_members() {
    let directory = tempfile::tempdir().unwrap();
    let run = |arguments: Arguments, is_refused: bool| {
        std::thread::scope(|scope| {
            let members = Threads::new(2).into_iter().map(|member| {
                let (arguments, path) = (arguments.clone(), directory.path());
                scope.spawn(move || {
                    let builder = builder(path).config(&arguments).config_changes(ConfigChanges::refuse());
                    let mut group = builder.open_group(member).unwrap();
                    let loaded = group.load();
                    assert_eq!(loaded.is_err(), is_refused, "{loaded:?}");
                    if !is_refused {
                        group.save(&7).unwrap();
                    }
                })
            });
            let members: Vec<_> = members.collect();
            members.into_iter().for_each(|member| member.join().unwrap());
        });
    };
    run(arguments(), false);
    run(arguments(), false);
    run(changed(), true);
}
