//! Converts numbers into floats: with the same value, or not at all. Each cast below is checked by
//! casting back.
#![allow(clippy::cast_possible_truncation, reason = "each cast is checked by casting back")]

use serde::de::{Error as _, Unexpected, Visitor};

use super::cursor::Failure;
use crate::schema::Float16;

/// A number, as the checkpoint has it.
#[derive(Clone, Copy)]
pub(super) enum Number {
    Unsigned(u128),
    Signed(i128),
    Single(f32),
    Double(f64),
}

impl Number {
    /// Passes the number on in the narrowest form that serde's own types accept.
    pub(super) fn visit<'de, V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Failure> {
        match self {
            Number::Unsigned(value) => match u64::try_from(value) {
                Ok(value) => visitor.visit_u64(value),
                Err(_) => visitor.visit_u128(value),
            },
            Number::Signed(value) => match (i64::try_from(value), u64::try_from(value)) {
                (Ok(value), _) => visitor.visit_i64(value),
                (Err(_), Ok(value)) => visitor.visit_u64(value),
                (Err(_), Err(_)) => visitor.visit_i128(value),
            },
            Number::Single(value) => visitor.visit_f32(value),
            Number::Double(value) => visitor.visit_f64(value),
        }
    }

    /// The number as an integer of this type, if it fits. `None` for a float, which is no integer.
    pub(super) fn to_integer<I: TryFrom<u128> + TryFrom<i128>>(self, ty: &str) -> Result<Option<I>, Failure> {
        let (integer, number) = match self {
            Number::Unsigned(value) => (I::try_from(value).ok(), value.to_string()),
            Number::Signed(value) => (I::try_from(value).ok(), value.to_string()),
            Number::Single(_) | Number::Double(_) => return Ok(None),
        };
        match integer {
            Some(integer) => Ok(Some(integer)),
            None => Err(Failure::invalid_value(Unexpected::Other(&format!("integer `{number}`")), &ty)),
        }
    }

    pub(super) fn to_f64(self) -> Result<f64, Failure> {
        match self {
            Number::Single(value) => Ok(f64::from(value)),
            Number::Double(value) => Ok(value),
            Number::Unsigned(value) => {
                let float = value as f64;
                // 2^128 as a float would be cut to the greatest integer on the way back.
                let is_exact = float < 2_f64.powi(128) && float as u128 == value;
                is_exact.then_some(float).ok_or_else(|| inexact(value, "f64"))
            }
            Number::Signed(value) => {
                let float = value as f64;
                let is_exact = float < 2_f64.powi(127) && float as i128 == value;
                is_exact.then_some(float).ok_or_else(|| inexact(value, "f64"))
            }
        }
    }

    pub(super) fn to_f32(self) -> Result<f32, Failure> {
        if let Number::Single(value) = self {
            return Ok(value);
        }
        let wide = self.to_f64()?;
        let narrow = wide as f32;
        if f64::from(narrow) == wide || wide.is_nan() { Ok(narrow) } else { Err(inexact(wide, "f32")) }
    }

    /// The bits of the number as a float of 16 bits.
    pub(super) fn to_float16(self, float: Float16) -> Result<u16, Failure> {
        let value = self.to_f32()?;
        float.bits(value).ok_or_else(|| inexact(value, float.element().name()))
    }
}

fn inexact(value: impl std::fmt::Display, ty: &str) -> Failure {
    Failure::custom(format!("{value} cannot be an {ty} without changing its value"))
}
