//! Thresholds from good images alone: held-out ones against the same with synthetic anomalies.

use rand::SeedableRng as _;
use rand_pcg::Pcg64;

use crate::Result;
use crate::calibration::Calibration;
use crate::image::{self, RgbImage};
use crate::inference::Detector;
use crate::metrics::best_f1_threshold;
use crate::synthesis::{Sample, Synthesiser};

/// Anomalies painted on each held-out image.
const SYNTHETIC_PER_IMAGE: usize = 3;
/// Tries to draw a mask that is not empty (about one in twenty is).
const TRIES: usize = 8;
/// Keeps calibration's random numbers apart from training's.
const SEED_OFFSET: u64 = 0x0ca1_1b7a;

pub(super) async fn calibrate(
    detector: &Detector,
    held_out: &[RgbImage],
    synthesiser: &Synthesiser,
    seed: u64,
) -> Result<Calibration> {
    let mut rng = rng(seed);
    let (mut good_scores, mut synthetic_scores) = (Vec::new(), Vec::new());
    let (mut pixels, mut truth) = (Vec::new(), Vec::new());
    for image in held_out {
        let found = detector.detect_pixels(&image::unit(image)).await?;
        good_scores.push(found.score);
        pixels.extend_from_slice(found.map().values());
        truth.resize(pixels.len(), false);
        for _ in 0..SYNTHETIC_PER_IMAGE {
            let Some(sample) = draw(synthesiser, image, &mut rng)? else {
                continue;
            };
            let found = detector.detect_pixels(&sample.corrupted).await?;
            synthetic_scores.push(found.score);
            pixels.extend_from_slice(found.map().values());
            truth.extend(sample.mask.iter().map(|&m| m != 0));
        }
    }
    let scores: Vec<f32> = good_scores.iter().chain(&synthetic_scores).copied().collect();
    let labels: Vec<bool> = (0..scores.len()).map(|i| i >= good_scores.len()).collect();
    let (lowest, image_f1) = best_f1_threshold(&scores, &labels)?;
    let image_threshold = midway_down(lowest, &scores);
    let (pixel_threshold, _) = best_f1_threshold(&pixels, &truth)?;
    let alarms = good_scores
        .iter()
        .filter(|&&score| score >= image_threshold)
        .count();
    // a probability ends at 1; distances have no end of their own
    let certain = if detector.config().segmentation.is_some() {
        1.0
    } else {
        synthetic_scores.iter().copied().fold(image_threshold, f32::max)
    };
    Ok(Calibration {
        image_threshold,
        pixel_threshold,
        certain,
        image_f1,
        false_alarms: alarms as f32 / good_scores.len() as f32,
        good_scores,
        synthetic_scores,
    })
}

/// Calibration's random numbers.
pub(super) fn rng(seed: u64) -> Pcg64 {
    Pcg64::seed_from_u64(seed ^ SEED_OFFSET)
}

/// A sample with an anomaly, if one comes within [`TRIES`] draws.
pub(super) fn draw(synthesiser: &Synthesiser, image: &RgbImage, rng: &mut Pcg64) -> Result<Option<Sample>> {
    for _ in 0..TRIES {
        let sample = synthesiser.sample(image, rng)?;
        if sample.mask.contains(&1) {
            return Ok(Some(sample));
        }
    }
    Ok(None)
}

/// Between the lowest score that is called defective and the next one below: between two groups
/// that are far apart, the middle is the safest place.
fn midway_down(lowest: f32, scores: &[f32]) -> f32 {
    let below = scores
        .iter()
        .copied()
        .filter(|&score| score < lowest)
        .fold(f32::NEG_INFINITY, f32::max);
    if below.is_finite() {
        0.5 * (below + lowest)
    } else {
        lowest
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn threshold_lies_in_the_gap() {
        assert_eq!(midway_down(0.75, &[0.05, 0.25, 0.75, 0.9]), 0.5);
        assert_eq!(midway_down(0.75, &[0.75, 0.9]), 0.75);
    }
}
