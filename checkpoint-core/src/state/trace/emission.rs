//! The graph becomes a schema.

use std::collections::{HashMap, HashSet};
use std::mem;

use super::super::schema::{Body, Definition, Field, Fields, Schema, Type, Variant};
use super::graph::{Container, ContainerId, Content, Form, Graph, ROOT, Shape, SlotId};

impl Graph {
    pub(super) fn into_schema(self) -> Schema {
        let shared = self
            .slots
            .iter()
            .filter_map(|slot| match slot.shape {
                Shape::SameAs(original) => Some(original),
                _ => None,
            })
            .collect();
        let mut emission = Emission { graph: &self, shared, places: HashMap::new(), items: Vec::new() };
        let root = emission.slot(ROOT);
        let mut types = Vec::new();
        while let Some(&item) = emission.items.get(types.len()) {
            types.push(emission.definition(item));
        }
        Schema { root, types }
    }
}

#[derive(Clone, Copy, PartialEq, Eq, Hash)]
enum Item {
    Container(ContainerId),
    Slot(SlotId),
}

/// Definitions are numbered in the order in which they are met.
struct Emission<'a> {
    graph: &'a Graph,
    /// Slots whose type contains itself, and thus needs a definition to refer to.
    shared: HashSet<SlotId>,
    places: HashMap<Item, usize>,
    items: Vec<Item>,
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
        let name = || short_name(self.graph.slots[slot].type_name);
        match &self.graph.slots[slot].shape {
            Shape::Unknown | Shape::Mixed | Shape::SameAs(_) => Type::Opaque(name()),
            Shape::Leaf(ty) => ty.clone(),
            Shape::Undecided(request) => Type::Unsupported(undecided(&name(), request)),
            Shape::Option(inner) => Type::Option(Box::new(self.slot(*inner))),
            Shape::Seq(element) => Type::Seq(Box::new(self.slot(*element))),
            Shape::Map(key, value) => match &self.graph.slots[*key].shape {
                // Keys that are names of fields belong to a struct with `flatten`.
                Shape::Undecided(request @ "deserialize_identifier") => {
                    Type::Unsupported(undecided(&name(), request))
                }
                _ => Type::Map(Box::new(self.slot(*key)), Box::new(self.slot(*value))),
            },
            Shape::Tuple(members, length) => {
                let types = self.list(members);
                match types.split_first() {
                    Some((first, rest)) if rest.iter().all(|ty| ty == first) => {
                        Type::Array(Box::new(first.clone()), *length as u64)
                    }
                    _ => Type::Tuple(types),
                }
            }
            Shape::Container(container) => self.named(Item::Container(*container)),
        }
    }

    fn list(&mut self, slots: &[SlotId]) -> Vec<Type> {
        slots.iter().map(|slot| self.slot(*slot)).collect()
    }

    fn definition(&mut self, item: Item) -> Definition {
        let (name, body) = match item {
            Item::Slot(slot) => (
                short_name(self.graph.slots[slot].type_name),
                Body::Struct(Fields::Newtype(self.shape(slot))),
            ),
            Item::Container(container) => {
                let container = &self.graph.containers[container];
                let name = container.key.name;
                let body = if container.key.is_enum {
                    Body::Enum(self.variants(container))
                } else {
                    Body::Struct(self.fields(&container.content, name))
                };
                (name.to_owned(), body)
            }
        };
        Definition { name, version: 1, body }
    }

    fn variants(&mut self, container: &Container) -> Vec<Variant> {
        let names = container.key.members;
        let accepted = container.variants.iter().filter(|variant| !variant.rejected);
        let certain = accepted.clone().count() == names.len();
        accepted
            .enumerate()
            .map(|(number, variant)| {
                let name = name_of(names, number, certain);
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
                let mut types = self.list(&content.slots);
                for (number, ty) in types.iter_mut().enumerate() {
                    if let Type::Opaque(name) = ty
                        && name.is_empty()
                    {
                        *name = format!("{owner}.{number}");
                    }
                }
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

/// Where aliases hide which name is whose, all of them together, so that another order is another name.
fn name_of(names: &[&str], number: usize, certain: bool) -> String {
    match names.get(number) {
        Some(name) if certain => (*name).to_owned(),
        _ => format!("{number} of {}", names.join("|")),
    }
}

fn undecided(name: &str, request: &str) -> String {
    // serde's own helpers would tell nobody anything.
    let internal = name.is_empty() || name.contains("__") || name.starts_with("Content");
    let name = if internal { "the type" } else { name };
    format!(
        "{name} decides while reading what comes next ({request}), which bincode cannot tell; write \
         #[serde(with = \"checkpointed::self_describing\")] on its field"
    )
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
