//! The rule that turns an image score into a decision, the same in the command line and the page.

use serde::{Deserialize, Serialize};

/// What is said of an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Below the threshold.
    Good,
    /// At or above the threshold.
    Defective,
    /// Not the part that the model knows, or not as the good images show it. The score says nothing about it.
    Unfamiliar,
}

/// The thresholds of a decision.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Thresholds {
    /// Image scores at or above this are called defective.
    pub image: f32,
    /// Map values at or above this belong to a defect.
    pub pixel: f32,
    /// The image score that counts as surely defective; 1 for the segmentation network's map.
    #[serde(default = "certain")]
    pub certain: f32,
}

/// The highest value of a probability.
pub(crate) fn certain() -> f32 {
    1.0
}

impl Default for Thresholds {
    /// Those of a model without calibration.
    fn default() -> Self {
        Self {
            image: 0.5,
            pixel: 0.5,
            certain: certain(),
        }
    }
}

impl Thresholds {
    /// An image score on the scale from 0 (surely good) over 0.5 (the decision) to 1 (surely
    /// defective): linear on both sides of the threshold.
    pub fn decision_score(&self, score: f32) -> f32 {
        let (distance, most) = if score >= self.image {
            (score - self.image, self.certain - self.image)
        } else {
            (score - self.image, self.image)
        };
        let share = if most > 0.0 {
            (distance / most).clamp(-1.0, 1.0)
        } else {
            1.0
        };
        0.5 + 0.5 * share
    }

    /// Whether an image with this score is called defective.
    pub fn is_defective(&self, score: f32) -> bool {
        score >= self.image
    }

    /// What a score means, of an image that is said to show another part than the model's or not.
    pub fn verdict(&self, score: f32, unfamiliar: Option<bool>) -> Verdict {
        match unfamiliar {
            Some(true) => Verdict::Unfamiliar,
            _ if self.is_defective(score) => Verdict::Defective,
            _ => Verdict::Good,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn thresholds(image: f32, certain: f32) -> Thresholds {
        Thresholds {
            image,
            pixel: 0.5,
            certain,
        }
    }

    #[test]
    fn the_threshold_is_the_middle_of_the_scale() {
        let own = thresholds(0.2, 1.0);
        for (score, place) in [(0.0, 0.0), (0.1, 0.25), (0.2, 0.5), (0.6, 0.75), (1.0, 1.0)] {
            assert!((own.decision_score(score) - place).abs() < 1e-6, "{score}");
        }
        assert!(own.is_defective(0.2) && !own.is_defective(0.19));
    }

    #[test]
    fn extreme_thresholds_divide_by_nothing() {
        assert_eq!(thresholds(1.0, 1.0).decision_score(1.0), 1.0);
        assert_eq!(thresholds(0.0, 1.0).decision_score(0.0), 0.5);
        assert_eq!(thresholds(0.3, 0.3).decision_score(5.0), 1.0);
    }

    proptest! {
        #[test]
        fn the_scale_rises_and_agrees_with_the_threshold(
            image in 0.0_f32..1.0, a in 0.0_f32..2.0, b in 0.0_f32..2.0
        ) {
            let own = thresholds(image, 1.0);
            let (low, high) = (a.min(b), a.max(b));
            prop_assert!(own.decision_score(low) <= own.decision_score(high));
            prop_assert_eq!(own.is_defective(a), own.decision_score(a) >= 0.5);
        }
    }
}
