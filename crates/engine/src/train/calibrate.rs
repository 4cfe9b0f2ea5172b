//! Thresholds from good images alone: held-out ones against the same with synthetic anomalies.

use std::sync::Arc;

use rand::SeedableRng as _;
use rand_pcg::Pcg64;

use crate::Result;
use crate::data::image::{self, RgbImage};
use crate::inspect::Detector;
use crate::metrics::best_f1_threshold;
use crate::synthesis::{Sample, Synthesiser};
use crate::verdict::calibration::Calibration;

/// Anomalies painted on each held-out image, and on all of them together, at least.
const SYNTHETIC: (usize, usize) = (3, 16);
/// Scores of held-out images together, at least; further ones are of the same images in varied light, where training
/// varies it.
const LOOKS: usize = 8;
/// Tries to draw a mask that is not empty (about one in twenty is).
const TRIES: usize = 8;
/// Keeps calibration's random numbers apart from training's.
const SEED_OFFSET: u64 = 0x0ca1_1b7a;

pub(crate) async fn calibrate(
    detector: &Detector,
    held_out: &[Arc<RgbImage>],
    synthesiser: &Synthesiser,
    seed: u64,
    views: f32,
) -> Result<Calibration> {
    let mut rng = rng(seed);
    let (mut good_scores, mut synthetic_scores) = (Vec::new(), Vec::new());
    // the same images in another light: they make the threshold safer, but say nothing about how sure it is
    let mut varied_scores = Vec::new();
    let (mut pixels, mut truth) = (Vec::new(), Vec::new());
    let images = held_out.len().max(1);
    let synthetic = SYNTHETIC.0.max(SYNTHETIC.1.div_ceil(images));
    let varied = if synthesiser.varies_light() {
        LOOKS.div_ceil(images) - 1
    } else {
        0
    };
    for image in held_out {
        let found = detector.detect_pixels(&image::to_f32(image)).await?;
        good_scores.push(found.score);
        pixels.extend_from_slice(found.map().values());
        truth.resize(pixels.len(), false);
        for _ in 0..varied {
            let other = synthesiser.good(image, &mut rng);
            varied_scores.push(detector.detect_pixels(&image::to_f32(&other)).await?.score);
        }
        for number in 0..synthetic {
            let Some(sample) = draw(synthesiser, image, &mut rng)? else {
                continue;
            };
            let found = detector.detect_pixels(&sample.corrupted).await?;
            synthetic_scores.push(found.score);
            // a few images give enough pixels
            if number < SYNTHETIC.0 {
                pixels.extend_from_slice(found.map().values());
                truth.extend(sample.mask.iter().map(|&m| m != 0));
            }
        }
    }
    let good: Vec<f32> = good_scores.iter().chain(&varied_scores).copied().collect();
    let is_probability = detector.gives_probabilities();
    let groups = Groups {
        good: &good,
        images,
        synthetic: &synthetic_scores,
    };
    let (image_threshold, image_f1) = image_threshold(&groups, is_probability, views)?;
    let (pixel_threshold, _) = best_f1_threshold(&pixels, &truth)?;
    let alarms = good_scores
        .iter()
        .filter(|&&score| score >= image_threshold)
        .count();
    // a probability ends at 1; distances have no end of their own
    let certain = if is_probability {
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
        let sample = synthesiser.sample_of_one(image, rng)?;
        if sample.mask.contains(&1) {
            return Ok(Some(sample));
        }
    }
    Ok(None)
}

/// Scores that a threshold is to tell apart.
struct Groups<'a> {
    /// Of held-out good images, perhaps of several looks at each.
    good: &'a [f32],
    /// Held-out images that `good` is of.
    images: usize,
    synthetic: &'a [f32],
}

/// The threshold with the best F1 between the two groups, and that F1; each group counts as much as
/// the other.
///
/// Synthetic defects can be fainter than any real one, or plainer. So among the thresholds of the best F1
/// (many, where the groups lie apart) the one is chosen that one good image in a hundred is expected to
/// exceed; and where the groups overlap, no more than one in twenty may be expected to.
///
/// The scores are those of single views. Where an image is shown in several and the highest score
/// counts, each of them must be exceeded the less often.
fn image_threshold(groups: &Groups<'_>, is_probability: bool, views: f32) -> Result<(f32, f64)> {
    /// Shares of the good images that are expected to exceed a threshold.
    const RARE: f32 = 0.01;
    const SELDOM: f32 = 0.05;
    let Groups {
        good,
        images,
        synthetic,
    } = *groups;
    let times = (synthetic.len() / good.len().max(1)).max(1);
    let repeated = good.iter().cycle().take(times * good.len());
    let scores: Vec<f32> = repeated.chain(synthetic).copied().collect();
    let labels: Vec<bool> = (0..scores.len()).map(|i| i >= times * good.len()).collect();
    let (lowest, f1) = best_f1_threshold(&scores, &labels)?;
    let below = scores
        .iter()
        .copied()
        .filter(|&score| score < lowest)
        .fold(f32::NEG_INFINITY, f32::max);
    if !below.is_finite() {
        return Ok((lowest, f1));
    }
    let Some(expected) = Expected::of(good, images).filter(|_| is_probability) else {
        return Ok((0.5 * (below + lowest), f1));
    };
    let limit = |share: f32| expected.limit(share / views.max(1.0));
    // never at the lowest score of a defect
    let within = limit(RARE).clamp(below, 0.1 * below + 0.9 * lowest);
    let mut sorted = synthetic.to_vec();
    sorted.sort_by(f32::total_cmp);
    // a model that can hardly tell the groups apart still finds the plainer half
    let half = sorted.get(sorted.len() / 2).copied().unwrap_or(lowest);
    Ok((within.max(limit(SELDOM).min(half)), f1))
}

/// The value that a standard normal variable exceeds with this probability, from 0 to 0.5; within 0.003
/// (Hastings, Approximations for digital computers, 1955).
fn normal_quantile(share: f32) -> f32 {
    let t = (-2.0 * libm::logf(share.clamp(1e-6, 0.5))).sqrt();
    t - (2.307_53 + 0.270_61 * t) / (1.0 + t * (0.992_29 + 0.044_81 * t))
}

/// As [`normal_quantile`], of Student's distribution with this many degrees of freedom, at least ten (Abramowitz and
/// Stegun, Handbook of mathematical functions, 26.7.5).
fn student_quantile(share: f32, freedom: f32) -> f32 {
    let z = normal_quantile(share);
    let cube = z * z * z;
    let first = (cube + z) / (4.0 * freedom);
    let second = (5.0 * cube * z * z + 16.0 * cube + 3.0 * z) / (96.0 * freedom * freedom);
    z + first + second
}

/// How the score of another good image is expected to scatter: its logit by Student's distribution.
///
/// Four images may lie close together by chance, and then a threshold just above them stops every third good part.
/// So a prior from other models counts as much as [`KNOWN`](Self::KNOWN) images do, and the few images' own
/// uncertainty widens the distribution (the posterior predictive one of a normal distribution; Gelman et al., Bayesian
/// data analysis, section 3.3).
struct Expected {
    mean: f32,
    std: f32,
    freedom: f32,
}

impl Expected {
    /// How many images the usual scatter counts as (docs/notebook/thresholds.md, "Where the threshold lies").
    const KNOWN: f32 = 12.0;
    /// The usual standard deviation of good images' logits: 0.5 to 1.3, the mean 0.8, with sixteen models tried.
    const USUAL: f32 = 0.8;

    /// From all scores, those far off taken as if they were nearer (Huber, 1964): quartiles alone waste too much
    /// of ten images, and one defective image among the good ones should hardly count. None for too few.
    fn of(good: &[f32], images: usize) -> Option<Self> {
        /// Scores that a standard deviation is taken of, at least.
        const FEWEST: usize = 8;
        /// A score further from the median than this many usual standard deviations is an outlier: a few scores
        /// do not give a reliable standard deviation of their own.
        const FAR: f32 = 2.0;
        if good.len() < FEWEST {
            return None;
        }
        let mut logits: Vec<f32> = good
            .iter()
            .map(|&p| {
                let p = p.clamp(1e-6, 1.0 - 1e-6);
                libm::logf(p / (1.0 - p))
            })
            .collect();
        logits.sort_by(f32::total_cmp);
        let median = logits[logits.len() / 2];
        let reach = FAR * Self::USUAL;
        let near = || {
            logits
                .iter()
                .map(|logit| logit.clamp(median - reach, median + reach))
        };
        let count = logits.len() as f32;
        let mean = near().sum::<f32>() / count;
        let squares = near().map(|logit| (logit - mean) * (logit - mean)).sum::<f32>();
        // several views of one image tell less than as many images
        let images = images as f32;
        let freedom = Self::KNOWN + images - 1.0;
        let known = Self::KNOWN * Self::USUAL * Self::USUAL;
        let variance = (known + (images - 1.0) * squares / (count - 1.0)) / freedom;
        Some(Self {
            mean,
            std: (variance * (1.0 + 1.0 / images)).sqrt(),
            freedom,
        })
    }

    /// The probability that this share of good images is expected to exceed.
    fn limit(&self, share: f32) -> f32 {
        let logit = self.mean + student_quantile(share, self.freedom) * self.std;
        1.0 / (1.0 + libm::expf(-logit))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The threshold between two groups, each score of its own image.
    fn of(good: &[f32], synthetic: &[f32], is_probability: bool, views: f32) -> f32 {
        let images = good.len();
        let groups = Groups {
            good,
            images,
            synthetic,
        };
        image_threshold(&groups, is_probability, views)
            .expect("two groups")
            .0
    }

    #[test]
    fn students_distribution_has_its_quantiles() {
        // published tables
        for (share, freedom, expected) in [(0.05, 12.0, 1.782), (0.01, 12.0, 2.681), (0.01, 30.0, 2.457)] {
            let found = student_quantile(share, freedom);
            assert!((found - expected).abs() < 0.02, "{found} instead of {expected}");
        }
    }

    #[test]
    fn few_images_that_lie_close_do_not_set_the_threshold_alone() {
        let good: Vec<f32> = (0..8).map(|i| 0.05 + 0.003 * i as f32).collect();
        let groups = |images| Groups {
            good: &good,
            images,
            synthetic: &[0.6, 0.9],
        };
        let of = |images| image_threshold(&groups(images), true, 1.0).expect("two groups").0;
        // looks at four images say less than eight images do
        assert!(of(4) > of(8) && of(8) > 0.15, "{} and {}", of(4), of(8));
    }

    #[test]
    fn a_clump_makes_no_outliers_of_the_rest() {
        // scores of a circuit model: eight of ten within 0.7 of each other's logits
        let good = [
            0.007, 0.019, 0.041, 0.048, 0.053, 0.053, 0.063, 0.065, 0.077, 0.628,
        ];
        let threshold = of(&good, &[0.34, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95], true, 1.0);
        assert!((0.16..0.34).contains(&threshold), "{threshold}");
    }

    #[test]
    fn threshold_lies_in_the_gap() {
        // too few for an expectation, or distances: the middle
        let threshold =
            |good: &[f32], synthetic: &[f32], is_probability| of(good, synthetic, is_probability, 1.0);
        assert_eq!(threshold(&[0.05, 0.25], &[0.75, 0.9], true), 0.5);
        let good: Vec<f32> = (0..20).map(|i| 0.10 + 0.005 * i as f32).collect();
        assert_eq!(threshold(&good, &[0.805, 0.9], false), 0.5);
        // where good images end, not where defects begin
        let near = threshold(&good, &[0.8, 0.9], true);
        assert!((0.195..0.4).contains(&near), "{near}");
        // they touch: no lower than one good image in twenty is expected, no higher than half the defects
        let touching = threshold(&good, &[0.2, 0.21, 0.9], true);
        assert!((0.195..=0.21).contains(&touching), "{touching}");
        let inseparable = threshold(&good, &good, true);
        assert!((0.1..0.2).contains(&inseparable), "{inseparable}");
    }

    #[test]
    fn several_views_raise_the_threshold() {
        for (share, expected) in [(0.5, 0.0), (0.05, 1.645), (0.01, 2.326), (0.0025, 2.807)] {
            assert!((normal_quantile(share) - expected).abs() < 0.005, "{share}");
        }
        let good: Vec<f32> = (0..20).map(|i| 0.10 + 0.005 * i as f32).collect();
        let of = |views| of(&good, &[0.8, 0.9], true, views);
        assert!(of(4.0) > of(1.0) + 0.01, "{} and {}", of(1.0), of(4.0));
    }

    #[test]
    fn one_defective_image_among_the_good_hardly_moves_the_threshold() {
        let good: Vec<f32> = (0..20).map(|i| 0.10 + 0.005 * i as f32).collect();
        let synthetic: Vec<f32> = (0..60).map(|i| 0.7 + 0.004 * i as f32).collect();
        let before = of(&good, &synthetic, true, 1.0);
        let with_one: Vec<f32> = good.iter().copied().chain([0.95]).collect();
        let after = of(&with_one, &synthetic, true, 1.0);
        assert!((after - before).abs() < 0.1, "{before} became {after}");
    }
}
