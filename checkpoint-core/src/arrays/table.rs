//! Lists the types that are arrays: `Vec` and slices of numbers, and of fixed arrays of numbers.

use std::any::TypeId;
use std::fmt;

use serde::de::{DeserializeOwned, Visitor};
use serde::{Deserialize, Deserializer, forward_to_deserialize_any};

use super::Kind;
use super::erased::RowType;
use crate::schema::Element;

/// All types of rows.
pub(super) fn rows() -> impl Iterator<Item = &'static RowType> + Clone {
    NUMBERS.iter().chain(of_nalgebra::NUMBERS).copied().flatten()
}

/// Makes types of rows that hold numbers of one type: each is a type, then its dimensions.
macro_rules! rows {
    ($element:ident; $($row:ty: [$($length:expr),*];)+) => {
        &[$(RowType::of::<$row>(
            Kind { element: Element::$element, inner: &[$($length),*] },
            visitor_of::<$row>,
        )),+]
    };
}

/// Makes a type of numbers, its fixed arrays up to serde's longest, and small fixed matrices of it.
macro_rules! numbers {
    ($type:ty: $element:ident) => {
        numbers!($type: $element, 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31 32)
    };
    ($type:ty: $element:ident, $($length:literal)+) => {
        rows!($element;
            $type: [];
            $([$type; $length]: [$length];)+
            [[$type; 2]; 2]: [2, 2]; [[$type; 3]; 2]: [2, 3]; [[$type; 4]; 2]: [2, 4];
            [[$type; 2]; 3]: [3, 2]; [[$type; 3]; 3]: [3, 3]; [[$type; 4]; 3]: [3, 4];
            [[$type; 2]; 4]: [4, 2]; [[$type; 3]; 4]: [4, 3]; [[$type; 4]; 4]: [4, 4];
        )
    };
}

static NUMBERS: &[&[RowType]] = &[
    numbers!(u8: U8),
    numbers!(u16: U16),
    numbers!(u32: U32),
    numbers!(u64: U64),
    numbers!(u128: U128),
    numbers!(i8: I8),
    numbers!(i16: I16),
    numbers!(i32: I32),
    numbers!(i64: I64),
    numbers!(i128: I128),
    numbers!(f32: F32),
    numbers!(f64: F64),
    // On these platforms they have the width of the file; elsewhere they are encoded one by one.
    #[cfg(target_pointer_width = "64")]
    numbers!(usize: U64),
    #[cfg(target_pointer_width = "64")]
    numbers!(isize: I64),
    &[RowType::of_bool(visitor_of::<bool>)],
    #[cfg(feature = "num-complex")]
    numbers!(num_complex::Complex<f32>: Complex32),
    #[cfg(feature = "num-complex")]
    numbers!(num_complex::Complex<f64>: Complex64),
    // numpy has no bfloat16, so its two bytes are stored as raw bytes.
    #[cfg(feature = "half")]
    numbers!(half::f16: F16),
    #[cfg(feature = "half")]
    numbers!(half::bf16: Bf16),
];

#[cfg(not(feature = "nalgebra"))]
mod of_nalgebra {
    pub(super) static NUMBERS: &[&[super::RowType]] = &[];
}

/// Fixed vectors, points and matrices: serde writes them as fixed arrays of their elements.
#[cfg(feature = "nalgebra")]
mod of_nalgebra {
    use nalgebra::{Point, Quaternion, SMatrix};

    use super::*;

    macro_rules! vectors {
        ($type:ty: $element:ident) => {
            vectors!($type: $element, 1 2 3 4 5 6)
        };
        ($type:ty: $element:ident, $($length:literal)+) => {
            rows!($element; $(
                SMatrix<$type, $length, 1>: [$length];
                Point<$type, $length>: [$length];
            )+)
        };
    }
    macro_rules! matrices {
        ($type:ty: $element:ident) => {
            matrices!($type: $element,
                1*2 1*3 1*4 1*5 1*6 2*2 2*3 2*4 2*5 2*6 3*2 3*3 3*4 3*5 3*6
                4*2 4*3 4*4 4*5 4*6 5*2 5*3 5*4 5*5 5*6 6*2 6*3 6*4 6*5 6*6
            )
        };
        ($type:ty: $element:ident, $($rows:literal * $columns:literal)+) => {
            rows!($element;
                Quaternion<$type>: [4];
                $(SMatrix<$type, $rows, $columns>: [$rows * $columns];)+
            )
        };
    }

    pub(super) static NUMBERS: &[&[RowType]] = &[
        vectors!(u8: U8),
        vectors!(u16: U16),
        vectors!(u32: U32),
        vectors!(u64: U64),
        vectors!(i8: I8),
        vectors!(i16: I16),
        vectors!(i32: I32),
        vectors!(i64: I64),
        #[cfg(target_pointer_width = "64")]
        vectors!(usize: U64),
        #[cfg(target_pointer_width = "64")]
        vectors!(isize: I64),
        vectors!(f32: F32),
        matrices!(f32: F32),
        vectors!(f64: F64),
        matrices!(f64: F64),
        #[cfg(feature = "num-complex")]
        vectors!(num_complex::Complex<f32>: Complex32),
        #[cfg(feature = "num-complex")]
        matrices!(num_complex::Complex<f32>: Complex32),
        #[cfg(feature = "num-complex")]
        vectors!(num_complex::Complex<f64>: Complex64),
        #[cfg(feature = "num-complex")]
        matrices!(num_complex::Complex<f64>: Complex64),
        #[cfg(feature = "half")]
        vectors!(half::f16: F16),
        #[cfg(feature = "half")]
        vectors!(half::bf16: Bf16),
    ];
}

/// The type of the visitor that a `Vec<R>` requests its elements with.
fn visitor_of<R: DeserializeOwned>() -> TypeId {
    let mut found = TypeId::of::<()>();
    // The error has nothing to drop, and code to drop it would be compiled for each type.
    std::mem::forget(<Vec<R> as Deserialize>::deserialize(Ask(&mut found)));
    found
}

/// A deserializer without data that notes the type of the visitor for a sequence.
struct Ask<'a>(&'a mut TypeId);

/// The error of [`Ask`], which only wants to be asked.
#[derive(Debug)]
struct Asked;

impl fmt::Display for Asked {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("only asked")
    }
}

impl std::error::Error for Asked {}

impl serde::de::Error for Asked {
    fn custom<T: fmt::Display>(_: T) -> Asked {
        Asked
    }
}

impl<'de> Deserializer<'de> for Ask<'_> {
    type Error = Asked;

    fn deserialize_seq<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Asked> {
        *self.0 = typeid::of::<V>();
        Err(Asked)
    }

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Asked> {
        Err(Asked)
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf option unit unit_struct
        newtype_struct tuple tuple_struct map struct enum identifier ignored_any
    }
}
