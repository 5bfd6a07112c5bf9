//! A partial load: the fields of a checkpoint that fit go into a state, the others stay as they
//! are.

use std::path::Path;

use super::decoding::{Decoded, check_kind, decode_value};
use super::generations::check_inputs;
use super::{CheckpointReader, Reader};
use crate::arrays::{ArrayPool, ArraySource, Cause, Kind, Reference};
use crate::base::text::listed;
use crate::base::warnings::warn;
use crate::container::Arrays;
use crate::error::Error;
use crate::evolution::{self, Choice, Chosen, Matched, Program};
use crate::outcome::{KeptField, Matching};
use crate::outputs;
use crate::run::embedded;
use crate::schema::{self, Body, Field, Fields, Schema, Type, path_step};
use crate::state::Checkpoint;
use crate::tree::{File, Found};

impl<T: Checkpoint> CheckpointReader<T> {
    /// Loads the fields of the newest undamaged generation that fit into a state, and leaves the
    /// others as they are: a warm start from a checkpoint of another program, or of a model with
    /// other layers. `None`, with nothing changed, where there is no generation at all.
    ///
    /// Fields are found by their names, also in structs inside each other. A field fits if a load
    /// would accept it alone, with all conversions and migrations. A list, a map or an enum is one
    /// value, and is taken whole or not at all. The names of the states need not be the same. The
    /// report says of each field what became of it, and a warning in the log lists those that were
    /// not loaded.
    ///
    /// ```
    /// use checkpointed::{CheckpointReader, Checkpointer, checkpointed};
    ///
    /// #[checkpointed]
    /// struct Pretrained { encoder: Vec<f32>, head: Vec<f32>, epoch: u64 }
    ///
    /// #[checkpointed]
    /// struct Model { encoder: Vec<f64>, head: [f32; 2], temperature: f32 }
    ///
    /// # fn main() -> Result<(), checkpointed::Error> {
    /// # let directory = tempfile::tempdir().unwrap();
    /// # let path = directory.path().join("pretrained.ckpt");
    /// let pretrained = Pretrained { encoder: vec![0.5; 1000], head: vec![1.0; 10], epoch: 90 };
    /// Checkpointer::open(&path)?.save(&pretrained)?;
    ///
    /// let mut model = Model { encoder: vec![0.0; 1000], head: [0.0; 2], temperature: 1.5 };
    /// let matching = CheckpointReader::open(&path)?.load_matching(&mut model)?.expect("it is there");
    /// assert_eq!((model.encoder[0], model.head, model.temperature), (0.5, [0.0; 2], 1.5));
    /// assert_eq!(matching.taken, ["encoder"]);
    /// assert_eq!(matching.unused, ["epoch"]);
    /// assert_eq!(matching.kept[1].to_string(), "temperature: not loaded, it is not in the checkpoint");
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The state is copied in memory meanwhile. Where a value does not fit, the state is made again
    /// to find its field: about a dozen times for one of fifty. As after any load, a field with
    /// `#[serde(skip)]` has its default. An [output](crate::Appended) is never taken: it belongs to
    /// its run. To go on with the same run, use [`load`](CheckpointReader::load).
    ///
    /// # Errors
    /// [`Error::SchemaMismatch`] if no field fits: the checkpoint is probably another one than was
    /// meant. Also the errors of [`load`](CheckpointReader::load) but for those of the type; these
    /// too where fields fit alone and not together, because the type checks the whole. The state is
    /// unchanged then.
    pub fn load_matching(&mut self, state: &mut T) -> Result<Option<Matching>, Error> {
        let reader = &self.reader;
        let _warnings = reader.warnings.enter();
        let kept_outputs = outputs::keep();
        let own = embedded::container_of(reader.path(), state, &reader.program)?;
        let own = File::of(reader.path(), own);
        let mut found = None;
        let sought = reader.seek(&mut |reader, generation| {
            found = Some(reader.matching(generation, &own)?);
            Ok(())
        })?;
        reader.check_age(sought.generation)?;
        let Some((loaded, matching)) = found else { return Ok(None) };
        drop((own, kept_outputs));
        if !matching.kept.is_empty() || !matching.unused.is_empty() {
            let lines: Vec<String> = matching.to_string().lines().map(str::to_owned).collect();
            warn(format!(
                "a part of generation {} of {} was loaded, as `load_matching` asks: {}",
                matching.generation(),
                reader.path().display(),
                listed(&lines.iter().map(String::as_str).collect::<Vec<_>>())
            ));
        }
        // This comes last: the old state runs its own code when it is dropped.
        *state = *loaded;
        Ok(Some(matching))
    }
}

impl Reader {
    fn matching<T: Checkpoint>(&self, generation: u64, own: &File) -> Result<(Box<T>, Matching), Error> {
        let container = self.container(generation)?;
        let location = self.home.location(generation);
        check_inputs(&location, container.manifest())?;
        check_kind(&location, &self.program, container.manifest())?;
        let file = File::of(&location, container);
        let Matched { choice, unused } =
            evolution::matching(&file.manifest().schema, &self.program, outputs::OF_RUN);
        let schema = self.program.schema();
        let leaves = leaves(schema, Some(&schema.root), choice, String::new());
        let merge = Merge { program: &self.program, file: &file, own, leaves };
        let mut why: Vec<Option<String>> = merge.leaves.iter().map(|leaf| leaf.why.clone()).collect();
        let mut decoded = merge.decode::<T>(&location, &why);
        if let Some(reason) = refusal(&decoded) {
            let undecided: Vec<usize> = (0..why.len()).filter(|place| why[*place].is_none()).collect();
            merge.find_unfit::<T>(&location, &undecided, reason, &mut why)?;
            if undecided.iter().any(|place| why[*place].is_some()) {
                decoded = merge.decode(&location, &why);
            }
        }
        let (mut taken, mut kept) = (Vec::new(), Vec::new());
        for (leaf, why) in merge.leaves.iter().zip(why) {
            match why {
                None => taken.push(leaf.path.clone()),
                Some(why) => kept.push(KeptField { path: leaf.path.clone(), why }),
            }
        }
        if taken.is_empty() {
            let first = kept.first().map(ToString::to_string).unwrap_or_default();
            return Err(Error::SchemaMismatch {
                path: location,
                name: self.program.shown_name(),
                differences: evolution::compare(&file.manifest().schema, &self.program).differences,
                has_more: false,
                why: format!("no field of the checkpoint fits one of the program: {first}"),
            });
        }
        let decoded = decoded?;
        let (path, manifest) = (self.path().to_owned(), file.manifest().clone());
        let matching = Matching { path, manifest, taken, kept, unused, differences: decoded.differences };
        Ok((decoded.state, matching))
    }
}

/// The reason that a value could not be made of what was read.
fn refusal<D>(decoded: &Result<D, Error>) -> Option<String> {
    match decoded {
        Err(Error::Decode { why, .. } | Error::SchemaMismatch { why, .. }) => Some(why.clone()),
        _ => None,
    }
}

/// One field that is taken or kept as a whole.
struct Leaf {
    /// Its path in messages.
    path: String,
    /// Its path in the program and in the checkpoint.
    own: Vec<String>,
    found: Vec<String>,
    /// The places of the fields that lead to it.
    fields: Vec<usize>,
    /// The reason why it cannot be taken.
    why: Option<String>,
}

/// The fields that are taken or kept as a whole, of a value of this type of the program.
fn leaves(schema: &Schema, ty: Option<&Type>, choice: Choice, path: String) -> Vec<Leaf> {
    let why = match choice {
        Choice::Fields(chosen) => {
            let inner = chosen.into_iter().flat_map(|Chosen { field: place, path, name, choice }| {
                let field = ty.and_then(|ty| field_of(schema, ty, place));
                let mut leaves = leaves(schema, field.map(|field| &field.ty), choice, path);
                for leaf in &mut leaves {
                    leaf.own.insert(0, field.map(|field| field.name.clone()).unwrap_or_default());
                    leaf.found.insert(0, name.clone().unwrap_or_default());
                    leaf.fields.insert(0, place);
                }
                leaves
            });
            return inner.collect();
        }
        Choice::Take => None,
        Choice::Keep(why) => Some(why),
    };
    vec![Leaf { path, own: Vec::new(), found: Vec::new(), fields: Vec::new(), why }]
}

/// Puts the fields of a checkpoint and those of a state together, as one state of the program: each
/// field in the form of its origin, under the schema of both.
struct Merge<'a> {
    program: &'a Program,
    file: &'a File,
    own: &'a File,
    leaves: Vec<Leaf>,
}

impl Merge<'_> {
    /// Finds those of these fields that do not fit, and the reason of each. `reason` is that of all
    /// together. A half that fits has none, so few states are made for each.
    fn find_unfit<T: Checkpoint>(
        &self,
        location: &Path,
        places: &[usize],
        reason: String,
        why: &mut [Option<String>],
    ) -> Result<(), Error> {
        if let [place] = places {
            why[*place] = Some(reason);
            return Ok(());
        }
        let (first, second) = places.split_at(places.len() / 2);
        for half in [first, second].into_iter().filter(|half| !half.is_empty()) {
            let others = (0..why.len()).map(|place| (!half.contains(&place)).then(String::new));
            let decoded = self.decode::<T>(location, &others.collect::<Vec<_>>());
            match refusal(&decoded) {
                Some(reason) => self.find_unfit::<T>(location, half, reason, why)?,
                None => drop(decoded?),
            }
        }
        Ok(())
    }

    /// Decodes the state in which the fields without a reason are from the checkpoint.
    fn decode<T: Checkpoint>(&self, location: &Path, why: &[Option<String>]) -> Result<Decoded<T>, Error> {
        let (of_file, of_own) = (&self.file.manifest().schema, &self.own.manifest().schema);
        let mut types = of_file.types.clone();
        let offset = types.len();
        types.extend(of_own.types.iter().cloned().map(|mut definition| {
            definition.types_mut(&mut |ty| schema::shift(ty, offset));
            definition
        }));
        let mut merged = Schema { root: Type::Unit, types };
        let (mut bytes, mut arrays) = (Vec::new(), Merged::default());
        let mut roots = Vec::new();
        for (leaf, why) in self.leaves.iter().zip(why) {
            let (file, names, offset) = match why {
                None => (self.file, &leaf.found, 0),
                Some(_) => (self.own, &leaf.own, offset),
            };
            let steps: Vec<String> = names.iter().map(|name| path_step(name)).collect();
            let Found::Node(node) = file.locate(&steps.join("/"))? else { continue };
            let field = node.encoded()?;
            bytes.extend_from_slice(field.bytes);
            arrays.sources.push(Arrays::of_value(file.container(), &field.arrays));
            let mut root = field.schema.root;
            schema::shift(&mut root, offset);
            roots.push((leaf.fields.as_slice(), root));
        }
        merged.root = self.structure(&mut merged.types, &self.program.schema().root, &roots);
        let compared = evolution::compare(&merged, self.program);
        decode_value(location, self.program, &merged, compared, &bytes, &mut arrays)
    }

    /// The type of a struct of the program with these types in the places of its fields.
    fn structure(&self, types: &mut Vec<schema::Definition>, ty: &Type, leaves: &[(&[usize], Type)]) -> Type {
        if let [([], root)] = leaves {
            return root.clone();
        }
        let own = self.program.schema();
        let Some(mut definition) = evolution::fields_of(own, ty).cloned() else { return Type::Unit };
        if let Body::Struct(Fields::Named(fields)) = &mut definition.body {
            for (place, field) in fields.iter_mut().enumerate() {
                let inner: Vec<(&[usize], Type)> = leaves
                    .iter()
                    .filter_map(|(places, ty)| match places.split_first() {
                        Some((first, rest)) if *first == place => Some((rest, ty.clone())),
                        _ => None,
                    })
                    .collect();
                field.ty = self.structure(types, &field.ty.clone(), &inner);
            }
        }
        types.push(definition);
        Type::Named(types.len() - 1)
    }
}

fn field_of<'a>(schema: &'a Schema, ty: &'a Type, place: usize) -> Option<&'a Field> {
    match &evolution::fields_of(schema, ty)?.body {
        Body::Struct(Fields::Named(fields)) => fields.get(place),
        _ => None,
    }
}

/// The arrays of several values, one value after the other.
#[derive(Default)]
struct Merged<'a> {
    sources: Vec<Arrays<'a>>,
    present: usize,
    pool: ArrayPool,
}

impl<'a> Merged<'a> {
    /// The source of the next array.
    fn source(&mut self) -> Result<&mut Arrays<'a>, Cause> {
        while self.sources.get(self.present).is_some_and(|source| source.left_over().is_none()) {
            self.present += 1;
        }
        self.sources.get_mut(self.present).ok_or_else(|| "there are fewer arrays than references".into())
    }
}

impl ArraySource for Merged<'_> {
    fn pool(&mut self) -> &mut ArrayPool {
        &mut self.pool
    }

    fn check(&mut self, array: Reference, kind: Kind) -> Result<(), Cause> {
        self.source()?.check(array, kind)
    }

    fn fill(&mut self, array: Reference, buffer: &mut [u8]) -> Result<(), Cause> {
        self.source()?.fill(array, buffer)
    }

    fn bytes(&mut self, array: Reference) -> Result<(Kind, Vec<u8>), Cause> {
        self.source()?.bytes(array)
    }

    fn skip(&mut self, array: Reference) -> Result<(), Cause> {
        self.source()?.skip(array)
    }
}
