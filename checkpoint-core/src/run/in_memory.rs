//! Makes checkpoints in memory, also forged ones, for tests and fuzz targets, which make millions.

use std::path::Path;

use crate::arrays::{ArraySink as _, view};
use crate::container::{ContainerWriter, Manifest, Metadata};
use crate::error::Error;
use crate::evolution::Program;
use crate::run::embedded;
use crate::schema::Schema;
use crate::state::Checkpoint;

/// Encodes and decodes states as files, without a file.
#[derive(Debug)]
pub struct InMemory(Program);

/// An array of a forged checkpoint.
#[derive(Clone, Debug)]
#[expect(missing_docs, reason = "each is the array of what it holds")]
pub enum Numbers {
    Bool(Vec<bool>),
    U8(Vec<u8>),
    U16(Vec<u16>),
    U32(Vec<u32>),
    U64(Vec<u64>),
    U128(Vec<u128>),
    I8(Vec<i8>),
    I16(Vec<i16>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    I128(Vec<i128>),
    F32(Vec<f32>),
    F64(Vec<f64>),
    Rows(Vec<[f32; 3]>),
    Pairs(Vec<[i64; 2]>),
}

impl InMemory {
    /// Creates one for states of this type.
    #[must_use]
    pub fn of<T: Checkpoint>() -> InMemory {
        InMemory(Program::of::<T>())
    }

    /// Encodes a state as a checkpoint.
    ///
    /// # Errors
    /// As for a save.
    pub fn encode<T: Checkpoint>(&self, state: &T) -> Result<Vec<u8>, Error> {
        let mut bytes = Vec::new();
        embedded::encode(state, &self.0, &mut bytes)?;
        Ok(bytes)
    }

    /// Decodes the state in a checkpoint.
    ///
    /// # Errors
    /// As for a load.
    pub fn decode<T: Checkpoint>(&self, bytes: &[u8]) -> Result<T, Error> {
        embedded::decode(Path::new("memory"), "", &self.0, bytes).map(|decoded| *decoded.state)
    }
}

/// Forges generation 1 of a `T`, with this schema, these arrays and these bytes as its state.
///
/// # Errors
/// Fails if no such file can be written.
pub fn forged<T: Checkpoint>(schema: Schema, arrays: &[Numbers], state: &[u8]) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    let mut container = ContainerWriter::new(&mut bytes);
    for (number, array) in arrays.iter().enumerate() {
        let name = format!("{number}.npy");
        macro_rules! put {
            ($($kind:ident)*) => {
                match array {
                    $(Numbers::$kind(values) => view(&values).map(|array| container.put(name, array)),)*
                }
            };
        }
        let put = put!(Bool U8 U16 U32 U64 U128 I8 I16 I32 I64 I128 F32 F64 Rows Pairs);
        let put = put.ok_or("these numbers are no array")?;
        put.map_err(|cause| cause.to_string())?;
    }
    let manifest = Manifest { schema, ..Manifest::of(&Program::of::<T>(), 1, Metadata::new()) };
    container.finish(state, manifest).map_err(|error| error.to_string())?;
    Ok(bytes)
}
