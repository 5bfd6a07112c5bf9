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
//! than 127 deep inside each other.

mod lossless;
#[cfg(all(test, not(shuttle)))]
mod tests;

use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes the value as the text of a string.
///
/// # Errors
/// An error if JSON would lose a value, or has no form for it.
pub fn serialize<T: Serialize + ?Sized, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    lossless::check(value).map_err(S::Error::custom)?;
    let text = serde_json::to_string(value).map_err(|error| S::Error::custom(lossless::lost(error)))?;
    text.serialize(serializer)
}

/// Reads the value from the text of a string.
///
/// # Errors
/// An error if the text is not JSON, or not of this type.
pub fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    serde_json::from_str(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}
