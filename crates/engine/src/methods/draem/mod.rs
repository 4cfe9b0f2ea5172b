//! DRAEM (Zavrtanik et al., ICCV 2021): one network paints the image as it would be without a defect, another one compares
//! both and marks the defect. Both learn from synthetic defects.
//!
//! Its networks are [`arch::draem`](crate::arch::draem()). A model opens everywhere; only the command line trains one.

mod config;
mod network;
#[cfg(test)]
pub(super) mod parity;
pub(super) mod state_dicts;

// only the command line trains
#[cfg(not(target_family = "wasm"))]
mod augment;
#[cfg(not(target_family = "wasm"))]
mod colour;
#[cfg(not(target_family = "wasm"))]
pub(super) mod item;
#[cfg(not(target_family = "wasm"))]
mod loss;
#[cfg(not(target_family = "wasm"))]
mod train;
#[cfg(not(target_family = "wasm"))]
pub(super) mod warp;

use super::file::{Body, ModelFile};
use super::{BaselineEntry, BaselineInfo, Entry, Info};
use crate::arch::weights::Weights;
use crate::backend::device::Device;
use crate::config::{ImageScore, Method, Upsampling};
use crate::inspect::{Detector, InputSettings};
use crate::{Error, Result};

pub use config::{DraemConfig, DraemRecipe, DraemSettings};
#[cfg(not(target_family = "wasm"))]
pub use loss::{Losses, focal, losses, similarity, squared};
use network::Draem;
pub use state_dicts::{join, other_half};

/// The method in words.
pub const INFO: Info = Info {
    method: Method::Draem,
    explanation: "One network repairs the image, another one compares it with the repaired one and marks what differs; both \
                  learn from painted defects.",
    has_student: false,
    baseline: BASELINE_INFO,
};

/// The method with its code.
pub const ENTRY: Entry = Entry {
    info: INFO,
    baseline: BASELINE,
};

#[cfg(target_family = "wasm")]
const BASELINE_INFO: Option<BaselineInfo> = None;
#[cfg(target_family = "wasm")]
const BASELINE: Option<BaselineEntry> = None;

#[cfg(not(target_family = "wasm"))]
const BASELINE_INFO: Option<BaselineInfo> = Some(BaselineInfo {
    action: "Train it",
    cpu_only: false,
    in_page: &[],
    choice: None,
});
#[cfg(not(target_family = "wasm"))]
const BASELINE: Option<BaselineEntry> = Some(BaselineEntry {
    settings: |preset| serde_json::to_value(DraemSettings::preset(preset)).unwrap_or_default(),
    begin: train::begin,
});

/// The networks of a file.
pub(super) fn detector(file: &ModelFile, teacher: Option<&Weights>, device: &Device) -> Result<Detector> {
    let Body::Draem { config, .. } = &file.header.body else {
        return Err(Error::Model(
            "the file holds no networks of DRAEM: choose a DRAEM model".into(),
        ));
    };
    let network = Draem::new(config, &file.weights, &file.teacher_or(teacher)?, device)?;
    let calibration = file.header.calibration.clone();
    let detector = Detector::new(
        Box::new(network),
        input_settings(config),
        Method::Draem,
        calibration,
    );
    Ok(detector.with_familiarity(file.familiarity()?))
}

/// How images are shown to the networks, and how their map is read.
pub(crate) fn input_settings(config: &DraemConfig) -> InputSettings {
    InputSettings {
        side: config.input_size,
        teacher: None,
        fit: config.fit,
        score: ImageScore::LargestWindow,
        upsampling: Upsampling::Bilinear,
        probabilities: true,
    }
}
