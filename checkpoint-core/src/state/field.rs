//! The schema of one field, whatever its type: `Checkpoint` is taken where the type has it, and plain serde where
//! it has not, so that a field of a foreign type needs no attribute.
//!
//! Without specialization this is done by the order in which Rust looks for methods. The macro writes
//! `(&Probe::<F>::NEW).schema(types)` with both traits in scope. `ViaCheckpoint` is implemented for `Probe<F>`, so
//! its method takes the receiver as it stands; `ViaSerde` is implemented for `&Probe<F>`, one more reference away,
//! and is only looked at when the first does not apply.

use std::fmt;
use std::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::schema::{Type, Types};
use super::{ArrayPool, Checkpoint, trace};

/// Stands for a field of type `F` without having one.
pub struct Probe<F>(PhantomData<fn() -> F>);

impl<F> Probe<F> {
    /// The only value.
    pub const NEW: Probe<F> = Probe(PhantomData);

    /// Only looked at when neither trait applies, and then refused, in the words of [`Checkpoint`].
    pub fn schema(self, types: &mut Types) -> Type
    where
        F: Checkpoint,
    {
        F::schema(types)
    }
}

impl<F> fmt::Debug for Probe<F> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Probe")
    }
}

/// The first choice: the type tells its schema.
pub trait ViaCheckpoint<F> {
    /// Adds the field's type to `types`.
    fn schema(&self, types: &mut Types) -> Type;

    /// Gives up the memory of the field's large arrays.
    fn lend_arrays(&self, field: &mut F, pool: &mut ArrayPool);
}

impl<F: Checkpoint> ViaCheckpoint<F> for Probe<F> {
    fn schema(&self, types: &mut Types) -> Type {
        F::schema(types)
    }

    fn lend_arrays(&self, field: &mut F, pool: &mut ArrayPool) {
        field.lend_arrays(pool);
    }
}

/// The second choice: the schema is found out from what the type asks of a deserializer.
pub trait ViaSerde<F> {
    /// Adds the field's type to `types`.
    fn schema(&self, types: &mut Types) -> Type;

    /// A foreign type keeps its arrays.
    fn lend_arrays(&self, field: &mut F, pool: &mut ArrayPool);
}

impl<F: Serialize + DeserializeOwned + 'static> ViaSerde<F> for &Probe<F> {
    fn schema(&self, types: &mut Types) -> Type {
        types.import::<F>(trace::trace::<F>)
    }

    fn lend_arrays(&self, _: &mut F, _: &mut ArrayPool) {}
}

/// The schema of a type of this library, whose serde code is derived.
pub(crate) fn derived<W: DeserializeOwned + 'static>(types: &mut Types) -> Type {
    types.import_derived::<W>(trace::trace::<W>)
}

/// The schema of a field that serde writes in another form than its type's own, for which `W` stands.
pub fn traced<W: DeserializeOwned + 'static>(types: &mut Types) -> Type {
    types.import::<W>(trace::trace::<W>)
}
