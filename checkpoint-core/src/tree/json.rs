//! A whole value as JSON, however large its arrays are.
//!
//! It is the form that `serde_json` would make of the state: structs and maps are objects, variants
//! are named, options are their value or `null`. Arrays are nested lists. Numbers are in the form
//! of [`Number`](super::Number). A map with keys that are neither text nor numbers is a list of
//! pairs.

use std::cell::{Cell, RefCell};

use serde::ser::{Error as _, SerializeMap as _, SerializeSeq as _};
use serde::{Serialize, Serializer};

use super::array::{Array, Pieces};
use super::members::{Label, Members};
use super::node::{Node, Value};
use super::walk::TOO_MANY;
use crate::base::limits::VALUE_DEPTH_EXPORTED;

impl Serialize for Node<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let left = Cell::new(self.file.most_values());
        At { node: self, depth: 0, left: &left }.serialize(serializer)
    }
}

fn too_deep<E: serde::ser::Error>() -> E {
    E::custom(format!("values are inside each other more than {VALUE_DEPTH_EXPORTED} deep"))
}

/// A value and its depth.
struct At<'n, 'a> {
    node: &'n Node<'a>,
    depth: u32,
    /// The number of values that may still be written.
    left: &'n Cell<u64>,
}

impl<'n, 'a> At<'n, 'a> {
    /// A value inside this one.
    fn inside<'m>(&self, node: &'m Node<'a>) -> At<'m, 'a>
    where
        'n: 'm,
    {
        At { node, depth: self.depth + 1, left: self.left }
    }
}

impl Serialize for At<'_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.depth == VALUE_DEPTH_EXPORTED {
            return Err(too_deep());
        }
        match self.left.get().checked_sub(1) {
            Some(left) => self.left.set(left),
            None => return Err(S::Error::custom(TOO_MANY)),
        }
        match self.node.value().map_err(S::Error::custom)? {
            Value::Unit | Value::Option(None) => serializer.serialize_unit(),
            Value::Option(Some(inner)) => self.inside(&inner).serialize(serializer),
            Value::Number(number) => number.serialize(serializer),
            Value::Char(character) => serializer.serialize_char(character),
            Value::Text(text) => serializer.serialize_str(text),
            Value::Bytes(bytes) => bytes.serialize(serializer),
            Value::Sequence(members) | Value::Tuple(members) => self.list(members, serializer),
            Value::Struct(members) => self.object(members, serializer),
            Value::Map(members) if has_plain_keys(&members) => self.object(members, serializer),
            Value::Map(members) => self.pairs(members, serializer),
            Value::Variant(name, None) => serializer.serialize_str(name),
            Value::Variant(name, Some(content)) => {
                let mut map = serializer.serialize_map(Some(1))?;
                map.serialize_entry(name, &self.inside(&content))?;
                map.end()
            }
            Value::Array(array) => array.serialize(serializer),
            Value::Opaque(name) => {
                Err(S::Error::custom(format!("the form of `{name}` is not in the checkpoint")))
            }
        }
    }
}

impl<'a> At<'_, 'a> {
    fn list<S: Serializer>(&self, members: Members<'a>, serializer: S) -> Result<S::Ok, S::Error> {
        let shape = members.shape();
        if self.depth as usize + shape.len() > VALUE_DEPTH_EXPORTED as usize {
            return Err(too_deep());
        }
        Lists { value: self, members: &RefCell::new(members), shape: &shape }.serialize(serializer)
    }

    fn object<S: Serializer>(&self, members: Members<'a>, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for member in members {
            let member = member.map_err(S::Error::custom)?;
            map.serialize_entry(&member.label.text(), &self.inside(&member.node))?;
        }
        map.end()
    }

    fn pairs<S: Serializer>(&self, members: Members<'a>, serializer: S) -> Result<S::Ok, S::Error> {
        let mut list = serializer.serialize_seq(None)?;
        for member in members {
            let member = member.map_err(S::Error::custom)?;
            let Label::Key(key) = &member.label else { continue };
            list.serialize_element(&(self.inside(key), self.inside(&member.node)))?;
        }
        list.end()
    }
}

/// The rest of a list, in these dimensions: fixed arrays are nested lists.
struct Lists<'l, 'n, 'a> {
    value: &'l At<'n, 'a>,
    members: &'l RefCell<Members<'a>>,
    shape: &'l [u64],
}

impl Serialize for Lists<'_, '_, '_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let (length, inner) = self.shape.split_first().unwrap_or((&1, &[]));
        let mut list = serializer.serialize_seq(None)?;
        for _ in 0..*length {
            if !inner.is_empty() {
                list.serialize_element(&Lists { shape: inner, ..*self })?;
                continue;
            }
            let next = self.members.borrow_mut().next();
            let Some(member) = next.transpose().map_err(S::Error::custom)? else { break };
            list.serialize_element(&self.value.inside(&member.node))?;
        }
        list.end()
    }
}

/// True if the keys can become keys of JSON.
fn has_plain_keys(members: &Members<'_>) -> bool {
    let plain =
        |value| matches!(value, Value::Text(_) | Value::Char(_) | Value::Number(_) | Value::Variant(_, None));
    members.clone().all(|member| match member {
        Ok(member) => match member.label {
            Label::Key(key) => key.value().is_ok_and(plain),
            _ => true,
        },
        // The caller reports the error when it writes the member.
        Err(_) => true,
    })
}

impl Serialize for Array<'_> {
    /// Writes nested lists, and reads the elements at the same time.
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let source =
            Elements { pieces: self.pieces(false).map_err(S::Error::custom)?, piece: Vec::new(), taken: 0 };
        let source = RefCell::new(source);
        // Without elements all dimensions are empty, however long the others are.
        let shape = if self.is_empty() { &[0] } else { self.shape() };
        let whole = Rows { array: self, source: &source, shape }.serialize(serializer)?;
        // Compressed data is only verified at its end.
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

/// The rest of an array, in these dimensions.
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
