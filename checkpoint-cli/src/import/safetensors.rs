//! Files of safetensors.

use std::fs::File;
use std::io::{Read, Seek as _, SeekFrom};
use std::path::Path;

use checkpointed_core::inspect::{Element, Imported, ImportedArray};
use safetensors::{Dtype, SafeTensors};

/// The greatest length of a header that the format allows.
const LONGEST: u64 = 100_000_000;

/// The tensors with their names, in the order of the file.
pub(super) fn read(path: &Path) -> Result<Vec<(String, Imported)>, String> {
    let mut file = File::open(path).map_err(|error| error.to_string())?;
    let whole = file.metadata().map_err(|error| error.to_string())?.len();
    let mut length = [0; 8];
    file.read_exact(&mut length).map_err(|_| "it is too short for a file of safetensors".to_owned())?;
    let length = u64::from_le_bytes(length);
    if length > LONGEST || length.saturating_add(8) > whole {
        return Err("it is no file of safetensors: its header would be longer than the file".to_owned());
    }
    file.rewind().map_err(|error| error.to_string())?;
    let mut head = Vec::new();
    Read::take(&mut file, length + 8).read_to_end(&mut head).map_err(|error| error.to_string())?;
    let (_, metadata) = SafeTensors::read_metadata(&head).map_err(|error| error.to_string())?;
    let start = length + 8;
    if start.checked_add(metadata.data_len() as u64) != Some(whole) {
        return Err("its length is not that of its tensors: it was cut, or is damaged".to_owned());
    }
    let mut values = Vec::new();
    for name in metadata.offset_keys() {
        let Some(info) = metadata.info(&name) else { continue };
        let element = element(info.dtype).ok_or_else(|| {
            format!(
                "{name}: tensors of {:?} cannot be imported: convert it to another type first",
                info.dtype
            )
        })?;
        let shape: Vec<u64> = info.shape.iter().map(|length| *length as u64).collect();
        let (from, to) = info.data_offsets;
        let path = path.to_owned();
        let read = move || {
            let mut file = File::open(&path).map_err(|error| error.to_string())?;
            file.seek(SeekFrom::Start(start + from as u64)).map_err(|error| error.to_string())?;
            let mut bytes = Vec::new();
            let length = (to.saturating_sub(from)) as u64;
            file.take(length).read_to_end(&mut bytes).map_err(|error| error.to_string())?;
            Ok(bytes)
        };
        values.push((name, Imported::Array(ImportedArray { element, shape, read: Box::new(read) })));
    }
    Ok(values)
}

fn element(dtype: Dtype) -> Option<Element> {
    Some(match dtype {
        Dtype::BOOL => Element::Bool,
        Dtype::U8 => Element::U8,
        Dtype::U16 => Element::U16,
        Dtype::U32 => Element::U32,
        Dtype::U64 => Element::U64,
        Dtype::I8 => Element::I8,
        Dtype::I16 => Element::I16,
        Dtype::I32 => Element::I32,
        Dtype::I64 => Element::I64,
        Dtype::F16 => Element::F16,
        Dtype::BF16 => Element::Bf16,
        Dtype::F32 => Element::F32,
        Dtype::F64 => Element::F64,
        Dtype::C64 => Element::Complex32,
        _ => return None,
    })
}
