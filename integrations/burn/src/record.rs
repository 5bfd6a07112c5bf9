//! [`Record`]: tensors of burn as a field of a state.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use burn_core::module::{Module, list_param_ids};
use burn_core::store::{ModuleRecord, RecordError};
use burn_core::tensor::{Bytes, DType};
use burn_optim::{ModuleOptimizer, OptimizerRecord};
use burn_pack::{Reader, Writer};
use checkpointed::schema::Type;
use checkpointed::{Checkpoint, checkpointed, traits::Types};
use serde::ser::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::array::{Loaded, Tensor};
use crate::{Error, Misfit, Problem};

/// The end of the name under which an optimizer keeps the number of dimensions of a parameter.
const RANK: &str = ".__rank";

/// A record of burn as a field of a state: that of a module, of an optimizer, or of anything else
/// that burn writes in its format burnpack.
///
/// It has copies of the tensors. Make one for each save, by
/// [`Checkpointer::save_if_due_from`](checkpointed::Checkpointer::save_if_due_from).
#[derive(Clone)]
pub struct Record(Result<Contents, String>);

/// The contents of a burnpack.
#[derive(Clone, Default)]
struct Contents {
    tensors: BTreeMap<String, Tensor>,
    /// The numbers of the parameters that tensors belong to, by the names of the tensors.
    parameters: BTreeMap<String, u64>,
    scalars: BTreeMap<String, Scalar>,
    metadata: BTreeMap<String, String>,
}

/// What a load compares before anything is taken.
struct Outline {
    tensors: BTreeMap<String, (DType, Vec<usize>)>,
    scalars: BTreeSet<String>,
}

/// A number beside the tensors.
#[checkpointed]
#[derive(Clone, Copy, PartialEq)]
enum Scalar {
    Int(i64),
    UInt(u64),
    Float(f64),
    Bool(bool),
}

/// A record as it is loaded.
#[checkpointed(name = "Record")]
struct LoadedRecord {
    tensors: BTreeMap<String, Loaded>,
    parameters: BTreeMap<String, u64>,
    scalars: BTreeMap<String, Scalar>,
    metadata: BTreeMap<String, String>,
}

/// A record as it is written: a [`LoadedRecord`] of what is in memory.
#[derive(Serialize)]
#[serde(rename = "Record")]
struct SavedRecord<'a> {
    tensors: &'a BTreeMap<String, Tensor>,
    parameters: &'a BTreeMap<String, u64>,
    scalars: &'a BTreeMap<String, Scalar>,
    metadata: &'a BTreeMap<String, String>,
}

impl Record {
    /// The record of a module. A tensor that cannot be saved is an error of the save, which names
    /// it.
    #[must_use]
    pub fn of_module<M: Module>(module: &M) -> Record {
        Record::of(module.clone().into_record().into_bytes())
    }

    /// The record of an optimizer: the moments of all parameters, and its counts of steps.
    #[must_use]
    pub fn of_optimizer(optimizer: &ModuleOptimizer) -> Record {
        Record::of(optimizer.into_bytes())
    }

    /// Any record of burn, such as `LrSchedulerRecord`, by its `into_bytes`.
    ///
    /// # Errors
    /// [`Error::Invalid`] if it is not in burn's format burnpack.
    pub fn from_bytes(burnpack: Bytes) -> Result<Record, Error> {
        let contents = Contents::read(burnpack).map_err(|error| Error::Invalid(error.to_string()))?;
        Ok(Record(Ok(contents)))
    }

    /// The record in burn's format burnpack, for the `from_bytes` of burn's own type of record.
    ///
    /// # Errors
    /// [`Error::Invalid`] if burn could not make the record, or would not read it again.
    pub fn into_bytes(self) -> Result<Bytes, Error> {
        let contents = self.0.map_err(Error::Invalid)?;
        contents.write().map_err(|error| Error::Invalid(error.to_string()))
    }

    /// The module with the values of the record, and with the numbers of its parameters, which an
    /// optimizer goes by.
    ///
    /// # Errors
    /// [`Error::DoNotFit`] if not each tensor of the record has a parameter of its name, its dtype
    /// and its shape, and the reverse; those of [`into_bytes`](Record::into_bytes); and
    /// [`Error::Refused`] if a parameter has another layout in records than in memory, as in a
    /// `Linear` with columns first, and was in use before: load into a module that is new.
    ///
    /// ```
    /// # use burn_core as burn;
    /// use burn_core::tensor::Device;
    /// use burn_nn::LinearConfig;
    /// use checkpointed_burn::Record;
    ///
    /// let device = Device::default();
    /// let (small, large) = (LinearConfig::new(2, 1).init(&device), LinearConfig::new(3, 1).init(&device));
    /// let error = Record::of_module(&small).load_module(large).unwrap_err().to_string();
    /// assert!(error.contains("`weight` has the shape [2, 1] in the record, [3, 1] in the program"), "{error}");
    /// ```
    pub fn load_module<M: Module>(self, module: M) -> Result<M, Error> {
        let saved = self.outline()?;
        let record = ModuleRecord::from_bytes(self.into_bytes()?).map_err(Error::Refused)?;
        // It comes before the comparison, which uses the parameters: see above.
        let loaded = module.clone().try_load_record(record);
        // burn would take another dtype.
        saved.check("module", &Record::of_module(&module).outline()?)?;
        loaded.map_err(Error::Refused)
    }

    /// The optimizer with the moments and the counts of the record. Load the module before, from
    /// the same checkpoint: burn knows parameters by numbers which come with the record of the
    /// module.
    ///
    /// Groups, gradient clipping and all other settings stay as the program has made them.
    ///
    /// # Errors
    /// [`Error::OtherParameters`] if a parameter is none of the module, [`Error::DoNotFit`] if the
    /// optimizer is of another kind than the one of the record, and those of
    /// [`into_bytes`](Record::into_bytes).
    pub fn load_optimizer<M: Module>(
        self,
        optimizer: ModuleOptimizer,
        module: &M,
    ) -> Result<ModuleOptimizer, Error> {
        self.check_parameters(module)?;
        let saved = self.outline()?;
        let record = OptimizerRecord::from_bytes(self.into_bytes()?).map_err(Error::Refused)?;
        // burn panics where a tensor has another number of dimensions than the optimizer expects.
        let loaded = catch_unwind(AssertUnwindSafe(|| optimizer.load_record(record)));
        let loaded = loaded.map_err(|_| Error::Invalid("burn panicked while it read it".to_owned()))?;
        // burn passes over what it cannot use, and would begin these parameters anew.
        saved.check("optimizer", &Record::of_optimizer(&loaded).outline()?)?;
        Ok(loaded)
    }

    fn of(burnpack: Result<Bytes, RecordError>) -> Record {
        let contents = burnpack.map_err(|error| error.to_string());
        Record(contents.and_then(|bytes| Contents::read(bytes).map_err(|error| error.to_string())))
    }

    fn outline(&self) -> Result<Outline, Error> {
        let contents = self.0.as_ref().map_err(|error| Error::Invalid(error.clone()))?;
        let outlined =
            |(name, tensor): (&String, &Tensor)| (name.clone(), (tensor.dtype, tensor.shape.clone()));
        let tensors = contents.tensors.iter().map(outlined).collect();
        Ok(Outline { tensors, scalars: contents.scalars.keys().cloned().collect() })
    }

    /// Checks that the record of an optimizer is of parameters of a module.
    fn check_parameters<M: Module>(&self, module: &M) -> Result<(), Error> {
        let contents = self.0.as_ref().map_err(|error| Error::Invalid(error.clone()))?;
        if let Some(name) = contents.tensors.keys().find(|name| !contents.parameters.contains_key(*name)) {
            return Err(Error::Invalid(format!("tensor `{name}` of the optimizer belongs to no parameter")));
        }
        let of_scalars = contents.scalars.keys().filter_map(|name| name.strip_suffix(RANK)?.parse().ok());
        let known: BTreeSet<u64> = list_param_ids(module).into_iter().map(|id| id.val()).collect();
        let parameters: BTreeSet<u64> = contents.parameters.values().copied().chain(of_scalars).collect();
        let parameters: Vec<u64> = parameters.difference(&known).copied().collect();
        if parameters.is_empty() { Ok(()) } else { Err(Error::OtherParameters { parameters }) }
    }
}

impl Outline {
    /// Compares with what the program has.
    fn check(&self, what: &'static str, program: &Outline) -> Result<(), Error> {
        let names: BTreeSet<&String> = self.tensors.keys().chain(program.tensors.keys()).collect();
        let problem = |name: &String| match (self.tensors.get(name), program.tensors.get(name)) {
            (None, _) => Some(Problem::NotInRecord),
            (_, None) => Some(Problem::NoPlace),
            (Some((record, _)), Some((program, _))) if record != program => {
                Some(Problem::DType { record: *record, program: *program })
            }
            (Some((_, record)), Some((_, program))) if record != program => {
                Some(Problem::Shape { record: record.clone(), program: program.clone() })
            }
            _ => None,
        };
        let misfit = |name: &String, problem| Misfit { name: name.clone(), problem };
        let of_tensors =
            names.into_iter().filter_map(|name| problem(name).map(|problem| misfit(name, problem)));
        let missing = program.scalars.difference(&self.scalars);
        let unused = self.scalars.difference(&program.scalars);
        let misfits: Vec<Misfit> = of_tensors
            .chain(missing.map(|name| misfit(name, Problem::NotInRecord)))
            .chain(unused.map(|name| misfit(name, Problem::NoPlace)))
            .collect();
        if misfits.is_empty() { Ok(()) } else { Err(Error::DoNotFit { what, misfits }) }
    }
}

impl Contents {
    fn read(burnpack: Bytes) -> Result<Contents, burn_pack::Error> {
        let reader = Reader::from_bytes(burnpack)?;
        let mut contents = Contents { metadata: reader.metadata().clone(), ..Contents::default() };
        let scalars = reader.scalars().iter().map(|(name, scalar)| (name.clone(), Scalar::from(*scalar)));
        contents.scalars = scalars.collect();
        for tensor in reader.into_tensors()? {
            let (name, dtype, shape, parameter, bytes) = tensor.into_parts()?;
            if let Some(parameter) = parameter {
                contents.parameters.insert(name.clone(), parameter);
            }
            contents.tensors.insert(name, Tensor { dtype, shape: shape.to_vec(), bytes });
        }
        Ok(contents)
    }

    fn write(self) -> Result<Bytes, burn_pack::Error> {
        let parameters = self.parameters;
        let packed = |(name, tensor): (String, Tensor)| {
            let parameter = parameters.get(&name).copied();
            burn_pack::Tensor::new(name, tensor.dtype, tensor.shape, parameter, tensor.bytes)
        };
        let mut writer = Writer::new(self.tensors.into_iter().map(packed).collect());
        for (name, scalar) in self.scalars {
            writer = writer.with_scalar(&name, scalar.into());
        }
        for (name, text) in &self.metadata {
            writer = writer.with_metadata(name, text);
        }
        writer.into_bytes()
    }
}

impl From<burn_pack::Scalar> for Scalar {
    fn from(scalar: burn_pack::Scalar) -> Scalar {
        match scalar {
            burn_pack::Scalar::Int(value) => Scalar::Int(value),
            burn_pack::Scalar::UInt(value) => Scalar::UInt(value),
            burn_pack::Scalar::Float(value) => Scalar::Float(value),
            burn_pack::Scalar::Bool(value) => Scalar::Bool(value),
        }
    }
}

impl From<Scalar> for burn_pack::Scalar {
    fn from(scalar: Scalar) -> burn_pack::Scalar {
        match scalar {
            Scalar::Int(value) => burn_pack::Scalar::Int(value),
            Scalar::UInt(value) => burn_pack::Scalar::UInt(value),
            Scalar::Float(value) => burn_pack::Scalar::Float(value),
            Scalar::Bool(value) => burn_pack::Scalar::Bool(value),
        }
    }
}

impl Serialize for Record {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Contents { tensors, parameters, scalars, metadata } =
            self.0.as_ref().map_err(S::Error::custom)?;
        SavedRecord { tensors, parameters, scalars, metadata }.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Record {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Record, D::Error> {
        let LoadedRecord { tensors, parameters, scalars, metadata } =
            LoadedRecord::deserialize(deserializer)?;
        let tensors = tensors.into_iter().map(|(name, loaded)| (name, loaded.into_tensor())).collect();
        Ok(Record(Ok(Contents { tensors, parameters, scalars, metadata })))
    }
}

impl Checkpoint for Record {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        LoadedRecord::schema(types)
    }
}

impl fmt::Debug for Record {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok(Contents { tensors, .. }) => {
                let described = |(name, tensor): (_, &Tensor)| (name, (tensor.dtype, tensor.shape.clone()));
                let tensors: BTreeMap<&String, _> = tensors.iter().map(described).collect();
                formatter.debug_tuple("Record").field(&tensors).finish()
            }
            Err(error) => formatter.debug_tuple("Record").field(error).finish(),
        }
    }
}
