//! Why a value cannot be written or read.

use std::fmt;

/// A sentence. It is one pointer wide, because a `Result` of it goes through every step of a reading.
#[derive(Debug)]
#[allow(clippy::box_collection, reason = "a `String` is three pointers wide")]
pub(crate) struct Failure(Box<String>);

impl Failure {
    pub(crate) fn new(why: impl Into<String>) -> Failure {
        Failure(Box::new(why.into()))
    }

    pub(crate) fn into_sentence(self) -> String {
        *self.0
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Failure {}

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
