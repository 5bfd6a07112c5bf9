//! The check of every save before it becomes a generation, and before any older one is removed: the
//! file is opened as a load will open it. The first save of a run is also loaded and compared.

use std::path::Path;
use std::sync::Arc;

use crate::arrays::{ArrayPool, ArraySink};
use crate::base::limits::NOVEL_FORMS;
use crate::base::warnings::warn;
use crate::codec::{self, Encode, Forms};
use crate::container::{Container, ContainerWriter, Manifest, Memory, Metadata};
use crate::error::Error;
use crate::evolution::Program;
use crate::run::reader;
use crate::state::Checkpoint;
use crate::tree;

/// Selects the saves that are loaded again, and compared with the state, before they count. See
/// [`Builder::read_back`](crate::Builder::read_back).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum ReadBack {
    /// The first save of a run, if `#[checkpointed]` did not derive the serde code of all parts of
    /// the state, and the state is at most 64 MiB. Also any later one with a new form in a field
    /// with [`self_describing`](crate::self_describing) or [`json`](crate::json), or in a part of
    /// unknown form: another variant, another set of keys or fields, another kind of number, and in
    /// such a field a short list, a map or bytes of another length. A variant that only the value
    /// of a `tag` tells is none. Up to 4096 sets, and as many lengths and other forms, are known;
    /// beyond, a warning says that no more are looked for.
    #[default]
    Auto,
    /// Every save, of any type and length.
    Always,
    /// None. Each file is still opened before it counts, and its structure verified.
    Never,
}

/// The greatest unpacked length in bytes that is read back by default.
const MOST_BYTES: u64 = 64 << 20;

/// The fault of a value that came back as another one, whose encoding is the same.
const ONE_ENCODING: &str = "a value in a field with `self_describing` or `json` came back as one of another type, which is \
     encoded in the same way: as another variant of an `untagged` enum, such as `Known(Fast)` for a text `fast`, a map for a \
     struct, or a text for a variant; put the variant that is to be read first, give the enum a `tag`, or make no such value";

/// The words of serde for a value of another type than the one to read.
const MISMATCHES: [&str; 2] = ["invalid type: ", "did not match any variant"];

/// The way out for a type that is a text for people, and something else for machines.
const TEXT_FOR_PEOPLE: &str = "; inside of `flatten`, `untagged` or `tag`, a type with a text for people, such as an `IpAddr`, \
     comes back from `checkpointed::json` alone";

/// Compares a state in a container with the state after loading and encoding it.
type Compare = fn(&Path, &Program, Container) -> Result<(), String>;

/// Decides which saves of a type are read back, and compares them. It knows the type, but not by a
/// parameter: so it can go to the thread that saves in the background.
#[derive(Clone, Debug)]
pub(crate) struct Net {
    pub(crate) setting: ReadBack,
    /// True until a save of this run passed.
    is_first: bool,
    program: Arc<Program>,
    compare: Compare,
}

impl Net {
    pub(crate) fn of<T: Checkpoint>(setting: ReadBack, program: Arc<Program>) -> Net {
        Net { setting, is_first: true, program, compare: compare::<T> }
    }

    /// True if a state of this length is to be read back.
    pub(crate) fn wants(&self, bytes: u64) -> bool {
        match self.setting {
            ReadBack::Auto => {
                let is_new = self.is_first || self.program.forms().has_new();
                is_new && self.program.has_foreign_parts() && bytes <= MOST_BYTES
            }
            ReadBack::Always => true,
            ReadBack::Never => false,
        }
    }

    /// Records a save that counts.
    pub(crate) fn let_through(&mut self) {
        self.is_first = false;
    }

    /// Checks that a container gives back its state. `path` and `name` are for messages.
    pub(crate) fn check(&self, path: &Path, container: Container) -> Result<(), Error> {
        if !self.wants(container.unpacked_length()) {
            return Ok(());
        }
        let manifest = container.manifest();
        let (name, generation) = (manifest.name().to_owned(), manifest.generation());
        let name = if name.is_empty() { self.program.schema().to_string() } else { name };
        let forms = self.program.forms();
        let saved = forms.take_noted();
        let mut compared = (self.compare)(path, &self.program, container);
        if compared.is_ok() && !forms.has_same(&saved) {
            compared = Err(ONE_ENCODING.to_owned());
        }
        if let Err(mut why) = compared {
            // A text for people is what serde's buffers give, whatever was written.
            if saved.has_described() && MISMATCHES.iter().any(|words| why.contains(words)) {
                why += TEXT_FOR_PEOPLE;
            }
            return Err(Error::NotReadBack { path: path.to_owned(), name, generation, why });
        }
        if forms.accept(saved) && self.setting == ReadBack::Auto {
            warn(format!(
                "the fields of `{name}` with `self_describing` or `json`, or its parts of unknown form, have had {NOVEL_FORMS} \
                 different sets of keys, or as many other forms: from now on, a save to {} with another one of these is not \
                 read back before it counts; keep keys that are data out of such fields, or set `ReadBack::Always`",
                path.display()
            ));
        }
        Ok(())
    }
}

/// Loads the state, encodes it once more, and compares the two.
fn compare<T: Checkpoint>(path: &Path, program: &Program, container: Container) -> Result<(), String> {
    let decoded = reader::decode::<T>(path, program, &container, &mut ArrayPool::default);
    let value = decoded.map_err(|error| match error {
        Error::Decode { why, .. } | Error::SchemaMismatch { why, .. } => why,
        other => other.to_string(),
    })?;
    let value = value.state;
    let encode = move |forms: &Forms, into: &mut Vec<u8>, arrays: &mut dyn ArraySink| {
        codec::encode(&*value, forms, into, arrays)
    };
    compare_encoded(path, program, container, Box::new(encode))
}

/// Compares a state with what its encoding gives. Drops `encode`, and the state with it, before
/// values are compared.
fn compare_encoded(
    path: &Path,
    program: &Program,
    container: Container,
    mut encode: Box<Encode<'_>>,
) -> Result<(), String> {
    let encoding = |why: String| format!("the loaded state could not be encoded again: {why}");
    let mut bytes = Vec::new();
    let mut sums = ContainerWriter::new(std::io::sink());
    encode(program.forms(), &mut bytes, &mut sums).map_err(|failure| encoding(failure.into_sentence()))?;
    if sums.has_parts_of(&bytes, &container).map_err(|error| encoding(error.to_string()))? {
        return Ok(());
    }

    // Another order of a map or a set gives other bytes.
    let mut file = Vec::new();
    let mut again = ContainerWriter::new(&mut file);
    bytes.clear();
    encode(program.forms(), &mut bytes, &mut again).map_err(|failure| encoding(failure.into_sentence()))?;
    drop(encode);
    let schema = container.manifest().schema().clone();
    let manifest = Manifest { schema, ..Manifest::of(program, 0, Metadata::new()) };
    again.finish(&bytes, manifest).map_err(|error| encoding(error.to_string()))?;
    drop(bytes);
    let again = Container::open(Box::new(Memory(file)), &[])
        .map_err(|refusal| encoding(Error::refused(path, refusal).to_string()))?;
    let (saved, loaded) = (tree::File::of(path, container), tree::File::of(path, again));
    tree::same_values(&saved, &loaded)
}
