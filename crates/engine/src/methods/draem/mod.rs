//! DRAEM (Zavrtanik et al., ICCV 2021): one network paints the image as it would be without a defect, another one compares
//! both and marks the defect. Both learn from synthetic defects.
//!
//! Its networks are [`arch::draem`](crate::arch::draem()). A model opens everywhere; only the command line trains one.

mod config;
#[cfg(not(target_family = "wasm"))]
mod loss;
mod network;
#[cfg(test)]
mod parity;

use super::file::{Body, ModelFile};
use super::{Entry, Info};
use crate::arch::weights::Weights;
use crate::backend::device::Device;
use crate::config::{ImageScore, Method, Upsampling};
use crate::inspect::{Detector, InputSettings};
use crate::{Error, Result};

pub use config::{DraemConfig, DraemRecipe, DraemSettings};
#[cfg(not(target_family = "wasm"))]
pub use loss::{Losses, focal, losses, similarity, squared};
use network::Draem;

/// The method in words.
pub const INFO: Info = Info {
    method: Method::Draem,
    explanation: "One network repairs the image, another one compares it with the repaired one and marks what differs; both \
                  learn from painted defects.",
    has_student: false,
    baseline: None,
};

/// The method with its code.
pub const ENTRY: Entry = Entry {
    info: INFO,
    baseline: None,
    detector,
};

/// The networks of a file.
fn detector(file: &ModelFile, teacher: Option<&Weights>, device: &Device) -> Result<Detector> {
    let Body::Draem { config, .. } = &file.header.body else {
        return Err(Error::Model(
            "the file holds no networks of DRAEM: choose a DRAEM model".into(),
        ));
    };
    let network = Draem::new(config, &file.weights, &file.teacher_or(teacher)?, device)?;
    let settings = InputSettings {
        side: config.input_size,
        teacher: None,
        fit: config.fit,
        score: ImageScore::LargestWindow,
        upsampling: Upsampling::Bilinear,
        probabilities: true,
    };
    let calibration = file.header.calibration.clone();
    let detector = Detector::new(Box::new(network), settings, Method::Draem, calibration);
    Ok(detector.with_familiarity(file.familiarity()?))
}
