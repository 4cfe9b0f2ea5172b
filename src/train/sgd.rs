//! Stochastic gradient descent with momentum, as PyTorch does it: weight decay is part of the gradient, and
//! the momentum is not dampened.
//!
//! Written here and not taken from Burn, whose optimisers give their state only by blocking on the device:
//! a browser's GPU cannot do that, and without the momenta an interrupted training would not be the same.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

use crate::config::TrainConfig;
use crate::model::names::key;
use crate::model::weights::{Array, Weights, read_all};
use crate::{Error, Result};

/// An optimiser of one module.
#[derive(Debug)]
pub(super) struct Sgd {
    momentum: f32,
    weight_decay: f32,
    /// By the parameter's name in files; there from the first step on.
    velocities: BTreeMap<String, Velocity>,
}

/// The gradients' running sum of one parameter.
#[derive(Debug)]
struct Velocity {
    shape: Vec<usize>,
    /// Its values, row-major.
    flat: Tensor<1>,
}

impl Sgd {
    pub(super) fn new(config: &TrainConfig) -> Self {
        Self {
            momentum: config.momentum as f32,
            weight_decay: config.weight_decay as f32,
            velocities: BTreeMap::new(),
        }
    }

    /// Moves all parameters of `module` against the gradients of `loss`; `rate` says how fast, by the
    /// parameter's path.
    pub(super) fn step<M: Module>(
        &mut self,
        rate: impl Fn(&[String]) -> f64,
        module: M,
        loss: &Tensor<1>,
    ) -> M {
        let gradients = GradientsParams::from_grads(loss.backward(), &module);
        self.apply(rate, module, gradients)
    }

    /// The same along known gradients.
    pub(super) fn apply<M: Module>(
        &mut self,
        rate: impl Fn(&[String]) -> f64,
        module: M,
        gradients: GradientsParams,
    ) -> M {
        module.map(&mut Update {
            optimiser: self,
            gradients,
            rate,
            path: Vec::new(),
        })
    }

    /// The momenta by the parameters' names, read without blocking.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub(super) async fn state(&self) -> Result<Weights> {
        let flat = self.velocities.values().map(|velocity| velocity.flat.clone());
        let mut weights = Weights::default();
        for ((name, velocity), data) in self.velocities.iter().zip(read_all(flat.collect()).await?) {
            let shape = velocity.shape.clone();
            weights.insert(name.clone(), Array { shape, data });
        }
        Ok(weights)
    }

    /// Goes on with saved momenta.
    ///
    /// # Errors
    /// [`Error::Training`] if they belong to another module.
    pub(super) fn restore(&mut self, state: &Weights, device: &Device) -> Result<()> {
        let mut velocities = BTreeMap::new();
        for (name, Array { shape, data }) in state.iter() {
            if data.len() != shape.iter().product::<usize>() {
                return Err(Error::Training(format!(
                    "the saved momentum of `{name}` does not fit: start the training again"
                )));
            }
            let flat = Tensor::from_data(TensorData::new(data.clone(), [data.len()]), device);
            let shape = shape.clone();
            velocities.insert(name.to_owned(), Velocity { shape, flat });
        }
        self.velocities = velocities;
        Ok(())
    }
}

/// One step through a module.
struct Update<'a, R> {
    optimiser: &'a mut Sgd,
    gradients: GradientsParams,
    rate: R,
    path: Vec<String>,
}

impl<R: Fn(&[String]) -> f64> ModuleMapper for Update<'_, R> {
    fn enter_module(&mut self, name: &str, _container: &str) {
        self.path.push(name.to_owned());
    }

    fn exit_module(&mut self, _name: &str, _container: &str) {
        self.path.pop();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        let (id, old, mapper) = param.consume();
        let Some(gradient) = self.gradients.remove::<D>(id) else {
            return Param::from_mapped_value(id, old, mapper);
        };
        let (is_recorded, tracked) = (old.device().is_autodiff(), old.is_require_grad());
        let value = if is_recorded { old.inner() } else { old };
        let shape = value.dims();
        let gradient = value
            .clone()
            .mul_scalar(self.optimiser.weight_decay)
            .add(gradient);
        let name = key(&self.path);
        // a module of another shape begins anew
        let before = self.optimiser.velocities.remove(&name);
        let velocity = match before.filter(|before| before.shape == shape) {
            Some(before) => before
                .flat
                .reshape(shape)
                .mul_scalar(self.optimiser.momentum)
                .add(gradient),
            None => gradient,
        };
        let new = value - velocity.clone().mul_scalar((self.rate)(&self.path));
        let new = if is_recorded {
            Tensor::from_inner(new).set_require_grad(tracked)
        } else {
            new
        };
        let velocity = Velocity {
            shape: shape.to_vec(),
            flat: velocity.flatten(0, D - 1),
        };
        self.optimiser.velocities.insert(name, velocity);
        Param::from_mapped_value(id, new, mapper)
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Param;
    use burn::nn::{Linear, LinearConfig};

    use super::*;
    use crate::config::Preset;

    /// Three steps by hand on loss = sum of squares / 2, whose gradient is the weight itself.
    #[test]
    fn steps_are_those_of_the_formula_and_go_on_after_a_restart() {
        let (rate, momentum, decay) = (0.1_f32, 0.9_f32, 0.01_f32);
        let mut config = TrainConfig::preset(Preset::Compact);
        (config.momentum, config.weight_decay) = (momentum.into(), decay.into());
        let device = Device::flex();
        let module = |weight: f32| {
            let mut linear = LinearConfig::new(1, 1).with_bias(false).init(&device);
            linear.weight = Param::from_tensor(Tensor::from_floats([[weight]], &device));
            linear.train()
        };
        let value = |linear: &Linear| linear.weight.val().inner().into_scalar::<f32>();
        let step = |optimiser: &mut Sgd, linear: Linear| {
            let loss = linear.weight.val().powi_scalar(2).sum().mul_scalar(0.5);
            optimiser.step(|_| f64::from(rate), linear, &loss)
        };
        let (mut optimiser, mut linear) = (Sgd::new(&config), module(2.0));
        let (mut weight, mut velocity) = (2.0_f32, 0.0_f32);
        for index in 0..4 {
            linear = step(&mut optimiser, linear);
            velocity = momentum * velocity + weight * (1.0 + decay);
            weight -= rate * velocity;
            assert!((value(&linear) - weight).abs() < 1e-6, "step {index}");
            // as after a reload: another optimiser with the saved momenta
            let state = pollster::block_on(optimiser.state()).expect("is read");
            assert_eq!(state.get("weight").expect("one parameter").shape, [1, 1]);
            optimiser = Sgd::new(&config);
            optimiser.restore(&state, &device).expect("fits");
        }
    }
}
