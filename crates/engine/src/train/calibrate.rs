//! Thresholds from good images alone: held-out ones against the same with synthetic anomalies.

use std::sync::Arc;

use rand::SeedableRng as _;
use rand_pcg::Pcg64;

use crate::Result;
use crate::data::image::{self, RgbImage};
use crate::inspect::Detector;
use crate::metrics::best_f1_threshold;
use crate::synthesis::{Sample, Synthesiser};
use crate::verdict::calibration::{Calibration, Scores};
use crate::verdict::expected::{ExpectedScores, Scale};

/// Anomalies painted on each held-out image, and on all of them together, at least.
const SYNTHETIC: (usize, usize) = (3, 100);
/// Scores of held-out images together, at least; further ones are of the same images with the variation of training.
const LOOKS: usize = 24;
/// Images that were trained on whose scores are looked at; more say hardly more.
const MOST_TRAINED: usize = 30;
/// Tries to draw a mask that is not empty (about one in twenty is).
const TRIES: usize = 8;
/// Keeps calibration's random numbers apart from training's.
const SEED_OFFSET: u64 = 0x0ca1_1b7a;

/// `trained` are images that were trained on; `views` is the number of views that an image is shown in, on average.
pub(crate) async fn calibrate(
    detector: &Detector,
    held_out: &[Arc<RgbImage>],
    trained: &[Arc<RgbImage>],
    synthesiser: &Synthesiser,
    seed: u64,
    views: f32,
) -> Result<Calibration> {
    let mut rng = rng(seed);
    let images = held_out.len().max(1);
    let painted = SYNTHETIC.0.max(SYNTHETIC.1.div_ceil(images));
    let varied = if synthesiser.varies() {
        LOOKS.div_ceil(images) - 1
    } else {
        0
    };
    let (mut good, mut synthetic, mut kinds) = (Vec::new(), Vec::new(), Vec::new());
    // the same images as other cameras see them: they make the threshold safer, but say nothing about how sure it is
    let mut varied_scores = Vec::new();
    let (mut pixels, mut truth) = (Vec::new(), Vec::new());
    for image in held_out {
        let found = detector.detect_pixels(&image::to_f32(image)).await?;
        good.push(found.score);
        pixels.extend_from_slice(found.map().values());
        truth.resize(pixels.len(), false);
        for _ in 0..varied {
            let other = synthesiser.good(image, &mut rng);
            varied_scores.push(detector.detect_pixels(&image::to_f32(&other)).await?.score);
        }
        for number in 0..painted {
            let Some(sample) = draw(synthesiser, image, &mut rng)? else {
                continue;
            };
            let found = detector.detect_pixels(&sample.corrupted).await?;
            synthetic.push(found.score);
            kinds.extend(sample.anomalies.first().map(|anomaly| anomaly.kind));
            // a few images give enough pixels
            if number < SYNTHETIC.0 {
                pixels.extend_from_slice(found.map().values());
                truth.extend(sample.mask.iter().map(|&m| m != 0));
            }
        }
    }
    let probabilities = detector.gives_probabilities();
    let scale = if probabilities {
        Scale::Probability
    } else {
        Scale::Distance
    };
    let mut trained_scores = Vec::new();
    for image in trained.iter().take(MOST_TRAINED) {
        trained_scores.push(detector.detect_pixels(&image::to_f32(image)).await?.score);
    }
    let looks: Vec<f32> = good.iter().chain(&varied_scores).copied().collect();
    let (pixel_threshold, _) = best_f1_threshold(&pixels, &truth)?;
    let scores = Scores {
        expected: ExpectedScores::with_trained(&looks, good.len(), &trained_scores, scale),
        good,
        synthetic,
        kinds,
        probabilities,
        views,
    };
    Ok(Calibration::new(scores, pixel_threshold))
}

/// Calibration's random numbers.
pub(super) fn rng(seed: u64) -> Pcg64 {
    Pcg64::seed_from_u64(seed ^ SEED_OFFSET)
}

/// A sample with an anomaly, if one comes within [`TRIES`] draws.
pub(super) fn draw(synthesiser: &Synthesiser, image: &RgbImage, rng: &mut Pcg64) -> Result<Option<Sample>> {
    for _ in 0..TRIES {
        let sample = synthesiser.sample_of_one(image, rng)?;
        if sample.mask.contains(&1) {
            return Ok(Some(sample));
        }
    }
    Ok(None)
}
