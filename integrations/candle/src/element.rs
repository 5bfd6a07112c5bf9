//! A tensor as an array of a checkpoint, and back.

use candle_core::{CpuStorage, Device, Storage, Tensor};
use checkpointed::checkpointed;
use half::{bf16, f16};
use ndarray::{ArrayD, ArrayView, CowArray, IxDyn};
use serde::ser::Error as _;
use serde::{Serialize, Serializer};

/// Defines the form of a tensor in a checkpoint: an enum with an array for each dtype.
macro_rules! elements {
    ($($variant:ident($element:ty) = $place:literal;)+) => {
        /// A tensor as it is loaded.
        #[checkpointed(name = "Tensor")]
        pub(crate) enum Loaded {
            $($variant(ArrayD<$element>),)+
        }

        impl Loaded {
            /// The tensor, in the memory of the array.
            pub(crate) fn into_tensor(self) -> candle_core::Result<Tensor> {
                match self {
                    $(Loaded::$variant(array) => {
                        let shape = array.shape().to_vec();
                        // A loaded array is in C order, and has no more memory than it needs.
                        let (values, _) = array.into_raw_vec_and_offset();
                        Tensor::from_vec(values, shape, &Device::Cpu)
                    })+
                }
            }
        }

        /// Writes a tensor of main memory whose elements are in C order, as a [`Loaded`] is read.
        fn serialize_contiguous<S: Serializer>(tensor: &Tensor, serializer: S) -> Result<S::Ok, S::Error> {
            let (storage, layout) = tensor.storage_and_layout();
            let Some((start, end)) = layout.contiguous_offsets() else {
                return Err(S::Error::custom("the elements of a tensor are not in the order of its shape"));
            };
            let Storage::Cpu(storage) = &*storage else {
                return Err(S::Error::custom("a tensor is not in main memory"));
            };
            match storage {
                $(CpuStorage::$variant(values) => {
                    let values = values.get(start..end).ok_or_else(|| S::Error::custom("a tensor is cut short"))?;
                    let view = ArrayView::from_shape(IxDyn(layout.dims()), values).map_err(S::Error::custom)?;
                    serializer.serialize_newtype_variant("Tensor", $place, stringify!($variant), &CowArray::from(view))
                })+
                _ => Err(S::Error::custom(format_args!(
                    "tensors of {} cannot be saved; convert it to another dtype, such as f32, by `Tensor::to_dtype`",
                    tensor.dtype().as_str(),
                ))),
            }
        }
    };
}

// A new one goes to the end: the places are in checkpoints.
elements! {
    U8(u8) = 0;
    U32(u32) = 1;
    I16(i16) = 2;
    I32(i32) = 3;
    I64(i64) = 4;
    BF16(bf16) = 5;
    F16(f16) = 6;
    F32(f32) = 7;
    F64(f64) = 8;
}

/// A tensor to be written. Its elements are written from where they are, if that is main memory.
pub(crate) struct Saved<'a>(pub(crate) &'a Tensor);

impl Serialize for Saved<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let in_memory = self.0.to_device(&Device::Cpu).map_err(S::Error::custom)?;
        serialize_contiguous(&in_memory.contiguous().map_err(S::Error::custom)?, serializer)
    }
}
