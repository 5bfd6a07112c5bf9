//! What [`Scopes`](super::Scopes) save: the functions that are active, and what each of them kept.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::container::SCOPES;
use crate::outputs::{Counted, OfRun};
use crate::schema::Type;
use crate::state::{self, Checkpoint, Types};

/// The state that [`Scopes`](super::Scopes) save: the active functions, and the variables that each
/// of them kept.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Stack {
    /// The number of times that each scope was entered, by its name.
    pub(super) calls: BTreeMap<String, u64>,
    /// Outermost first.
    pub(super) frames: Vec<Frame>,
}

/// An active function.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(super) struct Frame {
    pub(super) name: String,
    pub(super) call: u64,
    /// Its variables, as a checkpoint of their own.
    pub(super) kept: Option<Vec<u8>>,
    /// The results of work done once since they were kept, by name.
    pub(super) done: BTreeMap<String, Vec<u8>>,
    /// The work done once in which it was entered; empty outside of such work. `None` where that is
    /// not known.
    #[serde(default)]
    pub(super) work: Option<String>,
    /// The paths of the outputs in `kept` and in `done`, and the greatest count of each: a restart
    /// that has not decoded all of them yet must cut no file below it.
    #[serde(default)]
    pub(super) lengths: BTreeMap<String, u64>,
    /// The outputs in `kept` and in `done`.
    #[serde(skip)]
    pub(super) outputs: Vec<Counted>,
    /// The variables that a restart loaded, encoded again: an output may have another path than in
    /// `kept`. `None` in a scope that the restart does not have to know again by them.
    #[serde(skip)]
    pub(super) loaded: Option<Vec<u8>>,
    /// The work that it does once at this moment; empty outside of such work.
    #[serde(skip)]
    pub(super) doing: String,
    /// The last scope that it called in each such work, and outside (under an empty name), and the
    /// print of the variables that it had kept.
    #[serde(skip)]
    pub(super) called: BTreeMap<String, (String, u64)>,
    /// The work of which the program got the result since the variables were kept.
    #[serde(skip)]
    pub(super) told: BTreeSet<String>,
    /// The work that it asked for with its present variables before it called another scope.
    #[serde(skip)]
    pub(super) known: BTreeSet<String>,
    /// True if it got some of `done` before it kept the same variables again.
    #[serde(skip)]
    pub(super) was_told: bool,
    #[serde(skip)]
    pub(super) calls: Calls,
    /// The turn in which the function last asked whether it must stop.
    #[serde(skip)]
    pub(super) asked: u64,
    /// True if the function was told to stop.
    #[serde(skip)]
    pub(super) is_told: bool,
    /// The number of saves when its variables were kept, or a result was added to them; 0 as long
    /// as they are those that a restart found.
    #[serde(skip)]
    pub(super) newest_at: u64,
    /// The number of times that each scope had been entered then.
    #[serde(skip)]
    pub(super) counted: Arc<BTreeMap<String, u64>>,
    /// True if it was entered after a function was told to stop: a restart is not there yet.
    #[serde(skip)]
    pub(super) is_late: bool,
}

/// The right of a function to call one with a scope of its own. A restart goes on from the
/// variables that were kept last. It must come back to the very call that was interrupted, or it
/// would mistake another call for that one.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) enum Calls {
    /// It has to keep its variables first.
    NotKept,
    /// It may: a restart gave it the variables. It has given none yet.
    Restored,
    /// It may.
    #[default]
    Kept,
    /// It did, and has to keep its variables again before the next call.
    Entered,
    /// It did, and kept the same variables again: it may make the call again.
    Again,
    /// Its variables could not be kept, and the ones before are outdated: nothing is saved until it
    /// keeps new ones.
    Failed,
}

impl Frame {
    /// True if it is of a scope with this name, entered in this work.
    pub(super) fn is_of(&self, name: &str, work: &str) -> bool {
        self.name == name && self.work.as_ref().is_none_or(|known| known == work)
    }

    /// Makes it one that a restart is to come back to again.
    pub(super) fn left_on_the_way(self) -> Frame {
        let Frame { name, call, kept, done, work, lengths, .. } = self;
        Frame { kept, done, work, lengths, ..Frame::new(name, call) }
    }

    /// Notes that it calls a scope, outside of work done once or inside.
    pub(super) fn enters(&mut self) {
        if self.doing.is_empty() && self.calls != Calls::Again {
            self.known.clone_from(&self.told);
        }
        self.calls = Calls::Entered;
    }

    /// True if the program got a result of `done` since the variables were kept.
    fn has_results(&self) -> bool {
        self.told.iter().any(|name| self.done.contains_key(name))
    }

    /// True if a restart found results of which the program did not get one yet: it is still before
    /// them.
    pub(super) fn awaits_results(&self) -> bool {
        !self.done.is_empty() && !self.was_told && !self.has_results()
    }

    /// Forgets which results the program got: the variables are kept.
    pub(super) fn begin_again(&mut self) {
        self.was_told |= self.has_results();
        self.told.clear();
    }

    pub(super) fn new(name: String, call: u64) -> Frame {
        Frame {
            name,
            call,
            kept: None,
            done: BTreeMap::new(),
            work: None,
            lengths: BTreeMap::new(),
            outputs: Vec::new(),
            loaded: None,
            doing: String::new(),
            called: BTreeMap::new(),
            told: BTreeSet::new(),
            known: BTreeSet::new(),
            was_told: false,
            calls: Calls::Kept,
            asked: 0,
            is_told: false,
            newest_at: 0,
            counted: Arc::default(),
            is_late: false,
        }
    }

    /// Adds the outputs of a part.
    pub(super) fn note(&mut self, outputs: Vec<Counted>, of_run: &OfRun) {
        for (path, length) in outputs.iter().map(Counted::of_file) {
            // A path that is not UTF-8 was refused when the part was encoded.
            let path = of_run.stored(path).to_string_lossy().into_owned();
            let greatest = self.lengths.entry(path).or_default();
            *greatest = length.max(*greatest);
        }
        self.outputs.extend(outputs);
    }
}

impl Checkpoint for Stack {
    const NAME: &'static str = SCOPES;

    fn schema(types: &mut Types) -> Type {
        state::derived::<Stack>(types)
    }
}
