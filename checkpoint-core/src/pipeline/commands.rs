//! The commands of the user: steps to run again, to leave out, or to take as they are.

use std::cell::Cell;
use std::collections::{BTreeMap, BTreeSet};
use std::marker::PhantomData;

use super::VARIABLE;
use crate::environment;
use crate::error::Error;

thread_local! {
    /// The number of steps whose work this thread is in.
    static STEPS: Cell<u32> = const { Cell::new(0) };
}

/// While it lives, this thread is in the work of a step.
pub(super) struct InStep(PhantomData<*const ()>);

impl InStep {
    pub(super) fn begin() -> InStep {
        STEPS.set(STEPS.get() + 1);
        InStep(PhantomData)
    }
}

impl Drop for InStep {
    fn drop(&mut self) {
        STEPS.set(STEPS.get() - 1);
    }
}

/// True in the work of a step, and in the threads that [`parallel`](super::Pipeline::parallel)
/// began there.
pub(super) fn is_in_step() -> bool {
    STEPS.get() > 0
}

/// The value of the variable; empty if it is not set, and inside the work of a step: it is for the
/// pipeline of the program, not for one that a step opens.
pub(super) fn of_the_environment() -> Result<String, Error> {
    if is_in_step() {
        return Ok(String::new());
    }
    Ok(environment::variable(VARIABLE)?.unwrap_or_default())
}

#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Commands {
    pub(super) force: BTreeSet<String>,
    /// Like `force`, requested by a file in the directory. The program may no longer have such a
    /// step.
    pub(super) redo: BTreeSet<String>,
    pub(super) force_only: BTreeSet<String>,
    pub(super) only: BTreeSet<String>,
    pub(super) from: Option<String>,
    pub(super) to: Option<String>,
    pub(super) accept: BTreeSet<String>,
    pub(super) versions: BTreeMap<String, u64>,
}

impl Commands {
    /// Reads the value of the variable.
    pub(super) fn parse(text: &str) -> Result<Commands, Error> {
        let mut commands = Commands::default();
        for command in text.split(',').map(str::trim).filter(|command| !command.is_empty()) {
            let wrong = |why| Error::InvalidSetting { setting: format!("{VARIABLE}={command}"), why };
            let Some((word, step)) = command.split_once(':') else {
                return Err(wrong("a command is a word, a colon and the name of a step, such as force:fit"));
            };
            let step = step.trim().to_owned();
            if step.is_empty() {
                return Err(wrong("the name of the step is missing"));
            }
            match word.trim() {
                "force" => drop(commands.force.insert(step)),
                "force-only" => drop(commands.force_only.insert(step)),
                "only" => drop(commands.only.insert(step)),
                "from" if commands.from.is_some() => return Err(wrong("only one `from` can count")),
                "from" => commands.from = Some(step),
                "to" if commands.to.is_some() => return Err(wrong("only one `to` can count")),
                "to" => commands.to = Some(step),
                "accept" => drop(commands.accept.insert(step)),
                "use" => {
                    let version = step
                        .rsplit_once('@')
                        .and_then(|(step, number)| Some((step.to_owned(), number.parse().ok()?)));
                    let (step, version) = version.ok_or_else(|| wrong("a version is meant so: use:fit@3"))?;
                    commands.versions.insert(step, version);
                }
                _ => {
                    let why = "the commands are force, force-only, only, from, to, accept and use";
                    return Err(wrong(why));
                }
            }
        }
        Ok(commands)
    }

    /// The steps that the commands name.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let sets = [&self.force, &self.force_only, &self.only, &self.accept];
        let names = sets.into_iter().flatten().chain(&self.from).chain(&self.to);
        names.chain(self.versions.keys()).map(String::as_str)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn every_command_is_understood() {
        let text = "force:a, force-only:b,only:c,from:d,to:e,accept:f ,use:g@3,,use:h@i@4";
        let commands = Commands::parse(text).unwrap();
        assert_eq!(commands.names().collect::<Vec<_>>(), ["a", "b", "c", "f", "d", "e", "g", "h@i"]);
        assert_eq!(commands.versions["h@i"], 4);
        assert_eq!(Commands::parse("").unwrap(), Commands::default());
    }

    #[test]
    fn what_is_no_command_is_refused() {
        for text in ["fit", "force:", "redo:fit", "use:fit", "use:fit@x"] {
            let error = Commands::parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("CHECKPOINT_STEPS={text}")), "{error}");
        }
        for (text, second) in [("from:a,from:b", "from:b"), ("to:a,force:c,to:b", "to:b")] {
            let error = Commands::parse(text).unwrap_err().to_string();
            assert!(error.contains(&format!("CHECKPOINT_STEPS={second}")), "{error}");
        }
    }
}
