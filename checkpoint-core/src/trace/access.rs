//! The parts of sequences, maps, structs and enums, one at a time.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::mem;
use std::rc::Rc;

use serde::de::value::{BorrowedStrDeserializer, U32Deserializer};
use serde::de::{
    DeserializeSeed, EnumAccess, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor,
};

use super::graph::{ContainerId, Form, Place, SlotId};
use super::tracer::{Refusal, Result, Tracer};

/// The parts of a tuple, a struct or a sequence, in order.
pub(super) struct Members<'a> {
    pub(super) tracer: &'a mut Tracer,
    pub(super) slots: Rc<[SlotId]>,
    pub(super) length: usize,
    /// The number of members read so far, as far as it is known.
    pub(super) known: usize,
    pub(super) read: &'a mut usize,
    pub(super) hurry: bool,
}

impl<'de> SeqAccess<'de> for Members<'_> {
    type Error = Refusal;

    fn next_element_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        if *self.read >= self.length {
            return Ok(None);
        }
        let Some(slot) = self.slots.get(*self.read).or(self.slots.last()).copied() else {
            return Ok(None);
        };
        // Elements after the first only show whether all have the same form.
        let is_again = *self.read >= self.slots.len();
        *self.read += 1;
        let value = self.tracer.read(slot, seed, self.hurry || is_again)?;
        if self.tracer.is_unmade(*self.read >= self.known) { Err(Refusal::Other) } else { Ok(Some(value)) }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.length.saturating_sub(*self.read))
    }
}

/// The entries of a map.
pub(super) struct Entries<'a> {
    pub(super) tracer: &'a mut Tracer,
    pub(super) key: SlotId,
    pub(super) value: SlotId,
    /// The number of entries that are left.
    pub(super) length: usize,
    pub(super) hurry: bool,
}

impl<'de> MapAccess<'de> for Entries<'_> {
    type Error = Refusal;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        if self.length == 0 {
            return Ok(None);
        }
        self.length -= 1;
        self.tracer.read(self.key, seed, self.hurry).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        let value = self.tracer.read(self.value, seed, self.hurry);
        // Entries after the first only show whether all have the same form.
        self.hurry = true;
        if self.tracer.is_unmade(self.length == 0) { Err(Refusal::Other) } else { value }
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.length)
    }
}

/// Chosen fields of a struct, by name; the last of the queue first.
pub(super) struct ByName<'a> {
    pub(super) tracer: &'a mut Tracer,
    pub(super) queue: Vec<(&'static str, SlotId)>,
    pub(super) value: SlotId,
    pub(super) asked: &'a mut bool,
}

impl<'de> MapAccess<'de> for ByName<'_> {
    type Error = Refusal;

    fn next_key_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<Option<S::Value>> {
        let Some((name, slot)) = self.queue.pop() else {
            return Ok(None);
        };
        self.value = slot;
        seed.deserialize(BorrowedStrDeserializer::new(name)).map(Some)
    }

    fn next_value_seed<S: DeserializeSeed<'de>>(&mut self, seed: S) -> Result<S::Value> {
        *self.asked = true;
        let value = self.tracer.read(self.value, seed, false);
        if self.tracer.is_unmade(true) {
            return Err(Refusal::Other);
        }
        // Hides the reason: a field that was given twice within the value is none of this struct.
        value.map_err(|_| Refusal::Other)
    }
}

/// One variant of an enum.
pub(super) struct Choice<'a> {
    pub(super) tracer: &'a mut Tracer,
    pub(super) container: ContainerId,
    pub(super) index: usize,
    pub(super) hurry: bool,
}

impl Choice<'_> {
    fn place(&self) -> Place {
        Place { container: self.container, variant: Some(self.index) }
    }
}

impl<'de> EnumAccess<'de> for Choice<'_> {
    type Error = Refusal;
    type Variant = Self;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self)> {
        // bincode gives the number, never the name.
        let number: U32Deserializer<Refusal> =
            u32::try_from(self.index).unwrap_or(u32::MAX).into_deserializer();
        let result = seed.deserialize(number);
        let graph = &mut self.tracer.graph;
        let variant = &mut graph.containers[self.container].variants[self.index];
        match result {
            Ok(value) => {
                if !variant.explored {
                    variant.explored = true;
                    variant.mark = Some(mark(&value));
                    graph.changes += 1;
                }
                Ok((value, self))
            }
            Err(refusal) if variant.explored => Err(refusal),
            Err(refusal) => {
                variant.rejected = true;
                graph.changes += 1;
                self.tracer.stop();
                Err(refusal)
            }
        }
    }
}

/// Equal for two values that are the same variant of one enum, and practically never for others.
fn mark<T>(value: &T) -> u64 {
    let mut hasher = DefaultHasher::new();
    mem::discriminant(value).hash(&mut hasher);
    hasher.finish()
}

/// The name of a variant, to see which one it is. The content is not read.
pub(super) struct VariantByName<'a> {
    pub(super) tracer: &'a mut Tracer,
    pub(super) container: ContainerId,
}

impl<'de, 'a> EnumAccess<'de> for VariantByName<'a> {
    type Error = Refusal;
    type Variant = Choice<'a>;

    fn variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<(S::Value, Self::Variant)> {
        let container = &mut self.tracer.graph.containers[self.container];
        if let Some(hunt) = &mut container.hunt {
            let name = container.key.members.get(hunt.next).copied().unwrap_or_default();
            let found = seed.deserialize(BorrowedStrDeserializer::<Refusal>::new(name));
            hunt.note(found.ok().map(|value| mark(&value)));
        }
        self.tracer.graph.changes += 1;
        Err(self.tracer.stop())
    }
}

impl<'de> VariantAccess<'de> for Choice<'_> {
    type Error = Refusal;

    fn unit_variant(self) -> Result<()> {
        match self.tracer.graph.form(self.place(), Form::Unit) {
            Some(_) => Ok(()),
            None => Err(self.tracer.give_up()),
        }
    }

    fn newtype_variant_seed<S: DeserializeSeed<'de>>(self, seed: S) -> Result<S::Value> {
        match self.tracer.graph.form(self.place(), Form::Newtype) {
            Some(slots) => self.tracer.read(slots[0], seed, self.hurry),
            None => Err(self.tracer.give_up()),
        }
    }

    fn tuple_variant<V: Visitor<'de>>(self, length: usize, visitor: V) -> Result<V::Value> {
        self.tracer.read_content(self.place(), Form::Tuple(length), visitor, self.hurry)
    }

    fn struct_variant<V: Visitor<'de>>(
        self,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value> {
        self.tracer.read_content(self.place(), Form::Named(fields), visitor, self.hurry)
    }
}
