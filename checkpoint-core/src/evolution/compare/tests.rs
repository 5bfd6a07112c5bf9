#![allow(clippy::panic, reason = "a test fails by panicking")]

use super::{Difference, DifferenceKind, Plan, compare_schemas, differences, unsupported};
use crate::base::limits::DIFFERENCES;
use crate::schema::element::SCALARS;
use crate::schema::{Body, Definition, Field, Fields, Schema, Type, Variant};

fn schema(root: Type, types: Vec<Definition>) -> Schema {
    let schema = Schema { root, types };
    assert!(schema.is_closed());
    schema
}

fn plain(root: Type) -> Schema {
    schema(root, Vec::new())
}

fn definition(name: &str, body: Body) -> Definition {
    Definition { name: name.to_owned(), version: 1, foreign: false, observed: false, body }
}

fn named(fields: &[(&str, Type)]) -> Fields {
    Fields::Named(
        fields.iter().map(|(name, ty)| Field { name: (*name).to_owned(), ty: ty.clone() }).collect(),
    )
}

fn structure(fields: &[(&str, Type)]) -> Schema {
    schema(Type::Named(0), vec![definition("State", Body::Struct(named(fields)))])
}

fn variants(variants: &[(&str, Fields)]) -> Schema {
    let variants = variants
        .iter()
        .map(|(name, fields)| Variant { name: (*name).to_owned(), fields: fields.clone() })
        .collect();
    schema(Type::Named(0), vec![definition("Choice", Body::Enum(variants))])
}

fn seq(element: Type) -> Type {
    Type::Seq(Box::new(element))
}

fn option(inner: Type) -> Type {
    Type::Option(Box::new(inner))
}

fn map(key: Type, value: Type) -> Type {
    Type::Map(Box::new(key), Box::new(value))
}

fn array(member: Type, length: u64) -> Type {
    Type::Array(Box::new(member), length)
}

#[track_caller]
fn same(checkpoint: &Schema, program: &Schema) {
    assert_eq!(differences(checkpoint, program), []);
    assert_eq!(differences(program, checkpoint), []);
}

#[track_caller]
fn differ(checkpoint: &Schema, program: &Schema, expected: &[&str]) {
    let found: Vec<String> = differences(checkpoint, program).iter().map(ToString::to_string).collect();
    assert_eq!(found, expected);
    assert!(!differences(program, checkpoint).is_empty(), "the other way round");
}

#[test]
fn equal_types_do_not_differ() {
    for ty in [
        Type::Unit,
        Type::U64,
        Type::Opaque("Secret".to_owned()),
        map(Type::String, seq(option(Type::Tuple(vec![Type::F32, Type::Char])))),
        array(array(Type::I128, 3), u64::MAX),
    ] {
        same(&plain(ty.clone()), &plain(ty));
    }
}

#[test]
fn primitives_differ_by_width_and_sign() {
    let others = [option(Type::U8), Type::Opaque("A".to_owned()), Type::Opaque("B".to_owned())];
    let all = [&SCALARS[..], &others].concat();
    for (place, checkpoint) in all.iter().enumerate() {
        for (other, program) in all.iter().enumerate() {
            let found = differences(&plain(checkpoint.clone()), &plain(program.clone()));
            assert_eq!(found.len(), usize::from(place != other), "{checkpoint:?} {program:?}");
        }
    }
    differ(&plain(Type::F32), &plain(Type::F64), &["the state: f32 in the checkpoint, f64 in this program"]);
}

#[test]
fn what_is_encoded_alike_and_means_the_same_does_not_differ() {
    same(&plain(Type::Bytes), &plain(seq(Type::U8)));
    same(&plain(array(Type::F64, 2)), &plain(Type::Tuple(vec![Type::F64, Type::F64])));
    same(&plain(array(Type::F64, 0)), &plain(Type::Unit));
    let wrapper =
        schema(Type::Named(0), vec![definition("Metres", Body::Struct(Fields::Newtype(Type::F64)))]);
    same(&wrapper, &plain(Type::F64));
    let twice = schema(
        Type::Named(1),
        vec![
            definition("Metres", Body::Struct(Fields::Newtype(Type::F64))),
            definition("Length", Body::Struct(Fields::Newtype(Type::Named(0)))),
        ],
    );
    same(&twice, &wrapper);
    let pair = Body::Struct(Fields::Tuple(vec![Type::U8, Type::U16]));
    same(
        &schema(Type::Named(0), vec![definition("Pair", pair)]),
        &plain(Type::Tuple(vec![Type::U8, Type::U16])),
    );
    same(&schema(Type::Named(0), vec![definition("Marker", Body::Struct(Fields::Unit))]), &plain(Type::Unit));
    let inline = variants(&[("A", named(&[("x", Type::U8)]))]);
    let variant = Variant { name: "A".to_owned(), fields: Fields::Newtype(Type::Named(1)) };
    let content = definition("Content", Body::Struct(named(&[("x", Type::U8)])));
    let apart = schema(Type::Named(0), vec![definition("Choice", Body::Enum(vec![variant])), content]);
    same(&inline, &apart);
}

#[test]
fn versions_of_structs_are_compared() {
    let old = schema(seq(Type::Named(0)), vec![definition("Part", Body::Struct(named(&[("x", Type::U8)])))]);
    let mut new = old.clone();
    new.types[0].version = 2;
    differ(&old, &new, &["[]: version 1 in the checkpoint, version 2 in this program"]);
    let mut wrapper =
        schema(Type::Named(0), vec![definition("Metres", Body::Struct(Fields::Newtype(Type::F64)))]);
    wrapper.types[0].version = 3;
    differ(
        &wrapper,
        &plain(Type::F64),
        &["the state: version 3 in the checkpoint, version 1 in this program"],
    );
}

/// A type that is twice in a state, and the same under another name.
fn renamed(body: &Body, foreign: [bool; 2]) -> [Schema; 2] {
    [("Old", foreign[0]), ("New", foreign[1])].map(|(name, foreign)| {
        let root = Type::Tuple(vec![seq(Type::Named(0)), Type::Named(0)]);
        let mut schema = schema(root, vec![definition(name, body.clone())]);
        schema.types[0].foreign = foreign;
        schema
    })
}

#[test]
fn another_name_is_told_where_the_fields_have_names() {
    let variant = Variant { name: "A".to_owned(), fields: Fields::Unit };
    for body in [Body::Struct(named(&[("x", Type::U8)])), Body::Enum(vec![variant])] {
        let [old, new] = renamed(&body, [false, false]);
        differ(&old, &new, &[".0[]: type Old in the checkpoint, type New in this program"]);
        assert!(differences(&old, &new).iter().all(Difference::is_name_alone));
    }
}

#[test]
fn another_name_is_refused_where_it_alone_tells_the_type() {
    let variant = Variant { name: "A".to_owned(), fields: Fields::Unit };
    let own = [Fields::Unit, Fields::Newtype(Type::F64), Fields::Tuple(vec![Type::U8, Type::U8])];
    let own = own.map(|fields| (Body::Struct(fields), [false, false]));
    let foreign = [Body::Struct(named(&[("x", Type::U8)])), Body::Enum(vec![variant])];
    let foreign = foreign
        .iter()
        .flat_map(|body| [[true, true], [true, false], [false, true]].map(|foreign| (body.clone(), foreign)));
    for (body, foreign) in own.into_iter().chain(foreign) {
        let [old, new] = renamed(&body, foreign);
        let found = differences(&old, &new);
        assert_eq!(found[0].kind, DifferenceKind::OtherType, "{body:?}");
        assert!(!found[0].may_resolve());
        let [old, _] = renamed(&body, foreign);
        assert_eq!(differences(&old, &old), []);
    }
}

#[test]
fn a_name_may_have_any_letters() {
    let variant = Variant { name: "A".to_owned(), fields: Fields::Unit };
    let bodies = [
        Body::Struct(named(&[("x", Type::U8)])),
        Body::Struct(Fields::Unit),
        Body::Struct(Fields::Tuple(vec![Type::U8, Type::U8])),
        Body::Enum(vec![variant]),
    ];
    let is_refused = |body: &Body, old: &str, new: &str| {
        let mut schemas = renamed(body, [true, true]);
        old.clone_into(&mut schemas[0].types[0].name);
        new.clone_into(&mut schemas[1].types[0].name);
        let found = differences(&schemas[0], &schemas[1]);
        found.first().is_some_and(|first| first.kind == DifferenceKind::OtherType)
    };
    for body in &bodies {
        for (old, new) in [("rng a", "rng b"), ("rng (a)", "rng (b)"), ("Rng<A>", "Rng<B>"), ("R", "R&")] {
            assert!(is_refused(body, old, new) && is_refused(body, new, old), "{body:?} {old} {new}");
        }
    }
    let newtype = Body::Struct(Fields::Newtype(seq(Type::F64)));
    assert!(is_refused(&newtype, "rng a", "rng b"));
    // The compiler gives such names to recursive types that have none in serde.
    assert!(!is_refused(&newtype, "Vec<A>", "Vec<B>") && !is_refused(&newtype, "(A, B)", "A"));
}

/// Newtypes of these names around each other, the first outermost.
fn wrapped(names: &[&str]) -> Schema {
    let types = names.iter().enumerate().map(|(place, name)| {
        let inner = if place + 1 == names.len() { Type::F64 } else { Type::Named(place + 1) };
        definition(name, Body::Struct(Fields::Newtype(inner)))
    });
    schema(if names.is_empty() { Type::F64 } else { Type::Named(0) }, types.collect())
}

#[test]
fn wrappers_come_and_go_but_do_not_become_others() {
    for (old, new) in [
        (&["A"][..], &[][..]),
        (&["A", "B"], &["B"]),
        (&["A", "B"], &["A"]),
        (&["A", "B", "C"], &["A", "C"]),
        (&["A", "B"], &["A", "B"]),
    ] {
        same(&wrapped(old), &wrapped(new));
    }
    for (old, new) in [(&["A"][..], &["B"][..]), (&["A", "B"], &["B", "A"]), (&["A", "B"], &["C"])] {
        let found = differences(&wrapped(old), &wrapped(new));
        assert!(found.iter().any(|found| found.kind == DifferenceKind::OtherType), "{old:?} {new:?}");
    }
    differ(
        &wrapped(&["A", "B"]),
        &wrapped(&["C"]),
        &["the state: type A around B in the checkpoint, type C in this program"],
    );
}

#[test]
fn a_field_of_another_type_is_named_with_its_path() {
    let state = |mass| {
        schema(
            Type::Named(0),
            vec![
                definition(
                    "State",
                    Body::Struct(named(&[("step", Type::U64), ("particles", seq(Type::Named(1)))])),
                ),
                definition("Particle", Body::Struct(named(&[("mass", mass), ("charge", Type::I8)]))),
            ],
        )
    };
    differ(
        &state(Type::F32),
        &state(Type::F64),
        &["particles[].mass: f32 in the checkpoint, f64 in this program"],
    );
    differ(
        &state(Type::F32),
        &state(option(Type::F32)),
        &["particles[].mass: f32 in the checkpoint, Option<f32> in this program"],
    );
}

#[test]
fn missing_fields_are_named_on_either_side() {
    let (less, more) = (structure(&[("a", Type::U8)]), structure(&[("new", Type::F64), ("a", Type::U8)]));
    differ(&less, &more, &["new: absent in the checkpoint, f64 in this program"]);
    differ(&more, &less, &["new: f64 in the checkpoint, absent in this program"]);
    differ(
        &structure(&[("old", Type::U8)]),
        &structure(&[("new", Type::U8)]),
        &[
            "old: u8 in the checkpoint, absent in this program",
            "new: absent in the checkpoint, u8 in this program",
        ],
    );
}

#[test]
fn another_order_of_the_fields_is_one_difference() {
    differ(
        &structure(&[("x", Type::F64), ("y", Type::F64), ("z", Type::F64)]),
        &structure(&[("z", Type::F64), ("x", Type::F64), ("y", Type::F64)]),
        &["the state: fields x, y, z in the checkpoint, fields z, x, y in this program"],
    );
    differ(
        &structure(&[("x", Type::F64), ("y", Type::F64)]),
        &structure(&[("y", Type::F64), ("x", Type::F32)]),
        &[
            "the state: fields x, y in the checkpoint, fields y, x in this program",
            "x: f64 in the checkpoint, f32 in this program",
        ],
    );
}

#[test]
fn variants_are_compared_by_number_and_name() {
    let old = variants(&[("A", Fields::Unit), ("B", Fields::Newtype(Type::U8))]);
    same(&old, &old);
    differ(
        &old,
        &variants(&[("B", Fields::Newtype(Type::U8)), ("A", Fields::Unit)]),
        &["the state: variants A, B in the checkpoint, variants B, A in this program"],
    );
    differ(
        &old,
        &variants(&[("A", Fields::Unit), ("B", Fields::Newtype(Type::U8)), ("C", Fields::Unit)]),
        &["::C: absent in the checkpoint, a variant in this program"],
    );
    differ(
        &old,
        &variants(&[("A", Fields::Unit), ("B", Fields::Newtype(Type::U16))]),
        &["::B: u8 in the checkpoint, u16 in this program"],
    );
    differ(
        &variants(&[("Circle", named(&[("radius", Type::F32)]))]),
        &variants(&[("Circle", named(&[("radius", Type::F64)]))]),
        &["::Circle.radius: f32 in the checkpoint, f64 in this program"],
    );
    differ(
        &variants(&[("Line", Fields::Tuple(vec![Type::U8, Type::U8]))]),
        &variants(&[("Line", Fields::Tuple(vec![Type::U8, Type::I8]))]),
        &["::Line.1: u8 in the checkpoint, i8 in this program"],
    );
    differ(
        &variants(&[("A", Fields::Unit)]),
        &variants(&[("A", named(&[("x", Type::U8)]))]),
        &["::A: no fields in the checkpoint, fields x in this program"],
    );
}

#[test]
fn keys_elements_and_members_have_their_own_paths() {
    let state = |key, element, member| {
        structure(&[("m", map(key, seq(element))), ("t", Type::Tuple(vec![Type::U8, member]))])
    };
    differ(
        &state(Type::U8, Type::U8, Type::U8),
        &state(Type::I8, Type::U16, Type::Bool),
        &[
            "m[key]: u8 in the checkpoint, i8 in this program",
            "m[][]: u8 in the checkpoint, u16 in this program",
            "t.1: u8 in the checkpoint, bool in this program",
        ],
    );
    differ(
        &plain(Type::Tuple(vec![Type::U8])),
        &plain(Type::Tuple(vec![Type::U16])),
        &[".0: u8 in the checkpoint, u16 in this program"],
    );
}

#[test]
fn other_lengths_and_kinds_differ() {
    let pairs = [
        (array(Type::U8, 3), array(Type::U8, 4)),
        (array(Type::U8, 3), Type::Tuple(vec![Type::U8, Type::U8])),
        (array(Type::U8, 3), seq(Type::U8)),
        (array(Type::U8, 1), Type::U8),
        (Type::Tuple(vec![Type::U8]), Type::U8),
        (seq(Type::U8), seq(Type::I8)),
        (Type::Bytes, seq(Type::I8)),
        (Type::Bytes, Type::String),
        (seq(Type::Tuple(vec![Type::U8, Type::U8])), map(Type::U8, Type::U8)),
        (option(Type::U8), Type::U8),
        (option(option(Type::U8)), option(Type::U8)),
        (array(Type::U8, 2), Type::Tuple(vec![Type::U8, Type::U16])),
    ];
    for (checkpoint, program) in pairs {
        let found = differences(&plain(checkpoint.clone()), &plain(program.clone()));
        assert_eq!(found.len(), 1, "{checkpoint:?} {program:?} {found:?}");
        assert_eq!(differences(&plain(program), &plain(checkpoint)).len(), 1);
    }
    differ(
        &plain(array(Type::U8, 3)),
        &plain(array(Type::U8, 4)),
        &["the state: [u8; 3] in the checkpoint, [u8; 4] in this program"],
    );
}

#[test]
fn types_of_one_name_are_told_apart_by_their_kind() {
    let mut fields = structure(&[("x", Type::U8)]);
    fields.types[0].name = "Choice".to_owned();
    differ(
        &variants(&[("A", Fields::Unit)]),
        &fields,
        &[
            "the state: Choice (an enum) in the checkpoint, Choice (a struct with named fields) in this program",
        ],
    );
}

#[test]
fn unsupported_types_differ_even_from_themselves() {
    let unsupported = plain(seq(Type::Unsupported("Value decides".to_owned())));
    assert_eq!(differences(&unsupported, &unsupported).len(), 1);
}

/// `struct List { value, next: Option<Box<List>> }`
fn list(value: Type) -> Schema {
    structure(&[("value", value), ("next", option(Type::Named(0)))])
}

#[test]
fn recursive_types_are_compared_once() {
    same(&list(Type::U8), &list(Type::U8));
    differ(&list(Type::U8), &list(Type::U16), &["value: u8 in the checkpoint, u16 in this program"]);
    // The same type, its recursion unrolled once.
    let unrolled = schema(
        Type::Named(0),
        vec![
            definition("A", Body::Struct(named(&[("value", Type::U8), ("next", option(Type::Named(1)))]))),
            definition("B", Body::Struct(named(&[("value", Type::U8), ("next", option(Type::Named(0)))]))),
        ],
    );
    differ(
        &list(Type::U8),
        &unrolled,
        &[
            "the state: type State in the checkpoint, type A in this program",
            "next: type State in the checkpoint, type B in this program",
        ],
    );
    let mut other = unrolled.clone();
    other.types[1].body = Body::Struct(named(&[("value", Type::I8), ("next", option(Type::Named(0)))]));
    other.types.iter_mut().for_each(|definition| "State".clone_into(&mut definition.name));
    differ(&other, &list(Type::U8), &["next.value: i8 in the checkpoint, u8 in this program"]);
}

#[test]
fn differences_that_are_not_listed_do_not_hide_the_rest() {
    let big = |number: Type, length: &str| {
        let mut members = vec![number; DIFFERENCES + 1];
        members.push(Type::Named(1));
        vec![
            definition("Big", Body::Struct(Fields::Tuple(members))),
            definition(length, Body::Struct(Fields::Newtype(Type::F64))),
        ]
    };
    let before = schema(option(Type::Named(0)), big(Type::U32, "Feet"));
    let after = schema(Type::Named(0), big(Type::U64, "Metres"));
    let compared = compare_schemas(&before, &after, None, Plan::default());
    assert!(compared.has_more, "{:?}", compared.differences);
}

#[test]
fn no_forged_schema_makes_the_comparison_loop_or_overflow() {
    let wrapper =
        schema(Type::Named(0), vec![definition("W", Body::Struct(Fields::Newtype(Type::Named(0))))]);
    assert_eq!(differences(&wrapper, &plain(Type::U8)).len(), 1);
    assert!(!differences(&wrapper, &list(Type::U8)).is_empty());
    let circle = schema(
        Type::Named(0),
        vec![
            definition("A", Body::Struct(Fields::Newtype(Type::Named(1)))),
            definition("B", Body::Struct(Fields::Newtype(Type::Named(0)))),
        ],
    );
    assert_eq!(differences(&circle, &circle).len(), 1);

    // Forms that were observed inside of observed forms: around themselves, and in a long chain.
    let observed = |count: usize, inner: &dyn Fn(usize) -> Type| {
        let definitions = (0..count).map(|number| {
            let body = Body::Struct(Fields::Newtype(inner(number)));
            Definition { foreign: true, observed: true, ..definition("O", body) }
        });
        schema(Type::Named(0), definitions.collect())
    };
    let long = |number: usize| if number == 99_999 { Type::U8 } else { Type::Named(number + 1) };
    for forged in [
        observed(1, &|_| Type::Named(0)),
        observed(2, &|number| Type::Named(1 - number)),
        observed(100_000, &long),
    ] {
        for program in [plain(Type::U64), plain(Type::Opaque("P".to_owned())), list(Type::U8)] {
            let found = differences(&forged, &program);
            assert_eq!(found.len(), 1, "{found:?}");
            assert!(!differences(&program, &forged).is_empty());
        }
        differences(&forged, &forged);
    }
    let short = observed(3, &|number| if number == 2 { Type::U8 } else { long(number) });
    assert_eq!(differences(&short, &plain(Type::U8)), []);

    // A list that is a different struct at each of its 100 000 elements.
    let chain = |width: usize| {
        let definitions = (0..100_000).map(|number: usize| {
            let next = option(Type::Named((number + 1) % 100_000));
            let names: Vec<String> = (0..width).map(|field| format!("f{field}")).collect();
            let fields: Vec<(&str, Type)> = names.iter().map(|name| (name.as_str(), next.clone())).collect();
            definition("State", Body::Struct(named(&fields)))
        });
        schema(Type::Named(0), definitions.collect())
    };
    let found = differences(&chain(1), &structure(&[("f0", option(Type::Named(0)))]));
    assert_eq!(found.len(), 1, "{found:?}");
    assert!(found[0].to_string().contains("too large to compare"), "{}", found[0]);
    let found =
        differences(&chain(2), &structure(&[("f0", option(Type::Named(0))), ("f1", option(Type::Named(0)))]));
    assert!(found.len() <= DIFFERENCES);

    // Every level holds the next one twice: 2^64 places, but 64 types.
    let doubling = schema(
        Type::Named(0),
        (0..64)
            .map(|level| {
                let next = if level == 63 { Type::U8 } else { Type::Named(level + 1) };
                definition("D", Body::Struct(Fields::Tuple(vec![next.clone(), next])))
            })
            .collect(),
    );
    same(&doubling, &doubling);
    same(
        &plain(array(array(Type::Unit, u64::MAX), u64::MAX)),
        &plain(array(array(Type::Unit, u64::MAX), u64::MAX)),
    );
}

#[test]
fn the_first_hundred_differences_are_enough() {
    let fields = |count: usize, first: char, ty: Type| {
        let names: Vec<String> = (0..count).map(|number| format!("{first}{number}")).collect();
        structure(&names.iter().map(|name| (name.as_str(), ty.clone())).collect::<Vec<_>>())
    };
    let compared = |checkpoint: &Schema, program: &Schema| {
        let compared = compare_schemas(checkpoint, program, None, Plan::default());
        (compared.differences.len(), compared.has_more, compared.is_same_form())
    };
    let bytes = |count| fields(count, 'f', Type::U8);
    assert_eq!(compared(&bytes(1000), &fields(1000, 'f', Type::I8)), (DIFFERENCES, true, false));
    assert_eq!(compared(&bytes(1000), &fields(1000, 'g', Type::U8)), (DIFFERENCES, true, false));
    assert_eq!(
        compared(&bytes(DIFFERENCES), &fields(DIFFERENCES, 'f', Type::I8)),
        (DIFFERENCES, false, false)
    );
}

#[test]
fn names_given_twice_do_not_hide_a_difference() {
    differ(
        &structure(&[("x", Type::U8), ("x", Type::U8)]),
        &structure(&[("x", Type::U8)]),
        &["the state: fields x, x in the checkpoint, fields x in this program"],
    );
}

#[test]
fn unsupported_places_are_found_with_their_paths() {
    let bad = |why: &str| Type::Unsupported(why.to_owned());
    let state = schema(
        Type::Named(0),
        vec![
            definition(
                "State",
                Body::Struct(named(&[
                    ("good", Type::U8),
                    ("values", map(Type::String, option(bad("first")))),
                    ("shape", Type::Named(1)),
                    ("again", Type::Named(0)),
                ])),
            ),
            definition(
                "Shape",
                Body::Enum(vec![
                    Variant { name: "A".to_owned(), fields: Fields::Tuple(vec![Type::U8, bad("second")]) },
                    Variant { name: "B".to_owned(), fields: named(&[("x", array(bad("third"), 3))]) },
                ]),
            ),
        ],
    );
    let found = unsupported(&state);
    let found: Vec<(&str, &str)> = found.iter().map(|(path, why)| (path.as_str(), why.as_str())).collect();
    assert_eq!(found, [("values[]", "first"), ("shape::A.1", "second"), ("shape::B.x[]", "third")]);
    assert_eq!(unsupported(&plain(bad("root"))), [("the state".to_owned(), "root".to_owned())]);
    assert_eq!(unsupported(&list(Type::U8)), []);
}
