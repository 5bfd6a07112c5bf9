//! [`Error`]: tensors that cannot go where they are to go.

use std::fmt;

use candle_core::DType;

/// The most misfits that a message lists.
const LISTED: usize = 5;

/// The reason that tensors were not put into the variables.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error {
    /// Tensors and variables differ in names, dtypes or shapes. Nothing was changed.
    DoNotFit {
        /// The tensors, such as `tensors` or `first moments`.
        what: &'static str,
        /// Each that does not fit, sorted by name.
        misfits: Vec<Misfit>,
    },
    /// candle could not copy a tensor, as when a device has no memory left.
    Copy {
        /// The name of the tensor.
        name: String,
        /// The error of candle.
        source: candle_core::Error,
    },
    /// An [`AdamW`](crate::AdamW) was to make a step, and has no variables yet.
    NotAttached,
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

/// The difference between a tensor and the variable of its name.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// There is a variable, and no tensor.
    NoTensor,
    /// There is a tensor, and no variable.
    NoVariable,
    /// Their types of elements differ.
    DType {
        /// That of the tensor.
        tensor: DType,
        /// That of the variable.
        variable: DType,
    },
    /// Their shapes differ.
    Shape {
        /// That of the tensor.
        tensor: Vec<usize>,
        /// That of the variable.
        variable: Vec<usize>,
    },
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::DoNotFit { what, misfits } => {
                write!(formatter, "the {what} of the state do not fit the variables of the model: ")?;
                for (place, misfit) in misfits.iter().take(LISTED).enumerate() {
                    write!(formatter, "{}{misfit}", if place == 0 { "" } else { "; " })?;
                }
                if misfits.len() > LISTED {
                    write!(formatter, "; and {} more", misfits.len() - LISTED)?;
                }
                formatter.write_str(
                    "; nothing was changed; build the model as the program did that saved, or take single tensors \
                     by `Tensors::get`",
                )
            }
            Error::Copy { name, source } => {
                write!(
                    formatter,
                    "tensor `{name}` could not be copied to the device of its variable: {source}"
                )
            }
            Error::NotAttached => formatter.write_str(
                "AdamW has no variables to change; call `attach` once after the state was made or loaded",
            ),
        }
    }
}

impl fmt::Display for Misfit {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Misfit { name, problem } = self;
        match problem {
            Problem::NoTensor => write!(formatter, "`{name}` is a variable, and not in the state"),
            Problem::NoVariable => write!(formatter, "`{name}` is in the state, and no variable"),
            Problem::DType { tensor, variable } => {
                let (tensor, variable) = (tensor.as_str(), variable.as_str());
                write!(formatter, "`{name}` is {tensor} in the state, {variable} in the model")
            }
            Problem::Shape { tensor, variable } => {
                write!(formatter, "`{name}` has the shape {tensor:?} in the state, {variable:?} in the model")
            }
        }
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Copy { source, .. } => Some(source),
            Error::DoNotFit { .. } | Error::NotAttached => None,
        }
    }
}
