//! Values without parts.

use crate::schema::{Element, Type};

/// Makes [`Leaf`] from a list: numbers, which have the same names in [`Type`] and [`Element`], then
/// other types with their names in messages.
macro_rules! leaves {
    ($($number:ident)+; $($other:ident: $name:literal),+) => {
        /// A value without parts.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(super) enum Leaf {
            $($number,)+
            $($other,)+
            /// The bits of a float of 16 bits. serde sees a `u16`.
            F16,
            /// The bits of the upper half of an `f32`. serde sees a `u16`.
            Bf16,
        }

        impl Leaf {
            /// The leaf of this type; `None` if its values have parts.
            pub(super) fn of(ty: &Type) -> Option<Leaf> {
                match ty {
                    $(Type::$number => Some(Leaf::$number),)+
                    $(Type::$other => Some(Leaf::$other),)+
                    _ => None,
                }
            }

            /// The elements of an array. Those of a complex number are its two floats.
            pub(super) fn of_element(element: Element) -> Leaf {
                match element {
                    $(Element::$number => Leaf::$number,)+
                    Element::F16 => Leaf::F16,
                    Element::Bf16 => Leaf::Bf16,
                    Element::Complex32 => Leaf::F32,
                    Element::Complex64 => Leaf::F64,
                }
            }

            /// The type as serde sees it.
            pub(super) fn ty(self) -> Type {
                match self {
                    $(Leaf::$number => Type::$number,)+
                    $(Leaf::$other => Type::$other,)+
                    Leaf::F16 | Leaf::Bf16 => Type::U16,
                }
            }

            /// The name in messages.
            pub(super) fn name(self) -> &'static str {
                match self {
                    $(Leaf::$number => Element::$number.name(),)+
                    $(Leaf::$other => $name,)+
                    Leaf::F16 => Element::F16.name(),
                    Leaf::Bf16 => Element::Bf16.name(),
                }
            }
        }
    };
}

leaves! {
    Bool U8 U16 U32 U64 U128 I8 I16 I32 I64 I128 F32 F64;
    Unit: "()", Char: "char", String: "a string", Bytes: "bytes"
}
