//! A parameter as text: equal for equal values, whatever order their maps are in, and different for
//! different ones.
//!
//! The text is JSON, with three exceptions: maps are sorted, numbers are never rounded or left out
//! (NaN, infinities, 128 bits), and keys need not be text. It is written here, and not by way of
//! `serde_json::Value`: any package of the program can switch on features of that type that change
//! its order and its numbers.

use std::fmt::Display;

use serde::Serialize;
use serde::ser::{self, Serializer};

/// An error of a value's `Serialize`. It only has to be made from text, so it needs no type of its
/// own.
type Error = serde_json::Error;

/// # Errors
/// An error if the value's `Serialize` fails.
pub(super) fn text<T: Serialize + ?Sized>(value: &T) -> Result<String, Error> {
    value.serialize(Canonical)
}

/// A text of [`text`] with the items of every list in order: equal for lists of the same values.
pub(super) fn sorted(text: &str) -> String {
    let mut open = vec![Group::default()];
    let mut letters = text.chars();
    while let Some(letter) = letters.next() {
        let Some(group) = open.last_mut() else { break };
        match letter {
            '"' => {
                group.item.push(letter);
                let mut is_escaped = false;
                for letter in letters.by_ref() {
                    group.item.push(letter);
                    if letter == '"' && !is_escaped {
                        break;
                    }
                    is_escaped = letter == '\\' && !is_escaped;
                }
            }
            '[' | '{' => open.push(Group { is_list: letter == '[', ..Group::default() }),
            ',' => group.end_item(),
            ']' | '}' => {
                let group = open.pop().unwrap_or_default().close(letter);
                match open.last_mut() {
                    Some(around) => around.item.push_str(&group),
                    // A closing bracket too many: this is no text of ours.
                    None => return text.to_owned(),
                }
            }
            _ => group.item.push(letter),
        }
    }
    let rest: Vec<String> = open.into_iter().map(Group::join).collect();
    rest.concat()
}

/// A list or a map of which a part was read.
#[derive(Default)]
struct Group {
    is_list: bool,
    items: Vec<String>,
    item: String,
}

impl Group {
    fn end_item(&mut self) {
        self.items.push(std::mem::take(&mut self.item));
    }

    fn join(mut self) -> String {
        self.end_item();
        if self.is_list {
            self.items.sort();
        }
        self.items.join(",")
    }

    fn close(self, bracket: char) -> String {
        let open = if self.is_list { '[' } else { '{' };
        format!("{open}{}{bracket}", self.join())
    }
}

struct Canonical;

/// Values one after the other.
struct Items {
    text: String,
    first: bool,
    close: &'static str,
}

/// Values by key.
struct Entries {
    open: String,
    entries: Vec<(String, String)>,
    key: String,
    close: &'static str,
}

impl Items {
    fn new(open: String, close: &'static str) -> Items {
        Items { text: open, first: true, close }
    }

    fn push<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        if !std::mem::take(&mut self.first) {
            self.text.push(',');
        }
        self.text.push_str(&text(value)?);
        Ok(())
    }

    fn close(mut self) -> String {
        self.text.push_str(self.close);
        self.text
    }
}

impl Entries {
    fn new(open: String, close: &'static str) -> Entries {
        Entries { open, entries: Vec::new(), key: String::new(), close }
    }

    fn push<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
        self.entries.push((quoted(key), text(value)?));
        Ok(())
    }

    fn close(mut self) -> String {
        self.entries.sort();
        let entries: Vec<String> =
            self.entries.into_iter().map(|(key, value)| format!("{key}:{value}")).collect();
        self.open + &entries.join(",") + self.close
    }
}

/// Text in quotes, with special characters escaped.
fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn plain(value: impl Display) -> Result<String, Error> {
    Ok(value.to_string())
}

macro_rules! as_they_are_shown {
    ($($method:ident: $type:ty),+) => {$(
        fn $method(self, value: $type) -> Result<String, Error> {
            plain(value)
        }
    )+};
}

impl Serializer for Canonical {
    type Ok = String;
    type Error = Error;
    type SerializeSeq = Items;
    type SerializeTuple = Items;
    type SerializeTupleStruct = Items;
    type SerializeTupleVariant = Items;
    type SerializeMap = Entries;
    type SerializeStruct = Entries;
    type SerializeStructVariant = Entries;

    as_they_are_shown! {
        serialize_bool: bool,
        serialize_i8: i8, serialize_i16: i16, serialize_i32: i32, serialize_i64: i64, serialize_i128: i128,
        serialize_u8: u8, serialize_u16: u16, serialize_u32: u32, serialize_u64: u64, serialize_u128: u128
    }

    fn serialize_f32(self, value: f32) -> Result<String, Error> {
        // Written as the same number in f64: 0.1_f32 is not 0.1.
        self.serialize_f64(value.into())
    }

    fn serialize_f64(self, value: f64) -> Result<String, Error> {
        Ok(match value {
            // There are many other NaNs. They are compared by their bits.
            value if value.is_nan() && value.to_bits() != f64::NAN.to_bits() => {
                format!("NaN({:#x})", value.to_bits())
            }
            // The shortest text that reads back as the same bits.
            value => format!("{value:?}"),
        })
    }

    fn serialize_char(self, value: char) -> Result<String, Error> {
        Ok(quoted(value.encode_utf8(&mut [0; 4])))
    }

    fn serialize_str(self, value: &str) -> Result<String, Error> {
        Ok(quoted(value))
    }

    fn serialize_bytes(self, value: &[u8]) -> Result<String, Error> {
        value.serialize(self)
    }

    fn serialize_none(self) -> Result<String, Error> {
        self.serialize_unit()
    }

    fn serialize_some<T: Serialize + ?Sized>(self, value: &T) -> Result<String, Error> {
        let text = text(value)?;
        // Tells `Some(None)` from `None`.
        Ok(if text.ends_with("null") { format!("some {text}") } else { text })
    }

    fn serialize_unit(self) -> Result<String, Error> {
        plain("null")
    }

    fn serialize_unit_struct(self, _: &'static str) -> Result<String, Error> {
        self.serialize_unit()
    }

    fn serialize_unit_variant(self, _: &'static str, _: u32, variant: &'static str) -> Result<String, Error> {
        Ok(quoted(variant))
    }

    fn serialize_newtype_struct<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        value: &T,
    ) -> Result<String, Error> {
        text(value)
    }

    fn serialize_newtype_variant<T: Serialize + ?Sized>(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        value: &T,
    ) -> Result<String, Error> {
        Ok(format!("{{{}:{}}}", quoted(variant), text(value)?))
    }

    fn serialize_seq(self, _: Option<usize>) -> Result<Items, Error> {
        Ok(Items::new("[".to_owned(), "]"))
    }

    fn serialize_tuple(self, _: usize) -> Result<Items, Error> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_struct(self, _: &'static str, _: usize) -> Result<Items, Error> {
        self.serialize_seq(None)
    }

    fn serialize_tuple_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Items, Error> {
        Ok(Items::new(format!("{{{}:[", quoted(variant)), "]}"))
    }

    fn serialize_map(self, _: Option<usize>) -> Result<Entries, Error> {
        Ok(Entries::new("{".to_owned(), "}"))
    }

    fn serialize_struct(self, _: &'static str, _: usize) -> Result<Entries, Error> {
        self.serialize_map(None)
    }

    fn serialize_struct_variant(
        self,
        _: &'static str,
        _: u32,
        variant: &'static str,
        _: usize,
    ) -> Result<Entries, Error> {
        Ok(Entries::new(format!("{{{}:{{", quoted(variant)), "}}"))
    }
}

macro_rules! one_after_the_other {
    ($($trait:ident: $method:ident),+) => {$(
        impl ser::$trait for Items {
            type Ok = String;
            type Error = Error;

            fn $method<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
                self.push(value)
            }

            fn end(self) -> Result<String, Error> {
                Ok(self.close())
            }
        }
    )+};
}

one_after_the_other! {
    SerializeSeq: serialize_element, SerializeTuple: serialize_element,
    SerializeTupleStruct: serialize_field, SerializeTupleVariant: serialize_field
}

macro_rules! by_name {
    ($($trait:ident),+) => {$(
        impl ser::$trait for Entries {
            type Ok = String;
            type Error = Error;

            fn serialize_field<T: Serialize + ?Sized>(&mut self, key: &'static str, value: &T) -> Result<(), Error> {
                self.push(key, value)
            }

            fn end(self) -> Result<String, Error> {
                Ok(self.close())
            }
        }
    )+};
}

by_name! { SerializeStruct, SerializeStructVariant }

impl ser::SerializeMap for Entries {
    type Ok = String;
    type Error = Error;

    fn serialize_key<T: Serialize + ?Sized>(&mut self, key: &T) -> Result<(), Error> {
        self.key = text(key)?;
        Ok(())
    }

    fn serialize_value<T: Serialize + ?Sized>(&mut self, value: &T) -> Result<(), Error> {
        let key = std::mem::take(&mut self.key);
        self.entries.push((key, text(value)?));
        Ok(())
    }

    fn end(self) -> Result<String, Error> {
        Ok(self.close())
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::{BTreeMap, HashMap};

    use super::*;

    #[derive(Serialize)]
    enum Choice {
        Unit,
        New(u8),
        Tuple(u8, f32),
        Struct { z: char, a: Option<()> },
    }

    #[test]
    fn the_text_is_json_where_json_has_words_for_it() {
        let value =
            (Choice::Unit, Choice::New(1), Choice::Tuple(2, 0.5), Choice::Struct { z: '"', a: None }, "a\n");
        let text = text(&value).unwrap();
        assert_eq!(text, r#"["Unit",{"New":1},{"Tuple":[2,0.5]},{"Struct":{"a":null,"z":"\""}},"a\n"]"#);
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            serde_json::to_value(&value).unwrap()
        );
    }

    #[test]
    fn maps_are_sorted_and_keys_of_different_types_told_apart() {
        let map: HashMap<u32, Option<u8>> = (0..100).map(|key| (key, None)).collect();
        let sorted: BTreeMap<u32, Option<u8>> = map.clone().into_iter().collect();
        assert_eq!(text(&map).unwrap(), text(&sorted).unwrap());
        assert_eq!(text(&BTreeMap::from([((1, 'a'), 1)])).unwrap(), r#"{[1,"a"]:1}"#);
        assert_ne!(text(&BTreeMap::from([(1, 1)])).unwrap(), text(&BTreeMap::from([("1", 1)])).unwrap());
    }

    #[test]
    fn lists_of_the_same_values_are_equal_once_sorted() {
        fn same<A: Serialize, B: Serialize>(one: A, two: B) -> bool {
            sorted(&text(&one).unwrap()) == sorted(&text(&two).unwrap())
        }
        assert!(same(["a,b]", "\"c["], ["\"c[", "a,b]"]));
        assert!(same((1, [[3, 2], [1, 0]]), (1, [[0, 1], [2, 3]])));
        assert!(!same([1, 2, 2], [1, 1, 2]));
        assert!(!same(["a", "b"], ["a,b"]));
        // Also inside of maps and of their keys.
        let map = BTreeMap::from([((2, 1), vec![2, 1])]);
        assert_eq!(sorted(&text(&map).unwrap()), "{[1,2]:[1,2]}");
        for broken in ["]", "[1", "\"", "{]}", ""] {
            let _ = sorted(broken);
        }
    }

    #[test]
    fn values_that_differ_have_texts_that_differ() {
        let odd = f64::from_bits(f64::NAN.to_bits() | 1);
        let numbers = [0.0, -0.0, 1.0, 0.1, f64::from(0.1_f32), f64::MAX, 5e-324, f64::INFINITY]
            .into_iter()
            .chain([f64::NEG_INFINITY, f64::NAN, -f64::NAN, odd]);
        let mut texts: Vec<String> = numbers.map(|number| text(&number).unwrap()).collect();
        texts.extend(["NaN", "null", "some null"].map(|word| text(word).unwrap()));
        texts.push(text(&None::<Option<Option<u8>>>).unwrap());
        texts.push(text(&Some(None::<Option<u8>>)).unwrap());
        texts.push(text(&Some(Some(None::<u8>))).unwrap());
        let count = texts.len();
        texts.sort();
        texts.dedup();
        assert_eq!(texts.len(), count, "{texts:?}");
        assert_eq!(text(&u128::MAX).unwrap(), u128::MAX.to_string());
        assert_eq!(text(&i128::MIN).unwrap(), i128::MIN.to_string());
    }
}
