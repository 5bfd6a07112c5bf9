//! A program's uses of a type of another crate, and their outcomes.

use std::cell::RefCell;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;

use checkpointed::inspect::File;
use checkpointed::{Checkpoint, CheckpointReader, Checkpointer, Error, Metadata, Protection};

/// The shapes in which programs hold a type, in the order of the table's columns.
pub const SHAPES: [&str; 4] =
    ["a field", "a field of a changed state", "`Vec<(T, u16)>`", "that, of a changed state"];

/// A few types of one crate, all in one state, or one type in several states, one for each shape.
pub struct Trial {
    /// The name of the crate in its manifest.
    pub package: &'static str,
    /// Tries them.
    pub run: Box<dyn FnOnce() -> Vec<Row>>,
}

/// The outcomes for one type.
#[derive(Debug)]
pub struct Row {
    /// The type, in a program's notation.
    pub ty: String,
    /// One for each of the [`SHAPES`].
    pub outcomes: [Outcome; 4],
    /// The element types of its arrays outside the encoded state when it is a field, with their
    /// numpy names.
    pub arrays: Vec<&'static str>,
}

/// The outcome for a type in one shape.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// Every load returned the saved value.
    Works,
    /// A refusal without loss: at the first save, or of a changed state that the program of the
    /// save still loads.
    Refused(String),
    /// A broken promise.
    Broken(String),
}

/// Makes the state of a program in one of the [`ROUNDS`].
pub type Make<'a, S> = &'a dyn Fn(usize) -> S;
/// The fields of a state with other values than those of that round.
pub type Others<'a, S> = &'a dyn Fn(usize, &S) -> Vec<&'static str>;

/// The number of times that a state is tried, each time with the next value of each type.
pub const ROUNDS: usize = 3;

/// The arrays seen in a file: the name of each array, and of its elements.
pub type Arrays = RefCell<Vec<(String, &'static str)>>;

/// The result of a trial, which ends at the first outcome that is not `Works`.
type Tried = Result<(), Outcome>;

/// The same outcome in each shape.
pub fn all(outcome: Outcome) -> [Outcome; 4] {
    [outcome.clone(), outcome.clone(), outcome.clone(), outcome]
}

/// Saves the state of each round, loads it, loads it into another state, and saves and loads the
/// loaded state again.
pub fn kept<S: Checkpoint>(make: Make<'_, S>, others: Others<'_, S>, arrays: &Arrays) -> Outcome {
    guarded(&|| {
        for round in 0..ROUNDS {
            let directory = directory()?;
            let path = directory.path();
            let mut checkpoints = opened::<S>(path)?;
            saved(&mut checkpoints, &make(round), path)?;
            arrays.borrow_mut().extend(arrays_in(path));

            let state = loaded(&mut checkpoints, path)?;
            equal("a load", &others(round, &state))?;
            let mut other = make(round + 1);
            match checkpoints.load_into(&mut other) {
                Ok(true) => equal("a load into another state", &others(round, &other))?,
                Ok(false) => return Err(broken("a load into another state", "nothing is there")),
                Err(error) => return Err(broken("a load into another state", &words(&error, path))),
            }

            if let Err(error) = checkpoints.save_with(&state, Metadata::new().with("again", true)) {
                return Err(broken("a second save", &words(&error, path)));
            }
            let again = loaded(&mut checkpoints, path)?;
            equal("a load of the second save", &others(round, &again))?;
        }
        Ok(())
    })
}

/// Saves the state of each round, and loads it in a program with one more field.
pub fn grown<Before: Checkpoint, After: Checkpoint>(
    make: Make<'_, Before>,
    others: Others<'_, After>,
) -> Outcome {
    guarded(&|| {
        for round in 0..ROUNDS {
            let directory = directory()?;
            let path = directory.path();
            saved(&mut opened::<Before>(path)?, &make(round), path)?;

            let mut reader = match CheckpointReader::<After>::open(path) {
                Ok(reader) => reader,
                Err(error) => return Err(Outcome::Refused(words(&error, path))),
            };
            match reader.load() {
                Ok(Some(after)) => equal("a load into a changed state", &others(round, &after))?,
                Ok(None) => return Err(broken("a load into a changed state", "nothing is there")),
                Err(error @ Error::SchemaMismatch { .. }) => {
                    return Err(Outcome::Refused(words(&error, path)));
                }
                Err(error) => return Err(broken("a load into a changed state", &words(&error, path))),
            }
            let report = reader.last_load().map(|report| &report.differences);
            let told: Vec<String> = report.into_iter().flatten().map(ToString::to_string).collect();
            if told != ["added: absent in the checkpoint, u32 in this program"] {
                return Err(broken("a load into a changed state tells", &told.join("; ")));
            }
        }
        Ok(())
    })
}

fn guarded(tried: &dyn Fn() -> Tried) -> Outcome {
    match catch_unwind(AssertUnwindSafe(tried)) {
        Ok(Ok(())) => Outcome::Works,
        Ok(Err(outcome)) => outcome,
        Err(panic) => {
            let words = panic.downcast_ref::<String>().cloned();
            let words = words.or_else(|| panic.downcast_ref::<&str>().map(|words| (*words).to_owned()));
            broken("a panic", &words.unwrap_or_default())
        }
    }
}

fn directory() -> Result<tempfile::TempDir, Outcome> {
    tempfile::tempdir().map_err(|error| broken("a temporary directory", &error.to_string()))
}

fn opened<S: Checkpoint>(path: &Path) -> Result<Checkpointer<S>, Outcome> {
    // The written bytes are the same, without hundreds of syncs.
    let opened = Checkpointer::builder(path).durable(false).open();
    opened.map_err(|error| Outcome::Refused(words(&error, path)))
}

fn saved<S: Checkpoint>(checkpoints: &mut Checkpointer<S>, state: &S, path: &Path) -> Tried {
    match checkpoints.save(state) {
        Ok(_) => Ok(()),
        Err(error) => Err(Outcome::Refused(words(&error, path))),
    }
}

fn loaded<S: Checkpoint>(checkpoints: &mut Checkpointer<S>, path: &Path) -> Result<S, Outcome> {
    match checkpoints.load() {
        Ok(Some(state)) => Ok(state),
        Ok(None) => Err(broken("a load", "nothing is there")),
        Err(error) => Err(broken("a load", &words(&error, path))),
    }
}

fn equal(when: &str, others: &[&str]) -> Tried {
    if others.is_empty() {
        Ok(())
    } else {
        Err(broken(when, &format!("another value of {}", others.join(", "))))
    }
}

fn broken(when: &str, why: &str) -> Outcome {
    Outcome::Broken(format!("{when}: {why}"))
}

/// The message of an error, without the paths of this run.
fn words(error: &Error, path: &Path) -> String {
    let words = match error {
        Error::SchemaMismatch { why, .. } | Error::Encode { why, .. } => why.clone(),
        Error::Unsupported { fields, .. } => fields.join("; "),
        other => other.to_string(),
    };
    words.replace(&path.display().to_string(), "…").replace('\n', " ")
}

fn arrays_in(directory: &Path) -> Vec<(String, &'static str)> {
    let Ok(file) = File::open_generation(directory, 1, &Protection::new()) else { return Vec::new() };
    file.arrays().flatten().map(|array| (array.name().to_owned(), array.element().name())).collect()
}

/// The element types of the arrays of one field.
pub fn arrays_of(arrays: &Arrays, field: &str) -> Vec<&'static str> {
    let mut found = Vec::new();
    for (name, element) in arrays.borrow().iter() {
        let of_field = name.strip_prefix(field).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'));
        if of_field && !found.contains(element) {
            found.push(*element);
        }
    }
    found
}

/// The value of a round.
pub fn value<T>(mut values: Vec<T>, round: usize) -> T {
    let number = round % values.len();
    values.swap_remove(number)
}

/// The pairs of a round: none in the second.
pub fn pairs<T>(values: Vec<T>, round: usize) -> Vec<(T, u16)> {
    if round == 1 { Vec::new() } else { values.into_iter().zip(7..).collect() }
}

/// True if both have the same pairs.
pub fn same_pairs<T>(found: &[(T, u16)], expected: &[(T, u16)], same: &dyn Fn(&T, &T) -> bool) -> bool {
    found.len() == expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(found, expected)| found.1 == expected.1 && same(&found.0, &expected.0))
}

impl fmt::Display for Outcome {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Outcome::Works => formatter.write_str("works"),
            Outcome::Refused(words) => write!(formatter, "refused: {words}"),
            Outcome::Broken(words) => write!(formatter, "BROKEN: {words}"),
        }
    }
}
