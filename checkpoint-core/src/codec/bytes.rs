//! Lengths, flags, characters and text, taken from the front of encoded bytes: for the codec, for a reading by name, and for
//! inspection alike, so that all of them refuse the same. Nothing is believed. After an error the rest means nothing.

use super::{Failure, OUT_OF_BAND, Result, leaves};
use crate::arrays::Reference;

/// The elements of a sequence.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    /// So many follow.
    Here(u64),
    /// They are in an array that is kept elsewhere.
    Apart(Reference),
}

/// What a flag stands before, for a message.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flag {
    Bool,
    Option,
}

#[cold]
pub(crate) fn ends() -> Failure {
    Failure::new("the data ends before the value is complete")
}

/// So many bytes.
#[inline]
pub(crate) fn slice<'a>(bytes: &mut &'a [u8], length: u64) -> Result<&'a [u8]> {
    let length = usize::try_from(length).map_err(|_| ends())?;
    let (taken, rest) = bytes.split_at_checked(length).ok_or_else(ends)?;
    *bytes = rest;
    Ok(taken)
}

/// The bytes of a number.
#[inline]
pub(crate) fn array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk().ok_or_else(ends)?;
    *bytes = rest;
    Ok(*taken)
}

/// How many bytes, entries or elements follow.
#[inline]
pub(crate) fn length(bytes: &mut &[u8]) -> Result<u64> {
    leaves::read(bytes)
}

/// How many elements a sequence has, or where they are.
#[inline]
pub(crate) fn count(bytes: &mut &[u8]) -> Result<Count> {
    match length(bytes)? {
        OUT_OF_BAND => Ok(Count::Apart(Reference { number: length(bytes)?, rows: length(bytes)? })),
        count => Ok(Count::Here(count)),
    }
}

/// A bool, or whether an option has a value.
#[inline]
pub(crate) fn flag(bytes: &mut &[u8], what: Flag) -> Result<bool> {
    match array(bytes)? {
        [0] => Ok(false),
        [1] => Ok(true),
        [byte] => Err(no_flag(what, byte)),
    }
}

#[cold]
fn no_flag(what: Flag, byte: u8) -> Failure {
    match what {
        Flag::Bool => Failure::new(format!("a bool is 0 or 1, not {byte}")),
        Flag::Option => Failure::new(format!("an option starts with 0 or 1, not {byte}")),
    }
}

pub(crate) fn character(bytes: &mut &[u8]) -> Result<char> {
    leaves::read(bytes)
}

#[inline]
pub(crate) fn text<'a>(bytes: &mut &'a [u8]) -> Result<&'a str> {
    leaves::read_text(bytes)
}

/// Appends numbers as a sequence of `u64`s.
#[cfg(feature = "group")]
pub(crate) fn put_list(into: &mut Vec<u8>, numbers: &[u64]) {
    let count = numbers.len() as u64;
    [count].iter().chain(numbers).for_each(|number| into.extend_from_slice(&number.to_le_bytes()));
}

/// Appends the number of elements that follow.
#[cfg(feature = "group")]
pub(crate) fn put_count(into: &mut Vec<u8>, count: u64) {
    into.extend_from_slice(&count.to_le_bytes());
}

/// Appends what stays of an array that is kept elsewhere.
#[cfg(feature = "group")]
pub(crate) fn put_reference(into: &mut Vec<u8>, Reference { number, rows }: Reference) {
    [OUT_OF_BAND, number, rows].iter().for_each(|number| into.extend_from_slice(&number.to_le_bytes()));
}

/// The variant that a value of an enum is.
pub(crate) fn variant<'v, V>(bytes: &mut &[u8], variants: &'v [V]) -> Result<&'v V> {
    let number = u32::from_le_bytes(array(bytes)?);
    let found = usize::try_from(number).ok().and_then(|number| variants.get(number));
    found.ok_or_else(|| Failure::new(format!("there is no variant {number}")))
}
