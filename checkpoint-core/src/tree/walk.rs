//! Passes over values, guided by the schema. Neither the bytes nor the schema are trusted.

use super::ends::{Ends, Known, WORTH_IT};
use super::layout::Layout;
use crate::arrays::Reference;
use crate::base::limits::VALUE_DEPTH_WALKED;
use crate::codec::bytes::{self, Flag};
use crate::codec::{self, most_values};
use crate::schema::{Body, Field, Fields, Grid, Schema, Type};

pub(super) const TOO_MANY: &str = "there are too many values that take no space";

/// The beginning of a value: in the bytes of the state, and among its arrays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) offset: usize,
    pub(super) array: usize,
}

/// The reason why a value cannot be read.
#[derive(Debug)]
pub(super) enum Trouble {
    /// The bytes do not fit the schema.
    Damaged(String),
    /// The schema does not describe the bytes of this type.
    Opaque(String),
}

pub(super) fn damaged<T>(why: impl Into<String>) -> Result<T, Trouble> {
    Err(Trouble::Damaged(why.into()))
}

/// An array that is kept apart.
#[derive(Clone, Copy, Debug)]
pub(super) struct Apart {
    pub(super) number: usize,
    pub(super) rows: u64,
}

/// The elements of a sequence.
pub(super) enum Count {
    Here(u64),
    Apart(Apart),
}

/// A check of an array, given the type of its rows.
pub(super) type Check<'c> = dyn Fn(Apart, &Type) -> Result<(), Trouble> + 'c;

/// Reads values from a place of the state on.
pub(super) struct Walker<'a> {
    pub(super) bytes: &'a [u8],
    pub(super) schema: &'a Schema,
    pub(super) layout: &'a Layout,
    pub(super) place: Place,
    /// Called for each array that is passed over, with the type of its rows. With a check,
    /// everything is looked at.
    pub(super) check: Option<&'a Check<'a>>,
    ends: &'a Ends,
    steps: u64,
    /// The steps of values with ends that were noted on the way.
    noted: u64,
}

/// Parts that are still to be passed over.
pub(super) enum Rest<'a> {
    Types(std::slice::Iter<'a, Type>),
    Fields(std::slice::Iter<'a, Field>),
    Elements(&'a Type, u64),
    Entries { key: &'a Type, value: &'a Type, left: u64, is_value: bool },
}

/// Parts of one value that are still to be passed over.
struct Frame<'a> {
    rest: Rest<'a>,
    /// The value, its beginning, and two counts from there: the steps left, and the steps noted.
    value: Option<(&'a Type, Place, u64, u64)>,
}

impl<'a> From<Rest<'a>> for Frame<'a> {
    fn from(rest: Rest<'a>) -> Frame<'a> {
        Frame { rest, value: None }
    }
}

impl<'a> Rest<'a> {
    pub(super) fn next(&mut self) -> Option<&'a Type> {
        match self {
            Rest::Types(types) => types.next(),
            Rest::Fields(fields) => fields.next().map(|field| &field.ty),
            Rest::Elements(ty, left) => left.checked_sub(1).map(|rest| {
                *left = rest;
                *ty
            }),
            Rest::Entries { key, value, left, is_value } => {
                *is_value = !*is_value;
                if !*is_value {
                    return Some(value);
                }
                *left = left.checked_sub(1)?;
                Some(key)
            }
        }
    }
}

impl<'a> Walker<'a> {
    pub(super) fn new(
        bytes: &'a [u8],
        schema: &'a Schema,
        layout: &'a Layout,
        ends: &'a Ends,
        place: Place,
    ) -> Walker<'a> {
        let steps = most_values(bytes.len());
        Walker { bytes, schema, layout, place, check: None, ends, steps, noted: 0 }
    }

    /// Takes the front of the bytes at the place, and goes behind it.
    fn front<R>(
        &mut self,
        take: impl FnOnce(&mut &'a [u8]) -> Result<R, codec::Failure>,
    ) -> Result<R, Trouble> {
        let mut rest = self.bytes.get(self.place.offset..).unwrap_or_default();
        let taken = take(&mut rest).map_err(|failure| Trouble::Damaged(failure.into_sentence()))?;
        self.place.offset = self.bytes.len() - rest.len();
        Ok(taken)
    }

    pub(super) fn take_slice(&mut self, length: u64) -> Result<&'a [u8], Trouble> {
        self.front(|rest| bytes::slice(rest, length))
    }

    pub(super) fn take<const N: usize>(&mut self) -> Result<[u8; N], Trouble> {
        self.front(bytes::array)
    }

    pub(super) fn length(&mut self) -> Result<u64, Trouble> {
        self.front(bytes::length)
    }

    pub(super) fn flag(&mut self, what: Flag) -> Result<bool, Trouble> {
        self.front(|rest| bytes::flag(rest, what))
    }

    pub(super) fn character(&mut self) -> Result<char, Trouble> {
        self.front(bytes::character)
    }

    pub(super) fn text(&mut self) -> Result<&'a str, Trouble> {
        self.front(bytes::text)
    }

    /// The number of elements of a sequence. Arrays come in the order of their numbers.
    pub(super) fn count(&mut self) -> Result<Count, Trouble> {
        let Reference { number, rows } = match self.front(bytes::count)? {
            bytes::Count::Here(count) => return Ok(Count::Here(count)),
            bytes::Count::Apart(array) => array,
        };
        if number != self.place.array as u64 {
            return damaged(format!("it refers to array {number} where array {} belongs", self.place.array));
        }
        let number = self.place.array;
        self.place.array += 1;
        Ok(Count::Apart(Apart { number, rows }))
    }

    /// The fields and the name of the variant that a value of this enum has.
    pub(super) fn variant(
        &mut self,
        variants: &'a [crate::schema::Variant],
    ) -> Result<&'a crate::schema::Variant, Trouble> {
        self.front(|rest| bytes::variant(rest, variants))
    }

    /// Passes over `count` elements.
    pub(super) fn skip_elements(&mut self, ty: &'a Type, count: u64) -> Result<(), Trouble> {
        self.run(vec![Rest::Elements(ty, count).into()])
    }

    /// Passes over a value of this type.
    pub(super) fn skip(&mut self, ty: &'a Type) -> Result<(), Trouble> {
        self.skip_elements(ty, 1)
    }

    /// Passes over fields.
    pub(super) fn skip_fields(&mut self, fields: &'a Fields) -> Result<(), Trouble> {
        self.run(rest_of(fields).into_iter().map(Frame::from).collect())
    }

    fn run(&mut self, stack: Vec<Frame<'a>>) -> Result<(), Trouble> {
        if self.check.is_some() {
            // The check may look at values meanwhile, and must see all arrays.
            return self.pass_over(stack, None);
        }
        let mut ends = self.ends.lock();
        #[cfg(test)]
        let before = self.steps;
        let passed = self.pass_over(stack, Some(&mut *ends));
        #[cfg(test)]
        {
            ends.steps += before - self.steps;
        }
        passed
    }

    /// The parts to be passed over are in a list instead of on the stack: a forged schema nests to
    /// any depth.
    fn pass_over(&mut self, mut stack: Vec<Frame<'a>>, mut ends: Option<&mut Known>) -> Result<(), Trouble> {
        while let Some(Frame { rest, value }) = stack.last_mut() {
            if let Rest::Elements(ty, left) = rest
                && let Some(length) = self.layout.length(ty)
                && (self.check.is_none() || length == 0)
            {
                let length = length.checked_mul(*left);
                *left = 0;
                self.take_slice(length.unwrap_or(u64::MAX))?;
            }
            let Some(ty) = rest.next() else {
                if let (Some(ends), Some(value)) = (ends.as_deref_mut(), *value) {
                    self.passed(ends, value);
                }
                stack.pop();
                continue;
            };
            self.steps = match self.steps.checked_sub(1) {
                Some(steps) => steps,
                None => return damaged(TOO_MANY),
            };
            if let Some(end) = ends.as_deref().and_then(|ends| ends.get(self.place, ty)) {
                self.place = end;
                continue;
            }
            let value = (ty, self.place, self.steps, self.noted);
            stack.extend(self.enter(ty)?.map(|rest| Frame { rest, value: Some(value) }));
            if stack.len() > VALUE_DEPTH_WALKED {
                return damaged(format!("values are nested more than {VALUE_DEPTH_WALKED} deep"));
            }
        }
        Ok(())
    }

    /// Notes the end of a value if that saves enough steps. Steps of ends noted inside it do not
    /// count.
    fn passed(&mut self, ends: &mut Known, (ty, start, steps, noted): (&'a Type, Place, u64, u64)) {
        let taken = (steps - self.steps).saturating_sub(self.noted - noted);
        if taken >= WORTH_IT {
            ends.note(start, ty, self.place);
            self.noted += taken;
        }
    }

    /// Passes over the beginning of a value, and returns the parts behind it.
    pub(super) fn enter(&mut self, ty: &'a Type) -> Result<Option<Rest<'a>>, Trouble> {
        match ty {
            Type::Bool => self.flag(Flag::Bool).map(|_| None),
            Type::Char => self.character().map(|_| None),
            Type::String => self.text().map(|_| None),
            Type::Bytes => match self.count()? {
                Count::Here(length) => self.take_slice(length).map(|_| None),
                Count::Apart(array) => {
                    self.check.map_or(Ok(()), |check| check(array, &Type::U8))?;
                    Ok(None)
                }
            },
            Type::Option(inner) => Ok(self.flag(Flag::Option)?.then_some(Rest::Elements(inner, 1))),
            Type::Seq(element) | Type::Grid(Grid { element, .. }) => match self.count()? {
                Count::Here(count) => Ok(Some(Rest::Elements(element, count))),
                Count::Apart(array) => {
                    self.check.map_or(Ok(()), |check| check(array, element))?;
                    Ok(None)
                }
            },
            Type::Map(key, value) => {
                Ok(Some(Rest::Entries { key, value, left: self.length()?, is_value: false }))
            }
            Type::Tuple(members) => Ok(Some(Rest::Types(members.iter()))),
            Type::Array(element, length) => Ok(Some(Rest::Elements(element, *length))),
            Type::Named(place) => match self.schema.types.get(*place).map(|definition| &definition.body) {
                Some(Body::Struct(fields)) => Ok(rest_of(fields)),
                Some(Body::Enum(variants)) => Ok(rest_of(&self.variant(variants)?.fields)),
                None => damaged("the schema refers to a type that it does not have"),
            },
            Type::Opaque(name) | Type::Unsupported(name) => Err(Trouble::Opaque(name.clone())),
            scalar => {
                let length = self.layout.length(scalar).unwrap_or(u64::MAX);
                self.take_slice(length).map(|_| None)
            }
        }
    }
}

pub(super) fn rest_of(fields: &Fields) -> Option<Rest<'_>> {
    match fields {
        Fields::Unit => None,
        Fields::Newtype(ty) => Some(Rest::Elements(ty, 1)),
        Fields::Tuple(types) => Some(Rest::Types(types.iter())),
        Fields::Named(fields) => Some(Rest::Fields(fields.iter())),
    }
}

#[cfg(test)]
mod tests;
