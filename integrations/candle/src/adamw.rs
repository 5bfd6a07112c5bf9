//! [`AdamW`]: an optimizer whose moments are part of a state.

use std::collections::BTreeMap;
use std::fmt;

use candle_core::backprop::GradStore;
use candle_core::{Tensor, Var};
use candle_nn::{ParamsAdamW, VarMap};
use checkpointed::checkpointed;

use crate::tensors::by_name;
use crate::{Error, Tensors};

/// AdamW as a field of a state: its moments are saved by the names of their variables, and its
/// steps are counted over all runs.
///
/// It does the arithmetic of `candle_nn::AdamW` in the same order, so that the weights are the same
/// to the bit. It has no [`Optimizer`](candle_nn::Optimizer), whose constructor knows no names.
///
/// To train only some of the variables, put the others into a [`VarMap`] of their own.
#[checkpointed]
#[derive(Default)]
pub struct AdamW {
    steps: u64,
    first_moments: Tensors,
    second_moments: Tensors,
    /// `None` before [`attach`](AdamW::attach).
    #[serde(skip)]
    attached: Option<Attached>,
}

/// What a program gives anew at each start.
struct Attached {
    variables: BTreeMap<String, Var>,
    params: ParamsAdamW,
}

impl AdamW {
    /// An optimizer before its first step.
    #[must_use]
    pub fn new() -> AdamW {
        AdamW::default()
    }

    /// Gives the optimizer the variables that it is to change, and its settings. A program calls it
    /// once after each start: variables and settings are not part of the state.
    ///
    /// Before the first step, all moments are zeros. After a load they are those of the checkpoint,
    /// on the devices of their variables.
    ///
    /// # Errors
    /// [`Error::DoNotFit`] if the moments of the checkpoint and the variables of floats differ in
    /// names, dtypes or shapes, and [`Error::Copy`] if a device has no memory for them. Nothing was
    /// changed then.
    pub fn attach(&mut self, variables: &VarMap, params: ParamsAdamW) -> Result<(), Error> {
        let mut variables = by_name(variables);
        variables.retain(|_, variable| variable.dtype().is_float());
        let is_new = self.steps == 0 && self.first_moments.is_empty() && self.second_moments.is_empty();
        let moments = |what, saved: &Tensors| -> Result<Tensors, Error> {
            if !is_new {
                saved.check(what, &variables)?;
            }
            let moment = |(name, variable): (&String, &Var)| {
                let tensor = match saved.get(name) {
                    Some(tensor) => tensor.to_device(variable.device()),
                    None => variable.zeros_like(),
                };
                let copied = |source| Error::Copy { name: name.clone(), source };
                tensor.map(|tensor| (name.clone(), tensor)).map_err(copied)
            };
            variables.iter().map(moment).collect()
        };
        let first_moments = moments("first moments", &self.first_moments)?;
        self.second_moments = moments("second moments", &self.second_moments)?;
        self.first_moments = first_moments;
        self.attached = Some(Attached { variables, params });
        Ok(())
    }

    /// Changes the variables by their gradients. A variable without one stays as it is.
    ///
    /// # Errors
    /// Those of candle. Before [`attach`](AdamW::attach), one that wraps [`Error::NotAttached`];
    /// nothing was changed then.
    pub fn step(&mut self, gradients: &GradStore) -> candle_core::Result<()> {
        let Some(Attached { variables, params }) = &self.attached else {
            return Err(candle_core::Error::wrap(Error::NotAttached));
        };
        let ParamsAdamW { lr, beta1, beta2, eps, weight_decay } = *params;
        self.steps += 1;
        let steps = i32::try_from(self.steps).unwrap_or(i32::MAX);
        let scale_first = 1.0 / (1.0 - beta1.powi(steps));
        let scale_second = 1.0 / (1.0 - beta2.powi(steps));
        for (name, variable) in variables {
            let moments = (self.first_moments.get(name), self.second_moments.get(name));
            let (Some(gradient), (Some(first), Some(second))) = (gradients.get(variable), moments) else {
                continue;
            };
            // Each operation rounds: their order is that of `candle_nn::AdamW`.
            let first = ((first * beta1)? + (gradient * (1.0 - beta1))?)?;
            let second = ((second * beta2)? + (gradient.sqr()? * (1.0 - beta2))?)?;
            let direction = ((&first * scale_first)? / ((&second * scale_second)?.sqrt()? + eps)?)?;
            let decayed = (variable.as_tensor() * (1.0 - lr * weight_decay))?;
            variable.set(&(decayed - (direction * lr)?)?)?;
            self.first_moments.insert(name.as_str(), first.detach());
            self.second_moments.insert(name.as_str(), second.detach());
        }
        Ok(())
    }

    /// Computes the gradients of a loss, and makes a step.
    ///
    /// # Errors
    /// As [`step`](AdamW::step).
    pub fn backward_step(&mut self, loss: &Tensor) -> candle_core::Result<()> {
        self.step(&loss.backward()?)
    }

    /// The settings, to be changed by a schedule of the learning rate. `None` before
    /// [`attach`](AdamW::attach).
    pub fn params_mut(&mut self) -> Option<&mut ParamsAdamW> {
        self.attached.as_mut().map(|attached| &mut attached.params)
    }

    /// The number of steps of all runs.
    #[must_use]
    pub fn steps(&self) -> u64 {
        self.steps
    }

    /// The means of the gradients, by the names of their variables.
    #[must_use]
    pub fn first_moments(&self) -> &Tensors {
        &self.first_moments
    }

    /// The means of the squared gradients, by the names of their variables.
    #[must_use]
    pub fn second_moments(&self) -> &Tensors {
        &self.second_moments
    }
}

impl fmt::Debug for AdamW {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("AdamW")
            .field("steps", &self.steps)
            .field("params", &self.attached.as_ref().map(|attached| &attached.params))
            .finish_non_exhaustive()
    }
}
