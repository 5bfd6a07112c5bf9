//! Exports the arrays of a checkpoint to other formats. They are copied in pieces, and verified on
//! the way.

use std::io::Write;
use std::path::Path;

use serde::Serialize;

use super::array::Array;
use super::file::File;
use crate::container::CopyFailure;
use crate::error::Error;
use crate::schema::Element;

/// Writes an array as a `.npy` file. `target` is for messages.
///
/// # Errors
/// An error if the array is damaged, or the output cannot be written.
pub fn write_npy(array: &Array<'_>, output: &mut dyn Write, target: &Path) -> Result<(), Error> {
    let file = array.file;
    file.container.copy(array.number(), output).map_err(|failure| told(file, target, failure))
}

/// Writes arrays of a checkpoint as a `.npz` file for `numpy.load`. `target` is for messages.
///
/// # Errors
/// [`Error::NotExportable`] if an array is of another checkpoint; another error if one is damaged,
/// or the output cannot be written.
pub fn write_npz(
    file: &File,
    arrays: &[Array<'_>],
    output: &mut dyn Write,
    target: &Path,
) -> Result<(), Error> {
    if arrays.iter().any(|array| !std::ptr::eq(array.file, file)) {
        let (path, why) = (file.path().to_owned(), "an array of another checkpoint is among them".to_owned());
        return Err(Error::NotExportable { path, form: "npz", why });
    }
    let numbers = arrays.iter().map(Array::number);
    file.container.copy_as_npz(numbers, output).map_err(|failure| told(file, target, failure))
}

/// Writes arrays as a safetensors file. `target` is for messages.
///
/// Source: <https://github.com/huggingface/safetensors>, "Format": the length of the header as 8
/// bytes, little-endian; the header, a JSON object, padded with spaces to a multiple of 8; the
/// data, without gaps.
///
/// # Errors
/// [`Error::NotExportable`] if the format lacks the type of an array; another error if an array is
/// damaged, or the output cannot be written.
pub fn write_safetensors(
    file: &File,
    arrays: &[Array<'_>],
    output: &mut dyn Write,
    target: &Path,
) -> Result<(), Error> {
    let refuse = |why: String| {
        let path = file.path().to_owned();
        Err(Error::NotExportable { path, form: "safetensors", why })
    };
    // Large elements come first, so that all of them are aligned, as in the format's own writer.
    let mut sorted: Vec<&Array<'_>> = arrays.iter().collect();
    sorted.sort_by_key(|array| std::cmp::Reverse(array.element().size()));
    let mut header = serde_json::Map::new();
    let mut begin = 0;
    for array in &sorted {
        let Some(dtype) = dtype(array.element()) else {
            return refuse(format!(
                "it has no type for {}, the elements of {}",
                array.element(),
                array.name()
            ));
        };
        let end = begin + array.bytes();
        let tensor = Tensor { dtype, shape: array.shape(), data_offsets: [begin, end] };
        match serde_json::to_value(tensor) {
            Ok(tensor) => header.insert(array.name().to_owned(), tensor),
            Err(error) => return refuse(error.to_string()),
        };
        begin = end;
    }
    let mut json = match serde_json::to_vec(&header) {
        Ok(json) => json,
        Err(error) => return refuse(error.to_string()),
    };
    json.resize(json.len().next_multiple_of(8), b' ');
    let failed = |error| Error::writing("write", target, error);
    output.write_all(&(json.len() as u64).to_le_bytes()).map_err(failed)?;
    output.write_all(&json).map_err(failed)?;
    sorted.iter().try_for_each(|array| array.read(|piece| output.write_all(piece).map_err(failed)))
}

#[derive(Serialize)]
struct Tensor<'a> {
    dtype: &'static str,
    shape: &'a [u64],
    data_offsets: [u64; 2],
}

fn dtype(element: Element) -> Option<&'static str> {
    Some(match element {
        Element::Bool => "BOOL",
        Element::U8 => "U8",
        Element::U16 => "U16",
        Element::U32 => "U32",
        Element::U64 => "U64",
        Element::I8 => "I8",
        Element::I16 => "I16",
        Element::I32 => "I32",
        Element::I64 => "I64",
        Element::F16 => "F16",
        Element::Bf16 => "BF16",
        Element::F32 => "F32",
        Element::F64 => "F64",
        Element::Complex32 => "C64",
        Element::U128 | Element::I128 | Element::Complex64 => return None,
    })
}

fn told(file: &File, target: &Path, failure: CopyFailure) -> Error {
    match failure {
        CopyFailure::Read(refusal) => file.refused(refusal),
        CopyFailure::Write(error) => Error::writing("write", target, error),
    }
}
