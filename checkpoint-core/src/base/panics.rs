//! Panics of code that is not ours.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};

/// Does something of which a panic must not get further; the panic is given instead, as its message.
pub(crate) fn caught<R>(work: impl FnOnce() -> R) -> Result<R, String> {
    catch_unwind(AssertUnwindSafe(work)).map_err(|panic| {
        let text = message(&*panic);
        // What was thrown may panic once more when it is dropped, and that is thrown too.
        let again = catch_unwind(AssertUnwindSafe(|| drop(panic)));
        again.unwrap_or_else(std::mem::forget);
        text
    })
}

/// What a panic said.
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
