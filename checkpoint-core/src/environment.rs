//! The environment variables that change a program without compiling it.
//!
//! A variable goes before the setting of the program. An invalid value is an error of opening. An
//! unknown name that looks like ours gets a warning: a misspelt setting must not be lost.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use crate::base::warnings;
use crate::error::Error;

/// The prefix of all of them.
const PREFIX: &str = "CHECKPOINT_";

/// The schedule of saves: `10min`, `1000 steps`, `1%`, `adaptive`.
pub(crate) const EVERY: &str = "CHECKPOINT_EVERY";
/// The number of generations to keep.
pub(crate) const KEEP: &str = "CHECKPOINT_KEEP";
/// `on` to save in the background.
pub(crate) const BACKGROUND: &str = "CHECKPOINT_BACKGROUND";
/// The time to run.
pub(crate) const TIME_LIMIT: &str = "CHECKPOINT_TIME_LIMIT";
/// The end of the job.
pub(crate) const DEADLINE: &str = "CHECKPOINT_DEADLINE";
/// The reaction to a failed save.
pub(crate) const ON_FAILED_SAVE: &str = "CHECKPOINT_ON_FAILED_SAVE";
/// The destination of a line for each save.
pub(crate) const SAVES: &str = "CHECKPOINT_SAVES";
/// The destination of warnings.
pub(crate) use crate::base::warnings::VARIABLE as WARNINGS;
/// The exit codes of a program that is to be started again, and of one that a user halted.
pub(crate) const EXIT_REQUEUE: &str = "CHECKPOINT_EXIT_REQUEUE";
pub(crate) const EXIT_HALTED: &str = "CHECKPOINT_EXIT_HALTED";
/// The steps of a pipeline to run: a user's commands.
pub(crate) const STEPS: &str = "CHECKPOINT_STEPS";

const KNOWN: [&str; 11] = [
    EVERY,
    KEEP,
    BACKGROUND,
    TIME_LIMIT,
    DEADLINE,
    ON_FAILED_SAVE,
    SAVES,
    WARNINGS,
    EXIT_REQUEUE,
    EXIT_HALTED,
    STEPS,
];

/// Names that scripts and programs read by themselves.
const OF_OTHERS: [&str; 2] = ["CHECKPOINT_DIR", "CHECKPOINT_KEY"];

/// The names that the program itself read.
static ASKED: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());

/// Records that the program reads a variable of this name.
pub(crate) fn ask(name: &str) {
    ASKED.lock().unwrap_or_else(PoisonError::into_inner).insert(name.to_owned());
}

/// The value of a variable, without space around it. An empty variable counts as unset.
///
/// # Errors
/// [`Error::InvalidSetting`] if it is not UTF-8.
pub(crate) fn variable(name: &str) -> Result<Option<String>, Error> {
    let Some(value) = std::env::var_os(name) else { return Ok(None) };
    match value.to_str() {
        Some(value) => Ok(Some(value.trim().to_owned()).filter(|value| !value.is_empty())),
        None => Err(invalid(name, &value.to_string_lossy(), "it is not UTF-8")),
    }
}

/// The error of a variable with an invalid value.
pub(crate) fn invalid(name: &str, value: &str, why: &'static str) -> Error {
    Error::InvalidSetting { setting: format!("{name}={value}"), why }
}

/// Warns, once in a process, of unknown variables that look like ours.
pub(crate) fn warn_of_unknown() {
    static WARNED: AtomicBool = AtomicBool::new(false);
    // The program's own code hears of it, and may come here again.
    if WARNED.swap(true, Ordering::AcqRel) {
        return;
    }
    let names = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let asked = ASKED.lock().unwrap_or_else(PoisonError::into_inner).clone();
    for name in unknown(names, &asked) {
        warnings::warn(format!(
            "the environment variable {name} is not known, and does nothing: those that are known are {}",
            KNOWN.join(", ")
        ));
    }
}

fn unknown(names: impl Iterator<Item = String>, asked: &BTreeSet<String>) -> Vec<String> {
    let is_known = |name: &str| KNOWN.contains(&name) || OF_OTHERS.contains(&name) || asked.contains(name);
    names.filter(|name| name.starts_with(PREFIX) && !is_known(name)).collect()
}

/// A number that is at least 1.
pub(crate) fn count(name: &str) -> Result<Option<usize>, Error> {
    let Some(value) = variable(name)? else { return Ok(None) };
    let number = value.parse().ok().filter(|number| *number > 0);
    number.map(Some).ok_or_else(|| invalid(name, &value, "it is a number, and at least 1"))
}

/// `on` or `off`.
pub(crate) fn switch(name: &str) -> Result<Option<bool>, Error> {
    match variable(name)?.as_deref() {
        None => Ok(None),
        Some("on") => Ok(Some(true)),
        Some("off") => Ok(Some(false)),
        Some(value) => Err(invalid(name, value, "it is `on` or `off`")),
    }
}

/// True if each save is to write a line on standard error; `None` where the user does not say.
pub(crate) fn saves_to_stderr() -> Result<Option<bool>, Error> {
    let value = variable(SAVES)?.unwrap_or_default();
    warnings::parse(&value).map_err(|why| invalid(SAVES, &value, why))
}

/// Checks the variable of warnings.
///
/// # Errors
/// [`Error::InvalidSetting`] if its value is invalid.
pub(crate) fn check_warnings() -> Result<(), Error> {
    let value = variable(WARNINGS)?.unwrap_or_default();
    warnings::parse(&value).map(drop).map_err(|why| invalid(WARNINGS, &value, why))
}

/// A duration greater than zero.
pub(crate) fn time(name: &str) -> Result<Option<Duration>, Error> {
    let Some(value) = variable(name)? else { return Ok(None) };
    let time = crate::base::time::parse_duration(&value).filter(|time| !time.is_zero());
    time.map(Some).ok_or_else(|| invalid(name, &value, "it is a duration as `2h`, `90min` or `3600s`"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_that_look_like_ours_and_are_not_are_unknown() {
        let names = [
            "PATH",
            "CHECKPOINTED_TEST",
            "CHECKPOINT_EVRY",
            "CHECKPOINT_KEEP",
            "CHECKPOINT_MINE",
            "CHECKPOINT_KEY",
        ];
        let asked = BTreeSet::from(["CHECKPOINT_MINE".to_owned()]);
        let names = names.into_iter().map(str::to_owned);
        assert_eq!(unknown(names, &asked), ["CHECKPOINT_EVRY"]);
    }
}
