//! JSON: objects are structs, and lists of numbers are arrays.

use std::path::Path;

use checkpointed_core::inspect::{Element, Imported, ImportedArray};
use serde_json::{Number, Value};

pub(super) fn read(path: &Path) -> Result<Imported, String> {
    let text = std::fs::read(path).map_err(|error| error.to_string())?;
    let value: Value = serde_json::from_slice(&text).map_err(|error| error.to_string())?;
    Ok(imported(value))
}

fn imported(value: Value) -> Imported {
    match value {
        Value::Null => Imported::Null,
        Value::Bool(truth) => Imported::Bool(truth),
        Value::Number(number) => match (number.as_u64(), number.as_i64()) {
            (Some(number), _) => Imported::Unsigned(number),
            (None, Some(number)) => Imported::Signed(number),
            (None, None) => Imported::Float(number.as_f64().unwrap_or(f64::NAN)),
        },
        Value::String(text) => Imported::String(text),
        Value::Array(values) => match numbers(&values) {
            Some(array) => Imported::Array(array),
            None => Imported::List(values.into_iter().map(imported).collect()),
        },
        Value::Object(fields) => {
            Imported::Fields(fields.into_iter().map(|(name, value)| (name, imported(value))).collect())
        }
    }
}

/// A list of numbers as an array of the type that has them all; `None` for any other list.
fn numbers(values: &[Value]) -> Option<ImportedArray> {
    let numbers: Option<Vec<&Number>> = values.iter().map(Value::as_number).collect();
    let numbers = numbers.filter(|numbers| !numbers.is_empty())?;
    let unsigned: Option<Vec<u64>> = numbers.iter().map(|number| number.as_u64()).collect();
    let signed: Option<Vec<i64>> = numbers.iter().map(|number| number.as_i64()).collect();
    let floats: Option<Vec<f64>> = numbers.iter().map(|number| exactly(number)).collect();
    let (element, bytes): (_, Vec<u8>) = if let Some(numbers) = unsigned {
        (Element::U64, numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
    } else if let Some(numbers) = signed {
        (Element::I64, numbers.iter().flat_map(|number| number.to_le_bytes()).collect())
    } else {
        (Element::F64, floats?.iter().flat_map(|number| number.to_le_bytes()).collect())
    };
    let shape = vec![values.len() as u64];
    Some(ImportedArray { element, shape, read: Box::new(move || Ok(bytes.clone())) })
}

/// A number as a float with the same value.
fn exactly(number: &Number) -> Option<f64> {
    const EXACT: u64 = 1 << 53;
    let is_exact = number.is_f64() || number.as_i64().is_some_and(|number| number.unsigned_abs() <= EXACT);
    number.as_f64().filter(|_| is_exact)
}
