//! Outputs that pass through an encoding in memory unchanged: a partial load encodes the state of
//! the program, and makes the same state of it again, with the same open files.

use std::marker::PhantomData;

use super::Appended;
use super::stored::Stored;
use super::value::Owned;
use crate::base::lasting::{self, Lasting, Restore};
use crate::base::panics::calls;
use crate::evolution::Own;
use crate::schema::{Body, Definition, Fields};

/// The name of the run in the stored form of such an output. No directory has it.
const KEPT: &str = "\0kept";

thread_local! {
    /// The outputs that this thread has encoded, while they are kept, and the functions of the
    /// program that it was in when that began: what one does that is called meanwhile is apart.
    static OUTPUTS: Lasting<(Vec<Owned>, u32)> = const { lasting::nothing() };
}

/// While it lives, outputs that this thread encodes come back as themselves when they are decoded.
/// Then those come back again that were encoded before it.
pub(crate) struct Keeping(
    #[allow(dead_code, reason = "its drop")] Restore<(Vec<Owned>, u32)>,
    PhantomData<*const ()>,
);

/// Begins to keep the outputs that this thread encodes.
pub(crate) fn keep() -> Keeping {
    Keeping(Restore::set(&OUTPUTS, (Vec::new(), calls())), PhantomData)
}

/// The stored form of an output that is kept; `None` if outputs are not kept now.
pub(super) fn stored(output: &Appended) -> Option<Stored> {
    lasting::look(&OUTPUTS, |outputs| {
        let (outputs, _) = outputs.as_mut().filter(|(_, of)| *of == calls())?;
        outputs.push((output.value.clone(), output._owner.clone()));
        let length = (outputs.len() - 1) as u64;
        Some(Stored { path: String::new(), run: KEPT.to_owned(), length, end: String::new(), inode: 0 })
    })
}

/// The output of such a stored form.
pub(super) fn output(stored: &Stored) -> Option<Owned> {
    let place = usize::try_from(stored.length).ok().filter(|_| stored.run == KEPT)?;
    lasting::look(&OUTPUTS, |outputs| outputs.as_ref()?.0.get(place).cloned())
}

/// The type whose values no program takes from another run.
pub(crate) const OF_RUN: Own = Own { is_it: is_output, why: "an output belongs to its run" };

fn is_output(definition: &Definition) -> bool {
    const FIELDS: [&str; 4] = ["path", "run", "length", "end"];
    let Body::Struct(Fields::Named(fields)) = &definition.body else { return false };
    let is_named = definition.name == "Appended" && !definition.foreign;
    // Later versions of the library add fields behind these.
    is_named && fields.iter().map(|field| field.name.as_str()).take(FIELDS.len()).eq(FIELDS)
}

#[cfg(all(test, not(shuttle)))]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests {
    use super::*;

    #[test]
    fn outputs_are_kept_again_behind_others_that_were() {
        let directory = tempfile::tempdir().unwrap();
        let output = |name: &str| Appended::at(directory.path().join(name));
        let outer = keep();
        let first = stored(&output("first.csv")).unwrap();
        let inner = keep();
        let second = stored(&output("second.csv")).unwrap();
        assert!(super::output(&second).is_some());
        drop(inner);
        assert!(super::output(&first).is_some());
        assert!(stored(&output("third.csv")).is_some());
        drop(outer);
        assert!(stored(&output("fourth.csv")).is_none());
    }
}
