//! Compares a loaded value with the saved one.

use std::fmt::Debug;

use rand::Rng;
use serde::Serialize;

/// Compares by `==`.
pub fn eq<T: PartialEq>(found: &T, expected: &T) -> bool {
    found == expected
}

/// Compares by the text of `Debug`, for types without `==` and for values that are not equal to
/// themselves.
pub fn debug<T: Debug>(found: &T, expected: &T) -> bool {
    format!("{found:?}") == format!("{expected:?}")
}

/// Compares by the JSON, for types with neither `==` nor `Debug`, and for types whose `==` and
/// `Debug` ignore some parts.
pub fn json<T: Serialize>(found: &T, expected: &T) -> bool {
    let [found, expected] = [found, expected].map(|value| serde_json::to_value(value).ok());
    found.is_some() && found == expected
}

/// Compares by the next 100 numbers of a generator.
pub fn numbers<R: Rng + Clone>(found: &R, expected: &R) -> bool {
    let [mut found, mut expected] = [found.clone(), expected.clone()];
    (0..100).all(|_| found.next_u64() == expected.next_u64())
}

/// Compares by the result of a function.
pub fn by<T, K: PartialEq>(seen: impl Fn(&T) -> K) -> impl Fn(&T, &T) -> bool {
    move |found, expected| seen(found) == seen(expected)
}
