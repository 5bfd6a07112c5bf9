//! A field as JSON text, for types that no positional format can carry.
//!
//! bincode writes values one after the other without saying what they are. Types that decide while they read what
//! comes next cannot be read back from it: `serde_json::Value`, and types with serde's `flatten`, `untagged` or
//! `tag`. As the text of a string they can:
//!
//! ```
//! use serde::{Deserialize, Serialize};
//!
//! #[derive(Serialize, Deserialize)]
//! struct Options {
//!     name: String,
//!     #[serde(with = "checkpointed_core::json")]
//!     extra: serde_json::Value,
//! }
//! ```
//!
//! JSON has no NaN and no infinities: a float that is one becomes `null`.

use serde::de::{DeserializeOwned, Error as _};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Writes the value as the text of a string.
///
/// # Errors
/// Where JSON cannot express the value, such as a map whose keys are not strings.
pub fn serialize<T: Serialize, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
    serde_json::to_string(value).map_err(S::Error::custom)?.serialize(serializer)
}

/// Reads the value from the text of a string.
///
/// # Errors
/// Where the text is not JSON, or not of this type.
pub fn deserialize<'de, T: DeserializeOwned, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    serde_json::from_str(&String::deserialize(deserializer)?).map_err(D::Error::custom)
}
