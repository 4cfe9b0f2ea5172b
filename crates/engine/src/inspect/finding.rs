//! What is said of one image, in the words and numbers that the command line prints and other programs get.

use serde::Serialize;

use super::{Detection, Detector};
use crate::data::regions::{Instance, instances};
use crate::verdict::calibration::{Calibration, SetBy};
use crate::verdict::certainty::Certainty;
use crate::verdict::decision::Verdict;
use crate::verdict::difference::Difference;

/// Score, verdict and regions of an image.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Finding {
    /// Image score of the map that decides.
    pub score: f32,
    /// Image score of the DeST map.
    pub dest_score: f32,
    /// The threshold in force; none where the model is not calibrated.
    pub threshold: Option<f32>,
    /// Who set it.
    pub threshold_set: Option<SetBy>,
    /// The score on the scale on which the calibrated decision is at 0.5.
    pub decision_score: Option<f32>,
    /// None where the model is not calibrated and the image is not known to be unfamiliar.
    pub verdict: Option<Verdict>,
    /// How sure the verdict about a defect is; none for an unfamiliar image.
    pub certainty: Option<Certainty>,
    /// The share of good images that score as high; see [`Calibration::p_value`].
    pub p_value: Option<f32>,
    /// None where there is no verdict about a defect: without calibration, and for an unfamiliar image.
    pub defective: Option<bool>,
    /// How an unfamiliar image differs from the good ones.
    pub difference: Option<Difference>,
    /// Distance from the good images.
    pub distance: Option<f32>,
    /// The distance from which on an image is unfamiliar.
    pub distance_limit: Option<f32>,
    /// Width of the upright image in pixels.
    pub width: u32,
    /// Height of the upright image in pixels.
    pub height: u32,
    /// Regions of the map at or above the pixel threshold, in pixels of the image.
    pub instances: Vec<Instance>,
    /// The map's value that is white in a grey picture of it: 1 for probabilities, else the highest.
    pub map_white: f32,
}

impl Detector {
    /// What is said of an image of `size` (width and height) pixels.
    pub fn finding(&self, detection: &Detection, size: (u32, u32)) -> Finding {
        let calibration = self.calibration();
        let thresholds = calibration.map(Calibration::thresholds);
        let verdict = self.verdict(detection);
        let is_unfamiliar = verdict == Some(Verdict::Unfamiliar);
        Finding {
            score: detection.score,
            dest_score: detection.dest_score,
            threshold: thresholds.map(|own| own.image),
            threshold_set: calibration.map(|own| own.set_by),
            decision_score: thresholds.map(|own| own.decision_score(detection.score)),
            verdict,
            certainty: calibration
                .filter(|_| !is_unfamiliar)
                .map(|own| own.certainty(detection.score)),
            p_value: calibration.map(|own| own.p_value(detection.score)),
            defective: verdict
                .filter(|_| !is_unfamiliar)
                .map(|own| own == Verdict::Defective),
            difference: detection.difference.filter(|_| is_unfamiliar),
            distance: detection.distance,
            distance_limit: self.familiarity().map(|own| own.record().limit),
            width: size.0,
            height: size.1,
            instances: thresholds.map_or_else(Vec::new, |own| instances(detection.map(), own.pixel, size)),
            // a probability's scale is fixed; products of distances have no upper end of their own
            map_white: match &detection.segmentation {
                Some(_) => 1.0,
                None => detection.dest.maximum(),
            },
        }
    }

    /// The map's value that has the warmest colour of a heat map.
    pub fn hottest(&self, detection: &Detection) -> f32 {
        // without a fixed scale, the threshold is in the middle of the colours
        match (&detection.segmentation, self.calibration()) {
            (Some(_), _) => 1.0,
            (None, Some(own)) => 2.0 * own.thresholds().pixel,
            (None, None) => detection.dest.maximum(),
        }
    }
}
