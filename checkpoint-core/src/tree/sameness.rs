//! Compares the values of two states of one type. Maps and sets may come in another order.

use std::collections::hash_map::DefaultHasher;
use std::hash::{Hash as _, Hasher as _};

use super::array::Array;
use super::comparison::{Change, Difference};
use super::file::File;
use super::free_form;
use super::node::Node;
use super::numbers::numbers;
use super::outline::{Content, Limits, Outline};
use super::walk::Rest;
use crate::base::limits::VALUE_DEPTH_WALKED;
use crate::error::Error;
use crate::schema::{Element, Grid, Type};

/// The number of differences listed.
const TOLD: usize = 3;

/// Checks that two checkpoints of one schema have the same values, and lists the differences if
/// they have not. Two numbers are the same if [`Node::compare`] says so.
pub(crate) fn same_values(saved: &File, loaded: &File) -> Result<(), String> {
    let order = Order::of(saved, loaded);
    match (fingerprint(&saved.root(), order), fingerprint(&loaded.root(), order)) {
        (Ok(one), Ok(other)) if one == other => return Ok(()),
        (Err(Error::FormUnknown { .. }), _) | (_, Err(Error::FormUnknown { .. })) => {
            return same_bytes(saved, loaded);
        }
        (Err(error), _) | (_, Err(error)) => return Err(error.to_string()),
        _ => {}
    }
    let limits = Limits { differences: TOLD, ..Limits::default() };
    let found = saved.root().compare_values(&loaded.root(), order, &limits);
    if found.total == 0 {
        return Ok(());
    }
    let mut lines: Vec<String> = found.differences.iter().map(told).collect();
    if found.total > TOLD as u64 {
        lines.push(format!("and {} more", found.total - TOLD as u64));
    }
    Err(lines.join("; "))
}

/// True if two checkpoints of one schema have the same values in the same order, but for the
/// entries of maps. A part of unknown form equals none.
#[cfg(feature = "scopes")]
pub(crate) fn same_in_order(one: &File, other: &File) -> bool {
    let of = |file: &File| fingerprint(&file.root(), Order::OfAll).ok();
    of(one).is_some_and(|one| of(other) == Some(one))
}

/// The part of the order of values that counts, besides that of fields and tuples.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Order {
    /// The order of the elements of arrays. Maps, sets and other sequences may come in any.
    OfArrays,
    /// None. Only the first arrays are kept apart, and the order of a map decides which are the
    /// first. So the same values may be an array in one checkpoint and a sequence in the other.
    Nothing,
    /// The order of all values but the entries of maps. Numbers are the same if their bits are, and
    /// arrays if their checksums are.
    OfAll,
}

impl Order {
    fn of(one: &File, other: &File) -> Order {
        let are_apart = |file: &File| crate::container::is_out_of_band(file.parts().count(), 0);
        if are_apart(one) && are_apart(other) { Order::OfArrays } else { Order::Nothing }
    }
}

/// A hash that is equal for equal values of one type, and practically never for others.
///
/// # Errors
/// An error if the bytes do not fit the schema, or if it does not describe them.
pub(super) fn fingerprint(node: &Node<'_>, order: Order) -> Result<u64, Error> {
    let mut walker = node.walker()?;
    let mut frames = vec![Frame { rest: node.content(), sum: Sum::InOrder(DefaultHasher::new()) }];
    // The values inside are in a list instead of on the stack: a state nests to any depth.
    loop {
        let Some(frame) = frames.last_mut() else { return Ok(0) };
        let Some(ty) = frame.rest.next() else {
            let done = frame.sum.finish();
            frames.pop();
            match frames.last_mut() {
                Some(outer) => outer.sum.add(done),
                None => return Ok(done),
            }
            continue;
        };
        let start = walker.place;
        let is_array = match ty {
            Type::Bytes => true,
            Type::Seq(element) | Type::Grid(Grid { element, .. }) => {
                order == Order::OfAll && numbers(node.file.schema(), element).is_some()
            }
            _ => false,
        };
        if order == Order::OfAll && is_array {
            walker.skip(ty).map_err(|trouble| node.file.trouble(trouble))?;
            let bytes = walker.bytes.get(start.offset..walker.place.offset).unwrap_or_default();
            frame.sum.add(if walker.place.array > start.array {
                Array::new(node.file, start.array, None)?.checksum()
            } else {
                of_array(bytes.get(8..).unwrap_or_default(), *ty == Type::Bytes)
            });
            continue;
        }
        let rest = walker.enter(ty).map_err(|trouble| node.file.trouble(trouble))?;
        let head = walker.bytes.get(start.offset..walker.place.offset).unwrap_or_default();
        match (rest, order) {
            (None, order) if walker.place.array > start.array => {
                frame.sum.add_array(&Array::new(node.file, start.array, None)?, order)?;
            }
            (None, Order::Nothing) if *ty == Type::Bytes => frame.sum.add(of_bytes_anywhere(head)),
            (None, Order::OfAll) => frame.sum.add(in_order(ty, head)),
            (None, _) => frame.sum.add(of_leaf(ty, head)),
            (Some(rest), Order::Nothing) => frames.push(Frame { rest, sum: Sum::Bag(0) }),
            (Some(rest), Order::OfArrays | Order::OfAll) => {
                let sum = match ty {
                    Type::Seq(_) if order == Order::OfArrays => Sum::Bag(0),
                    Type::Map(..) => Sum::Pairs { key: None, sum: 0 },
                    _ => {
                        let mut hasher = DefaultHasher::new();
                        hasher.write(head);
                        Sum::InOrder(hasher)
                    }
                };
                frames.push(Frame { rest, sum });
            }
        }
        if frames.len() > VALUE_DEPTH_WALKED {
            return Err(node.file.damaged(format!("values are nested more than {VALUE_DEPTH_WALKED} deep")));
        }
    }
}

/// The hash of a value so far, and its parts that are still to come.
struct Frame<'a> {
    rest: Rest<'a>,
    sum: Sum,
}

enum Sum {
    InOrder(DefaultHasher),
    /// In no order: a sum is the same in any order.
    Bag(u64),
    /// Keys and values, the pairs in no order.
    Pairs {
        key: Option<u64>,
        sum: u64,
    },
}

impl Sum {
    fn add(&mut self, part: u64) {
        match self {
            Sum::InOrder(hasher) => hasher.write_u64(part),
            Sum::Bag(sum) => *sum = sum.wrapping_add(part),
            Sum::Pairs { key, sum } => match key.take() {
                None => *key = Some(part),
                Some(key) => {
                    let mut hasher = DefaultHasher::new();
                    hasher.write_u64(key);
                    hasher.write_u64(part);
                    *sum = sum.wrapping_add(hasher.finish());
                }
            },
        }
    }

    fn add_array(&mut self, array: &Array<'_>, order: Order) -> Result<(), Error> {
        let mut whole = DefaultHasher::new();
        let mut sum = 0_u64;
        // A complex number that is not kept apart is a pair of floats.
        let (ty, leaf) = match array.element() {
            Element::F32 | Element::Complex32 => (&Type::F32, 4),
            Element::F64 | Element::Complex64 => (&Type::F64, 8),
            other => (&Type::Unit, other.size()),
        };
        array.read(|piece| {
            match order {
                Order::OfArrays | Order::OfAll => whole.write(piece),
                Order::Nothing => {
                    for leaf in piece.chunks_exact(leaf) {
                        sum = sum.wrapping_add(of_leaf(ty, leaf));
                    }
                }
            }
            Ok(())
        })?;
        self.add(if order == Order::Nothing { sum } else { whole.finish() });
        Ok(())
    }

    fn finish(&self) -> u64 {
        match self {
            Sum::InOrder(hasher) => hasher.finish(),
            Sum::Bag(sum) | Sum::Pairs { sum, .. } => *sum,
        }
    }
}

fn of_leaf(ty: &Type, bytes: &[u8]) -> u64 {
    // The content behind the length may be a value in a form of its own.
    let content = bytes.get(8..).unwrap_or_default();
    let own = match ty {
        Type::Bytes => free_form::of_bytes(content, false),
        Type::String => std::str::from_utf8(content).ok().and_then(|text| free_form::of_text(text, false)),
        _ => None,
    };
    if let Some(own) = own {
        return own;
    }
    // Numbers are compared as elsewhere: NaN is NaN, and zero is zero.
    let float = match (ty, bytes) {
        (Type::F32, &[a, b, c, d]) => f64::from(f32::from_le_bytes([a, b, c, d])),
        (Type::F64, bytes) => bytes.first_chunk().map_or(1.0, |bytes| f64::from_le_bytes(*bytes)),
        _ => 1.0,
    };
    if float.is_nan() {
        of_bytes(b"NaN")
    } else if float == 0.0 {
        of_bytes(b"0")
    } else {
        of_bytes(bytes)
    }
}

/// The hash of an array of these bytes: the other checkpoint may keep them as one. A value in a
/// form of its own is never an array.
fn of_bytes_anywhere(bytes: &[u8]) -> u64 {
    let content = bytes.get(8..).unwrap_or_default();
    free_form::of_bytes(content, false).unwrap_or_else(|| {
        let each = content.iter().map(|byte| of_leaf(&Type::U8, std::slice::from_ref(byte)));
        each.fold(0, u64::wrapping_add)
    })
}

/// The hash of a value without parts, of which each bit counts. One in a form of its own counts in
/// its order.
fn in_order(ty: &Type, bytes: &[u8]) -> u64 {
    let text = match ty {
        Type::String => bytes.get(8..).and_then(|text| std::str::from_utf8(text).ok()),
        _ => None,
    };
    text.and_then(|text| free_form::of_text(text, true)).unwrap_or_else(|| of_bytes(bytes))
}

/// The hash of an array in the state, the same as of one that is kept apart. Bytes may be a value
/// in a form of its own, which is never kept apart.
fn of_array(data: &[u8], is_bytes: bool) -> u64 {
    let own = if is_bytes { free_form::of_bytes(data, true) } else { None };
    own.unwrap_or_else(|| of_data(data.len() as u64, crc32fast::hash(data)))
}

/// The hash of an array by the length of its data and their checksum.
pub(super) fn of_data(length: u64, crc32: u32) -> u64 {
    let mut hasher = DefaultHasher::new();
    (length, crc32).hash(&mut hasher);
    hasher.finish()
}

fn of_bytes(bytes: &[u8]) -> u64 {
    let mut hasher = DefaultHasher::new();
    hasher.write(bytes);
    hasher.finish()
}

/// The same as [`same_values`], for states with a part of unknown form. It counts each byte: values
/// in another order have the same counts.
fn same_bytes(saved: &File, loaded: &File) -> Result<(), String> {
    // An array with other strides is written element by element. It comes back in C order, and is
    // then kept apart.
    let is_as_many = saved.parts().count() == loaded.parts().count();
    if !is_as_many || Order::of(saved, loaded) == Order::Nothing {
        return Ok(());
    }
    let counts = |file: &File| -> Result<_, String> {
        let mut counts = [0_u64; 256];
        for byte in file.state().map_err(|error| error.to_string())? {
            if let Some(count) = counts.get_mut(usize::from(*byte)) {
                *count += 1;
            }
        }
        let mut arrays: Vec<_> = file.container.sums().collect();
        arrays.sort_unstable();
        Ok((counts, arrays))
    };
    if counts(saved)? == counts(loaded)? {
        return Ok(());
    }
    Err("it holds a value of unknown form that was encoded as other bytes when it was loaded".to_owned())
}

fn told(difference: &Difference) -> String {
    let what = match &difference.change {
        Change::Added { after } => format!("was not there, and came back as {}", word(after)),
        Change::Removed { before } => format!("was {}, and did not come back", word(before)),
        Change::Value { before, after } => match (word(before), word(after)) {
            (before, after) if before == after => {
                format!("came back as another value, also shown as {after}")
            }
            (before, after) => format!("was {before}, and came back as {after}"),
        },
        Change::Type { before, after } => format!("was {before}, and came back as {after}"),
        Change::Elements(change) => {
            let mut what =
                format!("{} of {} elements came back as others", change.different, change.elements);
            if let Some(most) = &change.largest {
                what += &format!(", one that was {} as {}", most.before, most.after);
            }
            what
        }
        Change::Unreadable { why } => format!("cannot be compared: {why}"),
    };
    let path = if difference.path.is_empty() { "the state" } else { &difference.path };
    format!("`{path}` {what}")
}

fn word(outline: &Outline) -> String {
    let content = match &outline.content {
        Content::Number(number) => number.to_string(),
        Content::Text { text, .. } => format!("{text:?}"),
        Content::None => "None".to_owned(),
        Content::Bytes { bytes, .. } => format!("{bytes} bytes"),
        Content::Unit if !outline.variants.is_empty() => return outline.variants.join("::"),
        Content::Members { total, .. } => format!("{} of {total} values", outline.type_name),
        _ => outline.type_name.clone(),
    };
    match &outline.variants[..] {
        [] => content,
        variants => format!("{}({content})", variants.join("::")),
    }
}

#[cfg(all(test, feature = "scopes", not(shuttle)))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::collections::HashMap;

    use serde::de::DeserializeOwned;
    use serde::{Deserialize, Serialize, Serializer};

    use super::*;
    use crate::{Checkpoint, Checkpointer, Plain, Protection, ReadBack};

    fn are_same<T: Checkpoint>(one: &T, other: &T) -> bool {
        let directory = tempfile::tempdir().unwrap();
        let builder = Checkpointer::<T>::builder(directory.path()).keep_last(2).read_back(ReadBack::Always);
        let mut checkpoints = builder.durable(false).open().unwrap();
        checkpoints.save(one).unwrap();
        checkpoints.save(other).unwrap();
        let file = |number| File::open_generation(directory.path(), number, &Protection::new()).unwrap();
        let (one, other) = (file(1), file(2));
        assert!(same_in_order(&one, &one) && same_in_order(&other, &other));
        same_in_order(&one, &other)
    }

    #[derive(Serialize, Deserialize)]
    #[serde(bound = "T: Serialize + DeserializeOwned")]
    struct InForms<T> {
        #[serde(with = "crate::json")]
        text: T,
        #[serde(with = "crate::self_describing")]
        bytes: T,
    }

    fn in_forms<T: Clone + Serialize + DeserializeOwned>(value: &T) -> Plain<InForms<T>> {
        Plain(InForms { text: value.clone(), bytes: value.clone() })
    }

    /// A map that is written in this order.
    #[derive(Clone, Deserialize)]
    #[serde(from = "HashMap<String, Vec<u8>>")]
    struct Written(Vec<(String, Vec<u8>)>);

    impl Serialize for Written {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_map(self.0.iter().map(|(key, value)| (key, value)))
        }
    }

    impl From<HashMap<String, Vec<u8>>> for Written {
        fn from(map: HashMap<String, Vec<u8>>) -> Written {
            Written(map.into_iter().collect())
        }
    }

    #[test]
    fn the_order_of_a_list_counts_inside_of_text_and_bytes() {
        let text = |text: &str| Plain(text.to_owned());
        assert!(!are_same(&text("[1,2]"), &text("[2,1]")));
        assert!(!are_same(&text("[\"[1,2]\"]"), &text("[\"[2,1]\"]")));
        assert!(are_same(&text("{\"a\":1,\"b\":[2]}"), &text("{\"b\":[2],\"a\":1}")));
        assert!(!are_same(&in_forms(&vec![1_u8, 2]), &in_forms(&vec![2, 1])));
        let inside = |list: &[u8]| in_forms(&HashMap::from([("a".to_owned(), list.to_vec())]));
        assert!(!are_same(&inside(&[1, 2]), &inside(&[2, 1])));
        assert!(are_same(&inside(&[1, 2]), &inside(&[1, 2])));
    }

    #[test]
    fn a_map_made_anew_is_the_same_inside_of_text_and_bytes() {
        let entries = |keys: &[&str]| {
            let each = keys.iter().map(|key| ((*key).to_owned(), vec![1, 2]));
            in_forms(&Written(each.collect()))
        };
        assert!(are_same(&entries(&["a", "b", "c"]), &entries(&["c", "a", "b"])));
        assert!(!are_same(&entries(&["a", "b", "c"]), &entries(&["a", "b", "d"])));
    }

    #[test]
    fn large_integers_in_text_are_compared_with_all_digits() {
        let large = |number: u128| Plain(InForms { text: vec![number], bytes: vec![number] });
        let next = |number: u128| Plain(InForms { text: vec![number], bytes: vec![1 << 64] });
        assert!(are_same(&large(1 << 64), &next(1 << 64)));
        assert!(!are_same(&large(1 << 64), &next((1 << 64) + 1)));
        let text = |text: &str| Plain(text.to_owned());
        let (one, other) =
            ("-100000000000000000000000000000000000001", "-100000000000000000000000000000000000002");
        assert!(!are_same(&text(&format!("[{one}, {other}]")), &text(&format!("[{other}, {one}]"))));
        assert!(are_same(&text(&format!("[{one}, 0.5]")), &text(&format!("[{one},0.5]"))));
        assert!(are_same(
            &text(&format!("{{\"\\\"[{one}\": {one}}}")),
            &text(&format!("{{\"\\\"[{one}\":{one}}}"))
        ));
    }

    #[cfg(feature = "ndarray")]
    #[test]
    fn the_shape_of_an_array_counts() {
        let array = |shape| ndarray::Array2::<f64>::zeros(shape);
        assert!(are_same(&array((2, 300)), &array((2, 300))));
        assert!(!are_same(&array((2, 300)), &array((300, 2))));
    }
}
