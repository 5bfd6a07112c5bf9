//! The graph becomes a schema.

use std::collections::{HashMap, HashSet};
use std::mem;

use super::Traced;
use super::graph::{Container, ContainerId, Content, Dimensions, Form, Given, Graph, ROOT, Shape, SlotId};
use crate::schema::{Body, Definition, Field, Fields, Former, Grid, Schema, Type, Variant, hidden};

impl Graph {
    pub(super) fn into_schema(self) -> Traced {
        let shared = self
            .slots
            .iter()
            .filter_map(|slot| match slot.shape {
                Shape::SameAs(original) => Some(original),
                _ => None,
            })
            .collect();
        let (places, items, former) = (HashMap::new(), Vec::new(), HashMap::new());
        let mut emission = Emission { graph: &self, shared, places, items, former };
        let root = emission.slot(ROOT);
        let mut types = Vec::new();
        while let Some(&item) = emission.items.get(types.len()) {
            types.push(emission.definition(item, types.len()));
        }
        Traced { schema: Schema { root, types }, former: emission.former }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Item {
    Container(ContainerId),
    Slot(SlotId),
}

/// The facts about a part that come from its owner.
#[derive(Clone)]
struct Part {
    /// The name of its type.
    name: Option<String>,
    /// The place of the part.
    owner: String,
}

/// Definitions are numbered in the order in which they are met.
struct Emission<'a> {
    graph: &'a Graph,
    /// Slots of types that contain themselves, and thus need a definition to refer to.
    shared: HashSet<SlotId>,
    places: HashMap<Item, usize>,
    items: Vec<Item>,
    /// The aliases of fields, by the places of their definitions.
    former: HashMap<usize, Former>,
}

impl Emission<'_> {
    fn slot(&mut self, slot: SlotId) -> Type {
        match self.graph.slots[slot].shape {
            Shape::SameAs(original) => self.named(Item::Slot(original)),
            _ if self.shared.contains(&slot) => self.named(Item::Slot(slot)),
            _ => self.shape(slot),
        }
    }

    fn named(&mut self, item: Item) -> Type {
        let place = *self.places.entry(item).or_insert_with(|| {
            self.items.push(item);
            self.items.len() - 1
        });
        Type::Named(place)
    }

    fn shape(&mut self, slot: SlotId) -> Type {
        let full_name = self.graph.slots[slot].type_name;
        let name = || short_name(full_name);
        let part = |number: usize, otherwise: &str| Part {
            name: arguments(full_name).get(number).map(|name| short_name(name)),
            owner: if full_name.is_empty() {
                otherwise.to_owned()
            } else {
                format!("{otherwise} of {}", name())
            },
        };
        match &self.graph.slots[slot].shape {
            Shape::Unknown | Shape::SameAs(_) => Type::Opaque(name()),
            Shape::Mixed => Type::Opaque(match full_name {
                "" => "something that is not always of one form".to_owned(),
                // The value behind a pointer to a trait is of many forms by nature.
                _ if full_name.contains("dyn ") => name(),
                _ => format!("{}, which is not always of one form", name()),
            }),
            Shape::Leaf(ty) => ty.clone(),
            Shape::Undecided(request) => Type::Unsupported(undecided(&name(), request)),
            Shape::Option(inner) => Type::Option(Box::new(self.one(*inner, &part(0, "the content")))),
            Shape::Seq(element) => {
                let element = Box::new(self.one(*element, &part(0, "the elements")));
                match self.graph.slots[slot].grid.clone() {
                    Some(Dimensions { is_vec, lengths }) => Type::Grid(Grid { element, lengths, is_vec }),
                    None => Type::Seq(element),
                }
            }
            Shape::Map(key, value) => match &self.graph.slots[*key].shape {
                // Keys that are names of fields belong to a struct with `flatten`.
                Shape::Undecided(request @ "deserialize_identifier") => {
                    Type::Unsupported(undecided(&name(), request))
                }
                _ => {
                    let parts = [part(0, "the keys"), part(1, "the values")];
                    let mut types = self.list(&[*key, *value], |number| parts[number.min(1)].clone());
                    let value = types.pop().unwrap_or(Type::Unit);
                    Type::Map(Box::new(types.pop().unwrap_or(Type::Unit)), Box::new(value))
                }
            },
            Shape::Tuple(members, asked) => {
                let length = self.graph.slots[slot].read.unwrap_or(*asked);
                let types = self.list(members, |number| part(number, &format!("member {number}")));
                match types.split_first() {
                    Some((first, rest)) if rest.iter().all(|ty| ty == first) => {
                        Type::Array(Box::new(first.clone()), length as u64)
                    }
                    _ => Type::Tuple(types),
                }
            }
            Shape::Container(container) => self.named(Item::Container(*container)),
        }
    }

    fn one(&mut self, slot: SlotId, part: &Part) -> Type {
        let ty = self.slot(slot);
        self.told(slot, ty, part, None)
    }

    /// The types of parts that are read one after the other; `part` describes each.
    fn list(&mut self, slots: &[SlotId], part: impl Fn(usize) -> Part) -> Vec<Type> {
        let mut culprit = None;
        let types = slots.iter().enumerate().map(|(number, &slot)| {
            let (ty, part) = (self.slot(slot), part(number));
            let ty = self.told(slot, ty, &part, culprit.as_deref());
            if culprit.is_none() && self.graph.slots[slot].dead {
                culprit = Some(self.name_of_slot(slot, &part));
            }
            ty
        });
        types.collect()
    }

    /// Marks an opaque type with what it is and what it is behind.
    fn told(&self, slot: SlotId, ty: Type, part: &Part, culprit: Option<&str>) -> Type {
        match (ty, culprit) {
            (Type::Opaque(_), Some(culprit)) if self.graph.slots[slot].shape == Shape::Unknown => {
                let name = self.name_of_slot(slot, part);
                Type::Opaque(format!("{name} behind {culprit}, of which no sample could be made"))
            }
            (Type::Opaque(name), _) if name.is_empty() => Type::Opaque(self.name_of_slot(slot, part)),
            (ty, _) => ty,
        }
    }

    fn name_of_slot(&self, slot: SlotId, part: &Part) -> String {
        match self.graph.slots[slot].type_name {
            "" => part.name.clone().unwrap_or_else(|| part.owner.clone()),
            name => short_name(name),
        }
    }

    fn definition(&mut self, item: Item, place: usize) -> Definition {
        let (name, version, body) = match item {
            Item::Slot(slot) => (
                short_name(self.graph.slots[slot].type_name),
                1,
                Body::Struct(Fields::Newtype(self.shape(slot))),
            ),
            Item::Container(container) => {
                let container = &self.graph.containers[container];
                let name = container.key.name;
                let body = if own_names(container).any(hidden::is_reserved) {
                    hidden::refused()
                } else if container.key.is_enum {
                    Body::Enum(self.variants(container, place))
                } else {
                    self.aliases(&container.content, &[], place);
                    Body::Struct(self.fields(&container.content, name))
                };
                let Given { name: given, version } = &container.given;
                (given.clone().unwrap_or_else(|| name.to_owned()), *version, body)
            }
        };
        Definition { name, version, foreign: true, observed: false, body }
    }

    /// Notes the aliases of the fields of a content; `path` leads to it.
    fn aliases(&mut self, content: &Content, path: &[&str], place: usize) {
        let (Form::Named(names), Some(hunt)) = (content.form, &content.names) else { return };
        for (alias, name) in names.iter().zip(&hunt.found) {
            if let Some(name) = name.filter(|name| name != alias) {
                self.former.entry(place).or_default().add_alias(&[path, &[name]].concat(), alias);
            }
        }
    }

    fn variants(&mut self, container: &Container, place: usize) -> Vec<Variant> {
        let names = variant_names(container);
        container
            .variants
            .iter()
            .zip(names)
            .map(|(variant, name)| {
                if variant.rejected {
                    return Variant { name, fields: Fields::Unit };
                }
                self.aliases(&variant.content, &[&name], place);
                let fields = match (variant.explored, variant.content.form) {
                    (true, form) if form != Form::Unasked => self.fields(&variant.content, &name),
                    _ => Fields::Newtype(Type::Opaque(format!("{}::{name}", container.key.name))),
                };
                Variant { name, fields }
            })
            .collect()
    }

    fn fields(&mut self, content: &Content, owner: &str) -> Fields {
        match content.form {
            Form::Unit => Fields::Unit,
            Form::Newtype | Form::Tuple(_) | Form::Named(_) => {
                let mut types = self.list(&content.slots, |number| Part {
                    name: None,
                    owner: match content.form {
                        Form::Named(names) => format!("{owner}.{}", names.get(number).unwrap_or(&"")),
                        _ => format!("{owner}.{number}"),
                    },
                });
                match content.form {
                    Form::Named(names) => Fields::Named(named_fields(names, content, types)),
                    Form::Newtype if types.len() == 1 => Fields::Newtype(types.remove(0)),
                    Form::Tuple(length) if length > types.len() && types.len() == 1 => {
                        Fields::Newtype(Type::Array(Box::new(types.remove(0)), length as u64))
                    }
                    _ => Fields::Tuple(types),
                }
            }
            Form::OnlyByName => Fields::Newtype(Type::Unsupported(format!(
                "{owner} can be read only from a map of its fields, which bincode does not write; write \
                 #[serde(with = \"checkpointed::self_describing\")] on its field"
            ))),
            Form::Unasked | Form::Mixed => Fields::Newtype(Type::Opaque(owner.to_owned())),
        }
    }
}

fn named_fields(names: &[&str], content: &Content, types: Vec<Type>) -> Vec<Field> {
    let mut true_names: Vec<&str> = match &content.names {
        Some(hunt) => hunt.found.iter().map(|name| name.unwrap_or_default()).collect(),
        None => names.to_vec(),
    };
    true_names.dedup();
    let certain = true_names.len() == types.len() && !true_names.contains(&"");
    let names = if certain { &true_names } else { names };
    types
        .into_iter()
        .enumerate()
        .map(|(number, ty)| Field { name: name_of(names, number, certain), ty })
        .collect()
}

/// The names that the type itself gives to its fields and variants.
fn own_names(container: &Container) -> impl Iterator<Item = &'static str> {
    let contents = container.variants.iter().map(|variant| &variant.content).chain([&container.content]);
    let fields = contents.flat_map(|content| match content.form {
        Form::Named(names) => names,
        _ => &[],
    });
    container.key.members.iter().chain(fields).copied()
}

/// The names of the variants, up to the last one that is accepted.
fn variant_names(container: &Container) -> Vec<String> {
    let (names, variants) = (container.key.members, &container.variants);
    let found = container.hunt.as_ref().map_or(&[][..], |hunt| &hunt.found);
    let marks: Vec<Option<u64>> = variants.iter().map(|variant| variant.mark).collect();
    let accepts_all = variants.iter().all(|variant| !variant.rejected);
    // With `#[serde(other)]`, the numbers behind the last variant are that variant once more.
    let has_other = accepts_all && !found.is_empty() && found.iter().all(Option::is_some) && found != marks;
    if accepts_all && !has_other {
        return names.iter().map(|name| (*name).to_owned()).collect();
    }
    let is_no_variant =
        |number: usize| variants[number].rejected || (has_other && marks[..number].contains(&marks[number]));
    let count = (0..variants.len()).rfind(|number| !is_no_variant(*number)).map_or(0, |last| last + 1);
    let name = |number: usize| {
        if variants[number].rejected {
            return hidden::unknown(number);
        }
        let mark = marks[number];
        // A type that makes the same of all numbers does not tell them apart.
        let is_told = mark.is_some() && marks[..count].iter().filter(|other| **other == mark).count() == 1;
        let of_this = |place: &usize| is_told && found.get(*place) == Some(&mark);
        let own: Vec<&str> = (0..names.len()).filter(of_this).map(|place| names[place]).collect();
        match own[..] {
            [] => name_of(names, number, false),
            [only] => only.to_owned(),
            _ => name_of(&own, number, false),
        }
    };
    (0..count).map(name).collect()
}

/// The name itself if it is certain. If aliases hide it, one name made of all candidates, so that
/// another order is another name.
fn name_of(names: &[&str], number: usize, certain: bool) -> String {
    match names.get(number) {
        Some(name) if certain => (*name).to_owned(),
        _ => hidden::name(number, names),
    }
}

fn undecided(name: &str, request: &str) -> String {
    // The names of serde's own helpers mean nothing to the user.
    let internal = name.is_empty() || name.contains("__") || name.starts_with("Content");
    let name = if internal { "the type" } else { name };
    format!(
        "{name} decides while reading what comes next ({request}), which bincode cannot tell; write \
         #[serde(with = \"checkpointed::self_describing\")] on its field"
    )
}

/// The types that one is made of by its name: members of a tuple, elements of an array, arguments
/// of a generic type.
pub(super) fn arguments(name: &str) -> Vec<&str> {
    let Some(inner) = in_last_brackets(name) else { return Vec::new() };
    let (mut depth, mut start, mut found) = (0_i32, 0, Vec::new());
    for (place, character) in inner.char_indices() {
        match character {
            '<' | '(' | '[' => depth += 1,
            '>' | ')' | ']' => depth -= 1,
            ',' | ';' if depth == 0 => {
                found.push(inner[start..place].trim());
                start = place + 1;
            }
            _ => {}
        }
    }
    found.push(inner[start..].trim());
    found.retain(|argument| !argument.is_empty());
    found
}

/// The text in the brackets at the end of a name.
fn in_last_brackets(name: &str) -> Option<&str> {
    let mut depth = 0_i32;
    for (place, character) in name.char_indices().rev() {
        match character {
            '>' | ')' | ']' => depth += 1,
            '<' | '(' | '[' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            // There are none if the last letter is no bracket.
            return name.get(place + 1..name.len() - 1).filter(|_| place + 1 < name.len());
        }
    }
    None
}

/// A type's name without the paths of modules, also within generics.
pub(super) fn short_name(name: &str) -> String {
    let mut short = String::new();
    let mut word = String::new();
    for character in name.chars() {
        match character {
            ':' => word.clear(),
            _ if character.is_alphanumeric() || character == '_' => word.push(character),
            _ => {
                short.push_str(&mem::take(&mut word));
                short.push(character);
            }
        }
    }
    short + &word
}
