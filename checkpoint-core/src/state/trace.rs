//! The schema of a serde type that knows nothing of checkpoints, found out from what its `Deserialize` asks for.
//!
//! The type is deserialized, time and again, from a [deserializer] that holds no data: it notes what
//! is asked and hands out [sample values](sample). What has been learned is a [graph] of the places where
//! values go. Each pass heads for the nearest place of which nothing is known, and chooses enum variants, options
//! and lengths accordingly; when nothing is left, or the work allowed is spent, the graph becomes a schema. What is
//! not known by then is opaque, never a guess.
//!
//! Why it ends: a pass that learns nothing gives up the place that it was heading for.

mod access;
mod deserializer;
mod emission;
mod graph;
mod sample;
mod survey;
mod tracer;

use std::any::type_name;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::thread;

use serde::de::DeserializeOwned;

use self::tracer::Tracer;
use super::schema::Schema;

/// What may be done before the rest is left unknown: a step for each value read, more for structs and enums, and for
/// each place looked at between passes. All of them take a fraction of a second, in a debug build a few seconds.
const STEPS: u64 = 8_000_000;

/// Room for types that nest as deeply as the tracer goes and are kilobytes large at every level. Only what is used of
/// it takes memory.
const STACK: usize = 64 << 20;

/// The schema of `T`, which says of itself what it is asked to be read from.
///
/// The same type gives the same schema every time. Constructors and conversions of `T` run on sample values; should
/// one panic, the panic is caught and the value counts as refused.
pub(crate) fn trace<T: DeserializeOwned>() -> Schema {
    // The caller may be on a small stack, and on the way to all parts of a type more of it is used than for a value.
    let traced = thread::scope(|scope| {
        let thread = thread::Builder::new().name("checkpoint schema".to_owned()).stack_size(STACK);
        let handle = thread.spawn_scoped(scope, trace_here::<T>).ok()?;
        handle.join().ok()
    });
    traced.unwrap_or_else(trace_here::<T>)
}

/// Whether this is the deserializer that [`trace`] reads from.
pub(super) fn is_tracer<D>() -> bool {
    typeid::of::<D>() == typeid::of::<deserializer::Tracing<'static>>()
}

fn trace_here<T: DeserializeOwned>() -> Schema {
    let mut tracer = Tracer::new(type_name::<T>(), STEPS);
    while tracer.begin_pass() {
        let pass = catch_unwind(AssertUnwindSafe(|| {
            // Only what the pass has taught the tracer is of interest, not the value nor the refusal.
            let _ = tracer.read_root(PhantomData::<T>);
        }));
        tracer.end_pass(pass.is_err());
    }
    tracer.into_schema()
}

#[cfg(test)]
mod tests;
