//! The knowledge so far about the type that is traced.
//!
//! A *slot* is a place of a value: a field, an element, the root. A *container* is a struct or an
//! enum. All its occurrences share one container and its slots, so recursive types are cycles of a
//! finite graph.

use std::collections::HashMap;
use std::rc::Rc;

use crate::base::limits::TRACED_MEMBERS_APART;
use crate::schema::Type;

pub(super) type SlotId = usize;
pub(super) type ContainerId = usize;

/// The distance to something unknown if there is nothing unknown.
pub(super) const FAR: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Slot {
    /// Rust's name of the type, empty if it is not known.
    pub(super) type_name: &'static str,
    pub(super) shape: Shape,
    /// The number of members read, if it is a tuple. It may differ from the number that was asked
    /// for.
    pub(super) read: Option<usize>,
    /// The dimensions of fixed arrays, if it is a sequence of all their elements.
    pub(super) grid: Option<Dimensions>,
    /// The number of the choice that the slot is given.
    pub(super) sample: usize,
    /// The same for the number of its elements, while something in them is unknown.
    pub(super) eager: usize,
    /// Its choice satisfies a type that refused others, so the types around that one leave it
    /// alone.
    pub(super) fixed: bool,
    pub(super) tries: u32,
    /// No value could be made, with any combination of choices.
    pub(super) refused: bool,
    /// Refused, or holds something that cannot be left out and is refused.
    pub(super) dead: bool,
    /// The number of steps from here to something unknown.
    pub(super) distance: u32,
}

/// The shape of fixed arrays that are read as one sequence of all their elements.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Dimensions {
    pub(super) is_vec: bool,
    /// The lengths of one array, outermost first.
    pub(super) lengths: Vec<u64>,
}

impl Dimensions {
    /// The number of elements of one array.
    pub(super) fn elements(&self) -> usize {
        let lengths = self.lengths.iter().map(|length| usize::try_from(*length).unwrap_or(usize::MAX));
        lengths.fold(1, usize::saturating_mul)
    }
}

impl Slot {
    /// True for one fixed array of elements, false for any number of arrays.
    pub(super) fn is_one_array(&self) -> bool {
        self.grid.as_ref().is_some_and(|grid| !grid.is_vec)
    }
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Shape {
    Unknown,
    /// Was asked to be different things at different times.
    Mixed,
    Leaf(Type),
    /// Asks what comes next (`deserialize_any`) or what a field is called
    /// (`deserialize_identifier`).
    Undecided(&'static str),
    Option(SlotId),
    Seq(SlotId),
    Map(SlotId, SlotId),
    /// The slots of the members (one for all if there are many), and their number.
    Tuple(Rc<[SlotId]>, usize),
    Container(ContainerId),
    /// A type within itself without a struct or an enum in between.
    SameAs(SlotId),
}

/// The identity of a container. Different types may have the same name (as in two versions of one
/// crate), so the names that serde gives and the visitor count too.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Key {
    pub(super) value: &'static str,
    pub(super) visitor: &'static str,
    pub(super) name: &'static str,
    pub(super) members: &'static [&'static str],
    pub(super) is_enum: bool,
}

/// The arguments of `#[checkpointed]` that a type shows inside of one that only serde describes.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) name: Option<String>,
    pub(super) version: u32,
}

impl Given {
    /// Reads them in the words in which serde's derive says what a visitor expects. The macro adds
    /// them there: serde has no other place for them.
    pub(super) fn in_words(expected: &str) -> Given {
        let told = expected.strip_suffix(')').and_then(|words| {
            let (words, version) = words.rsplit_once(", version ")?;
            let (_, name) = words.rsplit_once(" (checkpointed")?;
            Some(Given { name: name.strip_prefix(" as ").map(str::to_owned), version: version.parse().ok()? })
        });
        told.unwrap_or(Given { name: None, version: 1 })
    }
}

#[derive(Debug)]
pub(super) struct Container {
    pub(super) key: Key,
    /// The name and the version that its author gave it.
    pub(super) given: Given,
    /// The number of times that it is being read at this moment. More than once means that it is
    /// recursive.
    pub(super) entered: u32,
    /// True if this pass has looked for something unknown in it. Once is enough, or a pass would
    /// take exponential time.
    pub(super) searched: bool,
    /// The search for the variant of each name, if some names are aliases.
    pub(super) hunt: Option<VariantHunt>,
    pub(super) content: Content,
    pub(super) variants: Vec<VariantState>,
    pub(super) dead: bool,
    pub(super) distance: u32,
}

#[derive(Debug, Default)]
pub(super) struct VariantState {
    pub(super) entered: u32,
    pub(super) content: Content,
    /// Its number was accepted.
    pub(super) explored: bool,
    /// A hash of the value that the type makes of the variant's number. Compared with those of
    /// other numbers, it tells whether the type keeps them apart.
    pub(super) mark: Option<u64>,
    /// The number of probes that have looked into it.
    pub(super) probed: u32,
    /// Its number was not accepted.
    pub(super) rejected: bool,
    pub(super) refused: bool,
    pub(super) tries: u32,
    /// The steps of the shortest reading that came to an end.
    pub(super) cost: Option<u64>,
    pub(super) dead: bool,
    pub(super) distance: u32,
}

/// The content of a struct or a variant.
#[derive(Debug)]
pub(super) struct Content {
    pub(super) form: Form,
    pub(super) slots: Rc<[SlotId]>,
    /// The number of members read.
    pub(super) read: Option<usize>,
    /// True if its fields may be tried one by one, by name, because one of them cannot be read.
    pub(super) by_name: bool,
    pub(super) names: Option<NameHunt>,
}

impl Default for Content {
    fn default() -> Content {
        Content { form: Form::Unasked, slots: Rc::from([]), read: None, by_name: true, names: None }
    }
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Form {
    Unasked,
    Mixed,
    /// Can only be read from a map.
    OnlyByName,
    Unit,
    Newtype,
    Tuple(usize),
    Named(&'static [&'static str]),
}

/// The search for the true names of fields: serde lists aliases among the names. A type that is
/// given a field twice complains of it by its true name.
#[derive(Debug)]
pub(super) struct NameHunt {
    pub(super) next: usize,
    pub(super) found: Vec<Option<&'static str>>,
    pub(super) scratch: SlotId,
}

/// The search for the true names of variants: serde lists aliases among these names too. A type
/// makes the same value of a name as of the number of that variant.
#[derive(Debug)]
pub(super) struct VariantHunt {
    /// The name that is given next.
    pub(super) next: usize,
    /// The [mark](VariantState::mark) of each name.
    pub(super) found: Vec<Option<u64>>,
}

impl VariantHunt {
    pub(super) fn of(names: usize) -> VariantHunt {
        VariantHunt { next: 0, found: vec![None; names] }
    }

    /// True if there are names that were not given yet.
    pub(super) fn is_open(&self) -> bool {
        self.next < self.found.len()
    }

    /// Notes the outcome for the next name.
    pub(super) fn note(&mut self, mark: Option<u64>) {
        if let Some(found) = self.found.get_mut(self.next) {
            *found = mark;
        }
        self.next += 1;
    }
}

/// A struct's content, or a variant's.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) container: ContainerId,
    pub(super) variant: Option<usize>,
}

#[derive(Debug)]
pub(super) struct Graph {
    pub(super) slots: Vec<Slot>,
    pub(super) containers: Vec<Container>,
    known: HashMap<Key, ContainerId>,
    /// The slot that a probe heads for, as if nothing were known of it.
    pub(super) target: Option<SlotId>,
    /// Counts everything that was learned.
    pub(super) changes: u64,
}

pub(super) const ROOT: SlotId = 0;

impl Graph {
    pub(super) fn new(root: &'static str) -> Graph {
        let mut graph = Graph {
            slots: Vec::new(),
            containers: Vec::new(),
            known: HashMap::new(),
            target: None,
            changes: 0,
        };
        graph.new_slot(root);
        graph
    }

    pub(super) fn new_slot(&mut self, type_name: &'static str) -> SlotId {
        self.slots.push(Slot {
            type_name,
            shape: Shape::Unknown,
            read: None,
            grid: None,
            sample: 0,
            eager: 0,
            fixed: false,
            tries: 0,
            refused: false,
            dead: false,
            distance: 0,
        });
        self.slots.len() - 1
    }

    fn new_slots(&mut self, count: usize) -> Rc<[SlotId]> {
        let count = if count > TRACED_MEMBERS_APART { 1 } else { count };
        (0..count).map(|_| self.new_slot("")).collect()
    }

    /// Notes that `slot` was asked to be something without parts.
    pub(super) fn leaf(&mut self, slot: SlotId, shape: Shape) {
        if self.slots[slot].shape != shape {
            self.learn(slot, shape);
        }
    }

    /// Notes a shape. Any other shape than the known one contradicts it.
    fn learn(&mut self, slot: SlotId, shape: Shape) {
        let known = &mut self.slots[slot].shape;
        if *known == Shape::Unknown {
            *known = shape;
            self.changes += 1;
        } else if *known != Shape::Mixed {
            *known = Shape::Mixed;
            self.changes += 1;
        }
    }

    pub(super) fn option(&mut self, slot: SlotId, inner: &'static str) -> SlotId {
        if let Shape::Option(inner) = self.slots[slot].shape {
            return inner;
        }
        let inner = self.new_slot(inner);
        self.learn(slot, Shape::Option(inner));
        inner
    }

    pub(super) fn seq(&mut self, slot: SlotId, grid: Option<Dimensions>) -> SlotId {
        if let Shape::Seq(element) = self.slots[slot].shape
            && self.slots[slot].grid == grid
        {
            return element;
        }
        let element = self.new_slot("");
        self.learn(slot, Shape::Seq(element));
        self.slots[slot].grid = grid;
        element
    }

    pub(super) fn map(&mut self, slot: SlotId) -> (SlotId, SlotId) {
        if let Shape::Map(key, value) = self.slots[slot].shape {
            return (key, value);
        }
        let (key, value) = (self.new_slot(""), self.new_slot(""));
        self.learn(slot, Shape::Map(key, value));
        (key, value)
    }

    pub(super) fn tuple(&mut self, slot: SlotId, length: usize) -> Rc<[SlotId]> {
        if let Shape::Tuple(members, known) = &self.slots[slot].shape
            && *known == length
        {
            return Rc::clone(members);
        }
        let members = self.new_slots(length);
        self.learn(slot, Shape::Tuple(Rc::clone(&members), length));
        members
    }

    pub(super) fn container(&mut self, slot: SlotId, key: Key, given: impl FnOnce() -> Given) -> ContainerId {
        let container = match self.known.get(&key) {
            Some(&container) => container,
            None => {
                let variants = if key.is_enum { key.members.len() } else { 0 };
                self.containers.push(Container {
                    key: key.clone(),
                    given: given(),
                    entered: 0,
                    searched: false,
                    hunt: None,
                    content: Content::default(),
                    variants: (0..variants).map(|_| VariantState::default()).collect(),
                    dead: false,
                    distance: 0,
                });
                self.known.insert(key, self.containers.len() - 1);
                self.containers.len() - 1
            }
        };
        self.leaf(slot, Shape::Container(container));
        container
    }

    pub(super) fn content(&mut self, place: Place) -> &mut Content {
        let container = &mut self.containers[place.container];
        match place.variant {
            Some(variant) => &mut container.variants[variant].content,
            None => &mut container.content,
        }
    }

    /// Notes how many members of a content were read; another number than before is another form.
    pub(super) fn read(&mut self, place: Place, count: usize) {
        let content = self.content(place);
        if content.read.is_some_and(|known| known != count) {
            content.form = Form::Mixed;
            self.changes += 1;
        } else {
            content.read = Some(count);
        }
    }

    /// The same for the members of a tuple.
    pub(super) fn read_tuple(&mut self, slot: SlotId, count: usize) {
        let state = &mut self.slots[slot];
        let Shape::Tuple(members, length) = &state.shape else { return };
        if state.read.is_some_and(|known| known != count) {
            state.shape = Shape::Mixed;
            self.changes += 1;
            return;
        }
        state.read = Some(count);
        if count < members.len() {
            state.shape = Shape::Tuple(members.iter().copied().take(count).collect(), *length);
            self.changes += 1;
        }
    }

    /// Notes the form of a content; `None` if it was another before.
    pub(super) fn form(&mut self, place: Place, form: Form) -> Option<Rc<[SlotId]>> {
        match self.content(place).form {
            Form::Unasked => {
                let slots = match form {
                    Form::Newtype => self.new_slots(1),
                    Form::Tuple(length) => self.new_slots(length),
                    Form::Named(names) => names.iter().map(|_| self.new_slot("")).collect(),
                    _ => Rc::from([]),
                };
                let content = self.content(place);
                content.form = form;
                content.slots = Rc::clone(&slots);
                self.changes += 1;
                Some(slots)
            }
            known if known == form => Some(Rc::clone(&self.content(place).slots)),
            Form::Mixed | Form::OnlyByName => None,
            _ => {
                self.content(place).form = Form::Mixed;
                self.changes += 1;
                None
            }
        }
    }
}
