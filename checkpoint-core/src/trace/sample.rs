//! The values handed out to a type that is traced. They are tried one after the other while the
//! type refuses them.
//!
//! Ones come before zeros: a loop that adds a step of zero never ends, and a division by it panics.

/// Samples of integers. The powers are widths of words and of their bits; 0 satisfies a value that
/// has to be empty.
pub(super) const INTEGERS: [u8; 9] = [1, 0, 2, 64, 8, 32, 16, 3, 128];

pub(super) const FLOATS: [f32; 3] = [1.0, 0.0, 0.5];

pub(super) const BOOLS: [bool; 2] = [false, true];

pub(super) const CHARS: [char; 3] = ['a', '0', 'A'];

/// Texts that the usual validated types parse: numbers, addresses, dates, times, zones,
/// identifiers, places, JSON.
pub(super) const STRINGS: [&str; 52] = [
    "1",
    "0",
    "a",
    "",
    "127.0.0.1",
    "::1",
    "127.0.0.1:80",
    "[::1]:80",
    "127.0.0.0/8",
    "1970-01-01T00:00:00Z",
    "1970-01-01T00:00:00",
    "1970-01-01T00:00:00+00:00[UTC]",
    "1970-01-01 00:00:00 UTC",
    "1970-01-01 00:00:00",
    "1970-01-01 00:00:00.0 +00:00:00",
    "1970-01-01",
    "1970-01",
    "00:00:00",
    "00:00:00.0",
    "+00:00",
    "+00:00:00",
    "P1D",
    "PT1S",
    "1s",
    "Mon",
    "Monday",
    "January",
    "UTC",
    "Etc/UTC",
    "00000000-0000-0000-0000-000000000000",
    "67e55044-10b1-426f-9247-bb680e5fe0c8",
    "67e5504410b1426f9247bb680e5fe0c8",
    "urn:uuid:67e55044-10b1-426f-9247-bb680e5fe0c8",
    "{67e55044-10b1-426f-9247-bb680e5fe0c8}",
    "01ARZ3NDEKTSV4RRFFQ69G5FAV",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "00000000",
    "00:00:00:00:00:00",
    "#000000",
    "https://example.org/",
    "example.org",
    "user@example.org",
    "1.0.0",
    "/",
    "text/plain",
    "en-US",
    "EUR",
    "AAAA",
    "{}",
    "[]",
    "null",
    "\"a\"",
];

/// Names of types. Some types write such a name to tell how the rest is to be read.
pub(super) const TYPE_NAMES: [&str; 2] = ["bitvec::order::Lsb0", "bitvec::order::Msb0"];

/// The number of texts.
pub(super) const TEXTS: usize = STRINGS.len() + TYPE_NAMES.len();

pub(super) fn text(sample: usize) -> &'static str {
    let names = TYPE_NAMES.get(sample.saturating_sub(STRINGS.len()));
    STRINGS.get(sample).or(names).copied().unwrap_or_default()
}

/// Lengths of strings of bytes: identifiers, hashes, keys, addresses, and then all other short
/// ones.
const BYTE_LENGTHS: [usize; 27] =
    [0, 4, 16, 1, 2, 6, 8, 12, 20, 24, 32, 64, 3, 5, 7, 9, 10, 11, 13, 14, 15, 28, 33, 48, 65, 96, 128];

/// Headers of formats that are empty otherwise: a bitmap of `roaring`.
const HEADERS: [&[u8]; 1] = [&[0x3A, 0x30, 0, 0, 0, 0, 0, 0]];

static ZEROS: [u8; 128] = [0; 128];
static ONES: [u8; 128] = [1; 128];

/// The number of strings of bytes.
pub(super) const BYTES: usize = 2 * BYTE_LENGTHS.len() + HEADERS.len();

/// Zeros of all lengths, headers, ones of all lengths. Zeros come first: a type might take ones for
/// a length, and ask for more memory than there is.
pub(super) fn bytes(sample: usize) -> &'static [u8] {
    let lengths = BYTE_LENGTHS.len();
    match sample.checked_sub(lengths) {
        None => &ZEROS[..BYTE_LENGTHS[sample]],
        Some(after) => match HEADERS.get(after) {
            Some(header) => header,
            None => &ONES[..BYTE_LENGTHS[(after - HEADERS.len()).min(lengths - 1)]],
        },
    }
}

/// The number of lengths to choose from.
pub(super) const COUNTS: usize = 4;

/// The number of elements for a sequence, a map or an option in which nothing is unknown.
pub(super) fn count(sample: usize) -> usize {
    sample.min(COUNTS - 1)
}

/// The same if something in it is unknown. Two at first, because only the second element shows that
/// the elements are not all of one form.
pub(super) fn eager_count(sample: usize) -> usize {
    match sample {
        0 => 2,
        1 => 1,
        2 => 0,
        _ => 3,
    }
}

/// The answers to a type that asks for anything at all.
#[derive(Clone, Copy)]
pub(super) enum Anything {
    Unit,
    Number,
    Text,
    EmptyMap,
    EmptySequence,
    Float,
}

pub(super) const ANYTHING: [Anything; 6] = [
    Anything::Unit,
    Anything::Number,
    Anything::Text,
    Anything::EmptyMap,
    Anything::EmptySequence,
    Anything::Float,
];
