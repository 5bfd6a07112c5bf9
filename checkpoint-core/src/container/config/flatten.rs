//! Takes apart any value of serde into settings: paths, and values as text.

use std::collections::BTreeMap;
use std::fmt;

use serde::ser::{
    self, Serialize, SerializeMap, SerializeSeq, SerializeStruct, SerializeStructVariant, SerializeTuple,
    SerializeTupleStruct, SerializeTupleVariant,
};

use super::{MOST_BYTES, MOST_SETTINGS};

/// The most steps of a path.
const MOST_STEPS: usize = 100;

/// Returns the settings of a value.
pub(super) fn flatten<T: Serialize + ?Sized>(value: &T) -> Result<BTreeMap<String, String>, String> {
    let mut flattener = Flattener::default();
    value.serialize(&mut flattener).map_err(|Refusal(why)| why)?;
    Ok(flattener.settings)
}

#[derive(Debug)]
struct Refusal(String);

impl fmt::Display for Refusal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Refusal {}

impl ser::Error for Refusal {
    fn custom<T: fmt::Display>(message: T) -> Refusal {
        Refusal(message.to_string())
    }
}

/// The settings so far, and the path of the value that comes next.
#[derive(Default)]
struct Flattener {
    settings: BTreeMap<String, String>,
    path: Vec<String>,
    bytes: usize,
    /// The number of newtypes around the value that comes next.
    newtypes: usize,
}

impl Flattener {
    fn leaf(&mut self, text: String) -> Result<(), Refusal> {
        let path = self.path.join("/");
        self.bytes += path.len() + text.len();
        if self.settings.len() == MOST_SETTINGS {
            return Err(Refusal(format!(
                "it has more than {MOST_SETTINGS} settings: data belong in the state"
            )));
        }
        if self.bytes > MOST_BYTES {
            return Err(Refusal(format!("it has more than {MOST_BYTES} bytes: data belong in the state")));
        }
        self.settings.insert(path, text);
        Ok(())
    }

    /// Takes apart a value one step further inside.
    fn inside<T: Serialize + ?Sized>(&mut self, step: &str, value: &T) -> Result<(), Refusal> {
        if self.path.len() == MOST_STEPS {
            return Err(Refusal(format!("its values are more than {MOST_STEPS} deep inside each other")));
        }
        self.path.push(escaped(step));
        let outcome = value.serialize(&mut *self);
        self.path.pop();
        outcome
    }

    /// Begins a value with parts, inside a variant if it has a name.
    fn parts(&mut self, variant: Option<&'static str>, empty: &'static str) -> Result<Parts<'_>, Refusal> {
        let steps = usize::from(variant.is_some());
        if let Some(variant) = variant {
            self.leaf(variant.to_owned())?;
            self.path.push(escaped(variant));
        }
        Ok(Parts { flattener: self, steps, empty, number: 0, key: None })
    }
}

/// A step of a path.
fn escaped(step: &str) -> String {
    step.replace('%', "%25").replace('/', "%2F")
}

/// A value with parts.
struct Parts<'f> {
    flattener: &'f mut Flattener,
    /// The steps of the path that are of this value.
    steps: usize,
    /// The text of the value if it has no parts.
    empty: &'static str,
    number: usize,
    key: Option<String>,
}

impl Parts<'_> {
    fn next<T: Serialize + ?Sized>(&mut self, name: Option<&str>, value: &T) -> Result<(), Refusal> {
        let number = self.number.to_string();
        self.number += 1;
        self.flattener.inside(name.unwrap_or(&number), value)
    }

    fn finish(self) -> Result<(), Refusal> {
        if self.number == 0 && self.steps == 0 {
            self.flattener.leaf(self.empty.to_owned())?;
        }
        let left = self.flattener.path.len().saturating_sub(self.steps);
        self.flattener.path.truncate(left);
        Ok(())
    }
}

macro_rules! leaves {
    ($($method:ident($type:ty) $format:literal;)*) => {$(
        fn $method(self, value: $type) -> Result<(), Refusal> {
            self.leaf(format!($format, value))
        }
    )*};
}

impl<'f> ser::Serializer for &'f mut Flattener {
    type Ok = ();
    type Error = Refusal;
    type SerializeSeq = Parts<'f>;
    type SerializeTuple = Parts<'f>;
    type SerializeTupleStruct = Parts<'f>;
    type SerializeTupleVariant = Parts<'f>;
    type SerializeMap = Parts<'f>;
    type SerializeStruct = Parts<'f>;
    type SerializeStructVariant = Parts<'f>;

    leaves! {
        serialize_bool(bool) "{}";
        serialize_i8(i8) "{}";
        serialize_i16(i16) "{}";
        serialize_i32(i32) "{}";
        serialize_i64(i64) "{}";
        serialize_i128(i128) "{}";
        serialize_u8(u8) "{}";
        serialize_u16(u16) "{}";
        serialize_u32(u32) "{}";
        serialize_u64(u64) "{}";
        serialize_u128(u128) "{}";
        serialize_f32(f32) "{:?}";
        serialize_f64(f64) "{:?}";
    }

    fn serialize_char(self, value: char) -> Result<(), Refusal> {
        self.serialize_str(value.encode_utf8(&mut [0; 4]))
    }

    /// As JSON, which is the same in each version of this library and of its compiler.
    fn serialize_str(self, value: &str) -> Result<(), Refusal> {
        let text = serde_json::to_string(value).map_err(|error| Refusal(error.to_string()))?;
        self.leaf(text)
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<(), Refusal> {
        let mut parts = self.parts(None, "[]")?;
        value.iter().try_for_each(|byte| parts.next(None, byte))?;
        parts.finish()
    }

    fn serialize_none(self) -> Result<(), Refusal> {
        self.leaf("None".to_owned())
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<(), Refusal> {
        value.serialize(self)
    }

    fn serialize_unit(self) -> Result<(), Refusal> {
        self.leaf("()".to_owned())
    }

    fn serialize_unit_struct(self, name: &'static str) -> Result<(), Refusal> {
        self.leaf(name.to_owned())
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<(), Refusal> {
        self.leaf(variant.to_owned())
    }

    /// A newtype has no step of its own, but counts for the depth.
    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<(), Refusal> {
        self.newtypes += 1;
        if self.newtypes > MOST_STEPS {
            return Err(Refusal(format!("its values are more than {MOST_STEPS} deep inside each other")));
        }
        value.serialize(&mut *self)?;
        self.newtypes -= 1;
        Ok(())
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<(), Refusal> {
        self.leaf(variant.to_owned())?;
        self.inside(variant, value)
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Parts<'f>, Refusal> {
        self.parts(None, "[]")
    }

    fn serialize_tuple(self, _: usize) -> Result<Parts<'f>, Refusal> {
        self.parts(None, "[]")
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Parts<'f>, Refusal> {
        self.parts(None, "[]")
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'f>, Refusal> {
        self.parts(Some(variant), "[]")
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Parts<'f>, Refusal> {
        self.parts(None, "{}")
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Parts<'f>, Refusal> {
        self.parts(None, "{}")
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Parts<'f>, Refusal> {
        self.parts(Some(variant), "{}")
    }
}

macro_rules! by_number {
    ($($trait:ident::$method:ident;)*) => {$(
        impl $trait for Parts<'_> {
            type Ok = ();
            type Error = Refusal;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
                self.next(None, value)
            }

            fn end(self) -> Result<(), Refusal> {
                self.finish()
            }
        }
    )*};
}

macro_rules! by_name {
    ($($trait:ident;)*) => {$(
        impl $trait for Parts<'_> {
            type Ok = ();
            type Error = Refusal;

            fn serialize_field<T: Serialize + ?Sized>(
                &mut self,
                name: &'static str,
                value: &T,
            ) -> Result<(), Refusal> {
                self.next(Some(name), value)
            }

            fn end(self) -> Result<(), Refusal> {
                self.finish()
            }
        }
    )*};
}

by_number! {
    SerializeSeq::serialize_element;
    SerializeTuple::serialize_element;
    SerializeTupleStruct::serialize_field;
    SerializeTupleVariant::serialize_field;
}

by_name! {
    SerializeStruct;
    SerializeStructVariant;
}

impl SerializeMap for Parts<'_> {
    type Ok = ();
    type Error = Refusal;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Refusal> {
        let key = flatten(key).map_err(Refusal)?;
        let mut leaves = key.into_iter();
        let (Some((_, text)), None) = (leaves.next(), leaves.next()) else {
            return Err(Refusal("the key of a map has several parts: use text or a number".to_owned()));
        };
        let quoted = text.strip_prefix('"').and_then(|text| text.strip_suffix('"'));
        self.key = Some(quoted.map_or_else(|| text.clone(), str::to_owned));
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Refusal> {
        let key = self.key.take();
        self.next(key.as_deref(), value)
    }

    fn end(self) -> Result<(), Refusal> {
        self.finish()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[derive(serde::Serialize)]
    enum Method {
        #[serde(rename = "a/b")]
        Scaled { by: u8 },
        #[serde(rename = "50%")]
        Half(u8),
    }

    #[test]
    fn names_of_variants_are_escaped_as_those_of_fields_are() {
        let settings = flatten(&(Method::Scaled { by: 1 }, Method::Half(2))).unwrap();
        let settings: Vec<_> = settings.iter().map(|(path, value)| (&**path, &**value)).collect();
        assert_eq!(settings, [("0", "a/b"), ("0/a%2Fb/by", "1"), ("1", "50%"), ("1/50%25", "2")]);
    }

    #[test]
    fn texts_are_those_of_json_whatever_the_compiler() {
        // Rust escapes some of these, and which ones depends on its tables.
        let text = "\u{301}\u{200b}\u{e000}\"\\\n";
        let settings = flatten(&[(text, 'é')]).unwrap();
        let found: Vec<_> = settings.values().map(|value| serde_json::from_str::<String>(value)).collect();
        let found: Vec<_> = found.into_iter().map(Result::unwrap).collect();
        assert_eq!(found, [text, "é"]);
        assert_eq!(settings["0/0"], "\"\u{301}\u{200b}\u{e000}\\\"\\\\\\n\"");
    }
}
