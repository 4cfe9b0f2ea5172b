//! The settings of DRAEM: the shape of its networks, and how they are trained.

use serde::{Deserialize, Serialize};

use crate::config::{INPUT_SIZE, InputLayout, Preset, TeacherKind};
use crate::{Error, Result};

/// Channels of the first blocks of the published networks.
const PAPER_WIDTHS: [usize; 2] = [128, 64];
/// Widths and input of the networks that a CPU trains.
const COMPACT_WIDTHS: [usize; 2] = [16, 8];
const COMPACT_SIZE: usize = 192;
/// Most channels of a first block: no published network has more, and a hostile file must not ask for terabytes.
const MOST_WIDTH: usize = 256;
/// Sides of the input: the discriminative network halves an image five times, and two by two pixels must be left.
const SIDES: [usize; 2] = [64, 2048];

/// Everything that decides the shape of the networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DraemConfig {
    /// The network whose features say whether an image shows the model's part; DRAEM itself has none.
    pub teacher: TeacherKind,
    /// Side of the square input in pixels; a multiple of 32.
    pub input_size: usize,
    /// How images of other shapes and sizes are shown to the networks.
    #[serde(default)]
    pub fit: InputLayout,
    /// Channels of the first block of the reconstructive and of the discriminative network; the others follow from them.
    pub widths: [usize; 2],
}

/// How the networks are trained.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DraemRecipe {
    /// Passes over the good images, at least.
    pub epochs: usize,
    /// Steps, at least.
    pub steps: usize,
    /// Images per step.
    pub batch: usize,
    /// Learning rate of Adam; after 80 and again after 90 % of the steps it falls to a fifth.
    pub learning_rate: f64,
    /// Share of the good images held out for calibration.
    pub held_out: f64,
    /// Seed of every random number.
    pub seed: u64,
}

/// Networks and recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DraemSettings {
    /// The networks.
    pub model: DraemConfig,
    /// The recipe.
    pub training: DraemRecipe,
}

impl DraemConfig {
    /// Networks of these widths at the published size of images.
    pub fn new(widths: [usize; 2]) -> Self {
        Self {
            teacher: TeacherKind::EfficientnetLite0,
            input_size: INPUT_SIZE,
            fit: InputLayout::Squash,
            widths,
        }
    }

    /// The preset that the networks are of: the published ones, or smaller ones.
    pub fn preset(&self) -> Preset {
        match self.widths == PAPER_WIDTHS {
            true => Preset::Paper,
            false => Preset::Compact,
        }
    }

    /// Refuses what no networks can have.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        let (size, [least, most]) = (self.input_size, SIDES);
        if !size.is_multiple_of(32) || !(least..=most).contains(&size) {
            return Err(Error::Config(format!(
                "the input size is {size} but must be a multiple of 32 from {least} to {most}, because DRAEM's networks \
                 halve an image five times"
            )));
        }
        if self.widths.iter().any(|width| !(1..=MOST_WIDTH).contains(width)) {
            return Err(Error::Config(format!(
                "the widths of DRAEM's networks must lie between 1 and {MOST_WIDTH}"
            )));
        }
        Ok(())
    }
}

impl DraemRecipe {
    /// The published recipe, or one for small networks that two CPU cores follow in a quarter of an hour.
    pub fn preset(preset: Preset) -> Self {
        let (epochs, steps, batch, learning_rate) = match preset {
            Preset::Paper => (700, 0, 8, 1e-4),
            Preset::Compact | Preset::Standard => (0, 1200, 4, 1e-3),
        };
        Self {
            epochs,
            steps,
            batch,
            learning_rate,
            held_out: 0.1,
            seed: 0,
        }
    }
}

impl DraemSettings {
    /// Networks and recipe of a preset.
    pub fn preset(preset: Preset) -> Self {
        Self {
            model: match preset {
                Preset::Paper => DraemConfig::new(PAPER_WIDTHS),
                Preset::Compact | Preset::Standard => DraemConfig {
                    input_size: COMPACT_SIZE,
                    ..DraemConfig::new(COMPACT_WIDTHS)
                },
            },
            training: DraemRecipe::preset(preset),
        }
    }
}
