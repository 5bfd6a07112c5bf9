//! [`Error`]: records that cannot be loaded.

use std::fmt;

use burn_core::store::RecordError;
use burn_core::tensor::DType;

/// The most misfits that a message lists.
const LISTED: usize = 5;

/// The reason that a record was not loaded.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// The tensors of the record, and those that the module or the optimizer has, differ in names,
    /// dtypes or shapes.
    DoNotFit {
        /// The owner of the tensors, such as `module`.
        what: &'static str,
        /// Each that does not fit, sorted by name.
        misfits: Vec<Misfit>,
    },
    /// The record of an optimizer is of parameters that the module does not have.
    OtherParameters {
        /// The numbers of these parameters.
        parameters: Vec<u64>,
    },
    /// burn did not take the record, or did not give it away.
    Refused(RecordError),
    /// The record is not one that burn has written.
    Invalid(String),
}

/// A tensor that does not fit.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Misfit {
    /// The name of the tensor.
    pub name: String,
    /// The difference.
    pub problem: Problem,
}

/// The difference between a tensor of a record and the one that it is loaded for.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// It is not in the record.
    NotInRecord,
    /// The program has no place for it.
    NoPlace,
    /// Their types of elements differ.
    DType {
        /// That of the record.
        record: DType,
        /// That of the program.
        program: DType,
    },
    /// Their shapes differ.
    Shape {
        /// That of the record.
        record: Vec<usize>,
        /// That of the program.
        program: Vec<usize>,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::DoNotFit { what, misfits } => {
                write!(formatter, "the record does not fit the {what}, and was not loaded: ")?;
                for (place, misfit) in misfits.iter().take(LISTED).enumerate() {
                    write!(formatter, "{}{misfit}", if place == 0 { "" } else { "; " })?;
                }
                if misfits.len() > LISTED {
                    write!(formatter, "; and {} more", misfits.len() - LISTED)?;
                }
                write!(formatter, "; build the {what} as the program did that saved")
            }
            Error::OtherParameters { parameters } => write!(
                formatter,
                "the record of the optimizer is of {} parameters that the module does not have, and was not loaded; \
                 load the record of the module first, from the same checkpoint",
                parameters.len()
            ),
            Error::Refused(error) => write!(formatter, "burn refused the record: {error}"),
            Error::Invalid(why) => write!(
                formatter,
                "the record is not one of burn, and was not loaded: {why}; load an older generation, or begin anew"
            ),
        }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Misfit { name, problem } = self;
        match problem {
            Problem::NotInRecord => write!(formatter, "`{name}` is in the program, and not in the record"),
            Problem::NoPlace => {
                write!(formatter, "`{name}` is in the record, and has no place in the program")
            }
            Problem::DType { record, program } => {
                write!(formatter, "`{name}` is {record:?} in the record, {program:?} in the program")
            }
            Problem::Shape { record, program } => {
                write!(
                    formatter,
                    "`{name}` has the shape {record:?} in the record, {program:?} in the program"
                )
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Refused(error) => Some(error),
            Error::DoNotFit { .. } | Error::OtherParameters { .. } | Error::Invalid(_) => None,
        }
    }
}
