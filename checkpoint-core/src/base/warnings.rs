//! Warnings: what goes wrong without being an error, and must not go unseen. All of them go through here.
//!
//! Each is an event of [`tracing`]. Most programs never set a subscriber for these, and then nothing would be seen of a
//! damaged checkpoint that was passed over. So where none was ever set, a warning is one line on standard error.

use std::cell::RefCell;
use std::fmt;
use std::sync::{Arc, OnceLock};

use crate::base::panics::caught;
use crate::base::text::plain;

/// Something that went wrong and did not stop the program, for one that takes its
/// [warnings](crate::Builder::on_warning) itself.
///
/// Its text is the message: one line, which says what happened, where, and what to do.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Warning {
    /// What happened, where, and what to do.
    pub message: String,
    /// Whether something is lost by it, or may be.
    pub is_error: bool,
}

impl fmt::Display for Warning {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

/// Where the warnings of a checkpointer go, besides to `tracing`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Warnings {
    /// Whether they go to standard error; unless said, where `tracing` has no subscriber.
    pub(crate) to_stderr: Option<bool>,
    /// Takes them, instead of standard error.
    pub(crate) taker: Option<Taker>,
}

/// A function of the program that takes its warnings.
#[derive(Clone)]
pub(crate) struct Taker(pub(crate) Arc<dyn Fn(&Warning) + Send + Sync>);

impl fmt::Debug for Taker {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("on_warning")
    }
}

thread_local! {
    /// The settings of the checkpointer that is at work in this thread.
    static CURRENT: RefCell<Option<Warnings>> = const { RefCell::new(None) };
}

/// Until dropped, the warnings of this thread go where a checkpointer wants them.
pub(crate) struct Scope {
    /// What was before; `None` where nothing was changed.
    before: Option<Option<Warnings>>,
}

impl Warnings {
    /// Lets the warnings of this thread go here.
    pub(crate) fn enter(&self) -> Scope {
        if self.to_stderr.is_none() && self.taker.is_none() {
            return Scope { before: None };
        }
        Scope { before: Some(CURRENT.replace(Some(self.clone()))) }
    }
}

impl Drop for Scope {
    fn drop(&mut self) {
        if let Some(before) = self.before.take() {
            CURRENT.set(before);
        }
    }
}

/// Warns of something: one line, which says what happened, where, and what to do.
pub(crate) fn warn(message: impl Into<String>) {
    tell(&Warning { message: plain(&message.into()).into_owned(), is_error: false });
}

/// Says that something is lost.
pub(crate) fn error(message: impl Into<String>) {
    tell(&Warning { message: plain(&message.into()).into_owned(), is_error: true });
}

fn tell(warning: &Warning) {
    let Warnings { to_stderr, taker } = CURRENT.with_borrow(Clone::clone).unwrap_or_default();
    // A subscriber is the program's code, and may panic. So is what takes the warnings.
    let _ = caught(|| match warning.is_error {
        true => tracing::error!(target: "checkpointed", "{warning}"),
        false => tracing::warn!(target: "checkpointed", "{warning}"),
    });
    if let Some(Taker(take)) = taker
        && caught(|| take(warning)).is_ok()
    {
        return;
    }
    if of_process().or(to_stderr).unwrap_or_else(|| !tracing::dispatcher::has_been_set()) {
        let what = if warning.is_error { "error" } else { "warning" };
        let line = format!("checkpointed: {what}: {warning}\n");
        to_stderr_of_process(&line);
    }
}

#[cfg(not(test))]
fn to_stderr_of_process(line: &str) {
    use std::io::Write as _;
    // Not `eprint!`, which panics where standard error is closed.
    let _ = std::io::stderr().lock().write_all(line.as_bytes());
}

/// In tests where their output goes.
#[cfg(test)]
fn to_stderr_of_process(line: &str) {
    eprint!("{line}");
}

/// The variable by which a user says where the warnings of a process go.
pub(crate) const VARIABLE: &str = "CHECKPOINT_WARNINGS";

/// Where the environment sends the warnings of this process. A value that is not understood counts as none: opening a
/// directory refuses it.
fn of_process() -> Option<bool> {
    static SAID: OnceLock<Option<bool>> = OnceLock::new();
    *SAID.get_or_init(|| parse(std::env::var(VARIABLE).ok()?.trim()).ok().flatten())
}

/// Whether a value of [`VARIABLE`] sends warnings to standard error; `None` where it is empty.
///
/// # Errors
/// The values that it may have.
pub(crate) fn parse(value: &str) -> Result<Option<bool>, &'static str> {
    match value {
        "" => Ok(None),
        "off" => Ok(Some(false)),
        "stderr" => Ok(Some(true)),
        _ => Err("it is `off` or `stderr`"),
    }
}
