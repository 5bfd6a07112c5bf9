//! Forged compressed parts: they agree with their checksums, but the writer would not have written
//! them.

use crate::container::forge::{Part, file};
use crate::container::{Container, Memory, Refusal, STATE};

/// The forged description of the one part.
struct Forgery {
    data: Vec<u8>,
    length: u64,
    crc32: u32,
}

impl Forgery {
    /// A frame that claims to hold these bytes.
    fn of(data: Vec<u8>, unpacked: &[u8]) -> Forgery {
        Forgery { data, length: unpacked.len() as u64, crc32: crc32fast::hash(unpacked) }
    }

    fn file(&self) -> Vec<u8> {
        let unpacked = Some((self.length, self.crc32));
        file::<u64>(&[Part { name: STATE, data: &self.data, unpacked }])
    }

    fn read(&self) -> Result<Vec<u8>, Refusal> {
        Container::open(Box::new(Memory(self.file())), &[])?.state()
    }

    #[cfg(feature = "zstd")]
    #[track_caller]
    fn assert_refused(&self, reason: &str) {
        let refusal = self.read().unwrap_err();
        let Refusal::Damaged { part, why } = &refusal else { panic!("{refusal:?}") };
        assert!(part == STATE && why.contains(reason), "{part}: {why}");
    }
}

/// The start of a frame in one piece that declares this length. Source: RFC 8878, 3.1.1.1.
fn frame_of(length: u32) -> Vec<u8> {
    [&0xfd2f_b528_u32.to_le_bytes()[..], &[0b1010_0000], &length.to_le_bytes()].concat()
}

const RAW: u32 = 0;
#[cfg(feature = "zstd")]
const RUN: u32 = 1;

/// A block of a frame. Source: RFC 8878, 3.1.1.2.
fn block(is_last: bool, kind: u32, size: u32, content: &[u8]) -> Vec<u8> {
    let header = u32::from(is_last) | kind << 1 | size << 3;
    [&header.to_le_bytes()[..3], content].concat()
}

const TEXT: &[u8] = b"what was saved";

fn frame_of_text() -> Vec<u8> {
    let length = u32::try_from(TEXT.len()).unwrap();
    [frame_of(length), block(true, RAW, length, TEXT)].concat()
}

#[cfg(not(feature = "zstd"))]
#[test]
fn a_refused_compressed_part_names_the_missing_feature() {
    let file = Forgery::of(frame_of_text(), TEXT).file();
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("00000000000000000001.ckpt"), file).unwrap();
    let mut reader = crate::CheckpointReader::<u64>::open(directory.path()).unwrap();
    let error = reader.load().unwrap_err();
    assert!(matches!(error, crate::Error::BuiltWithout { feature: "zstd", .. }), "{error:?}");
    assert!(error.to_string().contains("turn on the feature `zstd`"), "{error}");
    assert_eq!(reader.manifest(1).unwrap().generation(), 1, "the manifest can be read all the same");
    assert!(matches!(Forgery::of(frame_of_text(), TEXT).read(), Err(Refusal::Packed { .. })));
}

#[cfg(feature = "zstd")]
mod with_zstd {
    use super::*;

    #[test]
    fn the_forger_can_write_a_file_that_is_read() {
        assert_eq!(Forgery::of(frame_of_text(), TEXT).read().unwrap(), TEXT);
    }

    #[test]
    fn other_bytes_are_refused_as_a_frame() {
        Forgery::of(TEXT.to_vec(), TEXT).assert_refused("does not begin as a zstd frame");
        Forgery::of(Vec::new(), &[]).assert_refused("does not begin as a zstd frame");
        // A frame that decoders skip.
        let skippable = [&0x184d_2a50_u32.to_le_bytes()[..], &4_u32.to_le_bytes(), b"skip"].concat();
        Forgery::of([skippable, frame_of_text()].concat(), TEXT).assert_refused("does not begin as");
    }

    #[test]
    fn a_frame_that_is_cut_short_is_refused() {
        let frame = frame_of_text();
        for length in 0..frame.len() {
            Forgery::of(frame[..length].to_vec(), TEXT).read().unwrap_err();
        }
        Forgery::of(frame[..frame.len() - 1].to_vec(), TEXT).assert_refused("was cut short");
    }

    #[test]
    fn anything_behind_the_frame_is_refused() {
        for behind in [b"\0".to_vec(), vec![7; 3 << 20], frame_of_text()] {
            Forgery::of([frame_of_text(), behind].concat(), TEXT).assert_refused("behind its zstd frame");
        }
    }

    #[test]
    fn another_length_than_the_declared_one_is_refused() {
        for length in [0, 1, TEXT.len() as u64 - 1, TEXT.len() as u64 + 1, 1 << 18] {
            let forgery = Forgery { length, ..Forgery::of(frame_of_text(), TEXT) };
            forgery.assert_refused("does not declare the length");
        }
        // A frame that declares no length.
        let nameless = [&0xfd2f_b528_u32.to_le_bytes()[..], &[0, 0], &block(true, RAW, 14, TEXT)].concat();
        Forgery::of(nameless, TEXT).assert_refused("does not declare the length");
    }

    #[test]
    fn a_frame_that_unpacks_to_another_length_is_refused() {
        let length = u32::try_from(TEXT.len()).unwrap();
        for (declared, said) in [(length - 1, &TEXT[1..]), (length + 1, b"what was saved.")] {
            let frame = [frame_of(declared), block(true, RAW, length, TEXT)].concat();
            Forgery::of(frame, said).read().unwrap_err();
        }
    }

    #[test]
    fn a_bomb_is_refused_before_it_goes_off() {
        // A thousand blocks of 128 KiB each that claim to be 14 bytes.
        let blocks = block(false, RUN, 1 << 17, b"x").repeat(1000);
        let bomb = [frame_of(14), blocks, block(true, RAW, 0, b"")].concat();
        Forgery::of(bomb, TEXT).read().unwrap_err();
        // A few bytes that claim to be a terabyte.
        let forgery = Forgery { length: 1 << 40, ..Forgery::of(frame_of_text(), TEXT) };
        forgery.assert_refused("declares more bytes than it can unpack to");
    }

    #[test]
    fn a_frame_may_gain_as_much_as_the_format_allows() {
        let length = 64 << 17;
        let blocks =
            [block(false, RUN, 1 << 17, b"\0").repeat(63), block(true, RUN, 1 << 17, b"\0")].concat();
        let zeros = vec![0; length];
        let frame = [frame_of(u32::try_from(length).unwrap()), blocks].concat();
        assert_eq!(Forgery::of(frame, &zeros).read().unwrap(), zeros);
    }

    #[test]
    fn a_frame_that_asks_for_a_dictionary_is_refused() {
        let magic = 0xfd2f_b528_u32.to_le_bytes();
        let start = [&magic[..], &[0b1010_0001, 7], &14_u32.to_le_bytes()].concat();
        Forgery::of([start, block(true, RAW, 14, TEXT)].concat(), TEXT).assert_refused("a dictionary");
    }

    #[test]
    fn a_frame_that_looks_back_too_far_is_refused() {
        let magic = 0xfd2f_b528_u32.to_le_bytes();
        // Windows of 8 MiB, a little more, a gigabyte, and the largest possible; see RFC 8878,
        // 3.1.1.1.2.
        for (window, may) in [(13 << 3, true), (13 << 3 | 1, false), (20 << 3, false), (u8::MAX, false)] {
            let start = [&magic[..], &[0b1000_0000, window], &14_u32.to_le_bytes()].concat();
            let forgery = Forgery::of([start, block(true, RAW, 14, TEXT)].concat(), TEXT);
            match may {
                true => assert_eq!(forgery.read().unwrap(), TEXT),
                false => forgery.assert_refused("too much memory"),
            }
        }
        // A frame in one piece looks back over its whole length.
        let length = (8 << 20) + 1;
        let zeros = vec![0; 8 << 20 | 1];
        let blocks = [block(false, RUN, 1 << 17, b"\0").repeat(64), block(true, RUN, 1, b"\0")].concat();
        Forgery::of([frame_of(length), blocks].concat(), &zeros).assert_refused("too much memory");
    }

    #[test]
    fn the_unpacked_bytes_must_have_the_checksum_of_the_zip_entry() {
        let forgery = Forgery { crc32: 7, ..Forgery::of(frame_of_text(), TEXT) };
        forgery.assert_refused("the checksum of its unpacked bytes does not match");
    }

    #[test]
    fn damage_is_found_before_anything_is_unpacked() {
        let forgery = Forgery::of(frame_of_text(), TEXT);
        let whole = forgery.file();
        let place = whole.windows(TEXT.len()).position(|window| window == TEXT).unwrap();
        let mut file = whole.clone();
        file[place] ^= 1;
        let refusal = Container::open(Box::new(Memory(file)), &[]).unwrap().state().unwrap_err();
        let Refusal::Damaged { why, .. } = &refusal else { panic!("{refusal:?}") };
        assert!(why.contains("the checksum of bytes 0 to"), "{why}");
        // Each other byte of the file has a check of its own too.
        for place in 0..whole.len() {
            let mut file = whole.clone();
            file[place] ^= 1;
            assert!(
                Container::open(Box::new(Memory(file)), &[]).and_then(|file| file.state()).is_err(),
                "{place}"
            );
        }
    }
}
