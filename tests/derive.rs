//! Tests `#[checkpointed]` and `#[derive(Checkpoint)]` on all shapes of types, and with serde's
//! attributes.

#![deny(deprecated, missing_docs, unused, clippy::all)]
#![forbid(unsafe_code)]
// A failed test panics anyway, and assertions read better without references.
#![allow(clippy::unwrap_used, clippy::panic, clippy::needless_pass_by_value)]

extern crate checkpointed as renamed;

use std::collections::HashMap;
use std::fmt::Debug;
use std::marker::PhantomData;

use checkpointed::{
    Checkpoint, Checkpointer, checkpointed,
    schema::{Body, Fields, Schema, Type},
};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// Saves the state, and loads it as the next run of the program would.
fn again<T: Checkpoint>(state: &T) -> T {
    let directory = tempfile::tempdir().unwrap();
    let open =
        || Checkpointer::<T>::builder(directory.path().join("test.ckpt")).durable(false).open().unwrap();
    open().save(state).unwrap();
    open().load().unwrap().unwrap()
}

#[track_caller]
fn assert_round_trip<T: Checkpoint + Debug + PartialEq>(state: T) {
    assert_eq!(again(&state), state);
}

/// The definition of `T` in words: `Point { x: f64, y: f64 }`.
fn shape<T: Checkpoint>() -> String {
    let schema = Schema::of::<T>();
    match &schema.root {
        Type::Named(place) => definition(&schema, *place),
        other => type_in_words(&schema, other),
    }
}

fn definition(schema: &Schema, place: usize) -> String {
    let definition = &schema.types[place];
    let name = &definition.name;
    match &definition.body {
        Body::Struct(fields) => format!("{name}{}", fields_in_words(schema, fields)),
        Body::Enum(variants) => {
            let variants: Vec<String> = variants
                .iter()
                .map(|variant| format!("{}{}", variant.name, fields_in_words(schema, &variant.fields)))
                .collect();
            format!("{name} = {}", variants.join(" | "))
        }
    }
}

fn fields_in_words(schema: &Schema, fields: &Fields) -> String {
    match fields {
        Fields::Unit => String::new(),
        Fields::Newtype(ty) => format!("({})", type_in_words(schema, ty)),
        Fields::Tuple(types) => {
            let types: Vec<String> = types.iter().map(|ty| type_in_words(schema, ty)).collect();
            format!("[{}]", types.join(", "))
        }
        Fields::Named(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|field| format!("{}: {}", field.name, type_in_words(schema, &field.ty)))
                .collect();
            format!(" {{ {} }}", fields.join(", "))
        }
    }
}

fn type_in_words(schema: &Schema, ty: &Type) -> String {
    Schema { root: ty.clone(), types: schema.types.clone() }.to_string()
}

fn assert_serde<T: Serialize + DeserializeOwned>() {}

// Shapes

#[test]
fn every_shape_of_a_struct_is_stored() {
    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Named {
        x: f64,
        text: String,
    }

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Tuple(u8, Vec<i16>);

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Newtype(u32);

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Unit;

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct NoFields {}

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct NoMembers();

    assert_eq!(shape::<Named>(), "Named { x: f64, text: String }");
    assert_eq!(shape::<Tuple>(), "Tuple[u8, Vec<i16>]");
    assert_eq!(shape::<Newtype>(), "Newtype(u32)");
    assert_eq!(shape::<Unit>(), "Unit");
    assert_eq!(shape::<NoFields>(), "NoFields {  }");
    assert_eq!(shape::<NoMembers>(), "NoMembers[]");
    assert_round_trip(Named { x: 0.5, text: "half".into() });
    assert_round_trip(Tuple(1, vec![-2, 3]));
    assert_round_trip(Newtype(7));
    assert_round_trip(Unit);
    assert_round_trip(NoFields {});
    assert_round_trip(NoMembers());
}

#[test]
fn every_shape_of_a_variant_is_stored() {
    #[checkpointed]
    #[derive(Debug, PartialEq)]
    enum Phase {
        Start,
        Step(u64),
        Move(f32, f32),
        End { reason: String, code: Option<i32> },
        Nothing(),
        Empty {},
    }

    assert_eq!(
        shape::<Phase>(),
        "Phase = Start | Step(u64) | Move[f32, f32] | End { reason: String, code: Option<i32> } | Nothing[] | Empty {  }"
    );
    assert_round_trip(vec![
        Phase::Empty {},
        Phase::Nothing(),
        Phase::End { reason: "done".into(), code: Some(-1) },
        Phase::Move(1.0, 2.0),
        Phase::Step(3),
        Phase::Start,
    ]);
}

#[test]
fn an_enum_without_variants_compiles() {
    #[checkpointed]
    #[derive(Debug, PartialEq)]
    enum Never {}

    assert_eq!(shape::<Never>(), "Never = ");
    assert_round_trip(None::<Never>);
}

#[test]
fn recursive_types_are_described_once() {
    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Tree {
        value: u8,
        children: Vec<Tree>,
        next: Option<Box<Self>>,
    }

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    enum Even {
        Zero,
        After(Box<Odd>),
    }

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Odd(Box<Even>);

    // serde accepts recursive generics too.
    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct List<T> {
        head: T,
        tail: Option<Box<List<T>>>,
    }

    let leaf = |value| Tree { value, children: vec![], next: None };
    assert_eq!(shape::<Tree>(), "Tree { value: u8, children: Vec<Tree>, next: Option<Tree> }");
    assert_eq!(Schema::of::<Even>().types.len(), 2);
    assert_round_trip(Tree { value: 1, children: vec![leaf(2), leaf(3)], next: Some(Box::new(leaf(4))) });
    assert_round_trip(Even::After(Box::new(Odd(Box::new(Even::Zero)))));
    assert_round_trip(List { head: 1_u8, tail: Some(Box::new(List { head: 2, tail: None })) });
}

// Name and version

#[test]
fn the_author_gives_name_and_version() {
    #[checkpointed(name = "run of the simulation", version = 7)]
    struct Simulation {
        inner: Inner,
    }

    #[checkpointed(version = 2u32)]
    struct Inner;

    assert_eq!((Simulation::NAME, Simulation::VERSION), ("run of the simulation", 7));
    let schema = Schema::of::<Simulation>();
    assert_eq!((schema.types[0].name.as_str(), schema.types[0].version), ("run of the simulation", 7));
    assert_eq!((schema.types[1].name.as_str(), schema.types[1].version), ("Inner", 2));
    let _ = Simulation { inner: Inner }.inner;
}

#[test]
fn without_arguments_the_name_is_the_one_that_serde_writes() {
    #[checkpointed]
    struct Plain;

    #[checkpointed]
    #[serde(rename = "of serde")]
    struct Renamed;

    #[checkpointed(name = "of checkpointed")]
    #[serde(rename = "of serde")]
    struct Both;

    #[checkpointed]
    #[expect(non_camel_case_types)]
    struct r#type;

    assert_eq!((Plain::NAME, Plain::VERSION), ("Plain", 1));
    assert_eq!(Renamed::NAME, "of serde");
    assert_eq!(Both::NAME, "of checkpointed");
    assert_eq!(<r#type>::NAME, "type");
}

#[test]
fn constants_of_the_type_with_the_same_names_do_not_matter() {
    #[checkpointed]
    struct State;

    impl State {
        const NAME: u8 = 1;
        const VERSION: &str = "of the program";
    }

    assert_eq!((State::NAME, State::VERSION), (1, "of the program"));
    assert_eq!(Schema::of::<State>().types[0].name, "State");
    assert_eq!(Schema::of::<State>().types[0].version, 1);
}

// serde's attributes: names

/// Asserts that the names of the fields in JSON, in their order, are those of the schema.
fn assert_names_as_in_json<T: Checkpoint>(value: &T, names: &[&str]) {
    let schema = Schema::of::<T>();
    let Body::Struct(Fields::Named(fields)) = &schema.types[0].body else { panic!("not a struct") };
    assert_eq!(fields.iter().map(|field| &field.name).collect::<Vec<_>>(), names);
    let json = serde_json::to_string(value).unwrap();
    let places: Vec<usize> = names.iter().map(|name| json.find(&format!("\"{name}\":")).unwrap()).collect();
    assert!(places.is_sorted(), "{json}");
}

#[test]
fn fields_have_the_names_that_serde_writes() {
    macro_rules! in_case {
        ($case:literal, $($name:literal)*) => {{
            #[checkpointed]
            #[serde(rename_all = $case)]
            #[derive(Debug, PartialEq)]
            struct State {
                very_tasty: u8,
                #[serde(rename = "as It Is")]
                renamed: u8,
                r#type: u8,
                x2: u8,
                _hidden_too: u8,
            }

            let state = State { very_tasty: 1, renamed: 2, r#type: 3, x2: 4, _hidden_too: 5 };
            assert_names_as_in_json(&state, &[$($name),*]);
            assert_round_trip(state);
        }};
    }

    in_case!("lowercase", "very_tasty" "as It Is" "type" "x2" "_hidden_too");
    in_case!("UPPERCASE", "VERY_TASTY" "as It Is" "TYPE" "X2" "_HIDDEN_TOO");
    in_case!("PascalCase", "VeryTasty" "as It Is" "Type" "X2" "HiddenToo");
    in_case!("camelCase", "veryTasty" "as It Is" "type" "x2" "hiddenToo");
    in_case!("snake_case", "very_tasty" "as It Is" "type" "x2" "_hidden_too");
    in_case!("SCREAMING_SNAKE_CASE", "VERY_TASTY" "as It Is" "TYPE" "X2" "_HIDDEN_TOO");
    in_case!("kebab-case", "very-tasty" "as It Is" "type" "x2" "-hidden-too");
    in_case!("SCREAMING-KEBAB-CASE", "VERY-TASTY" "as It Is" "TYPE" "X2" "-HIDDEN-TOO");
}

#[test]
fn variants_have_the_names_that_serde_writes() {
    macro_rules! in_case {
        ($case:literal, $($name:literal)*) => {{
            #[checkpointed]
            #[serde(rename_all = $case)]
            #[derive(Debug, PartialEq)]
            enum State {
                VeryTasty,
                #[serde(rename = "as It Is")]
                Renamed,
                X2,
                ThreeDWave,
            }

            let all = [State::VeryTasty, State::Renamed, State::X2, State::ThreeDWave];
            let names = [$($name),*];
            assert_eq!(shape::<State>(), format!("State = {}", names.join(" | ")));
            for (state, name) in all.into_iter().zip(names) {
                assert_eq!(serde_json::to_value(&state).unwrap(), name);
                assert_round_trip(state);
            }
        }};
    }

    in_case!("lowercase", "verytasty" "as It Is" "x2" "threedwave");
    in_case!("UPPERCASE", "VERYTASTY" "as It Is" "X2" "THREEDWAVE");
    in_case!("PascalCase", "VeryTasty" "as It Is" "X2" "ThreeDWave");
    in_case!("camelCase", "veryTasty" "as It Is" "x2" "threeDWave");
    in_case!("snake_case", "very_tasty" "as It Is" "x2" "three_d_wave");
    in_case!("SCREAMING_SNAKE_CASE", "VERY_TASTY" "as It Is" "X2" "THREE_D_WAVE");
    in_case!("kebab-case", "very-tasty" "as It Is" "x2" "three-d-wave");
    in_case!("SCREAMING-KEBAB-CASE", "VERY-TASTY" "as It Is" "X2" "THREE-D-WAVE");
}

#[test]
fn fields_of_variants_follow_the_variant_and_then_the_enum() {
    #[checkpointed]
    #[serde(rename_all = "lowercase", rename_all_fields = "camelCase")]
    #[derive(Debug, PartialEq)]
    enum Event {
        OfTheEnum {
            big_step: u8,
        },
        #[serde(rename_all = "SCREAMING_SNAKE_CASE")]
        OfTheVariant {
            big_step: u8,
        },
    }

    assert_eq!(shape::<Event>(), "Event = oftheenum { bigStep: u8 } | ofthevariant { BIG_STEP: u8 }");
    assert_eq!(
        serde_json::to_string(&Event::OfTheEnum { big_step: 1 }).unwrap(),
        r#"{"oftheenum":{"bigStep":1}}"#
    );
    assert_round_trip(Event::OfTheVariant { big_step: 1 });
}

#[test]
fn one_name_given_for_both_directions_is_one_name() {
    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct State {
        #[serde(rename(serialize = "y", deserialize = "y"), alias = "z")]
        x: u8,
    }

    assert_eq!(shape::<State>(), "State { y: u8 }");
    assert_round_trip(State { x: 1 });
}

#[test]
fn what_only_concerns_other_formats_is_left_to_serde() {
    #[checkpointed]
    #[serde(default, deny_unknown_fields, expecting = "a state")]
    #[derive(Debug, Default, PartialEq)]
    struct State {
        #[serde(alias = "old", default)]
        x: u8,
        #[serde(default = "two")]
        y: u8,
    }

    fn two() -> u8 {
        2
    }

    assert_eq!(shape::<State>(), "State { x: u8, y: u8 }");
    assert_eq!(serde_json::from_str::<State>(r#"{"old":1}"#).unwrap(), State { x: 1, y: 2 });
    assert!(serde_json::from_str::<State>(r#"{"other":1}"#).is_err());
    assert_round_trip(State { x: 3, y: 4 });
}

// serde's attributes: what is stored

#[test]
fn skipped_fields_are_not_stored() {
    /// A type without serde's traits and without `Checkpoint`.
    #[derive(Debug, Default, PartialEq)]
    struct Handle(u8);

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Named {
        x: u8,
        #[serde(skip)]
        handle: Handle,
        #[serde(skip, default = "nine")]
        nine: u8,
        y: u8,
    }

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Tuple(u8, #[serde(skip)] Handle, u16);

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct AlmostNewtype(#[serde(skip)] Handle, u16);

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    enum Enum {
        Newtype(#[serde(skip)] Handle),
        Tuple(#[serde(skip)] Handle, u8),
        Named {
            x: u8,
            #[serde(skip)]
            handle: Handle,
        },
    }

    fn nine() -> u8 {
        9
    }

    assert_eq!(shape::<Named>(), "Named { x: u8, y: u8 }");
    assert_eq!(shape::<Tuple>(), "Tuple[u8, u16]");
    assert_eq!(shape::<AlmostNewtype>(), "AlmostNewtype[u16]");
    assert_eq!(shape::<Enum>(), "Enum = Newtype | Tuple[u8] | Named { x: u8 }");
    let named = Named { x: 1, handle: Handle(2), nine: 3, y: 4 };
    assert_eq!(again(&named), Named { x: 1, handle: Handle(0), nine: 9, y: 4 });
    assert_eq!(again(&Tuple(1, Handle(2), 3)), Tuple(1, Handle(0), 3));
    assert_eq!(again(&AlmostNewtype(Handle(1), 2)), AlmostNewtype(Handle(0), 2));
    assert_eq!(again(&Enum::Newtype(Handle(1))), Enum::Newtype(Handle(0)));
    assert_eq!(again(&Enum::Tuple(Handle(1), 2)), Enum::Tuple(Handle(0), 2));
    assert_eq!(again(&Enum::Named { x: 1, handle: Handle(2) }), Enum::Named { x: 1, handle: Handle(0) });
}

#[test]
fn skipped_variants_at_the_end_are_not_stored() {
    #[checkpointed]
    #[derive(Debug, PartialEq)]
    enum Connection {
        Closed,
        Waiting(u8),
        #[serde(skip)]
        Open(std::thread::ThreadId),
    }

    assert_eq!(shape::<Connection>(), "Connection = Closed | Waiting(u8)");
    assert_round_trip(vec![Connection::Waiting(1), Connection::Closed]);
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = Checkpointer::<Connection>::open(directory.path().join("test.ckpt")).unwrap();
    checkpoints.save(&Connection::Open(std::thread::current().id())).unwrap_err();
}

#[test]
fn a_transparent_struct_is_its_field() {
    #[checkpointed(version = 2)]
    #[serde(transparent)]
    #[derive(Debug, PartialEq)]
    struct Meters<Unit> {
        marker: PhantomData<Unit>,
        value: f64,
        #[serde(skip)]
        cache: u8,
    }

    #[checkpointed]
    #[serde(transparent)]
    #[derive(Debug, PartialEq)]
    struct Forest(Vec<Forest>);

    assert_eq!(shape::<Meters<u8>>(), "Meters(f64)");
    assert_eq!(Schema::of::<Meters<u8>>().types[0].version, 2);
    assert_eq!(shape::<Forest>(), "Forest(Vec<Forest>)");
    assert_round_trip(Meters::<u8> { marker: PhantomData, value: 1.5, cache: 0 });
    assert_round_trip(Forest(vec![Forest(vec![]), Forest(vec![Forest(vec![])])]));
}

/// Stores a number as text.
mod as_text {
    use std::fmt::Display;
    use std::str::FromStr;

    use serde::de::Error as _;
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<T: Display, S: Serializer>(value: &T, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// Stores two fields of a variant as one text.
mod as_pair {
    use serde::{Deserialize, Deserializer, Serializer};

    pub(super) fn serialize<S: Serializer>(x: &u8, y: &u8, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_u16(u16::from_be_bytes([*x, *y]))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<(u8, u8), D::Error> {
        u16::deserialize(deserializer).map(|both| both.to_be_bytes().into())
    }
}

#[test]
fn a_field_with_functions_has_the_form_that_they_read() {
    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct State<T: std::str::FromStr<Err: std::fmt::Display> + std::fmt::Display> {
        #[serde(with = "as_text")]
        number: u64,
        #[serde(serialize_with = "as_text::serialize", deserialize_with = "crate::as_text::deserialize")]
        other: f64,
        #[serde(with = "as_text")]
        generic: T,
        #[serde(with = "checkpointed::json")]
        map: HashMap<String, serde_json::Value>,
        plain: u64,
    }

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Tuple(#[serde(with = "as_text")] u64, u8);

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Newtype(#[serde(with = "as_text")] u64);

    #[checkpointed]
    #[serde(transparent)]
    #[derive(Debug, PartialEq)]
    struct Transparent(#[serde(with = "as_text")] u64);

    trait About<T> {}
    struct Tag;
    impl About<Recursive> for Tag {}

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Recursive
    where
        Tag: About<Self>,
    {
        #[serde(with = "checkpointed::json")]
        inner: Option<Box<Self>>,
    }

    assert_eq!(
        shape::<State<i8>>(),
        "State { number: String, other: String, generic: String, map: String, plain: u64 }"
    );
    assert_eq!(shape::<Tuple>(), "Tuple[String, u8]");
    assert_eq!(shape::<Newtype>(), "Newtype(String)");
    assert_eq!(shape::<Transparent>(), "Transparent(String)");
    assert_eq!(shape::<Recursive>(), "Recursive { inner: String }");
    assert_round_trip(State {
        number: 1,
        other: 0.5,
        generic: -3_i8,
        map: HashMap::from([("four".to_owned(), serde_json::json!([4, null]))]),
        plain: 5,
    });
    assert_round_trip(Tuple(1, 2));
    assert_round_trip(Newtype(1));
    assert_round_trip(Transparent(1));
    assert_round_trip(Recursive { inner: Some(Box::new(Recursive { inner: None })) });
}

#[test]
fn a_variant_with_functions_has_the_form_that_they_read() {
    #[checkpointed]
    #[derive(Debug, PartialEq)]
    enum Event {
        #[serde(with = "as_pair")]
        Tuple(u8, u8),
        #[serde(with = "as_pair")]
        Named {
            x: u8,
            y: u8,
        },
        #[serde(with = "as_text")]
        Newtype(u64),
        Own(u64),
    }

    assert_eq!(shape::<Event>(), "Event = Tuple(u16) | Named(u16) | Newtype(String) | Own(u64)");
    assert_round_trip(vec![
        Event::Own(1),
        Event::Newtype(2),
        Event::Named { x: 3, y: 4 },
        Event::Tuple(5, 6),
    ]);
}

#[test]
fn a_converted_type_has_the_form_of_the_other() {
    #[checkpointed]
    #[serde(from = "(f64, f64)", into = "(f64,f64)")]
    #[derive(Clone, Debug, PartialEq)]
    struct Complex {
        re: f64,
        im: f64,
    }

    impl From<(f64, f64)> for Complex {
        fn from((re, im): (f64, f64)) -> Self {
            Complex { re, im }
        }
    }

    impl From<Complex> for (f64, f64) {
        fn from(Complex { re, im }: Complex) -> Self {
            (re, im)
        }
    }

    /// A type without serde's traits and without `Checkpoint`.
    #[derive(Clone, Debug, PartialEq)]
    struct Unknown;

    // The variants are never stored themselves, so nothing in them is refused.
    #[checkpointed]
    #[serde(try_from = "String", into = "String")]
    #[derive(Clone, Debug, PartialEq)]
    enum Level {
        #[serde(skip)]
        Low,
        High(Unknown),
    }

    impl TryFrom<String> for Level {
        type Error = &'static str;

        fn try_from(text: String) -> Result<Self, Self::Error> {
            match text.as_str() {
                "low" => Ok(Level::Low),
                "high" => Ok(Level::High(Unknown)),
                _ => Err("neither low nor high"),
            }
        }
    }

    impl From<Level> for String {
        fn from(level: Level) -> Self {
            match level {
                Level::Low => "low".to_owned(),
                Level::High(Unknown) => "high".to_owned(),
            }
        }
    }

    #[checkpointed]
    #[serde(from = "Vec<T>", into = "Vec<T>")]
    #[derive(Clone, Debug, PartialEq)]
    struct Stack<T: Clone> {
        items: Vec<T>,
    }

    impl<T: Clone> From<Vec<T>> for Stack<T> {
        fn from(items: Vec<T>) -> Self {
            Stack { items }
        }
    }

    impl<T: Clone> From<Stack<T>> for Vec<T> {
        fn from(stack: Stack<T>) -> Self {
            stack.items
        }
    }

    assert_eq!(shape::<Complex>(), "Complex((f64, f64))");
    assert_eq!(shape::<Stack<i8>>(), "Stack(Vec<i8>)");
    assert_round_trip(Stack { items: vec![1_u8, 2] });
    assert_eq!(shape::<Level>(), "Level(String)");
    assert_round_trip(Complex { re: 1.0, im: -1.0 });
    assert_round_trip(vec![Level::Low, Level::High(Unknown)]);
}

// Generics

#[test]
fn type_parameters_of_stored_fields_are_checkpoints() {
    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Pair<A, B = u8> {
        a: A,
        b: Vec<Option<B>>,
    }

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    enum Either<A, B> {
        A(A),
        B { b: B },
    }

    assert_eq!(shape::<Pair<String>>(), "Pair { a: String, b: Vec<Option<u8>> }");
    assert_eq!(shape::<Either<u8, f64>>(), "Either = A(u8) | B { b: f64 }");
    assert_round_trip(Pair { a: 1.5, b: vec![Some('x'), None] });
    assert_round_trip((Either::<u8, f64>::A(1), Either::<u8, f64>::B { b: 2.0 }));
}

#[test]
fn type_parameters_of_other_fields_are_not_asked_for_anything() {
    /// A type without serde's traits and without `Checkpoint`.
    #[derive(Debug, Default, PartialEq)]
    struct Unknown;

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Tagged<Marker, Cache, Function> {
        value: u8,
        marker: PhantomData<Marker>,
        #[serde(skip)]
        cache: Cache,
        #[serde(skip, default = "none")]
        function: Option<Function>,
        #[serde(with = "unknown")]
        unknown: Option<Unknown>,
    }

    mod unknown {
        use serde::{Deserialize, Deserializer, Serializer};

        pub(super) fn serialize<T, S: Serializer>(
            unknown: &Option<T>,
            serializer: S,
        ) -> Result<S::Ok, S::Error> {
            serializer.serialize_bool(unknown.is_some())
        }

        pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
        where
            T: Default,
            D: Deserializer<'de>,
        {
            bool::deserialize(deserializer).map(|is_some| is_some.then(T::default))
        }
    }

    fn none<T>() -> Option<T> {
        None
    }

    type Instance = Tagged<Unknown, Unknown, fn() -> u8>;
    assert_eq!(shape::<Instance>(), "Tagged { value: u8, marker: (), unknown: bool }");
    let state: Instance =
        Tagged { value: 1, marker: PhantomData, cache: Unknown, function: None, unknown: Some(Unknown) };
    assert_eq!(again(&state).unknown, Some(Unknown));
}

#[test]
fn associated_types_are_asked_themselves() {
    trait Model {
        type State: Debug + PartialEq;
    }

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Run<M: Model> {
        state: M::State,
    }

    #[derive(Debug, PartialEq)]
    struct Ising;

    impl Model for Ising {
        type State = Vec<i8>;
    }

    assert_eq!(shape::<Run<Ising>>(), "Run { state: Vec<i8> }");
    assert_round_trip(Run::<Ising> { state: vec![1, -1] });
}

#[test]
fn constants_where_clauses_and_defaults_are_kept() {
    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Grid<T, const ROWS: usize, const COLUMNS: usize = 2>
    where
        T: Copy,
        [T; COLUMNS]: Serialize + DeserializeOwned,
    {
        rows: Vec<[T; COLUMNS]>,
        all: [u8; 3],
    }

    assert_eq!(shape::<Grid<f32, 3>>(), "Grid { rows: Vec<[f32; 2]>, all: [u8; 3] }");
    assert_round_trip(Grid::<f32, 3> { rows: vec![[1.0, 2.0]; 3], all: [1, 2, 3] });
}

/// A plain serde type with a parameter.
#[derive(Debug, Default, PartialEq, Serialize, Deserialize)]
struct Foreign<T = u8> {
    inner: T,
}

#[test]
fn bounds_given_by_the_author_replace_the_inferred_ones() {
    trait Value: Serialize + DeserializeOwned + 'static {}
    impl Value for u16 {}
    impl Value for Foreign {}

    #[checkpointed]
    #[serde(bound = "T: Value")]
    #[derive(Debug, PartialEq)]
    struct Container<T> {
        one: T,
        many: Vec<T>,
    }

    #[checkpointed]
    #[serde(bound(serialize = "T: Serialize", deserialize = "T: Deserialize<'de> + Default"))]
    #[derive(Debug, PartialEq)]
    struct EachWay<T> {
        value: T,
    }

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct OnTheField<T, U> {
        #[serde(bound = "T: Value")]
        value: T,
        #[serde(bound(deserialize = "U: Deserialize<'de> + Default"))]
        read: U,
    }

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    enum OnTheVariant<T, U> {
        #[serde(bound = "T: Value")]
        T(T),
        U(U),
    }

    assert_eq!(shape::<Container<u16>>(), "Container { one: u16, many: Vec<u16> }");
    assert_eq!(shape::<EachWay<Foreign>>(), "EachWay { value: Foreign }");
    assert_eq!(shape::<OnTheField<Foreign, u8>>(), "OnTheField { value: Foreign, read: u8 }");
    assert_eq!(shape::<OnTheVariant<Foreign, u8>>(), "OnTheVariant = T(Foreign) | U(u8)");
    assert_round_trip(Container { one: Foreign { inner: 1 }, many: vec![Foreign { inner: 2 }] });
    assert_round_trip(EachWay { value: Foreign { inner: 1_u8 } });
    assert_round_trip(OnTheField { value: 1_u16, read: "two".to_owned() });
    assert_round_trip(OnTheVariant::<u16, u8>::T(1));
}

// Foreign types

mod foreign {
    #[derive(Debug, PartialEq, serde::Serialize, serde::Deserialize)]
    pub(super) enum Shape {
        Circle { radius: f64 },
        Square(f64),
    }
}

#[test]
fn fields_of_types_that_only_know_serde_need_no_attribute() {
    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct State<T> {
        shapes: HashMap<String, foreign::Shape>,
        generic: Foreign<T>,
        range: std::ops::Range<u32>,
        duration: std::time::Duration,
        nested: Option<Box<Foreign<Foreign>>>,
    }

    let schema = Schema::of::<State<u16>>();
    let names: Vec<&str> = schema.types.iter().map(|definition| definition.name.as_str()).collect();
    assert!(
        ["State", "Shape", "Foreign", "Range", "Duration"].iter().all(|name| names.contains(name)),
        "{names:?}"
    );
    assert_round_trip(State {
        shapes: HashMap::from([
            ("a".to_owned(), foreign::Shape::Square(1.0)),
            ("b".to_owned(), foreign::Shape::Circle { radius: 2.0 }),
        ]),
        generic: Foreign { inner: 3_u16 },
        range: 4..5,
        duration: std::time::Duration::from_millis(6),
        nested: Some(Box::default()),
    });
}

// The surroundings of the type

#[test]
fn names_of_the_standard_library_may_be_taken() {
    #[expect(non_upper_case_globals, dead_code)]
    mod taken {
        pub(super) struct Option;
        pub(super) struct Result;
        pub(super) struct Vec;
        pub(super) struct Box;
        pub(super) struct Some;
        pub(super) struct Ok;
        pub(super) struct Type;
        pub(super) struct Types;
        pub(super) struct Fields;
        pub(super) struct PhantomData;
        pub(super) trait ToString {}
        pub(super) trait Deserializer {}
        pub(super) const types: () = ();
    }

    #[expect(unused_imports)]
    use taken::*;

    #[checkpointed(version = 2)]
    #[derive(Debug, PartialEq)]
    struct String {
        x: u8,
        #[serde(with = "as_text")]
        y: u64,
    }

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    enum Body {
        Struct(u8),
        Enum { string: String },
    }

    assert_eq!(shape::<Body>(), "Body = Struct(u8) | Enum { string: String }");
    assert_round_trip(vec![Body::Struct(1), Body::Enum { string: String { x: 2, y: 3 } }]);
}

#[no_implicit_prelude]
mod without_prelude {
    #[::checkpointed::checkpointed(version = 3)]
    #[derive(Debug, PartialEq)]
    pub(super) enum State<T> {
        A {
            x: T,
            #[serde(with = "::checkpointed::json")]
            y: ::std::vec::Vec<u8>,
        },
        B(T),
        C,
    }
}

#[test]
fn no_prelude_is_needed() {
    use without_prelude::State;

    assert_eq!(shape::<State<u8>>(), "State = A { x: u8, y: String } | B(u8) | C");
    assert_round_trip(vec![State::A { x: 1, y: vec![2] }, State::B(3), State::C]);
}

#[test]
fn the_library_may_go_by_another_name() {
    #[renamed::checkpointed(crate = "renamed", name = "one")]
    #[derive(Debug, PartialEq)]
    struct One<T> {
        #[serde(with = "renamed::json")]
        x: u8,
        y: T,
    }

    mod module {
        pub(super) use ::renamed as library;
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, module::library::Checkpoint)]
    #[checkpoint(crate = "module::library")]
    struct Two(u8);

    assert_eq!(shape::<One<u8>>(), "one { x: String, y: u8 }");
    assert_eq!(shape::<Two>(), "Two(u8)");
    assert_round_trip(One { x: 1, y: 2_u8 });
    assert_round_trip(Two(1));
}

#[test]
fn the_derive_alone_is_enough_where_serde_is_derived_already() {
    #[derive(Debug, PartialEq, Serialize, Deserialize, Checkpoint)]
    struct Plain {
        #[serde(rename = "ex")]
        x: u8,
    }

    #[derive(Debug, PartialEq, Serialize, Deserialize, Checkpoint)]
    #[checkpoint(name = "named")]
    #[checkpoint(version = 4)]
    enum Named {
        A,
    }

    assert_eq!(shape::<Plain>(), "Plain { ex: u8 }");
    assert_eq!((Named::NAME, Named::VERSION), ("named", 4));
    assert_round_trip((Plain { x: 1 }, Named::A));
}

#[test]
fn serde_derives_that_are_there_are_not_repeated() {
    #[checkpointed]
    #[derive(Debug, Serialize, PartialEq, Deserialize)]
    struct Both(u8);

    #[checkpointed]
    #[derive(Debug, PartialEq, serde::Serialize)]
    #[serde(rename = "write")]
    struct One(u8);

    #[checkpointed(name = "three")]
    #[derive(Debug, PartialEq, Serialize, Deserialize, Checkpoint)]
    struct AllThree(u8);

    #[checkpointed]
    #[cfg_attr(all(), derive(Debug, Serialize, PartialEq))]
    #[cfg_attr(any(), derive(Deserialize))]
    struct Conditional(u8);

    assert_eq!((One::NAME, AllThree::NAME), ("write", "three"));
    assert_round_trip((Both(1), One(2), AllThree(3), Conditional(4)));
}

#[test]
fn serde_is_derived_where_it_is_not() {
    #[checkpointed]
    struct State;

    assert_serde::<State>();
}

#[test]
fn derives_above_the_attribute_are_kept() {
    #[derive(Clone, Debug, PartialEq)]
    #[checkpointed]
    struct State {
        #[serde(rename = "y")]
        x: u8,
    }

    assert_eq!(shape::<State>(), "State { y: u8 }");
    assert_round_trip(State { x: 1 }.clone());
}

#[test]
fn what_is_configured_away_is_not_stored() {
    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Named {
        #[cfg(any())]
        gone: NoSuchType,
        #[cfg(test)]
        here: u8,
        #[cfg_attr(all(), serde(rename = "renamed"))]
        #[cfg_attr(any(), serde(flatten))]
        conditional: u8,
    }

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    struct Newtype(#[cfg(any())] NoSuchType, u8);

    #[checkpointed]
    #[derive(Debug, PartialEq)]
    enum Enum {
        #[cfg(any())]
        Gone(NoSuchType),
        #[cfg(test)]
        Here,
    }

    assert_eq!(shape::<Named>(), "Named { here: u8, renamed: u8 }");
    assert_eq!(shape::<Newtype>(), "Newtype(u8)");
    assert_eq!(shape::<Enum>(), "Enum = Here");
    assert_round_trip((Named { here: 1, conditional: 2 }, Newtype(3), Enum::Here));
}

#[test]
fn types_may_come_from_macros() {
    macro_rules! state {
        ($(#[$attribute:meta])* $visibility:vis $name:ident { $($field:ident: $ty:ty = $text:literal),* }) => {
            #[checkpointed]
            $(#[$attribute])*
            #[derive(Debug, PartialEq)]
            $visibility struct $name {
                $(#[serde(rename = $text)] $field: $ty,)*
                tail: list!(u8),
            }
        };
    }

    macro_rules! list {
        ($ty:ty) => { Vec<$ty> };
    }

    state! {
        #[serde(deny_unknown_fields)]
        pub(crate) State { x: u8 = "ex", y: Option<u8> = "why" }
    }

    assert_eq!(shape::<State>(), "State { ex: u8, why: Option<u8>, tail: Vec<u8> }");
    assert_round_trip(State { x: 1, y: Some(2), tail: vec![3] });
}

/// A public type of a documented crate, with everything that lints might complain about.
pub mod documented {
    use checkpointed::checkpointed;

    /// A state.
    #[checkpointed]
    #[derive(Clone, Debug, Default, PartialEq)]
    #[non_exhaustive]
    #[must_use]
    pub struct State {
        /// The time of its start.
        pub since: Option<u64>,
        #[doc(hidden)]
        pub hidden: u8,
        #[serde(with = "super::as_text")]
        pub(crate) text: u64,
        nested: Nested,
    }

    #[checkpointed]
    #[derive(Clone, Debug, Default, PartialEq)]
    #[repr(u8)]
    enum Nested {
        #[default]
        One = 1,
        #[allow(dead_code)]
        Two = 2,
    }

    /// No longer used.
    #[checkpointed]
    #[deprecated]
    #[derive(Debug)]
    pub struct Old {
        /// No longer used either.
        #[deprecated]
        pub field: u8,
    }
}

#[test]
fn visibility_and_other_attributes_are_kept() {
    assert_eq!(
        shape::<documented::State>(),
        "State { since: Option<u64>, hidden: u8, text: String, nested: Nested }"
    );
    assert_round_trip(documented::State::default());
}
