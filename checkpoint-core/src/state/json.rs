//! A field as JSON text, for people or other programs that read it in the checkpoint.
//!
//! Types that no positional format can carry, such as `serde_json::Value` and types with serde's
//! `flatten`, `untagged` or `tag`, need a form that describes each value.
//! [`self_describing`](super::self_describing) is one that keeps every value. JSON is text, but it
//! does not keep all of them:
//!
//! ```
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Options {
//!     name: String,
//!     #[serde(with = "checkpointed::json")]
//!     extra: serde_json::Value,
//! }
//! ```
//!
//! A value that JSON would lose is refused when it is saved: NaN and the infinities, `Some(None)`
//! and `Some(())`, keys of maps that are no text, number or truth value, and values that are more
//! than 127 deep inside each other. So are fields with `json` more than 12 deep inside each other:
//! each one doubles the marks in the texts inside it.
//!
//! Any package of a program can switch on the feature `arbitrary_precision` of `serde_json` for all
//! of it. A type that reads by way of serde's buffers (`flatten`, `untagged`, `tag`) then takes no
//! `f64` from JSON. Such a value is refused when it is [read back](crate::Builder::read_back), and
//! one of an earlier build cannot be loaded: there, use
//! [`self_describing`](super::self_describing). The other way round, a build without the feature
//! rounds the numbers that only the feature keeps.

mod exact;
mod lossless;
#[cfg(all(test, not(shuttle)))]
mod tests;

use std::cell::Cell;

use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::base::limits::{JSON_IN_JSON, VALUE_DEPTH_IN_JSON};
use crate::codec::Room;

/// Writes the value as the text of a string.
///
/// # Errors
/// An error if JSON would lose a value, or has no form for it.
pub fn serialize<T: Serialize + ?Sized, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    let text = text_of(value).map_err(S::Error::custom)?;
    text.serialize(serializer)
}

/// The part of it that does not know the serializer.
fn text_of<T: Serialize + ?Sized>(value: &T) -> Result<String, lossless::Error> {
    let _text = Inside::enter()?;
    let levels = lossless::check(value)?;
    let write = || exact::to_string(value).map_err(lossless::lost);
    Room::to_write(levels, size_of_val(value), write)
}

thread_local! {
    /// The number of texts around the one that is written.
    static AROUND: Cell<u32> = const { Cell::new(0) };
}

/// One text of JSON, while it is written.
struct Inside;

impl Inside {
    fn enter() -> Result<Inside, lossless::Error> {
        let around = AROUND.get();
        if around == JSON_IN_JSON {
            return Err(lossless::Error(format!(
                "fields with `checkpointed::json` are more than {JSON_IN_JSON} deep inside each other, and each doubles the \
                 text inside it: write #[serde(with = \"checkpointed::self_describing\")] in the place of the inner ones"
            )));
        }
        AROUND.set(around + 1);
        Ok(Inside)
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        AROUND.set(AROUND.get().saturating_sub(1));
    }
}

/// Reads the value from the text of a string.
///
/// # Errors
/// An error if the text is not JSON, or not of this type.
pub fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    let text = String::deserialize(deserializer)?;
    let read = || serde_json::from_str(&text).map_err(D::Error::custom);
    Room::for_levels(depth(&text), size_of::<T>(), read)
}

/// The most lists and objects that may be inside each other in a text, at most the
/// [limit](VALUE_DEPTH_IN_JSON). Brackets in strings count too.
fn depth(text: &str) -> usize {
    let (mut depth, mut most) = (0_usize, 0);
    for byte in text.bytes() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            _ => continue,
        }
        most = most.max(depth);
    }
    most.min(VALUE_DEPTH_IN_JSON as usize + 1)
}
