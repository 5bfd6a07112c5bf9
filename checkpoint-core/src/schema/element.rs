//! Types of the elements of arrays: the one list of numbers, with their names and their sizes.

use std::fmt;

use serde::{Serialize, Serializer};

use super::Type;

/// The types without parts, for tests that need each of them.
pub const SCALARS: [Type; 17] = [
    Type::Unit,
    Type::Bool,
    Type::U8,
    Type::U16,
    Type::U32,
    Type::U64,
    Type::U128,
    Type::I8,
    Type::I16,
    Type::I32,
    Type::I64,
    Type::I128,
    Type::F32,
    Type::F64,
    Type::Char,
    Type::String,
    Type::Bytes,
];

/// Makes [`Element`] from a list: the type, its name in Rust, its name in numpy, its size in bytes.
macro_rules! elements {
    ($($(#[doc = $doc:literal])+ $element:ident: $name:literal, $descr:literal, $size:literal;)+) => {
        /// The type of the elements of an array.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        #[non_exhaustive]
        pub enum Element {
            $($(#[doc = $doc])+ $element,)+
        }

        impl Element {
            /// Returns its name in Rust, or in the crate that has the type.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self {
                    $(Element::$element => $name,)+
                }
            }

            /// Returns the bytes of one element.
            #[must_use]
            pub const fn size(self) -> usize {
                match self {
                    $(Element::$element => $size,)+
                }
            }

            /// The name in numpy: byte order, kind, bytes.
            pub(crate) const fn descr(self) -> &'static str {
                match self {
                    $(Element::$element => $descr,)+
                }
            }

            /// The type of this name in numpy. Integers of 128 bits are unsigned: numpy only knows
            /// their length.
            #[allow(unreachable_patterns, reason = "two types have the same name in numpy")]
            pub(crate) fn of_descr(descr: &str) -> Option<Element> {
                match descr {
                    $($descr => Some(Element::$element),)+
                    _ => None,
                }
            }
        }
    };
}

elements! {
    /// `bool`.
    Bool: "bool", "|b1", 1;
    /// `u8`.
    U8: "u8", "|u1", 1;
    /// `u16`.
    U16: "u16", "<u2", 2;
    /// `u32`.
    U32: "u32", "<u4", 4;
    /// `u64`, and `usize`.
    U64: "u64", "<u8", 8;
    /// `u128`; also `i128` if nothing tells the two apart, because their arrays have the same
    /// header.
    U128: "u128", "|V16", 16;
    /// `i8`.
    I8: "i8", "|i1", 1;
    /// `i16`.
    I16: "i16", "<i2", 2;
    /// `i32`.
    I32: "i32", "<i4", 4;
    /// `i64`, and `isize`.
    I64: "i64", "<i8", 8;
    /// `i128`.
    I128: "i128", "|V16", 16;
    /// `half::f16`.
    F16: "f16", "<f2", 2;
    /// `half::bf16`.
    Bf16: "bf16", "|V2", 2;
    /// `f32`.
    F32: "f32", "<f4", 4;
    /// `f64`.
    F64: "f64", "<f8", 8;
    /// `Complex<f32>`.
    Complex32: "complex32", "<c8", 8;
    /// `Complex<f64>`.
    Complex64: "complex64", "<c16", 16;
}

impl Element {
    /// The number that this type is to serde; `None` if it is no number.
    pub(crate) fn of(ty: &Type) -> Option<Element> {
        Some(match ty {
            Type::Bool => Element::Bool,
            Type::U8 => Element::U8,
            Type::U16 => Element::U16,
            Type::U32 => Element::U32,
            Type::U64 => Element::U64,
            Type::U128 => Element::U128,
            Type::I8 => Element::I8,
            Type::I16 => Element::I16,
            Type::I32 => Element::I32,
            Type::I64 => Element::I64,
            Type::I128 => Element::I128,
            Type::F32 => Element::F32,
            Type::F64 => Element::F64,
            _ => return None,
        })
    }

    /// The type of a header's elements, of which the schema says this. It tells `i128` from `u128`.
    pub(crate) fn in_schema(self, ty: Option<&Type>) -> Element {
        match (self, ty) {
            (Element::U128, Some(Type::I128)) => Element::I128,
            (element, _) => element,
        }
    }

    /// The type of the two floats in a complex number.
    pub(crate) const fn float(self) -> Option<Element> {
        match self {
            Element::Complex32 => Some(Element::F32),
            Element::Complex64 => Some(Element::F64),
            _ => None,
        }
    }

    /// True if a sequence of this type may be kept in such an array, and for types that are no
    /// numbers.
    pub(crate) fn fits(self, ty: &Type) -> bool {
        let to_serde = match self {
            // serde sees the bits of a 16-bit float as an integer, and a complex number as a pair.
            Element::F16 | Element::Bf16 => Element::U16,
            other => other.float().unwrap_or(other),
        };
        Element::of(ty).is_none_or(|number| number == to_serde)
    }
}

impl fmt::Display for Element {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl Serialize for Element {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.name())
    }
}
