//! Decodes the state of a generation, once its schema has been compared with that of the program.

use std::path::Path;

use crate::arrays::{ArrayPool, ArraySource};
use crate::base::text;
use crate::base::warnings::warn;
use crate::codec::{self, Failure};
use crate::container::{self, Arrays, Container, Manifest, Refusal};
use crate::error::Error;
use crate::evolution;
use crate::evolution::{Compared, Difference, DifferenceKind, Program};
use crate::outputs::{self, Found};
use crate::schema::Schema;
use crate::state::Checkpoint;

/// The description of `T`, if its values can be described in a checkpoint and loaded from one.
pub(crate) fn program_of<T: Checkpoint>() -> Result<Program, Error> {
    supported(Program::of::<T>())
}

fn supported(program: Program) -> Result<Program, Error> {
    let schema = program.schema();
    let mut fields: Vec<String> =
        evolution::unsupported(schema).into_iter().map(|(path, why)| format!("{path}: {why}")).collect();
    if !container::is_readable(schema) {
        fields.push(
            "its type is nested too deep to be described in JSON, box some of it into a struct".to_owned(),
        );
    }
    if !fields.is_empty() {
        return Err(Error::Unsupported { name: program.shown_name(), fields });
    }
    let opaque: Vec<String> = schema.opaque_parts().iter().map(ToString::to_string).collect();
    if !opaque.is_empty() {
        warn(format!(
            "the form of some parts of `{}` could not be found out, so what is saved loads only while its type stays the \
             same; store them with #[serde(with = \"checkpointed::self_describing\")] on the field, or on the field that \
             holds them, before the first save: {}",
            program.shown_name(),
            text::listed(&opaque.iter().map(String::as_str).collect::<Vec<_>>())
        ));
    }
    Ok(program)
}

/// A state that was loaded from a container.
pub(crate) struct Decoded<T> {
    pub(crate) state: Box<T>,
    /// The differences from the state that was saved.
    pub(crate) differences: Vec<Difference>,
    /// The outputs in the state.
    pub(crate) outputs: Found,
}

/// Decodes the state of a container. Every part is verified before it is decoded. Calls `pool`
/// last.
pub(crate) fn decode<T: Checkpoint>(
    path: &Path,
    program: &Program,
    container: &Container,
    pool: &mut dyn FnMut() -> ArrayPool,
) -> Result<Decoded<T>, Error> {
    let refused = |refusal| Error::refused(path, refusal);
    let compared = check_state(path, program, container.manifest())?;
    let bytes = container.state().map_err(refused)?;
    let mut arrays = Arrays::new(container, pool());
    let decoded = decode_parts(path, program, container.manifest(), compared, &bytes, &mut arrays)?;
    match arrays.left_over() {
        Some(refusal) => Err(refused(refusal)),
        None => Ok(decoded),
    }
}

/// Decodes a state from its bytes and arrays. `manifest` is the one that was compared.
pub(crate) fn decode_parts<T: Checkpoint>(
    path: &Path,
    program: &Program,
    manifest: &Manifest,
    compared: Compared,
    bytes: &[u8],
    arrays: &mut dyn ArraySource,
) -> Result<Decoded<T>, Error> {
    decode_value(path, program, &manifest.schema, compared, bytes, arrays)
}

/// Decodes a value from its bytes and arrays. `schema` is the one that was compared.
pub(super) fn decode_value<T: Checkpoint>(
    path: &Path,
    program: &Program,
    schema: &Schema,
    compared: Compared,
    bytes: &[u8],
    arrays: &mut dyn ArraySource,
) -> Result<Decoded<T>, Error> {
    let is_same_form = compared.is_same_form();
    let (plan, room) = (&compared.plan, program.room());
    let (decoded, outputs) = outputs::loading(|| {
        if is_same_form {
            codec::decode(bytes, room, arrays)
        } else {
            evolution::decode_by_schema(bytes, (schema, Some(program)), (plan, room), arrays)
        }
    });
    match decoded {
        Ok(state) => Ok(Decoded { state, differences: accepted(path, compared), outputs }),
        Err(failure) => Err(undecoded(path, program, compared, failure)),
    }
}

/// The differences of a state that was decoded, for its report.
fn accepted(path: &Path, compared: Compared) -> Vec<Difference> {
    let differences = compared.differences;
    let count = differences.len();
    if let Some(migration) =
        differences.iter().rfind(|difference| difference.kind == DifferenceKind::Migrated)
    {
        tracing::info!(?path, count, %migration, "loaded a state of an older version of the program");
    } else if let Some(first) = differences.first() {
        tracing::info!(?path, count, %first, "loaded a state that was saved from a different type, by its names");
    }
    differences
}

/// The error of a state that could not be decoded.
fn undecoded(path: &Path, program: &Program, compared: Compared, failure: Failure) -> Error {
    let is_same_form = compared.is_same_form();
    let (path, name) = (path.to_owned(), program.shown_name());
    match failure.into_source::<Refusal>() {
        // A damaged array ends the decoding too, but is the cause.
        Ok(refusal) => Error::refused(&path, refusal),
        Err(failure) if is_same_form => Error::Decode { path, name, why: failure.into_sentence() },
        Err(failure) => {
            let Compared { differences, has_more, .. } = compared;
            Error::SchemaMismatch { path, name, differences, has_more, why: failure.into_sentence() }
        }
    }
}

/// Checks that the bytes belong to this state, whose schema may have changed. Returns the
/// differences.
pub(crate) fn check_state(path: &Path, program: &Program, manifest: &Manifest) -> Result<Compared, Error> {
    check_name(path, program, manifest)?;
    let compared = evolution::compare(&manifest.schema, program);
    check_version(path, program, manifest, &compared)?;
    let Some(why) = obstacle(&compared) else { return Ok(compared) };
    let (path, name) = (path.to_owned(), program.shown_name());
    let Compared { differences, has_more, .. } = compared;
    Err(Error::SchemaMismatch { path, name, differences, has_more, why })
}

/// Checks that a whole state has the version of this type, or is migrated to it.
pub(super) fn check_version(
    path: &Path,
    program: &Program,
    manifest: &Manifest,
    compared: &Compared,
) -> Result<(), Error> {
    if has_version(manifest, program, &compared.differences) {
        return Ok(());
    }
    let (path, name) = (path.to_owned(), program.shown_name());
    Err(Error::VersionUnknown { path, name, found: manifest.version, expected: program.version() })
}

/// True if a whole state has the version of the program, or is migrated to it. The differences are
/// those of its types.
pub(crate) fn has_version(manifest: &Manifest, program: &Program, differences: &[Difference]) -> bool {
    let is_migrated =
        |difference: &Difference| difference.kind == DifferenceKind::Migrated && difference.path.is_empty();
    manifest.version == program.version() || differences.iter().any(is_migrated)
}

/// Checks that the bytes belong to a state of this name, and are of a codec that is known.
pub(super) fn check_name(path: &Path, program: &Program, manifest: &Manifest) -> Result<(), Error> {
    check_kind(path, program, manifest)?;
    if has_name(manifest, program) {
        return Ok(());
    }
    let (path, found) = (path.to_owned(), manifest.name.clone());
    Err(Error::OtherState { path, found, expected: program.name().to_owned() })
}

/// True if a program takes the state for its own by its name.
pub(crate) fn has_name(manifest: &Manifest, program: &Program) -> bool {
    let (name, found) = (program.name(), manifest.name.as_str());
    name.is_empty() || [name, ""].contains(&found) || program.was_called(found)
}

/// True if both are states of groups, or neither is.
pub(crate) fn is_of_kind(manifest: &Manifest, program: &Program) -> bool {
    manifest.is_of_group() == container::is_of_group(program.name(), program.schema())
}

/// Checks that the bytes are of a codec that is known, and belong to a group if the state does.
pub(super) fn check_kind(path: &Path, program: &Program, manifest: &Manifest) -> Result<(), Error> {
    let path = path.to_owned();
    if !manifest.has_known_codec() {
        return Err(Error::CodecUnknown { path, found: manifest.codec.clone() });
    }
    if !is_of_kind(manifest, program) {
        return Err(Error::OtherKind { path, of_group: manifest.is_of_group() });
    }
    Ok(())
}

/// The reason that a value of a compared type cannot be loaded, if there is one.
pub(super) fn obstacle(compared: &Compared) -> Option<String> {
    match compared.differences.iter().find(|difference| !difference.may_resolve()) {
        Some(difference) => Some(format!("{difference}{}", difference.way_out())),
        None if compared.has_more => {
            Some(format!("they differ in more than {} places", compared.differences.len()))
        }
        None => None,
    }
}
