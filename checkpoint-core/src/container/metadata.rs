//! Metadata that a program adds to a save.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error as _, MapAccess};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Values that a program adds to a save, such as a loss, a commit or a note. People and tools read
/// them without loading the state.
///
/// ```
/// use checkpointed::Metadata;
///
/// let metadata = Metadata::new().with("loss", 0.25).with("commit", "9f3c1e").with("epoch", 12);
/// assert_eq!(metadata.get("loss").and_then(|value| value.as_f64()), Some(0.25));
/// ```
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Metadata(BTreeMap<String, MetadataValue>);

impl Metadata {
    /// Creates empty metadata.
    #[must_use]
    pub fn new() -> Metadata {
        Metadata::default()
    }

    /// Adds an entry. It replaces an earlier entry of that name.
    ///
    /// Three names belong to the library, and a save with one of them is
    /// [`Error::InvalidSetting`](crate::Error::InvalidSetting):
    /// `inputs that changed while the state was computed`,
    /// `inputs that were written to while the state was computed`, and
    /// `produced files at the save`.
    #[must_use]
    pub fn with(mut self, name: impl Into<String>, value: impl Into<MetadataValue>) -> Metadata {
        self.0.insert(name.into(), value.into());
        self
    }

    /// Returns the value of that name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&MetadataValue> {
        self.0.get(name)
    }

    /// Returns true if there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Iterates over the entries, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &MetadataValue)> {
        self.0.iter().map(|(name, value)| (name.as_str(), value))
    }
}

/// A source of metadata: [`Metadata`], or a function that makes it and is called only if the state
/// is saved.
///
/// ```
/// use checkpointed::{Checkpointer, Metadata};
///
/// # fn main() -> Result<(), checkpointed::Error> {
/// # let directory = tempfile::tempdir().unwrap();
/// # let path = directory.path().join("fit.ckpt");
/// let mut checkpoints = Checkpointer::<u64>::open(&path)?;
/// for step in 1..=3 {
///     checkpoints.save_if_due_with(&step, || Metadata::new().with("loss", 1.0 / step as f64))?;
/// }
/// checkpoints.finish_with(&3, Metadata::new().with("loss", 0.25))?;
/// # Ok(())
/// # }
/// ```
pub trait IntoMetadata {
    /// Returns the metadata.
    fn into_metadata(self) -> Metadata;
}

impl IntoMetadata for Metadata {
    fn into_metadata(self) -> Metadata {
        self
    }
}

impl<F: FnOnce() -> Metadata> IntoMetadata for F {
    fn into_metadata(self) -> Metadata {
        self()
    }
}

/// One value of [`Metadata`].
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum MetadataValue {
    /// `true` or `false`.
    Bool(bool),
    /// A whole number in the range of `i64` and `u64`; any other is saved as the nearest float.
    Integer(i128),
    /// Any other number. JSON lacks NaN and the infinities: the manifest has them as `"NaN"`,
    /// `"inf"` and `"-inf"`, and they are read as text that [`as_f64`](MetadataValue::as_f64)
    /// understands.
    Float(f64),
    /// Text.
    Text(String),
}

impl MetadataValue {
    /// Returns the value as a number, if it is one.
    #[must_use]
    pub fn as_f64(&self) -> Option<f64> {
        match self {
            #[allow(clippy::cast_precision_loss, reason = "asked for as f64, the nearest is meant")]
            MetadataValue::Integer(number) => Some(*number as f64),
            MetadataValue::Float(number) => Some(*number),
            MetadataValue::Text(text) if matches!(text.as_str(), "NaN" | "inf" | "-inf") => text.parse().ok(),
            MetadataValue::Text(_) | MetadataValue::Bool(_) => None,
        }
    }

    /// Returns the value as an integer, if it is one in the range of `i64`. A float is none.
    ///
    /// ```
    /// use checkpointed::Metadata;
    ///
    /// let metadata = Metadata::new().with("step", 9_007_199_254_740_993_u64);
    /// assert_eq!(metadata.get("step").and_then(|step| step.as_u64()), Some(9_007_199_254_740_993));
    /// ```
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        match self {
            MetadataValue::Integer(number) => i64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// Returns the value as an integer, if it is one in the range of `u64`; see
    /// [`as_i64`](MetadataValue::as_i64).
    #[must_use]
    pub fn as_u64(&self) -> Option<u64> {
        match self {
            MetadataValue::Integer(number) => u64::try_from(*number).ok(),
            _ => None,
        }
    }

    /// Compares two numbers exactly: no integer is rounded to a float. `None` where one is no
    /// number, or NaN.
    pub(crate) fn compare(&self, other: &MetadataValue) -> Option<Ordering> {
        match (self, other) {
            (MetadataValue::Integer(one), MetadataValue::Integer(two)) => Some(one.cmp(two)),
            (MetadataValue::Integer(one), two) => integer_with_float(*one, two.as_f64()?),
            (one, MetadataValue::Integer(two)) => {
                integer_with_float(*two, one.as_f64()?).map(Ordering::reverse)
            }
            (one, two) => one.as_f64()?.partial_cmp(&two.as_f64()?),
        }
    }

    /// Returns the value as text, if it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        match self {
            MetadataValue::Text(text) => Some(text),
            _ => None,
        }
    }
}

/// Compares an integer with a float.
fn integer_with_float(integer: i128, float: f64) -> Option<Ordering> {
    if float.is_nan() {
        return None;
    }
    #[allow(clippy::cast_possible_truncation, reason = "saturates; all integers here are within 64 bits")]
    let whole = float.trunc() as i128;
    let rest = float - float.trunc();
    // The fraction of an infinity is NaN, and its whole part is beyond all integers.
    Some(integer.cmp(&whole).then(0.0_f64.partial_cmp(&rest).unwrap_or(Ordering::Equal)))
}

impl fmt::Display for MetadataValue {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MetadataValue::Bool(value) => value.fmt(formatter),
            MetadataValue::Integer(value) => value.fmt(formatter),
            MetadataValue::Float(value) => value.fmt(formatter),
            MetadataValue::Text(value) => value.fmt(formatter),
        }
    }
}

impl Serialize for MetadataValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            MetadataValue::Bool(value) => serializer.serialize_bool(*value),
            MetadataValue::Integer(value) => match (i64::try_from(*value), u64::try_from(*value)) {
                (Ok(value), _) => serializer.serialize_i64(value),
                (_, Ok(value)) => serializer.serialize_u64(value),
                #[allow(clippy::cast_precision_loss, reason = "JSON has nothing nearer")]
                _ => serializer.serialize_f64(*value as f64),
            },
            MetadataValue::Float(value) if value.is_finite() => serializer.serialize_f64(*value),
            MetadataValue::Float(value) => serializer.collect_str(value),
            MetadataValue::Text(value) => serializer.serialize_str(value),
        }
    }
}

impl<'de> Deserialize<'de> for MetadataValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visitor;

        impl<'de> serde::de::Visitor<'de> for Visitor {
            type Value = MetadataValue;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a truth value, a number or text")
            }

            fn visit_bool<E>(self, value: bool) -> Result<MetadataValue, E> {
                Ok(value.into())
            }

            fn visit_i64<E>(self, value: i64) -> Result<MetadataValue, E> {
                Ok(value.into())
            }

            fn visit_u64<E>(self, value: u64) -> Result<MetadataValue, E> {
                Ok(value.into())
            }

            fn visit_f64<E>(self, value: f64) -> Result<MetadataValue, E> {
                Ok(value.into())
            }

            fn visit_str<E>(self, value: &str) -> Result<MetadataValue, E> {
                Ok(value.into())
            }

            /// A float comes so where a package of the program has switched on the feature
            /// `arbitrary_precision` of `serde_json`.
            fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<MetadataValue, A::Error> {
                let number = serde_json::Number::deserialize(MapAccessDeserializer::new(map))?;
                let float = number.as_f64().map(MetadataValue::Float);
                float.ok_or_else(|| A::Error::custom("number out of range"))
            }
        }

        deserializer.deserialize_any(Visitor)
    }
}

macro_rules! value_from {
    ($($type:ty => $variant:ident),+ $(,)?) => {$(
        impl From<$type> for MetadataValue {
            fn from(value: $type) -> MetadataValue {
                MetadataValue::$variant(value.into())
            }
        }
    )+};
}

value_from! {
    bool => Bool,
    i8 => Integer, i16 => Integer, i32 => Integer, i64 => Integer,
    u8 => Integer, u16 => Integer, u32 => Integer, u64 => Integer,
    f32 => Float, f64 => Float,
    &str => Text, String => Text,
}

impl From<usize> for MetadataValue {
    fn from(value: usize) -> MetadataValue {
        (value as u64).into()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn metadata_comes_back_as_it_was_given() {
        let written = Metadata::new()
            .with("converged", false)
            .with("epoch", -3)
            .with("loss", 0.1)
            .with("commit", "9f3c1e");
        let text = serde_json::to_string(&written).unwrap();
        assert_eq!(text, r#"{"commit":"9f3c1e","converged":false,"epoch":-3,"loss":0.1}"#);
        assert_eq!(serde_json::from_str::<Metadata>(&text).unwrap(), written);
    }

    #[test]
    fn integers_come_back_exactly_and_are_compared_exactly() {
        let ordered = [
            MetadataValue::Float(f64::NEG_INFINITY),
            i64::MIN.into(),
            (i64::MIN + 1).into(),
            MetadataValue::Float(-0.5),
            0.into(),
            MetadataValue::Float(0.5),
            ((1_u64 << 53) - 1).into(),
            MetadataValue::Float(9_007_199_254_740_992.0),
            ((1_u64 << 53) + 1).into(),
            (u64::MAX - 1).into(),
            u64::MAX.into(),
            MetadataValue::Float(1e300),
            MetadataValue::Float(f64::INFINITY),
        ];
        for (place, one) in ordered.iter().enumerate() {
            for (other_place, other) in ordered.iter().enumerate() {
                assert_eq!(one.compare(other), Some(place.cmp(&other_place)), "{one} {other}");
            }
            let text = serde_json::to_string(one).unwrap();
            assert_eq!(
                serde_json::from_str::<MetadataValue>(&text).unwrap().compare(one),
                Some(Ordering::Equal),
                "{text}"
            );
        }
        assert_eq!(MetadataValue::from(0).compare(&MetadataValue::Float(-0.0)), Some(Ordering::Equal));
        for nothing in [MetadataValue::Float(f64::NAN), "seven".into(), true.into()] {
            assert_eq!(nothing.compare(&0.into()), None);
            assert_eq!(MetadataValue::Float(0.0).compare(&nothing), None);
        }
    }

    #[test]
    fn an_integer_is_read_as_one_where_it_fits() {
        let read = |value: MetadataValue| {
            let text = serde_json::to_string(&value).unwrap();
            let read: MetadataValue = serde_json::from_str(&text).unwrap();
            (read.as_i64(), read.as_u64())
        };
        assert_eq!(read(u64::MAX.into()), (None, Some(u64::MAX)));
        assert_eq!(read(i64::MIN.into()), (Some(i64::MIN), None));
        assert_eq!(read(7.into()), (Some(7), Some(7)));
        for other in [MetadataValue::from(7.0), "7".into(), true.into()] {
            assert_eq!(read(other), (None, None));
        }
    }

    #[test]
    fn a_loss_that_is_no_number_survives() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let text = serde_json::to_string(&Metadata::new().with("loss", number)).unwrap();
            let read: Metadata = serde_json::from_str(&text).unwrap();
            let read = read.get("loss").unwrap().as_f64().unwrap();
            assert!(read == number || (read.is_nan() && number.is_nan()), "{text}");
        }
    }
}
