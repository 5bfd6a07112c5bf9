//! Elements that each go through an adapter.

use std::fmt;
use std::marker::PhantomData;

use serde::de::{Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::Adapter;

/// A borrowed value, written by its adapter.
pub(super) struct Via<'a, T, A>(pub(super) &'a T, pub(super) PhantomData<A>);

impl<T, A: Adapter<T>> Serialize for Via<'_, T, A> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        A::write(self.0, serializer)
    }
}

/// A value that its adapter read.
pub(super) struct Read<T, A>(pub(super) T, PhantomData<A>);

impl<'de, T, A: Adapter<T>> Deserialize<'de> for Read<T, A> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        A::read(deserializer).map(|value| Read(value, PhantomData))
    }
}

/// Reads elements one by one: the given number, or all of them.
pub(super) struct Elements<T, A>(pub(super) Option<usize>, pub(super) PhantomData<(T, A)>);

impl<'de, T, A: Adapter<T>> Visitor<'de> for Elements<T, A> {
    type Value = Vec<T>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(count) => write!(formatter, "an array of length {count}"),
            None => formatter.write_str("a sequence"),
        }
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut sequence: S) -> Result<Vec<T>, S::Error> {
        // The length may be forged, so memory is only taken as elements come.
        let expected = self.0.or(sequence.size_hint()).unwrap_or(0);
        let mut elements = Vec::with_capacity(expected.min(4096 / size_of::<T>().max(1)));
        while self.0 != Some(elements.len()) {
            match sequence.next_element::<Read<T, A>>()? {
                Some(element) => elements.push(element.0),
                None if self.0.is_some() => return Err(S::Error::invalid_length(elements.len(), &self)),
                None => break,
            }
        }
        Ok(elements)
    }
}
