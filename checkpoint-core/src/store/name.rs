//! The names in a checkpoint directory: written and parsed strictly, so that no other file is
//! touched.

use std::ffi::OsStr;

/// The lock file. It stays when the program ends.
pub(crate) const LOCK: &str = ".lock";

/// The history. Every checkpoint directory that a program has opened has one, and no pipeline.
pub(crate) const HISTORY: &str = "history.jsonl";

/// The part of the history before the present file.
pub(crate) const FORMER_HISTORY: &str = "history.1.jsonl";

/// The file by which a user asks a program to save and stop.
pub(crate) const HALT: &str = "halt";

/// The file by which a user asks a program to save and be started again.
pub(crate) const REQUEUE: &str = "requeue";

/// In the directory of a pipeline: a checkpoint directory for the outputs of each step.
pub(crate) const STEPS: &str = "steps";

/// In the directory of a pipeline: a checkpoint directory for each step that is not done.
pub(crate) const PROGRESS: &str = "progress";

/// In the directory of a pipeline: the hashes of its input files, as a checkpoint directory.
pub(crate) const FILES: &str = "files";

/// In the directory of a pipeline: a folder for each step, with the copies of files that it
/// produced.
pub(crate) const PRODUCED: &str = "produced";

/// In the directory of a pipeline: a lock that all processes have that run it at the same time.
pub(crate) const USERS: &str = "users";

/// In the directory of a pipeline: a file for each step that a user wants to run again.
pub(crate) const REDO: &str = "redo";

/// In the directory of a group: a checkpoint directory for each rank.
pub const RANKS: &str = "ranks";

/// In the directory of a rank: an empty file, there if the group has accepted one of the parts.
pub const ACCEPTED: &str = "accepted";

/// The number of digits of a rank.
const RANK_DIGITS: usize = 6;

/// The name of the directory of a rank.
#[must_use]
pub fn of_rank(rank: usize) -> String {
    format!("{rank:0RANK_DIGITS$}")
}

/// The rank whose directory has this name, if [`of_rank`] makes that name.
#[must_use]
pub fn rank(name: &OsStr) -> Option<usize> {
    let digits = name.to_str()?;
    let rank = digits.parse().ok()?;
    (digits == of_rank(rank)).then_some(rank)
}

/// Temporary files are `.checkpoint-`, sixteen letters or digits, `.tmp`.
const TEMPORARY_PREFIX: &str = ".checkpoint-";
const TEMPORARY_SUFFIX: &str = ".tmp";
const TEMPORARY_RANDOM: usize = 16;

/// The bytes of the longest name that the library gives to a file of a checkpoint directory: that
/// of the record of a mirror. Some file systems take none of more than 143, as eCryptfs.
pub(super) const LONGEST: usize = 132;

/// The number of digits of the greatest generation, so that names also sort by number.
const DIGITS: usize = 20;
const SUFFIX: &str = ".ckpt";
const ASIDE: &str = ".damaged";
const PIN_SUFFIX: &str = ".pin";
const REWIND_SUFFIX: &str = ".rewind";
const BRANCH_SUFFIX: &str = ".branch";

const SENT: &str = ".sent-";
const MIRRORED: &str = ".mirrored-";

/// A hash of the path of a mirror, as it is part of names.
pub(crate) fn mirror_key(mirror: &std::path::Path) -> String {
    let hash = blake3::hash(mirror.as_os_str().as_encoded_bytes()).to_hex();
    hash.as_str().chars().take(16).collect()
}

/// The name of the record of a generation that a mirror has, or that is on its way there. `file`
/// tells it from another one of the same number.
pub(super) fn of_mirrored(generation: u64, mirror_key: &str, has_arrived: bool, file: &str) -> String {
    let kind = if has_arrived { MIRRORED } else { SENT };
    format!("{generation:0DIGITS$}{kind}{mirror_key}-{file}")
}

/// The generation of such a record, of any mirror.
pub(crate) fn of_mirror(name: &OsStr) -> Option<u64> {
    let (number, rest) = name.to_str()?.split_at_checked(DIGITS)?;
    let is_number = number.bytes().all(|byte| byte.is_ascii_digit());
    let is_record = is_number && (rest.starts_with(SENT) || rest.starts_with(MIRRORED));
    is_record.then(|| number.parse().ok()).flatten()
}

/// True if the name is that of such a record, of any mirror.
pub(crate) fn is_of_mirror(name: &OsStr) -> bool {
    of_mirror(name).is_some()
}

/// The generation of such a record, true if it has arrived, and the file, if [`of_mirrored`] makes
/// that name.
pub(crate) fn mirrored<'n>(name: &'n OsStr, mirror_key: &str) -> Option<(u64, bool, &'n str)> {
    let text = name.to_str()?;
    let (digits, rest) = text.split_at_checked(DIGITS)?;
    let (has_arrived, rest) = match rest.strip_prefix(MIRRORED) {
        Some(rest) => (true, rest),
        None => (false, rest.strip_prefix(SENT)?),
    };
    let file = rest.strip_prefix(mirror_key)?.strip_prefix('-')?;
    Some((number(OsStr::new(digits), "")?, has_arrived, file))
}

/// True for the name of a record about any mirror.
pub(crate) fn is_mirrored(name: &OsStr) -> bool {
    let behind = name.to_str().and_then(|text| text.split_at_checked(DIGITS));
    behind.is_some_and(|(digits, rest)| {
        number(OsStr::new(digits), "").is_some() && (rest.starts_with(MIRRORED) || rest.starts_with(SENT))
    })
}

/// The file name of a damaged generation that was moved out of the way. It is no generation any
/// more.
pub(super) fn set_aside(generation: u64, number: u64) -> String {
    let name = of_generation(generation);
    if number == 1 { format!("{name}{ASIDE}") } else { format!("{name}{ASIDE}-{number}") }
}

/// The generation that was moved to a file of this name, if [`set_aside`] makes that name.
pub(crate) fn aside(name: &OsStr) -> Option<u64> {
    let (of_generation, number) = name.to_str()?.split_once(ASIDE)?;
    let generation = generation(OsStr::new(of_generation))?;
    let number = match number {
        "" => 1,
        number => number.strip_prefix('-')?.parse().ok()?,
    };
    (name == OsStr::new(&set_aside(generation, number))).then_some(generation)
}

/// Between the name of a generation that a rewind set aside and the number of the one before it.
const REWOUND: &str = ".rewound-";

/// The file name of a generation that a rewind set aside. It is no generation until it is brought
/// back. `parent` is the generation before it; 0 where there was none.
pub(super) fn of_rewound(name: &str, parent: u64) -> String {
    format!("{name}{REWOUND}{parent}")
}

/// A file that a rewind set aside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RewoundName {
    /// Its name as a generation.
    pub(crate) name: String,
    pub(crate) generation: u64,
    /// The generation before it, from which its run had gone on; 0 where there was none.
    pub(crate) parent: u64,
}

/// Reads a name that [`of_rewound`] makes.
pub(crate) fn rewound(name: &OsStr) -> Option<RewoundName> {
    let (of_generation, parent) = name.to_str()?.split_once(REWOUND)?;
    let generation = generation(OsStr::new(of_generation))?;
    let parent: u64 = parent.parse().ok()?;
    let is_ours = name == OsStr::new(&of_rewound(of_generation, parent)) && parent < generation;
    is_ours.then(|| RewoundName { name: of_generation.to_owned(), generation, parent })
}

/// The name of the file that notes a rewind of the program to a generation.
pub(super) fn of_rewind(generation: u64) -> String {
    format!("{generation:0DIGITS$}{REWIND_SUFFIX}")
}

/// The generation with such a note, if [`of_rewind`] makes that name.
pub(crate) fn rewind(name: &OsStr) -> Option<u64> {
    number(name, REWIND_SUFFIX)
}

/// The name of the file that notes that a directory was made of a generation of another one.
pub(crate) fn of_branch(generation: u64) -> String {
    format!("{generation:0DIGITS$}{BRANCH_SUFFIX}")
}

/// The generation with such a note, if [`of_branch`] makes that name.
pub(crate) fn branch(name: &OsStr) -> Option<u64> {
    number(name, BRANCH_SUFFIX)
}

/// Between the number of a generation that is there and that of its parent.
const PARENT: &str = ".parent-";

/// The name of the file that notes the parent of a generation, where the generations that are there
/// tell another one.
pub(super) fn of_parent(generation: u64, parent: u64) -> String {
    format!("{generation:0DIGITS$}{PARENT}{parent}")
}

/// The generation of such a note, and its parent, if [`of_parent`] makes that name.
pub(super) fn parent(name: &OsStr) -> Option<(u64, u64)> {
    let (digits, parent) = name.to_str()?.split_once(PARENT)?;
    let (generation, parent) = (number(OsStr::new(digits), "")?, parent.parse().ok()?);
    let is_ours = name == OsStr::new(&of_parent(generation, parent)) && parent < generation;
    is_ours.then_some((generation, parent))
}

/// The least number of digits of an epoch.
const EPOCH_DIGITS: usize = 6;

/// The name of a generation that the run of this epoch saved in an object store; in a directory,
/// the epoch is 0 and not written.
#[must_use]
pub fn of_generation_in(generation: u64, epoch: u64) -> String {
    match epoch {
        0 => of_generation(generation),
        epoch => format!("{generation:0DIGITS$}-{epoch:0EPOCH_DIGITS$}{SUFFIX}"),
    }
}

/// The generation and the epoch with this name, if [`of_generation_in`] makes that name.
#[must_use]
pub fn generation_and_epoch(name: &OsStr) -> Option<(u64, u64)> {
    if let Some(generation) = number(name, SUFFIX) {
        return Some((generation, 0));
    }
    let (digits, epoch) = name.to_str()?.strip_suffix(SUFFIX)?.split_once('-')?;
    let (generation, epoch) =
        (number(OsStr::new(digits), "")?, epoch.parse().ok().filter(|epoch| *epoch > 0)?);
    (name == OsStr::new(&of_generation_in(generation, epoch))).then_some((generation, epoch))
}

/// The file name of a generation.
pub(super) fn of_generation(generation: u64) -> String {
    format!("{generation:0DIGITS$}{SUFFIX}")
}

/// The name of the file that pins a generation.
#[must_use]
pub fn of_pin(generation: u64) -> String {
    format!("{generation:0DIGITS$}{PIN_SUFFIX}")
}

/// The generation with this file name, of any epoch.
pub(crate) fn generation(name: &OsStr) -> Option<u64> {
    generation_and_epoch(name).map(|(generation, _)| generation)
}

/// The generation that a file of this name pins, if [`of_pin`] makes that name.
#[must_use]
pub fn pinned(name: &OsStr) -> Option<u64> {
    number(name, PIN_SUFFIX)
}

fn number(name: &OsStr, suffix: &str) -> Option<u64> {
    let digits = name.to_str()?.strip_suffix(suffix)?;
    if digits.len() != DIGITS || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    digits.parse().ok()
}

/// Makes names of temporary files: unpredictable and free.
pub(crate) fn temporary() -> tempfile::Builder<'static, 'static> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(TEMPORARY_PREFIX).suffix(TEMPORARY_SUFFIX).rand_bytes(TEMPORARY_RANDOM);
    builder
}

/// True for the name of a temporary file of ours.
pub(crate) fn is_temporary(name: &OsStr) -> bool {
    let random = name
        .to_str()
        .and_then(|name| name.strip_prefix(TEMPORARY_PREFIX))
        .and_then(|name| name.strip_suffix(TEMPORARY_SUFFIX));
    random.is_some_and(|random| {
        random.len() == TEMPORARY_RANDOM && random.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_generation_is_read_back_from_its_name() {
        for number in [0, 1, 42, u64::MAX] {
            assert_eq!(generation(OsStr::new(&of_generation(number))), Some(number));
        }
        assert_eq!(of_generation(42), "00000000000000000042.ckpt");
        assert_eq!(pinned(OsStr::new(&of_pin(42))), Some(42));
        assert_eq!(generation(OsStr::new(&of_pin(42))), None);
    }

    #[test]
    fn an_epoch_is_part_of_the_name_of_a_generation() {
        assert_eq!(of_generation_in(42, 7), "00000000000000000042-000007.ckpt");
        for (number, epoch) in [(0, 0), (42, 0), (42, 1), (1, 999_999), (1, 1_000_000), (u64::MAX, u64::MAX)]
        {
            let name = of_generation_in(number, epoch);
            assert_eq!(generation_and_epoch(OsStr::new(&name)), Some((number, epoch)), "{name}");
            assert_eq!(generation(OsStr::new(&name)), Some(number));
            assert_eq!(aside(OsStr::new(&format!("{name}.damaged"))), Some(number).filter(|_| epoch == 0));
        }
        for end in
            ["-", "-0", "-000000", "-7", "-0000007", "-+00007", "-00000x", "-000007-000008", "--000007"]
        {
            let name = format!("{:020}{end}.ckpt", 42);
            assert_eq!(generation(OsStr::new(&name)), None, "{name}");
        }
    }

    #[test]
    fn names_that_only_resemble_a_generation_are_not_one() {
        for name in [
            "42.ckpt",
            "99999999999999999999.ckpt",
            "0000000000000000042.ckpt",
            "000000000000000000042.ckpt",
            "+0000000000000000042.ckpt",
            "-0000000000000000042.ckpt",
            "0000000000000000004２.ckpt",
            "00000000000000000042.CKPT",
            "00000000000000000042.ckpt~",
            &set_aside(42, 1),
            &set_aside(42, 2),
            "00000000000000000042",
            ".ckpt",
            "",
        ] {
            assert_eq!(generation(OsStr::new(name)), None, "{name}");
        }
    }

    #[test]
    fn a_generation_set_aside_is_read_back_from_its_name() {
        for (generation, number) in [(0, 1), (42, 2), (u64::MAX, u64::MAX)] {
            assert_eq!(aside(OsStr::new(&set_aside(generation, number))), Some(generation));
        }
        for end in ["", ".damaged-", ".damaged-1", ".damaged-02", ".damaged-+2", ".damaged.old", "damaged"] {
            let name = format!("{}{end}", of_generation(42));
            assert_eq!(aside(OsStr::new(&name)), None, "{name}");
        }
    }

    #[test]
    fn a_rewound_generation_is_read_back_from_its_name() {
        for (generation, epoch, parent) in [(1, 0, 0), (43, 7, 42), (u64::MAX, 0, 1)] {
            let name = of_generation_in(generation, epoch);
            let aside = of_rewound(&name, parent);
            assert_eq!(super::generation(OsStr::new(&aside)), None);
            assert_eq!(rewound(OsStr::new(&aside)), Some(RewoundName { name, generation, parent }));
        }
        for end in ["", "-", "-042", "-+1", "-43", "-44", "-x", "-42.old", "-42 "] {
            let name = format!("{}.rewound{end}", of_generation(43));
            assert_eq!(rewound(OsStr::new(&name)), None, "{name}");
        }
        assert_eq!(rewind(OsStr::new(&of_rewind(42))), Some(42));
        assert_eq!(rewind(OsStr::new("42.rewind")), None);
        assert_eq!([&*of_branch(42), "42.branch"].map(|name| branch(OsStr::new(name))), [Some(42), None]);
        assert_eq!(parent(OsStr::new(&of_parent(43, 42))), Some((43, 42)));
        for name in ["43.parent-42".to_owned(), of_parent(42, 42), of_parent(43, 42) + "x"] {
            assert_eq!(parent(OsStr::new(&name)), None, "{name}");
        }
    }

    #[test]
    fn every_rank_is_read_back_from_its_name() {
        for number in [0, 1, 999_999, 1_000_000] {
            assert_eq!(rank(OsStr::new(&of_rank(number))), Some(number));
        }
        assert_eq!(of_rank(3), "000003");
        for name in ["3", "00003", "0000003", "+00003", "00000x", "", "000003.ckpt"] {
            assert_eq!(rank(OsStr::new(name)), None, "{name}");
        }
    }

    #[test]
    fn the_longest_name_is_that_of_a_record_and_fits_anywhere() {
        let file = format!("{}-{}", u64::MAX, blake3::hash(b"").to_hex());
        let key = mirror_key("/far".as_ref());
        let names = [
            of_mirrored(u64::MAX, &key, true, &file),
            of_mirrored(u64::MAX, &key, false, &file),
            set_aside(u64::MAX, u64::MAX),
            of_rewound(&of_generation_in(u64::MAX, u64::MAX), u64::MAX - 1),
            of_parent(u64::MAX, u64::MAX - 1),
            of_pin(u64::MAX),
            of_rewind(u64::MAX),
            of_branch(u64::MAX),
            format!("{TEMPORARY_PREFIX}{}{TEMPORARY_SUFFIX}", "0".repeat(TEMPORARY_RANDOM)),
            FORMER_HISTORY.to_owned(),
        ];
        let longest = names.iter().map(String::len).max().unwrap_or(0);
        assert_eq!(longest, LONGEST, "{names:?}");
        // eCryptfs takes no longer ones.
        assert!(longest <= 143, "{longest}");
    }

    #[test]
    fn every_record_of_a_mirror_is_read_back_from_its_name() {
        let (here, there) = (mirror_key("/far/run.ckpt".as_ref()), mirror_key("s3://bucket/run".as_ref()));
        for (generation, has_arrived) in [(0, true), (42, false), (u64::MAX, true)] {
            let name = of_mirrored(generation, &here, has_arrived, "9-ab");
            assert_eq!(mirrored(OsStr::new(&name), &here), Some((generation, has_arrived, "9-ab")));
            assert_eq!(mirrored(OsStr::new(&name), &there), None);
            assert_eq!(of_mirror(OsStr::new(&name)), Some(generation));
            assert_eq!(super::generation(OsStr::new(&name)), None);
        }
        for name in [
            format!("42.sent-{here}-9-ab"),
            format!("{:020}.sent{here}-9-ab", 42),
            format!("{:020}-{here}-9-ab", 42),
            format!("{:020}.sent-{here}", 42),
        ] {
            assert_eq!(mirrored(OsStr::new(&name), &here), None, "{name}");
        }
    }

    #[test]
    fn only_our_own_temporaries_are_taken_for_such() {
        assert!(is_temporary(OsStr::new(".checkpoint-0123456789abcDEF.tmp")));
        for name in [
            ".checkpoint-.tmp",
            ".checkpoint-0123456789abcDE-.tmp",
            "checkpoint-0123456789abcDEF.tmp",
            ".tmp",
            "",
        ] {
            assert!(!is_temporary(OsStr::new(name)), "{name}");
        }
    }
}
