//! The values handed out to a type that is traced, tried one after the other while the type refuses them.

/// 1 satisfies what 0 does not: `NonZero`, ranges that start after they end, divisors.
pub(super) const INTEGERS: [u8; 4] = [0, 1, 2, 64];

pub(super) const FLOATS: [f32; 3] = [0.0, 1.0, 0.5];

pub(super) const BOOLS: [bool; 2] = [false, true];

pub(super) const CHARS: [char; 3] = ['a', '0', 'A'];

/// Texts that the usual validated types parse: numbers, addresses, dates, times, identifiers, places.
pub(super) const STRINGS: [&str; 23] = [
    "",
    "0",
    "a",
    "1",
    "127.0.0.1",
    "::1",
    "127.0.0.1:80",
    "[::1]:80",
    "1970-01-01T00:00:00Z",
    "1970-01-01T00:00:00",
    "1970-01-01",
    "00:00:00",
    "00000000-0000-0000-0000-000000000000",
    "https://example.org/",
    "user@example.org",
    "1.0.0",
    "/",
    "{}",
    "AAAA",
    "en-US",
    "UTC",
    "1s",
    "0000000000000000000000000000000000000000000000000000000000000000",
];

/// Lengths of strings of zero bytes: identifiers, hashes, keys, addresses.
pub(super) const BYTE_LENGTHS: [usize; 12] = [0, 4, 16, 1, 2, 6, 8, 12, 20, 24, 32, 64];

pub(super) static ZEROS: [u8; 64] = [0; 64];

/// What answers a type that asks for anything at all.
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
