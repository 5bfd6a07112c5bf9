//! [`Checkpoint`] for the matrices, vectors and points of the `nalgebra` crate.

use nalgebra::{ArrayStorage, Const, Dim, Matrix, OPoint, Quaternion, RawStorage, Scalar, VecStorage};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::arrays::ArrayPool;
use crate::schema::Type;
use crate::state::{Checkpoint, Types};
use crate::trace;

type InVec<A, R, C> = Matrix<A, R, C, VecStorage<A, R, C>>;

impl<A, R, C> Checkpoint for InVec<A, R, C>
where
    A: Scalar + Serialize + DeserializeOwned,
    R: Dim + Serialize + DeserializeOwned,
    C: Dim + Serialize + DeserializeOwned,
    VecStorage<A, R, C>: RawStorage<A, R, C>,
{
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        types.import::<Self>(trace::trace::<Self>)
    }

    fn lend_arrays(&mut self, pool: &mut ArrayPool) {
        let (rows, columns) = self.shape_generic();
        let none_of = (none::<R>(rows), none::<C>(columns));
        if none_of.0.value() * none_of.1.value() != 0 {
            return;
        }
        let empty = VecStorage::new(none_of.0, none_of.1, Vec::new());
        let mut values = Vec::from(std::mem::replace(&mut self.data, empty));
        pool.lend(&mut values);
        // A part that was not taken stays as it was.
        if values.len() == rows.value() * columns.value() {
            self.data = VecStorage::new(rows, columns, values);
        }
    }
}

/// The smallest length of a dimension of this type.
fn none<D: Dim>(dimension: D) -> D {
    if D::try_to_usize().is_none() { D::from_usize(0) } else { dimension }
}

impl<A, const R: usize, const C: usize> Checkpoint for Matrix<A, Const<R>, Const<C>, ArrayStorage<A, R, C>>
where
    A: Scalar + Checkpoint,
{
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        Type::Array(Box::new(A::schema(types)), (R * C) as u64)
    }
}

impl<A: Scalar + Checkpoint, const D: usize> Checkpoint for OPoint<A, Const<D>> {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        Type::Array(Box::new(A::schema(types)), D as u64)
    }
}

impl<A: Scalar + Checkpoint> Checkpoint for Quaternion<A> {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        Type::Array(Box::new(A::schema(types)), 4)
    }
}

#[cfg(all(test, not(shuttle)))]
mod tests;
