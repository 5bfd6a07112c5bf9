//! Warnings: problems that are no errors, and yet must be seen. All of them go through here.
//!
//! Each is an event of [`tracing`]. Most programs never set a subscriber for these events, so a
//! damaged checkpoint would be skipped in silence. So a program without a subscriber gets each
//! warning as one line on standard error.

use std::fmt;
use std::ops::{Deref, DerefMut};
use std::sync::{Arc, MutexGuard, OnceLock};

use crate::base::lasting::{self, Lasting};
use crate::base::panics::called;
use crate::base::text::plain;

/// A problem that did not stop the program, for a program that takes its
/// [warnings](crate::Builder::on_warning) itself.
///
/// Displays as the message: one line that says what happened, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// The message: what happened, where, and what to do.
    pub message: String,
    /// True where data is lost, or may be.
    pub is_error: bool,
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// The destinations of the warnings of a checkpointer, besides `tracing`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warnings {
    /// True to write to standard error. By default, that happens where `tracing` has no subscriber.
    pub(crate) to_stderr: Option<bool>,
    /// The callback that takes the warnings instead of standard error.
    pub(crate) taker: Option<Taker>,
}

/// A callback of the program that takes its warnings.
#[derive(Clone)]
pub(crate) struct Taker(pub(crate) Arc<dyn Fn(&Warning) + Send + Sync>);

impl fmt::Debug for Taker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("on_warning")
    }
}

thread_local! {
    /// The settings of the checkpointer that works in this thread.
    static CURRENT: Lasting<Warnings> = const { lasting::nothing() };
    /// The warnings of this thread that wait, each with its destinations.
    static WAITING: Lasting<Vec<(Option<Warnings>, Warning)>> = const { lasting::nothing() };
}

/// While it lives, the warnings of this thread wait: it has a lock that the program's own code,
/// which takes them, may need.
pub(crate) struct Held {
    /// False inside of another one.
    is_first: bool,
}

impl Held {
    pub(crate) fn begin() -> Held {
        Held {
            is_first: lasting::look(&WAITING, |waiting| {
                let is_first = waiting.is_none();
                waiting.get_or_insert_default();
                is_first
            }),
        }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        if !self.is_first {
            return;
        }
        for (destinations, warning) in lasting::replace(&WAITING, None).unwrap_or_default() {
            let _of_then = Scope { before: Some(lasting::replace(&CURRENT, destinations)) };
            tell(&warning);
        }
    }
}

/// While it lives, the warnings of this thread go to the destinations of a checkpointer.
pub(crate) struct Scope {
    /// The previous settings; `None` where nothing was changed.
    before: Option<Option<Warnings>>,
}

impl Warnings {
    /// Sends the warnings of this thread here.
    pub(crate) fn enter(&self) -> Scope {
        if self.to_stderr.is_none() && self.taker.is_none() {
            return Scope { before: None };
        }
        Scope { before: Some(lasting::replace(&CURRENT, Some(self.clone()))) }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            lasting::replace(&CURRENT, before);
        }
    }
}

/// A value behind a lock of this thread, whose warnings wait until the lock is given back.
pub(crate) struct HeldGuard<'a, T> {
    // Given back first.
    guard: MutexGuard<'a, T>,
    _held: Held,
}

impl<'a, T> HeldGuard<'a, T> {
    pub(crate) fn new(guard: MutexGuard<'a, T>) -> HeldGuard<'a, T> {
        HeldGuard { guard, _held: Held::begin() }
    }
}

impl<T> Deref for HeldGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.guard
    }
}

impl<T> DerefMut for HeldGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        &mut self.guard
    }
}

/// Logs a warning: one line that says what happened, where, and what to do.
pub(crate) fn warn(message: impl Into<String>) {
    tell(&Warning { message: plain(&message.into()).into_owned(), is_error: false });
}

/// Logs that data is lost.
pub(crate) fn error(message: impl Into<String>) {
    tell(&Warning { message: plain(&message.into()).into_owned(), is_error: true });
}

fn tell(warning: &Warning) {
    let current = lasting::look(&CURRENT, |current| current.clone());
    let waits = lasting::look(&WAITING, |waiting| match waiting {
        Some(waiting) => {
            waiting.push((current.clone(), warning.clone()));
            true
        }
        None => false,
    });
    if waits {
        return;
    }
    let Warnings { to_stderr, taker } = current.unwrap_or_default();
    // A subscriber is the program's code, and can panic. So can the callback that takes the
    // warnings.
    let _ = called(|| match warning.is_error {
        true => tracing::error!(target: "checkpointed", "{warning}"),
        false => tracing::warn!(target: "checkpointed", "{warning}"),
    });
    if let Some(Taker(take)) = taker {
        // What the callback itself causes does not come to it again.
        let _elsewhere = Scope { before: Some(lasting::replace(&CURRENT, None)) };
        if called(|| take(warning)).is_ok() {
            return;
        }
    }
    if of_process().or(to_stderr).unwrap_or_else(|| !tracing::dispatcher::has_been_set()) {
        let what = if warning.is_error { "error" } else { "warning" };
        let line = format!("checkpointed: {what}: {warning}\n");
        to_stderr_of_process(&line);
    }
}

/// Writes a line on standard error.
#[cfg(not(test))]
pub(crate) fn to_stderr_of_process(line: &str) {
    use std::io::Write as _;
    // Not `eprint!`, which panics where standard error is closed.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

/// Like the function above, for tests: writes to their captured output.
#[cfg(test)]
pub(crate) fn to_stderr_of_process(line: &str) {
    eprint!("{line}");
}

/// The variable by which a user sends the warnings of a process somewhere else.
pub(crate) const VARIABLE: &str = "CHECKPOINT_WARNINGS";

/// The choice in the environment of this process. An invalid value counts as none here: opening a
/// directory refuses it.
fn of_process() -> Option<bool> {
    static SAID: OnceLock<Option<bool>> = OnceLock::new();
    *SAID.get_or_init(|| parse(std::env::var(VARIABLE).ok()?.trim()).ok().flatten())
}

/// Parses a value of [`VARIABLE`]: true sends warnings to standard error; `None` where it is empty.
///
/// # Errors
/// The values that are allowed.
pub(crate) fn parse(value: &str) -> Result<Option<bool>, &'static str> {
    match value {
        "" => Ok(None),
        "off" => Ok(Some(false)),
        "stderr" => Ok(Some(true)),
        _ => Err("it is `off` or `stderr`"),
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn warnings_wait_until_a_lock_is_given_back() {
        let lock = Arc::new(Mutex::new(Vec::new()));
        let taken = Arc::clone(&lock);
        let taker = Taker(Arc::new(move |warning| taken.lock().unwrap().push(warning.to_string())));
        let warnings = Warnings { taker: Some(taker), ..Warnings::default() };
        {
            let _outer = Held::begin();
            let _locked = lock.lock().unwrap();
            {
                let _warnings = warnings.enter();
                let _inner = Held::begin();
                warn("one");
            }
            let _warnings = warnings.enter();
            error("two");
        }
        assert_eq!(*lock.lock().unwrap(), ["one", "two"]);
        let _warnings = warnings.enter();
        warn("three");
        assert_eq!(lock.lock().unwrap().len(), 3);
    }
}
