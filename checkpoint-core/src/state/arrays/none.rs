//! For tests of the codec: states whose arrays stay where they are.

#![allow(clippy::panic, reason = "a test fails by panicking")]

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::{Array, ArrayPool, ArraySink, ArraySource, Kind};
use crate::state;

/// A state whose arrays stay where they are.
#[derive(Default)]
struct NoArrays(ArrayPool);

impl ArraySink for NoArrays {
    fn takes(&self, _: usize) -> bool {
        false
    }

    fn put(&mut self, name: String, _: Array<'_>) -> Result<u64, String> {
        panic!("{name} should have stayed")
    }
}

impl ArraySource for NoArrays {
    fn pool(&mut self) -> &mut ArrayPool {
        &mut self.0
    }

    fn rows(&mut self, number: u64, _: Kind) -> Result<usize, String> {
        Err(format!("there is no array {number}"))
    }

    fn fill(&mut self, number: u64, _: &mut [u8]) -> Result<(), String> {
        Err(format!("there is no array {number}"))
    }

    fn bytes(&mut self, number: u64) -> Result<(u64, Vec<u8>), String> {
        Err(format!("there is no array {number}"))
    }
}

pub(crate) fn encode<T: Serialize + ?Sized>(value: &T, into: &mut Vec<u8>) -> Result<(), String> {
    state::encode(value, into, &mut NoArrays::default())
}

pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    state::decode(bytes, &mut NoArrays::default())
}
