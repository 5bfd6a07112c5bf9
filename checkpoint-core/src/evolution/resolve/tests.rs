#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]
#![allow(clippy::needless_pass_by_value, reason = "values are written down where they are tested")]

use std::collections::BTreeMap;

use serde::de::IgnoredAny;
use serde::{Deserialize, Serialize};

use super::{Plan, decode_by_schema};
use crate::arrays::none::{NoArrays, encode};
use crate::codec::{Failure, Room};
use crate::schema::{Body, Definition, Fields, Schema, Type, hidden};
use crate::state::Plain;

#[derive(Serialize, Deserialize)]
struct Old {
    step: u32,
    gone: Vec<BTreeMap<String, Option<u8>>>,
    energy: f32,
    phase: OldPhase,
}

#[derive(Serialize, Deserialize)]
enum OldPhase {
    Warm,
    Run { temperature: f64, label: char },
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct New {
    phase: NewPhase,
    energy: f64,
    #[serde(alias = "step")]
    steps: u64,
    #[serde(default)]
    added: String,
}

#[derive(Debug, PartialEq, Serialize, Deserialize)]
enum NewPhase {
    Cool,
    Run { label: String, temperature: f64 },
    Warm,
}

fn old(phase: OldPhase) -> Old {
    let map = [("a".to_owned(), Some(1)), ("b".to_owned(), None)].into();
    Old { step: 7, gone: vec![map], energy: 0.5, phase }
}

fn written<T: Serialize + serde::de::DeserializeOwned + 'static>(value: T) -> (Vec<u8>, Schema) {
    let mut bytes = Vec::new();
    encode(&value, &mut bytes).unwrap();
    (bytes, Schema::of::<Plain<T>>())
}

fn read<T: serde::de::DeserializeOwned>((bytes, schema): &(Vec<u8>, Schema)) -> Result<T, String> {
    read_bytes(bytes, schema)
}

fn read_bytes<T: serde::de::DeserializeOwned>(bytes: &[u8], schema: &Schema) -> Result<T, String> {
    let (plan, arrays) = (Plan::default(), &mut NoArrays::default());
    decode_by_schema(bytes, (schema, None), (&plan, Room::of(schema)), arrays)
        .map(|value| *value)
        .map_err(Failure::into_sentence)
}

#[test]
fn fields_and_variants_are_found_by_their_names() {
    let run = OldPhase::Run { temperature: 2.5, label: 'x' };
    let new: New = read(&written(old(run))).unwrap();
    let phase = NewPhase::Run { label: "x".to_owned(), temperature: 2.5 };
    assert_eq!(new, New { phase, energy: 0.5, steps: 7, added: String::new() });
    assert_eq!(read::<New>(&written(old(OldPhase::Warm))).unwrap().phase, NewPhase::Warm);
}

#[test]
fn a_value_reads_as_json_would_show_it() {
    let value = old(OldPhase::Warm).gone;
    let json = serde_json::to_string(&value).unwrap();
    assert_eq!(read::<serde_json::Value>(&written(value)).unwrap().to_string(), json);
}

#[test]
fn a_struct_called_like_a_shape_stays_a_struct() {
    #[derive(Serialize, Deserialize)]
    #[serde(rename = "[[_; 2]; 3]")]
    struct Named {
        #[serde(rename = "[[_; 2]; 3]")]
        values: Vec<u8>,
    }
    let json = r#"{"[[_; 2]; 3]":[1,2,3]}"#;
    assert_eq!(
        read::<serde_json::Value>(&written(Named { values: vec![1, 2, 3] })).unwrap().to_string(),
        json
    );
}

#[test]
fn numbers_keep_their_value_or_are_refused_with_it() {
    assert_eq!(read::<u8>(&written(200_u64)), Ok(200));
    assert!(read::<u8>(&written(300_u64)).unwrap_err().contains("300"));
    assert_eq!(read::<u64>(&written(5_u128)), Ok(5));
    assert_eq!(read::<f32>(&written(0.25_f64)), Ok(0.25));
    assert!(read::<f32>(&written(0.1_f64)).unwrap_err().contains("0.1"));
    assert!(read::<f64>(&written(u64::MAX)).is_err());
    assert!(read::<f64>(&written(u128::MAX)).is_err());
    assert!(read::<f64>(&written(i128::MAX)).is_err());
    assert!(read::<f32>(&written(f64::NAN)).unwrap().is_nan());
}

/// Asks for an `i16`, and takes any number, cut to it.
#[derive(Debug, PartialEq)]
struct Cut(i16);

impl<'de> Deserialize<'de> for Cut {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Cut, D::Error> {
        struct Cutting;
        #[allow(clippy::cast_possible_truncation, reason = "that is what is tested")]
        impl serde::de::Visitor<'_> for Cutting {
            type Value = Cut;
            fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                formatter.write_str("a number")
            }
            fn visit_i16<E>(self, number: i16) -> Result<Cut, E> {
                Ok(Cut(number))
            }
            fn visit_i64<E>(self, number: i64) -> Result<Cut, E> {
                Ok(Cut(number as i16))
            }
            fn visit_u64<E>(self, number: u64) -> Result<Cut, E> {
                Ok(Cut(number as i16))
            }
            fn visit_i128<E>(self, number: i128) -> Result<Cut, E> {
                Ok(Cut(number as i16))
            }
            fn visit_u128<E>(self, number: u128) -> Result<Cut, E> {
                Ok(Cut(number as i16))
            }
            fn visit_f64<E>(self, number: f64) -> Result<Cut, E> {
                Ok(Cut((number * 10.0) as i16))
            }
        }
        deserializer.deserialize_i16(Cutting)
    }
}

#[test]
fn an_integer_is_never_cut_to_the_type_that_asks() {
    let cut = |written: (Vec<u8>, Schema)| read::<Cut>(&written);
    for number in [i16::MIN, -1, 0, i16::MAX] {
        assert_eq!(cut(written(i64::from(number))), Ok(Cut(number)));
        assert_eq!(cut(written(i128::from(number))), Ok(Cut(number)));
    }
    assert_eq!(cut(written(7_u128)), Ok(Cut(7)));
    let refused = |written, number: &str| {
        let expected = format!("invalid value: integer `{number}`, expected i16");
        assert_eq!(cut(written), Err(expected));
    };
    refused(written(1_u16 << 15), "32768");
    refused(written(-70_000_i32), "-70000");
    refused(written(u64::MAX), "18446744073709551615");
    refused(written(u128::MAX), "340282366920938463463374607431768211455");
    refused(written(i128::MIN), "-170141183460469231731687303715884105728");
    // A float comes as what it is, and the type decides.
    assert_eq!(cut(written(2.5_f64)), Ok(Cut(25)));
}

#[test]
fn an_error_names_the_path() {
    #[derive(Debug, Deserialize)]
    #[allow(dead_code, reason = "it is never made")]
    struct Wrong {
        gone: Vec<BTreeMap<String, String>>,
    }
    let error = read::<Wrong>(&written(old(OldPhase::Warm))).unwrap_err();
    assert!(error.starts_with("gone[0][]: "), "{error}");
}

#[test]
fn a_forged_schema_is_an_error_and_never_a_hang() {
    let define = |fields| Definition {
        name: "Forged".to_owned(),
        version: 1,
        foreign: false,
        observed: false,
        body: Body::Struct(fields),
    };
    let twice = |place| Fields::Tuple(vec![Type::Named(place), Type::Named(place)]);
    let mut doubling: Vec<_> = (1..64).map(|place| define(twice(place))).collect();
    doubling.push(define(Fields::Unit));
    let forged = [
        vec![],
        vec![define(Fields::Newtype(Type::Named(0)))],
        vec![define(twice(0))],
        vec![define(Fields::Tuple(vec![Type::Array(Box::new(Type::Unit), u64::MAX)]))],
        doubling,
    ];
    for types in forged {
        let schema = Schema { root: Type::Named(0), types };
        let read = read_bytes::<IgnoredAny>(&[], &schema);
        assert!(read.is_err(), "{schema:?}");
    }
}

#[test]
fn every_prefix_of_the_bytes_is_refused() {
    let (bytes, schema) = written(old(OldPhase::Run { temperature: 2.5, label: 'é' }));
    for length in 0..bytes.len() {
        assert!(read_bytes::<New>(&bytes[..length], &schema).is_err());
    }
}

/// Loads values in a program without the field `old`.
#[cfg(any(feature = "half", feature = "num-complex"))]
fn beside_a_change<T>(values: Vec<T>) -> Vec<T>
where
    T: Serialize + serde::de::DeserializeOwned + 'static,
{
    #[derive(Serialize, Deserialize)]
    #[serde(rename = "State")]
    struct Before<T> {
        old: u8,
        values: Vec<T>,
    }
    #[derive(Serialize, Deserialize)]
    #[serde(rename = "State")]
    struct After<T> {
        values: Vec<T>,
    }
    let directory = tempfile::tempdir().unwrap();
    let mut checkpoints = crate::Checkpointer::<Plain<Before<T>>>::open(directory.path()).unwrap();
    checkpoints.save(&Plain(Before { old: 1, values })).unwrap();
    let mut reader = crate::CheckpointReader::<Plain<After<T>>>::open(directory.path()).unwrap();
    reader.load().unwrap().unwrap().0.values
}

#[cfg(feature = "half")]
#[test]
fn arrays_of_16_bit_floats_are_told_from_integers() {
    let values = [0.5, -2.0].map(half::f16::from_f32).to_vec();
    assert_eq!(beside_a_change(values.clone()), values);
    let values = [0.5, -2.0].map(half::bf16::from_f32).to_vec();
    assert_eq!(beside_a_change(values.clone()), values);
}

/// Saves an `A`, and loads it in a program with a `B` as its state.
#[cfg(any(feature = "half", feature = "num-complex"))]
fn saved_as<A, B>(value: A) -> Result<B, crate::Error>
where
    A: Serialize + serde::de::DeserializeOwned + 'static,
    B: Serialize + serde::de::DeserializeOwned + 'static,
{
    let directory = tempfile::tempdir().unwrap();
    crate::Checkpointer::<Plain<A>>::open(directory.path()).unwrap().save(&Plain(value)).unwrap();
    let mut reader = crate::CheckpointReader::<Plain<B>>::open(directory.path()).unwrap();
    reader.load().map(|state| state.unwrap().0)
}

#[cfg(feature = "half")]
#[test]
fn floats_of_16_bits_are_numbers_and_never_their_bits() {
    use std::collections::VecDeque;

    use half::{bf16, f16};

    let (half, brain) = (f16::from_f32(1.5), bf16::from_f32(1.5));
    let refused = |outcome: Result<(), crate::Error>, why: &str| {
        let error = outcome.unwrap_err();
        assert!(matches!(error, crate::Error::SchemaMismatch { .. }), "{error:?}");
        assert!(error.to_string().contains(why), "{error}");
    };
    assert_eq!(saved_as::<_, (f32, f64)>((half, brain)).unwrap(), (1.5, 1.5));
    assert_eq!(saved_as::<_, (f16, bf16)>((1.5_f32, 3_u8)).unwrap(), (half, bf16::from_f32(3.0)));
    assert_eq!(saved_as::<_, (bf16, f16)>((half, brain)).unwrap(), (brain, half));
    refused(saved_as::<_, (f16,)>((0.1_f32,)).map(drop), "0.1 cannot be an f16");
    refused(saved_as::<_, (u16,)>((half,)).map(drop), "u16");
    assert_eq!(saved_as::<_, Vec<f32>>(vec![half, -half]).unwrap(), [1.5, -1.5]);
    assert_eq!(saved_as::<_, Vec<f16>>(vec![1.5_f64, -1.5]).unwrap(), [half, -half]);
    assert_eq!(saved_as::<_, Vec<bf16>>(vec![half]).unwrap(), [brain]);
    refused(saved_as::<_, Vec<u16>>(vec![half]).map(drop), "u16");
    refused(saved_as::<_, VecDeque<u16>>(vec![half]).map(drop), "u16");
    refused(saved_as::<_, Vec<u16>>(VecDeque::from([half])).map(drop), "u16");
    assert_eq!(saved_as::<_, Vec<f16>>(VecDeque::from([half])).unwrap(), [half]);
    assert_eq!(saved_as::<_, VecDeque<f16>>(vec![half]).unwrap(), [half]);
    let nan = f16::from_bits(0x7e55);
    assert_eq!(saved_as::<_, VecDeque<f16>>(vec![nan]).unwrap()[0].to_bits(), 0x7e55);
}

#[cfg(feature = "num-complex")]
#[test]
fn complex_numbers_and_pairs_of_floats_are_one_and_the_same() {
    use num_complex::Complex;

    let (complex, pairs) =
        (vec![Complex::new(0.5_f64, -1.0), Complex::new(2.0, 3.0)], vec![[0.5, -1.0], [2.0, 3.0]]);
    assert_eq!(saved_as::<_, Vec<[f64; 2]>>(complex.clone()).unwrap(), pairs);
    assert_eq!(saved_as::<_, Vec<Complex<f64>>>(pairs).unwrap(), complex);
    let (complex, pairs) = (vec![[Complex::new(0.5_f32, -1.0)]], vec![[[0.5_f32, -1.0]]]);
    assert_eq!(saved_as::<_, Vec<[[f32; 2]; 1]>>(complex.clone()).unwrap(), pairs);
    assert_eq!(saved_as::<_, Vec<[Complex<f32>; 1]>>(pairs).unwrap(), complex);
    let one = std::collections::VecDeque::from([[0.5_f32]]);
    assert_eq!(saved_as::<_, std::collections::VecDeque<[f32; 1]>>(vec![[0.5_f32]]).unwrap(), one);
}

#[cfg(feature = "num-complex")]
#[test]
fn arrays_of_complex_numbers_are_pairs() {
    let values = vec![num_complex::Complex::new(0.5_f64, -1.0), num_complex::Complex::new(2.0, 3.0)];
    assert_eq!(beside_a_change(values.clone()), values);
}

#[test]
fn a_field_whose_name_is_not_known_is_no_text() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Wave {
        speed: f64,
    }
    let (bytes, schema) = written(Wave { speed: 0.5 });
    let named = |name: String| {
        let mut schema = schema.clone();
        let Body::Struct(Fields::Named(fields)) = &mut schema.types[0].body else { panic!("a struct") };
        fields[0].name = name;
        (bytes.clone(), schema)
    };
    let hidden = named(hidden::name(0, &["celerity", "speed"]));
    let why = read::<BTreeMap<String, f64>>(&hidden).unwrap_err();
    assert!(why.contains("one of celerity, speed"), "{why}");
    assert!(read::<Wave>(&hidden).unwrap_err().contains("not one field is in both"));
    assert_eq!(read::<IgnoredAny>(&hidden), Ok(IgnoredAny));
    let only = named(hidden::name(0, &["speed"]));
    assert_eq!(read::<BTreeMap<String, f64>>(&only), Ok(BTreeMap::from([("speed".to_owned(), 0.5)])));
}

#[test]
fn fields_that_take_no_space_are_read_by_name() {
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Cell {
        kind: u8,
        marks: [(); 8],
    }
    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Larger {
        kind: u8,
        marks: [(); 8],
        #[serde(default)]
        added: u8,
    }
    let cells: Vec<Cell> =
        (0..=u8::MAX).cycle().take(200_000).map(|kind| Cell { kind, marks: [(); 8] }).collect();
    let larger = read::<Vec<Larger>>(&written(cells)).unwrap();
    assert!(larger.len() == 200_000 && larger.last().is_some_and(|cell| cell.kind == 63 && cell.added == 0));
}
