//! Values of a thread that the end of the thread does not destroy.
//!
//! Other values of the thread may hold a checkpointer, which works while it is dropped: a value
//! that is destroyed before them would make that a panic, and such a panic ends the process.

use std::cell::RefCell;
use std::mem::ManuallyDrop;
use std::thread::LocalKey;

/// A value of a thread. What is left in it at the end of the thread leaks.
pub(crate) type Lasting<T> = ManuallyDrop<RefCell<Option<T>>>;

/// Nothing yet.
pub(crate) const fn nothing<T>() -> Lasting<T> {
    ManuallyDrop::new(RefCell::new(None))
}

/// Sets the value, and returns the former one.
pub(crate) fn replace<T>(key: &'static LocalKey<Lasting<T>>, value: Option<T>) -> Option<T> {
    key.with(|lasting| lasting.replace(value))
}

/// Looks at the value.
pub(crate) fn look<T, R>(key: &'static LocalKey<Lasting<T>>, look: impl FnOnce(&mut Option<T>) -> R) -> R {
    key.with(|lasting| look(&mut lasting.borrow_mut()))
}

/// Puts back the former value when it is dropped, also by a panic of the code of the user.
pub(crate) struct Restore<S: 'static>(&'static LocalKey<Lasting<S>>, Option<S>);

impl<S> Restore<S> {
    /// Sets a value until then.
    pub(crate) fn set(key: &'static LocalKey<Lasting<S>>, value: S) -> Restore<S> {
        Restore(key, replace(key, Some(value)))
    }

    /// Takes the value, with what it gained.
    pub(crate) fn take(&self) -> Option<S> {
        replace(self.0, None)
    }
}

impl<S> Drop for Restore<S> {
    fn drop(&mut self) {
        replace(self.0, self.1.take());
    }
}
