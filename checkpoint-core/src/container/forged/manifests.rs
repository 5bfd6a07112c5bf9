//! Forged manifests that are too long or too deep to be read, and invalid names of arrays.

use crate::container::forge::{Part, file, with_manifest};
use crate::container::{Container, MANIFEST, Memory, Metadata, Refusal, STATE, Source};

fn refused(file: impl Source + 'static) -> String {
    let Err(Refusal::Damaged { part, why }) = Container::open(Box::new(file), &[]) else {
        panic!("it is read")
    };
    assert_eq!(part, MANIFEST, "{why}");
    why
}

/// A file that claims more bytes than it has, and panics when a reader takes all of them.
struct Trap(Memory<Vec<u8>>);

impl Source for Trap {
    fn length(&self) -> u64 {
        self.0.length()
    }

    fn read_exact_at(&self, buffer: &mut [u8], offset: u64) -> std::io::Result<()> {
        assert!(buffer.len() < 1 << 20, "{} bytes were read", buffer.len());
        self.0.read_exact_at(buffer, offset)
    }
}

#[test]
fn a_manifest_of_impossible_length_is_refused_unread() {
    let spaces = vec![b' '; 17 << 20];
    let why = refused(Trap(Memory(with_manifest(|json| [json, &spaces].concat()))));
    assert!(why.contains("longer than the manifest of such a file can be"), "{why}");
    // A manifest of the greatest length is read.
    let spaces = vec![b' '; 15 << 20];
    Container::open(Box::new(Memory(with_manifest(|json| [json, &spaces].concat()))), &[]).unwrap();
}

#[test]
fn an_endlessly_nested_manifest_does_not_overflow_the_stack() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}")] {
        for depth in [128, 1_000_000] {
            let with = |field: &str| {
                let deep = [open.repeat(depth), "1".to_owned(), close.repeat(depth)].concat();
                with_manifest(|json| {
                    let rest = std::str::from_utf8(json).unwrap().strip_prefix('{').unwrap();
                    format!("{{\"{field}\":{deep},{rest}").into_bytes()
                })
            };
            let why = refused(Memory(with("metadata")));
            assert!(why.contains("it is not a manifest"), "{why}");
            // An unknown field is skipped, and builds nothing in memory.
            Container::open(Box::new(Memory(with("unknown"))), &[]).unwrap();
        }
    }
}

#[test]
fn more_metadata_than_a_manifest_can_have_is_not_saved() {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = crate::Checkpointer::<u64>::open(directory.path()).unwrap();
    checkpoints.save(&1).unwrap();
    let error = checkpoints.save_with(&2, Metadata::new().with("note", "x".repeat(17 << 20))).unwrap_err();
    assert!(error.to_string().contains("longer than 16 MiB"), "{error}");
    checkpoints.save_with(&3, Metadata::new().with("note", "x".repeat(15 << 20))).unwrap();
    assert_eq!(checkpoints.load().unwrap(), Some(3));
    assert_eq!(checkpoints.last_load().map(|report| report.skipped.len()), Some(0));
}

#[test]
fn only_a_name_cut_behind_a_whole_step_is_read() {
    let file = |name: &str| {
        let parts = [(name, &b"array"[..]), (STATE, &7_u64.to_le_bytes())];
        file::<u64>(&parts.map(|(name, data)| Part { name, data, unpacked: None }))
    };
    let cut = |path: &str| format!("{}.npy", &path[..1000]);
    for name in [cut(&"next/".repeat(200)), cut(&"nodes/0/".repeat(125)), cut(&"a%C3".repeat(300))] {
        Container::open(Box::new(Memory(file(&name))), &[]).unwrap();
    }
    let others =
        ["next/.npy", ".npy", "/etc/passwd.npy", "a//b.npy", "../../etc/passwd.npy", "a\n.npy", "\0.npy"];
    for name in others.into_iter().chain(["\x1b[2J.npy", "state", &cut(&"./".repeat(1000))]) {
        let why = refused(Memory(file(name)));
        assert!(why.contains("is no name of a part in its place"), "{why}");
    }
}
