//! A value as JSON, whole, however large its arrays are.
//!
//! It is what `serde_json` would make of the state: structs and maps are objects, variants are named, options are their
//! value or `null`. Arrays are nested lists. Numbers are as [`Number`](super::Number) says. A map whose keys are neither text
//! nor numbers is a list of pairs.

use std::cell::RefCell;

use serde::ser::{Error as _, SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};

use super::array::{Array, Pieces};
use super::members::{Label, Members};
use super::node::{Node, Value};

/// How many values may be inside each other: each takes some of the stack.
const DEEPEST: u32 = 256;

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        At(self, 0).serialize(serializer)
    }
}

/// A value so deep inside others.
struct At<'n, 'a>(&'n Node<'a>, u32);

impl Serialize for At<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let At(node, depth) = *self;
        if depth == DEEPEST {
            return Err(S::Error::custom(format!("values are inside each other more than {DEEPEST} deep")));
        }
        let inside = depth + 1;
        match node.value().map_err(S::Error::custom)? {
            Value::Unit | Value::Option(None) => serializer.serialize_unit(),
            Value::Option(Some(inner)) => At(&inner, inside).serialize(serializer),
            Value::Number(number) => number.serialize(serializer),
            Value::Char(character) => serializer.serialize_char(character),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) => bytes.serialize(serializer),
            Value::Sequence(members) | Value::Tuple(members) => list(members, inside, serializer),
            Value::Struct(members) => object(members, inside, serializer),
            Value::Map(members) if has_plain_keys(&members) => object(members, inside, serializer),
            Value::Map(members) => pairs(members, inside, serializer),
            Value::Variant(name, None) => serializer.serialize_str(name),
            Value::Variant(name, Some(content)) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(name, &At(&content, inside))?;
                map.end()
            }
            Value::Array(array) => array.serialize(serializer),
            Value::Opaque(name) => {
                Err(S::Error::custom(format!("the form of `{name}` is not in the checkpoint")))
            }
        }
    }
}

fn list<S: Serializer>(members: Members<'_>, depth: u32, serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(None)?;
    for member in members {
        list.serialize_element(&At(&member.map_err(S::Error::custom)?.node, depth))?;
    }
    list.end()
}

fn object<S: Serializer>(members: Members<'_>, depth: u32, serializer: S) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(None)?;
    for member in members {
        let member = member.map_err(S::Error::custom)?;
        map.serialize_entry(&member.label.text(), &At(&member.node, depth))?;
    }
    map.end()
}

fn pairs<S: Serializer>(members: Members<'_>, depth: u32, serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(None)?;
    for member in members {
        let member = member.map_err(S::Error::custom)?;
        let Label::Key(key) = &member.label else { continue };
        list.serialize_element(&(At(key, depth), At(&member.node, depth)))?;
    }
    list.end()
}

/// Whether the keys are what keys of JSON can stand for.
fn has_plain_keys(members: &Members<'_>) -> bool {
    let plain =
        |value| matches!(value, Value::Text(_) | Value::Char(_) | Value::Number(_) | Value::Variant(_, None));
    members.clone().all(|member| match member {
        Ok(member) => match member.label {
            Label::Key(key) => key.value().is_ok_and(plain),
            _ => true,
        },
        // It is told where it is written.
        Err(_) => true,
    })
}

impl Serialize for Array<'_> {
    /// Nested lists, which are read while they are written.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let source =
            Elements { pieces: self.pieces(false).map_err(S::Error::custom)?, piece: Vec::new(), taken: 0 };
        let source = RefCell::new(source);
        // Without elements there is nothing in any dimension, however long the others are.
        let shape = if self.is_empty() { &[0] } else { self.shape() };
        let whole = Rows { array: self, source: &source, shape }.serialize(serializer)?;
        // What is compressed is known to be right only at its end.
        match source.into_inner().pieces.next() {
            Err(error) => Err(S::Error::custom(error)),
            Ok(_) => Ok(whole),
        }
    }
}

/// The elements of an array, one after the other.
struct Elements<'a> {
    pieces: Pieces<'a>,
    piece: Vec<u8>,
    taken: usize,
}

/// What is left of an array, in these dimensions.
struct Rows<'r, 'a> {
    array: &'r Array<'a>,
    source: &'r RefCell<Elements<'a>>,
    shape: &'r [u64],
}

impl Serialize for Rows<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Some((length, inner)) = self.shape.split_first() else {
            return self.next().map_err(S::Error::custom)?.serialize(serializer);
        };
        let mut list = serializer.serialize_seq(usize::try_from(*length).ok())?;
        for _ in 0..*length {
            list.serialize_element(&Rows { shape: inner, ..*self })?;
        }
        list.end()
    }
}

impl Rows<'_, '_> {
    fn next(&self) -> Result<super::Number, String> {
        let element = self.array.element();
        let mut source = self.source.borrow_mut();
        let Elements { pieces, piece, taken } = &mut *source;
        while *taken >= piece.len() {
            let next = pieces.next().map_err(|error| error.to_string())?;
            piece.clear();
            piece.extend_from_slice(next.ok_or("the array ends before its last element")?);
            *taken = 0;
        }
        let number = element.read(piece.get(*taken..).unwrap_or_default());
        *taken += element.size();
        Ok(number)
    }
}
