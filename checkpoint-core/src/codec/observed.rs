//! Observes the form of parts that the schema does not describe, because no sample of them could be
//! made.
//!
//! Each such part is observed while it is written. A form that all values share completes the
//! schema of that file. A form that depends on the data stays unknown. Each form is also
//! [noted](super::novel), because nothing tells if the type reads it: a save with one that no save
//! before had is read back.

use std::collections::BTreeMap;

use super::forms::Id;
use super::leaf::Leaf;
use super::novel::Place;
use crate::base::limits::{OBSERVED_DEPTH, OBSERVED_FORMS, OBSERVED_VARIANTS};
use crate::schema::{Body, Definition, Element, Field, Fields, Schema, Type, Variant, hidden};

/// A part with several forms, or one that was not observed. Each of its own parts is one too.
const MIXED: Id = Id(u32::MAX);

/// The way in which a product names its parts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Style {
    Tuple,
    /// A tuple struct of this name.
    Members(&'static str),
    /// A struct of this name with named fields.
    Fields(&'static str),
}

#[derive(Clone, Debug)]
enum Shape {
    Nothing,
    Mixed,
    Leaf(Leaf),
    Option(Id),
    Seq(Id),
    Map(Id, Id),
    /// Rows of this number of equal parts.
    Repeated(Id, u64),
    Newtype(&'static str, Id),
    Product(Style, Vec<(&'static str, Id)>),
    /// An enum of this name, with its variants by the numbers that the type itself gives them.
    Enum(&'static str, BTreeMap<u32, (&'static str, Id)>),
}

#[derive(Debug)]
struct Seen {
    shape: Shape,
    depth: u32,
    place: Place,
}

/// The kinds of noted forms.
#[derive(Clone, Copy)]
enum Kind {
    Option,
    Seq,
    Map,
    Newtype,
    Tuple,
    Members,
    Fields,
    Part,
    Variant,
    Rows,
    /// The first of those of values without parts.
    Leaf,
}

/// The observed forms of the parts that the schema does not describe.
#[derive(Debug)]
pub(crate) struct Observed(Vec<Seen>);

impl Observed {
    pub(super) fn new(parts: usize) -> Observed {
        let seen = |part: usize| {
            let place = Place::of_part(part);
            Seen { shape: Shape::Nothing, depth: 0, place }
        };
        Observed((0..parts).map(seen).collect())
    }

    /// The place of a part. Those whose form is unknown for good share one.
    fn place(&self, id: Id) -> Place {
        let seen = id.0.checked_sub(Id::FREE).and_then(|place| self.0.get(place as usize));
        seen.map_or(Place::of_part(usize::MAX), |seen| seen.place)
    }

    /// Notes that a part has a form of this kind, with this name.
    fn holds(&self, id: Id, kind: Kind, name: &str) {
        self.place(id).under(name.as_bytes()).holds(kind as u8);
    }

    fn seen(&mut self, id: Id) -> Option<&mut Seen> {
        self.0.get_mut(id.0.checked_sub(Id::FREE)? as usize)
    }

    /// A new form inside another: the part of this number of a value of this kind.
    fn inside(&mut self, id: Id, kind: Kind, number: u64) -> Id {
        let depth = self.seen(id).map_or(OBSERVED_DEPTH, |seen| seen.depth);
        if depth == OBSERVED_DEPTH || self.0.len() == OBSERVED_FORMS {
            return MIXED;
        }
        let place = self.place(id).under(&[kind as u8]).under(&number.to_le_bytes());
        self.0.push(Seen { shape: Shape::Nothing, depth: depth + 1, place });
        Id::free(self.0.len() - 1)
    }

    /// Returns the result of `known` for the shape, which becomes `new` if nothing was seen before.
    fn learn<R>(
        &mut self,
        id: Id,
        new: impl FnOnce(&mut Observed) -> Shape,
        known: impl Fn(&Shape) -> Option<R>,
    ) -> Option<R> {
        if matches!(self.seen(id)?.shape, Shape::Nothing) {
            let shape = new(self);
            self.seen(id)?.shape = shape;
        }
        let seen = self.seen(id)?;
        let found = known(&seen.shape);
        if found.is_none() {
            seen.shape = Shape::Mixed;
        }
        found
    }

    pub(super) fn leaf(&mut self, id: Id, leaf: Leaf) {
        self.place(id).holds(Kind::Leaf as u8 + leaf as u8);
        self.learn(
            id,
            |_| Shape::Leaf(leaf),
            |shape| matches!(shape, Shape::Leaf(known) if *known == leaf).then_some(()),
        );
    }

    pub(super) fn option(&mut self, id: Id) -> Id {
        let inner = |shape: &Shape| match shape {
            Shape::Option(inner) => Some(*inner),
            _ => None,
        };
        self.holds(id, Kind::Option, "");
        let new = |observed: &mut Observed| Shape::Option(observed.inside(id, Kind::Option, 0));
        self.learn(id, new, inner).unwrap_or(MIXED)
    }

    pub(super) fn seq(&mut self, id: Id) -> Id {
        let element = |shape: &Shape| match shape {
            Shape::Seq(element) => Some(*element),
            _ => None,
        };
        self.holds(id, Kind::Seq, "");
        let new = |observed: &mut Observed| Shape::Seq(observed.inside(id, Kind::Seq, 0));
        self.learn(id, new, element).unwrap_or(MIXED)
    }

    pub(super) fn map(&mut self, id: Id) -> (Id, Id) {
        let parts = |shape: &Shape| match shape {
            Shape::Map(key, value) => Some((*key, *value)),
            _ => None,
        };
        self.holds(id, Kind::Map, "");
        let new = |observed: &mut Observed| {
            Shape::Map(observed.inside(id, Kind::Map, 0), observed.inside(id, Kind::Map, 1))
        };
        self.learn(id, new, parts).unwrap_or((MIXED, MIXED))
    }

    pub(super) fn newtype(&mut self, id: Id, name: &'static str) -> Id {
        let inner = |shape: &Shape| match shape {
            Shape::Newtype(known, inner) if *known == name => Some(*inner),
            _ => None,
        };
        self.holds(id, Kind::Newtype, name);
        let new = |observed: &mut Observed| Shape::Newtype(name, observed.inside(id, Kind::Newtype, 0));
        self.learn(id, new, inner).unwrap_or(MIXED)
    }

    /// A product of this number of parts.
    pub(super) fn product(&mut self, id: Id, style: Style, count: usize) {
        let same = |shape: &Shape| match shape {
            Shape::Product(known, parts) if *known == style && parts.len() == count => Some(()),
            _ => None,
        };
        let (kind, name) = match style {
            Style::Tuple => (Kind::Tuple, ""),
            Style::Members(name) => (Kind::Members, name),
            Style::Fields(name) => (Kind::Fields, name),
        };
        self.holds(id, kind, name);
        self.place(id).under(&(count as u64).to_le_bytes()).holds(kind as u8);
        let new = |observed: &mut Observed| {
            let mut part = |number| ("", observed.inside(id, kind, number as u64));
            Shape::Product(style, (0..count.min(OBSERVED_FORMS)).map(&mut part).collect())
        };
        self.learn(id, new, same);
    }

    /// A part of a product, by its name if it has one.
    pub(super) fn part(&mut self, id: Id, number: usize, name: &'static str) -> Id {
        if !name.is_empty() {
            self.holds(id, Kind::Part, name);
        }
        let Some(seen) = self.seen(id) else { return MIXED };
        let Shape::Product(_, parts) = &mut seen.shape else { return MIXED };
        match parts.get_mut(number) {
            Some((known, part)) if (known.is_empty() || *known == name) && !hidden::is_reserved(name) => {
                *known = name;
                *part
            }
            _ => {
                seen.shape = Shape::Mixed;
                MIXED
            }
        }
    }

    /// The content of a variant.
    pub(super) fn variant(&mut self, id: Id, owner: &'static str, number: u32, name: &'static str) -> Id {
        self.holds(id, Kind::Variant, name);
        self.place(id).under(&number.to_le_bytes()).holds(Kind::Variant as u8);
        let same = |shape: &Shape| matches!(shape, Shape::Enum(known, _) if *known == owner).then_some(());
        if self.learn(id, |_| Shape::Enum(owner, BTreeMap::new()), same).is_none() {
            return MIXED;
        }
        let Some(Seen { shape: Shape::Enum(_, variants), .. }) = self.seen(id) else { return MIXED };
        if let Some((known, content)) = variants.get(&number)
            && *known == name
        {
            return *content;
        }
        let is_new = number < OBSERVED_VARIANTS
            && !hidden::is_reserved(name)
            && variants.iter().all(|(place, (known, _))| *place != number && *known != name);
        let content = if is_new { self.inside(id, Kind::Variant, number.into()) } else { MIXED };
        match self.seen(id).map(|seen| &mut seen.shape) {
            Some(Shape::Enum(_, variants)) if is_new => {
                variants.insert(number, (name, content));
            }
            Some(shape) => *shape = Shape::Mixed,
            None => {}
        }
        content
    }

    /// Rows of an array, with these dimensions and these numbers.
    pub(super) fn rows(&mut self, id: Id, dimensions: &[u64], number: Element) {
        let mut id = id;
        let pair: &[u64] = if number.float().is_some() { &[2] } else { &[] };
        for length in dimensions.iter().chain(pair) {
            let element = |shape: &Shape| match shape {
                Shape::Repeated(element, known) if known == length => Some(*element),
                _ => None,
            };
            self.place(id).under(&length.to_le_bytes()).holds(Kind::Rows as u8);
            let new = |observed: &mut Observed| Shape::Repeated(observed.inside(id, Kind::Rows, 0), *length);
            id = self.learn(id, new, element).unwrap_or(MIXED);
        }
        match Leaf::of_element(number) {
            float @ (Leaf::F16 | Leaf::Bf16) => {
                id = self.newtype(id, float.name());
                self.leaf(id, Leaf::U16);
            }
            leaf => self.leaf(id, leaf),
        }
    }

    /// The schema, completed with the observed forms. `None` if there are none.
    pub(crate) fn complete(&self, schema: &Schema) -> Option<Schema> {
        if !self.0.iter().any(|seen| seen.depth == 0 && !matches!(seen.shape, Shape::Nothing | Shape::Mixed))
        {
            return None;
        }
        let mut completed = schema.clone();
        let mut emission = Emission {
            observed: self,
            definitions: Vec::new(),
            offset: schema.types.len(),
            part: String::new(),
        };
        let mut number = 0;
        completed.each_opaque(&mut |ty| {
            let id = Id(Id::FREE + number);
            number += 1;
            let seen = self.0.get((id.0 - Id::FREE) as usize);
            if let Type::Opaque(name) = &*ty
                && seen.is_some_and(|seen| !matches!(seen.shape, Shape::Nothing | Shape::Mixed))
            {
                emission.part.clone_from(name);
                let inner = emission.ty(id);
                *ty = emission.add(name.clone(), true, Body::Struct(Fields::Newtype(inner)));
            }
        });
        completed.types.append(&mut emission.definitions);
        Some(completed)
    }
}

/// Makes types of the observed forms.
struct Emission<'a> {
    observed: &'a Observed,
    definitions: Vec<Definition>,
    /// The place of the first of these definitions.
    offset: usize,
    /// The name of the part that has this form.
    part: String,
}

impl Emission<'_> {
    fn add(&mut self, name: String, observed: bool, body: Body) -> Type {
        self.definitions.push(Definition { name, version: 1, foreign: true, observed, body });
        Type::Named(self.offset + self.definitions.len() - 1)
    }

    fn ty(&mut self, id: Id) -> Type {
        let observed = self.observed;
        let seen = id.0.checked_sub(Id::FREE).and_then(|place| observed.0.get(place as usize));
        match seen.map(|seen| &seen.shape) {
            None | Some(Shape::Nothing | Shape::Mixed) => Type::Opaque(self.part.clone()),
            Some(Shape::Leaf(leaf)) => leaf.ty(),
            Some(Shape::Option(inner)) => Type::Option(Box::new(self.ty(*inner))),
            Some(Shape::Seq(element)) => Type::Seq(Box::new(self.ty(*element))),
            Some(Shape::Map(key, value)) => Type::Map(Box::new(self.ty(*key)), Box::new(self.ty(*value))),
            Some(Shape::Repeated(element, length)) => Type::Array(Box::new(self.ty(*element)), *length),
            Some(Shape::Newtype(name, inner)) => {
                let inner = self.ty(*inner);
                self.add((*name).to_owned(), false, Body::Struct(Fields::Newtype(inner)))
            }
            Some(Shape::Product(Style::Tuple, parts)) => Type::Tuple(self.types(parts)),
            Some(Shape::Product(Style::Members(name), parts)) => {
                let types = self.types(parts);
                self.add((*name).to_owned(), false, Body::Struct(Fields::Tuple(types)))
            }
            Some(Shape::Product(Style::Fields(name), parts)) => {
                let fields = self.fields(parts);
                self.add((*name).to_owned(), false, Body::Struct(fields))
            }
            Some(Shape::Enum(name, variants)) => {
                let count = variants.keys().next_back().map_or(0, |last| last + 1);
                let variants = (0..count).map(|number| self.variant(number, variants.get(&number))).collect();
                self.add((*name).to_owned(), false, Body::Enum(variants))
            }
        }
    }

    fn types(&mut self, parts: &[(&'static str, Id)]) -> Vec<Type> {
        parts.iter().map(|(_, part)| self.ty(*part)).collect()
    }

    fn fields(&mut self, parts: &[(&'static str, Id)]) -> Fields {
        let fields = parts.iter().map(|(name, part)| Field { name: (*name).to_owned(), ty: self.ty(*part) });
        Fields::Named(fields.collect())
    }

    /// A variant, or a stand-in for one that was never written.
    fn variant(&mut self, number: u32, variant: Option<&(&'static str, Id)>) -> Variant {
        let Some((name, content)) = variant else {
            let fields = Fields::Newtype(Type::Opaque(self.part.clone()));
            return Variant { name: hidden::unknown(number), fields };
        };
        let observed = self.observed;
        let seen = content.0.checked_sub(Id::FREE).and_then(|place| observed.0.get(place as usize));
        let fields = match seen.map(|seen| &seen.shape) {
            Some(Shape::Leaf(Leaf::Unit)) => Fields::Unit,
            Some(Shape::Product(Style::Members(_), parts)) => Fields::Tuple(self.types(parts)),
            Some(Shape::Product(Style::Fields(_), parts)) => self.fields(parts),
            _ => Fields::Newtype(self.ty(*content)),
        };
        Variant { name: (*name).to_owned(), fields }
    }
}
