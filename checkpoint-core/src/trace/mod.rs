//! The schema of a serde type that knows nothing of checkpoints, found out from the requests of its
//! `Deserialize`.
//!
//! The type is deserialized, time and again, from a [deserializer] that holds no data: it notes
//! each request and hands out [sample values](sample). The knowledge so far is a [graph] of the
//! places where values go. Each pass heads for the nearest place that is unknown, and chooses enum
//! variants, options and lengths accordingly. When nothing is left, or the work allowed is spent,
//! the graph becomes a schema. A part that is not known by then is opaque, never a guess. So is a
//! part that asks for different things, depending on the data: [probes](probe) look for these at
//! the end.
//!
//! The tracing ends because a pass that learns nothing gives up the place that it was heading for.

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

/// The outcome of tracing a type.
#[derive(Debug)]
pub(crate) struct Traced {
    pub(crate) schema: Schema,
    /// The aliases of fields, by the places of the definitions in it.
    pub(crate) former: HashMap<usize, Former>,
}

/// Room for types that nest as deeply as the tracer goes and are kilobytes large at every level.
/// Only the part that is used takes memory.
const STACK: usize = 64 << 20;

/// The time between two looks at whether the tracing goes on.
const LOOK: Duration = Duration::from_millis(100);

/// The number of looks in a row without progress after which a type is taken never to come back:
/// ten seconds, without the time during which the whole program was stopped.
const LOOKS: u32 = 100;

/// The schema of `T`, found out from the requests of its `Deserialize`.
///
/// The same type gives the same schema every time. Constructors and conversions of `T` run on
/// sample values, in a thread of their own. If one panics, the panic is caught without a message,
/// and the value counts as refused. If one never comes back, the type is unsupported, and its
/// thread is left running.
pub(crate) fn trace<T: DeserializeOwned + 'static>() -> Traced {
    trace_within::<T>(LOOKS)
}

fn trace_within<T: DeserializeOwned + 'static>(looks: u32) -> Traced {
    let progress = Arc::new(Progress::default());
    let (sender, receiver) = mpsc::channel();
    // The caller may be on a small stack. Visiting all parts of a type takes more of it than
    // reading a value.
    let thread = thread::Builder::new().name("checkpoint schema".to_owned()).stack_size(STACK);
    let spawned = thread.spawn({
        let progress = Arc::clone(&progress);
        move || {
            // The send fails only if the caller has stopped waiting.
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

/// Names a dimension of fixed arrays to the tracer, as a tuple struct of that length; behind the
/// last one comes the sequence of all elements.
pub(crate) const GRID: &str = "\0grid";

/// Says to the tracer that any number of fixed arrays comes, as a newtype around the dimensions of
/// one.
pub(crate) const GRIDS: &str = "\0grids";

/// True if this is the deserializer that [`trace`] reads from.
pub(crate) fn is_tracer<D>() -> bool {
    typeid::of::<D>() == typeid::of::<deserializer::Tracing<'static>>()
}

fn trace_here<T: DeserializeOwned>(progress: Arc<Progress>) -> Traced {
    let _quiet = quiet::Quiet::new();
    let mut tracer = Tracer::new(type_name::<T>(), TRACE_STEPS, progress);
    while tracer.begin_pass() {
        let pass = catch_unwind(AssertUnwindSafe(|| {
            // Only the tracer's new knowledge is of interest, not the value nor the refusal.
            let _ = tracer.read_root(PhantomData::<T>);
        }));
        tracer.end_pass(pass.is_err());
    }
    tracer.into_schema()
}

#[cfg(all(test, not(shuttle)))]
mod tests;
