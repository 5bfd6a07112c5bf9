//! Forged headers of age: each is refused before it costs more than a look at its beginning.

use std::fs;

use checkpointed::{CheckpointReader, Checkpointer, Error, Protection};

use crate::cases::NAME;
use crate::{TURN, age};

fn secret() -> Protection {
    Protection::new().decrypt_with(age::IDENTITY).unwrap()
}

fn load(file: &[u8]) -> Result<Option<u64>, Error> {
    let directory = tempfile::tempdir().unwrap();
    fs::write(directory.path().join(NAME), file).unwrap();
    CheckpointReader::<u64>::builder(directory.path()).protection(secret()).open()?.load()
}

#[test]
fn a_header_without_an_end_is_damage_at_once() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let begin = b"age-encryption.org/v1\n";
    let many = b"-> a b\n\n".repeat(7000);
    // To parse one of these to its end takes hours.
    for rest in [
        [&b"-> "[..], &vec![b'a'; 10 << 20]].concat(),
        [&b"-> "[..], &vec![b'a'; 10 << 20], b"\n\n--- a\n"].concat(),
        b"-> a b\n\n".repeat(1 << 20),
        [&many[..], b"--- a\n"].concat(),
        b"-> a b\n\n".to_vec(),
        Vec::new(),
    ] {
        let refused = load(&[&begin[..], &rest].concat()).unwrap_err();
        assert!(matches!(refused, Error::NoneUsable { .. }), "{refused:?}");
    }
}

#[test]
fn as_many_recipients_are_read_as_are_written() {
    let _turn = TURN.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let directory = tempfile::tempdir().unwrap();
    let save = |recipients: usize| {
        let protection = (1..recipients).try_fold(secret(), |all, _| all.encrypt_to(age::RECIPIENT)).unwrap();
        let path = directory.path().join(recipients.to_string());
        let mut checkpoints = Checkpointer::<u64>::builder(&path).protection(protection).open().unwrap();
        checkpoints.save(&7).map(|_| path.join(NAME))
    };
    let file = fs::read(save(500).unwrap()).unwrap();
    assert_eq!(load(&file).unwrap(), Some(7));
    let refused = save(501).unwrap_err().to_string();
    assert!(refused.contains("at most 500"), "{refused}");
}
