//! The outcome of a step, and the reasons.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use crate::base::text::plain;

/// The outcome of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Outcome {
    /// It was run, and its output saved.
    Ran,
    /// A version of its output was taken instead.
    Reused,
}

/// A reason why a step was run, or why it was not.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// Nothing has changed.
    Unchanged,
    /// No version of its output is kept.
    NothingKept,
    /// Its version was raised.
    #[non_exhaustive]
    Version {
        /// The version in the kept output with the fewest changes.
        old: u32,
        /// The version in the program.
        new: u32,
    },
    /// The function of `#[step]` is another one, or has other generic parameters.
    #[non_exhaustive]
    Function {
        /// The path of the function, with its generic parameters; empty without the macro.
        old: String,
        /// The same in the program.
        new: String,
    },
    /// A parameter has another value.
    #[non_exhaustive]
    Parameter {
        /// Its name.
        name: String,
        /// The old value, as JSON in which maps are sorted, and NaN and the infinities are numbers.
        /// A very long one is replaced by its beginning and a hash. `None` if there was no such
        /// parameter.
        old: Option<String>,
        /// The new value, in the same form. `None` if there is no such parameter any more.
        new: Option<String>,
        /// True if both are the same values in another order. The order of a `HashSet` is random:
        /// that of a `BTreeSet` is the same each time.
        reordered: bool,
    },
    /// An output that it takes is another one.
    #[non_exhaustive]
    Input {
        /// The step that made it.
        step: String,
        /// The hash of the old output; `None` if none was taken.
        old: Option<String>,
        /// The hash of the new output; `None` if it is not taken any more.
        new: Option<String>,
    },
    /// A file that it reads has other content.
    #[non_exhaustive]
    File {
        /// The path of the file, from the [project](crate::pipeline::PipelineBuilder::project) on
        /// if it is in there. The path of a directory, or a pattern, for more than 1000 files
        /// together.
        path: PathBuf,
        /// The hash of the old content; `None` if the file was not read.
        old: Option<String>,
        /// The hash of the new content; `None` if the file is not read any more.
        new: Option<String>,
    },
    /// A file was changed while the step ran, so it is not known what the step has read.
    #[non_exhaustive]
    ChangedMeanwhile {
        /// The path of the file.
        path: PathBuf,
    },
    /// It produces other files.
    #[non_exhaustive]
    Produces {
        /// The path of the file.
        path: PathBuf,
        /// True if it produces the file now, false if it did before.
        now: bool,
    },
    /// What it takes, reads or produces is the same, but is declared in another order or as another
    /// directory.
    Declared,
    /// A file that it produced is gone.
    #[non_exhaustive]
    ProducedGone {
        /// The path of the file.
        path: PathBuf,
    },
    /// A file that it produced has other content.
    #[non_exhaustive]
    ProducedChanged {
        /// The path of the file.
        path: PathBuf,
    },
    /// A file that it produced was not there as it was produced, and a kept copy took its place.
    #[non_exhaustive]
    Restored {
        /// The path of the file.
        path: PathBuf,
    },
    /// Its output has another type.
    Type,
    /// A kept version of its output cannot be used.
    #[non_exhaustive]
    Damaged {
        /// Its number.
        version: u64,
        /// The damage.
        why: String,
    },
    /// Another process that runs the pipeline at the same time has just run it.
    RunElsewhere,
    /// The user requested a run.
    Forced,
    /// A step that it depends on was run because the user requested it.
    ForcedBy(String),
    /// The user requested this version.
    Chosen,
    /// The user takes the version with the fewest changes as valid.
    Accepted,
    /// The user wants only other steps run, though something has changed.
    LeftAlone,
}

impl Reason {
    /// True if the user wants the step to be run.
    pub(super) fn is_command(&self) -> bool {
        matches!(self, Reason::Forced | Reason::ForcedBy(_))
    }
}

impl fmt::Display for Reason {
    /// Names of files can have line ends in them, and worse.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&plain(&InWords(self).to_string()))
    }
}

/// A reason, with names as they are.
struct InWords<'a>(&'a Reason);

impl fmt::Display for InWords<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let change = |old: &Option<String>, new: &Option<String>| match (old, new) {
            (None, _) => "is new",
            (_, None) => "is not used any more",
            _ => "has changed",
        };
        match self.0 {
            Reason::Unchanged => formatter.write_str("nothing has changed"),
            Reason::NothingKept => formatter.write_str("nothing is kept of it"),
            Reason::Version { old, new } => write!(formatter, "version {old} became {new}"),
            Reason::Function { old, new } => {
                let named =
                    |function: &str| if function.is_empty() { "a closure" } else { function }.to_owned();
                write!(formatter, "its function was {}, and is {} now", named(old), named(new))
            }
            Reason::Declared => {
                formatter.write_str("its inputs or files are declared in another order or role")
            }
            Reason::Parameter { name, old: Some(old), new: Some(new), reordered } => {
                let order = if *reordered { ", the same values in another order" } else { "" };
                write!(formatter, "{name}: {old} became {new}{order}")
            }
            Reason::Parameter { name, old: Some(old), new: None, .. } => {
                write!(formatter, "{name}, which was {old}, is not used any more")
            }
            Reason::Parameter { name, new, .. } => {
                write!(formatter, "{name} is new: {}", new.as_deref().unwrap_or_default())
            }
            Reason::Input { step, old, new } => {
                write!(formatter, "the output of {step} {}", change(old, new))
            }
            Reason::File { path, old, new } => {
                write!(formatter, "{} {}", path.display(), change(old, new))
            }
            Reason::ChangedMeanwhile { path } => {
                write!(formatter, "{} was changed while the step ran", path.display())
            }
            Reason::Produces { path, now: true } => write!(formatter, "it produces {} now", path.display()),
            Reason::Produces { path, now: false } => {
                write!(formatter, "it does not produce {} any more", path.display())
            }
            Reason::ProducedGone { path } => {
                write!(formatter, "{}, which it produced, is gone", path.display())
            }
            Reason::ProducedChanged { path } => {
                write!(formatter, "{}, which it produced, has changed", path.display())
            }
            Reason::Restored { path } => write!(formatter, "{} was put back", path.display()),
            Reason::Type => formatter.write_str("its output has another type"),
            Reason::Damaged { version, why } => write!(formatter, "version {version} cannot be used: {why}"),
            Reason::RunElsewhere => formatter.write_str("another process has run it"),
            Reason::Forced => formatter.write_str("forced"),
            Reason::ForcedBy(step) => write!(formatter, "{step} was forced"),
            Reason::Chosen => formatter.write_str("chosen"),
            Reason::Accepted => formatter.write_str("accepted"),
            Reason::LeftAlone => formatter.write_str("left alone"),
        }
    }
}

/// The report of a step.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct StepReport {
    /// Its name.
    pub step: String,
    /// The outcome.
    pub outcome: Outcome,
    /// The reasons for it.
    pub reasons: Vec<Reason>,
    /// The number of the version of its output that counts now.
    pub version: u64,
    /// The length of its file, in bytes.
    pub bytes: u64,
    /// The time that it took in this run.
    pub duration: Duration,
}

impl fmt::Display for StepReport {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let outcome = match self.outcome {
            Outcome::Ran => "ran",
            Outcome::Reused => "reused",
        };
        let StepReport { step, version, bytes, .. } = self;
        let seconds = self.duration.as_secs_f64();
        write!(formatter, "{step}: {outcome}, version {version}, {bytes} bytes, {seconds:.3} s (")?;
        for (place, reason) in self.reasons.iter().enumerate() {
            write!(formatter, "{}{reason}", if place > 0 { "; " } else { "" })?;
        }
        formatter.write_str(")")
    }
}

/// An event of a pipeline at work.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum StepEvent {
    /// A step begins to run.
    #[non_exhaustive]
    Started {
        /// Its name.
        step: String,
        /// The reasons for the run.
        reasons: Vec<Reason>,
    },
    /// Another process runs a step, and this one waits until it has ended.
    #[non_exhaustive]
    Waiting {
        /// Its name.
        step: String,
        /// The other process, in words.
        holder: String,
    },
    /// It was run, or reused.
    Done(StepReport),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reason_is_one_line_whatever_the_names_in_it() {
        let name = "data/a\nb\u{1b}[31m";
        let path = || PathBuf::from(name);
        let shown = "data/a\\nb\\u{1b}[31m";
        let reasons = [
            (Reason::File { path: path(), old: None, new: None }, " is new"),
            (Reason::ChangedMeanwhile { path: path() }, " was changed while the step ran"),
            (Reason::ProducedGone { path: path() }, ", which it produced, is gone"),
            (Reason::Restored { path: path() }, " was put back"),
            (Reason::ForcedBy(name.to_owned()), " was forced"),
        ];
        for (reason, end) in reasons {
            assert_eq!(reason.to_string(), format!("{shown}{end}"));
        }
    }
}
