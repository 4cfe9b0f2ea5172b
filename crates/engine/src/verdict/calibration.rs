//! Calibrated thresholds, found with good images and synthetic defects alone.

use serde::{Deserialize, Serialize};

use crate::verdict::decision::{self, Thresholds};

/// Thresholds from held-out good images and synthetic anomalies painted on them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Image scores at or above this are called defective. Among the thresholds with the best F1 between the two groups it
    /// is the one that one good image in a hundred is expected to exceed; where the groups overlap, at most one in twenty.
    pub image_threshold: f32,
    /// Map values at or above this belong to a defect: best F1 over all pixels.
    pub pixel_threshold: f32,
    /// The image score that counts as surely defective.
    #[serde(default = "decision::certain")]
    pub certain: f32,
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
    /// The thresholds without the scores behind them.
    pub fn thresholds(&self) -> Thresholds {
        Thresholds {
            image: self.image_threshold,
            pixel: self.pixel_threshold,
            certain: self.certain,
        }
    }

    /// The 95 % confidence interval of the false-alarm rate to expect (Wilson, 1927), which also
    /// holds for no alarms among few images.
    pub fn false_alarm_interval(&self) -> (f32, f32) {
        /// Two-sided 95 % quantile of the normal distribution.
        const Z: f64 = 1.959_964;
        let images = self.good_scores.len() as f64;
        if images == 0.0 {
            return (0.0, 1.0);
        }
        let rate = f64::from(self.false_alarms);
        let centre = rate + Z * Z / (2.0 * images);
        let spread = Z * (rate * (1.0 - rate) / images + Z * Z / (4.0 * images * images)).sqrt();
        let scale = 1.0 + Z * Z / images;
        let bound = |value: f64| (value / scale).clamp(0.0, 1.0) as f32;
        (bound(centre - spread), bound(centre + spread))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn calibration(images: usize, alarms: usize) -> Calibration {
        Calibration {
            image_threshold: 0.5,
            pixel_threshold: 0.5,
            certain: 1.0,
            image_f1: 1.0,
            false_alarms: alarms as f32 / images as f32,
            good_scores: vec![0.1; images],
            synthetic_scores: vec![],
        }
    }

    #[test]
    fn the_interval_is_wilsons() {
        // published examples: 0 of 10 and 10 of 100
        let (low, high) = calibration(10, 0).false_alarm_interval();
        assert!(low.abs() < 1e-6 && (high - 0.2775).abs() < 1e-3, "{low} {high}");
        let (low, high) = calibration(100, 10).false_alarm_interval();
        assert!(
            (low - 0.0552).abs() < 1e-3 && (high - 0.1744).abs() < 1e-3,
            "{low} {high}"
        );
    }

    #[test]
    fn more_images_narrow_the_interval() {
        let width = |images| {
            let (low, high) = calibration(images, 0).false_alarm_interval();
            high - low
        };
        assert!(width(100) < width(20) && width(20) < width(5));
    }
}
