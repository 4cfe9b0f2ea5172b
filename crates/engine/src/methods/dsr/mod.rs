//! DSR (Zavrtanik et al., ECCV 2022): a VQ-VAE turns the image into codes, networks that know the codes of good images paint
//! what the image would be without a defect, and U-Nets mark what differs. The anomalies that they learn from are codes, not
//! pixels.
//!
//! Its networks are [`arch::dsr`](crate::arch::dsr). The page has no room for them: `absent.rs` stands there for this module.

mod codebook;
mod config;
mod general;
mod item;
mod network;
#[cfg(test)]
mod parity;
mod stages;
pub(super) mod state_dicts;
mod train;

use super::file::{Body, ModelFile};
use super::{BaselineEntry, BaselineInfo, Entry, Info};
use crate::arch::weights::Weights;
use crate::backend::device::Device;
use crate::config::Method;
use crate::inspect::Detector;
use crate::{Error, Result};

pub use config::{DsrConfig, DsrRecipe, DsrSettings};
use network::Dsr;
pub use state_dicts::{Part, alone, join};

/// The method in words.
pub const INFO: Info = Info {
    method: Method::Dsr,
    explanation: "The image is taken apart into codes and painted again from those of good images; what differs is marked.",
    has_student: false,
    baseline: Some(BaselineInfo {
        action: "Train it",
        cpu_only: false,
        in_page: &[],
        choice: None,
    }),
};

/// The method with its code.
pub const ENTRY: Entry = Entry {
    info: INFO,
    baseline: Some(BaselineEntry {
        settings: |preset| serde_json::to_value(DsrSettings::preset(preset)).unwrap_or_default(),
        begin: train::begin,
    }),
};

/// The networks of a file.
pub(super) fn detector(file: &ModelFile, teacher: Option<&Weights>, device: &Device) -> Result<Detector> {
    let Body::Dsr { config, .. } = &file.header.body else {
        return Err(Error::Model(
            "the file holds no networks of DSR: choose a DSR model".into(),
        ));
    };
    let network = Dsr::new(config, &file.weights, &file.teacher_or(teacher)?, device)?;
    let calibration = file.header.calibration.clone();
    let settings = config.input_settings();
    let detector = Detector::new(Box::new(network), settings, Method::Dsr, calibration);
    Ok(detector.with_familiarity(file.familiarity()?))
}
