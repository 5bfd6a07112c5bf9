//! Checks that each type of rows is viewed, requested and made correctly.

use std::fmt::Debug;

use bytemuck::NoUninit;
use serde::de::value::Error;
use serde::de::{DeserializeOwned, Error as _, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

use crate::arrays::{Array, ArrayPool, ArraySource, Cause, Kind, Reference, vec_kind, view, visitor_reads};
use crate::schema::Element;

/// A source of arrays that repeat these bytes.
struct Filled<'a>(&'a [u8], ArrayPool);

fn filled(bytes: &[u8]) -> Filled<'_> {
    Filled(bytes, ArrayPool::default())
}

#[allow(clippy::needless_pass_by_value, reason = "it maps errors")]
fn said(cause: Cause) -> String {
    cause.to_string()
}

const THREE: Reference = Reference { number: 0, rows: 3 };

impl ArraySource for Filled<'_> {
    fn pool(&mut self) -> &mut ArrayPool {
        &mut self.1
    }

    fn check(&mut self, _: Reference, _: Kind) -> Result<(), Cause> {
        Ok(())
    }

    fn fill(&mut self, _: Reference, buffer: &mut [u8]) -> Result<(), Cause> {
        buffer.iter_mut().zip(self.0.iter().cycle()).for_each(|(byte, given)| *byte = *given);
        Ok(())
    }

    fn bytes(&mut self, _: Reference) -> Result<(Kind, Vec<u8>), Cause> {
        Err("not asked for".into())
    }

    fn skip(&mut self, _: Reference) -> Result<(), Cause> {
        Err("not asked for".into())
    }
}

/// A deserializer that notes the kind of array that a visitor reads.
struct Sees<'a>(&'a mut Option<Kind>);

impl<'de> Deserializer<'de> for Sees<'_> {
    type Error = Error;

    fn deserialize_seq<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        *self.0 = visitor_reads::<V>();
        Err(Error::custom("seen"))
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("no sequence"))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct tuple tuple_struct map struct enum identifier ignored_any
    }
}

/// Bytes of a prime number: repeated, they start at another byte in each row.
fn counting() -> Vec<u8> {
    (0..251).collect()
}

fn is_array_of<R>(expected: Kind, seen: [Option<Array<'_>>; 2], kinds: [Option<Kind>; 2], bytes: &[u8]) {
    let name = std::any::type_name::<R>();
    for array in seen {
        let array = array.unwrap_or_else(|| panic!("a sequence of {name} is not seen"));
        assert_eq!((array.kind, array.bytes), (expected, bytes), "{name}");
    }
    assert_eq!(kinds, [Some(expected); 2], "{name}");
    assert_eq!(expected.row(), size_of::<R>() as u64, "{name}");
    assert_eq!(bytes.len(), 3 * size_of::<R>(), "{name}");
    assert!(bytes.iter().eq(counting().iter().cycle().take(bytes.len())), "{name}");
}

/// Checks that a row of type `R` is recognised in every place that allows it.
fn is_recognised<R: NoUninit + DeserializeOwned + Debug>(element: Element, inner: &'static [u64]) {
    let expected = Kind { element, inner };
    let rows: Vec<R> = expected.read(&mut filled(&counting()), THREE).unwrap();
    let mut asked = None;
    let _ = Vec::<R>::deserialize(Sees(&mut asked));
    let bytes: &[u8] = bytemuck::cast_slice(&rows);
    is_array_of::<R>(expected, [view(&&rows), view(&&rows[..])], [asked, vec_kind::<Vec<R>>()], bytes);
}

/// Checks each length of a fixed array, and each small matrix.
macro_rules! numbers {
    ($($type:ty: $element:ident $descr:literal;)+) => {$(
        numbers!($type: $element $descr, 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32);
    )+};
    ($type:ty: $element:ident $descr:literal, $($length:literal)+) => {
        let element = Element::$element;
        assert_eq!((element.descr(), element.size()), ($descr, size_of::<$type>()));
        is_recognised::<$type>(element, &[]);
        $(is_recognised::<[$type; $length]>(element, &[$length]);)+
        numbers!(@ $type, element, 2 3 4);
    };
    (@ $type:ty, $element:ident, $($length:literal)+) => {$(
        is_recognised::<[[$type; $length]; 2]>($element, &[2, $length]);
        is_recognised::<[[$type; $length]; 3]>($element, &[3, $length]);
        is_recognised::<[[$type; $length]; 4]>($element, &[4, $length]);
    )+};
}

#[test]
fn every_type_of_numbers_and_short_rows_is_an_array() {
    numbers! {
        u8: U8 "|u1"; u16: U16 "<u2"; u32: U32 "<u4"; u64: U64 "<u8"; u128: U128 "|V16";
        i8: I8 "|i1"; i16: I16 "<i2"; i32: I32 "<i4"; i64: I64 "<i8"; i128: I128 "|V16";
        f32: F32 "<f4"; f64: F64 "<f8";
    }
    #[cfg(target_pointer_width = "64")]
    numbers! { usize: U64 "<u8"; isize: I64 "<i8"; }
    #[cfg(feature = "num-complex")]
    numbers! { num_complex::Complex<f32>: Complex32 "<c8"; num_complex::Complex<f64>: Complex64 "<c16"; }
    #[cfg(feature = "half")]
    numbers! { half::f16: F16 "<f2"; half::bf16: Bf16 "|V2"; }
}

#[test]
fn other_rows_are_no_arrays() {
    assert!(view(&&vec![[0_u8; 33]]).is_none());
    assert!(view(&&vec![[[0_f64; 5]; 2]]).is_none());
    assert!(view(&&vec![[true; 2]]).is_none());
    assert!(view(&&vec!['a']).is_none());
    assert!(vec_kind::<Vec<(f64, f64)>>().is_none());
    assert!(vec_kind::<&Vec<f64>>().is_none(), "borrowed");
}

#[test]
fn bytes_become_bools_only_where_each_is_one() {
    let kind = vec_kind::<Vec<bool>>().unwrap();
    let read = |bytes: [u8; 3]| kind.read::<Vec<bool>>(&mut filled(&bytes), THREE).map_err(said);
    assert_eq!(read([0, 1, 1]), Ok(vec![false, true, true]));
    assert_eq!(read([0, 1, 2]), Err("array 0 has a byte that is neither 0 nor 1".to_owned()));
    assert_eq!(
        kind.read::<Vec<u8>>(&mut filled(&[1]), THREE).map_err(said),
        Err("array 0 is of another type".to_owned())
    );
}

#[test]
fn an_array_without_rows_is_an_empty_vec() {
    let kind = vec_kind::<Vec<[u128; 3]>>().unwrap();
    let nothing = Reference { number: 0, rows: 0 };
    let mut rows: Vec<[u128; 3]> = kind.read(&mut filled(&counting()), nothing).unwrap();
    assert!(rows.is_empty());
    rows.push([1; 3]);
    assert_eq!(rows, [[1; 3]]);
}

#[test]
fn more_rows_than_there_is_memory_for_are_refused() {
    let kind = vec_kind::<Vec<f64>>().unwrap();
    for rows in [u64::MAX, u64::MAX / 8, 1 << 60] {
        let too_many = Reference { number: 0, rows };
        let read = kind.read::<Vec<f64>>(&mut filled(&counting()), too_many).map_err(said);
        assert_eq!(read, Err(format!("there is no memory for an array of {rows} rows")));
    }
}
