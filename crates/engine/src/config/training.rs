//! The course of a training run.

use serde::{Deserialize, Serialize};

use super::{AugmentConfig, Preset, SynthesisConfig};
use crate::{Error, Result};

/// Images per step at most.
pub const MOST_BATCH: usize = 4096;
/// Steps of a stage at most.
pub const MOST_STEPS: usize = 10_000_000;
/// The largest seed: settings files hold no larger number.
pub const MOST_SEED: u64 = i64::MAX as u64;

/// Course of the learning rate over a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Schedule {
    /// The same rate throughout.
    Constant,
    /// Half a cosine, from the full rate to zero.
    Cosine,
}

/// How a loss combines the images of a batch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reduction {
    /// The mean: learning rates do not depend on the batch size.
    Mean,
    /// The sum, as the reference's cosine loss.
    Sum,
}

/// How weights follow their gradients.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum OptimiserKind {
    /// Stochastic gradient descent with momentum (the paper).
    #[default]
    Sgd,
    /// Steps in proportion to each gradient's usual size, with weight decay of its own (Loshchilov and Hutter, ICLR 2019).
    AdamW,
}

/// One training stage.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StageConfig {
    /// Optimiser steps.
    pub steps: usize,
    /// Learning rate; in stage 2 that of the residual blocks.
    pub learning_rate: f64,
    /// Learning rate of the segmentation network's head (stage 2 only).
    pub head_learning_rate: f64,
    /// Course of the rates.
    pub schedule: Schedule,
    /// Steps over which the rates rise linearly from zero.
    pub warm_up: usize,
}

/// Everything that decides a training run besides the images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TrainConfig {
    /// Images per step.
    pub batch: usize,
    /// Seed of every random number.
    pub seed: u64,
    /// How weights follow their gradients, in both stages.
    #[serde(default)]
    pub optimiser: OptimiserKind,
    /// Momentum of the gradients.
    pub momentum: f64,
    /// Weight decay: with `sgd` an L2 penalty on all weights, with `adamw` the share of a convolution's weights, times the
    /// learning rate, that is lost in a step.
    pub weight_decay: f64,
    /// Stage 1: the student, cosine loss.
    pub student: StageConfig,
    /// Stage 2: the segmentation network, focal and L1 loss.
    pub segmentation: StageConfig,
    /// Whether the student of stage 1 sees the corrupted image (the teacher always sees the clean
    /// one).
    #[serde(default = "denoising")]
    pub denoising: bool,
    /// How the cosine loss combines the images of a batch.
    pub cosine_reduction: Reduction,
    /// Every so many steps of stage 1 the held-out good images are looked at, and the student whose
    /// mean map was lowest is kept; 0 keeps the last (STPM: every epoch).
    #[serde(default)]
    pub select_every: usize,
    /// Exponent of the focal loss.
    pub focal_gamma: f64,
    /// Share of the good images held out for calibration.
    pub held_out: f64,
    /// Whether the finished model compares features with a codebook of good ones, too. Files of version 0.1 lack the field.
    #[serde(default)]
    pub codebook: bool,
    /// The anomaly generator.
    pub synthesis: SynthesisConfig,
    /// Variation of the good images.
    pub augment: AugmentConfig,
}

/// Files of version 0.1 lack the field.
fn denoising() -> bool {
    true
}

impl TrainConfig {
    /// The recipe of a preset: the paper's for `paper`, a short one for `compact`.
    pub fn preset(preset: Preset) -> Self {
        let common = Self {
            batch: 8,
            seed: 0,
            optimiser: OptimiserKind::AdamW,
            momentum: 0.9,
            weight_decay: 0.01,
            student: StageConfig {
                steps: 900,
                learning_rate: 0.005,
                head_learning_rate: 0.005,
                schedule: Schedule::Cosine,
                warm_up: 20,
            },
            segmentation: StageConfig {
                steps: 1200,
                learning_rate: 0.002,
                head_learning_rate: 0.002,
                schedule: Schedule::Cosine,
                warm_up: 0,
            },
            denoising: true,
            cosine_reduction: Reduction::Mean,
            select_every: 0,
            focal_gamma: 4.0,
            held_out: 0.1,
            codebook: true,
            synthesis: SynthesisConfig::preset(preset),
            augment: AugmentConfig::preset(preset),
        };
        match preset {
            Preset::Compact | Preset::Standard => common,
            Preset::Paper => Self {
                batch: 32,
                optimiser: OptimiserKind::Sgd,
                weight_decay: 1e-4,
                cosine_reduction: Reduction::Sum,
                held_out: 0.0,
                codebook: false,
                student: StageConfig {
                    steps: 1000,
                    learning_rate: 0.4,
                    head_learning_rate: 0.4,
                    schedule: Schedule::Constant,
                    warm_up: 0,
                },
                segmentation: StageConfig {
                    steps: 4000,
                    learning_rate: 0.1,
                    head_learning_rate: 0.01,
                    schedule: Schedule::Constant,
                    warm_up: 0,
                },
                ..common
            },
        }
    }

    /// STPM's own recipe (section 3.3 of its paper and its code) for `images` good images: 100 epochs
    /// on four fifths of them, no augmentation, the epoch with the lowest mean map on the others.
    pub fn stpm(images: usize) -> Self {
        const BATCH: usize = 32;
        const EPOCHS: usize = 100;
        const HELD_OUT: f64 = 0.2;
        let per_epoch = ((images as f64 * (1.0 - HELD_OUT)).round() as usize / BATCH).max(1);
        let paper = Self::preset(Preset::Paper);
        Self {
            batch: BATCH,
            student: StageConfig {
                steps: EPOCHS * per_epoch,
                ..paper.student
            },
            segmentation: StageConfig {
                steps: 0,
                ..paper.segmentation
            },
            denoising: false,
            cosine_reduction: Reduction::Mean,
            select_every: per_epoch,
            held_out: HELD_OUT,
            ..paper
        }
    }

    /// The share of so many good images that suits calibration: a tenth, a fifth of few images, because a tenth of
    /// them would say little, and no more than sixty of many, which take long and say little more.
    pub fn share_held_out(images: usize) -> f64 {
        const FEW: usize = 60;
        const MOST: f64 = 60.0;
        if images < FEW {
            0.2
        } else {
            (MOST / images as f64).min(0.1)
        }
    }

    /// Refuses settings that cannot train.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        let fail = |text: &str| Err(Error::Config(text.into()));
        if self.batch < 2 {
            return fail("the batch size must be at least 2: batch normalisation needs two images");
        }
        let whole = [
            ("batch size", self.batch, MOST_BATCH),
            ("number of steps of stage 1", self.student.steps, MOST_STEPS),
            ("number of steps of stage 2", self.segmentation.steps, MOST_STEPS),
        ];
        for (name, value, most) in whole {
            if value > most {
                return fail(&format!("the {name} is {value} but must be at most {most}"));
            }
        }
        if self.seed > MOST_SEED {
            return fail(&format!(
                "the seed is {} but must be at most {MOST_SEED}",
                self.seed
            ));
        }
        let not_negative = [
            ("learning rate of stage 1", self.student.learning_rate),
            ("learning rate of stage 2", self.segmentation.learning_rate),
            (
                "learning rate of stage 2's head",
                self.segmentation.head_learning_rate,
            ),
            ("weight decay", self.weight_decay),
            ("exponent of the focal loss", self.focal_gamma),
        ];
        for (name, value) in not_negative {
            if !value.is_finite() || value < 0.0 {
                return fail(&format!("the {name} is {value} but must be 0 or more"));
            }
        }
        if !(0.0..1.0).contains(&self.momentum) {
            return fail(&format!(
                "the momentum is {} but must be 0 or more and below 1",
                self.momentum
            ));
        }
        if self.student.steps + self.segmentation.steps == 0 {
            return fail("both stages have 0 steps: give at least one of them something to do");
        }
        if !(0.0..0.9).contains(&self.held_out) {
            return fail("the held-out share must lie between 0 and 0.9");
        }
        if self.select_every > 0 && self.held_out == 0.0 {
            return fail("choosing the best student needs held-out images: give a held-out share");
        }
        self.synthesis.validate()?;
        self.augment.validate()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_out_of_bounds_are_refused_by_name() {
        let changed = |change: &dyn Fn(&mut TrainConfig)| {
            let mut config = TrainConfig::preset(Preset::Compact);
            change(&mut config);
            config.validate().map_err(|err| err.to_string())
        };
        assert_eq!(changed(&|config| config.batch = MOST_BATCH), Ok(()));
        for (change, words) in [
            (
                &(|config: &mut TrainConfig| config.batch = MOST_BATCH + 1) as &dyn Fn(&mut TrainConfig),
                "at most 4096",
            ),
            (&|config| config.student.steps = usize::MAX, "stage 1"),
            (
                &|config| config.segmentation.steps = MOST_STEPS + 1,
                "stage 2 is 10000001",
            ),
            (&|config| config.seed = u64::MAX, "seed"),
            (
                &|config| config.student.learning_rate = -1.0,
                "learning rate of stage 1 is -1 but",
            ),
            (
                &|config| config.segmentation.head_learning_rate = f64::NAN,
                "head is NaN",
            ),
            (&|config| config.weight_decay = f64::INFINITY, "weight decay"),
            (&|config| config.momentum = 1.0, "momentum"),
            (&|config| config.focal_gamma = -0.5, "focal"),
        ] {
            let error = changed(change).expect_err(words);
            assert!(error.contains(words), "{error}");
        }
    }
}
