//! Silences the messages of panics that are caught while a type is traced, since nothing is wrong.
//!
//! A panic calls the program's hook before it can be caught. So a hook of ours is put before it,
//! and passes on the panics of other threads. A program may set its own hook at any time: then the
//! next tracing puts ours before that one. Ours is never taken away, because a hook that was put
//! before it would go with it.

use std::cell::Cell;
use std::panic::{self, PanicHookInfo};
use std::sync::{Mutex, PoisonError};
use std::thread;

thread_local! {
    static QUIET: Cell<bool> = const { Cell::new(false) };
}

/// The address of our hook. No other hook has it while ours is set.
static OURS: Mutex<usize> = Mutex::new(0);

type Hook = Box<dyn Fn(&PanicHookInfo<'_>) + Send + Sync>;

/// Keeps this thread quiet for as long as it lives.
pub(super) struct Quiet(());

impl Quiet {
    pub(super) fn new() -> Quiet {
        // A hook cannot be set in the middle of a panic.
        if !thread::panicking() {
            set_hook();
        }
        QUIET.set(true);
        Quiet(())
    }
}

impl Drop for Quiet {
    fn drop(&mut self) {
        QUIET.set(false);
    }
}

fn set_hook() {
    let mut ours = OURS.lock().unwrap_or_else(PoisonError::into_inner);
    let current: Hook = panic::take_hook();
    if address(&current) == *ours {
        return panic::set_hook(current);
    }
    let hook: Hook = Box::new(move |panic| {
        let is_quiet = QUIET.try_with(Cell::get).unwrap_or(false);
        if is_quiet && cfg!(panic = "abort") {
            crate::base::warnings::error(
                "a type panicked on a sample value, from which its form is found out; with panic = \"abort\" that ends \
                 the program: say the form with #[checkpointed(as = \"…\")] on the field",
            );
        }
        if !is_quiet || cfg!(panic = "abort") {
            current(panic);
        }
    });
    *ours = address(&hook);
    panic::set_hook(hook);
}

fn address(hook: &Hook) -> usize {
    (&raw const **hook).cast::<()>().addr()
}
