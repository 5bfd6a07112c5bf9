//! Compares each value with the form that will be read, and finds the forms of its parts.
//!
//! The form that fits at once is found in one comparison. All others are looked up apart.

use crate::codec::forms::{Entries, Expected, Form, Id};
use crate::codec::leaf::Leaf;
use crate::codec::observed::Style;
use crate::codec::parts::Parts;
use crate::codec::writer::{WAY_OUT, Writer};
use crate::codec::{Failure, Result, leaves, novel};

impl Writer<'_> {
    /// The failure of a value that would not be read as it is written.
    #[cold]
    pub(in crate::codec) fn mismatch(&self, next: Expected, written: &str) -> Failure {
        differs(written, &self.forms.describe(next.id()))
    }

    /// The form inside a product of one value, which takes no space.
    fn within(&self, next: Expected) -> Option<Expected> {
        self.forms.within(self.forms.get(next.id())).map(|within| self.forms.expect(within))
    }

    #[cold]
    pub(super) fn other_leaf(&mut self, next: Expected, leaf: Leaf) -> Result<()> {
        let form = *self.forms.get(next.id());
        match form {
            Form::Free => {
                self.observed.leaf(next.id(), leaf);
                Ok(())
            }
            Form::Leaf(expected) if expected == leaf => Ok(()),
            // A float of 16 bits passes its bits.
            Form::Leaf(Leaf::F16 | Leaf::Bf16) if leaf == Leaf::U16 => Ok(()),
            Form::Product { count: 0, .. } | Form::Repeated(_, 0) if leaf == Leaf::Unit => Ok(()),
            _ => match self.within(next) {
                Some(within) => self.other_leaf(within, leaf),
                None => Err(self.mismatch(next, leaf.name())),
            },
        }
    }

    /// Writes text or bytes: a length, then that number of bytes.
    #[inline]
    pub(super) fn text(&mut self, next: Expected, leaf: Leaf, bytes: &[u8]) -> Result<()> {
        if !next.is_leaf(leaf) {
            self.other_text(next, leaf, bytes)?;
        }
        // Some readers count them as elements.
        self.elements = self.elements.saturating_add(bytes.len() as u64);
        leaves::append_counted(self.bytes, bytes)
    }

    #[cold]
    fn other_text(&mut self, next: Expected, leaf: Leaf, bytes: &[u8]) -> Result<()> {
        let form = *self.forms.get(next.id());
        match form {
            // Every text is bytes, and bytes may be text.
            Form::Leaf(Leaf::Bytes) => Ok(()),
            Form::Leaf(Leaf::String) if str::from_utf8(bytes).is_ok() => Ok(()),
            Form::Seq(element) if *self.forms.get(element) == Form::Leaf(Leaf::U8) => Ok(()),
            Form::Grid { element, place } if *self.forms.get(element) == Form::Leaf(Leaf::U8) => {
                self.check_count(place, bytes.len() as u64)
            }
            Form::Product { count: 1, .. } | Form::Repeated(_, 1) => match self.within(next) {
                Some(within) => self.other_text(within, leaf, bytes),
                None => self.other_leaf(next, leaf),
            },
            _ => self.other_leaf(next, leaf),
        }
    }

    #[inline]
    pub(super) fn option(&mut self, next: Expected) -> Result<Id> {
        match next.option() {
            Some(inner) => Ok(inner),
            None => self.other_option(next),
        }
    }

    #[cold]
    fn other_option(&mut self, next: Expected) -> Result<Id> {
        match *self.forms.get(next.id()) {
            Form::Free => Ok(self.observed.option(next.id())),
            Form::Option(inner) => Ok(inner),
            _ => match self.within(next) {
                Some(within) => self.other_option(within),
                None => Err(self.mismatch(next, "an option")),
            },
        }
    }

    /// The form of a sequence, without products of one value around it, and the form of its
    /// elements.
    #[cold]
    pub(super) fn other_seq(&mut self, next: Expected) -> Result<(Expected, Id)> {
        let element = match *self.forms.get(next.id()) {
            Form::Free => self.observed.seq(next.id()),
            Form::Seq(element) | Form::Grid { element, .. } => element,
            Form::Leaf(Leaf::Bytes) => self.forms.byte(),
            Form::Map { pair, .. } => pair,
            _ => match self.within(next) {
                Some(within) => return self.other_seq(within),
                None => return Err(self.mismatch(next, "a sequence")),
            },
        };
        Ok((next, element))
    }

    /// Checks that this number of elements makes the fixed arrays that will be read.
    #[cold]
    pub(in crate::codec) fn check_count(&self, grid: u32, count: u64) -> Result<()> {
        match self.forms.grid(grid) {
            Some(grid) if !grid.takes(count) => Err(differs(&format!("{count} values"), &grid.describe())),
            _ => Ok(()),
        }
    }

    /// The forms of the keys and of the values of a map.
    pub(super) fn map(&mut self, next: Expected) -> Result<(Id, Id)> {
        match *self.forms.get(next.id()) {
            Form::Free => Ok(self.observed.map(next.id())),
            Form::Map { first, .. } => Ok((self.entry(first).id(), self.entry(first + 1).id())),
            Form::Seq(element) if *self.forms.get(element) == Form::Free => {
                self.observed.product(element, Style::Tuple, 2);
                Ok((self.observed.part(element, 0, ""), self.observed.part(element, 1, "")))
            }
            Form::Seq(element) => self.forms.pair(element).ok_or_else(|| self.mismatch(next, "a map")),
            _ => match self.within(next) {
                Some(within) => self.map(within),
                None => Err(self.mismatch(next, "a map")),
            },
        }
    }

    /// The forms of the parts of a product.
    #[inline(always)]
    pub(super) fn product(&mut self, next: Expected, style: Style, length: usize) -> Result<Parts> {
        if let Some(entries) = next.product_of(length) {
            return Ok(Parts::listed(entries));
        }
        match next.repeated(length) {
            Some(element) if style == Style::Tuple => Ok(Parts::repeated(self.forms.expect(element))),
            _ => self.other_product(next, style, length),
        }
    }

    #[cold]
    fn other_product(&mut self, next: Expected, style: Style, length: usize) -> Result<Parts> {
        let form = *self.forms.get(next.id());
        match form {
            Form::Free => {
                self.observed.product(next.id(), style, length);
                Ok(Parts::free(next.id()))
            }
            Form::Repeated(element, count) if count == length as u64 => {
                Ok(Parts::repeated(self.forms.expect(element)))
            }
            // A missing name, or one too many, is found when the fields are written.
            Form::Product { first, count }
                if matches!(style, Style::Fields(_)) && count > 0 && self.forms.is_certain(first) =>
            {
                Ok(Parts::listed(Entries::new(first, count)))
            }
            Form::Leaf(Leaf::Unit) if length == 0 => Ok(Parts::repeated(next)),
            _ => match self.within(next) {
                Some(within) => self.product(within, style, length),
                // A product of one value takes no space.
                None if length == 1 => Ok(Parts::repeated(next)),
                None => Err(self.mismatch(next, &format!("{length} values"))),
            },
        }
    }

    /// Writes the number that the reader has for the name of this variant. Returns the form of its
    /// content, which follows.
    #[inline(always)]
    pub(super) fn variant(
        &mut self,
        next: Expected,
        owner: &'static str,
        index: u32,
        name: &'static str,
    ) -> Result<Expected> {
        if let Some(entry) = next.variant(index)
            && let Some(content) = self.named(entry, name)
        {
            leaves::append(self.bytes, index.to_le_bytes())?;
            return Ok(content);
        }
        self.other_variant(next, owner, index, name)
    }

    #[cold]
    fn other_variant(
        &mut self,
        next: Expected,
        owner: &'static str,
        index: u32,
        name: &'static str,
    ) -> Result<Expected> {
        let form = *self.forms.get(next.id());
        match form {
            Form::Free => {
                leaves::append(self.bytes, index.to_le_bytes())?;
                Ok(Expected::free(self.observed.variant(next.id(), owner, index, name)))
            }
            Form::Enum { first, count } => {
                let of_name = |index: &u32| self.forms.is_named(first + index, name);
                match (0..count).find(of_name) {
                    Some(number) => {
                        if number != index {
                            novel::is_renumbered((first + number) as usize);
                        }
                        leaves::append(self.bytes, number.to_le_bytes())?;
                        Ok(self.entry(first + number))
                    }
                    None if (0..count).any(|index| self.forms.is_unclear(first + index, name)) => {
                        Err(Failure::new(format!(
                            "its Serialize writes the variant `{name}`, and aliases hide which number that is for its \
                             Deserialize; write #[serde(with = \"checkpointed::self_describing\")] on its field"
                        )))
                    }
                    None => Err(Failure::new(format!(
                        "its Serialize writes the variant `{name}`, which its Deserialize does not read, so it could \
                         not be loaded; {WAY_OUT}"
                    ))),
                }
            }
            _ => match self.within(next) {
                Some(within) => self.variant(within, owner, index, name),
                None => Err(self.mismatch(next, &format!("the variant `{name}` of an enum"))),
            },
        }
    }
}

#[cold]
fn differs(written: &str, read: &str) -> Failure {
    Failure::new(format!(
        "its Serialize writes {written} where its Deserialize reads {read}, so it could not be loaded; {WAY_OUT} \
         (also where its form depends on its data, in a way that no sample showed)"
    ))
}
