//! The schema of a serde type that knows nothing of checkpoints, found out from what its `Deserialize` asks for.
//!
//! The type is deserialized, time and again, from a [deserializer] that holds no data: it notes what
//! is asked and hands out [sample values](sample). What has been learned is a [graph] of the places where
//! values go. Each pass heads for the nearest place of which nothing is known, and chooses enum variants, options
//! and lengths accordingly; when nothing is left, or the work allowed is spent, the graph becomes a schema. What is
//! not known by then is opaque, never a guess. So is a part that asks for one thing or another, depending on the data:
//! [probes](probe) look for these at the end.
//!
//! Why it ends: a pass that learns nothing gives up the place that it was heading for.

mod access;
mod deserializer;
mod emission;
mod graph;
mod probe;
mod progress;
mod quiet;
mod sample;
mod survey;
mod tracer;
mod variation;

use std::any::type_name;
use std::collections::HashMap;
use std::marker::PhantomData;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use serde::de::DeserializeOwned;

use self::emission::short_name;
use self::progress::Progress;
use self::tracer::Tracer;
use crate::base::limits::TRACE_STEPS;
use crate::schema::{Former, Schema, Type};

/// What was found out of a type.
#[derive(Debug)]
pub(crate) struct Traced {
    pub(crate) schema: Schema,
    /// The aliases of fields, by the places of the definitions in it.
    pub(crate) former: HashMap<usize, Former>,
}

/// Room for types that nest as deeply as the tracer goes and are kilobytes large at every level. Only what is used of
/// it takes memory.
const STACK: usize = 64 << 20;

/// How long is waited before it is looked whether the tracing goes on.
const LOOK: Duration = Duration::from_millis(100);

/// How many looks in a row may see the same before a type is taken never to come back: ten seconds, without the time
/// for which the whole program was stopped.
const LOOKS: u32 = 100;

/// The schema of `T`, which says of itself what it is asked to be read from.
///
/// The same type gives the same schema every time. Constructors and conversions of `T` run on sample values, in a thread
/// of their own. Should one panic, the panic is caught without a message, and the value counts as refused. One that never
/// comes back makes the type unsupported, and its thread is left to itself.
pub(crate) fn trace<T: DeserializeOwned + 'static>() -> Traced {
    trace_within::<T>(LOOKS)
}

fn trace_within<T: DeserializeOwned + 'static>(looks: u32) -> Traced {
    let progress = Arc::new(Progress::default());
    let (sender, receiver) = mpsc::channel();
    // The caller may be on a small stack, and on the way to all parts of a type more of it is used than for a value.
    let thread = thread::Builder::new().name("checkpoint schema".to_owned()).stack_size(STACK);
    let spawned = thread.spawn({
        let progress = Arc::clone(&progress);
        move || {
            // Nobody waits any more where the send fails.
            let _ = sender.send(trace_here::<T>(progress));
        }
    });
    if spawned.is_err() {
        return trace_here::<T>(progress);
    }
    let (mut steps, mut idle) = (progress.steps(), 0);
    loop {
        match receiver.recv_timeout(LOOK) {
            Ok(traced) => return traced,
            Err(RecvTimeoutError::Disconnected) => return trace_here::<T>(progress),
            Err(RecvTimeoutError::Timeout) if progress.steps() != steps => {
                (steps, idle) = (progress.steps(), 0)
            }
            Err(RecvTimeoutError::Timeout) => idle += 1,
        }
        if idle >= looks {
            return endless(match progress.reading() {
                "" => type_name::<T>(),
                name => name,
            });
        }
    }
}

/// The schema of a type that did not come back.
fn endless(name: &str) -> Traced {
    let why = format!(
        "{} was made from a sample value, to find out its form, and did not come back; say its form with \
         #[checkpointed(as = \"…\")] on the field, such as \"u32\", and nothing is run",
        short_name(name)
    );
    let schema = Schema { root: Type::Unsupported(why), types: Vec::new() };
    Traced { schema, former: HashMap::new() }
}

/// Names a dimension of fixed arrays to the tracer, as a tuple struct of that length; behind the last one comes the sequence
/// of all elements.
pub(crate) const GRID: &str = "\0grid";

/// Says to the tracer that any number of fixed arrays comes, as a newtype around the dimensions of one.
pub(crate) const GRIDS: &str = "\0grids";

/// Whether this is the deserializer that [`trace`] reads from.
pub(crate) fn is_tracer<D>() -> bool {
    typeid::of::<D>() == typeid::of::<deserializer::Tracing<'static>>()
}

fn trace_here<T: DeserializeOwned>(progress: Arc<Progress>) -> Traced {
    let _quiet = quiet::Quiet::new();
    let mut tracer = Tracer::new(type_name::<T>(), TRACE_STEPS, progress);
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
