//! Elements of arrays as numbers.

use std::fmt;

use serde::ser::SerializeTuple as _;
use serde::{Serialize, Serializer};

use crate::schema::{Element, Float16};

impl Element {
    /// Returns the element at the start of these bytes, little-endian. Missing bytes are zeros.
    #[must_use]
    pub fn read(self, bytes: &[u8]) -> Number {
        match self {
            Element::Bool => Number::Bool(u8::at(bytes) != 0),
            Element::U8 => u8::at(bytes).number(),
            Element::U16 => u16::at(bytes).number(),
            Element::U32 => u32::at(bytes).number(),
            Element::U64 => u64::at(bytes).number(),
            Element::U128 => u128::at(bytes).number(),
            Element::I8 => i8::at(bytes).number(),
            Element::I16 => i16::at(bytes).number(),
            Element::I32 => i32::at(bytes).number(),
            Element::I64 => i64::at(bytes).number(),
            Element::I128 => i128::at(bytes).number(),
            Element::F16 => F16::at(bytes).number(),
            Element::Bf16 => Bf16::at(bytes).number(),
            Element::F32 => f32::at(bytes).number(),
            Element::F64 => f64::at(bytes).number(),
            Element::Complex32 => Complex32::at(bytes).number(),
            Element::Complex64 => Complex64::at(bytes).number(),
        }
    }
}

/// A number of a state, as it is: nothing is rounded.
///
/// In JSON it is a number, with two exceptions that are strings: integers of more than 53 bits,
/// which most readers of JSON would round, and NaN and the infinities, which JSON lacks. These are
/// `"18446744073709551615"`, `"NaN"`, `"inf"`, `"-inf"`. A complex number is a list of its real and
/// its imaginary part.
#[derive(Clone, Copy, Debug, PartialEq)]
#[non_exhaustive]
pub enum Number {
    /// `true` or `false`.
    Bool(bool),
    /// An integer without a sign, of any width.
    Unsigned(u128),
    /// An integer with a sign, of any width.
    Signed(i128),
    /// An `f32`, or a 16-bit float.
    Single(f32),
    /// An `f64`.
    Double(f64),
    /// A complex number of two `f32` or `f64`.
    Complex(f64, f64),
}

impl Number {
    /// The nearest `f64`; for a complex number its absolute value.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "the nearest is meant")]
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Bool(value) => f64::from(u8::from(value)),
            Number::Unsigned(value) => value as f64,
            Number::Signed(value) => value as f64,
            Number::Single(value) => value.into(),
            Number::Double(value) => value,
            Number::Complex(real, imaginary) if real.is_nan() || imaginary.is_nan() => f64::NAN,
            Number::Complex(real, imaginary) => real.hypot(imaginary),
        }
    }

    /// True if it is NaN, in either part.
    #[must_use]
    pub fn is_nan(self) -> bool {
        match self {
            Number::Single(value) => value.is_nan(),
            Number::Double(value) => value.is_nan(),
            Number::Complex(real, imaginary) => real.is_nan() || imaginary.is_nan(),
            _ => false,
        }
    }

    /// True if it is the same value, also as another type. NaN is the same as NaN.
    #[must_use]
    pub fn is_same(self, other: Number) -> bool {
        let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
        match (self, other) {
            (Number::Complex(a, b), Number::Complex(c, d)) => same(a, c) && same(b, d),
            (Number::Complex(a, b), real) | (real, Number::Complex(a, b)) => {
                b == 0.0 && Number::Double(a).is_same(real)
            }
            (Number::Unsigned(a), Number::Signed(b)) | (Number::Signed(b), Number::Unsigned(a)) => {
                i128::try_from(a) == Ok(b)
            }
            (Number::Unsigned(a), Number::Unsigned(b)) => a == b,
            (Number::Signed(a), Number::Signed(b)) => a == b,
            (integer @ (Number::Unsigned(_) | Number::Signed(_)), float)
            | (float, integer @ (Number::Unsigned(_) | Number::Signed(_))) => float.is_integer(integer),
            _ => same(self.as_f64(), other.as_f64()),
        }
    }

    /// True if this float, or truth value, is that integer. A float may not be able to hold it.
    #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "compared both ways")]
    fn is_integer(self, integer: Number) -> bool {
        let float = self.as_f64();
        float == integer.as_f64()
            && match integer {
                Number::Unsigned(integer) => float as u128 == integer,
                Number::Signed(integer) => float as i128 == integer,
                _ => false,
            }
    }

    /// The distance between two numbers. Between two integers it is exact, and then rounded.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "the nearest is meant")]
    pub fn distance(self, other: Number) -> f64 {
        match (self, other) {
            (Number::Unsigned(a), Number::Unsigned(b)) => a.abs_diff(b) as f64,
            (Number::Signed(a), Number::Signed(b)) => a.abs_diff(b) as f64,
            (Number::Complex(a, b), Number::Complex(c, d)) => (a - c).hypot(b - d),
            _ => (self.as_f64() - other.as_f64()).abs(),
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Number::Bool(value) => value.fmt(formatter),
            Number::Unsigned(value) => value.fmt(formatter),
            Number::Signed(value) => value.fmt(formatter),
            Number::Single(value) if is_plain(value.into()) => write!(formatter, "{value}"),
            Number::Single(value) => write!(formatter, "{value:e}"),
            Number::Double(value) if is_plain(value) => write!(formatter, "{value}"),
            Number::Double(value) => write!(formatter, "{value:e}"),
            Number::Complex(real, imaginary) => {
                let sign = if imaginary.is_sign_negative() { '-' } else { '+' };
                write!(formatter, "{}{sign}{}i", Number::Double(real), Number::Double(imaginary.abs()))
            }
        }
    }
}

/// True if a float is short enough without an exponent.
fn is_plain(value: f64) -> bool {
    value == 0.0 || !value.is_finite() || (1e-5..1e16).contains(&value.abs())
}

/// The greatest integer that JSON readers keep exactly; most of them read all numbers as `f64`.
const EXACT: i128 = (1 << 53) - 1;

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Number::Bool(value) => serializer.serialize_bool(value),
            Number::Unsigned(value) => match i64::try_from(value) {
                Ok(number) if i128::from(number) <= EXACT => serializer.serialize_i64(number),
                _ => serializer.collect_str(&value),
            },
            Number::Signed(value) => match i64::try_from(value) {
                Ok(number) if (-EXACT..=EXACT).contains(&value) => serializer.serialize_i64(number),
                _ => serializer.collect_str(&value),
            },
            Number::Single(value) if value.is_finite() => serializer.serialize_f32(value),
            Number::Single(value) => serializer.collect_str(&value),
            Number::Double(value) if value.is_finite() => serializer.serialize_f64(value),
            Number::Double(value) => serializer.collect_str(&value),
            Number::Complex(real, imaginary) => {
                let mut parts = serializer.serialize_tuple(2)?;
                parts.serialize_element(&Number::Double(real))?;
                parts.serialize_element(&Number::Double(imaginary))?;
                parts.end()
            }
        }
    }
}

/// One element, of a type that is known at compile time.
pub(super) trait Scalar: Copy + PartialOrd {
    /// The element at the start of these bytes; zero if there are too few.
    fn at(bytes: &[u8]) -> Self;
    fn number(self) -> Number;
    fn as_f64(self) -> f64;
}

macro_rules! scalars {
    ($($type:ty => $variant:ident),+ $(,)?) => {$(
        impl Scalar for $type {
            fn at(bytes: &[u8]) -> $type {
                bytes.first_chunk().copied().map_or(Default::default(), <$type>::from_le_bytes)
            }

            fn number(self) -> Number {
                Number::$variant(self.into())
            }

            #[allow(clippy::cast_precision_loss, clippy::cast_lossless, reason = "the nearest is meant")]
            fn as_f64(self) -> f64 {
                self as f64
            }
        }
    )+};
}

scalars! {
    u8 => Unsigned, u16 => Unsigned, u32 => Unsigned, u64 => Unsigned, u128 => Unsigned,
    i8 => Signed, i16 => Signed, i32 => Signed, i64 => Signed, i128 => Signed,
    f32 => Single, f64 => Double,
}

/// A `half::f16`.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct F16(f32);

/// A `half::bf16`.
#[derive(Clone, Copy, PartialEq, PartialOrd)]
pub(super) struct Bf16(f32);

impl Scalar for F16 {
    fn at(bytes: &[u8]) -> F16 {
        F16(Float16::Half.value(u16::at(bytes)))
    }

    fn number(self) -> Number {
        Number::Single(self.0)
    }

    fn as_f64(self) -> f64 {
        self.0.into()
    }
}

impl Scalar for Bf16 {
    fn at(bytes: &[u8]) -> Bf16 {
        Bf16(Float16::Brain.value(u16::at(bytes)))
    }

    fn number(self) -> Number {
        Number::Single(self.0)
    }

    fn as_f64(self) -> f64 {
        self.0.into()
    }
}

macro_rules! complex {
    ($($type:ident: $part:ty),+) => {$(
        /// A complex number, compared by its absolute value.
        #[derive(Clone, Copy)]
        pub(super) struct $type($part, $part);

        impl Scalar for $type {
            fn at(bytes: &[u8]) -> $type {
                let (real, imaginary) = bytes.split_at_checked(size_of::<$part>()).unwrap_or_default();
                $type(<$part>::at(real), <$part>::at(imaginary))
            }

            fn number(self) -> Number {
                Number::Complex(self.0.into(), self.1.into())
            }

            fn as_f64(self) -> f64 {
                f64::from(self.0).hypot(self.1.into())
            }
        }

        impl PartialEq for $type {
            fn eq(&self, other: &$type) -> bool {
                self.as_f64() == other.as_f64()
            }
        }

        impl PartialOrd for $type {
            fn partial_cmp(&self, other: &$type) -> Option<std::cmp::Ordering> {
                self.as_f64().partial_cmp(&other.as_f64())
            }
        }
    )+};
}

complex!(Complex32: f32, Complex64: f64);
