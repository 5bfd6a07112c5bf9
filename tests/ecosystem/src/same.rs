//! Whether a loaded value is the one that was saved.

use std::fmt::Debug;

use rand::Rng;
use serde::Serialize;

/// By `==`.
pub fn eq<T: PartialEq>(found: &T, expected: &T) -> bool {
    found == expected
}

/// By the text of `Debug`, for types without `==` and for values that are not equal to themselves.
pub fn debug<T: Debug>(found: &T, expected: &T) -> bool {
    format!("{found:?}") == format!("{expected:?}")
}

/// By the JSON, for types that have neither `==` nor `Debug`, and where those do not look at everything.
pub fn json<T: Serialize>(found: &T, expected: &T) -> bool {
    let [found, expected] = [found, expected].map(|value| serde_json::to_value(value).ok());
    found.is_some() && found == expected
}

/// By the next 100 numbers of a generator.
pub fn numbers<R: Rng + Clone>(found: &R, expected: &R) -> bool {
    let [mut found, mut expected] = [found.clone(), expected.clone()];
    (0..100).all(|_| found.next_u64() == expected.next_u64())
}

/// By what a function sees of them.
pub fn by<T, K: PartialEq>(seen: impl Fn(&T) -> K) -> impl Fn(&T, &T) -> bool {
    move |found, expected| seen(found) == seen(expected)
}
