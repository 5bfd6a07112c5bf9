//! Files of safetensors.

use std::path::Path;
use std::sync::Arc;

use checkpointed_core::inspect::{Element, Imported, ImportedArray};
use safetensors::{Dtype, SafeTensors};

/// The tensors with their names, in the order of the file, which is in memory meanwhile.
pub(super) fn read(path: &Path) -> Result<Vec<(String, Imported)>, String> {
    let whole = Arc::new(std::fs::read(path).map_err(|error| error.to_string())?);
    let (header, metadata) = SafeTensors::read_metadata(&whole).map_err(|error| error.to_string())?;
    let start = header + 8;
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
        let whole = Arc::clone(&whole);
        let read = move || {
            let tensor = whole.get(start + from..start + to);
            tensor.map(<[u8]>::to_vec).ok_or_else(|| "it is not all there".to_owned())
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
