//! The comparison of two states.

use std::collections::HashMap;

use serde::{Serialize, Serializer};

use super::array::{Array, Pieces};
use super::element::Number;
use super::file::File;
use super::members::{Label, Member, Members};
use super::node::{Node, Value};
use super::outline::{Limits, Outline};
use super::sameness::{Order, fingerprint};
use super::walk::TOO_MANY;
use crate::base::limits::{VALUE_DEPTH_COMPARED, VALUE_DEPTH_OF_A_DIFFERENCE};
use crate::base::text::shortened;
use crate::error::Error;
use crate::schema::Element;

/// The differences between two values, in the order of the first.
#[derive(Clone, Debug, Default, Serialize)]
#[non_exhaustive]
pub struct Comparison {
    /// The differences, at most [`Limits::differences`].
    pub differences: Vec<Difference>,
    /// The number of all differences.
    pub total: u64,
}

/// One difference.
#[derive(Clone, Debug, Serialize)]
#[non_exhaustive]
pub struct Difference {
    /// The path of the value, as for [`File::find`]; empty for the whole.
    pub path: String,
    /// The kind of difference.
    #[serde(flatten)]
    pub change: Change,
}

/// The kind of difference between two values.
#[derive(Clone, Debug, Serialize)]
#[serde(tag = "change", rename_all = "snake_case")]
#[non_exhaustive]
pub enum Change {
    /// It is only in the second.
    Added {
        /// The value.
        after: Outline,
    },
    /// It is only in the first.
    Removed {
        /// The value.
        before: Outline,
    },
    /// The value is another one: another number, text or variant, or an array of another shape.
    Value {
        /// In the first.
        before: Outline,
        /// In the second.
        after: Outline,
    },
    /// The value is the same, but of another type.
    Type {
        /// The type in the first, as a Rust programmer would write it.
        before: String,
        /// The type in the second.
        after: String,
    },
    /// Elements of an array differ; its shape is the same.
    Elements(ElementsChange),
    /// The value cannot be compared, and neither can the rest of the value around it.
    Unreadable {
        /// The reason.
        why: String,
    },
}

/// The difference between the elements of two arrays of one shape.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ElementsChange {
    /// The type of the elements of the first.
    pub before: Element,
    /// The type of the elements of the second.
    pub after: Element,
    /// The number of elements.
    pub elements: u64,
    /// The number of elements that differ. NaN equals NaN, and zero equals zero of the other sign.
    pub different: u64,
    /// The pair that differs most. A pair with one NaN differs more than any numbers.
    pub largest: Option<ElementChange>,
}

/// The difference between two elements.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[non_exhaustive]
pub struct ElementChange {
    /// Their index, outermost dimension first.
    pub index: Vec<u64>,
    /// The first.
    pub before: Number,
    /// The second.
    pub after: Number,
    /// The distance between them.
    #[serde(serialize_with = "as_number")]
    pub distance: f64,
}

fn as_number<S: Serializer>(distance: &f64, serializer: S) -> Result<S::Ok, S::Error> {
    Number::Double(*distance).serialize(serializer)
}

impl Node<'_> {
    /// The differences between this value and a later one, of the same program or of another.
    /// Fields are found by their names, elements by their numbers, and the values of maps by their
    /// keys. If only one of the two is an option, its content is compared with the other.
    ///
    /// Values with equal bytes are not looked at any further, and arrays are read in pieces.
    ///
    /// ```
    /// use checkpointed::inspect::{Change, File, Limits};
    /// use checkpointed::{Checkpointer, Protection};
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let mut checkpoints = Checkpointer::<(u64, Vec<f64>)>::open(&path)?;
    /// checkpoints.save(&(7, vec![0.5, 1.5, 2.5]))?;
    /// checkpoints.save(&(7, vec![0.5, 1.0, 2.5]))?;
    ///
    /// let open = |generation| File::open_generation(&path, generation, &Protection::new());
    /// let (before, after) = (open(1)?, open(2)?);
    /// let comparison = before.root().compare(&after.root(), &Limits::default());
    /// assert_eq!((comparison.total, &*comparison.differences[0].path), (1, "1"));
    /// let Change::Elements(elements) = &comparison.differences[0].change else { unreachable!() };
    /// assert_eq!(elements.different, 1);
    /// assert_eq!(elements.largest.as_ref().map(|largest| largest.distance), Some(0.5));
    /// # Ok(())
    /// # }
    /// ```
    #[must_use]
    pub fn compare(&self, after: &Node<'_>, limits: &Limits) -> Comparison {
        self.compared(after, None, limits)
    }

    /// Like [`compare`](Node::compare), but values that are the same in another order are equal.
    pub(super) fn compare_values(&self, after: &Node<'_>, order: Order, limits: &Limits) -> Comparison {
        self.compared(after, Some(order), limits)
    }

    fn compared(&self, after: &Node<'_>, order: Option<Order>, limits: &Limits) -> Comparison {
        let (most, mut limits) = (limits.differences, limits.clone().statistics_bytes(0));
        limits.depth = limits.depth.min(VALUE_DEPTH_OF_A_DIFFERENCE);
        let left = self.file.most_values().saturating_add(after.file.most_values());
        let found = Comparison::default();
        let mut comparing = Comparing { most, limits, order, is_one_schema: false, left, found };
        comparing.files("", (self.file, self), (after.file, after), 0);
        comparing.found
    }
}

struct Comparing {
    most: usize,
    limits: Limits,
    /// The part of the order that counts; all of it if this is `None`.
    order: Option<Order>,
    /// True if both checkpoints have the same schema, so that their types can be compared.
    is_one_schema: bool,
    /// The number of values that may still be compared.
    left: u64,
    found: Comparison,
}

/// A place and the value there.
type Pair<'p, 'a> = (&'p Node<'a>, Value<'a>);

impl Comparing {
    /// Compares values of two checkpoints.
    fn files(&mut self, path: &str, before: (&File, &Node<'_>), after: (&File, &Node<'_>), depth: u32) {
        let is_one_schema = before.0.schema() == after.0.schema();
        let outside = std::mem::replace(&mut self.is_one_schema, is_one_schema);
        self.nodes(path, before.1, after.1, depth);
        self.is_one_schema = outside;
    }

    fn nodes(&mut self, path: &str, before: &Node<'_>, after: &Node<'_>, depth: u32) {
        let Some(left) = self.left.checked_sub(1) else { return };
        self.left = left;
        if left == 0 {
            return self.push(path, || Change::Unreadable { why: TOO_MANY.to_owned() });
        }
        let is_one_type = self.is_one_schema && before.is_of_form_of(after);
        if is_one_type && before.raw().is_some_and(|bytes| after.raw() == Some(bytes)) {
            return;
        }
        if is_one_type && let Some(order) = self.order {
            let of = |node| fingerprint(node, order).ok();
            if of(before).is_some_and(|one| of(after) == Some(one)) {
                return;
            }
        }
        if depth == VALUE_DEPTH_COMPARED {
            return self.changed(path, before, after);
        }
        match (before.value(), after.value()) {
            (Ok(a), Ok(b)) => self.values(path, (before, a), (after, b), depth + 1),
            (Err(error), _) | (_, Err(error)) => self.unreadable(path, &error),
        }
    }

    fn values(&mut self, path: &str, before: Pair<'_, '_>, after: Pair<'_, '_>, depth: u32) {
        let ((one, a), (other, b)) = (before, after);
        match (a, b) {
            (Value::Option(Some(a)), Value::Option(Some(b))) => self.nodes(path, &a, &b, depth),
            (Value::Variant(a, Some(inner)), Value::Variant(b, Some(other))) if a == b => {
                self.nodes(path, &inner, &other, depth);
            }
            (Value::Option(Some(a)), _) => self.nodes(path, &a, other, depth),
            (_, Value::Option(Some(b))) => self.nodes(path, one, &b, depth),
            (Value::Unit, Value::Unit) | (Value::Option(None), Value::Option(None)) => {}
            (Value::Variant(a, None), Value::Variant(b, None)) if a == b => {}
            (Value::Number(a), Value::Number(b)) if a.is_same(b) => self.same(path, one, other),
            (Value::Char(a), Value::Char(b)) if a == b => {}
            (Value::Text(a), Value::Text(b)) if a == b => {}
            (Value::Bytes(a), Value::Bytes(b)) if a == b => {}
            (Value::Struct(a), Value::Struct(b)) if self.is_one_schema && one.is_of_form_of(other) => {
                self.in_order(path, a, b, depth);
            }
            (Value::Struct(a), Value::Struct(b)) => {
                let name = |member: &Member<'_>| Some(member.label.step());
                self.members(path, a, b, depth, &name);
            }
            (Value::Map(a), Value::Map(b)) => {
                // The whole key, because the text of a label may be the same for several keys.
                let name = |member: &Member<'_>| match &member.label {
                    Label::Key(key) => serde_json::to_string(key).ok(),
                    label => Some(label.step()),
                };
                self.members(path, a, b, depth, &name);
            }
            (a, b) => match (one.embedded(path), other.embedded(path)) {
                (Ok(Some(one)), Ok(Some(other))) => {
                    self.files(path, (&one, &one.root()), (&other, &other.root()), depth);
                }
                (Err(error), _) | (_, Err(error)) => self.unreadable(path, &error),
                _ => self.rows(path, (one, a), (other, b), depth),
            },
        }
    }

    /// Compares sequences, tuples and arrays, and any values that cannot be compared with each
    /// other.
    fn rows(&mut self, path: &str, before: Pair<'_, '_>, after: Pair<'_, '_>, depth: u32) {
        let ((one, a), (other, b)) = (before, after);
        match (a, b) {
            (Value::Array(a), Value::Array(b)) if a.shape() == b.shape() => match elements(&a, &b) {
                Ok(change) if change.different > 0 => self.push(path, || Change::Elements(change)),
                Ok(_) => self.same(path, one, other),
                Err(error) => self.unreadable(path, &error),
            },
            // The same numbers may be an array in one checkpoint and not in the other: an array
            // with other strides is written element by element.
            (Value::Sequence(a), Value::Array(b)) if a.total() == b.len() => {
                let change = compare_numbers(numbers(a), &b, |element, number| (element, number));
                self.in_array(path, (one, other), change);
            }
            (Value::Array(a), Value::Sequence(b)) if b.total() == a.len() => {
                let change = compare_numbers(numbers(b), &a, |element, number| (number, element));
                self.in_array(path, (one, other), change);
            }
            (Value::Bytes(a), Value::Array(b)) if a.len() as u64 == b.len() => {
                let change = compare_numbers(bytes(a), &b, |element, number| (element, number));
                self.in_array(path, (one, other), change);
            }
            (Value::Array(a), Value::Bytes(b)) if b.len() as u64 == a.len() => {
                let change = compare_numbers(bytes(b), &a, |element, number| (number, element));
                self.in_array(path, (one, other), change);
            }
            (Value::Bytes(a), Value::Sequence(b)) if b.plain_bytes() == Some(a) => {
                self.same(path, one, other);
            }
            (Value::Sequence(a), Value::Bytes(b)) if a.plain_bytes() == Some(b) => {
                self.same(path, one, other);
            }
            (Value::Sequence(a) | Value::Tuple(a), Value::Sequence(b) | Value::Tuple(b)) => {
                self.in_order(path, a, b, depth);
            }
            _ => self.changed(path, one, other),
        }
    }

    /// Notes the difference between an array and a sequence; `None` is for a sequence that holds no
    /// numbers.
    fn in_array(
        &mut self,
        path: &str,
        (one, other): (&Node<'_>, &Node<'_>),
        change: Result<Option<ElementsChange>, Error>,
    ) {
        match change {
            Ok(Some(change)) if change.different > 0 => self.push(path, || Change::Elements(change)),
            Ok(Some(_)) => self.same(path, one, other),
            Ok(None) => self.changed(path, one, other),
            Err(error) => self.unreadable(path, &error),
        }
    }

    fn in_order(&mut self, path: &str, mut before: Members<'_>, mut after: Members<'_>, depth: u32) {
        let common = before.total().min(after.total());
        let (removed, added) = (before.total() - common, after.total() - common);
        for _ in 0..common {
            if self.left == 0 {
                return;
            }
            match (before.next().transpose(), after.next().transpose()) {
                (Ok(Some(a)), Ok(Some(b))) => {
                    self.nodes(&within(path, &a.label), &a.node, &b.node, depth);
                }
                (Ok(_), Ok(_)) => break,
                (Err(error), _) | (_, Err(error)) => return self.unreadable(path, &error),
            }
        }
        self.rest(path, before, removed, |before| Change::Removed { before });
        self.rest(path, after, added, |after| Change::Added { after });
    }

    /// Notes the further members of the longer one of two sequences.
    fn rest(&mut self, path: &str, members: Members<'_>, count: u64, change: impl Fn(Outline) -> Change) {
        let room = self.most.saturating_sub(self.found.differences.len());
        let mut told = 0;
        for member in members.take(room) {
            match member {
                Ok(Member { label, node }) => self.one_sided(&within(path, &label), &node, &change),
                Err(error) => return self.unreadable(path, &error),
            }
            told += 1;
        }
        self.found.total += count.saturating_sub(told);
    }

    /// Compares members that are found by their names or keys. No map has a key twice; if a damaged
    /// one has, the first is compared with the first.
    fn members(
        &mut self,
        path: &str,
        before: Members<'_>,
        after: Members<'_>,
        depth: u32,
        name: &dyn Fn(&Member<'_>) -> Option<String>,
    ) {
        let mut later: HashMap<(Option<String>, u64), (usize, Member<'_>)> = HashMap::new();
        let mut keys = Keys::default();
        for (place, member) in after.enumerate() {
            match member {
                Ok(member) => drop(later.insert(keys.next(name(&member)), (place, member))),
                Err(error) => return self.unreadable(path, &error),
            }
        }
        let mut keys = Keys::default();
        for member in before {
            let member = match member {
                Ok(member) => member,
                Err(error) => return self.unreadable(path, &error),
            };
            let path = within(path, &member.label);
            match later.remove(&keys.next(name(&member))) {
                Some((_, other)) => self.nodes(&path, &member.node, &other.node, depth),
                None => self.one_sided(&path, &member.node, &|before| Change::Removed { before }),
            }
        }
        let mut added: Vec<(usize, Member<'_>)> = later.into_values().collect();
        added.sort_by_key(|(place, _)| *place);
        for (_, member) in added {
            let path = within(path, &member.label);
            self.one_sided(&path, &member.node, &|after| Change::Added { after });
        }
    }

    fn one_sided(&mut self, path: &str, node: &Node<'_>, change: &impl Fn(Outline) -> Change) {
        let limits = self.limits.clone();
        self.push(path, || change(node.cut(&limits)));
    }

    fn changed(&mut self, path: &str, before: &Node<'_>, after: &Node<'_>) {
        let limits = self.limits.clone();
        self.push(path, || Change::Value { before: before.cut(&limits), after: after.cut(&limits) });
    }

    /// Compares the types of two equal values.
    fn same(&mut self, path: &str, before: &Node<'_>, after: &Node<'_>) {
        let (before, after) = (before.type_name(), after.type_name());
        if before != after {
            self.push(path, || Change::Type { before, after });
        }
    }

    fn unreadable(&mut self, path: &str, error: &Error) {
        self.push(path, || Change::Unreadable { why: error.to_string() });
    }

    fn push(&mut self, path: &str, change: impl FnOnce() -> Change) {
        self.found.total += 1;
        if self.found.differences.len() < self.most {
            self.found.differences.push(Difference { path: path.to_owned(), change: change() });
        }
    }
}

/// Tells keys with the same text apart by their order.
#[derive(Default)]
struct Keys(HashMap<Option<String>, u64>);

impl Keys {
    fn next(&mut self, key: Option<String>) -> (Option<String>, u64) {
        let times = self.0.entry(key.clone()).or_default();
        *times += 1;
        (key, *times)
    }
}

fn within(path: &str, label: &Label<'_>) -> String {
    let step = label.step();
    let step = shortened(&step);
    if path.is_empty() { step.into_owned() } else { format!("{path}/{step}") }
}

/// The numbers of a sequence. `None` for a value that is no number.
fn numbers(sequence: Members<'_>) -> impl Iterator<Item = Result<Option<Number>, Error>> {
    sequence.map(|member| match member?.node.value()? {
        Value::Number(number) => Ok(Some(number)),
        _ => Ok(None),
    })
}

fn bytes(bytes: &[u8]) -> impl Iterator<Item = Result<Option<Number>, Error>> {
    bytes.iter().map(|byte| Ok(Some(Number::Unsigned((*byte).into()))))
}

/// Compares the numbers of a sequence with an array of as many elements. `None` if the sequence
/// holds anything else. `ordered` puts an element of the sequence and one of the array into the
/// order of the comparison.
fn compare_numbers(
    sequence: impl Iterator<Item = Result<Option<Number>, Error>>,
    array: &Array<'_>,
    ordered: impl Fn(Number, Number) -> (Number, Number),
) -> Result<Option<ElementsChange>, Error> {
    let element = array.element();
    let mut change = ElementsChange {
        before: element,
        after: element,
        elements: array.len(),
        different: 0,
        largest: None,
    };
    let mut side = Side::of(array)?;
    for (place, member) in (0..).zip(sequence) {
        let Some(number) = member? else { return Ok(None) };
        if side.ready()? == 0 {
            return Ok(None);
        }
        let (before, after) = ordered(number, element.read(side.take(1)));
        change.add(place, before, after, array.shape());
    }
    // Compressed data is only verified at its end.
    side.ready()?;
    Ok(Some(change))
}

/// Compares two arrays of one shape.
fn elements(before: &Array<'_>, after: &Array<'_>) -> Result<ElementsChange, Error> {
    let mut change = ElementsChange {
        before: before.element(),
        after: after.element(),
        elements: before.len(),
        different: 0,
        largest: None,
    };
    let (mut one, mut other) = (Side::of(before)?, Side::of(after)?);
    let is_one_type = before.element() == after.element();
    let mut done = 0;
    loop {
        let count = one.ready()?.min(other.ready()?);
        if count == 0 {
            // Compressed data is only verified at its end. Both are at their ends here, or the
            // shapes would differ.
            return Ok(change);
        }
        let (a, b) = (one.take(count), other.take(count));
        if !is_one_type || a != b {
            let pairs = a.chunks_exact(before.element().size()).zip(b.chunks_exact(after.element().size()));
            for (place, (a, b)) in (done..).zip(pairs) {
                if !is_one_type || a != b {
                    change.add(place, before.element().read(a), after.element().read(b), before.shape());
                }
            }
        }
        done += count as u64;
    }
}

impl ElementsChange {
    fn add(&mut self, place: u64, before: Number, after: Number, shape: &[u64]) {
        if before.is_same(after) {
            return;
        }
        self.different += 1;
        let distance = before.distance(after);
        let is_larger = |largest: &ElementChange| {
            distance > largest.distance || (distance.is_nan() && !largest.distance.is_nan())
        };
        if self.largest.as_ref().is_none_or(is_larger) {
            let index = index_of(place, shape);
            self.largest = Some(ElementChange { index, before, after, distance });
        }
    }
}

/// The index of the element with this number, in C order.
fn index_of(mut place: u64, shape: &[u64]) -> Vec<u64> {
    let mut index: Vec<u64> = shape
        .iter()
        .rev()
        .map(|length| {
            let at = place % length.max(&1);
            place /= length.max(&1);
            at
        })
        .collect();
    index.reverse();
    index
}

/// One of two arrays that are read side by side. Their pieces may end at different elements.
struct Side<'a> {
    pieces: Pieces<'a>,
    size: usize,
    piece: Vec<u8>,
    taken: usize,
}

impl<'a> Side<'a> {
    fn of(array: &Array<'a>) -> Result<Side<'a>, Error> {
        Ok(Side { pieces: array.pieces(false)?, size: array.element().size(), piece: Vec::new(), taken: 0 })
    }

    /// The number of elements that can be taken; 0 at the end.
    fn ready(&mut self) -> Result<usize, Error> {
        while self.taken >= self.piece.len() {
            let Some(next) = self.pieces.next()? else { return Ok(0) };
            self.piece.clear();
            self.piece.extend_from_slice(next);
            self.taken = 0;
        }
        Ok((self.piece.len() - self.taken) / self.size)
    }

    fn take(&mut self, count: usize) -> &[u8] {
        let end = self.taken + count * self.size;
        self.piece.get(std::mem::replace(&mut self.taken, end)..end).unwrap_or_default()
    }
}
