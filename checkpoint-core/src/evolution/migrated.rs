//! The return values of migrations.

use std::fmt;

/// The return value of a migration: the new value, or a `Result` of it.
#[diagnostic::on_unimplemented(
    message = "a migration to `{New}` returns that, or a `Result` of it, not `{Self}`",
    label = "not a migration to `{New}`"
)]
pub trait Migrated<New> {
    /// Returns the new value, or the reason that there is none.
    ///
    /// # Errors
    /// The error that the migration returned, as text.
    fn migrated(self) -> Result<New, String>;
}

impl<New> Migrated<New> for New {
    fn migrated(self) -> Result<New, String> {
        Ok(self)
    }
}

impl<New, E: fmt::Display> Migrated<New> for Result<New, E> {
    fn migrated(self) -> Result<New, String> {
        self.map_err(|error| error.to_string())
    }
}
