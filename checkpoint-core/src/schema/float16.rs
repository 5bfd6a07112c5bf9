//! Floats of 16 bits. serde sees a newtype around the integer of their bits.

use crate::schema::{Body, Definition, Element, Fields, Type};

/// A format of such floats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Float16 {
    /// `half::f16`. Source: IEEE 754-2008, 3.4, binary16: 1 bit sign, 5 of the exponent with bias
    /// 15, 10 of the fraction.
    Half,
    /// `half::bf16`, the upper half of an `f32`.
    Brain,
}

impl Float16 {
    /// The format of a definition, if it is such a float.
    pub(crate) fn of(definition: &Definition) -> Option<Float16> {
        let is_bits = matches!(&definition.body, Body::Struct(Fields::Newtype(Type::U16)));
        Float16::named(&definition.name).filter(|_| is_bits && definition.version == 1)
    }

    /// The format of the type with this name.
    pub(crate) fn named(name: &str) -> Option<Float16> {
        match name {
            "f16" => Some(Float16::Half),
            "bf16" => Some(Float16::Brain),
            _ => None,
        }
    }

    /// The type of the elements of its arrays.
    pub(crate) fn element(self) -> Element {
        match self {
            Float16::Half => Element::F16,
            Float16::Brain => Element::Bf16,
        }
    }

    /// The number with these bits.
    pub(crate) fn value(self, bits: u16) -> f32 {
        if self == Float16::Brain {
            return f32::from_bits(u32::from(bits) << 16);
        }
        let fraction = f32::from(bits & 0x3ff);
        let magnitude = match i32::from((bits >> 10) & 0x1f) {
            0 => fraction * 2_f32.powi(-24),
            31 if fraction == 0.0 => f32::INFINITY,
            31 => f32::NAN,
            exponent => (1024.0 + fraction) * 2_f32.powi(exponent - 25),
        };
        if bits >> 15 == 1 { -magnitude } else { magnitude }
    }

    /// The bits of this number, if the type has it. All NaNs of one sign have the same bits.
    pub(crate) fn bits(self, value: f32) -> Option<u16> {
        let upper = (value.to_bits() >> 16) as u16;
        let sign = upper & 0x8000;
        let candidate = match self {
            Float16::Half if value.is_nan() => return Some(sign | 0x7e00),
            Float16::Brain if value.is_nan() => return Some(sign | 0x7fc0),
            Float16::Brain => upper,
            Float16::Half => {
                let magnitude = value.abs();
                let bits = if magnitude < 2_f32.powi(-14) {
                    // Below the normal numbers, the fraction counts alone.
                    magnitude * 2_f32.powi(24)
                } else if magnitude <= 65504.0 {
                    let exponent = i32::from((upper >> 7) & 0xff) - 127;
                    let fraction = magnitude * 2_f32.powi(10 - exponent) - 1024.0;
                    #[allow(clippy::cast_precision_loss, reason = "it is less than 2^15")]
                    let exponent = ((exponent + 15) << 10) as f32;
                    exponent + fraction
                } else {
                    f32::from(0x7c00_u16)
                };
                #[allow(
                    clippy::cast_possible_truncation,
                    clippy::cast_sign_loss,
                    reason = "it is compared below"
                )]
                let bits = bits as u16;
                sign | bits
            }
        };
        (self.value(candidate) == value).then_some(candidate)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_of_16_bits_is_its_own() {
        for float in [Float16::Half, Float16::Brain] {
            for bits in 0..=u16::MAX {
                let value = float.value(bits);
                if value.is_nan() {
                    let nan = float.bits(value).map(|bits| float.value(bits).is_nan());
                    assert_eq!(nan, Some(true), "{bits:x}");
                } else {
                    assert_eq!(float.bits(value), Some(bits), "{bits:x} is {value}");
                }
            }
        }
    }

    #[test]
    fn what_lies_between_two_of_them_is_neither() {
        for float in [Float16::Half, Float16::Brain] {
            for bits in 0..0x7bff_u16 {
                let (low, high) = (float.value(bits), float.value(bits + 1));
                if high.is_finite() {
                    assert_eq!(float.bits(low + (high - low) / 2.0), None, "beside {low}");
                }
            }
        }
        assert_eq!(Float16::Half.bits(65536.0), None);
    }

    #[cfg(feature = "half")]
    #[test]
    fn they_are_those_of_the_half_crate() {
        for bits in 0..=u16::MAX {
            let (half, brain) = (half::f16::from_bits(bits).to_f32(), half::bf16::from_bits(bits).to_f32());
            let same = |ours: f32, theirs: f32| ours == theirs || (ours.is_nan() && theirs.is_nan());
            assert!(same(Float16::Half.value(bits), half), "{bits:x}");
            assert!(same(Float16::Brain.value(bits), brain), "{bits:x}");
        }
    }
}
