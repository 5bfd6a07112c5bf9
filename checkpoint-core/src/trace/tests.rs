#![allow(dead_code, reason = "the fields of the types that are traced are never looked at")]
#![allow(clippy::panic, reason = "a test fails by panicking")]

use std::collections::{BTreeMap, HashMap};
use std::marker::PhantomData;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, SystemTime};

use serde::de::{DeserializeOwned, Error as _, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::emission::{arguments, short_name};
use super::{Traced, trace_within};
use crate::evolution::unsupported;
use crate::schema::{Body, Definition, Field, Fields, Schema, Type, Variant, hidden};

fn trace<T: DeserializeOwned + 'static>() -> Schema {
    super::trace::<T>().schema
}

/// The schema as text: definitions in full, after the root.
fn text<T: DeserializeOwned + 'static>() -> String {
    let schema = trace::<T>();
    assert!(schema.is_closed(), "{schema:?}");
    assert_eq!(schema, trace::<T>(), "traced twice");
    let fields = |fields: &Fields| match fields {
        Fields::Unit => String::new(),
        Fields::Newtype(ty) => format!("({})", schema.describe(ty)),
        Fields::Tuple(types) => schema.describe(&Type::Tuple(types.clone())),
        Fields::Named(fields) => {
            let list: Vec<String> = fields
                .iter()
                .map(|Field { name, ty }| format!("{}: {}", hidden::label(name), schema.describe(ty)))
                .collect();
            format!(" {{ {} }}", list.join(", "))
        }
    };
    let mut text = schema.to_string();
    for Definition { name, version, body, .. } in &schema.types {
        assert_eq!(*version, 1);
        let body = match body {
            Body::Struct(body) => format!("struct {name}{}", fields(body)),
            Body::Enum(variants) => {
                let list: Vec<String> = variants
                    .iter()
                    .map(|Variant { name, fields: of }| format!("{}{}", hidden::label(name), fields(of)))
                    .collect();
                format!("enum {name} {{ {} }}", list.join(", "))
            }
        };
        text += &format!("; {body}");
    }
    text
}

#[test]
fn primitives_are_what_they_ask_for() {
    assert_eq!(text::<(bool, u8, u16, u32, u64, u128)>(), "(bool, u8, u16, u32, u64, u128)");
    assert_eq!(text::<(i8, i16, i32, i64, i128)>(), "(i8, i16, i32, i64, i128)");
    assert_eq!(
        text::<(f32, f64, char, String, (), usize, isize)>(),
        "(f32, f64, char, String, (), u64, i64)"
    );
    assert_eq!(text::<std::ffi::CString>(), "bytes");
}

#[test]
fn collections_hold_their_elements() {
    assert_eq!(text::<Vec<Option<(u8, String)>>>(), "Vec<Option<(u8, String)>>");
    assert_eq!(text::<HashMap<String, BTreeMap<u8, Vec<f32>>>>(), "Map<String, Map<u8, Vec<f32>>>");
    assert_eq!(text::<Vec<Vec<Vec<Option<Option<u8>>>>>>(), "Vec<Vec<Vec<Option<Option<u8>>>>>");
}

#[test]
fn members_of_one_type_are_an_array() {
    assert_eq!(text::<[f64; 32]>(), "[f64; 32]");
    assert_eq!(text::<[[u8; 3]; 2]>(), "[[u8; 3]; 2]");
    assert_eq!(text::<(u8, u8)>(), "[u8; 2]");
    assert_eq!(text::<[u8; 0]>(), "()");
}

#[derive(Deserialize)]
struct Unit;

#[derive(Deserialize)]
struct Metres(f64);

#[derive(Deserialize)]
struct Pair(u8, String);

#[derive(Deserialize)]
struct Particle {
    mass: Metres,
    position: [f32; 3],
    #[serde(rename = "charge/e")]
    charge: Option<i8>,
    #[serde(skip)]
    cache: Vec<u8>,
    #[serde(default)]
    marker: PhantomData<u8>,
    unit: Unit,
    pair: Pair,
}

#[test]
fn a_foreign_struct_is_traced_with_all_its_fields() {
    assert_eq!(
        text::<Vec<Particle>>(),
        "Vec<Particle>; struct Particle { mass: Metres, position: [f32; 3], charge/e: Option<i8>, \
         marker: PhantomData, unit: Unit, pair: Pair }; struct Metres(f64); struct PhantomData; struct Unit; \
         struct Pair(u8, String)"
    );
}

#[derive(Deserialize)]
enum Shape {
    Point,
    Circle(Metres),
    Line(u8, u16),
    Polygon { corners: Vec<(f32, f64)>, colour: Option<Colour> },
}

#[derive(Deserialize)]
enum Colour {
    Named(String),
    Mixed { of: Vec<Kind> },
}

#[derive(Deserialize)]
enum Kind {
    Red,
    Green(u8),
    Blue,
}

const SHAPE: &str = "enum Shape { Point, Circle(Metres), Line(u8, u16), Polygon { corners: Vec<(f32, f64)>, \
    colour: Option<Colour> } }";
const COLOUR: &str = "enum Colour { Named(String), Mixed { of: Vec<Kind> } }";
const KIND: &str = "enum Kind { Red, Green(u8), Blue }";

#[test]
fn all_variants_of_nested_enums_are_found() {
    assert_eq!(text::<Shape>(), format!("Shape; {SHAPE}; struct Metres(f64); {COLOUR}; {KIND}"));
    assert_eq!(
        text::<(Kind, Result<u8, Colour>)>(),
        format!("(Kind, Result); {KIND}; enum Result {{ Ok(u8), Err(Colour) }}; {COLOUR}")
    );
}

macro_rules! many_variants {
    ($($name:ident)*) => {
        #[derive(Deserialize)]
        enum Many { $($name(u8, Option<Kind>)),* }
        const MANY: &[&str] = &[$(stringify!($name)),*];
    };
}

many_variants! {
    A0 A1 A2 A3 A4 A5 A6 A7 A8 A9 B0 B1 B2 B3 B4 B5 B6 B7 B8 B9 C0 C1 C2 C3 C4 C5 C6 C7 C8 C9
    D0 D1 D2 D3 D4 D5 D6 D7 D8 D9 E0 E1 E2 E3 E4 E5 E6 E7 E8 E9 F0 F1 F2 F3 F4 F5 F6 F7 F8 F9
    G0 G1 G2 G3 G4 G5 G6 G7 G8 G9 H0 H1 H2 H3 H4 H5 H6 H7 H8 H9 I0 I1 I2 I3 I4 I5 I6 I7 I8 I9
}

#[test]
fn an_enum_of_many_variants_is_traced_in_full() {
    let text = text::<HashMap<u8, Many>>();
    for name in MANY {
        assert!(text.contains(&format!("{name}(u8, Option<Kind>)")), "{name}: {text}");
    }
    assert!(text.ends_with(KIND), "{text}");
}

#[derive(Deserialize)]
struct List {
    value: u8,
    next: Option<Box<List>>,
}

#[derive(Deserialize)]
struct Tree<T> {
    value: T,
    children: Vec<Tree<T>>,
    by_name: HashMap<String, Tree<T>>,
}

#[derive(Deserialize)]
enum Expression {
    Add(Box<Expression>, Box<Expression>),
    Negate(Box<Expression>),
    Call { name: String, arguments: Vec<Statement> },
    Number(f64),
}

#[derive(Deserialize)]
enum Statement {
    Evaluate(Expression),
    If { condition: Expression, then: Box<Statement>, otherwise: Option<Box<Statement>> },
    Nothing,
}

#[derive(Deserialize)]
#[serde(transparent)]
struct Forest(Vec<Forest>);

#[derive(Deserialize)]
struct Chain(Option<Box<Chain>>);

#[test]
fn recursive_types_refer_to_themselves() {
    assert_eq!(text::<List>(), "List; struct List { value: u8, next: Option<List> }");
    assert_eq!(
        text::<Tree<i8>>(),
        "Tree; struct Tree { value: i8, children: Vec<Tree>, by_name: Map<String, Tree> }"
    );
    assert_eq!(
        text::<Vec<Statement>>(),
        "Vec<Statement>; enum Statement { Evaluate(Expression), If { condition: Expression, then: Statement, \
         otherwise: Option<Statement> }, Nothing }; enum Expression { Add(Expression, Expression), \
         Negate(Expression), Call { name: String, arguments: Vec<Statement> }, Number(f64) }"
    );
    assert_eq!(text::<Chain>(), "Chain; struct Chain(Option<Chain>)");
}

#[test]
fn a_transparent_type_within_itself_gets_a_definition() {
    assert_eq!(text::<Forest>(), "Forest; struct Forest(Vec<Forest>)");
    assert_eq!(text::<(u8, Option<Forest>)>(), "(u8, Option<Forest>); struct Forest(Vec<Forest>)");
}

#[derive(Deserialize)]
enum Endless {
    Never(Box<Endless>),
    Ever(Box<Endless>, u8),
}

#[test]
fn a_type_without_values_ends_too() {
    assert_eq!(
        text::<(Option<Endless>, u8)>(),
        "(Option<Endless>, u8); enum Endless { Never(Endless), \
         Ever(Endless, Ever.1 behind Box<Endless>, of which no sample could be made) }"
    );
}

#[test]
fn instances_of_one_generic_type_are_kept_apart() {
    assert_eq!(
        text::<(Tree<u8>, Tree<String>)>(),
        "(Tree, Tree); struct Tree { value: u8, children: Vec<Tree>, by_name: Map<String, Tree> }; \
         struct Tree { value: String, children: Vec<Tree>, by_name: Map<String, Tree> }"
    );
}

fn parsed<'de, T: std::str::FromStr, D: Deserializer<'de>>(deserializer: D) -> Result<T, D::Error> {
    String::deserialize(deserializer)?.parse().map_err(|_| D::Error::custom("does not parse"))
}

/// Refuses all samples.
#[derive(PartialEq, Eq, Hash)]
struct Picky(String);

impl<'de> Deserialize<'de> for Picky {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        if text == "open sesame" { Ok(Picky(text)) } else { Err(D::Error::custom("no")) }
    }
}

#[derive(Deserialize)]
struct Wrapped(Picky);

struct Uuid([u8; 16]);

impl<'de> Deserialize<'de> for Uuid {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = Uuid;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a UUID")
            }
            fn visit_bytes<E: serde::de::Error>(self, bytes: &[u8]) -> Result<Uuid, E> {
                bytes.try_into().map(Uuid).map_err(E::custom)
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

#[derive(Deserialize)]
#[serde(try_from = "(u8, u8)")]
struct Ordered(u8, u8);

impl TryFrom<(u8, u8)> for Ordered {
    type Error = String;
    fn try_from((low, high): (u8, u8)) -> Result<Ordered, String> {
        if low < high { Ok(Ordered(low, high)) } else { Err("not in order".to_owned()) }
    }
}

#[derive(Deserialize)]
#[serde(try_from = "Vec<u16>")]
struct NotEmpty(Vec<u16>);

impl TryFrom<Vec<u16>> for NotEmpty {
    type Error = String;
    fn try_from(numbers: Vec<u16>) -> Result<NotEmpty, String> {
        if numbers.is_empty() { Err("empty".to_owned()) } else { Ok(NotEmpty(numbers)) }
    }
}

#[derive(Deserialize)]
struct Validated {
    count: NonZeroU32,
    address: std::net::IpAddr,
    #[serde(deserialize_with = "parsed")]
    port: u16,
    id: Uuid,
    range: Ordered,
    numbers: NotEmpty,
    kinds: Vec<Kind>,
    since: SystemTime,
    last: u8,
}

#[test]
fn a_type_that_refuses_all_samples_is_still_traced() {
    assert_eq!(text::<Picky>(), "String");
    assert_eq!(text::<Wrapped>(), "Wrapped; struct Wrapped(String)");
    assert_eq!(text::<NonZeroU32>(), "u32");
    assert_eq!(text::<Uuid>(), "bytes");
}

#[test]
fn types_that_validate_get_a_value_that_they_accept() {
    assert_eq!(
        text::<Validated>(),
        format!(
            "Validated; struct Validated {{ count: u32, address: IpAddr, port: String, id: bytes, range: [u8; 2], \
             numbers: Vec<u16>, kinds: Vec<Kind>, since: SystemTime, last: u8 }}; \
             enum IpAddr {{ V4([u8; 4]), V6([u8; 16]) }}; {KIND}; \
             struct SystemTime {{ secs_since_epoch: u64, nanos_since_epoch: u32 }}"
        )
    );
}

#[derive(Deserialize)]
struct AroundPicky {
    before: u8,
    picky: Picky,
    kinds: Vec<Kind>,
    nested: Nested,
    last: Duration,
}

#[derive(Deserialize)]
struct Nested {
    choice: Choice,
    wrapped: Wrapped,
    after: i32,
}

#[derive(Deserialize)]
enum Choice {
    Bad(Picky),
    Worse { picky: Picky, after: u8 },
    Good(i16),
}

#[test]
fn fields_after_one_that_refuses_everything_are_traced() {
    assert_eq!(
        text::<Vec<AroundPicky>>(),
        format!(
            "Vec<AroundPicky>; struct AroundPicky {{ before: u8, picky: String, kinds: Vec<Kind>, nested: Nested, \
             last: Duration }}; {KIND}; struct Nested {{ choice: Choice, wrapped: Wrapped, after: i32 }}; \
             struct Duration {{ secs: u64, nanos: u32 }}; \
             enum Choice {{ Bad(String), Worse {{ picky: String, after: u8 }}, Good(i16) }}; struct Wrapped(String)"
        )
    );
}

#[test]
fn what_cannot_be_found_out_is_opaque_by_name() {
    assert_eq!(text::<(Picky, u8)>(), "(String, u8 behind Picky, of which no sample could be made)");
    assert_eq!(
        text::<HashMap<Picky, Vec<f64>>>(),
        "Map<String, Vec<f64> behind Picky, of which no sample could be made>"
    );
    assert_eq!(
        text::<Option<Endless>>(),
        "Option<Endless>; enum Endless { Never(Endless), \
         Ever(Endless, Ever.1 behind Box<Endless>, of which no sample could be made) }"
    );
}

#[test]
fn a_second_value_of_a_type_is_read_as_the_first_was() {
    let schema = trace::<(Validated, Validated, [Ordered; 3], Vec<NotEmpty>, u8)>();
    assert!(!format!("{schema:?}").contains("Opaque"), "{schema:?}");
}

#[derive(Deserialize)]
#[serde(tag = "t", content = "c")]
enum Adjacent {
    Number(u8),
    Text(String),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Untagged {
    Number(u8),
    Text(String),
}

#[derive(Deserialize)]
#[serde(tag = "kind")]
enum Tagged {
    Circle { radius: f64 },
    Point,
}

#[derive(Deserialize)]
struct Flattened {
    before: u8,
    #[serde(flatten)]
    rest: HashMap<String, u8>,
}

#[derive(Deserialize)]
struct Undecided {
    before: u8,
    untagged: Untagged,
    tagged: Vec<Option<Tagged>>,
    flattened: HashMap<u8, Flattened>,
    value: serde_json::Value,
    ignored: serde::de::IgnoredAny,
    after: Kind,
}

#[test]
fn a_type_that_decides_while_reading_is_unsupported() {
    let schema = trace::<Undecided>();
    let found = unsupported(&schema);
    let paths: Vec<&str> = found.iter().map(|(path, _)| path.as_str()).collect();
    assert_eq!(paths, ["untagged", "tagged[]", "flattened[]", "value", "ignored"]);
    for ((_, why), start) in found.iter().zip([
        "Untagged decides while reading what comes next (deserialize_any)",
        "Tagged decides",
        "Flattened decides",
        "Value decides",
        "IgnoredAny decides",
    ]) {
        assert!(why.starts_with(start), "{why}");
        assert!(why.contains("checkpointed::self_describing"), "{why}");
    }
    let adjacent = unsupported(&trace::<Adjacent>());
    assert!(
        adjacent.iter().any(|(path, why)| path == "t" && why.starts_with("the type decides")),
        "{adjacent:?}"
    );
    let text = text::<Undecided>();
    assert!(text.contains("{ before: u8, untagged: unsupported"), "{text}");
    assert!(text.contains(&format!("after: Kind }}; {KIND}")), "{text}");
}

#[derive(Deserialize)]
struct Renamed {
    #[serde(alias = "count", alias = "total")]
    number: u32,
    other: Option<u8>,
    #[serde(alias = "a")]
    text: String,
}

#[derive(Deserialize)]
enum RenamedVariant {
    #[serde(alias = "Old")]
    New(u8),
    Other,
}

#[test]
fn aliases_are_told_from_names() {
    assert_eq!(text::<Renamed>(), "Renamed; struct Renamed { number: u32, other: Option<u8>, text: String }");
    assert_eq!(text::<RenamedVariant>(), "RenamedVariant; enum RenamedVariant { 0 of New|Old(u8), Other }");
}

/// Types with aliases inside one another; each one is the value of a field with an alias.
#[derive(Deserialize)]
struct Outer {
    plain: u8,
    #[serde(alias = "former")]
    inner: Inner,
    #[serde(alias = "former_pair", alias = "oldest_pair")]
    pair: (Inner, Innermost<u16>),
    #[serde(alias = "former_form")]
    form: Form,
}

#[derive(Deserialize)]
struct Inner {
    #[serde(alias = "former", alias = "a", alias = "z")]
    innermost: Innermost<bool>,
    #[serde(alias = "former_list")]
    list: Vec<Innermost<String>>,
}

#[derive(Deserialize)]
struct Innermost<T> {
    #[serde(alias = "former")]
    value: T,
    #[serde(alias = "again")]
    next: Option<Box<Innermost<T>>>,
    last: u8,
}

#[derive(Deserialize)]
enum Form {
    One {
        #[serde(alias = "former")]
        inner: Innermost<u16>,
        #[serde(alias = "a")]
        size: u64,
    },
    Other {
        #[serde(alias = "former")]
        map: BTreeMap<u8, Form>,
        last: u8,
    },
    #[serde(alias = "Gone")]
    Done,
}

#[test]
fn aliases_are_told_from_names_at_every_level() {
    let innermost =
        |of: &str| format!("struct Innermost {{ value: {of}, next: Option<Innermost>, last: u8 }}");
    let wanted = [
        "Outer",
        "struct Outer { plain: u8, inner: Inner, pair: (Inner, Innermost), form: Form }",
        "struct Inner { innermost: Innermost, list: Vec<Innermost> }",
        &innermost("u16"),
        "enum Form { One { inner: Innermost, size: u64 }, Other { map: Map<u8, Form>, last: u8 }, \
         2 of Done|Gone }",
        &innermost("bool"),
        &innermost("String"),
    ];
    assert_eq!(text::<Outer>(), wanted.join("; "));
}

#[test]
fn each_alias_at_every_level_is_known_of_its_own_field() {
    let Traced { schema, former } = super::trace::<(Outer, u8)>();
    let of = |name: &str, variant: Option<&str>, field: &str| {
        let place = schema.types.iter().position(|definition| definition.name == name);
        let Some(place) = place else { panic!("no {name}") };
        former[&place].aliases(variant, field).join(" ")
    };
    assert_eq!(of("Outer", None, "plain"), "");
    assert_eq!(of("Outer", None, "inner"), "former");
    assert_eq!(of("Outer", None, "pair"), "former_pair oldest_pair");
    assert_eq!(of("Outer", None, "form"), "former_form");
    assert_eq!(of("Inner", None, "innermost"), "a former z");
    assert_eq!(of("Inner", None, "list"), "former_list");
    assert_eq!(of("Innermost", None, "value"), "former");
    assert_eq!(of("Innermost", None, "next"), "again");
    assert_eq!(of("Innermost", None, "last"), "");
    assert_eq!(of("Form", Some("One"), "inner"), "former");
    assert_eq!(of("Form", Some("One"), "size"), "a");
    assert_eq!(of("Form", Some("Other"), "map"), "former");
}

/// The aliases and the names of the one are those of the other, for other fields.
#[derive(Deserialize)]
struct Swapped {
    #[serde(alias = "b")]
    a: Within,
    #[serde(default, alias = "d")]
    c: Option<Within>,
}

#[derive(Deserialize)]
struct Within {
    #[serde(alias = "c")]
    d: Vec<Refined>,
    #[serde(alias = "a")]
    b: u8,
}

/// Refuses all but a few values, and has an alias too.
#[derive(Deserialize)]
#[serde(try_from = "RawRefined")]
struct Refined;

#[derive(Deserialize)]
struct RawRefined {
    #[serde(alias = "a")]
    c: NonZeroU32,
    #[serde(alias = "d")]
    b: u16,
}

impl TryFrom<RawRefined> for Refined {
    type Error = &'static str;

    fn try_from(raw: RawRefined) -> Result<Refined, &'static str> {
        if raw.b > 40 { Ok(Refined) } else { Err("too small") }
    }
}

#[test]
fn aliases_that_name_other_fields_inside_are_told_apart() {
    assert_eq!(
        text::<(Swapped, u8)>(),
        "(Swapped, u8); struct Swapped { a: Within, c: Option<Within> }; \
         struct Within { d: Vec<RawRefined>, b: u8 }; struct RawRefined { c: u32, b: u16 }"
    );
}

/// A million numbers, read as a tuple; and a struct of them, which takes several passes.
struct Large;

/// Numbers that samples of [`Large`] have read.
static LARGE_READ: AtomicU64 = AtomicU64::new(0);

impl<'de> Deserialize<'de> for Large {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Numbers;
        impl<'de> Visitor<'de> for Numbers {
            type Value = Large;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("numbers")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut numbers: A) -> Result<Large, A::Error> {
                while numbers.next_element::<f64>()?.is_some() {
                    LARGE_READ.fetch_add(1, Ordering::Relaxed);
                }
                Ok(Large)
            }
        }
        deserializer.deserialize_tuple(1_000_000, Numbers)
    }
}

#[derive(Deserialize)]
struct WithLarge {
    large: Large,
    kind: Kind,
}

#[test]
fn a_large_array_is_read_a_few_times() {
    assert_eq!(
        text::<WithLarge>(),
        format!("WithLarge; struct WithLarge {{ large: [f64; 1000000], kind: Kind }}; {KIND}")
    );
    let times = LARGE_READ.load(Ordering::Relaxed) / 1_000_000;
    assert!((1..=16).contains(&times), "{times} times");
}

/// A conversion that panics on most samples.
#[derive(Deserialize)]
#[serde(from = "u32")]
struct Inverse(u32);

impl From<u32> for Inverse {
    fn from(number: u32) -> Inverse {
        Inverse(1 / number)
    }
}

#[derive(Deserialize)]
struct Panics {
    inverse: Inverse,
    after: String,
}

#[test]
fn a_conversion_that_panics_is_a_refusal() {
    assert_eq!(text::<Panics>(), "Panics; struct Panics { inverse: u32, after: String }");
}

/// A loop that ends for a step that is not zero.
#[derive(Deserialize)]
#[serde(from = "(f64, f64)")]
struct Steps;

impl From<(f64, f64)> for Steps {
    fn from((length, step): (f64, f64)) -> Steps {
        let mut at = 0.0;
        while at <= length {
            at += step;
        }
        Steps
    }
}

#[test]
fn ones_come_before_zeros_so_that_loops_end() {
    assert_eq!(text::<(Steps, u8)>(), "([f64; 2], u8)");
}

static STOP: AtomicBool = AtomicBool::new(false);

/// A conversion that does not come back until the test is over.
#[derive(Deserialize)]
#[serde(from = "u32")]
struct Stuck;

impl From<u32> for Stuck {
    fn from(_: u32) -> Stuck {
        while !STOP.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        Stuck
    }
}

#[test]
fn a_type_that_never_comes_back_is_named_with_a_way_out() {
    let schema = trace_within::<Vec<(u8, Stuck)>>(2).schema;
    STOP.store(true, Ordering::SeqCst);
    let found = unsupported(&schema);
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].0, "the state");
    for words in ["Stuck was made from a sample value", "did not come back", "#[checkpointed(as = "] {
        assert!(found[0].1.contains(words), "{words}: {found:?}");
    }
}

struct Nothing;

impl<'de> Deserialize<'de> for Nothing {
    fn deserialize<D: Deserializer<'de>>(_: D) -> Result<Self, D::Error> {
        Ok(Nothing)
    }
}

#[test]
fn a_type_that_asks_for_nothing_takes_no_space() {
    assert_eq!(text::<(Nothing, u8)>(), "((), u8)");
}

#[derive(Deserialize)]
enum Everything {
    A(Box<Everything>, Option<Box<Mutual>>),
    B { mutual: Mutual },
    C(Vec<Everything>),
    D(Shape),
}

#[derive(Deserialize)]
struct Mutual {
    shape: Shape,
    back: Vec<Everything>,
    both: HashMap<String, (Box<Everything>, List)>,
}

#[test]
fn mutually_recursive_types_are_traced_in_full() {
    let text = text::<Everything>();
    for part in [
        "enum Everything { A(Everything, Option<Mutual>), B { mutual: Mutual }, C(Vec<Everything>), D(Shape) }",
        "struct Mutual { shape: Shape, back: Vec<Everything>, both: Map<String, (Everything, List)> }",
        SHAPE,
        COLOUR,
        KIND,
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
}

#[derive(Deserialize)]
struct Wide<T> {
    numbers: [f64; 16],
    next: Next<T>,
}

#[derive(Deserialize)]
enum Next<T> {
    Leaf,
    Deep { one: Box<T>, some: Option<(T, Vec<T>)>, kind: Kind },
}

type Wide4<T> = Wide<Wide<Wide<Wide<T>>>>;

/// The number of times that a [`Leaf`] was read.
static LEAVES: AtomicU64 = AtomicU64::new(0);

struct Leaf;

impl<'de> Deserialize<'de> for Leaf {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        LEAVES.fetch_add(1, Ordering::Relaxed);
        u8::deserialize(deserializer).map(|_| Leaf)
    }
}

#[test]
fn types_that_fork_at_every_level_are_read_a_few_times() {
    let schema = trace::<Wide4<Wide4<Wide4<Wide4<Leaf>>>>>();
    assert_eq!(schema.types.len(), 33);
    assert!(!format!("{schema:?}").contains("Opaque"));
    // A type at level n forks three times: 3^16 is 43 million.
    let leaves = LEAVES.load(Ordering::Relaxed);
    assert!((1..10_000).contains(&leaves), "{leaves} times");
}

#[test]
fn names_lose_their_paths_also_within_generics() {
    assert_eq!(
        short_name("alloc::vec::Vec<(core::option::Option<a::b::C>, [u8; 3])>"),
        "Vec<(Option<C>, [u8; 3])>"
    );
    assert_eq!(short_name("u8"), "u8");
}

#[test]
fn the_parts_of_a_type_are_read_from_its_name() {
    assert_eq!(arguments("(a::B<C, D>, [u8; 3], (E, F))"), ["a::B<C, D>", "[u8; 3]", "(E, F)"]);
    assert_eq!(arguments("std::collections::HashMap<(K, u8), V>"), ["(K, u8)", "V"]);
    assert_eq!(arguments("[(A, B); 3]"), ["(A, B)", "3"]);
    assert_eq!(arguments("<a::Box<dyn B> as c::D>::e::F<dyn B>"), ["dyn B"]);
    assert_eq!(arguments("()"), [""; 0]);
    assert_eq!(arguments("u8"), [""; 0]);
}

mod known_types;
