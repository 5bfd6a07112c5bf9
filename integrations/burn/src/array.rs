//! A tensor as an array of a checkpoint, and back.

use std::borrow::Cow;

use burn_core::tensor::{BoolStore, Bytes, DType};
use checkpointed::checkpointed;
use half::{bf16, f16};
use ndarray::{ArrayD, ArrayView, CowArray, IxDyn};
use serde::ser::Error as _;
use serde::{Serialize, Serializer};

/// A tensor in the memory of the program.
#[derive(Clone)]
pub(crate) struct Tensor {
    pub(crate) dtype: DType,
    pub(crate) shape: Vec<usize>,
    pub(crate) bytes: Bytes,
}

/// Defines the form of a tensor in a checkpoint: an enum with an array for each dtype.
macro_rules! elements {
    ($($variant:ident($element:ty) = $place:literal: $dtype:pat => $made:expr;)+) => {
        /// A tensor as it is loaded.
        #[checkpointed(name = "Tensor")]
        pub(crate) enum Loaded {
            $($variant(ArrayD<$element>),)+
        }

        impl Loaded {
            /// The tensor, in the memory of the array.
            pub(crate) fn into_tensor(self) -> Tensor {
                match self {
                    $(Loaded::$variant(array) => {
                        let shape = array.shape().to_vec();
                        // A loaded array is in C order, and has no more memory than it needs.
                        let (values, _) = array.into_raw_vec_and_offset();
                        Tensor { dtype: $made, shape, bytes: Bytes::from_elems(values) }
                    })+
                }
            }
        }

        /// Writes a tensor as a [`Loaded`] is read.
        impl Serialize for Tensor {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                match self.dtype {
                    $($dtype => {
                        let values = values::<$element>(&self.bytes);
                        let shape = IxDyn(&self.shape);
                        let view = ArrayView::from_shape(shape, &values).map_err(S::Error::custom)?;
                        let array = CowArray::from(view);
                        serializer.serialize_newtype_variant("Tensor", $place, stringify!($variant), &array)
                    })+
                    DType::QFloat(_) => Err(S::Error::custom(
                        "quantized tensors cannot be saved; save the module before it is quantized",
                    )),
                }
            }
        }
    };
}

// A new one goes to the end: the places are in checkpoints.
elements! {
    F64(f64) = 0: DType::F64 => DType::F64;
    F32(f32) = 1: DType::F32 => DType::F32;
    Flex32(f32) = 2: DType::Flex32 => DType::Flex32;
    F16(f16) = 3: DType::F16 => DType::F16;
    BF16(bf16) = 4: DType::BF16 => DType::BF16;
    I64(i64) = 5: DType::I64 => DType::I64;
    I32(i32) = 6: DType::I32 => DType::I32;
    I16(i16) = 7: DType::I16 => DType::I16;
    I8(i8) = 8: DType::I8 => DType::I8;
    U64(u64) = 9: DType::U64 => DType::U64;
    U32(u32) = 10: DType::U32 => DType::U32;
    U16(u16) = 11: DType::U16 => DType::U16;
    U8(u8) = 12: DType::U8 => DType::U8;
    Bool(u8) = 13: DType::Bool(BoolStore::Native) => DType::Bool(BoolStore::Native);
    BoolU8(u8) = 14: DType::Bool(BoolStore::U8) => DType::Bool(BoolStore::U8);
    BoolU32(u32) = 15: DType::Bool(BoolStore::U32) => DType::Bool(BoolStore::U32);
}

/// The elements of a tensor, from where they are. burn aligns them; they are copied otherwise.
fn values<T: bytemuck::AnyBitPattern + bytemuck::NoUninit>(bytes: &[u8]) -> Cow<'_, [T]> {
    match bytemuck::try_cast_slice(bytes) {
        Ok(values) => Cow::Borrowed(values),
        Err(_) => Cow::Owned(bytes.chunks_exact(size_of::<T>()).map(bytemuck::pod_read_unaligned).collect()),
    }
}
