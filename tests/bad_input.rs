//! Invalid input is refused by name, with a way out, and nothing is changed.

use std::collections::BTreeMap;
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Stdio;

use crate::common::{Run, file_of, inside, names_in, once_more, run, temporaries_in};
use checkpointed::{Checkpoint, CheckpointReader, Checkpointer, Error, checkpointed};

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    (parent, path)
}

fn message_names(error: &Error, path: &Path) -> bool {
    error.to_string().contains(path.to_str().unwrap())
}

#[test]
fn a_directory_is_created_with_those_above_it() {
    let (parent, _) = nowhere();
    for path in ["a/b/c/run.ckpt", "a/b/other.ckpt", "x.ckpt/", "./y.ckpt", "a/../z.ckpt"] {
        let path = parent.path().join(path);
        let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
        checkpoints.save(&7).unwrap();
        assert_eq!(names_in(&path), [".lock", "00000000000000000001.ckpt", "history.jsonl"]);
    }
}

#[test]
fn a_path_relative_to_the_working_directory_is_enough() {
    if inside().is_some() {
        Checkpointer::<u64>::open("run.ckpt").unwrap().save(&7).unwrap();
        let mut checkpoints = Checkpointer::<u64>::open("run.ckpt").unwrap();
        return assert_eq!(checkpoints.load().unwrap(), Some(7));
    }
    let (parent, path) = nowhere();
    let test = "a_path_relative_to_the_working_directory_is_enough";
    let mut command = once_more(test, &[], parent.path());
    crate::common::assert_passed(&command.current_dir(parent.path()).output().unwrap());
    assert!(file_of(&path, 1).exists());
}

#[test]
fn a_file_where_the_directory_should_be_is_refused_and_kept() {
    let (parent, path) = nowhere();
    fs::write(&path, "precious").unwrap();
    // The file itself, and paths through it.
    for asked in [path.clone(), path.join("run.ckpt"), path.join("a/b/run.ckpt")] {
        let error = Checkpointer::<u64>::open(&asked).unwrap_err();
        assert!(matches!(&error, Error::NotADirectory { path: found, .. } if *found == path), "{error}");
        assert!(message_names(&error, &path), "{error}");
        let error = CheckpointReader::<u64>::open(&asked).unwrap().load().unwrap_err();
        assert!(matches!(&error, Error::NotADirectory { .. }), "{error}");
    }
    assert_eq!(fs::read_to_string(&path).unwrap(), "precious");
    assert_eq!(names_in(parent.path()), ["run.ckpt"]);
}

#[test]
fn a_read_only_file_system_is_refused_and_can_still_be_read() {
    let test = "a_read_only_file_system_is_refused_and_can_still_be_read";
    let Some(mounted) = inside() else {
        let (parent, _) = nowhere();
        crate::common::once_more_with_own_mounts(test, parent.path());
        return;
    };
    let directory = mounted.to_str().unwrap();
    run("mount", &["-t", "tmpfs", "tmpfs", directory]);
    let path = mounted.join("run.ckpt");
    Checkpointer::open(&path).unwrap().save(&Run::after(1)).unwrap();
    let unlocked = mounted.join("unlocked.ckpt");
    fs::create_dir(&unlocked).unwrap();
    run("mount", &["-o", "remount,ro", directory]);

    // A directory that was used before, one that never was, and two that do not exist.
    for asked in [&path, &unlocked, &mounted.join("new.ckpt"), &mounted.join("a/b/new.ckpt")] {
        let error = Checkpointer::<Run>::open(asked).unwrap_err();
        assert!(matches!(error, Error::NotWritable { .. }), "{error:?}");
        assert!(error.to_string().contains("`CheckpointReader`"), "{error}");
        assert!(message_names(&error, &mounted), "{error}");
    }
    let mut reader = CheckpointReader::<Run>::open(&path).unwrap();
    assert_eq!(reader.load().unwrap(), Some(Run::after(1)));
}

#[test]
fn a_file_system_that_becomes_read_only_fails_only_the_save() {
    let test = "a_file_system_that_becomes_read_only_fails_only_the_save";
    let Some(mounted) = inside() else {
        let (parent, _) = nowhere();
        crate::common::once_more_with_own_mounts(test, parent.path());
        return;
    };
    let directory = mounted.to_str().unwrap();
    run("mount", &["-t", "tmpfs", "tmpfs", directory]);
    // The open lock file would keep the mount from becoming read-only; a bind mount allows it.
    let (below, path) = (mounted.join("below"), mounted.join("run.ckpt"));
    fs::create_dir(&below).unwrap();
    fs::create_dir(&path).unwrap();
    run("mount", &["--bind", below.to_str().unwrap(), path.to_str().unwrap()]);
    let mut checkpoints = Checkpointer::open(&path).unwrap();
    for step in 1..=3 {
        checkpoints.save(&Run::after(step)).unwrap();
    }
    let reopened = CheckpointReader::<Run>::open(&below).unwrap().load().unwrap();
    assert_eq!(reopened, Some(Run::after(3)));
    run("mount", &["--bind", below.to_str().unwrap(), path.to_str().unwrap()]);
    run("mount", &["-o", "remount,bind,ro", path.to_str().unwrap()]);

    let error = checkpoints.save(&Run::after(4)).unwrap_err();
    assert!(matches!(error, Error::NotWritable { .. }), "{error:?}");
    assert_eq!(checkpoints.load().unwrap(), Some(Run::after(3)));

    run("umount", &[path.to_str().unwrap()]);
    let saved = checkpoints.save(&Run::after(5)).unwrap();
    assert_eq!(saved.generation, 4, "nothing was written under the number of the failed save");
    assert_eq!(checkpoints.load().unwrap(), Some(Run::after(5)));
}

#[test]
fn a_full_disk_fails_the_save_and_keeps_the_older_generation() {
    let test = "a_full_disk_fails_the_save_and_keeps_the_older_generation";
    let Some(mounted) = inside() else {
        let (parent, _) = nowhere();
        crate::common::once_more_with_own_mounts(test, parent.path());
        return;
    };
    run("mount", &["-t", "tmpfs", "-o", "size=128k", "tmpfs", mounted.to_str().unwrap()]);
    let path = mounted.join("run.ckpt");
    let (small, large) = (vec!["small".to_owned()], vec!["large".repeat(40_000)]);
    let mut checkpoints = Checkpointer::<Vec<String>>::open(&path).unwrap();

    let fails = |checkpoints: &mut Checkpointer<Vec<String>>, state: &Vec<String>, left: &[String]| {
        let error = checkpoints.save(state).unwrap_err();
        assert!(matches!(error, Error::NoSpace { .. }), "{error:?}");
        assert!(message_names(&error, &path), "{error}");
        assert!(error.to_string().contains("free some space"), "{error}");
        assert_eq!(temporaries_in(&path), [""; 0], "the space is given back");
        assert_eq!(checkpoints.load().unwrap().unwrap_or_default(), left);
    };

    // There is nothing saved yet; or a generation to keep; or one to recycle, which is lost, but
    // was not needed.
    fails(&mut checkpoints, &large, &[]);
    for round in 0..4 {
        checkpoints.save(&small).unwrap();
        fails(&mut checkpoints, &large, &small);
        fails(&mut checkpoints, &large, &small);
        assert!(!checkpoints.generations().unwrap().is_empty(), "round {round}");
    }

    // Another program fills the disk: not even a small state fits.
    let filler = mounted.join("filler");
    let mut file = fs::File::create(&filler).unwrap();
    while file.write_all(&[7; 512]).is_ok() {}
    drop(file);
    let before = checkpoints.generations().unwrap();
    fails(&mut checkpoints, &small, &small);
    assert_eq!(checkpoints.generations().unwrap(), before);
    drop(checkpoints);

    // A program that starts on the full disk can still load, which is most important.
    let mut checkpoints = Checkpointer::<Vec<String>>::open(&path).unwrap();
    fails(&mut checkpoints, &small, &small);
    fs::remove_file(filler).unwrap();
    let medium = vec!["medium".to_owned()];
    checkpoints.save(&medium).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(medium));
}

#[test]
fn a_second_checkpointer_is_refused_and_told_the_first() {
    let (_parent, path) = nowhere();
    let mut first = Checkpointer::<u64>::open(&path).unwrap();
    first.save(&7).unwrap();
    let error = Checkpointer::<u64>::open(&path).unwrap_err();
    assert!(matches!(&error, Error::InUse { path: found, .. } if *found == path), "{error:?}");
    let holder = format!("process {} on ", std::process::id());
    assert!(error.to_string().contains(&holder) && message_names(&error, &path), "{error}");
    // Another path leads to the same directory.
    let link = path.with_file_name("link.ckpt");
    symlink(&path, &link).unwrap();
    assert!(matches!(Checkpointer::<u64>::open(&link), Err(Error::InUse { .. })));
    // The first program is not affected.
    first.save(&8).unwrap();
    drop(first);
    assert_eq!(Checkpointer::<u64>::open(&path).unwrap().load().unwrap(), Some(8));
}

#[test]
fn another_process_keeps_the_directory_until_it_is_killed() {
    if let Some(path) = inside() {
        let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
        checkpoints.save(&7).unwrap();
        println!("\nsaved");
        // Waits until this process is killed, or its parent is gone.
        let _ = std::io::stdin().read_line(&mut String::new());
        return;
    }
    let (_parent, path) = nowhere();
    let mut command = once_more("another_process_keeps_the_directory_until_it_is_killed", &[], &path);
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    assert!(lines.map_while(Result::ok).any(|line| line == "saved"));

    let error = Checkpointer::<u64>::open(&path).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error:?}");
    assert!(error.to_string().contains(&format!("process {} on ", child.id())), "{error}");
    assert_eq!(CheckpointReader::<u64>::open(&path).unwrap().load().unwrap(), Some(7));

    child.kill().unwrap();
    child.wait().unwrap();
    let mut checkpoints = Checkpointer::<u64>::open(&path).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(7));
    // Now this process holds the lock.
    let error = Checkpointer::<u64>::open(&path).unwrap_err();
    assert!(error.to_string().contains(&format!("process {} on ", std::process::id())), "{error}");
}

/// Makes two intact generations, the older one of type `Old` and the newer one of type `New`. A
/// program of type `Old` must not go back to the older one, because the work in the newer one would
/// be lost.
fn refused_without_falling_back<Old: Checkpoint, New: Checkpoint>(old: &Old, new: &New) -> Error {
    let (_parent, path) = nowhere();
    Checkpointer::open(&path).unwrap().save(old).unwrap();
    Checkpointer::open(&path).unwrap().save(new).unwrap();
    let mut checkpoints = Checkpointer::<Old>::open(&path).unwrap();
    let error = checkpoints.load().map(|state| state.is_some()).unwrap_err();
    assert!(message_names(&error, &file_of(&path, 2)), "{error}");
    let again = checkpoints.load_or_else(|| panic!("started afresh")).map(drop).unwrap_err();
    assert_eq!(again.to_string(), error.to_string());
    assert_eq!(checkpoints.generations().unwrap(), [1, 2], "both are still there");
    assert!(checkpoints.load_generation(1).is_ok(), "and the older one on demand");
    error
}

#[test]
fn the_checkpoint_of_another_program_is_refused_with_both_names() {
    #[checkpointed]
    struct Weather {
        step: u64,
    }
    #[checkpointed]
    struct Market {
        step: u64,
    }
    let error = refused_without_falling_back(&Weather { step: 1 }, &Market { step: 2 });
    let Error::OtherState { found, expected, .. } = &error else { panic!("{error}") };
    assert_eq!((found.as_str(), expected.as_str()), ("Market", "Weather"));
    let message = error.to_string();
    assert!(message.contains("`Market`") && message.contains("`Weather`"), "{message}");
}

mod before {
    use super::*;

    #[checkpointed]
    pub(super) struct Simulation {
        pub(super) step: u64,
        pub(super) particles: Vec<Particle>,
        pub(super) limits: Option<(u8, u8)>,
        pub(super) tags: BTreeMap<String, Phase>,
    }

    #[checkpointed]
    pub(super) struct Particle {
        pub(super) position: [f64; 3],
        pub(super) mass: f32,
    }

    #[checkpointed]
    pub(super) enum Phase {
        Warm,
        Cold { since: u32 },
    }
}

mod after {
    use super::*;

    #[checkpointed]
    pub(super) struct Simulation {
        pub(super) step: u64,
        pub(super) particles: Vec<Particle>,
        pub(super) limits: Option<(u8, i8)>,
        pub(super) tags: BTreeMap<String, Phase>,
    }

    #[checkpointed]
    pub(super) struct Particle {
        pub(super) position: [f64; 3],
        pub(super) mass: f64,
    }

    #[checkpointed]
    pub(super) enum Phase {
        Warm,
        Cold { until: u32 },
    }
}

#[test]
fn a_changed_type_is_refused_with_each_path_and_both_sides() {
    let new = before::Simulation {
        step: 2,
        particles: vec![before::Particle { position: [0.0; 3], mass: 1.0 }],
        limits: None,
        tags: BTreeMap::from([
            ("a".to_owned(), before::Phase::Cold { since: 3 }),
            ("b".into(), before::Phase::Warm),
        ]),
    };
    let old = after::Simulation {
        step: 1,
        particles: vec![after::Particle { position: [0.0; 3], mass: 1.0 }],
        limits: Some((1, -1)),
        tags: BTreeMap::from([
            ("a".to_owned(), after::Phase::Cold { until: 3 }),
            ("b".into(), after::Phase::Warm),
        ]),
    };
    let error = refused_without_falling_back(&old, &new);
    let message = error.to_string();
    let Error::SchemaMismatch { differences, .. } = error else { panic!("{message}") };
    let mass = "particles[].mass: f32 in the checkpoint, f64 in this program";
    assert!(differences.iter().any(|difference| difference.to_string() == mass), "{message}");
    assert!(message.contains(mass), "{message}");
    for (place, path) in ["particles[].mass", "limits", "tags[]"].iter().enumerate() {
        assert!(differences[place].path.starts_with(path), "{message}");
    }
    assert!(message.contains("since") && message.contains("until"), "{message}");
}

#[test]
fn types_without_a_name_are_told_apart_by_their_form() {
    let cases = [
        refused_without_falling_back(&1_u64, &-1_i64),
        refused_without_falling_back(&vec![1.0_f32, 2.0], &vec![0.1_f64]),
        refused_without_falling_back(&(1_u32, 2_u32), &1_u64),
        refused_without_falling_back(&[1_u8; 4], &[1_u8; 5]),
        refused_without_falling_back(&vec![[1_u16; 3]], &vec![[1_u16; 2]]),
        refused_without_falling_back(&Run::after(1), &7_u64),
        refused_without_falling_back(&7_u64, &Run::after(1)),
    ];
    for error in cases {
        assert!(matches!(error, Error::SchemaMismatch { .. }), "{error}");
    }
}

#[test]
fn more_differences_than_are_listed_are_refused_and_said() {
    type Row<T> = (T, T, T, T, T, T, T, T, T, T, T, T);
    let error = refused_without_falling_back(&Row::<Row<u8>>::default(), &Row::<Row<u16>>::default());
    let message = error.to_string();
    let Error::SchemaMismatch { differences, has_more, .. } = error else { panic!("{message}") };
    assert_eq!((differences.len(), has_more), (100, true));
    assert!(message.contains("they differ in more than 100 places"), "{message}");
    assert!(message.contains("8.3: u16 in the checkpoint, u8 in this program\n  and more\n"), "{message}");
}

#[test]
fn another_version_is_refused_with_both_numbers() {
    mod one {
        #[checkpointed::checkpointed]
        pub(super) struct Model(pub(super) f64);
    }
    mod two {
        #[checkpointed::checkpointed(version = 2)]
        pub(super) struct Model(pub(super) f64);
    }
    let error = refused_without_falling_back(&one::Model(0.0), &two::Model(1.0));
    let Error::VersionUnknown { name, found, expected, .. } = &error else { panic!("{error}") };
    assert_eq!((name.as_str(), *found, *expected), ("Model", 2, 1));
    assert!(error.to_string().contains("version 2 of `Model`"), "{error}");
    let error = refused_without_falling_back(&two::Model(0.0), &one::Model(1.0));
    assert!(matches!(error, Error::VersionUnknown { found: 1, expected: 2, .. }), "{error}");
}

#[test]
fn another_version_inside_the_state_is_refused_with_its_path() {
    mod one {
        #[checkpointed::checkpointed]
        pub(super) struct Model(pub(super) f64);
    }
    mod two {
        #[checkpointed::checkpointed(version = 2)]
        pub(super) struct Model(pub(super) f64);
    }
    let error = refused_without_falling_back(&vec![one::Model(0.0)], &vec![two::Model(1.0)]);
    assert!(matches!(error, Error::SchemaMismatch { .. }), "{error}");
    assert!(
        error.to_string().contains("[]: version 2 in the checkpoint, version 1 in this program"),
        "{error}"
    );
}

#[test]
fn a_directory_removed_or_replaced_in_use_is_not_written_to() {
    type Meanwhile = fn(&Path);
    let changes: [Meanwhile; 4] = [
        |path| fs::remove_dir_all(path).unwrap(),
        |path| {
            fs::rename(path, path.with_extension("moved")).unwrap();
        },
        |path| {
            fs::rename(path, path.with_extension("moved")).unwrap();
            fs::create_dir(path).unwrap();
        },
        |path| {
            // Another program took the name, saved there, and has ended.
            fs::rename(path, path.with_extension("moved")).unwrap();
            Checkpointer::open(path).unwrap().save(&Run::after(77)).unwrap();
        },
    ];
    for (number, change) in changes.iter().enumerate() {
        for saves in [0, 1, 3] {
            let (_parent, path) = nowhere();
            let mut checkpoints = Checkpointer::open(&path).unwrap();
            for step in 0..saves {
                checkpoints.save(&Run::after(step)).unwrap();
            }
            change(&path);
            let found = path.exists().then(|| names_in(&path));
            let error = checkpoints.save(&Run::after(9)).unwrap_err();
            assert!(matches!(error, Error::DirectoryReplaced { .. }), "change {number}: {error:?}");
            assert!(message_names(&error, &path), "{error}");
            assert_eq!(path.exists().then(|| names_in(&path)), found, "change {number}");
            drop(checkpoints);
            // After it is opened again, it works, and finds the present content.
            let mut checkpoints = Checkpointer::<Run>::open(&path).unwrap();
            let last = checkpoints.load().unwrap().map(|state| state.step);
            assert_eq!(last, [None, None, None, Some(77)][number], "change {number}");
            checkpoints.save(&Run::after(10)).unwrap();
        }
    }
}

#[test]
fn a_lock_file_that_is_a_link_leads_to_no_write_elsewhere() {
    let (parent, path) = nowhere();
    let victim = parent.path().join("victim");
    fs::write(&victim, "precious").unwrap();
    fs::create_dir(&path).unwrap();
    for target in [victim.clone(), parent.path().join("absent")] {
        symlink(&target, path.join(".lock")).unwrap();
        let error = Checkpointer::<u64>::open(&path).unwrap_err();
        assert!(message_names(&error, &path.join(".lock")), "{error}");
        assert_eq!(fs::read_to_string(&victim).unwrap(), "precious");
        assert!(!parent.path().join("absent").exists());
        fs::remove_file(path.join(".lock")).unwrap();
    }
    // A lock that is no regular file does not block either.
    run("mkfifo", &[path.join(".lock").to_str().unwrap()]);
    let error = crate::common::must_end(move || Checkpointer::<u64>::open(path).unwrap_err());
    assert!(error.to_string().contains("not a regular file"), "{error}");
}

#[test]
fn keeping_nothing_is_refused() {
    let (_parent, path) = nowhere();
    let error = Checkpointer::<u64>::builder(&path).keep_last(0).open().unwrap_err();
    assert!(matches!(error, Error::InvalidSetting { .. }), "{error:?}");
    assert!(error.to_string().contains("keep_last(0)"), "{error}");
    assert!(!path.exists(), "nothing was created");
}

#[test]
fn a_field_that_could_never_be_loaded_is_refused_before_a_save() {
    #[checkpointed]
    struct Settings {
        seed: u64,
        nested: Vec<Nested>,
    }
    #[checkpointed]
    struct Nested {
        extra: serde_json::Value,
    }
    let (_parent, path) = nowhere();
    let error = Checkpointer::<Settings>::open(&path).unwrap_err();
    let Error::Unsupported { name, fields, .. } = &error else { panic!("{error}") };
    assert_eq!((name.as_str(), fields.len()), ("Settings", 1));
    let message = error.to_string();
    assert!(message.contains("nested[].extra"), "{message}");
    assert!(message.contains("checkpointed::self_describing"), "the way out: {message}");
    assert!(matches!(CheckpointReader::<Settings>::open(&path), Err(Error::Unsupported { .. })));
    assert!(!path.exists(), "nothing was created");
    // The type is not constructed anywhere else.
    let _ = Settings { seed: 0, nested: vec![Nested { extra: serde_json::Value::Null }] };
}

#[test]
fn the_way_out_for_such_a_field_works() {
    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Settings {
        #[serde(with = "checkpointed::self_describing")]
        extra: serde_json::Value,
        #[serde(with = "checkpointed::json")]
        text: serde_json::Value,
        seed: u64,
    }
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<Settings>::open(&path).unwrap();
    let extra = serde_json::json!({"a": [1, null, "x"]});
    let state = Settings { text: extra.clone(), extra, seed: 7 };
    checkpoints.save(&state).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(state));
}
