//! The optimisers on named arrays.

use destseg_kernels::for_each;

use crate::arch::weights::{Array, Weights};
use crate::backend::optimiser::{AdamW, EPSILON, Rule, SQUARES, StepSize};
use crate::config::OptimiserKind;
use crate::{Error, Result};

/// An optimiser of one network.
#[derive(Debug)]
pub struct Optimiser {
    rule: Rule,
    /// By the parameter's name; there from the first step on.
    moments: Weights,
}

impl Optimiser {
    /// An optimiser without moments.
    pub fn new(rule: Rule) -> Self {
        Self {
            rule,
            moments: Weights::default(),
        }
    }

    /// Moves all weights that have a gradient.
    pub fn step(&mut self, size: StepSize, weights: &mut Weights, gradients: &Weights) {
        let mut jobs = Vec::new();
        for (name, gradient) in gradients.iter().filter(|(name, _)| self.rule.moves(name)) {
            let Some(value) = weights.take(name) else { continue };
            let fits = |moment: &Array| moment.shape == value.shape;
            let moment = |name: &str, moments: &mut Weights| moments.take(name).filter(fits);
            let first = moment(name, &mut self.moments);
            let squares = moment(&format!("{name}{SQUARES}"), &mut self.moments);
            jobs.push((name, value, gradient, first, squares));
        }
        let rule = self.rule;
        for_each(jobs.iter_mut(), |(name, value, gradient, first, squares)| {
            let zeros = || Array {
                shape: value.shape.clone(),
                data: vec![0.0; value.data.len()],
            };
            let rate = size.of(name);
            match rule.kind {
                OptimiserKind::Sgd => sgd(rule, rate, value, gradient, first),
                OptimiserKind::AdamW => {
                    let (mean, mean_square) = match (first.take(), squares.take()) {
                        (Some(first), Some(squares)) => (first, squares),
                        _ => (zeros(), zeros()),
                    };
                    let (mean, mean_square) = (first.insert(mean), squares.insert(mean_square));
                    // biases and normalisations do not decay
                    let numbers = rule.adamw(rate, size.step, value.shape.len() > 1);
                    adamw(
                        numbers,
                        &mut value.data,
                        &gradient.data,
                        &mut mean.data,
                        &mut mean_square.data,
                    );
                }
            }
        });
        for (name, value, _, first, squares) in jobs {
            weights.insert(name.to_owned(), value);
            if let Some(first) = first {
                self.moments.insert(name.to_owned(), first);
            }
            if let Some(squares) = squares {
                self.moments.insert(format!("{name}{SQUARES}"), squares);
            }
        }
    }

    /// The moments by the parameters' names.
    pub fn state(&self) -> &Weights {
        &self.moments
    }

    /// Resumes with saved moments.
    ///
    /// # Errors
    /// [`Error::Training`] if they belong to another network.
    pub fn restore(&mut self, state: Weights) -> Result<()> {
        for (name, Array { shape, data }) in state.iter() {
            if data.len() != shape.iter().product::<usize>() {
                return Err(Error::Training(format!(
                    "the saved momentum of `{name}` does not fit: start the training again"
                )));
            }
        }
        self.moments = state;
        Ok(())
    }
}

fn sgd(rule: Rule, rate: f32, value: &mut Array, gradient: &Array, first: &mut Option<Array>) {
    let gradients = value
        .data
        .iter()
        .zip(&gradient.data)
        .map(|(value, gradient)| value * rule.weight_decay + gradient);
    let momentum = match first.take() {
        Some(mut first) => {
            let pairs = first.data.iter_mut().zip(gradients);
            pairs.for_each(|(first, gradient)| *first = *first * rule.momentum + gradient);
            first
        }
        None => Array {
            shape: gradient.shape.clone(),
            data: gradients.collect(),
        },
    };
    let pairs = value.data.iter_mut().zip(&momentum.data);
    pairs.for_each(|(value, momentum)| *value -= momentum * rate);
    *first = Some(momentum);
}

fn adamw(numbers: AdamW, values: &mut [f32], gradients: &[f32], means: &mut [f32], squares: &mut [f32]) {
    let AdamW {
        rate,
        momentum,
        squares_kept,
        lacking_squares,
        kept,
    } = numbers;
    let all = values
        .iter_mut()
        .zip(gradients)
        .zip(means.iter_mut().zip(squares));
    for ((value, &gradient), (mean, square)) in all {
        *square = *square * squares_kept + gradient * gradient * (1.0 - squares_kept);
        *mean = *mean * momentum + gradient * (1.0 - momentum);
        let spread = (*square / lacking_squares).sqrt();
        let change = *mean * rate / (spread + EPSILON);
        *value = *value * kept - change;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::backend::optimiser::SQUARES_KEPT;
    use crate::config::{Preset, TrainConfig};

    const RATE: f32 = 0.1;
    const MOMENTUM: f32 = 0.9;
    const DECAY: f32 = 0.01;

    /// Takes steps on loss = square / 2, whose gradient is the weight itself, and compares with a formula that is given
    /// the step and the weight. After each, as after a reload, another optimiser resumes with the saved moments.
    fn compare(kind: OptimiserKind, moments: &[&str], mut formula: impl FnMut(usize, f32) -> f32) {
        let mut config = TrainConfig::preset(Preset::Compact);
        config.optimiser = kind;
        (config.momentum, config.weight_decay) = (MOMENTUM.into(), DECAY.into());
        let rule = Rule::new(&config);
        let array = |value: f32| Array {
            shape: vec![1, 1],
            data: vec![value],
        };
        let mut weights = Weights::default();
        weights.insert("weight".into(), array(2.0));
        let (mut optimiser, mut weight) = (Optimiser::new(rule), 2.0);
        for step in 0..4 {
            let size = StepSize {
                rate: f64::from(RATE),
                head: 1.0,
                step,
            };
            let gradients = weights.clone();
            optimiser.step(size, &mut weights, &gradients);
            weight = formula(step, weight);
            let ours = weights.get("weight").expect("is there").data[0];
            assert!(
                (ours - weight).abs() < 1e-6,
                "step {step}: {ours} is not {weight}"
            );
            let state = optimiser.state().clone();
            let names: Vec<&str> = state.iter().map(|(name, _)| name).collect();
            assert_eq!(names, moments);
            optimiser = Optimiser::new(rule);
            optimiser.restore(state).expect("fits");
        }
    }

    #[test]
    fn gradient_descent_is_the_formula_and_resumes() {
        let mut velocity = 0.0;
        compare(OptimiserKind::Sgd, &["weight"], |_, weight| {
            velocity = MOMENTUM * velocity + weight * (1.0 + DECAY);
            weight - RATE * velocity
        });
    }

    #[test]
    fn adamw_is_the_formula_and_resumes() {
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

    #[test]
    fn the_head_has_a_rate_of_its_own() {
        let size = StepSize {
            rate: 0.5,
            head: 0.1,
            step: 0,
        };
        assert_eq!(size.of("head.4.weight"), 0.05);
        assert_eq!(size.of("res.0.conv1.weight"), 0.5);
    }
}
