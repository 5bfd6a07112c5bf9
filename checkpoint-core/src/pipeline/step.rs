//! One step: everything that its result depends on, and the function that makes it.

mod context;
mod look;
mod making;
mod running;

use std::fmt;
use std::path::{Path, PathBuf};

use serde::Serialize;

pub use context::StepContext;

use super::Pipeline;
use super::folder::folder;
use super::inputs::Inputs;
use super::key::{Key, Parameter};
use super::output::Output;
use super::produced::Declared;
use crate::error::Error;
use crate::run::read_back::ReadBack;

/// The number of versions of an output that are kept by default.
const KEEP: usize = 3;
/// The longest name of its folder, in bytes: a file system allows 255, and the folder of its
/// progress has a longer name.
const LONGEST_NAME: usize = 200;

/// A step that is being declared. See [`Pipeline`] for an example.
#[must_use = "a step does nothing until it is run"]
pub struct Step<'p> {
    pipeline: &'p Pipeline,
    name: String,
    key: Key,
    reads: Vec<Reads>,
    /// The files that it reads, as they were before the work.
    inputs: Inputs,
    produces: Vec<PathBuf>,
    /// The same by name.
    produced: Declared,
    keeps_produced: bool,
    keep: usize,
    read_back: ReadBack,
    /// True if its name is that of this declaration.
    is_declared: bool,
    /// True if it had failed before, and is declared again.
    had_failed: bool,
    /// The first error of the declaration, for `run` to return.
    wrong: Option<Error>,
}

/// Files that a step reads.
#[derive(Debug)]
enum Reads {
    File(PathBuf),
    Directory(PathBuf),
    Matching(String),
}

impl<'p> Step<'p> {
    pub(super) fn new(pipeline: &'p Pipeline, name: &str) -> Step<'p> {
        let key = Key { version: 1, ..Key::default() };
        let mut step = Step {
            pipeline,
            name: name.to_owned(),
            key,
            reads: Vec::new(),
            inputs: Inputs::default(),
            produces: Vec::new(),
            produced: Declared::new(),
            keeps_produced: false,
            keep: KEEP,
            read_back: ReadBack::default(),
            is_declared: false,
            had_failed: false,
            wrong: None,
        };
        if let Err(error) = pipeline.guard.check_process() {
            step.wrong = Some(error);
            return step;
        }
        if name.is_empty() {
            step.refuse("a step has a name");
            return step;
        }
        if folder(name).len() > LONGEST_NAME {
            step.refuse(
                "its name is too long for that of a folder: 200 bytes of letters, digits, `_`, `-` and dots are not, and each \
                 byte of anything else counts as three",
            );
            return step;
        }
        match pipeline.book().declare(name) {
            Ok(had_failed) => (step.is_declared, step.had_failed) = (true, had_failed),
            Err(same) if same == name => step.wrong = Some(Error::StepTwice { step: same }),
            Err(_) => {
                let why = "it differs from another only in upper and lower case, which some file systems do not tell apart";
                step.refuse(why);
            }
        }
        step
    }

    fn refuse(&mut self, why: &'static str) {
        let setting = format!("step {:?}", self.name);
        self.wrong.get_or_insert(Error::InvalidSetting { setting, why });
    }

    /// A value that the result depends on: anything that serde serializes. Text and numbers are
    /// shown when they change.
    pub fn param<P: Serialize + ?Sized>(mut self, name: &str, value: &P) -> Step<'p> {
        match Parameter::of(value) {
            Ok(parameter) => {
                if self.key.parameters.insert(name.to_owned(), parameter).is_some() {
                    let setting = format!("the parameter `{name}` of step `{}`", self.name);
                    let why = "it is given twice, and only one of the values would count";
                    self.wrong.get_or_insert(Error::InvalidSetting { setting, why });
                }
            }
            Err(why) => {
                let name = format!("the parameter {name} of step {}", self.name);
                self.wrong.get_or_insert(Error::Encode { name, why });
            }
        }
        self
    }

    /// The function behind the step, with its generic parameters: for the macro.
    #[doc(hidden)]
    pub fn function(mut self, path: &str, generics: &[String]) -> Step<'p> {
        self.key.function = match generics {
            [] => path.to_owned(),
            generics => format!("{path}<{}>", generics.join(", ")),
        };
        self
    }

    /// The output of an earlier step that the result depends on. It is not loaded; the function
    /// loads it, if it is run. The order of the inputs counts, and so does that of files,
    /// directories, patterns and produced files.
    pub fn input<U>(mut self, output: &Output<U>) -> Step<'p> {
        if output.pipeline == self.pipeline.number {
            self.key.inputs.insert(output.step.clone(), output.identity.clone());
            self.key.declared.push(format!("input {}", output.step));
        } else {
            let (step, input) = (self.name.clone(), output.step.clone());
            self.wrong.get_or_insert(Error::ForeignInput { step, input });
        }
        self
    }

    /// A file that the result depends on, by its content. A relative path starts at the working
    /// directory at the time of [`run`](Step::run), as in the function.
    ///
    /// If the file is changed while the step runs, it is not known what the step has read. The
    /// output then counts in this run, and the next one runs the step again.
    pub fn file(mut self, path: impl AsRef<Path>) -> Step<'p> {
        self.reads.push(Reads::File(path.as_ref().to_owned()));
        self
    }

    /// All files in a directory and in the directories in it, hidden ones too: the result depends
    /// on their names and their contents, each as that of a [`file`](Step::file). The directory of
    /// the pipeline does not count. Links are followed.
    pub fn directory(mut self, path: impl AsRef<Path>) -> Step<'p> {
        self.reads.push(Reads::Directory(path.as_ref().to_owned()));
        self
    }

    /// The files that match a pattern, such as `data/*.csv` or `data/**/*.csv`: the result depends
    /// on their names and their contents, each as that of a [`file`](Step::file). `?`, `*` and
    /// `[a-z]` mean what they mean in a shell, and `**/` stands for any directories, but hidden
    /// ones and links. A pattern that no file matches is an error, and so is a match that cannot be
    /// looked at.
    ///
    /// ```
    /// use checkpointed::{Error, Pipeline};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let project = directory.path();
    /// # std::fs::write(project.join("a.csv"), "1").unwrap();
    /// let pattern = project.join("*.csv");
    /// let pattern = pattern.to_str().expect("a path that is text");
    /// let run = || {
    ///     let pipeline = Pipeline::open(project.join("analysis.pipeline"))?;
    ///     pipeline.step("load").files(pattern).run(|_| Ok::<u64, Error>(1))?;
    ///     Ok::<_, Error>(pipeline.finish()?[0].reasons[0].to_string())
    /// };
    /// run()?;
    /// std::fs::write(project.join("b.csv"), "2").unwrap();
    /// assert_eq!(run()?, "b.csv is new");
    /// # Ok(())
    /// # }
    /// ```
    pub fn files(mut self, pattern: &str) -> Step<'p> {
        self.reads.push(Reads::Matching(pattern.to_owned()));
        self
    }

    /// A file that the function makes: it is part of the output. It is hashed and synced before the
    /// output is saved, and steps that take the output as an [`input`](Step::input) depend on its
    /// content. If it is gone or has changed later, the step is run again, or a
    /// [kept copy](Step::keep_produced) takes its place.
    ///
    /// The function writes it anew in each run, unless it continues from its [own
    /// checkpoints](StepContext::checkpointer): a file that was there before and was not written is
    /// an error, since it may be the half of a run that was killed.
    ///
    /// ```
    /// use checkpointed::{Error, Pipeline, pipeline::Outcome};
    ///
    /// # fn main() -> Result<(), Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let project = directory.path();
    /// let plot = project.join("plot.svg");
    /// let run = || {
    ///     let pipeline = Pipeline::open(project.join("analysis.pipeline"))?;
    ///     pipeline.step("plot").produces(&plot).run(|_| std::fs::write(&plot, "<svg/>"))?;
    ///     Ok::<_, Error>(pipeline.finish()?.remove(0))
    /// };
    /// assert_eq!(run()?.outcome, Outcome::Ran);
    /// assert_eq!(run()?.outcome, Outcome::Reused);
    ///
    /// std::fs::remove_file(&plot).unwrap();
    /// assert_eq!(run()?.reasons[0].to_string(), "plot.svg, which it produced, is gone");
    /// assert!(plot.exists());
    /// # Ok(())
    /// # }
    /// ```
    pub fn produces(mut self, path: impl AsRef<Path>) -> Step<'p> {
        self.produces.push(path.as_ref().to_owned());
        self
    }

    /// Sets if a copy of each file that the step [produces](Step::produces) is kept with each
    /// version of its output; none is by default. Then the file is put back if it is gone or was
    /// changed, or if an older version is taken. A file that was changed by another program is
    /// moved aside first, to `plot.png.changed`, and so is anything that is no file, and a link
    /// that leads to none.
    pub fn keep_produced(mut self, keep: bool) -> Step<'p> {
        self.keeps_produced = keep;
        self
    }

    /// The version of the function, 1 by default. Raise it when the function computes something
    /// else than before.
    pub fn version(mut self, version: u32) -> Step<'p> {
        self.key.version = version;
        self
    }

    /// The number of versions of the output to keep, 3 by default. To go back to parameters with a
    /// kept output costs nothing.
    pub fn keep(mut self, versions: usize) -> Step<'p> {
        self.keep = versions;
        self
    }

    /// Sets when the output is loaded again and compared before it counts, and likewise the first
    /// of the step's [own checkpoints](StepContext::checkpointer); [`ReadBack::Auto`] by default.
    /// See [`Builder::read_back`](crate::Builder::read_back).
    pub fn read_back(mut self, read_back: ReadBack) -> Step<'p> {
        self.read_back = read_back;
        self
    }
}

impl fmt::Debug for Step<'_> {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Step")
            .field("name", &self.name)
            .field("key", &self.key)
            .finish_non_exhaustive()
    }
}
