//! One field of a checkpoint, loaded without reading the rest.

use std::path::Path;

use super::decoding::{check_name, check_version, decode_value, obstacle, program_of};
use super::generations::{check_inputs, has_damaged, named};
use super::{CheckpointReader, Reader};
use crate::base::limits::TYPE_DEPTH;
use crate::container::{Arrays, Container, Refusal};
use crate::error::Error;
use crate::evolution::{self, Compared, Difference, DifferenceKind, Program};
use crate::outputs;
use crate::schema::{self, Body, Fields, Schema, Type};
use crate::state::Checkpoint;
use crate::tree::{File, Found};

impl<T: Checkpoint> CheckpointReader<T> {
    /// Loads one field of the newest undamaged generation, without reading the rest; `None` where
    /// there is no generation at all.
    ///
    /// `path` has names of fields, indices and keys with `/` between them, such as
    /// `model/layers/3/weights`, as `ckpt show` prints them. Options, newtypes and the variants of
    /// enums are no steps, and the elements of an array that is stored apart have no paths. The
    /// empty path is the whole state. `U` is the type of the field, or one that a load makes of it:
    /// the rules are those of a load, with its conversions and migrations. `T` is the type of the
    /// state: its name must be that in the checkpoint, and a field that both have must not be in a
    /// value of another version, where it may mean something else. A program that does not have
    /// that type can take `CheckpointReader::<()>`, which accepts any name and any version around
    /// the field.
    ///
    /// ```
    /// use checkpointed::{CheckpointReader, Checkpointer};
    /// use std::collections::BTreeMap;
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("run.ckpt");
    /// let layers = BTreeMap::from([("in", vec![0.5_f64; 1000]), ("out", vec![1.5; 1000])]);
    /// let layers = layers.into_iter().map(|(name, weights)| (name.to_owned(), weights)).collect();
    /// Checkpointer::<BTreeMap<String, Vec<f64>>>::open(&path)?.save(&layers)?;
    ///
    /// let mut reader = CheckpointReader::<()>::open(&path)?;
    /// let weights = reader.load_field::<Vec<f64>>("out")?;
    /// assert_eq!(weights, Some(vec![1.5; 1000]));
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// It reads and verifies the manifest, the encoded rest of the state, and the arrays below the
    /// path, with their headers. So it does not notice damage in other arrays. Damage in what it
    /// reads makes it take the next older generation, as a load does, with a warning. It does not
    /// look into the history, and [`last_load`](CheckpointReader::last_load) stays as it is.
    ///
    /// # Errors
    /// [`Error::NoSuchField`] where the path leads nowhere, with the names that are there;
    /// [`Error::AmbiguousField`] where several keys of a map are written as the path has them;
    /// [`Error::SchemaMismatch`] or [`Error::Decode`] where the field cannot be loaded as a `U`;
    /// [`Error::FormUnknown`] where the form of the field, or of one before it, is not in the
    /// checkpoint; and the errors of [`load`](CheckpointReader::load).
    pub fn load_field<U: Checkpoint>(&mut self, path: &str) -> Result<Option<U>, Error> {
        self.reader.seek_field(path).map(|sought| sought.field)
    }

    /// Like [`load_field`](CheckpointReader::load_field), of one generation.
    ///
    /// # Errors
    /// [`Error::NoSuchGeneration`], or the error of that generation.
    pub fn load_generation_field<U: Checkpoint>(&self, generation: u64, path: &str) -> Result<U, Error> {
        self.reader.field_of_generation(generation, path)
    }
}

impl Reader {
    /// Loads a field of the newest undamaged generation, with what a better generation must be
    /// newer than.
    pub(crate) fn seek_field<U: Checkpoint>(&self, path: &str) -> Result<SoughtField<U>, Error> {
        let _warnings = self.warnings.enter();
        let program = program_of::<U>()?;
        if let Some(generation) = self.at {
            let field = self.field(generation, path, &program);
            let field = field.map_err(|error| self.explain(generation, error))?;
            return Ok(SoughtField { field: Some(field), generation: Some(generation), lacks: None });
        }
        let mut field = None;
        let sought = self.seek(&mut |reader, generation| {
            field = Some(reader.field(generation, path, &program)?);
            Ok(())
        })?;
        let generation = sought.generation;
        self.check_age(generation)?;
        let is_lacking = generation.is_none() || has_damaged(&sought.skipped);
        Ok(SoughtField { field, generation, lacks: is_lacking.then_some(generation) })
    }

    /// Loads a field of one generation.
    pub(crate) fn field_of_generation<U: Checkpoint>(&self, generation: u64, path: &str) -> Result<U, Error> {
        let _warnings = self.warnings.enter();
        let program = program_of::<U>()?;
        self.home.look()?;
        self.field(generation, path, &program).map_err(|error| self.explain(generation, error))
    }

    fn field<U: Checkpoint>(&self, generation: u64, path: &str, program: &Program) -> Result<U, Error> {
        field_of(&self.file_for(generation, path)?, path, program, true)
    }

    /// Opens a generation for one field.
    fn file_for(&self, generation: u64, path: &str) -> Result<File, Error> {
        let container = self.container_without_headers(generation)?;
        let location = self.home.location(generation);
        check_name(&location, &self.program, container.manifest())?;
        check_inputs(&location, container.manifest())?;
        let state = container.state_number();
        container.need(state..state + 1).map_err(|refusal| Error::refused(&location, refusal))?;
        check_around(&location, path, container.manifest().schema(), &self.program)?;
        Ok(File::of(&location, container))
    }

    /// Opens a generation, and verifies the end of its file.
    pub(super) fn container_without_headers(&self, generation: u64) -> Result<Container, Error> {
        let (path, source) = self.source(generation)?;
        // An encrypted file tells so at its beginning. That of another is not read.
        let source = if self.protection.encrypts() { self.protection.open(source) } else { Ok(source) };
        let opened =
            source.and_then(|source| Container::open_without_headers(source, &self.protection.tag_keys()));
        match opened {
            Err(Refusal::NotACheckpoint) => self.container(generation),
            opened => named(&path, generation, opened),
        }
    }
}

/// The field of the newest generation that can be used.
pub(crate) struct SoughtField<U> {
    pub(crate) field: Option<U>,
    pub(crate) generation: Option<u64>,
    /// The generation that a better one must be newer than, where a newer one is damaged or there
    /// is none; see [`Reader::lacks`].
    pub(crate) lacks: Option<Option<u64>>,
}

/// Refuses a field of a value that has another version in the program, if the program has that
/// field too.
fn check_around(location: &Path, path: &str, checkpoint: &Schema, program: &Program) -> Result<(), Error> {
    let schema = program.extended();
    let (mut old, mut new) = (&checkpoint.root, &schema.root);
    let mut way = String::new();
    // The empty path is the whole state, whose version a load compares.
    for step in path.trim_matches('/').split('/').filter(|step| !step.is_empty()) {
        let (Some(before), Some(after)) = (part(checkpoint, old, step), part(schema, new, step)) else {
            break;
        };
        if let Some((found, expected)) = evolution::other_version((checkpoint, before.0), (program, after.0))
        {
            let kind = DifferenceKind::Version;
            let difference = Difference { kind, path: way, checkpoint: found, program: expected };
            let why = format!(
                "{difference}: there, `{path}` may have meant something else; load the whole value around it, which is \
                 migrated where the program can, or take the field as it is by CheckpointReader::<()>"
            );
            let (path, name) = (location.to_owned(), program.shown_name());
            return Err(Error::SchemaMismatch {
                path,
                name,
                differences: vec![difference],
                has_more: false,
                why,
            });
        }
        way = joined(&way, step);
        (old, new) = (before.1, after.1);
    }
    Ok(())
}

/// The value that one step of a path leads into, without the options around it, and the one that it
/// leads to. Where several variants of an enum have such a part, it is not known.
fn part<'a>(schema: &'a Schema, ty: &'a Type, step: &str) -> Option<(&'a Type, &'a Type)> {
    let number: Option<usize> = step.parse().ok();
    let numbered = |members: &'a [Type]| members.get(number?);
    let among = |fields: &'a Fields| match fields {
        Fields::Named(fields) => fields.iter().find(|field| field.name == step).map(|field| &field.ty),
        Fields::Tuple(members) => numbered(members),
        Fields::Newtype(_) | Fields::Unit => None,
    };
    let mut ty = ty;
    // As for any chain: no more than there are types, unless they go in a circle.
    for _ in 0..TYPE_DEPTH {
        let inside = match schema::chain(schema, ty).last()? {
            Type::Option(inner) => {
                ty = inner;
                continue;
            }
            Type::Seq(inner) | Type::Array(inner, _) | Type::Map(_, inner) => Some(&**inner),
            Type::Tuple(members) => numbered(members),
            Type::Named(place) => match &schema.types.get(*place)?.body {
                Body::Struct(fields) => among(fields),
                Body::Enum(variants) => {
                    let mut found = variants.iter().filter_map(|variant| among(&variant.fields));
                    found.next().filter(|_| found.next().is_none())
                }
            },
            _ => None,
        };
        return inside.map(|inside| (ty, inside));
    }
    None
}

/// Loads the value at a path of a checkpoint, which is a generation or kept in one.
fn field_of<U: Checkpoint>(
    file: &File,
    path: &str,
    program: &Program,
    is_generation: bool,
) -> Result<U, Error> {
    let field = match file.locate(path)? {
        Found::Node(node) => node.encoded()?,
        Found::Inside(inner, rest) => return field_of(&inner, &rest, program, false),
    };
    let mut compared = evolution::compare(&field.schema, program);
    if is_generation && path.trim_matches('/').is_empty() {
        check_version(file.path(), program, file.manifest(), &compared)?;
    }
    for difference in &mut compared.differences {
        difference.path = joined(path, &difference.path);
    }
    if let Some(why) = obstacle(&compared) {
        let (path, name) = (file.path().to_owned(), program.shown_name());
        let Compared { differences, has_more, .. } = compared;
        return Err(Error::SchemaMismatch { path, name, differences, has_more, why });
    }
    let container = file.container();
    let refused = |refusal| Error::refused(file.path(), refusal);
    container.need(field.arrays.clone()).map_err(refused)?;
    let mut arrays = Arrays::of_value(container, &field.arrays);
    let decoded = decode_value::<U>(file.path(), program, &field.schema, compared, field.bytes, &mut arrays);
    let decoded = decoded.map_err(|error| at(path, error))?;
    if let Some(refusal) = arrays.left_over() {
        return Err(refused(refusal));
    }
    // As for any reader, the files of outputs stay as they are.
    outputs::resolve(&decoded.outputs, file.path().parent().unwrap_or(file.path()));
    Ok(*decoded.state)
}

/// The path of a place inside a field, in messages: that of the field, and then that inside it.
fn joined(field: &str, inside: &str) -> String {
    let field = field.trim_matches('/');
    if field.is_empty() || inside.is_empty() || inside.starts_with(['.', '[', ':']) {
        return format!("{field}{inside}");
    }
    format!("{field}.{inside}")
}

/// Adds the path of the field to the reason that it could not be decoded.
fn at(field: &str, error: Error) -> Error {
    let placed = |why: String| if field.is_empty() { why } else { format!("{field}: {why}") };
    match error {
        Error::Decode { path, name, why } => Error::Decode { path, name, why: placed(why) },
        Error::SchemaMismatch { path, name, differences, has_more, why } => {
            Error::SchemaMismatch { path, name, differences, has_more, why: placed(why) }
        }
        error => error,
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "a test fails by panicking")]
mod tests;
