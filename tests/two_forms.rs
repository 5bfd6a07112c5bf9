//! A type may be written in one form and read in another of the same bytes: a sequence as bytes,
//! pairs as a map. Every reader of the checkpoint finds the value, or the save is refused.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::fmt::{self, Debug};
use std::hash::Hash;
use std::marker::PhantomData;

use checkpointed::inspect::{self, File, Limits};
use checkpointed::{Plain, Protection, ReadBack};
use serde::de::{DeserializeOwned, Visitor};
use serde::ser::{SerializeMap as _, SerializeTuple as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::common::saved::{loaded, refusal, saved, saved_with, says};

/// Is written as a `W` and read as an `R`.
struct Recoded<W, R>(W, PhantomData<R>);

impl<W, R> Recoded<W, R> {
    fn of(value: W) -> Recoded<W, R> {
        Recoded(value, PhantomData)
    }
}

impl<W: Clone, R> Clone for Recoded<W, R> {
    fn clone(&self) -> Self {
        Recoded::of(self.0.clone())
    }
}

impl<W: Debug, R> Debug for Recoded<W, R> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(formatter)
    }
}

impl<W: PartialEq, R> PartialEq for Recoded<W, R> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<W: Eq, R> Eq for Recoded<W, R> {}

impl<W: Hash, R> Hash for Recoded<W, R> {
    fn hash<H: std::hash::Hasher>(&self, hasher: &mut H) {
        self.0.hash(hasher);
    }
}

impl<W: Serialize, R> Serialize for Recoded<W, R> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(serializer)
    }
}

impl<'de, W, R: Deserialize<'de> + Into<W>> Deserialize<'de> for Recoded<W, R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        R::deserialize(deserializer).map(|read| Recoded::of(read.into()))
    }
}

/// Asks for bytes, and takes nothing else.
struct Buffer(Vec<u8>);

impl<'de> Deserialize<'de> for Buffer {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Buffer, D::Error> {
        struct Bytes;

        impl Visitor<'_> for Bytes {
            type Value = Buffer;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("bytes")
            }

            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Buffer, E> {
                Ok(Buffer(bytes.to_vec()))
            }
        }

        deserializer.deserialize_byte_buf(Bytes)
    }
}

impl From<Buffer> for Vec<u8> {
    fn from(buffer: Buffer) -> Vec<u8> {
        buffer.0
    }
}

impl From<Buffer> for Elements {
    fn from(buffer: Buffer) -> Elements {
        Elements(buffer.0.into())
    }
}

/// Bytes that are written one by one.
#[derive(Clone, Debug, PartialEq, Serialize)]
struct Elements(VecDeque<u8>);

/// Written as a sequence, which is an array; read as bytes.
type Blob = Recoded<Vec<u8>, Buffer>;

fn blob(bytes: impl IntoIterator<Item = u8>) -> Blob {
    Recoded::of(bytes.into_iter().collect())
}

fn file(directory: &tempfile::TempDir) -> File {
    File::open_generation(directory.path(), 1, &Protection::new()).unwrap()
}

/// Saves it with all checks, and has every reader read it. Gives it as JSON.
#[track_caller]
fn comes_back<T: Serialize + DeserializeOwned + PartialEq + Debug + 'static>(value: T) -> String {
    let state = Plain(value);
    let directory = saved_with(&state, ReadBack::Always).unwrap_or_else(|error| panic!("{state:?}: {error}"));
    assert_eq!(loaded::<Plain<T>>(&directory).unwrap(), state);

    let file = file(&directory);
    let verdict = inspect::verify(file.path(), &Protection::new());
    assert!(verdict.is_whole(), "{verdict:?}");
    assert_eq!(file.root().compare(&file.root(), &Limits::default()).total, 0);
    file.root().outline(&Limits::default()).unwrap();
    serde_json::to_string(&file.root()).unwrap()
}

#[test]
fn bytes_that_are_kept_apart_are_whole_to_every_reader() {
    assert_eq!(comes_back(blob([1, 2, 3])), "[1,2,3]");
    assert_eq!(comes_back((blob([]), 7_u16)), "[[],7]");
    assert_eq!(comes_back(vec![Some(blob([4])), None]), "[[4],null]");
    assert_eq!(comes_back(Recoded::<_, Buffer>::of(Elements([5, 6].into()))), "[5,6]");
    let long = comes_back((blob([9; 200_000]), "behind".to_owned()));
    assert!(long.ends_with(r#"9],"behind"]"#));
}

#[test]
fn bytes_are_the_same_wherever_a_map_puts_them() {
    // Beyond the first arrays short ones stay in the state, and a loaded map has another order.
    let map: HashMap<u32, Blob> = (0..600_u32).map(|key| (key, blob(key.to_le_bytes()))).collect();
    comes_back(map);
    let keys: HashMap<Blob, u32> = (0..600_u32).map(|key| (blob(key.to_le_bytes()), key)).collect();
    comes_back(keys);
}

#[test]
fn bytes_that_are_kept_apart_load_into_a_changed_state() {
    #[derive(Serialize, Deserialize)]
    struct Before {
        blob: Blob,
        gone: Blob,
        last: u8,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "Before")]
    struct Wrapped {
        blob: Option<Blob>,
        last: u16,
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    #[serde(rename = "Before")]
    struct AsSequence {
        blob: Vec<u16>,
        last: u16,
    }
    let before = Plain(Before { blob: blob([1, 2, 255]), gone: blob([7; 50]), last: 3 });
    let directory = saved_with(&before, ReadBack::Always).unwrap();
    let wrapped = loaded::<Plain<Wrapped>>(&directory).unwrap().0;
    assert_eq!(wrapped, Wrapped { blob: Some(blob([1, 2, 255])), last: 3 });
    let sequence = loaded::<Plain<AsSequence>>(&directory).unwrap().0;
    assert_eq!(sequence, AsSequence { blob: vec![1, 2, 255], last: 3 });
}

#[test]
fn a_comparison_finds_bytes_wherever_they_are() {
    let here = saved(&Plain(Recoded::<_, Buffer>::of(Elements([1, 2, 3].into())))).unwrap();
    let apart = saved(&Plain(blob([1, 2, 3]))).unwrap();
    let other = saved(&Plain(blob([1, 2, 4]))).unwrap();
    let sequence = saved(&VecDeque::from([1_u8, 2, 3])).unwrap();
    let total = |one: &tempfile::TempDir, two: &tempfile::TempDir| {
        let (one, two) = (file(one), file(two));
        let comparison = one.root().compare(&two.root(), &Limits::default());
        let changes = comparison.differences.iter().map(|difference| format!("{:?}", difference.change));
        changes.filter(|change| !change.starts_with("Type")).count()
    };
    for (one, two) in [(&here, &apart), (&here, &sequence), (&apart, &sequence)] {
        assert_eq!((total(one, two), total(two, one)), (0, 0));
        assert_eq!((total(one, one), total(two, two)), (0, 0));
    }
    for one in [&here, &apart, &sequence] {
        assert_eq!((total(one, &other), total(&other, one)), (1, 1));
    }
}

#[test]
fn a_key_of_bytes_has_the_same_path_wherever_it_is() {
    let directory = saved_with(&Plain(BTreeMap::from([(vec![1_u8, 2], 7_u8)])), ReadBack::Always).unwrap();
    let labels = |directory: &tempfile::TempDir| {
        let file = file(directory);
        let members = file.root().value().unwrap().members().unwrap();
        members.map(|member| member.unwrap().label.text().into_owned()).collect::<Vec<_>>()
    };
    assert_eq!(labels(&directory), ["(1, 2)"]);
    let keys = HashMap::from([(blob([1, 171]), 7_u8)]);
    assert_eq!(labels(&saved_with(&Plain(keys), ReadBack::Always).unwrap()), ["01ab"]);
}

/// Reads a map.
#[derive(Deserialize)]
struct Map<K: Ord, V>(BTreeMap<K, V>);

impl<T: Ord> From<Map<T, T>> for Vec<[T; 2]> {
    fn from(map: Map<T, T>) -> Vec<[T; 2]> {
        map.0.into_iter().map(|(key, value)| [key, value]).collect()
    }
}

/// Written as a sequence of pairs, which is an array; read as a map.
type PairsAsMap = Recoded<Vec<[u64; 2]>, Map<u64, u64>>;

#[test]
fn an_array_of_pairs_that_is_read_as_a_map_is_one() {
    let pairs = PairsAsMap::of(vec![[1, 10], [2, 20], [3, 30]]);
    assert_eq!(comes_back(pairs.clone()), r#"{"1":10,"2":20,"3":30}"#);
    assert_eq!(comes_back((Some(pairs), vec![0.5; 3])), r#"[{"1":10,"2":20,"3":30},[0.5,0.5,0.5]]"#);
    assert_eq!(comes_back(PairsAsMap::of(vec![])), "{}");
    let many: Vec<[u64; 2]> = (0..20_000).map(|key| [key, key * key]).collect();
    comes_back(PairsAsMap::of(many));
}

/// A number that no sample is, so that nothing is known of what follows it.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
struct Odd(u32);

impl<'de> Deserialize<'de> for Odd {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Odd, D::Error> {
        match u32::deserialize(deserializer)? {
            number @ 7_654_321.. => Ok(Odd(number)),
            number => Err(serde::de::Error::custom(format!("{number} is too small"))),
        }
    }
}

#[test]
fn pairs_and_bytes_behind_a_part_of_unknown_form_come_back() {
    let pairs = PairsAsMap::of(vec![[1, 10], [2, 20]]);
    comes_back((Odd(u32::MAX), pairs));
    comes_back((Odd(u32::MAX), blob([1, 2, 3])));
}

/// Reads a struct of one field.
#[derive(Deserialize)]
struct One {
    x: f64,
}

/// Reads any number of values as `R`s, to be held as `W`s.
struct All<R>(Vec<R>);

impl<'de, R: Deserialize<'de>> Deserialize<'de> for All<R> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<All<R>, D::Error> {
        Vec::deserialize(deserializer).map(All)
    }
}

impl From<All<One>> for Vec<f64> {
    fn from(all: All<One>) -> Vec<f64> {
        all.0.into_iter().map(|one| one.x).collect()
    }
}

impl From<All<One>> for Vec<[f64; 1]> {
    fn from(all: All<One>) -> Vec<[f64; 1]> {
        all.0.into_iter().map(|one| [one.x]).collect()
    }
}

impl From<All<[f64; 1]>> for Vec<f64> {
    fn from(all: All<[f64; 1]>) -> Vec<f64> {
        all.0.into_iter().map(|[x]| x).collect()
    }
}

impl From<All<f64>> for Vec<[f64; 1]> {
    fn from(all: All<f64>) -> Vec<[f64; 1]> {
        all.0.into_iter().map(|x| [x]).collect()
    }
}

#[test]
fn rows_of_one_number_and_numbers_are_read_as_each_other() {
    assert_eq!(comes_back(Recoded::<Vec<f64>, All<[f64; 1]>>::of(vec![1.5, 2.5])), "[[1.5],[2.5]]");
    assert_eq!(comes_back(Recoded::<Vec<[f64; 1]>, All<f64>>::of(vec![[1.5], [2.5]])), "[1.5,2.5]");
    assert_eq!(comes_back(Recoded::<Vec<f64>, All<One>>::of(vec![1.5])), r#"[{"x":1.5}]"#);
    comes_back(Recoded::<Vec<[f64; 1]>, All<One>>::of(vec![[1.5], [2.5]]));
}

#[test]
fn an_array_of_no_rows_loads_into_rows_of_another_type() {
    for rows in [vec![], vec![[1.5_f32, 2.5, 3.5]]] {
        let directory = saved_with(&(rows.clone(), 7_u8), ReadBack::Always).unwrap();
        let wider: Vec<[f64; 3]> = rows.iter().map(|row| row.map(f64::from)).collect();
        assert_eq!(loaded::<(Vec<[f64; 3]>, u8)>(&directory).unwrap(), (wider, 7));
    }
}

#[test]
fn a_text_whose_display_fails_is_refused() {
    #[derive(Debug)]
    struct Mute;

    impl fmt::Display for Mute {
        fn fmt(&self, _: &mut fmt::Formatter<'_>) -> fmt::Result {
            Err(fmt::Error)
        }
    }

    impl Serialize for Mute {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.collect_str(self)
        }
    }

    impl<'de> Deserialize<'de> for Mute {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Mute, D::Error> {
            String::deserialize(deserializer).map(|_| Mute)
        }
    }

    says(&refusal((1_u8, Mute)), &["[1]", "Display"]);
}

/// Writes a map in a way that serde leaves to the type.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Odder {
    ValueFirst,
    KeyTwice,
    ValueTwice,
    KeyLast,
    Whole,
}

impl Serialize for Odder {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(1))?;
        match self {
            Odder::ValueFirst => map.serialize_value(&1_u8)?,
            Odder::KeyTwice => {
                map.serialize_key(&1_u8)?;
                map.serialize_key(&2_u8)?;
                map.serialize_value(&3_u8)?;
            }
            Odder::ValueTwice => {
                map.serialize_entry(&1_u8, &2_u8)?;
                map.serialize_value(&3_u8)?;
            }
            Odder::KeyLast => {
                map.serialize_entry(&1_u8, &2_u8)?;
                map.serialize_key(&3_u8)?;
            }
            Odder::Whole => {
                map.serialize_key(&1_u8)?;
                map.serialize_value(&2_u8)?;
                map.serialize_entry(&3_u8, &4_u8)?;
            }
        }
        map.end()
    }
}

impl<'de> Deserialize<'de> for Odder {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Odder, D::Error> {
        BTreeMap::<u8, u8>::deserialize(deserializer).map(|_| Odder::Whole)
    }
}

const ODD_MAPS: [(Odder, &str); 4] = [
    (Odder::ValueFirst, "a value without its key"),
    (Odder::KeyTwice, "a key without its value"),
    (Odder::ValueTwice, "a value without its key"),
    (Odder::KeyLast, "a key without its value"),
];

#[test]
fn a_map_of_keys_without_values_is_refused() {
    for (map, why) in ODD_MAPS {
        says(&refusal(vec![Odder::Whole, map]), &["[1]", why]);
        says(&refusal((Odd(u32::MAX), map)), &["[1]", why]);
    }
    comes_back(vec![Odder::Whole, Odder::Whole]);
}

#[test]
fn a_map_of_keys_without_values_describes_nothing() {
    #[derive(Debug, Serialize, Deserialize)]
    struct Described {
        #[serde(with = "checkpointed::self_describing")]
        map: Odder,
    }
    #[derive(Debug, Serialize, Deserialize)]
    struct InJson {
        #[serde(with = "checkpointed::json")]
        map: Odder,
    }
    for (map, why) in ODD_MAPS {
        says(&refusal(Described { map }), &["map: ", why]);
        says(&refusal(InJson { map }), &["map: ", why]);
    }
    comes_back(Checked(Odder::Whole));
}

/// Keeps its map in both forms.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Checked(#[serde(with = "checkpointed::self_describing")] Odder);

/// Announces more values than any count in the file can hold, and writes none.
#[derive(Debug)]
struct Vast(usize);

impl Serialize for Vast {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_tuple(self.0)?.end()
    }
}

impl<'de> Deserialize<'de> for Vast {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Vast, D::Error> {
        u8::deserialize(deserializer).map(|number| Vast(number.into()))
    }
}

#[test]
#[cfg(target_pointer_width = "64")]
fn more_values_than_a_tuple_can_hold_are_refused() {
    for length in [1 << 32, u32::MAX as usize, usize::MAX] {
        says(&refusal((Odd(u32::MAX), Vast(length))), &["[1]", &length.to_string(), "self_describing"]);
    }
}

#[test]
fn what_is_counted_when_it_is_read_is_counted_when_it_is_saved() {
    // Values without bytes may be as many as this, and one for each byte that no other value has.
    const FREE: usize = 1 << 20;
    let state =
        |units: usize| (vec![(); units], blob([]), Recoded::<_, Buffer>::of(Elements([1; 4000].into())));
    comes_back(state(FREE));
    says(&refusal(state(FREE + 1000)), &["take no space"]);
    says(&refusal((vec![(); FREE + 1000], "x".repeat(4000))), &["take no space"]);
}

mod arrays_of_other_crates {
    use super::*;

    /// Written as an array of `ndarray`, and read as these values.
    type Shaped<R> = Recoded<(ndarray::Array2<f64>,), R>;

    macro_rules! read_as {
        ($($name:ident { $($field:ident: $type:ty),* })*) => {$(
            #[derive(Deserialize)]
            struct $name {
                $(#[allow(dead_code, reason = "it is only read")] $field: $type,)*
            }

            impl From<$name> for (ndarray::Array2<f64>,) {
                fn from(_: $name) -> (ndarray::Array2<f64>,) {
                    (ndarray::Array2::zeros((0, 0)),)
                }
            }
        )*};
    }

    read_as! {
        Longer { v: u8, dim: (u64, u64), data: Vec<f64>, more: u8 }
        Shorter { v: u8, dim: (u64, u64) }
        Renamed { v: u8, size: (u64, u64), data: Vec<f64> }
    }

    #[test]
    fn an_array_that_is_read_as_more_or_fewer_values_is_refused() {
        fn state<R>() -> (u8, Shaped<R>) {
            (1, Shaped::of((ndarray::Array2::ones((2, 3)),)))
        }
        says(&refusal(state::<Longer>()), &["[1]", "does not write the field `more`"]);
        says(&refusal(state::<Shorter>()), &["[1]", "writes the field `data`"]);
        says(&refusal(state::<Renamed>()), &["[1]", "writes the field `dim`", "reads `size`"]);
    }

    #[test]
    fn a_matrix_that_is_read_as_more_values_is_refused() {
        #[derive(Deserialize)]
        struct Four(Vec<f64>, u64, u64, u64);

        impl From<Four> for (nalgebra::DMatrix<f64>,) {
            fn from(read: Four) -> (nalgebra::DMatrix<f64>,) {
                let _ = (read.0, read.1, read.2, read.3);
                (nalgebra::DMatrix::zeros(0, 0),)
            }
        }

        let matrix = Recoded::<_, Four>::of((nalgebra::DMatrix::<f64>::zeros(2, 3),));
        says(&refusal((1_u8, matrix)), &["[1]", "3 values", "4 values"]);
    }
}
