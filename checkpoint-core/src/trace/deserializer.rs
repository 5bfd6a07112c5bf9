//! A deserializer without data. It notes the requests of a type.

use std::any::type_name;
use std::rc::Rc;

use serde::de::value::{MapDeserializer, SeqDeserializer, UnitDeserializer};
use serde::de::{Deserializer, Expected, Visitor};

use super::access::{Choice, Entries, Members, VariantByName};
use super::emission::arguments;
use super::graph::{ContainerId, Dimensions, Form, Given, Key, Place, Shape, SlotId, VariantHunt};
use super::sample::{self, Anything};
use super::tracer::{Culprit, Refusal, Result, Tracer};
use super::{GRID, GRIDS};
use crate::arrays;
use crate::schema::Type;

/// The cost of a struct or an enum, compared with a value without parts.
const CONTAINER_STEPS: u64 = 16;

/// The deserializer of one slot.
pub(super) struct Tracing<'a> {
    pub(super) tracer: &'a mut Tracer,
    pub(super) slot: SlotId,
    pub(super) hurry: bool,
    /// The dimensions announced so far of fixed arrays. Their elements come next.
    pub(super) grid: Option<Dimensions>,
}

impl<'a> Tracing<'a> {
    /// Notes a request, and returns the number of the sample value to give.
    fn leaf(&mut self, ty: Type, samples: usize) -> usize {
        self.tracer.graph.leaf(self.slot, Shape::Leaf(ty));
        self.tracer.choice(self.slot, samples)
    }

    /// Notes a value that does not say what it reads, this time or ever.
    fn undecided(&mut self, request: &'static str, value: &'static str) {
        let slot = &mut self.tracer.graph.slots[self.slot];
        if slot.type_name.is_empty() {
            slot.type_name = value;
        }
        self.tracer.graph.leaf(self.slot, Shape::Undecided(request));
    }

    /// Reads a type with parts that is no container: the same visitor within itself means that the
    /// type is recursive.
    fn inline<'de, V: Visitor<'de>>(
        self,
        visitor: V,
        read: impl FnOnce(&mut Tracer, SlotId, bool, V) -> Result<V::Value>,
    ) -> Result<V::Value> {
        let Tracing { tracer, mut slot, mut hurry, .. } = self;
        name_if_unnamed::<V::Value>(tracer, slot);
        let visitor_name = type_name::<V>();
        if is_erased(visitor_name) {
            tracer.graph.leaf(slot, Shape::Mixed);
            return Err(Refusal::Other);
        }
        let mut within = tracer.visitors.iter().skip(tracer.visitors_within);
        let original = within.find(|(name, _)| *name == visitor_name).map(|(_, original)| *original);
        if let Some(original) = original {
            hurry = true;
            if tracer.graph.slots[slot].shape == Shape::Unknown && slot != original {
                tracer.graph.leaf(slot, Shape::SameAs(original));
            }
        }
        if let Shape::SameAs(original) = tracer.graph.slots[slot].shape {
            slot = original;
        }
        let recursion = tracer.recursion;
        tracer.recursion += usize::from(original.is_some());
        tracer.visitors.push((visitor_name, slot));
        let result = read(tracer, slot, hurry, visitor);
        tracer.visitors.pop();
        tracer.recursion = recursion;
        result
    }

    /// A struct or an enum.
    fn container<'de, V: Visitor<'de>>(
        self,
        key: (&'static str, &'static [&'static str], bool),
        visitor: V,
        read: impl FnOnce(&mut Tracer, ContainerId, bool, V) -> Result<V::Value>,
    ) -> Result<V::Value> {
        let Tracing { tracer, slot, hurry, .. } = self;
        name_if_unnamed::<V::Value>(tracer, slot);
        let (name, members, is_enum) = key;
        let key = Key { value: type_name::<V::Value>(), visitor: type_name::<V>(), name, members, is_enum };
        if is_erased(key.visitor) {
            tracer.graph.leaf(slot, Shape::Mixed);
            return Err(Refusal::Other);
        }
        let given = || Given::in_words(&(&visitor as &dyn Expected).to_string());
        let container = tracer.graph.container(slot, key, given);
        tracer.steps_left = tracer.steps_left.saturating_sub(CONTAINER_STEPS);
        let state = &mut tracer.graph.containers[container];
        state.entered += 1;
        let hurry = hurry || state.searched;
        state.searched |= !hurry;
        let recursion = tracer.recursion;
        tracer.recursion += usize::from(state.entered > 1);
        let within = std::mem::replace(&mut tracer.visitors_within, tracer.visitors.len());
        let result = read(tracer, container, hurry, visitor);
        tracer.visitors_within = within;
        tracer.recursion = recursion;
        tracer.graph.containers[container].entered -= 1;
        result
    }
}

fn name_if_unnamed<T>(tracer: &mut Tracer, slot: SlotId) {
    let slot = &mut tracer.graph.slots[slot];
    if slot.type_name.is_empty() {
        slot.type_name = type_name::<T>();
    }
}

/// True for type-erased visitors and for those that make the value behind a pointer to a trait:
/// their names say nothing of the type that they read. A visitor of a collection of such pointers
/// is not one of them.
fn is_erased(visitor: &str) -> bool {
    visitor.contains("erased_serde")
        || visitor.starts_with("dyn ")
        || arguments(visitor).iter().any(|argument| argument.starts_with("dyn "))
}

macro_rules! integers {
    ($($method:ident $visit:ident $ty:ident;)*) => {$(
        fn $method<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
            let sample = self.leaf(Type::$ty, sample::INTEGERS.len());
            visitor.$visit(sample::INTEGERS[sample].into())
        }
    )*};
}

impl<'de> Deserializer<'de> for Tracing<'_> {
    type Error = Refusal;

    integers! {
        deserialize_u8 visit_u8 U8;
        deserialize_u16 visit_u16 U16;
        deserialize_u32 visit_u32 U32;
        deserialize_u64 visit_u64 U64;
        deserialize_u128 visit_u128 U128;
        deserialize_i16 visit_i16 I16;
        deserialize_i32 visit_i32 I32;
        deserialize_i64 visit_i64 I64;
        deserialize_i128 visit_i128 I128;
    }

    fn deserialize_i8<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        let sample = self.leaf(Type::I8, sample::INTEGERS.len());
        visitor.visit_i8(sample::INTEGERS[sample].cast_signed())
    }

    fn deserialize_f32<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        let sample = self.leaf(Type::F32, sample::FLOATS.len());
        visitor.visit_f32(sample::FLOATS[sample])
    }

    fn deserialize_f64<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        let sample = self.leaf(Type::F64, sample::FLOATS.len());
        visitor.visit_f64(sample::FLOATS[sample].into())
    }

    fn deserialize_bool<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        let sample = self.leaf(Type::Bool, sample::BOOLS.len());
        visitor.visit_bool(sample::BOOLS[sample])
    }

    fn deserialize_char<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        let sample = self.leaf(Type::Char, sample::CHARS.len());
        visitor.visit_char(sample::CHARS[sample])
    }

    fn deserialize_str<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        let sample = self.leaf(Type::String, sample::TEXTS);
        visitor.visit_borrowed_str(sample::text(sample))
    }

    fn deserialize_string<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        let sample = self.leaf(Type::String, sample::TEXTS);
        visitor.visit_string(sample::text(sample).to_owned())
    }

    fn deserialize_bytes<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        let sample = self.leaf(Type::Bytes, sample::BYTES);
        visitor.visit_borrowed_bytes(sample::bytes(sample))
    }

    fn deserialize_byte_buf<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        let sample = self.leaf(Type::Bytes, sample::BYTES);
        visitor.visit_byte_buf(sample::bytes(sample).to_vec())
    }

    fn deserialize_unit<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.tracer.graph.leaf(self.slot, Shape::Leaf(Type::Unit));
        visitor.visit_unit()
    }

    fn deserialize_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        self.undecided("deserialize_any", type_name::<V::Value>());
        let sample = self.tracer.choice(self.slot, sample::ANYTHING.len());
        match sample::ANYTHING[sample] {
            Anything::Unit => visitor.visit_unit(),
            Anything::Number => visitor.visit_u64(0),
            Anything::Text => visitor.visit_borrowed_str(""),
            Anything::EmptyMap => {
                let entries = std::iter::empty::<(UnitDeserializer<Refusal>, UnitDeserializer<Refusal>)>();
                visitor.visit_map(MapDeserializer::new(entries))
            }
            Anything::EmptySequence => {
                let elements = std::iter::empty::<UnitDeserializer<Refusal>>();
                visitor.visit_seq(SeqDeserializer::new(elements))
            }
            Anything::Float => visitor.visit_f64(0.0),
        }
    }

    fn deserialize_ignored_any<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        self.undecided("deserialize_ignored_any", type_name::<V::Value>());
        visitor.visit_unit()
    }

    fn deserialize_identifier<V: Visitor<'de>>(mut self, _: V) -> Result<V::Value> {
        self.undecided("deserialize_identifier", type_name::<V::Value>());
        Err(Refusal::Other)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.inline(visitor, |tracer, slot, hurry, visitor| {
            let inner = tracer.graph.option(slot, content_of_option(type_name::<V::Value>()));
            if tracer.count(slot, &[inner], 1, hurry) == 1 {
                tracer.nest(inner, hurry, |tracing| visitor.visit_some(tracing))
            } else {
                visitor.visit_none()
            }
        })
    }

    fn deserialize_seq<V: Visitor<'de>>(mut self, visitor: V) -> Result<V::Value> {
        let grid = self.grid.take();
        self.inline(visitor, |tracer, slot, hurry, visitor| {
            // A visitor that makes a `Vec` of numbers accepts any number of them, and makes whole
            // arrays.
            let apiece = match &grid {
                Some(grid) if arrays::visitor_reads::<V>().is_none() => grid.elements(),
                _ => 1,
            };
            let is_one = grid.as_ref().is_some_and(|grid| !grid.is_vec);
            let element = tracer.graph.seq(slot, grid);
            let count = if is_one { 1 } else { tracer.count(slot, &[element], usize::MAX - 1, hurry) };
            let length = count.saturating_mul(apiece);
            visitor.visit_seq(Members {
                tracer,
                slots: Rc::from([element]),
                length,
                known: length,
                read: &mut 0,
                hurry,
            })
        })
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value> {
        self.inline(visitor, |tracer, slot, hurry, visitor| {
            let (key, value) = tracer.graph.map(slot);
            let length = tracer.count(slot, &[key, value], usize::MAX - 1, hurry);
            let result = visitor.visit_map(Entries { tracer, key, value, length, hurry });
            if result.is_err() && matches!(tracer.graph.slots[key].shape, Shape::Undecided(_)) {
                tracer.graph.slots[slot].refused = true;
            }
            result
        })
    }

    fn deserialize_tuple<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        self.inline(visitor, |tracer, slot, hurry, visitor| {
            let slots = tracer.graph.tuple(slot, length);
            let known = tracer.graph.slots[slot].read.unwrap_or(length);
            let mut read = 0;
            let result = visitor.visit_seq(Members {
                tracer: &mut *tracer,
                slots,
                length,
                known,
                read: &mut read,
                hurry,
            });
            if result.is_ok() {
                tracer.graph.read_tuple(slot, read);
            }
            result
        })
    }

    fn deserialize_unit_struct<V: Visitor<'de>>(self, name: &'static str, visitor: V) -> Result<V::Value> {
        self.container((name, &[], false), visitor, |tracer, container, _, visitor| {
            match tracer.graph.form(Place { container, variant: None }, Form::Unit) {
                Some(_) => visitor.visit_unit(),
                None => Err(tracer.give_up()),
            }
        })
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        visitor: V,
    ) -> Result<V::Value> {
        if name == GRIDS {
            self.grid.get_or_insert_default().is_vec = true;
            return visitor.visit_newtype_struct(self);
        }
        self.container((name, &[], false), visitor, |tracer, container, hurry, visitor| {
            match tracer.graph.form(Place { container, variant: None }, Form::Newtype) {
                Some(slots) => {
                    tracer.graph.slots[slots[0]].type_name = name;
                    tracer.nest(slots[0], hurry, |tracing| visitor.visit_newtype_struct(tracing))
                }
                None => Err(tracer.give_up()),
            }
        })
    }

    fn deserialize_tuple_struct<V: Visitor<'de>>(
        mut self,
        name: &'static str,
        length: usize,
        visitor: V,
    ) -> Result<V::Value> {
        if name == GRID {
            self.grid.get_or_insert_default().lengths.push(length as u64);
            return visitor.visit_newtype_struct(self);
        }
        self.container((name, &[], false), visitor, |tracer, container, hurry, visitor| {
            tracer.read_content(Place { container, variant: None }, Form::Tuple(length), visitor, hurry)
        })
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        name: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.container((name, fields, false), visitor, |tracer, container, hurry, visitor| {
            tracer.read_content(Place { container, variant: None }, Form::Named(fields), visitor, hurry)
        })
    }

    fn deserialize_enum<V: Visitor<'de>>(
        self,
        name: &'static str,
        variants: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        let slot = self.slot;
        self.container((name, variants, true), visitor, |tracer, container, hurry, visitor| {
            if !hurry && tracer.graph.containers[container].hunt.as_ref().is_some_and(VariantHunt::is_open) {
                return visitor.visit_enum(VariantByName { tracer, container });
            }
            let Some(index) = tracer.choose(slot, container, hurry) else {
                return Err(tracer.give_up());
            };
            let (mark, steps, known) = (tracer.given.len(), tracer.steps_left, tracer.graph.changes);
            tracer.graph.containers[container].variants[index].entered += 1;
            let result = visitor.visit_enum(Choice { tracer, container, index, hurry });
            let cost = steps - tracer.steps_left;
            let variant = &mut tracer.graph.containers[container].variants[index];
            variant.entered -= 1;
            match result {
                Ok(_) => variant.cost = Some(variant.cost.map_or(cost, |known| known.min(cost))),
                Err(_) => tracer.blame(Culprit::Variant(container, index), mark, known),
            }
            result
        })
    }

    fn is_human_readable(&self) -> bool {
        false
    }
}

/// `T` of `Option<T>`.
fn content_of_option(name: &'static str) -> &'static str {
    name.strip_prefix("core::option::Option<").and_then(|name| name.strip_suffix('>')).unwrap_or_default()
}
