//! The arrangement of fixed arrays in memory: all elements, one after the other, in C order.

use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::arrays;
use crate::base::limits::FIXED_ARRAY_OF_SERDE;

/// A type as it is.
#[derive(Debug)]
pub struct Same;
/// A fixed array.
#[derive(Debug)]
pub struct Fixed<A>(PhantomData<A>);

/// The arrangement of a `T` in memory: a fixed number of elements, one after the other.
pub trait Arrangement<T> {
    /// The type of the elements.
    type Leaf: Serialize + DeserializeOwned + 'static;

    /// The lengths of the dimensions of one `T`, outermost first.
    fn shape(lengths: &mut Vec<u64>);

    /// All elements.
    fn flat(values: &[T]) -> &[Self::Leaf];

    /// The same memory as elements.
    fn scatter(values: Vec<T>) -> Vec<Self::Leaf>;

    /// The same memory as `T`s. `None` if it holds no whole number of them.
    fn gather(leaves: Vec<Self::Leaf>) -> Option<Vec<T>>;
}

impl<T: Serialize + DeserializeOwned + 'static> Arrangement<T> for Same {
    type Leaf = T;

    fn shape(_: &mut Vec<u64>) {}

    fn flat(values: &[T]) -> &[T] {
        values
    }

    fn scatter(values: Vec<T>) -> Vec<T> {
        values
    }

    fn gather(leaves: Vec<T>) -> Option<Vec<T>> {
        Some(leaves)
    }
}

impl<T, A: Arrangement<T>, const N: usize> Arrangement<[T; N]> for Fixed<A> {
    type Leaf = A::Leaf;

    fn shape(lengths: &mut Vec<u64>) {
        lengths.push(N as u64);
        A::shape(lengths);
    }

    fn flat(values: &[[T; N]]) -> &[A::Leaf] {
        A::flat(values.as_flattened())
    }

    fn scatter(values: Vec<[T; N]>) -> Vec<A::Leaf> {
        A::scatter(values.into_flattened())
    }

    fn gather(leaves: Vec<A::Leaf>) -> Option<Vec<[T; N]>> {
        arrays::group(A::gather(leaves)?)
    }
}

/// The shape of one `T`, and true if its elements are kept in one sequence.
pub(super) fn shape<T, A: Arrangement<T>>() -> (Vec<u64>, bool) {
    let mut lengths = Vec::new();
    A::shape(&mut lengths);
    let is_long = lengths.iter().any(|length| *length > FIXED_ARRAY_OF_SERDE);
    // An empty sequence does not tell the number of arrays, and neither do elements without a size.
    let is_there = size_of::<A::Leaf>() > 0 && !lengths.contains(&0);
    (lengths, is_long && is_there)
}
