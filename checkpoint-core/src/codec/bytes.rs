//! Takes lengths, flags, characters and text from the front of encoded bytes.
//!
//! The codec, the reading by names and the inspection all use these functions, so that they refuse
//! the same bytes. The bytes are not trusted. After an error the rest has no meaning.

use super::{Failure, OUT_OF_BAND, Result, leaves};
use crate::arrays::Reference;

/// The elements of a sequence.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Count {
    /// This number of elements follows.
    Here(u64),
    /// The elements are in an array that is kept elsewhere.
    Apart(Reference),
}

/// The value that a flag precedes, for messages.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Flag {
    Bool,
    Option,
}

#[cold]
pub(crate) fn ends() -> Failure {
    Failure::new("the data ends before the value is complete")
}

/// Takes this number of bytes.
#[inline]
pub(crate) fn slice<'a>(bytes: &mut &'a [u8], length: u64) -> Result<&'a [u8]> {
    let length = usize::try_from(length).map_err(|_| ends())?;
    let (taken, rest) = bytes.split_at_checked(length).ok_or_else(ends)?;
    *bytes = rest;
    Ok(taken)
}

/// Takes the bytes of a number.
#[inline]
pub(crate) fn array<const N: usize>(bytes: &mut &[u8]) -> Result<[u8; N]> {
    let (taken, rest) = bytes.split_first_chunk().ok_or_else(ends)?;
    *bytes = rest;
    Ok(*taken)
}

/// Takes a number of bytes, entries or elements.
#[inline]
pub(crate) fn length(bytes: &mut &[u8]) -> Result<u64> {
    leaves::read(bytes)
}

/// Takes the number of elements of a sequence, or the reference to them.
#[inline]
pub(crate) fn count(bytes: &mut &[u8]) -> Result<Count> {
    match length(bytes)? {
        OUT_OF_BAND => Ok(Count::Apart(Reference { number: length(bytes)?, rows: length(bytes)? })),
        count => Ok(Count::Here(count)),
    }
}

/// Takes a bool, or the flag of an option.
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

/// Appends the reference to an array that is kept elsewhere.
#[cfg(feature = "group")]
pub(crate) fn put_reference(into: &mut Vec<u8>, Reference { number, rows }: Reference) {
    [OUT_OF_BAND, number, rows].iter().for_each(|number| into.extend_from_slice(&number.to_le_bytes()));
}

/// Takes the number of a variant, and returns that variant.
pub(crate) fn variant<'v, V>(bytes: &mut &[u8], variants: &'v [V]) -> Result<&'v V> {
    let number = u32::from_le_bytes(array(bytes)?);
    let found = usize::try_from(number).ok().and_then(|number| variants.get(number));
    found.ok_or_else(|| Failure::new(format!("there is no variant {number}")))
}
