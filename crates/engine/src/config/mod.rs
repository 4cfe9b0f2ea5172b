//! Typed settings: one definition for the command line, the page and the model file.

mod ablation;
mod model;
mod suggestion;
mod synthesis;
mod texture;
mod training;

use serde::{Deserialize, Serialize};

pub use ablation::{Ablation, Component};
pub use model::{
    Distance, FusionInput, INPUT_SIZE, ImageScore, InputLayout, ModelConfig, STANDARD_INPUT_SIZE,
    SegmentationConfig, Stem, StudentConfig, TeacherKind, Upsampling,
};
pub use suggestion::Suggestion;
pub use synthesis::{AnomalyKind, AugmentConfig, KindShares, SynthesisConfig};
pub use texture::Texture;
pub use training::{
    MOST_BATCH, MOST_SEED, MOST_STEPS, OptimiserKind, Reduction, Schedule, StageConfig, TrainConfig,
};

/// Fewest good images that can be trained on.
pub const FEWEST_IMAGES: usize = 4;

/// Everything that decides a training run besides its images and textures.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Settings {
    /// The network.
    pub model: ModelConfig,
    /// The recipe.
    pub training: TrainConfig,
}

impl Settings {
    /// Network and recipe of a preset.
    pub fn preset(preset: Preset) -> Self {
        Self {
            model: ModelConfig::preset(preset),
            training: TrainConfig::preset(preset),
        }
    }
}

/// Named starting points for [`ModelConfig`] and [`TrainConfig`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Preset {
    /// Small enough for a page: `EfficientNet-Lite0` teacher, narrow student and head.
    #[default]
    Compact,
    /// For desktops and parts with small defects: the networks of `compact`, shown 384 pixels instead of 256.
    Standard,
    /// The published network: `ResNet18` teacher, 35 M parameters.
    Paper,
}

impl Preset {
    /// All presets, the smallest first.
    pub const ALL: [Self; 3] = [Self::Compact, Self::Standard, Self::Paper];

    /// The preset's name, as in flags and files.
    pub fn id(self) -> &'static str {
        match self {
            Self::Compact => "compact",
            Self::Standard => "standard",
            Self::Paper => "paper",
        }
    }
}

/// Which published method a network and its recipe follow.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[cfg_attr(feature = "clap", derive(clap::ValueEnum))]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// Zhang et al., CVPR 2023.
    #[default]
    Destseg,
    /// The baseline: student-teacher feature pyramid matching (Wang et al., BMVC 2021).
    Stpm,
    /// A memory bank of good patches, nothing trained (Roth et al., CVPR 2022).
    Patchcore,
    /// A network that repairs the image and one that compares (Zavrtanik et al., ICCV 2021).
    Draem,
    /// Codes of good images, and networks that know them (Zavrtanik et al., ECCV 2022).
    Dsr,
}

impl Method {
    /// All methods.
    pub const ALL: [Self; 5] = [Self::Destseg, Self::Stpm, Self::Patchcore, Self::Draem, Self::Dsr];

    /// The method's name, as its authors write it.
    pub fn label(self) -> &'static str {
        match self {
            Self::Destseg => "DeSTSeg",
            Self::Stpm => "STPM",
            Self::Patchcore => "PatchCore",
            Self::Draem => "DRAEM",
            Self::Dsr => "DSR",
        }
    }
}
