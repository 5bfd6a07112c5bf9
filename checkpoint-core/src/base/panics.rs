//! Contains panics of code that is not ours, and what else it does.

use std::any::Any;
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};

thread_local! {
    /// The number of functions of the program that this thread is in.
    static CALLS: Cell<u32> = const { Cell::new(0) };
}

/// Calls a function that the program gave us, and returns the message of a panic as an error.
pub(crate) fn called<R>(function: impl FnOnce() -> R) -> Result<R, String> {
    let before = calls();
    CALLS.set(before.saturating_add(1));
    let outcome = caught(function);
    CALLS.set(before);
    outcome
}

/// The number of functions of the program that this thread is in. What such a function encodes or
/// decodes is no part of what the thread did when it was called.
pub(crate) fn calls() -> u32 {
    CALLS.get()
}

/// Does `work`, and returns the message of a panic as an error.
pub(crate) fn caught<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = message(&*panic);
        // Dropping the payload of a panic can panic once more. That payload is dropped too.
        let again = catch_unwind(AssertUnwindSafe(|| drop(panic)));
        again.unwrap_or_else(std::mem::forget);
        text
    })
}

/// The message of a panic.
pub(crate) fn message(panic: &(dyn Any + Send)) -> String {
    let text = panic.downcast_ref::<&str>().map(|text| (*text).to_owned());
    text.or_else(|| panic.downcast_ref::<String>().cloned()).unwrap_or_else(|| "no message".to_owned())
}

#[cfg(test)]
#[allow(clippy::panic, reason = "it is about panics")]
mod tests {
    use super::*;

    #[test]
    fn a_panic_whose_message_panics_too_is_caught() {
        struct Bomb;
        impl Drop for Bomb {
            fn drop(&mut self) {
                std::panic::panic_any(1);
            }
        }
        assert_eq!(caught(|| std::panic::panic_any(Bomb)), Err::<(), _>("no message".to_owned()));
        assert_eq!(caught(|| 7), Ok(7));
    }
}
