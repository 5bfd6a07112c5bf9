//! A state cut to the room of a screen or a page.

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::array::Array;
use super::element::Number;
use super::file::Header;
use super::members::{Label, Members};
use super::node::{Node, Value};
use super::statistics::ArraySummary;
use crate::base::limits::OUTLINE_VALUES;
use crate::base::text::shortened;
use crate::error::Error;

/// The limits to the part of a state that is shown.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// The most elements shown of sequences and arrays of numbers, texts and the like.
    pub elements: usize,
    /// The most elements shown of other sequences and maps.
    pub members: usize,
    /// The greatest depth of values inside each other.
    pub depth: usize,
    /// The most characters shown of texts and bytes.
    pub text: usize,
    /// The most bytes of all arrays together that are read for statistics. Arrays beyond that are
    /// not read.
    pub statistics_bytes: u64,
    /// The most cells of a [`Profile`](super::Profile), for arrays of two dimensions.
    pub profile_rows: usize,
    /// The most cells in a row of a [`Profile`](super::Profile).
    pub profile_columns: usize,
    /// The most [differences](super::Comparison) listed.
    pub differences: usize,
}

impl Default for Limits {
    /// Limits that fit a screen and take no noticeable time.
    fn default() -> Limits {
        Limits {
            elements: 8,
            members: 3,
            depth: 32,
            text: 200,
            statistics_bytes: 8 << 20,
            profile_rows: 24,
            profile_columns: 48,
            differences: 1000,
        }
    }
}

impl Limits {
    /// Sets the most elements shown of each sequence, array and map.
    #[must_use]
    pub fn elements(mut self, count: usize) -> Limits {
        self.elements = count;
        self.members = count;
        self
    }

    /// Sets the most bytes of all arrays together that are read for statistics.
    #[must_use]
    pub fn statistics_bytes(mut self, bytes: u64) -> Limits {
        self.statistics_bytes = bytes;
        self
    }
}

/// A value, cut to limits.
///
/// In JSON it is an object with `type`, `bytes`, and one of `value`; `members` with `count`, and
/// `variant` for an enum; `array`; `checkpoint` with `members`; `opaque`; `unreadable`.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Outline {
    /// The type, as a Rust programmer would write it.
    pub type_name: String,
    /// Its length in bytes, arrays included. `None` if it cannot be understood to its end.
    pub bytes: Option<u64>,
    /// The variants of an enum, from outside in.
    pub variants: Vec<String>,
    /// Its content.
    pub content: Content,
}

/// The content of a value.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Content {
    /// Nothing: `()`, or a variant without content.
    Unit,
    /// `None`.
    None,
    /// A number.
    Number(Number),
    /// Text, or a character.
    Text {
        /// Its beginning.
        text: String,
        /// The length of the whole, in bytes.
        bytes: u64,
    },
    /// Bytes.
    Bytes {
        /// The first bytes.
        first: Vec<u8>,
        /// The number of all bytes.
        bytes: u64,
    },
    /// Members.
    Members {
        /// The first members.
        members: Vec<OutlineMember>,
        /// The number of all members.
        total: u64,
    },
    /// An array.
    Array(Box<OutlineArray>),
    /// A checkpoint inside this one.
    Checkpoint {
        /// The checkpoint in short.
        header: Box<Header>,
        /// Its state.
        state: Box<Outline>,
    },
    /// The value is deeper than the limit.
    Deeper,
    /// A type with a form that is not in the checkpoint.
    Opaque,
    /// It cannot be read, for this reason.
    Unreadable(String),
}

/// A value inside another.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct OutlineMember {
    /// The name, number or key.
    pub label: String,
    /// True if it is an element, and has no name.
    pub is_element: bool,
    /// The value.
    pub outline: Outline,
}

/// An array, as it is shown.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct OutlineArray {
    /// The name of its part.
    pub part: String,
    /// The type of its elements.
    pub element: crate::schema::Element,
    /// The name of that type in numpy.
    pub dtype: &'static str,
    /// The lengths of its dimensions.
    pub shape: Vec<u64>,
    /// The length of its elements, in bytes.
    pub bytes: u64,
    /// Its length in the file, in bytes.
    pub stored_bytes: u64,
    /// Its summary, if it was read.
    pub summary: Option<ArraySummary>,
    /// The reason why it could not be read.
    pub unreadable: Option<String>,
}

impl Node<'_> {
    /// The value, cut to limits. A part that cannot be read is replaced by the reason.
    ///
    /// # Errors
    /// An error if the state is not there at all.
    pub fn outline(&self, limits: &Limits) -> Result<Outline, Error> {
        // There is no outline of a state that is damaged as a whole.
        self.walker()?;
        Ok(self.cut(limits))
    }

    /// The value, cut to limits, of a state that is there.
    pub(super) fn cut(&self, limits: &Limits) -> Outline {
        let (mut budget, mut values) = (limits.statistics_bytes, OUTLINE_VALUES);
        Cut { limits, budget: &mut budget, values: &mut values }.outline(self, "", 0)
    }
}

struct Cut<'l> {
    limits: &'l Limits,
    /// The number of bytes of arrays that may still be read.
    budget: &'l mut u64,
    /// The number of values that may still be shown. A forged schema has room for any number of
    /// values that take no bytes.
    values: &'l mut usize,
}

impl Cut<'_> {
    fn outline(&mut self, node: &Node<'_>, path: &str, depth: usize) -> Outline {
        let mut outline = Outline {
            type_name: node.type_name(),
            bytes: node.bytes().ok(),
            variants: Vec::new(),
            content: Content::Deeper,
        };
        let mut node = *node;
        // Each step inwards counts, or a forged file would be followed to any depth.
        for depth in depth..self.limits.depth {
            match node.value() {
                Ok(Value::Option(Some(inner))) => node = inner,
                Ok(Value::Variant(name, content)) => {
                    outline.variants.push(shortened(name).into_owned());
                    match content {
                        Some(inner) => node = inner,
                        None => {
                            outline.content = Content::Unit;
                            return outline;
                        }
                    }
                }
                Ok(value) => {
                    outline.content = match self.embedded(&node, path, depth) {
                        Some(content) => content,
                        None => self.content(value, path, depth),
                    };
                    return outline;
                }
                Err(error) => {
                    outline.content = Content::Unreadable(error.to_string());
                    return outline;
                }
            }
        }
        outline
    }

    fn content(&mut self, value: Value<'_>, path: &str, depth: usize) -> Content {
        match value {
            Value::Unit => Content::Unit,
            Value::Option(_) => Content::None,
            Value::Number(number) => Content::Number(number),
            Value::Char(character) => {
                Content::Text { text: character.to_string(), bytes: character.len_utf8() as u64 }
            }
            Value::Text(text) => Content::Text {
                text: text.chars().take(self.limits.text).collect(),
                bytes: text.len() as u64,
            },
            Value::Bytes(bytes) => Content::Bytes {
                first: bytes.iter().take(self.limits.elements).copied().collect(),
                bytes: bytes.len() as u64,
            },
            Value::Array(array) => Content::Array(Box::new(self.array(&array))),
            Value::Opaque(_) => Content::Opaque,
            Value::Variant(..) => Content::Unit,
            Value::Sequence(members) => self.members(members, path, depth, false),
            Value::Map(members) => self.members(members, path, depth, false),
            Value::Tuple(members) | Value::Struct(members) => self.members(members, path, depth, true),
        }
    }

    fn members(&mut self, members: Members<'_>, path: &str, depth: usize, all: bool) -> Content {
        let total = members.total();
        let mut limit = usize::MAX;
        let mut shown = Vec::new();
        for member in members {
            if shown.len() >= limit || *self.values == 0 {
                break;
            }
            *self.values -= 1;
            let (label, is_element, outline) = match member {
                Ok(member) => {
                    let path = format!("{path}/{}", shortened(&member.label.step()));
                    let is_element = matches!(member.label, Label::Index(_));
                    let outline = self.outline(&member.node, &path, depth + 1);
                    (shortened(&member.label.text()).into_owned(), is_element, outline)
                }
                Err(error) => {
                    let content = Content::Unreadable(error.to_string());
                    let outline =
                        Outline { type_name: String::new(), bytes: None, variants: Vec::new(), content };
                    shown.push(OutlineMember { label: "…".to_owned(), is_element: false, outline });
                    break;
                }
            };
            if shown.is_empty() && !all {
                limit = if outline.is_short() { self.limits.elements } else { self.limits.members };
            }
            shown.push(OutlineMember { label, is_element, outline });
        }
        shown.truncate(limit);
        Content::Members { members: shown, total }
    }

    fn array(&mut self, array: &Array<'_>) -> OutlineArray {
        let mut outline = OutlineArray {
            part: array.part().to_owned(),
            element: array.element(),
            dtype: array.dtype(),
            shape: array.shape().to_vec(),
            bytes: array.bytes(),
            stored_bytes: array.stored_bytes(),
            summary: None,
            unreadable: None,
        };
        if let Some(left) = self.budget.checked_sub(array.bytes()) {
            *self.budget = left;
            match array.summary(self.limits) {
                Ok(summary) => outline.summary = Some(summary),
                Err(error) => outline.unreadable = Some(error.to_string()),
            }
        }
        outline
    }

    /// A checkpoint in place of bytes.
    fn embedded(&mut self, node: &Node<'_>, path: &str, depth: usize) -> Option<Content> {
        if node.bytes().ok()? > *self.budget {
            return None;
        }
        let file = node.embedded(path.trim_start_matches('/')).ok().flatten()?;
        let state = self.outline(&file.root(), "", depth + 1);
        Some(Content::Checkpoint { header: Box::new(file.header()), state: Box::new(state) })
    }
}

impl Outline {
    /// True if one word shows it.
    #[must_use]
    pub fn is_short(&self) -> bool {
        !matches!(
            self.content,
            Content::Members { .. } | Content::Array(_) | Content::Checkpoint { .. } | Content::Unreadable(_)
        )
    }
}

impl Serialize for Outline {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        self.put(&mut map)?;
        map.end()
    }
}

impl Outline {
    fn put<M: serde::ser::SerializeMap>(&self, map: &mut M) -> Result<(), M::Error> {
        if !self.type_name.is_empty() {
            map.serialize_entry("type", &self.type_name)?;
        }
        if let Some(bytes) = self.bytes {
            map.serialize_entry("bytes", &bytes)?;
        }
        if !self.variants.is_empty() {
            map.serialize_entry("variant", &self.variants.join("::"))?;
        }
        match &self.content {
            Content::Unit | Content::None => map.serialize_entry("value", &()),
            Content::Number(number) => map.serialize_entry("value", number),
            Content::Text { text, bytes } => {
                map.serialize_entry("value", text)?;
                if text.len() as u64 == *bytes { Ok(()) } else { map.serialize_entry("count", bytes) }
            }
            Content::Bytes { first, bytes } => {
                map.serialize_entry("value", first)?;
                if first.len() as u64 == *bytes { Ok(()) } else { map.serialize_entry("count", bytes) }
            }
            Content::Members { members, total } => {
                map.serialize_entry("count", total)?;
                map.serialize_entry("members", members)
            }
            Content::Array(array) => map.serialize_entry("array", array),
            Content::Checkpoint { header, state } => {
                map.serialize_entry("checkpoint", header)?;
                map.serialize_entry("state", state)
            }
            Content::Deeper => map.serialize_entry("deeper", &true),
            Content::Opaque => map.serialize_entry("opaque", &true),
            Content::Unreadable(why) => map.serialize_entry("unreadable", why),
        }
    }
}

impl Serialize for OutlineMember {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("name", &self.label)?;
        self.outline.put(&mut map)?;
        map.end()
    }
}
