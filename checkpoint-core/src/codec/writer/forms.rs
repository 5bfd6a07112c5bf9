//! Compares each value with the form that will be read, and finds the forms of its parts.
//!
//! The form that fits at once is found in one comparison. All others are looked up apart.

use crate::codec::forms::{Entries, Expected, Form, Id};
use crate::codec::leaf::Leaf;
use crate::codec::observed::Style;
use crate::codec::parts::Parts;
use crate::codec::writer::{WAY_OUT, Writer};
use crate::codec::{Failure, Result, leaves};

impl Writer<'_> {
    /// The failure of a value that would not be read as it is written.
    #[cold]
    pub(in crate::codec) fn mismatch(&self, written: &str) -> Failure {
        differs(written, &self.forms.describe(self.next.id()))
    }

    /// Goes into a product of one value, which takes no space. Returns false if there is none.
    pub(super) fn go_within(&mut self) -> bool {
        match self.forms.within(self.forms.get(self.next.id())) {
            Some(within) => {
                self.go_to(within);
                true
            }
            None => false,
        }
    }

    #[inline]
    pub(super) fn leaf(&mut self, leaf: Leaf) -> Result<()> {
        if self.next.is_leaf(leaf) { Ok(()) } else { self.other_leaf(leaf) }
    }

    #[cold]
    fn other_leaf(&mut self, leaf: Leaf) -> Result<()> {
        let form = *self.forms.get(self.next.id());
        match form {
            Form::Free => {
                self.observed.leaf(self.next.id(), leaf);
                Ok(())
            }
            Form::Leaf(expected) if expected == leaf => Ok(()),
            // A float of 16 bits passes its bits.
            Form::Leaf(Leaf::F16 | Leaf::Bf16) if leaf == Leaf::U16 => Ok(()),
            Form::Product { count: 0, .. } | Form::Repeated(_, 0) if leaf == Leaf::Unit => Ok(()),
            _ if self.go_within() => self.other_leaf(leaf),
            _ => Err(self.mismatch(leaf.name())),
        }
    }

    /// Writes text or bytes: a length, then that number of bytes.
    pub(super) fn text(&mut self, leaf: Leaf, bytes: &[u8]) -> Result<()> {
        if !self.next.is_leaf(leaf) {
            self.other_text(leaf, bytes)?;
        }
        // Some readers count them as elements.
        self.elements = self.elements.saturating_add(bytes.len() as u64);
        leaves::write_bytes(self.bytes, bytes)
    }

    #[cold]
    fn other_text(&mut self, leaf: Leaf, bytes: &[u8]) -> Result<()> {
        let form = *self.forms.get(self.next.id());
        match form {
            // Every text is bytes, and bytes may be text.
            Form::Leaf(Leaf::Bytes) => Ok(()),
            Form::Leaf(Leaf::String) if str::from_utf8(bytes).is_ok() => Ok(()),
            Form::Seq(element) if *self.forms.get(element) == Form::Leaf(Leaf::U8) => Ok(()),
            Form::Grid { element, place } if *self.forms.get(element) == Form::Leaf(Leaf::U8) => {
                self.check_count(place, bytes.len() as u64)
            }
            Form::Product { count: 1, .. } | Form::Repeated(_, 1) if self.go_within() => {
                self.other_text(leaf, bytes)
            }
            _ => self.other_leaf(leaf),
        }
    }

    #[inline]
    pub(super) fn option(&mut self) -> Result<Id> {
        match self.next.option() {
            Some(inner) => Ok(inner),
            None => self.other_option(),
        }
    }

    #[cold]
    fn other_option(&mut self) -> Result<Id> {
        let form = *self.forms.get(self.next.id());
        match form {
            Form::Free => Ok(self.observed.option(self.next.id())),
            Form::Option(inner) => Ok(inner),
            _ if self.go_within() => self.other_option(),
            _ => Err(self.mismatch("an option")),
        }
    }

    /// The form of the elements of a sequence.
    #[inline]
    pub(super) fn seq(&mut self) -> Result<Id> {
        match self.next.seq() {
            Some(element) => Ok(element),
            None => self.other_seq(),
        }
    }

    #[cold]
    pub(super) fn other_seq(&mut self) -> Result<Id> {
        let form = *self.forms.get(self.next.id());
        match form {
            Form::Free => Ok(self.observed.seq(self.next.id())),
            Form::Seq(element) | Form::Grid { element, .. } => Ok(element),
            Form::Leaf(Leaf::Bytes) => Ok(self.forms.byte()),
            Form::Map { pair, .. } => Ok(pair),
            _ if self.go_within() => self.other_seq(),
            _ => Err(self.mismatch("a sequence")),
        }
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
    pub(super) fn map(&mut self) -> Result<(Id, Id)> {
        let form = *self.forms.get(self.next.id());
        match form {
            Form::Free => Ok(self.observed.map(self.next.id())),
            Form::Map { first, .. } => Ok((self.entry(first).id(), self.entry(first + 1).id())),
            Form::Seq(element) if *self.forms.get(element) == Form::Free => {
                self.observed.product(element, Style::Tuple, 2);
                Ok((self.observed.part(element, 0, ""), self.observed.part(element, 1, "")))
            }
            Form::Seq(element) => self.forms.pair(element).ok_or_else(|| self.mismatch("a map")),
            _ if self.go_within() => self.map(),
            _ => Err(self.mismatch("a map")),
        }
    }

    /// The forms of the parts of a product.
    #[inline(always)]
    pub(super) fn product(&mut self, style: Style, length: usize) -> Result<Parts> {
        match self.next.product_of(length) {
            Some(entries) => Ok(Parts::listed(entries)),
            None => self.other_product(style, length),
        }
    }

    #[cold]
    fn other_product(&mut self, style: Style, length: usize) -> Result<Parts> {
        let form = *self.forms.get(self.next.id());
        match form {
            Form::Free => {
                self.observed.product(self.next.id(), style, length);
                Ok(Parts::free(self.next.id()))
            }
            Form::Repeated(element, count) if count == length as u64 => Ok(Parts::repeated(element)),
            // A missing name, or one too many, is found when the fields are written.
            Form::Product { first, count }
                if matches!(style, Style::Fields(_)) && count > 0 && self.forms.is_certain(first) =>
            {
                Ok(Parts::listed(Entries::new(first, count)))
            }
            Form::Leaf(Leaf::Unit) if length == 0 => Ok(Parts::repeated(self.next.id())),
            _ if self.go_within() => self.product(style, length),
            // A product of one value takes no space.
            _ if length == 1 => Ok(Parts::repeated(self.next.id())),
            _ => Err(self.mismatch(&format!("{length} values"))),
        }
    }

    /// Writes the number that the reader has for the name of this variant. Its content follows.
    #[inline(always)]
    pub(super) fn variant(&mut self, owner: &'static str, index: u32, name: &'static str) -> Result<()> {
        if let Some(entry) = self.next.variant(index)
            && self.go_to_named(entry, name)
        {
            return leaves::write(self.bytes, index);
        }
        self.other_variant(owner, index, name)
    }

    #[cold]
    fn other_variant(&mut self, owner: &'static str, index: u32, name: &'static str) -> Result<()> {
        let form = *self.forms.get(self.next.id());
        match form {
            Form::Free => {
                leaves::write(self.bytes, index)?;
                let content = self.observed.variant(self.next.id(), owner, index, name);
                self.next = Expected::free(content);
                Ok(())
            }
            Form::Enum { first, count } => {
                let of_name = |index: &u32| self.forms.is_named(first + index, name);
                match (0..count).find(of_name) {
                    Some(index) => {
                        leaves::write(self.bytes, index)?;
                        self.next = self.entry(first + index);
                        Ok(())
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
            _ if self.go_within() => self.variant(owner, index, name),
            _ => Err(self.mismatch(&format!("the variant `{name}` of an enum"))),
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
