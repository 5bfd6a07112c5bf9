//! A sink and a source without arrays, for tests of the codec.

#![allow(clippy::panic, reason = "a test fails by panicking")]

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Array, ArrayPool, ArraySink, ArraySource, Cause, Kind, Reference};
use crate::codec;
use crate::codec::{Failure, Forms};
use crate::schema::Schema;
use crate::state::Checkpoint;

/// A sink that takes no arrays, so that they stay in the encoded state.
#[derive(Default)]
pub(crate) struct NoArrays(ArrayPool);

impl ArraySink for NoArrays {
    fn takes(&self, _: usize) -> bool {
        false
    }

    fn put(&mut self, name: String, _: Array<'_>) -> Result<u64, Cause> {
        panic!("{name} should have stayed")
    }
}

impl ArraySource for NoArrays {
    fn pool(&mut self) -> &mut ArrayPool {
        &mut self.0
    }

    fn check(&mut self, array: Reference, _: Kind) -> Result<(), Cause> {
        Err(format!("there is no array {}", array.number).into())
    }

    fn fill(&mut self, array: Reference, _: &mut [u8]) -> Result<(), Cause> {
        Err(format!("there is no array {}", array.number).into())
    }

    fn bytes(&mut self, array: Reference) -> Result<(Kind, Vec<u8>), Cause> {
        Err(format!("there is no array {}", array.number).into())
    }

    fn skip(&mut self, array: Reference) -> Result<(), Cause> {
        Err(format!("there is no array {}", array.number).into())
    }
}

/// Encodes a value of an unknown form.
pub(crate) fn encode<T: Serialize + ?Sized>(value: &T, into: &mut Vec<u8>) -> Result<(), String> {
    codec::encode(value, &Forms::unknown(), into, &mut NoArrays::default())
        .map(drop)
        .map_err(Failure::into_sentence)
}

/// Encodes a value in the form in which it will be read.
pub(crate) fn encode_as_read<T: Checkpoint>(value: &T, into: &mut Vec<u8>) -> Result<(), String> {
    let forms = Forms::of(&Schema::of::<T>());
    codec::encode(value, &forms, into, &mut NoArrays::default()).map(drop).map_err(Failure::into_sentence)
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    let room = Forms::unknown().room();
    codec::decode(bytes, room, &mut NoArrays::default()).map(|value| *value).map_err(Failure::into_sentence)
}
