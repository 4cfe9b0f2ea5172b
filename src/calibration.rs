//! Where "good" ends, found without a single real defect.

use serde::{Deserialize, Serialize};

use crate::protocol::Thresholds;

/// Thresholds from held-out good images and synthetic anomalies painted on them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Image scores from here on are called defective: best F1 between the two groups.
    pub image_threshold: f32,
    /// Map values from here on belong to a defect: best F1 over all pixels.
    pub pixel_threshold: f32,
    /// F1 of the image threshold on the calibration images, in [0, 1].
    pub image_f1: f64,
    /// Share of the held-out good images at or above the image threshold, in [0, 1].
    pub false_alarms: f32,
    /// Scores of the held-out good images.
    pub good_scores: Vec<f32>,
    /// Scores of the same images with synthetic anomalies.
    pub synthetic_scores: Vec<f32>,
}

impl Calibration {
    /// Just the two thresholds.
    pub fn thresholds(&self) -> Thresholds {
        Thresholds {
            image: self.image_threshold,
            pixel: self.pixel_threshold,
        }
    }
}
