//! Every limit of depth, length and steps of the layers below the container, in one table with
//! their relations.
//!
//! A depth counts values, or types, inside each other. Recursion takes some of the stack at every
//! level. So a depth is small where the recursive code is a user's or a library's. It is larger
//! where the codec looks at the stack, or where a list replaces the recursion.
//!
//! | what goes through values | depth |
//! |---|---|
//! | inspection without recursion | [`VALUE_DEPTH_WALKED`] |
//! | the codec, which gets more stack where little is left | [`VALUE_DEPTH`] |
//! | import, which reads JSON too | [`VALUE_DEPTH_IMPORTED`] |
//! | reading by name, the self-describing form, export as JSON | [`VALUE_DEPTH_BY_NAME`] and two equal ones |
//! | `serde_json` | [`VALUE_DEPTH_IN_JSON`] |
//! | the comparison of two states | [`VALUE_DEPTH_COMPARED`] |
//! | observation of a form that the schema does not describe | [`OBSERVED_DEPTH`] |
//!
//! | what goes through types | depth |
//! |---|---|
//! | comparison of schemas, and newtypes around each other | [`TYPE_DEPTH`], [`TYPE_WRAPPERS`] |
//! | tracing | [`TRACED_DEPTH`], and in full [`TRACED_DEPTH_IN_FULL`] |

/// The size of a buffer, and of a write.
pub(crate) const BUFFER: usize = 2 << 20;

/// The size of a block of a file: a save that writes over a file leaves out the blocks that it has.
pub(crate) const BLOCK: usize = 64 << 10;

// The codec.

/// Values inside each other, both when they are written and when they are read by position: a state
/// that is too deep to be read must not be saved.
pub(crate) const VALUE_DEPTH: u32 = 2048;

/// Levels of small values between two looks at the stack and at the depth.
pub(crate) const LEVELS_BETWEEN_LOOKS: u32 = 8;

/// Elements that sequences may announce beyond one for each byte.
pub(crate) const ELEMENTS_WITHOUT_BYTES: u64 = 1 << 20;

/// Forms that are observed in one state: a recursive type has as many as its values are deep.
pub(crate) const OBSERVED_FORMS: usize = 4096;
/// Forms inside each other that are observed.
pub(crate) const OBSERVED_DEPTH: u32 = 24;
/// A variant with a higher number is taken for no variant.
pub(crate) const OBSERVED_VARIANTS: u32 = 1024;

/// Forms of values in fields that describe their values, of all states of one type: sets of keys or
/// fields, and as many others. As many again in parts of unknown form.
pub(crate) const NOVEL_FORMS: usize = 4096;
/// Places of the members of tuples inside each other. Most likely more are an array.
pub(crate) const NOVEL_MEMBERS: u32 = 64;
/// Elements of a list, or bytes, whose number is a form. The tuples and fixed arrays of serde have
/// no more members, nor have most digests and identifiers.
pub(crate) const NOVEL_LENGTH: usize = 32;
/// Keys of one map that are names. Most likely more are data.
pub(crate) const NOVEL_KEYS: usize = 64;

// The schema.

/// Letters of a type in words.
pub(crate) const TYPE_IN_WORDS: usize = 1000;

/// Bytes of the name of an array, without `.npy`, that a writer makes. A longer name helps no
/// reader.
pub(crate) const ARRAY_NAME_WRITTEN: usize = 1000;
/// Bytes of the name of an array that a reader accepts: a later writer may make longer names.
pub(crate) const ARRAY_NAME_READ: usize = 2048;
/// Bytes of one step of that name. A folder or a file has a name of at most 255 bytes; `.npy`, and
/// the suffix that keeps equal names apart, need some of them.
pub(crate) const ARRAY_NAME_STEP: usize = 200;

// Encryption.

/// Bytes of a header of age. To parse one takes the square of its length.
#[cfg(feature = "encryption")]
pub(crate) const AGE_HEADER: usize = 256 << 10;
/// Recipients in a header that is read.
#[cfg(feature = "encryption")]
pub(crate) const AGE_RECIPIENTS: usize = 2048;
/// Recipients in a header that is written. Each takes 98 bytes.
#[cfg(feature = "encryption")]
pub(crate) const AGE_RECIPIENTS_WRITTEN: usize = 500;

// Tracing.

/// Steps of one tracing before the rest is left unknown: one for each value read, more for structs
/// and enums, and one for each place looked at between passes. All of them take a fraction of a
/// second, or a few seconds in a debug build.
pub(crate) const TRACE_STEPS: u64 = 8_000_000;
/// From here on options are empty, sequences too, and variants the shortest.
pub(crate) const TRACED_DEPTH_IN_FULL: usize = 96;
/// From here on nothing is read at all. A value of a real type never gets here.
pub(crate) const TRACED_DEPTH: usize = 160;
/// Times that a type may be within itself before its sequences are empty, even if it accepts other
/// lengths.
pub(crate) const TRACED_RECURSION: usize = 2;
/// Members of a tuple that are traced one by one. A longer tuple is most likely an array.
pub(crate) const TRACED_MEMBERS_APART: usize = 64;
/// Combinations of choices that are tried before a type is taken to refuse all.
pub(crate) const TRACED_COMBINATIONS: u32 = 400;
/// The last values read, which are tried in all combinations.
pub(crate) const TRACED_VALUES_COMBINED: usize = 3;
/// Steps that all probes together may take.
pub(crate) const PROBE_STEPS: u64 = 1_000_000;
/// Probes that give every slot any of its values …
pub(crate) const PROBES_AT_RANDOM: u32 = 32;
/// … and as many again for each variant.
pub(crate) const PROBES_PER_VARIANT: u32 = 2;

// The comparison of schemas, and reading by name.

/// Types inside each other, unless a schema is forged.
pub(crate) const TYPE_DEPTH: usize = 200;
/// Newtypes around each other that a reading by name looks through.
pub(crate) const TYPE_WRAPPERS: usize = 200;
/// Pairs of types that are compared. A real schema has some hundred types.
pub(crate) const TYPES_COMPARED: usize = 1_000_000;
/// Differences that are listed. Programs with more have little in common.
pub(crate) const DIFFERENCES: usize = 100;
/// Values inside each other that are read by name. A forged schema goes as deep as it may.
pub(crate) const VALUE_DEPTH_BY_NAME: u32 = 256;

// The state.

/// The longest fixed array that serde knows. Its form is kept, and a small array in each of a
/// million structs stays where it is.
pub(crate) const FIXED_ARRAY_OF_SERDE: u64 = 32;
/// Values inside each other, in all fields of the self-describing form that are inside each other.
pub(crate) const VALUE_DEPTH_SELF_DESCRIBING: u32 = 256;
/// Lists and objects inside each other that `serde_json` reads.
pub(crate) const VALUE_DEPTH_IN_JSON: u32 = 127;
/// Options inside each other in JSON, which has no text for them.
pub(crate) const OPTION_DEPTH_IN_JSON: u32 = 2 * VALUE_DEPTH_IN_JSON;
/// Texts of JSON inside each other. Each is written twice, and doubles the marks in those inside.
pub(crate) const JSON_IN_JSON: u32 = 12;

// Inspection.

/// Values inside each other that are skipped without recursion: as many as the codec allows, and
/// wrappers around them.
pub(crate) const VALUE_DEPTH_WALKED: usize = 1 << 14;
/// Values for each byte of a state. Most values take bytes; a schema can promise any number of
/// those that take none.
pub(crate) const WALK_STEPS_PER_BYTE: u64 = 64;
/// Values inside each other that are imported: all of a JSON file.
pub(crate) const VALUE_DEPTH_IMPORTED: usize = 128;
/// Values inside each other that are exported as JSON.
pub(crate) const VALUE_DEPTH_EXPORTED: u32 = 256;
/// Values inside each other that are compared with those of another state.
pub(crate) const VALUE_DEPTH_COMPARED: u32 = 96;
/// Values inside each other that a difference shows: it is a line, not a tree.
pub(crate) const VALUE_DEPTH_OF_A_DIFFERENCE: usize = 4;
/// Values inside each other that a key shows.
pub(crate) const KEY_DEPTH: u32 = 16;
/// Bytes of a key that are shown.
pub(crate) const KEY_LENGTH: usize = 200;
/// Values of an outline that count for statistics.
pub(crate) const OUTLINE_VALUES: usize = 100_000;

/// The relations between the limits. The program does not compile where one of them fails.
const _: () = {
    // The depth is only looked at together with the stack: one look must come exactly at the limit.
    assert!(LEVELS_BETWEEN_LOOKS.is_power_of_two() && VALUE_DEPTH.is_multiple_of(LEVELS_BETWEEN_LOOKS));
    // A saved state can be inspected, with seven wrappers around every value.
    assert!(VALUE_DEPTH_WALKED >= 8 * VALUE_DEPTH as usize);
    // The codec writes every value that is read by name, or in a form of its own.
    assert!(VALUE_DEPTH_BY_NAME <= VALUE_DEPTH && VALUE_DEPTH_SELF_DESCRIBING <= VALUE_DEPTH);
    assert!(VALUE_DEPTH_IN_JSON < VALUE_DEPTH_SELF_DESCRIBING && VALUE_DEPTH_EXPORTED <= VALUE_DEPTH);
    // Every schema from tracing or observation can be compared.
    assert!(TRACED_DEPTH_IN_FULL < TRACED_DEPTH && TRACED_DEPTH < TYPE_DEPTH);
    assert!((OBSERVED_DEPTH as usize) + TRACED_DEPTH < TYPE_DEPTH);
    assert!((OBSERVED_VARIANTS as usize) < OBSERVED_FORMS);
    // Types that compare as the same through newtypes are read through them.
    assert!(TYPE_DEPTH <= TYPE_WRAPPERS);
    // Probes are a part of a tracing.
    assert!(PROBE_STEPS < TRACE_STEPS);
    // Every name that is written is read, and its steps are names of files, with `~`, eight digits
    // and `.npy`.
    assert!(ARRAY_NAME_WRITTEN + ".npy".len() <= ARRAY_NAME_READ && ARRAY_NAME_STEP < ARRAY_NAME_WRITTEN);
    assert!(ARRAY_NAME_STEP + "~00000000.npy".len() <= 255);
    // Every header that is written is read.
    #[cfg(feature = "encryption")]
    assert!(AGE_RECIPIENTS_WRITTEN < AGE_RECIPIENTS && AGE_RECIPIENTS_WRITTEN * 98 + 8192 < AGE_HEADER);
    // All that is imported can be read by name, with a wrapper around every value.
    assert!(VALUE_DEPTH_IMPORTED > VALUE_DEPTH_IN_JSON as usize);
    assert!(2 * VALUE_DEPTH_IMPORTED <= VALUE_DEPTH_BY_NAME as usize);
    // A key is less deep than the text that shows it.
    assert!(KEY_DEPTH < VALUE_DEPTH_COMPARED && VALUE_DEPTH_COMPARED <= VALUE_DEPTH_EXPORTED);
};
