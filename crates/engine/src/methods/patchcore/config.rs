//! The settings of `PatchCore` (Roth et al., CVPR 2022), which has a memory bank where `DeSTSeg`
//! has trained networks.

use serde::{Deserialize, Serialize};

use crate::config::{INPUT_SIZE, InputLayout, Preset, STANDARD_INPUT_SIZE, TeacherKind};
use crate::{Error, Result};

/// Everything that decides a memory bank besides its images.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BankConfig {
    /// The network whose features are kept.
    pub teacher: TeacherKind,
    /// Side of the square input in pixels; a multiple of 32.
    pub input_size: usize,
    /// How images of other shapes and sizes are shown to the network.
    #[serde(default)]
    pub fit: InputLayout,
    /// Share of all patches that stays in the bank, in (0, 1].
    pub coreset: f64,
    /// Dimensions in which patches are compared while the coreset is chosen; 0 for all.
    pub projection: usize,
    /// Neighbours in the bank that weigh the image score; 1 leaves it as it is.
    pub neighbours: usize,
    /// Share of the good images held out for calibration.
    pub held_out: f64,
    /// Seed of every random number.
    pub seed: u64,
}

impl BankConfig {
    /// The published settings with the teacher of a preset: a tenth of the patches, 9 neighbours.
    pub fn preset(preset: Preset) -> Self {
        Self {
            teacher: match preset {
                Preset::Paper => TeacherKind::Resnet18,
                Preset::Compact | Preset::Standard => TeacherKind::EfficientnetLite0,
            },
            input_size: match preset {
                Preset::Compact | Preset::Paper => INPUT_SIZE,
                Preset::Standard => STANDARD_INPUT_SIZE,
            },
            fit: InputLayout::Squash,
            coreset: 0.1,
            projection: 128,
            neighbours: 9,
            held_out: 0.1,
            seed: 0,
        }
    }

    /// Numbers that describe a patch: the channels of the teacher's middle and coarse level.
    pub fn dimensions(&self) -> usize {
        let [_, middle, coarse] = self.teacher.channels();
        middle + coarse
    }

    /// Refuses what no memory bank can have.
    ///
    /// # Errors
    /// [`Error::Config`] naming the setting.
    pub fn validate(&self) -> Result<()> {
        let fail = |text: String| Err(Error::Config(text));
        if self.input_size == 0 || !self.input_size.is_multiple_of(32) || self.input_size > 2048 {
            return fail(format!(
                "the input size is {} but must be a multiple of 32 up to 2048",
                self.input_size
            ));
        }
        if !(self.coreset > 0.0 && self.coreset <= 1.0) {
            return fail(format!(
                "the coreset ratio is {} but must be above 0 and at most 1",
                self.coreset
            ));
        }
        if self.neighbours == 0 {
            return fail("the number of neighbours must be at least 1".into());
        }
        if !(0.0..0.9).contains(&self.held_out) {
            return fail("the held-out share must lie between 0 and 0.9".into());
        }
        Ok(())
    }
}
