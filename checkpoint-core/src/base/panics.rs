//! Contains panics of code that is not ours.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

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
