//! The optimisers of both stages: stochastic gradient descent with momentum, as PyTorch does it (weight decay is part
//! of the gradient, the momentum not dampened), and `AdamW` (Loshchilov and Hutter, ICLR 2019).
//!
//! Moments are tensors named like the weights they belong to, so a checkpoint holds them as it holds weights.

use crate::config::{OptimiserKind, TrainConfig};

/// How fast the stages' `AdamW` forgets squared gradients: a hundred steps, because a stage has no more than some hundreds.
pub(super) const SQUARES_KEPT: f32 = 0.99;
/// Keeps `AdamW` from dividing by zero.
pub(super) const EPSILON: f32 = 1e-8;
/// After a parameter's name, that of its mean squared gradient.
pub(super) const SQUARES: &str = "/squares";

/// The settings of an optimiser.
#[derive(Debug, Clone, Copy)]
pub struct Rule {
    pub(super) kind: OptimiserKind,
    pub(super) momentum: f32,
    pub(super) weight_decay: f32,
    /// What `AdamW` keeps of the mean squared gradient at each step.
    squares_kept: f32,
    /// What the names of tensors that stay as they are begin with, if there are any.
    frozen: Option<&'static str>,
}

impl Rule {
    /// That of a recipe.
    pub fn new(config: &TrainConfig) -> Self {
        Self {
            kind: config.optimiser,
            momentum: config.momentum as f32,
            weight_decay: config.weight_decay as f32,
            squares_kept: SQUARES_KEPT,
            frozen: None,
        }
    }

    /// Adam with PyTorch's settings (Kingma and Ba, ICLR 2015), which is `AdamW` without decay.
    pub fn adam() -> Self {
        Self {
            kind: OptimiserKind::AdamW,
            momentum: 0.9,
            weight_decay: 0.0,
            squares_kept: 0.999,
            frozen: None,
        }
    }

    /// The same, but tensors whose names begin with `prefix` stay as they are.
    #[must_use]
    pub fn freezing(self, prefix: &'static str) -> Self {
        Self {
            frozen: Some(prefix),
            ..self
        }
    }

    /// Whether a tensor moves.
    pub(super) fn moves(&self, name: &str) -> bool {
        !self.frozen.is_some_and(|prefix| name.starts_with(prefix))
    }

    /// The numbers of a step of `AdamW`: `rate` is the learning rate, `step` counts from 0, and only the weights of
    /// convolutions decay.
    pub(super) fn adamw(&self, rate: f32, step: usize, decays: bool) -> AdamW {
        // what the running means lack in the beginning
        let lacking = |kept: f32| 1.0 - libm::pow(f64::from(kept), (step + 1) as f64) as f32;
        AdamW {
            rate: rate / lacking(self.momentum),
            momentum: self.momentum,
            squares_kept: self.squares_kept,
            lacking_squares: lacking(self.squares_kept),
            kept: if decays {
                1.0 - rate * self.weight_decay
            } else {
                1.0
            },
        }
    }
}

/// The numbers of a step of `AdamW`.
#[derive(Debug, Clone, Copy)]
pub(super) struct AdamW {
    /// The learning rate, divided by what the mean gradient lacks in the beginning.
    pub(super) rate: f32,
    pub(super) momentum: f32,
    /// What is kept of the mean of squares.
    pub(super) squares_kept: f32,
    /// What the mean of squares lacks in the beginning: 1 is nothing.
    pub(super) lacking_squares: f32,
    /// The share of a value that does not decay.
    pub(super) kept: f32,
}

/// How far a step goes.
#[derive(Debug, Clone, Copy)]
pub struct StepSize {
    /// The learning rate.
    pub rate: f64,
    /// What the head's learning rate is of that; 1 where there is no head.
    pub head: f64,
    /// Steps of the stage before this one.
    pub step: usize,
}

impl StepSize {
    /// The learning rate of a parameter. The pyramid and the classifier of the segmentation network have a rate of
    /// their own.
    pub(super) fn of(&self, name: &str) -> f32 {
        match name.starts_with("head.") {
            true => (self.rate * self.head) as f32,
            false => self.rate as f32,
        }
    }
}
