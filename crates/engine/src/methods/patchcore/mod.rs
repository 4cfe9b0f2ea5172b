//! `PatchCore` (Roth et al., CVPR 2022): an image is as anomalous as its most anomalous patch, and a patch is
//! as anomalous as it is far from all patches of a memory bank, which holds features of good images.

pub(crate) mod bank;
mod blur;
mod config;
mod train;

use serde::{Deserialize, Serialize};

use super::file::{Body, ModelFile};
use super::{BaselineEntry, BaselineInfo, Choice, Entry, Info};
use crate::arch::weights::{Array, Weights};
use crate::backend::cpu::CpuTeacher;
use crate::backend::device::Device;
use crate::config::{ImageScore, Method, Upsampling};
use crate::data::facts::FileFacts;
use crate::inspect::{Detector, InputSettings};
use crate::{Error, Result};

pub use bank::{PatchCore, PatchScores, patches};
pub use blur::gaussian;
pub use config::BankConfig;
pub use train::{BankBuilder, Coreset};

/// The method in words.
pub const INFO: Info = Info {
    method: Method::Patchcore,
    explanation: "A memory bank keeps features of good images, and nothing is trained; what is far from all of them is \
                  anomalous.",
    has_student: false,
    baseline: Some(BaselineInfo {
        action: "Build its memory bank",
        cpu_only: true,
        in_page: &[("held_out", 0.2)],
        choice: Some(Choice {
            setting: "coreset",
            label: "Keep",
            values: &[
                (0.1, "10 % of the patches"),
                (0.01, "1 % of the patches"),
                (0.05, "5 % of the patches"),
                (0.25, "25 % of the patches"),
            ],
        }),
    }),
};

/// The method with its code.
pub const ENTRY: Entry = Entry {
    info: INFO,
    baseline: Some(BaselineEntry {
        settings: |preset| serde_json::to_value(BankConfig::preset(preset)).unwrap_or_default(),
        begin: train::begin,
    }),
};

/// Name of the bank's patches in a file, `[patches, dimensions]`.
pub const BANK: &str = "bank";

/// Where a memory bank comes from.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BankRecord {
    /// Name of the data set's folder.
    pub data: String,
    /// Good images whose patches are in the bank.
    pub images: usize,
    /// Patches that the coreset was chosen from.
    pub patches: usize,
    /// Device that it was built on.
    pub device: String,
    /// Types and typical size of the good images' files, where they are known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<FileFacts>,
}

/// How images are shown to the teacher.
pub(crate) fn input_settings(config: &BankConfig) -> InputSettings {
    InputSettings {
        side: config.input_size,
        teacher: Some(config.teacher),
        fit: config.fit,
        score: ImageScore::Maximum,
        upsampling: Upsampling::Bilinear,
        probabilities: false,
    }
}

/// The patches of a file's bank.
pub(crate) fn bank(weights: &Weights) -> Result<&Array> {
    weights.get(BANK)
}

/// Number of patches in a file's bank; 0 where there is none.
pub fn bank_size(file: &ModelFile) -> usize {
    bank(&file.weights).map_or(0, |bank| bank.shape.first().copied().unwrap_or(0))
}

/// The bank of a file. The search is the CPU's on every device.
pub(super) fn detector(file: &ModelFile, teacher: Option<&Weights>, _: &Device) -> Result<Detector> {
    let Body::Bank { config, .. } = &file.header.body else {
        return Err(Error::Model(
            "the file holds no memory bank: choose a PatchCore model".into(),
        ));
    };
    let teacher = CpuTeacher::new(config.teacher, &file.teacher_or(teacher)?, config.input_size)?;
    let network = PatchCore::new(config, teacher, bank(&file.weights)?.clone())?;
    let settings = input_settings(config);
    let calibration = file.header.calibration.clone();
    let detector = Detector::new(Box::new(network), settings, Method::Patchcore, calibration);
    Ok(detector.with_familiarity(file.familiarity()?))
}
