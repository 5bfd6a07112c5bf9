//! The reason that a value cannot be written or read.

use std::error::Error;
use std::fmt;

/// A sentence, with its cause if that is not an error of the value itself.
///
/// It is one pointer wide, because every step of a reading returns a `Result` with it.
#[derive(Debug)]
pub(crate) struct Failure(Box<Inner>);

#[derive(Debug)]
struct Inner {
    why: String,
    source: Option<Box<dyn Error + Send + Sync>>,
}

impl Failure {
    pub(crate) fn new(why: impl Into<String>) -> Failure {
        Failure(Box::new(Inner { why: why.into(), source: None }))
    }

    /// The refusal of a sink or a source of arrays, or the lack of memory.
    #[cold]
    pub(crate) fn caused(source: impl Into<Box<dyn Error + Send + Sync>>) -> Failure {
        let source = source.into();
        Failure(Box::new(Inner { why: source.to_string(), source: Some(source) }))
    }

    /// Adds the place in the value, if there is one.
    #[cold]
    pub(crate) fn at(mut self, place: &str) -> Failure {
        if !place.is_empty() {
            self.0.why = format!("{place}: {}", self.0.why);
        }
        self
    }

    /// Keeps the first failure in `first`, and returns a copy of its sentence. The copy passes
    /// through the type's own code, which may drop it.
    #[cold]
    pub(crate) fn noted(self, first: &mut Option<Failure>) -> Failure {
        if first.is_some() {
            return self;
        }
        let sentence = Failure::new(self.0.why.clone());
        *first = Some(self);
        sentence
    }

    /// Returns the cause, if it is an `E`.
    ///
    /// # Errors
    /// The failure itself, if it has no cause, or another one.
    pub(crate) fn into_source<E: Error + 'static>(self) -> Result<E, Failure> {
        let Inner { why, source } = *self.0;
        match source.map(|source| source.downcast::<E>()) {
            Some(Ok(source)) => Ok(*source),
            Some(Err(source)) => Err(Failure(Box::new(Inner { why, source: Some(source) }))),
            None => Err(Failure::new(why)),
        }
    }

    pub(crate) fn into_sentence(self) -> String {
        self.0.why
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0.why)
    }
}

impl Error for Failure {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        self.0.source.as_deref().map(|source| source as _)
    }
}

impl serde::ser::Error for Failure {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Failure::new(why.to_string())
    }
}

impl serde::de::Error for Failure {
    fn custom<T: fmt::Display>(why: T) -> Self {
        Failure::new(why.to_string())
    }
}

/// The lack of memory for a part of the state.
#[derive(Debug)]
pub(crate) struct NoMemory {
    pub(crate) part: String,
    /// The number of requested bytes.
    pub(crate) bytes: u64,
}

impl fmt::Display for NoMemory {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "there is no memory for {} of {} bytes", self.part, self.bytes)
    }
}

impl Error for NoMemory {}
