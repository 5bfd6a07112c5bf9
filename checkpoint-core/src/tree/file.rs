//! One checkpoint, opened without its program.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::SystemTime;

use serde::ser::SerializeStruct as _;
use serde::{Serialize, Serializer};

use super::array::Array;
use super::ends::Ends;
use super::layout::Layout;
use super::members::{Label, Named};
use super::node::{Node, Value};
use super::walk::{Place, Trouble, Walker};
use crate::base::text::{distance, shortened};
use crate::codec::most_values;
use crate::container::{Container, Manifest, Memory, STATE, Source, time};
use crate::error::Error;
use crate::schema::Schema;
use crate::seal::Protection;
use crate::store::{Directory, Disk as _, Home, RealDisk, absolute, generation_of, name};

/// A checkpoint: a file, or one that is kept inside another, as by [`Scopes`](crate::Scopes).
///
/// Opening one reads the manifest and the list of the parts, however large it is. All else is read
/// and verified on request.
pub struct File {
    path: PathBuf,
    /// The place that it was opened in; `None` for a file of this machine.
    home: Option<Arc<dyn Home>>,
    pub(super) container: Container,
    pub(super) layout: Layout,
    pub(super) ends: Ends,
    /// Everything but the arrays, once it was read.
    state: OnceLock<Vec<u8>>,
}

/// The value at the end of a path.
#[derive(Debug)]
pub enum Found<'a> {
    /// A value of the state.
    Node(Node<'a>),
    /// A value inside a checkpoint that is kept in the state, and its path there; empty for all of
    /// it.
    Inside(Box<File>, String),
}

/// A checkpoint in short: its manifest and its parts. In JSON it is one object, with times in RFC
/// 3339 and lengths in bytes.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub struct Header {
    /// The path of the checkpoint.
    pub path: PathBuf,
    /// The description of the checkpoint.
    pub manifest: Manifest,
    /// The length of the file.
    pub bytes: u64,
    /// The parts, arrays first, the rest of the state last.
    pub parts: Vec<Part>,
}

impl Serialize for Header {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        #[derive(Serialize)]
        struct Time(#[serde(with = "time")] SystemTime);

        let Header { path, manifest, bytes, parts } = self;
        let mut fields = serializer.serialize_struct("Header", 13)?;
        fields.serialize_field("path", path)?;
        fields.serialize_field("name", &manifest.name)?;
        fields.serialize_field("version", &manifest.version)?;
        fields.serialize_field("type", &manifest.schema.to_string())?;
        fields.serialize_field("generation", &manifest.generation)?;
        fields.serialize_field("created", &Time(manifest.created))?;
        fields.serialize_field("host", &manifest.host)?;
        fields.serialize_field("process", &manifest.process)?;
        fields.serialize_field("library", &manifest.library)?;
        fields.serialize_field("metadata", &manifest.metadata)?;
        fields.serialize_field("configuration", &manifest.configuration)?;
        fields.serialize_field("bytes", bytes)?;
        fields.serialize_field("parts", parts)?;
        fields.end()
    }
}

/// One part of a checkpoint.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Part {
    /// The name of its entry.
    pub name: String,
    /// The length of its content, in bytes.
    pub bytes: u64,
    /// The length of its entry in the file, in bytes.
    pub stored_bytes: u64,
    /// True if it is compressed.
    pub compressed: bool,
}

impl Protection {
    /// The protection of a directory. A directory inside a pipeline's, which has this protection,
    /// has tags that are bound to its place there.
    pub(crate) fn of(&self, directory: &Path) -> Protection {
        match place_in_pipeline(directory) {
            Some(place) => self.of_place(&place),
            None => self.clone(),
        }
    }
}

/// The place of a directory in a pipeline's, if it is inside one.
fn place_in_pipeline(directory: &Path) -> Option<String> {
    let folder = directory.file_name()?.to_str()?;
    let parent = directory.parent()?;
    let (pipeline, place) = match parent.file_name().and_then(|name| name.to_str()) {
        _ if folder == name::FILES => (parent, folder.to_owned()),
        Some(around @ (name::STEPS | name::PROGRESS)) => (parent.parent()?, format!("{around}/{folder}")),
        _ => return None,
    };
    [name::STEPS, name::FILES].iter().all(|name| pipeline.join(name).is_dir()).then_some(place)
}

impl File {
    /// Opens a checkpoint that was saved with this protection, and verifies it, except for the data
    /// of its parts.
    ///
    /// # Errors
    /// Those of [`CheckpointReader::manifest`](crate::CheckpointReader::manifest), and an error if
    /// the protection refuses the file. Also one if its name is that of another generation: a load
    /// refuses such a file too.
    pub fn open(path: impl AsRef<Path>, protection: &Protection) -> Result<File, Error> {
        let path = &absolute(path)?;
        let source = RealDisk::default().open(path).map_err(|source| Error::io("open", path, source))?;
        let directory = path.parent().unwrap_or(path);
        let file = File::new(path, source, &protection.of(directory))?;
        match path.file_name().and_then(generation_of) {
            Some(named) => file.named(named),
            None => Ok(file),
        }
    }

    /// Returns the file, if it is the generation of its name.
    fn named(self, named: u64) -> Result<File, Error> {
        let found = self.manifest().generation();
        if found == named {
            return Ok(self);
        }
        let why = format!("it is generation {found} under the name of generation {named}");
        Err(Error::Damaged { path: self.path, part: "name".to_owned(), why })
    }

    /// Opens one generation of another place than a directory, such as an `ObjectHome` of the
    /// package `checkpointed-object-store`, that was saved with this protection.
    ///
    /// # Errors
    /// Those of [`open_generation`](File::open_generation).
    pub fn open_in(home: &Arc<dyn Home>, generation: u64, protection: &Protection) -> Result<File, Error> {
        home.check()?;
        let path = home.location(generation);
        match home.open(generation) {
            Ok(source) => {
                let file = File::new(&path, source, protection)?.named(generation)?;
                Ok(File { home: Some(Arc::clone(home)), ..file })
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let available = home.generations()?;
                Err(Error::NoSuchGeneration { path: home.path().to_owned(), generation, available })
            }
            Err(source) => Err(Error::io("open", &path, source)),
        }
    }

    /// Opens one generation of a checkpoint directory that was saved with this protection.
    ///
    /// # Errors
    /// Those of [`open`](File::open), and [`Error::NoSuchGeneration`].
    pub fn open_generation(
        directory: impl AsRef<Path>,
        generation: u64,
        protection: &Protection,
    ) -> Result<File, Error> {
        let directory = Directory::new(&absolute(directory)?, Arc::new(RealDisk::default()));
        match File::open(directory.location(generation), protection) {
            Err(Error::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                let available = directory.generations()?;
                Err(Error::NoSuchGeneration { path: directory.path().to_owned(), generation, available })
            }
            outcome => outcome,
        }
    }

    fn new(path: &Path, source: Box<dyn Source>, protection: &Protection) -> Result<File, Error> {
        let refused = |refusal| Error::refused(path, refusal);
        let source = protection.open(source).map_err(refused)?;
        let container = Container::open(source, &protection.tag_keys()).map_err(refused)?;
        Ok(File::of(path, container))
    }

    /// A checkpoint that is open already, or that only exists in memory.
    pub(crate) fn of(path: &Path, container: Container) -> File {
        let layout = Layout::of(&container.manifest().schema);
        let ends = Ends::new(container.length());
        File { path: path.to_owned(), home: None, container, layout, ends, state: OnceLock::new() }
    }

    /// The place that it was opened in; `None` for a file of this machine, and for a checkpoint
    /// inside another.
    pub(crate) fn home(&self) -> Option<&Arc<dyn Home>> {
        self.home.as_ref()
    }

    /// The checkpoint in these bytes, if they are one.
    pub(super) fn embedded(&self, name: &str, bytes: Vec<u8>) -> Option<File> {
        File::new(&self.path.join(name), Box::new(Memory(bytes)), &Protection::new()).ok()
    }

    /// The path of the checkpoint. If it is inside another, the path of the value there comes
    /// behind that of the file.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The description of the checkpoint.
    #[must_use]
    pub fn manifest(&self) -> &Manifest {
        self.container.manifest()
    }

    /// The length of the whole file, in bytes.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.container.length()
    }

    /// The checkpoint in short, to be shown.
    #[must_use]
    pub fn header(&self) -> Header {
        let (path, manifest) = (self.path.clone(), self.manifest().clone());
        Header { path, manifest, bytes: self.bytes(), parts: self.parts().collect() }
    }

    /// The parts, arrays first, the rest of the state last.
    pub fn parts(&self) -> impl Iterator<Item = Part> {
        (0..self.container.part_count()).filter_map(|number| self.container.part(number)).map(|part| Part {
            name: part.name.to_owned(),
            bytes: part.bytes,
            stored_bytes: part.stored,
            compressed: part.is_compressed,
        })
    }

    /// The whole state.
    #[must_use]
    pub fn root(&self) -> Node<'_> {
        Node::of_type(self, &self.schema().root, Place::default())
    }

    /// All arrays, in the order of the file, even if the rest of the state cannot be understood.
    ///
    /// # Errors
    /// An error for an array that is damaged.
    pub fn arrays(&self) -> impl Iterator<Item = Result<Array<'_>, Error>> {
        (0..self.container.part_count().saturating_sub(1)).map(|number| Array::new(self, number, None))
    }

    /// The value at a path of field names, indices and the keys of maps, with `/` between them, as
    /// in the names of arrays: `model/layers/2/weights`. Options, newtypes and the variants of
    /// enums are no steps. The empty path is the whole state.
    ///
    /// # Errors
    /// [`Error::NoSuchField`], [`Error::AmbiguousField`], and an error if the state is damaged or
    /// cannot be understood.
    pub fn find(&self, path: &str) -> Result<Found<'_>, Error> {
        let mut found = self.locate(path)?;
        while let Found::Node(node) = &found
            && let Value::Option(Some(inner)) | Value::Variant(_, Some(inner)) = node.value()?
        {
            found = Found::Node(inner);
        }
        Ok(found)
    }

    /// Like [`find`](File::find), but the last value keeps its options and variants around it: it
    /// has the type of its field.
    pub(crate) fn locate(&self, path: &str) -> Result<Found<'_>, Error> {
        let mut node = self.root();
        let mut rest = path.trim_matches('/');
        while !rest.is_empty() {
            node = match node.value()? {
                Value::Option(Some(inner)) | Value::Variant(_, Some(inner)) => inner,
                value => {
                    let done =
                        path.trim_matches('/').strip_suffix(rest).unwrap_or_default().trim_end_matches('/');
                    if let Some(inner) = node.embedded(done)? {
                        return Ok(Found::Inside(Box::new(inner), rest.to_owned()));
                    }
                    let (step, later) = rest.split_once('/').unwrap_or((rest, ""));
                    rest = later;
                    match value.members().map(|members| members.named(step)).transpose()? {
                        Some(Named::One(member)) => member,
                        Some(Named::Several) => {
                            let (path, step, within) = (path.to_owned(), step.to_owned(), done.to_owned());
                            return Err(Error::AmbiguousField {
                                file: self.path.clone(),
                                path,
                                step,
                                within,
                            });
                        }
                        Some(Named::Nothing) | None => {
                            return Err(self.no_such_field(path, step, done, &value));
                        }
                    }
                }
            };
        }
        Ok(Found::Node(node))
    }

    fn no_such_field(&self, path: &str, step: &str, within: &str, value: &Value<'_>) -> Error {
        /// The number of names in the message, and of those that are looked at.
        const KNOWN: usize = 20;
        const SEEN: usize = 10_000;
        let total = value.members().map_or(0, |members| members.total());
        let members = value.members().into_iter().flatten().flatten().take(SEEN);
        let names = members.filter(|member| !matches!(member.label, Label::Index(_)));
        let mut known: Vec<String> =
            names.map(|member| shortened(&member.label.step()).into_owned()).collect();
        if known.len() > KNOWN {
            known.sort_by_cached_key(|name| distance(name, step));
            known.truncate(KNOWN);
        }
        if let Value::Sequence(_) | Value::Tuple(_) = value
            && total > 0
        {
            known.push(format!("0 to {}", total - 1));
        }
        Error::NoSuchField {
            file: self.path.clone(),
            path: path.to_owned(),
            step: step.to_owned(),
            within: within.to_owned(),
            known,
        }
    }

    /// The open container.
    pub(crate) fn container(&self) -> &Container {
        &self.container
    }

    /// The open container alone.
    #[cfg(feature = "group")]
    pub(crate) fn into_container(self) -> Container {
        self.container
    }

    pub(super) fn schema(&self) -> &Schema {
        &self.container.manifest().schema
    }

    /// The bytes of the state, verified on the first call.
    pub(crate) fn state(&self) -> Result<&[u8], Error> {
        if let Some(state) = self.state.get() {
            return Ok(state);
        }
        let manifest = self.manifest();
        if !manifest.has_known_codec() {
            return Err(Error::CodecUnknown { path: self.path.clone(), found: manifest.codec.clone() });
        }
        let state = self.container.state().map_err(|refusal| self.refused(refusal))?;
        Ok(self.state.get_or_init(|| state))
    }

    /// A walker that starts at this place of the state.
    pub(super) fn walker(&self, place: Place) -> Result<Walker<'_>, Error> {
        Ok(Walker::new(self.state()?, self.schema(), &self.layout, &self.ends, place))
    }

    /// The greatest number of values in the state; 0 if it cannot be read.
    pub(super) fn most_values(&self) -> u64 {
        self.state().map_or(0, |state| most_values(state.len()))
    }

    pub(super) fn refused(&self, refusal: crate::container::Refusal) -> Error {
        Error::refused(&self.path, refusal)
    }

    pub(super) fn damaged(&self, why: String) -> Error {
        Error::Damaged { path: self.path.clone(), part: STATE.to_owned(), why }
    }

    pub(super) fn trouble(&self, trouble: Trouble) -> Error {
        match trouble {
            Trouble::Damaged(why) => self.damaged(why),
            Trouble::Opaque(name) => Error::FormUnknown { path: self.path.clone(), name },
        }
    }
}

impl fmt::Debug for File {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("File").field("path", &self.path).finish_non_exhaustive()
    }
}
