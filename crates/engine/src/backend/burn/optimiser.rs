//! The optimisers on Burn. Written here and not taken from Burn, whose optimisers give their state only by blocking on the
//! device: a browser's GPU cannot do that, and without the moments a resumed training would not be the same.

use std::collections::BTreeMap;

use burn::tensor::{Device, Tensor};

use super::network::{Parameter, Tensors};
use super::read::read_all;
use crate::Result;
use crate::arch::weights::{Array, Weights};
use crate::backend::optimiser::{AdamW, EPSILON, Rule, SQUARES, StepSize};
use crate::config::OptimiserKind;

/// An optimiser of one network.
#[derive(Debug)]
pub(super) struct Optimiser {
    rule: Rule,
    /// By the parameter's name; there from the first step on.
    moments: BTreeMap<String, Moments>,
}

/// What is kept of one parameter's gradients, row-major.
#[derive(Debug)]
struct Moments {
    shape: Vec<usize>,
    /// Their running sum, of `AdamW` their running mean.
    first: Tensor<1>,
    /// The running mean of their squares (`AdamW`).
    squares: Option<Tensor<1>>,
}

impl Optimiser {
    pub(super) fn new(rule: Rule) -> Self {
        Self {
            rule,
            moments: BTreeMap::new(),
        }
    }

    /// Moves all tensors that have a gradient.
    pub(super) fn step(
        &mut self,
        size: StepSize,
        tensors: &mut Tensors,
        gradients: Vec<(String, Tensor<1>)>,
    ) {
        let rule = self.rule;
        for (name, gradient) in gradients.into_iter().filter(|(name, _)| rule.moves(name)) {
            let Ok(Parameter { shape, values }) = tensors.get(&name).cloned() else {
                continue;
            };
            // a tensor of another shape begins anew
            let before = self.moments.remove(&name).filter(|before| before.shape == shape);
            let rate = size.of(&name);
            // biases and normalisations do not decay
            let decays = shape.len() > 1;
            let (values, first, squares) = self.moved([values, gradient], before, decays, (rate, size.step));
            let moments = Moments {
                shape: shape.clone(),
                first,
                squares,
            };
            self.moments.insert(name.clone(), moments);
            tensors.insert(name, Parameter { shape, values });
        }
    }

    /// A tensor after a step, and the moments that are then kept.
    fn moved(
        &self,
        [value, gradient]: [Tensor<1>; 2],
        before: Option<Moments>,
        decays: bool,
        (rate, step): (f32, usize),
    ) -> (Tensor<1>, Tensor<1>, Option<Tensor<1>>) {
        match self.rule.kind {
            OptimiserKind::Sgd => {
                let gradient = value.clone().mul_scalar(self.rule.weight_decay).add(gradient);
                let first = match before {
                    Some(before) => before.first.mul_scalar(self.rule.momentum).add(gradient),
                    None => gradient,
                };
                (value - first.clone().mul_scalar(rate), first, None)
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
                let numbers = self.rule.adamw(rate, step, decays);
                let [value, first, squares] = adamw(numbers, [value, gradient, first, squares]);
                (value, first, Some(squares))
            }
        }
    }

    /// The moments by the parameters' names, read without blocking.
    ///
    /// # Errors
    /// [`Error::Device`](crate::Error::Device) if the device was lost.
    pub(super) async fn state(&self) -> Result<Weights> {
        let (mut names, mut tensors) = (Vec::new(), Vec::new());
        for (name, own) in &self.moments {
            names.push((name.clone(), &own.shape));
            tensors.push(own.first.clone());
            if let Some(squares) = &own.squares {
                names.push((format!("{name}{SQUARES}"), &own.shape));
                tensors.push(squares.clone());
            }
        }
        let mut weights = Weights::default();
        for ((name, shape), data) in names.into_iter().zip(read_all(tensors).await?) {
            let shape = shape.clone();
            weights.insert(name, Array { shape, data });
        }
        Ok(weights)
    }

    /// Resumes with saved moments.
    pub(super) fn restore(&mut self, state: &Weights, device: &Device) {
        let upload = |array: &Array| Parameter::new(array, device).values;
        self.moments = state
            .iter()
            .filter(|(name, _)| !name.ends_with(SQUARES))
            .map(|(name, first)| {
                let squares = state.get(&format!("{name}{SQUARES}"));
                let own = Moments {
                    shape: first.shape.clone(),
                    first: upload(first),
                    squares: squares.ok().map(upload),
                };
                (name.to_owned(), own)
            })
            .collect();
    }
}

/// A step of `AdamW`, from values, gradients, their means and the means of their squares to new values and means.
pub(super) fn adamw(numbers: AdamW, from: [Tensor<1>; 4]) -> [Tensor<1>; 3] {
    if let Some(to) = super::adamw::step(numbers, &from) {
        return to;
    }
    let [value, gradient, first, squares] = from;
    let squared = gradient.clone().square().mul_scalar(1.0 - numbers.squares_kept);
    let squares = squares.mul_scalar(numbers.squares_kept).add(squared);
    let first = first
        .mul_scalar(numbers.momentum)
        .add(gradient.mul_scalar(1.0 - numbers.momentum));
    let spread = squares.clone().div_scalar(numbers.lacking_squares).sqrt();
    let change = first.clone().mul_scalar(numbers.rate) / spread.add_scalar(EPSILON);
    [value.mul_scalar(numbers.kept) - change, first, squares]
}
