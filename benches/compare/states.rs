//! The states to save: one large array, and 200 arrays of several types and lengths.

use std::borrow::Cow;

use checkpointed::Checkpoint;
use rkyv::rancor;
use rkyv::util::AlignedVec;
use safetensors::tensor::{Dtype, TensorView};
use safetensors::{SafeTensorError, SafeTensors};

use crate::ours::Advance;
use crate::rounds::Outcome;

/// 50 arrays of each type.
pub(crate) type Mixed = (Vec<Vec<f64>>, Vec<Vec<f32>>, (Vec<Vec<i32>>, Vec<Vec<u8>>));

/// A state that every package can save.
pub(crate) trait State:
    Checkpoint
    + Advance
    + Clone
    + savefile::WithSchema
    + savefile::Serialize
    + savefile::Deserialize
    + savefile::Packed
{
    /// The name of its files and folders.
    const NAME_OF_FILES: &'static str;

    /// Makes a state with numbers of about this number of bytes.
    fn make(bytes: usize) -> Self;

    /// The number of bytes of its numbers.
    fn bytes(&self) -> usize;

    /// Its bytes in the format of rkyv.
    fn to_rkyv(&self) -> Outcome<AlignedVec>;

    /// Makes a state of those bytes, after verifying them.
    fn from_rkyv(bytes: &[u8]) -> Outcome<Self>;

    /// Its arrays, by name.
    fn tensors(&self) -> Result<Vec<(String, TensorView<'_>)>, SafeTensorError>;

    /// Makes a state of such arrays.
    fn from_tensors(tensors: &SafeTensors<'_>) -> Outcome<Self>;
}

impl Advance for Vec<f64> {
    fn advance(&mut self) {
        self.iter_mut().for_each(|number| *number += 1.0);
    }
}

impl Advance for Mixed {
    fn advance(&mut self) {
        let (f64s, f32s, (i32s, u8s)) = self;
        f64s.iter_mut().for_each(Advance::advance);
        f32s.iter_mut().flatten().for_each(|number| *number += 1.0);
        i32s.iter_mut().flatten().for_each(|number| *number = number.wrapping_add(1));
        u8s.iter_mut().flatten().for_each(|number| *number = number.wrapping_add(1));
    }
}

impl State for Vec<f64> {
    const NAME_OF_FILES: &'static str = "one";

    fn make(bytes: usize) -> Vec<f64> {
        let mut noise = Noise(1);
        (0..bytes / 8).map(|_| noise.number()).collect()
    }

    fn bytes(&self) -> usize {
        size_of_val(&self[..])
    }

    fn to_rkyv(&self) -> Outcome<AlignedVec> {
        Ok(rkyv::to_bytes::<rancor::Error>(self)?)
    }

    fn from_rkyv(bytes: &[u8]) -> Outcome<Vec<f64>> {
        Ok(rkyv::from_bytes::<Vec<f64>, rancor::Error>(bytes)?)
    }

    fn tensors(&self) -> Result<Vec<(String, TensorView<'_>)>, SafeTensorError> {
        Ok(vec![("array".to_owned(), view(Dtype::F64, self)?)])
    }

    fn from_tensors(tensors: &SafeTensors<'_>) -> Outcome<Vec<f64>> {
        array(tensors, "array")
    }
}

impl State for Mixed {
    const NAME_OF_FILES: &'static str = "mixed";

    fn make(bytes: usize) -> Mixed {
        let mut noise = Noise(2);
        let (f64s, f32s, i32s, u8s) =
            (lengths(bytes, 8), lengths(bytes, 4), lengths(bytes, 4), lengths(bytes, 1));
        let of = |lengths: Vec<usize>, noise: &mut Noise| -> Vec<Vec<f64>> {
            lengths.into_iter().map(|length| (0..length).map(|_| noise.number()).collect()).collect()
        };
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "any number will do")]
        (
            of(f64s, &mut noise),
            f32s.into_iter().map(|length| (0..length).map(|_| noise.number() as f32).collect()).collect(),
            (
                i32s.into_iter().map(|length| (0..length).map(|_| noise.next() as i32).collect()).collect(),
                u8s.into_iter().map(|length| (0..length).map(|_| noise.next() as u8).collect()).collect(),
            ),
        )
    }

    fn bytes(&self) -> usize {
        fn of<N>(arrays: &[Vec<N>]) -> usize {
            arrays.iter().map(|array| size_of_val(&array[..])).sum()
        }
        let (f64s, f32s, (i32s, u8s)) = self;
        of(f64s) + of(f32s) + of(i32s) + of(u8s)
    }

    fn to_rkyv(&self) -> Outcome<AlignedVec> {
        Ok(rkyv::to_bytes::<rancor::Error>(self)?)
    }

    fn from_rkyv(bytes: &[u8]) -> Outcome<Mixed> {
        Ok(rkyv::from_bytes::<Mixed, rancor::Error>(bytes)?)
    }

    fn tensors(&self) -> Result<Vec<(String, TensorView<'_>)>, SafeTensorError> {
        fn of<'a, N: bytemuck::NoUninit>(
            all: &mut Vec<(String, TensorView<'a>)>,
            dtype: Dtype,
            arrays: &'a [Vec<N>],
        ) -> Result<(), SafeTensorError> {
            for (number, array) in arrays.iter().enumerate() {
                all.push((format!("{dtype:?}.{number}"), view(dtype, array)?));
            }
            Ok(())
        }
        let (f64s, f32s, (i32s, u8s)) = self;
        let mut all = Vec::new();
        of(&mut all, Dtype::F64, f64s)?;
        of(&mut all, Dtype::F32, f32s)?;
        of(&mut all, Dtype::I32, i32s)?;
        of(&mut all, Dtype::U8, u8s)?;
        Ok(all)
    }

    fn from_tensors(tensors: &SafeTensors<'_>) -> Outcome<Mixed> {
        fn of<N: bytemuck::Pod>(tensors: &SafeTensors<'_>, dtype: Dtype) -> Outcome<Vec<Vec<N>>> {
            (0..ARRAYS_OF_A_TYPE).map(|number| array(tensors, &format!("{dtype:?}.{number}"))).collect()
        }
        Ok((
            of(tensors, Dtype::F64)?,
            of(tensors, Dtype::F32)?,
            (of(tensors, Dtype::I32)?, of(tensors, Dtype::U8)?),
        ))
    }
}

const ARRAYS_OF_A_TYPE: usize = 50;

/// The lengths of the arrays of one type: the longest is about 200 times as long as the shortest,
/// and all together have a quarter of `bytes`.
fn lengths(bytes: usize, size: usize) -> Vec<usize> {
    let parts: usize = (0..ARRAYS_OF_A_TYPE).map(weight).sum();
    (0..ARRAYS_OF_A_TYPE).map(|number| bytes / 4 * weight(number) / parts / size).collect()
}

fn weight(number: usize) -> usize {
    1 + number * 37 % ARRAYS_OF_A_TYPE * 4
}

fn view<N: bytemuck::NoUninit>(dtype: Dtype, values: &[N]) -> Result<TensorView<'_>, SafeTensorError> {
    TensorView::new(dtype, vec![values.len()], bytemuck::cast_slice(values))
}

fn array<N: bytemuck::Pod>(tensors: &SafeTensors<'_>, name: &str) -> Outcome<Vec<N>> {
    Ok(bytemuck::pod_collect_to_vec(Cow::from(tensors.tensor(name)?.data()).as_ref()))
}

/// Marsaglia's xorshift: numbers that neither compression nor the disk's deduplication can shrink.
pub(crate) struct Noise(pub(crate) u64);

impl Noise {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A number between 0 and 1.
    pub(crate) fn number(&mut self) -> f64 {
        #[allow(clippy::cast_precision_loss, reason = "53 bits are exact")]
        let number = (self.next() >> 11) as f64;
        number / (1_u64 << 53) as f64
    }
}
