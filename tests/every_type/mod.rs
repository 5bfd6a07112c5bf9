//! Every type, every value: types are generated as well as values. A state saved with `Ok` loads
//! unchanged; a failed save leaves the older state to load.

mod value;

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use self::value::{Reading, Value, Written};
use checkpointed::__private::SCALARS;
use checkpointed::{
    Checkpoint, CheckpointReader, Checkpointer, Plain,
    schema::{Body, Definition, Field, Fields, Schema, Type, Variant},
    traits::Types,
};
use proptest::collection::vec;
use proptest::prelude::*;
use serde::de::{DeserializeOwned, DeserializeSeed as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The type that [`Own`] and [`Foreign`] have at present.
static NOW: Mutex<Option<Arc<Schema>>> = Mutex::new(None);
/// One test at a time sets that type.
static TURN: Mutex<()> = Mutex::new(());

fn turn() -> MutexGuard<'static, ()> {
    TURN.lock().unwrap_or_else(PoisonError::into_inner)
}

fn now() -> Arc<Schema> {
    NOW.lock().unwrap_or_else(PoisonError::into_inner).clone().unwrap()
}

/// The number of definitions; each has a Rust type that identifies it.
const DEFINITIONS: usize = 6;

struct Place<const N: usize>;

/// A type that describes itself, as with `#[checkpointed]`.
struct Own(Value);

impl Checkpoint for Own {
    const NAME: &'static str = "Own";

    fn schema(types: &mut Types) -> Type {
        let schema = now();
        define_type(&schema, &schema.root, types)
    }
}

fn define_type(schema: &Schema, ty: &Type, types: &mut Types) -> Type {
    let mut inner = |ty: &Type| Box::new(define_type(schema, ty, types));
    match ty {
        Type::Option(ty) => Type::Option(inner(ty)),
        Type::Seq(ty) => Type::Seq(inner(ty)),
        Type::Array(ty, length) => Type::Array(inner(ty), *length),
        Type::Map(key, value) => Type::Map(inner(key), inner(value)),
        Type::Tuple(members) => Type::Tuple(members.iter().map(|ty| *inner(ty)).collect()),
        Type::Named(0) => define::<0>(schema, types),
        Type::Named(1) => define::<1>(schema, types),
        Type::Named(2) => define::<2>(schema, types),
        Type::Named(3) => define::<3>(schema, types),
        Type::Named(4) => define::<4>(schema, types),
        Type::Named(_) => define::<5>(schema, types),
        scalar => scalar.clone(),
    }
}

fn define<const N: usize>(schema: &Schema, types: &mut Types) -> Type {
    let definition = &schema.types[N];
    types.define::<Place<N>>(&definition.name, definition.version, |types| match &definition.body {
        Body::Struct(fields) => Body::Struct(define_fields(schema, fields, types)),
        Body::Enum(variants) => {
            let variant = |variant: &Variant| Variant {
                name: variant.name.clone(),
                fields: define_fields(schema, &variant.fields, types),
            };
            Body::Enum(variants.iter().map(variant).collect())
        }
    })
}

fn define_fields(schema: &Schema, fields: &Fields, types: &mut Types) -> Fields {
    let mut define = |ty: &Type| define_type(schema, ty, types);
    match fields {
        Fields::Unit => Fields::Unit,
        Fields::Newtype(ty) => Fields::Newtype(define(ty)),
        Fields::Tuple(members) => Fields::Tuple(members.iter().map(define).collect()),
        Fields::Named(fields) => {
            let field = |field: &Field| Field { name: field.name.clone(), ty: define(&field.ty) };
            Fields::Named(fields.iter().map(field).collect())
        }
    }
}

/// A type of another crate: its form must be found.
struct Foreign(Value);

macro_rules! serde_by_schema {
    ($($name:ident)*) => {$(
        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let schema = now();
                Written { schema: &schema, ty: &schema.root, value: &self.0 }.serialize(serializer)
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<$name, D::Error> {
                let schema = now();
                Reading { schema: &schema, ty: &schema.root }.deserialize(deserializer).map($name)
            }
        }
    )*};
}

serde_by_schema!(Own Foreign);

/// A type that writes as one type and reads as another.
struct Liar(Arc<Schema>, Value);

impl Serialize for Liar {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        Written { schema: &self.0, ty: &self.0.root, value: &self.1 }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Liar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Liar, D::Error> {
        let schema = now();
        let value = Reading { schema: &schema, ty: &schema.root }.deserialize(deserializer)?;
        Ok(Liar(schema, value))
    }
}

impl Checkpoint for Liar {
    const NAME: &'static str = "Liar";

    fn schema(types: &mut Types) -> Type {
        Own::schema(types)
    }
}

/// Replaces the scalar of that number by another type.
fn replace_scalar(schema: &mut Schema, number: usize, new: &Type) {
    fn of_type(ty: &mut Type, left: &mut usize, new: &Type) {
        match ty {
            Type::Option(ty) | Type::Seq(ty) | Type::Array(ty, _) => of_type(ty, left, new),
            Type::Map(key, value) => {
                of_type(key, left, new);
                of_type(value, left, new);
            }
            Type::Tuple(types) => types.iter_mut().for_each(|ty| of_type(ty, left, new)),
            Type::Named(_) => {}
            scalar => match left.checked_sub(1) {
                Some(rest) => *left = rest,
                None => {
                    *scalar = new.clone();
                    *left = usize::MAX;
                }
            },
        }
    }
    fn of_fields(fields: &mut Fields, left: &mut usize, new: &Type) {
        match fields {
            Fields::Unit => {}
            Fields::Newtype(ty) => of_type(ty, left, new),
            Fields::Tuple(types) => types.iter_mut().for_each(|ty| of_type(ty, left, new)),
            Fields::Named(fields) => fields.iter_mut().for_each(|field| of_type(&mut field.ty, left, new)),
        }
    }
    let mut left = number;
    of_type(&mut schema.root, &mut left, new);
    for definition in &mut schema.types {
        match &mut definition.body {
            Body::Struct(fields) => of_fields(fields, &mut left, new),
            Body::Enum(variants) => {
                variants.iter_mut().for_each(|variant| of_fields(&mut variant.fields, &mut left, new));
            }
        }
    }
}

/// The source of a value: bytes that choose, and then zeros.
struct Choices<'a>(&'a [u8]);

impl Choices<'_> {
    fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    fn number<const N: usize>(&mut self) -> [u8; N] {
        match self.byte() % 4 {
            0 => [0; N],
            1 => [0xff; N],
            _ => std::array::from_fn(|_| self.byte()),
        }
    }

    fn below(&mut self, limit: usize) -> usize {
        usize::from(self.byte()) % limit.max(1)
    }

    fn text(&mut self) -> String {
        const WORDS: [&str; 8] = ["", "a", "b/c", "é✓🦀", "..", "%", "a.npy", "\0"];
        WORDS[self.below(WORDS.len())].repeat(1 + self.below(3))
    }
}

/// The greatest depth of values. A type that recurses without end has no value.
const DEEPEST: u32 = 12;

fn value_of(schema: &Schema, ty: &Type, choices: &mut Choices<'_>, depth: u32) -> Option<Value> {
    if depth > DEEPEST + 20 {
        return None;
    }
    let next = depth + 1;
    let count = |choices: &mut Choices<'_>| if depth < DEEPEST { choices.below(4) } else { 0 };
    Some(match ty {
        Type::Unit => Value::Unit,
        Type::Bool => Value::Bool(choices.byte() % 2 == 1),
        Type::Char => Value::Char(['a', '\0', 'é', '🦀', '\u{10ffff}'][choices.below(5)]),
        Type::String => Value::Text(choices.text()),
        Type::Bytes => Value::Bytes(choices.text().into_bytes()),
        Type::U8 => Value::U8(u8::from_le_bytes(choices.number())),
        Type::U16 => Value::U16(u16::from_le_bytes(choices.number())),
        Type::U32 => Value::U32(u32::from_le_bytes(choices.number())),
        Type::U64 => Value::U64(u64::from_le_bytes(choices.number())),
        Type::U128 => Value::U128(u128::from_le_bytes(choices.number())),
        Type::I8 => Value::I8(i8::from_le_bytes(choices.number())),
        Type::I16 => Value::I16(i16::from_le_bytes(choices.number())),
        Type::I32 => Value::I32(i32::from_le_bytes(choices.number())),
        Type::I64 => Value::I64(i64::from_le_bytes(choices.number())),
        Type::I128 => Value::I128(i128::from_le_bytes(choices.number())),
        Type::F32 => Value::F32(f32::from_le_bytes(choices.number())),
        Type::F64 => Value::F64(f64::from_le_bytes(choices.number())),
        Type::Option(ty) => {
            let is_some = depth < DEEPEST && !choices.byte().is_multiple_of(3);
            let value = if is_some { Some(Box::new(value_of(schema, ty, choices, next)?)) } else { None };
            Value::Option(value)
        }
        Type::Seq(element) => {
            let length = count(choices);
            match &**element {
                Type::F64 => {
                    Value::Floats((0..length).map(|_| f64::from_le_bytes(choices.number())).collect())
                }
                Type::U8 => Value::Octets((0..length).map(|_| choices.byte()).collect()),
                Type::I64 => {
                    Value::Integers((0..length).map(|_| i64::from_le_bytes(choices.number())).collect())
                }
                Type::Array(inner, 3) if **inner == Type::F32 => Value::Rows(
                    (0..length).map(|_| [0; 3].map(|_: u8| f32::from_le_bytes(choices.number()))).collect(),
                ),
                ty => Value::List(list_of(schema, &mut (0..length).map(|_| ty), choices, next)?),
            }
        }
        Type::Map(key, value) => {
            let length = count(choices);
            let mut entry =
                |_| Some((value_of(schema, key, choices, next)?, value_of(schema, value, choices, next)?));
            Value::Map((0..length).map(&mut entry).collect::<Option<_>>()?)
        }
        Type::Tuple(types) => Value::List(list_of(schema, &mut types.iter(), choices, next)?),
        Type::Array(ty, length) => {
            Value::List(list_of(schema, &mut (0..*length).map(|_| &**ty), choices, next)?)
        }
        Type::Named(place) => match &schema.types[*place].body {
            Body::Struct(fields) => value_of_fields(schema, fields, choices, next)?,
            Body::Enum(variants) => {
                let number = choices.below(variants.len());
                let content = value_of_fields(schema, &variants[number].fields, choices, next)?;
                Value::Variant(number, Box::new(content))
            }
        },
        _ => return None,
    })
}

fn value_of_fields(schema: &Schema, fields: &Fields, choices: &mut Choices<'_>, depth: u32) -> Option<Value> {
    Some(match fields {
        Fields::Unit => Value::Unit,
        Fields::Newtype(ty) => value_of(schema, ty, choices, depth)?,
        Fields::Tuple(types) => Value::List(list_of(schema, &mut types.iter(), choices, depth)?),
        Fields::Named(fields) => {
            Value::List(list_of(schema, &mut fields.iter().map(|field| &field.ty), choices, depth)?)
        }
    })
}

fn list_of(
    schema: &Schema,
    types: &mut dyn Iterator<Item = &Type>,
    choices: &mut Choices<'_>,
    depth: u32,
) -> Option<Vec<Value>> {
    types.map(|ty| value_of(schema, ty, choices, depth)).collect()
}

/// Types that may refer to these definitions: to any definition from inside an option or a
/// sequence, and otherwise to later ones.
fn types(definition: usize) -> impl Strategy<Value = Type> {
    let scalars = SCALARS.to_vec();
    let recursive = (0..DEFINITIONS).prop_map(|place| Type::Option(Box::new(Type::Named(place))));
    let many = (0..DEFINITIONS).prop_map(|place| Type::Seq(Box::new(Type::Named(place))));
    let rows = Just(Type::Seq(Box::new(Type::Array(Box::new(Type::F32), 3))));
    let arrays =
        prop::sample::select(vec![Type::F64, Type::U8, Type::I64]).prop_map(|ty| Type::Seq(Box::new(ty)));
    let later = (definition + 1..=DEFINITIONS).prop_map(|place| match place {
        DEFINITIONS => Type::String,
        place => Type::Named(place),
    });
    let leaf = prop_oneof![
        5 => prop::sample::select(scalars), 3 => later, 1 => recursive, 1 => many, 2 => arrays, 1 => rows
    ];
    leaf.prop_recursive(4, 12, 4, |inner| {
        prop_oneof![
            inner.clone().prop_map(|ty| Type::Option(Box::new(ty))),
            inner.clone().prop_map(|ty| Type::Seq(Box::new(ty))),
            (inner.clone(), inner.clone()).prop_map(|(key, value)| Type::Map(Box::new(key), Box::new(value))),
            vec(inner.clone(), 0..4).prop_map(Type::Tuple),
            (inner, 0..4_u64).prop_map(|(ty, length)| Type::Array(Box::new(ty), length)),
        ]
    })
}

fn fields(definition: usize) -> impl Strategy<Value = Fields> {
    const NAMES: [&str; 4] = ["a", "b/c", "é", "state"];
    let named = vec(types(definition), 0..4).prop_map(|types| {
        Fields::Named(
            types.into_iter().zip(NAMES).map(|(ty, name)| Field { name: name.to_owned(), ty }).collect(),
        )
    });
    prop_oneof![
        1 => Just(Fields::Unit),
        1 => types(definition).prop_map(Fields::Newtype),
        1 => vec(types(definition), 2..4).prop_map(Fields::Tuple),
        3 => named,
    ]
}

fn definition(number: usize) -> impl Strategy<Value = Definition> {
    const VARIANTS: [&str; 3] = ["One", "Two", "Three"];
    let variants = vec(fields(number), 1..4).prop_map(|fields| {
        let name = |(fields, name): (Fields, &str)| Variant { name: name.to_owned(), fields };
        Body::Enum(fields.into_iter().zip(VARIANTS).map(name).collect())
    });
    let body = prop_oneof![fields(number).prop_map(Body::Struct), variants];
    body.prop_map(move |body| Definition {
        name: format!("Type{number}"),
        version: 1,
        foreign: false,
        observed: false,
        body,
    })
}

fn schemas() -> impl Strategy<Value = Schema> {
    let definitions: Vec<_> = (0..DEFINITIONS).map(definition).collect();
    let root = prop_oneof![2 => Just(Type::Named(0)), 1 => types(0)];
    (root, definitions).prop_map(|(root, types)| Schema { root, types })
}

fn told(value: &Value) -> String {
    let mut text = String::new();
    value.told(&mut text);
    text
}

/// Saves the values, one after the other, and loads after each. `Ok` has true for each that was
/// saved.
fn kept<T: Checkpoint>(states: &[T; 2], told: impl Fn(&T) -> String) -> Result<[bool; 2], TestCaseError> {
    let directory = tempfile::tempdir().unwrap();
    let opened = Checkpointer::<T>::builder(directory.path()).durable(false).keep_last(1).open();
    // A type that can never be loaded is refused here.
    let Ok(mut checkpoints) = opened else { return Ok([false; 2]) };
    let mut newest = None;
    let mut saved = [false; 2];
    for (number, state) in states.iter().enumerate() {
        saved[number] = checkpoints.save(state).is_ok();
        if saved[number] {
            newest = Some(told(state));
        }
        let mut reader = CheckpointReader::<T>::open(directory.path()).unwrap();
        match reader.load() {
            Ok(loaded) => prop_assert_eq!(loaded.as_ref().map(&told), newest.clone()),
            Err(error) => prop_assert!(false, "it was saved, and: {}", error),
        }
    }
    Ok(saved)
}

fn config() -> ProptestConfig {
    // `PROPTEST_CASES=100000` tries more. A failure is printed; make it a test of its own.
    let cases = std::env::var("PROPTEST_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(96);
    ProptestConfig { cases, failure_persistence: None, max_shrink_iters: 2000, ..ProptestConfig::default() }
}

/// Two values of a type. It becomes the current type.
fn values_of(schema: &Schema, choices: &[u8]) -> Option<[Value; 2]> {
    let mut choices = Choices(choices);
    let first = value_of(schema, &schema.root, &mut choices, 0)?;
    let second = value_of(schema, &schema.root, &mut choices, 0)?;
    *NOW.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(schema.clone()));
    Some([first, second])
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn every_value_of_every_own_type_is_saved_and_loaded(schema in schemas(), choices in vec(any::<u8>(), 0..300)) {
        let _turn = turn();
        let Some(values) = values_of(&schema, &choices) else { return Ok(()) };
        let saved = kept(&values.map(Own), |own| told(&own.0))?;
        prop_assert_eq!(saved, [true; 2]);
    }

    #[test]
    fn a_foreign_type_is_saved_and_loaded_or_refused(schema in schemas(), choices in vec(any::<u8>(), 0..300)) {
        let _turn = turn();
        let Some(values) = values_of(&schema, &choices) else { return Ok(()) };
        kept(&values.map(|value| Plain(Foreign(value))), |plain| told(&plain.0.0))?;
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn a_value_of_another_type_never_loads_as_another_value(
        schema in schemas(),
        number in 0..40_usize,
        scalar in prop::sample::select(SCALARS.to_vec()),
        choices in vec(any::<u8>(), 0..300),
    ) {
        let _turn = turn();
        let mut written = schema.clone();
        replace_scalar(&mut written, number, &scalar);
        let Some(values) = values_of(&written, &choices) else { return Ok(()) };
        *NOW.lock().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(schema));
        let written = Arc::new(written);
        let states = values.map(|value| Liar(Arc::clone(&written), value));
        kept(&states, |liar| told(&liar.1))?;
    }
}

/// Keys on the way to an array.
fn keys(length: usize, kind: usize) -> Vec<String> {
    let unit = ["a", "é", "/", ".", "🦀", "key"][kind % 6];
    let step = [7, 30, 150, 260, 1000][kind % 5];
    let mut keys: Vec<String> = Vec::new();
    let mut left = length;
    while left > 0 {
        let letters = left.min(step);
        keys.push(unit.repeat(letters.div_ceil(unit.len()).max(1)));
        left -= letters;
    }
    keys
}

/// Arrays at the end of maps in maps.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
enum Branch {
    Array(Vec<f64>),
    Map(BTreeMap<String, Branch>),
}

fn loads_what_it_saved<T: Checkpoint + PartialEq>(state: &T) -> bool {
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<T>::builder(directory.path()).durable(false).open().unwrap();
    checkpoints.save(state).unwrap();
    CheckpointReader::<T>::open(directory.path()).unwrap().load().unwrap().as_ref() == Some(state)
}

#[test]
fn a_path_is_cut_anywhere_and_the_state_is_loaded() {
    let _turn = turn();
    for length in 900..=1100 {
        let keys = keys(length, length);
        let branch = |last: &str, number: f64| {
            let inner = BTreeMap::from([(last.to_owned(), Branch::Array(vec![number; 3]))]);
            keys.iter()
                .rev()
                .fold(Branch::Map(inner), |inner, key| Branch::Map(BTreeMap::from([(key.clone(), inner)])))
        };
        // The kept parts of their paths are the same.
        let state = Plain(vec![branch("x", 1.0), branch("y", 2.0), Branch::Array(vec![3.0])]);
        assert!(loads_what_it_saved(&state), "a path of {length} bytes: {keys:?}");
    }
}

#[test]
fn maps_with_keys_of_any_type_are_loaded_as_they_were() {
    fn check<K: Clone + Ord + std::hash::Hash + Serialize + DeserializeOwned + 'static>(keys: &[K])
    where
        BTreeMap<K, Vec<u16>>: Checkpoint,
        HashMap<K, Vec<u16>>: Checkpoint,
    {
        let array = |number: usize| vec![u16::try_from(number).unwrap(); 3];
        let entries = || keys.iter().cloned().enumerate().map(|(number, key)| (key, array(number)));
        assert!(loads_what_it_saved(&entries().collect::<BTreeMap<_, _>>()));
        assert!(loads_what_it_saved(&entries().collect::<HashMap<_, _>>()));
    }
    check(&["", "a", "a/b", "a%2Fb", ".", "..", "a.npy", "A", "é", "e\u{301}", "\0"].map(str::to_owned));
    check(&[(0_u8, String::new()), (0, "a".to_owned()), (1, "0".to_owned())]);
    check(&[Some(1_i128), None, Some(-1)]);
    check(&['a', '/', '🦀']);
    check(&[vec![1_u8], vec![], vec![1, 0]]);
    check(&[true, false]);
    check(&[(), ()]);
}
