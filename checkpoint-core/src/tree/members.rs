//! The values inside a value.

use std::borrow::Cow;

use super::array::Array;
use super::element::Number;
use super::file::File;
use super::node::{Node, Value};
use super::walk::{Place, Walker};
use crate::base::limits::{KEY_DEPTH, KEY_LENGTH};
use crate::error::Error;
use crate::schema::{Field, Grid, Type, hidden};

/// The values inside a value, one after the other. After an error there are no more.
#[derive(Clone, Debug)]
pub struct Members<'a> {
    file: &'a File,
    inside: Inside<'a>,
    /// The number of values.
    total: u64,
    /// The number of values given so far.
    index: u64,
    /// The place and the type of the last one given. The next one is behind it.
    last: Option<(Place, &'a Type)>,
    start: Place,
    /// The length of each element in bytes, if it is fixed.
    stride: Option<u64>,
    failed: bool,
    /// The lengths of the dimensions that the values are in: one, except for fixed arrays in one
    /// sequence. Their product is the number of values.
    shape: Option<Vec<u64>>,
}

/// The types of the values.
#[derive(Clone, Copy, Debug)]
pub(super) enum Inside<'a> {
    Elements(&'a Type, u64),
    Types(&'a [Type]),
    Fields(&'a [Field]),
    Entries(&'a Type, &'a Type, u64),
}

/// One value inside another.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Member<'a> {
    /// Its place in the other.
    pub label: Label<'a>,
    /// The value.
    pub node: Node<'a>,
}

/// The member that a step of a path stands for.
pub(super) enum Named<'a> {
    Nothing,
    One(Node<'a>),
    /// Several keys of a map are written in this way.
    Several,
}

/// The spelling of a name or a key in a path. The first one counts, where a step is one key in this
/// spelling and another key in that.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Spelling {
    /// As [`Label::step`] writes it, and `ckpt show`.
    Step,
    /// As it is.
    Plain,
    /// As in the names of arrays.
    OfArrays,
}

/// The spelling in which a step is this text, if it is.
fn spelling(text: &str, step: &str) -> Option<Spelling> {
    if step_of(text) == step {
        return Some(Spelling::Step);
    }
    if text == step {
        return Some(Spelling::Plain);
    }
    (crate::schema::path_step(text) == step).then_some(Spelling::OfArrays)
}

/// A name or a key as a step of a path.
fn step_of(text: &str) -> Cow<'_, str> {
    if text.is_empty() {
        return Cow::Borrowed("%");
    }
    if !text.contains(['/', '%']) {
        return Cow::Borrowed(text);
    }
    let mut step = String::new();
    for character in text.chars() {
        match character {
            '/' | '%' => step.push_str(&format!("%{:02X}", u32::from(character))),
            _ => step.push(character),
        }
    }
    Cow::Owned(step)
}

/// The place of a value inside another.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Label<'a> {
    /// The field of this name.
    Field(&'a str),
    /// The element or the member of this number, from 0 on.
    Index(u64),
    /// The value of this key.
    Key(Node<'a>),
}

impl<'a> Members<'a> {
    pub(super) fn new(file: &'a File, inside: Inside<'a>, start: Place) -> Members<'a> {
        let total = match inside {
            Inside::Elements(_, count) | Inside::Entries(_, _, count) => count,
            Inside::Types(types) => types.len() as u64,
            Inside::Fields(fields) => fields.len() as u64,
        };
        let stride = match inside {
            Inside::Elements(ty, _) => file.layout.length(ty),
            _ => None,
        };
        Members { file, inside, total, index: 0, last: None, start, stride, failed: false, shape: None }
    }

    /// The elements of fixed arrays.
    ///
    /// # Errors
    /// An error if there is no whole number of arrays.
    pub(super) fn in_shape_of(mut self, grid: &Grid) -> Result<Members<'a>, Error> {
        let one = grid.lengths.iter().try_fold(1_u64, |product, length| product.checked_mul(*length));
        let rows = match one {
            Some(0) | None => 0,
            Some(one) => self.total / one,
        };
        let arrays = if grid.is_vec { rows } else { 1 };
        if one.and_then(|one| one.checked_mul(arrays)) != Some(self.total) {
            let total = self.total;
            return Err(self.file.damaged(format!("{total} elements are no whole number of fixed arrays")));
        }
        self.shape =
            Some(grid.is_vec.then_some(rows).into_iter().chain(grid.lengths.iter().copied()).collect());
        Ok(self)
    }

    /// The lengths of the dimensions that the values are in, outermost first. Without values all
    /// dimensions are empty, however long the others are.
    pub(super) fn shape(&self) -> Vec<u64> {
        match &self.shape {
            Some(shape) if self.total > 0 => shape.clone(),
            _ => vec![self.total],
        }
    }

    /// The number of values, as the checkpoint says. For a damaged one it may be false.
    #[must_use]
    pub fn total(&self) -> u64 {
        self.total
    }

    /// All of them, if they are bytes.
    pub(super) fn plain_bytes(&self) -> Option<&'a [u8]> {
        let Inside::Elements(Type::U8, count) = self.inside else { return None };
        self.walker().ok()?.take_slice(count).ok()
    }

    /// The member with this name, number or key.
    pub(super) fn named(mut self, step: &str) -> Result<Named<'a>, Error> {
        let one = |node| Ok(Named::One(node));
        match self.inside {
            Inside::Elements(ty, count) => {
                let Some(wanted) = step.parse().ok().filter(|wanted| *wanted < count) else {
                    return Ok(Named::Nothing);
                };
                let mut walker = self.walker()?;
                walker.skip_elements(ty, wanted).map_err(|trouble| self.file.trouble(trouble))?;
                one(Node::of_type(self.file, ty, walker.place))
            }
            Inside::Types(_) => {
                let wanted = step.parse().ok().and_then(|wanted: usize| self.nth(wanted));
                wanted.transpose()?.map_or(Ok(Named::Nothing), |member| one(member.node))
            }
            Inside::Fields(fields) => {
                let spelt = fields.iter().map(|field| spelling(hidden::label(&field.name), step));
                // Nothing behind the field is walked through: its form may be unknown.
                let places = spelt.enumerate().filter_map(|(place, spelling)| Some((spelling?, place)));
                let Some((_, place)) = places.min() else { return Ok(Named::Nothing) };
                self.nth(place).transpose()?.map_or(Ok(Named::Nothing), |member| one(member.node))
            }
            Inside::Entries(..) => self.of_key(step),
        }
    }

    /// The value of the key that a step stands for. All keys are read: another may be meant too.
    fn of_key(self, step: &str) -> Result<Named<'a>, Error> {
        let mut found: Option<(Spelling, Node<'a>)> = None;
        let mut is_ambiguous = false;
        for member in self {
            let Member { label, node } = member?;
            let Some(spelling) = spelling(&label.text(), step) else { continue };
            match &found {
                Some((before, _)) if *before < spelling => {}
                Some((before, _)) if *before == spelling => is_ambiguous = true,
                _ => (found, is_ambiguous) = (Some((spelling, node)), false),
            }
        }
        Ok(match found {
            Some(_) if is_ambiguous => Named::Several,
            Some((_, node)) => Named::One(node),
            None => Named::Nothing,
        })
    }

    fn following(&mut self) -> Result<Option<Member<'a>>, Error> {
        let place = match (self.last, self.stride) {
            (None, _) => self.start,
            (Some(_), Some(stride)) => self.after(self.index, stride)?,
            (Some((place, ty)), None) => Node::of_type(self.file, ty, place).end()?,
        };
        let Ok(index) = usize::try_from(self.index) else { return Ok(None) };
        let (label, ty, place) = match self.inside {
            Inside::Elements(ty, _) => (Label::Index(self.index), ty, place),
            Inside::Types(types) => match types.get(index) {
                Some(ty) => (Label::Index(self.index), ty, place),
                None => return Ok(None),
            },
            Inside::Fields(fields) => match fields.get(index) {
                Some(field) => (Label::Field(hidden::label(&field.name)), &field.ty, place),
                None => return Ok(None),
            },
            Inside::Entries(key, value, _) => {
                let key = Node::of_type(self.file, key, place);
                (Label::Key(key), value, key.end()?)
            }
        };
        self.index += 1;
        self.last = Some((place, ty));
        Ok(Some(Member { label, node: Node::of_type(self.file, ty, place) }))
    }

    /// The place behind so many elements of this length. The next reading finds out if it is in the
    /// state.
    fn after(&self, count: u64, stride: u64) -> Result<Place, Error> {
        let length = count.checked_mul(stride).and_then(|length| usize::try_from(length).ok());
        match length.and_then(|length| self.start.offset.checked_add(length)) {
            Some(offset) => Ok(Place { offset, array: self.start.array }),
            None => Err(self.file.damaged("the data ends before the value is complete".to_owned())),
        }
    }

    fn walker(&self) -> Result<Walker<'a>, Error> {
        self.file.walker(self.start)
    }
}

impl<'a> Iterator for Members<'a> {
    type Item = Result<Member<'a>, Error>;

    fn next(&mut self) -> Option<Result<Member<'a>, Error>> {
        if self.failed || self.index >= self.total {
            return None;
        }
        let next = self.following();
        self.failed = next.is_err();
        next.transpose()
    }
}

impl Label<'_> {
    /// The label as text: the name, the number, or the key.
    #[must_use]
    pub fn text(&self) -> Cow<'_, str> {
        match self {
            Label::Field(name) => Cow::Borrowed(*name),
            Label::Index(index) => Cow::Owned(index.to_string()),
            Label::Key(key) => Cow::Owned(key_text(key).unwrap_or_else(|_| "?".to_owned())),
        }
    }

    /// The label as a step of a path: characters with a meaning there are written as `%` and two
    /// hexadecimal digits.
    #[must_use]
    pub fn step(&self) -> String {
        step_of(&self.text()).into_owned()
    }
}

/// A key as text. A key that is no text and no number is written as in Rust; a long one is cut off.
fn key_text(key: &Node<'_>) -> Result<String, Error> {
    let mut text = String::new();
    write_key(key, 0, &mut text)?;
    Ok(text)
}

fn write_key(key: &Node<'_>, depth: u32, text: &mut String) -> Result<(), Error> {
    if depth == KEY_DEPTH || text.len() > KEY_LENGTH {
        text.push('…');
        return Ok(());
    }
    match key.value()? {
        Value::Text(key) => text.push_str(key),
        Value::Char(character) => text.push(character),
        Value::Number(number) => text.push_str(&number.to_string()),
        Value::Unit => text.push_str("()"),
        Value::Option(None) => text.push_str("None"),
        Value::Option(Some(inner)) => write_key(&inner, depth + 1, text)?,
        Value::Variant(name, None) => text.push_str(name),
        Value::Variant(name, Some(content)) => {
            text.push_str(name);
            write_key(&content, depth + 1, text)?;
        }
        Value::Bytes(bytes) => text.extend(bytes.iter().map(|byte| format!("{byte:02x}"))),
        Value::Array(array) => write_array_key(&array, key.is_bytes(), text)?,
        value => match value.members() {
            Some(members) => {
                text.push('(');
                for (number, member) in members.enumerate() {
                    text.push_str(if number == 0 { "" } else { ", " });
                    write_key(&member?.node, depth + 1, text)?;
                    if text.len() > KEY_LENGTH {
                        break;
                    }
                }
                text.push(')');
            }
            None => text.push('?'),
        },
    }
    Ok(())
}

/// Writes a key that is kept apart like one that is not.
fn write_array_key(array: &Array<'_>, is_bytes: bool, text: &mut String) -> Result<(), Error> {
    let first = array.first(KEY_LENGTH)?;
    if is_bytes {
        let bytes = first.iter().filter_map(|number| match number {
            Number::Unsigned(byte) => Some(format!("{byte:02x}")),
            _ => None,
        });
        text.extend(bytes);
    } else {
        write_rows(&mut first.iter(), array.shape(), text);
    }
    Ok(())
}

fn write_rows<'n>(numbers: &mut impl Iterator<Item = &'n Number>, shape: &[u64], text: &mut String) {
    let Some((length, inner)) = shape.split_first() else {
        return text.extend(numbers.next().map(ToString::to_string));
    };
    text.push('(');
    for number in 0..*length {
        text.push_str(if number == 0 { "" } else { ", " });
        write_rows(numbers, inner, text);
        if text.len() > KEY_LENGTH {
            break;
        }
    }
    text.push(')');
}
