//! Typed settings: one definition for the command line, the page and the model file.

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// Side of the model's square input in pixels (section 4.1 of the paper).
pub const INPUT_SIZE: usize = 256;

/// Named starting points for [`ModelConfig`] and [`TrainConfig`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "cli", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Small enough for a page: `EfficientNet-Lite0` teacher, narrow student and head.
    #[default]
    Compact,
    /// The published network: `ResNet18` teacher, 35 M parameters.
    Paper,
}

impl Preset {
    /// The preset's name, as in flags and files.
    pub fn id(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Paper => "paper",
        }
    }
}

/// The frozen ImageNet network whose features the student learns to give.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum TeacherKind {
    /// Torchvision's `ResNet18`, `layer1` to `layer3`.
    Resnet18,
    /// `EfficientNet-Lite0`, blocks 2, 4 and 10.
    EfficientnetLite0,
}

impl TeacherKind {
    /// The id that model files and the manifest use.
    pub fn id(self) -> &'static str {
        match self {
            Self::Resnet18 => "resnet18",
            Self::EfficientnetLite0 => "efficientnet-lite0",
        }
    }

    /// Channels of the three feature levels, at 1/4, 1/8 and 1/16 of the input's side.
    pub fn channels(self) -> [usize; 3] {
        match self {
            Self::Resnet18 => [64, 128, 256],
            Self::EfficientnetLite0 => [24, 40, 112],
        }
    }
}

/// Everything that decides the shape of a network.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ModelConfig {
    /// The preset this started from.
    pub preset: Preset,
    /// Side of the square input in pixels; a multiple of 32.
    pub input_size: usize,
    /// The teacher.
    pub teacher: TeacherKind,
    /// The denoising encoder-decoder.
    pub student: StudentConfig,
    /// The network that fuses the levels.
    pub segmentation: SegmentationConfig,
}

/// First layers of the student's encoder.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Stem {
    /// 7x7 convolution of stride 2, then 3x3 max pooling of stride 2 (`ResNet`).
    Resnet,
    /// One 3x3 convolution of stride 2; the first encoder stage halves again.
    Conv,
}

/// Shape of the student (section 3.2 of the paper). Stages are residual basic blocks; the
/// decoder upsamples bilinearly between its stages and has no skip connections.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StudentConfig {
    /// First layers.
    pub stem: Stem,
    /// Channels of the stem.
    pub stem_channels: usize,
    /// Channels of the encoder's stages, at 1/4, 1/8, 1/16 and 1/32.
    pub encoder: [usize; 4],
    /// Channels of the decoder's stages, at 1/32, 1/16, 1/8 and 1/4.
    pub decoder: [usize; 4],
    /// Basic blocks per stage.
    pub blocks: usize,
    /// 1x1 convolutions with bias from the decoder's channels to the teacher's. Needed where the
    /// teacher's features are signed, because a block ends in a `ReLU`.
    pub projection: bool,
}

/// Shape of the segmentation network (section 3.3 of the paper).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SegmentationConfig {
    /// Whether a 1x1 convolution narrows the input before the first block.
    pub squeeze: bool,
    /// Channels of all layers.
    pub width: usize,
    /// Basic blocks before the atrous pyramid.
    pub blocks: usize,
    /// Dilation rates of the atrous spatial pyramid pooling.
    pub rates: [usize; 3],
}

impl ModelConfig {
    /// The network of a preset.
    pub fn preset(preset: Preset) -> Self {
        match preset {
            Preset::Paper => Self {
                preset,
                input_size: INPUT_SIZE,
                teacher: TeacherKind::Resnet18,
                student: StudentConfig {
                    stem: Stem::Resnet,
                    stem_channels: 64,
                    encoder: [64, 128, 256, 512],
                    decoder: [512, 256, 128, 64],
                    blocks: 2,
                    projection: false,
                },
                segmentation: SegmentationConfig {
                    squeeze: false,
                    width: 256,
                    blocks: 2,
                    rates: [6, 12, 18],
                },
            },
            Preset::Compact => Self {
                preset,
                input_size: INPUT_SIZE,
                teacher: TeacherKind::EfficientnetLite0,
                student: StudentConfig {
                    stem: Stem::Conv,
                    stem_channels: 24,
                    encoder: [32, 64, 112, 160],
                    decoder: [160, 112, 64, 32],
                    blocks: 1,
                    projection: true,
                },
                segmentation: SegmentationConfig {
                    squeeze: true,
                    width: 32,
                    blocks: 1,
                    rates: [6, 12, 18],
                },
            },
        }
    }

    /// Refuses shapes that no network can have.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        let student = &self.student;
        let widths = student.encoder.iter().chain(&student.decoder).chain([
            &student.stem_channels,
            &student.blocks,
            &self.segmentation.width,
            &self.segmentation.blocks,
        ]);
        // The largest published network has 512 channels; this keeps a hostile file from
        // asking for terabytes.
        const WIDEST: usize = 2048;
        if widths.into_iter().any(|&width| width == 0 || width > WIDEST) {
            return Err(Error::Config(format!(
                "the network's channel counts must lie between 1 and {WIDEST}"
            )));
        }
        if self.input_size == 0 || !self.input_size.is_multiple_of(32) || self.input_size > 2048 {
            return Err(Error::Config(format!(
                "the input size is {} but must be a multiple of 32 up to 2048",
                self.input_size
            )));
        }
        if self
            .segmentation
            .rates
            .iter()
            .any(|&rate| rate == 0 || rate > self.input_size)
        {
            return Err(Error::Config(
                "the dilation rates must lie between 1 and the input size".into(),
            ));
        }
        if !student.projection {
            let [_, deep, middle, shallow] = student.decoder;
            if [shallow, middle, deep] != self.teacher.channels() {
                return Err(Error::Config(
                    "without projections the student's decoder needs the teacher's channel counts".into(),
                ));
            }
        }
        Ok(())
    }
}

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
    /// How the cosine loss combines the images of a batch.
    pub cosine_reduction: Reduction,
    /// Exponent of the focal loss.
    pub focal_gamma: f64,
    /// Share of the good images held out for calibration.
    pub held_out: f64,
    /// The anomaly generator.
    pub synthesis: SynthesisConfig,
    /// Variation of the good images.
    pub augment: AugmentConfig,
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
                steps: 500,
                learning_rate: 0.1,
                head_learning_rate: 0.1,
                schedule: Schedule::Cosine,
                warm_up: 0,
            },
            cosine_reduction: Reduction::Mean,
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
