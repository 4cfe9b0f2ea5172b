//! The optimisers of both stages: stochastic gradient descent with momentum, as PyTorch does it (weight decay is part
//! of the gradient, the momentum not dampened), and `AdamW` (Loshchilov and Hutter, ICLR 2019).
//!
//! Written here and not taken from Burn, whose optimisers give their state only by blocking on the device:
//! a browser's GPU cannot do that, and without the momenta an interrupted training would not be the same.

#[cfg(feature = "burn")]
mod gpu;

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, Param};
use burn::optim::GradientsParams;
use burn::tensor::{Device, Tensor, TensorData};

use crate::config::{OptimiserKind, TrainConfig};
use crate::model::names::key;
use crate::model::weights::{Array, Weights, read_all};
use crate::{Error, Result};

/// How fast `AdamW` forgets squared gradients: a hundred steps, because a stage has no more than some hundreds.
const SQUARES_KEPT: f32 = 0.99;
/// What keeps `AdamW` from dividing by nothing.
const EPSILON: f32 = 1e-8;
/// After a parameter's name, that of its mean squared gradient.
const SQUARES: &str = "/squares";

/// An optimiser of one module.
#[derive(Debug)]
pub(super) struct Optimiser {
    kind: OptimiserKind,
    momentum: f32,
    weight_decay: f32,
    /// By the parameter's name in files; there from the first step on.
    moments: BTreeMap<String, Moments>,
}

/// What is remembered of one parameter's gradients, row-major.
#[derive(Debug)]
struct Moments {
    shape: Vec<usize>,
    /// Their running sum, of `AdamW` their running mean.
    first: Tensor<1>,
    /// The running mean of their squares (`AdamW`).
    squares: Option<Tensor<1>>,
}

/// How far a step goes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Pace<F> {
    /// The learning rate, by the parameter's path.
    pub(super) rate: F,
    /// Steps of the stage before this one.
    pub(super) step: usize,
}

impl Optimiser {
    pub(super) fn new(config: &TrainConfig) -> Self {
        Self {
            kind: config.optimiser,
            momentum: config.momentum as f32,
            weight_decay: config.weight_decay as f32,
            moments: BTreeMap::new(),
        }
    }

    /// Moves all parameters of `module` against the gradients of `loss`.
    pub(super) fn step<M: Module>(
        &mut self,
        pace: Pace<impl Fn(&[String]) -> f64>,
        module: M,
        loss: &Tensor<1>,
    ) -> M {
        let gradients = GradientsParams::from_grads(loss.backward(), &module);
        self.apply(pace, module, gradients)
    }

    /// The same along known gradients.
    pub(super) fn apply<M: Module>(
        &mut self,
        pace: Pace<impl Fn(&[String]) -> f64>,
        module: M,
        gradients: GradientsParams,
    ) -> M {
        module.map(&mut Update {
            optimiser: self,
            gradients,
            pace,
            path: Vec::new(),
        })
    }

    /// The moments by the parameters' names, read without blocking.
    ///
    /// # Errors
    /// [`Error::Device`] if the device was lost.
    pub(super) async fn state(&self) -> Result<Weights> {
        let (mut places, mut tensors) = (Vec::new(), Vec::new());
        for (
            name,
            Moments {
                shape,
                first,
                squares,
            },
        ) in &self.moments
        {
            places.push((name.clone(), shape));
            tensors.push(first.clone());
            if let Some(squares) = squares {
                places.push((format!("{name}{SQUARES}"), shape));
                tensors.push(squares.clone());
            }
        }
        let mut weights = Weights::default();
        for ((name, shape), data) in places.into_iter().zip(read_all(tensors).await?) {
            let shape = shape.clone();
            weights.insert(name, Array { shape, data });
        }
        Ok(weights)
    }

    /// Goes on with saved moments.
    ///
    /// # Errors
    /// [`Error::Training`] if they belong to another module.
    pub(super) fn restore(&mut self, state: &Weights, device: &Device) -> Result<()> {
        let on_device = |name: &str, Array { shape, data }: &Array| {
            if data.len() == shape.iter().product::<usize>() {
                return Ok(Tensor::from_data(
                    TensorData::new(data.clone(), [data.len()]),
                    device,
                ));
            }
            Err(Error::Training(format!(
                "the saved momentum of `{name}` does not fit: start the training again"
            )))
        };
        let mut moments = BTreeMap::new();
        for (name, first) in state.iter().filter(|(name, _)| !name.ends_with(SQUARES)) {
            let squares = state.get(&format!("{name}{SQUARES}"));
            let own = Moments {
                shape: first.shape.clone(),
                first: on_device(name, first)?,
                squares: squares.ok().map(|squares| on_device(name, squares)).transpose()?,
            };
            moments.insert(name.to_owned(), own);
        }
        self.moments = moments;
        Ok(())
    }

    /// A parameter after the `step`-th step, and the moments that are then remembered. All are flat.
    fn moved(
        &self,
        [value, gradient]: [Tensor<1>; 2],
        before: Option<Moments>,
        decays: bool,
        (rate, step): (f32, usize),
    ) -> (Tensor<1>, Tensor<1>, Option<Tensor<1>>) {
        match self.kind {
            OptimiserKind::Sgd => {
                let gradient = value.clone().mul_scalar(self.weight_decay).add(gradient);
                let first = match before {
                    Some(before) => before.first.mul_scalar(self.momentum).add(gradient),
                    None => gradient,
                };
                let value = value - first.clone().mul_scalar(rate);
                (value, first, None)
            }
            OptimiserKind::AdamW => {
                let (first, squares) = match before {
                    Some(Moments {
                        first,
                        squares: Some(squares),
                        ..
                    }) => (first, squares),
                    _ => (gradient.zeros_like(), gradient.zeros_like()),
                };
                // what the means lack in the beginning
                let lacking = |kept: f32| 1.0 - libm::pow(f64::from(kept), (step + 1) as f64) as f32;
                let pace = AdamW {
                    rate: rate / lacking(self.momentum),
                    momentum: self.momentum,
                    lacking_squares: lacking(SQUARES_KEPT),
                    kept: if decays {
                        1.0 - rate * self.weight_decay
                    } else {
                        1.0
                    },
                };
                let [value, first, squares] = pace.step([value, gradient, first, squares]);
                (value, first, Some(squares))
            }
        }
    }
}

/// The numbers of a step of `AdamW`.
#[derive(Debug, Clone, Copy)]
struct AdamW {
    /// The learning rate, divided by what the mean gradient lacks in the beginning.
    rate: f32,
    momentum: f32,
    /// What the mean of squares lacks in the beginning: 1 is nothing.
    lacking_squares: f32,
    /// The share of a value that does not decay.
    kept: f32,
}

impl AdamW {
    /// From values, gradients, their means and the means of their squares to new values and means.
    fn step(self, from: [Tensor<1>; 4]) -> [Tensor<1>; 3] {
        #[cfg(feature = "burn")]
        if let Some(to) = gpu::step(self, &from) {
            return to;
        }
        let [value, gradient, first, squares] = from;
        let squared = gradient.clone().square().mul_scalar(1.0 - SQUARES_KEPT);
        let squares = squares.mul_scalar(SQUARES_KEPT).add(squared);
        let first = first
            .mul_scalar(self.momentum)
            .add(gradient.mul_scalar(1.0 - self.momentum));
        let spread = squares.clone().div_scalar(self.lacking_squares).sqrt();
        let change = first.clone().mul_scalar(self.rate) / spread.add_scalar(EPSILON);
        [value.mul_scalar(self.kept) - change, first, squares]
    }
}

/// One step through a module.
struct Update<'a, F> {
    optimiser: &'a mut Optimiser,
    gradients: GradientsParams,
    pace: Pace<F>,
    path: Vec<String>,
}

impl<F: Fn(&[String]) -> f64> ModuleMapper for Update<'_, F> {
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
        let name = key(&self.path);
        let before = self.optimiser.moments.remove(&name);
        let (new, first, squares) = self.optimiser.moved(
            [value.flatten(0, D - 1), gradient.flatten(0, D - 1)],
            // a module of another shape begins anew
            before.filter(|before| before.shape == shape),
            // AdamW leaves biases and normalisations
            D > 1,
            ((self.pace.rate)(&self.path) as f32, self.pace.step),
        );
        let moments = Moments {
            shape: shape.to_vec(),
            first,
            squares,
        };
        self.optimiser.moments.insert(name, moments);
        let new = new.reshape(shape);
        let new = if is_recorded {
            Tensor::from_inner(new).set_require_grad(tracked)
        } else {
            new
        };
        Param::from_mapped_value(id, new, mapper)
    }
}

#[cfg(test)]
mod tests {
    use burn::module::Param;
    use burn::nn::{Linear, LinearConfig};

    use super::*;
    use crate::config::Preset;

    const RATE: f32 = 0.1;
    const MOMENTUM: f32 = 0.9;
    const DECAY: f32 = 0.01;

    /// Takes steps on loss = sum of squares / 2, whose gradient is the weight itself, and compares with a formula that
    /// is given the step and the weight. After each, as after a reload, another optimiser goes on with the saved moments.
    fn compare(kind: OptimiserKind, moments: &[&str], mut formula: impl FnMut(usize, f32) -> f32) {
        let mut config = TrainConfig::preset(Preset::Compact);
        config.optimiser = kind;
        (config.momentum, config.weight_decay) = (MOMENTUM.into(), DECAY.into());
        let device = Device::flex();
        let mut linear = LinearConfig::new(1, 1).with_bias(false).init(&device);
        linear.weight = Param::from_tensor(Tensor::from_floats([[2.0]], &device));
        let mut linear = linear.train();
        let value = |linear: &Linear| linear.weight.val().inner().into_scalar::<f32>();
        let (mut optimiser, mut weight) = (Optimiser::new(&config), 2.0);
        for step in 0..4 {
            let loss = linear.weight.val().powi_scalar(2).sum().mul_scalar(0.5);
            let rate = |_: &[String]| f64::from(RATE);
            linear = optimiser.step(Pace { rate, step }, linear, &loss);
            weight = formula(step, weight);
            assert!((value(&linear) - weight).abs() < 1e-6, "step {step}");
            let state = pollster::block_on(optimiser.state()).expect("is read");
            let names: Vec<&str> = state.iter().map(|(name, _)| name).collect();
            assert_eq!(names, moments);
            assert_eq!(state.get("weight").expect("one parameter").shape, [1, 1]);
            optimiser = Optimiser::new(&config);
            optimiser.restore(&state, &device).expect("fits");
        }
    }

    #[test]
    fn gradient_descent_is_the_formula_and_goes_on_after_a_restart() {
        let mut velocity = 0.0;
        compare(OptimiserKind::Sgd, &["weight"], |_, weight| {
            velocity = MOMENTUM * velocity + weight * (1.0 + DECAY);
            weight - RATE * velocity
        });
    }

    #[test]
    fn adamw_is_the_formula_and_goes_on_after_a_restart() {
        let (mut mean, mut square) = (0.0, 0.0);
        compare(
            OptimiserKind::AdamW,
            &["weight", "weight/squares"],
            |step, weight| {
                mean = MOMENTUM * mean + (1.0 - MOMENTUM) * weight;
                square = SQUARES_KEPT * square + (1.0 - SQUARES_KEPT) * weight * weight;
                let steps = step as i32 + 1;
                let (mean, square) = (
                    mean / (1.0 - MOMENTUM.powi(steps)),
                    square / (1.0 - SQUARES_KEPT.powi(steps)),
                );
                weight * (1.0 - RATE * DECAY) - RATE * mean / (square.sqrt() + EPSILON)
            },
        );
    }
}
