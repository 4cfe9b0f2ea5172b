//! The settings of DSR: the shape of its networks, and how they are trained.

use serde::{Deserialize, Serialize};

use crate::arch::dsr::{self, DsrShape};
use crate::arch::graph::Graph;
use crate::config::{
    INPUT_SIZE, ImageScore, InputLayout, MOST_BATCH, MOST_STEPS, Preset, TeacherKind, Upsampling,
};
use crate::inspect::InputSettings;
use crate::{Error, Result};

/// Networks and input that a CPU trains.
const COMPACT: DsrShape = DsrShape {
    hidden: 32,
    residual: 16,
    embedding: 24,
    codes: 512,
    unet: 8,
};
const COMPACT_SIZE: usize = 192;
/// Most channels of a layer and most codes: no published network has more, and a hostile file must not ask for terabytes.
const MOST_CHANNELS: usize = 512;
const MOST_CODES: usize = 1 << 16;
/// Fewest codes: of fewer none is left for anomalies once the nearest ones are left out.
const FEWEST_CODES: usize = 8;
/// Sides of the input: the networks halve the coarse level, an eighth of the input's side, twice, and two by two pixels must
/// be left.
const SIDES: [usize; 2] = [64, 2048];

/// Everything that decides the shape of the networks.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DsrConfig {
    /// The network whose features say whether an image shows the model's part; DSR itself has none.
    pub teacher: TeacherKind,
    /// Side of the square input in pixels; a multiple of 32.
    pub input_size: usize,
    /// How images of other shapes and sizes are shown to the networks.
    #[serde(default)]
    pub fit: InputLayout,
    /// Widths of the networks, and the size of the codebooks.
    pub networks: DsrShape,
}

/// How the networks are trained, in three stages.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DsrRecipe {
    /// Steps of stage 1: the VQ-VAE, on textures and good images.
    pub general_steps: usize,
    /// Steps of stage 2: subspace restriction, object-specific decoder and anomaly detection, on codes of anomalies.
    pub detection_steps: usize,
    /// Steps of stage 3: the upsampling module, on smudges.
    pub upsampling_steps: usize,
    /// Images per step.
    pub batch: usize,
    /// Learning rate of Adam; after 80 % of stage 2 it falls to a tenth until that stage ends.
    pub learning_rate: f64,
    /// Share of the good images held out for calibration.
    pub held_out: f64,
    /// Seed of every random number.
    pub seed: u64,
}

/// Networks and recipe.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DsrSettings {
    /// The networks.
    pub model: DsrConfig,
    /// The recipe.
    pub training: DsrRecipe,
}

impl DsrConfig {
    /// Networks of these widths at the published size of images.
    pub fn new(networks: DsrShape) -> Self {
        Self {
            teacher: TeacherKind::EfficientnetLite0,
            input_size: INPUT_SIZE,
            fit: InputLayout::Squash,
            networks,
        }
    }

    /// The preset that the networks are of: the published ones, or smaller ones.
    pub fn preset(&self) -> Preset {
        match self.networks == DsrShape::PAPER {
            true => Preset::Paper,
            false => Preset::Compact,
        }
    }

    /// All networks as one graph.
    pub fn graph(&self) -> Graph {
        dsr::dsr(&self.networks, self.input_size)
    }

    /// How images are shown to the networks, and how their maps are read.
    pub fn input_settings(&self) -> InputSettings {
        InputSettings {
            side: self.input_size,
            teacher: None,
            fit: self.fit,
            score: ImageScore::LargestWindow,
            upsampling: Upsampling::Bilinear,
            probabilities: true,
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
                "the input size is {size} but must be a multiple of 32 from {least} to {most}, because DSR's networks halve \
                 an image five times"
            )));
        }
        let DsrShape {
            hidden,
            residual,
            embedding,
            codes,
            unet,
        } = self.networks;
        let widths = [hidden, residual, embedding, unet];
        if widths.iter().any(|width| !(1..=MOST_CHANNELS).contains(width)) || !hidden.is_multiple_of(2) {
            return Err(Error::Config(format!(
                "the widths of DSR's networks must lie between 1 and {MOST_CHANNELS}, and `hidden` must be even"
            )));
        }
        if !(FEWEST_CODES..=MOST_CODES).contains(&codes) {
            return Err(Error::Config(format!(
                "the codebooks have {codes} codes but must have {FEWEST_CODES} to {MOST_CODES}"
            )));
        }
        Ok(())
    }
}

impl DsrRecipe {
    /// The published recipe of stages 2 and 3 after a stage 1 of our own, or one for small networks that two CPU cores follow
    /// in a quarter of an hour.
    pub fn preset(preset: Preset) -> Self {
        let (steps, batch, learning_rate) = match preset {
            Preset::Paper => ([50_000, 100_000, 50_000], 8, 2e-4),
            Preset::Compact | Preset::Standard => ([1500, 1200, 400], 4, 1e-3),
        };
        let [general_steps, detection_steps, upsampling_steps] = steps;
        Self {
            general_steps,
            detection_steps,
            upsampling_steps,
            batch,
            learning_rate,
            held_out: 0.1,
            seed: 0,
        }
    }

    /// Refuses what no training can follow.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting.
    pub(super) fn validate(&self) -> Result<()> {
        let fail = |text: String| Err(Error::Config(text));
        if self.steps().iter().any(|steps| !(1..=MOST_STEPS).contains(steps)) {
            return fail(format!("each stage of DSR must have 1 to {MOST_STEPS} steps"));
        }
        if !(2..=MOST_BATCH).contains(&self.batch) {
            return fail(format!("the batch must have 2 to {MOST_BATCH} images"));
        }
        if !(0.0..0.9).contains(&self.held_out) {
            return fail("the held-out share must lie between 0 and 0.9".into());
        }
        if !(self.learning_rate > 0.0 && self.learning_rate.is_finite()) {
            return fail("the learning rate must be above 0".into());
        }
        Ok(())
    }

    /// Steps of the three stages.
    pub(super) fn steps(&self) -> [usize; 3] {
        [self.general_steps, self.detection_steps, self.upsampling_steps]
    }
}

impl DsrSettings {
    /// Networks and recipe of a preset.
    pub fn preset(preset: Preset) -> Self {
        Self {
            model: match preset {
                Preset::Paper => DsrConfig::new(DsrShape::PAPER),
                Preset::Compact | Preset::Standard => DsrConfig {
                    input_size: COMPACT_SIZE,
                    ..DsrConfig::new(COMPACT)
                },
            },
            training: DsrRecipe::preset(preset),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::arch::cost::Cost;

    #[test]
    fn the_compact_preset_is_small() {
        let cost = Cost::of(&DsrSettings::preset(Preset::Compact).model.graph());
        // two bytes each: 4 MB
        assert!(cost.parameters <= 2_000_000, "{cost:?}");
        assert!(cost.macs <= 3_000_000_000, "{cost:?}");
    }

    #[test]
    fn impossible_networks_are_refused() {
        let said = |change: fn(&mut DsrConfig)| {
            let mut config = DsrSettings::preset(Preset::Compact).model;
            change(&mut config);
            config.validate().expect_err("is refused").to_string()
        };
        assert!(said(|own| own.input_size = 32).contains("multiple of 32 from 64"));
        assert!(said(|own| own.input_size = 100).contains("halve an image five times"));
        assert!(said(|own| own.networks.hidden = 33).contains("`hidden` must be even"));
        assert!(said(|own| own.networks.unet = 0).contains("between 1 and 512"));
        assert!(said(|own| own.networks.codes = 1 << 30).contains("must have 8 to 65536"));
    }
}
