//! The key of a step: everything that its result depends on, and the changes between two keys.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::canonical;
use super::report::Reason;

/// Everything that a step's result depends on. Two results with equal keys stand for each other.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Key {
    pub(crate) version: u32,
    /// The function of `#[step]`: its path, and the values of its generic parameters. Empty without
    /// the macro.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(crate) function: String,
    pub(crate) parameters: BTreeMap<String, Parameter>,
    /// The identity of each input, by the name of its step.
    pub(crate) inputs: BTreeMap<String, String>,
    /// The hash of each file that is read, by its [name](super::project::Project::name).
    pub(crate) files: BTreeMap<String, String>,
    /// The names of the files that it produces.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) produces: BTreeSet<String>,
    /// What it takes, reads and produces, in the order of the declarations: which of two inputs is
    /// the first one matters to the step. A directory and a pattern are named as they are given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(crate) declared: Vec<String>,
    /// The files that were changed while the step ran. It is not known what the step has read, and
    /// such a key equals that of no step.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub(crate) changed_meanwhile: BTreeSet<String>,
}

impl PartialEq for Key {
    fn eq(&self, other: &Key) -> bool {
        let Key { version, function, parameters, inputs, files, produces, declared: _, changed_meanwhile } =
            self;
        (version, function, parameters, inputs, files, produces, changed_meanwhile)
            == (
                &other.version,
                &other.function,
                &other.parameters,
                &other.inputs,
                &other.files,
                &other.produces,
                &other.changed_meanwhile,
            )
            && !self.is_declared_otherwise_than(other)
    }
}

/// The value of a parameter.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub(crate) struct Parameter {
    /// The text of [`canonical::text`]. A very long one is replaced by its beginning, its length, a
    /// hash, and the hash of the same with every list sorted.
    pub(crate) text: String,
}

/// The record of a version in its metadata.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Record {
    pub(crate) key: Key,
    /// The hash of the output.
    pub(crate) identity: String,
    /// The time that the step took, in seconds.
    pub(crate) seconds: f64,
    /// The files that the step produced, by name.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(crate) produced: BTreeMap<String, ProducedFile>,
    /// The project, seen from the pipeline directory if that is inside of it.
    #[serde(default)]
    pub(crate) project: Option<String>,
    /// The working directory of the program. Relative paths of files outside of the project start
    /// there.
    #[serde(default)]
    pub(crate) directory: Option<String>,
    /// The boot of the machine, if the version was not synced; empty if the boot is unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) unsynced: Option<String>,
}

/// A file that a step produced.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct ProducedFile {
    pub(crate) hash: String,
    pub(crate) bytes: u64,
    /// Its permissions, where files have such.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) mode: Option<u32>,
}

/// Longer text is not kept whole.
const LONGEST: usize = 1000;
/// Before the hash of a long text with every list sorted.
const SORTED: &str = ", sorted ";

impl Parameter {
    /// # Errors
    /// An error if the value's `Serialize` fails.
    pub(super) fn of<P: Serialize + ?Sized>(value: &P) -> Result<Parameter, String> {
        let mut text = canonical::text(value).map_err(|error| error.to_string())?;
        if text.len() > LONGEST {
            let hash = |text: &str| blake3::hash(text.as_bytes());
            let sorted = hash(&canonical::sorted(&text));
            let end = format!("… ({} bytes, {}{SORTED}{sorted})", text.len(), hash(&text));
            let cut = (0..=LONGEST).rev().find(|place| text.is_char_boundary(*place)).unwrap_or(0);
            text.truncate(cut);
            text.push_str(&end);
        }
        Ok(Parameter { text })
    }

    /// True if both have the same values, some in another order.
    fn has_the_values_of(&self, other: &Parameter) -> bool {
        let end = |parameter: &Parameter| {
            let (_, hash) = parameter.text.strip_suffix(')')?.rsplit_once(SORTED)?;
            Some(hash.to_owned()).filter(|_| parameter.text.len() > LONGEST)
        };
        match (end(self), end(other)) {
            (Some(one), Some(two)) => one == two,
            (None, None) => canonical::sorted(&self.text) == canonical::sorted(&other.text),
            _ => false,
        }
    }
}

impl Key {
    /// A short name for the key.
    pub(super) fn hash(&self) -> String {
        let json = serde_json::to_vec(self).unwrap_or_default();
        blake3::hash(&json).to_hex().chars().take(16).collect()
    }

    /// The short name that an early version of this library gave to the key.
    pub(super) fn hash_of_early(&self) -> String {
        Key { declared: Vec::new(), ..self.clone() }.hash()
    }

    /// True if both have declarations, which are not the same. An early version has none on record.
    fn is_declared_otherwise_than(&self, other: &Key) -> bool {
        self.declared != other.declared && !self.declared.is_empty() && !other.declared.is_empty()
    }

    /// The same without these inputs.
    pub(super) fn without<'a>(&self, inputs: impl Iterator<Item = &'a String>) -> Key {
        let mut key = self.clone();
        for input in inputs {
            key.inputs.remove(input);
        }
        key
    }

    /// The same key with these files marked as changed during the work. It equals that of no step.
    pub(super) fn with_changed_meanwhile(&self, files: &[String]) -> Key {
        Key { changed_meanwhile: files.iter().cloned().collect(), ..self.clone() }
    }

    /// The changes since `former`.
    pub(super) fn changes(&self, former: &Key) -> Vec<Reason> {
        let mut reasons = Vec::new();
        if self.version != former.version {
            reasons.push(Reason::Version { old: former.version, new: self.version });
        }
        if self.function != former.function {
            let [old, new] = [former, self].map(|key| key.function.clone());
            reasons.push(Reason::Function { old, new });
        }
        for (name, old, new) in differing(&former.parameters, &self.parameters) {
            let reordered = old.zip(new).is_some_and(|(old, new)| old.has_the_values_of(new));
            let text = |parameter: Option<&Parameter>| parameter.map(|parameter| parameter.text.clone());
            reasons.push(Reason::Parameter { name, old: text(old), new: text(new), reordered });
        }
        for (step, old, new) in differing(&former.inputs, &self.inputs) {
            reasons.push(Reason::Input { step, old: old.cloned(), new: new.cloned() });
        }
        // A set of files has no entry of its own among them.
        let is_unknown = |path: &String| {
            let is_in = |key: &Key| key.files.contains_key(path);
            former.changed_meanwhile.contains(path) && (is_in(self) || !is_in(former))
        };
        for path in former.changed_meanwhile.iter().filter(|path| is_unknown(path)) {
            reasons.push(Reason::ChangedMeanwhile { path: path.into() });
        }
        for (path, old, new) in differing(&former.files, &self.files) {
            if is_unknown(&path) {
                continue;
            }
            reasons.push(Reason::File { path: path.into(), old: old.cloned(), new: new.cloned() });
        }
        let produces = |key: &Key| key.produces.iter().map(|name| (name.clone(), ())).collect();
        for (path, _, new) in differing::<()>(&produces(former), &produces(self)) {
            reasons.push(Reason::Produces { path: path.into(), now: new.is_some() });
        }
        // Anything else that is another one is declared elsewhere, too.
        if reasons.is_empty() && self.is_declared_otherwise_than(former) {
            reasons.push(Reason::Declared);
        }
        reasons
    }
}

/// The entries that are not the same in both.
fn differing<'a, V: PartialEq>(
    old: &'a BTreeMap<String, V>,
    new: &'a BTreeMap<String, V>,
) -> Vec<(String, Option<&'a V>, Option<&'a V>)> {
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    let pairs = names.into_iter().map(|name| (name.clone(), old.get(name), new.get(name)));
    pairs.filter(|(_, old, new)| old != new).collect()
}
