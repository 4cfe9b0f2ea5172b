//! Calibrated thresholds, found with good images and synthetic defects alone.

use serde::{Deserialize, Serialize};

use super::corrections::Correction;
use super::decision::{self, Thresholds};
use super::expected::{ExpectedScores, Scale};
use crate::config::AnomalyKind;
use crate::error::percent;
use crate::metrics::best_f1_threshold;

/// The share of good parts that may be stopped, unless someone chooses another.
pub const PROMISE: f32 = 0.05;
/// Shares of good parts that people choose from.
pub const PROMISES: [f32; 3] = [0.01, 0.05, 0.1];
/// Least and greatest share that can be promised.
pub const PROMISE_RANGE: (f32, f32) = (0.001, 0.5);

/// Who set the image threshold.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "by", content = "share")]
pub enum SetBy {
    /// Training or a calibration, for [`PROMISE`].
    #[default]
    Training,
    /// A promise: at most this share of good parts is stopped.
    Promise(f32),
    /// Someone's choice of a number.
    Hand,
    /// An evaluation on labelled images.
    Evaluation,
    /// Corrections of verdicts.
    Corrections,
}

/// Thresholds from good images and synthetic anomalies painted on them, with the scores behind them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Calibration {
    /// Image scores at or above this are called defective: the threshold in force.
    pub image_threshold: f32,
    /// Who set it.
    #[serde(default)]
    pub set_by: SetBy,
    /// The image threshold that training found, where another is in force.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trained_threshold: Option<f32>,
    /// The image threshold before corrections moved it, and who set that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uncorrected: Option<(f32, SetBy)>,
    /// Map values at or above this belong to a defect: best F1 over all pixels.
    pub pixel_threshold: f32,
    /// The image score that counts as surely defective.
    #[serde(default = "decision::certain")]
    pub certain: f32,
    /// F1 of the threshold in force on the calibration images, in [0, 1]; good and synthetic images count the same.
    pub image_f1: f64,
    /// Share of the held-out good images at or above the threshold in force, in [0, 1].
    pub false_alarms: f32,
    /// Scores of the held-out good images.
    pub good_scores: Vec<f32>,
    /// Scores of good images with synthetic anomalies.
    pub synthetic_scores: Vec<f32>,
    /// The kind of anomaly behind each of them; empty in files of version 0.1.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub synthetic_kinds: Vec<AnomalyKind>,
    /// How the scores of further good images are expected to scatter; files of version 0.1 have none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expected: Option<ExpectedScores>,
    /// What people said about images.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub corrections: Vec<Correction>,
    /// Views that an image is shown in, on average: the highest score of all counts.
    #[serde(default = "one", skip_serializing_if = "is_one")]
    pub views: f32,
}

fn one() -> f32 {
    1.0
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_one(value: &f32) -> bool {
    *value == one()
}

/// What a threshold is found from.
#[derive(Debug)]
pub(crate) struct Scores {
    /// Of held-out good images, one look at each.
    pub(crate) good: Vec<f32>,
    /// Of good images with one synthetic anomaly each, and what was painted.
    pub(crate) synthetic: Vec<f32>,
    pub(crate) kinds: Vec<AnomalyKind>,
    pub(crate) expected: Option<ExpectedScores>,
    /// Whether scores are probabilities, which end at 1.
    pub(crate) probabilities: bool,
    pub(crate) views: f32,
}

impl Default for Calibration {
    /// No scores, and thresholds of one half.
    fn default() -> Self {
        let Thresholds {
            image,
            pixel,
            certain,
        } = Thresholds::default();
        Self {
            image_threshold: image,
            set_by: SetBy::Training,
            trained_threshold: None,
            uncorrected: None,
            pixel_threshold: pixel,
            certain,
            image_f1: 0.0,
            false_alarms: 0.0,
            good_scores: Vec::new(),
            synthetic_scores: Vec::new(),
            synthetic_kinds: Vec::new(),
            expected: None,
            corrections: Vec::new(),
            views: one(),
        }
    }
}

impl Calibration {
    /// The thresholds of a training.
    pub(crate) fn new(scores: Scores, pixel_threshold: f32) -> Self {
        let Scores {
            good,
            synthetic,
            kinds,
            expected,
            probabilities,
            views,
        } = scores;
        let mut own = Self {
            pixel_threshold,
            good_scores: good,
            synthetic_scores: synthetic,
            synthetic_kinds: kinds,
            expected,
            views,
            ..Self::default()
        };
        let threshold = own.at_promise(PROMISE);
        if !probabilities {
            // a probability ends at 1; distances have no end of their own
            own.certain = own.synthetic_scores.iter().copied().fold(threshold, f32::max);
        }
        own.put(threshold);
        own
    }

    /// The thresholds without the scores behind them.
    pub fn thresholds(&self) -> Thresholds {
        Thresholds {
            image: self.image_threshold,
            pixel: self.pixel_threshold,
            certain: self.certain,
        }
    }

    /// The image threshold at which this share of further good images is expected to be stopped, or fewer where that
    /// costs no synthetic defect.
    ///
    /// Where good images and synthetic defects lie apart, the threshold moves up into the gap, but no further than where
    /// half of the promised share is expected: a real defect may be fainter than any synthetic one.
    pub fn at_promise(&self, share: f32) -> f32 {
        /// The least share of good images that a threshold in the gap is meant for, as a part of what is promised.
        const RARER: f32 = 0.5;
        let share = share.clamp(PROMISE_RANGE.0, PROMISE_RANGE.1);
        let Some(expected) = self.expected() else {
            return self.best_f1().unwrap_or(Thresholds::default().image);
        };
        // each view must be exceeded the less often
        let limit = |share: f32| expected.limit(share / self.views.max(1.0));
        let lowest = self
            .synthetic_scores
            .iter()
            .copied()
            .fold(f32::INFINITY, f32::min);
        limit(share).max(limit(RARER * share).min(lowest))
    }

    /// How the scores of further good images are expected to scatter; for older files from their held-out scores.
    fn expected(&self) -> Option<ExpectedScores> {
        let scale = if self.certain == decision::certain() {
            Scale::Probability
        } else {
            Scale::Distance
        };
        let good = &self.good_scores;
        self.expected
            .or_else(|| ExpectedScores::of(good, good.len(), scale))
    }

    /// The middle of the gap at the best F1 between good and synthetic scores.
    fn best_f1(&self) -> Option<f32> {
        let labels = self.labels();
        let scores: Vec<f32> = self.all_scores().collect();
        let (lowest, _) = best_f1_threshold(&scores, &labels).ok()?;
        let below = scores.iter().copied().filter(|&score| score < lowest);
        let below = below.fold(f32::NEG_INFINITY, f32::max);
        Some(if below.is_finite() {
            0.5 * (below + lowest)
        } else {
            lowest
        })
    }

    fn all_scores(&self) -> impl Iterator<Item = f32> {
        self.good_scores.iter().chain(&self.synthetic_scores).copied()
    }

    fn labels(&self) -> Vec<bool> {
        let good = self.good_scores.len();
        (0..good + self.synthetic_scores.len())
            .map(|place| place >= good)
            .collect()
    }

    /// Puts a threshold in force. The one that training found stays known.
    pub fn set(&mut self, threshold: f32, by: SetBy) {
        if self.set_by == SetBy::Training && by != SetBy::Training {
            self.trained_threshold = Some(self.image_threshold);
        }
        if by != SetBy::Corrections {
            self.uncorrected = None;
        }
        self.set_by = by;
        self.put(threshold);
    }

    /// Puts the threshold of a promise in force.
    pub fn promise(&mut self, share: f32) {
        self.set(self.at_promise(share), SetBy::Promise(share));
    }

    /// Puts the threshold that training found in force again.
    pub fn restore(&mut self) {
        self.uncorrected = None;
        if let Some(threshold) = self.trained_threshold.take() {
            self.set_by = SetBy::Training;
            self.put(threshold);
        }
    }

    fn put(&mut self, threshold: f32) {
        self.image_threshold = threshold;
        self.false_alarms = share_at(&self.good_scores, threshold);
        let found = f64::from(share_at(&self.synthetic_scores, threshold));
        let alarms = f64::from(self.false_alarms);
        self.image_f1 = if found > 0.0 {
            2.0 * found / (found + alarms + 1.0)
        } else {
            0.0
        };
    }

    /// The share of further good images that is expected to be stopped by the threshold in force, in [0, 1]; none where
    /// that cannot be estimated.
    pub fn expected_alarms(&self) -> Option<f32> {
        self.expected_above(self.image_threshold)
    }

    /// The share of further good images that is expected to have at least this score.
    pub(super) fn expected_above(&self, score: f32) -> Option<f32> {
        Some((self.expected()?.share_above(score) * self.views).min(1.0))
    }

    /// The conformal p-value of a score: the share of good images, this one counted among them, that score as high. Among
    /// further good images from the same source, at most a share p has a p-value of p or less (Vovk et al., Algorithmic
    /// learning in a random world, 2005).
    pub fn p_value(&self, score: f32) -> f32 {
        let above = self.good_scores.iter().filter(|&&good| good >= score).count();
        (above + 1) as f32 / (self.good_scores.len() + 1) as f32
    }

    /// The least share of stopped good parts that the held-out images can guarantee: no p-value is lower.
    pub fn least_guarantee(&self) -> f32 {
        1.0 / (self.good_scores.len() + 1) as f32
    }

    /// What the held-out images cannot guarantee about a promise, and what to do, in a sentence; none if they can.
    pub fn guarantee(&self, share: f32) -> Option<String> {
        let missing = self.missing_for(share);
        (missing > 0).then(|| {
            format!(
                "{} good images that were not trained on can guarantee no less than {} % false alarms; {} % is an \
                 estimate: check {missing} more good images, without training, to be sure",
                self.good_scores.len(),
                percent(self.least_guarantee()),
                percent(share)
            )
        })
    }

    /// Further good images that must be checked before this share can be guaranteed; 0 if it can.
    pub fn missing_for(&self, share: f32) -> usize {
        let needed = (1.0 / share.max(PROMISE_RANGE.0)).ceil() as usize - 1;
        needed.saturating_sub(self.good_scores.len())
    }

    /// The 95 % confidence interval of the false-alarm rate to expect (Wilson, 1927), which also
    /// holds for no alarms among few images.
    pub fn false_alarm_interval(&self) -> (f32, f32) {
        let alarms = self
            .good_scores
            .iter()
            .filter(|&&score| score >= self.image_threshold);
        wilson(alarms.count(), self.good_scores.len(), Z95)
    }
}

/// The share of the scores at or above a threshold, in [0, 1].
fn share_at(scores: &[f32], threshold: f32) -> f32 {
    let above = scores.iter().filter(|&&score| score >= threshold).count();
    above as f32 / scores.len().max(1) as f32
}

/// Two-sided 95 % quantile of the normal distribution.
pub(super) const Z95: f64 = 1.959_964;

/// The confidence interval of a share (Wilson, 1927): `count` of `all`, at the normal distribution's quantile `z`.
pub(super) fn wilson(count: usize, all: usize, z: f64) -> (f32, f32) {
    if all == 0 {
        return (0.0, 1.0);
    }
    let images = all as f64;
    let rate = count as f64 / images;
    let centre = rate + z * z / (2.0 * images);
    let spread = z * (rate * (1.0 - rate) / images + z * z / (4.0 * images * images)).sqrt();
    let scale = 1.0 + z * z / images;
    let bound = |value: f64| (value / scale).clamp(0.0, 1.0) as f32;
    (bound(centre - spread), bound(centre + spread))
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    pub(crate) fn of(good: &[f32], synthetic: &[f32], views: f32) -> Calibration {
        let scores = Scores {
            good: good.to_vec(),
            synthetic: synthetic.to_vec(),
            kinds: Vec::new(),
            expected: ExpectedScores::of(good, good.len(), Scale::Probability),
            probabilities: true,
            views,
        };
        Calibration::new(scores, 0.5)
    }

    fn spread(count: usize) -> Vec<f32> {
        (0..count).map(|i| 0.10 + 0.005 * i as f32).collect()
    }

    #[test]
    fn the_interval_is_wilsons() {
        // published examples: 0 of 10 and 10 of 100
        let z = 1.959_964;
        let (low, high) = wilson(0, 10, z);
        assert!(low.abs() < 1e-6 && (high - 0.2775).abs() < 1e-3, "{low} {high}");
        let (low, high) = wilson(10, 100, z);
        assert!(
            (low - 0.0552).abs() < 1e-3 && (high - 0.1744).abs() < 1e-3,
            "{low} {high}"
        );
        let width = |images| {
            let (low, high) = wilson(0, images, z);
            high - low
        };
        assert!(width(100) < width(20) && width(20) < width(5) && width(0) == 1.0);
    }

    #[test]
    fn the_threshold_moves_into_a_gap_but_not_to_the_defects() {
        let good = spread(20);
        // where good images end, not where defects begin
        let near = of(&good, &[0.8, 0.9], 1.0).image_threshold;
        assert!((0.195..0.6).contains(&near), "{near}");
        // they touch: the promised share decides
        let touching = of(&good, &[0.2, 0.21, 0.9], 1.0);
        assert!(touching.image_threshold < near && touching.image_threshold > 0.195);
        assert_eq!(touching.image_threshold, touching.at_promise(PROMISE));
    }

    #[test]
    fn one_defective_image_among_the_good_hardly_moves_the_threshold() {
        let good = spread(20);
        let synthetic: Vec<f32> = (0..60).map(|i| 0.7 + 0.004 * i as f32).collect();
        let before = of(&good, &synthetic, 1.0).image_threshold;
        let with_one: Vec<f32> = good.iter().copied().chain([0.95]).collect();
        let after = of(&with_one, &synthetic, 1.0).image_threshold;
        assert!((after - before).abs() < 0.1, "{before} became {after}");
    }

    #[test]
    fn several_views_raise_the_threshold() {
        let good = spread(20);
        let at = |views| of(&good, &[0.8, 0.9], views).image_threshold;
        assert!(at(4.0) > at(1.0) + 0.01, "{} and {}", at(1.0), at(4.0));
    }

    #[test]
    fn distances_have_a_threshold_and_an_end_of_their_own() {
        let good = [1.0, 1.1, 1.2, 1.15, 1.05];
        let scores = Scores {
            good: good.to_vec(),
            synthetic: vec![1.9, 3.0],
            kinds: Vec::new(),
            expected: ExpectedScores::of(&good, 5, Scale::Distance),
            probabilities: false,
            views: 1.0,
        };
        let own = Calibration::new(scores, 0.5);
        assert!(
            (1.2..1.9).contains(&own.image_threshold),
            "{}",
            own.image_threshold
        );
        assert_eq!(own.certain, 3.0);
    }

    #[test]
    fn a_threshold_set_by_hand_is_known_and_can_be_taken_back() {
        let mut own = of(&spread(20), &[0.15, 0.9], 1.0);
        let trained = own.clone();
        own.set(0.15, SetBy::Hand);
        assert_eq!((own.image_threshold, own.set_by), (0.15, SetBy::Hand));
        // the figures are those of the threshold in force: ten of twenty, both of two
        assert!((own.false_alarms - 0.5).abs() < 1e-6);
        assert!((own.image_f1 - 2.0 / 2.5).abs() < 1e-9, "{}", own.image_f1);
        own.promise(0.1);
        assert_eq!(own.set_by, SetBy::Promise(0.1));
        assert!(own.image_threshold < trained.image_threshold);
        let text = serde_json::to_string(&own).expect("is written");
        assert_eq!(serde_json::from_str::<Calibration>(&text).expect("is read"), own);
        own.restore();
        assert_eq!(own, trained);
    }

    #[test]
    fn files_of_version_0_1_promise_what_their_scores_say() {
        let text = r#"{"image_threshold":0.4,"pixel_threshold":0.5,"image_f1":0.9,"false_alarms":0.0,
            "good_scores":[0.1,0.2,0.3,0.05,0.15,0.12,0.11,0.13,0.14,0.22],"synthetic_scores":[0.9]}"#;
        let own: Calibration = serde_json::from_str(text).expect("is read");
        assert_eq!(
            (own.set_by, own.views, own.expected),
            (SetBy::Training, 1.0, None)
        );
        let (strict, usual) = (own.at_promise(0.01), own.at_promise(0.05));
        assert!(0.2 < usual && usual < strict && strict < 0.9, "{usual} {strict}");
        // too few to estimate anything from: the middle of the gap
        let few = Calibration {
            good_scores: vec![0.1, 0.3],
            ..own
        };
        assert!((few.at_promise(0.05) - 0.6).abs() < 1e-6);
    }

    #[test]
    fn guarantees_are_as_good_as_their_images_are_many() {
        let own = of(&spread(19), &[0.9], 1.0);
        assert!((own.least_guarantee() - 0.05).abs() < 1e-6);
        assert_eq!((own.missing_for(0.05), own.missing_for(0.01)), (0, 80));
        assert!((own.p_value(0.5) - 0.05).abs() < 1e-6 && own.p_value(0.0) == 1.0);
        let said = own.guarantee(0.001).expect("too few images");
        assert!(
            said.contains("no less than 5 % false alarms; 0.1 % is an estimate"),
            "{said}"
        );
    }

    proptest! {
        #[test]
        fn a_greater_promise_never_raises_the_threshold(
            good in proptest::collection::vec(0.001_f32..0.6, 4..40),
            synthetic in proptest::collection::vec(0.001_f32..0.999, 1..40), shares in (0.001_f32..0.5, 0.001_f32..0.5)
        ) {
            let own = of(&good, &synthetic, 1.0);
            let (less, more) = (shares.0.min(shares.1), shares.0.max(shares.1));
            prop_assert!(own.at_promise(less) >= own.at_promise(more) - 1e-6);
            prop_assert!(own.p_value(0.2) > 0.0 && own.p_value(0.2) <= 1.0);
        }
    }
}
