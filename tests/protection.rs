//! Protected checkpoints: an attacker's file is refused, and so is an older one that was put back;
//! encrypted content is secret.

use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::forge::rewritten;
use crate::common::{file_of, python::numpy};
use checkpointed::{
    CheckpointReader, Checkpointer, Error, Key, Pipeline, Protection, Scopes, checkpointed, inspect, pipeline,
};

#[checkpointed]
#[derive(Clone, Debug, Default, PartialEq)]
struct Field {
    step: u64,
    temperature: Vec<f64>,
    secret: String,
}

impl Field {
    /// An array of more than one chunk, with an incomplete last one.
    fn after(step: u64) -> Field {
        let secret = format!("the secret of step {step}");
        Field { step, temperature: vec![0.5; 200_000], secret }
    }
}

fn nowhere() -> (tempfile::TempDir, PathBuf) {
    let parent = tempfile::tempdir().unwrap();
    let path = parent.path().join("run.ckpt");
    (parent, path)
}

fn key(byte: u8) -> Key {
    Key::from_bytes([byte; 32])
}

fn tagged(byte: u8) -> Protection {
    Protection::new().authenticate(key(byte))
}

/// Saves this number of generations, and keeps them.
fn saved(path: &Path, protection: &Protection, generations: u64) {
    let builder = Checkpointer::<Field>::builder(path).keep_last(9).protection(protection.clone());
    let mut checkpoints = builder.open().unwrap();
    for _ in 0..generations {
        let step = checkpoints.load().unwrap().map_or(0, |field| field.step) + 1;
        checkpoints.save(&Field::after(step)).unwrap();
    }
}

fn load(path: &Path, protection: Protection) -> Result<Option<u64>, Error> {
    let mut reader = CheckpointReader::<Field>::builder(path).protection(protection).open()?;
    let loaded = reader.load()?;
    Ok(loaded.map(|field| {
        assert_eq!(field, Field::after(field.step));
        field.step
    }))
}

#[test]
fn a_reader_with_the_key_loads_and_one_without_tags_too() {
    let (_parent, path) = nowhere();
    saved(&path, &tagged(1), 3);
    assert_eq!(load(&path, tagged(1)).unwrap(), Some(3));
    assert_eq!(load(&path, Protection::new()).unwrap(), Some(3));
}

#[test]
fn the_file_of_a_stranger_is_refused_without_falling_back() {
    let (_parent, path) = nowhere();
    saved(&path, &tagged(1), 1);
    for stranger in [Protection::new(), tagged(2)] {
        let (_elsewhere, other) = nowhere();
        saved(&other, &stranger, 2);
        fs::copy(file_of(&other, 2), file_of(&path, 2)).unwrap();
        let error = load(&path, tagged(1)).unwrap_err();
        assert!(matches!(error, Error::NotAuthentic { .. }), "{error}");
        assert!(error.to_string().contains("Protection::accept"), "{error}");
    }
}

#[test]
fn an_older_checkpoint_under_the_name_of_a_newer_is_passed_over() {
    let (_parent, path) = nowhere();
    saved(&path, &tagged(1), 3);
    fs::copy(file_of(&path, 1), file_of(&path, 4)).unwrap();
    fs::copy(file_of(&path, 2), file_of(&path, 3)).unwrap();
    assert_eq!(load(&path, tagged(1)).unwrap(), Some(2));
}

#[test]
fn a_program_that_knows_of_removed_generations_is_told() {
    let (_parent, path) = nowhere();
    assert!(matches!(load(&path, tagged(1).at_least(1)), Err(Error::TooOld { found: None, .. })));
    saved(&path, &tagged(1), 3);
    assert_eq!(load(&path, tagged(1).at_least(3)).unwrap(), Some(3));
    fs::remove_file(file_of(&path, 3)).unwrap();
    let error = load(&path, tagged(1).at_least(3)).unwrap_err();
    assert!(matches!(error, Error::TooOld { found: Some(2), expected: 3, .. }), "{error}");
}

#[test]
fn tags_find_a_change_with_every_checksum_made_right() {
    let (_parent, path) = nowhere();
    saved(&path, &tagged(1), 2);
    let genuine = fs::read(file_of(&path, 2)).unwrap();
    // In the state, in the array's first chunk and its second, and in the manifest itself.
    let state = find(&genuine, b"the secret of step 2");
    let array = find(&genuine, &0.5_f64.to_le_bytes());
    let host = find(&genuine, b"\"codec\":\"") - 3;
    for place in [state, array, array + (1 << 20) + 8, host] {
        let mut changed = genuine.clone();
        changed[place] ^= 1;
        let changed = rewritten(&changed);
        assert_eq!(changed.len(), genuine.len(), "only checksums were changed");
        fs::write(file_of(&path, 2), &changed).unwrap();
        let stranger = load_any(&path);
        assert_eq!(stranger, 2, "without the key it is a checkpoint like any other (byte {place})");
        assert_eq!(load(&path, tagged(1)).unwrap(), Some(1), "byte {place}");
    }
}

/// The generation that a reader without keys loads.
fn load_any(path: &Path) -> u64 {
    let mut reader = CheckpointReader::<Field>::open(path).unwrap();
    reader.load().unwrap().unwrap();
    reader.last_load().unwrap().generation()
}

fn find(bytes: &[u8], what: &[u8]) -> usize {
    bytes.windows(what.len()).position(|window| window == what).unwrap()
}

#[test]
fn a_change_of_keys_loses_nothing_saved_with_the_old_one() {
    let (_parent, path) = nowhere();
    saved(&path, &tagged(1), 1);
    assert!(matches!(load(&path, tagged(2)), Err(Error::NotAuthentic { .. })));
    saved(&path, &tagged(2).accept(key(1)), 1);
    assert_eq!(load(&path, tagged(2)).unwrap(), Some(2), "the new one makes the tags");
}

#[test]
fn a_checkpoint_of_another_run_with_the_same_key_is_refused() {
    let ((_one, path), (_other, other)) = (nowhere(), nowhere());
    let of_run = |name: &str| tagged(1).for_run(name);
    saved(&path, &of_run("A"), 1);
    saved(&other, &of_run("B"), 2);
    fs::copy(file_of(&other, 2), file_of(&path, 2)).unwrap();
    let error = load(&path, of_run("A")).unwrap_err();
    assert!(matches!(error, Error::NotAuthentic { .. }), "{error}");
    assert!(error.to_string().contains("another run"), "{error}");
    assert_eq!(load(&other, of_run("B")).unwrap(), Some(2));
    // Without a name, tags are of no run, and do not fit a run; and the reverse.
    assert!(matches!(load(&other, tagged(1)), Err(Error::NotAuthentic { .. })));
    assert!(matches!(load(&other, tagged(2).for_run("B")), Err(Error::NotAuthentic { .. })));
    let (_third, plain) = nowhere();
    saved(&plain, &tagged(1), 1);
    assert!(matches!(load(&plain, of_run("A")), Err(Error::NotAuthentic { .. })));
    assert_eq!(load(&plain, of_run("A").accept_run("")).unwrap(), Some(1));
    assert_eq!(load(&other, tagged(1).accept_run("B")).unwrap(), Some(2));
    // A branch loads it so.
    let (_fourth, branch) = nowhere();
    let protection = of_run("C").accept_run("B");
    let builder = Checkpointer::<Field>::builder(&branch).protection(protection).branch_from(&other);
    let mut checkpoints = builder.open().unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(Field::after(2)));
    checkpoints.save(&Field::after(3)).unwrap();
    assert_eq!(load(&branch, of_run("C")).unwrap(), Some(3));
}

#[test]
fn a_key_that_lies_in_the_directory_is_refused() {
    let (_parent, path) = nowhere();
    saved(&path, &Protection::new(), 1);
    let file = path.join("key");
    fs::write(&file, "ab".repeat(32)).unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let protection = Protection::new().authenticate(Key::from_file(&file).unwrap());
    let reader = CheckpointReader::<Field>::builder(&path).protection(protection.clone());
    let error = reader.open().unwrap_err();
    assert!(matches!(error, Error::InvalidKey { .. }), "{error}");
    Checkpointer::<Field>::builder(&path).protection(protection).open().unwrap_err();
}

#[test]
fn tagged_background_saves_over_old_files_are_whole() {
    let (_parent, path) = nowhere();
    let mut checkpoints = Checkpointer::<Field>::builder(&path).protection(tagged(1)).open().unwrap();
    for step in 1..=6 {
        checkpoints.save_in_background(&Field::after(step)).unwrap();
        checkpoints.wait().unwrap();
        let mut field = Field::after(0);
        assert!(checkpoints.load_into(&mut field).unwrap());
        assert_eq!(field, Field::after(step));
    }
}

#[test]
fn other_programs_read_tagged_checkpoints_as_all_others() {
    let (_parent, path) = nowhere();
    saved(&path, &tagged(1), 1);
    let script = "import sys, numpy; print((numpy.load(sys.argv[1])['temperature'] == 0.5).all())";
    let Some(answer) = numpy(script, &file_of(&path, 1)) else { return };
    assert_eq!(answer.trim(), "True");
}

/// Runs two steps; one takes the output of the other. Returns the result, and the number of runs of
/// each.
fn two_steps(path: &Path, protection: &Protection) -> Result<(u64, [usize; 2]), Error> {
    let pipeline = Pipeline::builder(path).protection(protection.clone()).open()?;
    let ran = [(); 2].map(|()| Cell::new(0));
    let first = pipeline.step("first").run(|context| {
        let mut own = context.checkpointer::<Field>()?;
        own.save(&Field::after(1))?;
        ran[0].set(ran[0].get() + 1);
        Ok::<_, Error>(20_u64)
    })?;
    let second = pipeline.step("second").input(&first).run(|_| {
        ran[1].set(ran[1].get() + 1);
        Ok::<_, Error>(*first.load()? + 1)
    })?;
    let sum = *first.load()? + *second.load()?;
    pipeline.finish()?;
    Ok((sum, ran.map(|times| times.get())))
}

fn output_of(pipeline: &Path, step: &str, version: u64) -> PathBuf {
    file_of(&pipeline.join("steps").join(step), version)
}

#[test]
fn a_tagged_pipeline_reuses_its_outputs_and_tools_see_them() {
    let (_parent, path) = nowhere();
    assert_eq!(two_steps(&path, &tagged(1)).unwrap(), (41, [1, 1]));
    assert_eq!(two_steps(&path, &tagged(1)).unwrap(), (41, [0, 0]));
    // A reader that needs no tags reads it too.
    assert_eq!(two_steps(&path, &Protection::new()).unwrap(), (41, [0, 0]));
    let steps = pipeline::steps(&path, &tagged(1)).unwrap();
    assert_eq!(steps.iter().map(|step| step.versions.len()).collect::<Vec<_>>(), [1, 1]);
    assert!(matches!(pipeline::steps(&path, &tagged(2)), Err(Error::NotAuthentic { .. })));
    for place in ["steps/first", "steps/second"] {
        let overview = inspect::overview(path.join(place), &tagged(1)).unwrap();
        assert!(overview.generations[0].manifest.is_ok(), "{place}");
        let verdicts = inspect::verify_directory(path.join(place), &tagged(1)).unwrap();
        assert!(verdicts[0].is_whole(), "{place}: {verdicts:?}");
    }
    let builder = CheckpointReader::<u64>::builder(path.join("steps/first"));
    assert!(matches!(
        builder.clone().protection(tagged(1)).open().unwrap().load(),
        Err(Error::NotAuthentic { .. })
    ));
    let mut reader = builder.protection(tagged(1).of_step("first")).open().unwrap();
    assert_eq!(reader.load().unwrap(), Some(20));
    pipeline::redo(&path, "first").unwrap();
    assert_eq!(two_steps(&path, &tagged(1)).unwrap(), (41, [1, 1]));
}

#[test]
fn an_output_of_a_stranger_or_of_another_step_is_refused() {
    let (_parent, path) = nowhere();
    for stranger in [Protection::new(), tagged(2)] {
        let (_elsewhere, other) = nowhere();
        two_steps(&other, &stranger).unwrap();
        two_steps(&path, &tagged(1)).unwrap();
        let genuine = fs::read(output_of(&path, "first", 1)).unwrap();
        fs::copy(output_of(&other, "first", 1), output_of(&path, "first", 1)).unwrap();
        let error = two_steps(&path, &tagged(1)).unwrap_err();
        assert!(matches!(error, Error::NotAuthentic { .. }), "{error}");
        fs::write(output_of(&path, "first", 1), genuine).unwrap();
    }
    // The file is of the same pipeline, with the same key, as the same generation.
    fs::copy(output_of(&path, "second", 1), output_of(&path, "first", 1)).unwrap();
    let error = two_steps(&path, &tagged(1)).unwrap_err();
    assert!(matches!(error, Error::NotAuthentic { .. }), "{error}");
    assert!(error.to_string().contains("another step"), "{error}");
    let verdicts = inspect::verify_directory(path.join("steps/first"), &tagged(1)).unwrap();
    assert!(!verdicts[0].is_whole(), "{verdicts:?}");
}

#[test]
fn a_checkpoint_of_a_run_named_as_a_step_is_no_output() {
    let (_parent, path) = nowhere();
    two_steps(&path, &tagged(1)).unwrap();
    let (_elsewhere, other) = nowhere();
    for protection in [tagged(1), tagged(1).for_run("steps/first"), tagged(1).for_run("first")] {
        let mut checkpoints = Checkpointer::<u64>::builder(&other).protection(protection).open().unwrap();
        let saved = checkpoints.save(&7).unwrap().generation;
        let target = output_of(&path, "first", saved);
        let genuine = fs::read(&target);
        fs::copy(file_of(&other, saved), &target).unwrap();
        let error = two_steps(&path, &tagged(1)).unwrap_err();
        assert!(matches!(error, Error::NotAuthentic { .. }), "{error}");
        match genuine {
            Ok(genuine) => fs::write(target, genuine).unwrap(),
            Err(_) => fs::remove_file(target).unwrap(),
        }
    }
}

#[test]
fn hashes_of_files_by_a_stranger_are_worked_out_again() {
    let (_parent, path) = nowhere();
    two_steps(&path, &tagged(1)).unwrap();
    let mut forged = Checkpointer::<u64>::open(path.join("files")).unwrap();
    forged.save(&7).unwrap();
    drop(forged);
    let (sender, warnings) = std::sync::mpsc::channel();
    let builder = Pipeline::builder(&path).protection(tagged(1));
    let builder = builder.on_warning(move |warning| sender.send(warning.to_string()).unwrap_or_default());
    builder.open().unwrap().finish().unwrap();
    let warnings: Vec<String> = warnings.try_iter().collect();
    assert!(warnings.iter().any(|warning| warning.contains("worked out again")), "{warnings:?}");
}

#[test]
fn a_branch_of_a_pipeline_has_the_same_protection() {
    let (parent, path) = nowhere();
    two_steps(&path, &tagged(1)).unwrap();
    let branch = parent.path().join("branch.pipeline");
    Pipeline::builder(&path).protection(tagged(1)).open().unwrap().branch(&branch).unwrap();
    let overview = inspect::overview(branch.join("steps/first"), &tagged(1)).unwrap();
    assert!(overview.generations[0].manifest.is_ok());
    assert_eq!(two_steps(&branch, &tagged(1)).unwrap(), (41, [0, 0]));
}

#[test]
fn a_protection_that_no_pipeline_can_use_is_refused() {
    let (_parent, path) = nowhere();
    let open = |protection| Pipeline::builder(&path).protection(protection).open().map(drop).unwrap_err();
    let error = open(tagged(1).at_least(1));
    assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
    assert!(!path.exists(), "nothing was made");
    fs::create_dir(&path).unwrap();
    let file = path.join("key");
    fs::write(&file, "ab".repeat(32)).unwrap();
    fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
    let error = open(Protection::new().authenticate(Key::from_file(&file).unwrap()));
    assert!(matches!(error, Error::InvalidKey { .. }), "{error}");
}

#[test]
fn scopes_are_protected_as_checkpoints_are() {
    let (_parent, path) = nowhere();
    let open = |byte| Scopes::builder(&path).protection(tagged(byte)).open().unwrap();
    open(1).enter::<u64>("main").unwrap().save(&7).unwrap();
    assert!(matches!(open(2).restore(), Err(Error::NotAuthentic { .. })));
    let mut scopes = open(1);
    assert!(scopes.restore().unwrap());
    assert_eq!(scopes.enter::<u64>("main").unwrap().restored(), Some(7));
}

#[test]
fn what_a_compressed_pipeline_keeps_is_packed() {
    let (_parent, path) = nowhere();
    let pipeline = Pipeline::builder(&path).protection(tagged(1));
    let pipeline = pipeline.compression(checkpointed::Compression::Zstd(1)).durable(false).open().unwrap();
    let output = pipeline.step("zeros").run(|_| Ok::<_, Error>(vec![0_u64; 100_000])).unwrap();
    assert!(fs::metadata(output_of(&path, "zeros", 1)).unwrap().len() < 100_000);
    output.unload();
    assert_eq!(output.load().unwrap().len(), 100_000);
}

#[test]
fn what_is_compressed_is_tagged_as_it_is_in_the_file() {
    let (_parent, path) = nowhere();
    let builder = Checkpointer::<Field>::builder(&path).protection(tagged(1));
    let mut checkpoints = builder.compression(checkpointed::Compression::Zstd(1)).open().unwrap();
    checkpoints.save(&Field::after(1)).unwrap();
    checkpoints.save(&Field::after(2)).unwrap();
    assert_eq!(load(&path, tagged(1)).unwrap(), Some(2));
    let mut file = fs::read(file_of(&path, 2)).unwrap();
    let array = find(&file, b"temperature.npy") + 64;
    file[array] ^= 1;
    fs::write(file_of(&path, 2), rewritten(&file)).unwrap();
    assert_eq!(load(&path, tagged(1)).unwrap(), Some(1));
}

mod encryption {
    use std::process::Command;

    use super::*;
    use crate::common::age::{IDENTITY, RECIPIENT};
    use crate::common::skipping;

    /// Another identity. It protects nothing, either.
    const OTHER_IDENTITY: &str = "AGE-SECRET-KEY-14EZG4JRVF68YMMRY2U5HPRH5RPE6U7WXMLUYALMNXCYCJJRLPRJS2WX5PN";

    fn secret() -> Protection {
        Protection::new().decrypt_with(IDENTITY).unwrap()
    }

    #[test]
    fn what_is_encrypted_is_secret_and_comes_back() {
        let (_parent, path) = nowhere();
        saved(&path, &secret(), 3);
        assert_eq!(load(&path, secret()).unwrap(), Some(3));
        let file = fs::read(file_of(&path, 3)).unwrap();
        assert!(!file.windows(10).any(|window| window == b"the secret" || window == b"checkpoint"));
        let mut checkpoints = Checkpointer::<Field>::builder(&path).protection(secret()).open().unwrap();
        for step in 4..9 {
            checkpoints.save_in_background(&Field::after(step)).unwrap();
            let saved = checkpoints.wait().unwrap().unwrap();
            assert_eq!(saved.bytes, fs::metadata(file_of(&path, saved.generation)).unwrap().len());
        }
        assert_eq!(checkpoints.load().unwrap().unwrap(), Field::after(8));
    }

    #[test]
    fn an_encrypted_pipeline_is_secret_and_reused_and_seen_by_tools() {
        let (_parent, path) = nowhere();
        let both = secret().authenticate(key(1));
        assert_eq!(two_steps(&path, &both).unwrap(), (41, [1, 1]));
        assert_eq!(two_steps(&path, &both).unwrap(), (41, [0, 0]));
        let file = fs::read(output_of(&path, "first", 1)).unwrap();
        assert!(!file.windows(10).any(|window| window == b"checkpoint"));
        for refused in [Protection::new(), tagged(1)] {
            assert!(matches!(two_steps(&path, &refused), Err(Error::Encrypted { .. })));
            assert!(matches!(pipeline::steps(&path, &refused), Err(Error::Encrypted { .. })));
        }
        assert_eq!(pipeline::steps(&path, &both).unwrap()[0].versions.len(), 1);
        let only_to = Protection::new().encrypt_to(RECIPIENT).unwrap();
        let error = Pipeline::builder(&path).protection(only_to).open().unwrap_err();
        assert!(error.to_string().contains("decrypt_with"), "{error}");
    }

    #[test]
    fn who_has_only_the_recipient_can_save_and_not_load() {
        let (_parent, path) = nowhere();
        let protection = Protection::new().encrypt_to(RECIPIENT).unwrap();
        let mut checkpoints = Checkpointer::<Field>::builder(&path).protection(protection).open().unwrap();
        checkpoints.save(&Field::after(1)).unwrap();
        assert!(matches!(checkpoints.load(), Err(Error::Encrypted { .. })));
        drop(checkpoints);
        assert_eq!(load(&path, secret()).unwrap(), Some(1));
        let error = load(&path, Protection::new()).unwrap_err();
        assert!(error.to_string().contains("is encrypted"), "{error}");
    }

    #[test]
    fn a_change_of_identities_encrypts_for_the_new_one_alone() {
        let (parent, path) = nowhere();
        let new = || Protection::new().decrypt_with(OTHER_IDENTITY).unwrap();
        saved(&path, &secret(), 1);
        assert!(matches!(load(&path, new()), Err(Error::Encrypted { .. })));
        let both = new().accept_identity(IDENTITY).unwrap();
        assert_eq!(load(&path, both.clone()).unwrap(), Some(1));
        saved(&path, &both, 1);
        assert_eq!(load(&path, new()).unwrap(), Some(2));
        assert!(matches!(load(&path, secret()), Err(Error::Encrypted { .. })));
        // The same, from a file.
        let file = parent.path().join("old");
        fs::write(&file, IDENTITY).unwrap();
        fs::set_permissions(&file, std::os::unix::fs::PermissionsExt::from_mode(0o600)).unwrap();
        saved(&path, &new().accept_identity_file(&file).unwrap(), 1);
        assert!(matches!(load(&path, secret()), Err(Error::Encrypted { .. })));
        // What it saves for another recipient it could not load.
        let other = Protection::new().encrypt_to(RECIPIENT).unwrap().accept_identity(OTHER_IDENTITY).unwrap();
        let error = Pipeline::builder(parent.path().join("p")).protection(other).open();
        assert!(error.unwrap_err().to_string().contains("decrypt_with"));
        // For nobody.
        let alone = Protection::new().accept_identity(IDENTITY).unwrap();
        let error = Checkpointer::<Field>::builder(&path).protection(alone).open().unwrap_err();
        assert!(matches!(error, Error::InvalidSetting { .. }), "{error}");
    }

    #[test]
    fn nothing_that_is_not_encrypted_is_taken_where_it_should_be() {
        let (_parent, path) = nowhere();
        saved(&path, &Protection::new(), 1);
        assert!(matches!(load(&path, secret()), Err(Error::NotEncrypted { .. })));
    }

    #[test]
    fn no_field_of_a_file_that_is_not_encrypted_is_taken() {
        #[checkpointed]
        struct State {
            big: Vec<f64>,
            step: u64,
        }
        let (_parent, path) = nowhere();
        let state = State { big: vec![0.5; 100_000], step: 7 };
        Checkpointer::<State>::open(&path).unwrap().save(&state).unwrap();
        let field = || {
            let reader = CheckpointReader::<State>::builder(&path).protection(secret()).open();
            reader.unwrap().load_field::<u64>("step")
        };
        assert!(matches!(field(), Err(Error::NotEncrypted { .. })));
        // An attacker hides what the file is.
        let mut file = fs::read(file_of(&path, 1)).unwrap();
        file[0] ^= 1;
        fs::write(file_of(&path, 1), file).unwrap();
        assert!(field().is_err());
    }

    #[test]
    fn a_changed_or_shorter_encrypted_file_falls_back() {
        let (_parent, path) = nowhere();
        saved(&path, &secret(), 2);
        let file = fs::read(file_of(&path, 2)).unwrap();
        let chunk = (64 << 10) + 16;
        for place in [0, 30, 100, 150, 250, chunk, file.len() - 70_000, file.len() - 1] {
            let mut changed = file.clone();
            changed[place] ^= 1;
            fs::write(file_of(&path, 2), changed).unwrap();
            match load(&path, secret()) {
                Ok(generation) => assert_eq!(generation, Some(1), "byte {place}"),
                // The change is in the key of the file: it looks like a file for another recipient.
                Err(error) => assert!(place < 200 && matches!(error, Error::Encrypted { .. }), "{error}"),
            }
        }
        for length in [0, 10, 22, 150, 300, file.len() - chunk, file.len() - 100, file.len() - 1] {
            fs::write(file_of(&path, 2), &file[..length]).unwrap();
            assert_eq!(load(&path, secret()).unwrap(), Some(1), "{length} bytes");
        }
        fs::write(file_of(&path, 2), &file).unwrap();
        assert_eq!(load(&path, secret()).unwrap(), Some(2));
    }

    #[test]
    fn encrypted_and_tagged_says_both_who_wrote_and_who_reads() {
        let (_parent, path) = nowhere();
        saved(&path, &secret().authenticate(key(1)), 1);
        assert_eq!(load(&path, secret().authenticate(key(1))).unwrap(), Some(1));
        // An attacker may have the public key.
        saved(&path, &secret(), 1);
        assert!(matches!(load(&path, secret().authenticate(key(1))), Err(Error::NotAuthentic { .. })));
    }

    #[test]
    fn a_key_that_is_none_is_refused_and_not_told() {
        let error = Protection::new().decrypt_with("AGE-SECRET-KEY-1ABC").unwrap_err();
        assert!(matches!(error, Error::InvalidKey { .. }) && !error.to_string().contains("1ABC"), "{error}");
        Protection::new().encrypt_to(IDENTITY).unwrap_err();
        let debug = format!("{:?}", secret().authenticate(key(0xab)));
        assert!(!debug.contains("SECRET") && !debug.contains("171"), "{debug}");
    }

    #[cfg(unix)]
    #[test]
    fn an_identity_file_is_refused_as_a_key_file_is() {
        use std::os::unix::fs::PermissionsExt as _;
        let (parent, path) = nowhere();
        let write = |file: &Path, mode| {
            fs::write(file, format!("# a comment\n{IDENTITY}\n")).unwrap();
            fs::set_permissions(file, fs::Permissions::from_mode(mode)).unwrap();
        };
        let outside = parent.path().join("identity.txt");
        for mode in [0o644, 0o640, 0o602] {
            write(&outside, mode);
            let error = Protection::new().decrypt_with_file(&outside).unwrap_err();
            assert!(error.to_string().contains("chmod 600"), "{mode:o}: {error}");
        }
        write(&outside, 0o600);
        saved(&path, &Protection::new().decrypt_with_file(&outside).unwrap(), 1);
        // The file is in the directory that it protects, or is reached by a link from elsewhere.
        let inside = path.join("identity.txt");
        write(&inside, 0o600);
        let link = parent.path().join("link.txt");
        std::os::unix::fs::symlink(&inside, &link).unwrap();
        for file in [&inside, &link] {
            let protection = Protection::new().decrypt_with_file(file).unwrap();
            let error = load(&path, protection).unwrap_err();
            assert!(error.to_string().contains("keep it elsewhere"), "{error}");
        }
        assert!(Protection::new().decrypt_with_file(parent.path()).is_err(), "a directory is no file");
    }

    #[test]
    fn age_decrypts_a_checkpoint() {
        let (_parent, path) = nowhere();
        saved(&path, &secret(), 1);
        let identity = path.with_extension("txt");
        fs::write(&identity, IDENTITY).unwrap();
        let age =
            Command::new("age").arg("--decrypt").arg("-i").arg(&identity).arg(file_of(&path, 1)).output();
        let Ok(output) = age else {
            return skipping("there is no `age`");
        };
        assert!(output.status.success());
        assert!(output.stdout.starts_with(b"PK\x03\x04"));
    }
}
