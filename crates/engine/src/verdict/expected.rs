//! How the score of a further good image is expected to scatter, from the scores of a few.

use crate::order;
use serde::{Deserialize, Serialize};

/// How many images the usual scatter counts as (docs/notebook/thresholds.md, "Where the threshold lies").
const KNOWN: f32 = 12.0;
/// Scores that a distribution is estimated from, at least.
const FEWEST: usize = 4;
/// A score further from the median than this many usual standard deviations is an outlier: a few scores do not give a
/// reliable standard deviation of their own.
const FAR: f32 = 2.0;
/// How much lower an image that was trained on scores than a new one, as a logit, and the standard deviation of that among
/// models (docs/notebook/thresholds.md, "Scores of images that were trained on").
const LEARNED: (f32, f32) = (1.4, 0.7);
/// Good parts of another day score otherwise than those of the training: the standard deviation of that shift in usual
/// standard deviations (the same section).
const SHIFT: f32 = 0.6;
/// Scores stay away from 0 and 1, where a logit has no value.
pub(crate) const LEAST: f32 = 1e-6;

/// What scores are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scale {
    /// Probabilities of a segmentation network, in (0, 1): their logits are about normal.
    Probability,
    /// Distances, above 0 and without an upper end: their logarithms are about normal.
    Distance,
}

impl Scale {
    /// From a score to where scores are about normal.
    pub(crate) fn normal(self, score: f32) -> f32 {
        match self {
            Self::Probability => {
                let p = score.clamp(LEAST, 1.0 - LEAST);
                libm::logf(p / (1.0 - p))
            }
            Self::Distance => libm::logf(score.max(LEAST)),
        }
    }

    /// The other way.
    pub(crate) fn score(self, normal: f32) -> f32 {
        match self {
            Self::Probability => 1.0 / (1.0 + libm::expf(-normal)),
            Self::Distance => libm::expf(normal),
        }
    }

    /// The usual standard deviation of good images' scores on the normal scale.
    fn usual_std(self) -> f32 {
        match self {
            // 0.5 to 1.3 with twenty models tried
            Self::Probability => 0.95,
            Self::Distance => 0.15,
        }
    }
}

/// The distribution that the score of a further good image is expected to have: Student's, on a scale where scores are
/// about normal.
///
/// Four images may lie close together by chance, and then a threshold just above them stops every third good part.
/// So a prior from other models counts as much as twelve images do, and the few images' own
/// uncertainty widens the distribution (the posterior predictive one of a normal distribution; Gelman et al., Bayesian
/// data analysis, section 3.3).
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct ExpectedScores {
    scale: Scale,
    mean: f32,
    std: f32,
    freedom: f32,
}

impl ExpectedScores {
    /// From the scores of so many images that were not trained on; more scores than images are several looks at each.
    /// None for too few.
    pub fn of(scores: &[f32], images: usize, scale: Scale) -> Option<Self> {
        Self::with_trained(scores, images, &[], scale)
    }

    /// The same with scores of images that were trained on. These scatter as others do, but lie lower by about
    /// 1.4 on the normal scale.
    ///
    /// Scores that are far off are taken as if they were nearer (Huber, 1964): one defective image among the good ones
    /// should hardly count.
    pub fn with_trained(scores: &[f32], images: usize, trained: &[f32], scale: Scale) -> Option<Self> {
        if scores.len() < FEWEST || images == 0 {
            return None;
        }
        let usual = scale.usual_std();
        let own = Sample::of(scores, images, scale);
        let others = Sample::of(trained, trained.len(), scale);
        let freedom = KNOWN + own.freedom + others.freedom;
        let variance = (KNOWN * usual * usual + own.squares + others.squares) / freedom;
        // both means estimate where further images lie: the more certain one counts more
        let mut weights = [own.images / variance, 0.0];
        if others.images > 0.0 {
            weights[1] = 1.0 / (variance / others.images + LEARNED.1 * LEARNED.1);
        }
        let total = weights[0] + weights[1];
        Some(Self {
            scale,
            mean: (weights[0] * own.mean + weights[1] * (others.mean + LEARNED.0)) / total,
            std: (variance + 1.0 / total + SHIFT * SHIFT * usual * usual).sqrt(),
            freedom,
        })
    }

    /// The score that this share of good images is expected to exceed; the share in (0, 0.5].
    pub fn limit(&self, share: f32) -> f32 {
        self.scale
            .score(self.mean + student_quantile(share, self.freedom) * self.std)
    }

    /// The share of good images that is expected to have at least this score, in (0, 1).
    pub fn share_above(&self, score: f32) -> f32 {
        let distance = (self.scale.normal(score) - self.mean) / self.std;
        // Student's distribution as a normal one (Abramowitz and Stegun, 26.7.8)
        let normal =
            distance * (1.0 - 0.25 / self.freedom) / (1.0 + 0.5 * distance * distance / self.freedom).sqrt();
        0.5 * libm::erfcf(normal * std::f32::consts::FRAC_1_SQRT_2)
    }
}

/// What the scores of some images say about where scores lie and how they scatter.
struct Sample {
    images: f32,
    mean: f32,
    /// Of the differences from the mean, for as many images as are looked at.
    squares: f32,
    freedom: f32,
}

impl Sample {
    /// More scores than images are several looks at each, which tell less than as many images do.
    fn of(scores: &[f32], images: usize, scale: Scale) -> Self {
        let mut values: Vec<f32> = scores.iter().map(|&score| scale.normal(score)).collect();
        order::sort_by(&mut values, f32::total_cmp);
        let median = values.get(values.len() / 2).copied().unwrap_or_default();
        let reach = FAR * scale.usual_std();
        let near = || {
            values
                .iter()
                .map(|value| value.clamp(median - reach, median + reach))
        };
        let count = values.len() as f32;
        let mean = near().sum::<f32>() / count.max(1.0);
        let squares = near().map(|value| (value - mean) * (value - mean)).sum::<f32>();
        let freedom = (images as f32 - 1.0).max(0.0);
        Self {
            images: images as f32,
            mean,
            squares: freedom * squares / (count - 1.0).max(1.0),
            freedom,
        }
    }
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

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn students_distribution_has_its_quantiles() {
        // published tables
        for (share, freedom, expected) in [(0.05, 12.0, 1.782), (0.01, 12.0, 2.681), (0.01, 30.0, 2.457)] {
            let found = student_quantile(share, freedom);
            assert!((found - expected).abs() < 0.02, "{found} instead of {expected}");
        }
        for (share, expected) in [(0.5, 0.0), (0.05, 1.645), (0.01, 2.326), (0.0025, 2.807)] {
            assert!((normal_quantile(share) - expected).abs() < 0.005, "{share}");
        }
    }

    #[test]
    fn few_images_that_lie_close_say_less_than_many() {
        let good: Vec<f32> = (0..8).map(|i| 0.05 + 0.003 * i as f32).collect();
        let limit = |images| {
            let expected = ExpectedScores::of(&good, images, Scale::Probability).expect("enough");
            expected.limit(0.01)
        };
        // looks at four images say less than eight images do
        assert!(
            limit(4) > limit(8) && limit(8) > 0.15,
            "{} and {}",
            limit(4),
            limit(8)
        );
    }

    #[test]
    fn images_that_were_trained_on_make_few_others_surer() {
        let held_out = [0.1, 0.12, 0.2, 0.3];
        // lower by two logits, as such images usually are
        let trained: Vec<f32> = held_out
            .iter()
            .cycle()
            .take(16)
            .map(|&score| Scale::Probability.score(Scale::Probability.normal(score) - LEARNED.0))
            .collect();
        let limit = |trained: &[f32]| {
            let expected = ExpectedScores::with_trained(&held_out, 4, trained, Scale::Probability);
            expected.expect("enough").limit(0.05)
        };
        assert!(
            limit(&trained) < limit(&[]) && limit(&trained) > 0.3,
            "{} {}",
            limit(&trained),
            limit(&[])
        );
    }

    #[test]
    fn too_few_scores_give_none() {
        assert_eq!(ExpectedScores::of(&[0.1; 3], 3, Scale::Probability), None);
        assert_eq!(ExpectedScores::of(&[], 0, Scale::Distance), None);
    }

    #[test]
    fn of_many_scores_the_limit_is_their_quantile() {
        // a hundred logits that are normal: mean -3, standard deviation 1
        let scores: Vec<f32> = (0..100)
            .map(|place| {
                let share = (place as f32 + 0.5) / 100.0;
                let z = if share < 0.5 {
                    -normal_quantile(share)
                } else {
                    normal_quantile(1.0 - share)
                };
                Scale::Probability.score(z - 3.0)
            })
            .collect();
        let expected = ExpectedScores::of(&scores, 100, Scale::Probability).expect("enough");
        let above = scores
            .iter()
            .filter(|&&score| score >= expected.limit(0.05))
            .count();
        // fewer than five: parts of another day scatter more
        assert!((1..=5).contains(&above), "{above}");
    }

    proptest! {
        #[test]
        fn shares_and_limits_agree(
            scores in proptest::collection::vec(0.001_f32..0.999, 4..40), share in 0.003_f32..0.5, probability: bool
        ) {
            let scale = if probability { Scale::Probability } else { Scale::Distance };
            let expected = ExpectedScores::of(&scores, scores.len(), scale).expect("enough");
            let back = expected.share_above(expected.limit(share));
            prop_assert!((back / share - 1.0).abs() < 0.15, "{share} became {back}");
        }
    }
}
