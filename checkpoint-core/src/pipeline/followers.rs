//! The steps that depend on a step, as far as the kept versions tell.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use super::Pipeline;
use super::decide::record_of;
use super::folder::{self, place_of};
use crate::base::warnings::warn;
use crate::error::Error;
use crate::run::reader::Reader;

/// For each step, the steps with a kept version that took an output of it.
pub(super) type Followers = BTreeMap<String, BTreeSet<String>>;

impl Pipeline {
    /// Reads them once in a run: a version that this run makes takes the outputs of steps that are
    /// done already.
    pub(super) fn followers(&self) -> Arc<Followers> {
        let known = self.book().followers.clone();
        known.unwrap_or_else(|| {
            let read = Arc::new(self.read_followers());
            self.book().followers = Some(Arc::clone(&read));
            read
        })
    }

    fn read_followers(&self) -> Followers {
        let mut followers = Followers::new();
        let steps = folder::steps(self.path()).unwrap_or_else(|error| {
            warn(format!(
                "it is not known which steps depend on the forced ones: if this run ends before they are \
                 done, the next run may reuse them: {error}"
            ));
            BTreeMap::new()
        });
        for step in steps.into_keys() {
            for input in self.inputs_of(&step) {
                followers.entry(input).or_default().insert(step.clone());
            }
        }
        followers
    }

    /// The steps that the kept versions of a step took outputs of.
    fn inputs_of(&self, step: &str) -> BTreeSet<String> {
        let mut inputs = BTreeSet::new();
        let unknown = |error: Error| {
            warn(format!(
                "it is not known on which steps step {step} depends: if one of them is forced, and this \
                 run ends before step {step} is done, the next run may reuse it: {error}"
            ));
        };
        let protection = self.workshop.protection(&place_of(step));
        let reader = Reader::of::<()>(Arc::new(self.outputs(step)), protection);
        let listed = reader.and_then(|reader| Ok((reader.generations()?, reader)));
        let (versions, reader) = match listed {
            Ok(listed) => listed,
            Err(error) => {
                unknown(error);
                return inputs;
            }
        };
        for version in versions {
            match reader.manifest(version) {
                Ok(manifest) => {
                    let record = record_of(&manifest);
                    inputs.extend(record.into_iter().flat_map(|record| record.key.inputs.into_keys()));
                }
                // It was removed since the directory was listed, or is damaged: it is not reused.
                Err(Error::NoSuchGeneration { .. }) => {}
                Err(error) if error.is_damage() => {}
                Err(error) => unknown(error),
            }
        }
        inputs
    }
}
