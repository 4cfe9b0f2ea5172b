//! The course of a training run.

use serde::{Deserialize, Serialize};

use super::Preset;
use crate::{Error, Result};

/// How synthetic anomalies are made (section 3.1 of the paper; figures of its reference code).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SynthesisConfig {
    /// Perlin cells per axis are 2^t, t drawn from this closed range for each axis.
    pub scale_exponents: (u32, u32),
    /// Noise above this is anomalous.
    pub threshold: f32,
    /// The noise is rotated by an angle from [-this, this], degrees.
    pub noise_rotation: f32,
    /// Opacity of the pasted texture is drawn from this range.
    pub opacity: (f32, f32),
    /// Share of samples that stay without an anomaly.
    pub clean_share: f32,
    /// Share of anomalies that are no foreign texture but the image itself in another colour:
    /// stains and discolourations (not in the paper).
    pub recoloured_share: f32,
}

impl Default for SynthesisConfig {
    fn default() -> Self {
        Self {
            scale_exponents: (0, 5),
            threshold: 0.5,
            noise_rotation: 90.0,
            opacity: (0.2, 1.0),
            clean_share: 0.0,
            recoloured_share: 0.0,
        }
    }
}

/// Variation of the good images themselves (the reference's per-category table).
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AugmentConfig {
    /// Rotate by a random multiple of 90 degrees.
    pub rotate_90: bool,
    /// Rotate by up to this many degrees either way; corners become grey.
    pub rotate: f32,
}

impl AugmentConfig {
    /// What the reference does for the category of `MVTec` AD with this name.
    pub fn published(category: &str) -> Option<Self> {
        const DEGREES: f32 = 5.0;
        let (rotate_90, rotate) = match category {
            "capsule" | "metal_nut" | "pill" | "toothbrush" | "transistor" => (false, 0.0),
            "wood" | "zipper" | "cable" => (false, DEGREES),
            "bottle" | "grid" | "hazelnut" | "leather" | "tile" | "carpet" | "screw" => (true, DEGREES),
            _ => return None,
        };
        Some(Self { rotate_90, rotate })
    }
}

/// Course of the learning rate over a stage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
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
    /// Momentum of the stochastic gradient descent.
    pub momentum: f64,
    /// L2 penalty on all weights.
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
            momentum: 0.9,
            weight_decay: 1e-4,
            student: StageConfig {
                steps: 300,
                learning_rate: 0.4,
                head_learning_rate: 0.4,
                schedule: Schedule::Constant,
                warm_up: 20,
            },
            segmentation: StageConfig {
                steps: 400,
                learning_rate: 0.1,
                head_learning_rate: 0.1,
                schedule: Schedule::Cosine,
                warm_up: 0,
            },
            denoising: true,
            cosine_reduction: Reduction::Mean,
            select_every: 0,
            focal_gamma: 4.0,
            held_out: 0.1,
            synthesis: SynthesisConfig::default(),
            augment: AugmentConfig::default(),
        };
        match preset {
            Preset::Compact => common,
            Preset::Paper => Self {
                batch: 32,
                cosine_reduction: Reduction::Sum,
                held_out: 0.0,
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

    /// Refuses settings that cannot train.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        let fail = |text: &str| Err(Error::Config(text.into()));
        if self.batch < 2 {
            return fail("the batch size must be at least 2: batch normalisation needs two images");
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
        let s = &self.synthesis;
        if s.scale_exponents.0 > s.scale_exponents.1 || s.scale_exponents.1 > 7 {
            return fail("the Perlin scale exponents must rise and lie between 0 and 7");
        }
        if !(0.0..=1.0).contains(&s.opacity.0) || !(s.opacity.0..=1.0).contains(&s.opacity.1) {
            return fail("the opacity range must rise and lie between 0 and 1");
        }
        if !(0.0..=1.0).contains(&s.clean_share) {
            return fail("the share of clean samples must lie between 0 and 1");
        }
        if !(0.0..=1.0).contains(&s.recoloured_share) {
            return fail("the share of recoloured anomalies must lie between 0 and 1");
        }
        Ok(())
    }
}
