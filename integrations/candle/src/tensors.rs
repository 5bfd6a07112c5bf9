//! [`Tensors`]: named tensors as a field of a state.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::PoisonError;

use candle_core::{Tensor, Var};
use candle_nn::VarMap;
use checkpointed::schema::Type;
use checkpointed::{Checkpoint, traits::Types};
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::element::{Loaded, Saved};
use crate::{Error, Misfit, Problem};

/// Named tensors of any dtypes and shapes, as a field of a state. Each is an array of the
/// checkpoint.
///
/// As in candle, a tensor is a handle: a clone shares the memory. Those [of](Tensors::of) a
/// [`VarMap`] share that of its variables, so a save has the values which the variables have then.
/// After a load the memory is their own, until [`put_into`](Tensors::put_into) joins them with the
/// variables again.
///
/// Tensors that belong to no variable are saved as well:
///
/// ```
/// use candle_core::{Device, Tensor};
/// use checkpointed::{Checkpointer, checkpointed};
/// use checkpointed_candle::Tensors;
///
/// #[checkpointed]
/// struct State { averages: Tensors }
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// let mut checkpoints = Checkpointer::<State>::open(directory.path().join("run.ckpt"))?;
/// let mean = Tensor::new(&[[0.5_f32, 1.5]], &Device::Cpu)?;
/// checkpoints.save(&State { averages: Tensors::from_iter([("mean".to_owned(), mean)]) })?;
///
/// let state = checkpoints.load()?.ok_or("there is no checkpoint")?;
/// let mean = state.averages.get("mean").ok_or("there is no mean")?;
/// assert_eq!(mean.to_vec2::<f32>()?, [[0.5, 1.5]]);
/// # Ok(())
/// # }
/// ```
#[derive(Clone, Default)]
pub struct Tensors(BTreeMap<String, Tensor>);

impl Tensors {
    /// The tensors of all variables of a map, by their names. Nothing is copied.
    ///
    /// A variable that the map gets later is not among them: build the model first.
    #[must_use]
    pub fn of(variables: &VarMap) -> Tensors {
        by_name(variables).into_iter().map(|(name, variable)| (name, variable.as_detached_tensor())).collect()
    }

    /// Gives the variables the values of these tensors, and takes their memory in exchange: from
    /// then on, these are the tensors [of](Tensors::of) the variables. Where they are that already,
    /// nothing happens. So a program calls it after each start.
    ///
    /// The variables stay on the devices where they are.
    ///
    /// # Errors
    /// [`Error::DoNotFit`] if not each tensor has a variable of its name, its dtype and its shape,
    /// and the reverse, and [`Error::Copy`] if a device has no memory for them. No variable was
    /// changed then. A device that breaks while it copies, which is an [`Error::Copy`] too, may
    /// leave some changed: end the program.
    ///
    /// ```
    /// use candle_core::{DType, Device};
    /// use candle_nn::{VarBuilder, VarMap, linear};
    /// use checkpointed_candle::Tensors;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let (small, large) = (VarMap::new(), VarMap::new());
    /// linear(2, 1, VarBuilder::from_varmap(&small, DType::F32, &Device::Cpu))?;
    /// linear(3, 1, VarBuilder::from_varmap(&large, DType::F32, &Device::Cpu))?;
    /// let error = Tensors::of(&small).put_into(&large).unwrap_err().to_string();
    /// assert!(error.contains("`weight` has the shape [1, 2] in the state, [1, 3] in the model"), "{error}");
    /// # Ok(())
    /// # }
    /// ```
    pub fn put_into(&mut self, variables: &VarMap) -> Result<(), Error> {
        let variables = by_name(variables);
        self.check("tensors", &variables)?;
        let mut changes = Vec::new();
        for (name, variable) in &variables {
            if let Some(tensor) = self.get(name) {
                let copied = |source| Error::Copy { name: name.clone(), source };
                if let Some(value) = value_for(variable, tensor).map_err(copied)? {
                    changes.push((name, variable, value));
                }
            }
        }
        for (name, variable, value) in changes {
            variable.set(&value).map_err(|source| Error::Copy { name: name.clone(), source })?;
            self.0.insert(name.clone(), variable.as_detached_tensor());
        }
        Ok(())
    }

    /// Compares names, dtypes and shapes with those of variables.
    pub(crate) fn check(&self, what: &'static str, variables: &BTreeMap<String, Var>) -> Result<(), Error> {
        let names: BTreeSet<&String> = self.0.keys().chain(variables.keys()).collect();
        let problem = |name: &String| match (self.0.get(name), variables.get(name)) {
            (None, _) => Some(Problem::NoTensor),
            (_, None) => Some(Problem::NoVariable),
            (Some(tensor), Some(variable)) if tensor.dtype() != variable.dtype() => {
                Some(Problem::DType { tensor: tensor.dtype(), variable: variable.dtype() })
            }
            (Some(tensor), Some(variable)) if tensor.dims() != variable.dims() => {
                Some(Problem::Shape { tensor: tensor.dims().to_vec(), variable: variable.dims().to_vec() })
            }
            _ => None,
        };
        let misfit = |name: &String| problem(name).map(|problem| Misfit { name: name.clone(), problem });
        let misfits: Vec<Misfit> = names.into_iter().filter_map(misfit).collect();
        if misfits.is_empty() { Ok(()) } else { Err(Error::DoNotFit { what, misfits }) }
    }

    /// The tensor of this name.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&Tensor> {
        self.0.get(name)
    }

    /// Adds a tensor, or replaces the one of this name and returns that.
    pub fn insert(&mut self, name: impl Into<String>, tensor: Tensor) -> Option<Tensor> {
        self.0.insert(name.into(), tensor)
    }

    /// The names and the tensors, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Tensor)> {
        self.0.iter().map(|(name, tensor)| (name.as_str(), tensor))
    }

    /// The number of tensors.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True if there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// The variables of a map, by their names.
pub(crate) fn by_name(variables: &VarMap) -> BTreeMap<String, Var> {
    let variables = variables.data().lock().unwrap_or_else(PoisonError::into_inner);
    variables.iter().map(|(name, variable)| (name.clone(), variable.clone())).collect()
}

/// The value that makes a variable equal to a tensor, on the device of the variable. `None` if the
/// tensor is that of the variable.
fn value_for(variable: &Var, tensor: &Tensor) -> candle_core::Result<Option<Tensor>> {
    if address(tensor) != address(variable) {
        return tensor.to_device(variable.device()).map(Some);
    }
    let (from, to) = (tensor.layout(), variable.layout());
    if from.stride() == to.stride() && from.start_offset() == to.start_offset() {
        return Ok(None);
    }
    // candle sets no variable from its own memory.
    tensor.force_contiguous().map(Some)
}

/// The address of a tensor's memory, which all its handles and views have in common.
fn address(tensor: &Tensor) -> usize {
    let (storage, _) = tensor.storage_and_layout();
    std::ptr::from_ref(&*storage).addr()
}

impl FromIterator<(String, Tensor)> for Tensors {
    fn from_iter<I: IntoIterator<Item = (String, Tensor)>>(tensors: I) -> Tensors {
        Tensors(tensors.into_iter().collect())
    }
}

impl Serialize for Tensors {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, tensor)| (name, Saved(tensor))))
    }
}

impl<'de> Deserialize<'de> for Tensors {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Tensors, D::Error> {
        let loaded = BTreeMap::<String, Loaded>::deserialize(deserializer)?;
        let tensor = |(name, loaded): (String, Loaded)| loaded.into_tensor().map(|tensor| (name, tensor));
        loaded.into_iter().map(tensor).collect::<Result<_, _>>().map_err(D::Error::custom)
    }
}

impl Checkpoint for Tensors {
    const NAME: &'static str = "";

    fn schema(types: &mut Types) -> Type {
        BTreeMap::<String, Loaded>::schema(types)
    }
}

impl fmt::Debug for Tensors {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let described = |(name, tensor): (_, &Tensor)| (name, (tensor.dtype(), tensor.dims().to_vec()));
        formatter.debug_map().entries(self.iter().map(described)).finish()
    }
}
