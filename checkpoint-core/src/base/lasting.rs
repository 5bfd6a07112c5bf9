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
